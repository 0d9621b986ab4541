//! What parameters become in the settings document: keys with values.
//!
//! Takes the parameters of a call and what an element of the document says now; hands on keys and edits. What is wrong
//! with a value, the document's own reader says.

use serde_json::Value as Json;

use super::{Arguments, CommandError, document_value};
use crate::edit::{Edit, Key, Target, Value};
use crate::object::Shape;

/// A key with what it shall say; `None`: it is left out from now on.
pub type Change = (&'static str, Option<Value>);

/// Which value of a property that Exchange has, and nothing here needs, asks for nothing: it is taken, and not written.
#[derive(Clone, Copy)]
pub enum Idle {
    /// Any.
    Whatever,
    /// Any but true.
    UnlessTrue,
    /// Any but false.
    UnlessFalse,
    /// Nothing, or `None`.
    Blank,
    /// This text, or nothing.
    Only(&'static str),
}

/// Whether a parameter asks for nothing.
pub fn is_idle(table: &[(&str, Idle)], name: &str, value: &Json) -> bool {
    let Some((_, idle)) = table.iter().find(|(known, _)| *known == name) else { return false };
    match idle {
        Idle::Whatever => true,
        Idle::UnlessTrue => *value != Json::Bool(true),
        Idle::UnlessFalse => *value != Json::Bool(false),
        Idle::Blank => is_blank(value, "None"),
        Idle::Only(text) => is_blank(value, text),
    }
}

fn is_blank(value: &Json, word: &str) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty() || text.eq_ignore_ascii_case(word),
        Json::Array(values) => values.is_empty(),
        _ => false,
    }
}

/// An element of the document as lists are changed in it.
pub trait Lists {
    /// What the list of this property holds now.
    fn current(&self, property: &str) -> Vec<String>;

    /// What an element of it means: the same text for those that are the same.
    fn meant(&self, _property: &str, written: &str) -> String {
        written.trim().to_ascii_lowercase()
    }
}

/// What the given parameters change that are called like properties, in the order of the shape, but for those that are
/// `passed_over`. An empty text or list clears.
///
/// # Errors
/// [`CommandError::Wrong`] for an element that is added twice, or removed where it is not.
pub fn changes(
    shape: &'static Shape,
    arguments: &Arguments,
    lists: &impl Lists,
    passed_over: impl Fn(&str, &Json) -> bool,
) -> Result<Vec<Change>, CommandError> {
    let mut changes = Vec::new();
    for property in shape.properties {
        let Some(given) = arguments.get(property.name).filter(|given| !passed_over(property.name, given)) else {
            continue;
        };
        let value = match given {
            Json::Null => None,
            Json::String(text) if text.is_empty() => None,
            Json::Array(_) | Json::Object(_) => {
                let list = list(property.name, given, lists)?;
                Some(list).filter(|list| !list.is_empty()).map(Value::texts)
            }
            given => Some(document_value::value(given)),
        };
        changes.push((property.key, value));
    }
    Ok(changes)
}

/// The keys of a new element.
pub fn of_new(changes: Vec<Change>) -> Vec<Key> {
    changes.into_iter().filter_map(|(key, value)| Some((key.into(), value?))).collect()
}

/// The edits of an element that is there.
pub fn of_set(target: &Target, changes: Vec<Change>) -> Vec<Edit> {
    let edit = |(key, value): Change| {
        let (target, key) = (target.clone(), key.into());
        match value {
            Some(value) => Edit::Set { target, key, value },
            None => Edit::Unset { target, key },
        }
    };
    changes.into_iter().map(edit).collect()
}

/// The whole new list: a plain list as it is, `@{Add; Remove}` worked into what is there.
///
/// # Errors
/// [`CommandError::Wrong`] for an element that is added twice, or removed where it is not.
pub fn list(name: &str, given: &Json, lists: &impl Lists) -> Result<Vec<String>, CommandError> {
    document_value::list(name, given, lists.current(name), |written| lists.meant(name, written))
}
