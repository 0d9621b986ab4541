//! Connections that could not be opened, told in the timeline of each message that waited for them.
//!
//! A next hop that is down is one failed connection at a time, and may be waited for by a million messages: so a failure is recorded
//! once, with the connections, and a message that is shown gets those of its ways while it waited there; alike ones are one step. What
//! was left out or is kept no more is not told.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use super::passport::Passport;
use super::query::Entry;
use crate::passport::event::{Outbound, Record, Step, Way, What};
use crate::passport::read;
use crate::passport::terms::{Term, equal};
use crate::segments::{Records, Segments};

/// Failures of one way that are looked at for a page, the newest.
const FAILURES_MAX: usize = 2_000;
/// Ways of one page.
const WAYS_MAX: usize = 100;
/// Steps that a message gets for one way.
const STEPS_MAX: usize = 20;

/// How long is looked for them, beside the search itself. What was not looked at is not told.
const PATIENCE: Duration = Duration::from_millis(500);

/// A stretch of time, both ends included.
type Span = (u64, u64);

/// Adds to each message the failed connections of its ways.
///
/// # Errors
/// When the disk cannot be read.
pub fn tell(segments: &Segments, entries: &mut [Entry]) -> io::Result<()> {
    let mut asked: BTreeMap<(String, String), (Way, Span)> = BTreeMap::new();
    let until = Instant::now() + PATIENCE;
    let waits: Vec<Vec<(Way, Span)>> = entries.iter().map(waited).collect();
    for (way, span) in waits.iter().flatten() {
        let key = (way.connector.to_string(), way.next_hop.to_string());
        if asked.len() >= WAYS_MAX && !asked.contains_key(&key) {
            continue;
        }
        let (_, all) = asked.entry(key).or_insert_with(|| (way.clone(), *span));
        *all = (all.0.min(span.0), all.1.max(span.1));
    }
    let mut failures = Vec::with_capacity(asked.len());
    for (way, span) in asked.into_values() {
        let failed = failed(segments, &way, span, until)?;
        if !failed.is_empty() {
            failures.push((way, failed));
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    for (entry, waits) in entries.iter_mut().zip(waits) {
        let Entry::Message(passport) = entry else { continue };
        for (way, span) in waits {
            let of_way = failures.iter().find(|(known, _)| *known == way);
            passport.steps.extend(of_way.into_iter().flat_map(|(way, failed)| steps(way, failed, span)));
        }
        passport.steps.sort_by_key(|step| step.time_ms);
    }
    Ok(())
}

/// The ways that a message was sent to, and how long somebody of it may have waited for each: until the last of those who were
/// routed there had ended, or was routed another way.
fn waited(entry: &Entry) -> Vec<(Way, Span)> {
    let Entry::Message(passport) = entry else { return Vec::new() };
    let mut waited: Vec<(Way, Span)> = Vec::new();
    let until_ms = ended_ms(passport).unwrap_or(u64::MAX);
    for (at, step) in passport.steps.iter().enumerate() {
        // Without a send connector nobody is connected to.
        let What::Routed { recipients, way } = &step.what else { continue };
        if way.connector.is_empty() {
            continue;
        }
        let later = &passport.steps[at + 1..];
        let left_ms = |recipient: &u32| {
            let leaves = |step: &&Step| match &step.what {
                What::Routed { recipients, .. } => recipients.contains(recipient),
                what => what.outcomes().iter().any(|it| it.recipient == *recipient && !it.verdict.is_pending()),
            };
            later.iter().find(leaves).map_or(until_ms, |step| step.time_ms)
        };
        let until_ms = recipients.iter().map(left_ms).max().unwrap_or(until_ms);
        // Who is routed anew the same way goes on waiting there.
        match waited.iter_mut().find(|(known, span)| known == way && span.1 >= step.time_ms) {
            Some((_, span)) => span.1 = span.1.max(until_ms),
            None => waited.push((way.clone(), (step.time_ms, until_ms))),
        }
    }
    waited
}

/// When none of its recipients was pending any more.
fn ended_ms(passport: &Passport) -> Option<u64> {
    let ends = passport.steps.iter().filter(|step| !step.what.outcomes().is_empty());
    passport.is_ended.then(|| ends.map(|step| step.time_ms).fold(passport.time_ms(), u64::max))
}

/// The failed connections of a way, newest first.
fn failed(segments: &Segments, way: &Way, (from_ms, until_ms): Span, until: Instant) -> io::Result<Vec<Outbound>> {
    let mut found = Vec::new();
    let hash = Term::Failed(&way.next_hop).hash();
    for piece in segments.snapshot(&[hash]).pieces {
        let is_of_then = |block: u32| {
            piece.blocks().get(block as usize).is_some_and(|it| it.last_ms >= from_ms && it.first_ms <= until_ms)
        };
        let all = || (0..piece.blocks().len() as u32).collect::<Vec<u32>>();
        let blocks = piece.candidates(hash)?.unwrap_or_else(all);
        for block in blocks.into_iter().rev().filter(|block| is_of_then(*block)) {
            if Instant::now() >= until {
                return Ok(found);
            }
            let Some(raw) = piece.read_block(block)? else { continue };
            let failed = Records(&raw).filter_map(|record| match read(record)? {
                Record::Outbound(outbound) if !outbound.is_opened => Some(*outbound),
                _ => None,
            });
            let of_way = failed.filter(|it| {
                it.way.next_hop == way.next_hop
                    && equal(&it.way.connector, &way.connector)
                    && (from_ms..=until_ms).contains(&it.time_ms)
            });
            let mut here: Vec<Outbound> = of_way.collect();
            here.reverse();
            found.extend(here);
            if found.len() >= FAILURES_MAX {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// Those of a time as steps: for each server and reason one, at its first time.
fn steps(way: &Way, failed: &[Outbound], (from_ms, until_ms): Span) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for failure in failed.iter().rev().filter(|failure| (from_ms..=until_ms).contains(&failure.time_ms)) {
        let alike = steps.iter_mut().find_map(|step| match &mut step.what {
            What::NoConnection { remote, address, reason, count, until_ms, .. }
                if (&*remote, *address, &*reason) == (&failure.remote, failure.address, &failure.end) =>
            {
                Some((count, until_ms))
            }
            _ => None,
        });
        if let Some((count, last_ms)) = alike {
            (*count, *last_ms) = (*count + 1, failure.time_ms);
        } else if steps.len() < STEPS_MAX {
            let (way, remote, reason) = (way.clone(), failure.remote.clone(), failure.end.clone());
            let (address, time_ms) = (failure.address, failure.time_ms);
            let what = What::NoConnection { way, remote, address, reason, count: 1, until_ms: time_ms };
            steps.push(Step { time_ms, what });
        }
    }
    steps
}
