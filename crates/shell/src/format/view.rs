//! What is chosen when nobody chooses: a line, a table of the columns of the value's type, or a list.

use crate::context::Context;
use crate::convert::{self, time};
use crate::fault::Fault;
use crate::value::{CUSTOM, Value, View};

use super::column::{self, Column};
use super::list::ListPage;
use super::table::TablePage;
use super::{Page, cell};

/// What Select-String finds: an object that looks like the line.
pub static LINE: View = View { type_name: "Microsoft.PowerShell.Commands.MatchInfo", table: &[], identity: "Text" };

/// Objects of a script's own making with more properties are shown as lists.
const TABLE_PROPERTIES_MAX: usize = 4;

/// The text of a value that is shown as a line of its own; `None`: it has properties to show.
pub(super) fn line(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => String::new(),
        Value::Time(moment) => format!("\n{}\n\n", time::long(moment)),
        // A line that was found is shown as it is.
        Value::Object(object) if std::ptr::eq(object.view, &LINE) => convert::text(value) + "\n",
        Value::Object(_) | Value::Table(_) | Value::Span(_) => return None,
        Value::Foreign(foreign) if !foreign.properties().is_empty() => return None,
        Value::Foreign(foreign) => match foreign.elements() {
            Some(elements) => elements.iter().map(|one| convert::text(one) + "\n").collect(),
            None => foreign.text() + "\n",
        },
        other => convert::text(other) + "\n",
    })
}

/// Whether two values that have properties may stand in one table.
pub(super) fn look_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            std::ptr::eq(one.view, other.view)
                && (!one.view.table.is_empty() || {
                    let (one, other) = (one.properties.borrow(), other.properties.borrow());
                    one.len() == other.len()
                        && one.iter().zip(other.iter()).all(|((one, _), (other, _))| one.eq_ignore_ascii_case(other))
                })
        }
        (Value::Table(_), Value::Table(_)) | (Value::Span(_), Value::Span(_)) => true,
        (Value::Foreign(one), Value::Foreign(other)) => one.type_name() == other.type_name(),
        _ => false,
    }
}

/// The columns of a table of values of this one's kind; `None`: they are shown as a list.
pub fn default_columns(value: &Value) -> Option<Vec<Column>> {
    if let Value::Object(object) = value
        && !object.view.table.is_empty()
    {
        return Some(object.view.table.iter().map(|name| Column::property(*name)).collect());
    }
    if let Value::Object(object) = value
        && !std::ptr::eq(object.view, &CUSTOM)
    {
        return None;
    }
    let names = column::names(value);
    (names.len() <= TABLE_PROPERTIES_MAX).then(|| names.into_iter().map(Column::property).collect())
}

/// Values of one kind as they are shown.
pub(super) fn default_page(context: &mut dyn Context, values: &[Value]) -> Result<Page, Fault> {
    let most = cell::elements_max(context);
    let Some(first) = values.first() else { return Ok(Page::Lines(Vec::new())) };
    if let Value::Table(_) = first {
        let mut page = TablePage {
            columns: ["Name", "Value"].map(|name| Column::property(name).header()).to_vec(),
            ..TablePage::default()
        };
        for value in values {
            let Value::Table(table) = value else { continue };
            page.rows.extend(
                table
                    .borrow()
                    .entries()
                    .iter()
                    .map(|(key, value)| vec![(cell::text(key, most), false), (cell::text(value, most), false)]),
            );
        }
        return Ok(Page::Table(page));
    }
    match default_columns(first) {
        Some(columns) if !columns.is_empty() => {
            let mut page = TablePage { columns: columns.iter().map(Column::header).collect(), ..TablePage::default() };
            for value in values {
                context.check()?;
                page.rows.push(row(context, &columns, value, most)?);
            }
            Ok(Page::Table(page))
        }
        Some(_) => Ok(Page::Lines(Vec::new())),
        None => {
            let mut page = ListPage::default();
            for value in values {
                context.check()?;
                let columns: Vec<Column> = column::names(value).into_iter().map(Column::property).collect();
                page.objects.push(list_rows(context, &columns, value, most)?);
            }
            Ok(Page::List(page))
        }
    }
}

/// The cells of one row.
pub(crate) fn row(
    context: &mut dyn Context,
    columns: &[Column],
    value: &Value,
    elements_max: usize,
) -> Result<Vec<(String, bool)>, Fault> {
    let mut cells = Vec::with_capacity(columns.len());
    for column in columns {
        let found = column.value(context, value)?.unwrap_or_default();
        let is_number = matches!(found, Value::Int(_) | Value::Float(_));
        cells.push((cell::text(&found, elements_max), is_number));
    }
    Ok(cells)
}

/// The names and values of one object.
pub(crate) fn list_rows(
    context: &mut dyn Context,
    columns: &[Column],
    value: &Value,
    elements_max: usize,
) -> Result<Vec<(String, String)>, Fault> {
    let mut rows = Vec::with_capacity(columns.len());
    for column in columns {
        // As in the original, a property that an object does not have has no row.
        if let Some(found) = column.value(context, value)? {
            rows.push((column.title(), cell::text(&found, elements_max)));
        }
    }
    Ok(rows)
}
