//! Which properties a command takes and what it calls them: names, wildcards, blocks, `@{ Name = ...; Expression = { } }`.

use std::rc::Rc;

use crate::context::{BlockScope, Context};
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault};
use crate::member;
use crate::syntax::ScriptBlock;
use crate::value::Value;

use super::{Align, TableColumn};

/// One column as a command was told of it.
#[derive(Clone, Debug)]
pub struct Column {
    /// What it is called; `None`: as the property, or as the block is written.
    pub label: Option<String>,
    /// What its value is.
    pub source: ColumnSource,
    /// A .NET format for its values.
    pub form: Option<String>,
    /// For tables.
    pub width: Option<usize>,
    /// For tables.
    pub align: Option<Align>,
    /// For Sort-Object.
    pub is_descending: Option<bool>,
}

/// What the values of a column are.
#[derive(Clone, Debug)]
pub enum ColumnSource {
    /// A property, or several by a wildcard.
    Property(String),
    /// What a block yields with the object as `$_`.
    Block(Rc<ScriptBlock>),
}

impl Column {
    /// The column of a property.
    pub fn property(name: impl Into<String>) -> Column {
        Column {
            label: None,
            source: ColumnSource::Property(name.into()),
            form: None,
            width: None,
            align: None,
            is_descending: None,
        }
    }

    /// Reads the value of `-Property`.
    ///
    /// # Errors
    /// When a table has keys that are not known, or no expression.
    pub fn parse_all(value: &Value) -> Result<Vec<Column>, Fault> {
        convert::elements(value).iter().map(Column::parse).collect()
    }

    fn parse(value: &Value) -> Result<Column, Fault> {
        let table = match value {
            Value::Block(block) => {
                return Ok(Column { source: ColumnSource::Block(block.clone()), ..Column::property("") });
            }
            Value::Table(table) => table.borrow(),
            name => return Ok(Column::property(convert::text(name))),
        };
        const KEYS: [&str; 8] =
            ["name", "label", "expression", "formatstring", "width", "alignment", "descending", "ascending"];
        let mut column = Column::property("");
        let mut has_expression = false;
        for (key, value) in table.entries() {
            let key = convert::text(key).to_ascii_lowercase();
            // A beginning will do: n, l, e, f, w, a.
            let known = KEYS.iter().copied().find(|known| !key.is_empty() && known.starts_with(key.as_str()));
            match known {
                Some("name" | "label") => column.label = Some(convert::text(value)),
                Some("expression") => {
                    has_expression = true;
                    column.source = match value {
                        Value::Block(block) => ColumnSource::Block(block.clone()),
                        name => ColumnSource::Property(convert::text(name)),
                    };
                }
                Some("formatstring") => column.form = Some(convert::text(value)),
                Some("width") => {
                    column.width = usize::try_from(convert::integer(value)?).ok().filter(|width| *width > 0)
                }
                Some("alignment") => {
                    column.align = Some(match convert::text(value).to_ascii_lowercase().as_str() {
                        "right" => Align::Right,
                        "center" => Align::Center,
                        _ => Align::Left,
                    });
                }
                Some("descending") => column.is_descending = Some(convert::truth(value)),
                Some("ascending") => column.is_descending = Some(!convert::truth(value)),
                _ => {
                    return Err(Fault::new(
                        Category::InvalidArgument,
                        format!(
                            "The key \"{key}\" of a calculated property is not known; write \
                             @{{ Name = 'Title'; Expression = {{ $_.Property }} }}."
                        ),
                    ));
                }
            }
        }
        if !has_expression {
            match &column.label {
                Some(label) => column.source = ColumnSource::Property(label.clone()),
                None => {
                    return Err(Fault::new(
                        Category::InvalidArgument,
                        "A calculated property has no expression; write @{ Name = 'Title'; Expression = { $_.Property } }.",
                    ));
                }
            }
        }
        Ok(column)
    }

    /// What it is called.
    pub fn title(&self) -> String {
        match (&self.label, &self.source) {
            (Some(label), _) => label.clone(),
            (None, ColumnSource::Property(name)) => name.clone(),
            (None, ColumnSource::Block(block)) => block.source.slice(block.span).trim().to_owned(),
        }
    }

    /// For a table.
    pub fn header(&self) -> TableColumn {
        TableColumn { title: self.title(), align: self.align, width: self.width }
    }

    /// The columns that a wildcard stands for on an object; itself otherwise. The name is spelt as the object has it.
    pub fn expand(&self, object: &Value) -> Vec<Column> {
        let ColumnSource::Property(pattern) = &self.source else { return vec![self.clone()] };
        let named = |name: &str| Column { source: ColumnSource::Property(name.to_owned()), ..self.clone() };
        let names = names(object);
        if wildcard::is_pattern(pattern) {
            return names
                .iter()
                .filter(|name| wildcard::matches(pattern, name, false))
                .map(|name| named(name))
                .collect();
        }
        match names.iter().find(|name| name.eq_ignore_ascii_case(pattern)) {
            Some(name) => vec![named(name)],
            None => vec![self.clone()],
        }
    }

    /// The value for an object; `None`: there is no such property.
    ///
    /// # Errors
    /// Of the block: only Ctrl-C and limits; what else fails in it yields nothing, as in the original.
    pub fn value(&self, context: &mut dyn Context, object: &Value) -> Result<Option<Value>, Fault> {
        let found = match &self.source {
            ColumnSource::Property(name) => match (object, name.to_ascii_lowercase().as_str()) {
                // The length and count that all values have are no columns.
                (Value::Object(own), "count" | "length") => own.get(name),
                _ => member::property(context, object, name)?,
            },
            ColumnSource::Block(block) => {
                let yields = context.call_block(block, BlockScope::Own, Some(object.clone()), &[]);
                match yields {
                    Ok(yields) => Some(convert::gathered(yields)),
                    Err(fault) if fault.severity == crate::fault::Severity::Final => return Err(fault),
                    Err(_) => Some(Value::Null),
                }
            }
        };
        match (&self.form, found) {
            (Some(form), Some(value)) => {
                let text = if form.contains('{') {
                    convert::composite::fill(form, &[value])?
                } else {
                    convert::composite::value_text(&value, form)?
                };
                Ok(Some(Value::text(text)))
            }
            (_, found) => Ok(found),
        }
    }
}

/// The names of the properties of a value that show: methods do not.
pub fn names(object: &Value) -> Vec<String> {
    match object {
        Value::Object(own) => own
            .properties
            .borrow()
            .iter()
            .filter(|(_, value)| !member::is_method(value))
            .map(|(name, _)| name.to_string())
            .collect(),
        other => member::property_names(other),
    }
}
