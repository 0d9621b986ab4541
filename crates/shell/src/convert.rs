//! What values become: text, numbers, truth; and how two of them compare.
//!
//! Takes values, hands on values or plain Rust; the rules are those of the original under the invariant culture. Nothing
//! here looks outside: what needs the zone or the time gets it as an argument.

pub mod encoding;
pub mod composite;
pub mod time;
pub mod number;
pub mod pattern;
pub mod wildcard;

use std::cmp::Ordering;

use crate::fault::{Category, Fault};
use crate::syntax::TypeName;
use crate::value::{CUSTOM, List, Object, TimeSpan, Value};

/// A value as text, as in `"$x"`; the elements of a list with spaces between them.
pub fn text(value: &Value) -> String {
    joined(value, " ")
}

/// A value as text; the elements of a list with `separator` (`$OFS`) between them.
pub fn joined(value: &Value, separator: &str) -> String {
    match value {
        Value::List(list) => {
            let values = list.values.borrow();
            let texts: Vec<String> = values.iter().map(inner_text).collect();
            texts.join(separator)
        }
        Value::Object(object) => object_text(object),
        other => inner_text(other),
    }
}

/// The text of a value within another: lists within are not opened again, so that what holds itself has an end.
fn inner_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number::float_text(*number),
        Value::Char(one) => one.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Time(moment) => time::text(moment),
        Value::Span(span) => time::span_text(*span),
        Value::List(_) | Value::Table(_) => type_name(value),
        Value::Object(object) if std::ptr::eq(object.view, &CUSTOM) => String::new(),
        Value::Object(object) => match identity(object) {
            Some(identity) => inner_text(&identity),
            None => object.view.type_name.to_owned(),
        },
        Value::Block(block) => block.source.slice(block.span).to_owned(),
        Value::Type(name) => type_text(name),
        Value::Fault(fault) => fault.message.clone(),
        Value::Foreign(foreign) => foreign.text(),
    }
}

/// A property of an object as text: the values of a property of a command's object with commas between them.
pub fn property_text(value: &Value) -> String {
    match value {
        Value::List(list) if list.kind == crate::value::ListKind::MultiValued => joined(value, ", "),
        other => inner_text(other),
    }
}

fn object_text(object: &Object) -> String {
    if let Some(identity) = identity(object) {
        return inner_text(&identity);
    }
    if !std::ptr::eq(object.view, &CUSTOM) {
        return object.view.type_name.to_owned();
    }
    let properties = object.properties.borrow();
    let parts: Vec<String> =
        properties.iter().map(|(name, value)| format!("{name}={}", property_text(value))).collect();
    format!("@{{{}}}", parts.join("; "))
}

/// What stands for an object as text, where its view names that; never a list or an object, so that there is an end.
fn identity(object: &Object) -> Option<Value> {
    let identity = object.view.identity;
    if identity.is_empty() {
        return None;
    }
    object.get(identity).filter(|value| !matches!(value, Value::List(_) | Value::Table(_) | Value::Object(_)))
}

/// The full .NET name of a value's type, as `GetType().FullName` has it.
pub fn type_name(value: &Value) -> String {
    use crate::value::ListKind;
    match value {
        Value::Null => "System.Object".to_owned(),
        Value::Bool(_) => "System.Boolean".to_owned(),
        Value::Int(number) if i32::try_from(*number).is_ok() => "System.Int32".to_owned(),
        Value::Int(_) => "System.Int64".to_owned(),
        Value::Float(_) => "System.Double".to_owned(),
        Value::Char(_) => "System.Char".to_owned(),
        Value::Text(_) => "System.String".to_owned(),
        Value::Time(_) => "System.DateTime".to_owned(),
        Value::Span(_) => "System.TimeSpan".to_owned(),
        Value::List(list) => match list.kind {
            ListKind::Array => "System.Object[]",
            ListKind::Growing => "System.Collections.ArrayList",
            ListKind::Set => "System.Collections.Generic.HashSet",
            ListKind::MultiValued => "Microsoft.Exchange.Data.MultiValuedProperty",
        }
        .to_owned(),
        Value::Table(table) if table.borrow().is_ordered => {
            "System.Collections.Specialized.OrderedDictionary".to_owned()
        }
        Value::Table(_) => "System.Collections.Hashtable".to_owned(),
        Value::Object(object) => object.view.type_name.to_owned(),
        Value::Block(_) => "System.Management.Automation.ScriptBlock".to_owned(),
        Value::Type(_) => "System.RuntimeType".to_owned(),
        Value::Fault(_) => "System.Management.Automation.ErrorRecord".to_owned(),
        Value::Foreign(foreign) => foreign.type_name().to_owned(),
    }
}

/// A type's name in full where it is one of the short ones, as written otherwise.
pub fn type_text(name: &TypeName) -> String {
    let lower = name.name.to_ascii_lowercase();
    let full = match lower.as_str() {
        "string" => "System.String",
        "int" | "int32" => "System.Int32",
        "long" | "int64" => "System.Int64",
        "double" => "System.Double",
        "float" | "single" => "System.Single",
        "decimal" => "System.Decimal",
        "bool" | "boolean" => "System.Boolean",
        "switch" => "System.Management.Automation.SwitchParameter",
        "char" => "System.Char",
        "byte" => "System.Byte",
        "datetime" => "System.DateTime",
        "timespan" => "System.TimeSpan",
        "object" => "System.Object",
        "array" => "System.Array",
        "hashtable" => "System.Collections.Hashtable",
        "psobject" => "System.Management.Automation.PSObject",
        "pscustomobject" => "System.Management.Automation.PSCustomObject",
        "scriptblock" => "System.Management.Automation.ScriptBlock",
        "ipaddress" => "System.Net.IPAddress",
        "version" => "System.Version",
        "guid" => "System.Guid",
        "regex" => "System.Text.RegularExpressions.Regex",
        "math" => "System.Math",
        "xml" => "System.Xml.XmlDocument",
        _ => &name.name,
    };
    let mut text = full.to_owned();
    if !name.arguments.is_empty() {
        let arguments: Vec<String> = name.arguments.iter().map(type_text).collect();
        text += &format!("[{}]", arguments.join(","));
    }
    text += &"[]".repeat(usize::from(name.array_depth));
    text
}

/// Whether a value counts as true in a condition.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Int(number) => *number != 0,
        Value::Float(number) => *number != 0.0,
        Value::Char(one) => *one != '\0',
        Value::Text(text) => !text.is_empty(),
        Value::List(list) => {
            let values = list.values.borrow();
            match values.as_slice() {
                [] => false,
                // One element of a list counts by itself, unless it is a list with something in it.
                [Value::List(inner)] => !inner.values.borrow().is_empty(),
                [one] => truth(one),
                _ => true,
            }
        }
        _ => true,
    }
}

/// A value as a number, [`Value::Int`] or [`Value::Float`]; `None`: it is none.
pub fn number(value: &Value) -> Option<Value> {
    match value {
        Value::Null => Some(Value::Int(0)),
        Value::Bool(is) => Some(Value::Int(i64::from(*is))),
        Value::Int(_) | Value::Float(_) => Some(value.clone()),
        Value::Char(one) => Some(Value::Int(i64::from(u32::from(*one)))),
        Value::Text(text) => number::parse(text),
        Value::Foreign(foreign) => foreign.number().map(|number| {
            if number.fract() == 0.0 && number.abs() < 9e15 { Value::Int(number as i64) } else { Value::Float(number) }
        }),
        Value::List(list) => match list.values.borrow().as_slice() {
            [one] if !matches!(one, Value::List(_)) => self::number(one),
            _ => None,
        },
        _ => None,
    }
}

/// A value as a whole number, rounded half to even as the original rounds.
///
/// # Errors
/// In the words of the original, when it is none or too large.
pub fn integer(value: &Value) -> Result<i64, Fault> {
    match number(value) {
        Some(Value::Int(number)) => Ok(number),
        Some(Value::Float(number)) if number.abs() < 9.2e18 => Ok(number.round_ties_even() as i64),
        Some(Value::Float(_)) => Err(cannot_convert(value, "System.Int64", Some("Value was too large."))),
        _ => Err(cannot_convert(value, "System.Int32", None)),
    }
}

/// The error for a conversion that fails.
pub fn cannot_convert(value: &Value, type_name: &str, because: Option<&str>) -> Fault {
    let shown = match value {
        Value::Text(text) => format!("Cannot convert value \"{text}\" to type \"{type_name}\"."),
        Value::Null => format!("Cannot convert null to type \"{type_name}\"."),
        other => format!(
            "Cannot convert the \"{}\" value of type \"{}\" to type \"{type_name}\".",
            text(other),
            self::type_name(other)
        ),
    };
    let reason = match because {
        Some(because) => format!("{shown} Error: \"{because}\""),
        None if matches!(value, Value::Text(_)) => {
            format!("{shown} Error: \"Input string was not in a correct format.\"")
        }
        None => shown,
    };
    let mut fault = Fault::new(Category::InvalidArgument, reason);
    fault.exception = "System.Management.Automation.PSInvalidCastException";
    fault
}

/// Whether two values are the same, as `-eq` asks of single values: the left one decides how.
pub fn equals(left: &Value, right: &Value, is_case_sensitive: bool) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Bool(is), other) => *is == truth(other),
        (Value::Foreign(foreign), other) => {
            foreign.equals(other).unwrap_or_else(|| texts_equal(&foreign.text(), &text(other), is_case_sensitive))
        }
        (other, Value::Foreign(foreign)) => {
            foreign.equals(other).unwrap_or_else(|| texts_equal(&text(other), &foreign.text(), is_case_sensitive))
        }
        (Value::Text(one), other) => texts_equal(one, &text(other), is_case_sensitive),
        (Value::Char(one), Value::Text(other)) => texts_equal(&one.to_string(), other, is_case_sensitive),
        (Value::Char(one), Value::Char(other)) => texts_equal(&one.to_string(), &other.to_string(), is_case_sensitive),
        (Value::List(one), Value::List(other)) => std::rc::Rc::ptr_eq(one, other),
        (Value::Table(one), Value::Table(other)) => std::rc::Rc::ptr_eq(one, other),
        (Value::Object(one), Value::Object(other)) => {
            std::rc::Rc::ptr_eq(one, other)
                || !one.view.identity.is_empty()
                    && std::ptr::eq(one.view, other.view)
                    && texts_equal(&object_text(one), &object_text(other), is_case_sensitive)
        }
        (Value::Object(one), other @ Value::Text(_)) => texts_equal(&object_text(one), &text(other), is_case_sensitive),
        (Value::Type(one), other) => texts_equal(
            &type_text(one),
            &match other {
                Value::Type(other) => type_text(other),
                other => text(other),
            },
            is_case_sensitive,
        ),
        (Value::Block(one), Value::Block(other)) => std::rc::Rc::ptr_eq(one, other),
        _ => compare(left, right, is_case_sensitive).is_ok_and(Ordering::is_eq),
    }
}

/// How two values stand to each other, as `-lt` asks: the left one decides how.
///
/// # Errors
/// In the words of the original, when the right one cannot become what the left one is.
pub fn compare(left: &Value, right: &Value, is_case_sensitive: bool) -> Result<Ordering, Fault> {
    let as_numbers = |left: &Value, right: &Value| match (number(left), number(right)) {
        (Some(Value::Int(left)), Some(Value::Int(right))) => Some(left.cmp(&right)),
        (Some(left), Some(right)) => Some(as_float(&left).total_cmp(&as_float(&right))),
        _ => None,
    };
    let found = match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        // $null counts as 0 beside a number, and comes before everything else.
        (Value::Null, Value::Int(_) | Value::Float(_)) => as_numbers(left, right),
        (Value::Null, _) => Some(Ordering::Less),
        (_, Value::Null) if !matches!(left, Value::Int(_) | Value::Float(_) | Value::Bool(_)) => {
            Some(Ordering::Greater)
        }
        (Value::Foreign(foreign), _) => foreign.compare(right).or_else(|| match foreign.number() {
            Some(_) => as_numbers(left, right),
            None => Some(compare_texts(&foreign.text(), &text(right), is_case_sensitive)),
        }),
        (Value::Int(_) | Value::Float(_), _) => as_numbers(left, right),
        (Value::Bool(is), _) => Some(is.cmp(&truth(right))),
        (Value::Time(left), Value::Time(right)) => Some(left.timestamp().cmp(&right.timestamp())),
        (Value::Time(left), Value::Text(right)) => {
            time::parse(right, left).map(|right| left.timestamp().cmp(&right.timestamp()))
        }
        (Value::Span(left), Value::Span(right)) => Some(left.cmp(right)),
        (Value::Span(left), Value::Text(right)) => time::parse_span(right).map(|right| left.cmp(&right)),
        (Value::Span(left), Value::Int(right)) => Some(left.cmp(&TimeSpan { ticks: *right })),
        (Value::Text(left), _) => Some(compare_texts(left, &text(right), is_case_sensitive)),
        (Value::Char(left), _) => Some(compare_texts(&left.to_string(), &text(right), is_case_sensitive)),
        (Value::Object(object), _) if !object.view.identity.is_empty() => {
            Some(compare_texts(&text(left), &text(right), is_case_sensitive))
        }
        (Value::Type(_), _) => Some(compare_texts(&text(left), &text(right), is_case_sensitive)),
        _ => None,
    };
    found.ok_or_else(|| {
        let mut fault = Fault::new(
            Category::InvalidOperation,
            format!(
                "Cannot compare \"{}\" to \"{}\": the one is of type \"{}\", the other of type \"{}\".",
                text(left),
                text(right),
                type_name(left),
                type_name(right)
            ),
        );
        fault.exception = "System.Management.Automation.RuntimeException";
        fault
    })
}

/// A number as a fraction; 0 for what is no number.
pub fn as_float(value: &Value) -> f64 {
    match number(value) {
        Some(Value::Int(number)) => number as f64,
        Some(Value::Float(number)) => number,
        _ => 0.0,
    }
}

/// Whether two texts are the same.
pub fn texts_equal(left: &str, right: &str, is_case_sensitive: bool) -> bool {
    if is_case_sensitive { left == right } else { folded(left).eq(folded(right)) }
}

/// How two texts stand to each other. Without case, letters compare by their lower case.
pub fn compare_texts(left: &str, right: &str, is_case_sensitive: bool) -> Ordering {
    let without_case = folded(left).cmp(folded(right));
    if is_case_sensitive && without_case.is_eq() {
        // As dictionaries have it: the small letter before its capital.
        return right.cmp(left);
    }
    without_case
}

/// The letters of a text without case.
pub fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(char::to_lowercase)
}

/// The name of a list that is nearest to `name`, if one is near: for errors that say what to write instead.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const DISTANCE_MAX: usize = 3;
    let wanted: Vec<char> = folded(name).take(NEAREST_LENGTH_MAX).collect();
    known
        .into_iter()
        .map(|known| (distance(&wanted, &folded(known).take(NEAREST_LENGTH_MAX).collect::<Vec<char>>()), known))
        .filter(|(distance, known)| *distance <= DISTANCE_MAX.min(known.chars().count() / 2).min(wanted.len() / 2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Longer names are compared by their beginnings: the cost grows with the square.
const NEAREST_LENGTH_MAX: usize = 64;

/// How many letters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut rows: [Vec<usize>; 3] = [Vec::new(), (0..=right.len()).collect(), Vec::new()];
    for (i, one) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in right.iter().enumerate() {
            let changed = rows[1][j] + usize::from(one != other);
            let mut best = changed.min(rows[1][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left[i - 1] == *other && *one == right[j - 1] {
                best = best.min(rows[0][j - 1] + 1);
            }
            row.push(best);
        }
        rows.rotate_left(1);
        rows[1] = row;
    }
    rows[1][right.len()]
}

/// The elements of a list, or the value itself; nothing for `$null`: what a parameter takes that wants several values.
pub fn elements(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::List(list) => list.values.borrow().clone(),
        other => vec![other.clone()],
    }
}

/// Whether a list has an element that is the same as `wanted`, as `-contains` asks.
pub fn contains(list: &List, wanted: &Value, is_case_sensitive: bool) -> bool {
    list.values.borrow().iter().any(|one| equals(one, wanted, is_case_sensitive))
}

/// What many values are together: none `$null`, one itself, more an array. So do pipelines hand over what they yielded.
pub fn gathered(mut values: Vec<Value>) -> Value {
    match values.len() {
        0 => Value::Null,
        1 => values.remove(0),
        _ => Value::array(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_text_as_in_double_quotes() {
        let custom =
            Object::new(&CUSTOM, vec![("A".into(), Value::Int(1)), ("B".into(), Value::array(vec![Value::Int(1)]))]);
        for (value, expected) in [
            (Value::Null, ""),
            (Value::Bool(true), "True"),
            (Value::array(vec![Value::Int(1), Value::text("b"), Value::Null]), "1 b "),
            (Value::array(vec![Value::array(vec![])]), "System.Object[]"),
            (Value::Object(std::rc::Rc::new(custom)), "@{A=1; B=System.Object[]}"),
            (Value::Table(std::rc::Rc::default()), "System.Collections.Hashtable"),
        ] {
            assert_eq!(text(&value), expected);
        }
    }

    #[test]
    fn the_left_value_decides_what_is_compared() {
        for (left, right, expected) in [
            (Value::text("abc"), Value::text("ABC"), Some(Ordering::Equal)),
            (Value::Int(10), Value::text("9"), Some(Ordering::Greater)),
            (Value::text("10"), Value::Int(9), Some(Ordering::Less)),
            (Value::Int(1), Value::text("x"), None),
            (Value::Null, Value::Int(1), Some(Ordering::Less)),
            (Value::Int(0), Value::Null, Some(Ordering::Equal)),
            (Value::Bool(true), Value::text("x"), Some(Ordering::Equal)),
            (Value::Int(2), Value::Float(1.5), Some(Ordering::Greater)),
        ] {
            assert_eq!(compare(&left, &right, false).ok(), expected, "{left:?} {right:?}");
        }
        assert!(!equals(&Value::Null, &Value::Int(0), false));
        assert!(!equals(&Value::Int(1), &Value::text("x"), false));
        assert!(equals(&Value::text("A"), &Value::text("a"), false));
        assert!(!equals(&Value::text("A"), &Value::text("a"), true));
        assert_eq!(compare_texts("a", "A", true), Ordering::Less);
    }

    #[test]
    fn what_counts_as_true() {
        for (value, expected) in [
            (Value::Null, false),
            (Value::text(""), false),
            (Value::text("False"), true),
            (Value::array(vec![]), false),
            (Value::array(vec![Value::Int(0)]), false),
            (Value::array(vec![Value::Int(0), Value::Int(0)]), true),
            (Value::Table(std::rc::Rc::default()), true),
        ] {
            assert_eq!(truth(&value), expected, "{value:?}");
        }
    }

    #[test]
    fn names_that_are_near_are_found() {
        let known = ["Get-ReceiveConnector", "Set-ReceiveConnector", "Get-Queue"];
        assert_eq!(nearest("get-recieveconnector", known), Some("Get-ReceiveConnector"));
        assert_eq!(nearest("Foo", known), None);
    }
}
