//! The segment that is being written: an append-only file of frames, and in memory the index that it will be sealed with.
//!
//! Takes records, gives them to the file in batches, and keeps which block holds which term. A block is a stretch of the file:
//! all records whose frames begin in it. So its number is known when a record is appended, and sealing packs blocks and
//! sorts pairs without looking into records again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{self, Kind};
use super::gathered::Gathered;
use super::postings::checksum;
use super::records::push_record;
use super::sealed::Sealing;
use super::{Block, Describe, Described};
use crate::decision::DecisionId;
use crate::frame::{self, Frames};

const MAGIC: &[u8; 8] = b"GPTRACE0";
/// Bytes before the first frame.
pub const HEADER_BYTES: usize = 32;
/// A block is so many bytes of the file.
pub const BLOCK_BYTES: u64 = 64 << 10;
/// Records that the disk does not take are kept up to so many bytes.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// The frame of a record needs an id for its header; records of this store have none of their own.
fn no_id() -> DecisionId {
    DecisionId::from_number(0).expect("0 has fewer than 48 bits")
}

/// A segment that is open.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    /// Its number.
    pub number: u64,
    file: Arc<File>,
    salt: u64,
    /// Bytes that are in the file, its header included.
    written: u64,
    /// Frames that are not.
    waiting: Vec<u8>,
    blocks: Vec<Block>,
    terms: Gathered,
    /// When its first record was appended.
    pub since_ms: Option<u64>,
    /// Whether something was written since the last flush.
    pub is_dirty: bool,
}

/// Damage that was met while a log was read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Stretches without a frame.
    pub gaps: u64,
    /// Frames whose record is not what was written, or cannot be read.
    pub records: u64,
}

impl Log {
    /// Makes a new one.
    pub fn create(folder: &Path, number: u64, salt: u64) -> io::Result<Log> {
        let path = path(folder, number);
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&path)?;
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&salt.to_le_bytes());
        let crc = checksum(&header[..28]);
        header[28..].copy_from_slice(&crc.to_le_bytes());
        if let Err(error) = file.write_all(&header) {
            // Best effort: a log without a header holds nothing.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Log {
            path,
            number,
            file: Arc::new(file),
            salt,
            written: HEADER_BYTES as u64,
            waiting: Vec::new(),
            blocks: Vec::new(),
            terms: Gathered::default(),
            since_ms: None,
            is_dirty: false,
        })
    }

    /// Reads back one that a former run left; what stands behind its last whole record is cut off. `None` if not even its
    /// header is whole.
    pub fn open(folder: &Path, number: u64, describe: Describe) -> io::Result<Option<(Log, Damage)>> {
        let path = path(folder, number);
        let bytes = fs::read(&path)?;
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let crc = checksum(&header[..28]).to_le_bytes();
        let Some(salt) = (header[..8] == *MAGIC && header[28..] == crc).then(|| header[8..].first_chunk::<8>()) else {
            return Ok(None);
        };
        let salt = u64::from_le_bytes(*salt.expect("32 bytes hold 16"));
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(&path)?);
        let mut log = Log {
            path,
            number,
            file,
            salt,
            written: HEADER_BYTES as u64,
            waiting: Vec::new(),
            blocks: Vec::new(),
            terms: Gathered::default(),
            since_ms: None,
            is_dirty: true,
        };
        let mut damage = Damage::default();
        let mut frames = Frames::of(&bytes[HEADER_BYTES..], salt);
        let (mut hashes, mut first_ms) = (Vec::new(), None);
        while let Some(frame) = frames.next() {
            let at = (HEADER_BYTES + frames.at - frame.bytes()) as u64;
            hashes.clear();
            match frame.record().and_then(|record| (describe.record)(record, &mut hashes)) {
                Some(described) => {
                    first_ms = first_ms.or(Some(described.time_ms));
                    log.note(at, described, &hashes);
                }
                None => damage.records += 1,
            }
            log.written = (HEADER_BYTES + frames.at) as u64;
        }
        damage.gaps = frames.gaps;
        log.since_ms = first_ms;
        log.file.set_len(log.written)?;
        Ok(Some((log, damage)))
    }

    /// Appends a record; it is in the file after [`Log::write_out`]. False if it is too long, or if too many wait.
    pub fn append(&mut self, record: &[u8], described: Described, hashes: &[u32], now_ms: u64) -> bool {
        let at = self.written + self.waiting.len() as u64;
        let fits = self.waiting.len() < WAITING_BYTES_MAX
            && frame::push(&mut self.waiting, self.salt, no_id(), |into| into.extend_from_slice(record));
        if fits {
            self.since_ms.get_or_insert(now_ms);
            self.note(at, described, hashes);
        }
        fits
    }

    /// Keeps in mind what is at `at`.
    fn note(&mut self, at: u64, described: Described, hashes: &[u32]) {
        let number = ((at - HEADER_BYTES as u64) / BLOCK_BYTES) as usize;
        while self.blocks.len() <= number {
            let (first_ms, last_ms) = (described.time_ms, described.time_ms);
            self.blocks.push(Block { at, bytes: 0, records: 0, first_ms, last_ms, has_parts: false });
        }
        let block = &mut self.blocks[number];
        if block.records == 0 {
            block.at = at;
        }
        block.records += 1;
        block.first_ms = block.first_ms.min(described.time_ms);
        block.last_ms = block.last_ms.max(described.time_ms);
        block.has_parts |= described.part.is_some();
        self.terms.note(number as u32, hashes, described.part);
    }

    /// Gives what waits to the file.
    ///
    /// # Errors
    /// What the disk says; what waits is kept and tried again.
    pub fn write_out(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all_at(&self.waiting, self.written) {
            // Best effort: bytes behind the end are written over by the next try, and a torn end is passed over.
            let _ = self.file.set_len(self.written);
            return Err(error);
        }
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        self.is_dirty = true;
        Ok(())
    }

    /// Its file, to flush it without holding it.
    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Bytes in the file and waiting.
    pub fn bytes(&self) -> u64 {
        self.written + self.waiting.len() as u64
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Its blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The blocks that may hold a term.
    pub fn candidates(&self, hash: u32) -> Vec<u32> {
        self.terms.candidates(hash)
    }

    /// What a search needs to read it while it grows.
    pub fn view(&self) -> View {
        View { file: self.file.clone(), salt: self.salt, written: self.written, blocks: self.blocks.clone() }
    }

    /// Writes the sealed form beside it; `version` is that by which its records were described.
    pub fn seal(&self, to: &Path, version: u32) -> io::Result<()> {
        let view = self.view();
        let mut sealing = Sealing::begin(to, self.salt)?;
        for (number, block) in (0..).zip(&view.blocks) {
            let records = view.read_block(number)?;
            sealing.block(&records, Block { bytes: 0, ..*block })?;
        }
        sealing.finish(&self.terms.pairs(), version)
    }

    /// Removes the file.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// A log as it was at one moment.
#[derive(Clone, Debug)]
pub struct View {
    file: Arc<File>,
    salt: u64,
    written: u64,
    /// Its blocks.
    pub blocks: Vec<Block>,
}

impl View {
    /// The records of a block, each behind its length; those that are damaged or not written yet are missing.
    pub fn read_block(&self, number: u32) -> io::Result<Vec<u8>> {
        let mut records = Vec::new();
        let Some(block) = self.blocks.get(number as usize).filter(|block| block.records > 0) else {
            return Ok(records);
        };
        let next = self.blocks[number as usize + 1..].iter().find(|block| block.records > 0);
        let end = next.map_or(self.written, |next| next.at).min(self.written);
        let mut bytes = vec![0; end.saturating_sub(block.at) as usize];
        self.file.read_exact_at(&mut bytes, block.at)?;
        for record in Frames::of(&bytes, self.salt).filter_map(|frame| frame.record()) {
            push_record(record, &mut records);
        }
        Ok(records)
    }
}

/// Where the log of a number lies.
pub fn path(folder: &Path, number: u64) -> PathBuf {
    files::path(folder, number, Kind::Log)
}
