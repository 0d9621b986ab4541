//! All delivery queues, and the alarms of those that wait for a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use gatepost_mail::MessageId;
use gatepost_policy::route::SendConnector;
use tokio::sync::{Notify, mpsc};

use super::delivery_queue::{DeliveryQueue, Limits, Wait};
use super::entry::{Entry, QueueKey};
use super::waiting::{Later, Waiting};
use crate::clock::{Steady, now_ms};

/// All queues, and the alarms of those that wait for a time. Times that come in and go out are the wall clock's; inside
/// they are those of a clock that is never set back, so that nobody waits for a time to come again.
pub struct Queues {
    pub(super) clock: Arc<Steady>,
    table: Mutex<Table>,
    alarms: Mutex<BTreeMap<Alarm, Weak<DeliveryQueue>>>,
    alarm_set: Notify,
    workers_wanted: mpsc::UnboundedSender<Arc<DeliveryQueue>>,
    limits: Mutex<Limits>,
    /// Empty queues that are still there.
    idle: AtomicUsize,
    /// Whether nothing is to be routed: asked for each message.
    submission_suspended: AtomicBool,
}

/// So many empty queues stay for a while, and no more: mail for a million domains is not to make a million of them.
const IDLE_QUEUES_MAX: usize = 1_000;

/// An entry that was taken out of its queue, and its due time (`None`: now).
pub type Taken = (Arc<DeliveryQueue>, Entry, Option<u64>);

#[derive(Default)]
struct Table {
    queues: HashMap<QueueKey, Arc<DeliveryQueue>>,
    /// The revision since which routes are what they are: what was routed before is not taken.
    routes_since: u64,
    queues_made: u64,
    /// Names of the queues that an administrator has suspended, whether they are there or not.
    suspended: HashSet<String>,
    /// Queues that have left the table with something in flight.
    leaving: Vec<Weak<DeliveryQueue>>,
}

/// When an alarm goes off, and the number of its queue.
type Alarm = (u64, u64);

impl Queues {
    /// No queues yet. `connections_max` bounds the connections to one next hop. Each message on the channel asks for one
    /// more worker for that queue; the channel is bounded by what the queues allow.
    pub fn new(connections_max: u32) -> (Queues, mpsc::UnboundedReceiver<Arc<DeliveryQueue>>) {
        let (workers_wanted, requests) = mpsc::unbounded_channel();
        let queues = Queues {
            clock: Arc::default(),
            table: Mutex::default(),
            alarms: Mutex::default(),
            alarm_set: Notify::new(),
            workers_wanted,
            limits: Mutex::new(Limits { connections_max, by_priority: None, idle_max_ms: 0 }),
            idle: AtomicUsize::new(0),
            submission_suspended: AtomicBool::new(false),
        };
        (queues, requests)
    }

    /// Bounds what one queue may do, for queues that are made from now on.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn alarms(&self) -> MutexGuard<'_, BTreeMap<Alarm, Weak<DeliveryQueue>>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every queue, oldest first.
    pub fn all(&self) -> Vec<Arc<DeliveryQueue>> {
        let mut queues: Vec<_> = self.table().queues.values().cloned().collect();
        queues.sort_by_key(|queue| queue.number);
        queues
    }

    /// The queue of that key, if anything waits there.
    pub fn find(&self, key: &QueueKey) -> Option<Arc<DeliveryQueue>> {
        self.table().queues.get(key).cloned()
    }

    /// The messages in flight, from queues that have left the table, too.
    pub fn in_flight(&self) -> HashSet<MessageId> {
        let queues = {
            let mut table = self.table();
            table.leaving.retain(|queue| queue.strong_count() > 0);
            let leaving = table.leaving.iter().filter_map(Weak::upgrade);
            leaving.chain(table.queues.values().cloned()).collect::<Vec<_>>()
        };
        queues.iter().flat_map(|queue| queue.in_flight()).collect()
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
            waiting.incoming.count(self.clock.seconds());
            self.wake_up(&mut waiting);
            match due_ms {
                None => waiting.ready.push_back(entry),
                Some(due_ms) => waiting.push_later(Later { due_ms: self.clock.of_wall(due_ms), entry }),
            }
            self.call_for_work(&queue, &mut waiting);
            return Ok(());
        }
    }

    /// The same for an entry that is held back until somebody releases it.
    ///
    /// # Errors
    /// As [`Queues::push`].
    pub fn push_held(
        &self,
        routes_since: u64,
        key: QueueKey,
        connector: Option<&Arc<SendConnector>>,
        entry: Entry,
    ) -> Result<(), Entry> {
        loop {
            let Some(queue) = self.queue(routes_since, &key, connector) else { return Err(entry) };
            let mut waiting = queue.lock();
            if waiting.retired {
                continue;
            }
            waiting.incoming.count(self.clock.seconds());
            self.wake_up(&mut waiting);
            waiting.held.push(entry);
            return Ok(());
        }
    }

    /// A queue is idle no more.
    fn wake_up(&self, waiting: &mut Waiting) {
        if waiting.idle_until_ms.take().is_some() {
            self.idle.fetch_sub(1, Ordering::Relaxed);
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
        let number = table.queues_made;
        let is_suspended = !table.suspended.is_empty() && table.suspended.contains(&key.name());
        let queue = Arc::new(self.made(key.clone(), connector.cloned(), number, is_suspended));
        table.queues.insert(key.clone(), queue.clone());
        Some(queue)
    }

    fn made(
        &self,
        key: QueueKey,
        connector: Option<Arc<SendConnector>>,
        number: u64,
        suspended: bool,
    ) -> DeliveryQueue {
        DeliveryQueue::new(key, connector, number, self.limits(), suspended, self.clock.clone())
    }

    /// Wakes idle workers or asks for new ones, and sets the alarm for what is due later. A queue that has left the table
    /// wants neither: an alarm of its would never be taken away.
    fn call_for_work(&self, queue: &Arc<DeliveryQueue>, waiting: &mut Waiting) {
        if waiting.retired {
            return;
        }
        if waiting.blocked_until_ms.is_none() && !waiting.suspended {
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

    /// Whether the next hop of such a queue cannot be reached now.
    pub fn is_down(&self, key: &QueueKey) -> bool {
        let queue = self.table().queues.get(key).cloned();
        queue.is_some_and(|queue| queue.is_down())
    }

    /// An entry of this message that was in flight is at its end.
    pub fn done(&self, queue: &Arc<DeliveryQueue>, id: MessageId) {
        let is_unused = {
            let mut waiting = queue.lock();
            waiting.land(id);
            waiting.outgoing.count(self.clock.seconds());
            if queue.bounds_priorities() {
                self.call_for_work(queue, &mut waiting);
            }
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
        waiting.land(entry.id);
        if waiting.retired {
            return Err(entry);
        }
        match due_ms {
            None => {
                waiting.stir();
                waiting.ready.push_front(entry);
            }
            Some(due_ms) => waiting.push_later(Later { due_ms: self.clock.of_wall(due_ms), entry }),
        }
        self.call_for_work(queue, &mut waiting);
        Ok(())
    }

    /// The same, to be held back there until somebody releases it.
    ///
    /// # Errors
    /// As [`Queues::put_back`].
    pub fn hold(&self, queue: &Arc<DeliveryQueue>, entry: Entry) -> Result<(), Entry> {
        let mut waiting = queue.lock();
        waiting.land(entry.id);
        if waiting.retired {
            return Err(entry);
        }
        waiting.stir();
        waiting.held.push(entry);
        if queue.bounds_priorities() {
            self.call_for_work(queue, &mut waiting);
        }
        Ok(())
    }

    /// Whether an administrator has suspended the queue of this name.
    pub fn is_suspended(&self, name: &str) -> bool {
        let table = self.table();
        !table.suspended.is_empty() && table.suspended.contains(name)
    }

    /// Whether an administrator has suspended routing.
    pub fn is_submission_suspended(&self) -> bool {
        self.submission_suspended.load(Ordering::Relaxed)
    }

    /// The names of all suspended queues, whether they are there or not.
    pub fn suspended(&self) -> Vec<String> {
        let mut names: Vec<_> = self.table().suspended.iter().cloned().collect();
        names.sort();
        names
    }

    /// Suspends queues, and lets all others go on.
    pub fn set_suspended(&self, names: impl Iterator<Item = String>) {
        let queues = {
            let mut table = self.table();
            table.suspended = names.collect();
            let suspended = &table.suspended;
            let submission = suspended.contains(&QueueKey::Submission.name());
            self.submission_suspended.store(submission, Ordering::Relaxed);
            let queues = table.queues.values();
            let mut queues: Vec<_> =
                queues.map(|queue| (queue.clone(), suspended.contains(&queue.key.name()))).collect();
            // Those that go on together do so in the same order each time.
            queues.sort_by_key(|(queue, _)| queue.number);
            queues
        };
        for (queue, is_suspended) in queues {
            let is_unused = {
                let mut waiting = queue.lock();
                if waiting.suspended == is_suspended || waiting.retired {
                    continue;
                }
                waiting.suspended = is_suspended;
                self.call_for_work(&queue, &mut waiting);
                waiting.is_unused()
            };
            if is_suspended {
                queue.wake.notify_waiters();
            }
            if is_unused {
                self.retire_unused(&queue);
            }
        }
    }

    /// A connection was opened: the next hop can be reached, by as many workers as there is work for. If connections have
    /// broken off lately it is still to show that it serves: see [`Queues::served`].
    pub fn connected(&self, queue: &Arc<DeliveryQueue>) {
        let mut waiting = queue.lock();
        waiting.connections += 1;
        if !queue.has_broken_off() {
            self.be_reached(queue, &mut waiting);
        }
    }

    /// The next hop had its say about a message, yes or no.
    pub fn served(&self, queue: &Arc<DeliveryQueue>) {
        if queue.has_broken_off() {
            queue.forget_broken_off();
            self.be_reached(queue, &mut queue.lock());
        }
    }

    fn be_reached(&self, queue: &Arc<DeliveryQueue>, waiting: &mut Waiting) {
        waiting.last_error = None;
        (waiting.first_failure_ms, waiting.last_failure_ms) = (None, None);
        if std::mem::take(&mut waiting.failures) > 0 && !waiting.retired {
            self.call_for_work(queue, waiting);
        }
    }

    /// Whether every connection attempt has failed for so long; asked once, it begins to count anew.
    pub fn is_stuck(&self, queue: &DeliveryQueue, longest: Duration) -> bool {
        let mut waiting = queue.lock();
        let (Some(first_ms), Some(last_ms)) = (waiting.first_failure_ms, waiting.last_failure_ms) else { return false };
        let is_stuck = u128::from(last_ms.saturating_sub(first_ms)) >= longest.as_millis();
        if is_stuck {
            waiting.first_failure_ms = waiting.last_failure_ms;
        }
        is_stuck
    }

    /// Lets a queue go on that is in this wait; one that waits for another time by now goes on waiting.
    pub fn unblock(&self, queue: &Arc<DeliveryQueue>, wait: Wait) {
        let mut waiting = queue.lock();
        if waiting.blocked_until_ms == Some(wait.until_ms) && !waiting.retired {
            waiting.blocked_until_ms = None;
            self.call_for_work(queue, &mut waiting);
        }
    }

    /// Stops all work for a next hop until a time. The queue is not in the wait that is handed back if it waits for longer
    /// already.
    pub fn block(&self, queue: &Arc<DeliveryQueue>, until_ms: u64) -> Wait {
        let until_ms = self.clock.of_wall(until_ms);
        let mut waiting = queue.lock();
        if waiting.retired {
            return Wait { until_ms };
        }
        if waiting.blocked_until_ms.is_none_or(|set_ms| until_ms > set_ms) {
            waiting.blocked_until_ms = Some(until_ms);
        }
        self.call_for_work(queue, &mut waiting);
        Wait { until_ms }
    }

    /// A worker's attempt takes long: others may be needed for what waits. To be followed by [`Queues::worker_quick`].
    pub fn worker_slow(&self, queue: &Arc<DeliveryQueue>) {
        let mut waiting = queue.lock();
        waiting.slow_workers += 1;
        self.call_for_work(queue, &mut waiting);
    }

    /// The attempt of a slow worker is over.
    pub fn worker_quick(&self, queue: &Arc<DeliveryQueue>) {
        let mut waiting = queue.lock();
        waiting.slow_workers = waiting.slow_workers.saturating_sub(1);
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
        self.retire_unused_at(queue, self.clock.of_wall(now_ms()));
    }

    /// The same as of a time.
    fn retire_unused_at(&self, queue: &Arc<DeliveryQueue>, now_ms: u64) {
        let mut table = self.table();
        let mut waiting = queue.lock();
        if !waiting.is_unused() || waiting.retired {
            return;
        }
        let stays = match waiting.idle_until_ms {
            Some(until_ms) => until_ms > now_ms,
            None => {
                let idle_max_ms = self.limits().idle_max_ms;
                let has_room = idle_max_ms > 0 && self.idle.load(Ordering::Relaxed) < IDLE_QUEUES_MAX;
                if has_room {
                    self.idle.fetch_add(1, Ordering::Relaxed);
                    waiting.idle_until_ms = Some(now_ms.saturating_add(idle_max_ms));
                }
                has_room
            }
        };
        if stays {
            let due_ms = waiting.due_ms();
            return self.set_alarm(queue, &mut waiting, due_ms);
        }
        self.wake_up(&mut waiting);
        self.set_alarm(queue, &mut waiting, None);
        waiting.retired = true;
        table.queues.remove(&queue.key);
    }

    /// Waits for ever, letting queues go on when their time has come.
    pub async fn run_alarms(&self) {
        loop {
            let now = self.clock.of_wall(now_ms());
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
    pub(super) fn ring(&self, now_ms: u64) -> Option<u64> {
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
    pub(super) fn promote(&self, queue: &Arc<DeliveryQueue>, now_ms: u64) {
        let mut waiting = queue.lock();
        if waiting.retired {
            return self.set_alarm(queue, &mut waiting, None);
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
        // It may have been kept for nothing but its being blocked.
        let is_unused = waiting.is_unused();
        drop(waiting);
        if is_unused {
            self.retire_unused_at(queue, now_ms);
        }
    }

    /// Makes entries due now that `wanted` asks for, in queues that `is_meant`; a queue that was blocked is tried again.
    /// Says how many entries.
    pub fn hurry(&self, is_meant: impl Fn(&DeliveryQueue) -> bool, wanted: impl Fn(&Entry) -> bool) -> usize {
        let mut hurried = 0;
        for queue in self.all().iter().filter(|queue| is_meant(queue)) {
            let mut waiting = queue.lock();
            waiting.stir();
            let later = std::mem::take(&mut waiting.later);
            let (mut now, still_later): (Vec<_>, Vec<_>) =
                later.into_iter().partition(|Reverse(later)| wanted(&later.entry));
            waiting.later = still_later.into();
            now.sort_by(|Reverse(a), Reverse(b)| a.cmp(b));
            let mut here = now.len();
            now.into_iter().for_each(|Reverse(later)| waiting.ready.push_back(later.entry));
            if waiting.blocked_until_ms.is_some() {
                here = waiting.ready.iter().filter(|(entry, _)| wanted(entry)).count();
                // One that only sends mail another way is to let it try this way again.
                if here > 0 || waiting.ready.is_empty() {
                    waiting.blocked_until_ms = None;
                }
            }
            self.call_for_work(queue, &mut waiting);
            hurried += here;
            let is_unused = waiting.is_unused();
            drop(waiting);
            if is_unused {
                self.retire_unused(queue);
            }
        }
        hurried
    }

    /// From now on only what was routed by revision `routes_since` or a later one is taken. Every queue leaves the table,
    /// and what waited there is handed out, to be routed anew; what is in flight is given back when it is put back. Where a
    /// queue has an heir, that stands in its place at once, under its number; the way of both being the same, it waits for as
    /// long, too. Heirs stay until [`Queues::release`], whatever comes to them.
    pub fn begin_routes(&self, routes_since: u64, heir: impl Fn(&DeliveryQueue) -> Option<Heir>) -> Rerouted {
        let (mut left, mut heirs) = (Vec::new(), Vec::new());
        {
            let mut table = self.table();
            table.routes_since = table.routes_since.max(routes_since);
            left.extend(std::mem::take(&mut table.queues).into_values());
            left.sort_by_key(|queue: &Arc<DeliveryQueue>| queue.number);
            table.leaving.retain(|queue| queue.strong_count() > 0);
            table.leaving.extend(left.iter().map(Arc::downgrade));
            for queue in &left {
                let mut waiting = queue.lock();
                self.wake_up(&mut waiting);
                self.set_alarm(queue, &mut waiting, None);
                waiting.retired = true;
                let Some(Heir { connector, is_same_way }) = heir(queue) else { continue };
                // As the table says: who suspends or resumes at this moment passes over a queue that is retired.
                let is_suspended = table.suspended.contains(&queue.key.name());
                let heir = Arc::new(self.made(queue.key.clone(), connector, queue.number, is_suspended));
                if is_same_way {
                    heir.go_on_from(queue, &waiting);
                }
                drop(waiting);
                let mut waiting = heir.lock();
                waiting.expects = true;
                let due_ms = waiting.due_ms();
                self.set_alarm(&heir, &mut waiting, due_ms);
                drop(waiting);
                table.queues.insert(heir.key.clone(), heir.clone());
                heirs.push(heir);
            }
        }
        let take = |queue: Arc<DeliveryQueue>| {
            let taken = queue.lock().take_all().into_iter();
            let entries =
                taken.map(|(entry, due_ms)| (entry, due_ms.map(|due_ms| self.clock.to_wall(due_ms)))).collect();
            queue.wake.notify_waiters();
            Waited { queue, entries }
        };
        Rerouted { waited: left.into_iter().map(take).collect(), heirs }
    }

    /// What the forerunners of these held has been routed: nothing more of it comes.
    pub fn release(&self, heirs: &[Arc<DeliveryQueue>]) {
        for heir in heirs {
            let is_unused = {
                let mut waiting = heir.lock();
                waiting.expects = false;
                waiting.is_unused() && !waiting.retired
            };
            if is_unused {
                self.retire_unused(heir);
            }
        }
    }

    /// Takes every waiting entry of these messages, held back or not, with the queue that it waited in and its due time.
    /// They are in flight then: each wants [`Self::done`], [`Self::put_back`] or [`Self::hold`].
    pub fn take_messages(&self, ids: &HashSet<MessageId>) -> Vec<Taken> {
        let mut taken = Vec::new();
        for queue in self.all() {
            let entries = queue.take_messages(ids).into_iter();
            taken.extend(entries.map(|(entry, due_ms)| (queue.clone(), entry, due_ms)));
        }
        taken
    }

    /// Takes everything that waits in one queue and is not held back, as [`Queues::take_messages`] does.
    pub fn take_waiting(&self, queue: &Arc<DeliveryQueue>) -> Vec<Taken> {
        queue.take_waiting().into_iter().map(|(entry, due_ms)| (queue.clone(), entry, due_ms)).collect()
    }
}

/// What routes that have changed mean for the queues.
pub struct Rerouted {
    /// What waited, to be routed anew.
    pub waited: Vec<Waited>,
    /// Those that stand in the place of others.
    pub heirs: Vec<Arc<DeliveryQueue>>,
}

/// Who goes on in the place of a queue when routes change.
pub struct Heir {
    /// The send connector by now; `None` but for [`QueueKey::Send`].
    pub connector: Option<Arc<SendConnector>>,
    /// Whether it leads the same way in the same manner.
    pub is_same_way: bool,
}

/// Entries that were taken out of a queue which had to leave the table, each with its due time (`None`: now).
pub struct Waited {
    /// The queue that they waited in.
    pub queue: Arc<DeliveryQueue>,
    /// The entries.
    pub entries: Vec<(Entry, Option<u64>)>,
}
