//! `[xml]`: a document as something to read. No document types, no entities but the five, bounded in size and depth.

use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::fault::{Category, Fault};
use crate::value::{Foreign, Value};

/// The size of a document.
const BYTES_MAX: usize = 16 << 20;
/// Elements within elements.
const DEPTH_MAX: usize = 100;
/// Elements and attributes in all.
const NODES_MAX: usize = 1_000_000;

/// One element.
#[derive(Debug)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Rc<Element>>,
    text: String,
    is_document: bool,
}

/// Reads a document.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Value, Fault> {
    let wrong = |because: String| {
        let mut fault = Fault::new(
            Category::InvalidArgument,
            format!("Cannot convert the text to type \"System.Xml.XmlDocument\": {because}."),
        );
        fault.exception = "System.Xml.XmlException";
        fault
    };
    if text.len() > BYTES_MAX {
        return Err(wrong(format!("it is longer than {BYTES_MAX} bytes")));
    }
    let mut reader = Reader::from_str(text);
    let mut open = vec![empty(String::new(), true)];
    let mut nodes = 0;
    loop {
        let event = reader.read_event().map_err(|error| wrong(format!("byte {}: {error}", reader.error_position())))?;
        match event {
            Event::Start(start) => {
                if open.len() > DEPTH_MAX {
                    return Err(wrong(format!("it is deeper than {DEPTH_MAX} elements")));
                }
                open.push(element(&start, &mut nodes).map_err(wrong)?);
            }
            Event::Empty(start) => {
                let one = element(&start, &mut nodes).map_err(wrong)?;
                if let Some(last) = open.last_mut() {
                    last.children.push(Rc::new(one));
                }
            }
            Event::End(_) => {
                let one = open.pop().filter(|_| !open.is_empty());
                let (Some(one), Some(last)) = (one, open.last_mut()) else {
                    return Err(wrong("an element ends that never began".to_owned()));
                };
                last.children.push(Rc::new(one));
            }
            Event::Text(text) => {
                if let Some(last) = open.last_mut() {
                    last.text += &text.decode().map_err(|error| wrong(error.to_string()))?;
                }
            }
            Event::CData(text) => {
                if let Some(last) = open.last_mut() {
                    last.text += &text.decode().map_err(|error| wrong(error.to_string()))?;
                }
            }
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| wrong(error.to_string()))?;
                let sign = match reference.resolve_char_ref() {
                    Ok(Some(sign)) => Some(sign.to_string()),
                    _ => quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned),
                };
                let sign = sign.ok_or_else(|| wrong(format!("the entity &{name}; is not known")))?;
                if let Some(last) = open.last_mut() {
                    last.text += &sign;
                }
            }
            Event::DocType(_) => return Err(wrong("document types (DOCTYPE) are not read".to_owned())),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    if open.len() != 1 {
        return Err(wrong(format!("the element <{}> has no end", open.last().map_or("", |last| &last.name))));
    }
    let document = open.remove(0);
    if document.children.is_empty() {
        return Err(wrong("it has no element".to_owned()));
    }
    Ok(Value::foreign(Node(Rc::new(document))))
}

fn empty(name: String, is_document: bool) -> Element {
    Element { name, attributes: Vec::new(), children: Vec::new(), text: String::new(), is_document }
}

fn element(start: &BytesStart<'_>, nodes: &mut usize) -> Result<Element, String> {
    let mut one = empty(String::from_utf8_lossy(start.name().as_ref()).into_owned(), false);
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = String::from_utf8_lossy(&attribute.value).into_owned();
        let value = quick_xml::escape::unescape(&value).map_err(|error| error.to_string())?.into_owned();
        one.attributes.push((String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value));
    }
    *nodes += 1 + one.attributes.len();
    if *nodes > NODES_MAX {
        return Err(format!("it has more than {NODES_MAX} elements and attributes"));
    }
    Ok(one)
}

/// An element or a document as a value.
#[derive(Debug)]
struct Node(Rc<Element>);

impl Node {
    /// What an element is to a script: its text, where there is nothing else to it.
    fn value(element: &Rc<Element>) -> Value {
        if element.attributes.is_empty() && element.children.is_empty() {
            return Value::text(&element.text);
        }
        Value::foreign(Node(element.clone()))
    }

    fn inner(&self) -> String {
        let mut text = self.0.text.clone();
        for child in &self.0.children {
            text += &Node(child.clone()).inner();
        }
        text
    }

    fn named(&self, name: &str) -> Vec<Value> {
        let local = |known: &str| {
            known.rsplit(':').next().unwrap_or(known).eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(name)
        };
        self.0.children.iter().filter(|child| local(&child.name)).map(Node::value).collect()
    }

    /// Elements of a name however deep, by a stack of our own.
    fn descendants(&self, name: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut open: Vec<Rc<Element>> = self.0.children.iter().rev().cloned().collect();
        while let Some(one) = open.pop() {
            if name == "*" || one.name.eq_ignore_ascii_case(name) {
                found.push(Value::foreign(Node(one.clone())));
            }
            open.extend(one.children.iter().rev().cloned());
        }
        found
    }
}

impl Foreign for Node {
    fn type_name(&self) -> &str {
        if self.0.is_document { "System.Xml.XmlDocument" } else { "System.Xml.XmlElement" }
    }

    fn text(&self) -> String {
        if self.0.children.is_empty() { self.0.text.clone() } else { self.0.name.clone() }
    }

    fn property(&self, name: &str) -> Option<Value> {
        if let Some((_, value)) = self.0.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Some(Value::text(value));
        }
        let found = self.named(name);
        if !found.is_empty() {
            return Some(crate::convert::gathered(found));
        }
        Some(match name.to_ascii_lowercase().as_str() {
            "documentelement" if self.0.is_document => Value::foreign(Node(self.0.children.first()?.clone())),
            "name" | "localname" => Value::text(&self.0.name),
            "innertext" => Value::text(self.inner()),
            "#text" => Value::text(&self.0.text),
            "childnodes" => Value::array(self.0.children.iter().map(|one| Value::foreign(Node(one.clone()))).collect()),
            "firstchild" => Value::foreign(Node(self.0.children.first()?.clone())),
            "haschildnodes" => Value::Bool(!self.0.children.is_empty()),
            _ => return None,
        })
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        let wanted = arguments.first().map(crate::convert::text).unwrap_or_default();
        Some(Ok(match name.to_ascii_lowercase().as_str() {
            "getattribute" => {
                let found = self.0.attributes.iter().find(|(known, _)| *known == wanted);
                Value::text(found.map_or("", |(_, value)| value))
            }
            "hasattribute" => Value::Bool(self.0.attributes.iter().any(|(known, _)| *known == wanted)),
            "getelementsbytagname" => Value::array(self.descendants(&wanted)),
            // Paths of names alone: `//Name`, `/a/b`, `a/b`.
            "selectnodes" | "selectsinglenode" => {
                if wanted.contains(['[', '@', '(']) {
                    return Some(Err(Fault::new(
                        Category::InvalidArgument,
                        format!("The path '{wanted}' has more than names in it; use Where-Object on the elements."),
                    )));
                }
                let mut found = match wanted.strip_prefix("//") {
                    Some(name) if !name.contains('/') => self.descendants(name),
                    _ => {
                        let mut level = vec![self.0.clone()];
                        for part in wanted.trim_start_matches('/').split('/').filter(|part| !part.is_empty()) {
                            level = level
                                .iter()
                                .flat_map(|one| one.children.iter())
                                .filter(|child| part == "*" || child.name.eq_ignore_ascii_case(part))
                                .cloned()
                                .collect();
                        }
                        level.into_iter().map(|one| Value::foreign(Node(one))).collect()
                    }
                };
                if name.eq_ignore_ascii_case("SelectSingleNode") {
                    if found.is_empty() { Value::Null } else { found.remove(0) }
                } else {
                    Value::array(found)
                }
            }
            _ => return None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_by_names() {
        let document = parse("<?xml version='1.0'?><c><r name='a&amp;b'>1</r><r name='x'/><t>x &lt; y</t></c>")
            .expect("a document");
        let Value::Foreign(node) = &document else { panic!("{document:?}") };
        let Some(Value::Foreign(root)) = node.property("C") else { panic!("no root") };
        assert_eq!(root.property("t").map(|t| crate::convert::text(&t)).as_deref(), Some("x < y"));
        let Some(Value::List(all)) = root.property("r") else { panic!("no list") };
        let Value::Foreign(first) = &all.values.borrow()[0] else { panic!("no element") };
        assert_eq!(first.property("NAME").map(|t| crate::convert::text(&t)).as_deref(), Some("a&b"));
    }

    #[test]
    fn what_is_no_document_or_dangerous_is_refused() {
        let deep = "<a>".repeat(200) + &"</a>".repeat(200);
        for (text, word) in [
            ("", "no element"),
            ("<a>", "no end"),
            ("<a></b>", "byte"),
            ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "DOCTYPE"),
            ("<a>&x;</a>", "entity"),
            (deep.as_str(), "deeper"),
        ] {
            let fault = parse(text).expect_err(text);
            assert!(fault.message.contains(word), "{text}: {}", fault.message);
        }
    }
}
