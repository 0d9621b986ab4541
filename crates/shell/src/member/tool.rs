//! Values of .NET classes that scripts make as tools: builders of text, stopwatches, encodings, secrets, random numbers, and
//! the console of `$Host`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::context::Context;
use crate::convert::encoding::Encoding;
use crate::convert::{self};
use crate::fault::{Category, Fault};
use crate::value::{CUSTOM, Foreign, Object, TimeSpan, Value};

use super::arguments::{Arguments, invalid, out_of_range};
use super::console::{self, Console};
use super::culture::Culture;

/// A place for a value that a method or a function writes to: `[ref]$x`.
#[derive(Default)]
pub struct Reference {
    value: RefCell<Value>,
    /// What a new value is told to: the variable.
    link: Option<Box<dyn Fn(Value)>>,
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reference")
    }
}

impl Reference {
    /// A place that holds this.
    pub fn new(value: Value) -> Reference {
        Reference { value: RefCell::new(value), link: None }
    }

    /// A place that holds this, and tells of what is put there.
    pub fn linked(value: Value, link: impl Fn(Value) + 'static) -> Reference {
        Reference { value: RefCell::new(value), link: Some(Box::new(link)) }
    }

    /// What it holds.
    pub fn get(&self) -> Value {
        self.value.borrow().clone()
    }

    /// Puts another value there.
    pub fn set(&self, value: Value) {
        if let Some(link) = &self.link {
            link(value.clone());
        }
        *self.value.borrow_mut() = value;
    }
}

impl Foreign for Reference {
    fn type_name(&self) -> &str {
        "System.Management.Automation.PSReference"
    }

    fn text(&self) -> String {
        convert::text(&self.value.borrow())
    }

    fn property(&self, name: &str) -> Option<Value> {
        name.eq_ignore_ascii_case("Value").then(|| self.get())
    }
}

/// `[guid]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guid(String);

impl Guid {
    /// Reads one, with or without braces.
    pub fn parse(text: &str) -> Option<Guid> {
        let text = text.trim().trim_matches(['{', '}', '(', ')']).to_ascii_lowercase();
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        let is_one = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_one && lengths == [8, 4, 4, 4, 12] {
            return Some(Guid(text));
        }
        (is_one && lengths == [32]).then(|| Guid::shaped(&text))
    }

    fn shaped(hex: &str) -> Guid {
        Guid(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]))
    }

    /// A new one.
    pub fn random(context: &mut dyn Context) -> Guid {
        let mut bits = (u128::from(context.world().random()) << 64) | u128::from(context.world().random());
        // Version 4 of the variant of RFC 9562.
        bits = bits & !(0xF << 76) | 4 << 76;
        bits = bits & !(0x3 << 62) | 2 << 62;
        Guid::shaped(&format!("{bits:032x}"))
    }
}

impl Foreign for Guid {
    fn type_name(&self) -> &str {
        "System.Guid"
    }

    fn text(&self) -> String {
        self.0.clone()
    }

    fn properties(&self) -> &[&'static str] {
        &["Guid"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        name.eq_ignore_ascii_case("Guid").then(|| Value::text(&self.0))
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        if !name.eq_ignore_ascii_case("ToString") {
            return None;
        }
        let form = arguments.first().map(convert::text).unwrap_or_default();
        Some(Ok(Value::text(match form.to_ascii_uppercase().as_str() {
            "N" => self.0.replace('-', ""),
            "B" => format!("{{{}}}", self.0),
            "P" => format!("({})", self.0),
            _ => self.0.clone(),
        })))
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        Some(Guid::parse(&convert::text(other)).as_ref() == Some(self))
    }
}

/// `[System.Diagnostics.Stopwatch]`.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    before: Cell<Duration>,
    since: Cell<Option<Duration>>,
}

impl Stopwatch {
    pub fn started(context: &mut dyn Context) -> Stopwatch {
        let watch = Stopwatch::default();
        watch.since.set(Some(context.world().elapsed()));
        watch
    }

    fn elapsed(&self, now: Duration) -> Duration {
        self.before.get() + self.since.get().map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

impl Foreign for Stopwatch {
    fn type_name(&self) -> &str {
        "System.Diagnostics.Stopwatch"
    }

    fn text(&self) -> String {
        self.type_name().to_owned()
    }
}

/// `[System.Text.StringBuilder]`.
#[derive(Debug, Default)]
pub(super) struct Builder(RefCell<String>);

impl Builder {
    pub fn new(text: String) -> Builder {
        Builder(RefCell::new(text))
    }
}

impl Foreign for Builder {
    fn type_name(&self) -> &str {
        "System.Text.StringBuilder"
    }

    fn text(&self) -> String {
        self.0.borrow().clone()
    }

    fn properties(&self) -> &[&'static str] {
        &["Length"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        (name.eq_ignore_ascii_case("Length") || name.eq_ignore_ascii_case("Capacity"))
            .then(|| Value::Int(self.0.borrow().chars().count() as i64))
    }
}

/// `[System.Text.Encoding]`.
#[derive(Debug)]
pub(super) struct TextEncoding(pub Encoding);

impl Foreign for TextEncoding {
    fn type_name(&self) -> &str {
        match self.0 {
            Encoding::Utf8 | Encoding::Utf8Marked => "System.Text.UTF8Encoding",
            Encoding::Utf16 | Encoding::Utf16Swapped => "System.Text.UnicodeEncoding",
            Encoding::Utf32 => "System.Text.UTF32Encoding",
            Encoding::Ascii => "System.Text.ASCIIEncoding",
            Encoding::Latin => "System.Text.SBCSCodePageEncoding",
        }
    }

    fn text(&self) -> String {
        self.type_name().to_owned()
    }

    fn property(&self, name: &str) -> Option<Value> {
        let (web, page) = match self.0 {
            Encoding::Utf8 | Encoding::Utf8Marked => ("utf-8", 65001),
            Encoding::Utf16 => ("utf-16", 1200),
            Encoding::Utf16Swapped => ("utf-16BE", 1201),
            Encoding::Utf32 => ("utf-32", 12000),
            Encoding::Ascii => ("us-ascii", 20127),
            Encoding::Latin => ("Windows-1252", 1252),
        };
        match name.to_ascii_lowercase().as_str() {
            "webname" | "bodyname" | "headername" | "encodingname" => Some(Value::text(web)),
            "codepage" => Some(Value::Int(page)),
            _ => None,
        }
    }
}

/// `[securestring]`: text that does not show by itself.
pub struct Secret(pub Rc<str>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Foreign for Secret {
    fn type_name(&self) -> &str {
        "System.Security.SecureString"
    }

    fn text(&self) -> String {
        self.type_name().to_owned()
    }

    fn properties(&self) -> &[&'static str] {
        &["Length"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        name.eq_ignore_ascii_case("Length").then(|| Value::Int(self.0.chars().count() as i64))
    }

    fn call(&self, name: &str, _arguments: &[Value]) -> Option<Result<Value, Fault>> {
        match name.to_ascii_lowercase().as_str() {
            "makereadonly" => Some(Ok(Value::Null)),
            "copy" => Some(Ok(Value::foreign(Secret(self.0.clone())))),
            _ => None,
        }
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        Some(other.downcast::<Secret>().is_some_and(|other| std::ptr::eq(self, other)))
    }
}

/// `[System.Random]`.
#[derive(Debug)]
pub(super) struct Random;

impl Foreign for Random {
    fn type_name(&self) -> &str {
        "System.Random"
    }

    fn text(&self) -> String {
        self.type_name().to_owned()
    }
}

/// A number from `least` up to but not including `most`.
pub fn random_between(context: &mut dyn Context, least: i64, most: i64) -> i64 {
    let width = most.wrapping_sub(least) as u64;
    if width == 0 {
        return least;
    }
    least.wrapping_add((context.world().random() % width) as i64)
}

/// A property that depends on what lies outside.
pub(super) fn property(context: &mut dyn Context, value: &Value, lower: &str) -> Option<Result<Value, Fault>> {
    if let Some(watch) = value.downcast::<Stopwatch>() {
        let elapsed = watch.elapsed(context.world().elapsed());
        return Some(Ok(match lower {
            "elapsed" => Value::Span(TimeSpan { ticks: (elapsed.as_nanos() / 100) as i64 }),
            "elapsedmilliseconds" => Value::Int(elapsed.as_millis() as i64),
            "elapsedticks" => Value::Int((elapsed.as_nanos() / 100) as i64),
            "isrunning" => Value::Bool(watch.since.get().is_some()),
            _ => return None,
        }));
    }
    if value.downcast::<Console>().is_some() && matches!(lower, "buffersize" | "windowsize" | "maxwindowsize") {
        let width = context.world().width();
        let size = vec![("Width".into(), Value::Int(width as i64)), ("Height".into(), Value::Int(50))];
        return Some(Ok(Value::Object(Rc::new(Object::new(&CUSTOM, size)))));
    }
    None
}

/// Changes a property of a tool; whether it is one that may be changed.
pub(super) fn set_property(value: &Value, lower: &str, new: &Value) -> bool {
    if let Some(reference) = value.downcast::<Reference>() {
        if lower == "value" {
            reference.set(new.clone());
        }
        return lower == "value";
    }
    if let Some(builder) = value.downcast::<Builder>() {
        if lower == "length" {
            let most = convert::integer(new).unwrap_or_default().max(0) as usize;
            let mut text = builder.0.borrow_mut();
            if let Some((end, _)) = text.char_indices().nth(most) {
                text.truncate(end);
            }
        }
        return matches!(lower, "length" | "capacity");
    }
    // Titles, colours and sizes of a window: taken, and nothing changes.
    value.downcast::<Console>().is_some() || value.downcast::<Culture>().is_some()
}

/// Calls a method of a tool.
pub(super) fn call(
    context: &mut dyn Context,
    value: &Value,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    if let Some(watch) = value.downcast::<Stopwatch>() {
        let now = context.world().elapsed();
        let elapsed = watch.elapsed(now);
        let (before, since) = match lower {
            "start" => (elapsed, Some(now)),
            "stop" => (elapsed, None),
            "reset" => (Duration::ZERO, None),
            "restart" => (Duration::ZERO, Some(now)),
            _ => return None,
        };
        watch.before.set(before);
        watch.since.set(since);
        return Some(Ok(None));
    }
    if let Some(builder) = value.downcast::<Builder>() {
        return builder_call(context, value, builder, lower, arguments);
    }
    if let Some(encoding) = value.downcast::<TextEncoding>() {
        return encoding_call(context, encoding.0, lower, arguments);
    }
    if value.downcast::<Random>().is_some() {
        let bounds = match arguments.values.len() {
            0 => Ok((0, i64::from(i32::MAX))),
            1 => arguments.int(0).map(|most| (0, most)),
            _ => arguments.int(0).and_then(|least| Ok((least, arguments.int(1)?))),
        };
        return Some(match lower {
            "next" => bounds.and_then(|(least, most)| {
                if most < least {
                    return Err(out_of_range("'maxValue' must be greater than 'minValue'"));
                }
                Ok(Some(Value::Int(random_between(context, least, most))))
            }),
            "nextdouble" => {
                let bits = context.world().random() >> 11;
                Ok(Some(Value::Float(bits as f64 / (1u64 << 53) as f64)))
            }
            _ => return None,
        });
    }
    if let Some(secret) = value.downcast::<Secret>() {
        if lower == "appendchar" {
            let mut fault = Fault::new(
                Category::InvalidOperation,
                "A secret cannot be changed here; write ConvertTo-SecureString 'text' -AsPlainText -Force.",
            );
            fault.target = Some(secret.type_name().to_owned());
            return Some(Err(fault));
        }
        return None;
    }
    if let Some(expression) = value.downcast::<super::regex::Expression>() {
        return super::regex::call(context, &expression.regex, lower, arguments).map(|done| done.map(Some));
    }
    if value.downcast::<Console>().is_some() {
        return console::call(context, lower, arguments);
    }
    None
}

fn builder_call(
    context: &mut dyn Context,
    value: &Value,
    builder: &Builder,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    let added = match lower {
        "append" => arguments.text(0),
        "appendline" => Ok(arguments.values.first().map(convert::text).unwrap_or_default() + "\n"),
        "appendformat" => arguments.text(0).and_then(|form| convert::composite::fill(&form, &arguments.values[1..])),
        "clear" => {
            builder.0.borrow_mut().clear();
            Ok(String::new())
        }
        "insert" => {
            let inserted = arguments.size(0).and_then(|at| {
                let more = arguments.text(1)?;
                context.charge(more.len())?;
                let mut text = builder.0.borrow_mut();
                let at = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(at);
                let at = at.ok_or_else(|| out_of_range("index"))?;
                text.insert_str(at, &more);
                Ok(Some(value.clone()))
            });
            return Some(inserted);
        }
        "replace" => {
            let replaced = arguments.text(0).and_then(|old| {
                let new = arguments.text(1)?;
                let text = builder.0.borrow().clone();
                if old.is_empty() {
                    return Err(invalid("String cannot be of zero length. Parameter name: oldValue"));
                }
                context.charge(text.len() + text.matches(old.as_str()).count() * new.len())?;
                *builder.0.borrow_mut() = text.replace(&old, &new);
                Ok(Some(value.clone()))
            });
            return Some(replaced);
        }
        _ => return None,
    };
    Some(added.and_then(|added| {
        context.charge(added.len())?;
        builder.0.borrow_mut().push_str(&added);
        Ok(Some(value.clone()))
    }))
}

fn encoding_call(
    context: &mut dyn Context,
    encoding: Encoding,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    Some(match lower {
        "getbytes" => arguments.text(0).and_then(|text| {
            context.charge(text.len() * size_of::<Value>())?;
            Ok(Some(bytes_value(&encoding.encode(&text))))
        }),
        "getstring" => arguments.need(1).and_then(|values| {
            let mut bytes = bytes(&values[0])?;
            if values.len() == 3 {
                let end = arguments.size(1)?.saturating_add(arguments.size(2)?);
                bytes = bytes.get(arguments.size(1)?..end).ok_or_else(|| out_of_range("index and count"))?.to_vec();
            }
            Ok(Some(Value::text(encoding.decode(&bytes))))
        }),
        "getbytecount" => arguments.text(0).map(|text| Some(Value::Int(encoding.encode(&text).len() as i64))),
        "getpreamble" => Ok(Some(bytes_value(encoding.mark()))),
        _ => return None,
    })
}

/// Bytes as the list of numbers that scripts work with.
pub(super) fn bytes_value(bytes: &[u8]) -> Value {
    Value::array(bytes.iter().map(|byte| Value::Int(i64::from(*byte))).collect())
}

/// The bytes of a list of numbers.
pub(super) fn bytes(value: &Value) -> Result<Vec<u8>, Fault> {
    let byte = |value: &Value| {
        u8::try_from(convert::integer(value)?).map_err(|_| {
            convert::cannot_convert(
                value,
                "System.Byte",
                Some("Value was too large or too small for an unsigned byte."),
            )
        })
    };
    convert::elements(value).iter().map(byte).collect()
}
