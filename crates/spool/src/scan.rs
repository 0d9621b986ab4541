//! Reading one segment: every record is checked and applied to the index, what is no record becomes a gap.
//!
//! Never fails and never writes. Memory is bounded by the largest envelope, whatever the segment holds.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::disk::File;
use crate::index::{Body, Index, Location};
use crate::mark::Mark;
use crate::queues::{Ended, How, Outbox};
use crate::record::{ALIGNMENT, Digest, HEADER_BYTES, Header, Kind, checksum};
use crate::segment::FIRST_RECORD;
use crate::set_aside::read_what_can_be_read;
use crate::stored::{self, StoredMessage, StoredOutcomes};

/// Content is checked in pieces of this size; files are read in pieces at least as large.
const PIECE_BYTES: usize = 1 << 20;

/// Reads the segment `number` behind its header.
pub(crate) fn scan(index: &mut Index, number: u32, salt: u64, window: &mut Window) -> Scanned {
    let scanned = Scanned::default();
    let mut scan = Scan { index, number, window, scanned };
    let mut offset = FIRST_RECORD;
    while offset + HEADER_BYTES as u64 <= scan.window.bytes {
        let header = Header::parse(scan.window.get(offset, HEADER_BYTES), salt, offset);
        let Some(header) = header else {
            scan.scanned.no_record(offset, offset + ALIGNMENT, false, "no record begins here");
            offset += ALIGNMENT;
            continue;
        };
        let end = offset + header.record_bytes();
        if end > scan.window.bytes {
            scan.scanned.no_record(offset, offset + ALIGNMENT, false, "a record is cut short");
            offset += ALIGNMENT;
            continue;
        }
        scan.raise_flushed(header.flushed);
        if let Err(Wrong { what, message }) = scan.take(offset, &header) {
            scan.scanned.no_record(offset, end, true, &what);
            if let Some(gap) = scan.scanned.gaps.last_mut() {
                gap.message = message;
            }
        }
        offset = end;
    }
    if offset < scan.window.bytes {
        scan.scanned.no_record(offset, scan.window.bytes, false, "no record begins here");
    }
    scan.finish()
}

/// What a segment without a readable header holds: without it no record can be told from the mail around it.
pub(crate) fn scan_headless(window: &mut Window) -> Scanned {
    let bytes = window.bytes;
    // A blank or short header was never flushed, so nothing behind it was acknowledged.
    let is_unfinished = bytes < FIRST_RECORD || window.is_zero(0, FIRST_RECORD);
    let what = "the segment has no readable header".into();
    Scanned {
        flushed: if is_unfinished { 0 } else { bytes },
        gaps: vec![Gap { from: 0, to: bytes, is_record: false, message: None, what }],
        ..Scanned::default()
    }
}

/// What a segment held, apart from what is in the index now.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Valid records of messages, and of outcomes.
    pub message_records: u64,
    pub outcome_records: u64,
    /// Up to here the segment was flushed for certain.
    pub flushed: u64,
    /// Numbers of messages below this occur.
    pub next_id: u64,
    /// Up to where all that the log says is recorded elsewhere.
    pub recorded: Mark,
    /// Outcomes that may not have been flushed, to be written again.
    pub outbox: Outbox,
    /// What is no valid record, in the order of the offsets.
    pub gaps: Vec<Gap>,
    uncertain: VecDeque<Uncertain>,
}

/// A range of a segment that is no valid record.
#[derive(Debug)]
pub(crate) struct Gap {
    pub from: u64,
    pub to: u64,
    /// Whether it is exactly one record.
    pub is_record: bool,
    /// The message that it held, where only its content is wrong: whether anybody needs it shows later.
    pub message: Option<u64>,
    /// What can be said about it, in half a sentence.
    pub what: String,
}

/// Why a record cannot be used.
struct Wrong {
    what: String,
    /// See [`Gap::message`].
    message: Option<u64>,
}

impl From<String> for Wrong {
    fn from(what: String) -> Wrong {
        Wrong { what, message: None }
    }
}

/// What it means that a range is no valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing was ever written there.
    Blank,
    /// Written last before a crash, or else damage to the very last records: nobody can tell.
    Torn,
    /// It was flushed once: damage.
    Damage,
}

impl Gap {
    /// What the gap means in a segment that was flushed up to `flushed` for certain.
    pub fn loss(&self, flushed: u64, window: &mut Window) -> Loss {
        if self.from < flushed {
            Loss::Damage
        } else if window.is_zero(self.from, self.to) {
            Loss::Blank
        } else {
            Loss::Torn
        }
    }
}

impl Scanned {
    /// Adds a range to the gaps; ranges that touch become one, damaged records stay apart.
    fn no_record(&mut self, from: u64, to: u64, is_record: bool, what: &str) {
        match self.gaps.last_mut() {
            Some(last) if last.to == from && !is_record && !last.is_record => last.to = to,
            _ => self.gaps.push(Gap { from, to, is_record, message: None, what: what.into() }),
        }
    }
}

/// What a record did, as long as it is not known whether the record was flushed.
#[derive(Debug)]
struct Uncertain {
    /// Where the record ends.
    end: u64,
    effect: Effect,
}

#[derive(Debug)]
enum Effect {
    /// Compaction copied a message that was known already. Until the copy is certain the original stands.
    Moved {
        id: u64,
        from: Location,
        to: Location,
    },
    Ended {
        id: u64,
        has_body: bool,
    },
    Changed {
        id: u64,
        index: u32,
    },
    Stood {
        id: u64,
    },
}

struct Scan<'a> {
    index: &'a mut Index,
    number: u32,
    window: &'a mut Window,
    scanned: Scanned,
}

impl Scan<'_> {
    /// A record says how far the segment was flushed when it was written.
    fn raise_flushed(&mut self, flushed: u64) {
        self.scanned.flushed = self.scanned.flushed.max(flushed);
        let flushed = self.scanned.flushed;
        while let Some(certain) = self.scanned.uncertain.pop_front_if(|uncertain| uncertain.end <= flushed) {
            if let Effect::Moved { id, from, to } = certain.effect {
                self.index.relocate(id, from, to);
            }
        }
    }

    /// Applies one record to the index, or says why it cannot be used.
    fn take(&mut self, offset: u64, header: &Header) -> Result<(), Wrong> {
        let meta_at = offset + HEADER_BYTES as u64;
        let content_at = meta_at + header.meta_bytes as u64;
        let is_content_right = self.window.checksum(content_at, header.content_bytes) == header.content_crc;
        let meta = self.window.get(meta_at, header.meta_bytes);
        if checksum(meta) != header.meta_crc {
            let what = match header.kind {
                Some(Kind::Message) => "the envelope of a message does not match its checksum",
                Some(Kind::Outcomes) => {
                    "outcomes of deliveries do not match their checksum, so some messages may be sent twice"
                }
                None => "a record of unknown kind does not match its checksum",
            };
            return Err(what.to_owned().into());
        }
        let location = Location { segment: self.number, offset, bytes: header.record_bytes() };
        let mut effects = Effects { end: offset + location.bytes, scanned: &mut self.scanned };
        match header.kind {
            Some(Kind::Message) => {
                take_message(self.index, location, meta, is_content_right, &mut effects)?;
                self.scanned.message_records += 1;
            }
            Some(Kind::Outcomes) => {
                take_outcomes(self.index, meta, &mut effects)
                    .map_err(|error| format!("outcomes of deliveries are wrong: {error}"))?;
                self.scanned.outcome_records += 1;
            }
            None => return Err("a record is of a kind that this version does not know".to_owned().into()),
        }
        Ok(())
    }

    fn finish(mut self) -> Scanned {
        for Uncertain { effect, .. } in self.scanned.uncertain.drain(..) {
            match effect {
                Effect::Moved { .. } => {}
                Effect::Ended { id, has_body } => {
                    self.scanned.outbox.ended.push(Ended { id, how: How::Known });
                    self.scanned.outbox.bodies.extend(has_body.then_some(id));
                }
                Effect::Changed { id, index } => self.scanned.outbox.changed.push((id, index)),
                Effect::Stood { id } => self.scanned.outbox.standings.push(id),
            }
        }
        self.scanned
    }
}

/// Where one record's effects are noted.
struct Effects<'a> {
    end: u64,
    scanned: &'a mut Scanned,
}

impl Effects<'_> {
    fn push(&mut self, effect: Effect) {
        self.scanned.uncertain.push_back(Uncertain { end: self.end, effect });
    }

    fn saw(&mut self, id: u64) {
        self.scanned.next_id = self.scanned.next_id.max(id.saturating_add(1));
    }
}

fn take_message(
    index: &mut Index,
    location: Location,
    meta: &[u8],
    is_content_right: bool,
    effects: &mut Effects<'_>,
) -> Result<(), Wrong> {
    let message: StoredMessage<'_> =
        stored::read(meta).map_err(|error| format!("a message has an envelope that is wrong: {error}"))?;
    let id = message.id;
    effects.saw(id);
    if !is_content_right {
        if index.location(id).is_none() {
            index.miss(id);
        }
        return Err(Wrong {
            what: format!("the content of message {id} does not match its checksum"),
            message: Some(id),
        });
    }
    let envelope =
        message.envelope.read().map_err(|error| format!("the envelope of message {id} is wrong: {error}"))?;
    let recipients = u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
    if recipients == 0 {
        return Err(format!("message {id} has no recipients").into());
    }
    match index.location(id) {
        Some(from) => effects.push(Effect::Moved { id, from, to: location }),
        None => {
            index.miss_no_longer(id);
            let body = message.body.map(|stored| Body { stored, is_verified: false });
            index.insert(id, location, recipients, body);
        }
    }
    for state in &message.states {
        index.restore(id, state).map_err(|error| format!("the recipients of message {id} are wrong: {error}"))?;
    }
    if let Some(standing) = &message.standing {
        index.restore_standing(standing).map_err(|error| format!("how message {id} stands is wrong: {error}"))?;
    }
    Ok(())
}

fn take_outcomes(index: &mut Index, meta: &[u8], effects: &mut Effects<'_>) -> Result<(), stored::StoredError> {
    let outcomes: StoredOutcomes<'_> = stored::read(meta)?;
    for id in outcomes.ended {
        effects.saw(id);
        index.miss_no_longer(id);
        if let Some(has_body) = index.remove(id) {
            effects.push(Effect::Ended { id, has_body });
        }
    }
    effects.scanned.recorded = effects.scanned.recorded.max(Mark::from_number(outcomes.recorded.unwrap_or(0)));
    for change in &outcomes.changed {
        index.restore(change.id, &change.state)?;
        effects.push(Effect::Changed { id: change.id, index: change.state.index });
    }
    for standing in outcomes.standings.iter().flatten() {
        index.restore_standing(standing)?;
        effects.push(Effect::Stood { id: standing.id });
    }
    Ok(())
}

/// A segment file seen through a buffer. What cannot be read is zeros, which no checksum matches.
pub(crate) struct Window {
    file: Arc<dyn File>,
    pub bytes: u64,
    start: u64,
    buffer: Vec<u8>,
    /// Some of what was asked for could not be read.
    pub is_unreadable: bool,
}

impl Window {
    pub fn new(file: Arc<dyn File>, bytes: u64) -> Window {
        Window { file, bytes, start: 0, buffer: Vec::new(), is_unreadable: false }
    }

    /// Up to `wanted` bytes at `offset`; fewer at the end of the file.
    pub fn get(&mut self, offset: u64, wanted: usize) -> &[u8] {
        let left = self.bytes.saturating_sub(offset);
        let wanted = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
        let is_there = offset >= self.start && offset + wanted as u64 <= self.start + self.buffer.len() as u64;
        if !is_there {
            let length = wanted.max(PIECE_BYTES).min(usize::try_from(left).unwrap_or(usize::MAX));
            self.buffer.resize(length, 0);
            self.start = offset;
            self.is_unreadable |= !read_what_can_be_read(&*self.file, &mut self.buffer, offset);
        }
        let from = (offset.min(self.bytes) - self.start) as usize;
        &self.buffer[from..from + wanted]
    }

    fn checksum(&mut self, offset: u64, length: usize) -> u32 {
        let mut digest = Digest::new();
        let (mut at, end) = (offset, offset + length as u64);
        while at < end {
            let piece = self.get(at, PIECE_BYTES.min((end - at) as usize));
            if piece.is_empty() {
                break;
            }
            digest.update(piece);
            at += piece.len() as u64;
        }
        digest.value()
    }

    pub fn is_zero(&mut self, from: u64, to: u64) -> bool {
        let mut at = from;
        while at < to {
            let piece = self.get(at, PIECE_BYTES.min((to - at) as usize));
            if piece.is_empty() {
                break;
            }
            if piece.iter().any(|byte| *byte != 0) {
                return false;
            }
            at += piece.len() as u64;
        }
        true
    }
}
