//! `[xml]`: documents that scripts read, and those that they make and colour for reports. No document types, no entities but the
//! five. `element` is the tree, this module what scripts see of it.

use std::cell::RefCell;
use std::rc::Rc;

mod element;

use self::element::{Attribute, BYTES_MAX, Child, Element, push_text, read, refused};
use super::arguments::Arguments;
use crate::context::Context;
use crate::convert;
use crate::fault::{Category, Fault};
use crate::path;
use crate::value::{Foreign, Value};

/// About what an element or an attribute takes by itself.
const NODE_BYTES: usize = 200;

/// Reads a document.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Value, Fault> {
    read(text).map(|document| Value::foreign(Node(document)))
}

/// A document without anything, as `New-Object System.Xml.XmlDocument` makes it.
pub(super) fn empty_document() -> Value {
    Value::foreign(Node(Element::new(String::new(), true)))
}

/// An element or a document as a value.
#[derive(Debug)]
struct Node(Rc<Element>);

impl Node {
    fn of(element: &Rc<Element>) -> Value {
        Value::foreign(Node(element.clone()))
    }

    /// What an element is to a script: its text, where there is nothing else to it.
    fn value(element: &Rc<Element>) -> Value {
        if element.attributes.borrow().is_empty() && element.elements().is_empty() {
            return Value::text(element.inner_text());
        }
        Node::of(element)
    }

    fn children_named(&self, name: &str) -> Vec<Rc<Element>> {
        let local = |known: &str| {
            known.rsplit(':').next().unwrap_or(known).eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(name)
        };
        self.0.elements().into_iter().filter(|child| local(&child.name)).collect()
    }

    /// Elements of a name however deep, by a stack of our own.
    fn descendants(&self, name: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut open: Vec<Rc<Element>> = self.0.elements().into_iter().rev().collect();
        while let Some(one) = open.pop() {
            if name == "*" || one.name.eq_ignore_ascii_case(name) {
                found.push(Node::of(&one));
            }
            open.extend(one.elements().into_iter().rev());
        }
        found
    }

    /// `//Name`, `/a/b`, `a/b`: paths of names alone.
    fn select(&self, wanted: &str) -> Result<Vec<Value>, Fault> {
        if wanted.contains(['[', '@', '(']) {
            return Err(Fault::new(
                Category::InvalidArgument,
                format!("The path '{wanted}' has more than names in it; use Where-Object on the elements."),
            ));
        }
        let (mut level, path) = match wanted.strip_prefix("//") {
            Some(rest) => {
                let (first, path) = rest.split_once('/').unwrap_or((rest, ""));
                let found = self.descendants(first);
                let found = found.iter().filter_map(|one| one.downcast::<Node>().map(|node| node.0.clone()));
                (found.collect(), path)
            }
            None => (vec![self.0.clone()], wanted.trim_start_matches('/')),
        };
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let children = level.iter().flat_map(|one: &Rc<Element>| one.elements());
            level = children.filter(|child| part == "*" || child.name.eq_ignore_ascii_case(part)).collect();
        }
        Ok(level.iter().map(Node::of).collect())
    }

    fn written(&self) -> String {
        let mut text = String::new();
        self.0.write(&mut text);
        text
    }
}

impl Foreign for Node {
    fn type_name(&self) -> &str {
        if self.0.is_document { "System.Xml.XmlDocument" } else { "System.Xml.XmlElement" }
    }

    fn text(&self) -> String {
        if self.0.elements().is_empty() { self.0.inner_text() } else { self.0.name.clone() }
    }

    fn property(&self, name: &str) -> Option<Value> {
        if let Some(attribute) = self.0.attribute(name) {
            return Some(Value::text(&*attribute.value.borrow()));
        }
        let found: Vec<Value> = self.children_named(name).iter().map(Node::value).collect();
        if !found.is_empty() {
            return Some(convert::gathered(found));
        }
        Some(match name.to_ascii_lowercase().as_str() {
            "documentelement" if self.0.is_document => Node::of(self.0.elements().first()?),
            "name" | "localname" => Value::text(&self.0.name),
            "innertext" => Value::text(self.0.inner_text()),
            "#text" => {
                let text = |child: &Child| match child {
                    Child::Text(text) => Some(text.clone()),
                    Child::Element(_) => None,
                };
                Value::text(self.0.children.borrow().iter().filter_map(text).collect::<String>())
            }
            "outerxml" => Value::text(self.written()),
            "innerxml" => {
                let mut text = String::new();
                self.0.write_inner(&mut text);
                Value::text(text)
            }
            "attributes" => Value::foreign(Attributes(self.0.clone())),
            "hasattributes" => Value::Bool(!self.0.attributes.borrow().is_empty()),
            "parentnode" => Node::of(&self.0.parent.borrow().upgrade()?),
            "ownerdocument" => Node::of(self.0.ancestors().last()?),
            "childnodes" => Value::array(self.0.elements().iter().map(Node::of).collect()),
            "firstchild" => Node::of(self.0.elements().first()?),
            "lastchild" => Node::of(self.0.elements().last()?),
            "haschildnodes" => Value::Bool(!self.0.children.borrow().is_empty()),
            _ => return None,
        })
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        let wanted = arguments.first().map(convert::text).unwrap_or_default();
        Some(match name.to_ascii_lowercase().as_str() {
            "getattribute" => {
                let found = self.0.attributes.borrow().iter().find(|known| known.name == wanted).cloned();
                Ok(Value::text(found.map_or_else(String::new, |found| found.value.borrow().clone())))
            }
            "hasattribute" => Ok(Value::Bool(self.0.attributes.borrow().iter().any(|known| known.name == wanted))),
            "getelementsbytagname" => Ok(Value::array(self.descendants(&wanted))),
            "selectnodes" => self.select(&wanted).map(Value::array),
            "selectsinglenode" => self.select(&wanted).map(|found| found.into_iter().next().unwrap_or_default()),
            "clonenode" | "importnode" => {
                let (of, is_deep) = match arguments {
                    [Value::Foreign(_), rest @ ..] => match arguments[0].downcast::<Node>() {
                        Some(node) => (node.0.clone(), rest.first()),
                        None => return Some(Err(refused("Only elements can be imported."))),
                    },
                    rest => (self.0.clone(), rest.first()),
                };
                Ok(Value::foreign(Node(of.copy(is_deep.is_none_or(convert::truth)))))
            }
            _ => return None,
        })
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        other.downcast::<Node>().map(|other| Rc::ptr_eq(&self.0, &other.0))
    }
}

/// An attribute as a value: what `CreateAttribute` makes, and what `Attributes` lists.
#[derive(Debug)]
struct AttributeNode(Rc<Attribute>);

impl Foreign for AttributeNode {
    fn type_name(&self) -> &str {
        "System.Xml.XmlAttribute"
    }

    fn text(&self) -> String {
        self.0.value.borrow().clone()
    }

    fn properties(&self) -> &[&'static str] {
        &["Name", "Value"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        match name.to_ascii_lowercase().as_str() {
            "name" | "localname" => Some(Value::text(&self.0.name)),
            "value" | "innertext" | "#text" => Some(Value::text(&*self.0.value.borrow())),
            _ => None,
        }
    }
}

/// `Attributes` of an element.
#[derive(Debug)]
struct Attributes(Rc<Element>);

impl Foreign for Attributes {
    fn type_name(&self) -> &str {
        "System.Xml.XmlAttributeCollection"
    }

    fn text(&self) -> String {
        self.type_name().to_owned()
    }

    fn property(&self, name: &str) -> Option<Value> {
        match name.eq_ignore_ascii_case("Count") {
            true => Some(Value::Int(self.0.attributes.borrow().len() as i64)),
            false => self.0.attribute(name).map(|found| Value::foreign(AttributeNode(found))),
        }
    }

    fn elements(&self) -> Option<Vec<Value>> {
        Some(self.0.attributes.borrow().iter().map(|one| Value::foreign(AttributeNode(one.clone()))).collect())
    }

    fn at(&self, key: &Value) -> Option<Value> {
        match key {
            Value::Int(at) => self.elements()?.into_iter().nth(usize::try_from(*at).ok()?),
            name => self.property(&convert::text(name)),
        }
    }
}

/// Changes a property of an element or an attribute; `None`: the value is neither.
pub(super) fn set_property(value: &Value, name: &str, new: &Value) -> Option<Result<(), Fault>> {
    let lower = name.to_ascii_lowercase();
    if let Some(attribute) = value.downcast::<AttributeNode>() {
        return Some(match lower.as_str() {
            "value" | "innertext" | "#text" => {
                *attribute.0.value.borrow_mut() = convert::text(new);
                Ok(())
            }
            _ => Err(refused(&format!("The property '{name}' of an attribute cannot be set; set Value."))),
        });
    }
    let node = value.downcast::<Node>()?;
    if let Some(attribute) = node.0.attribute(name) {
        *attribute.value.borrow_mut() = convert::text(new);
        return Some(Ok(()));
    }
    if let [only] = node.children_named(name).as_slice() {
        return Some(match only.elements().is_empty() {
            true => {
                only.set_text(convert::text(new));
                Ok(())
            }
            false => Err(refused(&format!("The element '{name}' holds elements: set the text of one of them."))),
        });
    }
    Some(match lower.as_str() {
        "innertext" | "#text" if !node.0.is_document => {
            node.0.set_text(convert::text(new));
            Ok(())
        }
        "innerxml" => read(&format!("<all>{}</all>", convert::text(new))).and_then(|document| {
            let all = document.elements().first().cloned().unwrap_or_else(|| document.clone());
            let children = all.children.borrow().clone();
            node.0.children.borrow_mut().clear();
            children.into_iter().try_for_each(|child| match child {
                Child::Element(element) => node.0.take_in(&element, false),
                text => {
                    node.0.children.borrow_mut().push(text);
                    Ok(())
                }
            })
        }),
        // Ways of writing that change nothing in what is written.
        "preservewhitespace" | "xmlresolver" => Ok(()),
        _ => Err(refused(&format!(
            "The property '{name}' cannot be found on this element; add an attribute by SetAttribute, an element by AppendChild."
        ))),
    })
}

/// Methods that change a document, make something for it, or reach a file.
const CHANGES: [&str; 12] = [
    "createelement",
    "createattribute",
    "createtextnode",
    "appendchild",
    "prependchild",
    "removechild",
    "removeall",
    "setattribute",
    "removeattribute",
    "loadxml",
    "load",
    "save",
];

/// Calls a method that changes a document, or reads or writes its file. `None`: not one of them.
pub(super) fn call(
    context: &mut dyn Context,
    value: &Value,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    if let Some(attributes) = value.downcast::<Attributes>() {
        return attributes_call(attributes, lower, arguments);
    }
    let node = value.downcast::<Node>()?;
    let done = || -> Result<Option<Value>, Fault> {
        Ok(Some(match lower {
            "createelement" | "createattribute" | "createtextnode" => {
                context.charge(NODE_BYTES)?;
                let text = arguments.text(0)?;
                if lower == "createtextnode" {
                    return Ok(Some(Value::text(text)));
                }
                if !is_name(&text) {
                    return Err(super::arguments::invalid(format!("'{text}' is no name of XML")));
                }
                match lower {
                    "createelement" => Value::foreign(Node(Element::new(text, false))),
                    _ => Value::foreign(AttributeNode(Rc::new(Attribute { name: text, value: RefCell::default() }))),
                }
            }
            "appendchild" | "prependchild" => {
                context.charge(NODE_BYTES)?;
                let child = &arguments.need(1)?[0];
                match child.downcast::<Node>() {
                    Some(child) => node.0.take_in(&child.0, lower == "prependchild")?,
                    None => push_text(&node.0, &convert::text(child)),
                }
                child.clone()
            }
            "removechild" => {
                let child = &arguments.need(1)?[0];
                let is_ours = child.downcast::<Node>().is_some_and(|child| {
                    let parent = child.0.parent.borrow().upgrade();
                    parent.is_some_and(|parent| Rc::ptr_eq(&parent, &node.0)) && child.0.leave()
                });
                if !is_ours {
                    return Err(refused("The node to be removed is not a child of this node."));
                }
                child.clone()
            }
            "removeall" => {
                node.0.children.borrow_mut().clear();
                node.0.attributes.borrow_mut().clear();
                return Ok(None);
            }
            "setattribute" => {
                context.charge(NODE_BYTES)?;
                let (name, text) = (arguments.text(0)?, arguments.text(1)?);
                if !is_name(&name) {
                    return Err(super::arguments::invalid(format!("'{name}' is no name of XML")));
                }
                node.0.set_attribute(Rc::new(Attribute { name, value: RefCell::new(text) }));
                return Ok(None);
            }
            "removeattribute" => {
                let name = arguments.text(0)?;
                node.0.attributes.borrow_mut().retain(|known| known.name != name);
                return Ok(None);
            }
            "loadxml" | "load" => {
                let text = match lower {
                    "loadxml" => arguments.text(0)?,
                    _ => {
                        let path = arguments.text(0)?;
                        let bytes = context.world().read_file(&path, BYTES_MAX);
                        convert::encoding::decode_file(&bytes.map_err(|error| path::failed(&path, &error))?)
                    }
                };
                context.charge(text.len())?;
                let read = read(&text)?;
                node.0.children.borrow_mut().clear();
                for child in read.elements() {
                    node.0.take_in(&child, false)?;
                }
                return Ok(None);
            }
            // `save`, the last of them.
            _ => {
                let path = arguments.text(0)?;
                let text = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{}\n", node.written());
                context.charge(text.len())?;
                let saved = context.world().write_file(&path, text.as_bytes(), false);
                saved.map_err(|error| path::failed(&path, &error))?;
                return Ok(None);
            }
        }))
    };
    CHANGES.contains(&lower).then(done)
}

fn attributes_call(of: &Attributes, lower: &str, arguments: &Arguments<'_>) -> Option<Result<Option<Value>, Fault>> {
    Some(match lower {
        "append" | "prepend" | "setnameditem" => arguments.need(1).and_then(|values| {
            let Some(attribute) = values[0].downcast::<AttributeNode>() else {
                return Err(super::arguments::invalid("an attribute is wanted, as CreateAttribute makes it"));
            };
            of.0.set_attribute(attribute.0.clone());
            Ok(Some(values[0].clone()))
        }),
        "removenameditem" => arguments.text(0).map(|name| {
            of.0.attributes.borrow_mut().retain(|known| known.name != name);
            None
        }),
        "getnameditem" => arguments.text(0).map(|name| of.property(&name)),
        "removeall" => {
            of.0.attributes.borrow_mut().clear();
            Ok(None)
        }
        _ => return None,
    })
}

/// Whether a text may be the name of an element or an attribute.
fn is_name(text: &str) -> bool {
    let is_start = |sign: char| sign.is_alphabetic() || matches!(sign, '_' | ':');
    text.starts_with(is_start)
        && text.chars().all(|sign| is_start(sign) || sign.is_numeric() || matches!(sign, '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::element::DEPTH_MAX;
    use super::*;

    #[test]
    fn documents_are_read_by_names() {
        let document = parse("<?xml version='1.0'?><c><r name='a&amp;b'>1</r><r name='x'/><t>x &lt; y</t></c>")
            .expect("a document");
        let Value::Foreign(node) = &document else { panic!("{document:?}") };
        let Some(Value::Foreign(root)) = node.property("C") else { panic!("no root") };
        assert_eq!(root.property("t").map(|t| convert::text(&t)).as_deref(), Some("x < y"));
        let Some(Value::List(all)) = root.property("r") else { panic!("no list") };
        let Value::Foreign(first) = &all.values.borrow()[0] else { panic!("no element") };
        assert_eq!(first.property("NAME").map(|t| convert::text(&t)).as_deref(), Some("a&b"));
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

    #[test]
    fn what_is_written_is_what_was_read_and_changed() {
        let text = "<a x=\"1 &amp; 2\"><b>t</b>mixed<c /></a>";
        let Value::Foreign(document) = parse(text).expect("a document") else { panic!("no document") };
        assert_eq!(document.property("OuterXml").map(|t| convert::text(&t)).as_deref(), Some(text));
        let element = document.property("a").expect("the element");
        for (name, new) in [("x", "<"), ("b", "u & v")] {
            assert!(matches!(set_property(&element, name, &Value::text(new)), Some(Ok(()))), "{name}");
        }
        let Value::Foreign(element) = element else { panic!("no element") };
        let written = element.property("OuterXml").map(|t| convert::text(&t)).unwrap_or_default();
        assert_eq!(written, "<a x=\"&lt;\"><b>u &amp; v</b>mixed<c /></a>");
    }

    #[test]
    fn no_element_lies_within_itself_or_too_deep() {
        let outer = Element::new("a".to_owned(), false);
        let inner = Element::new("b".to_owned(), false);
        outer.take_in(&inner, false).expect("it is another one");
        assert!(inner.take_in(&outer, false).is_err());
        assert!(outer.take_in(&outer, false).is_err());
        let mut deepest = inner;
        let refused = (0..DEPTH_MAX).find(|_| {
            let next = Element::new("c".to_owned(), false);
            let done = deepest.take_in(&next, false);
            deepest = next;
            done.is_err()
        });
        assert_eq!(refused, Some(DEPTH_MAX - 2));
    }
}
