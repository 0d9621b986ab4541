//! What can happen, as it is noted and kept.
//!
//! Plain values. They are the disk's own structs as well: each field has a number that is never used for another, and a
//! later version may add fields. Texts from outside are cut by [`bounded`](crate::decision::bounded) where an event is made.
//! Addresses stand without angle brackets; the null reverse-path is empty. Neither content nor credentials stand here.

use std::net::SocketAddr;
use std::sync::Arc;

use minicbor::{Decode, Encode};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A message is on the disk: its passport begins.
    Received {
        /// Its queue id.
        queue_id: u64,
        /// Where it came from.
        facts: Box<Facts>,
    },
    /// Something was done with it.
    Step {
        /// Its queue id.
        queue_id: u64,
        /// What, and when.
        step: Step,
    },
    /// None of its recipients is pending any more.
    Ended {
        /// Its queue id.
        queue_id: u64,
    },
    /// What the spool's log says of a message whose events were left out, or were noted a moment before a crash.
    Recovered(Box<Part>),
    /// A peer's connection has ended.
    Connection(Box<Connection>),
    /// One of our connections to a next hop has ended, or could not be opened.
    Outbound(Box<Outbound>),
    /// Other settings are in force.
    Settings(Settings),
    /// A resource is pressed more, or less.
    Pressure(Pressure),
}

/// The unit that is stored.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Record {
    /// A message's passport, or a part of it.
    #[n(0)]
    Message(#[n(0)] Part),
    /// A peer's connection.
    #[n(1)]
    Connection(#[n(0)] Box<Connection>),
    /// A connection to a next hop.
    #[n(2)]
    Outbound(#[n(0)] Box<Outbound>),
    /// Other settings.
    #[n(3)]
    Settings(#[n(0)] Settings),
    /// Back pressure.
    #[n(4)]
    Pressure(#[n(0)] Pressure),
}

/// What was gathered of one message. A message that is delivered at once has one part; of others the parts are joined by
/// their queue id on reading.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Part {
    /// The message.
    #[n(0)]
    pub queue_id: u64,
    /// Where it came from; in its first part.
    #[n(1)]
    pub facts: Option<Box<Facts>>,
    /// What was done, in the order of time.
    #[n(2)]
    pub steps: Vec<Step>,
    /// Whether none of its recipients is pending any more.
    #[n(3)]
    pub is_last: bool,
    /// Whether it was read from the spool's log, after a crash or because there was no room for events. Then there may
    /// be another part that says the same, or more: that one counts.
    #[n(4)]
    pub is_recovered: bool,
}

/// How a message came.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Facts {
    /// Unix time in milliseconds.
    #[n(0)]
    pub time_ms: u64,
    /// The Message-ID of its header, with its angle brackets.
    #[n(1)]
    pub message_id: Box<str>,
    /// Its subject, decoded; `None` if it has none, or if subjects are not recorded.
    #[n(2)]
    pub subject: Option<Box<str>>,
    /// The reverse-path; empty if it is null.
    #[n(3)]
    pub sender: Box<str>,
    /// Whom it is for in the end, in the order of the envelope: steps name recipients by their places here. Of very many the
    /// later ones stand in steps [`What::Recipients`].
    #[n(4)]
    pub recipients: Vec<Box<str>>,
    /// The size in bytes, with our trace fields.
    #[n(5)]
    pub size: u64,
    /// Who brought it; `None` for what we wrote ourselves.
    #[n(6)]
    pub peer: Option<SocketAddr>,
    /// Where the peer came to.
    #[n(7)]
    pub local: Option<SocketAddr>,
    /// What the peer called itself.
    #[n(8)]
    pub hello: Option<Box<str>>,
    /// The receive connector; empty for what we wrote ourselves.
    #[n(9)]
    #[cbor(with = "shared_text")]
    pub connector: Arc<str>,
    /// Who the peer was, as logs name it.
    #[n(10)]
    pub principal: Box<str>,
    /// Inside TLS.
    #[n(11)]
    pub tls: Option<Tls>,
    /// The number of the decision that let it in.
    #[n(12)]
    pub decision: Option<u64>,
    /// The connection that it came by: the id of a [`Connection`].
    #[n(13)]
    pub connection: Option<u64>,
    /// Where it is a report of ours: about what.
    #[n(14)]
    pub report: Option<ReportOn>,
    /// Whether it counts as one of our organization (fact sheet section 8.2: Originating or Incoming).
    #[n(15)]
    pub is_internal: bool,
}

/// What a report of ours is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReportOn {
    /// The queue id of the message that is reported on.
    #[n(0)]
    pub about: u64,
    /// What is reported.
    #[n(1)]
    pub kind: ReportKind,
}

/// What is reported to a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ReportKind {
    /// It cannot be delivered.
    #[n(0)]
    Failed,
    /// It is late.
    #[n(1)]
    Delayed,
    /// It is in a mailbox here.
    #[n(2)]
    Delivered,
    /// It was handed on to a server that makes no reports.
    #[n(3)]
    Relayed,
    /// It was handed on to the members of a group.
    #[n(4)]
    Expanded,
    /// Not to the sender, but to the owner of the range that it came from.
    #[n(5)]
    Notice,
}

/// Protocol and cipher suite.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tls {
    /// As `TLSv1.3`.
    #[n(0)]
    #[cbor(with = "shared_text")]
    pub version: Arc<str>,
    /// As `TLS_AES_256_GCM_SHA384`.
    #[n(1)]
    #[cbor(with = "shared_text")]
    pub cipher: Arc<str>,
    /// Of a connection of ours: how sure we were of whom we spoke to, in words.
    #[n(2)]
    pub proof: Option<Box<str>>,
}

/// More recipients than any message has: what names a later place is damaged.
pub const PLACES_MAX: usize = 1 << 17;

/// A step in a message's life.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Step {
    /// Unix time in milliseconds.
    #[n(0)]
    pub time_ms: u64,
    /// What was done.
    #[n(1)]
    pub what: What,
}

/// What was done with a message.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum What {
    /// Recipients that had no room in [`Facts::recipients`].
    #[n(0)]
    Recipients {
        /// The place of the first of them.
        #[n(0)]
        first: u32,
        /// They and those behind.
        #[n(1)]
        addresses: Vec<Box<str>>,
    },
    /// Aliases, contacts and groups were replaced by those behind them.
    #[n(1)]
    Resolved {
        /// Whom the peer named.
        #[n(0)]
        named: Vec<Box<str>>,
    },
    /// It was put into a queue.
    #[n(2)]
    Routed {
        /// The recipients that go this way.
        #[n(0)]
        recipients: Vec<u32>,
        /// The way.
        #[n(1)]
        way: Way,
    },
    /// Somebody was asked to take it, or nobody could be asked.
    #[n(3)]
    Attempt(#[n(0)] Box<Attempt>),
    /// A report was made, which is a message of its own.
    #[n(4)]
    Report {
        /// The queue id of the report.
        #[n(0)]
        queue_id: u64,
        /// What it says.
        #[n(1)]
        kind: ReportKind,
        /// Whom it went to.
        #[n(2)]
        to: Box<str>,
    },
    /// An administrator did something with it.
    #[n(5)]
    Administrator {
        /// Who: `uid 0`.
        #[n(0)]
        who: Box<str>,
        /// What, as a word: `remove`, `suspend`, `resume`, `retry`, `redirect`, `export`.
        #[n(1)]
        action: Box<str>,
        /// What else is to be said: where it was redirected to.
        #[n(2)]
        detail: Option<Box<str>>,
        /// Recipients that ended by it.
        #[n(3)]
        outcomes: Vec<Outcome>,
    },
    /// It is held: damaged on the disk, or suspected of crashing the server.
    #[n(6)]
    Held {
        /// Why.
        #[n(0)]
        reason: Box<str>,
    },
    /// While it waited, a connection to its next hop could not be opened. Never recorded with the message: a search adds it of the
    /// connections that were recorded ([`Outbound`]), so that a million messages which wait for one next hop cost nothing.
    #[n(7)]
    NoConnection {
        /// The way that it waited for.
        #[n(0)]
        way: Way,
        /// The name of the server; `None` if none was found.
        #[n(1)]
        remote: Option<Box<str>>,
        /// Its address.
        #[n(2)]
        address: Option<SocketAddr>,
        /// Why.
        #[n(3)]
        reason: Box<str>,
        /// How often, for this reason.
        #[n(4)]
        count: u32,
        /// When that was for the last time, Unix time in milliseconds.
        #[n(5)]
        until_ms: u64,
    },
}

impl What {
    /// What it says of recipients.
    pub fn outcomes(&self) -> &[Outcome] {
        match self {
            What::Attempt(attempt) => &attempt.outcomes,
            What::Administrator { outcomes, .. } => outcomes,
            _ => &[],
        }
    }
}

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Way {
    /// The send connector; empty for mailboxes here, and where there is no way.
    #[n(0)]
    #[cbor(with = "shared_text")]
    pub connector: Arc<str>,
    /// Where it leads, as queues are named: a domain, a smart host, `local delivery`, `unreachable`, `refused`.
    #[n(1)]
    #[cbor(with = "shared_text")]
    pub next_hop: Arc<str>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Attempt {
    /// The way that was tried.
    #[n(0)]
    pub way: Way,
    /// The name of the server that answered.
    #[n(1)]
    pub remote: Option<Box<str>>,
    /// Its address.
    #[n(2)]
    pub address: Option<SocketAddr>,
    /// Inside TLS.
    #[n(3)]
    pub tls: Option<Tls>,
    /// How long it took, in milliseconds; that includes opening a connection, if one was opened for it.
    #[n(4)]
    pub duration_ms: u64,
    /// What became of each recipient.
    #[n(5)]
    pub outcomes: Vec<Outcome>,
    /// Whether it was read from the spool's log, which says when and with which reply, but neither host nor TLS nor how long. Told by
    /// the part that it stands in.
    #[cbor(skip)]
    pub is_recovered: bool,
}

/// What became of a recipient.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Outcome {
    /// Its place among the recipients.
    #[n(0)]
    pub recipient: u32,
    /// How it stands.
    #[n(1)]
    pub verdict: Verdict,
    /// What was answered, or our own word.
    #[n(2)]
    pub reply: Box<str>,
}

/// How a recipient stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Verdict {
    /// A next hop or a mailbox has it.
    #[n(0)]
    Delivered,
    /// It is tried again.
    #[n(1)]
    Deferred {
        /// When, Unix time in milliseconds.
        #[n(0)]
        until_ms: u64,
    },
    /// It was refused for good.
    #[n(2)]
    Failed,
    /// It waited for too long.
    #[n(3)]
    Expired,
    /// An administrator took it out.
    #[n(4)]
    Removed,
    /// It has come to its end; the spool's log does not say to which.
    #[n(5)]
    Ended,
}

impl Verdict {
    /// Whether the recipient is still pending.
    pub fn is_pending(self) -> bool {
        matches!(self, Verdict::Deferred { .. })
    }
}

/// A peer's connection, from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Connection {
    /// Its number: no other connection of this server has it, those before a restart included.
    #[n(0)]
    pub id: u64,
    /// When it began, Unix time in milliseconds.
    #[n(1)]
    pub time_ms: u64,
    /// How long it lasted, in milliseconds.
    #[n(2)]
    pub duration_ms: u64,
    /// Where the peer came from.
    #[n(3)]
    pub peer: SocketAddr,
    /// Where it came to.
    #[n(4)]
    pub local: SocketAddr,
    /// The receive connector.
    #[n(5)]
    #[cbor(with = "shared_text")]
    pub connector: Arc<str>,
    /// What the peer called itself last.
    #[n(6)]
    pub hello: Option<Box<str>>,
    /// Who it was at the end, as logs name it.
    #[n(7)]
    pub principal: Box<str>,
    /// Inside TLS.
    #[n(8)]
    pub tls: Option<Tls>,
    /// Messages accepted.
    #[n(9)]
    pub messages: u32,
    /// Commands and contents refused.
    #[n(10)]
    pub refusals: u32,
    /// Why it ended, in half a sentence.
    #[n(11)]
    pub end: Box<str>,
}

/// A connection of ours to a next hop.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Outbound {
    /// When we began to open it, Unix time in milliseconds.
    #[n(0)]
    pub time_ms: u64,
    /// How long it lasted, in milliseconds.
    #[n(1)]
    pub duration_ms: u64,
    /// The way that it was opened for.
    #[n(2)]
    pub way: Way,
    /// The name of the server; `None` if none was found.
    #[n(3)]
    pub remote: Option<Box<str>>,
    /// Its address.
    #[n(4)]
    pub address: Option<SocketAddr>,
    /// Inside TLS.
    #[n(5)]
    pub tls: Option<Tls>,
    /// Transactions begun.
    #[n(6)]
    pub messages: u32,
    /// Why it ended, or could not be opened.
    #[n(7)]
    pub end: Box<str>,
    /// Whether it was opened.
    #[n(8)]
    pub is_opened: bool,
}

/// Other settings are in force.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Settings {
    /// Since when, Unix time in milliseconds.
    #[n(0)]
    pub time_ms: u64,
    /// Its number in the history of settings.
    #[n(1)]
    pub revision: u64,
    /// The document, by the number of its [`RevisionId`](crate::RevisionId).
    #[n(2)]
    pub document: u64,
    /// Who had them loaded: `uid 0`, `start`.
    #[n(3)]
    pub who: Box<str>,
}

/// A resource is pressed more, or less.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Pressure {
    /// Unix time in milliseconds.
    #[n(0)]
    pub time_ms: u64,
    /// Which resource.
    #[n(1)]
    pub resource: Box<str>,
    /// `Normal`, `Medium`, `High`.
    #[n(2)]
    pub level: Box<str>,
}

/// Names that many events share.
mod shared_text {
    use std::sync::Arc;

    use minicbor::decode::{Decoder, Error};
    use minicbor::encode::{self, Encoder, Write};

    pub fn encode<C, W: Write>(text: &Arc<str>, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.str(text)?.ok()
    }

    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Arc<str>, Error> {
        d.str().map(Arc::from)
    }
}
