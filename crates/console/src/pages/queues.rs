//! The queue viewer: delivery queues, the messages in them, and what may be done to either.

mod message;
mod messages;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use gatepost_manage::ClientError;
use gatepost_manage::filter::Properties;
use gatepost_manage::properties::QueueRow;
use gatepost_manage::resource::{Queue, QueueAction, QueueState, QueuesQuery, QueuesRequest};
use gatepost_policy::role::Role;

use crate::fields::{Fields, path_part};
use crate::filtering::{FilterForm, added};
use crate::layout::{Answer, Page, show, show_as};
use crate::paging::{Heading, Pager, ROWS, asked, offset};
use crate::problem::refusal;
use crate::text::{ago, ahead, count, counted, moment, now_ms};
use crate::visit::{Console, Sent, Visit};

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route("/queues", get(list).post(act)).merge(messages::routes()).merge(message::routes())
}

/// The columns of the queue viewer, and the properties that they show.
const COLUMNS: [(&str, &str, bool); 8] = [
    ("Next hop domain", "NextHopDomain", false),
    ("Delivery type", "DeliveryType", false),
    ("Status", "Status", false),
    ("Messages", "MessageCount", true),
    ("Next retry", "NextRetryTime", false),
    ("Last retry", "LastRetryTime", false),
    ("Last error", "LastError", false),
    ("Identity", "Identity", false),
];

#[derive(Template)]
#[template(path = "queues.html", blocks = ["rows"])]
struct Queues {
    page: Page,
    filter: FilterForm,
    problem: Option<String>,
    headings: Vec<Heading>,
    rows: Vec<Row>,
    pager: Pager,
    elsewhere: Vec<String>,
    query: String,
    may_act: bool,
    may_read: bool,
}

/// One queue as it is shown.
struct Row {
    identity: String,
    path: String,
    next_hop: String,
    connector: String,
    delivery_type: String,
    status: Status,
    messages: String,
    held: Option<String>,
    next_retry: Option<Moment>,
    last_retry: Option<Moment>,
    last_error: String,
}

/// A state with the look of its badge.
struct Status {
    name: String,
    look: &'static str,
}

impl Status {
    /// By Exchange's word.
    fn of(name: &str) -> Status {
        let look = match name {
            "Active" => "good",
            "Connecting" => "note",
            "Retry" => "warn",
            "Suspended" | "PendingRemove" | "PendingSuspend" => "bad",
            _ => "",
        };
        Status { name: name.to_owned(), look }
    }
}

/// A point in time, near and exact.
struct Moment {
    near: String,
    exact: String,
}

impl Moment {
    fn past(ms: u64, now_ms: u64) -> Moment {
        Moment { near: ago(ms, now_ms), exact: moment(ms) }
    }

    fn coming(ms: u64, now_ms: u64) -> Moment {
        Moment { near: ahead(ms, now_ms), exact: moment(ms) }
    }
}

impl Row {
    fn of(queue: Queue, now_ms: u64) -> Row {
        Row {
            path: path_part(&queue.identity),
            status: Status::of(match queue.state {
                QueueState::Active => "Active",
                QueueState::Connecting => "Connecting",
                QueueState::Ready => "Ready",
                QueueState::Retry => "Retry",
                QueueState::Suspended => "Suspended",
            }),
            messages: count(queue.messages),
            held: (queue.held > 0).then(|| counted(queue.held, "held", "held")),
            next_retry: queue.next_retry_ms.map(|ms| Moment::coming(ms, now_ms)),
            last_retry: queue.last_retry_ms.map(|ms| Moment::past(ms, now_ms)),
            last_error: queue.last_error.unwrap_or_default(),
            identity: queue.identity,
            next_hop: queue.next_hop,
            connector: queue.connector,
            delivery_type: queue.delivery_type,
        }
    }
}

async fn list(visit: Visit) -> Answer {
    if let Some(query) = added(&visit.query) {
        return Ok(Redirect::to(&format!("/queues?{query}")).into_response());
    }
    show_list(visit, None).await
}

/// The list; `problem` is why what was asked of it was not done.
async fn show_list(visit: Visit, problem: Option<(StatusCode, String)>) -> Answer {
    let query = visit.query.clone();
    let asks = QueuesQuery {
        filter: query.get("filter").map(str::to_owned),
        sort: query.get("sort").map(str::to_owned),
        offset: Some(offset(&query)),
        limit: Some(ROWS),
    };
    let mut filter = FilterForm::of(&query, QueueRow::ALL, "Status -eq 'Retry' -and MessageCount -gt 100", &["sort"]);
    let mut status = problem.as_ref().map_or(StatusCode::OK, |(status, _)| *status);
    let (queues, total, elsewhere) = match visit.client.queues(&asks).await {
        Ok(listing) => (listing.queues, listing.total, listing.suspended_elsewhere),
        Err(ClientError::Refused { status: 400, refused }) => {
            filter.problem = Some(refused.error);
            status = StatusCode::UNPROCESSABLE_ENTITY;
            (Vec::new(), 0, Vec::new())
        }
        Err(error) => return Err(error.into()),
    };
    let now_ms = now_ms();
    let list = Queues {
        headings: COLUMNS
            .iter()
            .map(|(name, property, is_number)| Heading::of(&query, name, property, *is_number))
            .collect(),
        pager: Pager::of(&query, queues.len(), total),
        rows: queues.into_iter().map(|queue| Row::of(queue, now_ms)).collect(),
        elsewhere,
        filter,
        problem: problem.map(|(_, problem)| problem),
        query: asked(&query).to_query(),
        may_act: visit.may_send("/queues"),
        may_read: visit.may(Role::HelpDesk),
        page: Page::new(visit, "/queues", "Queues"),
    };
    if list.page.visit.is_part { show(&list.as_rows()) } else { show_as(status, &list) }
}

async fn act(Sent { visit, fields }: Sent) -> Answer {
    let (action, done) = match fields.text("action") {
        "suspend" => (QueueAction::Suspend, "Suspended"),
        "resume" => (QueueAction::Resume, "Resumed"),
        "retry" => (QueueAction::Retry, "Trying again:"),
        "resubmit" => (QueueAction::Resubmit, "Routing anew:"),
        _ => return refuse(visit, "Choose what is to be done by one of the buttons.").await,
    };
    let queues: Vec<String> = fields.all("queue").map(str::to_owned).collect();
    if queues.is_empty() {
        return refuse(visit, "Tick the queues that are meant.").await;
    }
    match visit.client.change_queues(&QueuesRequest { action, queues, filter: None }).await {
        Ok(changed) => {
            let said = format!("{done} {}", names(&changed.queues));
            Ok(visit.done(&back("/queues", &visit.query), &said))
        }
        Err(error) => {
            let problem = refusal(error)?;
            show_list(visit, Some(problem)).await
        }
    }
}

async fn refuse(visit: Visit, problem: &str) -> Answer {
    visit.need(Role::QueueOperator)?;
    show_list(visit, Some((StatusCode::UNPROCESSABLE_ENTITY, problem.to_owned()))).await
}

/// Queues by name, the first few of them.
fn names(queues: &[String]) -> String {
    const NAMED_MAX: usize = 3;
    let named = queues.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match queues.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {}", counted(more as u64, "more queue", "more queues")),
    }
}

/// The list that a form was sent from.
fn back(path: &str, query: &Fields) -> String {
    match asked(query).to_query().as_str() {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}
