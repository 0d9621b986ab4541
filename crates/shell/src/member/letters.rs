//! Members of text. Places count characters.

use crate::context::Context;
use crate::convert;
use crate::fault::Fault;
use crate::value::Value;

use super::arguments::{Arguments, out_of_range};

/// Its methods.
pub(super) const METHODS: &[&str] = &[
    "Split",
    "Trim",
    "TrimStart",
    "TrimEnd",
    "Replace",
    "Contains",
    "StartsWith",
    "EndsWith",
    "Substring",
    "IndexOf",
    "IndexOfAny",
    "LastIndexOf",
    "ToUpper",
    "ToLower",
    "ToUpperInvariant",
    "ToLowerInvariant",
    "PadLeft",
    "PadRight",
    "Insert",
    "Remove",
    "ToCharArray",
    "Equals",
    "CompareTo",
    "ToString",
    "Normalize",
    "Chars",
    "Clone",
    "GetType",
];

/// A property of text.
pub(super) fn property(text: &str, lower: &str) -> Option<Value> {
    (lower == "length").then(|| Value::Int(text.chars().count() as i64))
}

/// Calls a method of text.
pub(super) fn call(
    context: &mut dyn Context,
    text: &str,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    let done = answer(context, text, lower, arguments)?;
    Some(done.map(Some))
}

fn answer(
    context: &mut dyn Context,
    text: &str,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Value, Fault>> {
    let changed = |text: &str| Ok(Value::text(text));
    let trimmed = Trimmed::of(arguments);
    Some(match lower {
        "split" => split(context, text, arguments),
        "trim" => changed(text.trim_matches(|sign| trimmed.takes(sign))),
        "trimstart" => changed(text.trim_start_matches(|sign| trimmed.takes(sign))),
        "trimend" => changed(text.trim_end_matches(|sign| trimmed.takes(sign))),
        "replace" => replace(context, text, arguments),
        "contains" => compared(text, arguments, |text, wanted| text.contains(wanted)),
        "startswith" => compared(text, arguments, |text, wanted| text.starts_with(wanted)),
        "endswith" => compared(text, arguments, |text, wanted| text.ends_with(wanted)),
        "substring" => substring(text, arguments),
        "indexof" => index_of(text, arguments, false),
        "lastindexof" => index_of(text, arguments, true),
        "indexofany" => arguments.text(0).map(|signs| {
            let signs: Vec<char> = signs.chars().filter(|sign| *sign != ' ').collect();
            place(text, text.find(signs.as_slice()))
        }),
        "toupper" | "toupperinvariant" => changed(&text.to_uppercase()),
        "tolower" | "tolowerinvariant" => changed(&text.to_lowercase()),
        "padleft" | "padright" => pad(context, text, lower == "padleft", arguments),
        "insert" => insert(text, arguments),
        "remove" => remove(text, arguments),
        "chars" | "get_chars" => arguments.size(0).and_then(|at| {
            let found = text.chars().nth(at).map(Value::Char);
            found.ok_or_else(|| out_of_range("Index was outside the bounds of the text"))
        }),
        "tochararray" | "getenumerator" => context
            .charge(text.len() * size_of::<Value>())
            .map(|()| Value::array(text.chars().map(Value::Char).collect())),
        "equals" => {
            arguments.text(0).map(|other| Value::Bool(convert::texts_equal(text, &other, !arguments.ignores_case(1))))
        }
        "normalize" | "clone" => changed(text),
        _ => return None,
    })
}

/// What Trim takes away: the characters that were given, or white space.
struct Trimmed(Vec<char>);

impl Trimmed {
    fn of(arguments: &Arguments<'_>) -> Trimmed {
        Trimmed(
            arguments.values.iter().flat_map(|value| convert::joined(value, "").chars().collect::<Vec<_>>()).collect(),
        )
    }

    fn takes(&self, sign: char) -> bool {
        if self.0.is_empty() { sign.is_whitespace() } else { self.0.contains(&sign) }
    }
}

fn place(text: &str, byte: Option<usize>) -> Value {
    Value::Int(byte.map_or(-1, |byte| text[..byte].chars().count() as i64))
}

/// The byte at which the character of that number begins; the end for the number of all.
fn byte_at(text: &str, character: usize) -> Option<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(character)
}

fn compared(text: &str, arguments: &Arguments<'_>, holds: impl Fn(&str, &str) -> bool) -> Result<Value, Fault> {
    let wanted = arguments.text(0)?;
    Ok(Value::Bool(if arguments.ignores_case(1) {
        holds(&text.to_lowercase(), &wanted.to_lowercase())
    } else {
        holds(text, &wanted)
    }))
}

/// As in Windows PowerShell, each character of a text that is given separates; a list of texts separates by whole texts.
fn split(context: &mut dyn Context, text: &str, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let mut signs: Vec<char> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let (mut most, mut drops_empty) = (usize::MAX, false);
    for (at, value) in arguments.values.iter().enumerate() {
        match value {
            Value::Int(number) if at > 0 => most = usize::try_from(*number).map_err(|_| out_of_range("count"))?,
            Value::Text(option) if at > 0 && option.eq_ignore_ascii_case("RemoveEmptyEntries") => drops_empty = true,
            Value::Text(option) if at > 0 && option.eq_ignore_ascii_case("None") => {}
            Value::List(list) => {
                for one in list.values.borrow().iter() {
                    let word = convert::text(one);
                    let mut letters = word.chars();
                    match (letters.next(), letters.next()) {
                        (Some(only), None) => signs.push(only),
                        (Some(_), Some(_)) => words.push(word),
                        _ => {}
                    }
                }
            }
            other => signs.extend(convert::text(other).chars()),
        }
    }
    let is_blank = signs.is_empty() && words.is_empty();
    context.charge(text.len() * 2)?;
    let mut parts: Vec<&str> = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < text.len() && parts.len() + 1 < most {
        let rest = &text[at..];
        let sign = rest.chars().next().unwrap_or_default();
        let length = match words.iter().find(|word| rest.starts_with(word.as_str())) {
            Some(word) => Some(word.len()),
            None if signs.contains(&sign) || is_blank && sign.is_whitespace() => Some(sign.len_utf8()),
            None => None,
        };
        match length {
            Some(length) => {
                if !(drops_empty && start == at) {
                    parts.push(&text[start..at]);
                }
                at += length;
                start = at;
            }
            None => at += sign.len_utf8(),
        }
    }
    if !(drops_empty && start == text.len()) {
        parts.push(&text[start..]);
    }
    context.charge(parts.len() * size_of::<Value>() * 2)?;
    Ok(Value::array(parts.into_iter().map(Value::text).collect()))
}

fn replace(context: &mut dyn Context, text: &str, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    arguments.need(2)?;
    let (old, new) = (arguments.text(0)?, arguments.text(1)?);
    if old.is_empty() {
        return Err(super::arguments::invalid("String cannot be of zero length. Parameter name: oldValue"));
    }
    context.charge(text.len() + text.matches(old.as_str()).count() * new.len())?;
    Ok(Value::text(text.replace(&old, &new)))
}

fn substring(text: &str, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let start = byte_at(text, arguments.size(0)?)
        .ok_or_else(|| out_of_range("startIndex cannot be larger than length of string"))?;
    let rest = &text[start..];
    let end = match arguments.values.get(1) {
        Some(_) => byte_at(rest, arguments.size(1)?)
            .ok_or_else(|| out_of_range("Index and length must refer to a location within the string"))?,
        None => rest.len(),
    };
    Ok(Value::text(&rest[..end]))
}

fn index_of(text: &str, arguments: &Arguments<'_>, is_last: bool) -> Result<Value, Fault> {
    let (text, wanted) = if arguments.ignores_case(1) {
        (text.to_lowercase(), arguments.text(0)?.to_lowercase())
    } else {
        (text.to_owned(), arguments.text(0)?)
    };
    if is_last {
        return Ok(place(&text, text.rfind(&wanted)));
    }
    let start = match arguments.values.get(1) {
        Some(Value::Int(_)) => byte_at(&text, arguments.size(1)?).ok_or_else(|| out_of_range("startIndex"))?,
        _ => 0,
    };
    Ok(place(&text, text[start..].find(&wanted).map(|at| at + start)))
}

fn pad(context: &mut dyn Context, text: &str, is_left: bool, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let width = arguments.size(0)?;
    let sign = match arguments.values.get(1) {
        Some(sign) => convert::text(sign).chars().next().unwrap_or(' '),
        None => ' ',
    };
    let missing = width.saturating_sub(text.chars().count());
    context.charge(missing.saturating_mul(sign.len_utf8()))?;
    let padding = sign.to_string().repeat(missing);
    Ok(Value::text(if is_left { format!("{padding}{text}") } else { format!("{text}{padding}") }))
}

fn insert(text: &str, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let at = byte_at(text, arguments.size(0)?).ok_or_else(|| out_of_range("startIndex"))?;
    Ok(Value::text(format!("{}{}{}", &text[..at], arguments.text(1)?, &text[at..])))
}

fn remove(text: &str, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let start = byte_at(text, arguments.size(0)?)
        .ok_or_else(|| out_of_range("startIndex must be less than length of string"))?;
    let rest = &text[start..];
    let end = match arguments.values.get(1) {
        Some(_) => byte_at(rest, arguments.size(1)?)
            .ok_or_else(|| out_of_range("Index and count must refer to a location within the string"))?,
        None => rest.len(),
    };
    Ok(Value::text(format!("{}{}", &text[..start], &rest[end..])))
}
