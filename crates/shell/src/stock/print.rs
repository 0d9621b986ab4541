//! Format-List and its kin, and the ends of pipelines: Out-Default, Out-String, Out-File, Out-Null.

use crate::command::{Call, Kind, Parameter, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert;
use crate::fault::{Category, Fault};
use crate::format::column::{self, Column};
use crate::format::{self, ListPage, Page, Printer, TablePage, cell};
use crate::value::Value;
use crate::world::Stream;

use super::file;
use super::parameter::{ANY, SIGNATURE, VALUES, also, at, input, named, switch};

const PROPERTY: Parameter = at(0, "Property", VALUES, "Names, wildcards, or @{ Name = 'Title'; Expression = { } }.");
const GROUP_BY: Parameter =
    named("GroupBy", ANY, "A property: objects in a row that have the same value stand together.");
const FORCE: Parameter = switch("Force", "Taken, and of no consequence.");
const EXPAND: Parameter = named("Expand", Kind::Text, "Taken, and of no consequence.");
const VIEW: Parameter = named("View", Kind::Text, "Taken, and of no consequence.");
const DISPLAY_ERROR: Parameter = switch("DisplayError", "Taken, and of no consequence.");
const SHOW_ERROR: Parameter = switch("ShowError", "Taken, and of no consequence.");

/// Format-List.
pub(super) const FORMAT_LIST: StockCommand = StockCommand {
    signature: &Signature {
        name: "Format-List",
        synopsis: "Shows each object as a list of its properties.",
        parameters: &[PROPERTY, GROUP_BY, FORCE, EXPAND, VIEW, DISPLAY_ERROR, SHOW_ERROR, input()],
        examples: &[("Get-ReceiveConnector Relay | fl Name,*Range*", "Two properties, one of them by a wildcard.")],
        ..SIGNATURE
    },
    make: || Box::new(Format { layout: Layout::List, ..Format::default() }),
};

/// Format-Custom.
pub(super) const FORMAT_CUSTOM: StockCommand = StockCommand {
    signature: &Signature {
        name: "Format-Custom",
        synopsis: "Shows objects as Format-List does.",
        parameters: &[
            PROPERTY,
            GROUP_BY,
            FORCE,
            EXPAND,
            VIEW,
            DISPLAY_ERROR,
            SHOW_ERROR,
            named("Depth", ANY, "Taken, and of no consequence."),
            input(),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Format { layout: Layout::List, ..Format::default() }),
};

/// Format-Table.
pub(super) const FORMAT_TABLE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Format-Table",
        synopsis: "Shows objects as rows of a table.",
        parameters: &[
            PROPERTY,
            GROUP_BY,
            switch("AutoSize", "Columns fit what stands in them: they always do."),
            switch("Wrap", "What is too long goes on in the next line."),
            switch("HideTableHeaders", "Without a header."),
            FORCE,
            EXPAND,
            VIEW,
            DISPLAY_ERROR,
            SHOW_ERROR,
            input(),
        ],
        examples: &[("Get-ReceiveConnector | ft Name,Bindings,RemoteIPRanges -AutoSize -Wrap", "Three columns.")],
        ..SIGNATURE
    },
    make: || Box::new(Format { layout: Layout::Table, ..Format::default() }),
};

/// Format-Wide.
pub(super) const FORMAT_WIDE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Format-Wide",
        synopsis: "Shows one property of each object, several beside each other.",
        parameters: &[
            at(0, "Property", VALUES, "The property."),
            switch("AutoSize", "As many columns as fit."),
            also(&["Columns"], named("Column", Kind::Int, "So many columns.")),
            GROUP_BY,
            FORCE,
            EXPAND,
            VIEW,
            DISPLAY_ERROR,
            SHOW_ERROR,
            input(),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Format { layout: Layout::Wide, ..Format::default() }),
};

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Layout {
    #[default]
    List,
    Table,
    Wide,
}

#[derive(Default)]
struct Format {
    layout: Layout,
    values: Vec<Value>,
}

impl Stage for Format {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        context.charge(size_of::<Value>())?;
        match input {
            Value::Null => {}
            // The entries of a table are its rows.
            Value::Table(table) => self.values.extend(crate::member::entries(&table.borrow())),
            Value::List(list) => self.values.extend(list.values.borrow().iter().cloned()),
            other => self.values.push(other.clone()),
        }
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let values = std::mem::take(&mut self.values);
        let columns = call.argument("Property").map(Column::parse_all).transpose()?.unwrap_or_default();
        let group = call.argument("GroupBy").map(Column::parse_all).transpose()?.and_then(|mut group| group.pop());
        let mut rest = values.as_slice();
        while !rest.is_empty() {
            let (label, length) = match &group {
                Some(group) => same(context, group, rest)?,
                None => (None, rest.len()),
            };
            let (now, later) = rest.split_at(length);
            let page = match self.layout {
                Layout::List => list(context, &columns, now, label)?,
                Layout::Table => table(context, call, &columns, now, label)?,
                Layout::Wide => wide(context, call, &columns, now)?,
            };
            for one in page {
                context.value(one)?;
            }
            rest = later;
        }
        Ok(())
    }
}

/// How many of the first values have the same value in the column that groups, and what is said over them.
fn same(context: &mut dyn Context, group: &Column, values: &[Value]) -> Result<(Option<String>, usize), Fault> {
    let mut first: Option<String> = None;
    let mut length = 0;
    for value in values {
        let text = convert::joined(&group.value(context, value)?.unwrap_or_default(), ", ");
        match &first {
            Some(first) if *first != text => break,
            Some(_) => {}
            None => first = Some(text),
        }
        length += 1;
    }
    Ok((Some(format!("{}: {}", group.title(), first.unwrap_or_default())), length))
}

/// Whether a value is text or a number, which has no properties worth a row.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Object(_) | Value::Table(_) | Value::Span(_) | Value::Fault(_) | Value::Time(_) => false,
        Value::Foreign(foreign) => foreign.properties().is_empty(),
        _ => true,
    }
}

fn list(
    context: &mut dyn Context,
    columns: &[Column],
    values: &[Value],
    group: Option<String>,
) -> Result<Vec<Value>, Fault> {
    let most = cell::elements_max(context);
    let mut pages = Vec::new();
    let mut page = ListPage { group, objects: Vec::new() };
    for value in values {
        context.check()?;
        if columns.is_empty() && is_plain(value) {
            pages.push(Page::Lines(vec![convert::text(value)]).value());
            continue;
        }
        let own: Vec<Column> = if columns.is_empty() {
            column::names(value).into_iter().map(Column::property).collect()
        } else {
            columns.iter().flat_map(|column| column.expand(value)).collect()
        };
        page.objects.push(format::list_rows(context, &own, value, most)?);
    }
    if !page.objects.is_empty() {
        pages.push(Page::List(page).value());
    }
    Ok(pages)
}

fn table(
    context: &mut dyn Context,
    call: &Call<'_>,
    columns: &[Column],
    values: &[Value],
    group: Option<String>,
) -> Result<Vec<Value>, Fault> {
    /// Without a choice, a table shows so many of the first properties.
    const COLUMNS_MAX: usize = 10;
    let most = cell::elements_max(context);
    let (plain, values): (Vec<&Value>, Vec<&Value>) =
        values.iter().partition(|value| columns.is_empty() && is_plain(value));
    let mut pages: Vec<Value> = plain.iter().map(|value| Page::Lines(vec![convert::text(value)]).value()).collect();
    let Some(first) = values.first() else { return Ok(pages) };
    let own: Vec<Column> = if columns.is_empty() {
        format::default_columns(first)
            .unwrap_or_else(|| column::names(first).into_iter().take(COLUMNS_MAX).map(Column::property).collect())
    } else {
        columns.iter().flat_map(|column| column.expand(first)).collect()
    };
    let mut page = TablePage {
        group,
        columns: own.iter().map(Column::header).collect(),
        rows: Vec::new(),
        hides_headers: call.is_set("HideTableHeaders"),
        wraps: call.is_set("Wrap"),
    };
    for value in values {
        context.check()?;
        page.rows.push(format::row(context, &own, value, most)?);
    }
    pages.push(Page::Table(page).value());
    Ok(pages)
}

fn wide(context: &mut dyn Context, call: &Call<'_>, columns: &[Column], values: &[Value]) -> Result<Vec<Value>, Fault> {
    let most = cell::elements_max(context);
    let mut texts = Vec::new();
    for value in values {
        context.check()?;
        let chosen = match columns.first() {
            Some(column) => Some(column.clone()),
            None => column::names(value).into_iter().next().filter(|_| !is_plain(value)).map(Column::property),
        };
        texts.push(match chosen {
            Some(column) => cell::text(&column.value(context, value)?.unwrap_or_default(), most),
            None => convert::text(value),
        });
    }
    let width = context.world().width();
    let widest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(1) + 1;
    let count = match call.argument("Column") {
        Some(count) => usize::try_from(convert::integer(count)?).unwrap_or(1),
        None if call.is_set("AutoSize") => width / widest,
        None => 2,
    };
    let count = count.max(1);
    let each = (width / count).max(1);
    let mut lines = vec![String::new()];
    for row in texts.chunks(count) {
        let cells: Vec<String> = row.iter().map(|text| format!("{text:<each$}")).collect();
        lines.push(cells.concat().trim_end().to_owned());
    }
    lines.push(String::new());
    Ok(vec![Page::Lines(lines).value()])
}

/// Out-Null.
pub(super) const OUT_NULL: StockCommand = StockCommand {
    signature: &Signature { name: "Out-Null", synopsis: "Drops objects.", parameters: &[input()], ..SIGNATURE },
    make: || Box::new(Nothing),
};

struct Nothing;

impl Stage for Nothing {
    fn process(&mut self, _context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        Ok(())
    }
}

/// Out-Default.
pub(super) const OUT_DEFAULT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Out-Default",
        synopsis: "Shows objects on the screen: the end of every pipeline that has no other.",
        parameters: &[switch("Transcript", "Taken, and of no consequence."), input()],
        ..SIGNATURE
    },
    make: || Box::new(Screen),
};

/// Out-Host.
pub(super) const OUT_HOST: StockCommand = StockCommand {
    signature: &Signature {
        name: "Out-Host",
        synopsis: "Shows objects on the screen.",
        parameters: &[switch("Paging", "Taken, and of no consequence."), input()],
        ..SIGNATURE
    },
    make: || Box::new(Screen),
};

struct Screen;

impl Stage for Screen {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        match input.or_else(|| call.argument("InputObject")) {
            Some(input) => context.show(Some(input)),
            None => Ok(()),
        }
    }

    fn end(&mut self, context: &mut dyn Context, _call: &Call<'_>) -> Result<(), Fault> {
        context.show(None)
    }
}

/// Out-String.
pub(super) const OUT_STRING: StockCommand = StockCommand {
    signature: &Signature {
        name: "Out-String",
        synopsis: "Makes one text of what objects would look like on the screen.",
        parameters: &[
            named("Width", Kind::Int, "So many columns."),
            switch("Stream", "Line by line."),
            switch("NoNewline", "Without line ends."),
            input(),
        ],
        ..SIGNATURE
    },
    make: || Box::new(OutString::default()),
};

/// The width that a command was told, or that of the screen.
fn width(context: &mut dyn Context, call: &Call<'_>) -> Result<usize, Fault> {
    /// More columns than any line has.
    const WIDTH_MAX: i64 = 1_000_000;
    match call.argument("Width") {
        Some(width) => {
            let width = convert::integer(width)?;
            usize::try_from(width.min(WIDTH_MAX)).ok().filter(|width| *width > 1).ok_or_else(|| {
                Fault::new(Category::InvalidArgument, format!("-Width wants a number of columns from 2, not {width}."))
            })
        }
        None => Ok(context.world().width()),
    }
}

#[derive(Default)]
struct OutString {
    printer: Printer,
    text: String,
}

impl Stage for OutString {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        let before = self.text.len();
        let columns = width(context, call)?;
        self.printer.take(context, input, columns, &mut self.text)?;
        context.charge(self.text.len() - before)
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let columns = width(context, call)?;
        self.printer.flush(context, columns, &mut self.text)?;
        let text = std::mem::take(&mut self.text);
        if call.is_set("Stream") {
            return text.lines().try_for_each(|line| context.value(Value::text(line)));
        }
        context.value(Value::text(if call.is_set("NoNewline") { text.replace('\n', "") } else { text }))
    }
}

/// Out-File.
pub(super) const OUT_FILE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Out-File",
        synopsis: "Writes to a file what objects would look like on the screen.",
        parameters: &[
            also(&["LiteralPath", "Path", "PSPath"], at(0, "FilePath", ANY, "The file.")),
            at(1, "Encoding", Kind::Text, "UTF8, Unicode, ASCII ...; UTF-8 without a mark if not given."),
            switch("Append", "Adds to the file's end."),
            switch("Force", "Taken, and of no consequence."),
            also(&["NoOverwrite"], switch("NoClobber", "Refuses when there is such a file.")),
            switch("NoNewline", "Without line ends."),
            named("Width", Kind::Int, "So many columns."),
            input(),
        ],
        changes: crate::command::Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(OutFile::default()),
};

#[derive(Default)]
struct OutFile {
    printer: Printer,
    text: String,
    is_begun: bool,
    is_dry: bool,
}

/// Text that is held before it is written.
const WRITE_BYTES: usize = 1 << 20;

impl OutFile {
    fn save(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let path = target(call)?;
        let text = std::mem::take(&mut self.text);
        let text = if call.is_set("NoNewline") { text.replace('\n', "") } else { text };
        let is_append = self.is_begun || call.is_set("Append");
        self.is_begun = true;
        if self.is_dry {
            return Ok(());
        }
        file::write(context, &path, &text, file::encoding(call)?, is_append)
    }
}

fn target(call: &Call<'_>) -> Result<String, Fault> {
    match call.argument("FilePath").map(file::path_text) {
        Some(path) if !path.is_empty() => Ok(path),
        _ => Err(Fault::new(
            Category::InvalidArgument,
            "Cannot bind argument to parameter 'FilePath' because it is empty: write the path of a file.",
        )),
    }
}

impl Stage for OutFile {
    fn begin(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let path = target(call)?;
        file::encoding(call)?;
        if call.is_set("NoClobber") && matches!(context.world().entry(&path), Ok(Some(_))) {
            return Err(crate::path::failed(&path, &std::io::Error::from(std::io::ErrorKind::AlreadyExists)));
        }
        self.is_dry = call.is_what_if && !context.should_process(call, "Output to File", &path)?;
        Ok(())
    }

    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        let columns = width(context, call)?;
        self.printer.take(context, input, columns, &mut self.text)?;
        if self.text.len() >= WRITE_BYTES { self.save(context, call) } else { Ok(()) }
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let columns = width(context, call)?;
        self.printer.flush(context, columns, &mut self.text)?;
        self.save(context, call)
    }
}

/// Out-GridView.
pub(super) const OUT_GRID: StockCommand = StockCommand {
    signature: &Signature {
        name: "Out-GridView",
        synopsis: "Shows objects as a table on the screen: there are no windows here.",
        parameters: &[
            named("Title", Kind::Text, "What stands over the table."),
            switch("PassThru", "Hands the objects on."),
            switch("Wait", "Taken, and of no consequence."),
            named("OutputMode", Kind::Text, "Single or Multiple hands the objects on."),
            input(),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Grid::default()),
};

#[derive(Default)]
struct Grid {
    values: Vec<Value>,
}

impl Stage for Grid {
    fn process(&mut self, _context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        self.values.extend(input.or_else(|| call.argument("InputObject")).cloned());
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        context.warning("Out-GridView opens no window here; the table follows.");
        if let Some(title) = call.argument("Title").map(convert::text) {
            context.write(Stream::Host, &format!("{title}\n"), (None, None))?;
        }
        let columns = context.world().width();
        for page in table(context, call, &[], &self.values, None)? {
            if let Some(page) = page.downcast::<Page>() {
                let text = page.text(columns);
                context.write(Stream::Host, &text, (None, None))?;
            }
        }
        if call.is_set("PassThru") || call.argument("OutputMode").is_some() {
            return std::mem::take(&mut self.values).into_iter().try_for_each(|value| context.value(value));
        }
        Ok(())
    }
}
