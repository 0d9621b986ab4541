//! What is asked for, and whether an entry is it.

use std::net::IpAddr;

use super::passport::Passport;
use crate::decision::{Decision, DecisionId, Verdict as Outcome};
use crate::passport::conceal::Key;
use crate::passport::event::{Connection, Outbound, Pressure, Settings, Step, What};
pub use crate::passport::terms::State;
use crate::passport::terms::{STATES_SINCE, Term, bare, domain_of, equal, has_word, network, words};

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
    /// Changes of settings; found where nothing is asked but times.
    pub settings: bool,
    /// Connections and back pressure; settings, too.
    pub others: bool,
}

impl Default for Kinds {
    fn default() -> Kinds {
        Kinds { messages: true, refusals: true, settings: true, others: false }
    }
}

impl Kinds {
    /// Messages alone.
    pub const MESSAGES: Kinds = Kinds { messages: true, refusals: false, settings: false, others: false };
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

/// Which parts of a message may have a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// The one that says how the message came, if any does.
    InFirst,
    /// That one; where it is kept no more, others.
    InFirstIfKept,
    /// Any, without the first.
    Anywhere,
}

/// A term that an entry must have, or what stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead<'a> {
    /// A record has one of these hashes. The two, or one twice.
    pub either: [u32; 2],
    /// Which parts of a message may have it.
    pub stands: Stands,
    /// The version of descriptions since which records have it.
    pub since: u32,
    /// A text that stands, in either case of its letters, in each record that has it, where there is one.
    pub needle: Option<&'a str>,
}

impl<'a> Lead<'a> {
    /// Of a term that how a message came tells of, if anything does.
    pub fn of_first(term: Term<'_>) -> Lead<'a> {
        Lead { either: [term.hash(); 2], stands: Stands::InFirst, since: 0, needle: None }
    }

    fn anywhere(term: Term<'_>) -> Lead<'a> {
        Lead { stands: Stands::Anywhere, ..Lead::of_first(term) }
    }

    fn with(self, needle: &'a str) -> Lead<'a> {
        Lead { needle: Some(needle).filter(|needle| needle.is_ascii() && !needle.is_empty()), ..self }
    }

    fn of_address(wanted: &'a Wanted, stands: Stands) -> Lead<'a> {
        let either = [&wanted.plain, &wanted.token].map(|address| Term::Address(address).hash());
        // A token has a domain and no more of the address.
        let domain = wanted.plain.rsplit_once('@').map_or("", |(_, domain)| domain);
        Lead { either, stands, since: 0, needle: None }.with(domain)
    }

    fn of_state(state: State) -> Lead<'a> {
        // Whoever waits is tried again and again, so that later parts of it are everywhere.
        let stands = if state == State::Deferred { Stands::InFirstIfKept } else { Stands::Anywhere };
        Lead { since: STATES_SINCE, stands, ..Lead::of_first(Term::State(state)) }
    }
}

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
    /// What somebody knows in plain words: the name of a connector, or words of the subject.
    pub text: Option<String>,
    /// Something of it was recorded at that time or after it.
    pub touched_since_ms: Option<u64>,
    /// When it came, Unix time in milliseconds: not before.
    pub since_ms: Option<u64>,
    /// Before this.
    pub until_ms: Option<u64>,
    /// The decision that let it in or refused it.
    pub decision: Option<DecisionId>,
}

impl Query {
    /// Each term that a record must have; of equals those first that name fewer. An entry of parts has each of them in some part.
    pub fn leads(&self) -> Vec<Lead<'_>> {
        let mut leads = Vec::new();
        leads.extend(self.queue_id.map(|id| Lead::anywhere(Term::QueueId(id))));
        leads.extend(self.decision.map(|id| Lead::of_first(Term::Decision(id.number()))));
        leads.extend(self.message_id.as_deref().map(|id| Lead::of_first(Term::MessageId(bare(id))).with(bare(id))));
        leads.extend(self.recipient.as_ref().map(|wanted| Lead::of_address(wanted, Stands::Anywhere)));
        leads.extend(self.sender.as_ref().map(|wanted| Lead::of_address(wanted, Stands::InFirst)));
        leads.extend(self.address.as_ref().map(|wanted| Lead::of_address(wanted, Stands::Anywhere)));
        leads.extend(self.peer.and_then(|(first, last)| of_range(first, last)).map(Lead::of_first));
        leads.extend(self.words.iter().map(|word| Lead::of_first(Term::Word(word)).with(word)));
        leads.extend(self.domain.as_deref().map(|domain| Lead::anywhere(Term::Domain(domain)).with(domain)));
        leads.extend(self.connector.as_deref().map(|name| Lead::anywhere(Term::Connector(name))));
        leads.extend(self.text.as_deref().map(|text| {
            let longest = words(text).max_by_key(|word| word.len()).unwrap_or(text);
            let either = [Term::Connector(text).hash(), Term::Word(longest).hash()];
            Lead { either, stands: Stands::Anywhere, since: 0, needle: None }
        }));
        leads.extend(self.state.map(Lead::of_state));
        leads
    }

    /// Whether times are all that is said.
    pub fn asks_for_times_only(&self) -> bool {
        let Query { kinds, since_ms, until_ms, touched_since_ms, .. } = *self;
        *self == Query { kinds, since_ms, until_ms, touched_since_ms, ..Query::default() }
    }

    /// Whether a message may be what is asked for.
    pub fn may_be_message(&self) -> bool {
        self.kinds.messages && !matches!(self.state, Some(State::Refused | State::Abandoned))
    }

    /// Whether an attempt may be.
    pub fn may_be_refusal(&self) -> bool {
        let Query { queue_id, message_id, words, state, touched_since_ms, .. } = self;
        self.kinds.refusals
            && queue_id.is_none()
            && message_id.is_none()
            && words.is_empty()
            && touched_since_ms.is_none()
            && matches!(state, None | Some(State::Refused | State::Abandoned))
    }

    /// Whether a connection may be.
    pub fn may_be_other(&self) -> bool {
        self.kinds.others && self.asks_for_no_message()
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
            Entry::Message(passport) => self.may_be_message() && self.matches_message(passport),
            Entry::Refusal(decision) => self.may_be_refusal() && self.matches_refusal(decision),
            Entry::Connection(connection) => {
                self.may_be_other()
                    && self.is_of_peer(Some(connection.peer.ip()))
                    && self.connector.as_ref().is_none_or(|name| equal(name, &connection.connector))
                    && self.domain.is_none()
            }
            Entry::Outbound(outbound) => {
                self.may_be_other()
                    && self.is_of_peer(None)
                    && self.connector.as_ref().is_none_or(|name| equal(name, &outbound.way.connector))
                    && self.domain.as_ref().is_none_or(|domain| equal(domain, &outbound.way.next_hop))
            }
            Entry::Settings(_) => (self.kinds.settings || self.kinds.others) && self.asks_for_times_only(),
            Entry::Pressure(_) => self.kinds.others && self.asks_for_times_only(),
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
            && asked(&self.text, |text| {
                let has_words =
                    |subject: &str| words(text).next().is_some() && words(text).all(|word| has_word(subject, word));
                let subject = facts.and_then(|facts| facts.subject.as_deref());
                facts.is_some_and(|facts| equal(&facts.connector, text))
                    || goes_by(text)
                    || subject.is_some_and(has_words)
            })
            && self.touched_since_ms.is_none_or(|since_ms| passport.last_ms() >= since_ms)
            && self.state.is_none_or(|state| match state {
                State::Held => {
                    // What says so last decides: an administrator may have let it go.
                    let is_held = |step: &Step| match &step.what {
                        What::Held { .. } => Some(true),
                        What::Administrator { action, .. } if &**action == "resume" => Some(false),
                        _ => None,
                    };
                    !passport.is_ended && passport.steps.iter().rev().find_map(is_held) == Some(true)
                }
                // Who has come to an end that nobody noted does not wait.
                State::Deferred if passport.is_ended => false,
                state => passport.standings().iter().any(|standing| State::of(standing.verdict) == state),
            })
    }

    fn matches_refusal(&self, decision: &Decision) -> bool {
        let sender = decision.sender.as_deref().map(bare);
        let recipients = || decision.refused_recipient.iter().chain(&decision.recipients).map(|path| bare(path));
        let is_sender = |wanted: &Wanted| sender.is_some_and(|sender| wanted.is(sender));
        let is_recipient = |wanted: &Wanted| recipients().any(|recipient| wanted.is(recipient));
        let has_domain = |address: &str, domain: &str| domain_of(address).is_some_and(|of| equal(of, domain));
        self.decision.is_none_or(|id| id == decision.id)
            && self.sender.as_ref().is_none_or(is_sender)
            && self.recipient.as_ref().is_none_or(is_recipient)
            && self.address.as_ref().is_none_or(|wanted| is_sender(wanted) || is_recipient(wanted))
            && asked(&self.domain, |domain| {
                sender.is_some_and(|sender| has_domain(sender, domain))
                    || recipients().any(|recipient| has_domain(recipient, domain))
            })
            && self.is_of_peer(Some(decision.peer.ip()))
            && asked(&self.connector, |name| equal(name, &decision.connector))
            && asked(&self.text, |text| equal(text, &decision.connector))
            && self.state.is_none_or(|state| match decision.verdict {
                Outcome::Refused { .. } => state == State::Refused,
                Outcome::Abandoned => state == State::Abandoned,
                Outcome::Accepted { .. } => false,
            })
    }

    fn is_of_peer(&self, ip: Option<IpAddr>) -> bool {
        self.peer.is_none_or(|(first, last)| {
            ip.map(|ip| ip.to_canonical())
                .is_some_and(|ip| ip.is_ipv4() == first.is_ipv4() && first <= ip && ip <= last)
        })
    }

    fn asks_for_no_message(&self) -> bool {
        let Query { queue_id, message_id, address, sender, recipient, state, words, text, decision, .. } = self;
        queue_id.is_none()
            && message_id.is_none()
            && [address, sender, recipient].into_iter().all(Option::is_none)
            && state.is_none()
            && words.is_empty()
            && text.is_none()
            && self.touched_since_ms.is_none()
            && decision.is_none()
    }
}

fn asked(wanted: &Option<String>, is_met: impl FnOnce(&str) -> bool) -> bool {
    wanted.as_deref().is_none_or(is_met)
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
