//! Finds command lines in what the peer sends: takes bytes in any slicing, hands on whole lines without copying those
//! that lie in one slice. Only CRLF ends a line; what a line may hold is not decided here.

use memchr::memmem;

use super::command::{AUTH_LINE_BYTES_MAX, is_auth};

const CRLF: &[u8] = b"\r\n";

/// Keeps what is needed of a line until its end has come: nothing at all between lines.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    /// The start of a line, or a whole one with its CRLF.
    held: Vec<u8>,
    /// A line that is too long is being dropped: whether the last byte of it was CR.
    skipped: Option<Skipped>,
}

#[derive(Clone, Copy, Debug)]
struct Skipped {
    ends_with_cr: bool,
}

/// What a look at the bytes brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The line is that many bytes at the start of the slice, and CRLF follows them. Nothing is consumed yet.
    Here(usize),
    /// The line is in the buffer: [`LineBuffer::take`] it.
    Held,
    /// A line too long has come to its end and is gone.
    TooLong,
    /// The slice is used up.
    More,
}

impl LineBuffer {
    /// Looks for the end of the line: how many bytes are consumed, and what was found. A line may have `bytes_max`, at
    /// most [`AUTH_LINE_BYTES_MAX`]; AUTH always as many as that.
    pub(super) fn find(&mut self, bytes: &[u8], bytes_max: usize) -> (usize, Found) {
        if let Some(skipped) = self.skipped {
            return self.skip(bytes, skipped);
        }
        if self.held.ends_with(CRLF) {
            return (0, Found::Held);
        }
        if self.held.is_empty()
            && let Some(end) = memmem::find(bytes, CRLF)
        {
            return if is_too_long(&bytes[..end], bytes_max) {
                (end + 2, Found::TooLong)
            } else {
                (0, Found::Here(end))
            };
        }
        self.hold(bytes, bytes_max)
    }

    /// The line that was [`Found::Held`], without its CRLF. The buffer is empty behind it and holds no memory.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.held);
        line.truncate(line.len().saturating_sub(CRLF.len()));
        line
    }

    /// The line that was [`Found::Held`], without its CRLF.
    pub(super) fn held(&self) -> &[u8] {
        self.held.strip_suffix(CRLF).unwrap_or(&self.held)
    }

    fn hold(&mut self, bytes: &[u8], bytes_max: usize) -> (usize, Found) {
        let used = match (self.held.last(), bytes.first()) {
            (Some(b'\r'), Some(b'\n')) => 1,
            _ => memmem::find(bytes, CRLF).map_or(bytes.len(), |end| end + CRLF.len()),
        };
        // The longest line fits with its CRLF; of one that is longer, a byte more is enough to know it.
        let room = (AUTH_LINE_BYTES_MAX + CRLF.len() + 1).saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..used.min(room)]);
        let is_whole = used <= room && self.held.ends_with(CRLF);
        let line = match is_whole {
            true => self.held(),
            // A CR that came last may be half of a line's end.
            false => self.held.strip_suffix(b"\r").unwrap_or(&self.held),
        };
        match (is_whole, is_too_long(line, bytes_max)) {
            (true, false) => (used, Found::Held),
            (true, true) => {
                self.held = Vec::new();
                (used, Found::TooLong)
            }
            (false, false) => (used, Found::More),
            (false, true) => {
                self.held = Vec::new();
                self.skip(bytes, Skipped { ends_with_cr: false })
            }
        }
    }

    fn skip(&mut self, bytes: &[u8], skipped: Skipped) -> (usize, Found) {
        let end = match bytes.first() {
            None => return (0, Found::More),
            Some(b'\n') if skipped.ends_with_cr => Some(1),
            Some(_) => memmem::find(bytes, CRLF).map(|end| end + CRLF.len()),
        };
        match end {
            Some(end) => {
                self.skipped = None;
                (end, Found::TooLong)
            }
            None => {
                self.skipped = Some(Skipped { ends_with_cr: bytes.ends_with(b"\r") });
                (bytes.len(), Found::More)
            }
        }
    }
}

/// Whether a line, complete or not, is longer than it may be. The same for any slicing: what tells AUTH from other
/// commands is shorter than any limit.
fn is_too_long(line: &[u8], bytes_max: usize) -> bool {
    line.len() > if is_auth(line) { AUTH_LINE_BYTES_MAX } else { bytes_max }
}

#[cfg(test)]
mod tests {
    use super::super::command::LINE_BYTES_MAX;
    use super::*;

    /// The lines of a stream that comes in parts; `None` for one that was too long.
    fn lines(stream: &[u8], part: usize) -> Vec<Option<Vec<u8>>> {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for bytes in stream.chunks(part) {
            let mut at = 0;
            loop {
                let (used, found) = buffer.find(&bytes[at..], LINE_BYTES_MAX);
                at += used;
                match found {
                    Found::Here(end) => {
                        lines.push(Some(bytes[at..at + end].to_vec()));
                        at += end + 2;
                    }
                    Found::Held => lines.push(Some(buffer.take())),
                    Found::TooLong => lines.push(None),
                    Found::More => break,
                }
            }
        }
        lines
    }

    #[test]
    fn lines_at_the_limit_are_found_and_longer_ones_dropped_however_they_come() {
        let auth = |length| ["AUTH ".as_bytes(), &vec![b'x'; length - 5]].concat();
        for (line, is_found) in [
            (vec![b'x'; LINE_BYTES_MAX], true),
            (vec![b'x'; LINE_BYTES_MAX + 1], false),
            (auth(AUTH_LINE_BYTES_MAX), true),
            (auth(AUTH_LINE_BYTES_MAX + 1), false),
            (vec![b'x'; 100_000], false),
            (vec![b'\r'; LINE_BYTES_MAX + 1], false),
            (b"a\nb\rc".to_vec(), true),
            (Vec::new(), true),
        ] {
            let stream = [&line, CRLF, b"NOOP\r\n"].concat();
            for part in [1, 2, 3, 1000, LINE_BYTES_MAX + 1, AUTH_LINE_BYTES_MAX + 1, stream.len()] {
                let expected = [is_found.then(|| line.clone()), Some(b"NOOP".to_vec())];
                assert!(lines(&stream, part) == expected, "{} bytes in parts of {part}", line.len());
            }
        }
    }
}
