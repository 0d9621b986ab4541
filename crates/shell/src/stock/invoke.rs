//! Text and blocks that are run: Invoke-Expression, Invoke-Command.

use std::rc::Rc;

use crate::command::{Call, Kind, Signature};
use crate::context::{BlockScope, Context, Stage, StockCommand};
use crate::convert::{self};
use crate::fault::{Category, Fault};
use crate::member;
use crate::source::Source;
use crate::syntax::TypeName;
use crate::value::Value;

use super::file;
use super::parameter::{ANY, SIGNATURE, TEXTS, VALUES, also, at, named, needed, piped, switch};
use super::refused::IGNORED;

/// Invoke-Expression.
pub(super) const INVOKE_EXPRESSION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Invoke-Expression",
        synopsis: "Runs text as a script, in the caller's process.",
        parameters: &[needed(piped(at(0, "Command", Kind::Text, "The text.")))],
        ..SIGNATURE
    },
    make: || Box::new(InvokeExpression),
};

struct InvokeExpression;

impl Stage for InvokeExpression {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let text = call.argument("Command").map(convert::text).unwrap_or_default();
        context.run_text(Source::new("Invoke-Expression", text))
    }
}

/// Invoke-Command.
pub(super) const INVOKE_COMMAND: StockCommand = StockCommand {
    signature: &Signature {
        name: "Invoke-Command",
        synopsis: "Runs a block here. Blocks for other machines are refused.",
        parameters: &[
            at(0, "ScriptBlock", ANY, "The block."),
            also(&["Args"], named("ArgumentList", VALUES, "Its arguments.")),
            also(&["Cn"], named("ComputerName", TEXTS, "This machine, or nothing.")),
            named("Session", ANY, "A session of New-PSSession: the block runs here."),
            also(&["PSPath"], named("FilePath", Kind::Text, "A script instead of a block.")),
            named("InputObject", ANY, "What $input is."),
            switch("NoNewScope", "In the caller's scope."),
            switch("HideComputerName", "Taken, and of no consequence."),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(InvokeCommand),
};

struct InvokeCommand;

impl Stage for InvokeCommand {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let own = context.environment("COMPUTERNAME").unwrap_or_default();
        for name in call.argument("ComputerName").map(convert::elements).unwrap_or_default() {
            let name = convert::text(&name);
            let short = name.split('.').next().unwrap_or(&name);
            let is_own = ["localhost", ".", "127.0.0.1", "::1"].contains(&name.as_str())
                || short.eq_ignore_ascii_case(own.split('.').next().unwrap_or(&own));
            if !is_own {
                return Err(Fault::new(
                    Category::InvalidOperation,
                    format!(
                        "Invoke-Command runs blocks on this machine only, not on '{name}': log on there, or leave -ComputerName out."
                    ),
                ));
            }
        }
        let arguments = call.argument("ArgumentList").map(convert::elements).unwrap_or_default();
        if let Some(path) = call.argument("FilePath").map(convert::text) {
            let text = file::read(context, call, &path)?;
            let of = TypeName { name: "scriptblock".to_owned(), arguments: Vec::new(), array_depth: 0 };
            let Some(Value::Block(block)) = member::call_static(context, &of, "Create", &[Value::text(text)])? else {
                return Ok(());
            };
            return context.pass_block(&block, BlockScope::Own, None, &arguments);
        }
        let Some(Value::Block(block)) = call.argument("ScriptBlock") else {
            return Err(Fault::new(
                Category::InvalidArgument,
                "Invoke-Command wants a block, as { Get-ReceiveConnector }.",
            ));
        };
        let scope = if call.is_set("NoNewScope") { BlockScope::Caller } else { BlockScope::Own };
        context.pass_block(&Rc::clone(block), scope, None, &arguments)
    }
}
