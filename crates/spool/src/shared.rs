//! What the handles, the stages and the two threads of one spool share: the disk, the index and the queues.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use gatepost_mail::MessageId;

use crate::disk::{self, Disk};
use crate::index::{Damage, Index, Location};
use crate::queues::{BodyQueue, CommitQueue, lock};
use crate::record::{HEADER_BYTES, Header, Kind, checksum};
use crate::reserve::Reserve;
use crate::segment::file_name;
use crate::set_aside;
use crate::staging::Staging;
use crate::stored::{self, StoredMessage};

/// So much is read at once for an envelope: that of one recipient takes about 300 bytes.
const META_BYTES_USUAL: usize = 1024;

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
    /// Room on the disk that is set apart for outcomes, so that a full disk can empty itself. Default 4 MiB, which is
    /// enough for 65,000 messages that end one at a time.
    pub reserve_bytes: u64,
    /// Memory for the content of all messages together that are arriving, or wait for their flush. What finds no room
    /// there goes to a body file, but for messages up to 16 KiB, which are not counted. Default 64 MiB.
    pub staged_bytes_max: usize,
    /// At most so many body files are open for messages that are arriving. Default 4,096.
    pub staged_bodies_max: usize,
    /// Segments that nobody needs any more are held until [`Spool::recorded_up_to`](crate::Spool::recorded_up_to) says that
    /// what they say is recorded elsewhere, but not if the log would take so many bytes more than it takes anyway, nor on
    /// a full disk. Default 0: nobody records, nothing is held.
    pub held_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            inline_bytes_max: 256 << 10,
            segment_bytes: 64 << 20,
            cache_bytes_max: 64 << 20,
            reserve_bytes: 4 << 20,
            staged_bytes_max: 64 << 20,
            staged_bodies_max: 4_096,
            held_bytes_max: 0,
        }
    }
}

/// Bounds in microseconds that flushes are counted by: a good disk takes a tenth of a millisecond, a dying one seconds.
pub const FLUSH_BOUNDS: [u64; 10] = [100, 250, 500, 1_000, 2_500, 10_000, 50_000, 250_000, 1_000_000, 10_000_000];

#[derive(Debug)]
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub folders: Folders,
    pub options: Options,
    pub next_id: AtomicU64,
    pub counters: Counters,
    /// What moments are counted from.
    pub opened: Instant,
    pub commits: CommitQueue,
    pub bodies: BodyQueue,
    pub reserve: Reserve,
    pub staging: Arc<Staging>,
    index: Mutex<Index>,
}

/// How many flushes took how long.
#[derive(Debug, Default)]
pub(crate) struct FlushTimes {
    counts: [AtomicU64; FLUSH_BOUNDS.len() + 1],
    sum: AtomicU64,
}

impl FlushTimes {
    pub fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = FLUSH_BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(FLUSH_BOUNDS.len());
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many took no longer than each bound and longer than the one before, and how long all took together.
    pub fn all(&self) -> ([u64; FLUSH_BOUNDS.len() + 1], u64) {
        (std::array::from_fn(|place| self.counts[place].load(Ordering::Relaxed)), self.sum.load(Ordering::Relaxed))
    }
}

/// The folders of a spool.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub root: PathBuf,
    pub log: PathBuf,
    pub bodies: PathBuf,
    pub set_aside: PathBuf,
}

/// Counted since the spool was opened; what is unread and unreleased counts down.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub commits: AtomicU64,
    pub flushes: AtomicU64,
    pub failures: AtomicU64,
    pub set_aside: AtomicU64,
    /// Bytes of segments of former runs that are still to be read.
    pub unread_bytes: AtomicU64,
    /// Messages of former runs that were found and not released yet.
    pub unreleased: AtomicU64,
    /// How long the committer's flushes took.
    pub flush_times: FlushTimes,
    /// Since when the committer is writing what is waited for, in microseconds; 0 while it is not.
    pub writing_since: AtomicU64,
    /// Segments deleted although what they said was not recorded elsewhere.
    pub unrecorded: AtomicU64,
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
        let reserve = Reserve::open(&*disk, &folders.root, options.reserve_bytes);
        let staging = Arc::new(Staging::new(options.staged_bytes_max, options.staged_bodies_max));
        Shared {
            disk,
            folders,
            options,
            next_id: AtomicU64::new(next_id),
            counters: Counters::default(),
            opened: Instant::now(),
            commits: CommitQueue::default(),
            bodies: BodyQueue::default(),
            reserve,
            staging,
            index: Mutex::new(index),
        }
    }

    pub fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// Says that the committer begins to write what is waited for, or that it is done.
    pub fn set_writing(&self, is_writing: bool) {
        let since = if is_writing { self.micros().max(1) } else { 0 };
        self.counters.writing_since.store(since, Ordering::Relaxed);
    }

    /// For how long the committer has been writing the same batch.
    pub fn writing_for(&self) -> Duration {
        match self.counters.writing_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(self.micros().saturating_sub(since)),
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub fn count(&self, counter: impl Fn(&Counters) -> &AtomicU64, more: u64) {
        counter(&self.counters).fetch_add(more, Ordering::Relaxed);
    }

    /// Bytes that the log takes when nothing is held for anybody who records: see [`crate::compaction`].
    pub fn usual_log_bytes(&self, index: &Index) -> u64 {
        2 * index.totals().live_log_bytes + 2 * self.options.segment_bytes
    }

    /// Whether a full disk gains by emptying the oldest segment: half of it, or of the whole log, is dead, and what is live in it
    /// fits into half of the reserve.
    pub fn is_mostly_dead(&self, index: &Index) -> bool {
        let reserve_bytes = self.reserve.bytes();
        let totals = index.totals();
        index.oldest_segment().is_some_and(|(_, oldest)| {
            let is_half_dead = oldest.bytes > 2 * oldest.live_bytes
                || totals.log_bytes > 2 * totals.live_log_bytes + reserve_bytes / 4;
            is_half_dead && oldest.live_bytes <= reserve_bytes / 2
        })
    }

    /// A body met a full disk. If much of the log is dead the committer is told to return that.
    pub fn meet_full_disk(&self) {
        let is_worth_it = {
            let index = self.index();
            // For less it does not pay to refuse small messages as well, which is what giving up the reserve does.
            let totals = index.totals();
            let is_much = totals.log_bytes > 2 * totals.live_log_bytes + self.reserve.bytes() / 4;
            !index.is_recovering() && is_much && self.is_mostly_dead(&index)
        };
        if is_worth_it && self.reserve.give_up(&*self.disk) {
            self.commits.push_outcomes(|_| {}); // wakes it
        }
    }

    /// Reads the record of a message and checks it.
    pub fn read(&self, id: u64, location: Location, part: Part) -> Result<StoredRecord, RecordError> {
        let (salt, file) = self.index().open_segment(location.segment, &*self.disk, &self.folders.log)?;
        let all = usize::try_from(location.bytes).map_err(|_| RecordError::Damaged)?;
        let mut bytes = vec![0; if part == Part::Meta { all.min(META_BYTES_USUAL) } else { all }];
        disk::read_exact_at(&*file, &mut bytes, location.offset)?;
        let header = Header::parse(&bytes, salt, location.offset)
            .filter(|header| header.kind == Some(Kind::Message) && header.record_bytes() == location.bytes)
            .ok_or(RecordError::Damaged)?;
        let (read, wanted) = (bytes.len(), HEADER_BYTES + header.meta_bytes);
        if read < wanted {
            bytes.resize(wanted, 0);
            disk::read_exact_at(&*file, &mut bytes[read..], location.offset + read as u64)?;
        }
        let record = StoredRecord { bytes, header };
        let is_content_right = part == Part::Meta || checksum(record.content()) == header.content_crc;
        if checksum(record.meta()) != header.meta_crc || !is_content_right || record.message()?.id != id {
            return Err(RecordError::Damaged);
        }
        Ok(record)
    }

    /// A live message turned out to be damaged: copies its record away and takes it out of the queue. If the copy fails
    /// it is made when the segment is about to be deleted.
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
                index.add_damage(location.segment, Damage { name, offset: location.offset, bytes: location.bytes });
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

    /// How much content stands in the record, whether it was read or not.
    pub fn content_bytes(&self) -> u64 {
        self.header.content_bytes as u64
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
