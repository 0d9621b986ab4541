//! Looks into the running server for the administrator: status, queues, listings, one message.
//!
//! Reads envelopes from the spool in a blocking task, so that a long listing holds up nobody.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gatepost_mail::{Envelope, MessageId, header};
use gatepost_policy::readiness;
use gatepost_policy::route::NextHop;
use gatepost_spool::{Content, Message, RecipientState, Standing, State};

use crate::blocking;
use crate::categorize;
use crate::clock::now_ms;
use crate::day::{Day, Traffic};
use crate::listing::{
    Counters, DeliveryType, Health, ListenerStatus, MessageDetail, MessageStatus, QueueFilter, QueueListing,
    QueueState, QueueStatus, QueuedMessage, QueuedRecipient, Status,
};
use crate::queue::{DeliveryQueue, Indices, QueueKey, Snapshot};
use crate::state::{Running, read};

/// Of the header section, at most this much is shown, in bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// So many messages are asked of the spool at a time.
const LISTED_AT_ONCE: usize = 4_096;

/// How the server is doing.
pub fn status(running: &Running) -> Status {
    let revision = running.revision();
    let counters = &running.counters;
    // Queues where nothing is going on are shown by `queues` alone.
    let is_in_trouble = |queue: &QueueStatus| queue.suspended || queue.next_retry_ms.is_some();
    let is_busy = |queue: &QueueStatus| queue.messages > 0 || queue.connections > 0 || is_in_trouble(queue);
    let mut queues = self::queues(running);
    queues.retain(is_busy);
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
        day: day(running),
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

/// The traffic of the last day. Asked every few seconds, so that each hour gets what is its own.
pub fn day(running: &Running) -> Day {
    let counters = &running.counters;
    let counts = Traffic {
        accepted: read(&counters.messages_accepted),
        refused: read(&counters.refusals),
        delivered: read(&counters.delivered),
        deferred: read(&counters.deferred),
        failed: read(&counters.failed),
    };
    running.days.note(counts, now_ms())
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

/// Every queue, by next hop and connector.
pub fn queues(running: &Running) -> Vec<QueueStatus> {
    let mut queues: Vec<QueueStatus> = running.queues.all().iter().map(|queue| queue_status(queue)).collect();
    queues.sort_by(|a, b| (&a.next_hop, &a.connector).cmp(&(&b.next_hop, &b.connector)));
    queues
}

fn queue_status(queue: &DeliveryQueue) -> QueueStatus {
    let snapshot = queue.snapshot();
    QueueStatus {
        identity: identity(queue),
        name: queue.key.name(),
        delivery_type: match &queue.key {
            QueueKey::Send { next_hop: NextHop::Domain(_), .. } => DeliveryType::DnsConnectorDelivery,
            QueueKey::Send { next_hop: NextHop::SmartHosts(_), .. } => DeliveryType::SmartHostConnectorDelivery,
            QueueKey::Local => DeliveryType::SmtpDeliveryToMailbox,
            QueueKey::Unreachable => DeliveryType::Unreachable,
            _ => DeliveryType::Undefined,
        },
        next_hop: queue.key.to_string(),
        connector: queue.connector.as_ref().map(|connector| connector.name.to_string()).unwrap_or_default(),
        state: state_of(&snapshot),
        suspended: snapshot.suspended,
        messages: snapshot.entries,
        held: snapshot.held,
        deferred: snapshot.deferred,
        by_priority: snapshot.by_priority,
        connections: u64::from(snapshot.connections),
        retry_count: snapshot.failures,
        first_retry_ms: snapshot.first_failure_ms,
        last_retry_ms: snapshot.last_failure_ms,
        incoming_rate: snapshot.incoming_rate,
        outgoing_rate: snapshot.outgoing_rate,
        last_error: snapshot.last_error.as_deref().or(snapshot.last_deferral.as_deref()).map(str::to_owned),
        next_retry_ms: snapshot.blocked_until_ms.or(waits_until(&snapshot)).filter(|_| !snapshot.suspended),
    }
}

/// What names a queue after the server's name (fact sheet section 4.8).
fn identity(queue: &DeliveryQueue) -> String {
    match queue.key {
        QueueKey::Submission => "Submission".to_owned(),
        QueueKey::Unreachable => "Unreachable".to_owned(),
        QueueKey::Poison => "Poison".to_owned(),
        _ => queue.number.to_string(),
    }
}

/// What a queue is doing.
pub fn state_of(snapshot: &Snapshot) -> QueueState {
    if snapshot.suspended {
        QueueState::Suspended
    } else if snapshot.blocked_until_ms.is_some() {
        QueueState::Retry
    } else if snapshot.connections > 0 || (snapshot.in_flight > 0 && snapshot.workers > 0) {
        if snapshot.connections == 0 && snapshot.workers > 0 { QueueState::Connecting } else { QueueState::Active }
    } else if waits_until(snapshot).is_some() {
        QueueState::Retry
    } else {
        QueueState::Ready
    }
}

/// When it goes on, where everything in it waits for a time of its own: each was answered to come again.
fn waits_until(snapshot: &Snapshot) -> Option<u64> {
    let is_all = snapshot.deferred > 0 && snapshot.deferred + snapshot.held == snapshot.entries;
    snapshot.next_due_ms.filter(|_| is_all)
}

/// Messages that match a filter. Of those that are not listed no more is kept than their number.
pub async fn queue(running: &Arc<Running>, filter: QueueFilter) -> QueueListing {
    let running = running.clone();
    let listed = blocking::run(move || list(&running, &filter)).await;
    listed.unwrap_or_else(|_| QueueListing { total: 0, messages: Vec::new() })
}

fn list(running: &Running, filter: &QueueFilter) -> QueueListing {
    let QueueFilter { next_hop, sender, recipient, limit, offset, picks } = filter;
    let waiting = next_hop.as_ref().map(|part| waiting_for(running, part));
    let end = offset.saturating_add(*limit);
    let looks_closer = sender.is_some() || recipient.is_some() || picks.matches.is_some() || picks.order.is_some();
    let wanted = |id: MessageId| waiting.as_ref().is_none_or(|waiting| waiting.contains(&id));
    // Where each waits is only looked up for all of them where each is looked at.
    let places = looks_closer.then(|| Places::gather(running, wanted));
    let all: Box<dyn Iterator<Item = MessageId> + '_> = match &waiting {
        Some(waiting) => Box::new(waiting.iter().copied().collect::<BTreeSet<_>>().into_iter()),
        None => Box::new(live(running)),
    };
    let (mut total, mut first, mut ids) = (0, Vec::new(), BTreeSet::new());
    for id in all {
        let Some(places) = &places else {
            total += 1;
            if total > *offset as u64 && total <= end as u64 {
                ids.insert(id);
            }
            continue;
        };
        let Some(message) = look_at(running, places, id, picks.reads_header) else { continue };
        let is_for = |part: &String| message.recipients.iter().any(|recipient| holds(&recipient.address, part));
        let is_from = |part: &String| holds(&message.reverse_path, part);
        if !sender.as_ref().is_none_or(is_from)
            || !recipient.as_ref().is_none_or(is_for)
            || !picks.matches.as_ref().is_none_or(|matches| matches(&message))
        {
            continue;
        }
        total += 1;
        match &picks.order {
            Some(order) => {
                first.push(message);
                if first.len() >= end.max(1_000).saturating_mul(2) {
                    first.sort_by(|a, b| order(a, b));
                    first.truncate(end);
                }
            }
            None if total > *offset as u64 && total <= end as u64 => first.push(message),
            None => {}
        }
    }
    if let Some(order) = &picks.order {
        first.sort_by(|a, b| order(a, b));
        first.truncate(end);
        first.drain(..(*offset).min(first.len()));
    }
    let messages = match places {
        None => {
            let places = Places::gather(running, |id| ids.contains(&id));
            ids.iter().filter_map(|id| look_at(running, &places, *id, true)).collect()
        }
        Some(_) if picks.reads_header => first,
        // What was looked at without its header section is shown with it.
        Some(places) => first.iter().filter_map(|shown| look_at(running, &places, shown.id, true)).collect(),
    };
    QueueListing { total, messages }
}

/// About all messages that are there now, in the order of their numbers. The spool, which everybody needs, gives out some at a time;
/// those that come meanwhile are not waited for.
fn live(running: &Running) -> impl Iterator<Item = MessageId> {
    let messages = usize::try_from(running.spool.usage().messages).unwrap_or(usize::MAX);
    let mut last = None;
    let some = move || {
        let some = running.spool.live_after(last, LISTED_AT_ONCE);
        last = some.last().copied().or(last);
        (!some.is_empty()).then_some(some)
    };
    std::iter::from_fn(some).flatten().take(messages)
}

/// What can be said of a message, with or without its header section.
fn look_at(running: &Running, places: &Places, id: MessageId, reads_header: bool) -> Option<QueuedMessage> {
    if !reads_header {
        let (envelope, states, size_bytes) = running.spool.outline(id).ok()?;
        let standing = running.spool.standing(id)?;
        return Some(places.describe(running, id, &envelope, &states, &standing, size_bytes));
    }
    let message = running.spool.message(id).ok()?;
    let Message { envelope, recipients, standing, content, .. } = &message;
    let mut described = places.describe(running, id, envelope, recipients, standing, content.len());
    let beginning = beginning(content);
    let length = header::section_len(&beginning).unwrap_or(beginning.len());
    for field in header::fields(&beginning[..length]) {
        let value = || Some(String::from_utf8_lossy(&field.unfolded()).trim().to_owned());
        if described.subject.is_none() && field.is("Subject") {
            described.subject = value();
        } else if described.internet_message_id.is_none() && field.is("Message-ID") {
            described.internet_message_id = value();
        }
    }
    Some(described)
}

/// What waits in queues with this text in the name of their next hop.
fn waiting_for(running: &Running, part: &str) -> HashSet<MessageId> {
    let mut waiting = HashSet::new();
    for queue in running.queues.all() {
        if holds(&queue.key.to_string(), part) {
            queue.for_each(|entry, _, _| {
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
        let content = running.spool.message(id).ok()?.content;
        let bytes = beginning(&content);
        let length = header::section_len(&bytes).unwrap_or(bytes.len());
        let header = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let places = Places::gather(&running, |known| known == id);
        Some(MessageDetail { message: look_at(&running, &places, id, true)?, header })
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
struct Places {
    queues: Vec<Shown>,
    /// What waits, in the order of the messages.
    waiting: Vec<Place>,
    /// Messages that are being delivered, with the place of their queue and the connections that they missed there.
    in_flight: HashMap<MessageId, Vec<(usize, u32)>>,
}

/// What is shown of a queue with each of its messages.
struct Shown {
    identity: Arc<str>,
    next_hop: String,
    error: Option<Arc<str>>,
}

struct Place {
    id: MessageId,
    recipients: Indices,
    queue: usize,
    /// Connections that could not be opened for it.
    missed: u32,
    due_ms: Option<u64>,
}

impl Places {
    fn gather(running: &Running, wanted: impl Fn(MessageId) -> bool) -> Places {
        let server = running.revision().settings.server.name.to_string();
        let mut places = Places { queues: Vec::new(), waiting: Vec::new(), in_flight: HashMap::new() };
        for (number, queue) in running.queues.all().into_iter().enumerate() {
            places.queues.push(Shown {
                identity: format!("{server}\\{}", identity(&queue)).into(),
                next_hop: queue.key.to_string(),
                error: queue.snapshot().last_error,
            });
            // What has no way out is not tried at a time: it is given up then.
            let is_tried = queue.key != QueueKey::Unreachable;
            for (id, missed) in queue.in_flight_and_missed().into_iter().filter(|(id, _)| wanted(*id)) {
                places.in_flight.entry(id).or_default().push((number, missed));
            }
            queue.for_each(|entry, missed, due_ms| {
                if wanted(entry.id) {
                    let (recipients, due_ms) = (entry.recipients.clone(), due_ms.filter(|_| is_tried));
                    places.waiting.push(Place { id: entry.id, recipients, queue: number, missed, due_ms });
                }
            });
        }
        places.waiting.sort_unstable_by_key(|place| place.id);
        places
    }

    fn of(&self, id: MessageId) -> &[Place] {
        let from = self.waiting.partition_point(|place| place.id < id);
        let count = self.waiting[from..].iter().take_while(|place| place.id == id).count();
        &self.waiting[from..from + count]
    }

    fn describe(
        &self,
        running: &Running,
        id: MessageId,
        envelope: &Envelope,
        states: &[RecipientState],
        standing: &Standing,
        size_bytes: u64,
    ) -> QueuedMessage {
        let waiting = self.of(id);
        let in_flight = self.in_flight.get(&id).map_or(&[][..], Vec::as_slice);
        let priority = standing.priority.unwrap_or(envelope.arrival.priority);
        let flying = in_flight.iter().map(|(queue, _)| *queue);
        let mut queues: Vec<usize> = waiting.iter().map(|place| place.queue).chain(flying).collect();
        queues.sort_unstable();
        queues.dedup();
        let status = if !in_flight.is_empty() {
            match standing.suspended {
                _ if running.removals.has(id) => MessageStatus::PendingRemove,
                true => MessageStatus::PendingSuspend,
                false => MessageStatus::Active,
            }
        } else if standing.is_held() {
            MessageStatus::Suspended
        } else if !waiting.is_empty() && waiting.iter().all(|place| place.due_ms.is_some()) {
            MessageStatus::Retry
        } else {
            MessageStatus::Ready
        };
        let recipients = envelope.recipients.iter().zip(states).zip(0u32..);
        QueuedMessage {
            status,
            priority,
            expires_ms: categorize::expiry_ms(running, envelope.arrival.time_ms, priority),
            queues: queues.iter().map(|queue| self.queues[*queue].identity.clone()).collect(),
            poison: standing.poison,
            crashes: standing.crashes,
            redirect: standing.redirect.as_deref().map(str::to_owned),
            subject: None,
            internet_message_id: None,
            id,
            arrival_ms: envelope.arrival.time_ms,
            size_bytes,
            reverse_path: envelope.reverse_path.to_string(),
            connector: envelope.arrival.connector.to_string(),
            peer: envelope.arrival.peer,
            principal: envelope.arrival.principal.to_string(),
            recipients: recipients
                .map(|((recipient, state), index)| {
                    let is_pending = state.state == State::Pending;
                    let place = waiting.iter().find(|place| is_pending && place.recipients.as_slice().contains(&index));
                    let queue = place.map(|place| &self.queues[place.queue]);
                    let flying = || in_flight.iter().map(|(_, missed)| *missed).max().filter(|_| is_pending);
                    let missed = place.map(|place| place.missed).or_else(flying).unwrap_or(0);
                    QueuedRecipient {
                        address: recipient.mailbox.to_string(),
                        state: state.state,
                        next_hop: queue.map(|queue| queue.next_hop.clone()),
                        next_hop_error: queue.and_then(|queue| queue.error.as_deref().map(str::to_owned)),
                        attempts: state.attempts.saturating_add(missed),
                        last_reply: state.last_reply.as_deref().map(str::to_owned),
                        next_attempt_ms: place.and_then(|place| place.due_ms),
                    }
                })
                .collect(),
        }
    }
}
