//! The other end of the doors: typed calls for the command line, and within the process for the console.
//!
//! Takes questions, hands on the server's answers or a refusal that says what to do. Through the socket one connection for each
//! call, over TCP one for many; the console's calls stay in the process, and pass the gate as all others do. What can be asked
//! stands in `calls`. Never opens a file of the running server (invariant I11).

mod calls;
mod distant;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tower::ServiceExt;

use crate::access::Visitor;
use crate::door::socket_path;
use crate::resource::Refused;

use distant::SendError;
pub use distant::{Distant, DistantError};

/// Where every call begins.
pub const API_ROOT: &str = "/api/v1";
/// Largest answer that is read, in bytes; a thousand messages with many recipients stay far below.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Largest exported message that is read, in bytes.
const EXPORT_BYTES_MAX: usize = 300 * 1024 * 1024;
/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(120);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "the server is not running on {data_dir} (no answer at {socket}): start it with `gatepost serve` or `systemctl start gatepost`",
        data_dir = .data_dir.display(), socket = .socket.display()
    )]
    NotRunning {
        /// The data folder.
        data_dir: PathBuf,
        /// Where the socket would be.
        socket: PathBuf,
    },
    /// The system does not let this user in.
    #[error("you may not use {socket}: run this as root, as the server's user or as a member of its group", socket = .0.display())]
    Denied(PathBuf),
    /// Nobody listens at a TCP port, or it is not who was called.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable {
        /// Who was called.
        server: String,
        /// What happened.
        reason: String,
    },
    /// The connection broke.
    #[error("no answer from {from}: {reason}")]
    Broken {
        /// Who was asked: the socket, or the server's address.
        from: String,
        /// What happened.
        reason: String,
    },
    /// The server says no.
    #[error("{}", .refused.error)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        refused: Box<Refused>,
    },
}

/// Calls to one server.
#[derive(Clone, Debug)]
pub struct Client {
    way: Way,
}

/// How a call gets to the server.
#[derive(Clone, Debug)]
enum Way {
    /// Through the Unix socket of its data folder.
    Socket { data_dir: PathBuf, socket: PathBuf },
    /// At a TCP port.
    Distant(Distant),
    /// Within its process, for somebody who has come to it with these fields.
    Within { routes: Router, visitor: Visitor, fields: HeaderMap },
}

/// What of a visitor's request goes with the calls that are made for it: for whom it is, from whom it is, and how far a
/// listener has come.
const PASSED_ON: [HeaderName; 3] = [header::HOST, header::AUTHORIZATION, HeaderName::from_static("last-event-id")];

impl Client {
    /// A client for the server that runs on `data_dir`. Does not connect yet.
    pub fn new(data_dir: &Path) -> Client {
        Client { way: Way::Socket { data_dir: data_dir.to_path_buf(), socket: socket_path(data_dir) } }
    }

    /// A client for a server at a TCP port. Does not connect yet.
    pub fn of(distant: Distant) -> Client {
        Client { way: Way::Distant(distant) }
    }

    /// A client within the server's own process, for `visitor`, whose request has these fields: `routes` are those of the
    /// API with its gate, which takes a call as it would take it from the visitor.
    pub fn within(routes: Router, visitor: Visitor, fields: &HeaderMap) -> Client {
        let mut passed_on = HeaderMap::new();
        for name in PASSED_ON {
            for value in fields.get_all(&name) {
                passed_on.append(name.clone(), value.clone());
            }
        }
        Client { way: Way::Within { routes, visitor, fields: passed_on } }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// What a call answers, as it is; `path` needs no encoding.
    async fn file(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let request = Request::builder()
            .uri(format!("{API_ROOT}{path}"))
            .header(header::HOST, "localhost")
            .body(Full::new(Bytes::new()))
            .expect("our own paths are plain");
        Ok(self.in_time(request, EXPORT_BYTES_MAX).await?.1.to_vec())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let (status, body) = self.call_for(method, path, body).await?;
        serde_json::from_slice(&body).map_err(|error| self.not_ours(status, &error))
    }

    /// What a call answers, as it came.
    async fn call_for(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).expect("our own types have string keys only"),
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{API_ROOT}{path}"))
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("the path is percent-encoded");
        self.in_time(request, ANSWER_BYTES_MAX).await
    }

    /// Sends a request, and reads what is answered, unless that is a refusal or takes too long.
    async fn in_time(
        &self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let answered = async {
            let response = self.send(request).await?;
            let (status, body) = self.read_body(response, bytes_max).await?;
            if status.is_success() { Ok((status, body)) } else { Err(self.refused(status, &body)) }
        };
        match tokio::time::timeout(CALL_LIMIT, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(self.broken(format!("nothing came within {} seconds", CALL_LIMIT.as_secs()))),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, ClientError> {
        match &self.way {
            Way::Socket { data_dir, socket } => {
                let stream = UnixStream::connect(socket).await;
                self.send_over(stream.map_err(|error| self.unreachable(data_dir, socket, &error))?, request).await
            }
            Way::Distant(distant) => {
                let answered = distant.send(addressed_to(distant, request)).await;
                answered.map(|answered| answered.map(Body::new)).map_err(|error| self.unsent(distant, error))
            }
            Way::Within { routes, visitor, fields } => {
                let mut request = request.map(Body::new);
                request.headers_mut().remove(header::HOST);
                request.headers_mut().extend(fields.clone());
                request.extensions_mut().insert(ConnectInfo(*visitor));
                let Ok(answered) = routes.clone().oneshot(request).await;
                Ok(answered)
            }
        }
    }

    /// The same for an answer that has no end.
    async fn send_alone(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, ClientError> {
        let Way::Distant(distant) = &self.way else { return self.send(request).await };
        let answered = distant.send_alone(addressed_to(distant, request)).await;
        answered.map(|answered| answered.map(Body::new)).map_err(|error| self.unsent(distant, error))
    }

    async fn send_over(
        &self,
        stream: UnixStream,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, ClientError> {
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|error| self.broken(error))?;
        // Ends by itself once the sender is dropped; what goes wrong in it comes back as the sender's error.
        tokio::spawn(connection);
        let answered = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        Ok(answered.map(Body::new))
    }

    /// An answer that has no end of its own, as it comes.
    async fn listen(&self, path: &str) -> Result<Body, ClientError> {
        let request = Request::builder()
            .uri(format!("{API_ROOT}{path}"))
            .header(header::HOST, "localhost")
            .body(Full::new(Bytes::new()))
            .expect("the path is percent-encoded");
        let answered = tokio::time::timeout(CALL_LIMIT, self.send_alone(request)).await;
        let late = |_| self.broken(format!("nothing came within {} seconds", CALL_LIMIT.as_secs()));
        let response = answered.map_err(late)??;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let (status, body) = self.read_body(response, ANSWER_BYTES_MAX).await?;
        Err(self.refused(status, &body))
    }

    async fn read_body(&self, response: Response<Body>, bytes_max: usize) -> Result<(StatusCode, Bytes), ClientError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), bytes_max).collect().await;
        Ok((status, body.map_err(|error| self.broken(error))?.to_bytes()))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<Refused>(body) {
            Ok(refused) => ClientError::Refused { status: status.as_u16(), refused: Box::new(refused) },
            Err(error) => self.not_ours(status, &error),
        }
    }

    fn unreachable(&self, data_dir: &Path, socket: &Path, error: &io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning { data_dir: data_dir.to_path_buf(), socket: socket.to_path_buf() }
            }
            io::ErrorKind::PermissionDenied => ClientError::Denied(socket.to_path_buf()),
            _ => self.broken(error),
        }
    }

    fn unsent(&self, distant: &Distant, error: SendError) -> ClientError {
        match error {
            SendError::Unreachable(error) => {
                ClientError::Unreachable { server: distant.to_string(), reason: error.to_string() }
            }
            SendError::Broken(error) => self.broken(error),
        }
    }

    fn broken(&self, reason: impl ToString) -> ClientError {
        let from = match &self.way {
            Way::Socket { socket, .. } => socket.display().to_string(),
            Way::Distant(distant) => distant.to_string(),
            Way::Within { .. } => "the server".to_owned(),
        };
        ClientError::Broken { from, reason: reason.to_string() }
    }

    /// What is said of an answer that is none of ours.
    pub(crate) fn not_understood(&self, error: &serde_json::Error) -> ClientError {
        self.not_ours(StatusCode::OK, error)
    }

    fn not_ours(&self, status: StatusCode, error: &serde_json::Error) -> ClientError {
        self.broken(format!(
            "the answer (HTTP {status}) is not understood: {error}; do the server and this command have the same version?"
        ))
    }
}

/// A request as this server is to get it: for whom it is, and from whom.
fn addressed_to(distant: &Distant, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().remove(header::HOST);
    request.headers_mut().extend(distant.fields());
    request
}

/// A path and what is asked, as its query.
fn path_with(path: &str, query: &impl Serialize) -> String {
    let fields = serde_json::to_value(query).expect("our own types have string keys only");
    let mut path = String::from(path);
    for (key, value) in fields.as_object().into_iter().flatten() {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(key);
        path.push('=');
        percent_encode(&text, &mut path);
    }
    path
}

/// A path that ends with a name.
fn path_of(folder: &str, name: &str) -> String {
    let mut path = String::from(folder);
    percent_encode(name, &mut path);
    path
}

/// Everything but unreserved characters as `%XX` (RFC 3986 section 2).
fn percent_encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => into.push(byte as char),
            _ => into.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use axum::extract::Query;
    use axum::routing::get;
    use axum::{Json, Router};

    use super::*;
    use crate::door::{CONNECTIONS_MAX, Door, SOCKET_MODE, private_folder};
    use crate::resource::QueueQuery;

    #[tokio::test]
    async fn what_a_filter_says_arrives_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let routes = Router::new().route(
            "/api/v1/queue",
            get(|Query(query): Query<QueueQuery>| async move {
                let next_hop = query.next_hop.unwrap_or_default();
                let error = format!("{next_hop}|{:?}|{:?}|{:?}", query.sender, query.recipient, query.limit);
                (StatusCode::NOT_FOUND, Json(Refused::new(error)))
            }),
        );
        let door = Door::open(folder.path(), routes).expect("open");
        let query = QueueQuery {
            next_hop: Some("[::1]:25 & ümlaut=100%+".into()),
            sender: None,
            recipient: Some("<bob@contoso.com>".into()),
            limit: Some(7),
            ..QueueQuery::default()
        };
        let error = Client::new(folder.path()).queue(&query).await.expect_err("refused");
        assert_eq!(error.to_string(), "[::1]:25 & ümlaut=100%+|None|Some(\"<bob@contoso.com>\")|Some(7)");
        assert!(matches!(error, ClientError::Refused { status: 404, .. }));
        door.close().await;
    }

    #[tokio::test]
    async fn an_answer_of_another_kind_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().expect("a folder");
        let routes = Router::new().route("/api/v1/status", get(|| async { "not JSON" }));
        let door = Door::open(folder.path(), routes).expect("open");
        let error = Client::new(folder.path()).status().await.expect_err("not understood");
        assert!(error.to_string().contains("same version"), "{error}");
        let error = Client::new(folder.path()).reload().await.expect_err("no such route");
        assert!(matches!(error, ClientError::Broken { .. }), "{error}");
        door.close().await;
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_comes_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Client::new(folder.path()).status().await.expect_err("nobody there");
        assert!(error.to_string().contains("gatepost serve"), "{error}");
    }

    async fn ask(data_dir: &Path) -> Result<String, ClientError> {
        Client::new(data_dir).get::<String>("/hello").await
    }

    fn hello() -> Router {
        Router::new().route("/api/v1/hello", get(|| async { axum::Json("hello") }))
    }

    #[tokio::test]
    async fn the_socket_is_for_owner_and_group_alone_and_goes_when_the_door_closes() {
        let folder = tempfile::tempdir().expect("a folder");
        let door = Door::open(folder.path(), hello()).expect("open");
        let mode = fs::metadata(socket_path(folder.path())).expect("there").permissions().mode();
        assert_eq!(mode & 0o7777, SOCKET_MODE);
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "only the socket is left");
        assert_eq!(ask(folder.path()).await.expect("answered"), "hello");
        door.close().await;
        assert!(!socket_path(folder.path()).exists());
        assert!(matches!(ask(folder.path()).await, Err(ClientError::NotRunning { .. })));
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_server_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(std::os::unix::net::UnixListener::bind(socket_path(folder.path())).expect("bound"));
        assert!(matches!(ask(folder.path()).await, Err(ClientError::NotRunning { .. })));
        fs::create_dir(private_folder(folder.path())).expect("left by a crash");
        let door = Door::open(folder.path(), hello()).expect("open");
        assert_eq!(ask(folder.path()).await.expect("answered"), "hello");
        door.close().await;
    }

    #[tokio::test]
    async fn a_path_that_the_kernel_would_cut_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("x".repeat(100));
        let error = Door::open(&deep, hello()).err().expect("too long");
        assert!(error.to_string().contains("shorter data_dir"), "{error}");
    }

    #[tokio::test]
    async fn more_visitors_than_places_wait_and_are_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let door = Door::open(folder.path(), hello()).expect("open");
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            idle.push(UnixStream::connect(socket_path(folder.path())).await.expect("connected"));
        }
        let waiting = tokio::spawn({
            let folder = folder.path().to_path_buf();
            async move { ask(&folder).await }
        });
        drop(idle);
        assert_eq!(waiting.await.expect("no panic").expect("answered"), "hello");
        door.close().await;
    }
}
