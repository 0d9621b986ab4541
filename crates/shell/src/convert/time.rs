//! Times and lengths of time as text, and text as times.
//!
//! Text without a zone is a time of the zone of the `reference` that the caller gives; text without a date, of its day.

use jiff::civil::{DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use crate::fault::{Category, Fault};
use crate::value::TimeSpan;

/// Units of 100 ns in a second.
pub const TICKS_PER_SECOND: i64 = 10_000_000;
const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
/// Ticks of the original count from the year 1; so many seconds lie between that and 1970.
const SECONDS_TO_1970: i64 = 62_135_596_800;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A time as it stands in text.
pub fn text(moment: &Zoned) -> String {
    shaped(moment, "MM/dd/yyyy HH:mm:ss")
}

/// A time as it stands in a table or a list.
pub fn cell(moment: &Zoned) -> String {
    shaped(moment, "M/d/yyyy h:mm:ss tt")
}

/// A time that stands alone.
pub fn long(moment: &Zoned) -> String {
    shaped(moment, "dddd, MMMM d, yyyy h:mm:ss tt")
}

/// The English name of the day of the week.
pub fn weekday(moment: &Zoned) -> &'static str {
    DAYS[usize::from(moment.weekday().to_sunday_zero_offset().unsigned_abs()) % 7]
}

/// A time in a .NET format, standard (`s`, those of a culture as in the United States) or made up (`yyyyMMdd_HHmmss`).
///
/// # Errors
/// When a format of one letter is not known.
pub fn format(moment: &Zoned, form: &str) -> Result<String, Fault> {
    let universal = || moment.with_time_zone(TimeZone::UTC);
    let mut signs = form.chars();
    Ok(match (signs.next(), signs.next()) {
        (None, _) => cell(moment),
        (Some(one), None) => match one {
            'd' => shaped(moment, "M/d/yyyy"),
            'D' => shaped(moment, "dddd, MMMM d, yyyy"),
            't' => shaped(moment, "h:mm tt"),
            'T' => shaped(moment, "h:mm:ss tt"),
            'f' => shaped(moment, "dddd, MMMM d, yyyy h:mm tt"),
            'F' => long(moment),
            'g' => shaped(moment, "M/d/yyyy h:mm tt"),
            'G' => cell(moment),
            'm' | 'M' => shaped(moment, "MMMM d"),
            'y' | 'Y' => shaped(moment, "MMMM yyyy"),
            'r' | 'R' => shaped(&universal(), "ddd, dd MMM yyyy HH:mm:ss 'GMT'"),
            's' => shaped(moment, "yyyy-MM-ddTHH:mm:ss"),
            'u' => shaped(moment, "yyyy-MM-dd HH:mm:ss'Z'"),
            'U' => long(&universal()),
            'o' | 'O' => shaped(moment, "yyyy-MM-ddTHH:mm:ss.fffffffK"),
            _ => {
                return Err(Fault::new(
                    Category::InvalidArgument,
                    format!("The format '{form}' is not known for times; write for example 'yyyy-MM-dd HH:mm:ss'."),
                ));
            }
        },
        _ => shaped(moment, form),
    })
}

/// One piece of a format: a letter with how often it stands, or text.
enum Piece {
    Field(char, usize),
    Text(String),
}

fn pieces(form: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut signs = form.chars().peekable();
    while let Some(one) = signs.next() {
        match one {
            '\'' | '"' => pieces.push(Piece::Text(signs.by_ref().take_while(|sign| *sign != one).collect())),
            '\\' => pieces.extend(signs.next().map(|sign| Piece::Text(sign.to_string()))),
            '%' => {}
            'd' | 'M' | 'y' | 'H' | 'h' | 'm' | 's' | 'f' | 'F' | 't' | 'z' | 'K' | 'g' => {
                let mut count = 1;
                while signs.peek() == Some(&one) {
                    signs.next();
                    count += 1;
                }
                pieces.push(Piece::Field(one, count));
            }
            other => pieces.push(Piece::Text(other.to_string())),
        }
    }
    pieces
}

fn shaped(moment: &Zoned, form: &str) -> String {
    let mut out = String::new();
    for piece in pieces(form) {
        let (field, count) = match piece {
            Piece::Text(text) => {
                out += &text;
                continue;
            }
            Piece::Field(field, count) => (field, count),
        };
        let number = |number: i64, width: usize| format!("{number:0>width$}");
        let hour12 = (i64::from(moment.hour()) + 11) % 12 + 1;
        let fraction = || format!("{:09}", moment.subsec_nanosecond())[..count.min(7)].to_owned();
        let month = MONTHS[usize::try_from(moment.month() - 1).unwrap_or_default()];
        out += &match (field, count) {
            ('d', 1 | 2) => number(moment.day().into(), count),
            ('d', 3) => weekday(moment)[..3].to_owned(),
            ('d', _) => weekday(moment).to_owned(),
            ('M', 1 | 2) => number(moment.month().into(), count),
            ('M', 3) => month[..3].to_owned(),
            ('M', _) => month.to_owned(),
            ('y', 1 | 2) => number(i64::from(moment.year()) % 100, count),
            ('y', _) => number(moment.year().into(), count),
            ('H', _) => number(moment.hour().into(), count.min(2)),
            ('h', _) => number(hour12, count.min(2)),
            ('m', _) => number(moment.minute().into(), count.min(2)),
            ('s', _) => number(moment.second().into(), count.min(2)),
            ('f', _) => fraction(),
            ('F', _) => fraction().trim_end_matches('0').to_owned(),
            ('t', 1) => if moment.hour() < 12 { "A" } else { "P" }.to_owned(),
            ('t', _) => if moment.hour() < 12 { "AM" } else { "PM" }.to_owned(),
            ('z', 1 | 2) => {
                let hours = moment.offset().seconds() / 3600;
                format!("{}{:0>count$}", if hours < 0 { '-' } else { '+' }, hours.abs())
            }
            ('K', _) if *moment.time_zone() == TimeZone::UTC => "Z".to_owned(),
            ('z' | 'K', _) => offset_text(moment.offset()),
            ('g', _) => "A.D.".to_owned(),
            _ => String::new(),
        };
    }
    out
}

fn offset_text(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    format!("{}{:02}:{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60)
}

/// Reads a time: ISO 8601, `MM/dd/yyyy` with or without a time of day (12 or 24 hours), `22 Nov 2026`, RFC 1123, a time of
/// day alone. As in the invariant culture the month comes before the day; `22.11.2026` is not read.
pub fn parse(text: &str, reference: &Zoned) -> Option<Zoned> {
    const TEXT_BYTES_MAX: usize = 100;
    let text = text.trim();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut found = Found::default();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() || first == ',' {
            rest = &rest[first.len_utf8()..];
        } else if first.is_ascii_digit() {
            rest = found.number(rest)?;
        } else if first.is_alphabetic() {
            let length = rest.len() - rest.trim_start_matches(char::is_alphabetic).len();
            let (word, after) = rest.split_at(length);
            found.word(word)?;
            rest = after.strip_prefix('.').unwrap_or(after);
        } else if matches!(first, '+' | '-') && found.time.is_some() && found.offset.is_none() {
            rest = found.offset(rest)?;
        } else {
            return None;
        }
    }
    found.moment(reference)
}

/// What was read of a time so far.
#[derive(Default)]
struct Found {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    time: Option<(i8, i8, i8, i32)>,
    is_afternoon: Option<bool>,
    offset: Option<Offset>,
}

impl Found {
    /// Reads what begins with a digit; hands on the rest.
    fn number<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let length = text.len() - text.trim_start_matches(|sign: char| sign.is_ascii_digit()).len();
        let (digits, after) = text.split_at(length);
        let number: i64 = digits.parse().ok()?;
        let next = after.chars().next();
        if next == Some(':') && self.time.is_none() {
            return self.clock(text);
        }
        if matches!(next, Some('/' | '-' | '.')) && self.month.is_none() && self.year.is_none() {
            let separator = next?;
            let mut parts = vec![digits];
            let mut rest = after;
            while parts.len() < 3 && rest.starts_with(separator) {
                let tail = &rest[separator.len_utf8()..];
                let end = tail.find(|sign: char| !sign.is_ascii_alphanumeric()).unwrap_or(tail.len());
                // The T of ISO 8601 ends the day.
                let end = tail[..end].find('T').filter(|_| parts.len() == 2).unwrap_or(end);
                parts.push(&tail[..end]);
                rest = &tail[end..];
            }
            match parts.as_slice() {
                [year, month, day] if year.len() == 4 => self.date(year, month, day)?,
                [day, month, year] if month.starts_with(|sign: char| sign.is_alphabetic()) => {
                    self.month = Some(month_of(month)?);
                    self.day = Some(day.parse().ok()?);
                    self.year = Some(year_of(year)?);
                }
                [month, day, year] => self.date(year, month, day)?,
                [year, month] if year.len() == 4 => self.date(year, month, "1")?,
                [month, day] if separator == '/' => {
                    self.month = Some(month.parse().ok()?);
                    self.day = Some(day.parse().ok()?);
                }
                _ => return None,
            }
            return Some(
                rest.strip_prefix('T').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(rest),
            );
        }
        // `3 PM`.
        let tail = after.trim_start();
        if digits.len() <= 2
            && self.time.is_none()
            && tail.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm"))
        {
            self.time = Some((i8::try_from(number).ok()?, 0, 0, 0));
            return Some(after);
        }
        if digits.len() == 4 && self.year.is_none() {
            self.year = Some(i16::try_from(number).ok()?);
        } else if digits.len() <= 2 && self.day.is_none() {
            self.day = Some(i8::try_from(number).ok()?);
        } else {
            return None;
        }
        Some(after)
    }

    fn date(&mut self, year: &str, month: &str, day: &str) -> Option<()> {
        self.year = Some(year_of(year)?);
        self.month = Some(month.parse().ok()?);
        self.day = Some(day.parse().ok()?);
        Some(())
    }

    /// `14:30`, `14:30:05.25`.
    fn clock<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let end = text.find(|sign: char| !sign.is_ascii_digit() && !matches!(sign, ':' | '.')).unwrap_or(text.len());
        let (clock, rest) = text.split_at(end);
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let mut parts = whole.split(':').map(|part| part.parse::<i8>().ok());
        let (hour, minute) = (parts.next()??, parts.next()??);
        let second = parts.next().unwrap_or(Some(0))?;
        if parts.next().is_some() {
            return None;
        }
        let nanosecond = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        self.time = Some((hour, minute, second, nanosecond));
        Some(rest)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        match word.to_ascii_lowercase().as_str() {
            "am" => self.is_afternoon = Some(false),
            "pm" => self.is_afternoon = Some(true),
            "z" | "gmt" | "utc" if self.time.is_some() => self.offset = Some(Offset::UTC),
            "t" => {}
            other if DAYS.iter().any(|day| day.eq_ignore_ascii_case(other) || day[..3].eq_ignore_ascii_case(other)) => {
            }
            other => self.month = Some(month_of(other)?),
        }
        Some(())
    }

    /// `+02:00`, `-0500`.
    fn offset<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let end = text[1..].find(|sign: char| !sign.is_ascii_digit() && sign != ':').map_or(text.len(), |at| at + 1);
        let digits: String = text[1..end].replace(':', "");
        let (hours, minutes) = match digits.len() {
            1 | 2 => (digits.as_str(), "0"),
            4 => digits.split_at(2),
            _ => return None,
        };
        let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
        self.offset = Some(Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok()?);
        Some(&text[end..])
    }

    fn moment(self, reference: &Zoned) -> Option<Zoned> {
        let has_date = self.month.is_some() || self.day.is_some() || self.year.is_some();
        if self.day.is_some() && self.month.is_none() || !has_date && self.time.is_none() {
            return None;
        }
        let (year, month, day) = if has_date {
            (self.year.unwrap_or(reference.year()), self.month?, self.day.unwrap_or(1))
        } else {
            (reference.year(), reference.month(), reference.day())
        };
        let (mut hour, minute, second, nanosecond) = self.time.unwrap_or_default();
        if let Some(is_afternoon) = self.is_afternoon {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if is_afternoon { 12 } else { 0 };
        }
        let civil = DateTime::new(year, month, day, hour, minute, second, nanosecond).ok()?;
        match self.offset {
            Some(offset) => Some(offset.to_timestamp(civil).ok()?.to_zoned(reference.time_zone().clone())),
            None => civil.to_zoned(reference.time_zone().clone()).ok(),
        }
    }
}

fn month_of(word: &str) -> Option<i8> {
    let at = MONTHS.iter().position(|month| {
        month.eq_ignore_ascii_case(word) || word.len() == 3 && month[..3].eq_ignore_ascii_case(word)
    })?;
    i8::try_from(at + 1).ok()
}

/// Years of two digits lie between 1930 and 2029.
fn year_of(text: &str) -> Option<i16> {
    let year: i16 = text.parse().ok()?;
    Some(match text.len() {
        1 | 2 if year < 30 => 2000 + year,
        1 | 2 => 1900 + year,
        _ => year,
    })
}

/// `[datetime]::ParseExact`: reads a time that is written as `form` says.
pub fn parse_exact(text: &str, form: &str, reference: &Zoned) -> Option<Zoned> {
    let mut found = Found::default();
    let mut rest = text;
    let digits = |rest: &mut &str, most: usize| -> Option<i64> {
        let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, after) = rest.split_at(length);
        *rest = after;
        digits.parse().ok()
    };
    let form = match form {
        "s" => "yyyy-MM-ddTHH:mm:ss",
        "o" | "O" => "yyyy-MM-ddTHH:mm:ss.fffffffK",
        "d" => "M/d/yyyy",
        "g" => "M/d/yyyy h:mm tt",
        "G" => "M/d/yyyy h:mm:ss tt",
        other => other,
    };
    let (mut hour, mut minute, mut second, mut nanosecond) = (None, 0, 0, 0);
    for piece in pieces(form) {
        match piece {
            Piece::Text(expected) => rest = rest.strip_prefix(expected.as_str())?,
            Piece::Field(field, count) => {
                let most = if count == 1 { 2 } else { count };
                match (field, count) {
                    ('d', 1 | 2) => found.day = Some(i8::try_from(digits(&mut rest, 2)?).ok()?),
                    ('M', 1 | 2) => found.month = Some(i8::try_from(digits(&mut rest, 2)?).ok()?),
                    ('y', 1 | 2) => found.year = year_of(&format!("{:02}", digits(&mut rest, 2)?)),
                    ('y', _) => found.year = Some(i16::try_from(digits(&mut rest, 4)?).ok()?),
                    ('H' | 'h', _) => hour = Some(i8::try_from(digits(&mut rest, most)?).ok()?),
                    ('m', _) => minute = i8::try_from(digits(&mut rest, most)?).ok()?,
                    ('s', _) => second = i8::try_from(digits(&mut rest, most)?).ok()?,
                    ('f' | 'F', _) => {
                        let length = rest.bytes().take(count).take_while(u8::is_ascii_digit).count();
                        nanosecond = format!("{:0<9}", &rest[..length]).get(..9)?.parse().ok()?;
                        rest = &rest[length..];
                    }
                    ('t', _) => {
                        let word = rest.get(..count.min(2))?;
                        found.is_afternoon = Some(word.to_ascii_lowercase().starts_with('p'));
                        rest = &rest[word.len()..];
                    }
                    ('d' | 'M', _) => {
                        let length = rest.len() - rest.trim_start_matches(char::is_alphabetic).len();
                        found.word(&rest[..length])?;
                        rest = &rest[length..];
                    }
                    ('K', _) if rest.is_empty() => {}
                    ('K', _) if rest.starts_with('Z') => {
                        found.offset = Some(Offset::UTC);
                        rest = &rest[1..];
                    }
                    ('z' | 'K', _) => rest = found.offset(rest.starts_with(['+', '-']).then_some(rest)?)?,
                    _ => return None,
                }
            }
        }
    }
    if !rest.is_empty() {
        return None;
    }
    found.time = hour.map(|hour| (hour, minute, second, nanosecond));
    if found.month.is_none() && found.year.is_some() {
        found.month = Some(1);
    }
    found.moment(reference)
}

/// A length of time as text: `[-][d.]hh:mm:ss[.fffffff]`.
pub fn span_text(span: TimeSpan) -> String {
    let ticks = span.ticks.unsigned_abs();
    let (days, rest) = (ticks / TICKS_PER_DAY as u64, ticks % TICKS_PER_DAY as u64);
    let (seconds, fraction) = (rest / TICKS_PER_SECOND as u64, rest % TICKS_PER_SECOND as u64);
    let mut out = String::new();
    if span.ticks < 0 {
        out.push('-');
    }
    if days > 0 {
        out += &format!("{days}.");
    }
    out += &format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        out += &format!(".{fraction:07}");
    }
    out
}

/// Reads a length of time: `00:05:00`, `1.00:00:00`, `5:30`, a number of days.
pub fn parse_span(text: &str) -> Option<TimeSpan> {
    let text = text.trim();
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let number = |text: &str, most: i64| -> Option<i64> {
        let is_plain = !text.is_empty() && text.len() <= 8 && text.bytes().all(|digit| digit.is_ascii_digit());
        is_plain.then(|| text.parse().ok()).flatten().filter(|number| *number <= most)
    };
    const DAYS_MAX: i64 = 10_675_199;
    let parts: Vec<&str> = text.split(':').collect();
    let (days, hours, minutes, seconds) = match parts.as_slice() {
        [days] => (number(days, DAYS_MAX)?, 0, 0, "0"),
        [hours, rest @ ..] => {
            let (days, hours) = match hours.split_once('.') {
                Some((days, hours)) => (number(days, DAYS_MAX)?, number(hours, 23)?),
                None => (0, number(hours, 23)?),
            };
            match rest {
                [minutes] => (days, hours, number(minutes, 59)?, "0"),
                [minutes, seconds] => (days, hours, number(minutes, 59)?, *seconds),
                _ => return None,
            }
        }
        [] => return None,
    };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let fraction = number(&format!("{fraction:0<7}"), TICKS_PER_SECOND)?;
    let seconds = ((days * 24 + hours) * 60 + minutes) * 60 + number(seconds, 59)?;
    let ticks = seconds.checked_mul(TICKS_PER_SECOND)?.checked_add(fraction)?;
    Some(TimeSpan { ticks: if is_negative { -ticks } else { ticks } })
}

/// A length of time in a .NET format: `c`, `g`, `G`, or made up (`hh\:mm\:ss`).
///
/// # Errors
/// When a format of one letter is not known.
pub fn format_span(span: TimeSpan, form: &str) -> Result<String, Fault> {
    let invalid = || {
        Fault::new(
            Category::InvalidArgument,
            format!("The format '{form}' is not known for lengths of time; write for example 'hh\\:mm\\:ss'."),
        )
    };
    let ticks = span.ticks.unsigned_abs();
    let seconds = ticks / TICKS_PER_SECOND as u64;
    let fraction = format!("{:07}", ticks % TICKS_PER_SECOND as u64);
    match form {
        "c" | "t" | "T" | "" => return Ok(span_text(span)),
        "g" | "G" => {
            let sign = if span.ticks < 0 { "-" } else { "" };
            let days = seconds / 86_400;
            let clock = format!("{:02}:{:02}", seconds / 60 % 60, seconds % 60);
            let hours = seconds / 3600 % 24;
            return Ok(if form == "G" {
                format!("{sign}{days}:{hours:02}:{clock}.{fraction}")
            } else {
                let days = if days > 0 { format!("{days}:") } else { String::new() };
                let fraction = fraction.trim_end_matches('0');
                let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
                format!("{sign}{days}{hours}:{clock}{fraction}")
            });
        }
        _ if form.chars().count() == 1 => return Err(invalid()),
        _ => {}
    }
    let mut out = String::new();
    for piece in pieces(form) {
        let number = |number: u64, width: usize| format!("{number:0>width$}");
        out += &match piece {
            Piece::Text(text) => text,
            Piece::Field('d', count) => number(seconds / 86_400, count.min(8)),
            Piece::Field('h' | 'H', count) => number(seconds / 3600 % 24, count.min(2)),
            Piece::Field('m', count) => number(seconds / 60 % 60, count.min(2)),
            Piece::Field('s', count) => number(seconds % 60, count.min(2)),
            Piece::Field('f', count) => fraction[..count.min(7)].to_owned(),
            Piece::Field('F', count) => fraction[..count.min(7)].trim_end_matches('0').to_owned(),
            Piece::Field(..) => return Err(invalid()),
        };
    }
    Ok(out)
}

/// Units of 100 ns since the year 1 on the clock of the moment's zone, as `.Ticks` has them.
pub fn ticks(moment: &Zoned) -> i64 {
    let local = moment.timestamp().as_second() + i64::from(moment.offset().seconds()) + SECONDS_TO_1970;
    local.saturating_mul(TICKS_PER_SECOND) + i64::from(moment.subsec_nanosecond()) / 100
}

/// The time of so many units since the year 1 on the clock of a zone.
pub fn of_ticks(ticks: i64, zone: TimeZone) -> Option<Zoned> {
    let seconds = ticks.div_euclid(TICKS_PER_SECOND).checked_sub(SECONDS_TO_1970)?;
    let nanoseconds = i32::try_from(ticks.rem_euclid(TICKS_PER_SECOND) * 100).ok()?;
    let stamp = Timestamp::new(seconds, nanoseconds).ok()?;
    Offset::UTC.to_datetime(stamp).to_zoned(zone).ok()
}

/// How long after `earlier` `later` is.
pub fn between(later: &Zoned, earlier: &Zoned) -> TimeSpan {
    let nanoseconds = later.timestamp().as_nanosecond() - earlier.timestamp().as_nanosecond();
    TimeSpan { ticks: i64::try_from(nanoseconds / 100).unwrap_or(i64::MAX) }
}

/// The time that is `span` after `moment`.
///
/// # Errors
/// When no calendar reaches that far.
pub fn after(moment: &Zoned, span: TimeSpan) -> Result<Zoned, Fault> {
    let nanoseconds = moment.timestamp().as_nanosecond() + i128::from(span.ticks) * 100;
    match Timestamp::from_nanosecond(nanoseconds) {
        Ok(stamp) => Ok(stamp.to_zoned(moment.time_zone().clone())),
        Err(_) => Err(out_of_range()),
    }
}

/// The error for a time that no calendar has.
pub fn out_of_range() -> Fault {
    let mut fault =
        Fault::new(Category::InvalidArgument, "The added or subtracted value results in an un-representable DateTime.");
    fault.exception = "System.ArgumentOutOfRangeException";
    fault
}

/// The length of so many seconds.
pub fn seconds(seconds: f64) -> TimeSpan {
    TimeSpan { ticks: (seconds * TICKS_PER_SECOND as f64).round() as i64 }
}

/// The time of day of a moment.
pub fn time_of_day(moment: &Zoned) -> TimeSpan {
    let since = moment.time().duration_since(Time::midnight());
    TimeSpan { ticks: i64::try_from(since.as_nanos() / 100).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference() -> Zoned {
        "2026-11-22T09:07:14.25[Europe/Berlin]".parse().expect("a time")
    }

    #[test]
    fn times_are_written_as_dotnet_writes_them() {
        for (form, expected) in [
            ("yyyyMMdd_HHmmss", "20261122_090714"),
            ("yyyy-MM-dd", "2026-11-22"),
            ("d", "11/22/2026"),
            ("G", "11/22/2026 9:07:14 AM"),
            ("dddd, d MMMM yy h:mm tt", "Sunday, 22 November 26 9:07 AM"),
            ("ddd MMM", "Sun Nov"),
            ("s", "2026-11-22T09:07:14"),
            ("o", "2026-11-22T09:07:14.2500000+01:00"),
            ("r", "Sun, 22 Nov 2026 08:07:14 GMT"),
            ("HH'h'mm", "09h07"),
            (r"HH\hmm", "09h07"),
            ("fff", "250"),
            ("zzz", "+01:00"),
        ] {
            assert_eq!(format(&reference(), form).expect(form), expected, "{form}");
        }
        assert!(format(&reference(), "q").is_err());
        assert_eq!(cell(&reference()), "11/22/2026 9:07:14 AM");
        assert_eq!(long(&reference()), "Sunday, November 22, 2026 9:07:14 AM");
    }

    #[test]
    fn times_are_read_as_scripts_write_them() {
        for (text, expected) in [
            ("2026-11-22", "2026-11-22T00:00:00"),
            ("2026-11-22 14:30", "2026-11-22T14:30:00"),
            ("2026-11-22T14:30:05", "2026-11-22T14:30:05"),
            ("2026-11-22T14:30:05Z", "2026-11-22T15:30:05"),
            ("2026-11-22T14:30:05.5+00:00", "2026-11-22T15:30:05"),
            ("11/22/2026", "2026-11-22T00:00:00"),
            ("11/22/2026 2:30 PM", "2026-11-22T14:30:00"),
            ("11/22/2026 12:00:00 AM", "2026-11-22T00:00:00"),
            ("1/2/26 3:04:05 PM", "2026-01-02T15:04:05"),
            ("22 Nov 2026 01:02:03", "2026-11-22T01:02:03"),
            ("Nov 22, 2026", "2026-11-22T00:00:00"),
            ("22-Nov-2026", "2026-11-22T00:00:00"),
            ("Sun, 22 Nov 2026 08:07:14 GMT", "2026-11-22T09:07:14"),
            ("14:30", "2026-11-22T14:30:00"),
            ("3 PM", "2026-11-22T15:00:00"),
            ("November 2026", "2026-11-01T00:00:00"),
        ] {
            let read = parse(text, &reference()).map(|moment| format(&moment, "s").expect("s is known"));
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        }
        for text in ["", "x", "22.11.2026", "13/13/2026", "25:00", "2026-02-30", "13 PM", "10.0.0.5", "7"] {
            assert!(parse(text, &reference()).is_none(), "{text}");
        }
        let exact = parse_exact("20261122_090714", "yyyyMMdd_HHmmss", &reference()).expect("exact");
        assert_eq!(format(&exact, "s").expect("s is known"), "2026-11-22T09:07:14");
        let exact = parse_exact("22.11.2026", "dd.MM.yyyy", &reference()).expect("exact");
        assert_eq!(format(&exact, "d").expect("d is known"), "11/22/2026");
        assert!(parse_exact("22.11.26", "dd.MM.yyyy HH", &reference()).is_none());
    }

    #[test]
    fn lengths_of_time_are_read_and_written() {
        for (text, expected) in [
            ("00:05:00", "00:05:00"),
            ("1.02:03:04", "1.02:03:04"),
            ("5:30", "05:30:00"),
            ("2", "2.00:00:00"),
            ("-00:00:05", "-00:00:05"),
            ("00:00:00.5", "00:00:00.5000000"),
        ] {
            assert_eq!(parse_span(text).map(span_text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "x", "24:00:00", "1:2:3:4", "00:60:00", "1.5"] {
            assert!(parse_span(text).is_none(), "{text}");
        }
        let span = parse_span("1.02:03:04").expect("a span");
        assert_eq!(format_span(span, r"hh\:mm\:ss").expect("known"), "02:03:04");
        assert_eq!(format_span(span, "g").expect("known"), "1:2:03:04");
        assert_eq!(ticks(&"0001-01-02T00:00:00[UTC]".parse().expect("a time")), TICKS_PER_DAY);
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "[0-9A-Za-z:/.,+ TZ-]{0,24}", form in "[dMyHhmsftzK:/ ._]{0,12}") {
            let read = parse(&text, &reference());
            let _ = parse_exact(&text, &form, &reference());
            let _ = parse_span(&text);
            if let Some(read) = read {
                let _ = format(&read, &form);
            }
        }

        #[test]
        fn spans_survive_text(ticks in -900_000_000_000_000_000i64..900_000_000_000_000_000) {
            prop_assert_eq!(parse_span(&span_text(TimeSpan { ticks })), Some(TimeSpan { ticks }));
        }
    }
}
