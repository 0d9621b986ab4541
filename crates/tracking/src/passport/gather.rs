//! Gathers the events of one message, so that most messages are one record, and writes them in batches on a thread of its own.
//!
//! Takes events from whoever has one and never waits for the disk. What has ended is written about twenty times a second;
//! what goes on for longer than a second is written in parts. Everything is bounded: connections are left out first, which
//! is counted; where even messages find no room, [`Gatherer::sync`] says so, and whoever keeps their passports safe by other
//! means goes on keeping them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::now_ms;
use crate::ending::{DISK_PATIENCE, join_within};
use crate::passport::event::{Event, Part, Record};
use crate::passport::store::{Keeping, Store};
use crate::passport::stored;

/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// A message that is under way for so long is written in parts.
const PART_AFTER: Duration = Duration::from_secs(1);
/// So many records that wait are written at once, without gathering more.
const BATCH: usize = 2_048;
/// Bytes of memory that events of messages may take, as far as estimated.
const MESSAGES_BYTES_MAX: usize = 64 << 20;
/// Beyond so many bytes other events are left out.
const OTHERS_BYTES_MAX: usize = 4 << 20;
/// About what the end of a message takes whose other events are not in memory.
const ENDED_BYTES: usize = 256;
/// How long a search waits for the writer; a disk that hangs must not hang the administrator.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the log stays silent about a disk that takes no records.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// What a [`Gatherer`] holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Records written since start.
    pub written: u64,
    /// Connections and the like that were left out since start: too many, or the disk did not take them.
    pub left_out: u64,
    /// Events of messages that found no room since start. The spool's log has what they said.
    pub messages_left_out: u64,
}

/// What [`Gatherer::sync`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// All that was noted about messages survives a power cut.
    Whole,
    /// Something was left out since the last time; what was not survives.
    Incomplete,
    /// The disk did not take it. Nothing is known to survive.
    Failed,
}

/// Takes events. Dropping it writes what waits and ends its thread.
#[derive(Debug)]
pub struct Gatherer {
    shared: Arc<Shared>,
    store: Store,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something is waiting that was not, or somebody is in a hurry.
    work: Condvar,
    /// The writer has brought something to the disk.
    done: Condvar,
    /// Who hears of messages as they are written.
    tap: Mutex<Option<(u64, SyncSender<Record>)>>,
}

#[derive(Debug, Default)]
struct State {
    /// Messages under way.
    open: HashMap<u64, Part>,
    /// What has ended, and all other records.
    waiting: Vec<Record>,
    /// What both take, and what that of it takes which is not about messages.
    bytes: usize,
    others_bytes: usize,
    gathered: Gathered,
    /// Asked for, and how much of it is done.
    flushes: (u64, u64),
    /// The number of the last flush that is to be safe, and how the last one that was ended.
    sync: (u64, u64, Option<Synced>),
    /// Whether events of messages were left out, or not written, since the last sync.
    is_incomplete: bool,
    keeping: Keeping,
    ends: bool,
}

impl Gatherer {
    /// Opens the store in `tracking`, the folder of all that is recorded.
    ///
    /// # Errors
    /// When the system gives no thread or no randomness.
    pub fn open(tracking: &Path, keeping: Keeping) -> io::Result<Gatherer> {
        let store = Store::open(tracking, keeping)?;
        let shared = Arc::new(Shared::default());
        shared.state().keeping = keeping;
        let mut writer = Writer { shared: shared.clone(), store: store.clone(), record: Vec::new(), complained: None };
        let thread = std::thread::Builder::new().name("passports".into()).spawn(move || writer.run())?;
        Ok(Gatherer { shared, store, writer: Some(thread) })
    }

    /// Notes what happened.
    pub fn note(&self, event: Event) {
        let mut state = self.shared.state();
        if !state.keeping.is_enabled {
            return;
        }
        let before = (state.waiting.len(), state.open.len());
        state.note(event);
        let wakes = match (before, state.waiting.len()) {
            // The first that the writer gathers others to; it looks after those under way by time.
            ((0, _), 1..) => true,
            ((0, 0), _) => !state.open.is_empty(),
            ((before, _), now) => before < BATCH && now >= BATCH,
        };
        if wakes || state.is_crowded() {
            drop(state);
            self.shared.work.notify_one();
        }
    }

    /// Brings what was noted so far to the files, waiting for it a few seconds at most. Blocks.
    pub fn flush(&self) {
        let mut state = self.shared.state();
        state.flushes.0 += 1;
        let mine = state.flushes.0;
        self.shared.work.notify_one();
        // Whoever gives up waiting reads what is there.
        let _ =
            self.shared.done.wait_timeout_while(state, FLUSH_WAIT_MAX, |state| state.flushes.1 < mine && !state.ends);
    }

    /// The same, so that it survives a power cut; waits until the disk has it, or hangs.
    pub fn sync(&self) -> Synced {
        let mut state = self.shared.state();
        state.flushes.0 += 1;
        let mine = state.flushes.0;
        state.sync.0 = mine;
        self.shared.work.notify_one();
        let waits = |state: &mut State| state.sync.1 < mine && !state.ends;
        let waited = self.shared.done.wait_timeout_while(state, DISK_PATIENCE, waits);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.sync.2.filter(|_| state.sync.1 >= mine).unwrap_or(Synced::Failed)
    }

    /// Hears of the messages that are written from now on. At most so many records wait to be taken; what is more is left
    /// out. There is one listener: whoever asked last.
    pub fn tap(&self, most: usize) -> Receiver<Record> {
        let (sender, receiver) = mpsc::sync_channel(most);
        let mut tap = self.shared.tap();
        let number = tap.as_ref().map_or(0, |(number, _)| number + 1);
        *tap = Some((number, sender));
        receiver
    }

    /// All records, oldest first, those just noted included. Reads files: not on a thread that drives sockets.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn scan(&self, mut each: impl FnMut(Record)) -> io::Result<()> {
        self.flush();
        self.store.scan(|record| {
            if let Some(record) = stored::read(record) {
                each(record);
            }
        })
    }

    /// What is kept from now on.
    pub fn set_keeping(&self, keeping: Keeping) {
        self.shared.state().keeping = keeping;
    }

    /// Where records lie, to search them.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What it holds and has done.
    pub fn gathered(&self) -> Gathered {
        self.shared.state().gathered
    }
}

impl Drop for Gatherer {
    fn drop(&mut self) {
        self.shared.state().ends = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.take() {
            join_within(writer, DISK_PATIENCE);
        }
    }
}

impl Shared {
    fn tap(&self) -> MutexGuard<'_, Option<(u64, SyncSender<Record>)>> {
        self.tap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether there is no room to wait for the ends of what is under way.
    fn is_crowded(&self) -> bool {
        self.bytes >= MESSAGES_BYTES_MAX / 2
    }

    fn note(&mut self, event: Event) {
        let other = match event {
            Event::Received { queue_id, facts } => {
                if self.has_room(stored::estimate(&facts)) {
                    self.part(queue_id).facts = Some(facts);
                }
                return;
            }
            Event::Step { queue_id, step } => {
                if self.has_room(stored::estimate_step(&step)) {
                    self.part(queue_id).steps.push(step);
                }
                return;
            }
            Event::Ended { queue_id } => {
                let mut part = match self.open.remove(&queue_id) {
                    Some(part) => part,
                    // Its beginning is written, or found no room while the disk hangs: then its end must not pile up either.
                    None if self.has_room(ENDED_BYTES) => Part { queue_id, ..Part::default() },
                    None => return,
                };
                part.is_last = true;
                return self.waiting.push(Record::Message(part));
            }
            Event::Recovered(part) => {
                if self.has_room(256) {
                    self.waiting.push(Record::Message(*part));
                }
                return;
            }
            Event::Connection(connection) => Record::Connection(connection),
            Event::Outbound(outbound) => Record::Outbound(outbound),
            Event::Settings(settings) => Record::Settings(settings),
            Event::Pressure(pressure) => Record::Pressure(pressure),
        };
        /// About what one of these takes.
        const OTHER_BYTES: usize = 512;
        if self.others_bytes + OTHER_BYTES > OTHERS_BYTES_MAX {
            self.gathered.left_out += 1;
            return;
        }
        self.others_bytes += OTHER_BYTES;
        self.bytes += OTHER_BYTES;
        self.waiting.push(other);
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let has_room = self.bytes + bytes <= MESSAGES_BYTES_MAX;
        if has_room {
            self.bytes += bytes;
        } else {
            self.gathered.messages_left_out += 1;
            self.is_incomplete = true;
        }
        has_room
    }

    fn part(&mut self, queue_id: u64) -> &mut Part {
        self.open.entry(queue_id).or_insert_with(|| Part { queue_id, ..Part::default() })
    }
}

/// What the writer does in one go.
struct Batch {
    ended: Vec<Record>,
    /// Those under way, if it is time for them.
    open: HashMap<u64, Part>,
    flush: u64,
    /// The flush that is to be safe, if there is one.
    sync: Option<u64>,
    keeping: Keeping,
    ends: bool,
}

/// The thread that owns the store.
struct Writer {
    shared: Arc<Shared>,
    store: Store,
    record: Vec<u8>,
    complained: Option<Instant>,
}

impl Writer {
    fn run(&mut self) {
        let mut parts_at = Instant::now() + PART_AFTER;
        loop {
            let Batch { ended, open, flush, sync, keeping, ends } = self.gather(&mut parts_at);
            let written = self.write(ended, open, keeping);
            let is_safe = sync.is_some() && written && self.store.sync().is_ok();
            let mut state = self.shared.state();
            state.flushes.1 = flush;
            if let Some(sync) = sync {
                let synced = match is_safe {
                    false => Synced::Failed,
                    true if state.is_incomplete => Synced::Incomplete,
                    true => Synced::Whole,
                };
                state.is_incomplete &= !is_safe;
                (state.sync.1, state.sync.2) = (sync, Some(synced));
            }
            drop(state);
            self.shared.done.notify_all();
            // Sealing takes a tenth of a second now and then: who searches does not wait for it.
            if let Err(error) = self.store.tend(keeping, now_ms()) {
                self.complain(&error, "message passports cannot be packed, or old ones not removed: tried again");
            }
            if ends {
                return;
            }
        }
    }

    /// Not more often than once in a while.
    fn complain(&mut self, error: &io::Error, what: &str) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            self.complained = Some(Instant::now());
            tracing::warn!(%error, "{what}");
        }
    }

    /// Waits until something is to be done, lets more of it gather, and takes it.
    fn gather(&self, parts_at: &mut Instant) -> Batch {
        let in_a_hurry = |state: &State| {
            state.ends || state.flushes.0 > state.flushes.1 || state.waiting.len() >= BATCH || state.is_crowded()
        };
        let mut state = self.shared.state();
        while state.waiting.is_empty() && !in_a_hurry(&state) && (state.open.is_empty() || Instant::now() < *parts_at) {
            let until = parts_at.saturating_duration_since(Instant::now());
            state = match state.open.is_empty() {
                true => {
                    let state = self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                    // What has just begun has its second.
                    *parts_at = (*parts_at).max(Instant::now() + PART_AFTER);
                    state
                }
                false => self.shared.work.wait_timeout(state, until).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        let waited = self.shared.work.wait_timeout_while(state, GATHER, |state| !in_a_hurry(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let takes_parts =
            state.ends || state.flushes.0 > state.flushes.1 || Instant::now() >= *parts_at || state.is_crowded();
        let open = if takes_parts { std::mem::take(&mut state.open) } else { HashMap::new() };
        if takes_parts {
            *parts_at = Instant::now() + PART_AFTER;
        }
        let ended = std::mem::take(&mut state.waiting);
        // An estimate may stay a little too high for what is still under way; with the next parts it is right again.
        state.bytes = if takes_parts { 0 } else { state.open.len() * 512 };
        state.others_bytes = 0;
        let sync = (state.sync.0 > state.sync.1).then_some(state.sync.0);
        Batch { ended, open, flush: state.flushes.0, sync, keeping: state.keeping, ends: state.ends }
    }

    /// Hands back whether all of it is in the files.
    fn write(&mut self, ended: Vec<Record>, open: HashMap<u64, Part>, keeping: Keeping) -> bool {
        let now_ms = now_ms();
        let mut written = 0;
        let mut lost = Ok(());
        let tap = self.shared.tap().clone();
        let parts = open.into_values().filter(|part| part.facts.is_some() || !part.steps.is_empty());
        for record in ended.into_iter().chain(parts.map(Record::Message)) {
            match record {
                Record::Message(part) => {
                    if let Some((number, tap)) = &tap
                        && let Err(TrySendError::Disconnected(_)) = tap.try_send(Record::Message(part.clone()))
                    {
                        // Unless somebody else listens by now.
                        self.shared.tap().take_if(|(now, _)| now == number);
                    }
                    for part in stored::split(part) {
                        lost = lost.and(self.store.append(Record::Message(part), keeping, now_ms, &mut self.record));
                        written += 1;
                    }
                }
                other => {
                    lost = lost.and(self.store.append(other, keeping, now_ms, &mut self.record));
                    written += 1;
                }
            }
        }
        let result = lost.and(self.store.write_out());
        let mut state = self.shared.state();
        let Err(error) = result else {
            state.gathered.written += written;
            return true;
        };
        state.is_incomplete = true;
        state.gathered.messages_left_out += written;
        drop(state);
        self.complain(&error, "message passports cannot be written: they wait in the spool's log");
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passport::event::{Facts, Pressure, Step, What};

    /// The times of these tests are long ago.
    const KEEPING: Keeping = Keeping { age_max_ms: None, ..Keeping::DEFAULT };

    fn received(queue_id: u64) -> Event {
        let facts = Facts { time_ms: 1, sender: "a@example.com".into(), ..Facts::default() };
        Event::Received { queue_id, facts: Box::new(facts) }
    }

    fn held(queue_id: u64, reason: &str) -> Event {
        let what = What::Held { reason: reason.into() };
        Event::Step { queue_id, step: Step { time_ms: 2, what } }
    }

    fn all(gatherer: &Gatherer) -> Vec<Record> {
        let mut records = Vec::new();
        gatherer.scan(|record| records.push(record)).expect("readable");
        records
    }

    #[test]
    fn a_listener_hears_of_messages_and_one_that_is_slow_or_gone_holds_nobody_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let gatherer = Gatherer::open(folder.path(), KEEPING).expect("open");
        let heard = gatherer.tap(2);
        let gone = |count: u64| {
            for queue_id in 0..count {
                gatherer.note(received(queue_id));
                gatherer.note(Event::Ended { queue_id });
            }
            gatherer.flush();
        };
        gone(5);
        assert_eq!(heard.try_iter().count(), 2, "what waits has an end");
        let other = gatherer.tap(10);
        drop(heard);
        gone(3);
        assert!(other.try_iter().all(|record| matches!(record, Record::Message(part) if part.queue_id < 3)));
        drop(other);
        gone(3);
        assert!(gatherer.shared.tap().is_none(), "nobody listens any more");
    }

    #[test]
    fn the_events_of_a_message_that_ends_at_once_are_one_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let gatherer = Gatherer::open(folder.path(), KEEPING).expect("open");
        // A flush in between would make two parts of it, so all of it is noted under one lock.
        {
            let mut state = gatherer.shared.state();
            [received(7), held(7, "first"), held(7, "second"), Event::Ended { queue_id: 7 }]
                .into_iter()
                .for_each(|event| state.note(event));
        }
        let records = all(&gatherer);
        let [Record::Message(part)] = &records[..] else { panic!("{records:#?}") };
        assert!(part.facts.is_some() && part.is_last && !part.is_recovered);
        assert_eq!(part.steps.len(), 2);
    }

    #[test]
    fn what_is_under_way_is_written_in_parts_and_nothing_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let gatherer = Gatherer::open(folder.path(), KEEPING).expect("open");
        gatherer.note(received(7));
        gatherer.flush();
        gatherer.note(held(7, "later"));
        gatherer.flush();
        gatherer.note(Event::Ended { queue_id: 7 });
        drop(gatherer);
        let gatherer = Gatherer::open(folder.path(), KEEPING).expect("open");
        let records = all(&gatherer);
        let [Record::Message(first), Record::Message(second), Record::Message(last)] = &records[..] else {
            panic!("{records:#?}")
        };
        assert!(first.facts.is_some() && first.steps.is_empty() && !first.is_last);
        assert!(second.facts.is_none() && second.steps.len() == 1 && !second.is_last);
        assert!(last.steps.is_empty() && last.is_last);
    }

    #[test]
    fn other_events_are_left_out_before_those_of_messages() {
        let mut state = State::default();
        let pressure = || Pressure { time_ms: 1, resource: "disk".into(), level: "High".into() };
        for _ in 0..20_000 {
            state.note(Event::Pressure(pressure()));
        }
        assert!(state.gathered.left_out > 0 && state.bytes <= OTHERS_BYTES_MAX);
        state.note(received(7));
        state.note(held(7, "noted"));
        assert_eq!(state.open[&7].steps.len(), 1);
        assert!(!state.is_incomplete);
    }

    #[test]
    fn a_message_that_finds_no_room_is_told_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let gatherer = Gatherer::open(folder.path(), KEEPING).expect("open");
        gatherer.note(received(7));
        assert_eq!(gatherer.sync(), Synced::Whole);
        gatherer.shared.state().bytes = MESSAGES_BYTES_MAX;
        gatherer.note(received(8));
        assert_eq!(gatherer.sync(), Synced::Incomplete);
        assert_eq!(gatherer.sync(), Synced::Whole, "said once");
        assert_eq!(gatherer.gathered().messages_left_out, 1);
    }

    #[test]
    fn a_disk_that_hangs_lets_nothing_pile_up_in_memory() {
        let mut state = State { keeping: KEEPING, ..State::default() };
        // Nobody takes anything out; one that found no room ends all the same.
        for queue_id in 0..1_000_000 {
            state.note(received(queue_id));
            state.note(Event::Ended { queue_id });
        }
        assert!(state.bytes <= MESSAGES_BYTES_MAX && state.is_incomplete);
        assert!(state.waiting.len() * ENDED_BYTES <= MESSAGES_BYTES_MAX, "{} wait", state.waiting.len());
    }

    #[test]
    fn a_disk_that_takes_nothing_is_told_of() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("passports"), "a file in the way").expect("writable");
        let gatherer = Gatherer::open(folder.path(), KEEPING).expect("open");
        gatherer.note(received(7));
        assert_eq!(gatherer.sync(), Synced::Failed);
        std::fs::remove_file(folder.path().join("passports")).expect("ours");
        gatherer.note(received(8));
        assert_eq!(gatherer.sync(), Synced::Incomplete, "7 was lost");
        gatherer.note(received(9));
        assert_eq!(gatherer.sync(), Synced::Whole);
    }
}
