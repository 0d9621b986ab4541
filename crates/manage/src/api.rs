//! The management API: `/api/v1` over the door.
//!
//! Takes requests, hands on what the running server says, as JSON of `resource`. Every refusal has the same body and
//! says what to do. Whom a request is from and what they may do is the gate's business; `calls` has the table. What changes something is logged with the user who asked, and runs to its end even if that user
//! hangs up. Never decides anything about mail.
//!
//! | call | answer | refusals |
//! |---|---|---|
//! | `GET /status` | `Status` | |
//! | `/commands…` | see `command_api` | |
//! | `/transactions` | see `together_api` | |
//! | `/receive-connectors…` and other nouns | see `rest` | |
//! | `/events` | see `events` | |
//! | `/transcript` | see `transcript_api` | |
//! | `GET /openapi.json` | the document of `openapi` | |
//! | `/queue…`, `/queues` | see `queue_api` | |
//! | `/session`, `/setup`, `/administrators…`, `/tokens…`, `/acts` | see `access_api` | |
//! | `/revisions…` | see `revision_api` | |
//! | `/settings` | see `settings_api` | |
//! | `GET /decisions/{id}` | `DecisionDetail` | 400, 404, 500 |
//! | `GET /explanation…`, `GET /decisions/{id}/explanation` | see `explanation_api` | |
//! | `GET /exposure…` | see `exposure_api` | |
//! | `GET /trace?address=&...&limit=&from=` | `Traced` | 400, 500 |
//! | `POST /trace/erase` with `EraseRequest` | `ErasedAddress` | 400, 500 |
//! | `POST /reload` | `Reloaded` | 409, 422 |

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};
use gatepost_tracking::trace::Cursor;
use gatepost_transport::Control;
use tower::{ServiceExt, service_fn};

use crate::access::{Access, Actor};
use crate::access_api;
use crate::amend::Amender;
use crate::client::API_ROOT;
use crate::clock::now_ms;
use crate::command_api::{self, Served};
use crate::decision::DecisionDetail;
use crate::document::LoadError;
use crate::events;
use crate::explanation_api;
use crate::exposure_api;
use crate::gate::{self, Gate, Noted};
use crate::idempotency;
use crate::openapi;
use crate::queue_api;
use crate::recorded;
use crate::refusal::{Answer, Refusal, refuse, to_the_end, unreadable};
use crate::reload::ReloadError;
use crate::resource::{Alarm, Connections, Listener, LogonFault, PressedResource, Queue, Reloaded, Status, TlsFault};
use crate::rest;
use crate::revision_api;
use crate::settings_api;
use crate::together_api;
use crate::trace::{EraseRequest, ErasedAddress, TRACE_LIMIT_DEFAULT, TRACE_LIMIT_MAX, TraceEntry, TraceQuery, Traced};
use crate::transcript_api;

/// Largest request body, in bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// How long a search may take before it says where to go on.
const TRACE_PATIENCE: Duration = Duration::from_secs(5);
/// Longest address, in bytes (RFC 5321 section 4.5.3.1.3), with room for names beyond ASCII.
const ADDRESS_BYTES_MAX: usize = 1_024;

/// What stands behind the door.
#[derive(Clone)]
pub struct Management {
    /// The running server.
    pub control: Control,
    /// How its settings are changed.
    pub amender: Amender,
    /// Who may administer it, and what they did.
    pub access: Arc<Access>,
    /// Its data folder.
    pub data_dir: PathBuf,
}

/// Every route of the API.
pub fn routes(management: Management) -> Router {
    let served = Served::new(management.control.clone(), management.amender.clone(), management.access.clone());
    let calls = Router::new()
        .route("/status", get(status))
        .merge(command_api::routes(served.clone()))
        .merge(together_api::routes(served.clone()))
        .merge(rest::routes(served))
        .merge(events::routes(management.control.clone()))
        .merge(transcript_api::routes(management.control.clone()))
        .route("/openapi.json", get(openapi))
        .merge(queue_api::routes(management.control.clone()))
        .merge(access_api::routes(management.control.clone(), management.access.clone()))
        .merge(revision_api::routes(management.amender.clone()))
        .merge(explanation_api::routes(management.control.clone(), management.amender.clone()))
        .merge(settings_api::routes(management.amender.clone()))
        .merge(exposure_api::routes(management.amender.clone()))
        .route("/decisions/{id}", get(decision))
        .route("/trace", get(trace))
        .route("/trace/erase", post(erase))
        .route("/reload", post(reload))
        .method_not_allowed_fallback(method_not_allowed);
    let gate = Gate::new(management.control.clone(), management.access.clone());
    Router::new()
        .nest(API_ROOT, calls)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(idempotency::Memory::default(), idempotency::once))
        .layer(middleware::from_fn_with_state(gate, gate::pass))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(management)
}

/// The API, and beside it the pages that `pages` makes of its calls: for doors that browsers come to.
pub fn routes_and_pages(management: Management, pages: impl FnOnce(Router) -> Router) -> Router {
    let gate = Gate::new(management.control.clone(), management.access.clone());
    let api = routes(management);
    let pages = pages(api.clone()).layer(middleware::from_fn_with_state(gate, gate::pass_page));
    let either = service_fn(move |request: Request| {
        let is_call = request.uri().path().starts_with("/api/");
        let routes = if is_call { api.clone() } else { pages.clone() };
        routes.oneshot(request)
    });
    Router::new().fallback_service(either)
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::text())
}

async fn status(State(management): State<Management>) -> Json<Status> {
    let status = management.control.status();
    Json(Status {
        version: status.version.to_owned(),
        server_name: status.server_name,
        config: management.amender.reloader().config().display().to_string(),
        data_dir: management.data_dir.display().to_string(),
        process_id: std::process::id(),
        started_ms: status.started_ms,
        now_ms: now_ms(),
        revision: status.revision,
        revision_since_ms: status.revision_since_ms,
        recovering: status.recovering,
        tls_faults: status
            .tls_faults
            .into_iter()
            .map(|fault| TlsFault {
                connector: fault.connector.to_string(),
                certificate: fault.wanted.to_string(),
                consequence: fault.consequence.to_owned(),
            })
            .collect(),
        logon_faults: status
            .logon_faults
            .into_iter()
            .map(|fault| LogonFault {
                connector: fault.connector.to_string(),
                host: fault.host,
                reply: fault.reply,
                since_ms: fault.since_ms,
                attempts: fault.attempts,
            })
            .collect(),
        listeners: status
            .listeners
            .into_iter()
            .map(|listener| Listener { address: listener.address, implicit_tls: listener.implicit_tls })
            .collect(),
        connections: Connections { inbound: status.inbound_connections, outbound: status.outbound_connections },
        counters: status.counters.into(),
        day: status.day.into(),
        queues: status.queues.into_iter().map(Queue::from).collect(),
        spool: status.spool.into(),
        tracking: management.control.tracking().into(),
        back_pressure: status.back_pressure.into_iter().map(PressedResource::from).collect(),
        alarms: status.alarms.iter().map(Alarm::from).collect(),
        obstacles: status.obstacles,
    })
}

async fn decision(State(management): State<Management>, Path(id): Path<String>) -> Answer<DecisionDetail> {
    Ok(Json(recorded::detail(&management.control, &management.amender, &id).await?))
}

async fn trace(
    State(management): State<Management>,
    query: Result<Query<TraceQuery>, QueryRejection>,
) -> Answer<Traced> {
    let Query(query) = query.map_err(|rejection| refuse(rejection.status(), rejection.body_text()))?;
    let bad = |error: String| refuse(StatusCode::BAD_REQUEST, error);
    let limit = query.limit.unwrap_or(TRACE_LIMIT_DEFAULT);
    if limit == 0 || limit > TRACE_LIMIT_MAX {
        return Err(bad(format!("limit is from 1 to {TRACE_LIMIT_MAX}: ask for the next page with `from`")));
    }
    let unknown_page = || bad("`from` is no place where a page ended: pass on what `next` said".to_owned());
    let from = query.from.as_deref().map(|text| Cursor::parse(text).ok_or_else(unknown_page)).transpose()?;
    let parsed = query.parse().map_err(bad)?;
    let found = management.control.trace(move |key| parsed.with_tokens(key), from, limit, TRACE_PATIENCE).await;
    let page = found
        .map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the records cannot be read: {error}")))?;
    Ok(Json(Traced {
        entries: page.entries.into_iter().map(TraceEntry::from).collect(),
        next: page.next.map(|next| next.to_string()),
        cut_short: page.is_cut_short,
        oldest_ms: management.control.oldest_passport_ms(),
    }))
}

async fn erase(
    State(management): State<Management>,
    actor: Actor,
    request: Result<Json<EraseRequest>, JsonRejection>,
) -> Answer<ErasedAddress> {
    let Json(request) = request.map_err(unreadable)?;
    let address = request.address.trim().to_owned();
    let is_address = address.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !is_address || address.len() > ADDRESS_BYTES_MAX {
        let error = "what is erased is one whole address, as alice@contoso.com".to_owned();
        return Err(refuse(StatusCode::BAD_REQUEST, error));
    }
    let erased = to_the_end(async move { management.control.erase(address).await }).await?;
    let erased = erased.map_err(|error| {
        let error = format!("not everything could be rewritten: {error}; ask again, what is done stays done");
        refuse(StatusCode::INTERNAL_SERVER_ERROR, error)
    })?;
    // The address itself would stand in the log then.
    tracing::info!(
        token = erased.token,
        passports = erased.passports,
        decisions = erased.decisions,
        %actor,
        "an address was erased from the records"
    );
    Ok(Json(ErasedAddress {
        token: erased.token,
        passports: erased.passports,
        decisions: erased.decisions,
        damaged: erased.damaged,
    }))
}

async fn reload(
    State(management): State<Management>,
    actor: Actor,
) -> Result<(Extension<Noted>, Json<Reloaded>), Refusal> {
    tracing::info!(%actor, "reload asked for");
    let who = actor.to_string();
    let reloaded = to_the_end(async move { management.amender.reloader().reload(&who).await }).await?;
    // By the revision the act is found beside what it changed.
    let noted = |revision| Extension(Noted { revision: Some(revision), ..Noted::default() });
    reloaded.map(|reloaded| (noted(reloaded.revision), Json(reloaded))).map_err(|error| {
        let status = match &error {
            ReloadError::Load(LoadError::Problems(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            ReloadError::Load(_) | ReloadError::Apply(_) | ReloadError::Outside(_) => StatusCode::CONFLICT,
            ReloadError::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal(status, error.to_refused(), None)
    })
}

async fn not_found() -> Refusal {
    refuse(StatusCode::NOT_FOUND, "there is no such call: the API is under /api/v1".to_owned())
}

async fn method_not_allowed() -> Refusal {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "this call has another method".to_owned())
}
