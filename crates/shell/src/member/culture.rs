//! Languages and regions, as far as scripts ask for one: there is one.

use crate::convert;
use crate::fault::Fault;
use crate::value::{Foreign, Value};

/// `[System.Globalization.CultureInfo]`: all are taken, one is used.
#[derive(Debug)]
pub(super) struct Culture(pub String);

impl Foreign for Culture {
    fn type_name(&self) -> &str {
        "System.Globalization.CultureInfo"
    }

    fn text(&self) -> String {
        self.0.clone()
    }

    fn properties(&self) -> &[&'static str] {
        &["Name", "DisplayName"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        match name.to_ascii_lowercase().as_str() {
            "name" | "displayname" | "englishname" => Some(Value::text(&self.0)),
            "lcid" => Some(Value::Int(127)),
            "textinfo" => Some(Value::foreign(TextOfCulture)),
            "datetimeformat" | "numberformat" => Some(Value::foreign(Culture(self.0.clone()))),
            _ => None,
        }
    }
}

/// `(Get-Culture).TextInfo`.
#[derive(Debug)]
pub(super) struct TextOfCulture;

impl Foreign for TextOfCulture {
    fn type_name(&self) -> &str {
        "System.Globalization.TextInfo"
    }

    fn text(&self) -> String {
        self.type_name().to_owned()
    }

    fn property(&self, name: &str) -> Option<Value> {
        name.eq_ignore_ascii_case("ListSeparator").then(|| Value::text(","))
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        let text = arguments.first().map(convert::text).unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "totitlecase" => {
                let mut is_start = true;
                let mut title = String::new();
                for sign in text.chars() {
                    if is_start {
                        title.extend(sign.to_uppercase())
                    } else {
                        title.push(sign)
                    }
                    is_start = !sign.is_alphanumeric() && sign != '\'';
                }
                Some(Ok(Value::text(title)))
            }
            "toupper" => Some(Ok(Value::text(text.to_uppercase()))),
            "tolower" => Some(Ok(Value::text(text.to_lowercase()))),
            _ => None,
        }
    }
}
