//! The history of the settings: every revision with who, when and why; what two of them have not in common; putting an
//! earlier one in force again.

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use gatepost_manage::ClientError;
use gatepost_manage::history::Revision;
use gatepost_manage::resource::{Amended, RestoreRequest, RevisionsQuery};
use serde_json::json;

use crate::change::{Call, Preview, is_late};
use crate::confirming::{self, Asked, Back, confirm, is_seen};
use crate::exposure::Exposure;
use crate::fields::Fields;
use crate::layout::{Answer, Page, show};
use crate::lines::Lines;
use crate::problem::Problem;
use crate::text::{ago, moment, now_ms};
use crate::visit::{Console, Sent, Visit};

/// Revisions on a page.
const ROWS: usize = 50;

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new()
        .route("/revisions", get(list))
        .route("/revisions/difference", get(difference))
        .route("/revisions/{number}", get(one))
        .route("/revisions/{number}/restore", get(ask).post(restore))
}

/// One revision as it is shown.
pub struct Row {
    /// Its number.
    pub number: u64,
    /// When, near.
    pub near: String,
    /// When, exactly.
    pub exact: String,
    /// Who, and from where.
    pub who: String,
    /// Why, or else what was done.
    pub why: String,
    /// What was done.
    pub what: String,
    /// Whether it is in force.
    pub is_in_force: bool,
}

impl Row {
    /// Of a revision.
    pub fn of(revision: &Revision, in_force: u64, now_ms: u64) -> Row {
        Row {
            number: revision.number,
            near: ago(revision.at_ms, now_ms),
            exact: moment(revision.at_ms),
            who: format!("{} ({})", revision.author.who, revision.author.from),
            why: revision.reason(),
            what: revision.deed(),
            is_in_force: revision.number == in_force,
        }
    }
}

#[derive(Template)]
#[template(path = "revisions.html")]
struct List {
    page: Page,
    rows: Vec<Row>,
    next: Option<u64>,
}

async fn list(visit: Visit) -> Answer {
    let before = visit.query.get("before").and_then(|before| before.parse().ok());
    let revisions = visit.client.revisions(RevisionsQuery { limit: Some(ROWS), before }).await?;
    let now_ms = now_ms();
    let rows = revisions.revisions.iter().map(|revision| Row::of(revision, revisions.in_force, now_ms)).collect();
    show(&List { rows, next: revisions.next, page: Page::new(visit, "/revisions", "Revisions") })
}

#[derive(Template)]
#[template(path = "revision_difference.html")]
struct Difference {
    page: Page,
    old: u64,
    new: u64,
    lines: Lines,
    exposure: Exposure,
}

async fn difference(visit: Visit) -> Answer {
    let number = |name: &str| visit.query.get(name).and_then(|number| number.parse::<u64>().ok());
    let Some(old) = number("old") else { return Ok(Redirect::to("/revisions").into_response()) };
    // Whichever way round they were ticked, the older one is what was before.
    let (old, new) = match number("new") {
        Some(new) if new < old => (new, Some(old)),
        new => (old, new),
    };
    let found = visit.client.revision_difference(old, new).await?;
    show(&Difference {
        page: Page::new(visit, "/revisions", format!("From revision {old} to {}", found.new)),
        old,
        new: found.new,
        lines: Lines::of(&found.difference),
        exposure: Exposure::of(&found.changes, found.changes_total),
    })
}

#[derive(Template)]
#[template(path = "revision.html")]
struct One {
    page: Page,
    row: Row,
    text: String,
    is_cut: bool,
    before: Option<u64>,
    may_restore: bool,
}

/// Of a longer document the beginning is shown.
const TEXT_BYTES_MAX: usize = 64 * 1024;

async fn one(visit: Visit, Path(number): Path<u64>) -> Answer {
    let found = visit.client.revision(number).await?;
    let around = visit.client.revisions(RevisionsQuery { limit: Some(1), before: Some(number) }).await?;
    let end = found.text.floor_char_boundary(TEXT_BYTES_MAX);
    show(&One {
        row: Row::of(&found.revision, around.in_force, now_ms()),
        is_cut: end < found.text.len(),
        text: found.text[..end].to_owned(),
        before: around.revisions.first().map(|before| before.number),
        may_restore: visit.may_send("/revisions/{number}/restore") && number != around.in_force,
        page: Page::new(visit, "/revisions", format!("Revision {number}")),
    })
}

async fn ask(visit: Visit, Path(number): Path<u64>) -> Answer {
    look_and_ask(visit, &Fields::default(), number, asked(number, String::new())).await
}

/// Shows what it would do by now.
async fn look_and_ask(visit: Visit, fields: &Fields, number: u64, asked: Asked) -> Answer {
    match look(&visit, number).await {
        Ok(looked) => confirm(visit, fields, preview(number, &looked), asked),
        Err(error) => refuse(visit, fields, asked, error),
    }
}

/// What is asked before a revision is put in force again; `why` was typed.
fn asked(number: u64, why: String) -> Asked {
    let (title, place) = (format!("Put revision {number} in force again"), format!("/revisions/{number}"));
    Asked {
        said: vec!["It becomes a new revision. Passwords stay as they are now.".to_owned()],
        is_always: true,
        why: Some(why),
        ..Asked::of("/revisions", title, format!("{place}/restore"), "Put in force", Back::Link(place))
    }
}

fn preview(number: u64, looked: &Amended) -> Preview {
    let call = Call::new("Restore-ConfigurationRevision", json!({ "Identity": number }));
    Preview::of_document(looked, vec![call.line()])
}

fn refuse(visit: Visit, fields: &Fields, asked: Asked, error: ClientError) -> Answer {
    match Problem::from(error) {
        Problem::Refused { status, error, details } => {
            let problems = std::iter::once(error).chain(details).collect();
            confirming::ask(visit, fields, asked, None, (status, problems))
        }
        other => Err(other),
    }
}

async fn look(visit: &Visit, number: u64) -> Result<Amended, ClientError> {
    visit.client.restore(number, &RestoreRequest { what_if: true, ..RestoreRequest::default() }).await
}

/// Puts a revision in force again, unless that would do by now what nobody was shown: what somebody else changes after the
/// last look is refused by its base, and shown, too.
async fn restore(Path(number): Path<u64>, Sent { visit, fields }: Sent) -> Answer {
    let why = fields.get("why").map(str::to_owned);
    let asked = asked(number, fields.text("why").to_owned());
    let preview = match look(&visit, number).await {
        Ok(looked) => preview(number, &looked),
        Err(error) => return refuse(visit, &fields, asked, error),
    };
    if !is_seen(&fields, &preview) {
        return confirm(visit, &fields, preview, asked);
    }
    let request = RestoreRequest { what_if: false, why, base: preview.base };
    match visit.client.restore(number, &request).await {
        Ok(Amended { revision: Some(revision), .. }) => {
            Ok(visit.done("/revisions", &format!("Revision {number} is in force again, as revision {revision}.")))
        }
        Ok(_) => Ok(visit.done("/revisions", "It says what was in force already: nothing has changed.")),
        Err(late) if is_late(&late) => look_and_ask(visit, &fields, number, asked).await,
        Err(error) => refuse(visit, &fields, asked, error),
    }
}
