//! Pipelines: stages in a row, each value handed to the next as soon as it is there.
//!
//! A stage that has enough ends those before it ([`Flow::Stop`] with its number travels up through them); it and those behind
//! it still come to their end.

use std::cell::RefCell;
use std::rc::Rc;

use super::bind::Bound;
use super::flow::{Done, Flow};
use super::function::{FunctionWork, Step};
use super::interpreter::{Frame, Interpreter, Target};
use super::running::{Action, Common, Running};
use super::scope::Scope;
use super::sink::Sink;
use crate::command::{Call, Changes, Signature};
use crate::context::Stage;
use crate::convert;
use crate::fault::{Category, Fault, Severity};
use crate::source::{Source, Span};
use crate::syntax::{Expression, ExpressionKind, Pipeline, PipelineElement, Redirection, RedirectionTarget};
use crate::value::{List, Value};

/// One command of a pipeline, ready to work.
pub(crate) struct PipeStage {
    pub work: Work,
    pub common: Common,
    /// That of the pipeline: what the stage runs, it runs there.
    pub frame: Frame,
    pub number: u64,
    pub place: (Source, Span),
    pub has_begun: bool,
    /// Whether something stands before it.
    pub has_input: bool,
    /// `2>&1`: what came on the other streams.
    pub merged: Option<Rc<RefCell<Vec<Value>>>>,
}

/// What a stage does.
pub(crate) enum Work {
    /// A command of the language.
    Stock { signature: &'static Signature, stage: Box<dyn Stage>, bound: Bound },
    /// A command of the registry.
    Registry { signature: &'static Signature, bound: Bound },
    /// A function, a block or a script.
    Function(Box<FunctionWork>),
}

/// The stages behind one, and what lies behind the last.
struct Rest<'a> {
    stages: &'a mut [PipeStage],
    out: &'a mut dyn Sink,
}

impl Sink for Rest<'_> {
    fn put(&mut self, interpreter: &mut Interpreter, value: Value) -> Done {
        match self.stages.split_first_mut() {
            None => self.out.put(interpreter, value),
            Some((first, rest)) => {
                let mut out = Rest { stages: rest, out: &mut *self.out };
                interpreter.begin_stage(first, &mut out)?;
                interpreter.work_stage(first, Step::Process(Some(value)), &mut out)
            }
        }
    }
}

/// What a stage yields, on its way to the next, with what came on other streams and a copy for `-OutVariable`.
struct Outlet<'a> {
    out: &'a mut dyn Sink,
    merged: Option<Rc<RefCell<Vec<Value>>>>,
    copies: Option<&'a Rc<List>>,
    /// `-PipelineVariable`, in the scope of the pipeline.
    variable: Option<(Rc<Scope>, &'a str)>,
}

impl Outlet<'_> {
    fn flush(&mut self, interpreter: &mut Interpreter) -> Done {
        if let Some(merged) = &self.merged {
            let values = std::mem::take(&mut *merged.borrow_mut());
            for value in values {
                self.out.put(interpreter, value)?;
            }
        }
        Ok(())
    }
}

impl Sink for Outlet<'_> {
    fn put(&mut self, interpreter: &mut Interpreter, value: Value) -> Done {
        self.flush(interpreter)?;
        if let Some(copies) = self.copies {
            copies.values.borrow_mut().push(value.clone());
        }
        if let Some((scope, name)) = &self.variable {
            scope.set(name, value.clone());
        }
        self.out.put(interpreter, value)
    }
}

impl Interpreter {
    /// A pipeline as a statement: what it yields goes to `out`.
    pub(crate) fn pipeline(&mut self, pipeline: &Pipeline, out: &mut dyn Sink) -> Done {
        self.check()?;
        let (input, calls) = match pipeline.elements.as_slice() {
            [PipelineElement::Expression(expression, redirections)] if redirections.is_empty() => {
                return self.expression_statement(expression, out);
            }
            [PipelineElement::Expression(expression, redirections), rest @ ..] => {
                let value = self.expression_yield(expression)?.unwrap_or_else(|| Value::array(Vec::new()));
                (Some((value, redirections)), rest)
            }
            all => (None, all),
        };
        let mut stages: Vec<PipeStage> = Vec::with_capacity(calls.len());
        if let Some((_, redirections)) = &input {
            self.add_redirections(&mut stages, redirections, pipeline.span, true)?;
        }
        for element in calls {
            match element {
                PipelineElement::Command(call) => {
                    let has_input = input.is_some() || !stages.is_empty();
                    let stage = self.stage(call, has_input)?;
                    stages.push(stage);
                    self.add_redirections(&mut stages, &call.redirections, call.span, false)?;
                }
                PipelineElement::Expression(expression, _) => {
                    return Err(Fault::new(
                        Category::Parser,
                        "Expressions are only allowed as the first element of a pipeline.",
                    )
                    .at(&self.frame.source, expression.span)
                    .into());
                }
            }
        }
        self.is_ok = true;
        self.run_stages(input.map(|(value, _)| value), &mut stages, out)
    }

    /// An expression that stands alone: lists are taken apart; what changes something by itself yields nothing.
    fn expression_statement(&mut self, expression: &Expression, out: &mut dyn Sink) -> Done {
        let value = match &expression.kind {
            ExpressionKind::Increment { .. } => {
                self.expression(expression)?;
                None
            }
            ExpressionKind::Cast(type_name, _) if type_name.name.eq_ignore_ascii_case("void") => {
                self.expression(expression)?;
                None
            }
            _ => self.expression_yield(expression)?,
        };
        self.is_ok = true;
        value.map_or(Ok(()), |value| self.unroll(value, out))
    }

    /// Hands on a value, a list by its elements.
    pub(crate) fn unroll(&mut self, value: Value, out: &mut dyn Sink) -> Done {
        match value {
            Value::List(list) => {
                let values = list.values.borrow().clone();
                for value in values {
                    out.put(self, value)?;
                }
                Ok(())
            }
            Value::Foreign(foreign) => match foreign.elements() {
                Some(values) => values.into_iter().try_for_each(|value| out.put(self, value)),
                None => out.put(self, Value::Foreign(foreign)),
            },
            value => out.put(self, value),
        }
    }

    /// Runs stages from their begin to their end.
    pub(crate) fn run_stages(&mut self, input: Option<Value>, stages: &mut [PipeStage], out: &mut dyn Sink) -> Done {
        let fed = self.feed(input, stages, out);
        self.end_stages(fed, stages, out)
    }

    /// Runs something, and what it yields through these stages.
    pub(crate) fn run_into(
        &mut self,
        work: impl FnOnce(&mut Interpreter, &mut dyn Sink) -> Done,
        stages: &mut [PipeStage],
        out: &mut dyn Sink,
    ) -> Done {
        let fed = work(self, &mut Rest { stages: &mut *stages, out: &mut *out });
        match fed {
            // What was yielded before the error is shown before it.
            Err(flow @ (Flow::Fault(_) | Flow::Exit(_) | Flow::Break(_) | Flow::Continue(_) | Flow::Return)) => {
                self.end_stages(Ok(()), stages, out)?;
                Err(flow)
            }
            fed => self.end_stages(fed, stages, out),
        }
    }

    fn end_stages(&mut self, fed: Done, stages: &mut [PipeStage], out: &mut dyn Sink) -> Done {
        // Stages before this one were stopped by one behind them.
        let mut first = 0;
        self.stopped(fed, stages, &mut first)?;
        let mut at = first;
        while at < stages.len() {
            let (stage, rest) = stages[at..].split_first_mut().expect("the place lies within");
            let mut behind = Rest { stages: rest, out: &mut *out };
            let ended = match self.begin_stage(stage, &mut behind) {
                Ok(()) => self.work_stage(stage, Step::End, &mut behind),
                Err(flow) => Err(flow),
            };
            at += 1;
            self.stopped(ended, stages, &mut first)?;
            at = at.max(first);
        }
        Ok(())
    }

    fn feed(&mut self, input: Option<Value>, stages: &mut [PipeStage], out: &mut dyn Sink) -> Done {
        for at in 0..stages.len() {
            let Some((stage, rest)) = stages[at..].split_first_mut() else { break };
            self.begin_stage(stage, &mut Rest { stages: rest, out: &mut *out })?;
        }
        let mut rest = Rest { stages, out };
        match input {
            Some(value) => self.unroll(value, &mut rest),
            None => {
                let Some((first, behind)) = rest.stages.split_first_mut() else { return Ok(()) };
                let mut behind = Rest { stages: behind, out: &mut *rest.out };
                self.work_stage(first, Step::Process(None), &mut behind)
            }
        }
    }

    /// A stop that one of these stages asked for is no error: those before it are left alone from then on.
    fn stopped(&mut self, done: Done, stages: &[PipeStage], first: &mut usize) -> Done {
        match done {
            Err(Flow::Stop(number)) => match stages.iter().position(|stage| stage.number == number) {
                Some(at) => {
                    *first = at.max(*first);
                    Ok(())
                }
                None => Err(Flow::Stop(number)),
            },
            other => other,
        }
    }

    fn begin_stage(&mut self, stage: &mut PipeStage, out: &mut dyn Sink) -> Done {
        if std::mem::replace(&mut stage.has_begun, true) {
            return Ok(());
        }
        self.work_stage(stage, Step::Begin, out)
    }

    /// Lets a stage work in its own frame.
    fn work_stage(&mut self, stage: &mut PipeStage, step: Step, out: &mut dyn Sink) -> Done {
        self.check()?;
        self.check_depth()?;
        let frame = std::mem::replace(&mut self.frame, stage.frame.clone());
        let PipeStage { work, common, number, place, merged, has_input, .. } = stage;
        let mut outlet;
        let is_plain = merged.is_none() && common.output_variable.is_none() && common.pipeline_variable.is_none();
        let out: &mut dyn Sink = match is_plain {
            true => out,
            false => {
                outlet = Outlet {
                    out,
                    merged: merged.clone(),
                    copies: common.output_variable.as_ref(),
                    variable: common.pipeline_variable.as_deref().map(|name| (Rc::clone(&self.frame.scope), name)),
                };
                &mut outlet
            }
        };
        let done = match work {
            Work::Function(function) => {
                let done = self.work_function(function, step, *has_input, out);
                if let (Err(Flow::Fault(fault)), Some(list)) = (&done, &common.error_variable) {
                    told(list, fault);
                }
                done
            }
            Work::Stock { signature, stage, bound } => {
                let outcome = self.work_stock((*signature, stage.as_mut(), bound), &step, (common, *number), out);
                self.settle(outcome, common, signature.name, place)
            }
            Work::Registry { signature, bound } => {
                let outcome = match &step {
                    Step::Process(input) => {
                        self.work_registry(signature, bound, input.as_ref(), (common, *number), out)
                    }
                    _ => Ok(()),
                };
                let outcome = outcome.map_err(|flow| match flow {
                    // Commands act on one object after the other: one that fails does not keep the next from its turn.
                    Flow::Fault(mut fault) if fault.severity == Severity::Terminating && !fault.ends_script => {
                        fault.severity = Severity::Continuing;
                        Flow::Fault(fault)
                    }
                    other => other,
                });
                self.settle(outcome, common, signature.name, place)
            }
        };
        let done = match merged {
            Some(merged) if done.is_ok() => {
                let values = std::mem::take(&mut *merged.borrow_mut());
                values.into_iter().try_for_each(|value| out.put(self, value))
            }
            _ => done,
        };
        self.frame = frame;
        done
    }

    /// What an error of a command does.
    fn settle(&mut self, outcome: Done, common: &Common, name: &str, place: &(Source, Span)) -> Done {
        let Err(Flow::Fault(fault)) = outcome else { return outcome };
        let fault = fault.by(name).at(&place.0, place.1);
        match fault.severity {
            Severity::Continuing => self.report(fault, common),
            Severity::Terminating if !fault.ends_script => match common.error_action {
                Some(Action::SilentlyContinue | Action::Ignore) => self.report(fault, common),
                Some(Action::Stop) => {
                    let fault = Fault { ends_script: true, ..fault };
                    if let Some(list) = &common.error_variable {
                        list.values.borrow_mut().push(Value::Fault(Rc::new(fault.clone())));
                    }
                    Err(fault.into())
                }
                _ => Err(fault.into()),
            },
            _ => Err(fault.into()),
        }
    }

    fn work_stock(
        &mut self,
        (signature, stage, bound): (&'static Signature, &mut dyn Stage, &mut Bound),
        step: &Step,
        (common, number): (&Common, u64),
        out: &mut dyn Sink,
    ) -> Done {
        let with_input;
        let (arguments, input) = match step {
            Step::Process(Some(input)) => {
                with_input = self.bind_input(signature, bound, input)?;
                (with_input.as_slice(), Some(input))
            }
            _ => (bound.arguments.as_slice(), None),
        };
        let call = Call {
            signature,
            arguments,
            is_what_if: signature.changes != Changes::Nothing && self.is_what_if(common),
            is_verbose: self.is_verbose(common),
        };
        let mut running = Running { interpreter: self, out, common: Some(common), stage: number, name: signature.name };
        let done = match step {
            Step::Begin => stage.begin(&mut running, &call),
            Step::Process(_) => stage.process(&mut running, &call, input),
            Step::End => stage.end(&mut running, &call),
        };
        done.map_err(|fault| self.flow_of(fault))
    }

    fn work_registry(
        &mut self,
        signature: &'static Signature,
        bound: &Bound,
        input: Option<&Value>,
        (common, number): (&Common, u64),
        out: &mut dyn Sink,
    ) -> Done {
        let with_input;
        let arguments = match input {
            Some(input) => {
                with_input = self.bind_input(signature, bound, input)?;
                with_input.as_slice()
            }
            None => bound.arguments.as_slice(),
        };
        let call = Call {
            signature,
            arguments,
            is_what_if: signature.changes != Changes::Nothing && self.is_what_if(common),
            is_verbose: self.is_verbose(common),
        };
        if signature.changes != Changes::Nothing && !call.is_what_if && !call.is_set("Force") {
            let target = call.argument("Identity").or_else(|| call.argument("Name")).map(convert::text);
            let what = match target {
                Some(target) => format!("{} on \"{target}\".", signature.name),
                None => format!("{}.", signature.name),
            };
            if !self.confirmed(common, signature.changes == Changes::Asked, &what)? {
                return Ok(());
            }
        }
        let commands = Rc::clone(&self.commands);
        let mut running = Running { interpreter: self, out, common: Some(common), stage: number, name: signature.name };
        let done = commands.run(&call, &mut running);
        done.map_err(|fault| self.flow_of(fault))
    }

    /// Redirections of the last stage: output to a file becomes a stage of its own.
    fn add_redirections(
        &mut self,
        stages: &mut Vec<PipeStage>,
        redirections: &[Redirection],
        span: Span,
        is_expression: bool,
    ) -> Done {
        for redirection in redirections {
            let streams: Vec<usize> = match redirection.stream {
                None => (2..=6).collect(),
                Some(number) => vec![usize::from(number).min(6)],
            };
            let takes_output = matches!(redirection.stream, None | Some(1));
            match &redirection.target {
                RedirectionTarget::Stream(1) => merge(stages, &streams),
                RedirectionTarget::Stream(other) => {
                    return Err(Fault::new(
                        Category::Parser,
                        format!("A redirection to stream {other} is not supported: only to 1, as in 2>&1."),
                    )
                    .at(&self.frame.source, span)
                    .into());
                }
                RedirectionTarget::File { path, is_append } => {
                    let path = self.expression(path)?;
                    let path = (!path.is_null()).then(|| convert::text(&path));
                    if takes_output {
                        if redirection.stream.is_none() {
                            merge(stages, &streams);
                        }
                        let stage = match &path {
                            None => self.stage_by_name("Out-Null", &[], span)?,
                            Some(path) => {
                                let arguments = [("FilePath", Value::text(path)), ("Append", Value::Bool(*is_append))];
                                self.stage_by_name("Out-File", &arguments, span)?
                            }
                        };
                        stages.push(stage);
                    } else if !is_expression && let Some(stage) = stages.last_mut() {
                        let target = match path {
                            None => Target::Nothing,
                            Some(path) => {
                                if !is_append {
                                    self.world.write_file(&path, b"", false).map_err(|error| {
                                        Fault::new(
                                            Category::ResourceUnavailable,
                                            format!("{path} cannot be written: {error}"),
                                        )
                                    })?;
                                }
                                Target::File(path.into())
                            }
                        };
                        for stream in streams {
                            stage.set_target(stream, target.clone());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Adds what ended a function to its `-ErrorVariable`, unless it was told there when it happened.
fn told(list: &List, fault: &Fault) {
    let mut values = list.values.borrow_mut();
    let is_known = matches!(values.last(), Some(Value::Fault(last))
        if last.message == fault.message && last.place == fault.place);
    if !is_known && fault.severity != Severity::Final {
        values.push(Value::Fault(Rc::new(fault.clone())));
    }
}

fn merge(stages: &mut [PipeStage], streams: &[usize]) {
    let Some(stage) = stages.last_mut() else { return };
    let merged = Rc::clone(stage.merged.get_or_insert_default());
    for stream in streams.iter().filter(|stream| **stream != 1) {
        stage.set_target(*stream, Target::Output(Rc::clone(&merged)));
    }
}

impl PipeStage {
    fn set_target(&mut self, stream: usize, target: Target) {
        if let Work::Function(function) = &mut self.work {
            function.streams[stream] = target.clone();
        }
        self.frame.streams[stream] = target;
    }
}
