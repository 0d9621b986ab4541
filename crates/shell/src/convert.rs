//! What a value is as text, as a number and as a truth value, by the rules that the original has for everybody.
//!
//! Text is that of the invariant culture: `MM/dd/yyyy HH:mm:ss`, a point for decimals. How values look on the screen is the
//! business of `format`.

use crate::fault::{Category, Fault};
use crate::value::{List, ListKind, Object, Table, TimeSpan, Value};

/// Containers within containers that are still told of as text; deeper ones are an ellipsis.
const TEXT_DEPTH_MAX: usize = 8;

/// A value as text, lists joined by a space.
pub fn text(value: &Value) -> String {
    text_joined(value, " ")
}

/// A value as text, lists joined by `separator` (`$OFS`).
pub fn text_joined(value: &Value, separator: &str) -> String {
    let mut into = String::new();
    write(&mut into, value, separator, 0);
    into
}

fn write(into: &mut String, value: &Value, separator: &str, depth: usize) {
    match value {
        Value::Null => {}
        Value::Bool(true) => into.push_str("True"),
        Value::Bool(false) => into.push_str("False"),
        Value::Int(number) => into.push_str(&number.to_string()),
        Value::Float(number) => into.push_str(&float(*number)),
        Value::Char(character) => into.push(*character),
        Value::Text(text) => into.push_str(text),
        Value::Time(time) => into.push_str(&time.strftime("%m/%d/%Y %H:%M:%S").to_string()),
        Value::Span(time) => into.push_str(&span(*time)),
        Value::List(list) => list_text(into, list, separator, depth),
        Value::Table(table) => table_text(into, &table.borrow()),
        Value::Object(object) => object_text(into, object, depth),
        Value::Block(block) => into.push_str(block.source.slice(block.span)),
        Value::Type(name) => into.push_str(&name.to_string()),
        Value::Fault(fault) => into.push_str(&fault.message),
        Value::Foreign(foreign) => into.push_str(&foreign.text()),
    }
}

fn list_text(into: &mut String, list: &List, separator: &str, depth: usize) {
    if depth >= TEXT_DEPTH_MAX {
        return into.push_str("...");
    }
    for (at, value) in list.values.borrow().iter().enumerate() {
        if at > 0 {
            into.push_str(separator);
        }
        match value {
            // The original does not look into lists within lists.
            Value::List(inner) if depth > 0 || inner.kind != ListKind::MultiValued => into.push_str("System.Object[]"),
            value => write(into, value, separator, depth + 1),
        }
    }
}

fn table_text(into: &mut String, table: &Table) {
    into.push_str(match table.is_ordered {
        true => "System.Collections.Specialized.OrderedDictionary",
        false => "System.Collections.Hashtable",
    });
}

fn object_text(into: &mut String, object: &Object, depth: usize) {
    if !object.view.identity.is_empty()
        && let Some(identity) = object.get(object.view.identity)
    {
        return write(into, &identity, " ", depth + 1);
    }
    if !std::ptr::eq(object.view, &crate::value::CUSTOM) {
        return into.push_str(object.view.type_name);
    }
    if depth >= TEXT_DEPTH_MAX {
        return into.push_str("...");
    }
    into.push_str("@{");
    for (at, (name, value)) in object.properties.borrow().iter().enumerate() {
        if at > 0 {
            into.push_str("; ");
        }
        into.push_str(name);
        into.push('=');
        write(into, value, " ", depth + 1);
    }
    into.push('}');
}

/// A fraction with up to 15 digits, as the original prints it.
pub fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    // Fifteen significant digits, then without the zeros at the end.
    let scientific = format!("{number:.14e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    if !(-4..15).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}E{sign}{:02}", exponent.abs());
    }
    let decimals = usize::try_from(14 - exponent).unwrap_or(0);
    let plain = format!("{number:.decimals$}");
    match plain.contains('.') {
        true => plain.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => plain,
    }
}

/// A length of time: `[-][d.]hh:mm:ss[.fffffff]`.
pub fn span(span: TimeSpan) -> String {
    let ticks = span.ticks.unsigned_abs();
    let (seconds, fraction) = (ticks / 10_000_000, ticks % 10_000_000);
    let mut text = String::new();
    if span.ticks < 0 {
        text.push('-');
    }
    if seconds >= 86_400 {
        text.push_str(&format!("{}.", seconds / 86_400));
    }
    text.push_str(&format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60));
    if fraction > 0 {
        text.push_str(&format!(".{fraction:07}"));
    }
    text
}

/// A length of time from its text: `[-][d.]hh:mm[:ss[.fffffff]]`, or a number of days.
pub fn parse_span(text: &str) -> Option<TimeSpan> {
    let text = text.trim();
    let (is_negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let number = |digits: &str| match digits.len() {
        1..=10 if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<i64>().ok(),
        _ => None,
    };
    let mut parts = rest.split(':');
    let first = parts.next()?;
    let (days, hours, minutes, seconds) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (None, ..) => (number(first)?, 0, 0, "0"),
        (Some(minutes), seconds, None, None) => {
            let (days, hours) = match first.split_once('.') {
                Some((days, hours)) => (number(days)?, number(hours)?),
                None => (0, number(first)?),
            };
            (days, hours, number(minutes)?, seconds.unwrap_or("0"))
        }
        (Some(hours), Some(minutes), Some(seconds), None) => {
            (number(first)?, number(hours)?, number(minutes)?, seconds)
        }
        _ => return None,
    };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let seconds = number(seconds)?;
    if hours > 23 || minutes > 59 || seconds > 59 || fraction.len() > 7 {
        return None;
    }
    let fraction = match fraction {
        "" => 0,
        digits => number(digits)? * 10_i64.pow(7 - digits.len() as u32),
    };
    let ticks = days
        .checked_mul(24)?
        .checked_add(hours)?
        .checked_mul(60)?
        .checked_add(minutes)?
        .checked_mul(60)?
        .checked_add(seconds)?
        .checked_mul(10_000_000)?
        .checked_add(fraction)?;
    Some(TimeSpan { ticks: if is_negative { -ticks } else { ticks } })
}

/// Whether a value counts as true: not `$null`, not `$false`, not 0, not the empty text, not the empty list, and not a list of
/// one value that counts as false.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Int(number) => *number != 0,
        Value::Float(number) => *number != 0.0,
        Value::Char(character) => *character != '\0',
        Value::Text(text) => !text.is_empty(),
        Value::List(list) => match list.values.borrow().as_slice() {
            [] => false,
            // A list within the list counts by its being there.
            [Value::List(inner)] => !inner.values.borrow().is_empty(),
            [only] => truth(only),
            _ => true,
        },
        _ => true,
    }
}

/// A number, as arithmetic sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole one.
    Int(i64),
    /// A fraction.
    Float(f64),
}

impl Number {
    /// The same as a fraction.
    pub fn as_float(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Float(number) => number,
        }
    }

    /// The same as a whole number, rounded to the nearest, halves to the even one. `None`: too large.
    pub fn as_int(self) -> Option<i64> {
        match self {
            Number::Int(number) => Some(number),
            Number::Float(number) => {
                let rounded = number.round_ties_even();
                // 2^63 is the first that does not fit; NaN is in no range.
                (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded).then_some(rounded as i64)
            }
        }
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Value {
        match number {
            Number::Int(number) => Value::Int(number),
            Number::Float(number) => Value::Float(number),
        }
    }
}

/// What a value is as a number.
///
/// # Errors
/// When it is none: `Cannot convert value "x" to type "System.Int32"`.
pub fn number(value: &Value) -> Result<Number, Fault> {
    let found = match value {
        Value::Null => Some(Number::Int(0)),
        Value::Bool(truth) => Some(Number::Int(i64::from(*truth))),
        Value::Int(number) => Some(Number::Int(*number)),
        Value::Float(number) => Some(Number::Float(*number)),
        Value::Char(character) => Some(Number::Int(i64::from(u32::from(*character)))),
        Value::Text(text) => parse_number(text),
        Value::Foreign(foreign) => match foreign.number() {
            Some(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(Number::Int(number as i64)),
            Some(number) => Some(Number::Float(number)),
            None => parse_number(&foreign.text()),
        },
        Value::List(list) => match list.values.borrow().as_slice() {
            [only] if !matches!(only, Value::List(_)) => return number(only),
            _ => None,
        },
        _ => None,
    };
    found.ok_or_else(|| cannot_convert(value, "System.Int32", "Input string was not in a correct format."))
}

/// A number from its text: white space around it, a sign, thousands' commas, `0x`, an exponent and a suffix as `KB` are allowed;
/// no text at all is 0.
pub fn parse_number(text: &str) -> Option<Number> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Number::Int(0));
    }
    let (is_negative, digits) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => (false, text),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let number = i64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['+', '-']))?;
        return Some(Number::Int(if is_negative { -number } else { number }));
    }
    let (digits, factor) = size_suffix(digits);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let plain;
    let digits = match digits.contains(',') {
        true => {
            plain = digits.replace(',', "");
            plain.as_str()
        }
        false => digits,
    };
    if let Ok(number) = digits.parse::<i64>()
        && let Some(number) = number.checked_mul(factor)
    {
        return Some(Number::Int(if is_negative { -number } else { number }));
    }
    if !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    let number = digits.parse::<f64>().ok()? * factor as f64;
    let number = if is_negative { -number } else { number };
    match factor > 1 && number.fract() == 0.0 && number.abs() < 9e15 {
        true => Some(Number::Int(number as i64)),
        false => Some(Number::Float(number)),
    }
}

/// Digits and what a suffix as `KB` multiplies them by.
fn size_suffix(text: &str) -> (&str, i64) {
    const SUFFIXES: [(&str, i64); 5] =
        [("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40), ("PB", 1 << 50)];
    if let Some(at) = text.len().checked_sub(2)
        && let (Some(digits), Some(suffix)) = (text.get(..at), text.get(at..))
        && let Some((_, factor)) = SUFFIXES.iter().find(|(known, _)| known.eq_ignore_ascii_case(suffix))
    {
        return (digits, *factor);
    }
    (text, 1)
}

/// The values of a list, or the one value that is none; `$null` is no value.
pub fn values(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::List(list) => list.values.borrow().clone(),
        other => vec![other.clone()],
    }
}

/// What many values are together: none `$null`, one itself, more an array. So do pipelines hand over what they yielded.
pub fn gathered(mut values: Vec<Value>) -> Value {
    match values.len() {
        0 => Value::Null,
        1 => values.remove(0),
        _ => Value::array(values),
    }
}

/// The error of a conversion, in the words of the original.
pub fn cannot_convert(value: &Value, type_name: &str, why: &str) -> Fault {
    let mut message = format!("Cannot convert value \"{}\" to type \"{type_name}\".", shortened(&text(value)));
    if !why.is_empty() {
        message.push_str(&format!(" Error: \"{why}\""));
    }
    let mut fault = Fault::new(Category::InvalidArgument, message);
    fault.exception = "System.Management.Automation.PSInvalidCastException";
    fault
}

/// The beginning of a text that is too long for an error.
pub fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_print_with_fifteen_digits() {
        for (number, text) in [
            (3.5, "3.5"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.333333333333333"),
            (100.0, "100"),
            (1e15, "1E+15"),
            (1.5e20, "1.5E+20"),
            (0.00001, "1E-05"),
            (0.0001, "0.0001"),
            (-2.25, "-2.25"),
            (f64::NAN, "NaN"),
            (123_456_789.125, "123456789.125"),
        ] {
            assert_eq!(float(number), text);
        }
    }

    #[test]
    fn texts_are_numbers_where_they_look_like_it() {
        for (text, number) in [
            ("12", Some(Number::Int(12))),
            (" -7 ", Some(Number::Int(-7))),
            ("0x1F", Some(Number::Int(31))),
            ("35MB", Some(Number::Int(35 << 20))),
            ("1.5kb", Some(Number::Int(1536))),
            ("1,024", Some(Number::Int(1024))),
            ("2.5", Some(Number::Float(2.5))),
            ("1e3", Some(Number::Float(1000.0))),
            ("", Some(Number::Int(0))),
            ("abc", None),
            ("inf", None),
            ("-", None),
            ("10.0.0.1", None),
        ] {
            assert_eq!(parse_number(text), number, "{text}");
        }
    }

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, written) in [
            ("00:05:00", "00:05:00"),
            ("1.02:03:04", "1.02:03:04"),
            ("5", "5.00:00:00"),
            ("-00:00:01.5", "-00:00:01.5000000"),
            ("0:10", "00:10:00"),
        ] {
            assert_eq!(parse_span(text).map(span).as_deref(), Some(written), "{text}");
        }
        for wrong in ["", "25:00:00", "a", "1:2:3:4:5", "00:60", "1.5", "99999999999"] {
            assert_eq!(parse_span(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn emptiness_is_false() {
        for (value, expected) in [
            (Value::Null, false),
            (Value::text(""), false),
            (Value::text("0"), true),
            (Value::array(vec![]), false),
            (Value::array(vec![Value::Int(0)]), false),
            (Value::array(vec![Value::Int(0), Value::Int(0)]), true),
            (Value::Float(0.0), false),
        ] {
            assert_eq!(truth(&value), expected, "{value:?}");
        }
    }
}
