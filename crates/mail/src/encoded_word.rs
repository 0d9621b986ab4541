//! Encoded words (RFC 2047), read as far as one may hide an address.
//!
//! Takes the unfolded value of a field, says whether decoding its encoded words before anything else, as many programs
//! do, could bring an `@` to light. Such a program reads `=?utf-8?Q?ceo=40contoso.com=2C?= <alice@contoso.com>` as two
//! addresses, and shows the first. Decodes bytes, no characters: character sets in which an `@` is written otherwise are
//! not let through.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What programs write, with or without padding; what else a lenient decoder would make something of is not clear.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How a character set writes what is not ASCII, as far as a byte 0x40 may belong to it.
#[derive(Clone, Copy)]
enum Charset {
    /// Without that byte.
    Plain,
    /// Behind a byte in one of these ranges.
    Pairs(&'static [std::ops::RangeInclusive<u8>]),
    /// Between the escapes of ISO-2022.
    Escapes,
}

const GB_BIG5: Charset = Charset::Pairs(&[0x81..=0xfe]);
const SHIFT_JIS: Charset = Charset::Pairs(&[0x81..=0x9f, 0xe0..=0xfc]);

/// How the names of the character sets begin in which ASCII stands for itself.
const CHARSETS: [(&str, Charset); 23] = [
    ("us-ascii", Charset::Plain),
    ("ascii", Charset::Plain),
    ("ansi_x3.4", Charset::Plain),
    ("utf-8", Charset::Plain),
    ("utf8", Charset::Plain),
    ("iso-8859-", Charset::Plain),
    ("iso8859-", Charset::Plain),
    ("iso_8859-", Charset::Plain),
    ("latin", Charset::Plain),
    ("windows-125", Charset::Plain),
    ("windows-874", Charset::Plain),
    ("cp125", Charset::Plain),
    ("koi8-", Charset::Plain),
    ("tis-620", Charset::Plain),
    ("macintosh", Charset::Plain),
    ("euc-", Charset::Plain),
    ("gb", GB_BIG5),
    ("big5", GB_BIG5),
    ("ks_c_5601", GB_BIG5),
    ("shift_jis", SHIFT_JIS),
    ("shift-jis", SHIFT_JIS),
    ("sjis", SHIFT_JIS),
    ("iso-2022-", Charset::Escapes),
];

/// An encoded word; `=?` stands before it, `?=` behind it.
struct Word<'a> {
    charset: &'a [u8],
    encoding: u8,
    text: &'a [u8],
}

/// Whether some encoded word in `value` holds an `@` once decoded, or cannot be decoded with certainty. Decoded text that
/// is `known` may hold one: some programs repeat the address as the name.
pub(crate) fn may_hide_address(value: &[u8], known: impl Fn(&str) -> bool) -> bool {
    let mut rest = value;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        rest = &rest[start + 2..];
        let Some((word, after)) = split(rest) else { continue };
        let (Some(charset), Some(decoded)) = (charset_named(word.charset), word.decode()) else { return true };
        if holds_at(&decoded, charset) && !std::str::from_utf8(&decoded).is_ok_and(|text| known(text.trim())) {
            return true;
        }
        rest = after;
    }
    false
}

/// `value` as a person reads it: encoded words decoded where their character set is a usual one, others as they stand; white
/// space between two of them is none (RFC 2047 section 6.2). Control characters become spaces.
pub fn decoded(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    let mut was_word = false;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at(start);
        let read = split(&word[2..]).and_then(|(word, after)| Some((word.read()?, after)));
        match read {
            Some((read, after)) => {
                if !(was_word && before.trim_ascii().is_empty()) {
                    text.push_str(&String::from_utf8_lossy(before));
                }
                text.push_str(&read);
                (rest, was_word) = (after, true);
            }
            None => {
                text.push_str(&String::from_utf8_lossy(&rest[..start + 2]));
                (rest, was_word) = (&rest[start + 2..], false);
            }
        }
    }
    text.push_str(&String::from_utf8_lossy(rest));
    if text.chars().any(char::is_control) {
        text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    }
    text
}

/// The word behind `=?`, and what follows it. White space does not end a word here, since it does not for some programs.
fn split(rest: &[u8]) -> Option<(Word<'_>, &[u8])> {
    let mark = memchr::memchr(b'?', rest)?;
    let [encoding @ (b'q' | b'Q' | b'b' | b'B'), b'?', text @ ..] = &rest[mark + 1..] else { return None };
    let end = memchr::memmem::find(text, b"?=")?;
    Some((Word { charset: &rest[..mark], encoding: *encoding, text: &text[..end] }, &text[end + 2..]))
}

impl Word<'_> {
    /// Its characters, where the set is UTF-8 or has one byte for each as ISO 8859-1 has.
    fn read(&self) -> Option<String> {
        let is = |names: &[&str]| names.iter().any(|name| self.charset.eq_ignore_ascii_case(name.as_bytes()));
        let bytes = self.decode()?;
        if is(&["utf-8", "utf8", "us-ascii", "ascii"]) {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        is(&["iso-8859-1", "iso-8859-15", "windows-1252", "latin1"])
            .then(|| bytes.into_iter().map(char::from).collect())
    }

    fn decode(&self) -> Option<Vec<u8>> {
        match self.encoding {
            b'q' | b'Q' => Some(decode_q(self.text)),
            _ => BASE64.decode(self.text).ok(),
        }
    }
}

fn charset_named(name: &[u8]) -> Option<Charset> {
    let begins =
        |known: &str| name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()));
    CHARSETS.into_iter().find(|(known, _)| begins(known)).map(|(_, charset)| charset)
}

fn decode_q(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let code = digit(at + 1).zip(digit(at + 2)).filter(|_| *byte == b'=');
        match code {
            Some((high, low)) => decoded.push(high << 4 | low),
            None => decoded.push(if *byte == b'_' { b' ' } else { *byte }),
        }
        at += if code.is_some() { 3 } else { 1 };
    }
    decoded
}

/// Whether there is an `@` that is no part of another character.
fn holds_at(decoded: &[u8], charset: Charset) -> bool {
    let (mut at, mut in_pairs) = (0, false);
    while let Some(byte) = decoded.get(at) {
        match (charset, byte) {
            (Charset::Pairs(leads), lead) if leads.iter().any(|range| range.contains(lead)) => at += 1,
            (Charset::Escapes, 0x1b) => {
                in_pairs = decoded.get(at + 1) == Some(&b'$');
                // The last byte of an escape is no text; one of the four in use is an `@`.
                at += if in_pairs && decoded.get(at + 2) == Some(&b'(') { 3 } else { 2 };
            }
            // Some decoders begin anew on a new line.
            (Charset::Escapes, ..0x20) => in_pairs = false,
            (_, b'@') if !in_pairs => return true,
            _ => {}
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_a_person_reads_it() {
        for (value, expected) in [
            ("Lunch today", "Lunch today"),
            ("=?utf-8?Q?M=C3=BCller?= today", "Müller today"),
            ("Re: =?UTF-8?B?TcO8bGxlcg==?= =?iso-8859-1?q?_und_=DC?=", "Re: Müller und Ü"),
            ("=?koi8-r?B?8PLJ?= x", "=?koi8-r?B?8PLJ?= x"),
            ("a =? b", "a =? b"),
            ("=?utf-8?Q?a=0D=0Ab?=", "a  b"),
            ("=?utf-8?B?!?= x", "=?utf-8?B?!?= x"),
            ("", ""),
        ] {
            assert_eq!(decoded(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn an_at_sign_is_found_in_whatever_way_it_is_encoded() {
        for (value, expected) in [
            ("Alice", false),
            ("=?utf-8?Q?M=C3=BCller=2C_Hans?=", false),
            ("=?utf-8?B?TcO8bGxlcg==?= =?iso-8859-1?q?Hans?=", false),
            ("=?utf-8?B?TcO8bGxlcg?=", false),
            ("=?utf-8?Q?ceo=40contoso.com=2C?=", true),
            ("=?UTF-8*en?q?ceo=40contoso.com?=", true),
            ("=?utf-8?Q?ceo@contoso.com?=", true),
            ("=?utf-8?Q?Hans?= =?utf-8?Q?=40?=", true),
            ("=?utf-8?B?Y2VvQGNvbnRvc28uY29t?=", true),
            ("=?utf-8?Q?a b =40?=", true),
            ("\"=?utf-8?Q?=22=2C_ceo=40contoso.com?=\"", true),
            ("=?x?=?utf-8?Q?=40?=", true),
            ("=?iso-8859-1?Q?=FC=40x?=", true),
            // The same address is repeated.
            ("=?utf-8?Q?_alice=40contoso.com?=", false),
            // No decoder agrees with another.
            ("=?utf-8?B?Y2V=vQGNv?=", true),
            ("=?utf-8?B?Y2 Vv?=", true),
            ("=?utf-7?Q?ceo+AEA-contoso.com?=", true),
            ("=?cp037?Q?=7C?=", true),
            ("=?unicode_escape?Q?=5Cx40?=", true),
            // Characters of two bytes whose second is that of an @: 世 and half of others.
            ("=?iso-2022-jp?B?GyRCQCQzJhsoQg==?=", false),
            ("=?iso-2022-jp?Q?=1B$B@$=1B(B=40?=", true),
            ("=?iso-2022-jp?Q?=1B$@@$=1B(B?=", false),
            ("=?iso-2022-jp?Q?=1B(B@?=", true),
            ("=?shift_jis?Q?=83@=83@?=", false),
            ("=?shift_jis?Q?=B1@?=", true),
            ("=?gbk?Q?=81@?=", false),
            ("=?gbk?Q?=81a@?=", true),
        ] {
            assert_eq!(may_hide_address(value.as_bytes(), |text| text == "alice@contoso.com"), expected, "{value}");
        }
    }
}
