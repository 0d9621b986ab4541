//! The load of the benchmarks: sessions that send the same message again and again, and time each answer.
//!
//! A process of its own with one thread, told its task on the command line; tells on standard output when it begins to wait
//! ([`Task::is_held`]) and what it did, one JSON object a line. Each session is a closed loop: it sends the next message
//! when the last has its 250. Nothing is allocated and nothing is formatted for a message. Any reply that is not the
//! expected one ends the run: a figure with refusals in it says nothing.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use memchr::memchr;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustls::{ClientConfig, HandshakeKind};
use serde::{Deserialize, Serialize};

use super::clock::monotonic_ns;
use super::cryptography::{self, Offer};
use super::histogram::{Histogram, Quantiles};
use super::wire::Wire;

const READ_BYTES: usize = 16 * 1024;
const REPLY_BYTES_MAX: usize = 8 * 1024;
/// Connections that are being opened at once when they are merely to be held: a backlog is not what is measured.
const OPENING_MAX: u64 = 200;
/// Source addresses that held connections are spread over: 127.0.1.1 and up.
const ADDRESSES: u64 = 50;

/// Where messages go that nothing else is said of.
pub(super) const DOMAIN: &str = "sink.bench.test";

/// What a source is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    pub to: SocketAddr,
    /// Of the recipient.
    pub domain: String,
    pub sessions: u64,
    pub messages: u64,
    pub size_bytes: u64,
    /// Then it says QUIT and comes again; 0: no such limit.
    pub messages_per_connection: u64,
    /// MAIL, RCPT and DATA in one write.
    pub is_pipelining: bool,
    pub tls: Option<Offer>,
    /// Sends nothing, holds all sessions open after EHLO (in TLS, if so) until standard input ends.
    pub is_held: bool,
}

/// What it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Word {
    /// All sessions are open.
    Held,
    Done(Done),
}

/// What became of the task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Done {
    /// When the first connection was begun and when the last 250 came, by the monotonic clock.
    pub first_ns: u64,
    pub last_ns: u64,
    pub messages: u64,
    pub connections: u64,
    pub resumed: u64,
    pub tls: Option<String>,
    /// From the last byte of the content to its 250.
    pub accept: Quantiles,
    /// From MAIL to that 250.
    pub transaction: Quantiles,
}

/// Sends it all.
pub(super) fn run(task: &Task) -> io::Result<()> {
    let mut source = Source {
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        script: Script::new(task),
        config: task.tls.map(Offer::client).transpose()?,
        unsent: if task.is_held { 0 } else { task.messages },
        first_ns: monotonic_ns(),
        last_ns: 0,
        messages: 0,
        connections: 0,
        resumed: 0,
        tls: None,
        accept: Histogram::new(),
        transaction: Histogram::new(),
        task: task.clone(),
    };
    source.serve()?;
    if task.is_held {
        return Ok(());
    }
    say(&Word::Done(Done {
        first_ns: source.first_ns,
        last_ns: source.last_ns,
        messages: source.messages,
        connections: source.connections,
        resumed: source.resumed,
        tls: source.tls,
        accept: source.accept.quantiles(),
        transaction: source.transaction.quantiles(),
    }))
}

fn say(word: &Word) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// What is sent, written once.
struct Script {
    mail: &'static [u8],
    rcpt: Vec<u8>,
    data: &'static [u8],
    /// The three at once.
    envelope: Vec<u8>,
    /// With the dot that ends it.
    content: Vec<u8>,
}

impl Script {
    fn new(task: &Task) -> Script {
        let mail = b"MAIL FROM:<sender@source.bench.test>\r\n";
        let rcpt = format!("RCPT TO:<recipient@{}>\r\n", task.domain).into_bytes();
        let data = b"DATA\r\n";
        let envelope = [&mail[..], &rcpt[..], &data[..]].concat();
        Script { mail, rcpt, data, envelope, content: content(task.size_bytes) }
    }

    fn part(&self, part: Part) -> &[u8] {
        match part {
            Part::Hello => b"EHLO source.bench.test\r\n",
            Part::StartTls => b"STARTTLS\r\n",
            Part::Mail => self.mail,
            Part::Rcpt => &self.rcpt,
            Part::Data => self.data,
            Part::Envelope => &self.envelope,
            Part::Content => &self.content,
            Part::Quit => b"QUIT\r\n",
        }
    }
}

/// A message of so many bytes as MAIL's SIZE counts them: header and lines, without the final dot.
fn content(size_bytes: u64) -> Vec<u8> {
    const HEADER: &[u8] = b"From: <sender@source.bench.test>\r\nTo: <recipient@sink.bench.test>\r\n\
        Date: Sun, 22 Nov 2026 03:00:00 +0000\r\nMessage-Id: <1@source.bench.test>\r\nSubject: bench\r\n\r\n";
    const LINE: &[u8] = b"The quick brown fox jumps over the lazy dog, and the lazy dog does not mind it.\r\n";
    let size = usize::try_from(size_bytes).unwrap_or(usize::MAX).max(HEADER.len() + 2);
    let mut content = Vec::with_capacity(size + 3);
    content.extend_from_slice(HEADER);
    while content.len() + LINE.len() + 2 <= size {
        content.extend_from_slice(LINE);
    }
    content.resize(size - 2, b'x');
    content.extend_from_slice(b"\r\n.\r\n");
    content
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Hello,
    StartTls,
    Mail,
    Rcpt,
    Data,
    Envelope,
    Content,
    Quit,
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Greeting,
    Hello,
    StartTls,
    Mail,
    Rcpt,
    Data,
    Content,
    Quit,
    /// Nothing: it is held open.
    Nothing,
}

impl Awaited {
    /// The first digit of the reply that lets the session go on.
    fn expected(self) -> u8 {
        match self {
            Awaited::Data => b'3',
            _ => b'2',
        }
    }
}

struct Session {
    wire: Wire,
    awaited: Awaited,
    /// What is being written, and how much of it has been.
    sending: Option<(Part, usize)>,
    /// Whether epoll tells us when there is room.
    waits_for_room: bool,
    /// A reply whose end has not come.
    reply: Vec<u8>,
    sent: u64,
    mail_ns: u64,
    last_byte_ns: u64,
}

struct Source {
    task: Task,
    script: Script,
    config: Option<Arc<ClientConfig>>,
    epoll: OwnedFd,
    unsent: u64,
    first_ns: u64,
    last_ns: u64,
    messages: u64,
    connections: u64,
    resumed: u64,
    tls: Option<String>,
    accept: Histogram,
    transaction: Histogram,
}

enum Next {
    /// The session goes on.
    On,
    /// This connection is done.
    Ended,
    /// The session has reached the state in which it is held.
    Held,
}

impl Source {
    fn serve(&mut self) -> io::Result<()> {
        let mut sessions: Vec<Option<Session>> = Vec::new();
        let opened_at_once = if self.task.is_held { OPENING_MAX } else { u64::MAX };
        for key in 0..self.task.sessions.min(opened_at_once) {
            sessions.push(Some(self.open(key)?));
        }
        let mut open = sessions.len();
        let mut held = 0;
        let mut events: Vec<Event> = Vec::with_capacity(256);
        let mut buffer = vec![0; READ_BYTES];
        while open > 0 {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Err(Errno::INTR) => continue,
                done => done?,
            };
            for event in &events {
                let key = event.data.u64();
                let place = &mut sessions[key as usize];
                let Some(session) = place else { continue };
                match self.attend(session, key, event.flags, &mut buffer)? {
                    Next::On => {}
                    Next::Ended => {
                        *place = None;
                        if self.unsent > 0 {
                            *place = Some(self.open(key)?);
                        } else {
                            open -= 1;
                        }
                    }
                    Next::Held => {
                        held += 1;
                        let next = sessions.len() as u64;
                        if next < self.task.sessions {
                            sessions.push(Some(self.open(next)?));
                            open += 1;
                        }
                        if held == self.task.sessions {
                            return hold(&sessions);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins a connection; its greeting tells that it is open.
    fn open(&mut self, key: u64) -> io::Result<Session> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        if self.task.is_held {
            let host = 256 + 1 + (key % ADDRESSES) as u32;
            rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::from_bits(127 << 24 | host), 0)))?;
        }
        match rustix::net::connect(&socket, &self.task.to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        epoll::add(&self.epoll, &stream, EventData::new_u64(key), EventFlags::IN)?;
        self.connections += 1;
        Ok(Session {
            wire: Wire::new(stream),
            awaited: Awaited::Greeting,
            sending: None,
            waits_for_room: false,
            reply: Vec::new(),
            sent: 0,
            mail_ns: 0,
            last_byte_ns: 0,
        })
    }

    fn attend(&mut self, session: &mut Session, key: u64, flags: EventFlags, buffer: &mut [u8]) -> io::Result<Next> {
        if session.sending.is_some() && flags.contains(EventFlags::OUT) {
            self.write(session, key)?;
        }
        loop {
            let read = match session.wire.read(buffer) {
                Ok(0) => return Err(io::Error::other(format!("the relay closed instead of {:?}", session.awaited))),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::On),
                Err(error) => {
                    let awaited = session.awaited;
                    return Err(io::Error::new(error.kind(), format!("instead of {awaited:?}: {error}")));
                }
            };
            let mut bytes = &buffer[..read];
            while let Some(end) = memchr(b'\n', bytes) {
                let (line, rest) = bytes.split_at(end + 1);
                bytes = rest;
                let next = if session.reply.is_empty() {
                    self.line(session, key, line)?
                } else {
                    let mut whole = std::mem::take(&mut session.reply);
                    whole.extend_from_slice(line);
                    self.line(session, key, &whole)?
                };
                match next {
                    Next::On => {}
                    other => return Ok(other),
                }
            }
            if session.reply.len() + bytes.len() > REPLY_BYTES_MAX {
                return Err(io::Error::other("the relay's reply does not end"));
            }
            session.reply.extend_from_slice(bytes);
            if session.wire.tls().is_none() && read < buffer.len() {
                return Ok(Next::On);
            }
        }
    }

    /// Takes one line of a reply, and goes on when it is the last.
    fn line(&mut self, session: &mut Session, key: u64, line: &[u8]) -> io::Result<Next> {
        if line.get(3) == Some(&b'-') {
            return Ok(Next::On);
        }
        if line.first() != Some(&session.awaited.expected()) || session.awaited == Awaited::Nothing {
            let words = String::from_utf8_lossy(line);
            return Err(io::Error::other(format!("the relay answered {:?} with {}", session.awaited, words.trim())));
        }
        let is_pipelining = self.task.is_pipelining;
        match session.awaited {
            Awaited::Greeting => self.send(session, key, Part::Hello, Awaited::Hello)?,
            Awaited::Hello if self.config.is_some() && session.wire.tls().is_none() => {
                self.send(session, key, Part::StartTls, Awaited::StartTls)?;
            }
            Awaited::Hello => {
                if let Some(tls) = session.wire.tls() {
                    if tls.handshake_kind() == Some(HandshakeKind::Resumed) {
                        self.resumed += 1;
                    }
                    self.tls.get_or_insert_with(|| cryptography::agreed(tls));
                }
                if self.task.is_held {
                    session.awaited = Awaited::Nothing;
                    return Ok(Next::Held);
                }
                self.begin(session, key)?;
            }
            Awaited::StartTls => {
                let config = self.config.as_ref().expect("STARTTLS was said because there is a configuration");
                session.wire.start_tls(cryptography::connect(config)?);
                self.send(session, key, Part::Hello, Awaited::Hello)?;
            }
            Awaited::Mail if is_pipelining => session.awaited = Awaited::Rcpt,
            Awaited::Mail => self.send(session, key, Part::Rcpt, Awaited::Rcpt)?,
            Awaited::Rcpt if is_pipelining => session.awaited = Awaited::Data,
            Awaited::Rcpt => self.send(session, key, Part::Data, Awaited::Data)?,
            Awaited::Data => self.send(session, key, Part::Content, Awaited::Content)?,
            Awaited::Content => {
                let now = monotonic_ns();
                self.accept.record(now.saturating_sub(session.last_byte_ns));
                self.transaction.record(now.saturating_sub(session.mail_ns));
                self.messages += 1;
                self.last_ns = now;
                session.sent += 1;
                self.begin(session, key)?;
            }
            Awaited::Quit => return Ok(Next::Ended),
            Awaited::Nothing => unreachable!("refused above"),
        }
        Ok(Next::On)
    }

    /// The next message, if there is one for this session.
    fn begin(&mut self, session: &mut Session, key: u64) -> io::Result<()> {
        let may_go_on = self.task.messages_per_connection == 0 || session.sent < self.task.messages_per_connection;
        if self.unsent == 0 || !may_go_on {
            return self.send(session, key, Part::Quit, Awaited::Quit);
        }
        self.unsent -= 1;
        session.mail_ns = monotonic_ns();
        let part = if self.task.is_pipelining { Part::Envelope } else { Part::Mail };
        self.send(session, key, part, Awaited::Mail)
    }

    fn send(&mut self, session: &mut Session, key: u64, part: Part, awaited: Awaited) -> io::Result<()> {
        session.awaited = awaited;
        session.sending = Some((part, 0));
        self.write(session, key)
    }

    fn write(&mut self, session: &mut Session, key: u64) -> io::Result<()> {
        let Some((part, sent)) = session.sending else { return Ok(()) };
        let bytes = self.script.part(part);
        let written = session.wire.write(&bytes[sent..])?;
        let sent = sent + written.bytes;
        let is_done = sent == bytes.len() && written.drained;
        session.sending = (!is_done).then_some((part, sent));
        if is_done && part == Part::Content {
            session.last_byte_ns = monotonic_ns();
        }
        if session.waits_for_room == is_done {
            session.waits_for_room = !is_done;
            let flags = if is_done { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
            epoll::modify(&self.epoll, &session.wire, EventData::new_u64(key), flags)?;
        }
        Ok(())
    }
}

/// Keeps the sessions open until standard input ends.
fn hold(sessions: &[Option<Session>]) -> io::Result<()> {
    say(&Word::Held)?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    debug_assert!(sessions.iter().all(Option::is_some));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_size_that_was_asked_for_and_ends_once() {
        for size in [200, 201, 1_000, 4_096, 50 * 1024] {
            let content = content(size);
            let dot = b"\r\n.\r\n";
            assert_eq!(content.len() as u64, size + 3);
            assert!(content.ends_with(dot));
            assert_eq!(memchr::memmem::find_iter(&content, dot).count(), 1);
            assert_eq!(memchr::memmem::find_iter(&content, b"\r\n.").count(), 1, "no line needs a second dot");
        }
    }
}
