//! How commands change settings: a plan made of the settings as they are, put in force or only told, and what is said of it.
//!
//! Takes plans, hands on answers. What goes wrong is told in the words of the command: by parameters, not by keys.

use gatepost_policy::Settings;

use super::CommandError;
use super::invocation::{Answer, Invocation};
use crate::amend::AmendError;
use crate::edit::Edit;
use crate::exposure_text::{WOULD, sentences};
use crate::object::Shape;
use crate::resource::{Amended, ExposureChange, SettingsProblem};

/// Changes of exposure that a sentence about them lists.
const CHANGES_TOLD_MAX: usize = 10;

/// What a command is about to change.
pub struct Plan {
    /// A sentence without its full stop: `Set the receive connector "MX1\Relay"`.
    pub title: String,
    /// How.
    pub edits: Vec<Edit>,
    /// What to say besides.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Edits under a title.
    pub fn new(title: impl Into<String>, edits: Vec<Edit>) -> Plan {
        Plan { title: title.into(), edits, warnings: Vec::new() }
    }
}

/// Makes what `plan` makes of the settings as they are then, or tells what it would do. `shape` has the properties that the
/// document's keys are to be called by.
///
/// # Errors
/// What `plan` says, or why the settings cannot become so; nothing has changed then.
pub async fn amend(
    invocation: &Invocation<'_>,
    shape: &'static Shape,
    plan: impl FnOnce(&Settings) -> Result<Plan, CommandError> + Send,
) -> Result<Answer, CommandError> {
    let mut planned = None;
    let mode = invocation.mode()?;
    let amended = invocation
        .amender
        .amend_by(invocation.actor, invocation.purpose(), &mode, invocation.base, |settings| {
            let Plan { title, edits, warnings } = plan(settings)?;
            planned = Some((title, warnings));
            Ok::<_, CommandError>(edits)
        })
        .await
        .map_err(|error| in_words_of(shape, error))?;
    let (title, warnings) = planned.unwrap_or_default();
    Ok(answer(invocation, &title, warnings, amended, shape))
}

/// What is said of a change.
pub fn answer(
    invocation: &Invocation<'_>,
    title: &str,
    warnings: Vec<String>,
    amended: Amended,
    shape: &'static Shape,
) -> Answer {
    told_of(title, invocation.is_what_if, warnings, amended, shape)
}

/// The same, wherever it was made.
pub fn told_of(
    title: &str,
    is_what_if: bool,
    mut warnings: Vec<String>,
    amended: Amended,
    shape: &'static Shape,
) -> Answer {
    for warning in &amended.warnings {
        let warning = translated(shape, warning);
        let told = format!("{}: {}", warning.message, warning.remedy);
        // What a step of a transaction has said, its end need not say.
        if !warnings.contains(&told) {
            warnings.push(told);
        }
    }
    let what_if = is_what_if.then(|| what_if(title, &amended));
    Answer {
        warnings,
        what_if,
        base: amended.base.filter(|_| is_what_if),
        revision: amended.revision,
        exposure: amended.exposure,
        exposure_total: amended.exposure_total,
        rerouted: amended.rerouted,
        ..Answer::default()
    }
}

fn what_if(title: &str, amended: &Amended) -> String {
    let mut text = format!("What if: {title}.");
    if !amended.is_changed {
        text.push_str("\nNothing would change.");
        return text;
    }
    if amended.exposure.is_empty() {
        text.push_str("\nNo address would gain or lose a right.");
    }
    for change in amended.exposure.iter().take(CHANGES_TOLD_MAX) {
        text.push_str(&format!("\n{}", told(change)));
    }
    let more = usize::try_from(amended.exposure_total).unwrap_or(usize::MAX).saturating_sub(CHANGES_TOLD_MAX);
    if more > 0 {
        text.push_str(&format!("\n... and {more} more changes"));
    }
    for rerouted in &amended.rerouted {
        text.push_str(&format!("\n{rerouted}"));
    }
    text
}

/// Who would gain or lose what, in one line.
pub fn told(change: &ExposureChange) -> String {
    sentences(change, WOULD).join("; ")
}

fn in_words_of(shape: &'static Shape, error: CommandError) -> CommandError {
    let CommandError::Refused(mut refused) = error else { return error };
    refused.problems = refused.problems.iter().map(|problem| translated(shape, problem)).collect();
    let told: Vec<String> =
        refused.problems.iter().map(|problem| format!("{}: {}", problem.message, problem.remedy)).collect();
    if !told.is_empty() {
        refused.error = told.join("\n");
    }
    // It shows the document as it was to be, which nobody has in front of them.
    refused.rendered = None;
    CommandError::Refused(refused)
}

/// The same problem with parameters in the place of keys.
fn translated(shape: &'static Shape, problem: &SettingsProblem) -> SettingsProblem {
    let parameter = |key: &String| shape.properties.iter().find(|property| property.key == *key);
    SettingsProblem {
        about: problem.about.as_ref().and_then(parameter).map(|property| property.name.to_owned()),
        message: in_parameters(shape, &problem.message),
        remedy: in_parameters(shape, &problem.remedy),
        ..problem.clone()
    }
}

/// Keys become properties. One word is a key only between backquotes: `enabled` is a word of its own, too.
fn in_parameters(shape: &'static Shape, text: &str) -> String {
    const CONFLICT: &str = "the values of bindings and remote_ip_ranges conflict";
    let mut text =
        text.replace(CONFLICT, "The values that you specified for the Bindings and RemoteIPRanges parameters conflict");
    let mut properties: Vec<_> = shape.properties.iter().collect();
    // Longer keys first: none is taken for the beginning of another.
    properties.sort_by_key(|property| std::cmp::Reverse(property.key.len()));
    for property in properties {
        text = text.replace(&format!("`{}`", property.key), property.name);
        if property.key.contains('_') {
            text = text.replace(property.key, property.name);
        }
    }
    text
}

impl From<AmendError> for CommandError {
    fn from(error: AmendError) -> CommandError {
        match error.status().as_u16() {
            404 => CommandError::NotFound(error.to_string()),
            400 => CommandError::Wrong(error.to_string()),
            422 => CommandError::Refused(Box::new(error.to_refused())),
            412 => CommandError::Late(error.to_string()),
            409 | 429 => CommandError::Conflict(error.to_string()),
            _ => CommandError::Failed(error.to_string()),
        }
    }
}
