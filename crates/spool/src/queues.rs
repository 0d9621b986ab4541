//! The queues between sessions and the two threads of the spool. Pushing never waits for the disk.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gatepost_mail::{Envelope, MessageId};

use crate::disk::File;
use crate::promise::{CommitError, Promise};
use crate::record::Record;
use crate::stored::StoredBody;

/// Outcomes that come within this time of the first share one write.
const OUTCOMES_GATHER: Duration = Duration::from_millis(2);

/// A message that waits for the committer.
#[derive(Debug)]
pub(crate) struct PendingCommit {
    pub id: MessageId,
    pub record: Record,
    pub envelope: Arc<Envelope>,
    pub body: Option<StoredBody>,
    pub promise: Promise,
}

/// Outcomes that are in memory and have to get into the log.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Messages of which nobody is pending any more.
    pub ended: Vec<u64>,
    /// Recipients whose state changed: message, index in the envelope. The state itself is taken from the index when
    /// it is written.
    pub changed: Vec<(u64, u32)>,
    /// Ended messages with a body file: it goes once their end is flushed.
    pub bodies: Vec<u64>,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.changed.is_empty() && self.bodies.is_empty()
    }

    pub fn append(&mut self, mut later: Outbox) {
        self.ended.append(&mut later.ended);
        self.changed.append(&mut later.changed);
        self.bodies.append(&mut later.bodies);
    }
}

/// What waits for the committer.
#[derive(Debug, Default)]
pub(crate) struct CommitQueue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    commits: VecDeque<PendingCommit>,
    outbox: Outbox,
    is_closing: bool,
    sleep: Sleep,
}

/// What the committer wants to be woken for: a wake-up costs a system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    UntilCommit,
    UntilAnything,
}

/// What the committer takes from the queue in one go.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub commits: VecDeque<PendingCommit>,
    pub outbox: Outbox,
    pub is_closing: bool,
}

impl CommitQueue {
    pub fn push(&self, commit: PendingCommit) {
        let mut waiting = lock(&self.waiting);
        if waiting.is_closing {
            drop(waiting);
            return commit.promise.keep(Err(CommitError::Closed));
        }
        waiting.commits.push_back(commit);
        let wakes = std::mem::take(&mut waiting.sleep) != Sleep::Awake;
        drop(waiting);
        if wakes {
            self.wake.notify_one();
        }
    }

    pub fn push_outcomes(&self, add: impl FnOnce(&mut Outbox)) {
        let mut waiting = lock(&self.waiting);
        add(&mut waiting.outbox);
        let wakes = waiting.sleep == Sleep::UntilAnything;
        if wakes {
            waiting.sleep = Sleep::Awake;
        }
        drop(waiting);
        if wakes {
            self.wake.notify_one();
        }
    }

    pub fn close(&self) {
        lock(&self.waiting).is_closing = true;
        self.wake.notify_one();
    }

    /// Waits for commits, for outcomes (a moment longer, so that more of them share a write) or until `deadline`.
    /// Outcomes do not end the wait while the disk fails: then only time and commits do.
    pub fn wait(&self, deadline: Option<Instant>, disk_fails: bool) -> Work {
        let mut waiting = lock(&self.waiting);
        let mut gathered: Option<Instant> = None;
        loop {
            // Waiting adaptively for sessions that are about to commit belongs here.
            if !waiting.commits.is_empty() || waiting.is_closing {
                break;
            }
            let now = Instant::now();
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
}

impl Work {
    fn of(waiting: &mut Waiting) -> Work {
        Work {
            commits: std::mem::take(&mut waiting.commits),
            outbox: std::mem::take(&mut waiting.outbox),
            is_closing: waiting.is_closing,
        }
    }
}

/// What waits for the thread that looks after body files.
#[derive(Debug, Default)]
pub(crate) struct BodyQueue {
    waiting: Mutex<BodyWork>,
    wake: Condvar,
}

/// What that thread takes in one go.
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
        self.wake.notify_one();
    }

    pub fn push_unneeded(&self, mut ids: Vec<u64>) {
        if !ids.is_empty() {
            lock(&self.waiting).unneeded.append(&mut ids);
            self.wake.notify_one();
        }
    }

    pub fn close(&self) {
        lock(&self.waiting).is_closing = true;
        self.wake.notify_one();
    }

    /// Everything that is there now.
    pub fn take(&self) -> BodyWork {
        BodyWork::of(&mut lock(&self.waiting))
    }

    /// Waits until there is something.
    pub fn wait(&self) -> BodyWork {
        let idle =
            |waiting: &mut BodyWork| waiting.written.is_empty() && waiting.unneeded.is_empty() && !waiting.is_closing;
        let waiting = self.wake.wait_while(lock(&self.waiting), idle);
        BodyWork::of(&mut waiting.unwrap_or_else(PoisonError::into_inner))
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
