//! Tokens for programs that administer: made, shown once, removed.

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use gatepost_manage::resource::{NewTokenRequest, TokenShown};

use super::administrators::{RoleChoice, role_choices};
use crate::fields::{Fields, path_part};
use crate::layout::{Answer, Page, show_as};
use crate::problem::refusal;
use crate::text::{ago, moment, now_ms};
use crate::visit::{Console, Sent, Visit};

const DAY_MS: u64 = 86_400_000;

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new()
        .route("/administrators/tokens", get(list).post(add))
        .route("/administrators/tokens/{id}/remove", post(remove))
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct Tokens {
    page: Page,
    rows: Vec<Row>,
    problem: Option<String>,
    secret: Option<String>,
    note: String,
    commands: String,
    days: String,
    roles: Vec<RoleChoice>,
}

struct Row {
    id: String,
    path: String,
    note: String,
    roles: String,
    commands: String,
    made: String,
    used: String,
    expires: String,
}

impl Row {
    fn of(token: TokenShown, now_ms: u64) -> Row {
        Row {
            path: path_part(&token.id),
            note: token.note,
            roles: token.roles.join(", "),
            commands: if token.commands.is_empty() {
                "all that the roles allow".to_owned()
            } else {
                token.commands.join(", ")
            },
            made: format!("{} by {}", ago(token.created_ms, now_ms), token.created_by),
            used: token.last_used_ms.map_or_else(|| "never".to_owned(), |used_ms| ago(used_ms, now_ms)),
            expires: match token.expires_ms {
                None => "never".to_owned(),
                Some(ms) if ms <= now_ms => "expired".to_owned(),
                Some(ms) => moment(ms),
            },
            id: token.id,
        }
    }
}

async fn list(visit: Visit) -> Answer {
    show_list(visit, &Fields::default(), None, None).await
}

async fn show_list(
    visit: Visit,
    typed: &Fields,
    problem: Option<(StatusCode, String)>,
    secret: Option<String>,
) -> Answer {
    let found = visit.client.tokens().await?.tokens;
    let now_ms = now_ms();
    let (status, problem) = problem.map_or((StatusCode::OK, None), |(status, problem)| (status, Some(problem)));
    let tokens = Tokens {
        rows: found.into_iter().map(|token| Row::of(token, now_ms)).collect(),
        problem,
        secret,
        note: typed.text("note").to_owned(),
        commands: typed.text("commands").to_owned(),
        days: typed.text("days").to_owned(),
        roles: role_choices(typed.all("role").collect::<Vec<_>>().into_iter()),
        page: Page::new(visit, "/administrators", "API tokens"),
    };
    show_as(status, &tokens)
}

async fn add(Sent { visit, fields }: Sent) -> Answer {
    let days = match fields.get("days").map(str::parse::<u32>) {
        None => None,
        Some(Ok(days @ 1..)) => Some(u64::from(days)),
        Some(_) => {
            let problem = "The number of days is a whole number from 1 on: leave it empty for a token without an end.";
            let problem = Some((StatusCode::UNPROCESSABLE_ENTITY, problem.to_owned()));
            return show_list(visit, &fields, problem, None).await;
        }
    };
    let request = NewTokenRequest {
        roles: fields.all("role").map(str::to_owned).collect(),
        commands: fields.list("commands"),
        note: fields.text("note").to_owned(),
        expires_ms: days.map(|days| now_ms() + days * DAY_MS),
    };
    match visit.client.add_token(&request).await {
        // Shown once, so it is shown by the answer itself.
        Ok(made) => show_list(visit, &Fields::default(), None, Some(made.secret)).await,
        Err(error) => {
            let problem = refusal(error)?;
            show_list(visit, &fields, Some(problem), None).await
        }
    }
}

async fn remove(Path(id): Path<String>, Sent { visit, .. }: Sent) -> Answer {
    match visit.client.remove_token(&id).await {
        Ok(_) => Ok(visit.done("/administrators/tokens", "The token is of no use any more.")),
        Err(error) => {
            let problem = refusal(error)?;
            show_list(visit, &Fields::default(), Some(problem), None).await
        }
    }
}
