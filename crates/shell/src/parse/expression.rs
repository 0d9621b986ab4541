//! Expressions: operators by their precedence, and what they work on.

use super::characters::{ends_word, is_dash, is_name, is_name_start, is_newline, is_quote, is_space};
use super::{ParseError, Parsed, Parser, refusal};
use crate::source::Span;
use crate::syntax::{
    BinaryOperator as Op, Expression, ExpressionKind, Statement, StatementKind, TypeName, UnaryOperator,
};

/// How the surroundings of an expression read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commas {
    /// Commas make lists.
    List,
    /// Commas separate: arguments of methods and attributes, defaults of parameters.
    Separate,
    /// Among the arguments of a command, where also spaces end a value.
    Arguments,
}

// Precedences, the loosest first.
const LOGICAL: u8 = 1;
const BITWISE: u8 = 2;
const COMPARISON: u8 = 3;
const ADDITIVE: u8 = 4;
const MULTIPLICATIVE: u8 = 5;
const FORMAT: u8 = 6;
const RANGE: u8 = 7;

/// Operators of words, without their dash. Those that compare text also come with `c` or `i` before them.
const WORDS: &[(&str, Op, u8, bool)] = &[
    ("eq", Op::Eq, COMPARISON, true),
    ("ne", Op::Ne, COMPARISON, true),
    ("gt", Op::Gt, COMPARISON, true),
    ("ge", Op::Ge, COMPARISON, true),
    ("lt", Op::Lt, COMPARISON, true),
    ("le", Op::Le, COMPARISON, true),
    ("like", Op::Like, COMPARISON, true),
    ("notlike", Op::NotLike, COMPARISON, true),
    ("match", Op::Match, COMPARISON, true),
    ("notmatch", Op::NotMatch, COMPARISON, true),
    ("contains", Op::Contains, COMPARISON, true),
    ("notcontains", Op::NotContains, COMPARISON, true),
    ("in", Op::In, COMPARISON, true),
    ("notin", Op::NotIn, COMPARISON, true),
    ("replace", Op::Replace, COMPARISON, true),
    ("split", Op::Split, COMPARISON, true),
    ("join", Op::Join, COMPARISON, false),
    ("is", Op::Is, COMPARISON, false),
    ("isnot", Op::IsNot, COMPARISON, false),
    ("as", Op::As, COMPARISON, false),
    ("shl", Op::ShiftLeft, COMPARISON, false),
    ("shr", Op::ShiftRight, COMPARISON, false),
    ("and", Op::And, LOGICAL, false),
    ("or", Op::Or, LOGICAL, false),
    ("xor", Op::Xor, LOGICAL, false),
    ("band", Op::BitwiseAnd, BITWISE, false),
    ("bor", Op::BitwiseOr, BITWISE, false),
    ("bxor", Op::BitwiseXor, BITWISE, false),
    ("f", Op::Format, FORMAT, false),
];

/// What other languages write, and what is written here.
const FOREIGN_OPERATORS: &[(&str, &str)] =
    &[("==", "-eq"), ("!=", "-ne"), ("<>", "-ne"), ("<=", "-le"), (">=", "-ge"), ("=~", "-match"), ("<", "-lt")];

/// A binary operator that stands here.
struct Ahead {
    operator: Op,
    is_case_sensitive: bool,
    precedence: u8,
    length: usize,
}

impl Parser<'_> {
    pub(super) fn expression(&mut self, commas: Commas) -> Parsed<Expression> {
        self.binary(0, commas)
    }

    fn binary(&mut self, least: u8, commas: Commas) -> Parsed<Expression> {
        self.apart(|parser| {
            let start = parser.at;
            let mut left = parser.operand(commas)?;
            loop {
                let before = parser.at;
                parser.space();
                let Some(ahead) = parser.binary_operator()? else {
                    parser.at = before;
                    return Ok(left);
                };
                if ahead.precedence < least {
                    parser.at = before;
                    return Ok(left);
                }
                let operator_at = parser.at;
                parser.at += ahead.length;
                let operator_span = parser.span_from(operator_at);
                parser.space_and_newlines();
                if parser.peek().is_none_or(|character| matches!(character, ')' | '}' | ';' | '|' | ']')) {
                    let text = parser.source.slice(operator_span);
                    let message = format!("a value is missing on the right of `{text}`");
                    return Err(match parser.peek() {
                        None => ParseError::incomplete(operator_span, message),
                        Some(_) => ParseError::new(operator_span, message),
                    });
                }
                let right = parser.binary(ahead.precedence + 1, commas)?;
                parser.wrap()?;
                parser.count()?;
                left = Expression {
                    kind: ExpressionKind::Binary {
                        operator: ahead.operator,
                        is_case_sensitive: ahead.is_case_sensitive,
                        left: Box::new(left),
                        right: Box::new(right),
                    },
                    span: parser.span_from(start),
                };
            }
        })
    }

    fn binary_operator(&self) -> Parsed<Option<Ahead>> {
        let Some(character) = self.peek() else { return Ok(None) };
        let second = self.peek_second();
        let symbol = |operator, precedence| {
            Some(Ahead { operator, is_case_sensitive: false, precedence, length: character.len_utf8() })
        };
        if let Some((written, instead)) = FOREIGN_OPERATORS.iter().find(|(written, _)| self.is_at(written)) {
            return Err(self.refuse(written.len(), &format!("`{written}` is no operator here; write {instead}")));
        }
        let is_assignment = second == Some('=');
        Ok(match character {
            '.' if second == Some('.') => {
                Some(Ahead { operator: Op::Range, is_case_sensitive: false, precedence: RANGE, length: 2 })
            }
            '*' if second == Some('>') => None,
            '+' if !is_assignment => symbol(Op::Add, ADDITIVE),
            '*' if !is_assignment => symbol(Op::Multiply, MULTIPLICATIVE),
            '/' if !is_assignment => symbol(Op::Divide, MULTIPLICATIVE),
            '%' if !is_assignment => symbol(Op::Remainder, MULTIPLICATIVE),
            '?' if second == Some('?') || second == Some('.') => return Err(self.refuse(2, refusal::NULL_COALESCING)),
            '?' => return Err(self.refuse(1, refusal::TERNARY)),
            _ if is_dash(character) && second.is_some_and(is_name_start) => return self.word_operator().map(Some),
            _ if is_dash(character) && !is_assignment => symbol(Op::Subtract, ADDITIVE),
            _ => None,
        })
    }

    fn word_operator(&self) -> Parsed<Ahead> {
        let rest = self.rest();
        let dash = self.peek().map_or(1, char::len_utf8);
        let length = rest[dash..].find(|character| !is_name(character)).unwrap_or(rest.len() - dash);
        let word = rest[dash..dash + length].to_ascii_lowercase();
        let found = WORDS.iter().find_map(|&(name, operator, precedence, has_case)| {
            let is_case_sensitive = if word == name {
                false
            } else if has_case && word.get(1..) == Some(name) {
                match word.as_bytes().first() {
                    Some(b'c') => true,
                    Some(b'i') => false,
                    _ => return None,
                }
            } else {
                return None;
            };
            Some(Ahead { operator, is_case_sensitive, precedence, length: dash + length })
        });
        found.ok_or_else(|| {
            let span = Span { start: self.at as u32, end: (self.at + dash + length) as u32 };
            let hint = match word.as_str() {
                "not" => "; to negate a comparison, write -not (...) around it".to_owned(),
                "neq" | "noteq" | "isnt" => "; write -ne".to_owned(),
                "lte" => "; write -le".to_owned(),
                "gte" => "; write -ge".to_owned(),
                "equals" | "equal" => "; write -eq".to_owned(),
                "unlike" => "; write -notlike".to_owned(),
                _ => match nearest_operator(&word) {
                    Some(name) => format!("; did you mean -{name}?"),
                    None => String::new(),
                },
            };
            ParseError::new(span, format!("-{word} is no operator{hint}"))
        })
    }

    /// One operand, or several with commas between them, which bind tighter than any operator of two operands.
    fn operand(&mut self, commas: Commas) -> Parsed<Expression> {
        self.apart(|parser| parser.operands(commas))
    }

    fn operands(&mut self, commas: Commas) -> Parsed<Expression> {
        let start = self.at;
        let first = self.unary(commas)?;
        if commas != Commas::List {
            return Ok(first);
        }
        let mut values = vec![first];
        let mut end = self.at;
        loop {
            self.space();
            if !self.eat(",") {
                break;
            }
            let comma = self.at - 1;
            self.space_and_newlines();
            if self.peek().is_none_or(|character| matches!(character, ')' | '}' | ';' | '|' | ',' | ']')) {
                let span = Span { start: comma as u32, end: comma as u32 + 1 };
                let message = "a value is missing behind this comma";
                return Err(match self.peek() {
                    None => ParseError::incomplete(span, message),
                    Some(_) => ParseError::new(span, message),
                });
            }
            values.push(self.unary(commas)?);
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

    fn unary(&mut self, commas: Commas) -> Parsed<Expression> {
        self.apart(|parser| parser.unary_within(commas))
    }

    fn unary_within(&mut self, commas: Commas) -> Parsed<Expression> {
        let start = self.at;
        let Some(character) = self.peek() else { return Err(self.expected("a value")) };
        let second = self.peek_second();
        let operator = match character {
            ',' if commas == Commas::List => {
                self.bump();
                self.space_and_newlines();
                let only = self.nested(|parser| parser.unary(commas))?;
                return Ok(Expression { kind: ExpressionKind::List(vec![only]), span: self.span_from(start) });
            }
            '!' => {
                self.bump();
                UnaryOperator::Not
            }
            '+' if second == Some('+') => return self.prefix_increment(commas, false),
            '+' => {
                self.bump();
                UnaryOperator::Plus
            }
            _ if is_dash(character) && second.is_some_and(is_dash) => return self.prefix_increment(commas, true),
            _ if is_dash(character) && second.is_some_and(is_name_start) => self.unary_word()?,
            _ if is_dash(character) => {
                self.bump();
                if let Some((kind, length)) = self.number_ahead() {
                    self.count()?;
                    self.at += length;
                    let number = Expression { kind: super::number::negated(kind), span: self.span_from(start) };
                    return self.postfix(number, commas);
                }
                UnaryOperator::Negate
            }
            _ => {
                let value = self.primary()?;
                return self.postfix(value, commas);
            }
        };
        self.space_and_newlines();
        self.count()?;
        let operand = self.nested(|parser| parser.unary(commas))?;
        Ok(Expression { kind: ExpressionKind::Unary(operator, Box::new(operand)), span: self.span_from(start) })
    }

    fn unary_word(&mut self) -> Parsed<UnaryOperator> {
        let start = self.at;
        self.bump();
        let word = self.take_while(is_name).to_ascii_lowercase();
        Ok(match word.as_str() {
            "not" => UnaryOperator::Not,
            "bnot" => UnaryOperator::BitwiseNot,
            "join" => UnaryOperator::Join,
            "split" | "isplit" | "csplit" => UnaryOperator::Split,
            _ => {
                let message = if WORDS.iter().any(|(name, ..)| *name == word) {
                    format!("a value is missing on the left of -{word}")
                } else {
                    format!("-{word} stands where a value should; a parameter can only follow a command")
                };
                return Err(ParseError::new(self.span_from(start), message));
            }
        })
    }

    fn prefix_increment(&mut self, commas: Commas, is_decrement: bool) -> Parsed<Expression> {
        let start = self.at;
        self.bump();
        self.bump();
        self.space();
        self.count()?;
        let target = self.nested(|parser| parser.unary(commas))?;
        let span = self.span_from(start);
        if !is_assignable(&target) {
            return Err(ParseError::new(span, "only a variable, a property or an element can be counted up or down"));
        }
        Ok(Expression {
            kind: ExpressionKind::Increment { target: Box::new(target), is_decrement, is_postfix: false },
            span,
        })
    }

    /// A value without operators.
    pub(super) fn primary(&mut self) -> Parsed<Expression> {
        let start = self.at;
        let Some(character) = self.peek() else { return Err(self.expected("a value")) };
        match character {
            '$' if self.peek_second() == Some('(') => self.sub_expression(),
            '$' if self.is_variable() => self.variable(),
            '(' => self.parenthesis(),
            '@' if self.is_at("@(") => {
                let body = self.statements_within("@(", ")", "`@(`")?;
                Ok(Expression { kind: ExpressionKind::ArrayOf(body), span: self.span_from(start) })
            }
            '@' if self.is_at("@{") => self.table(),
            '@' if self.is_here_string() => self.here_string(),
            '@' if self.peek_second().is_some_and(is_name_start) => {
                let name = self.next_word();
                Err(self.refuse(
                    1,
                    &format!("{name} hands its entries to a command as parameters; as a value, write $ instead of @"),
                ))
            }
            '{' => self.block_literal(),
            '[' => self.type_or_cast(),
            _ if is_quote(character) => self.quoted(),
            _ => {
                if let Some((kind, length)) = self.number_ahead() {
                    self.count()?;
                    self.at += length;
                    return Ok(Expression { kind, span: self.span_from(start) });
                }
                let mut error = self.expected("a value");
                if is_name_start(character) {
                    error.message.push_str("; text needs quotes here, a command needs parentheses around it");
                }
                Err(error)
            }
        }
    }

    /// `$( )`.
    pub(super) fn sub_expression(&mut self) -> Parsed<Expression> {
        let start = self.at;
        let body = self.statements_within("$(", ")", "`$(`")?;
        Ok(Expression { kind: ExpressionKind::SubExpression(body), span: self.span_from(start) })
    }

    fn parenthesis(&mut self) -> Parsed<Expression> {
        self.nested(|parser| {
            parser.count()?;
            let start = parser.at;
            let open = parser.here();
            parser.bump();
            parser.space_and_newlines();
            if parser.is_at(")") {
                return Err(ParseError::new(
                    open,
                    "a value is missing between these parentheses; an empty list is @()",
                ));
            }
            if let Some(word @ ("if" | "foreach" | "for" | "while" | "switch" | "try" | "do")) =
                parser.keyword().map(str::to_ascii_lowercase).as_deref()
            {
                let message =
                    format!("`{word}` needs a dollar sign before its parenthesis to be a value: $({word} ...)");
                return Err(parser.refuse(word.len(), &message));
            }
            let inner = parser.pipeline_or_assignment()?;
            parser.space_and_newlines();
            parser.close(")", open, "the parenthesis")?;
            Ok(Expression { kind: ExpressionKind::Parenthesis(Box::new(inner)), span: parser.span_from(start) })
        })
    }

    /// `@{ }`.
    fn table(&mut self) -> Parsed<Expression> {
        self.nested(|parser| {
            parser.count()?;
            let start = parser.at;
            parser.bump();
            parser.bump();
            let open = parser.span_from(start);
            let mut entries = Vec::new();
            loop {
                parser.separators();
                if parser.is_at("}") || parser.peek().is_none() {
                    break;
                }
                let key = parser.table_key()?;
                parser.space_and_newlines();
                if !parser.eat("=") {
                    return Err(parser.expected("`=` behind the key"));
                }
                parser.space_and_newlines();
                if matches!(parser.peek(), Some('}' | ';')) {
                    return Err(parser.expected("the key's value"));
                }
                let value = parser.statement()?;
                entries.push((key, value));
                parser.space();
                if !parser.peek().is_none_or(|character| is_newline(character) || matches!(character, ';' | '}')) {
                    let mut error = parser.expected("`;`, a new line or `}`");
                    error.message.push_str("; entries of a hashtable are separated by `;` or new lines");
                    return Err(error);
                }
            }
            parser.close("}", open, "the hashtable `@{`")?;
            Ok(Expression { kind: ExpressionKind::Table(entries), span: parser.span_from(start) })
        })
    }

    fn table_key(&mut self) -> Parsed<Expression> {
        self.count()?;
        let start = self.at;
        if self.peek().is_some_and(is_name_start) {
            let name = self.take_while(is_name).to_owned();
            if self.peek().is_some_and(|character| is_dash(character) || matches!(character, '.' | ':' | '\\')) {
                let mut error = self.expected("`=`");
                error.message = "a key that is more than a name needs quotes: @{ 'my-key' = ... }".to_owned();
                error.span.start = start as u32;
                return Err(error);
            }
            return Ok(Expression { kind: ExpressionKind::Text(name), span: self.span_from(start) });
        }
        self.nested(|parser| parser.unary(Commas::Separate))
    }

    fn block_literal(&mut self) -> Parsed<Expression> {
        let start = self.at;
        self.count()?;
        let block = self.braced_script("the block")?;
        Ok(Expression { kind: ExpressionKind::ScriptBlock(std::rc::Rc::new(block)), span: self.span_from(start) })
    }

    fn type_or_cast(&mut self) -> Parsed<Expression> {
        self.count()?;
        let start = self.at;
        let type_name = self.type_name()?;
        let before = self.at;
        if self.is_at("::") || self.is_at(".") {
            return Ok(Expression { kind: ExpressionKind::Type(type_name), span: self.span_from(start) });
        }
        self.space();
        let second = self.peek_second();
        let is_operand = match self.peek() {
            Some('$' | '(' | '{' | '[' | '!' | '@') => true,
            Some('+') => second.is_some_and(|second| matches!(second, '$' | '(') || second.is_ascii_digit()),
            Some(character) if is_dash(character) => {
                second.is_some_and(|second| matches!(second, '$' | '(') || second.is_ascii_digit() || is_dash(second))
                    || ["not", "bnot"].iter().any(|word| {
                        let rest = &self.rest()[character.len_utf8()..];
                        rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
                            && !rest[word.len()..].starts_with(is_name)
                    })
            }
            Some(character) => is_quote(character) || self.number_ahead().is_some(),
            None => false,
        };
        if !is_operand {
            self.at = before;
            return Ok(Expression { kind: ExpressionKind::Type(type_name), span: self.span_from(start) });
        }
        let value = self.nested(|parser| parser.unary(Commas::Separate))?;
        Ok(Expression { kind: ExpressionKind::Cast(type_name, Box::new(value)), span: self.span_from(start) })
    }

    /// `[Name]`, with its brackets.
    pub(super) fn type_name(&mut self) -> Parsed<TypeName> {
        let open = self.here();
        if !self.eat("[") {
            return Err(self.expected("a type in brackets"));
        }
        self.space_and_newlines();
        let name = self.nested(Parser::type_within)?;
        self.space_and_newlines();
        // The assembly behind a type's full name says nothing here.
        if self.eat(",") {
            self.take_while(|character| character != ']' && !is_newline(character));
        }
        self.close("]", open, "the type's bracket")?;
        Ok(name)
    }

    /// `Name`, `Name[]`, `Name[Argument, Argument]`.
    fn type_within(&mut self) -> Parsed<TypeName> {
        let name = self.take_while(|character| is_name(character) || matches!(character, '.' | '+' | '`'));
        if !name.starts_with(is_name_start) {
            return Err(self.expected("a type's name"));
        }
        let mut type_name = TypeName { name: name.to_owned(), arguments: Vec::new(), array_depth: 0 };
        loop {
            self.take_while(is_space);
            let open = self.here();
            if !self.eat("[") {
                return Ok(type_name);
            }
            self.space_and_newlines();
            if self.eat("]") {
                type_name.array_depth = type_name.array_depth.saturating_add(1);
                continue;
            }
            if self.is_at(",") {
                return Err(self.refuse(1, "arrays of several dimensions are not part of this shell's language"));
            }
            if type_name.array_depth > 0 || !type_name.arguments.is_empty() {
                return Err(self.expected("`]`"));
            }
            loop {
                self.space_and_newlines();
                let argument =
                    if self.is_at("[") { self.nested(Parser::type_name)? } else { self.nested(Parser::type_within)? };
                type_name.arguments.push(argument);
                self.space_and_newlines();
                if !self.eat(",") {
                    break;
                }
            }
            self.close("]", open, "the bracket")?;
        }
    }

    /// What hangs on a value without a space between: members, calls, indexes, `++`.
    pub(super) fn postfix(&mut self, mut value: Expression, commas: Commas) -> Parsed<Expression> {
        let start = value.span.start as usize;
        loop {
            let is_member = if self.is_at("::") {
                true
            } else if self.is_at(".") {
                match self.peek_second() {
                    Some('.') => false,
                    None => commas != Commas::Arguments,
                    Some(next) => commas != Commas::Arguments || !(ends_word(next) && next != '(' && next != '{'),
                }
            } else {
                false
            };
            if is_member {
                value = self.member(value, start)?;
                continue;
            }
            if self.is_at("[") {
                value = self.index(value, start)?;
                continue;
            }
            if commas != Commas::Arguments {
                let mut next = self.rest().chars();
                let (first, second) = (next.next(), next.next());
                let is_decrement = first.is_some_and(is_dash) && second.is_some_and(is_dash);
                if (first == Some('+') && second == Some('+') || is_decrement) && is_assignable(&value) {
                    self.bump();
                    self.bump();
                    self.wrap()?;
                    let kind = ExpressionKind::Increment { target: Box::new(value), is_decrement, is_postfix: true };
                    return Ok(Expression { kind, span: self.span_from(start) });
                }
            }
            return Ok(value);
        }
    }

    fn member(&mut self, object: Expression, start: usize) -> Parsed<Expression> {
        let is_static = self.eat("::");
        if !is_static {
            self.bump();
        }
        self.count()?;
        self.wrap()?;
        self.space_and_newlines();
        let name = self.nested(|parser| parser.member_name())?;
        let object = Box::new(object);
        let name = Box::new(name);
        let arguments = if self.is_at("(") {
            self.call_arguments()?
        } else if self.is_at("{") {
            vec![self.nested(|parser| parser.block_literal())?]
        } else {
            let kind = ExpressionKind::Member { object, name, is_static };
            return Ok(Expression { kind, span: self.span_from(start) });
        };
        let kind = ExpressionKind::Call { object, name, arguments, is_static };
        Ok(Expression { kind, span: self.span_from(start) })
    }

    fn member_name(&mut self) -> Parsed<Expression> {
        let start = self.at;
        match self.peek() {
            Some(character) if is_name_start(character) => {
                self.count()?;
                let name = self.take_while(is_name).to_owned();
                Ok(Expression { kind: ExpressionKind::Text(name), span: self.span_from(start) })
            }
            Some('$') if self.peek_second() == Some('(') => self.sub_expression(),
            Some('$') if self.is_variable() => self.variable(),
            Some('(') => self.parenthesis(),
            Some(character) if is_quote(character) => self.quoted(),
            // Numbers are names of members nowhere but in what came from files.
            Some(character) if character.is_ascii_digit() => {
                self.count()?;
                let name = self.take_while(is_name).to_owned();
                Ok(Expression { kind: ExpressionKind::Text(name), span: self.span_from(start) })
            }
            _ => Err(self.expected("the name of a property or method")),
        }
    }

    fn call_arguments(&mut self) -> Parsed<Vec<Expression>> {
        self.nested(|parser| {
            let open = parser.here();
            parser.bump();
            let mut arguments = Vec::new();
            parser.space_and_newlines();
            while !parser.is_at(")") && parser.peek().is_some() {
                arguments.push(parser.expression(Commas::Separate)?);
                parser.space_and_newlines();
                if !parser.eat(",") {
                    break;
                }
                parser.space_and_newlines();
                if parser.is_at(")") {
                    return Err(parser.expected("another argument, as a comma comes before,"));
                }
            }
            parser.close(")", open, "the parenthesis of a method")?;
            Ok(arguments)
        })
    }

    fn index(&mut self, object: Expression, start: usize) -> Parsed<Expression> {
        self.wrap()?;
        self.count()?;
        let open = self.here();
        self.bump();
        self.space_and_newlines();
        if self.is_at("]") {
            return Err(self.expected("an index"));
        }
        let index = self.nested(|parser| parser.expression(Commas::List))?;
        self.space_and_newlines();
        self.close("]", open, "the bracket of an index")?;
        let kind = ExpressionKind::Index { object: Box::new(object), index: Box::new(index) };
        Ok(Expression { kind, span: self.span_from(start) })
    }
}

/// Whether a value can be assigned to.
pub(super) fn is_assignable(target: &Expression) -> bool {
    match &target.kind {
        ExpressionKind::Variable(_) | ExpressionKind::Index { .. } => true,
        ExpressionKind::Member { .. } => true,
        ExpressionKind::Cast(_, inner) => is_assignable(inner),
        ExpressionKind::List(targets) => targets.iter().all(is_assignable),
        ExpressionKind::Parenthesis(inner) => match &**inner {
            Statement { kind: StatementKind::Pipeline(pipeline), .. } => match &pipeline.elements[..] {
                [crate::syntax::PipelineElement::Expression(inner, redirections)] if redirections.is_empty() => {
                    is_assignable(inner)
                }
                _ => false,
            },
            _ => false,
        },
        _ => false,
    }
}

/// The operator that a misspelt one is most like: the same letters but one.
fn nearest_operator(word: &str) -> Option<&'static str> {
    let is_near = |name: &str| {
        let (long, short) = if name.len() >= word.len() { (name, word) } else { (word, name) };
        match long.len() - short.len() {
            0 => {
                long.bytes().zip(short.bytes()).filter(|(one, other)| one != other).count()
                    <= 1 + usize::from(long.len() > 4)
            }
            1 => (0..long.len()).any(|left_out| {
                long.bytes().enumerate().filter(|(at, _)| *at != left_out).map(|(_, byte)| byte).eq(short.bytes())
            }),
            _ => false,
        }
    };
    if word.len() < 2 {
        return None;
    }
    WORDS.iter().map(|(name, ..)| *name).chain(["not"]).find(|name| name.len() > 1 && is_near(name))
}
