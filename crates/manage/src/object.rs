//! What commands yield: records of named properties, and the shapes that say what each property is.
//!
//! Takes values by their property's name, hands on JSON in the order of the shape. The same shapes serve the shell, which
//! makes values of them, the REST resources, whose keys they name, and the OpenAPI document. Knows no commands.

use std::borrow::Cow;

use gatepost_shell::value::View;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

/// The key that holds a record's type on the wire.
pub const TYPE_KEY: &str = "@type";

/// What records of one type are made of.
#[derive(Debug)]
pub struct Shape {
    /// The type on the wire, as `ReceiveConnector`.
    pub name: &'static str,
    /// How the shell prints it.
    pub view: &'static View,
    /// In the order in which they print.
    pub properties: &'static [Property],
}

/// One property.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// As Exchange spells it.
    pub name: &'static str,
    /// The same as a key of the settings document and of REST resources.
    pub key: &'static str,
    /// What its values are.
    pub kind: PropertyKind,
    /// The value that most records have: left out of answers to those who asked for lean ones.
    pub usual: Usual,
}

/// What the values of a property are, and what stands for them in JSON. Any may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyKind {
    /// true or false.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Float,
    /// Text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list of some of these texts.
    Flags(&'static [&'static str]),
    /// A size: a number of bytes.
    Size,
    /// A length of time: text as `00:10:00`.
    Span,
    /// A point in time: text as RFC 3339 has it.
    Time,
    /// The same, shown in UTC wherever it is read.
    UtcTime,
    /// Which object: text.
    Identity,
    /// Addresses from the first to the last: text in one of Exchange's forms.
    Range,
    /// A local address and port: text.
    Binding,
    /// One of these, or the text `unlimited`.
    Unlimited(&'static PropertyKind),
    /// A list.
    List(&'static PropertyKind),
    /// Any JSON.
    Any,
}

/// The value that most records have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Usual {
    /// null.
    Null,
    /// true or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// Text.
    Text(&'static str),
    /// A list of texts, which may be empty.
    Texts(&'static [&'static str]),
}

impl Usual {
    fn is(self, value: &Json) -> bool {
        match (self, value) {
            (Usual::Null, Json::Null) => true,
            (Usual::Bool(usual), Json::Bool(value)) => usual == *value,
            (Usual::Int(usual), Json::Number(value)) => value.as_i64() == Some(usual),
            (Usual::Text(usual), Json::String(value)) => usual == value,
            (Usual::Texts(usual), Json::Array(values)) => {
                usual.len() == values.len() && usual.iter().zip(values).all(|(usual, value)| value == usual)
            }
            _ => false,
        }
    }

    /// The same as JSON.
    pub fn to_json(self) -> Json {
        match self {
            Usual::Null => Json::Null,
            Usual::Bool(value) => value.into(),
            Usual::Int(value) => value.into(),
            Usual::Text(value) => value.into(),
            Usual::Texts(values) => values.iter().map(|value| Json::from(*value)).collect(),
        }
    }
}

/// A property of a table of properties.
pub const fn property(name: &'static str, key: &'static str, kind: PropertyKind, usual: Usual) -> Property {
    Property { name, key, kind, usual }
}

/// One object that a command yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    shape: &'static Shape,
    /// What is not as usual, by the property's place in the shape, in that order. Of thousands of records most is as usual.
    values: Vec<(usize, Json)>,
    /// Where the next property is looked for first: values come in the order of the shape.
    next: usize,
}

impl PartialEq for Shape {
    /// Shapes are few and static: each is itself alone.
    fn eq(&self, other: &Shape) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Record {
    /// A record whose properties have their usual values.
    pub fn of(shape: &'static Shape) -> Record {
        Record { shape, values: Vec::new(), next: 0 }
    }

    /// The same with a property set.
    ///
    /// # Panics
    /// When the shape has no such property: our bug.
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Record {
        let is_it = |place: &usize| self.shape.properties.get(*place).is_some_and(|property| property.name == name);
        let all = self.shape.properties.len();
        let place = (self.next..all).find(is_it).or_else(|| (0..self.next.min(all)).find(is_it));
        let place = place.unwrap_or_else(|| panic!("{} has no property {name}", self.shape.name));
        let value = value.into();
        let at = self.values.partition_point(|(known, _)| *known < place);
        let is_set = self.values.get(at).is_some_and(|(known, _)| *known == place);
        match (self.shape.properties[place].usual.is(&value), is_set) {
            (false, false) => self.values.insert(at, (place, value)),
            (false, true) => self.values[at].1 = value,
            (true, true) => drop(self.values.remove(at)),
            (true, false) => {}
        }
        self.next = place + 1;
        self
    }

    /// What it is made of.
    pub fn shape(&self) -> &'static Shape {
        self.shape
    }

    /// The value of a property, in any case of its name.
    pub fn get(&self, name: &str) -> Option<Cow<'_, Json>> {
        let mut properties = self.properties();
        properties.find(|(property, _)| property.name.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Properties with their values.
    pub fn properties(&self) -> impl Iterator<Item = (&'static Property, Cow<'_, Json>)> {
        let mut values = self.values.iter().peekable();
        self.shape.properties.iter().enumerate().map(move |(place, property)| {
            match values.next_if(|(known, _)| *known == place) {
                Some((_, value)) => (property, Cow::Borrowed(value)),
                None => (property, Cow::Owned(property.usual.to_json())),
            }
        })
    }

    /// The same for those who know the shape: without what is as usual.
    pub fn lean(&self) -> Lean<'_> {
        Lean(self)
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.shape.properties.len() + 1))?;
        map.serialize_entry(TYPE_KEY, self.shape.name)?;
        for (property, value) in self.properties() {
            map.serialize_entry(property.name, &*value)?;
        }
        map.end()
    }
}

/// A record without what is as usual.
pub struct Lean<'a>(&'a Record);

impl Serialize for Lean<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(TYPE_KEY, self.0.shape.name)?;
        for (place, value) in &self.0.values {
            map.serialize_entry(self.0.shape.properties[*place].name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static VIEW: View = View { type_name: "Test", table: &["Name"], identity: "Name" };
    static SHAPE: Shape = Shape {
        name: "Thing",
        view: &VIEW,
        properties: &[
            property("Name", "name", PropertyKind::Text, Usual::Null),
            property("Enabled", "enabled", PropertyKind::Bool, Usual::Bool(true)),
            property("Count", "count", PropertyKind::Unlimited(&PropertyKind::Int), Usual::Int(5)),
            property("Parts", "parts", PropertyKind::List(&PropertyKind::Text), Usual::Texts(&["a"])),
        ],
    };

    #[test]
    fn a_record_keeps_the_order_of_its_shape_and_a_lean_one_leaves_out_what_is_usual() {
        let record = Record::of(&SHAPE).with("Count", "unlimited").with("Name", "x");
        let written = serde_json::to_string(&record).expect("written");
        assert_eq!(written, r#"{"@type":"Thing","Name":"x","Enabled":true,"Count":"unlimited","Parts":["a"]}"#);
        let lean = serde_json::to_string(&record.lean()).expect("written");
        assert_eq!(lean, r#"{"@type":"Thing","Name":"x","Count":"unlimited"}"#);
        let other = Record::of(&SHAPE).with("Count", 5).with("Parts", Vec::<String>::new()).with("Enabled", false);
        let lean = serde_json::to_string(&other.lean()).expect("written");
        assert_eq!(lean, r#"{"@type":"Thing","Enabled":false,"Parts":[]}"#);
        assert_eq!(record.get("COUNT").as_deref(), Some(&Json::from("unlimited")));
        assert_eq!(record.get("Enabled").as_deref(), Some(&Json::from(true)));
        let again = record.with("Enabled", false).with("Enabled", true).with("Count", 7).with("Count", 8);
        assert_eq!(serde_json::to_string(&again.lean()).expect("written"), r#"{"@type":"Thing","Name":"x","Count":8}"#);
    }
}
