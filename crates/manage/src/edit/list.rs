//! Lists in the text of a document: elements added and taken without a comment lost.
//!
//! Takes a section and one of its values; hands on the section with another list. A list over several lines stays one,
//! an element for each line; a comment behind an element on its line is that element's and goes with it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::outline::newline;
use super::value::{Value, identity_of_element, identity_of_value, is_same, write_value};

/// Keys whose lists are asked in their order.
const ORDERED: [&str; 3] = ["smart_hosts", "external_dns_servers", "internal_dns_servers"];
/// Keys whose lists may be one text with commas.
const FLAGS: [&str; 3] = ["auth_mechanism", "permission_groups", "extended_rights"];

type Node<'d, 't> = &'d Spanned<DeValue<'t>>;

/// Makes the list say `values`: elements that are wanted stay as they are written.
pub(super) fn set(section: &str, old: Node<'_, '_>, key: &str, values: &[Value]) -> String {
    let DeValue::Array(elements) = old.get_ref() else { return whole(section, old, values) };
    let wanted: Vec<String> = values.iter().map(|value| identity_of_value(key, value)).collect();
    let known: Vec<String> = elements.iter().map(|element| identity_of_element(key, element.get_ref())).collect();
    // Where each is asked for first.
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(wanted.len());
    for (asked, identity) in wanted.iter().enumerate() {
        first.entry(identity).or_insert(asked);
    }
    let stays = |(place, known): (usize, &String)| {
        let asked = *first.get(known.as_str())?;
        says(&elements[place], &values[asked]).then_some(asked)
    };
    let stays: Vec<Option<usize>> = known.iter().enumerate().map(stays).collect();
    let gone: Vec<usize> = (0..known.len()).filter(|place| stays[*place].is_none()).collect();
    let staying: HashSet<usize> = stays.iter().flatten().copied().collect();
    let fresh: Vec<usize> = (0..values.len())
        .filter(|asked| !staying.contains(asked) && first.get(wanted[*asked].as_str()) == Some(asked))
        .collect();
    let order = stays.iter().flatten().chain(&fresh);
    if ORDERED.contains(&key) && !order.is_sorted() {
        return whole(section, old, values);
    }
    edit(section, old, elements, &gone, &fresh.iter().map(|asked| &values[*asked]).collect::<Vec<_>>())
}

/// Adds what is not there yet.
pub(super) fn add(section: &str, old: Node<'_, '_>, key: &str, values: &[Value]) -> String {
    if let Some(text) = flags(old, key) {
        let known: Vec<String> = text.iter().map(|flag| flag.to_lowercase()).collect();
        let fresh = values.iter().filter_map(Value::as_text).filter(|value| !known.contains(&value.to_lowercase()));
        let all: Vec<&str> = text.iter().map(String::as_str).chain(fresh).collect();
        return splice(section, old.span(), &write_value(&all.join(", ").into()));
    }
    let elements = elements(old);
    let known: HashMap<String, usize> = elements
        .iter()
        .enumerate()
        .map(|(place, element)| (identity_of_element(key, element.get_ref()), place))
        .collect();
    let (mut gone, mut fresh, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for value in values {
        let identity = identity_of_value(key, value);
        let place = known.get(&identity).copied();
        if place.is_some_and(|place| says(&elements[place], value)) || !seen.insert(identity) {
            continue;
        }
        gone.extend(place);
        fresh.push(value);
    }
    gone.sort_unstable();
    edit(section, old, elements, &gone, &fresh)
}

/// Whether an element that is about the same as `value` says all that it says: remarks beside a range stay where nobody
/// asks for others.
fn says(element: &Spanned<DeValue<'_>>, value: &Value) -> bool {
    !matches!(value, Value::Table(_)) || is_same(element.get_ref(), value)
}

/// Takes out what is there.
pub(super) fn take(section: &str, old: Node<'_, '_>, key: &str, values: &[Value]) -> String {
    let unwanted: HashSet<String> = values.iter().map(|value| identity_of_value(key, value)).collect();
    if let Some(text) = flags(old, key) {
        let kept: Vec<&str> =
            text.iter().map(String::as_str).filter(|flag| !unwanted.contains(&flag.to_lowercase())).collect();
        let is_empty = kept.is_empty();
        let kept: Value = if is_empty { Value::List(Vec::new()) } else { kept.join(", ").into() };
        return splice(section, old.span(), &write_value(&kept));
    }
    let elements = elements(old);
    let is_gone = |place: &usize| unwanted.contains(&identity_of_element(key, elements[*place].get_ref()));
    edit(section, old, elements, &(0..elements.len()).filter(is_gone).collect::<Vec<_>>(), &[])
}

/// Takes out one element.
pub(super) fn remove_at(section: &str, old: Node<'_, '_>, place: usize) -> String {
    edit(section, old, elements(old), &[place], &[])
}

/// A single value is a list of one.
fn elements<'d, 't>(old: Node<'d, 't>) -> &'d [Spanned<DeValue<'t>>] {
    match old.get_ref() {
        DeValue::Array(elements) => elements,
        _ => std::slice::from_ref(old),
    }
}

/// The names in `"Tls, BasicAuth"`.
fn flags(old: Node<'_, '_>, key: &str) -> Option<Vec<String>> {
    let text = old.get_ref().as_str().filter(|text| FLAGS.contains(&key) && text.contains(','))?;
    Some(text.split(',').map(|flag| flag.trim().to_owned()).filter(|flag| !flag.is_empty()).collect())
}

fn whole(section: &str, old: Node<'_, '_>, values: &[Value]) -> String {
    let written = &section[old.span()];
    if !written.contains('\n') {
        return splice(section, old.span(), &write_value(&Value::List(values.to_vec())));
    }
    let newline = newline(section);
    let line = section[..old.span().start].rfind('\n').map_or(0, |at| at + 1);
    let outer = &section[line..line + leading_spaces(&section[line..])];
    let elements: String = values.iter().map(|value| format!("{outer}  {},{newline}", write_value(value))).collect();
    splice(section, old.span(), &format!("[{newline}{elements}{outer}]"))
}

/// Takes `gone` out, places ascending, and puts `fresh` at the end.
fn edit(
    section: &str,
    old: Node<'_, '_>,
    elements: &[Spanned<DeValue<'_>>],
    gone: &[usize],
    fresh: &[&Value],
) -> String {
    if gone.is_empty() && fresh.is_empty() {
        return section.to_owned();
    }
    let DeValue::Array(_) = old.get_ref() else {
        let kept = (gone.is_empty()).then(|| section[old.span()].to_owned());
        let all: Vec<String> = kept.into_iter().chain(fresh.iter().map(|value| write_value(value))).collect();
        return splice(section, old.span(), &format!("[{}]", all.join(", ")));
    };
    let mut text = section.to_owned();
    let mut layout = Layout::of(section, old, elements);
    for place in gone.iter().rev() {
        let cut = layout.cut(&text, *place);
        text.replace_range(cut.clone(), "");
        layout.shrink(*place, &cut);
    }
    if !fresh.is_empty() {
        let written: Vec<String> = fresh.iter().map(|value| write_value(value)).collect();
        let (at, with) = layout.insertion(&text, &written);
        for (at, with) in at.into_iter().zip(with).rev() {
            text.insert_str(at, &with);
        }
    }
    text
}

/// Where a list and its elements stand in the text.
struct Layout {
    /// Between the brackets.
    inside: Range<usize>,
    elements: Vec<Range<usize>>,
}

impl Layout {
    fn of(section: &str, old: Node<'_, '_>, elements: &[Spanned<DeValue<'_>>]) -> Layout {
        let span = old.span();
        debug_assert!(section[span.clone()].starts_with('[') && section[span.clone()].ends_with(']'));
        Layout { inside: span.start + 1..span.end - 1, elements: elements.iter().map(Spanned::span).collect() }
    }

    /// What goes with an element: its line, where it has one for itself.
    fn cut(&self, text: &str, place: usize) -> Range<usize> {
        let element = self.elements[place].clone();
        let before = place.checked_sub(1).map_or(self.inside.start, |place| self.elements[place].end);
        let after = self.elements.get(place + 1).map_or(self.inside.end, |next| next.start);
        let comma = comma(text, element.end..after);
        let behind = comma.map_or(element.end, |comma| comma + 1);
        let starts_line = text[..element.start].rfind('\n').filter(|newline| *newline >= before);
        let starts_line = starts_line.filter(|newline| text[newline + 1..element.start].trim().is_empty());
        let ends_line = text[behind..after].find('\n').filter(|at| is_trivia(&text[behind..behind + at]));
        match (starts_line, ends_line) {
            (Some(newline), Some(at)) => newline + 1..behind + at + 1,
            _ if comma.is_some() => element.start..behind + leading_spaces(&text[behind..after]),
            _ if place > 0 && self.comma_before_is_near(text, before, element.start) => before..element.end,
            _ => element,
        }
    }

    /// Whether nothing but a comma and spaces stands before an element.
    fn comma_before_is_near(&self, text: &str, before: usize, start: usize) -> bool {
        text[before..start].chars().all(|c| matches!(c, ',' | ' ' | '\t'))
    }

    fn shrink(&mut self, place: usize, cut: &Range<usize>) {
        self.elements.remove(place);
        let length = cut.len();
        for element in &mut self.elements[place..] {
            *element = element.start - length..element.end - length;
        }
        self.inside.end -= length;
    }

    /// What to insert where, ascending.
    fn insertion(&self, text: &str, written: &[String]) -> (Vec<usize>, Vec<String>) {
        let newline = newline(text);
        let Some(last) = self.elements.last().cloned() else {
            return self.insertion_into_empty(text, written);
        };
        let before = self.elements.len().checked_sub(2).map_or(self.inside.start, |place| self.elements[place].end);
        let line = text[before..last.start].rfind('\n').map(|at| before + at + 1);
        let Some(line) = line else {
            // All on one line, or the last of several on a line: go on there.
            let all: String = written.iter().map(|value| format!(", {value}")).collect();
            return (vec![last.end], vec![all]);
        };
        let indent = &text[line..line + leading_spaces(&text[line..])];
        let comma = comma(text, last.end..self.inside.end);
        let behind = comma.map_or(last.end, |comma| comma + 1);
        let (mut at, mut with) = (Vec::new(), Vec::new());
        if comma.is_none() {
            at.push(last.end);
            with.push(",".to_owned());
        }
        let lines = |values: &[String], comma: &str| -> String {
            let (last, others) = values.split_last().expect("something is inserted");
            let others: String = others.iter().map(|value| format!("{indent}{value},{newline}")).collect();
            format!("{others}{indent}{last}{comma}")
        };
        let end_comma = if comma.is_some() { "," } else { "" };
        match text[behind..self.inside.end].find('\n') {
            Some(line_end) => {
                at.push(behind + line_end + 1);
                with.push(lines(written, end_comma) + newline);
            }
            None => {
                at.push(behind);
                with.push(newline.to_owned() + &lines(written, end_comma));
            }
        }
        (at, with)
    }

    /// A list without elements may still hold comments.
    fn insertion_into_empty(&self, text: &str, written: &[String]) -> (Vec<usize>, Vec<String>) {
        let newline = newline(text);
        let inside = &text[self.inside.clone()];
        let Some(last_line) = inside.rfind('\n') else {
            return (vec![self.inside.start], vec![written.join(", ")]);
        };
        let start = text[..self.inside.start].rfind('\n').map_or(0, |at| at + 1);
        let outer = &text[start..start + leading_spaces(&text[start..])];
        let lines: String = written.iter().map(|value| format!("{outer}  {value},{newline}")).collect();
        (vec![self.inside.start + last_line + 1], vec![lines])
    }
}

/// The comma in the trivia between two elements.
fn comma(text: &str, range: Range<usize>) -> Option<usize> {
    let mut in_comment = false;
    for (at, byte) in text[range.clone()].bytes().enumerate() {
        match byte {
            b'\n' => in_comment = false,
            _ if in_comment => {}
            b'#' => in_comment = true,
            b',' => return Some(range.start + at),
            _ => {}
        }
    }
    None
}

/// Spaces, perhaps with a comment behind them.
fn is_trivia(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.starts_with('#')
}

fn leading_spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

fn splice(text: &str, range: Range<usize>, with: &str) -> String {
    [&text[..range.start], with, &text[range.end..]].concat()
}
