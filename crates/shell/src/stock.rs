//! The commands of the language itself that a session cannot do without; the others come with their own modules.

use crate::command::{Call, Changes, FromPipeline, Kind, Parameter, Signature};
use crate::context::{BlockScope, Context, Stage, StockCommand};
use crate::convert;
use crate::fault::Fault;
use crate::value::Value;
use crate::world::Stream;

const fn input() -> Parameter {
    Parameter {
        name: "InputObject",
        aliases: &[],
        kind: Kind::Any,
        position: None,
        is_mandatory: false,
        pipeline: FromPipeline::Object,
        help: "",
    }
}
const fn parameter(name: &'static str, kind: Kind, position: Option<u8>) -> Parameter {
    Parameter { name, aliases: &[], kind, position, is_mandatory: false, pipeline: FromPipeline::No, help: "" }
}
macro_rules! signature {
    ($id:ident, $name:literal, [$($p:expr),*]) => {
        static $id: Signature = Signature { name: $name, aliases: &[], synopsis: "", parameters: { static P: &[Parameter] = &[$($p),*]; P }, changes: Changes::Nothing, examples: &[] };
    };
}
signature!(FOREACH, "ForEach-Object", [input(), parameter("Process", Kind::Rest(&Kind::Any), Some(0))]);
signature!(WHERE, "Where-Object", [input(), parameter("FilterScript", Kind::Block, Some(0))]);
signature!(
    SELECT,
    "Select-Object",
    [input(), parameter("First", Kind::Int, None), parameter("ExpandProperty", Kind::Text, None)]
);
signature!(DEFAULT, "Out-Default", [input()]);
signature!(NULL, "Out-Null", [input()]);
signature!(HOST, "Write-Host", [parameter("Object", Kind::Rest(&Kind::Any), Some(0))]);
signature!(OUTPUT, "Write-Output", [input(), parameter("Object", Kind::Rest(&Kind::Any), Some(0))]);
signature!(ERROR, "Write-Error", [parameter("Message", Kind::Text, Some(0))]);
signature!(WARNING, "Write-Warning", [parameter("Message", Kind::Text, Some(0))]);
struct ForEach;
impl Stage for ForEach {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        for block in convert::elements(call.argument("Process").unwrap_or(&Value::Null)) {
            if let Value::Block(block) = block {
                context.pass_block(&block, BlockScope::Caller, input.cloned(), &[])?;
            }
        }
        Ok(())
    }
}
struct Where;
impl Stage for Where {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let (Some(Value::Block(block)), Some(input)) = (call.argument("FilterScript"), input) else { return Ok(()) };
        let yes = context.call_block(block, BlockScope::Caller, Some(input.clone()), &[])?;
        if convert::truth(&convert::gathered(yes)) {
            context.value(input.clone())?;
        }
        Ok(())
    }
}
struct Select(i64);
impl Stage for Select {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        if let Some(input) = input {
            context.value(input.clone())?;
        }
        self.0 += 1;
        match call.argument("First") {
            Some(Value::Int(n)) if self.0 >= *n => Err(context.done()),
            _ => Ok(()),
        }
    }
}
struct Out;
impl Stage for Out {
    fn process(&mut self, context: &mut dyn Context, _: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        match input {
            Some(Value::Null) | None => Ok(()),
            Some(v) => context.write(Stream::Output, &format!("{}\n", convert::text(v)), (None, None)),
        }
    }
}
struct Null;
impl Stage for Null {
    fn process(&mut self, _: &mut dyn Context, _: &Call<'_>, _: Option<&Value>) -> Result<(), Fault> {
        Ok(())
    }
}
struct Host;
impl Stage for Host {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _: Option<&Value>) -> Result<(), Fault> {
        context.host(&call.argument("Object").map(convert::text).unwrap_or_default());
        Ok(())
    }
}
struct Output;
impl Stage for Output {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        for v in convert::elements(input.or(call.argument("Object")).unwrap_or(&Value::Null)) {
            context.value(v)?;
        }
        Ok(())
    }
}
struct Errors;
impl Stage for Errors {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _: Option<&Value>) -> Result<(), Fault> {
        context.error(
            Fault::new(
                crate::fault::Category::NotSpecified,
                convert::text(call.argument("Message").unwrap_or(&Value::Null)),
            )
            .with_severity(crate::fault::Severity::Continuing),
        )
    }
}
struct Warning;
impl Stage for Warning {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _: Option<&Value>) -> Result<(), Fault> {
        context.warning(&convert::text(call.argument("Message").unwrap_or(&Value::Null)));
        Ok(())
    }
}
static COMMANDS: [StockCommand; 9] = [
    StockCommand { signature: &FOREACH, make: || Box::new(ForEach) },
    StockCommand { signature: &WHERE, make: || Box::new(Where) },
    StockCommand { signature: &SELECT, make: || Box::new(Select(0)) },
    StockCommand { signature: &DEFAULT, make: || Box::new(Out) },
    StockCommand { signature: &NULL, make: || Box::new(Null) },
    StockCommand { signature: &HOST, make: || Box::new(Host) },
    StockCommand { signature: &OUTPUT, make: || Box::new(Output) },
    StockCommand { signature: &ERROR, make: || Box::new(Errors) },
    StockCommand { signature: &WARNING, make: || Box::new(Warning) },
];
/// All.
pub fn commands() -> &'static [StockCommand] {
    &COMMANDS
}
/// Aliases.
pub const ALIASES: &[(&str, &str)] = &[
    ("%", "ForEach-Object"),
    ("?", "Where-Object"),
    ("foreach", "ForEach-Object"),
    ("where", "Where-Object"),
    ("select", "Select-Object"),
    ("echo", "Write-Output"),
];
