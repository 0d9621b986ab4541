//! How header fields are written: folded, and clean of whatever could end them (RFC 5322 section 2.2.3).
//!
//! Takes pieces of text, appends bytes. Every header field that this crate writes goes through here, so that nothing
//! that came from outside can begin a line of its own.

use std::borrow::Cow;
use std::fmt;

/// Where lines are folded if they can be, in bytes without CRLF (RFC 5322 section 2.1.1).
const LINE_BYTES_PREFERRED: usize = 78;
/// Longest piece that stays whole; far enough below the limit of 998 bytes for what stands around it.
const PIECE_BYTES_MAX: usize = 900;
/// Longest result of [`token`], in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 255;

/// A header field in the making.
pub(crate) struct FieldWriter<'a> {
    out: &'a mut Vec<u8>,
    line_start: usize,
}

impl<'a> FieldWriter<'a> {
    /// Begins a field with `start`, its name and colon at least.
    pub(crate) fn start(out: &'a mut Vec<u8>, start: &str) -> FieldWriter<'a> {
        let line_start = out.len();
        out.extend_from_slice(start.as_bytes());
        FieldWriter { out, line_start }
    }

    /// Appends text without white space before it.
    pub(crate) fn append(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Appends a space and one piece that is never broken, on a new line if it does not fit on this one. The piece is
    /// clean.
    pub(crate) fn piece(&mut self, piece: fmt::Arguments<'_>) {
        use std::io::Write;
        let start = self.out.len();
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, " {piece}");
        // One byte is left for a semicolon.
        if self.out.len() + 1 - self.line_start > LINE_BYTES_PREFERRED {
            self.out.splice(start..start, *b"\r\n");
            self.line_start = start + 2;
        }
    }

    /// Appends text that came from anywhere: cleaned, and folded between its words. White space at its ends is lost.
    pub(crate) fn text(&mut self, text: &str) {
        for word in printable(text).trim().split(' ') {
            // Spaces in a row leave empty words between them. They may matter (in a quoted local part), but must not
            // make a line too long.
            if word.is_empty() && self.out.len() - self.line_start < LINE_BYTES_PREFERRED {
                self.append(" ");
            }
            for piece in pieces(word) {
                self.piece(format_args!("{piece}"));
            }
        }
    }

    /// Ends the field.
    pub(crate) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// `text` as one word: what is not printable ASCII, or would end a word or begin a comment, quote or path, becomes `?`.
/// At most [`TOKEN_BYTES_MAX`] long; `unknown` if there is nothing.
pub(crate) fn token(text: &str) -> String {
    let is_token = |c: char| c.is_ascii_graphic() && !matches!(c, '(' | ')' | '<' | '>' | ';' | ',' | '\\' | '"');
    let token: String = text.chars().map(|c| if is_token(c) { c } else { '?' }).take(TOKEN_BYTES_MAX).collect();
    if token.is_empty() { "unknown".into() } else { token }
}

/// `text` with each control character made a space.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    // Line and paragraph separators are no control characters, but some readers end lines there.
    let is_unprintable = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if text.contains(is_unprintable) { text.replace(is_unprintable, " ").into() } else { text.into() }
}

/// Cuts a word into pieces of at most [`PIECE_BYTES_MAX`] bytes.
pub(crate) fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES_MAX));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::header::fields;

    #[test]
    fn a_long_field_is_folded_between_words() {
        let mut out = Vec::new();
        let mut field = FieldWriter::start(&mut out, "Subject:");
        field.text(&"word ".repeat(20));
        field.end();
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, format!("Subject:{}\r\n{}\r\n", " word".repeat(13), " word".repeat(7)));
    }

    proptest! {
        #[test]
        fn no_text_can_begin_another_field(text in any::<String>(), lines in "[\r\n :ab]{0,40}", long in 0_usize..3000) {
            for text in [text, lines, "x".repeat(long), format!("x{}x", " ".repeat(long))] {
                let mut out = Vec::new();
                let mut field = FieldWriter::start(&mut out, "A:");
                field.text(&text);
                field.end();
                out.extend_from_slice(b"\r\n");
                prop_assert_eq!(fields(&out).map(|f| f.name).collect::<Vec<_>>(), ["A"]);
                prop_assert!(out.split(|b| *b == b'\n').all(|line| line.len() <= 999));
            }
        }
    }
}
