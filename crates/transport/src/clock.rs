//! The clocks, read in one place, and the one place where a wall clock that somebody sets is tamed.
//!
//! What a date means to people goes by the wall clock: when a message arrived, when it expires, at which hours a right
//! holds. How long something waits does not: see [`Steady`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A wall clock that lags by less is not taken for one that was set back: it is slewed, or two readings were rounded.
const LAG_MIN_MS: i64 = 1_000;

/// Unix time in milliseconds; 0 for a clock set before 1970.
pub fn now_ms() -> u64 {
    #[cfg(test)]
    if let Some(world) = crate::simulated::world() {
        return world.wall_clock_ms();
    }
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

/// Now, for timeouts. The runtime's clock, which a simulation moves on by itself.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A clock for waiting: it follows the wall clock when that is set forward, and goes on by itself when that is set back.
///
/// So a clock that is set forward makes things due early, once, and one that is set back keeps nothing waiting for longer
/// than was meant. Its times are the wall clock's plus the lag of the latter, which is zero on most machines for ever.
#[derive(Debug)]
pub struct Steady {
    began: Instant,
    began_ms: u64,
    /// How far the wall clock has been ahead of our own at most, in milliseconds.
    furthest_ms: AtomicI64,
}

impl Default for Steady {
    fn default() -> Steady {
        Steady { began: now(), began_ms: now_ms(), furthest_ms: AtomicI64::new(0) }
    }
}

impl Steady {
    /// This clock's time for a time of the wall clock.
    pub fn of_wall(&self, wall_ms: u64) -> u64 {
        wall_ms.saturating_add(self.lag_ms(now_ms()))
    }

    /// The wall clock's time for a time of this clock.
    pub fn to_wall(&self, steady_ms: u64) -> u64 {
        steady_ms.saturating_sub(self.lag_ms(now_ms()))
    }

    /// Seconds since it began.
    pub fn seconds(&self) -> u64 {
        now().saturating_duration_since(self.began).as_secs()
    }

    /// From now on the wall clock lags by so much more.
    #[cfg(test)]
    pub fn lag_more(&self, by_ms: i64) {
        self.furthest_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// How far a wall clock that shows `wall_ms` now lags behind this one.
    fn lag_ms(&self, wall_ms: u64) -> u64 {
        let own_ms = u128::from(self.began_ms) + now().saturating_duration_since(self.began).as_millis();
        self.lag_behind_ms(wall_ms, u64::try_from(own_ms).unwrap_or(u64::MAX))
    }

    fn lag_behind_ms(&self, wall_ms: u64, own_ms: u64) -> u64 {
        let ahead_ms = i64::try_from(i128::from(wall_ms) - i128::from(own_ms)).unwrap_or(0);
        let furthest_ms = self.furthest_ms.fetch_max(ahead_ms, Ordering::Relaxed).max(ahead_ms);
        let lag_ms = furthest_ms.saturating_sub(ahead_ms);
        if lag_ms < LAG_MIN_MS { 0 } else { lag_ms.unsigned_abs() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

    #[test]
    fn the_steady_clock_follows_the_wall_clock_forward_and_never_back() {
        let clock = Steady::default();
        let steady = |wall_ms, own_ms| wall_ms + clock.lag_behind_ms(wall_ms, own_ms);
        let begin = 10 * DAY_MS;
        for (passed_ms, wall_ms, expected, what) in [
            (0, begin, begin, "as it begins"),
            (60_000, begin + 60_000, begin + 60_000, "a minute later"),
            (61_000, begin + 60_999, begin + 60_999, "rounded otherwise"),
            (62_000, begin - DAY_MS, begin + 62_000, "set back by a day"),
            (122_000, begin - DAY_MS + 60_000, begin + 122_000, "a minute later"),
            (123_000, begin + 123_000, begin + 123_000, "set right again"),
            (124_000, begin + DAY_MS, begin + DAY_MS, "set forward by a day"),
            (125_000, begin + 125_000, begin + DAY_MS + 1_000, "and back"),
            (126_000, begin + DAY_MS, begin + DAY_MS + 2_000, "and forward again: nothing is due for it"),
            (127_000, 0, begin + DAY_MS + 3_000, "set to 1970"),
        ] {
            assert_eq!(steady(wall_ms, begin + passed_ms), expected, "{what}");
        }
    }
}
