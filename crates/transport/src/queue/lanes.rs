//! What is due in one queue, in the order of its priorities (fact sheet section 4.9).
//!
//! High goes before Normal and Normal before Low, and nobody starves: whoever was passed over often enough goes next. Without
//! priority queuing all entries are Normal, and this is one line of people waiting.
//!
//! A connection that cannot be opened is one that everybody here waits for in vain. That is counted once, for all of them: while
//! an entry stands here, its number of connections is what the count was less than now.

use std::collections::VecDeque;

use gatepost_mail::Priority;

use super::entry::Entry;

/// So many entries of higher priorities go while an entry of a lower one waits; then that one goes.
const PASSED_OVER_MAX: u32 = 20;

/// Lines: one for each priority.
pub(super) const LANES: usize = 3;

/// Entries that are due, one line for each priority.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: [VecDeque<Entry>; LANES],
    /// How often each line was passed over since one of its entries went.
    passed_over: [u32; 3],
    /// Connections that could not be opened, ever.
    missed: u32,
}

fn lane_of(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

impl Lanes {
    pub fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }

    /// How many there are of each priority.
    pub fn counts(&self) -> [u64; 3] {
        [0, 1, 2].map(|lane: usize| self.lanes[lane].len() as u64)
    }

    pub fn push_back(&mut self, entry: Entry) {
        let entry = turned(self.missed, entry);
        self.lanes[lane_of(entry.priority)].push_back(entry);
    }

    pub fn push_front(&mut self, entry: Entry) {
        let entry = turned(self.missed, entry);
        self.lanes[lane_of(entry.priority)].push_front(entry);
    }

    /// Everybody here has waited for a connection in vain. Hands on for how many recipients that is the first.
    pub fn miss(&mut self) -> u64 {
        self.missed = self.missed.wrapping_add(1);
        let first = self.iter().filter(|(_, missed)| *missed == 1);
        first.map(|(entry, _)| entry.recipients.as_slice().len() as u64).sum()
    }

    /// The next entry whose priority `may` go now.
    pub fn pop(&mut self, may: impl Fn(Priority) -> bool) -> Option<Entry> {
        let waits = |lane: &usize| !self.lanes[*lane].is_empty() && may(Priority::ALL[*lane]);
        let starving = (0..3).filter(waits).find(|lane| self.passed_over[*lane] >= PASSED_OVER_MAX);
        let lane = starving.or_else(|| (0..3).find(waits))?;
        for lower in lane + 1..3 {
            if !self.lanes[lower].is_empty() {
                self.passed_over[lower] += 1;
            }
        }
        self.passed_over[lane] = 0;
        self.lanes[lane].pop_front().map(|entry| turned(self.missed, entry))
    }

    /// Takes an entry that stands in front of its line and `is_wanted`.
    pub fn pop_front_if(&mut self, is_wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let found = self.lanes.iter_mut().find_map(|lane| lane.pop_front_if(|entry| is_wanted(entry)));
        found.map(|entry| turned(self.missed, entry))
    }

    /// Moves those that are wanted to the front of their lines.
    pub fn bring_forward(&mut self, is_wanted: impl Fn(&Entry) -> bool) {
        for lane in &mut self.lanes {
            let (first, then): (Vec<_>, Vec<_>) = std::mem::take(lane).into_iter().partition(|entry| is_wanted(entry));
            *lane = first.into_iter().chain(then).collect();
        }
    }

    /// Everything, in the order of the lines, with the connections that each has missed; in the entry itself they are not right.
    pub fn iter(&self) -> impl Iterator<Item = (&Entry, u32)> {
        self.iter_from(0)
    }

    /// The same from a place on, without passing by all that stands before it.
    pub fn iter_from(&self, place: usize) -> impl Iterator<Item = (&Entry, u32)> {
        let mut before = place;
        let lanes = self.lanes.iter().flat_map(move |lane| {
            let here = before.min(lane.len());
            before -= here;
            lane.range(here..)
        });
        lanes.map(|entry| (entry, self.missed.wrapping_sub(entry.missed)))
    }

    /// One line from its end on, but for the last `seen` of it: whoever goes in front meanwhile hides nobody.
    pub fn lane_from_back(&self, lane: usize, seen: usize) -> impl Iterator<Item = (&Entry, u32)> {
        let line = &self.lanes[lane];
        let still_to_come = line.range(..line.len().saturating_sub(seen)).rev();
        still_to_come.map(|entry| (entry, self.missed.wrapping_sub(entry.missed)))
    }

    /// Takes those out that are wanted.
    pub fn take_wanted(&mut self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut taken = Vec::new();
        for lane in &mut self.lanes {
            lane.retain(|entry| {
                let is_wanted = is_wanted(entry);
                if is_wanted {
                    taken.push(turned(self.missed, entry.clone()));
                }
                !is_wanted
            });
        }
        taken
    }

    /// Everything, in the order of the lines.
    pub fn take_all(&mut self) -> impl Iterator<Item = Entry> + use<> {
        let missed = self.missed;
        std::mem::take(&mut self.lanes).into_iter().flatten().map(move |entry| turned(missed, entry))
    }
}

/// What an entry holds instead of its count while it stands here, and the other way round.
fn turned(missed: u32, entry: Entry) -> Entry {
    Entry { missed: missed.wrapping_sub(entry.missed), ..entry }
}

#[cfg(test)]
mod tests {
    use gatepost_mail::MessageId;

    use super::*;
    use crate::queue::Indices;

    fn lanes(counts: [usize; 3]) -> Lanes {
        let mut lanes = Lanes::default();
        for (priority, count) in Priority::ALL.into_iter().zip(counts) {
            for id in 0..count as u64 {
                let id = MessageId(id);
                lanes.push_back(Entry { id, recipients: Indices::One(0), arrival_ms: 0, priority, missed: 0 });
            }
        }
        lanes
    }

    #[test]
    fn high_goes_before_normal_before_low_and_nobody_starves() {
        let mut lanes = lanes([100, 100, 100]);
        let order: Vec<Priority> = std::iter::from_fn(|| lanes.pop(|_| true)).map(|entry| entry.priority).collect();
        assert_eq!(order.len(), 300);
        assert_eq!(order[..20], [Priority::High; 20]);
        let share = |from: usize, to: usize, of| order[from..to].iter().filter(|priority| **priority == of).count();
        assert!(share(0, 100, Priority::High) >= 88, "{order:?}");
        assert!(share(0, 100, Priority::Normal) >= 3 && share(0, 100, Priority::Low) >= 3, "{order:?}");
        assert!(share(200, 300, Priority::Low) >= 75, "{order:?}");
    }

    #[test]
    fn within_a_priority_the_first_goes_first_and_a_full_one_is_passed_by() {
        let mut lanes = lanes([2, 2, 0]);
        let mut pop =
            |high: bool| lanes.pop(|priority| high || priority != Priority::High).map(|e| (e.priority, e.id.0));
        assert_eq!(pop(false), Some((Priority::Normal, 0)));
        assert_eq!(pop(true), Some((Priority::High, 0)));
        assert_eq!(pop(true), Some((Priority::High, 1)));
        assert_eq!(pop(false), Some((Priority::Normal, 1)));
        assert_eq!(pop(true), None);
    }

    #[test]
    fn each_entry_knows_the_connections_that_it_missed_wherever_it_stands() {
        let mut lanes = lanes([0, 2, 0]);
        assert_eq!(lanes.miss(), 2);
        assert_eq!(lanes.miss(), 0, "for nobody it is the first");
        let first = lanes.pop(|_| true).expect("an entry");
        assert_eq!(first.missed, 2);
        lanes.miss();
        lanes.push_back(first);
        let from = |lanes: &Lanes, place| lanes.iter_from(place).map(|(entry, _)| entry.id.0).collect::<Vec<_>>();
        let several = self::lanes([2, 1, 2]);
        assert_eq!(
            [1, 2, 3, 9].map(|place| from(&several, place)),
            [vec![1, 0, 0, 1], vec![0, 0, 1], vec![0, 1], vec![]]
        );
        let known = |lanes: &Lanes| lanes.iter().map(|(entry, missed)| (entry.id.0, missed)).collect::<Vec<_>>();
        assert_eq!(known(&lanes), [(1, 3), (0, 2)]);
        lanes.miss();
        assert_eq!(lanes.take_all().map(|entry| entry.missed).collect::<Vec<_>>(), [4, 3]);
    }
}
