//! Functions, blocks and scripts as stages of a pipeline: their parts `begin`, `process`, `end`.

use std::rc::Rc;

use super::arguments::{Given, GivenArgument};
use super::flow::{Done, Flow};
use super::interpreter::{Frame, Interpreter, Target};
use super::parameter::is_advanced;
use super::running::Common;
use super::scope::{Scope, ScopeKind};
use super::sink::Sink;
use crate::context::BlockScope;
use crate::syntax::ScriptBlock;
use crate::value::Value;

/// What is asked of a stage.
#[derive(Debug)]
pub(crate) enum Step {
    Begin,
    /// One object; `None`: nothing stands before the stage.
    Process(Option<Value>),
    End,
}

/// A function at work.
pub(crate) struct FunctionWork {
    pub block: Rc<ScriptBlock>,
    pub scope: Rc<Scope>,
    pub streams: [Target; 7],
    /// Parameters that each object of the pipeline brings: their number in the declaration, and whether by a property.
    pub from_input: Vec<(usize, bool)>,
    /// What came, where there is no `process` part.
    inputs: Vec<Value>,
    /// Whether `exit` ends it and nothing more.
    pub is_script: bool,
    has_ended: bool,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// By its name, or `& { }`.
    Own,
    /// `. name`.
    DotSource,
    /// A script file.
    Script,
    /// `. file`.
    DotSourcedScript,
}

impl Interpreter {
    /// Binds the arguments of a function in a scope of its own, or of the caller.
    pub(crate) fn function_work(
        &mut self,
        name: &str,
        block: &Rc<ScriptBlock>,
        kind: CallKind,
        arguments: Vec<GivenArgument>,
        (common, has_input): (&mut Common, bool),
    ) -> Done<FunctionWork> {
        let scope = match kind {
            CallKind::Own => Scope::new(Some(Rc::clone(&self.frame.scope)), ScopeKind::Function),
            CallKind::Script => Scope::new(Some(Rc::clone(&self.frame.scope)), ScopeKind::Script),
            CallKind::DotSource | CallKind::DotSourcedScript => Rc::clone(&self.frame.scope),
        };
        let mut work = FunctionWork {
            block: Rc::clone(block),
            scope: Rc::clone(&scope),
            streams: self.frame.streams.clone(),
            from_input: Vec::new(),
            inputs: Vec::new(),
            is_script: matches!(kind, CallKind::Script | CallKind::DotSourcedScript),
            has_ended: false,
        };
        self.set_invocation(&scope, name, block, kind);
        if block.parameters.is_empty() && !is_advanced(block) {
            // What nobody declared is in $args, names included.
            if kind != CallKind::DotSource || !arguments.is_empty() {
                scope.set("args", Value::array(undeclared(arguments)));
            }
            return Ok(work);
        }
        let caller =
            Frame { scope: Rc::clone(&scope), source: block.source.clone(), streams: self.frame.streams.clone() };
        common.home = Some(Rc::clone(&self.frame.scope));
        // Defaults and attributes are the function's: its scope, its text.
        let frame = std::mem::replace(&mut self.frame, caller);
        let bound = self.bind_function(name, block, arguments, (common, has_input));
        self.frame = frame;
        work.from_input = bound?;
        Ok(work)
    }

    /// Runs a part of a function, in its scope.
    pub(crate) fn work_function(
        &mut self,
        work: &mut FunctionWork,
        step: Step,
        has_input: bool,
        out: &mut dyn Sink,
    ) -> Done {
        if work.has_ended {
            return Ok(());
        }
        let block = Rc::clone(&work.block);
        let frame =
            Frame { scope: Rc::clone(&work.scope), source: block.source.clone(), streams: work.streams.clone() };
        self.check_depth()?;
        let caller = std::mem::replace(&mut self.frame, frame);
        self.depth += 1;
        let done = match step {
            Step::Begin => block.begin.as_ref().map_or(Ok(()), |begin| self.body(&block, begin, out)),
            Step::Process(input) => self.process_function(work, &block, input, has_input, out),
            Step::End => {
                if has_input {
                    work.scope.set("input", Value::array(std::mem::take(&mut work.inputs)));
                } else if work.scope.own("input").is_none() {
                    // Nothing came: functions count it to see whether they stand in a pipeline.
                    work.scope.set("input", Value::array(Vec::new()));
                }
                self.body(&block, &block.end, out)
            }
        };
        self.depth -= 1;
        self.frame = caller;
        match done {
            Err(Flow::Exit(code)) if work.is_script => {
                work.has_ended = true;
                self.exit_code = Some(code);
                self.is_ok = code == 0;
                Ok(())
            }
            other => other,
        }
    }

    fn process_function(
        &mut self,
        work: &mut FunctionWork,
        block: &Rc<ScriptBlock>,
        input: Option<Value>,
        has_input: bool,
        out: &mut dyn Sink,
    ) -> Done {
        if let Some(input) = input {
            work.scope.set("_", input.clone());
            self.bind_function_input(work, block, &input)?;
            match &block.process {
                None => {
                    self.charge(super::flow::shallow_bytes(&input))?;
                    work.inputs.push(input);
                    return Ok(());
                }
                Some(_) => work.scope.set("input", Value::array(vec![input])),
            }
        } else if has_input {
            return Ok(());
        }
        block.process.as_ref().map_or(Ok(()), |process| self.body(block, process, out))
    }

    /// Runs a block for a command: `$_`, arguments, and its statements.
    pub(crate) fn call_block(
        &mut self,
        block: &Rc<ScriptBlock>,
        scope: BlockScope,
        underscore: Option<Value>,
        arguments: &[Value],
        out: &mut dyn Sink,
    ) -> Done {
        self.check()?;
        self.check_depth()?;
        let scope = match scope {
            BlockScope::Caller => Rc::clone(&self.frame.scope),
            BlockScope::Own => Scope::new(Some(Rc::clone(&self.frame.scope)), ScopeKind::Function),
        };
        let frame =
            Frame { scope: Rc::clone(&scope), source: block.source.clone(), streams: self.frame.streams.clone() };
        let caller = std::mem::replace(&mut self.frame, frame);
        self.depth += 1;
        let mut run = |it: &mut Interpreter| -> Done {
            if !block.parameters.is_empty() {
                let given = arguments.iter().map(|value| GivenArgument::Value(Given::from(value.clone()), block.span));
                it.bind_function("", block, given.collect(), (&mut Common::default(), false))?;
            } else if !arguments.is_empty() {
                it.frame.scope.set("args", Value::array(arguments.to_vec()));
            }
            for part in [&block.begin, &block.process].into_iter().flatten() {
                it.body(block, part, out)?;
            }
            it.body(block, &block.end, out)
        };
        let done = match underscore {
            Some(value) => self.with_underscore(value, run),
            None => run(self),
        };
        self.depth -= 1;
        self.frame = caller;
        done
    }
}

/// Arguments that nobody declared, as `$args` has them.
fn undeclared(arguments: Vec<GivenArgument>) -> Vec<Value> {
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match argument {
            GivenArgument::Value(given, _) => values.push(given.value),
            // With a colon where the value belongs to the name for certain: `@args` hands it on as it came.
            GivenArgument::Named { name, value: Some(given), .. } => {
                values.extend([Value::text(format!("-{name}:")), given.value]);
            }
            GivenArgument::Named { name, value: None, .. } => values.push(Value::text(format!("-{name}"))),
        }
    }
    values
}
