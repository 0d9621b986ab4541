//! Step 7 of 9 - route: which recipient goes by which delivery queue.
//!
//! Takes an envelope, asks `policy::route::select` for each pending recipient, groups those that go the same way, and
//! puts one entry for each group into its queue. Opens nothing, sends nothing.

use std::collections::HashMap;
use std::sync::Arc;

use gatepost_mail::{Envelope, MessageId};
use gatepost_policy::Settings;
use gatepost_policy::route::{self, Route};
use gatepost_policy::send_connector::SendConnector;

use crate::queue::{Entry, Indices, QueueKey};
use crate::state::Running;

/// Where the recipients of one message go.
pub struct Plan(Vec<Part>);

struct Part {
    key: QueueKey,
    connector: Option<Arc<SendConnector>>,
    recipients: Vec<u32>,
}

/// Routes `recipients` (indices into the envelope) of a message of `size_bytes`.
pub fn plan(settings: &Settings, envelope: &Envelope, recipients: impl Iterator<Item = u32>, size_bytes: u64) -> Plan {
    let mut parts: Vec<Part> = Vec::with_capacity(1);
    let mut by_key: HashMap<QueueKey, usize> = HashMap::new();
    for index in recipients {
        let Some(recipient) = envelope.recipients.get(index as usize) else { continue };
        let (key, connector) = queue_for(route::select(settings, &recipient.mailbox, size_bytes));
        // Nearly every message goes one way; the table is only made for those that do not.
        let known = match parts.as_slice() {
            [] => None,
            [only] if by_key.is_empty() => (only.key == key).then_some(0),
            _ => by_key.get(&key).copied(),
        };
        match known {
            Some(part) => parts[part].recipients.push(index),
            None => {
                if parts.len() == 1 && by_key.is_empty() {
                    by_key.insert(parts[0].key.clone(), 0);
                }
                if !parts.is_empty() {
                    by_key.insert(key.clone(), parts.len());
                }
                parts.push(Part { key, connector, recipients: vec![index] });
            }
        }
    }
    Plan(parts)
}

/// The queue that a route leads to.
fn queue_for(route: Route) -> (QueueKey, Option<Arc<SendConnector>>) {
    match route {
        Route::Local { .. } => (QueueKey::Local, None),
        Route::Unreachable { .. } => (QueueKey::Unreachable, None),
        Route::Failed(_) => (QueueKey::Refused, None),
        Route::Send { connector, next_hop } => {
            (QueueKey::Send { connector: connector.name.clone(), next_hop }, Some(connector))
        }
    }
}

/// Puts the entries of a plan into their queues, due now (`None`) or at a time. What has no way out is due when it
/// expires.
pub fn enqueue(running: &Running, id: MessageId, arrival_ms: u64, plan: Plan, due_ms: Option<u64>) {
    for part in plan.0 {
        let due_ms = if part.key == QueueKey::Unreachable { Some(expiry_ms(running, arrival_ms)) } else { due_ms };
        let entry = Entry { id, recipients: Indices::from(part.recipients), arrival_ms };
        running.queues.push(part.key, part.connector.as_ref(), entry, due_ms);
    }
}

/// When a message that arrived at `arrival_ms` expires, Unix time in milliseconds.
pub fn expiry_ms(running: &Running, arrival_ms: u64) -> u64 {
    let lifetime = running.revision().settings.retry.message_expiration_timeout.as_millis();
    arrival_ms.saturating_add(u64::try_from(lifetime).unwrap_or(u64::MAX))
}

/// Routes what is pending of a message that lies in the spool: after recovery, and when settings changed.
/// A message that cannot be read stays where it is and is reported by the log; the spool sets damaged records aside.
pub fn enqueue_from_spool(running: &Running, id: MessageId, recipients: Option<&[u32]>, due_ms: Option<u64>) {
    let (envelope, states) = match running.spool.envelope(id) {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(queue_id = id.0, %error, "a queued message cannot be read");
            return;
        }
    };
    let revision = running.revision();
    let is_pending =
        |index: &u32| states.get(*index as usize).is_some_and(|state| state.state == gatepost_spool::State::Pending);
    let all: Vec<u32> = match recipients {
        Some(recipients) => recipients.iter().copied().filter(is_pending).collect(),
        None => (0..u32::try_from(states.len()).unwrap_or(u32::MAX)).filter(is_pending).collect(),
    };
    // The size decides between routes only near a connector's limit; the envelope alone is read here.
    let plan = plan(&revision.settings, &envelope, all.into_iter(), 0);
    let due_ms = due_ms.or_else(|| {
        let next = states.iter().filter(|state| state.state == gatepost_spool::State::Pending);
        next.map(|state| state.next_attempt_ms).min().filter(|next_ms| *next_ms > crate::clock::now_ms())
    });
    enqueue(running, id, envelope.arrival.time_ms, plan, due_ms);
}
