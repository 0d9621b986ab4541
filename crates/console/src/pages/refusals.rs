//! Refusals: who was not let in, newest first, searchable; each leads to its explanation.

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use gatepost_manage::decision::Decision;
use gatepost_manage::recomputed::name_of;
use gatepost_manage::trace::{TraceEntry, TraceQuery, TraceVerdict};
use gatepost_policy::public_address::is_public;

use crate::fields::Fields;
use crate::layout::{Answer, Page, show, show_as};
use crate::paging;
use crate::problem::Problem;
use crate::search::{SPANS, query};
use crate::text::{bare, count, moment, now_ms};
use crate::visit::{Console, Visit};

const AREA: &str = "/refusals";

/// The route.
pub fn routes() -> Router<Console> {
    Router::new().route(AREA, get(list))
}

#[derive(Template)]
#[template(path = "refusals.html", blocks = ["rows"])]
struct Refusals {
    page: Page,
    /// What was typed.
    asked: Fields,
    problem: Option<String>,
    rows: Vec<Row>,
    /// The next page, as a query.
    next: Option<String>,
    /// The same search from its beginning, as a query.
    here: String,
    is_first: bool,
    cut_short: bool,
}

struct Row {
    id: String,
    when: String,
    peer: String,
    is_public: bool,
    hello: String,
    sender: String,
    recipient: String,
    connector: String,
    reason: String,
    stage: &'static str,
    times: Option<String>,
}

fn row(decision: &Decision) -> Row {
    let recipient = decision.refused_recipient.as_ref().or(decision.recipients.first());
    let reason = decision.reason.as_deref().or(decision.reply.as_deref()).unwrap_or("closed without a word");
    Row {
        id: decision.id.clone(),
        when: moment(decision.time_ms),
        peer: decision.peer.ip().to_string(),
        is_public: is_public(decision.peer.ip()),
        hello: decision.hello.clone().unwrap_or_default(),
        sender: decision.sender.as_deref().map(bare).unwrap_or_default().to_owned(),
        recipient: recipient.cloned().unwrap_or_default(),
        connector: decision.connector.clone().unwrap_or_default(),
        reason: reason.to_owned(),
        stage: name_of(decision.command),
        times: decision.count.map(count),
    }
}

async fn list(visit: Visit) -> Answer {
    let asked = paging::asked(&visit.query);
    let here = asked.with("from", "");
    let (is_first, is_part) = (asked.get("from").is_none(), visit.is_part);
    let found = match query(&asked, now_ms()) {
        Ok(wanted) => {
            let wanted = TraceQuery { verdict: Some(TraceVerdict::Refused), ..wanted };
            visit.client.trace(&wanted).await.map_err(Problem::from)
        }
        Err(error) => Err(Problem::refused(StatusCode::BAD_REQUEST, error)),
    };
    let page = Page::new(visit, AREA, "Refusals");
    let nothing =
        Refusals { page, asked, problem: None, rows: Vec::new(), next: None, here, is_first, cut_short: false };
    let traced = match found {
        Ok(traced) => traced,
        Err(Problem::Refused { status: StatusCode::BAD_REQUEST, error, .. }) => {
            return show_as(StatusCode::UNPROCESSABLE_ENTITY, &Refusals { problem: Some(error), ..nothing });
        }
        Err(other) => return Err(other),
    };
    let rows = traced.entries.iter().filter_map(|entry| match entry {
        TraceEntry::Refusal(decision) => Some(row(decision)),
        _ => None,
    });
    let next = traced.next.map(|next| nothing.asked.with("from", &next));
    let listed = Refusals { rows: rows.collect(), next, cut_short: traced.cut_short, ..nothing };
    if is_part { show(&listed.as_rows()) } else { show(&listed) }
}
