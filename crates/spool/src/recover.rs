//! The second half of opening a spool: the messages of former runs come back, while new ones are taken already.
//!
//! Reads the segments of former runs once, front to back, with bounded memory, and checks every record. What they say
//! gathers in an index of its own. Only when all of it is known, and a message's outcomes are all at the end, are the
//! messages released into the index that everybody sees, some at a time. Changes little on the disk, and nothing of
//! what it changes is needed to do it again: it copies damaged ranges to `set-aside/` and removes body files that
//! belong to no message. Killed at any instant and begun anew, it finds the same messages: see the argument at the top
//! of the crate.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gatepost_mail::MessageId;

use crate::disk::{File, Lock};
use crate::index::{Damage, Index, Location, Messages};
use crate::mark::Mark;
use crate::opening::{OpenError, at, id_of_body};
use crate::queues::Outbox;
use crate::scan::{Gap, Loss, Window, scan, scan_headless};
use crate::segment::{FIRST_RECORD, HeaderError, SegmentHeader, file_name};
use crate::set_aside::{SetAside, name_of_copy, set_aside};
use crate::shared::Shared;

/// So many messages are released at a time: sessions wait for the index meanwhile.
const RELEASED_MAX: usize = 1024;

/// What opening the spool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Messages with recipients still pending.
    pub messages: u64,
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
    /// From where to where the log of former runs is not known to be recorded elsewhere: for
    /// [`Spool::history`](crate::Spool::history).
    pub unrecorded: (Mark, Mark),
}

/// Brings back the messages of former runs, step by step; each step blocks on the disk. Until it is over they are
/// unknown to the spool but for those that were released. Dropping it leaves the others for the next start.
#[derive(Debug)]
pub struct Recovering {
    shared: Arc<Shared>,
    work: Work,
    began: Instant,
    /// Messages from this number on are not ours, nor are their body files.
    first_new_id: u64,
    /// Whether body files may go: what former runs wrote is safe.
    may_remove: bool,
    /// Damaged contents: whether anybody needs them shows when all is read.
    doubtful: Vec<Doubtful>,
    /// Something was lost to damage, so that what looks unneeded may be needed by what was lost.
    is_damaged: bool,
    /// What the segments said so far.
    index: Index,
    /// Outcomes that may not have been flushed by the last server, to be written again.
    outbox: Outbox,
    recovery: Recovery,
    /// Nobody else may open the folder while we are at work, even if the spool is closed meanwhile.
    _lock: Arc<Lock>,
}

/// A record that is whole but for its content.
#[derive(Debug)]
struct Doubtful {
    /// The message.
    id: u64,
    /// The segment.
    number: u32,
    gap: Gap,
    loss: Loss,
}

#[derive(Debug)]
enum Work {
    /// Segments that have not been read.
    Read(VecDeque<u32>),
    CheckBodies,
    Release(Messages),
    Over,
}

/// What a step of [`Recovering`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was read; nothing to show for it yet.
    Read,
    /// These messages are live now, in the order of their numbers. Those of later steps have higher numbers.
    Released(Vec<MessageId>),
    /// All messages have been released.
    Over(Recovery),
}

impl Recovering {
    pub(crate) fn new(shared: Arc<Shared>, lock: Arc<Lock>, is_flushed: bool, set_aside: Vec<SetAside>) -> Recovering {
        let segments: VecDeque<u32> = shared.index().segments().map(|(number, _)| number).collect();
        let unread_bytes = shared.index().totals().log_bytes;
        shared.counters.unread_bytes.store(unread_bytes, Ordering::Relaxed);
        shared.count(|c| &c.set_aside, set_aside.len() as u64);
        let recovery = Recovery { set_aside, segments: segments.len(), ..Recovery::default() };
        Recovering {
            first_new_id: shared.next_id.load(Ordering::Relaxed),
            shared,
            work: Work::Read(segments),
            began: Instant::now(),
            may_remove: is_flushed,
            doubtful: Vec::new(),
            is_damaged: false,
            index: Index::new(0),
            outbox: Outbox::default(),
            recovery,
            _lock: lock,
        }
    }

    /// Goes on: reads a segment, or looks through the body files, or releases some messages. After [`Step::Over`] there
    /// is nothing left to do.
    ///
    /// # Errors
    /// When the disk fails: the step is made again by the next call.
    pub fn step(&mut self) -> Result<Step, OpenError> {
        match &mut self.work {
            Work::Read(segments) => match segments.front().copied() {
                Some(number) => {
                    let bytes = self.read_segment(number)?;
                    self.shared.counters.unread_bytes.fetch_sub(bytes, Ordering::Relaxed);
                    if let Work::Read(segments) = &mut self.work {
                        segments.pop_front();
                    }
                }
                None => {
                    self.set_doubtful_aside()?;
                    self.work = Work::CheckBodies;
                }
            },
            Work::CheckBodies => {
                self.check_bodies()?;
                let index = std::mem::replace(&mut self.index, Index::new(0));
                self.recovery.messages = index.totals().messages;
                self.shared.counters.unreleased.store(self.recovery.messages, Ordering::Relaxed);
                self.work = Work::Release(index.into_messages());
            }
            Work::Release(messages) => {
                let released = self.shared.index().adopt(messages, RELEASED_MAX);
                self.shared.counters.unreleased.fetch_sub(released.len() as u64, Ordering::Relaxed);
                if !released.is_empty() {
                    return Ok(Step::Released(released.into_iter().map(MessageId).collect()));
                }
                self.shared.index().set_recorded(self.recovery.unrecorded.0);
                // From now on segments may go, and what may not have been flushed is written again before that.
                self.shared.commits.end_recovery(std::mem::take(&mut self.outbox));
                self.recovery.duration = self.began.elapsed();
                self.work = Work::Over;
            }
            Work::Over => return Ok(Step::Over(self.recovery.clone())),
        }
        Ok(Step::Read)
    }

    /// All steps at once.
    pub(crate) fn finish(mut self) -> Result<Recovery, OpenError> {
        loop {
            if let Step::Over(recovery) = self.step()? {
                return Ok(recovery);
            }
        }
    }

    /// Reads a segment of a former run, hands on how long it is. Fails before it changed anything.
    fn read_segment(&mut self, number: u32) -> Result<u64, OpenError> {
        let path = self.shared.folders.log.join(file_name(number));
        let file = self.shared.disk.open(&path).map_err(at(&path))?;
        let bytes = self.shared.index().segment(number).map_or(0, |segment| segment.bytes);
        let mut window = Window::new(Arc::clone(&file), bytes);
        let scanned = match SegmentHeader::parse(window.get(0, FIRST_RECORD as usize)) {
            Ok(header) if header.number == number => {
                self.shared.index().set_salt(number, header.salt);
                scan(&mut self.index, number, header.salt, &mut window)
            }
            Err(HeaderError::Newer(found)) => return Err(OpenError::NewerFormat { path, found }),
            Ok(_) | Err(HeaderError::Damaged) => scan_headless(&mut window),
        };
        let (from, to) = &mut self.recovery.unrecorded;
        (*from, *to) = ((*from).max(scanned.recorded), Mark::at(number.saturating_add(1), 0));
        self.outbox.append(scanned.outbox);
        for gap in scanned.gaps {
            self.close_gap(&file, &path, number, gap, scanned.flushed, &mut window);
        }
        if window.is_unreadable {
            self.shared.index().pin(number);
        }
        Ok(bytes)
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
        let loss = gap.loss(flushed, window);
        match (loss, gap.message) {
            (Loss::Blank, _) => {}
            (Loss::Damage | Loss::Torn, Some(id)) => self.doubtful.push(Doubtful { id, number, gap, loss }),
            (Loss::Damage | Loss::Torn, None) => self.lose(number, &**file, path, gap, loss),
        }
    }

    /// Sets a range aside that somebody may need.
    fn lose(&mut self, number: u32, file: &dyn File, path: &Path, gap: Gap, loss: Loss) {
        let mut gap = gap;
        if loss == Loss::Torn {
            self.recovery.torn_bytes += gap.to - gap.from;
            gap.what += "; written last before a crash, and perhaps never acknowledged";
        }
        self.is_damaged = true;
        self.set_aside_from(number, file, path, gap);
    }

    /// Sets those aside that are missed. Others have ended, or there is a good copy: what is damaged is dead.
    fn set_doubtful_aside(&mut self) -> Result<(), OpenError> {
        while let Some(doubtful) = self.doubtful.pop() {
            if !self.index.misses(doubtful.id) {
                continue;
            }
            let path = self.shared.folders.log.join(file_name(doubtful.number));
            match self.shared.disk.open(&path) {
                Ok(file) => self.lose(doubtful.number, &*file, &path, doubtful.gap, doubtful.loss),
                Err(error) => {
                    self.doubtful.push(doubtful);
                    return Err(at(&path)(error));
                }
            }
        }
        self.recovery.set_aside.sort_by(|a, b| (&a.file, a.offset).cmp(&(&b.file, b.offset)));
        Ok(())
    }

    /// Copies a range of a segment away and reports it. If the copy fails it is made when the segment is about to be
    /// deleted.
    fn set_aside_from(&mut self, number: u32, file: &dyn File, path: &Path, gap: Gap) {
        let Gap { from, to, what, .. } = gap;
        let Shared { disk, folders, .. } = &*self.shared;
        let set_aside = set_aside(&**disk, &folders.set_aside, (file, path), (from, to - from), what);
        if set_aside.moved_to.is_none() {
            let damage = Damage { name: name_of_copy(path, from, to - from), offset: from, bytes: to - from };
            self.shared.index().add_damage(number, damage);
        }
        self.shared.count(|c| &c.set_aside, 1);
        self.recovery.set_aside.push(set_aside);
    }

    /// Takes messages out whose body file is missing or has another length, and removes files that no message needs.
    fn check_bodies(&mut self) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.shared);
        let folder = &shared.folders.bodies;
        let ending: BTreeSet<u64> = self.outbox.bodies.iter().copied().collect();
        let mut unneeded = Vec::new();
        let mut present = BTreeSet::new();
        for listed in shared.disk.list(folder).map_err(at(folder))? {
            let Some(id) = id_of_body(&listed.name).filter(|id| *id < self.first_new_id) else { continue };
            // Never belonged to an accepted message.
            if listed.name.ends_with(".tmp") {
                unneeded.push((listed.name, false));
                continue;
            }
            match self.index.body(id) {
                Some(body) if body.stored.bytes == listed.bytes => {
                    present.insert(id);
                }
                // Its end may not be on the disk yet: the committer removes the file after writing that again.
                None if ending.contains(&id) => {}
                body => unneeded.push((listed.name, body.is_some() || self.is_damaged)),
            }
        }
        let missing: Vec<u64> = self.index.bodies().map(|(id, _)| id).filter(|id| !present.contains(id)).collect();
        for id in missing {
            let Some(location) = self.index.location(id) else { continue };
            let path = shared.folders.log.join(file_name(location.segment));
            let Location { offset, bytes, .. } = location;
            let what = format!("the body file of message {id} is missing or has another length");
            let gap = Gap { from: offset, to: offset + bytes, is_record: true, message: None, what };
            let file = shared.disk.open(&path).map_err(at(&path))?;
            self.set_aside_from(location.segment, &*file, &path, gap);
            self.index.remove(id);
        }
        if !self.may_remove {
            return Ok(());
        }
        for (name, keep) in unneeded {
            let path = folder.join(&name);
            let gone = match keep {
                // The record that needs it may be among the damaged ones.
                true => shared.disk.rename(&path, &shared.folders.set_aside.join(format!("{name}.body"))),
                false => shared.disk.remove(&path),
            };
            match gone {
                Ok(()) => self.recovery.removed_files += 1,
                Err(error) => tracing::warn!(%error, file = %path.display(), "a file that no message needs stays"),
            }
        }
        Ok(())
    }
}
