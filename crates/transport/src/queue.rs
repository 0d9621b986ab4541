//! Delivery queues: what waits for which next hop, when it is due, and who works on it.
//!
//! Takes entries (a message's number and which of its recipients), hands them to workers in order. Holds no envelope
//! and no content, so its memory does not grow with the queue's bytes. Decides no times: the caller brings them from
//! `policy::retry`. Whoever wants to start workers listens on the channel that [`Queues::new`] gives out.
//!
//! An entry is at one place at a time: in its queue, or in the hands of one caller who took it ("in flight") and owes
//! [`Queues::done`] or [`Queues::put_back`]. A queue that left the table is retired: nothing can be put there any more,
//! and whoever tries gets the entry back, to be routed anew. Locks are taken in the order table, queue, alarms.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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
    /// Tells queues apart whose alarms are set to the same time.
    number: u64,
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
    /// The queue's one alarm, if it is set.
    alarm_ms: Option<u64>,
    last_error: Option<Arc<str>>,
    /// The queue has left the table: it takes no entries any more.
    retired: bool,
}

impl Waiting {
    /// Nothing is here, and nobody who would bring something back.
    fn is_unused(&self) -> bool {
        let is_empty = self.ready.is_empty() && self.later.is_empty() && self.in_flight == 0;
        is_empty && self.workers == 0 && self.workers_wanted == 0
    }

    /// When to look at the queue again.
    fn due_ms(&self) -> Option<u64> {
        match self.blocked_until_ms {
            Some(until_ms) => Some(until_ms),
            None => self.later.peek().map(|Reverse(later)| later.due_ms),
        }
    }

    /// Takes everything that waits, with its due time (`None`: now).
    fn take_all(&mut self) -> Vec<(Entry, Option<u64>)> {
        let ready = std::mem::take(&mut self.ready).into_iter().map(|entry| (entry, None));
        let later = std::mem::take(&mut self.later).into_iter();
        ready.chain(later.map(|Reverse(later)| (later.entry, Some(later.due_ms)))).collect()
    }
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
    /// The next hop cannot be reached for now, or the queue has left the table.
    Stop,
}

/// Entries that were taken out of a queue which had to leave the table, each with its due time (`None`: now).
pub struct Waited {
    /// The queue that they waited in.
    pub queue: Arc<DeliveryQueue>,
    /// The entries.
    pub entries: Vec<(Entry, Option<u64>)>,
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
    fn new(key: QueueKey, connector: Option<Arc<SendConnector>>, number: u64, connections_max: u32) -> DeliveryQueue {
        let workers_max = match key {
            QueueKey::Send { .. } => connections_max,
            QueueKey::Local => LOCAL_WORKERS_MAX,
            QueueKey::Refused | QueueKey::Unreachable => 1,
        };
        let last_error = (key == QueueKey::Unreachable).then(|| UNREACHABLE.into());
        let waiting = Mutex::new(Waiting { last_error, ..Waiting::default() });
        DeliveryQueue { key, connector, number, workers_max, waiting, wake: Notify::new() }
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

    /// The next entry for a worker; it is in flight until [`Queues::done`] or [`Queues::put_back`].
    pub fn next(&self) -> Work {
        let mut waiting = self.lock();
        if waiting.blocked_until_ms.is_some() || waiting.retired {
            return Work::Stop;
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
            if !waiting.ready.is_empty() || waiting.blocked_until_ms.is_some() || waiting.retired {
                return;
            }
            waiting.idle_workers += 1;
        }
        // A wake-up that comes before we wait is kept. The count must go down even if the worker gives up waiting.
        let _idle = IdleGuard(self);
        self.wake.notified().await;
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

    /// Moves the waiting entries that arrived before `before_ms` to the front; wherever they stood, they are next.
    pub fn bring_forward(&self, before_ms: u64) {
        let mut waiting = self.lock();
        let ready = std::mem::take(&mut waiting.ready);
        let (old, young): (Vec<_>, Vec<_>) = ready.into_iter().partition(|entry| entry.arrival_ms < before_ms);
        waiting.ready = old.into_iter().chain(young).collect();
    }

    /// Takes the entry at the front if it arrived before `before_ms`, even from a queue that is blocked.
    pub fn next_older(&self, before_ms: u64) -> Option<Entry> {
        let mut waiting = self.lock();
        let entry = waiting.ready.pop_front_if(|entry| entry.arrival_ms < before_ms)?;
        waiting.in_flight += 1;
        Some(entry)
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

    /// Takes every waiting entry of a message, with its due time; they are in flight then.
    fn take_message(&self, id: MessageId) -> Vec<(Entry, Option<u64>)> {
        let mut waiting = self.lock();
        let mut taken = Vec::new();
        waiting.ready.retain(|entry| {
            entry.id != id || {
                taken.push((entry.clone(), None));
                false
            }
        });
        waiting.later.retain(|Reverse(later)| {
            later.entry.id != id || {
                taken.push((later.entry.clone(), Some(later.due_ms)));
                false
            }
        });
        waiting.in_flight += taken.len() as u64;
        taken
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
    table: Mutex<Table>,
    alarms: Mutex<BTreeMap<Alarm, Weak<DeliveryQueue>>>,
    alarm_set: Notify,
    workers_wanted: mpsc::UnboundedSender<Arc<DeliveryQueue>>,
    connections_max: AtomicU32,
}

#[derive(Default)]
struct Table {
    queues: HashMap<QueueKey, Arc<DeliveryQueue>>,
    /// The revision since which routes are what they are: what was routed before is not taken.
    routes_since: u64,
    queues_made: u64,
}

/// When an alarm goes off (Unix time in milliseconds), and the number of its queue.
type Alarm = (u64, u64);

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

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alarms(&self) -> MutexGuard<'_, BTreeMap<Alarm, Weak<DeliveryQueue>>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every queue, in no order.
    pub fn all(&self) -> Vec<Arc<DeliveryQueue>> {
        self.table().queues.values().cloned().collect()
    }

    /// Puts an entry at the end of its queue, due now (`None`) or later. Makes the queue if need be.
    ///
    /// # Errors
    /// Gives the entry back when `routes_since`, the revision whose routes led to this queue, is out of date.
    pub fn push(
        &self,
        routes_since: u64,
        key: QueueKey,
        connector: Option<&Arc<SendConnector>>,
        entry: Entry,
        due_ms: Option<u64>,
    ) -> Result<(), Entry> {
        loop {
            let Some(queue) = self.queue(routes_since, &key, connector) else { return Err(entry) };
            let mut waiting = queue.lock();
            // It may have been emptied and have left the table since it was found there.
            if waiting.retired {
                continue;
            }
            match due_ms {
                None => waiting.ready.push_back(entry),
                Some(due_ms) => waiting.later.push(Reverse(Later { due_ms, entry })),
            }
            self.call_for_work(&queue, &mut waiting);
            return Ok(());
        }
    }

    /// The queue for `key`; `None` when routes have changed. While they have not, a key stands for one connector.
    fn queue(
        &self,
        routes_since: u64,
        key: &QueueKey,
        connector: Option<&Arc<SendConnector>>,
    ) -> Option<Arc<DeliveryQueue>> {
        let mut table = self.table();
        if routes_since < table.routes_since {
            return None;
        }
        if let Some(queue) = table.queues.get(key) {
            return Some(queue.clone());
        }
        table.queues_made += 1;
        let connections_max = self.connections_max.load(Ordering::Relaxed);
        let queue = DeliveryQueue::new(key.clone(), connector.cloned(), table.queues_made, connections_max);
        let queue = Arc::new(queue);
        table.queues.insert(key.clone(), queue.clone());
        Some(queue)
    }

    /// Wakes idle workers or asks for new ones, and sets the alarm for what is due later.
    fn call_for_work(&self, queue: &Arc<DeliveryQueue>, waiting: &mut Waiting) {
        if waiting.blocked_until_ms.is_none() {
            for _ in 0..waiting.ready.len().min(waiting.idle_workers as usize) {
                queue.wake.notify_one();
            }
            for _ in 0..queue.workers_missing(waiting) {
                waiting.workers_wanted += 1;
                // The receiver lives as long as the server; without it nobody is to be started any more.
                let _ = self.workers_wanted.send(queue.clone());
            }
        }
        let due_ms = waiting.due_ms();
        self.set_alarm(queue, waiting, due_ms);
    }

    /// Sets the queue's alarm, or takes it away: there is one at most.
    fn set_alarm(&self, queue: &Arc<DeliveryQueue>, waiting: &mut Waiting, due_ms: Option<u64>) {
        if waiting.alarm_ms == due_ms {
            return;
        }
        let mut alarms = self.alarms();
        if let Some(set_ms) = waiting.alarm_ms {
            alarms.remove(&(set_ms, queue.number));
        }
        if let Some(due_ms) = due_ms {
            alarms.insert((due_ms, queue.number), Arc::downgrade(queue));
            self.alarm_set.notify_one();
        }
        waiting.alarm_ms = due_ms;
    }

    /// An entry that was in flight is at its end.
    pub fn done(&self, queue: &Arc<DeliveryQueue>) {
        let is_unused = {
            let mut waiting = queue.lock();
            waiting.in_flight = waiting.in_flight.saturating_sub(1);
            waiting.is_unused()
        };
        if is_unused {
            self.retire_unused(queue);
        }
    }

    /// Puts an entry that was in flight back: in front (`None`), for its turn has not been used up, or due at a time.
    ///
    /// # Errors
    /// Gives the entry back, in flight no more, when the queue has left the table: it is to be routed anew.
    pub fn put_back(&self, queue: &Arc<DeliveryQueue>, entry: Entry, due_ms: Option<u64>) -> Result<(), Entry> {
        let mut waiting = queue.lock();
        waiting.in_flight = waiting.in_flight.saturating_sub(1);
        if waiting.retired {
            return Err(entry);
        }
        match due_ms {
            None => waiting.ready.push_front(entry),
            Some(due_ms) => waiting.later.push(Reverse(Later { due_ms, entry })),
        }
        self.call_for_work(queue, &mut waiting);
        Ok(())
    }

    /// Stops all work for a next hop until a time.
    pub fn block(&self, queue: &Arc<DeliveryQueue>, until_ms: u64) {
        let mut waiting = queue.lock();
        if waiting.retired {
            return;
        }
        if waiting.blocked_until_ms.is_none_or(|set_ms| until_ms > set_ms) {
            waiting.blocked_until_ms = Some(until_ms);
        }
        self.call_for_work(queue, &mut waiting);
    }

    /// A worker ends. Asks for another if there is work that came too late for it; drops the queue if nothing is left.
    pub fn worker_ended(&self, queue: &Arc<DeliveryQueue>) {
        let is_unused = {
            let mut waiting = queue.lock();
            waiting.workers = waiting.workers.saturating_sub(1);
            if !waiting.retired {
                self.call_for_work(queue, &mut waiting);
            }
            waiting.is_unused()
        };
        if is_unused {
            self.retire_unused(queue);
        }
    }

    /// Drops a queue from the table unless something has come meanwhile.
    fn retire_unused(&self, queue: &Arc<DeliveryQueue>) {
        let mut table = self.table();
        let mut waiting = queue.lock();
        if waiting.is_unused() && !waiting.retired {
            self.set_alarm(queue, &mut waiting, None);
            waiting.retired = true;
            table.queues.remove(&queue.key);
        }
    }

    /// Waits for ever, letting queues go on when their time has come. `now_ms` is asked after each wait; a clock that
    /// jumps makes entries early or late, never lost.
    pub async fn run_alarms(&self, now_ms: impl Fn() -> u64) {
        loop {
            let now = now_ms();
            match self.ring(now) {
                // Look at the clock at least once a minute: it may have been set forward.
                Some(due_ms) => {
                    let wait = std::time::Duration::from_millis(due_ms.saturating_sub(now).min(60_000));
                    let _ = tokio::time::timeout(wait, self.alarm_set.notified()).await;
                }
                None => self.alarm_set.notified().await,
            }
        }
    }

    /// Lets every queue go on whose time has come; hands on when the next one's comes.
    fn ring(&self, now_ms: u64) -> Option<u64> {
        loop {
            let (alarm, queue) = {
                let alarms = self.alarms();
                let (alarm, queue) = alarms.first_key_value()?;
                (*alarm, queue.upgrade())
            };
            let (due_ms, _) = alarm;
            if due_ms > now_ms {
                return Some(due_ms);
            }
            match queue {
                Some(queue) => self.promote(&queue, now_ms),
                None => drop(self.alarms().remove(&alarm)),
            }
        }
    }

    /// Makes due what is due. The queue's alarm is set to a later time, or gone, afterwards.
    fn promote(&self, queue: &Arc<DeliveryQueue>, now_ms: u64) {
        let mut waiting = queue.lock();
        if waiting.retired {
            return;
        }
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

    /// Makes entries due now that `wanted` asks for, in queues that `is_meant`; a queue that was blocked is tried again.
    /// Says how many entries.
    pub fn hurry(&self, is_meant: impl Fn(&DeliveryQueue) -> bool, wanted: impl Fn(&Entry) -> bool) -> usize {
        let mut hurried = 0;
        for queue in self.all().iter().filter(|queue| is_meant(queue)) {
            let mut waiting = queue.lock();
            let later = std::mem::take(&mut waiting.later);
            let (mut now, still_later): (Vec<_>, Vec<_>) =
                later.into_iter().partition(|Reverse(later)| wanted(&later.entry));
            waiting.later = still_later.into();
            now.sort_by(|Reverse(a), Reverse(b)| a.cmp(b));
            let mut here = now.len();
            waiting.ready.extend(now.into_iter().map(|Reverse(later)| later.entry));
            if waiting.blocked_until_ms.is_some() {
                here = waiting.ready.iter().filter(|entry| wanted(entry)).count();
                if here > 0 {
                    waiting.blocked_until_ms = None;
                }
            }
            if here > 0 {
                self.call_for_work(queue, &mut waiting);
            }
            hurried += here;
        }
        hurried
    }

    /// From now on only what was routed by revision `routes_since` or a later one is taken. Every queue leaves the table,
    /// and what waited there is handed out, to be routed anew; what is in flight is given back when it is put back.
    pub fn begin_routes(&self, routes_since: u64) -> Vec<Waited> {
        let queues = {
            let mut table = self.table();
            table.routes_since = table.routes_since.max(routes_since);
            std::mem::take(&mut table.queues)
        };
        let retire = |queue: Arc<DeliveryQueue>| {
            let entries = {
                let mut waiting = queue.lock();
                self.set_alarm(&queue, &mut waiting, None);
                waiting.retired = true;
                waiting.take_all()
            };
            queue.wake.notify_waiters();
            Waited { queue, entries }
        };
        queues.into_values().map(retire).collect()
    }

    /// Takes every waiting entry of one message, with the queue that it waited in and its due time. They are in flight
    /// then: each wants [`Self::done`] or [`Self::put_back`].
    pub fn take_message(&self, id: MessageId) -> Vec<(Arc<DeliveryQueue>, Entry, Option<u64>)> {
        let mut taken = Vec::new();
        for queue in self.all() {
            let entries = queue.take_message(id).into_iter();
            taken.extend(entries.map(|(entry, due_ms)| (queue.clone(), entry, due_ms)));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn entry(id: u64) -> Entry {
        Entry { id: MessageId(id), recipients: Indices::One(0), arrival_ms: id }
    }

    fn push(queues: &Queues, key: QueueKey, entry: Entry, due_ms: Option<u64>) {
        assert_eq!(queues.push(1, key, None, entry, due_ms), Ok(()));
    }

    fn only_queue(queues: &Queues) -> Arc<DeliveryQueue> {
        queues.all().pop().expect("one queue")
    }

    #[test]
    fn the_first_entry_asks_for_one_worker_and_a_pile_for_more() {
        let (queues, mut requests) = Queues::new(20);
        for id in 0..41 {
            push(&queues, QueueKey::Local, entry(id), None);
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
            push(&queues, QueueKey::Local, entry(id), None);
        }
        let queue = only_queue(&queues);
        queue.worker_started();
        let Work::Entry(first) = queue.next() else { panic!("work") };
        assert_eq!(first.id, MessageId(0));
        queues.put_back(&queue, first, None).expect("the queue is there");
        let ids: Vec<_> = std::iter::from_fn(|| match queue.next() {
            Work::Entry(entry) => Some(entry.id.0),
            _ => None,
        })
        .collect();
        assert_eq!(ids, [0, 1, 2]);
        for _ in ids {
            queues.done(&queue);
        }
        queues.worker_ended(&queue);
        assert!(queues.all().is_empty(), "an empty queue goes");
    }

    #[test]
    fn a_blocked_queue_gives_no_work_until_its_time_or_until_it_is_hurried() {
        let (queues, mut requests) = Queues::new(20);
        push(&queues, QueueKey::Local, entry(1), None);
        requests.try_recv().expect("a worker is wanted");
        let queue = only_queue(&queues);
        queue.worker_started();
        queues.block(&queue, 1_000);
        assert_eq!(queue.next(), Work::Stop);
        queues.worker_ended(&queue);
        push(&queues, QueueKey::Local, entry(2), None);
        assert!(requests.try_recv().is_err(), "no worker for a blocked queue");
        queues.promote(&queue, 999);
        assert!(requests.try_recv().is_err());
        assert_eq!(queues.hurry(|_| true, |entry| entry.id == MessageId(2)), 1);
        requests.try_recv().expect("a worker is wanted again");
    }

    #[test]
    fn what_is_due_later_comes_when_its_time_has_come() {
        let (queues, mut requests) = Queues::new(20);
        push(&queues, QueueKey::Local, entry(1), Some(500));
        push(&queues, QueueKey::Local, entry(2), Some(400));
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
        push(&queues, QueueKey::Local, entry(1), None);
        let old = only_queue(&queues);
        old.worker_started();
        let Work::Entry(taken) = old.next() else { panic!("work") };
        queues.done(&old);
        queues.worker_ended(&old);
        // workers_wanted of the first push has not been used up: the queue stays.
        old.worker_started();
        queues.worker_ended(&old);
        assert!(queues.all().is_empty());
        push(&queues, QueueKey::Local, taken, None);
        assert_eq!(only_queue(&queues).snapshot().entries, 1);
        assert_eq!(old.snapshot().entries, 0);
    }

    #[test]
    fn when_routes_change_what_waits_is_handed_out_and_what_comes_back_is_given_back() {
        let (queues, _requests) = Queues::new(20);
        for (id, due_ms) in [(1, None), (2, Some(1_000)), (3, None)] {
            push(&queues, QueueKey::Local, entry(id), due_ms);
        }
        let old = only_queue(&queues);
        old.worker_started();
        let Work::Entry(in_flight) = old.next() else { panic!("work") };
        let waited: Vec<_> = queues.begin_routes(2).into_iter().flat_map(|waited| waited.entries).collect();
        assert_eq!(waited, [(entry(3), None), (entry(2), Some(1_000))]);
        assert_eq!(old.next(), Work::Stop);
        assert_eq!(queues.put_back(&old, in_flight.clone(), None), Err(in_flight.clone()));
        assert_eq!(queues.push(1, QueueKey::Local, None, in_flight.clone(), None), Err(in_flight.clone()));
        assert_eq!(queues.push(2, QueueKey::Local, None, in_flight, None), Ok(()));
        let new = only_queue(&queues);
        queues.worker_ended(&old);
        assert!(Arc::ptr_eq(&new, &only_queue(&queues)), "the end of an old worker does not concern the new queue");
        assert_eq!(queues.ring(u64::MAX), None, "the alarm of the old queue is gone");
    }

    #[test]
    fn a_queue_has_one_alarm_however_often_it_is_blocked() {
        let (queues, _requests) = Queues::new(20);
        push(&queues, QueueKey::Local, entry(1), None);
        push(&queues, QueueKey::Local, entry(2), Some(1_000_000));
        let queue = only_queue(&queues);
        for second in 0..100 {
            queues.block(&queue, second * 1_000 + 500);
            assert_eq!(queues.alarms().len(), 1);
            assert_eq!(queues.ring(second * 1_000), Some(second * 1_000 + 500));
            assert_eq!(queues.ring(second * 1_000 + 999), Some(1_000_000));
        }
    }

    #[test]
    fn old_entries_are_found_wherever_they_stand_even_when_the_queue_is_blocked() {
        let (queues, _requests) = Queues::new(20);
        for id in [50, 3, 60, 2] {
            push(&queues, QueueKey::Local, entry(id), None);
        }
        let queue = only_queue(&queues);
        queues.block(&queue, 1_000);
        queue.bring_forward(10);
        let old: Vec<_> = std::iter::from_fn(|| queue.next_older(10)).map(|entry| entry.id.0).collect();
        assert_eq!(old, [3, 2]);
        assert_eq!((queue.snapshot().entries, queue.snapshot().in_flight), (4, 2));
    }

    #[test]
    fn a_pile_that_becomes_due_at_once_gets_more_than_the_idle_worker() {
        let (queues, mut requests) = Queues::new(20);
        for id in 0..100 {
            push(&queues, QueueKey::Local, entry(id), Some(500));
        }
        let queue = only_queue(&queues);
        queue.worker_started();
        queue.lock().idle_workers = 1;
        queues.ring(500);
        let wanted = std::iter::from_fn(|| requests.try_recv().ok()).count();
        assert_eq!(wanted, 4, "five for a hundred, one of which is there");
    }

    #[tokio::test]
    async fn an_idle_worker_is_woken_by_work_and_by_the_end_of_its_queue() {
        let (queues, _requests) = Queues::new(20);
        push(&queues, QueueKey::Local, entry(1), None);
        let queue = only_queue(&queues);
        queue.worker_started();
        let Work::Entry(held) = queue.next() else { panic!("work") };
        let wait = queue.wait_for_work();
        tokio::pin!(wait);
        let idle = std::future::poll_fn(|context| std::task::Poll::Ready(wait.as_mut().poll(context).is_pending()));
        assert!(idle.await, "nothing to do yet");
        push(&queues, QueueKey::Local, entry(2), None);
        wait.await;
        assert_eq!(queue.next(), Work::Entry(entry(2)));
        let ends = async { queues.begin_routes(2) };
        tokio::join!(queue.wait_for_work(), ends);
        assert_eq!(queues.put_back(&queue, held.clone(), None), Err(held));
    }

    /// Many threads do everything at once that is done to queues; in the end each entry has been worked on once.
    /// Nobody but the channel and the alarms says where work is, so a lost wake-up would leave entries behind.
    #[test]
    fn no_entry_is_lost_or_doubled_whatever_happens_at_once() {
        const PUSHERS: u64 = 4;
        const ENTRIES_EACH: u64 = 3_000;
        let (queues, requests) = Queues::new(3);
        let (queues, requests) = (&queues, &Mutex::new(requests));
        let done: Vec<AtomicU32> = (0..PUSHERS * ENTRIES_EACH).map(|_| AtomicU32::new(0)).collect();
        let (done, routes, clock) = (&done, &AtomicU64::new(1), &AtomicU64::new(1));
        let pushing = &AtomicU32::new(PUSHERS as u32);
        let keys = [QueueKey::Local, QueueKey::Refused, QueueKey::Unreachable];
        let route = |mut entry: Entry, due_ms: Option<u64>| {
            let key = &keys[(entry.id.0 % 3) as usize];
            while let Err(back) = queues.push(routes.load(Ordering::SeqCst), key.clone(), None, entry, due_ms) {
                entry = back;
            }
        };
        let put_back = |queue: &Arc<DeliveryQueue>, entry: Entry, due_ms: Option<u64>| {
            if let Err(entry) = queues.put_back(queue, entry, due_ms) {
                route(entry, due_ms);
            }
        };
        let work = |queue: &Arc<DeliveryQueue>, chance: &mut u64| {
            queue.worker_started();
            while let Work::Entry(entry) = queue.next() {
                *chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let soon_ms = clock.load(Ordering::Relaxed) + 2;
                match (*chance >> 33) % 16 {
                    0 => put_back(queue, entry, None),
                    1 | 2 => put_back(queue, entry, Some(soon_ms)),
                    3 => {
                        put_back(queue, entry, None);
                        queues.block(queue, soon_ms);
                    }
                    4 => {
                        put_back(queue, entry, None);
                        break;
                    }
                    _ => {
                        done[entry.id.0 as usize].fetch_add(1, Ordering::Relaxed);
                        queues.done(queue);
                    }
                }
            }
            queues.worker_ended(queue);
        };
        let next_request = || requests.lock().expect("no panic").try_recv().ok();
        std::thread::scope(|scope| {
            for pusher in 0..PUSHERS {
                scope.spawn(move || {
                    for number in 0..ENTRIES_EACH {
                        let id = pusher * ENTRIES_EACH + number;
                        let due_ms = id.is_multiple_of(5).then(|| clock.load(Ordering::Relaxed) + id % 7);
                        route(entry(id), due_ms);
                    }
                    pushing.fetch_sub(1, Ordering::SeqCst);
                });
            }
            for seed in 0..3 {
                scope.spawn(move || {
                    let mut chance = seed;
                    while pushing.load(Ordering::SeqCst) > 0 {
                        match next_request() {
                            Some(queue) => work(&queue, &mut chance),
                            None => std::thread::yield_now(),
                        }
                    }
                });
            }
            scope.spawn(move || {
                let mut turn = 0;
                while pushing.load(Ordering::SeqCst) > 0 {
                    turn += 1;
                    queues.ring(clock.fetch_add(1, Ordering::Relaxed));
                    for (queue, entry, due_ms) in queues.take_message(MessageId(turn % done.len() as u64)) {
                        put_back(&queue, entry, due_ms);
                    }
                    if turn % 16 == 0 {
                        queues.hurry(|_| true, |entry| entry.id.0 % 2 == 0);
                    }
                    if turn % 64 == 0 {
                        let waited = queues.begin_routes(routes.fetch_add(1, Ordering::SeqCst) + 1);
                        for (entry, due_ms) in waited.into_iter().flat_map(|waited| waited.entries) {
                            route(entry, due_ms);
                        }
                    }
                }
            });
        });
        let mut chance = 7;
        loop {
            while let Some(queue) = next_request() {
                work(&queue, &mut chance);
            }
            match queues.ring(u64::MAX - 1_000) {
                None if requests.lock().expect("no panic").is_empty() => break,
                _ => {}
            }
        }
        let wrong: Vec<_> = done.iter().map(|done| done.load(Ordering::Relaxed)).filter(|done| *done != 1).collect();
        assert!(wrong.is_empty(), "{} entries were not worked on just once: {wrong:?}", wrong.len());
        assert!(queues.all().is_empty(), "empty queues go");
    }

    #[test]
    fn a_message_can_be_taken_out_wherever_it_waits() {
        let (queues, _requests) = Queues::new(20);
        push(&queues, QueueKey::Local, entry(1), None);
        push(&queues, QueueKey::Unreachable, entry(1), None);
        push(&queues, QueueKey::Local, entry(1), Some(10));
        push(&queues, QueueKey::Local, entry(2), Some(10));
        let taken = queues.take_message(MessageId(1));
        assert_eq!(taken.len(), 3);
        assert_eq!(queues.all().iter().map(|queue| queue.snapshot().in_flight).sum::<u64>(), 3);
        for (queue, ..) in taken {
            queues.done(&queue);
        }
        assert_eq!(queues.all().iter().map(|queue| queue.snapshot().entries).sum::<u64>(), 1);
    }
}
