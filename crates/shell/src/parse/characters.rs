//! The characters of a text, one after the other: what they count as, and what lies between words.

use super::{ParseError, Parsed, Parser};
use crate::source::Span;

/// Dashes as keyboards and as blogs write them.
pub(super) fn is_dash(character: char) -> bool {
    matches!(character, '-' | '\u{2013}' | '\u{2014}' | '\u{2015}')
}

/// Double quotes as keyboards and as blogs write them; any of them closes what another has opened.
pub(super) fn is_double_quote(character: char) -> bool {
    matches!(character, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}')
}

/// Single quotes as keyboards and as blogs write them.
pub(super) fn is_single_quote(character: char) -> bool {
    matches!(character, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}')
}

pub(super) fn is_quote(character: char) -> bool {
    is_double_quote(character) || is_single_quote(character)
}

pub(super) fn is_newline(character: char) -> bool {
    matches!(character, '\n' | '\r')
}

/// Spaces of all kinds, those that nobody sees included: web pages are full of them.
pub(super) fn is_space(character: char) -> bool {
    !is_newline(character)
        && (character.is_whitespace() || matches!(character, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{180e}'))
}

pub(super) fn is_name_start(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

pub(super) fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether a word among arguments ends before it.
pub(super) fn ends_word(character: char) -> bool {
    is_space(character)
        || is_newline(character)
        || matches!(character, '&' | '|' | ';' | ',' | '(' | ')' | '{' | '}' | '<' | '>')
}

impl<'a> Parser<'a> {
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The character after the next.
    pub(super) fn peek_second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    pub(super) fn is_at(&self, text: &str) -> bool {
        self.rest().starts_with(text)
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let is_there = self.is_at(text);
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    /// What comes next as long as `is_part` says so.
    pub(super) fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    pub(super) fn span_from(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.at as u32 }
    }

    /// The place of the next character.
    pub(super) fn here(&self) -> Span {
        let length = self.peek().map_or(0, char::len_utf8);
        Span { start: self.at as u32, end: (self.at + length) as u32 }
    }

    /// Passes over spaces, comments and continued lines, not over the end of a line.
    pub(super) fn space(&mut self) {
        loop {
            self.take_while(is_space);
            match self.peek() {
                // With spaces between it and the end of the line, a backtick continues nothing in the original. Blogs add
                // such spaces, and no word consists of one escaped space at the end of a line.
                Some('`') if self.is_backtick_before_end_of_line() => {
                    self.bump();
                    self.take_while(is_space);
                    self.newline();
                }
                Some('<') if self.is_at("<#") => self.block_comment(),
                Some('#') => {
                    self.take_while(|character| !is_newline(character));
                }
                _ => return,
            }
        }
    }

    /// Passes over one end of a line, or notes that the text ends.
    fn newline(&mut self) {
        if !self.eat("\r\n") && self.bump().is_none() {
            self.is_continued_at_end = true;
        }
    }

    fn is_backtick_before_end_of_line(&self) -> bool {
        let behind = self.rest()[1..].trim_start_matches(is_space);
        behind.is_empty() || behind.starts_with(is_newline)
    }

    fn block_comment(&mut self) {
        let start = self.at;
        match self.rest().find("#>") {
            Some(length) => self.at += length + "#>".len(),
            None => {
                self.open_comment.get_or_insert(Span { start: start as u32, end: (start + 2) as u32 });
                self.at = self.text.len();
            }
        }
    }

    /// Passes over spaces, comments and ends of lines.
    pub(super) fn space_and_newlines(&mut self) {
        loop {
            self.space();
            if !self.peek().is_some_and(is_newline) {
                return;
            }
            self.take_while(is_newline);
        }
    }

    /// Passes over what stands between statements.
    pub(super) fn separators(&mut self) {
        loop {
            self.space_and_newlines();
            if !self.eat(";") {
                return;
            }
        }
    }

    /// The word that begins here, if it is one that could be a keyword: letters that nothing else continues.
    pub(super) fn keyword(&self) -> Option<&'a str> {
        let rest = self.rest();
        let length = rest.find(|character| !is_name(character)).unwrap_or(rest.len());
        let word = &rest[..length];
        if !word.starts_with(is_name_start) {
            return None;
        }
        let is_ended = rest[length..].chars().next().is_none_or(|character| {
            ends_word(character) || is_quote(character) || matches!(character, '$' | '[' | '@' | '`' | '#' | '!')
        });
        is_ended.then_some(word)
    }

    /// Whether the keyword that comes next is this one.
    pub(super) fn is_keyword(&self, word: &str) -> bool {
        self.keyword().is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    /// Passes over spaces and the keyword `word`, if that comes next; ends of lines may stand before it.
    pub(super) fn eat_keyword_on_any_line(&mut self, word: &str) -> bool {
        let start = self.at;
        self.space_and_newlines();
        if self.is_keyword(word) {
            self.at += word.len();
            return true;
        }
        self.at = start;
        false
    }

    /// What stands here, short enough for an error message.
    pub(super) fn next_word(&self) -> String {
        match self.peek() {
            None => "the end of the text".to_owned(),
            Some(character) if is_newline(character) => "the end of the line".to_owned(),
            Some(character) => {
                let rest = self.rest();
                let length = rest.find(ends_word).unwrap_or(rest.len()).max(character.len_utf8());
                let word: String = rest[..length].chars().take(30).collect();
                format!("`{word}`")
            }
        }
    }

    /// An error about what stands here; at the end of the text it is one that more text could heal.
    pub(super) fn expected(&self, what: &str) -> ParseError {
        if self.peek().is_none() {
            return ParseError::incomplete(self.here(), format!("the text ends where {what} should follow"));
        }
        let rest = self.rest();
        let length = rest.find(ends_word).unwrap_or(rest.len()).max(self.here_length());
        let span = Span { start: self.at as u32, end: (self.at + length) as u32 };
        ParseError::new(span, format!("{} stands where {what} should", self.next_word()))
    }

    fn here_length(&self) -> usize {
        self.peek().map_or(0, char::len_utf8)
    }

    /// Passes over `closer`, which ends what was opened at `open`.
    pub(super) fn close(&mut self, closer: &str, open: Span, what: &str) -> Parsed<()> {
        if self.eat(closer) {
            return Ok(());
        }
        if self.peek().is_none() {
            return Err(self.unclosed(closer, open, what));
        }
        let (line, column) = self.source.position(open.start);
        let mut error = self.expected(&format!("`{closer}`"));
        error.message = format!("{}: it closes {what} of line {line}, column {column}", error.message);
        Err(error)
    }

    pub(super) fn unclosed(&self, closer: &str, open: Span, what: &str) -> ParseError {
        ParseError::incomplete(open, format!("{what} is not closed: `{closer}` is missing"))
    }
}
