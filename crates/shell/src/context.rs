//! What a command of the language itself is made of, and what it may ask of the session that runs it.
//!
//! A [`StockCommand`] is a signature and a way to make one [`Stage`] of a pipeline. The evaluator binds the arguments, then
//! calls `begin` once, `process` for each object that comes through the pipeline (once, without input, when it is the first
//! of its pipeline), and `end` once. What the stage hands on goes to the next stage at once: nothing is held back.

use std::rc::Rc;

use crate::command::{Call, Commands, Emit, Signature};
use crate::fault::Fault;
use crate::source::Source;
use crate::syntax::ScriptBlock;
use crate::value::Value;
use crate::world::{Colour, Stream, World};

/// One command of the language itself.
#[derive(Debug)]
pub struct StockCommand {
    /// Its name, parameters and help. A parameter of [`Kind::Rest`](crate::command::Kind::Rest) takes what is left.
    pub signature: &'static Signature,
    /// A fresh stage, for one pipeline.
    pub make: fn() -> Box<dyn Stage>,
}

/// A stock command at work in one pipeline.
pub trait Stage {
    /// Before the first object. Parameters that come through the pipeline are not known yet.
    ///
    /// # Errors
    /// [`Fault`], which ends the pipeline unless it is a continuing one.
    fn begin(&mut self, _context: &mut dyn Context, _call: &Call<'_>) -> Result<(), Fault> {
        Ok(())
    }

    /// One object of the pipeline, with the parameters that it brings bound in `call`; `None` for a command that has no
    /// pipeline before it.
    ///
    /// # Errors
    /// [`Fault`]; a continuing one is written, and the next object is taken. [`Context::done`] ends what comes before.
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault>;

    /// After the last object.
    ///
    /// # Errors
    /// [`Fault`], which ends the pipeline unless it is a continuing one.
    fn end(&mut self, _context: &mut dyn Context, _call: &Call<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

/// A command as `Get-Command` tells of it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: KnownKind,
}

/// What a command is.
#[derive(Clone, Debug)]
pub enum KnownKind {
    /// One of the registry or of the language: described by its signature.
    Command(&'static Signature),
    /// A function of the session.
    Function(Rc<ScriptBlock>),
    /// Another name of something.
    Alias(String),
}

/// In which scope a block runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockScope {
    /// In that of the command's caller, as the blocks of ForEach-Object and Where-Object do.
    Caller,
    /// In one of its own, as `& { }` does.
    Own,
}

/// Which variables are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableScope {
    /// The nearest of that name; new ones come to be in the scope of the caller.
    Nearest,
    /// `$script:`.
    Script,
    /// `$global:`.
    Global,
}

/// What a stage, a member or a formatter may ask of the session. As [`Emit`], it writes to the pipeline and the streams.
pub trait Context: Emit {
    /// What lies outside.
    fn world(&mut self) -> &mut dyn World;

    /// The commands that the language was given.
    fn commands(&self) -> Rc<dyn Commands>;

    /// Runs a block with this as `$_` (`None`: as it is) and hands back what it yields.
    ///
    /// # Errors
    /// [`Fault`], to be handed on as it is: `break`, `exit` and Ctrl-C come this way too.
    fn call_block(
        &mut self,
        block: &Rc<ScriptBlock>,
        scope: BlockScope,
        underscore: Option<Value>,
        arguments: &[Value],
    ) -> Result<Vec<Value>, Fault>;

    /// The same, but what it yields goes straight on into the pipeline.
    ///
    /// # Errors
    /// As [`call_block`](Context::call_block).
    fn pass_block(
        &mut self,
        block: &Rc<ScriptBlock>,
        scope: BlockScope,
        underscore: Option<Value>,
        arguments: &[Value],
    ) -> Result<(), Fault>;

    /// Parses and runs a text in the caller's scope; what it yields goes into the pipeline.
    ///
    /// # Errors
    /// [`Fault`], also when it cannot be parsed.
    fn run_text(&mut self, source: Source) -> Result<(), Fault>;

    /// Runs a command by its name with these arguments (a name for each that has one) and this input, as `| name` does;
    /// what it yields goes into the pipeline.
    ///
    /// # Errors
    /// [`Fault`], also when there is no such command.
    fn run_command(&mut self, name: &str, arguments: &[(&str, Value)], input: &[Value]) -> Result<(), Fault>;

    /// What to return from `process` when no further object is wanted: the commands before are stopped, this one's `end`
    /// still runs.
    fn done(&mut self) -> Fault;

    /// An error if Ctrl-C was pressed: to be asked in long loops.
    ///
    /// # Errors
    /// The [`Fault`] that ends the script.
    fn check(&mut self) -> Result<(), Fault>;

    /// Tells of text or lists about to be made, before they are: refused when the session would hold too much.
    ///
    /// # Errors
    /// The [`Fault`] that ends the script.
    fn charge(&mut self, bytes: usize) -> Result<(), Fault>;

    /// Asks a person, as `-Confirm` does; without a terminal the answer is no, with an error that says how to go on.
    ///
    /// # Errors
    /// [`Fault`], when nobody can be asked.
    fn should_process(&mut self, call: &Call<'_>, action: &str, target: &str) -> Result<bool, Fault>;

    /// Writes to the console (or the transcript); `text` brings its own line ends.
    ///
    /// # Errors
    /// [`Fault`], when nobody reads any more.
    fn write(&mut self, stream: Stream, text: &str, colours: (Option<Colour>, Option<Colour>)) -> Result<(), Fault>;

    /// Shows a value on the screen as it looks when nobody says how; `None`: writes what was held back until the columns of
    /// a table are known. Whatever else goes to the console comes after it.
    ///
    /// # Errors
    /// [`Fault`], when nobody reads any more, or a computed property fails.
    fn show(&mut self, value: Option<&Value>) -> Result<(), Fault>;

    /// A variable, without `$`; automatic ones, too. `None`: there is none.
    fn variable(&self, scope: VariableScope, name: &str) -> Option<Value>;

    /// An environment variable as the script sees it, with what it set itself.
    fn environment(&self, name: &str) -> Option<String>;

    /// Sets an environment variable for the script, or removes it.
    fn set_environment(&mut self, name: &str, value: Option<String>);

    /// Sets one.
    ///
    /// # Errors
    /// [`Fault`] for those that cannot be changed, and for a value that its type forbids.
    fn set_variable(&mut self, scope: VariableScope, name: &str, value: Value) -> Result<(), Fault>;

    /// Removes one; whether there was one.
    fn remove_variable(&mut self, name: &str) -> bool;

    /// All that the caller sees, nearest first, without repetition.
    fn variables(&self) -> Vec<(String, Value)>;

    /// What a name would run.
    fn known_command(&self, name: &str) -> Option<Known>;

    /// All commands, functions and aliases.
    fn known_commands(&self) -> Vec<Known>;

    /// Makes an alias.
    fn set_alias(&mut self, name: &str, target: &str);

    /// Removes a function.
    fn remove_function(&mut self, name: &str) -> bool;

    /// What all that goes to the console is written to as well; `None` ends it. Hands back the path before.
    fn set_transcript(&mut self, path: Option<String>) -> Option<String>;
}
