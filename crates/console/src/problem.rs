//! Why there is no page: what the server refuses, in the page's own form, with the way on.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use gatepost_manage::ClientError;
use gatepost_manage::resource::SettingsProblem;

use crate::assets;
use crate::fields::path_part;

/// Why there is no page.
#[derive(Debug)]
pub enum Problem {
    /// Whoever asks is not signed in.
    SignIn {
        /// Where they want to go.
        wanted: String,
        /// Whether a script asks for a part of a page.
        is_part: bool,
    },
    /// The server says no.
    Refused {
        /// The status.
        status: StatusCode,
        /// One sentence, with what to do.
        error: String,
        /// All that is wrong, each with its place.
        details: Vec<String>,
    },
}

/// What is said of a change that would do by now what nobody was shown.
pub const HAS_CHANGED: &str = "Nothing was done: something has changed since you looked. This is what it would do now.";

impl Problem {
    /// A refusal of the console itself.
    pub fn refused(status: StatusCode, error: impl Into<String>) -> Problem {
        Problem::Refused { status, error: error.into(), details: Vec::new() }
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Problem {
        match error {
            ClientError::Refused { status, refused } => Problem::Refused {
                status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                details: refused.problems.iter().map(place_and_remedy).collect(),
                error: refused.error,
            },
            other => Problem::refused(StatusCode::INTERNAL_SERVER_ERROR, other.to_string()),
        }
    }
}

/// The status and the words of a refusal, for the page that was sent; what is none stays an error.
///
/// # Errors
/// What is no refusal: the answer did not come.
pub fn refusal(error: ClientError) -> Result<(StatusCode, String), Problem> {
    match error {
        ClientError::Refused { status, refused } => {
            Ok((StatusCode::from_u16(status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), refused.error))
        }
        other => Err(other.into()),
    }
}

fn place_and_remedy(problem: &SettingsProblem) -> String {
    let SettingsProblem { line, column, message, remedy, .. } = problem;
    format!("line {line}, column {column}: {message}; {remedy}")
}

/// What is said of a refusal. It goes with the answer, for those who show it in a frame.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// One sentence, with what to do.
    pub error: String,
    /// All that is wrong, each with its place.
    pub details: Vec<String>,
}

impl Refusal {
    /// One without places.
    pub fn of(status: StatusCode, error: impl Into<String>) -> Refusal {
        Refusal { status, error: error.into(), details: Vec::new() }
    }

    /// The heading above it.
    pub fn title(&self) -> &'static str {
        match self.status {
            StatusCode::FORBIDDEN => "You may not do this",
            StatusCode::NOT_FOUND => "There is nothing here",
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => "Something has changed meanwhile",
            StatusCode::TOO_MANY_REQUESTS => "Not now",
            status if status.is_client_error() => "This cannot be done",
            _ => "Something went wrong",
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    assets: &'a str,
    refusal: &'a Refusal,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Problem::SignIn { wanted, is_part } => {
                let place = match wanted.as_str() {
                    "/" => "/sign-in".to_owned(),
                    wanted => format!("/sign-in?then={}", path_part(wanted)),
                };
                if is_part {
                    // A part of a page must not become the page for signing in.
                    let go = HeaderValue::try_from(place).unwrap_or(HeaderValue::from_static("/sign-in"));
                    return (StatusCode::UNAUTHORIZED, [(HeaderName::from_static("hx-redirect"), go)]).into_response();
                }
                Redirect::to(&place).into_response()
            }
            Problem::Refused { status, error, details } => {
                let refusal = Refusal { status, error, details };
                let page = ProblemPage { assets: &assets::VERSION, refusal: &refusal };
                let mut response = match page.render() {
                    Ok(page) => (status, Html(page)).into_response(),
                    Err(_) => {
                        let text = refusal.error.clone();
                        (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
                    }
                };
                response.extensions_mut().insert(refusal);
                response
            }
        }
    }
}
