//! `[version]`: two to four numbers, which scripts also use to put IPv4 addresses in order.

use std::cmp::Ordering;

use crate::convert;
use crate::fault::Fault;
use crate::value::{Foreign, Value};

/// Major, minor, build, revision; -1 for what was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [i64; 4]);

impl Version {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Version> {
        let mut parts = [-1; 4];
        let mut count = 0;
        for part in text.trim().split('.') {
            let number: u32 = part.parse().ok().filter(|_| part.bytes().all(|digit| digit.is_ascii_digit()))?;
            *parts.get_mut(count)? = i64::from(number);
            count += 1;
        }
        (count >= 2).then_some(Version(parts))
    }

    /// Of a value: text, another version, or what has such a text (an address).
    pub fn of(value: &Value) -> Option<Version> {
        match value.downcast::<Version>() {
            Some(version) => Some(*version),
            None => Version::parse(&convert::text(value)),
        }
    }
}

impl Foreign for Version {
    fn type_name(&self) -> &str {
        "System.Version"
    }

    fn text(&self) -> String {
        let parts: Vec<String> = self.0.iter().take_while(|part| **part >= 0).map(i64::to_string).collect();
        parts.join(".")
    }

    fn properties(&self) -> &[&'static str] {
        &["Major", "Minor", "Build", "Revision"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        let at = self.properties().iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(Value::Int(self.0[at]))
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        if !name.eq_ignore_ascii_case("ToString") {
            return None;
        }
        let most = arguments.first().and_then(|count| convert::integer(count).ok()).unwrap_or(4).clamp(1, 4) as usize;
        let parts: Vec<String> = self.0[..most].iter().take_while(|part| **part >= 0).map(i64::to_string).collect();
        Some(Ok(Value::text(parts.join("."))))
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        Version::of(other).map(|other| self.cmp(&other))
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        Some(Version::of(other) == Some(*self))
    }
}
