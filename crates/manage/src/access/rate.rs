//! How long somebody has to wait who has failed to prove who they are: nothing at first, then twice as long each time.
//!
//! Takes who tries and when, hands on the wait. Each attempt counts as failed until it is known to be right, so that many
//! at once are not one. Reads no clock; its memory is bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// So many failures cost nothing: people mistype.
const FREE: u32 = 4;
/// The wait after the first failure beyond that.
const WAIT_FIRST_MS: u64 = 1_000;
/// Without a failure for so long, the former ones are forgotten.
const FORGOTTEN_AFTER_MS: u64 = 60 * 60 * 1_000;
/// At most so many keys are remembered of each kind; beyond that the one that failed least and longest ago is forgotten.
const KEYS_MAX: usize = 4_096;
/// Characters of a name that count.
const NAME_CHARACTERS_MAX: usize = 64;

/// The longest wait of an address: who guesses from one place comes to a hundred guesses a day.
const WAIT_OF_ADDRESS: Duration = Duration::from_secs(15 * 60);
/// The longest wait of a name, whoever tries it. Short, because everybody can make its owner wait.
const WAIT_OF_NAME: Duration = Duration::from_secs(30);

/// Who has failed, by address and by name.
#[derive(Debug, Default)]
pub struct Rates {
    addresses: HashMap<IpAddr, Failures>,
    names: HashMap<String, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last_ms: u64,
}

/// One attempt that has begun. It counts as failed unless [`Rates::succeed`] takes it back.
#[derive(Debug)]
pub struct Attempt {
    address: Option<IpAddr>,
    name: String,
}

impl Rates {
    /// Begins an attempt of somebody at `address` to be `name`.
    ///
    /// # Errors
    /// How long they have to wait first.
    pub fn begin(&mut self, address: Option<IpAddr>, name: &str, now_ms: u64) -> Result<Attempt, Duration> {
        let attempt = Attempt {
            address: address.map(network),
            name: name.to_lowercase().chars().take(NAME_CHARACTERS_MAX).collect(),
        };
        let of_address = attempt.address.and_then(|address| self.addresses.get(&address));
        let wait =
            wait(of_address, WAIT_OF_ADDRESS, now_ms).max(wait(self.names.get(&attempt.name), WAIT_OF_NAME, now_ms));
        if !wait.is_zero() {
            return Err(wait);
        }
        if let Some(address) = attempt.address {
            note(&mut self.addresses, address, now_ms);
        }
        note(&mut self.names, attempt.name.clone(), now_ms);
        Ok(attempt)
    }

    /// The attempt was right: it is no failure, and the name starts anew. What failed from its address before still counts,
    /// or who knows one password could guess others without end.
    pub fn succeed(&mut self, attempt: Attempt) {
        self.names.remove(&attempt.name);
        if let Some(failures) = attempt.address.and_then(|address| self.addresses.get_mut(&address)) {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    /// Nothing was found out: it is as if the attempt had not been.
    pub fn take_back(&mut self, attempt: Attempt) {
        if let Some(failures) = self.names.get_mut(&attempt.name) {
            failures.count = failures.count.saturating_sub(1);
        }
        if let Some(failures) = attempt.address.and_then(|address| self.addresses.get_mut(&address)) {
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

/// Whoever has an IPv6 network has 2^64 addresses in it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

/// How long this key has to wait still.
fn wait(failures: Option<&Failures>, longest: Duration, now_ms: u64) -> Duration {
    let Some(failures) = failures.filter(|failures| failures.count > FREE && !is_forgotten(failures, now_ms)) else {
        return Duration::ZERO;
    };
    let doublings = (failures.count - FREE - 1).min(20);
    let whole = Duration::from_millis(WAIT_FIRST_MS << doublings).min(longest);
    // A clock that was set back makes nobody wait longer than that.
    let waited = Duration::from_millis(now_ms.saturating_sub(failures.last_ms));
    whole.saturating_sub(waited)
}

fn is_forgotten(failures: &Failures, now_ms: u64) -> bool {
    now_ms.saturating_sub(failures.last_ms) > FORGOTTEN_AFTER_MS
}

fn note<K: Clone + Eq + Hash>(of: &mut HashMap<K, Failures>, key: K, now_ms: u64) {
    if of.len() >= KEYS_MAX && !of.contains_key(&key) {
        of.retain(|_, failures| !is_forgotten(failures, now_ms));
        if of.len() >= KEYS_MAX {
            let least = of.iter().min_by_key(|(_, failures)| (failures.count, failures.last_ms));
            if let Some(least) = least.map(|(key, _)| key.clone()) {
                of.remove(&least);
            }
        }
    }
    let failures = of.entry(key).or_insert(Failures { count: 0, last_ms: now_ms });
    if is_forgotten(failures, now_ms) {
        failures.count = 0;
    }
    failures.count = failures.count.saturating_add(1);
    failures.last_ms = now_ms;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    /// Fails whenever that is allowed, for so long; says how often.
    fn failures_within(duration_ms: u64, mut who: impl FnMut(u64) -> (Option<IpAddr>, String)) -> usize {
        let mut rates = Rates::default();
        (0..duration_ms / 100)
            .filter(|tick| {
                let (address, name) = who(*tick);
                rates.begin(address, &name, 1_000_000 + tick * 100).is_ok()
            })
            .count()
    }

    #[test]
    fn the_wait_doubles_after_the_first_few_failures() {
        let mut rates = Rates::default();
        let mut now = 1_000_000;
        for _ in 0..=FREE {
            rates.begin(address(1), "carol", now).expect("free");
        }
        for seconds in [1, 2, 4, 8, 16] {
            let wait = rates.begin(address(1), "carol", now).expect_err("too soon");
            assert_eq!(wait, Duration::from_secs(seconds));
            now += seconds * 1000;
            rates.begin(address(1), "carol", now).expect("waited long enough");
        }
        rates.begin(address(1), "carol", now + FORGOTTEN_AFTER_MS + 1).expect("forgotten");
    }

    #[test]
    fn who_guesses_from_one_address_or_one_name_gets_few_guesses() {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let one_address = failures_within(DAY / 4, |tick| (address(1), format!("name {tick}")));
        assert!(one_address < 60, "{one_address} guesses in six hours");
        let one_name = failures_within(DAY / 4, |tick| (address((tick % 250) as u8), "Carol".to_owned()));
        assert!(one_name < 800, "{one_name} guesses in six hours");
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let guesses = failures_within(60_000, |tick| {
            (Some(format!("2001:db8::{tick:x}").parse().expect("one")), tick.to_string())
        });
        assert!(guesses < 12, "{guesses}");
    }

    #[test]
    fn who_is_right_is_never_held_up_and_keeps_no_others_failures() {
        let mut rates = Rates::default();
        for now in 0..1000 {
            let attempt = rates.begin(address(1), "carol", now).expect("right each time");
            rates.succeed(attempt);
        }
        // A right password in between does not make guesses free.
        let mut guesses = 0;
        for now in 0..1000 {
            if let Ok(own) = rates.begin(address(2), "mallory", now) {
                rates.succeed(own);
            }
            guesses += usize::from(rates.begin(address(2), &format!("carol {now}"), now).is_ok());
        }
        assert!(guesses < 8, "{guesses}");
        // What was not found out is no failure.
        for now in 0..1000 {
            let attempt = rates.begin(address(3), "busy", now).expect("never failed");
            rates.take_back(attempt);
        }
    }

    #[test]
    fn its_memory_is_bounded_and_keeps_who_failed_most() {
        let mut rates = Rates::default();
        for _ in 0..=FREE {
            rates.begin(address(1), "carol", 0).expect("free");
        }
        for number in 0..3 * KEYS_MAX as u32 {
            let _ = rates.begin(Some(IpAddr::from(number.to_be_bytes())), &number.to_string(), 1);
        }
        assert!(rates.addresses.len() <= KEYS_MAX && rates.names.len() <= KEYS_MAX);
        assert!(rates.begin(address(1), "somebody else", 1).is_err(), "the address that failed most is remembered");
        assert!(rates.begin(None, "Carol", 1).is_err(), "and so is the name");
    }
}
