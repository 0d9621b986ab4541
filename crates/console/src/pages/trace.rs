//! Trace: what became of messages and of attempts that were refused; each message with its timeline.
//!
//! Takes the fields of a search, hands on what the API has recorded. Every page is an address that can be shared.

mod timeline;
mod entry;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use gatepost_manage::trace::{TraceEntry, TraceQuery};

use self::entry::Row;
use self::timeline::Timeline;
use crate::fields::Fields;
use crate::layout::{Answer, Page, show, show_as};
use crate::paging;
use crate::problem::Problem;
use crate::search::{SPANS, VERDICTS, query};
use crate::text::{moment, now_ms};
use crate::visit::{Console, Visit};

const AREA: &str = "/trace";

/// The fields that stand folded away until somebody uses one.
const MORE: [&str; 8] = ["sender", "recipient", "peer", "connector", "word", "message_id", "domain", "events"];

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route(AREA, get(list)).route("/trace/{queue_id}", get(message))
}

#[derive(Template)]
#[template(path = "trace.html")]
struct TracePage {
    page: Page,
    asked: Fields,
    problem: Option<String>,
    rows: Vec<Row>,
    /// The next page, as a query.
    next: Option<String>,
    /// The same search from its beginning, as a query.
    here: String,
    is_first: bool,
    cut_short: bool,
    /// Since when messages are recorded.
    oldest: Option<String>,
    has_more: bool,
}

#[derive(Template)]
#[template(path = "trace_message.html")]
struct MessagePage {
    page: Page,
    timeline: Timeline,
    /// The header section, while the message is queued.
    header: Option<String>,
}

async fn list(visit: Visit) -> Answer {
    let asked = paging::asked(&visit.query);
    let here = asked.with("from", "");
    let has_more = MORE.iter().any(|name| asked.get(name).is_some());
    let is_first = asked.get("from").is_none();
    let found = match query(&asked, now_ms()) {
        Ok(wanted) => visit.client.trace(&wanted).await.map_err(Problem::from),
        Err(error) => Err(Problem::refused(StatusCode::BAD_REQUEST, error)),
    };
    let nothing = TracePage {
        page: Page::new(visit, AREA, "Trace"),
        asked,
        problem: None,
        rows: Vec::new(),
        next: None,
        here,
        is_first,
        cut_short: false,
        oldest: None,
        has_more,
    };
    let traced = match found {
        Ok(traced) => traced,
        Err(Problem::Refused { status: StatusCode::BAD_REQUEST, error, .. }) => {
            return show_as(StatusCode::UNPROCESSABLE_ENTITY, &TracePage { problem: Some(error), ..nothing });
        }
        Err(other) => return Err(other),
    };
    let next = traced.next.map(|next| nothing.asked.with("from", &next));
    let rows = traced.entries.iter().map(Row::of).collect();
    let oldest = traced.oldest_ms.map(moment);
    show(&TracePage { rows, next, cut_short: traced.cut_short, oldest, ..nothing })
}

async fn message(visit: Visit, Path(queue_id): Path<u64>) -> Answer {
    let wanted = TraceQuery { queue_id: Some(queue_id), limit: Some(10), ..TraceQuery::default() };
    let traced = visit.client.trace(&wanted).await?;
    let found = traced.entries.iter().find_map(|entry| match entry {
        TraceEntry::Message(message) if message.queue_id == queue_id => Some(message),
        _ => None,
    });
    let Some(found) = found else {
        let since = traced.oldest_ms.map_or("none are kept".to_owned(), moment);
        let error = format!("no message {queue_id} is recorded; records of messages go back to: {since}");
        return Err(Problem::refused(StatusCode::NOT_FOUND, error));
    };
    let timeline = Timeline::of(found);
    // A message that is gone meanwhile has no header any more.
    let header = match found.ended {
        true => None,
        false => visit.client.message(queue_id).await.ok().map(|queued| queued.header),
    };
    let page = Page::new(visit, AREA, format!("Message {queue_id}"));
    show(&MessagePage { page, timeline, header })
}
