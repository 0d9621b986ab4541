//! CLIXML, the original's own format for objects: written so that it can be read there, read as property bags only.
//!
//! No type of the file becomes a type of ours, no document type is read, size and depth are bounded.

use std::borrow::Cow;
use std::fmt::Write;

mod reader;

use crate::command::{Call, Changes, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert::{self, time};
use crate::fault::{Category, Fault, Severity};
use crate::member::{self, escaped};
use crate::value::{CUSTOM, Value};

use self::reader::parse;
use super::file;
use super::parameter::{ANY, SIGNATURE, VALUES, also, at, input, named, piped, switch};

/// Objects within objects.
const DEPTH_MAX: usize = 50;
/// Objects within objects that are written unless -Depth says otherwise.
const DEPTH: usize = 2;

/// Export-Clixml.
pub(super) const EXPORT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Export-Clixml",
        synopsis: "Writes objects to a file that Import-Clixml reads.",
        parameters: &[
            also(&["LiteralPath", "PSPath", "FilePath"], at(0, "Path", ANY, "The file.")),
            named("Depth", Kind::Int, "Objects within objects, 2 if not given."),
            named("Encoding", Kind::Text, "The file's encoding."),
            switch("Force", "Taken, and of no consequence."),
            also(&["NoOverwrite"], switch("NoClobber", "Refuses when there is such a file.")),
            input(),
        ],
        changes: Changes::Unasked,
        examples: &[("Get-ReceiveConnector | Export-Clixml connectors.xml", "All connectors in a file.")],
        ..SIGNATURE
    },
    make: || Box::new(Export::default()),
};

#[derive(Default)]
struct Export {
    values: Vec<Value>,
}

impl Stage for Export {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        context.charge(size_of::<Value>())?;
        self.values.extend(input.or_else(|| call.argument("InputObject")).cloned());
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let Some(path) = call.argument("Path").map(file::path_text).filter(|path| !path.is_empty()) else {
            return Err(Fault::new(Category::InvalidArgument, "Export-Clixml wants the path of a file."));
        };
        if call.is_set("NoClobber") && matches!(context.world().entry(&path), Ok(Some(_))) {
            return Err(crate::path::failed(&path, &std::io::Error::from(std::io::ErrorKind::AlreadyExists)));
        }
        let depth = match call.argument("Depth") {
            Some(depth) => usize::try_from(convert::integer(depth)?).unwrap_or(DEPTH).clamp(1, DEPTH_MAX),
            None => DEPTH,
        };
        let mut writer = Writer { out: String::new(), next: 0, depth };
        writer.out += "<Objs Version=\"1.1.0.1\" xmlns=\"http://schemas.microsoft.com/powershell/2004/04\">\n";
        for value in std::mem::take(&mut self.values) {
            writer.value(context, &value, None, 0)?;
        }
        writer.out += "</Objs>\n";
        if context.should_process(call, "Export-Clixml", &path)? {
            file::write(context, &path, &writer.out, file::encoding(call)?, false)?;
        }
        Ok(())
    }
}

struct Writer {
    out: String,
    next: usize,
    depth: usize,
}

/// Text for the format: control characters stand as `_x000A_`, and an underscore that begins such a thing as `_x005F_`.
fn coded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, sign) in text.char_indices() {
        if sign == '_' && text[at + 1..].starts_with('x') {
            out += "_x005F_";
        } else if (sign.is_control() && sign != '\t') || matches!(sign, '\u{fffe}' | '\u{ffff}') {
            let _ = write!(out, "_x{:04X}_", u32::from(sign));
        } else {
            out.push(sign);
        }
    }
    escaped(&out)
}

impl Writer {
    fn simple(&mut self, tag: &str, name: Option<&str>, text: &str) {
        let name = name.map(|name| format!(" N=\"{}\"", coded(name))).unwrap_or_default();
        let _ = writeln!(self.out, "<{tag}{name}>{}</{tag}>", coded(text));
    }

    fn value(
        &mut self,
        context: &mut dyn Context,
        value: &Value,
        name: Option<&str>,
        level: usize,
    ) -> Result<(), Fault> {
        context.check()?;
        let before = self.out.len();
        match value {
            Value::Null => {
                let name = name.map(|name| format!(" N=\"{}\"", coded(name))).unwrap_or_default();
                let _ = writeln!(self.out, "<Nil{name} />");
            }
            Value::Bool(is) => self.simple("B", name, if *is { "true" } else { "false" }),
            Value::Int(number) if i32::try_from(*number).is_ok() => self.simple("I32", name, &number.to_string()),
            Value::Int(number) => self.simple("I64", name, &number.to_string()),
            Value::Float(number) => self.simple("Db", name, &format!("{number}")),
            Value::Char(sign) => self.simple("C", name, &u32::from(*sign).to_string()),
            Value::Text(text) => self.simple("S", name, text),
            Value::Time(moment) => self.simple("DT", name, &time::format(moment, "o")?),
            Value::Span(span) => {
                let seconds = span.ticks.unsigned_abs() / 10_000_000;
                let fraction = span.ticks.unsigned_abs() % 10_000_000;
                let sign = if span.ticks < 0 { "-" } else { "" };
                self.simple("TS", name, &format!("{sign}PT{seconds}.{fraction:07}S"));
            }
            Value::Block(_) => self.simple("SBK", name, &convert::text(value)),
            Value::List(_) | Value::Table(_) | Value::Object(_) | Value::Foreign(_) if level <= self.depth => {
                self.compound(context, value, name, level)?;
            }
            other => self.simple("S", name, &convert::joined(other, " ")),
        }
        context.charge(self.out.len() - before)
    }

    fn compound(
        &mut self,
        context: &mut dyn Context,
        value: &Value,
        name: Option<&str>,
        level: usize,
    ) -> Result<(), Fault> {
        let name = name.map(|name| format!(" N=\"{}\"", coded(name))).unwrap_or_default();
        let id = self.next;
        self.next += 1;
        let _ = writeln!(self.out, "<Obj{name} RefId=\"{id}\">");
        let _ = writeln!(
            self.out,
            "<TN RefId=\"{id}\"><T>{}</T><T>System.Object</T></TN>",
            coded(&convert::type_name(value))
        );
        match value {
            Value::List(list) => {
                self.out += "<LST>\n";
                let values = list.values.borrow().clone();
                for one in values {
                    // A list is no level of its own.
                    self.value(context, &one, None, level)?;
                }
                self.out += "</LST>\n";
            }
            Value::Table(table) => {
                self.out += "<DCT>\n";
                let entries = table.borrow().entries().to_vec();
                for (key, value) in entries {
                    self.out += "<En>\n";
                    self.value(context, &key, Some("Key"), level + 1)?;
                    self.value(context, &value, Some("Value"), level + 1)?;
                    self.out += "</En>\n";
                }
                self.out += "</DCT>\n";
            }
            Value::Object(object) => {
                self.simple("ToString", None, &convert::text(value));
                let is_custom = std::ptr::eq(object.view, &CUSTOM);
                let tag = if is_custom { "MS" } else { "Props" };
                let names: Vec<Cow<'static, str>> = object
                    .properties
                    .borrow()
                    .iter()
                    .filter(|(_, value)| !member::is_method(value))
                    .map(|(name, _)| name.clone())
                    .collect();
                let _ = writeln!(self.out, "<{tag}>");
                for name in names {
                    let found = member::property(context, value, &name)?.unwrap_or_default();
                    self.value(context, &found, Some(&name), level + 1)?;
                }
                let _ = writeln!(self.out, "</{tag}>");
            }
            Value::Foreign(foreign) => {
                self.simple("ToString", None, &foreign.text());
                if !foreign.properties().is_empty() && level < self.depth {
                    self.out += "<Props>\n";
                    for name in foreign.properties() {
                        let found = foreign.property(name).unwrap_or_default();
                        self.value(context, &found, Some(name), level + 1)?;
                    }
                    self.out += "</Props>\n";
                }
            }
            _ => {}
        }
        self.out += "</Obj>\n";
        Ok(())
    }
}

/// Import-Clixml.
pub(super) const IMPORT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Import-Clixml",
        synopsis: "Reads objects that Export-Clixml wrote, here or in the original: as bags of properties.",
        parameters: &[
            also(&["FilePath"], piped(at(0, "Path", VALUES, "The files."))),
            also(&["PSPath"], named("LiteralPath", VALUES, "The files, without wildcards.")),
            named("First", Kind::Int, "Only so many of the first."),
            named("Skip", Kind::Int, "Without so many of the first."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Import),
};

struct Import;

impl Stage for Import {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let count = |name: &str, default: usize| -> Result<usize, Fault> {
            call.argument(name)
                .map_or(Ok(default), |value| Ok(usize::try_from(convert::integer(value)?).unwrap_or(default)))
        };
        let (skip, first) = (count("Skip", 0)?, count("First", usize::MAX)?);
        for path in file::paths(context, call)? {
            let text = match file::read(context, call, &path) {
                Ok(text) => text,
                Err(fault) => {
                    context.error(fault.with_severity(Severity::Continuing))?;
                    continue;
                }
            };
            context.charge(text.len().saturating_mul(4))?;
            let now = context.world().now();
            let values = parse(&text, &now).map_err(|mut fault| {
                fault.message = format!("'{path}': {}", fault.message);
                fault
            })?;
            for value in values.into_iter().skip(skip).take(first) {
                match value {
                    Value::List(list) => {
                        let values = list.values.borrow().clone();
                        values.into_iter().try_for_each(|one| context.value(one))?;
                    }
                    one => context.value(one)?,
                }
            }
        }
        Ok(())
    }
}
