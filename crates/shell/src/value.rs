//! The values that a script works with.
//!
//! Lists, tables and objects are references, as in the original: two variables may hold the same one. Text, numbers and
//! times are values.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use jiff::Zoned;

use crate::fault::Fault;
use crate::syntax::{ScriptBlock, TypeName};

/// One value.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// `$null`.
    #[default]
    Null,
    /// `$true`, `$false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A fraction.
    Float(f64),
    /// One character, as `'abc'[0]` yields it.
    Char(char),
    /// Text.
    Text(Rc<str>),
    /// A point in time with its zone.
    Time(Zoned),
    /// A length of time.
    Span(TimeSpan),
    /// Several values.
    List(Rc<List>),
    /// `@{ }`.
    Table(Rc<RefCell<Table>>),
    /// Properties under a type's name.
    Object(Rc<Object>),
    /// `{ }`.
    Block(Rc<ScriptBlock>),
    /// `[Type]`.
    Type(Rc<TypeName>),
    /// An error record, as `$_` in `catch`.
    Fault(Rc<Fault>),
    /// A value that the commands know: a range of addresses, a size, flags.
    Foreign(Rc<dyn Foreign>),
}

/// A length of time in units of 100 ns, as the original counts it. May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan {
    /// Units of 100 ns.
    pub ticks: i64,
}

/// Several values, and what may be done to them.
#[derive(Debug)]
pub struct List {
    /// The values.
    pub values: RefCell<Vec<Value>>,
    /// What it is.
    pub kind: ListKind,
}

/// What a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// `@( )`: of fixed length; `+=` makes a new one.
    Array,
    /// `[System.Collections.ArrayList]`, `List[object]`: has `.Add()`.
    Growing,
    /// A property of an object that a command made, with several values: prints in braces, has `.Add()`, `+=` makes an array.
    MultiValued,
    /// `[System.Collections.Generic.HashSet]`: `.Add()` says whether the value is new.
    Set,
}

impl Value {
    /// Text.
    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(Rc::from(text.as_ref()))
    }

    /// A table of these entries.
    pub fn table(entries: impl IntoIterator<Item = (Value, Value)>) -> Value {
        Value::Table(Rc::new(RefCell::new(Table::new(entries))))
    }

    /// A value of a type of its own.
    pub fn foreign(value: impl Foreign) -> Value {
        Value::Foreign(Rc::new(value))
    }

    /// What the value of a type of its own is, where it is a `T`.
    pub fn downcast<T: Foreign>(&self) -> Option<&T> {
        match self {
            Value::Foreign(foreign) => (foreign.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// An array.
    pub fn array(values: Vec<Value>) -> Value {
        Value::List(Rc::new(List { values: RefCell::new(values), kind: ListKind::Array }))
    }

    /// A list of this kind.
    pub fn list(values: Vec<Value>, kind: ListKind) -> Value {
        Value::List(Rc::new(List { values: RefCell::new(values), kind }))
    }

    /// Whether it is `$null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

/// `@{ }`: keys in the order of their coming; text keys compare without case. Bounded by the limits of the session.
#[derive(Debug, Default)]
pub struct Table {
    entries: Vec<(Value, Value)>,
    /// Where each key stands.
    places: HashMap<String, usize>,
    /// `[ordered]`; the others show their keys in an order of their own, ours show them as they came.
    pub is_ordered: bool,
}

impl Table {
    /// A table of these entries; of two with the same key the later counts.
    pub fn new(entries: impl IntoIterator<Item = (Value, Value)>) -> Table {
        let mut table = Table::default();
        for (key, value) in entries {
            table.set(key, value);
        }
        table
    }

    /// Its keys and values in order.
    pub fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &Value) -> Option<Value> {
        self.place(key).map(|at| self.entries[at].1.clone())
    }

    /// The value of a key that is text.
    pub fn get_text(&self, key: &str) -> Option<Value> {
        self.get(&Value::text(key))
    }

    /// Whether it has a key.
    pub fn has(&self, key: &Value) -> bool {
        self.place(key).is_some()
    }

    /// Changes the value of a key, or adds it at the end.
    pub fn set(&mut self, key: Value, value: Value) {
        match self.place(&key) {
            Some(at) => self.entries[at].1 = value,
            None => {
                self.places.insert(folded_key(&key), self.entries.len());
                self.entries.push((key, value));
            }
        }
    }

    /// Removes a key; hands back its value.
    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        let at = self.place(key)?;
        let (_, value) = self.entries.remove(at);
        self.places = self.entries.iter().enumerate().map(|(at, (key, _))| (folded_key(key), at)).collect();
        Some(value)
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
    }

    fn place(&self, key: &Value) -> Option<usize> {
        self.places.get(&folded_key(key)).copied()
    }
}

/// A key as text that is the same for keys that are the same: text without case, numbers by their value.
fn folded_key(key: &Value) -> String {
    match key {
        Value::Null => "null".to_owned(),
        Value::Bool(is) => format!("b{is}"),
        Value::Int(number) => format!("n{number}"),
        Value::Float(number) => format!("f{number}"),
        Value::Char(one) => format!("c{one}"),
        Value::Text(text) => format!("t{}", text.to_lowercase()),
        Value::Time(moment) => format!("m{}", moment.timestamp()),
        Value::Span(span) => format!("s{}", span.ticks),
        // As in the original, what has no value of its own is a key by being the same thing.
        Value::List(list) => format!("l{:p}", Rc::as_ptr(list)),
        Value::Table(table) => format!("h{:p}", Rc::as_ptr(table)),
        Value::Object(object) => format!("o{:p}", Rc::as_ptr(object)),
        Value::Block(block) => format!("k{:p}", Rc::as_ptr(block)),
        Value::Fault(fault) => format!("e{:p}", Rc::as_ptr(fault)),
        Value::Type(name) => format!("y{}", name.to_string().to_lowercase()),
        Value::Foreign(foreign) => format!("x{} {}", foreign.type_name(), foreign.text().to_lowercase()),
    }
}

/// Takes containers apart without recursion: a list in a list in a list, a hundred thousand deep, would else overflow the
/// stack where the outermost goes.
fn release(values: &mut Vec<Value>) {
    let is_container = |value: &Value| matches!(value, Value::List(_) | Value::Table(_) | Value::Object(_));
    if !values.iter().any(is_container) {
        return;
    }
    let mut pending: Vec<Value> = values.drain(..).filter(is_container).collect();
    while let Some(mut value) = pending.pop() {
        // What somebody else still holds is only let go.
        match &mut value {
            Value::List(list) => {
                if let Some(list) = Rc::get_mut(list) {
                    pending.append(list.values.get_mut());
                }
            }
            Value::Table(table) => {
                if let Some(table) = Rc::get_mut(table) {
                    pending.extend(table.get_mut().entries.drain(..).flat_map(|(key, value)| [key, value]));
                }
            }
            Value::Object(object) => {
                if let Some(object) = Rc::get_mut(object) {
                    pending.extend(object.properties.get_mut().drain(..).map(|(_, value)| value));
                }
            }
            _ => {}
        }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        release(self.values.get_mut());
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        release(&mut self.entries.drain(..).flat_map(|(key, value)| [key, value]).collect());
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        release(&mut self.properties.get_mut().drain(..).map(|(_, value)| value).collect());
    }
}

/// A value that the language does not know by itself. What is not answered (`None`) falls back to the text.
pub trait Foreign: Any + fmt::Debug {
    /// Its .NET type, as `Microsoft.Exchange.Data.IPRange`.
    fn type_name(&self) -> &str;
    /// How it prints, and what it is compared by with text.
    fn text(&self) -> String;
    /// Names of its properties, in the order in which they print.
    fn properties(&self) -> &[&'static str] {
        &[]
    }
    /// A property; names come in any case.
    fn property(&self, _name: &str) -> Option<Value> {
        None
    }
    /// A method; names come in any case.
    fn call(&self, _name: &str, _arguments: &[Value]) -> Option<Result<Value, Fault>> {
        None
    }
    /// How it stands to another value.
    fn compare(&self, _other: &Value) -> Option<Ordering> {
        None
    }
    /// Whether it is the same as another value.
    fn equals(&self, other: &Value) -> Option<bool> {
        self.compare(other).map(Ordering::is_eq)
    }
    /// What pipelines and loops take one by one, where it is several values.
    fn elements(&self) -> Option<Vec<Value>> {
        None
    }
    /// What `[key]` yields.
    fn at(&self, _key: &Value) -> Option<Value> {
        None
    }
    /// What it is as a number, for arithmetic and sums.
    fn number(&self) -> Option<f64> {
        None
    }
}

/// How values of a type print when nobody says how.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    /// The type's name, as `Microsoft.Exchange.Data.Directory.SystemConfiguration.ReceiveConnector`.
    pub type_name: &'static str,
    /// Columns of the default table; empty: a list of all properties.
    pub table: &'static [&'static str],
    /// The property that stands for the object as text and as an `-Identity`; empty: none.
    pub identity: &'static str,
}

/// The view of `[pscustomobject]` and of what Select-Object makes.
pub static CUSTOM: View = View { type_name: "System.Management.Automation.PSCustomObject", table: &[], identity: "" };

/// One object.
#[derive(Debug)]
pub struct Object {
    /// Its type and how it prints.
    pub view: &'static View,
    /// Its properties in order; names compare without case. Those of a command's objects are known when the program is
    /// built: ten thousand objects share them.
    pub properties: RefCell<Vec<(Cow<'static, str>, Value)>>,
}

impl Object {
    /// An object of these properties.
    pub fn new(view: &'static View, properties: Vec<(Cow<'static, str>, Value)>) -> Object {
        Object { view, properties: RefCell::new(properties) }
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<Value> {
        let properties = self.properties.borrow();
        properties.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }

    /// Changes a property, or adds one at the end.
    pub fn set(&self, name: &str, value: Value) {
        let mut properties = self.properties.borrow_mut();
        match properties.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value,
            None => properties.push((Cow::Owned(name.to_owned()), value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_find_keys_without_case_and_keep_their_order() {
        let mut table = Table::new([(Value::text("B"), Value::Int(1)), (Value::text("a"), Value::Int(2))]);
        table.set(Value::text("b"), Value::Int(3));
        table.set(Value::Int(1), Value::text("one"));
        assert!(matches!(table.get_text("B"), Some(Value::Int(3))));
        assert!(table.get_text("1").is_none() && table.has(&Value::Int(1)));
        assert!(matches!(table.remove(&Value::text("A")), Some(Value::Int(2))));
        assert!(table.remove(&Value::text("A")).is_none());
        assert!(table.has(&Value::Int(1)) && table.len() == 2);
    }

    #[test]
    fn lists_within_lists_go_without_deep_recursion() {
        let mut value = Value::Null;
        for _ in 0..200_000 {
            value = Value::array(vec![value]);
        }
        drop(value);
    }
}
