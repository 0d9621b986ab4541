//! `gatepost trace --follow`: what comes, as it comes.
//!
//! Takes the criteria, asks the running server once a second for what is new since it began, hands on what was not there the
//! last time: entries whole, of messages that were shown already the new steps. Holds as many entries as the last answer had.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use gatepost_manage::trace::{TraceEntry, TraceQuery};

use super::timeline::{write_entry, write_steps};
use super::{client, wait_for};
use crate::cli::Target;
use crate::clock::now_ms;
use crate::failure::Failure;

const PAUSE: Duration = Duration::from_secs(1);
/// So long is looked for news of a message after it came.
const WINDOW_MS: u64 = 60 * 60 * 1000;
/// Entries of one answer, and answers that are asked for at once: beyond, the oldest are left out.
const PAGE: usize = 500;
const PAGES_MAX: usize = 10;

/// Follows until it is interrupted, or, of one message, until that has come to its end.
pub fn follow(out: &mut dyn Write, target: &Target, query: TraceQuery, json: bool) -> Result<(), Failure> {
    let begin_ms = query.since_ms.unwrap_or_else(now_ms);
    let mut shown = HashMap::new();
    loop {
        let since_ms = match query.queue_id {
            Some(_) => query.since_ms,
            None => Some(begin_ms.max(now_ms().saturating_sub(WINDOW_MS))),
        };
        let entries = ask(target, &TraceQuery { since_ms, ..query.clone() })?;
        let mut now_shown = HashMap::with_capacity(entries.len());
        for entry in entries.iter().rev() {
            let (key, steps) = key_of(entry)?;
            let before = shown.get(&key).copied();
            if before != Some(steps) {
                write_news(out, entry, before, json)?;
            }
            now_shown.insert(key, steps);
        }
        out.flush()?;
        shown = now_shown;
        let has_ended = |entry: &TraceEntry| matches!(entry, TraceEntry::Message(message) if message.ended);
        if query.queue_id.is_some() && entries.iter().any(has_ended) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}

/// What matches now, newest first.
fn ask(target: &Target, query: &TraceQuery) -> Result<Vec<TraceEntry>, Failure> {
    let mut entries = Vec::new();
    let mut query = TraceQuery { limit: Some(PAGE), ..query.clone() };
    for _ in 0..PAGES_MAX {
        let page = wait_for(client(target)?.trace(&query))?;
        entries.extend(page.entries);
        query.from = page.next;
        if query.from.is_none() {
            break;
        }
    }
    Ok(entries)
}

/// By what an entry is known again, and how much there is of it.
fn key_of(entry: &TraceEntry) -> Result<(String, usize), Failure> {
    match entry {
        TraceEntry::Message(message) => Ok((format!("message {}", message.queue_id), message.steps.len())),
        // What has happened does not change.
        other => Ok((serde_json::to_string(other).map_err(Failure::of)?, 0)),
    }
}

/// `before`: how many of its steps were shown.
fn write_news(out: &mut dyn Write, entry: &TraceEntry, before: Option<usize>, json: bool) -> Result<(), Failure> {
    if json {
        let line = serde_json::to_string(entry).map_err(Failure::of)?;
        return Ok(writeln!(out, "{line}")?);
    }
    match (entry, before) {
        (TraceEntry::Message(message), Some(before)) if before < message.steps.len() => {
            writeln!(out, "Message {}:", message.queue_id)?;
            write_steps(out, message, before)?;
        }
        _ => write_entry(out, entry)?,
    }
    Ok(writeln!(out)?)
}
