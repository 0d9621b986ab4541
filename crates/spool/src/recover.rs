//! Opening a spool: what is on the disk becomes an index again.
//!
//! Reads the log once, front to back, with bounded memory, and checks every record. Changes little on the disk, and
//! nothing of what it changes is needed to do it again: it copies damaged ranges to `set-aside/` and removes body
//! files that belong to no message. Killed at any instant and begun anew, it finds the same messages.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost_mail::MessageId;

use crate::disk::{Disk, File, Lock, Locking};
use crate::index::{Body, Index, Location, Segment};
use crate::record::{ALIGNMENT, Digest, HEADER_BYTES, Header, Kind, checksum};
use crate::segment::{FIRST_RECORD, FORMAT, HeaderError, SegmentHeader, file_name, number_of};
use crate::set_aside::{self, read_what_can_be_read};
use crate::shared::{Folders, Options};
use crate::stored::{self, StoredMessage, StoredOutcomes};

/// Content is checked in pieces of this size; the log is read in pieces at least as large.
const PIECE_BYTES: usize = 1 << 20;
/// Numbers of messages begin this much above the highest one seen, because some may have been given out (and shown in
/// a log) without reaching the disk.
const ID_LEAP: u64 = 1 << 16;
/// The number of the first message ever.
const FIRST_ID: u64 = 1;
const FORMAT_NAME: &str = "FORMAT";
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
    #[error("cannot open the spool at {}: {source}", path.display())]
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

/// What opening the spool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Messages with recipients still pending, in the order of their numbers.
    pub live: Vec<MessageId>,
    /// Damaged ranges. Each is reported on every start until its segment is deleted.
    pub set_aside: Vec<SetAside>,
    /// Bytes behind the last known flush of a segment that are no whole record: what a crash leaves half written.
    /// Copies are kept and listed in `set_aside`, because damage to the very last record looks the same.
    pub torn_bytes: u64,
    /// Segment files read.
    pub segments: usize,
    /// How long it took.
    pub duration: Duration,
    /// Files removed that belonged to no message.
    pub removed_files: usize,
}

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
    /// The copy; `None` if it could not be written. The original then stays where it is.
    pub moved_to: Option<PathBuf>,
}

/// What recovery hands to the spool.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub index: Index,
    pub next_id: u64,
    pub next_segment: u32,
    pub lock: Lock,
    pub recovery: Recovery,
}

pub(crate) fn recover(disk: &dyn Disk, folders: &Folders, options: &Options) -> Result<Recovered, OpenError> {
    let began = Instant::now();
    for folder in [&folders.root, &folders.log, &folders.bodies, &folders.set_aside] {
        disk.create_folder(folder).map_err(at(folder))?;
    }
    disk.flush_folder(&folders.root).map_err(at(&folders.root))?;
    let lock = lock(disk, &folders.root)?;
    let mut recoverer = Recoverer {
        disk,
        folders,
        index: Index::new(options.cache_bytes_max),
        next_id: FIRST_ID,
        is_damaged: false,
        recovery: Recovery::default(),
    };
    recoverer.check_format()?;
    let mut numbers = Vec::new();
    for listed in disk.list(&folders.log).map_err(at(&folders.log))? {
        numbers.extend(number_of(&listed.name));
    }
    numbers.sort_unstable();
    for number in &numbers {
        recoverer.read_segment(*number)?;
    }
    // What the last server wrote but did not flush is only in the system's memory. It has to be safe before anything
    // is deleted because of it.
    let is_safe = match numbers.last() {
        Some(newest) => recoverer.flush_segment(*newest),
        None => true,
    };
    recoverer.check_bodies(is_safe)?;
    let Recoverer { index, next_id, mut recovery, .. } = recoverer;
    recovery.segments = numbers.len();
    recovery.live = index.live().map(MessageId).collect();
    recovery.duration = began.elapsed();
    let next_segment = numbers
        .last()
        .map_or(Some(1), |newest| newest.checked_add(1))
        .ok_or_else(|| OpenError::Io { path: folders.log.clone(), source: io::ErrorKind::FileTooLarge.into() })?;
    let next_id = if next_id == FIRST_ID { FIRST_ID } else { next_id.saturating_add(ID_LEAP) };
    Ok(Recovered { index, next_id, next_segment, lock, recovery })
}

fn lock(disk: &dyn Disk, root: &Path) -> Result<Lock, OpenError> {
    let path = root.join("lock");
    match disk.lock(&path).map_err(at(&path))? {
        Locking::Held(lock) => Ok(lock),
        Locking::Taken { pid } => Err(OpenError::Locked { path: root.to_path_buf(), pid }),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { path, source }
}

struct Recoverer<'a> {
    disk: &'a dyn Disk,
    folders: &'a Folders,
    index: Index,
    next_id: u64,
    /// Something was lost to damage, so that what looks unneeded may be needed by what was lost.
    is_damaged: bool,
    recovery: Recovery,
}

/// A message record for a message that was known already: a copy that compaction made.
struct Moved {
    id: u64,
    from: Location,
    to: Location,
}

/// A range of a segment that is no valid record.
struct Gap {
    from: u64,
    to: u64,
    /// Whether it is exactly one record.
    is_record: bool,
    /// What can be said about it.
    what: String,
}

impl Recoverer<'_> {
    fn check_format(&mut self) -> Result<(), OpenError> {
        let path = self.folders.root.join(FORMAT_NAME);
        let text = match self.disk.open(&path) {
            Ok(file) => {
                let mut text = [0; 64];
                let read = file.read_at(&mut text, 0).map_err(at(&path))?;
                String::from_utf8_lossy(&text[..read]).into_owned()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.write_format(&path).map_err(at(&path));
            }
            Err(error) => return Err(at(&path)(error)),
        };
        match text.strip_prefix(FORMAT_PREFIX).and_then(|rest| rest.trim_end().parse::<u32>().ok()) {
            Some(FORMAT) => Ok(()),
            Some(found) if found > FORMAT => Err(OpenError::NewerFormat { path, found }),
            _ => {
                // The segments repeat the format, so this file's damage costs nothing.
                let file = self.disk.open(&path).map_err(at(&path))?;
                let length = file.bytes().map_err(at(&path))?;
                let gap = Gap { from: 0, to: length, is_record: false, what: "the file does not say a format".into() };
                self.set_aside(&*file, &path, gap);
                self.write_format(&path).map_err(at(&path))
            }
        }
    }

    fn write_format(&self, path: &Path) -> io::Result<()> {
        let partial = path.with_extension("tmp");
        match self.disk.remove(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(&partial)?;
        file.append(&mut [IoSlice::new(format!("{FORMAT_PREFIX}{FORMAT}\n").as_bytes())])?;
        file.flush()?;
        self.disk.rename(&partial, path)?;
        self.disk.flush_folder(&self.folders.root)
    }

    fn read_segment(&mut self, number: u32) -> Result<(), OpenError> {
        let path = self.folders.log.join(file_name(number));
        let file = self.disk.open(&path).map_err(at(&path))?;
        let bytes = file.bytes().map_err(at(&path))?;
        let mut window = Window::new(Arc::clone(&file), bytes);
        let header = match SegmentHeader::parse(window.get(0, FIRST_RECORD as usize)) {
            Ok(header) if header.number == number => header,
            Err(HeaderError::Newer(found)) => return Err(OpenError::NewerFormat { path, found }),
            // Without the header no record can be told from the mail around it.
            Ok(_) | Err(HeaderError::Damaged) => {
                self.index.add_segment(number, Segment::new(0, bytes, None));
                // A blank or short header was never flushed, so nothing behind it was acknowledged.
                let is_unfinished = bytes < FIRST_RECORD || window.is_zero(0, FIRST_RECORD);
                let what = "the segment has no readable header".into();
                let gap = Gap { from: 0, to: bytes, is_record: false, what };
                self.close_gap(&file, &path, number, gap, if is_unfinished { 0 } else { bytes }, &mut window);
                return Ok(());
            }
        };
        self.index.add_segment(number, Segment::new(header.salt, bytes, None));
        self.next_id = self.next_id.max(header.next_id);
        let scanned = self.scan(number, header.salt, &mut window);
        for Moved { id, from, to } in scanned.moved {
            // A copy that may not be on the disk is no reason to give up the original.
            if to.offset + to.bytes <= scanned.flushed {
                self.index.relocate(id, from, to);
            }
        }
        for gap in scanned.gaps {
            self.close_gap(&file, &path, number, gap, scanned.flushed, &mut window);
        }
        if window.is_unreadable {
            self.index.pin(number);
        }
        Ok(())
    }

    fn scan(&mut self, number: u32, salt: u64, window: &mut Window) -> Scanned {
        let mut scanned = Scanned { flushed: 0, moved: Vec::new(), gaps: Vec::new() };
        let mut offset = FIRST_RECORD;
        while offset + HEADER_BYTES as u64 <= window.bytes {
            let header = Header::parse(window.get(offset, HEADER_BYTES), salt, offset);
            let Some(header) = header else {
                scanned.no_record(offset, offset + ALIGNMENT, false, "no record begins here");
                offset += ALIGNMENT;
                continue;
            };
            let location = Location { segment: number, offset, bytes: header.record_bytes() };
            let end = offset + location.bytes;
            if end > window.bytes {
                scanned.no_record(offset, offset + ALIGNMENT, false, "a record is cut short");
                offset += ALIGNMENT;
                continue;
            }
            scanned.flushed = scanned.flushed.max(header.flushed);
            if let Err(what) = self.take(location, &header, window, &mut scanned.moved) {
                scanned.no_record(offset, end, true, &what);
            }
            offset = end;
        }
        if offset < window.bytes {
            scanned.no_record(offset, window.bytes, false, "no record begins here");
        }
        scanned
    }

    /// Applies one record to the index, or says why it cannot be used.
    fn take(
        &mut self,
        location: Location,
        header: &Header,
        window: &mut Window,
        moved: &mut Vec<Moved>,
    ) -> Result<(), String> {
        let meta_at = location.offset + HEADER_BYTES as u64;
        let content_at = meta_at + header.meta_bytes as u64;
        let is_content_right = window.checksum(content_at, header.content_bytes) == header.content_crc;
        let meta = window.get(meta_at, header.meta_bytes);
        if checksum(meta) != header.meta_crc {
            return Err(match header.kind {
                Some(Kind::Message) => "the envelope of a message does not match its checksum".into(),
                Some(Kind::Outcomes) => {
                    "outcomes of deliveries do not match their checksum, so some messages may be sent twice".into()
                }
                None => "a record of unknown kind does not match its checksum".into(),
            });
        }
        match header.kind {
            Some(Kind::Message) => {
                let message: StoredMessage<'_> =
                    stored::read(meta).map_err(|error| format!("a message has an envelope that is wrong: {error}"))?;
                let id = message.id;
                self.next_id = self.next_id.max(id.saturating_add(1));
                if !is_content_right {
                    return Err(format!("the content of message {id} does not match its checksum"));
                }
                let recipients = match message.envelope.read() {
                    Ok(envelope) if !envelope.recipients.is_empty() => envelope.recipients.len() as u32,
                    Ok(_) => return Err(format!("message {id} has no recipients")),
                    Err(error) => return Err(format!("the envelope of message {id} is wrong: {error}")),
                };
                match self.index.location(id) {
                    Some(from) => moved.push(Moved { id, from, to: location }),
                    None => {
                        let body = message.body.map(|stored| Body { stored, is_verified: false });
                        self.index.insert(id, location, recipients, body);
                    }
                }
                for state in &message.states {
                    self.index
                        .restore(id, state)
                        .map_err(|error| format!("the recipients of message {id} are wrong: {error}"))?;
                }
            }
            Some(Kind::Outcomes) => {
                let wrong = |error| format!("outcomes of deliveries are wrong: {error}");
                let outcomes: StoredOutcomes<'_> = stored::read(meta).map_err(wrong)?;
                for id in outcomes.ended {
                    self.next_id = self.next_id.max(id.saturating_add(1));
                    self.index.remove(id);
                }
                for change in &outcomes.changed {
                    self.index.restore(change.id, &change.state).map_err(wrong)?;
                }
            }
            None => return Err("a record is of a kind that this version does not know".into()),
        }
        Ok(())
    }

    /// Decides what a range without a valid record means. Below `flushed` it was safe once, so it is damage. Above, it
    /// is what a crash leaves behind, or else damage to the very last records: nobody can tell, so a copy is kept.
    fn close_gap(
        &mut self,
        file: &Arc<dyn File>,
        path: &Path,
        number: u32,
        gap: Gap,
        flushed: u64,
        window: &mut Window,
    ) {
        let is_damage = gap.from < flushed;
        if !is_damage {
            if window.is_zero(gap.from, gap.to) {
                return;
            }
            self.recovery.torn_bytes += gap.to - gap.from;
        }
        let what = match is_damage {
            true => gap.what,
            false => format!("{}; written last before a crash, and perhaps never acknowledged", gap.what),
        };
        self.is_damaged = true;
        if !self.set_aside(&**file, path, Gap { what, ..gap }) {
            self.index.pin(number);
        }
    }

    /// Copies a range away and reports it. Returns whether the copy was made.
    fn set_aside(&mut self, file: &dyn File, path: &Path, gap: Gap) -> bool {
        let length = gap.to - gap.from;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}-at-{}-length-{length}", gap.from);
        let copied = set_aside::keep(self.disk, &self.folders.set_aside, &name, (file, gap.from, length));
        let moved_to = copied.inspect_err(|error| tracing::error!(%error, name, "cannot set damage aside")).ok();
        let is_copied = moved_to.is_some();
        let set_aside = SetAside { file: path.to_path_buf(), offset: gap.from, length, reason: gap.what, moved_to };
        tracing::error!(
            file = %set_aside.file.display(), offset = gap.from, length, reason = set_aside.reason,
            "the spool is damaged"
        );
        self.recovery.set_aside.push(set_aside);
        is_copied
    }

    fn flush_segment(&self, number: u32) -> bool {
        let file = self.disk.open(&self.folders.log.join(file_name(number)));
        match file.and_then(|file| file.flush()).and_then(|()| self.disk.flush_folder(&self.folders.log)) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, segment = number, "the log of the spool cannot be flushed");
                false
            }
        }
    }

    /// Takes messages out whose body file is missing or has another length, and removes files that no message needs.
    fn check_bodies(&mut self, may_remove: bool) -> Result<(), OpenError> {
        let folder = &self.folders.bodies;
        let mut unneeded = Vec::new();
        let mut present = BTreeSet::new();
        for listed in self.disk.list(folder).map_err(at(folder))? {
            let id = u64::from_str_radix(&listed.name, 16).ok().filter(|_| listed.name.len() == 16);
            match id.map(|id| (id, self.index.body(id))) {
                Some((id, Some(body))) if body.stored.bytes == listed.bytes => {
                    present.insert(id);
                }
                Some((id, body)) => {
                    self.next_id = self.next_id.max(id.saturating_add(1));
                    unneeded.push((listed.name, body.is_some() || self.is_damaged));
                }
                // Never belonged to an accepted message.
                None if listed.name.ends_with(".tmp") => unneeded.push((listed.name, false)),
                None => {}
            }
        }
        let missing: Vec<u64> = self.index.bodies().map(|(id, _)| id).filter(|id| !present.contains(id)).collect();
        for id in missing {
            let Some(location) = self.index.location(id) else { continue };
            let path = self.folders.log.join(file_name(location.segment));
            let Location { offset, bytes, .. } = location;
            let what = format!("the body file of message {id} is missing or has another length");
            let gap = Gap { from: offset, to: offset + bytes, is_record: true, what };
            let file = self.disk.open(&path).map_err(at(&path))?;
            if !self.set_aside(&*file, &path, gap) {
                self.index.pin(location.segment);
            }
            self.index.remove(id);
        }
        if !may_remove {
            return Ok(());
        }
        for (name, keep) in unneeded {
            let path = folder.join(&name);
            let gone = match keep {
                // The record that needs it may be among the damaged ones.
                true => self.disk.rename(&path, &self.folders.set_aside.join(format!("{name}.body"))),
                false => self.disk.remove(&path),
            };
            match gone {
                Ok(()) => self.recovery.removed_files += 1,
                Err(error) => tracing::warn!(%error, file = %path.display(), "a file that no message needs stays"),
            }
        }
        Ok(())
    }
}

struct Scanned {
    /// Up to here the segment was flushed for certain.
    flushed: u64,
    moved: Vec<Moved>,
    gaps: Vec<Gap>,
}

impl Scanned {
    /// Adds a range to the gaps; ranges that touch become one, damaged records stay apart.
    fn no_record(&mut self, from: u64, to: u64, is_record: bool, what: &str) {
        match self.gaps.last_mut() {
            Some(last) if last.to == from && !is_record && !last.is_record => last.to = to,
            _ => self.gaps.push(Gap { from, to, is_record, what: what.into() }),
        }
    }
}

/// A segment file seen through a buffer. What cannot be read is zeros, which no checksum matches.
struct Window {
    file: Arc<dyn File>,
    bytes: u64,
    start: u64,
    buffer: Vec<u8>,
    is_unreadable: bool,
}

impl Window {
    fn new(file: Arc<dyn File>, bytes: u64) -> Window {
        Window { file, bytes, start: 0, buffer: Vec::new(), is_unreadable: false }
    }

    /// Up to `wanted` bytes at `offset`; fewer at the end of the file.
    fn get(&mut self, offset: u64, wanted: usize) -> &[u8] {
        let left = self.bytes.saturating_sub(offset);
        let wanted = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
        let is_there = offset >= self.start && offset + wanted as u64 <= self.start + self.buffer.len() as u64;
        if !is_there {
            let length = wanted.max(PIECE_BYTES).min(usize::try_from(left).unwrap_or(usize::MAX));
            self.buffer.resize(length, 0);
            self.start = offset;
            self.is_unreadable |= !read_what_can_be_read(&*self.file, &mut self.buffer, offset);
        }
        let from = (offset.min(self.bytes) - self.start) as usize;
        &self.buffer[from..from + wanted]
    }

    fn checksum(&mut self, offset: u64, length: usize) -> u32 {
        let mut digest = Digest::new();
        let (mut at, end) = (offset, offset + length as u64);
        while at < end {
            let piece = self.get(at, PIECE_BYTES.min((end - at) as usize));
            if piece.is_empty() {
                break;
            }
            digest.update(piece);
            at += piece.len() as u64;
        }
        digest.value()
    }

    fn is_zero(&mut self, from: u64, to: u64) -> bool {
        let mut at = from;
        while at < to {
            let piece = self.get(at, PIECE_BYTES.min((to - at) as usize));
            if piece.is_empty() {
                break;
            }
            if piece.iter().any(|byte| *byte != 0) {
                return false;
            }
            at += piece.len() as u64;
        }
        true
    }
}
