//! What a change of settings opens and closes.
//!
//! Takes two settings, hands on which addresses gain or lose which right, on which listener, before and after
//! authentication, as the fewest ranges.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use super::exposure::{Row, join_families};
use super::standing::{Standing, Who, standings};
use crate::access_entry::{Principal, Rights};
use crate::address_set::{AddressSet, AscendingRanges};
use crate::receive_connector::Segment;
use crate::settings::Settings;

/// Some addresses that gain or lose rights on some listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// For whom.
    pub whom: Whom,
    /// Rights that are new. A principal that may not submit has none.
    pub gained: Rights,
    /// Rights that are gone.
    pub lost: Rights,
    /// Where.
    pub listeners: Vec<SocketAddr>,
    /// From where.
    pub sources: AddressSet,
}

/// For whom rights change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// Whoever does not authenticate, anonymous or externally secured.
    Unauthenticated,
    /// This user.
    User(Arc<str>),
    /// Every user who is in both settings and is not told apart.
    OtherUsers,
}

/// What changes at `now_ms` from `old` to `new`: without authentication first, then gains before losses.
pub fn difference(old: &Settings, new: &Settings, now_ms: u64) -> Vec<Change> {
    let (sides, known) = ((Side::of(old, now_ms), Side::of(new, now_ms)), HashMap::new());
    let same_users = sides.0.users == sides.1.users;
    let mut comparison = Comparison { old: sides.0, new: sides.1, same_users, known };
    let locals: BTreeSet<SocketAddr> = old.selector.bindings().into_iter().chain(new.selector.bindings()).collect();
    let mut merged: HashMap<(Delta, AddressSet), Row> = HashMap::new();
    for local in locals {
        let mut rows: HashMap<Delta, AscendingRanges> = HashMap::new();
        for piece in overlay(&old.selector.segments(local, now_ms), &new.selector.segments(local, now_ms)) {
            for delta in comparison.deltas(piece.old, piece.new) {
                rows.entry(delta.clone()).or_default().push(piece.first, piece.last);
            }
        }
        for (delta, sources) in rows {
            merged.entry((delta, sources.finish(local.ip()))).or_default().listeners.push(local);
        }
    }
    let mut changes: Vec<Change> = join_families(merged)
        .into_iter()
        .map(|(Delta { whom, gained, lost }, sources, row)| Change {
            whom,
            gained,
            lost,
            listeners: row.listeners,
            sources,
        })
        .collect();
    changes.sort_by_cached_key(|change| {
        (change.whom.clone(), change.gained.is_empty(), change.listeners.clone(), change.sources.ranges().next())
    });
    changes
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Delta {
    whom: Whom,
    gained: Rights,
    lost: Rights,
}

/// One of the two settings.
struct Side<'a> {
    settings: &'a Settings,
    now_ms: u64,
    /// By the connector's place; made when first asked for.
    standings: HashMap<usize, Vec<Standing>>,
    users: BTreeSet<&'a Arc<str>>,
}

impl<'a> Side<'a> {
    fn of(settings: &'a Settings, now_ms: u64) -> Side<'a> {
        let users = settings.users.iter().map(|user| &user.name).collect();
        Side { settings, now_ms, standings: HashMap::new(), users }
    }

    fn standings(&mut self, connector: Option<usize>) -> &[Standing] {
        let Some(place) = connector else { return &[] };
        let made = || standings(&self.settings.receive_connectors[place], self.settings, self.now_ms);
        self.standings.entry(place).or_insert_with(made)
    }

    fn rights_of(&self, standings: &[Standing], user: &Arc<str>) -> Rights {
        if !self.users.contains(user) {
            return Rights::NONE;
        }
        let principal = Principal::User(user.clone());
        rights(standings.iter().find(|standing| standing.who.covers(&principal)))
    }
}

fn rights(standing: Option<&Standing>) -> Rights {
    standing.and_then(|standing| standing.capability.as_ref()).map_or(Rights::NONE, |capability| capability.rights)
}

/// A pair of connectors is compared once, however many segments they share.
struct Comparison<'a> {
    old: Side<'a>,
    new: Side<'a>,
    same_users: bool,
    known: HashMap<(Option<usize>, Option<usize>), Vec<Delta>>,
}

impl Comparison<'_> {
    fn deltas(&mut self, before: Option<usize>, after: Option<usize>) -> &[Delta] {
        if !self.known.contains_key(&(before, after)) {
            let deltas = self.compare(before, after);
            self.known.insert((before, after), deltas);
        }
        &self.known[&(before, after)]
    }

    fn compare(&mut self, before: Option<usize>, after: Option<usize>) -> Vec<Delta> {
        let (before, after) = (self.old.standings(before), self.new.standings(after));
        if before == after && self.same_users {
            return Vec::new();
        }
        let (before, after) = (before.to_vec(), after.to_vec());
        let open = |standings: &[Standing]| rights(standings.iter().find(|standing| standing.who.is_unauthenticated()));
        let mut deltas = vec![delta(Whom::Unauthenticated, open(&before), open(&after))];
        let mut apart: BTreeSet<&Arc<str>> = self.old.users.symmetric_difference(&self.new.users).copied().collect();
        apart.extend(before.iter().chain(&after).flat_map(|standing| match &standing.who {
            Who::Users(names) | Who::UsersBut(names) => &names[..],
            Who::Unauthenticated(_) => &[],
        }));
        let of = |user: &Arc<str>| (self.old.rights_of(&before, user), self.new.rights_of(&after, user));
        for user in &apart {
            let (before, after) = of(user);
            deltas.push(delta(Whom::User((*user).clone()), before, after));
        }
        // Whoever is not told apart may do the same as every other such user.
        if let Some(other) = self.old.users.iter().find(|user| !apart.contains(*user)) {
            let (before, after) = of(other);
            deltas.push(delta(Whom::OtherUsers, before, after));
        }
        deltas.into_iter().flatten().collect()
    }
}

fn delta(whom: Whom, before: Rights, after: Rights) -> Option<Delta> {
    (before != after).then_some(Delta { whom, gained: after & !before, lost: before & !after })
}

/// A run of addresses with one connector, or none, in each of the two settings.
struct Piece {
    first: u128,
    last: u128,
    old: Option<usize>,
    new: Option<usize>,
}

/// Both lists of segments, cut where either is; where both have nobody, there is no piece.
fn overlay(old: &[Segment], new: &[Segment]) -> Vec<Piece> {
    let starts = |segments: &[Segment]| -> Vec<u128> {
        segments.iter().flat_map(|segment| [Some(segment.first), segment.last.checked_add(1)]).flatten().collect()
    };
    let mut cuts = [starts(old), starts(new)].concat();
    // Two sorted runs, which this sort merges.
    cuts.sort();
    cuts.dedup();
    let (mut old, mut new) = (Cursor(old), Cursor(new));
    let ends = cuts.iter().skip(1).map(|next| next - 1).chain([u128::MAX]);
    let pieces = cuts.iter().zip(ends).map(|(first, last)| Piece {
        first: *first,
        last,
        old: old.at(*first),
        new: new.at(*first),
    });
    pieces.filter(|piece| piece.old.is_some() || piece.new.is_some()).collect()
}

/// Walks along segments; asked for ascending addresses.
struct Cursor<'a>(&'a [Segment]);

impl Cursor<'_> {
    fn at(&mut self, address: u128) -> Option<usize> {
        while self.0.first().is_some_and(|segment| segment.last < address) {
            self.0 = &self.0[1..];
        }
        self.0.first().filter(|segment| segment.first <= address).map(|segment| segment.connector)
    }
}
