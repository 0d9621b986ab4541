//! Who visits: the session that a browser is in, the calls that are made for it, and the proof that a form is ours.

use std::fmt::Write;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::uri::Uri;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Router};
use gatepost_manage::access::{AskedBy, Visitor};
use gatepost_manage::resource::{CommandAnswer, CommandRequest};
use gatepost_manage::{Client, ClientError};
use gatepost_policy::role::{self, Role, Roles};
use serde_json::Value;

use crate::cookie::{self, Theme};
use crate::fields::{Fields, path_part};
use crate::forms::Forms;
use crate::problem::Problem;

/// The field of every form that proves that the form is ours.
pub const PROOF_FIELD: &str = "proof";

/// The field of requests that a page makes by itself, because something has happened: the script sets it.
const UNASKED_FIELD: &str = "gatepost-unasked";
/// The same in the query of a page that is fetched again without a script.
pub const UNASKED_QUERY: &str = "unasked";

/// What pages are made from.
#[derive(Clone)]
pub struct Console {
    api: Router,
    /// The same for pages that lie open, which keep no session alive.
    api_of_open_pages: Router,
    /// What each form needs.
    forms: Arc<Forms>,
}

impl Console {
    /// Pages made of the calls of `api`, which has its gate, with these forms.
    pub fn new(api: Router, forms: Forms) -> Console {
        let api_of_open_pages = api.clone().layer(Extension(AskedBy::OpenPage));
        Console { api, api_of_open_pages, forms: Arc::new(forms) }
    }

    /// What each form needs.
    pub fn forms(&self) -> &Forms {
        &self.forms
    }

    /// Calls for a visitor who has proven nothing.
    pub fn client_of_stranger(&self, visitor: Visitor, headers: &HeaderMap) -> Client {
        Client::within(self.api.clone(), visitor, headers)
    }

    /// Calls in a session.
    fn client(&self, visitor: Visitor, parts: &Parts, secret: &str) -> Option<Client> {
        let mut headers = parts.headers.clone();
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {secret}")).ok()?);
        let api = match asked_by(parts) {
            AskedBy::Somebody => &self.api,
            AskedBy::OpenPage => &self.api_of_open_pages,
        };
        Some(Client::within(api.clone(), visitor, &headers))
    }
}

/// Who has asked for this. A page that lies open listens to events (HTML section 9.2: browsers ask for their type so), and
/// fetches parts anew when it hears of something; without scripts it fetches itself anew after a while.
fn asked_by(parts: &Parts) -> AskedBy {
    let listens = parts.headers.get(header::ACCEPT).is_some_and(|kinds| kinds == "text/event-stream");
    let is_unasked = parts.headers.contains_key(UNASKED_FIELD) || query_of(parts).has(UNASKED_QUERY);
    match listens || is_unasked {
        true => AskedBy::OpenPage,
        false => AskedBy::Somebody,
    }
}

fn query_of(parts: &Parts) -> Fields {
    Fields::read(parts.uri.query().unwrap_or_default().as_bytes())
}

/// Somebody who is signed in, looking at a page. A handler that takes one is only reached by them; others are sent to sign in.
#[derive(Clone)]
pub struct Visit {
    /// Makes calls as them.
    pub client: Client,
    /// The name that they have signed in with.
    pub name: Arc<str>,
    /// What they may do.
    pub roles: Roles,
    /// The server's name.
    pub server: Arc<str>,
    /// What their forms carry in [`PROOF_FIELD`].
    pub proof: Arc<str>,
    /// Light or dark.
    pub theme: Theme,
    /// What they asked for.
    pub uri: Uri,
    /// What the query of it says.
    pub query: Fields,
    /// Whether a script of ours asks for a part of a page.
    pub is_part: bool,
    forms: Arc<Forms>,
}

impl Visit {
    /// Whether they may do what needs this role: for showing what they can use. The gate decides when they do it.
    pub fn may(&self, needed: Role) -> bool {
        role::decide(self.roles, needed).is_ok()
    }

    /// Whether they may send the form of this route, as `/receive-connectors/{name}`: for showing what they can use.
    pub fn may_send(&self, route: &str) -> bool {
        self.forms.to_send(route).is_none_or(|needed| self.may(needed))
    }

    /// The same visit in a session that goes on under another secret.
    pub fn renewed(self, secret: &str) -> Visit {
        Visit { proof: proof_of(secret).into(), ..self }
    }

    /// Refuses those who may not do what needs this role: asked before a form is sent back for what is lacking in it, since
    /// the gate, which decides and keeps record, is not asked then.
    ///
    /// # Errors
    /// [`Problem::Refused`], with what they lack.
    pub fn need(&self, needed: Role) -> Result<(), Problem> {
        role::decide(self.roles, needed).map_err(|lacking| Problem::refused(StatusCode::FORBIDDEN, lacking.to_string()))
    }

    /// Sends them to a page of ours that says, once, what was done.
    pub fn done(&self, path: &str, said: &str) -> Response {
        let and = if path.contains('?') { '&' } else { '?' };
        let (said, seal) = (path_part(said), self.seal(said));
        Redirect::to(&format!("{path}{and}done={said}&seal={seal}")).into_response()
    }

    /// What was done just now, if it was said by [`Visit::done`] in this session: others could write there what they like.
    pub fn just_done(&self) -> Option<&str> {
        let said = self.query.get("done")?;
        (self.query.get("seal")? == self.seal(said)).then_some(said)
    }

    fn seal(&self, said: &str) -> String {
        hex_digest(&format!("{} {said}", self.proof))
    }

    /// Runs a command of the registry as them.
    ///
    /// # Errors
    /// What the server refuses, or that the answer does not come.
    pub async fn run(&self, command: &str, parameters: Value) -> Result<CommandAnswer, ClientError> {
        self.client.command(command, &request(parameters)).await
    }
}

fn request(parameters: Value) -> CommandRequest {
    let parameters = match parameters {
        Value::Object(parameters) => parameters,
        _ => serde_json::Map::new(),
    };
    CommandRequest { parameters, ..CommandRequest::default() }
}

impl FromRequestParts<Console> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Visit, Problem> {
        if let Some(known) = parts.extensions.get::<Visit>() {
            return Ok(known.clone());
        }
        let is_part = parts.headers.contains_key("hx-request");
        let visitor = visitor(parts);
        let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let wanted = match (is_part, parts.method.is_safe()) {
            // A part belongs to the page that the browser shows.
            (true, _) => page_of_part(&parts.headers).unwrap_or_else(|| "/".to_owned()),
            (false, true) => wanted.to_owned(),
            // A page that only takes a form cannot be come back to.
            (false, false) => "/".to_owned(),
        };
        let sign_in = || Problem::SignIn { wanted: wanted.clone(), is_part };
        let secret = cookie::session(&parts.headers, visitor).ok_or_else(sign_in)?;
        let client = console.client(visitor, parts, secret).ok_or_else(sign_in)?;
        let session = client.session().await.map_err(|error| match Problem::from(error) {
            Problem::Refused { status: StatusCode::UNAUTHORIZED, .. } => sign_in(),
            other => other,
        })?;
        Ok(Visit {
            client,
            roles: session.roles.iter().filter_map(|name| Role::parse(name)).collect(),
            name: session.name.into(),
            server: session.server.into(),
            proof: proof_of(secret).into(),
            theme: Theme::of(&parts.headers),
            query: query_of(parts),
            uri: parts.uri.clone(),
            is_part,
            forms: console.forms.clone(),
        })
    }
}

/// The page that a part is for, as htmx says it: its path alone, since the rest is a browser's word.
fn page_of_part(headers: &HeaderMap) -> Option<String> {
    let page: Uri = headers.get("hx-current-url")?.to_str().ok()?.parse().ok()?;
    Some(page.path_and_query()?.as_str().to_owned())
}

/// A form that somebody who is signed in has sent from a page of ours.
pub struct Sent {
    /// Who.
    pub visit: Visit,
    /// What they have filled in.
    pub fields: Fields,
}

impl FromRequest<Console> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, console: &Console) -> Result<Sent, Problem> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, console).await?;
        Sent::read(visit, Request::from_parts(parts, body), console).await
    }
}

impl Sent {
    async fn read(visit: Visit, request: Request, console: &Console) -> Result<Sent, Problem> {
        let body = Bytes::from_request(request, console).await;
        let body = body.map_err(|rejection| Problem::refused(rejection.status(), rejection.body_text()))?;
        let fields = Fields::read(&body);
        verify_slices_are_equal(fields.raw(PROOF_FIELD).as_bytes(), visit.proof.as_bytes()).map_err(|_| {
            let error =
                "this form is from an earlier session or from another site: open the page again and send it from there";
            Problem::refused(StatusCode::FORBIDDEN, error)
        })?;
        Ok(Sent { visit, fields })
    }
}

/// What only a page of ours, made for this session, can know: it follows from the session's secret, and does not give it away.
fn proof_of(secret: &str) -> String {
    hex_digest(&format!("form of {secret}"))
}

fn hex_digest(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whom the door has let in. Who comes through none that we know is a stranger of this machine.
pub fn visitor(parts: &Parts) -> Visitor {
    parts.extensions.get::<ConnectInfo<Visitor>>().map_or(Visitor::Local { uid: None }, |connection| connection.0)
}
