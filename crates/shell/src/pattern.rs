//! Wildcards and regular expressions.
//!
//! Both take time in proportion to the text: expressions are those of the crate `regex`, which has no lookaround and no
//! backreferences; an expression that needs them is refused with words that say so.

use std::cell::RefCell;

use regex::{Regex, RegexBuilder};

use crate::fault::{Category, Fault};

/// Bytes that one compiled expression may take.
const COMPILED_BYTES_MAX: usize = 4 << 20;
/// Compiled expressions that are kept, because loops ask for the same one again and again.
const KEPT_MAX: usize = 16;

/// Whether a text is like a pattern with `*`, `?` and `[a-z]`; a backtick takes the meaning from what follows.
pub fn is_like(text: &str, pattern: &str, is_case_sensitive: bool) -> bool {
    Wildcard::parse(pattern, is_case_sensitive).matches(text)
}

/// Whether a text has a wildcard in it.
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// A pattern with wildcards, ready to be asked many times.
#[derive(Debug)]
pub struct Wildcard {
    pieces: Vec<Piece>,
    is_case_sensitive: bool,
}

#[derive(Debug)]
enum Piece {
    Any,
    One,
    Char(char),
    Set(Vec<(char, char)>),
}

impl Wildcard {
    /// Reads a pattern; one that has no good end stands for itself.
    pub fn parse(pattern: &str, is_case_sensitive: bool) -> Wildcard {
        let fold = |character: char| folded(character, is_case_sensitive);
        let characters: Vec<char> = pattern.chars().collect();
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(&character) = characters.get(at) {
            at += 1;
            match character {
                '*' if matches!(pieces.last(), Some(Piece::Any)) => {}
                '*' => pieces.push(Piece::Any),
                '?' => pieces.push(Piece::One),
                '`' if at < characters.len() => {
                    pieces.push(Piece::Char(fold(characters[at])));
                    at += 1;
                }
                '[' => match characters[at..].iter().skip(1).position(|&end| end == ']') {
                    Some(length) => {
                        let set = &characters[at..=at + length];
                        at += length + 2;
                        pieces.push(Piece::Set(ranges(set, fold)));
                    }
                    None => pieces.push(Piece::Char('[')),
                },
                other => pieces.push(Piece::Char(fold(other))),
            }
        }
        Wildcard { pieces, is_case_sensitive }
    }

    /// Whether a text is like it, from beginning to end.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().map(|character| folded(character, self.is_case_sensitive)).collect();
        let (mut at, mut piece) = (0, 0);
        // Where the last `*` stands, and how far the text was taken by it: what came before never has to be looked at again.
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.pieces.get(piece) {
                Some(Piece::Any) => {
                    star = Some((piece, at));
                    piece += 1;
                    continue;
                }
                Some(one) if one.takes(text[at]) => {
                    at += 1;
                    piece += 1;
                    continue;
                }
                _ => {}
            }
            let Some((star_piece, taken)) = star else { return false };
            star = Some((star_piece, taken + 1));
            at = taken + 1;
            piece = star_piece + 1;
        }
        self.pieces[piece..].iter().all(|piece| matches!(piece, Piece::Any))
    }
}

impl Piece {
    fn takes(&self, character: char) -> bool {
        match self {
            Piece::Any => false,
            Piece::One => true,
            Piece::Char(own) => *own == character,
            Piece::Set(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)),
        }
    }
}

fn folded(character: char, is_case_sensitive: bool) -> char {
    match is_case_sensitive {
        true => character,
        false => character.to_lowercase().next().unwrap_or(character),
    }
}

fn ranges(set: &[char], fold: impl Fn(char) -> char) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < set.len() {
        match set.get(at..at + 3) {
            Some(&[first, '-', last]) => {
                ranges.push((fold(first), fold(last)));
                at += 3;
            }
            _ => {
                ranges.push((fold(set[at]), fold(set[at])));
                at += 1;
            }
        }
    }
    ranges
}

thread_local! {
    static KEPT: RefCell<Vec<(String, bool, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// A regular expression as scripts write it.
///
/// # Errors
/// One that is wrong, too large, or needs what cannot be had in linear time.
pub fn regex(pattern: &str, is_case_sensitive: bool) -> Result<Regex, Fault> {
    let kept = KEPT.with_borrow(|kept| {
        kept.iter()
            .find(|(known, sensitive, _)| known == pattern && *sensitive == is_case_sensitive)
            .map(|(_, _, regex)| regex.clone())
    });
    if let Some(regex) = kept {
        return Ok(regex);
    }
    let translated = translate(pattern)?;
    let regex = RegexBuilder::new(&translated)
        .case_insensitive(!is_case_sensitive)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| refused(pattern, &reason(&error)))?;
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push((pattern.to_owned(), is_case_sensitive, regex.clone()));
    });
    Ok(regex)
}

fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
        // The last line of a syntax error is the sentence, those before draw a picture.
        other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

fn refused(pattern: &str, why: &str) -> Fault {
    let mut fault = Fault::new(
        Category::InvalidOperation,
        format!("The regular expression pattern {} is not valid: {why}.", crate::convert::shortened(pattern)),
    );
    fault.exception = "System.ArgumentException";
    fault
}

/// The expression in the syntax of the crate: the two differ in a few corners.
fn translate(pattern: &str) -> Result<String, Fault> {
    let lookaround = "lookaround ((?=, (?!, (?<=, (?<!) is not supported, because matching always takes linear time here; match twice, or capture with ( )";
    let characters: Vec<char> = pattern.chars().collect();
    let mut into = String::with_capacity(pattern.len());
    let mut is_in_set = false;
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let next = characters.get(at + 1).copied();
        match (character, next) {
            ('\\', Some(next)) => {
                at += 1;
                match next {
                    '1'..='9' if !is_in_set => {
                        return Err(refused(
                            pattern,
                            &format!(
                                "the backreference \\{next} is not supported, because matching always takes linear time here"
                            ),
                        ));
                    }
                    'k' if !is_in_set => {
                        return Err(refused(
                            pattern,
                            "backreferences (\\k) are not supported, because matching always takes linear time here",
                        ));
                    }
                    'Z' => into.push_str(r"\z"),
                    'e' => into.push_str(r"\x1B"),
                    '<' | '>' | '"' | '\'' | ' ' | '_' | '@' | '=' | '!' | ',' | ';' | ':' | '%' | '/' | '`' => {
                        // Needs no escape, and some mean something else there.
                        if next == ' ' {
                            into.push_str(r"\x20");
                        } else {
                            into.push(next);
                        }
                    }
                    other => {
                        into.push('\\');
                        into.push(other);
                    }
                }
            }
            ('[', _) if is_in_set => into.push_str(r"\["),
            ('[', _) => {
                is_in_set = true;
                into.push('[');
                if next == Some('^') {
                    into.push('^');
                    at += 1;
                }
                // A bracket that comes first closes nothing.
                if characters.get(at + 1) == Some(&']') {
                    into.push_str(r"\]");
                    at += 1;
                }
            }
            (']', _) => {
                is_in_set = false;
                into.push(']');
            }
            ('&' | '~', Some(next)) if is_in_set && next == character => {
                into.push('\\');
                into.push(character);
            }
            ('-', Some('-')) if is_in_set => into.push_str(r"\-"),
            ('(', Some('?')) if !is_in_set => {
                match (characters.get(at + 2), characters.get(at + 3)) {
                    (Some('=' | '!'), _) | (Some('<'), Some('=' | '!')) => return Err(refused(pattern, lookaround)),
                    (Some('>'), _) => return Err(refused(pattern, "atomic groups ((?>) are not supported; write (?:")),
                    _ => {}
                }
                into.push('(');
            }
            ('{', _) if !is_in_set && !is_repetition(&characters[at + 1..]) => into.push_str(r"\{"),
            (other, _) => into.push(other),
        }
        at += 1;
    }
    Ok(into)
}

/// Whether what follows `{` makes it a repetition: `{3}`, `{1,}`, `{1,3}`.
fn is_repetition(rest: &[char]) -> bool {
    let Some(end) = rest.iter().position(|&character| character == '}') else { return false };
    let inner = &rest[..end];
    inner.first().is_some_and(char::is_ascii_digit)
        && inner.iter().all(|character| character.is_ascii_digit() || *character == ',')
        && inner.iter().filter(|character| **character == ',').count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_texts() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("Relay*", "relay 1", true),
            ("*relay", "A RELAY", true),
            ("*a*b*", "xxaxxbxx", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "Bx", true),
            ("[a-c]x", "dx", false),
            ("a[b", "a[b", true),
            ("`*", "*", true),
            ("`*", "x", false),
            ("SMTP:*;1", "smtp:contoso.com;1", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(is_like(text, pattern, false), expected, "{pattern} {text}");
        }
        assert!(!is_like("A", "a", true));
    }

    #[test]
    fn expressions_are_those_that_scripts_write() {
        for (pattern, text, expected) in [
            (r"^\d{1,3}(\.\d{1,3}){3}$", "10.0.0.1", true),
            ("[[]x", "[x", true),
            ("a{", "a{", true),
            (r"\<b\>", "<b>", true),
            ("(?<name>x)", "x", true),
            ("[]]", "]", true),
            ("ABC", "xabcx", true),
            (r"^[\w\.-]+@[\w\.-]+$", "a.b@c.d", true),
        ] {
            let regex = regex(pattern, false).unwrap_or_else(|fault| panic!("{pattern}: {fault}"));
            assert_eq!(regex.is_match(text), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_linear_is_refused_by_name() {
        for (pattern, words) in [
            ("(?=x)", "lookaround"),
            ("(?<!x)y", "lookaround"),
            (r"(a)\1", "backreference"),
            ("(?>a)", "atomic"),
            ("(", "unclosed group"),
            ("a{9}{9}{9}{9}{9}{9}{9}{9}", "too large"),
        ] {
            let fault = regex(pattern, false).expect_err(pattern);
            assert!(fault.message.contains(words), "{pattern}: {fault}");
        }
    }
}
