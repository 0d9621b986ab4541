//! The store of decisions: two rooms, written by one thread in batches. That of messages is found by id only and so has no index;
//! refusals are searched, so they lie in segments.
//!
//! Takes decisions from sessions into a bounded buffer and never waits for the disk: what does not fit is counted and left
//! out. The thread writes what has gathered about twenty times a second. A search brings the buffer to the disk first, so a
//! decision is found as soon as its id is known.

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
use crate::frame::{self, Frames};
use crate::passport::{Event, Gatherer, Keeping};
use crate::refusals::Refusals;
use crate::room::{self, Room};
use crate::stored;

/// Bytes of one room's records that may wait for the writer.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// So many waiting bytes are written at once, without gathering more.
const BATCH_BYTES: usize = 1 << 20;
/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// How often the writer looks for counted refusals whose minute is over, while there are any.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// How long a search waits for the writer; a disk that hangs must not hang the administrator.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the log stays silent about a disk that takes no records.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

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
        let mut writer = Writer { shared: shared.clone(), messages, complained: None, looked_around: Instant::now() };
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

/// The thread that owns the files.
struct Writer {
    shared: Arc<Shared>,
    messages: Room,
    complained: Option<Instant>,
    looked_around: Instant,
}

impl Writer {
    fn run(mut self) {
        let mut batch: [Vec<u8>; 2] = Default::default();
        self.take_over();
        loop {
            let (limits, flush, ends) = self.gather(&mut batch);
            self.messages.set_bytes_max(limits.messages_bytes_max);
            self.write_messages(&batch[MESSAGES]);
            self.write_refusals(&batch[REFUSALS], limits.refusals_bytes_max);
            batch.iter_mut().for_each(Vec::clear);
            let rewriting = lock(&self.shared.state).rewriting.clone();
            let rewritten = rewriting.map(|change| self.messages.rewrite(&*change));
            self.tell_usage(limits);
            {
                let mut state = lock(&self.shared.state);
                state.flushes.1 = flush;
                if rewritten.is_some() {
                    (state.rewriting, state.rewritten) = (None, rewritten);
                }
            }
            self.shared.done.notify_all();
            // Who searches does not wait for that.
            if let Err(error) = self.shared.refusals.tend(limits.refusals_bytes_max, now_ms()) {
                let folder = self.shared.refusals.folder().to_owned();
                self.complain(
                    &folder,
                    &error,
                    "records of refusals cannot be packed, or old ones not removed: tried again",
                );
            }
            if ends {
                return;
            }
            // Where something waits all the time, gathering never gets to it.
            if self.looked_around.elapsed() >= LOOK_AROUND {
                self.look_around();
            }
        }
    }

    /// What a former version left in the room of refusals.
    fn take_over(&self) {
        let bytes_max = lock(&self.shared.state).limits.refusals_bytes_max;
        match self.shared.refusals.take_over(bytes_max, now_ms()) {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, "records of refusals have an index now"),
            Err(error) => {
                let folder = self.shared.refusals.folder().display();
                tracing::warn!(%folder, %error, "records of refusals of a former version cannot be read now");
            }
        }
    }

    /// Waits until something is to be done, lets more of it gather, and takes it.
    fn gather(&mut self, batch: &mut [Vec<u8>; 2]) -> (Limits, u64, bool) {
        let in_a_hurry = |state: &State| {
            state.ends
                || state.flushes.0 > state.flushes.1
                || state.waiting.iter().any(|waiting| waiting.len() >= BATCH_BYTES)
        };
        let mut state = lock(&self.shared.state);
        while state.waiting.iter().all(Vec::is_empty) && !in_a_hurry(&state) {
            if !state.counts {
                state = self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state = self.shared.work.wait_timeout(state, LOOK_AROUND).unwrap_or_else(PoisonError::into_inner).0;
            if self.looked_around.elapsed() >= LOOK_AROUND {
                drop(state);
                self.look_around();
                state = lock(&self.shared.state);
            }
        }
        let (mut state, _) = self
            .shared
            .work
            .wait_timeout_while(state, GATHER, |state| !in_a_hurry(state))
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.waiting, batch);
        (state.limits, state.flushes.0, state.ends)
    }

    /// Records what was counted in minutes that are over.
    fn look_around(&mut self) {
        self.looked_around = Instant::now();
        // Whoever counts from here on says so again.
        lock(&self.shared.state).counts = false;
        if !self.shared.take_counted(|flood, due| flood.take_ended(Instant::now(), due)) {
            lock(&self.shared.state).counts = true;
        }
    }

    fn write_messages(&mut self, frames: &[u8]) {
        let (written, failed) = match self.messages.append(frames, now_ms()) {
            Ok(written) => (written, Ok(())),
            Err((written, error)) => (written, Err(error)),
        };
        self.tell_written(MESSAGES, frames, written, failed);
    }

    fn write_refusals(&mut self, frames: &[u8], bytes_max: u64) {
        let salt = self.shared.salts[REFUSALS];
        let (written, failed) = self.shared.refusals.append(Frames::of(frames, salt), bytes_max, now_ms());
        self.tell_written(REFUSALS, frames, written, failed);
    }

    fn tell_written(&mut self, place: usize, frames: &[u8], written: u64, failed: io::Result<()>) {
        lock(&self.shared.usage)[place].written += written;
        let Err(error) = failed else { return };
        let lost = Frames::of(frames, self.shared.salts[place]).count() as u64 - written;
        self.shared.dropped[place].fetch_add(lost, Ordering::Relaxed);
        let folder = match place {
            MESSAGES => self.shared.messages.clone(),
            _ => self.shared.refusals.folder().to_owned(),
        };
        self.complain(&folder, &error, &format!("{lost} decision records are left out: the disk does not take them"));
    }

    /// Not more often than once in a while.
    fn complain(&mut self, folder: &Path, error: &io::Error, what: &str) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            self.complained = Some(Instant::now());
            tracing::warn!(folder = %folder.display(), %error, "{what}");
        }
    }

    fn tell_usage(&mut self, limits: Limits) {
        let mut usage = lock(&self.shared.usage);
        let (bytes, oldest_ms) = (self.messages.bytes(), self.messages.oldest_ms());
        usage[MESSAGES] = RoomUsage { bytes, bytes_max: limits.messages_bytes_max, oldest_ms, ..usage[MESSAGES] };
        usage[REFUSALS].bytes_max = limits.refusals_bytes_max;
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
