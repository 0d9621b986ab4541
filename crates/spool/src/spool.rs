//! The door of the spool: everything that the rest of the server does with it.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};

use gatepost_mail::{Envelope, MessageId};

use crate::bodies;
use crate::committer::Committer;
use crate::disk::{self, Disk, File, Lock, RealDisk};
use crate::history::{self, Told};
use crate::index::{Body, Index, Location, Settled};
use crate::mark::Mark;
use crate::message::{Content, Message, Outcome, RecipientState, Standing};
use crate::opening::{self, Found, OpenError};
use crate::promise::{Commit, promise};
use crate::queues::{Ended, How};
use crate::record::Digest;
use crate::recover::{Recovering, Recovery};
use crate::shared::{FLUSH_BOUNDS, Folders, Options, Part, RecordError, Shared};
use crate::staged::Staged;
use crate::stored::StoredBody;

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such message: never accepted, or settled.
    #[error("there is no such message")]
    Unknown,
    /// Its record or its body does not match its checksum. It has been set aside and is not live any more.
    #[error("the message is damaged on disk and was set aside")]
    Corrupt,
    /// The disk failed; the message is still live.
    #[error("the message cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Figures for status, metrics and back pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages in the queue, as far as it is known: see `unread_bytes`.
    pub messages: u64,
    /// Bytes of their records and bodies.
    pub live_bytes: u64,
    /// Bytes of all segment and body files.
    pub disk_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of memory that hold messages which were just accepted.
    pub cache_bytes: u64,
    /// Messages accepted since the spool was opened.
    pub commits: u64,
    /// Flushes of files and folders since then.
    pub flushes: u64,
    /// Writes, flushes and deletions that failed since then.
    pub failures: u64,
    /// Damaged ranges set aside, those that opening found included.
    pub set_aside: u64,
    /// Bytes of the log of former runs that are still to be read.
    pub unread_bytes: u64,
    /// Messages of former runs that were found there and are not released yet.
    pub unreleased: u64,
    /// Segments that were deleted although nobody had recorded elsewhere what they said.
    pub unrecorded: u64,
    /// Whether the disk was found full, and no room was found again so far: messages are refused.
    pub is_full: bool,
    /// Flushes of the log by how long they took: for each of [`FLUSH_BOUNDS`] those that took no longer, and longer than
    /// the bound before; at the end those beyond the last.
    pub flush_counts: [u64; FLUSH_BOUNDS.len() + 1],
    /// How long these flushes took together, in microseconds.
    pub flush_micros: u64,
    /// For how long the disk has been asked to write the batch that it is asked to write now.
    pub writing_for: Duration,
}

/// The durable queue. Cloning gives another handle to the same one; dropping the last handle closes it.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// What lives from opening to closing.
struct Running {
    committer: JoinHandle<()>,
    bodies: bodies::Threads,
    /// [`Recovering`] holds it, too.
    _lock: Arc<Lock>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("root", &self.shared.folders.root).finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens the spool in `dir`, which is created if it is missing, and recovers what is there.
    ///
    /// Blocks while the log is read. Takes the lock of the folder, may write a `FORMAT` file and the reserve, copies to `set-aside/`
    /// and removes body files that no message needs; segments are only ever deleted later, by compaction.
    pub fn open(dir: &Path, options: Options) -> Result<(Spool, Recovery), OpenError> {
        let (spool, recovering) = Spool::start(dir, options)?;
        Ok((spool, recovering.finish()?))
    }

    /// The same on another disk: for simulations.
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<(Spool, Recovery), OpenError> {
        let (spool, recovering) = Spool::start_on(disk, dir, options)?;
        Ok((spool, recovering.finish()?))
    }

    /// Opens the spool in `dir` and takes messages at once, however much lies there: reads no more than the newest
    /// segment and the headers of the others. Messages of former runs are unknown until the steps of [`Recovering`]
    /// release them.
    pub fn start(dir: &Path, options: Options) -> Result<(Spool, Recovering), OpenError> {
        Spool::start_on(Arc::new(RealDisk), dir, options)
    }

    /// The same on another disk: for simulations.
    pub fn start_on(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<(Spool, Recovering), OpenError> {
        let Opened { shared, committer, lock, recovering } = Opened::new(disk, dir, options)?;
        let cannot_start = |source| OpenError::Io { path: dir.to_path_buf(), source };
        let committer = committer.spawn().map_err(cannot_start)?;
        let bodies = bodies::Threads::spawn(&shared).map_err(|error| {
            shared.commits.close();
            cannot_start(error)
        })?;
        let running = Mutex::new(Some(Running { committer, bodies, _lock: lock }));
        Ok((Spool(Arc::new(Handle { shared, running })), recovering))
    }

    /// A handle to a spool whose threads somebody else stands in for.
    #[cfg(any(test, feature = "fake-disk"))]
    pub(crate) fn without_threads(shared: Arc<Shared>) -> Spool {
        Spool(Arc::new(Handle { shared, running: Mutex::new(None) }))
    }

    /// Begins a message.
    pub fn stage(&self) -> Staged {
        Staged::new(Arc::clone(&self.0.shared), false)
    }

    /// Begins a message of somebody who is not known. All strangers together get three quarters of what messages that arrive
    /// may hold, so that no number of them keeps others from being heard.
    pub fn stage_for_stranger(&self) -> Staged {
        Staged::new(Arc::clone(&self.0.shared), true)
    }

    /// A live message. One that was accepted a moment ago comes from memory; others are read from the disk, which
    /// blocks. A body file is checked against its checksum once, the first time after a start.
    pub fn message(&self, id: MessageId) -> Result<Message, ReadError> {
        message(&self.0.shared, id)
    }

    /// A live message if it can be had without the disk: it was accepted a moment ago, and is small.
    pub fn message_in_memory(&self, id: MessageId) -> Option<Message> {
        in_memory(&self.0.shared.index(), id)
    }

    /// A live message without its content; cheaper than [`Spool::message`] for listings and scheduling.
    pub fn envelope(&self, id: MessageId) -> Result<(Arc<Envelope>, Vec<RecipientState>), ReadError> {
        envelope(&self.0.shared, id)
    }

    /// The same with the length of the content in bytes, trace fields included.
    pub fn outline(&self, id: MessageId) -> Result<(Arc<Envelope>, Vec<RecipientState>, u64), ReadError> {
        outline(&self.0.shared, id)
    }

    /// Records outcomes: `(index of the recipient in the envelope, outcome)`.
    ///
    /// In effect at once: a message of which no recipient is pending any more is not live. On the disk within
    /// milliseconds, flushed with the next commit or within a second. Never blocks on the disk. Outcomes for
    /// recipients that are not pending, or messages that are not live, have no effect.
    /// Says whether the message ended by it.
    pub fn settle(&self, id: MessageId, outcomes: Vec<(u32, Outcome)>) -> bool {
        settle(&self.0.shared, id, outcomes)
    }

    /// The end of what the log says by now. Who has recorded elsewhere all that it noted before it asked for this, and
    /// notes outcomes before it settles them, has recorded all that stands before it.
    pub fn mark(&self) -> Mark {
        self.0.shared.index().mark()
    }

    /// What the log says before `mark` is recorded elsewhere, and survives there: it may be forgotten here. See
    /// [`Options::held_bytes_max`].
    pub fn recorded_up_to(&self, mark: Mark) {
        recorded_up_to(&self.0.shared, mark);
    }

    /// Whether the log keeps a segment for nothing but that: [`Spool::recorded_up_to`] gives its space back.
    pub fn awaits_recording(&self) -> bool {
        self.0.shared.index().awaits_recording()
    }

    /// Reads again what the log says between two marks, in the order in which it was written, and hands it to `each`. Says
    /// whether all of it was there: not if it was damaged, or was not waited for any longer. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk cannot be read. What was handed on until then is right.
    pub fn history(&self, from: Mark, to: Mark, each: impl FnMut(Told<'_>)) -> io::Result<bool> {
        history::read(&self.0.shared, from, to, each)
    }

    /// Changes how a message stands as a whole. In effect at once, on the disk as outcomes are; [`Spool::flushed`] waits for
    /// that. Says whether there is such a message and that is something new.
    pub fn set_standing(&self, id: MessageId, standing: Standing) -> bool {
        set_standing(&self.0.shared, id, standing)
    }

    /// How many bytes a live message takes on the disk, without asking the disk: its content has no more.
    pub fn bytes(&self, id: MessageId) -> Option<u64> {
        self.0.shared.index().bytes(id.0)
    }

    /// How a message stands as a whole; `None` if it is not live.
    pub fn standing(&self, id: MessageId) -> Option<Standing> {
        self.0.shared.index().standing(id.0)
    }

    /// All live messages that do not stand as on arrival, in no order.
    pub fn standings(&self) -> Vec<(MessageId, Standing)> {
        self.0.shared.index().standings().map(|(id, standing)| (MessageId(id), standing.clone())).collect()
    }

    /// Comes to `Ok` once everything that was settled before survives power loss. An error says that it may not: it is in
    /// effect all the same, and written again when the disk works.
    pub fn flushed(&self) -> Commit<()> {
        flushed(&self.0.shared)
    }

    /// All live messages, in the order of their numbers.
    pub fn live(&self) -> Vec<MessageId> {
        self.0.shared.index().live().map(MessageId).collect()
    }

    /// The next live messages behind `last`, or the first ones, in the order of their numbers: to walk through all of them
    /// without a list of all of them.
    pub fn live_after(&self, last: Option<MessageId>, count_max: usize) -> Vec<MessageId> {
        self.0.shared.index().live_after(last.map(|last| last.0), count_max).map(MessageId).collect()
    }

    /// Whether a message still has recipients pending.
    pub fn is_live(&self, id: MessageId) -> bool {
        self.0.shared.index().is_live(id.0)
    }

    /// Gives back the memory that holds messages which were just accepted. They are read from the disk then.
    pub fn forget_cache(&self) {
        self.0.shared.index().cache.clear();
    }

    /// Figures as of now.
    pub fn usage(&self) -> Usage {
        usage(&self.0.shared)
    }

    /// Whether the threads that write are there. Without them nothing is accepted any more, until the server is started
    /// again.
    pub fn is_alive(&self) -> bool {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().is_none_or(|running| !running.committer.is_finished() && running.bodies.are_alive())
    }

    /// Flushes everything, stops the committer and releases the lock. Blocks until that is done. Commits that come
    /// later are refused; outcomes that come later do not reach the disk. May be called again.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Handle {
    fn close(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Running { committer, bodies, _lock }) = running.take() else { return };
        // Bodies first: their commits go on to the committer.
        self.shared.bodies.close();
        let bodies = bodies.join();
        self.shared.commits.close();
        let committer = committer.join();
        if !bodies || committer.is_err() {
            tracing::error!("a thread of the spool panicked; what it had not flushed was not acknowledged");
        }
        // The committer's last flush may have ended messages with body files.
        bodies::step(&self.shared, self.shared.bodies.take());
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// An open spool whose threads do not run yet: tests take their steps by hand.
pub(crate) struct Opened {
    pub shared: Arc<Shared>,
    pub committer: Committer,
    pub lock: Arc<Lock>,
    pub recovering: Recovering,
}

impl Opened {
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, mut options: Options) -> Result<Opened, OpenError> {
        options.inline_bytes_max = options.inline_bytes_max.min(16 << 20);
        options.segment_bytes = options.segment_bytes.min(4 << 30);
        let folders = Folders::new(dir);
        let found = opening::open(&*disk, &folders)?;
        let Found { lock, next_id, next_segment, segments, set_aside, is_flushed } = found;
        let mut index = Index::of_segments(options.cache_bytes_max, segments);
        if options.held_bytes_max > 0 {
            index.hold_for_recording(options.held_bytes_max);
        }
        let shared = Arc::new(Shared::new(disk, folders, options, index, next_id));
        let lock = Arc::new(lock);
        let recovering = Recovering::new(Arc::clone(&shared), Arc::clone(&lock), is_flushed, set_aside);
        let committer = Committer::new(Arc::clone(&shared), next_segment);
        Ok(Opened { shared, committer, lock, recovering })
    }
}

/// What memory knows of a message.
struct Known {
    location: Location,
    body: Option<Body>,
    states: Vec<RecipientState>,
    standing: Standing,
}

pub(crate) fn message(shared: &Shared, id: MessageId) -> Result<Message, ReadError> {
    let mut known = None;
    // Compaction may move the record between looking it up and reading it: then it is looked up again.
    let (stored, known) = loop {
        let before = known.take();
        let now = {
            let index = shared.index();
            if let Some(message) = in_memory(&index, id) {
                return Ok(message);
            }
            let states = index.states(id.0).ok_or(ReadError::Unknown)?;
            let location = index.location(id.0).ok_or(ReadError::Unknown)?;
            Known { location, body: index.body(id.0), states, standing: index.standing(id.0).unwrap_or_default() }
        };
        match shared.read(id.0, now.location, Part::Whole) {
            Ok(stored) => break (stored, now),
            Err(_) if before.as_ref().is_none_or(|before: &Known| before.location != now.location) => {
                known = Some(now);
            }
            Err(RecordError::Io(error)) => return Err(ReadError::Io(error)),
            Err(RecordError::Damaged) => {
                shared.set_aside(id.0, now.location);
                return Err(ReadError::Corrupt);
            }
        }
    };
    let Ok(Ok(envelope)) = stored.message().map(|message| message.envelope.read()) else {
        shared.set_aside(id.0, known.location);
        return Err(ReadError::Corrupt);
    };
    let content = match known.body {
        None => Content::in_memory(stored.into_content()),
        Some(body) => {
            let file = open_body(shared, id, body, known.location)?;
            Content::in_file(stored.into_content(), file, body.stored.bytes)
        }
    };
    Ok(Message { id, envelope: Arc::new(envelope), recipients: known.states, standing: known.standing, content })
}

fn in_memory(index: &Index, id: MessageId) -> Option<Message> {
    let cached = index.cache.get(id.0).cloned()?;
    let recipients = index.states(id.0)?;
    let standing = index.standing(id.0)?;
    Some(Message { id, envelope: cached.envelope, recipients, standing, content: cached.content })
}

fn open_body(shared: &Shared, id: MessageId, body: Body, at: Location) -> Result<Arc<dyn File>, ReadError> {
    let path = shared.folders.body(id);
    let right = match shared.disk.open(&path) {
        Ok(file) if body.is_verified || is_right(&*file, body.stored)? => Some(file),
        Ok(_) => None,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Err(_) if !shared.index().is_live(id.0) => return Err(ReadError::Unknown), // settled meanwhile
        Err(_) => None,
    };
    let Some(file) = right else {
        let kept = shared.folders.set_aside.join(format!("{:016x}.body", id.0));
        if let Err(error) = shared.disk.rename(&path, &kept) {
            tracing::error!(%id, %error, "the body file of a damaged message could not be set aside");
        }
        shared.set_aside(id.0, at);
        return Err(ReadError::Corrupt);
    };
    shared.index().set_body_verified(id.0);
    Ok(file)
}

fn is_right(file: &dyn File, stored: StoredBody) -> io::Result<bool> {
    if file.bytes()? != stored.bytes {
        return Ok(false);
    }
    let mut digest = Digest::new();
    let mut buffer = vec![0; 256 << 10];
    let mut offset = 0;
    while offset < stored.bytes {
        let wanted = buffer.len().min(usize::try_from(stored.bytes - offset).unwrap_or(usize::MAX));
        disk::read_exact_at(file, &mut buffer[..wanted], offset)?;
        digest.update(&buffer[..wanted]);
        offset += wanted as u64;
    }
    Ok(digest.value() == stored.crc)
}

pub(crate) fn envelope(shared: &Shared, id: MessageId) -> Result<(Arc<Envelope>, Vec<RecipientState>), ReadError> {
    outline(shared, id).map(|(envelope, states, _)| (envelope, states))
}

pub(crate) fn outline(shared: &Shared, id: MessageId) -> Result<(Arc<Envelope>, Vec<RecipientState>, u64), ReadError> {
    let (location, body, states) = {
        let index = shared.index();
        let states = index.states(id.0).ok_or(ReadError::Unknown)?;
        if let Some(cached) = index.cache.get(id.0) {
            return Ok((Arc::clone(&cached.envelope), states, cached.content.len()));
        }
        (index.location(id.0).ok_or(ReadError::Unknown)?, index.body(id.0), states)
    };
    let read = shared.read(id.0, location, Part::Meta).ok();
    let outline = read.and_then(|stored| {
        let envelope = stored.message().ok()?.envelope.read().ok()?;
        Some((Arc::new(envelope), stored.content_bytes() + body.map_or(0, |body| body.stored.bytes)))
    });
    match outline {
        Some((envelope, bytes)) => Ok((envelope, states, bytes)),
        // It moved, or is damaged, or the disk fails: the longer way finds out which.
        None => message(shared, id).map(|message| (message.envelope, message.recipients, message.content.len())),
    }
}

pub(crate) fn settle(shared: &Shared, id: MessageId, outcomes: Vec<(u32, Outcome)>) -> bool {
    let settled = shared.index().settle(id.0, outcomes);
    match settled {
        Settled::Unknown => false,
        Settled::Changed(changed) if changed.is_empty() => false,
        Settled::Changed(changed) => {
            shared.commits.push_outcomes(|outbox| {
                outbox.changed.extend(changed.into_iter().map(|index| (id.0, index)));
            });
            false
        }
        Settled::Ended { has_body, recipients } => {
            shared.commits.push_outcomes(|outbox| {
                outbox.ended.push(Ended { id: id.0, how: How::Settled(recipients) });
                if has_body {
                    outbox.bodies.push(id.0);
                }
            });
            true
        }
    }
}

pub(crate) fn recorded_up_to(shared: &Shared, mark: Mark) {
    // It counts once the log says so itself.
    shared.commits.push_outcomes(|outbox| outbox.recorded = outbox.recorded.max(Some(mark)));
}

pub(crate) fn set_standing(shared: &Shared, id: MessageId, standing: Standing) -> bool {
    let is_new = shared.index().set_standing(id.0, standing);
    if is_new {
        shared.commits.push_outcomes(|outbox| outbox.standings.push(id.0));
    }
    is_new
}

pub(crate) fn flushed(shared: &Shared) -> Commit<()> {
    let (promise, commit) = promise();
    shared.commits.push_flush(promise);
    commit
}

pub(crate) fn usage(shared: &Shared) -> Usage {
    // Before the index: what is released meanwhile counts twice rather than not at all.
    let unreleased = shared.counters.unreleased.load(Ordering::Relaxed);
    let (totals, cache_bytes) = {
        let index = shared.index();
        (index.totals(), index.cache.bytes())
    };
    let counted = &shared.counters;
    let (flush_counts, flush_micros) = counted.flush_times.all();
    Usage {
        messages: totals.messages + unreleased,
        live_bytes: totals.live_log_bytes + totals.body_bytes,
        disk_bytes: totals.log_bytes + totals.body_bytes,
        segments: totals.segments,
        cache_bytes: cache_bytes as u64,
        commits: counted.commits.load(Ordering::Relaxed),
        flushes: counted.flushes.load(Ordering::Relaxed),
        failures: counted.failures.load(Ordering::Relaxed),
        set_aside: counted.set_aside.load(Ordering::Relaxed),
        unread_bytes: counted.unread_bytes.load(Ordering::Relaxed),
        unreleased,
        unrecorded: counted.unrecorded.load(Ordering::Relaxed),
        is_full: shared.reserve.missing().is_some(),
        flush_counts,
        flush_micros,
        writing_for: shared.writing_for(),
    }
}
