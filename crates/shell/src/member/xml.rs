//! `[xml]`: documents that scripts read, and those that they make and colour for reports. No document types, no entities but the
//! five, bounded in size and depth.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::arguments::Arguments;
use crate::context::Context;
use crate::convert;
use crate::fault::{Category, Fault};
use crate::path;
use crate::value::{Foreign, Value};

/// The size of a document.
const BYTES_MAX: usize = 16 << 20;
/// Elements within elements.
const DEPTH_MAX: usize = 100;
/// Elements and attributes in all.
const NODES_MAX: usize = 1_000_000;
/// About what an element or an attribute takes by itself.
const NODE_BYTES: usize = 200;

/// One element, or the document around the first.
#[derive(Debug)]
struct Element {
    name: String,
    attributes: RefCell<Vec<Rc<Attribute>>>,
    children: RefCell<Vec<Child>>,
    /// The element that it is in; none: it is in none, or that one is gone.
    parent: RefCell<Weak<Element>>,
    is_document: bool,
}

/// What lies in an element.
#[derive(Clone, Debug)]
enum Child {
    Element(Rc<Element>),
    Text(String),
}

/// `name="value"`.
#[derive(Debug)]
struct Attribute {
    name: String,
    value: RefCell<String>,
}

impl Element {
    fn new(name: String, is_document: bool) -> Rc<Element> {
        Rc::new(Element {
            name,
            attributes: RefCell::default(),
            children: RefCell::default(),
            parent: RefCell::default(),
            is_document,
        })
    }

    fn elements(&self) -> Vec<Rc<Element>> {
        let one = |child: &Child| match child {
            Child::Element(element) => Some(element.clone()),
            Child::Text(_) => None,
        };
        self.children.borrow().iter().filter_map(one).collect()
    }

    fn attribute(&self, name: &str) -> Option<Rc<Attribute>> {
        self.attributes.borrow().iter().find(|known| known.name.eq_ignore_ascii_case(name)).cloned()
    }

    /// Sets an attribute, in the place of one of its name.
    fn set_attribute(&self, attribute: Rc<Attribute>) {
        let mut all = self.attributes.borrow_mut();
        match all.iter_mut().find(|known| known.name == attribute.name) {
            Some(known) => *known = attribute,
            None => all.push(attribute),
        }
    }

    /// All text within. Elements are not deep: recursion is bounded.
    fn inner_text(&self) -> String {
        let mut text = String::new();
        for child in self.children.borrow().iter() {
            match child {
                Child::Element(element) => text += &element.inner_text(),
                Child::Text(more) => text += more,
            }
        }
        text
    }

    fn set_text(&self, text: String) {
        *self.children.borrow_mut() = vec![Child::Text(text)];
    }

    /// What lies within, written.
    fn write_inner(&self, out: &mut String) {
        for child in self.children.borrow().iter() {
            match child {
                Child::Element(element) => element.write(out),
                Child::Text(text) => *out += &quick_xml::escape::partial_escape(text.as_str()),
            }
        }
    }

    /// The element, written.
    fn write(&self, out: &mut String) {
        if self.is_document {
            return self.write_inner(out);
        }
        *out += "<";
        *out += &self.name;
        for attribute in self.attributes.borrow().iter() {
            let value = attribute.value.borrow();
            let value = quick_xml::escape::escape(value.as_str());
            *out += &format!(" {}=\"{value}\"", attribute.name);
        }
        if self.children.borrow().is_empty() {
            *out += " />";
            return;
        }
        *out += ">";
        self.write_inner(out);
        *out += &format!("</{}>", self.name);
    }

    /// How many elements lie one within the other, this one included.
    fn height(&self) -> usize {
        1 + self.elements().iter().map(|child| child.height()).max().unwrap_or(0)
    }

    /// The elements that this one lies in.
    fn ancestors(self: &Rc<Element>) -> Vec<Rc<Element>> {
        let mut all = Vec::new();
        let mut next = self.parent.borrow().upgrade();
        while let Some(one) = next {
            next = one.parent.borrow().upgrade();
            all.push(one);
        }
        all
    }

    /// Puts an element into this one; it leaves the one where it was.
    fn take_in(self: &Rc<Element>, child: &Rc<Element>, is_first: bool) -> Result<(), Fault> {
        let above = self.ancestors();
        let is_within = Rc::ptr_eq(self, child) || above.iter().any(|one| Rc::ptr_eq(one, child));
        if is_within || child.is_document {
            return Err(refused("An element cannot lie within itself, and a document in none."));
        }
        if above.len() + 1 + child.height() > DEPTH_MAX {
            return Err(refused(&format!("The document would be deeper than {DEPTH_MAX} elements.")));
        }
        child.leave();
        *child.parent.borrow_mut() = Rc::downgrade(self);
        let mut children = self.children.borrow_mut();
        let at = if is_first { 0 } else { children.len() };
        children.insert(at, Child::Element(child.clone()));
        Ok(())
    }

    /// Takes it out of the element that it is in; whether it was in one.
    fn leave(self: &Rc<Element>) -> bool {
        let Some(parent) = self.parent.take().upgrade() else { return false };
        parent
            .children
            .borrow_mut()
            .retain(|child| !matches!(child, Child::Element(element) if Rc::ptr_eq(element, self)));
        true
    }

    /// A copy that is in no other element.
    fn copy(&self, is_deep: bool) -> Rc<Element> {
        let copy = Element::new(self.name.clone(), self.is_document);
        for attribute in self.attributes.borrow().iter() {
            copy.set_attribute(Rc::new(Attribute {
                name: attribute.name.clone(),
                value: RefCell::new(attribute.value.borrow().clone()),
            }));
        }
        if is_deep {
            for child in self.children.borrow().iter() {
                let child = match child {
                    Child::Element(element) => {
                        let element = element.copy(true);
                        *element.parent.borrow_mut() = Rc::downgrade(&copy);
                        Child::Element(element)
                    }
                    Child::Text(text) => Child::Text(text.clone()),
                };
                copy.children.borrow_mut().push(child);
            }
        }
        copy
    }
}

fn refused(message: &str) -> Fault {
    Fault::new(Category::InvalidOperation, message)
}

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

fn read(text: &str) -> Result<Rc<Element>, Fault> {
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
    let document = Element::new(String::new(), true);
    let mut open = vec![document.clone()];
    let mut nodes = 0;
    loop {
        let event = reader.read_event().map_err(|error| wrong(format!("byte {}: {error}", reader.error_position())))?;
        let Some(last) = open.last().cloned() else {
            return Err(wrong("an element ends that never began".to_owned()));
        };
        let add = |child: Rc<Element>| {
            *child.parent.borrow_mut() = Rc::downgrade(&last);
            last.children.borrow_mut().push(Child::Element(child));
        };
        match event {
            Event::Start(start) => {
                if open.len() > DEPTH_MAX {
                    return Err(wrong(format!("it is deeper than {DEPTH_MAX} elements")));
                }
                let one = element(&start, &mut nodes).map_err(wrong)?;
                add(one.clone());
                open.push(one);
            }
            Event::Empty(start) => add(element(&start, &mut nodes).map_err(wrong)?),
            Event::End(_) if open.len() > 1 => {
                open.pop();
            }
            Event::End(_) => return Err(wrong("an element ends that never began".to_owned())),
            Event::Text(text) => push_text(&last, &text.decode().map_err(|error| wrong(error.to_string()))?),
            Event::CData(text) => push_text(&last, &text.decode().map_err(|error| wrong(error.to_string()))?),
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| wrong(error.to_string()))?;
                let sign = match reference.resolve_char_ref() {
                    Ok(Some(sign)) => Some(sign.to_string()),
                    _ => quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned),
                };
                let sign = sign.ok_or_else(|| wrong(format!("the entity &{name}; is not known")))?;
                push_text(&last, &sign);
            }
            Event::DocType(_) => return Err(wrong("document types (DOCTYPE) are not read".to_owned())),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    if open.len() != 1 {
        return Err(wrong(format!("the element <{}> has no end", open.last().map_or("", |last| &last.name))));
    }
    tidy(&document);
    if document.elements().is_empty() {
        return Err(wrong("it has no element".to_owned()));
    }
    Ok(document)
}

/// Adds text to what lies in an element; pieces of one text become one.
fn push_text(element: &Element, text: &str) {
    let mut children = element.children.borrow_mut();
    match children.last_mut() {
        Some(Child::Text(last)) => last.push_str(text),
        _ => children.push(Child::Text(text.to_owned())),
    }
}

/// White space between elements is no text, as in the original.
fn tidy(element: &Element) {
    let mut children = element.children.borrow_mut();
    if children.iter().any(|child| matches!(child, Child::Element(_))) {
        children.retain(|child| !matches!(child, Child::Text(text) if text.trim().is_empty()));
    }
    for child in children.iter() {
        if let Child::Element(element) = child {
            tidy(element);
        }
    }
}

fn element(start: &BytesStart<'_>, nodes: &mut usize) -> Result<Rc<Element>, String> {
    let one = Element::new(String::from_utf8_lossy(start.name().as_ref()).into_owned(), false);
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = String::from_utf8_lossy(&attribute.value).into_owned();
        let value = quick_xml::escape::unescape(&value).map_err(|error| error.to_string())?.into_owned();
        let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        one.attributes.borrow_mut().push(Rc::new(Attribute { name, value: RefCell::new(value) }));
    }
    *nodes += 1 + one.attributes.borrow().len();
    if *nodes > NODES_MAX {
        return Err(format!("it has more than {NODES_MAX} elements and attributes"));
    }
    Ok(one)
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
