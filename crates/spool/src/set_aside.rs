//! Copies damaged ranges out of the way, under names that an administrator understands. Nothing here is ever deleted.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, File};

const PIECE_BYTES: usize = 1 << 20;

/// A damaged range, copied out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The file it was found in.
    pub file: PathBuf,
    /// Where in that file, in bytes.
    pub offset: u64,
    /// How much, in bytes.
    pub length: u64,
    /// Half a sentence for the administrator.
    pub reason: String,
    /// The copy; `None` if it could not be written. The original then stays where it is, until its segment is not
    /// needed any more: then the copy is tried again, and at last the whole segment is moved to `set-aside/`.
    pub moved_to: Option<PathBuf>,
}

/// Copies a range of `file` into `folder` and says so in the log.
pub(crate) fn set_aside(
    disk: &dyn Disk,
    folder: &Path,
    (file, path): (&dyn File, &Path),
    (offset, length): (u64, u64),
    reason: String,
) -> SetAside {
    let name = name_of_copy(path, offset, length);
    let moved_to = match keep(disk, folder, &name, (file, offset, length)) {
        Ok(copy) => {
            let (file, kept) = (path.display(), copy.display());
            tracing::error!(%file, offset, length, reason, copy = %kept, "the spool is damaged: a part was set aside");
            Some(copy)
        }
        Err(error) => {
            let file = path.display();
            tracing::error!(%file, offset, length, reason, %error, "the spool is damaged: a part cannot be set aside yet");
            None
        }
    };
    SetAside { file: path.to_path_buf(), offset, length, reason, moved_to }
}

/// What the copy of a range is called.
pub(crate) fn name_of_copy(path: &Path, offset: u64, length: u64) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}-at-{offset}-length-{length}")
}

/// Copies `length` bytes from `offset` on into `folder/name`, flushed. A copy that is there already stays: the same
/// damage found again on the next start is the same file.
pub(crate) fn keep(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    (file, offset, length): (&dyn File, u64, u64),
) -> io::Result<PathBuf> {
    let path = folder.join(name);
    if disk.list(folder)?.iter().any(|listed| listed.name == name) {
        return Ok(path);
    }
    let partial = folder.join(format!("{name}.tmp"));
    match disk.remove(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let copied = copy(disk, &partial, (file, offset, length));
    if copied.is_err() {
        let _ = disk.remove(&partial); // its room is needed; the next attempt removes it first
    }
    copied?;
    disk.rename(&partial, &path)?;
    disk.flush_folder(folder)?;
    Ok(path)
}

fn copy(disk: &dyn Disk, path: &Path, (file, offset, length): (&dyn File, u64, u64)) -> io::Result<()> {
    let copy = disk.create(path)?;
    let mut buffer = vec![0; PIECE_BYTES.min(usize::try_from(length).unwrap_or(usize::MAX))];
    let (mut at, end) = (offset, offset + length);
    while at < end {
        let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let piece = &mut buffer[..wanted];
        read_what_can_be_read(file, piece, at);
        copy.append(&mut [IoSlice::new(piece)])?;
        at += wanted as u64;
    }
    copy.flush()
}

/// Fills `buffer` from `offset` on; what cannot be read, or lies behind the end, becomes zeros. Returns whether all of
/// it could be read.
pub(crate) fn read_what_can_be_read(file: &dyn File, buffer: &mut [u8], offset: u64) -> bool {
    /// One bad sector spoils a block of this size.
    const BLOCK_BYTES: usize = 4096;
    if crate::disk::read_exact_at(file, buffer, offset).is_ok() {
        return true;
    }
    let mut all = true;
    for (i, block) in buffer.chunks_mut(BLOCK_BYTES).enumerate() {
        if crate::disk::read_exact_at(file, block, offset + (i * BLOCK_BYTES) as u64).is_err() {
            block.fill(0);
            all = false;
        }
    }
    all
}
