//! One room: a ring of append-only files in a folder, which together never hold more than they may.
//!
//! Takes frames from the writer thread, finds a record for whoever asks. Files are numbered; their order is that of the
//! numbers, so a clock that jumps harms nothing. Each begins with `GPDECIDE`, the salt of its frames and the time at which it
//! was made (24 bytes). What cannot be written is lost and said; what cannot be read is skipped.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::decision::DecisionId;
use crate::frame::{self, Frame, Frames};

const MAGIC: &[u8; 8] = b"GPDECIDE";
const FILE_HEADER_BYTES: usize = 24;
const EXTENSION: &str = "log";
/// A room has at least so many files when it is full, so that making room costs an eighth of it at most.
const FILES_MIN: u64 = 8;
/// Largest file: it is read whole when a record is looked for.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// A room that is open for writing.
#[derive(Debug)]
pub struct Room {
    folder: PathBuf,
    salt: u64,
    bytes_max: u64,
    files: BTreeMap<u64, Facts>,
    current: Option<File>,
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug)]
struct Facts {
    bytes: u64,
    since_ms: u64,
}

impl Room {
    /// Opens the room in `folder`, which is made if it is missing. What cannot be opened is tried again at the next write.
    /// `salt` is used for new files unless the newest file is written on, whose salt then counts.
    pub fn open(folder: PathBuf, bytes_max: u64, salt: u64) -> Room {
        let mut room = Room { folder, salt, bytes_max, files: BTreeMap::new(), current: None };
        if let Err(error) = room.adopt() {
            tracing::warn!(folder = %room.folder.display(), %error, "decision records cannot be kept for now");
        }
        room
    }

    /// The salt of frames for this room.
    pub fn salt(&self) -> u64 {
        self.salt
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|facts| facts.bytes).sum()
    }

    /// When the oldest file was begun, Unix time in milliseconds.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.files.values().next().map(|facts| facts.since_ms)
    }

    /// The most that it may hold from now on.
    pub fn set_bytes_max(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
        self.make_room(0);
    }

    /// Takes over the files that are there, and writes on in the newest, behind its last whole record.
    fn adopt(&mut self) -> io::Result<()> {
        make_folder(&self.folder)?;
        for number in numbers(&self.folder)? {
            let path = path(&self.folder, number);
            let mut header = Vec::new();
            File::open(&path)?.take(FILE_HEADER_BYTES as u64).read_to_end(&mut header)?;
            // A file without a header was just being made; it holds nothing.
            let since_ms = parse_header(&header).map_or(0, |(_, since_ms)| since_ms);
            self.files.insert(number, Facts { bytes: fs::metadata(&path)?.len(), since_ms });
        }
        let Some((newest, facts)) = self.files.iter().next_back().map(|(number, facts)| (*number, *facts)) else {
            return Ok(());
        };
        if facts.bytes < FILE_BYTES_MAX {
            let path = path(&self.folder, newest);
            let bytes = fs::read(&path)?;
            if let Some((salt, _)) = parse_header(&bytes) {
                let end = end_of_frames(&bytes, salt);
                let file = OpenOptions::new().append(true).open(&path)?;
                file.set_len(end)?;
                self.salt = salt;
                self.files.insert(newest, Facts { bytes: end, ..facts });
                self.current = Some(file);
            }
        }
        self.make_room(0);
        Ok(())
    }

    /// Appends whole frames. After a failure an unknown part of them is there; hands back how many were written.
    pub fn append(&mut self, frames: &[u8], now_ms: u64) -> Result<u64, (u64, io::Error)> {
        let mut written = 0;
        let mut rest = frames;
        while !rest.is_empty() {
            let space = self.space();
            let (mut bytes, mut count) = (0, 0);
            for frame in Frames::of(rest, self.salt) {
                if count > 0 && bytes + frame.bytes() > space {
                    break;
                }
                bytes += frame.bytes();
                count += 1;
            }
            if count == 0 {
                break;
            }
            let (now, later) = rest.split_at(bytes);
            self.write(now, now_ms).map_err(|error| (written, error))?;
            written += count;
            rest = later;
        }
        Ok(written)
    }

    /// Replaces records by what `change` makes of them, in all files; what is damaged is left out. Hands back how many were
    /// changed, and how many damaged stretches there were. When this returns the old files are gone.
    pub fn rewrite(&mut self, change: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> io::Result<(u64, u64)> {
        let (mut changed, mut damaged) = (0, 0);
        let numbers: Vec<u64> = self.files.keys().copied().collect();
        for number in numbers {
            let path = path(&self.folder, number);
            let bytes = fs::read(&path)?;
            let Some((salt, _)) = parse_header(&bytes) else { continue };
            let mut other = bytes[..FILE_HEADER_BYTES].to_vec();
            let (before, mut is_whole) = (changed + damaged, true);
            let mut frames = Frames::of(&bytes[FILE_HEADER_BYTES..], salt);
            for frame in frames.by_ref() {
                let Some(record) = frame.record() else {
                    is_whole = false;
                    damaged += 1;
                    continue;
                };
                let replaced = change(record);
                changed += u64::from(replaced.is_some());
                let record = replaced.as_deref().unwrap_or(record);
                frame::push(&mut other, salt, frame.id, |into| into.extend_from_slice(record));
            }
            damaged += frames.gaps;
            // What stands behind the last whole record is torn, and may hold anything.
            is_whole &= FILE_HEADER_BYTES + frames.at == bytes.len();
            if changed + damaged == before && is_whole {
                continue;
            }
            let unfinished = path.with_extension("new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&unfinished)?;
            file.write_all(&other)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            if let Some(facts) = self.files.get_mut(&number) {
                facts.bytes = other.len() as u64;
            }
            if self.files.keys().next_back() == Some(&number) && self.current.is_some() {
                self.current = Some(OpenOptions::new().append(true).open(&path)?);
            }
        }
        if !self.files.is_empty() {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok((changed, damaged))
    }

    fn file_bytes_max(&self) -> u64 {
        (self.bytes_max / FILES_MIN).min(FILE_BYTES_MAX)
    }

    /// Bytes that the current file still takes.
    fn space(&self) -> usize {
        let used = match &self.current {
            Some(_) => self.files.values().next_back().map_or(0, |facts| facts.bytes),
            None => 0,
        };
        usize::try_from(self.file_bytes_max().saturating_sub(used)).unwrap_or(usize::MAX)
    }

    fn write(&mut self, frames: &[u8], now_ms: u64) -> io::Result<()> {
        if self.current.is_none() || frames.len() > self.space() {
            self.begin_file(now_ms, frames.len())?;
        } else {
            self.make_room(frames.len() as u64);
        }
        let (Some(file), Some(mut newest)) = (&mut self.current, self.files.last_entry()) else {
            return Err(io::Error::other("no file to write to"));
        };
        if let Err(error) = file.write_all(frames) {
            // Half a frame is cut off again; where that fails too, reading skips it.
            if file.set_len(newest.get().bytes).is_err() {
                self.current = None;
            }
            return Err(error);
        }
        newest.get_mut().bytes += frames.len() as u64;
        Ok(())
    }

    fn begin_file(&mut self, now_ms: u64, for_bytes: usize) -> io::Result<()> {
        self.current = None;
        make_folder(&self.folder)?;
        self.make_room((FILE_HEADER_BYTES + for_bytes) as u64);
        let number = self.files.keys().next_back().map_or(1, |newest| newest + 1);
        let path = path(&self.folder, number);
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
        let header = [MAGIC.as_slice(), &self.salt.to_le_bytes(), &now_ms.to_le_bytes()].concat();
        if let Err(error) = file.write_all(&header) {
            // Best effort: an empty file harms nobody, and the error that counts is the first.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.files.insert(number, Facts { bytes: FILE_HEADER_BYTES as u64, since_ms: now_ms });
        self.current = Some(file);
        Ok(())
    }

    /// Removes the oldest files until `more` bytes fit. The file that is written to stays.
    fn make_room(&mut self, more: u64) {
        let keep = usize::from(self.current.is_some());
        while self.files.len() > keep && self.bytes() + more > self.bytes_max {
            let Some((number, _)) = self.files.pop_first() else { return };
            let removed = fs::remove_file(path(&self.folder, number));
            if let Err(error) = removed.or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }) {
                tracing::warn!(folder = %self.folder.display(), %error, "an old file of decision records stays");
            }
        }
    }
}

/// What a search came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The record.
    pub record: Option<Vec<u8>>,
    /// Records that were skipped because they are damaged.
    pub damaged: u64,
}

/// Looks for the record of `id`, newest file first. Reads files that the writer may be appending to or removing.
pub fn find(folder: &Path, id: DecisionId) -> io::Result<Found> {
    let mut found = Found::default();
    let numbers = match numbers(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        numbers => numbers?,
    };
    for number in numbers.into_iter().rev() {
        let bytes = match fs::read(path(folder, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes?,
        };
        let Some((salt, _)) = parse_header(&bytes) else { continue };
        let mut frames = Frames::of(&bytes[FILE_HEADER_BYTES..], salt);
        for frame in frames.by_ref().filter(|frame: &Frame<'_>| frame.id == id) {
            match frame.record() {
                Some(record) => found.record = Some(record.to_vec()),
                None => found.damaged += 1,
            }
        }
        found.damaged += frames.gaps;
        if found.record.is_some() {
            break;
        }
    }
    Ok(found)
}

/// Hands over the records of each file, oldest first, and removes the file once they are taken.
pub fn take_all(folder: &Path, mut take: impl FnMut(Vec<&[u8]>) -> io::Result<()>) -> io::Result<()> {
    let numbers = match numbers(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        numbers => numbers?,
    };
    for number in numbers {
        let path = path(folder, number);
        let bytes = fs::read(&path)?;
        if let Some((salt, _)) = parse_header(&bytes) {
            let frames = Frames::of(&bytes[FILE_HEADER_BYTES..], salt);
            take(frames.filter_map(|frame| frame.record()).collect())?;
        }
        fs::remove_file(&path)?;
    }
    Ok(())
}

fn end_of_frames(bytes: &[u8], salt: u64) -> u64 {
    let mut frames = Frames::of(&bytes[FILE_HEADER_BYTES..], salt);
    while frames.next().is_some() {}
    (FILE_HEADER_BYTES + frames.at) as u64
}

/// The salt and the time of a file.
fn parse_header(bytes: &[u8]) -> Option<(u64, u64)> {
    let header: &[u8; FILE_HEADER_BYTES] = bytes.get(..FILE_HEADER_BYTES)?.try_into().ok()?;
    let number = |at: usize| header[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (header[..8] == *MAGIC).then(|| (number(8), number(16)))
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.{EXTENSION}"))
}

/// The numbers of the files in a room, ascending. Files of other names are none of ours.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let digits = Path::new(&name).file_stem().and_then(|stem| stem.to_str()).filter(|digits| digits.len() == 16);
        let is_ours = Path::new(&name).extension().is_some_and(|extension| extension == EXTENSION);
        if let (true, Some(Ok(number))) = (is_ours, digits.map(|digits| u64::from_str_radix(digits, 16))) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const RECORD_BYTES: usize = 200;

    fn id(number: u64) -> DecisionId {
        DecisionId::from_number(number).expect("48 bits")
    }

    fn record(number: u64) -> Vec<u8> {
        number.to_le_bytes().repeat(RECORD_BYTES / 8)
    }

    fn append(room: &mut Room, numbers: std::ops::Range<u64>) {
        let mut frames = Vec::new();
        for number in numbers.clone() {
            frame::push(&mut frames, room.salt(), id(number), |into| into.extend_from_slice(&record(number)));
        }
        assert_eq!(room.append(&frames, 1).expect("written"), numbers.end - numbers.start);
    }

    fn has(folder: &Path, number: u64) -> bool {
        let found = find(folder, id(number)).expect("readable").record;
        assert!(found.is_none() || found == Some(record(number)), "{number}");
        found.is_some()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        numbers(folder).expect("readable").into_iter().map(|number| path(folder, number)).collect()
    }

    #[test]
    fn a_full_room_keeps_the_newest_and_never_grows_beyond_its_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut room = Room::open(folder.path().into(), 16 << 10, 7);
        for from in (0..1_000).step_by(10) {
            append(&mut room, from..from + 10);
            let on_disk: u64 = files(folder.path()).iter().map(|file| fs::metadata(file).expect("there").len()).sum();
            assert!(on_disk <= 16 << 10 && on_disk == room.bytes(), "{on_disk} {}", room.bytes());
        }
        assert!(!has(folder.path(), 0) && !has(folder.path(), 900));
        assert!((950..1_000).all(|number| has(folder.path(), number)));
        room.set_bytes_max(4 << 10);
        assert!(room.bytes() <= 4 << 10 && has(folder.path(), 999));
    }

    #[test]
    fn a_room_is_written_on_after_a_restart_and_a_torn_end_is_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        append(&mut Room::open(folder.path().into(), 1 << 20, 7), 0..5);
        let [file] = &files(folder.path())[..] else { panic!("one file") };
        assert_eq!(fs::metadata(file).expect("there").permissions().mode() & 0o777, 0o640);
        let whole = fs::metadata(file).expect("there").len();
        OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(whole - 3)).expect("torn");
        let mut room = Room::open(folder.path().into(), 1 << 20, 8);
        assert_eq!(room.salt(), 7, "that of the file");
        append(&mut room, 5..7);
        assert_eq!(files(folder.path()).len(), 1);
        let kept: Vec<u64> = (0..7).filter(|number| has(folder.path(), *number)).collect();
        assert_eq!(kept, [0, 1, 2, 3, 5, 6]);
    }

    #[test]
    fn damage_costs_the_record_that_it_hit_and_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        append(&mut Room::open(folder.path().into(), 1 << 20, 7), 0..5);
        let [file] = &files(folder.path())[..] else { panic!("one file") };
        let mut bytes = fs::read(file).expect("readable");
        let frame = frame::HEADER_BYTES + RECORD_BYTES;
        bytes[FILE_HEADER_BYTES + frame + 2] ^= 1;
        bytes[FILE_HEADER_BYTES + 3 * frame + frame::HEADER_BYTES + 9] ^= 1;
        fs::write(file, bytes).expect("writable");
        let kept: Vec<u64> = (0..5).filter(|number| has(folder.path(), *number)).collect();
        assert_eq!(kept, [0, 2, 4]);
        assert_eq!(find(folder.path(), id(3)).expect("readable"), Found { record: None, damaged: 2 });
    }

    #[test]
    fn files_that_are_none_of_ours_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["notes.log", "0000000000000001.txt", "zzzzzzzzzzzzzzzz.log"] {
            fs::write(folder.path().join(name), "mine").expect("writable");
        }
        fs::write(path(folder.path(), 3), "no header").expect("writable");
        let mut room = Room::open(folder.path().into(), 4 << 10, 7);
        for from in (0..100).step_by(10) {
            append(&mut room, from..from + 10);
        }
        assert!(has(folder.path(), 99));
        assert_eq!(fs::read(folder.path().join("notes.log")).expect("there"), b"mine");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_at_each_write_and_no_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("taken");
        fs::write(&place, "a file").expect("writable");
        let mut room = Room::open(place.clone(), 1 << 20, 7);
        let mut frames = Vec::new();
        frame::push(&mut frames, room.salt(), id(1), |into| into.extend_from_slice(&record(1)));
        assert_eq!(room.append(&frames, 1).expect_err("no folder").0, 0);
        fs::remove_file(&place).expect("ours");
        assert_eq!(room.append(&frames, 1).expect("written"), 1);
        assert!(has(&place, 1));
    }
}
