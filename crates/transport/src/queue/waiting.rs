//! What stands in one queue, and how the queue is doing: what its lock guards.
//!
//! Plain values and the sums over them. Sets nothing going.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use gatepost_mail::{MessageId, Priority};

use super::entry::Entry;
use super::lanes::Lanes;
use super::rate::Rate;

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) ready: Lanes,
    pub(super) later: BinaryHeap<Reverse<Later>>,
    /// Held back: no worker gets them before they are released.
    pub(super) held: Vec<Entry>,
    /// What workers, or administrators, have in their hands: few.
    pub(super) in_flight: Vec<Flying>,
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
