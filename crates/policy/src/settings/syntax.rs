//! What is no TOML: finds every broken statement, and reads the rest as if it were not there.
//!
//! The parser's own recovery takes everything behind an unclosed bracket for broken, so we recover ourselves: the first
//! error is noted, its statement is blanked out (same length, so that all places stay true) and the document is parsed
//! again.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::DeTable;

/// Broken statements noted at most.
const BROKEN_MAX: usize = 100;
/// Bytes parsed at most while recovering; keeps a large document with many mistakes from taking minutes.
const RECOVERY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One statement that is no TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// Where the mistake is, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: &'static str,
    /// The key whose value was lost with it.
    pub key: Option<String>,
}

/// The document with broken statements blanked out, and what was wrong with them, in document order. What is handed back
/// has the length of `text` and parses.
pub(super) fn recover(text: &str) -> (Cow<'_, str>, Vec<Broken>) {
    let mut recovered = Cow::Borrowed(text);
    let mut broken = Vec::new();
    let rounds_max = (RECOVERY_BYTES_MAX / text.len().max(1)).clamp(1, BROKEN_MAX);
    while let Some((span, message)) = first_error(&recovered) {
        let (blank, mistake) = broken_statement(&recovered, span, &message);
        broken.push(mistake);
        if broken.len() < rounds_max {
            recovered = Cow::Owned(without(&recovered, blank));
            continue;
        }
        broken.push(Broken {
            span: blank.end..blank.end,
            message: "nothing from here on was read: there are too many mistakes".to_owned(),
            remedy: "correct those above first",
            key: None,
        });
        recovered = Cow::Owned(without(&recovered, blank.start..text.len()));
        // What was blanked out may have closed a list that stands before it; then nothing is read.
        if first_error(&recovered).is_some() {
            recovered = Cow::Owned(without(text, 0..text.len()));
        }
        break;
    }
    broken.sort_by_key(|mistake| mistake.span.start);
    (recovered, broken)
}

fn first_error(text: &str) -> Option<(Range<usize>, String)> {
    let (_, errors) = DeTable::parse_recoverable(text);
    let place = |error: &toml::de::Error| error.span().unwrap_or(0..0);
    let first = errors.iter().min_by_key(|error| place(error).start)?;
    Some((place(first), first.message().to_owned()))
}

/// Spaces in place of everything in `range` but line ends.
fn without(text: &str, range: Range<usize>) -> String {
    let bytes = text.bytes().enumerate();
    let blanked = bytes.map(|(at, byte)| if range.contains(&at) && byte != b'\n' { b' ' } else { byte }).collect();
    // Statements begin and end at line ends, so no character is cut.
    String::from_utf8(blanked).unwrap_or_else(|_| " ".repeat(text.len()))
}

/// What to blank out for an error at `span`, and how to tell it.
fn broken_statement(text: &str, span: Range<usize>, message: &str) -> (Range<usize>, Broken) {
    let at = span.start.min(text.len());
    let line = line_start(text, at);
    let start = statement_start(text, line);
    // Where a new statement surprises the parser, the one before was not closed.
    let surprised = if start == line && line > 0 { statement_start(text, line_start(text, line - 1)) } else { start };
    let until = if surprised < start { start } else { at };
    if let Some(bracket) = open_bracket(text, surprised..until) {
        let end = if surprised < start { start } else { next_statement(text, at) };
        let broken = Broken {
            span: bracket..bracket + 1,
            message: "this list is not closed".to_owned(),
            remedy: "write ] behind its last element",
            key: key_of(text, surprised),
        };
        // An error within the list itself, before its closing bracket, is told as such.
        let closed_later = surprised == start && open_bracket(text, start..end).is_none();
        if !closed_later {
            return (surprised..end, broken);
        }
    }
    let is_header = text[start..].trim_start_matches([' ', '\t']).starts_with('[');
    let end = if is_header { next_header(text, line_end(text, at)) } else { next_statement(text, at) };
    let broken = Broken {
        span,
        message: format!("this is not TOML: {message}"),
        remedy: remedy(message),
        key: key_of(text, start),
    };
    // At least one byte goes each time, so that this ends.
    (start..end.max(at + 1).min(text.len().max(1)), broken)
}

fn remedy(message: &str) -> &'static str {
    if message.contains("duplicate") {
        "keep one of the two"
    } else if message.contains("string") || message.contains("quote") || message.contains("escape") {
        r#"write text between double quotes, all on one line, and a backslash in it twice: "NT AUTHORITY\\ANONYMOUS LOGON""#
    } else if message.contains("array") {
        r#"write lists as ["one", "two"], with commas between the elements and ] at the end"#
    } else {
        "write key = value, one to a line; text stands between double quotes, tables begin with [name] or [[name]]"
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

/// Behind the line end that follows `at`.
fn line_end(text: &str, at: usize) -> usize {
    text.as_bytes()[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |newline| at + newline + 1)
}

/// The start of the nearest line at or before the line at `line` that begins a statement.
fn statement_start(text: &str, mut line: usize) -> usize {
    while line > 0 && !begins_statement(&text[line..]) {
        line = line_start(text, line - 1);
    }
    line
}

/// The start of the first line behind that of `at` that begins a statement.
fn next_statement(text: &str, at: usize) -> usize {
    let mut line = line_end(text, at);
    while line < text.len() && !begins_statement(&text[line..]) {
        line = line_end(text, line);
    }
    line
}

/// The start of the first line at or behind `line` that is a table header.
fn next_header(text: &str, mut line: usize) -> usize {
    while line < text.len() && !text[line..].trim_start_matches([' ', '\t']).starts_with('[') {
        line = line_end(text, line);
    }
    line
}

fn begins_statement(line: &str) -> bool {
    line.trim_start_matches([' ', '\t']).starts_with('[') || bare_key(line).is_some()
}

/// The key of `key = value`, where it needs no quotes.
fn bare_key(line: &str) -> Option<&str> {
    let line = line.trim_start_matches([' ', '\t']);
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))?;
    let (key, rest) = line.split_at(end);
    (!key.is_empty() && rest.trim_start_matches([' ', '\t']).starts_with('=')).then_some(key)
}

fn key_of(text: &str, statement: usize) -> Option<String> {
    bare_key(&text[statement..]).map(str::to_owned)
}

/// The outermost bracket that is opened in the value of the statement and not closed in `range`.
fn open_bracket(text: &str, range: Range<usize>) -> Option<usize> {
    let statement = &text[range.clone()];
    bare_key(statement)?;
    let mut open: Vec<usize> = Vec::new();
    let mut quote = None;
    let mut escaped = false;
    let mut comment = false;
    for (at, byte) in statement.bytes().enumerate() {
        match (quote, byte) {
            // Neither comments nor the strings that we know go on behind the line.
            (_, b'\n') => {
                (quote, escaped, comment) = (None, false, false);
            }
            _ if comment => {}
            (Some(_), _) if escaped => escaped = false,
            (Some(b'"'), b'\\') => escaped = true,
            (Some(opened), _) if byte == opened => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'#') => comment = true,
            (None, b'[') => open.push(range.start + at),
            (None, b']') => {
                open.pop();
            }
            (None, _) => {}
        }
    }
    open.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_statement_is_told_once_and_the_rest_is_read() {
        for (text, expected) in [
            ("a = 1\n", &[][..]),
            (
                "a = [1\nb = 2\nc = x\nd = 4\n",
                &[(4, "this list is not closed", Some("a")), (17, "this is not TOML", Some("c"))],
            ),
            ("a = [\n 1,\n[b]\nc = 2\n", &[(4, "this list is not closed", Some("a"))]),
            ("a = [1", &[(4, "this list is not closed", Some("a"))]),
            ("a = [\"x\" \"y\"]\nb = 2\n", &[(9, "this is not TOML", Some("a"))]),
            ("a = [\n  \"x\"\n  \"y\",\n]\nb = 2\n", &[(14, "this is not TOML", Some("a"))]),
            ("a = \"x\nb = 2\n", &[(6, "this is not TOML", Some("a"))]),
            ("a = \"\\N\"\nb = 2\n", &[(6, "this is not TOML", Some("a"))]),
            ("a = 1\na = 2\nb = 3\n", &[(6, "this is not TOML", Some("a"))]),
            ("[s]\na = 1\n[s]\nb = 2\n[t]\nc = 3\n", &[(11, "this is not TOML", None)]),
            ("x\nb = 2\n", &[(1, "this is not TOML", None)]),
        ] {
            let (recovered, broken) = recover(text);
            let told: Vec<_> = broken.iter().map(|b| (b.span.start, b.message.as_str(), b.key.as_deref())).collect();
            assert_eq!(told.len(), expected.len(), "{text}: {told:?}");
            for ((at, message, key), (expected_at, expected_message, expected_key)) in told.iter().zip(expected) {
                assert!(message.starts_with(expected_message), "{text}: {told:?}");
                assert_eq!((at, key), (expected_at, expected_key), "{text}: {told:?}");
            }
            assert_eq!(recovered.len(), text.len());
            assert_eq!(first_error(&recovered), None, "{text}");
        }
    }

    #[test]
    fn reading_stops_after_too_many_mistakes_and_says_so() {
        let text = "a = x\n".repeat(BROKEN_MAX + 50);
        let (recovered, broken) = recover(&text);
        assert_eq!(broken.len(), BROKEN_MAX + 1);
        assert!(broken[BROKEN_MAX].message.starts_with("nothing from here on was read"));
        assert_eq!(first_error(&recovered), None);
    }

    proptest::proptest! {
        #[test]
        fn recovery_ends_with_a_document_that_parses(text in "[a-c\\[\\]=\"'#{}, .\\\\1é\\r\\n]{0,60}") {
            let (recovered, broken) = recover(&text);
            proptest::prop_assert_eq!(recovered.len(), text.len());
            proptest::prop_assert_eq!(first_error(&recovered), None);
            proptest::prop_assert_eq!(broken.is_empty(), first_error(&text).is_none());
        }
    }
}
