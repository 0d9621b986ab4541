//! `gatepost trace --follow`: what comes, as it comes.
//!
//! Takes the criteria, asks the running server once a second for what is new since it began, hands on what was not there the
//! last time: entries whole, of messages that were shown already the new steps. Holds as many entries as the last answer had.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use gatepost_manage::Client;
use gatepost_manage::trace::{TraceEntry, TraceQuery};

use super::client;
use super::timeline::{write_entry, write_steps};
use crate::cli::Target;
use crate::clock::now_ms;
use crate::failure::Failure;

const PAUSE: Duration = Duration::from_secs(1);
/// So long is looked for news of a message after it came.
const WINDOW_MS: u64 = 60 * 60 * 1000;
/// Entries of one answer, and answers that are asked for at once: beyond, the oldest are left out.
const PAGE: usize = 500;
const PAGES_MAX: usize = 10;

/// Follows until it is interrupted, or, of one message, until that has come to its end. Ctrl-C ends it between two entries.
pub fn follow(out: &mut dyn Write, target: &Target, query: TraceQuery, json: bool) -> Result<(), Failure> {
    let client = client(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let begin_ms = query.since_ms.unwrap_or_else(now_ms);
        let mut shown = HashMap::new();
        loop {
            let since_ms = match query.queue_id {
                Some(_) => query.since_ms,
                None => Some(begin_ms.max(now_ms().saturating_sub(WINDOW_MS))),
            };
            let wanted = TraceQuery { since_ms, ..query.clone() };
            let entries = tokio::select! {
                biased;
                _ = &mut interrupted => return Ok(()),
                entries = ask(&client, &wanted) => entries?,
            };
            let mut now_shown = HashMap::with_capacity(entries.len());
            for entry in entries.iter().rev() {
                let (key, steps) = key_of(entry)?;
                let before: Option<&Vec<u64>> = shown.get(&key);
                if before.is_none_or(|before| *before != steps) {
                    write_news(out, entry, (before, &steps), json)?;
                }
                now_shown.insert(key, steps);
            }
            out.flush()?;
            shown = now_shown;
            let has_ended = |entry: &TraceEntry| matches!(entry, TraceEntry::Message(message) if message.ended);
            if query.queue_id.is_some() && entries.iter().any(has_ended) {
                return Ok(());
            }
            tokio::select! {
                biased;
                _ = &mut interrupted => return Ok(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    })
}

/// What matches now, newest first.
async fn ask(client: &Client, query: &TraceQuery) -> Result<Vec<TraceEntry>, Failure> {
    let mut entries = Vec::new();
    let mut query = TraceQuery { limit: Some(PAGE), ..query.clone() };
    for _ in 0..PAGES_MAX {
        let page = client.trace(&query).await?;
        entries.extend(page.entries);
        query.from = page.next;
        if query.from.is_none() {
            break;
        }
    }
    Ok(entries)
}

/// By what an entry is known again, and each of its steps.
fn key_of(entry: &TraceEntry) -> Result<(String, Vec<u64>), Failure> {
    match entry {
        TraceEntry::Message(message) => {
            let steps = message.steps.iter().map(|step| {
                let mut hasher = DefaultHasher::new();
                serde_json::to_string(step).map_err(Failure::of)?.hash(&mut hasher);
                Ok(hasher.finish())
            });
            Ok((format!("message {}", message.queue_id), steps.collect::<Result<_, Failure>>()?))
        }
        // What has happened does not change.
        other => Ok((serde_json::to_string(other).map_err(Failure::of)?, Vec::new())),
    }
}

/// The steps that were shown, and those that there are now. One may come in between: a connection that failed is told at
/// the time of the first such.
fn write_news(
    out: &mut dyn Write,
    entry: &TraceEntry,
    (before, now): (Option<&Vec<u64>>, &[u64]),
    json: bool,
) -> Result<(), Failure> {
    if json {
        let line = serde_json::to_string(entry).map_err(Failure::of)?;
        return Ok(writeln!(out, "{line}")?);
    }
    match (entry, before) {
        (TraceEntry::Message(message), Some(before)) => {
            writeln!(out, "Message {}:", message.queue_id)?;
            let news = message.steps.iter().zip(now).filter(|(_, step)| !before.contains(step));
            write_steps(out, message, news.map(|(step, _)| step))?;
        }
        _ => write_entry(out, entry)?,
    }
    Ok(writeln!(out)?)
}
