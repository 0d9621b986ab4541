//! The record of acts: who did what, from where, and what came of it. One line of JSON for each, in `data_dir/audit`.
//!
//! Takes acts, never changes one that is written. Files are numbered; the last is appended to and flushed to the disk
//! for each act, full ones make room for newer ones. A line that a crash cut off is passed over. Never holds a secret: who
//! writes an entry leaves them out. Blocking: call it outside async tasks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::actor::{Actor, Source};
use crate::filter::is_like;
use crate::resource::{ActEntry as Entry, ActOutcome as Outcome};

/// The folder in the data folder.
pub const FOLDER_NAME: &str = "audit";
/// A file is full at this part of the room for all.
const FILES: u64 = 10;
/// Longest text in an entry, in bytes; more is cut off.
const TEXT_BYTES_MAX: usize = 2 * 1024;
/// Largest file that is searched, in bytes: ours are smaller unless the room was made smaller later.
const FILE_BYTES_MAX: u64 = 1 << 30;

impl Entry {
    /// An act of somebody.
    pub fn new(actor: &Actor, act: &str, outcome: Outcome, time_ms: u64) -> Entry {
        let (source, token) = match &actor.source {
            Source::Socket { .. } => ("socket", None),
            Source::Password { .. } => ("password", None),
            Source::Token { id, .. } => ("token", Some(id.to_string())),
            Source::Server => ("server", None),
            Source::Nobody { .. } => ("nobody", None),
        };
        Entry {
            time_ms,
            actor: actor.name.to_string(),
            source: source.to_owned(),
            token,
            address: actor.address(),
            act: act.to_owned(),
            target: None,
            parameters: None,
            reason: None,
            outcome,
            error: None,
            revision: None,
        }
    }

    /// The same with its texts cut to a length that nobody fills the disk with.
    fn bounded(mut self) -> Entry {
        let texts = [&mut self.target, &mut self.parameters, &mut self.reason, &mut self.error];
        for text in texts.into_iter().flatten().chain([&mut self.actor, &mut self.act]) {
            if text.len() > TEXT_BYTES_MAX {
                text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
                text.push_str("...");
            }
        }
        self
    }
}

/// What is asked of the record. All that is given must be so.
#[derive(Clone, Debug, Default)]
pub struct Criteria {
    /// Not before this, in Unix milliseconds.
    pub since_ms: Option<u64>,
    /// Before this.
    pub until_ms: Option<u64>,
    /// Who, in any case: one of these, anybody where there are none.
    pub actors: Vec<String>,
    /// What, in any case; `*` stands for anything. One of these.
    pub acts: Vec<String>,
    /// To what, in any case; `*` stands for anything. One of these.
    pub targets: Vec<String>,
    /// What became of it.
    pub outcome: Option<Outcome>,
}

impl Criteria {
    fn are_met(&self, entry: &Entry) -> bool {
        self.since_ms.is_none_or(|since| entry.time_ms >= since)
            && self.until_ms.is_none_or(|until| entry.time_ms < until)
            && is_one(&self.actors, |actor| entry.actor.to_lowercase() == actor.to_lowercase())
            && is_one(&self.acts, |act| super::fits(act, &entry.act))
            && is_one(&self.targets, |target| {
                entry.target.as_ref().is_some_and(|known| is_like(&known.to_lowercase(), &target.to_lowercase()))
            })
            && self.outcome.is_none_or(|outcome| entry.outcome == outcome)
    }
}

fn is_one(wanted: &[String], fits: impl Fn(&str) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| fits(wanted))
}

/// The record of one data folder.
pub struct ActRecord {
    folder: PathBuf,
    newest: Mutex<Option<Newest>>,
}

/// The file that is appended to.
struct Newest {
    file: File,
    number: u64,
    bytes: u64,
}

impl ActRecord {
    /// The record in `data_dir`. Makes nothing yet.
    pub fn of(data_dir: &Path) -> ActRecord {
        ActRecord { folder: data_dir.join(FOLDER_NAME), newest: Mutex::new(None) }
    }

    /// Writes an act down; it is on the disk then. `bytes_max` is the room for all of them.
    ///
    /// # Errors
    /// Of the disk.
    pub fn note(&self, entry: Entry, bytes_max: u64) -> io::Result<()> {
        let mut line = serde_json::to_vec(&entry.bounded()).map_err(io::Error::other)?;
        line.push(b'\n');
        let mut held = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest = match held.take() {
            Some(newest) => newest,
            None => self.open()?,
        };
        if newest.bytes > 0 && newest.bytes + line.len() as u64 > bytes_max / FILES {
            newest = self.begin(newest.number + 1)?;
            self.make_room(bytes_max)?;
        }
        // Let go of it on failure: what is half written is passed over when it is opened again.
        newest.file.write_all(&line)?;
        newest.file.sync_data()?;
        newest.bytes += line.len() as u64;
        *held = Some(newest);
        Ok(())
    }

    /// The newest acts that meet the criteria, newest first, after leaving out `skip` of them.
    ///
    /// # Errors
    /// Of the disk.
    pub fn search(&self, criteria: &Criteria, skip: usize, limit: usize) -> io::Result<Vec<Entry>> {
        let (mut found, mut skipped) = (Vec::new(), 0);
        for (_, path) in self.files()?.into_iter().rev() {
            let mut text = Vec::new();
            match File::open(&path) {
                Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut text)?,
                // It has just made room.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for line in text.split(|byte| *byte == b'\n').rev() {
                let Ok(entry) = serde_json::from_slice::<Entry>(line) else { continue };
                if !criteria.are_met(&entry) {
                    continue;
                }
                if skipped < skip {
                    skipped += 1;
                    continue;
                }
                if found.len() == limit {
                    return Ok(found);
                }
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// The files by number, oldest first.
    fn files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_prefix("acts-").and_then(|name| name.strip_suffix(".jsonl"));
            files.extend(number.and_then(|number| number.parse().ok()).map(|number: u64| (number, path.clone())));
        }
        files.sort();
        Ok(files)
    }

    fn open(&self) -> io::Result<Newest> {
        let Some((number, path)) = self.files()?.pop() else { return self.begin(1) };
        let mut file = OpenOptions::new().read(true).append(true).open(&path)?;
        let mut bytes = file.metadata()?.len();
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                // A line that was cut off ends here, and the next one is whole.
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Newest { file, number, bytes })
    }

    fn begin(&self, number: u64) -> io::Result<Newest> {
        match fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = self.folder.join(format!("acts-{number:08}.jsonl"));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(Newest { file, number, bytes: 0 })
    }

    fn make_room(&self, bytes_max: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for (_, path) in self.files()? {
            files.push((fs::metadata(&path)?.len(), path));
        }
        let mut total: u64 = files.iter().map(|(bytes, _)| bytes).sum();
        // The one that has just begun needs as much as each of the others.
        for (bytes, path) in files {
            if total + bytes_max / FILES <= bytes_max {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gatepost_policy::role::Roles;

    use super::*;

    fn entry(number: u64) -> Entry {
        let actor = Actor::of_socket(Some((number % 3) as u32), Roles::ALL);
        let outcome = if number.is_multiple_of(2) { Outcome::Done } else { Outcome::Refused };
        Entry { target: Some(format!("Relay {number}")), ..Entry::new(&actor, "Set-ReceiveConnector", outcome, number) }
    }

    fn times(found: &[Entry]) -> Vec<u64> {
        found.iter().map(|entry| entry.time_ms).collect()
    }

    #[test]
    fn what_is_written_is_found_newest_first_by_every_criterion() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = ActRecord::of(folder.path());
        assert_eq!(record.search(&Criteria::default(), 0, 10).expect("nothing yet"), []);
        for number in 0..9 {
            record.note(entry(number), 1 << 20).expect("written");
        }
        for (criteria, skip, limit, expected) in [
            (Criteria::default(), 0, 3, &[8, 7, 6][..]),
            (Criteria::default(), 7, 3, &[1, 0]),
            (Criteria { since_ms: Some(3), until_ms: Some(6), ..Criteria::default() }, 0, 9, &[5, 4, 3]),
            (Criteria { actors: vec!["UID 2".into()], ..Criteria::default() }, 0, 9, &[8, 5, 2]),
            (Criteria { actors: vec!["uid 2".into(), "uid 0".into()], ..Criteria::default() }, 0, 3, &[8, 6, 5]),
            (Criteria { targets: vec!["relay 3".into(), "*7".into()], ..Criteria::default() }, 0, 9, &[7, 3]),
            (Criteria { acts: vec!["*-receiveconnector".into()], ..Criteria::default() }, 0, 1, &[8]),
            (Criteria { acts: vec!["Get-*".into()], ..Criteria::default() }, 0, 9, &[]),
            (Criteria { outcome: Some(Outcome::Refused), ..Criteria::default() }, 1, 2, &[5, 3]),
        ] {
            let found = record.search(&criteria, skip, limit).expect("readable");
            assert_eq!(times(&found), expected, "{criteria:?}");
        }
        let again = ActRecord::of(folder.path()).search(&Criteria::default(), 0, 1).expect("readable");
        assert_eq!(again, [entry(8)]);
    }

    #[test]
    fn its_room_is_bounded_and_the_newest_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (record, bytes_max) = (ActRecord::of(folder.path()), 20_000);
        for number in 0..1_000 {
            record.note(entry(number), bytes_max).expect("written");
        }
        let files = record.files().expect("readable");
        let bytes: u64 = files.iter().map(|(_, path)| fs::metadata(path).expect("there").len()).sum();
        assert!(bytes <= bytes_max && bytes > bytes_max / 2, "{bytes}");
        let found = record.search(&Criteria::default(), 0, 10_000).expect("readable");
        let newest_first: Vec<u64> = (0..1_000).rev().take(found.len()).collect();
        assert_eq!(times(&found), newest_first);
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_passed_over_and_the_next_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        ActRecord::of(folder.path()).note(entry(1), 1 << 20).expect("written");
        let (_, path) = ActRecord::of(folder.path()).files().expect("readable").remove(0);
        let mut file = OpenOptions::new().append(true).open(&path).expect("ours");
        file.write_all(b"{\"time_ms\":2,\"act").expect("written");
        let record = ActRecord::of(folder.path());
        record.note(entry(3), 1 << 20).expect("written");
        assert_eq!(times(&record.search(&Criteria::default(), 0, 10).expect("readable")), [3, 1]);
    }

    #[test]
    fn long_texts_are_cut_and_the_files_are_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let record = ActRecord::of(folder.path());
        record.note(Entry { error: Some("ü".repeat(100_000)), ..entry(1) }, 1 << 20).expect("written");
        let found = record.search(&Criteria::default(), 0, 1).expect("readable").remove(0);
        assert!(found.error.is_some_and(|error| error.len() < TEXT_BYTES_MAX + 8 && error.ends_with("ü...")));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        let (_, path) = record.files().expect("readable").remove(0);
        assert_eq!((mode(&record.folder), mode(&path)), (0o700, 0o600));
    }
}
