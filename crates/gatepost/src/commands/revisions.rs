//! `gatepost revisions`: what was in force when, by whom and why; compared; put in force again.

use std::io::Write;

use gatepost_manage::ClientError;
use gatepost_manage::history::{Origin, Revision};
use gatepost_manage::resource::{Amended, RestoreRequest, RevisionDifference, Revisions, RevisionsQuery};

use super::{client, difference, wait_for, write_json};
use crate::cli::{RevisionsArguments, RevisionsCommand, Target};
use crate::failure::Failure;
use crate::terminal::{Table, count, harmless, moment};

/// Lists, shows, compares or restores.
pub fn revisions(out: &mut dyn Write, target: &Target, arguments: &RevisionsArguments) -> Result<(), Failure> {
    let client = client(target)?;
    match &arguments.command {
        None => {
            let query = RevisionsQuery { limit: Some(arguments.limit.into()), before: arguments.before };
            let listing = wait_for(client.revisions(query))?;
            if arguments.json { write_json(out, &listing) } else { write_listing(out, &listing) }
        }
        Some(RevisionsCommand::Show { number, json }) => {
            let revision = wait_for(client.revision(*number))?;
            if *json {
                return write_json(out, &revision);
            }
            Ok(out.write_all(revision.text.as_bytes())?)
        }
        Some(RevisionsCommand::Diff { old, new, json }) => {
            let difference = wait_for(client.revision_difference(*old, *new))?;
            if *json { write_json(out, &difference) } else { write_difference(out, &difference) }
        }
        Some(RevisionsCommand::Restore { number, what_if, why, json }) => {
            let request = RestoreRequest { what_if: *what_if, why: why.clone(), base: None };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            match runtime.block_on(client.restore(*number, &request)) {
                Ok(amended) if *json => write_json(out, &amended),
                Ok(amended) => write_restored(out, *number, &amended),
                Err(ClientError::Refused { refused, .. }) if *json && !refused.problems.is_empty() => {
                    write_json(out, &refused)?;
                    Err(Failure::Settings(String::new()))
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}

fn write_listing(out: &mut dyn Write, listing: &Revisions) -> Result<(), Failure> {
    let mut table = Table::new(&["", "NUMBER", "SINCE", "WHO", "FROM", "HOW", "WHY"]);
    for revision in &listing.revisions {
        let mark = if revision.number == listing.in_force { ">" } else { "" };
        table.row(&[
            mark,
            &revision.number.to_string(),
            &moment(revision.at_ms),
            &harmless(&revision.author.who),
            &harmless(&revision.author.from),
            &how(revision),
            &harmless(&revision.reason()),
        ]);
    }
    table.write(out)?;
    if let Some(next) = listing.next {
        writeln!(out, "Older ones: gatepost revisions --before {next}")?;
    }
    Ok(())
}

fn how(revision: &Revision) -> String {
    match revision.origin {
        Origin::First => "first".to_owned(),
        Origin::Amended => "command".to_owned(),
        Origin::ByHand => "by hand".to_owned(),
        Origin::Restored { number } => format!("restored {number}"),
    }
}

fn write_difference(out: &mut dyn Write, compared: &RevisionDifference) -> Result<(), Failure> {
    if compared.difference.is_empty() {
        return Ok(writeln!(out, "Revisions {} and {} say the same.", compared.old, compared.new)?);
    }
    writeln!(out, "--- revision {}\n+++ revision {}", compared.old, compared.new)?;
    write_lines(out, &compared.difference)?;
    writeln!(out)?;
    difference::write_changes(out, &format!("revision {}", compared.old), &compared.changes)
}

/// Documents hold what somebody typed.
fn write_lines(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    for line in text.lines() {
        writeln!(out, "{}", harmless(line))?;
    }
    Ok(())
}

fn write_restored(out: &mut dyn Write, number: u64, amended: &Amended) -> Result<(), Failure> {
    if !amended.is_changed {
        return Ok(writeln!(out, "Revision {number} says what is in force already: nothing was changed.")?);
    }
    for warning in &amended.warnings {
        writeln!(out, "warning: line {}: {}; {}", warning.line, warning.message, warning.remedy)?;
    }
    write_lines(out, &amended.difference)?;
    writeln!(out)?;
    difference::write_changes(out, "what was in force", &amended.exposure)?;
    match amended.revision {
        Some(made) => writeln!(out, "Revision {number} is in force again, as revision {made}.")?,
        None => writeln!(out, "Nothing was changed: --what-if only shows what would change.")?,
    }
    for (addresses, done) in [(&amended.opened, "opened"), (&amended.closed, "closed")] {
        if !addresses.is_empty() {
            let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            writeln!(out, "{done} {}: {}", count(addresses.len() as u64, "listener", "listeners"), shown.join(", "))?;
        }
    }
    Ok(())
}
