//! Folders and files are named after what they hold.
//!
//! Takes the repository's folder; hands on a finding for each source file or folder with a name that says nothing
//! (`utils`, `common` ...) or that tools take for their own output (`target`, `build`, `dist`).

use std::io;
use std::path::Path;

use super::Finding;
use super::source::{crates, rust_files};

const SAY_NOTHING: [&str; 9] = ["utils", "util", "common", "core", "types", "helpers", "helper", "misc", "manager"];
const TAKEN: [&str; 3] = ["target", "build", "dist"];

pub(super) fn findings(root: &Path) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (_, folder) in crates(root)? {
        for below in ["src", "tests", "benches", "examples"] {
            for file in rust_files(&folder.join(below))? {
                findings.extend(judge(file.strip_prefix(root).unwrap_or(&file)));
            }
        }
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}

fn judge(file: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in file.with_extension("").iter().map(|part| part.to_string_lossy()) {
        let instead = if SAY_NOTHING.contains(&&*part) {
            "name it after what it holds, from the glossary"
        } else if TAKEN.contains(&&*part) {
            "choose a name that tools do not take for their output and delete"
        } else {
            continue;
        };
        let wrong = format!("`{part}` is not a name for sources");
        findings.push(Finding { file: file.to_path_buf(), line: 0, wrong, instead: instead.to_owned() });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_nothing_are_found_in_folders_and_files() {
        for (file, expected) in [
            ("crates/smtp/src/utils.rs", true),
            ("crates/smtp/src/common/x.rs", true),
            ("crates/smtp/src/build/x.rs", true),
            ("crates/smtp/src/reply.rs", false),
        ] {
            assert_eq!(!judge(Path::new(file)).is_empty(), expected, "{file}");
        }
    }
}
