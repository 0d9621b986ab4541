//! Records in a folder of segments, found again by their terms.
//!
//! Takes encoded records, keeps them in the newest segment (`NNNN.open`), and seals a segment that is full or old into packed
//! blocks with an index (`NNNN.trace`). Hands on snapshots, from which any thread reads while records are appended. Knows
//! nothing of what a record says: [`Describe`] tells its time and its terms. Promises what was flushed by [`Segments::sync`].
//!
//! | on disk | means |
//! |---|---|
//! | `N.open` | written to, or full and about to be sealed; a torn end is cut off when it is opened |
//! | `N.trace` | sealed; an `N.open` beside it is what it was made from, and goes |
//! | `N.new` | a sealed segment that was not finished; goes |
//! | `N.damaged` | not even its header can be read: set apart, counted |

mod piece;
mod log;
mod sealed;
mod gathered;
mod postings;
mod records;
mod files;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use files::{Kind, files, path, set_apart};
use gathered::Gathered;
use log::{BLOCK_BYTES, Log};
use piece::Source;
pub use piece::{Piece, Snapshot};
pub use records::Records;
use records::push_record;
use sealed::{Sealed, Sealing};

use crate::frame;

/// A segment is sealed at so many bytes, or at a part of what the folder may hold.
const SEGMENT_BYTES_MAX: u64 = 32 << 20;
const SEGMENT_BYTES_MIN: u64 = 256 << 10;
const SEGMENTS_MIN: u64 = 16;
/// A segment is sealed when its first record has waited so long, or a part of how long records are kept.
const SEGMENT_AGE_MAX_MS: u64 = 24 * 3_600_000;
const SEGMENT_AGES: u64 = 8;
/// Longest record.
pub const RECORD_BYTES_MAX: usize = frame::RECORD_BYTES_MAX;

const _: () = assert!(BLOCK_BYTES as usize + 2 * RECORD_BYTES_MAX <= sealed::BLOCK_RAW_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MAX / BLOCK_BYTES + 1 < sealed::BLOCKS_MAX as u64);

/// How records are described.
#[derive(Clone, Copy, Debug)]
pub struct Describe {
    /// Tells of a record when it was, and adds the hashes of its terms; `None` if it cannot be read.
    pub record: fn(&[u8], &mut Vec<u32>) -> Option<Described>,
    /// Goes up whenever records get terms that they did not have: what was sealed before is not found by those.
    pub version: u32,
}

/// What the store must know of a record beside its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// Unix time in milliseconds.
    pub time_ms: u64,
    /// Where other records may belong to the same whole: which.
    pub part: Option<PartOf>,
}

/// What a part tells of the whole that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// The number of the whole.
    pub whole: u64,
    /// The hash of a term that counts as long as the whole has not ended.
    pub while_open: Option<u32>,
    /// Whether the whole ends with it.
    pub is_end: bool,
}

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    at: u64,
    bytes: u32,
    /// How many records it holds.
    pub records: u32,
    /// The earliest and the latest time of its records.
    pub first_ms: u64,
    /// The latest.
    pub last_ms: u64,
    /// Whether one of them is a part.
    pub has_parts: bool,
}

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub bytes_max: u64,
    /// Milliseconds after its last record at which a segment goes; `None`: never.
    pub age_max_ms: Option<u64>,
}

/// What the folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes on the disk.
    pub bytes: u64,
    /// The most that it may hold.
    pub bytes_max: u64,
    /// The time of the oldest record.
    pub oldest_ms: Option<u64>,
    /// How many records there are.
    pub records: u64,
    /// Damaged places that were met: files set apart, blocks and records that cannot be read.
    pub damaged: u64,
}

/// What a rewriting came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Records that were changed.
    pub records: u64,
    /// Damaged blocks and files that were removed, since nobody can say what they hold.
    pub damaged: u64,
}

/// The folder, shared by whoever appends and whoever reads.
#[derive(Clone, Debug)]
pub struct Segments {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    describe: Describe,
    state: Mutex<State>,
    /// Held while a segment is sealed, rewritten or removed.
    tending: Mutex<()>,
    damaged: AtomicU64,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    next_number: u64,
    log: Option<Log>,
    /// Full, and not sealed yet.
    full: BTreeMap<u64, Arc<Log>>,
    sealed: BTreeMap<u64, Arc<Sealed>>,
    /// The newest log whose name is flushed.
    named: u64,
}

impl Segments {
    /// Opens the folder, which is made if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made or listed. A file that cannot be understood is set apart, counted and no error.
    pub fn open(folder: &Path, limits: Limits, describe: Describe) -> io::Result<Segments> {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        let mut state =
            State { limits, next_number: 1, log: None, full: BTreeMap::new(), sealed: BTreeMap::new(), named: 0 };
        let damaged = AtomicU64::new(0);
        let mut logs = Vec::new();
        for (number, kind) in files(folder)? {
            state.next_number = state.next_number.max(number + 1);
            match kind {
                Kind::Unfinished => fs::remove_file(path(folder, number, kind))?,
                Kind::Damaged => _ = damaged.fetch_add(1, Ordering::Relaxed),
                Kind::Log => logs.push(number),
                Kind::Sealed => {
                    let Some(segment) = Sealed::open(path(folder, number, kind), number)? else {
                        set_apart(folder, number, kind, &damaged)?;
                        continue;
                    };
                    damaged.fetch_add(segment.damaged, Ordering::Relaxed);
                    state.sealed.insert(number, Arc::new(segment));
                }
            }
        }
        for number in logs {
            if state.sealed.contains_key(&number) {
                fs::remove_file(log::path(folder, number))?;
                continue;
            }
            let Some((log, damage)) = Log::open(folder, number, describe)? else {
                // Where its header was still being written, nothing is lost.
                match fs::metadata(log::path(folder, number))?.len() <= log::HEADER_BYTES as u64 {
                    true => fs::remove_file(log::path(folder, number))?,
                    false => set_apart(folder, number, Kind::Log, &damaged)?,
                }
                continue;
            };
            damaged.fetch_add(damage.gaps + damage.records, Ordering::Relaxed);
            if let Some(older) = state.log.replace(log) {
                state.full.insert(older.number, Arc::new(older));
            }
        }
        let shared =
            Shared { folder: folder.into(), describe, state: Mutex::new(state), tending: Mutex::new(()), damaged };
        Ok(Segments { shared: Arc::new(shared) })
    }

    /// Appends a record. It is searched at once and in the file after [`Segments::write_out`].
    ///
    /// # Errors
    /// When it is too long or no record, or the disk has taken nothing for so long that it has no place.
    pub fn append(&self, record: &[u8], now_ms: u64) -> io::Result<()> {
        let mut hashes = Vec::with_capacity(32);
        let described = (self.shared.describe.record)(record, &mut hashes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "what was to be kept is no record"))?;
        let mut state = self.lock();
        let is_full = state.log.as_ref().is_none_or(|log| log.bytes() >= segment_bytes(state.limits));
        if is_full
            && let Err(error) = state.begin_log(&self.shared.folder)
            && state.log.is_none()
        {
            return Err(error);
        }
        // Where no new one can be begun, the full one is written on.
        let taken = state.log.as_mut().is_some_and(|log| log.append(record, described, &hashes, now_ms));
        let too_much =
            || io::Error::new(io::ErrorKind::StorageFull, "the record is too long, or too many wait for the disk");
        taken.then_some(()).ok_or_else(too_much)
    }

    /// Gives what was appended to the file.
    ///
    /// # Errors
    /// What the disk says; what waits is kept and tried again.
    pub fn write_out(&self) -> io::Result<()> {
        self.lock().log.as_mut().map_or(Ok(()), Log::write_out)
    }

    /// Writes out and flushes: what was appended before is on the disk whatever happens.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync(&self) -> io::Result<()> {
        let mut dirty: Vec<Arc<File>> = Vec::new();
        {
            let mut state = self.lock();
            let State { log, full, .. } = &mut *state;
            if let Some(log) = log {
                log.write_out()?;
                dirty.extend(std::mem::take(&mut log.is_dirty).then(|| log.file()));
            }
            dirty.extend(full.values().filter(|log| log.is_dirty).map(|log| log.file()));
        }
        for file in dirty {
            if let Err(error) = file.sync_data() {
                if let Some(log) = &mut self.lock().log {
                    log.is_dirty = true;
                }
                return Err(error);
            }
        }
        self.flush_name()
    }

    /// What is in a new file is no safer than its name, and the names of the folders above it.
    fn flush_name(&self) -> io::Result<()> {
        let newest = {
            let state = self.lock();
            state.log.as_ref().map(|log| log.number).filter(|number| *number > state.named)
        };
        let Some(newest) = newest else { return Ok(()) };
        self.sync_folder()?;
        for above in self.shared.folder.ancestors().skip(1).take(2).filter(|above| !above.as_os_str().is_empty()) {
            File::open(above)?.sync_all()?;
        }
        self.lock().named = newest;
        Ok(())
    }

    /// How much is kept from now on; takes effect at the next [`Segments::tend`].
    pub fn set_limits(&self, limits: Limits) {
        self.lock().limits = limits;
    }

    /// Seals what is full or old and removes what is too much or too old. For the thread that appends, after each batch: seldom
    /// has it anything to do, then a tenth of a second or so.
    ///
    /// # Errors
    /// What the disk says; it is tried again the next time.
    pub fn tend(&self, now_ms: u64) -> io::Result<()> {
        let limits = {
            let mut state = self.lock();
            let limits = state.limits;
            let age_max_ms =
                limits.age_max_ms.map_or(SEGMENT_AGE_MAX_MS, |age_ms| (age_ms / SEGMENT_AGES).min(SEGMENT_AGE_MAX_MS));
            let since_ms = state.log.as_ref().and_then(|log| log.since_ms);
            if since_ms.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) >= age_max_ms) {
                state.begin_log(&self.shared.folder)?;
            }
            if state.full.is_empty() && !state.has_too_much(now_ms) {
                return Ok(());
            }
            limits
        };
        let _tending = lock(&self.shared.tending);
        self.seal_full()?;
        self.remove_what_is_too_much(limits, now_ms)
    }

    /// What the folder holds.
    pub fn usage(&self) -> Usage {
        let state = self.lock();
        let blocks = || state.sealed.values().flat_map(|sealed| &sealed.blocks);
        let logs = || state.full.values().map(|log| &**log).chain(&state.log);
        let oldest_sealed = state.sealed.values().next().and_then(|oldest| first_ms(&oldest.blocks));
        Usage {
            bytes: state.bytes(),
            bytes_max: state.limits.bytes_max,
            oldest_ms: oldest_sealed.or_else(|| logs().find_map(|log| first_ms(log.blocks()))),
            records: blocks().chain(logs().flat_map(|log| log.blocks())).map(|block| u64::from(block.records)).sum(),
            damaged: self.shared.damaged.load(Ordering::Relaxed),
        }
    }

    /// All that is there at this moment, newest first. `hashes` are those of the terms that will be asked for.
    pub fn snapshot(&self, hashes: &[u32]) -> Snapshot {
        let state = self.lock();
        let of_log = |log: &Log| Piece {
            number: log.number,
            source: Source::Log {
                view: log.view(),
                candidates: hashes.iter().map(|hash| (*hash, log.candidates(*hash))).collect(),
            },
        };
        let mut pieces: BTreeMap<u64, Piece> =
            state.sealed.values().map(|sealed| (sealed.number, Piece::sealed(sealed.clone()))).collect();
        pieces.extend(state.full.values().map(|log| &**log).chain(&state.log).map(|log| (log.number, of_log(log))));
        Snapshot { pieces: pieces.into_values().rev().collect(), damaged: 0 }
    }

    /// Counts damage that a reader has met.
    pub fn count_damage(&self, damaged: u64) {
        self.shared.damaged.fetch_max(damaged, Ordering::Relaxed);
    }

    /// Replaces records by what `change` makes of them (`None`: stays as it is), in all files; what cannot be read is removed.
    /// What was rewritten is flushed and the old files are gone when this returns. Takes seconds for each gigabyte.
    ///
    /// # Errors
    /// What the disk says. Segments done until then stay done: asking again goes on with the rest.
    pub fn rewrite(&self, change: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> io::Result<Rewritten> {
        {
            let mut state = self.lock();
            if state.log.as_ref().is_some_and(|log| !log.is_empty()) {
                state.begin_log(&self.shared.folder)?;
            }
        }
        let _tending = lock(&self.shared.tending);
        self.seal_full()?;
        let sealed: Vec<Arc<Sealed>> = self.lock().sealed.values().cloned().collect();
        let mut rewritten = Rewritten::default();
        for (number, kind) in files(&self.shared.folder)? {
            if kind == Kind::Damaged {
                fs::remove_file(path(&self.shared.folder, number, kind))?;
                rewritten.damaged += 1;
            }
        }
        for segment in sealed {
            self.rewrite_segment(&segment, change, &mut rewritten)?;
        }
        self.sync_folder()?;
        Ok(rewritten)
    }

    fn rewrite_segment(
        &self,
        segment: &Sealed,
        change: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
        rewritten: &mut Rewritten,
    ) -> io::Result<()> {
        let mut damaged = segment.damaged;
        let mut changed = 0;
        let mut blocks = Vec::new();
        for number in 0..segment.blocks.len() as u32 {
            let Some(raw) = segment.read_block(number)? else {
                damaged += 1;
                blocks.push(Vec::new());
                continue;
            };
            let mut block = Vec::with_capacity(raw.len());
            for record in Records(&raw) {
                let other = change(record);
                changed += u64::from(other.is_some());
                push_record(other.as_deref().unwrap_or(record), &mut block);
            }
            blocks.push(block);
        }
        rewritten.records += changed;
        rewritten.damaged += damaged;
        if changed == 0 && damaged == 0 {
            return Ok(());
        }
        let unfinished = path(&self.shared.folder, segment.number, Kind::Unfinished);
        let mut sealing = Sealing::begin(&unfinished, random_salt()?)?;
        let Describe { record: describe, version } = self.shared.describe;
        let (mut terms, mut hashes) = (Gathered::default(), Vec::new());
        for (number, (raw, block)) in (0..).zip(blocks.iter().zip(&segment.blocks)) {
            let mut records = 0;
            for record in Records(raw) {
                hashes.clear();
                let described = describe(record, &mut hashes);
                terms.note(number, &hashes, described.and_then(|described| described.part));
                records += 1;
            }
            sealing.block(raw, Block { records, ..*block })?;
        }
        sealing.finish(&terms.pairs(), version)?;
        fs::rename(&unfinished, segment.path())?;
        let sealed = Sealed::open(segment.path().into(), segment.number)?;
        if let Some(sealed) = sealed {
            self.lock().sealed.insert(segment.number, Arc::new(sealed));
        }
        Ok(())
    }

    /// Seals what is full. The caller holds `tending`.
    fn seal_full(&self) -> io::Result<()> {
        loop {
            let Some(log) = self.lock().full.values().next().cloned() else { return Ok(()) };
            let folder = &self.shared.folder;
            let (unfinished, done) =
                (path(folder, log.number, Kind::Unfinished), path(folder, log.number, Kind::Sealed));
            log.seal(&unfinished, self.shared.describe.version)?;
            fs::rename(&unfinished, &done)?;
            self.sync_folder()?;
            let sealed =
                Sealed::open(done, log.number)?.ok_or_else(|| io::Error::other("what was sealed cannot be read"))?;
            {
                let mut state = self.lock();
                state.full.remove(&log.number);
                state.sealed.insert(sealed.number, Arc::new(sealed));
            }
            log.remove()?;
        }
    }

    fn remove_what_is_too_much(&self, limits: Limits, now_ms: u64) -> io::Result<()> {
        loop {
            let oldest = {
                let mut state = self.lock();
                if !state.has_too_much(now_ms) {
                    return Ok(());
                }
                state.sealed.pop_first()
            };
            let Some((_, oldest)) = oldest else { return Ok(()) };
            match oldest.remove() {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => tracing::debug!(
                    number = oldest.number,
                    limit = limits.bytes_max,
                    "an old segment of passports goes"
                ),
            }
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.shared.folder)?.sync_all()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

impl State {
    /// Begins a new log; the one before is full from then on.
    fn begin_log(&mut self, folder: &Path) -> io::Result<()> {
        if let Some(log) = &mut self.log {
            log.write_out()?;
        }
        let log = self.log.replace(Log::create(folder, self.next_number, random_salt()?)?);
        self.next_number += 1;
        if let Some(full) = log {
            self.full.insert(full.number, Arc::new(full));
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let logs = self.full.values().map(|log| &**log).chain(&self.log);
        self.sealed.values().map(|sealed| sealed.bytes).sum::<u64>() + logs.map(Log::bytes).sum::<u64>()
    }

    /// Whether the oldest sealed segment has to go.
    fn has_too_much(&self, now_ms: u64) -> bool {
        let Some(oldest) = self.sealed.values().next() else { return false };
        let last_ms = oldest.blocks.iter().map(|block| block.last_ms).max().unwrap_or(0);
        let is_old = self.limits.age_max_ms.is_some_and(|age_ms| now_ms.saturating_sub(last_ms) > age_ms);
        is_old || self.bytes() > self.limits.bytes_max
    }
}

fn first_ms(blocks: &[Block]) -> Option<u64> {
    blocks.iter().filter(|block| block.records > 0).map(|block| block.first_ms).min()
}

fn segment_bytes(limits: Limits) -> u64 {
    (limits.bytes_max / SEGMENTS_MIN).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
}

fn random_salt() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
