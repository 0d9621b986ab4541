//! `[Convert]`, `[BitConverter]`, `[WebUtility]`: values as other values, as bytes, as text for other places.

use crate::context::Context;
use crate::convert;
use crate::fault::Fault;
use crate::member::arguments::{Arguments, invalid};
use crate::member::kind;
use crate::member::tool::{bytes, bytes_value};
use crate::syntax::TypeName;
use crate::value::Value;

use super::Answer;

pub(super) fn web(lower: &str, arguments: &Arguments<'_>) -> Answer {
    let text = arguments.text(0);
    Some(match lower {
        "htmlencode" => text.map(|text| Value::text(escaped(&text))),
        "htmldecode" => text.map(|text| {
            let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
            Value::text(plain.replace("&amp;", "&"))
        }),
        "urlencode" => text.map(|text| {
            Value::text(
                text.bytes()
                    .map(|byte| match byte {
                        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
                        b' ' => "+".to_owned(),
                        other => format!("%{other:02X}"),
                    })
                    .collect::<String>(),
            )
        }),
        _ => return None,
    })
}

/// Text for HTML and XML.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            other => out.push(other),
        }
    }
    out
}

pub(super) fn call(context: &mut dyn Context, lower: &str, arguments: &Arguments<'_>) -> Answer {
    let mut to = |name: &str| -> Result<Value, Fault> {
        let wanted = TypeName { name: name.to_owned(), arguments: Vec::new(), array_depth: 0 };
        // A second number is the base that the text is written in.
        if let (Some(Value::Int(base @ (2 | 8 | 16))), Some(Value::Text(text))) =
            (arguments.values.get(1), arguments.values.first())
        {
            let digits = text.trim().trim_start_matches("0x").trim_start_matches("0X");
            let number = i64::from_str_radix(digits, *base as u32)
                .map_err(|_| invalid("Could not find any recognizable digits."))?;
            return kind::cast(context, &wanted, &Value::Int(number));
        }
        kind::cast(context, &wanted, arguments.need(1).map(|values| &values[0])?)
    };
    Some(match lower {
        "toint32" => to("int"),
        "toint64" => to("long"),
        "toint16" => to("int16"),
        "touint16" => to("uint16"),
        "touint32" => to("uint32"),
        "touint64" => to("uint64"),
        "tobyte" => to("byte"),
        "todouble" | "todecimal" | "tosingle" => to("double"),
        "todatetime" => to("datetime"),
        "tochar" => to("char"),
        "toboolean" => match arguments.values.first() {
            Some(Value::Text(text)) if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
            Some(Value::Text(text)) if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
            Some(Value::Text(_)) => Err(invalid("String was not recognized as a valid Boolean.")),
            _ => to("bool"),
        },
        "tostring" => match (arguments.values.first(), arguments.values.get(1)) {
            (Some(number), Some(Value::Int(base))) => convert::integer(number).and_then(|number| {
                // A negative number of 32 bits shows 32 bits.
                let bits = i32::try_from(number).map_or(number as u64, |small| u64::from(small as u32));
                Ok(Value::text(match base {
                    2 => format!("{bits:b}"),
                    8 => format!("{bits:o}"),
                    10 => number.to_string(),
                    16 => format!("{bits:x}"),
                    _ => return Err(invalid("Invalid Base.")),
                }))
            }),
            (value, _) => Ok(Value::text(value.map(convert::text).unwrap_or_default())),
        },
        "tobase64string" => arguments.need(1).and_then(|values| bytes(&values[0])).map(|bytes| Value::text(base64(&bytes))),
        "frombase64string" => arguments.text(0).and_then(|text| {
            let bytes = unbase64(&text).ok_or_else(|| {
                invalid("The input is not a valid Base-64 string as it contains a non-base 64 character, or more than two padding characters.")
            })?;
            context.charge(bytes.len() * size_of::<Value>())?;
            Ok(bytes_value(&bytes))
        }),
        _ => return None,
    })
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            if at <= three.len() {
                out.push(char::from(BASE64[(bits >> (18 - 6 * at)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// The bytes that a text of Base64 stands for, blanks and line ends ignored.
pub fn unbase64(text: &str) -> Option<Vec<u8>> {
    let signs: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !signs.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::new();
    for (number, four) in signs.chunks(4).enumerate() {
        let padding = four.iter().rev().take_while(|sign| **sign == b'=').count();
        if padding > 2 || padding > 0 && (number + 1) * 4 < signs.len() {
            return None;
        }
        let mut bits = 0u32;
        for sign in &four[..4 - padding] {
            bits = bits << 6 | BASE64.iter().position(|known| known == sign)? as u32;
        }
        bits <<= 6 * padding;
        out.extend(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(out)
}

pub(super) fn bits(lower: &str, arguments: &Arguments<'_>) -> Answer {
    let start = arguments.values.get(1).and_then(|at| convert::integer(at).ok()).unwrap_or(0).max(0) as usize;
    let number = |width: usize| -> Result<u64, Fault> {
        let bytes = bytes(&arguments.need(1)?[0])?;
        let part = start
            .checked_add(width)
            .and_then(|end| bytes.get(start..end))
            .ok_or_else(|| invalid("Destination array is not long enough to copy all the items in the collection."))?;
        Ok(part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    Some(match lower {
        "tostring" => arguments
            .need(1)
            .and_then(|values| bytes(&values[0]))
            .map(|bytes| Value::text(bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join("-"))),
        // Numbers have no width here: one of 32 bits, with a sign or without (addresses are such), has four bytes.
        "getbytes" => arguments.int(0).map(|number| match (i32::try_from(number), u32::try_from(number)) {
            (Ok(number), _) => bytes_value(&number.to_le_bytes()),
            (_, Ok(number)) => bytes_value(&number.to_le_bytes()),
            _ => bytes_value(&number.to_le_bytes()),
        }),
        "touint32" => number(4).map(|number| Value::Int(number as i64)),
        "toint32" => number(4).map(|number| Value::Int(i64::from(number as u32 as i32))),
        "touint16" => number(2).map(|number| Value::Int(number as i64)),
        "toint64" | "touint64" => number(8).map(|number| Value::Int(number as i64)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, section 10.
        for (text, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        for wrong in ["Zg=", "Z===", "Zg==Zg==", "Z*=="] {
            assert!(unbase64(wrong).is_none(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn base64_is_read_as_written(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(unbase64(&base64(&bytes)), Some(bytes));
        }
    }
}
