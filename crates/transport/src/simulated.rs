//! What a simulation puts in the place of the network, the name servers and the wall clock.
//!
//! Takes the surroundings that a test has made up, hands out what [`crate::net`], [`crate::dns`], [`crate::clock`] and
//! [`crate::blocking`] ask for, on the thread that [`enter`]ed the simulation and on no other. Exists in tests only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use gatepost_policy::exchangers::NoRecords;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

thread_local! {
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// The world of this thread's simulation; `None` outside of one.
pub fn world() -> Option<Arc<World>> {
    WORLD.with_borrow(Clone::clone)
}

/// Puts this thread into a simulation until the value is dropped.
pub fn enter(surroundings: Arc<dyn Surroundings>) -> Entered {
    let world = Arc::new(World { surroundings, listeners: Mutex::default(), numbers: AtomicU64::new(0) });
    WORLD.with_borrow_mut(|inhabited| *inhabited = Some(world));
    Entered(())
}

/// See [`enter`].
pub struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        WORLD.with_borrow_mut(|inhabited| *inhabited = None);
    }
}

/// Everything around the server, as a test makes it up. Answers come at once, or after the time that stands beside them.
pub trait Surroundings: Send + Sync {
    /// Unix time in milliseconds.
    fn wall_clock_ms(&self) -> u64;
    /// How large the file systems are, and how much of them is free, in bytes.
    fn room(&self) -> (u64, u64);
    /// What comes of connecting to this address.
    fn dial(&self, address: SocketAddr) -> Dialled;
    /// The MX records of a domain: preference and host, `.` for none.
    fn exchangers(&self, domain: &str) -> (Duration, Result<Vec<(u16, String)>, NoRecords>);
    /// The address records of a host.
    fn addresses(&self, host: &str) -> (Duration, Result<Vec<std::net::IpAddr>, NoRecords>);
}

/// What comes of connecting to an address.
pub enum Dialled {
    /// Somebody answers.
    Connected(Socket),
    /// Nobody listens there.
    Refused,
    /// Nothing comes back.
    Silence,
}

/// One end of a simulated connection.
pub struct Socket {
    /// The bytes.
    pub stream: DuplexStream,
    /// The address of this end.
    pub local: SocketAddr,
}

/// Accepts connections of simulated peers.
pub struct Listener(UnboundedReceiver<(Socket, SocketAddr)>);

impl Listener {
    /// Waits for the next peer.
    pub async fn accept(&mut self) -> (Socket, SocketAddr) {
        match self.0.recv().await {
            Some(accepted) => accepted,
            None => pending().await,
        }
    }
}

/// One simulation.
pub struct World {
    surroundings: Arc<dyn Surroundings>,
    listeners: Mutex<HashMap<SocketAddr, UnboundedSender<(Socket, SocketAddr)>>>,
    numbers: AtomicU64,
}

impl World {
    /// 0, 1, 2 and so on.
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Unix time in milliseconds.
    pub fn wall_clock_ms(&self) -> u64 {
        self.surroundings.wall_clock_ms()
    }

    /// How large the file systems are, and how much of them is free, in bytes.
    pub fn room(&self) -> (u64, u64) {
        self.surroundings.room()
    }

    /// A connection of the server to `address`.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        match self.surroundings.dial(address) {
            Dialled::Connected(socket) => Ok(socket),
            Dialled::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Dialled::Silence => pending().await,
        }
    }

    /// The server listens on `address` from now on.
    pub fn listen(&self, address: SocketAddr) -> Listener {
        let (peers, accepted) = unbounded_channel();
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).insert(address, peers);
        Listener(accepted)
    }

    /// A connection of `peer` to the server; `None` where it does not listen.
    pub fn visit(&self, address: SocketAddr, peer: SocketAddr, bytes_on_the_way: usize) -> Option<DuplexStream> {
        let (theirs, ours) = tokio::io::duplex(bytes_on_the_way);
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.get(&address)?.send((Socket { stream: ours, local: address }, peer)).ok()?;
        Some(theirs)
    }

    /// The MX records of a domain.
    pub async fn exchangers(&self, domain: &str) -> Result<Vec<(u16, String)>, NoRecords> {
        let (delay, records) = self.surroundings.exchangers(domain);
        tokio::time::sleep(delay).await;
        records
    }

    /// The address records of a host.
    pub async fn addresses(&self, host: &str) -> Result<Vec<std::net::IpAddr>, NoRecords> {
        let (delay, records) = self.surroundings.addresses(host);
        tokio::time::sleep(delay).await;
        records
    }
}
