//! What is asked of queues and of the messages in them, and what is done to them: behind the calls of the API and behind the
//! commands alike.
//!
//! Takes questions and requests, hands on what the running server says and does. What changes something is logged with who
//! asked. Never decides anything about mail.

use std::sync::Arc;

use axum::http::StatusCode;
use gatepost_mail::{MessageId, Priority};
use gatepost_transport::Control;
use gatepost_transport::listing::{self, DeliveryType, ExportError, QueueState, QueueStatus, Which, Wish};

use crate::access::Actor;
use crate::filter::{Filter, Mistake, Order};
use crate::properties::{MessageRow, OF_HEADER, QueueRow};
use crate::refusal::{Refusal, refuse, to_the_end};
use crate::resource::{
    FailedChange, Message, MessageAction, MessageDetail, MessagesChanged, MessagesRequest, QUEUE_LIMIT_DEFAULT,
    QUEUE_LIMIT_MAX, Queue, QueueAction, QueueListing, QueueQuery, QueuesChanged, QueuesListing, QueuesQuery,
    QueuesRequest,
};

/// The queue of what has no route yet.
const SUBMISSION: &str = "Submission";

fn bad(mistake: Mistake) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, mistake.to_string())
}

fn limit(asked: Option<usize>) -> Result<usize, Refusal> {
    let limit = asked.unwrap_or(QUEUE_LIMIT_DEFAULT);
    if limit > QUEUE_LIMIT_MAX {
        let error = format!("limit is at most {QUEUE_LIMIT_MAX}: narrow the listing by a filter, or go on with offset");
        return Err(refuse(StatusCode::BAD_REQUEST, error));
    }
    Ok(limit)
}

/// The queues that a question is about, in the order that it wants, however many.
///
/// # Errors
/// 400: a filter or an order that cannot be read.
pub fn matching_in_order(
    control: &Control,
    queues: Vec<QueueStatus>,
    query: &QueuesQuery,
) -> Result<Vec<QueueStatus>, Refusal> {
    let server = control.settings().server.name.to_string();
    let mut matching = matching(queues, &server, query.filter.as_deref())?;
    if let Some(sort) = &query.sort {
        let order = Order::parse::<QueueRow<'_>>(sort).map_err(bad)?;
        matching.sort_by(|a, b| {
            let [a, b] = [a, b].map(|queue| QueueRow { server: &server, queue });
            order.compare(&a, &b)
        });
    }
    Ok(matching)
}

/// The same as one page, as the API hands it on.
///
/// # Errors
/// 400: a filter or an order that cannot be read, or a limit beyond [`QUEUE_LIMIT_MAX`].
pub fn queues(control: &Control, query: &QueuesQuery) -> Result<QueuesListing, Refusal> {
    let limit = limit(query.limit)?;
    let server = control.settings().server.name.to_string();
    let matching = matching_in_order(control, control.queues(), query)?;
    let total = matching.len() as u64;
    let there: Vec<String> = matching.iter().map(|queue| queue.name.clone()).collect();
    let elsewhere = control.suspended_queues().into_iter().filter(|name| !there.contains(name));
    let suspended_elsewhere = match query.filter {
        None => elsewhere.map(|name| next_hop_of(&name).to_owned()).collect(),
        Some(_) => Vec::new(),
    };
    let shown = matching.into_iter().skip(query.offset.unwrap_or(0)).take(limit);
    Ok(QueuesListing { server, total, queues: shown.map(Queue::from).collect(), suspended_elsewhere })
}

/// A queue's name is its connector and its next hop, or one word.
pub fn next_hop_of(name: &str) -> &str {
    name.split_once('\t').map_or(name, |(_, next_hop)| next_hop)
}

/// The queues that there are, and Submission, which is there whether anything waits in it or not.
pub fn with_submission(control: &Control) -> Vec<QueueStatus> {
    let mut queues = control.queues();
    if !queues.iter().any(|queue| queue.identity == SUBMISSION) {
        let name = SUBMISSION.to_lowercase();
        let suspended = control.suspended_queues().contains(&name);
        queues.insert(
            0,
            QueueStatus {
                identity: SUBMISSION.to_owned(),
                next_hop: SUBMISSION.to_owned(),
                name,
                delivery_type: DeliveryType::Undefined,
                suspended,
                held: 0,
                deferred: 0,
                by_priority: [(0, 0); 3],
                retry_count: 0,
                first_retry_ms: None,
                last_retry_ms: None,
                incoming_rate: 0.0,
                outgoing_rate: 0.0,
                connector: String::new(),
                state: if suspended { QueueState::Suspended } else { QueueState::Ready },
                messages: 0,
                connections: 0,
                last_error: None,
                next_retry_ms: None,
            },
        );
    }
    queues
}

fn matching(mut queues: Vec<QueueStatus>, server: &str, filter: Option<&str>) -> Result<Vec<QueueStatus>, Refusal> {
    let filter = filter.map(Filter::parse::<QueueRow<'_>>).transpose().map_err(bad)?;
    if let Some(filter) = filter {
        queues.retain(|queue| filter.matches(&QueueRow { server, queue }));
    }
    Ok(queues)
}

/// The names of the queues that a request is about.
///
/// # Errors
/// 400 and 404: none is named, or no such queue.
pub fn meant(control: &Control, request: &QueuesRequest) -> Result<Vec<String>, Refusal> {
    let server = control.settings().server.name.to_string();
    let mut names = Vec::new();
    if request.filter.is_some() {
        names.extend(
            matching(control.queues(), &server, request.filter.as_deref())?.into_iter().map(|queue| queue.name),
        );
    }
    for wanted in &request.queues {
        let found = named(control, &server, wanted);
        if found.is_empty() {
            let error = format!(
                "there is no queue `{wanted}`: write an identity or a next hop as `gatepost queue status` shows it"
            );
            return Err(refuse(StatusCode::NOT_FOUND, error));
        }
        names.extend(found);
    }
    if names.is_empty() && request.filter.is_none() {
        return Err(refuse(StatusCode::BAD_REQUEST, "name queues, or give a filter"));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Does something to queues. When it is through, what it did survives a power cut.
///
/// # Errors
/// 400 and 404 as [`meant`] has them, 500 where the disk fails: nothing has changed then.
pub async fn change_queues(control: &Control, actor: &Actor, request: QueuesRequest) -> Result<QueuesChanged, Refusal> {
    let names = meant(control, &request)?;
    let control = control.clone();
    let (asked, action, who) = (names.clone(), request.action, actor.to_string());
    let entries = to_the_end(async move {
        match action {
            QueueAction::Suspend => control.suspend_queues(asked, true).await.map(|_| 0),
            QueueAction::Resume => control.suspend_queues(asked, false).await.map(|_| 0),
            QueueAction::Retry => Ok(control.retry(Which::Queues(asked.into_iter().collect()), &who).await as u64),
            QueueAction::Resubmit => Ok(control.resubmit(asked.into_iter().collect()).await),
        }
    });
    let entries = entries.await?.map_err(|error| {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("nothing has changed, because the disk fails: {error}"))
    })?;
    let queues: Vec<String> = names.iter().map(|name| next_hop_of(name).to_owned()).collect();
    tracing::info!(?action, queues = queues.join(", "), entries, %actor, "queues were changed");
    Ok(QueuesChanged { queues, entries })
}

/// The names of the queues that an identity or a next hop stands for.
fn named(control: &Control, server: &str, wanted: &str) -> Vec<String> {
    let wanted = wanted.trim();
    let own = wanted.rsplit_once('\\').filter(|(name, _)| name.eq_ignore_ascii_case(server)).map(|(_, own)| own);
    let wanted = own.unwrap_or(wanted);
    // There when it is wanted, whether anything waits or not.
    if wanted.eq_ignore_ascii_case(SUBMISSION) || wanted.eq_ignore_ascii_case("Unreachable") {
        return vec![wanted.to_lowercase()];
    }
    let mut names: Vec<String> = control
        .queues()
        .into_iter()
        .filter(|queue| queue.identity.eq_ignore_ascii_case(wanted) || queue.next_hop.eq_ignore_ascii_case(wanted))
        .map(|queue| queue.name)
        .collect();
    let suspended = control.suspended_queues().into_iter();
    names.extend(suspended.filter(|name| next_hop_of(name).eq_ignore_ascii_case(wanted)));
    names
}

/// The messages that a question is about, in the order that it wants.
///
/// # Errors
/// 400: a filter or an order that cannot be read, or a limit beyond [`QUEUE_LIMIT_MAX`].
pub async fn messages(control: &Control, query: QueueQuery) -> Result<QueueListing, Refusal> {
    let limit = limit(query.limit)?;
    let filter = query.filter.as_deref().map(Filter::parse::<MessageRow<'_>>).transpose().map_err(bad)?;
    let order = query.sort.as_deref().map(Order::parse::<MessageRow<'_>>).transpose().map_err(bad)?;
    let reads_header = OF_HEADER.iter().any(|name| {
        filter.as_ref().is_some_and(|filter| filter.asks_for::<MessageRow<'_>>(name))
            || order.as_ref().is_some_and(|order| order.asks_for::<MessageRow<'_>>(name))
    });
    let picks = listing::Picks {
        matches: filter
            .map(|filter| -> listing::Matches { Arc::new(move |message| filter.matches(&MessageRow(message))) }),
        order: order
            .map(|order| -> listing::Order { Arc::new(move |a, b| order.compare(&MessageRow(a), &MessageRow(b))) }),
        reads_header,
    };
    let filter = listing::QueueFilter {
        picks,
        offset: query.offset.unwrap_or(0),
        next_hop: query.next_hop,
        sender: query.sender,
        recipient: query.recipient,
        limit,
    };
    // Asked before: what is read meanwhile may be in the listing, and nothing that is not is said to be.
    let recovering = control.is_recovering();
    let listing = control.queue(filter).await;
    let messages = listing.messages.into_iter().map(Message::from).collect();
    Ok(QueueListing { total: listing.total, messages, recovering })
}

/// One message with its header section.
///
/// # Errors
/// 404.
pub async fn message(control: &Control, id: MessageId) -> Result<MessageDetail, Refusal> {
    let Some(detail) = control.message(id).await else {
        return Err(unknown(control, id));
    };
    Ok(MessageDetail { message: detail.message.into(), header: detail.header })
}

/// The whole of one message, as it lies in the queue.
///
/// # Errors
/// 404, 409 where it is not suspended, 413, 500.
pub async fn export(control: &Control, actor: &Actor, id: MessageId) -> Result<Vec<u8>, Refusal> {
    let exported = control.export(id, &actor.to_string()).await.map_err(|error| match error {
        ExportError::Unknown(id) => unknown(control, id),
        ExportError::NotSuspended(_) | ExportError::InFlight(_) => refuse(StatusCode::CONFLICT, error.to_string()),
        ExportError::TooLarge(..) => refuse(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        ExportError::Disk(..) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    })?;
    tracing::info!(queue_id = id.0, %actor, "message exported");
    Ok(exported)
}

/// Does something to messages. When it is through, what it did survives a power cut.
///
/// # Errors
/// 400, 404, 500.
pub async fn change(control: &Control, actor: &Actor, request: MessagesRequest) -> Result<MessagesChanged, Refusal> {
    let MessagesRequest { action, ids } = request;
    if ids.len() > QUEUE_LIMIT_MAX {
        let error = format!("at most {QUEUE_LIMIT_MAX} messages at a time: ask several times");
        return Err(refuse(StatusCode::BAD_REQUEST, error));
    }
    let wish = wish(control, &action)?;
    let control = control.clone();
    let ids = ids.into_iter().map(MessageId).collect();
    let who = actor.to_string();
    let changed = to_the_end(async move { control.change(ids, wish, &who).await }).await?;
    let changed = changed.map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let (messages, pending) = (changed.messages, changed.pending);
    tracing::info!(?action, messages, pending, %actor, "queued messages were changed");
    Ok(MessagesChanged {
        messages,
        pending,
        unknown: changed.unknown.into_iter().map(|id| id.0).collect(),
        failed: changed.failed.into_iter().map(|(id, error)| FailedChange { id: id.0, error }).collect(),
    })
}

fn wish(control: &Control, action: &MessageAction) -> Result<Wish, Refusal> {
    Ok(match action {
        MessageAction::Suspend => Wish::Suspend,
        MessageAction::Resume => Wish::Resume,
        MessageAction::RedirectBack => Wish::Redirect(None),
        MessageAction::Redirect(connector) => {
            let settings = control.settings();
            let is_meant = |name: &str| name.eq_ignore_ascii_case(connector);
            match settings.send_connectors.iter().find(|known| is_meant(&known.name)) {
                Some(known) if known.enabled => Wish::Redirect(Some(known.name.clone())),
                Some(known) => {
                    let error =
                        format!("the send connector {} is disabled: enable it first, or name another", known.name);
                    return Err(refuse(StatusCode::BAD_REQUEST, error));
                }
                None => {
                    let names: Vec<&str> = settings.send_connectors.iter().map(|known| &*known.name).collect();
                    let error = format!(
                        "there is no send connector `{connector}`: write one of {}",
                        if names.is_empty() { "none, as there is none".to_owned() } else { names.join(", ") }
                    );
                    return Err(refuse(StatusCode::NOT_FOUND, error));
                }
            }
        }
        MessageAction::Prioritize(name) => {
            let known = Priority::ALL.into_iter().find(|known| known.to_string().eq_ignore_ascii_case(name));
            let Some(priority) = known else {
                let error = format!("there is no priority `{name}`: write High, Normal or Low");
                return Err(refuse(StatusCode::BAD_REQUEST, error));
            };
            Wish::Prioritize(Some(priority))
        }
        MessageAction::Remove { report } => Wish::Remove { with_report: *report },
    })
}

/// What to say of a message that is not there.
pub fn unknown(control: &Control, id: MessageId) -> Refusal {
    let error = if control.is_recovering() {
        format!(
            "there is no message {id} in the queue yet: that of the last run is still being read; `gatepost status` says \
             how much is left"
        )
    } else {
        format!("there is no message {id} in the queue: `gatepost trace {id}` tells what became of it")
    };
    refuse(StatusCode::NOT_FOUND, error)
}
