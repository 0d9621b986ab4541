//! The wall clock, read in one place of this crate.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds; 0 for a clock set before 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}
