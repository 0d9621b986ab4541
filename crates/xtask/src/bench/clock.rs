//! The machine's monotonic clock, as a number that processes can compare.

use rustix::time::{ClockId, clock_gettime};

pub(super) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
