//! The calls of the management API about queues and the messages in them.
//!
//! Takes requests, hands on what the running server says and does. What changes something is logged with the user who
//! asked, and answered when it survives a power cut. Never decides anything about mail.
//!
//! | call | answer | refusals |
//! |---|---|---|
//! | `GET /queues?filter=&sort=&offset=&limit=` | `QueuesListing` | 400 |
//! | `POST /queues` with `QueuesRequest` | `QueuesChanged` | 400, 404, 500 |
//! | `GET /queue?next_hop=&sender=&recipient=&filter=&sort=&offset=&limit=` | `QueueListing` | 400 |
//! | `GET /queue/{id}` | `MessageDetail` | 400, 404 |
//! | `GET /queue/{id}/export` | the message as a file | 400, 404, 409, 413, 500 |
//! | `POST /queue/{id}/retry` | `Retried` | 400, 404 |
//! | `POST /queue/retry` with `RetryRequest` | `Retried` | 400 |
//! | `POST /queue/change` with `MessagesRequest` | `MessagesChanged` | 400, 404, 500 |
//! | `DELETE /queue/{id}?report=true` | `Removed` | 400, 404, 500 |

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use gatepost_mail::MessageId;
use gatepost_transport::Control;
use gatepost_transport::listing::{Which, Wish};

use crate::access::Actor;
use crate::queues;
use crate::refusal::{Answer, Refusal, refuse, to_the_end, unreadable};
use crate::resource::{
    MessageDetail, MessagesChanged, MessagesRequest, QueueListing, QueueQuery, QueuesChanged, QueuesListing,
    QueuesQuery, QueuesRequest, RemoveQuery, Removed, Retried, RetryRequest,
};

/// The routes of these calls.
pub fn routes<S: Clone + Send + Sync + 'static>(control: Control) -> Router<S> {
    Router::new()
        .route("/queues", get(list_queues).post(change_queues))
        .route("/queue", get(queue))
        .route("/queue/retry", post(retry))
        .route("/queue/change", post(change))
        .route("/queue/{id}", get(message).delete(remove))
        .route("/queue/{id}/retry", post(retry_message))
        .route("/queue/{id}/export", get(export))
        .with_state(control)
}

async fn list_queues(
    State(control): State<Control>,
    query: Result<Query<QueuesQuery>, QueryRejection>,
) -> Answer<QueuesListing> {
    let Query(query) = query.map_err(|rejection| refuse(rejection.status(), rejection.body_text()))?;
    queues::queues(&control, &query).map(Json)
}

async fn change_queues(
    State(control): State<Control>,
    actor: Actor,
    request: Result<Json<QueuesRequest>, JsonRejection>,
) -> Answer<QueuesChanged> {
    let Json(request) = request.map_err(unreadable)?;
    queues::change_queues(&control, &actor, request).await.map(Json)
}

async fn queue(
    State(control): State<Control>,
    query: Result<Query<QueueQuery>, QueryRejection>,
) -> Answer<QueueListing> {
    let Query(query) = query.map_err(|rejection| refuse(rejection.status(), rejection.body_text()))?;
    queues::messages(&control, query).await.map(Json)
}

async fn message(State(control): State<Control>, id: Result<Path<u64>, PathRejection>) -> Answer<MessageDetail> {
    let id = message_id(id)?;
    queues::message(&control, id).await.map(Json)
}

async fn export(
    State(control): State<Control>,
    actor: Actor,
    id: Result<Path<u64>, PathRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let id = message_id(id)?;
    let exported = queues::export(&control, &actor, id).await?;
    Ok(([(header::CONTENT_TYPE, "message/rfc822")], exported))
}

async fn retry_message(
    State(control): State<Control>,
    actor: Actor,
    id: Result<Path<u64>, PathRejection>,
) -> Answer<Retried> {
    let id = message_id(id)?;
    // Nothing to retry and no such message are different answers: one is fine, the other is a typing error.
    if control.message(id).await.is_none() {
        return Err(queues::unknown(&control, id));
    }
    let entries = control.retry(Which::Message(id), &actor.to_string()).await as u64;
    tracing::info!(queue_id = id.0, entries, %actor, "retry asked for");
    Ok(Json(Retried { entries }))
}

async fn retry(
    State(control): State<Control>,
    actor: Actor,
    request: Result<Json<RetryRequest>, JsonRejection>,
) -> Answer<Retried> {
    let Json(request) = request.map_err(unreadable)?;
    let (which, next_hop) = match request {
        RetryRequest::All => (Which::All, None),
        RetryRequest::NextHop(next_hop) => (Which::NextHop(next_hop.clone()), Some(next_hop)),
    };
    let entries = control.retry(which, &actor.to_string()).await as u64;
    tracing::info!(next_hop, entries, %actor, "retry asked for");
    Ok(Json(Retried { entries }))
}

async fn change(
    State(control): State<Control>,
    actor: Actor,
    request: Result<Json<MessagesRequest>, JsonRejection>,
) -> Answer<MessagesChanged> {
    let Json(request) = request.map_err(unreadable)?;
    queues::change(&control, &actor, request).await.map(Json)
}

async fn remove(
    State(control): State<Control>,
    actor: Actor,
    id: Result<Path<u64>, PathRejection>,
    query: Result<Query<RemoveQuery>, QueryRejection>,
) -> Answer<Removed> {
    let id = message_id(id)?;
    let Query(query) = query.map_err(|rejection| refuse(rejection.status(), rejection.body_text()))?;
    let asked = control.clone();
    let wish = Wish::Remove { with_report: query.report };
    let who = actor.to_string();
    let removed = to_the_end(async move { asked.change(vec![id], wish, &who).await }).await?;
    let changed = removed.map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    if let Some((_, error)) = changed.failed.first() {
        return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, error.clone()));
    }
    if changed.messages == 0 {
        return Err(queues::unknown(&control, id));
    }
    tracing::info!(queue_id = id.0, report = query.report, %actor, "message removed from the queue");
    Ok(Json(Removed { id: id.0, report: query.report, pending: changed.pending > 0 }))
}

fn message_id(id: Result<Path<u64>, PathRejection>) -> Result<MessageId, Refusal> {
    match id {
        Ok(Path(id)) => Ok(MessageId(id)),
        Err(_) => Err(refuse(StatusCode::BAD_REQUEST, "a queue id is a number, as `gatepost queue list` shows it")),
    }
}
