//! The next hop of the benchmarks: takes every message and keeps none.
//!
//! A process of its own with one thread, told its task on the command line and its orders on standard input; tells what it did on
//! standard output, one JSON object a line. Content is searched for its end by vector instructions, in whatever pieces the
//! kernel has, so that taking a message costs little more than copying it out of the kernel.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use memchr::{memchr, memmem};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustls::{HandshakeKind, ServerConfig};
use serde::{Deserialize, Serialize};

use super::clock::monotonic_ns;
use super::cryptography::{self, Identity};
use super::wire::Wire;

const READ_BYTES: usize = 256 * 1024;
const LINE_BYTES_MAX: usize = 4 * 1024;
const BACKLOG: i32 = 4096;

/// What a sink is started with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Task {
    /// Offers STARTTLS with this certificate.
    pub identity: Option<Identity>,
    /// Where it listens; `None`: anywhere.
    pub address: Option<SocketAddr>,
}

/// What it is told while it runs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Order {
    /// Tell when this many messages have come.
    Until(u64),
    Count,
}

/// What it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Word {
    Listening(SocketAddr),
    /// The message that was waited for came at this time of the monotonic clock.
    Reached {
        at_ns: u64,
    },
    Counted(Count),
}

/// What has come so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Count {
    pub messages: u64,
    /// Of content, its end included.
    pub bytes: u64,
    pub connections: u64,
    /// Connections whose handshake was a whole one.
    pub full_handshakes: u64,
    /// Connections that resumed a session.
    pub resumed: u64,
    /// What the last handshake agreed to.
    pub tls: Option<String>,
}

/// Serves until standard input ends.
pub(super) fn run(task: &Task) -> io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    // What is accepted inherits this: replies go out at once.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    rustix::net::bind(&listener, &task.address.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
    rustix::net::listen(&listener, BACKLOG)?;
    let listener = TcpListener::from(listener);
    say(&Word::Listening(listener.local_addr()?))?;
    Sink {
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        listener,
        config: task.identity.as_ref().map(Identity::server).transpose()?,
        greeting: greeting(task.identity.is_some()),
        connections: HashMap::new(),
        next_key: FIRST_CONNECTION,
        count: Count::default(),
        until: None,
    }
    .serve()
}

fn say(word: &Word) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// The reply to EHLO before TLS; after it STARTTLS is not offered again.
fn greeting(offers_tls: bool) -> [&'static [u8]; 2] {
    const CLEAR: &[u8] = b"250-sink.bench.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n";
    const OFFERS: &[u8] = b"250-sink.bench.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-STARTTLS\r\n250 8BITMIME\r\n";
    [if offers_tls { OFFERS } else { CLEAR }, CLEAR]
}

struct Sink {
    epoll: OwnedFd,
    listener: TcpListener,
    config: Option<Arc<ServerConfig>>,
    greeting: [&'static [u8]; 2],
    connections: HashMap<u64, Connection>,
    next_key: u64,
    count: Count,
    until: Option<u64>,
}

const ORDERS: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_CONNECTION: u64 = 2;

impl Sink {
    fn serve(mut self) -> io::Result<()> {
        let stdin = io::stdin();
        let mut orders = Vec::new();
        epoll::add(&self.epoll, &stdin, EventData::new_u64(ORDERS), EventFlags::IN)?;
        epoll::add(&self.epoll, &self.listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let mut events: Vec<Event> = Vec::with_capacity(256);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Err(rustix::io::Errno::INTR) => continue,
                done => done?,
            };
            for event in &events {
                match event.data.u64() {
                    ORDERS => {
                        let mut piece = [0; 1024];
                        let read = rustix::io::read(&stdin, &mut piece)?;
                        if read == 0 {
                            return Ok(());
                        }
                        orders.extend_from_slice(&piece[..read]);
                        while let Some(end) = memchr(b'\n', &orders) {
                            let line: Vec<u8> = orders.drain(..=end).collect();
                            self.obey(serde_json::from_slice(&line)?)?;
                        }
                    }
                    LISTENER => self.accept()?,
                    key => self.attend(key, &mut buffer)?,
                }
            }
        }
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Count => say(&Word::Counted(self.count.clone())),
            Order::Until(count) if self.count.messages >= count => say(&Word::Reached { at_ns: monotonic_ns() }),
            Order::Until(count) => {
                self.until = Some(count);
                Ok(())
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let stream = match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => TcpStream::from(socket),
                Err(Errno::AGAIN) => return Ok(()),
                // The peer went away while it waited.
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let key = self.next_key;
            self.next_key += 1;
            epoll::add(&self.epoll, &stream, EventData::new_u64(key), EventFlags::IN)?;
            let mut connection = Connection::new(stream);
            connection.replies.extend_from_slice(b"220 sink.bench.test ESMTP\r\n");
            if connection.send().is_ok() {
                self.count.connections += 1;
                self.connections.insert(key, connection);
            }
        }
    }

    /// Reads what a connection has and answers it. A connection that fails is gone; its relay tries again.
    fn attend(&mut self, key: u64, buffer: &mut [u8]) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(&key) else { return Ok(()) };
        let before = self.count.messages;
        let end = connection.receive(buffer, &self.config, &self.greeting, &mut self.count);
        if self.until.is_some_and(|until| before < until && until <= self.count.messages) {
            self.until = None;
            say(&Word::Reached { at_ns: monotonic_ns() })?;
        }
        match end {
            Ok(true) => {}
            Ok(false) | Err(_) => {
                self.connections.remove(&key);
            }
        }
        Ok(())
    }
}

enum State {
    Commands,
    Content(EndOfContent),
}

struct Connection {
    wire: Wire,
    state: State,
    /// A line whose end has not come.
    line: Vec<u8>,
    replies: Vec<u8>,
    has_said_tls: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        Connection {
            wire: Wire::new(stream),
            state: State::Commands,
            line: Vec::new(),
            replies: Vec::new(),
            has_said_tls: false,
        }
    }

    /// Returns whether the connection goes on.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        config: &Option<Arc<ServerConfig>>,
        greeting: &[&'static [u8]; 2],
        count: &mut Count,
    ) -> io::Result<bool> {
        loop {
            let read = match self.wire.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            if !self.has_said_tls
                && let Some(tls) = self.wire.tls()
            {
                self.has_said_tls = true;
                match tls.handshake_kind() {
                    Some(HandshakeKind::Resumed) => count.resumed += 1,
                    _ => count.full_handshakes += 1,
                }
                count.tls = Some(cryptography::agreed(tls));
            }
            if !self.take(&buffer[..read], config, greeting, count)? {
                return Ok(false);
            }
            // In clear, less than the buffer holds is all there is: no second call to learn so.
            if self.wire.tls().is_none() && read < buffer.len() {
                return Ok(true);
            }
        }
    }

    fn take(
        &mut self,
        mut bytes: &[u8],
        config: &Option<Arc<ServerConfig>>,
        greeting: &[&'static [u8]; 2],
        count: &mut Count,
    ) -> io::Result<bool> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Content(end) => match end.find(bytes) {
                    Some(length) => {
                        count.bytes += length as u64;
                        count.messages += 1;
                        bytes = &bytes[length..];
                        self.state = State::Commands;
                        self.replies.extend_from_slice(b"250 2.0.0 taken\r\n");
                    }
                    None => {
                        count.bytes += bytes.len() as u64;
                        return Ok(true);
                    }
                },
                State::Commands => {
                    let Some(length) = memchr(b'\n', bytes) else {
                        if self.line.len() + bytes.len() > LINE_BYTES_MAX {
                            return Ok(false);
                        }
                        self.line.extend_from_slice(bytes);
                        break;
                    };
                    let (line, rest) = bytes.split_at(length + 1);
                    bytes = rest;
                    let verb = if self.line.is_empty() {
                        Verb::of(line)
                    } else {
                        self.line.extend_from_slice(line);
                        let verb = Verb::of(&self.line);
                        self.line.clear();
                        verb
                    };
                    match verb {
                        Verb::Hello => {
                            self.replies.extend_from_slice(greeting[usize::from(self.wire.tls().is_some())]);
                        }
                        Verb::Data => {
                            self.replies.extend_from_slice(b"354 go on\r\n");
                            self.state = State::Content(EndOfContent::default());
                        }
                        Verb::Other => self.replies.extend_from_slice(b"250 2.0.0 ok\r\n"),
                        Verb::Quit => {
                            self.replies.extend_from_slice(b"221 2.0.0 bye\r\n");
                            self.send()?;
                            return Ok(false);
                        }
                        Verb::StartTls => {
                            let Some(config) = config else { return Ok(false) };
                            self.replies.extend_from_slice(b"220 2.0.0 go on\r\n");
                            self.send()?;
                            self.wire.start_tls(cryptography::accept(config)?);
                            return Ok(true);
                        }
                        Verb::Unknown => self.replies.extend_from_slice(b"500 5.5.1 not here\r\n"),
                    }
                }
            }
        }
        self.send()?;
        Ok(true)
    }

    /// Replies are short: a peer that does not read them is no peer of ours.
    fn send(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let written = self.wire.write(&self.replies)?;
        if written.bytes < self.replies.len() || !written.drained {
            return Err(io::Error::other("the peer does not read its replies"));
        }
        self.replies.clear();
        Ok(())
    }
}

enum Verb {
    Hello,
    Data,
    Quit,
    StartTls,
    /// Always answered by 250.
    Other,
    Unknown,
}

impl Verb {
    fn of(line: &[u8]) -> Verb {
        let Some(verb) = line.get(..4) else { return Verb::Unknown };
        match &verb.to_ascii_uppercase()[..] {
            b"EHLO" | b"HELO" => Verb::Hello,
            b"DATA" => Verb::Data,
            b"QUIT" => Verb::Quit,
            b"STAR" => Verb::StartTls,
            b"MAIL" | b"RCPT" | b"RSET" | b"NOOP" => Verb::Other,
            _ => Verb::Unknown,
        }
    }
}

/// Finds the line with nothing but a dot, however the bytes are cut.
struct EndOfContent {
    /// The last bytes before those to come.
    before: Vec<u8>,
}

const END: &[u8] = b"\r\n.\r\n";

impl Default for EndOfContent {
    /// The line before the first one has ended.
    fn default() -> EndOfContent {
        EndOfContent { before: b"\r\n".to_vec() }
    }
}

impl EndOfContent {
    /// How many bytes belong to the content, its end included, when it ends here.
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let known = self.before.len();
        let head = &bytes[..bytes.len().min(END.len() - 1)];
        self.before.extend_from_slice(head);
        if let Some(at) = memmem::find(&self.before, END) {
            return Some(at + END.len() - known);
        }
        if bytes.len() > head.len() {
            if let Some(at) = memmem::find(bytes, END) {
                return Some(at + END.len());
            }
            self.before.clear();
            self.before.extend_from_slice(&bytes[bytes.len() - (END.len() - 1)..]);
        } else {
            let surplus = self.before.len().saturating_sub(END.len() - 1);
            self.before.drain(..surplus);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_the_bytes_are_cut() {
        for (content, expected) in [
            (&b".\r\n"[..], Some(3)),
            (b"a\r\n.\r\nMAIL", Some(6)),
            (b"a\r\n..\r\nb.\r\n.\r\n", Some(14)),
            (b"a\r\n.\n.\r\n\r\n.\r\nx", Some(13)),
            (b"\r\n.\r", None),
            (b"no end here\r\n", None),
        ] {
            for cut in 0..=content.len() {
                for second in cut..=content.len() {
                    let mut end = EndOfContent::default();
                    let mut before = 0;
                    let mut found = None;
                    for piece in [&content[..cut], &content[cut..second], &content[second..]] {
                        if found.is_none() {
                            found = end.find(piece).map(|length| before + length);
                        }
                        before += piece.len();
                    }
                    assert_eq!(found, expected, "{:?} cut at {cut} and {second}", String::from_utf8_lossy(content));
                }
            }
        }
    }
}
