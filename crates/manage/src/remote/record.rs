//! Records of the server as objects of the language, by their shapes.

use std::borrow::Cow;
use std::rc::Rc;

use gatepost_shell::value::{CUSTOM, ListKind, Object, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json};

use super::{binding, flags, range, size, span, unlimited};
use crate::command;
use crate::object::{PropertyKind, Shape, TYPE_KEY};

/// Deepest nesting of a value that has no shape.
const DEPTH_MAX: usize = 32;

/// Makes objects. Values that many records have are made once.
#[derive(Default)]
pub struct Records {
    known: Option<Known>,
}

/// What is known of the shape that came last.
struct Known {
    shape: &'static Shape,
    /// What its records have where they say nothing.
    usual: Vec<Value>,
    /// The places of its properties in the order of their names.
    by_name: Vec<usize>,
}

impl Records {
    /// One record as an object.
    pub fn value(&mut self, mut record: Map<String, Json>) -> Value {
        let type_name = record.remove(TYPE_KEY);
        let Some(known) = type_name.as_ref().and_then(Json::as_str).and_then(|name| self.known(name)) else {
            // Of a newer server.
            return bag(Json::Object(record), 0);
        };
        let mut properties: Vec<(Cow<'static, str>, Value)> = Vec::with_capacity(known.shape.properties.len());
        for (property, usual) in known.shape.properties.iter().zip(&known.usual) {
            let value = match usual {
                // A list is a thing that scripts add to: each record has its own.
                Value::List(list) => Value::list(list.values.borrow().clone(), list.kind),
                usual => usual.clone(),
            };
            properties.push((Cow::Borrowed(property.name), value));
        }
        for (name, written) in record {
            let found = known.by_name.binary_search_by_key(&name.as_str(), |place| known.shape.properties[*place].name);
            // What has no place is of a newer server.
            let Ok(found) = found else { continue };
            let place = known.by_name[found];
            properties[place].1 = of_kind(known.shape.properties[place].kind, written);
        }
        Value::Object(Rc::new(Object::new(known.shape.view, properties)))
    }

    fn known(&mut self, name: &str) -> Option<&Known> {
        if self.known.as_ref().is_none_or(|known| known.shape.name != name) {
            let shape = command::shape(name)?;
            let usual = shape.properties.iter().map(|property| of_kind(property.kind, property.usual.to_json()));
            let mut by_name: Vec<usize> = (0..shape.properties.len()).collect();
            by_name.sort_by_key(|place| shape.properties[*place].name);
            self.known = Some(Known { shape, usual: usual.collect(), by_name });
        }
        self.known.as_ref()
    }
}

/// A value of this kind. One that is not as its kind says stays what it is: the server is newer.
fn of_kind(kind: PropertyKind, value: Json) -> Value {
    let value = match (kind, value) {
        (PropertyKind::List(of), Json::Array(values)) => {
            return Value::list(values.into_iter().map(|value| of_kind(*of, value)).collect(), ListKind::MultiValued);
        }
        (PropertyKind::Unlimited(of), value) => return unlimited::of(value, |value| of_kind(*of, value)),
        (PropertyKind::Any, value) => return bag(value, 0),
        (_, value) => value,
    };
    let made = match (kind, &value) {
        (PropertyKind::Flags(known), Json::Array(names)) => {
            let names = names.iter().filter_map(Json::as_str).map(str::to_owned).collect();
            Some(flags::value(known, names))
        }
        (PropertyKind::Size, Json::Number(bytes)) => bytes.as_u64().map(size::of_bytes),
        (PropertyKind::Range, Json::String(text)) => range::value(text).ok(),
        (PropertyKind::Binding, Json::String(text)) => binding::value(text).ok(),
        (PropertyKind::Span, Json::String(text)) => span::value(text).ok(),
        (PropertyKind::Time | PropertyKind::UtcTime, Json::String(text)) => {
            let zone = if kind == PropertyKind::UtcTime { TimeZone::UTC } else { TimeZone::system() };
            text.parse::<Timestamp>().ok().map(|time| Value::Time(time.to_zoned(zone)))
        }
        _ => None,
    };
    made.unwrap_or_else(|| bag(value, 0))
}

/// JSON without a shape: objects become property bags.
fn bag(value: Json, depth: usize) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::text(text),
        _ if depth >= DEPTH_MAX => Value::Null,
        Json::Array(values) => Value::array(values.into_iter().map(|value| bag(value, depth + 1)).collect()),
        Json::Object(map) => {
            let properties = map.into_iter().map(|(name, value)| (Cow::Owned(name), bag(value, depth + 1)));
            Value::Object(Rc::new(Object::new(&CUSTOM, properties.collect())))
        }
    }
}
