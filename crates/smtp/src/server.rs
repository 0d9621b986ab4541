//! The server's side of the dialogue (RFC 5321, 3030, 3207, 4954): takes bytes and answers, hands on outputs and
//! questions. Never decides: the caller is asked wherever the protocol leaves a choice.

mod question;
mod greeting;
mod command;
mod auth;
mod content;

use std::ops::Range;
use std::time::{Duration, Instant};

use gatepost_mail::{BodyType, Reply};

use auth::{Exchange, Progress, Secret};
use command::{Command, Fault};
use content::{LineReader, Piece};
pub use question::{Answer, BareLinefeed, Credentials, Hello, MailCommand, Output, Profile, Question, RcptCommand};

use crate::extension::Mechanism;

/// How long a peer may be silent before it has a profile.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Buffers larger than this are given back once they are empty, so that an idle session is small.
const KEPT_CAPACITY_BYTES: usize = 512;

const BAD_SEQUENCE: Reply = Reply::new(503, (5, 5, 1), "Bad sequence of commands");
const NEED_MAIL: Reply = Reply::new(503, (5, 5, 2), "Need mail command");
const NEED_RCPT: Reply = Reply::new(503, (5, 5, 2), "Need rcpt command");
const NOT_IMPLEMENTED: Reply = Reply::new(502, (5, 3, 3), "Command not implemented");
const INVALID_CHARACTERS: Reply = Reply::new(550, (5, 6, 11), "Invalid characters");

/// One connection's dialogue, the server's side.
///
/// ```
/// # use std::time::Instant;
/// # use gatepost_smtp::{Answer, Output, Profile, Question, Session};
/// # fn profile() -> Profile { Profile::new("mail.contoso.com".into(), [192, 0, 2, 1].into()) }
/// let now = Instant::now();
/// let mut session = Session::new(now);
/// let input = b"EHLO app01\r\nQUIT\r\n"; // what was read from the socket
/// let (mut used, mut wire) = (0, Vec::new());
/// loop {
///     let (n, output) = session.receive(now, &input[used..]);
///     used += n;
///     match output {
///         Output::Send(bytes) => wire.extend_from_slice(bytes),
///         Output::Ask(Question::Connect) => session.answer(now, Answer::Greet(profile())),
///         Output::Ask(_) => session.answer(now, Answer::Accept),
///         Output::NeedInput => unreachable!("this peer says QUIT"),
///         Output::Close => break,
///         _ => {}
///     }
/// }
/// assert!(wire.ends_with(b"221 2.0.0 Service closing transmission channel\r\n"));
/// ```
#[derive(Debug)]
pub struct Session {
    state: State,
    profile: Profile,
    /// What the peer called itself last.
    hello: String,
    /// A command line of which only a part has come, with its CRLF once that is here.
    line: Vec<u8>,
    /// How much of the line the transcript and the limit have seen.
    line_progress: LineProgress,
    /// Replies not yet handed out.
    out: Vec<u8>,
    /// Whether `out` has been handed out and is to be emptied at the next call.
    out_is_handed_out: bool,
    /// Whether an abandoned transaction has not been told to the caller yet.
    reset_is_due: bool,
    is_authenticated: bool,
    protocol_errors: u32,
    logon_failures: u32,
    started: Instant,
    last_heard: Instant,
}

/// Where the dialogue stands. Each state owns what it needs and is consumed by whatever leaves it.
#[derive(Debug)]
enum State {
    /// Nothing has been said.
    Opening,
    /// The caller is deciding.
    Asked(Asked),
    /// The peer's turn.
    Command(Phase),
    /// The peer's turn, in an AUTH exchange.
    Authenticating(Exchange),
    /// Behind 354.
    Data(LineReader),
    /// Behind BDAT.
    Chunk(Chunk),
    /// 220 to STARTTLS is on its way.
    StartTls,
    /// The caller does the handshake.
    Handshake,
    /// Nothing will be said but what is in `out`.
    Closed,
}

/// What the caller is deciding, and what it takes to go on.
#[derive(Debug)]
enum Asked {
    Connect,
    Hello { esmtp: bool, before: Phase },
    Authenticate(Secret),
    Mail { body: BodyType, smtputf8: bool },
    Rcpt(Transaction),
    Data,
    FirstChunk { transaction: Transaction, size: u64, last: bool },
    EndContent,
}

/// Between commands: what has been said so far.
#[derive(Debug)]
enum Phase {
    /// No EHLO or HELO since the connection or TLS started.
    Fresh,
    /// Ready for MAIL.
    Ready,
    /// Ready for MAIL, and the caller refused the last one or its content: what the peer has pipelined behind it is out
    /// of order by no fault of its own.
    Refused,
    /// MAIL was accepted.
    Transaction(Transaction),
    /// A chunk was taken and it was not the last.
    Chunks(ChunkedContent),
}

/// MAIL was accepted.
#[derive(Debug)]
struct Transaction {
    body: BodyType,
    smtputf8: bool,
    recipients: u32,
    /// Whether the caller refused a recipient.
    has_refusal: bool,
}

/// Content that comes in chunks. BINARYMIME has no lines to read.
#[derive(Debug)]
struct ChunkedContent {
    lines: Option<LineReader>,
}

/// A chunk that is coming in.
#[derive(Debug)]
struct Chunk {
    size: u64,
    left: u64,
    last: bool,
    fate: Fate,
}

/// What becomes of a chunk.
#[derive(Debug)]
enum Fate {
    /// It is content.
    Take(ChunkedContent),
    /// It is skipped: only behind it starts the next command.
    Drop { reply: Reply, is_error: bool, then: Phase },
}

/// How far a command line has been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineProgress {
    /// Not at all.
    Untouched,
    /// The transcript has it.
    Told,
    /// It is too long and is being skipped; `cr` says whether the last byte was CR.
    Skipping { cr: bool },
}

/// An [`Output`] that borrows nothing yet; ranges refer to the bytes given to the call.
#[derive(Debug)]
enum Step {
    Send,
    Ask(Ask),
    Content(Range<usize>),
    LineEnd,
    /// A command line in the bytes given.
    Line(Range<usize>),
    /// A command line in [`Session::line`].
    HeldLine(Range<usize>),
    /// What the transcript shows in place of an answer in an AUTH exchange.
    SecretLine,
    Reset,
    StartTls,
    NeedInput,
    Close,
}

/// A [`Question`] that borrows nothing yet.
#[derive(Debug)]
enum Ask {
    Connect,
    Hello { esmtp: bool },
    Authenticate,
    Mail(MailCommand),
    Rcpt(RcptCommand),
    BeginContent,
    EndContent,
}

impl Session {
    /// A session whose peer has just connected (with implicit TLS: has just finished the handshake).
    pub fn new(now: Instant) -> Session {
        Session {
            state: State::Opening,
            profile: Profile {
                inactivity: OPENING_TIMEOUT,
                total: OPENING_TIMEOUT,
                ..Profile::new(String::new(), std::net::Ipv4Addr::UNSPECIFIED.into())
            },
            hello: String::new(),
            line: Vec::new(),
            line_progress: LineProgress::Untouched,
            out: Vec::new(),
            out_is_handed_out: false,
            reset_is_due: false,
            is_authenticated: false,
            protocol_errors: 0,
            logon_failures: 0,
            started: now,
            last_heard: now,
        }
    }

    /// Consumes a part of `bytes`, none of which was consumed before: how many, and what to do. To be called again with
    /// the rest, even if it is empty, until it says [`Output::NeedInput`]. After [`Output::Ask`] nothing is consumed
    /// until [`Session::answer`].
    pub fn receive<'b>(&'b mut self, now: Instant, bytes: &'b [u8]) -> (usize, Output<'b>) {
        let (used, step) = self.step(bytes);
        if used > 0 {
            self.last_heard = now;
        }
        let output = match step {
            Step::Send => Output::Send(&self.out),
            Step::Ask(ask) => Output::Ask(self.question(ask)),
            Step::Content(range) => Output::Content(&bytes[range]),
            Step::LineEnd => Output::Content(b"\r\n"),
            Step::Line(range) => Output::Line(&bytes[range]),
            Step::HeldLine(range) => Output::Line(&self.line[range]),
            Step::SecretLine => Output::Line(b"<authentication response>"),
            Step::Reset => Output::Reset,
            Step::StartTls => Output::StartTls,
            Step::NeedInput => Output::NeedInput,
            Step::Close => Output::Close,
        };
        (used, output)
    }

    /// Answers the question asked last. Without an open question it does nothing.
    pub fn answer(&mut self, now: Instant, answer: Answer) {
        self.last_heard = now;
        let asked = match std::mem::replace(&mut self.state, State::Closed) {
            State::Asked(asked) => asked,
            other => {
                self.state = other;
                return;
            }
        };
        match (asked, answer) {
            (_, Answer::Close(reply)) => self.say_and_close(&reply),
            (Asked::Connect, Answer::Refuse(reply)) => self.say_and_close(&reply),
            (Asked::Connect, Answer::Greet(profile)) => {
                self.profile = profile;
                greeting::write_greeting(&self.profile, &mut self.out);
                self.state = State::Command(Phase::Fresh);
            }
            (Asked::Hello { esmtp, before }, Answer::Accept) => {
                self.reset_is_due |= before.has_transaction();
                greeting::write_hello(&self.profile, esmtp, &mut self.out);
                self.state = State::Command(Phase::Ready);
            }
            // RFC 5321 section 4.1.4: after a refused EHLO everything is as it was before.
            (Asked::Hello { before, .. }, Answer::Refuse(reply)) => self.say(&reply, before),
            (Asked::Authenticate(_), Answer::Authenticated { profile }) => {
                self.profile = profile;
                self.is_authenticated = true;
                self.say(&Reply::new(235, (2, 7, 0), "Authentication successful"), Phase::Ready);
            }
            (Asked::Authenticate(_), Answer::Refuse(reply)) => self.refuse_logon(&reply),
            (Asked::Mail { body, smtputf8 }, Answer::Accept) => {
                let transaction = Transaction { body, smtputf8, recipients: 0, has_refusal: false };
                self.say(&Reply::new(250, (2, 1, 0), "Sender OK"), Phase::Transaction(transaction));
            }
            (Asked::Mail { .. } | Asked::Data, Answer::Refuse(reply)) => self.say(&reply, Phase::Refused),
            (Asked::Rcpt(transaction), Answer::Accept) => {
                let recipients = transaction.recipients.saturating_add(1);
                let phase = Phase::Transaction(Transaction { recipients, ..transaction });
                self.say(&Reply::new(250, (2, 1, 5), "Recipient OK"), phase);
            }
            (Asked::Rcpt(transaction), Answer::Refuse(reply)) => {
                self.say(&reply, Phase::Transaction(Transaction { has_refusal: true, ..transaction }));
            }
            (Asked::Data, Answer::Accept) => {
                self.write(&Reply::plain(354, "Start mail input; end with <CRLF>.<CRLF>"));
                self.state = State::Data(LineReader::dotted(self.profile.bare_linefeed));
            }
            (Asked::FirstChunk { transaction, size, last }, Answer::Accept) => {
                let lines = match transaction.body {
                    BodyType::BinaryMime => None,
                    _ => Some(LineReader::counted(self.profile.bare_linefeed)),
                };
                let fate = Fate::Take(ChunkedContent { lines });
                self.state = State::Chunk(Chunk { size, left: size, last, fate });
            }
            (Asked::FirstChunk { size, last, .. }, Answer::Refuse(reply)) => {
                let fate = Fate::Drop { reply, is_error: false, then: Phase::Refused };
                self.state = State::Chunk(Chunk { size, left: size, last, fate });
            }
            (Asked::EndContent, Answer::Accepted(reply) | Answer::Refuse(reply)) => self.say(&reply, Phase::Ready),
            (_, Answer::Accept | Answer::Accepted(_) | Answer::Greet(_) | Answer::Authenticated { .. }) => {
                self.say_and_close(&Reply::new(421, (4, 3, 0), "Local error, closing transmission channel"));
            }
        }
    }

    /// The handshake that [`Output::StartTls`] asked for is done. The peer has to say EHLO again, and whatever it said
    /// before is forgotten, its logon included (RFC 3207 section 4.2).
    pub fn tls_started(&mut self, now: Instant, profile: Profile) {
        if matches!(self.state, State::Handshake) {
            self.profile = profile;
            self.hello = String::new();
            self.is_authenticated = false;
            self.last_heard = now;
            self.state = State::Command(Phase::Fresh);
        }
    }

    /// The deadline has passed: says so and closes. Does nothing while the caller owes an answer.
    pub fn timeout(&mut self, now: Instant) {
        if !matches!(self.state, State::Asked(_)) {
            self.close(now, Reply::new(421, (4, 4, 1), "Connection timed out"));
        }
    }

    /// Ends the session for the caller's own reasons, such as the end of the service: the next outputs are
    /// [`Output::Reset`] if a transaction was open, `reply`, and [`Output::Close`].
    pub fn close(&mut self, now: Instant, reply: Reply) {
        self.last_heard = now;
        match self.state {
            State::Closed => {}
            // The peer would take a reply for a part of the handshake.
            State::Handshake => self.state = State::Closed,
            _ => {
                self.reset_is_due |= self.in_transaction();
                self.say_and_close(&reply);
            }
        }
    }

    /// When to call [`Session::timeout`]; `None` while it is not the peer that we wait for.
    pub fn deadline(&self) -> Option<Instant> {
        if matches!(self.state, State::Asked(_) | State::Closed) {
            return None;
        }
        // A span beyond what the clock can tell is no limit.
        let silence = self.last_heard.checked_add(self.profile.inactivity);
        let total = self.started.checked_add(self.profile.total);
        [silence, total].into_iter().flatten().min()
    }

    /// Whether a transaction is open: MAIL was accepted, and it has neither ended nor been abandoned.
    pub fn in_transaction(&self) -> bool {
        match &self.state {
            State::Command(phase) | State::Asked(Asked::Hello { before: phase, .. }) => phase.has_transaction(),
            State::Data(_) => true,
            State::Chunk(chunk) => match &chunk.fate {
                Fate::Take(_) => true,
                Fate::Drop { then, .. } => then.has_transaction(),
            },
            State::Asked(asked) => {
                matches!(asked, Asked::Rcpt(_) | Asked::Data | Asked::FirstChunk { .. } | Asked::EndContent)
            }
            State::Opening | State::Authenticating(_) | State::StartTls | State::Handshake | State::Closed => false,
        }
    }

    fn question(&self, ask: Ask) -> Question<'_> {
        match (ask, &self.state) {
            (Ask::Connect, _) => Question::Connect,
            (Ask::Hello { esmtp }, _) => Question::Hello(Hello { esmtp, domain: &self.hello }),
            (Ask::Authenticate, State::Asked(Asked::Authenticate(secret))) => {
                Question::Authenticate(secret.as_credentials())
            }
            (Ask::Authenticate, _) => unreachable!("asked in that state only"),
            (Ask::Mail(mail), _) => Question::Mail(mail),
            (Ask::Rcpt(rcpt), _) => Question::Rcpt(rcpt),
            (Ask::BeginContent, _) => Question::BeginContent,
            (Ask::EndContent, _) => Question::EndContent,
        }
    }

    /// Goes on until there is something to hand out. Ranges in the step refer to `bytes`.
    fn step(&mut self, bytes: &[u8]) -> (usize, Step) {
        if std::mem::take(&mut self.out_is_handed_out) {
            empty(&mut self.out);
        }
        let mut used = 0;
        loop {
            if std::mem::take(&mut self.reset_is_due) {
                return (used, Step::Reset);
            }
            if !self.out.is_empty() {
                self.out_is_handed_out = true;
                return (used, Step::Send);
            }
            let rest = &bytes[used..];
            let (n, step) = match std::mem::replace(&mut self.state, State::Closed) {
                State::Opening => (0, Some(self.ask(Asked::Connect, Ask::Connect))),
                State::Asked(asked) => {
                    self.state = State::Asked(asked);
                    (0, Some(Step::NeedInput))
                }
                state @ (State::Command(_) | State::Authenticating(_)) => self.read_line(state, rest),
                State::Data(reader) => self.read_data(reader, rest),
                State::Chunk(chunk) => self.read_chunk(chunk, rest),
                State::StartTls => {
                    self.state = State::Handshake;
                    (rest.len(), Some(Step::StartTls))
                }
                State::Handshake => {
                    self.state = State::Handshake;
                    (rest.len(), Some(Step::NeedInput))
                }
                State::Closed => (rest.len(), Some(Step::Close)),
            };
            let step = step.map(|step| step.shifted(used));
            used += n;
            if let Some(step) = step {
                return (used, step);
            }
        }
    }

    /// Reads one command line, or as much of it as there is.
    fn read_line(&mut self, state: State, bytes: &[u8]) -> (usize, Option<Step>) {
        if let LineProgress::Skipping { cr } = self.line_progress {
            return self.skip_line(state, cr, bytes);
        }
        let is_held = self.line.ends_with(b"\r\n");
        let (used, end) = if is_held {
            (0, self.line.len() - 2)
        } else if bytes.is_empty() {
            self.state = state;
            return (0, Some(Step::NeedInput));
        } else if self.line.is_empty() {
            match memchr::memmem::find(bytes, b"\r\n") {
                Some(end) => (end + 2, end),
                None => return self.hold_line(state, bytes),
            }
        } else {
            return self.hold_line(state, bytes);
        };

        let held = std::mem::take(&mut self.line);
        let line = if is_held { &held[..end] } else { &bytes[..end] };
        if line.len() > line_bytes_max(&state, line) {
            // Told to the transcript or not, the line is done with.
            self.line_progress = LineProgress::Untouched;
            self.line_too_long(state);
            return (used, None);
        }
        if self.profile.transcribe && self.line_progress == LineProgress::Untouched {
            self.line_progress = LineProgress::Told;
            let shown = shown_in_transcript(line);
            let step = match (&state, is_held) {
                (State::Authenticating(_), _) => Step::SecretLine,
                (_, true) => Step::HeldLine(shown),
                (_, false) => Step::Line(shown),
            };
            self.line = held;
            self.state = state;
            return (0, Some(step));
        }
        self.line_progress = LineProgress::Untouched;
        let step = match printable(line) {
            Some(text) => self.take_line(state, text),
            None => {
                let phase = state.into_phase();
                self.fault(&Reply::new(500, (5, 5, 2), "Syntax error"), phase);
                None
            }
        };
        (used, step)
    }

    /// Keeps the start of a line whose end has not come yet.
    fn hold_line(&mut self, state: State, bytes: &[u8]) -> (usize, Option<Step>) {
        let used = match (self.line.last(), bytes.first()) {
            (Some(b'\r'), Some(b'\n')) => 1,
            _ => memchr::memmem::find(bytes, b"\r\n").map_or(bytes.len(), |end| end + 2),
        };
        // One line and its CRLF fit; of what is longer, a byte more is enough to know it.
        let room = (command::AUTH_LINE_BYTES_MAX + 3).saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..used.min(room)]);
        let is_complete = self.line.ends_with(b"\r\n") && used <= room;
        if !is_complete {
            let without_cr = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
            if without_cr.len() > line_bytes_max(&state, without_cr) {
                self.line = Vec::new();
                // The bytes of this call are looked at again, for the CRLF may be among them.
                self.line_progress = LineProgress::Skipping { cr: false };
                return self.skip_line(state, false, bytes);
            }
        }
        self.state = state;
        // A complete line is dealt with in the next round; an incomplete one used up all bytes.
        (used, None)
    }

    /// Drops bytes up to the end of a line that is too long, then says so.
    fn skip_line(&mut self, state: State, cr: bool, bytes: &[u8]) -> (usize, Option<Step>) {
        let end = match bytes.first() {
            None => {
                self.state = state;
                return (0, Some(Step::NeedInput));
            }
            Some(b'\n') if cr => Some(1),
            Some(_) => memchr::memmem::find(bytes, b"\r\n").map(|end| end + 2),
        };
        let Some(end) = end else {
            self.line_progress = LineProgress::Skipping { cr: bytes.ends_with(b"\r") };
            self.state = state;
            return (bytes.len(), None);
        };
        self.line_progress = LineProgress::Untouched;
        self.line_too_long(state);
        (end, None)
    }

    fn line_too_long(&mut self, state: State) {
        let phase = state.into_phase();
        self.fault(&Reply::new(500, (5, 5, 2), "Line too long"), phase);
    }

    /// A whole line has come.
    fn take_line(&mut self, state: State, line: &str) -> Option<Step> {
        match state {
            State::Authenticating(exchange) => {
                let progress = exchange.respond(line);
                self.authenticate(progress)
            }
            other => match command::parse(line) {
                Ok(command) => self.take_command(other.into_phase(), command),
                Err(Fault::Syntax(reply)) => {
                    self.fault(&reply, other.into_phase());
                    None
                }
                Err(Fault::Framing(reply)) => {
                    self.reset_is_due |= other.into_phase().has_transaction();
                    self.say_and_close(&reply);
                    None
                }
            },
        }
    }

    fn take_command(&mut self, phase: Phase, command: Command<'_>) -> Option<Step> {
        let out_of_order = self.out_of_order(&phase, &command);
        if let Command::Bdat { size, last } = command {
            return self.take_bdat(phase, size, last, out_of_order);
        }
        if let Some(reply) = out_of_order {
            if phase.excuses(&command) {
                self.say(&reply, phase);
            } else {
                self.fault(&reply, phase);
            }
            return None;
        }
        match (command, phase) {
            (Command::Hello { esmtp, domain }, before) => {
                if domain.is_empty() && self.profile.require_hello_domain {
                    self.reset_is_due |= before.has_transaction();
                    self.say_and_close(&Reply::new(501, (5, 5, 4), "Invalid domain name"));
                    return None;
                }
                self.hello.clear();
                self.hello.push_str(domain);
                Some(self.ask(Asked::Hello { esmtp, before }, Ask::Hello { esmtp }))
            }
            (Command::StartTls, phase) => {
                if !self.profile.starttls {
                    self.fault(&NOT_IMPLEMENTED, phase);
                    return None;
                }
                self.reset_is_due |= phase.has_transaction();
                self.write(&Reply::new(220, (2, 0, 0), "SMTP server ready"));
                self.state = State::StartTls;
                None
            }
            (Command::Auth { mechanism, initial }, phase) => {
                let offered = Mechanism::parse(mechanism).filter(|mechanism| self.profile.auth.contains(mechanism));
                let Some(mechanism) = offered else {
                    let reply = if self.profile.auth.is_empty() && self.profile.auth_after_tls {
                        Reply::new(530, (5, 7, 0), "Must issue a STARTTLS command first")
                    } else {
                        Reply::new(504, (5, 7, 4), "Unrecognized authentication type")
                    };
                    self.fault(&reply, phase);
                    return None;
                };
                self.authenticate(auth::begin(mechanism, initial))
            }
            (Command::Mail { arguments }, phase) => match command::mail(arguments, &self.profile) {
                Ok(mail) => {
                    let asked = Asked::Mail { body: mail.body, smtputf8: mail.smtputf8 };
                    Some(self.ask(asked, Ask::Mail(mail)))
                }
                Err(reply) => {
                    self.fault(&reply, phase);
                    None
                }
            },
            (Command::Rcpt { arguments }, Phase::Transaction(transaction)) => {
                match command::rcpt(arguments, &self.profile, transaction.smtputf8) {
                    Ok(rcpt) => Some(self.ask(Asked::Rcpt(transaction), Ask::Rcpt(rcpt))),
                    Err(reply) => {
                        self.fault(&reply, Phase::Transaction(transaction));
                        None
                    }
                }
            }
            (Command::Data, Phase::Transaction(_)) => Some(self.ask(Asked::Data, Ask::BeginContent)),
            (Command::Rset, phase) => {
                self.reset_is_due |= phase.has_transaction();
                let then = if matches!(phase, Phase::Fresh) { Phase::Fresh } else { Phase::Ready };
                self.say(&Reply::new(250, (2, 0, 0), "Resetting"), then);
                None
            }
            (Command::Noop, phase) => {
                self.say(&Reply::new(250, (2, 0, 0), "OK"), phase);
                None
            }
            (Command::Help, phase) => {
                const TEXT: &str = "Gatepost supports the following commands:\n\
                    HELO EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT";
                self.say(&Reply::plain(214, TEXT), phase);
                None
            }
            (Command::Vrfy, phase) => {
                self.say(&Reply::new(252, (2, 1, 5), "Cannot VRFY user"), phase);
                None
            }
            (Command::Expn, phase) => {
                self.fault(&NOT_IMPLEMENTED, phase);
                None
            }
            (Command::Quit, phase) => {
                self.reset_is_due |= phase.has_transaction();
                self.say_and_close(&Reply::new(221, (2, 0, 0), "Service closing transmission channel"));
                None
            }
            // `out_of_order` lets neither RCPT nor DATA pass outside a transaction, and BDAT was dealt with above.
            (Command::Rcpt { .. } | Command::Data | Command::Bdat { .. }, phase) => {
                self.fault(&BAD_SEQUENCE, phase);
                None
            }
        }
    }

    /// The one place that knows which command may follow what.
    fn out_of_order(&self, phase: &Phase, command: &Command<'_>) -> Option<Reply> {
        match (command, phase) {
            (
                Command::Hello { .. } | Command::Help | Command::Noop | Command::Rset | Command::Quit | Command::Expn,
                _,
            ) => None,
            (_, Phase::Fresh) => Some(Reply::new(503, (5, 5, 2), "Send hello first")),
            (Command::Auth { .. }, _) if self.is_authenticated => Some(BAD_SEQUENCE),
            (Command::Mail { .. } | Command::Auth { .. }, Phase::Transaction(_) | Phase::Chunks(_)) => {
                Some(BAD_SEQUENCE)
            }
            (Command::Rcpt { .. } | Command::Data, Phase::Chunks(_)) => Some(BAD_SEQUENCE),
            (Command::Rcpt { .. } | Command::Data | Command::Bdat { .. }, Phase::Ready | Phase::Refused) => {
                Some(NEED_MAIL)
            }
            (Command::Data | Command::Bdat { .. }, Phase::Transaction(Transaction { recipients: 0, .. })) => {
                Some(NEED_RCPT)
            }
            // RFC 3030 section 3: BINARYMIME cannot be sent with DATA.
            (Command::Data, Phase::Transaction(Transaction { body: BodyType::BinaryMime, .. })) => Some(BAD_SEQUENCE),
            _ => None,
        }
    }

    /// Whatever is wrong with BDAT, its chunk follows and is not to be taken for commands.
    fn take_bdat(&mut self, phase: Phase, size: u64, last: bool, out_of_order: Option<Reply>) -> Option<Step> {
        let refusal = if self.profile.chunking { out_of_order } else { Some(NOT_IMPLEMENTED) };
        let fate = match (refusal, phase) {
            (None, Phase::Transaction(transaction)) => {
                return Some(self.ask(Asked::FirstChunk { transaction, size, last }, Ask::BeginContent));
            }
            (None, Phase::Chunks(content)) => Fate::Take(content),
            (refusal, then) => {
                let is_error = !then.excuses(&Command::Bdat { size, last });
                Fate::Drop { reply: refusal.unwrap_or(BAD_SEQUENCE), is_error, then }
            }
        };
        self.state = State::Chunk(Chunk { size, left: size, last, fate });
        None
    }

    fn authenticate(&mut self, progress: Progress) -> Option<Step> {
        match progress {
            Progress::Challenge(exchange, text) => {
                self.write(&Reply::plain(334, text));
                self.state = State::Authenticating(exchange);
                None
            }
            Progress::Complete(secret) => Some(self.ask(Asked::Authenticate(secret), Ask::Authenticate)),
            Progress::Failed(reply) => {
                self.fault(&reply, Phase::Ready);
                None
            }
        }
    }

    fn read_data(&mut self, mut reader: LineReader, bytes: &[u8]) -> (usize, Option<Step>) {
        let (used, piece) = reader.next(bytes);
        let step = match piece {
            Piece::End => return (used, self.end_content(reader.is_refused())),
            Piece::Bytes(range) => Step::Content(range),
            Piece::LineEnd => Step::LineEnd,
            Piece::More => Step::NeedInput,
        };
        self.state = State::Data(reader);
        (used, Some(step))
    }

    fn read_chunk(&mut self, mut chunk: Chunk, bytes: &[u8]) -> (usize, Option<Step>) {
        if chunk.left == 0 {
            return (0, self.end_chunk(chunk));
        }
        if bytes.is_empty() {
            self.state = State::Chunk(chunk);
            return (0, Some(Step::NeedInput));
        }
        let here = usize::try_from(chunk.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (used, step) = match &mut chunk.fate {
            Fate::Drop { .. } => (here, None),
            Fate::Take(ChunkedContent { lines: None }) => (here, Some(Step::Content(0..here))),
            Fate::Take(ChunkedContent { lines: Some(reader) }) => match reader.next(&bytes[..here]) {
                (used, Piece::Bytes(range)) => (used, Some(Step::Content(range))),
                (used, Piece::LineEnd) => (used, Some(Step::LineEnd)),
                (used, Piece::More | Piece::End) => (used, None),
            },
        };
        chunk.left -= used as u64;
        self.state = State::Chunk(chunk);
        (used, step)
    }

    fn end_chunk(&mut self, chunk: Chunk) -> Option<Step> {
        match chunk.fate {
            Fate::Drop { reply, is_error, then } => {
                if is_error {
                    self.fault(&reply, then);
                } else {
                    self.say(&reply, then);
                }
                None
            }
            Fate::Take(content) if !chunk.last => {
                let text = format!("CHUNK received OK, {} octets", chunk.size);
                self.say(&Reply::new(250, (2, 6, 0), "").with_text(text), Phase::Chunks(content));
                None
            }
            Fate::Take(mut content) => {
                if let Some(Piece::LineEnd) = content.lines.as_mut().and_then(LineReader::finish) {
                    self.state = State::Chunk(Chunk { fate: Fate::Take(content), ..chunk });
                    return Some(Step::LineEnd);
                }
                self.end_content(content.lines.is_some_and(|reader| reader.is_refused()))
            }
        }
    }

    fn end_content(&mut self, is_refused: bool) -> Option<Step> {
        if is_refused {
            self.reset_is_due = true;
            self.say(&INVALID_CHARACTERS, Phase::Ready);
            return None;
        }
        Some(self.ask(Asked::EndContent, Ask::EndContent))
    }

    fn ask(&mut self, asked: Asked, ask: Ask) -> Step {
        self.state = State::Asked(asked);
        Step::Ask(ask)
    }

    fn write(&mut self, reply: &Reply) {
        reply.write(self.profile.enhanced_status_codes, &mut self.out);
    }

    fn say(&mut self, reply: &Reply, phase: Phase) {
        self.write(reply);
        self.state = State::Command(phase);
    }

    fn say_and_close(&mut self, reply: &Reply) {
        self.write(reply);
        self.state = State::Closed;
    }

    /// The peer broke the protocol: says so, or closes if it did so too often.
    fn fault(&mut self, reply: &Reply, phase: Phase) {
        self.protocol_errors = self.protocol_errors.saturating_add(1);
        if self.profile.protocol_errors_max.is_none_or(|max| self.protocol_errors <= max) {
            return self.say(reply, phase);
        }
        self.reset_is_due |= phase.has_transaction();
        self.say_and_close(&Reply::new(
            421,
            (4, 7, 0),
            "Too many errors on this connection, closing transmission channel",
        ));
    }

    /// A 4xx says nothing about the credentials, so it does not count.
    fn refuse_logon(&mut self, reply: &Reply) {
        if reply.code >= 500 {
            self.logon_failures = self.logon_failures.saturating_add(1);
        }
        let max = self.profile.logon_failures_max;
        if max == 0 || self.logon_failures < max {
            return self.say(reply, Phase::Ready);
        }
        self.say_and_close(&Reply::new(
            421,
            (4, 7, 0),
            "Too many authentication failures, closing transmission channel",
        ));
    }
}

impl State {
    /// The phase to go on with after a line that led to nothing.
    fn into_phase(self) -> Phase {
        match self {
            State::Command(phase) => phase,
            // AUTH is taken in this phase only.
            State::Authenticating(_) => Phase::Ready,
            _ => Phase::Fresh,
        }
    }
}

impl Phase {
    fn has_transaction(&self) -> bool {
        matches!(self, Phase::Transaction(_) | Phase::Chunks(_))
    }

    /// Whether a peer that pipelines may send this out of order, because it could not know yet that the caller refused
    /// what makes it so.
    fn excuses(&self, command: &Command<'_>) -> bool {
        match (self, command) {
            (Phase::Refused, Command::Rcpt { .. } | Command::Data | Command::Bdat { .. }) => true,
            (Phase::Transaction(transaction), Command::Data | Command::Bdat { .. }) => {
                transaction.recipients == 0 && transaction.has_refusal
            }
            _ => false,
        }
    }
}

impl Step {
    /// The same step, for a buffer that has `by` bytes more at its start.
    fn shifted(self, by: usize) -> Step {
        match self {
            Step::Content(range) => Step::Content(range.start + by..range.end + by),
            Step::Line(range) => Step::Line(range.start + by..range.end + by),
            other => other,
        }
    }
}

fn line_bytes_max(state: &State, line: &[u8]) -> usize {
    if matches!(state, State::Authenticating(_)) || command::is_auth(line) {
        command::AUTH_LINE_BYTES_MAX
    } else {
        command::LINE_BYTES_MAX
    }
}

/// The part of a command line that may be shown: an initial response is not.
fn shown_in_transcript(line: &[u8]) -> Range<usize> {
    if !command::is_auth(line) {
        return 0..line.len();
    }
    let verb = "AUTH ".len();
    let spaces = line[verb..].iter().take_while(|b| **b == b' ').count();
    let mechanism = verb + spaces;
    0..memchr::memchr(b' ', &line[mechanism..]).map_or(line.len(), |end| mechanism + end)
}

/// The text of a line, unless bytes are in it that are in no command: CR and LF, which never end a line alone, other
/// control characters, or what is not UTF-8.
fn printable(line: &[u8]) -> Option<&str> {
    if line.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return None;
    }
    std::str::from_utf8(line).ok()
}

/// Empties a buffer; keeps no more memory than an idle session may hold.
fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_CAPACITY_BYTES {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}
