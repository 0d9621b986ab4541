//! Delivery queues: what waits for which next hop, when it is due, and who works on it.
//!
//! Takes entries (a message's number and which of its recipients), hands them to workers in order. Holds no envelope
//! and no content, so its memory does not grow with the queue's bytes. Decides no times: the caller brings them from
//! `policy::retry`. Whoever wants to start workers listens on the channel that [`Queues::new`] gives out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_mail::MessageId;
use gatepost_policy::route::{NextHop, SendConnector, UNREACHABLE};
use tokio::sync::{Notify, mpsc};

/// One more connection is opened for each so many waiting entries (fact sheet section 4.6).
const ENTRIES_PER_CONNECTION: usize = 20;
/// Local mailboxes are written by at most so many workers: each write waits for the disk.
const LOCAL_WORKERS_MAX: u32 = 8;

/// Where a queue leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueueKey {
    /// To mailboxes of this server.
    Local,
    /// Nowhere: no send connector takes the recipients. They wait until the settings change, or until they expire.
    Unreachable,
    /// Back: the recipients were refused by routing, their senders are to be told.
    Refused,
    /// To a next hop.
    Send {
        /// Name of the send connector.
        connector: Arc<str>,
        /// Where to connect.
        next_hop: NextHop,
    },
}

impl fmt::Display for QueueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueKey::Local => f.write_str("local delivery"),
            QueueKey::Unreachable => f.write_str("unreachable"),
            QueueKey::Refused => f.write_str("refused"),
            QueueKey::Send { next_hop, .. } => next_hop.fmt(f),
        }
    }
}

/// Which recipients of a message an entry is about: indices into its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indices {
    /// The usual case, without an allocation.
    One(u32),
    /// Several, ascending.
    Many(Box<[u32]>),
}

impl Indices {
    /// As a slice.
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Indices::One(index) => std::slice::from_ref(index),
            Indices::Many(indices) => indices,
        }
    }
}

impl From<Vec<u32>> for Indices {
    fn from(indices: Vec<u32>) -> Self {
        match indices.as_slice() {
            [one] => Indices::One(*one),
            _ => Indices::Many(indices.into()),
        }
    }
}

/// Recipients of one message that go the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The message.
    pub id: MessageId,
    /// Its recipients.
    pub recipients: Indices,
    /// When the message arrived, Unix time in milliseconds; it expires by this.
    pub arrival_ms: u64,
}

/// One queue. Everything that changes is behind one lock, held for moments only.
pub struct DeliveryQueue {
    /// Where it leads.
    pub key: QueueKey,
    /// The send connector as of the revision that made this queue; `None` but for [`QueueKey::Send`].
    pub connector: Option<Arc<SendConnector>>,
    /// At most so many workers, which for a next hop means connections.
    workers_max: u32,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    ready: VecDeque<Entry>,
    later: BinaryHeap<Reverse<Later>>,
    in_flight: u64,
    workers: u32,
    /// Workers that have been asked for and have not started yet.
    workers_wanted: u32,
    idle_workers: u32,
    connections: u32,
    /// Connection attempts that failed since the last success.
    failures: u32,
    blocked_until_ms: Option<u64>,
    /// The earliest alarm that is set, so that not every deferred entry sets one of its own.
    alarm_ms: Option<u64>,
    last_error: Option<Arc<str>>,
    /// The queue has left the table: entries must go to its successor.
    retired: bool,
}

#[derive(PartialEq, Eq)]
struct Later {
    due_ms: u64,
    entry: Entry,
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ms, self.entry.id).cmp(&(other.due_ms, other.entry.id))
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a worker is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// Deliver this.
    Entry(Entry),
    /// Nothing is due.
    Nothing,
    /// The next hop cannot be reached for now: stop.
    Blocked,
}

/// What a queue looks like from outside.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Entries, those in flight included.
    pub entries: u64,
    /// Of those, in flight.
    pub in_flight: u64,
    /// Open connections.
    pub connections: u32,
    /// Workers.
    pub workers: u32,
    /// Set while the next hop cannot be reached.
    pub blocked_until_ms: Option<u64>,
    /// What went wrong last.
    pub last_error: Option<Arc<str>>,
}

impl DeliveryQueue {
    fn new(key: QueueKey, connector: Option<Arc<SendConnector>>, connections_max: u32) -> DeliveryQueue {
        let workers_max = match key {
            QueueKey::Send { .. } => connections_max,
            QueueKey::Local => LOCAL_WORKERS_MAX,
            QueueKey::Refused | QueueKey::Unreachable => 1,
        };
        let last_error = (key == QueueKey::Unreachable).then(|| UNREACHABLE.into());
        let waiting = Mutex::new(Waiting { last_error, ..Waiting::default() });
        DeliveryQueue { key, connector, workers_max, waiting, wake: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many more workers the queue deserves now: one for the first entry, then one for each
    /// [`ENTRIES_PER_CONNECTION`].
    fn workers_missing(&self, waiting: &Waiting) -> u32 {
        if waiting.blocked_until_ms.is_some() || waiting.ready.is_empty() {
            return 0;
        }
        let deserved = waiting.ready.len().div_ceil(ENTRIES_PER_CONNECTION);
        let deserved = u32::try_from(deserved).unwrap_or(u32::MAX).min(self.workers_max);
        deserved.saturating_sub(waiting.workers + waiting.workers_wanted)
    }

    /// A worker begins.
    pub fn worker_started(&self) {
        let mut waiting = self.lock();
        waiting.workers += 1;
        waiting.workers_wanted = waiting.workers_wanted.saturating_sub(1);
    }

    /// The next entry for a worker; counted as in flight until [`Self::done`] or [`Queues::put_back`].
    pub fn next(&self) -> Work {
        let mut waiting = self.lock();
        if waiting.blocked_until_ms.is_some() {
            return Work::Blocked;
        }
        match waiting.ready.pop_front() {
            Some(entry) => {
                waiting.in_flight += 1;
                Work::Entry(entry)
            }
            None => Work::Nothing,
        }
    }

    /// Waits until there may be work; the worker counts as idle meanwhile.
    pub async fn wait_for_work(&self) {
        {
            let mut waiting = self.lock();
            if !waiting.ready.is_empty() || waiting.blocked_until_ms.is_some() {
                return;
            }
            waiting.idle_workers += 1;
        }
        // The count must go down even if the worker gives up waiting.
        let _idle = IdleGuard(self);
        self.wake.notified().await;
    }

    /// An entry that was in flight is no longer this queue's.
    pub fn done(&self) {
        let mut waiting = self.lock();
        waiting.in_flight = waiting.in_flight.saturating_sub(1);
    }

    /// A connection was opened: the next hop can be reached.
    pub fn connected(&self) {
        let mut waiting = self.lock();
        waiting.connections += 1;
        waiting.failures = 0;
        waiting.last_error = None;
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

    /// Counts a connection attempt that failed; hands on how many failed in a row. Workers that fail together count
    /// once: while the queue is blocked the count stands still.
    pub fn connection_failed(&self, error: &str) -> u32 {
        let mut waiting = self.lock();
        if waiting.blocked_until_ms.is_none() {
            waiting.failures = waiting.failures.saturating_add(1);
        }
        waiting.last_error = Some(error.into());
        waiting.failures
    }

    /// Takes up to `max` entries from the front of the queue that arrived before `before_ms`.
    pub fn take_older(&self, before_ms: u64, max: usize) -> Vec<Entry> {
        let mut waiting = self.lock();
        let mut taken = Vec::new();
        while taken.len() < max && waiting.ready.front().is_some_and(|entry| entry.arrival_ms < before_ms) {
            taken.extend(waiting.ready.pop_front());
        }
        waiting.in_flight += taken.len() as u64;
        taken
    }

    /// How the queue is doing.
    pub fn snapshot(&self) -> Snapshot {
        let waiting = self.lock();
        Snapshot {
            entries: (waiting.ready.len() + waiting.later.len()) as u64 + waiting.in_flight,
            in_flight: waiting.in_flight,
            connections: waiting.connections,
            workers: waiting.workers,
            blocked_until_ms: waiting.blocked_until_ms,
            last_error: waiting.last_error.clone(),
        }
    }

    /// Calls `look` with each waiting entry and the time at which it is due (`None`: now).
    pub fn for_each(&self, mut look: impl FnMut(&Entry, Option<u64>)) {
        let waiting = self.lock();
        for entry in &waiting.ready {
            look(entry, waiting.blocked_until_ms);
        }
        for Reverse(later) in &waiting.later {
            look(&later.entry, Some(later.due_ms));
        }
    }

    /// Takes every waiting entry of a message; says nothing of those in flight.
    pub fn take_message(&self, id: MessageId) -> Vec<Entry> {
        let mut waiting = self.lock();
        let mut taken = Vec::new();
        waiting.ready.retain(|entry| {
            entry.id != id || {
                taken.push(entry.clone());
                false
            }
        });
        waiting.later.retain(|Reverse(later)| {
            later.entry.id != id || {
                taken.push(later.entry.clone());
                false
            }
        });
        taken
    }

    /// Takes everything that waits, with its due time. What had no way out was due only to expire: a new way is tried now.
    fn take_all(&self) -> Vec<(Entry, Option<u64>)> {
        let has_no_way_out = self.key == QueueKey::Unreachable;
        let mut waiting = self.lock();
        let ready = std::mem::take(&mut waiting.ready).into_iter().map(|entry| (entry, None));
        let later = std::mem::take(&mut waiting.later).into_iter();
        let later = later.map(|Reverse(later)| (later.entry, (!has_no_way_out).then_some(later.due_ms)));
        ready.chain(later).collect()
    }
}

struct IdleGuard<'a>(&'a DeliveryQueue);

impl Drop for IdleGuard<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.idle_workers = waiting.idle_workers.saturating_sub(1);
    }
}

/// All queues, and the alarms of those that wait for a time.
pub struct Queues {
    table: Mutex<HashMap<QueueKey, Arc<DeliveryQueue>>>,
    alarms: Mutex<BinaryHeap<Reverse<Alarm>>>,
    alarm_set: Notify,
    workers_wanted: mpsc::UnboundedSender<Arc<DeliveryQueue>>,
    connections_max: AtomicU32,
}

struct Alarm {
    due_ms: u64,
    queue: std::sync::Weak<DeliveryQueue>,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.due_ms == other.due_ms
    }
}
impl Eq for Alarm {}
impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due_ms.cmp(&other.due_ms)
    }
}
impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Queues {
    /// No queues yet. `connections_max` bounds the connections to one next hop. Each message on the channel asks for one
    /// more worker for that queue; the channel is bounded by what the queues allow.
    pub fn new(connections_max: u32) -> (Queues, mpsc::UnboundedReceiver<Arc<DeliveryQueue>>) {
        let (workers_wanted, requests) = mpsc::unbounded_channel();
        let queues = Queues {
            table: Mutex::default(),
            alarms: Mutex::default(),
            alarm_set: Notify::new(),
            workers_wanted,
            connections_max: AtomicU32::new(connections_max),
        };
        (queues, requests)
    }

    /// Bounds the connections to one next hop for queues that are made from now on.
    pub fn set_connections_max(&self, connections_max: u32) {
        self.connections_max.store(connections_max, Ordering::Relaxed);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<QueueKey, Arc<DeliveryQueue>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alarms(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Alarm>>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every queue, in no order.
    pub fn all(&self) -> Vec<Arc<DeliveryQueue>> {
        self.table().values().cloned().collect()
    }

    /// Puts an entry at the end of its queue, due now (`None`) or later. Makes the queue if need be; a queue whose
    /// connector has changed since is replaced, and what waits in it moves over.
    pub fn push(&self, key: QueueKey, connector: Option<&Arc<SendConnector>>, entry: Entry, due_ms: Option<u64>) {
        let mut entries = vec![(entry, due_ms)];
        loop {
            let queue = self.queue(&key, connector, &mut entries);
            let mut waiting = queue.lock();
            if waiting.retired {
                continue;
            }
            for (entry, due_ms) in entries {
                match due_ms {
                    None => waiting.ready.push_back(entry),
                    Some(due_ms) => waiting.later.push(Reverse(Later { due_ms, entry })),
                }
            }
            self.call_for_work(&queue, &mut waiting);
            return;
        }
    }

    /// The queue for `key`. Entries of a queue that had to be replaced are added to `entries`.
    fn queue(
        &self,
        key: &QueueKey,
        connector: Option<&Arc<SendConnector>>,
        entries: &mut Vec<(Entry, Option<u64>)>,
    ) -> Arc<DeliveryQueue> {
        let mut table = self.table();
        if let Some(queue) = table.get(key) {
            let same = match (&queue.connector, connector) {
                (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs) || ours == theirs,
                (None, None) => true,
                _ => false,
            };
            if same {
                return queue.clone();
            }
            entries.extend(queue.take_all());
            queue.lock().retired = true;
            queue.wake.notify_waiters();
        }
        let queue =
            Arc::new(DeliveryQueue::new(key.clone(), connector.cloned(), self.connections_max.load(Ordering::Relaxed)));
        table.insert(key.clone(), queue.clone());
        queue
    }

    /// Wakes an idle worker or asks for new ones, and sets the alarm for what is due later.
    fn call_for_work(&self, queue: &Arc<DeliveryQueue>, waiting: &mut Waiting) {
        if waiting.blocked_until_ms.is_none() {
            if waiting.idle_workers > 0 && !waiting.ready.is_empty() {
                queue.wake.notify_one();
            } else {
                for _ in 0..queue.workers_missing(waiting) {
                    waiting.workers_wanted += 1;
                    // The receiver lives as long as the server; without it nobody is to be started any more.
                    let _ = self.workers_wanted.send(queue.clone());
                }
            }
        }
        let due_ms = match waiting.blocked_until_ms {
            Some(until_ms) => Some(until_ms),
            None => waiting.later.peek().map(|Reverse(later)| later.due_ms),
        };
        if let Some(due_ms) = due_ms
            && waiting.alarm_ms.is_none_or(|set_ms| due_ms < set_ms)
        {
            waiting.alarm_ms = Some(due_ms);
            self.alarms().push(Reverse(Alarm { due_ms, queue: Arc::downgrade(queue) }));
            self.alarm_set.notify_one();
        }
    }

    /// Puts an entry that was in flight back in front: its turn has not been used up.
    pub fn put_back(&self, queue: &Arc<DeliveryQueue>, entry: Entry) {
        {
            let mut waiting = queue.lock();
            waiting.in_flight = waiting.in_flight.saturating_sub(1);
            if !waiting.retired {
                waiting.ready.push_front(entry);
                return;
            }
        }
        self.push(queue.key.clone(), queue.connector.as_ref(), entry, None);
    }

    /// Stops all work for a next hop until a time.
    pub fn block(&self, queue: &Arc<DeliveryQueue>, until_ms: u64) {
        let mut waiting = queue.lock();
        if waiting.blocked_until_ms.is_none_or(|set_ms| until_ms > set_ms) {
            waiting.blocked_until_ms = Some(until_ms);
            waiting.alarm_ms = None;
        }
        self.call_for_work(queue, &mut waiting);
    }

    /// A worker ends. Asks for another if there is work that came too late for it; drops the queue if nothing is left.
    pub fn worker_ended(&self, queue: &Arc<DeliveryQueue>) {
        let mut table = self.table();
        let mut waiting = queue.lock();
        waiting.workers = waiting.workers.saturating_sub(1);
        let is_empty = waiting.ready.is_empty() && waiting.later.is_empty() && waiting.in_flight == 0;
        if is_empty && waiting.workers == 0 && waiting.workers_wanted == 0 {
            waiting.retired = true;
            if table.get(&queue.key).is_some_and(|current| Arc::ptr_eq(current, queue)) {
                table.remove(&queue.key);
            }
            return;
        }
        drop(table);
        self.call_for_work(queue, &mut waiting);
    }

    /// Waits until `stop` or for ever, letting queues go on when their time has come. `now_ms` is asked after each
    /// wait; a clock that jumps makes entries early or late, never lost.
    pub async fn run_alarms(&self, now_ms: impl Fn() -> u64) {
        loop {
            let next_ms = self.alarms().peek().map(|Reverse(alarm)| alarm.due_ms);
            let now = now_ms();
            match next_ms {
                Some(due_ms) if due_ms <= now => {
                    let alarm = self.alarms().pop();
                    if let Some(queue) = alarm.and_then(|Reverse(alarm)| alarm.queue.upgrade()) {
                        self.promote(&queue, now);
                    }
                }
                Some(due_ms) => {
                    // Look at the clock at least once a minute: it may have been set forward.
                    let wait = std::time::Duration::from_millis((due_ms - now).min(60_000));
                    let _ = tokio::time::timeout(wait, self.alarm_set.notified()).await;
                }
                None => self.alarm_set.notified().await,
            }
        }
    }

    /// Makes due what is due.
    fn promote(&self, queue: &Arc<DeliveryQueue>, now_ms: u64) {
        let mut waiting = queue.lock();
        if waiting.retired {
            return;
        }
        waiting.alarm_ms = None;
        if waiting.blocked_until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            waiting.blocked_until_ms = None;
        }
        while waiting.later.peek().is_some_and(|Reverse(later)| later.due_ms <= now_ms) {
            if let Some(Reverse(later)) = waiting.later.pop() {
                waiting.ready.push_back(later.entry);
            }
        }
        self.call_for_work(queue, &mut waiting);
    }

    /// Makes entries due now that `wanted` asks for; a queue that was blocked is tried again. Says how many entries.
    pub fn hurry(&self, wanted: impl Fn(&DeliveryQueue, &Entry) -> bool) -> usize {
        let mut hurried = 0;
        for queue in self.all() {
            let mut waiting = queue.lock();
            let later = std::mem::take(&mut waiting.later);
            let (now, still_later): (Vec<_>, Vec<_>) =
                later.into_iter().partition(|Reverse(later)| wanted(&queue, &later.entry));
            waiting.later = still_later.into();
            let mut here = now.len();
            waiting.ready.extend(now.into_iter().map(|Reverse(later)| later.entry));
            if waiting.blocked_until_ms.is_some() {
                let blocked = waiting.ready.iter().filter(|entry| wanted(&queue, entry)).count();
                if blocked > 0 {
                    here = blocked;
                    waiting.blocked_until_ms = None;
                }
            }
            if here > 0 {
                waiting.alarm_ms = None;
                self.call_for_work(&queue, &mut waiting);
            }
            hurried += here;
        }
        hurried
    }

    /// Takes every waiting entry out of every queue, to be routed anew under changed settings.
    pub fn take_all(&self) -> Vec<(Entry, Option<u64>)> {
        let mut taken = Vec::new();
        for queue in self.all() {
            let mut table = self.table();
            taken.extend(queue.take_all());
            let mut waiting = queue.lock();
            waiting.blocked_until_ms = None;
            if waiting.workers == 0 && waiting.workers_wanted == 0 {
                waiting.retired = true;
                if table.get(&queue.key).is_some_and(|current| Arc::ptr_eq(current, &queue)) {
                    table.remove(&queue.key);
                }
            }
        }
        taken
    }

    /// Takes every waiting entry of one message.
    pub fn take_message(&self, id: MessageId) -> Vec<Entry> {
        self.all().iter().flat_map(|queue| queue.take_message(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64) -> Entry {
        Entry { id: MessageId(id), recipients: Indices::One(0), arrival_ms: id }
    }

    fn only_queue(queues: &Queues) -> Arc<DeliveryQueue> {
        queues.all().pop().expect("one queue")
    }

    #[test]
    fn the_first_entry_asks_for_one_worker_and_a_pile_for_more() {
        let (queues, mut requests) = Queues::new(20);
        for id in 0..41 {
            queues.push(QueueKey::Local, None, entry(id), None);
        }
        let mut wanted = 0;
        while requests.try_recv().is_ok() {
            wanted += 1;
        }
        assert_eq!(wanted, 3, "one for each 20 entries");
    }

    #[test]
    fn entries_come_out_in_order_and_none_is_lost() {
        let (queues, _requests) = Queues::new(20);
        for id in 0..3 {
            queues.push(QueueKey::Local, None, entry(id), None);
        }
        let queue = only_queue(&queues);
        queue.worker_started();
        let Work::Entry(first) = queue.next() else { panic!("work") };
        assert_eq!(first.id, MessageId(0));
        queues.put_back(&queue, first);
        let ids: Vec<_> = std::iter::from_fn(|| match queue.next() {
            Work::Entry(entry) => Some(entry.id.0),
            _ => None,
        })
        .collect();
        assert_eq!(ids, [0, 1, 2]);
        for _ in ids {
            queue.done();
        }
        queues.worker_ended(&queue);
        assert!(queues.all().is_empty(), "an empty queue goes");
    }

    #[test]
    fn a_blocked_queue_gives_no_work_until_its_time_or_until_it_is_hurried() {
        let (queues, mut requests) = Queues::new(20);
        queues.push(QueueKey::Local, None, entry(1), None);
        requests.try_recv().expect("a worker is wanted");
        let queue = only_queue(&queues);
        queue.worker_started();
        queues.block(&queue, 1_000);
        assert_eq!(queue.next(), Work::Blocked);
        queues.worker_ended(&queue);
        queues.push(QueueKey::Local, None, entry(2), None);
        assert!(requests.try_recv().is_err(), "no worker for a blocked queue");
        queues.promote(&queue, 999);
        assert!(requests.try_recv().is_err());
        assert_eq!(queues.hurry(|_, entry| entry.id == MessageId(2)), 1);
        requests.try_recv().expect("a worker is wanted again");
    }

    #[test]
    fn what_is_due_later_comes_when_its_time_has_come() {
        let (queues, mut requests) = Queues::new(20);
        queues.push(QueueKey::Local, None, entry(1), Some(500));
        queues.push(QueueKey::Local, None, entry(2), Some(400));
        assert!(requests.try_recv().is_err());
        let queue = only_queue(&queues);
        queues.promote(&queue, 450);
        queue.worker_started();
        assert!(matches!(queue.next(), Work::Entry(entry) if entry.id == MessageId(2)));
        assert_eq!(queue.next(), Work::Nothing);
        queues.promote(&queue, 500);
        assert!(matches!(queue.next(), Work::Entry(entry) if entry.id == MessageId(1)));
    }

    #[test]
    fn a_queue_that_left_the_table_takes_no_more_entries() {
        let (queues, _requests) = Queues::new(20);
        queues.push(QueueKey::Local, None, entry(1), None);
        let old = only_queue(&queues);
        old.worker_started();
        let Work::Entry(taken) = old.next() else { panic!("work") };
        old.done();
        queues.worker_ended(&old);
        // workers_wanted of the first push has not been used up: the queue stays.
        old.worker_started();
        queues.worker_ended(&old);
        assert!(queues.all().is_empty());
        queues.push(QueueKey::Local, None, taken, None);
        assert_eq!(only_queue(&queues).snapshot().entries, 1);
        assert_eq!(old.snapshot().entries, 0);
    }

    #[test]
    fn what_had_no_way_out_is_due_at_once_when_it_is_routed_anew() {
        let (queues, _requests) = Queues::new(20);
        queues.push(QueueKey::Unreachable, None, entry(1), Some(1_000));
        queues.push(QueueKey::Local, None, entry(2), Some(1_000));
        let mut taken: Vec<_> = queues.take_all().into_iter().map(|(entry, due_ms)| (entry.id.0, due_ms)).collect();
        taken.sort_unstable();
        assert_eq!(taken, [(1, None), (2, Some(1_000))]);
    }

    #[test]
    fn a_message_can_be_taken_out_wherever_it_waits() {
        let (queues, _requests) = Queues::new(20);
        queues.push(QueueKey::Local, None, entry(1), None);
        queues.push(QueueKey::Unreachable, None, entry(1), None);
        queues.push(QueueKey::Local, None, entry(1), Some(10));
        queues.push(QueueKey::Local, None, entry(2), Some(10));
        assert_eq!(queues.take_message(MessageId(1)).len(), 3);
        assert_eq!(queues.all().iter().map(|queue| queue.snapshot().entries).sum::<u64>(), 1);
    }
}
