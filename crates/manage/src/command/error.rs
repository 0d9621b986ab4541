//! Why a command does not answer, by culprit.

use axum::http::StatusCode;

use crate::refusal::Refusal;
use crate::resource::Refused;

/// Why a command was not run, or changed nothing. `Display` is for the person who wrote it.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Something in its parameters.
    #[error("{0}")]
    Wrong(String),
    /// What it is about is not there.
    #[error("{0}")]
    NotFound(String),
    /// What it would make is there already, or it does not fit what is there.
    #[error("{0}")]
    Conflict(String),
    /// Somebody has changed the settings since the caller looked.
    #[error("{0}")]
    Late(String),
    /// The caller's role does not suffice.
    #[error("{0}")]
    Forbidden(String),
    /// The settings as they would become are refused.
    #[error("{}", .0.error)]
    Refused(Box<Refused>),
    /// The disk, or a bug of ours.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    /// The same of what a parameter names, where it may be about anything.
    pub fn of(self, parameter: &str) -> CommandError {
        match self {
            CommandError::Wrong(error) => CommandError::Wrong(format!("{parameter}: {error}")),
            CommandError::NotFound(error) => CommandError::NotFound(format!("{parameter}: {error}")),
            other => other,
        }
    }
}

impl From<Refusal> for CommandError {
    /// What the calls of the API say in HTTP's words.
    fn from(Refusal(status, refused, _): Refusal) -> CommandError {
        let error = refused.error;
        match status {
            StatusCode::NOT_FOUND => CommandError::NotFound(error),
            StatusCode::CONFLICT => CommandError::Conflict(error),
            StatusCode::PRECONDITION_FAILED => CommandError::Late(error),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => CommandError::Forbidden(error),
            status if status.is_server_error() => CommandError::Failed(error),
            _ => CommandError::Wrong(error),
        }
    }
}
