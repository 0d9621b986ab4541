//! Lengths of time: `[d.]hh:mm:ss`.

use gatepost_shell::value::{TimeSpan, Value};

const TICKS_PER_SECOND: i64 = 10_000_000;

/// The length of time that a text is.
///
/// # Errors
/// Why it is none.
pub fn value(text: &str) -> Result<Value, String> {
    let seconds = seconds(text.trim()).ok_or_else(|| "write [d.]hh:mm:ss, as 00:10:00".to_owned())?;
    let ticks = seconds.checked_mul(TICKS_PER_SECOND).ok_or_else(|| "that is too long".to_owned())?;
    Ok(Value::Span(TimeSpan { ticks }))
}

fn seconds(text: &str) -> Option<i64> {
    let (days, time) = text.split_once('.').map_or((0, text), |(days, time)| (days.parse().unwrap_or(-1), time));
    let mut parts = time.split(':');
    let mut next = |below: i64| parts.next()?.parse().ok().filter(|part| (0..below).contains(part));
    let (hours, minutes, seconds) = (next(24)?, next(60)?, next(60)?);
    let is_whole = parts.next().is_none() && (0..=10_000_000).contains(&days);
    is_whole.then(|| ((days * 24 + hours) * 60 + minutes) * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_days_hours_minutes_and_seconds() {
        for (text, expected) in [
            ("00:10:00", Some(600)),
            ("1.02:03:04", Some(93_784)),
            ("00:60:00", None),
            ("x.00:00:01", None),
            ("10", None),
            ("", None),
        ] {
            let seconds = value(text).ok().map(|value| match value {
                Value::Span(span) => span.ticks / TICKS_PER_SECOND,
                other => panic!("{other:?}"),
            });
            assert_eq!(seconds, expected, "{text}");
        }
    }
}
