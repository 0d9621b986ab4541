//! xtext, the encoding of the DSN parameters (RFC 3461 section 4) and of AUTH (RFC 4954 section 5).
//!
//! Takes parameter values as they came, hands on what they mean, and the other way round. Never decides whether a parameter
//! is welcome.

/// Whether `text` is xtext: printable ASCII without `=`, and `+` only before two upper-case hexadecimal digits.
pub fn is_valid(text: &str) -> bool {
    decoded_bytes(text).is_some()
}

/// What the xtext `text` stands for. `None` if it is not xtext or does not stand for UTF-8. The answer may hold any
/// character, line ends included: clean it before it goes into a header field.
pub fn decode(text: &str) -> Option<String> {
    String::from_utf8(decoded_bytes(text)?).ok()
}

/// The xtext that stands for `text`.
pub fn encode(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => encoded.push(byte.into()),
            _ => write!(encoded, "+{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    encoded
}

fn decoded_bytes(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            b'!'..=b'~' if byte != b'=' => byte,
            _ => return None,
        });
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn xtext_is_read_as_rfc_3461_writes_it() {
        for (text, expected) in [
            ("", Some("")),
            ("QQ314159", Some("QQ314159")),
            ("bob+2Btag@contoso.com", Some("bob+tag@contoso.com")),
            ("a+3Db", Some("a=b")),
            ("line+0D+0Aend", Some("line\r\nend")),
            ("+C3+A9", Some("é")),
            ("+C3", None),
            ("+2b", None),
            ("+2", None),
            ("+", None),
            ("a=b", None),
            ("a b", None),
            ("é", None),
        ] {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
        assert!(is_valid("+C3"), "xtext may stand for any bytes");
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(is_valid(&encoded));
            prop_assert_eq!(decode(&encoded), Some(text));
        }

        #[test]
        fn any_text_is_taken_without_a_panic(text in "[+=0-9A-Fa-f é]{0,12}") {
            prop_assert!(decode(&text).is_none() || is_valid(&text));
        }
    }
}
