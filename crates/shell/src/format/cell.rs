//! One value in a list or a table.

use crate::context::{Context, VariableScope};
use crate::convert::{self, time};
use crate::value::Value;

/// Elements of a list that a cell shows, unless `$FormatEnumerationLimit` says otherwise.
const ELEMENTS_MAX: usize = 4;

/// How many elements of a list a cell shows.
pub fn elements_max(context: &dyn Context) -> usize {
    match context
        .variable(VariableScope::Nearest, "FormatEnumerationLimit")
        .and_then(|value| convert::integer(&value).ok())
    {
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        None => ELEMENTS_MAX,
    }
}

/// A value's text in a cell: lists in braces, cut after `elements_max` of their elements.
pub fn text(value: &Value, elements_max: usize) -> String {
    match value {
        Value::Time(moment) => time::cell(moment),
        Value::List(list) => {
            let values = list.values.borrow();
            let texts = values.iter().take(elements_max).map(|one| match one {
                Value::Time(moment) => time::cell(moment),
                other => convert::text(other),
            });
            braced(texts.collect(), values.len() > elements_max)
        }
        Value::Table(table) => {
            let table = table.borrow();
            let keys = table.entries().iter().take(elements_max).map(|(key, _)| convert::text(key));
            braced(keys.collect(), table.len() > elements_max)
        }
        Value::Foreign(foreign) => match foreign.elements() {
            Some(elements) => text(&Value::array(elements), elements_max),
            None => foreign.text(),
        },
        other => convert::text(other),
    }
}

fn braced(mut texts: Vec<String>, is_cut: bool) -> String {
    if is_cut {
        return format!("{{{}...}}", texts.join(", "));
    }
    if let [only] = texts.as_mut_slice() {
        return format!("{{{only}}}");
    }
    format!("{{{}}}", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stand_in_braces_and_are_cut() {
        let list = |count: i64| Value::array((1..=count).map(Value::Int).collect());
        for (value, limit, expected) in [
            (list(0), 4, "{}"),
            (list(1), 4, "{1}"),
            (list(4), 4, "{1, 2, 3, 4}"),
            (list(5), 4, "{1, 2, 3, 4...}"),
            (list(5), usize::MAX, "{1, 2, 3, 4, 5}"),
            (Value::table([(Value::text("a"), Value::Int(1))]), 4, "{a}"),
            (Value::Null, 4, ""),
        ] {
            assert_eq!(text(&value, limit), expected);
        }
    }
}
