//! `gatepost check --against` and `gatepost reload`: what one settings file opens and closes, compared with another.

use std::io::Write;

use gatepost_mail::Domain;
use gatepost_manage::resource::ExposureChange;
use gatepost_policy::address_set::AddressSet;
use gatepost_policy::audit::{Change, Whom};
use gatepost_policy::note::instant;
use gatepost_policy::permission::{Right, Rights};

use super::addresses::{listeners_text, sources_text};
use crate::failure::Failure;
use crate::terminal::{Table, count};

/// Longer lists are cut for people; JSON has everything.
const ROWS_SHOWN_MAX: usize = 40;

/// All changes, in JSON.
pub fn rows(changes: &[Change]) -> Vec<ExposureChange> {
    changes.iter().map(ExposureChange::from).collect()
}

/// The changes that a server told of; a right that this program does not know is left out.
pub fn told(changes: &[ExposureChange]) -> Vec<Change> {
    let rights = |names: &[String]| names.iter().filter_map(|name| Right::parse(name)).collect();
    let change = |change: &ExposureChange| Change {
        whom: match &change.user {
            Some(name) if change.whom == "server" => Whom::Server(name.as_str().into()),
            Some(name) if change.whom == "partner" => Domain::parse(name).map_or(Whom::OtherUsers, Whom::Partner),
            Some(user) => Whom::User(user.as_str().into()),
            None if change.whom == "unauthenticated" => Whom::Unauthenticated,
            None => Whom::OtherUsers,
        },
        gained: rights(&change.gained),
        lost: rights(&change.lost),
        listeners: change.listeners.clone(),
        sources: AddressSet::of(change.sources.iter().map(|range| (range.first, range.last))),
        from_ms: change.from_ms,
        until_ms: change.until_ms,
    };
    changes.iter().map(change).collect()
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
        let (sources, listeners) = (sources_text(&change.sources) + &when(change), listeners_text(&change.listeners));
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

/// From when and until when, where that is not from now on and for good.
fn when(change: &Change) -> String {
    let begins = change.from_ms.map(|from_ms| format!(" from {} on", instant(from_ms)));
    let ends = change.until_ms.map(|until_ms| format!(" until {}", instant(until_ms)));
    begins.unwrap_or_default() + &ends.unwrap_or_default()
}

fn whom(whom: &Whom) -> String {
    match whom {
        Whom::Unauthenticated => "without logging in".to_owned(),
        Whom::User(name) => format!("user {name}"),
        Whom::OtherUsers => "users".to_owned(),
        Whom::Server(name) => format!("server {name} by certificate"),
        Whom::Partner(domain) => format!("partner {domain} by certificate"),
    }
}

/// One change as a sentence; `verb` is `gain` or `lose`.
pub fn sentence(change: &Change, verb: &str, rights: Rights) -> String {
    let names: Vec<&str> = rights.iter().map(Right::exchange_name).collect();
    let (sources, listeners) = (sources_text(&change.sources) + &when(change), listeners_text(&change.listeners));
    format!("{sources} at {listeners} ({}) will {verb} {}", whom(&change.whom), names.join(", "))
}
