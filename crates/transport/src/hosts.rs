//! What is remembered of hosts that we tried: who took no connection lately, who did not prove what was asked for, and who wants
//! to see us again.
//!
//! Takes what came of attempts, hands on a host's standing, by which `policy::exchangers` puts addresses in order. A memory
//! for speed and manners: it is bounded, it forgets, and nothing is ever given up because of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gatepost_policy::exchangers::Standing;
use gatepost_policy::next_hop_certificate::Demand;

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
    known: Mutex<HashMap<Whose, Host>>,
}

/// Of whom something is known: an address, and what was demanded of it where others may demand less.
type Whose = (SocketAddr, Option<Demand>);

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
    fn known(&self) -> MutexGuard<'_, HashMap<Whose, Host>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to think of an address of which this is demanded.
    pub fn standing(&self, address: SocketAddr, demand: &Demand, now: Instant) -> Standing {
        let known = self.known();
        if known.is_empty() {
            return Standing::Fine;
        }
        let has_failed = known.get(&(address, Some(demand.clone()))).is_some_and(|host| host.is_down(now));
        match known.get(&(address, None)) {
            _ if has_failed => Standing::Down,
            Some(host) if host.is_down(now) => Standing::Down,
            Some(host) if host.knows(now) => Standing::Knows,
            _ => Standing::Fine,
        }
    }

    /// It took no connection.
    pub fn went_down(&self, address: SocketAddr, now: Instant) {
        self.note_down((address, None), now);
    }

    /// It did not prove what was demanded. Whoever demands less may have a connection.
    pub fn has_not_proven(&self, address: SocketAddr, demand: &Demand, now: Instant) {
        self.note_down((address, Some(demand.clone())), now);
    }

    fn note_down(&self, whose: Whose, now: Instant) {
        let until = now.checked_add(DOWN).unwrap_or(now);
        self.note(whose, now, |host| host.down_until = Some(until));
    }

    /// It took one on these terms, and speaks with us.
    pub fn is_up_for(&self, address: SocketAddr, demand: &Demand) {
        self.is_up(address);
        self.forget_down(&(address, Some(demand.clone())));
    }

    /// It took a connection.
    pub fn is_up(&self, address: SocketAddr) {
        self.forget_down(&(address, None));
    }

    fn forget_down(&self, whose: &Whose) {
        let mut known = self.known();
        let Some(host) = known.get_mut(whose) else { return };
        host.down_until = None;
        if host.knows_until.is_none() {
            known.remove(whose);
        }
    }

    /// It told us to come again later, as it tells strangers.
    pub fn wants_us_again(&self, address: SocketAddr, now: Instant) {
        let until = now.checked_add(KNOWS).unwrap_or(now);
        self.note((address, None), now, |host| host.knows_until = Some(until));
    }

    /// Who took no connection lately, by address.
    pub fn unreachable(&self, now: Instant) -> Vec<Unreachable> {
        let known = self.known();
        let of_all = known.iter().filter(|((_, demand), _)| demand.is_none());
        let down = of_all.filter(|(_, host)| host.is_down(now)).filter_map(|((address, _), host)| {
            let left = host.down_until?.saturating_duration_since(now);
            Some(Unreachable { address: *address, left })
        });
        let mut down: Vec<_> = down.collect();
        down.sort_by_key(|one| one.address);
        down
    }

    /// Where the room is full, what is news finds no place: it costs an attempt, no more.
    fn note(&self, whose: Whose, now: Instant, change: impl FnOnce(&mut Host)) {
        let mut known = self.known();
        if known.len() >= HOSTS_MAX && !known.contains_key(&whose) {
            known.retain(|_, host| host.is_down(now) || host.knows(now));
            if known.len() >= HOSTS_MAX {
                return;
            }
        }
        change(known.entry(whose).or_default());
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
        assert_eq!(hosts.standing(address(1), &Demand::Nothing, later(299)), Standing::Down);
        assert_eq!(hosts.standing(address(1), &Demand::Nothing, later(300)), Standing::Fine);
        let listed: Vec<_> =
            hosts.unreachable(later(100)).iter().map(|one| (one.address, one.left.as_secs())).collect();
        assert_eq!(listed, [(address(1), 200), (address(2), 200)]);
        hosts.is_up(address(2));
        assert_eq!(hosts.standing(address(2), &Demand::Nothing, now), Standing::Fine);
    }

    #[test]
    fn who_does_not_prove_what_one_connector_demands_is_down_for_that_demand_alone() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        hosts.has_not_proven(address(1), &Demand::Certificate, now);
        let standing = |demand: Demand| hosts.standing(address(1), &demand, now);
        assert_eq!(standing(Demand::Certificate), Standing::Down);
        assert_eq!([standing(Demand::Nothing), standing(Demand::Encryption)], [Standing::Fine; 2]);
        // That it speaks with somebody who demands less proves nothing.
        hosts.is_up_for(address(1), &Demand::Nothing);
        assert_eq!(standing(Demand::Certificate), Standing::Down);
        hosts.is_up_for(address(1), &Demand::Certificate);
        assert_eq!(standing(Demand::Certificate), Standing::Fine);
        hosts.went_down(address(1), now);
        assert_eq!(standing(Demand::Certificate), Standing::Down, "nobody gets a connection");
        assert_eq!(hosts.unreachable(now).len(), 1);
    }

    #[test]
    fn a_host_that_wants_us_again_is_remembered_though_it_is_up() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        hosts.wants_us_again(address(1), now);
        hosts.is_up(address(1));
        assert_eq!(hosts.standing(address(1), &Demand::Nothing, now), Standing::Knows);
        hosts.went_down(address(1), now);
        assert_eq!(hosts.standing(address(1), &Demand::Nothing, now), Standing::Down);
        assert_eq!(hosts.standing(address(1), &Demand::Nothing, now + KNOWS), Standing::Fine);
    }

    #[test]
    fn the_memory_is_bounded_and_makes_room_by_forgetting_what_is_over() {
        let (hosts, now) = (Hosts::default(), Instant::now());
        for number in 0..HOSTS_MAX as u32 + 10 {
            hosts.went_down(address(number), now);
        }
        assert_eq!(hosts.known().len(), HOSTS_MAX);
        let newcomer = address(u32::MAX);
        assert_eq!(hosts.standing(newcomer, &Demand::Nothing, now), Standing::Fine);
        hosts.went_down(newcomer, now + DOWN);
        assert_eq!(hosts.standing(newcomer, &Demand::Nothing, now + DOWN), Standing::Down);
        assert_eq!(hosts.known().len(), 1);
    }
}
