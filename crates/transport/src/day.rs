//! The traffic of the last day, hour by hour, kept ready for who looks.
//!
//! Takes the counts since start every few seconds and whenever somebody looks, hands on what they grew by in each of the
//! last 24 hours. In memory: a server that was started within the day says since when it counts.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The traffic of the last 24 hours.
#[derive(Clone, Debug, Default)]
pub struct Day {
    /// Since when it is counted, Unix time in milliseconds: a day ago, or the start.
    pub since_ms: u64,
    /// Hour by hour, the oldest first; hours without traffic may be missing.
    pub hours: Vec<Hour>,
}

/// The traffic of one hour.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hour {
    /// When it begins, Unix time in milliseconds.
    pub begins_ms: u64,
    /// What was counted in it.
    pub traffic: Traffic,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Messages accepted.
    pub accepted: u64,
    /// Commands or contents refused by a decision.
    pub refused: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Attempts on a recipient that ended with "try again later", and recipients that began to wait for a connection.
    pub deferred: u64,
    /// Recipients given up.
    pub failed: u64,
}

/// Hours that are kept, the one that is not over among them.
const HOURS_MAX: usize = 24;
const HOUR_MS: u64 = 3_600_000;

/// The last hours of one run.
#[derive(Debug)]
pub struct Days(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    since_ms: u64,
    /// The counts that the hours add up to.
    counted: Traffic,
    /// The oldest first; hours without traffic may be missing.
    hours: VecDeque<Hour>,
}

impl Days {
    /// Of a run that began then.
    pub fn new(started_ms: u64) -> Days {
        Days(Mutex::new(Kept { since_ms: started_ms, counted: Traffic::default(), hours: VecDeque::new() }))
    }

    /// Takes the counts as they are now, and hands on the last day.
    pub fn note(&self, counts: Traffic, now_ms: u64) -> Day {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begins_ms = now_ms / HOUR_MS * HOUR_MS;
        // A clock that is set back goes on in the hour that it was in.
        if kept.hours.back().is_none_or(|last| last.begins_ms < begins_ms) {
            kept.hours.push_back(Hour { begins_ms, ..Hour::default() });
        }
        let before = kept.counted;
        kept.counted = counts;
        let last = kept.hours.back_mut().expect("one was just seen to be there");
        let traffic = &mut last.traffic;
        traffic.accepted += counts.accepted.saturating_sub(before.accepted);
        traffic.refused += counts.refused.saturating_sub(before.refused);
        traffic.delivered += counts.delivered.saturating_sub(before.delivered);
        traffic.deferred += counts.deferred.saturating_sub(before.deferred);
        traffic.failed += counts.failed.saturating_sub(before.failed);
        let newest = last.begins_ms;
        let oldest = newest.saturating_sub((HOURS_MAX as u64 - 1) * HOUR_MS);
        while kept.hours.front().is_some_and(|hour| hour.begins_ms < oldest) {
            kept.hours.pop_front();
        }
        Day { since_ms: kept.since_ms.max(oldest), hours: kept.hours.iter().copied().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(accepted: u64, refused: u64) -> Traffic {
        Traffic { accepted, refused, ..Traffic::default() }
    }

    #[test]
    fn each_hour_has_what_the_counts_grew_by_and_a_day_has_24() {
        let start = 1_000 * HOUR_MS + 5;
        let days = Days::new(start);
        let day = days.note(counts(3, 0), start + 10);
        assert_eq!((day.since_ms, day.hours.len(), day.hours[0].traffic.accepted), (start, 1, 3));
        days.note(counts(5, 1), start + 20);
        let day = days.note(counts(6, 1), start + HOUR_MS);
        let hours: Vec<_> = day.hours.iter().map(|hour| (hour.traffic.accepted, hour.traffic.refused)).collect();
        assert_eq!(hours, [(5, 1), (1, 0)]);
        let day = days.note(counts(7, 1), start);
        assert_eq!(day.hours.iter().map(|hour| hour.traffic.accepted).collect::<Vec<_>>(), [5, 2], "a clock set back");
        let day = days.note(counts(9, 1), start + 23 * HOUR_MS);
        assert_eq!(day.hours.iter().map(|hour| hour.traffic.accepted).sum::<u64>(), 9);
        assert_eq!(day.since_ms, start);
        let day = days.note(counts(9, 1), start + 24 * HOUR_MS);
        assert_eq!(
            day.hours.iter().map(|hour| hour.traffic.accepted).sum::<u64>(),
            4,
            "the first hour is no more of the day"
        );
        assert_eq!(day.since_ms, 1_001 * HOUR_MS);
        let day = days.note(counts(9, 2), start + 100 * HOUR_MS);
        assert_eq!((day.hours.len(), day.hours[0].traffic.refused), (1, 1));
    }
}
