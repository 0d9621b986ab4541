//! Which of some records a filter means: what REST listings and commands with `-Filter` have in common.
//!
//! Takes records of one shape and a filter as text, by Exchange's property names; keeps those for which it holds.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::filter::{Filter, Kind, Mistake, Property, Value};
use crate::object::{PropertyKind, Record, Shape};

/// Keeps those of `records` for which `filter` holds.
///
/// # Errors
/// What is wrong with the filter.
pub fn pick(shape: &'static Shape, records: &mut Vec<Record>, filter: &str) -> Result<(), String> {
    let properties = shape.properties.iter();
    let properties: Vec<Property> =
        properties.map(|property| Property { name: property.name, kind: kind(property.kind) }).collect();
    let filter = Filter::parse_over(filter, &properties).map_err(|mistake: Mistake| mistake.to_string())?;
    records.retain(|record| {
        let values: Vec<_> = record.properties().map(|(_, value)| value).collect();
        filter.matches_with(|place| value(shape.properties[place].kind, &values[place]))
    });
    Ok(())
}

fn kind(kind: PropertyKind) -> Kind {
    match kind {
        PropertyKind::Int | PropertyKind::Size => Kind::Number,
        PropertyKind::Time | PropertyKind::UtcTime => Kind::Time,
        PropertyKind::Unlimited(of) => self::kind(*of),
        _ => Kind::Text,
    }
}

fn value(of: PropertyKind, json: &Json) -> Value {
    match (kind(of), json) {
        (_, Json::Null) => Value::Nothing,
        (Kind::Number, Json::Number(number)) => number.as_f64().map_or(Value::Nothing, Value::Number),
        // More than any number.
        (Kind::Number, Json::String(_)) => Value::Number(f64::INFINITY),
        (Kind::Time, Json::String(text)) => {
            let time = text.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
            time.map_or(Value::Nothing, Value::Time)
        }
        (_, Json::Bool(truth)) => Value::Text(if *truth { "True" } else { "False" }.to_owned()),
        (_, Json::String(text)) => Value::Text(text.clone()),
        (_, Json::Array(values)) => Value::Texts(
            values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect(),
        ),
        (_, other) => Value::Text(other.to_string()),
    }
}
