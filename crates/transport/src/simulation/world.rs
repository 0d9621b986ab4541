//! What everybody in a history shares: its seed, its time, its trouble and its ledger.
//!
//! Takes a seed, says what goes wrong and when, keeps the [`Ledger`]. Whether a host or a name server is in trouble
//! follows from the seed, its name and the time, not from the order of questions. After [`World::trouble_ends_ms`]
//! everything works that ever will.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_spool::fake_disk::Dice;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ledger::{Ledger, Time};

/// The wall clock at the beginning: some day in 2026, in milliseconds.
const BEGINNING_MS: u64 = 1_780_000_000_000;
/// Trouble comes and goes in stretches of this length.
const STRETCH_MS: u64 = 7 * 60_000;

/// One seed's world.
pub struct World {
    /// It follows from this.
    pub seed: u64,
    /// Until when anything goes wrong.
    pub trouble_ends_ms: Time,
    /// How many in a hundred stretches are bad ones for a host or a name server.
    trouble_percent: u64,
    /// One in so many steps of a next hop's dialogue goes wrong; 0: none.
    mishap_one_in: u32,
    /// Told whenever a client hears that its message was accepted.
    pub accepted: Notify,
    dice: Mutex<Dice>,
    clock: Mutex<Clock>,
    ledger: Mutex<Ledger>,
}

struct Clock {
    /// Time that passed in former runtimes.
    before_ms: Time,
    began: Option<Instant>,
    /// How far the wall clock was set.
    leap_ms: i64,
}

/// What goes wrong in one step of a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Says "later".
    Later,
    /// Closes the connection.
    Close,
    /// Says nothing any more.
    Silence,
    /// Takes its time.
    Slow(Duration),
    /// At the end of the content: takes the message, and closes before it says so.
    TakeAndClose,
    /// The same, saying nothing.
    TakeAndSilence,
}

impl World {
    /// A world, and when its trouble ends.
    pub fn new(seed: u64, dice: &mut Dice) -> World {
        World {
            seed,
            trouble_ends_ms: (1 + dice.below(4)) * 3_600_000,
            trouble_percent: [0, 10, 30][dice.below(3) as usize],
            mishap_one_in: [0, 60, 15][dice.below(3) as usize],
            accepted: Notify::new(),
            dice: Mutex::new(Dice(dice.next())),
            clock: Mutex::new(Clock { before_ms: 0, began: None, leap_ms: 0 }),
            ledger: Mutex::default(),
        }
    }

    /// What is known.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the clock on the wall shows: Unix time in milliseconds.
    pub fn wall_clock_ms(&self) -> u64 {
        (BEGINNING_MS + self.now_ms()).saturating_add_signed(self.clock().leap_ms)
    }

    /// Since the beginning.
    pub fn now_ms(&self) -> Time {
        let clock = self.clock();
        clock.before_ms + clock.began.map_or(0, |began| began.elapsed().as_millis() as u64)
    }

    /// Time passes with this runtime from now on.
    pub fn begin_time(&self) {
        self.clock().began = Some(Instant::now());
    }

    /// Time stands still until it begins again.
    pub fn stop_time(&self) {
        let now_ms = self.now_ms();
        let mut clock = self.clock();
        (clock.before_ms, clock.began) = (now_ms, None);
    }

    /// Somebody sets the wall clock.
    pub fn leap(&self, by_ms: i64) {
        self.clock().leap_ms += by_ms;
    }

    /// Whether things go wrong for `whom` in this stretch of time.
    pub fn is_troubled(&self, whom: &str, kind: u64) -> Option<u64> {
        let now_ms = self.now_ms();
        if now_ms >= self.trouble_ends_ms {
            return None;
        }
        let name = whom.bytes().fold(kind, |name, byte| name.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut dice = Dice(self.seed ^ name.wrapping_mul(0x9e37_79b9) ^ (now_ms / STRETCH_MS) << 40);
        (dice.below(100) < self.trouble_percent).then(|| dice.next())
    }

    /// What goes wrong with the next step of a dialogue, if anything.
    pub fn mishap(&self, is_end_of_content: bool) -> Option<Mishap> {
        if self.mishap_one_in == 0 || self.now_ms() >= self.trouble_ends_ms {
            return None;
        }
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        if !dice.one_in(self.mishap_one_in) {
            return None;
        }
        Some(match dice.below(if is_end_of_content { 8 } else { 4 }) {
            0 => Mishap::Later,
            1 => Mishap::Close,
            2 => Mishap::Silence,
            3 => Mishap::Slow(Duration::from_millis(dice.below(240_000))),
            4 | 5 => Mishap::TakeAndClose,
            6 => Mishap::TakeAndSilence,
            _ => Mishap::Slow(Duration::from_millis(dice.below(5_000))),
        })
    }

    /// How many bytes are on the way at most, on a new connection.
    pub fn bytes_on_the_way(&self) -> usize {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        1 << (7 + dice.below(10))
    }
}
