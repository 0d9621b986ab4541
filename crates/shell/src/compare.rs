//! How two values stand to each other: equality, order, and membership.
//!
//! The value on the left decides what the comparison is of, as in the original: `'10' -eq 10` compares text, `10 -eq '10'`
//! numbers. Text compares without case unless asked.

use std::cmp::Ordering;
use std::net::IpAddr;

use jiff::civil::DateTime;
use jiff::{Timestamp, Zoned};

use crate::convert::{self, Number};
use crate::value::Value;

/// Containers within containers that are compared by their contents.
const DEPTH_MAX: usize = 16;

/// Whether `left -eq right`, without case. Lists are equal when they are the same one.
pub fn equals(left: &Value, right: &Value) -> bool {
    equals_by(left, right, false)
}

/// The same, with or without case.
pub fn equals_by(left: &Value, right: &Value, is_case_sensitive: bool) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Foreign(foreign), other) if foreign.equals(other).is_some() => foreign.equals(other) == Some(true),
        (other, Value::Foreign(foreign)) if foreign.equals(other).is_some() => foreign.equals(other) == Some(true),
        (Value::List(one), Value::List(other)) => std::rc::Rc::ptr_eq(one, other),
        (Value::Table(one), Value::Table(other)) => std::rc::Rc::ptr_eq(one, other),
        (Value::Block(one), Value::Block(other)) => std::rc::Rc::ptr_eq(one, other),
        (Value::Object(one), Value::Object(other)) if std::rc::Rc::ptr_eq(one, other) => true,
        (Value::Object(one), Value::Object(_)) if one.view.identity.is_empty() => false,
        (Value::Bool(one), other) => *one == convert::truth(other),
        _ => order_by(left, right, is_case_sensitive) == Some(Ordering::Equal),
    }
}

/// How `left` stands to `right`, without case; `None`: they cannot be compared.
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    order_by(left, right, false)
}

/// The same, with or without case.
pub fn order_by(left: &Value, right: &Value, is_case_sensitive: bool) -> Option<Ordering> {
    order_at(left, right, is_case_sensitive, 0)
}

fn order_at(left: &Value, right: &Value, is_case_sensitive: bool, depth: usize) -> Option<Ordering> {
    if depth > DEPTH_MAX {
        return None;
    }
    match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Null, other) => match number_of(other) {
            // As the original: $null counts as 0 beside a number, and comes before everything else.
            Some(number) => order_numbers(Number::Int(0), number),
            None => Some(Ordering::Less),
        },
        (other, Value::Null) => match number_of(other) {
            Some(number) => order_numbers(number, Number::Int(0)),
            None => Some(Ordering::Greater),
        },
        (Value::Foreign(foreign), other) => foreign
            .compare(other)
            .or_else(|| Some(order_texts(&foreign.text(), &convert::text(other), is_case_sensitive))),
        (Value::Bool(one), other) => Some(one.cmp(&convert::truth(other))),
        (Value::Int(_) | Value::Float(_), other) => order_numbers(number_of(left)?, convert::number(other).ok()?),
        (Value::Char(one), Value::Char(other)) => {
            Some(order_texts(&one.to_string(), &other.to_string(), is_case_sensitive))
        }
        (Value::Time(one), other) => Some(one.timestamp().cmp(&time(other, one)?.timestamp())),
        (Value::Span(one), Value::Span(other)) => Some(one.cmp(other)),
        (Value::Span(one), other) => Some(one.cmp(&convert::parse_span(&convert::text(other))?)),
        (Value::List(one), Value::List(other)) => {
            let (one, other) = (one.values.borrow(), other.values.borrow());
            for (left, right) in one.iter().zip(other.iter()) {
                match order_at(left, right, is_case_sensitive, depth + 1)? {
                    Ordering::Equal => {}
                    different => return Some(different),
                }
            }
            Some(one.len().cmp(&other.len()))
        }
        // What has an order of its own keeps it when it stands on the right.
        (Value::Text(_), Value::Foreign(foreign)) => foreign
            .compare(left)
            .map(Ordering::reverse)
            .or_else(|| Some(order_texts(&convert::text(left), &foreign.text(), is_case_sensitive))),
        _ => Some(order_texts(&convert::text(left), &convert::text(right), is_case_sensitive)),
    }
}

fn number_of(value: &Value) -> Option<Number> {
    match value {
        Value::Int(number) => Some(Number::Int(*number)),
        Value::Float(number) => Some(Number::Float(*number)),
        _ => None,
    }
}

fn order_numbers(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => Some(left.cmp(&right)),
        (left, right) => left.as_float().partial_cmp(&right.as_float()),
    }
}

/// The order of two texts: by characters, without case unless asked; a small letter before its capital.
pub fn order_texts(left: &str, right: &str, is_case_sensitive: bool) -> Ordering {
    let folded = || {
        let (mut left, mut right) =
            (left.chars().flat_map(char::to_lowercase), right.chars().flat_map(char::to_lowercase));
        loop {
            match (left.next(), right.next()) {
                (None, None) => return Ordering::Equal,
                (None, _) => return Ordering::Less,
                (_, None) => return Ordering::Greater,
                (Some(one), Some(other)) if one == other => {}
                (Some(one), Some(other)) => return one.cmp(&other),
            }
        }
    };
    match is_case_sensitive {
        // Capitals have the smaller numbers, and come second in the original.
        true => folded().then_with(|| right.cmp(left)),
        false => folded(),
    }
}

/// Whether two texts are the same but for case.
pub fn same_text(left: &str, right: &str) -> bool {
    match left.is_ascii() && right.is_ascii() {
        true => left.eq_ignore_ascii_case(right),
        false => order_texts(left, right, false) == Ordering::Equal,
    }
}

/// Whether `values` has one that equals `wanted`: `-contains`.
pub fn contains(values: &[Value], wanted: &Value, is_case_sensitive: bool) -> bool {
    values.iter().any(|value| equals_by(value, wanted, is_case_sensitive))
}

/// A value as a point in time, in the zone of `like` where it names none.
pub fn time(value: &Value, like: &Zoned) -> Option<Zoned> {
    match value {
        Value::Time(time) => Some(time.clone()),
        other => parse_time(&convert::text(other), like),
    }
}

/// A point in time from its text, in the zone of `like` where it names none; a time alone is on the day of `like`.
/// ISO 8601 and RFC 3339, and the American order of the invariant culture: `12/31/2025 5:30 PM`.
pub fn parse_time(text: &str, like: &Zoned) -> Option<Zoned> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.to_zoned(like.time_zone().clone()));
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return time.to_zoned(like.time_zone().clone()).ok();
    }
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) if date.contains(['/', '-', '.']) => (Some(date), time.trim()),
        _ if text.contains(':') => (None, text),
        _ => (Some(text), ""),
    };
    let date = match date {
        Some(date) => {
            let parts: Vec<&str> = date.split(['/', '-', '.']).collect();
            let [first, second, third] = parts.as_slice() else { return None };
            let number = |text: &str| text.parse::<i16>().ok();
            let (year, month, day) = match first.len() {
                4 => (number(first)?, number(second)?, number(third)?),
                _ => (number(third)?, number(first)?, number(second)?),
            };
            let year = if (0..100).contains(&year) && third.len() == 2 { year + 2000 } else { year };
            jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?
        }
        None => like.date(),
    };
    let time = match time {
        "" => jiff::civil::Time::midnight(),
        time => clock_time(time)?,
    };
    date.to_datetime(time).to_zoned(like.time_zone().clone()).ok()
}

/// `17:30`, `5:30:10 PM`.
fn clock_time(text: &str) -> Option<jiff::civil::Time> {
    let upper = text.to_ascii_uppercase();
    let (digits, half) = match (upper.strip_suffix("AM"), upper.strip_suffix("PM")) {
        (Some(digits), _) => (digits.trim(), Some(0)),
        (None, Some(digits)) => (digits.trim(), Some(12)),
        (None, None) => (upper.as_str(), None),
    };
    let mut parts = digits.split(':');
    let hour: i8 = parts.next()?.parse().ok()?;
    let minute: i8 = match parts.next() {
        Some(minute) => minute.parse().ok()?,
        None if half.is_some() => 0,
        None => return None,
    };
    let second: i8 = parts.next().unwrap_or("0").parse().ok()?;
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
        None => hour,
    };
    match parts.next() {
        None => jiff::civil::Time::new(hour, minute, second, 0).ok(),
        Some(_) => None,
    }
}

/// Whether a text is an address of the network.
pub fn address(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_left_value_decides_what_is_compared() {
        for (left, right, expected) in [
            (Value::text("abc"), Value::text("ABC"), Some(Ordering::Equal)),
            (Value::Int(10), Value::text("9"), Some(Ordering::Greater)),
            (Value::text("10"), Value::Int(9), Some(Ordering::Less)),
            (Value::Int(1), Value::text("x"), None),
            (Value::Null, Value::Int(1), Some(Ordering::Less)),
            (Value::Bool(true), Value::text("x"), Some(Ordering::Equal)),
        ] {
            assert_eq!(order(&left, &right), expected, "{left:?} {right:?}");
        }
        assert!(!equals(&Value::Null, &Value::Int(0)));
        assert_eq!(order_texts("a", "A", true), Ordering::Less);
    }

    #[test]
    fn times_are_read_in_their_usual_forms() {
        let like: Zoned = "2026-03-04T05:06:07[UTC]".parse().expect("a time");
        for (text, expected) in [
            ("2026-01-02", "2026-01-02T00:00:00"),
            ("2026-01-02 03:04", "2026-01-02T03:04:00"),
            ("01/02/2026", "2026-01-02T00:00:00"),
            ("1/2/2026 5:30 PM", "2026-01-02T17:30:00"),
            ("01/02/26 12:00 AM", "2026-01-02T00:00:00"),
            ("17:30", "2026-03-04T17:30:00"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05"),
        ] {
            let time = parse_time(text, &like).map(|time| time.datetime().to_string());
            assert_eq!(time.as_deref(), Some(expected), "{text}");
        }
        for wrong in ["", "yesterday", "13/13/2026", "25:00", "13:00 PM"] {
            assert!(parse_time(wrong, &like).is_none(), "{wrong}");
        }
    }
}
