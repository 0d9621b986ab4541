//! The settings document as text: shown, edited, checked as a file is, put in force as a revision.
//!
//! What is saved is looked at first: where it opens or closes anything, that is shown and confirmed. Who saves a text that
//! was made from another revision than the one in force is shown what has changed meanwhile, and loses nothing.

use askama::Template;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;
use gatepost_manage::ClientError;
use gatepost_manage::resource::{Amended, SettingsDocument, SettingsProblem, SettingsRequest};

use crate::change::Preview;
use crate::confirming::{CONFIRMED, is_seen};
use crate::layout::{Answer, Page, show_as};
use crate::lines::Lines;
use crate::problem::{HAS_CHANGED, Problem};
use crate::text::size;
use crate::visit::{Console, Sent, Visit};

/// A longer document is only shown to those who ask for it.
const SHOWN_BYTES_MAX: usize = 64 * 1024;
/// Largest form, in bytes: a document of 10,000 connectors is a quarter of it.
const FORM_BYTES_MAX: usize = 24 * 1024 * 1024;

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route("/settings", get(document).post(save).layer(DefaultBodyLimit::max(FORM_BYTES_MAX)))
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    page: Page,
    may_change: bool,
    base: u64,
    text: String,
    /// The size of a document that is not shown unasked.
    hidden: Option<String>,
    why: String,
    problem: Option<String>,
    problems: Vec<Place>,
    meanwhile: Option<Meanwhile>,
    looked: Option<Looked>,
}

/// A mistake, with the line that it is in.
struct Place {
    line: usize,
    column: usize,
    text: String,
    message: String,
    remedy: String,
}

/// What others have put in force since the text was begun.
struct Meanwhile {
    from: u64,
    /// What has changed, or why that cannot be told.
    lines: Result<Lines, String>,
}

/// What the text would do.
struct Looked {
    preview: Preview,
    is_changed: bool,
}

/// What was typed.
struct Typed {
    base: u64,
    text: String,
    why: String,
}

async fn document(visit: Visit) -> Answer {
    let bytes_max = if visit.query.has("whole") { usize::MAX } else { SHOWN_BYTES_MAX };
    let SettingsDocument { revision, bytes, text } = visit.client.settings_up_to(bytes_max).await?;
    let hidden = (bytes > bytes_max).then(|| size(bytes as u64));
    let typed = Typed { base: revision, text, why: String::new() };
    show_as(StatusCode::OK, &Settings { hidden, ..settings(visit, typed) })
}

/// The page with nothing said.
fn settings(visit: Visit, typed: Typed) -> Settings {
    Settings {
        may_change: visit.may_send("/settings"),
        page: Page::new(visit, "/settings", "Settings document"),
        base: typed.base,
        text: typed.text,
        hidden: None,
        why: typed.why,
        problem: None,
        problems: Vec::new(),
        meanwhile: None,
        looked: None,
    }
}

async fn save(Sent { visit, fields }: Sent) -> Answer {
    let typed = Typed {
        base: fields.get("base").and_then(|base| base.parse().ok()).unwrap_or_default(),
        text: fields.raw("text").to_owned(),
        why: fields.text("why").to_owned(),
    };
    let mut request = SettingsRequest {
        text: with_line_ends_of(&visit, &typed.text).await?,
        base: typed.base,
        what_if: true,
        why: fields.get("why").map(str::to_owned),
    };
    let looked = match visit.client.put_settings(&request).await {
        Ok(looked) => looked,
        Err(error) => return refused(visit, typed, error).await,
    };
    let preview = Preview::of_document(&looked, Vec::new());
    let is_wanted = fields.has(CONFIRMED) || fields.text("action") == "save";
    if !is_wanted || (preview.is_felt() && !is_seen(&fields, &preview)) {
        let looked = Some(Looked { preview, is_changed: looked.is_changed });
        let problem = fields.has(CONFIRMED).then(|| HAS_CHANGED.to_owned());
        let status = if problem.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
        return show_as(status, &Settings { looked, problem, ..settings(visit, typed) });
    }
    request.what_if = false;
    match visit.client.put_settings(&request).await {
        Ok(Amended { revision: Some(revision), .. }) => {
            Ok(visit.done("/settings", &format!("Revision {revision} is in force.")))
        }
        Ok(_) => Ok(visit.done("/settings", "The document says what was in force already: nothing has changed.")),
        Err(error) => refused(visit, typed, error).await,
    }
}

/// A browser sends lines that end in one way; the document keeps the way that it has.
async fn with_line_ends_of(visit: &Visit, text: &str) -> Result<String, Problem> {
    let in_force = visit.client.settings().await?.text;
    Ok(if in_force.contains("\r\n") { text.replace('\n', "\r\n") } else { text.to_owned() })
}

fn places(text: &str, problems: &[SettingsProblem]) -> Vec<Place> {
    let lines: Vec<&str> = text.lines().collect();
    let place = |problem: &SettingsProblem| Place {
        line: problem.line,
        column: problem.column,
        text: lines.get(problem.line.saturating_sub(1)).copied().unwrap_or_default().to_owned(),
        message: problem.message.clone(),
        remedy: problem.remedy.clone(),
    };
    problems.iter().map(place).collect()
}

async fn refused(visit: Visit, typed: Typed, error: ClientError) -> Answer {
    let ClientError::Refused { status, refused } = error else { return Err(error.into()) };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
    if status == StatusCode::PRECONDITION_FAILED {
        let from = typed.base;
        let (base, lines) = match visit.client.revision_difference(from, None).await {
            Ok(difference) => (difference.new, Ok(Lines::of(&difference.difference))),
            // The revision may have left the history.
            Err(error) => (visit.client.settings().await?.revision, Err(error.to_string())),
        };
        let meanwhile = Some(Meanwhile { from, lines });
        let typed = Typed { base, ..typed };
        return show_as(status, &Settings { meanwhile, ..settings(visit, typed) });
    }
    let problems = places(&typed.text, &refused.problems);
    let problem = if problems.is_empty() {
        refused.error
    } else {
        "Nothing has changed: the text has problems. Each line says what to write instead.".to_owned()
    };
    show_as(status, &Settings { problem: Some(problem), problems, ..settings(visit, typed) })
}
