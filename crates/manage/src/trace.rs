//! What `gatepost trace` asks and is told: `/api/v1/trace`.
//!
//! Takes the query of a call, hands on what the search finds, as values that serialize. Times are Unix milliseconds (`*_ms`),
//! sizes are bytes (`*_bytes`). Never decides what matches: `tracking::trace` does.

use std::net::{IpAddr, SocketAddr};

use gatepost_policy::receive_connector::RemoteRange;
use gatepost_tracking::DecisionId;
use gatepost_tracking::passport::conceal::Key;
use gatepost_tracking::passport::event::{self, ReportKind, Tls, Verdict, What};
use gatepost_tracking::trace::{Entry, Kinds, Passport, Query, State, Wanted};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decision::Decision;

/// Entries of a page, if the call does not say how many.
pub const TRACE_LIMIT_DEFAULT: usize = 100;
/// Where a message is said to be routed to that has no way out.
pub const UNREACHABLE: &str = "unreachable";
/// Most entries of a page.
pub const TRACE_LIMIT_MAX: usize = 1_000;

/// The query of `GET /trace`: all that is given must be true of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TraceQuery {
    /// A queue id.
    pub queue_id: Option<u64>,
    /// A Message-ID.
    pub message_id: Option<String>,
    /// The sender or a recipient.
    pub address: Option<String>,
    /// The sender.
    pub sender: Option<String>,
    /// A recipient.
    pub recipient: Option<String>,
    /// The domain of the sender or a recipient.
    pub domain: Option<String>,
    /// An address or a range, as remote ranges are written.
    pub peer: Option<String>,
    /// A receive or send connector.
    pub connector: Option<String>,
    /// How it stands.
    pub verdict: Option<TraceVerdict>,
    /// A word of the subject; several with spaces between them.
    pub word: Option<String>,
    /// Plain words: the name of a connector, or all of them in the subject.
    pub text: Option<String>,
    /// The id of a decision.
    pub decision: Option<String>,
    /// Not before.
    pub since_ms: Option<u64>,
    /// Before this.
    pub until_ms: Option<u64>,
    /// Connections and back pressure, too. Changes of settings are told wherever times alone are given.
    pub events: Option<bool>,
    /// Most entries of the page.
    pub limit: Option<usize>,
    /// Where the page before ended.
    pub from: Option<String>,
}

/// How a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceVerdict {
    /// A next hop or a mailbox has it.
    Delivered,
    /// It waits.
    Deferred,
    /// It was refused by a next hop.
    Failed,
    /// It waited for too long.
    Expired,
    /// An administrator took it out.
    Removed,
    /// It was not let in.
    Refused,
    /// The peer went away, or was cut off, before its message was there.
    Abandoned,
    /// It is held: poison, or damaged on the disk.
    Held,
    /// It has come to its end; what a crash left does not say to which.
    Ended,
}

impl TraceVerdict {
    /// Every one.
    pub const ALL: [TraceVerdict; 9] = [
        TraceVerdict::Delivered,
        TraceVerdict::Deferred,
        TraceVerdict::Failed,
        TraceVerdict::Expired,
        TraceVerdict::Removed,
        TraceVerdict::Refused,
        TraceVerdict::Abandoned,
        TraceVerdict::Held,
        TraceVerdict::Ended,
    ];

    fn state(self) -> State {
        match self {
            TraceVerdict::Delivered => State::Delivered,
            TraceVerdict::Deferred => State::Deferred,
            TraceVerdict::Failed => State::Failed,
            TraceVerdict::Expired => State::Expired,
            TraceVerdict::Removed => State::Removed,
            TraceVerdict::Refused => State::Refused,
            TraceVerdict::Abandoned => State::Abandoned,
            TraceVerdict::Held => State::Held,
            TraceVerdict::Ended => State::Ended,
        }
    }

    fn of(state: State) -> TraceVerdict {
        match state {
            State::Delivered => TraceVerdict::Delivered,
            State::Deferred => TraceVerdict::Deferred,
            State::Failed => TraceVerdict::Failed,
            State::Expired => TraceVerdict::Expired,
            State::Removed => TraceVerdict::Removed,
            State::Refused => TraceVerdict::Refused,
            State::Abandoned => TraceVerdict::Abandoned,
            State::Held => TraceVerdict::Held,
            State::Ended => TraceVerdict::Ended,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            TraceVerdict::Delivered => "delivered",
            TraceVerdict::Deferred => "deferred",
            TraceVerdict::Failed => "failed",
            TraceVerdict::Expired => "expired",
            TraceVerdict::Removed => "removed",
            TraceVerdict::Refused => "refused",
            TraceVerdict::Abandoned => "given up",
            TraceVerdict::Held => "held",
            TraceVerdict::Ended => "ended",
        }
    }
}

impl TraceQuery {
    /// What the search is asked, or what is wrong with the question.
    ///
    /// # Errors
    /// A sentence for whoever asked.
    pub fn parse(&self) -> Result<Parsed, String> {
        let peer = self.peer.as_deref().map(peer_range).transpose()?;
        let decision = self.decision.as_deref().map(|text| {
            DecisionId::find_in(text)
                .ok_or_else(|| format!("`{text}` is no id of a decision: it has 12 hexadecimal digits"))
        });
        Ok(Parsed { query: self.clone(), peer, decision: decision.transpose()? })
    }
}

/// The first and the last address of a range as remote ranges are written.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn peer_range(text: &str) -> Result<(IpAddr, IpAddr), String> {
    let range = RemoteRange::parse(text, 0..0)
        .map_err(|error| format!("`{text}` is no address and no range: {error}; write 192.168.2.55, 192.168.2.0/24 or 192.168.2.1-192.168.2.9"))?;
    Ok((range.first, range.last))
}

/// A question that can be asked.
pub struct Parsed {
    query: TraceQuery,
    peer: Option<(IpAddr, IpAddr)>,
    decision: Option<DecisionId>,
}

impl Parsed {
    /// The question with the tokens that may stand for addresses.
    pub fn with_tokens(self, key: &Key) -> Query {
        let TraceQuery { address, sender, recipient, word, .. } = &self.query;
        let [address, sender, recipient] =
            [address, sender, recipient].map(|wanted| wanted.as_deref().map(|wanted| Wanted::new(wanted, key)));
        let words = word.iter().flat_map(|words| words.split_whitespace()).map(str::to_owned).collect();
        Query {
            kinds: Kinds { others: self.query.events.unwrap_or_default(), ..Kinds::default() },
            queue_id: self.query.queue_id,
            message_id: self.query.message_id,
            address,
            sender,
            recipient,
            domain: self.query.domain,
            peer: self.peer,
            connector: self.query.connector,
            text: self.query.text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
            touched_since_ms: None,
            state: self.query.verdict.map(TraceVerdict::state),
            words,
            since_ms: self.query.since_ms,
            until_ms: self.query.until_ms,
            decision: self.decision,
        }
    }
}

/// `GET /trace`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Traced {
    /// Newest first.
    pub entries: Vec<TraceEntry>,
    /// Where the next page begins; none: that is all.
    pub next: Option<String>,
    /// Whether the search was ended because it took too long: the next page may hold more.
    pub cut_short: bool,
    /// Since when passports are kept; none: there are none.
    pub oldest_ms: Option<u64>,
}

/// `POST /trace/erase`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseRequest {
    /// The address.
    pub address: String,
}

/// What an erasure came to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErasedAddress {
    /// What stands in the place of the address now.
    pub token: String,
    /// Records of passports that held it.
    pub passports: u64,
    /// Records of decisions that held it.
    pub decisions: u64,
    /// Damaged places that were removed, since nobody can say what they held.
    pub damaged: u64,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TraceEntry {
    /// A message.
    Message(Box<TracedMessage>),
    /// A refused attempt, or a transaction that was given up.
    Refusal(Box<Decision>),
    /// A peer's connection.
    Connection(Box<TracedConnection>),
    /// A connection of ours to a next hop.
    Outbound(Box<TracedOutbound>),
    /// Other settings came into force.
    Settings {
        /// Since when.
        time_ms: u64,
        /// The revision: 1 at a start.
        revision: u64,
        /// The id of the document.
        document: String,
        /// Who had them loaded.
        who: String,
    },
    /// A resource was pressed more, or less.
    Pressure {
        /// When.
        time_ms: u64,
        /// Which.
        resource: String,
        /// How much.
        level: String,
    },
}

/// A message's passport.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TracedMessage {
    /// Its queue id.
    pub queue_id: u64,
    /// When it came.
    pub time_ms: u64,
    /// Whether none of its recipients is pending any more.
    pub ended: bool,
    /// How it came; none if that is kept no more.
    pub received: Option<Received>,
    /// How each recipient stands.
    pub recipients: Vec<TracedRecipient>,
    /// What was done, in the order of time.
    pub steps: Vec<TracedStep>,
}

/// How a message came.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Received {
    /// The Message-ID of its header.
    pub message_id: String,
    /// Its subject.
    pub subject: Option<String>,
    /// The reverse-path; empty if it is null.
    pub sender: String,
    /// With our trace fields.
    pub size_bytes: u64,
    /// Who brought it; none for what the server wrote itself.
    pub peer: Option<SocketAddr>,
    /// Where it came to.
    pub local: Option<SocketAddr>,
    /// What the peer called itself.
    pub hello: Option<String>,
    /// The receive connector; empty for what the server wrote itself.
    pub connector: String,
    /// Who the peer was.
    pub principal: String,
    /// The TLS protocol, inside TLS.
    pub tls_version: Option<String>,
    /// The cipher suite, inside TLS.
    pub tls_cipher: Option<String>,
    /// The id of the decision that let it in.
    pub decision: Option<String>,
    /// Where it is a report: the queue id of the message that it is about.
    pub report_on: Option<u64>,
    /// Where it is a report: what it says.
    pub report_kind: Option<String>,
    /// Whether it counts as one of our organization.
    pub internal: bool,
}

/// How a recipient stands.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TracedRecipient {
    /// Its address; empty where that is kept no more.
    pub address: String,
    /// How it stands.
    pub verdict: Option<TraceVerdict>,
    /// What was answered last.
    pub reply: String,
    /// When.
    pub time_ms: u64,
}

/// One step.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TracedStep {
    /// When.
    pub time_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: TracedWhat,
}

/// What was done.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum TracedWhat {
    /// Aliases, contacts and groups were replaced.
    Resolved {
        /// Whom the peer named.
        named: Vec<String>,
    },
    /// It was put into a queue.
    Routed {
        /// Who goes this way.
        recipients: Vec<String>,
        /// The send connector.
        connector: String,
        /// Where it leads.
        next_hop: String,
    },
    /// Somebody was asked to take it.
    Attempt {
        /// The send connector.
        connector: String,
        /// Where it led.
        next_hop: String,
        /// The name of the server that answered.
        remote: Option<String>,
        /// Its address.
        address: Option<SocketAddr>,
        /// The TLS protocol, inside TLS.
        tls_version: Option<String>,
        /// The cipher suite, inside TLS.
        tls_cipher: Option<String>,
        /// How sure we were of whom we spoke to, inside TLS.
        tls_proof: Option<String>,
        /// How long it took.
        duration_ms: u64,
        /// What became of each recipient.
        outcomes: Vec<TracedOutcome>,
        /// Whether it was read from the spool's log after a crash, which knows neither host nor TLS nor how long it took.
        #[serde(default)]
        recovered: bool,
    },
    /// While it waited, a connection to its next hop could not be opened.
    NoConnection {
        /// The send connector.
        connector: String,
        /// Where it led.
        next_hop: String,
        /// The name of the server; none if none was found.
        remote: Option<String>,
        /// Its address.
        address: Option<SocketAddr>,
        /// Why.
        reason: String,
        /// How often, for this reason.
        count: u32,
        /// When that was for the last time.
        until_ms: u64,
    },
    /// A report was made.
    Report {
        /// Its queue id.
        queue_id: u64,
        /// What it says.
        report: String,
        /// Whom it went to.
        to: String,
    },
    /// An administrator did something.
    Administrator {
        /// Who.
        who: String,
        /// What.
        action: String,
        /// What else is to be said.
        detail: Option<String>,
        /// What became of recipients by it.
        outcomes: Vec<TracedOutcome>,
    },
    /// It is held.
    Held {
        /// Why.
        reason: String,
    },
}

/// What became of a recipient.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TracedOutcome {
    /// Its address.
    pub recipient: String,
    /// How it stood then.
    pub verdict: Option<TraceVerdict>,
    /// What was answered.
    pub reply: String,
    /// When it was to be tried again.
    pub until_ms: Option<u64>,
}

/// A peer's connection.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TracedConnection {
    /// When it began.
    pub time_ms: u64,
    /// How long it lasted.
    pub duration_ms: u64,
    /// Where the peer came from.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// The receive connector.
    pub connector: String,
    /// What the peer called itself.
    pub hello: Option<String>,
    /// Who it was at the end.
    pub principal: String,
    /// The TLS protocol, inside TLS.
    pub tls_version: Option<String>,
    /// Messages accepted.
    pub messages: u32,
    /// Commands and contents refused.
    pub refusals: u32,
    /// Why it ended.
    pub end: String,
}

/// A connection of ours.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TracedOutbound {
    /// When it was begun.
    pub time_ms: u64,
    /// How long it lasted.
    pub duration_ms: u64,
    /// The send connector.
    pub connector: String,
    /// Where it led.
    pub next_hop: String,
    /// The name of the server.
    pub remote: Option<String>,
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The TLS protocol, inside TLS.
    pub tls_version: Option<String>,
    /// Transactions begun.
    pub messages: u32,
    /// Whether it was opened.
    pub opened: bool,
    /// Why it ended, or could not be opened.
    pub end: String,
}

impl From<Entry> for TraceEntry {
    fn from(entry: Entry) -> TraceEntry {
        match entry {
            Entry::Message(passport) => TraceEntry::Message(Box::new(passport.into())),
            Entry::Refusal(decision) => TraceEntry::Refusal(Box::new(Decision::from(*decision))),
            Entry::Connection(connection) => TraceEntry::Connection(Box::new((*connection).into())),
            Entry::Outbound(outbound) => TraceEntry::Outbound(Box::new((*outbound).into())),
            Entry::Settings(settings) => TraceEntry::Settings {
                time_ms: settings.time_ms,
                revision: settings.revision,
                document: format!("{:016x}", settings.document),
                who: settings.who.into(),
            },
            Entry::Pressure(pressure) => TraceEntry::Pressure {
                time_ms: pressure.time_ms,
                resource: pressure.resource.into(),
                level: pressure.level.into(),
            },
        }
    }
}

impl From<event::Connection> for TracedConnection {
    fn from(connection: event::Connection) -> TracedConnection {
        TracedConnection {
            time_ms: connection.time_ms,
            duration_ms: connection.duration_ms,
            peer: connection.peer,
            local: connection.local,
            connector: connection.connector.to_string(),
            hello: connection.hello.map(String::from),
            principal: connection.principal.into(),
            tls_version: connection.tls.map(|tls| tls.version.to_string()),
            messages: connection.messages,
            refusals: connection.refusals,
            end: connection.end.into(),
        }
    }
}

impl From<event::Outbound> for TracedOutbound {
    fn from(outbound: event::Outbound) -> TracedOutbound {
        TracedOutbound {
            time_ms: outbound.time_ms,
            duration_ms: outbound.duration_ms,
            connector: outbound.way.connector.to_string(),
            next_hop: outbound.way.next_hop.to_string(),
            remote: outbound.remote.map(String::from),
            address: outbound.address,
            tls_version: outbound.tls.map(|tls| tls.version.to_string()),
            messages: outbound.messages,
            opened: outbound.is_opened,
            end: outbound.end.into(),
        }
    }
}

impl From<Passport> for TracedMessage {
    fn from(passport: Passport) -> TracedMessage {
        let recipients: Vec<String> = passport.recipients().into_iter().map(String::from).collect();
        let standings = passport
            .standings()
            .into_iter()
            .map(|standing| TracedRecipient {
                address: standing.address.to_owned(),
                verdict: Some(TraceVerdict::of(State::of(standing.verdict))),
                reply: standing.reply.to_owned(),
                time_ms: standing.time_ms,
            })
            .collect();
        let time_ms = passport.time_ms();
        let steps = passport
            .steps
            .into_iter()
            .filter_map(|step| Some(TracedStep { time_ms: step.time_ms, what: traced_what(step.what, &recipients)? }));
        TracedMessage {
            queue_id: passport.queue_id,
            time_ms,
            ended: passport.is_ended,
            recipients: standings,
            steps: steps.collect(),
            received: passport.facts.map(|facts| received(*facts)),
        }
    }
}

fn received(facts: event::Facts) -> Received {
    let (tls_version, tls_cipher) = split_tls(facts.tls);
    Received {
        message_id: facts.message_id.into(),
        subject: facts.subject.map(String::from),
        sender: facts.sender.into(),
        size_bytes: facts.size,
        peer: facts.peer,
        local: facts.local,
        hello: facts.hello.map(String::from),
        connector: facts.connector.to_string(),
        principal: facts.principal.into(),
        tls_version,
        tls_cipher,
        decision: facts.decision.and_then(DecisionId::from_number).map(|id| id.to_string()),
        report_on: facts.report.map(|report| report.about),
        report_kind: facts.report.map(|report| report_word(report.kind).to_owned()),
        internal: facts.is_internal,
    }
}

fn split_tls(tls: Option<Tls>) -> (Option<String>, Option<String>) {
    tls.map(|tls| (tls.version.to_string(), tls.cipher.to_string())).unzip()
}

fn traced_what(what: What, recipients: &[String]) -> Option<TracedWhat> {
    let address_of = |place: u32| recipients.get(place as usize).cloned().unwrap_or_default();
    let traced = |outcomes: Vec<event::Outcome>| {
        let traced = outcomes.into_iter().map(|outcome| TracedOutcome {
            recipient: address_of(outcome.recipient),
            verdict: Some(TraceVerdict::of(State::of(Some(outcome.verdict)))),
            reply: outcome.reply.into(),
            until_ms: match outcome.verdict {
                Verdict::Deferred { until_ms } => Some(until_ms),
                _ => None,
            },
        });
        traced.collect::<Vec<_>>()
    };
    Some(match what {
        // These stand among the recipients.
        What::Recipients { .. } => return None,
        What::Resolved { named } => TracedWhat::Resolved { named: named.into_iter().map(String::from).collect() },
        What::Routed { recipients, way } => TracedWhat::Routed {
            recipients: recipients.into_iter().map(address_of).collect(),
            connector: way.connector.to_string(),
            next_hop: way.next_hop.to_string(),
        },
        What::Attempt(attempt) => {
            let tls_proof = attempt.tls.as_ref().and_then(|tls| tls.proof.as_deref()).map(str::to_owned);
            let (tls_version, tls_cipher) = split_tls(attempt.tls);
            TracedWhat::Attempt {
                connector: attempt.way.connector.to_string(),
                next_hop: attempt.way.next_hop.to_string(),
                remote: attempt.remote.map(String::from),
                address: attempt.address,
                tls_version,
                tls_cipher,
                tls_proof,
                duration_ms: attempt.duration_ms,
                outcomes: traced(attempt.outcomes),
                recovered: attempt.is_recovered,
            }
        }
        What::NoConnection { way, remote, address, reason, count, until_ms } => TracedWhat::NoConnection {
            connector: way.connector.to_string(),
            next_hop: way.next_hop.to_string(),
            remote: remote.map(String::from),
            address,
            reason: reason.into(),
            count,
            until_ms,
        },
        What::Report { queue_id, kind, to } => {
            TracedWhat::Report { queue_id, report: report_word(kind).to_owned(), to: to.into() }
        }
        What::Administrator { who, action, detail, outcomes } => TracedWhat::Administrator {
            who: who.into(),
            action: action.into(),
            detail: detail.map(String::from),
            outcomes: traced(outcomes),
        },
        What::Held { reason } => TracedWhat::Held { reason: reason.into() },
    })
}

fn report_word(kind: ReportKind) -> &'static str {
    match kind {
        ReportKind::Failed => "failed",
        ReportKind::Delayed => "delayed",
        ReportKind::Delivered => "delivered",
        ReportKind::Relayed => "relayed",
        ReportKind::Expanded => "expanded",
        ReportKind::Notice => "notice",
    }
}
