//! The client's side of the dialogue: [`Client`], one connection to a next hop. Takes bytes and transactions, hands on
//! bytes and what became of each recipient. Never decides what to do about a failure.

mod transaction;
mod logon;
mod content;
mod reply;

use std::time::{Duration, Instant};

use gatepost_mail::address::DOMAIN_BYTES_MAX;
use gatepost_mail::{Class, Recipient, Reply};

use content::DotStuffer;
use logon::Attempt;
pub use logon::{Logon, NONCE_BYTES};
use reply::ReplyReader;
use transaction::{Carrier, Exchange, Meaning, Next};
pub use transaction::{RecipientResult, Transaction};

use crate::extension::Extensions;
use crate::logon_mechanism::{LogonMechanism, LogonMechanisms};

/// How long to wait for the reply to QUIT, which changes nothing any more.
const QUIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Buffers larger than this are given back once they are empty, so that an idle connection is small.
const KEPT_CAPACITY_BYTES: usize = 512;

const NONSENSE: Reply = Reply::new(421, (4, 4, 0), "Remote server response was not RFC conformant");
const TIMED_OUT: Reply = Reply::new(421, (4, 4, 2), "Connection timed out");
const DROPPED: Reply = Reply::new(421, (4, 4, 2), "Connection dropped");
const LOGON_FAILED: Reply = Reply::new(454, (4, 7, 0), "Logon to the next hop failed");
const WRONG_SIZE: Reply = Reply::new(451, (4, 3, 0), "Local error: the content is not as long as announced");
const NOT_READY: Reply = Reply::new(451, (4, 3, 0), "Local error: the connection was not ready");

/// What is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// SMTP: one reply to the content, for all recipients.
    #[default]
    Smtp,
    /// LMTP (RFC 2033): LHLO, and a reply to the content for each recipient that was taken at RCPT.
    Lmtp,
}

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
    /// What is spoken.
    pub protocol: Protocol,
    /// What to call ourselves in EHLO.
    pub hello_name: String,
    /// Whether to say HELO at once, and use no extension.
    pub force_helo: bool,
    /// Whether to use STARTTLS.
    pub tls: TlsWish,
    /// Whether the connection is inside TLS before anything is said.
    pub is_in_tls: bool,
    /// Who we are for this next hop, if we are to log on. Without success there is no transaction.
    pub logon: Option<Logon>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

impl Options {
    /// What most next hops get: EHLO, TLS where it is offered, no logon.
    pub fn new(hello_name: impl Into<String>) -> Options {
        Options {
            hello_name: hello_name.into(),
            protocol: Protocol::Smtp,
            force_helo: false,
            tls: TlsWish::Opportunistic,
            is_in_tls: false,
            logon: None,
            timeouts: Timeouts::default(),
        }
    }
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
    /// AUTH and what follows it.
    Logon,
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
    /// Bytes for the peer. May be gathered until [`ClientOutput::NeedInput`], [`ClientOutput::StartTls`],
    /// [`ClientOutput::Content`] or [`ClientOutput::Close`].
    Send(&'b [u8]),
    /// The same, and it holds a password or what one could be guessed from. What may be shown of it is beside it.
    SendSecret {
        /// What to send.
        bytes: &'b [u8],
        /// What to show, without line end.
        shown: &'b str,
    },
    /// Send what was gathered, do the TLS handshake, then call [`Client::tls_started`] or [`Client::tls_failed`]. What
    /// the peer sent behind its 220 has been dropped.
    StartTls,
    /// Give the next transaction by [`Client::begin`], or [`Client::quit`]. Said once for each transaction.
    Ready,
    /// Give the content by [`Client::content`] and [`Client::content_end`], within
    /// [`Timeouts::block`] for each write. Said once.
    Content,
    /// The reply to one RCPT.
    Recipient {
        /// The caller's number for it.
        index: usize,
        /// What was said.
        reply: Reply,
    },
    /// The transaction is over: one result for each recipient, in the order given.
    Finished(Vec<RecipientResult>),
    /// Everything is consumed: read more, or call [`Client::timeout`] at the deadline.
    NeedInput,
    /// The connection cannot be used, and no transaction was open; close it.
    Failed(ClientError),
    /// Send what was gathered and close the connection.
    Close,
}

/// One connection to a next hop, the client's side.
///
/// The caller's loop is that of [`Session`](crate::Session): [`Client::receive`] until it says
/// [`ClientOutput::NeedInput`], then read.
#[derive(Debug)]
pub struct Client {
    options: Options,
    state: State,
    replies: ReplyReader,
    extensions: Extensions,
    /// The first word of the last reply to EHLO or HELO.
    peer_name: String,
    is_in_tls: bool,
    /// The mechanism by which we are logged on.
    logged_on: Option<LogonMechanism>,
    /// Mechanisms that the peer offers and does not take.
    mechanisms_refused: LogonMechanisms,
    /// What may be shown of `out`, if it is not to be shown itself.
    shown: Option<String>,
    /// Whether the peer still holds what is left of a transaction that failed before its content.
    needs_rset: bool,
    out: Vec<u8>,
    /// Whether `out` has been handed out and is to be emptied at the next call.
    out_is_handed_out: bool,
    deadline: Option<Instant>,
}

/// Where the dialogue stands: named after what the peer has to say next, where it is the peer's turn.
#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// The caller does the handshake.
    Handshake,
    /// A challenge, or the reply that ends the logon.
    Logon(Box<Attempt>),
    /// Between transactions.
    Idle {
        is_told: bool,
    },
    /// Replies to the commands of a transaction.
    Exchange(Exchange),
    /// The caller gives the content.
    Content {
        exchange: Exchange,
        writer: Writer,
        is_told: bool,
    },
    /// The reply to the end of the content.
    End(Exchange),
    /// The reply to the end of content that no recipient gets.
    EmptyEnd(Exchange),
    /// Results wait to be handed out; then the connection goes on or not.
    Finished {
        results: Vec<RecipientResult>,
        is_usable: bool,
    },
    /// An error waits to be handed out.
    Failed(ClientError),
    Quit,
    Closed,
}

/// How the content is being written.
#[derive(Debug)]
enum Writer {
    Dots(DotStuffer),
    Counted { left: u64, is_overrun: bool },
}

/// A [`ClientOutput`] that borrows nothing yet.
#[derive(Debug)]
enum Step {
    Send,
    SendSecret,
    StartTls,
    Ready,
    Content,
    Recipient { index: usize, reply: Reply },
    Finished(Vec<RecipientResult>),
    NeedInput,
    Failed(ClientError),
    Close,
}

impl Client {
    /// A client whose connection has just been made.
    pub fn new(now: Instant, options: Options) -> Client {
        let deadline = now.checked_add(options.timeouts.greeting);
        let is_in_tls = options.is_in_tls;
        Client {
            options,
            state: State::Greeting,
            replies: ReplyReader::default(),
            extensions: Extensions::default(),
            peer_name: String::new(),
            is_in_tls,
            logged_on: None,
            mechanisms_refused: LogonMechanisms::default(),
            shown: None,
            needs_rset: false,
            out: Vec::new(),
            out_is_handed_out: false,
            deadline,
        }
    }

    /// Consumes a part of `bytes`: how many, and what to do. To be called again with the rest, even if it is empty,
    /// until it says [`ClientOutput::NeedInput`].
    pub fn receive<'b>(&'b mut self, now: Instant, bytes: &'b [u8]) -> (usize, ClientOutput<'b>) {
        let (used, step) = self.step(now, bytes);
        let output = match step {
            Step::Send => ClientOutput::Send(&self.out),
            Step::SendSecret => {
                ClientOutput::SendSecret { bytes: &self.out, shown: self.shown.as_deref().unwrap_or_default() }
            }
            Step::StartTls => ClientOutput::StartTls,
            Step::Ready => ClientOutput::Ready,
            Step::Content => ClientOutput::Content,
            Step::Recipient { index, reply } => ClientOutput::Recipient { index, reply },
            Step::Finished(results) => ClientOutput::Finished(results),
            Step::NeedInput => ClientOutput::NeedInput,
            Step::Failed(error) => ClientOutput::Failed(error),
            Step::Close => ClientOutput::Close,
        };
        (used, output)
    }

    /// Starts a transaction. To be called after [`ClientOutput::Ready`]; otherwise every recipient is deferred and the
    /// connection closed.
    pub fn begin(&mut self, now: Instant, transaction: Transaction<'_>) {
        let refuse_all = |reply: &Reply, is_usable| State::Finished {
            results: transaction
                .recipients
                .iter()
                .map(|(index, _)| RecipientResult { index: *index, reply: reply.clone() })
                .collect(),
            is_usable,
        };
        if !matches!(self.state, State::Idle { .. }) {
            self.state = refuse_all(&NOT_READY, false);
            return;
        }
        match Exchange::new(transaction, &self.extensions, self.needs_rset) {
            Ok(exchange) => {
                self.needs_rset = false;
                self.send_commands(now, exchange);
            }
            Err(reply) => self.state = refuse_all(&reply, true),
        }
    }

    /// Asks whether the peer would take mail for `recipient` from the null reverse-path: a transaction that ends behind
    /// its RCPT (RFC 5321 section 3.3 lets it end there). The reply to RCPT comes as [`ClientOutput::Recipient`]; a
    /// [`ClientOutput::Finished`] without one tells nothing about the recipient. To be called after
    /// [`ClientOutput::Ready`], as [`Client::begin`] is.
    pub fn ask(&mut self, now: Instant, recipient: &Recipient) {
        if !matches!(self.state, State::Idle { .. }) {
            let results = vec![RecipientResult { index: 0, reply: NOT_READY }];
            self.state = State::Finished { results, is_usable: false };
            return;
        }
        let exchange = Exchange::asking(recipient, &self.extensions, self.needs_rset);
        self.needs_rset = false;
        self.send_commands(now, exchange);
    }

    /// Appends a slice of the content to `out` as it goes on the wire. Does nothing unless content is due.
    pub fn content(&mut self, slice: &[u8], out: &mut Vec<u8>) {
        match &mut self.state {
            State::Content { writer: Writer::Dots(stuffer), .. } => stuffer.write(slice, out),
            State::Content { writer: Writer::Counted { left, is_overrun }, .. } => {
                match left.checked_sub(slice.len() as u64) {
                    Some(after) => {
                        *left = after;
                        out.extend_from_slice(slice);
                    }
                    // What is beyond the announced size would be taken for commands.
                    None => *is_overrun = true,
                }
            }
            _ => {}
        }
    }

    /// Appends the end of the content to `out`. If a counted content was not as long as announced, the transaction ends
    /// here and the connection with it. Does nothing unless content is due.
    pub fn content_end(&mut self, now: Instant, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Content { exchange, writer: Writer::Dots(mut stuffer), .. } => {
                stuffer.finish(out);
                self.await_end(now, State::End(exchange));
            }
            State::Content { exchange, writer: Writer::Counted { left: 0, is_overrun: false }, .. } => {
                self.await_end(now, State::End(exchange));
            }
            State::Content { exchange, writer: Writer::Counted { .. }, .. } => {
                self.state = State::Finished { results: exchange.into_results(&WRONG_SIZE), is_usable: false };
            }
            other => self.state = other,
        }
    }

    /// Says QUIT. Only between transactions; otherwise it does nothing.
    pub fn quit(&mut self, now: Instant) {
        if matches!(self.state, State::Idle { .. }) {
            self.say("QUIT");
            self.state = State::Quit;
            self.wait(now, QUIT_TIMEOUT);
        }
    }

    /// The deadline has passed: the next outputs say what became of the transaction or connection.
    pub fn timeout(&mut self, _now: Instant) {
        self.give_up(&TIMED_OUT);
    }

    /// The peer closed the connection, or it broke: the next outputs say what became of the transaction or connection.
    pub fn disconnected(&mut self) {
        self.give_up(&DROPPED);
    }

    /// The peer said something when it was not its turn: what it says from here on answers to nothing that we said. The
    /// next outputs say what became of the transaction or connection.
    pub fn spoken_to(&mut self) {
        self.give_up(&NONSENSE);
    }

    /// Not all of the content that was given reached the peer, and nothing more will. A refusal that it has said meanwhile
    /// may still be received; to anything else it says there is no message.
    pub fn content_cut(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::End(exchange) | State::Content { exchange, .. } => {
                let writer = Writer::Counted { left: 0, is_overrun: true };
                State::Content { exchange, writer, is_told: true }
            }
            other => other,
        };
        self.deadline = None;
    }

    /// When to call [`Client::timeout`]; `None` while it is not the peer that we wait for.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The handshake that [`ClientOutput::StartTls`] asked for is done.
    pub fn tls_started(&mut self, now: Instant) {
        if matches!(self.state, State::Handshake) {
            self.is_in_tls = true;
            self.hello(now, State::Ehlo);
        }
    }

    /// The handshake failed. The connection is lost whatever [`TlsWish`] says; the caller may make another one and ask
    /// for no TLS there.
    pub fn tls_failed(&mut self) {
        if matches!(self.state, State::Handshake) {
            self.give_up(&Reply::new(421, (4, 7, 5), "TLS handshake failed"));
        }
    }

    /// The mechanism by which we are logged on, if we are.
    pub fn logged_on(&self) -> Option<LogonMechanism> {
        self.logged_on
    }

    /// Who the peer says it is: the name in its reply to EHLO or HELO (RFC 5321 section 4.1.1.1).
    pub fn peer_name(&self) -> &str {
        &self.peer_name
    }

    /// What the peer offers.
    pub fn supports(&self) -> &Extensions {
        &self.extensions
    }

    fn step(&mut self, now: Instant, bytes: &[u8]) -> (usize, Step) {
        if std::mem::take(&mut self.out_is_handed_out) {
            if self.out.capacity() > KEPT_CAPACITY_BYTES {
                self.out = Vec::new();
            } else {
                self.out.clear();
            }
            if self.shown.take().is_some() {
                // A password is not left lying about.
                self.out = Vec::new();
            }
        }
        let mut used = 0;
        loop {
            if !self.out.is_empty() {
                self.out_is_handed_out = true;
                return (used, if self.shown.is_some() { Step::SendSecret } else { Step::Send });
            }
            match std::mem::replace(&mut self.state, State::Closed) {
                State::Handshake => {
                    self.state = State::Handshake;
                    return (bytes.len(), Step::NeedInput);
                }
                State::Closed => return (bytes.len(), Step::Close),
                State::Failed(error) => return (used, Step::Failed(error)),
                State::Finished { results, is_usable } => {
                    if is_usable {
                        self.state = State::Idle { is_told: false };
                    }
                    return (used, Step::Finished(results));
                }
                State::Idle { is_told: false } => {
                    self.state = State::Idle { is_told: true };
                    return (used, Step::Ready);
                }
                State::Content { exchange, writer, is_told: false } => {
                    self.state = State::Content { exchange, writer, is_told: true };
                    return (used, Step::Content);
                }
                other => self.state = other,
            }
            let rest = &bytes[used..];
            let is_ehlo = matches!(self.state, State::Ehlo);
            let (n, read) = self.replies.read(rest, |line| {
                if is_ehlo {
                    self.extensions.note(line);
                }
            });
            used += n;
            match read {
                None => return (used, Step::NeedInput),
                Some(Err(_)) => self.give_up(&NONSENSE),
                Some(Ok(reply)) => {
                    if let Some(step) = self.take_reply(now, reply) {
                        // What follows the 220 to STARTTLS did not come through TLS and counts for nothing.
                        let used = if matches!(step, Step::StartTls) { bytes.len() } else { used };
                        return (used, step);
                    }
                }
            }
        }
    }

    fn take_reply(&mut self, now: Instant, reply: Reply) -> Option<Step> {
        // RFC 5321 section 3.8: 421 to anything means that the peer closes.
        if reply.code == 421 {
            self.give_up(&reply);
            return None;
        }
        if matches!(self.state, State::Ehlo | State::Helo) {
            let name = reply.text.split_ascii_whitespace().next().unwrap_or_default();
            self.peer_name = name.chars().take(DOMAIN_BYTES_MAX).collect();
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Greeting => match reply.code {
                220 => self.hello(now, if self.options.force_helo { State::Helo } else { State::Ehlo }),
                _ => self.fail(Stage::Greeting, reply),
            },
            State::Ehlo => match reply.class() {
                Class::Success => return self.greeted(now),
                // There is no older greeting in LMTP (RFC 2033 section 4.1).
                Class::Permanent if self.options.protocol == Protocol::Smtp => self.hello(now, State::Helo),
                _ => self.fail(Stage::Hello, reply),
            },
            State::Helo => match reply.class() {
                Class::Success => return self.greeted(now),
                _ => self.fail(Stage::Hello, reply),
            },
            State::StartTls => match (reply.code, self.options.tls) {
                (220, _) => {
                    self.replies = ReplyReader::default();
                    self.state = State::Handshake;
                    self.deadline = None;
                    return Some(Step::StartTls);
                }
                (_, TlsWish::Required) => self.fail(Stage::StartTls, reply),
                _ => self.log_on(now),
            },
            State::Logon(attempt) => self.take_logon_reply(now, attempt, reply),
            State::Exchange(exchange) => return self.take_exchange_reply(now, exchange, reply),
            State::End(mut exchange) => {
                self.deadline = None;
                self.state = match reply.class() {
                    Class::Intermediate => {
                        State::Finished { results: exchange.into_results(&NONSENSE), is_usable: false }
                    }
                    _ if self.options.protocol == Protocol::Lmtp && exchange.take_end_reply(&reply) => {
                        self.await_end(now, State::End(exchange));
                        return None;
                    }
                    _ => State::Finished { results: exchange.into_results(&reply), is_usable: true },
                };
            }
            State::EmptyEnd(exchange) => {
                self.deadline = None;
                self.state = State::Finished { results: exchange.into_results(&reply), is_usable: true };
            }
            // A reply before the end of the content: what is still to be sent would answer to nothing.
            State::Content { exchange, .. } => {
                let last_word = if reply.is_positive() { NONSENSE } else { reply };
                self.state = State::Finished { results: exchange.into_results(&last_word), is_usable: false };
            }
            State::Idle { .. } => self.fail(Stage::Idle, NONSENSE),
            State::Quit | State::Closed | State::Handshake | State::Finished { .. } | State::Failed(_) => {}
        }
        None
    }

    fn take_exchange_reply(&mut self, now: Instant, mut exchange: Exchange, reply: Reply) -> Option<Step> {
        let step = match exchange.take_reply(reply) {
            Meaning::Noted => None,
            Meaning::Recipient { index, reply } => Some(Step::Recipient { index, reply }),
            Meaning::Nonsense => {
                self.state = State::Finished { results: exchange.into_results(&NONSENSE), is_usable: false };
                return None;
            }
        };
        match exchange.next() {
            Next::Wait => {
                self.wait_for_reply(now, &exchange);
                self.state = State::Exchange(exchange);
            }
            Next::Send => self.send_commands(now, exchange),
            Next::Content => {
                let writer = match exchange.carrier() {
                    Carrier::Data => Writer::Dots(DotStuffer::new()),
                    Carrier::Bdat(size) => {
                        self.say(&format!("BDAT {size} LAST"));
                        Writer::Counted { left: size, is_overrun: false }
                    }
                    // It never comes to content then.
                    Carrier::Nothing => Writer::Counted { left: 0, is_overrun: false },
                };
                self.deadline = None;
                self.state = State::Content { exchange, writer, is_told: false };
            }
            Next::EmptyContent if self.options.protocol == Protocol::Lmtp => {
                // The peer should not have taken DATA (RFC 2033 section 4.2), and owes no reply to its end.
                self.say(".");
                self.deadline = None;
                self.state = State::Finished { results: exchange.into_results(&NONSENSE), is_usable: false };
            }
            Next::EmptyContent => {
                self.say(".");
                self.await_end(now, State::EmptyEnd(exchange));
            }
            Next::Nothing => {
                self.deadline = None;
                self.needs_rset = exchange.is_open();
                // Nobody is left who would get this word.
                self.state = State::Finished { results: exchange.into_results(&NONSENSE), is_usable: true };
            }
        }
        step
    }

    /// EHLO or HELO was accepted.
    fn greeted(&mut self, now: Instant) -> Option<Step> {
        match (self.options.tls, self.extensions.starttls) {
            _ if self.is_in_tls => self.log_on(now),
            (TlsWish::Opportunistic | TlsWish::Required, true) => {
                self.say("STARTTLS");
                self.state = State::StartTls;
                self.wait(now, self.options.timeouts.command);
            }
            (TlsWish::Required, false) => {
                let reply = Reply::new(451, (4, 7, 4), "TLS is required, but the next hop does not offer STARTTLS");
                self.fail(Stage::StartTls, reply);
            }
            (TlsWish::Opportunistic, false) | (TlsWish::Never, _) => self.log_on(now),
        }
        None
    }

    /// Begins to log on by the best mechanism that is left, if that is to be done.
    fn log_on(&mut self, now: Instant) {
        let Some(logon) = &self.options.logon else { return self.become_idle() };
        let untried = self.extensions.mechanisms.and(logon.mechanisms).and(!self.mechanisms_refused);
        let refusal = match untried.best(self.is_in_tls) {
            _ if !self.is_in_tls && !logon.may_be_in_clear => {
                "The password is to be said inside TLS only, and the next hop offers none"
            }
            Some(mechanism) => {
                let (attempt, command) = Attempt::begin(mechanism, logon, self.is_in_tls);
                self.say_secret(&command, format!("AUTH {} <authentication response>", mechanism.as_str()));
                self.state = State::Logon(Box::new(attempt));
                return self.wait(now, self.options.timeouts.command);
            }
            None if self.extensions.auth => "The next hop offers no mechanism to log on by that may be used here",
            None => "The next hop offers no logon",
        };
        self.fail(Stage::Logon, LOGON_FAILED.with_text(refusal));
    }

    fn take_logon_reply(&mut self, now: Instant, mut attempt: Box<Attempt>, reply: Reply) {
        let Some(logon) = &self.options.logon else { return self.give_up(&NONSENSE) };
        let mechanism = attempt.mechanism;
        let fault = match reply.code {
            334 => match attempt.answer(&reply.text, logon) {
                Ok(answer) => {
                    self.say_secret(&answer, "<authentication response>".to_owned());
                    self.state = State::Logon(attempt);
                    return self.wait(now, self.options.timeouts.command);
                }
                Err(fault) => fault,
            },
            235 => match attempt.succeed() {
                Ok(()) => {
                    self.logged_on = Some(mechanism);
                    return self.become_idle();
                }
                Err(fault) => fault,
            },
            // It does not do what it offers, or not for this user (RFC 4954 sections 4 and 6).
            504 | 534 | 538 => {
                self.mechanisms_refused = self.mechanisms_refused | mechanism.into();
                let left = self.extensions.mechanisms.and(logon.mechanisms).and(!self.mechanisms_refused);
                return match left.best(self.is_in_tls) {
                    Some(_) => self.log_on(now),
                    None => self.fail(Stage::Logon, reply),
                };
            }
            _ if matches!(reply.class(), Class::Transient | Class::Permanent) => return self.fail(Stage::Logon, reply),
            _ => return self.fail(Stage::Logon, NONSENSE),
        };
        let text = format!("{} by {}: {fault}", LOGON_FAILED.text, mechanism.as_str());
        self.fail(Stage::Logon, LOGON_FAILED.with_text(text));
    }

    /// Says EHLO or HELO, forgetting what was learned before.
    fn hello(&mut self, now: Instant, state: State) {
        let verb = match (self.options.protocol, &state) {
            (Protocol::Lmtp, _) => "LHLO",
            (Protocol::Smtp, State::Helo) => "HELO",
            (Protocol::Smtp, _) => "EHLO",
        };
        self.extensions = Extensions::default();
        self.say(&format!("{verb} {}", self.options.hello_name));
        self.state = state;
        self.wait(now, self.options.timeouts.command);
    }

    fn become_idle(&mut self) {
        self.deadline = None;
        self.state = State::Idle { is_told: false };
    }

    fn send_commands(&mut self, now: Instant, mut exchange: Exchange) {
        exchange.send(self.extensions.pipelining, &mut self.out);
        self.wait_for_reply(now, &exchange);
        self.state = State::Exchange(exchange);
    }

    fn wait_for_reply(&mut self, now: Instant, exchange: &Exchange) {
        let timeouts = &self.options.timeouts;
        self.wait(now, if exchange.awaits_data() { timeouts.data } else { timeouts.command });
    }

    fn await_end(&mut self, now: Instant, state: State) {
        self.state = state;
        self.wait(now, self.options.timeouts.end);
    }

    fn wait(&mut self, now: Instant, timeout: Duration) {
        self.deadline = now.checked_add(timeout);
    }

    fn say_secret(&mut self, line: &str, shown: String) {
        self.shown = Some(shown);
        self.say(line);
    }

    fn say(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn fail(&mut self, stage: Stage, reply: Reply) {
        self.deadline = None;
        self.state = State::Failed(ClientError { stage, reply });
    }

    /// The connection is of no more use, for this reason.
    fn give_up(&mut self, reply: &Reply) {
        self.deadline = None;
        // What has not been sent will not be.
        self.out.clear();
        self.out_is_handed_out = false;
        self.shown = None;
        let stage = match std::mem::replace(&mut self.state, State::Closed) {
            State::Greeting => Stage::Greeting,
            State::Ehlo | State::Helo => Stage::Hello,
            State::StartTls | State::Handshake => Stage::StartTls,
            State::Logon(_) => Stage::Logon,
            State::Idle { .. } => Stage::Idle,
            State::Exchange(exchange)
            | State::Content { exchange, .. }
            | State::End(exchange)
            | State::EmptyEnd(exchange) => {
                self.state = State::Finished { results: exchange.into_results(reply), is_usable: false };
                return;
            }
            // What is known stands; only the connection is gone.
            State::Finished { results, .. } => {
                self.state = State::Finished { results, is_usable: false };
                return;
            }
            State::Failed(error) => {
                self.state = State::Failed(error);
                return;
            }
            State::Quit | State::Closed => return,
        };
        self.fail(stage, reply.clone());
    }
}

#[cfg(test)]
mod tests {
    use gatepost_mail::{BodyType, Mailbox, ReversePath};

    use super::*;

    /// RFC 5321 section 4.5.3.2.
    #[test]
    fn each_wait_has_its_own_limit_and_there_is_none_while_it_is_our_turn() {
        let now = Instant::now();
        let minutes = |n: u64| Some(now + Duration::from_secs(60 * n));
        let options = Options { tls: TlsWish::Never, ..Options::new("a") };
        let mut client = Client::new(now, options);
        assert_eq!(client.deadline(), minutes(5), "greeting");

        let recipient = Recipient::new(Mailbox::parse("bob@contoso.com").expect("an address"));
        for (replies, expected, what) in [
            ("220 a\r\n", minutes(5), "EHLO"),
            ("250 a\r\n", minutes(5), "MAIL"),
            ("250 a\r\n", minutes(5), "RCPT"),
            ("250 a\r\n", minutes(2), "DATA"),
            ("354 a\r\n", minutes(10), "end of content"),
            ("250 a\r\n", None, "idle"),
        ] {
            let (mut used, mut is_finished) = (0, false);
            loop {
                let (n, output) = client.receive(now, &replies.as_bytes()[used..]);
                used += n;
                match output {
                    ClientOutput::NeedInput => break,
                    ClientOutput::Ready if is_finished => break,
                    ClientOutput::Ready => {
                        assert_eq!(client.deadline(), None);
                        client.begin(
                            now,
                            Transaction {
                                reverse_path: &ReversePath::Null,
                                recipients: &[(0, &recipient)],
                                body: BodyType::SevenBit,
                                size: 0,
                                smtputf8: false,
                                ret: None,
                                envid: None,
                                originator: None,
                            },
                        );
                    }
                    ClientOutput::Content => {
                        assert_eq!(client.deadline(), None);
                        client.content_end(now, &mut Vec::new());
                    }
                    ClientOutput::Finished(_) => is_finished = true,
                    _ => {}
                }
            }
            assert_eq!(client.deadline(), expected, "{what}");
        }
    }
}
