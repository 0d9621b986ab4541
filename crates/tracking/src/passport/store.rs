//! Where records lie: segments in a folder of their own, opened as soon as the disk allows it.
//!
//! Takes records from the thread that gathers them, leaves out of them what is not to be kept, and encodes them. Hands on the
//! segments to whoever searches.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::conceal::Key;
use super::event::Record;
use super::{stored, terms};
use crate::segments::{self, Records, Segments, Usage};

/// The folders of records, in that of the store of decisions: passports, and what happened beside them. Each has its own room, so
/// that a flood of connections evicts no passport.
const FOLDERS: [&str; 2] = ["passports", "connections"];
const PASSPORTS: usize = 0;
const OTHERS: usize = 1;
/// What happened beside messages has one part of so many.
const OTHERS_SHARE: u64 = 8;

/// What is kept, how much of it and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Whether anything is recorded.
    pub is_enabled: bool,
    /// Bytes of all files together.
    pub bytes_max: u64,
    /// How long, in milliseconds; `None`: until there is no room.
    pub age_max_ms: Option<u64>,
    /// Whether subjects are recorded.
    pub subjects: bool,
    /// Whether addresses are; if not, tokens stand for them.
    pub addresses: bool,
}

impl Default for Keeping {
    fn default() -> Keeping {
        Keeping::DEFAULT
    }
}

impl Keeping {
    /// As Exchange keeps its message tracking logs (fact sheet section 8.2).
    pub const DEFAULT: Keeping = Keeping {
        is_enabled: true,
        bytes_max: 1_000 << 20,
        age_max_ms: Some(30 * 24 * 3_600_000),
        subjects: true,
        addresses: true,
    };

    fn limits(self, place: usize) -> segments::Limits {
        let others = self.bytes_max / OTHERS_SHARE;
        let bytes_max = if place == OTHERS { others } else { self.bytes_max - others };
        segments::Limits { bytes_max, age_max_ms: self.age_max_ms }
    }
}

/// The store, shared by the thread that writes and whoever reads.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    key: Arc<Key>,
    segments: Arc<[OnceLock<Segments>; 2]>,
}

impl Store {
    /// The store in `tracking`, the folder of all that is recorded. A disk that does not take it is tried again later.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn open(tracking: &Path, keeping: Keeping) -> io::Result<Store> {
        let store =
            Store { folder: tracking.to_owned(), key: Arc::new(Key::open(tracking)?), segments: Arc::default() };
        for (place, name) in FOLDERS.into_iter().enumerate() {
            if let Err(error) = store.segments(place, keeping) {
                let folder = store.folder.join(name);
                tracing::warn!(folder = %folder.display(), %error, "message passports cannot be kept for now");
            }
        }
        Ok(store)
    }

    fn segments(&self, place: usize, keeping: Keeping) -> io::Result<&Segments> {
        if let Some(segments) = self.segments[place].get() {
            return Ok(segments);
        }
        let opened = Segments::open(&self.folder.join(FOLDERS[place]), keeping.limits(place), terms::DESCRIBE)?;
        Ok(self.segments[place].get_or_init(|| opened))
    }

    fn each(&self) -> impl Iterator<Item = &Segments> {
        self.segments.iter().filter_map(OnceLock::get)
    }

    /// Takes a record; it is written by [`Store::write_out`].
    ///
    /// # Errors
    /// When the disk cannot be used, or has taken nothing for so long that there is no room to wait.
    pub fn append(&self, mut record: Record, keeping: Keeping, now_ms: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        if !keeping.subjects
            && let Record::Message(part) = &mut record
            && let Some(facts) = &mut part.facts
        {
            facts.subject = None;
        }
        if !keeping.addresses {
            self.key.conceal(&mut record);
        }
        buffer.clear();
        stored::write(&record, buffer);
        let place = if matches!(record, Record::Message(_)) { PASSPORTS } else { OTHERS };
        self.segments(place, keeping)?.append(buffer, now_ms)
    }

    /// Writes all that was appended.
    ///
    /// # Errors
    /// What the disk says; what waits is kept and tried again.
    pub fn write_out(&self) -> io::Result<()> {
        self.each().map(Segments::write_out).fold(Ok(()), io::Result::and)
    }

    /// What was written survives a power cut after this.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync(&self) -> io::Result<()> {
        self.each().map(Segments::sync).fold(Ok(()), io::Result::and)
    }

    /// Seals what is full, removes what is too much or too old.
    ///
    /// # Errors
    /// What the disk says; it is tried again.
    pub fn tend(&self, keeping: Keeping, now_ms: u64) -> io::Result<()> {
        let mut tended = Ok(());
        for (place, segments) in self.segments.iter().enumerate() {
            let Some(segments) = segments.get() else { continue };
            segments.set_limits(keeping.limits(place));
            tended = tended.and(segments.tend(now_ms));
        }
        tended
    }

    /// All records that can be read, oldest first: those of messages, then the others.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn scan(&self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        for segments in self.each() {
            for piece in segments.snapshot(&[]).pieces.iter().rev() {
                for block in 0..piece.blocks().len() as u32 {
                    if let Some(raw) = piece.read_block(block)? {
                        Records(&raw).for_each(&mut each);
                    }
                }
            }
        }
        Ok(())
    }

    /// The segments of passports; `None` while the disk cannot be used.
    pub fn passports(&self) -> Option<&Segments> {
        self.segments[PASSPORTS].get()
    }

    /// The segments of what happened beside messages; `None` while the disk cannot be used.
    pub fn others(&self) -> Option<&Segments> {
        self.segments[OTHERS].get()
    }

    /// What makes tokens of addresses.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What is kept of messages.
    pub fn usage(&self) -> Usage {
        self.passports().map(Segments::usage).unwrap_or_default()
    }

    /// What is kept beside them.
    pub fn others_usage(&self) -> Usage {
        self.others().map(Segments::usage).unwrap_or_default()
    }
}
