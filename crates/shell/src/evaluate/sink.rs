//! Where values go that a statement yields, and how a [`Flow`] passes through a command.

use super::flow::{CARRIER, Done, Flow, limit, shallow_bytes};
use super::interpreter::Interpreter;
use crate::fault::{Category, Fault, Severity};
use crate::value::Value;

/// Where values go.
pub(crate) trait Sink {
    /// Takes one.
    fn put(&mut self, interpreter: &mut Interpreter, value: Value) -> Done;
}

/// Takes values and forgets them.
pub(crate) struct Discard;

impl Sink for Discard {
    fn put(&mut self, _: &mut Interpreter, _: Value) -> Done {
        Ok(())
    }
}

/// Keeps values, within the limits of the session.
#[derive(Default)]
pub(crate) struct Collector {
    pub values: Vec<Value>,
    bytes: usize,
}

impl Sink for Collector {
    fn put(&mut self, interpreter: &mut Interpreter, value: Value) -> Done {
        if self.values.len() >= interpreter.limits.list_length {
            let most = interpreter.limits.list_length;
            return Err(limit(format!(
                "A pipeline yielded more than {most} objects: narrow it down, or let it write to a file."
            ))
            .into());
        }
        let bytes = shallow_bytes(&value);
        self.bytes += bytes;
        interpreter.held_bytes += bytes;
        interpreter.charge(bytes)?;
        self.values.push(value);
        Ok(())
    }
}

impl Interpreter {
    /// Collects what `work` yields.
    pub(crate) fn collect(&mut self, work: impl FnOnce(&mut Interpreter, &mut dyn Sink) -> Done) -> Done<Vec<Value>> {
        let mut collector = Collector::default();
        let done = work(self, &mut collector);
        self.held_bytes = self.held_bytes.saturating_sub(collector.bytes);
        done.map(|()| collector.values)
    }
}

impl Interpreter {
    /// Packs a flow so that it can pass through a command, which knows faults only.
    pub(crate) fn fault_of(&mut self, flow: Flow) -> Fault {
        match flow {
            Flow::Fault(fault) => *fault,
            other => {
                self.carried = Some(other);
                let mut fault =
                    Fault::new(Category::Stopped, "the pipeline was stopped").with_severity(Severity::Final);
                fault.exception = CARRIER;
                fault
            }
        }
    }

    /// Unpacks what came back from a command.
    pub(crate) fn flow_of(&mut self, fault: Fault) -> Flow {
        match fault.exception {
            CARRIER => self.carried.take().unwrap_or_else(|| Flow::from(fault)),
            _ => Flow::from(fault),
        }
    }
}
