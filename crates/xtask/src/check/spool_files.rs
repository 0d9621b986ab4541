//! Nothing outside the spool touches a spool file (invariant I6): nothing outside it even knows their names.
//!
//! Takes the repository's folder; hands on one finding for each string literal outside crate spool that names a file or
//! folder of the spool. Tests, testkit (they damage spool files on purpose) and this tool are exempt.

use std::io;
use std::path::Path;

use super::Finding;
use super::source::{Source, crates, rust_files};

const EXEMPT: [&str; 3] = ["spool", "testkit", "xtask"];

/// Names that only the spool gives to its files: a segment of the log, and the folders of bodies and of damaged records.
const SEGMENT_EXTENSION: &str = ".seg";
const FOLDERS: [&str; 2] = ["bodies", "set-aside"];

pub(super) fn findings(root: &Path) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (name, folder) in crates(root)? {
        if EXEMPT.contains(&name.as_str()) {
            continue;
        }
        for file in rust_files(&folder.join("src"))? {
            findings.extend(judge(&Source::read(root, &file)?));
        }
    }
    Ok(findings)
}

fn judge(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in &source.strings {
        let names_a_file =
            text.ends_with(SEGMENT_EXTENSION) || text.split('/').any(|segment| FOLDERS.contains(&segment));
        if names_a_file {
            findings.push(Finding {
                file: source.file.clone(),
                line: *line,
                wrong: format!("\"{text}\" names a file of the spool"),
                instead: "ask the spool: it has a function for what you need, or it gets one".to_owned(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_spool_files_are_found_in_literals() {
        for (text, expected) in [
            ("let log = \"0000000000000001.seg\";", true),
            ("data_dir.join(\"spool/bodies\")", true),
            ("data_dir.join(\"spool\")", false),
            ("\"some bodies of mail\"", false),
            ("// \"spool/bodies\"", false),
        ] {
            let source = Source::parse(Path::new("x.rs"), text);
            assert_eq!(!judge(&source).is_empty(), expected, "{text}");
        }
    }
}
