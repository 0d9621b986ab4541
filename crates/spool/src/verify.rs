//! Reads a whole spool and says whether everything in it is sound. Changes nothing and takes no lock.
//!
//! Reads what recovery would read, by the same [`crate::scan`], and besides that every body file against its checksum.
//!
//! It may be asked while a server works in the folder. What the server does meanwhile is no damage: a segment that
//! disappears was emptied into later ones, which are read after it; the segment that is being written is read again
//! after the others; a body file that is missing is looked for only after the end of its message was looked for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost_mail::MessageId;

use crate::disk::{self, Disk, File, RealDisk};
use crate::index::{Body, Index, Location, Segment};
use crate::opening::{FORMAT_NAME, LOCK_NAME, format_in};
use crate::record::Digest;
use crate::scan::{Gap, Loss, Window, scan, scan_headless};
use crate::segment::{FIRST_RECORD, FORMAT, HeaderError, SegmentHeader, file_name, number_of};
use crate::set_aside::name_of_copy;
use crate::shared::Folders;

/// Body files are read in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;
/// More findings than this are counted, not kept: each names its place, and a disk of zeros has many.
const FINDINGS_MAX: usize = 1_000;

/// Why nothing can be said about a spool.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no spool in the folder.
    #[error("there is no spool in {}: name the data folder of a server, or the folder spool in it", .0.display())]
    NoSpool(PathBuf),
    /// Written by a newer version of this program.
    #[error("{} has format {found}, and this version knows formats up to {FORMAT}: ask the newer version", path.display())]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// The format that it has.
        found: u32,
    },
    /// A folder cannot be read.
    #[error("cannot read {}: {source}{}", path.display(), hint(source))]
    Io {
        /// The file or folder at fault.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => ". The spool is for its server only: ask as root, or as the server's user",
        _ => "",
    }
}

/// How far reading has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read so far.
    pub bytes: u64,
    /// Bytes to read in all, as far as is known.
    pub total_bytes: u64,
}

/// What a spool holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The spool's folder.
    pub folder: PathBuf,
    /// Whether a server was using it while it was read.
    pub is_in_use: bool,
    /// Segment files of the log.
    pub segments: u64,
    /// Their bytes.
    pub log_bytes: u64,
    /// Valid records of messages in them: those that have ended and copies made by compaction too.
    pub message_records: u64,
    /// Valid records of outcomes in them.
    pub outcome_records: u64,
    /// Messages with recipients pending that can be delivered.
    pub messages: u64,
    /// Bytes of their records and bodies.
    pub live_bytes: u64,
    /// Bytes of the log that no message needs.
    pub dead_bytes: u64,
    /// Body files that match their checksums.
    pub bodies: u64,
    /// Their bytes.
    pub body_bytes: u64,
    /// Body files of no accepted message; the next start removes them.
    pub unneeded_files: u64,
    /// Files that lie in the folder for damage.
    pub set_aside_files: u64,
    /// Their bytes.
    pub set_aside_bytes: u64,
    /// Bytes behind the last known flush that are no whole record: what a crash leaves half written.
    pub torn_bytes: u64,
    /// What is not as it should be, in the order of the files; the first [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings there are beyond those.
    pub more_findings: u64,
    /// How many of all findings are damage.
    pub damaged: u64,
    /// How long it took.
    pub duration: Duration,
}

impl Verified {
    /// Whether nothing that was safe on the disk is damaged.
    pub fn is_sound(&self) -> bool {
        self.damaged == 0
    }

    fn add(&mut self, finding: Finding) {
        self.damaged += u64::from(finding.severity == Severity::Damage);
        match self.findings.len() {
            FINDINGS_MAX.. => self.more_findings += 1,
            _ => self.findings.push(finding),
        }
    }
}

/// One place that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// How much of it, in bytes.
    pub length: u64,
    /// What is wrong there, in half a sentence.
    pub what: String,
    /// What that means for mail, and what to do: whole sentences.
    pub meaning: String,
    /// The copy that an earlier start has set aside.
    pub copy: Option<PathBuf>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something that was safe on the disk cannot be used any more.
    Damage,
    /// Worth knowing; no accepted message is touched.
    Note,
}

/// Reads the spool in `dir`, or in the folder `spool` of the data folder `dir`. `watch` hears how far it has come,
/// several times a second on a fast disk.
///
/// # Errors
/// [`VerifyError`]: there is no spool, or it cannot be read at all. Damage is no error.
pub fn verify(dir: &Path, watch: impl FnMut(Progress)) -> Result<Verified, VerifyError> {
    verify_on(&RealDisk, dir, watch)
}

pub(crate) fn verify_on(disk: &dyn Disk, dir: &Path, mut watch: impl FnMut(Progress)) -> Result<Verified, VerifyError> {
    let began = Instant::now();
    let folders = find(disk, dir)?;
    let mut reading = Reading {
        disk,
        verified: Verified { folder: folders.root.clone(), ..Verified::default() },
        set_aside: Vec::new(),
        folders,
        index: Index::new(0),
        segments: BTreeMap::new(),
        progress: Progress::default(),
        watch: &mut watch,
    };
    reading.look_for_a_server()?;
    reading.look_around()?;
    reading.check_format()?;
    reading.read_log()?;
    reading.check_bodies()?;
    let mut verified = reading.finish();
    verified.duration = began.elapsed();
    Ok(verified)
}

fn find(disk: &dyn Disk, dir: &Path) -> Result<Folders, VerifyError> {
    let mut failed = None;
    for root in [dir.to_path_buf(), dir.join("spool")] {
        let folders = Folders::new(&root);
        match disk.list(&folders.log) {
            Ok(_) => return Ok(folders),
            Err(error) if is_absent(&error) => {}
            // Of a folder that nobody may look into, only its name says which of the two it is.
            Err(_) if failed.is_some() && dir.ends_with("spool") => {}
            Err(error) => failed = Some(at(&folders.log)(error)),
        }
    }
    Err(failed.unwrap_or_else(|| VerifyError::NoSpool(dir.to_path_buf())))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> VerifyError {
    let path = path.to_path_buf();
    move |source| VerifyError::Io { path, source }
}

struct Reading<'a> {
    disk: &'a dyn Disk,
    folders: Folders,
    index: Index,
    /// What each segment held.
    segments: BTreeMap<u32, Held>,
    /// Names of the files that were set aside.
    set_aside: Vec<String>,
    progress: Progress,
    watch: &'a mut dyn FnMut(Progress),
    verified: Verified,
}

/// What one segment held, apart from what is in the index now.
#[derive(Default)]
struct Held {
    bytes: u64,
    is_being_written: bool,
    /// Where damaged contents begin, and of which messages: perhaps nobody needs them.
    doubtful: BTreeMap<u64, u64>,
    message_records: u64,
    outcome_records: u64,
    torn_bytes: u64,
    findings: Vec<Finding>,
    more_findings: u64,
}

impl Reading<'_> {
    /// Whether a server works in the folder. Asked again before anything is called missing: one may have started.
    fn look_for_a_server(&mut self) -> Result<bool, VerifyError> {
        let lock = self.folders.root.join(LOCK_NAME);
        self.verified.is_in_use |= self.disk.is_locked(&lock).map_err(at(&lock))?;
        Ok(self.verified.is_in_use)
    }

    /// Counts what there is to read, and what lies in the folder for damage.
    fn look_around(&mut self) -> Result<(), VerifyError> {
        for folder in [&self.folders.log, &self.folders.bodies] {
            let listed = list(self.disk, folder)?;
            self.progress.total_bytes += listed.iter().map(|listed| listed.bytes).sum::<u64>();
        }
        for listed in list(self.disk, &self.folders.set_aside)? {
            self.verified.set_aside_files += 1;
            self.verified.set_aside_bytes += listed.bytes;
            self.set_aside.push(listed.name);
        }
        Ok(())
    }

    fn advance(&mut self, bytes: u64) {
        self.progress.bytes += bytes;
        self.progress.total_bytes = self.progress.total_bytes.max(self.progress.bytes);
        (self.watch)(self.progress);
    }

    fn check_format(&mut self) -> Result<(), VerifyError> {
        let path = self.folders.root.join(FORMAT_NAME);
        let what = match self.disk.open(&path) {
            Ok(file) => {
                let mut text = [0; 64];
                let read = file.read_at(&mut text, 0).map_err(at(&path))?;
                match format_in(&text[..read], self.has_readable_segments()?) {
                    Some(FORMAT) => return Ok(()),
                    Some(found) if found > FORMAT => return Err(VerifyError::NewerFormat { path, found }),
                    _ => "the file does not say a format",
                }
            }
            Err(error) if is_absent(&error) => "the file is missing",
            Err(error) => return Err(at(&path)(error)),
        };
        self.verified.add(Finding {
            severity: Severity::Note,
            file: path,
            offset: 0,
            length: 0,
            what: what.into(),
            meaning: "No message needs it: every segment repeats the format, and the next start writes it again."
                .into(),
            copy: None,
        });
        Ok(())
    }

    /// Whether a segment says itself of which format it is. Those of a newer one end the reading when they are met.
    fn has_readable_segments(&self) -> Result<bool, VerifyError> {
        for number in self.numbers(0)? {
            let file = self.disk.open(&self.folders.log.join(file_name(number)));
            let mut header = [0; FIRST_RECORD as usize];
            let read = file.and_then(|file| disk::read_exact_at(&*file, &mut header, 0));
            if read.is_ok() && SegmentHeader::parse(&header).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read_log(&mut self) -> Result<(), VerifyError> {
        self.read_segments(0)?;
        // A running server goes on while the log is read.
        if self.verified.is_in_use { self.read_log_again() } else { Ok(()) }
    }

    /// Reads what the running server has written since.
    fn read_log_again(&mut self) -> Result<(), VerifyError> {
        let newest = self.segments.keys().next_back().copied().unwrap_or(0);
        self.read_segments(newest)
    }

    fn read_segments(&mut self, from: u32) -> Result<(), VerifyError> {
        let numbers = self.numbers(from)?;
        for number in &numbers {
            self.read_segment(*number, numbers.last() == Some(number))?;
        }
        Ok(())
    }

    /// The segments that are there, from this one on.
    fn numbers(&self, from: u32) -> Result<Vec<u32>, VerifyError> {
        let listed = self.disk.list(&self.folders.log).map_err(at(&self.folders.log))?;
        let mut numbers: Vec<u32> = listed.iter().filter_map(|listed| number_of(&listed.name)).collect();
        numbers.retain(|number| *number >= from);
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn read_segment(&mut self, number: u32, is_newest: bool) -> Result<(), VerifyError> {
        let path = self.folders.log.join(file_name(number));
        let opened = self.disk.open(&path).and_then(|file| file.bytes().map(|bytes| (file, bytes)));
        let (file, bytes) = match opened {
            Ok(opened) => opened,
            // Emptied and deleted by the running server since it was listed.
            Err(error) if is_absent(&error) && self.look_for_a_server()? => return Ok(()),
            Err(error) => return Err(at(&path)(error)),
        };
        // The running server is writing at the end of its newest segment.
        let is_being_written = is_newest && self.verified.is_in_use;
        let mut held = Held { bytes, is_being_written, ..Held::default() };
        let mut window = Window::new(file, bytes);
        let scanned = match SegmentHeader::parse(window.get(0, FIRST_RECORD as usize)) {
            Ok(header) if header.number == number => {
                self.enter_segment(number, header.salt, bytes);
                scan(&mut self.index, number, header.salt, &mut window)
            }
            Err(HeaderError::Newer(found)) => return Err(VerifyError::NewerFormat { path, found }),
            Ok(_) | Err(HeaderError::Damaged) => {
                self.enter_segment(number, 0, bytes);
                scan_headless(&mut window)
            }
        };
        held.message_records = scanned.message_records;
        held.outcome_records = scanned.outcome_records;
        for gap in scanned.gaps {
            self.judge(&mut held, &path, gap, scanned.flushed, &mut window);
        }
        if window.is_unreadable {
            held.add(Finding {
                severity: Severity::Damage,
                file: path,
                offset: 0,
                length: bytes,
                what: "parts of the file cannot be read".into(),
                meaning:
                    "The disk fails: see the kernel's log. Copy the data folder to another disk while it can be read."
                        .into(),
                copy: None,
            });
        }
        self.segments.insert(number, held);
        self.advance(bytes);
        Ok(())
    }

    fn enter_segment(&mut self, number: u32, salt: u64, bytes: u64) {
        match self.index.segment(number) {
            Some(_) => self.index.set_segment_bytes(number, bytes), // read again: what is live in it stays
            None => self.index.add_segment(number, Segment::new(salt, bytes, None)),
        }
    }

    /// Says what a range without a valid record means, as recovery would.
    fn judge(&self, held: &mut Held, path: &Path, gap: Gap, flushed: u64, window: &mut Window) {
        let (severity, meaning) = match gap.loss(flushed, window) {
            Loss::Blank => return,
            Loss::Torn if held.is_being_written => return,
            Loss::Torn => {
                held.torn_bytes += gap.to - gap.from;
                let meaning = "Written last before a crash, and most likely never acknowledged. Damage to the very last \
                    record would look the same, so a start keeps a copy.";
                (Severity::Note, meaning)
            }
            Loss::Damage => {
                let meaning = "It was safe on the disk once. A start sets a copy aside and delivers everything else. If \
                    the copy shows a message, ask its sender to send it again. Look after the disk and the memory \
                    of this machine.";
                (Severity::Damage, meaning)
            }
        };
        held.doubtful.extend(gap.message.map(|id| (gap.from, id)));
        let name = name_of_copy(path, gap.from, gap.to - gap.from);
        let copy = self.set_aside.contains(&name).then(|| self.folders.set_aside.join(name));
        held.add(Finding {
            severity,
            file: path.to_path_buf(),
            offset: gap.from,
            length: gap.to - gap.from,
            what: gap.what,
            meaning: meaning.to_owned(),
            copy,
        });
    }

    fn check_bodies(&mut self) -> Result<(), VerifyError> {
        let listed = list(self.disk, &self.folders.bodies)?;
        let is_needed = |name: &str| u64::from_str_radix(name, 16).is_ok_and(|id| self.index.body(id).is_some());
        if !self.verified.is_in_use {
            self.verified.unneeded_files = listed.iter().filter(|listed| !is_needed(&listed.name)).count() as u64;
        }
        let mut bodies: Vec<(u64, Body)> = self.index.bodies().collect();
        bodies.sort_unstable_by_key(|(id, _)| *id);
        let mut wrong = Vec::new();
        for (id, body) in bodies {
            match self.check_body(id, body) {
                None => {
                    self.verified.bodies += 1;
                    self.verified.body_bytes += body.stored.bytes;
                }
                Some(what) => wrong.push((id, what)),
            }
            self.advance(body.stored.bytes);
        }
        // With a running server those messages may have ended meanwhile: their ends are in the log before their files
        // are removed.
        if !wrong.is_empty() && self.look_for_a_server()? {
            self.read_log_again()?;
        }
        for (id, what) in wrong {
            let Some(Location { segment, offset, bytes }) = self.index.location(id) else { continue };
            let body = self.folders.body(MessageId(id));
            let copy = self.folders.set_aside.join(format!("{}.body", name_of(&body)));
            let copy = self.set_aside.iter().any(|name| *name == name_of(&copy)).then_some(copy);
            self.verified.add(Finding {
                severity: Severity::Damage,
                file: body,
                offset: 0,
                length: self.index.body(id).map_or(0, |body| body.stored.bytes),
                what: format!("the body of message {id} {what}"),
                meaning: format!(
                    "Its envelope is in {} at {offset}, {bytes} bytes. The message is set aside when it is due, everything \
                     else is delivered; ask its sender to send it again. Look after the disk of this machine.",
                    file_name(segment)
                ),
                copy,
            });
            self.index.remove(id);
        }
        Ok(())
    }

    /// What is wrong with a body file; `None` if it is as it was accepted.
    fn check_body(&self, id: u64, body: Body) -> Option<String> {
        match self.disk.open(&self.folders.body(MessageId(id))) {
            Ok(file) => wrong_with(&file, body),
            Err(error) if is_absent(&error) => Some("is missing".into()),
            Err(error) => Some(format!("cannot be opened: {error}")),
        }
    }

    fn finish(self) -> Verified {
        let Reading { mut verified, segments, index, .. } = self;
        let totals = index.totals();
        verified.messages = totals.messages;
        verified.live_bytes = totals.live_log_bytes + totals.body_bytes;
        let others = std::mem::take(&mut verified.findings);
        for held in segments.into_values() {
            verified.segments += 1;
            verified.log_bytes += held.bytes;
            verified.message_records += held.message_records;
            verified.outcome_records += held.outcome_records;
            verified.torn_bytes += held.torn_bytes;
            for finding in held.findings {
                match held.doubtful.get(&finding.offset).is_some_and(|id| !index.misses(*id)) {
                    true if finding.severity == Severity::Note => verified.torn_bytes -= finding.length,
                    true => {}
                    false => verified.add(finding),
                }
            }
            verified.more_findings += held.more_findings;
            verified.damaged += held.more_findings;
        }
        verified.dead_bytes = verified.log_bytes.saturating_sub(totals.live_log_bytes);
        verified.findings.extend(others);
        verified
    }
}

impl Held {
    fn add(&mut self, finding: Finding) {
        match self.findings.len() {
            FINDINGS_MAX.. => self.more_findings += 1,
            _ => self.findings.push(finding),
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The files of a folder that need not be there.
fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<disk::Listed>, VerifyError> {
    match disk.list(folder) {
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        listed => listed.map_err(at(folder)),
    }
}

fn wrong_with(file: &Arc<dyn File>, body: Body) -> Option<String> {
    let bytes = match file.bytes() {
        Ok(bytes) => bytes,
        Err(error) => return Some(format!("cannot be read: {error}")),
    };
    if bytes != body.stored.bytes {
        return Some(format!("has {bytes} bytes instead of {}", body.stored.bytes));
    }
    let mut digest = Digest::new();
    let mut buffer = vec![0; PIECE_BYTES.min(usize::try_from(bytes).unwrap_or(usize::MAX))];
    let mut offset = 0;
    while offset < bytes {
        let wanted = buffer.len().min(usize::try_from(bytes - offset).unwrap_or(usize::MAX));
        if let Err(error) = disk::read_exact_at(&**file, &mut buffer[..wanted], offset) {
            return Some(format!("cannot be read at {offset}: {error}"));
        }
        digest.update(&buffer[..wanted]);
        offset += wanted as u64;
    }
    (digest.value() != body.stored.crc).then(|| "does not match its checksum".into())
}
