//! `[Type]::Member`: constants and functions of types.

use std::rc::Rc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::context::Context;
use crate::convert::encoding::Encoding;
use crate::convert::{self, time};
use crate::fault::{Category, Fault};
use crate::syntax::TypeName;
use crate::value::{CUSTOM, Object, TimeSpan, Value};
use crate::world::Stream;

use super::address::{self, Address};
use super::arguments::{Arguments, invalid};
use super::console::Console;
use super::culture::Culture;
use super::kind;
use super::moment::DayOfWeek;
use super::tool::{Guid, Reference, Secret, Stopwatch, TextEncoding};
use super::version::Version;

pub(super) mod conversion;
mod files;
mod mathematics;

type Answer = Option<Result<Value, Fault>>;

/// `[Type]::Name`.
///
/// # Errors
/// When the type or its member is not known.
pub fn static_property(context: &mut dyn Context, of: &TypeName, name: &str) -> Result<Value, Fault> {
    let full = kind::canonical(&of.name);
    let lower = name.to_ascii_lowercase();
    if let Some(names) = kind::names_of(&full) {
        return match names.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) if full == DayOfWeek::TYPE => Ok(DayOfWeek::named(known).unwrap_or_default()),
            Some(known) => Ok(Value::text(known)),
            None => Err(no_member(of, name, names.iter().copied())),
        };
    }
    let found = match (full.as_str(), lower.as_str()) {
        ("System.String", "empty") => Value::text(""),
        ("System.Boolean", "truestring") => Value::text("True"),
        ("System.Boolean", "falsestring") => Value::text("False"),
        ("System.DateTime", _) => return date(context, of, name, &lower),
        ("System.TimeSpan", "zero") => Value::Span(TimeSpan::default()),
        ("System.TimeSpan", "maxvalue") => Value::Span(TimeSpan { ticks: i64::MAX }),
        ("System.TimeSpan", "minvalue") => Value::Span(TimeSpan { ticks: i64::MIN }),
        ("System.TimeSpan", "tickspersecond") => Value::Int(time::TICKS_PER_SECOND),
        ("System.Int32", "maxvalue") => Value::Int(i32::MAX.into()),
        ("System.Int32", "minvalue") => Value::Int(i32::MIN.into()),
        ("System.Int64", "maxvalue") => Value::Int(i64::MAX),
        ("System.Int64", "minvalue") => Value::Int(i64::MIN),
        ("System.UInt32", "maxvalue") => Value::Int(u32::MAX.into()),
        ("System.UInt16", "maxvalue") => Value::Int(u16::MAX.into()),
        ("System.Byte", "maxvalue") => Value::Int(u8::MAX.into()),
        ("System.UInt16" | "System.UInt32" | "System.Byte", "minvalue") => Value::Int(0),
        ("System.Double" | "System.Decimal", "maxvalue") => Value::Float(f64::MAX),
        ("System.Double" | "System.Decimal", "minvalue") => Value::Float(f64::MIN),
        ("System.Double", "nan") => Value::Float(f64::NAN),
        ("System.Math", "pi") => Value::Float(std::f64::consts::PI),
        ("System.Math", "e") => Value::Float(std::f64::consts::E),
        ("System.Environment", _) => return environment(context, of, name, &lower),
        ("System.Net.IPAddress", _) => match address::constant(&lower) {
            Some(found) => found,
            None => {
                return Err(no_member(of, name, ["Any", "Loopback", "Broadcast", "None", "IPv6Any", "IPv6Loopback"]));
            }
        },
        ("System.Guid", "empty") => kind::make(context, of, &[])?,
        ("System.DBNull", "value") => Value::Null,
        // One that is none: whoever hands it on logs on with nothing.
        ("System.Management.Automation.PSCredential", "empty") => Value::Null,
        ("System.Text.Encoding", _) => match Encoding::named(if lower == "utf7" { "ascii" } else { &lower }) {
            Some(encoding) => Value::foreign(TextEncoding(encoding)),
            None => {
                return Err(no_member(of, name, ["UTF8", "Unicode", "ASCII", "Default", "BigEndianUnicode", "UTF32"]));
            }
        },
        ("System.IO.Path", "directoryseparatorchar" | "altdirectoryseparatorchar") => Value::Char('/'),
        ("System.IO.Path", "pathseparator") => Value::Char(':'),
        (
            "System.Globalization.CultureInfo",
            "invariantculture" | "currentculture" | "currentuiculture" | "installeduiculture",
        ) => Value::foreign(Culture(if lower == "invariantculture" { "" } else { "en-US" }.to_owned())),
        ("System.Threading.Thread", "currentthread") => Value::foreign(Culture("en-US".to_owned())),
        ("System.Net.ServicePointManager", "securityprotocol") => Value::text("Tls12, Tls13"),
        ("System.Net.ServicePointManager", _) => Value::Null,
        ("System.Console", "out" | "error" | "in") => Value::foreign(Console),
        ("System.Console", "outputencoding" | "inputencoding") => Value::foreign(TextEncoding(Encoding::Utf8)),
        ("System.Console", "windowwidth" | "bufferwidth") => Value::Int(context.world().width() as i64),
        ("System.Console", _) => match super::property(context, &Value::foreign(Console), name)? {
            Some(found) => found,
            None => return Err(no_member(of, name, ["OutputEncoding", "WindowWidth", "ForegroundColor"])),
        },
        ("System.BitConverter", "islittleendian") => Value::Bool(true),
        ("System.Diagnostics.Stopwatch", "frequency") => Value::Int(time::TICKS_PER_SECOND),
        _ => {
            // A type of the commands may have names: they convert them.
            if kind::canonical(&of.name) == of.name
                && let Some(done) = context.commands().convert(&of.to_string(), &Value::text(name))
            {
                return done;
            }
            return Err(if kind::is_known(of) { no_member(of, name, []) } else { kind::unknown(of) });
        }
    };
    Ok(found)
}

fn no_member<'a>(of: &TypeName, name: &str, known: impl IntoIterator<Item = &'a str>) -> Fault {
    let near = convert::nearest(name, known).map(|near| format!(" Did you mean [{of}]::{near}?"));
    Fault::new(
        Category::InvalidOperation,
        format!("The type [{of}] has no member '{name}' that is known here.{}", near.unwrap_or_default()),
    )
}

fn date(context: &mut dyn Context, of: &TypeName, name: &str, lower: &str) -> Result<Value, Fault> {
    let now = context.world().now();
    let civil = |text: &str| -> Result<Value, Fault> {
        time::parse(text, &now.with_time_zone(TimeZone::UTC)).map(Value::Time).ok_or_else(time::out_of_range)
    };
    match lower {
        "now" => Ok(Value::Time(now)),
        "utcnow" => Ok(Value::Time(now.with_time_zone(TimeZone::UTC))),
        "today" => now.start_of_day().map(Value::Time).map_err(|_| time::out_of_range()),
        "minvalue" => civil("0001-01-01 00:00:00"),
        "maxvalue" => civil("9999-12-30 23:59:59"),
        "unixepoch" => civil("1970-01-01 00:00:00"),
        _ => Err(no_member(of, name, ["Now", "UtcNow", "Today", "MinValue", "MaxValue"])),
    }
}

fn environment(context: &mut dyn Context, of: &TypeName, name: &str, lower: &str) -> Result<Value, Fault> {
    let variable = |context: &mut dyn Context, name: &str| context.environment(name).map(Value::text);
    Ok(match lower {
        "newline" => Value::text("\n"),
        "machinename" => variable(context, "COMPUTERNAME").unwrap_or_default(),
        "username" => variable(context, "USERNAME").unwrap_or_default(),
        "userdomainname" => {
            variable(context, "USERDOMAIN").or_else(|| variable(context, "COMPUTERNAME")).unwrap_or_default()
        }
        "currentdirectory" | "systemdirectory" => Value::text(context.world().current_folder()),
        "is64bitoperatingsystem" | "is64bitprocess" | "userinteractive" => Value::Bool(true),
        "processorcount" => Value::Int(1),
        "tickcount" | "tickcount64" => Value::Int(context.world().elapsed().as_millis() as i64),
        "exitcode" => Value::Int(0),
        "commandline" => Value::text("gatepost shell"),
        "version" => Value::foreign(Version([4, 0, 30319, 42000])),
        "osversion" => {
            let properties = vec![
                ("Platform".into(), Value::text("Unix")),
                ("VersionString".into(), Value::text("Unix")),
                ("Version".into(), Value::foreign(Version([10, 0, 0, 0]))),
            ];
            Value::Object(Rc::new(Object::new(&CUSTOM, properties)))
        }
        _ => {
            return Err(no_member(
                of,
                name,
                ["NewLine", "MachineName", "UserName", "UserDomainName", "OSVersion", "TickCount"],
            ));
        }
    })
}

/// `[Type]::Name = value`: settings of a Windows process are taken and change nothing here.
///
/// # Errors
/// For anything else.
pub fn set_static(of: &TypeName, name: &str) -> Result<(), Fault> {
    match kind::canonical(&of.name).as_str() {
        "System.Net.ServicePointManager"
        | "System.Console"
        | "System.Threading.Thread"
        | "System.Environment"
        | "System.Globalization.CultureInfo" => Ok(()),
        _ => Err(Fault::new(Category::InvalidOperation, format!("[{of}]::{name} cannot be changed."))),
    }
}

/// Whether a function of a type is `[Environment]::Exit`, which only the evaluator can do.
pub fn ends_process(of: &TypeName, name: &str) -> bool {
    name.eq_ignore_ascii_case("Exit") && kind::canonical(&of.name) == "System.Environment"
}

/// `[Type]::Name(arguments)`; `None`: it yields nothing.
///
/// # Errors
/// When the type or its member is not known, or the function fails.
pub fn call_static(
    context: &mut dyn Context,
    of: &TypeName,
    name: &str,
    values: &[Value],
) -> Result<Option<Value>, Fault> {
    let full = kind::canonical(&of.name);
    let lower = name.to_ascii_lowercase();
    let arguments = Arguments { method: name, values };
    if lower == "new" {
        return kind::make(context, of, values).map(Some);
    }
    let answer: Answer = match full.as_str() {
        "System.String" => text(context, &lower, &arguments),
        "System.Int32"
        | "System.Int64"
        | "System.UInt32"
        | "System.UInt16"
        | "System.Int16"
        | "System.UInt64"
        | "System.Byte"
        | "System.Double"
        | "System.Decimal"
        | "System.Single"
        | "System.Boolean"
        | "System.Guid"
        | "System.Version"
        | "System.Net.IPAddress"
        | "System.TimeSpan"
        | "System.Char"
            if matches!(lower.as_str(), "parse" | "tryparse") =>
        {
            Some(parse(context, of, lower == "tryparse", &arguments))
        }
        "System.Char" => character(&lower, &arguments),
        "System.Double" if lower == "isnan" => Some(arguments.float(0).map(|number| Value::Bool(number.is_nan()))),
        "System.DateTime" | "System.DateTimeOffset" => moment(context, of, &lower, &arguments),
        "System.TimeSpan" => span(&lower, &arguments),
        "System.Math" => mathematics::call(&lower, &arguments),
        "System.Environment" => match environment_call(context, &lower, &arguments) {
            Some(Ok(Value::Null)) if lower.starts_with("set") => return Ok(None),
            answer => answer,
        },
        "System.Net.IPAddress" => match lower.as_str() {
            "isloopback" => Some(
                arguments
                    .need(1)
                    .map(|values| Value::Bool(Address::of(&values[0]).is_some_and(|address| address.0.is_loopback()))),
            ),
            "hosttonetworkorder" | "networktohostorder" => {
                Some(arguments.int(0).map(|number| match i32::try_from(number) {
                    Ok(number) => Value::Int(number.swap_bytes().into()),
                    Err(_) => Value::Int(number.swap_bytes()),
                }))
            }
            _ => None,
        },
        "System.Net.Dns" => names(context, &lower, &arguments),
        "System.Net.WebUtility" => conversion::web(&lower, &arguments),
        "System.IO.Path" | "System.IO.File" | "System.IO.Directory" => files::call(context, &full, &lower, &arguments),
        "System.IO.Compression.ZipFile" => match super::archive::call_static(context, &lower, &arguments) {
            Some(Ok(_)) => return Ok(None),
            answer => answer,
        },
        "System.Text.RegularExpressions.Regex" => super::regex::call_static(context, &lower, &arguments),
        "System.Guid" if lower == "newguid" => Some(Ok(Value::foreign(Guid::random(context)))),
        "System.Convert" => conversion::call(context, &lower, &arguments),
        "System.BitConverter" => conversion::bits(&lower, &arguments),
        "System.Text.Encoding" if lower == "getencoding" => Some(arguments.text(0).and_then(|name| {
            Encoding::named(&name)
                .map(|encoding| Value::foreign(TextEncoding(encoding)))
                .ok_or_else(|| invalid(format!("'{name}' is not a supported encoding name")))
        })),
        "System.Diagnostics.Stopwatch" => match lower.as_str() {
            "startnew" => Some(Ok(Value::foreign(Stopwatch::started(context)))),
            "gettimestamp" => Some(Ok(Value::Int((context.world().elapsed().as_nanos() / 100) as i64))),
            _ => None,
        },
        "System.Management.Automation.ScriptBlock" if lower == "create" => {
            Some(arguments.text(0).and_then(|text| super::block_of(text).map(Value::Block)))
        }
        "System.Array" => match array(&lower, &arguments) {
            // Reverse and Sort change the array and yield nothing.
            Some(Ok(Value::Null)) => return Ok(None),
            answer => answer,
        },
        "System.Enum" => enumeration(context, &lower, &arguments),
        "System.Console" => return console(context, of, name, values),
        "System.GC" => return Ok(None),
        "System.Threading.Thread" if lower == "sleep" => {
            let milliseconds = match values.first() {
                Some(Value::Span(span)) => span.ticks / 10_000,
                _ => arguments.int(0)?,
            };
            context.world().sleep(Duration::from_millis(milliseconds.max(0).unsigned_abs()));
            context.check()?;
            return Ok(None);
        }
        "System.Reflection.Assembly" => return Ok(None),
        "System.Globalization.CultureInfo" => Some(arguments.text(0).map(|name| Value::foreign(Culture(name)))),
        "System.Security.Principal.WindowsIdentity" if lower == "getcurrent" => {
            let user = context.environment("USERNAME").unwrap_or_default();
            let domain = context.environment("USERDOMAIN").or_else(|| context.environment("COMPUTERNAME"));
            let name = format!("{}\\{user}", domain.unwrap_or_default());
            Some(Ok(Value::Object(Rc::new(Object::new(&CUSTOM, vec![("Name".into(), Value::text(name))])))))
        }
        "System.Runtime.InteropServices.Marshal" => secret(&lower, &arguments),
        _ => None,
    };
    match answer {
        Some(done) => done.map(Some).map_err(|fault| super::wrapped(fault, &arguments)),
        None => {
            // `[Microsoft.Exchange.Data.IPRange]::Parse('...')`: a conversion of the commands.
            if lower == "parse"
                && let Some(text) = values.first()
                && let Some(done) = context.commands().convert(&of.to_string(), text)
            {
                return done.map(Some);
            }
            if !kind::is_known(of) {
                return from_number(context, of, &lower, &arguments).unwrap_or_else(|| Err(kind::unknown(of)));
            }
            Err(Fault::new(
                Category::InvalidOperation,
                format!(
                    "Method invocation failed because [{full}] does not contain a method named '{name}' that is known here."
                ),
            ))
        }
    }
}

/// `[...ByteQuantifiedSize]::FromMB(5)`, `[...EnhancedTimeSpan]::FromMinutes(5)`: a number and its unit, as a type of the
/// commands. `None`: it is none.
fn from_number(
    context: &mut dyn Context,
    of: &TypeName,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    let unit = lower.strip_prefix("from")?;
    let written = match unit {
        "bytes" => arguments.int(0).map(|count| count.to_string()),
        "kb" | "mb" | "gb" | "tb" => arguments.int(0).map(|count| format!("{count}{unit}")),
        _ => span(lower, arguments)?.map(|span| convert::text(&span)),
    };
    match written {
        Ok(written) => context.commands().convert(&of.to_string(), &Value::text(written)).map(|done| done.map(Some)),
        Err(fault) => Some(Err(fault)),
    }
}

fn text(context: &mut dyn Context, lower: &str, arguments: &Arguments<'_>) -> Answer {
    let values = arguments.values;
    Some(match lower {
        "isnullorempty" => arguments.need(1).map(|values| Value::Bool(convert::text(&values[0]).is_empty())),
        "isnullorwhitespace" => {
            arguments.need(1).map(|values| Value::Bool(convert::text(&values[0]).trim().is_empty()))
        }
        "join" => arguments.need(2).and_then(|values| {
            let parts = if values.len() == 2 { convert::elements(&values[1]) } else { values[1..].to_vec() };
            let joined = convert::joined(&Value::array(parts), &convert::text(&values[0]));
            context.charge(joined.len())?;
            Ok(Value::text(joined))
        }),
        "format" => arguments.need(1).and_then(|values| {
            let parts = match &values[1..] {
                [Value::List(list)] => list.values.borrow().clone(),
                parts => parts.to_vec(),
            };
            convert::composite::fill(&convert::text(&values[0]), &parts).map(Value::text)
        }),
        "concat" => Ok(Value::text(values.iter().map(|value| convert::joined(value, "")).collect::<String>())),
        "compare" => arguments.need(2).map(|values| {
            let order = convert::compare_texts(
                &convert::text(&values[0]),
                &convert::text(&values[1]),
                !arguments.ignores_case(2),
            );
            Value::Int(order as i64)
        }),
        "equals" => arguments.need(2).map(|values| {
            let (one, other) = (convert::text(&values[0]), convert::text(&values[1]));
            Value::Bool(convert::texts_equal(&one, &other, !arguments.ignores_case(2)))
        }),
        "copy" => arguments.text(0).map(Value::text),
        _ => return None,
    })
}

/// `Parse` and `TryParse` of types that are cast from text.
fn parse(context: &mut dyn Context, of: &TypeName, tries: bool, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let text = arguments.text(0)?;
    let full = kind::canonical(&of.name);
    let is_hex = arguments.values.get(1).is_some_and(|style| convert::text(style).eq_ignore_ascii_case("HexNumber"));
    let is_number = full.contains("Int")
        || matches!(full.as_str(), "System.Byte" | "System.Double" | "System.Decimal" | "System.Single");
    let given = match &full {
        _ if is_hex => Value::text(format!("0x{text}")),
        _ => Value::text(&text),
    };
    let done = match full.as_str() {
        // What casts take and Parse does not: nothing at all, and every text as a truth value.
        _ if is_number && (text.trim().is_empty() || convert::number::parse(&text).is_none() && !is_hex) => {
            Err(convert::cannot_convert(&given, &full, None))
        }
        "System.Int32" | "System.Int64"
            if !is_hex && matches!(convert::number::parse(&text), Some(Value::Float(_))) =>
        {
            Err(convert::cannot_convert(&given, &full, None))
        }
        "System.Boolean" => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(convert::cannot_convert(&given, &full, Some("String was not recognized as a valid Boolean."))),
        },
        _ => kind::cast(context, of, &given),
    };
    if !tries {
        return done;
    }
    if let (Ok(value), Some(reference)) = (&done, arguments.values.last().and_then(Value::downcast::<Reference>)) {
        reference.set(value.clone());
    }
    Ok(Value::Bool(done.is_ok()))
}

fn character(lower: &str, arguments: &Arguments<'_>) -> Answer {
    let sign = match arguments.text(0) {
        Ok(text) => match (
            text.chars()
                .nth(arguments.values.get(1).and_then(|at| convert::integer(at).ok()).unwrap_or(0).max(0) as usize),
            text.is_empty(),
        ) {
            (Some(sign), _) => sign,
            _ => return Some(Err(invalid("String must be exactly one character long."))),
        },
        Err(fault) => return Some(Err(fault)),
    };
    Some(Ok(match lower {
        "isdigit" | "isnumber" => Value::Bool(sign.is_numeric()),
        "isletter" => Value::Bool(sign.is_alphabetic()),
        "isletterordigit" => Value::Bool(sign.is_alphanumeric()),
        "iswhitespace" => Value::Bool(sign.is_whitespace()),
        "isupper" => Value::Bool(sign.is_uppercase()),
        "islower" => Value::Bool(sign.is_lowercase()),
        "ispunctuation" => Value::Bool(sign.is_ascii_punctuation()),
        "iscontrol" => Value::Bool(sign.is_control()),
        "toupper" => Value::Char(sign.to_uppercase().next().unwrap_or(sign)),
        "tolower" => Value::Char(sign.to_lowercase().next().unwrap_or(sign)),
        "getnumericvalue" => Value::Float(sign.to_digit(10).map_or(-1.0, f64::from)),
        _ => return None,
    }))
}

fn moment(context: &mut dyn Context, of: &TypeName, lower: &str, arguments: &Arguments<'_>) -> Answer {
    let now = context.world().now();
    let exact = |arguments: &Arguments<'_>| -> Result<Option<jiff::Zoned>, Fault> {
        let (text, forms) = (arguments.text(0)?, convert::elements(&arguments.need(2)?[1]));
        Ok(forms.iter().find_map(|form| time::parse_exact(&text, &convert::text(form), &now)))
    };
    let unrecognized = || {
        let mut fault = invalid("String was not recognized as a valid DateTime.");
        fault.exception = "System.FormatException";
        fault
    };
    let tried = |found: Option<jiff::Zoned>| {
        if let (Some(found), Some(reference)) = (&found, arguments.values.last().and_then(Value::downcast::<Reference>))
        {
            reference.set(Value::Time(found.clone()));
        }
        Value::Bool(found.is_some())
    };
    Some(match lower {
        "parse" => {
            arguments.text(0).and_then(|text| time::parse(&text, &now).map(Value::Time).ok_or_else(unrecognized))
        }
        "tryparse" => arguments.text(0).map(|text| tried(time::parse(&text, &now))),
        "parseexact" => exact(arguments).and_then(|found| found.map(Value::Time).ok_or_else(unrecognized)),
        "tryparseexact" => exact(arguments).map(tried),
        "daysinmonth" => arguments.int(0).and_then(|year| {
            let month = arguments.int(1)?;
            let first = i16::try_from(year)
                .ok()
                .zip(i8::try_from(month).ok())
                .and_then(|(year, month)| jiff::civil::Date::new(year, month, 1).ok());
            first.map(|first| Value::Int(first.days_in_month().into())).ok_or_else(time::out_of_range)
        }),
        "isleapyear" => arguments.int(0).and_then(|year| {
            let first = i16::try_from(year).ok().and_then(|year| jiff::civil::Date::new(year, 1, 1).ok());
            first.map(|first| Value::Bool(first.in_leap_year())).ok_or_else(time::out_of_range)
        }),
        "fromfiletime" | "fromfiletimeutc" => arguments.int(0).and_then(|ticks| {
            const TICKS_TO_1601: i64 = 504_911_232_000_000_000;
            let utc =
                time::of_ticks(ticks.saturating_add(TICKS_TO_1601), TimeZone::UTC).ok_or_else(time::out_of_range)?;
            let zone = if lower == "fromfiletime" { now.time_zone().clone() } else { TimeZone::UTC };
            Ok(Value::Time(utc.with_time_zone(zone)))
        }),
        "fromunixtimeseconds" | "fromunixtimemilliseconds" => arguments.int(0).and_then(|count| {
            let unit = if lower.ends_with("milliseconds") { 1 } else { 1000 };
            let stamp =
                jiff::Timestamp::from_millisecond(count.saturating_mul(unit)).map_err(|_| time::out_of_range())?;
            Ok(Value::Time(stamp.to_zoned(TimeZone::UTC)))
        }),
        "specifykind" => arguments.need(2).and_then(|values| {
            let Value::Time(moment) = kind::cast(context, of, &values[0])? else { return Err(unrecognized()) };
            let zone = if convert::text(&values[1]).eq_ignore_ascii_case("Utc") {
                TimeZone::UTC
            } else {
                now.time_zone().clone()
            };
            moment.datetime().to_zoned(zone).map(Value::Time).map_err(|_| time::out_of_range())
        }),
        "compare" => arguments
            .need(2)
            .and_then(|values| convert::compare(&values[0], &values[1], false).map(|order| Value::Int(order as i64))),
        _ => return None,
    })
}

fn span(lower: &str, arguments: &Arguments<'_>) -> Answer {
    let of = |unit: f64| arguments.float(0).map(|count| Value::Span(time::seconds(count * unit)));
    Some(match lower {
        "fromdays" => of(86_400.0),
        "fromhours" => of(3_600.0),
        "fromminutes" => of(60.0),
        "fromseconds" => of(1.0),
        "frommilliseconds" => of(0.001),
        "fromticks" => arguments.int(0).map(|ticks| Value::Span(TimeSpan { ticks })),
        "compare" => arguments
            .need(2)
            .and_then(|values| convert::compare(&values[0], &values[1], false).map(|order| Value::Int(order as i64))),
        _ => return None,
    })
}

fn environment_call(context: &mut dyn Context, lower: &str, arguments: &Arguments<'_>) -> Answer {
    Some(match lower {
        "getenvironmentvariable" => {
            arguments.text(0).map(|name| context.environment(&name).map(Value::text).unwrap_or_default())
        }
        "setenvironmentvariable" => arguments.text(0).and_then(|name| {
            // Nothing, as the original: to set it to nothing is to remove it.
            let value = Some(arguments.text(1)?).filter(|value| !value.is_empty());
            context.set_environment(&name, value);
            Ok(Value::Null)
        }),
        "getfolderpath" => arguments.text(0).map(|name| {
            let variable = if name.eq_ignore_ascii_case("ApplicationData") { "APPDATA" } else { "USERPROFILE" };
            let found = context.environment(variable).or_else(|| context.environment("HOME"));
            found.map(Value::text).unwrap_or_default()
        }),
        "expandenvironmentvariables" => arguments.text(0).map(|text| {
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once('%') {
                out += before;
                match after.split_once('%').and_then(|(name, after)| Some((context.environment(name)?, after))) {
                    Some((value, after)) => {
                        out += &value;
                        rest = after;
                    }
                    None => {
                        out.push('%');
                        rest = after;
                    }
                }
            }
            Value::text(out + rest)
        }),
        _ => return None,
    })
}

fn names(context: &mut dyn Context, lower: &str, arguments: &Arguments<'_>) -> Answer {
    let mut entry = |host: String| -> Result<Value, Fault> {
        let addresses = resolve(context, &host)?;
        // Of an address the name is asked for.
        let host = match Address::parse(&host).filter(|_| host.contains(['.', ':'])) {
            Some(address) => context.world().name_of(address.0).map_err(|_| no_such_host(&host))?,
            None => host,
        };
        let properties = vec![
            ("HostName".into(), Value::text(host)),
            ("Aliases".into(), Value::array(Vec::new())),
            ("AddressList".into(), Value::array(addresses)),
        ];
        Ok(Value::Object(Rc::new(Object::new(&CUSTOM, properties))))
    };
    Some(match lower {
        "gethostname" => Ok(context.environment("COMPUTERNAME").map(Value::text).unwrap_or_default()),
        "gethostaddresses" => arguments.text(0).and_then(|host| resolve(context, &host)).map(Value::array),
        "gethostentry" | "gethostbyname" | "resolve" => arguments.text(0).and_then(&mut entry),
        "gethostbyaddress" => arguments.text(0).and_then(&mut entry),
        _ => return None,
    })
}

fn resolve(context: &mut dyn Context, host: &str) -> Result<Vec<Value>, Fault> {
    if let Some(address) = Address::parse(host).filter(|_| host.contains(['.', ':'])) {
        return Ok(vec![Address::value(address.0)]);
    }
    match context.world().resolve(host) {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses.into_iter().map(Address::value).collect()),
        _ => Err(no_such_host(host)),
    }
}

fn no_such_host(host: &str) -> Fault {
    let mut fault = Fault::new(Category::InvalidArgument, "No such host is known");
    fault.exception = "System.Net.Sockets.SocketException";
    fault.target = Some(host.to_owned());
    fault
}

fn array(lower: &str, arguments: &Arguments<'_>) -> Answer {
    let Some(Value::List(list)) = arguments.values.first() else {
        return Some(Err(invalid("[array] wants an array as its first argument")));
    };
    Some(match lower {
        "indexof" | "lastindexof" => arguments.need(2).map(|values| {
            let values_of = list.values.borrow();
            let found = values_of.iter().position(|one| convert::equals(one, &values[1], true));
            Value::Int(found.map_or(-1, |at| at as i64))
        }),
        "reverse" => {
            list.values.borrow_mut().reverse();
            Ok(Value::Null)
        }
        "sort" => {
            list.values
                .borrow_mut()
                .sort_by(|one, other| convert::compare(one, other, false).unwrap_or(std::cmp::Ordering::Equal));
            Ok(Value::Null)
        }
        _ => return None,
    })
}

fn enumeration(context: &mut dyn Context, lower: &str, arguments: &Arguments<'_>) -> Answer {
    let of = match arguments.values.first() {
        Some(Value::Type(of)) => of.clone(),
        Some(other) => Rc::new(TypeName { name: convert::text(other), arguments: Vec::new(), array_depth: 0 }),
        None => return Some(arguments.need(1).map(|_| Value::Null)),
    };
    let Some(names) = kind::names_of(&kind::canonical(&of.name)) else {
        return Some(Err(invalid(format!("The names of [{of}] are not known here."))));
    };
    Some(match lower {
        "getnames" | "getvalues" => Ok(Value::array(names.iter().map(Value::text).collect())),
        "parse" => arguments.need(2).and_then(|values| kind::cast(context, &of, &values[1])),
        "isdefined" => {
            arguments.text(1).map(|name| Value::Bool(names.iter().any(|known| known.eq_ignore_ascii_case(&name))))
        }
        _ => return None,
    })
}

fn console(context: &mut dyn Context, of: &TypeName, name: &str, values: &[Value]) -> Result<Option<Value>, Fault> {
    // What [Console] writes is output of the program, not of a pipeline; both show at the same place.
    if name.eq_ignore_ascii_case("Out") || name.eq_ignore_ascii_case("Error") {
        return Ok(Some(Value::foreign(Console)));
    }
    if name.eq_ignore_ascii_case("WriteLine") && values.is_empty() {
        return context.write(Stream::Host, "\n", (None, None)).map(|()| None);
    }
    let _ = of;
    super::call(context, &Value::foreign(Console), name, values)
}

/// Scripts that need a password as text take it out of a secret in three steps; the first two hand it on as it is.
fn secret(lower: &str, arguments: &Arguments<'_>) -> Answer {
    let value = match arguments.need(1) {
        Ok(values) => values[0].clone(),
        Err(fault) => return Some(Err(fault)),
    };
    Some(match lower {
        "securestringtobstr" | "securestringtoglobalallocunicode" | "securestringtocotaskmemunicode" => Ok(value),
        "ptrtostringauto" | "ptrtostringbstr" | "ptrtostringuni" => Ok(match value.downcast::<Secret>() {
            Some(secret) => Value::text(&secret.0),
            None => value,
        }),
        "zerofreebstr" | "freebstr" | "zerofreeglobalallocunicode" => Ok(Value::Null),
        _ => return None,
    })
}
