//! What the management API shows and takes, as JSON: its own types, apart from those of the running server, so that a
//! change inside does not change what scripts read.
//!
//! Takes snapshots of the running server, hands on values that serialize. Times are Unix milliseconds (`*_ms`), sizes
//! are bytes (`*_bytes`). Later versions may add fields; readers ignore what they do not know. Never decides anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod access;
mod command;
mod exposure;
mod status;
mod queue;
mod settings;
mod revisions;

pub use access::*;
pub use command::*;
pub use exposure::*;
pub use queue::*;
pub use revisions::*;
pub use settings::*;
pub use status::*;

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// What went wrong, a sentence for a person.
    pub error: String,
    /// The mistakes of the settings file, where that is the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<SettingsProblem>,
    /// The same mistakes drawn as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<String>,
}

impl Refused {
    /// A refusal of one sentence.
    pub fn new(error: impl Into<String>) -> Refused {
        Refused { error: error.into(), problems: Vec::new(), rendered: None }
    }
}
