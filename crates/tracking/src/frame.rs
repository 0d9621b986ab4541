//! The frame around each record in a file: a header that checks itself, then the checksummed record.
//!
//! `salt 8 | length 4 | id 6 | zero 2 | checksum of the record 4 | checksum of the 24 bytes before 4 | record`, numbers in
//! little endian. The salt is a random number that no peer knows: bytes that look like a frame inside of somebody's
//! address are never taken for one while the next frame behind a damaged one is looked for.

use crc_fast::CrcAlgorithm;
use memchr::memmem;

use crate::decision::DecisionId;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 28;
/// Longest record; the texts of a decision at their limits stay below.
pub const RECORD_BYTES_MAX: usize = 64 << 10;

/// CRC-32C (Castagnoli), as the spool uses it.
fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// One frame of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whose record it is.
    pub id: DecisionId,
    record: &'a [u8],
    crc: u32,
}

impl<'a> Frame<'a> {
    /// Reads the frame at the start of `bytes`. Whether the record is whole, [`Frame::record`] says.
    pub fn parse(bytes: &'a [u8], salt: u64) -> Option<Frame<'a>> {
        let header = bytes.get(..HEADER_BYTES)?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if header[..8] != salt.to_le_bytes() || word(24) != checksum(&header[..24]) {
            return None;
        }
        let length = word(8) as usize;
        let record = bytes.get(HEADER_BYTES..HEADER_BYTES + length).filter(|_| length <= RECORD_BYTES_MAX)?;
        let id = u64::from(word(12)) | u64::from(header[16]) << 32 | u64::from(header[17]) << 40;
        Some(Frame { id: DecisionId::from_number(id)?, record, crc: word(20) })
    }

    /// Length of the whole frame.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.record.len()
    }

    /// The record, if it is undamaged.
    pub fn record(&self) -> Option<&'a [u8]> {
        (checksum(self.record) == self.crc).then_some(self.record)
    }
}

/// Writes a frame behind what is in `into`; `write` writes its record. Hands back whether it did: a record that is too
/// long is left out.
pub fn push(into: &mut Vec<u8>, salt: u64, id: DecisionId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = into.len();
    into.resize(start + HEADER_BYTES, 0);
    write(into);
    let length = into.len() - start - HEADER_BYTES;
    if length > RECORD_BYTES_MAX {
        into.truncate(start);
        return false;
    }
    let crc = checksum(&into[start + HEADER_BYTES..]);
    let header = &mut into[start..start + HEADER_BYTES];
    header[..8].copy_from_slice(&salt.to_le_bytes());
    header[8..12].copy_from_slice(&(length as u32).to_le_bytes());
    header[12..18].copy_from_slice(&id.number().to_le_bytes()[..6]);
    header[20..24].copy_from_slice(&crc.to_le_bytes());
    let header_crc = checksum(&header[..24]);
    header[24..].copy_from_slice(&header_crc.to_le_bytes());
    true
}

/// The frames of a file behind its own header, and how many gaps of damaged bytes lie between them.
pub struct Frames<'a> {
    bytes: &'a [u8],
    salt: u64,
    /// Where the next frame is expected.
    pub at: usize,
    /// Stretches without a frame that were skipped.
    pub gaps: u64,
}

impl<'a> Frames<'a> {
    /// All frames of `bytes`.
    pub fn of(bytes: &'a [u8], salt: u64) -> Frames<'a> {
        Frames { bytes, salt, at: 0, gaps: 0 }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let mut from = self.at;
        loop {
            if let Some(frame) = Frame::parse(self.bytes.get(from..)?, self.salt) {
                self.gaps += u64::from(from > self.at);
                self.at = from + frame.bytes();
                return Some(frame);
            }
            // Behind the last frame stands nothing, or one that was being written when the power went.
            let rest = self.bytes.get(from + 1..)?;
            from += 1 + memmem::find(rest, &self.salt.to_le_bytes())?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: u64 = 0x1122_3344_5566_7788;

    fn file(records: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for (number, record) in (1..).zip(records) {
            let id = DecisionId::from_number(number).expect("48 bits");
            assert!(push(&mut file, SALT, id, |into| into.extend_from_slice(record)));
        }
        file
    }

    #[test]
    fn a_record_that_is_too_long_is_left_out_whole() {
        let mut file = vec![1, 2, 3];
        let id = DecisionId::from_number(7).expect("48 bits");
        assert!(!push(&mut file, SALT, id, |into| into.resize(into.len() + RECORD_BYTES_MAX + 1, 0)));
        assert_eq!(file, [1, 2, 3]);
    }

    #[test]
    fn a_frame_of_another_salt_inside_a_record_is_not_taken_for_one() {
        let mut forged = Vec::new();
        push(&mut forged, SALT ^ 1, DecisionId::from_number(99).expect("48 bits"), |into| into.push(0));
        let mut file = file(&[forged, b"next".to_vec()]);
        file[0] ^= 1;
        let ids: Vec<u64> = Frames::of(&file, SALT).map(|frame| frame.id.number()).collect();
        assert_eq!(ids, [2]);
    }

    proptest! {
        #[test]
        fn whatever_is_damaged_the_other_records_are_found(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..12),
            at in any::<prop::sample::Index>(),
            bits in 1_u8..,
        ) {
            let mut file = file(&records);
            let at = at.index(file.len());
            file[at] ^= bits;
            let mut found = 0;
            for frame in Frames::of(&file, SALT) {
                if let Some(record) = frame.record() {
                    prop_assert_eq!(record, &records[frame.id.number() as usize - 1]);
                    found += 1;
                }
            }
            prop_assert_eq!(found, records.len() - 1);
        }

        #[test]
        fn a_torn_end_costs_the_last_record_only(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 1..12),
            lost in 1_usize..29,
        ) {
            let file = file(&records);
            let mut frames = Frames::of(&file[..file.len() - lost], SALT);
            let found = frames.by_ref().filter(|frame| frame.record().is_some()).count();
            prop_assert_eq!((found, frames.gaps), (records.len() - 1, 0));
        }
    }
}
