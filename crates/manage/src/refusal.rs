//! How the management API says no: an HTTP status, and a sentence for a person.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::resource::Refused;

/// A refusal with its HTTP status.
pub struct Refusal(pub StatusCode, pub Refused);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// What a call answers.
pub type Answer<T> = Result<Json<T>, Refusal>;

/// A refusal of one sentence.
pub fn refuse(status: StatusCode, error: impl Into<String>) -> Refusal {
    Refusal(status, Refused::new(error))
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
