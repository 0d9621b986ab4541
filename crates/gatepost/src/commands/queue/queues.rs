//! The queues as a whole: shown, suspended, resumed.

use std::io::{self, Write};

use gatepost_manage::resource::{
    MessageAction, Queue, QueueAction, QueueState, QueuesListing, QueuesQuery, QueuesRequest,
};

use super::super::{client, wait_for, write_json};
use super::change::{change, confirm};
use crate::cli::{HoldArguments, MessageChoice, QueueStatusArguments, Target};
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, ahead, count};

/// `queue status`.
pub fn status(out: &mut dyn Write, target: &Target, arguments: QueueStatusArguments) -> Result<(), Failure> {
    let QueueStatusArguments { filter, sort, json } = arguments;
    let is_filtered = filter.is_some();
    let listing = wait_for(client(target)?.queues(&QueuesQuery { filter, sort, ..QueuesQuery::default() }))?;
    if json {
        return write_json(out, &listing);
    }
    if listing.total == 0 && is_filtered {
        return Ok(writeln!(out, "No queue matches.")?);
    }
    Ok(write_queues(out, &listing, now_ms())?)
}

fn write_queues(out: &mut dyn Write, listing: &QueuesListing, now: u64) -> io::Result<()> {
    let mut table = Table::new(&[
        "IDENTITY",
        "NEXT HOP",
        "CONNECTOR",
        "DELIVERY TYPE",
        "STATUS",
        "MESSAGES",
        "IN/S",
        "OUT/S",
        "RETRIES",
        "NEXT TRY",
        "LAST ERROR",
    ]);
    for queue in &listing.queues {
        table.row(&[
            &format!("{}\\{}", listing.server, queue.identity),
            &queue.next_hop,
            if queue.connector.is_empty() { "-" } else { &queue.connector },
            &queue.delivery_type,
            state(queue.state),
            &messages(queue),
            &format!("{:.1}", queue.incoming_rate),
            &format!("{:.1}", queue.outgoing_rate),
            &queue.retry_count.to_string(),
            &queue.next_retry_ms.map_or("-".to_owned(), |next| ahead(next, now)),
            queue.last_error.as_deref().unwrap_or("-"),
        ]);
    }
    match listing.queues.is_empty() {
        true => writeln!(out, "Nothing waits in any queue.")?,
        false => table.write(out)?,
    }
    for next_hop in &listing.suspended_elsewhere {
        writeln!(out, "Suspended and empty: {next_hop}")?;
    }
    Ok(())
}

/// How many, and what is special about them.
fn messages(queue: &Queue) -> String {
    let mut notes = Vec::new();
    if queue.held > 0 {
        notes.push(format!("{} held back", queue.held));
    }
    let [high, _, low] = queue.messages_by_priority;
    if high + low > 0 {
        notes.push(format!("{high} high, {low} low"));
    }
    if notes.is_empty() { queue.messages.to_string() } else { format!("{} ({})", queue.messages, notes.join("; ")) }
}

fn state(state: QueueState) -> &'static str {
    match state {
        QueueState::Active => "Active",
        QueueState::Connecting => "Connecting",
        QueueState::Ready => "Ready",
        QueueState::Retry => "Retry",
        QueueState::Suspended => "Suspended",
    }
}

/// `queue suspend` and `queue resume`.
pub fn hold(out: &mut dyn Write, target: &Target, arguments: HoldArguments, suspend: bool) -> Result<(), Failure> {
    let HoldArguments { which, how } = arguments;
    if which.queue.is_empty() && which.queue_filter.is_none() {
        let action = if suspend { MessageAction::Suspend } else { MessageAction::Resume };
        return change(out, target, MessageChoice { ids: which.ids, filter: which.filter }, &action, &how);
    }
    let client = client(target)?;
    let (verb, done, action) = match suspend {
        true => ("Suspend", "Suspended", QueueAction::Suspend),
        false => ("Resume", "Resumed", QueueAction::Resume),
    };
    if which.queue_filter.is_some() {
        let query = QueuesQuery { filter: which.queue_filter.clone(), ..QueuesQuery::default() };
        let total = wait_for(client.queues(&query))?.total;
        if total > 0 {
            confirm(&format!("{verb} {}", count(total, "queue", "queues")), &how)?;
        }
    }
    let request = QueuesRequest { action, queues: which.queue, filter: which.queue_filter };
    let changed = wait_for(client.change_queues(&request))?;
    if how.json {
        return write_json(out, &changed);
    }
    match changed.queues.is_empty() {
        true => writeln!(out, "No queue matches.")?,
        false => writeln!(out, "{done}: {}.", changed.queues.join(", "))?,
    }
    Ok(())
}
