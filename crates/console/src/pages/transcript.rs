//! Live transcript: what a connector or a peer says, line by line, as it is said.
//!
//! Takes whom to listen to, hands on a page whose script listens, and the lines that it listens to, as the API has them.

use askama::Template;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use form_urlencoded::Serializer;
use gatepost_manage::transcript::TranscriptQuery;
use gatepost_policy::role::Role;

use crate::fields::Fields;
use crate::layout::{Answer, Page, show, show_as};
use crate::problem::Problem;
use crate::visit::{Console, Visit};

const AREA: &str = "/transcript";
const LINES: &str = "/transcript/lines";

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route(AREA, get(form)).route(LINES, get(lines))
}

#[derive(Template)]
#[template(path = "transcript.html")]
struct TranscriptPage {
    page: Page,
    /// What was typed.
    asked: Fields,
    problem: Option<String>,
    /// Where the lines come from, once it is known whose.
    lines: Option<String>,
}

fn query(fields: &Fields) -> TranscriptQuery {
    let text = |name: &str| fields.get(name).map(str::to_owned);
    TranscriptQuery { connector: text("connector"), peer: text("peer") }
}

/// Where a page listens.
fn address(query: &TranscriptQuery) -> String {
    let mut pairs = Serializer::new(format!("{LINES}?"));
    for (name, value) in [("connector", &query.connector), ("peer", &query.peer)] {
        pairs.extend_pairs(value.iter().map(|value| (name, value)));
    }
    pairs.finish()
}

async fn form(visit: Visit) -> Answer {
    visit.need(Role::HelpDesk)?;
    let asked = visit.query.clone();
    let query = query(&asked);
    let page = |visit: Visit, asked: Fields| {
        let page = Page::new(visit, AREA, "Live transcript");
        TranscriptPage { page, asked, problem: None, lines: None }
    };
    if query == TranscriptQuery::default() && !asked.has("connector") && !asked.has("peer") {
        return show(&page(visit, asked));
    }
    // A script cannot read why it is refused: whether one could listen is asked here, and listened to by the script.
    match visit.client.transcript(&query).await {
        Ok(_) => show(&TranscriptPage { lines: Some(address(&query)), ..page(visit, asked) }),
        Err(error) => match Problem::from(error) {
            Problem::Refused { status, error, .. }
                if [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE]
                    .contains(&status) =>
            {
                let status =
                    if status == StatusCode::SERVICE_UNAVAILABLE { status } else { StatusCode::UNPROCESSABLE_ENTITY };
                show_as(status, &TranscriptPage { problem: Some(error), ..page(visit, asked) })
            }
            other => Err(other),
        },
    }
}

async fn lines(visit: Visit) -> Answer {
    let lines = visit.client.transcript(&query(&visit.query)).await?;
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], lines).into_response())
}
