//! How many a second, over about the last minute.

/// Seconds of one piece of the minute.
const PIECE_S: u64 = 10;
/// The minute, and the piece that is being counted.
const PIECES: usize = 7;

/// Counts events in a window that moves on by pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    counts: [u32; PIECES],
    /// The piece that was counted last, as a number since the clock began.
    last: u64,
}

impl Rate {
    /// One more, `now_s` seconds after the clock began.
    pub fn count(&mut self, now_s: u64) {
        self.move_on(now_s);
        let piece = &mut self.counts[(self.last % PIECES as u64) as usize];
        *piece = piece.saturating_add(1);
    }

    /// How many a second.
    pub fn per_second(mut self, now_s: u64) -> f64 {
        self.move_on(now_s);
        let current = (self.last % PIECES as u64) as usize;
        let whole: u64 = (0..PIECES).filter(|piece| *piece != current).map(|piece| u64::from(self.counts[piece])).sum();
        let seconds = (PIECES as u64 - 1) * PIECE_S + now_s % PIECE_S + 1;
        (whole + u64::from(self.counts[current])) as f64 / seconds as f64
    }

    fn move_on(&mut self, now_s: u64) {
        let now = now_s / PIECE_S;
        for piece in self.last.max(now.saturating_sub(PIECES as u64))..now {
            self.counts[((piece + 1) % PIECES as u64) as usize] = 0;
        }
        self.last = self.last.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_told_after_a_minute_and_forgotten_after_the_next() {
        let mut rate = Rate::default();
        for second in 0..120 {
            (0..5).for_each(|_| rate.count(second));
        }
        assert!((rate.per_second(119) - 5.0).abs() < 0.1, "{}", rate.per_second(119));
        assert!(rate.per_second(150) < 3.0);
        assert_eq!(rate.per_second(200), 0.0);
        assert_eq!(Rate::default().per_second(1_000_000), 0.0);
    }
}
