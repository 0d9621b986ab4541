//! How the evaluator leaves a statement before its end.

use std::rc::Rc;

use crate::fault::{Category, Fault, Severity};
use crate::value::Value;

/// Why a statement ended early.
#[derive(Debug)]
pub(crate) enum Flow {
    /// An error.
    Fault(Box<Fault>),
    /// `break`, with its label.
    Break(Option<String>),
    /// `continue`, with its label.
    Continue(Option<String>),
    /// `return`; what it returns was yielded before.
    Return,
    /// `exit`.
    Exit(i32),
    /// The stage of this number wants no more objects.
    Stop(u64),
}

impl From<Fault> for Flow {
    fn from(fault: Fault) -> Flow {
        Flow::Fault(Box::new(fault))
    }
}

/// What most of the evaluator returns.
pub(crate) type Done<T = ()> = Result<T, Flow>;

/// The `exception` of a [`Fault`] that only stands for a [`Flow`] on its way through a command.
pub(crate) const CARRIER: &str = "flow";

/// About how many bytes a value takes by itself, without what it refers to.
pub(crate) fn shallow_bytes(value: &Value) -> usize {
    const OTHER: usize = 64;
    match value {
        Value::Text(text) => OTHER + text.len(),
        Value::List(list) => OTHER + list.values.borrow().len() * size_of::<Value>(),
        Value::Table(table) => OTHER + table.borrow().len() * 2 * size_of::<Value>(),
        Value::Object(object) => OTHER + object.properties.borrow().len() * 2 * size_of::<Value>(),
        Value::Foreign(foreign) => OTHER + Rc::strong_count(foreign),
        _ => size_of::<Value>(),
    }
}

/// The error of a limit: nothing catches it.
pub(crate) fn limit(message: String) -> Fault {
    let mut fault = Fault::new(Category::LimitExceeded, message).with_severity(Severity::Final);
    fault.exception = "System.InsufficientMemoryException";
    fault
}
