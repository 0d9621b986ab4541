//! What is wrong with a settings document, where, and what to write instead.

use std::ops::Range;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is taken, but this has no effect or is likely a mistake.
    Warning,
}

/// One problem of a settings document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where, in bytes of the document.
    pub span: Range<usize>,
    /// Line of the start, from 1.
    pub line: usize,
    /// Column of the start, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
    /// Another place that has to do with it.
    pub related: Option<Related>,
}

/// Another place that has to do with a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// Where, in bytes of the document.
    pub span: Range<usize>,
    /// Line of the start, from 1.
    pub line: usize,
    /// Column of the start, from 1, in characters.
    pub column: usize,
    /// What is there.
    pub message: String,
}

/// Draws problems with their lines of the document, as rustc draws them.
pub fn render(_file_name: &str, _text: &str, _problems: &[Problem], _colour: bool) -> String {
    unimplemented!()
}
