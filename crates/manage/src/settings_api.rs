//! The part of the API that shows the settings document, and takes one that was edited as text.
//!
//! | call | answer | refusals |
//! |---|---|---|
//! | `GET /settings` with `SettingsQuery` | `SettingsDocument`, as it is in force | 400 |
//! | `PUT /settings` with `SettingsRequest` | `Amended` | 403, 409, 412, 413, 422, 507 |
//!
//! Hashes of passwords are not shown; where a text says so in their place, they stay as they are.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::routing::get;
use axum::{Extension, Json, Router};

use crate::access::Actor;
use crate::amend::Amender;
use crate::gate::Noted;
use crate::line_difference::without_hashes;
use crate::refusal::{Answer, Refusal, refuse, to_the_end, unreadable};
use crate::resource::{Amended, SettingsDocument, SettingsQuery, SettingsRequest};

/// Largest request, in bytes: a document far longer than one for 10,000 connectors, as JSON writes it.
const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The routes.
pub fn routes<S: Clone + Send + Sync + 'static>(amender: Amender) -> Router<S> {
    Router::new()
        .route("/settings", get(show).put(replace).layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX)))
        .with_state(Arc::new(amender))
}

async fn show(
    State(amender): State<Arc<Amender>>,
    query: Result<Query<SettingsQuery>, QueryRejection>,
) -> Answer<SettingsDocument> {
    let Query(query) = query.map_err(|rejection| refuse(rejection.status(), rejection.body_text()))?;
    let (document, revision) = amender.document().await;
    let bytes = document.text.len();
    let text = match query.bytes_max {
        Some(bytes_max) if bytes > bytes_max => String::new(),
        _ => document.text.split_inclusive('\n').map(without_hashes).collect(),
    };
    Ok(Json(SettingsDocument { revision, bytes, text }))
}

async fn replace(
    State(amender): State<Arc<Amender>>,
    actor: Actor,
    request: Result<Json<SettingsRequest>, JsonRejection>,
) -> Result<(Extension<Noted>, Json<Amended>), Refusal> {
    let Json(request) = request.map_err(unreadable)?;
    let reason = request.why.clone();
    let what_if = request.what_if;
    let replaced = to_the_end(async move { amender.replace(&actor, &request).await }).await?;
    let amended = replaced.map_err(|error| Refusal(error.status(), error.to_refused(), None))?;
    let noted = Noted { revision: amended.revision, reason, is_nothing: what_if, ..Noted::default() };
    Ok((Extension(noted), Json(amended)))
}
