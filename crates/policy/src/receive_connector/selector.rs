//! Step 2 of 9 - select connector: the one whose remote range is the most specific container of the peer's address
//! (fact sheet section 1.8).
//!
//! Takes the two addresses of a connection, hands on one connector or none. The nesting of ranges is resolved once, when
//! settings are loaded; a look-up is one map access and one binary search and allocates nothing.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::remote_range::number;
use super::{ReceiveConnector, wildcard_of};

/// Selects the connector of a connection from `peer` to `local`. A binding to the local address itself beats a
/// wildcard, as it does between sockets: where one exists, connectors on the wildcard are no candidates. `None`: nobody
/// is to be heard from there.
pub fn select(selector: &Selector, local: SocketAddr, peer: IpAddr) -> Option<&Arc<ReceiveConnector>> {
    let table = selector.table(local)?;
    let owner = match peer.to_canonical() {
        IpAddr::V4(v4) => table.v4.find(v4.into()),
        IpAddr::V6(v6) => table.v6.find(v6.into()),
    }?;
    selector.connectors.get(owner as usize)
}

/// The remote ranges of all enabled connectors, flattened per binding.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    connectors: Vec<Arc<ReceiveConnector>>,
    bindings: HashMap<(IpAddr, u16), Table>,
}

impl Selector {
    /// Builds the tables of the enabled ones among `connectors`, in time n log n over all ranges and bindings.
    pub fn new(connectors: &[Arc<ReceiveConnector>]) -> Selector {
        let mut ranges: HashMap<(IpAddr, u16), (Vec<Owned>, Vec<Owned>)> = HashMap::new();
        for (owner, connector) in connectors.iter().enumerate().filter(|(_, connector)| connector.enabled) {
            // The document's size limit keeps the number of connectors far below this.
            let owner = u32::try_from(owner).unwrap_or(NOBODY);
            for binding in &connector.bindings {
                let key = (binding.address.ip().to_canonical(), binding.address.port());
                let (v4, v6) = ranges.entry(key).or_default();
                for range in &connector.remote_ip_ranges {
                    let owned = Owned { first: number(range.first), last: number(range.last), owner };
                    if range.first.is_ipv4() { v4.push(owned) } else { v6.push(owned) }
                }
            }
        }
        let bindings = ranges
            .into_iter()
            .map(|(key, (v4, v6))| (key, Table { v4: Segments::new(&v4), v6: Segments::new(&v6) }))
            .collect();
        Selector { connectors: connectors.to_vec(), bindings }
    }

    /// Every local address and port that an enabled connector is bound to, IPv4 first, in order.
    pub fn bindings(&self) -> Vec<SocketAddr> {
        let mut bindings: Vec<_> = self.bindings.keys().map(|(ip, port)| SocketAddr::new(*ip, *port)).collect();
        bindings.sort();
        bindings
    }

    /// What [`select`] answers for every peer of `local`'s family, as ascending runs of addresses. Peers of the other
    /// family cannot come to `local`.
    pub fn segments(&self, local: SocketAddr) -> Vec<Segment> {
        let Some(table) = self.table(local) else { return Vec::new() };
        match local.ip().to_canonical() {
            IpAddr::V4(_) => table.v4.runs(u32::MAX),
            IpAddr::V6(_) => table.v6.runs(u128::MAX),
        }
    }

    fn table(&self, local: SocketAddr) -> Option<&Table> {
        let address = local.ip().to_canonical();
        self.bindings.get(&(address, local.port())).or_else(|| self.bindings.get(&(wildcard_of(address), local.port())))
    }
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

#[derive(Clone, Debug)]
struct Table {
    v4: Segments<u32>,
    v6: Segments<u128>,
}

#[derive(Clone, Copy, Debug)]
struct Owned {
    first: u128,
    last: u128,
    owner: u32,
}

/// Marks the gaps between ranges.
const NOBODY: u32 = u32::MAX;

/// The whole address space of a family, cut where the owner changes. Two arrays, so that the search touches only keys.
#[derive(Clone, Debug)]
struct Segments<K> {
    firsts: Vec<K>,
    owners: Vec<u32>,
}

impl<K: Copy + Ord + TryFrom<u128> + Into<u128>> Segments<K> {
    fn new(ranges: &[Owned]) -> Segments<K> {
        // At each address where a range begins or has just ended, the smallest of those that are open owns what
        // follows. Ends come before beginnings at the same address; their order among themselves does not matter.
        let mut events: Vec<(u128, bool, usize)> = Vec::with_capacity(ranges.len() * 2);
        for (i, range) in ranges.iter().enumerate() {
            events.push((range.first, true, i));
            if let Some(after) = range.last.checked_add(1) {
                events.push((after, false, i));
            }
        }
        events.sort_unstable();
        let mut segments = Segments { firsts: Vec::new(), owners: Vec::new() };
        let mut open: BTreeSet<(u128, usize)> = BTreeSet::new();
        let mut events = events.into_iter().peekable();
        while let Some((address, begins, i)) = events.next() {
            let key = (ranges[i].last - ranges[i].first, i);
            if begins {
                open.insert(key);
            } else {
                open.remove(&key);
            }
            if events.peek().is_some_and(|(following, ..)| *following == address) {
                continue;
            }
            let owner = open.first().map_or(NOBODY, |(_, i)| ranges[*i].owner);
            // One behind the last IPv4 address is no IPv4 address, and nothing follows it.
            let Ok(first) = K::try_from(address) else { continue };
            if segments.owners.last().copied().unwrap_or(NOBODY) != owner {
                segments.firsts.push(first);
                segments.owners.push(owner);
            }
        }
        segments.firsts.shrink_to_fit();
        segments.owners.shrink_to_fit();
        segments
    }

    fn runs(&self, max: K) -> Vec<Segment> {
        let ends = self.firsts.iter().skip(1).map(|first| (*first).into() - 1).chain([max.into()]);
        let runs = self.firsts.iter().zip(ends).zip(&self.owners).filter(|(_, owner)| **owner != NOBODY);
        runs.map(|((first, last), owner)| Segment { first: (*first).into(), last, connector: *owner as usize })
            .collect()
    }

    fn find(&self, address: K) -> Option<u32> {
        let after = self.firsts.partition_point(|first| *first <= address);
        let owner = self.owners[after.checked_sub(1)?];
        (owner != NOBODY).then_some(owner)
    }
}
