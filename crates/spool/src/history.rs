//! What the log says happened, read again: for whoever records it elsewhere, after a crash or because it had no room.
//!
//! Takes two places of the log, hands on what was written between them. Changes nothing, and the index has no part in it:
//! damage is passed over, because recovery has told of it.

use std::io;
use std::sync::Arc;

use gatepost_mail::{Envelope, MessageId};

use crate::mark::Mark;
use crate::message::RecipientState;
use crate::record::{ALIGNMENT, HEADER_BYTES, Header, Kind, checksum};
use crate::scan::Window;
use crate::segment::{FIRST_RECORD, SegmentHeader, file_name};
use crate::shared::Shared;
use crate::stored::{self, StoredError, StoredMessage, StoredOutcomes, StoredState};

/// What the log says.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time is told, and a box for each would cost more")]
pub enum Told<'a> {
    /// A message was accepted, or copied forward: then something may have become of its recipients before.
    Accepted {
        /// Its number.
        id: MessageId,
        /// Its envelope.
        envelope: Envelope,
        /// Its size in bytes.
        bytes: u64,
        /// What was put on it by [`Staged::set_label`](crate::Staged::set_label).
        label: Option<&'a [u8]>,
        /// Recipients that are not as on arrival.
        recipients: Vec<(u32, RecipientState)>,
    },
    /// A recipient of a message that goes on.
    Changed {
        /// The message.
        id: MessageId,
        /// The recipient's place in the envelope.
        recipient: u32,
        /// How it stands.
        state: RecipientState,
    },
    /// None of its recipients is pending any more.
    Ended {
        /// The message.
        id: MessageId,
        /// How they ended; none if the log does not say.
        recipients: Vec<(u32, RecipientState)>,
    },
    /// It was refused after it was written: nobody holds us to it.
    Refused {
        /// The message.
        id: MessageId,
    },
}

/// Reads what lies between two marks. Says whether all of it was there.
pub(crate) fn read(shared: &Shared, from: Mark, to: Mark, mut each: impl FnMut(Told<'_>)) -> io::Result<bool> {
    let segments: Vec<(u32, u64)> = {
        let index = shared.index();
        let between = index.segments().filter(|(number, _)| (from.segment()..=to.segment()).contains(number));
        between.map(|(number, segment)| (number, segment.bytes)).collect()
    };
    // Numbers are given without gaps but for segments that were never made: a missing one was deleted.
    let first = segments.first().map_or(to.segment(), |(number, _)| *number);
    let mut is_whole = from == Mark::default() || first <= from.segment().max(1) || from.segment() == to.segment();
    for (number, bytes) in segments {
        let path = shared.folders.log.join(file_name(number));
        let file = match shared.disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                is_whole = false;
                continue;
            }
            file => file?,
        };
        let begin = if number == from.segment() { from.offset().max(FIRST_RECORD) } else { FIRST_RECORD };
        let end = if number == to.segment() { to.offset().min(bytes) } else { bytes };
        is_whole &= read_segment(&mut Window::new(Arc::clone(&file), end), number, begin, &mut each);
    }
    Ok(is_whole)
}

/// Says whether no damage was met. What a crash left half written behind the last flush is none.
fn read_segment(window: &mut Window, number: u32, from: u64, each: &mut impl FnMut(Told<'_>)) -> bool {
    let salt = match SegmentHeader::parse(window.get(0, FIRST_RECORD as usize)) {
        Ok(header) if header.number == number => header.salt,
        Ok(_) | Err(_) => return window.bytes < FIRST_RECORD || window.is_zero(0, FIRST_RECORD),
    };
    let mut flushed = 0;
    let mut damaged_from = None;
    let mut offset = from;
    while offset + HEADER_BYTES as u64 <= window.bytes {
        let header = Header::parse(window.get(offset, HEADER_BYTES), salt, offset);
        let whole = header.filter(|header| offset + header.record_bytes() <= window.bytes);
        let Some(header) = whole else {
            damaged_from.get_or_insert(offset);
            offset += ALIGNMENT;
            continue;
        };
        flushed = flushed.max(header.flushed);
        let meta = window.get(offset + HEADER_BYTES as u64, header.meta_bytes);
        let told = match header.kind {
            _ if checksum(meta) != header.meta_crc => Err(StoredError::Value("checksum")),
            Some(Kind::Message) => tell_message(meta, header.content_bytes as u64, each),
            Some(Kind::Outcomes) => tell_outcomes(meta, each),
            None => Ok(()),
        };
        if told.is_err() {
            damaged_from.get_or_insert(offset);
        }
        offset += header.record_bytes();
    }
    damaged_from.is_none_or(|damaged_from| damaged_from >= flushed)
}

fn tell_message(meta: &[u8], content_bytes: u64, each: &mut impl FnMut(Told<'_>)) -> Result<(), StoredError> {
    let message: StoredMessage<'_> = stored::read(meta)?;
    each(Told::Accepted {
        id: MessageId(message.id),
        envelope: message.envelope.read()?,
        bytes: content_bytes + message.body.map_or(0, |body| body.bytes),
        label: message.label.map(|label| &**label),
        recipients: message.states.iter().map(StoredState::read).collect::<Result<_, _>>()?,
    });
    Ok(())
}

fn tell_outcomes(meta: &[u8], each: &mut impl FnMut(Told<'_>)) -> Result<(), StoredError> {
    let StoredOutcomes { ended, changed, ends, refused, .. } = stored::read(meta)?;
    for change in &changed {
        let (recipient, state) = change.state.read()?;
        each(Told::Changed { id: MessageId(change.id), recipient, state });
    }
    let (ends, refused) = (ends.unwrap_or_default(), refused.unwrap_or_default());
    // In the order of `ended`, of which each is a part.
    let (mut ends, mut refused) = (ends.iter().peekable(), refused.iter().peekable());
    for id in ended {
        if refused.next_if(|refused| **refused == id).is_some() {
            each(Told::Refused { id: MessageId(id) });
            continue;
        }
        let end = ends.next_if(|end| end.id == id);
        let recipients =
            end.map(|end| end.states.iter().map(StoredState::read).collect::<Result<_, _>>()).transpose()?;
        each(Told::Ended { id: MessageId(id), recipients: recipients.unwrap_or_default() });
    }
    Ok(())
}
