//! Both clocks, read in one place: the wall's, which may be set, and the one that only counts on.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
