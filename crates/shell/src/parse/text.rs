//! Text in quotes, here-strings, variables, and words with variables in them.

use super::characters::{ends_word, is_double_quote, is_name, is_newline, is_quote, is_single_quote, is_space};
use super::{ParseError, Parsed, Parser};
use crate::source::Span;
use crate::syntax::{Expression, ExpressionKind, TextPart, VariableName};

/// Text that grows by characters and by values to be filled in.
#[derive(Default)]
pub(super) struct Parts {
    parts: Vec<TextPart>,
    text: String,
}

impl Parts {
    pub(super) fn push(&mut self, character: char) {
        self.text.push(character);
    }

    fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn value(&mut self, value: Expression) {
        if !self.text.is_empty() {
            self.parts.push(TextPart::Text(std::mem::take(&mut self.text)));
        }
        self.parts.push(TextPart::Value(value));
    }

    pub(super) fn finish(mut self) -> ExpressionKind {
        if self.parts.is_empty() {
            return ExpressionKind::Text(self.text);
        }
        if !self.text.is_empty() {
            self.parts.push(TextPart::Text(self.text));
        }
        ExpressionKind::Interpolated(self.parts)
    }
}

impl Parser<'_> {
    /// Text in quotes, of either kind.
    pub(super) fn quoted(&mut self) -> Parsed<Expression> {
        self.count()?;
        let start = self.at;
        let mut parts = Parts::default();
        self.quoted_into(&mut parts)?;
        Ok(Expression { kind: parts.finish(), span: self.span_from(start) })
    }

    pub(super) fn quoted_into(&mut self, parts: &mut Parts) -> Parsed<()> {
        match self.peek() {
            Some(quote) if is_single_quote(quote) => self.single_quoted(parts),
            Some(quote) if is_double_quote(quote) => self.double_quoted(parts),
            _ => Err(self.expected("text in quotes")),
        }
    }

    fn single_quoted(&mut self, parts: &mut Parts) -> Parsed<()> {
        let open = self.here();
        self.bump();
        loop {
            parts.push_str(self.take_while(|character| !is_single_quote(character)));
            let Some(quote) = self.bump() else {
                return Err(self.unclosed("'", open, "text in single quotes"));
            };
            // Two quotes in a row are one that belongs to the text.
            if !self.peek().is_some_and(is_single_quote) {
                return Ok(());
            }
            parts.push(quote);
            self.bump();
        }
    }

    fn double_quoted(&mut self, parts: &mut Parts) -> Parsed<()> {
        let open = self.here();
        self.bump();
        loop {
            parts.push_str(self.take_while(|character| !is_double_quote(character) && !matches!(character, '$' | '`')));
            match self.peek() {
                None => return Err(self.unclosed("\"", open, "text in double quotes")),
                Some('$') => self.dollar_into(parts)?,
                Some('`') => self.escape_into(parts),
                Some(quote) => {
                    self.bump();
                    if !self.peek().is_some_and(is_double_quote) {
                        return Ok(());
                    }
                    parts.push(quote);
                    self.bump();
                }
            }
        }
    }

    /// Whether `@"` or `@'` here begins a here-string.
    pub(super) fn is_here_string(&self) -> bool {
        self.peek() == Some('@') && self.peek_second().is_some_and(is_quote)
    }

    pub(super) fn here_string(&mut self) -> Parsed<Expression> {
        self.count()?;
        let start = self.at;
        self.bump();
        let is_literal = self.bump().is_some_and(is_single_quote);
        let open = self.span_from(start);
        self.take_while(is_space);
        if !self.eat("\r\n") && !self.eat("\n") && !self.eat("\r") {
            if self.peek().is_none() {
                return Err(self.unclosed(if is_literal { "'@" } else { "\"@" }, open, "a here-string"));
            }
            return Err(ParseError::new(
                self.here(),
                "nothing may stand behind the `@\"` or `@'` that begins a here-string; its text begins on the next line",
            ));
        }
        let mut parts = Parts::default();
        if let Some(end) = self.here_string_end(is_literal) {
            self.at += end;
            return Ok(Expression { kind: ExpressionKind::Text(String::new()), span: self.span_from(start) });
        }
        loop {
            let is_special = |character| is_newline(character) || (!is_literal && matches!(character, '$' | '`'));
            parts.push_str(self.take_while(|character| !is_special(character)));
            match self.peek() {
                None => {
                    let closer = if is_literal { "'@" } else { "\"@" };
                    return Err(self.unclosed(closer, open, "a here-string (at the start of a line of its own)"));
                }
                Some('$') => self.dollar_into(&mut parts)?,
                Some('`') => self.escape_into(&mut parts),
                Some(_) => {
                    let line_end = if self.eat("\r\n") {
                        "\r\n"
                    } else {
                        let character = self.bump();
                        if character == Some('\r') { "\r" } else { "\n" }
                    };
                    if let Some(end) = self.here_string_end(is_literal) {
                        self.at += end;
                        return Ok(Expression { kind: parts.finish(), span: self.span_from(start) });
                    }
                    parts.push_str(line_end);
                }
            }
        }
    }

    /// The length of the `"@` or `'@` that a line begins with.
    fn here_string_end(&self, is_literal: bool) -> Option<usize> {
        let quote = self.peek()?;
        let closes = if is_literal { is_single_quote(quote) } else { is_double_quote(quote) };
        (closes && self.peek_second() == Some('@')).then_some(quote.len_utf8() + 1)
    }

    /// What stands behind a backtick.
    pub(super) fn escape_into(&mut self, parts: &mut Parts) {
        self.bump();
        match self.bump() {
            None => {}
            Some('0') => parts.push('\0'),
            Some('a') => parts.push('\u{7}'),
            Some('b') => parts.push('\u{8}'),
            Some('f') => parts.push('\u{c}'),
            Some('n') => parts.push('\n'),
            Some('r') => parts.push('\r'),
            Some('t') => parts.push('\t'),
            Some('v') => parts.push('\u{b}'),
            Some(other) => parts.push(other),
        }
    }

    /// What a `$` within text stands for; itself, if no name follows.
    pub(super) fn dollar_into(&mut self, parts: &mut Parts) -> Parsed<()> {
        if self.is_at("$(") {
            let value = self.sub_expression()?;
            parts.value(value);
        } else if self.is_variable() {
            let value = self.variable()?;
            parts.value(value);
        } else {
            self.bump();
            parts.push('$');
        }
        Ok(())
    }

    /// Whether the `$` here begins a variable's name.
    pub(super) fn is_variable(&self) -> bool {
        self.is_at("$")
            && self
                .peek_second()
                .is_some_and(|character| is_variable_name(character) || matches!(character, '{' | '$' | '^'))
    }

    pub(super) fn variable(&mut self) -> Parsed<Expression> {
        self.count()?;
        let start = self.at;
        let name = self.variable_name()?;
        Ok(Expression { kind: ExpressionKind::Variable(name), span: self.span_from(start) })
    }

    /// `$name`, or `@name` of splatting: one character, then the name.
    pub(super) fn variable_name(&mut self) -> Parsed<VariableName> {
        let start = self.at;
        self.bump();
        if self.is_at("{") {
            return self.braced_variable_name(start);
        }
        if let Some(special @ ('$' | '^')) = self.peek() {
            self.bump();
            return Ok(VariableName { scope: None, name: special.to_string() });
        }
        let first = self.take_while(is_variable_name);
        if first == "?" || !self.is_at(":") || self.is_at("::") {
            return Ok(VariableName { scope: None, name: first.to_owned() });
        }
        let colon = self.at;
        self.bump();
        let name = self.take_while(is_variable_name);
        if name.is_empty() {
            self.at = colon;
            return Err(ParseError::new(
                Span { start: start as u32, end: colon as u32 + 1 },
                format!(
                    "`${first}:` is read as the beginning of a name with a scope, and no name follows; write `${{{first}}}:` where the colon is text"
                ),
            ));
        }
        Ok(VariableName { scope: Some(first.to_ascii_lowercase()), name: name.to_owned() })
    }

    fn braced_variable_name(&mut self, start: usize) -> Parsed<VariableName> {
        let open = self.here();
        self.bump();
        let mut name = String::new();
        loop {
            match self.bump() {
                None => return Err(self.unclosed("}", open, "a variable's name in braces")),
                Some('}') => break,
                Some('`') => name.extend(self.bump()),
                Some(character) => name.push(character),
            }
        }
        if name.is_empty() {
            return Err(ParseError::new(self.span_from(start), "a variable's name is missing between `${` and `}`"));
        }
        if let Some((scope, rest)) = name.split_once(':')
            && !scope.is_empty()
            && !rest.is_empty()
            && scope.chars().all(is_name)
        {
            return Ok(VariableName { scope: Some(scope.to_ascii_lowercase()), name: rest.to_owned() });
        }
        Ok(VariableName { scope: None, name })
    }

    /// A word among arguments, or a command's name: quotes and variables within it are filled in.
    pub(super) fn word(&mut self) -> Parsed<Expression> {
        self.count()?;
        let start = self.at;
        let mut parts = Parts::default();
        let mut is_plain = true;
        while let Some(character) = self.peek() {
            match character {
                _ if ends_word(character) => break,
                '`' if self.peek_second().is_none_or(is_newline) => break,
                '`' => {
                    is_plain = false;
                    self.escape_into(&mut parts);
                }
                '$' => self.dollar_into(&mut parts)?,
                _ if is_quote(character) => {
                    is_plain = false;
                    self.quoted_into(&mut parts)?;
                }
                _ => {
                    parts.push(character);
                    self.bump();
                }
            }
        }
        if self.at == start {
            return Err(self.expected("an argument"));
        }
        let span = self.span_from(start);
        let kind = match parts.finish() {
            ExpressionKind::Text(text) if is_plain => match super::number::whole(&text) {
                Some(number) => ExpressionKind::BareNumber(text, Box::new(Expression { kind: number, span })),
                None => ExpressionKind::Text(text),
            },
            other => other,
        };
        Ok(Expression { kind, span })
    }
}

/// Whether a character belongs to the name of a variable that stands without braces. `?` does, as in the original.
pub(super) fn is_variable_name(character: char) -> bool {
    is_name(character) || character == '?'
}
