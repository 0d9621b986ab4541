//! Connections that scripts open by themselves, and echoes that they ask for: TcpClient, Test-NetConnection, Test-Connection.
//!
//! From the caller's process, with the caller's rights; waiting ends by a time limit or Ctrl-C. Knows nothing of what is said.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use gatepost_shell::world;
use socket2::{Domain, Protocol, Socket, Type};

use super::cancel::Cancel;

/// How often Ctrl-C is asked about.
const TICK: Duration = Duration::from_millis(200);
/// Less than this is no time to wait for the system.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// A connection by TCP.
pub struct Peer {
    socket: TcpStream,
    cancel: Arc<Cancel>,
}

/// Connects to the first of a host's addresses that answers.
///
/// # Errors
/// What the system says of the last one; `TimedOut` when the time is over; `Interrupted` by Ctrl-C.
pub fn connect(host: &str, port: u16, timeout: Duration, cancel: &Arc<Cancel>) -> io::Result<Peer> {
    let until = Instant::now() + timeout;
    let host = host.trim().trim_matches(['[', ']']).to_owned();
    let (tell, told) = mpsc::sync_channel(1);
    // The system neither looks up a name nor connects so that Ctrl-C ends it: that waits apart. Where nobody wants the answer
    // any more, it ends by itself.
    let pressed = cancel.clone();
    thread::Builder::new().name("connect".to_owned()).spawn(move || {
        let reached = (host.as_str(), port)
            .to_socket_addrs()
            .and_then(|addresses| first_of(&addresses.collect::<Vec<_>>(), until, &pressed));
        // Whoever asked may have gone.
        let _ = tell.send(reached);
    })?;
    let socket = loop {
        match told.recv_timeout(TICK) {
            Ok(reached) => break reached?,
            Err(RecvTimeoutError::Timeout) => check(cancel, until)?,
            Err(RecvTimeoutError::Disconnected) => return Err(ErrorKind::AddrNotAvailable.into()),
        }
    };
    socket.set_read_timeout(Some(TICK))?;
    socket.set_write_timeout(Some(TICK))?;
    Ok(Peer { socket, cancel: cancel.clone() })
}

/// Connects to the first that answers. Each has its share of the time that is left: one that is silent takes it from nobody.
fn first_of(addresses: &[SocketAddr], until: Instant, cancel: &Cancel) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for (place, address) in addresses.iter().enumerate() {
        if cancel.is_set() {
            return Err(interrupted());
        }
        let share = until.saturating_duration_since(Instant::now()) / (addresses.len() - place) as u32;
        match TcpStream::connect_timeout(address, share.max(TIMEOUT_MIN)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn interrupted() -> io::Error {
    io::Error::new(ErrorKind::Interrupted, "Ctrl-C")
}

/// An error when Ctrl-C was pressed or the time is over.
fn check(cancel: &Cancel, until: Instant) -> io::Result<()> {
    if cancel.is_set() {
        return Err(interrupted());
    }
    if Instant::now() < until { Ok(()) } else { Err(ErrorKind::TimedOut.into()) }
}

impl world::Peer for Peer {
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        let until = Instant::now() + timeout;
        loop {
            match self.socket.read(buffer) {
                Err(error) if is_wait(&error) => check(&self.cancel, until)?,
                done => return done,
            }
        }
    }

    fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<()> {
        let until = Instant::now() + timeout;
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if is_wait(&error) => check(&self.cancel, until)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn has_come(&mut self) -> io::Result<bool> {
        self.socket.set_nonblocking(true)?;
        let looked = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false)?;
        match looked {
            Ok(count) => Ok(count > 0),
            Err(error) if is_wait(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Octets of an echo before its payload (RFC 792), and the payload's.
const ECHO_HEADER_BYTES: usize = 8;
const ECHO_BYTES: usize = ECHO_HEADER_BYTES + 32;
/// ICMP types of a request and an answer, for IPv4 (RFC 792) and IPv6 (RFC 4443).
const ECHO_TYPES: [(u8, u8); 2] = [(8, 0), (128, 129)];

/// Asks a host for an echo; how long it took to come.
///
/// # Errors
/// `TimedOut` when none came; `PermissionDenied` where the system lets this user send none.
pub fn echo(address: IpAddr, timeout: Duration, cancel: &Cancel) -> io::Result<Duration> {
    let (domain, protocol, (request, answer)) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, ECHO_TYPES[0]),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, ECHO_TYPES[1]),
    };
    // The first needs no privilege: the system fills in identifier and checksum, and hands on only answers. Where it lets
    // nobody have one, whoever has the privilege takes the second, which hands on all that comes, with the header of IPv4.
    let (socket, is_raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            (Socket::new(domain, Type::RAW, Some(protocol))?, true)
        }
        made => (made?, false),
    };
    socket.connect(&SocketAddr::new(address, 0).into())?;
    socket.set_read_timeout(Some(TICK.min(timeout).max(TIMEOUT_MIN)))?;
    let identifier = (std::process::id() as u16).to_be_bytes();
    let mut packet = [b'g'; ECHO_BYTES];
    packet[..ECHO_HEADER_BYTES].copy_from_slice(&[request, 0, 0, 0, identifier[0], identifier[1], 0, 1]);
    let sum = checksum(&packet).to_be_bytes();
    packet[2..4].copy_from_slice(&sum);
    let began = Instant::now();
    socket.send(&packet)?;
    let mut came = [0; 512];
    loop {
        match (&socket).read(&mut came) {
            Ok(count) if is_answer(&came[..count], answer, is_raw.then_some(identifier)) => return Ok(began.elapsed()),
            Ok(_) => {}
            Err(error) if is_wait(&error) => {}
            Err(error) => return Err(error),
        }
        if cancel.is_set() {
            return Err(interrupted());
        }
        if began.elapsed() >= timeout {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

/// Whether a packet is an answer; on a socket that hands on all: whether it is ours.
fn is_answer(packet: &[u8], answer: u8, identifier: Option<[u8; 2]>) -> bool {
    // Answers of IPv6 come without a header, and none of ICMP begins with a 4: that is the version in IPv4's.
    let header = match packet.first() {
        Some(first) if identifier.is_some() && first >> 4 == 4 => usize::from(first & 0x0F) * 4,
        _ => 0,
    };
    let Some(echo) = packet.get(header..header + ECHO_HEADER_BYTES) else { return false };
    echo[0] == answer && identifier.is_none_or(|identifier| echo[4..6] == identifier)
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let sum = bytes
        .chunks(2)
        .fold(0u32, |sum, pair| sum + u32::from(pair[0]) * 256 + u32::from(pair.get(1).copied().unwrap_or_default()));
    let folded = (sum & 0xFFFF) + (sum >> 16);
    !((folded & 0xFFFF) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use gatepost_shell::world::Peer as _;

    use super::*;

    #[test]
    fn answers_are_told_from_what_else_comes() {
        let echo = [0, 0, 0xAB, 0xCD, 0x12, 0x34, 0, 1];
        let mut within = vec![0x45; 20];
        within.extend(echo);
        assert!(is_answer(&echo, 0, None));
        assert!(is_answer(&within, 0, Some([0x12, 0x34])));
        assert!(!is_answer(&within, 0, Some([0x12, 0x35])));
        assert!(!is_answer(&within, 8, Some([0x12, 0x34])));
        assert!(!is_answer(&within[..24], 0, Some([0x12, 0x34])));
        assert!(!is_answer(&[], 0, None));
        assert_eq!(checksum(&[8, 0, 0, 0, 0, 1, 0, 1]), 0xF7FD);
    }

    /// Somebody who listens and answers nobody: who is not let in stands in a queue of one, and those behind are not heard.
    fn silent() -> (Socket, Vec<TcpStream>, SocketAddr) {
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        silent.listen(0).expect("listens");
        let address = silent.local_addr().expect("bound").as_socket().expect("of IPv4");
        let queue = (0..8).map_while(|_| TcpStream::connect_timeout(&address, TICK).ok()).collect();
        (silent, queue, address)
    }

    #[test]
    fn an_address_that_is_silent_leaves_time_for_the_next() {
        let (_silent, _queue, mute) = silent();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let answering = listener.local_addr().expect("bound");
        let until = Instant::now() + Duration::from_secs(3);
        let reached = first_of(&[mute, answering], until, &Cancel::default()).expect("the second answers");
        assert_eq!(reached.peer_addr().expect("connected"), answering);
        assert!(Instant::now() < until);
    }

    #[test]
    fn who_waits_for_a_connection_hears_ctrl_c() {
        let (_silent, _queue, mute) = silent();
        let cancel = Arc::new(Cancel::default());
        let (began, pressed) = (Instant::now(), cancel.clone());
        let press = thread::spawn(move || {
            thread::sleep(TICK);
            pressed.set();
        });
        let waited = connect("127.0.0.1", mute.port(), Duration::from_secs(30), &cancel);
        assert_eq!(waited.err().expect("nobody answers").kind(), ErrorKind::Interrupted);
        assert!(began.elapsed() < Duration::from_secs(10));
        press.join().expect("pressed");
    }

    #[test]
    fn a_connection_says_what_came_and_that_nothing_came_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let cancel = Arc::new(Cancel::default());
        let mut peer = connect("127.0.0.1", port, Duration::from_secs(5), &cancel).expect("somebody listens");
        let (mut other, _) = listener.accept().expect("connected");
        assert!(!peer.has_come().expect("open"));
        let mut buffer = [0; 16];
        let error = peer.receive(&mut buffer, TIMEOUT_MIN).expect_err("nothing was said");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        other.write_all(b"220 x").expect("sent");
        assert_eq!(peer.receive(&mut buffer, Duration::from_secs(5)).expect("said"), 5);
        peer.send(b"QUIT\r\n", Duration::from_secs(5)).expect("taken");
        cancel.set();
        let error = peer.receive(&mut buffer, Duration::from_secs(5)).expect_err("Ctrl-C");
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        cancel.forget();
        drop(other);
        drop(listener);
        let error = connect("127.0.0.1", port, Duration::from_secs(5), &cancel).err().expect("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}
