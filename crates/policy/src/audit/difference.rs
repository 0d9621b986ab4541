//! What a change of settings opens and closes.
//!
//! Takes two settings, hands on which addresses gain or lose which right, on which listener, before and after
//! authentication, and from when to when, as the fewest ranges. What an entry allows under a condition counts as allowed, in
//! both settings; the terms stand beside the right, and a right that is held under other terms than before is told.

use std::cell::LazyCell;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use gatepost_mail::Domain;

use super::exposure::{Row, join_families};
use super::standing::{Standing, Who, standings};
use super::terms::{Limited, Terms};
use crate::access_entry::{Principal, Rights};
use crate::address_set::{AddressSet, AscendingRanges};
use crate::receive_connector::{Claim, ReceiveConnector, Term, key, number};
use crate::settings::{Settings, User};

/// Some addresses that gain or lose rights on some listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// For whom.
    pub whom: Whom,
    /// Rights that are new. A principal that may not submit has none.
    pub gained: Rights,
    /// Rights that are gone.
    pub lost: Rights,
    /// The terms of those of them that are held, or were, under terms only. An end is no term here: `until_ms` tells it.
    pub limited: Arc<[Limited]>,
    /// Rights that were held and still are, under other terms.
    pub altered: Arc<[Altered]>,
    /// When that begins, in milliseconds since 1970 UTC; `None`: now.
    pub from_ms: Option<u64>,
    /// The instant from which on it is so no longer, since ranges or entries have expired; `None`: it stays so.
    pub until_ms: Option<u64>,
    /// Where.
    pub listeners: Vec<SocketAddr>,
    /// From where.
    pub sources: AddressSet,
}

/// Rights that are held under other terms than before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Altered {
    /// The rights.
    pub rights: Rights,
    /// Under which they were held.
    pub before: Terms,
    /// Under which they are.
    pub after: Terms,
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
    /// This trusted server, by its certificate.
    Server(Arc<str>),
    /// Whoever proves by a certificate to be this domain.
    Partner(Domain),
}

/// What changes from `old` to `new` from `now_ms` on, as long as either stays in force: without authentication first, then
/// gains before losses. Only addresses that a changed connector's ranges hold are looked at.
pub fn difference(old: &Settings, new: &Settings, now_ms: u64) -> Vec<Change> {
    changes(old, new, now_ms, &Extent::between(old, new))
}

fn changes(old: &Settings, new: &Settings, now_ms: u64, extent: &Extent) -> Vec<Change> {
    let mut comparison = Comparison { old: Side::of(old), new: Side::of(new), now_ms, known: HashMap::new() };
    let locals: BTreeSet<SocketAddr> = old.selector.bindings().into_iter().chain(new.selector.bindings()).collect();
    let mut merged: HashMap<(Delta, AddressSet), Row> = HashMap::new();
    for local in locals {
        let mut rows: HashMap<Delta, AscendingRanges> = HashMap::new();
        for (first, last) in extent.at(local, old, new) {
            let [before, after] = [old, new].map(|settings| settings.selector.claims_within(local, first, last));
            for piece in overlay(&before, &after) {
                for delta in comparison.deltas(piece.old, piece.new) {
                    rows.entry(delta.clone()).or_default().push(piece.first, piece.last);
                }
            }
        }
        for (delta, sources) in rows {
            merged.entry((delta, sources.finish(local.ip()))).or_default().listeners.push(local);
        }
    }
    let mut changes: Vec<Change> = join_families(merged)
        .into_iter()
        .map(|(Delta { whom, gained, lost, limited, altered, from_ms, until_ms }, sources, row)| Change {
            whom,
            gained,
            lost,
            limited,
            altered,
            from_ms,
            until_ms,
            listeners: row.listeners,
            sources,
        })
        .collect();
    changes.sort_by_cached_key(|change| {
        let first = change.sources.ranges().next();
        let kind = (change.gained.is_empty(), change.lost.is_empty());
        (change.whom.clone(), kind, change.listeners.clone(), first, change.from_ms)
    });
    changes
}

/// Where two settings can differ.
enum Extent {
    /// At any address.
    Everywhere,
    /// Where these connectors are bound and have ranges, by their places in the old and in the new settings.
    Connectors { old: Vec<usize>, new: Vec<usize> },
}

impl Extent {
    /// Connectors are the same by name, and in the same order: among equal ranges, which the settings reader refuses, the
    /// first connector would be selected.
    fn between(old: &Settings, new: &Settings) -> Extent {
        let is_same_user =
            |(one, other): (&Arc<User>, &Arc<User>)| (&one.name, &one.addresses) == (&other.name, &other.addresses);
        let identifies = |settings: &'_ Settings| {
            let servers = settings.trusted_servers.iter().map(|server| (server.name.clone(), server.note.clone()));
            (servers.collect::<Vec<_>>(), settings.transport.tls_receive_domain_secure_list.clone())
        };
        if identifies(old) != identifies(new) {
            return Extent::Everywhere;
        }
        if old.users.len() != new.users.len() || !old.users.iter().zip(&new.users).all(is_same_user) {
            return Extent::Everywhere;
        }
        let (before, after) = (&old.receive_connectors, &new.receive_connectors);
        let places = LazyCell::new(|| -> HashMap<&str, usize> {
            after.iter().enumerate().map(|(place, connector)| (&*connector.name, place)).collect()
        });
        let mut changed = Vec::new();
        let mut is_unchanged = vec![false; after.len()];
        let mut next = 0;
        for (place, connector) in before.iter().enumerate() {
            // Most stand where they stood.
            let is_next = after.get(next).is_some_and(|after| after.name == connector.name);
            let same = if is_next { Some(next) } else { places.get(&*connector.name).copied() };
            let same = same.filter(|place| {
                *place >= next
                    && (Arc::ptr_eq(connector, &after[*place]) || connector.exposes_the_same_as(&after[*place]))
            });
            match same {
                Some(place) => {
                    is_unchanged[place] = true;
                    next = place + 1;
                }
                None => changed.push(place),
            }
        }
        let new = (0..after.len()).filter(|place| !is_unchanged[*place]).collect();
        Extent::Connectors { old: changed, new }
    }

    /// The addresses to look at for those who come to `local`, as ascending numbers within its family.
    fn at(&self, local: SocketAddr, before: &Settings, after: &Settings) -> Vec<(u128, u128)> {
        let everywhere = vec![(0, u128::MAX)];
        let Extent::Connectors { old, new } = self else { return everywhere };
        if !before.selector.is_bound(local) || !after.selector.is_bound(local) {
            // On one side it is heard by those on the wildcard.
            return everywhere;
        }
        let old = old.iter().map(|place| &before.receive_connectors[*place]);
        let new = new.iter().map(|place| &after.receive_connectors[*place]);
        let here =
            |connector: &&Arc<ReceiveConnector>| connector.bindings.iter().any(|binding| key(binding.address) == local);
        let ranges = old.chain(new).filter(here).flat_map(|connector| &connector.remote_ip_ranges);
        let of_family = ranges.filter(|range| range.first.is_ipv4() == local.is_ipv4());
        let mut held: Vec<(u128, u128)> = of_family.map(|range| (number(range.first), number(range.last))).collect();
        held.sort_unstable();
        let mut apart: Vec<(u128, u128)> = Vec::with_capacity(held.len());
        for (first, last) in held {
            match apart.last_mut() {
                Some((_, before)) if first <= *before => *before = last.max(*before),
                _ => apart.push((first, last)),
            }
        }
        apart
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Delta {
    whom: Whom,
    gained: Rights,
    lost: Rights,
    limited: Arc<[Limited]>,
    altered: Arc<[Altered]>,
    from_ms: Option<u64>,
    until_ms: Option<u64>,
}

impl Delta {
    /// What changes for somebody from one holding to another, if anything does.
    fn between(whom: Whom, before: &Held, after: &Held, from_ms: Option<u64>) -> Option<Delta> {
        if before == after {
            return None;
        }
        let (gained, lost) = (after.rights & !before.rights, before.rights & !after.rights);
        let of = |held: &Held, rights: Rights| -> Vec<Limited> {
            let limited =
                held.limited.iter().map(|limited| Limited { rights: limited.rights & rights, ..limited.clone() });
            limited.filter(|limited| !limited.rights.is_empty()).collect()
        };
        let limited = [of(after, gained), of(before, lost)].concat();
        let mut altered: Vec<Altered> = Vec::new();
        for right in (before.rights & after.rights).iter() {
            let [before, after] = [before, after].map(|held| Limited::terms_of(&held.limited, right));
            if before == after {
                continue;
            }
            let [before, after] = [before, after].map(|terms| terms.cloned().unwrap_or_default());
            match altered.iter_mut().find(|known| (&known.before, &known.after) == (&before, &after)) {
                Some(known) => known.rights.insert(right),
                None => altered.push(Altered { rights: right.into(), before, after }),
            }
        }
        let is_same = gained.is_empty() && lost.is_empty() && altered.is_empty();
        let (limited, altered) = (limited.into(), altered.into());
        (!is_same).then_some(Delta { whom, gained, lost, limited, altered, from_ms, until_ms: None })
    }

    /// The same at another time.
    fn is_same_but_when(&self, other: &Delta) -> bool {
        (&self.whom, self.gained, self.lost, &self.limited, &self.altered)
            == (&other.whom, other.gained, other.lost, &other.limited, &other.altered)
    }
}

/// What somebody holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    rights: Rights,
    limited: Vec<Limited>,
}

impl Held {
    fn of(standing: Option<&Standing>) -> Held {
        let capability = standing.and_then(|standing| standing.capability.as_ref());
        capability.map_or_else(Held::default, |capability| Held {
            rights: capability.rights,
            limited: Limited::without_ends(&capability.limited),
        })
    }
}

/// One of the two settings.
struct Side<'a> {
    settings: &'a Settings,
    /// By the connector's place and the time; made when first asked for.
    standings: HashMap<(usize, u64), Rc<[Standing]>>,
    users: BTreeSet<&'a Arc<str>>,
}

impl<'a> Side<'a> {
    fn of(settings: &'a Settings) -> Side<'a> {
        let users = settings.users.iter().map(|user| &user.name).collect();
        Side { settings, standings: HashMap::new(), users }
    }

    /// The connectors that hold `claim` one after the other.
    fn terms(&self, claim: Option<Claim>, now_ms: u64) -> Vec<Term> {
        claim.into_iter().flat_map(|claim| self.settings.selector.terms(claim, now_ms)).collect()
    }

    /// When it may come to other rights than now.
    fn instants(&self, terms: &[Term], now_ms: u64) -> Vec<u64> {
        let entries = terms.iter().flat_map(|term| &self.settings.receive_connectors[term.owner].entries);
        let expiries = entries.filter_map(|entry| entry.note.as_ref()?.expires_ms);
        let changes = terms.iter().flat_map(|term| [term.from_ms, term.until_ms]).flatten();
        expiries.chain(changes).filter(|instant| *instant > now_ms).collect()
    }

    fn standings(&mut self, terms: &[Term], at_ms: u64) -> Rc<[Standing]> {
        let holds = |term: &&Term| {
            term.from_ms.is_none_or(|from_ms| from_ms <= at_ms) && term.until_ms.is_none_or(|until_ms| at_ms < until_ms)
        };
        let Some(place) = terms.iter().find(holds).map(|term| term.owner) else { return Rc::new([]) };
        let made = || standings(&self.settings.receive_connectors[place], self.settings, at_ms).into();
        self.standings.entry((place, at_ms)).or_insert_with(made).clone()
    }

    fn held_by(&self, standings: &[Standing], user: &Arc<str>) -> Held {
        if !self.users.contains(user) {
            return Held::default();
        }
        let principal = Principal::User(user.clone());
        Held::of(standings.iter().find(|standing| standing.who.covers(&principal)))
    }
}

/// A pair of claims is compared once, however many runs of addresses they share.
struct Comparison<'a> {
    old: Side<'a>,
    new: Side<'a>,
    now_ms: u64,
    known: HashMap<(Option<Claim>, Option<Claim>), Vec<Delta>>,
}

impl Comparison<'_> {
    fn deltas(&mut self, before: Option<Claim>, after: Option<Claim>) -> &[Delta] {
        if !self.known.contains_key(&(before, after)) {
            let deltas = self.compare(before, after);
            self.known.insert((before, after), deltas);
        }
        &self.known[&(before, after)]
    }

    /// What differs now, and whenever something expires.
    fn compare(&mut self, before: Option<Claim>, after: Option<Claim>) -> Vec<Delta> {
        let now_ms = self.now_ms;
        let (before, after) = (self.old.terms(before, now_ms), self.new.terms(after, now_ms));
        let later = [self.old.instants(&before, now_ms), self.new.instants(&after, now_ms)].concat();
        let later: BTreeSet<u64> = later.into_iter().collect();
        let mut over: Vec<Delta> = Vec::new();
        let mut open: Vec<Delta> = Vec::new();
        for from_ms in std::iter::once(None).chain(later.into_iter().map(Some)) {
            let at_ms = from_ms.unwrap_or(now_ms);
            let (before, after) = (self.old.standings(&before, at_ms), self.new.standings(&after, at_ms));
            let mut begun = self.compare_at(&before, &after, from_ms);
            for mut delta in open {
                // What goes on has begun before.
                if let Some(same) = begun.iter_mut().find(|other| other.is_same_but_when(&delta)) {
                    same.from_ms = delta.from_ms;
                } else {
                    delta.until_ms = from_ms;
                    over.push(delta);
                }
            }
            open = begun;
        }
        over.extend(open);
        over
    }

    fn compare_at(&self, before: &[Standing], after: &[Standing], from_ms: Option<u64>) -> Vec<Delta> {
        if before == after && self.old.users == self.new.users {
            return Vec::new();
        }
        let delta = |whom, before: Held, after: Held| Delta::between(whom, &before, &after, from_ms);
        let open =
            |standings: &[Standing]| Held::of(standings.iter().find(|standing| standing.who.is_unauthenticated()));
        let mut deltas = vec![delta(Whom::Unauthenticated, open(before), open(after))];
        let mut apart: BTreeSet<&Arc<str>> = self.old.users.symmetric_difference(&self.new.users).copied().collect();
        apart.extend(before.iter().chain(after).flat_map(|standing| match &standing.who {
            Who::Users(names) | Who::UsersBut(names) => &names[..],
            Who::Unauthenticated(_) | Who::Servers(_) | Who::Partners(_) => &[],
        }));
        let of = |user: &Arc<str>| (self.old.held_by(before, user), self.new.held_by(after, user));
        for user in &apart {
            let (before, after) = of(user);
            deltas.push(delta(Whom::User((*user).clone()), before, after));
        }
        // Whoever is not told apart may do the same as every other such user.
        if let Some(other) = self.old.users.iter().find(|user| !apart.contains(*user)) {
            let (before, after) = of(other);
            deltas.push(delta(Whom::OtherUsers, before, after));
        }
        deltas
            .extend(by_certificate(before, after).into_iter().map(|(whom, before, after)| delta(whom, before, after)));
        deltas.into_iter().flatten().collect()
    }
}

/// Every server and every partner of either side, with what it holds on both.
fn by_certificate(before: &[Standing], after: &[Standing]) -> Vec<(Whom, Held, Held)> {
    let mut whom: BTreeSet<Whom> = BTreeSet::new();
    for standing in before.iter().chain(after) {
        match &standing.who {
            Who::Servers(names) => whom.extend(names.iter().cloned().map(Whom::Server)),
            Who::Partners(domains) => whom.extend(domains.iter().cloned().map(Whom::Partner)),
            Who::Unauthenticated(_) | Who::Users(_) | Who::UsersBut(_) => {}
        }
    }
    let of = |standings: &[Standing], whom: &Whom| {
        Held::of(standings.iter().find(|standing| match (&standing.who, whom) {
            (Who::Servers(names), Whom::Server(name)) => names.contains(name),
            (Who::Partners(domains), Whom::Partner(domain)) => domains.contains(domain),
            _ => false,
        }))
    };
    let held = |whom: Whom| (of(before, &whom), of(after, &whom), whom);
    whom.into_iter().map(held).map(|(before, after, whom)| (whom, before, after)).collect()
}

/// A run of addresses and who claims it, if anybody does, in each of the two settings.
struct Piece {
    first: u128,
    last: u128,
    old: Option<Claim>,
    new: Option<Claim>,
}

type Run = (u128, u128, Claim);

/// Both lists of runs, cut where either is; where both have nobody, there is no piece.
fn overlay(old: &[Run], new: &[Run]) -> Vec<Piece> {
    let starts = |runs: &[Run]| -> Vec<u128> {
        runs.iter().flat_map(|(first, last, _)| [Some(*first), last.checked_add(1)]).flatten().collect()
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

/// Walks along runs; asked for ascending addresses.
struct Cursor<'a>(&'a [Run]);

impl Cursor<'_> {
    fn at(&mut self, address: u128) -> Option<Claim> {
        while self.0.first().is_some_and(|(_, last, _)| *last < address) {
            self.0 = &self.0[1..];
        }
        self.0.first().filter(|(first, ..)| *first <= address).map(|(.., claim)| *claim)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use std::net::IpAddr;

    use crate::access_entry::Right;
    use crate::permission::{granted_at_worst, initial_principal};
    use crate::settings::{Defaults, parse};

    const BINDINGS: [&str; 4] = ["0.0.0.0:25", "10.1.1.1:25", "[::]:25", "0.0.0.0:587"];
    /// Nested or apart, so that most documents are taken.
    const RANGES: [&str; 8] = [
        "0.0.0.0/0",
        "10.0.0.0/29",
        "10.0.0.0/30",
        "10.0.0.2/31",
        "10.0.0.3",
        "255.255.255.255",
        "::/0",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];
    const TRUSTEES: [&str; 4] = ["Everyone", "alice", "bob", r"NT AUTHORITY\\ANONYMOUS LOGON"];
    const RIGHTS: [Right; 3] = [Right::Submit, Right::AcceptAnyRecipient, Right::AcceptAnySender];

    fn expires(at: Option<u8>) -> String {
        at.map_or(String::new(), |second| format!("expires = 1970-01-01T00:00:0{second}Z"))
    }

    fn some<T: Clone + std::fmt::Debug + 'static>(of: &[T], most: usize) -> impl Strategy<Value = Vec<T>> + use<T> {
        prop::sample::subsequence(of.to_vec(), 1..=most)
    }

    /// A connector without its name.
    fn connector() -> impl Strategy<Value = String> {
        let expiry = || prop::option::weighted(0.3, 1..9_u8);
        let range = |(range, at): (&str, Option<u8>)| match at {
            None => format!("\"{range}\""),
            Some(_) => format!("{{ range = \"{range}\", {} }}", expires(at)),
        };
        let ranges = (some(&RANGES, 3), prop::collection::vec(expiry(), 3)).prop_map(move |(ranges, expiries)| {
            ranges.into_iter().zip(expiries).map(range).collect::<Vec<_>>().join(", ")
        });
        let entry = (prop::sample::select(&TRUSTEES), some(&RIGHTS, 2), prop::bool::weighted(0.3), expiry()).prop_map(
            |(trustee, rights, deny, at)| {
                let rights: Vec<String> = rights.iter().map(|right| format!("\"{right}\"")).collect();
                let rights = rights.join(", ");
                format!(
                    "[[receive_connector.permission]]\nuser = \"{trustee}\"\nextended_rights = [{rights}]\ndeny = {deny}\n{}\n",
                    expires(at)
                )
            },
        );
        let entries = prop::collection::vec(entry, 0..3).prop_map(|entries| entries.concat());
        let groups =
            prop::sample::select(&["\"AnonymousUsers\"", "[\"AnonymousUsers\", \"ExchangeUsers\"]", "\"None\""]);
        (some(&BINDINGS, 3), ranges, groups, entries, prop::bool::weighted(0.9)).prop_map(
            |(bindings, ranges, groups, entries, enabled)| {
                format!(
                    "bindings = {bindings:?}\nremote_ip_ranges = [{ranges}]\nauth_mechanism = [\"BasicAuth\"]\n\
                     permission_groups = {groups}\nenabled = {enabled}\n{entries}"
                )
            },
        )
    }

    /// Two documents that have most of their connectors in common.
    fn documents() -> impl Strategy<Value = [String; 2]> {
        let common = prop::collection::vec(connector(), 1..6);
        let changed = prop::collection::vec((0..6_usize, prop::option::of(connector())), 0..3);
        let users = prop::option::weighted(0.1, Just("[[user]]\nname = \"carol\"\n"));
        (common, changed, any::<bool>(), users).prop_map(|(common, changed, swapped, users)| {
            let mut named: Vec<(usize, String)> = common.into_iter().enumerate().collect();
            let old = document(&named, "");
            for (at, connector) in changed {
                let at = at.min(named.len());
                match connector {
                    Some(connector) if at < named.len() && !swapped => named[at].1 = connector,
                    Some(connector) => named.insert(at, (10 + named.len(), connector)),
                    None if at < named.len() => drop(named.remove(at)),
                    None => named.reverse(),
                }
            }
            [old, document(&named, users.unwrap_or_default())]
        })
    }

    fn document(named: &[(usize, String)], more: &str) -> String {
        let connectors =
            named.iter().map(|(name, connector)| format!("[[receive_connector]]\nname = \"{name}\"\n{connector}"));
        format!("[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n{more}{}", connectors.collect::<String>())
    }

    /// What counts as held: nothing without the right to submit.
    fn held(settings: &Settings, local: SocketAddr, peer: IpAddr, user: Option<&str>, at_ms: u64) -> Rights {
        let Some(connector) = settings.select(local, peer, at_ms) else { return Rights::NONE };
        let principal = match user {
            None => initial_principal(connector),
            Some(user) => match settings.find_user(user) {
                Some(user) => Principal::User(user.name.clone()),
                None => return Rights::NONE,
            },
        };
        let rights = granted_at_worst(connector, &principal, at_ms);
        if rights.contains(Right::Submit) { rights } else { Rights::NONE }
    }

    const PEERS: [&str; 8] = [
        "0.0.0.0",
        "10.0.0.0",
        "10.0.0.2",
        "10.0.0.3",
        "10.0.0.4",
        "255.255.255.255",
        "::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::with_cases(300) })]
        #[test]
        fn a_difference_tells_at_every_instant_what_is_held_then(documents in documents(), now_ms in 0..9_500_u64) {
            let defaults = Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() };
            let [Ok(old), Ok(new)] = documents.map(|text| parse(&text, &defaults)) else {
                return Err(TestCaseError::reject("refused"));
            };
            let changes = difference(&old, &new, now_ms);
            let bound: BTreeSet<SocketAddr> = old.selector.bindings().into_iter().chain(new.selector.bindings()).collect();
            let expiries = (1..9_u64).flat_map(|second| [second * 1_000 - 1, second * 1_000]);
            let instants: Vec<u64> = expiries.filter(|at_ms| *at_ms > now_ms).chain([now_ms, 10_000]).collect();
            let whoever = [None, Some("alice"), Some("bob"), Some("carol")];
            let peers = || PEERS.map(|peer| peer.parse::<IpAddr>().expect("an address")).into_iter();
            let pairs = bound.iter().flat_map(|local| peers().map(move |peer| (*local, peer)));
            for (local, peer) in pairs.filter(|(local, peer)| local.is_ipv4() == peer.is_ipv4()) {
                let there = |change: &&Change| change.listeners.contains(&local) && change.sources.contains(peer);
                let there: Vec<&Change> = changes.iter().filter(there).collect();
                for (at_ms, user) in instants.iter().flat_map(|at_ms| whoever.map(|user| (*at_ms, user))) {
                    let (before, after) = (held(&old, local, peer, user, at_ms), held(&new, local, peer, user, at_ms));
                    let told: Vec<&&Change> = there.iter().filter(|change| {
                        change.from_ms.is_none_or(|from_ms| from_ms <= at_ms)
                            && change.until_ms.is_none_or(|until_ms| at_ms < until_ms)
                    }).collect();
                    let own = told.iter().find(|change| match (&change.whom, user) {
                        (Whom::Unauthenticated, None) => true,
                        (Whom::User(name), Some(user)) => **name == *user,
                        _ => false,
                    });
                    let is_common = user.is_some_and(|user| old.find_user(user).is_some() && new.find_user(user).is_some());
                    let as_others = || told.iter().find(|change| change.whom == Whom::OtherUsers && is_common && before != after);
                    let said = own.or_else(as_others).map_or((Rights::NONE, Rights::NONE), |change| (change.gained, change.lost));
                    prop_assert_eq!(said, (after & !before, before & !after), "{:?} from {} to {} at {}", user, peer, local, at_ms);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::with_cases(2_000) })]
        #[test]
        fn looking_at_changed_connectors_alone_misses_nothing(documents in documents(), now_ms in 0..9_500_u64) {
            let defaults = Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() };
            let [Ok(old), Ok(new)] = documents.map(|text| parse(&text, &defaults)) else {
                return Err(TestCaseError::reject("refused"));
            };
            prop_assert_eq!(difference(&old, &new, now_ms), changes(&old, &new, now_ms, &Extent::Everywhere));
        }
    }
}
