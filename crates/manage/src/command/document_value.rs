//! Values of parameters as the settings document has them.
//!
//! Takes what a caller wrote, hands on values for edits. What is wrong with them the document's own reader says.

use std::collections::HashMap;

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

/// The whole new list of the parameter `name`: a plain list as it is, `@{Add; Remove}` worked into what is there. Elements
/// are the same where `meant` says the same of them; it is asked once for each.
///
/// # Errors
/// [`CommandError::Wrong`] where something to be removed is not there, or something to be added is.
pub fn list(
    name: &str,
    given: &Json,
    current: Vec<String>,
    meant: impl Fn(&str) -> String,
) -> Result<Vec<String>, CommandError> {
    let texts = |values: &Json| -> Vec<String> {
        values.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    };
    let Json::Object(change) = given else { return Ok(texts(given)) };
    // Where each stands; one that stands twice is taken out at its first place.
    let mut places: HashMap<String, Vec<usize>> = HashMap::with_capacity(current.len());
    for (place, known) in current.iter().enumerate().rev() {
        places.entry(meant(known)).or_default().push(place);
    }
    let mut wanted: Vec<Option<String>> = current.into_iter().map(Some).collect();
    for text in change.get("Remove").map(texts).unwrap_or_default() {
        let place = places.get_mut(&meant(&text)).and_then(Vec::pop).ok_or_else(|| {
            CommandError::Wrong(format!(
                "{name}: the value \"{text}\" isn't present in the collection, so it can't be removed"
            ))
        })?;
        wanted[place] = None;
    }
    for text in change.get("Add").map(texts).unwrap_or_default() {
        let standing = places.entry(meant(&text)).or_default();
        if !standing.is_empty() {
            return Err(CommandError::Wrong(format!(
                "{name}: the value \"{text}\" is already present in the collection"
            )));
        }
        standing.push(wanted.len());
        wanted.push(Some(text));
    }
    Ok(wanted.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_are_added_and_removed_by_what_they_mean() {
        for (given, expected) in [
            (json!(["x", "y"]), Ok("x y")),
            (json!({"Add": ["C", "d"]}), Ok("a b A C d")),
            (json!({"Remove": ["A"]}), Ok("b A")),
            (json!({"Remove": ["a", "a", "B"]}), Ok("")),
            (json!({"Remove": ["b"], "Add": ["B"]}), Ok("a A B")),
            (json!({"Add": ["B"]}), Err("\"B\" is already present")),
            (json!({"Add": ["c", "C"]}), Err("\"C\" is already present")),
            (json!({"Remove": ["b", "b"]}), Err("\"b\" isn't present")),
        ] {
            let current = ["a", "b", "A"].map(str::to_owned).to_vec();
            let found = list("Members", &given, current, str::to_lowercase).map_err(|error| error.to_string());
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.join(" "), expected, "{given}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (found, _) => panic!("{given}: {found:?}"),
            }
        }
    }
}
