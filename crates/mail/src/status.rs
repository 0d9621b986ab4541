//! What goes on the wire as an answer: replies (RFC 5321 section 4.2) and enhanced status codes (RFC 3463).
//!
//! Takes codes and texts, hands on one [`Reply`]; never decides which reply is due.

use std::borrow::Cow;
use std::fmt;

/// The first digit of a reply or status code: what the peer should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 2: done.
    Success,
    /// 3: go on, more is expected.
    Intermediate,
    /// 4: not now, try again later.
    Transient,
    /// 5: no, and not later either.
    Permanent,
}

/// An enhanced status code `class.subject.detail` (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// 2, 4 or 5.
    pub class: u8,
    /// 0 to 999.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

impl Status {
    /// Builds a status code; digits are taken as they are.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Status {
        Status { class, subject, detail }
    }

    /// Reads `5.7.1` from the start of `text`; hands back the code and what follows it without leading spaces.
    /// `None` if the text does not start with a well-formed code followed by a space or the end.
    pub fn parse_prefix(text: &str) -> Option<(Status, &str)> {
        let end = text.find(' ').unwrap_or(text.len());
        let (code, rest) = text.split_at(end);
        let mut parts = code.split('.');
        let mut number = |digits_max: usize| -> Option<u16> {
            let part = parts.next()?;
            (!part.is_empty() && part.len() <= digits_max && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse().ok())
                .flatten()
        };
        let class = number(1)?;
        let (subject, detail) = (number(3)?, number(3)?);
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        Some((Status::new(class as u8, subject, detail), rest.trim_start_matches(' ')))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One reply: code, enhanced status code and text. The text may hold several lines, separated by `\n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits, 200 to 599.
    pub code: u16,
    /// The enhanced status code, where the reply has one.
    pub status: Option<Status>,
    /// The text after both codes; never contains CR.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced status code given as `(class, subject, detail)`.
    pub const fn new(code: u16, status: (u8, u16, u16), text: &'static str) -> Reply {
        Reply { code, status: Some(Status::new(status.0, status.1, status.2)), text: Cow::Borrowed(text) }
    }

    /// A reply without an enhanced status code: greeting, 334, 354.
    pub const fn plain(code: u16, text: &'static str) -> Reply {
        Reply { code, status: None, text: Cow::Borrowed(text) }
    }

    /// The same reply with another text.
    pub fn with_text(self, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { text: text.into(), ..self }
    }

    /// A reply as [`fmt::Display`] shows it on one line; `None` for anything else.
    pub fn read_back(line: &str) -> Option<Reply> {
        let (code, text) = line.split_at_checked(3)?;
        let code = code.parse().ok().filter(|code| (200..600).contains(code))?;
        let text = if text.is_empty() { text } else { text.strip_prefix(' ')? };
        let (status, text) = Status::parse_prefix(text).map_or((None, text), |(status, text)| (Some(status), text));
        Some(Reply { code, status, text: text.to_owned().into() })
    }

    /// What the first digit says.
    pub fn class(&self) -> Class {
        match self.code / 100 {
            2 => Class::Success,
            3 => Class::Intermediate,
            4 => Class::Transient,
            _ => Class::Permanent,
        }
    }

    /// Whether the peer's command was done (2xx) or is being done (3xx).
    pub fn is_positive(&self) -> bool {
        matches!(self.class(), Class::Success | Class::Intermediate)
    }

    /// The enhanced status code, or the generic one of the reply's class (`x.0.0`) where the peer sent none.
    pub fn status_or_default(&self) -> Status {
        self.status.unwrap_or(Status::new((self.code / 100) as u8, 0, 0))
    }

    /// Writes the reply as it goes on the wire, one line for each line of the text, `\r\n` at the end of each.
    /// `enhanced` says whether this session shows enhanced status codes (RFC 2034).
    pub fn write(&self, enhanced: bool, out: &mut Vec<u8>) {
        use std::io::Write;
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let mark = if lines.peek().is_some() { '-' } else { ' ' };
            // Writing to a Vec cannot fail.
            let _ = match self.status.filter(|_| enhanced) {
                Some(status) => write!(out, "{}{mark}{status} {line}\r\n", self.code),
                None => write!(out, "{}{mark}{line}\r\n", self.code),
            };
        }
    }
}

/// One line, as logs and reports show it: `550 5.7.1 Unable to relay`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        for line in self.text.split('\n') {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_is_written_with_its_enhanced_code_only_where_the_session_shows_them() {
        let reply = Reply::new(550, (5, 7, 1), "Unable to relay");
        let (mut shown, mut hidden) = (Vec::new(), Vec::new());
        reply.write(true, &mut shown);
        reply.write(false, &mut hidden);
        assert_eq!(shown, b"550 5.7.1 Unable to relay\r\n");
        assert_eq!(hidden, b"550 Unable to relay\r\n");
    }

    #[test]
    fn a_text_of_several_lines_becomes_a_multiline_reply() {
        let mut out = Vec::new();
        Reply::plain(214, "one\ntwo").write(true, &mut out);
        assert_eq!(out, b"214-one\r\n214 two\r\n");
    }

    #[test]
    fn a_status_code_is_read_only_when_it_is_whole() {
        for (text, expected) in [
            ("5.7.1 Unable to relay", Some((Status::new(5, 7, 1), "Unable to relay"))),
            ("2.1.0", Some((Status::new(2, 1, 0), ""))),
            ("3.1.0 no such class", None),
            ("5.7 short", None),
            ("5.7.1.2 long", None),
            ("5.7.1234 wide", None),
            ("5..1 empty", None),
            ("", None),
        ] {
            assert_eq!(Status::parse_prefix(text), expected, "{text}");
        }
    }
    proptest! {
        #[test]
        fn a_status_code_is_read_as_it_was_written(
            class in prop::sample::select(vec![2_u8, 4, 5]),
            subject in 0_u16..1000,
            detail in 0_u16..1000,
            text in "[ -~]{0,20}",
        ) {
            let status = Status::new(class, subject, detail);
            let line = format!("{status} {text}");
            prop_assert_eq!(Status::parse_prefix(&line), Some((status, text.trim_start_matches(' '))));
        }

        #[test]
        fn any_text_is_taken_without_a_panic(text in any::<String>(), digits in "[0-9. ]{0,12}") {
            for text in [text, digits] {
                if let Some((status, rest)) = Status::parse_prefix(&text) {
                    prop_assert!(text.ends_with(rest) && status.subject < 1000 && status.detail < 1000);
                }
            }
        }
    }
}
