//! The part of the API that explains: what would become of a message, and why a recorded attempt was refused.
//!
//! | call | answer | refusals |
//! |---|---|---|
//! | `GET /explanation?peer=&sender=&recipient=&…` | `Explained` | 400 |
//! | `GET /decisions/{id}/explanation` | `DecisionExplained` | 400, 404, 500 |
//!
//! Takes a question, hands on what `policy::explain` says, asked in a thread of its own and in turn: a large document takes its time.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use gatepost_policy::explain;
use gatepost_policy::note::instant;
use gatepost_transport::Control;

use crate::amend::Amender;
use crate::asked::{Asked, ExplanationQuery, Unread};
use crate::clock::now_ms;
use crate::explained::Explained;
use crate::explanation::in_turn;
use crate::recomputed::{Answers, DecisionExplained};
use crate::recorded;
use crate::refusal::{Answer, refuse};

/// The routes.
pub fn routes<S: Clone + Send + Sync + 'static>(control: Control, amender: Amender) -> Router<S> {
    Router::new()
        .route("/explanation", get(explanation))
        .route("/decisions/{id}/explanation", get(decision))
        .with_state((control, amender))
}

async fn explanation(
    State((_, amender)): State<(Control, Amender)>,
    query: Result<Query<ExplanationQuery>, QueryRejection>,
) -> Answer<Explained> {
    let Query(query) = query.map_err(|rejection| refuse(rejection.status(), rejection.body_text()))?;
    let document = amender.reloader().hold().await.document.clone();
    let explain = move || -> Result<Explained, Unread> {
        let settings = &document.settings;
        let asked = Asked::parse(settings, &query, now_ms())?;
        let question = asked.question();
        let explanation = explain::explain(settings, &question);
        let at = query.at.filter(|at| !at.trim().is_empty()).map(|_| instant(question.now_ms));
        Ok(Explained { at, ..Explained::of(settings, &document.text, &question, &explanation) })
    };
    let explained = in_turn(explain).await.map_err(unexpected)?;
    let wrong = |Unread { field, error }: Unread| refuse(StatusCode::BAD_REQUEST, format!("{field}: {error}"));
    explained.map(Json).map_err(wrong)
}

async fn decision(
    State((control, amender)): State<(Control, Amender)>,
    Path(id): Path<String>,
) -> Answer<DecisionExplained> {
    let detail = recorded::detail(&control, &amender, &id).await?;
    let explain = move || Answers::of(&detail, now_ms()).explained(detail);
    Ok(Json(in_turn(explain).await.map_err(unexpected)?))
}

fn unexpected(_: tokio::task::JoinError) -> crate::refusal::Refusal {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "that failed unexpectedly; the log has the cause")
}
