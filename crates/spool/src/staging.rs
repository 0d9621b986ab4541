//! What all messages that are arriving may hold together: memory, and open body files.
//!
//! Hands out [`Charge`]s, and takes them back when they are dropped. Small messages are not counted: their number is that
//! of the sessions, and they are to cost nothing. Strangers, who come in any number, never get the last quarter: messages of
//! peers that are known, and our own reports, find room there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Up to this many bytes of content nobody asks whether there is room.
pub(crate) const SMALL_BYTES: usize = 16 << 10;

/// What is held now, and how much may be.
#[derive(Debug)]
pub(crate) struct Staging {
    bytes_max: usize,
    bodies_max: usize,
    bytes: AtomicUsize,
    bodies: AtomicUsize,
}

/// What one message holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    staging: Arc<Staging>,
    is_stranger: bool,
    bytes: usize,
    has_body: bool,
}

impl Staging {
    pub fn new(bytes_max: usize, bodies_max: usize) -> Staging {
        Staging { bytes_max, bodies_max, bytes: AtomicUsize::new(0), bodies: AtomicUsize::new(0) }
    }
}

/// What strangers may hold together of what all may.
fn share_of_strangers(max: usize) -> usize {
    max - max / 4
}

impl Charge {
    /// Nothing yet.
    pub fn new(staging: &Arc<Staging>, is_stranger: bool) -> Charge {
        Charge { staging: Arc::clone(staging), is_stranger, bytes: 0, has_body: false }
    }

    fn share(&self, max: usize) -> usize {
        if self.is_stranger { share_of_strangers(max) } else { max }
    }

    /// Whether the message may hold `bytes` in memory; if so, it does from now on.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let held = self.staging.bytes.fetch_add(more, Ordering::Relaxed);
        if held.saturating_add(more) > self.share(self.staging.bytes_max) {
            self.staging.bytes.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }

    /// The message holds no memory worth counting any more.
    pub fn release(&mut self) {
        self.staging.bytes.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    /// Whether the message may have a body file open; if so, it has from now on.
    pub fn open_body(&mut self) -> bool {
        if !self.has_body {
            let open = self.staging.bodies.fetch_add(1, Ordering::Relaxed);
            self.has_body = open < self.share(self.staging.bodies_max);
            if !self.has_body {
                self.staging.bodies.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.has_body
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release();
        if self.has_body {
            self.staging.bodies.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_exceeds_what_may_be_and_comes_back() {
        let staging = Arc::new(Staging::new(100, 1));
        let (mut first, mut second) = (Charge::new(&staging, false), Charge::new(&staging, false));
        assert!(first.hold(60) && first.hold(50) && first.hold(61));
        assert!(!second.hold(40), "39 are left");
        assert!(second.hold(39));
        assert!(!first.hold(62));
        first.release();
        assert!(second.hold(100) && !first.hold(1));
        assert!(first.open_body() && first.open_body() && !second.open_body());
        drop((first, second));
        let mut third = Charge::new(&staging, false);
        assert!(third.hold(100) && third.open_body());
    }

    #[test]
    fn strangers_leave_the_last_quarter_to_others() {
        let staging = Arc::new(Staging::new(100, 4));
        let mut strangers: Vec<_> = (0..4).map(|_| Charge::new(&staging, true)).collect();
        assert!(strangers[0].hold(75) && !strangers[1].hold(1));
        let opened: Vec<_> = strangers.iter_mut().map(Charge::open_body).collect();
        assert_eq!(opened, [true, true, true, false]);
        let mut known = Charge::new(&staging, false);
        assert!(known.hold(25) && !known.hold(26) && known.open_body());
        drop(strangers);
        // What others hold counts for strangers, too; and where there is one place only, it is anybody's.
        assert!(Charge::new(&staging, true).hold(50) && !Charge::new(&staging, true).hold(51));
        assert!(Charge::new(&Arc::new(Staging::new(1, 1)), true).open_body());
    }
}
