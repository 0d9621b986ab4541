//! The store of decisions: two rooms, written by one thread in batches. That of messages is found by id only and so has no index;
//! refusals are searched, so they lie in segments.
//!
//! Takes decisions from sessions into a bounded buffer and never waits for the disk: what does not fit is counted and left
//! out. The thread writes what has gathered about twenty times a second. A search brings the buffer to the disk first, so a
//! decision is found as soon as its id is known.

mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::now_ms;
use crate::decision::{Decision, DecisionId, Verdict};
use crate::ending::{DISK_PATIENCE, join_within};
use crate::flood::{Flood, Judgement};
use crate::frame;
use crate::passport::{Event, Gatherer, Keeping};
use crate::refusals::Refusals;
use crate::room::{self, Room};
use crate::stored;
use writer::Writer;

/// Bytes of one room's records that may wait for the writer.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// So many waiting bytes are written at once, without gathering more.
const BATCH_BYTES: usize = 1 << 20;
/// How long a search waits for the writer; a disk that hangs must not hang the administrator.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(5);

/// Folder of the store in the data folder, and those of its rooms.
const FOLDER: &str = "tracking";
const MESSAGES_FOLDER: &str = "messages";
const REFUSALS_FOLDER: &str = "refusals";
const MESSAGES: usize = 0;
const REFUSALS: usize = 1;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes for messages.
    pub messages_bytes_max: u64,
    /// Bytes for refusals and abandoned transactions.
    pub refusals_bytes_max: u64,
    /// Refusals of one source beyond so many a minute are counted only.
    pub refusals_per_source_per_minute: u32,
    /// Of passports.
    pub passports: Keeping,
}

/// What the store holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The room of accepted messages.
    pub messages: RoomUsage,
    /// The room of refusals and abandoned transactions.
    pub refusals: RoomUsage,
    /// Refusals since start that were counted and not stored one by one.
    pub counted: u64,
    /// Passports of messages, and what happened beside them.
    pub passports: RoomUsage,
}

/// What one room holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomUsage {
    /// Bytes on the disk.
    pub bytes: u64,
    /// The most that it may hold.
    pub bytes_max: u64,
    /// Since when records are kept, Unix time in milliseconds; none: it is empty.
    pub oldest_ms: Option<u64>,
    /// Records written since start.
    pub written: u64,
    /// Records left out since start, because the disk was full or could not keep up.
    pub dropped: u64,
    /// Damaged records that searches have met.
    pub damaged: u64,
}

/// The store. Dropping it writes what waits and ends its thread.
pub struct Tracking {
    /// Passports of messages, and what happened beside them.
    pub passports: Gatherer,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    messages: PathBuf,
    refusals: Refusals,
    salts: [u64; 2],
    state: Mutex<State>,
    /// Something is waiting that was not, or somebody is in a hurry.
    work: Condvar,
    /// The writer has brought something to the disk.
    done: Condvar,
    flood: Mutex<Flood>,
    usage: Mutex<[RoomUsage; 2]>,
    dropped: [AtomicU64; 2],
    /// Damaged records that were met in the room of messages.
    damaged: AtomicU64,
    counted: AtomicU64,
}

struct State {
    waiting: [Vec<u8>; 2],
    limits: Limits,
    /// Flushes asked for, and how many of them are done.
    flushes: (u64, u64),
    /// Whether counted refusals wait for the end of their minute.
    counts: bool,
    /// What the files are to be rewritten by, and what the last rewriting came to.
    rewriting: Option<Change>,
    rewritten: Option<io::Result<(u64, u64)>>,
    ends: bool,
}

/// What becomes of a record; `None`: it stays as it is.
pub type Change = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

impl std::fmt::Debug for Tracking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracking").field("passports", &self.passports).finish_non_exhaustive()
    }
}

impl Tracking {
    /// Opens the store in `data_dir`. A disk that does not take it is complained about in the log and tried again later:
    /// mail does not depend on it.
    ///
    /// # Errors
    /// When the system gives no thread or no randomness.
    pub fn open(data_dir: &Path, limits: Limits) -> io::Result<Tracking> {
        let folder = data_dir.join(FOLDER);
        let salt = || getrandom::u64().map_err(io::Error::other);
        let messages = Room::open(folder.join(MESSAGES_FOLDER), limits.messages_bytes_max, salt()?);
        let shared = Arc::new(Shared {
            messages: folder.join(MESSAGES_FOLDER),
            refusals: Refusals::open(folder.join(REFUSALS_FOLDER), limits.refusals_bytes_max),
            salts: [messages.salt(), salt()?],
            state: Mutex::new(State {
                waiting: Default::default(),
                limits,
                flushes: (0, 0),
                counts: false,
                rewriting: None,
                rewritten: None,
                ends: false,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            flood: Mutex::default(),
            usage: Mutex::default(),
            dropped: Default::default(),
            damaged: Default::default(),
            counted: AtomicU64::new(0),
        });
        let mut writer = Writer::new(shared.clone(), messages);
        writer.tell_usage(limits);
        let passports = Gatherer::open(&data_dir.join(FOLDER), limits.passports)?;
        let thread = std::thread::Builder::new().name("decisions".into()).spawn(move || writer.run())?;
        Ok(Tracking { passports, shared, writer: Some(thread) })
    }

    /// Notes what happened. Never waits for the disk.
    pub fn note(&self, event: Event) {
        self.passports.note(event);
    }

    /// Records a decision in the room of its verdict.
    pub fn record(&self, decision: &Decision) {
        self.shared.record(decision);
    }

    /// Records a refusal or an abandoned transaction, or only counts it. Hands back the id that stands for it: its own,
    /// or that of the record which counts it.
    pub fn refusal(&self, refusal: Box<Decision>) -> DecisionId {
        let per_minute = lock(&self.shared.state).limits.refusals_per_source_per_minute;
        let mut due = Vec::new();
        let judgement = lock(&self.shared.flood).judge(refusal, per_minute, Instant::now(), &mut due);
        due.iter().for_each(|counted| self.shared.record(counted));
        match judgement {
            Judgement::Store(refusal) => {
                self.shared.record(&refusal);
                refusal.id
            }
            Judgement::Counted(id) => {
                self.shared.counted.fetch_add(1, Ordering::Relaxed);
                let mut state = lock(&self.shared.state);
                if !state.counts {
                    state.counts = true;
                    self.shared.work.notify_one();
                }
                id
            }
        }
    }

    /// Looks for a decision. Reads files: not on a thread that drives sockets.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn find(&self, id: DecisionId) -> io::Result<Option<Decision>> {
        if let Some(counted) = lock(&self.shared.flood).find(id) {
            return Ok(Some(counted.clone()));
        }
        self.flush();
        // A refusal is asked for more often than a message.
        if let Some(refusal) = self.shared.refusals.find(id)? {
            return Ok(Some(refusal));
        }
        let found = room::find(&self.shared.messages, id)?;
        self.shared.damaged.fetch_max(found.damaged, Ordering::Relaxed);
        Ok(found.record.and_then(|record| stored::read(&record)))
    }

    /// The room of refusals.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.shared.refusals
    }

    /// Rewrites the records of decisions, those that wait included; blocks until it is done. Hands back how many were changed, and how
    /// many damaged ones were removed.
    ///
    /// # Errors
    /// When a file cannot be read or written, or another rewriting goes on.
    pub fn rewrite(&self, change: Change) -> io::Result<(u64, u64)> {
        self.shared.take_counted(Flood::take_all);
        let mut state = lock(&self.shared.state);
        if state.rewriting.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "records are being rewritten already: try again later",
            ));
        }
        let of_refusals = change.clone();
        state.rewriting = Some(change);
        state.flushes.0 += 1;
        self.shared.work.notify_one();
        let waits = |state: &mut State| state.rewriting.is_some() && !state.ends;
        let mut state = self.shared.done.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        let rewritten = state.rewritten.take().unwrap_or_else(|| Err(io::Error::other("the server is ending")));
        drop(state);
        let (changed, damaged) = rewritten?;
        let bytes_max = lock(&self.shared.state).limits.refusals_bytes_max;
        let refusals = self.shared.refusals.rewrite(bytes_max, now_ms(), &*of_refusals)?;
        Ok((changed + refusals.records, damaged + refusals.damaged))
    }

    /// How much is kept from now on. Does not wait until what is too much has gone.
    pub fn set_limits(&self, limits: Limits) {
        self.passports.set_keeping(limits.passports);
        let mut state = lock(&self.shared.state);
        state.limits = limits;
        state.flushes.0 += 1;
        self.shared.work.notify_one();
    }

    /// What the store holds and has done.
    pub fn usage(&self) -> Usage {
        let [messages, refusals] = *lock(&self.shared.usage);
        let dropped = |place: usize| self.shared.dropped[place].load(Ordering::Relaxed);
        let kept = self.shared.refusals.usage();
        Usage {
            messages: RoomUsage {
                dropped: dropped(MESSAGES),
                damaged: self.shared.damaged.load(Ordering::Relaxed),
                ..messages
            },
            refusals: RoomUsage {
                bytes: kept.bytes,
                oldest_ms: kept.oldest_ms,
                dropped: dropped(REFUSALS),
                damaged: kept.damaged,
                ..refusals
            },
            counted: self.shared.counted.load(Ordering::Relaxed),
            passports: self.passports_usage(),
        }
    }

    fn passports_usage(&self) -> RoomUsage {
        let (store, gathered) = (self.passports.store(), self.passports.gathered());
        let (passports, others) = (store.usage(), store.others_usage());
        RoomUsage {
            bytes: passports.bytes + others.bytes,
            bytes_max: passports.bytes_max + others.bytes_max,
            oldest_ms: passports.oldest_ms,
            written: gathered.written,
            dropped: gathered.left_out,
            damaged: passports.damaged + others.damaged,
        }
    }

    /// Brings what was recorded so far to the files, waiting for it a few seconds at most. Blocks.
    pub fn flush(&self) {
        let mut state = lock(&self.shared.state);
        state.flushes.0 += 1;
        let mine = state.flushes.0;
        self.shared.work.notify_one();
        // Whoever gives up waiting reads what is there.
        let _ =
            self.shared.done.wait_timeout_while(state, FLUSH_WAIT_MAX, |state| state.flushes.1 < mine && !state.ends);
    }

    /// Brings everything to the files, the counts of minutes that are not over included. For the end of the server.
    pub fn close(&self) {
        self.shared.take_counted(Flood::take_all);
        self.flush();
        self.passports.flush();
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.shared.take_counted(Flood::take_all);
        lock(&self.shared.state).ends = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.take() {
            join_within(writer, DISK_PATIENCE);
        }
    }
}

impl Shared {
    fn record(&self, decision: &Decision) {
        let place = match decision.verdict {
            Verdict::Accepted { .. } => MESSAGES,
            Verdict::Refused { .. } | Verdict::Abandoned => REFUSALS,
        };
        let mut state = lock(&self.state);
        let nothing_waited = state.waiting.iter().all(Vec::is_empty);
        let waiting = &mut state.waiting[place];
        let fits = waiting.len() < WAITING_BYTES_MAX
            && frame::push(waiting, self.salts[place], decision.id, |into| stored::write(decision, into));
        if !fits {
            drop(state);
            self.dropped[place].fetch_add(1, Ordering::Relaxed);
            return;
        }
        if nothing_waited || state.waiting[place].len() >= BATCH_BYTES {
            drop(state);
            self.work.notify_one();
        }
    }

    /// Records what stands for counted refusals.
    fn take_counted(&self, take: impl FnOnce(&mut Flood, &mut Vec<Decision>)) -> bool {
        let mut due = Vec::new();
        let is_empty = {
            let mut flood = lock(&self.flood);
            take(&mut flood, &mut due);
            flood.is_empty()
        };
        due.iter().for_each(|counted| self.record(counted));
        is_empty
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Repeats;
    use crate::decision::tests::{message, refusal};

    const LIMITS: Limits = Limits {
        messages_bytes_max: 1 << 20,
        refusals_bytes_max: 64 << 10,
        refusals_per_source_per_minute: u32::MAX,
        passports: Keeping::DEFAULT,
    };

    fn id(number: u64) -> DecisionId {
        DecisionId::from_number(number).expect("48 bits")
    }

    #[test]
    fn a_decision_is_found_as_soon_as_it_is_recorded_and_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let tracking = Tracking::open(folder.path(), LIMITS).expect("open");
        tracking.record(&message(1));
        assert_eq!(tracking.refusal(Box::new(refusal(2, "192.0.2.1:1"))), id(2));
        assert_eq!(tracking.find(id(1)).expect("readable"), Some(message(1)));
        assert_eq!(tracking.find(id(2)).expect("readable"), Some(refusal(2, "192.0.2.1:1")));
        assert_eq!(tracking.find(id(3)).expect("readable"), None);
        tracking.record(&message(4));
        drop(tracking);
        let tracking = Tracking::open(folder.path(), LIMITS).expect("open");
        assert_eq!(tracking.find(id(1)).expect("readable"), Some(message(1)));
        assert_eq!(tracking.find(id(4)).expect("readable"), Some(message(4)));
        assert!(tracking.usage().messages.oldest_ms.is_some());
    }

    #[test]
    fn a_flood_of_refusals_evicts_no_message() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits { refusals_bytes_max: 320 << 10, ..LIMITS };
        let tracking = Tracking::open(folder.path(), limits).expect("open");
        tracking.record(&message(1));
        for number in 0..20_000 {
            let peer = format!("10.0.{}.{}:1", number >> 8 & 255, number & 255);
            tracking.refusal(Box::new(refusal(100 + number, &peer)));
        }
        // Old records go after what was written is told to be; the second flush waits for that.
        tracking.flush();
        tracking.flush();
        assert_eq!(tracking.find(id(100)).expect("readable"), None, "the room is small");
        assert_eq!(tracking.find(id(1)).expect("readable"), Some(message(1)));
        let usage = tracking.usage();
        assert!(usage.refusals.bytes <= limits.refusals_bytes_max, "{usage:?}");
        assert_eq!((usage.refusals.written + usage.refusals.dropped, usage.messages.written), (20_000, 1), "{usage:?}");
    }

    #[test]
    fn a_counted_refusal_is_found_before_and_after_its_minute_is_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits { refusals_per_source_per_minute: 2, ..LIMITS };
        let tracking = Tracking::open(folder.path(), limits).expect("open");
        let ids: Vec<u64> =
            (1..=10).map(|number| tracking.refusal(Box::new(refusal(number, "192.0.2.1:1"))).number()).collect();
        assert_eq!(ids, [1, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
        let expected = Decision {
            repeats: Some(Repeats { count: 8, until_ms: refusal(10, "192.0.2.1:1").time_ms }),
            ..refusal(3, "192.0.2.1:1")
        };
        assert_eq!(tracking.find(id(3)).expect("readable").as_ref(), Some(&expected));
        assert_eq!(tracking.usage().counted, 8);
        tracking.close();
        assert_eq!(tracking.find(id(3)).expect("readable"), Some(expected));
        assert_eq!(tracking.find(id(4)).expect("readable"), None);
        assert_eq!(tracking.usage().refusals.written, 3);
    }

    #[test]
    fn a_disk_that_takes_nothing_costs_records_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FOLDER), "a file in the way").expect("writable");
        let tracking = Tracking::open(folder.path(), LIMITS).expect("open");
        tracking.record(&message(1));
        tracking.refusal(Box::new(refusal(2, "192.0.2.1:1")));
        tracking.flush();
        let usage = tracking.usage();
        assert_eq!((usage.messages.dropped, usage.refusals.dropped), (1, 1), "{usage:?}");
        std::fs::remove_file(folder.path().join(FOLDER)).expect("ours");
        tracking.record(&message(3));
        assert_eq!(tracking.find(id(3)).expect("readable"), Some(message(3)));
    }

    #[test]
    fn new_limits_take_effect_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let tracking = Tracking::open(folder.path(), LIMITS).expect("open");
        for number in 0..1_000 {
            tracking.record(&message(number));
        }
        tracking.flush();
        let before = tracking.usage().messages.bytes;
        tracking.set_limits(Limits { messages_bytes_max: before / 2, ..LIMITS });
        tracking.record(&message(5_000));
        tracking.flush();
        let usage = tracking.usage().messages;
        assert!(usage.bytes <= before / 2 && usage.bytes_max == before / 2, "{usage:?}, {before} before");
        assert!(tracking.find(id(5_000)).expect("readable").is_some());
    }
}
