//! Text for a person: paragraphs in short lines, and the few characters of it that came from outside made harmless.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::REPLY_BYTES_MAX;
use super::multipart::Part;
use crate::field::{TOKEN_BYTES_MAX, pieces, printable};

/// Where the lines of the text for a person are broken, in bytes.
const TEXT_LINE_BYTES: usize = 76;

/// The text in the making.
#[derive(Default)]
pub struct Text(String);

impl Text {
    /// Appends words that came from anywhere, broken into lines that all begin with `indent`.
    pub fn paragraph(&mut self, indent: &str, words: &str) {
        let mut column = 0;
        for piece in printable(words).split(' ').filter(|word| !word.is_empty()).flat_map(pieces) {
            if column > 0 && column + 1 + piece.len() > TEXT_LINE_BYTES {
                self.blank();
                column = 0;
            }
            let gap = if column == 0 { indent } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{gap}{piece}");
            column += gap.len() + piece.len();
        }
        self.blank();
    }

    /// Ends the line, or leaves an empty one.
    pub fn blank(&mut self) {
        self.0.push_str("\r\n");
    }

    /// The part of a report that holds it. Beyond ASCII it is encoded: not every server on the way takes 8-bit text.
    pub fn into_part(self, description: &'static str) -> Part<'static> {
        let content_type = "text/plain; charset=utf-8";
        if self.0.is_ascii() {
            return Part::plain(content_type, description, self.0.into_bytes().into());
        }
        let body = quoted_printable(&self.0).into_bytes().into();
        Part { content_type, description, encoding: "quoted-printable", body }
    }
}

/// Lines ended by CRLF in the quoted-printable encoding (RFC 2045 section 6.7).
fn quoted_printable(text: &str) -> String {
    const LINE_BYTES_MAX: usize = 76;
    let mut encoded = String::with_capacity(text.len() * 2);
    for line in text.split_terminator("\r\n") {
        let mut column = 0;
        let last = line.len().wrapping_sub(1);
        for (place, byte) in line.bytes().enumerate() {
            let is_plain = (byte.is_ascii_graphic() && byte != b'=') || (byte == b' ' && place != last);
            let width = if is_plain { 1 } else { 3 };
            // One column is left for the sign that the line goes on.
            if column + width > LINE_BYTES_MAX - 1 {
                encoded.push_str("=\r\n");
                column = 0;
            }
            if is_plain {
                encoded.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "={byte:02X}");
            }
            column += width;
        }
        encoded.push_str("\r\n");
    }
    encoded
}

/// A subject as a person reads it: its encoded words (RFC 2047) in UTF-8, ASCII and Latin-1 decoded. What cannot be read
/// stays as it is.
pub fn readable(subject: &str) -> String {
    let mut readable = String::with_capacity(subject.len());
    let mut was_encoded = false;
    for word in subject.split(' ').filter(|word| !word.is_empty()) {
        let decoded = decoded(word);
        // White space between two encoded words is no part of the text (RFC 2047 section 6.2).
        let is_one_text = was_encoded && decoded.is_some();
        if !readable.is_empty() && !is_one_text {
            readable.push(' ');
        }
        was_encoded = decoded.is_some();
        readable.push_str(&decoded.unwrap_or_else(|| word.to_owned()));
    }
    printable(&readable).into_owned()
}

fn decoded(word: &str) -> Option<String> {
    let mut fields = word.strip_prefix("=?")?.strip_suffix("?=")?.split('?');
    let (charset, encoding, text) = (fields.next()?.to_ascii_lowercase(), fields.next()?, fields.next()?);
    let bytes = match encoding {
        _ if fields.next().is_some() => return None,
        "B" | "b" => BASE64_STANDARD.decode(text).ok()?,
        "Q" | "q" => q_decoded(text)?,
        _ => return None,
    };
    // A language may stand behind the character set (RFC 2231 section 5).
    match charset.split('*').next()? {
        "utf-8" | "us-ascii" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

fn q_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'_' => b' ',
            b'=' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(decoded)
}

/// A reply as one line of ASCII, cut to [`REPLY_BYTES_MAX`].
pub fn reply_text(reply: &str) -> String {
    cut(&ascii(reply), REPLY_BYTES_MAX)
}

/// The name of a remote server for a field and a sentence: one line of ASCII.
pub fn remote_name(remote_mta: &str) -> String {
    cut(&ascii(remote_mta), TOKEN_BYTES_MAX)
}

/// At most `bytes_max` of a text, with dots where something was cut off.
pub fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(bytes_max - 3)])
}

/// At most `bytes_max` of a text, cut at a space if there is one: encoded words (RFC 2047) must stay whole.
pub fn cut_between_words(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(bytes_max - 4)];
    format!("{} ...", &kept[..kept.rfind(' ').unwrap_or(kept.len())])
}

/// What is not ASCII made `?`.
pub fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}
