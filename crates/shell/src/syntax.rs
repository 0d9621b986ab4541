//! The tree of a script, as the parser makes it and the evaluator walks it.
//!
//! What the language cannot do is no node here: the parser names the construct and its place. Names keep their case as
//! written; whoever compares them ignores it.

use std::fmt;
use std::rc::Rc;

use crate::source::{Source, Span};

/// A script, a function's body or a `{ ... }`.
#[derive(Debug)]
pub struct ScriptBlock {
    /// Where its text lies: a block shows as what is between its braces.
    pub source: Source,
    /// The place of that text.
    pub span: Span,
    /// `param (...)`, or a function's list in parentheses.
    pub parameters: Vec<ParameterDeclaration>,
    /// `[CmdletBinding()]` and its like before `param`.
    pub attributes: Vec<Attribute>,
    /// `begin { }`.
    pub begin: Option<Block>,
    /// `process { }`.
    pub process: Option<Block>,
    /// `end { }`, or the statements of a block that names no parts.
    pub end: Block,
    /// `trap { }` statements of the block.
    pub traps: Vec<Catch>,
}

/// Statements, in order.
pub type Block = Vec<Statement>;

/// One parameter of a script or function.
#[derive(Debug)]
pub struct ParameterDeclaration {
    /// Without `$`.
    pub name: String,
    /// `[string]`, `[switch]`, `[string[]]`; the last one before the name.
    pub type_name: Option<TypeName>,
    /// `[Parameter(Mandatory)]`, `[ValidateSet(...)]`, `[Alias(...)]`.
    pub attributes: Vec<Attribute>,
    /// `= expression`.
    pub default: Option<Expression>,
    /// Where it stands.
    pub span: Span,
}

/// `[Name(positional, Key = value)]`.
#[derive(Debug)]
pub struct Attribute {
    /// Its name, as `Parameter`.
    pub name: String,
    /// What stands without a key.
    pub positional: Vec<Expression>,
    /// What stands with a key; a key alone means `$true`.
    pub named: Vec<(String, Option<Expression>)>,
    /// Where it stands.
    pub span: Span,
}

/// One statement.
#[derive(Debug)]
pub struct Statement {
    /// What it is.
    pub kind: StatementKind,
    /// Where it stands.
    pub span: Span,
}

/// What a statement is.
#[derive(Debug)]
pub enum StatementKind {
    /// A pipeline; what it yields is output.
    Pipeline(Pipeline),
    /// `target = value`, `+=` and the others. The value may be any statement: `$x = if (...) {...}`.
    Assign {
        /// What is assigned to; a list of them shares the values out.
        target: Expression,
        /// Which assignment.
        operator: AssignOperator,
        /// What is assigned.
        value: Box<Statement>,
    },
    /// `if`, `elseif`, `else`.
    If {
        /// Conditions with their blocks.
        arms: Vec<(Statement, Block)>,
        /// `else`.
        otherwise: Option<Block>,
    },
    /// `foreach ($variable in values) { }`.
    ForEach {
        /// `:label` before it.
        label: Option<String>,
        /// What each value is called.
        variable: VariableName,
        /// The values.
        values: Box<Statement>,
        /// What is done.
        body: Block,
    },
    /// `for (first; condition; step) { }`.
    For {
        /// `:label` before it.
        label: Option<String>,
        /// Before the first round.
        first: Option<Box<Statement>>,
        /// Whether there is another round.
        condition: Option<Box<Statement>>,
        /// After each round.
        step: Option<Box<Statement>>,
        /// What is done.
        body: Block,
    },
    /// `while (condition) { }`, `do { } while (condition)`, `do { } until (condition)`.
    Loop {
        /// `:label` before it.
        label: Option<String>,
        /// When the condition is looked at.
        when: LoopCondition,
        /// The condition.
        condition: Box<Statement>,
        /// What is done.
        body: Block,
    },
    /// `switch (value) { }`.
    Switch {
        /// `:label` before it.
        label: Option<String>,
        /// How clauses match.
        mode: SwitchMode,
        /// `-CaseSensitive`.
        is_case_sensitive: bool,
        /// `-File`: the value names a file whose lines are the values.
        is_file: bool,
        /// What is looked at; each element of a list in turn.
        value: Box<Statement>,
        /// Tests and blocks, in order; a script block as a test is asked.
        clauses: Vec<(Expression, Block)>,
        /// `default`.
        default: Option<Block>,
    },
    /// `function Name { }` and `filter Name { }`.
    Function {
        /// Its name.
        name: String,
        /// A filter's statements are its `process` part; the parser has put them there.
        body: Rc<ScriptBlock>,
    },
    /// `try { } catch { } finally { }`.
    Try {
        /// What may fail.
        body: Block,
        /// What is done then.
        catches: Vec<Catch>,
        /// What is done in any case.
        finally: Option<Block>,
    },
    /// The statements of a block within a function or a script that has `trap { }` statements of its own.
    Trapped {
        /// The statements.
        body: Block,
        /// What is done when one of them fails.
        traps: Vec<Catch>,
    },
    /// `return value`.
    Return(Option<Box<Statement>>),
    /// `throw value`.
    Throw(Option<Box<Statement>>),
    /// `exit code`.
    Exit(Option<Box<Statement>>),
    /// `break label`.
    Break(Option<String>),
    /// `continue label`.
    Continue(Option<String>),
}

/// When a loop looks at its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopCondition {
    /// `while` before the body.
    While,
    /// `do ... while`.
    DoWhile,
    /// `do ... until`.
    DoUntil,
}

/// How the clauses of a `switch` match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchMode {
    /// Equality.
    Exact,
    /// `-Wildcard`.
    Wildcard,
    /// `-Regex`.
    Regex,
}

/// `catch [Type] { }`, or `trap [Type] { }`.
#[derive(Debug)]
pub struct Catch {
    /// Which errors; empty: any.
    pub types: Vec<TypeName>,
    /// What is done.
    pub body: Block,
}

/// Which assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignOperator {
    /// `=`.
    Set,
    /// `+=`.
    Add,
    /// `-=`.
    Subtract,
    /// `*=`.
    Multiply,
    /// `/=`.
    Divide,
    /// `%=`.
    Remainder,
}

/// `a | b | c`.
#[derive(Debug)]
pub struct Pipeline {
    /// Its parts, at least one.
    pub elements: Vec<PipelineElement>,
    /// Where it stands.
    pub span: Span,
}

/// One part of a pipeline.
#[derive(Debug)]
pub enum PipelineElement {
    /// An expression, only as the first part.
    Expression(Expression, Vec<Redirection>),
    /// A command with arguments.
    Command(CommandCall),
}

/// A command with arguments, as written: which argument belongs to which parameter is known when the command is.
#[derive(Debug)]
pub struct CommandCall {
    /// Whether `&` or `.` stands before it.
    pub invocation: Invocation,
    /// Its name; for `&` and `.` any expression.
    pub name: Expression,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Its redirections.
    pub redirections: Vec<Redirection>,
    /// Where it stands.
    pub span: Span,
}

/// How a command is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// By its name.
    Plain,
    /// `& name`.
    Call,
    /// `. name`: in the caller's scope.
    DotSource,
}

/// One argument as written.
#[derive(Debug)]
pub enum Argument {
    /// A value; it belongs to the parameter before it, or to a position.
    Value(Expression),
    /// `-Name`, or `-Name:value`.
    Parameter {
        /// Without the dash.
        name: String,
        /// What stands after a colon.
        value: Option<Expression>,
        /// Where the name stands.
        span: Span,
    },
    /// `@name`.
    Splat {
        /// The variable with the parameters.
        variable: VariableName,
        /// Where it stands.
        span: Span,
    },
    /// `--`, `--%`: what follows are values.
    EndOfParameters,
}

/// `> file`, `2>&1`.
#[derive(Debug)]
pub struct Redirection {
    /// Which stream; `None` is all of them (`*>`).
    pub stream: Option<u8>,
    /// Whereto.
    pub target: RedirectionTarget,
}

/// Where a redirection leads.
#[derive(Debug)]
pub enum RedirectionTarget {
    /// A file.
    File {
        /// Its name.
        path: Expression,
        /// `>>`.
        is_append: bool,
    },
    /// Another stream.
    Stream(u8),
}

/// One expression.
#[derive(Debug)]
pub struct Expression {
    /// What it is.
    pub kind: ExpressionKind,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Debug)]
pub enum ExpressionKind {
    /// `12`, `0x1F`, `35MB`: suffixes are multiplied out.
    Integer(i64),
    /// `1.5`, `2.5GB`.
    Float(f64),
    /// Text without parts. A bare word of a command is one, too.
    Text(String),
    /// A bare word of a command that may be a number where one is wanted, as `25` in `-Port 25`.
    /// The text is kept as written; the value is what it would be as an expression.
    BareNumber(String, Box<Expression>),
    /// Text with parts to be filled in.
    Interpolated(Vec<TextPart>),
    /// `$name`.
    Variable(VariableName),
    /// `a, b, c`, and `,a`.
    List(Vec<Expression>),
    /// `@( )`: what the statements yield, always a list.
    ArrayOf(Block),
    /// `$( )`.
    SubExpression(Block),
    /// `( )`: a pipeline or an assignment.
    Parenthesis(Box<Statement>),
    /// `@{ }`.
    Table(Vec<(Expression, Statement)>),
    /// `{ }`.
    ScriptBlock(Rc<ScriptBlock>),
    /// `[Type]`.
    Type(TypeName),
    /// `[Type]value`.
    Cast(TypeName, Box<Expression>),
    /// `-x`, `-not x`, `-join x`.
    Unary(UnaryOperator, Box<Expression>),
    /// `a + b`, `a -eq b`.
    Binary {
        /// Which.
        operator: BinaryOperator,
        /// Whether it was written with a `c` before it (`-ceq`).
        is_case_sensitive: bool,
        /// Left.
        left: Box<Expression>,
        /// Right.
        right: Box<Expression>,
    },
    /// `$i++`, `--$i`.
    Increment {
        /// What changes.
        target: Box<Expression>,
        /// By one up or down.
        is_decrement: bool,
        /// Whether the value before the change is the expression's.
        is_postfix: bool,
    },
    /// `object.name`, `[Type]::name`.
    Member {
        /// Whose.
        object: Box<Expression>,
        /// Its name; text, or anything that yields text.
        name: Box<Expression>,
        /// `::`.
        is_static: bool,
    },
    /// `object.name(arguments)`, `[Type]::name(arguments)`.
    Call {
        /// Whose.
        object: Box<Expression>,
        /// Its name.
        name: Box<Expression>,
        /// The arguments.
        arguments: Vec<Expression>,
        /// `::`.
        is_static: bool,
    },
    /// `object[index]`.
    Index {
        /// Of what.
        object: Box<Expression>,
        /// Which; a list yields several.
        index: Box<Expression>,
    },
}

/// A part of text in double quotes.
#[derive(Debug)]
pub enum TextPart {
    /// As it is.
    Text(String),
    /// `$name` or `$( )`.
    Value(Expression),
}

/// `$name`, `$script:name`, `$env:name`, `${any text}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableName {
    /// `global`, `script`, `local`, `private`, `using`, `env`, `function`: lower case.
    pub scope: Option<String>,
    /// Its name, as written; `_`, `?`, `^` and `$` are names.
    pub name: String,
}

/// A type's name, without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// As written, as `System.Collections.Generic.List`.
    pub name: String,
    /// What stands in brackets within: of `List[string]` the `string`.
    pub arguments: Vec<TypeName>,
    /// How often `[]` stands behind it.
    pub array_depth: u8,
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (at, argument) in self.arguments.iter().enumerate() {
            f.write_str(if at == 0 { "[" } else { "," })?;
            write!(f, "{argument}")?;
        }
        if !self.arguments.is_empty() {
            f.write_str("]")?;
        }
        (0..self.array_depth).try_for_each(|_| f.write_str("[]"))
    }
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `-x`.
    Negate,
    /// `+x`.
    Plus,
    /// `-not x`, `!x`.
    Not,
    /// `-bnot x`.
    BitwiseNot,
    /// `-join x`.
    Join,
    /// `-split x`.
    Split,
}

/// Operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each has the name that it is written by")]
pub enum BinaryOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Range,
    Format,
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Like,
    NotLike,
    Match,
    NotMatch,
    Contains,
    NotContains,
    In,
    NotIn,
    Replace,
    Split,
    Join,
    Is,
    IsNot,
    As,
    And,
    Or,
    Xor,
    BitwiseAnd,
    BitwiseOr,
    BitwiseXor,
    ShiftLeft,
    ShiftRight,
}
