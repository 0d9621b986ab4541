//! CSV: rows of text under names.

use std::borrow::Cow;
use std::rc::Rc;

use csv::{ReaderBuilder, Terminator, WriterBuilder};

use crate::command::{Call, Changes, Kind, Parameter, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert;
use crate::fault::{Category, Fault};
use crate::format::column::{self, Column};
use crate::value::{CUSTOM, Object, Value};

use super::file;
use super::parameter::{SIGNATURE, TEXTS, VALUES, also, at, input, named, piped, switch};

/// Columns of one row.
const COLUMNS_MAX: usize = 10_000;

const DELIMITER: Parameter = at(1, "Delimiter", Kind::Text, "What stands between two values; a comma if not given.");
const CULTURE: Parameter = switch("UseCulture", "Taken, and of no consequence: the comma separates.");
const HEADER: Parameter = named("Header", TEXTS, "The names of the columns; else the first row has them.");
const NO_TYPE: Parameter = also(&["NTI"], switch("NoTypeInformation", "Without the line that names the type."));
const TYPE: Parameter = also(&["ITI"], switch("IncludeTypeInformation", "With the line that names the type."));
const QUOTES: Parameter =
    named("UseQuotes", Kind::OneOf(&["Always", "AsNeeded", "Never"]), "Which values stand in quotes.");
const ENCODING: Parameter = named("Encoding", Kind::Text, "UTF8, Unicode, ASCII, Default ...");

fn delimiter(call: &Call<'_>) -> Result<u8, Fault> {
    let Some(text) = call.argument("Delimiter").map(convert::text) else { return Ok(b',') };
    match text.as_bytes() {
        [one] => Ok(*one),
        _ => Err(Fault::new(
            Category::InvalidArgument,
            format!("-Delimiter wants one character, as ';' or \"`t\", not \"{text}\"."),
        )),
    }
}

/// Rows of a text as objects.
fn parse(context: &mut dyn Context, call: &Call<'_>, text: &str) -> Result<(), Fault> {
    // A line that names the type says nothing to us.
    let text = match text.strip_prefix("#TYPE") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
        None => text,
    };
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter(call)?).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut names: Option<Vec<Rc<str>>> = call
        .argument("Header")
        .map(|header| convert::elements(header).iter().map(|name| Rc::from(convert::text(name))).collect());
    for record in reader.records() {
        let record = record
            .map_err(|error| Fault::new(Category::InvalidArgument, format!("The CSV cannot be read: {error}.")))?;
        if record.len() > COLUMNS_MAX {
            return Err(Fault::new(
                Category::LimitExceeded,
                format!("A row of the CSV has {} values; more than {COLUMNS_MAX} are not read.", record.len()),
            ));
        }
        let Some(names) = &names else {
            names = Some(header(&record));
            continue;
        };
        context.charge(record.as_slice().len() + record.len() * size_of::<(Cow<'_, str>, Value)>())?;
        let properties = names.iter().enumerate().map(|(at, name)| {
            // A row that is too short lacks values.
            (Cow::Owned(name.to_string()), record.get(at).map(Value::text).unwrap_or_default())
        });
        context.value(Value::Object(Rc::new(Object::new(&CUSTOM, properties.collect()))))?;
    }
    Ok(())
}

/// The names of the first row; those that are missing or stand twice get names of their own.
fn header(record: &csv::StringRecord) -> Vec<Rc<str>> {
    let mut names: Vec<Rc<str>> = Vec::new();
    for (at, name) in record.iter().enumerate() {
        let name = name.trim();
        let is_taken = names.iter().any(|known| known.eq_ignore_ascii_case(name));
        names.push(if name.is_empty() || is_taken { Rc::from(format!("H{}", at + 1)) } else { Rc::from(name) });
    }
    names
}

/// Import-Csv.
pub(super) const IMPORT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Import-Csv",
        synopsis: "Makes an object of each row of a CSV file.",
        parameters: &[
            also(&["FilePath"], piped(at(0, "Path", VALUES, "The files."))),
            DELIMITER,
            also(&["PSPath"], named("LiteralPath", VALUES, "The files, without wildcards.")),
            HEADER,
            CULTURE,
            ENCODING,
        ],
        examples: &[("Import-Csv .\\ranges.csv -Delimiter ';' | % { $_.Range }", "One column of a file.")],
        ..SIGNATURE
    },
    make: || Box::new(Import),
};

struct Import;

impl Stage for Import {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for path in file::paths(context, call)? {
            let text = match file::read(context, call, &path) {
                Ok(text) => text,
                Err(mut fault) => {
                    if fault.category == Category::ObjectNotFound {
                        fault.message = format!("Could not find file '{path}'.");
                        fault.exception = "System.IO.FileNotFoundException";
                    }
                    return Err(fault.with_severity(crate::fault::Severity::Continuing));
                }
            };
            parse(context, call, &text)?;
        }
        Ok(())
    }
}

/// ConvertFrom-Csv.
pub(super) const FROM: StockCommand = StockCommand {
    signature: &Signature {
        name: "ConvertFrom-Csv",
        synopsis: "Makes an object of each row of CSV text.",
        parameters: &[
            also(&["String"], piped(at(0, "InputObject", VALUES, "The text, or its lines."))),
            DELIMITER,
            HEADER,
            CULTURE,
        ],
        ..SIGNATURE
    },
    make: || Box::new(From::default()),
};

#[derive(Default)]
struct From {
    text: String,
}

impl Stage for From {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for line in convert::elements(call.argument("InputObject").unwrap_or(&Value::Null)) {
            let line = convert::text(&line);
            context.charge(line.len())?;
            self.text += &line;
            self.text.push('\n');
        }
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let text = std::mem::take(&mut self.text);
        parse(context, call, &text)
    }
}

/// Objects on their way to rows.
#[derive(Default)]
struct Rows {
    columns: Option<Vec<Column>>,
}

impl Rows {
    /// The rows of one object, with those of the header before the first.
    fn of(
        &mut self,
        context: &mut dyn Context,
        call: &Call<'_>,
        value: &Value,
        has_header: bool,
    ) -> Result<Vec<String>, Fault> {
        let mut lines = Vec::new();
        let columns = match &self.columns {
            Some(columns) => columns,
            None => {
                let columns: Vec<Column> = column::names(value).into_iter().map(Column::property).collect();
                if has_header {
                    if call.is_set("IncludeTypeInformation") && !call.is_set("NoTypeInformation") {
                        lines.push(format!("#TYPE {}", convert::type_name(value)));
                    }
                    let names: Vec<String> = columns.iter().map(Column::title).collect();
                    lines.push(row(call, &names)?);
                }
                self.columns.insert(columns)
            }
        };
        let mut cells = Vec::with_capacity(columns.len());
        for column in columns {
            cells.push(convert::property_text(&column.value(context, value)?.unwrap_or_default()));
        }
        lines.push(row(call, &cells)?);
        Ok(lines)
    }
}

fn row(call: &Call<'_>, cells: &[String]) -> Result<String, Fault> {
    let quotes = call.argument("UseQuotes").map(convert::text).unwrap_or_default();
    let style = match quotes.as_str() {
        "AsNeeded" => csv::QuoteStyle::Necessary,
        "Never" => csv::QuoteStyle::Never,
        _ => csv::QuoteStyle::Always,
    };
    let failed = |error: String| Fault::new(Category::InvalidOperation, format!("The row cannot be written: {error}."));
    let mut writer = WriterBuilder::new()
        .delimiter(delimiter(call)?)
        .quote_style(style)
        .flexible(true)
        .terminator(Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    writer.write_record(cells).map_err(|error| failed(error.to_string()))?;
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    let mut text = String::from_utf8(bytes).map_err(|error| failed(error.to_string()))?;
    text.truncate(text.trim_end_matches('\n').len());
    Ok(text)
}

/// Export-Csv.
pub(super) const EXPORT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Export-Csv",
        synopsis: "Writes the properties of objects to a CSV file; the first object says which.",
        parameters: &[
            also(&["FilePath", "LiteralPath", "PSPath"], at(0, "Path", Kind::Any, "The file.")),
            DELIMITER,
            switch("Append", "Adds rows to the file's end."),
            NO_TYPE,
            TYPE,
            QUOTES,
            ENCODING,
            CULTURE,
            switch("Force", "Taken, and of no consequence."),
            also(&["NoOverwrite"], switch("NoClobber", "Refuses when there is such a file.")),
            input(),
        ],
        changes: Changes::Unasked,
        examples: &[(
            "Get-ReceiveConnector | select Name, @{ n = 'Ranges'; e = { $_.RemoteIPRanges -join ';' } } | Export-Csv r.csv -NoTypeInformation",
            "The ranges of all connectors.",
        )],
        ..SIGNATURE
    },
    make: || Box::new(Export::default()),
};

#[derive(Default)]
struct Export {
    rows: Rows,
    text: String,
    is_begun: bool,
    has_header: bool,
    is_dry: bool,
}

/// Text that is held before it is written.
const WRITE_BYTES: usize = 1 << 20;

impl Export {
    fn path(call: &Call<'_>) -> Result<String, Fault> {
        call.argument("Path").map(file::path_text).filter(|path| !path.is_empty()).ok_or_else(|| {
            Fault::new(Category::InvalidArgument, "Export-Csv wants the path of a file, as -Path ranges.csv.")
        })
    }

    fn save(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let text = std::mem::take(&mut self.text);
        let is_append = self.is_begun || call.is_set("Append");
        self.is_begun = true;
        if self.is_dry {
            return Ok(());
        }
        file::write(context, &Export::path(call)?, &text, file::encoding(call)?, is_append)
    }
}

impl Stage for Export {
    fn begin(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let path = Export::path(call)?;
        delimiter(call)?;
        file::encoding(call)?;
        let there = matches!(context.world().entry(&path), Ok(Some(entry)) if entry.bytes > 0);
        if call.is_set("NoClobber") && there {
            return Err(crate::path::failed(&path, &std::io::Error::from(std::io::ErrorKind::AlreadyExists)));
        }
        self.has_header = !(call.is_set("Append") && there);
        if !self.has_header {
            // Rows that are added follow the columns that the file has.
            let text = file::read(context, call, &path)?;
            let text = text
                .strip_prefix("#TYPE")
                .map_or(text.as_str(), |rest| rest.split_once('\n').map_or("", |(_, rest)| rest));
            let mut reader = ReaderBuilder::new()
                .delimiter(delimiter(call)?)
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes());
            if let Some(Ok(record)) = reader.records().next() {
                self.rows.columns = Some(record.iter().map(|name| Column::property(name.to_owned())).collect());
            }
            if !text.ends_with('\n') {
                self.text.push('\n');
            }
        }
        self.is_dry = call.is_what_if && !context.should_process(call, "Export-Csv", &path)?;
        Ok(())
    }

    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        for value in convert::elements(input) {
            for line in self.rows.of(context, call, &value, self.has_header)? {
                self.text += &line;
                self.text.push('\n');
            }
        }
        if self.text.len() >= WRITE_BYTES { self.save(context, call) } else { Ok(()) }
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        self.save(context, call)
    }
}

/// ConvertTo-Csv.
pub(super) const TO: StockCommand = StockCommand {
    signature: &Signature {
        name: "ConvertTo-Csv",
        synopsis: "Makes CSV text of objects, a line each.",
        parameters: &[
            piped(at(0, "InputObject", Kind::Any, "The objects.")),
            DELIMITER,
            NO_TYPE,
            TYPE,
            QUOTES,
            CULTURE,
        ],
        ..SIGNATURE
    },
    make: || Box::new(To::default()),
};

#[derive(Default)]
struct To {
    rows: Rows,
}

impl Stage for To {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        for value in convert::elements(input) {
            for line in self.rows.of(context, call, &value, true)? {
                context.value(Value::text(line))?;
            }
        }
        Ok(())
    }
}
