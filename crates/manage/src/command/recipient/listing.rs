//! How many of many recipients, and which of them: what Get-Recipient and its kin have in common.

use gatepost_shell::command::{Kind, Parameter};

use super::super::parameter::named;
use super::super::{Answer, CommandError, Invocation};
use crate::object::{Record, Shape};
use crate::picking::pick;

/// So many are shown where nothing else is said, as by Exchange.
const SHOWN: usize = 1_000;

/// What picks some of many.
pub const FILTER: Parameter = named(
    "Filter",
    Kind::Text,
    "Those for which this holds, as \"DisplayName -like 'A*' -and RecipientType -eq 'MailContact'\"; operators -eq -ne -gt -ge -lt -le -like -and.",
);
/// How many.
pub const RESULT_SIZE: Parameter =
    named("ResultSize", Kind::UnlimitedInt, "So many at most; 1000 without it; `unlimited`.");

/// The records that `-Filter` and `-ResultSize` leave. No more are made than that takes.
///
/// # Errors
/// [`CommandError::Wrong`]: a filter that is none.
pub fn listed(
    invocation: &Invocation<'_>,
    shape: &'static Shape,
    mut records: impl Iterator<Item = Record>,
) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let size = match arguments.get("ResultSize") {
        None => SHOWN,
        Some(size) => size.as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX),
    };
    let mut answer = Answer::default();
    let is_more = match arguments.text("Filter") {
        Some(filter) => {
            let mut picked: Vec<Record> = records.collect();
            pick(shape, &mut picked, filter).map_err(CommandError::Wrong)?;
            let is_more = picked.len() > size;
            picked.truncate(size);
            answer.output = picked;
            is_more
        }
        None => {
            answer.output.extend(records.by_ref().take(size));
            records.next().is_some()
        }
    };
    if is_more && arguments.get("ResultSize").is_none() {
        answer
            .warnings
            .push(format!("there are more than {SHOWN}, and these are the first: -ResultSize unlimited shows all"));
    }
    Ok(answer)
}
