//! What the handles, the stages and the two threads of one spool share: the index and the queues between them.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gatepost_mail::{Envelope, MessageId};

use crate::disk::{self, Disk, File};
use crate::index::{Index, Location};
use crate::promise::{CommitError, Promise};
use crate::record::{HEADER_BYTES, Header, Kind, Record, checksum};
use crate::segment::file_name;
use crate::set_aside;
use crate::stored::{self, StoredBody, StoredMessage};

/// Outcomes that come within this time of the first share one write.
const OUTCOMES_GATHER: Duration = Duration::from_millis(2);

/// What an administrator or a test may tune.
#[derive(Clone, Debug)]
pub struct Options {
    /// Content up to this many bytes lies in the log, larger content in a file of its own. Default 256 KiB, at most
    /// 16 MiB.
    pub inline_bytes_max: usize,
    /// A segment file that has grown to this many bytes is followed by the next. Default 64 MiB, at most 4 GiB.
    pub segment_bytes: u64,
    /// Memory for messages that were just accepted, so that their first delivery needs no disk. Default 64 MiB.
    pub cache_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { inline_bytes_max: 256 << 10, segment_bytes: 64 << 20, cache_bytes_max: 64 << 20 }
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub folders: Folders,
    pub options: Options,
    pub next_id: AtomicU64,
    pub counters: Counters,
    pub commits: CommitQueue,
    pub bodies: BodyQueue,
    index: Mutex<Index>,
}

/// The folders of a spool.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub root: PathBuf,
    pub log: PathBuf,
    pub bodies: PathBuf,
    pub set_aside: PathBuf,
}

/// Counted since the spool was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub commits: AtomicU64,
    pub flushes: AtomicU64,
    pub failures: AtomicU64,
    pub set_aside: AtomicU64,
}

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

impl Folders {
    pub fn new(root: &Path) -> Folders {
        Folders {
            root: root.to_path_buf(),
            log: root.join("log"),
            bodies: root.join("bodies"),
            set_aside: root.join("set-aside"),
        }
    }

    /// The body file of a message.
    pub fn body(&self, id: MessageId) -> PathBuf {
        self.bodies.join(format!("{:016x}", id.0))
    }

    /// The same while it is being written. Files of this kind never belong to an accepted message.
    pub fn staged_body(&self, id: MessageId) -> PathBuf {
        self.bodies.join(format!("{:016x}.tmp", id.0))
    }
}

impl Shared {
    pub fn new(disk: Arc<dyn Disk>, folders: Folders, options: Options, index: Index, next_id: u64) -> Shared {
        Shared {
            disk,
            folders,
            options,
            next_id: AtomicU64::new(next_id),
            counters: Counters::default(),
            commits: CommitQueue::default(),
            bodies: BodyQueue::default(),
            index: Mutex::new(index),
        }
    }

    pub fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    pub fn count(&self, counter: impl Fn(&Counters) -> &AtomicU64, more: u64) {
        counter(&self.counters).fetch_add(more, Ordering::Relaxed);
    }

    /// Reads the record of a message and checks it.
    pub fn read(&self, id: u64, location: Location, part: Part) -> Result<StoredRecord, RecordError> {
        let (salt, file) = self.index().open_segment(location.segment, &*self.disk, &self.folders.log)?;
        let mut header = [0; HEADER_BYTES];
        let mut bytes = Vec::new();
        let head = match part {
            Part::Whole => {
                bytes.resize(usize::try_from(location.bytes).map_err(|_| RecordError::Damaged)?, 0);
                disk::read_exact_at(&*file, &mut bytes, location.offset)?;
                &bytes[..]
            }
            Part::Meta => {
                disk::read_exact_at(&*file, &mut header, location.offset)?;
                &header[..]
            }
        };
        let header = Header::parse(head, salt, location.offset)
            .filter(|header| header.kind == Some(Kind::Message) && header.record_bytes() == location.bytes)
            .ok_or(RecordError::Damaged)?;
        if part == Part::Meta {
            bytes.resize(HEADER_BYTES + header.meta_bytes, 0);
            disk::read_exact_at(&*file, &mut bytes, location.offset)?;
        }
        let record = StoredRecord { bytes, header };
        let is_content_right = part == Part::Meta || checksum(record.content()) == header.content_crc;
        if checksum(record.meta()) != header.meta_crc || !is_content_right || record.message()?.id != id {
            return Err(RecordError::Damaged);
        }
        Ok(record)
    }

    /// A live message turned out to be damaged: copies its record away and takes it out of the queue. Its segment
    /// stays if the copy fails.
    pub fn set_aside(&self, id: u64, location: Location) {
        let name = format!("{}-at-{}-message-{id}", file_name(location.segment), location.offset);
        let opened = self.index().open_segment(location.segment, &*self.disk, &self.folders.log);
        let copied = opened.and_then(|(_, file)| {
            let range = (&*file, location.offset, location.bytes);
            set_aside::keep(&*self.disk, &self.folders.set_aside, &name, range)
        });
        let mut index = self.index();
        // Only one of several readers that hit the damage at once reports it.
        if index.location(id) != Some(location) {
            return;
        }
        match copied {
            Ok(path) => tracing::error!(id, copy = %path.display(), "a message is damaged on disk: set aside"),
            Err(error) => {
                index.pin(location.segment);
                tracing::error!(id, %error, "a message is damaged on disk and could not be set aside");
            }
        }
        index.remove(id);
        self.count(|c| &c.set_aside, 1);
    }
}

/// How much of a record to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// Without the content.
    Meta,
}

/// A record of a message that matches its checksums.
#[derive(Debug)]
pub(crate) struct StoredRecord {
    bytes: Vec<u8>,
    header: Header,
}

impl StoredRecord {
    fn meta(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..HEADER_BYTES + self.header.meta_bytes]
    }

    pub fn content(&self) -> &[u8] {
        let from = HEADER_BYTES + self.header.meta_bytes;
        self.bytes.get(from..from + self.header.content_bytes).unwrap_or_default()
    }

    pub fn message(&self) -> Result<StoredMessage<'_>, RecordError> {
        stored::read(self.meta()).map_err(|_| RecordError::Damaged)
    }

    /// The content, without copying it.
    pub fn into_content(self) -> bytes::Bytes {
        let from = HEADER_BYTES + self.header.meta_bytes;
        bytes::Bytes::from(self.bytes).slice(from..from + self.header.content_bytes)
    }
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("it does not match its checksum")]
    Damaged,
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for RecordError {
    fn from(error: io::Error) -> RecordError {
        // A segment that ends before its record does is damaged, not unreadable.
        if error.kind() == io::ErrorKind::UnexpectedEof { RecordError::Damaged } else { RecordError::Io(error) }
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
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
