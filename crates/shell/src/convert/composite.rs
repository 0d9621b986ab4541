//! `-f` and `[string]::Format`: text with places `{0,-10:N2}` for values.

use crate::fault::{Category, Fault};
use crate::value::Value;

/// Columns that a place may be wide.
const WIDTH_MAX: usize = 10_000;

/// Fills the places of `format` with `values`.
///
/// # Errors
/// When a place has no value, or the text is no format.
pub fn fill(format: &str, values: &[Value]) -> Result<String, Fault> {
    let invalid = |because: String| {
        let mut fault = Fault::new(Category::InvalidOperation, format!("Error formatting a string: {because}"));
        fault.exception = "System.FormatException";
        fault
    };
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out += &rest[..at];
        let brace = &rest[at..=at];
        let after = &rest[at + 1..];
        if after.starts_with(brace) {
            out += brace;
            rest = &after[1..];
            continue;
        }
        if brace == "}" {
            return Err(invalid("a } stands alone; write }} for the sign itself.".to_owned()));
        }
        let Some(end) = after.find('}') else {
            return Err(invalid("a { has no }; write {{ for the sign itself.".to_owned()));
        };
        let place = &after[..end];
        let (head, form) = place.split_once(':').map_or((place, ""), |(head, form)| (head, form));
        let (index, width) = head.split_once(',').map_or((head, "0"), |(index, width)| (index, width));
        let index: usize = index.trim().parse().map_err(|_| {
            invalid(format!("{{{place}}} is no place; write {{0}} for the first value, {{{{ for the sign itself."))
        })?;
        let value = values.get(index).ok_or_else(|| {
            invalid(format!("Index (zero based) must be less than the size of the argument list: {{{index}}}."))
        })?;
        let width: isize =
            width.trim().parse().map_err(|_| invalid(format!("{{{place}}} has no width that is known.")))?;
        if width.unsigned_abs() > WIDTH_MAX {
            return Err(invalid(format!("{{{place}}} is wider than {WIDTH_MAX} columns.")));
        }
        let text = value_text(value, form)?;
        let padding = " ".repeat(width.unsigned_abs().saturating_sub(text.chars().count()));
        if width < 0 {
            out += &text;
            out += &padding;
        } else {
            out += &padding;
            out += &text;
        }
        rest = &after[end + 1..];
    }
    Ok(out + rest)
}

/// One value in a .NET format; empty: as it is.
///
/// # Errors
/// When the value's type does not know the format.
pub fn value_text(value: &Value, form: &str) -> Result<String, Fault> {
    if let (Value::Time(moment), "") = (value, form) {
        return Ok(super::time::cell(moment));
    }
    if form.is_empty() {
        return Ok(super::text(value));
    }
    match value {
        Value::Int(_) | Value::Float(_) => super::number::format(value, form),
        Value::Time(moment) => super::time::format(moment, form),
        Value::Span(span) => super::time::format_span(*span, form),
        other => Ok(super::text(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::TimeSpan;

    #[test]
    fn places_are_filled_aligned_and_formatted() {
        let values =
            [Value::text("Relay"), Value::Int(7), Value::Float(2.5), Value::Span(TimeSpan { ticks: 600_000_000 })];
        for (format, expected) in [
            ("{0}: {1}", "Relay: 7"),
            ("[{0,-8}][{0,8}]", "[Relay   ][   Relay]"),
            ("{1:D3} {2:N2}", "007 2.50"),
            ("{{{1}}}", "{7}"),
            (r"{3:hh\:mm\:ss}", "00:01:00"),
            ("{1:X2}", "07"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(fill(format, &values).expect(format), expected);
        }
        for (format, word) in
            [("{9}", "less than"), ("{x}", "no place"), ("{", "no }"), ("}", "alone"), ("{0,99999999}", "wider")]
        {
            assert!(fill(format, &values).expect_err(format).message.contains(word), "{format}");
        }
    }
}
