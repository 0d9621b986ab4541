//! Sort-Object, Group-Object, Measure-Object, Compare-Object: what needs all objects first.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert;
use crate::fault::{Category, Fault, Severity};
use crate::format::column::Column;
use crate::value::{CUSTOM, Object, Value, View};

use super::parameter::{ANY, SIGNATURE, TEXTS, VALUES, at, input, named, needed, piped, switch};
use super::select::signature_of;

/// Takes the objects of the pipeline, or those of `-InputObject`.
fn gather(
    all: &mut Vec<Value>,
    context: &mut dyn Context,
    call: &Call<'_>,
    input: Option<&Value>,
) -> Result<(), Fault> {
    context.charge(size_of::<Value>())?;
    match (input, call.argument("InputObject")) {
        (Some(input), _) => all.push(input.clone()),
        (None, Some(given)) => all.extend(convert::elements(given)),
        (None, None) => {}
    }
    Ok(())
}

/// Sort-Object.
pub(super) const SORT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Sort-Object",
        synopsis: "Puts objects in order.",
        parameters: &[
            at(0, "Property", VALUES, "What to sort by: names, blocks, or @{ Expression = { }; Descending = $true }."),
            switch("Descending", "The greatest first."),
            switch("Unique", "Of those that are the same only the first."),
            switch("CaseSensitive", "Looks at case."),
            named("Culture", Kind::Text, "Taken, and of no consequence."),
            named("Top", Kind::Int, "Only so many of the first."),
            named("Bottom", Kind::Int, "Only so many of the last."),
            switch("Stable", "It always is."),
            input(),
        ],
        examples: &[("Get-Queue | sort MessageCount -Descending | select -First 5", "The five longest queues.")],
        ..SIGNATURE
    },
    make: || Box::new(Sort::default()),
};

#[derive(Default)]
struct Sort {
    values: Vec<Value>,
}

impl Stage for Sort {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        gather(&mut self.values, context, call, input)
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let columns = call.argument("Property").map(Column::parse_all).transpose()?.unwrap_or_default();
        let (is_descending, is_case_sensitive) = (call.is_set("Descending"), call.is_set("CaseSensitive"));
        let values = std::mem::take(&mut self.values);
        context.charge(values.len() * size_of::<Value>() * (columns.len() + 1))?;
        let mut keyed: Vec<(Vec<Value>, Value)> = Vec::with_capacity(values.len());
        for value in values {
            context.check()?;
            let mut keys = Vec::with_capacity(columns.len());
            for column in &columns {
                keys.push(column.value(context, &value)?.unwrap_or_default());
            }
            if columns.is_empty() {
                keys.push(value.clone());
            }
            keyed.push((keys, value));
        }
        let order = |one: &[Value], other: &[Value]| {
            one.iter()
                .zip(other)
                .enumerate()
                .map(|(at, (one, other))| {
                    let order = order_of(one, other, is_case_sensitive);
                    let is_down = columns.get(at).and_then(|column| column.is_descending).unwrap_or(is_descending);
                    if is_down { order.reverse() } else { order }
                })
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        keyed.sort_by(|(one, _), (other, _)| order(one, other));
        if call.is_set("Unique") {
            keyed.dedup_by(|(one, _), (other, _)| order(other, one).is_eq());
        }
        if let Some(top) = call.argument("Top") {
            keyed.truncate(usize::try_from(convert::integer(top)?).unwrap_or_default());
        }
        if let Some(bottom) = call.argument("Bottom") {
            let count = usize::try_from(convert::integer(bottom)?).unwrap_or_default();
            keyed.drain(..keyed.len().saturating_sub(count));
        }
        keyed.into_iter().try_for_each(|(_, value)| context.value(value))
    }
}

/// An order for all values: nothing first, what cannot be compared as text.
pub(super) fn order_of(one: &Value, other: &Value, is_case_sensitive: bool) -> Ordering {
    match (one, other) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        // A number among texts would else fail against half of them and not against the other.
        (Value::Int(_) | Value::Float(_), Value::Text(_)) | (Value::Text(_), Value::Int(_) | Value::Float(_)) => {
            convert::compare_texts(&convert::text(one), &convert::text(other), is_case_sensitive)
        }
        _ => convert::compare(one, other, is_case_sensitive)
            .unwrap_or_else(|_| convert::compare_texts(&convert::text(one), &convert::text(other), is_case_sensitive)),
    }
}

static GROUP_VIEW: View =
    View { type_name: "Microsoft.PowerShell.Commands.GroupInfo", table: &["Count", "Name", "Group"], identity: "" };
static GROUP_NAMES: View =
    View { type_name: "Microsoft.PowerShell.Commands.GroupInfoNoElement", table: &["Count", "Name"], identity: "" };

/// Group-Object.
pub(super) const GROUP: StockCommand = StockCommand {
    signature: &Signature {
        name: "Group-Object",
        synopsis: "Puts objects together that have the same values.",
        parameters: &[
            at(0, "Property", VALUES, "What has to be the same."),
            switch("NoElement", "Counts only, without the objects."),
            switch("AsHashTable", "One table of all groups by their values."),
            switch("AsString", "Keys of that table are text."),
            switch("CaseSensitive", "Looks at case."),
            input(),
        ],
        examples: &[("Get-MessageTrackingLog -ResultSize Unlimited | group EventId", "Events by their kind.")],
        ..SIGNATURE
    },
    make: || Box::new(Group::default()),
};

#[derive(Default)]
struct Group {
    values: Vec<Value>,
}

impl Stage for Group {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        gather(&mut self.values, context, call, input)
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let columns = call.argument("Property").map(Column::parse_all).transpose()?.unwrap_or_default();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
        for value in std::mem::take(&mut self.values) {
            context.check()?;
            let mut keys = Vec::new();
            for column in &columns {
                keys.push(column.value(context, &value)?.unwrap_or_default());
            }
            if columns.is_empty() {
                keys.push(value.clone());
            }
            let key = keys.iter().map(|key| convert::joined(key, " ")).collect::<Vec<_>>().join("\u{1e}");
            let key = if call.is_set("CaseSensitive") { key } else { key.to_lowercase() };
            let at = *places.entry(key).or_insert(groups.len());
            if at == groups.len() {
                groups.push((keys, Vec::new()));
            }
            groups[at].1.push(value);
        }
        if call.is_set("AsHashTable") {
            let entries = groups.into_iter().map(|(mut keys, values)| {
                let key = if keys.len() == 1 && !call.is_set("AsString") {
                    keys.remove(0)
                } else {
                    Value::text(name_of(&keys))
                };
                (key, Value::array(values))
            });
            return context.value(Value::table(entries));
        }
        for (keys, values) in groups {
            let mut properties =
                vec![("Count".into(), Value::Int(values.len() as i64)), ("Name".into(), Value::text(name_of(&keys)))];
            let view = if call.is_set("NoElement") {
                &GROUP_NAMES
            } else {
                properties.push(("Group".into(), Value::array(values)));
                &GROUP_VIEW
            };
            properties.push(("Values".into(), Value::array(keys)));
            context.value(Value::Object(Rc::new(Object::new(view, properties))))?;
        }
        Ok(())
    }
}

fn name_of(keys: &[Value]) -> String {
    keys.iter().map(convert::text).collect::<Vec<_>>().join(", ")
}

static MEASURE_VIEW: View =
    View { type_name: "Microsoft.PowerShell.Commands.GenericMeasureInfo", table: &[], identity: "" };
static TEXT_MEASURE_VIEW: View = View {
    type_name: "Microsoft.PowerShell.Commands.TextMeasureInfo",
    table: &["Lines", "Words", "Characters", "Property"],
    identity: "",
};

/// Measure-Object.
pub(super) const MEASURE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Measure-Object",
        synopsis: "Counts objects; adds up and averages their numbers.",
        parameters: &[
            at(0, "Property", VALUES, "The properties whose values are measured."),
            switch("Sum", "Adds up."),
            switch("Average", "The mean."),
            switch("Maximum", "The greatest."),
            switch("Minimum", "The least."),
            switch("AllStats", "All of these."),
            switch("Line", "Counts the lines of text."),
            switch("Word", "Counts its words."),
            switch("Character", "Counts its characters."),
            switch("IgnoreWhiteSpace", "Characters without white space."),
            input(),
        ],
        examples: &[("(Get-Queue | measure MessageCount -Sum).Sum", "Messages in all queues.")],
        ..SIGNATURE
    },
    make: || Box::new(Measure::default()),
};

#[derive(Default)]
struct Measure {
    values: Vec<Value>,
}

impl Stage for Measure {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        // What is not there is not counted.
        match input {
            Some(Value::Null) => Ok(()),
            input => gather(&mut self.values, context, call, input),
        }
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let values = std::mem::take(&mut self.values);
        let columns = call.argument("Property").map(Column::parse_all).transpose()?.unwrap_or_default();
        if columns.is_empty() {
            return measured(context, call, None, &values);
        }
        for column in
            columns.iter().flat_map(|column| values.first().map_or(vec![column.clone()], |first| column.expand(first)))
        {
            let mut own = Vec::new();
            for value in &values {
                context.check()?;
                own.extend(column.value(context, value)?.filter(|found| !found.is_null()));
            }
            if own.is_empty() && !values.is_empty() {
                let fault = Fault::new(
                    Category::InvalidArgument,
                    format!("The property \"{}\" cannot be found in the input for any objects.", column.title()),
                );
                context.error(fault.with_severity(Severity::Continuing))?;
                continue;
            }
            measured(context, call, Some(column.title()), &own)?;
        }
        Ok(())
    }
}

fn measured(
    context: &mut dyn Context,
    call: &Call<'_>,
    property: Option<String>,
    values: &[Value],
) -> Result<(), Fault> {
    let property = property.map(Value::text).unwrap_or_default();
    if call.is_set("Line") || call.is_set("Word") || call.is_set("Character") {
        let texts: Vec<String> = values.iter().map(convert::text).collect();
        let count = |is_wanted: bool, count: fn(&str) -> usize| {
            if is_wanted { Value::Int(texts.iter().map(|text| count(text)).sum::<usize>() as i64) } else { Value::Null }
        };
        let letters: fn(&str) -> usize = if call.is_set("IgnoreWhiteSpace") {
            |text| text.chars().filter(|sign| !sign.is_whitespace()).count()
        } else {
            |text| text.chars().count()
        };
        let properties = vec![
            ("Lines".into(), count(call.is_set("Line"), |text| text.lines().count())),
            ("Words".into(), count(call.is_set("Word"), |text| text.split_whitespace().count())),
            ("Characters".into(), count(call.is_set("Character"), letters)),
            ("Property".into(), property),
        ];
        return context.value(Value::Object(Rc::new(Object::new(&TEXT_MEASURE_VIEW, properties))));
    }
    let all = call.is_set("AllStats");
    let (sum, average) = (all || call.is_set("Sum"), all || call.is_set("Average"));
    let (mut total, mut whole) = (0.0, Some(0i64));
    if sum || average {
        for value in values {
            let number = match value {
                Value::Span(span) => Value::Int(span.ticks),
                other => match convert::number(other) {
                    Some(number) => number,
                    None => {
                        let fault = Fault::new(
                            Category::InvalidArgument,
                            format!("Input object \"{}\" is not numeric.", convert::text(value)),
                        );
                        context.error(fault.with_severity(Severity::Continuing))?;
                        continue;
                    }
                },
            };
            total += convert::as_float(&number);
            whole = match (whole, number) {
                (Some(whole), Value::Int(number)) => whole.checked_add(number),
                _ => None,
            };
        }
    }
    // Numbers are compared as numbers, also where text holds them, as in what Import-Csv yields.
    let as_number = |value: &Value| match value {
        Value::Text(text) if !text.trim().is_empty() => convert::number(value),
        _ => None,
    };
    let numbers: Option<Vec<Value>> = values.iter().map(as_number).collect();
    let compared = numbers.as_deref().unwrap_or(values);
    let extreme = |is_wanted: bool, wins: Ordering| {
        let mut found: Option<&Value> = None;
        for value in compared.iter().filter(|_| is_wanted) {
            if found.is_none_or(|found| order_of(value, found, false) == wins) {
                found = Some(value);
            }
        }
        found.cloned()
    };
    let of_sum = match whole {
        Some(whole) => Value::Int(whole),
        None => Value::Float(total),
    };
    let mean = if values.is_empty() { Value::Null } else { Value::Float(total / values.len() as f64) };
    let properties = vec![
        ("Count".into(), Value::Int(values.len() as i64)),
        ("Average".into(), if average { mean } else { Value::Null }),
        ("Sum".into(), if sum { of_sum } else { Value::Null }),
        ("Maximum".into(), extreme(all || call.is_set("Maximum"), Ordering::Greater).unwrap_or_default()),
        ("Minimum".into(), extreme(all || call.is_set("Minimum"), Ordering::Less).unwrap_or_default()),
        ("Property".into(), property),
    ];
    context.value(Value::Object(Rc::new(Object::new(&MEASURE_VIEW, properties))))
}

/// Compare-Object.
pub(super) const COMPARE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Compare-Object",
        synopsis: "Tells what one list has and another has not: `<=` only the first, `=>` only the second, `==` both.",
        parameters: &[
            needed(at(0, "ReferenceObject", VALUES, "The first list.")),
            needed(piped(at(1, "DifferenceObject", VALUES, "The second list."))),
            named("Property", VALUES, "What is compared; else the objects as they are."),
            named("SyncWindow", ANY, "Taken, and of no consequence: all are compared with all."),
            switch("IncludeEqual", "Tells of those that both have, too."),
            switch("ExcludeDifferent", "Tells of these alone."),
            switch("CaseSensitive", "Looks at case."),
            switch("PassThru", "The objects themselves, with the side added."),
            named("Culture", TEXTS, "Taken, and of no consequence."),
        ],
        examples: &[(
            "Compare-Object (Get-Content old.txt) (Get-ReceiveConnector Relay).RemoteIPRanges",
            "Ranges of a file beside those of a connector.",
        )],
        ..SIGNATURE
    },
    make: || Box::new(Compare::default()),
};

#[derive(Default)]
struct Compare {
    difference: Vec<Value>,
}

impl Stage for Compare {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        context.charge(size_of::<Value>())?;
        self.difference.extend(call.argument("DifferenceObject").map(convert::elements).unwrap_or_default());
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let columns = call.argument("Property").map(Column::parse_all).transpose()?.unwrap_or_default();
        let is_case_sensitive = call.is_set("CaseSensitive");
        let mut keyed = |values: Vec<Value>| -> Result<Vec<(String, Value)>, Fault> {
            let mut all = Vec::with_capacity(values.len());
            for value in values {
                context.check()?;
                let key = if columns.is_empty() {
                    match &value {
                        Value::Object(object) if object.view.identity.is_empty() => signature_of(&value),
                        other => convert::joined(other, "\u{1f}"),
                    }
                } else {
                    let mut parts = Vec::new();
                    for column in &columns {
                        parts.push(convert::joined(&column.value(context, &value)?.unwrap_or_default(), "\u{1f}"));
                    }
                    parts.join("\u{1e}")
                };
                all.push((if is_case_sensitive { key } else { key.to_lowercase() }, value));
            }
            Ok(all)
        };
        let reference = keyed(call.argument("ReferenceObject").map(convert::elements).unwrap_or_default())?;
        let difference = keyed(std::mem::take(&mut self.difference))?;
        // How many of each the first list still has for the second: what stands twice has to be matched twice.
        let mut open: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, (key, _)) in reference.iter().enumerate().rev() {
            open.entry(key).or_default().push(at);
        }
        let mut is_matched = vec![false; reference.len()];
        let mut added = Vec::new();
        let mut same = Vec::new();
        for (key, value) in &difference {
            match open.get_mut(key.as_str()).and_then(Vec::pop) {
                Some(at) => {
                    is_matched[at] = true;
                    same.push(reference[at].1.clone());
                }
                None => added.push(value.clone()),
            }
        }
        let gone =
            reference.iter().zip(&is_matched).filter(|(_, matched)| !**matched).map(|((_, value), _)| value.clone());
        let gone: Vec<Value> = gone.collect();
        let mut told = Vec::new();
        if call.is_set("IncludeEqual") {
            told.extend(same.into_iter().map(|value| (value, "==")));
        }
        if !call.is_set("ExcludeDifferent") {
            told.extend(added.into_iter().map(|value| (value, "=>")));
            told.extend(gone.into_iter().map(|value| (value, "<=")));
        }
        for (value, side) in told {
            if call.is_set("PassThru") {
                if let Value::Object(object) = &value {
                    object.set("SideIndicator", Value::text(side));
                }
                context.value(value)?;
                continue;
            }
            let mut properties = Vec::new();
            if columns.is_empty() {
                properties.push(("InputObject".into(), value));
            } else {
                for column in &columns {
                    properties.push((column.title().into(), member_value(context, column, &value)?));
                }
            }
            properties.push(("SideIndicator".into(), Value::text(side)));
            context.value(Value::Object(Rc::new(Object::new(&CUSTOM, properties))))?;
        }
        Ok(())
    }
}

fn member_value(context: &mut dyn Context, column: &Column, value: &Value) -> Result<Value, Fault> {
    Ok(column.value(context, value)?.unwrap_or_default())
}
