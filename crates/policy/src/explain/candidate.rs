//! Which connectors could have heard a peer, why each lost, and where the rights on the winner come from.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::permission::{Access, AccessEntry, Principal, Right};
use crate::receive_connector::{ReceiveConnector, RemoteRange, select, wildcard_of};
use crate::settings::Settings;

/// What became of a connector when a peer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It hears the peer, by this range.
    Won(RemoteRange),
    /// Its range holds the peer, but a smaller range of another connector does too.
    LessSpecific(RemoteRange),
    /// None of its ranges holds the peer.
    RangeElsewhere,
    /// It is bound to all addresses, and another connector to this very one, which then hears whoever comes there.
    WildcardOnly,
    /// It is bound to other addresses or ports.
    OtherBinding,
    /// It is disabled.
    Disabled,
}

/// A connector and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The connector.
    pub connector: Arc<ReceiveConnector>,
    /// What became of it.
    pub fate: Fate,
}

/// Every connector, in the order of the document. Who wins, [`select`] says.
pub fn candidates(settings: &Settings, local: SocketAddr, peer: IpAddr, now_ms: u64) -> Vec<Candidate> {
    let winner = select(&settings.selector, local, peer, now_ms);
    let local = SocketAddr::new(local.ip().to_canonical(), local.port());
    // A binding to the very address keeps the wildcard's connectors out.
    let own_binding = settings.selector.bindings().contains(&SocketAddr::new(local.ip(), local.port()));
    let fate = |connector: &Arc<ReceiveConnector>| {
        let bound_to = |ip: IpAddr| {
            connector
                .bindings
                .iter()
                .any(|binding| binding.address.port() == local.port() && binding.address.ip().to_canonical() == ip)
        };
        let held = connector.remote_ip_ranges.iter().filter(|range| range.contains(peer) && !range.is_expired(now_ms));
        let smallest = held.min_by_key(|range| range.span_of_addresses()).cloned();
        match smallest {
            _ if !connector.enabled => Fate::Disabled,
            Some(range) if winner.is_some_and(|winner| Arc::ptr_eq(winner, connector)) => Fate::Won(range),
            _ if !bound_to(local.ip()) && !bound_to(wildcard_of(local.ip())) => Fate::OtherBinding,
            _ if own_binding && !bound_to(local.ip()) => Fate::WildcardOnly,
            Some(range) => Fate::LessSpecific(range),
            None => Fate::RangeElsewhere,
        }
    };
    settings
        .receive_connectors
        .iter()
        .map(|connector| Candidate { connector: connector.clone(), fate: fate(connector) })
        .collect()
}

/// One right and the entries that speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightOrigin<'a> {
    /// The right.
    pub right: Right,
    /// Entries that grant it to the principal.
    pub allowed_by: Vec<&'a AccessEntry>,
    /// Entries that take it away: one is enough.
    pub denied_by: Vec<&'a AccessEntry>,
}

/// The rights that any entry of `connector` grants to `principal` or takes from it, in log order, with those entries.
pub fn origins<'a>(connector: &'a ReceiveConnector, principal: &Principal) -> Vec<RightOrigin<'a>> {
    let entries: Vec<&AccessEntry> = connector.entries.iter().filter(|entry| entry.trustee.covers(principal)).collect();
    let of = |right: Right, access: Access| -> Vec<&'a AccessEntry> {
        let speaks = |entry: &&&AccessEntry| entry.access == access && entry.rights.contains(right);
        entries.iter().filter(speaks).copied().collect()
    };
    Right::ALL
        .into_iter()
        .map(|right| RightOrigin { right, allowed_by: of(right, Access::Allow), denied_by: of(right, Access::Deny) })
        .filter(|origin| !origin.allowed_by.is_empty() || !origin.denied_by.is_empty())
        .collect()
}
