//! Each invariant of ARCHITECTURE.md names a test that exists, and relay is decided in one place (I3).
//!
//! Takes the repository's folder; hands on a finding for each test that is named and not there, and for each place that asks
//! for the relay decision or refuses by itself, but the one that sessions, explanations and audits share.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use super::Finding;
use super::source::{Source, crates, rust_files, with_tests};

const MAP: &str = "ARCHITECTURE.md";
/// The one decision, and the refusal that only it hands out.
const DECISION: &str = "relay::decide";
const REFUSAL: &str = "Refusal::UnableToRelay";
const DECIDER: &str = "crates/policy/src/relay.rs";
/// Explaining has to know the refusal again to name the right that is missing.
const EXPLAINER: &str = "crates/policy/src/explain/dialogue.rs";

/// The tests that the table of invariants names.
pub(super) fn findings(root: &Path) -> io::Result<Vec<Finding>> {
    let mut functions = HashSet::new();
    for (_, folder) in crates(root)? {
        for file in with_tests(&folder)? {
            let text = fs::read_to_string(file)?;
            functions.extend(text.lines().filter_map(function_named).map(str::to_owned));
        }
    }
    Ok(judge_map(&fs::read_to_string(root.join(MAP))?, &functions))
}

fn judge_map(map: &str, functions: &HashSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, row) in map.lines().enumerate().filter(|(_, row)| row.starts_with("| I")) {
        let tests = row.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let mut found = |wrong: String| {
            let instead = "name the test that holds the invariant, or move the invariant to those not yet held";
            findings.push(Finding { file: MAP.into(), line: index + 1, wrong, instead: instead.to_owned() });
        };
        if named.is_empty() {
            found("this invariant names no test".to_owned());
        }
        for test in named.into_iter().filter(|test| !functions.contains(*test)) {
            found(format!("there is no test `{test}`"));
        }
    }
    findings
}

fn function_named(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (_, rest) = line.split_once("fn ").filter(|(before, _)| matches!(before.trim(), "" | "async" | "pub"))?;
    rest.split(['(', '<']).next()
}

/// Who asks for the relay decision, and who refuses without it.
pub(super) fn relay_findings(root: &Path) -> io::Result<Vec<Finding>> {
    let mut sources = Vec::new();
    for (_, folder) in crates(root)? {
        for file in rust_files(&folder.join("src"))? {
            sources.push(Source::read(root, &file)?);
        }
    }
    Ok(judge_relay(&sources))
}

fn judge_relay(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut asked = 0;
    for source in sources.iter().filter(|source| !source.file.starts_with("crates/xtask")) {
        for path in source.paths() {
            let asks = path.text == DECISION || path.text.ends_with(&format!("::{DECISION}"));
            // The reply itself is worded where all refusals are.
            let refuses = path.text.ends_with(REFUSAL)
                && ![DECIDER, EXPLAINER].into_iter().any(|file| source.file == Path::new(file))
                && source.file != Path::new("crates/policy/src/refusal.rs");
            asked += usize::from(asks);
            let is_one_too_many = asks && asked > 1;
            if refuses || is_one_too_many {
                findings.push(Finding {
                    file: source.file.clone(),
                    line: path.line,
                    wrong: format!("`{}`: relay is decided in one place and asked from one place", path.text),
                    instead: "ask `permit::recipient`, or take its answer as an argument".to_owned(),
                });
            }
        }
    }
    if asked == 0 {
        findings.push(Finding {
            file: DECIDER.into(),
            line: 0,
            wrong: format!("nobody calls `{DECISION}`"),
            instead: "ask it for every recipient: nothing else decides relay".to_owned(),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_the_map_names_must_exist() {
        let map = "| I1 | no `fs` here | `is_there`, `is_not` |\n| I2 | nothing |  |\n| other | `x` |\n";
        let functions = HashSet::from(["is_there".to_owned()]);
        let lines: Vec<usize> = judge_map(map, &functions).into_iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2]);
    }

    #[test]
    fn functions_are_found_in_every_dress() {
        for (line, expected) in [
            ("fn a() {", Some("a")),
            ("    async fn b() {", Some("b")),
            ("    fn c(x in 0..9) {", Some("c")),
            ("pub fn d<T>() {", Some("d")),
            ("// the fn e is gone", None),
        ] {
            assert_eq!(function_named(line), expected, "{line}");
        }
    }

    #[test]
    fn relay_is_asked_for_once_and_refused_by_its_decision_only() {
        let source = |file: &str, text: &str| Source::parse(Path::new(file), text);
        let asks = source("crates/transport/src/a.rs", "fn f() { relay::decide(q) }");
        let asks_too = source("crates/manage/src/b.rs", "fn f() { policy::relay::decide(q) }");
        let refuses = source("crates/transport/src/c.rs", "fn f() { Err(Refusal::UnableToRelay) }");
        let decides = source(DECIDER, "fn decide() { Err(Refusal::UnableToRelay) }");
        assert_eq!(judge_relay(&[decides]).len(), 1, "nobody asks");
        assert_eq!(judge_relay(&[asks]).len(), 0);
        let asks = source("crates/transport/src/a.rs", "fn f() { relay::decide(q) }");
        assert_eq!(judge_relay(&[asks, asks_too, refuses]).len(), 2);
    }

    #[test]
    fn explaining_knows_the_refusal_and_does_not_ask_by_itself() {
        let source = |file: &str, text: &str| Source::parse(Path::new(file), text);
        let asks = || source("crates/policy/src/permit.rs", "fn f() { relay::decide(q) }");
        let names = source(EXPLAINER, "fn f() { Refusal::UnableToRelay }");
        assert_eq!(judge_relay(&[asks(), names]).len(), 0);
        let explains = source(EXPLAINER, "fn f() { relay::decide(q) }");
        assert_eq!(judge_relay(&[asks(), explains]).len(), 1);
    }
}
