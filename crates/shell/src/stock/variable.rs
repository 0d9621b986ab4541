//! Variables as commands.

use std::rc::Rc;

use crate::command::{Call, Kind, Parameter, Signature};
use crate::context::{Context, Stage, StockCommand, VariableScope};
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault, Severity};
use crate::value::{Object, Value, View};

use super::parameter::{ANY, SIGNATURE, TEXTS, at, named, needed, piped, switch};

static VARIABLE: View =
    View { type_name: "System.Management.Automation.PSVariable", table: &["Name", "Value"], identity: "" };

const SCOPE: Parameter = named("Scope", Kind::Text, "Local, Script or Global.");
const FORCE: Parameter = switch("Force", "Taken, and of no consequence.");
const OPTION: Parameter = named("Option", Kind::Text, "Taken, and of no consequence.");

fn scope(call: &Call<'_>) -> VariableScope {
    match call.argument("Scope").map(convert::text).unwrap_or_default().to_ascii_lowercase().as_str() {
        "script" => VariableScope::Script,
        "global" => VariableScope::Global,
        _ => VariableScope::Nearest,
    }
}

fn names(call: &Call<'_>) -> Vec<String> {
    convert::elements(call.argument("Name").unwrap_or(&Value::Null)).iter().map(convert::text).collect()
}

fn object(name: &str, value: Value) -> Value {
    Value::Object(Rc::new(Object::new(&VARIABLE, vec![("Name".into(), Value::text(name)), ("Value".into(), value)])))
}

fn missing(name: &str) -> Fault {
    let mut fault = Fault::new(Category::ObjectNotFound, format!("Cannot find a variable with the name '{name}'."))
        .with_severity(Severity::Continuing);
    fault.exception = "System.Management.Automation.ItemNotFoundException";
    fault.target = Some(name.to_owned());
    fault
}

/// Get-Variable.
pub(super) const GET: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Variable",
        synopsis: "Tells of variables.",
        parameters: &[
            at(0, "Name", TEXTS, "Names and wildcards; all without."),
            switch("ValueOnly", "The values alone."),
            SCOPE,
        ],
        ..SIGNATURE
    },
    make: || Box::new(Get),
};

struct Get;

impl Stage for Get {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let wanted = names(call);
        let mut found = Vec::new();
        for name in &wanted {
            if wildcard::is_pattern(name) {
                found
                    .extend(context.variables().into_iter().filter(|(known, _)| wildcard::matches(name, known, false)));
            } else {
                match context.variable(scope(call), name) {
                    Some(value) => found.push((name.clone(), value)),
                    None => context.error(missing(name))?,
                }
            }
        }
        if wanted.is_empty() {
            found = context.variables();
        }
        for (name, value) in found {
            context.value(if call.is_set("ValueOnly") { value } else { object(&name, value) })?;
        }
        Ok(())
    }
}

/// Set-Variable.
pub(super) const SET: StockCommand = StockCommand {
    signature: &Signature {
        name: "Set-Variable",
        synopsis: "Sets a variable.",
        parameters: &[
            needed(at(0, "Name", TEXTS, "Its name, without $.")),
            piped(at(1, "Value", ANY, "Its value.")),
            SCOPE,
            OPTION,
            named("Description", Kind::Text, "Taken, and of no consequence."),
            named("Visibility", Kind::Text, "Taken, and of no consequence."),
            FORCE,
            switch("PassThru", "Hands the variable on."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Set::default()),
};

#[derive(Default)]
struct Set {
    values: Vec<Value>,
    is_piped: bool,
}

impl Stage for Set {
    fn process(&mut self, _context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        self.is_piped = input.is_some();
        self.values.extend(call.argument("Value").cloned());
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let value = match self.values.as_slice() {
            [only] if !self.is_piped => only.clone(),
            _ => convert::gathered(std::mem::take(&mut self.values)),
        };
        for name in names(call) {
            context.set_variable(scope(call), &name, value.clone())?;
            if call.is_set("PassThru") {
                context.value(object(&name, value.clone()))?;
            }
        }
        Ok(())
    }
}

/// New-Variable.
pub(super) const NEW: StockCommand = StockCommand {
    signature: &Signature {
        name: "New-Variable",
        synopsis: "Makes a variable that is not there yet.",
        parameters: &[
            needed(at(0, "Name", Kind::Text, "Its name, without $.")),
            at(1, "Value", ANY, "Its value."),
            SCOPE,
            OPTION,
            FORCE,
            switch("PassThru", "Hands the variable on."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(New),
};

struct New;

impl Stage for New {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for name in names(call) {
            if context.variable(scope(call), &name).is_some() && !call.is_set("Force") {
                let mut fault =
                    Fault::new(Category::ResourceExists, format!("A variable with name '{name}' already exists."));
                fault.target = Some(name);
                return Err(fault.with_severity(Severity::Continuing));
            }
            let value = call.argument("Value").cloned().unwrap_or_default();
            context.set_variable(scope(call), &name, value.clone())?;
            if call.is_set("PassThru") {
                context.value(object(&name, value))?;
            }
        }
        Ok(())
    }
}

/// Remove-Variable.
pub(super) const REMOVE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Remove-Variable",
        synopsis: "Removes variables.",
        parameters: &[needed(piped(at(0, "Name", TEXTS, "Names and wildcards."))), SCOPE, FORCE],
        ..SIGNATURE
    },
    make: || Box::new(Remove),
};

struct Remove;

/// What the original lets nobody remove: scripts begin and end with `Remove-Variable *`.
const CONSTANTS: [&str; 12] = [
    "Error",
    "ExecutionContext",
    "false",
    "HOME",
    "Host",
    "PID",
    "PSHOME",
    "PSVersionTable",
    "ShellId",
    "true",
    "args",
    "PSDefaultParameterValues",
];

impl Stage for Remove {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for name in names(call) {
            if wildcard::is_pattern(&name) {
                for (known, _) in context.variables() {
                    let is_constant = CONSTANTS.iter().any(|constant| constant.eq_ignore_ascii_case(&known));
                    if wildcard::matches(&name, &known, false) && !is_constant {
                        context.remove_variable(&known);
                    }
                }
            } else if !context.remove_variable(&name) {
                context.error(missing(&name))?;
            }
        }
        Ok(())
    }
}

/// Clear-Variable.
pub(super) const CLEAR: StockCommand = StockCommand {
    signature: &Signature {
        name: "Clear-Variable",
        synopsis: "Sets variables to $null.",
        parameters: &[needed(at(0, "Name", TEXTS, "Their names.")), SCOPE, FORCE],
        ..SIGNATURE
    },
    make: || Box::new(Clear),
};

struct Clear;

impl Stage for Clear {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for name in names(call) {
            match context.variable(scope(call), &name) {
                Some(_) => context.set_variable(scope(call), &name, Value::Null)?,
                None => context.error(missing(&name))?,
            }
        }
        Ok(())
    }
}
