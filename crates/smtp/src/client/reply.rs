//! Reads replies (RFC 5321 section 4.2): takes bytes, hands on one [`Reply`] at a time. A peer's text ends up in logs
//! and reports, so it is kept short and printable.

use gatepost_mail::{Reply, Status};

/// Longest line of a reply, with its line end. RFC 5321 section 4.5.3.1.5 says 512; some peers write essays.
const LINE_BYTES_MAX: usize = 4096;
/// Most lines of one reply.
const LINES_MAX: usize = 100;
/// How much text of one reply is kept.
const TEXT_BYTES_MAX: usize = 1000;

/// What came is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

/// Reads replies across any slicing.
#[derive(Debug, Default)]
pub(super) struct ReplyReader {
    /// A line of which only a part has come.
    held: Vec<u8>,
    /// The lines before, if the reply has several.
    before: Option<Gathered>,
}

/// A reply of which not all lines have come.
#[derive(Debug)]
struct Gathered {
    code: u16,
    status: Option<Status>,
    text: String,
    lines: usize,
}

impl ReplyReader {
    /// Consumes bytes up to the end of one reply: how many, and the reply if it is complete. `on_line` sees the text of
    /// each line but the first.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mut on_line: impl FnMut(&str),
    ) -> (usize, Option<Result<Reply, Nonsense>>) {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            // A lone LF is taken for a line end: nothing that a reply says depends on it.
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if self.held.len() + rest.len() > LINE_BYTES_MAX {
                    return (bytes.len(), Some(Err(Nonsense)));
                }
                self.held.extend_from_slice(rest);
                return (bytes.len(), None);
            };
            used += end + 1;
            if self.held.len() + end + 1 > LINE_BYTES_MAX {
                return (used, Some(Err(Nonsense)));
            }
            let held = std::mem::take(&mut self.held);
            let read = if held.is_empty() {
                self.take_line(&rest[..end], &mut on_line)
            } else {
                let whole = [&held, &rest[..end]].concat();
                self.take_line(&whole, &mut on_line)
            };
            if let Some(read) = read.transpose() {
                return (used, Some(read));
            }
        }
        (used, None)
    }

    fn take_line(&mut self, line: &[u8], on_line: &mut impl FnMut(&str)) -> Result<Option<Reply>, Nonsense> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (digits, rest) = line.split_at_checked(3).ok_or(Nonsense)?;
        let code = match digits {
            [first @ b'2'..=b'5', second @ b'0'..=b'9', third @ b'0'..=b'9'] => {
                [first, second, third].into_iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'))
            }
            _ => return Err(Nonsense),
        };
        let (is_last, text) = match rest {
            [] => (true, rest),
            [b' ', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err(Nonsense),
        };
        let text = String::from_utf8_lossy(text);
        if self.before.is_some() {
            on_line(&text);
        }

        let (status, text) = match Status::parse_prefix(&text) {
            Some((status, text)) if u16::from(status.class) == code / 100 => (Some(status), text),
            _ => (None, &*text),
        };
        let mut gathered = match self.before.take() {
            None => Gathered { code, status: None, text: String::new(), lines: 0 },
            // RFC 5321 section 4.2.1: the code is the same on every line.
            Some(before) if before.code != code || before.lines == LINES_MAX => return Err(Nonsense),
            Some(before) => before,
        };
        // Some peers open with a line of their own and bring the status code on the second.
        gathered.status = gathered.status.or(status);
        if gathered.lines > 0 {
            push_text(&mut gathered.text, "\n");
        }
        push_text(&mut gathered.text, text);
        gathered.lines += 1;
        if !is_last {
            self.before = Some(gathered);
            return Ok(None);
        }
        Ok(Some(Reply { code, status: gathered.status, text: gathered.text.into() }))
    }
}

/// Appends as much as fits; whatever is not printable becomes `?`.
fn push_text(text: &mut String, more: &str) {
    for c in more.chars() {
        let c = if c.is_control() && c != '\n' { '?' } else { c };
        if text.len() + c.len_utf8() > TEXT_BYTES_MAX {
            return;
        }
        text.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_in_parts(stream: &[u8], part: usize) -> Vec<Result<String, Nonsense>> {
        let mut reader = ReplyReader::default();
        let mut replies = Vec::new();
        for mut bytes in stream.chunks(part) {
            while !bytes.is_empty() {
                let (used, reply) = reader.read(bytes, |_| {});
                bytes = &bytes[used..];
                match reply {
                    None => {}
                    Some(Ok(reply)) => replies.push(Ok(reply.to_string())),
                    Some(Err(nonsense)) => {
                        replies.push(Err(nonsense));
                        return replies;
                    }
                }
            }
        }
        replies
    }

    #[test]
    fn replies_are_read_however_they_are_cut() {
        let long_text = format!("250 {}\r\n", "x".repeat(4000));
        let many_lines = "250-a\r\n".repeat(100) + "250 b\r\n";
        let too_long = format!("250 {}\r\n", "x".repeat(4100));
        for (stream, expected) in [
            ("250 2.1.0 Sender OK\r\n", vec![Ok("250 2.1.0 Sender OK")]),
            ("250 OK\r\n550 5.7.1 No\r\n", vec![Ok("250 OK"), Ok("550 5.7.1 No")]),
            ("550-5.7.1 One\r\n550 5.7.1 two\r\n", vec![Ok("550 5.7.1 One two")]),
            ("354\r\n", vec![Ok("354 ")]),
            ("250 OK\n", vec![Ok("250 OK")]),
            ("550 a\tb\x07c\r\n", vec![Ok("550 a?b?c")]),
            ("250 5.7.1 not of this class\r\n", vec![Ok("250 5.7.1 not of this class")]),
            ("250-a\r\n550 b\r\n", vec![Err(Nonsense)]),
            ("199 a\r\n", vec![Err(Nonsense)]),
            ("2500 a\r\n", vec![Err(Nonsense)]),
            ("\r\n", vec![Err(Nonsense)]),
            ("SSH-2.0-OpenSSH\r\n", vec![Err(Nonsense)]),
            (&many_lines, vec![Err(Nonsense)]),
            (&too_long, vec![Err(Nonsense)]),
        ] {
            for part in [1, 2, 3, 7, stream.len()] {
                let read = read_in_parts(stream.as_bytes(), part);
                let read: Vec<_> = read.iter().map(|r| r.as_deref().map_err(|e| *e)).collect();
                assert_eq!(read, expected, "{stream:?} in parts of {part}");
            }
        }
        let read = read_in_parts(long_text.as_bytes(), 11);
        assert_eq!(read[0].as_deref().map(str::len), Ok("250 ".len() + TEXT_BYTES_MAX));
    }
}
