//! A crowd of slow and hostile peers: thousands of connections, each of which does one thing badly.
//!
//! One thread drives them all. It looks at each of its sockets a few times a second, which is as slow as such peers want to
//! be. Whoever is turned away or given up by the server comes back, until the crowd is told to thin out.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// The pause between two looks at all sockets.
const TICK: Duration = Duration::from_millis(100);
/// How many ticks a peer stays that goes away by itself.
const STAY_TICKS: u32 = 10;
/// How many ticks pass before those who were left come back; longer for those who were left at once.
const AWAY_TICKS: u64 = 2;
const LONG_AWAY_TICKS: u64 = 50;
/// How many addresses the crowd comes from.
const SOURCES: u32 = 200;
/// Room for what a peer is sent that does not read.
const SMALL_BUFFER_BYTES: usize = 4 << 10;
/// How much of what a peer was told last is kept.
const HEARD_BYTES_MAX: usize = 512;

/// What a peer does badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Manner {
    /// Connects and says nothing.
    Silent,
    /// Says a command byte by byte and never ends it.
    HalfCommand,
    /// Says EHLO and nothing more.
    AfterHello,
    /// Says NOOP for ever.
    EndlessNoop,
    /// Pipelines RSET and never reads the replies.
    ResetsUnread,
    /// Pipelines EHLO, whose reply is long, and never reads.
    NeverReads,
    /// Sends content byte by byte.
    DataDripped,
    /// Sends 200 KB of content and no more.
    DataStopped,
    /// Sends 400 KB of content, which is too much for memory, and no more.
    LargeDataStopped,
    /// Announces a chunk of 30 MB and sends 1 KB.
    HugeChunk,
    /// Says STARTTLS and nothing more.
    SilentHandshake,
    /// Says STARTTLS and begins a handshake.
    HalfHandshake,
    /// Begins AUTH and leaves the challenge unanswered.
    AuthLeft,
    /// Resets the connection in the middle of its content.
    Vanishes,
}

impl Manner {
    /// Every manner.
    pub const ALL: &[Manner] = &[
        Manner::Silent,
        Manner::HalfCommand,
        Manner::AfterHello,
        Manner::EndlessNoop,
        Manner::ResetsUnread,
        Manner::NeverReads,
        Manner::DataDripped,
        Manner::DataStopped,
        Manner::LargeDataStopped,
        Manner::HugeChunk,
        Manner::SilentHandshake,
        Manner::HalfHandshake,
        Manner::AuthLeft,
        Manner::Vanishes,
    ];

    fn plan(self) -> Plan {
        const HELLO: &str = "EHLO slow.example\r\n";
        const DATA: &str =
            "EHLO slow.example\r\nMAIL FROM:<slow@slow.example>\r\nRCPT TO:<bob@contoso.com>\r\nDATA\r\n";
        const CHUNK: &str =
            "EHLO slow.example\r\nMAIL FROM:<slow@slow.example>\r\nRCPT TO:<bob@contoso.com>\r\nBDAT 30000000\r\n";
        let line = "0123456789abcdef0123456789abcdef\r\n";
        let plain = |opening: &str| Plan {
            opening: opening.as_bytes().to_vec(),
            in_handshake: b"",
            then: Then::Nothing,
            reads: true,
        };
        match self {
            Manner::Silent => plain(""),
            Manner::HalfCommand => Plan { then: Then::Drip(b"X"), ..plain("EHLO ") },
            Manner::AfterHello => plain(HELLO),
            Manner::EndlessNoop => Plan { then: Then::Drip(b"NOOP\r\n"), ..plain(HELLO) },
            Manner::ResetsUnread => Plan { then: Then::Flood(b"RSET\r\n"), reads: false, ..plain(HELLO) },
            Manner::NeverReads => Plan { then: Then::Flood(HELLO.as_bytes()), reads: false, ..plain(HELLO) },
            Manner::DataDripped => Plan { then: Then::Drip(b"x"), ..plain(DATA) },
            Manner::DataStopped => plain(&format!("{DATA}Subject: x\r\n\r\n{}", line.repeat(200_000 / line.len()))),
            Manner::LargeDataStopped => {
                plain(&format!("{DATA}Subject: x\r\n\r\n{}", line.repeat(400_000 / line.len())))
            }
            Manner::HugeChunk => plain(&format!("{CHUNK}Subject: x\r\n\r\n{}", line.repeat(1_000 / line.len()))),
            Manner::SilentHandshake => plain("EHLO slow.example\r\nSTARTTLS\r\n"),
            // The head of a handshake record of 512 bytes, and the first bytes of a ClientHello.
            Manner::HalfHandshake => Plan {
                in_handshake: &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 7, 7, 7, 7],
                ..plain("EHLO slow.example\r\nSTARTTLS\r\n")
            },
            Manner::AuthLeft => plain("EHLO slow.example\r\nAUTH LOGIN\r\n"),
            Manner::Vanishes => Plan { then: Then::Reset, ..plain(&format!("{DATA}Subject: x\r\n\r\nhalf")) },
        }
    }
}

struct Plan {
    /// Sent at once, without waiting for replies.
    opening: Vec<u8>,
    /// Sent when the server is ready for a handshake.
    in_handshake: &'static [u8],
    then: Then,
    reads: bool,
}

#[derive(Clone, Copy)]
enum Then {
    Nothing,
    /// A little at each tick.
    Drip(&'static [u8]),
    /// As much as the server takes.
    Flood(&'static [u8]),
    /// Stays a little, then resets the connection.
    Reset,
}

/// How the server parted from peers of one manner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parted {
    /// How many connections it closed, or the peers did.
    pub count: usize,
    /// Of those, how many were told the time was up (421 4.4.1) at last.
    pub told_of_time: usize,
    /// Of those, how many were turned away at once (421 4.3.2).
    pub turned_away: usize,
    /// Of those, how many were told that they said too much (421 4.7.0).
    pub told_of_commands: usize,
}

/// A crowd that is there until it is dropped.
pub struct Crowd {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    server: SocketAddr,
    open: AtomicUsize,
    thins_out: AtomicBool,
    leaves: AtomicBool,
    parted: Mutex<HashMap<Manner, Parted>>,
}

impl Crowd {
    /// `count` peers of these manners in turn, from many addresses below 127.7.0.0.
    pub fn start(server: SocketAddr, count: usize, manners: &'static [Manner]) -> Crowd {
        raise_open_files_limit();
        let shared = Arc::new(Shared {
            server,
            open: AtomicUsize::new(0),
            thins_out: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            parted: Mutex::default(),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || drive(&shared, count, manners)
        });
        Crowd { shared, thread: Some(thread) }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// From now on nobody comes back.
    pub fn thin_out(&self) {
        self.shared.thins_out.store(true, Ordering::SeqCst);
    }

    /// How the server parted from them so far.
    pub fn parted(&self) -> HashMap<Manner, Parted> {
        self.shared.parted().clone()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.leaves.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn parted(&self) -> std::sync::MutexGuard<'_, HashMap<Manner, Parted>> {
        self.parted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Peer {
    manner: Manner,
    plan: Plan,
    stream: TcpStream,
    /// How much of the opening was sent.
    sent: usize,
    ticks: u32,
    /// The end of what the server said.
    heard: Vec<u8>,
    shook_hands: bool,
}

fn drive(shared: &Shared, count: usize, manners: &[Manner]) {
    let mut peers: Vec<Peer> = Vec::with_capacity(count);
    // What is missing comes in the manner of those who left, so that there are as many of each at any time.
    let mut missing: Vec<(u64, Manner)> =
        manners.iter().copied().cycle().take(count).map(|manner| (0, manner)).collect();
    let (mut arrivals, mut tick) = (0, 0);
    while !shared.leaves.load(Ordering::SeqCst) {
        tick += 1;
        if shared.thins_out.load(Ordering::SeqCst) {
            missing.clear();
        }
        let back: Vec<_> = missing.extract_if(.., |(comes_back, _)| *comes_back <= tick).collect();
        for (comes_back, manner) in back {
            arrivals += 1;
            match Peer::connect(shared.server, source(arrivals), manner) {
                Ok(peer) => peers.push(peer),
                Err(_) => missing.push((comes_back, manner)),
            }
        }
        shared.open.store(peers.len(), Ordering::SeqCst);
        peers.retain_mut(|peer| {
            if peer.step().is_ok() {
                return true;
            }
            let heard = String::from_utf8_lossy(&peer.heard);
            let mut parted = shared.parted();
            let parted = parted.entry(peer.manner).or_default();
            parted.count += 1;
            parted.told_of_time += usize::from(heard.contains("421 4.4.1 "));
            parted.turned_away += usize::from(heard.contains("421 4.3.2 "));
            parted.told_of_commands += usize::from(heard.contains("421 4.7.0 "));
            let away = if peer.ticks > STAY_TICKS { AWAY_TICKS } else { LONG_AWAY_TICKS };
            missing.push((tick + away, peer.manner));
            false
        });
        shared.open.store(peers.len(), Ordering::SeqCst);
        std::thread::sleep(TICK);
    }
}

fn source(arrival: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 7, 0, 1)) + arrival % SOURCES).into()
}

impl Peer {
    fn connect(server: SocketAddr, source: IpAddr, manner: Manner) -> io::Result<Peer> {
        let plan = manner.plan();
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        if !plan.reads {
            socket.set_recv_buffer_size(SMALL_BUFFER_BYTES)?;
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect(&server.into())?;
        socket.set_nonblocking(true)?;
        let stream = socket.into();
        Ok(Peer { manner, plan, stream, sent: 0, ticks: 0, heard: Vec::new(), shook_hands: false })
    }

    /// Does what the manner asks for at this tick. An error says that the connection is over.
    fn step(&mut self) -> io::Result<()> {
        self.ticks += 1;
        if self.plan.reads {
            self.listen()?;
        }
        while self.sent < self.plan.opening.len() {
            match write(&mut self.stream, &self.plan.opening[self.sent..])? {
                0 => return Ok(()),
                sent => self.sent += sent,
            }
        }
        if !self.plan.in_handshake.is_empty() && !self.shook_hands && self.is_ready_for_tls() {
            self.shook_hands = true;
            write(&mut self.stream, self.plan.in_handshake)?;
        }
        match self.plan.then {
            Then::Nothing => {}
            Then::Drip(bytes) => _ = write(&mut self.stream, bytes)?,
            Then::Flood(bytes) => {
                // What does not fit of the last piece is gone: these peers are no sticklers.
                let bytes = bytes.repeat(1_000);
                while write(&mut self.stream, &bytes)? > 0 {}
            }
            Then::Reset if self.ticks < STAY_TICKS => {}
            Then::Reset => {
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
                return Err(ErrorKind::ConnectionReset.into());
            }
        }
        Ok(())
    }

    fn listen(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.heard.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.heard.drain(..self.heard.len().saturating_sub(HEARD_BYTES_MAX));
        Ok(())
    }

    fn is_ready_for_tls(&self) -> bool {
        String::from_utf8_lossy(&self.heard).lines().any(|line| line.starts_with("220 2.0.0 "))
    }
}

/// Writes what the socket takes; 0 when that is nothing now.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Each peer is an open file of the test program.
fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
