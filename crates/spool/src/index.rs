//! What is live, where it lies, and what became of its recipients: the log's meaning, held in memory.
//!
//! Disposable: recovery rebuilds it from the log. A pending message costs under 100 bytes here, whatever its size.
//! Does no I/O but opening a segment for reading.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque, btree_map};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use crate::cache::Cache;
use crate::disk::{Disk, File};
use crate::mark::Mark;
use crate::message::{Outcome, RecipientState, Standing, State};
use crate::record::ALIGNMENT;
use crate::segment;
use crate::stored::{StoredBody, StoredError, StoredStanding, StoredState, state_code, state_from_code};

/// Segments kept open for reading.
const OPEN_SEGMENTS_MAX: usize = 128;
/// Replies remembered so that equal ones share their memory: a next hop that is down says the same to everybody.
const SHARED_REPLIES: usize = 16;

/// Where a message record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub segment: u32,
    pub offset: u64,
    pub bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Index {
    pub cache: Cache,
    /// A tree and not a hash table: it never has to be rebuilt while a session waits, and it is in the order of the
    /// numbers.
    messages: BTreeMap<u64, Entry>,
    /// Messages whose content lies in a body file; few.
    bodies: HashMap<u64, Body>,
    /// How messages stand that do not stand as on arrival; few, or an administrator has held back many.
    standings: HashMap<u64, Stood>,
    segments: BTreeMap<u32, Segment>,
    replies: VecDeque<Arc<str>>,
    totals: Totals,
    /// Messages of which only a damaged record was seen, and no end: few.
    missed: BTreeSet<u64>,
    /// Messages of former runs may still be missing here, so that no segment is known to be dead.
    is_recovering: bool,
    /// Recording elsewhere what the log says; `None`: nobody does.
    recording: Option<Recording>,
    /// The end of the last batch that said something of messages.
    mark: Mark,
}

/// What is known of somebody who records elsewhere what the log says, and for whom dead segments are held a while.
#[derive(Clone, Copy, Debug)]
struct Recording {
    /// What stands before this is recorded.
    recorded: Mark,
    /// Beyond so many bytes more than the log has otherwise nobody is waited for.
    held_bytes_max: u64,
}

/// The messages of another index, on their way into this one; in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Messages {
    entries: btree_map::IntoIter<u64, Entry>,
    bodies: HashMap<u64, Body>,
    standings: HashMap<u64, Stood>,
}

/// A [`Standing`], and how often it changed so far.
#[derive(Clone, Debug)]
struct Stood {
    changes: u32,
    standing: Standing,
}

/// Sums that would be too dear to add up on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub messages: u64,
    pub segments: u64,
    /// Bytes of live records.
    pub live_log_bytes: u64,
    /// Bytes of segment files.
    pub log_bytes: u64,
    /// Bytes of body files.
    pub body_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    segment: u32,
    /// In units of [`ALIGNMENT`], as is `units`, the length.
    at: u32,
    units: u32,
    /// Recipients pending.
    pending: u32,
    /// One for each recipient; `None` while none of them had an outcome.
    states: Option<Box<[Compact]>>,
}

/// A [`RecipientState`] whose reply may be shared.
#[derive(Clone, Debug)]
struct Compact {
    state: State,
    attempts: u32,
    last_reply: Option<Arc<str>>,
    last_attempt_ms: u64,
    next_attempt_ms: u64,
    delay_told: bool,
}

/// A body file in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    pub stored: StoredBody,
    /// Whether this process wrote the file or has checked it.
    pub is_verified: bool,
}

/// A segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub salt: u64,
    pub bytes: u64,
    pub live_bytes: u64,
    /// Never deleted while this process runs: it cannot be read, or the disk refused to delete it.
    pub is_pinned: bool,
    /// Damaged ranges that could not be copied away yet.
    pub damage: Vec<Damage>,
    file: Option<Arc<dyn File>>,
}

impl Segment {
    pub fn new(salt: u64, bytes: u64, file: Option<Arc<dyn File>>) -> Segment {
        Segment { salt, bytes, live_bytes: 0, is_pinned: false, damage: Vec::new(), file }
    }
}

/// A damaged range of a segment that has to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The name that its copy is to have.
    pub name: String,
    pub offset: u64,
    pub bytes: u64,
}

/// What [`Index::settle`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// There is no such message.
    Unknown,
    /// The message goes on; these recipients changed.
    Changed(Vec<u32>),
    /// Nobody is pending any more: the message is gone.
    Ended {
        has_body: bool,
        /// How each of its recipients ended.
        recipients: Vec<(u32, RecipientState)>,
    },
}

/// A message that compaction has to move.
#[derive(Debug)]
pub(crate) struct Movable {
    pub id: u64,
    pub location: Location,
}

impl Index {
    pub fn new(cache_bytes_max: usize) -> Index {
        Index {
            cache: Cache::new(cache_bytes_max),
            messages: BTreeMap::new(),
            bodies: HashMap::new(),
            standings: HashMap::new(),
            segments: BTreeMap::new(),
            replies: VecDeque::with_capacity(SHARED_REPLIES),
            totals: Totals::default(),
            missed: BTreeSet::new(),
            is_recovering: false,
            recording: None,
            mark: Mark::default(),
        }
    }

    /// Dead segments are held until somebody says that what they say is recorded elsewhere.
    pub fn hold_for_recording(&mut self, held_bytes_max: u64) {
        self.recording = Some(Recording { recorded: Mark::default(), held_bytes_max });
    }

    /// What stands before `mark` is recorded elsewhere, and the log says so.
    pub fn set_recorded(&mut self, mark: Mark) {
        if let Some(recording) = &mut self.recording {
            recording.recorded = recording.recorded.max(mark);
        }
    }

    /// What the log says up to here is known to whoever asks now.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    pub fn set_mark(&mut self, mark: Mark) {
        self.mark = mark;
    }

    /// Whether a segment may say something that is not recorded elsewhere.
    pub fn is_unrecorded(&self, number: u32) -> bool {
        self.recording.is_some_and(|recording| number >= recording.recorded.segment())
    }

    /// Whether a dead segment is held for that. Not for ever: `bytes_usual` is what the log takes without it.
    pub fn is_held(&self, number: u32, bytes_usual: u64) -> bool {
        let held_bytes_max = self.recording.map_or(0, |recording| recording.held_bytes_max);
        self.is_unrecorded(number) && self.totals.log_bytes <= bytes_usual.saturating_add(held_bytes_max)
    }

    /// Whether nothing in the oldest segment is live, but it is still to be recorded.
    pub fn awaits_recording(&self) -> bool {
        self.dead_segment().is_some_and(|number| self.is_unrecorded(number))
    }

    /// A damaged record of this message was seen, and no other so far.
    pub fn miss(&mut self, id: u64) {
        self.missed.insert(id);
    }

    /// The message has ended, or a good copy of it was found: nobody needs the damaged record.
    pub fn miss_no_longer(&mut self, id: u64) {
        if !self.missed.is_empty() {
            self.missed.remove(&id);
        }
    }

    /// Whether all that is known of this message is a damaged record.
    pub fn misses(&self, id: u64) -> bool {
        self.missed.contains(&id)
    }

    /// An index of segments whose messages are still to be found out: until [`Index::end_recovery`] no segment is dead.
    pub fn of_segments(cache_bytes_max: usize, segments: Vec<(u32, Segment)>) -> Index {
        let mut index = Index { is_recovering: true, ..Index::new(cache_bytes_max) };
        segments.into_iter().for_each(|(number, segment)| index.add_segment(number, segment));
        index
    }

    /// All messages of former runs are here.
    pub fn end_recovery(&mut self) {
        self.is_recovering = false;
    }

    /// Whether messages of former runs may be missing.
    pub fn is_recovering(&self) -> bool {
        self.is_recovering
    }

    /// Everything in it, to be taken over by another index.
    pub fn into_messages(self) -> Messages {
        Messages { entries: self.messages.into_iter(), bodies: self.bodies, standings: self.standings }
    }

    /// Takes over up to `count_max` messages, whose segments must be known. Says which.
    pub fn adopt(&mut self, from: &mut Messages, count_max: usize) -> Vec<u64> {
        let mut adopted = Vec::with_capacity(count_max.min(from.entries.len()));
        for (id, entry) in from.entries.by_ref().take(count_max) {
            self.count(entry.location(), Counting::In);
            if let Some(body) = from.bodies.remove(&id) {
                self.totals.body_bytes += body.stored.bytes;
                self.bodies.insert(id, body);
            }
            if let Some(stood) = from.standings.remove(&id) {
                self.standings.insert(id, stood);
            }
            self.messages.insert(id, entry);
            adopted.push(id);
        }
        adopted
    }

    pub fn totals(&self) -> Totals {
        Totals { messages: self.messages.len() as u64, segments: self.segments.len() as u64, ..self.totals }
    }

    pub fn live(&self) -> impl Iterator<Item = u64> {
        self.messages.keys().copied()
    }

    /// The next live messages behind the number `last`, or from the first on, in the order of their numbers.
    pub fn live_after(&self, last: Option<u64>, count_max: usize) -> impl Iterator<Item = u64> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.messages.range((from, Bound::Unbounded)).take(count_max).map(|(id, _)| *id)
    }

    pub fn is_live(&self, id: u64) -> bool {
        self.messages.contains_key(&id)
    }

    /// Enters a message whose recipients are all pending. Its segment must be known.
    pub fn insert(&mut self, id: u64, location: Location, recipients: u32, body: Option<Body>) {
        let entry = Entry {
            segment: location.segment,
            at: units(location.offset),
            units: units(location.bytes),
            pending: recipients,
            states: None,
        };
        self.count(location, Counting::In);
        if let Some(body) = body {
            self.totals.body_bytes += body.stored.bytes;
            self.bodies.insert(id, body);
        }
        if let Some(before) = self.messages.insert(id, entry) {
            self.count(before.location(), Counting::Out);
        }
    }

    /// How many bytes a message takes on the disk: its content has no more.
    pub fn bytes(&self, id: u64) -> Option<u64> {
        let body = self.bodies.get(&id).map_or(0, |body| body.stored.bytes);
        self.location(id).map(|location| location.bytes + body)
    }

    /// Where a message's record lies.
    pub fn location(&self, id: u64) -> Option<Location> {
        self.messages.get(&id).map(Entry::location)
    }

    /// Says that a message now lies elsewhere; has no effect if it has moved or ended since it was at `before`.
    pub fn relocate(&mut self, id: u64, before: Location, now: Location) {
        let Some(entry) = self.messages.get_mut(&id).filter(|entry| entry.location() == before) else { return };
        (entry.segment, entry.at, entry.units) = (now.segment, units(now.offset), units(now.bytes));
        self.count(before, Counting::Out);
        self.count(now, Counting::In);
    }

    /// Takes a message out. Returns whether it had a body file.
    pub fn remove(&mut self, id: u64) -> Option<bool> {
        let entry = self.messages.remove(&id)?;
        self.count(entry.location(), Counting::Out);
        self.cache.remove(id);
        if !self.standings.is_empty() {
            self.standings.remove(&id);
        }
        let body = self.bodies.remove(&id);
        if let Some(body) = body {
            self.totals.body_bytes -= body.stored.bytes;
        }
        Some(body.is_some())
    }

    pub fn body(&self, id: u64) -> Option<Body> {
        self.bodies.get(&id).copied()
    }

    pub fn bodies(&self) -> impl Iterator<Item = (u64, Body)> {
        self.bodies.iter().map(|(id, body)| (*id, *body))
    }

    pub fn set_body_verified(&mut self, id: u64) {
        if let Some(body) = self.bodies.get_mut(&id) {
            body.is_verified = true;
        }
    }

    /// Applies outcomes. An outcome for a recipient that is not pending, or that does not exist, has no effect.
    pub fn settle(&mut self, id: u64, outcomes: Vec<(u32, Outcome)>) -> Settled {
        let Some(entry) = self.messages.get_mut(&id) else { return Settled::Unknown };
        // The common case needs no states.
        let ends_at_once =
            entry.pending == 1 && entry.states.is_none() && outcomes.iter().any(|(i, o)| *i == 0 && o.is_end());
        let mut ended = Vec::new();
        if ends_at_once {
            let end = outcomes.into_iter().find(|(i, outcome)| *i == 0 && outcome.is_end());
            ended.extend(end.map(|(i, outcome)| (i, RecipientState::ended_by(outcome))));
        } else {
            let states = entry.states.get_or_insert_with(|| fresh(entry.pending));
            let mut changed = Vec::with_capacity(outcomes.len());
            let mut removed_ms = None;
            for (i, outcome) in outcomes {
                if let Outcome::Removed { time_ms } = outcome {
                    removed_ms = Some(time_ms);
                }
                let Some(state) = states.get_mut(i as usize).filter(|state| state.state == State::Pending) else {
                    continue;
                };
                state.take(outcome, &mut self.replies);
                if state.state != State::Pending {
                    entry.pending -= 1;
                }
                changed.push(i);
            }
            if entry.pending > 0 {
                return Settled::Changed(changed);
            }
            ended.extend((0..).zip(states.iter().map(Compact::state)));
            for (_, state) in &mut ended {
                if let (State::Removed, Some(time_ms)) = (state.state, removed_ms) {
                    state.last_attempt_ms = time_ms;
                }
            }
        }
        let has_body = self.remove(id).unwrap_or(false);
        Settled::Ended { has_body, recipients: ended }
    }

    /// The states of a message's recipients.
    pub fn states(&self, id: u64) -> Option<Vec<RecipientState>> {
        let entry = self.messages.get(&id)?;
        Some(match &entry.states {
            Some(states) => states.iter().map(Compact::state).collect(),
            None => vec![Compact::FRESH.state(); entry.pending as usize],
        })
    }

    /// One recipient's state as the disk writes it; `None` if the message has ended.
    pub fn stored_state(&self, id: u64, index: u32) -> Option<StoredState<'_>> {
        self.messages.get(&id)?.states.as_ref()?.get(index as usize).map(|state| state.store(index))
    }

    /// All recipients' states that differ from those of a new message.
    pub fn stored_states(&self, id: u64) -> Vec<StoredState<'_>> {
        let states = self.messages.get(&id).and_then(|entry| entry.states.as_deref()).unwrap_or_default();
        (0..).zip(states).filter(|(_, state)| !state.is_fresh()).map(|(index, state)| state.store(index)).collect()
    }

    /// Applies a state that was read from the log. States are whole, an end is final and attempts only grow, so that
    /// the order in which copies and outcomes were written does not matter. Ends the message if nobody is pending.
    pub fn restore(&mut self, id: u64, stored: &StoredState<'_>) -> Result<(), StoredError> {
        let state = state_from_code(stored.state).ok_or(StoredError::Value("recipient state"))?;
        let Some(entry) = self.messages.get_mut(&id) else { return Ok(()) };
        let states = entry.states.get_or_insert_with(|| fresh(entry.pending));
        let Some(known) = states.get_mut(stored.index as usize) else {
            return Err(StoredError::Value("recipient"));
        };
        if known.state != State::Pending || (state == State::Pending && stored.attempts < known.attempts) {
            known.delay_told |= stored.delay_told == Some(true);
            return Ok(());
        }
        *known = Compact {
            state,
            attempts: stored.attempts,
            last_reply: stored.last_reply.map(|reply| share(&mut self.replies, reply)),
            last_attempt_ms: stored.last_attempt_ms,
            next_attempt_ms: stored.next_attempt_ms,
            delay_told: known.delay_told || stored.delay_told == Some(true),
        };
        if state != State::Pending {
            entry.pending -= 1;
            if entry.pending == 0 {
                self.remove(id);
            }
        }
        Ok(())
    }

    /// How a message stands as a whole; `None` if it has ended.
    pub fn standing(&self, id: u64) -> Option<Standing> {
        self.is_live(id).then(|| self.standings.get(&id).map(|stood| stood.standing.clone()).unwrap_or_default())
    }

    /// Those that do not stand as on arrival.
    pub fn standings(&self) -> impl Iterator<Item = (u64, &Standing)> {
        self.standings.iter().filter(|(_, stood)| !stood.standing.is_usual()).map(|(id, stood)| (*id, &stood.standing))
    }

    /// Changes how a message stands. Says whether that is something new; no if the message has ended.
    pub fn set_standing(&mut self, id: u64, standing: Standing) -> bool {
        if self.standing(id).is_none_or(|known| known == standing) {
            return false;
        }
        let stood = self.standings.entry(id).or_insert(Stood { changes: 0, standing: Standing::default() });
        *stood = Stood { changes: stood.changes.saturating_add(1), standing };
        true
    }

    /// How a message stands, as the disk writes it; `None` if it has ended, or stands as on arrival and always did.
    pub fn stored_standing(&self, id: u64) -> Option<StoredStanding<'_>> {
        let Stood { changes, standing } = self.standings.get(&id)?;
        Some(StoredStanding::new(id, *changes, standing))
    }

    /// Applies a standing that was read from the log. Which of several holds does not depend on the order of reading.
    pub fn restore_standing(&mut self, stored: &StoredStanding<'_>) -> Result<(), StoredError> {
        let standing = stored.read()?;
        let is_older = self.standings.get(&stored.id).is_some_and(|known| stored.changes < known.changes);
        if self.is_live(stored.id) && !is_older {
            self.standings.insert(stored.id, Stood { changes: stored.changes, standing });
        }
        Ok(())
    }

    pub fn add_segment(&mut self, number: u32, segment: Segment) {
        self.totals.log_bytes += segment.bytes;
        self.segments.insert(number, segment);
    }

    pub fn remove_segment(&mut self, number: u32) {
        if let Some(segment) = self.segments.remove(&number) {
            self.totals.log_bytes -= segment.bytes;
        }
    }

    pub fn set_segment_bytes(&mut self, number: u32, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            self.totals.log_bytes = self.totals.log_bytes - segment.bytes + bytes;
            segment.bytes = bytes;
        }
    }

    /// Corrects what every record of a segment repeats.
    pub fn set_salt(&mut self, number: u32, salt: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.salt = salt;
        }
    }

    pub fn pin(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.is_pinned = true;
        }
    }

    /// Notes damage that could not be copied away.
    pub fn add_damage(&mut self, number: u32, damage: Damage) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.damage.push(damage);
        }
    }

    /// A segment by its number.
    pub fn segment(&self, number: u32) -> Option<&Segment> {
        self.segments.get(&number)
    }

    /// All segments, in the order of their numbers.
    pub fn segments(&self) -> impl Iterator<Item = (u32, &Segment)> {
        self.segments.iter().map(|(number, segment)| (*number, segment))
    }

    /// The segment with the lowest number.
    pub fn oldest_segment(&self) -> Option<(u32, &Segment)> {
        self.segments.first_key_value().map(|(number, segment)| (*number, segment))
    }

    /// The segment with the highest number.
    pub fn newest_segment(&self) -> Option<&Segment> {
        self.segments.last_key_value().map(|(_, segment)| segment)
    }

    /// The oldest segment if nothing in it is needed any more, which nobody knows before recovery is over. Never the
    /// only one: message and segment numbers go on above those that the newest segment names, so that none is ever
    /// given twice.
    pub fn dead_segment(&self) -> Option<u32> {
        let (number, oldest) = self.oldest_segment().filter(|_| self.segments.len() > 1 && !self.is_recovering)?;
        (oldest.live_bytes == 0 && !oldest.is_pinned).then_some(number)
    }

    /// A segment's salt and its file, opened if need be.
    pub fn open_segment(&mut self, number: u32, disk: &dyn Disk, log: &Path) -> io::Result<(u64, Arc<dyn File>)> {
        let open = |segment: &Segment| segment.file.as_ref().map(|file| (segment.salt, Arc::clone(file)));
        if let Some(opened) = self.segments.get(&number).and_then(open) {
            return Ok(opened);
        }
        if self.segments.values().filter(|segment| segment.file.is_some()).count() >= OPEN_SEGMENTS_MAX
            && let Some(other) = self.segments.values_mut().find(|segment| segment.file.is_some())
        {
            other.file = None;
        }
        let segment = self.segments.get_mut(&number).ok_or(io::ErrorKind::NotFound)?;
        let file = disk.open(&log.join(segment::file_name(number)))?;
        segment.file = Some(Arc::clone(&file));
        Ok((segment.salt, file))
    }

    /// Live messages of a segment with numbers from `from` on, up to about `bytes_max` of records, looking at no
    /// more than `visit_max` messages. The second value is where to go on; `None` after the last message.
    pub fn movable(&self, segment: u32, from: u64, bytes_max: u64, visit_max: usize) -> (Vec<Movable>, Option<u64>) {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut messages = self.messages.range((Bound::Included(from), Bound::Unbounded));
        for (id, entry) in messages.by_ref().take(visit_max) {
            if entry.segment == segment {
                let location = entry.location();
                bytes += location.bytes;
                found.push(Movable { id: *id, location });
                if bytes >= bytes_max {
                    break;
                }
            }
        }
        (found, messages.next().map(|(id, _)| *id))
    }

    fn count(&mut self, location: Location, counting: Counting) {
        let Some(segment) = self.segments.get_mut(&location.segment) else { return };
        match counting {
            Counting::In => {
                segment.live_bytes += location.bytes;
                self.totals.live_log_bytes += location.bytes;
            }
            Counting::Out => {
                segment.live_bytes -= location.bytes;
                self.totals.live_log_bytes -= location.bytes;
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Counting {
    In,
    Out,
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / ALIGNMENT).expect("segments stay below 32 GiB")
}

fn fresh(recipients: u32) -> Box<[Compact]> {
    vec![Compact::FRESH; recipients as usize].into()
}

fn share(replies: &mut VecDeque<Arc<str>>, reply: &str) -> Arc<str> {
    if let Some(known) = replies.iter().find(|known| known.as_ref() == reply) {
        return Arc::clone(known);
    }
    if replies.len() == SHARED_REPLIES {
        replies.pop_front();
    }
    let shared: Arc<str> = reply.into();
    replies.push_back(Arc::clone(&shared));
    shared
}

impl Entry {
    fn location(&self) -> Location {
        Location {
            segment: self.segment,
            offset: u64::from(self.at) * ALIGNMENT,
            bytes: u64::from(self.units) * ALIGNMENT,
        }
    }
}

impl Compact {
    const FRESH: Compact = Compact {
        state: State::Pending,
        attempts: 0,
        last_reply: None,
        last_attempt_ms: 0,
        next_attempt_ms: 0,
        delay_told: false,
    };

    fn is_fresh(&self) -> bool {
        self.state == State::Pending && self.attempts == 0 && self.next_attempt_ms == 0 && !self.delay_told
    }

    fn take(&mut self, outcome: Outcome, replies: &mut VecDeque<Arc<str>>) {
        let (state, attempt, next_attempt_ms) = match outcome {
            Outcome::DelayTold => {
                self.delay_told = true;
                return;
            }
            Outcome::Delivered { reply, time_ms } => (State::Delivered, Some((reply, time_ms)), 0),
            Outcome::Deferred { reply, time_ms, next_attempt_ms } => {
                (State::Pending, Some((reply, time_ms)), next_attempt_ms)
            }
            Outcome::Failed { reply, time_ms } => (State::Failed, Some((reply, time_ms)), 0),
            Outcome::Removed { .. } => (State::Removed, None, 0),
        };
        self.state = state;
        self.next_attempt_ms = next_attempt_ms;
        if let Some((reply, time_ms)) = attempt {
            self.attempts = self.attempts.saturating_add(1);
            self.last_reply = Some(share(replies, &reply));
            self.last_attempt_ms = time_ms;
        }
    }

    fn state(&self) -> RecipientState {
        RecipientState {
            state: self.state,
            attempts: self.attempts,
            last_reply: self.last_reply.as_deref().map(Into::into),
            last_attempt_ms: self.last_attempt_ms,
            next_attempt_ms: self.next_attempt_ms,
            delay_told: self.delay_told,
        }
    }

    fn store(&self, index: u32) -> StoredState<'_> {
        StoredState {
            index,
            state: state_code(self.state),
            attempts: self.attempts,
            last_reply: self.last_reply.as_deref(),
            last_attempt_ms: self.last_attempt_ms,
            next_attempt_ms: self.next_attempt_ms,
            delay_told: self.delay_told.then_some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Location = Location { segment: 1, offset: 128, bytes: 4096 };

    fn index() -> Index {
        let mut index = Index::new(0);
        index.add_segment(1, Segment::new(0, 1 << 20, None));
        index
    }

    fn delivered() -> Outcome {
        Outcome::Delivered { reply: "250 2.0.0 OK".into(), time_ms: 1 }
    }

    #[test]
    fn a_pending_message_costs_less_than_a_hundred_bytes() {
        // A node of the tree has room for 11 entries and is at least half full (5 of 11 in the worst case, 6 of 11
        // after ascending insertion), plus a twelfth of inner nodes with 12 pointers each.
        let entry = size_of::<u64>() + size_of::<Entry>();
        let node = 11 * entry + 16;
        let per_message = node as f64 / 6.0 * (1.0 + 1.0 / 6.0) + 12.0 * 8.0 / 36.0;
        assert_eq!(entry, 40);
        assert!(per_message < 100.0, "{per_message}");
    }

    #[test]
    fn outcomes_end_a_message_when_the_last_recipient_is_not_pending() {
        let mut index = index();
        index.insert(7, AT, 2, None);
        assert_eq!(index.settle(7, vec![(1, delivered()), (9, delivered())]), Settled::Changed(vec![1]));
        assert_eq!(index.settle(7, vec![(1, delivered())]), Settled::Changed(vec![]), "an end is final");
        let deferred = Outcome::Deferred { reply: "451".into(), time_ms: 2, next_attempt_ms: 3 };
        assert_eq!(index.settle(7, vec![(0, deferred)]), Settled::Changed(vec![0]));
        let states = index.states(7).expect("it is live");
        assert_eq!((states[0].state, states[0].attempts, states[0].next_attempt_ms), (State::Pending, 1, 3));
        assert_eq!((states[1].state, states[1].attempts), (State::Delivered, 1));
        let Settled::Ended { has_body: false, recipients } =
            index.settle(7, vec![(0, Outcome::Removed { time_ms: 4 })])
        else {
            panic!("nobody is pending any more")
        };
        let ends = recipients.iter().map(|(i, end)| (*i, end.state, end.last_reply.as_deref(), end.last_attempt_ms));
        let expected = [(0, State::Removed, Some("451"), 4), (1, State::Delivered, Some("250 2.0.0 OK"), 1)];
        assert_eq!(ends.collect::<Vec<_>>(), expected);
        assert_eq!(index.settle(7, vec![(0, delivered())]), Settled::Unknown);
        assert_eq!(index.totals().live_log_bytes, 0);
    }

    #[test]
    fn states_read_from_the_log_may_come_twice_and_out_of_order() {
        let mut source = index();
        source.insert(7, AT, 3, None);
        let deferred = |n| Outcome::Deferred { reply: "451".into(), time_ms: n, next_attempt_ms: n };
        let mut log = Vec::new();
        for (i, outcome) in [(0, deferred(1)), (0, deferred(2)), (1, delivered())] {
            source.settle(7, vec![(i, outcome)]);
            let stored = source.stored_state(7, i).expect("it is live");
            log.push((stored.index, stored.state, stored.attempts, stored.next_attempt_ms));
        }
        for order in [vec![0, 1, 2], vec![1, 0, 2, 0], vec![2, 1, 0, 1, 2]] {
            let mut copy = index();
            copy.insert(7, AT, 3, None);
            for i in order {
                let (index, state, attempts, next_attempt_ms) = log[i];
                let stored = StoredState {
                    index,
                    state,
                    attempts,
                    last_reply: None,
                    last_attempt_ms: 0,
                    next_attempt_ms,
                    delay_told: None,
                };
                copy.restore(7, &stored).expect("it is legal");
            }
            let states = copy.states(7).expect("it is live");
            assert_eq!((states[0].attempts, states[0].next_attempt_ms), (2, 2));
            assert_eq!(states[1].state, State::Delivered);
            assert_eq!(states[2], Compact::FRESH.state());
        }
    }

    #[test]
    fn equal_replies_share_their_memory() {
        let mut replies = VecDeque::new();
        let first = share(&mut replies, "451 later");
        for i in 0..SHARED_REPLIES - 1 {
            share(&mut replies, &i.to_string());
        }
        assert!(Arc::ptr_eq(&first, &share(&mut replies, "451 later")));
        share(&mut replies, "one more");
        assert!(!Arc::ptr_eq(&first, &share(&mut replies, "451 later")), "only the last few are remembered");
    }
}
