//! One connection of the load, in clear or in TLS, that never blocks.
//!
//! Takes and hands on bytes; an error of the kind `WouldBlock` says that there are none now, or no room. The caller waits by epoll.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use rustls::Connection;

pub(super) struct Wire {
    stream: TcpStream,
    tls: Option<Box<Connection>>,
}

/// What became of bytes that were to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Bytes that need not be given again.
    pub bytes: usize,
    /// Whether the kernel has all of those: if not, go on when there is room.
    pub drained: bool,
}

impl Wire {
    /// The stream must not block.
    pub fn new(stream: TcpStream) -> Wire {
        Wire { stream, tls: None }
    }

    /// From now on everything is TLS.
    pub fn start_tls(&mut self, connection: Connection) {
        self.tls = Some(Box::new(connection));
    }

    pub fn tls(&self) -> Option<&Connection> {
        self.tls.as_deref()
    }

    /// Bytes of the peer's; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A peer that closes without a farewell has ended, too: the dialogue says whether that was too early.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            if tls.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
            send(tls, &mut self.stream)?;
        }
    }

    /// Writes as much as there is room for.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Written> {
        let Some(tls) = &mut self.tls else {
            let mut taken = 0;
            while taken < bytes.len() {
                match self.stream.write(&bytes[taken..]) {
                    Ok(count) => taken += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            return Ok(Written { bytes: taken, drained: true });
        };
        let mut taken = 0;
        loop {
            // While the handshake lasts this merely remembers the bytes.
            taken += tls.writer().write(&bytes[taken..])?;
            let drained = send(tls, &mut self.stream)?;
            if taken == bytes.len() || !drained {
                return Ok(Written { bytes: taken, drained });
            }
        }
    }
}

/// Hands ciphertext to the kernel; says whether it has all.
fn send(tls: &mut Connection, stream: &mut TcpStream) -> io::Result<bool> {
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
