//! Pipelines, commands and their arguments: where words need no quotes.

use super::characters::{ends_word, is_dash, is_name_start, is_newline, is_quote, is_space};
use super::expression::Commas;
use super::text::is_variable_name;
use super::{ParseError, Parsed, Parser, refusal};
use crate::source::Span;
use crate::syntax::{
    Argument, CommandCall, Expression, ExpressionKind, Invocation, Pipeline, PipelineElement, Redirection,
    RedirectionTarget,
};

impl Parser<'_> {
    /// The rest of a pipeline whose first part has been read.
    pub(super) fn pipeline(&mut self, start: usize, first: PipelineElement) -> Parsed<Pipeline> {
        let mut elements = vec![first];
        loop {
            let before = self.at;
            self.space();
            if self.is_at("||") || self.is_at("&&") {
                return Err(self.refuse(2, refusal::CHAIN));
            }
            if self.is_at("&") {
                return Err(self.refuse(1, refusal::BACKGROUND));
            }
            if !self.is_at("|") && !self.is_pipe_on_next_line() {
                self.at = before;
                return Ok(Pipeline { elements, span: self.span_from(start) });
            }
            self.space_and_newlines();
            let pipe = self.here();
            self.bump();
            self.space_and_newlines();
            if self.peek().is_none() {
                return Err(ParseError::incomplete(pipe, "a command is missing behind the last `|`"));
            }
            if matches!(self.peek(), Some('|' | ')' | '}' | ';')) {
                return Err(ParseError::new(pipe, "a command is missing behind this `|`"));
            }
            if self.is_expression() && !self.is_at("&") {
                let mut error = self.expected("a command");
                error.message.push_str(
                    "; an expression can only be the first part of a pipeline. ForEach-Object { ... } does something with each value, & calls a block",
                );
                return Err(error);
            }
            elements.push(PipelineElement::Command(self.command()?));
        }
    }

    /// A `|` that begins the next line continues this one; the original learnt that late, and scripts have it.
    fn is_pipe_on_next_line(&mut self) -> bool {
        if !self.peek().is_some_and(is_newline) {
            return false;
        }
        let before = self.at;
        self.space_and_newlines();
        let is_pipe = self.is_at("|") && !self.is_at("||");
        self.at = before;
        is_pipe
    }

    pub(super) fn refuse(&self, length: usize, why: &str) -> ParseError {
        let end = self.at + self.rest().chars().take(length).map(char::len_utf8).sum::<usize>();
        ParseError::new(Span { start: self.at as u32, end: end as u32 }, why)
    }

    /// Whether what begins here, at the start of a pipeline, is an expression; otherwise it is a command.
    pub(super) fn is_expression(&self) -> bool {
        let Some(character) = self.peek() else { return false };
        let second = self.peek_second();
        match character {
            '(' | '{' | '[' | ',' | '!' => true,
            '$' => true,
            '@' => second.is_some_and(|second| matches!(second, '(' | '{') || is_quote(second)),
            _ if is_quote(character) => true,
            _ if is_dash(character) || character == '+' => true,
            '.' => second.is_some_and(|second| second.is_ascii_digit()),
            _ if character.is_ascii_digit() => self.number_ahead().is_some() && !self.is_redirection(),
            _ => false,
        }
    }

    pub(super) fn command(&mut self) -> Parsed<CommandCall> {
        let start = self.at;
        let invocation = if self.eat("&") {
            Invocation::Call
        } else if self.is_at(".")
            && self
                .peek_second()
                .is_some_and(|second| is_space(second) || is_quote(second) || matches!(second, '$' | '(' | '{'))
        {
            self.bump();
            Invocation::DotSource
        } else {
            Invocation::Plain
        };
        let name = if invocation == Invocation::Plain {
            self.command_name()?
        } else {
            self.space();
            if self.is_end_of_command() {
                return Err(self.expected("what to call: a command, a block, a variable"));
            }
            self.argument()?
        };
        let mut call =
            CommandCall { invocation, name, arguments: Vec::new(), redirections: Vec::new(), span: Span::default() };
        let mut end = self.at;
        loop {
            self.space();
            if self.is_end_of_command() {
                break;
            }
            self.one_argument(&mut call)?;
            end = self.at;
        }
        self.at = end;
        call.span = self.span_from(start);
        Ok(call)
    }

    /// A command's name as it stands; dashes in it become what commands are spelt with.
    fn command_name(&mut self) -> Parsed<Expression> {
        if self.is_at("@") && self.peek_second().is_some_and(is_name_start) {
            let name = self.next_word();
            return Err(
                self.refuse(1, &format!("{name} hands its entries to a command, whose name must stand before it"))
            );
        }
        if self.peek().is_some_and(|character| ends_word(character) || character == '=') {
            return Err(self.expected("a command"));
        }
        let mut name = self.word()?;
        if let ExpressionKind::Text(text) = &mut name.kind
            && text.contains(is_dash)
        {
            *text = text.replace(is_dash, "-");
        }
        if let ExpressionKind::BareNumber(text, _) = name.kind {
            name.kind = ExpressionKind::Text(text);
        }
        Ok(name)
    }

    fn is_end_of_command(&self) -> bool {
        self.peek().is_none_or(|character| is_newline(character) || matches!(character, ';' | '|' | '&' | ')' | '}'))
    }

    fn one_argument(&mut self, call: &mut CommandCall) -> Parsed<()> {
        let start = self.at;
        let character = self.peek().unwrap_or_default();
        if self.is_redirection() {
            call.redirections.push(self.redirection()?);
            return Ok(());
        }
        if character == '<' {
            return Err(self.input_redirection());
        }
        if character == ',' {
            return Err(ParseError::new(self.here(), "an argument is missing before this comma"));
        }
        if character == '@' && self.peek_second().is_some_and(is_name_start) {
            let variable = self.variable_name()?;
            call.arguments.push(Argument::Splat { variable, span: self.span_from(start) });
            return Ok(());
        }
        if is_dash(character) {
            let mut behind = self.rest().chars().skip(1);
            let second = behind.next();
            if second.is_some_and(is_dash) {
                let third = behind.next();
                if third == Some('%') {
                    return Err(self.refuse(3, refusal::STOP_PARSING));
                }
                if third.is_none_or(ends_word) {
                    self.bump();
                    self.bump();
                    call.arguments.push(Argument::EndOfParameters);
                    return Ok(());
                }
            }
            if second.is_some_and(|second| is_name_start(second) || second == '?') {
                call.arguments.push(self.parameter()?);
                return Ok(());
            }
        }
        call.arguments.push(Argument::Value(self.argument_list()?));
        Ok(())
    }

    /// `<` is what a copied text has where the reader's own value belongs, more often than it is meant.
    fn input_redirection(&self) -> ParseError {
        let line = self.rest().split(is_newline).next().unwrap_or_default();
        match line.find('>') {
            Some(length) if length > 1 => {
                let placeholder = &line[..=length];
                self.refuse(
                    placeholder.chars().count(),
                    &format!("`{placeholder}` is a placeholder; write the real value instead"),
                )
            }
            _ => self.refuse(1, refusal::INPUT_REDIRECTION),
        }
    }

    /// `-Name` or `-Name:value`.
    fn parameter(&mut self) -> Parsed<Argument> {
        let start = self.at;
        self.bump();
        let name = self
            .take_while(|character| {
                !ends_word(character) && !is_quote(character) && !matches!(character, ':' | '.' | '[' | '`')
            })
            .to_owned();
        let span = self.span_from(start);
        let value = if self.eat(":") {
            self.space();
            if self.is_end_of_command() {
                return Err(self.expected(&format!("the value of -{name}")));
            }
            Some(self.argument_list()?)
        } else {
            None
        };
        Ok(Argument::Parameter { name, value, span })
    }

    /// One value or several with commas between them.
    pub(super) fn argument_list(&mut self) -> Parsed<Expression> {
        self.apart(Parser::arguments)
    }

    fn arguments(&mut self) -> Parsed<Expression> {
        let start = self.at;
        let first = self.argument()?;
        let mut values = vec![first];
        let mut end = self.at;
        loop {
            self.space();
            if !self.eat(",") {
                break;
            }
            self.space_and_newlines();
            if self.is_end_of_command() || self.is_at(",") {
                return Err(self.expected("an argument, as a comma comes before,"));
            }
            values.push(self.argument()?);
            end = self.at;
        }
        self.at = end;
        if values.len() == 1
            && let Some(only) = values.pop()
        {
            return Ok(only);
        }
        self.wrap()?;
        Ok(Expression { kind: ExpressionKind::List(values), span: self.span_from(start) })
    }

    /// One value: text or a variable with what hangs on it, something in parentheses or braces, or a word.
    pub(super) fn argument(&mut self) -> Parsed<Expression> {
        let Some(character) = self.peek() else { return Err(self.expected("an argument")) };
        let second = self.peek_second();
        let is_primary = match character {
            '(' | '{' => true,
            '@' => second.is_some_and(|second| matches!(second, '(' | '{') || is_quote(second)),
            '$' if second == Some('(') => true,
            '$' => self.is_variable() && self.is_variable_alone(),
            _ => is_quote(character),
        };
        if is_primary {
            return self.apart(|parser| {
                let value = parser.primary()?;
                parser.postfix(value, Commas::Arguments)
            });
        }
        self.word()
    }

    /// Whether the variable here is not the beginning of a longer word such as `$folder\$name`.
    fn is_variable_alone(&self) -> bool {
        let rest = &self.rest()[1..];
        let length = if rest.starts_with('{') {
            match rest.find('}') {
                Some(end) => end + 1,
                None => return true,
            }
        } else if rest.starts_with(['$', '^']) {
            1
        } else {
            let name = rest.find(|character| !is_variable_name(character)).unwrap_or(rest.len());
            match rest[name..].strip_prefix(':') {
                Some(behind) if !behind.starts_with(':') => {
                    name + 1 + behind.find(|character| !is_variable_name(character)).unwrap_or(behind.len())
                }
                _ => name,
            }
        };
        let behind = &rest[length..];
        let mut next = behind.chars();
        match next.next() {
            None => true,
            Some('.') => true,
            Some('[') => true,
            Some(':') => next.next() == Some(':'),
            Some('`') => next.next().is_none_or(is_newline),
            Some(character) => ends_word(character),
        }
    }

    /// Whether `>`, `2>` or `*>` stands here.
    pub(super) fn is_redirection(&self) -> bool {
        let rest = self.rest();
        rest.starts_with('>')
            || rest
                .strip_prefix(|character: char| character.is_ascii_digit() || character == '*')
                .is_some_and(|rest| rest.starts_with('>'))
    }

    pub(super) fn redirection(&mut self) -> Parsed<Redirection> {
        let start = self.at;
        let stream = match self.peek() {
            Some('*') => {
                self.bump();
                None
            }
            Some(digit) if digit.is_ascii_digit() => {
                self.bump();
                digit.to_digit(10).map(|digit| digit as u8)
            }
            _ => Some(1),
        };
        self.bump();
        let is_append = self.eat(">");
        if !is_append && self.eat("&") {
            let target = self.bump().and_then(|digit| digit.to_digit(10)).filter(|digit| (1..=6).contains(digit));
            let Some(target) = target else {
                return Err(ParseError::new(
                    self.span_from(start),
                    "a stream's number is missing behind `>&`: write 2>&1 for errors to go where output goes",
                ));
            };
            return Ok(Redirection { stream, target: RedirectionTarget::Stream(target as u8) });
        }
        self.space();
        if self.is_end_of_command() {
            return Err(self.expected("the name of a file"));
        }
        let path = self.argument()?;
        Ok(Redirection { stream, target: RedirectionTarget::File { path, is_append } })
    }
}
