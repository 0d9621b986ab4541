//! Sizes: `36 MB (37,748,736 bytes)`.

use std::cmp::Ordering;
use std::rc::Rc;

use gatepost_policy::settings::parse_size;
use gatepost_shell::fault::Fault;
use gatepost_shell::value::{Foreign, Value};

/// A number of bytes.
#[derive(Debug)]
struct Size(u64);

/// The units above bytes.
const UNITS: [(&str, u32); 4] = [("KB", 10), ("MB", 20), ("GB", 30), ("TB", 40)];

/// A size of so many bytes.
pub fn of_bytes(bytes: u64) -> Value {
    Value::Foreign(Rc::new(Size(bytes)))
}

/// The size that a text is.
///
/// # Errors
/// Why it is none.
pub fn value(text: &str) -> Result<Value, String> {
    parse_size(text).map(of_bytes).ok_or_else(|| "write a size, as 36MB or 37748736".to_owned())
}

/// Digits with a comma between groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Foreign for Size {
    fn type_name(&self) -> &str {
        "Microsoft.Exchange.Data.ByteQuantifiedSize"
    }

    fn text(&self) -> String {
        let unit = UNITS.iter().rev().find(|(_, shift)| self.0 >> shift > 0);
        let head = match unit {
            None => format!("{} B", self.0),
            Some((name, shift)) => {
                // Four digits that count, as the original shows them, without zeros at the end.
                let number = self.0 as f64 / (1_u64 << shift) as f64;
                let decimals = 3_usize.saturating_sub(number.log10() as usize);
                let number = format!("{number:.decimals$}");
                let number =
                    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
                format!("{number} {name}")
            }
        };
        format!("{head} ({} bytes)", grouped(self.0))
    }

    fn properties(&self) -> &[&'static str] {
        &[]
    }

    fn property(&self, name: &str) -> Option<Value> {
        // A size that cannot be unlimited is read like one that can.
        match name.to_ascii_lowercase().as_str() {
            "value" => Some(of_bytes(self.0)),
            "isunlimited" => Some(Value::Bool(false)),
            _ => None,
        }
    }

    fn call(&self, name: &str, _: &[Value]) -> Option<Result<Value, Fault>> {
        let unit = name.get(2..).filter(|_| name.get(..2).is_some_and(|to| to.eq_ignore_ascii_case("To")))?;
        let shift = match unit.to_ascii_lowercase().as_str() {
            "bytes" => 0,
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
        };
        Some(Ok(Value::Int(i64::try_from(self.0 >> shift).unwrap_or(i64::MAX))))
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        let other = match other {
            Value::Int(bytes) => return (self.0 as i128).partial_cmp(&i128::from(*bytes)),
            Value::Float(bytes) => return (self.0 as f64).partial_cmp(bytes),
            Value::Text(text) => parse_size(text)?,
            Value::Foreign(other) => parse_size(&other.text())?,
            _ => return None,
        };
        Some(self.0.cmp(&other))
    }

    fn number(&self) -> Option<f64> {
        Some(self.0 as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_prints_as_the_original_shows_it() {
        for (bytes, shown) in [
            (37_748_736, "36 MB (37,748,736 bytes)"),
            (2_000, "1.953 KB (2,000 bytes)"),
            (262_144, "256 KB (262,144 bytes)"),
            (26_214_401, "25 MB (26,214,401 bytes)"),
            (1_610_612_736, "1.5 GB (1,610,612,736 bytes)"),
            (10, "10 B (10 bytes)"),
            (0, "0 B (0 bytes)"),
            (1 << 40, "1 TB (1,099,511,627,776 bytes)"),
        ] {
            assert_eq!(Size(bytes).text(), shown);
            assert_eq!(parse_size(shown), Some(bytes), "it reads back: {shown}");
        }
    }

    #[test]
    fn a_size_is_told_in_units_and_compared() {
        let size = Size(37_748_736);
        for (method, expected) in [("ToBytes", 37_748_736), ("tokb", 36_864), ("ToMB", 36), ("ToGB", 0)] {
            let told = size.call(method, &[]).expect(method).expect("a number");
            assert!(matches!(told, Value::Int(told) if told == expected), "{method}");
        }
        assert!(size.call("ToString", &[]).is_none());
        for (other, expected) in [
            (Value::text("36MB"), Ordering::Equal),
            (Value::Int(1 << 20), Ordering::Greater),
            (Value::Float(1e12), Ordering::Less),
            (of_bytes(37_748_737), Ordering::Less),
        ] {
            assert_eq!(size.compare(&other), Some(expected), "{other:?}");
        }
    }
}
