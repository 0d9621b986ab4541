//! Looks into the running server for the administrator: status, queue listings, one message, removal.
//!
//! Reads envelopes from the spool in a blocking task, so that a long listing holds up nobody.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gatepost_mail::{MessageId, Reply, header};
use gatepost_policy::readiness;
use gatepost_spool::{Content, Message, Outcome, State};

use crate::blocking;
use crate::categorize;
use crate::clock::now_ms;
use crate::fetch;
use crate::listing::{
    Counters, Health, ListenerStatus, MessageDetail, QueueFilter, QueueListing, QueueState, QueueStatus, QueuedMessage,
    QueuedRecipient, RemoveError, Status, Which,
};
use crate::passports;
use crate::queue::{DeliveryQueue, Entry, QueueKey, Snapshot};
use crate::report::{self, Attempt};
use crate::state::{Running, read};

/// Of the header section, at most this much is shown, in bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// What the sender is told when an administrator removes a message.
const REMOVED: Reply = Reply::new(550, (5, 0, 0), "The message was removed from the queue by an administrator");

/// How the server is doing.
pub fn status(running: &Running) -> Status {
    let revision = running.revision();
    let counters = &running.counters;
    let mut queues: Vec<QueueStatus> = running
        .queues
        .all()
        .iter()
        .map(|queue| {
            let snapshot = queue.snapshot();
            QueueStatus {
                next_hop: queue.key.to_string(),
                connector: queue.connector.as_ref().map(|connector| connector.name.to_string()).unwrap_or_default(),
                state: state_of(&snapshot),
                messages: snapshot.entries,
                connections: u64::from(snapshot.connections),
                last_error: snapshot.last_error.as_deref().map(str::to_owned),
                next_retry_ms: snapshot.blocked_until_ms,
            }
        })
        .collect();
    queues.sort_by(|a, b| (&a.next_hop, &a.connector).cmp(&(&b.next_hop, &b.connector)));
    let listening = running.listening().into_iter();
    Status {
        version: running.version,
        server_name: revision.settings.server.name.to_string(),
        started_ms: running.started_ms,
        revision: revision.number,
        revision_since_ms: revision.since_ms,
        listeners: listening.map(|(address, implicit_tls)| ListenerStatus { address, implicit_tls }).collect(),
        inbound_connections: running.connections.total(),
        outbound_connections: read(&counters.outbound_connections),
        counters: Counters {
            connections: read(&counters.connections),
            connections_refused: read(&counters.connections_refused),
            messages_accepted: read(&counters.messages_accepted),
            refusals: read(&counters.refusals),
            recipients_asked: read(&counters.recipients_asked),
            delivered: read(&counters.delivered),
            deferred: read(&counters.deferred),
            failed: read(&counters.failed),
            reports: read(&counters.reports),
        },
        queues,
        spool: running.spool.usage(),
        tls_faults: revision.tls.faults().to_vec(),
        logon_faults: running.logon_faults.all(),
        recovering: running.recovering.load(std::sync::atomic::Ordering::Relaxed),
        back_pressure: running.back_pressure.all(),
        alarms: running.alarms.raised(),
        obstacles: health(running).obstacles,
    }
}

/// Whether it lives, and whether it takes mail.
pub fn health(running: &Running) -> Health {
    let spool = running.spool.usage();
    let pressed = running.back_pressure.all().into_iter();
    let facts = readiness::Facts {
        // While the spool closes it is not to be asked: that would wait for it.
        spool_is_alive: running.is_stopping() || running.spool.is_alive(),
        disk_silent_ms: u64::try_from(spool.writing_for.as_millis()).unwrap_or(u64::MAX),
        listeners: running.listening().len(),
        is_stopping: running.is_stopping(),
        pressed: pressed.map(|metered| (metered.reading.resource, metered.pressure.level)).collect(),
    };
    Health { faults: readiness::faults(&facts), obstacles: readiness::obstacles(&facts) }
}

/// What a queue is doing.
pub fn state_of(snapshot: &Snapshot) -> QueueState {
    if snapshot.blocked_until_ms.is_some() {
        QueueState::Retry
    } else if snapshot.connections > 0 || (snapshot.in_flight > 0 && snapshot.workers > 0) {
        if snapshot.connections == 0 && snapshot.workers > 0 { QueueState::Connecting } else { QueueState::Active }
    } else {
        QueueState::Ready
    }
}

/// Messages that match a filter, oldest first. Of those that are not listed no more is kept than their number.
pub async fn queue(running: &Arc<Running>, filter: QueueFilter) -> QueueListing {
    let running = running.clone();
    let list = move || {
        let Matching { total, first } = matching(&running, &filter);
        let places = Places::gather(&running, |entry| first.contains(&entry.id));
        let messages = first.iter().filter_map(|id| Some(places.describe(&running.spool.message(*id).ok()?)));
        QueueListing { total, messages: messages.collect() }
    };
    let listed = blocking::run(list).await;
    listed.unwrap_or_else(|_| QueueListing { total: 0, messages: Vec::new() })
}

/// Messages that match a filter: how many, and the first of them.
struct Matching {
    total: u64,
    first: BTreeSet<MessageId>,
}

fn matching(running: &Running, filter: &QueueFilter) -> Matching {
    let QueueFilter { next_hop, sender, recipient, limit } = filter;
    let waiting = next_hop.as_ref().map(|part| waiting_for(running, part));
    let mut matching = Matching { total: 0, first: BTreeSet::new() };
    for id in running.spool.live() {
        if waiting.as_ref().is_some_and(|waiting| !waiting.contains(&id)) {
            continue;
        }
        if sender.is_some() || recipient.is_some() {
            let Ok((envelope, _)) = running.spool.envelope(id) else { continue };
            let mut recipients = envelope.recipients.iter();
            let is_for = |part: &String| recipients.any(|recipient| holds(&recipient.mailbox.to_string(), part));
            let is_from = |part: &String| holds(&envelope.reverse_path.to_string(), part);
            if !sender.as_ref().is_none_or(is_from) || !recipient.as_ref().is_none_or(is_for) {
                continue;
            }
        }
        matching.total += 1;
        if matching.first.len() < *limit {
            matching.first.insert(id);
        }
    }
    matching
}

/// What waits in queues with this text in the name of their next hop.
fn waiting_for(running: &Running, part: &str) -> HashSet<MessageId> {
    let mut waiting = HashSet::new();
    for queue in running.queues.all() {
        if holds(&queue.key.to_string(), part) {
            queue.for_each(|entry, _| {
                waiting.insert(entry.id);
            });
        }
    }
    waiting
}

/// Whether a text has this part, any case.
fn holds(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

/// One message with its header section.
pub async fn message(running: &Arc<Running>, id: MessageId) -> Option<MessageDetail> {
    let running = running.clone();
    let look = move || {
        let message = running.spool.message(id).ok()?;
        let bytes = beginning(&message.content);
        let length = header::section_len(&bytes).unwrap_or(bytes.len());
        let header = String::from_utf8_lossy(&bytes[..length]).into_owned();
        Some(MessageDetail { message: Places::look_for(&running, id).describe(&message), header })
    };
    blocking::run(look).await.ok().flatten()
}

/// The first [`HEADER_BYTES_MAX`] of a content, or what the disk gives out of them. What we put in front of a large body
/// comes by itself.
fn beginning(content: &Content) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(missing @ 1..) = HEADER_BYTES_MAX.checked_sub(bytes.len()) {
        match content.read(bytes.len() as u64, missing) {
            Ok(piece) if !piece.is_empty() => bytes.extend_from_slice(&piece),
            Ok(_) | Err(_) => break,
        }
    }
    bytes
}

/// Where the recipients of messages wait.
struct Places(HashMap<(MessageId, u32), Place>);

#[derive(Clone)]
struct Place {
    next_hop: Arc<str>,
    error: Option<Arc<str>>,
    due_ms: Option<u64>,
}

impl Places {
    fn look_for(running: &Running, id: MessageId) -> Places {
        Places::gather(running, |entry| entry.id == id)
    }

    fn gather(running: &Running, wanted: impl Fn(&Entry) -> bool) -> Places {
        let mut places = HashMap::new();
        for queue in running.queues.all() {
            let next_hop: Arc<str> = queue.key.to_string().into();
            let error = queue.snapshot().last_error;
            // What has no way out is not tried at a time: it is given up then.
            let is_tried = queue.key != QueueKey::Unreachable;
            queue.for_each(|entry, due_ms| {
                let due_ms = due_ms.filter(|_| is_tried);
                if wanted(entry) {
                    let place = Place { next_hop: next_hop.clone(), error: error.clone(), due_ms };
                    places.extend(entry.recipients.as_slice().iter().map(|index| ((entry.id, *index), place.clone())));
                }
            });
        }
        Places(places)
    }

    fn describe(&self, message: &Message) -> QueuedMessage {
        let envelope = &message.envelope;
        let recipients = envelope.recipients.iter().zip(&message.recipients).zip(0u32..);
        QueuedMessage {
            id: message.id,
            arrival_ms: envelope.arrival.time_ms,
            size_bytes: message.content.len(),
            reverse_path: envelope.reverse_path.to_string(),
            connector: envelope.arrival.connector.to_string(),
            peer: envelope.arrival.peer,
            principal: envelope.arrival.principal.to_string(),
            recipients: recipients
                .map(|((recipient, state), index)| {
                    let place = self.0.get(&(message.id, index)).filter(|_| state.state == State::Pending);
                    QueuedRecipient {
                        address: recipient.mailbox.to_string(),
                        state: state.state,
                        next_hop: place.map(|place| place.next_hop.to_string()),
                        next_hop_error: place.and_then(|place| place.error.as_deref().map(str::to_owned)),
                        attempts: state.attempts,
                        last_reply: state.last_reply.as_deref().map(str::to_owned),
                        next_attempt_ms: place.and_then(|place| place.due_ms),
                    }
                })
                .collect(),
        }
    }
}

/// Makes waiting entries due now. Goes through every queue: not on a thread that drives sockets.
pub async fn retry(running: &Arc<Running>, which: Which) -> usize {
    let running = running.clone();
    let hurry = move || match which {
        Which::All => running.queues.hurry(|_| true, |_| true),
        Which::Message(id) => running.queues.hurry(|_| true, |entry| entry.id == id),
        Which::NextHop(part) => {
            let part = part.to_lowercase();
            running.queues.hurry(|queue| queue.key.to_string().to_lowercase().contains(&part), |_| true)
        }
    };
    blocking::run(hurry).await.unwrap_or(0)
}

/// Ends every pending recipient of a message.
pub async fn remove(running: &Arc<Running>, id: MessageId, with_report: bool) -> Result<(), RemoveError> {
    let running = running.clone();
    // A task of its own: entries that were taken from their queues must not be forgotten with a caller who hangs up.
    let removal = tokio::spawn(async move { take_out(&running, id, with_report).await });
    removal.await.unwrap_or_else(|error| Err(RemoveError::Report(id, error.to_string())))
}

async fn take_out(running: &Arc<Running>, id: MessageId, with_report: bool) -> Result<(), RemoveError> {
    let Ok(message) = fetch::message(&running.spool, id).await else { return Err(RemoveError::Unknown(id)) };
    let is_pending = |index: &u32| categorize::is_pending(&message.recipients, *index);
    let taken = Taken { running, entries: running.queues.take_message(id) };
    let waiting: Vec<u32> = taken
        .entries
        .iter()
        .flat_map(|(_, entry, _)| entry.recipients.as_slice())
        .copied()
        .filter(is_pending)
        .collect();
    let pending = (0u32..).take(message.recipients.len()).filter(is_pending).count();
    if waiting.len() < pending {
        return Err(RemoveError::InFlight(id));
    }
    if with_report {
        let attempt = |index| Attempt { index, reply: REMOVED, remote: None, remote_reports: false };
        let attempts: Vec<Attempt> = waiting.iter().copied().map(attempt).collect();
        let reported = report::give_up(running, &message, &attempts).await;
        reported.map_err(|error| RemoveError::Report(id, error.to_string()))?;
    }
    let time_ms = now_ms();
    let outcomes = waiting.into_iter().map(|index| (index, Outcome::Removed { time_ms })).collect();
    let detail = with_report.then(|| "with a report".into());
    passports::settle_by_hand(running, id, outcomes, "administrator", "remove", detail);
    taken.done();
    tracing::info!(queue_id = id.0, with_report, verdict = "removed", "removed by an administrator");
    Ok(())
}

/// Entries taken from their queues. Unless it comes to an end with them, they go back where they were.
struct Taken<'a> {
    running: &'a Arc<Running>,
    entries: Vec<(Arc<DeliveryQueue>, Entry, Option<u64>)>,
}

impl Taken<'_> {
    fn done(mut self) {
        for (queue, ..) in self.entries.drain(..) {
            self.running.queues.done(&queue);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for (queue, entry, due_ms) in self.entries.drain(..) {
            categorize::put_back(self.running, &queue, entry, due_ms);
        }
    }
}
