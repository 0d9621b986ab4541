//! Waits for the end of a thread that writes to a disk, which may hang.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A disk that takes nothing for so long hangs; whoever ends does not wait any longer.
pub const DISK_PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits until the thread has ended, within `patience`. One that hangs ends with the process.
pub fn join_within<T>(thread: JoinHandle<T>, patience: Duration) {
    let began = Instant::now();
    while !thread.is_finished() {
        if began.elapsed() >= patience {
            tracing::error!("the disk of the records hangs: what was not written is read from the spool again");
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    // A panic in it has been told.
    let _ = thread.join();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_thread_that_hangs_is_left_alone() {
        let (end, wait) = channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        join_within(thread, Duration::from_millis(10));
        // It was still there.
        assert!(end.send(()).is_ok());
        join_within(std::thread::spawn(|| {}), Duration::MAX);
    }
}
