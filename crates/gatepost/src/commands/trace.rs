//! `gatepost trace`: what became of a message, and of an attempt that was refused.
//!
//! Takes the criteria, asks the running server page by page, hands on text for a helpdesk or JSON. Never reads a file of the
//! server (invariant I11).

use std::io::Write;

use gatepost_manage::trace::{EraseRequest, TraceEntry, Traced};

use super::criteria::query;
use super::timeline::write_entry;
use super::{client, decision, export, follow, wait_for, write_json};
use crate::cli::{Target, TraceArguments, TraceCommand};
use crate::failure::Failure;
use crate::terminal::{count, harmless, moment};

/// Pages are asked for until so many entries are there; an export asks for all.
const PAGE: usize = 500;

/// Searches, erases or exports.
pub fn trace(out: &mut dyn Write, target: &Target, arguments: &TraceArguments) -> Result<(), Failure> {
    match &arguments.command {
        Some(TraceCommand::Erase { address, json }) => erase(out, target, address, *json),
        Some(TraceCommand::Export(arguments)) => export::export(out, target, arguments),
        None if arguments.follow => follow::follow(out, target, query(&arguments.filter)?, arguments.json),
        None => search(out, target, arguments),
    }
}

fn erase(out: &mut dyn Write, target: &Target, address: &str, json: bool) -> Result<(), Failure> {
    let erased = wait_for(client(target)?.erase(&EraseRequest { address: address.to_owned() }))?;
    if json {
        return write_json(out, &erased);
    }
    if erased.passports == 0 && erased.decisions == 0 && erased.damaged == 0 {
        return Ok(writeln!(out, "No record holds {}: nothing was erased.", harmless(address))?);
    }
    writeln!(
        out,
        "Erased from {} and {}: {} stands there now.",
        count(erased.passports, "record of a message", "records of messages"),
        count(erased.decisions, "record of a decision", "records of decisions"),
        erased.token
    )?;
    if erased.damaged > 0 {
        writeln!(out, "{} that nobody can read went, too.", count(erased.damaged, "damaged place", "damaged places"))?;
    }
    Ok(writeln!(
        out,
        "Not touched: messages that wait in the queue, protocol transcripts, the log of the system, settings. Mail from now on \
         is recorded as ever."
    )?)
}

fn search(out: &mut dyn Write, target: &Target, arguments: &TraceArguments) -> Result<(), Failure> {
    let mut query = query(&arguments.filter)?;
    let (wanted, mut traced) = (arguments.limit as usize, None::<Traced>);
    while traced.as_ref().is_none_or(|traced| traced.next.is_some() && traced.entries.len() < wanted) {
        let have = traced.as_ref().map_or(0, |traced| traced.entries.len());
        query.limit = Some((wanted - have).clamp(1, PAGE));
        query.from = traced.as_mut().and_then(|traced| traced.next.take());
        let page = wait_for(client(target)?.trace(&query))?;
        match &mut traced {
            Some(traced) => {
                traced.entries.extend(page.entries);
                (traced.next, traced.cut_short) = (page.next, page.cut_short);
            }
            None => traced = Some(page),
        }
    }
    let Some(traced) = traced else { return Ok(()) };
    if arguments.json {
        return write_json(out, &traced);
    }
    if let [TraceEntry::Refusal(refusal)] = &traced.entries[..]
        && traced.next.is_none()
    {
        return decision::explain(out, target, &refusal.id, false);
    }
    write_text(out, &traced)
}

fn write_text(out: &mut dyn Write, traced: &Traced) -> Result<(), Failure> {
    // Whoever reads a page from its top wants the newest last, where the terminal stands.
    for entry in traced.entries.iter().rev() {
        write_entry(out, entry)?;
        writeln!(out)?;
    }
    match traced.entries.len() as u64 {
        0 => {
            write!(out, "Nothing that is recorded matches.")?;
            match traced.oldest_ms {
                Some(oldest_ms) => writeln!(out, " Records of messages go back to {}.", moment(oldest_ms))?,
                None => writeln!(out, " No message is recorded.")?,
            }
        }
        shown => write!(out, "{}", count(shown, "entry", "entries"))?,
    }
    if !traced.entries.is_empty() {
        let more = if traced.next.is_some() { "; there are older ones: --limit shows more" } else { "" };
        writeln!(out, "{more}.")?;
    }
    Ok(out.flush()?)
}
