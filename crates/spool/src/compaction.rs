//! Returning space: segments go from the oldest end, after the messages in them that are still live were copied
//! forward.
//!
//! Disk use stays within twice the live bytes plus two segments (and what is held for somebody who records elsewhere what
//! the log says, which is bounded and nothing on a full disk): beyond that, every batch copies a piece of the oldest
//! segment until it is dead, and a dead oldest segment is deleted at once.
//!
//! Why deleting from the oldest end only is always safe. Records are appended by one thread, in ascending segments. A
//! message's outcomes are queued after its record was flushed, so they stand behind it; the end of a message is queued
//! after it left the index, and a batch takes the outcomes from the queue before it picks messages to copy from the
//! index, so no copy stands behind an end. Let S be the oldest segment, and no live message lie in it.
//! - A message record in S is of a message that has ended, or was copied by a batch that was flushed. Neither is needed.
//! - An outcome in S stands behind all records of its message that were written before it, so those are in S too; a
//!   copy made later holds the outcome's effect, because it takes the states from the index.
//! - So nothing that is left needs S. And should an ended message's end be lost with a later segment's unflushed tail,
//!   the message is gone all the same, which is what its end would have said.
//!
//! When the disk is full ([`crate::reserve`]) that bound is no help. Then the oldest segment is emptied as soon as half of it, or
//! of the whole log, is dead, and what is live in it fits into half of the reserve: that gives back what it took.
//!
//! The folder is flushed after each deletion, so that an older segment cannot come back when a newer one, which held
//! the ends of its messages, does not.

use std::io;

use crate::disk;
use crate::index::{Damage, Location};
use crate::record::{Kind, Record};
use crate::segment::file_name;
use crate::set_aside;
use crate::shared::{Part, RecordError, Shared};
use crate::stored;

/// A batch copies about this much, so that a commit behind it does not wait for long.
const STEP_BYTES: u64 = 1 << 20;
/// A batch looks at so many messages of the index for those to copy.
const STEP_VISITS: usize = 16_384;

/// A live message on its way to the current segment.
#[derive(Debug)]
pub(crate) struct Copy {
    pub id: u64,
    pub from: Location,
    pub record: Record,
}

#[derive(Debug, Default)]
pub(crate) struct Compaction {
    cursor: Cursor,
    /// A segment that cannot be emptied, because the disk does not let it be read: not tried again by this process.
    stuck: Option<u32>,
}

/// One pass over the messages of the index, in pieces.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// The segment being emptied.
    segment: u32,
    /// The message to go on with.
    from: u64,
    /// Whether this pass found something to copy.
    has_found: bool,
}

impl Compaction {
    /// Whether the oldest segment should be emptied.
    pub fn is_due(&self, shared: &Shared, current: Option<u32>) -> bool {
        let index = shared.index();
        if index.is_recovering() {
            return false; // what is live is not known yet
        }
        let totals = index.totals();
        let Some((number, oldest)) = index.oldest_segment() else { return false };
        let usual_bytes = shared.usual_log_bytes(&index);
        let is_short = shared.reserve.missing().is_some();
        if oldest.live_bytes == 0 && !is_short && index.is_held(number, usual_bytes) {
            return false; // it is empty, and waits to be recorded
        }
        let pays = match shared.reserve.missing() {
            None => totals.log_bytes > usual_bytes,
            Some(_) => shared.is_mostly_dead(&index),
        };
        pays && Some(number) != current && Some(number) != self.stuck && !oldest.is_pinned
    }

    /// The next messages to copy, if that is due.
    pub fn pick(&mut self, shared: &Shared, current: Option<u32>) -> Vec<Copy> {
        if !self.is_due(shared, current) {
            return Vec::new();
        }
        let (movable, segment, next) = {
            let index = shared.index();
            let Some((segment, oldest)) = index.oldest_segment() else { return Vec::new() };
            if oldest.live_bytes == 0 {
                return Vec::new(); // it is about to be deleted
            }
            if self.cursor.segment != segment {
                self.cursor = Cursor { segment, ..Cursor::default() };
            }
            let (movable, next) = index.movable(segment, self.cursor.from, STEP_BYTES, STEP_VISITS);
            (movable, segment, next)
        };
        self.cursor.has_found |= !movable.is_empty();
        match next {
            Some(id) => self.cursor.from = id,
            // Behind the last message it begins again: a batch that failed left its messages where they were.
            None if self.cursor.has_found => self.cursor = Cursor { segment, ..Cursor::default() },
            None => {
                // Messages only ever leave this segment, so the pass would have met those that are left.
                debug_assert!(false, "segment {segment} counts live bytes, but no live message is in it");
                self.stuck = Some(segment);
            }
        }
        let mut copies = Vec::with_capacity(movable.len());
        for found in movable {
            match copy(shared, found.id, found.location) {
                Ok(Some(record)) => copies.push(Copy { id: found.id, from: found.location, record }),
                Ok(None) => {}
                Err(RecordError::Damaged) => shared.set_aside(found.id, found.location),
                Err(RecordError::Io(error)) => {
                    self.stuck = Some(segment);
                    tracing::error!(%error, segment, "a segment of the spool cannot be read: its space is not returned");
                    break;
                }
            }
        }
        copies
    }

    /// Whether a segment is about to be deleted. The ends of its messages are flushed first, but on a full disk: its deletion
    /// alone would say that they have ended, and not how.
    pub fn deletes(&self, shared: &Shared, current: Option<u32>) -> bool {
        shared.reserve.missing().is_none() && deletable(shared, current).is_some()
    }

    /// Deletes segments from the oldest end as long as nothing in them is live.
    pub fn delete_dead(&mut self, shared: &Shared, current: Option<u32>) {
        loop {
            let Some((number, is_unrecorded)) = deletable(shared, current) else { return };
            let damage = shared.index().segment(number).map(|segment| segment.damage.clone()).unwrap_or_default();
            let removed = delete(shared, number, &damage);
            shared.count(|c| &c.flushes, 1);
            let mut index = shared.index();
            match removed {
                Ok(()) => {
                    index.remove_segment(number);
                    drop(index);
                    if is_unrecorded {
                        shared.count(|c| &c.unrecorded, 1);
                        tracing::warn!(
                            segment = number,
                            "passports of messages may be incomplete: the disk has no room to wait until they are written"
                        );
                    }
                }
                Err(error) => {
                    index.pin(number);
                    drop(index);
                    shared.count(|c| &c.failures, 1);
                    tracing::error!(%error, segment = number, "a segment of the spool cannot be deleted");
                }
            }
        }
    }
}

/// The oldest segment if nothing in it is live, and whether what it says may not be recorded elsewhere.
fn deletable(shared: &Shared, current: Option<u32>) -> Option<(u32, bool)> {
    let index = shared.index();
    let number = index.dead_segment().filter(|number| Some(*number) != current)?;
    let is_held = shared.reserve.missing().is_none() && index.is_held(number, shared.usual_log_bytes(&index));
    (!is_held).then(|| (number, index.is_unrecorded(number)))
}

/// Deletes a segment in which nothing is live. Damage that is not copied away yet is copied now, at last into the room
/// of the reserve, which the segment gives back; if even that fails the segment as a whole is set aside.
fn delete(shared: &Shared, number: u32, damage: &[Damage]) -> io::Result<()> {
    let Shared { disk, folders, reserve, .. } = shared;
    let path = folders.log.join(file_name(number));
    let copy = || {
        let file = disk.open(&path)?;
        for Damage { name, offset, bytes } in damage {
            set_aside::keep(&**disk, &folders.set_aside, name, (&*file, *offset, *bytes))?;
        }
        Ok(())
    };
    let copied = match damage {
        [] => Ok(()),
        _ => match copy() {
            Err(error) if disk::has_no_room(&error) && reserve.give_up(&**disk) => copy(),
            copied => copied,
        },
    };
    let gone = match copied {
        Ok(()) => disk.remove(&path),
        Err(error) => {
            tracing::error!(%error, segment = number, "damage cannot be copied: its whole segment is set aside");
            disk.rename(&path, &folders.set_aside.join(file_name(number)))
                .and_then(|()| disk.flush_folder(&folders.set_aside))
        }
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.flush_folder(&folders.log),
    }
}

/// The message as a record with its present states; `None` if it ended meanwhile.
fn copy(shared: &Shared, id: u64, location: Location) -> Result<Option<Record>, RecordError> {
    let stored = shared.read(id, location, Part::Whole)?;
    let mut message = stored.message()?;
    let index = shared.index();
    if index.location(id) != Some(location) {
        return Ok(None);
    }
    message.states = index.stored_states(id);
    message.standing = index.stored_standing(id);
    let meta = stored::write(&message);
    drop(message);
    drop(index);
    Ok(Some(Record::new(Kind::Message, &meta, stored.content())))
}
