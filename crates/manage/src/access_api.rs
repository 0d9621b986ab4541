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
//! | `PATCH /administrators/{name}` with `AdministratorRequest` | `AdministratorShown` | 400, 403, 404, 500 |
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
use gatepost_policy::role::{Role, Roles};
use gatepost_transport::Control;

use crate::access::administrators::{
    self, AccountError, AdministratorChange, NewAdministrator, NewToken as TokenWish, hash_password,
};
use crate::access::{Access, Act, Actor, ChangeError, Criteria, Presented, Source, permit};
use crate::clock::now_ms;
use crate::credentials::{Administrator, ApiToken};
use crate::gate::{Noted, denied};
use crate::refusal::{Answer, Refusal, refuse, unreadable};
use crate::resource::{
    ACTS_LIMIT_DEFAULT, ACTS_LIMIT_MAX, Acts, ActsQuery, AdministratorRequest, AdministratorShown, Administrators,
    Gone, NewAdministratorRequest, NewToken, NewTokenRequest, SessionBegun, SessionRequest, SessionShown, SetupRequest,
    TokenShown, Tokens,
};
use crate::setup;

/// What these calls ask.
#[derive(Clone)]
struct Desk {
    control: Control,
    access: Arc<Access>,
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

/// Hashing takes tens of milliseconds on purpose.
async fn hash(password: String) -> Result<crate::credentials::PasswordHash, Refusal> {
    let hashed = tokio::task::spawn_blocking(move || hash_password(&password)).await;
    let unexpected = |_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "that failed unexpectedly; the log has the cause");
    hashed.map_err(unexpected)?.map_err(refused)
}

fn refused(error: AccountError) -> Refusal {
    let status = match &error {
        AccountError::Exists(_) => StatusCode::CONFLICT,
        AccountError::Unknown(_) | AccountError::UnknownToken(_) => StatusCode::NOT_FOUND,
        AccountError::Setup => StatusCode::UNAUTHORIZED,
        AccountError::Secrets(crate::credentials::SecretsError::Password) => StatusCode::BAD_REQUEST,
        AccountError::Secrets(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    refuse(status, error.to_string())
}

fn not_changed(error: ChangeError<AccountError>) -> Refusal {
    match error {
        ChangeError::Refused(error) => refused(error),
        other => refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("nothing has changed: {other}")),
    }
}

fn roles(names: &[String]) -> Result<Roles, Refusal> {
    let role = |name: &String| {
        let unknown = || format!("{name:?} is no role: write one of {}", Roles::ALL);
        Role::parse(name).ok_or_else(|| refuse(StatusCode::BAD_REQUEST, unknown()))
    };
    names.iter().map(role).collect()
}

fn names(roles: Roles) -> Vec<String> {
    roles.iter().map(|role| role.name().to_owned()).collect()
}

fn shown(administrator: &Administrator) -> AdministratorShown {
    AdministratorShown {
        name: administrator.name.clone(),
        roles: names(administrator.roles),
        totp: administrator.totp.is_some(),
        created_ms: administrator.created_ms,
        totp_uri: None,
    }
}

fn shown_token(access: &Access, token: &ApiToken) -> TokenShown {
    TokenShown {
        id: token.id.clone(),
        roles: names(token.roles),
        commands: token.commands.clone(),
        note: token.note.clone(),
        created_by: token.created_by.clone(),
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
        last_used_ms: access.accounts.last_used_ms(&token.id, token.last_used_ms),
    }
}

async fn set_up(
    State(desk): State<Desk>,
    actor: Actor,
    request: Result<Json<SetupRequest>, JsonRejection>,
) -> Recorded<AdministratorShown> {
    let SetupRequest { token, name, password } = read(request)?;
    let accounts = &desk.access.accounts;
    let secrets = accounts.secrets();
    // Before the password is hashed: whoever has no token makes no work.
    let is_right = || administrators::is_setup(&secrets, &token, now_ms()).then_some(());
    accounts.limit(actor.address(), "one-time token", is_right).map_err(|error| match error {
        crate::access::Denied::Wrong => refused(AccountError::Setup),
        other => denied(other),
    })?;
    let password = hash(password).await?;
    let made = accounts.change(move |secrets| administrators::redeem(secrets, &token, name, password, now_ms())).await;
    let made = made.map_err(not_changed)?;
    setup::clean_up(&desk.control.data_dir());
    Ok((noted(&made.name, Some(format!("roles {}", made.roles))), Json(shown(&made))))
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
        session: shown_session(&desk, &begun.actor),
    };
    Ok((noted(&*begun.actor.name, None), Json(session)))
}

fn shown_session(desk: &Desk, actor: &Actor) -> SessionShown {
    SessionShown {
        name: actor.name.to_string(),
        roles: names(actor.roles),
        commands: actor.commands.iter().map(ToString::to_string).collect(),
        server: desk.control.settings().server.name.to_string(),
    }
}

async fn session(State(desk): State<Desk>, actor: Actor) -> Json<SessionShown> {
    Json(shown_session(&desk, &actor))
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

async fn list(State(desk): State<Desk>) -> Json<Administrators> {
    let secrets = desk.access.accounts.secrets();
    Json(Administrators { administrators: secrets.administrators.iter().map(shown).collect() })
}

async fn add(
    State(desk): State<Desk>,
    request: Result<Json<NewAdministratorRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let NewAdministratorRequest { name, password, roles: wanted } = read(request)?;
    let roles = roles(&wanted)?;
    let password = hash(password).await?;
    let new = NewAdministrator { name, password, roles };
    let made = desk.access.accounts.change(move |secrets| administrators::add(secrets, new, now_ms())).await;
    let made = made.map_err(not_changed)?;
    setup::clean_up(&desk.control.data_dir());
    let noted = noted(&made.name, Some(format!("roles {}", made.roles)));
    Ok((StatusCode::CREATED, noted, Json(shown(&made))).into_response())
}

async fn set(
    State(desk): State<Desk>,
    actor: Actor,
    Path(name): Path<String>,
    request: Result<Json<AdministratorRequest>, JsonRejection>,
) -> Recorded<AdministratorShown> {
    let AdministratorRequest { password, roles: wanted, totp } = read(request)?;
    // Whoever has proven a password may change it, and their codes; nobody their own roles.
    let is_self = matches!(actor.source, Source::Password { .. }) && actor.name.to_lowercase() == name.to_lowercase();
    if !is_self || wanted.is_some() {
        let act = Act { name: "Set-Administrator", role: Role::SecurityOfficer };
        permit(&actor, act).map_err(|lacking| refuse(StatusCode::FORBIDDEN, lacking))?;
    }
    let roles = wanted.map(|wanted| roles(&wanted)).transpose()?;
    let mut parameters = Vec::new();
    parameters.extend(roles.map(|roles| format!("roles {roles}")));
    parameters.extend(password.as_ref().map(|_| "a new password".to_owned()));
    parameters.extend(totp.map(|totp| if totp { "codes asked for" } else { "no codes asked for" }.to_owned()));
    let password = match password {
        Some(password) => Some(hash(password).await?),
        None => None,
    };
    let change = AdministratorChange { roles, password, totp };
    let (accounts, wanted) = (&desk.access.accounts, name.clone());
    let made = accounts.change(move |secrets| administrators::set(secrets, &wanted, change)).await;
    let made = made.map_err(not_changed)?;
    let uri = made.totp.as_ref().filter(|_| totp == Some(true));
    let server = desk.control.settings().server.name.to_string();
    let shown = AdministratorShown { totp_uri: uri.map(|secret| secret.to_uri(&server, &made.name)), ..shown(&made) };
    Ok((noted(name, Some(parameters.join("; "))), Json(shown)))
}

async fn remove(State(desk): State<Desk>, Path(name): Path<String>) -> Answer<Gone> {
    let wanted = name.clone();
    let removed = desk.access.accounts.change(move |secrets| administrators::remove(secrets, &wanted)).await;
    removed.map_err(not_changed)?;
    Ok(Json(Gone { removed: name }))
}

async fn tokens(State(desk): State<Desk>) -> Json<Tokens> {
    let secrets = desk.access.accounts.secrets();
    Json(Tokens { tokens: secrets.tokens.iter().map(|token| shown_token(&desk.access, token)).collect() })
}

async fn add_token(
    State(desk): State<Desk>,
    actor: Actor,
    request: Result<Json<NewTokenRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let NewTokenRequest { roles: wanted, commands, note, expires_ms } = read(request)?;
    let new = TokenWish { roles: roles(&wanted)?, commands, note, created_by: actor.name.to_string(), expires_ms };
    let made = desk.access.accounts.change(move |secrets| administrators::add_token(secrets, new, now_ms())).await;
    let (token, secret) = made.map_err(not_changed)?;
    let noted = noted(&token.id, Some(format!("roles {}; {}", token.roles, token.note)));
    let made = NewToken { token: shown_token(&desk.access, &token), secret: secret.reveal().to_owned() };
    Ok((StatusCode::CREATED, noted, Json(made)).into_response())
}

async fn remove_token(State(desk): State<Desk>, Path(id): Path<String>) -> Answer<Gone> {
    let wanted = id.clone();
    let removed = desk.access.accounts.change(move |secrets| administrators::remove_token(secrets, &wanted)).await;
    removed.map_err(not_changed)?;
    Ok(Json(Gone { removed: id }))
}

async fn acts(State(desk): State<Desk>, query: Result<Query<ActsQuery>, QueryRejection>) -> Answer<Acts> {
    let Query(query) = query.map_err(|rejection| refuse(rejection.status(), rejection.body_text()))?;
    let limit = query.limit.unwrap_or(ACTS_LIMIT_DEFAULT);
    if limit == 0 || limit > ACTS_LIMIT_MAX {
        let error = format!("limit is from 1 to {ACTS_LIMIT_MAX}: go on with offset");
        return Err(refuse(StatusCode::BAD_REQUEST, error));
    }
    let criteria = Criteria {
        since_ms: query.since_ms,
        until_ms: query.until_ms,
        actor: query.actor,
        act: query.act,
        outcome: query.outcome,
    };
    let (access, skip) = (desk.access.clone(), query.offset.unwrap_or(0));
    let found = tokio::task::spawn_blocking(move || access.record.search(&criteria, skip, limit)).await;
    let failed =
        |error: String| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the record cannot be read: {error}"));
    let found = found.map_err(|error| failed(error.to_string()))?;
    Ok(Json(Acts { acts: found.map_err(|error| failed(error.to_string()))? }))
}
