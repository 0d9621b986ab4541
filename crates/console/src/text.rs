//! Numbers, sizes and times as pages print them.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Unix time in milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

/// A number with its thousands apart: `12 345`, the space being one that does not break.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number and what is counted: `1 message`, `2 messages`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A size for a person: `36 MB`.
pub fn size(bytes: u64) -> String {
    const STEP: u64 = 1024;
    for (unit, name) in [(STEP.pow(3), "GB"), (STEP.pow(2), "MB"), (STEP, "KB")] {
        if bytes >= unit {
            let tenths = bytes * 10 / unit;
            return match tenths % 10 {
                0 => format!("{}\u{a0}{name}", tenths / 10),
                _ if tenths >= 1_000 => format!("{}\u{a0}{name}", tenths / 10),
                tenth => format!("{}.{tenth}\u{a0}{name}", tenths / 10),
            };
        }
    }
    format!("{bytes}\u{a0}B")
}

/// An address without the brackets that commands put around it; the null reverse-path keeps them.
pub fn bare(path: &str) -> &str {
    let address = path.strip_prefix('<').and_then(|path| path.strip_suffix('>'));
    address.filter(|address| !address.is_empty()).unwrap_or(path)
}

/// How long ago something was, to the largest unit that says enough: `3 min ago`.
pub fn ago(then_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1_000;
    match seconds {
        0..=4 => "just now".to_owned(),
        5..=99 => format!("{seconds}\u{a0}s ago"),
        100..=5_999 => format!("{}\u{a0}min ago", seconds / 60),
        6_000..=172_799 => format!("{}\u{a0}h ago", seconds / 3_600),
        _ => format!("{}\u{a0}days ago", seconds / 86_400),
    }
}

/// How far ahead something is, as [`ago`] says it: `in 3 min`; what is due is due `now`.
pub fn ahead(then_ms: u64, now_ms: u64) -> String {
    let distance = ago(now_ms, then_ms);
    match distance.strip_suffix(" ago") {
        Some(distance) if then_ms > now_ms => format!("in\u{a0}{distance}"),
        _ => "now".to_owned(),
    }
}

/// The end of a day in the server's time zone, as an instant; what is no day stays as it is.
pub fn end_of_day(day: &str) -> String {
    let next = day.parse::<jiff::civil::Date>().ok().and_then(|day| day.tomorrow().ok());
    let end = next.and_then(|next| next.to_zoned(TimeZone::system()).ok());
    end.map_or_else(|| day.to_owned(), |end| end.timestamp().to_string())
}

/// A moment in the server's time zone, with its offset: `2026-11-22 13:05:09 +01:00`.
pub fn moment(ms: u64) -> String {
    let instant = ms.try_into().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let Some(instant) = instant else { return format!("{ms}\u{a0}ms") };
    instant.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// The day of a moment in the server's time zone, as forms take it: `2027-01-31`.
pub fn day(ms: u64) -> String {
    let instant = ms.try_into().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    instant.to_zoned(TimeZone::system()).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_when_the_next_begins() {
        let end: Timestamp = end_of_day("2027-01-31").parse().expect("an instant");
        let local = end.to_zoned(TimeZone::system());
        assert_eq!((local.date().to_string().as_str(), local.hour()), ("2027-02-01", 0));
        for other in ["2027-01-31T10:00:00Z", "soon", ""] {
            assert_eq!(end_of_day(other), other);
        }
    }

    #[test]
    fn an_address_stands_without_brackets_and_nobody_keeps_them() {
        let addresses = ["<a@b.example>", "a@b.example", "<>", "", "<a"].map(bare);
        assert_eq!(addresses, ["a@b.example", "a@b.example", "<>", "", "<a"]);
    }

    #[test]
    fn numbers_are_for_people() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (1_234_567, "1\u{202f}234\u{202f}567")]
        {
            assert_eq!(count(number), expected);
        }
        assert_eq!(counted(1, "message", "messages"), "1 message");
        for (bytes, expected) in [
            (0, "0\u{a0}B"),
            (1_023, "1023\u{a0}B"),
            (1_536, "1.5\u{a0}KB"),
            (37_748_736, "36\u{a0}MB"),
            (1 << 40, "1024\u{a0}GB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        for (seconds, expected) in [
            (0, "just now"),
            (61, "61\u{a0}s ago"),
            (120, "2\u{a0}min ago"),
            (7_200, "2\u{a0}h ago"),
            (200_000, "2\u{a0}days ago"),
        ] {
            assert_eq!(ago(0, seconds * 1_000), expected);
        }
        for (seconds, expected) in [(0, "now"), (60, "in\u{a0}60\u{a0}s"), (120, "in\u{a0}2\u{a0}min")] {
            assert_eq!(ahead(1_000_000 + seconds * 1_000, 1_000_000), expected);
        }
        assert_eq!(ahead(0, 1_000_000), "now");
    }
}
