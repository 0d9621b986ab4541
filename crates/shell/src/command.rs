//! What a command is, as data: the same data serve binding, completion, help, and whatever else speaks the commands.
//!
//! The language has commands of its own (`stock`) and is given others by [`Commands`]. Both are described by a
//! [`Signature`]; the evaluator binds arguments by it, converts them to the [`Kind`] of their parameter, and calls once for
//! each object of the pipeline that was bound, or once without a pipeline.

use crate::fault::Fault;
use crate::value::Value;

/// One command, described.
#[derive(Debug)]
pub struct Signature {
    /// `Verb-Noun`, as Exchange spells it.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// One sentence.
    pub synopsis: &'static str,
    /// Its parameters, without the common ones.
    pub parameters: &'static [Parameter],
    /// Whether it changes something: has `-WhatIf` and `-Confirm`.
    pub changes: Changes,
    /// Command lines with what each does, for Get-Help.
    pub examples: &'static [(&'static str, &'static str)],
}

/// Whether a command changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// No: no `-WhatIf`, no `-Confirm`.
    Nothing,
    /// Yes.
    Unasked,
    /// Yes, and somebody at a terminal is asked first, unless `-Confirm:$false` or `-Force`.
    Asked,
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name; a beginning that no other parameter has will do.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What its values are.
    pub kind: Kind,
    /// Its place among arguments without a name, from 0.
    pub position: Option<u8>,
    /// Whether the command cannot do without.
    pub is_mandatory: bool,
    /// What it takes from the pipeline.
    pub pipeline: FromPipeline,
    /// A sentence for help.
    pub help: &'static str,
}

/// What a parameter takes from the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromPipeline {
    /// Nothing.
    No,
    /// The object itself, converted to the parameter's kind.
    Object,
    /// The object's property of the parameter's name or of one of its aliases.
    Property,
}

/// What the values of a parameter are. Those marked *text* are handed on as the text that was written (a foreign value as its
/// text), to be parsed by the command: it knows more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Present or not; `-Name:$false`.
    Switch,
    /// `$true`, `$false`.
    Bool,
    /// Text.
    Text,
    /// One of these, without case; a beginning that no other has will do. *Text*, spelt as here.
    OneOf(&'static [&'static str]),
    /// Some of these, comma-separated in one text or a list. *Text*: a list of those spelt as here.
    Flags(&'static [&'static str]),
    /// A whole number.
    Int,
    /// A whole number, or `unlimited`.
    UnlimitedInt,
    /// A size: `35MB`, a number of bytes, `unlimited` where the command allows it. *Text*.
    Size,
    /// A length of time: `00:05:00`, a number of days. *Text* in the form `[d.]hh:mm:ss`.
    Span,
    /// A point in time.
    Time,
    /// Which object: text, or an object that has an identity. *Text*.
    Identity,
    /// Values of one kind: one will do.
    List(&'static Kind),
    /// The same, and `@{Add=...; Remove=...}`, handed on as a table with those keys (lists each).
    MultiValued(&'static Kind),
    /// A secret: `[securestring]`, never plain text, which would stand in histories. *Text* to those who ask by
    /// `member::Secret`.
    Secret,
    /// A name with a secret, as `Get-Credential` makes it: an object with UserName and Password.
    Credential,
    /// `{ }`.
    Block,
    /// `@{ }`.
    Table,
    /// Anything.
    Any,
    /// All arguments without a name that are left when the positions are taken, as a list: `Write-Host a b c`.
    Rest(&'static Kind),
    /// Whatever else is given, with names and without: taken and dropped.
    Ignored,
}

/// One call of a command, bound.
#[derive(Debug)]
pub struct Call<'a> {
    /// Which command.
    pub signature: &'static Signature,
    /// Parameters by the signature's names, each at most once, converted. `$null` where that was given.
    pub arguments: &'a [(&'static str, Value)],
    /// `-WhatIf`: say what would change, change nothing.
    pub is_what_if: bool,
    /// `-Verbose`.
    pub is_verbose: bool,
}

impl Call<'_> {
    /// The value of a parameter that was given.
    pub fn argument(&self, name: &str) -> Option<&Value> {
        self.arguments.iter().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// Whether a switch was given and is not `$false`.
    pub fn is_set(&self, name: &str) -> bool {
        matches!(self.argument(name), Some(Value::Bool(true)))
    }
}

/// What a command hands on while it runs.
pub trait Emit {
    /// One object for the next command. An error means: stop, nobody takes more (`Select-Object -First`), or Ctrl-C.
    ///
    /// # Errors
    /// [`Fault`], to be handed on as it is.
    fn value(&mut self, value: Value) -> Result<(), Fault>;
    /// A line for the warning stream.
    fn warning(&mut self, text: &str);
    /// A line for the verbose stream; nothing unless `-Verbose`.
    fn verbose(&mut self, text: &str);
    /// A line for the terminal alone, as that of `-WhatIf`.
    fn host(&mut self, text: &str);
    /// An error after which the command goes on.
    ///
    /// # Errors
    /// [`Fault`], where `-ErrorAction Stop` makes an end of it.
    fn error(&mut self, fault: Fault) -> Result<(), Fault>;
}

/// The commands that the language is given.
pub trait Commands {
    /// All of them.
    fn signatures(&self) -> &[&'static Signature];

    /// Runs one. While it emits a value, the commands behind it in the pipeline run: a second call may begin within the
    /// first, so nothing is borrowed while `emit.value` is called.
    ///
    /// # Errors
    /// [`Fault`]; a continuing one lets the script go on.
    fn run(&self, call: &Call<'_>, emit: &mut dyn Emit) -> Result<(), Fault>;

    /// A value of one of its types: `[Type]::Parse('...')` and casts. `None`: not our type.
    fn convert(&self, type_name: &str, value: &Value) -> Option<Result<Value, Fault>>;

    /// Names of the properties of the objects that a command yields, where that is known; for completion at a terminal.
    fn properties(&self, _signature: &Signature) -> Vec<&'static str> {
        Vec::new()
    }

    /// Values that may complete the argument of a parameter, beginning with `prefix`; for completion at a terminal.
    fn complete(&self, signature: &Signature, parameter: &Parameter, prefix: &str) -> Vec<String>;
}
