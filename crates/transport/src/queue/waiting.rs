//! What stands in one queue, and how the queue is doing: what its lock guards.
//!
//! Plain values and the sums over them. Sets nothing going.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use gatepost_mail::{MessageId, Priority};

use super::entry::Entry;
use super::lanes::{LANES, Lanes};
use super::rate::Rate;

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) ready: Lanes,
    pub(super) later: BinaryHeap<Reverse<Later>>,
    /// Held back: no worker gets them before they are released.
    pub(super) held: Vec<Entry>,
    /// What workers, or administrators, have in their hands: few.
    pub(super) in_flight: Vec<Flying>,
    /// Counts whatever makes entries change places but this: they are taken in front, become due, or come new behind.
    pub(super) stirred: u64,
    /// An administrator has suspended the queue: it takes entries and gives no work.
    pub(super) suspended: bool,
    /// When an empty queue leaves the table; `None` while it is not idle.
    pub(super) idle_until_ms: Option<u64>,
    pub(super) incoming: Rate,
    pub(super) outgoing: Rate,
    /// When the first and the last of the connection attempts failed that failed in a row, Unix time in milliseconds.
    pub(super) first_failure_ms: Option<u64>,
    pub(super) last_failure_ms: Option<u64>,
    pub(super) workers: u32,
    /// Workers that have been asked for and have not started yet.
    pub(super) workers_wanted: u32,
    pub(super) idle_workers: u32,
    /// Workers whose attempt takes long: what waits must not wait for them.
    pub(super) slow_workers: u32,
    pub(super) connections: u32,
    /// Connection attempts that failed since the last success.
    pub(super) failures: u32,
    pub(super) blocked_until_ms: Option<u64>,
    /// The queue's one alarm, if it is set.
    pub(super) alarm_ms: Option<u64>,
    pub(super) last_error: Option<Arc<str>>,
    /// What was answered to the last message that is tried again by itself, as codes.
    pub(super) last_deferral: Option<Arc<str>>,
    /// While it is blocked it is wanted even without entries: its being blocked sends mail another way.
    pub(super) shows_the_way: bool,
    /// What its forerunner held is being routed, and may come here.
    pub(super) expects: bool,
    /// The queue has left the table: it takes no entries any more.
    pub(super) retired: bool,
}

/// An entry in somebody's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flying {
    pub(super) id: MessageId,
    pub(super) priority: Priority,
    pub(super) missed: u32,
}

impl Waiting {
    /// Nothing is here, and nobody who would bring something back.
    pub(super) fn is_unused(&self) -> bool {
        if self.shows_the_way && self.blocked_until_ms.is_some() {
            return false;
        }
        let is_empty = self.ready.is_empty() && self.later.is_empty() && self.in_flight.is_empty();
        let is_left = self.held.is_empty() && !self.suspended && !self.expects;
        is_empty && is_left && self.workers == 0 && self.workers_wanted == 0
    }

    /// An entry is not in flight any more.
    pub(super) fn land(&mut self, id: MessageId) {
        if let Some(at) = self.in_flight.iter().position(|flying| flying.id == id) {
            self.in_flight.swap_remove(at);
        }
    }

    /// How many more entries of each priority may be in flight.
    pub(super) fn room(&self, most: [u32; 3]) -> [usize; 3] {
        let flying = |priority| self.in_flight.iter().filter(|flying| flying.priority == priority).count();
        Priority::ALL.map(|priority| (most[priority as usize] as usize).saturating_sub(flying(priority)))
    }

    /// An entry is in flight from now on.
    pub(super) fn take_off(&mut self, entry: &Entry) {
        let Entry { id, priority, missed, .. } = entry;
        self.in_flight.push(Flying { id: *id, priority: *priority, missed: *missed });
    }

    /// Entries change places: see [`Waiting::stirred`].
    pub(super) fn stir(&mut self) {
        self.stirred = self.stirred.wrapping_add(1);
    }

    /// An entry is to wait for its time.
    pub(super) fn push_later(&mut self, later: Later) {
        // In the heap others make room for it.
        self.stir();
        self.later.push(Reverse(later));
    }

    /// When to look at the queue again.
    pub(super) fn due_ms(&self) -> Option<u64> {
        if self.suspended {
            return None;
        }
        match self.blocked_until_ms {
            Some(until_ms) => Some(until_ms),
            None => self.later.peek().map(|Reverse(later)| later.due_ms).or(self.idle_until_ms),
        }
    }

    /// Takes everything that waits, with its due time (`None`: now, or when the queue is blocked no more).
    pub(super) fn take_all(&mut self) -> Vec<(Entry, Option<u64>)> {
        let ready = self.ready.take_all().map(|entry| (entry, None));
        let ready = ready.chain(std::mem::take(&mut self.held).into_iter().map(|entry| (entry, None)));
        let later = std::mem::take(&mut self.later).into_iter();
        ready.chain(later.map(|Reverse(later)| (later.entry, Some(later.due_ms)))).collect()
    }
}

#[derive(PartialEq, Eq)]
pub(super) struct Later {
    pub(super) due_ms: u64,
    pub(super) entry: Entry,
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ms, self.entry.id).cmp(&(other.due_ms, other.entry.id))
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Where an entry stands that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Its turn has come, or does when the queue is blocked no more.
    Ready,
    /// It waits for a time of its own.
    Later(u64),
    /// It is held back.
    Held,
}

/// How far somebody has looked who looks at what waits a part at a time, and lets others at it between two parts.
///
/// Nothing that still waits is passed over; some may come twice.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// [`Waiting::stirred`] when it began; `None` before.
    stirred: Option<u64>,
    /// Those of `later` before this place are still to come: what becomes due moves others towards the front alone, and
    /// in its place goes the last, which was seen.
    later: usize,
    /// The same of `held`.
    held: usize,
    /// So many of each line have been seen, from its end on.
    ready: [usize; LANES],
}

impl Looked {
    /// Looks at some more, at most so many; says whether that was all.
    pub(super) fn go_on(
        &mut self,
        waiting: &Waiting,
        mut most: usize,
        mut look: impl FnMut(&Entry, u32, Stand),
    ) -> bool {
        if self.stirred != Some(waiting.stirred) {
            // What was stirred meanwhile may stand where we have looked already. Once more, and all at once: it may go on.
            if self.stirred.is_some() {
                most = usize::MAX;
            }
            let (later, held) = (waiting.later.len(), waiting.held.len());
            *self = Looked { stirred: Some(waiting.stirred), later, held, ready: [0; LANES] };
        }
        // First what waits for its time: when that comes, it goes to the end of its line, where we look afterwards.
        let end = self.later.min(waiting.later.len());
        self.later = end.saturating_sub(most);
        for Reverse(later) in &waiting.later.as_slice()[self.later..end] {
            look(&later.entry, later.entry.missed, Stand::Later(later.due_ms));
        }
        most -= end - self.later;
        let end = self.held.min(waiting.held.len());
        self.held = end.saturating_sub(most);
        for entry in &waiting.held[self.held..end] {
            look(entry, entry.missed, Stand::Held);
        }
        most -= end - self.held;
        for (lane, seen) in self.ready.iter_mut().enumerate() {
            let before = *seen;
            for (entry, missed) in waiting.ready.lane_from_back(lane, before).take(most) {
                look(entry, missed, Stand::Ready);
                *seen += 1;
            }
            most -= *seen - before;
        }
        most > 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::queue::Indices;

    fn entry(id: u64) -> Entry {
        Entry { id: MessageId(id), recipients: Indices::One(0), arrival_ms: id, priority: Priority::Normal, missed: 0 }
    }

    #[test]
    fn nothing_that_still_waits_is_passed_over_whatever_moves_between_two_parts() {
        let delivered = |waiting: &mut Waiting| {
            for _ in 0..2 {
                waiting.ready.pop(|_| true);
            }
        };
        let due = |waiting: &mut Waiting| {
            if let Some(Reverse(later)) = waiting.later.pop() {
                waiting.ready.push_back(later.entry);
            }
        };
        let deferred = |waiting: &mut Waiting| {
            if let Some(entry) = waiting.ready.pop(|_| true) {
                waiting.push_later(Later { due_ms: 0, entry });
            }
        };
        let changes: [fn(&mut Waiting); 3] = [delivered, due, deferred];
        for (number, change) in changes.into_iter().enumerate() {
            let mut waiting = Waiting::default();
            for id in 0..40 {
                waiting.ready.push_back(entry(id));
            }
            for id in 40..60 {
                waiting.push_later(Later { due_ms: id, entry: entry(id) });
            }
            waiting.held.extend((60..70).map(entry));
            let (mut looked, mut seen, mut parts) = (Looked::default(), HashSet::new(), 1);
            let mut keep = |entry: &Entry, _: u32, _: Stand| {
                seen.insert(entry.id);
            };
            while !looked.go_on(&waiting, 4, &mut keep) {
                change(&mut waiting);
                parts += 1;
            }
            assert!(parts > 1, "{number}");
            let left: Vec<MessageId> = waiting.take_all().into_iter().map(|(entry, _)| entry.id).collect();
            assert!(left.len() > 30, "{number}: {left:?}");
            assert!(left.iter().all(|id| seen.contains(id)), "{number}: {left:?} {seen:?}");
        }
    }
}
