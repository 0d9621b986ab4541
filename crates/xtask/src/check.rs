//! The house rules, each a function from the repository to findings.
//!
//! Takes the repository's folder; hands on one [`Finding`] for each place that breaks a rule, with what to do instead.
//! Reads sources as text, never compiles them. The same functions run as unit tests, so that `cargo test` holds the rules.

mod arrows;
mod dependencies;
mod invariants;
mod layers;
mod names;
mod purity;
mod spool_files;
mod steps;
mod source;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Relative to the repository's folder.
    file: PathBuf,
    /// 1-based; 0 when the finding concerns the file as a whole.
    line: usize,
    wrong: String,
    instead: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}\n    instead: {}", self.wrong, self.instead)
    }
}

/// A rule: its name and the function that finds what breaks it.
type Rule = (&'static str, fn(&Path) -> io::Result<Vec<Finding>>);

const RULES: [Rule; 9] = [
    ("crate arrows", arrows::findings),
    ("each library has a reason", dependencies::findings),
    ("each invariant has its test", invariants::findings),
    ("relay is decided in one place (I3)", invariants::relay_findings),
    ("modules use only modules below (I5)", layers::findings),
    ("pure crates do no I/O and read no clock (I1)", purity::findings),
    ("only the spool names its files (I6)", spool_files::findings),
    ("each step of a message has its place", steps::findings),
    ("names of folders and files", names::findings),
];

/// Runs every rule and prints all findings, not the first.
pub(crate) fn run(root: &Path) -> ExitCode {
    let mut found = 0;
    for (name, findings) in RULES {
        match findings(root) {
            Ok(findings) if findings.is_empty() => println!("ok      {name}"),
            Ok(findings) => {
                println!("BROKEN  {name}");
                for finding in &findings {
                    println!("  {finding}");
                }
                found += findings.len();
            }
            Err(error) => {
                println!("BROKEN  {name}\n  the sources cannot be read: {error}");
                found += 1;
            }
        }
    }
    if found == 0 {
        ExitCode::SUCCESS
    } else {
        println!("\n{found} findings");
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with every finding of one rule, as `cargo xtask check` would print them.
    fn hold(rule: &str) {
        let (_, findings) = RULES.iter().find(|(name, _)| name.contains(rule)).expect("the rule is in the table");
        let findings = findings(&crate::repository_root()).expect("the sources are readable");
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "{rule} is broken:\n{}", lines.join("\n"));
    }

    #[test]
    fn crates_depend_along_the_allowed_arrows_only() {
        hold("crate arrows");
    }

    #[test]
    fn each_library_in_the_tree_has_a_reason_and_a_use() {
        hold("each library");
    }

    #[test]
    fn each_invariant_of_the_map_has_its_test() {
        hold("invariant has its test");
    }

    #[test]
    fn i3_relay_is_decided_in_one_place() {
        hold("I3");
    }

    #[test]
    fn i5_modules_use_only_modules_below() {
        hold("I5");
    }

    #[test]
    fn i1_pure_crates_do_no_io_and_read_no_clock() {
        hold("I1");
    }

    #[test]
    fn i6_nothing_outside_spool_names_its_files() {
        hold("I6");
    }

    #[test]
    fn each_step_of_a_message_has_its_place() {
        hold("step of a message");
    }

    #[test]
    fn folders_and_files_have_telling_names() {
        hold("names of folders");
    }
}
