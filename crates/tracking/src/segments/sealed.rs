//! A segment that is never written again: blocks of packed records, the index of their terms, and a table of both.
//!
//! ```text
//! header 32 | block | block | ... | pages of the index | directory | table of blocks | trailer 64
//! ```
//! A block is a header of 48 bytes that checks itself and the LZ4 form of its records, each behind its length. What is
//! damaged costs no more than itself: a bad block its records; a bad page, directory or table only the speed of a search,
//! since blocks are found by walking from header to header. The trailer says by which version records were described: terms that
//! came later are not in the index.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Block;
use super::postings::{self, checksum};

const MAGIC: &[u8; 8] = b"GPTRACE1";
const HEADER_BYTES: usize = 32;
const BLOCK_HEADER_BYTES: usize = 48;
const TABLE_ENTRY_BYTES: usize = 32;
const TRAILER_BYTES: usize = 64;
/// Most that a block may unpack to; what claims more is damaged.
pub const BLOCK_RAW_BYTES_MAX: usize = 256 << 10;
/// Most blocks of a segment.
pub const BLOCKS_MAX: usize = 1 << 14;

/// A sealed segment; its file is opened when it is read.
#[derive(Debug)]
pub struct Sealed {
    path: PathBuf,
    /// Its number.
    pub number: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Its blocks in order.
    pub blocks: Vec<Block>,
    index: Option<Index>,
    /// The version by which its records were described.
    pub version: u32,
    /// Stretches of the file in which no block was found when it was opened.
    pub damaged: u64,
}

#[derive(Debug)]
struct Index {
    pages_at: u64,
    directory: Vec<u32>,
    bits: u32,
}

/// Writes a sealed segment.
pub struct Sealing {
    file: BufWriter<File>,
    at: u64,
    salt: u64,
    blocks: Vec<Block>,
    packed: Vec<u8>,
}

impl Sealing {
    /// Begins the file at `path`, which is replaced if it is there.
    pub fn begin(path: &Path, salt: u64) -> io::Result<Sealing> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&salt.to_le_bytes());
        let crc = checksum(&header[..28]);
        header[28..].copy_from_slice(&crc.to_le_bytes());
        let mut file = BufWriter::with_capacity(256 << 10, file);
        file.write_all(&header)?;
        Ok(Sealing { file, at: HEADER_BYTES as u64, salt, blocks: Vec::new(), packed: Vec::new() })
    }

    /// Adds the next block: records, each behind its length.
    pub fn block(&mut self, raw: &[u8], facts: Block) -> io::Result<()> {
        self.packed.resize(lz4_flex::block::get_maximum_output_size(raw.len()), 0);
        let bytes = lz4_flex::block::compress_into(raw, &mut self.packed).map_err(io::Error::other)?;
        let facts = Block { at: self.at, bytes: bytes as u32, ..facts };
        self.file.write_all(&write_block_header(&facts, raw.len() as u32, &self.packed[..bytes], self.salt))?;
        self.file.write_all(&self.packed[..bytes])?;
        self.at += (BLOCK_HEADER_BYTES + bytes) as u64;
        self.blocks.push(facts);
        Ok(())
    }

    /// Adds the index and brings the file to the disk. The index has the terms of a version of descriptions.
    pub fn finish(mut self, pairs: &[u64], version: u32) -> io::Result<()> {
        let packed = postings::pack(pairs);
        let directory: Vec<u8> = packed.directory.iter().flat_map(|at| at.to_le_bytes()).collect();
        let table: Vec<u8> = self.blocks.iter().flat_map(write_table_entry).collect();
        let mut trailer = [0; TRAILER_BYTES];
        let directory_at = self.at + packed.pages.len() as u64;
        let table_at = directory_at + directory.len() as u64;
        for (place, number) in [self.at, directory_at, table_at, !self.salt].into_iter().enumerate() {
            trailer[place * 8..place * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        for (place, number) in
            [packed.bits, self.blocks.len() as u32, checksum(&directory), checksum(&table)].into_iter().enumerate()
        {
            trailer[32 + place * 4..36 + place * 4].copy_from_slice(&number.to_le_bytes());
        }
        trailer[48..56].copy_from_slice(MAGIC);
        trailer[56..60].copy_from_slice(&version.to_le_bytes());
        let crc = checksum(&trailer[..60]);
        trailer[60..].copy_from_slice(&crc.to_le_bytes());
        for part in [&packed.pages[..], &directory, &table, &trailer] {
            self.file.write_all(part)?;
        }
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

fn write_block_header(facts: &Block, raw_bytes: u32, packed: &[u8], salt: u64) -> [u8; BLOCK_HEADER_BYTES] {
    let mut header = [0; BLOCK_HEADER_BYTES];
    header[..8].copy_from_slice(&salt.to_le_bytes());
    header[8..12].copy_from_slice(&facts.bytes.to_le_bytes());
    header[12..16].copy_from_slice(&raw_bytes.to_le_bytes());
    header[16..24].copy_from_slice(&facts.first_ms.to_le_bytes());
    header[24..32].copy_from_slice(&facts.last_ms.to_le_bytes());
    header[32..36].copy_from_slice(&facts.records.to_le_bytes());
    header[36] = u8::from(facts.has_parts);
    header[40..44].copy_from_slice(&checksum(packed).to_le_bytes());
    let crc = checksum(&header[..44]);
    header[44..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The facts of a block, the length of its records and their checksum.
fn parse_block_header(header: &[u8], at: u64, salt: u64) -> Option<(Block, u32, u32)> {
    let header: &[u8; BLOCK_HEADER_BYTES] = header.try_into().ok()?;
    (header[..8] == salt.to_le_bytes() && word(header, 44) == checksum(&header[..44])).then(|| {
        let facts = Block {
            at,
            bytes: word(header, 8),
            first_ms: long(header, 16),
            last_ms: long(header, 24),
            records: word(header, 32),
            has_parts: header[36] != 0,
        };
        (facts, word(header, 12), word(header, 40))
    })
}

fn write_table_entry(block: &Block) -> [u8; TABLE_ENTRY_BYTES] {
    let mut entry = [0; TABLE_ENTRY_BYTES];
    // 63 bits hold a place in a file; the last one says whether the block has parts.
    entry[..8].copy_from_slice(&(block.at << 1 | u64::from(block.has_parts)).to_le_bytes());
    entry[8..12].copy_from_slice(&block.bytes.to_le_bytes());
    entry[12..16].copy_from_slice(&block.records.to_le_bytes());
    entry[16..24].copy_from_slice(&block.first_ms.to_le_bytes());
    entry[24..].copy_from_slice(&block.last_ms.to_le_bytes());
    entry
}

fn parse_table_entry(entry: &[u8; TABLE_ENTRY_BYTES]) -> Block {
    let at = long(entry, 0);
    Block {
        at: at >> 1,
        has_parts: at & 1 != 0,
        bytes: word(entry, 8),
        records: word(entry, 12),
        first_ms: long(entry, 16),
        last_ms: long(entry, 24),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at + 4)) << 32 | u64::from(word(bytes, at))
}

impl Sealed {
    /// Opens a segment; `None` if not even its header is whole.
    pub fn open(path: PathBuf, number: u64) -> io::Result<Option<Sealed>> {
        let file = File::open(&path)?;
        let bytes = file.metadata()?.len();
        let mut header = [0; HEADER_BYTES];
        let has_header = bytes >= HEADER_BYTES as u64 && {
            file.read_exact_at(&mut header, 0)?;
            header[..8] == *MAGIC && word(&header, 28) == checksum(&header[..28])
        };
        if !has_header {
            return Ok(None);
        }
        let salt = long(&header, 8);
        let Ends { table, index, version } = read_ends(&file, bytes, salt)?;
        let (blocks, index, damaged) = match table {
            Some(blocks) => (blocks, index, 0),
            None => {
                let (blocks, gaps) = walk(&file, bytes, salt)?;
                (blocks, None, gaps + 1)
            }
        };
        Ok(Some(Sealed { path, number, bytes, blocks, index, version, damaged }))
    }

    /// The blocks that may hold a term; `None`: the index cannot say, so all.
    pub fn candidates(&self, hash: u32) -> io::Result<Option<Vec<u32>>> {
        let Some(index) = &self.index else { return Ok(None) };
        let page = postings::page_of(hash, index.bits);
        let (from, to) = (index.directory[page], index.directory[page + 1]);
        let Some(length) = to.checked_sub(from) else { return Ok(None) };
        let mut bytes = vec![0; length as usize];
        self.file()?.read_exact_at(&mut bytes, index.pages_at + u64::from(from))?;
        let mut blocks = Vec::new();
        Ok(postings::read_page(&bytes, hash, index.bits, &mut blocks).then_some(blocks))
    }

    /// The records of a block, each behind its length; `None` if it is damaged.
    pub fn read_block(&self, number: u32) -> io::Result<Option<Vec<u8>>> {
        let Some(block) = self.blocks.get(number as usize) else { return Ok(None) };
        let mut bytes = vec![0; BLOCK_HEADER_BYTES + block.bytes as usize];
        match self.file()?.read_exact_at(&mut bytes, block.at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let (header, packed) = bytes.split_at(BLOCK_HEADER_BYTES);
        // The salt was checked when the segment was opened; here it only marks the place.
        let Some((_, raw_bytes, crc)) = parse_block_header(header, block.at, long(header, 0)) else { return Ok(None) };
        if raw_bytes as usize > BLOCK_RAW_BYTES_MAX || checksum(packed) != crc {
            return Ok(None);
        }
        Ok(lz4_flex::block::decompress(packed, raw_bytes as usize).ok())
    }

    /// Removes the file.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    /// Where its file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

/// What stands behind the blocks.
#[derive(Default)]
struct Ends {
    /// The table of blocks and the index, each if it is whole.
    table: Option<Vec<Block>>,
    index: Option<Index>,
    /// 0 where a former version of this program wrote it.
    version: u32,
}

fn read_ends(file: &File, bytes: u64, salt: u64) -> io::Result<Ends> {
    let Some(trailer_at) = bytes.checked_sub(TRAILER_BYTES as u64).filter(|at| *at >= HEADER_BYTES as u64) else {
        return Ok(Ends::default());
    };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, trailer_at)?;
    let [pages_at, directory_at, table_at] = [0, 8, 16].map(|at| long(&trailer, at));
    let [bits, blocks, directory_crc, table_crc] = [32, 36, 40, 44].map(|at| word(&trailer, at));
    let is_whole = word(&trailer, 60) == checksum(&trailer[..60])
        && long(&trailer, 24) == !salt
        && bits <= 16
        && blocks as usize <= BLOCKS_MAX
        && pages_at <= directory_at
        && directory_at + ((1 << bits) + 1) * 4 == table_at
        && table_at + u64::from(blocks) * TABLE_ENTRY_BYTES as u64 == trailer_at;
    if !is_whole {
        return Ok(Ends::default());
    }
    let mut ends = vec![0; (trailer_at - directory_at) as usize];
    file.read_exact_at(&mut ends, directory_at)?;
    let (directory, table) = ends.split_at((table_at - directory_at) as usize);
    let index = (checksum(directory) == directory_crc).then(|| Index {
        pages_at,
        directory: directory.as_chunks().0.iter().map(|at| u32::from_le_bytes(*at)).collect(),
        bits,
    });
    let table = (checksum(table) == table_crc).then(|| table.as_chunks().0.iter().map(parse_table_entry).collect());
    Ok(Ends { table, index, version: word(&trailer, 56) })
}

/// Finds blocks by walking from header to header; where one is damaged, the next is looked for by its salt. The index is of
/// no use then, since a block that is missing moves the numbers of those behind it.
fn walk(file: &File, bytes: u64, salt: u64) -> io::Result<(Vec<Block>, u64)> {
    let mut contents = vec![0; bytes as usize];
    file.read_exact_at(&mut contents, 0)?;
    let (mut blocks, mut damaged, mut at) = (Vec::new(), 0, HEADER_BYTES);
    while at + BLOCK_HEADER_BYTES <= contents.len() && blocks.len() < BLOCKS_MAX {
        let header = &contents[at..at + BLOCK_HEADER_BYTES];
        if let Some((block, ..)) = parse_block_header(header, at as u64, salt) {
            at += BLOCK_HEADER_BYTES + block.bytes as usize;
            blocks.push(block);
            continue;
        }
        // Behind the last block no salt stands: the trailer has its complement.
        let Some(next) = memchr::memmem::find(&contents[at + 1..], &salt.to_le_bytes()) else { break };
        damaged += 1;
        at += 1 + next;
    }
    Ok((blocks, damaged))
}
