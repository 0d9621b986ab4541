//! Small files of ours that are replaced as a whole: whoever reads sees the old one or the new one.
//!
//! Takes a path and bytes. Blocks: not on a thread that drives sockets.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces the file, so that a power cut later keeps it.
///
/// # Errors
/// Of the disk; the file is as before then.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write(path, bytes, mode, File::sync_all)?;
    path.parent().map_or(Ok(()), flush_folder)
}

/// The same where nothing is lost with what a power cut takes.
///
/// # Errors
/// As of [`replace`].
pub fn replace_unflushed(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write(path, bytes, mode, |_| Ok(()))
}

fn write(path: &Path, bytes: &[u8], mode: u32, flush: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // One that a former run left may be open to more people than this one.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(bytes)?;
    flush(&file)?;
    fs::rename(&fresh, path)
}

/// At most `bytes_max` of the file; `None` where there is none.
///
/// # Errors
/// Of the disk.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// What was made, replaced or removed in a folder stays so after a power cut.
///
/// # Errors
/// Of the disk.
pub fn flush_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whatever_a_former_run_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alarms");
        assert_eq!(read(&path, 10).expect("no disk fails"), None);
        replace(&path, b"old", 0o600).expect("it is written");
        fs::write(folder.path().join("alarms.new"), "half").expect("room");
        replace_unflushed(&path, b"new and long", 0o640).expect("it is replaced");
        assert_eq!(read(&path, 7).expect("no disk fails").as_deref(), Some(&b"new and"[..]));
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(read(folder.path(), 10).is_err() && replace(folder.path(), b"", 0o600).is_err());
    }
}
