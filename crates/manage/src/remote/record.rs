//! Records of the server as objects of the language, by their shapes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use gatepost_shell::value::{CUSTOM, ListKind, Object, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use super::{binding, flags, range, size, span, unlimited};
use crate::command;
use crate::object::{PropertyKind, Shape, TYPE_KEY};

/// Deepest nesting of a value that has no shape.
const DEPTH_MAX: usize = 32;

/// Makes objects, straight from what the server has written. Values that many records have are made once.
#[derive(Default)]
pub struct Records {
    known: RefCell<Option<Rc<Known>>>,
}

/// What is known of the shape that came last.
struct Known {
    shape: &'static Shape,
    /// What its records have where they say nothing.
    usual: Vec<Value>,
}

impl Known {
    fn usual(&self, place: usize) -> Value {
        match &self.usual[place] {
            // A list is a thing that scripts add to: each record has its own.
            Value::List(list) => Value::list(list.values.borrow().clone(), list.kind),
            usual => usual.clone(),
        }
    }
}

impl Records {
    fn known(&self, name: &str) -> Option<Rc<Known>> {
        let mut known = self.known.borrow_mut();
        if known.as_ref().is_none_or(|known| known.shape.name != name) {
            let shape = command::shape(name)?;
            let usual = shape.properties.iter().map(|property| of_kind(property.kind, property.usual.to_json()));
            *known = Some(Rc::new(Known { shape, usual: usual.collect() }));
        }
        known.clone()
    }
}

/// One record as an object, or a line as text.
impl<'de> DeserializeSeed<'de> for &Records {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Yielded(self))
    }
}

struct Yielded<'r>(&'r Records);

impl<'de> Visitor<'de> for Yielded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record or a line")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(bag(number.into(), 0))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        // We write the type first. A record that does not begin with one that we know is of a newer server.
        let mut first = None;
        if let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<Json>()?;
            let named = value.as_str().filter(|_| key == TYPE_KEY);
            if let Some(known) = named.and_then(|name| self.0.known(name)) {
                return of_shape(&known, map);
            }
            first = Some((key, value)).filter(|(key, _)| key != TYPE_KEY);
        }
        let mut record: Map<String, Json> = Map::deserialize(MapAccessDeserializer::new(map))?;
        record.remove(TYPE_KEY);
        record.extend(first);
        Ok(bag(Json::Object(record), 0))
    }
}

/// The rest of a record of this shape.
fn of_shape<'de, A: MapAccess<'de>>(known: &Known, mut map: A) -> Result<Value, A::Error> {
    let all = known.shape.properties;
    let mut properties: Vec<(Cow<'static, str>, Value)> = Vec::with_capacity(all.len());
    let fill = |properties: &mut Vec<(Cow<'static, str>, Value)>, until: usize| {
        for (place, property) in all.iter().enumerate().take(until).skip(properties.len()) {
            properties.push((Cow::Borrowed(property.name), known.usual(place)));
        }
    };
    // They come in the order of the shape.
    while let Some(place) = map.next_key_seed(Place { shape: known.shape, from: properties.len() })? {
        let Some(place) = place else {
            map.next_value::<Json>()?;
            continue;
        };
        fill(&mut properties, place);
        let value = map.next_value_seed(OfKind(all[place].kind))?;
        match properties.get_mut(place) {
            Some(known) => known.1 = value,
            None => properties.push((Cow::Borrowed(all[place].name), value)),
        }
    }
    fill(&mut properties, all.len());
    Ok(Value::Object(Rc::new(Object::new(known.shape.view, properties))))
}

/// A key as the place of a property, looked for first from here on; `None` for one of a newer server.
struct Place {
    shape: &'static Shape,
    from: usize,
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Place {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a property")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        let (before, after) = self.shape.properties.split_at(self.from);
        let behind = after.iter().position(|property| property.name == name).map(|place| self.from + place);
        Ok(behind.or_else(|| before.iter().position(|property| property.name == name)))
    }
}

/// A value of this kind, as [`of_kind`] makes it of JSON.
struct OfKind(PropertyKind);

impl<'de> DeserializeSeed<'de> for OfKind {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OfKind {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(of_kind(self.0, Json::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(of_kind(self.0, value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(of_kind(self.0, value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(of_kind(self.0, value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(of_kind(self.0, value.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(match self.0 {
            kind @ PropertyKind::Unlimited(_) => of_kind(kind, text.into()),
            kind => of_text(kind, text).unwrap_or_else(|| Value::text(text)),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        if let PropertyKind::List(of) = self.0 {
            let mut values = Vec::with_capacity(seq.size_hint().unwrap_or_default());
            while let Some(value) = seq.next_element_seed(OfKind(*of))? {
                values.push(value);
            }
            return Ok(Value::list(values, ListKind::MultiValued));
        }
        let mut values = Vec::new();
        while let Some(value) = seq.next_element::<Json>()? {
            values.push(value);
        }
        Ok(of_kind(self.0, Json::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        Ok(of_kind(self.0, Json::Object(Map::deserialize(MapAccessDeserializer::new(map))?)))
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
        (kind, Json::String(text)) => of_text(kind, text),
        _ => None,
    };
    made.unwrap_or_else(|| bag(value, 0))
}

/// What a text is, where its kind makes more of it.
fn of_text(kind: PropertyKind, text: &str) -> Option<Value> {
    match kind {
        PropertyKind::Range => range::value(text).ok(),
        PropertyKind::Binding => binding::value(text).ok(),
        PropertyKind::Span => span::value(text).ok(),
        PropertyKind::Time | PropertyKind::UtcTime => {
            let zone = if kind == PropertyKind::UtcTime { TimeZone::UTC } else { TimeZone::system() };
            text.parse::<Timestamp>().ok().map(|time| Value::Time(time.to_zoned(zone)))
        }
        _ => None,
    }
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
