//! Members of objects with properties, and of script blocks.

use std::rc::Rc;

use crate::context::{BlockScope, Context};
use crate::convert;
use crate::fault::Fault;
use crate::syntax::{ScriptBlock, TypeName};
use crate::value::{CUSTOM, Foreign, Object, Value, View};

use super::arguments::Arguments;

static PROPERTY: View = View { type_name: "System.Management.Automation.PSNoteProperty", table: &[], identity: "" };
static PSOBJECT: View = View { type_name: "System.Management.Automation.PSObject", table: &[], identity: "" };

/// A property that a script computes: `Add-Member -MemberType ScriptProperty`.
#[derive(Debug)]
pub struct ScriptProperty {
    /// What yields its value; the object is `$this`.
    pub get: Rc<ScriptBlock>,
    /// What takes a new value, as `$args[0]`.
    pub set: Option<Rc<ScriptBlock>>,
}

impl Foreign for ScriptProperty {
    fn type_name(&self) -> &str {
        "System.Management.Automation.PSScriptProperty"
    }

    fn text(&self) -> String {
        self.get.source.slice(self.get.span).to_owned()
    }
}

/// A method that a script adds: `Add-Member -MemberType ScriptMethod`.
#[derive(Debug)]
pub struct ScriptMethod(pub Rc<ScriptBlock>);

impl Foreign for ScriptMethod {
    fn type_name(&self) -> &str {
        "System.Management.Automation.PSScriptMethod"
    }

    fn text(&self) -> String {
        self.0.source.slice(self.0.span).to_owned()
    }
}

/// Whether the value of a property is a method, which columns and files leave out.
pub fn is_method(value: &Value) -> bool {
    value.downcast::<ScriptMethod>().is_some()
}

/// What changing a property does outside: the time of a file is that of the file.
///
/// # Errors
/// When it cannot be done; the property keeps its value then.
pub(super) fn before_change(context: &mut dyn Context, object: &Object, name: &str, new: &Value) -> Result<(), Fault> {
    if object.view.type_name != "System.IO.FileInfo" || !name.eq_ignore_ascii_case("LastWriteTime") {
        return Ok(());
    }
    let of = TypeName { name: "datetime".to_owned(), arguments: Vec::new(), array_depth: 0 };
    let (Value::Time(time), Some(full)) = (super::cast(context, &of, new)?, object.get("FullName")) else {
        return Ok(());
    };
    let path = convert::text(&full);
    context.world().set_modified(&path, time.timestamp()).map_err(|error| crate::path::failed(&path, &error))
}

/// `.PSObject` of a value: its properties as a list of names and values.
pub(super) fn psobject(value: &Value) -> Value {
    let pairs: Vec<(String, Value)> = match value {
        Value::Object(object) => object
            .properties
            .borrow()
            .iter()
            .filter(|(_, value)| !is_method(value))
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect(),
        Value::Table(table) => {
            table.borrow().entries().iter().map(|(key, value)| (convert::text(key), value.clone())).collect()
        }
        Value::Foreign(foreign) => foreign
            .properties()
            .iter()
            .map(|name| ((*name).to_owned(), foreign.property(name).unwrap_or_default()))
            .collect(),
        _ => Vec::new(),
    };
    let properties = pairs
        .into_iter()
        .map(|(name, value)| {
            let kind = if matches!(value, Value::Foreign(_)) { "Property" } else { "NoteProperty" };
            Value::Object(Rc::new(Object::new(
                &PROPERTY,
                vec![
                    ("MemberType".into(), Value::text(kind)),
                    ("IsSettable".into(), Value::Bool(true)),
                    ("IsGettable".into(), Value::Bool(true)),
                    ("Value".into(), value.clone()),
                    ("TypeNameOfValue".into(), Value::text(convert::type_name(&value))),
                    ("Name".into(), Value::text(name)),
                    ("IsInstance".into(), Value::Bool(true)),
                ],
            )))
        })
        .collect();
    Value::Object(Rc::new(Object::new(
        &PSOBJECT,
        vec![
            ("Properties".into(), Value::foreign(Properties { of: value.clone(), list: properties })),
            ("TypeNames".into(), Value::array(vec![Value::text(convert::type_name(value))])),
            ("BaseObject".into(), value.clone()),
            ("ImmediateBaseObject".into(), value.clone()),
        ],
    )))
}

/// The properties of an object as a collection: its elements have Name and Value.
#[derive(Debug)]
struct Properties {
    of: Value,
    list: Vec<Value>,
}

impl Properties {
    fn named(&self, holds: impl Fn(&str) -> bool) -> Vec<Value> {
        let name = |one: &Value| match one {
            Value::Object(object) => object.get("Name").map(|name| convert::text(&name)),
            _ => None,
        };
        self.list.iter().filter(|one| name(one).is_some_and(|name| holds(&name))).cloned().collect()
    }
}

impl Foreign for Properties {
    fn type_name(&self) -> &str {
        "System.Management.Automation.PSMemberInfoCollection"
    }

    fn text(&self) -> String {
        convert::text(&Value::array(self.list.clone()))
    }

    fn property(&self, name: &str) -> Option<Value> {
        let is_count = name.eq_ignore_ascii_case("Count") || name.eq_ignore_ascii_case("Length");
        is_count.then(|| Value::Int(self.list.len() as i64))
    }

    fn elements(&self) -> Option<Vec<Value>> {
        Some(self.list.clone())
    }

    fn at(&self, key: &Value) -> Option<Value> {
        match key {
            Value::Int(at) => self.list.get(usize::try_from(*at).ok()?).cloned(),
            name => {
                let name = convert::text(name);
                // Scripts ask so whether there is one.
                Some(self.named(|known| known.eq_ignore_ascii_case(&name)).into_iter().next().unwrap_or_default())
            }
        }
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        let yields = match (name.to_ascii_lowercase().as_str(), arguments, &self.of) {
            ("match", [pattern], _) => {
                let pattern = convert::text(pattern);
                Value::array(self.named(|known| convert::wildcard::matches(&pattern, known, false)))
            }
            ("item", [key], _) => self.at(key).unwrap_or_default(),
            ("remove", [name], Value::Object(object)) => {
                let name = convert::text(name);
                object.properties.borrow_mut().retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
                Value::Null
            }
            ("add", [Value::Object(property), ..], Value::Object(object)) => {
                let name = convert::text(&property.get("Name").unwrap_or_default());
                object.set(&name, property.get("Value").unwrap_or_default());
                Value::Null
            }
            _ => return None,
        };
        Some(Ok(yields))
    }
}

/// Calls a method of an object: one that a script added, or one of all objects.
pub(super) fn call(
    context: &mut dyn Context,
    value: &Value,
    object: &Rc<Object>,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    if let Some(found) = object.get(lower)
        && let Some(method) = found.downcast::<ScriptMethod>()
    {
        let yields = super::with_this(context, value, &method.0, arguments.values);
        return Some(yields.map(|yields| (!yields.is_empty()).then(|| convert::gathered(yields))));
    }
    Some(match lower {
        "copy" if std::ptr::eq(object.view, &PSOBJECT) => Ok(Some(match object.get("BaseObject") {
            Some(Value::Object(of)) => Value::Object(Rc::new(Object::new(of.view, of.properties.borrow().clone()))),
            other => other.unwrap_or_default(),
        })),
        "psobject.copy" | "copy" | "clone" => {
            let copy = Object::new(object.view, object.properties.borrow().clone());
            Ok(Some(Value::Object(Rc::new(copy))))
        }
        // Commits of directory objects are commands here.
        "isinrole" if object.view.type_name.ends_with("WindowsPrincipal") => Ok(Some(Value::Bool(true))),
        "getnetworkcredential" => Ok(Some(network_credential(object))),
        "nextmatch" => Ok(Some(Value::Null)),
        _ => return None,
    })
}

fn network_credential(object: &Object) -> Value {
    let name = convert::text(&object.get("UserName").unwrap_or_default());
    let (domain, user) = name.split_once('\\').unwrap_or(("", &name));
    let password = object.get("Password").unwrap_or_default();
    let plain = password.downcast::<super::tool::Secret>().map(|secret| secret.0.clone());
    let properties = vec![
        ("UserName".into(), Value::text(user)),
        ("Password".into(), plain.map(Value::text).unwrap_or_default()),
        ("Domain".into(), Value::text(domain)),
    ];
    Value::Object(Rc::new(Object::new(&CUSTOM, properties)))
}

/// Calls a method of a script block.
pub(super) fn block_call(
    context: &mut dyn Context,
    block: &Rc<ScriptBlock>,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    Some(match lower {
        "invoke" | "invokereturnasis" => context
            .call_block(block, BlockScope::Own, None, arguments.values)
            .map(|yields| (!yields.is_empty()).then(|| convert::gathered(yields))),
        "getnewclosure" => Ok(Some(Value::Block(block.clone()))),
        _ => return None,
    })
}
