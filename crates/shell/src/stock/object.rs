//! New-Object, Add-Member, Get-Member, Tee-Object.

use std::rc::Rc;

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand, VariableScope};
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault};
use crate::member;
use crate::syntax::TypeName;
use crate::value::{Object, Value, View};

use super::file;
use super::parameter::{ANY, SIGNATURE, TEXTS, also, at, input, named, switch};

/// New-Object.
pub(super) const NEW_OBJECT: StockCommand = StockCommand {
    signature: &Signature {
        name: "New-Object",
        synopsis: "Makes a value of a type.",
        parameters: &[
            at(0, "TypeName", Kind::Text, "The type, as PSObject or System.Collections.ArrayList."),
            also(&["Args"], at(1, "ArgumentList", ANY, "What it is made of.")),
            named("Property", Kind::Table, "Its properties."),
            named("ComObject", Kind::Text, "Refused: there is no COM here."),
            switch("Strict", "Taken, and of no consequence."),
        ],
        examples: &[("New-Object PSObject -Property @{ Name = 'Relay'; Count = 2 }", "An object with two properties.")],
        ..SIGNATURE
    },
    make: || Box::new(NewObject),
};

struct NewObject;

impl Stage for NewObject {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        if let Some(class) = call.argument("ComObject") {
            return Err(Fault::new(
                Category::InvalidOperation,
                format!(
                    "New-Object -ComObject {} reaches programs of Windows: there are none here.",
                    convert::text(class)
                ),
            ));
        }
        let Some(name) = call.argument("TypeName").map(convert::text) else {
            return Err(Fault::new(Category::InvalidArgument, "New-Object wants a type, as PSObject."));
        };
        let type_name = parse_type(&name);
        let arguments = match call.argument("ArgumentList") {
            // One list as the only argument stands in a list of its own: `(,$values)`.
            Some(Value::List(list)) => list.values.borrow().clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        let value = member::make(context, &type_name, &arguments)?;
        if let Some(Value::Table(properties)) = call.argument("Property") {
            for (name, new) in properties.borrow().entries() {
                let name = convert::text(name);
                match &value {
                    Value::Object(object) => object.set(&name, new.clone()),
                    other => member::set_property(context, other, &name, new.clone())?,
                }
            }
        }
        // A list that was made is one value, also when it goes through a pipeline.
        context.value(value)
    }
}

/// A type's name as text: `List[string]`, `` List`1[System.String] ``, `string[]`.
pub(super) fn parse_type(text: &str) -> TypeName {
    let mut text = text.trim().trim_start_matches('[');
    let mut array_depth = 0;
    while let Some(rest) = text.strip_suffix("[]") {
        text = rest;
        array_depth += 1;
    }
    // What `[Type]` left of its closing bracket.
    if text.matches(']').count() > text.matches('[').count() {
        text = text.trim_end_matches(']');
    }
    match text.split_once('[') {
        Some((name, arguments)) => {
            let arguments = arguments.strip_suffix(']').unwrap_or(arguments);
            let mut depth = 0;
            let parts = arguments.split(|sign: char| {
                depth += i32::from(sign == '[') - i32::from(sign == ']');
                sign == ',' && depth == 0
            });
            /// Types within types that a name may have.
            const ARGUMENTS_MAX: usize = 8;
            let arguments = parts.take(ARGUMENTS_MAX).map(|part| TypeName {
                name: part.trim_matches(['[', ']', ' ']).to_owned(),
                arguments: Vec::new(),
                array_depth: 0,
            });
            let name = name.split('`').next().unwrap_or(name).to_owned();
            TypeName { name, arguments: arguments.collect(), array_depth }
        }
        None => TypeName { name: text.to_owned(), arguments: Vec::new(), array_depth },
    }
}

const MEMBER_TYPES: [&str; 8] = [
    "NoteProperty",
    "ScriptProperty",
    "ScriptMethod",
    "AliasProperty",
    "Property",
    "Method",
    "CodeProperty",
    "MemberSet",
];

/// Add-Member.
pub(super) const ADD_MEMBER: StockCommand = StockCommand {
    signature: &Signature {
        name: "Add-Member",
        synopsis: "Adds a property or a method to an object.",
        parameters: &[
            also(
                &["Type", "NotePropertyMembers"],
                at(
                    0,
                    "MemberType",
                    ANY,
                    "NoteProperty, ScriptProperty, ScriptMethod, AliasProperty; or a table of properties.",
                ),
            ),
            at(1, "Name", ANY, "Its name."),
            at(2, "Value", ANY, "Its value, or the block that yields it."),
            at(3, "SecondValue", ANY, "The block that takes a new value."),
            named("NotePropertyName", Kind::Text, "The name of a property."),
            named("NotePropertyValue", ANY, "Its value."),
            switch("PassThru", "Hands the object on."),
            switch("Force", "Replaces what there is."),
            named("TypeName", Kind::Text, "Taken, and of no consequence."),
            input(),
        ],
        examples: &[("$o | Add-Member -NotePropertyName Owner -NotePropertyValue 'Helpdesk'", "A property.")],
        ..SIGNATURE
    },
    make: || Box::new(AddMember),
};

struct AddMember;

impl Stage for AddMember {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(target) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        let kind = call.argument("MemberType");
        let mut added: Vec<(String, Value)> = Vec::new();
        if let Some(name) = call.argument("NotePropertyName") {
            added.push((convert::text(name), call.argument("NotePropertyValue").cloned().unwrap_or_default()));
        } else if let Some(Value::Table(table)) = kind {
            added.extend(table.borrow().entries().iter().map(|(name, value)| (convert::text(name), value.clone())));
        } else {
            let text = kind.map(convert::text).unwrap_or_default();
            let known = MEMBER_TYPES.iter().find(|known| known.eq_ignore_ascii_case(&text));
            let (name, value, second) = match (known, kind) {
                // The kind may be left out of the positions: a name and a value.
                (None, Some(_)) => (Some(&text).cloned(), call.argument("Name"), None),
                _ => (call.argument("Name").map(convert::text), call.argument("Value"), call.argument("SecondValue")),
            };
            let Some(name) = name else {
                return Err(Fault::new(Category::InvalidArgument, "Add-Member wants a name and a value."));
            };
            let value = value.cloned().unwrap_or_default();
            added.push((name, made(known.copied().unwrap_or("NoteProperty"), value, second, target)?));
        }
        for (name, value) in added {
            match target {
                Value::Object(object) => {
                    if object.get(&name).is_some() && !call.is_set("Force") {
                        let mut fault = Fault::new(
                            Category::InvalidOperation,
                            format!(
                                "Cannot add a member with the name \"{name}\" because a member with that name already exists. To overwrite the member anyway, add the Force parameter to your command."
                            ),
                        );
                        fault.severity = crate::fault::Severity::Continuing;
                        context.error(fault)?;
                        continue;
                    }
                    object.set(&name, value);
                }
                Value::Table(table) => table.borrow_mut().set(Value::text(&name), value),
                other => {
                    return Err(Fault::new(
                        Category::InvalidOperation,
                        format!(
                            "Add-Member cannot add '{name}' to a value of the type [{}]; make an object with [pscustomobject]@{{ ... }}.",
                            convert::type_name(other)
                        ),
                    ));
                }
            }
        }
        if call.is_set("PassThru") { context.value(target.clone()) } else { Ok(()) }
    }
}

fn made(kind: &str, value: Value, second: Option<&Value>, target: &Value) -> Result<Value, Fault> {
    let wants_block = || Fault::new(Category::InvalidArgument, format!("A {kind} wants a block, as {{ $this.Name }}."));
    match (kind, value) {
        ("ScriptProperty", Value::Block(get)) => {
            let set = match second {
                Some(Value::Block(set)) => Some(set.clone()),
                _ => None,
            };
            Ok(Value::foreign(member::ScriptProperty { get, set }))
        }
        ("ScriptMethod", Value::Block(block)) => Ok(Value::foreign(member::ScriptMethod(block))),
        ("ScriptProperty" | "ScriptMethod", _) => Err(wants_block()),
        ("AliasProperty", other) => Ok(match target {
            Value::Object(object) => object.get(&convert::text(&other)).unwrap_or_default(),
            _ => Value::Null,
        }),
        (_, value) => Ok(value),
    }
}

static MEMBER_VIEW: View = View {
    type_name: "Microsoft.PowerShell.Commands.MemberDefinition",
    table: &["Name", "MemberType", "Definition"],
    identity: "",
};

/// Get-Member.
pub(super) const GET_MEMBER: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Member",
        synopsis: "Tells which properties and methods objects have.",
        parameters: &[
            at(0, "Name", TEXTS, "Names and wildcards."),
            also(&["Type"], named("MemberType", TEXTS, "Property, NoteProperty, Method ...")),
            switch("Static", "Taken, and of no consequence."),
            switch("Force", "Taken, and of no consequence."),
            named("View", TEXTS, "Taken, and of no consequence."),
            input(),
        ],
        examples: &[("Get-ReceiveConnector | Get-Member", "What a connector has.")],
        ..SIGNATURE
    },
    make: || Box::new(GetMember::default()),
};

#[derive(Default)]
struct GetMember {
    seen: Vec<String>,
}

impl Stage for GetMember {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        let type_name = convert::type_name(input);
        let names = member::property_names(input);
        let shape = format!(
            "{type_name} {}",
            if type_name.ends_with("PSCustomObject") { names.join(",") } else { String::new() }
        );
        if self.seen.contains(&shape) {
            return Ok(());
        }
        self.seen.push(shape);
        let mut members: Vec<(String, &str, String)> = Vec::new();
        for name in member::method_names(input) {
            members.push(((*name).to_owned(), "Method", format!("{name}()")));
        }
        let property = if type_name.ends_with("PSCustomObject") { "NoteProperty" } else { "Property" };
        for name in names {
            let value = member::property(context, input, &name)?.unwrap_or_default();
            let (kind, definition) = if member::is_method(&value) {
                ("ScriptMethod", format!("{name}()"))
            } else {
                (property, format!("{} {name}={}", convert::type_name(&value), crate::format::cell::text(&value, 4)))
            };
            members.push((name, kind, definition));
        }
        members.sort_by_key(|(name, kind, _)| (!kind.contains("Method"), name.to_lowercase()));
        let wanted = |key: &str, value: &str| match call.argument(key) {
            Some(patterns) => convert::elements(patterns)
                .iter()
                .any(|pattern| wildcard::matches(&convert::text(pattern), value, false)),
            None => true,
        };
        for (name, kind, definition) in members {
            let is_kind = wanted("MemberType", kind)
                || call.argument("MemberType").is_some()
                    && kind.ends_with("Property")
                    && wanted("MemberType", "Properties");
            if !wanted("Name", &name) || !is_kind {
                continue;
            }
            let properties = vec![
                ("TypeName".into(), Value::text(&type_name)),
                ("Name".into(), Value::text(name)),
                ("MemberType".into(), Value::text(kind)),
                ("Definition".into(), Value::text(definition)),
            ];
            context.value(Value::Object(Rc::new(Object::new(&MEMBER_VIEW, properties))))?;
        }
        Ok(())
    }
}

/// Tee-Object.
pub(super) const TEE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Tee-Object",
        synopsis: "Hands objects on, and keeps them in a file or a variable as well.",
        parameters: &[
            also(&["LiteralPath", "Path"], at(0, "FilePath", Kind::Text, "The file.")),
            named("Variable", Kind::Text, "The variable, without $."),
            switch("Append", "Adds to the file's end."),
            named("Encoding", Kind::Text, "The file's encoding."),
            input(),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Tee::default()),
};

#[derive(Default)]
struct Tee {
    values: Vec<Value>,
}

impl Stage for Tee {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        context.charge(size_of::<Value>())?;
        self.values.push(input.clone());
        context.value(input.clone())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let values = std::mem::take(&mut self.values);
        if let Some(name) = call.argument("Variable") {
            return context.set_variable(VariableScope::Nearest, &convert::text(name), convert::gathered(values));
        }
        let Some(path) = call.argument("FilePath").map(convert::text) else { return Ok(()) };
        let text = crate::format::shown(context, &values, crate::format::WIDTH_DEFAULT)?;
        file::write(context, &path, &text, file::encoding(call)?, call.is_set("Append"))
    }
}
