//! ConvertTo-Html: a page or a table for mail and reports.

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert;
use crate::fault::Fault;
use crate::format::column::{self, Column};
use crate::member::escaped;
use crate::value::Value;

use super::parameter::{ANY, SIGNATURE, VALUES, also, at, input, named, switch};

/// ConvertTo-Html.
pub(super) const TO_HTML: StockCommand = StockCommand {
    signature: &Signature {
        name: "ConvertTo-Html",
        synopsis: "Makes a page of HTML with a table of objects, line by line.",
        parameters: &[
            at(0, "Property", VALUES, "Names, wildcards, or @{ Name = 'Title'; Expression = { } }."),
            at(1, "Head", ANY, "What stands in the head."),
            at(2, "Title", Kind::Text, "The page's title."),
            at(3, "Body", ANY, "What stands before the table."),
            named("PreContent", ANY, "What stands before the table."),
            named("PostContent", ANY, "What stands after it."),
            also(&["cu", "uri"], named("CssUri", Kind::Text, "A style sheet.")),
            named(
                "As",
                Kind::OneOf(&["Table", "List"]),
                "A table with a row for each object, or one for each property.",
            ),
            switch("Fragment", "The table alone."),
            input(),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Html::default()),
};

#[derive(Default)]
struct Html {
    values: Vec<Value>,
}

impl Stage for Html {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        context.charge(size_of::<Value>())?;
        self.values.extend(input.or_else(|| call.argument("InputObject")).cloned());
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let values = std::mem::take(&mut self.values);
        let columns = call.argument("Property").map(Column::parse_all).transpose()?.unwrap_or_default();
        let columns: Vec<Column> = match values.first() {
            Some(first) if columns.is_empty() => column::names(first).into_iter().map(Column::property).collect(),
            Some(first) => columns.iter().flat_map(|column| column.expand(first)).collect(),
            None => columns,
        };
        let raw = |name: &str| call.argument(name).map(|value| convert::joined(value, "\n")).unwrap_or_default();
        let mut lines = Vec::new();
        if !call.is_set("Fragment") {
            let title = call.argument("Title").map_or_else(|| "HTML TABLE".to_owned(), convert::text);
            lines.push("<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\"  \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\">".to_owned());
            lines.push("<html xmlns=\"http://www.w3.org/1999/xhtml\">".to_owned());
            lines.push("<head>".to_owned());
            match call.argument("Head") {
                Some(_) => lines.push(raw("Head")),
                None => lines.push(format!("<title>{}</title>", escaped(&title))),
            }
            if let Some(style) = call.argument("CssUri").map(convert::text) {
                lines.push(format!("<link rel=\"stylesheet\" type=\"text/css\" href=\"{}\" />", escaped(&style)));
            }
            lines.push("</head><body>".to_owned());
        }
        lines.extend(["Body", "PreContent"].map(raw).into_iter().filter(|text| !text.is_empty()));
        lines.push("<table>".to_owned());
        let is_list = call.argument("As").is_some_and(|value| convert::text(value) == "List");
        if !is_list {
            lines.push(format!("<colgroup>{}</colgroup>", "<col/>".repeat(columns.len())));
            let titles: String =
                columns.iter().map(|column| format!("<th>{}</th>", escaped(&column.title()))).collect();
            lines.push(format!("<tr>{titles}</tr>"));
        }
        for (place, value) in values.iter().enumerate() {
            context.check()?;
            if is_list && place > 0 {
                lines.push("<tr><td><hr></td></tr>".to_owned());
            }
            let mut row = String::new();
            for column in &columns {
                let text = escaped(&convert::property_text(&column.value(context, value)?.unwrap_or_default()));
                if is_list {
                    lines.push(format!("<tr><td>{}:</td><td>{text}</td></tr>", escaped(&column.title())));
                } else {
                    row += &format!("<td>{text}</td>");
                }
            }
            if !is_list {
                context.charge(row.len())?;
                lines.push(format!("<tr>{row}</tr>"));
            }
        }
        lines.push("</table>".to_owned());
        lines.extend(Some(raw("PostContent")).filter(|text| !text.is_empty()));
        if !call.is_set("Fragment") {
            lines.push("</body></html>".to_owned());
        }
        lines.into_iter().try_for_each(|line| context.value(Value::text(line)))
    }
}
