//! The settings document cut into sections, so that a change touches one of them and leaves every other byte alone.
//!
//! Takes the text of a document that is TOML; hands it back byte for byte, or with sections replaced. A section is a
//! table with all that belongs to it: `[server]`, or one `[[receive_connector]]` with its entries and the comment lines
//! directly above it. A section is TOML by itself, and all of them one after the other mean what the document means. Where
//! a document is written so that this would not hold, several tables are one section. Knows no keys but those that name
//! an element; never decides what is legal.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use gatepost_policy::settings::{Kept, KeptList};
use toml::de::{DeTable, DeValue};
use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, parse_document};

/// The document as its sections. Cloning it copies no text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline {
    sections: Vec<Section>,
}

/// Part of a document.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// Its text.
    pub text: Arc<str>,
    /// What it holds.
    pub places: Arc<[Place]>,
}

/// A table of the document, or one element of a list of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The first key of its header: `receive_connector`.
    pub table: Box<str>,
    /// What tells the element from others of its list, in lower case; `None` for a single table, and for an element that
    /// lacks it.
    pub name: Option<Box<str>>,
    /// Whether it is an element of a list.
    pub is_element: bool,
}

/// The key that tells the elements of a list of tables apart.
pub(super) fn naming_key(table: &str) -> &'static str {
    match table {
        "mailbox" | "contact" | "distribution_group" => "address",
        "certificate" => "certificate",
        _ => "name",
    }
}

impl Outline {
    /// Cuts a document into sections. Text that is no TOML gives an outline that nothing is found in.
    pub fn of(text: &str) -> Outline {
        Outline { sections: sections(text, true) }
    }

    /// The document.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.bytes());
        self.sections.iter().for_each(|section| text.push_str(&section.text));
        text
    }

    /// How long the document is.
    pub fn bytes(&self) -> usize {
        self.sections.iter().map(|section| section.text.len()).sum()
    }

    /// Its sections, in order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// How its lines end.
    pub fn newline(&self) -> &'static str {
        newline(self.sections.first().map_or("", |section| &section.text))
    }

    /// The elements of long lists that stand here as they stood in `before`.
    pub fn kept_since(&self, before: &Outline) -> Vec<Kept> {
        let starts = |outline: &Outline| {
            let ends = outline.sections.iter().scan(0, |end, section| {
                let start = *end;
                *end += section.text.len();
                Some(start)
            });
            ends.collect::<Vec<usize>>()
        };
        let known: HashMap<*const u8, usize> =
            before.sections.iter().zip(starts(before)).map(|(section, start)| (section.text.as_ptr(), start)).collect();
        let list = |section: &Section| match &*section.places {
            [place] if place.is_element => KeptList::of(&place.table),
            _ => None,
        };
        let sections = self.sections.iter().zip(starts(self));
        let kept = sections.filter_map(|(section, start)| {
            // Texts are never changed, so what lies at the same place is the same.
            let old = *known.get(&section.text.as_ptr())?;
            Some(Kept { list: list(section)?, old: old..old + section.text.len(), start })
        });
        kept.collect()
    }

    /// The section that holds an element of this name, or the single table.
    pub fn find(&self, table: &str, name: Option<&str>) -> Option<usize> {
        let name = name.map(str::to_lowercase);
        let is_it = |place: &Place| *place.table == *table && place.name.as_deref() == name.as_deref();
        self.sections.iter().position(|section| section.places.iter().any(is_it))
    }

    /// The last section that holds part of a list or table.
    pub fn last_of(&self, table: &str) -> Option<usize> {
        self.sections.iter().rposition(|section| section.places.iter().any(|place| *place.table == *table))
    }

    /// Puts `text` in the place of a section. Text without content goes to the section before it.
    pub fn replace(&mut self, place: usize, text: &str) {
        let fresh = sections(text, place == 0);
        let has_content = fresh.iter().any(|section| !section.places.is_empty());
        if has_content || place == 0 {
            self.sections.splice(place..=place, fresh);
            return;
        }
        self.sections.remove(place);
        let is_last = place == self.sections.len();
        let before = &mut self.sections[place - 1];
        let mut joined = before.text.to_string();
        if is_last && text.trim().is_empty() {
            // The blank lines that kept it apart keep nothing apart any more.
            joined.truncate(joined.len() - trailing_blank(&joined));
        }
        joined.push_str(text);
        before.text = joined.into();
    }

    /// Puts `text`, whole lines, behind the last element of `table`, else at the end of the document: with a blank line
    /// on either side where something stands there.
    pub fn insert(&mut self, table: &str, text: &str) {
        let newline = self.newline();
        let Some(place) = self.last_of(table).or_else(|| self.sections.len().checked_sub(1)) else {
            self.sections = sections(text, true);
            return;
        };
        let before = self.sections[place].text.clone();
        let is_first = place == 0;
        // At the end of the document a commented-out example belongs to what it is an example of, so new tables go below it.
        let at = if self.last_of(table).is_some() { content_end(&before) } else { before.len() };
        let (head, tail) = before.split_at(at);
        let mut fresh = head.to_owned();
        if !fresh.is_empty() && !fresh.ends_with('\n') {
            fresh.push_str(newline);
        }
        if !fresh.is_empty() && !ends_blank(&fresh) {
            fresh.push_str(newline);
        }
        fresh.push_str(text);
        let follows = !tail.is_empty() || place + 1 < self.sections.len();
        if follows && !starts_blank(tail) {
            fresh.push_str(newline);
        }
        fresh.push_str(tail);
        self.sections.splice(place..=place, sections(&fresh, is_first));
    }
}

/// How lines of a text end.
pub(super) fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

fn ends_blank(text: &str) -> bool {
    text.ends_with("\n\n") || text.ends_with("\n\r\n")
}

fn starts_blank(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.trim().is_empty())
}

/// Bytes of the blank lines at the end.
fn trailing_blank(text: &str) -> usize {
    let kept = text.trim_end();
    let end = text[kept.len()..].find('\n').map_or(text.len(), |at| kept.len() + at + 1);
    text.len() - end
}

/// Behind the line end of the last statement.
pub(super) fn content_end(text: &str) -> usize {
    scan(text).content_end
}

/// What a pass over the tokens finds.
struct Scan {
    headers: Vec<Header>,
    content_end: usize,
    /// First keys of statements above the first header.
    root_keys: Vec<String>,
}

struct Header {
    /// Where its section would begin: the comment lines directly above it.
    start: usize,
    path: Vec<String>,
    is_element: bool,
    /// The value of its naming key.
    name: Option<String>,
}

fn scan(text: &str) -> Scan {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut scanner = Scanner::of(source);
    parse_document(&tokens, &mut |event: Event| scanner.take(&event), &mut ());
    scanner.end_line(text.len());
    Scan { headers: scanner.headers, content_end: scanner.content_end, root_keys: scanner.root_keys }
}

/// What a line holds as far as it was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Blank,
    Comment,
    Content,
}

struct Scanner<'t> {
    source: Source<'t>,
    headers: Vec<Header>,
    content_end: usize,
    root_keys: Vec<String>,
    line: Line,
    line_start: usize,
    /// Where the comment lines directly above began.
    comments_start: Option<usize>,
    /// Open brackets and braces of values.
    depth: usize,
    in_header: bool,
    /// The keys of the statement that is being read.
    keys: Vec<String>,
    has_value: bool,
}

impl<'t> Scanner<'t> {
    fn of(source: Source<'t>) -> Scanner<'t> {
        Scanner {
            source,
            headers: Vec::new(),
            content_end: 0,
            root_keys: Vec::new(),
            line: Line::Blank,
            line_start: 0,
            comments_start: None,
            depth: 0,
            in_header: false,
            keys: Vec::new(),
            has_value: true,
        }
    }

    fn take(&mut self, event: &Event) {
        match event.kind() {
            EventKind::Newline => return self.end_line(event.span().end()),
            EventKind::Whitespace => return,
            EventKind::Comment => {
                if self.line == Line::Blank {
                    self.line = Line::Comment;
                }
                return;
            }
            _ => {}
        }
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                self.in_header = true;
                self.headers.push(Header {
                    start: self.comments_start.unwrap_or(self.line_start),
                    path: Vec::new(),
                    is_element: event.kind() == EventKind::ArrayTableOpen,
                    name: None,
                });
            }
            EventKind::StdTableClose | EventKind::ArrayTableClose => self.in_header = false,
            EventKind::SimpleKey if self.in_header => {
                let key = self.key(event);
                if let Some(header) = self.headers.last_mut() {
                    header.path.push(key);
                }
            }
            EventKind::SimpleKey if self.depth == 0 => {
                if self.has_value {
                    self.keys.clear();
                    self.has_value = false;
                }
                let key = self.key(event);
                self.keys.push(key);
            }
            EventKind::KeyValSep if self.depth == 0 => {
                self.has_value = true;
                if self.headers.is_empty() {
                    self.root_keys.extend(self.keys.first().cloned());
                }
            }
            EventKind::Scalar if self.depth == 0 => self.name(event),
            EventKind::ArrayOpen | EventKind::InlineTableOpen => self.depth += 1,
            EventKind::ArrayClose | EventKind::InlineTableClose => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.line = Line::Content;
    }

    fn end_line(&mut self, end: usize) {
        match self.line {
            Line::Comment => {
                self.comments_start.get_or_insert(self.line_start);
            }
            Line::Blank => self.comments_start = None,
            Line::Content => {
                self.comments_start = None;
                self.content_end = end;
            }
        }
        self.line = Line::Blank;
        self.line_start = end;
    }

    fn key(&self, event: &Event) -> String {
        let mut key = Cow::Borrowed("");
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut key, &mut ());
        }
        key.into_owned()
    }

    /// Notes the value of the key that names the element.
    fn name(&mut self, event: &Event) {
        let ([key], Some(header)) = (self.keys.as_slice(), self.headers.last()) else { return };
        if !header.is_element || header.path.len() != 1 || header.path[0].is_empty() {
            return;
        }
        if key != naming_key(&header.path[0]) {
            return;
        }
        let mut name = Cow::Borrowed("");
        if let Some(raw) = self.source.get(event) {
            let _ = raw.decode_scalar(&mut name, &mut ());
        }
        if let Some(header) = self.headers.last_mut() {
            header.name = Some(name.to_lowercase());
        }
    }
}

/// Cuts `text`; `is_whole` says that it begins where a document begins. Comments there are the document's own, not those of
/// its first table.
fn sections(text: &str, is_whole: bool) -> Vec<Section> {
    let Scan { mut headers, root_keys, .. } = scan(text);
    if let Some(first) = headers.first_mut()
        && is_whole
        && first.start == 0
    {
        first.start = header_line(text);
    }
    let mut cuts: Vec<(Range<usize>, Vec<Place>)> = Vec::new();
    let root_end = headers.first().map_or(text.len(), |header| header.start);
    if root_end > 0 || headers.is_empty() {
        cuts.push((0..root_end, root_places(&text[..root_end], root_keys)));
    }
    // The section that holds the newest part of each table.
    let mut newest: HashMap<String, usize> = HashMap::new();
    for (at, header) in headers.iter().enumerate() {
        let end = headers.get(at + 1).map_or(text.len(), |next| next.start);
        let Some(table) = header.path.first() else { continue };
        let is_new_element = header.is_element && header.path.len() == 1;
        match newest.get(table).copied().filter(|_| !is_new_element) {
            Some(holder) => {
                // Everything between belongs to it now.
                for (range, places) in cuts.split_off(holder + 1) {
                    cuts[holder].0.end = range.end;
                    cuts[holder].1.extend(places);
                }
                cuts[holder].0.end = end;
                for place in newest.values_mut().filter(|place| **place > holder) {
                    *place = holder;
                }
            }
            None => {
                let place = Place {
                    table: table.as_str().into(),
                    name: header.name.as_deref().map(Into::into),
                    is_element: is_new_element,
                };
                cuts.push((header.start..end, vec![place]));
                newest.insert(table.clone(), cuts.len() - 1);
            }
        }
    }
    let section =
        |(range, places): (Range<usize>, Vec<Place>)| Section { text: text[range].into(), places: places.into() };
    cuts.into_iter().map(section).collect()
}

/// Where the first header's own line begins, in a text whose first line that is no comment is a header.
fn header_line(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim_start().starts_with('#') {
            break;
        }
        at += line.len();
    }
    at
}

/// What stands above the first header: `server.name = "x"`, or a list of inline tables.
fn root_places(text: &str, keys: Vec<String>) -> Vec<Place> {
    if keys.is_empty() {
        return Vec::new();
    }
    let Ok(root) = DeTable::parse(text) else { return Vec::new() };
    let mut places = Vec::new();
    for (key, value) in root.get_ref() {
        let table = key.get_ref();
        let place = |name: Option<&str>, is_element| Place {
            table: table.as_ref().into(),
            name: name.map(|name| name.to_lowercase().into()),
            is_element,
        };
        match value.get_ref() {
            DeValue::Array(elements) => places.extend(elements.iter().map(|element| {
                place(element.get_ref().get(naming_key(table)).and_then(|name| name.get_ref().as_str()), true)
            })),
            _ => places.push(place(None, false)),
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Vec<(String, Vec<String>)> {
        let outline = Outline::of(text);
        assert_eq!(outline.text(), text);
        let place = |place: &Place| match &place.name {
            Some(name) => format!("{}:{name}", place.table),
            None => place.table.to_string(),
        };
        let section = |section: &Section| (section.text.to_string(), section.places.iter().map(place).collect());
        outline.sections().iter().map(section).collect()
    }

    fn places(text: &str) -> Vec<Vec<String>> {
        shape(text).into_iter().map(|(_, places)| places).collect()
    }

    #[test]
    fn sections_begin_at_the_comments_directly_above_their_header() {
        let text = "# of the document\n[server]\nname = \"x\"\n# detached\n\n# of R\n# too\n[[r]]\nname = \"R\"\n\n[[r]]\n name = 'S'\n  [[r.e]]\n  x = 1\n";
        let expected = [
            ("# of the document\n", vec![]),
            ("[server]\nname = \"x\"\n# detached\n\n", vec!["server"]),
            ("# of R\n# too\n[[r]]\nname = \"R\"\n\n", vec!["r:r"]),
            ("[[r]]\n name = 'S'\n  [[r.e]]\n  x = 1\n", vec!["r:s"]),
        ];
        let expected: Vec<(String, Vec<String>)> = expected
            .into_iter()
            .map(|(text, places)| (text.into(), places.into_iter().map(Into::into).collect()))
            .collect();
        assert_eq!(shape(text), expected);
    }

    #[test]
    fn what_only_looks_like_a_header_or_a_comment_is_none() {
        let text = "[a]\nx = \"\"\"\n# no\n[[b]]\n# no\"\"\"\n[[b]]\nname = \"\"\"B\"\"\"\ny = [\n  # yes\n  [1],\n]\nz = { name = \"no\" }\n";
        assert_eq!(places(text), [vec!["a"], vec!["b:b"]]);
        assert!(Outline::of(text).sections()[1].text.starts_with("[[b]]"));
    }

    #[test]
    fn tables_that_are_entangled_are_one_section() {
        for (text, expected) in [
            ("[[r]]\nname='1'\n[d]\n[[r.e]]\n[x]\n", vec![vec!["r:1", "d"], vec!["x"]]),
            ("[a.b]\n[c]\n[a]\n[d]\n", vec![vec!["a", "c"], vec!["d"]]),
            ("s.name = 1\nr = [{ name = \"I\" }, { }]\n[d]\n", vec![vec!["r:i", "r", "s"], vec!["d"]]),
            ("[[r]]\nname='1'\n[[r]]\nname='2'\n[[r.e]]\n[[r.e]]\n", vec![vec!["r:1"], vec!["r:2"]]),
            ("[[mailbox]]\naddress='A@x'\nname='no'\n", vec![vec!["mailbox:a@x"]]),
            ("", vec![vec![]]),
        ] {
            assert_eq!(places(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_inserted_stands_behind_its_kind_and_apart() {
        for (text, expected) in [
            ("", "[[r]]\n"),
            ("[a]\n", "[a]\n\n[[r]]\n"),
            ("[a]", "[a]\n\n[[r]]\n"),
            ("[[r]]\nname='1'\n\n# the way\n# [[s]]\n", "[[r]]\nname='1'\n\n[[r]]\n\n# the way\n# [[s]]\n"),
            ("[[r]]\nname='1'\n[b]\n", "[[r]]\nname='1'\n\n[[r]]\n\n[b]\n"),
            ("[a]\n\n# example\n", "[a]\n\n# example\n\n[[r]]\n"),
            ("[a]\r\nx=1\r\n", "[a]\r\nx=1\r\n\r\n[[r]]\n"),
        ] {
            let mut outline = Outline::of(text);
            outline.insert("r", "[[r]]\n");
            assert_eq!(outline.text(), expected, "{text:?}");
            assert_eq!(outline.sections().len(), Outline::of(expected).sections().len());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(text in "[ab\\[\\]=\"'#{}, .\\\\1é\\r\\n]{0,60}") {
            proptest::prop_assert_eq!(Outline::of(&text).text(), text);
        }
    }
}
