//! Resources: what the registry's Get-, New-, Set- and Remove- commands do, as REST has it.
//!
//! Takes requests about a noun, runs the command that belongs to the method, hands on what it answers under the keys of
//! the settings document. Knows no noun but by the table of `nouns`. Never decides anything about mail.
//!
//! | call | command | |
//! |---|---|---|
//! | `GET /receive-connectors?limit=&from=&filter=` | Get- | a page; ETag, If-None-Match |
//! | `POST /receive-connectors` | New- | 201; If-Match |
//! | `GET /receive-connectors/{identity}` | Get- | ETag, If-None-Match |
//! | `PATCH /receive-connectors/{identity}` | Set- | If-Match |
//! | `DELETE /receive-connectors/{identity}` | Remove- | If-Match |
//!
//! The entity tag is the revision of the settings: whoever sends it back with a change learns when somebody was faster.

pub mod narrowing;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::access::Actor;
use crate::command::{Answer, Entry};
use crate::command_api::{self, REQUEST_BYTES_MAX, Served};
use crate::gate::Noted;
use crate::nouns::{NOUNS, Noun, parameters, resource};
use crate::object::Record;
use crate::refusal::{Refusal, refuse, unreadable};
use crate::resource::{CommandRequest, ExposureChange};
use narrowing::{Narrowing, Page, narrow};

/// The answer to a change.
#[derive(Serialize)]
struct Changed {
    /// What there is now; nothing after a removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Map<String, Value>>,
    warnings: Vec<String>,
    /// What becomes of what waits in queues or lies on the disk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    exposure: Vec<ExposureChange>,
}

/// The routes of all nouns whose commands are there.
pub fn routes<S: Clone + Send + Sync + 'static>(served: Served) -> Router<S> {
    let mut routes = Router::new();
    for noun in NOUNS.iter().copied() {
        let (all, one) = (noun.path.to_owned(), format!("{}/{{identity}}", noun.path));
        for (path, verb, method) in [
            (&all, "Get", get(list) as MethodRouter<Served>),
            (&all, "New", post(create)),
            (&one, "Get", get(show)),
            (&one, "Set", patch(change)),
            (&one, "Remove", delete(remove)),
        ] {
            if noun.listing().is_some() && noun.command(verb).is_some() {
                routes = routes.route(path, method.layer(Extension(noun)));
            }
        }
    }
    routes.layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX)).with_state(served)
}

type Recorded = (Extension<Noted>, Result<Response, Refusal>);

fn lacking() -> Refusal {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "this resource has no such call")
}

/// The entity tag of everything that the settings say.
async fn tag(served: &Served) -> String {
    tag_of(served.revision().await)
}

fn tag_of(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// The revision that a change is made for: the one in force, where the request asks for that by If-Match. Nobody else may
/// change anything before the change does.
///
/// # Errors
/// [`Refusal`], where it asks for another.
async fn base(served: &Served, headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let revision = served.revision().await;
    match is_listed(headers, header::IF_MATCH, &tag_of(revision)) {
        None => Ok(None),
        Some(true) if is_listed(headers, header::IF_MATCH, "*") == Some(true) => Ok(None),
        Some(true) => Ok(Some(revision)),
        Some(false) => {
            let error = format!(
                "somebody has changed the settings: they have revision {revision} now; read again, then change"
            );
            Err(refuse(StatusCode::PRECONDITION_FAILED, error))
        }
    }
}

/// Whether one of the tags that a field lists is this one, or any (RFC 9110 section 13.1).
fn is_listed(headers: &HeaderMap, field: HeaderName, tag: &str) -> Option<bool> {
    let mut listed = None;
    for value in headers.get_all(field) {
        let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        let is_there =
            tags.map(|other| other.strip_prefix("W/").unwrap_or(other)).any(|other| other == "*" || other == tag);
        listed = Some(listed.unwrap_or(false) || is_there);
    }
    listed
}

fn tagged(tag: &str, status: StatusCode, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The records of an object, or of all; those of one page, where that is said as (offset, limit), with how many there are.
async fn get_records(
    served: &Served,
    noun: Noun,
    actor: &Actor,
    identity: Option<&str>,
    page: Option<(usize, usize)>,
) -> Result<(Vec<Record>, usize), Refusal> {
    let (entry, _) = noun.listing().ok_or_else(lacking)?;
    let mut parameters = Map::new();
    parameters.extend(identity.map(|identity| ("Identity".to_owned(), identity.into())));
    let has_size = entry.signature.parameters.iter().any(|parameter| parameter.name == "ResultSize");
    parameters.extend(has_size.then(|| ("ResultSize".to_owned(), "unlimited".into())));
    let (offset, limit) = page.unzip();
    let request = CommandRequest { parameters, offset, limit, ..CommandRequest::default() };
    let answer = command_api::perform(served, entry, actor, request).await?;
    let total = answer.total.and_then(|total| usize::try_from(total).ok()).unwrap_or(answer.output.len());
    Ok((answer.output, total))
}

async fn list(
    State(served): State<Served>,
    Extension(noun): Extension<Noun>,
    actor: Actor,
    headers: HeaderMap,
    asked: Result<Query<Narrowing>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked.map_err(|rejection| refuse(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let tag = tag(&served).await;
    let (_, shape) = noun.listing().ok_or_else(lacking)?;
    let bad = |error: String| refuse(StatusCode::BAD_REQUEST, error);
    let place = asked.place().map_err(bad)?;
    let page = match &asked.filter {
        // Which ones it means is known once all are there.
        Some(_) => narrow(shape, get_records(&served, noun, &actor, None, None).await?.0, &asked).map_err(bad)?,
        None => {
            let (records, total) = get_records(&served, noun, &actor, None, Some(place)).await?;
            Page::at(place.0, records, total)
        }
    };
    let Page { records, total, next } = page;
    if is_listed(&headers, header::IF_NONE_MATCH, &tag) == Some(true) {
        return Ok(tagged(&tag, StatusCode::NOT_MODIFIED, ()));
    }
    let items: Vec<Map<String, Value>> = records.iter().map(resource).collect();
    Ok(tagged(&tag, StatusCode::OK, Json(json!({ "items": items, "total": total, "next": next }))))
}

async fn show(
    State(served): State<Served>,
    Extension(noun): Extension<Noun>,
    actor: Actor,
    headers: HeaderMap,
    Path(identity): Path<String>,
) -> Result<Response, Refusal> {
    let tag = tag(&served).await;
    let record = the_one(get_records(&served, noun, &actor, Some(&identity), None).await?.0, noun, &identity)?;
    if is_listed(&headers, header::IF_NONE_MATCH, &tag) == Some(true) {
        return Ok(tagged(&tag, StatusCode::NOT_MODIFIED, ()));
    }
    Ok(tagged(&tag, StatusCode::OK, Json(resource(&record))))
}

/// A pattern may stand for many, a path for one.
fn the_one(mut records: Vec<Record>, noun: Noun, identity: &str) -> Result<Record, Refusal> {
    let shown: String = identity.chars().take(80).collect();
    match (records.pop(), records.is_empty()) {
        (Some(record), true) => Ok(record),
        (Some(_), false) => {
            Err(refuse(StatusCode::CONFLICT, format!("`{}` names more than one", shown.escape_debug())))
        }
        (None, _) => {
            let error = format!("there is no {} `{}`", noun.name, shown.escape_debug());
            Err(refuse(StatusCode::NOT_FOUND, error))
        }
    }
}

async fn create(
    State(served): State<Served>,
    Extension(noun): Extension<Noun>,
    actor: Actor,
    headers: HeaderMap,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Recorded {
    act(served, noun, "New", None, actor, headers, Some(body)).await
}

async fn change(
    State(served): State<Served>,
    Extension(noun): Extension<Noun>,
    actor: Actor,
    headers: HeaderMap,
    Path(identity): Path<String>,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Recorded {
    act(served, noun, "Set", Some(identity), actor, headers, Some(body)).await
}

async fn remove(
    State(served): State<Served>,
    Extension(noun): Extension<Noun>,
    actor: Actor,
    headers: HeaderMap,
    Path(identity): Path<String>,
) -> Recorded {
    act(served, noun, "Remove", Some(identity), actor, headers, None).await
}

async fn act(
    served: Served,
    noun: Noun,
    verb: &str,
    identity: Option<String>,
    actor: Actor,
    headers: HeaderMap,
    body: Option<Result<Json<Map<String, Value>>, JsonRejection>>,
) -> Recorded {
    let named = format!("{verb}-{}", noun.name);
    let unread = Noted { act: Some(named), target: identity.clone(), ..Noted::default() };
    let Some(entry) = noun.command(verb) else { return (Extension(unread), Err(lacking())) };
    let request = match request(entry, identity.clone(), body) {
        Ok(request) => request,
        Err(refusal) => return (Extension(unread), Err(refusal)),
    };
    let noted = command_api::noted(entry, Some(&request));
    let base = match base(&served, &headers).await {
        Ok(base) => base,
        Err(refusal) => return (Extension(noted), Err(refusal)),
    };
    match command_api::perform(&served, entry, &actor, CommandRequest { base, ..request }).await {
        Err(refusal) => (Extension(noted), Err(refusal)),
        Ok(answer) => {
            let noted = Noted { revision: answer.revision, ..noted };
            (Extension(noted), Ok(changed(&served, noun, verb, identity, &actor, answer).await))
        }
    }
}

fn request(
    entry: &Entry,
    identity: Option<String>,
    body: Option<Result<Json<Map<String, Value>>, JsonRejection>>,
) -> Result<CommandRequest, Refusal> {
    let body = match body {
        Some(body) => body.map_err(unreadable)?.0,
        None => Map::new(),
    };
    let mut parameters = parameters(entry, body).map_err(|error| refuse(StatusCode::BAD_REQUEST, error))?;
    parameters.extend(identity.map(|identity| ("Identity".to_owned(), identity.into())));
    Ok(CommandRequest { parameters, ..CommandRequest::default() })
}

/// What there is after a change, under its new tag. Set- answers nothing in Exchange, so it is asked for.
async fn changed(
    served: &Served,
    noun: Noun,
    verb: &str,
    identity: Option<String>,
    actor: &Actor,
    answer: Answer,
) -> Response {
    // Not a tag of what came after: whoever changes what they see here by it would undo that.
    let tag = match answer.revision {
        Some(revision) => tag_of(revision),
        None => tag(served).await,
    };
    let made = answer.output.first().map(resource);
    let resource = match (made, identity) {
        (Some(made), _) => Some(made),
        (None, Some(identity)) if verb == "Set" => {
            let found = get_records(served, noun, actor, Some(&identity), None).await.map(|(found, _)| found);
            found.ok().and_then(|found| found.first().map(self::resource))
        }
        _ => None,
    };
    let status = if verb == "New" { StatusCode::CREATED } else { StatusCode::OK };
    let (warnings, notes, exposure) = (answer.warnings, answer.notes, answer.exposure);
    let body = Changed { resource, warnings, notes, revision: answer.revision, exposure };
    tagged(&tag, status, Json(body))
}
