//! The server's side of the dialogue (RFC 5321, 3030, 3207, 4954): takes bytes and answers, hands on outputs and
//! questions. Never decides: the caller is asked wherever the protocol leaves a choice.

mod greeting;
mod state;
mod phase;
mod line;
mod command;
mod auth;
mod content;
mod question;

use std::ops::Range;
use std::time::{Duration, Instant};

use gatepost_mail::{BodyType, Reply};

use auth::Progress;
use command::{Command, Fault};
use content::{LineReader, Piece};
use line::{Found, LineBuffer};
use phase::{ChunkedContent, Phase, Refusal, Transaction};
pub use question::{Answer, BareLinefeed, Credentials, Hello, MailCommand, Output, Profile, Question, RcptCommand};
use state::{Asked, Chunk, Fate, State};

use crate::extension::Mechanism;

/// How long a peer may be silent before it has a profile.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Buffers larger than this are given back once they are empty, so that an idle session is small.
const KEPT_CAPACITY_BYTES: usize = 512;

/// Between two messages a peer may say at most so many commands that bring nothing, so that nobody keeps the server busy by
/// them for a whole session. Enough for whoever asks about hundreds of recipients and resets after each.
const IDLE_COMMANDS_MAX: u32 = 1_000;

const TOO_MANY_COMMANDS: Reply =
    Reply::new(421, (4, 7, 0), "Too many commands without a message, closing transmission channel");
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
    /// A command line of which only a part has come.
    lines: LineBuffer,
    /// Whether the transcript has the line that comes next.
    line_is_told: bool,
    /// Replies not yet handed out.
    out: Vec<u8>,
    /// Whether `out` has been handed out and is to be emptied at the next call.
    out_is_handed_out: bool,
    /// Whether an abandoned transaction has not been told to the caller yet.
    reset_is_due: bool,
    is_authenticated: bool,
    protocol_errors: u32,
    /// Commands that bring nothing, since the last message.
    idle_commands: u32,
    logon_failures: u32,
    started: Instant,
    last_heard: Instant,
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
    /// A command line in [`Session::lines`].
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
            lines: LineBuffer::default(),
            line_is_told: false,
            out: Vec::new(),
            out_is_handed_out: false,
            reset_is_due: false,
            is_authenticated: false,
            protocol_errors: 0,
            idle_commands: 0,
            logon_failures: 0,
            started: now,
            last_heard: now,
        }
    }

    /// Consumes a part of `bytes`, none of which was consumed before: how many, and what to do. To be called again with
    /// the rest, even if it is empty, until it says [`Output::NeedInput`]. After [`Output::Ask`] nothing is consumed
    /// until [`Session::answer`].
    ///
    /// The session's whole time has an end even if the peer is never silent, so that nobody waits for the deadline.
    pub fn receive<'b>(&'b mut self, now: Instant, bytes: &'b [u8]) -> (usize, Output<'b>) {
        if self.end_of_time().is_some_and(|end| end <= now) {
            self.timeout(now);
        }
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
            Step::HeldLine(range) => Output::Line(&self.lines.held()[range]),
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
                let fate = Fate::Drop { refusal: Refusal { reply, is_error: false }, then: Phase::Refused };
                self.state = State::Chunk(Chunk { size, left: size, last, fate });
            }
            (Asked::EndContent, Answer::Accepted(reply)) => {
                self.idle_commands = 0;
                self.say(&reply, Phase::Ready);
            }
            (Asked::EndContent, Answer::Refuse(reply)) => self.say(&reply, Phase::Ready),
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
        [silence, self.end_of_time()].into_iter().flatten().min()
    }

    /// The caller has kept what we said to itself until now: only from here on is the peer silent. The session's whole
    /// time goes on meanwhile.
    pub fn held_back(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// When the session has to be over, however busy it is; `None` where that is beyond what the clock can tell.
    pub fn end_of_time(&self) -> Option<Instant> {
        self.started.checked_add(self.profile.total)
    }

    /// Whether a transaction is open: MAIL was accepted, and it has neither ended nor been abandoned.
    pub fn in_transaction(&self) -> bool {
        self.state.has_transaction()
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
        self.forget_handed_out();
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
        let is_answer = matches!(state, State::Authenticating(_));
        let bytes_max = match is_answer {
            true => command::AUTH_LINE_BYTES_MAX,
            false if self.profile.long_addresses => command::LONG_LINE_BYTES_MAX,
            false => command::LINE_BYTES_MAX,
        };
        let (used, found) = self.lines.find(bytes, bytes_max);
        let line = match found {
            Found::Here(end) => &bytes[..end],
            Found::Held => self.lines.held(),
            Found::TooLong => {
                self.fault(&Reply::new(500, (5, 5, 2), "Line too long"), state.into_phase());
                return (used, None);
            }
            Found::More => {
                self.state = state;
                return (used, Some(Step::NeedInput));
            }
        };
        if self.profile.transcribe && !self.line_is_told {
            self.line_is_told = true;
            self.state = state;
            let shown = shown_in_transcript(line);
            let step = match found {
                _ if is_answer => Step::SecretLine,
                Found::Held => Step::HeldLine(shown),
                _ => Step::Line(shown),
            };
            return (used, Some(step));
        }
        self.line_is_told = false;
        match found {
            Found::Here(end) => (end + 2, self.take_line(state, &bytes[..end])),
            _ => {
                let line = self.lines.take();
                (used, self.take_line(state, &line))
            }
        }
    }

    /// A whole line has come.
    fn take_line(&mut self, state: State, line: &[u8]) -> Option<Step> {
        let Some(line) = printable(line) else {
            self.fault(&Reply::new(500, (5, 5, 2), "Syntax error"), state.into_phase());
            return None;
        };
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
        if command.brings_nothing() {
            self.idle_commands += 1;
            if self.idle_commands > IDLE_COMMANDS_MAX {
                self.reset_is_due |= phase.has_transaction();
                self.say_and_close(&TOO_MANY_COMMANDS);
                return None;
            }
        }
        let out_of_order = phase.out_of_order(&command, self.is_authenticated);
        if let Command::Bdat { size, last } = command {
            return self.take_bdat(phase, size, last, out_of_order);
        }
        if let Some(refusal) = out_of_order {
            self.refuse(&refusal, phase);
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
            (Command::Rcpt { .. } | Command::Data | Command::Bdat { .. }, _) => {
                unreachable!("RCPT and DATA are in order in a transaction only, and BDAT went its own way")
            }
        }
    }

    /// Whatever is wrong with BDAT, its chunk follows and is not to be taken for commands.
    fn take_bdat(&mut self, phase: Phase, size: u64, last: bool, out_of_order: Option<Refusal>) -> Option<Step> {
        let fate = match (out_of_order, phase) {
            (_, then) if !self.profile.chunking => {
                Fate::Drop { refusal: Refusal { reply: NOT_IMPLEMENTED, is_error: true }, then }
            }
            (Some(refusal), then) => Fate::Drop { refusal, then },
            (None, Phase::Transaction(transaction)) => {
                return Some(self.ask(Asked::FirstChunk { transaction, size, last }, Ask::BeginContent));
            }
            (None, Phase::Chunks(content)) => Fate::Take(content),
            (None, Phase::Fresh | Phase::Ready | Phase::Refused) => {
                unreachable!("BDAT is in order in a transaction only")
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
            Fate::Drop { refusal, then } => {
                self.refuse(&refusal, then);
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

    /// What was handed out has been said; what is written from now on has not.
    fn forget_handed_out(&mut self) {
        if std::mem::take(&mut self.out_is_handed_out) {
            empty(&mut self.out);
        }
    }

    fn write(&mut self, reply: &Reply) {
        self.forget_handed_out();
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

    fn refuse(&mut self, refusal: &Refusal, phase: Phase) {
        if refusal.is_error {
            self.fault(&refusal.reply, phase);
        } else {
            self.say(&refusal.reply, phase);
        }
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

/// The text of a line, unless there is something in it that is in no command: CR and LF, which never end a line alone,
/// other control characters, or what is not UTF-8.
fn printable(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?;
    (!text.contains(|c: char| c.is_control() && c != '\t')).then_some(text)
}

/// Empties a buffer; keeps no more memory than an idle session may hold.
fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_CAPACITY_BYTES {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session_at_rest() -> (Session, Instant) {
        let now = Instant::now();
        let mut session = Session::new(now);
        let profile =
            Profile { inactivity: Duration::from_secs(10), ..Profile::new("mail.contoso.com".into(), [0; 4].into()) };
        let mut input: &[u8] = b"EHLO app01\r\n";
        loop {
            let (used, output) = session.receive(now, input);
            input = &input[used..];
            match output {
                Output::Ask(Question::Connect) => session.answer(now, Answer::Greet(profile.clone())),
                Output::Ask(_) => session.answer(now, Answer::Accept),
                Output::NeedInput => return (session, now),
                _ => {}
            }
        }
    }

    #[test]
    fn a_session_at_rest_is_small() {
        let (mut session, now) = session_at_rest();
        assert!(size_of::<Session>() <= 1024, "{} bytes inline", size_of::<Session>());
        let (used, _) = session.receive(now, b"NOOP with its end yet to c");
        assert_eq!(used, 26);
        loop {
            let (_, output) = session.receive(now, b"");
            if matches!(output, Output::NeedInput) {
                break;
            }
        }
        assert!(session.out.capacity() <= KEPT_CAPACITY_BYTES);
    }

    /// Says it, takes what comes, and hands on the codes of the replies.
    fn codes(session: &mut Session, now: Instant, mut input: &[u8]) -> Vec<u16> {
        let mut codes = Vec::new();
        loop {
            let (used, output) = session.receive(now, input);
            input = &input[used..];
            match output {
                Output::Send(bytes) => {
                    let lines = std::str::from_utf8(bytes).expect("replies are ASCII here").lines();
                    let last = lines.filter(|line| line.as_bytes().get(3) == Some(&b' '));
                    codes.extend(last.map(|line| line[..3].parse::<u16>().expect("a code")));
                }
                Output::Ask(Question::EndContent) => session.answer(now, Answer::Accepted(Reply::plain(250, "taken"))),
                Output::Ask(_) => session.answer(now, Answer::Accept),
                Output::NeedInput | Output::Close => return codes,
                _ => {}
            }
        }
    }

    #[test]
    fn a_peer_that_says_much_and_sends_nothing_is_shown_the_door() {
        let (mut session, now) = session_at_rest();
        let most = IDLE_COMMANDS_MAX as usize;
        let message = b"MAIL FROM:<>\r\nRCPT TO:<bob@contoso.com>\r\nDATA\r\n.\r\n";
        // EHLO was one.
        for (input, times) in [("NOOP\r\n", most - 1), ("RSET\r\n", most)] {
            assert_eq!(codes(&mut session, now, input.repeat(times).as_bytes()), vec![250; times]);
            assert_eq!(codes(&mut session, now, message), [250, 250, 354, 250]);
        }
        let replies = codes(&mut session, now, "HELP\r\nVRFY x\r\nEHLO a\r\nNOOP\r\n".repeat(most).as_bytes());
        assert_eq!((replies.len(), replies.last()), (most + 1, Some(&421)));
    }

    #[test]
    fn silence_and_length_have_their_limits_but_not_while_the_caller_decides() {
        let (mut session, now) = session_at_rest();
        let seconds = |n| now + Duration::from_secs(n);
        assert_eq!(session.deadline(), Some(seconds(10)));
        session.receive(seconds(5), b"NOO");
        assert_eq!(session.deadline(), Some(seconds(15)));
        // The whole session may last ten minutes, however busy it is.
        session.receive(seconds(599), b"P\r");
        assert_eq!(session.deadline(), Some(seconds(600)));

        let (mut session, now) = session_at_rest();
        assert!(matches!(session.receive(now, b"MAIL FROM:<>\r\n"), (14, Output::Ask(Question::Mail(_)))));
        assert_eq!(session.deadline(), None);
        session.timeout(seconds(1000));
        session.answer(seconds(60), Answer::Accept);
        assert_eq!(session.deadline(), Some(seconds(70)));
    }

    #[test]
    fn a_peer_is_not_silent_while_its_reply_is_held_back_but_the_whole_time_goes_on() {
        let (mut session, now) = session_at_rest();
        let seconds = |n| now + Duration::from_secs(n);
        session.receive(now, b"MAIL FROM:<>\r\n");
        session.answer(now, Answer::Refuse(Reply::new(550, (5, 7, 1), "no")));
        session.receive(now, b"");
        session.held_back(seconds(30));
        assert_eq!((session.deadline(), session.end_of_time()), (Some(seconds(40)), Some(seconds(600))));
        session.held_back(seconds(595));
        assert_eq!(session.deadline(), Some(seconds(600)));
    }

    #[test]
    fn a_peer_that_is_never_silent_is_closed_at_the_end_of_its_time() {
        let (mut session, now) = session_at_rest();
        session.receive(now, b"MAIL FROM:<>\r\n");
        session.answer(now, Answer::Accept);
        session.receive(now, b"");
        let end = now + Duration::from_secs(600);
        assert!(matches!(session.receive(end - Duration::from_secs(1), b"NOO"), (3, Output::NeedInput)));
        assert!(matches!(session.receive(end, b"P\r\n"), (0, Output::Reset)));
        assert!(matches!(session.receive(end, b"P\r\n"), (0, Output::Send(reply)) if reply.starts_with(b"421 4.4.1")));
        assert!(matches!(session.receive(end, b"P\r\n"), (3, Output::Close)));
    }

    #[test]
    fn a_session_whose_time_ends_behind_a_reply_says_so() {
        let (mut session, now) = session_at_rest();
        let end = now + Duration::from_secs(600);
        assert!(
            matches!(session.receive(now, b"NONSENSE\r\n"), (10, Output::Send(reply)) if reply.starts_with(b"500"))
        );
        assert!(matches!(session.receive(end, b""), (0, Output::Send(reply)) if reply.starts_with(b"421 4.4.1")));
        assert!(matches!(session.receive(end, b""), (0, Output::Close)));
    }

    #[test]
    fn an_answer_that_does_not_fit_accepts_nothing() {
        let (mut session, now) = session_at_rest();
        session.receive(now, b"MAIL FROM:<>\r\n");
        session.answer(now, Answer::Accepted(Reply::plain(250, "never to be said")));
        assert!(matches!(session.receive(now, b""), (0, Output::Send(reply)) if reply.starts_with(b"421 4.3.0")));
        assert!(matches!(session.receive(now, b""), (0, Output::Close)));
        assert!(!session.in_transaction());
    }
}
