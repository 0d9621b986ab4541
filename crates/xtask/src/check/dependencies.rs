//! Every library in the tree has its reason written down, and its use.
//!
//! Takes the repository's folder; hands on a finding for each external crate of the root Cargo.toml that
//! docs/decisions/0002-dependencies.md does not name, for each that no crate of ours uses, and for each reason that has
//! outlived its crate.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Finding;
use super::source::crates;

const REASONS: &str = "docs/decisions/0002-dependencies.md";

pub(super) fn findings(root: &Path) -> io::Result<Vec<Finding>> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let reasons = fs::read_to_string(root.join(REASONS))?;
    let mut used = HashSet::new();
    for (_, folder) in crates(root)? {
        used.extend(names_in(&fs::read_to_string(folder.join("Cargo.toml"))?));
    }
    Ok(judge(&manifest, &reasons, &used))
}

fn judge(manifest: &str, reasons: &str, used: &HashSet<String>) -> Vec<Finding> {
    let (document, _) = DeTable::parse_recoverable(manifest);
    let document = document.into_inner();
    let declared = document.get("workspace").and_then(|value| value.get_ref().as_table()?.get("dependencies"));
    let Some(DeValue::Table(declared)) = declared.map(|value| value.get_ref()) else { return Vec::new() };
    let mut findings = outlived(declared, reasons);
    let external = declared.iter().filter(|(name, _)| !name.get_ref().starts_with("gatepost-"));
    for (key, _) in external {
        let name = key.get_ref();
        let line = manifest[..key.span().start].matches('\n').count() + 1;
        let mut found = |wrong: String, instead: String| {
            findings.push(Finding { file: "Cargo.toml".into(), line, wrong, instead });
        };
        if !used.contains(&**name) {
            found(format!("no crate uses `{name}`"), "remove it, here and from the list of reasons".to_owned());
        } else if !reasons.contains(&format!("`{name}`")) {
            let instead = format!("add a line to {REASONS}: what it saves, what it drags in, what else was looked at");
            found(format!("nobody said why `{name}` is here"), instead);
        }
    }
    findings
}

/// The reasons, one table row each, for crates that are declared no more.
fn outlived(declared: &DeTable<'_>, reasons: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, row) in reasons.lines().enumerate().filter(|(_, row)| row.starts_with("| `")) {
        let cell = row.split('|').nth(1).unwrap_or_default();
        for name in cell.split('`').skip(1).step_by(2).filter(|name| declared.get(*name).is_none()) {
            findings.push(Finding {
                file: REASONS.into(),
                line: index + 1,
                wrong: format!("`{name}` is in the tree no more"),
                instead: "remove its line".to_owned(),
            });
        }
    }
    findings
}

/// The dependencies that a crate names, of every kind.
fn names_in(manifest: &str) -> Vec<String> {
    let (document, _) = DeTable::parse_recoverable(manifest);
    let document = document.into_inner();
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = sections.iter().filter_map(|section| document.get(*section)?.get_ref().as_table());
    tables.flat_map(|table| table.keys().map(|key| key.get_ref().to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_external_crate_has_a_reason_and_a_use() {
        let manifest = "[workspace.dependencies]\ngatepost-mail = { path = \"x\" }\nbytes = \"1\"\ntokio = \"1\"\n";
        let used = HashSet::from_iter(names_in("[dependencies]\nbytes.workspace = true\n"));
        for (reasons, lines) in
            [("| `bytes` | spool |", vec![4]), ("", vec![3, 4]), ("reasons\n| `bytes`, `moka` | spool |", vec![2, 4])]
        {
            let found: Vec<usize> = judge(manifest, reasons, &used).into_iter().map(|finding| finding.line).collect();
            assert_eq!(found, lines, "{reasons}");
        }
    }
}
