//! From any value to what a parameter of a [`Kind`] takes. Pure but for the time that a text without a zone is read in.

use jiff::Zoned;

use crate::command::Kind;
use crate::convert::{self, time};
use crate::fault::Fault;
use crate::member::Secret;
use crate::value::{Object, Table, Value};

/// A value for a parameter of this kind; `$null` passes, it clears.
///
/// # Errors
/// Why it does not fit, in the words of the original.
pub(crate) fn fit(kind: &Kind, value: &Value, now: &Zoned) -> Result<Value, Fault> {
    if value.is_null() && !matches!(kind, Kind::Switch | Kind::Bool) {
        return Ok(Value::Null);
    }
    Ok(match kind {
        Kind::Any | Kind::Ignored => value.clone(),
        Kind::Switch => match value {
            Value::Bool(_) => value.clone(),
            Value::Int(number) => Value::Bool(*number != 0),
            other => return Err(no_bool(other, "System.Management.Automation.SwitchParameter")),
        },
        Kind::Bool => match value {
            Value::Bool(_) => value.clone(),
            Value::Int(number) => Value::Bool(*number != 0),
            Value::Float(number) => Value::Bool(*number != 0.0),
            other => return Err(no_bool(other, "System.Boolean")),
        },
        Kind::Text => Value::text(single_text(value)?),
        Kind::OneOf(names) => Value::text(one_of(names, &single_text(value)?)?),
        Kind::Flags(names) => Value::array(flags(names, value)?),
        Kind::Int => Value::Int(convert::integer(single(value)?.as_ref().unwrap_or(value))?),
        Kind::UnlimitedInt => match single_text(value)? {
            text if text.eq_ignore_ascii_case("unlimited") => Value::text("Unlimited"),
            _ => Value::Int(convert::integer(value)?),
        },
        Kind::Size => Value::text(single_text(value)?),
        Kind::Span => span(value)?,
        Kind::Time => match value {
            Value::Time(_) => value.clone(),
            other => {
                let text = single_text(other)?;
                match time::parse(&text, now) {
                    Some(time) => Value::Time(time),
                    None => {
                        let why = "String was not recognized as a valid DateTime.";
                        return Err(convert::cannot_convert(&Value::text(text), "System.DateTime", Some(why)));
                    }
                }
            }
        },
        Kind::Identity => identity(value)?,
        Kind::List(inner) | Kind::Rest(inner) => list(inner, value, now)?,
        Kind::MultiValued(inner) => match value {
            Value::Table(table) => Value::table(changes(inner, &table.borrow(), now)?),
            other => list(inner, other, now)?,
        },
        Kind::Secret => match value.downcast::<Secret>() {
            Some(_) => value.clone(),
            None => {
                let why = "Write ConvertTo-SecureString 'text' -AsPlainText -Force, or Read-Host -AsSecureString.";
                return Err(convert::cannot_convert(&hidden(value), "System.Security.SecureString", Some(why)));
            }
        },
        Kind::Credential => match value {
            Value::Object(object) if is_credential(object) => value.clone(),
            other => {
                let why = "Write Get-Credential, or New-Object PSCredential 'user', $secureString.";
                let type_name = "System.Management.Automation.PSCredential";
                return Err(convert::cannot_convert(&hidden(other), type_name, Some(why)));
            }
        },
        Kind::Block => match value {
            Value::Block(_) => value.clone(),
            other => {
                return Err(convert::cannot_convert(other, "System.Management.Automation.ScriptBlock", None));
            }
        },
        Kind::Table => match value {
            Value::Table(_) => value.clone(),
            other => return Err(convert::cannot_convert(other, "System.Collections.Hashtable", None)),
        },
    })
}

/// What an error shows of a value that may be a password.
fn hidden(value: &Value) -> Value {
    match value {
        Value::Text(_) => Value::text("***"),
        other => other.clone(),
    }
}

fn is_credential(object: &Object) -> bool {
    object.get("UserName").is_some()
        && object.get("Password").is_some_and(|secret| secret.downcast::<Secret>().is_some())
}

fn no_bool(value: &Value, type_name: &str) -> Fault {
    let why = "Boolean parameters accept only Boolean values and numbers, such as $True, $False, 1 or 0.";
    convert::cannot_convert(value, type_name, Some(why))
}

/// Of a list of one value that value.
fn single(value: &Value) -> Result<Option<Value>, Fault> {
    match value {
        Value::List(list) => match list.values.borrow().as_slice() {
            [one] => Ok(Some(one.clone())),
            several => Err(convert::cannot_convert(
                value,
                "System.String",
                Some(&format!("One value is wanted, not {}.", several.len())),
            )),
        },
        _ => Ok(None),
    }
}

fn single_text(value: &Value) -> Result<String, Fault> {
    Ok(match single(value)? {
        Some(one) => convert::text(&one),
        None => convert::text(value),
    })
}

fn one_of(names: &[&'static str], text: &str) -> Result<&'static str, Fault> {
    let text = text.trim();
    if let Some(name) = names.iter().find(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(name);
    }
    let begins =
        |name: &&&str| !text.is_empty() && name.get(..text.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(text));
    let matching: Vec<&&'static str> = names.iter().filter(begins).collect();
    match matching.as_slice() {
        [one] => Ok(one),
        _ => {
            let why = format!(
                "Unable to match the identifier name {text} to a valid enumerator name. Specify one of the following enumerator names and try again: {}",
                names.join(", ")
            );
            Err(convert::cannot_convert(&Value::text(text), "System.Enum", Some(&why)))
        }
    }
}

fn flags(names: &[&'static str], value: &Value) -> Result<Vec<Value>, Fault> {
    let mut found: Vec<&'static str> = Vec::new();
    for one in convert::elements(value) {
        for text in convert::text(&one).split(',').filter(|text| !text.trim().is_empty()) {
            let name = one_of(names, text)?;
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    Ok(found.into_iter().map(Value::text).collect())
}

fn span(value: &Value) -> Result<Value, Fault> {
    Ok(match value {
        Value::Span(span) => Value::text(time::span_text(*span)),
        other => {
            let text = single_text(other)?;
            match time::parse_span(&text) {
                Some(span) => Value::text(time::span_text(span)),
                // `Unlimited` and its like: the command knows whether it takes them.
                None => Value::text(text),
            }
        }
    })
}

/// Which object is meant: the text that stands for it.
fn identity(value: &Value) -> Result<Value, Fault> {
    match value {
        Value::Object(object) => {
            let names = [object.view.identity, "Identity", "Name"];
            let found = names.iter().filter(|name| !name.is_empty()).find_map(|name| object.get(name));
            match found {
                Some(found) if !found.is_null() => Ok(Value::text(convert::text(&found))),
                _ => {
                    Err(convert::cannot_convert(value, "an identity", Some("It has no property Identity and no Name.")))
                }
            }
        }
        Value::Table(_) | Value::Block(_) => Err(convert::cannot_convert(value, "an identity", None)),
        other => {
            let one = single(other)?;
            match one {
                Some(one @ Value::Object(_)) => identity(&one),
                _ => Ok(Value::text(single_text(other)?)),
            }
        }
    }
}

fn list(inner: &Kind, value: &Value, now: &Zoned) -> Result<Value, Fault> {
    let values = convert::elements(value);
    values.iter().map(|one| fit(inner, one, now)).collect::<Result<_, _>>().map(Value::array)
}

/// `@{Add=...; Remove=...}`.
fn changes(inner: &Kind, table: &Table, now: &Zoned) -> Result<Vec<(Value, Value)>, Fault> {
    let mut entries = Vec::new();
    for (key, value) in table.entries() {
        let name = match convert::text(key).to_ascii_lowercase().as_str() {
            "add" => "Add",
            "remove" => "Remove",
            other => {
                let why = format!("Unable to process the hash table: its keys are Add and Remove, not \"{other}\".");
                return Err(convert::cannot_convert(key, "MultiValuedProperty", Some(&why)));
            }
        };
        entries.push((Value::text(name), list(inner, value, now)?));
    }
    Ok(entries)
}
