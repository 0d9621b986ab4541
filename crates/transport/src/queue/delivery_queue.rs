//! One delivery queue: what waits for one next hop, and who works on it.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_mail::{MessageId, Reply};
use gatepost_policy::retry::Overrides;
use gatepost_policy::route::{SendConnector, UNREACHABLE};
use tokio::sync::Notify;

use super::entry::{Entry, QueueKey};
use super::waiting::{Looked, Stand, Waiting};
use crate::clock::{Steady, now_ms};

/// One more connection is opened for each so many waiting entries (fact sheet section 4.6).
const ENTRIES_PER_CONNECTION: usize = 20;
/// When so many connections in a row have broken off in the middle of a message, the next hop counts as one that cannot be
/// reached. One or two may be the fault of a message.
const BROKEN_OFF_MAX: u32 = 3;
/// So many entries are looked at under one lock.
const LOOKED_AT_ONCE: usize = 4_096;
/// Local mailboxes are written by at most so many workers: each write waits for the disk.
const LOCAL_WORKERS_MAX: u32 = 8;

/// One queue. Everything that changes is behind one lock, held for moments only.
pub struct DeliveryQueue {
    /// Where it leads.
    pub key: QueueKey,
    /// The send connector as of the revision that made this queue; `None` but for [`QueueKey::Send`].
    pub connector: Option<Arc<SendConnector>>,
    /// Tells queues apart whose alarms are set to the same time.
    pub number: u64,
    /// At most so many workers, which for a next hop means connections.
    workers_max: u32,
    /// At most so many entries of each priority are in flight; `None` without priority queuing.
    in_flight_max: Option<[u32; 3]>,
    /// What the times of what waits are of.
    clock: Arc<Steady>,
    waiting: Mutex<Waiting>,
    pub(super) wake: Notify,
    /// Connections in a row that broke off in the middle of a message. Read for each message, hence outside of the lock.
    broken_off: AtomicU32,
}

/// How much a queue may do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections to one next hop.
    pub connections_max: u32,
    /// The same for each priority, the most urgent first; `None` without priority queuing.
    pub by_priority: Option<[u32; 3]>,
    /// How long an empty queue stays.
    pub idle_max_ms: u64,
}

/// One wait of a queue for its next hop. Known again whatever becomes of the wall clock meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// By the queues' own clock.
    pub(super) until_ms: u64,
}

/// What a worker is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// Deliver this.
    Entry(Entry),
    /// Nothing is due.
    Nothing,
    /// The next hop cannot be reached for now, the queue is suspended, or it has left the table.
    Stop,
}

/// What a connection attempt that failed means for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// How many failed in a row.
    pub in_a_row: u32,
    /// For so many waiting recipients it is the first connection that they miss.
    pub recipients: u64,
}

/// What a queue looks like from outside.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Entries, those in flight included.
    pub entries: u64,
    /// Of those, in flight.
    pub in_flight: u64,
    /// Of those, held back.
    pub held: u64,
    /// Of those, waiting for a time of their own.
    pub deferred: u64,
    /// Entries, and of those the ones that wait for a time of their own, of each priority.
    pub by_priority: [(u64, u64); 3],
    /// Whether an administrator has suspended the queue.
    pub suspended: bool,
    /// Connection attempts that failed in a row.
    pub failures: u32,
    /// When the first and the last of them failed, Unix time in milliseconds.
    pub first_failure_ms: Option<u64>,
    /// See `first_failure_ms`.
    pub last_failure_ms: Option<u64>,
    /// Entries that came, and that went for good, a second over the last minute.
    pub incoming_rate: f64,
    /// See `incoming_rate`.
    pub outgoing_rate: f64,
    /// Open connections.
    pub connections: u32,
    /// Workers.
    pub workers: u32,
    /// Set while the next hop cannot be reached.
    pub blocked_until_ms: Option<u64>,
    /// Why the next hop cannot be reached, or could not be reached at last.
    pub last_error: Option<Arc<str>>,
    /// While messages wait for a time of their own: what was answered to the last of them, as codes.
    pub last_deferral: Option<Arc<str>>,
    /// When the first of those is due, Unix time in milliseconds; `None` where nothing is tried at a time.
    pub next_due_ms: Option<u64>,
}

impl DeliveryQueue {
    pub(super) fn new(
        key: QueueKey,
        connector: Option<Arc<SendConnector>>,
        number: u64,
        limits: Limits,
        suspended: bool,
        clock: Arc<Steady>,
    ) -> DeliveryQueue {
        let workers_max = match key {
            QueueKey::Send { .. } => {
                let own = connector.as_ref().and_then(|connector| connector.max_connections);
                own.map_or(limits.connections_max, |own| own.min(limits.connections_max))
            }
            QueueKey::Local => LOCAL_WORKERS_MAX,
            QueueKey::Refused | QueueKey::Unreachable | QueueKey::Submission | QueueKey::Poison => 1,
        };
        let in_flight_max = limits.by_priority.filter(|_| matches!(key, QueueKey::Send { .. }));
        let last_error = (key == QueueKey::Unreachable).then(|| UNREACHABLE.into());
        let shows_the_way = match &key {
            QueueKey::Send { instead_of, .. } => {
                instead_of.is_some()
                    || connector.as_ref().is_some_and(|connector| connector.fallback_connector.is_some())
            }
            _ => false,
        };
        let waiting = Mutex::new(Waiting { last_error, suspended, shows_the_way, ..Waiting::default() });
        let (wake, broken_off) = (Notify::new(), AtomicU32::new(0));
        DeliveryQueue { key, connector, number, workers_max, in_flight_max, clock, waiting, wake, broken_off }
    }

    /// Goes on where another queue of the same way stood that leaves the table: as long blocked, as often failed.
    pub(super) fn go_on_from(&self, before: &DeliveryQueue, left: &Waiting) {
        self.broken_off.store(before.broken_off.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut waiting = self.lock();
        waiting.failures = left.failures;
        waiting.blocked_until_ms = left.blocked_until_ms;
        (waiting.first_failure_ms, waiting.last_failure_ms) = (left.first_failure_ms, left.last_failure_ms);
        waiting.last_error.clone_from(&left.last_error);
        waiting.last_deferral.clone_from(&left.last_deferral);
        (waiting.incoming, waiting.outgoing) = (left.incoming, left.outgoing);
    }

    /// The wait that it is in because no connection could be opened, if it is in one.
    pub fn wait(&self) -> Option<Wait> {
        let waiting = self.lock();
        waiting.blocked_until_ms.filter(|_| waiting.failures > 0).map(|until_ms| Wait { until_ms })
    }

    /// What its send connector says of retries.
    pub fn retry(&self) -> Overrides {
        self.connector.as_ref().map_or_else(Overrides::default, |connector| connector.retry)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more workers the queue deserves now: one for the first entry, then one for each
    /// [`ENTRIES_PER_CONNECTION`]. Slow workers do not count, but for the most that the queue may have. As long as the
    /// next hop could not be reached one worker finds out whether it can be now.
    pub(super) fn workers_missing(&self, waiting: &Waiting) -> u32 {
        if waiting.blocked_until_ms.is_some() || waiting.suspended {
            return 0;
        }
        let workable = self.workable(waiting);
        if workable == 0 {
            return 0;
        }
        if waiting.failures > 0 {
            return u32::from(waiting.workers == 0 && waiting.workers_wanted == 0);
        }
        let deserved = workable.div_ceil(ENTRIES_PER_CONNECTION);
        let deserved = u32::try_from(deserved).unwrap_or(u32::MAX);
        let workers = waiting.workers.saturating_add(waiting.workers_wanted);
        let quick = workers.saturating_sub(waiting.slow_workers);
        deserved.saturating_sub(quick).min(self.workers_max.saturating_sub(workers))
    }

    /// A worker begins.
    pub fn worker_started(&self) {
        let mut waiting = self.lock();
        waiting.workers += 1;
        waiting.workers_wanted = waiting.workers_wanted.saturating_sub(1);
    }

    /// The next entry for a worker; it is in flight until [`Queues::done`] or [`Queues::put_back`].
    pub fn next(&self) -> Work {
        let mut waiting = self.lock();
        if waiting.blocked_until_ms.is_some() || waiting.suspended || waiting.retired {
            return Work::Stop;
        }
        match self.pop(&mut waiting) {
            Some(entry) => {
                waiting.take_off(&entry);
                Work::Entry(entry)
            }
            None => Work::Nothing,
        }
    }

    fn pop(&self, waiting: &mut Waiting) -> Option<Entry> {
        let Some(most) = self.in_flight_max else { return waiting.ready.pop(|_| true) };
        let room = waiting.room(most);
        waiting.ready.pop(|priority| room[priority as usize] > 0)
    }

    /// How many entries workers could begin with now.
    fn workable(&self, waiting: &Waiting) -> usize {
        let Some(most) = self.in_flight_max else { return waiting.ready.len() };
        let room = waiting.room(most);
        waiting.ready.counts().into_iter().zip(room).map(|(ready, room)| (ready as usize).min(room)).sum()
    }

    /// Whether somebody may wait for an entry to land.
    pub(super) fn bounds_priorities(&self) -> bool {
        self.in_flight_max.is_some()
    }

    /// Waits until there may be work; the worker counts as idle meanwhile.
    pub async fn wait_for_work(&self) {
        {
            let mut waiting = self.lock();
            if self.workable(&waiting) > 0 || waiting.blocked_until_ms.is_some() || waiting.suspended || waiting.retired
            {
                return;
            }
            waiting.idle_workers += 1;
        }
        // A wake-up that comes before we wait is kept. The count must go down even if the worker gives up waiting.
        let _idle = IdleGuard(self);
        self.wake.notified().await;
    }

    /// A connection broke off in the middle of a message. Says whether that has become a habit of the next hop.
    pub fn broke_off(&self) -> bool {
        self.broken_off.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= BROKEN_OFF_MAX
    }

    /// Whether the last connection broke off.
    pub(super) fn has_broken_off(&self) -> bool {
        self.broken_off.load(Ordering::Relaxed) > 0
    }

    /// Forgets connections that broke off.
    pub(super) fn forget_broken_off(&self) {
        self.broken_off.store(0, Ordering::Relaxed);
    }

    /// A connection was closed.
    pub fn disconnected(&self) {
        let mut waiting = self.lock();
        waiting.connections = waiting.connections.saturating_sub(1);
    }

    /// Notes what went wrong, for listings.
    pub fn note_error(&self, error: &str) {
        self.lock().last_error = Some(error.into());
    }

    /// Notes what was answered to a message that is tried again by itself: its codes, since the text commonly names the
    /// recipient, and who looks at queues need not see who writes to whom. The message's passport has all of it.
    pub fn note_deferral(&self, reply: &Reply) {
        let codes = Reply { text: "".into(), ..reply.clone() }.to_string();
        self.lock().last_deferral = Some(codes.trim_end().into());
    }

    /// Counts a connection attempt that failed; hands on how many failed in a row. Workers that fail together count
    /// once: while the queue is blocked the count stands still.
    pub fn connection_failed(&self, error: &str) -> Failed {
        let mut waiting = self.lock();
        let mut recipients = 0;
        if waiting.blocked_until_ms.is_none() && !waiting.retired {
            waiting.failures = waiting.failures.saturating_add(1);
            recipients = waiting.ready.miss();
        }
        let now = now_ms();
        waiting.first_failure_ms.get_or_insert(now);
        waiting.last_failure_ms = Some(now);
        waiting.last_error = Some(error.into());
        Failed { in_a_row: waiting.failures, recipients }
    }

    /// Whether no connection to the next hop could be opened, and its time to be tried again has not come.
    pub(super) fn is_down(&self) -> bool {
        let waiting = self.lock();
        waiting.blocked_until_ms.is_some() && waiting.failures > 0
    }

    /// Whether it matters to other queues that this one's next hop cannot be reached.
    pub fn shows_the_way(&self) -> bool {
        self.lock().shows_the_way
    }

    /// Takes every entry whose turn has come, even from a queue that is blocked; they are in flight then.
    pub fn take_ready(&self) -> Vec<Entry> {
        let mut waiting = self.lock();
        if waiting.suspended {
            return Vec::new();
        }
        waiting.stir();
        let taken: Vec<Entry> = waiting.ready.take_all().collect();
        taken.iter().for_each(|entry| waiting.take_off(entry));
        taken
    }

    /// Moves the waiting entries that are too old to the front; wherever they stood, they are next.
    pub fn bring_forward(&self, is_old: impl Fn(&Entry) -> bool) {
        let mut waiting = self.lock();
        waiting.stir();
        waiting.ready.bring_forward(is_old);
    }

    /// Takes an entry at the front if it is too old, even from a queue that is blocked.
    pub fn next_older(&self, is_old: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let mut waiting = self.lock();
        if waiting.suspended {
            return None;
        }
        let entry = waiting.ready.pop_front_if(is_old)?;
        waiting.take_off(&entry);
        Some(entry)
    }

    /// Whether the queue is still in this wait for its next hop, with at least so many entries.
    pub fn is_in(&self, wait: Wait, entries_min: usize) -> bool {
        let waiting = self.lock();
        !waiting.retired && waiting.blocked_until_ms == Some(wait.until_ms) && waiting.ready.len() >= entries_min
    }

    /// How the queue is doing.
    pub fn snapshot(&self) -> Snapshot {
        let waiting = self.lock();
        let now_s = self.clock.seconds();
        let mut by_priority = waiting.ready.counts().map(|ready| (ready, 0));
        let elsewhere = waiting.held.iter().map(|entry| entry.priority);
        for priority in elsewhere.chain(waiting.in_flight.iter().map(|flying| flying.priority)) {
            by_priority[priority as usize].0 += 1;
        }
        for Reverse(later) in &waiting.later {
            let (entries, deferred) = &mut by_priority[later.entry.priority as usize];
            (*entries, *deferred) = (*entries + 1, *deferred + 1);
        }
        Snapshot {
            entries: by_priority.iter().map(|(entries, _)| entries).sum(),
            in_flight: waiting.in_flight.len() as u64,
            held: waiting.held.len() as u64,
            deferred: waiting.later.len() as u64,
            by_priority,
            suspended: waiting.suspended,
            failures: waiting.failures,
            first_failure_ms: waiting.first_failure_ms,
            last_failure_ms: waiting.last_failure_ms,
            incoming_rate: waiting.incoming.per_second(now_s),
            outgoing_rate: waiting.outgoing.per_second(now_s),
            connections: waiting.connections,
            workers: waiting.workers,
            blocked_until_ms: waiting.blocked_until_ms.map(|until_ms| self.clock.to_wall(until_ms)),
            last_error: waiting.last_error.clone(),
            last_deferral: waiting.last_deferral.clone().filter(|_| !waiting.later.is_empty()),
            next_due_ms: match self.key {
                QueueKey::Send { .. } | QueueKey::Local => {
                    waiting.later.peek().map(|Reverse(later)| self.clock.to_wall(later.due_ms))
                }
                _ => None,
            },
        }
    }

    /// Arrival of the oldest message that waits. Looks at all of them, a few at a time, so that nobody waits for long
    /// meanwhile; what moves at the same time may be missed.
    pub fn oldest_ms(&self) -> Option<u64> {
        let mut oldest = None;
        let mut seen = 0;
        loop {
            let waiting = self.lock();
            let ready = waiting.ready.iter_from(seen).take(LOOKED_AT_ONCE).map(|(entry, _)| entry.arrival_ms);
            let later = some_of(waiting.later.as_slice(), seen).map(|Reverse(later)| later.entry.arrival_ms);
            oldest = oldest.into_iter().chain(ready).chain(later).min();
            seen += LOOKED_AT_ONCE;
            if seen >= waiting.ready.len().max(waiting.later.len()) {
                return oldest;
            }
        }
    }

    /// The messages in flight.
    pub fn in_flight(&self) -> Vec<MessageId> {
        self.lock().in_flight.iter().map(|flying| flying.id).collect()
    }

    /// The same with the connections that each has missed.
    pub fn in_flight_and_missed(&self) -> Vec<(MessageId, u32)> {
        self.lock().in_flight.iter().map(|flying| (flying.id, flying.missed)).collect()
    }

    /// Whether an administrator has suspended it.
    pub fn is_suspended(&self) -> bool {
        self.lock().suspended
    }

    /// Calls `look` with each waiting entry, the connections that it has missed, and the time at which it is due (`None`:
    /// now, or when it is released). A few at a time, so that nobody waits for long meanwhile: what moves at the same time
    /// may come twice. Nothing that still waits is passed over: whoever acts by queue acts on what comes here.
    pub fn for_each(&self, mut look: impl FnMut(&Entry, u32, Option<u64>)) {
        let mut looked = Looked::default();
        loop {
            let waiting = self.lock();
            let blocked_until_ms = waiting.blocked_until_ms.map(|until_ms| self.clock.to_wall(until_ms));
            let is_all = looked.go_on(&waiting, LOOKED_AT_ONCE, |entry, missed, stand| {
                let due_ms = match stand {
                    Stand::Held => None,
                    Stand::Ready => blocked_until_ms,
                    // Nobody is tried while the whole queue waits.
                    Stand::Later(due_ms) => Some(self.clock.to_wall(due_ms)).max(blocked_until_ms),
                };
                look(entry, missed, due_ms);
            });
            if is_all {
                return;
            }
        }
    }

    /// Takes every waiting entry of these messages, with its due time; they are in flight then.
    pub(super) fn take_messages(&self, ids: &HashSet<MessageId>) -> Vec<(Entry, Option<u64>)> {
        let mut waiting = self.lock();
        waiting.stir();
        let mut taken = Vec::new();
        let mut keep = |entry: &Entry, due_ms: Option<u64>| {
            let is_wanted = ids.contains(&entry.id);
            if is_wanted {
                taken.push((entry.clone(), due_ms));
            }
            !is_wanted
        };
        waiting.held.retain(|entry| keep(entry, None));
        waiting.later.retain(|Reverse(later)| keep(&later.entry, Some(self.clock.to_wall(later.due_ms))));
        let ready = waiting.ready.take_wanted(|entry| ids.contains(&entry.id));
        taken.extend(ready.into_iter().map(|entry| (entry, None)));
        for (entry, _) in &taken {
            waiting.take_off(entry);
        }
        taken
    }

    /// The same for everything that waits and is not held back.
    pub(super) fn take_waiting(&self) -> Vec<(Entry, Option<u64>)> {
        let mut waiting = self.lock();
        waiting.stir();
        let held = std::mem::take(&mut waiting.held);
        let taken = waiting.take_all();
        waiting.held = held;
        for (entry, _) in &taken {
            waiting.take_off(entry);
        }
        taken.into_iter().map(|(entry, due_ms)| (entry, due_ms.map(|due_ms| self.clock.to_wall(due_ms)))).collect()
    }
}

/// As many as are looked at under one lock, from a place on.
fn some_of<T>(all: &[T], from: usize) -> impl Iterator<Item = &T> {
    all.iter().skip(from).take(LOOKED_AT_ONCE)
}

struct IdleGuard<'a>(&'a DeliveryQueue);

impl Drop for IdleGuard<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.idle_workers = waiting.idle_workers.saturating_sub(1);
    }
}
