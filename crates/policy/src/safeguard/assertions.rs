//! Whether every `[[assert]]` holds, for every address, on every listener, at every time from now on.
//!
//! What is denied must not be possible at the worst; what is allowed must be possible for sure. The first counter-example
//! is told.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::access_entry::{Access, AccessEntry, Principal, Right, Rights, Source};
use crate::address_set::AddressSet;
use crate::assertion::{Assertion, Power, Subject};
use crate::audit::{Survey, addresses, authentication_is_possible, entry_granting, is_internal, principals};
use crate::note::instant;
use crate::peer_certificate;
use crate::permission::{granted_at_worst, granted_for_sure, initial_principal, may_authenticate, may_submit};
use crate::public_address::public;
use crate::receive_connector::{ReceiveConnector, RemoteRange, TimedSegment};
use crate::relay::{Reach, reach};
use crate::sender::{Scope, scope};
use crate::settings::{Collector, Settings};

pub(super) fn check(settings: &Settings, survey: &Survey, collector: &mut Collector<'_>) {
    for assertion in &settings.assertions {
        let trial = Trial { settings, survey, assertion };
        trial.unheard_listeners(collector);
        let found = match assertion.access {
            Access::Deny => trial.possible(),
            Access::Allow => trial.unheard().or_else(|| trial.impossible()),
        };
        if let Some(broken) = found {
            trial.tell(&broken, collector);
        }
    }
}

struct Trial<'a> {
    settings: &'a Settings,
    survey: &'a Survey,
    assertion: &'a Assertion,
}

/// A counter-example.
struct Broken {
    peer: IpAddr,
    local: SocketAddr,
    /// When it begins to be one; none where it is one now.
    from_ms: Option<u64>,
    /// By which connector, by its place, and what is wrong there; none where nobody hears the peer.
    heard: Option<(usize, Case)>,
}

/// What is wrong on a connector.
#[derive(Clone)]
enum Case {
    /// This principal is able, or not able, to do this.
    Of(Principal, Power),
    /// Nobody of whom the assertion speaks can stand there.
    Nobody,
}

impl Trial<'_> {
    /// The bindings that the assertion is about, with what is selected there.
    fn bindings(&self) -> impl Iterator<Item = &(SocketAddr, Vec<TimedSegment>)> {
        let named = &self.assertion.listeners;
        self.survey
            .bindings
            .iter()
            .filter(move |(local, _)| named.is_empty() || named.iter().any(|on| holds(*on, *local)))
    }

    /// A listener that nothing is bound to: to deny something there is idle, to allow something vain.
    fn unheard_listeners(&self, collector: &mut Collector<'_>) {
        for on in &self.assertion.listeners {
            if self.survey.bindings.iter().any(|(local, _)| holds(*on, *local)) {
                continue;
            }
            let span = self.assertion.span.clone();
            let message = format!("the assertion{} is about {on}, and nothing is bound there", self.title());
            let remedy = "write an address and port of `bindings`, or leave `on` out";
            match self.assertion.access {
                Access::Deny => collector.warning(span, message, remedy),
                Access::Allow => collector.error(span, message, remedy),
            }
        }
    }

    /// Where what is denied is possible.
    fn possible(&self) -> Option<Broken> {
        self.search(|connector| {
            self.subjects(connector).into_iter().find_map(|principal| {
                let rights = granted_at_worst(connector, &principal, self.survey.now_ms);
                let power = self.assertion.powers.iter().find(|power| grants(**power, rights, &principal))?;
                Some(Case::Of(principal, *power))
            })
        })
    }

    /// Where what is allowed is not sure to be possible for somebody who is heard.
    fn impossible(&self) -> Option<Broken> {
        self.search(|connector| {
            let subjects = self.subjects(connector);
            if self.lacks_subjects(connector) {
                return Some(Case::Nobody);
            }
            subjects.into_iter().find_map(|principal| {
                let rights = granted_for_sure(connector, &principal, self.survey.now_ms);
                let power = self.assertion.powers.iter().find(|power| !grants(**power, rights, &principal))?;
                Some(Case::Of(principal, *power))
            })
        })
    }

    /// Where nobody hears a peer that something is allowed to.
    fn unheard(&self) -> Option<Broken> {
        self.bindings().find_map(|(local, segments)| {
            let runs = segments.chunk_by(|one, next| one.segment.first == next.segment.first);
            // Within a run of addresses, terms follow one another: a gap can only be before the first or behind the last.
            let always = runs.filter(|terms| {
                terms.first().is_some_and(|term| term.from_ms.is_none())
                    && terms.last().is_some_and(|term| term.until_ms.is_none())
            });
            let heard = AddressSet::of(always.map(|terms| addresses(*local, &terms[0].segment)));
            let family: (IpAddr, IpAddr) = match local {
                SocketAddr::V4(_) => ([0; 4].into(), [u8::MAX; 4].into()),
                SocketAddr::V6(_) => ([0; 16].into(), [u8::MAX; 16].into()),
            };
            let unheard =
                self.assertion.sources.intersection(&AddressSet::of([family])).intersection(&heard.complement());
            Some(Broken { peer: example(&unheard)?, local: *local, from_ms: None, heard: None })
        })
    }

    /// The first peer whose connector is a case. Each connector is asked once.
    fn search(&self, case: impl Fn(&ReceiveConnector) -> Option<Case>) -> Option<Broken> {
        let mut known: HashMap<usize, Option<Case>> = HashMap::new();
        for (local, segments) in self.bindings() {
            for TimedSegment { segment, from_ms, .. } in segments {
                let (first, last) = addresses(*local, segment);
                if !self.assertion.sources.overlaps(first, last) {
                    continue;
                }
                let place = segment.connector;
                let asked = || case(&self.settings.receive_connectors[place]);
                let Some(case) = known.entry(place).or_insert_with(asked) else { continue };
                let peers = AddressSet::of([(first, last)]).intersection(&self.assertion.sources);
                let Some(peer) = example(&peers) else { continue };
                return Some(Broken { peer, local: *local, from_ms: *from_ms, heard: Some((place, case.clone())) });
            }
        }
        None
    }

    /// Those of whom the assertion speaks who can stand before the connector, or ought to.
    fn subjects(&self, connector: &ReceiveConnector) -> Vec<Principal> {
        let initial = initial_principal(connector);
        let user = |name: &std::sync::Arc<str>| Principal::User(name.clone());
        match &self.assertion.who {
            Subject::Unauthenticated => vec![initial],
            Subject::Anonymous => {
                Some(initial).filter(|principal| *principal == Principal::Anonymous).into_iter().collect()
            }
            Subject::ExternallySecured => {
                Some(initial).filter(|principal| *principal == Principal::ExternallySecured).into_iter().collect()
            }
            Subject::EveryServer | Subject::EveryPartner => {
                let is_meant = |principal: &Principal| match principal {
                    Principal::Server(_) => self.assertion.who == Subject::EveryServer,
                    Principal::Partner(_) => self.assertion.who == Subject::EveryPartner,
                    _ => false,
                };
                peer_certificate::principals(connector, self.settings, self.survey.now_ms)
                    .into_iter()
                    .filter(is_meant)
                    .collect()
            }
            _ if !authentication_is_possible(connector) => Vec::new(),
            Subject::EveryUser => {
                let is_user = |principal: &Principal| matches!(principal, Principal::User(_));
                principals(connector, self.settings, self.survey.now_ms).into_iter().filter(is_user).collect()
            }
            Subject::Users { members, .. } => members.iter().map(user).collect(),
        }
    }

    /// Whether there is somebody of whom the assertion speaks, but not before this connector.
    fn lacks_subjects(&self, connector: &ReceiveConnector) -> bool {
        let has_none = self.subjects(connector).is_empty();
        has_none
            && match &self.assertion.who {
                Subject::EveryUser => !self.settings.users.is_empty(),
                Subject::Users { members, .. } => !members.is_empty(),
                Subject::EveryServer => !self.settings.trusted_servers.is_empty(),
                Subject::EveryPartner => !self.settings.transport.tls_receive_domain_secure_list.is_empty(),
                _ => true,
            }
    }

    /// The entry on which it hangs whether `principal` has what is allowed, and in words why that is not sure: one that
    /// takes a right away, else one that gives it but not always, or no longer.
    fn unsure_entry<'c>(
        &self,
        connector: &'c ReceiveConnector,
        power: Power,
        principal: &Principal,
    ) -> Option<(&'c AccessEntry, String)> {
        let now_ms = self.survey.now_ms;
        let sure = granted_for_sure(connector, principal, now_ms);
        let needed = needed_rights(power, principal).into_iter().flatten();
        needed.filter(|right| !sure.contains(*right)).find_map(|right| {
            let speaks_of = |entry: &&AccessEntry| entry.rights.contains(right) && entry.trustee.covers(principal);
            let entries = || connector.entries.iter().filter(speaks_of);
            if let Some(entry) = entries().find(|entry| entry.access == Access::Deny && !entry.is_expired(now_ms)) {
                return Some((entry, format!("denies {right}{}", hanging_on(entry))));
            }
            // One that still counts at times says more than one that is over.
            let gives = |is_expired| {
                let mut giving = entries().filter(|entry| entry.access == Access::Allow);
                giving.find(|entry| entry.is_expired(now_ms) == is_expired && !hanging_on(entry).is_empty())
            };
            if let Some(entry) = gives(false) {
                return Some((entry, format!("gives {right} only{}", hanging_on(entry))));
            }
            let entry = gives(true)?;
            let expired_ms = entry.note.as_ref()?.expires_ms?;
            Some((entry, format!("no longer gives {right}: it expired on {}", instant(expired_ms))))
        })
    }

    fn title(&self) -> String {
        self.assertion.comment.as_ref().map_or(String::new(), |comment| format!(" \"{comment}\""))
    }

    fn tell(&self, broken: &Broken, collector: &mut Collector<'_>) {
        let Broken { peer, local, .. } = broken;
        let title = self.title();
        let span = self.assertion.span.clone();
        let start = format!("the assertion{title} is broken: on {local}, {peer}");
        let Some((place, case)) = &broken.heard else {
            let message = format!("{start} is not heard by any receive connector");
            collector.error(span, message, "give a receive connector a range that holds it, or change the assertion");
            return;
        };
        let connector = &*self.settings.receive_connectors[*place];
        let range = hearing_range(connector, *peer, broken.from_ms.unwrap_or(self.survey.now_ms));
        let by = match range {
            Some(range) => {
                format!("{} hears it by {range} (line {})", connector.name, collector.line(range.span.start))
            }
            None => format!("{} hears it", connector.name),
        };
        let Case::Of(principal, power) = case else {
            let message = format!("{start} can never be {}; {by}", self.assertion.who);
            let remedy = "change auth_mechanism of the connector, or the assertion";
            collector.error_between(span, message, remedy, (connector.span.clone(), "the connector is here"));
            return;
        };
        let whom = match principal {
            Principal::Anonymous => "without logging on".to_owned(),
            Principal::ExternallySecured => "as externally secured".to_owned(),
            Principal::User(name) => format!("as user {name}"),
            other => format!("as {other}"),
        };
        let what = in_words(*power);
        if self.assertion.access == Access::Allow {
            let message = format!("{start} is not sure to be able to {what} {whom}; {by}");
            let remedy =
                "grant what is missing on that connector, without condition or expiry, or change the assertion";
            let Some((entry, why)) = self.unsure_entry(connector, *power, principal) else {
                let related = (connector.span.clone(), "the connector is here");
                return collector.error_between(span, message, remedy, related);
            };
            let line = collector.line(entry.span.start);
            let message = format!("{message}, and {} (line {line}) {why}", giver(entry));
            collector.error_between(span, message, remedy, (entry.span.clone(), "this is why it is not sure"));
            return;
        }
        let remedy = "close what is named, or change the assertion";
        let entry =
            right_behind(*power).and_then(|right| entry_granting(connector, right, principal, self.survey.now_ms));
        match (entry, range) {
            (Some(entry), _) => {
                let giver = giver(entry);
                let line = collector.line(entry.span.start);
                let message = format!("{start} may {what} {whom}; {by}, and {giver} (line {line}) gives the right");
                collector.error_between(span, message, remedy, (entry.span.clone(), "this gives the right"));
            }
            (None, Some(range)) => {
                let message = format!("{start} may {what} {whom}; {by}");
                collector.error_between(span, message, remedy, (range.span.clone(), "it is heard by this range"));
            }
            (None, None) => collector.error(span, format!("{start} may {what} {whom}; {by}"), remedy),
        }
    }
}

/// Whether what is bound to `local` is meant by `on`.
fn holds(on: SocketAddr, local: SocketAddr) -> bool {
    let wildcard = on.ip().is_unspecified() && on.is_ipv4() == local.is_ipv4() && on.port() == local.port();
    wildcard || (on.ip().to_canonical(), on.port()) == (local.ip(), local.port())
}

/// Whether somebody with `rights` can do it; whoever may not submit can do nothing.
fn grants(power: Power, rights: Rights, principal: &Principal) -> bool {
    let admitted = match principal {
        Principal::User(_) => may_authenticate(rights).is_ok(),
        _ => true,
    };
    admitted
        && may_submit(rights, principal).is_ok()
        && match power {
            Power::Submit => true,
            Power::Relay => reach(rights) == Reach::AnyRecipient,
            Power::Internal => is_internal(rights, principal),
            Power::SendAsAnyone => scope(rights, principal) != Scope::OwnAddresses,
            Power::SendAsOwnDomains => scope(rights, principal) == Scope::AnyAddress,
            Power::BypassAntiSpam => rights.contains(Right::BypassAntiSpam),
            Power::Right(right) => rights.contains(right),
        }
}

/// The right that gives the power, as far as it is one right.
fn right_behind(power: Power) -> Option<Right> {
    Some(match power {
        Power::Submit => Right::Submit,
        Power::Relay => Right::AcceptAnyRecipient,
        Power::Internal => Right::AcceptAuthenticationFlag,
        Power::SendAsAnyone => Right::AcceptAnySender,
        Power::SendAsOwnDomains => Right::AcceptAuthoritativeDomainSender,
        Power::BypassAntiSpam => Right::BypassAntiSpam,
        Power::Right(right) => right,
    })
}

/// Every right that the power takes: who may not submit can do nothing, and to send as our own domains takes the right to
/// any sender, which suffices for users.
fn needed_rights(power: Power, principal: &Principal) -> [Option<Right>; 3] {
    let submit = Some(Right::Submit);
    match (power, principal) {
        (Power::SendAsOwnDomains, Principal::User(_)) => [submit, Some(Right::AcceptAnySender), None],
        (Power::SendAsOwnDomains, _) => [submit, Some(Right::AcceptAnySender), right_behind(power)],
        _ => [submit, right_behind(power), None],
    }
}

/// The entry in words.
fn giver(entry: &AccessEntry) -> String {
    match entry.source {
        Source::Group(group) => format!("permission group {}", group.exchange_name()),
        Source::Extra => format!("the entry for {}", entry.trustee),
    }
}

/// On which keys it hangs whether an entry counts, and until when it does; empty where it always counts.
fn hanging_on(entry: &AccessEntry) -> String {
    let keys = entry.condition.as_ref().map_or_else(Vec::new, |condition| {
        let keys = [
            ("`senders`", condition.senders.is_some()),
            ("`recipients`", condition.recipients.is_some()),
            ("`hours`", condition.hours.is_some()),
            ("`messages_per_hour`", condition.messages_per_hour.is_some()),
        ];
        keys.into_iter().filter_map(|(key, is_there)| is_there.then_some(key)).collect()
    });
    let under = if keys.is_empty() { String::new() } else { format!(" within {}", keys.join(" and ")) };
    let until = entry.note.as_ref().and_then(|note| note.expires_ms);
    let until = until.map_or_else(String::new, |until_ms| format!(" until {}", instant(until_ms)));
    under + &until
}

fn in_words(power: Power) -> String {
    match power {
        Power::Internal => "count as internal".to_owned(),
        Power::Right(right) => format!("hold {right}"),
        power => power.to_string(),
    }
}

/// One of the addresses, a public one if there is one: that is what a reader understands.
fn example(peers: &AddressSet) -> Option<IpAddr> {
    let first = |peers: &AddressSet| peers.ranges().next().map(|(first, _)| first);
    first(&peers.intersection(public())).or_else(|| first(peers))
}

/// The range by which the connector hears the peer at that time: the smallest that holds it.
fn hearing_range(connector: &ReceiveConnector, peer: IpAddr, at_ms: u64) -> Option<&RemoteRange> {
    let ranges = connector.remote_ip_ranges.iter();
    let holding = ranges.filter(|range| range.contains(peer) && !range.is_expired(at_ms));
    holding.min_by_key(|range| range.span_of_addresses())
}
