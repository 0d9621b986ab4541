//! The tree of a document: read, changed, written. Bounded in size and depth, so that walking down it is, too.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::fault::{Category, Fault};

/// The size of a document.
pub const BYTES_MAX: usize = 16 << 20;
/// Elements within elements.
pub const DEPTH_MAX: usize = 100;
/// Elements and attributes in all.
const NODES_MAX: usize = 1_000_000;

/// One element, or the document around the first.
#[derive(Debug)]
pub struct Element {
    pub name: String,
    pub attributes: RefCell<Vec<Rc<Attribute>>>,
    pub children: RefCell<Vec<Child>>,
    /// The element that it is in; none: it is in none, or that one is gone.
    pub parent: RefCell<Weak<Element>>,
    pub is_document: bool,
}

/// What lies in an element.
#[derive(Clone, Debug)]
pub enum Child {
    Element(Rc<Element>),
    Text(String),
}

/// `name="value"`.
#[derive(Debug)]
pub struct Attribute {
    pub name: String,
    pub value: RefCell<String>,
}

impl Element {
    pub fn new(name: String, is_document: bool) -> Rc<Element> {
        Rc::new(Element {
            name,
            attributes: RefCell::default(),
            children: RefCell::default(),
            parent: RefCell::default(),
            is_document,
        })
    }

    pub fn elements(&self) -> Vec<Rc<Element>> {
        let one = |child: &Child| match child {
            Child::Element(element) => Some(element.clone()),
            Child::Text(_) => None,
        };
        self.children.borrow().iter().filter_map(one).collect()
    }

    pub fn attribute(&self, name: &str) -> Option<Rc<Attribute>> {
        self.attributes.borrow().iter().find(|known| known.name.eq_ignore_ascii_case(name)).cloned()
    }

    /// Sets an attribute, in the place of one of its name.
    pub fn set_attribute(&self, attribute: Rc<Attribute>) {
        let mut all = self.attributes.borrow_mut();
        match all.iter_mut().find(|known| known.name == attribute.name) {
            Some(known) => *known = attribute,
            None => all.push(attribute),
        }
    }

    /// All text within. Elements are not deep: recursion is bounded.
    pub fn inner_text(&self) -> String {
        let mut text = String::new();
        for child in self.children.borrow().iter() {
            match child {
                Child::Element(element) => text += &element.inner_text(),
                Child::Text(more) => text += more,
            }
        }
        text
    }

    pub fn set_text(&self, text: String) {
        *self.children.borrow_mut() = vec![Child::Text(text)];
    }

    /// What lies within, written.
    pub fn write_inner(&self, out: &mut String) {
        for child in self.children.borrow().iter() {
            match child {
                Child::Element(element) => element.write(out),
                Child::Text(text) => *out += &quick_xml::escape::partial_escape(text.as_str()),
            }
        }
    }

    /// The element, written.
    pub fn write(&self, out: &mut String) {
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
    pub fn ancestors(self: &Rc<Element>) -> Vec<Rc<Element>> {
        let mut all = Vec::new();
        let mut next = self.parent.borrow().upgrade();
        while let Some(one) = next {
            next = one.parent.borrow().upgrade();
            all.push(one);
        }
        all
    }

    /// Puts an element into this one; it leaves the one where it was.
    pub fn take_in(self: &Rc<Element>, child: &Rc<Element>, is_first: bool) -> Result<(), Fault> {
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
    pub fn leave(self: &Rc<Element>) -> bool {
        let Some(parent) = self.parent.take().upgrade() else { return false };
        parent
            .children
            .borrow_mut()
            .retain(|child| !matches!(child, Child::Element(element) if Rc::ptr_eq(element, self)));
        true
    }

    /// A copy that is in no other element.
    pub fn copy(&self, is_deep: bool) -> Rc<Element> {
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

pub fn refused(message: &str) -> Fault {
    Fault::new(Category::InvalidOperation, message)
}

pub fn read(text: &str) -> Result<Rc<Element>, Fault> {
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
pub fn push_text(element: &Element, text: &str) {
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
