//! The text of a script, and places in it.

use std::fmt;
use std::rc::Rc;

/// A script's text and its name. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Source(Rc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    name: String,
    text: String,
}

impl Source {
    /// A source; `name` is what errors call it: a file's path, or `command line`.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source(Rc::new(Inner { name: name.into(), text: text.into() }))
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The text at `span`; empty for a span of another source.
    pub fn slice(&self, span: Span) -> &str {
        self.0.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Line and column of a byte offset, both from 1; columns count characters.
    pub fn position(&self, offset: u32) -> (usize, usize) {
        let before = self.0.text.get(..offset as usize).unwrap_or(&self.0.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.0.name)
    }
}

/// A piece of a source: byte offsets, the end not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl Span {
    /// From the start of `self` to the end of `last`.
    pub fn to(self, last: Span) -> Span {
        Span { start: self.start, end: last.end }
    }
}
