//! Each step of a message has its place: the files that open with `//! Step N of 9 - verb: ...`, so that
//! `rg '^//! Step'` prints the path.
//!
//! Takes the repository's folder; hands on a finding for each step without a file, for a step that two files of crate
//! transport drive, and for a header that is none of the nine. The pure crates' deciding files may bear the header of the
//! step that they decide. Step 5 (filter) has no file yet and no placeholder.

use std::io;
use std::path::Path;

use super::Finding;
use super::source::{Source, crates, rust_files};

/// The steps in order, by their verbs; the first is step 1.
const STEPS: [&str; 9] = ["listen", "select", "session", "permit", "filter", "spool", "route", "deliver", "report"];
/// Built later, with crate filter.
const LATER: &str = "filter";
/// The crate whose files drive the steps.
const DRIVER: &str = "crates/transport/";

pub(super) fn findings(root: &Path) -> io::Result<Vec<Finding>> {
    let mut sources = Vec::new();
    for (_, folder) in crates(root)? {
        for file in rust_files(&folder.join("src"))? {
            sources.push(Source::read(root, &file)?);
        }
    }
    Ok(judge(&sources))
}

fn judge(sources: &[Source]) -> Vec<Finding> {
    let mut places: [Vec<&Source>; STEPS.len()] = Default::default();
    let mut findings = Vec::new();
    for source in sources {
        let Some(header) = source.opening.first().filter(|line| line.starts_with("Step")) else { continue };
        match steps_named(header) {
            Some(indexes) => indexes.into_iter().for_each(|index| places[index].push(source)),
            None => findings.push(Finding {
                file: source.file.clone(),
                line: 1,
                wrong: format!("`{header}` is none of the steps"),
                instead: format!("write `//! Step N of {} - verb: ...`, with a verb of {STEPS:?}", STEPS.len()),
            }),
        }
    }
    for (index, verb) in STEPS.iter().enumerate().filter(|(_, verb)| **verb != LATER) {
        let number = index + 1;
        if places[index].is_empty() {
            findings.push(Finding {
                file: "ARCHITECTURE.md".into(),
                line: 0,
                wrong: format!("no file opens with `//! Step {number} of {} - {verb}: ...`", STEPS.len()),
                instead: "open the file that drives this step with that line".to_owned(),
            });
        }
        let mut drivers = places[index].iter().filter(|source| source.file.starts_with(DRIVER));
        if let Some(first) = drivers.next() {
            findings.extend(drivers.map(|other| Finding {
                file: other.file.clone(),
                line: 1,
                wrong: format!("step {number} is already driven by {}", first.file.display()),
                instead: "keep the header in the one file that drives the step".to_owned(),
            }));
        }
    }
    findings
}

/// The indexes of the steps that a header names, such as `Step 4 of 9 - permit: asks policy` or
/// `Steps 2 and 3 of 9 - select connector and session: one connection`.
fn steps_named(header: &str) -> Option<Vec<usize>> {
    let (numbers, rest) = header.split_once(" of ")?;
    let (total, rest) = rest.split_once(" - ")?;
    let (verbs, _) = rest.split_once(':')?;
    let numbers = match numbers.strip_prefix("Steps ") {
        Some(numbers) => numbers,
        None => numbers.strip_prefix("Step ")?,
    };
    let numbers: Vec<&str> = numbers.split(" and ").collect();
    let verbs: Vec<&str> = verbs.split(" and ").collect();
    if total.parse() != Ok(STEPS.len()) || numbers.len() != verbs.len() {
        return None;
    }
    numbers
        .into_iter()
        .zip(verbs)
        .map(|(number, verb)| {
            let index = number.parse::<usize>().ok()?.checked_sub(1)?;
            (verb.split(' ').next() == STEPS.get(index).copied()).then_some(index)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Vec<(usize, &'static str)> {
        STEPS.iter().enumerate().filter(|(_, verb)| **verb != LATER).map(|(index, verb)| (index + 1, *verb)).collect()
    }

    fn source(file: &str, header: &str) -> Source {
        Source::parse(Path::new(file), &format!("//! {header}\nfn f() {{}}\n"))
    }

    fn drivers(steps: &[(usize, &str)]) -> Vec<Source> {
        let file = |number| format!("crates/transport/src/step{number}.rs");
        steps.iter().map(|(number, verb)| source(&file(number), &format!("Step {number} of 9 - {verb}: x"))).collect()
    }

    #[test]
    fn each_step_but_the_filter_opens_a_file() {
        assert_eq!(judge(&drivers(&whole())), []);
        assert_eq!(judge(&drivers(&whole()[1..])).len(), 1);
    }

    #[test]
    fn one_file_drives_a_step_and_others_may_decide_it() {
        for (file, header, findings) in [
            ("crates/transport/src/other.rs", "Step 4 of 9 - permit: y", 1),
            ("crates/policy/src/relay.rs", "Step 4 of 9 - permit: y", 0),
            ("crates/policy/src/relay.rs", "Step 4 of 8 - permit: y", 1),
            ("crates/policy/src/relay.rs", "Step 4 of 9 - route: y", 1),
            ("crates/policy/src/relay.rs", "Step 0 of 9 - listen: y", 1),
            ("crates/policy/src/relay.rs", "Step by step", 1),
            ("crates/policy/src/relay.rs", "Steps 2 and 4 of 9 - select connector and permit: y", 0),
            ("crates/policy/src/relay.rs", "Steps 2 and 4 of 9 - select connector: y", 1),
            ("crates/policy/src/relay.rs", "The relay decision.", 0),
        ] {
            let mut sources = drivers(&whole());
            sources.push(source(file, header));
            assert_eq!(judge(&sources).len(), findings, "{file}: {header}");
        }
    }
}
