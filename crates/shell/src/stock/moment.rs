//! Time, waiting and chance.

use std::rc::Rc;
use std::time::Duration;

use jiff::Zoned;

use crate::command::{Call, Kind, Signature};
use crate::context::{BlockScope, Context, Stage, StockCommand};
use crate::convert::{self, time};
use crate::fault::{Category, Fault};
use crate::member;
use crate::syntax::TypeName;
use crate::value::{TimeSpan, Value};

use super::parameter::{ANY, SIGNATURE, also, at, input, named, needed, piped, switch};

/// Get-Date.
pub(super) const GET_DATE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Date",
        synopsis: "Tells the time.",
        parameters: &[
            also(&["LastWriteTime"], piped(at(0, "Date", Kind::Time, "Another time than now."))),
            named("Format", Kind::Text, "A .NET format, as yyyyMMdd_HHmmss."),
            named("UFormat", Kind::Text, "A format of Unix, as %Y-%m-%d."),
            named("Year", Kind::Int, "Another year."),
            named("Month", Kind::Int, "Another month."),
            named("Day", Kind::Int, "Another day."),
            named("Hour", Kind::Int, "Another hour."),
            named("Minute", Kind::Int, "Another minute."),
            named("Second", Kind::Int, "Another second."),
            named("Millisecond", Kind::Int, "Another millisecond."),
            named("DisplayHint", Kind::Text, "Taken, and of no consequence."),
            switch("AsUTC", "In UTC."),
        ],
        examples: &[("Get-Date -Format yyyyMMdd_HHmmss", "A stamp for a file's name.")],
        ..SIGNATURE
    },
    make: || Box::new(GetDate),
};

struct GetDate;

impl Stage for GetDate {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let mut moment = match call.argument("Date") {
            Some(Value::Time(moment)) => moment.clone(),
            _ => context.world().now(),
        };
        let part =
            |name: &str, now: i64| -> Result<i64, Fault> { call.argument(name).map_or(Ok(now), convert::integer) };
        if call.is_set("AsUTC") {
            moment = moment.with_time_zone(jiff::tz::TimeZone::UTC);
        }
        let small = |name: &str, now: i8| -> Result<i8, Fault> {
            i8::try_from(part(name, now.into())?).map_err(|_| wrong(name))
        };
        let changed = moment
            .with()
            .year(i16::try_from(part("Year", moment.year().into())?).map_err(|_| wrong("Year"))?)
            .month(small("Month", moment.month())?)
            .day(small("Day", moment.day())?)
            .hour(small("Hour", moment.hour())?)
            .minute(small("Minute", moment.minute())?)
            .second(small("Second", moment.second())?)
            .millisecond(
                i16::try_from(part("Millisecond", moment.millisecond().into())?).map_err(|_| wrong("Millisecond"))?,
            )
            .build()
            .map_err(|error| Fault::new(Category::InvalidArgument, format!("There is no such time: {error}.")))?;
        if let Some(form) = call.argument("Format").map(convert::text) {
            // Four names beside the formats of .NET, for the names of files.
            let (moment, form) = match form.to_ascii_lowercase().as_str() {
                "filedate" => (changed, "yyyyMMdd"),
                "filedatetime" => (changed, "yyyyMMddTHHmmssffff"),
                "filedateuniversal" => (changed.with_time_zone(jiff::tz::TimeZone::UTC), "yyyyMMdd'Z'"),
                "filedatetimeuniversal" => (changed.with_time_zone(jiff::tz::TimeZone::UTC), "yyyyMMddTHHmmssffff'Z'"),
                _ => (changed, form.as_str()),
            };
            return context.value(Value::text(time::format(&moment, form)?));
        }
        if let Some(form) = call.argument("UFormat").map(convert::text) {
            return context.value(Value::text(unix(&changed, &form)?));
        }
        context.value(Value::Time(changed))
    }
}

fn wrong(name: &str) -> Fault {
    Fault::new(
        Category::InvalidArgument,
        format!("Cannot validate argument on parameter '{name}': there is no such time."),
    )
}

fn unix(moment: &Zoned, form: &str) -> Result<String, Fault> {
    let form = form.trim_start_matches('+');
    jiff::fmt::strtime::format(form, moment)
        .map_err(|error| Fault::new(Category::InvalidArgument, format!("The format '{form}' is not known: {error}.")))
}

/// New-TimeSpan.
pub(super) const NEW_TIMESPAN: StockCommand = StockCommand {
    signature: &Signature {
        name: "New-TimeSpan",
        synopsis: "Makes a length of time, of two times or of parts.",
        parameters: &[
            also(&["LastWriteTime"], piped(at(0, "Start", Kind::Time, "From when."))),
            at(1, "End", Kind::Time, "To when; now if not given."),
            named("Days", ANY, "So many days."),
            named("Hours", ANY, "So many hours."),
            named("Minutes", ANY, "So many minutes."),
            named("Seconds", ANY, "So many seconds."),
            named("Milliseconds", ANY, "So many milliseconds."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(NewTimeSpan),
};

struct NewTimeSpan;

impl Stage for NewTimeSpan {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let now = context.world().now();
        let moment = |name: &str| match call.argument(name) {
            Some(Value::Time(moment)) => Some(moment.clone()),
            _ => None,
        };
        let (start, end) = (moment("Start"), moment("End"));
        if start.is_some() || end.is_some() {
            let (start, end) = (start.unwrap_or_else(|| now.clone()), end.unwrap_or(now));
            return context.value(Value::Span(time::between(&end, &start)));
        }
        let mut seconds = 0.0;
        for (name, unit) in
            [("Days", 86_400.0), ("Hours", 3_600.0), ("Minutes", 60.0), ("Seconds", 1.0), ("Milliseconds", 0.001)]
        {
            if let Some(value) = call.argument(name) {
                seconds += number(name, value)? * unit;
            }
        }
        context.value(Value::Span(time::seconds(seconds)))
    }
}

fn number(name: &str, value: &Value) -> Result<f64, Fault> {
    match convert::number(value) {
        Some(number) => Ok(convert::as_float(&number)),
        None => Err(Fault::new(
            Category::InvalidArgument,
            format!("Cannot bind parameter '{name}'. \"{}\" is no number.", convert::text(value)),
        )),
    }
}

/// Start-Sleep.
pub(super) const SLEEP: StockCommand = StockCommand {
    signature: &Signature {
        name: "Start-Sleep",
        synopsis: "Waits.",
        parameters: &[
            also(&["s"], piped(at(0, "Seconds", ANY, "So many seconds."))),
            also(&["m", "ms"], named("Milliseconds", ANY, "So many milliseconds.")),
            named("Duration", Kind::Any, "A length of time."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Sleep),
};

struct Sleep;

impl Stage for Sleep {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        /// Nobody means to wait longer than a month.
        const SECONDS_MAX: f64 = 31.0 * 86_400.0;
        let seconds = match (call.argument("Seconds"), call.argument("Milliseconds"), call.argument("Duration")) {
            (_, _, Some(Value::Span(span))) | (Some(Value::Span(span)), ..) => span.ticks as f64 / 1e7,
            (_, Some(value), _) => number("Milliseconds", value)? / 1000.0,
            (Some(value), ..) => number("Seconds", value)?,
            _ => return Err(Fault::new(Category::InvalidArgument, "Start-Sleep wants a number of seconds.")),
        };
        if !(0.0..=SECONDS_MAX).contains(&seconds) {
            return Err(Fault::new(Category::InvalidArgument, format!("{seconds} seconds cannot be waited.")));
        }
        context.show(None)?;
        context.world().sleep(Duration::from_secs_f64(seconds));
        context.check()
    }
}

/// Get-Random.
pub(super) const RANDOM: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Random",
        synopsis: "A number by chance, or some of the objects.",
        parameters: &[
            at(0, "Maximum", ANY, "Less than this."),
            named("Minimum", ANY, "At least this; 0 if not given."),
            named("Count", Kind::Int, "So many of the objects."),
            named("SetSeed", ANY, "Taken, and of no consequence."),
            switch("Shuffle", "All objects in another order."),
            input(),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Random::default()),
};

#[derive(Default)]
struct Random {
    values: Vec<Value>,
    has_input: bool,
}

impl Stage for Random {
    fn process(&mut self, _context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        if let Some(input) = input.or_else(|| call.argument("InputObject")) {
            self.has_input = true;
            self.values.extend(convert::elements(input));
        }
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        if self.has_input {
            let count = match call.argument("Count") {
                Some(count) => usize::try_from(convert::integer(count)?).unwrap_or(0),
                None if call.is_set("Shuffle") => usize::MAX,
                None => 1,
            };
            for _ in 0..count.min(self.values.len()) {
                let at = member::random_between(context, 0, self.values.len() as i64) as usize;
                let one = self.values.swap_remove(at);
                context.value(one)?;
            }
            return Ok(());
        }
        let least = call.argument("Minimum").cloned().unwrap_or(Value::Int(0));
        let most = call.argument("Maximum").cloned().unwrap_or(Value::Int(i64::from(i32::MAX)));
        match (convert::number(&least), convert::number(&most)) {
            (Some(Value::Int(least)), Some(Value::Int(most))) if least < most => {
                let number = member::random_between(context, least, most);
                context.value(Value::Int(number))
            }
            (Some(least), Some(most)) if convert::as_float(&least) < convert::as_float(&most) => {
                let (least, most) = (convert::as_float(&least), convert::as_float(&most));
                let bits = context.world().random() >> 11;
                context.value(Value::Float(least + (most - least) * (bits as f64 / (1u64 << 53) as f64)))
            }
            _ => Err(Fault::new(
                Category::InvalidArgument,
                "The Minimum value must be less than the Maximum value, and both must be numbers.",
            )),
        }
    }
}

/// Measure-Command.
pub(super) const MEASURE_COMMAND: StockCommand = StockCommand {
    signature: &Signature {
        name: "Measure-Command",
        synopsis: "Runs a block and tells how long it took.",
        parameters: &[needed(at(0, "Expression", Kind::Block, "The block.")), input()],
        ..SIGNATURE
    },
    make: || Box::new(MeasureCommand::default()),
};

#[derive(Default)]
struct MeasureCommand {
    taken: Duration,
}

impl Stage for MeasureCommand {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(Value::Block(block)) = call.argument("Expression") else { return Ok(()) };
        let before = context.world().elapsed();
        context.call_block(&Rc::clone(block), BlockScope::Caller, input.cloned(), &[])?;
        self.taken += context.world().elapsed().saturating_sub(before);
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, _call: &Call<'_>) -> Result<(), Fault> {
        context.value(Value::Span(TimeSpan { ticks: (self.taken.as_nanos() / 100) as i64 }))
    }
}

/// New-Guid.
pub(super) const NEW_GUID: StockCommand = StockCommand {
    signature: &Signature { name: "New-Guid", synopsis: "Makes a new GUID.", parameters: &[], ..SIGNATURE },
    make: || Box::new(NewGuid),
};

struct NewGuid;

impl Stage for NewGuid {
    fn process(&mut self, context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let of = TypeName { name: "guid".to_owned(), arguments: Vec::new(), array_depth: 0 };
        match member::call_static(context, &of, "NewGuid", &[])? {
            Some(guid) => context.value(guid),
            None => Ok(()),
        }
    }
}
