//! One call of a command, and what it answers.

use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_transport::Control;

use super::Arguments;
use crate::access::Actor;
use crate::object::Record;
use crate::resource::ExposureChange;

/// One call.
pub struct Invocation<'a> {
    /// The running server.
    pub control: &'a Control,
    /// The settings that the call is about: those in force, or those of its transaction.
    pub settings: Arc<Settings>,
    /// Who calls.
    pub actor: &'a Actor,
    /// The parameters.
    pub arguments: Arguments,
    /// Whether only to say what would change.
    pub is_what_if: bool,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

/// What a command answers.
#[derive(Debug, Default)]
pub struct Answer {
    /// What it yields.
    pub output: Vec<Record>,
    /// What is legal but probably not meant.
    pub warnings: Vec<String>,
    /// What would have changed, where that was the question.
    pub what_if: Option<String>,
    /// The revision of the settings that it made.
    pub revision: Option<u64>,
    /// Which addresses gain or lose which right by it.
    pub exposure: Vec<ExposureChange>,
}

impl Answer {
    /// Records and nothing else.
    pub fn of(output: Vec<Record>) -> Answer {
        Answer { output, ..Answer::default() }
    }
}
