//! The door for monitoring: numbers, health and readiness over plain HTTP, where `[metrics] listen` says.
//!
//! | call | answer |
//! |---|---|
//! | `GET /metrics` | numbers, in the format that is asked for |
//! | `GET /healthz` | 200 while the server can do anything at all, else 503: start it again |
//! | `GET /readyz` | 200 while it takes mail, else 503 with the reasons: send nothing here |
//!
//! Changes nothing, whoever asks. Few connections at a time, each of them short, and the oldest gives way to one more: nobody
//! who holds connections open keeps a monitor away, which would take the server for dead.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use gatepost_transport::Control;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::bounded::Bounded;
use crate::exposition::{self, Format};

/// At most so many connections are open at once; for one more the oldest is closed.
const CONNECTIONS_MAX: usize = 16;
/// A connection ends after this time, whatever it is doing. Gathering numbers of a full queue takes milliseconds.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(20);
/// Pause after a failed accept, so that a lack of file descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A socket that is bound, and not served yet.
pub struct Bound(TcpListener);

/// An open door; closes when it is dropped.
pub struct MetricsDoor {
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Bound {
    /// Binds where the settings say.
    ///
    /// # Errors
    /// When the system does not let us.
    pub async fn bind(address: SocketAddr) -> io::Result<Bound> {
        TcpListener::bind(address).await.map(Bound)
    }

    /// Serves what the running server says of itself.
    pub fn serve(self, control: Control, address: SocketAddr) -> MetricsDoor {
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(health))
            .route("/readyz", get(readiness))
            .fallback(not_found)
            .with_state(control);
        let listener =
            Bounds { socket: self.0, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)), open: VecDeque::new() };
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the door for monitoring ended");
            }
        });
        tracing::info!(%address, "numbers, health and readiness are to be had");
        MetricsDoor { address, serving }
    }
}

impl Drop for MetricsDoor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Bounds {
    socket: TcpListener,
    places: Arc<Semaphore>,
    /// Oldest first. Dropping one closes its connection.
    open: VecDeque<oneshot::Sender<()>>,
}

impl Listener for Bounds {
    type Io = Bounded<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Bounded<TcpStream>, SocketAddr) {
        let (stream, peer) = loop {
            match self.socket.accept().await {
                Ok(accepted) => break accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection at the door for monitoring");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        self.open.retain(|connection| !connection.is_closed());
        if self.open.len() >= CONNECTIONS_MAX {
            self.open.pop_front();
        }
        let (gives_way, pushed_out) = oneshot::channel();
        self.open.push_back(gives_way);
        let place = self.places.clone().acquire_owned().await.expect("nobody closes the semaphore");
        (Bounded::new(stream, CONNECTION_LIFETIME, place).until(pushed_out), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// One question, one connection: a monitor that keeps its connection finds it cut off at the end of its lifetime.
const CLOSE: (header::HeaderName, &str) = (header::CONNECTION, "close");

async fn metrics(State(control): State<Control>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    let text = exposition::write(&control.metrics().await, format);
    ([CLOSE, (header::CONTENT_TYPE, format.content_type())], text).into_response()
}

/// What a probe reads.
#[derive(Serialize)]
struct Probed {
    status: &'static str,
    reasons: Vec<String>,
}

async fn health(State(control): State<Control>) -> Response {
    probed(control.health().faults)
}

async fn readiness(State(control): State<Control>) -> Response {
    probed(control.health().obstacles)
}

fn probed(reasons: Vec<String>) -> Response {
    let (code, status) = match reasons.is_empty() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    (code, [CLOSE], Json(Probed { status, reasons })).into_response()
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, [CLOSE], "there is /metrics, /healthz and /readyz\n").into_response()
}
