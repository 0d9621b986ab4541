//! Commands over keys of the document's single tables, as `[transport]`: what Get- shows and Set- changes follows from one
//! list of keys.
//!
//! Takes keys, hands on properties, parameters, records and edits. What is legal the document's own reader says.

use gatepost_policy::Settings;
use gatepost_shell::command::{Kind, Parameter};
use serde_json::Value as Json;

use super::parameter::{DOMAIN_CONTROLLER, named};
use super::{Arguments, CommandError, document_value};
use crate::edit::{Edit, Target, Value};
use crate::object::{Property, PropertyKind, Record, Shape, Usual, property};

/// One property, and where the document says it.
pub struct Key {
    property: Property,
    /// Where it stands in the document; empty: nowhere, it follows from other things.
    table: &'static str,
    parameter: Parameter,
    value: fn(&Settings) -> Json,
}

/// A key of the table `table`.
pub const fn key(
    table: &'static str,
    property: Property,
    takes: Kind,
    help: &'static str,
    value: fn(&Settings) -> Json,
) -> Key {
    Key { property, table, parameter: named(property.name, takes, help), value }
}

/// A property that is shown and cannot be changed.
pub const fn shown(name: &'static str, key: &'static str, kind: PropertyKind, value: fn(&Settings) -> Json) -> Key {
    Key { property: property(name, key, kind, Usual::Null), table: "", parameter: DOMAIN_CONTROLLER, value }
}

/// The properties of a shape.
///
/// # Panics
/// When the program is built, where `N` is not their number.
pub const fn properties<const N: usize>(keys: &[Key]) -> [Property; N] {
    assert!(keys.len() == N, "the number of keys");
    let mut properties = [property("", "", PropertyKind::Any, Usual::Null); N];
    let mut place = 0;
    while place < N {
        properties[place] = keys[place].property;
        place += 1;
    }
    properties
}

/// The parameters of Set-: `first`, then a parameter for each key that can be changed.
///
/// # Panics
/// When the program is built, where `N` is not their number.
pub const fn parameters<const N: usize>(first: &[Parameter], keys: &[Key]) -> [Parameter; N] {
    let mut parameters = [DOMAIN_CONTROLLER; N];
    let (mut place, mut count) = (0, 0);
    while place < first.len() {
        parameters[count] = first[place];
        (place, count) = (place + 1, count + 1);
    }
    place = 0;
    while place < keys.len() {
        if !keys[place].table.is_empty() {
            parameters[count] = keys[place].parameter;
            count += 1;
        }
        place += 1;
    }
    assert!(count == N, "the number of parameters");
    parameters
}

/// What the settings say.
pub fn record(shape: &'static Shape, keys: &[Key], settings: &Settings) -> Record {
    keys.iter().fold(Record::of(shape), |record, key| record.with(key.property.name, (key.value)(settings)))
}

/// What Set- changes; null and empty text leave a key out, so that its default holds again.
///
/// # Errors
/// [`CommandError::Wrong`].
pub fn edits(keys: &[Key], arguments: &Arguments, settings: &Settings) -> Result<Vec<Edit>, CommandError> {
    let mut edits = Vec::new();
    for (parameter, given) in arguments.iter() {
        let is_it = |key: &&Key| !key.table.is_empty() && key.property.name == parameter.name;
        let Some(key) = keys.iter().find(is_it) else { continue };
        let target = Target::table(key.table);
        let of_document = key.property.key.into();
        edits.push(match given {
            Json::Null => Edit::Unset { target, key: of_document },
            Json::String(text) if text.trim().is_empty() => Edit::Unset { target, key: of_document },
            Json::Object(_) => {
                let current = (key.value)(settings);
                let current = current.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned);
                let meant = |written: &str| written.trim().to_ascii_lowercase();
                let list = document_value::list(parameter.name, given, current.collect(), meant)?;
                Edit::Set { target, key: of_document, value: Value::texts(list) }
            }
            given => Edit::Set { target, key: of_document, value: document_value::value(given) },
        });
    }
    Ok(edits)
}

/// A number or `unlimited`.
pub fn unlimited(number: Option<impl Into<Json>>) -> Json {
    number.map_or_else(|| "unlimited".into(), Into::into)
}

/// Texts of a list.
pub fn texts<T: ToString>(list: impl IntoIterator<Item = T>) -> Json {
    list.into_iter().map(|one| Json::from(one.to_string())).collect()
}
