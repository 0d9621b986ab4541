//! Step 7 of 9 - route: which recipient goes by which delivery queue.
//!
//! Takes an envelope, asks `policy::route::select` for each pending recipient, groups those that go the same way, and
//! puts one entry for each group into its queue. Opens nothing, sends nothing. What was routed by settings that have
//! been replaced meanwhile is routed anew, so that no queue leads where no settings in force lead.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Envelope, MessageId, Priority};
use gatepost_policy::route::{self, MailSource, NextHop, Route};
use gatepost_policy::send_connector::SendConnector;
use gatepost_policy::{Settings, poison, priority, redirect};
use gatepost_spool::{Message, ReadError, RecipientState, Standing, State};
use gatepost_tracking::passport::event::{Event, Step, Way, What};

use crate::blocking;
use crate::clock::now_ms;
use crate::passports;
use crate::queue::{DeliveryQueue, Entry, Heir, Indices, QueueKey, Waited};
use crate::state::{Revision, Running};

/// How long messages rest that the disk does not give out.
pub const UNREADABLE_REST: Duration = Duration::from_secs(60);

/// Where the recipients of one message go.
pub struct Plan {
    parts: Vec<Part>,
    /// The revision since which these routes hold.
    routes_since: u64,
    priority: Priority,
    /// Whether the message is to be held back where it comes to.
    is_held: bool,
    /// Connections that could not be opened for it so far.
    missed: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct Part {
    key: QueueKey,
    connector: Option<Arc<SendConnector>>,
    recipients: Vec<u32>,
}

/// Routes all recipients of a message of `size_bytes`.
pub fn plan(running: &Running, revision: &Revision, envelope: &Envelope, size_bytes: u64) -> Plan {
    let recipients = 0..u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
    let is_down = |key: &QueueKey| running.queues.is_down(key);
    Plan {
        parts: group(&revision.settings, envelope, recipients, size_bytes, None, is_down),
        routes_since: revision.routes_since,
        priority: envelope.arrival.priority,
        is_held: false,
        missed: 0,
    }
}

/// The same for some of the recipients of a message that may have been held back, or sent another way, since it came.
fn plan_for(
    running: &Running,
    revision: &Revision,
    envelope: &Envelope,
    recipients: impl Iterator<Item = u32>,
    size_bytes: u64,
    standing: &Standing,
) -> Plan {
    let is_down = |key: &QueueKey| running.queues.is_down(key);
    let parts = match standing.poison {
        true => vec![Part { key: QueueKey::Poison, connector: None, recipients: recipients.collect() }],
        false => group(&revision.settings, envelope, recipients, size_bytes, standing.redirect.as_deref(), is_down),
    };
    let priority = standing.priority.unwrap_or(envelope.arrival.priority);
    Plan { parts, routes_since: revision.routes_since, priority, is_held: standing.is_held(), missed: 0 }
}

/// One part for each way, in the order of their first recipients.
fn group(
    settings: &Settings,
    envelope: &Envelope,
    recipients: impl Iterator<Item = u32>,
    size_bytes: u64,
    redirected: Option<&str>,
    is_down: impl Fn(&QueueKey) -> bool,
) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::with_capacity(1);
    let mut by_key: HashMap<QueueKey, usize> = HashMap::new();
    let source = MailSource::of(envelope);
    for index in recipients {
        let Some(recipient) = envelope.recipients.get(index as usize) else { continue };
        let mailbox = &recipient.mailbox;
        let question = route::Question { settings, recipient: mailbox, message_bytes: size_bytes, source };
        let chosen = redirected.and_then(|connector| redirect::select(settings, mailbox, size_bytes, connector));
        let (key, connector) = match chosen {
            Some(Route::Send { connector, next_hop }) => {
                (QueueKey::Send { connector: connector.name.clone(), next_hop, instead_of: None }, Some(connector))
            }
            _ => queue_for(&question, &is_down),
        };
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
    parts
}

/// The queue that a recipient's route leads to; where its next hop cannot be reached now, that of who stands in.
fn queue_for(
    question: &route::Question<'_>,
    is_down: impl Fn(&QueueKey) -> bool,
) -> (QueueKey, Option<Arc<SendConnector>>) {
    match route::select(question) {
        Route::Local { .. } => (QueueKey::Local, None),
        Route::Unreachable { .. } => (QueueKey::Unreachable, None),
        Route::Failed(_) => (QueueKey::Refused, None),
        Route::Send { connector, next_hop } if connector.fallback_connector.is_none() => {
            (QueueKey::Send { connector: connector.name.clone(), next_hop, instead_of: None }, Some(connector))
        }
        Route::Send { connector: first, .. } => {
            let key = |way: &SendConnector, next_hop: &NextHop| QueueKey::Send {
                connector: way.name.clone(),
                next_hop: next_hop.clone(),
                instead_of: (way.name != first.name).then(|| first.name.clone()),
            };
            let (way, next_hop) = route::stand_in(question, &first, |way, next_hop| is_down(&key(way, next_hop)));
            (key(way, &next_hop), Some(way.clone()))
        }
    }
}

/// Puts the entries of a plan into their queues, due now (`None`) or at a time. What has no way out is due when it
/// expires.
pub fn enqueue(running: &Arc<Running>, id: MessageId, arrival_ms: u64, plan: Plan, due_ms: Option<u64>) {
    let time_ms = now_ms();
    plan.parts.iter().for_each(|part| note_routed(running, id, part, time_ms));
    enqueue_by(running, id, arrival_ms, plan, |_| due_ms);
}

/// The same with a due time for each part.
fn enqueue_by(
    running: &Arc<Running>,
    id: MessageId,
    arrival_ms: u64,
    plan: Plan,
    due_ms: impl Fn(&Part) -> Option<u64>,
) {
    let Plan { mut parts, routes_since, priority, is_held, missed } = plan;
    if running.queues.is_submission_suspended() && !is_held {
        let mut recipients: Vec<u32> = parts.into_iter().flat_map(|part| part.recipients).collect();
        recipients.sort_unstable();
        parts = vec![Part { key: QueueKey::Submission, connector: None, recipients }];
    }
    for part in parts.into_iter().filter(|part| !part.recipients.is_empty()) {
        let wanted_ms = due_ms(&part);
        let due_ms = match part.key {
            QueueKey::Unreachable => Some(expiry_ms(running, arrival_ms, priority)),
            _ => wanted_ms,
        };
        let entry = Entry { id, recipients: Indices::from(part.recipients), arrival_ms, priority, missed };
        let pushed = match is_held {
            true => running.queues.push_held(routes_since, part.key, part.connector.as_ref(), entry),
            false => running.queues.push(routes_since, part.key, part.connector.as_ref(), entry, due_ms),
        };
        if let Err(entry) = pushed {
            // What had no way out then may have one now, and is not to wait for its end there.
            let stale = Unrouted::of(entry, wanted_ms);
            tokio::spawn(route_anew(running.clone(), std::iter::once(stale)));
        }
    }
}

/// Its passport says which way it goes.
fn note_routed(running: &Running, id: MessageId, part: &Part, time_ms: u64) {
    let what = What::Routed { recipients: part.recipients.clone(), way: way(&part.key) };
    running.tracking.note(Event::Step { queue_id: id.0, step: Step { time_ms, what } });
}

/// A queue as passports name it.
pub fn way(key: &QueueKey) -> Way {
    let connector = match key {
        QueueKey::Send { connector, .. } => connector.clone(),
        _ => Arc::default(),
    };
    Way { connector, next_hop: key.to_string().into() }
}

/// When a message of a priority that arrived at `arrival_ms` expires, Unix time in milliseconds.
pub fn expiry_ms(running: &Running, arrival_ms: u64, priority: Priority) -> u64 {
    let settings = running.revision().settings.clone();
    let schedule = priority::schedule(&settings.transport.queues.priorities, &settings.retry, priority);
    let lifetime = schedule.message_expiration_timeout.as_millis();
    arrival_ms.saturating_add(u64::try_from(lifetime).unwrap_or(u64::MAX))
}

/// What went wrong last on the way that a recipient takes; `None` if nothing did.
pub fn last_error(running: &Running, message: &Message, index: u32) -> Option<Arc<str>> {
    let revision = running.revision();
    let plan = plan_for(
        running,
        &revision,
        &message.envelope,
        std::iter::once(index),
        message.content.len(),
        &message.standing,
    );
    let key = &plan.parts.first()?.key;
    running.queues.find(key)?.snapshot().last_error
}

/// Whether a recipient is still to be delivered.
pub fn is_pending(states: &[RecipientState], index: u32) -> bool {
    states.get(index as usize).is_some_and(|state| state.state == State::Pending)
}

/// Routes what is pending of `recipients` by the settings in force, and puts it into its queues.
pub fn route_message(running: &Arc<Running>, message: &Message, recipients: &[u32], due_ms: Option<u64>) {
    let pending = recipients.iter().copied().filter(|index| is_pending(&message.recipients, *index));
    let standing = running.spool.standing(message.id).unwrap_or_default();
    let plan = plan_for(running, &running.revision(), &message.envelope, pending, message.content.len(), &standing);
    enqueue(running, message.id, message.envelope.arrival.time_ms, plan, due_ms);
}

/// Puts an entry that was in flight back into its queue, in front (`None`) or due at a time; if that queue is no more,
/// into the one that it belongs in now. What is to be held back by now is; what is to go another way does.
pub fn put_back(running: &Arc<Running>, queue: &Arc<DeliveryQueue>, entry: Entry, due_ms: Option<u64>) {
    let standing = running.spool.standing(entry.id).unwrap_or_default();
    let goes_another_way = match &standing.redirect {
        Some(connector) => queue.connector.as_ref().is_some_and(|known| !known.name.eq_ignore_ascii_case(connector)),
        None => false,
    };
    let put_back = if (goes_another_way || standing.poison) && queue.key != QueueKey::Poison {
        running.queues.done(queue, entry.id);
        Err(entry)
    } else if standing.is_held() {
        running.queues.hold(queue, entry)
    } else {
        running.queues.put_back(queue, entry, due_ms)
    };
    if let Err(entry) = put_back {
        let unrouted = Unrouted { before: Some(queue.clone()), ..Unrouted::of(entry, due_ms) };
        tokio::spawn(route_anew(running.clone(), std::iter::once(unrouted)));
    }
}

/// Recipients of a message in the spool that are in no queue.
pub struct Unrouted {
    /// The message.
    pub id: MessageId,
    /// Which of its recipients; `None`: all.
    pub recipients: Option<Indices>,
    /// Connections that could not be opened for them so far.
    pub missed: u32,
    /// When they are due; `None`: when the spool says, or now.
    pub due_ms: Option<u64>,
    /// The queue that they waited in. Where a new way leads elsewhere it is tried at once.
    pub before: Option<Arc<DeliveryQueue>>,
}

impl Unrouted {
    /// All that is pending of a message.
    pub fn all_of(id: MessageId) -> Unrouted {
        Unrouted { id, recipients: None, missed: 0, due_ms: None, before: None }
    }

    /// Those of an entry that is in no queue.
    pub fn of(entry: Entry, due_ms: Option<u64>) -> Unrouted {
        let Entry { id, recipients, missed, .. } = entry;
        Unrouted { id, recipients: Some(recipients), missed, due_ms, before: None }
    }
}

/// Who goes on in the place of a queue under these settings: the same connector, if it leads to the same next hop still.
pub fn heir(settings: &Settings, queue: &DeliveryQueue) -> Option<Heir> {
    let QueueKey::Send { next_hop, instead_of, .. } = &queue.key else {
        return Some(Heir { connector: None, is_same_way: true });
    };
    let before = queue.connector.as_ref()?;
    let is_chosen = |first: &Arc<str>| settings.send_connector(first).is_some_and(|first| first.enabled);
    let now = route::still_leads(settings, before, next_hop).filter(|_| instead_of.as_ref().is_none_or(is_chosen))?;
    Some(Heir { connector: Some(now.clone()), is_same_way: route::is_same_way(before, now) })
}

/// What waited in queues that have left the table.
pub fn unrouted(waited: Vec<Waited>) -> impl Iterator<Item = Unrouted> + Send {
    waited.into_iter().flat_map(|Waited { queue, entries }| {
        let waited = move |(entry, due_ms)| Unrouted { before: Some(queue.clone()), ..Unrouted::of(entry, due_ms) };
        entries.into_iter().map(waited)
    })
}

/// Routes what lies in the spool by the settings in force and puts it into its queues: after recovery, and when routes
/// have changed. What the disk does not give out is tried again until it does, or until the server stops.
pub async fn route_anew(running: Arc<Running>, unrouted: impl Iterator<Item = Unrouted> + Send + 'static) {
    let mut stop = running.stop.subscribe();
    let mut unrouted: Box<dyn Iterator<Item = Unrouted> + Send> = Box::new(unrouted);
    loop {
        let Some(unread) = route_once(running.clone(), unrouted).await else { return };
        if unread.is_empty() || running.is_stopping() {
            return;
        }
        tracing::error!(messages = unread.len(), "queued messages cannot be read now; tried again in a minute");
        unrouted = Box::new(unread.into_iter());
        tokio::select! {
            biased;
            () = tokio::time::sleep(UNREADABLE_REST) => {}
            _ = stop.changed() => return,
        }
    }
}

/// The same, but each message is tried once: hands back those that the disk does not give out. `None` when that failed
/// by a fault of ours.
pub async fn route_once(
    running: Arc<Running>,
    unrouted: impl Iterator<Item = Unrouted> + Send + 'static,
) -> Option<Vec<Unrouted>> {
    let routed = blocking::run(move || {
        let going = unrouted.take_while(|_| !running.is_stopping());
        let mut place = running.suspects.place();
        let route = |unrouted: &Unrouted| {
            place.take_up(unrouted.id);
            route_from_spool(&running, unrouted).is_err()
        };
        going.filter(route).collect::<Vec<_>>()
    });
    match routed.await {
        Ok(unread) => Some(unread),
        Err(error) => {
            tracing::error!(%error, "routing messages failed by a fault of ours; they wait for the next start");
            None
        }
    }
}

/// Blocks on the disk. Damaged messages are set aside by the spool and are in no queue any more.
///
/// # Errors
/// When the disk fails: nothing has been put into a queue then.
fn route_from_spool(running: &Arc<Running>, unrouted: &Unrouted) -> io::Result<()> {
    let id = unrouted.id;
    let (envelope, states) = match running.spool.envelope(id) {
        Ok(read) => read,
        Err(ReadError::Unknown) => return Ok(()),
        Err(ReadError::Corrupt) => {
            tracing::error!(queue_id = id.0, "a queued message is damaged on disk: it is held aside");
            passports::note_held(running, id, passports::DAMAGED);
            return Ok(());
        }
        Err(ReadError::Io(error)) => {
            tracing::debug!(queue_id = id.0, %error, "a queued message cannot be read");
            return Err(error);
        }
    };
    let pending: Vec<u32> = match &unrouted.recipients {
        Some(indices) => indices.as_slice().iter().copied().filter(|index| is_pending(&states, *index)).collect(),
        None => (0u32..).take(states.len()).filter(|index| is_pending(&states, *index)).collect(),
    };
    let now_ms = now_ms();
    let next_attempt_ms = pending.iter().filter_map(|index| states.get(*index as usize)).map(|s| s.next_attempt_ms);
    // What a former run wrote down may be from a clock that has been set back since.
    let wait_max = running.revision().settings.retry_wait_max();
    let latest_ms = now_ms.saturating_add(u64::try_from(wait_max.as_millis()).unwrap_or(u64::MAX));
    let next_attempt_ms = next_attempt_ms.min().filter(|next_ms| *next_ms > now_ms);
    let due_ms = unrouted.due_ms.or_else(|| next_attempt_ms.map(|next_ms| next_ms.min(latest_ms)));
    let mut standing = running.spool.standing(id).unwrap_or_default();
    let revision = running.revision();
    let crashes = running.suspects.crashes(id);
    if poison::is_poison(&revision.settings.transport.queues.poison, crashes) {
        (standing.poison, standing.crashes) = (true, crashes);
        running.spool.set_standing(id, standing.clone());
        running.suspects.clear(id);
        passports::note_held(running, id, "it is poison: the server ended uncleanly each time it worked on it");
        tracing::error!(
            queue_id = id.0,
            crashes,
            "the server ended uncleanly each time it worked on this message: it waits in the poison queue"
        );
    }
    let size_bytes = deciding_size(running, &revision.settings, id);
    let mut plan = plan_for(running, &revision, &envelope, pending.into_iter(), size_bytes, &standing);
    plan.missed = unrouted.missed;
    let came_from = |key: &QueueKey| unrouted.before.as_ref().is_some_and(|before| before.key == *key);
    if came_from(&QueueKey::Unreachable) && running.queues.is_suspended(&QueueKey::Unreachable.name()) {
        // That queue is suspended: what waits there is to stay.
        let recipients = plan.parts.into_iter().flat_map(|part| part.recipients).collect();
        plan.parts = vec![Part { key: QueueKey::Unreachable, connector: None, recipients }];
    }
    // After a start it goes the way that its passport tells of already, or should.
    let changed =
        plan.parts.iter().filter(|part| unrouted.before.as_ref().is_some_and(|before| before.key != part.key));
    changed.for_each(|part| note_routed(running, id, part, now_ms));
    enqueue_by(running, id, envelope.arrival.time_ms, plan, |part| match &unrouted.before {
        Some(before) if before.key != part.key || !is_same_way(before, part) => None,
        _ => due_ms,
    });
    Ok(())
}

/// How large a message is, as far as that can decide between routes. The disk is asked only about one that is near a
/// connector's limit or beyond it: otherwise the envelope alone is read.
fn deciding_size(running: &Running, settings: &Settings, id: MessageId) -> u64 {
    let bytes = running.spool.bytes(id).unwrap_or(0);
    let is_small = |connector: &Arc<SendConnector>| connector.max_message_size.is_none_or(|max| bytes <= max);
    if settings.send_connectors.iter().all(is_small) {
        return bytes;
    }
    // What cannot be read now is not delivered now either.
    running.spool.message(id).map_or(bytes, |message| message.content.len())
}

fn is_same_way(before: &DeliveryQueue, part: &Part) -> bool {
    match (&before.connector, &part.connector) {
        (Some(before), Some(now)) => route::is_same_way(before, now),
        (before, now) => before.is_none() && now.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Rerouted, Work};
    use crate::site::{CONTOSO, Site, envelope};

    const WAYS_OUT: &str = r#"
[[send_connector]]
name = "Partner"
address_spaces = ["partner.example"]
smart_hosts = ["[127.0.0.1]:2600"]

[[send_connector]]
name = "Internet"
address_spaces = ["*"]
dns_routing_enabled = true
max_message_size = "1 MB"
"#;

    fn told(parts: &[Part]) -> Vec<(String, Vec<u32>)> {
        parts.iter().map(|part| (part.key.to_string(), part.recipients.clone())).collect()
    }

    #[tokio::test]
    async fn recipients_that_go_the_same_way_go_together() {
        let site = Site::new(&format!("{CONTOSO}{WAYS_OUT}"));
        let settings = &site.running.revision().settings;
        let way = |name: &str, recipients: &[u32]| (name.to_owned(), recipients.to_vec());
        for (recipients, size_bytes, expected) in [
            (&["bob@contoso.com"][..], 1, vec![way("local delivery", &[0])]),
            (&["a@x.example", "b@X.example"], 1, vec![way("x.example", &[0, 1])]),
            (
                &["a@x.example", "bob@contoso.com", "b@x.example", "a@partner.example", "nobody@contoso.com"],
                1,
                vec![
                    way("x.example", &[0, 2]),
                    way("local delivery", &[1]),
                    way("[127.0.0.1]:2600", &[3]),
                    way("refused", &[4]),
                ],
            ),
            (
                &["a@x.example", "b@y.example", "c@x.example", "d@y.example", "e@z.example"],
                1,
                vec![way("x.example", &[0, 2]), way("y.example", &[1, 3]), way("z.example", &[4])],
            ),
            (&["a@x.example", "a@partner.example"], 2 << 20, vec![way("refused", &[0]), way("[127.0.0.1]:2600", &[1])]),
        ] {
            let envelope = envelope("", recipients);
            let all = 0..recipients.len() as u32;
            assert_eq!(told(&group(settings, &envelope, all, size_bytes, None, |_| false)), expected, "{recipients:?}");
        }
    }

    #[tokio::test]
    async fn a_message_that_was_routed_before_the_routes_changed_goes_the_new_way() {
        let mut site = Site::new(CONTOSO);
        let id = site.accept(envelope("", &["a@partner.example", "bob@contoso.com"]), "x\r\n").await;
        let message = site.running.spool.message(id).expect("it is live");
        let plan = plan(&site.running, &site.running.revision(), &message.envelope, 1);
        assert_eq!(told(&plan.parts), [("unreachable".to_owned(), vec![0]), ("local delivery".to_owned(), vec![1])]);

        let settings = site.settings(&format!("{CONTOSO}{WAYS_OUT}"));
        let tls = crate::tls::Tls::load(&settings).expect("the certificate is there");
        site.running.replace_revision(Revision::new(2, 0, settings, Default::default(), tls));
        assert!(site.running.queues.begin_routes(2, |_| None).waited.is_empty());
        enqueue(&site.running, id, now_ms(), plan, None);
        let mut ways = Vec::new();
        for _ in 0..2 {
            let queue = site.worker_requests.recv().await.expect("the server runs");
            assert!(matches!(queue.next(), Work::Entry(entry) if entry.id == id));
            ways.push(queue.key.to_string());
        }
        ways.sort();
        assert_eq!(ways, ["[127.0.0.1]:2600", "local delivery"]);
    }

    #[tokio::test]
    async fn what_waited_is_tried_at_once_only_where_the_way_has_changed() {
        let site = Site::new(&format!("{CONTOSO}{WAYS_OUT}"));
        let later_ms = now_ms() + 60_000;
        let id = site.accept(envelope("", &["a@partner.example", "a@x.example"]), "x\r\n").await;
        let message = site.running.spool.message(id).expect("it is live");
        route_message(&site.running, &message, &[0, 1], Some(later_ms));

        // Of the other connector nothing changes that matters to mail on its way: its words, its place in the document.
        let moved =
            WAYS_OUT.replace("2600", "2601") + "comment = \"of the house\"\nmessage_retry_interval = \"00:01:00\"\n";
        let settings = site.settings(&format!("# One line more.\n{CONTOSO}{moved}"));
        let tls = crate::tls::Tls::load(&settings).expect("the certificate is there");
        site.running.replace_revision(Revision::new(2, 0, settings, Default::default(), tls));
        let settings = site.running.revision().settings.clone();
        let Rerouted { waited, heirs } = site.running.queues.begin_routes(2, |queue| heir(&settings, queue));
        route_anew(site.running.clone(), unrouted(waited)).await;
        site.running.queues.release(&heirs);
        let mut due: Vec<(String, Option<u64>)> = Vec::new();
        for queue in site.running.queues.all() {
            queue.for_each(|_, _, due_ms| due.push((queue.key.to_string(), due_ms)));
        }
        due.sort();
        assert_eq!(due, [("[127.0.0.1]:2601".to_owned(), None), ("x.example".to_owned(), Some(later_ms))]);
    }

    #[tokio::test]
    async fn what_is_routed_anew_goes_by_its_size_too() {
        let site = Site::new(&format!("{CONTOSO}{WAYS_OUT}"));
        let large = "x\r\n".repeat(400_000);
        let mut expected = Vec::new();
        for (content, way) in [("x\r\n", "x.example"), (&large, "refused")] {
            let id = site.accept(envelope("", &["a@x.example"]), content).await;
            let unrouted = Unrouted::all_of(id);
            route_anew(site.running.clone(), std::iter::once(unrouted)).await;
            expected.push((way.to_owned(), id));
        }
        let mut found = Vec::new();
        for queue in site.running.queues.all() {
            queue.for_each(|entry, _, _| found.push((queue.key.to_string(), entry.id)));
        }
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }
}
