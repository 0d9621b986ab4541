//! Runs the tree of a script: statements, expressions, pipelines and the commands in them.
//!
//! Takes a tree, a [`World`](crate::world::World) and commands; hands on values to a sink and text to the world's streams.
//! One thread; recursion follows the tree and is bounded by the stack that the session is told of. Every loop, command and
//! object of a pipeline asks whether Ctrl-C was pressed.

mod automatic;
mod statement;
mod command;
mod pipeline;
mod bind_function;
mod function;
mod parameter;
mod bind;
mod default_values;
mod kind;
mod arguments;
mod expression;
pub(crate) mod running;
mod assign;
mod operator;
pub mod report;
pub mod foresight;
pub(crate) mod sink;
pub(crate) mod interpreter;
pub(crate) mod scope;
pub(crate) mod flow;
