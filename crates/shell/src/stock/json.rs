//! JSON: text, numbers, lists and objects with properties, and nothing else.

use std::fmt;
use std::rc::Rc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert::{self, time};
use crate::fault::{Category, Fault};
use crate::member;
use crate::value::{CUSTOM, Object, Value};

use super::parameter::{SIGNATURE, VALUES, at, named, piped, switch};

/// The longest text that is read.
const BYTES_MAX: usize = 64 << 20;
/// Levels that ConvertTo-Json goes down unless it is told.
const DEPTH: usize = 2;
const DEPTH_MAX: usize = 100;

/// ConvertTo-Json.
pub(super) const TO: StockCommand = StockCommand {
    signature: &Signature {
        name: "ConvertTo-Json",
        synopsis: "Makes JSON text of objects.",
        parameters: &[
            piped(at(0, "InputObject", Kind::Any, "The objects.")),
            named("Depth", Kind::Int, "Objects within objects, 2 if not given; deeper ones are text."),
            switch("Compress", "Without white space."),
            switch("AsArray", "A list also of a single object."),
            switch("EnumsAsStrings", "Taken, and of no consequence."),
        ],
        examples: &[("Get-ReceiveConnector | select Name,RemoteIPRanges | ConvertTo-Json", "Names and ranges.")],
        ..SIGNATURE
    },
    make: || Box::new(To::default()),
};

#[derive(Default)]
struct To {
    values: Vec<Value>,
    is_piped: bool,
}

impl Stage for To {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        context.charge(size_of::<Value>())?;
        self.is_piped = input.is_some();
        self.values.extend(input.or_else(|| call.argument("InputObject")).cloned());
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let depth = match call.argument("Depth") {
            Some(depth) => usize::try_from(convert::integer(depth)?).unwrap_or(0).clamp(1, DEPTH_MAX),
            None => DEPTH,
        };
        let values = std::mem::take(&mut self.values);
        let value = match values.as_slice() {
            [] => return Ok(()),
            [one] if !call.is_set("AsArray") => one.clone(),
            _ => Value::array(values),
        };
        // The list of a pipeline's objects is no level of its own.
        let depth = if matches!(value, Value::List(_)) && self.is_piped { depth + 1 } else { depth };
        let mut writer = Writer { out: String::new(), is_compressed: call.is_set("Compress"), depth };
        writer.value(context, &value, 0)?;
        context.value(Value::text(writer.out))
    }
}

struct Writer {
    out: String,
    is_compressed: bool,
    depth: usize,
}

impl Writer {
    fn text(&mut self, text: &str) {
        // Text always has a JSON form.
        self.out += &serde_json::to_string(text).unwrap_or_default();
    }

    fn line(&mut self, level: usize) {
        if !self.is_compressed {
            self.out.push('\n');
            self.out += &"  ".repeat(level);
        }
    }

    fn value(&mut self, context: &mut dyn Context, value: &Value, level: usize) -> Result<(), Fault> {
        context.check()?;
        let before = self.out.len();
        match value {
            Value::Null => self.out += "null",
            Value::Bool(is) => self.out += if *is { "true" } else { "false" },
            Value::Int(number) => self.out += &number.to_string(),
            Value::Float(number) if number.is_finite() => {
                let text = convert::number::float_text(*number);
                self.out += &text;
                if !text.contains(['.', 'E']) {
                    self.out += ".0";
                }
            }
            Value::Time(moment) => {
                let text = time::format(moment, "yyyy-MM-ddTHH:mm:ss.FFFFFFFK")?;
                self.text(&text.replace(".+", "+").replace(".-", "-").replace(".Z", "Z"));
            }
            Value::List(list) => {
                let values = list.values.borrow().clone();
                self.list(context, &values, level)?;
            }
            Value::Table(table) if level <= self.depth => {
                let entries: Vec<(String, Value)> =
                    table.borrow().entries().iter().map(|(key, value)| (convert::text(key), value.clone())).collect();
                self.object(context, &entries, level)?;
            }
            Value::Object(object) if level <= self.depth => {
                let names: Vec<String> = object
                    .properties
                    .borrow()
                    .iter()
                    .filter(|(_, value)| !member::is_method(value))
                    .map(|(name, _)| name.to_string())
                    .collect();
                let mut entries = Vec::with_capacity(names.len());
                for name in names {
                    let found = member::property(context, value, &name)?.unwrap_or_default();
                    entries.push((name, found));
                }
                self.object(context, &entries, level)?;
            }
            Value::Foreign(foreign) => match foreign.elements() {
                Some(elements) => self.list(context, &elements, level)?,
                None => self.text(&foreign.text()),
            },
            other => self.text(&convert::text(other)),
        }
        context.charge(self.out.len() - before)
    }

    fn list(&mut self, context: &mut dyn Context, values: &[Value], level: usize) -> Result<(), Fault> {
        if level > self.depth {
            let text = convert::text(&Value::array(values.to_vec()));
            self.text(&text);
            return Ok(());
        }
        if values.is_empty() {
            self.out += "[]";
            return Ok(());
        }
        self.out.push('[');
        for (at, one) in values.iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.line(level + 1);
            self.value(context, one, level + 1)?;
        }
        self.line(level);
        self.out.push(']');
        Ok(())
    }

    fn object(&mut self, context: &mut dyn Context, entries: &[(String, Value)], level: usize) -> Result<(), Fault> {
        if entries.is_empty() {
            self.out += "{}";
            return Ok(());
        }
        self.out.push('{');
        for (at, (name, value)) in entries.iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.line(level + 1);
            self.text(name);
            self.out += if self.is_compressed { ":" } else { ": " };
            self.value(context, value, level + 1)?;
        }
        self.line(level);
        self.out.push('}');
        Ok(())
    }
}

/// ConvertFrom-Json.
pub(super) const FROM: StockCommand = StockCommand {
    signature: &Signature {
        name: "ConvertFrom-Json",
        synopsis: "Makes objects of JSON text.",
        parameters: &[
            piped(at(0, "InputObject", VALUES, "The text, or its lines.")),
            switch("AsHashtable", "Tables instead of objects."),
            switch("NoEnumerate", "A list stays one object."),
            named("Depth", Kind::Int, "Taken, and of no consequence."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(From::default()),
};

#[derive(Default)]
struct From {
    text: String,
}

impl Stage for From {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for part in convert::elements(call.argument("InputObject").unwrap_or(&Value::Null)) {
            let part = convert::text(&part);
            context.charge(part.len())?;
            self.text += &part;
            self.text.push('\n');
        }
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return Ok(());
        }
        // A value takes more room than the text it is read from.
        context.charge(text.len().saturating_mul(8))?;
        let value = parse(&text)?;
        let value = if call.is_set("AsHashtable") { tables(value) } else { value };
        match value {
            Value::List(list) if !call.is_set("NoEnumerate") => {
                let values = list.values.borrow().clone();
                values.into_iter().try_for_each(|one| context.value(one))
            }
            one => context.value(one),
        }
    }
}

/// Objects as tables, however deep: the reader has bounded the depth.
fn tables(value: Value) -> Value {
    match value {
        Value::List(list) => Value::array(list.values.borrow().iter().cloned().map(tables).collect()),
        Value::Object(object) => Value::table(
            object.properties.borrow().iter().map(|(name, value)| (Value::text(name), tables(value.clone()))),
        ),
        other => other,
    }
}

/// Reads JSON; the library bounds the depth at 128.
pub(super) fn parse(text: &str) -> Result<Value, Fault> {
    let failed = |because: String| {
        let mut fault =
            Fault::new(Category::InvalidArgument, format!("Conversion from JSON failed with error: {because}."));
        fault.exception = "System.ArgumentException";
        fault
    };
    if text.len() > BYTES_MAX {
        return Err(failed(format!("the text is longer than {BYTES_MAX} bytes")));
    }
    serde_json::from_str::<Read>(text).map(|read| read.0).map_err(|error| failed(error.to_string()))
}

/// A value as it is read.
struct Read(Value);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Read, D::Error> {
        deserializer.deserialize_any(Reader).map(Read)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: de::Error>(self, is: bool) -> Result<Value, E> {
        Ok(Value::Bool(is))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Read(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut properties = Vec::new();
        let mut known = std::collections::HashSet::new();
        while let Some((name, Read(value))) = map.next_entry::<String, Read>()? {
            if !known.insert(name.to_lowercase()) {
                return Err(de::Error::custom(format!("the key '{name}' stands twice")));
            }
            properties.push((name.into(), value));
        }
        Ok(Value::Object(Rc::new(Object::new(&CUSTOM, properties))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["{", "{'a':1}", "[1,]", "{\"a\":1,\"A\":2}", &"[".repeat(1000)] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[\\[\\]{}:,\"a0-9.\\\\ ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
