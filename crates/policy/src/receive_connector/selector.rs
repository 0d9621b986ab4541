//! Step 2 of 9 - select connector: the one whose remote range is the most specific container of the peer's address
//! (fact sheet section 1.8).
//!
//! Takes the two addresses of a connection and the time, hands on one connector or none. The nesting of ranges is
//! resolved once, when settings are loaded, and so is what follows when one expires; a look-up is two binary searches
//! and allocates nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::claim::{Claim, Claims, Term};
use super::segments::{Owned, Segments};
use super::{ReceiveConnector, remote_range::number, wildcard_of};

/// Selects the connector of a connection from `peer` to `local` at `now_ms`. A binding to the local address itself beats
/// a wildcard, as it does between sockets: where one exists, connectors on the wildcard are no candidates. A range that
/// has expired is no candidate either. `None`: nobody is to be heard from there.
pub fn select(selector: &Selector, local: SocketAddr, peer: IpAddr, now_ms: u64) -> Option<&Arc<ReceiveConnector>> {
    let table = selector.table(local)?;
    let claim = match peer.to_canonical() {
        IpAddr::V4(v4) => table.v4.find(v4.into()),
        IpAddr::V6(v6) => table.v6.find(v6.into()),
    };
    selector.connectors.get(selector.claims.holder(claim, now_ms)?)
}

/// The remote ranges of all enabled connectors, flattened per binding.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    connectors: Vec<Arc<ReceiveConnector>>,
    /// In order; there are few.
    bindings: Vec<(SocketAddr, Table)>,
    claims: Claims,
}

#[derive(Clone, Debug)]
struct Table {
    v4: Segments<u32>,
    v6: Segments<u128>,
}

/// A run of addresses of one family that all have the same connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The lowest address, as a number within its family.
    pub first: u128,
    /// The highest address.
    pub last: u128,
    /// The connector's place in the list that the selector was made of.
    pub connector: usize,
}

/// A run of addresses of one family that all have the same connector for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedSegment {
    /// The addresses and their connector.
    pub segment: Segment,
    /// When that begins, in milliseconds since 1970 UTC; `None` where it holds now.
    pub from_ms: Option<u64>,
    /// The instant from which on it holds no longer; `None` where it holds for good.
    pub until_ms: Option<u64>,
}

impl Selector {
    /// Builds the tables of the enabled ones among `connectors`, in time n log n over all ranges and bindings (where
    /// expiring ranges are nested, times the depth to which they are).
    pub fn new(connectors: &[Arc<ReceiveConnector>]) -> Selector {
        let mut bound: Vec<(SocketAddr, usize)> = connectors
            .iter()
            .enumerate()
            .filter(|(_, connector)| connector.enabled)
            .flat_map(|(place, connector)| connector.bindings.iter().map(move |binding| (key(binding.address), place)))
            .collect();
        bound.sort_unstable();
        bound.dedup();
        let mut claims = Claims::default();
        let bindings = bound
            .chunk_by(|(one, _), (other, _)| one == other)
            .map(|bound| {
                let (mut v4, mut v6) = (Vec::new(), Vec::new());
                for (_, place) in bound {
                    for range in &connectors[*place].remote_ip_ranges {
                        let owned = Owned {
                            first: number(range.first),
                            last: number(range.last),
                            owner: *place,
                            until_ms: range.expires_ms(),
                        };
                        if range.first.is_ipv4() { v4.push(owned) } else { v6.push(owned) }
                    }
                }
                let table = Table { v4: Segments::new(&v4, &mut claims), v6: Segments::new(&v6, &mut claims) };
                (bound[0].0, table)
            })
            .collect();
        claims.seal();
        Selector { connectors: connectors.to_vec(), bindings, claims }
    }

    /// Every local address and port that an enabled connector is bound to, IPv4 first, in order.
    pub fn bindings(&self) -> Vec<SocketAddr> {
        self.bindings.iter().map(|(local, _)| *local).collect()
    }

    /// What [`select`] answers at `now_ms` for every peer of `local`'s family, as ascending runs of addresses. Peers of
    /// the other family cannot come to `local`.
    pub fn segments(&self, local: SocketAddr, now_ms: u64) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::new();
        for (first, last, claim) in self.claims_within(local, 0, u128::MAX) {
            let Some(connector) = self.claims.holder(claim, now_ms) else { continue };
            match segments.last_mut() {
                Some(before) if before.connector == connector && before.last.checked_add(1) == Some(first) => {
                    before.last = last;
                }
                _ => segments.push(Segment { first, last, connector }),
            }
        }
        segments
    }

    /// What [`select`] answers from `now_ms` on, as long as these settings are in force: ascending runs of addresses, and
    /// for each run one connector after the other, in the order of time. Where a range expires, the smallest of those
    /// that outlive it takes over; where none does, nobody is heard.
    pub fn segments_over_time(&self, local: SocketAddr, now_ms: u64) -> Vec<TimedSegment> {
        let mut segments = Vec::new();
        for (first, last, claim) in self.claims_within(local, 0, u128::MAX) {
            segments.extend(self.claims.terms(claim, now_ms).map(|term| TimedSegment {
                segment: Segment { first, last, connector: term.owner },
                from_ms: term.from_ms,
                until_ms: term.until_ms,
            }));
        }
        segments
    }

    /// Whether an enabled connector is bound to this very address.
    pub(crate) fn is_bound(&self, local: SocketAddr) -> bool {
        self.place(key(local)).is_some()
    }

    /// The runs of addresses from `first` to `last`, numbers within `local`'s family, each with who claims it.
    pub(crate) fn claims_within(&self, local: SocketAddr, first: u128, last: u128) -> Vec<(u128, u128, Claim)> {
        let Some(table) = self.table(local) else { return Vec::new() };
        match local.ip().to_canonical() {
            IpAddr::V4(_) => table.v4.runs_within(first, last).collect(),
            IpAddr::V6(_) => table.v6.runs_within(first, last).collect(),
        }
    }

    /// Who holds a claim from `now_ms` on, one after the other.
    pub(crate) fn terms(&self, claim: Claim, now_ms: u64) -> impl Iterator<Item = Term> {
        self.claims.terms(claim, now_ms)
    }

    fn table(&self, local: SocketAddr) -> Option<&Table> {
        let local = key(local);
        let wildcard = || self.place(SocketAddr::new(wildcard_of(local.ip()), local.port()));
        self.place(local).or_else(wildcard).map(|place| &self.bindings[place].1)
    }

    fn place(&self, local: SocketAddr) -> Option<usize> {
        self.bindings.binary_search_by(|(bound, _)| bound.cmp(&local)).ok()
    }
}

/// A local address as selection knows it: without IPv6's zone, which the kernel's choice of socket has settled.
pub(crate) fn key(local: SocketAddr) -> SocketAddr {
    SocketAddr::new(local.ip().to_canonical(), local.port())
}
