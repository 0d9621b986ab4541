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
    /// What records of the shape that came last have where they say nothing.
    usual: Option<(&'static Shape, Vec<Value>)>,
}

impl Records {
    /// One record as an object.
    pub fn value(&mut self, mut record: Map<String, Json>) -> Value {
        let type_name = record.remove(TYPE_KEY);
        let Some(shape) = type_name.as_ref().and_then(Json::as_str).and_then(|name| self.shape(name)) else {
            // Of a newer server.
            return bag(Json::Object(record), 0);
        };
        let usual = &self.usual.as_ref().expect("set for every shape that is asked for").1;
        let mut properties = Vec::with_capacity(shape.properties.len());
        for (property, usual) in shape.properties.iter().zip(usual) {
            let value = match (record.remove(property.name), usual) {
                (Some(written), _) => of_kind(property.kind, written),
                // A list is a thing that scripts add to: each record has its own.
                (None, Value::List(list)) => Value::list(list.values.borrow().clone(), list.kind),
                (None, usual) => usual.clone(),
            };
            properties.push((Cow::Borrowed(property.name), value));
        }
        Value::Object(Rc::new(Object::new(shape.view, properties)))
    }

    fn shape(&mut self, name: &str) -> Option<&'static Shape> {
        if let Some((shape, _)) = self.usual.as_ref().filter(|(shape, _)| shape.name == name) {
            return Some(shape);
        }
        let shape = command::shape(name)?;
        let usual = shape.properties.iter().map(|property| of_kind(property.kind, property.usual.to_json()));
        self.usual = Some((shape, usual.collect()));
        Some(shape)
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
