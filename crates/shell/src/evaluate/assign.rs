//! Assignments, and variables by their names.

use std::rc::Rc;

use super::flow::{Done, Flow};
use super::interpreter::Interpreter;
use super::operator;
use super::scope::{Scope, ScopeKind, key};
use crate::convert;
use crate::fault::{Category, Fault};
use crate::member;
use crate::syntax::{AssignOperator, BinaryOperator, Expression, ExpressionKind, Statement, TypeName, VariableName};
use crate::value::{ListKind, Value};

impl Interpreter {
    /// `target = value`; hands back what was assigned.
    pub(crate) fn assignment(
        &mut self,
        target: &Expression,
        operator: AssignOperator,
        value: &Statement,
    ) -> Done<Value> {
        let operator = match operator {
            AssignOperator::Set => {
                let yielded = self.statement_yield(value)?;
                let is_nothing = yielded.is_none();
                let value = yielded.unwrap_or_default();
                self.assign(target, value.clone())?;
                if let (true, ExpressionKind::Variable(name)) = (is_nothing, &target.kind) {
                    self.scope_of(name.scope.as_deref()).set_nothing(&name.name);
                }
                return Ok(value);
            }
            AssignOperator::Add => BinaryOperator::Add,
            AssignOperator::Subtract => BinaryOperator::Subtract,
            AssignOperator::Multiply => BinaryOperator::Multiply,
            AssignOperator::Divide => BinaryOperator::Divide,
            AssignOperator::Remainder => BinaryOperator::Remainder,
        };
        match &target.kind {
            // Whose member it is, is asked once.
            ExpressionKind::Member { object, name, is_static: false } => {
                let object = self.expression(object)?;
                let name = self.member_name(name)?;
                let old = self.member(&object, &name)?;
                let value = self.statement_value(value)?;
                let new = self.apply(operator, false, &old, &value)?;
                self.set_member(&object, &name, new.clone())?;
                Ok(new)
            }
            ExpressionKind::Index { object, index } => {
                let object = self.expression(object)?;
                let index = self.expression(index)?;
                let old = operator::index(&object, &index)?.unwrap_or_default();
                let value = self.statement_value(value)?;
                let new = self.apply(operator, false, &old, &value)?;
                self.set_index(&object, &index, new.clone())?;
                Ok(new)
            }
            _ => {
                let old = self.expression(target)?;
                let value = self.statement_value(value)?;
                let new = self.apply(operator, false, &old, &value)?;
                self.assign(target, new.clone())?;
                Ok(new)
            }
        }
    }

    /// Assigns a value to what an expression names.
    pub(crate) fn assign(&mut self, target: &Expression, value: Value) -> Done {
        match &target.kind {
            ExpressionKind::Variable(name) => self.set_variable(name, value),
            ExpressionKind::Cast(type_name, inner) => self.assign_typed(type_name, inner, value),
            ExpressionKind::Parenthesis(statement) => match &statement.kind {
                crate::syntax::StatementKind::Pipeline(pipeline) => match pipeline.elements.as_slice() {
                    [crate::syntax::PipelineElement::Expression(inner, _)] => self.assign(inner, value),
                    _ => Err(not_assignable()),
                },
                _ => Err(not_assignable()),
            },
            ExpressionKind::List(targets) => {
                let mut values = convert::elements(&value);
                if let Value::Null = value {
                    values.push(Value::Null);
                }
                for (at, target) in targets.iter().enumerate() {
                    // The last one takes all that is left.
                    let value = match at + 1 == targets.len() && values.len() > targets.len() {
                        true => Value::array(values.split_off(at)),
                        false => values.get(at).cloned().unwrap_or_default(),
                    };
                    self.assign(target, value)?;
                }
                Ok(())
            }
            ExpressionKind::Member { object, name, is_static: false } => {
                let object = self.expression(object)?;
                let name = self.member_name(name)?;
                self.set_member(&object, &name, value)
            }
            ExpressionKind::Member { object, name, is_static: true } => {
                let object = self.expression(object)?;
                let name = self.member_name(name)?;
                match object {
                    Value::Type(of) => Ok(member::set_static(&of, &name)?),
                    _ => Err(not_assignable()),
                }
            }
            ExpressionKind::Index { object, index } => {
                let object = self.expression(object)?;
                let index = self.expression(index)?;
                self.set_index(&object, &index, value)
            }
            _ => Err(not_assignable()),
        }
    }

    fn assign_typed(&mut self, type_name: &TypeName, inner: &Expression, value: Value) -> Done {
        let value = self.cast(type_name, &value)?;
        let ExpressionKind::Variable(name) = &inner.kind else { return self.assign(inner, value) };
        let scope = self.scope_of(name.scope.as_deref());
        scope.set(&name.name, value);
        scope.set_type(&name.name, Some(Rc::new(type_name.clone())));
        Ok(())
    }

    fn set_member(&mut self, object: &Value, name: &str, value: Value) -> Done {
        if object.is_null() {
            return Err(Fault::new(
                Category::InvalidOperation,
                format!("The property '{name}' cannot be found on this object. Verify that the property exists and can be set: the object is $null."),
            )
            .into());
        }
        self.with_context(|context| member::set_property(context, object, name, value))
    }

    fn set_index(&mut self, object: &Value, index: &Value, value: Value) -> Done {
        match object {
            Value::List(list) => {
                let length = list.values.borrow().len();
                match operator::place(index, length)? {
                    Some(at) => {
                        let old = std::mem::replace(&mut list.values.borrow_mut()[at], value);
                        drop(old);
                        Ok(())
                    }
                    None => Err(out_of_bounds(list.kind)),
                }
            }
            Value::Table(table) => {
                if index.is_null() {
                    let message = "Index operation failed; the array index evaluated to null.";
                    return Err(Fault::new(Category::InvalidOperation, message).into());
                }
                let mut table = table.borrow_mut();
                let by_place = match index {
                    Value::Int(at) if table.is_ordered && !table.has(index) => {
                        usize::try_from(*at).ok().and_then(|at| table.entries().get(at)).map(|(key, _)| key.clone())
                    }
                    _ => None,
                };
                if table.len() >= self.limits.list_length && !table.has(index) {
                    let message = format!("A table of more than {} entries is not made.", self.limits.list_length);
                    return Err(super::flow::limit(message).into());
                }
                table.set(by_place.unwrap_or_else(|| index.clone()), value);
                Ok(())
            }
            Value::Object(_) => self.set_member(object, &convert::text(index), value),
            Value::Null => Err(Fault::new(Category::InvalidOperation, "Cannot index into a null array.").into()),
            other => Err(Fault::new(
                Category::InvalidOperation,
                format!("Unable to index into an object of type \"{}\".", convert::type_name(other)),
            )
            .into()),
        }
    }

    /// The scope that a prefix as `script:` names; none: the current one.
    pub(crate) fn scope_of(&self, prefix: Option<&str>) -> Rc<Scope> {
        match prefix.map(str::to_ascii_lowercase).as_deref() {
            Some("global") => Rc::clone(&self.global),
            Some("script") => self.frame.scope.nearest(ScopeKind::Script),
            _ => Rc::clone(&self.frame.scope),
        }
    }

    /// The value of a variable; `$null` where there is none.
    pub(crate) fn variable(&mut self, name: &VariableName) -> Done<Value> {
        Ok(match name.scope.as_deref() {
            None | Some("local" | "private" | "using" | "variable") => {
                self.find_variable(&name.name).unwrap_or_default()
            }
            Some("global") => self
                .global
                .own(&name.name)
                .map(|variable| variable.value)
                .or_else(|| self.automatic(&name.name))
                .unwrap_or_default(),
            Some("script") => {
                let scope = self.frame.scope.nearest(ScopeKind::Script);
                scope
                    .own(&name.name)
                    .map(|variable| variable.value)
                    // A function asks so by what name its script was called.
                    .or_else(|| name.name.eq_ignore_ascii_case("MyInvocation").then(|| self.invocation(&scope)))
                    .or_else(|| self.automatic(&name.name))
                    .unwrap_or_default()
            }
            Some("env") => self.environment(&name.name).map_or(Value::Null, Value::text),
            Some("function") => {
                self.frame.scope.find_function(&name.name).map_or(Value::Null, |(_, body)| Value::Block(body))
            }
            Some(other) => {
                return Err(Fault::new(
                    Category::ObjectNotFound,
                    format!("Cannot find drive. A drive with the name '{other}' does not exist; after a variable in text write ${{name}}: before a colon."),
                )
                .into());
            }
        })
    }

    /// An environment variable, as the script sees it.
    pub(crate) fn environment(&self, name: &str) -> Option<String> {
        match self.environment.get(&key(name)) {
            Some(set) => set.clone(),
            None => self.world.environment(name),
        }
    }

    /// Sets a variable by its name as written.
    pub(crate) fn set_variable(&mut self, name: &VariableName, value: Value) -> Done {
        match name.scope.as_deref() {
            Some("env") => {
                let text = (!value.is_null()).then(|| convert::text(&value));
                self.environment.insert(key(&name.name), text);
                return Ok(());
            }
            Some("function") => {
                let Value::Block(body) = value else {
                    return Err(Fault::new(
                        Category::InvalidArgument,
                        "A function is set to a script block: $function:name = { ... }",
                    )
                    .into());
                };
                self.frame.scope.set_function(&name.name, body);
                return Ok(());
            }
            _ => {}
        }
        if name.name.eq_ignore_ascii_case("null") {
            // `$null = ...` throws a value away.
            return Ok(());
        }
        if is_constant(&name.name) {
            return Err(Fault::new(
                Category::InvalidOperation,
                format!("Cannot overwrite variable {} because it is read-only or constant.", name.name),
            )
            .into());
        }
        let scope = self.scope_of(name.scope.as_deref());
        self.set_in(&scope, &name.name, value)
    }

    /// Sets a variable of a scope, converted to its type if it has one.
    pub(crate) fn set_in(&mut self, scope: &Rc<Scope>, name: &str, value: Value) -> Done {
        let value = match scope.own(name).and_then(|variable| variable.type_name) {
            Some(type_name) => self.cast(&type_name, &value)?,
            None => value,
        };
        scope.set(name, value);
        Ok(())
    }
}

/// Whether nobody may set a variable of this name.
pub(crate) fn is_constant(name: &str) -> bool {
    ["true", "false", "null", "?", "Error", "Host", "PID", "HOME", "PSVersionTable", "ExecutionContext", "ShellId"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn not_assignable() -> Flow {
    Fault::new(
        Category::InvalidOperation,
        "The assignment expression is not valid. The input to an assignment operator must be an object that is able to accept assignments, such as a variable or a property.",
    )
    .into()
}

fn out_of_bounds(kind: ListKind) -> Flow {
    let mut fault = Fault::new(
        Category::InvalidOperation,
        match kind {
            ListKind::Array => "Index was outside the bounds of the array.",
            _ => "Index was out of range. Must be non-negative and less than the size of the collection.",
        },
    );
    fault.exception = "System.IndexOutOfRangeException";
    fault.into()
}
