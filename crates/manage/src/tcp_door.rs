//! The doors for administrators at TCP ports, where `[management] listen` says: without TLS on addresses of this machine, with
//! it on all others.
//!
//! Takes settings before they are in force and when they are, and the routes that stand behind; whom a request is from is
//! the routes' business. Everything is bounded: connections, those of one address, headers, time.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use gatepost_policy::Settings;
use gatepost_policy::management::needs_tls;
use gatepost_transport::Control;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

use crate::access::Visitor;
use crate::bounded::Bounded;

/// At most so many connections are open at once at one door; more wait in the listen queue.
const CONNECTIONS_MAX: usize = 128;
/// At most so many of one address. Behind a proxy on this machine all are of one.
const CONNECTIONS_OF_ADDRESS_MAX: usize = 32;
/// A connection ends after this time, whatever it is doing; who listens to events comes again.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(300);
/// How long a handshake may take, and the fields of one request; also how long a connection may be idle.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most fields of a request, and most bytes of them.
const FIELDS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Pause after a failed accept, so that a lack of file descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// An address of `[management]` cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for [management]: {source}{hint}", hint = self.hint())]
pub struct TcpDoorError {
    address: SocketAddr,
    source: io::Error,
    /// Our own door that is in the way.
    own: Option<SocketAddr>,
}

impl TcpDoorError {
    fn hint(&self) -> String {
        let own = self
            .own
            .map(|own| format!("; this server itself has {own}: take that out, reload, then write the new one"));
        own.unwrap_or_default()
    }
}

/// All doors that are open. Dropping them closes them.
#[derive(Default)]
pub struct TcpDoors {
    routes: Option<Router>,
    open: Vec<TcpDoor>,
}

struct TcpDoor {
    address: SocketAddr,
    serving: AbortHandle,
}

/// What new settings need that was not there.
pub struct Prepared(Vec<(TcpListener, SocketAddr)>);

impl TcpDoors {
    /// What stands behind every door that opens from now on.
    pub fn put_behind(&mut self, routes: Router) {
        self.routes = Some(routes);
    }

    /// Takes what the settings need and may not get.
    ///
    /// # Errors
    /// [`TcpDoorError`]; everything is as before then.
    pub async fn prepare(&self, settings: &Settings) -> Result<Prepared, TcpDoorError> {
        let mut bound = Vec::new();
        for address in &settings.management.listen {
            if self.open.iter().any(|door| door.address == *address) {
                continue;
            }
            let own = || self.open.iter().map(|door| door.address).find(|own| own.port() == address.port());
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|source| TcpDoorError { address: *address, source, own: own() })?;
            bound.push((listener, *address));
        }
        Ok(Prepared(bound))
    }

    /// Whether administrators are heard anywhere.
    pub fn is_any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The settings are in force.
    pub fn switch(&mut self, control: &Control, prepared: Prepared) {
        let wanted = &control.settings().management.listen;
        self.open.retain(|door| wanted.contains(&door.address));
        let Some(routes) = &self.routes else { return };
        for (listener, address) in prepared.0 {
            let serving = tokio::spawn(serve(listener, address, routes.clone(), control.clone()));
            self.open.push(TcpDoor { address, serving: serving.abort_handle() });
            tracing::info!(%address, tls = needs_tls(address), "administrators are heard");
        }
    }
}

impl Drop for TcpDoor {
    fn drop(&mut self) {
        self.serving.abort();
        tracing::info!(address = %self.address, "administrators are no longer heard");
    }
}

async fn serve(listener: TcpListener, address: SocketAddr, routes: Router, control: Control) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let crowd = Arc::new(Crowd::default());
    // Ends with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await.expect("nobody closes the semaphore");
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, %address, "cannot accept a connection of an administrator");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let Some(guest) = crowd.enter(peer.ip().to_canonical()) else { continue };
        let (routes, control) = (routes.clone(), control.clone());
        connections.spawn(async move {
            let _guest = guest;
            receive(stream, peer, needs_tls(address), place, routes, &control).await;
        });
    }
}

async fn receive(
    stream: TcpStream,
    peer: SocketAddr,
    with_tls: bool,
    place: OwnedSemaphorePermit,
    routes: Router,
    control: &Control,
) {
    let stream = Bounded::new(stream, CONNECTION_LIFETIME, place);
    if !with_tls {
        return answer(stream, Visitor::Remote { address: peer, by_tls: false }, routes).await;
    }
    // Asked each time: a reload brings new certificates.
    let Some(acceptor) = control.management_tls() else { return };
    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => answer(stream, Visitor::Remote { address: peer, by_tls: true }, routes).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS with an administrator"),
        Err(_) => tracing::debug!(%peer, "no TLS with an administrator in time"),
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, visitor: Visitor, routes: Router) {
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(visitor));
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(?visitor, %error, "the connection of an administrator broke");
    }
}

/// How many connections each address has.
#[derive(Default)]
struct Crowd(Mutex<HashMap<IpAddr, usize>>);

/// One of them; leaves when it is dropped.
struct Guest {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Crowd {
    fn enter(self: &Arc<Crowd>, address: IpAddr) -> Option<Guest> {
        let mut crowd = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = crowd.entry(address).or_default();
        if *count >= CONNECTIONS_OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        drop(crowd);
        Some(Guest { crowd: self.clone(), address })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut crowd = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = crowd.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                crowd.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_a_bounded_number_of_connections_and_none_is_remembered_when_they_end() {
        let crowd = Arc::new(Crowd::default());
        let address = IpAddr::from([192, 0, 2, 7]);
        let mut guests: Vec<Guest> = (0..CONNECTIONS_OF_ADDRESS_MAX).filter_map(|_| crowd.enter(address)).collect();
        assert_eq!(guests.len(), CONNECTIONS_OF_ADDRESS_MAX);
        assert!(crowd.enter(address).is_none());
        assert!(crowd.enter(IpAddr::from([192, 0, 2, 8])).is_some(), "others are heard");
        guests.pop();
        assert!(crowd.enter(address).is_some());
        guests.clear();
        assert!(crowd.0.lock().expect("no panic").is_empty());
    }
}
