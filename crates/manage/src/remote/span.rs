//! Lengths of time: `[d.]hh:mm:ss[.fffffff]`.

use gatepost_shell::value::{TimeSpan, Value};

const TICKS_PER_SECOND: i64 = 10_000_000;
/// Ticks are seven digits of a second.
const FRACTION_DIGITS: usize = 7;
const DAYS_MAX: i64 = 10_000_000;

/// The length of time that a text is.
///
/// # Errors
/// Why it is none.
pub fn value(text: &str) -> Result<Value, String> {
    let ticks = ticks(text.trim()).ok_or_else(|| "write [d.]hh:mm:ss, as 00:10:00".to_owned())?;
    Ok(Value::Span(TimeSpan { ticks }))
}

fn ticks(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (first, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (days, hours) = first.split_once('.').unwrap_or(("0", first));
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let number = |text: &str, below: i64| text.parse().ok().filter(|number| (0..below).contains(number));
    let days: i64 = number(days, DAYS_MAX)?;
    let whole = ((days * 24 + number(hours, 24)?) * 60 + number(minutes, 60)?) * 60 + number(seconds, 60)?;
    let is_fraction = fraction.len() <= FRACTION_DIGITS && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: i64 = format!("{fraction:0<FRACTION_DIGITS$}").parse().ok().filter(|_| is_fraction)?;
    parts.next().is_none().then_some(whole * TICKS_PER_SECOND + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_days_hours_minutes_seconds_and_parts_of_them() {
        for (text, expected) in [
            ("00:10:00", Some(6_000_000_000)),
            ("1.02:03:04", Some(937_840_000_000)),
            ("00:00:01.25", Some(12_500_000)),
            ("00:00:01.123456789", None),
            ("00:00:01.-5", None),
            ("00:60:00", None),
            ("x.00:00:01", None),
            ("10", None),
            ("", None),
        ] {
            let ticks = value(text).ok().map(|value| match value {
                Value::Span(span) => span.ticks,
                other => panic!("{other:?}"),
            });
            assert_eq!(ticks, expected, "{text}");
        }
    }
}
