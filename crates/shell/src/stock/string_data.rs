//! ConvertFrom-StringData: lines of `key = value` as a table, as scripts keep their settings and their messages.

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert;
use crate::fault::{Category, Fault};
use crate::value::{Table, Value};

use super::parameter::{SIGNATURE, TEXTS, at, named, needed, piped};

/// ConvertFrom-StringData.
pub(super) const FROM: StockCommand = StockCommand {
    signature: &Signature {
        name: "ConvertFrom-StringData",
        synopsis: "Makes a table of lines, each `key = value`.",
        parameters: &[
            needed(piped(at(0, "StringData", TEXTS, "The lines; those that begin with # are comments."))),
            named("Delimiter", Kind::Text, "What stands between key and value, = if not given."),
        ],
        examples: &[("Get-Content settings.txt -Raw | ConvertFrom-StringData", "Settings of a script as a table.")],
        ..SIGNATURE
    },
    make: || Box::new(From),
};

struct From;

impl Stage for From {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let delimiter = call.argument("Delimiter").map(convert::text).unwrap_or_else(|| "=".to_owned());
        for text in call.argument("StringData").map(convert::elements).unwrap_or_default() {
            let text = convert::text(&text);
            context.charge(text.len())?;
            context.value(Value::Table(std::rc::Rc::new(std::cell::RefCell::new(table(&text, &delimiter)?))))?;
        }
        Ok(())
    }
}

fn table(text: &str, delimiter: &str) -> Result<Table, Fault> {
    let mut table = Table::default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let Some((key, value)) = line.split_once(delimiter).filter(|(key, _)| !key.trim().is_empty()) else {
            return Err(wrong(format!("Data line '{line}' is not in 'name{delimiter}value' format.")));
        };
        let key = key.trim();
        if table.get_text(key).is_some() {
            return Err(wrong(format!("Data item '{key}' in line '{line}' is already defined.")));
        }
        table.set(Value::text(key), Value::text(plain(value.trim())));
    }
    Ok(table)
}

fn wrong(message: String) -> Fault {
    let mut fault = Fault::new(Category::InvalidOperation, message);
    fault.exception = "System.Management.Automation.PSInvalidOperationException";
    fault
}

/// A value without its escapes: a backslash is written twice.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        if sign != '\\' {
            out.push(sign);
            continue;
        }
        match signs.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}
