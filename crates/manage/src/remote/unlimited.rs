//! Numbers and sizes that may be without a limit.

use std::cmp::Ordering;
use std::rc::Rc;

use gatepost_shell::fault::Fault;
use gatepost_shell::value::{Foreign, Value};
use serde_json::Value as Json;

use super::size;
use super::text_of::text;

/// A number, a size, or `Unlimited`.
#[derive(Debug)]
struct Unlimited {
    /// `None`: without a limit.
    limit: Option<Value>,
}

/// What the server says, where `limit` makes a value of what is no `unlimited`.
pub fn of(value: Json, limit: impl FnOnce(Json) -> Value) -> Value {
    let limit = match value {
        Json::Null => return Value::Null,
        Json::String(text) if text.eq_ignore_ascii_case("unlimited") => None,
        value => Some(limit(value)),
    };
    Value::Foreign(Rc::new(Unlimited { limit }))
}

/// What a text says: `unlimited`, a number, a size.
///
/// # Errors
/// Why it is none of them.
pub fn value(text: &str) -> Result<Value, String> {
    let text = text.trim();
    let limit = match text.parse() {
        _ if text.eq_ignore_ascii_case("unlimited") => None,
        Ok(number) => Some(Value::Int(number)),
        Err(_) => Some(size::value(text).map_err(|_| "write a number, a size, or unlimited".to_owned())?),
    };
    Ok(Value::Foreign(Rc::new(Unlimited { limit })))
}

impl Foreign for Unlimited {
    fn type_name(&self) -> &str {
        match &self.limit {
            Some(Value::Foreign(_)) => {
                "Microsoft.Exchange.Data.Unlimited`1[Microsoft.Exchange.Data.ByteQuantifiedSize]"
            }
            _ => "Microsoft.Exchange.Data.Unlimited`1[System.Int32]",
        }
    }

    fn text(&self) -> String {
        self.limit.as_ref().map_or_else(|| "Unlimited".to_owned(), text)
    }

    fn property(&self, name: &str) -> Option<Value> {
        match name.to_ascii_lowercase().as_str() {
            "isunlimited" => Some(Value::Bool(self.limit.is_none())),
            "value" => Some(self.limit.clone().unwrap_or_default()),
            _ => None,
        }
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        match &self.limit {
            Some(Value::Foreign(limit)) => limit.call(name, arguments),
            _ => None,
        }
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        let other_is_unlimited = text(other).trim().eq_ignore_ascii_case("unlimited");
        match (&self.limit, other_is_unlimited) {
            (None, true) => Some(Ordering::Equal),
            (None, false) => Some(Ordering::Greater),
            (Some(_), true) => Some(Ordering::Less),
            (Some(Value::Foreign(limit)), false) => limit.compare(other),
            (Some(limit), false) => {
                let number = |value: &Value| text(value).trim().parse::<f64>().ok();
                number(limit)?.partial_cmp(&number(other)?)
            }
        }
    }

    fn number(&self) -> Option<f64> {
        match self.limit.as_ref()? {
            Value::Int(number) => Some(*number as f64),
            Value::Foreign(limit) => limit.number(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Rc<dyn Foreign> {
        match value(text) {
            Ok(Value::Foreign(value)) => value,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn without_a_limit_is_more_than_any() {
        for (one, other, expected) in [
            ("unlimited", Value::text("UNLIMITED"), Ordering::Equal),
            ("unlimited", Value::Int(1 << 40), Ordering::Greater),
            ("20", Value::text("unlimited"), Ordering::Less),
            ("20", Value::text("5"), Ordering::Greater),
            ("20", Value::Int(20), Ordering::Equal),
            ("35MB", Value::text("36MB"), Ordering::Less),
        ] {
            assert_eq!(parse(one).compare(&other), Some(expected), "{one} {other:?}");
        }
        assert_eq!(parse("Unlimited").text(), "Unlimited");
        assert!(value("much").is_err());
    }
}
