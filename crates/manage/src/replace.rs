//! Writing a file whole or not at all.
//!
//! Takes a path and the new bytes; a reader sees either the old file or the new one, also after a power cut. Keeps
//! owner and mode of the file that it replaces. Never leaves a file behind that is wider open than asked, even for a
//! moment. Blocking: call it outside async tasks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, StatxAttributes, StatxFlags};

/// Replaces `path` by a file that holds `bytes`. A file that exists keeps its mode and owner; a new one gets
/// `mode_if_new` and, when root creates it, the owner of the folder, so that the server's own user can read it.
///
/// # Errors
/// Whatever the file system says; the old file is untouched then.
pub(crate) fn replace_file(path: &Path, bytes: &[u8], mode_if_new: u32) -> io::Result<()> {
    Replacement::prepare(path, bytes, mode_if_new)?.commit()
}

/// A file that is on the disk, and not in its place yet. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Replacement {
    fresh: PathBuf,
    path: PathBuf,
    is_committed: bool,
}

impl Replacement {
    /// Writes what [`replace_file`] would.
    ///
    /// # Errors
    /// Whatever the file system says; nothing is left then.
    pub fn prepare(path: &Path, bytes: &[u8], mode_if_new: u32) -> io::Result<Replacement> {
        // A symbolic link stays one: administrators keep their settings elsewhere and link to them.
        let path = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
            Err(error) => return Err(error),
        };
        let fresh = fresh_name(&path)?;
        // A leftover of a process that was killed; ours alone, because it carries our process id.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let replacement = Replacement { fresh, path, is_committed: false };
        write_fresh(&replacement.fresh, &replacement.path, bytes, mode_if_new)?;
        Ok(replacement)
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// Whatever the file system says; the old file may be in its place then, or the new one.
    pub fn commit(mut self) -> io::Result<()> {
        fs::rename(&self.fresh, &self.path)?;
        self.is_committed = true;
        File::open(folder_of(&self.path))?.sync_all()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_committed {
            // Best effort: what made it useless is told elsewhere.
            let _ = fs::remove_file(&self.fresh);
        }
    }
}

/// Removes what processes that were killed have left beside `path` while they replaced it. Best effort.
pub(crate) fn remove_leftovers(path: &Path) {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
    let (prefix, suffix) = (format!(".{name}."), ".new");
    for entry in fs::read_dir(folder_of(&path)).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let process = file.to_str().and_then(|file| file.strip_prefix(&prefix)?.strip_suffix(suffix));
        let Some(process) = process.and_then(|process| process.parse::<u32>().ok()) else { continue };
        if !Path::new("/proc").join(process.to_string()).exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Why a file cannot be replaced, as far as that can be known before.
pub(crate) fn read_only(path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = folder_of(&path);
    for place in [path.as_path(), folder] {
        let access = if place == folder { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
        let reason = match rustix::fs::access(place, access) {
            Ok(()) => continue,
            Err(rustix::io::Errno::NOENT) if place != folder => continue,
            Err(rustix::io::Errno::ROFS) => "the file system is mounted read-only".to_owned(),
            Err(error) => format!("the server's user may not write {}: {}", place.display(), io::Error::from(error)),
        };
        return Some(reason);
    }
    // Root may write whatever the mode says; whoever took all write bits away meant something by it.
    let writers = |place: &Path| fs::metadata(place).map_or(0o200, |found| found.permissions().mode() & 0o222);
    if writers(&path) == 0 {
        return Some(format!("nobody may write {}", path.display()));
    }
    let known = rustix::fs::statx(rustix::fs::CWD, &path, AtFlags::empty(), StatxFlags::empty());
    let attributes = known.map_or(StatxAttributes::empty(), |known| known.stx_attributes);
    if attributes.contains(StatxAttributes::IMMUTABLE) {
        return Some(format!("{} is marked as immutable (chattr)", path.display()));
    }
    let is_mounted = attributes.contains(StatxAttributes::MOUNT_ROOT);
    is_mounted.then(|| format!("{} is mounted as a single file, and so cannot be replaced", path.display()))
}

/// The folder that holds `path`; `.` for a bare file name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn fresh_name(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let mut fresh = std::ffi::OsString::from(".");
    fresh.push(name);
    fresh.push(format!(".{}.new", std::process::id()));
    Ok(path.with_file_name(fresh))
}

fn write_fresh(fresh: &Path, path: &Path, bytes: &[u8], mode_if_new: u32) -> io::Result<()> {
    let (mode, owner) = match fs::metadata(path) {
        Ok(old) => (old.permissions().mode() & 0o7777, Some((old.uid(), old.gid()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = fs::metadata(folder_of(path))?;
            let owner = rustix::process::geteuid().is_root().then(|| (folder.uid(), folder.gid()));
            (mode_if_new, owner)
        }
        Err(error) => return Err(error),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    let made = file.metadata()?;
    if let Some((uid, gid)) = owner.filter(|&owner| owner != (made.uid(), made.gid())) {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    }
    // After the owner, because changing the owner clears bits of the mode.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("the file exists").permissions().mode() & 0o7777
    }

    #[test]
    fn a_new_file_gets_the_mode_asked_for_and_an_old_one_keeps_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credentials");
        replace_file(&path, b"one", 0o600).expect("written");
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        replace_file(&path, b"two", 0o600).expect("written");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(fs::read(&path).expect("readable"), b"two");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "nothing else is left in the folder");
    }

    #[test]
    fn a_symbolic_link_stays_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = folder.path().join("real.toml");
        let link = folder.path().join("gatepost.toml");
        fs::write(&real, "old").expect("written");
        std::os::unix::fs::symlink(&real, &link).expect("linked");
        replace_file(&link, b"new", 0o640).expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").file_type().is_symlink());
        assert_eq!(fs::read(&real).expect("readable"), b"new");
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("taken");
        fs::create_dir(&path).expect("a folder in the way");
        assert!(replace_file(&path, b"bytes", 0o600).is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
    }
}
