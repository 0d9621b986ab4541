//! How the management API says no: an HTTP status, and a sentence for a person.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::resource::Refused;

/// A refusal with its HTTP status, and after how many seconds to ask again where that helps.
pub struct Refusal(pub StatusCode, pub Refused, pub Option<u64>);

impl Refusal {
    /// A refusal of one sentence that ends by itself after so many seconds.
    pub fn later(status: StatusCode, error: impl Into<String>, seconds: u64) -> Refusal {
        Refusal(status, Refused::new(error), Some(seconds))
    }
}

/// Why it was refused: stays beside the answer, for the record of acts.
#[derive(Clone)]
pub struct Cause(pub String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let cause = Cause(self.1.error.clone());
        let problem = Problem {
            kind: "about:blank",
            title: self.0.canonical_reason().unwrap_or("Refused"),
            status: self.0.as_u16(),
            detail: &cause.0,
            refused: &self.1,
        };
        let mut response = (self.0, Json(problem)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        if self.0 == StatusCode::UNAUTHORIZED {
            // Never Basic: a browser would ask its user, keep the password, and send it along for pages of others.
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gatepost\""));
        }
        if let Some(seconds) = self.2 {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(cause);
        response
    }
}

/// The type of a refusal's body.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// A refusal as RFC 9457 has it; what else we say are extension members.
#[derive(Serialize, JsonSchema)]
pub struct Problem<'a> {
    /// Always `about:blank`: the status says which kind it is.
    #[serde(rename = "type")]
    kind: &'a str,
    /// What the status means.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What went wrong, and what to do.
    detail: &'a str,
    #[serde(flatten)]
    refused: &'a Refused,
}

/// What a call answers.
pub type Answer<T> = Result<Json<T>, Refusal>;

/// A refusal of one sentence.
pub fn refuse(status: StatusCode, error: impl Into<String>) -> Refusal {
    Refusal(status, Refused::new(error), None)
}

/// A body that cannot be read: too large, of another type, or not what the call takes.
pub fn unreadable(rejection: JsonRejection) -> Refusal {
    let status = match rejection.status() {
        kept @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE) => kept,
        _ => StatusCode::BAD_REQUEST,
    };
    refuse(status, rejection.body_text())
}

/// Runs what must not stop half-way in a task of its own: a handler is dropped when its caller hangs up.
///
/// # Errors
/// When it panics.
pub async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Refusal> {
    tokio::spawn(work)
        .await
        .map_err(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "that failed unexpectedly; the log has the cause"))
}
