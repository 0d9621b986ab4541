//! Statements, blocks, functions and parameters.

use super::characters::{ends_word, is_dash, is_name, is_name_start, is_newline, is_quote};
use super::expression::{Commas, is_assignable};
use super::{ERRORS_MAX, ParseError, Parsed, Parser, refusal};
use crate::source::Span;
use crate::syntax::{
    AssignOperator, Block, Catch, Expression, ExpressionKind, LoopCondition, PipelineElement, Statement, StatementKind,
    SwitchMode, TypeName,
};

/// Words that go on with a statement on the next line.
const CONTINUATIONS: &[&str] = &["else", "elseif", "catch", "finally", "until"];

impl Parser<'_> {
    /// Statements between `opener`, which stands here, and `closer`.
    pub(super) fn statements_within(&mut self, opener: &str, closer: &str, what: &str) -> Parsed<Block> {
        self.nested(|parser| {
            parser.count()?;
            let start = parser.at;
            if !parser.eat(opener) {
                return Err(parser.expected(&format!("`{opener}` of {what}")));
            }
            let open = parser.span_from(start);
            let statements = parser.statements(closer.chars().next().map(|closer| (open, closer)))?;
            parser.close(closer, open, what)?;
            Ok(statements)
        })
    }

    /// The block of a statement, braces included.
    pub(super) fn block_of(&mut self, keyword: &str) -> Parsed<Block> {
        self.space_and_newlines();
        let start = self.at;
        let traps_outside = std::mem::take(&mut self.traps);
        let block = self.statements_within("{", "}", &format!("the block of `{keyword}`"));
        let traps = std::mem::replace(&mut self.traps, traps_outside);
        if traps.is_empty() {
            return block;
        }
        let kind = StatementKind::Trapped { body: block?, traps };
        Ok(vec![Statement { kind, span: self.span_from(start) }])
    }

    /// Statements up to the closer, which is left standing, or to the end of the text. A mistake in one does not hide those in
    /// the next.
    pub(super) fn statements(&mut self, closer: Option<(Span, char)>) -> Parsed<Block> {
        let mut block = Vec::new();
        loop {
            self.separators();
            let Some(next) = self.peek() else {
                return match closer {
                    Some((open, closer)) if self.open_comment.is_none() => {
                        let what = format!("`{}`", self.source.slice(open));
                        Err(self.unclosed(&closer.to_string(), open, &what))
                    }
                    _ => Ok(block),
                };
            };
            if closer.is_some_and(|(_, closer)| closer == next) {
                return Ok(block);
            }
            let start = self.at;
            match self.statement_in_block(closer) {
                Ok(Some(statement)) => block.push(statement),
                Ok(None) => {}
                Err(error) if error.is_final || self.is_recovering => return Err(error),
                Err(error) => {
                    self.errors.push(error);
                    if self.errors.len() >= ERRORS_MAX {
                        let message =
                            format!("there are more than {} mistakes; the others are not told", ERRORS_MAX - 1);
                        return Err(ParseError::last(self.here(), message));
                    }
                    self.recover(start);
                }
            }
        }
    }

    fn statement_in_block(&mut self, closer: Option<(Span, char)>) -> Parsed<Option<Statement>> {
        self.pasted_prompt();
        if self.peek().is_none_or(is_newline) {
            return Ok(None);
        }
        if let Some(stray @ (')' | '}' | ']')) = self.peek() {
            if closer.is_some_and(|(_, closer)| closer == stray) {
                // It stood behind a prompt.
                return Ok(None);
            }
            return Err(self.stray(stray, closer));
        }
        if self.is_keyword("trap") {
            self.trap()?;
            return Ok(None);
        }
        let statement = self.statement()?;
        let ends_in_block = !matches!(
            statement.kind,
            StatementKind::Pipeline(_)
                | StatementKind::Assign { .. }
                | StatementKind::Return(_)
                | StatementKind::Throw(_)
                | StatementKind::Exit(_)
                | StatementKind::Break(_)
                | StatementKind::Continue(_)
        );
        self.space();
        match self.peek() {
            None | Some(';') => {}
            Some(next) if is_newline(next) || closer.is_some_and(|(_, closer)| closer == next) || ends_in_block => {}
            Some(stray @ (')' | '}' | ']')) => return Err(self.stray(stray, closer)),
            Some(_) => return Err(self.unexpected_after(&statement)),
        }
        Ok(Some(statement))
    }

    /// An error about something that closes what was not opened, or was opened by something else.
    fn stray(&self, stray: char, closer: Option<(Span, char)>) -> ParseError {
        let Some((open, closer)) = closer else {
            return ParseError::new(self.here(), format!("`{stray}` closes nothing here"));
        };
        let (line, column) = self.source.position(open.start);
        let opener = self.source.slice(open);
        let message =
            format!("`{stray}` stands where `{closer}` should: it closes `{opener}` of line {line}, column {column}");
        ParseError::last(self.here(), message)
    }

    /// Passes over a prompt that was copied along with a command line: `PS C:\>`, `[PS] C:\Windows\system32>`, `PS>`, and `>>`
    /// before the lines that follow. No statement begins so.
    pub(super) fn pasted_prompt(&mut self) {
        for short in ["PS>", ">>"] {
            if self
                .rest()
                .strip_prefix(short)
                .is_some_and(|behind| behind.is_empty() || behind.starts_with([' ', '\t']))
            {
                self.at += short.len();
                self.space();
                return;
            }
        }
        let Some(behind) = self.rest().strip_prefix("[PS] ").or_else(|| self.rest().strip_prefix("PS ")) else {
            return;
        };
        let line = behind.split(is_newline).next().unwrap_or_default();
        let bytes = line.as_bytes();
        if bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.get(1..3) == Some(br":\".as_slice())
            && let Some(length) = line.find('>')
        {
            self.at += self.rest().len() - behind.len() + length + 1;
            self.space();
        }
    }

    /// What stands behind a statement that is over.
    fn unexpected_after(&self, statement: &Statement) -> ParseError {
        let mut error = self.expected("the end of the statement");
        let expression = match &statement.kind {
            StatementKind::Pipeline(pipeline) => match pipeline.elements.last() {
                Some(PipelineElement::Expression(expression, _)) => Some(expression),
                _ => None,
            },
            _ => None,
        };
        if let Some(Expression { kind: ExpressionKind::Variable(_) | ExpressionKind::Text(_), .. }) = expression {
            error.message.push_str("; to run a command whose name is a value, write & before it");
        }
        error
    }

    /// Goes on behind a statement that could not be read: at the next end of a line outside of brackets.
    fn recover(&mut self, start: usize) {
        let reached = self.at;
        self.at = start;
        let mut open = 0_usize;
        self.is_recovering = true;
        while let Some(character) = self.peek() {
            match character {
                '(' | '{' | '[' => open += 1,
                ')' | '}' | ']' if open > 0 => open -= 1,
                '}' | ')' if self.at > start => break,
                ';' if open == 0 && self.at >= reached => break,
                '`' => {
                    self.bump();
                }
                _ if is_newline(character) && open == 0 && self.at >= reached => {
                    self.space_and_newlines();
                    if !CONTINUATIONS.iter().any(|word| self.is_keyword(word)) {
                        break;
                    }
                    continue;
                }
                '#' if self.text[..self.at].chars().next_back().is_none_or(ends_word) => {
                    self.space();
                    continue;
                }
                '<' if self.is_at("<#") => {
                    self.space();
                    continue;
                }
                _ if is_quote(character) || self.is_here_string() => {
                    let text = if is_quote(character) { self.quoted() } else { self.here_string() };
                    if text.is_err() {
                        self.at = self.text.len();
                        open = 1;
                    }
                    continue;
                }
                _ => {}
            }
            self.bump();
        }
        self.is_recovering = false;
        self.has_given_up |= open > 0;
        // A closer that closes nothing was told of; the same one must not be told of for ever.
        if self.at <= start {
            self.at = start;
            self.bump();
        }
    }

    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        self.count()?;
        let start = self.at;
        let label = self.label();
        let Some(word) = self.keyword() else {
            if label.is_some() {
                return Err(self.expected("a loop behind the label"));
            }
            return self.pipeline_or_assignment();
        };
        let keyword = word.to_ascii_lowercase();
        if label.is_some() && !matches!(keyword.as_str(), "foreach" | "for" | "while" | "do" | "switch") {
            return Err(self.expected("a loop behind the label"));
        }
        let word_span = Span { start: self.at as u32, end: (self.at + word.len()) as u32 };
        let kind = match keyword.as_str() {
            "if" => self.if_statement()?,
            "foreach" => self.for_each(label)?,
            "for" => self.for_statement(label)?,
            "while" => self.while_statement(label)?,
            "do" => self.do_statement(label)?,
            "switch" => self.switch(label)?,
            "function" | "filter" => self.function(keyword == "filter")?,
            "try" => self.try_statement()?,
            "return" => StatementKind::Return(self.value_of_keyword(word)?),
            "throw" => StatementKind::Throw(self.value_of_keyword(word)?),
            "exit" => StatementKind::Exit(self.value_of_keyword(word)?),
            "break" => StatementKind::Break(self.label_of_keyword(word)?),
            "continue" => StatementKind::Continue(self.label_of_keyword(word)?),
            "param" => {
                return Err(ParseError::new(
                    word_span,
                    "`param` must be the first statement of a script, function or block",
                ));
            }
            "else" | "elseif" => {
                return Err(ParseError::new(word_span, format!("`{word}` belongs behind the block of an `if`")));
            }
            "catch" | "finally" => {
                return Err(ParseError::new(word_span, format!("`{word}` belongs behind the block of a `try`")));
            }
            "until" => return Err(ParseError::new(word_span, "`until` belongs behind the block of a `do`")),
            "trap" => return Err(ParseError::new(word_span, "`trap` cannot be a value")),
            _ => {
                if let Some((_, why)) = refusal::KEYWORDS.iter().find(|(name, _)| *name == keyword)
                    && self.is_refused_keyword(word)
                {
                    return Err(ParseError::new(word_span, *why));
                }
                return self.pipeline_or_assignment();
            }
        };
        Ok(Statement { kind, span: self.span_from(start) })
    }

    /// Whether a refused keyword is used as one: with a name or a brace behind it, not as a command of ours.
    fn is_refused_keyword(&mut self, word: &str) -> bool {
        let before = self.at;
        self.at += word.len();
        self.space_and_newlines();
        let name =
            self.take_while(|character| is_name(character) || matches!(character, '-' | ':' | ',' | ' ' | '.' | '"'));
        let is_definition = !name.starts_with('-') && {
            self.space_and_newlines();
            self.is_at("{")
        };
        self.at = before;
        is_definition
    }

    /// `:name` before a loop.
    fn label(&mut self) -> Option<String> {
        if !self.is_at(":") || !self.peek_second().is_some_and(is_name_start) {
            return None;
        }
        self.bump();
        let label = self.take_while(is_name).to_owned();
        self.space_and_newlines();
        Some(label)
    }

    /// A pipeline, or an assignment to its only expression.
    pub(super) fn pipeline_or_assignment(&mut self) -> Parsed<Statement> {
        self.count()?;
        let start = self.at;
        if !self.is_expression() {
            let command = self.command()?;
            let pipeline = self.pipeline(start, PipelineElement::Command(command))?;
            return Ok(Statement { kind: StatementKind::Pipeline(pipeline), span: self.span_from(start) });
        }
        let expression = self.expression(Commas::List)?;
        let mut end = self.at;
        self.space();
        if let Some((operator, length)) = self.assignment()? {
            let operator_at = self.at;
            self.at += length;
            let operator_span = self.span_from(operator_at);
            if !is_assignable(&expression) {
                let message = "only a variable, a property or an element can be assigned to; to compare, write -eq";
                return Err(ParseError::new(operator_span, message));
            }
            self.space_and_newlines();
            if self.peek().is_none_or(|character| matches!(character, ';' | ')' | '}' | '|')) {
                let message = "the value of this assignment is missing";
                return Err(match self.peek() {
                    None => ParseError::incomplete(operator_span, message),
                    Some(_) => ParseError::new(operator_span, message),
                });
            }
            let value = Box::new(self.nested(Parser::statement)?);
            let kind = StatementKind::Assign { target: expression, operator, value };
            return Ok(Statement { kind, span: self.span_from(start) });
        }
        let mut redirections = Vec::new();
        while self.is_redirection() {
            redirections.push(self.redirection()?);
            end = self.at;
            self.space();
        }
        self.at = end;
        let pipeline = self.pipeline(start, PipelineElement::Expression(expression, redirections))?;
        Ok(Statement { kind: StatementKind::Pipeline(pipeline), span: self.span_from(start) })
    }

    fn assignment(&self) -> Parsed<Option<(AssignOperator, usize)>> {
        let Some(character) = self.peek() else { return Ok(None) };
        if self.is_at("??=") {
            return Err(self.refuse(3, refusal::NULL_COALESCING));
        }
        if character == '=' {
            return Ok(Some((AssignOperator::Set, 1)));
        }
        if self.peek_second() != Some('=') {
            return Ok(None);
        }
        let operator = match character {
            '+' => AssignOperator::Add,
            '*' => AssignOperator::Multiply,
            '/' => AssignOperator::Divide,
            '%' => AssignOperator::Remainder,
            _ if is_dash(character) => AssignOperator::Subtract,
            _ => return Ok(None),
        };
        Ok(Some((operator, character.len_utf8() + 1)))
    }

    /// `(condition)` of a statement.
    fn condition(&mut self, keyword: &str) -> Parsed<Statement> {
        self.space_and_newlines();
        self.nested(|parser| {
            let open = parser.here();
            if !parser.eat("(") {
                return Err(parser.expected(&format!("`(` behind `{keyword}`")));
            }
            parser.space_and_newlines();
            if parser.is_at(")") {
                return Err(ParseError::new(open, format!("the condition of `{keyword}` is missing")));
            }
            let condition = parser.pipeline_or_assignment()?;
            parser.space_and_newlines();
            parser.close(")", open, &format!("the condition of `{keyword}`"))?;
            Ok(condition)
        })
    }

    fn if_statement(&mut self) -> Parsed<StatementKind> {
        self.at += "if".len();
        let mut arms = vec![(self.condition("if")?, self.block_of("if")?)];
        let mut otherwise = None;
        loop {
            if self.eat_keyword_on_any_line("elseif") {
                arms.push((self.condition("elseif")?, self.block_of("elseif")?));
                continue;
            }
            if self.eat_keyword_on_any_line("else") {
                self.space_and_newlines();
                if self.is_keyword("if") {
                    return Err(self.refuse(2, "write `elseif` in one word"));
                }
                otherwise = Some(self.block_of("else")?);
            }
            return Ok(StatementKind::If { arms, otherwise });
        }
    }

    fn for_each(&mut self, label: Option<String>) -> Parsed<StatementKind> {
        self.at += "foreach".len();
        self.space_and_newlines();
        if self.peek().is_some_and(is_dash) {
            return Err(self.refuse("-parallel".len(), refusal::PARALLEL_LOOP));
        }
        let (variable, values) = self.nested(|parser| {
            let open = parser.here();
            if !parser.eat("(") {
                return Err(parser.expected("`(` behind `foreach`: foreach ($value in $list) { ... }"));
            }
            parser.space_and_newlines();
            if !parser.is_variable() {
                return Err(parser.expected("a variable: foreach ($value in $list) { ... }"));
            }
            let variable = parser.variable_name()?;
            parser.space_and_newlines();
            if !parser.is_keyword("in") {
                return Err(parser.expected("`in`"));
            }
            parser.at += "in".len();
            parser.space_and_newlines();
            if parser.is_at(")") {
                return Err(parser.expected("the list"));
            }
            let values = parser.pipeline_or_assignment()?;
            parser.space_and_newlines();
            parser.close(")", open, "the head of `foreach`")?;
            Ok((variable, values))
        })?;
        let body = self.block_of("foreach")?;
        Ok(StatementKind::ForEach { label, variable, values: Box::new(values), body })
    }

    fn for_statement(&mut self, label: Option<String>) -> Parsed<StatementKind> {
        self.at += "for".len();
        self.space_and_newlines();
        let [first, condition, step] = self.nested(|parser| {
            let open = parser.here();
            if !parser.eat("(") {
                return Err(parser.expected("`(` behind `for`: for ($i = 0; $i -lt 10; $i++) { ... }"));
            }
            let mut parts = [None, None, None];
            for at in 0..parts.len() {
                parser.space_and_newlines();
                if !parser.is_at(";") && !parser.is_at(")") {
                    parts[at] = Some(Box::new(parser.pipeline_or_assignment()?));
                    parser.space();
                }
                let is_over = at + 1 == parts.len();
                if !is_over && !parser.eat(";") && !parser.peek().is_some_and(is_newline) {
                    break;
                }
            }
            parser.space_and_newlines();
            parser.close(")", open, "the head of `for`")?;
            Ok(parts)
        })?;
        let body = self.block_of("for")?;
        Ok(StatementKind::For { label, first, condition, step, body })
    }

    fn while_statement(&mut self, label: Option<String>) -> Parsed<StatementKind> {
        self.at += "while".len();
        let condition = Box::new(self.condition("while")?);
        let body = self.block_of("while")?;
        Ok(StatementKind::Loop { label, when: LoopCondition::While, condition, body })
    }

    fn do_statement(&mut self, label: Option<String>) -> Parsed<StatementKind> {
        self.at += "do".len();
        let body = self.block_of("do")?;
        let (when, keyword) = if self.eat_keyword_on_any_line("while") {
            (LoopCondition::DoWhile, "while")
        } else if self.eat_keyword_on_any_line("until") {
            (LoopCondition::DoUntil, "until")
        } else {
            self.space_and_newlines();
            return Err(self.expected("`while (...)` or `until (...)` of the `do`"));
        };
        let condition = Box::new(self.condition(keyword)?);
        Ok(StatementKind::Loop { label, when, condition, body })
    }

    fn switch(&mut self, label: Option<String>) -> Parsed<StatementKind> {
        self.at += "switch".len();
        let mut mode = SwitchMode::Exact;
        let mut is_case_sensitive = false;
        let mut file = None;
        loop {
            self.space_and_newlines();
            if !self.peek().is_some_and(is_dash) {
                break;
            }
            let start = self.at;
            self.bump();
            let name = self.take_while(is_name).to_ascii_lowercase();
            match name.as_str() {
                "regex" | "r" => mode = SwitchMode::Regex,
                "wildcard" | "w" => mode = SwitchMode::Wildcard,
                "exact" | "e" => mode = SwitchMode::Exact,
                "casesensitive" | "c" => is_case_sensitive = true,
                "file" | "f" => {
                    self.space();
                    let path = self.argument()?;
                    let span = path.span;
                    let pipeline =
                        crate::syntax::Pipeline { elements: vec![PipelineElement::Expression(path, Vec::new())], span };
                    file = Some(Statement { kind: StatementKind::Pipeline(pipeline), span });
                }
                _ => {
                    let message =
                        format!("`switch` has no -{name}; it has -Regex, -Wildcard, -Exact, -CaseSensitive and -File");
                    return Err(ParseError::new(self.span_from(start), message));
                }
            }
        }
        let is_file = file.is_some();
        let value = Box::new(match file {
            Some(file) => file,
            None => self.condition("switch")?,
        });
        self.space_and_newlines();
        let (clauses, default) = self.nested(Parser::clauses)?;
        Ok(StatementKind::Switch { label, mode, is_case_sensitive, is_file, value, clauses, default })
    }

    #[allow(clippy::type_complexity, reason = "clauses and the default, as the tree has them")]
    fn clauses(&mut self) -> Parsed<(Vec<(Expression, Block)>, Option<Block>)> {
        let open = self.here();
        if !self.eat("{") {
            return Err(self.expected("`{` of `switch`"));
        }
        let (mut clauses, mut default) = (Vec::new(), None);
        loop {
            self.separators();
            if self.is_at("}") || self.peek().is_none() {
                break;
            }
            let start = self.at;
            if self.is_keyword("default") {
                self.at += "default".len();
                let block = self.block_of("default")?;
                if default.replace(block).is_some() {
                    return Err(ParseError::new(self.span_from(start), "this `switch` has two `default` blocks"));
                }
                continue;
            }
            let test = if self.is_expression() && !self.peek().is_some_and(is_dash) {
                self.expression(Commas::Separate)?
            } else {
                self.word()?
            };
            let block = self.block_of("switch")?;
            clauses.push((test, block));
        }
        self.close("}", open, "the block of `switch`")?;
        Ok((clauses, default))
    }

    fn try_statement(&mut self) -> Parsed<StatementKind> {
        let word = self.here();
        self.at += "try".len();
        let body = self.block_of("try")?;
        let mut catches = Vec::new();
        while self.eat_keyword_on_any_line("catch") {
            let types = self.catch_types()?;
            catches.push(Catch { types, body: self.block_of("catch")? });
        }
        let finally = if self.eat_keyword_on_any_line("finally") { Some(self.block_of("finally")?) } else { None };
        if catches.is_empty() && finally.is_none() {
            let before = self.at;
            self.space_and_newlines();
            let is_at_end = self.peek().is_none();
            self.at = before;
            let message = "this `try` has neither `catch` nor `finally`";
            let word = Span { start: word.start, end: word.start + 3 };
            return Err(if is_at_end { ParseError::incomplete(word, message) } else { ParseError::new(word, message) });
        }
        Ok(StatementKind::Try { body, catches, finally })
    }

    fn catch_types(&mut self) -> Parsed<Vec<TypeName>> {
        let mut types = Vec::new();
        loop {
            self.space_and_newlines();
            if !self.is_at("[") {
                return Ok(types);
            }
            types.push(self.type_name()?);
            self.space_and_newlines();
            self.eat(",");
        }
    }

    fn trap(&mut self) -> Parsed<()> {
        self.at += "trap".len();
        let types = self.catch_types()?;
        let body = self.block_of("trap")?;
        self.traps.push(Catch { types, body });
        Ok(())
    }

    /// The pipeline behind `return`, `throw` or `exit`, if there is one.
    fn value_of_keyword(&mut self, word: &str) -> Parsed<Option<Box<Statement>>> {
        self.at += word.len();
        let before = self.at;
        self.space();
        if self.peek().is_none_or(|next| is_newline(next) || matches!(next, ';' | '}' | ')')) {
            self.at = before;
            return Ok(None);
        }
        Ok(Some(Box::new(self.pipeline_or_assignment()?)))
    }

    /// The label behind `break` or `continue`, if there is one.
    fn label_of_keyword(&mut self, word: &str) -> Parsed<Option<String>> {
        self.at += word.len();
        let before = self.at;
        self.space();
        match self.peek() {
            Some('$' | '(' | '"' | '\'') => Err(self.refuse(1, refusal::COMPUTED_LABEL)),
            Some(':') => {
                self.bump();
                Ok(Some(self.take_while(is_name).to_owned()))
            }
            Some(next) if is_name_start(next) => Ok(Some(self.take_while(is_name).to_owned())),
            _ => {
                self.at = before;
                Ok(None)
            }
        }
    }
}
