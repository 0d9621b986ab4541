//! Flags: `Tls, BasicAuth`.

use std::cmp::Ordering;
use std::rc::Rc;

use gatepost_shell::fault::Fault;
use gatepost_shell::value::{Foreign, Value};

use super::text_of::text;

/// Some of a few names.
#[derive(Debug)]
struct Flags {
    known: &'static [&'static str],
    names: Vec<String>,
}

/// These flags, of those that there are.
pub fn value(known: &'static [&'static str], names: Vec<String>) -> Value {
    Value::Foreign(Rc::new(Flags { known, names }))
}

impl Flags {
    /// The same names in the same order, whatever order and case they were written in; `None` where one is unknown.
    fn canonical(&self, text: &str) -> Option<Vec<&'static str>> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mut places = names
            .map(|name| self.known.iter().position(|known| known.eq_ignore_ascii_case(name)))
            .collect::<Option<Vec<_>>>()?;
        places.sort_unstable();
        places.dedup();
        Some(places.into_iter().map(|place| self.known[place]).collect())
    }
}

impl Foreign for Flags {
    fn type_name(&self) -> &str {
        "Microsoft.Exchange.Data.Flags"
    }

    fn text(&self) -> String {
        self.names.join(", ")
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        let [wanted] = arguments else { return None };
        if !name.eq_ignore_ascii_case("HasFlag") {
            return None;
        }
        let (wanted, own) = (self.canonical(&text(wanted))?, self.canonical(&self.text())?);
        Some(Ok(Value::Bool(wanted.iter().all(|flag| own.contains(flag)))))
    }

    fn compare(&self, _: &Value) -> Option<Ordering> {
        None
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        let other = text(other);
        match (self.canonical(&self.text()), self.canonical(&other)) {
            (Some(own), Some(others)) => Some(own == others),
            _ => Some(self.text().eq_ignore_ascii_case(other.trim())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_the_same_in_any_order_and_case() {
        let flags = Flags { known: &["None", "Tls", "BasicAuth"], names: vec!["Tls".into(), "BasicAuth".into()] };
        for (other, expected) in
            [("Tls, BasicAuth", true), ("basicauth,TLS", true), ("Tls", false), ("Tls, Kerberos", false), ("", false)]
        {
            assert_eq!(flags.equals(&Value::text(other)), Some(expected), "{other}");
        }
        for (wanted, expected) in [("tls", true), ("Tls, BasicAuth", true), ("None", false)] {
            let has = flags.call("hasflag", &[Value::text(wanted)]).expect("a method").expect("an answer");
            assert!(matches!(has, Value::Bool(has) if has == expected), "{wanted}");
        }
        assert_eq!(flags.text(), "Tls, BasicAuth");
    }
}
