//! Which connectors could have heard a peer, why each lost, and where the rights on the winner come from.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::dialogue::Question;
use crate::condition::Condition;
use crate::permission::{self, Access, AccessEntry, Facts, Principal, Right};
use crate::receive_connector::{ReceiveConnector, RemoteRange, select, wildcard_of};
use crate::settings::Settings;

/// What became of a connector when a peer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It hears the peer, by this range.
    Won(RemoteRange),
    /// Its range holds the peer, but a smaller range of another connector does too.
    LessSpecific(RemoteRange),
    /// Its range held the peer, and has expired.
    Expired(RemoteRange),
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
        let held = connector.remote_ip_ranges.iter().filter(|range| range.contains(peer));
        let (expired, held): (Vec<_>, Vec<_>) = held.partition(|range| range.is_expired(now_ms));
        let (smallest, expired) = (smallest_of(held).cloned(), smallest_of(expired).cloned());
        match smallest {
            _ if !connector.enabled => Fate::Disabled,
            Some(range) if winner.is_some_and(|winner| Arc::ptr_eq(winner, connector)) => Fate::Won(range),
            _ if !bound_to(local.ip()) && !bound_to(wildcard_of(local.ip())) => Fate::OtherBinding,
            _ if own_binding && !bound_to(local.ip()) => Fate::WildcardOnly,
            Some(range) => Fate::LessSpecific(range),
            None => expired.map_or(Fate::RangeElsewhere, Fate::Expired),
        }
    };
    settings
        .receive_connectors
        .iter()
        .map(|connector| Candidate { connector: connector.clone(), fate: fate(connector) })
        .collect()
}

fn smallest_of(ranges: Vec<&RemoteRange>) -> Option<&RemoteRange> {
    ranges.into_iter().min_by_key(|range| range.span_of_addresses())
}

/// What an entry that speaks of somebody does to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It grants, or takes away.
    Counts,
    /// It has expired at this instant, in milliseconds since 1970 UTC.
    Expired(u64),
    /// This part of its condition is not met.
    Unmet(Part),
}

/// One part of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Who sends.
    Senders,
    /// Who receives.
    Recipients,
    /// When.
    Hours,
}

impl Part {
    /// Every part, in the order in which they are told.
    pub const ALL: [Part; 3] = [Part::Senders, Part::Recipients, Part::Hours];

    /// Whether this part of the condition of an entry that allows is not met.
    pub(super) fn is_unmet(self, condition: &Condition, facts: &Facts<'_>) -> bool {
        !self.of(condition).is_met(facts)
    }

    /// Takes this part out of the condition.
    pub(super) fn remove(self, condition: &mut Condition) {
        match self {
            Part::Senders => condition.senders = None,
            Part::Recipients => condition.recipients = None,
            Part::Hours => condition.hours = None,
        }
    }

    /// The condition with nothing but this part.
    fn of(self, condition: &Condition) -> Condition {
        let nothing = Condition::default();
        match self {
            Part::Senders => Condition { senders: condition.senders.clone(), ..nothing },
            Part::Recipients => Condition { recipients: condition.recipients.clone(), ..nothing },
            Part::Hours => Condition { hours: condition.hours.clone(), ..nothing },
        }
    }
}

/// What `entry` does to a message of which so much is known.
pub(super) fn effect(entry: &AccessEntry, facts: &Facts<'_>) -> Effect {
    if let Some(expires_ms) = entry.note.as_ref().and_then(|note| note.expires_ms)
        && entry.is_expired(facts.now_ms)
    {
        return Effect::Expired(expires_ms);
    }
    let Some(condition) = entry.condition.as_deref() else { return Effect::Counts };
    // An entry that denies counts unless a part is known not to be met.
    let is_unmet = |part: &Part| match entry.access {
        Access::Allow => part.is_unmet(condition, facts),
        Access::Deny => part.of(condition).is_ruled_out(facts),
    };
    Part::ALL.into_iter().find(is_unmet).map_or(Effect::Counts, Effect::Unmet)
}

/// An entry that speaks of somebody, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The entry.
    pub entry: &'a AccessEntry,
    /// What it does to this message.
    pub effect: Effect,
}

/// One right and the entries that speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightOrigin<'a> {
    /// The right.
    pub right: Right,
    /// Entries that grant it to the principal, if they count.
    pub allowed_by: Vec<Origin<'a>>,
    /// Entries that take it away: one that counts is enough.
    pub denied_by: Vec<Origin<'a>>,
}

/// The rights that any entry of `connector` grants to `principal` or takes from it, in log order, with those entries and
/// what they do to the message that is asked about.
pub fn origins<'a>(
    settings: &Settings,
    question: &Question<'_>,
    connector: &'a ReceiveConnector,
    principal: &Principal,
) -> Vec<RightOrigin<'a>> {
    let recipient = settings.recipient(question.forward_path);
    let facts = question.facts(&recipient);
    let speaking = connector.entries.iter().filter(|entry| entry.trustee.covers(principal));
    let origins: Vec<Origin<'a>> = speaking.map(|entry| Origin { entry, effect: effect(entry, &facts) }).collect();
    let of = |right: Right, access: Access| -> Vec<Origin<'a>> {
        let speaks = |origin: &&Origin<'a>| origin.entry.access == access && origin.entry.rights.contains(right);
        origins.iter().filter(speaks).copied().collect()
    };
    Right::ALL
        .into_iter()
        .map(|right| RightOrigin { right, allowed_by: of(right, Access::Allow), denied_by: of(right, Access::Deny) })
        .filter(|origin| !origin.allowed_by.is_empty() || !origin.denied_by.is_empty())
        .collect()
}

/// The entries of `connector` whose quota pays for what `principal` may do with the message that is asked about: each once,
/// in the order of the document.
pub fn quotas<'a>(
    settings: &Settings,
    question: &Question<'_>,
    connector: &'a ReceiveConnector,
    principal: &Principal,
) -> Vec<&'a AccessEntry> {
    let recipient = settings.recipient(question.forward_path);
    let facts = question.facts(&recipient);
    let held = permission::granted(connector, principal, &facts).rights;
    let places: BTreeSet<usize> =
        held.iter().filter_map(|right| permission::rests_on(connector, principal, &facts, right)).collect();
    places.into_iter().map(|place| &connector.entries[place]).collect()
}
