//! The search: passports, what happened beside them, and refused attempts, newest first, a page at a time.
//!
//! Newest first means: by the time at which a thing began, which is the time that everybody shows. An entry's key is that
//! time and a number that tells it from others of the same moment; a page is the greatest keys below the last one of the page
//! before, so each entry comes once, and what was recorded meanwhile stands above.
//!
//! Records lie in the order in which they were written, which is nearly that of their times. Of each block the earliest and
//! the latest time of its records is known without reading it: blocks are read from the one with the latest record on, until none can hold
//! a greater key than the least one of a full page. Of all that is asked for, the term leads that names the fewest blocks. A message of
//! several parts is found by the first, which says how it came; a later part leads to it only where the first may not have what is
//! asked for, or is kept no more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::fmt;
use std::io;
use std::mem;
use std::time::{Duration, Instant};

use memchr::memchr2_iter;

use super::passport::Passport;
use super::query::{Entry, Lead, Query, Stands};
use super::unconnected;
use crate::passport::event::{Part, Record};
use crate::passport::terms::{self, Term};
use crate::passport::{later_part_of, read};
use crate::segments::{Piece, Records, Segments, Snapshot};
use crate::store::Tracking;
use crate::stored;

/// Most entries of a page.
pub const LIMIT_MAX: usize = 1_000;
/// Parts of one message that are joined; an administrator's patience ends before.
const PARTS_MAX: usize = 4_096;
/// So many numbers of blocks are looked up before it is said which term leads; what is known of the newest segments tells enough.
const NAMED_MAX: usize = 1 << 20;
/// And at most this part of the time of a search is spent on it.
const COUNTING_PART: u32 = 2;
/// So many of the oldest blocks are looked at for the oldest message whose beginning is kept.
const OLDEST_BLOCKS: usize = 8;

/// Where records lie: passports, what happened beside them, refused attempts.
const PASSPORTS: usize = 0;
const OTHERS: usize = 1;
const REFUSALS: usize = 2;

/// Where to search; none while the disk cannot be used.
#[derive(Clone, Debug)]
pub struct Search {
    segments: [Option<Segments>; 3],
}

/// Where an entry stands among all others: newest first is the greatest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    time_ms: u64,
    place: u64,
    /// Tells it from the others of that place.
    number: u64,
}

impl Key {
    /// Above everything of that time and before.
    fn above(time_ms: u64) -> Key {
        Key { time_ms, place: u64::MAX, number: u64::MAX }
    }
}

/// Where a search goes on: below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(Key);

impl Cursor {
    /// Reads what was printed.
    pub fn parse(text: &str) -> Option<Cursor> {
        let mut numbers = text.split('-').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let key = Key { time_ms: next()?, place: next()?, number: next()? };
        numbers.next().is_none().then_some(Cursor(key))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor(Key { time_ms, place, number }) = self;
        write!(f, "{time_ms}-{place}-{number}")
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Where to go on; `None`: that is all.
    pub next: Option<Cursor>,
    /// Whether it ends because the time was over, not because the page is full.
    pub is_cut_short: bool,
}

impl Search {
    /// Searches what was recorded until now: what waits is brought to the files first.
    pub fn of(tracking: &Tracking) -> Search {
        tracking.flush();
        tracking.passports.flush();
        let store = tracking.passports.store();
        Search {
            segments: [store.passports().cloned(), store.others().cloned(), tracking.refusals().segments().cloned()],
        }
    }

    /// Looks for at most `limit` entries, for about as long as `patience`; then the page says where to go on.
    ///
    /// # Errors
    /// When the disk cannot be read. What is damaged is passed over.
    pub fn find(&self, query: &Query, from: Option<Cursor>, limit: usize, patience: Duration) -> io::Result<Page> {
        let (limit, until) = (limit.clamp(1, LIMIT_MAX), Instant::now() + patience);
        let below = from.map_or(Key::above(u64::MAX), |Cursor(key)| key);
        let mut found = Found::default();
        for (place, segments) in self.segments.iter().enumerate() {
            let (Some(segments), Some(leads)) = (segments, leads_of(place, query)) else { continue };
            let (follows, named) = (Follows::Nothing, Vec::new());
            let looking = Looking { place, segments, query, leads, below, limit, until, follows, named };
            let here = looking.look()?;
            found.has_more |= here.has_more;
            found.unread_ms = found.unread_ms.max(here.unread_ms);
            found.kept.extend(here.kept);
        }
        // Of what is as old as the newest that was not looked at, the place is not known yet.
        let is_known = |key: &Key| found.unread_ms.is_none_or(|unread_ms| key.time_ms > unread_ms);
        found.has_more |= found.kept.len() > limit;
        let mut entries = Vec::with_capacity(found.kept.len().min(limit));
        let mut last = None;
        for (key, entry) in found.kept.into_iter().rev().take(limit).take_while(|(key, _)| is_known(key)) {
            last = Some(key);
            entries.push(entry);
        }
        let is_full = entries.len() == limit;
        let next = match (found.unread_ms, is_full) {
            (None, _) => last.filter(|_| found.has_more),
            (Some(_), true) => last,
            (Some(unread_ms), false) => Some(Key::above(unread_ms)),
        };
        if let Some(others) = &self.segments[OTHERS] {
            unconnected::tell(others, &mut entries)?;
        }
        Ok(Page { entries, next: next.map(Cursor), is_cut_short: found.unread_ms.is_some() && !is_full })
    }
}

/// What records of a place must have; `None`: nothing there can be what is asked for.
fn leads_of(place: usize, query: &Query) -> Option<Vec<Lead<'_>>> {
    let settings_only = query.kinds.settings && !query.kinds.others && query.asks_for_times_only();
    match place {
        PASSPORTS => query.may_be_message().then(|| query.leads()),
        OTHERS if settings_only => Some(vec![Lead::of_first(Term::Settings)]),
        // What happened beside messages has no text in common with its terms.
        OTHERS => {
            query.may_be_other().then(|| query.leads().into_iter().map(|lead| Lead { needle: None, ..lead }).collect())
        }
        _ => query.may_be_refusal().then(|| query.leads()),
    }
}

/// What a place has.
#[derive(Default)]
struct Found {
    kept: BTreeMap<Key, Entry>,
    /// Whether something was found or may be found that is older than all that is kept.
    has_more: bool,
    /// The latest time of a record that was not looked at because the time was over.
    unread_ms: Option<u64>,
}

/// Which later parts of a message lead to it.
#[derive(Clone, Copy)]
enum Follows {
    Nothing,
    Everything,
    /// Those of messages before this one: how they came may be kept no more.
    Before(u64),
}

/// A search on its way through one place.
struct Looking<'a> {
    place: usize,
    segments: &'a Segments,
    query: &'a Query,
    /// The one that is followed first.
    leads: Vec<Lead<'a>>,
    below: Key,
    limit: usize,
    until: Instant,
    follows: Follows,
    /// Of the newest segments, what the index says of each lead: it was asked when the leads were compared.
    named: Vec<Vec<Option<Vec<u32>>>>,
}

impl Looking<'_> {
    fn look(mut self) -> io::Result<Found> {
        let all: Vec<u32> = self.leads.iter().flat_map(|lead| lead.either).collect();
        let snapshot = self.segments.snapshot(&all);
        self.follow_fewest(&snapshot)?;
        self.follows = match self.leads.first().map_or(Stands::InFirstIfKept, |lead| lead.stands) {
            _ if self.place != PASSPORTS => Follows::Nothing,
            Stands::Anywhere => Follows::Everything,
            Stands::InFirst => Follows::Nothing,
            Stands::InFirstIfKept => Follows::Before(oldest_begun(&snapshot)?),
        };
        let mut found = Found::default();
        let (mut joined, mut damaged, mut is_begun) = (HashSet::new(), 0, false);
        // Which blocks of a segment are to be read is asked of its index when its turn comes.
        let last_ms = |piece: &Piece| piece.blocks().iter().map(|block| block.last_ms).max().unwrap_or(0);
        let mut pieces: BinaryHeap<(u64, Reverse<usize>)> =
            snapshot.pieces.iter().enumerate().map(|(at, piece)| (last_ms(piece), Reverse(at))).collect();
        let mut blocks: BinaryHeap<(u64, Reverse<usize>, u32)> = BinaryHeap::new();
        loop {
            while let Some((piece_ms, Reverse(at))) = pieces.peek().copied()
                && blocks.peek().is_none_or(|(block_ms, ..)| *block_ms <= piece_ms)
            {
                pieces.pop();
                // Nothing in it is as new as what is kept already.
                if found.is_full(self.limit) && found.least_ms() > piece_ms {
                    found.has_more = true;
                    continue;
                }
                let piece = &snapshot.pieces[at];
                let here = self.blocks(at, piece)?.into_iter();
                blocks.extend(here.map(|block| (piece.blocks()[block as usize].last_ms, Reverse(at), block)));
            }
            let Some((block_ms, Reverse(at), block)) = blocks.pop() else { break };
            if found.is_full(self.limit) && found.least_ms() > block_ms {
                found.has_more = true;
                break;
            }
            // However short the time is, the next page begins further down.
            if is_begun && block_ms < self.below.time_ms && Instant::now() >= self.until {
                found.unread_ms = Some(block_ms);
                break;
            }
            is_begun = true;
            self.block(&snapshot.pieces[at], block, &mut joined, &mut damaged, &mut found)?;
        }
        self.segments.count_damage(damaged);
        Ok(found)
    }

    /// Puts the lead in front that names the fewest blocks: how many have to be read, and what else stands in them, depends on it.
    fn follow_fewest(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        if self.leads.len() < 2 {
            return Ok(());
        }
        let now = Instant::now();
        let until = now + self.until.saturating_duration_since(now) / COUNTING_PART;
        let (mut counts, mut kept) = (vec![0; self.leads.len()], 0);
        for piece in &snapshot.pieces {
            // However short the time is, the newest is looked at.
            if !self.named.is_empty() && (kept >= NAMED_MAX || Instant::now() >= until) {
                break;
            }
            let named = self.named_by_each(piece)?;
            for (count, blocks) in counts.iter_mut().zip(&named) {
                *count += blocks.as_ref().map_or(piece.blocks().len(), Vec::len);
            }
            kept += named.iter().flatten().map(Vec::len).sum::<usize>();
            self.named.push(named);
        }
        // Of equals the first.
        let fewest = counts.iter().enumerate().min_by_key(|(_, count)| **count).map_or(0, |(place, _)| place);
        self.leads.swap(0, fewest);
        for named in &mut self.named {
            named.swap(0, fewest);
        }
        Ok(())
    }

    /// The blocks of a segment that each lead names; `None`: all.
    fn named_by_each(&self, piece: &Piece) -> io::Result<Vec<Option<Vec<u32>>>> {
        self.leads.iter().map(|lead| candidates(piece, lead)).collect()
    }

    /// The blocks of a segment that have to be read. Each segment is asked about once: what was kept of it is handed out.
    fn blocks(&mut self, at: usize, piece: &Piece) -> io::Result<Vec<u32>> {
        let mut named = match self.named.get_mut(at) {
            Some(kept) => mem::take(kept),
            None => self.named_by_each(piece)?,
        }
        .into_iter();
        let mut wanted =
            named.next().flatten().unwrap_or_else(|| (0..piece.blocks().len() as u32).collect::<Vec<u32>>());
        for with_other in named.flatten() {
            // What is in parts has the other terms elsewhere.
            let has_parts = |block: u32| piece.blocks().get(block as usize).is_some_and(|block| block.has_parts);
            wanted.retain(|block| with_other.binary_search(block).is_ok() || has_parts(*block));
        }
        let Query { since_ms, until_ms, .. } = *self.query;
        let follows = matches!(self.follows, Follows::Everything);
        wanted.retain(|block| {
            piece.blocks().get(*block as usize).is_some_and(|block| {
                let is_before = since_ms.is_some_and(|since_ms| block.last_ms < since_ms);
                // A later part leads to a message that came long before.
                let is_after =
                    until_ms.is_some_and(|until_ms| block.first_ms >= until_ms) || block.first_ms > self.below.time_ms;
                !is_before && (!is_after || (follows && block.has_parts))
            })
        });
        Ok(wanted)
    }

    fn block(
        &self,
        piece: &Piece,
        number: u32,
        joined: &mut HashSet<u64>,
        damaged: &mut u64,
        found: &mut Found,
    ) -> io::Result<()> {
        let Some(raw) = piece.read_block(number)? else {
            *damaged += 1;
            return Ok(());
        };
        let needle = self.leads.first().and_then(|lead| lead.needle);
        for (index, record) in (0_u64..).zip(Records(&raw)) {
            if needle.is_some_and(|needle| !holds(record, needle)) {
                continue;
            }
            let place_number = piece.number << 32 | u64::from(number) << 18 | index;
            let Some((entry, number)) = self.entry(record, place_number, joined, damaged, found)? else { continue };
            let key = Key { time_ms: entry.time_ms(), place: self.place as u64, number };
            if key < self.below && self.query.matches(&entry) {
                found.keep(key, entry, self.limit);
            }
        }
        Ok(())
    }

    /// What a record stands for, and the number that tells it from others.
    fn entry(
        &self,
        record: &[u8],
        place_number: u64,
        joined: &mut HashSet<u64>,
        damaged: &mut u64,
        found: &mut Found,
    ) -> io::Result<Option<(Entry, u64)>> {
        if self.place == REFUSALS {
            let Some(decision) = stored::read(record) else { return Ok(None) };
            let number = decision.id.number();
            return Ok(Some((Entry::Refusal(Box::new(decision)), number)));
        }
        if self.place == PASSPORTS && later_part_of(record).is_some_and(|queue_id| !self.follows(queue_id)) {
            return Ok(None);
        }
        let Some(record) = read(record).filter(|record| self.has_first(record)) else { return Ok(None) };
        let whole = terms::is_whole(&record);
        let entry = match record {
            Record::Message(part) => return self.message(part, whole, joined, damaged, found),
            Record::Connection(connection) => Entry::Connection(connection),
            Record::Outbound(outbound) => Entry::Outbound(outbound),
            Record::Settings(settings) => Entry::Settings(settings),
            Record::Pressure(pressure) => Entry::Pressure(pressure),
        };
        Ok(Some((entry, place_number)))
    }

    fn message(
        &self,
        part: Part,
        is_whole: bool,
        joined: &mut HashSet<u64>,
        damaged: &mut u64,
        found: &mut Found,
    ) -> io::Result<Option<(Entry, u64)>> {
        let queue_id = part.queue_id;
        let begun_ms = part.facts.as_ref().filter(|_| !part.is_recovered).map(|facts| facts.time_ms);
        // Joining parts takes long: not where the page would not have it.
        if begun_ms.is_some_and(|ms| found.is_full(self.limit) && ms < found.least_ms()) {
            found.has_more = true;
            return Ok(None);
        }
        if begun_ms.is_some_and(|ms| ms > self.below.time_ms) || !joined.insert(queue_id) {
            return Ok(None);
        }
        let parts = if is_whole { vec![part] } else { self.parts(queue_id, damaged)? };
        Ok(Some((Entry::Message(Passport::join(queue_id, parts)), queue_id)))
    }

    fn has_first(&self, record: &Record) -> bool {
        let Some(Lead { either, .. }) = self.leads.first() else { return true };
        let mut has = false;
        terms::each_term(record, &mut |term| has = has || either.contains(&term.hash()));
        has
    }

    /// Whether a later part leads to its message.
    fn follows(&self, queue_id: u64) -> bool {
        match self.follows {
            Follows::Nothing => false,
            Follows::Everything => true,
            Follows::Before(oldest) => queue_id < oldest,
        }
    }

    /// The parts of a message, oldest first.
    fn parts(&self, queue_id: u64, damaged: &mut u64) -> io::Result<Vec<Part>> {
        let mut parts = Vec::new();
        let hash = Term::QueueId(queue_id).hash();
        for piece in self.segments.snapshot(&[hash]).pieces {
            let all = || (0..piece.blocks().len() as u32).collect::<Vec<u32>>();
            for block in piece.candidates(hash)?.unwrap_or_else(all).into_iter().rev() {
                let Some(raw) = piece.read_block(block)? else {
                    *damaged += 1;
                    continue;
                };
                let here = Records(&raw).filter_map(|record| match read(record) {
                    Some(Record::Message(part)) if part.queue_id == queue_id => Some(part),
                    _ => None,
                });
                let mut here: Vec<Part> = here.collect();
                here.reverse();
                parts.extend(here);
                if parts.len() > PARTS_MAX {
                    break;
                }
            }
        }
        parts.reverse();
        Ok(parts)
    }
}

impl Found {
    fn is_full(&self, limit: usize) -> bool {
        self.kept.len() >= limit
    }

    /// The time of the oldest that is kept.
    fn least_ms(&self) -> u64 {
        self.kept.first_key_value().map_or(0, |(key, _)| key.time_ms)
    }

    fn keep(&mut self, key: Key, entry: Entry, limit: usize) {
        self.kept.insert(key, entry);
        if self.kept.len() > limit {
            self.kept.pop_first();
            self.has_more = true;
        }
    }
}

/// The number of a message such that how those behind it came is kept: numbers ascend, and the oldest segment goes first. Where no
/// beginning is found among the oldest, any may be missing.
fn oldest_begun(snapshot: &Snapshot) -> io::Result<u64> {
    let oldest = snapshot.pieces.iter().rev().flat_map(|piece| {
        let blocks = 0..piece.blocks().len() as u32;
        blocks.map(move |block| (piece, block))
    });
    for (piece, block) in oldest.take(OLDEST_BLOCKS) {
        let Some(raw) = piece.read_block(block)? else { continue };
        let begun = Records(&raw).filter(|record| later_part_of(record).is_none()).filter_map(read);
        let newest = begun.filter_map(|record| match record {
            Record::Message(part) => part.facts.map(|_| part.queue_id),
            _ => None,
        });
        if let Some(newest) = newest.max() {
            return Ok(newest);
        }
    }
    Ok(u64::MAX)
}

/// The blocks that may hold what leads there, ascending; `None`: all may.
fn candidates(piece: &Piece, lead: &Lead<'_>) -> io::Result<Option<Vec<u32>>> {
    let Lead { either: [one, other], since, .. } = *lead;
    // An index of before knows nothing of it.
    if piece.version() < since {
        return Ok(None);
    }
    let blocks = piece.candidates(one)?;
    if one == other {
        return Ok(blocks);
    }
    let (Some(mut blocks), Some(others)) = (blocks, piece.candidates(other)?) else { return Ok(None) };
    blocks.extend(others);
    blocks.sort_unstable();
    blocks.dedup();
    Ok(Some(blocks))
}

/// Whether bytes hold an ASCII text, whatever the case of its letters.
fn holds(bytes: &[u8], needle: &str) -> bool {
    let needle = needle.as_bytes();
    let Some(first) = needle.first() else { return true };
    memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), bytes)
        .any(|at| bytes[at..].get(..needle.len()).is_some_and(|here| here.eq_ignore_ascii_case(needle)))
}
