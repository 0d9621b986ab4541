//! Remembers what users and addresses have submitted lately, so that message rates can be decided.
//!
//! Takes who submits and the time, hands on the verdict of `policy::limits::message_rate`. Decides nothing, and forgets
//! whatever no longer matters: at most a minute after the last message.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most so many are remembered; some megabytes.
const REMEMBERED_MAX: usize = 100_000;
/// How often the table is searched for what may be forgotten; while it is full, more often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SWEEP_FULL_EVERY: Duration = Duration::from_secs(1);

/// Whose messages are counted, on which receive connector: one connector's count is none of another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key<'a> {
    /// A user who logged on, in lower case.
    User(&'a Arc<str>, String),
    /// A sender address, in lower case.
    Sender(&'a Arc<str>, String),
    /// A peer's address.
    Address(&'a Arc<str>, IpAddr),
}

/// Until when each has paid for its messages.
#[derive(Default)]
pub struct MessageRates {
    remembered: Mutex<Remembered>,
    /// Keys are kept as numbers: a table of names that strangers choose would have no bound in bytes. The numbers are of
    /// this process alone, so nobody can choose a name to collide with another's.
    numbers: RandomState,
}

#[derive(Default)]
struct Remembered {
    paid_until: HashMap<u64, Instant>,
    swept: Option<Instant>,
}

impl MessageRates {
    /// Counts one message for each of `keys`, when `permit` says until when each has then paid; when it refuses one, none
    /// is counted. Asking and counting are one step, so two sessions cannot send one last message.
    pub fn count<R>(
        &self,
        keys: &[Key<'_>],
        now: Instant,
        permit: impl Fn(Option<Instant>, Instant) -> Result<Instant, R>,
    ) -> Result<(), R> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = keys.iter().map(|key| {
            let number = self.numbers.hash_one(key);
            Ok((number, permit(remembered.paid_until.get(&number).copied(), now)?))
        });
        let paid = paid.collect::<Result<Vec<_>, R>>()?;
        remembered.sweep(now);
        for (number, until) in paid {
            remembered.note(number, until);
        }
        Ok(())
    }
}

impl Remembered {
    fn sweep(&mut self, now: Instant) {
        let swept = *self.swept.get_or_insert(now);
        let every = if self.paid_until.len() < REMEMBERED_MAX { SWEEP_EVERY } else { SWEEP_FULL_EVERY };
        if now.saturating_duration_since(swept) >= every {
            self.paid_until.retain(|_, until| *until > now);
            self.swept = Some(now);
        }
    }

    /// Where there is no room, a newcomer is not counted: whoever has filled the table has so many names that no limit on
    /// each of them stops it, and everybody else is not to suffer.
    fn note(&mut self, number: u64, until: Instant) {
        let has_room = self.paid_until.len() < REMEMBERED_MAX;
        if has_room || self.paid_until.contains_key(&number) {
            self.paid_until.insert(number, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each message is paid for with a minute.
    fn one_a_minute(paid_until: Option<Instant>, now: Instant) -> Result<Instant, &'static str> {
        if paid_until.is_some_and(|until| until > now) { Err("too many") } else { Ok(now + SWEEP_EVERY) }
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn a_message_that_is_refused_to_one_is_counted_for_neither() {
        let rates = MessageRates::default();
        let (relay, other, now) = (Arc::from("Relay"), Arc::from("Other"), Instant::now());
        let alice = || Key::User(&relay, "alice".to_owned());
        let count = |keys: &[Key<'_>], seconds| rates.count(keys, now + Duration::from_secs(seconds), one_a_minute);
        assert_eq!(count(&[alice()], 0), Ok(()));
        assert_eq!(count(&[Key::Address(&relay, address(1)), alice()], 1), Err("too many"));
        assert_eq!(count(&[Key::Address(&relay, address(1))], 1), Ok(()));
        // A sender address of that name is somebody else, and so is the same address on another connector.
        assert_eq!(count(&[Key::Sender(&relay, "alice".to_owned())], 1), Ok(()));
        assert_eq!(count(&[Key::Address(&other, address(1))], 1), Ok(()));
        assert_eq!(count(&[alice()], 60), Ok(()));
    }

    #[test]
    fn what_no_longer_matters_is_forgotten_and_a_flood_of_names_has_a_bound() {
        let rates = MessageRates::default();
        let (relay, now) = (Arc::from("Relay"), Instant::now());
        let held = || rates.remembered.lock().expect("nobody panics with the lock").paid_until.len();
        for n in 0..REMEMBERED_MAX as u32 + 10 {
            assert_eq!(rates.count(&[Key::Address(&relay, address(n))], now, one_a_minute), Ok(()));
        }
        assert_eq!(held(), REMEMBERED_MAX);
        // Those that are remembered stay so.
        assert_eq!(rates.count(&[Key::Address(&relay, address(0))], now, one_a_minute), Err("too many"));
        let later = now + SWEEP_EVERY;
        assert_eq!(rates.count(&[Key::Address(&relay, address(0))], later, one_a_minute), Ok(()));
        assert_eq!(held(), 1);
    }
}
