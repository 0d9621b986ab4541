//! `cargo xtask bench instructions`: what the steps of a message's way cost in instructions and allocations.
//!
//! Builds the example `instructions` of `transport` in release mode and runs it under valgrind's callgrind, each step with few
//! turns and with many: the difference is what turns cost, without the start. Counts what happens outside the kernel only. Unlike times
//! the figures are the same on a busy machine, so two commits compare to a percent.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The steps that the example knows, and what each is.
const STEPS: [(&str, &str); 5] = [
    ("parse", "`smtp::Session`: MAIL, RCPT, DATA, 4 KiB of content, in four reads"),
    ("header", "header scanner with senders, and header firewall, over 4 KiB"),
    ("decide", "connector, rights, sender, recipient, route"),
    ("commit", "stage 4 KiB, commit alone, take for delivery, settle; with the committer's thread"),
    ("send", "`smtp::Client`: MAIL, RCPT, DATA pipelined, 4 KiB of content"),
];
const FEW: u64 = 64;
const MANY: u64 = 320;

/// Prints the table.
pub(super) fn run(root: &Path) -> io::Result<()> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err(io::Error::other(
            "valgrind is not installed; on Debian: apt-get install --no-install-recommends valgrind",
        ));
    }
    let example = example(root)?;
    println!("| step | instructions | allocations | what it is |\n|---|---:|---:|---|");
    for (step, what) in STEPS {
        let [few, many] = [FEW, MANY].map(|turns| instructions(&example, step, turns));
        let each = (many?.saturating_sub(few?)) / (MANY - FEW);
        println!("| {step} | {each} | {} | {what} |", allocations(&example, step)?);
    }
    Ok(())
}

fn example(root: &Path) -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--locked", "--package", "gatepost-transport", "--example", "instructions"])
        .current_dir(root)
        .stdout(Stdio::null())
        .status()?;
    if !built.success() {
        return Err(io::Error::other("the example `instructions` does not build"));
    }
    // This program lies in the same target folder, in `release` or `debug`.
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or_else(|| io::Error::other("this program lies in no target folder"))?;
    Ok(target.join("release/examples/instructions"))
}

fn instructions(example: &Path, step: &str, turns: u64) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(example)
        .args([step, &turns.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = || io::Error::other(format!("`{step}` under valgrind: {}", said.trim()));
    if !output.status.success() {
        return Err(failed());
    }
    collected(&said).ok_or_else(failed)
}

/// The count in valgrind's last words, such as `==4711== Collected : 1234567`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

fn allocations(example: &Path, step: &str) -> io::Result<String> {
    let output = Command::new(example).arg(step).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("`{step}`: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_valgrinds_words() {
        for (said, expected) in [
            ("==7== \n==7== Events    : Ir\n==7== Collected : 48201\n==7== \n", Some(48201)),
            ("==7== Collected : \n", None),
            ("", None),
        ] {
            assert_eq!(collected(said), expected, "{said:?}");
        }
    }
}
