//! Segment files of the log: their names, their headers, and the one that is being written.
//!
//! A segment is written by one thread, front to back, and never again after it was followed by another.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::record::{ALIGNMENT, Record, checksum};

/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
/// Where the first record of a segment begins.
pub const FIRST_RECORD: u64 = 128;
/// Segments stay below this, so that offsets fit the header's 32 bits.
pub const SEGMENT_BYTES_MAX: u64 = (u32::MAX as u64 - (1 << 24)) * ALIGNMENT;

const MAGIC: &[u8; 8] = b"gatepost";
const COPY_BYTES: usize = 64;
const SUFFIX: &str = ".seg";

/// The name of a segment's file.
pub fn file_name(number: u32) -> String {
    format!("{number:016x}{SUFFIX}")
}

/// The number in the name of a segment's file.
pub fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok().and_then(|number| u32::try_from(number).ok())
}

/// What stands at the front of a segment, twice, so that one damaged bit does not cost the whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The segment's number, as in its name.
    pub number: u32,
    /// What every record of this segment repeats; random.
    pub salt: u64,
    /// Numbers of messages below this were given out before.
    pub next_id: u64,
}

/// Why a segment's header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Neither copy is whole.
    Damaged,
    /// A newer program wrote it.
    Newer(u32),
}

impl SegmentHeader {
    /// Both copies.
    pub fn write(&self) -> [u8; FIRST_RECORD as usize] {
        let mut copy = [0; COPY_BYTES];
        copy[..8].copy_from_slice(MAGIC);
        copy[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        copy[12..16].copy_from_slice(&self.number.to_le_bytes());
        copy[16..24].copy_from_slice(&self.salt.to_le_bytes());
        copy[24..32].copy_from_slice(&self.next_id.to_le_bytes());
        let crc = checksum(&copy[..60]);
        copy[60..].copy_from_slice(&crc.to_le_bytes());
        let mut both = [0; FIRST_RECORD as usize];
        both[..COPY_BYTES].copy_from_slice(&copy);
        both[COPY_BYTES..].copy_from_slice(&copy);
        both
    }

    /// Reads whichever copy is whole.
    pub fn parse(both: &[u8]) -> Result<SegmentHeader, HeaderError> {
        for copy in both.chunks_exact(COPY_BYTES).take(2) {
            let word = |at: usize| u32::from_le_bytes([copy[at], copy[at + 1], copy[at + 2], copy[at + 3]]);
            let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
            if &copy[..8] != MAGIC || word(60) != checksum(&copy[..60]) {
                continue;
            }
            if word(8) > FORMAT {
                return Err(HeaderError::Newer(word(8)));
            }
            return Ok(SegmentHeader { number: word(12), salt: long(16), next_id: long(24) });
        }
        Err(HeaderError::Damaged)
    }
}

/// The segment that is being written.
#[derive(Debug)]
pub struct Writer {
    /// Its number.
    pub number: u32,
    /// Its salt.
    pub salt: u64,
    /// The file, also for those who read from it.
    pub file: Arc<dyn File>,
    /// Bytes written.
    pub bytes: u64,
    flushed: u64,
    /// The log says that the segment was flushed up to here.
    marked: u64,
    folder: PathBuf,
    is_named: bool,
}

impl Writer {
    /// Begins a segment. What is written to it is safe only after [`Writer::flush`].
    pub fn create(disk: &dyn Disk, folder: &Path, number: u32, next_id: u64) -> io::Result<Writer> {
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        let salt = u64::from_le_bytes(salt);
        let path = folder.join(file_name(number));
        let file = disk.create(&path)?;
        let header = SegmentHeader { number, salt, next_id }.write();
        if let Err(error) = file.append(&mut [IoSlice::new(&header)]) {
            // Left behind it would only be an empty segment; recovery knows those.
            let _ = disk.remove(&path);
            return Err(error);
        }
        let folder = folder.to_path_buf();
        Ok(Writer { number, salt, file, bytes: FIRST_RECORD, flushed: 0, marked: 0, folder, is_named: false })
    }

    /// Appends records in one write. They are placed from [`Writer::bytes`] on, one directly after the other.
    pub fn append<'a>(&mut self, records: impl Iterator<Item = &'a mut Record>) -> io::Result<()> {
        let mut end = self.bytes;
        let mut slices = Vec::new();
        for record in records {
            record.place(self.salt, end, self.flushed);
            slices.push(IoSlice::new(record.bytes()));
            end += record.bytes().len() as u64;
        }
        self.file.append(&mut slices)?;
        (self.bytes, self.marked) = (end, self.flushed);
        Ok(())
    }

    /// Takes back what a failed append left, and makes sure of that, so that the segment goes on as if nothing had
    /// happened. Only for want of room: after other failures nobody can say what is on the disk.
    pub fn take_back(&mut self) -> io::Result<()> {
        self.file.cut(self.bytes)?;
        self.file.flush()
    }

    /// Appends a record that says nothing but how far the segment is flushed.
    pub fn mark(&mut self, mut nothing: Record) -> io::Result<()> {
        self.append(std::iter::once(&mut nothing))?;
        self.marked = self.bytes; // a mark needs no mark
        Ok(())
    }

    /// Makes everything written so far survive power loss. Returns how many flushes that took.
    pub fn flush(&mut self, disk: &dyn Disk) -> io::Result<u64> {
        self.file.flush()?;
        self.flushed = self.bytes;
        if self.is_named {
            return Ok(1);
        }
        disk.flush_folder(&self.folder)?;
        self.is_named = true;
        Ok(2)
    }

    /// Whether the last flush is not known to the log: no record was written after it. Recovery could then take damage
    /// to the last records for the half-written end before a crash.
    pub fn is_unmarked(&self) -> bool {
        self.marked < self.flushed
    }

    /// Whether something was written after the last flush.
    pub fn is_dirty(&self) -> bool {
        self.flushed < self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_survives_any_one_damaged_bit() {
        let header = SegmentHeader { number: 3, salt: 0x1234_5678_9abc_def0, next_id: 77 };
        let whole = header.write();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::parse(&damaged), Ok(header), "bit {bit}");
        }
        assert_eq!(SegmentHeader::parse(&[0; 128]), Err(HeaderError::Damaged));
        assert_eq!(SegmentHeader::parse(&whole[..50]), Err(HeaderError::Damaged));
    }

    #[test]
    fn only_our_own_names_are_segments() {
        for (name, expected) in [
            ("0000000000000001.seg", Some(1)),
            ("00000000000000ff.seg", Some(255)),
            ("0000000000000001.seg.tmp", None),
            ("1.seg", None),
            ("1000000000000001.seg", None),
            ("000000000000000g.seg", None),
        ] {
            assert_eq!(number_of(name), expected, "{name}");
        }
        assert_eq!(number_of(&file_name(u32::MAX)), Some(u32::MAX));
    }
}
