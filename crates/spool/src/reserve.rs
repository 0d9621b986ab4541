//! Room on the disk that is set apart for outcomes, so that a full disk can empty itself.
//!
//! Only outcomes give space back, and they need a little of it first. So a file of [`Options::reserve_bytes`] lies in
//! the spool's folder; its content means nothing. When the log meets a full disk the file is removed, and its room and
//! its inode are used by the outcomes alone: from then on messages are refused, and large ones that are arriving too.
//! Once there is room for the file again, and some more, it is made again and messages are taken again.
//!
//! How long it lasts. The end of a message takes at most 9 bytes in a full record and 64 in one of its own; the end of
//! one recipient among several takes about 50 and its reply. The default of 4 MiB is a segment's header and 65,000
//! messages that end one at a time, 450,000 that end together, or 25,000 recipients of messages that go on. Should it
//! not suffice, or should others fill the disk faster, outcomes wait in memory: nothing is lost, and a crash then costs
//! duplicates.
//!
//! [`Options::reserve_bytes`]: crate::Options::reserve_bytes

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::disk::Disk;

const FILE_NAME: &str = "reserve";
const PIECE_BYTES: u64 = 1 << 20;

/// The reserve of one spool.
#[derive(Debug)]
pub(crate) struct Reserve {
    root: PathBuf,
    bytes: u64,
    /// Why the file is missing. Whoever writes content holds this for reading, so that nobody who was admitted before
    /// the file was given up writes to its room after that.
    missing: RwLock<Option<io::ErrorKind>>,
}

/// Proof that the reserve is there, and that it stays there meanwhile.
pub(crate) type Admission<'a> = RwLockReadGuard<'a, Option<io::ErrorKind>>;

impl Reserve {
    /// The reserve in the folder `root`: found there, or made, or missing.
    pub fn open(disk: &dyn Disk, root: &Path, bytes: u64) -> Reserve {
        let reserve =
            Reserve { root: root.to_path_buf(), bytes, missing: RwLock::new(Some(io::ErrorKind::StorageFull)) };
        if reserve.is_on(disk) {
            reserve.set_missing(None);
        } else if let Err(error) = reserve.restore(disk) {
            tracing::error!(%error, bytes, "no room for the reserve of the spool: messages are refused until there is");
        }
        reserve
    }

    /// How large it is when it is there.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why it is missing; `None` if it is there.
    pub fn missing(&self) -> Option<io::ErrorKind> {
        *self.missing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets content be written, if the reserve is there; it is not given up before the admission is dropped.
    pub fn admit(&self) -> io::Result<Admission<'_>> {
        let missing = self.missing.read().unwrap_or_else(PoisonError::into_inner);
        match *missing {
            None => Ok(missing),
            Some(kind) => Err(kind.into()),
        }
    }

    /// Removes the file. Returns whether it was there, so that it makes sense to try again.
    pub fn give_up(&self, disk: &dyn Disk) -> bool {
        let before = self.missing.write().unwrap_or_else(PoisonError::into_inner).replace(io::ErrorKind::StorageFull);
        if before.is_some() {
            return false;
        }
        // Flushed, because a file system may hold on to freed room until its journal is.
        let removed = disk.remove(&self.root.join(FILE_NAME)).and_then(|()| disk.flush_folder(&self.root));
        match removed {
            Ok(()) => tracing::error!(
                bytes = self.bytes,
                "the disk of the spool is full: its reserve is used for outcomes, messages are refused"
            ),
            Err(error) => tracing::error!(%error, "the disk of the spool is full, and its reserve cannot be used"),
        }
        true
    }

    /// Makes the file again if there is room for it and a quarter more, so that messages are not taken only to be
    /// refused a moment later.
    pub fn restore(&self, disk: &dyn Disk) -> io::Result<()> {
        let partial = self.root.join(format!("{FILE_NAME}.tmp"));
        let made = self.make(disk, &partial);
        if made.is_err() {
            let _ = disk.remove(&partial); // the next attempt removes it first
        }
        self.set_missing(made.as_ref().err().map(io::Error::kind));
        made
    }

    fn make(&self, disk: &dyn Disk, partial: &Path) -> io::Result<()> {
        match disk.remove(partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(partial)?;
        let wanted = self.bytes + self.bytes / 4;
        // Random, because a file system may keep zeros, and whatever can be compressed, without setting room apart.
        let mut piece = vec![0; PIECE_BYTES.min(wanted) as usize];
        getrandom::fill(&mut piece).map_err(io::Error::other)?;
        let mut at = 0;
        while at < wanted {
            let length = PIECE_BYTES.min(wanted - at);
            file.append(&mut [IoSlice::new(&piece[..length as usize])])?;
            at += length;
        }
        // Only a flush makes some file systems look for the room.
        file.flush()?;
        file.cut(self.bytes)?;
        file.flush()?;
        disk.rename(partial, &self.root.join(FILE_NAME))?;
        disk.flush_folder(&self.root)
    }

    fn is_on(&self, disk: &dyn Disk) -> bool {
        let listed = disk.list(&self.root).unwrap_or_default();
        listed.iter().any(|listed| listed.name == FILE_NAME && listed.bytes >= self.bytes)
    }

    fn set_missing(&self, kind: Option<io::ErrorKind>) {
        *self.missing.write().unwrap_or_else(PoisonError::into_inner) = kind;
    }
}
