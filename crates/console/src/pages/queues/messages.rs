//! Messages that are not at their end: of one queue or of all, and what may be done to many at once.

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use gatepost_manage::ClientError;
use gatepost_manage::filter::Properties;
use gatepost_manage::properties::MessageRow;
use gatepost_manage::resource::{
    CommandRequest, Message, MessageAction, MessagesChanged, MessagesRequest, QueueQuery, RecipientState,
};
use gatepost_policy::role::Role;
use serde_json::Value;

use super::{Moment, Status, back};
use crate::fields::Fields;
use crate::filtering::{FilterForm, added};
use crate::layout::{Answer, Page, show, show_as};
use crate::paging::{Heading, Pager, ROWS, asked, offset};
use crate::problem::refusal;
use crate::text::{bare, counted, now_ms, size};
use crate::visit::{Console, Sent, Visit};

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route("/queues/messages", get(list).post(act))
}

/// What stands above a column, and the field that it is sorted by.
type Column = (&'static str, &'static str);

/// The columns: what the queue viewer has in two of them stands one above the other where there is room for one only.
const COLUMNS: [(Column, Option<Column>); 5] = [
    (("From address", "FromAddress"), Some(("Recipients", "Recipients"))),
    (("Subject", "Subject"), Some(("Source", "SourceIP"))),
    (("Status", "Status"), Some(("Last error", "LastError"))),
    (("Size", "Size"), None),
    (("Received", "DateReceived"), Some(("Expires", "ExpirationTime"))),
];
/// Send connectors that messages are offered to be redirected to: this is asked each time the list is shown.
const CONNECTORS_MAX: usize = 200;
/// Recipients that a row names.
const RECIPIENTS_NAMED_MAX: usize = 2;

#[derive(Template)]
#[template(path = "queue_messages.html", blocks = ["rows"])]
struct Messages {
    page: Page,
    filter: FilterForm,
    problem: Option<String>,
    queue: Option<String>,
    headings: Vec<(Heading, Option<Heading>)>,
    rows: Vec<Row>,
    pager: Pager,
    is_recovering: bool,
    query: String,
    actions: Actions,
}

/// What this visitor can do to messages.
pub struct Actions {
    /// Whether anything.
    pub may_act: bool,
    /// Send connectors to redirect to.
    pub connectors: Vec<String>,
}

impl Actions {
    /// Those of a visitor.
    pub async fn of(visit: &Visit) -> Actions {
        let may_act = visit.may_send("/queues/messages");
        let mut connectors = Vec::new();
        // Whoever cannot be told which connectors there are can do the rest all the same.
        let request = CommandRequest { lean: true, limit: Some(CONNECTORS_MAX), ..CommandRequest::default() };
        if may_act && let Ok(answer) = visit.client.command("Get-SendConnector", &request).await {
            let enabled = answer.output.iter().filter(|record| record["Enabled"] != Value::Bool(false));
            connectors.extend(enabled.filter_map(|record| record["Name"].as_str()).map(str::to_owned));
        }
        Actions { may_act, connectors }
    }
}

/// One message as it is shown.
struct Row {
    id: u64,
    sender: String,
    recipients: String,
    status: Status,
    is_poison: bool,
    size: String,
    subject: String,
    received: Moment,
    expires: Moment,
    source: String,
    last_error: String,
}

impl Row {
    fn of(message: Message, now_ms: u64) -> Row {
        let pending = || message.recipients.iter().filter(|recipient| recipient.state == RecipientState::Pending);
        let named = pending().take(RECIPIENTS_NAMED_MAX).map(|recipient| recipient.address.as_str());
        let mut recipients = named.collect::<Vec<_>>().join(", ");
        if let more @ 1.. = pending().count().saturating_sub(RECIPIENTS_NAMED_MAX) {
            recipients.push_str(&format!(" and {more} more"));
        }
        let error = pending().find_map(|recipient| recipient.next_hop_error.clone().or(recipient.last_reply.clone()));
        Row {
            id: message.id,
            recipients,
            status: Status::of(&message.status),
            is_poison: message.poison,
            size: size(message.size_bytes),
            subject: message.subject.unwrap_or_default(),
            received: Moment::past(message.arrival_ms, now_ms),
            expires: Moment::coming(message.expires_ms, now_ms),
            source: source(message.peer.map(|peer| peer.ip().to_canonical().to_string()), &message.connector),
            last_error: error.unwrap_or_default(),
            sender: bare(&message.reverse_path).to_owned(),
        }
    }
}

/// Where a message has come from.
pub fn source(address: Option<String>, connector: &str) -> String {
    match address {
        Some(address) => format!("{address} by {connector}"),
        None => "this server (a report)".to_owned(),
    }
}

async fn list(visit: Visit) -> Answer {
    if let Some(query) = added(&visit.query) {
        return Ok(Redirect::to(&format!("/queues/messages?{query}")).into_response());
    }
    show_list(visit, None).await
}

async fn show_list(visit: Visit, problem: Option<(StatusCode, String)>) -> Answer {
    let query = visit.query.clone();
    let queue = query.get("queue").map(str::to_owned);
    let of_queue = queue.as_ref().map(|queue| {
        let identity = format!("{}\\{queue}", visit.server).replace('\'', "''");
        format!("Queue -eq '{identity}'")
    });
    let conditions: Vec<&str> = of_queue.as_deref().into_iter().chain(query.get("filter")).collect();
    let asks = QueueQuery {
        filter: (!conditions.is_empty()).then(|| conditions.join(" -and ")),
        sort: query.get("sort").map(str::to_owned),
        offset: Some(offset(&query)),
        limit: Some(ROWS),
        ..QueueQuery::default()
    };
    let mut filter = FilterForm::of(
        &query,
        MessageRow::ALL,
        "FromAddress -like '*@contoso.com' -and Size -gt '5 MB'",
        &["queue", "sort"],
    );
    let mut status = problem.as_ref().map_or(StatusCode::OK, |(status, _)| *status);
    let (messages, total, is_recovering) = match visit.client.queue(&asks).await {
        Ok(listing) => (listing.messages, listing.total, listing.recovering),
        Err(ClientError::Refused { status: 400, refused }) => {
            filter.problem = Some(refused.error);
            status = StatusCode::UNPROCESSABLE_ENTITY;
            (Vec::new(), 0, false)
        }
        Err(error) => return Err(error.into()),
    };
    let now_ms = now_ms();
    let title = match &queue {
        Some(queue) => format!("Messages in queue {queue}"),
        None => "Messages".to_owned(),
    };
    let list = Messages {
        headings: COLUMNS
            .into_iter()
            .map(|((name, property), also)| {
                let also = also.map(|(name, property)| Heading::of(&query, name, property, false));
                (Heading::of(&query, name, property, name == "Size"), also)
            })
            .collect(),
        pager: Pager::of(&query, messages.len(), total),
        rows: messages.into_iter().map(|message| Row::of(message, now_ms)).collect(),
        queue,
        is_recovering,
        filter,
        problem: problem.map(|(_, problem)| problem),
        query: asked(&query).to_query(),
        actions: Actions::of(&visit).await,
        page: Page::new(visit, "/queues", title),
    };
    if list.page.visit.is_part { show(&list.as_rows()) } else { show_as(status, &list) }
}

async fn act(Sent { visit, fields }: Sent) -> Answer {
    let mut ids = Vec::new();
    for id in fields.all("id") {
        match id.parse() {
            Ok(id) => ids.push(id),
            Err(_) => return refuse(visit, "A message is ticked that is none.").await,
        }
    }
    if ids.is_empty() {
        return refuse(visit, "Tick the messages that are meant.").await;
    }
    match change(&visit, &fields, ids).await {
        Ok(Ok(said)) => Ok(visit.done(&back("/queues/messages", &visit.query), &said)),
        Ok(Err(problem)) => refuse(visit, &problem).await,
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

/// Does to messages what the buttons of a form say, and tells what was done, or what is lacking in the form.
///
/// # Errors
/// What the server refuses.
pub async fn change(visit: &Visit, fields: &Fields, ids: Vec<u64>) -> Result<Result<String, String>, ClientError> {
    let (action, done) = match fields.text("action") {
        "suspend" => (MessageAction::Suspend, "Suspended"),
        "resume" => (MessageAction::Resume, "Resumed"),
        "remove-with-report" => (MessageAction::Remove { report: true }, "Removed, with a report to the sender:"),
        "remove" => (MessageAction::Remove { report: false }, "Removed without a report:"),
        "back" => (MessageAction::RedirectBack, "Going by the settings again:"),
        "redirect" => match fields.get("connector") {
            Some(connector) => (MessageAction::Redirect(connector.to_owned()), "Redirected"),
            None => return Ok(Err("choose the send connector to redirect to".to_owned())),
        },
        "retry" => {
            let (mut entries, mut gone) = (0, 0);
            for id in ids {
                match visit.client.retry_message(id).await {
                    Ok(retried) => entries += retried.entries,
                    // Delivered meanwhile, most often.
                    Err(ClientError::Refused { status: 404, .. }) => gone += 1,
                    Err(error) => return Err(error),
                }
            }
            return Ok(Ok(format!("Trying again: {}", counted(entries, "delivery", "deliveries")) + &no_longer(gone)));
        }
        _ => return Ok(Err("choose what is to be done by one of the buttons".to_owned())),
    };
    let changed = visit.client.change_messages(&MessagesRequest { action, ids }).await?;
    Ok(said(done, &changed))
}

/// How many are gone, as the end of a sentence.
fn no_longer(gone: u64) -> String {
    match gone {
        0 => String::new(),
        gone => format!("; {} no longer in the queue", counted(gone, "message is", "messages are")),
    }
}

/// What became of it, in a sentence.
fn said(done: &str, changed: &MessagesChanged) -> Result<String, String> {
    let mut said = format!("{done} {}", counted(changed.messages, "message", "messages"));
    if changed.pending > 0 {
        said.push_str(&format!(
            ", of which {} being sent right now: it happens should that fail",
            if changed.pending == 1 { "1 is".to_owned() } else { format!("{} are", changed.pending) }
        ));
    }
    said.push_str(&no_longer(changed.unknown.len() as u64));
    match changed.failed.first() {
        Some(failed) => Err(format!("{said}; message {} stays as it is: {}", failed.id, failed.error)),
        None => Ok(said),
    }
}
