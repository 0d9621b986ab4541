//! Where records lie: a ring of append-only files, without an index.
//!
//! Takes encoded records from the thread that gathers them; a reader goes through all of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decision::DecisionId;
use crate::frame;
use crate::room::{self, Room};

/// The folder of records, in that of the store of decisions.
const FOLDER: &str = "passports";

/// The store; one thread writes.
#[derive(Debug)]
pub struct Store {
    room: Room,
    reader: Arc<Reader>,
    frames: Vec<u8>,
    number: u64,
}

/// Reads what was written out, on any thread.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
}

impl Store {
    /// Opens the store in `tracking`, the folder of all that is recorded.
    pub fn open(tracking: &Path, bytes_max: u64, salt: u64) -> Store {
        let folder = tracking.join(FOLDER);
        let reader = Arc::new(Reader { folder: folder.clone() });
        Store { room: Room::open(folder, bytes_max, salt), reader, frames: Vec::new(), number: 0 }
    }

    /// Takes a record; it is written by [`Store::write_out`].
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.number = (self.number + 1) % (1 << 47);
        let id = DecisionId::from_number(self.number).ok_or(io::ErrorKind::InvalidInput)?;
        let fits = frame::push(&mut self.frames, self.room.salt(), id, |into| into.extend_from_slice(record));
        if fits { Ok(()) } else { Err(io::ErrorKind::FileTooLarge.into()) }
    }

    /// Writes all that was appended.
    pub fn write_out(&mut self, now_ms: u64) -> io::Result<()> {
        let frames = std::mem::take(&mut self.frames);
        self.room.append(&frames, now_ms).map(|_| ()).map_err(|(_, error)| error)
    }

    /// What was written survives a power cut after this.
    pub fn sync(&mut self) -> io::Result<()> {
        self.room.sync()
    }

    /// A reader for other threads.
    pub fn reader(&self) -> Arc<Reader> {
        self.reader.clone()
    }
}

impl Reader {
    /// All records that are whole, oldest first.
    pub fn scan(&self, each: impl FnMut(&[u8])) -> io::Result<()> {
        room::scan(&self.folder, each)
    }
}
