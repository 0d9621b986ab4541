//! What is remembered of hosts that we tried: who took no connection lately, and who wants to see us again.
//!
//! Takes what came of attempts, hands on a host's standing, by which `policy::exchangers` puts addresses in order. A memory
//! for speed and manners: it is bounded, it forgets, and nothing is ever given up because of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gatepost_policy::exchangers::Standing;

/// Addresses that are remembered at a time.
const HOSTS_MAX: usize = 10_000;
/// How long an address that took no connection is tried behind all others.
const DOWN: Duration = Duration::from_secs(5 * 60);
/// How long one is preferred among its equals that told us to come again: greylists forget within hours (RFC 6647
/// section 5), and mail that has come through says enough.
const KNOWS: Duration = Duration::from_secs(60 * 60);

/// What is remembered, for all queues.
#[derive(Default)]
pub struct Hosts {
    known: Mutex<HashMap<SocketAddr, Host>>,
}

#[derive(Clone, Copy, Default)]
struct Host {
    down_until: Option<Instant>,
    knows_until: Option<Instant>,
}

impl Host {
    fn is_down(&self, now: Instant) -> bool {
        self.down_until.is_some_and(|until| now < until)
    }

    fn knows(&self, now: Instant) -> bool {
        self.knows_until.is_some_and(|until| now < until)
    }
}

/// One address that took no connection lately, for listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Which.
    pub address: SocketAddr,
    /// For so long it is tried behind the others.
    pub left: Duration,
}

impl Hosts {
    fn known(&self) -> MutexGuard<'_, HashMap<SocketAddr, Host>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to think of an address.
    pub fn standing(&self, address: SocketAddr, now: Instant) -> Standing {
        match self.known().get(&address) {
            Some(host) if host.is_down(now) => Standing::Down,
            Some(host) if host.knows(now) => Standing::Knows,
            _ => Standing::Fine,
        }
    }

    /// It took no connection.
    pub fn went_down(&self, address: SocketAddr, now: Instant) {
        let until = now.checked_add(DOWN).unwrap_or(now);
        self.note(address, now, |host| host.down_until = Some(until));
    }

    /// It took one, and speaks with us.
    pub fn is_up(&self, address: SocketAddr) {
        let mut known = self.known();
        let Some(host) = known.get_mut(&address) else { return };
        host.down_until = None;
        if host.knows_until.is_none() {
            known.remove(&address);
        }
    }

    /// It told us to come again later, as it tells strangers.
    pub fn wants_us_again(&self, address: SocketAddr, now: Instant) {
        let until = now.checked_add(KNOWS).unwrap_or(now);
        self.note(address, now, |host| host.knows_until = Some(until));
    }

    /// Who took no connection lately, by address.
    pub fn unreachable(&self, now: Instant) -> Vec<Unreachable> {
        let known = self.known();
        let down = known.iter().filter(|(_, host)| host.is_down(now)).filter_map(|(address, host)| {
            let left = host.down_until?.saturating_duration_since(now);
            Some(Unreachable { address: *address, left })
        });
        let mut down: Vec<_> = down.collect();
        down.sort_by_key(|one| one.address);
        down
    }

    /// Where the room is full, what is news finds no place: it costs an attempt, no more.
    fn note(&self, address: SocketAddr, now: Instant, change: impl FnOnce(&mut Host)) {
        let mut known = self.known();
        if known.len() >= HOSTS_MAX && !known.contains_key(&address) {
            known.retain(|_, host| host.is_down(now) || host.knows(now));
            if known.len() >= HOSTS_MAX {
                return;
            }
        }
        change(known.entry(address).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> SocketAddr {
        (number.to_be_bytes(), 25).into()
    }

    #[test]
    fn a_host_is_down_for_a_while_or_until_it_takes_a_connection() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        hosts.went_down(address(1), now);
        hosts.went_down(address(2), now);
        assert_eq!(hosts.standing(address(1), later(299)), Standing::Down);
        assert_eq!(hosts.standing(address(1), later(300)), Standing::Fine);
        let listed: Vec<_> =
            hosts.unreachable(later(100)).iter().map(|one| (one.address, one.left.as_secs())).collect();
        assert_eq!(listed, [(address(1), 200), (address(2), 200)]);
        hosts.is_up(address(2));
        assert_eq!(hosts.standing(address(2), now), Standing::Fine);
    }

    #[test]
    fn a_host_that_wants_us_again_is_remembered_though_it_is_up() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        hosts.wants_us_again(address(1), now);
        hosts.is_up(address(1));
        assert_eq!(hosts.standing(address(1), now), Standing::Knows);
        hosts.went_down(address(1), now);
        assert_eq!(hosts.standing(address(1), now), Standing::Down);
        assert_eq!(hosts.standing(address(1), now + KNOWS), Standing::Fine);
    }

    #[test]
    fn the_memory_is_bounded_and_makes_room_by_forgetting_what_is_over() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        for number in 0..HOSTS_MAX as u32 + 10 {
            hosts.went_down(address(number), now);
        }
        assert_eq!(hosts.known().len(), HOSTS_MAX);
        let newcomer = address(u32::MAX);
        assert_eq!(hosts.standing(newcomer, now), Standing::Fine);
        hosts.went_down(newcomer, now + DOWN);
        assert_eq!(hosts.standing(newcomer, now + DOWN), Standing::Down);
        assert_eq!(hosts.known().len(), 1);
    }
}
