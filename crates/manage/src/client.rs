//! The other end of the doors: typed calls for the command line, and within the process for the console.
//!
//! Takes questions, hands on the server's answers or a refusal that says what to do. One connection for each call; the
//! console's stay in the process, and pass the gate as all others do. Never opens a file of the running server (invariant
//! I11).

mod distant;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use gatepost_tracking::DecisionId;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tower::ServiceExt;

use crate::access::Visitor;
use crate::asked::ExplanationQuery;
use crate::decision::DecisionDetail;
use crate::door::socket_path;
use crate::explained::Explained;
use crate::recomputed::DecisionExplained;
use crate::resource::{
    Acts, ActsQuery, AdministratorRequest, AdministratorShown, Administrators, Amended, CommandAnswer, CommandRequest,
    Exposed, ExposureMap, ExposureQuery, Gone, HostAddressesShown, MapQuery, MessageDetail, MessagesChanged,
    MessagesRequest, NewAdministratorRequest, NewToken, NewTokenRequest, QueueListing, QueueQuery, QueuesChanged,
    QueuesListing, QueuesQuery, QueuesRequest, Refused, Reloaded, RemoveQuery, Removed, ReportKey, ReportQuery,
    RestoreRequest, Retried, RetryRequest, RevisionDifference, RevisionText, Revisions, RevisionsQuery, SessionBegun,
    SessionRequest, SessionShown, SettingsDocument, SettingsQuery, SettingsRequest, SetupRequest, Status, Tokens,
};
use crate::trace::{EraseRequest, ErasedAddress, TraceQuery, Traced};
use crate::transcript::TranscriptQuery;

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

    /// How the server is doing.
    ///
    /// # Errors
    /// [`ClientError`], as for every call.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/status").await
    }

    /// Runs a command of the registry.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn command(&self, name: &str, request: &CommandRequest) -> Result<CommandAnswer, ClientError> {
        let mut path = String::from("/commands/");
        percent_encode(name, &mut path);
        self.call(Method::POST, &path, Some(request)).await
    }

    /// Messages that are not at their end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn queue(&self, query: &QueueQuery) -> Result<QueueListing, ClientError> {
        let mut path = String::from("/queue");
        let numbers = [query.limit, query.offset].map(|number| number.map(|number| number.to_string()));
        let pairs = [
            ("next_hop", query.next_hop.as_deref()),
            ("sender", query.sender.as_deref()),
            ("recipient", query.recipient.as_deref()),
            ("filter", query.filter.as_deref()),
            ("sort", query.sort.as_deref()),
            ("limit", numbers[0].as_deref()),
            ("offset", numbers[1].as_deref()),
        ];
        push_query(&mut path, &pairs);
        self.get(&path).await
    }

    /// What happened.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trace(&self, query: &TraceQuery) -> Result<Traced, ClientError> {
        self.get(&path_with("/trace", query)).await
    }

    /// Takes an address out of everything that is recorded. May take minutes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn erase(&self, request: &EraseRequest) -> Result<ErasedAddress, ClientError> {
        self.call(Method::POST, "/trace/erase", Some(request)).await
    }

    /// Every delivery queue that matches.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn queues(&self, query: &QueuesQuery) -> Result<QueuesListing, ClientError> {
        let mut path = String::from("/queues");
        let numbers = [query.limit, query.offset].map(|number| number.map(|number| number.to_string()));
        let pairs = [
            ("filter", query.filter.as_deref()),
            ("sort", query.sort.as_deref()),
            ("limit", numbers[0].as_deref()),
            ("offset", numbers[1].as_deref()),
        ];
        push_query(&mut path, &pairs);
        self.get(&path).await
    }

    /// Suspends, resumes, retries or resubmits queues.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_queues(&self, request: &QueuesRequest) -> Result<QueuesChanged, ClientError> {
        self.call(Method::POST, "/queues", Some(request)).await
    }

    /// Suspends, resumes, redirects or removes messages.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_messages(&self, request: &MessagesRequest) -> Result<MessagesChanged, ClientError> {
        self.call(Method::POST, "/queue/change", Some(request)).await
    }

    /// A suspended message as a file.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 404 or 409.
    pub async fn export(&self, id: u64) -> Result<Vec<u8>, ClientError> {
        self.file(&format!("/queue/{id}/export")).await
    }

    /// What a call answers, as it is; `path` needs no encoding.
    async fn file(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let request = Request::builder()
            .uri(format!("{API_ROOT}{path}"))
            .header(header::HOST, "localhost")
            .body(Full::new(Bytes::new()))
            .expect("our own paths are plain");
        let export = async {
            let response = self.send(request).await?;
            let (status, body) = self.read_body(response, EXPORT_BYTES_MAX).await?;
            if status.is_success() { Ok(body.to_vec()) } else { Err(self.refused(status, &body)) }
        };
        match tokio::time::timeout(CALL_LIMIT, export).await {
            Ok(answer) => answer,
            Err(_) => Err(self.broken(format!("nothing came within {} seconds", CALL_LIMIT.as_secs()))),
        }
    }

    /// One message with its header section.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn message(&self, id: u64) -> Result<MessageDetail, ClientError> {
        self.get(&format!("/queue/{id}")).await
    }

    /// Makes one message due now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retry_message(&self, id: u64) -> Result<Retried, ClientError> {
        self.call(Method::POST, &format!("/queue/{id}/retry"), None::<&()>).await
    }

    /// Makes many messages due now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retry(&self, request: &RetryRequest) -> Result<Retried, ClientError> {
        self.call(Method::POST, "/queue/retry", Some(request)).await
    }

    /// Takes a message out of the queue.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove(&self, id: u64, query: RemoveQuery) -> Result<Removed, ClientError> {
        self.call(Method::DELETE, &format!("/queue/{id}?report={}", query.report), None::<&()>).await
    }

    /// The record of a decision, with the settings that it was taken under.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 404 if there is no record.
    pub async fn decision(&self, id: DecisionId) -> Result<DecisionDetail, ClientError> {
        self.get(&format!("/decisions/{id}")).await
    }

    /// The same, explained.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 404 if there is no record.
    pub async fn decision_explained(&self, id: &str) -> Result<DecisionExplained, ClientError> {
        self.get(&format!("{}/explanation", path_of("/decisions/", id))).await
    }

    /// What would become of a message.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explanation(&self, query: &ExplanationQuery) -> Result<Explained, ClientError> {
        self.get(&path_with("/explanation", query)).await
    }

    /// Who may relay: one page.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exposure(&self, query: &ExposureQuery) -> Result<Exposed, ClientError> {
        self.get(&path_with("/exposure", query)).await
    }

    /// The addresses of the server's machine.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn host_addresses(&self) -> Result<HostAddressesShown, ClientError> {
        self.get("/exposure/host").await
    }

    /// The same as a map of addresses.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exposure_map(&self, query: &MapQuery) -> Result<ExposureMap, ClientError> {
        self.get(&path_with("/exposure/map", query)).await
    }

    /// The same as a file to be kept, byte by byte as its digest in the record of acts has it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exposure_report(&self, query: &ReportQuery) -> Result<Vec<u8>, ClientError> {
        self.file(&path_with("/exposure/report", query)).await
    }

    /// The public key by which others know that such a file is this server's.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn report_key(&self) -> Result<ReportKey, ClientError> {
        self.get("/exposure/report/key").await
    }

    /// Everybody who may administer by name and password.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn administrators(&self) -> Result<Administrators, ClientError> {
        self.get("/administrators").await
    }

    /// Adds an administrator.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_administrator(
        &self,
        request: &NewAdministratorRequest,
    ) -> Result<AdministratorShown, ClientError> {
        self.call(Method::POST, "/administrators", Some(request)).await
    }

    /// Changes an administrator.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_administrator(
        &self,
        name: &str,
        request: &AdministratorRequest,
    ) -> Result<AdministratorShown, ClientError> {
        self.call(Method::PATCH, &path_of("/administrators/", name), Some(request)).await
    }

    /// Removes an administrator.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_administrator(&self, name: &str) -> Result<Gone, ClientError> {
        self.call(Method::DELETE, &path_of("/administrators/", name), None::<&()>).await
    }

    /// Begins a session by name, password and code.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 401 where that proves nothing, 429 after too many failures.
    pub async fn begin_session(&self, request: &SessionRequest) -> Result<SessionBegun, ClientError> {
        self.call(Method::POST, "/session", Some(request)).await
    }

    /// Who is asking, and what they may do.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn session(&self) -> Result<SessionShown, ClientError> {
        self.get("/session").await
    }

    /// Ends the session that is asking.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn end_session(&self) -> Result<Gone, ClientError> {
        self.call(Method::DELETE, "/session", None::<&()>).await
    }

    /// Makes the first administrator.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_up(&self, request: &SetupRequest) -> Result<AdministratorShown, ClientError> {
        self.call(Method::POST, "/setup", Some(request)).await
    }

    /// Every token, without its secret.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tokens(&self) -> Result<Tokens, ClientError> {
        self.get("/tokens").await
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_token(&self, request: &NewTokenRequest) -> Result<NewToken, ClientError> {
        self.call(Method::POST, "/tokens", Some(request)).await
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_token(&self, id: &str) -> Result<Gone, ClientError> {
        self.call(Method::DELETE, &path_of("/tokens/", id), None::<&()>).await
    }

    /// What administrators did.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn acts(&self, query: &ActsQuery) -> Result<Acts, ClientError> {
        self.get(&path_with("/acts", query)).await
    }

    /// Makes the server read its settings file again.
    ///
    /// # Errors
    /// [`ClientError`]; refused with the problems of the file if it has some.
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.call(Method::POST, "/reload", None::<&()>).await
    }

    /// The history of settings.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revisions(&self, query: RevisionsQuery) -> Result<Revisions, ClientError> {
        let mut path = String::from("/revisions");
        let (limit, before) =
            (query.limit.map(|limit| limit.to_string()), query.before.map(|before| before.to_string()));
        push_query(&mut path, &[("limit", limit.as_deref()), ("before", before.as_deref())]);
        self.get(&path).await
    }

    /// One revision with its document.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 404 if it is not kept.
    pub async fn revision(&self, number: u64) -> Result<RevisionText, ClientError> {
        self.get(&format!("/revisions/{number}")).await
    }

    /// The settings document in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn settings(&self) -> Result<SettingsDocument, ClientError> {
        self.get("/settings").await
    }

    /// The same without its text, where that has more than so many bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn settings_up_to(&self, bytes_max: usize) -> Result<SettingsDocument, ClientError> {
        self.get(&path_with("/settings", &SettingsQuery { bytes_max: Some(bytes_max) })).await
    }

    /// Puts a whole settings document in force, or tells what it would do.
    ///
    /// # Errors
    /// [`ClientError`]; refused with the problems that it has, with 412 where another revision is in force than it was
    /// made from.
    pub async fn put_settings(&self, request: &SettingsRequest) -> Result<Amended, ClientError> {
        self.call(Method::PUT, "/settings", Some(request)).await
    }

    /// What two revisions have in common and what not; `None` stands for what is in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revision_difference(&self, old: u64, new: Option<u64>) -> Result<RevisionDifference, ClientError> {
        let mut path = format!("/revisions/{old}/difference");
        push_query(&mut path, &[("new", new.map(|new| new.to_string()).as_deref())]);
        self.get(&path).await
    }

    /// Puts an earlier revision in force again.
    ///
    /// # Errors
    /// [`ClientError`]; refused with the problems that the document has today.
    pub async fn restore(&self, number: u64, request: &RestoreRequest) -> Result<Amended, ClientError> {
        self.call(Method::POST, &format!("/revisions/{number}/restore"), Some(request)).await
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
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
        match tokio::time::timeout(CALL_LIMIT, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.broken(format!("nothing came within {} seconds", CALL_LIMIT.as_secs()))),
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, request: Request<Full<Bytes>>) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        self.read_answer(response).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, ClientError> {
        match &self.way {
            Way::Socket { data_dir, socket } => {
                let stream = UnixStream::connect(socket).await;
                self.send_over(stream.map_err(|error| self.unreachable(data_dir, socket, &error))?, request).await
            }
            Way::Distant(distant) => {
                let stream = distant.connect().await.map_err(|error| ClientError::Unreachable {
                    server: distant.to_string(),
                    reason: error.to_string(),
                })?;
                let mut request = request;
                request.headers_mut().remove(header::HOST);
                request.headers_mut().extend(distant.fields());
                self.send_over(stream, request).await
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

    async fn send_over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, ClientError> {
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|error| self.broken(error))?;
        // Ends by itself once the sender is dropped; what goes wrong in it comes back as the sender's error.
        tokio::spawn(connection);
        let answered = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        Ok(answered.map(Body::new))
    }

    /// What happens from now on: the answer of `GET /events`, as it comes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self) -> Result<Body, ClientError> {
        self.listen("/events").await
    }

    /// What is said on connections that begin from now on: the answer of `GET /transcript`, as it comes.
    /// [`TranscriptReader`](crate::transcript::TranscriptReader) reads it.
    ///
    /// # Errors
    /// [`ClientError`]; refused with 400 or 404 where the query names nothing that there is, 503 where too many listen.
    pub async fn transcript(&self, query: &TranscriptQuery) -> Result<Body, ClientError> {
        self.listen(&path_with("/transcript", query)).await
    }

    /// An answer that has no end of its own, as it comes.
    async fn listen(&self, path: &str) -> Result<Body, ClientError> {
        let request = Request::builder()
            .uri(format!("{API_ROOT}{path}"))
            .header(header::HOST, "localhost")
            .body(Full::new(Bytes::new()))
            .expect("the path is percent-encoded");
        let answered = tokio::time::timeout(CALL_LIMIT, self.send(request)).await;
        let late = |_| self.broken(format!("nothing came within {} seconds", CALL_LIMIT.as_secs()));
        let response = answered.map_err(late)??;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let (status, body) = self.read_body(response, ANSWER_BYTES_MAX).await?;
        Err(self.refused(status, &body))
    }

    async fn read_answer<T: DeserializeOwned>(&self, response: Response<Body>) -> Result<T, ClientError> {
        let (status, body) = self.read_body(response, ANSWER_BYTES_MAX).await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.not_ours(status, error));
        }
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
            Err(error) => self.not_ours(status, error),
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

    fn broken(&self, reason: impl ToString) -> ClientError {
        let from = match &self.way {
            Way::Socket { socket, .. } => socket.display().to_string(),
            Way::Distant(distant) => distant.to_string(),
            Way::Within { .. } => "the server".to_owned(),
        };
        ClientError::Broken { from, reason: reason.to_string() }
    }

    fn not_ours(&self, status: StatusCode, error: serde_json::Error) -> ClientError {
        self.broken(format!(
            "the answer (HTTP {status}) is not understood: {error}; do the server and this command have the same version?"
        ))
    }
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

fn push_query(path: &mut String, pairs: &[(&str, Option<&str>)]) {
    for (i, (key, value)) in pairs.iter().filter_map(|(key, value)| Some((key, (*value)?))).enumerate() {
        path.push(if i == 0 { '?' } else { '&' });
        path.push_str(key);
        path.push('=');
        percent_encode(value, path);
    }
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
