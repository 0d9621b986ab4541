//! The client's side of the dialogue: [`Client`], one connection to a next hop.

use std::time::{Duration, Instant};

use gatepost_mail::{BodyType, Recipient, Reply, Return, ReversePath};

use crate::extension::Extensions;

/// Whether to use STARTTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsWish {
    /// Not at all.
    Never,
    /// When it is offered.
    Opportunistic,
    /// Or give up.
    Required,
}

/// How long to wait for each reply (RFC 5321 section 4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the greeting.
    pub greeting: Duration,
    /// For the reply to each command but those below.
    pub command: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For each write of content; the caller's to keep.
    pub block: Duration,
    /// For the reply to the end of the content.
    pub end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            greeting: Duration::from_secs(5 * 60),
            command: Duration::from_secs(5 * 60),
            data: Duration::from_secs(2 * 60),
            block: Duration::from_secs(3 * 60),
            end: Duration::from_secs(10 * 60),
        }
    }
}

/// How to behave on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What to call ourselves in EHLO.
    pub hello_name: String,
    /// Whether to use STARTTLS.
    pub tls: TlsWish,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// What to send in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// Where reports go.
    pub reverse_path: &'a ReversePath,
    /// At least one, each with the caller's number for it.
    pub recipients: &'a [(usize, &'a Recipient)],
    /// What the content is.
    pub body: BodyType,
    /// The exact number of bytes that will be given to [`Client::content`].
    pub size: u64,
    /// Whether the next hop must offer SMTPUTF8.
    pub smtputf8: bool,
    /// The RET parameter.
    pub ret: Option<Return>,
    /// The ENVID parameter, xtext.
    pub envid: Option<&'a str>,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientResult {
    /// The caller's number for it.
    pub index: usize,
    /// The last word: the refusal at MAIL, RCPT or DATA, or the reply to the end of the content.
    pub reply: Reply,
}

/// Where in the dialogue something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Greeting.
    Greeting,
    /// EHLO and HELO.
    Hello,
    /// STARTTLS and the handshake.
    StartTls,
    /// Between transactions.
    Idle,
}

/// Why a connection cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage:?}: {reply}")]
pub struct ClientError {
    /// Where.
    pub stage: Stage,
    /// What the peer said, or what we say in its place.
    pub reply: Reply,
}

/// What the caller is to do next.
#[derive(Debug)]
pub enum ClientOutput<'b> {
    /// Bytes for the peer; may be gathered until NeedInput, StartTls, Content or Close.
    Send(&'b [u8]),
    /// Do the TLS handshake, then call `tls_started` or `tls_failed`.
    StartTls,
    /// Give the next transaction by `begin`, or `quit`.
    Ready,
    /// Stream the content through `content` and `content_end`.
    Content,
    /// The reply to one RCPT.
    Recipient {
        /// The caller's number for it.
        index: usize,
        /// What was said.
        reply: Reply,
    },
    /// The transaction is over: one result for each recipient.
    Finished(Vec<RecipientResult>),
    /// Read more.
    NeedInput,
    /// The connection cannot be used; close it.
    Failed(ClientError),
    /// Close the connection.
    Close,
}

/// One connection to a next hop, the client's side.
#[derive(Debug)]
pub struct Client {}

#[allow(clippy::unimplemented, unused_variables, missing_docs)]
impl Client {
    pub fn new(now: Instant, options: Options) -> Client {
        unimplemented!()
    }
    pub fn receive<'b>(&'b mut self, now: Instant, bytes: &'b [u8]) -> (usize, ClientOutput<'b>) {
        unimplemented!()
    }
    /// Only after Ready.
    pub fn begin(&mut self, now: Instant, transaction: Transaction<'_>) {
        unimplemented!()
    }
    pub fn content(&mut self, slice: &[u8], out: &mut Vec<u8>) {
        unimplemented!()
    }
    pub fn content_end(&mut self, now: Instant, out: &mut Vec<u8>) {
        unimplemented!()
    }
    pub fn quit(&mut self, now: Instant) {
        unimplemented!()
    }
    pub fn timeout(&mut self, now: Instant) {
        unimplemented!()
    }
    /// The peer closed the connection or it broke: the next `receive` says what became of the transaction.
    pub fn disconnected(&mut self) {
        unimplemented!()
    }
    pub fn deadline(&self) -> Option<Instant> {
        unimplemented!()
    }
    pub fn tls_started(&mut self, now: Instant) {
        unimplemented!()
    }
    pub fn tls_failed(&mut self) {
        unimplemented!()
    }
    pub fn supports(&self) -> &Extensions {
        unimplemented!()
    }
}
