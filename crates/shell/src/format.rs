//! How values look on a screen: lists, tables, and what is chosen when nobody chooses.
//!
//! Takes values, hands on text with line ends. A [`Page`] is what Format-List and its kin make: rows whose cells are text
//! already, laid out when the width is known. Tables fit their content; where that is wider than the screen, the widest
//! columns give way and end in `...`. Never looks at the terminal: the caller says how wide it is.

mod view;
mod list;
mod table;
pub mod column;
mod width;
pub mod cell;

use crate::context::Context;
use crate::fault::Fault;
use crate::value::{Foreign, Value};

pub use list::ListPage;
pub use table::{Align, TableColumn, TablePage};
pub use view::{LINE, default_columns};
pub(crate) use view::{list_rows, row};

/// Columns where the width of the screen is not known: wide enough for tables in files.
pub const WIDTH_DEFAULT: usize = 120;

/// Rows that wait for a table's columns to be known; longer tables are laid out in pieces.
const ROWS_MAX: usize = 20_000;

/// Something laid out by one of the Format commands. It goes through pipelines as one value.
#[derive(Debug)]
pub enum Page {
    /// Names and values below each other.
    List(ListPage),
    /// Rows with a header.
    Table(TablePage),
    /// Lines as they are.
    Lines(Vec<String>),
}

impl Page {
    /// As text of at most this many columns, wherever that is possible.
    pub fn text(&self, columns: usize) -> String {
        match self {
            Page::List(page) => page.text(columns),
            Page::Table(page) => page.text(columns),
            Page::Lines(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
        }
    }

    /// As a value.
    pub fn value(self) -> Value {
        Value::foreign(self)
    }
}

impl Foreign for Page {
    fn type_name(&self) -> &str {
        "Microsoft.PowerShell.Commands.Internal.Format.FormatEntryData"
    }

    fn text(&self) -> String {
        self.type_name().to_owned()
    }
}

/// Takes values one by one and hands on text as soon as it is certain how they look.
#[derive(Debug, Default)]
pub struct Printer {
    /// Values that look alike and wait for more of their kind.
    pending: Vec<Value>,
}

impl Printer {
    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes a value; appends what can be written by now.
    ///
    /// # Errors
    /// When a property is computed and that fails, and Ctrl-C.
    pub fn take(
        &mut self,
        context: &mut dyn Context,
        value: &Value,
        columns: usize,
        into: &mut String,
    ) -> Result<(), Fault> {
        /// Lists within lists are opened so far; deeper ones are text.
        const DEPTH_MAX: usize = 8;
        self.take_at(context, value, columns, into, DEPTH_MAX)
    }

    fn take_at(
        &mut self,
        context: &mut dyn Context,
        value: &Value,
        columns: usize,
        into: &mut String,
        depth: usize,
    ) -> Result<(), Fault> {
        context.check()?;
        if let Some(page) = value.downcast::<Page>() {
            self.flush(context, columns, into)?;
            into.push_str(&page.text(columns));
            return Ok(());
        }
        if let Value::List(list) = value
            && depth > 0
        {
            let values = list.values.borrow().clone();
            return values.iter().try_for_each(|one| self.take_at(context, one, columns, into, depth - 1));
        }
        if let Some(line) = view::line(value) {
            self.flush(context, columns, into)?;
            into.push_str(&line);
            return Ok(());
        }
        let fits = self.pending.first().is_none_or(|first| view::look_alike(first, value));
        if !fits || self.pending.len() >= ROWS_MAX {
            self.flush(context, columns, into)?;
        }
        self.pending.push(value.clone());
        Ok(())
    }

    /// Appends what was held back.
    ///
    /// # Errors
    /// As [`take`](Printer::take).
    pub fn flush(&mut self, context: &mut dyn Context, columns: usize, into: &mut String) -> Result<(), Fault> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let values = std::mem::take(&mut self.pending);
        into.push_str(&view::default_page(context, &values)?.text(columns));
        Ok(())
    }
}

/// Values as they look when nobody says how.
///
/// # Errors
/// As [`Printer::take`].
pub fn shown(context: &mut dyn Context, values: &[Value], columns: usize) -> Result<String, Fault> {
    let mut printer = Printer::default();
    let mut text = String::new();
    for value in values {
        printer.take(context, value, columns, &mut text)?;
    }
    printer.flush(context, columns, &mut text)?;
    Ok(text)
}
