//! What the tables of a document say about each other: names given twice, domains that nobody declared, connectors
//! whose ranges collide (fact sheet sections 1.7 and 4.1).
//!
//! Every check is n log n at worst: documents of 100,000 ranges are read on every reload.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::User;
use super::reader::Collector;
use crate::accepted_domain::{AcceptedDomain, AcceptedDomains, DomainKind};
use crate::access_entry::Right;
use crate::permission;
use crate::receive_connector::{ReceiveConnector, RemoteRange, wildcard_of};
use crate::send_connector::{AddressSpaces, SendConnector};

/// Notes each of `named` whose key was there before.
pub(super) fn unique(collector: &mut Collector<'_>, noun: &str, named: impl Iterator<Item = (String, Range<usize>)>) {
    let (expected, _) = named.size_hint();
    let mut seen: HashMap<String, Range<usize>, RandomState> =
        HashMap::with_capacity_and_hasher(expected, RandomState::default());
    // An empty key is one that could not be read, which is noted already.
    for (key, span) in named.filter(|(key, _)| !key.is_empty()) {
        match seen.get(&key) {
            Some(first) => {
                let message = format!("there are two {noun} `{key}`");
                collector.error_between(
                    span,
                    message,
                    "remove or rename one of them",
                    (first.clone(), "the first is here"),
                );
            }
            None => {
                seen.insert(key, span);
            }
        }
    }
}

pub(super) fn accepted_domains(collector: &mut Collector<'_>, accepted: &[AcceptedDomain]) {
    unique(
        collector,
        "accepted domains",
        accepted.iter().map(|accepted| (accepted.to_string(), accepted.span.clone())),
    );
    let mut defaults = accepted.iter().filter(|accepted| accepted.is_default);
    if let Some(first) = defaults.next() {
        for other in defaults {
            collector.error_between(
                other.span.clone(),
                format!("{other} cannot be the default domain, too"),
                "write default = true in one [[accepted_domain]] only",
                (first.span.clone(), "the first is here"),
            );
        }
    }
}

/// `domains` is `None` where not all of them could be read.
pub(super) fn users(collector: &mut Collector<'_>, users: &[Arc<User>], domains: Option<&AcceptedDomains>) {
    unique(collector, "users", users.iter().map(|user| (user.name.to_lowercase(), user.span.clone())));
    let Some(domains) = domains else { return };
    for user in users {
        for address in user.addresses.iter().filter(|address| domains.find(address.domain()).is_none()) {
            collector.warning(
                user.span.clone(),
                format!("{} may send as {address}, but {} is no accepted domain", user.name, address.domain()),
                "answers will not come here; correct the address, or declare the domain in [[accepted_domain]]",
            );
        }
    }
}

pub(super) fn send_connectors(collector: &mut Collector<'_>, connectors: &[Arc<SendConnector>]) {
    let named = connectors.iter().map(|connector| (connector.name.to_lowercase(), connector.span.clone()));
    unique(collector, "send connectors", named);
}

/// Domains that are passed on need a way out.
pub(super) fn relay_domains(collector: &mut Collector<'_>, accepted: &[AcceptedDomain], ways: &AddressSpaces) {
    for accepted in accepted.iter().filter(|accepted| accepted.kind != DomainKind::Authoritative) {
        if !ways.covers(&accepted.domain) {
            collector.warning(
                accepted.span.clone(),
                format!("no send connector leads to {accepted}, so its mail waits until it expires"),
                format!("declare [[send_connector]] with address_spaces = [\"SMTP:{accepted};1\"]"),
            );
        }
    }
}

/// A gate to other domains needs a way out. Users who may relay count only as a possibility: the settings of a first
/// start have them, and no way out yet.
pub(super) fn way_out(collector: &mut Collector<'_>, receive: &[Arc<ReceiveConnector>], send: &[Arc<SendConnector>]) {
    if collector.has_errors() || send.iter().any(|connector| connector.enabled) {
        return;
    }
    let relays = |connector: &&Arc<ReceiveConnector>| {
        let principal = permission::initial_principal(connector);
        connector.enabled && permission::granted_at_worst(connector, &principal, 0).contains(Right::AcceptAnyRecipient)
    };
    for connector in receive.iter().filter(relays) {
        collector.warning(
            connector.span.clone(),
            format!(
                "{} takes mail for other domains, and no send connector leads there: it waits until it expires",
                connector.name
            ),
            "declare [[send_connector]] with address_spaces = [\"SMTP:*;1\"]",
        );
    }
}

pub(super) fn receive_connectors(collector: &mut Collector<'_>, connectors: &[Arc<ReceiveConnector>]) {
    let named = connectors.iter().map(|connector| (connector.name.to_lowercase(), connector.span.clone()));
    unique(collector, "receive connectors", named);
    implicit_tls(collector, connectors);
    collisions(collector, connectors);
}

fn enabled(connectors: &[Arc<ReceiveConnector>]) -> impl Iterator<Item = &Arc<ReceiveConnector>> + Clone {
    connectors.iter().filter(|connector| connector.enabled)
}

/// One socket speaks TLS from the first byte or it does not, for all connectors that share it.
fn implicit_tls(collector: &mut Collector<'_>, connectors: &[Arc<ReceiveConnector>]) {
    let mut sockets: HashMap<SocketAddr, (bool, Range<usize>)> = HashMap::new();
    let bindings =
        enabled(connectors).flat_map(|connector| connector.bindings.iter().map(move |binding| (connector, binding)));
    for (connector, binding) in bindings.clone() {
        sockets.entry(binding.address).or_insert((connector.implicit_tls, binding.span.clone()));
    }
    for (connector, binding) in bindings {
        let wildcard = SocketAddr::new(wildcard_of(binding.address.ip()), binding.address.port());
        let sharing = [wildcard, binding.address].into_iter().find_map(|address| sockets.get(&address));
        let Some((_, first)) = sharing.filter(|(implicit_tls, _)| *implicit_tls != connector.implicit_tls) else {
            continue;
        };
        collector.error_between(
            binding.span.clone(),
            "`implicit_tls` differs between connectors that share this port",
            "give both the same implicit_tls, or another port",
            (first.clone(), "the other connector listens here"),
        );
    }
}

/// Where something else than a receive connector listens.
pub(super) struct Door {
    /// The table that says so, as `[metrics]`.
    pub place: &'static str,
    pub address: SocketAddr,
    pub span: Range<usize>,
}

/// One port, one purpose.
pub(super) fn doors(collector: &mut Collector<'_>, doors: &[Door], connectors: &[Arc<ReceiveConnector>]) {
    // The system binds an address beside the wildcard of its port no more than it does twice.
    let is_one = |a: SocketAddr, b: SocketAddr| {
        let covers = |a: IpAddr, b: IpAddr| a == b || (a.is_unspecified() && a.is_ipv4() == b.is_ipv4());
        a.port() == b.port() && (covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
    };
    for (number, door) in doors.iter().enumerate() {
        let Door { place, address, span } = door;
        let bindings = || enabled(connectors).flat_map(|it| it.bindings.iter().map(move |binding| (it, binding)));
        let taken = bindings().find(|(_, binding)| is_one(binding.address, *address));
        let (whose, related) = match taken {
            Some((connector, binding)) => {
                (format!("of the receive connector {}", connector.name), binding.span.clone())
            }
            None => match doors[..number].iter().find(|earlier| is_one(earlier.address, *address)) {
                Some(earlier) if earlier.place != *place => (format!("of {}", earlier.place), earlier.span.clone()),
                _ => continue,
            },
        };
        collector.error_between(
            span.clone(),
            format!("`listen`: {address} in {place} is a port {whose}"),
            "write a port that nothing else has",
            (related, "that listens here"),
        );
    }
}

struct Owned<'a> {
    first: IpAddr,
    last: IpAddr,
    owner: usize,
    range: &'a RemoteRange,
}

/// Between two connectors on one binding, ranges are apart or one holds the other (fact sheet section 1.7).
fn collisions(collector: &mut Collector<'_>, connectors: &[Arc<ReceiveConnector>]) {
    let mut bindings: HashMap<(SocketAddr, bool), Vec<Owned<'_>>> = HashMap::new();
    for (owner, connector) in connectors.iter().enumerate().filter(|(_, connector)| connector.enabled) {
        for binding in &connector.bindings {
            for range in &connector.remote_ip_ranges {
                let owned = Owned { first: range.first, last: range.last, owner, range };
                bindings.entry((binding.address, range.first.is_ipv4())).or_default().push(owned);
            }
        }
    }
    // Connectors that share several bindings collide on each; it is one problem.
    let mut noted: HashSet<(usize, usize)> = HashSet::new();
    let mut bindings: Vec<_> = bindings.into_iter().collect();
    bindings.sort_by_key(|(key, _)| *key);
    for ((binding, _), mut ranges) in bindings {
        for Collision { one, other, identical } in find_collisions(&mut ranges) {
            let in_order = one.range.span.start < other.range.span.start;
            let (earlier, later) = if in_order { (one, other) } else { (other, one) };
            if !noted.insert((later.range.span.start, earlier.range.span.start)) {
                continue;
            }
            let (earlier_name, later_name) = (&connectors[earlier.owner].name, &connectors[later.owner].name);
            let relation = if identical { "is also that of" } else { "partly overlaps one of" };
            collector.error_between(
                later.range.span.clone(),
                format!(
                    "the values of bindings and remote_ip_ranges conflict with the settings on receive connector \
                     \"{earlier_name}\": on {binding}, {} of \"{later_name}\" {relation} \"{earlier_name}\"",
                    later.range
                ),
                "give each connector its own addresses, let one range hold the other entirely, or use another binding",
                (earlier.range.span.clone(), "the other range is here"),
            );
        }
    }
}

/// Two ranges of different owners that are neither apart nor nested.
struct Collision<'r, 'd> {
    one: &'r Owned<'d>,
    other: &'r Owned<'d>,
    identical: bool,
}

/// Pairs of colliding ranges of different owners: at least one pair for each range that collides with an earlier one.
fn find_collisions<'r, 'd>(ranges: &'r mut [Owned<'d>]) -> Vec<Collision<'r, 'd>> {
    // Containers come before what they contain.
    ranges.sort_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)).then(a.owner.cmp(&b.owner)));
    let ranges = &*ranges;
    if are_nested(ranges) {
        return Vec::new();
    }
    let mut by_last: Vec<usize> = (0..ranges.len()).collect();
    by_last.sort_by_key(|place| (ranges[*place].last, *place));
    let mut rank = vec![0; ranges.len()];
    for (position, place) in by_last.iter().enumerate() {
        rank[*place] = position;
    }
    let mut open = TwoOwners::new(ranges.len());
    let mut collisions = Vec::new();
    let mut leader = 0;
    for (place, range) in ranges.iter().enumerate() {
        let same = |other: &Owned<'_>| (other.first, other.last) == (range.first, range.last);
        if !same(&ranges[leader]) {
            leader = place;
        }
        if ranges[leader].owner != range.owner {
            collisions.push(Collision { one: &ranges[leader], other: range, identical: true });
        }
        // Those seen before that end inside this one began before it: they overlap it in part.
        let from = by_last.partition_point(|other| ranges[*other].last < range.first);
        let to = by_last.partition_point(|other| ranges[*other].last < range.last);
        if let Some(other) = open.find_other(from..to, range.owner, ranges) {
            collisions.push(Collision { one: &ranges[other], other: range, identical: false });
        }
        open.insert(rank[place], place, ranges);
    }
    collisions
}

/// Whether every two of these sorted ranges are apart or one of them holds the other entirely: then nothing collides, as in
/// nearly all settings, and there is no need to look further.
fn are_nested(ranges: &[Owned<'_>]) -> bool {
    // The ranges that hold the place that was come to, the narrowest last.
    let mut around: Vec<&Owned<'_>> = Vec::new();
    ranges.iter().all(|range| {
        while around.last().is_some_and(|outer| outer.last < range.first) {
            around.pop();
        }
        let fits = around.last().is_none_or(|outer| {
            let is_same = (outer.first, outer.last) == (range.first, range.last);
            range.last <= outer.last && (!is_same || outer.owner == range.owner)
        });
        around.push(range);
        fits
    })
}

/// A segment tree over ranges in the order of their ends; each node names up to two ranges of different owners, which is
/// enough to find one that is not mine.
struct TwoOwners {
    leaves: usize,
    nodes: Vec<[Option<usize>; 2]>,
}

impl TwoOwners {
    fn new(ranges: usize) -> TwoOwners {
        let leaves = ranges.next_power_of_two();
        TwoOwners { leaves, nodes: vec![[None; 2]; leaves * 2] }
    }

    fn insert(&mut self, position: usize, place: usize, ranges: &[Owned<'_>]) {
        let mut node = self.leaves + position;
        while node > 0 {
            let [one, other] = &mut self.nodes[node];
            match one {
                None => *one = Some(place),
                Some(known) if other.is_none() && ranges[*known].owner != ranges[place].owner => *other = Some(place),
                // Further up both are known too.
                Some(_) if other.is_some() => return,
                Some(_) => {}
            }
            node /= 2;
        }
    }

    fn find_other(&self, positions: Range<usize>, owner: usize, ranges: &[Owned<'_>]) -> Option<usize> {
        let other_in = |node: usize| self.nodes[node].into_iter().flatten().find(|place| ranges[*place].owner != owner);
        let (mut from, mut to) = (positions.start + self.leaves, positions.end + self.leaves);
        while from < to {
            if from % 2 == 1 {
                if let Some(place) = other_in(from) {
                    return Some(place);
                }
                from += 1;
            }
            if to % 2 == 1 {
                to -= 1;
                if let Some(place) = other_in(to) {
                    return Some(place);
                }
            }
            from /= 2;
            to /= 2;
        }
        None
    }
}
