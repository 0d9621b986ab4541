//! The calls of the management API about who may administer, and what they did.
//!
//! Takes requests, hands on what the accounts say and do. Shows a secret once, to the one who made it, and never a hash.
//!
//! | call | answer | refusals |
//! |---|---|---|
//! | `POST /setup` with `SetupRequest` | `AdministratorShown` | 400, 401, 429 |
//! | `POST /session` with `SessionRequest` | `SessionBegun` | 400, 401, 429, 503 |
//! | `GET /session` | `SessionShown` | |
//! | `DELETE /session` | `Gone` | 404 |
//! | `GET /administrators` | `Administrators` | |
//! | `POST /administrators` with `NewAdministratorRequest` | `AdministratorShown` | 400, 409, 500 |
//! | `PATCH /administrators/{name}` with `AdministratorRequest` | `AdministratorShown` | 400, 403, 404, 409, 429, 500, 503 |
//! | `DELETE /administrators/{name}` | `Gone` | 404, 500 |
//! | `GET /tokens` | `Tokens` | |
//! | `POST /tokens` with `NewTokenRequest` | `NewToken` | 400, 500 |
//! | `DELETE /tokens/{id}` | `Gone` | 404, 500 |
//! | `GET /acts?since_ms=&until_ms=&actor=&act=&outcome=&offset=&limit=` | `Acts` | 400, 500 |

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Extension, Json, Router};
use gatepost_transport::Control;

use crate::access::administrators::{self, AccountError};
use crate::access::{Access, Actor, Criteria, Presented};
use crate::administration::{Office, denied, refused};
use crate::clock::now_ms;
use crate::credentials::is_same_user;
use crate::gate::Noted;
use crate::refusal::{Answer, Refusal, refuse, unreadable};
use crate::resource::{
    ACTS_LIMIT_DEFAULT, Acts, ActsQuery, AdministratorRequest, AdministratorShown, Administrators, Gone,
    NewAdministratorRequest, NewTokenRequest, SessionBegun, SessionRequest, SessionShown, SetupRequest, Tokens,
};

/// What these calls ask.
#[derive(Clone)]
struct Desk {
    control: Control,
    access: Arc<Access>,
}

impl Desk {
    fn office<'a>(&'a self, actor: &'a Actor) -> Office<'a> {
        Office { control: &self.control, access: &self.access, actor, is_what_if: false }
    }
}

/// The routes of these calls.
pub fn routes<S: Clone + Send + Sync + 'static>(control: Control, access: Arc<Access>) -> Router<S> {
    Router::new()
        .route("/setup", post(set_up))
        .route("/session", post(begin_session).get(session).delete(end_session))
        .route("/administrators", get(list).post(add))
        .route("/administrators/{name}", patch(set).delete(remove))
        .route("/tokens", get(tokens).post(add_token))
        .route("/tokens/{id}", axum::routing::delete(remove_token))
        .route("/acts", get(acts))
        .with_state(Desk { control, access })
}

/// An answer, and what the record of acts says of it besides.
type Recorded<T> = Result<(Extension<Noted>, Json<T>), Refusal>;

fn noted(target: impl Into<String>, parameters: Option<String>) -> Extension<Noted> {
    Extension(Noted { target: Some(target.into()), parameters, ..Noted::default() })
}

fn read<T>(request: Result<Json<T>, JsonRejection>) -> Result<T, Refusal> {
    request.map(|Json(request)| request).map_err(unreadable)
}

async fn set_up(
    State(desk): State<Desk>,
    actor: Actor,
    request: Result<Json<SetupRequest>, JsonRejection>,
) -> Recorded<AdministratorShown> {
    let request = read(request)?;
    let accounts = &desk.access.accounts;
    let secrets = accounts.secrets();
    // Before the password is hashed: whoever has no token makes no work.
    let is_right = || administrators::is_setup(&secrets, &request.token, now_ms()).then_some(());
    accounts.limit(actor.address(), "one-time token", is_right).map_err(|error| match error {
        crate::access::Denied::Wrong => refused(AccountError::Setup),
        other => denied(other),
    })?;
    let made = desk.office(&actor).redeem(request).await?;
    Ok((noted(&made.name, Some(format!("roles {}", made.roles.join(", ")))), Json(made)))
}

async fn begin_session(
    State(desk): State<Desk>,
    actor: Actor,
    request: Result<Json<SessionRequest>, JsonRejection>,
) -> Recorded<SessionBegun> {
    let SessionRequest { name, password, code } = read(request)?;
    let begun = desk.access.accounts.begin_session(&name, &password, code.as_deref(), actor.address()).await;
    let begun = begun.map_err(denied)?;
    let session = SessionBegun {
        secret: begun.secret.reveal().to_owned(),
        expires_ms: begun.expires_ms,
        session: desk.office(&begun.actor).session(),
    };
    Ok((noted(&*begun.actor.name, None), Json(session)))
}

async fn session(State(desk): State<Desk>, actor: Actor) -> Json<SessionShown> {
    Json(desk.office(&actor).session())
}

async fn end_session(State(desk): State<Desk>, actor: Actor, headers: HeaderMap) -> Recorded<Gone> {
    let ended = match Presented::read(&headers) {
        Ok(Some(Presented::Bearer(bearer))) => desk.access.accounts.end_session(&bearer),
        _ => false,
    };
    if !ended {
        return Err(refuse(StatusCode::NOT_FOUND, "this request is in no session"));
    }
    Ok((noted(&*actor.name, None), Json(Gone { removed: actor.name.to_string() })))
}

async fn list(State(desk): State<Desk>, actor: Actor) -> Json<Administrators> {
    Json(Administrators { administrators: desk.office(&actor).administrators() })
}

async fn add(
    State(desk): State<Desk>,
    actor: Actor,
    request: Result<Json<NewAdministratorRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let made = desk.office(&actor).add(read(request)?).await?;
    let noted = noted(&made.name, Some(format!("roles {}", made.roles.join(", "))));
    Ok((StatusCode::CREATED, noted, Json(made)).into_response())
}

async fn set(
    State(desk): State<Desk>,
    actor: Actor,
    Path(name): Path<String>,
    request: Result<Json<AdministratorRequest>, JsonRejection>,
) -> Recorded<AdministratorShown> {
    let request = read(request)?;
    let mut parameters = Vec::new();
    parameters.extend(request.roles.as_ref().map(|roles| format!("roles {}", roles.join(", "))));
    parameters.extend(request.password.as_ref().map(|_| "a new password".to_owned()));
    let codes = |totp| if totp { "a secret for codes, to be confirmed" } else { "no codes asked for" }.to_owned();
    parameters.extend(request.totp.map(codes));
    parameters.extend(request.totp_code.as_ref().map(|_| "codes asked for".to_owned()));
    let changes_proof = request.password.is_some() || request.totp == Some(false) || request.totp_code.is_some();
    let office = desk.office(&actor);
    let mut made = office.set(&name, request).await?;
    if changes_proof && is_same_user(&actor.name, &made.name) {
        made.session = office.renew_session()?;
    }
    Ok((noted(name, Some(parameters.join("; "))), Json(made)))
}

async fn remove(State(desk): State<Desk>, actor: Actor, Path(name): Path<String>) -> Answer<Gone> {
    desk.office(&actor).remove(&name).await?;
    Ok(Json(Gone { removed: name }))
}

async fn tokens(State(desk): State<Desk>, actor: Actor) -> Json<Tokens> {
    Json(Tokens { tokens: desk.office(&actor).tokens() })
}

async fn add_token(
    State(desk): State<Desk>,
    actor: Actor,
    request: Result<Json<NewTokenRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let made = desk.office(&actor).add_token(read(request)?).await?;
    let noted = noted(&made.token.id, Some(format!("roles {}; {}", made.token.roles.join(", "), made.token.note)));
    Ok((StatusCode::CREATED, noted, Json(made)).into_response())
}

async fn remove_token(State(desk): State<Desk>, actor: Actor, Path(id): Path<String>) -> Answer<Gone> {
    desk.office(&actor).remove_token(&id).await?;
    Ok(Json(Gone { removed: id }))
}

async fn acts(State(desk): State<Desk>, actor: Actor, query: Result<Query<ActsQuery>, QueryRejection>) -> Answer<Acts> {
    let Query(query) = query.map_err(|rejection| refuse(rejection.status(), rejection.body_text()))?;
    let criteria = Criteria {
        since_ms: query.since_ms,
        until_ms: query.until_ms,
        actors: query.actor.into_iter().collect(),
        acts: query.act.into_iter().collect(),
        outcome: query.outcome,
        ..Criteria::default()
    };
    let (skip, limit) = (query.offset.unwrap_or(0), query.limit.unwrap_or(ACTS_LIMIT_DEFAULT));
    Ok(Json(Acts { acts: desk.office(&actor).acts(criteria, skip, limit).await? }))
}
