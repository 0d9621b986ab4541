//! Commands of the registry on the wire: `GET /commands`, `POST /commands/{name}`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ExposureChange;

/// `POST /commands/{name}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// By the names of the command's signature, in any case.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Only says what would change.
    #[serde(default, skip_serializing_if = "is_false")]
    pub what_if: bool,
    /// The transaction that this is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The revision that the caller has looked at: a change of settings is refused with 412 where another is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// Leaves out of records what is as usual: for those who know their shapes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub lean: bool,
    /// Of the records that a listing would yield, so many are passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// So many records are yielded at most, and the answer's `total` says how many there are: a page of a long list costs
    /// no more than what is on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// `POST /transactions`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionRequest {
    /// In their order; each changes settings, and sees what those before it have changed.
    pub commands: Vec<CommandCall>,
    /// Only says what all of them together would change.
    #[serde(default, skip_serializing_if = "is_false")]
    pub what_if: bool,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The revision that the caller has looked at: refused with 412 where another is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
}

/// One of several commands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandCall {
    /// Verb-Noun.
    pub command: String,
    /// By the names of the command's signature, in any case.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}

/// What a command answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct CommandAnswer {
    /// Records, which are objects with their type as `@type`, and lines of text.
    pub output: Vec<Value>,
    /// What is legal but probably not meant.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What would have changed, where that was the question.
    #[serde(default)]
    pub what_if: Option<String>,
    /// The revision of the settings that was looked at, where it was only asked what would change: the `base` for whoever then
    /// makes the change.
    #[serde(default)]
    pub base: Option<u64>,
    /// The revision of the settings that it made.
    #[serde(default)]
    pub revision: Option<u64>,
    /// Which addresses gain or lose which right by it; the first [`CHANGES_MAX`](super::CHANGES_MAX).
    #[serde(default)]
    pub exposure: Vec<ExposureChange>,
    /// How many such changes there are in all.
    #[serde(default)]
    pub exposure_total: u64,
    /// Mail that takes another way out by it, told in words; the first of it.
    #[serde(default)]
    pub rerouted: Vec<String>,
    /// What becomes of what waits in queues or lies on the disk, told in words.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How many records there are, where a page of them was asked for.
    #[serde(default)]
    pub total: Option<u64>,
}

/// One command, described.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CommandDescription {
    /// Verb-Noun.
    pub name: String,
    /// One sentence.
    pub synopsis: String,
    /// The least role that may run it.
    pub role: String,
    /// Whether it changes something.
    pub changes: bool,
    /// The type of its records; none: it yields none, or several.
    pub output: Option<String>,
    /// Its parameters.
    pub parameters: Vec<ParameterDescription>,
    /// Command lines.
    pub examples: Vec<ExampleDescription>,
}

/// One parameter, described.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ParameterDescription {
    /// Its name.
    pub name: String,
    /// What its values are, as `List of Text`.
    pub kind: String,
    /// The values that it takes, where they are few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Whether the command cannot do without.
    pub mandatory: bool,
    /// Its place among arguments without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u8>,
    /// One sentence.
    pub help: String,
    /// How people fill it in; none: it is for scripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldDescription>,
}

/// How people fill in a parameter, in the order of the dialog's fields.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FieldDescription {
    /// Its place in the dialog, from 0.
    pub place: usize,
    /// The heading that it stands under.
    pub section: String,
    /// What people call it.
    pub label: String,
    /// What holds where nothing is said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub usual: String,
    /// How a value looks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub example: String,
    /// What its values mean, where they are few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meanings: Vec<ChoiceDescription>,
    /// Whether most never need it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub advanced: bool,
}

/// A value and what it means.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChoiceDescription {
    /// The value.
    pub value: String,
    /// In words.
    pub meaning: String,
}

/// A command line, and what it does.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExampleDescription {
    /// The line.
    pub line: String,
    /// What it does.
    pub meaning: String,
}
