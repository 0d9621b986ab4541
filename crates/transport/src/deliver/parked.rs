//! Connections that nobody needs just now, for whoever wants the same host on the same terms; and who waits for a host that
//! has as many as it may.
//!
//! Takes a connection whose queue has run empty and gives it to the first worker that asks, of whatever queue: domains with
//! one exchanger share its connections. Whoever has left a connection here comes back for it soon, and says goodbye to it if
//! nobody took it, so nothing stays here for longer than a worker waits. A host that is full has a line of queues that wait;
//! the first of them goes on as soon as a connection is left here or closed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_policy::next_hop_certificate::Demand;
use gatepost_policy::send_connector::SendConnector;

use super::connection::Connection;
use crate::dns::Target;
use crate::queue::{DeliveryQueue, Wait};
use crate::send_limits;
use crate::state::Running;

/// Queues that wait in line for one host. The others find out by themselves, a second later.
const WAITING_MAX: usize = 1_000;

/// Idle connections, and how many there are to each host.
pub struct Parked {
    running: Arc<Running>,
    inner: Mutex<Inner>,
}

struct Inner {
    left: u64,
    /// In an order, so that a simulation closes the same one each time.
    idle: BTreeMap<SocketAddr, Vec<Idle>>,
    open: HashMap<SocketAddr, u32>,
    waiting: HashMap<SocketAddr, VecDeque<(Arc<DeliveryQueue>, Wait)>>,
}

/// On which terms a connection was made. Whoever wants others has to make one.
#[derive(Clone)]
pub struct Terms {
    /// The very connector: what was said to the peer follows from it.
    pub connector: Arc<SendConnector>,
    /// That of the revision whose certificates and passwords were used.
    pub generation: u64,
    /// What the peer had to prove.
    pub demand: Demand,
}

impl Terms {
    fn are_those_of(&self, others: &Terms) -> bool {
        let is_one_connector = Arc::ptr_eq(&self.connector, &others.connector);
        is_one_connector && self.generation == others.generation && self.demand == others.demand
    }
}

/// A connection with everything that goes where it goes.
pub struct Idle {
    number: u64,
    terms: Terms,
    connection: Box<Connection>,
    places: Places,
}

/// What a connection counts for until it is closed.
pub struct Places {
    /// Among the server's outbound connections.
    pub _server: ServerPlace,
    /// Among those to its host.
    pub _host: HostPlace,
    /// Among those of its send connector.
    pub _connector: send_limits::Place,
}

/// A place among the server's outbound connections, given back when dropped.
pub struct ServerPlace(Arc<Running>);

impl ServerPlace {
    /// Takes one unless `most` are taken. Asking and taking are one step, so two workers cannot take one last place.
    pub fn take(running: &Arc<Running>, most: u64) -> Option<ServerPlace> {
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let taken = &running.counters.outbound_connections;
        taken.fetch_update(set, fetch, |open| (open < most).then_some(open + 1)).ok()?;
        Some(ServerPlace(running.clone()))
    }
}

impl Drop for ServerPlace {
    fn drop(&mut self) {
        self.0.counters.outbound_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// By which what was left is found again. Dropped unused it closes what was left, so that nothing stays for good whatever
/// becomes of the worker.
pub struct Ticket<'a> {
    parked: &'a Parked,
    address: SocketAddr,
    number: u64,
}

impl Ticket<'_> {
    /// Takes back what was left, unless somebody else has it by now.
    pub fn take_back(&self) -> Option<(Terms, Box<Connection>, Places)> {
        self.parked.inner().take(self.address, |idle| idle.number == self.number)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        // Its places are given back when the lock is.
        drop(self.take_back());
    }
}

impl Parked {
    /// None yet.
    pub fn new(running: Arc<Running>) -> Parked {
        let inner = Inner { left: 0, idle: BTreeMap::new(), open: HashMap::new(), waiting: HashMap::new() };
        Parked { running, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a connection to whoever wants it.
    pub fn leave(&self, terms: Terms, connection: Box<Connection>, places: Places) -> Ticket<'_> {
        let address = connection.target.address;
        let (number, next) = {
            let mut inner = self.inner();
            inner.left += 1;
            let number = inner.left;
            inner.idle.entry(address).or_default().push(Idle { number, terms, connection, places });
            (number, inner.next_waiting(address))
        };
        self.let_go_on(next);
        Ticket { parked: self, address, number }
    }

    /// Takes a connection to `target`.
    pub fn take(&self, target: &Target, terms: &Terms) -> Option<(Terms, Box<Connection>, Places)> {
        let fits = |idle: &Idle| idle.connection.target.name == target.name && idle.terms.are_those_of(terms);
        self.inner().take(target.address, fits)
    }

    /// Closes any connection that nobody needs now, to make room for another.
    pub fn close_one(&self) {
        let found = {
            let mut inner = self.inner();
            let address = inner.idle.keys().next().copied();
            address.and_then(|address| inner.take(address, |_| true))
        };
        if let Some((_, connection, places)) = found {
            drop(places);
            tokio::spawn(connection.quit());
        }
    }

    /// Whether a host may have one more.
    pub fn has_room(&self, address: SocketAddr, most: u32) -> bool {
        self.inner().open.get(&address).is_none_or(|open| *open < most)
    }

    /// Counts a connection to a host until the place is dropped.
    pub fn enter(self: &Arc<Self>, address: SocketAddr) -> HostPlace {
        *self.inner().open.entry(address).or_default() += 1;
        HostPlace { parked: self.clone(), address }
    }

    /// Puts a queue in line for a host.
    pub fn stand_in_line(&self, address: SocketAddr, queue: &Arc<DeliveryQueue>, wait: Wait) {
        let mut inner = self.inner();
        let line = inner.waiting.entry(address).or_default();
        if line.len() >= WAITING_MAX {
            line.retain(|(queue, wait)| queue.is_in(*wait, 0));
        }
        if line.len() < WAITING_MAX {
            line.push_back((queue.clone(), wait));
        }
    }

    fn let_go_on(&self, next: Option<(Arc<DeliveryQueue>, Wait)>) {
        if let Some((queue, wait)) = next {
            self.running.queues.unblock(&queue, wait);
        }
    }
}

impl Inner {
    fn take(&mut self, address: SocketAddr, fits: impl Fn(&Idle) -> bool) -> Option<(Terms, Box<Connection>, Places)> {
        let idle = self.idle.get_mut(&address)?;
        // The latest: the peer has waited least.
        let place = idle.iter().rposition(fits)?;
        let Idle { terms, connection, places, .. } = idle.remove(place);
        if idle.is_empty() {
            self.idle.remove(&address);
        }
        Some((terms, connection, places))
    }

    /// The first in line that is still waiting.
    fn next_waiting(&mut self, address: SocketAddr) -> Option<(Arc<DeliveryQueue>, Wait)> {
        let line = self.waiting.get_mut(&address)?;
        let next = std::iter::from_fn(|| line.pop_front()).find(|(queue, wait)| queue.is_in(*wait, 0));
        if line.is_empty() {
            self.waiting.remove(&address);
        }
        next
    }
}

/// A place among the connections to one host.
pub struct HostPlace {
    parked: Arc<Parked>,
    address: SocketAddr,
}

impl HostPlace {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HostPlace {
    fn drop(&mut self) {
        let next = {
            let mut inner = self.parked.inner();
            if let Some(open) = inner.open.get_mut(&self.address) {
                *open = open.saturating_sub(1);
                if *open == 0 {
                    inner.open.remove(&self.address);
                }
            }
            inner.next_waiting(self.address)
        };
        self.parked.let_go_on(next);
    }
}
