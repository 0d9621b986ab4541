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
use crate::index::{Damage, Index, Location, Segment};
use crate::queues::Outbox;
use crate::scan::{Gap, Loss, Window, scan};
use crate::segment::{FIRST_RECORD, FORMAT, HeaderError, SegmentHeader, file_name, number_of};
use crate::set_aside;
use crate::shared::{Folders, Options};

/// Numbers of messages begin this much above the highest one seen, because some may have been given out (and shown in
/// a log) without reaching the disk.
const ID_LEAP: u64 = 1 << 16;
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
    /// The copy; `None` if it could not be written. The original then stays where it is, until its segment is not
    /// needed any more: then the copy is tried again, and at last the whole segment is moved to `set-aside/`.
    pub moved_to: Option<PathBuf>,
}

/// What recovery hands to the spool.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub index: Index,
    /// Outcomes that may not have been flushed by the last server, to be written again.
    pub outbox: Outbox,
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
        outbox: Outbox::default(),
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
    let Recoverer { index, next_id, outbox, mut recovery, .. } = recoverer;
    recovery.segments = numbers.len();
    recovery.live = index.live().map(MessageId).collect();
    recovery.duration = began.elapsed();
    let next_segment = numbers
        .last()
        .map_or(Some(1), |newest| newest.checked_add(1))
        .ok_or_else(|| OpenError::Io { path: folders.log.clone(), source: io::ErrorKind::FileTooLarge.into() })?;
    let next_id = if next_id == FIRST_ID { FIRST_ID } else { next_id.saturating_add(ID_LEAP) };
    Ok(Recovered { index, outbox, next_id, next_segment, lock, recovery })
}

fn lock(disk: &dyn Disk, root: &Path) -> Result<Lock, OpenError> {
    let path = root.join(LOCK_NAME);
    match disk.lock(&path).map_err(at(&path))? {
        Locking::Held(lock) => Ok(lock),
        Locking::Taken { pid } => Err(OpenError::Locked { path: root.to_path_buf(), pid }),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { path, source }
}

/// The format that the file `FORMAT` says; `None` if it is damaged.
pub(crate) fn format_in(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.strip_prefix(FORMAT_PREFIX)?.trim_end().parse().ok()
}

/// The name that the copy of a damaged range has.
pub(crate) fn name_of_copy(path: &Path, gap: &Gap) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}-at-{}-length-{}", gap.from, gap.to - gap.from)
}

struct Recoverer<'a> {
    disk: &'a dyn Disk,
    folders: &'a Folders,
    index: Index,
    next_id: u64,
    /// Something was lost to damage, so that what looks unneeded may be needed by what was lost.
    is_damaged: bool,
    /// Outcomes that may not have been flushed.
    outbox: Outbox,
    recovery: Recovery,
}

impl Recoverer<'_> {
    fn check_format(&mut self) -> Result<(), OpenError> {
        let path = self.folders.root.join(FORMAT_NAME);
        let found = match self.disk.open(&path) {
            Ok(file) => {
                let mut text = [0; 64];
                let read = file.read_at(&mut text, 0).map_err(at(&path))?;
                format_in(&text[..read])
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.write_format(&path).map_err(at(&path));
            }
            Err(error) => return Err(at(&path)(error)),
        };
        match found {
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
        let scanned = scan(&mut self.index, number, header.salt, &mut window);
        self.next_id = self.next_id.max(scanned.next_id);
        self.outbox.append(scanned.outbox);
        for gap in scanned.gaps {
            self.close_gap(&file, &path, number, gap, scanned.flushed, &mut window);
        }
        if window.is_unreadable {
            self.index.pin(number);
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
        let what = match gap.loss(flushed, window) {
            Loss::Blank => return,
            Loss::Damage => gap.what,
            Loss::Torn => {
                self.recovery.torn_bytes += gap.to - gap.from;
                format!("{}; written last before a crash, and perhaps never acknowledged", gap.what)
            }
        };
        self.is_damaged = true;
        self.set_aside_from(number, &**file, path, Gap { what, ..gap });
    }

    /// Copies a range of a segment away and reports it. If the copy fails it is made when the segment is about to be
    /// deleted.
    fn set_aside_from(&mut self, number: u32, file: &dyn File, path: &Path, gap: Gap) {
        let damage = Damage { name: name_of_copy(path, &gap), offset: gap.from, bytes: gap.to - gap.from };
        if !self.set_aside(file, path, gap) {
            self.index.add_damage(number, damage);
        }
    }

    /// Copies a range away and reports it. Returns whether the copy was made.
    fn set_aside(&mut self, file: &dyn File, path: &Path, gap: Gap) -> bool {
        let length = gap.to - gap.from;
        let name = name_of_copy(path, &gap);
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
                // Its end may not be on the disk yet: the committer removes the file after writing that again.
                Some((id, None)) if self.outbox.bodies.contains(&id) => {}
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
            self.set_aside_from(location.segment, &*file, &path, gap);
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
