//! The two encodings of RFC 2045, in slices: lines of 76 characters at most.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const LINE_CHARACTERS_MAX: usize = 76;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Quoted-printable (RFC 2045 section 6.7). CR LF is a line end; each of them alone is a byte like any other.
#[derive(Default)]
pub(super) struct QuotedPrintable {
    column: usize,
    /// A space or tab: at the end of a line it is encoded.
    blank: Option<u8>,
    has_cr: bool,
    line: Vec<u8>,
}

impl QuotedPrintable {
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8])) {
        for byte in bytes {
            if std::mem::take(&mut self.has_cr) {
                if *byte == b'\n' {
                    self.end_blank();
                    self.line.extend_from_slice(b"\r\n");
                    self.column = 0;
                    out(&self.line);
                    self.line.clear();
                    continue;
                }
                self.put_blank();
                self.encode(b'\r');
            }
            match byte {
                b'\r' => self.has_cr = true,
                b' ' | b'\t' => {
                    self.put_blank();
                    self.blank = Some(*byte);
                }
                b'!'..=b'<' | b'>'..=b'~' => {
                    self.put_blank();
                    self.put(&[*byte]);
                }
                _ => {
                    self.put_blank();
                    self.encode(*byte);
                }
            }
        }
        out(&self.line);
        self.line.clear();
    }

    pub(super) fn finish(mut self, out: &mut dyn FnMut(&[u8])) {
        if std::mem::take(&mut self.has_cr) {
            self.put_blank();
            self.encode(b'\r');
        }
        self.end_blank();
        out(&self.line);
    }

    /// The blank turned out to be in the middle of a line.
    fn put_blank(&mut self) {
        if let Some(blank) = self.blank.take() {
            self.put(&[blank]);
        }
    }

    /// It turned out to be the last of its line.
    fn end_blank(&mut self) {
        if let Some(blank) = self.blank.take() {
            self.encode(blank);
        }
    }

    fn encode(&mut self, byte: u8) {
        self.put(&[b'=', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }

    fn put(&mut self, characters: &[u8]) {
        // Room for the `=` of a soft line end.
        if self.column + characters.len() >= LINE_CHARACTERS_MAX {
            self.line.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        self.line.extend_from_slice(characters);
        self.column += characters.len();
    }
}

/// Base64 (RFC 2045 section 6.8). The last line has no end: what follows brings it.
#[derive(Default)]
pub(super) struct Base64 {
    /// Less than a line's worth.
    rest: Vec<u8>,
    has_begun: bool,
}

/// Bytes that make one line.
const LINE_BYTES: usize = LINE_CHARACTERS_MAX / 4 * 3;

impl Base64 {
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(&[u8])) {
        let mut lines = Vec::with_capacity((bytes.len() / LINE_BYTES + 1) * (LINE_CHARACTERS_MAX + 2));
        while !bytes.is_empty() {
            // A line is written when it is known that another one follows.
            if self.rest.len() == LINE_BYTES {
                self.line(&mut lines);
            }
            let (now, later) = bytes.split_at(bytes.len().min(LINE_BYTES - self.rest.len()));
            self.rest.extend_from_slice(now);
            bytes = later;
        }
        out(&lines);
    }

    pub(super) fn finish(mut self, out: &mut dyn FnMut(&[u8])) {
        let mut lines = Vec::new();
        if !self.rest.is_empty() {
            self.line(&mut lines);
        }
        out(&lines);
    }

    fn line(&mut self, lines: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_begun, true) {
            lines.extend_from_slice(b"\r\n");
        }
        lines.extend_from_slice(STANDARD.encode(&self.rest).as_bytes());
        self.rest.clear();
    }
}
