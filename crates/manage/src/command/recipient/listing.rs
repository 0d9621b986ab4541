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

/// The records of what was found that `-Filter`, `-ResultSize` and the page that is asked for leave. No more are made than
/// that takes.
///
/// # Errors
/// [`CommandError::Wrong`]: a filter that is none.
pub fn listed<T>(
    invocation: &Invocation<'_>,
    shape: &'static Shape,
    mut found: Vec<T>,
    record: impl Fn(&T) -> Record,
) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let size = match arguments.get("ResultSize") {
        // Who reads page by page has a limit already.
        None if invocation.page.is_some() => usize::MAX,
        None => SHOWN,
        Some(size) => size.as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX),
    };
    let (mut answer, is_more) = match arguments.text("Filter") {
        Some(filter) => {
            let mut picked: Vec<Record> = found.iter().map(record).collect();
            pick(shape, &mut picked, filter).map_err(CommandError::Wrong)?;
            let is_more = picked.len() > size;
            picked.truncate(size);
            (Answer::of(picked), is_more)
        }
        None => {
            let is_more = found.len() > size;
            found.truncate(size);
            (Answer::listing(invocation, &found, record), is_more)
        }
    };
    if is_more && arguments.get("ResultSize").is_none() {
        answer
            .warnings
            .push(format!("there are more than {SHOWN}, and these are the first: -ResultSize unlimited shows all"));
    }
    Ok(answer)
}
