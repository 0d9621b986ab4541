//! The collecting reader: walks the spanned tree of a document and notes every problem instead of stopping at one.
//!
//! A table is read through [`Fields`]. The keys that are asked for are the keys that exist: what nobody asked for is
//! reported as unknown, so the code that reads a table is its schema.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Related, Severity};
use super::syntax::Broken;

/// More problems than this of one document are counted, not kept.
pub(super) const PROBLEMS_MAX: usize = 1_000;
/// No key that we know is longer, so longer ones resemble none.
const KEY_CHARS_MAX: usize = 64;

/// A value that cannot be taken: what is wrong with it and what to write instead, without key and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub message: String,
    pub remedy: String,
}

impl Wrong {
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Wrong {
        Wrong { message: message.into(), remedy: remedy.into() }
    }
}

/// Collects the problems of one document.
pub(crate) struct Collector<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    problems: Vec<Problem>,
    not_kept: usize,
    errors: usize,
    /// Keys whose values were lost because they are no TOML, with where they stood, ascending.
    lost: Vec<(usize, String)>,
}

impl<'t> Collector<'t> {
    pub fn new(text: &'t str) -> Collector<'t> {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Collector {
            text,
            line_starts: std::iter::once(0).chain(newlines).collect(),
            problems: Vec::new(),
            not_kept: 0,
            errors: 0,
            lost: Vec::new(),
        }
    }

    /// Notes a statement that is no TOML. To be called for all of them, in order, before anything else is noted: what was
    /// lost with them is then not reported a second time as missing.
    pub(super) fn broken(&mut self, broken: Broken) {
        self.lost.extend(broken.key.map(|key| (broken.span.start, key)));
        self.error(broken.span, broken.message, broken.remedy);
    }

    pub fn error(&mut self, span: Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        self.note(Severity::Error, span, message.into(), remedy.into(), None);
    }

    pub fn warning(&mut self, span: Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        self.note(Severity::Warning, span, message.into(), remedy.into(), None);
    }

    /// An error that concerns two places.
    pub fn error_between(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
        related: (Range<usize>, &str),
    ) {
        let (line, column) = self.position(related.0.start);
        let related = Related { span: related.0, line, column, message: related.1.to_owned() };
        self.note(Severity::Error, span, message.into(), remedy.into(), Some(related));
    }

    /// Whether `key` was lost from the table whose header ends at `after`.
    fn is_lost(&self, key: &str, after: usize) -> bool {
        let from = self.lost.partition_point(|(at, _)| *at < after);
        let mut lost = self.lost[from..].iter().filter(|(_, lost)| lost == key).peekable();
        lost.peek().is_some() && {
            let end = self.table_end(after);
            lost.any(|(at, _)| *at < end)
        }
    }

    /// Where the next table header begins, as far as lines tell.
    fn table_end(&self, after: usize) -> usize {
        let line = self.line_starts.partition_point(|start| *start <= after);
        self.line_starts[line..]
            .iter()
            .copied()
            .find(|start| self.text[*start..].trim_start_matches([' ', '\t']).starts_with('['))
            .unwrap_or(self.text.len() + 1)
    }

    fn note(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        message: String,
        remedy: String,
        related: Option<Related>,
    ) {
        if severity == Severity::Error {
            self.errors += 1;
        }
        if self.problems.len() >= PROBLEMS_MAX {
            self.not_kept += 1;
            return;
        }
        let (line, column) = self.position(span.start);
        self.problems.push(Problem { severity, span, line, column, message, remedy, related });
    }

    /// The line of a place, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.position(at).0
    }

    /// Line and column, both from 1, the column in characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.line_starts.partition_point(|start| *start <= at);
        (line, self.text[self.line_starts[line - 1]..at].chars().count() + 1)
    }

    /// Whether an error is noted already, so that what follows from it need not be told as well.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// All problems in document order, and whether one of them is an error.
    pub fn finish(mut self) -> (Vec<Problem>, bool) {
        self.problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
        if let (Some(last), 1..) = (self.problems.last().cloned(), self.not_kept) {
            self.problems.push(Problem {
                message: format!("{} more problems are not shown", self.not_kept),
                remedy: "correct those above first".to_owned(),
                related: None,
                ..last
            });
        }
        (self.problems, self.errors > 0)
    }
}

/// One table being read.
pub(super) struct Fields<'c, 'd, 't> {
    pub collector: &'c mut Collector<'t>,
    table: &'d DeTable<'t>,
    /// As it is written, for messages: `[[receive_connector]]`.
    header: &'static str,
    span: Range<usize>,
    asked: Vec<&'static str>,
    bad: Vec<&'static str>,
}

impl<'c, 'd, 't> Fields<'c, 'd, 't> {
    pub fn new(
        collector: &'c mut Collector<'t>,
        header: &'static str,
        table: &'d DeTable<'t>,
        span: Range<usize>,
    ) -> Fields<'c, 'd, 't> {
        Fields { collector, table, header, span, asked: Vec::new(), bad: Vec::new() }
    }

    /// The value of a key, as it is.
    pub fn value(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// The value of a key that may be left out. `None` too where the value is wrong; that is then noted.
    pub fn optional<T>(&mut self, key: &'static str, read: impl FnOnce(&DeValue<'t>) -> Result<T, Wrong>) -> Option<T> {
        let value = self.value(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(wrong) => {
                self.wrong(key, value.span(), wrong);
                None
            }
        }
    }

    /// The value of a key that must be there.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        remedy: &str,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.table.get(key).is_none() {
            self.asked.push(key);
            self.lacks(key, remedy);
            return None;
        }
        self.optional(key, read)
    }

    /// The elements of a list, each with its place; a single value is a list of one. Wrong ones are noted and left out.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&DeValue<'t>, Range<usize>) -> Result<T, Wrong>,
    ) -> Option<Vec<(T, Range<usize>)>> {
        let elements = self.elements(key)?;
        let mut list = Vec::with_capacity(elements.len());
        for element in elements {
            match read(element.get_ref(), element.span()) {
                Ok(read) => list.push((read, element.span())),
                Err(wrong) => self.wrong(key, element.span(), wrong),
            }
        }
        Some(list)
    }

    /// The elements of a list as they are; a single value is a list of one.
    pub fn elements(&mut self, key: &'static str) -> Option<&'d [Spanned<DeValue<'t>>]> {
        let value = self.value(key)?;
        Some(match value.get_ref() {
            DeValue::Array(array) => array.as_ref(),
            _ => std::slice::from_ref(value),
        })
    }

    /// A list that must be there and hold something.
    pub fn required_list<T>(
        &mut self,
        key: &'static str,
        remedy: &str,
        read: impl FnMut(&DeValue<'t>, Range<usize>) -> Result<T, Wrong>,
    ) -> Vec<(T, Range<usize>)> {
        match self.list(key, read) {
            None => {
                self.lacks(key, remedy);
                Vec::new()
            }
            Some(list) => {
                if list.is_empty() && !self.is_bad(key) {
                    self.error_at(key, format!("`{key}` is empty"), remedy);
                }
                list
            }
        }
    }

    /// The tables of `[[key]]`, each with the place of its header.
    pub fn tables(&mut self, key: &'static str) -> Vec<(&'d DeTable<'t>, Range<usize>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let elements = value.get_ref().as_array().map(|array| array.as_ref());
        let tables = elements.and_then(|elements| {
            elements.iter().map(|element| Some((element.get_ref().as_table()?, element.span()))).collect()
        });
        tables.unwrap_or_else(|| {
            let path = self.path(key);
            self.error_at(
                key,
                format!("`{key}` is a list of tables"),
                format!("write [[{path}]] above each, in double brackets"),
            );
            Vec::new()
        })
    }

    /// The table `[key]`.
    pub fn table(&mut self, key: &'static str) -> Option<(&'d DeTable<'t>, Range<usize>)> {
        let value = self.value(key)?;
        if let Some(table) = value.get_ref().as_table() {
            return Some((table, value.span()));
        }
        self.error_at(
            key,
            format!("`{key}` is one table"),
            format!("write [{key}] above its keys, once, in single brackets"),
        );
        None
    }

    /// Whether the key is there and its value could not be taken. What depends on it is not checked then: one mistake
    /// is reported once.
    pub fn is_bad(&self, key: &str) -> bool {
        self.bad.contains(&key) || self.collector.is_lost(key, self.span.end)
    }

    /// Whether the key is written in the document.
    pub fn is_given(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The place of a key's value, or of the table's header where the key is left out.
    pub fn span_of(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Notes an error at a key's value.
    pub fn error_at(&mut self, key: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        let span = self.span_of(key);
        self.bad.push(key);
        self.collector.error(span, message, remedy);
    }

    /// Notes a warning at a key's value.
    pub fn warning_at(&mut self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        let span = self.span_of(key);
        self.collector.warning(span, message, remedy);
    }

    /// Notes an error at one element of a list.
    pub fn wrong(&mut self, key: &'static str, span: Range<usize>, wrong: Wrong) {
        self.bad.push(key);
        self.collector.error(span, format!("`{key}`: {}", wrong.message), wrong.remedy);
    }

    /// Notes that something below this key's value could not be taken; what, is noted already.
    pub fn spoil(&mut self, key: &'static str) {
        self.bad.push(key);
    }

    /// Notes an error where a key stands that has another name here or belongs elsewhere. Lists of keys do not name it.
    pub fn refuse(&mut self, key: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        if self.is_given(key) {
            self.asked.push(key);
            self.error_at(key, message, remedy);
        }
    }

    /// Notes that a key is missing.
    pub fn lacks(&mut self, key: &'static str, remedy: &str) {
        if !self.is_bad(key) {
            let message = format!("{} has no `{key}`", self.header);
            self.collector.error(self.span.clone(), message, remedy);
        }
        self.bad.push(key);
    }

    /// What to do with a key that is none here. In TOML, keys of a table can not follow below a table inside it: whoever adds
    /// one at the end adds it to the inner table.
    fn removal(&self) -> String {
        match self.header.rsplit_once('.') {
            Some((outer, _)) if self.header.starts_with("[[") => {
                format!("remove it, or if it is for {outer}]], write it above the first {}", self.header)
            }
            _ => "remove it".to_owned(),
        }
    }

    fn path(&self, key: &str) -> String {
        let parent = self.header.trim_matches(['[', ']']);
        if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
    }

    /// Reports the keys that nobody asked for; `planned` are those of Exchange that have no effect here yet.
    pub fn finish(self, planned: &[&str]) {
        for (key, _) in self.table.iter() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let place = if self.header.is_empty() { "the document" } else { self.header };
            if planned.contains(&name) {
                self.collector.error(
                    key.span(),
                    format!("`{name}` in {place} is not supported yet"),
                    "remove it: a setting without effect would only look like one",
                );
                continue;
            }
            let message = format!("`{}` is no key of {place}", shown(name));
            let remedy = match nearest(name, self.asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("{}; the keys are {}", self.removal(), self.asked.join(", ")),
            };
            self.collector.error(key.span(), message, remedy);
        }
    }
}

/// Shorter names are held by many others without having to do with them.
const HELD_BYTES_MIN: usize = 5;

/// Text of the document as messages show it: short and without control characters.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut shown: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// The known name that `name` most likely was meant to be: the one with the smallest edit distance, if that is small
/// enough to be a slip; else the only one that holds it or that it holds, as `Accept-Any-Recipient` is held by
/// `ms-Exch-SMTP-Accept-Any-Recipient`.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    let name: Vec<char> = name.chars().take(KEY_CHARS_MAX + 1).flat_map(char::to_lowercase).collect();
    if name.len() > KEY_CHARS_MAX {
        return None;
    }
    let slips_max = (name.len() / 3).max(1);
    let slip = known
        .clone()
        .map(|known| (edit_distance(&name, &known.to_lowercase().chars().collect::<Vec<_>>()), known))
        .filter(|(distance, _)| *distance <= slips_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known);
    slip.or_else(|| {
        let name = String::from_iter(&name);
        let holds = |whole: &str, part: &str| part.len() >= HELD_BYTES_MIN && whole.contains(part);
        let mut holding = known.filter(|known| {
            let known = known.to_lowercase();
            holds(&known, &name) || holds(&name, &known)
        });
        holding.next().filter(|_| holding.next().is_none())
    })
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one to the other.
fn edit_distance(one: &[char], other: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = Vec::with_capacity(other.len() + 1);
        row.push(i + 1);
        for (j, b) in other.iter().enumerate() {
            let mut best = (last[j + 1] + 1).min(row[j] + 1).min(last[j] + usize::from(a != b));
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        let known = ["remote_ip_ranges", "bindings", "permission_groups", "port"];
        for (name, expected) in [
            ("remote_ip_range", Some("remote_ip_ranges")),
            ("remote_ip_rangse", Some("remote_ip_ranges")),
            ("RemoteIPRanges", Some("remote_ip_ranges")),
            ("binding", Some("bindings")),
            ("prot", Some("port")),
            ("permission", Some("permission_groups")),
            ("local_bindings", Some("bindings")),
            ("smart_hosts", None),
            ("transport", None),
            ("x", None),
            (&"x".repeat(10_000), None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
    }
}
