//! What is wrong with a settings document, where, and what to write instead; and how that is drawn for a person.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

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

/// More lines than this of one place are not drawn.
const LINES_MAX: usize = 4;

/// Draws problems with their lines of the document, as rustc draws them. `text` is the document that they were found
/// in; `colour` asks for terminal escape sequences.
pub fn render(file_name: &str, text: &str, problems: &[Problem], colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for problem in problems {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut groups: Vec<Group<'_>> = vec![
            level
                .primary_title(problem.message.as_str())
                .element(snippet(file_name, text, &problem.span, problem.line))
                .element(Level::HELP.message(problem.remedy.as_str())),
        ];
        if let Some(related) = &problem.related {
            let title = Level::NOTE.secondary_title(related.message.as_str());
            groups.push(title.element(snippet(file_name, text, &related.span, related.line)));
        }
        out.push_str(&renderer.render(&groups));
        out.push_str("\n\n");
    }
    out
}

/// Only the lines of the place itself: drawing a problem must not cost the length of the document.
fn snippet<'a>(
    file_name: &'a str,
    text: &'a str,
    span: &Range<usize>,
    line: usize,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let start = floor_char_boundary(text, span.start);
    let end = floor_char_boundary(text, span.end).max(start);
    let first_line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let mut last_line = start;
    for _ in 0..LINES_MAX {
        last_line = text[last_line..].find('\n').map_or(text.len(), |newline| last_line + newline + 1);
        if last_line >= end || last_line == text.len() {
            break;
        }
    }
    let lines = &text[first_line..last_line];
    let lines = lines.strip_suffix('\n').unwrap_or(lines);
    let span = start - first_line..end.min(first_line + lines.len()).max(start) - first_line;
    Snippet::source(lines).path(file_name).line_start(line).annotation(AnnotationKind::Primary.span(span))
}

fn floor_char_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
