//! Part three of a report: the original, or its header section.

use super::multipart::Part;
use super::text::cut_between_words;
use super::{Original, SUBJECT_BYTES_MAX};
use crate::field::{TOKEN_BYTES_MAX, printable};
use crate::header::{fields, section_len};

/// Longest line of a message, in bytes without CRLF (RFC 5322 section 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// The part. `smtputf8` says whether the original travelled with SMTPUTF8.
pub fn part(original: Original<'_>, smtputf8: bool) -> Part<'_> {
    let returned = returned(original);
    // Only what is UTF-8 may call itself so; older 8-bit header sections go back under the older names.
    let is_global =
        smtputf8 && section_of(returned.bytes()).is_some_and(|s| !s.is_ascii() && std::str::from_utf8(s).is_ok());
    match returned {
        Returned::Full(content) => {
            let content_type = if is_global { "message/global" } else { "message/rfc822" };
            Part::plain(content_type, "Your message", content.into())
        }
        Returned::Headers(section) => {
            let content_type = if is_global { "message/global-headers" } else { "text/rfc822-headers" };
            Part::plain(content_type, "The header section of your message", clean_section(section).into())
        }
    }
}

/// Whether all of the original goes back.
pub fn is_returned_whole(original: Original<'_>) -> bool {
    matches!(returned(original), Returned::Full(_))
}

/// What a report takes over from the original's header section.
pub struct OriginalFields {
    pub message_id: Option<String>,
    pub subject: Option<String>,
}

impl OriginalFields {
    pub fn of(original: Original<'_>) -> OriginalFields {
        let (Original::Headers(section) | Original::Full(section)) = original;
        let value = |name| fields(section).find(|field| field.is(name)).map(|field| field.unfolded());
        let is_message_id = |text: &String| {
            let is_plain = text.bytes().all(|b| b.is_ascii_graphic());
            is_plain && text.starts_with('<') && text.ends_with('>') && text.len() <= TOKEN_BYTES_MAX
        };
        OriginalFields {
            message_id: value("Message-ID").and_then(|value| String::from_utf8(value).ok()).filter(is_message_id),
            subject: value("Subject")
                .map(|value| cut_between_words(&printable(&String::from_utf8_lossy(&value)), SUBJECT_BYTES_MAX)),
        }
    }
}

/// What of the original does go back, after a look at it.
enum Returned<'a> {
    Headers(&'a [u8]),
    Full(&'a [u8]),
}

impl<'a> Returned<'a> {
    fn bytes(&self) -> &'a [u8] {
        let (Returned::Headers(bytes) | Returned::Full(bytes)) = *self;
        bytes
    }
}

fn returned(original: Original<'_>) -> Returned<'_> {
    match original {
        Original::Full(content) if is_well_formed(content) => Returned::Full(content),
        Original::Full(content) | Original::Headers(content) => {
            Returned::Headers(section_of(content).unwrap_or_default())
        }
    }
}

/// The header section of content or of a part of it; `None` if it has none.
fn section_of(content: &[u8]) -> Option<&[u8]> {
    let length = section_len(content).unwrap_or(content.len());
    (length > 0).then(|| &content[..length])
}

/// A header section in lines that can stand in a message, without the empty line at its end.
pub fn clean_section(section: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(section.len() + 2);
    for line in section.split(|b| *b == b'\n') {
        // Lines of white space alone are dropped: they would look like the end of the section.
        let mut rest = line.trim_ascii_end();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(line_cut(rest));
            clean.extend(piece.iter().map(|b| if b.is_ascii_control() && *b != b'\t' { b'?' } else { *b }));
            clean.extend_from_slice(if after.is_empty() { b"\r\n" } else { b"\r\n " });
            rest = after;
        }
    }
    clean
}

/// Where a line is cut that is longer than a line may be: between characters, as UTF-8 continues with bytes 10xxxxxx.
fn line_cut(line: &[u8]) -> usize {
    // One byte is left for the space that begins the rest.
    let limit = LINE_BYTES_MAX - 1;
    if line.len() <= limit {
        return line.len();
    }
    (limit - 3..=limit).rev().find(|end| line[*end] & 0xc0 != 0x80).unwrap_or(limit)
}

/// Whether content can stand within another message as it is: lines of at most 998 bytes ended by CRLF, no NUL.
pub fn is_well_formed(content: &[u8]) -> bool {
    let mut rest = content;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest);
        let (line, after) = rest.split_at(end.map_or(rest.len(), |i| i + 1));
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        if text.len() > LINE_BYTES_MAX || memchr::memchr3(b'\r', b'\n', 0, text).is_some() {
            return false;
        }
        rest = after;
    }
    true
}
