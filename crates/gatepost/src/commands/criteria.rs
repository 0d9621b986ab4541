//! What `trace` and its export ask for: the options of the command line as a query of the API.

use gatepost_manage::trace::{TraceQuery, TraceVerdict};

use super::explain::instant_of;
use crate::cli::{TraceFilter, Verdict};
use crate::clock::now_ms;
use crate::failure::Failure;

/// What the server is asked.
pub fn query(filter: &TraceFilter) -> Result<TraceQuery, Failure> {
    let now = now_ms();
    let time = |text: &Option<String>| text.as_deref().map(|text| moment_of(text, now)).transpose();
    Ok(TraceQuery {
        queue_id: filter.queue_id,
        message_id: filter.message_id.clone(),
        address: filter.address.clone(),
        sender: filter.sender.clone(),
        recipient: filter.recipient.clone(),
        domain: filter.domain.clone(),
        peer: filter.peer.clone(),
        connector: filter.connector.clone(),
        verdict: filter.verdict.map(|verdict| match verdict {
            Verdict::Delivered => TraceVerdict::Delivered,
            Verdict::Deferred => TraceVerdict::Deferred,
            Verdict::Failed => TraceVerdict::Failed,
            Verdict::Expired => TraceVerdict::Expired,
            Verdict::Removed => TraceVerdict::Removed,
            Verdict::Refused => TraceVerdict::Refused,
        }),
        word: Some(filter.words.join(" ")).filter(|words| !words.is_empty()),
        decision: filter.decision.clone(),
        since_ms: time(&filter.since)?,
        until_ms: time(&filter.until)?,
        events: filter.events.then_some(true),
        limit: None,
        from: None,
    })
}

/// `90m`, `2h`, `7d` ago, or a moment as `2027-01-31T09:30:00+01:00`.
fn moment_of(text: &str, now_ms: u64) -> Result<u64, Failure> {
    let units = [('s', 1_000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
    let ago = units.iter().find_map(|(unit, ms)| text.strip_suffix(*unit)?.parse::<u64>().ok()?.checked_mul(*ms));
    match ago {
        Some(ago_ms) => Ok(now_ms.saturating_sub(ago_ms)),
        None => instant_of(text),
    }
}
