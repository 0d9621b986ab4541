//! The gate that every request passes: whether it is for us, whom it is from, and whether they may.
//!
//! Takes what the door knows of its visitor and what the request presents, puts an [`Actor`] into the request, or refuses
//! it. What may be asked stands in `calls`; what does not stand there is refused (default deny). What changes something
//! runs to its end even if its caller hangs up, and is written into the record of acts with its outcome.

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_policy::role::Roles;
use gatepost_transport::Control;

use crate::access::{
    Access, Act, Actor, AskedBy, LinkFromElsewhere, Presented, Proven, Source, Visitor, is_for_us, permit,
};
use crate::administration::denied;
use crate::calls::{self, Call};
use crate::client::API_ROOT;
use crate::clock::now_ms;
use crate::in_time::in_time;
use crate::refusal::{Cause, Refusal, refuse, to_the_end};
use crate::resource::{ActEntry, ActOutcome};
use crate::watched::watched;

/// So many failures to prove something are written down within a minute; more are counted. The record is no place that
/// strangers can fill.
const STRANGERS_PER_MINUTE: u32 = 30;

/// Whoever proves nothing has so long to say what they want.
const STRANGERS_BODY_LIMIT: Duration = Duration::from_secs(10);
/// So long a form may take: the page that it goes to asks later from whom it is.
const PAGES_BODY_LIMIT: Duration = Duration::from_secs(60);

/// What the gate needs to know.
#[derive(Clone)]
pub struct Gate {
    control: Control,
    access: Arc<Access>,
    /// Who owns the data folder: the server's user, even where root has started it.
    owner: u32,
    strangers: Arc<Mutex<Strangers>>,
}

/// How many proved nothing within the minute.
#[derive(Default)]
struct Strangers {
    minute: u64,
    count: u32,
}

/// What a handler adds to the record of its act, as an extension of its answer.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// The act, where the call is one for many.
    pub act: Option<String>,
    /// What it was done to.
    pub target: Option<String>,
    /// With which parameters, without secrets.
    pub parameters: Option<String>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The revision of the settings that it made.
    pub revision: Option<u64>,
    /// It has changed nothing and need not be recorded.
    pub is_nothing: bool,
    /// It is part of a transaction, whose end says what became of it.
    pub is_prepared: bool,
    /// What it consists of, where it was done: written before it.
    pub parts: Vec<Noted>,
}

impl Gate {
    /// The gate of a running server.
    pub fn new(control: Control, access: Arc<Access>) -> Gate {
        let owner = std::fs::metadata(control.data_dir()).map_or_else(|_| own_uid(), |folder| folder.uid());
        Gate { control, access, owner, strangers: Arc::default() }
    }

    /// Whom a request is from.
    async fn identify(&self, visitor: Visitor, request: &Parts) -> Result<Actor, Refusal> {
        let presented = Presented::read(&request.headers).map_err(|error| refuse(StatusCode::UNAUTHORIZED, error))?;
        // No door puts that into a request: only the console does, which knows what its pages fetch.
        let asked_by = request.extensions.get().copied().unwrap_or(AskedBy::Somebody);
        match (presented, visitor) {
            (Some(presented), _) => {
                let identified = self.access.accounts.identify(presented, visitor.address(), asked_by).await;
                identified.map_err(denied)
            }
            (None, Visitor::Local { uid }) => Ok(self.of_socket(uid)),
            (None, Visitor::Remote { .. }) => {
                let error = "say who you are: Authorization: Bearer and a token, or Basic with name and password";
                Err(refuse(StatusCode::UNAUTHORIZED, error))
            }
        }
    }

    /// Root, the server's own user and the owner of its folder could change every file that the server has: they may do
    /// everything. Whoever else gets through the socket's mode is of its group.
    fn of_socket(&self, uid: Option<u32>) -> Actor {
        let is_owner = uid.is_some_and(|uid| uid == 0 || uid == self.owner || uid == own_uid());
        let roles = match (is_owner, uid) {
            (true, _) => Roles::ALL,
            (false, Some(_)) => self.control.settings().management.socket_group_role.into(),
            (false, None) => Roles::NONE,
        };
        Actor::of_socket(uid, roles)
    }

    /// Lets a request in, with whom it is from and what it is; or says why not, and what it would have been.
    async fn admit(&self, request: &Parts) -> Result<(Actor, Option<Call>), Turned> {
        // Who comes through no door that we know has proven nothing.
        let visitor = request.extensions.get::<ConnectInfo<Visitor>>().map(|connection| connection.0);
        let visitor = visitor.unwrap_or(Visitor::Local { uid: None });
        let call = called(request);
        let turned = |actor, refusal| Turned { actor, act: call.ok().flatten(), refusal };
        let nobody = || Actor::nobody(visitor.address());
        self.check_origin(visitor, &request.headers).map_err(|refusal| turned(nobody(), refusal))?;
        let is_open = call.is_ok_and(|call| call.is_some_and(|call| call.is_open));
        let actor = match is_open {
            true => nobody(),
            false => self.identify(visitor, request).await.map_err(|refusal| turned(nobody(), refusal))?,
        };
        let call = match call {
            Ok(call) => call,
            Err(error) => return Err(turned(actor, refuse(StatusCode::METHOD_NOT_ALLOWED, error))),
        };
        if let Some(call) = call.filter(|call| !call.is_open) {
            let named = call.is_named_by_path.then(|| target(request)).flatten();
            let act = Act { name: named.as_deref().unwrap_or(call.act.name), ..call.act };
            if let Err(lacking) = permit(&actor, act) {
                return Err(turned(actor, refuse(StatusCode::FORBIDDEN, lacking)));
            }
        }
        Ok((actor, call))
    }

    /// Whether a request names us, and no page of somebody else makes it. Pages do not get to the Unix socket.
    fn check_origin(&self, visitor: Visitor, headers: &HeaderMap) -> Result<(), Refusal> {
        let Visitor::Remote { .. } = visitor else { return Ok(()) };
        let settings = self.control.settings();
        let names = settings.management.host_names.iter().map(|name| &**name);
        let own = settings.server.name.as_str().to_ascii_lowercase();
        is_for_us(headers, names.chain([own.as_str()])).map_err(|stray| {
            let (status, error) = stray.answer();
            refuse(status, error)
        })
    }

    /// What the record says of an act; `None` where there is nothing to say.
    fn entry(actor: &Actor, call: Call, mut noted: Noted, response: &Response) -> Option<ActEntry> {
        if noted.is_nothing {
            return None;
        }
        let status = response.status();
        let outcome = match status {
            status if status.is_success() && noted.is_prepared => ActOutcome::Prepared,
            status if status.is_success() => ActOutcome::Done,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => ActOutcome::Refused,
            _ => ActOutcome::Failed,
        };
        let act = noted.act.take().unwrap_or_else(|| call.act.name.to_owned());
        Some(ActEntry {
            target: noted.target,
            parameters: noted.parameters,
            reason: noted.reason,
            revision: noted.revision,
            error: response.extensions().get::<Cause>().map(|cause| cause.0.clone()),
            ..ActEntry::new(actor, &act, outcome, now_ms())
        })
    }

    /// Writes an act down.
    async fn write(&self, actor: &Actor, entry: Option<ActEntry>) {
        let Some(entry) = entry else { return };
        let (act, target, error) = (&entry.act, entry.target.as_deref(), entry.error.as_deref());
        match entry.outcome {
            ActOutcome::Done => tracing::info!(%actor, act, target, "administered"),
            ActOutcome::Prepared => tracing::info!(%actor, act, target, "prepared within a transaction"),
            outcome => tracing::warn!(%actor, act, target, ?outcome, error, "not administered"),
        }
        let (access, bytes_max) =
            (self.access.clone(), self.control.settings().management.admin_audit_log_max_directory_size);
        let written = tokio::task::spawn_blocking(move || access.record.note(entry, bytes_max)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "an act could not be written into the record; the line above is all there is")
            }
            Err(error) => tracing::error!(%error, "writing into the record of acts failed, which is a bug of ours"),
        }
    }

    /// Whether another failure of somebody unknown may be written down; says how many of the minute before were not.
    fn strangers(&self) -> (bool, u32) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now_ms() / 60_000;
        let mut left_out = 0;
        if strangers.minute != minute {
            left_out = strangers.count.saturating_sub(STRANGERS_PER_MINUTE);
            *strangers = Strangers { minute, count: 0 };
        }
        strangers.count = strangers.count.saturating_add(1);
        (strangers.count <= STRANGERS_PER_MINUTE, left_out)
    }
}

/// A request that was not let in.
struct Turned {
    actor: Actor,
    act: Option<Call>,
    refusal: Refusal,
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Lets a request in, or not.
pub async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut request, body) = request.into_parts();
    let mut response = match gate.admit(&request).await {
        Ok((actor, call)) => {
            request.extensions.insert(actor.clone());
            let target = target(&request).filter(|_| call.is_some_and(|call| !call.is_named_by_path));
            let body = match call.is_some_and(|call| call.is_open) {
                true => in_time(body, STRANGERS_BODY_LIMIT),
                false => body,
            };
            let request = Request::from_parts(request, body);
            match call.filter(|call| call.is_recorded) {
                None => {
                    // Before it is answered: a password that is changed meanwhile ends what is not over then.
                    let proven = gate.access.accounts.proven(&actor);
                    gate.watch(&actor, proven, call, next.run(request).await)
                }
                Some(call) => {
                    // A handler is dropped when its caller hangs up; what changes something is not left half-way.
                    let done = to_the_end(async move {
                        let mut response = next.run(request).await;
                        let noted: Noted = response.extensions_mut().remove().unwrap_or_default();
                        let mut noted = Noted { target: noted.target.or(target), ..noted };
                        for part in std::mem::take(&mut noted.parts) {
                            gate.write(&actor, Gate::entry(&actor, call, part, &response)).await;
                        }
                        gate.write(&actor, Gate::entry(&actor, call, noted, &response)).await;
                        response
                    });
                    done.await.unwrap_or_else(IntoResponse::into_response)
                }
            }
        }
        Err(turned) => gate.turn_away(turned, &request).await,
    };
    response = as_problem(response).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Lets a request for a page of the console in, if it is for us and no page of somebody else makes it; a link that leads
/// here from elsewhere is marked. Whom a request is from, and what they may do, is asked by the calls that the page is made of.
pub async fn pass_page(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let visitor = request.extensions().get::<ConnectInfo<Visitor>>().map(|connection| connection.0);
    let visitor = visitor.unwrap_or(Visitor::Local { uid: None });
    if let Some(link) = LinkFromElsewhere::find(request.method(), request.headers()) {
        request.extensions_mut().insert(link);
        request.headers_mut().remove("sec-fetch-site");
    }
    match gate.check_origin(visitor, request.headers()) {
        Ok(()) => next.run(request.map(|body| in_time(body, PAGES_BODY_LIMIT))).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Longest refusal that is not ours, in bytes.
const FOREIGN_REFUSAL_BYTES_MAX: usize = 4 * 1024;

/// Every refusal has one form, also those that a library makes before a handler is asked.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_ours = response.extensions().get::<Cause>().is_some();
    if is_ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = to_bytes(response.into_body(), FOREIGN_REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let error = if text.trim().is_empty() { status.canonical_reason().unwrap_or("refused") } else { text.trim() };
    refuse(status, error).into_response()
}

impl Gate {
    /// Ends an answer that has no end of its own when whoever listens may no longer.
    fn watch(&self, actor: &Actor, proven: Option<Proven>, call: Option<Call>, response: Response) -> Response {
        let is_endless = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/event-stream");
        let Some(call) = call.filter(|_| response.headers().get(header::CONTENT_TYPE).is_some_and(is_endless)) else {
            return response;
        };
        let (gate, actor) = (self.clone(), actor.clone());
        let may_go_on = move || {
            let now = gate.as_of_now(&actor, proven.as_ref());
            now.is_some_and(|now| permit(&now, call.act).is_ok())
        };
        response.map(|body| watched(body, may_go_on))
    }

    /// Who an actor is by now that came with `proven`, if with a password; `None` where that is good for nothing any more.
    fn as_of_now(&self, actor: &Actor, proven: Option<&Proven>) -> Option<Actor> {
        let accounts = &self.access.accounts;
        match actor.source {
            // The group's role may be another one.
            Source::Socket { uid } => Some(self.of_socket(uid)),
            _ => accounts.as_of_now(actor).filter(|_| accounts.proven(actor).as_ref() == proven),
        }
    }

    async fn turn_away(&self, turned: Turned, request: &Parts) -> Response {
        let Turned { actor, act, refusal } = turned;
        let response = refusal.into_response();
        let is_stranger =
            response.status() != StatusCode::FORBIDDEN && response.status() != StatusCode::METHOD_NOT_ALLOWED;
        if is_stranger {
            let (may_be_noted, left_out) = self.strangers();
            if left_out > 0 {
                tracing::warn!(left_out, "more attempts that proved nothing were not written down");
            }
            if !may_be_noted {
                return response;
            }
        }
        // Whoever may not look is no event; whoever may not change is one, and so is who claims to be somebody.
        let claims = request.headers.contains_key(header::AUTHORIZATION);
        if let Some(call) = act.filter(|call| call.is_recorded || (is_stranger && claims)) {
            let of_path = target(request);
            let noted = match call.is_named_by_path {
                true => Noted { act: of_path, ..Noted::default() },
                false => Noted { target: of_path, ..Noted::default() },
            };
            let entry = Gate::entry(&actor, call, noted, &response);
            self.write(&actor, entry).await;
        }
        response
    }
}

/// The part of the path that says which one: `/queue/17/retry` is about 17.
fn target(request: &Parts) -> Option<String> {
    let route = request.extensions.get::<MatchedPath>()?.as_str();
    let place = route.split('/').position(|part| part.starts_with('{'))?;
    let part = request.uri.path().split('/').nth(place)?;
    Some(decoded(part))
}

/// A part of a path without its `%XX` (RFC 3986 section 2.1).
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(meant) => {
                bytes.push(meant);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The call that a request is; `None` where there is none, which the routes answer.
fn called(request: &Parts) -> Result<Option<Call>, &'static str> {
    let Some(route) = request.extensions.get::<MatchedPath>() else { return Ok(None) };
    let route = route.as_str().strip_prefix(API_ROOT).unwrap_or(route.as_str());
    calls::find(&request.method, route).map(Some).ok_or("this call has another method")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_decoded_as_far_as_they_are_encoded() {
        for (part, expected) in
            [("17", "17"), ("a%20b%C3%BC", "a bü"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%ff", "\u{fffd}")]
        {
            assert_eq!(decoded(part), expected);
        }
    }
}
