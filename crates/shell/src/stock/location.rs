//! The folder that relative paths count from: Get-Location, Set-Location, Push-Location, Pop-Location.

use crate::command::{Call, Kind, Parameter, Signature};
use crate::context::{Context, Stage, StockCommand, VariableScope};
use crate::convert;
use crate::fault::Fault;
use crate::path;
use crate::value::Value;

use super::file;
use super::item::{LITERAL, PASS_THRU, PATHS, continuing, entry};
use super::parameter::{ANY, SIGNATURE, named};
use super::path::path_info;

/// Get-Location.
pub(super) const GET_LOCATION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Location",
        synopsis: "Tells the current folder.",
        parameters: &[
            named("PSProvider", ANY, "Taken, and of no consequence."),
            named("PSDrive", ANY, "Taken, and of no consequence."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(GetLocation),
};

struct GetLocation;

impl Stage for GetLocation {
    fn process(&mut self, context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let folder = context.world().current_folder();
        context.value(path_info(&folder))
    }
}

/// The variable that holds the folders of Push-Location; no script has such a name.
const STACK: &str = "gatepost location stack";

const STACK_NAME: Parameter = named("StackName", Kind::Text, "Taken, and of no consequence.");

/// Set-Location.
pub(super) const SET_LOCATION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Set-Location",
        synopsis: "Changes the current folder.",
        parameters: &[PATHS, LITERAL, PASS_THRU, STACK_NAME],
        ..SIGNATURE
    },
    make: || Box::new(SetLocation { pushes: false }),
};

/// Push-Location.
pub(super) const PUSH_LOCATION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Push-Location",
        synopsis: "Keeps the current folder, and changes it.",
        parameters: &[PATHS, LITERAL, PASS_THRU, STACK_NAME],
        ..SIGNATURE
    },
    make: || Box::new(SetLocation { pushes: true }),
};

struct SetLocation {
    pushes: bool,
}

fn stack(context: &mut dyn Context) -> Vec<Value> {
    context.variable(VariableScope::Global, STACK).map(|stack| convert::elements(&stack)).unwrap_or_default()
}

impl Stage for SetLocation {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        if self.pushes {
            let mut kept = stack(context);
            kept.push(Value::text(context.world().current_folder()));
            context.set_variable(VariableScope::Global, STACK, Value::array(kept))?;
        }
        for path in file::paths(context, call)? {
            match entry(context, &path) {
                Ok(entry) if entry.is_folder => {
                    context.world().set_current_folder(&path).map_err(|error| path::failed(&path, &error))?;
                }
                _ => return Err(continuing(path::missing(&path))),
            }
        }
        if call.is_set("PassThru") {
            let folder = context.world().current_folder();
            return context.value(path_info(&folder));
        }
        Ok(())
    }
}

/// Pop-Location.
pub(super) const POP_LOCATION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Pop-Location",
        synopsis: "Goes back to the folder that Push-Location kept.",
        parameters: &[PASS_THRU, STACK_NAME],
        ..SIGNATURE
    },
    make: || Box::new(PopLocation),
};

struct PopLocation;

impl Stage for PopLocation {
    fn process(&mut self, context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let mut kept = stack(context);
        let Some(folder) = kept.pop().map(|folder| convert::text(&folder)) else { return Ok(()) };
        context.set_variable(VariableScope::Global, STACK, Value::array(kept))?;
        context.world().set_current_folder(&folder).map_err(|error| path::failed(&folder, &error))
    }
}
