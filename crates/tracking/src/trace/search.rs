//! The search: segments and the room of refusals, newest first, a page at a time.
//!
//! A message of several parts stands where its newest part with the wanted term stands; the other parts are fetched by its queue id.
//! So each message comes once, however often a search goes on. What was recorded after the first page is left out of
//! the later ones.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use memchr::memchr2_iter;

use super::passport::Passport;
use super::query::{Entry, Hashes, Query, State};
use crate::passport::event::{Part, Record};
use crate::passport::read;
use crate::passport::terms::{self, Term};
use crate::room::{self, Place};
use crate::segments::{Piece, Records, Segments, Snapshot};
use crate::store::Tracking;
use crate::stored;

/// Most entries of a page.
pub const LIMIT_MAX: usize = 1_000;
/// Parts of one message that are joined; an administrator's patience ends before.
const PARTS_MAX: usize = 4_096;

/// Where to search.
#[derive(Clone, Debug)]
pub struct Search {
    /// Passports, and what happened beside them; none while the disk cannot be used.
    segments: [Option<Segments>; 2],
    /// The folder of the room of refusals.
    refusals: PathBuf,
}

/// A place in segments: segment, block, record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position(u64, u32, u32);

impl Position {
    const TOP: Position = Position(u64::MAX, u32::MAX, u32::MAX);
    /// Nothing is below.
    const BOTTOM: Position = Position(0, 0, 0);
}

/// How far segments were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Below {
    /// What is above was recorded after the first page.
    top: Position,
    /// All from here on upward was looked at.
    at: Position,
}

/// Where a search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    segments: [Below; 2],
    refusals: Place,
}

impl Cursor {
    const START: Cursor =
        Cursor { segments: [Below { top: Position::TOP, at: Position::TOP }; 2], refusals: Place::NEWEST };

    /// Reads what was printed.
    pub fn parse(text: &str) -> Option<Cursor> {
        let mut numbers = text.split('-').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let mut position = || Some(Position(next()?, next()?.try_into().ok()?, next()?.try_into().ok()?));
        let mut below = || Some(Below { top: position()?, at: position()? });
        let segments = [below()?, below()?];
        let refusals = Place { file: next()?, offset: next()? };
        numbers.next().is_none().then_some(Cursor { segments, refusals })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Position(segment, block, record) in self.segments.iter().flat_map(|below| [below.top, below.at]) {
            write!(f, "{segment}-{block}-{record}-")?;
        }
        write!(f, "{}-{}", self.refusals.file, self.refusals.offset)
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
            segments: [store.passports().cloned(), store.others().cloned()],
            refusals: tracking.refusals_folder().to_owned(),
        }
    }

    /// Looks for at most `limit` entries, for about as long as `patience`; then the page says where to go on.
    ///
    /// # Errors
    /// When the disk cannot be read. What is damaged is passed over.
    pub fn find(&self, query: &Query, from: Option<Cursor>, limit: usize, patience: Duration) -> io::Result<Page> {
        let (limit, until) = (limit.clamp(1, LIMIT_MAX), Instant::now() + patience);
        let start = from.unwrap_or(Cursor::START);
        let wants_messages = query.kinds.messages && query.state != Some(State::Refused);
        let mut refusals = self.refusals(query, start.refusals, limit, until)?;
        let mut lists = [
            self.segments(0, wants_messages, query, start, limit, until)?,
            self.segments(1, query.kinds.others, query, start, limit, until)?,
        ];
        let mut next = start;
        next.segments[0].top = lists[0].top;
        next.segments[1].top = lists[1].top;
        let mut entries = Vec::new();
        while entries.len() < limit {
            // The newest of the three, as far as they were looked at.
            let newest = |found: &VecDeque<(Entry, Position)>| found.front().map(|(entry, _)| entry.time_ms());
            let of_refusals = refusals.found.front().map(|(entry, _)| entry.time_ms());
            let of_lists = [newest(&lists[0].found), newest(&lists[1].found)];
            let Some(latest) = of_lists.into_iter().chain([of_refusals]).flatten().max() else { break };
            if of_refusals == Some(latest) {
                entries.extend(refusals.found.pop_front().map(|(entry, place)| {
                    next.refusals = place;
                    entry
                }));
                continue;
            }
            let place = usize::from(of_lists[0] != Some(latest));
            entries.extend(lists[place].found.pop_front().map(|(entry, position)| {
                next.segments[place].at = position;
                entry
            }));
        }
        // A list that was handed on whole goes on where it was left.
        for (list, below) in lists.iter().zip(&mut next.segments) {
            if list.found.is_empty() {
                below.at = list.end.unwrap_or(Position::BOTTOM);
            }
        }
        if refusals.found.is_empty() {
            next.refusals = refusals.end.unwrap_or_default();
        }
        let is_all =
            next.segments.iter().all(|below| below.at == Position::BOTTOM) && next.refusals == Place::default();
        let is_cut_short = refusals.is_cut_short || lists.iter().any(|list| list.is_cut_short);
        Ok(Page { entries, next: (!is_all).then_some(next), is_cut_short })
    }

    fn refusals(&self, query: &Query, from: Place, limit: usize, until: Instant) -> io::Result<Found<Place>> {
        let mut found = Found::new(Position::TOP);
        let asks_for_messages = query.queue_id.is_some()
            || query.message_id.is_some()
            || !query.words.is_empty()
            || query.state.is_some_and(|state| state != State::Refused);
        if !query.kinds.refusals || asks_for_messages || from == Place::default() {
            return Ok(found);
        }
        let needle = query.needle();
        room::each_newest_first(&self.refusals, from, |record, place| {
            if needle.is_none_or(|needle| holds(record, needle))
                && let Some(decision) = stored::read(record)
            {
                let entry = Entry::Refusal(Box::new(decision));
                if query.matches(&entry) {
                    found.found.push_back((entry, place));
                }
            }
            found.is_cut_short = found.found.len() < limit && Instant::now() >= until;
            let goes_on = found.found.len() < limit && !found.is_cut_short;
            found.end = (!goes_on).then_some(place);
            goes_on
        })?;
        Ok(found)
    }

    fn segments(
        &self,
        place: usize,
        is_wanted: bool,
        query: &Query,
        from: Cursor,
        limit: usize,
        until: Instant,
    ) -> io::Result<Found<Position>> {
        let from = from.segments[place];
        let Some(segments) = self.segments[place].as_ref().filter(|_| is_wanted && from.at != Position::BOTTOM) else {
            return Ok(Found::new(from.top));
        };
        let hashes = query.hashes();
        let all: Vec<u32> = hashes.iter().flat_map(|hashes| hashes.0).collect();
        let mut snapshot = segments.snapshot(&all);
        let mut found = Found::new(if from.top == Position::TOP { snapshot.top() } else { from.top });
        let mut looking = Looking { segments, query, hashes: &hashes, top: found.top, damaged: 0 };
        for piece in std::mem::take(&mut snapshot.pieces) {
            if piece.number > from.at.0 {
                continue;
            }
            for block in looking.blocks(&piece)?.into_iter().rev() {
                if Position(piece.number, block, 0) >= from.at {
                    continue;
                }
                // A block is looked at whole, so that a search goes on below it.
                let mut here = looking.block(&piece, block, from.at)?;
                while let Some((entry, position)) = here.pop() {
                    found.found.push_back((entry, position));
                    if found.found.len() == limit {
                        found.end = Some(position);
                        segments.count_damage(looking.damaged);
                        return Ok(found);
                    }
                }
                if Instant::now() >= until {
                    (found.end, found.is_cut_short) = (Some(Position(piece.number, block, 0)), true);
                    return Ok(found);
                }
            }
        }
        segments.count_damage(looking.damaged);
        Ok(found)
    }
}

/// What one of the two places has, and where it was left; no end: there is nothing more.
struct Found<P> {
    found: VecDeque<(Entry, P)>,
    top: Position,
    end: Option<P>,
    is_cut_short: bool,
}

impl<P> Found<P> {
    fn new(top: Position) -> Found<P> {
        Found { found: VecDeque::new(), top, end: None, is_cut_short: false }
    }
}

impl Snapshot {
    /// Above everything that is there now, below what will come.
    fn top(&self) -> Position {
        let newest = self.pieces.first();
        newest.map_or(Position::TOP, |piece| {
            let records = piece.blocks().last().map_or(0, |block| block.records);
            Position(piece.number, piece.blocks().len().saturating_sub(1) as u32, records)
        })
    }
}

/// A search on its way through segments.
struct Looking<'a> {
    segments: &'a Segments,
    query: &'a Query,
    hashes: &'a [Hashes],
    top: Position,
    damaged: u64,
}

impl Looking<'_> {
    /// The blocks of a segment that have to be read.
    fn blocks(&self, piece: &Piece) -> io::Result<Vec<u32>> {
        let all = || (0..piece.blocks().len() as u32).collect::<Vec<u32>>();
        let mut wanted = match self.hashes.first() {
            None => all(),
            Some(first) => candidates(piece, *first)?.unwrap_or_else(all),
        };
        for other in self.hashes.get(1..).unwrap_or_default() {
            // What is in parts has the other terms elsewhere.
            if let Some(with_other) = candidates(piece, *other)? {
                let has_parts = |block: u32| piece.blocks().get(block as usize).is_some_and(|block| block.has_parts);
                wanted.retain(|block| with_other.binary_search(block).is_ok() || has_parts(*block));
            }
        }
        wanted.retain(|block| {
            piece.blocks().get(*block as usize).is_some_and(|block| {
                let is_before = self.query.since_ms.is_some_and(|since_ms| block.last_ms < since_ms);
                let is_after =
                    self.query.until_ms.is_some_and(|until_ms| block.first_ms >= until_ms) && !block.has_parts;
                !is_before && !is_after
            })
        });
        Ok(wanted)
    }

    /// What one block has, oldest first, up to `below`.
    fn block(&mut self, piece: &Piece, number: u32, below: Position) -> io::Result<Vec<(Entry, Position)>> {
        let mut found = Vec::new();
        let Some(raw) = piece.read_block(number)? else {
            self.damaged += 1;
            return Ok(found);
        };
        let needle = self.query.needle();
        for (index, record) in (0..).zip(Records(&raw)) {
            let position = Position(piece.number, number, index);
            if position >= below || position >= self.top {
                break;
            }
            if needle.is_some_and(|needle| !holds(record, needle)) {
                continue;
            }
            let Some(record) = read(record) else { continue };
            if self.hashes.first().is_some_and(|first| !has_hash(&record, *first)) {
                continue;
            }
            let entry = match record {
                Record::Message(part) => match self.whole(part, position)? {
                    Some(passport) => Entry::Message(passport),
                    None => continue,
                },
                Record::Connection(connection) => Entry::Connection(connection),
                Record::Outbound(outbound) => Entry::Outbound(outbound),
                Record::Settings(settings) => Entry::Settings(settings),
                Record::Pressure(pressure) => Entry::Pressure(pressure),
            };
            if self.query.matches(&entry) {
                found.push((entry, position));
            }
        }
        Ok(found)
    }

    /// The passport that a part belongs to; `None` if a newer part stands for it.
    fn whole(&mut self, part: Part, position: Position) -> io::Result<Option<Passport>> {
        let queue_id = part.queue_id;
        let record = Record::Message(part);
        if terms::is_whole(&record) {
            let Record::Message(part) = record else { return Ok(None) };
            return Ok(Some(Passport::join(queue_id, vec![part])));
        }
        let mut parts = Vec::new();
        let mut stands_here = true;
        let hash = Term::QueueId(queue_id).hash();
        for piece in self.segments.snapshot(&[hash]).pieces {
            let all = || (0..piece.blocks().len() as u32).collect::<Vec<u32>>();
            for block in piece.candidates(hash)?.unwrap_or_else(all).into_iter().rev() {
                let Some(raw) = piece.read_block(block)? else {
                    self.damaged += 1;
                    continue;
                };
                let mut here = Vec::new();
                for (index, record) in (0..).zip(Records(&raw)) {
                    let at = Position(piece.number, block, index);
                    let Some(record) = read(record) else { continue };
                    if !matches!(&record, Record::Message(part) if part.queue_id == queue_id) {
                        continue;
                    }
                    let is_meant = self.hashes.first().is_none_or(|first| has_hash(&record, *first));
                    // A whole one stands for itself: what was read from the spool's log after it says nothing more.
                    let stands_there = (at > position && at < self.top && is_meant) || terms::is_whole(&record);
                    stands_here &= !stands_there;
                    if let Record::Message(part) = record {
                        here.push(part);
                    }
                }
                parts.extend(here.into_iter().rev());
                if parts.len() > PARTS_MAX {
                    break;
                }
            }
        }
        parts.reverse();
        Ok(stands_here.then(|| Passport::join(queue_id, parts)))
    }
}

fn has_hash(record: &Record, hashes: Hashes) -> bool {
    let mut has = false;
    terms::each_term(record, &mut |term| has = has || hashes.0.contains(&term.hash()));
    has
}

/// The blocks that may hold one of two terms, ascending.
fn candidates(piece: &Piece, Hashes([one, other]): Hashes) -> io::Result<Option<Vec<u32>>> {
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
