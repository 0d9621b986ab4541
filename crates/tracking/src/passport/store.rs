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

/// The folder of records, in that of the store of decisions.
const FOLDER: &str = "passports";

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

    fn limits(self) -> segments::Limits {
        segments::Limits { bytes_max: self.bytes_max, age_max_ms: self.age_max_ms }
    }
}

/// The store, shared by the thread that writes and whoever reads.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    key: Arc<Key>,
    segments: Arc<OnceLock<Segments>>,
}

impl Store {
    /// The store in `tracking`, the folder of all that is recorded. A disk that does not take it is tried again later.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn open(tracking: &Path, keeping: Keeping) -> io::Result<Store> {
        let store =
            Store { folder: tracking.join(FOLDER), key: Arc::new(Key::open(tracking)?), segments: Arc::default() };
        if let Err(error) = store.segments(keeping) {
            tracing::warn!(folder = %store.folder.display(), %error, "message passports cannot be kept for now");
        }
        Ok(store)
    }

    fn segments(&self, keeping: Keeping) -> io::Result<&Segments> {
        if let Some(segments) = self.segments.get() {
            return Ok(segments);
        }
        let opened = Segments::open(&self.folder, keeping.limits(), terms::describe)?;
        Ok(self.segments.get_or_init(|| opened))
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
        self.segments(keeping)?.append(buffer, now_ms)
    }

    /// Writes all that was appended.
    ///
    /// # Errors
    /// What the disk says; what waits is kept and tried again.
    pub fn write_out(&self) -> io::Result<()> {
        self.segments.get().map_or(Ok(()), Segments::write_out)
    }

    /// What was written survives a power cut after this.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync(&self) -> io::Result<()> {
        self.segments.get().map_or(Ok(()), Segments::sync)
    }

    /// Seals what is full, removes what is too much or too old.
    ///
    /// # Errors
    /// What the disk says; it is tried again.
    pub fn tend(&self, keeping: Keeping, now_ms: u64) -> io::Result<()> {
        let Some(segments) = self.segments.get() else { return Ok(()) };
        segments.set_limits(keeping.limits());
        segments.tend(now_ms)
    }

    /// All records that can be read, oldest first.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn scan(&self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let Some(segments) = self.segments.get() else { return Ok(()) };
        for piece in segments.snapshot(&[]).pieces.iter().rev() {
            for block in 0..piece.blocks().len() as u32 {
                if let Some(raw) = piece.read_block(block)? {
                    Records(&raw).for_each(&mut each);
                }
            }
        }
        Ok(())
    }

    /// The segments; `None` while the disk cannot be used.
    pub fn opened(&self) -> Option<&Segments> {
        self.segments.get()
    }

    /// What makes tokens of addresses.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What is kept.
    pub fn usage(&self) -> Usage {
        self.segments.get().map(Segments::usage).unwrap_or_default()
    }
}
