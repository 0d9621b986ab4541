//! What is asked for, and whether an entry is it.

use std::net::IpAddr;

use super::passport::Passport;
use crate::decision::{Decision, DecisionId};
use crate::passport::conceal::Key;
use crate::passport::event::{Connection, Outbound, Pressure, Settings, Verdict, What};
use crate::passport::terms::{Term, bare, domain_of, equal, has_word, network};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A message.
    Message(Passport),
    /// A refused attempt, or a transaction that was given up.
    Refusal(Box<Decision>),
    /// A peer's connection.
    Connection(Box<Connection>),
    /// A connection of ours to a next hop.
    Outbound(Box<Outbound>),
    /// Other settings came into force.
    Settings(Settings),
    /// A resource was pressed more, or less.
    Pressure(Pressure),
}

impl Entry {
    /// When it began, Unix time in milliseconds.
    pub fn time_ms(&self) -> u64 {
        match self {
            Entry::Message(passport) => passport.time_ms(),
            Entry::Refusal(decision) => decision.time_ms,
            Entry::Connection(connection) => connection.time_ms,
            Entry::Outbound(outbound) => outbound.time_ms,
            Entry::Settings(settings) => settings.time_ms,
            Entry::Pressure(pressure) => pressure.time_ms,
        }
    }
}

/// Which kinds of entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Messages.
    pub messages: bool,
    /// Refusals and transactions that were given up.
    pub refusals: bool,
    /// Connections, settings and back pressure.
    pub others: bool,
}

impl Default for Kinds {
    fn default() -> Kinds {
        Kinds { messages: true, refusals: true, others: false }
    }
}

/// How a message stands: one of its recipients does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// A next hop or a mailbox has it.
    Delivered,
    /// It waits: it is tried again, or was not tried yet.
    Deferred,
    /// It was refused by a next hop for good.
    Failed,
    /// It waited for too long.
    Expired,
    /// An administrator took it out.
    Removed,
    /// It was not let in.
    Refused,
}

/// An address that is asked for, and the token that stands for it where addresses are not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The address.
    pub plain: String,
    /// What [`Key::token`] made of it.
    pub token: String,
}

impl Wanted {
    /// Asks for an address.
    pub fn new(address: &str, key: &Key) -> Wanted {
        let plain = bare(address).to_owned();
        Wanted { token: key.token(&plain), plain }
    }

    fn is(&self, address: &str) -> bool {
        equal(&self.plain, address) || equal(&self.token, address)
    }
}

/// A record has one of these hashes: that of a term, or of what stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes(pub [u32; 2]);

/// What is asked for. All that is said must be true of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Which kinds.
    pub kinds: Kinds,
    /// A message.
    pub queue_id: Option<u64>,
    /// A Message-ID, with or without angle brackets.
    pub message_id: Option<String>,
    /// Sender or recipient, final or as the peer named it.
    pub address: Option<Wanted>,
    /// The sender.
    pub sender: Option<Wanted>,
    /// A recipient.
    pub recipient: Option<Wanted>,
    /// The domain of the sender or of a recipient.
    pub domain: Option<String>,
    /// The first and the last address that the peer may have.
    pub peer: Option<(IpAddr, IpAddr)>,
    /// The receive connector that let it in, or a send connector that it went to.
    pub connector: Option<String>,
    /// How it stands.
    pub state: Option<State>,
    /// Words of the subject.
    pub words: Vec<String>,
    /// When it came, Unix time in milliseconds: not before.
    pub since_ms: Option<u64>,
    /// Before this.
    pub until_ms: Option<u64>,
    /// The decision that let it in or refused it.
    pub decision: Option<DecisionId>,
}

impl Query {
    /// The hashes of each term that a record must have, that which names the fewest first. An entry of parts has each of them in
    /// some part.
    pub fn hashes(&self) -> Vec<Hashes> {
        let mut hashes = Vec::new();
        let mut must_have = |term: Term<'_>| hashes.push(Hashes([term.hash(); 2]));
        self.queue_id.map(Term::QueueId).into_iter().for_each(&mut must_have);
        self.decision.map(|id| Term::Decision(id.number())).into_iter().for_each(&mut must_have);
        self.message_id.as_deref().map(|id| Term::MessageId(bare(id))).into_iter().for_each(&mut must_have);
        for wanted in [&self.recipient, &self.sender, &self.address].into_iter().flatten() {
            hashes.push(Hashes([&wanted.plain, &wanted.token].map(|address| Term::Address(address).hash())));
        }
        let mut must_have = |term: Term<'_>| hashes.push(Hashes([term.hash(); 2]));
        self.peer.and_then(|(first, last)| of_range(first, last)).into_iter().for_each(&mut must_have);
        self.words.iter().map(|word| Term::Word(word)).for_each(&mut must_have);
        self.domain.as_deref().map(Term::Domain).into_iter().for_each(&mut must_have);
        self.connector.as_deref().map(Term::Connector).into_iter().for_each(&mut must_have);
        hashes
    }

    /// A text that stands, in either case of its letters, in each record with the first of [`Query::hashes`], if there is one.
    pub fn needle(&self) -> Option<&str> {
        if self.queue_id.is_some() || self.decision.is_some() {
            return None;
        }
        let is_address = [&self.recipient, &self.sender, &self.address].into_iter().flatten().next();
        let needle = match (&self.message_id, is_address) {
            (Some(id), _) => bare(id),
            // A token has a domain and no more of the address.
            (None, Some(wanted)) => wanted.plain.rsplit_once('@').map_or("", |(_, domain)| domain),
            (None, None) if self.peer.is_some() => return None,
            (None, None) => self.words.first().or(self.domain.as_ref())?,
        };
        (needle.is_ascii() && !needle.is_empty()).then_some(needle)
    }

    /// Whether an entry is what is asked for.
    pub fn matches(&self, entry: &Entry) -> bool {
        let time_ms = entry.time_ms();
        if self.since_ms.is_some_and(|since_ms| time_ms < since_ms)
            || self.until_ms.is_some_and(|until_ms| time_ms >= until_ms)
        {
            return false;
        }
        match entry {
            Entry::Message(passport) => self.kinds.messages && self.matches_message(passport),
            Entry::Refusal(decision) => self.kinds.refusals && self.matches_refusal(decision),
            Entry::Connection(connection) => {
                self.kinds.others
                    && self.asks_for_no_message()
                    && self.is_of_peer(Some(connection.peer.ip()))
                    && self.connector.as_ref().is_none_or(|name| equal(name, &connection.connector))
                    && self.domain.is_none()
            }
            Entry::Outbound(outbound) => {
                self.kinds.others
                    && self.asks_for_no_message()
                    && self.is_of_peer(None)
                    && self.connector.as_ref().is_none_or(|name| equal(name, &outbound.way.connector))
                    && self.domain.as_ref().is_none_or(|domain| equal(domain, &outbound.way.next_hop))
            }
            Entry::Settings(_) | Entry::Pressure(_) => {
                let Query { kinds, since_ms, until_ms, .. } = *self;
                kinds.others && *self == Query { kinds, since_ms, until_ms, ..Query::default() }
            }
        }
    }

    fn matches_message(&self, passport: &Passport) -> bool {
        let facts = passport.facts.as_deref();
        let recipients = || {
            let named = passport.steps.iter().filter_map(|step| match &step.what {
                What::Resolved { named } => Some(named.iter().map(|address| &**address)),
                _ => None,
            });
            passport.recipients().into_iter().chain(named.flatten())
        };
        let is_sender = |wanted: &Wanted| facts.is_some_and(|facts| wanted.is(&facts.sender));
        let is_recipient = |wanted: &Wanted| recipients().any(|recipient| wanted.is(recipient));
        let has_domain = |address: &str, domain: &str| domain_of(address).is_some_and(|of| equal(of, domain));
        let goes_by = |name: &str| {
            passport.steps.iter().any(|step| match &step.what {
                What::Routed { way, .. } => equal(&way.connector, name),
                What::Attempt(attempt) => equal(&attempt.way.connector, name),
                _ => false,
            })
        };
        passport.says_something()
            && self.queue_id.is_none_or(|id| id == passport.queue_id)
            && self.decision.is_none_or(|id| facts.is_some_and(|facts| facts.decision == Some(id.number())))
            && asked(&self.message_id, |id| facts.is_some_and(|facts| bare(&facts.message_id) == bare(id)))
            && self.sender.as_ref().is_none_or(is_sender)
            && self.recipient.as_ref().is_none_or(is_recipient)
            && self.address.as_ref().is_none_or(|wanted| is_sender(wanted) || is_recipient(wanted))
            && asked(&self.domain, |domain| {
                facts.is_some_and(|facts| has_domain(&facts.sender, domain))
                    || recipients().any(|recipient| has_domain(recipient, domain))
            })
            && self.is_of_peer(facts.and_then(|facts| facts.peer).map(|peer| peer.ip()))
            && asked(&self.connector, |name| facts.is_some_and(|facts| equal(&facts.connector, name)) || goes_by(name))
            && self.words.iter().all(|word| {
                facts.and_then(|facts| facts.subject.as_deref()).is_some_and(|subject| has_word(subject, word))
            })
            && self.state.is_none_or(|state| {
                passport.standings().iter().any(|standing| state_of(standing.verdict) == Some(state))
            })
    }

    fn matches_refusal(&self, decision: &Decision) -> bool {
        let sender = decision.sender.as_deref().map(bare);
        let recipients = || decision.refused_recipient.iter().chain(&decision.recipients).map(|path| bare(path));
        let is_sender = |wanted: &Wanted| sender.is_some_and(|sender| wanted.is(sender));
        let is_recipient = |wanted: &Wanted| recipients().any(|recipient| wanted.is(recipient));
        let has_domain = |address: &str, domain: &str| domain_of(address).is_some_and(|of| equal(of, domain));
        self.queue_id.is_none()
            && self.message_id.is_none()
            && self.words.is_empty()
            && self.decision.is_none_or(|id| id == decision.id)
            && self.sender.as_ref().is_none_or(is_sender)
            && self.recipient.as_ref().is_none_or(is_recipient)
            && self.address.as_ref().is_none_or(|wanted| is_sender(wanted) || is_recipient(wanted))
            && asked(&self.domain, |domain| {
                sender.is_some_and(|sender| has_domain(sender, domain))
                    || recipients().any(|recipient| has_domain(recipient, domain))
            })
            && self.is_of_peer(Some(decision.peer.ip()))
            && asked(&self.connector, |name| equal(name, &decision.connector))
            && self.state.is_none_or(|state| {
                state == State::Refused && matches!(decision.verdict, crate::decision::Verdict::Refused { .. })
            })
    }

    fn is_of_peer(&self, ip: Option<IpAddr>) -> bool {
        self.peer.is_none_or(|(first, last)| {
            ip.map(|ip| ip.to_canonical())
                .is_some_and(|ip| ip.is_ipv4() == first.is_ipv4() && first <= ip && ip <= last)
        })
    }

    fn asks_for_no_message(&self) -> bool {
        let Query { queue_id, message_id, address, sender, recipient, state, words, decision, .. } = self;
        queue_id.is_none()
            && message_id.is_none()
            && [address, sender, recipient].into_iter().all(Option::is_none)
            && state.is_none()
            && words.is_empty()
            && decision.is_none()
    }
}

fn asked(wanted: &Option<String>, is_met: impl FnOnce(&str) -> bool) -> bool {
    wanted.as_deref().is_none_or(is_met)
}

/// How a recipient stands; `None`: it has ended, and it is not known to what.
pub fn state_of(verdict: Option<Verdict>) -> Option<State> {
    match verdict {
        Some(Verdict::Delivered) => Some(State::Delivered),
        None | Some(Verdict::Deferred { .. }) => Some(State::Deferred),
        Some(Verdict::Failed) => Some(State::Failed),
        Some(Verdict::Expired) => Some(State::Expired),
        Some(Verdict::Removed) => Some(State::Removed),
        Some(Verdict::Ended) => None,
    }
}

/// The narrowest term that all addresses of a range have.
fn of_range(first: IpAddr, last: IpAddr) -> Option<Term<'static>> {
    if first == last {
        Some(Term::Peer(first))
    } else if network(first, 24, 64) == network(last, 24, 64) {
        Some(Term::Near(first))
    } else if network(first, 16, 32) == network(last, 16, 32) {
        Some(Term::Far(first))
    } else {
        None
    }
}
