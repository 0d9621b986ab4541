//! Read buffers, pooled for each thread: as many exist as sockets are being read at one moment, not as connections are
//! open.

use std::cell::RefCell;

/// Enough for a whole small message with its commands in one read; large ones need few reads.
const BUFFER_BYTES: usize = 32 << 10;
/// At most so many buffers wait in one thread's pool.
const POOLED_MAX: usize = 32;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`BUFFER_BYTES`], with old bytes in it.
pub fn take() -> Box<[u8]> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
}

/// Gives a buffer back to the pool of the thread that we are on now; a small one is dropped.
pub fn give_back(buffer: Box<[u8]>) {
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOLED_MAX && buffer.len() == BUFFER_BYTES {
            pool.push(buffer);
        }
    });
}

/// A buffer with bytes that wait to be consumed. Goes back to the pool when dropped.
pub struct Filled {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Filled {
    /// No buffer at all.
    pub fn empty() -> Filled {
        Filled { buffer: None, start: 0, end: 0 }
    }

    /// The first `length` bytes of `buffer`.
    pub fn new(buffer: Box<[u8]>, length: usize) -> Filled {
        Filled { end: length.min(buffer.len()), buffer: Some(buffer), start: 0 }
    }

    /// What is left.
    pub fn rest(&self) -> &[u8] {
        self.buffer.as_deref().map_or(&[], |buffer| &buffer[self.start..self.end])
    }

    /// Keeps no more than the rest needs: for a wait in which nothing is read.
    pub fn shrink(&mut self) {
        let rest = Box::<[u8]>::from(self.rest());
        let length = rest.len();
        *self = if length == 0 { Filled::empty() } else { Filled::new(rest, length) };
    }

    /// `used` bytes of the rest are consumed.
    pub fn advance(&mut self, used: usize) {
        self.start = (self.start + used).min(self.end);
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            give_back(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_keeps_what_is_left_and_gives_the_large_buffer_back() {
        let pooled = || POOL.with_borrow(Vec::len);
        let mut buffer = take();
        buffer[..9].copy_from_slice(b"NOOP\r\nQUI");
        let before = pooled();
        let mut filled = Filled::new(buffer, 9);
        filled.advance(6);
        filled.shrink();
        assert_eq!((filled.rest(), pooled()), (&b"QUI"[..], before + 1));
        // The small one is of no use to others.
        filled.advance(3);
        filled.shrink();
        assert_eq!((filled.rest(), pooled()), (&b""[..], before + 1));
        assert!(filled.buffer.is_none());
    }
}
