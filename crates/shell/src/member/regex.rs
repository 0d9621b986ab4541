//! `[regex]`: expressions and what they find.

use std::rc::Rc;

use regex::{Captures, Regex};

use crate::context::{BlockScope, Context};
use crate::convert::{self, pattern};
use crate::fault::Fault;
use crate::value::{Foreign, Object, Value, View};

use super::arguments::{Arguments, invalid};

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression {
    pub text: String,
    pub regex: Regex,
}

impl Foreign for Expression {
    fn type_name(&self) -> &str {
        "System.Text.RegularExpressions.Regex"
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

static MATCH: View = View { type_name: "System.Text.RegularExpressions.Match", table: &[], identity: "Value" };
static GROUP: View = View { type_name: "System.Text.RegularExpressions.Group", table: &[], identity: "Value" };

/// An expression of a text; unlike operators, classes of .NET look at case unless told not to.
pub(super) fn made(text: &str, options: Option<&Value>) -> Result<Value, Fault> {
    let regex = pattern::compile(text, !ignores_case(options))?;
    Ok(Value::foreign(Expression { text: text.to_owned(), regex }))
}

fn ignores_case(options: Option<&Value>) -> bool {
    options.is_some_and(|options| convert::joined(options, ",").to_ascii_lowercase().contains("ignorecase"))
}

/// What an expression found in a text, as a `Match` with its groups.
pub(crate) fn found(captures: Option<&Captures<'_>>, regex: &Regex, text: &str) -> Value {
    let group = |at: Option<regex::Match<'_>>| {
        vec![
            ("Success".into(), Value::Bool(at.is_some())),
            ("Value".into(), Value::text(at.map_or("", |at| at.as_str()))),
            ("Index".into(), Value::Int(at.map_or(0, |at| text[..at.start()].chars().count() as i64))),
            ("Length".into(), Value::Int(at.map_or(0, |at| at.as_str().chars().count() as i64))),
        ]
    };
    let whole = captures.and_then(|captures| captures.get(0));
    let mut groups = Vec::new();
    for (number, (place, name)) in pattern::groups(regex).into_iter().enumerate() {
        let at = captures.and_then(|captures| captures.get(place));
        let one = Value::Object(Rc::new(Object::new(&GROUP, group(at))));
        groups.push((Value::Int(number as i64), one.clone()));
        if let Some(name) = name {
            groups.push((Value::text(name), one));
        }
    }
    let mut properties = group(whole);
    properties.insert(0, ("Groups".into(), Value::table(groups)));
    Value::Object(Rc::new(Object::new(&MATCH, properties)))
}

/// `Match`, `Matches`, `IsMatch`, `Replace`, `Split` of an expression.
pub(super) fn call(
    context: &mut dyn Context,
    regex: &Regex,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Value, Fault>> {
    const MATCHES_MAX: usize = 1_000_000;
    let text = match arguments.text(0) {
        Ok(text) => text,
        Err(fault) => return Some(Err(fault)),
    };
    Some(match lower {
        "ismatch" => Ok(Value::Bool(regex.is_match(&text))),
        "match" => Ok(found(regex.captures(&text).as_ref(), regex, &text)),
        "matches" => {
            let mut all = Vec::new();
            for captures in regex.captures_iter(&text).take(MATCHES_MAX) {
                if let Err(fault) = context.charge(500) {
                    return Some(Err(fault));
                }
                all.push(found(Some(&captures), regex, &text));
            }
            Ok(Value::array(all))
        }
        "replace" => arguments.need(2).and_then(|values| {
            let mut wrong = None;
            let mut length = 0;
            let replaced = pattern::replace_with(regex, &text, |captures| {
                let becomes = match &values[1] {
                    Value::Block(block) => {
                        let one = found(Some(captures), regex, &text);
                        match context.call_block(block, BlockScope::Own, Some(one.clone()), &[one]) {
                            Ok(yields) => convert::joined(&convert::gathered(yields), ""),
                            Err(fault) => {
                                wrong.get_or_insert(fault);
                                String::new()
                            }
                        }
                    }
                    with => pattern::expand(regex, captures, &convert::text(with), &text),
                };
                length += becomes.len();
                if wrong.is_none()
                    && let Err(fault) = context.charge(becomes.len())
                {
                    wrong = Some(fault);
                }
                if wrong.is_some() { String::new() } else { becomes }
            });
            wrong.map_or(Ok(Value::text(replaced)), Err)
        }),
        "split" => {
            let parts: Vec<&str> = regex.split(&text).collect();
            context
                .charge(text.len() + parts.len() * size_of::<Value>())
                .map(|()| Value::array(parts.into_iter().map(Value::text).collect()))
        }
        "getgroupnames" => Ok(Value::array(
            pattern::groups(regex)
                .into_iter()
                .enumerate()
                .map(|(number, (_, name))| name.map_or_else(|| Value::text(number.to_string()), Value::text))
                .collect(),
        )),
        _ => return None,
    })
}

/// `[regex]::Match(text, pattern, options)` and its like.
pub(super) fn call_static(
    context: &mut dyn Context,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Value, Fault>> {
    match lower {
        "escape" => return Some(arguments.text(0).map(|text| Value::text(regex::escape(&text)))),
        "unescape" => return Some(arguments.text(0).map(|text| Value::text(unescaped(&text)))),
        "ismatch" | "match" | "matches" | "replace" | "split" => {}
        _ => return None,
    }
    let values = arguments.values;
    if values.len() < 2 || lower == "replace" && values.len() < 3 {
        return Some(Err(arguments
            .need(if lower == "replace" { 3 } else { 2 })
            .err()
            .unwrap_or_else(|| invalid("arguments"))));
    }
    let options = values.get(if lower == "replace" { 3 } else { 2 });
    let regex = match pattern::compile(&convert::text(&values[1]), !ignores_case(options)) {
        Ok(regex) => regex,
        Err(fault) => return Some(Err(fault)),
    };
    let mut rest = vec![values[0].clone()];
    if lower == "replace" {
        rest.push(values[2].clone());
    }
    call(context, &regex, lower, &Arguments { method: arguments.method, values: &rest })
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}
