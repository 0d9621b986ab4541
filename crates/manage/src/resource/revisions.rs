//! The history of settings: `/api/v1/revisions`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::history::Revision;

/// What `GET /revisions` is asked.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RevisionsQuery {
    /// So many.
    pub limit: Option<usize>,
    /// Only those below this number.
    pub before: Option<u64>,
}

/// `GET /api/v1/revisions`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Revisions {
    /// Newest first.
    pub revisions: Vec<Revision>,
    /// The number that is in force.
    pub in_force: u64,
    /// Where the next page begins: pass it as `before`.
    pub next: Option<u64>,
}

/// `GET /api/v1/revisions/{number}`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RevisionText {
    /// What is known of it.
    #[serde(flatten)]
    pub revision: Revision,
    /// The document; hashes of passwords are not shown.
    pub text: String,
}

/// What `GET /revisions/{old}/difference` is asked.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DifferenceQuery {
    /// With which it is compared; left out: with what is in force.
    pub new: Option<u64>,
}

/// `POST /api/v1/revisions/{number}/restore`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RestoreRequest {
    /// Only tell what it would do.
    #[serde(default)]
    pub what_if: bool,
    /// Why.
    #[serde(default)]
    pub why: Option<String>,
    /// The revision that the caller has looked at: refused with 412 where another is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
}
