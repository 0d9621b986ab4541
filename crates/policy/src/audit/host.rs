//! Trusted addresses that may stand for strangers: this host's own, loopback, and those of bridges and gateways, which
//! NAT and proxies put in the place of the true ones.
//!
//! Takes the host's addresses, which the caller gathers, hands on which of them are trusted where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address_set::AddressSet;

/// Addresses that the machine has or knows, as its kernel tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAddresses {
    /// Its own, those of bridges too.
    pub own: Vec<IpAddr>,
    /// Those that it has on bridges, behind which containers and virtual machines live.
    pub bridges: Vec<IpAddr>,
    /// Those of default gateways.
    pub gateways: Vec<IpAddr>,
}

/// What such an address is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// A default gateway.
    Gateway,
    /// This host on a bridge.
    Bridge,
    /// This host.
    Own,
    /// Loopback.
    Loopback,
}

impl HostAddresses {
    /// Those of the addresses that are in `trusted`, each told once, as the worst that it is.
    pub(super) fn within(&self, trusted: &AddressSet) -> Vec<(Kind, AddressSet)> {
        let loopback = AddressSet::of([
            (Ipv4Addr::new(127, 0, 0, 0).into(), Ipv4Addr::new(127, 255, 255, 255).into()),
            (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
        ] as [(IpAddr, IpAddr); 2]);
        let of = |addresses: &[IpAddr]| {
            AddressSet::of(addresses.iter().map(|address| address.to_canonical()).map(|address| (address, address)))
        };
        let kinds = [
            (Kind::Gateway, of(&self.gateways)),
            (Kind::Bridge, of(&self.bridges)),
            (Kind::Own, of(&self.own).intersection(&loopback.complement())),
            (Kind::Loopback, loopback),
        ];
        let mut told = AddressSet::EMPTY;
        let mut within = Vec::new();
        for (kind, addresses) in kinds {
            let addresses = addresses.intersection(trusted).intersection(&told.complement());
            told = told.union(&addresses);
            if !addresses.is_empty() {
                within.push((kind, addresses));
            }
        }
        within
    }
}
