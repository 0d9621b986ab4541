//! The chores of this repository: `cargo xtask check` holds the house rules, `cargo xtask bench` measures.
//!
//! Takes a command line; hands on findings or a table on standard output and an exit code (0 done, 1 failed, 2 usage).
//! Development only: nothing that ships depends on it, and it depends on no other crate of this workspace.

mod bench;
mod check;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
The chores of this repository.

Usage: cargo xtask <COMMAND>

Commands:
  check           hold the house rules of ARCHITECTURE.md: crate arrows, module order, purity, spool files, steps, names
  bench NAME      measure Gatepost beside Postfix and print tables (cargo xtask bench --help)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check"] => check::run(&repository_root()),
        ["bench", words @ ..] => bench::run(&repository_root(), words),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        [] => usage_error("a command is missing"),
        other => usage_error(&format!("`{}` is not a command", other.join(" "))),
    }
}

fn usage_error(problem: &str) -> ExitCode {
    eprintln!("error: {problem}\n\n{USAGE}");
    ExitCode::from(2)
}

/// The folder that holds the workspace's Cargo.toml, wherever the command was called from.
fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate lies in crates/xtask below the root")
        .to_path_buf()
}
