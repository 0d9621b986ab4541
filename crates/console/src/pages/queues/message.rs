//! One message that is not at its end: who it is for, how far it is, its header section, and the message as a file.

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use gatepost_manage::ClientError;
use gatepost_manage::resource::{MessageDetail, QueuesQuery, Recipient, RecipientState};
use gatepost_policy::role::Role;

use super::messages::{Actions, change, source};
use super::{Moment, Status};
use crate::layout::{Answer, Page, show_as};
use crate::problem::refusal;
use crate::text::{now_ms, size};
use crate::visit::{Console, Sent, Visit};

/// A message in more queues is told the names of the others alone.
const QUEUES_ASKED_MAX: usize = 8;

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new()
        .route("/queues/messages/{id}", get(message).post(act))
        .route("/queues/messages/{id}/export", get(export))
}

#[derive(Template)]
#[template(path = "queue_message.html")]
struct Shown {
    page: Page,
    problem: Option<String>,
    message: MessageDetail,
    status: Status,
    size: String,
    source: String,
    received: Moment,
    expires: Moment,
    /// Each with its next hop, as far as that is known.
    queues: Vec<(String, String)>,
    recipients: Vec<Row>,
    actions: Actions,
}

/// One recipient as it is shown.
struct Row {
    address: String,
    state: Status,
    next_hop: String,
    attempts: u32,
    next_attempt: Option<Moment>,
    last: String,
}

impl Row {
    fn of(recipient: &Recipient, now_ms: u64) -> Row {
        let (name, look) = match recipient.state {
            RecipientState::Pending => ("Pending", ""),
            RecipientState::Delivered => ("Delivered", "good"),
            RecipientState::Failed => ("Failed", "bad"),
            RecipientState::Removed => ("Removed", "warn"),
        };
        Row {
            address: recipient.address.clone(),
            state: Status { name: name.to_owned(), look },
            next_hop: recipient.next_hop.clone().unwrap_or_default(),
            attempts: recipient.attempts,
            next_attempt: recipient.next_attempt_ms.map(|ms| Moment::coming(ms, now_ms)),
            last: recipient.next_hop_error.clone().or_else(|| recipient.last_reply.clone()).unwrap_or_default(),
        }
    }
}

async fn message(visit: Visit, Path(id): Path<u64>) -> Answer {
    show_message(visit, id, None).await
}

async fn show_message(visit: Visit, id: u64, problem: Option<(StatusCode, String)>) -> Answer {
    let message = match visit.client.message(id).await {
        Ok(message) => message,
        // What was let go on may be at its end by now.
        Err(ClientError::Refused { status: 404, refused }) => {
            let said = problem.map_or(refused.error, |(_, problem)| problem);
            return Ok(visit.done("/queues/messages", &said));
        }
        Err(error) => return Err(error.into()),
    };
    let now_ms = now_ms();
    let at = &message.message;
    let shown = Shown {
        status: Status::of(&at.status),
        size: size(at.size_bytes),
        source: source(at.peer.map(|peer| peer.ip().to_canonical().to_string()), &at.connector),
        received: Moment::past(at.arrival_ms, now_ms),
        expires: Moment::coming(at.expires_ms, now_ms),
        queues: queues(&visit, &at.queues).await,
        recipients: at.recipients.iter().map(|recipient| Row::of(recipient, now_ms)).collect(),
        actions: Actions::of(&visit).await,
        page: Page::new(visit, "/queues", format!("Message {id}")),
        problem: problem.as_ref().map(|(_, problem)| problem.clone()),
        message,
    };
    show_as(problem.map_or(StatusCode::OK, |(status, _)| status), &shown)
}

/// What names each queue in a link, and where its messages go: as the queue viewer calls it.
async fn queues(visit: &Visit, identities: &[String]) -> Vec<(String, String)> {
    let mut queues = Vec::with_capacity(identities.len());
    for (place, identity) in identities.iter().enumerate() {
        let name = identity.rsplit('\\').next().unwrap_or(identity).to_owned();
        let filter = format!("Identity -eq '{}'", identity.replace('\'', "''"));
        let asked = QueuesQuery { filter: Some(filter), limit: Some(1), ..QueuesQuery::default() };
        let known = match place < QUEUES_ASKED_MAX {
            true => visit.client.queues(&asked).await.ok().and_then(|listing| listing.queues.into_iter().next()),
            false => None,
        };
        let next_hop = known.map(|queue| queue.next_hop).filter(|next_hop| !next_hop.is_empty());
        queues.push((name.clone(), next_hop.unwrap_or(name)));
    }
    queues
}

async fn act(Path(id): Path<u64>, Sent { visit, fields }: Sent) -> Answer {
    match change(&visit, &fields, vec![id]).await {
        // What was removed has no page any more.
        Ok(Ok(said)) if fields.text("action").starts_with("remove") => Ok(visit.done("/queues/messages", &said)),
        Ok(Ok(said)) => Ok(visit.done(&format!("/queues/messages/{id}"), &said)),
        Ok(Err(problem)) => {
            visit.need(Role::QueueOperator)?;
            show_message(visit, id, Some((StatusCode::UNPROCESSABLE_ENTITY, problem))).await
        }
        Err(error) => {
            let problem = refusal(error)?;
            show_message(visit, id, Some(problem)).await
        }
    }
}

async fn export(visit: Visit, Path(id): Path<u64>) -> Answer {
    let content = visit.client.export(id).await?;
    let fields = [
        // Never shown by the browser, whatever is in it.
        (header::CONTENT_TYPE, "message/rfc822".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"message-{id}.eml\"")),
    ];
    Ok((fields, content).into_response())
}
