//! `gatepost check --against`: what one settings file opens and closes, compared with another.

use std::io::Write;

use gatepost_policy::audit::{Change, Whom};
use gatepost_policy::permission::{Right, Rights};
use serde::Serialize;

use super::addresses::{Range, listeners_text, ranges, sources_text};
use crate::failure::Failure;
use crate::terminal::{Table, count};

/// Longer lists are cut for people; JSON has everything.
const ROWS_SHOWN_MAX: usize = 40;

/// One change, in JSON.
#[derive(Serialize)]
pub struct Row {
    /// `unauthenticated`, `user` or `other_users`.
    whom: &'static str,
    user: Option<String>,
    gained: Vec<&'static str>,
    lost: Vec<&'static str>,
    listeners: Vec<String>,
    sources: Vec<Range>,
}

/// All changes, in JSON.
pub fn rows(changes: &[Change]) -> Vec<Row> {
    let names = |rights: Rights| rights.iter().map(Right::exchange_name).collect();
    let row = |change: &Change| Row {
        whom: match &change.whom {
            Whom::Unauthenticated => "unauthenticated",
            Whom::User(_) => "user",
            Whom::OtherUsers => "other_users",
        },
        user: match &change.whom {
            Whom::User(name) => Some(name.to_string()),
            Whom::Unauthenticated | Whom::OtherUsers => None,
        },
        gained: names(change.gained),
        lost: names(change.lost),
        listeners: change.listeners.iter().map(ToString::to_string).collect(),
        sources: ranges(&change.sources),
    };
    changes.iter().map(row).collect()
}

/// All changes for a person, gains and losses on lines of their own.
pub fn write_changes(out: &mut dyn Write, against: &str, changes: &[Change]) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(writeln!(out, "Compared with {against}: no address gains or loses a right.")?);
    }
    writeln!(out, "Compared with {against}:\n")?;
    let mut table = Table::new(&["", "WHO", "FROM", "AT", "RIGHTS"]);
    for change in changes.iter().take(ROWS_SHOWN_MAX) {
        let whom = whom(&change.whom);
        let (sources, listeners) = (sources_text(&change.sources), listeners_text(&change.listeners));
        for (verb, rights) in [("gains", change.gained), ("loses", change.lost)] {
            if !rights.is_empty() {
                let names: Vec<&str> = rights.iter().map(Right::exchange_name).collect();
                table.row(&[verb, &whom, &sources, &listeners, &names.join(", ")]);
            }
        }
    }
    table.write(out)?;
    if let Some(more) = changes.len().checked_sub(ROWS_SHOWN_MAX).filter(|more| *more > 0) {
        writeln!(out, "and {}: --json shows all", count(more as u64, "more change", "more changes"))?;
    }
    Ok(())
}

fn whom(whom: &Whom) -> String {
    match whom {
        Whom::Unauthenticated => "without logging in".to_owned(),
        Whom::User(name) => format!("user {name}"),
        Whom::OtherUsers => "users".to_owned(),
    }
}

/// One change as a sentence; `verb` is `gain` or `lose`.
pub fn sentence(change: &Change, verb: &str, rights: Rights) -> String {
    let names: Vec<&str> = rights.iter().map(Right::exchange_name).collect();
    let (sources, listeners) = (sources_text(&change.sources), listeners_text(&change.listeners));
    format!("{sources} at {listeners} ({}) will {verb} {}", whom(&change.whom), names.join(", "))
}
