//! Writes content the way DATA carries it: takes slices, hands on lines with stuffed dots and the end.
//!
//! Whatever comes in, what goes out has CR and LF only as CRLF, so that no next hop can see an end where there is
//! none; content that the server side took is that way already and passes unchanged.

/// Stuffs dots (RFC 5321 section 4.5.2) across any slicing.
#[derive(Clone, Copy, Debug)]
pub(super) struct DotStuffer {
    is_line_start: bool,
    /// A CR came last and has not been written: LF may follow.
    has_cr: bool,
}

impl DotStuffer {
    /// For the start of the content.
    pub(super) fn new() -> DotStuffer {
        DotStuffer { is_line_start: true, has_cr: false }
    }

    /// Writes the next slice.
    pub(super) fn write(&mut self, slice: &[u8], out: &mut Vec<u8>) {
        out.reserve(slice.len() + 2);
        let mut at = 0;
        while let Some(&byte) = slice.get(at) {
            if self.has_cr {
                // With its LF or alone, a CR becomes a line end.
                self.end_line(out);
                if byte == b'\n' {
                    at += 1;
                }
                continue;
            }
            if self.is_line_start && byte == b'.' {
                out.push(b'.');
            }
            let end = run(slice, at);
            if end > at {
                out.extend_from_slice(&slice[at..end]);
                self.is_line_start = slice[at..end].ends_with(b"\r\n");
            }
            at = end;
            match slice.get(end) {
                Some(b'\n') => {
                    self.end_line(out);
                    at += 1;
                }
                Some(b'\r') => {
                    self.has_cr = true;
                    at += 1;
                }
                // The end, or a dot that the next turn stuffs.
                _ => {}
            }
        }
    }

    /// Writes the end: a line that is still open is closed first.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.has_cr || !self.is_line_start {
            self.end_line(out);
        }
        out.extend_from_slice(b".\r\n");
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.has_cr = false;
        self.is_line_start = true;
    }
}

/// How far the bytes from `start` on leave as they stand: up to a CR or LF that is not part of a CRLF in this slice, or
/// before a dot that starts a line. Nearly all content is one run, and is copied at once.
fn run(slice: &[u8], start: usize) -> usize {
    let mut line = start;
    while let Some(found) = memchr::memchr2(b'\r', b'\n', &slice[line..]) {
        let end = line + found;
        if slice[end] == b'\n' || slice.get(end + 1) != Some(&b'\n') {
            return end;
        }
        line = end + 2;
        if slice.get(line) == Some(&b'.') {
            return line;
        }
    }
    slice.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_stuffed_and_lines_closed_wherever_the_content_is_cut() {
        for (content, expected) in [
            ("", ".\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("a\r\n.b\r\n", "a\r\n..b\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r\r\n.\r\r\n", "a\r\n\r\n..\r\n\r\n.\r\n"),
            ("a\r", "a\r\n.\r\n"),
            ("\r\n", "\r\n.\r\n"),
            ("a\r\n.\r\n\r\n..b\r\nc.\r\n", "a\r\n..\r\n\r\n...b\r\nc.\r\n.\r\n"),
            ("\r\n\n.\r\r.\n\r\n.", "\r\n\r\n..\r\n\r\n..\r\n\r\n..\r\n.\r\n"),
        ] {
            for cut in 0..=content.len() {
                let (mut stuffer, mut out) = (DotStuffer::new(), Vec::new());
                stuffer.write(&content.as_bytes()[..cut], &mut out);
                stuffer.write(&content.as_bytes()[cut..], &mut out);
                stuffer.finish(&mut out);
                assert_eq!(String::from_utf8_lossy(&out), expected, "{content:?} cut at {cut}");
            }
        }
    }
}
