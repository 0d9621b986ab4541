//! From the text of a script to its tree.
//!
//! Takes a [`Source`], hands on a [`ScriptBlock`] or all mistakes that can honestly be told at once, each with its place and
//! what to write instead. Constructs that the language does not have are refused here by their name, before anything runs.
//! Never looks up commands or variables: whether they exist is known when the script runs.
//!
//! The text is read in two ways, as the original does: where an expression is expected, and among the arguments of a
//! command, where words need no quotes. There is no list of tokens between: each function reads the characters that it
//! wants, so the way of reading is known where it is needed.

mod function;
mod statement;
mod arguments;
mod expression;
mod text;
mod number;
mod refusal;
mod characters;
#[cfg(test)]
mod dump;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::fault::{Category, Fault, Severity};
use crate::source::{Source, Span};
use crate::syntax::ScriptBlock;

/// The longest text that is read, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4 << 20;

/// How deep blocks, parentheses and operators may lie in each other. Reading that many takes 5 MiB of stack in a build without
/// optimisation; whoever walks the tree needs a stack for as many.
pub const NESTING_MAX: usize = 200;

/// The most expressions and statements that one text may have.
pub const NODES_MAX: usize = 500_000;

/// The most mistakes that are told of one text.
pub const ERRORS_MAX: usize = 20;

/// One mistake in a text. `Display` is its message alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, and what to write instead.
    pub message: String,
    /// Where it is; never outside of the text.
    pub span: Span,
    /// Whether the text only ends too early: more of it could make it whole.
    pub is_incomplete: bool,
    /// Whether nothing after it can be read sensibly.
    is_final: bool,
}

impl ParseError {
    fn new(span: Span, message: impl Into<String>) -> ParseError {
        ParseError { message: message.into(), span, is_incomplete: false, is_final: false }
    }

    fn incomplete(span: Span, message: impl Into<String>) -> ParseError {
        ParseError { message: message.into(), span, is_incomplete: true, is_final: true }
    }

    fn last(span: Span, message: impl Into<String>) -> ParseError {
        ParseError { message: message.into(), span, is_incomplete: false, is_final: true }
    }

    /// The same as an error record, with its place in `source`.
    pub fn to_fault(&self, source: &Source) -> Fault {
        let mut fault = Fault::new(Category::Parser, self.message.clone());
        fault.severity = Severity::Final;
        fault.exception = "System.Management.Automation.ParseException";
        fault.at(source, self.span)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

/// Reads a whole script.
///
/// # Errors
/// All mistakes found, in the order of their places, [`ERRORS_MAX`] at most; never none.
pub fn parse(source: &Source) -> Result<ScriptBlock, Vec<ParseError>> {
    parse_and_look_at_end(source).0
}

/// Whether `text` only lacks its end: an open brace or quote, a pipe, an operator or a backtick at the end of its last line. For
/// terminals, which then wait for another line.
pub fn is_incomplete(text: &str) -> bool {
    match parse_and_look_at_end(&Source::new("", text)) {
        (Ok(_), is_continued) => is_continued,
        (Err(errors), _) => errors.iter().all(|error| error.is_incomplete),
    }
}

/// The script, and whether it ends in a backtick, which continues nothing in a file and asks for more at a terminal.
fn parse_and_look_at_end(source: &Source) -> (Result<ScriptBlock, Vec<ParseError>>, bool) {
    if source.text().len() > SOURCE_BYTES_MAX {
        let message = format!("the script has more than {} MiB, which is the limit", SOURCE_BYTES_MAX >> 20);
        return (Err(vec![ParseError::last(Span::default(), message)]), false);
    }
    let mut parser = Parser::new(source);
    let script = parser.script_block(None);
    let mut errors = parser.errors;
    if let Some(open) = parser.open_comment {
        errors.push(ParseError::incomplete(open, "a comment is not closed: `#>` is missing"));
    } else {
        match script {
            Ok(script) if errors.is_empty() => return (Ok(script), parser.is_continued_at_end),
            Ok(_) => {}
            Err(_) if parser.has_given_up && !errors.is_empty() => {}
            Err(error) => errors.push(error),
        }
    }
    errors.sort_by_key(|error| (error.span.start, error.span.end));
    errors.dedup();
    (Err(errors), false)
}

type Parsed<T> = Result<T, ParseError>;

/// Where the parser stands in a text.
struct Parser<'a> {
    source: &'a Source,
    text: &'a str,
    /// The byte that comes next; always between two characters.
    at: usize,
    /// How many constructs are open here.
    level: usize,
    /// How high the tree is that the construct being read has by now: operators in a row make it higher without being nested.
    height: usize,
    nodes: usize,
    /// `trap` statements of the block being read.
    traps: Vec<crate::syntax::Catch>,
    /// Where a `<#` without its `#>` stands.
    open_comment: Option<Span>,
    /// Whether what is being read was read before and only has to be passed over: then the first mistake ends it.
    is_recovering: bool,
    /// Whether a mistake made it impossible to tell where its statement ends: what seems to be missing after it may not be.
    has_given_up: bool,
    /// Whether the text ends in a backtick.
    is_continued_at_end: bool,
    errors: Vec<ParseError>,
}

impl<'a> Parser<'a> {
    fn new(source: &'a Source) -> Parser<'a> {
        Parser {
            source,
            text: source.text(),
            at: 0,
            level: 0,
            height: 0,
            nodes: 0,
            traps: Vec::new(),
            open_comment: None,
            is_recovering: false,
            has_given_up: false,
            is_continued_at_end: false,
            errors: Vec::new(),
        }
    }

    /// Reads one level deeper. All recursion comes by here, so that no text overflows the stack.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Parser<'a>) -> Parsed<T>) -> Parsed<T> {
        if self.level >= NESTING_MAX {
            return Err(self.too_deep());
        }
        self.level += 1;
        let height_outside = std::mem::take(&mut self.height);
        let result = read(self);
        self.level -= 1;
        self.height = height_outside.max(self.height + 1);
        result
    }

    /// Reads a value or a list of them; what it adds to the height of the tree counts for it alone.
    fn apart<T>(&mut self, read: impl FnOnce(&mut Parser<'a>) -> Parsed<T>) -> Parsed<T> {
        let height_outside = std::mem::take(&mut self.height);
        let result = read(self);
        self.height = height_outside.max(self.height);
        result
    }

    /// Notes that what was read last lies below one more node, as the left side of an operator.
    fn wrap(&mut self) -> Parsed<()> {
        self.height += 1;
        if self.level + self.height > NESTING_MAX {
            return Err(self.too_deep());
        }
        Ok(())
    }

    fn too_deep(&self) -> ParseError {
        ParseError::last(
            self.here(),
            format!(
                "blocks, parentheses and operators lie more than {NESTING_MAX} deep in each other here; put parts of it into variables"
            ),
        )
    }

    /// Counts one node of the tree.
    fn count(&mut self) -> Parsed<()> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(ParseError::last(
                self.here(),
                format!(
                    "the script has more than {NODES_MAX} expressions; read long lists from a file (Get-Content, Import-Csv)"
                ),
            ));
        }
        Ok(())
    }
}
