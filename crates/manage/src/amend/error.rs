//! Why settings are not changed.
//!
//! Takes what went wrong in any step, hands on what to say of it and as which HTTP status. Decides nothing.

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use gatepost_policy::settings::Problem;

use crate::data_folder::DataFolderError;
use crate::document::LoadError;
use crate::edit::EditError;
use crate::reload::ReloadError;
use crate::resource::{Refused, SettingsProblem};
use crate::transaction::TransactionError;

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// The edit does not fit the document.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The document would have problems.
    #[error("the settings would have problems: {}", told(.0))]
    Problems(Box<Faulty>),
    /// The change is about who may administer, and the one who makes it may not say that.
    #[error("{0}")]
    Forbidden(String),
    /// The file cannot be replaced.
    #[error(
        "the settings file {path} is read-only (container?): {why}; change it where it comes from and run `gatepost reload`, or let the server write its folder",
        path = .path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// How that is known.
        why: String,
    },
    /// Somebody edited the file, and it was not reloaded.
    #[error(
        "{path} was changed by hand since it was put in force, and nothing of that is lost: run `gatepost reload` to put it in force, then make this change again{}",
        kept_as(.kept.as_deref()),
        path = .path.display()
    )]
    ChangedByHand {
        /// The file.
        path: PathBuf,
        /// Where the document with this change is kept; none if there were too many, or the disk did not take it.
        kept: Option<PathBuf>,
    },
    /// The caller looked at an older revision.
    #[error(
        "revision {newest} is in force, by {by}, and this change was made for revision {base}: look again, then make it again"
    )]
    NotNewest {
        /// What the caller looked at.
        base: u64,
        /// What is in force.
        newest: u64,
        /// Whose it is.
        by: String,
    },
    /// No such transaction, or no room.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// No such revision, or it is damaged.
    #[error("there is no revision {0}: `gatepost revisions` lists those that are kept")]
    NoRevision(u64),
    /// The server cannot put it in force.
    #[error(transparent)]
    Apply(#[from] ReloadError),
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The disk did not take it.
    #[error("the disk does not take the change, so nothing was changed: {0}")]
    Disk(std::io::Error),
    /// A panic; our bug.
    #[error("that failed unexpectedly; the log has the cause")]
    Panicked,
}

/// A document that is not put in force, with its problems.
pub type Faulty = crate::document::Faulty;

fn told(faulty: &Faulty) -> String {
    let errors = errors(faulty);
    let shown: Vec<_> =
        errors.clone().take(3).map(|problem| format!("{}; {}", problem.message, problem.remedy)).collect();
    let more = errors.count() - shown.len();
    shown.join(". ") + &if more > 0 { format!(". And {more} more") } else { String::new() }
}

/// What stands in the way; what is merely odd about the document has nothing to do with the change.
fn errors(faulty: &Faulty) -> impl Iterator<Item = &Problem> + Clone {
    faulty.problems.iter().filter(|problem| problem.severity == gatepost_policy::settings::Severity::Error)
}

fn kept_as(kept: Option<&Path>) -> String {
    kept.map_or(String::new(), |kept| format!(" (the document with it is kept as {})", kept.display()))
}

impl From<LoadError> for AmendError {
    fn from(error: LoadError) -> AmendError {
        match error {
            LoadError::Problems(faulty) => AmendError::Problems(faulty),
            error => AmendError::Apply(ReloadError::Load(error)),
        }
    }
}

impl AmendError {
    /// The same as an HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            AmendError::Edit(EditError::Unknown(_)) | AmendError::NoRevision(_) => StatusCode::NOT_FOUND,
            AmendError::Transaction(TransactionError::Unknown(_)) => StatusCode::NOT_FOUND,
            AmendError::Transaction(TransactionError::TooMany) => StatusCode::TOO_MANY_REQUESTS,
            AmendError::Edit(EditError::Nameless { .. }) => StatusCode::BAD_REQUEST,
            AmendError::Problems(_) => StatusCode::UNPROCESSABLE_ENTITY,
            AmendError::Forbidden(_) => StatusCode::FORBIDDEN,
            AmendError::NotNewest { .. } => StatusCode::PRECONDITION_FAILED,
            AmendError::Edit(EditError::Exists { .. } | EditError::Shape { .. })
            | AmendError::ReadOnly { .. }
            | AmendError::ChangedByHand { .. }
            | AmendError::Apply(_) => StatusCode::CONFLICT,
            AmendError::Disk(_) | AmendError::DataFolder(_) => StatusCode::INSUFFICIENT_STORAGE,
            AmendError::Transaction(TransactionError::NoRandomness) | AmendError::Panicked => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The same for the API's caller.
    pub fn to_refused(&self) -> Refused {
        let mut refused = Refused::new(self.to_string());
        if let AmendError::Problems(faulty) = self {
            refused.problems = errors(faulty).map(|problem| SettingsProblem::of(problem, &faulty.text)).collect();
            refused.rendered = Some(faulty.render(false));
        }
        refused
    }
}
