//! The history of settings: every document that was put in force, by number, with who, when, from where and why.
//!
//! Takes documents as they are put in force; hands back what was in force when, to be shown, compared, restored, and to
//! recompute decisions of that time. Kept in `data_dir/revisions`, for the server's user alone, since documents may hold
//! hashes of passwords. The document in force is the file on the disk; this is where it came from. Blocking.
//!
//! A file holds a whole document and the differences that follow: each line is `CRC-32C JSON`. Named by its first number.
//!
//! | on disk | what opening makes of it |
//! |---|---|
//! | the last line is torn, or its checksum is wrong | that revision never was: nobody was told of it; cut off |
//! | a line before it is damaged | what follows in that file cannot be read; a new file begins; nothing is deleted |
//! | a document comes out with another checksum | that revision cannot be read |
//! | `*.new` | a new file that was not finished; removed |

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crc_fast::CrcAlgorithm;
use gatepost_policy::settings::RevisionSettings;
use gatepost_tracking::RevisionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::now_ms;
use crate::document::{Document, host_name};
use crate::line_difference::LineDifference;
use crate::system_user::system_user;

const FOLDER: &str = "revisions";
const EXTENSION: &str = "revisions";
/// So many differences are kept for one whole document.
const DIFFERENCES_MAX: usize = 100;
/// A file is not read further than this: four documents of the largest size, escaped.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Longest reason that is kept, in bytes.
pub const WHY_BYTES_MAX: usize = 1_000;
/// Longest name of what was done that is kept, in bytes.
const WHAT_BYTES_MAX: usize = 200;

/// Who made a change, as history keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Author {
    /// `alice`, `uid 0 (root)`.
    pub who: String,
    /// `the management socket`, `192.168.2.5`, `token 7`, `the settings file`.
    pub from: String,
}

/// How a document came to be in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The first of this history.
    First,
    /// A command changed it.
    Amended,
    /// Somebody edited the file.
    ByHand,
    /// An earlier one was put in force again.
    Restored {
        /// Which.
        number: u64,
    },
}

/// What is known of one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// Counts from 1, without gaps as long as nothing has gone.
    pub number: u64,
    /// Since when, Unix time in milliseconds.
    pub at_ms: u64,
    /// Who.
    #[serde(flatten)]
    pub author: Author,
    /// What they said why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What they did, where it was a command: `New-ReceiveConnector Relay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// How.
    pub origin: Origin,
    /// The id of the document, by which decisions name it; also its checksum.
    pub document: String,
    /// The host name that it was read with.
    pub host_name: String,
}

impl Revision {
    /// What was done, as far as that is known.
    pub fn deed(&self) -> String {
        match self.origin {
            Origin::First => "the first".to_owned(),
            Origin::Amended => self.what.clone().unwrap_or_default(),
            Origin::ByHand => "the file was edited".to_owned(),
            Origin::Restored { number } => format!("restore of {number}"),
        }
    }

    /// The reason that was given, or else what was done; both where it was no plain change.
    pub fn reason(&self) -> String {
        let why = self.why.as_deref().map(str::trim).filter(|why| !why.is_empty());
        match (why, self.origin) {
            (None, _) => self.deed(),
            (Some(why), Origin::Amended) => why.to_owned(),
            (Some(why), _) => format!("{why}; {}", self.deed()),
        }
    }
}

/// A line of a file.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    revision: Revision,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Whole(String),
    Difference(LineDifference),
}

/// What is to be noted of a document.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    /// When.
    pub at_ms: u64,
    /// Who.
    pub author: &'a Author,
    /// Why.
    pub why: Option<&'a str>,
    /// What was done, where it was a command.
    pub what: Option<&'a str>,
    /// How.
    pub origin: Origin,
    /// The host name that the document was read with.
    pub host_name: &'a str,
}

/// A document and its id.
#[derive(Clone, Copy, Debug)]
pub struct Identified<'a> {
    /// The document.
    pub text: &'a str,
    /// Its id, with the host name that it was read with.
    pub id: RevisionId,
}

impl<'a> From<&'a Document> for Identified<'a> {
    fn from(document: &'a Document) -> Self {
        Identified { text: &document.text, id: document.id() }
    }
}

/// The history of a data folder.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    data_dir: PathBuf,
    files: VecDeque<Chapter>,
    limits: RevisionSettings,
    is_open: bool,
}

/// One file.
#[derive(Debug)]
struct Chapter {
    path: PathBuf,
    revisions: Vec<Revision>,
    /// Where each line begins.
    starts: Vec<u64>,
    bytes: u64,
    whole_bytes: u64,
    /// Whether another line can follow.
    is_sound: bool,
}

impl History {
    /// Opens the history of a data folder that exists.
    ///
    /// # Errors
    /// When the disk cannot be read or written.
    pub fn open(data_dir: &Path, limits: RevisionSettings) -> io::Result<History> {
        let folder = data_dir.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(EXTENSION) => paths.push(path),
                Some("new") => fs::remove_file(&path)?,
                _ => {}
            }
        }
        paths.sort();
        let count = paths.len();
        let read = |(at, path)| Chapter::read(path, at + 1 == count);
        let mut files = paths.into_iter().enumerate().map(read).collect::<io::Result<VecDeque<_>>>()?;
        files.retain(|file| !file.revisions.is_empty() || !file.is_sound);
        Ok(History { folder, data_dir: data_dir.to_path_buf(), files, limits, is_open: true })
    }

    /// A history that could not be opened, and is opened when it is to be written: a server runs without.
    pub fn closed(data_dir: &Path, limits: RevisionSettings) -> History {
        let folder = data_dir.join(FOLDER);
        History { folder, data_dir: data_dir.to_path_buf(), files: VecDeque::new(), limits, is_open: false }
    }

    /// The newest revision.
    pub fn newest(&self) -> Option<&Revision> {
        self.files.iter().rev().find_map(|file| file.revisions.last())
    }

    /// Every revision that is kept, oldest first.
    pub fn revisions(&self, now_ms: u64) -> impl DoubleEndedIterator<Item = &Revision> {
        let first = self.first_kept(now_ms);
        self.files.iter().flat_map(|file| &file.revisions).filter(move |revision| revision.number >= first)
    }

    /// The revision of this number.
    pub fn find(&self, number: u64, now_ms: u64) -> Option<&Revision> {
        self.revisions(now_ms).find(|revision| revision.number == number)
    }

    /// The newest revision with the document of this id.
    pub fn find_document(&self, id: RevisionId) -> Option<&Revision> {
        let id = id.to_string();
        self.files.iter().rev().flat_map(|file| file.revisions.iter().rev()).find(|revision| revision.document == id)
    }

    /// The document of a revision; `None` if it is damaged or not there.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn text(&self, number: u64) -> io::Result<Option<String>> {
        let holds = |file: &&Chapter| file.revisions.iter().any(|revision| revision.number == number);
        match self.files.iter().rev().find(holds) {
            Some(file) => file.text(number),
            None => Ok(None),
        }
    }

    /// Takes those out of `all` whose word, as `word` says it, stands in a document that is kept, or in a difference: a word of letters
    /// and digits, which is written as it is. Reads every file.
    ///
    /// # Errors
    /// When the history cannot be read; then any of them may be mentioned.
    pub fn without_mentioned<T>(&self, all: &mut Vec<T>, word: impl Fn(&T) -> &str) -> io::Result<()> {
        if !self.is_open {
            return Err(io::Error::other("the history is not open"));
        }
        for file in &self.files {
            if all.is_empty() {
                break;
            }
            let bytes = fs::read(&file.path)?;
            let text = String::from_utf8_lossy(&bytes);
            all.retain(|one| !text.contains(word(one)));
        }
        Ok(())
    }

    /// Keeps a document that is about to be put in force: it is on the disk when this returns. `before` is the document of
    /// the newest revision, if it is known. Gives its number.
    ///
    /// # Errors
    /// When the disk does not take it; nothing is noted then.
    pub fn append(
        &mut self,
        note: &Note<'_>,
        document: Identified<'_>,
        before: Option<Identified<'_>>,
    ) -> io::Result<u64> {
        if !self.is_open {
            *self = History::open(&self.data_dir, self.limits)?;
        }
        let number = self.newest().map_or(0, |newest| newest.number) + 1;
        let revision = Revision {
            number,
            at_ms: note.at_ms,
            author: note.author.clone(),
            why: note.why.map(|why| shortened(why, WHY_BYTES_MAX).to_owned()),
            what: note.what.map(|what| shortened(what, WHAT_BYTES_MAX).to_owned()),
            origin: note.origin,
            document: document.id.to_string(),
            host_name: note.host_name.to_owned(),
        };
        let is_newest =
            |before: &Identified<'_>| self.newest().is_some_and(|newest| newest.document == before.id.to_string());
        let before = before.filter(is_newest);
        let has_room = |file: &&mut Chapter| {
            let is_short = file.bytes < (2 * file.whole_bytes).max(64 << 10);
            file.is_sound && file.revisions.len() <= DIFFERENCES_MAX && is_short
        };
        match self.files.back_mut().filter(has_room).zip(before) {
            Some((file, before)) => {
                let content = Content::Difference(LineDifference::between(before.text, document.text));
                file.append(revision, content)?;
            }
            None => {
                let path = self.folder.join(format!("{number:010}.{EXTENSION}"));
                self.files.push_back(Chapter::create(path, revision, document.text)?);
            }
        }
        self.remove_oldest(note.at_ms);
        Ok(number)
    }

    /// Notes a document that nobody changed by a command, unless it is the newest already: one of a start. Gives its
    /// number.
    pub fn note_if_other(&mut self, document: &Document) -> u64 {
        self.note_loaded(document, None)
    }

    /// The same of a document that somebody had loaded. What the disk does not take costs the history, no more.
    pub fn note_loaded(&mut self, document: &Document, loaded_by: Option<&str>) -> u64 {
        let id = document.id().to_string();
        let newest = self.newest().map(|newest| (newest.number, newest.document == id));
        if let Some((number, true)) = newest {
            return number;
        }
        let newest = newest.map(|(number, _)| number);
        let before = newest.and_then(|number| self.text(number).ok().flatten());
        let before_id = self.newest().and_then(|newest| RevisionId::parse(&newest.document));
        let owner = fs::metadata(&document.path).map(|found| found.uid());
        let from = match loaded_by {
            Some(loaded_by) => format!("the settings file, loaded by {loaded_by}"),
            None => "the settings file, loaded at a start".to_owned(),
        };
        let author = Author { who: owner.map_or_else(|_| "unknown".to_owned(), system_user), from };
        let origin = if newest.is_some() { Origin::ByHand } else { Origin::First };
        let note = Note { at_ms: now_ms(), author: &author, why: None, what: None, origin, host_name: &host_name() };
        let before = before.as_deref().zip(before_id).map(|(text, id)| Identified { text, id });
        self.append(&note, document.into(), before).unwrap_or_else(|error| {
            tracing::warn!(%error, "the settings document cannot be kept: decisions under it cannot be explained later");
            newest.unwrap_or_default() + 1
        })
    }

    /// Takes the newest revision back, which was not put in force after all.
    ///
    /// # Errors
    /// When the disk does not take it; then it stays in the history.
    pub fn withdraw(&mut self, number: u64) -> io::Result<()> {
        let Some(file) = self.files.back_mut() else { return Ok(()) };
        if file.revisions.last().is_none_or(|newest| newest.number != number) {
            return Ok(());
        }
        if file.revisions.len() > 1 {
            return file.shorten();
        }
        fs::remove_file(&file.path)?;
        self.files.pop_back();
        File::open(&self.folder)?.sync_all()
    }

    /// Keeps as much as these settings say from now on.
    pub fn set_limits(&mut self, limits: RevisionSettings) {
        self.limits = limits;
    }

    /// The number of the first revision that is kept.
    fn first_kept(&self, now_ms: u64) -> u64 {
        let Some(newest) = self.newest() else { return 0 };
        let by_count = newest.number.saturating_sub(self.limits.max_count.saturating_sub(1));
        let Some(oldest_ms) = (!self.limits.max_age.is_zero())
            .then(|| now_ms.saturating_sub(self.limits.max_age.as_millis().try_into().unwrap_or(u64::MAX)))
        else {
            return by_count;
        };
        // What was in force at the beginning of that time belongs to it.
        let revisions = self.files.iter().flat_map(|file| &file.revisions);
        let before = revisions.take_while(|revision| revision.at_ms <= oldest_ms).last();
        by_count.max(before.map_or(0, |revision| revision.number)).min(newest.number)
    }

    /// Removes files of which nothing is kept; the last one stays.
    fn remove_oldest(&mut self, now_ms: u64) {
        let first = self.first_kept(now_ms);
        while self.files.len() > 1 {
            let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
            let is_past = self.files[0].revisions.last().is_none_or(|newest| newest.number < first);
            if !is_past && bytes <= self.limits.max_size {
                break;
            }
            if let Err(error) = fs::remove_file(&self.files[0].path) {
                tracing::warn!(file = %self.files[0].path.display(), %error, "an old revision of the settings cannot be removed");
                break;
            }
            self.files.pop_front();
        }
    }
}

impl Chapter {
    /// Reads what a file holds; the end of the last one may be torn.
    fn read(path: PathBuf, is_last: bool) -> io::Result<Chapter> {
        let text = read_bounded(&path)?;
        let mut file =
            Chapter { path, revisions: Vec::new(), starts: Vec::new(), bytes: 0, whole_bytes: 0, is_sound: true };
        let mut lines = text.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let Some(parsed) = parse_line(line) else {
                if lines.peek().is_none() && is_last {
                    tracing::warn!(file = %file.path.display(), "the last revision was not written to its end, so it never was; cut off");
                    OpenOptions::new().write(true).open(&file.path)?.set_len(file.bytes)?;
                } else {
                    tracing::error!(file = %file.path.display(), byte = file.bytes, "the history of settings is damaged here");
                    file.is_sound = false;
                }
                break;
            };
            if file.starts.is_empty() {
                file.whole_bytes = line.len() as u64;
            }
            file.starts.push(file.bytes);
            file.bytes += line.len() as u64;
            file.revisions.push(parsed.revision);
        }
        if file.revisions.is_empty() && file.is_sound {
            fs::remove_file(&file.path)?;
        }
        Ok(file)
    }

    /// A new file that begins with a whole document.
    fn create(path: PathBuf, revision: Revision, text: &str) -> io::Result<Chapter> {
        let line = write_line(Line { revision: revision.clone(), content: Content::Whole(text.to_owned()) })?;
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        let written = file.write_all(&line).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&fresh, &path));
        if written.is_err() {
            // Best effort: the error that counts is the first.
            let _ = fs::remove_file(&fresh);
        }
        written?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        let bytes = line.len() as u64;
        Ok(Chapter { path, revisions: vec![revision], starts: vec![0], bytes, whole_bytes: bytes, is_sound: true })
    }

    fn append(&mut self, revision: Revision, content: Content) -> io::Result<()> {
        let line = write_line(Line { revision: revision.clone(), content })?;
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        if let Err(error) = file.write_all(&line).and_then(|()| file.sync_data()) {
            // What may be there of it is cut off now, or else no line follows it.
            self.is_sound = file.set_len(self.bytes).and_then(|()| file.sync_data()).is_ok();
            return Err(error);
        }
        self.starts.push(self.bytes);
        self.bytes += line.len() as u64;
        self.revisions.push(revision);
        Ok(())
    }

    /// Takes the last line back.
    fn shorten(&mut self) -> io::Result<()> {
        let Some(start) = self.starts.last().copied() else { return Ok(()) };
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(start)?;
        file.sync_data()?;
        self.starts.pop();
        self.revisions.pop();
        self.bytes = start;
        Ok(())
    }

    fn text(&self, number: u64) -> io::Result<Option<String>> {
        let bytes = read_bounded(&self.path)?;
        let mut text: Option<String> = None;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = parse_line(line) else { return Ok(None) };
            text = match (line.content, text) {
                (Content::Whole(whole), _) => Some(whole),
                (Content::Difference(difference), Some(before)) => difference.apply(&before),
                (Content::Difference(_), None) => None,
            };
            if line.revision.number == number {
                let is_whole = |text: &String| {
                    RevisionId::of(text, &line.revision.host_name).to_string() == line.revision.document
                };
                return Ok(text.filter(is_whole));
            }
        }
        Ok(None)
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn checksum(bytes: &[u8]) -> u32 {
    // The algorithm gives 32 bits in the low half.
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn write_line(line: Line) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(&line).map_err(io::Error::other)?;
    Ok(format!("{:08x} {json}\n", checksum(json.as_bytes())).into_bytes())
}

fn parse_line(line: &[u8]) -> Option<Line> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = (line.get(..8)?, line.get(9..)?);
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (sum == checksum(json)).then(|| serde_json::from_slice(json).ok()).flatten()
}

/// The text, cut to so many bytes.
fn shortened(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests;
