//! Receives content: takes what the peer sends after 354 or behind BDAT, hands on the slices that belong to the
//! message.
//!
//! Only `CRLF . CRLF` ends DATA, and a line ends at CRLF only. A CR or LF that stands alone is a fault or becomes
//! CRLF; it is never a place where content could end, here or, once sent on, anywhere else. Nothing is copied: pieces
//! are ranges of the caller's buffer, and they do not depend on how the stream was cut into buffers, but for where one
//! piece ends and the next begins.

use std::ops::Range;

use super::question::BareLinefeed;

/// What a look at the buffer brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// This range of the buffer is content.
    Bytes(Range<usize>),
    /// The content goes on with CRLF, which does not stand in the buffer as such.
    LineEnd,
    /// The content is complete.
    End,
    /// The buffer is used up.
    More,
}

/// Where in a line the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind CRLF, or at the very start.
    LineStart,
    /// Behind a dot at the start of a line, not handed on: stuffing, or the end.
    Dot,
    /// Behind such a dot and CR.
    DotCr,
    /// Within a line.
    Text,
    /// Within a line behind CR, not handed on: the end of the line, or a CR alone.
    Cr,
}

/// Reads content that is made of lines.
#[derive(Clone, Debug)]
pub(super) struct LineReader {
    place: Place,
    /// Whether dots are stuffed and end the content (DATA), or are bytes like all others (BDAT).
    dotted: bool,
    bare_linefeed: BareLinefeed,
    found_bare: bool,
}

impl LineReader {
    /// For DATA.
    pub(super) fn dotted(bare_linefeed: BareLinefeed) -> LineReader {
        LineReader { place: Place::LineStart, dotted: true, bare_linefeed, found_bare: false }
    }

    /// For BDAT, whose end the chunk sizes tell.
    pub(super) fn counted(bare_linefeed: BareLinefeed) -> LineReader {
        LineReader { dotted: false, ..LineReader::dotted(bare_linefeed) }
    }

    /// Whether the content is to be refused for a bare CR or LF. Nothing behind the fault is handed on.
    pub(super) fn is_refused(&self) -> bool {
        self.found_bare && self.bare_linefeed == BareLinefeed::Reject
    }

    /// Looks at the next bytes: how many are consumed, and what they brought.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, Piece) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match (self.place, byte) {
                (Place::LineStart, b'.') if self.dotted => {
                    self.place = Place::Dot;
                    at += 1;
                }
                (Place::Dot, b'\r') => {
                    self.place = Place::DotCr;
                    at += 1;
                }
                // RFC 5321 section 4.5.2: the first dot of a longer line is dropped.
                (Place::Dot, _) => self.place = Place::Text,
                (Place::DotCr, b'\n') => return (at + 1, Piece::End),
                (Place::Cr, b'\n') => {
                    self.place = Place::LineStart;
                    at += 1;
                    if !self.is_refused() {
                        return (at, Piece::LineEnd);
                    }
                }
                (Place::DotCr | Place::Cr, _) => {
                    if let Some(piece) = self.bare() {
                        return (at, piece);
                    }
                }
                (Place::LineStart | Place::Text, b'\n') => {
                    at += 1;
                    if let Some(piece) = self.bare() {
                        return (at, piece);
                    }
                }
                (Place::LineStart | Place::Text, b'\r') if bytes.get(at + 1) != Some(&b'\n') => {
                    self.place = Place::Cr;
                    at += 1;
                }
                (Place::LineStart | Place::Text, _) => {
                    let end = self.run(bytes, at);
                    if !self.is_refused() {
                        return (end, Piece::Bytes(at..end));
                    }
                    at = end;
                }
            }
        }
        (at, Piece::More)
    }

    /// The last chunk is over: a CR may be left that no LF follows.
    pub(super) fn finish(&mut self) -> Option<Piece> {
        if self.place == Place::Cr { self.bare() } else { None }
    }

    /// A CR or LF stands alone.
    fn bare(&mut self) -> Option<Piece> {
        self.found_bare = true;
        // Not `LineStart`: to the peer this was no line end, so that a dot behind it is not stuffed.
        self.place = Place::Text;
        (self.bare_linefeed == BareLinefeed::Normalize).then_some(Piece::LineEnd)
    }

    /// Where the longest piece from `start` ends: at a CR or LF that is not part of a CRLF in this buffer, before a
    /// dot that starts a line, or with the buffer.
    fn run(&mut self, bytes: &[u8], start: usize) -> usize {
        let mut line = start;
        while let Some(found) = memchr::memchr2(b'\r', b'\n', &bytes[line..]) {
            let end = line + found;
            if bytes[end] == b'\n' || bytes.get(end + 1) != Some(&b'\n') {
                if found > 0 {
                    self.place = Place::Text;
                }
                return end;
            }
            line = end + 2;
            self.place = Place::LineStart;
            if self.dotted && bytes.get(line) == Some(&b'.') {
                return line;
            }
        }
        if line < bytes.len() {
            self.place = Place::Text;
        }
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a stream cut at `cut`: what was handed on, whether it was refused, and what is left behind the end.
    fn read(stream: &[u8], cut: usize, bare_linefeed: BareLinefeed) -> Option<(Vec<u8>, bool, Vec<u8>)> {
        let mut reader = LineReader::dotted(bare_linefeed);
        let mut content = Vec::new();
        let mut consumed = 0;
        for part in [&stream[..cut], &stream[cut..]] {
            let mut at = 0;
            loop {
                let (used, piece) = reader.next(&part[at..]);
                let piece_base = at;
                at += used;
                consumed += used;
                match piece {
                    Piece::Bytes(range) => {
                        content.extend_from_slice(&part[piece_base + range.start..piece_base + range.end]);
                    }
                    Piece::LineEnd => content.extend_from_slice(b"\r\n"),
                    Piece::End => return Some((content, reader.is_refused(), stream[consumed..].to_vec())),
                    Piece::More => break,
                }
            }
        }
        None
    }

    #[test]
    fn only_crlf_dot_crlf_ends_the_content_wherever_the_stream_is_cut() {
        for (inner, normalized) in [
            ("\n.\n", "\r\n.\r\n"),
            ("\n.\r\n", "\r\n.\r\n"),
            ("\r\n.\n", "\r\n\r\n"),
            ("\r.\r", "\r\n.\r\n"),
            ("\r\n.\r", "\r\n\r\n"),
            ("\r.\r\n", "\r\n.\r\n"),
            ("\r\n.\r\r\n", "\r\n\r\n\r\n"),
            ("\r\r\n.x", "\r\n\r\nx"),
            ("\n\r\n..\n", "\r\n\r\n.\r\n"),
            ("\r\n.\0\r\n", "\r\n\0\r\n"),
            ("\r\n..\r\n", "\r\n.\r\n"),
            ("\r\n. \r\n", "\r\n \r\n"),
        ] {
            let stream = format!("a{inner}MAIL FROM:<x@y>\r\n.\r\nQUIT\r\n");
            let expected = format!("a{normalized}MAIL FROM:<x@y>\r\n");
            for cut in 0..=stream.len() {
                let (content, _, rest) =
                    read(stream.as_bytes(), cut, BareLinefeed::Normalize).unwrap_or_else(|| panic!("{inner:?}"));
                assert_eq!(String::from_utf8_lossy(&content), expected, "{inner:?} cut at {cut}");
                assert_eq!(rest, b"QUIT\r\n", "{inner:?} cut at {cut}");

                let (_, refused, rest) =
                    read(stream.as_bytes(), cut, BareLinefeed::Reject).unwrap_or_else(|| panic!("{inner:?}"));
                let is_clean = !inner.replace("\r\n", "").contains(['\r', '\n']);
                assert_eq!(refused, !is_clean, "{inner:?} cut at {cut}");
                assert_eq!(rest, b"QUIT\r\n", "{inner:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn empty_content_is_content() {
        assert_eq!(read(b".\r\n", 0, BareLinefeed::Reject), Some((Vec::new(), false, Vec::new())));
        assert_eq!(read(b"\r\n.\r\n", 1, BareLinefeed::Reject), Some((b"\r\n".to_vec(), false, Vec::new())));
    }
}
