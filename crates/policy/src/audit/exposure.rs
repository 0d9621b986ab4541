//! Who may do what from where, on which listener: every segment of every binding, merged into the fewest ranges.
//!
//! Takes settings, hands on exposures. Time and room grow with the number of segments, not with that of addresses.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::standing::{Capability, Standing, Who, standings};
use crate::access_entry::Principal;
use crate::address_set::{AddressSet, AscendingRanges};
use crate::public_address::public;
use crate::receive_connector::{Segment, TimedSegment};
use crate::relay::Reach;
use crate::settings::Settings;

/// One kind of principal with one capability, on some listeners, from some sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Who may do what.
    pub standing: Standing,
    /// Where; a binding to the unspecified address hears all local addresses that have no binding of their own. IPv4
    /// sources come to IPv4 listeners only, and IPv6 sources to IPv6 listeners.
    pub listeners: Vec<SocketAddr>,
    /// From where.
    pub sources: AddressSet,
    /// Whether some of the sources are public.
    pub is_public: bool,
    /// By which receive connectors, in the order of the document.
    pub connectors: Vec<Arc<str>>,
    /// When it begins, because a narrower range has expired by then; `None`: it holds now.
    pub from_ms: Option<u64>,
    /// When it ends, because the range has expired by then; `None`: it stays so. That a right is tied to a condition or a
    /// date, `standing` says.
    pub until_ms: Option<u64>,
}

impl Exposure {
    /// Whether it takes no authentication to relay.
    pub fn is_open_relay(&self) -> bool {
        self.standing.who.is_unauthenticated() && self.relays()
    }

    fn relays(&self) -> bool {
        self.standing.capability.as_ref().is_some_and(|capability| capability.reach == Reach::AnyRecipient)
    }

    /// Greater is more dangerous: relaying and being trusted without authentication, from public addresses first; then
    /// relaying at all, then submitting at all, then who may do more.
    fn danger(&self) -> impl Ord + use<> {
        let is_open = self.standing.who.is_unauthenticated();
        let capability = self.standing.capability.as_ref();
        let is_trusted = is_open && capability.is_some_and(|capability| capability.is_internal);
        (
            [
                self.is_open_relay() && self.is_public,
                is_trusted && self.is_public,
                self.is_open_relay(),
                is_trusted,
                self.relays(),
                capability.is_some(),
            ],
            is_open,
            capability.map(|capability| (capability.senders, capability.rights.len())),
            self.sources.count(),
        )
    }
}

/// What the selector says about every address from an instant on, connector by connector.
pub(crate) struct Survey {
    /// Every binding, with who hears whom there, now and whenever a range has expired.
    pub bindings: Vec<(SocketAddr, Vec<TimedSegment>)>,
    /// That instant.
    pub now_ms: u64,
    /// What may be done on each connector, by its place in the settings.
    pub standings: Vec<Vec<Standing>>,
    /// The peers that each connector hears at any time, on any of its bindings.
    pub peers: Vec<AddressSet>,
}

impl Survey {
    /// What holds now, and whatever will hold.
    pub fn of(settings: &Settings, now_ms: u64) -> Survey {
        let locals = settings.selector.bindings().into_iter();
        let bindings: Vec<_> =
            locals.map(|local| (local, settings.selector.segments_over_time(local, now_ms))).collect();
        let mut peers = vec![Vec::new(); settings.receive_connectors.len()];
        for (local, segments) in &bindings {
            for TimedSegment { segment, .. } in segments {
                peers[segment.connector].push(addresses(*local, segment));
            }
        }
        let connectors = settings.receive_connectors.iter();
        Survey {
            bindings,
            now_ms,
            standings: connectors.map(|connector| standings(connector, settings, now_ms)).collect(),
            peers: peers.into_iter().map(AddressSet::of).collect(),
        }
    }

    /// Who peers of a connector are before they log on, and what they may do then, if anything.
    pub fn unauthenticated(&self, place: usize) -> Option<(&Principal, &Capability)> {
        self.standings[place].iter().find_map(|standing| match (&standing.who, &standing.capability) {
            (Who::Unauthenticated(principal), Some(capability)) => Some((principal, capability)),
            _ => None,
        })
    }

    /// Most dangerous first.
    pub fn exposures(&self, settings: &Settings) -> Vec<Exposure> {
        let mut numbers: HashMap<&Standing, usize> = HashMap::new();
        let profiles: Vec<Vec<usize>> = self
            .standings
            .iter()
            .map(|standings| {
                let number = |standing| {
                    let next = numbers.len();
                    *numbers.entry(standing).or_insert(next)
                };
                standings.iter().map(number).collect()
            })
            .collect();
        let mut by_number: Vec<&Standing> = numbers.keys().copied().collect();
        by_number.sort_by_key(|standing| numbers[standing]);

        let mut merged: HashMap<(Holding, AddressSet), Row> = HashMap::new();
        for (local, segments) in &self.bindings {
            let mut rows: HashMap<Holding, (AscendingRanges, BTreeSet<usize>)> = HashMap::new();
            for terms in segments.chunk_by(|one, next| one.segment.first == next.segment.first) {
                let TimedSegment { segment: Segment { first, last, .. }, .. } = terms[0];
                for (holding, connectors) in holdings(terms, &profiles) {
                    let row = rows.entry(holding).or_default();
                    row.0.push(first, last);
                    row.1.extend(connectors);
                }
            }
            for (holding, (sources, connectors)) in rows {
                let row = merged.entry((holding, sources.finish(local.ip()))).or_default();
                row.listeners.push(*local);
                row.connectors.extend(connectors);
            }
        }
        let mut exposures: Vec<Exposure> = join_families(merged)
            .into_iter()
            .map(|(holding, sources, row)| Exposure {
                standing: by_number[holding.number].clone(),
                listeners: row.listeners,
                is_public: !sources.intersection(public()).is_empty(),
                sources,
                connectors: row.connectors.iter().map(|at| settings.receive_connectors[*at].name.clone()).collect(),
                from_ms: holding.from_ms,
                until_ms: holding.until_ms,
            })
            .collect();
        exposures.sort_by_cached_key(|exposure| {
            let first = exposure.sources.ranges().next();
            let when = (exposure.from_ms, exposure.until_ms);
            (Reverse(exposure.danger()), exposure.listeners.clone(), exposure.standing.who.to_string(), first, when)
        });
        exposures
    }
}

/// A standing, by its number, for a while.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Holding {
    number: usize,
    from_ms: Option<u64>,
    until_ms: Option<u64>,
}

/// What holds for one run of addresses as time goes by: where the next connector gives the same standing, that goes on.
fn holdings(terms: &[TimedSegment], profiles: &[Vec<usize>]) -> Vec<(Holding, Vec<usize>)> {
    let mut holdings: Vec<(Holding, Vec<usize>)> = Vec::new();
    for TimedSegment { segment, from_ms, until_ms } in terms {
        for number in &profiles[segment.connector] {
            let goes_on = |known: &&mut (Holding, Vec<usize>)| {
                known.0.number == *number && from_ms.is_some() && known.0.until_ms == *from_ms
            };
            match holdings.iter_mut().find(goes_on) {
                Some((holding, connectors)) => {
                    holding.until_ms = *until_ms;
                    connectors.push(segment.connector);
                }
                None => {
                    let holding = Holding { number: *number, from_ms: *from_ms, until_ms: *until_ms };
                    holdings.push((holding, vec![segment.connector]));
                }
            }
        }
    }
    holdings
}

/// Where something holds, and by which connectors.
#[derive(Default)]
pub(super) struct Row {
    pub listeners: Vec<SocketAddr>,
    pub connectors: BTreeSet<usize>,
}

/// Makes one row of two that say the same, one of each family, on the same ports: nothing is lost, since each family
/// comes to its own listeners only.
pub(super) fn join_families<K: Clone + Eq + Hash>(merged: HashMap<(K, AddressSet), Row>) -> Vec<(K, AddressSet, Row)> {
    let mut rows: Vec<_> = merged.into_iter().map(|((key, sources), row)| (key, sources, row)).collect();
    rows.sort_by(|(_, a_sources, a), (_, b_sources, b)| {
        a.listeners.cmp(&b.listeners).then_with(|| a_sources.ranges().cmp(b_sources.ranges()))
    });
    let mut joined: Vec<(K, AddressSet, Row)> = Vec::new();
    let mut waiting: HashMap<(K, Vec<u16>), VecDeque<usize>> = HashMap::new();
    for (key, sources, row) in rows {
        let mut ports: Vec<u16> = row.listeners.iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        // IPv4 rows come first.
        let partners = waiting.entry((key.clone(), ports)).or_default();
        if row.listeners[0].is_ipv4() {
            partners.push_back(joined.len());
        } else if let Some(partner) = partners.pop_front() {
            let (_, partner_sources, partner) = &mut joined[partner];
            *partner_sources = partner_sources.union(&sources);
            partner.listeners.extend(row.listeners);
            partner.connectors.extend(row.connectors);
            continue;
        }
        joined.push((key, sources, row));
    }
    joined
}

/// A segment's first and last address, in the family of `local`.
pub(crate) fn addresses(local: SocketAddr, segment: &Segment) -> (IpAddr, IpAddr) {
    let address = |number: u128| match (local.ip().to_canonical(), u32::try_from(number)) {
        (IpAddr::V4(_), Ok(v4)) => Ipv4Addr::from(v4).into(),
        _ => Ipv6Addr::from(number).into(),
    };
    (address(segment.first), address(segment.last))
}
