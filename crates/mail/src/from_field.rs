//! The From field as a mailbox shows it: with the name that the recipient directory has for its address
//! (fact sheet section 2.7).
//!
//! Takes a From field, hands on its address if it has exactly one; takes an address and a name, hands on a field.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::address::Mailbox;
use crate::address_list;
use crate::field::{FieldWriter, printable};

/// Longest encoded word, in bytes (RFC 2047 section 2).
const ENCODED_WORD_BYTES_MAX: usize = 75;
const CHARSET: &str = "=?utf-8?B?";
const END: &str = "?=";
/// Longer names are shown without, for the line limit of RFC 5322 section 2.1.1.
const NAME_BYTES_MAX: usize = 512;

/// The address of a whole From field, if it names exactly one and all readers find the same.
pub fn sole_mailbox(field: &[u8]) -> Option<Mailbox> {
    let colon = memchr::memchr(b':', field)?;
    let unfolded: Vec<u8> = field[colon + 1..].iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let mailboxes = address_list::parse(&unfolded).ok()?;
    // A group's members stand beside a name of their own; whoever wrote it meant it.
    let is_group = memchr::memchr(b';', &unfolded).is_some();
    <[Mailbox; 1]>::try_from(mailboxes).ok().filter(|_| !is_group).map(|[mailbox]| mailbox)
}

/// A From field with a name before its address. Beyond ASCII it is encoded (RFC 2047) unless the message is one that may
/// hold it as it is. `None` where the name is empty or too long, or the address cannot be written.
pub fn write(name: &str, mailbox: &Mailbox, smtputf8: bool) -> Option<Vec<u8>> {
    let name = printable(name);
    let name = name.trim();
    let is_writable = smtputf8 || !mailbox.needs_smtputf8();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !is_writable {
        return None;
    }
    let mut out = Vec::with_capacity(64 + name.len());
    let mut field = FieldWriter::start(&mut out, "From:");
    if smtputf8 || name.is_ascii() {
        field.piece(format_args!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")));
    } else {
        for word in encoded_words(name) {
            field.piece(format_args!("{CHARSET}{word}{END}"));
        }
    }
    field.piece(format_args!("<{mailbox}>"));
    field.end();
    Some(out)
}

/// The name in pieces that each fit into an encoded word, encoded. No character is divided (RFC 2047 section 5).
fn encoded_words(name: &str) -> impl Iterator<Item = String> {
    const BYTES_MAX: usize = (ENCODED_WORD_BYTES_MAX - CHARSET.len() - END.len()) / 4 * 3;
    let mut rest = name;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(BYTES_MAX));
        rest = after;
        (!piece.is_empty()).then(|| STANDARD.encode(piece))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::header::fields;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("an address")
    }

    fn written(name: &str, smtputf8: bool) -> Option<String> {
        write(name, &mailbox("scan3@contoso.com"), smtputf8).map(|field| String::from_utf8(field).expect("text"))
    }

    #[test]
    fn a_from_field_with_one_address_is_read_whatever_stands_around_it() {
        for (field, expected) in [
            ("From: scan3@contoso.com\r\n", Some("scan3@contoso.com")),
            ("from:<scan3@contoso.com>\r\n", Some("scan3@contoso.com")),
            ("From: Old name\r\n <scan3@contoso.com>\r\n", Some("scan3@contoso.com")),
            ("From: \"ceo@contoso.com\" <scan3@contoso.com>\r\n", Some("scan3@contoso.com")),
            ("From: a@contoso.com, b@contoso.com\r\n", None),
            ("From: Scanners: scan3@contoso.com;\r\n", None),
            ("From: <a@contoso.com> <b@contoso.com>\r\n", None),
            ("From: nobody\r\n", None),
            ("From:\r\n", None),
            ("From", None),
        ] {
            assert_eq!(sole_mailbox(field.as_bytes()), expected.map(mailbox), "{field:?}");
        }
    }

    #[test]
    fn the_name_stands_before_the_address() {
        for (name, smtputf8, expected) in [
            ("Scanner 3rd floor", false, "From: \"Scanner 3rd floor\" <scan3@contoso.com>\r\n"),
            ("a \"b\" \\c", false, "From: \"a \\\"b\\\" \\\\c\" <scan3@contoso.com>\r\n"),
            ("Z\u{fc}rich", false, "From: =?utf-8?B?WsO8cmljaA==?= <scan3@contoso.com>\r\n"),
            ("Z\u{fc}rich", true, "From: \"Z\u{fc}rich\" <scan3@contoso.com>\r\n"),
            ("a\r\nBcc: b", false, "From: \"a  Bcc: b\" <scan3@contoso.com>\r\n"),
        ] {
            assert_eq!(written(name, smtputf8).as_deref(), Some(expected));
        }
        assert_eq!(written(" \t", false), None);
        assert_eq!(written(&"x".repeat(NAME_BYTES_MAX + 1), false), None);
        let beyond_ascii = mailbox("z\u{fc}rich@contoso.com");
        assert_eq!(write("Z", &beyond_ascii, false), None);
        assert!(write("Z", &beyond_ascii, true).is_some());
    }

    proptest! {
        #[test]
        fn any_name_makes_one_field_with_one_address(name in "\\PC{0,200}", control in any::<String>(), smtputf8: bool) {
            for name in [name, control] {
                let Some(field) = write(&name, &mailbox("scan3@contoso.com"), smtputf8) else { continue };
                let section = [&field[..], b"\r\n"].concat();
                prop_assert_eq!(fields(&section).map(|f| f.name).collect::<Vec<_>>(), ["From"]);
                prop_assert!(smtputf8 || field.is_ascii());
                prop_assert!(field.split(|b| *b == b'\n').all(|line| line.len() <= 999));
                // A name that looks like an address is quoted, which not all readers take the same way.
                if !name.contains(['@', '\\', '"', '<', '>', ';']) {
                    prop_assert_eq!(sole_mailbox(&field), Some(mailbox("scan3@contoso.com")), "{:?}", name);
                }
            }
        }
    }
}
