//! Members of tables.

use std::cell::RefCell;
use std::rc::Rc;

use crate::context::Context;
use crate::convert;
use crate::fault::{Category, Fault};
use crate::value::{Object, Table, Value, View};

use super::arguments::{Arguments, out_of_range};

/// Their methods.
pub(super) const METHODS: &[&str] = &[
    "Add",
    "Remove",
    "ContainsKey",
    "Contains",
    "ContainsValue",
    "Clear",
    "GetEnumerator",
    "Item",
    "TryGetValue",
    "Clone",
    "RemoveAt",
];

/// How `GetEnumerator()` shows an entry.
pub static ENTRY: View =
    View { type_name: "System.Collections.DictionaryEntry", table: &["Name", "Value"], identity: "" };

/// A property: the value of the key of that name, or what all tables have.
pub(super) fn property(table: &RefCell<Table>, name: &str) -> Option<Value> {
    let table = table.borrow();
    if let Some(value) = table.get_text(name) {
        return Some(value);
    }
    let entries = table.entries();
    Some(match name.to_ascii_lowercase().as_str() {
        "count" => Value::Int(entries.len() as i64),
        "keys" => Value::array(entries.iter().map(|(key, _)| key.clone()).collect()),
        "values" => Value::array(entries.iter().map(|(_, value)| value.clone()).collect()),
        "isreadonly" | "isfixedsize" => Value::Bool(false),
        // A table is one value, but has no length.
        "length" => Value::Int(1),
        _ => return None,
    })
}

/// The entries of a table as objects with a key and a value, as pipelines take them from `GetEnumerator()`.
pub fn entries(table: &Table) -> Vec<Value> {
    table
        .entries()
        .iter()
        .map(|(key, value)| {
            let properties =
                vec![("Name".into(), key.clone()), ("Key".into(), key.clone()), ("Value".into(), value.clone())];
            Value::Object(Rc::new(Object::new(&ENTRY, properties)))
        })
        .collect()
}

/// Calls a method.
pub(super) fn call(
    context: &mut dyn Context,
    table: &Rc<RefCell<Table>>,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    Some(match lower {
        "add" => arguments.need(2).and_then(|values| {
            if table.borrow().has(&values[0]) {
                return Err(present(&values[0]));
            }
            context.charge(2 * size_of::<Value>())?;
            table.borrow_mut().set(values[0].clone(), values[1].clone());
            Ok(None)
        }),
        "set_item" => arguments.need(2).map(|values| {
            table.borrow_mut().set(values[0].clone(), values[1].clone());
            None
        }),
        "insert" if table.borrow().is_ordered => arguments.need(3).and_then(|values| {
            let at = arguments.size(0)?;
            let mut entries = table.borrow().entries().to_vec();
            if table.borrow().has(&values[1]) {
                return Err(present(&values[1]));
            }
            if at > entries.len() {
                return Err(out_of_range("index"));
            }
            context.charge(2 * size_of::<Value>())?;
            entries.insert(at, (values[1].clone(), values[2].clone()));
            let mut table = table.borrow_mut();
            table.clear();
            entries.into_iter().for_each(|(key, value)| table.set(key, value));
            Ok(None)
        }),
        "tryadd" => arguments.need(2).map(|values| {
            let is_new = !table.borrow().has(&values[0]);
            if is_new {
                table.borrow_mut().set(values[0].clone(), values[1].clone());
            }
            Some(Value::Bool(is_new))
        }),
        "remove" => arguments.need(1).map(|values| {
            table.borrow_mut().remove(&values[0]);
            None
        }),
        "removeat" => arguments.size(0).and_then(|at| {
            let key = table.borrow().entries().get(at).map(|(key, _)| key.clone());
            let key = key.ok_or_else(|| out_of_range("index"))?;
            table.borrow_mut().remove(&key);
            Ok(None)
        }),
        "containskey" | "contains" => arguments.need(1).map(|values| Some(Value::Bool(table.borrow().has(&values[0])))),
        "containsvalue" => arguments.need(1).map(|values| {
            Some(Value::Bool(
                table.borrow().entries().iter().any(|(_, value)| convert::equals(value, &values[0], true)),
            ))
        }),
        "clear" => {
            table.borrow_mut().clear();
            Ok(None)
        }
        "getenumerator" => {
            let entries = entries(&table.borrow());
            context.charge(entries.len() * size_of::<Object>()).map(|()| Some(Value::array(entries)))
        }
        "item" | "get_item" => arguments.need(1).map(|values| Some(table.borrow().get(&values[0]).unwrap_or_default())),
        "trygetvalue" => arguments.need(1).map(|values| {
            let found = table.borrow().get(&values[0]);
            if let (Some(found), Some(reference)) =
                (&found, values.get(1).and_then(Value::downcast::<super::tool::Reference>))
            {
                reference.set(found.clone());
            }
            Some(Value::Bool(found.is_some()))
        }),
        "clone" => {
            let copy = Table::new(table.borrow().entries().iter().cloned());
            Ok(Some(Value::Table(Rc::new(RefCell::new(copy)))))
        }
        _ => return None,
    })
}

fn present(key: &Value) -> Fault {
    Fault::new(
        Category::InvalidArgument,
        format!("Item has already been added. Key in dictionary: '{0}'  Key being added: '{0}'", convert::text(key)),
    )
}
