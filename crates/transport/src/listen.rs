//! Step 1 of 9 - listen: sockets that accept connections.
//!
//! Takes the listeners that the settings ask for, hands each accepted socket to [`crate::receive`] as a task of its own,
//! so that a panic in one session ends that session only (invariant I9).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost_policy::receive_connector::Listener;
use tokio::task::JoinHandle;

use crate::net;
use crate::receive;
use crate::state::Running;

/// Rest after a failed accept: most likely all file descriptors are taken.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A listener that could not be opened.
#[derive(Debug)]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// The next step for an administrator whose listener does not open; empty where there is none to name.
pub fn hint(address: SocketAddr, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another program listens there: `ss -ltnp` shows which)",
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            " (ports below 1024 need the right CAP_NET_BIND_SERVICE: run it by the systemd unit, or use a higher port)"
        }
        io::ErrorKind::AddrNotAvailable => {
            " (this machine does not have that address: `ip address` lists those it has)"
        }
        _ => "",
    }
}

/// Opens one listening socket.
pub fn open(listener: Listener) -> Result<net::Listener, ListenError> {
    let address = listener.address;
    net::listen(address).map_err(|source| ListenError { address, source })
}

/// The tasks that accept, by listener.
#[derive(Default)]
pub struct Listeners {
    tasks: HashMap<Listener, JoinHandle<()>>,
}

/// Sockets that are open and not accepting yet.
pub struct Opened(Vec<(Listener, net::Listener)>);

impl Listeners {
    /// Opens what `wanted` asks for and is not open yet; all or none.
    ///
    /// # Errors
    /// [`ListenError`] for the first that cannot be opened; what was opened before it is closed again.
    pub fn open_missing(&self, wanted: &[Listener]) -> Result<Opened, ListenError> {
        let missing = wanted.iter().filter(|listener| !self.tasks.contains_key(*listener));
        missing.map(|listener| Ok((*listener, open(*listener)?))).collect::<Result<_, _>>().map(Opened)
    }

    /// Accepts on what was opened, and stops accepting where `wanted` does not ask for it any more. Open connections go
    /// on. Says which were opened and closed.
    pub fn switch(
        &mut self,
        running: &Arc<Running>,
        opened: Opened,
        wanted: &[Listener],
    ) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let mut new = Vec::new();
        for (listener, socket) in opened.0 {
            new.push(listener.address);
            let task = tokio::spawn(accept(running.clone(), socket, listener.implicit_tls));
            self.tasks.insert(listener, task);
        }
        let gone: Vec<Listener> = self.tasks.keys().filter(|listener| !wanted.contains(listener)).copied().collect();
        for listener in &gone {
            if let Some(task) = self.tasks.remove(listener) {
                task.abort();
            }
        }
        *running.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = {
            let mut listening: Vec<_> = self.tasks.keys().map(|l| (l.address, l.implicit_tls)).collect();
            listening.sort();
            listening
        };
        (new, gone.into_iter().map(|listener| listener.address).collect())
    }

    /// Stops accepting everywhere.
    pub fn close(&mut self) {
        for (_, task) in self.tasks.drain() {
            task.abort();
        }
    }
}

async fn accept(running: Arc<Running>, mut listener: net::Listener, implicit_tls: bool) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                tokio::spawn(receive::serve(running.clone(), socket, peer, implicit_tls));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}
