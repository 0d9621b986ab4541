//! The network, by one door: connect, listen, accept. A simulation puts another network in its place.
//!
//! Takes addresses, hands on sockets. In the program that is shipped a [`Socket`] is one of the system's and nothing else; in
//! tests of this crate it may be one end of a simulated connection.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use gatepost_policy::send_connector::Source;
use socket2::{Domain, Protocol, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};

#[cfg(test)]
use crate::simulated;

/// Connections that may wait to be accepted: devices like to come all at once.
const BACKLOG: i32 = 4_096;
/// Room that the system keeps for what a peer has not read yet, in bytes; it takes twice that. Replies are short, and without
/// a bound peers that never read could make it keep megabytes for each of them.
const REPLIES_UNREAD_BYTES_MAX: usize = 64 << 10;

/// One end of a connection.
pub enum Socket {
    /// Over the network.
    Tcp(TcpStream),
    /// To another program of this machine.
    Unix(UnixStream),
    /// Within a simulation.
    #[cfg(test)]
    Simulated(simulated::Socket),
}

/// What accepts connections.
pub enum Listener {
    /// From the network.
    Tcp(TcpListener),
    /// From peers within a simulation.
    #[cfg(test)]
    Simulated(simulated::Listener),
}

/// Opens a connection, from this address of ours.
pub async fn connect(address: SocketAddr, source: Source) -> io::Result<Socket> {
    #[cfg(test)]
    if let Some(world) = simulated::world() {
        return world.connect(address).await.map(Socket::Simulated);
    }
    let from = match source {
        Source::Any => return TcpStream::connect(address).await.map(Socket::Tcp),
        Source::From(from) => from,
        Source::WrongFamily => {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            return Err(io::Error::other(format!("source_ip_address has no {family} address")));
        }
    };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Many connections from one address: a port that waits out its time can be had again.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(from, 0)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            io::Error::new(error.kind(), format!("source_ip_address {from} is no address of this machine"))
        }
        _ => error,
    })?;
    socket.connect(address).await.map(Socket::Tcp)
}

/// Whether `ip` is an address of this machine: nothing goes out to it.
pub fn is_own(ip: IpAddr) -> bool {
    #[cfg(test)]
    if simulated::world().is_some() {
        return false;
    }
    if ip.is_loopback() {
        return true;
    }
    // The kernel is asked which address it would send from; no packet goes out. To itself it sends from the very address.
    let any: SocketAddr = match ip {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let source = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

/// Opens a connection to a socket of this machine.
pub async fn connect_local(path: &Path) -> io::Result<Socket> {
    UnixStream::connect(path).await.map(Socket::Unix)
}

/// Opens one listening socket. IPv6 sockets are V6ONLY: `[::]:25` and `0.0.0.0:25` are two bindings.
pub fn listen(address: SocketAddr) -> io::Result<Listener> {
    #[cfg(test)]
    if let Some(world) = simulated::world() {
        return Ok(Listener::Simulated(world.listen(address)));
    }
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for connections of the former run to time out.
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it.
    socket.set_send_buffer_size(REPLIES_UNREAD_BYTES_MAX)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into()).map(Listener::Tcp)
}

impl Listener {
    /// Waits for a peer; hands on its connection and its address.
    pub async fn accept(&mut self) -> io::Result<(Socket, SocketAddr)> {
        match self {
            Listener::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                Ok((Socket::Tcp(socket), peer))
            }
            #[cfg(test)]
            Listener::Simulated(listener) => {
                let (socket, peer) = listener.accept().await;
                Ok((Socket::Simulated(socket), peer))
            }
        }
    }
}

impl Socket {
    /// Our own address; unspecified where there is no network between.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::Tcp(socket) => socket.local_addr(),
            Socket::Unix(_) => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            #[cfg(test)]
            Socket::Simulated(socket) => Ok(socket.local),
        }
    }

    /// Sends small writes at once.
    pub fn set_nodelay(&self) {
        match self {
            // It costs time where it fails, nothing else.
            Socket::Tcp(socket) => drop(socket.set_nodelay(true)),
            Socket::Unix(_) => {}
            #[cfg(test)]
            Socket::Simulated(_) => {}
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(context, buffer),
            Socket::Unix(socket) => Pin::new(socket).poll_read(context, buffer),
            #[cfg(test)]
            Socket::Simulated(socket) => Pin::new(&mut socket.stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(context, bytes),
            Socket::Unix(socket) => Pin::new(socket).poll_write(context, bytes),
            #[cfg(test)]
            Socket::Simulated(socket) => Pin::new(&mut socket.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Socket::Unix(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            #[cfg(test)]
            Socket::Simulated(socket) => Pin::new(&mut socket.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Tcp(socket) => socket.is_write_vectored(),
            Socket::Unix(socket) => socket.is_write_vectored(),
            #[cfg(test)]
            Socket::Simulated(socket) => socket.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_flush(context),
            Socket::Unix(socket) => Pin::new(socket).poll_flush(context),
            #[cfg(test)]
            Socket::Simulated(socket) => Pin::new(&mut socket.stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(context),
            Socket::Unix(socket) => Pin::new(socket).poll_shutdown(context),
            #[cfg(test)]
            Socket::Simulated(socket) => Pin::new(&mut socket.stream).poll_shutdown(context),
        }
    }
}
