//! The queues between sessions and the two threads of the spool. Pushing never waits for the disk.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gatepost_mail::{Envelope, MessageId};

use crate::disk::File;
use crate::mark::Mark;
use crate::message::RecipientState;
use crate::promise::{CommitError, Promise};
use crate::record::Record;
use crate::staging::Charge;
use crate::stored::StoredBody;

/// Outcomes that come within this time of the first share one write.
const OUTCOMES_GATHER: Duration = Duration::from_millis(2);
/// How long a commit waits at most for messages that were arriving when it came, so that one flush serves them all. With
/// nothing arriving it does not wait.
const COMMITS_GATHER: Duration = Duration::from_millis(2);

/// A message that waits for the committer.
#[derive(Debug)]
pub(crate) struct PendingCommit {
    pub id: MessageId,
    pub record: Record,
    pub envelope: Arc<Envelope>,
    pub body: Option<StoredBody>,
    pub promise: Promise,
    /// What it holds of the room of all that arrive.
    pub charge: Option<Charge>,
}

/// Outcomes that are in memory and have to get into the log.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Messages of which nobody is pending any more.
    pub ended: Vec<Ended>,
    /// Recipients whose state changed: message, index in the envelope. The state itself is taken from the index when
    /// it is written.
    pub changed: Vec<(u64, u32)>,
    /// Ended messages with a body file: it goes once their end is flushed.
    pub bodies: Vec<u64>,
    /// Messages that stand otherwise than before. As with `changed`, the index says how.
    pub standings: Vec<u64>,
    /// Up to where all that the log says is recorded elsewhere, if that is news.
    pub recorded: Option<Mark>,
}

/// A message of which nobody is pending any more.
#[derive(Debug)]
pub(crate) struct Ended {
    pub id: u64,
    pub how: How,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum How {
    /// Each of its recipients so.
    Settled(Vec<(u32, RecipientState)>),
    /// It was refused after it was written.
    Refused,
    /// The log says so already, but that may not have been flushed.
    Known,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        let has_states = !self.changed.is_empty() || !self.standings.is_empty();
        !has_states && self.ended.is_empty() && self.bodies.is_empty() && self.recorded.is_none()
    }

    pub fn append(&mut self, mut later: Outbox) {
        self.ended.append(&mut later.ended);
        self.changed.append(&mut later.changed);
        self.bodies.append(&mut later.bodies);
        self.standings.append(&mut later.standings);
        self.recorded = self.recorded.max(later.recorded);
    }
}

/// What waits for the committer.
#[derive(Debug, Default)]
pub(crate) struct CommitQueue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Messages whose content is arriving, and that will be a commit before long.
    arriving: AtomicUsize,
    #[cfg(any(test, feature = "fake-disk"))]
    pub bell: Bell,
}

/// The place of one message among those that are arriving; [`CommitQueue::leave`] takes it back.
#[derive(Debug)]
pub(crate) struct Arriving(());

#[derive(Debug, Default)]
struct Waiting {
    commits: VecDeque<PendingCommit>,
    outbox: Outbox,
    /// Who waits until what is in the outbox is flushed.
    flushes: Vec<Promise<()>>,
    is_recovered: bool,
    is_closing: bool,
    sleep: Sleep,
    /// How many have arrived, or were given up, since the committer began to gather.
    arrived: usize,
    /// Those that were waited for in vain: a peer that sends slowly is not to hold up everybody else's commits.
    laggards: usize,
}

/// What the committer wants to be woken for: a wake-up costs a system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    UntilCommit,
    UntilAnything,
    /// Until so many have arrived.
    UntilArrived(usize),
}

/// What the committer takes from the queue in one go.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub commits: VecDeque<PendingCommit>,
    pub outbox: Outbox,
    /// To be kept when that is flushed.
    pub flushes: Vec<Promise<()>>,
    /// All messages of former runs are known from now on.
    pub is_recovered: bool,
    pub is_closing: bool,
}

impl CommitQueue {
    /// A message begins to arrive.
    pub fn enter(&self) -> Arriving {
        self.arriving.fetch_add(1, Ordering::Relaxed);
        Arriving(())
    }

    /// A message was given up, or will take longer than a flush is worth waiting for.
    pub fn leave(&self, arriving: Arriving) {
        let mut waiting = lock(&self.waiting);
        self.end_arrival(&mut waiting, arriving);
        let wakes = waiting.sleep.ends_with_arrivals(waiting.arrived);
        drop(waiting);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// A message has arrived; `arriving` is its place, unless it gave that back before.
    pub fn push(&self, commit: PendingCommit, arriving: Option<Arriving>) {
        let mut waiting = lock(&self.waiting);
        if let Some(arriving) = arriving {
            self.end_arrival(&mut waiting, arriving);
        }
        if waiting.is_closing {
            drop(waiting);
            return commit.promise.keep(Err(CommitError::Closed));
        }
        waiting.commits.push_back(commit);
        let wakes = match waiting.sleep {
            Sleep::Awake => false,
            Sleep::UntilCommit | Sleep::UntilAnything => true,
            Sleep::UntilArrived(_) => waiting.sleep.ends_with_arrivals(waiting.arrived),
        };
        if wakes {
            waiting.sleep = Sleep::Awake;
        }
        drop(waiting);
        if wakes {
            self.wake.notify_one();
        }
        #[cfg(any(test, feature = "fake-disk"))]
        self.bell.ring();
    }

    /// Somebody waits until everything is flushed that was pushed before.
    pub fn push_flush(&self, promise: Promise<()>) {
        let mut waiting = lock(&self.waiting);
        if waiting.is_closing {
            drop(waiting);
            return promise.keep(Err(CommitError::Closed));
        }
        waiting.flushes.push(promise);
        let wakes = matches!(waiting.sleep, Sleep::UntilCommit | Sleep::UntilAnything);
        if wakes {
            waiting.sleep = Sleep::Awake;
        }
        drop(waiting);
        if wakes {
            self.wake.notify_one();
        }
        #[cfg(any(test, feature = "fake-disk"))]
        self.bell.ring();
    }

    fn end_arrival(&self, waiting: &mut Waiting, Arriving(()): Arriving) {
        let left = self.arriving.fetch_sub(1, Ordering::Relaxed) - 1;
        waiting.arrived += 1;
        waiting.laggards = waiting.laggards.min(left);
    }

    pub fn push_outcomes(&self, add: impl FnOnce(&mut Outbox)) {
        self.push_quiet(|waiting| add(&mut waiting.outbox));
    }

    /// All messages of former runs are known. The committer learns of it together with the outcomes that their last
    /// server may not have flushed, so that it writes those before it deletes anything.
    pub fn end_recovery(&self, unflushed: Outbox) {
        self.push_quiet(|waiting| {
            waiting.outbox.append(unflushed);
            waiting.is_recovered = true;
        });
    }

    /// Adds what no session waits for.
    fn push_quiet(&self, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = lock(&self.waiting);
        add(&mut waiting);
        let wakes = waiting.sleep == Sleep::UntilAnything;
        if wakes {
            waiting.sleep = Sleep::Awake;
        }
        drop(waiting);
        if wakes {
            self.wake.notify_one();
        }
        #[cfg(any(test, feature = "fake-disk"))]
        self.bell.ring();
    }

    pub fn close(&self) {
        lock(&self.waiting).is_closing = true;
        self.wake.notify_one();
    }

    /// Everything that is there now, without a wait.
    #[cfg(any(test, feature = "fake-disk"))]
    pub fn take(&self) -> Work {
        Work::of(&mut lock(&self.waiting))
    }

    /// Waits for commits, for outcomes (a moment longer, so that more of them share a write) or until `deadline`.
    /// Outcomes do not end the wait while the disk fails: then only time and commits do.
    pub fn wait(&self, deadline: Option<Instant>, disk_fails: bool) -> Work {
        let mut waiting = lock(&self.waiting);
        let mut gathered: Option<Instant> = None;
        loop {
            if waiting.is_closing {
                break;
            }
            if !waiting.commits.is_empty() {
                waiting = self.gather(waiting);
                break;
            }
            let now = Instant::now();
            if waiting.is_recovered || !waiting.flushes.is_empty() {
                break;
            }
            if gathered.is_none() && !disk_fails && !waiting.outbox.is_empty() {
                gathered = Some(now + OUTCOMES_GATHER);
            }
            let until = deadline.into_iter().chain(gathered).min();
            waiting.sleep = if gathered.is_some() || disk_fails { Sleep::UntilCommit } else { Sleep::UntilAnything };
            waiting = match until {
                Some(until) if until <= now => break,
                Some(until) => self.wake.wait_timeout(waiting, until - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
        waiting.sleep = Sleep::Awake;
        Work::of(&mut waiting)
    }

    /// Waits for the messages that are arriving now, those excepted that kept us waiting before.
    fn gather<'w>(&self, mut waiting: MutexGuard<'w, Waiting>) -> MutexGuard<'w, Waiting> {
        let awaited = self.arriving.load(Ordering::Relaxed).saturating_sub(waiting.laggards);
        waiting.arrived = 0;
        if awaited == 0 {
            return waiting;
        }
        let until = Instant::now() + COMMITS_GATHER;
        while waiting.arrived < awaited && !waiting.is_closing {
            let now = Instant::now();
            if now >= until {
                waiting.laggards = self.arriving.load(Ordering::Relaxed);
                break;
            }
            waiting.sleep = Sleep::UntilArrived(awaited);
            waiting = self.wake.wait_timeout(waiting, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting
    }
}

impl Sleep {
    fn ends_with_arrivals(self, arrived: usize) -> bool {
        matches!(self, Sleep::UntilArrived(awaited) if arrived >= awaited)
    }
}

impl Work {
    fn of(waiting: &mut Waiting) -> Work {
        Work {
            commits: std::mem::take(&mut waiting.commits),
            outbox: std::mem::take(&mut waiting.outbox),
            flushes: std::mem::take(&mut waiting.flushes),
            is_recovered: std::mem::take(&mut waiting.is_recovered),
            is_closing: waiting.is_closing,
        }
    }
}

/// Tells whoever drives a spool without threads that there is something to do.
#[cfg(any(test, feature = "fake-disk"))]
#[derive(Default)]
pub(crate) struct Bell(std::sync::OnceLock<Box<dyn Fn() + Send + Sync>>);

#[cfg(any(test, feature = "fake-disk"))]
impl Bell {
    pub fn hang(&self, bell: impl Fn() + Send + Sync + 'static) {
        // There is one driver for a spool.
        let _ = self.0.set(Box::new(bell));
    }

    fn ring(&self) {
        if let Some(bell) = self.0.get() {
            bell();
        }
    }
}

#[cfg(any(test, feature = "fake-disk"))]
impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bell")
    }
}

/// What waits for the threads that look after body files.
#[derive(Debug, Default)]
pub(crate) struct BodyQueue {
    waiting: Mutex<BodyWork>,
    wake: Condvar,
    #[cfg(any(test, feature = "fake-disk"))]
    pub bell: Bell,
}

/// What one of them takes in one go.
#[derive(Debug, Default)]
pub(crate) struct BodyWork {
    /// Bodies that are written but not flushed, with the commits that they belong to.
    pub written: Vec<(Arc<dyn File>, PendingCommit)>,
    /// Messages whose body files are not needed any more.
    pub unneeded: Vec<u64>,
    pub is_closing: bool,
}

impl BodyQueue {
    pub fn push_written(&self, file: Arc<dyn File>, commit: PendingCommit) {
        let mut waiting = lock(&self.waiting);
        if waiting.is_closing {
            drop(waiting);
            return commit.promise.keep(Err(CommitError::Closed));
        }
        waiting.written.push((file, commit));
        drop(waiting);
        self.wake.notify_one();
        #[cfg(any(test, feature = "fake-disk"))]
        self.bell.ring();
    }

    pub fn push_unneeded(&self, mut ids: Vec<u64>) {
        if !ids.is_empty() {
            lock(&self.waiting).unneeded.append(&mut ids);
            self.wake.notify_one();
            #[cfg(any(test, feature = "fake-disk"))]
            self.bell.ring();
        }
    }

    pub fn close(&self) {
        lock(&self.waiting).is_closing = true;
        self.wake.notify_all();
    }

    /// Everything that is there now.
    pub fn take(&self) -> BodyWork {
        BodyWork::of(&mut lock(&self.waiting))
    }

    /// Waits until there is something; takes no more of the bodies than one of so many threads should. When it is closing,
    /// takes everything.
    pub fn wait(&self, threads: usize) -> BodyWork {
        let idle =
            |waiting: &mut BodyWork| waiting.written.is_empty() && waiting.unneeded.is_empty() && !waiting.is_closing;
        let waiting = self.wake.wait_while(lock(&self.waiting), idle);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let share = waiting.written.len().div_ceil(threads);
        let later = if waiting.is_closing { Vec::new() } else { waiting.written.split_off(share) };
        let work = BodyWork::of(&mut waiting);
        waiting.written = later;
        work
    }
}

impl BodyWork {
    fn of(waiting: &mut BodyWork) -> BodyWork {
        BodyWork {
            written: std::mem::take(&mut waiting.written),
            unneeded: std::mem::take(&mut waiting.unneeded),
            is_closing: waiting.is_closing,
        }
    }
}

/// A thread that panicked while it held the lock left values that are still whole: every change under these locks is
/// one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promise::promise;
    use crate::record::Kind;

    fn commit(id: u64) -> PendingCommit {
        let envelope = Envelope {
            reverse_path: gatepost_mail::ReversePath::Null,
            recipients: Vec::new(),
            body: Default::default(),
            smtputf8: false,
            ret: None,
            envid: None,
            arrival: gatepost_mail::Arrival {
                time_ms: 0,
                peer: None,
                connector: "".into(),
                principal: "".into(),
                auth_as: Default::default(),
                ..gatepost_mail::Arrival::default()
            },
        };
        let record = Record::new(Kind::Message, b"", &[]);
        PendingCommit {
            id: MessageId(id),
            record,
            envelope: Arc::new(envelope),
            body: None,
            promise: promise().0,
            charge: None,
        }
    }

    fn taken(queue: &CommitQueue) -> usize {
        queue.wait(None, false).commits.len()
    }

    fn laggards(queue: &CommitQueue) -> usize {
        lock(&queue.waiting).laggards
    }

    #[test]
    fn a_commit_is_not_held_up_twice_by_a_message_that_does_not_come() {
        let queue = CommitQueue::default();
        let slow = queue.enter();
        queue.push(commit(1), Some(queue.enter()));
        assert_eq!((taken(&queue), laggards(&queue)), (1, 1));
        // Nobody is awaited now, so this returns without a timer.
        let quick = queue.enter();
        queue.push(commit(2), Some(quick));
        assert_eq!((taken(&queue), laggards(&queue)), (1, 1));
        queue.leave(slow);
        assert_eq!(laggards(&queue), 0);
    }

    #[test]
    fn no_body_waits_behind_others_while_a_thread_is_free() {
        let disk = crate::fake_disk::FakeDisk::new(1);
        let queue = BodyQueue::default();
        let push = |id| {
            let path = std::path::PathBuf::from(format!("/{id}"));
            queue.push_written(crate::disk::Disk::create(&disk, &path).expect("it is new"), commit(id));
        };
        let taken = || queue.wait(4).written.iter().map(|(_, commit)| commit.id.0).collect::<Vec<_>>();
        (1..=6).for_each(push);
        assert_eq!([taken(), taken(), taken(), taken()], [vec![1, 2], vec![3], vec![4], vec![5]]);
        push(7);
        queue.close();
        assert_eq!([taken(), taken()], [vec![6, 7], vec![]], "who closes waits for everything");
    }

    #[test]
    fn a_commit_waits_no_longer_than_for_those_that_were_arriving_when_it_came() {
        for given_up in [false, true] {
            let queue = CommitQueue::default();
            let others = [queue.enter(), queue.enter()];
            queue.push(commit(1), Some(queue.enter()));
            std::thread::scope(|scope| {
                let committer = scope.spawn(|| {
                    let mut seen = 0;
                    while seen < if given_up { 1 } else { 3 } {
                        seen += taken(&queue);
                    }
                    seen
                });
                for (place, id) in others.into_iter().zip(2..) {
                    match given_up {
                        true => queue.leave(place),
                        false => queue.push(commit(id), Some(place)),
                    }
                }
                assert_eq!(committer.join().expect("it ends"), if given_up { 1 } else { 3 });
            });
            assert_eq!((queue.arriving.load(Ordering::Relaxed), laggards(&queue)), (0, 0), "{given_up}");
        }
    }
}
