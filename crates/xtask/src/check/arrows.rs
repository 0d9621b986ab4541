//! Which crate may depend on which: the arrows of ARCHITECTURE.md, read from the Cargo.toml files.
//!
//! Takes the repository's folder; hands on one finding for each dependency that is no allowed arrow. Each wall has a
//! reason: pure from impure, blocking disk from async, the web stack from the mail stack.

use std::io;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Finding;
use super::source::crates;

/// The crates of this workspace that each crate may depend on.
const ALLOWED: [(&str, &[&str]); 13] = [
    ("mail", &[]),
    ("smtp", &["mail"]),
    ("policy", &["mail"]),
    ("spool", &["mail"]),
    ("filter", &["policy", "mail"]),
    ("tracking", &["policy", "mail"]),
    ("shell", &[]),
    ("transport", &["filter", "smtp", "policy", "spool", "tracking", "mail"]),
    ("manage", &["shell", "transport", "policy", "spool", "tracking", "mail"]),
    ("console", &["manage", "shell", "policy"]),
    ("gatepost", &["console", "manage", "shell", "transport", "filter", "smtp", "policy", "spool", "tracking", "mail"]),
    ("testkit", &["smtp", "policy", "spool", "mail"]),
    ("xtask", &[]),
];

/// The crate that holds the integration tests: it alone uses testkit, and only to test.
const TESTED: &str = "gatepost";

/// Dependencies that cost seconds of building: they stay out of the crates that are edited and tested most.
const HEAVY: [&str; 7] = ["tokio", "tokio-rustls", "rustls", "hickory-resolver", "axum", "hyper", "rusqlite"];
const LIGHT_CRATES: [&str; 6] = ["mail", "smtp", "policy", "spool", "filter", "shell"];

pub(super) fn findings(root: &Path) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (name, folder) in crates(root)? {
        let text = std::fs::read_to_string(folder.join("Cargo.toml"))?;
        let file = Path::new("crates").join(&name).join("Cargo.toml");
        findings.extend(judge(&name, &text).into_iter().map(|(line, wrong, instead)| Finding {
            file: file.clone(),
            line,
            wrong,
            instead,
        }));
    }
    Ok(findings)
}

/// What is wrong with one crate's dependencies: line, wrong, instead.
fn judge(name: &str, text: &str) -> Vec<(usize, String, String)> {
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        let instead = "add the crate and its arrows to ARCHITECTURE.md and to xtask's check/arrows.rs in this commit";
        return vec![(0, format!("the crate `{name}` is not on the map"), instead.to_owned())];
    };
    let mut wrong = Vec::new();
    for Dependency { on, line, dev } in dependencies(text) {
        if let Some(ours) = on.strip_prefix("gatepost-") {
            let tests_use_testkit = dev && ours == "testkit" && name == TESTED;
            if !allowed.contains(&ours) && !tests_use_testkit {
                let may = if allowed.is_empty() { "no crate of ours".to_owned() } else { allowed.join(", ") };
                wrong.push((
                    line,
                    format!("`{name}` depends on `{ours}`, which is no allowed arrow"),
                    format!("`{name}` may use {may}: move what you need down to a crate it may use, or take it as an argument"),
                ));
            }
        } else if !dev && LIGHT_CRATES.contains(&name) && HEAVY.contains(&on.as_str()) {
            wrong.push((
                line,
                format!("`{name}` depends on `{on}`, which takes long to build"),
                "keep it in transport, manage or gatepost, and hand its results to this crate as values".to_owned(),
            ));
        }
    }
    wrong
}

struct Dependency {
    on: String,
    line: usize,
    dev: bool,
}

/// Every dependency, also of `[target.*]` sections, with the line that names it.
fn dependencies(text: &str) -> Vec<Dependency> {
    let (document, _) = DeTable::parse_recoverable(text);
    let document = document.into_inner();
    let targets = document
        .get("target")
        .and_then(|value| value.get_ref().as_table())
        .into_iter()
        .flat_map(|targets| targets.iter().filter_map(|(_, value)| value.get_ref().as_table()));
    let mut dependencies = Vec::new();
    for table in std::iter::once(&document).chain(targets) {
        for (section, dev) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
            let Some(DeValue::Table(section)) = table.get(section).map(|value| value.get_ref()) else { continue };
            for (key, value) in section.iter() {
                let renamed = value.get_ref().as_table().and_then(|table| table.get("package")?.get_ref().as_str());
                let line = text[..key.span().start].matches('\n').count() + 1;
                dependencies.push(Dependency { on: renamed.unwrap_or(key.get_ref()).to_owned(), line, dev });
            }
        }
    }
    dependencies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dependency_is_an_allowed_arrow_or_a_finding_with_its_line() {
        for (name, text, lines) in [
            ("smtp", "[dependencies]\ngatepost-mail.workspace = true\n", vec![]),
            ("smtp", "[dependencies]\ngatepost-policy.workspace = true\n", vec![2]),
            ("smtp", "[dev-dependencies]\ngatepost-policy = { path = \"../policy\" }\n", vec![2]),
            ("smtp", "[dependencies]\n\nours = { package = \"gatepost-spool\", path = \"x\" }\n", vec![3]),
            ("smtp", "[target.'cfg(unix)'.dependencies]\ngatepost-spool.workspace = true\n", vec![2]),
            ("spool", "[dependencies]\ntokio.workspace = true\n", vec![2]),
            ("spool", "[dev-dependencies]\ntokio.workspace = true\n", vec![]),
            ("transport", "[dependencies]\ntokio.workspace = true\n", vec![]),
            ("gatepost", "[dev-dependencies]\ngatepost-testkit.workspace = true\n", vec![]),
            ("gatepost", "[dependencies]\ngatepost-testkit.workspace = true\n", vec![2]),
            ("manage", "[dev-dependencies]\ngatepost-testkit.workspace = true\n", vec![2]),
            ("core", "[dependencies]\n", vec![0]),
        ] {
            let found: Vec<usize> = judge(name, text).into_iter().map(|(line, ..)| line).collect();
            assert_eq!(found, lines, "{name}: {text}");
        }
    }
}
