//! The committer: the one thread that appends to the log.
//!
//! Takes all waiting commits and outcomes, writes them in one go, flushes once, and only then keeps the promises.
//! While it flushes, the next batch gathers. Between batches it returns space: see [`crate::compaction`].
//!
//! A write that fails for want of room is taken back, and the segment goes on. Its commits are refused, and the outcomes
//! are written alone, into the reserve if need be: see [`crate::reserve`]. Until the reserve is there again all commits
//! are refused, and outcomes that end nothing wait in memory.
//!
//! After any other failed write or flush nobody can say what is on the disk: the batch is refused, the segment is never
//! written or flushed again, and the next batch begins a new one. Messages that were flushed to the old one before
//! stay where they are. The refused ones are declared ended in the next segment, so that they do not come back, and only then
//! told, unless that segment fails, too.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cache::Cached;
use crate::compaction::{Compaction, Copy};
use crate::disk;
use crate::index::{Body, Location, Segment};
use crate::mark::Mark;
use crate::message::{Content, State};
use crate::promise::{CommitError, Promise};
use crate::queues::{Ended, How, Outbox, PendingCommit, Work};
use crate::record::{Kind, Record};
use crate::segment::{FIRST_RECORD, SEGMENT_BYTES_MAX, Writer};
use crate::shared::Shared;
use crate::stored::{self, StoredChange, StoredEnd, StoredOutcomes, StoredState, state_code};

/// Outcomes that no commit came along with are flushed after this time, and the last flush is marked.
const IDLE: Duration = Duration::from_secs(1);
/// How long outcomes wait after a failure, if no commit comes first.
const RETRY: Duration = Duration::from_secs(1);
/// A batch takes no further commits beyond this.
const BATCH_BYTES_MAX: u64 = 32 << 20;
/// So many ended messages, and so many changed recipients, share one record: a damaged one costs that many
/// duplicates.
const ENDED_PER_RECORD: usize = 512;
const CHANGED_PER_RECORD: usize = 256;

#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    writer: Option<Writer>,
    next_segment: u32,
    compaction: Compaction,
    /// Taken from the queue, too much for one batch.
    backlog: VecDeque<PendingCommit>,
    /// Outcomes that are not in the log.
    unwritten: Outbox,
    /// Changed recipients that are still pending, and wait for the reserve.
    withheld: BTreeSet<(u64, u32)>,
    /// Messages that stand otherwise than before, and wait for the reserve likewise.
    withheld_standings: BTreeSet<u64>,
    /// Outcomes that are in the current segment, after its last flush.
    unflushed: Outbox,
    /// Since when the segment has something that should be flushed or marked before long.
    unsettled_since: Option<Instant>,
    retry_at: Option<Instant>,
    /// When to try to make the reserve again, while it is missing.
    restore_at: Instant,
}

impl Committer {
    pub fn new(shared: Arc<Shared>, next_segment: u32) -> Committer {
        Committer {
            shared,
            writer: None,
            next_segment,
            compaction: Compaction::default(),
            backlog: VecDeque::new(),
            unwritten: Outbox::default(),
            withheld: BTreeSet::new(),
            withheld_standings: BTreeSet::new(),
            unflushed: Outbox::default(),
            unsettled_since: None,
            retry_at: None,
            restore_at: Instant::now() + RETRY,
        }
    }

    /// Starts the thread.
    pub fn spawn(self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("spool-committer".into()).spawn(move || self.run())
    }

    /// Runs until the queue is closed and everything in it is dealt with.
    fn run(mut self) {
        loop {
            let deadline = self.deadline();
            let work = self.shared.commits.wait(deadline, self.retry_at.is_some());
            let is_closing = work.is_closing;
            let is_due = deadline.is_some_and(|deadline| deadline <= Instant::now());
            self.step(work, is_closing || is_due);
            if is_closing {
                while !self.backlog.is_empty() {
                    self.step(Work::default(), true);
                }
                return;
            }
        }
    }

    /// When to go on at the latest, although nothing comes.
    fn deadline(&self) -> Option<Instant> {
        if !self.backlog.is_empty() {
            return Some(Instant::now());
        }
        if self.retry_at.is_some() {
            return self.retry_at;
        }
        if self.has_compaction_to_do() {
            return Some(Instant::now());
        }
        let restore_at = self.is_short().then_some(self.restore_at);
        self.unsettled_since.map(|since| since + IDLE).into_iter().chain(restore_at).min()
    }

    /// Whether there is something to do with time, although nothing comes.
    #[cfg(any(test, feature = "fake-disk"))]
    pub fn has_more_to_do(&self) -> bool {
        self.deadline().is_some()
    }

    /// Whether commits were taken from the queue that had no room in a batch.
    #[cfg(any(test, feature = "fake-disk"))]
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether the reserve is missing: the disk is full, or was a moment ago.
    fn is_short(&self) -> bool {
        self.shared.reserve.missing().is_some()
    }

    /// Whether a step would make progress with compaction.
    pub fn has_compaction_to_do(&self) -> bool {
        self.compaction.is_due(&self.shared, self.current_segment())
    }

    /// One batch: everything in `work`, and a piece of compaction. If there is time (`is_idle`), or somebody waits, it
    /// is flushed.
    pub fn step(&mut self, work: Work, is_idle: bool) {
        if work.is_recovered {
            self.shared.index().end_recovery();
        }
        self.backlog.extend(work.commits);
        self.unwritten.append(work.outbox);
        if let Some(kind) = self.shared.reserve.missing() {
            let refused = std::mem::take(&mut self.backlog);
            self.refuse(refused, &kind.into());
        }
        let batch = Batch {
            outcomes: self.outcome_records(),
            commits: self.take_commits(),
            copies: self.compaction.pick(&self.shared, self.current_segment()),
        };
        let flushes = work.flushes;
        let waited_for = !batch.commits.is_empty() || !batch.copies.is_empty() || !flushes.is_empty();
        let flush = is_idle || waited_for || self.compaction.deletes(&self.shared, self.current_segment());
        let has_more = |writer: &Writer| writer.is_dirty() || writer.is_unmarked();
        let mut written = Ok(());
        if !batch.is_empty() || (flush && self.writer.as_ref().is_some_and(has_more)) {
            self.shared.set_writing(true);
            written = self.write_out(batch, flush);
            self.shared.set_writing(false);
        }
        if written.is_ok() && !self.withheld_standings.is_empty() {
            written = Err(CommitError::Full);
        }
        flushes.into_iter().for_each(|promise| promise.keep(written));
        if self.is_short() {
            self.leave_dead_segment();
        }
        self.compaction.delete_dead(&self.shared, self.current_segment());
        if self.is_short() && is_idle && !self.has_compaction_to_do() {
            self.restore_at = Instant::now() + RETRY;
            if self.shared.reserve.restore(&*self.shared.disk).is_ok() {
                tracing::info!("the disk of the spool has room again: messages are taken");
            }
        }
    }

    /// Writes a batch. If there is no room for it, the outcomes in it go alone: they bring room. If it may be on the disk
    /// although it failed, the next segment first says that its messages have ended, and then their peers hear that they
    /// were refused: a crash in between must not bring back what a peer sends again.
    /// Says whether at last all outcomes were written.
    fn write_out(&mut self, mut batch: Batch, mut flush: bool) -> Result<(), CommitError> {
        let mut refused = Vec::new();
        let ended = loop {
            let failure = match self.write(&mut batch, flush) {
                Ok(written) => {
                    self.succeed(batch, written);
                    break Ok(());
                }
                Err(failure) => failure,
            };
            let error = CommitError::of(&failure.error);
            let brings_room = failure.is_clean && disk::has_no_room(&failure.error) && !batch.outcomes.is_empty();
            let goes_on = brings_room || (!failure.is_clean && !batch.commits.is_empty());
            let was_alone = batch.commits.is_empty() && batch.copies.is_empty();
            refused.append(&mut self.fail(batch, &failure));
            let gave_up = disk::has_no_room(&failure.error) && self.shared.reserve.give_up(&*self.shared.disk);
            if gave_up {
                self.restore_at = Instant::now() + RETRY;
            }
            batch = Batch { outcomes: self.outcome_records(), ..Batch::default() };
            if !goes_on || (was_alone && !gave_up) || batch.is_empty() {
                break Err(error);
            }
            flush = true;
        };
        for (promise, error) in refused {
            promise.keep(Err(error));
        }
        ended
    }

    /// While the disk is full, a newest segment that is mostly dead is followed by the next, so that it can be deleted.
    fn leave_dead_segment(&mut self) {
        if self.writer.as_ref().is_some_and(Writer::is_dirty) {
            return;
        }
        let is_worth_it = {
            let index = self.shared.index();
            let is_mostly_dead = |newest: &Segment| {
                newest.bytes > 2 * newest.live_bytes && newest.bytes > self.shared.reserve.bytes() / 4
            };
            !index.is_recovering() && index.newest_segment().is_some_and(is_mostly_dead)
        };
        if !is_worth_it {
            return;
        }
        (self.writer, self.unsettled_since) = (None, None);
        // Flushed, because from then on it alone says which numbers were given out.
        let next = begin_segment(&self.shared, &mut self.next_segment)
            .and_then(|mut writer| writer.flush(&*self.shared.disk).map(|_| writer));
        match next {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => {
                self.shared.count(|c| &c.failures, 1);
                tracing::warn!(%error, "no room for another segment of the log yet");
            }
        }
    }

    fn current_segment(&self) -> Option<u32> {
        self.writer.as_ref().map(|writer| writer.number)
    }

    fn take_commits(&mut self) -> VecDeque<PendingCommit> {
        let mut bytes = 0;
        let fitting = self.backlog.iter().take_while(|commit| {
            let fits = bytes < BATCH_BYTES_MAX;
            bytes += commit.record.bytes().len() as u64;
            fits
        });
        let count = fitting.count();
        if count == self.backlog.len() {
            return std::mem::take(&mut self.backlog);
        }
        self.backlog.drain(..count).collect()
    }

    /// Records for all outcomes that are not in the log. Their states are taken from the index: what changed twice is
    /// written once. Without the reserve only those that bring room, or that would cost a duplicate.
    fn outcome_records(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        if self.is_short() {
            self.withhold();
        } else {
            self.unwritten.changed.extend(std::mem::take(&mut self.withheld));
            self.unwritten.standings.extend(std::mem::take(&mut self.withheld_standings));
        }
        self.unwritten.standings.sort_unstable();
        self.unwritten.standings.dedup();
        self.unwritten.changed.sort_unstable();
        self.unwritten.changed.dedup();
        let mut recorded = self.unwritten.recorded.filter(|_| !self.is_short());
        let mut ended = self.unwritten.ended.chunks(ENDED_PER_RECORD);
        let mut changed = self.unwritten.changed.chunks(CHANGED_PER_RECORD);
        let mut standings = self.unwritten.standings.chunks(CHANGED_PER_RECORD);
        loop {
            let (ended, changed) = (ended.next().unwrap_or_default(), changed.next().unwrap_or_default());
            let standings = standings.next().unwrap_or_default();
            if ended.is_empty() && changed.is_empty() && standings.is_empty() && recorded.is_none() {
                return records;
            }
            let index = self.shared.index();
            let (ends, refused, ended) = self.ends(ended);
            let states = changed.iter().filter_map(|(id, i)| Some((*id, index.stored_state(*id, *i)?)));
            let changed: Vec<_> = states.map(|(id, state)| StoredChange { id, state }).collect();
            let standings: Vec<_> = standings.iter().filter_map(|id| index.stored_standing(*id)).collect();
            if ended.is_empty() && changed.is_empty() && standings.is_empty() && recorded.is_none() {
                continue; // all of them ended meanwhile
            }
            let standings = (!standings.is_empty()).then_some(standings);
            let recorded = recorded.take().map(Mark::to_number);
            let meta = stored::write(&StoredOutcomes { ended, changed, ends, refused, recorded, standings });
            records.push(Record::new(Kind::Outcomes, &meta, &[]));
        }
    }

    /// How these messages ended, which of them were refused, and their numbers. Without the reserve the numbers have to do.
    #[allow(clippy::type_complexity, reason = "said once, taken apart at once")]
    fn ends<'a>(&self, ended: &'a [Ended]) -> (Option<Vec<StoredEnd<'a>>>, Option<Vec<u64>>, Vec<u64>) {
        let is_short = self.is_short();
        let (mut ends, mut refused) = (Vec::new(), Vec::new());
        for Ended { id, how } in ended {
            match how {
                How::Settled(recipients) if !is_short => {
                    let states = recipients.iter().map(|(i, state)| StoredState::of_end(*i, state)).collect();
                    ends.push(StoredEnd { id: *id, states });
                }
                How::Refused => refused.push(*id),
                How::Settled(_) | How::Known => {}
            }
        }
        let numbers = ended.iter().map(|ended| ended.id).collect();
        ((!ends.is_empty()).then_some(ends), (!refused.is_empty()).then_some(refused), numbers)
    }

    fn withhold(&mut self) {
        let shared = Arc::clone(&self.shared);
        let (index, withheld) = (shared.index(), &mut self.withheld);
        let pending = state_code(State::Pending);
        self.unwritten.changed.retain(|(id, i)| {
            let ends = index.stored_state(*id, *i).is_some_and(|state| state.state != pending);
            if !ends && index.is_live(*id) {
                withheld.insert((*id, *i));
            }
            ends
        });
        let standings = std::mem::take(&mut self.unwritten.standings);
        self.withheld_standings.extend(standings);
        self.withheld_standings.retain(|id| index.is_live(*id));
    }

    /// Appends the batch, flushed if that is wanted. Outcomes come first: see the proof in [`crate::compaction`].
    fn write(&mut self, batch: &mut Batch, flush: bool) -> Result<Written, Failure> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(
                begin_segment(&self.shared, &mut self.next_segment)
                    .map_err(|error| Failure { error, is_clean: true })?,
            ),
        };
        let start = writer.bytes;
        let appended = match batch.is_empty() {
            false => writer.append(batch.records()),
            true if writer.is_unmarked() => {
                writer.mark(Record::new(Kind::Outcomes, &stored::write(&StoredOutcomes::default()), &[]))
            }
            true => Ok(()),
        };
        if let Err(error) = appended {
            let is_clean = disk::has_no_room(&error) && writer.take_back().is_ok();
            // A mark can be done without, a flush cannot.
            if !(is_clean && batch.is_empty()) {
                return Err(Failure { error, is_clean });
            }
        }
        let is_full = writer.bytes >= self.shared.options.segment_bytes.min(SEGMENT_BYTES_MAX);
        let is_flushed = flush || is_full;
        if is_flushed {
            let began = Instant::now();
            let flushed = writer.flush(&*self.shared.disk);
            self.shared.counters.flush_times.note(began.elapsed());
            let flushes = flushed.map_err(|error| Failure { error, is_clean: false })?;
            self.shared.count(|c| &c.flushes, flushes);
        }
        let written = Written { segment: writer.number, start, end: writer.bytes, is_flushed };
        self.shared.index().set_segment_bytes(writer.number, writer.bytes);
        if is_full {
            self.writer = None;
        }
        Ok(written)
    }

    /// Makes what was written visible, then keeps the promises.
    fn succeed(&mut self, batch: Batch, written: Written) {
        self.retry_at = None;
        let says_something =
            !batch.commits.is_empty() || !self.unwritten.ended.is_empty() || !self.unwritten.changed.is_empty();
        self.unflushed.append(std::mem::take(&mut self.unwritten));
        if written.is_flushed {
            let flushed = std::mem::take(&mut self.unflushed);
            if let Some(mark) = flushed.recorded {
                self.shared.index().set_recorded(mark);
            }
            self.shared.bodies.push_unneeded(flushed.bodies);
            let is_unmarked = self.writer.as_ref().is_some_and(Writer::is_unmarked);
            self.unsettled_since = is_unmarked.then(Instant::now);
        } else {
            self.unsettled_since.get_or_insert_with(Instant::now);
        }
        let mut promises: Vec<(Promise, _)> = Vec::with_capacity(batch.commits.len());
        let mut offset = written.start + batch.outcomes.iter().map(|record| record.bytes().len() as u64).sum::<u64>();
        let mut place = |record: &Record| {
            let bytes = record.bytes().len() as u64;
            offset += bytes;
            Location { segment: written.segment, offset: offset - bytes, bytes }
        };
        self.shared.count(|c| &c.commits, batch.commits.len() as u64);
        let mut index = self.shared.index();
        if says_something {
            index.set_mark(Mark::at(written.segment, written.end));
        }
        for PendingCommit { id, record, envelope, body, promise, charge: _charge } in batch.commits {
            let location = place(&record);
            let recipients = u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
            let is_inline = body.is_none();
            index.insert(id.0, location, recipients, body.map(|stored| Body { stored, is_verified: true }));
            if is_inline {
                let memory_bytes = record.memory_bytes();
                let content = Content::in_memory(record.into_content());
                index.cache.insert(id.0, Cached { envelope, content, memory_bytes });
            }
            promises.push((promise, id));
        }
        for Copy { id, from, record } in &batch.copies {
            let location = place(record);
            index.relocate(*id, *from, location);
        }
        drop(index);
        for (promise, id) in promises {
            promise.keep(Ok(id));
        }
    }

    /// Returns whom to tell that their messages may be on the disk, and are refused.
    fn fail(&mut self, batch: Batch, Failure { error, is_clean }: &Failure) -> Vec<(Promise, CommitError)> {
        self.shared.count(|c| &c.failures, 1);
        tracing::error!(
            %error,
            refused = batch.commits.len(),
            "the log of the spool could not be written: messages are refused until it can"
        );
        self.retry_at = Some(Instant::now() + RETRY);
        if *is_clean {
            self.refuse(batch.commits, error);
            return Vec::new();
        }
        self.unsettled_since = None;
        // What was not flushed may be lost with the segment: it is written again to the next.
        let again = std::mem::take(&mut self.unflushed);
        self.unwritten.append(again);
        if let Some(writer) = self.writer.take() {
            let bytes = writer.file.bytes().unwrap_or(writer.bytes);
            self.shared.index().set_segment_bytes(writer.number, bytes);
            let refused = batch.commits.iter().map(|commit| Ended { id: commit.id.0, how: How::Refused });
            self.unwritten.ended.extend(refused);
        }
        let bodies = batch.commits.iter().filter(|commit| commit.body.is_some());
        self.unwritten.bodies.extend(bodies.map(|commit| commit.id.0));
        batch.commits.into_iter().map(|commit| (commit.promise, CommitError::of(error))).collect()
    }

    /// Refuses commits of which nothing is in the log.
    fn refuse(&self, commits: VecDeque<PendingCommit>, error: &io::Error) {
        let bodies = commits.iter().filter(|commit| commit.body.is_some());
        self.shared.bodies.push_unneeded(bodies.map(|commit| commit.id.0).collect());
        for commit in commits {
            commit.promise.keep(Err(CommitError::of(error)));
        }
    }
}

fn begin_segment(shared: &Shared, next_segment: &mut u32) -> io::Result<Writer> {
    let number = *next_segment;
    // A number is used once, whatever becomes of the file.
    *next_segment = number.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
    let next_id = shared.next_id.load(Ordering::Relaxed);
    let writer = Writer::create(&*shared.disk, &shared.folders.log, number, next_id)?;
    let segment = Segment::new(writer.salt, FIRST_RECORD, Some(Arc::clone(&writer.file)));
    shared.index().add_segment(number, segment);
    Ok(writer)
}

/// What one write and one flush carry, in this order.
#[derive(Debug, Default)]
struct Batch {
    outcomes: Vec<Record>,
    commits: VecDeque<PendingCommit>,
    copies: Vec<Copy>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.outcomes.is_empty() && self.commits.is_empty() && self.copies.is_empty()
    }

    fn records(&mut self) -> impl Iterator<Item = &mut Record> {
        let commits = self.commits.iter_mut().map(|commit| &mut commit.record);
        self.outcomes.iter_mut().chain(commits).chain(self.copies.iter_mut().map(|copy| &mut copy.record))
    }
}

/// Why a batch was not written.
#[derive(Debug)]
struct Failure {
    error: io::Error,
    /// Nothing of it is on the disk, and the segment, if there is one, is as before.
    is_clean: bool,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug)]
struct Written {
    segment: u32,
    start: u64,
    end: u64,
    is_flushed: bool,
}
