//! The frame around everything in a segment: a header that checks itself, then two checksummed parts.
//!
//! A record is `header | meta | content | zeros up to a multiple of 8`. `meta` is what [`crate::stored`] writes,
//! `content` are bytes of mail. Each part has its own checksum, so that a listing can read the envelope without the
//! content and damage to the content can still name the message.
//!
//! The header repeats the segment's salt, a random number that no sender of mail knows, and its own offset: bytes
//! that look like a record inside of somebody's mail are never taken for one while recovery looks for the next
//! record behind a damaged one. It also says up to where the segment was known to be flushed when it was written:
//! damage below that line hit data that was safe, damage above it may be the half-written end before a crash.

use bytes::Bytes;
use crc_fast::CrcAlgorithm;

/// Bytes of a record's header.
pub const HEADER_BYTES: usize = 40;
/// Offsets and lengths in a segment are multiples of this.
pub const ALIGNMENT: u64 = 8;
/// Largest meta part. An envelope of 5,000 recipients with every parameter at its limit takes about 7 MB.
pub const META_BYTES_MAX: usize = 64 << 20;
/// Largest content part; larger messages have a body file.
pub const CONTENT_BYTES_MAX: usize = 64 << 20;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message: accepted, or copied forward with what became of its recipients so far.
    Message,
    /// What became of recipients, and which messages have ended.
    Outcomes,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Message => 1,
            Kind::Outcomes => 2,
        }
    }

    fn from_code(code: u8) -> Option<Kind> {
        match code {
            1 => Some(Kind::Message),
            2 => Some(Kind::Outcomes),
            _ => None,
        }
    }
}

/// CRC-32C (Castagnoli), as iSCSI and ext4 use it.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The same, over bytes that come piece by piece.
#[derive(Debug)]
pub struct Digest(crc_fast::Digest);

impl Digest {
    /// Of no bytes yet.
    pub fn new() -> Digest {
        Digest(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all pieces.
    pub fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `None`: a kind that a newer program wrote.
    pub kind: Option<Kind>,
    /// Length of the meta part.
    pub meta_bytes: usize,
    /// Length of the content part.
    pub content_bytes: usize,
    /// Checksum of the meta part.
    pub meta_crc: u32,
    /// Checksum of the content part.
    pub content_crc: u32,
    /// The segment was flushed up to this offset when the record was written.
    pub flushed: u64,
}

impl Header {
    /// Reads the header of a record at `offset` of the segment with this salt; `None` if there is none.
    pub fn parse(bytes: &[u8], salt: u64, offset: u64) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..8] != salt.to_le_bytes() || word(36) != checksum(&bytes[..36]) {
            return None;
        }
        let (meta_bytes, content_bytes) = (word(20) as usize, word(24) as usize);
        let is_here = u64::from(word(8)) * ALIGNMENT == offset;
        (is_here && meta_bytes <= META_BYTES_MAX && content_bytes <= CONTENT_BYTES_MAX).then(|| Header {
            kind: Kind::from_code(bytes[16]),
            meta_bytes,
            content_bytes,
            meta_crc: word(28),
            content_crc: word(32),
            flushed: u64::from(word(12)) * ALIGNMENT,
        })
    }

    /// Length of the whole record.
    pub fn record_bytes(&self) -> u64 {
        padded(HEADER_BYTES + self.meta_bytes + self.content_bytes) as u64
    }
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT as usize)
}

/// A record in memory, ready to be written but for its place.
#[derive(Debug)]
pub struct Record {
    buffer: Vec<u8>,
    start: usize,
    kind: Kind,
    meta_bytes: usize,
    content_bytes: usize,
    meta_crc: u32,
    content_crc: u32,
}

impl Record {
    /// A record of its parts.
    pub fn new(kind: Kind, meta: &[u8], content: &[u8]) -> Record {
        let mut buffer = Vec::with_capacity(padded(HEADER_BYTES + meta.len() + content.len()));
        buffer.resize(HEADER_BYTES, 0);
        buffer.extend_from_slice(meta);
        buffer.extend_from_slice(content);
        Record::finish(kind, buffer, 0, meta.len())
    }

    /// A message around content that was gathered in `buffer` behind `room` spare bytes: header, meta and trace go
    /// into the spare room if they fit, so that the content is not copied again.
    pub fn around(mut buffer: Vec<u8>, room: usize, meta: &[u8], trace: &[u8]) -> Record {
        let front = HEADER_BYTES + meta.len() + trace.len();
        let start = match room.checked_sub(front) {
            Some(start) => start,
            None => {
                buffer.splice(..0, std::iter::repeat_n(0, front - room));
                0
            }
        };
        let meta_at = start + HEADER_BYTES;
        let trace_at = meta_at + meta.len();
        buffer[meta_at..trace_at].copy_from_slice(meta);
        buffer[trace_at..trace_at + trace.len()].copy_from_slice(trace);
        Record::finish(Kind::Message, buffer, start, meta.len())
    }

    fn finish(kind: Kind, mut buffer: Vec<u8>, start: usize, meta_bytes: usize) -> Record {
        let meta_at = start + HEADER_BYTES;
        let content_at = meta_at + meta_bytes;
        let end = buffer.len();
        let (meta_crc, content_crc) = (checksum(&buffer[meta_at..content_at]), checksum(&buffer[content_at..]));
        buffer.resize(start + padded(end - start), 0);
        Record { buffer, start, kind, meta_bytes, content_bytes: end - content_at, meta_crc, content_crc }
    }

    /// Writes the header for this place in this segment.
    pub fn place(&mut self, salt: u64, offset: u64, flushed: u64) {
        let units = |bytes: u64| u32::try_from(bytes / ALIGNMENT).expect("segments stay below 32 GiB").to_le_bytes();
        let header = &mut self.buffer[self.start..self.start + HEADER_BYTES];
        header[..8].copy_from_slice(&salt.to_le_bytes());
        header[8..12].copy_from_slice(&units(offset));
        header[12..16].copy_from_slice(&units(flushed));
        header[16..20].copy_from_slice(&[self.kind.code(), 0, 0, 0]);
        header[20..24].copy_from_slice(&(self.meta_bytes as u32).to_le_bytes());
        header[24..28].copy_from_slice(&(self.content_bytes as u32).to_le_bytes());
        header[28..32].copy_from_slice(&self.meta_crc.to_le_bytes());
        header[32..36].copy_from_slice(&self.content_crc.to_le_bytes());
        let crc = checksum(&header[..36]);
        header[36..].copy_from_slice(&crc.to_le_bytes());
    }

    /// The record as it goes to disk.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Bytes of memory that the record holds on to.
    pub fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Whether both parts are within their limits.
    pub fn is_within_limits(&self) -> bool {
        self.meta_bytes <= META_BYTES_MAX && self.content_bytes <= CONTENT_BYTES_MAX
    }

    /// The content part, without copying it.
    pub fn into_content(self) -> Bytes {
        let from = self.start + HEADER_BYTES + self.meta_bytes;
        let to = from + self.content_bytes;
        Bytes::from(self.buffer).slice(from..to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_only_at_its_own_place() {
        let mut record = Record::new(Kind::Message, b"meta", b"content");
        record.place(7, 128, 64);
        let header = Header::parse(record.bytes(), 7, 128).expect("it is there");
        assert_eq!((header.kind, header.meta_bytes, header.content_bytes), (Some(Kind::Message), 4, 7));
        assert_eq!((header.flushed, header.record_bytes()), (64, record.bytes().len() as u64));
        assert_eq!(Header::parse(record.bytes(), 7, 136), None, "another offset");
        assert_eq!(Header::parse(record.bytes(), 8, 128), None, "another segment");
        assert_eq!(Header::parse(&record.bytes()[..39], 7, 128), None, "cut short");
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = record.bytes().to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(&damaged, 7, 128), None, "bit {bit}");
        }
    }

    #[test]
    fn content_behind_spare_room_becomes_the_same_record_as_from_parts() {
        for room in [0, 10, HEADER_BYTES + 9, 200] {
            let mut buffer = vec![0xee; room];
            buffer.extend_from_slice(b"content");
            let mut around = Record::around(buffer, room, b"meta", b"trace");
            let mut parts = Record::new(Kind::Message, b"meta", b"tracecontent");
            around.place(1, 128, 0);
            parts.place(1, 128, 0);
            assert_eq!(around.bytes(), parts.bytes(), "room {room}");
            assert_eq!(&around.into_content()[..], b"tracecontent", "room {room}");
        }
    }
}
