//! The first half of opening a spool: all that has to be known before messages can be taken, however much lies there.
//!
//! Takes the lock, checks the formats, and finds the numbers that were not given out yet. Of the log it reads the
//! headers of all segments, which are 128 bytes each, and the newest segment whole. What the other segments say is the
//! second half's business: see [`crate::recover`]. Changes nothing but a damaged or missing `FORMAT`.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, Lock, Locking};
use crate::index::{Index, Segment};
use crate::scan::{Window, scan};
use crate::segment::{FIRST_RECORD, FORMAT, HeaderError, SegmentHeader, file_name, number_of};
use crate::set_aside::{SetAside, read_what_can_be_read, set_aside};
use crate::shared::Folders;

/// Numbers of messages begin this much above the highest one seen, because some may have been given out (and shown in
/// a log) without reaching the disk.
const ID_LEAP: u64 = 1 << 16;
/// A message record is longer than this, so that a damaged range of a segment cannot hide more numbers than it has
/// room for.
const RECORD_BYTES_MIN: u64 = 64;
/// The number of the first message ever.
const FIRST_ID: u64 = 1;
pub(crate) const LOCK_NAME: &str = "lock";
pub(crate) const FORMAT_NAME: &str = "FORMAT";
const FORMAT_PREFIX: &str = "gatepost spool ";

/// Why the spool did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server works in this folder.
    #[error("the spool {} is in use by another server{}", path.display(), by_process(*pid))]
    Locked {
        /// The spool's folder.
        path: PathBuf,
        /// The other process, if it left its number.
        pid: Option<u32>,
    },
    /// Written by a newer version of this program.
    #[error(
        "{} has format {found}, and this version knows formats up to {FORMAT}: start the newer version again",
        path.display()
    )]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// The format that it has.
        found: u32,
    },
    /// The disk refused.
    #[error("cannot open the spool at {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// The file or folder at fault.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn by_process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// The next step for an administrator whose disk refuses; empty where there is none to name.
fn remedy(error: &io::Error) -> &'static str {
    /// Those that the standard library has no name for, by their numbers on Linux.
    const EIO: i32 = 5;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::PermissionDenied, _) => {
            " (it has to belong to the user that the server runs as: `ls -ld` shows whose it is)"
        }
        (io::ErrorKind::ReadOnlyFilesystem, _) => {
            " (its file system is mounted read-only, which often follows a failing disk: look into `dmesg`, then mount it writable)"
        }
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
            " (no room: `df -h` and `df -i` show where; make some and start again)"
        }
        (_, Some(EIO)) => {
            " (the disk failed: look into `dmesg`; the queue was left as it is, so start again when the disk can be read)"
        }
        (_, Some(ENFILE | EMFILE)) => {
            " (raise the limit of open files: LimitNOFILE= of the systemd unit, or `ulimit -n`)"
        }
        _ => "",
    }
}

/// What the first half hands on.
#[derive(Debug)]
pub(crate) struct Found {
    pub lock: Lock,
    /// Numbers of messages from here on were never given out.
    pub next_id: u64,
    pub next_segment: u32,
    /// The segments of former runs, in the order of their numbers.
    pub segments: Vec<(u32, Segment)>,
    /// What was set aside on the way.
    pub set_aside: Vec<SetAside>,
    /// Whether all that former runs wrote to the newest segment is safe.
    pub is_flushed: bool,
}

pub(crate) fn open(disk: &dyn Disk, folders: &Folders) -> Result<Found, OpenError> {
    for folder in [&folders.root, &folders.log, &folders.bodies, &folders.set_aside] {
        disk.create_folder(folder).map_err(at(folder))?;
    }
    // The spool's own name has to be as safe as what is in it.
    let above = folders.root.parent().filter(|above| !above.as_os_str().is_empty());
    for folder in [Some(folders.root.as_path()), above].into_iter().flatten() {
        disk.flush_folder(folder).map_err(at(folder))?;
    }
    let lock = lock(disk, &folders.root)?;
    let mut numbers = Vec::new();
    for listed in disk.list(&folders.log).map_err(at(&folders.log))? {
        numbers.extend(number_of(&listed.name));
    }
    numbers.sort_unstable();
    let mut headers = Vec::with_capacity(numbers.len());
    let mut segments = Vec::with_capacity(numbers.len());
    for number in numbers {
        let (header, bytes) = read_header(disk, folders, number)?;
        let salt = header.map_or(0, |header| header.salt);
        segments.push((number, Segment::new(salt, bytes, None)));
        headers.push(header);
    }
    let mut set_aside = Vec::new();
    check_format(disk, folders, headers.iter().any(Option::is_some), &mut set_aside)?;
    let next_id = next_id(disk, folders, &segments, &headers)?;
    let newest = segments.last().map(|(number, _)| *number);
    let next_segment = newest
        .map_or(Some(1), |newest| newest.checked_add(1))
        .ok_or_else(|| OpenError::Io { path: folders.log.clone(), source: io::ErrorKind::FileTooLarge.into() })?;
    // What the last server wrote but did not flush is only in the system's memory. It has to be safe before anything
    // is written or deleted because of it, and from now on it is not the newest segment any more.
    let is_flushed = newest.is_none_or(|newest| flush_segment(disk, folders, newest));
    Ok(Found { lock, next_id, next_segment, segments, set_aside, is_flushed })
}

fn lock(disk: &dyn Disk, root: &Path) -> Result<Lock, OpenError> {
    let path = root.join(LOCK_NAME);
    match disk.lock(&path).map_err(at(&path))? {
        Locking::Held(lock) => Ok(lock),
        Locking::Taken { pid } => Err(OpenError::Locked { path: root.to_path_buf(), pid }),
    }
}

/// An error of the disk with the file or folder that it was about.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { path, source }
}

/// `has_segments`: there are segments with readable headers, and none is of a newer format.
fn check_format(
    disk: &dyn Disk,
    folders: &Folders,
    has_segments: bool,
    kept: &mut Vec<SetAside>,
) -> Result<(), OpenError> {
    let path = folders.root.join(FORMAT_NAME);
    let found = match disk.open(&path) {
        Ok(file) => {
            let mut text = [0; 64];
            let read = file.read_at(&mut text, 0).map_err(at(&path))?;
            format_in(&text[..read], has_segments)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return write_format(disk, folders, &path).map_err(at(&path));
        }
        Err(error) => return Err(at(&path)(error)),
    };
    match found {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(OpenError::NewerFormat { path, found }),
        _ => {
            // The segments repeat the format, so this file's damage costs nothing.
            let file = disk.open(&path).map_err(at(&path))?;
            let length = file.bytes().map_err(at(&path))?;
            let reason = "the file does not say a format".to_owned();
            kept.push(set_aside(disk, &folders.set_aside, (&*file, &path), (0, length), reason));
            write_format(disk, folders, &path).map_err(at(&path))
        }
    }
}

/// The format that the file `FORMAT` says; `None` if it is damaged. One flipped bit may make another number of ours; where
/// segments say that they are of our format, that is damage as well.
pub(crate) fn format_in(text: &[u8], has_segments: bool) -> Option<u32> {
    let ours = format!("{FORMAT_PREFIX}{FORMAT}\n");
    let differing: u32 = text.iter().zip(ours.as_bytes()).map(|(a, b)| (a ^ b).count_ones()).sum();
    if has_segments && text.len() == ours.len() && differing == 1 {
        return None;
    }
    std::str::from_utf8(text).ok()?.strip_prefix(FORMAT_PREFIX)?.trim_end().parse().ok()
}

fn write_format(disk: &dyn Disk, folders: &Folders, path: &Path) -> io::Result<()> {
    let partial = path.with_extension("tmp");
    match disk.remove(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&partial)?;
    file.append(&mut [IoSlice::new(format!("{FORMAT_PREFIX}{FORMAT}\n").as_bytes())])?;
    file.flush()?;
    disk.rename(&partial, path)?;
    disk.flush_folder(&folders.root)
}

/// The header of a segment, if it is readable, and the segment's length.
fn read_header(disk: &dyn Disk, folders: &Folders, number: u32) -> Result<(Option<SegmentHeader>, u64), OpenError> {
    let path = folders.log.join(file_name(number));
    let file = disk.open(&path).map_err(at(&path))?;
    let bytes = file.bytes().map_err(at(&path))?;
    let mut both = [0; FIRST_RECORD as usize];
    if bytes >= FIRST_RECORD {
        read_what_can_be_read(&*file, &mut both, 0);
    }
    match SegmentHeader::parse(&both) {
        Ok(header) => Ok((Some(header).filter(|header| header.number == number), bytes)),
        Err(HeaderError::Newer(found)) => Err(OpenError::NewerFormat { path, found }),
        Err(HeaderError::Damaged) => Ok((None, bytes)),
    }
}

/// The lowest number that no message ever had. A segment's header says which numbers were given out before it was
/// begun, so only what was written since the newest readable one was begun has to be looked through.
fn next_id(
    disk: &dyn Disk,
    folders: &Folders,
    segments: &[(u32, Segment)],
    headers: &[Option<SegmentHeader>],
) -> Result<u64, OpenError> {
    let mut next_id = FIRST_ID;
    let mut hidden_bytes = 0;
    for ((number, segment), header) in segments.iter().zip(headers).rev() {
        let Some(header) = header else {
            hidden_bytes += segment.bytes;
            continue;
        };
        let path = folders.log.join(file_name(*number));
        let file = disk.open(&path).map_err(at(&path))?;
        let mut window = Window::new(file, segment.bytes);
        // Only the numbers are wanted: what it makes of the messages is forgotten.
        let scanned = scan(&mut Index::new(0), *number, header.salt, &mut window);
        hidden_bytes += scanned.gaps.iter().map(|gap| gap.to - gap.from).sum::<u64>();
        next_id = next_id.max(header.next_id).max(scanned.next_id);
        break;
    }
    for name in disk.names(&folders.bodies).map_err(at(&folders.bodies))? {
        if let Some(id) = id_of_body(&name) {
            next_id = next_id.max(id.saturating_add(1));
        }
    }
    if next_id == FIRST_ID && hidden_bytes == 0 {
        return Ok(FIRST_ID);
    }
    Ok(next_id.saturating_add(ID_LEAP).saturating_add(hidden_bytes / RECORD_BYTES_MIN))
}

/// The message whose body a file of this name is, or is to become.
pub(crate) fn id_of_body(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".tmp").unwrap_or(name);
    u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16)
}

fn flush_segment(disk: &dyn Disk, folders: &Folders, number: u32) -> bool {
    let file = disk.open(&folders.log.join(file_name(number)));
    match file.and_then(|file| file.flush()).and_then(|()| disk.flush_folder(&folders.log)) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, segment = number, "the log of the spool cannot be flushed");
            false
        }
    }
}
