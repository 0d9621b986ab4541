//! What values can do: the properties and methods of .NET that scripts use, `[Type]::Member`, and casts.
//!
//! Takes a value and a member's name, in any case; hands on what it yields. One table of types (`kind`), one module for the
//! members of each sort of value. What is not known is an error that names it, with the nearest name that is.

mod statics;
pub mod kind;
mod object;
mod table;
mod list;
mod letters;
mod moment;
mod xml;
pub mod archive;
pub mod mail;
mod stream;
mod tool;
mod console;
mod culture;
mod regex;
pub mod fault;
pub mod version;
pub mod address;
mod arguments;

use std::rc::Rc;

use crate::context::{BlockScope, Context};
use crate::convert;
use crate::fault::{Category, Fault, Held, Severity};
use crate::source::Source;
use crate::syntax::ScriptBlock;
use crate::value::{Object, Value};

pub use console::{Console, read, read_secret};
pub use kind::{cast, credential, is_of_type, make};
pub use object::{ScriptMethod, ScriptProperty, is_method};
pub(crate) use regex::found;
pub use statics::conversion::{escaped, unbase64};
pub use statics::{call_static, ends_process, set_static, static_property};
pub use table::entries;
pub use tool::{Guid, Reference, Secret, random_between};
pub use xml::parse as parse_xml;

use arguments::Arguments;

/// The value of a property; `None`: there is none of that name (the original yields `$null`).
///
/// # Errors
/// When the property is computed and that fails.
pub fn property(context: &mut dyn Context, value: &Value, name: &str) -> Result<Option<Value>, Fault> {
    let lower = name.to_ascii_lowercase();
    let own = match value {
        Value::Null => return Ok(None),
        Value::Table(known) => table::property(known, name),
        Value::Object(known) => return object_property(context, value, known, name),
        Value::List(known) => list::property(known, &lower),
        Value::Text(text) => letters::property(text, &lower),
        Value::Time(time) => moment::property(time, &lower),
        Value::Span(span) => moment::span_property(*span, &lower),
        Value::Fault(known) => fault::property(known, &lower),
        Value::Type(known) => kind::property(known, &lower),
        Value::Foreign(foreign) => match of_the_world(context, value, &lower) {
            Some(found) => Some(found?),
            None => match foreign.property(name) {
                Some(found) => Some(found),
                None => match foreign.elements() {
                    Some(elements) => return of_each(context, &elements, name),
                    None => None,
                },
            },
        },
        // `[switch]` parameters are truth values here, too.
        Value::Bool(_) if lower == "ispresent" => Some(value.clone()),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Char(_) | Value::Block(_) => None,
    };
    Ok(own.or_else(|| of_all(value, &lower)))
}

/// A property that depends on what lies outside.
fn of_the_world(context: &mut dyn Context, value: &Value, lower: &str) -> Option<Result<Value, Fault>> {
    tool::property(context, value, lower).or_else(|| stream::property(context, value, lower))
}

/// The property of each element that has it; `None` where none has.
fn of_each(context: &mut dyn Context, elements: &[Value], name: &str) -> Result<Option<Value>, Fault> {
    let mut found = Vec::new();
    for one in elements {
        found.extend(property(context, one, name)?);
    }
    Ok((!found.is_empty()).then(|| convert::gathered(found)))
}

fn object_property(
    context: &mut dyn Context,
    value: &Value,
    known: &Rc<Object>,
    name: &str,
) -> Result<Option<Value>, Fault> {
    match known.get(name) {
        Some(found) => match found.downcast::<object::ScriptProperty>() {
            Some(computed) => {
                let block = computed.get.clone();
                let yields = with_this(context, value, &block, &[])?;
                Ok(Some(convert::gathered(yields)))
            }
            None => Ok(Some(found)),
        },
        None => Ok(of_all(value, &name.to_ascii_lowercase())),
    }
}

/// Runs the block of a member that a script added, with the object as `$this`.
fn with_this(
    context: &mut dyn Context,
    this: &Value,
    block: &Rc<ScriptBlock>,
    arguments: &[Value],
) -> Result<Vec<Value>, Fault> {
    use crate::context::VariableScope;
    let before = context.variable(VariableScope::Nearest, "this");
    context.set_variable(VariableScope::Nearest, "this", this.clone())?;
    let yields = context.call_block(block, BlockScope::Own, None, arguments);
    context.set_variable(VariableScope::Nearest, "this", before.unwrap_or_default())?;
    yields
}

/// The properties that every value has.
fn of_all(value: &Value, lower: &str) -> Option<Value> {
    match lower {
        "count" | "length" if !matches!(value, Value::Object(object) if object.get(lower).is_some()) => {
            Some(Value::Int(1))
        }
        "psobject" => Some(object::psobject(value)),
        "pstypenames" => Some(Value::array(vec![Value::text(convert::type_name(value))])),
        _ => None,
    }
}

/// Changes a property.
///
/// # Errors
/// When the value has no such property, or it cannot be changed.
pub fn set_property(context: &mut dyn Context, value: &Value, name: &str, new: Value) -> Result<(), Fault> {
    let refused = |message: String| Err(Fault::new(Category::InvalidOperation, message));
    match value {
        Value::Null => refused(format!(
            "The property '{name}' cannot be found on this object. The object is $null; it has no properties."
        )),
        Value::Table(table) => {
            table.borrow_mut().set(Value::text(name), new);
            Ok(())
        }
        Value::Object(object) => match object.get(name) {
            Some(old) => match old.downcast::<object::ScriptProperty>() {
                Some(computed) => match computed.set.clone() {
                    Some(block) => with_this(context, value, &block, &[new]).map(|_| ()),
                    None => refused(format!("'{name}' is a ReadOnly property.")),
                },
                None => {
                    object::before_change(context, object, name, &new)?;
                    object.set(name, new);
                    Ok(())
                }
            },
            None => {
                let properties = object.properties.borrow();
                let near = convert::nearest(name, properties.iter().map(|(name, _)| name.as_ref()));
                let near = near
                    .map(|near| format!(" Did you mean '{near}'? Otherwise add it"))
                    .unwrap_or_else(|| " Add it".to_owned());
                refused(format!(
                    "The property '{name}' cannot be found on this object. Verify that the property exists and can be set.{near} \
                     with Add-Member -NotePropertyName {name} -NotePropertyValue ..."
                ))
            }
        },
        other if tool::set_property(other, &name.to_ascii_lowercase(), &new) => Ok(()),
        other if stream::set_property(other, &name.to_ascii_lowercase(), &new) => Ok(()),
        other => xml::set_property(other, name, &new).unwrap_or_else(|| {
            refused(format!("The property '{name}' cannot be set on a value of type [{}].", convert::type_name(other)))
        }),
    }
}

/// Calls a method; `None`: it yields nothing. A method that a list does not have is called on each of its elements.
///
/// # Errors
/// When there is no such method, or it fails.
pub fn call(context: &mut dyn Context, value: &Value, name: &str, arguments: &[Value]) -> Result<Option<Value>, Fault> {
    let lower = name.to_ascii_lowercase();
    let arguments = Arguments { method: name, values: arguments };
    if let Value::Null = value {
        let mut fault = Fault::new(Category::InvalidOperation, "You cannot call a method on a null-valued expression.");
        fault.target = Some(name.to_owned());
        return Err(fault);
    }
    let own = match value {
        Value::Text(text) => letters::call(context, text, &lower, &arguments),
        Value::List(list) => list::call(context, list, &lower, &arguments),
        Value::Table(known) => table::call(context, known, &lower, &arguments),
        Value::Object(known) => match mail::call(context, known, &lower, &arguments) {
            Some(done) => Some(done),
            None => object::call(context, value, known, &lower, &arguments),
        },
        Value::Time(time) => moment::call(time, &lower, &arguments),
        Value::Span(span) => moment::span_call(*span, &lower, &arguments),
        Value::Block(block) => object::block_call(context, block, &lower, &arguments),
        Value::Type(known) => kind::call(known, &lower, &arguments),
        Value::Foreign(foreign) => match tool::call(context, value, &lower, &arguments) {
            Some(done) => Some(done),
            None => match stream::call(context, value, &lower, &arguments)
                .or_else(|| xml::call(context, value, &lower, &arguments))
            {
                Some(done) => Some(done),
                None => foreign.call(name, arguments.values).map(|done| done.map(Some)),
            },
        },
        Value::Bool(is) if lower == "tobool" => Some(Ok(Some(Value::Bool(*is)))),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Char(_) | Value::Fault(_) | Value::Null => None,
    };
    if let Some(done) = own {
        return done.map_err(|fault| wrapped(fault, &arguments));
    }
    if let Some(done) = call_of_all(context, value, &lower, &arguments) {
        return done.map_err(|fault| wrapped(fault, &arguments));
    }
    if let Value::List(list) = value {
        let values = list.values.borrow().clone();
        let mut yields = Vec::new();
        for one in &values {
            context.check()?;
            yields.extend(call(context, one, name, arguments.values)?);
        }
        if !values.is_empty() {
            return Ok(Some(convert::gathered(yields)));
        }
    }
    let type_name = convert::type_name(value);
    let near = convert::nearest(name, method_names(value).iter().copied());
    let near = near.map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
    let mut fault = Fault::new(
        Category::InvalidOperation,
        format!("Method invocation failed because [{type_name}] does not contain a method named '{name}'.{near}"),
    );
    fault.target = Some(name.to_owned());
    Err(fault)
}

/// The original tells of what fails within a method with the method's name.
fn wrapped(fault: Fault, arguments: &Arguments<'_>) -> Fault {
    if fault.severity == Severity::Final
        || fault.category != Category::InvalidArgument
        || fault.message.starts_with("Exception calling")
    {
        return fault;
    }
    let message = format!(
        "Exception calling \"{}\" with \"{}\" argument(s): \"{}\"",
        arguments.method,
        arguments.values.len(),
        fault.message
    );
    // Scripts catch what was raised within by its own type, and read of it as InnerException.
    let within = Held::new(Rc::new(fault.clone()));
    let mut outer = Fault { message, exception: fault::METHOD_INVOCATION, ..fault };
    outer.made.get_or_insert_default().inner = Some(within);
    outer
}

/// The methods that every value has.
fn call_of_all(
    context: &mut dyn Context,
    value: &Value,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    Some(match lower {
        "tostring" => match arguments.values.first() {
            Some(form) if !matches!(form, Value::Foreign(_)) => {
                convert::composite::value_text(value, &convert::text(form)).map(|text| Some(Value::text(text)))
            }
            _ => Ok(Some(Value::text(convert::text(value)))),
        },
        "gettype" => Ok(Some(kind::type_of(value))),
        "equals" => arguments.need(1).map(|values| {
            let is_same_type = convert::type_name(value) == convert::type_name(&values[0]);
            Some(Value::Bool(is_same_type && convert::equals(value, &values[0], true)))
        }),
        "compareto" => arguments
            .need(1)
            .and_then(|values| convert::compare(value, &values[0], true).map(|order| Some(Value::Int(order as i64)))),
        "gethashcode" => {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hasher = DefaultHasher::new();
            convert::text(value).hash(&mut hasher);
            Ok(Some(Value::Int(i64::from(hasher.finish() as i32))))
        }
        "where" | "foreach" if !matches!(value, Value::List(_)) => {
            return list::call(context, &list::of(vec![value.clone()]), lower, arguments);
        }
        "dispose" | "close" | "flush" => Ok(None),
        _ => return None,
    })
}

/// A script block of a text.
///
/// # Errors
/// When it cannot be parsed.
fn block_of(text: String) -> Result<Rc<ScriptBlock>, Fault> {
    let source = Source::new("script block", text);
    match crate::parse::parse(&source) {
        Ok(block) => Ok(Rc::new(block)),
        Err(errors) => Err(errors.first().map_or_else(
            || Fault::new(Category::Parser, "The text cannot be parsed."),
            // It is text that a running script made: the statement fails, not the script.
            |error| error.to_fault(&source).with_severity(Severity::Terminating),
        )),
    }
}

/// The names of a value's methods, as Get-Member and errors show them.
pub fn method_names(value: &Value) -> &'static [&'static str] {
    match value {
        Value::Text(_) => letters::METHODS,
        Value::List(_) => list::METHODS,
        Value::Table(_) => table::METHODS,
        Value::Time(_) => moment::METHODS,
        Value::Span(_) => moment::SPAN_METHODS,
        Value::Block(_) => &["Invoke", "InvokeReturnAsIs", "GetNewClosure", "ToString"],
        _ => &["ToString", "GetType", "Equals"],
    }
}

/// The names of a value's properties, in order.
pub fn property_names(value: &Value) -> Vec<String> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    match value {
        Value::Object(object) => object.properties.borrow().iter().map(|(name, _)| name.to_string()).collect(),
        Value::Foreign(foreign) => owned(foreign.properties()),
        Value::Text(_) => owned(&["Length"]),
        Value::Time(_) => owned(moment::PROPERTIES),
        Value::Span(_) => owned(moment::SPAN_PROPERTIES),
        Value::Fault(_) => owned(fault::PROPERTIES),
        Value::Type(_) => owned(&["Name", "FullName", "Namespace"]),
        Value::List(_) => owned(&["Count", "Length"]),
        Value::Table(_) => owned(&["Keys", "Values", "Count"]),
        _ => Vec::new(),
    }
}
