//! Statements: conditions, loops, `switch`, `try`, and what an error does to the statements behind it.

use std::rc::Rc;

use super::flow::{Done, Flow};
use super::interpreter::Interpreter;
use super::report;
use super::running::Action;
use super::scope::key;
use super::sink::Sink;
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault, Severity};
use crate::member::{self, fault::Exception};
use crate::syntax::{
    Block, Catch, Expression, ExpressionKind, LoopCondition, ScriptBlock, Statement, StatementKind, SwitchMode,
    VariableName,
};
use crate::value::Value;

/// What a round of a loop asks of the loop.
enum Round {
    Next,
    Leave,
}

impl Interpreter {
    /// The statements of a script, a function or a block, with its traps; `return` ends here.
    pub(crate) fn body(&mut self, script: &ScriptBlock, statements: &Block, out: &mut dyn Sink) -> Done {
        let done = match script.traps.as_slice() {
            [] => self.block(statements, out),
            traps => self.trapped(statements, traps, out),
        };
        match done {
            Err(Flow::Return) => Ok(()),
            other => other,
        }
    }

    /// Statements one after the other. An error that nobody catches is shown, and the next statement runs, unless it ends
    /// the script.
    pub(crate) fn block(&mut self, statements: &Block, out: &mut dyn Sink) -> Done {
        for statement in statements {
            match self.statement(statement, out) {
                Err(Flow::Fault(fault)) if self.goes_on(&fault) => self.show_and_go_on(*fault)?,
                other => other?,
            }
        }
        Ok(())
    }

    /// Whether the statement behind a failed one runs.
    fn goes_on(&self, fault: &Fault) -> bool {
        // The original passes over a `throw` that nobody catches, too, where errors are silenced.
        let is_silenced = fault.category == Category::Thrown
            && matches!(self.preference("ErrorActionPreference"), Some(Action::SilentlyContinue | Action::Ignore));
        self.guards == 0 && (!fault.ends_script || is_silenced) && fault.severity != Severity::Final
    }

    /// Shows an error that ended a statement, as `$ErrorActionPreference` asks.
    fn show_and_go_on(&mut self, fault: Fault) -> Done {
        self.report(fault, &super::running::Common::default())
    }

    fn trapped(&mut self, statements: &Block, traps: &[Catch], out: &mut dyn Sink) -> Done {
        for statement in statements {
            self.guards += 1;
            let done = self.statement(statement, out);
            self.guards -= 1;
            let Err(Flow::Fault(mut fault)) = done else {
                done?;
                continue;
            };
            if fault.severity == Severity::Final {
                return Err(Flow::Fault(fault));
            }
            let Some(trap) = report::catching(traps, &fault) else {
                match self.goes_on(&fault) {
                    true => self.show_and_go_on(*fault)?,
                    false => return Err(Flow::Fault(fault)),
                }
                continue;
            };
            self.remember(&fault);
            match self.with_underscore(Value::Fault(Rc::new((*fault).clone())), |it| it.block(&trap.body, out)) {
                // `continue` in a trap: nothing is shown; without it the error is shown; `break` ends the script with it.
                Err(Flow::Continue(None)) => self.is_ok = false,
                Err(Flow::Break(None)) => {
                    fault.ends_script = true;
                    return Err(Flow::Fault(fault));
                }
                Ok(()) => {
                    fault.ends_script = false;
                    self.show_and_go_on(*fault)?;
                }
                other => return other,
            }
        }
        Ok(())
    }

    /// Runs something with another `$_`, and puts the old one back.
    pub(crate) fn with_underscore<T>(&mut self, value: Value, work: impl FnOnce(&mut Interpreter) -> T) -> T {
        let scope = Rc::clone(&self.frame.scope);
        let old = scope.own("_");
        scope.set("_", value);
        let done = work(self);
        match old {
            Some(old) => scope.set("_", old.value),
            None => {
                scope.remove("_");
            }
        }
        done
    }

    /// One statement; what it yields goes to `out`.
    pub(crate) fn statement(&mut self, statement: &Statement, out: &mut dyn Sink) -> Done {
        self.check_depth()?;
        self.statement_kind(statement, out).map_err(|flow| match flow {
            Flow::Fault(fault) => {
                self.is_ok = false;
                Flow::Fault(Box::new(fault.at(&self.frame.source, statement.span)))
            }
            other => other,
        })
    }

    fn statement_kind(&mut self, statement: &Statement, out: &mut dyn Sink) -> Done {
        match &statement.kind {
            StatementKind::Pipeline(pipeline) => self.pipeline(pipeline, out),
            StatementKind::Assign { target, operator, value } => self.assignment(target, *operator, value).map(|_| ()),
            StatementKind::If { arms, otherwise } => {
                for (condition, body) in arms {
                    if convert::truth(&self.statement_value(condition)?) {
                        return self.block(body, out);
                    }
                }
                otherwise.as_ref().map_or(Ok(()), |body| self.block(body, out))
            }
            StatementKind::ForEach { label, variable, values, body } => {
                self.for_each(label.as_deref(), variable, values, body, out)
            }
            StatementKind::For { label, first, condition, step, body } => {
                if let Some(first) = first {
                    self.statement_value(first)?;
                }
                loop {
                    if let Some(condition) = condition
                        && !convert::truth(&self.statement_value(condition)?)
                    {
                        return Ok(());
                    }
                    if let Round::Leave = self.round(label.as_deref(), body, out)? {
                        return Ok(());
                    }
                    if let Some(step) = step {
                        self.statement_value(step)?;
                    }
                }
            }
            StatementKind::Loop { label, when, condition, body } => loop {
                if *when == LoopCondition::While && !convert::truth(&self.statement_value(condition)?) {
                    return Ok(());
                }
                if let Round::Leave = self.round(label.as_deref(), body, out)? {
                    return Ok(());
                }
                match when {
                    LoopCondition::While => {}
                    LoopCondition::DoWhile if convert::truth(&self.statement_value(condition)?) => {}
                    LoopCondition::DoUntil if !convert::truth(&self.statement_value(condition)?) => {}
                    _ => return Ok(()),
                }
            },
            StatementKind::Switch { .. } => self.switch(statement, out),
            StatementKind::Function { name, body } => {
                let (scope, name) = match name.split_once(':') {
                    Some((scope, name)) => (self.scope_of(Some(scope)), name),
                    None => (Rc::clone(&self.frame.scope), name.as_str()),
                };
                scope.set_function(name, Rc::clone(body));
                for alias in body.attributes.iter().filter(|one| one.name.eq_ignore_ascii_case("Alias")) {
                    for alias in &alias.positional {
                        let alias = convert::text(&self.expression(alias)?);
                        self.aliases.insert(key(&alias), (alias.as_str().into(), name.into()));
                    }
                }
                Ok(())
            }
            StatementKind::Try { body, catches, finally } => self.try_statement(body, catches, finally.as_ref(), out),
            StatementKind::Trapped { body, traps } => self.trapped(body, traps, out),
            StatementKind::Return(value) => {
                if let Some(value) = value {
                    self.statement(value, out)?;
                }
                Err(Flow::Return)
            }
            StatementKind::Throw(value) => self.throw(value.as_deref(), statement),
            StatementKind::Exit(code) => {
                let code = match code {
                    Some(code) => self.statement_value(code)?,
                    None => Value::Int(0),
                };
                let code = convert::integer(&code).unwrap_or(0);
                Err(Flow::Exit(i32::try_from(code).unwrap_or(1)))
            }
            StatementKind::Break(label) => Err(Flow::Break(label.clone())),
            StatementKind::Continue(label) => Err(Flow::Continue(label.clone())),
        }
    }

    /// One round of a loop.
    fn round(&mut self, label: Option<&str>, body: &Block, out: &mut dyn Sink) -> Done<Round> {
        self.check()?;
        let is_ours = |wanted: &Option<String>| match wanted {
            None => true,
            Some(wanted) => label.is_some_and(|label| label.eq_ignore_ascii_case(wanted)),
        };
        match self.block(body, out) {
            Ok(()) => Ok(Round::Next),
            Err(Flow::Break(wanted)) if is_ours(&wanted) => Ok(Round::Leave),
            Err(Flow::Continue(wanted)) if is_ours(&wanted) => Ok(Round::Next),
            Err(other) => Err(other),
        }
    }

    fn for_each(
        &mut self,
        label: Option<&str>,
        variable: &VariableName,
        values: &Statement,
        body: &Block,
        out: &mut dyn Sink,
    ) -> Done {
        let value = self.statement_value(values)?;
        // A list that changes meanwhile does not disturb the loop.
        let values = match &value {
            Value::Foreign(foreign) => foreign.elements().unwrap_or_else(|| vec![value.clone()]),
            value => convert::elements(value),
        };
        for value in values {
            self.set_variable(variable, value)?;
            if let Round::Leave = self.round(label, body, out)? {
                break;
            }
        }
        Ok(())
    }

    fn switch(&mut self, statement: &Statement, out: &mut dyn Sink) -> Done {
        let StatementKind::Switch { label, mode, is_case_sensitive, is_file, value, clauses, default } =
            &statement.kind
        else {
            return Ok(());
        };
        let value = self.statement_value(value)?;
        let values = match (is_file, &value) {
            (true, path) => self.lines_of(&convert::text(path))?,
            (false, Value::List(list)) => list.values.borrow().clone(),
            (false, one) => vec![one.clone()],
        };
        let is_ours = |wanted: &Option<String>| match wanted {
            None => true,
            Some(wanted) => label.as_ref().is_some_and(|label| label.eq_ignore_ascii_case(wanted)),
        };
        for value in values {
            self.check()?;
            let done = self.with_underscore(value.clone(), |it| {
                let mut is_matched = false;
                for (test, body) in clauses {
                    if it.clause(test, &value, *mode, *is_case_sensitive)? {
                        is_matched = true;
                        it.block(body, out)?;
                    }
                }
                match default {
                    Some(body) if !is_matched => it.block(body, out),
                    _ => Ok(()),
                }
            });
            match done {
                Err(Flow::Break(wanted)) if is_ours(&wanted) => return Ok(()),
                Err(Flow::Continue(wanted)) if is_ours(&wanted) => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn clause(&mut self, test: &Expression, value: &Value, mode: SwitchMode, is_case_sensitive: bool) -> Done<bool> {
        if let ExpressionKind::ScriptBlock(block) = &test.kind {
            let values = self.collect(|it, out| it.body(block, &block.end, out))?;
            return Ok(convert::truth(&convert::gathered(values)));
        }
        let wanted = match &test.kind {
            // A word stands for itself: switch (1) { 1 { } }.
            ExpressionKind::BareNumber(_, number) => self.expression(number)?,
            _ => self.expression(test)?,
        };
        let text = |value: &Value| convert::text(value);
        Ok(match mode {
            SwitchMode::Exact => convert::equals(value, &wanted, is_case_sensitive),
            SwitchMode::Wildcard => wildcard::matches(&text(&wanted), &text(value), is_case_sensitive),
            SwitchMode::Regex => {
                let found = super::operator::matches(&text(value), &text(&wanted), is_case_sensitive)?;
                let is_match = found.is_some();
                if let Some(table) = found {
                    let table = Value::Table(Rc::new(std::cell::RefCell::new(table)));
                    self.frame.scope.set("Matches", table);
                }
                is_match
            }
        })
    }

    fn lines_of(&mut self, path: &str) -> Done<Vec<Value>> {
        let bytes = self.world.read_file(path, self.limits.file_bytes).map_err(|error| {
            Fault::new(Category::ObjectNotFound, format!("The file {path} cannot be read: {error}."))
        })?;
        self.charge(bytes.len())?;
        Ok(convert::encoding::decode_file(&bytes).lines().map(Value::text).collect())
    }

    fn try_statement(&mut self, body: &Block, catches: &[Catch], finally: Option<&Block>, out: &mut dyn Sink) -> Done {
        let guards = self.guards;
        // Without `catch` the error passes; it is shown outside, and `finally` runs before.
        self.guards += 1;
        let frame = self.frame.clone();
        let done = self.block(body, out);
        self.guards = guards;
        let done = match done {
            Err(Flow::Fault(fault)) if fault.severity != Severity::Final => {
                self.frame = frame;
                match report::catching(catches, &fault) {
                    Some(catch) => {
                        self.remember(&fault);
                        let caught = Value::Fault(Rc::new(*fault));
                        self.with_underscore(caught, |it| it.block(&catch.body, out))
                    }
                    None => Err(Flow::Fault(fault)),
                }
            }
            other => other,
        };
        match finally {
            Some(finally) => {
                self.block(finally, out)?;
                done
            }
            None => done,
        }
    }

    fn throw(&mut self, value: Option<&Statement>, statement: &Statement) -> Done {
        let value = match value {
            Some(value) => self.statement_value(value)?,
            None => self.frame.scope.find("_").filter(|value| matches!(value, Value::Fault(_))).unwrap_or_default(),
        };
        let mut fault = match &value {
            Value::Fault(fault) => Fault::clone(fault),
            Value::Null => Fault::new(Category::Thrown, "ScriptHalted"),
            other => match other.downcast::<Exception>() {
                // An exception that New-Object or [Exception]::new made, or one that was caught.
                Some(exception) => Fault::clone(&exception.0),
                None => member::fault::about_object(Fault::new(Category::Thrown, self.as_text(other)), other.clone()),
            },
        };
        fault.severity = Severity::Terminating;
        fault.ends_script = true;
        Err(fault.at(&self.frame.source, statement.span).into())
    }
}
