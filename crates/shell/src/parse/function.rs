//! Script blocks and functions: their heads, their parts, their parameters with attributes.

use std::rc::Rc;

use super::characters::{ends_word, is_dash, is_name, is_name_start, is_newline};
use super::expression::Commas;
use super::{ParseError, Parsed, Parser, refusal};
use crate::source::Span;
use crate::syntax::{Attribute, Expression, ParameterDeclaration, ScriptBlock, StatementKind, TypeName};

impl Parser<'_> {
    /// A whole script, or what stands between the braces of a block, whose opening one is at `open`.
    pub(super) fn script_block(&mut self, open: Option<Span>) -> Parsed<ScriptBlock> {
        let traps_outside = std::mem::take(&mut self.traps);
        let start = self.at;
        let mut block = ScriptBlock {
            source: self.source.clone(),
            span: Span::default(),
            parameters: Vec::new(),
            attributes: Vec::new(),
            begin: None,
            process: None,
            end: Vec::new(),
            traps: Vec::new(),
        };
        self.head(&mut block)?;
        if self.is_part() {
            self.parts(&mut block, open)?;
        } else {
            block.end = self.statements(open.map(|open| (open, '}')))?;
        }
        block.span = self.span_from(start);
        block.traps = std::mem::replace(&mut self.traps, traps_outside);
        Ok(block)
    }

    /// `using namespace`, attributes and `param (...)`, if they come first.
    fn head(&mut self, block: &mut ScriptBlock) -> Parsed<()> {
        loop {
            self.separators();
            if !self.is_keyword("using") {
                break;
            }
            let start = self.at;
            self.at += "using".len();
            self.space();
            // Types are known by their short names anyway.
            if !self.is_keyword("namespace") {
                self.at = start;
                return Err(self.refuse("using".len(), refusal::USING_MODULE));
            }
            self.take_while(|character| !is_newline(character) && character != ';');
        }
        let before = self.at;
        let errors_before = self.errors.len();
        let mut attributes = Vec::new();
        while self.is_at("[") {
            // Brackets here may as well begin an expression; then what was read is read again as that.
            match self.attribute_or_type() {
                Ok(Bracketed::Attribute(attribute)) => attributes.push(attribute),
                Ok(Bracketed::Type(_)) | Err(_) => break,
            }
            self.space_and_newlines();
        }
        if !self.is_keyword("param") {
            self.at = before;
            self.errors.truncate(errors_before);
            return Ok(());
        }
        self.at += "param".len();
        self.space_and_newlines();
        block.attributes = attributes;
        block.parameters = self.parameter_list()?;
        self.separators();
        Ok(())
    }

    /// Whether `begin {`, `process {` or `end {` comes next.
    fn is_part(&mut self) -> bool {
        let before = self.at;
        let is_part = self.keyword().is_some_and(|word| {
            ["begin", "process", "end", "dynamicparam", "clean"].iter().any(|part| part.eq_ignore_ascii_case(word))
        });
        if is_part {
            self.take_while(is_name);
            self.space_and_newlines();
        }
        let has_brace = self.is_at("{");
        self.at = before;
        is_part && has_brace
    }

    fn parts(&mut self, block: &mut ScriptBlock, open: Option<Span>) -> Parsed<()> {
        loop {
            self.separators();
            match self.peek() {
                None if open.is_none() => return Ok(()),
                Some('}') if open.is_some() => return Ok(()),
                _ => {}
            }
            if !self.is_part() {
                return match (self.peek(), open) {
                    (None, Some(open)) => Err(self.unclosed("}", open, "the block")),
                    _ => Err(self.expected("`begin`, `process` or `end`, as this block has such parts,")),
                };
            }
            let start = self.at;
            let word = self.take_while(is_name).to_ascii_lowercase();
            let word_span = self.span_from(start);
            match word.as_str() {
                "dynamicparam" => return Err(ParseError::new(word_span, refusal::DYNAMIC_PARAMETERS)),
                "clean" => return Err(ParseError::new(word_span, refusal::CLEAN)),
                _ => {}
            }
            self.space_and_newlines();
            let statements = self.statements_within("{", "}", &format!("the `{word}` block"))?;
            let is_second = match word.as_str() {
                "begin" => block.begin.replace(statements).is_some(),
                "process" => block.process.replace(statements).is_some(),
                _ => {
                    let is_second = !block.end.is_empty();
                    block.end = statements;
                    is_second
                }
            };
            if is_second {
                return Err(ParseError::new(word_span, format!("this block has two `{word}` parts; write one")));
            }
        }
    }

    /// `{ ... }` as a script block.
    pub(super) fn braced_script(&mut self, what: &str) -> Parsed<ScriptBlock> {
        self.nested(|parser| {
            let open = parser.here();
            if !parser.eat("{") {
                return Err(parser.expected(&format!("`{{` of {what}")));
            }
            let block = parser.script_block(Some(open))?;
            parser.close("}", open, what)?;
            Ok(block)
        })
    }

    pub(super) fn function(&mut self, is_filter: bool) -> Parsed<StatementKind> {
        let keyword = if is_filter { "filter" } else { "function" };
        self.at += keyword.len();
        self.space_and_newlines();
        let name: String = self.take_while(|character| !ends_word(character)).replace(is_dash, "-");
        if name.is_empty() {
            return Err(self.expected(&format!("the name of the {keyword}")));
        }
        self.space_and_newlines();
        let parameters = if self.is_at("(") { Some(self.parameter_list()?) } else { None };
        self.space_and_newlines();
        let mut body = self.braced_script(&format!("the {keyword} {name}"))?;
        if let Some(parameters) = parameters {
            if !body.parameters.is_empty() {
                let message =
                    format!("the {keyword} {name} has parameters behind its name and a `param`; write one of them");
                return Err(ParseError::new(body.parameters.first().map_or(body.span, |first| first.span), message));
            }
            body.parameters = parameters;
        }
        if is_filter && body.process.is_none() && body.begin.is_none() {
            body.process = Some(std::mem::take(&mut body.end));
        }
        Ok(StatementKind::Function { name, body: Rc::new(body) })
    }

    /// `( )` with parameters.
    pub(super) fn parameter_list(&mut self) -> Parsed<Vec<ParameterDeclaration>> {
        self.nested(|parser| {
            let open = parser.here();
            if !parser.eat("(") {
                return Err(parser.expected("`(` of the parameters"));
            }
            let mut parameters = Vec::new();
            loop {
                parser.space_and_newlines();
                if parser.is_at(")") || parser.peek().is_none() {
                    break;
                }
                parameters.push(parser.parameter_declaration()?);
                parser.space_and_newlines();
                if !parser.eat(",") {
                    break;
                }
                parser.space_and_newlines();
                if parser.is_at(")") {
                    return Err(parser.expected("another parameter, as a comma comes before,"));
                }
            }
            if parser.peek().is_some_and(|next| next == '$' || next == '[') {
                return Err(parser.expected("a comma between parameters"));
            }
            parser.close(")", open, "the list of parameters")?;
            Ok(parameters)
        })
    }

    fn parameter_declaration(&mut self) -> Parsed<ParameterDeclaration> {
        self.count()?;
        let start = self.at;
        let mut attributes = Vec::new();
        let mut type_name = None;
        while self.is_at("[") {
            match self.attribute_or_type()? {
                Bracketed::Attribute(attribute) => attributes.push(attribute),
                Bracketed::Type(name) => type_name = Some(name),
            }
            self.space_and_newlines();
        }
        if !self.is_variable() {
            return Err(self.expected("a parameter: `$name`"));
        }
        let name = self.variable_name()?.name;
        let mut span = self.span_from(start);
        let before = self.at;
        self.space_and_newlines();
        let default = if self.eat("=") {
            self.space_and_newlines();
            let default = self.expression(Commas::Separate)?;
            span = self.span_from(start);
            Some(default)
        } else {
            self.at = before;
            None
        };
        Ok(ParameterDeclaration { name, type_name, attributes, default, span })
    }

    /// `[Name(...)]` is an attribute, `[Name]` a type.
    fn attribute_or_type(&mut self) -> Parsed<Bracketed> {
        let start = self.at;
        self.bump();
        self.space_and_newlines();
        let name = self.take_while(|character| is_name(character) || character == '.').to_owned();
        self.space();
        if name.is_empty() || !self.is_at("(") {
            self.at = start;
            return Ok(Bracketed::Type(self.type_name()?));
        }
        let (positional, named) = self.nested(Parser::attribute_arguments)?;
        self.space_and_newlines();
        let open = Span { start: start as u32, end: start as u32 + 1 };
        self.close("]", open, "the attribute")?;
        Ok(Bracketed::Attribute(Attribute { name, positional, named, span: self.span_from(start) }))
    }

    #[allow(clippy::type_complexity, reason = "both lists, as the tree has them")]
    fn attribute_arguments(&mut self) -> Parsed<(Vec<Expression>, Vec<(String, Option<Expression>)>)> {
        let open = self.here();
        self.bump();
        let (mut positional, mut named) = (Vec::new(), Vec::new());
        loop {
            self.space_and_newlines();
            if self.is_at(")") || self.peek().is_none() {
                break;
            }
            if self.peek().is_some_and(is_name_start) {
                let name = self.take_while(is_name).to_owned();
                self.space_and_newlines();
                let value = if self.eat("=") {
                    self.space_and_newlines();
                    Some(self.expression(Commas::Separate)?)
                } else {
                    None
                };
                named.push((name, value));
            } else {
                positional.push(self.expression(Commas::Separate)?);
            }
            self.space_and_newlines();
            if !self.eat(",") {
                break;
            }
        }
        self.close(")", open, "the parenthesis of an attribute")?;
        Ok((positional, named))
    }
}

/// What stands in brackets before a parameter.
enum Bracketed {
    Attribute(Attribute),
    Type(TypeName),
}
