//! Values of parameters as the settings document has them.
//!
//! Takes what a caller wrote, hands on values for edits. What is wrong with them the document's own reader says.

use gatepost_policy::settings::parse_size;
use serde_json::Value as Json;

use super::CommandError;
use crate::edit::Value;

/// One parameter's value.
pub fn value(given: &Json) -> Value {
    match given {
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.to_string().into(),
        },
        Json::String(text) => size_as_written(text).unwrap_or_else(|| text.as_str().into()),
        Json::Array(values) => Value::List(values.iter().map(value).collect()),
        Json::Null | Json::Object(_) => Value::List(Vec::new()),
    }
}

/// A size in the form that a listing shows, `36 MB (37,748,736 bytes)`, as a person would write it.
fn size_as_written(text: &str) -> Option<Value> {
    let (head, _) = text.split_once('(')?;
    let bytes = parse_size(text)?;
    match parse_size(head) == Some(bytes) {
        true => Some(head.trim().into()),
        false => i64::try_from(bytes).ok().map(Value::from),
    }
}

/// The whole new list of the parameter `name`: a plain list as it is, `@{Add; Remove}` worked into what is there.
///
/// # Errors
/// [`CommandError::Wrong`] where something to be removed is not there, or something to be added is.
pub fn list(
    name: &str,
    given: &Json,
    mut current: Vec<String>,
    is_same: impl Fn(&str, &str) -> bool,
) -> Result<Vec<String>, CommandError> {
    let texts = |values: &Json| -> Vec<String> {
        values.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    };
    let Json::Object(change) = given else { return Ok(texts(given)) };
    for text in change.get("Remove").map(texts).unwrap_or_default() {
        let place = current.iter().position(|known| is_same(known, &text)).ok_or_else(|| {
            CommandError::Wrong(format!(
                "{name}: the value \"{text}\" isn't present in the collection, so it can't be removed"
            ))
        })?;
        current.remove(place);
    }
    for text in change.get("Add").map(texts).unwrap_or_default() {
        if current.iter().any(|known| is_same(known, &text)) {
            return Err(CommandError::Wrong(format!(
                "{name}: the value \"{text}\" is already present in the collection"
            )));
        }
        current.push(text);
    }
    Ok(current)
}
