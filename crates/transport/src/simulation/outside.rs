//! The world as the server sees it: its clock, its name servers, and who answers at which address.
//!
//! Takes questions of the server, answers as [`scene`] and the trouble of the moment say.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::world::World;
use super::{next_hop, scene};
use crate::simulated::{Dialled, NoRecords, Socket, Surroundings};

/// The world as the server sees it.
pub struct Outside(pub Arc<World>);

impl Surroundings for Outside {
    fn wall_clock_ms(&self) -> u64 {
        self.0.wall_clock_ms()
    }

    fn room(&self) -> (u64, u64) {
        // Now and then it is nearly used up, as back pressure sees it.
        (100 << 30, if self.0.is_troubled("room", 3).is_some() { 1 << 20 } else { 50 << 30 })
    }

    fn dial(&self, address: SocketAddr) -> Dialled {
        let IpAddr::V4(host) = address.ip() else { return Dialled::Refused };
        match host.octets() {
            scene::SILENT => return Dialled::Silence,
            scene::CLOSED => return Dialled::Refused,
            _ => {}
        }
        match self.0.is_troubled(&address.to_string(), 1) {
            Some(kind) if kind % 3 == 0 => Dialled::Silence,
            Some(_) => Dialled::Refused,
            None => {
                let (theirs, ours) = tokio::io::duplex(self.0.bytes_on_the_way());
                tokio::spawn(next_hop::serve(self.0.clone(), theirs, address.ip()));
                Dialled::Connected(Socket { stream: ours, local: SocketAddr::from(([10, 0, 0, 1], 40_000)) })
            }
        }
    }

    fn exchangers(&self, domain: &str) -> (Duration, Result<Vec<(u16, String)>, NoRecords>) {
        self.look_up(domain, |domain| scene::exchangers(domain).ok_or(NoRecords::NoSuchName))
    }

    fn addresses(&self, host: &str) -> (Duration, Result<Vec<IpAddr>, NoRecords>) {
        self.look_up(host, |host| scene::address(host).map(|ip| vec![ip]).ok_or(NoRecords::NoSuchName))
    }
}

impl Outside {
    fn look_up<T>(
        &self,
        name: &str,
        records: impl Fn(&str) -> Result<Vec<T>, NoRecords>,
    ) -> (Duration, Result<Vec<T>, NoRecords>) {
        let found = match self.0.is_troubled(name, 2) {
            Some(kind) => return (Duration::from_millis(kind % 10_000), Err(NoRecords::ServersFail)),
            None => records(name.trim_end_matches('.')),
        };
        // A name that has records of another kind only.
        let found = found.and_then(|records| if records.is_empty() { Err(NoRecords::OfThisKind) } else { Ok(records) });
        (Duration::ZERO, found)
    }
}
