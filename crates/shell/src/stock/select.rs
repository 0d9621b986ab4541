//! Select-Object and Get-Unique.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault, Severity};
use crate::format::column::Column;
use crate::member;
use crate::value::{CUSTOM, Object, Value};

use super::parameter::{SIGNATURE, TEXTS, VALUES, at, input, named, switch};

/// Select-Object.
pub(super) const SELECT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Select-Object",
        synopsis: "Takes some properties of each object, or some of the objects.",
        parameters: &[
            at(0, "Property", VALUES, "Names, wildcards, or @{ Name = 'Title'; Expression = { } }."),
            named("ExcludeProperty", TEXTS, "Names and wildcards of properties to leave out."),
            named("ExpandProperty", Kind::Text, "A property whose value or values take the object's place."),
            named("First", Kind::Int, "Only so many of the first objects."),
            named("Last", Kind::Int, "Only so many of the last."),
            named("Skip", Kind::Int, "Without so many of the first."),
            named("SkipLast", Kind::Int, "Without so many of the last."),
            named("Index", Kind::List(&Kind::Int), "Those at these places, from 0."),
            switch("Unique", "Of those that are the same only the first."),
            switch("Wait", "Taken, and of no consequence."),
            input(),
        ],
        examples: &[
            (
                "Get-ReceiveConnector | Select-Object Name, @{ n = 'Ranges'; e = { $_.RemoteIPRanges -join ';' } }",
                "Two columns.",
            ),
            ("Get-ReceiveConnector | select -ExpandProperty RemoteIPRanges -Unique", "The ranges of all connectors."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Select::default()),
};

#[derive(Default)]
struct Select {
    columns: Vec<Column>,
    excluded: Vec<String>,
    expand: Option<String>,
    first: Option<usize>,
    skip: usize,
    /// `-Last` and `-SkipLast`, with the objects that wait.
    last: Option<usize>,
    skip_last: usize,
    waiting: VecDeque<Value>,
    indexes: Option<HashSet<usize>>,
    seen: usize,
    passed: usize,
    is_unique: bool,
    known: HashSet<String>,
}

impl Stage for Select {
    fn begin(&mut self, _context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let count = |name: &str| -> Result<Option<usize>, Fault> {
            let Some(value) = call.argument(name) else { return Ok(None) };
            let number = convert::integer(value)?;
            usize::try_from(number).map(Some).map_err(|_| {
                Fault::new(
                    Category::InvalidArgument,
                    format!("-{name} wants a number that is not negative, not {number}."),
                )
            })
        };
        self.columns = call.argument("Property").map(Column::parse_all).transpose()?.unwrap_or_default();
        self.excluded = call
            .argument("ExcludeProperty")
            .map(convert::elements)
            .unwrap_or_default()
            .iter()
            .map(convert::text)
            .collect();
        if self.columns.is_empty() && !self.excluded.is_empty() {
            self.columns = vec![Column::property("*")];
        }
        self.expand = call.argument("ExpandProperty").map(convert::text);
        self.first = count("First")?;
        self.last = count("Last")?;
        self.skip = count("Skip")?.unwrap_or_default();
        self.skip_last = count("SkipLast")?.unwrap_or_default();
        self.indexes = call.argument("Index").map(|value| {
            let places = convert::elements(value);
            places.iter().filter_map(|place| usize::try_from(convert::integer(place).ok()?).ok()).collect()
        });
        self.is_unique = call.is_set("Unique");
        Ok(())
    }

    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        if self.first == Some(0) {
            return Err(context.done());
        }
        let at = self.seen;
        self.seen += 1;
        if let Some(indexes) = &self.indexes {
            let (is_wanted, most) = (indexes.contains(&at), indexes.iter().max().copied());
            if is_wanted {
                self.pass(context, input)?;
            }
            return match most {
                Some(most) if at < most => Ok(()),
                _ => Err(context.done()),
            };
        }
        if let Some(last) = self.last {
            self.waiting.push_back(input.clone());
            // -Skip counts from the end here.
            if self.waiting.len() > last.saturating_add(self.skip) {
                self.waiting.pop_front();
            }
            if let Some(first) = self.first
                && at < first
            {
                self.pass(context, input)?;
            }
            return Ok(());
        }
        if at < self.skip {
            return Ok(());
        }
        if self.skip_last > 0 {
            self.waiting.push_back(input.clone());
            return match self.waiting.len() > self.skip_last {
                true => {
                    let next = self.waiting.pop_front().unwrap_or_default();
                    self.pass(context, &next)
                }
                false => Ok(()),
            };
        }
        self.pass(context, input)?;
        match self.first {
            Some(first) if self.passed >= first => Err(context.done()),
            _ => Ok(()),
        }
    }

    fn end(&mut self, context: &mut dyn Context, _call: &Call<'_>) -> Result<(), Fault> {
        let Some(last) = self.last else { return Ok(()) };
        let waiting = std::mem::take(&mut self.waiting);
        // What -First has let through already is not among the last again.
        let first = self.first.unwrap_or(0);
        let begins_at = self.seen - waiting.len();
        let count = waiting.len().saturating_sub(self.skip).min(last);
        let start = waiting.len().saturating_sub(self.skip + count);
        for (place, value) in waiting.iter().enumerate().skip(start).take(count) {
            if begins_at + place >= first {
                self.pass(context, value)?;
            }
        }
        Ok(())
    }
}

impl Select {
    fn pass(&mut self, context: &mut dyn Context, input: &Value) -> Result<(), Fault> {
        self.passed += 1;
        if let Some(expand) = &self.expand {
            let found = member::property(context, input, expand)?;
            let Some(found) = found else {
                let mut fault =
                    Fault::new(Category::InvalidArgument, format!("Property \"{expand}\" cannot be found."))
                        .with_severity(Severity::Continuing);
                fault.target = Some(convert::text(input));
                return context.error(fault);
            };
            for one in convert::elements(&found) {
                let one = match &one {
                    Value::Object(object) if !self.columns.is_empty() => {
                        let copy = Object::new(object.view, object.properties.borrow().clone());
                        for (name, value) in self.properties(context, input)? {
                            copy.set(&name, value);
                        }
                        Value::Object(Rc::new(copy))
                    }
                    _ => one,
                };
                self.emit(context, one)?;
            }
            return Ok(());
        }
        if self.columns.is_empty() {
            return self.emit(context, input.clone());
        }
        let properties = self.properties(context, input)?;
        let properties = properties.into_iter().map(|(name, value)| (name.into(), value)).collect();
        self.emit(context, Value::Object(Rc::new(Object::new(&CUSTOM, properties))))
    }

    fn properties(&self, context: &mut dyn Context, input: &Value) -> Result<Vec<(String, Value)>, Fault> {
        let mut properties: Vec<(String, Value)> = Vec::new();
        for column in &self.columns {
            for one in column.expand(input) {
                let title = one.title();
                let is_taken = properties.iter().any(|(known, _)| known.eq_ignore_ascii_case(&title));
                let is_excluded = self.excluded.iter().any(|pattern| wildcard::matches(pattern, &title, false));
                if !is_taken && !is_excluded {
                    let value = one.value(context, input)?.unwrap_or_default();
                    properties.push((title, value));
                }
            }
        }
        Ok(properties)
    }

    fn emit(&mut self, context: &mut dyn Context, value: Value) -> Result<(), Fault> {
        if self.is_unique && !self.known.insert(signature_of(&value)) {
            return Ok(());
        }
        context.value(value)
    }
}

/// What two objects have in common that are the same: their type and all their properties as text.
pub(super) fn signature_of(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let properties = object.properties.borrow();
            let parts: Vec<String> = properties
                .iter()
                .map(|(name, value)| {
                    format!("{}={}", name.to_lowercase(), convert::joined(value, "\u{1f}").to_lowercase())
                })
                .collect();
            parts.join("\u{1e}")
        }
        Value::Text(text) => text.to_string(),
        other => format!("{}\u{1e}{}", convert::type_name(other), convert::joined(other, "\u{1f}")),
    }
}

/// Get-Unique.
pub(super) const UNIQUE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Unique",
        synopsis: "Lets through what differs from the object before it: sort first.",
        parameters: &[
            switch("AsString", "Compares as text, without case."),
            switch("OnType", "One of each type."),
            input(),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Unique::default()),
};

#[derive(Default)]
struct Unique {
    before: Option<String>,
}

impl Stage for Unique {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        let now = if call.is_set("OnType") {
            convert::type_name(input)
        } else if call.is_set("AsString") {
            convert::text(input).to_lowercase()
        } else {
            signature_of(input)
        };
        if self.before.as_ref() == Some(&now) {
            return Ok(());
        }
        self.before = Some(now);
        context.value(input.clone())
    }
}
