//! Explain: what would become of a message, and why a recorded attempt was refused.
//!
//! Takes the fields of a question or the id of a decision, hands on what the API explains.

mod recorded;
mod grounds;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use gatepost_manage::asked::ExplanationQuery;
use gatepost_manage::decision::id_in;

use self::grounds::{Attempt, Grounds, narrowest};
use self::recorded::Recorded;
use crate::fields::{Fields, path_part};
use crate::layout::{Answer, Page, show, show_as};
use crate::problem::Problem;
use crate::text::now_ms;
use crate::visit::{Console, Visit};

const AREA: &str = "/explain";

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route(AREA, get(form)).route("/explain/{id}", get(decision))
}

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    page: Page,
    /// What was typed.
    asked: Fields,
    problem: Option<String>,
    grounds: Option<Grounds>,
    /// The narrowest entry, as the query of the page that makes it.
    narrowest: Option<String>,
    is_public: bool,
    may_change: bool,
}

impl ExplainPage {
    /// The form as it was filled in.
    fn of(visit: Visit, asked: Fields) -> ExplainPage {
        let may_change = visit.may_send("/device");
        let page = Page::new(visit, AREA, "Explain");
        ExplainPage { page, asked, problem: None, grounds: None, narrowest: None, is_public: false, may_change }
    }
}

#[derive(Template)]
#[template(path = "decision.html")]
struct DecisionPage {
    page: Page,
    recorded: Recorded,
    may_change: bool,
}

/// The question that the fields ask.
fn question(fields: &Fields) -> ExplanationQuery {
    let text = |name: &str| fields.get(name).map(str::to_owned);
    ExplanationQuery {
        peer: fields.text("peer").to_owned(),
        local: text("local"),
        sender: fields.text("sender").to_owned(),
        recipient: fields.text("recipient").to_owned(),
        user: text("user"),
        tls: fields.has("tls").then_some(true),
        certificate: text("certificate"),
        size: text("size"),
        header_from: text("header_from"),
        header_sender: text("header_sender"),
        at: text("at"),
    }
}

async fn form(visit: Visit) -> Answer {
    let asked = visit.query.clone();
    if let Some(text) = asked.get("decision") {
        let Some(id) = id_in(text) else {
            let problem = "no id of a decision stands there: it has 12 hexadecimal digits, as in 550 5.7.1 Unable to relay \
                           [1f3a9c04b27e]";
            let shown = ExplainPage { problem: Some(problem.to_owned()), ..ExplainPage::of(visit, asked) };
            return show_as(StatusCode::UNPROCESSABLE_ENTITY, &shown);
        };
        return Ok(Redirect::to(&format!("/explain/{}", path_part(&id))).into_response());
    }
    if asked.get("peer").is_none() && asked.get("recipient").is_none() {
        return show(&ExplainPage::of(visit, asked));
    }
    match visit.client.explanation(&question(&asked)).await {
        Ok(explained) => {
            let attempt = Attempt { sender: asked.get("sender"), recipient: asked.get("recipient") };
            let narrowest = narrowest(&explained, &attempt, now_ms());
            let (grounds, is_public) = (Some(Grounds::of(&explained)), explained.public);
            show(&ExplainPage { grounds, narrowest, is_public, ..ExplainPage::of(visit, asked) })
        }
        Err(error) => match Problem::from(error) {
            Problem::Refused { status: StatusCode::BAD_REQUEST, error, .. } => {
                let shown = ExplainPage { problem: Some(error), ..ExplainPage::of(visit, asked) };
                show_as(StatusCode::UNPROCESSABLE_ENTITY, &shown)
            }
            other => Err(other),
        },
    }
}

async fn decision(visit: Visit, Path(id): Path<String>) -> Answer {
    let Some(id) = id_in(&id) else {
        let error = "the id of a decision has 12 hexadecimal digits, as the reply shows them in brackets";
        return Err(Problem::refused(StatusCode::NOT_FOUND, error));
    };
    let explained = visit.client.decision_explained(&id).await?;
    let recorded = Recorded::of(&explained);
    let may_change = visit.may_send("/device");
    show(&DecisionPage { page: Page::new(visit, AREA, format!("Decision {id}")), recorded, may_change })
}
