//! Members of times and of lengths of time.

use std::cmp::Ordering;

use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

use crate::convert::{self, time};
use crate::fault::Fault;
use crate::value::{Foreign, TimeSpan, Value};

use super::arguments::Arguments;

/// Methods of times.
pub(super) const METHODS: &[&str] = &[
    "AddDays",
    "AddHours",
    "AddMinutes",
    "AddSeconds",
    "AddMilliseconds",
    "AddMonths",
    "AddYears",
    "AddTicks",
    "Add",
    "Subtract",
    "ToString",
    "ToUniversalTime",
    "ToLocalTime",
    "ToShortDateString",
    "ToLongDateString",
    "ToShortTimeString",
    "ToLongTimeString",
    "ToFileTime",
    "ToFileTimeUtc",
    "ToOADate",
    "CompareTo",
    "Equals",
    "IsDaylightSavingTime",
];
/// Properties of times.
pub(super) const PROPERTIES: &[&str] = &[
    "Date",
    "Day",
    "DayOfWeek",
    "DayOfYear",
    "Hour",
    "Kind",
    "Millisecond",
    "Minute",
    "Month",
    "Second",
    "Ticks",
    "TimeOfDay",
    "Year",
];
/// Methods of lengths of time.
pub(super) const SPAN_METHODS: &[&str] = &["Add", "Subtract", "Negate", "Duration", "ToString", "CompareTo", "Equals"];
/// Properties of lengths of time.
pub(super) const SPAN_PROPERTIES: &[&str] = &[
    "Days",
    "Hours",
    "Minutes",
    "Seconds",
    "Milliseconds",
    "Ticks",
    "TotalDays",
    "TotalHours",
    "TotalMinutes",
    "TotalSeconds",
    "TotalMilliseconds",
];

/// A property of a time.
pub(super) fn property(moment: &Zoned, lower: &str) -> Option<Value> {
    let number = |number: i64| Some(Value::Int(number));
    match lower {
        "year" => number(moment.year().into()),
        "month" => number(moment.month().into()),
        "day" => number(moment.day().into()),
        "hour" => number(moment.hour().into()),
        "minute" => number(moment.minute().into()),
        "second" => number(moment.second().into()),
        "millisecond" => number(moment.millisecond().into()),
        "dayofyear" => number(moment.day_of_year().into()),
        "dayofweek" => DayOfWeek::named(time::weekday(moment)),
        "ticks" => number(time::ticks(moment)),
        "date" => Some(Value::Time(moment.start_of_day().unwrap_or_else(|_| moment.clone()))),
        "timeofday" => Some(Value::Span(time::time_of_day(moment))),
        "kind" => Some(Value::text(if *moment.time_zone() == TimeZone::UTC { "Utc" } else { "Local" })),
        "datetime" => Some(Value::text(time::long(moment))),
        "localdatetime" => Some(Value::Time(moment.clone())),
        "utcdatetime" => Some(Value::Time(moment.with_time_zone(TimeZone::UTC))),
        _ => None,
    }
}

/// Calls a method of a time.
pub(super) fn call(moment: &Zoned, lower: &str, arguments: &Arguments<'_>) -> Option<Result<Option<Value>, Fault>> {
    answer(moment, lower, arguments).map(|done| done.map(Some))
}

fn answer(moment: &Zoned, lower: &str, arguments: &Arguments<'_>) -> Option<Result<Value, Fault>> {
    let later =
        |unit: f64| arguments.float(0).and_then(|count| after(moment, time::seconds(count * unit))).map(Value::Time);
    let text = |form: &str| time::format(moment, form).map(Value::text);
    Some(match lower {
        "adddays" => later(86_400.0),
        "addhours" => later(3_600.0),
        "addminutes" => later(60.0),
        "addseconds" => later(1.0),
        "addmilliseconds" => later(0.001),
        "addticks" => arguments.int(0).and_then(|ticks| after(moment, TimeSpan { ticks })).map(Value::Time),
        "addmonths" | "addyears" => arguments.int(0).and_then(|count| {
            // More than all calendars have: let the library refuse, without its own limits' panics.
            const COUNT_MAX: i64 = 200_000;
            if count.abs() > COUNT_MAX {
                return Err(time::out_of_range());
            }
            let months = if lower == "addyears" { count * 12 } else { count };
            let span = 0.months().try_months(months.clamp(-119_988, 119_988)).map_err(|_| time::out_of_range())?;
            moment.checked_add(span).map(Value::Time).map_err(|_| time::out_of_range())
        }),
        "add" => span_argument(arguments).and_then(|span| after(moment, span)).map(Value::Time),
        "subtract" => match arguments.values.first() {
            Some(Value::Time(other)) => Ok(Value::Span(time::between(moment, other))),
            _ => span_argument(arguments)
                .and_then(|span| after(moment, TimeSpan { ticks: span.ticks.saturating_neg() }))
                .map(Value::Time),
        },
        "tounixtimeseconds" => Ok(Value::Int(moment.timestamp().as_second())),
        "tounixtimemilliseconds" => Ok(Value::Int(moment.timestamp().as_millisecond())),
        "touniversaltime" => Ok(Value::Time(moment.with_time_zone(TimeZone::UTC))),
        "tolocaltime" => Ok(Value::Time(moment.clone())),
        "tostring" if arguments.values.is_empty() => text("G"),
        "toshortdatestring" => text("d"),
        "tolongdatestring" => text("D"),
        "toshorttimestring" => text("t"),
        "tolongtimestring" => text("T"),
        "isdaylightsavingtime" => Ok(Value::Bool(moment.time_zone().to_offset_info(moment.timestamp()).dst().is_dst())),
        // Units of 100 ns since 1601.
        "tofiletime" | "tofiletimeutc" => {
            const SECONDS_TO_1970: i64 = 11_644_473_600;
            let ticks = (moment.timestamp().as_second() + SECONDS_TO_1970).saturating_mul(time::TICKS_PER_SECOND);
            Ok(Value::Int(ticks + i64::from(moment.subsec_nanosecond()) / 100))
        }
        // Days since 30 December 1899.
        "tooadate" => {
            const TICKS_TO_1899: i64 = 599_264_352_000_000_000;
            Ok(Value::Float((time::ticks(moment) - TICKS_TO_1899) as f64 / (86_400.0 * time::TICKS_PER_SECOND as f64)))
        }
        _ => return None,
    })
}

fn after(moment: &Zoned, span: TimeSpan) -> Result<Zoned, Fault> {
    // A day is 24 hours on the clock, as in the original: it knows no summer time in arithmetic.
    let civil = moment.datetime();
    let nanoseconds = jiff::SignedDuration::from_nanos_i128(i128::from(span.ticks) * 100);
    let civil = civil.checked_add(nanoseconds).map_err(|_| time::out_of_range())?;
    civil.to_zoned(moment.time_zone().clone()).map_err(|_| time::out_of_range())
}

fn span_argument(arguments: &Arguments<'_>) -> Result<TimeSpan, Fault> {
    span(&arguments.need(1)?[0])
}

/// A property of a length of time.
pub(super) fn span_property(span: TimeSpan, lower: &str) -> Option<Value> {
    let part = |unit: i64, most: i64| Some(Value::Int(span.ticks / unit % most));
    let total = |unit: i64| Some(Value::Float(span.ticks as f64 / unit as f64));
    const MILLISECOND: i64 = time::TICKS_PER_SECOND / 1000;
    const SECOND: i64 = time::TICKS_PER_SECOND;
    match lower {
        "days" => part(86_400 * SECOND, i64::MAX),
        "hours" => part(3_600 * SECOND, 24),
        "minutes" => part(60 * SECOND, 60),
        "seconds" => part(SECOND, 60),
        "milliseconds" => part(MILLISECOND, 1000),
        "ticks" => Some(Value::Int(span.ticks)),
        "totaldays" => total(86_400 * SECOND),
        "totalhours" => total(3_600 * SECOND),
        "totalminutes" => total(60 * SECOND),
        "totalseconds" => total(SECOND),
        "totalmilliseconds" => total(MILLISECOND),
        _ => None,
    }
}

/// Calls a method of a length of time.
pub(super) fn span_call(
    span: TimeSpan,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    let done = match lower {
        "add" => span_argument(arguments).map(|other| span.ticks.saturating_add(other.ticks)),
        "subtract" => span_argument(arguments).map(|other| span.ticks.saturating_sub(other.ticks)),
        "negate" => Ok(span.ticks.saturating_neg()),
        "duration" => Ok(span.ticks.saturating_abs()),
        "tostring" if arguments.values.is_empty() => {
            return Some(Ok(Some(Value::text(convert::time::span_text(span)))));
        }
        _ => return None,
    };
    Some(done.map(|ticks| Some(Value::Span(TimeSpan { ticks }))))
}

/// A length of time of a value: text, a number of ticks.
pub(super) fn span(value: &Value) -> Result<TimeSpan, Fault> {
    let found = match value {
        Value::Span(span) => Some(*span),
        Value::Int(ticks) => Some(TimeSpan { ticks: *ticks }),
        other => time::parse_span(&convert::text(other)),
    };
    found.ok_or_else(|| {
        convert::cannot_convert(value, "System.TimeSpan", Some("String was not recognized as a valid TimeSpan."))
    })
}

/// `[System.DayOfWeek]`: a name and a number, Sunday 0.
#[derive(Debug)]
pub(super) struct DayOfWeek(usize);

impl DayOfWeek {
    /// Its type.
    pub(super) const TYPE: &str = "System.DayOfWeek";

    const NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

    /// The day of this name, as a value.
    pub(super) fn named(name: &str) -> Option<Value> {
        let at = DayOfWeek::NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
        at.map(|at| Value::foreign(DayOfWeek(at)))
    }
}

impl Foreign for DayOfWeek {
    fn type_name(&self) -> &str {
        DayOfWeek::TYPE
    }

    fn text(&self) -> String {
        DayOfWeek::NAMES[self.0].to_owned()
    }

    fn property(&self, name: &str) -> Option<Value> {
        name.eq_ignore_ascii_case("value__").then(|| Value::Int(self.0 as i64))
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        let other = match other {
            Value::Text(name) => DayOfWeek::NAMES.iter().position(|known| known.eq_ignore_ascii_case(name.trim()))?,
            Value::Int(number) => usize::try_from(*number).ok()?,
            other => other.downcast::<DayOfWeek>()?.0,
        };
        Some(self.0.cmp(&other))
    }

    fn number(&self) -> Option<f64> {
        Some(self.0 as f64)
    }
}
