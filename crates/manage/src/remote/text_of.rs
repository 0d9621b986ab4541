//! Values of the language as text and as JSON, on their way to the server.

use gatepost_shell::command::Kind;
use gatepost_shell::member::Secret;
use gatepost_shell::value::{TimeSpan, Value};
use serde_json::{Map, Value as Json, json};

/// A value as the JSON of a parameter of this kind. Secrets show themselves to parameters that take secrets, to no other.
pub fn to_json_of(kind: Kind, value: &Value) -> Json {
    let secret = |value: &Value| value.downcast::<Secret>().map(|secret| Json::from(&*secret.0));
    match (kind, value) {
        (Kind::Secret, value) => secret(value).unwrap_or(Json::Null),
        (Kind::Credential, Value::Object(object)) => {
            let password = object.get("Password").and_then(|password| secret(&password));
            json!({ "UserName": object.get("UserName").map(|user| text(&user)), "Password": password })
        }
        (_, value) => to_json(value),
    }
}

/// A value as JSON.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::List(list) => list.values.borrow().iter().map(to_json).collect(),
        Value::Table(table) => {
            let table = table.borrow();
            let entries = table.entries().iter().map(|(key, value)| (text(key), to_json(value)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
        value => text(value).into(),
    }
}

/// A value as text, as parameters take it.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Char(value) => value.to_string(),
        Value::Text(value) => value.to_string(),
        Value::Time(value) => value.timestamp().to_string(),
        Value::Span(value) => span_text(*value),
        Value::Foreign(value) => value.text(),
        Value::Type(value) => value.name.clone(),
        Value::Fault(fault) => fault.message.clone(),
        Value::Object(object) => object.get(object.view.identity).map(|identity| text(&identity)).unwrap_or_default(),
        Value::List(list) => list.values.borrow().iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Table(_) | Value::Block(_) => String::new(),
    }
}

/// `[d.]hh:mm:ss`; parts of a second are dropped: no setting has them.
fn span_text(span: TimeSpan) -> String {
    let seconds = span.ticks.unsigned_abs() / 10_000_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let sign = if span.ticks < 0 { "-" } else { "" };
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days == 0 { format!("{sign}{time}") } else { format!("{sign}{days}.{time}") }
}
