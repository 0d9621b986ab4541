//! `gatepost acts`: what administrators did, asked of the running server.

use std::io::Write;

use gatepost_manage::resource::{ActEntry, ActOutcome, ActsQuery};

use super::{client, criteria, wait_for, write_json};
use crate::cli::{ActsArguments, Outcome, Target};
use crate::failure::Failure;
use crate::terminal::{Table, moment};

/// Searches.
pub fn acts(out: &mut dyn Write, target: &Target, arguments: &ActsArguments) -> Result<(), Failure> {
    let (since_ms, until_ms) = criteria::times(arguments.since.as_deref(), arguments.until.as_deref())?;
    let query = ActsQuery {
        since_ms,
        until_ms,
        actor: arguments.actor.clone(),
        act: arguments.act.clone(),
        outcome: arguments.outcome.map(|outcome| match outcome {
            Outcome::Done => ActOutcome::Done,
            Outcome::Prepared => ActOutcome::Prepared,
            Outcome::Refused => ActOutcome::Refused,
            Outcome::Failed => ActOutcome::Failed,
        }),
        limit: usize::try_from(arguments.limit).ok(),
        offset: None,
    };
    let mut found = wait_for(client(target)?.acts(&query))?.acts;
    found.reverse();
    if arguments.json {
        return write_json(out, &found);
    }
    if found.is_empty() {
        return Ok(writeln!(out, "Nothing of that kind was done.")?);
    }
    let mut table = Table::new(&["TIME", "WHO", "FROM", "OUTCOME", "ACT", "TARGET"]);
    for act in &found {
        table.row(&[&moment(act.time_ms), &act.actor, &from(act), outcome(act), &act.act, &told(act)]);
    }
    Ok(table.write(out)?)
}

fn from(act: &ActEntry) -> String {
    act.address.map_or_else(|| act.source.clone(), |address| address.to_string())
}

fn outcome(act: &ActEntry) -> &'static str {
    match act.outcome {
        ActOutcome::Done => "done",
        ActOutcome::Prepared => "prepared",
        ActOutcome::Refused => "refused",
        ActOutcome::Failed => "failed",
    }
}

/// What it was done to and with, and why not.
fn told(act: &ActEntry) -> String {
    let revision = act.revision.map(|revision| format!("revision {revision}"));
    let parts = [&act.target, &act.parameters, &act.reason, &revision, &act.error];
    parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("; ")
}
