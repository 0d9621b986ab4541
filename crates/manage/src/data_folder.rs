//! The data folder: made closed, and held by one administrator's change at a time.
//!
//! Takes its path, hands on nothing or a lock. Never makes it wider than the server's user and group. Blocking.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Permission bits of a data folder that we make: nothing for others, and the group may reach the socket.
pub const MODE: u32 = 0o750;

/// The data folder cannot be made or locked.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the data folder {path}: {source}", path = .path.display())]
pub struct DataFolderError {
    /// The folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Makes the folder if it is missing; one that is there keeps its mode, which is its administrator's business.
///
/// # Errors
/// [`DataFolderError`].
pub fn ensure(data_dir: &Path) -> Result<(), DataFolderError> {
    if fs::metadata(data_dir).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(MODE).create(data_dir);
    made.map_err(|source| DataFolderError { path: data_dir.to_path_buf(), source })
}

/// Holds the folder for one change to settings or secrets, after making it if the server never ran. Waits for its turn;
/// dropping the file lets go. The running server does not take this lock.
///
/// # Errors
/// [`DataFolderError`].
pub(crate) fn lock(data_dir: &Path) -> Result<File, DataFolderError> {
    ensure(data_dir)?;
    let failed = |source| DataFolderError { path: data_dir.to_path_buf(), source };
    let folder = File::open(data_dir).map_err(failed)?;
    folder.lock().map_err(failed)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::fs::TryLockError;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_folder_is_made_closed_and_a_present_one_is_left_alone() {
        let parent = tempfile::tempdir().expect("a folder");
        let data_dir = parent.path().join("var/gatepost");
        let mode = || fs::metadata(&data_dir).expect("made").permissions().mode() & 0o7777;
        ensure(&data_dir).expect("made");
        assert_eq!(mode(), MODE);
        fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o700)).expect("ours");
        ensure(&data_dir).expect("there");
        assert_eq!(mode(), 0o700);
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("file");
        fs::write(&path, "").expect("written");
        let error = ensure(&path).expect_err("a file").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }

    #[test]
    fn one_change_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = lock(folder.path()).expect("free");
        let second = File::open(folder.path()).expect("there");
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        assert!(second.try_lock().is_ok());
    }
}
