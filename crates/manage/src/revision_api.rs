//! The part of the API that shows, compares and restores revisions of the settings.
//!
//! | call | answer | refusals |
//! |---|---|---|
//! | `GET /revisions?limit=&before=` | `Revisions`, newest first | 400 |
//! | `GET /revisions/{number}` | `RevisionText` | 404, 500 |
//! | `GET /revisions/{old}/difference?new=` | `RevisionDifference` | 404, 422 |
//! | `POST /revisions/{number}/restore` with `RestoreRequest` | `Amended` | 404, 409, 412, 422, 507 |

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::access::Actor;
use crate::amend::{AmendError, Amender, Mode};
use crate::clock::now_ms;
use crate::history::Revision;
use crate::line_difference::without_hashes;
use crate::refusal::{Answer, Refusal, refuse, to_the_end, unreadable};
use crate::resource::{
    Amended, DifferenceQuery, RestoreRequest, RevisionDifference, RevisionText, Revisions, RevisionsQuery,
};

/// Revisions on a page, where the caller does not say.
const LIMIT_DEFAULT: usize = 100;
/// Revisions on a page at most.
const LIMIT_MAX: usize = 1_000;

/// The routes.
pub fn routes<S: Clone + Send + Sync + 'static>(amender: Amender) -> Router<S> {
    Router::new()
        .route("/revisions", get(list))
        .route("/revisions/{number}", get(show))
        .route("/revisions/{number}/difference", get(compare))
        .route("/revisions/{number}/restore", post(restore))
        .with_state(Arc::new(amender))
}

fn refusal(error: &AmendError) -> Refusal {
    Refusal(error.status(), error.to_refused(), None)
}

async fn list(State(amender): State<Arc<Amender>>, Query(query): Query<RevisionsQuery>) -> Answer<Revisions> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 || limit > LIMIT_MAX {
        let error = format!("limit is from 1 to {LIMIT_MAX}: ask for the next page with `before`");
        return Err(refuse(StatusCode::BAD_REQUEST, error));
    }
    let in_force = amender.reloader().revision().await;
    let history = amender.reloader().history();
    let is_asked = |revision: &&Revision| query.before.is_none_or(|before| revision.number < before);
    let mut asked = history.revisions(now_ms()).rev().filter(is_asked).cloned();
    let revisions: Vec<Revision> = asked.by_ref().take(limit).collect();
    let next = asked.next().and(revisions.last()).map(|last| last.number);
    Ok(Json(Revisions { revisions, in_force, next }))
}

async fn show(State(amender): State<Arc<Amender>>, Path(number): Path<u64>) -> Answer<RevisionText> {
    let reloader = amender.reloader().clone();
    let read = tokio::task::spawn_blocking(move || {
        let history = reloader.history();
        let revision = history.find(number, now_ms()).cloned();
        history.text(number).map(|text| revision.zip(text))
    });
    let read = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let failed = |error| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the history cannot be read: {error}"));
    let (revision, text) = read.map_err(failed)?.ok_or_else(|| refusal(&AmendError::NoRevision(number)))?;
    let text = text.split_inclusive('\n').map(without_hashes).collect();
    Ok(Json(RevisionText { revision, text }))
}

async fn compare(
    State(amender): State<Arc<Amender>>,
    Path(old): Path<u64>,
    Query(query): Query<DifferenceQuery>,
) -> Answer<RevisionDifference> {
    amender.compare(old, query.new).await.map(Json).map_err(|error| refusal(&error))
}

async fn restore(
    State(amender): State<Arc<Amender>>,
    actor: Actor,
    Path(number): Path<u64>,
    request: Result<Json<RestoreRequest>, JsonRejection>,
) -> Answer<Amended> {
    let Json(request) = request.map_err(unreadable)?;
    let mode = if request.what_if { Mode::WhatIf } else { Mode::Apply };
    let RestoreRequest { why, base, .. } = request;
    let restored = to_the_end(async move { amender.restore(&actor, why.as_deref(), &mode, number, base).await });
    restored.await?.map(Json).map_err(|error| refusal(&error))
}
