//! Hours of the week in a time zone: `Mon-Fri 08:00-18:00 Europe/Berlin`.
//!
//! Takes text and instants; the rules of the zones come with the program, so that nothing is read from outside. Hours are
//! those on the clock on the wall there: when clocks are set forward or back, they go along.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

const MINUTES_A_DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const EVERY_DAY: u8 = 0b111_1111;

/// When a condition holds: within at least one of these windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours(Box<[Window]>);

/// Why a text is no window. The `Display` form is a half sentence for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// It does not have the three parts.
    #[error("it is not of the form days hours zone")]
    Form,
    /// It ends with the time of day.
    #[error("it does not say in which time zone")]
    ZoneMissing,
    /// A day is none.
    #[error("`{0}` is no day")]
    Day(Box<str>),
    /// A time of day is none.
    #[error("`{0}` is no time of day")]
    Time(Box<str>),
    /// Begin and end are the same.
    #[error("it ends when it begins")]
    Empty,
    /// There is no such zone.
    #[error("there is no time zone `{0}`")]
    Zone(Box<str>),
}

/// The same hours on some days of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// One bit for each day on which it begins, Monday lowest.
    days: u8,
    /// Minute of the day at which it begins.
    first: u16,
    /// Minute before which it ends; not above `first`: on the next day.
    end: u16,
    zone: TimeZone,
    text: Box<str>,
}

impl Hours {
    /// Each window as it was written.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|window| &*window.text)
    }

    /// The union of `windows`; at least one.
    pub fn new(windows: Vec<Window>) -> Hours {
        Hours(windows.into())
    }

    /// Whether this instant lies within one of the windows; `None` where it lies in no year of the calendar.
    pub fn contain(&self, now_ms: u64) -> Option<bool> {
        let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?;
        Some(self.0.iter().any(|window| window.contains(now)))
    }
}

/// As they were written.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, window) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(&window.text)?;
        }
        Ok(())
    }
}

impl Window {
    /// Reads `[days] hh:mm-hh:mm zone`. Days are English names, single, as ranges or with commas between; without them it
    /// is every day. An end that is not behind the begin is on the next day.
    pub fn parse(text: &str) -> Result<Window, HoursError> {
        let text = text.trim();
        let (rest, zone) = text.rsplit_once(char::is_whitespace).ok_or(HoursError::Form)?;
        if zone.contains(':') && minute(zone.split('-').next().unwrap_or(zone)).is_ok() {
            return Err(HoursError::ZoneMissing);
        }
        let rest = rest.trim_end();
        let (days, times) = rest.rsplit_once(char::is_whitespace).unwrap_or(("", rest));
        // Without a digit these are days.
        let times_given = times.contains(|c: char| c.is_ascii_digit());
        let (first, end) = times.split_once('-').filter(|_| times_given).ok_or(HoursError::Form)?;
        let (first, end) = (minute(first)?, minute(end)?);
        if first == MINUTES_A_DAY {
            return Err(HoursError::Time(times.into()));
        }
        if first == end {
            return Err(HoursError::Empty);
        }
        let days = days.trim();
        let days = if days.is_empty() { EVERY_DAY } else { days_of(days)? };
        let zone = TimeZoneDatabase::bundled().get(zone).map_err(|_| HoursError::Zone(zone.into()))?;
        Ok(Window { days, first, end, zone, text: text.into() })
    }

    fn contains(&self, now: Timestamp) -> bool {
        let there: DateTime = self.zone.to_datetime(now);
        let minute = there.hour() as u16 * 60 + there.minute() as u16;
        let today = there.weekday().to_monday_zero_offset() as u8;
        let begins_on = |day: u8| self.days & (1 << (day % 7)) != 0;
        if self.first < self.end {
            return begins_on(today) && (self.first..self.end).contains(&minute);
        }
        (begins_on(today) && minute >= self.first) || (begins_on(today + 6) && minute < self.end)
    }
}

/// Every time zone that is known, by its name.
pub fn zone_names() -> impl Iterator<Item = String> {
    TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect::<Vec<_>>().into_iter()
}

fn minute(text: &str) -> Result<u16, HoursError> {
    let wrong = || HoursError::Time(text.into());
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let number = |part: &str, digits: std::ops::RangeInclusive<usize>| {
        let plain = digits.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse::<u16>().ok()).flatten().ok_or_else(wrong)
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
    let minute = hours * 60 + minutes;
    if minutes < 60 && minute <= MINUTES_A_DAY { Ok(minute) } else { Err(wrong()) }
}

fn days_of(text: &str) -> Result<u8, HoursError> {
    let mut days = 0;
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').map_or((part, part), |(first, last)| (first.trim(), last.trim()));
        let (mut day, last) = (day(first)?, day(last)?);
        days |= 1 << day;
        while day != last {
            day = (day + 1) % 7;
            days |= 1 << day;
        }
    }
    Ok(days)
}

/// Monday is 0. Three letters are enough.
fn day(text: &str) -> Result<u8, HoursError> {
    let found = DAYS.iter().position(|name| name.eq_ignore_ascii_case(text) || name[..3].eq_ignore_ascii_case(text));
    found.map(|place| place as u8).ok_or_else(|| HoursError::Day(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(text: &str, instant: &str) -> bool {
        let now: Timestamp = instant.parse().expect("an instant");
        Window::parse(text).expect("a window").contains(now)
    }

    #[test]
    fn a_window_is_read_on_the_clock_of_its_zone() {
        for (text, instant, expected) in [
            // 3 August 2026 is a Monday.
            ("Mon 08:00-18:00 UTC", "2026-08-03T07:59:59Z", false),
            ("Mon 08:00-18:00 UTC", "2026-08-03T08:00:00Z", true),
            ("Mon 08:00-18:00 UTC", "2026-08-03T17:59:59.999Z", true),
            ("Mon 08:00-18:00 UTC", "2026-08-03T18:00:00Z", false),
            ("Mon 08:00-18:00 UTC", "2026-08-04T12:00:00Z", false),
            ("monday 8:00-18:00 europe/berlin", "2026-08-03T06:00:00Z", true),
            ("Mon, Wed-Thu , Sun 00:00-24:00 UTC", "2026-08-05T23:59:59Z", true),
            ("Mon, Wed-Thu , Sun 00:00-24:00 UTC", "2026-08-04T00:00:00Z", false),
            ("Sat-Mon 00:00-24:00 UTC", "2026-08-03T12:00:00Z", true),
            ("Sat-Mon 00:00-24:00 UTC", "2026-08-04T12:00:00Z", false),
            ("08:00-18:00 Asia/Kolkata", "2026-08-03T02:29:00Z", false),
            ("08:00-18:00 Asia/Kolkata", "2026-08-03T02:30:00Z", true),
            // Over midnight: the day is that of the begin.
            ("Fri 22:00-06:00 UTC", "2026-08-07T21:59:00Z", false),
            ("Fri 22:00-06:00 UTC", "2026-08-07T22:00:00Z", true),
            ("Fri 22:00-06:00 UTC", "2026-08-08T05:59:00Z", true),
            ("Fri 22:00-06:00 UTC", "2026-08-08T06:00:00Z", false),
            ("Fri 22:00-06:00 UTC", "2026-08-07T05:00:00Z", false),
            ("Sun 22:00-06:00 UTC", "2026-08-03T05:00:00Z", true),
            ("22:00-00:00 UTC", "2026-08-03T23:59:00Z", true),
            ("22:00-00:00 UTC", "2026-08-03T00:00:00Z", false),
            // Summer time ends on 25 October 2026 and began on 29 March.
            ("08:00-09:00 Europe/Berlin", "2026-10-24T06:30:00Z", true),
            ("08:00-09:00 Europe/Berlin", "2026-10-25T06:30:00Z", false),
            ("08:00-09:00 Europe/Berlin", "2026-10-25T07:30:00Z", true),
            ("02:00-03:00 Europe/Berlin", "2026-10-25T00:30:00Z", true),
            ("02:00-03:00 Europe/Berlin", "2026-10-25T01:30:00Z", true),
            ("02:00-03:00 Europe/Berlin", "2026-03-29T01:00:00Z", false),
        ] {
            assert_eq!(contains(text, instant), expected, "{text} at {instant}");
        }
    }

    #[test]
    fn no_year_is_too_far() {
        let hours = Hours::new(vec![Window::parse("00:00-24:00 UTC").expect("a window")]);
        assert_eq!(hours.contain(0), Some(true));
        assert_eq!(hours.contain(u64::MAX), None);
        assert_eq!(hours.to_string(), "00:00-24:00 UTC");
    }
}
