//! The disk as the spool needs it, and who writes mailboxes: a few calls, so that a fake one can lose, tear and reorder
//! what was not flushed.
//!
//! Everything goes through the C library (`std::fs` does), so that a preloaded shim can watch and disturb the real
//! program too. Only one thread appends to a file; any thread reads.

use std::fmt;
use std::fs;
use std::io::{self, IoSlice, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// A file system: the real one, or a fake.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a folder and its parents; it is no error if it is there.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Whether this folder is there.
    fn has_folder(&self, folder: &Path) -> bool;
    /// The plain files of a folder, in no order. Names that are not UTF-8 are none of ours and are left out.
    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>>;
    /// The names in a folder, in no order, those of plain files among them: cheaper than [`Disk::list`], which looks at
    /// each file.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes a new, empty file for appending; it must not exist.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Renames a file, replacing what was there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in this folder survive power loss.
    fn flush_folder(&self, folder: &Path) -> io::Result<()>;
    /// Takes the lock that `path` stands for, for this process alone.
    fn lock(&self, path: &Path) -> io::Result<Locking>;
    /// Whether somebody has that lock. Changes nothing.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;
}

/// An open file.
pub trait File: Send + Sync + fmt::Debug {
    /// Appends all the slices in their order, or fails; after a failure an unknown part of them was written.
    fn append(&self, slices: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Makes the file shorter: what lies behind `bytes` is gone, and its room free.
    fn cut(&self, bytes: u64) -> io::Result<()>;
    /// Reads at `offset` as much as fits and is there; 0 means the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes what was appended survive power loss (not the file's name: see [`Disk::flush_folder`]).
    fn flush(&self) -> io::Result<()>;
    /// Length in bytes.
    fn bytes(&self) -> io::Result<u64>;
}

/// One file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name within the folder.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What came of trying to take a lock.
#[derive(Debug)]
pub enum Locking {
    /// It is ours until the value is dropped.
    Held(Lock),
    /// Another process has it.
    Taken {
        /// The number that it left in the file.
        pid: Option<u32>,
    },
}

/// A lock that is held; the system releases it with the file, also when the process is killed.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "held for its Drop")] Option<fs::File>);

impl Lock {
    /// A lock that holds nothing, for disks that have one user.
    pub fn unneeded() -> Lock {
        Lock(None)
    }
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        // Mail is nobody else's business: only the server's own user may enter.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    fn has_folder(&self, folder: &Path) -> bool {
        folder.is_dir()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                listed.push(Listed { name, bytes: metadata.len() });
            }
        }
        Ok(listed)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile(open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn flush_folder(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Locking> {
        let mut file =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                // The number only serves the message that a second server prints: a full disk may go without.
                let _ = file.set_len(0).and_then(|()| file.rewind());
                let _ = writeln!(file, "{}", std::process::id());
                Ok(Locking::Held(Lock(Some(file))))
            }
            Err(fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.take(16).read_to_string(&mut text);
                Ok(Locking::Taken { pid: read.ok().and_then(|_| text.trim().parse().ok()) })
            }
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let file = match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        // Ours for an instant if nobody has it; it goes with the file.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

/// In Linux's numbers for every architecture that this runs on; elsewhere a pipe is waited for.
const O_NONBLOCK: i32 = if cfg!(target_os = "linux") { 0o4000 } else { 0 };

/// Opens for reading. A pipe that somebody put in the place of a file must not keep us waiting for its writer: it cannot be
/// read at an offset, and that is told.
fn open(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)
}

#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn append(&self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        /// The kernel takes no more in one call (IOV_MAX).
        const SLICES_MAX: usize = 1024;
        IoSlice::advance_slices(&mut slices, 0); // drops empty ones at the front
        while !slices.is_empty() {
            let some = &slices[..slices.len().min(SLICES_MAX)];
            match (&self.0).write_vectored(some) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => IoSlice::advance_slices(&mut slices, bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// Fills `buffer` from `offset` on; an end of file before that is an error.
pub fn read_exact_at(file: &dyn File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

/// Whether an error says that there is no room: bytes, inodes or quota, or a limit to the length of a file.
pub fn is_full(error: &io::Error) -> bool {
    has_no_room(error) || error.kind() == io::ErrorKind::FileTooLarge
}

/// Whether an error says that there is no room which removing another file could bring: bytes, inodes or quota.
pub fn has_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
