//! The types that scripts name: their names, casts to them, and whether a value is of one.

use std::rc::Rc;

mod known;

use crate::context::Context;
use crate::convert::{self, time};
use crate::fault::{Category, Fault};
use crate::syntax::TypeName;
use crate::value::{CUSTOM, ListKind, Object, Table, TimeSpan, Value, View};

use self::known::{ENUMERATIONS, EXCEPTIONS, Known, OUT_OF_REACH, TYPES};
use super::address::{self, Address};
use super::arguments::Arguments;
use super::culture::Culture;
use super::fault::Exception;
use super::moment;
use super::tool::{Builder, Guid, Reference, Secret, TextEncoding};
use super::version::Version;

static MAIL_ADDRESS: View = View { type_name: "System.Net.Mail.MailAddress", table: &[], identity: "Address" };
static CREDENTIAL: View = View { type_name: "System.Management.Automation.PSCredential", table: &[], identity: "" };
static CHOICE: View =
    View { type_name: "System.Management.Automation.Host.ChoiceDescription", table: &[], identity: "Label" };
static PRINCIPAL: View = View { type_name: "System.Security.Principal.WindowsPrincipal", table: &[], identity: "" };
static URI: View = View { type_name: "System.Uri", table: &[], identity: "AbsoluteUri" };

/// A type's name in full, where it is one that we know; else as written.
pub(super) fn canonical(name: &str) -> String {
    match find(name) {
        Some(full) => full.to_owned(),
        None => name.to_owned(),
    }
}

fn find(name: &str) -> Option<&'static str> {
    let is_same = |full: &str| {
        full.eq_ignore_ascii_case(name)
            || full.strip_prefix("System.").is_some_and(|short| short.eq_ignore_ascii_case(name))
    };
    // Inner types are written with a plus sign; generic ones may carry the number of their arguments.
    let known = TYPES.iter().find(|Known(full, others)| is_same(full) || others.iter().any(|other| is_same(other)));
    // After `using namespace` a type goes by the last part of its name.
    let is_last = |full: &str| full.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(name));
    known
        .or_else(|| TYPES.iter().find(|Known(full, _)| is_last(full)))
        .map(|Known(full, _)| *full)
        .or_else(|| ENUMERATIONS.iter().map(|(full, _)| *full).find(|full| is_same(full)))
        .or_else(|| EXCEPTIONS.iter().copied().find(|full| is_same(full)))
        .or_else(|| {
            let management = format!("System.Management.Automation.{name}");
            EXCEPTIONS.iter().copied().find(|full| full.eq_ignore_ascii_case(&management))
        })
}

/// Whether a type is one that we know.
pub(super) fn is_known(name: &TypeName) -> bool {
    find(&name.name).is_some()
}

/// The names of an enumeration.
pub(super) fn names_of(full: &str) -> Option<&'static [&'static str]> {
    ENUMERATIONS.iter().find(|(known, _)| *known == full).map(|(_, names)| *names)
}

/// The error for a type that is not known.
pub(super) fn unknown(name: &TypeName) -> Fault {
    let lower = name.name.to_ascii_lowercase();
    let message = match OUT_OF_REACH.iter().find(|(prefix, _)| lower.starts_with(prefix)) {
        Some((_, why)) => format!("The type [{name}] cannot be used here: it {why}."),
        None => {
            let known = TYPES.iter().flat_map(|Known(full, others)| others.iter().copied().chain([*full]));
            let near = convert::nearest(&name.name, known).map(|near| format!(" Did you mean [{near}]?"));
            format!("Unable to find type [{name}].{}", near.unwrap_or_default())
        }
    };
    let mut fault = Fault::new(Category::InvalidOperation, message);
    fault.target = Some(name.to_string());
    fault
}

/// `GetType()`.
pub(super) fn type_of(value: &Value) -> Value {
    let full = convert::type_name(value);
    let (name, array_depth) = full.strip_suffix("[]").map_or((full.as_str(), 0), |name| (name, 1));
    Value::Type(Rc::new(TypeName { name: name.to_owned(), arguments: Vec::new(), array_depth }))
}

/// A property of a type.
pub(super) fn property(name: &TypeName, lower: &str) -> Option<Value> {
    let full = convert::type_text(&TypeName { name: canonical(&name.name), ..name.clone() });
    let start = full.find('[').unwrap_or(full.len());
    let dot = full[..start].rfind('.');
    Some(match lower {
        "fullname" => Value::text(&full),
        "name" => Value::text(&full[dot.map_or(0, |dot| dot + 1)..]),
        "namespace" => Value::text(dot.map_or("", |dot| &full[..dot])),
        "isarray" => Value::Bool(name.array_depth > 0),
        "isenum" => Value::Bool(names_of(&canonical(&name.name)).is_some()),
        "basetype" => {
            Value::Type(Rc::new(TypeName { name: "System.Object".to_owned(), arguments: Vec::new(), array_depth: 0 }))
        }
        _ => return None,
    })
}

/// Calls a method of a type.
pub(super) fn call(name: &TypeName, lower: &str, arguments: &Arguments<'_>) -> Option<Result<Option<Value>, Fault>> {
    match lower {
        "tostring" => Some(Ok(Some(Value::text(convert::type_text(name))))),
        "isinstanceoftype" => Some(arguments.need(1).map(|values| Some(Value::Bool(is_of_type(&values[0], name))))),
        _ => None,
    }
}

/// `value -is [Type]`.
pub fn is_of_type(value: &Value, wanted: &TypeName) -> bool {
    let full = canonical(&wanted.name);
    let lower = full.to_ascii_lowercase();
    if wanted.array_depth > 0 {
        return matches!(value, Value::List(list) if list.kind == ListKind::Array)
            && (lower == "system.object"
                || convert::elements(value)
                    .iter()
                    .all(|one| is_of_type(one, &TypeName { array_depth: wanted.array_depth - 1, ..wanted.clone() })));
    }
    let own = convert::type_name(value).to_ascii_lowercase();
    if own == lower {
        return true;
    }
    match (value, lower.as_str()) {
        (Value::Null, _) => false,
        (_, "system.object") => true,
        (Value::Int(_), "system.int64" | "system.valuetype" | "system.icomparable") => true,
        (Value::Float(_), "system.decimal" | "system.single" | "system.valuetype") => true,
        (Value::Bool(_), "system.management.automation.switchparameter" | "system.valuetype") => true,
        (Value::Time(_) | Value::Span(_), "system.valuetype") => true,
        (Value::List(list), "system.array") => list.kind == ListKind::Array,
        (Value::List(list), "system.collections.generic.list" | "system.collections.arraylist") => {
            list.kind == ListKind::Growing
        }
        (Value::List(_), "system.collections.ilist" | "collections.ilist") => true,
        (Value::List(_) | Value::Table(_), name) if name.ends_with("ienumerable") || name.ends_with("icollection") => {
            true
        }
        (Value::Table(_), name) if name.ends_with("idictionary") || name == "system.collections.generic.dictionary" => {
            true
        }
        (Value::Object(_), "system.management.automation.psobject" | "system.management.automation.pscustomobject") => {
            true
        }
        (Value::Foreign(_), "system.exception") => value.downcast::<Exception>().is_some(),
        // Types of Exchange by the last part of their names.
        _ => lower.starts_with("microsoft.exchange") && own.rsplit('.').next() == lower.rsplit('.').next(),
    }
}

/// `[Type]value`.
///
/// # Errors
/// When the type is not known, or the value cannot become one.
pub fn cast(context: &mut dyn Context, wanted: &TypeName, value: &Value) -> Result<Value, Fault> {
    if wanted.array_depth > 0 {
        return array(context, wanted, value);
    }
    let full = canonical(&wanted.name);
    if let Some(names) = names_of(&full) {
        let found = enumeration(value, &full, names)?;
        return Ok(moment::DayOfWeek::named(&convert::text(&found))
            .filter(|_| full == moment::DayOfWeek::TYPE)
            .unwrap_or(found));
    }
    let refused = |why: &str| Err(convert::cannot_convert(value, &full, Some(why)));
    Ok(match full.as_str() {
        "System.Object" | "System.Management.Automation.PSObject" => match value {
            Value::Table(table) if full.ends_with("PSObject") => custom(&table.borrow()),
            other => other.clone(),
        },
        "System.Void" => Value::Null,
        // Classes have `$null` among their values.
        "System.Net.IPAddress" | "System.Version" if value.is_null() => Value::Null,
        "System.String" => match value {
            Value::Text(_) => value.clone(),
            other => Value::text(convert::text(other)),
        },
        "System.Int32" => whole(value, &full, i64::from(i32::MIN), i64::from(i32::MAX))?,
        "System.Int64" => whole(value, &full, i64::MIN, i64::MAX)?,
        "System.UInt64" => whole(value, &full, 0, i64::MAX)?,
        "System.Int16" => whole(value, &full, i64::from(i16::MIN), i64::from(i16::MAX))?,
        "System.UInt16" => whole(value, &full, 0, i64::from(u16::MAX))?,
        "System.UInt32" => whole(value, &full, 0, i64::from(u32::MAX))?,
        "System.Byte" => whole(value, &full, 0, i64::from(u8::MAX))?,
        "System.SByte" => whole(value, &full, i64::from(i8::MIN), i64::from(i8::MAX))?,
        "System.Double" | "System.Single" | "System.Decimal" => match convert::number(value) {
            Some(number) => Value::Float(convert::as_float(&number)),
            None => return Err(convert::cannot_convert(value, &full, None)),
        },
        "System.Boolean" | "System.Management.Automation.SwitchParameter" => Value::Bool(convert::truth(value)),
        "System.Char" => match value {
            Value::Char(_) => value.clone(),
            Value::Int(number) => match u32::try_from(*number).ok().and_then(char::from_u32) {
                Some(sign) => Value::Char(sign),
                None => return refused("Value was too large for a character."),
            },
            other => {
                let text = convert::text(other);
                let mut signs = text.chars();
                match (signs.next(), signs.next()) {
                    (Some(only), None) => Value::Char(only),
                    _ => return refused("String must be exactly one character long."),
                }
            }
        },
        "System.DateTime" | "System.DateTimeOffset" => moment_of(context, value)?,
        "System.TimeSpan" => Value::Span(moment::span(value)?),
        "System.Array" => match value {
            Value::List(list) if list.kind == ListKind::Array => value.clone(),
            other => Value::array(convert::elements(other)),
        },
        "System.Collections.ArrayList"
        | "System.Collections.Generic.List"
        | "System.Collections.ObjectModel.Collection"
        | "System.Collections.Queue"
        | "System.Collections.Stack" => {
            let mut values = convert::elements(value);
            if let Some(element) = wanted.arguments.first() {
                values = values.iter().map(|one| cast(context, element, one)).collect::<Result<_, _>>()?;
            }
            Value::list(values, ListKind::Growing)
        }
        "System.Collections.Generic.HashSet" => {
            let set = Value::list(Vec::new(), ListKind::Set);
            if let Value::List(list) = &set {
                for one in convert::elements(value) {
                    if !convert::contains(list, &one, true) {
                        list.values.borrow_mut().push(one);
                    }
                }
            }
            set
        }
        "System.Collections.Hashtable"
        | "System.Collections.Generic.Dictionary"
        | "System.Collections.Generic.SortedDictionary" => match value {
            Value::Table(_) => value.clone(),
            _ => return refused("A table is written @{ Name = 'value' }."),
        },
        "System.Collections.IDictionary" => match value {
            Value::Table(_) => value.clone(),
            _ => return refused("A table is written @{ Name = 'value' }."),
        },
        "System.Collections.IEnumerable" | "System.Collections.ICollection" | "System.Collections.IList" => match value
        {
            Value::List(_) | Value::Table(_) => value.clone(),
            other => Value::array(vec![other.clone()]),
        },
        "System.Collections.Specialized.OrderedDictionary" => match value {
            Value::Table(table) => {
                let mut copy = Table::new(table.borrow().entries().iter().cloned());
                copy.is_ordered = true;
                Value::Table(Rc::new(std::cell::RefCell::new(copy)))
            }
            _ => return refused("[ordered] stands before @{ }."),
        },
        "System.Management.Automation.PSCustomObject" => match value {
            Value::Table(table) => custom(&table.borrow()),
            other => other.clone(),
        },
        "System.Management.Automation.ScriptBlock" => match value {
            Value::Block(_) => value.clone(),
            _ => return refused("A script block is written { }; [scriptblock]::Create('text') makes one of text."),
        },
        "System.Management.Automation.PSReference" => match value.downcast::<Reference>() {
            Some(_) => value.clone(),
            None => Value::foreign(Reference::new(value.clone())),
        },
        "System.Net.IPAddress" => match value.downcast::<Address>() {
            Some(_) => value.clone(),
            None => address::made(value)?,
        },
        "System.Version" => match Version::of(value) {
            Some(version) => Value::foreign(version),
            None => return refused("Version string portion was too short or too long."),
        },
        "System.Guid" => match Guid::parse(&convert::text(value)) {
            Some(guid) => Value::foreign(guid),
            None => {
                return refused("Guid should contain 32 digits with 4 dashes (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx).");
            }
        },
        "System.Text.RegularExpressions.Regex" => super::regex::made(&convert::text(value), None)?,
        "System.Net.Mail.MailAddress" => match mail_address(&convert::text(value)) {
            Some(address) => address,
            None => return refused("The specified string is not in the form required for an e-mail address."),
        },
        "System.Uri" => uri(&convert::text(value)).map_or_else(|| refused("Invalid URI."), Ok)?,
        "System.Xml.XmlDocument" => super::xml::parse(&convert::joined(value, "\n"))?,
        "System.Type" => {
            Value::Type(Rc::new(TypeName { name: convert::text(value), arguments: Vec::new(), array_depth: 0 }))
        }
        "System.Nullable" => match (value, wanted.arguments.first()) {
            (Value::Null, _) | (_, None) => value.clone(),
            (_, Some(inner)) => return cast(context, inner, value),
        },
        "System.Security.SecureString" => match value.downcast::<Secret>() {
            Some(_) => value.clone(),
            None => {
                return refused(
                    "Write ConvertTo-SecureString 'text' -AsPlainText -Force, or Read-Host -AsSecureString.",
                );
            }
        },
        "System.Management.Automation.PSCredential" => match value {
            Value::Object(object) if std::ptr::eq(object.view, &CREDENTIAL) => value.clone(),
            Value::Null => Value::Null,
            _ => return refused("Write Get-Credential, or New-Object PSCredential 'user', $secureString."),
        },
        "System.Security.Principal.WindowsPrincipal" => {
            Value::Object(Rc::new(Object::new(&PRINCIPAL, vec![("Identity".into(), value.clone())])))
        }
        "System.Globalization.CultureInfo" => Value::foreign(Culture(convert::text(value))),
        "System.Text.Encoding" => match convert::encoding::Encoding::named(&convert::text(value)) {
            Some(encoding) => Value::foreign(TextEncoding(encoding)),
            None => return refused("No such encoding."),
        },
        "System.Text.StringBuilder" => Value::foreign(Builder::new(convert::text(value))),
        "System.IO.StreamReader" | "System.IO.StreamWriter" if !matches!(value, Value::Foreign(_)) => {
            make(context, wanted, std::slice::from_ref(value))?
        }
        "System.Management.Automation.Host.ChoiceDescription" => choice(&convert::text(value), ""),
        other => {
            if let Some(exception) = EXCEPTIONS.iter().find(|known| **known == other) {
                return Ok(match value.downcast::<Exception>() {
                    Some(_) => value.clone(),
                    None => Value::foreign(Exception::made(exception, convert::text(value), None)),
                });
            }
            if convert::type_name(value).eq_ignore_ascii_case(other) {
                return Ok(value.clone());
            }
            return match context.commands().convert(&wanted.to_string(), value) {
                Some(done) => done,
                None => Err(unknown(wanted)),
            };
        }
    })
}

fn array(context: &mut dyn Context, wanted: &TypeName, value: &Value) -> Result<Value, Fault> {
    let element = TypeName { array_depth: wanted.array_depth - 1, ..wanted.clone() };
    if element.array_depth == 0 {
        match (canonical(&element.name).as_str(), value) {
            ("System.Char", Value::Text(text)) => return Ok(Value::array(text.chars().map(Value::Char).collect())),
            ("System.Object", Value::List(list)) if list.kind == ListKind::Array => return Ok(value.clone()),
            _ => {}
        }
    }
    if value.is_null() {
        return Ok(Value::Null);
    }
    let values = convert::elements(value);
    context.charge(values.len() * size_of::<Value>())?;
    let values = values.iter().map(|one| cast(context, &element, one)).collect::<Result<_, _>>()?;
    Ok(Value::array(values))
}

fn whole(value: &Value, full: &str, least: i64, most: i64) -> Result<Value, Fault> {
    let number = match convert::number(value) {
        Some(_) => convert::integer(value)?,
        None => return Err(convert::cannot_convert(value, full, None)),
    };
    if !(least..=most).contains(&number) {
        let short = full.rsplit('.').next().unwrap_or(full);
        let why = format!("Value was either too large or too small for an {short}.");
        return Err(convert::cannot_convert(value, full, Some(&why)));
    }
    Ok(Value::Int(number))
}

fn enumeration(value: &Value, full: &str, names: &[&str]) -> Result<Value, Fault> {
    if let Value::Int(number) = value
        && let Some(name) = usize::try_from(*number).ok().and_then(|at| names.get(at))
    {
        return Ok(Value::text(name));
    }
    // Several names with commas between them, as flags are written.
    let text = convert::joined(value, ", ");
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        match names.iter().find(|name| name.eq_ignore_ascii_case(part)) {
            Some(name) => found.push(*name),
            None => {
                let why = format!("The possible enumeration values are \"{}\".", names.join(", "));
                return Err(convert::cannot_convert(value, full, Some(&why)));
            }
        }
    }
    Ok(Value::text(found.join(", ")))
}

/// A time of a value: text, ticks.
pub(super) fn moment_of(context: &mut dyn Context, value: &Value) -> Result<Value, Fault> {
    let now = context.world().now();
    let found = match value {
        Value::Time(_) => return Ok(value.clone()),
        Value::Int(ticks) => time::of_ticks(*ticks, now.time_zone().clone()),
        other => time::parse(&convert::text(other), &now),
    };
    match found {
        Some(moment) => Ok(Value::Time(moment)),
        None => {
            let mut fault = convert::cannot_convert(
                value,
                "System.DateTime",
                Some("String was not recognized as a valid DateTime."),
            );
            fault.exception = "System.FormatException";
            Err(fault)
        }
    }
}

/// `[pscustomobject]@{ }`.
pub(super) fn custom(table: &Table) -> Value {
    let properties = table.entries().iter().map(|(key, value)| (convert::text(key).into(), value.clone())).collect();
    Value::Object(Rc::new(Object::new(&CUSTOM, properties)))
}

/// `[mailaddress]`: the local part, the domain, and the name before an address in angle brackets.
fn mail_address(text: &str) -> Option<Value> {
    let text = text.trim();
    let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"'), address.trim()),
        None => ("", text),
    };
    let (user, host) = address.rsplit_once('@')?;
    let is_quoted = user.len() > 1 && user.starts_with('"') && user.ends_with('"');
    let is_odd = address.contains(char::is_whitespace) || user.contains('@') && !is_quoted;
    if user.is_empty() || host.is_empty() || is_odd {
        return None;
    }
    let properties = vec![
        ("DisplayName".into(), Value::text(name)),
        ("User".into(), Value::text(user)),
        ("Host".into(), Value::text(host)),
        ("Address".into(), Value::text(address)),
    ];
    Some(Value::Object(Rc::new(Object::new(&MAIL_ADDRESS, properties))))
}

fn uri(text: &str) -> Option<Value> {
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (host, if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 }),
    };
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let path = if path.is_empty() { "/" } else { path };
    let properties = vec![
        ("AbsolutePath".into(), Value::text(path)),
        ("AbsoluteUri".into(), Value::text(format!("{scheme}://{authority}{path}{query}"))),
        ("Host".into(), Value::text(host)),
        ("Port".into(), Value::Int(port)),
        ("Query".into(), Value::text(query)),
        ("Scheme".into(), Value::text(scheme)),
        ("OriginalString".into(), Value::text(text)),
    ];
    Some(Value::Object(Rc::new(Object::new(&URI, properties))))
}

/// One of the answers of `PromptForChoice`.
fn choice(label: &str, help: &str) -> Value {
    let properties = vec![("Label".into(), Value::text(label)), ("HelpMessage".into(), Value::text(help))];
    Value::Object(Rc::new(Object::new(&CHOICE, properties)))
}

/// A name with a password, as `Get-Credential` makes it.
pub fn credential(user: &str, password: Value) -> Value {
    let properties = vec![("UserName".into(), Value::text(user)), ("Password".into(), password)];
    Value::Object(Rc::new(Object::new(&CREDENTIAL, properties)))
}

/// `New-Object Type arguments` and `[Type]::new(arguments)`.
///
/// # Errors
/// When the type is not known, or cannot be made of these.
pub fn make(context: &mut dyn Context, wanted: &TypeName, values: &[Value]) -> Result<Value, Fault> {
    let arguments = Arguments { method: ".ctor", values };
    let full = canonical(&wanted.name);
    let sole = || values.first().cloned().unwrap_or_default();
    if wanted.array_depth > 0 {
        return array_of(context, wanted, values);
    }
    if let Some(made) = super::stream::make(context, &full, &arguments) {
        return made;
    }
    if let Some(made) = super::mail::make(context, &full, &arguments) {
        return made;
    }
    Ok(match full.as_str() {
        "System.Object" | "System.Management.Automation.PSObject" | "System.Management.Automation.PSCustomObject" => {
            match sole() {
                Value::Table(table) => custom(&table.borrow()),
                Value::Null => Value::Object(Rc::new(Object::new(&CUSTOM, Vec::new()))),
                other => other,
            }
        }
        "System.String" => match values {
            [sign @ (Value::Char(_) | Value::Text(_)), Value::Int(count)] => {
                let text = convert::text(sign);
                let count = usize::try_from(*count).unwrap_or_default();
                context.charge(text.len().saturating_mul(count))?;
                Value::text(text.repeat(count))
            }
            [one] => Value::text(convert::joined(one, "")),
            _ => Value::text(""),
        },
        "System.Collections.Hashtable"
        | "System.Collections.Generic.Dictionary"
        | "System.Collections.Generic.SortedDictionary" => match sole() {
            Value::Table(table) => Value::table(table.borrow().entries().iter().cloned()),
            _ => Value::table([]),
        },
        "System.Collections.Specialized.OrderedDictionary" => cast(context, wanted, &Value::table([]))?,
        "System.Collections.ArrayList"
        | "System.Collections.Generic.List"
        | "System.Collections.Generic.HashSet"
        | "System.Collections.ObjectModel.Collection"
        | "System.Collections.Queue"
        | "System.Collections.Stack" => match sole() {
            // A number is how many there will be.
            Value::Int(_) => cast(context, wanted, &Value::array(Vec::new()))?,
            values => cast(context, wanted, &values)?,
        },
        "System.DateTime" => {
            let part = |at: usize, default: i64| if values.len() > at { arguments.int(at) } else { Ok(default) };
            if values.len() < 3 {
                return moment_of(context, &values.first().cloned().unwrap_or(Value::Int(0)));
            }
            let zone = context.world().now().time_zone().clone();
            let small = |number: i64| i8::try_from(number).map_err(|_| time::out_of_range());
            let civil = jiff::civil::DateTime::new(
                i16::try_from(part(0, 1)?).map_err(|_| time::out_of_range())?,
                small(part(1, 1)?)?,
                small(part(2, 1)?)?,
                small(part(3, 0)?)?,
                small(part(4, 0)?)?,
                small(part(5, 0)?)?,
                0,
            );
            let made = civil.and_then(|civil| civil.to_zoned(zone));
            Value::Time(made.map_err(|_| {
                super::arguments::out_of_range("Year, Month, and Day parameters describe an un-representable DateTime")
            })?)
        }
        "System.TimeSpan" => {
            let part = |at: usize| if values.len() > at { arguments.float(at) } else { Ok(0.0) };
            match values.len() {
                0 => Value::Span(TimeSpan::default()),
                1 => Value::Span(moment::span(&values[0])?),
                3 => Value::Span(time::seconds(part(0)? * 3600.0 + part(1)? * 60.0 + part(2)?)),
                _ => Value::Span(time::seconds(
                    part(0)? * 86_400.0 + part(1)? * 3600.0 + part(2)? * 60.0 + part(3)? + part(4)? / 1000.0,
                )),
            }
        }
        "System.Version" => {
            let parts: Vec<String> = values.iter().map(convert::text).collect();
            cast(context, wanted, &Value::text(parts.join(".")))?
        }
        "System.Text.StringBuilder" => match sole() {
            Value::Int(_) | Value::Null => Value::foreign(Builder::new(String::new())),
            text => Value::foreign(Builder::new(convert::text(&text))),
        },
        "System.Xml.XmlDocument" if values.is_empty() => super::xml::empty_document(),
        "System.Text.RegularExpressions.Regex" => super::regex::made(&arguments.text(0)?, values.get(1))?,
        "System.Text.Encoding" => {
            use crate::convert::encoding::Encoding;
            let lower = wanted.name.to_ascii_lowercase();
            let encoding = match lower.rsplit('.').next().unwrap_or_default() {
                "asciiencoding" => Encoding::Ascii,
                "unicodeencoding" => Encoding::Utf16,
                _ if matches!(values.first(), Some(Value::Bool(true))) => Encoding::Utf8Marked,
                _ => Encoding::Utf8,
            };
            Value::foreign(TextEncoding(encoding))
        }
        "System.Random" => Value::foreign(super::tool::Random),
        "System.Diagnostics.Stopwatch" => Value::foreign(super::tool::Stopwatch::default()),
        "System.Guid" if values.is_empty() => {
            Value::foreign(Guid::parse(&"0".repeat(32)).ok_or_else(|| unknown(wanted))?)
        }
        "System.Security.SecureString" => Value::foreign(Secret("".into())),
        "System.Management.Automation.PSCredential" => {
            let user = arguments.text(0)?;
            credential(&user, arguments.need(2)?[1].clone())
        }
        "System.Management.Automation.Host.ChoiceDescription" => {
            choice(&arguments.text(0)?, &values.get(1).map(convert::text).unwrap_or_default())
        }
        "System.Management.Automation.ErrorRecord" => {
            let text = |at: usize| values.get(at).map(convert::text).unwrap_or_default();
            let about = values.get(3).cloned().unwrap_or_default();
            Value::Fault(Rc::new(super::fault::made(&arguments.need(1)?[0], &text(1), &text(2), about)))
        }
        "System.Net.Mail.MailAddress" => match values.get(1) {
            Some(name) => {
                cast(context, wanted, &Value::text(format!("{} <{}>", convert::text(name), arguments.text(0)?)))?
            }
            None => cast(context, wanted, arguments.need(1).map(|values| &values[0])?)?,
        },
        other if EXCEPTIONS.contains(&other) => {
            let exception = EXCEPTIONS.iter().find(|known| **known == other).copied().unwrap_or("System.Exception");
            let message = values.first().map(convert::text).unwrap_or_default();
            Value::foreign(Exception::made(exception, message, values.get(1)))
        }
        _ => match values {
            [only] => cast(context, wanted, only)?,
            [] if find(&wanted.name).is_some() => return Err(cannot_make(&full)),
            _ => return Err(unknown(wanted)),
        },
    })
}

/// `New-Object byte[] 1024`: so many of what stands for nothing; or the values that were given.
fn array_of(context: &mut dyn Context, wanted: &TypeName, values: &[Value]) -> Result<Value, Fault> {
    let [Value::Int(count)] = values else {
        return cast(context, wanted, &values.first().cloned().unwrap_or_else(|| Value::array(Vec::new())));
    };
    let count = usize::try_from(*count).map_err(|_| super::arguments::out_of_range("the length is less than zero"))?;
    let element = TypeName { array_depth: wanted.array_depth - 1, ..wanted.clone() };
    let nothing = cast(context, &element, &Value::Null)
        .ok()
        .filter(|nothing| matches!(nothing, Value::Int(_) | Value::Float(_) | Value::Bool(_)));
    context.charge(count.saturating_mul(size_of::<Value>()))?;
    Ok(Value::array(vec![nothing.unwrap_or_default(); count]))
}

fn cannot_make(full: &str) -> Fault {
    Fault::new(Category::InvalidOperation, format!("A value of the type [{full}] cannot be made without arguments."))
}
