//! What an edit writes: values apart from any library's, how they are written, and when the document says the same.

use gatepost_policy::receive_connector::RemoteRange;
use gatepost_policy::settings::{parse_address_space, parse_smart_host};
use toml::de::DeValue;

use super::Key;
use crate::credentials::toml_string;

/// A value of the document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Also sizes, time spans and dates, as the settings write them.
    Text(String),
    /// A number.
    Number(i64),
    /// `true` or `false`.
    Truth(bool),
    /// A list.
    List(Vec<Value>),
    /// `{ range = "10.0.0.0/24", ticket = "7" }`.
    Table(Vec<Key>),
}

impl Value {
    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list of texts.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Value {
        Value::List(texts.into_iter().map(|text| Value::Text(text.into())).collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Truth(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

/// The value as TOML, on one line.
pub(super) fn write_value(value: &Value) -> String {
    match value {
        Value::Text(text) => toml_string(text),
        Value::Number(number) => number.to_string(),
        Value::Truth(truth) => truth.to_string(),
        Value::List(elements) => format!("[{}]", elements.iter().map(write_value).collect::<Vec<_>>().join(", ")),
        Value::Table(keys) => {
            let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key} = {}", write_value(value))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
    }
}

/// Whether the document says this already, to the letter but for the order of a table's keys.
pub(super) fn is_same(old: &DeValue<'_>, new: &Value) -> bool {
    match (old, new) {
        (DeValue::String(old), Value::Text(new)) => **old == **new,
        (DeValue::Boolean(old), Value::Truth(new)) => old == new,
        (DeValue::Integer(old), Value::Number(new)) => {
            i64::from_str_radix(&old.as_str().replace('_', ""), old.radix()).is_ok_and(|old| old == *new)
        }
        (DeValue::Array(old), Value::List(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is_same(old.get_ref(), new))
        }
        (DeValue::Table(old), Value::Table(new)) => {
            let is_there = |(key, new): &Key| old.get(&**key).is_some_and(|old| is_same(old.get_ref(), new));
            old.len() == new.len() && new.iter().all(is_there)
        }
        _ => false,
    }
}

/// What tells the elements of a list apart: ranges, address spaces and smart hosts by what they mean, texts in any case, tables by what they are about.
pub(super) fn identity_of_element(key: &str, element: &DeValue<'_>) -> String {
    match element {
        DeValue::String(text) => identity_of_text(key, text),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Table(table) => match ABOUT.iter().find_map(|about| table.get(*about)) {
            Some(about) => identity_of_element(key, about.get_ref()),
            None => {
                let keys = table
                    .iter()
                    .map(|(name, value)| format!("{}={}", name.get_ref(), identity_of_element("", value.get_ref())));
                keys.collect::<Vec<_>>().join(",")
            }
        },
        DeValue::Array(elements) => {
            elements.iter().map(|element| identity_of_element("", element.get_ref())).collect::<Vec<_>>().join(",")
        }
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Datetime(time) => time.to_string(),
    }
}

/// The same of a value that is wanted.
pub(super) fn identity_of_value(key: &str, value: &Value) -> String {
    match value {
        Value::Text(text) => identity_of_text(key, text),
        Value::Number(number) => number.to_string(),
        Value::Truth(truth) => truth.to_string(),
        Value::List(elements) => {
            elements.iter().map(|element| identity_of_value("", element)).collect::<Vec<_>>().join(",")
        }
        Value::Table(keys) => match ABOUT.iter().find_map(|about| keys.iter().find(|(key, _)| key == about)) {
            Some((_, about)) => identity_of_value(key, about),
            None => {
                let mut keys: Vec<_> =
                    keys.iter().map(|(name, value)| format!("{name}={}", identity_of_value("", value))).collect();
                keys.sort();
                keys.join(",")
            }
        },
    }
}

/// What an inline table in a list is about; its other keys are remarks.
const ABOUT: [&str; 1] = ["range"];

fn identity_of_text(key: &str, text: &str) -> String {
    if key == "remote_ip_ranges"
        && let Ok(range) = RemoteRange::parse(text, 0..0)
    {
        return format!("{}-{}", range.first, range.last);
    }
    if key == "address_spaces"
        && let Some(space) = parse_address_space(text)
    {
        return space.to_string();
    }
    if key == "smart_hosts"
        && let Some((host, port)) = parse_smart_host(text)
    {
        return format!("{host:?} {port:?}");
    }
    text.trim().to_lowercase()
}
