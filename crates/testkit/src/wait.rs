//! Waiting for what another process or thread does: a condition, looked at again and again until a deadline.

use std::time::{Duration, Instant};

/// How long a test waits before it gives up: long, because a loaded machine is no bug.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The pause between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(5);

/// Returns the value as soon as `condition` has one. Panics after [`PATIENCE`], naming `what` was waited for.
#[track_caller]
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    match within(PATIENCE, condition) {
        Some(value) => value,
        None => panic!("waited {} s in vain: {what}", PATIENCE.as_secs()),
    }
}

/// Returns the value as soon as `condition` has one; `None` when it still has none after `limit`.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(INTERVAL);
    }
}
