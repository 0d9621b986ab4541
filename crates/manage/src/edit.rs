//! One change of the settings document, and what it makes of the text.
//!
//! Takes what shall be said and the document; hands on the document that says it, with every comment, blank line and
//! number as it was written elsewhere. Knows the shapes of the document, no commands; what is legal is decided by who
//! reads the result.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

mod list;
mod value;
mod outline;

pub(crate) use outline::Outline;
pub use value::Value;

use outline::{naming_key, newline};
use value::{is_same, write_value};

/// Longest line that a new key is written on; a longer list gets a line for each element.
const LINE_BYTES_MAX: usize = 110;

/// A key with its value.
pub type Key = (Cow<'static, str>, Value);

/// One change of the document.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Another element of a list of tables, behind its like.
    Insert {
        /// `receive_connector`.
        table: Cow<'static, str>,
        /// Its keys, in the order to write them; one of them names it.
        keys: Vec<Key>,
        /// Tables inside of it, as `permission`, in order.
        entries: Vec<(Cow<'static, str>, Vec<Key>)>,
    },
    /// An element, with the comments inside and directly above it. Comments that a blank line keeps apart stay.
    Remove(Target),
    /// What a key says. Of a list, elements that are wanted stay as they are written; the others go, new ones come last.
    Set {
        /// Whose key.
        target: Target,
        /// `max_message_size`.
        key: Cow<'static, str>,
        /// What it shall say.
        value: Value,
    },
    /// A key is left out from now on.
    Unset {
        /// Whose key.
        target: Target,
        /// Which.
        key: Cow<'static, str>,
    },
    /// Elements are added to a list that does not hold them yet.
    Add {
        /// Whose key.
        target: Target,
        /// `remote_ip_ranges`.
        key: Cow<'static, str>,
        /// Which.
        values: Vec<Value>,
    },
    /// Elements are taken from a list, where it holds them. A key whose list is then empty stays.
    Take {
        /// Whose key.
        target: Target,
        /// `remote_ip_ranges`.
        key: Cow<'static, str>,
        /// Which.
        values: Vec<Value>,
    },
    /// Another table inside of a table: `[[receive_connector.permission]]`.
    InsertEntry {
        /// In which.
        target: Target,
        /// `permission`.
        list: Cow<'static, str>,
        /// Its keys.
        keys: Vec<Key>,
    },
}

/// A table of the document that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    table: Cow<'static, str>,
    name: Option<String>,
    entry: Option<(Cow<'static, str>, usize)>,
}

impl Target {
    /// The single table `[transport]`; made where it is not there.
    pub fn table(table: impl Into<Cow<'static, str>>) -> Target {
        Target { table: table.into(), name: None, entry: None }
    }

    /// The element of this name, in any case: of `receive_connector`, or the address of a `mailbox`.
    pub fn named(table: impl Into<Cow<'static, str>>, name: impl Into<String>) -> Target {
        Target { table: table.into(), name: Some(name.into()), entry: None }
    }

    /// A table inside: the `place`-th `permission`, counted from 0 in the order of the document.
    pub fn entry(self, list: impl Into<Cow<'static, str>>, place: usize) -> Target {
        Target { entry: Some((list.into(), place)), ..self }
    }

    fn whole(&self) -> Target {
        Target { entry: None, ..self.clone() }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.name, &self.entry) {
            (Some(name), None) => write!(f, "[[{}]] {name:?}", self.table),
            (None, None) => write!(f, "[{}]", self.table),
            (Some(name), Some((list, place))) => {
                write!(f, "[[{}.{list}]] number {} of {name:?}", self.table, place + 1)
            }
            (None, Some((list, place))) => write!(f, "[[{}.{list}]] number {}", self.table, place + 1),
        }
    }
}

/// Why an edit cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Nothing of that name.
    #[error("the settings have no {0}")]
    Unknown(Target),
    /// An element of that name is there.
    #[error("the settings have [[{table}]] {name:?} already")]
    Exists {
        /// `receive_connector`.
        table: String,
        /// As it was to be called.
        name: String,
    },
    /// An element without the key that names it.
    #[error("a new [[{table}]] needs `{key}`", key = naming_key(.table))]
    Nameless {
        /// `receive_connector`.
        table: String,
    },
    /// The document says it in a way that is not edited.
    #[error(
        "`{key}` of {target} is written in a way that only a person can change: edit the settings file, then `gatepost reload`"
    )]
    Shape {
        /// Whose.
        target: Target,
        /// What.
        key: String,
    },
}

/// Makes one change of the document.
///
/// # Errors
/// [`EditError`]; the outline is as it was then.
pub(crate) fn apply(outline: &mut Outline, edit: &Edit) -> Result<(), EditError> {
    match edit {
        Edit::Insert { table, keys, entries } => insert(outline, table, keys, entries),
        Edit::Remove(target) => change(outline, target, remove),
        Edit::Set { target, key, value } => {
            make_table(outline, target);
            change(outline, target, |section, target| set(section, target, key, value))
        }
        Edit::Unset { target, key } => match change(outline, target, |section, target| unset(section, target, key)) {
            // What is not there is unset.
            Err(EditError::Unknown(unknown)) if unknown.name.is_none() && unknown.entry.is_none() => Ok(()),
            done => done,
        },
        Edit::Add { target, key, values } => {
            make_table(outline, target);
            change(outline, target, |section, target| add(section, target, key, values))
        }
        Edit::Take { target, key, values } => {
            change(outline, target, |section, target| take(section, target, key, values))
        }
        Edit::InsertEntry { target, list, keys } => {
            make_table(outline, target);
            change(outline, target, |section, target| insert_entry(section, target, list, keys))
        }
    }
}

/// Changes the section that holds `target`.
fn change(
    outline: &mut Outline,
    target: &Target,
    edit: impl FnOnce(&str, &Target) -> Result<String, EditError>,
) -> Result<(), EditError> {
    let (place, target) = find(outline, target)?;
    let section = outline.sections()[place].text.clone();
    let fresh = edit(&section, &target)?;
    if *fresh != *section {
        outline.replace(place, &fresh);
    }
    Ok(())
}

/// The section that holds `target`, and what the document calls it.
fn find(outline: &Outline, target: &Target) -> Result<(usize, Target), EditError> {
    let name = target.name.as_deref();
    if let Some(place) = outline.find(&target.table, name) {
        return Ok((place, target.clone()));
    }
    // `*.contoso.com` is what a domain with everything below it is called in the document.
    if let (Some(name), "accepted_domain") = (name, &*target.table) {
        let other = name.strip_prefix("*.").map_or_else(|| format!("*.{name}"), str::to_owned);
        if let Some(place) = outline.find(&target.table, Some(&other)) {
            return Ok((place, Target { name: Some(other), ..target.clone() }));
        }
    }
    Err(EditError::Unknown(target.whole()))
}

/// Puts `[transport]` into a document that does not have it.
fn make_table(outline: &mut Outline, target: &Target) {
    if target.name.is_none() && outline.find(&target.table, None).is_none() {
        let header = format!("[{}]{}", target.table, outline.newline());
        outline.insert(&target.table, &header);
    }
}

fn insert(
    outline: &mut Outline,
    table: &str,
    keys: &[Key],
    entries: &[(Cow<'static, str>, Vec<Key>)],
) -> Result<(), EditError> {
    let named = keys.iter().find(|(key, _)| key == naming_key(table));
    let name =
        named.and_then(|(_, value)| value.as_text()).ok_or_else(|| EditError::Nameless { table: table.into() })?;
    if outline.find(table, Some(name)).is_some() {
        return Err(EditError::Exists { table: table.into(), name: name.into() });
    }
    let newline = outline.newline();
    if let Some(place) = outline.last_of(table) {
        let section = outline.sections()[place].text.clone();
        // A list that stands above all tables is one value.
        if let Ok(root) = DeTable::parse(&section)
            && let Some(value) = root.get_ref().get(table)
            && let DeValue::Array(elements) = value.get_ref()
            && !is_headed(&section, value, elements.first().map(Spanned::span))
        {
            let mut keys = keys.to_vec();
            for (list, entry) in entries {
                match keys.iter_mut().find(|(key, _)| key == list) {
                    Some((_, Value::List(list))) => list.push(Value::Table(entry.clone())),
                    _ => keys.push((list.clone(), Value::List(vec![Value::Table(entry.clone())]))),
                }
            }
            let fresh = list::add(&section, value, table, &[Value::Table(keys)]);
            outline.replace(place, &fresh);
            return Ok(());
        }
    }
    let mut text = headed_table(&format!("[[{table}]]"), "", keys, newline);
    for (list, keys) in entries {
        text.push_str(&headed_table(&format!("[[{table}.{list}]]"), "  ", keys, newline));
    }
    outline.insert(table, &text);
    Ok(())
}

/// A table with its header, as lines.
fn headed_table(header: &str, indent: &str, keys: &[Key], newline: &str) -> String {
    let mut text = format!("{indent}{header}{newline}");
    keys.iter().for_each(|(key, value)| text.push_str(&key_line(indent, &bare_or_quoted(key), value, newline)));
    text
}

/// `key = value`, a long list with a line for each element.
fn key_line(indent: &str, key: &str, value: &Value, newline: &str) -> String {
    let line = format!("{indent}{key} = {}{newline}", write_value(value));
    let Value::List(elements) = value else { return line };
    if line.len() <= LINE_BYTES_MAX || elements.len() < 2 {
        return line;
    }
    let elements = elements.iter().map(|element| format!("{indent}  {},{newline}", write_value(element)));
    format!("{indent}{key} = [{newline}{}{indent}]{newline}", elements.collect::<String>())
}

fn bare_or_quoted(key: &str) -> String {
    let is_bare =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_bare { key.to_owned() } else { write_value(&Value::Text(key.to_owned())) }
}

type Node<'d, 't> = &'d Spanned<DeValue<'t>>;

/// What is known of a table in a section.
struct Found<'d, 't> {
    table: &'d DeTable<'t>,
    /// Its header, or its braces.
    span: Range<usize>,
    /// The list that it is an element of, where that is a value.
    list: Option<(Node<'d, 't>, usize)>,
}

/// The table that `target` names, in the tree of its section.
fn locate<'d, 't>(section: &str, root: &'d DeTable<'t>, target: &Target) -> Result<Found<'d, 't>, EditError> {
    let unknown = || EditError::Unknown(target.clone());
    let value = root.get(&*target.table).ok_or_else(unknown)?;
    let mut found = match (value.get_ref(), &target.name) {
        (DeValue::Table(table), None) => Found { table, span: value.span(), list: None },
        (DeValue::Array(_), Some(name)) => {
            let is_it = |element: &DeValue<'_>| {
                let known = element.get(naming_key(&target.table)).and_then(|known| known.get_ref().as_str());
                known.is_some_and(|known| known.to_lowercase() == name.to_lowercase())
            };
            element(section, value, |elements| elements.iter().position(|element| is_it(element.get_ref())))
                .ok_or_else(unknown)?
        }
        _ => return Err(unknown()),
    };
    if let Some((list, place)) = &target.entry {
        let value = found.table.get(&**list).ok_or_else(unknown)?;
        found = element(section, value, |elements| (*place < elements.len()).then_some(*place)).ok_or_else(unknown)?;
    }
    Ok(found)
}

fn element<'d, 't>(
    section: &str,
    value: Node<'d, 't>,
    choose: impl FnOnce(&[Spanned<DeValue<'t>>]) -> Option<usize>,
) -> Option<Found<'d, 't>> {
    let DeValue::Array(elements) = value.get_ref() else { return None };
    let place = choose(elements)?;
    let element = &elements[place];
    let table = element.get_ref().as_table()?;
    let is_headed = is_headed(section, value, Some(element.span()));
    Some(Found { table, span: element.span(), list: (!is_headed).then_some((value, place)) })
}

/// Whether a list of tables is written with headers.
fn is_headed(section: &str, value: Node<'_, '_>, first: Option<Range<usize>>) -> bool {
    match first {
        Some(first) => section[first].starts_with("[["),
        None => section[value.span()].starts_with("[["),
    }
}

/// Whether the table that is this value has a header of its own.
fn is_header(section: &str, value: Node<'_, '_>) -> bool {
    match value.get_ref() {
        DeValue::Table(_) => section[value.span()].starts_with('['),
        DeValue::Array(elements) => elements.first().is_some_and(|first| is_headed(section, value, Some(first.span()))),
        _ => false,
    }
}

fn tree<'t>(section: &'t str, target: &Target) -> Result<DeTable<'t>, EditError> {
    DeTable::parse(section).map(Spanned::into_inner).map_err(|_| EditError::Unknown(target.clone()))
}

fn set(section: &str, target: &Target, key: &str, value: &Value) -> Result<String, EditError> {
    let root = tree(section, target)?;
    let found = locate(section, &root, target)?;
    let Some(old) = found.table.get(key) else { return Ok(insert_key(section, &found, key, value)) };
    if is_header(section, old) || section[old.span()].is_empty() || is_dotted(section, old) {
        return Err(EditError::Shape { target: target.clone(), key: key.into() });
    }
    if is_same(old.get_ref(), value) {
        return Ok(section.to_owned());
    }
    Ok(match (old.get_ref(), value) {
        (DeValue::Array(_), Value::List(values)) => list::set(section, old, key, values),
        _ => splice(section, old.span(), &write_value(value)),
    })
}

/// A table by a dotted key has no text of its own.
fn is_dotted(section: &str, value: Node<'_, '_>) -> bool {
    value.get_ref().is_table() && !section[value.span()].starts_with(['{', '['])
}

fn add(section: &str, target: &Target, key: &str, values: &[Value]) -> Result<String, EditError> {
    let root = tree(section, target)?;
    let found = locate(section, &root, target)?;
    Ok(match found.table.get(key) {
        None if values.is_empty() => section.to_owned(),
        None => insert_key(section, &found, key, &Value::List(values.to_vec())),
        Some(old) => list::add(section, old, key, values),
    })
}

fn take(section: &str, target: &Target, key: &str, values: &[Value]) -> Result<String, EditError> {
    let root = tree(section, target)?;
    let found = locate(section, &root, target)?;
    Ok(found.table.get(key).map_or_else(|| section.to_owned(), |old| list::take(section, old, key, values)))
}

/// Writes a key behind the last one of its table, indented alike.
fn insert_key(section: &str, found: &Found<'_, '_>, key: &str, value: &Value) -> String {
    if section[found.span.clone()].starts_with('{') {
        return insert_inline_key(section, found, key, value);
    }
    let own = found.table.iter().filter(|(_, value)| !is_header(section, value));
    let last = own.max_by_key(|(key, value)| key.span().end.max(last_end(value)));
    let (indent, end) = match last {
        Some((key, value)) => (indent_at(section, key.span().start), key.span().end.max(last_end(value))),
        None => (indent_at(section, found.span.start), found.span.end),
    };
    let newline = newline(section);
    let (end, lacks_newline) = line_end(section, end);
    let separator = if lacks_newline { newline } else { "" };
    // A table that dotted keys make has none of its own: `server.name = "x"` at the top of the document.
    let prefix = match section[found.span.clone()].starts_with('[') {
        true => String::new(),
        false => dotted_prefix(section, found),
    };
    let key = prefix + &bare_or_quoted(key);
    splice(section, end..end, &(separator.to_owned() + &key_line(indent, &key, value, newline)))
}

/// `server.` of `server.name = "x"`.
fn dotted_prefix(section: &str, found: &Found<'_, '_>) -> String {
    let Some((key, _)) = found.table.iter().next() else { return String::new() };
    let line_start = section[..key.span().start].rfind('\n').map_or(0, |at| at + 1);
    section[line_start..key.span().start].trim_start().to_owned()
}

fn insert_inline_key(section: &str, found: &Found<'_, '_>, key: &str, value: &Value) -> String {
    let written = format!("{} = {}", bare_or_quoted(key), write_value(value));
    match found.table.values().map(last_end).max() {
        Some(end) => splice(section, end..end, &format!(", {written}")),
        None => splice(section, found.span.clone(), &format!("{{ {written} }}")),
    }
}

/// Where a value ends, with what lies inside of it.
fn last_end(value: Node<'_, '_>) -> usize {
    let inner = match value.get_ref() {
        DeValue::Table(table) => table.iter().map(|(key, value)| key.span().end.max(last_end(value))).max(),
        DeValue::Array(elements) => elements.iter().map(last_end).max(),
        _ => None,
    };
    inner.map_or(value.span().end, |end| end.max(value.span().end))
}

fn unset(section: &str, target: &Target, key: &str) -> Result<String, EditError> {
    let root = tree(section, target)?;
    let found = locate(section, &root, target)?;
    let Some((written, old)) = found.table.get_key_value(key) else { return Ok(section.to_owned()) };
    if is_dotted(section, old) {
        return Err(EditError::Shape { target: target.clone(), key: key.into() });
    }
    if section[found.span.clone()].starts_with('{') {
        return Ok(cut_inline(section, &found, written.span(), old.span()));
    }
    if is_header(section, old) {
        return Ok(cut(section, pieces(section, old)));
    }
    let line = written.span().start..old.span().end;
    Ok(cut(section, std::iter::once(line).collect()))
}

/// Cuts a key out of `{ a = 1, b = 2 }`.
fn cut_inline(section: &str, found: &Found<'_, '_>, key: Range<usize>, value: Range<usize>) -> String {
    let next = found.table.keys().map(|other| other.span().start).filter(|start| *start > value.end).min();
    let before = found.table.values().map(|other| other.span().end).filter(|end| *end < key.start).max();
    let range = match (before, next) {
        (_, Some(next)) => key.start..next,
        (Some(before), None) => before..value.end,
        (None, None) => key.start..value.end,
    };
    splice(section, range, "")
}

fn remove(section: &str, target: &Target) -> Result<String, EditError> {
    let root = tree(section, target)?;
    let found = locate(section, &root, target)?;
    if let Some((list, place)) = found.list {
        return Ok(list::remove_at(section, list, place));
    }
    if !section[found.span.clone()].starts_with('[') {
        return Err(EditError::Shape { target: target.whole(), key: target.table.to_string() });
    }
    Ok(cut(section, table_pieces(section, found.table, found.span)))
}

/// The parts of a section that a value with headers consists of.
fn pieces(section: &str, value: Node<'_, '_>) -> Vec<Range<usize>> {
    match value.get_ref() {
        DeValue::Table(table) => table_pieces(section, table, value.span()),
        DeValue::Array(elements) => elements.iter().flat_map(|element| pieces(section, element)).collect(),
        _ => Vec::new(),
    }
}

/// A header with the keys below it, then those of the tables inside.
fn table_pieces(section: &str, table: &DeTable<'_>, header: Range<usize>) -> Vec<Range<usize>> {
    let own = table.iter().filter(|(_, value)| !is_header(section, value));
    let end = own.map(|(key, value)| key.span().end.max(last_end(value))).max();
    let inner = table.values().filter(|value| is_header(section, value)).flat_map(|value| pieces(section, value));
    let mut all: Vec<Range<usize>> = inner.collect();
    all.push(header.start..end.map_or(header.end, |end| end.max(header.end)));
    all
}

fn insert_entry(section: &str, target: &Target, list: &str, keys: &[Key]) -> Result<String, EditError> {
    let root = tree(section, target)?;
    let found = locate(section, &root, &target.whole())?;
    let element = Value::Table(keys.to_vec());
    match found.table.get(list) {
        Some(old) if !is_header(section, old) => return Ok(list::add(section, old, list, &[element])),
        None if !section[found.span.clone()].starts_with('[') => {
            return Ok(insert_key(section, &found, list, &Value::List(vec![element])));
        }
        _ => {}
    }
    let all = table_pieces(section, found.table, found.span.clone());
    let end = all.iter().map(|piece| piece.end).max().unwrap_or(found.span.end);
    let like = found.table.get(list).and_then(|old| old.get_ref().as_array()?.last().map(Spanned::span));
    let base = indent_at(section, found.span.start);
    let indent = like.map_or_else(|| format!("{base}  "), |like| indent_at(section, like.start).to_owned());
    let newline = newline(section);
    let (end, lacks_newline) = line_end(section, end);
    let separator = if lacks_newline { newline } else { "" };
    let header = format!("[[{}.{list}]]", target.table);
    Ok(splice(section, end..end, &format!("{separator}{}", headed_table(&header, &indent, keys, newline))))
}

/// Cuts statements out, whole lines: tables with the comments directly above and directly below them and one of the blank
/// lines around them; of a key, comments above it stay, for they may be about its neighbours too.
fn cut(section: &str, mut pieces: Vec<Range<usize>>) -> String {
    pieces.sort_by_key(|piece| piece.start);
    let is_apart = |text: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.any(|line| !line.is_empty() && !line.starts_with('#'))
    };
    let mut together: Vec<Range<usize>> = Vec::new();
    for piece in pieces {
        match together.last_mut() {
            Some(last) if !is_apart(&section[last.end..piece.start]) => last.end = piece.end,
            _ => together.push(piece),
        }
    }
    let mut text = section.to_owned();
    for piece in together.into_iter().rev() {
        let mut start = text[..piece.start].rfind('\n').map_or(0, |at| at + 1);
        let (mut end, _) = line_end(&text, piece.end);
        if text[piece.start..].starts_with('[') {
            let is_comment = |line: &str| line.trim_start().starts_with('#');
            while let Some(above) = line_above(&text, start).filter(|above| is_comment(&text[above.clone()])) {
                start = above.start;
            }
            let below =
                text[end..].split_inclusive('\n').take_while(|line| is_comment(line)).map(str::len).sum::<usize>();
            let then = text[end + below..].split('\n').next().unwrap_or_default();
            // Directly above a statement they are that one's.
            if then.trim().is_empty() {
                end += below;
            }
            let is_blank = |range: &Range<usize>| text[range.clone()].trim().is_empty();
            match line_above(&text, start).filter(is_blank) {
                Some(above) => start = above.start,
                None => {
                    let next = line_end(&text, end).0;
                    if is_blank(&(end..next)) {
                        end = next;
                    }
                }
            }
        }
        text.replace_range(start..end, "");
    }
    text
}

/// The line that ends where `start` begins.
fn line_above(text: &str, start: usize) -> Option<Range<usize>> {
    let end = start.checked_sub(1)?;
    Some(text[..end].rfind('\n').map_or(0, |at| at + 1)..start)
}

/// Behind the line end that follows `at`, and whether there is none.
fn line_end(text: &str, at: usize) -> (usize, bool) {
    match text[at..].find('\n') {
        Some(found) => (at + found + 1, false),
        None => (text.len(), true),
    }
}

/// The spaces that the line of `at` begins with.
fn indent_at(text: &str, at: usize) -> &str {
    let line = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let indent = text[line..].len() - text[line..].trim_start_matches([' ', '\t']).len();
    &text[line..line + indent]
}

fn splice(text: &str, range: Range<usize>, with: &str) -> String {
    [&text[..range.start], with, &text[range.end..]].concat()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod random_tests;
