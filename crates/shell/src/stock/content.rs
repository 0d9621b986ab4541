//! Files of text, line by line.

use crate::command::{Call, Changes, Kind, Parameter, Signature};
use crate::context::{Context, KnownKind, Stage, StockCommand, VariableScope};
use crate::convert::{self, pattern};
use crate::fault::{Category, Fault, Severity};
use crate::format::LINE;
use crate::member;
use crate::path;
use crate::value::{Object, Value};

use super::file;
use super::item::drive;
use super::parameter::{ANY, SIGNATURE, TEXTS, VALUES, also, at, input, named, needed, piped, switch};

const PATH: Parameter = also(&["FilePath"], piped(at(0, "Path", VALUES, "The files; wildcards stand for several.")));
const LITERAL: Parameter = also(&["PSPath"], named("LiteralPath", VALUES, "The files, without wildcards."));
const ENCODING: Parameter = named("Encoding", Kind::Text, "UTF8, Unicode, ASCII, Default ...");
const FORCE: Parameter = switch("Force", "Taken, and of no consequence.");

/// An error after which the other files are still done.
fn continuing(fault: Fault) -> Fault {
    fault.with_severity(Severity::Continuing)
}

/// Get-Content.
pub(super) const GET: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Content",
        synopsis: "Hands on the lines of files.",
        parameters: &[
            PATH,
            LITERAL,
            switch("Raw", "The whole file as one text."),
            also(&["First", "Head"], named("TotalCount", Kind::Int, "Only so many of the first lines.")),
            also(&["Last"], named("Tail", Kind::Int, "Only so many of the last.")),
            named("ReadCount", Kind::Int, "0 hands all lines on as one list."),
            named("Delimiter", Kind::Text, "What ends a line."),
            ENCODING,
            FORCE,
            named("Include", TEXTS, "Taken, and of no consequence."),
            named("Exclude", TEXTS, "Taken, and of no consequence."),
            switch("Wait", "Refused: the file is read once."),
        ],
        examples: &[("Get-Content .\\hosts.txt | where { $_ -match '\\S' }", "Lines that are not empty.")],
        ..SIGNATURE
    },
    make: || Box::new(Get),
};

struct Get;

impl Stage for Get {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let count = |name: &str| -> Result<Option<usize>, Fault> {
            let value = call.argument(name).map(convert::integer).transpose()?;
            Ok(value.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
        };
        if call.is_set("Wait") {
            return Err(Fault::new(
                Category::InvalidArgument,
                "Get-Content -Wait is not known here: the file is read once.",
            ));
        }
        let (first, last, at_once) = (count("TotalCount")?, count("Tail")?, count("ReadCount")?);
        for path in file::paths(context, call)? {
            if let Some((drive, name)) = drive(&path) {
                let value = match drive.as_str() {
                    "env" => context.environment(name).map(Value::text),
                    "variable" => context.variable(VariableScope::Nearest, name),
                    "function" => match context.known_command(name).map(|known| known.kind) {
                        Some(KnownKind::Function(body)) => Some(Value::Block(body)),
                        _ => None,
                    },
                    _ => None,
                };
                match value {
                    Some(value) => context.value(value)?,
                    None => context.error(continuing(path::missing(&path)))?,
                }
                continue;
            }
            let text = match file::read(context, call, &path) {
                Ok(text) => text,
                Err(fault) => {
                    context.error(continuing(fault))?;
                    continue;
                }
            };
            if call.is_set("Raw") {
                context.value(Value::text(text))?;
                continue;
            }
            let all: Vec<&str> = match call.argument("Delimiter").map(convert::text) {
                Some(delimiter) if !delimiter.is_empty() => text.split(delimiter.as_str()).collect(),
                _ => lines(&text).collect(),
            };
            let skip = last.map_or(0, |last| all.len().saturating_sub(last));
            let wanted = all.into_iter().skip(skip).take(first.unwrap_or(usize::MAX));
            if at_once == Some(0) {
                context.value(Value::array(wanted.map(Value::text).collect()))?;
                continue;
            }
            for line in wanted {
                context.value(Value::text(line))?;
            }
        }
        Ok(())
    }
}

/// The lines of a text, whatever ends them.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.strip_suffix('\n').unwrap_or(text).split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).filter({
        let is_empty = text.is_empty();
        move |_| !is_empty
    })
}

const VALUE: Parameter = piped(at(1, "Value", ANY, "The lines."));
const TARGET: Parameter = also(&["FilePath"], at(0, "Path", VALUES, "The files."));
const NO_NEWLINE: Parameter = switch("NoNewline", "Without line ends.");
const PASS_THRU: Parameter = switch("PassThru", "Hands the lines on.");

/// Set-Content.
pub(super) const SET: StockCommand = StockCommand {
    signature: &Signature {
        name: "Set-Content",
        synopsis: "Writes lines to files, in place of what was there.",
        parameters: &[TARGET, VALUE, LITERAL, ENCODING, NO_NEWLINE, PASS_THRU, FORCE],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(Put { is_append: false, values: Vec::new() }),
};

/// Add-Content.
pub(super) const ADD: StockCommand = StockCommand {
    signature: &Signature {
        name: "Add-Content",
        synopsis: "Adds lines to the end of files.",
        parameters: &[TARGET, VALUE, LITERAL, ENCODING, NO_NEWLINE, PASS_THRU, FORCE],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(Put { is_append: true, values: Vec::new() }),
};

struct Put {
    is_append: bool,
    values: Vec<Value>,
}

impl Stage for Put {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let value = input.or_else(|| call.argument("Value"));
        let values = value.map(convert::elements).unwrap_or_default();
        context.charge(values.len() * size_of::<Value>())?;
        self.values.extend(values);
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let end = if call.is_set("NoNewline") { "" } else { "\n" };
        let mut text = String::new();
        for value in &self.values {
            text += &convert::text(value);
            text += end;
        }
        context.charge(text.len())?;
        let action = if self.is_append { "Add Content" } else { "Set Content" };
        for path in file::paths(context, call)? {
            if context.should_process(call, action, &format!("Path: {path}"))? {
                file::write(context, &path, &text, file::encoding(call)?, self.is_append)?;
            }
        }
        if call.is_set("PassThru") {
            return std::mem::take(&mut self.values).into_iter().try_for_each(|value| context.value(value));
        }
        Ok(())
    }
}

/// Clear-Content.
pub(super) const CLEAR: StockCommand = StockCommand {
    signature: &Signature {
        name: "Clear-Content",
        synopsis: "Empties files.",
        parameters: &[needed(at(0, "Path", VALUES, "The files.")), LITERAL, FORCE],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(Clear),
};

struct Clear;

impl Stage for Clear {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for path in file::paths(context, call)? {
            if !matches!(context.world().entry(&path), Ok(Some(_))) {
                context.error(continuing(path::missing(&path)))?;
            } else if context.should_process(call, "Clear Content", &format!("Path: {path}"))? {
                context.world().write_file(&path, b"", false).map_err(|error| path::failed(&path, &error))?;
            }
        }
        Ok(())
    }
}

/// Select-String.
pub(super) const SELECT_STRING: StockCommand = StockCommand {
    signature: &Signature {
        name: "Select-String",
        synopsis: "Finds lines that match a pattern.",
        parameters: &[
            needed(at(0, "Pattern", TEXTS, "Regular expressions.")),
            at(1, "Path", VALUES, "The files; else the lines of the pipeline."),
            LITERAL,
            switch("SimpleMatch", "The pattern is plain text."),
            switch("CaseSensitive", "Looks at case."),
            switch("NotMatch", "Lines that do not match."),
            switch("Quiet", "True or nothing."),
            switch("List", "One line of each file."),
            switch("AllMatches", "All matches of a line."),
            switch("Raw", "The lines as text."),
            ENCODING,
            input(),
        ],
        ..SIGNATURE
    },
    make: || Box::new(SelectString { number: 0, is_found: false }),
};

struct SelectString {
    number: i64,
    is_found: bool,
}

impl SelectString {
    fn look(
        &mut self,
        context: &mut dyn Context,
        call: &Call<'_>,
        path: &str,
        number: i64,
        line: &str,
    ) -> Result<bool, Fault> {
        let mut matches = Vec::new();
        for wanted in convert::elements(call.argument("Pattern").unwrap_or(&Value::Null)) {
            let text = convert::text(&wanted);
            let text = if call.is_set("SimpleMatch") { regex::escape(&text) } else { text };
            let regex = pattern::compile(&text, call.is_set("CaseSensitive"))?;
            let most = if call.is_set("AllMatches") { usize::MAX } else { 1 };
            matches.extend(regex.captures_iter(line).take(most).map(|one| member::found(Some(&one), &regex, line)));
            // A match is an object with objects in it.
            context.charge(matches.len() * 500)?;
            if !matches.is_empty() {
                break;
            }
        }
        if matches.is_empty() != call.is_set("NotMatch") {
            return Ok(false);
        }
        self.is_found = true;
        if call.is_set("Quiet") {
            return Ok(true);
        }
        if call.is_set("Raw") {
            return context.value(Value::text(line)).map(|()| true);
        }
        let shown = if path.is_empty() { line.to_owned() } else { format!("{path}:{number}:{line}") };
        let properties = vec![
            ("Text".into(), Value::text(shown)),
            ("Line".into(), Value::text(line)),
            ("LineNumber".into(), Value::Int(number)),
            ("Filename".into(), Value::text(path::leaf(path))),
            ("Path".into(), Value::text(path)),
            ("Pattern".into(), call.argument("Pattern").cloned().unwrap_or_default()),
            ("Matches".into(), Value::array(matches)),
        ];
        context.value(Value::Object(std::rc::Rc::new(Object::new(&LINE, properties)))).map(|()| true)
    }
}

impl Stage for SelectString {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        if call.argument("Path").is_some() || call.argument("LiteralPath").is_some() {
            for path in file::paths(context, call)? {
                let text = match file::read(context, call, &path) {
                    Ok(text) => text,
                    Err(fault) => {
                        context.error(continuing(fault))?;
                        continue;
                    }
                };
                for (number, line) in lines(&text).enumerate() {
                    context.check()?;
                    if self.look(context, call, &path, number as i64 + 1, line)? && call.is_set("List") {
                        break;
                    }
                }
            }
            return Ok(());
        }
        for value in input.or_else(|| call.argument("InputObject")).map(convert::elements).unwrap_or_default() {
            self.number += 1;
            self.look(context, call, "", self.number, &convert::text(&value))?;
        }
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        if call.is_set("Quiet") { context.value(Value::Bool(self.is_found)) } else { Ok(()) }
    }
}
