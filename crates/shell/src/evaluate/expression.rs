//! Expressions: from a tree to a value.

use std::cell::RefCell;
use std::rc::Rc;

use super::flow::{Done, Flow, shallow_bytes};
use super::interpreter::Interpreter;
use super::operator::{self, Bounds};
use super::sink::{Discard, Sink};
use crate::context::BlockScope;
use crate::convert;
use crate::fault::{Category, Fault};
use crate::member::{self, Reference};
use crate::syntax::{
    BinaryOperator, Block, Expression, ExpressionKind, PipelineElement, ScriptBlock, Statement, StatementKind,
    TextPart, TypeName,
};
use crate::value::{Table, Value};

impl Interpreter {
    /// The value of an expression; an error gets its place.
    pub(crate) fn expression(&mut self, expression: &Expression) -> Done<Value> {
        self.expression_kind(expression).map_err(|flow| match flow {
            Flow::Fault(fault) => Flow::Fault(Box::new(fault.at(&self.frame.source, expression.span))),
            other => other,
        })
    }

    fn expression_kind(&mut self, expression: &Expression) -> Done<Value> {
        match &expression.kind {
            ExpressionKind::Integer(number) => Ok(Value::Int(*number)),
            ExpressionKind::Float(number) => Ok(Value::Float(*number)),
            ExpressionKind::Text(text) => Ok(Value::text(text)),
            ExpressionKind::BareNumber(_, number) => self.expression(number),
            ExpressionKind::Variable(name) => self.variable(name),
            ExpressionKind::ScriptBlock(block) => Ok(Value::Block(Rc::clone(block))),
            ExpressionKind::Type(name) => Ok(Value::Type(Rc::new(name.clone()))),
            _ => {
                self.check_depth()?;
                self.deep_expression(expression)
            }
        }
    }

    /// Those that have others within.
    fn deep_expression(&mut self, expression: &Expression) -> Done<Value> {
        match &expression.kind {
            ExpressionKind::Interpolated(parts) => self.interpolated(parts),
            ExpressionKind::List(elements) => self.list(elements),
            ExpressionKind::ArrayOf(statements) => self.array_of(statements),
            ExpressionKind::SubExpression(statements) => {
                let values = self.collect(|it, out| it.block(statements, out))?;
                Ok(convert::gathered(values))
            }
            ExpressionKind::Parenthesis(statement) => self.statement_value(statement),
            ExpressionKind::Table(entries) => self.table(entries, false),
            ExpressionKind::Cast(type_name, value) => self.cast_expression(type_name, value),
            ExpressionKind::Unary(operator, value) => {
                let value = self.expression(value)?;
                Ok(operator::unary(*operator, &value)?)
            }
            ExpressionKind::Binary { operator, is_case_sensitive, left, right } => {
                self.binary(*operator, *is_case_sensitive, left, right)
            }
            ExpressionKind::Increment { target, is_decrement, is_postfix } => {
                self.increment(target, *is_decrement, *is_postfix)
            }
            ExpressionKind::Member { object, name, is_static } => {
                if let (true, ExpressionKind::Type(type_name)) = (*is_static, &object.kind) {
                    let name = self.member_name(name)?;
                    return self.with_context(|context| member::static_property(context, type_name, &name));
                }
                let object = self.expression(object)?;
                let name = self.member_name(name)?;
                match (*is_static, &object) {
                    (true, Value::Type(type_name)) => {
                        let type_name = Rc::clone(type_name);
                        self.with_context(|context| member::static_property(context, &type_name, &name))
                    }
                    _ => self.member(&object, &name),
                }
            }
            ExpressionKind::Call { object, name, arguments, is_static } => {
                Ok(self.call(object, name, arguments, *is_static)?.unwrap_or_default())
            }
            ExpressionKind::Index { object, index } => {
                let object = self.expression(object)?;
                let index = self.expression(index)?;
                match operator::index(&object, &index)? {
                    Some(value) => Ok(value),
                    None => Err(Fault::new(Category::InvalidOperation, "Cannot index into a null array.").into()),
                }
            }
            // The flat ones were dealt with.
            _ => Ok(Value::Null),
        }
    }

    fn interpolated(&mut self, parts: &[TextPart]) -> Done<Value> {
        let mut text = String::new();
        for part in parts {
            match part {
                TextPart::Text(part) => text.push_str(part),
                TextPart::Value(expression) => {
                    let value = self.expression(expression)?;
                    match &value {
                        Value::Text(part) => text.push_str(part),
                        other => text.push_str(&self.as_text(other)),
                    }
                }
            }
            self.check_text(text.len())?;
        }
        self.text(text)
    }

    /// A value as text, lists joined by `$OFS`.
    pub(crate) fn as_text(&self, value: &Value) -> String {
        match value {
            Value::List(_) => match self.frame.scope.find("OFS") {
                Some(separator) => convert::joined(value, &convert::text(&separator)),
                None => convert::text(value),
            },
            value => convert::text(value),
        }
    }

    fn list(&mut self, elements: &[Expression]) -> Done<Value> {
        let mut values = Vec::with_capacity(elements.len());
        for element in elements {
            values.push(self.expression(element)?);
        }
        Ok(Value::array(values))
    }

    fn array_of(&mut self, statements: &Block) -> Done<Value> {
        let values = self.collect(|it, out| it.block(statements, out))?;
        Ok(Value::array(values))
    }

    /// `@{ }`.
    pub(crate) fn table(&mut self, entries: &[(Expression, Statement)], is_ordered: bool) -> Done<Value> {
        let mut table = Table::default();
        table.is_ordered = is_ordered;
        for (key_expression, value) in entries {
            let key = match &key_expression.kind {
                ExpressionKind::BareNumber(_, number) => self.expression(number)?,
                _ => self.expression(key_expression)?,
            };
            if key.is_null() {
                return Err(Fault::new(Category::InvalidArgument, "A null key is not allowed in a hash literal.")
                    .at(&self.frame.source, key_expression.span)
                    .into());
            }
            let value = self.statement_value(value)?;
            if table.has(&key) {
                return Err(Fault::new(
                    Category::InvalidArgument,
                    format!("Duplicate keys '{}' are not allowed in hash literals.", convert::text(&key)),
                )
                .at(&self.frame.source, key_expression.span)
                .into());
            }
            table.set(key, value);
        }
        Ok(Value::Table(Rc::new(RefCell::new(table))))
    }

    fn cast_expression(&mut self, type_name: &TypeName, inner: &Expression) -> Done<Value> {
        // [ordered]@{} and [pscustomobject]@{} keep the order as written.
        if type_name.name.eq_ignore_ascii_case("ordered") && type_name.array_depth == 0 {
            return match &inner.kind {
                ExpressionKind::Table(entries) => self.table(entries, true),
                _ => Err(Fault::new(
                    Category::Parser,
                    "The ordered attribute can be specified only on a hash literal node.",
                )
                .into()),
            };
        }
        if type_name.name.eq_ignore_ascii_case("void") {
            self.expression(inner)?;
            return Ok(Value::Null);
        }
        // What was written decides about text: [string]1.10 is 1.10.
        let value = match &inner.kind {
            ExpressionKind::BareNumber(text, _) => Value::text(text),
            _ => self.expression(inner)?,
        };
        if let (ExpressionKind::Variable(name), true) = (&inner.kind, is_reference(type_name))
            && name.scope.is_none()
        {
            return Ok(self.reference(&name.name, value));
        }
        self.cast(type_name, &value)
    }

    /// `[ref]$x`: who changes it changes the variable, while that is there.
    fn reference(&self, name: &str, value: Value) -> Value {
        let owner = self.frame.scope.outwards().find(|scope| scope.own(name).is_some());
        let owner = Rc::downgrade(&owner.unwrap_or_else(|| Rc::clone(&self.frame.scope)));
        let name: Box<str> = name.into();
        Value::foreign(Reference::linked(value, move |new| {
            if let Some(owner) = owner.upgrade() {
                owner.set(&name, new);
            }
        }))
    }

    /// `[Type]value`.
    pub(crate) fn cast(&mut self, type_name: &TypeName, value: &Value) -> Done<Value> {
        self.with_context(|context| member::cast(context, type_name, value))
    }

    fn bounds(&self) -> Bounds {
        Bounds { list_length: self.limits.list_length, text_bytes: self.limits.text_bytes }
    }

    fn binary(
        &mut self,
        operator: BinaryOperator,
        is_case_sensitive: bool,
        left: &Expression,
        right: &Expression,
    ) -> Done<Value> {
        let left = self.expression(left)?;
        match operator {
            BinaryOperator::And if !convert::truth(&left) => return Ok(Value::Bool(false)),
            BinaryOperator::Or if convert::truth(&left) => return Ok(Value::Bool(true)),
            _ => {}
        }
        let right = self.expression(right)?;
        match operator {
            BinaryOperator::Is | BinaryOperator::IsNot | BinaryOperator::As => self.type_operator(operator, &left, &right),
            BinaryOperator::Match | BinaryOperator::NotMatch if !matches!(left, Value::List(_)) => {
                let found = operator::matches(&self.as_text(&left), &convert::text(&right), is_case_sensitive)?;
                let is_match = found.is_some();
                if let Some(table) = found {
                    self.frame.scope.set("Matches", Value::Table(Rc::new(RefCell::new(table))));
                }
                Ok(Value::Bool(is_match == (operator == BinaryOperator::Match)))
            }
            BinaryOperator::Replace if matches!(&right, Value::List(list) if matches!(list.values.borrow().get(1), Some(Value::Block(_)))) => {
                Err(Fault::new(
                    Category::InvalidArgument,
                    "-replace takes no script block in version 5.1 of the language, which this is; write [regex]::Replace($text, 'pattern', { param($found) ... }).",
                )
                .into())
            }
            _ => self.apply(operator, is_case_sensitive, &left, &right),
        }
    }

    /// An operator on two values.
    pub(crate) fn apply(
        &mut self,
        operator: BinaryOperator,
        is_case_sensitive: bool,
        left: &Value,
        right: &Value,
    ) -> Done<Value> {
        let right_text;
        let right = match (operator, left, right) {
            // What is glued to a text is joined as in a text.
            (BinaryOperator::Add, Value::Text(_), Value::List(_)) => {
                right_text = Value::text(self.as_text(right));
                &right_text
            }
            _ => right,
        };
        if operator == BinaryOperator::Split {
            let arguments = match right {
                Value::List(list) => list.values.borrow().clone(),
                one => vec![one.clone()],
            };
            if let [Value::Block(block), rest @ ..] = arguments.as_slice() {
                return self.split_where(left, block, rest.first());
            }
        }
        let value = operator::binary(operator, is_case_sensitive, left, right, self.bounds())?;
        self.charge(shallow_bytes(&value))?;
        Ok(value)
    }

    /// `text -split { ... }`: at each character, `$_`, for which the block says so.
    fn split_where(&mut self, left: &Value, block: &Rc<ScriptBlock>, most: Option<&Value>) -> Done<Value> {
        let most = match most {
            Some(most) => usize::try_from(convert::integer(most)?.max(0)).unwrap_or(usize::MAX),
            None => 0,
        };
        let mut parts = Vec::new();
        for one in convert::elements(left) {
            let text = convert::text(&one);
            let mut begin = 0;
            let mut taken = 1;
            for (at, letter) in text.char_indices() {
                if most > 0 && taken >= most {
                    break;
                }
                let letter_text = Value::text(letter.to_string());
                let found =
                    self.collect(|it, out| it.call_block(block, BlockScope::Own, Some(letter_text), &[], out))?;
                if convert::truth(&convert::gathered(found)) {
                    parts.push(Value::text(&text[begin..at]));
                    begin = at + letter.len_utf8();
                    taken += 1;
                }
            }
            parts.push(Value::text(&text[begin..]));
        }
        let value = Value::array(parts);
        self.charge(shallow_bytes(&value))?;
        Ok(value)
    }

    fn type_operator(&mut self, operator: BinaryOperator, left: &Value, right: &Value) -> Done<Value> {
        let type_name = match right {
            Value::Type(name) => TypeName::clone(name),
            other => TypeName { name: convert::text(other), arguments: Vec::new(), array_depth: 0 },
        };
        match operator {
            BinaryOperator::As => match self.cast(&type_name, left) {
                Ok(value) => Ok(value),
                Err(Flow::Fault(fault)) if fault.severity != crate::fault::Severity::Final => Ok(Value::Null),
                Err(other) => Err(other),
            },
            _ => Ok(Value::Bool(member::is_of_type(left, &type_name) == (operator == BinaryOperator::Is))),
        }
    }

    fn increment(&mut self, target: &Expression, is_decrement: bool, is_postfix: bool) -> Done<Value> {
        let old = self.expression(target)?;
        let step = Value::Int(if is_decrement { -1 } else { 1 });
        let old = if old.is_null() { Value::Int(0) } else { old };
        if !matches!(old, Value::Int(_) | Value::Float(_)) {
            let sign = if is_decrement { "--" } else { "++" };
            return Err(Fault::new(
                Category::InvalidOperation,
                format!(
                    "The operator '{sign}' works only on numbers. The operand is a '{}'.",
                    convert::type_name(&old)
                ),
            )
            .into());
        }
        let new = operator::binary(BinaryOperator::Add, false, &old, &step, self.bounds())?;
        self.assign(target, new.clone())?;
        Ok(if is_postfix { old } else { new })
    }

    /// The name behind a point.
    pub(crate) fn member_name(&mut self, name: &Expression) -> Done<String> {
        match &name.kind {
            ExpressionKind::Text(name) => Ok(name.clone()),
            ExpressionKind::BareNumber(name, _) => Ok(name.clone()),
            _ => {
                let name = self.expression(name)?;
                Ok(convert::text(&name))
            }
        }
    }

    /// `object.name`: of a list that has no such member, those of its elements.
    pub(crate) fn member(&mut self, object: &Value, name: &str) -> Done<Value> {
        if object.is_null() {
            return Ok(match name.eq_ignore_ascii_case("Count") || name.eq_ignore_ascii_case("Length") {
                true => Value::Int(0),
                false => Value::Null,
            });
        }
        if let Some(value) = self.automatic_member(object, name)? {
            return Ok(value);
        }
        if let Some(value) = self.with_context(|context| member::property(context, object, name))? {
            return Ok(value);
        }
        match object {
            Value::List(list) => {
                self.check_depth()?;
                let elements = list.values.borrow().clone();
                let mut found = Vec::new();
                for element in &elements {
                    if element.is_null() {
                        continue;
                    }
                    let value = match element {
                        // A list within is looked into as well.
                        Value::List(_) => self.member(element, name)?,
                        element => {
                            self.with_context(|context| member::property(context, element, name))?.unwrap_or_default()
                        }
                    };
                    match value {
                        Value::List(inner) => found.extend(inner.values.borrow().iter().cloned()),
                        Value::Null => {}
                        value => found.push(value),
                    }
                }
                Ok(convert::gathered(found))
            }
            // One value is a list of itself.
            _ if name.eq_ignore_ascii_case("Count") || name.eq_ignore_ascii_case("Length") => Ok(Value::Int(1)),
            _ => Ok(Value::Null),
        }
    }

    /// `object.name(arguments)`; `None`: it yields nothing.
    pub(crate) fn call(
        &mut self,
        object: &Expression,
        name: &Expression,
        arguments: &[Expression],
        is_static: bool,
    ) -> Done<Option<Value>> {
        let static_type = match &object.kind {
            ExpressionKind::Type(type_name) if is_static => Some(Rc::new(type_name.clone())),
            _ => None,
        };
        let object = match &static_type {
            Some(_) => Value::Null,
            None => self.expression(object)?,
        };
        let name = self.member_name(name)?;
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.expression(argument)?);
        }
        let static_type = match (&object, is_static) {
            (Value::Type(type_name), true) => Some(Rc::clone(type_name)),
            _ => static_type,
        };
        let result = match static_type {
            Some(type_name) if member::ends_process(&type_name, &name) => {
                let code = convert::integer(values.first().unwrap_or(&Value::Int(0)))?;
                return Err(Flow::Exit(i32::try_from(code).unwrap_or(1)));
            }
            Some(type_name) => self.with_context(|context| member::call_static(context, &type_name, &name, &values))?,
            None => self.call_method(&object, &name, &values)?,
        };
        // What the function wrote to `[ref]$x` becomes the variable's value.
        for (argument, value) in arguments.iter().zip(&values) {
            if let (ExpressionKind::Cast(_, target), Some(reference)) = (&argument.kind, value.downcast::<Reference>())
            {
                self.assign(target, reference.get())?;
            }
        }
        if let Some(result) = &result {
            self.charge(shallow_bytes(result))?;
        }
        Ok(result)
    }

    fn call_method(&mut self, object: &Value, name: &str, arguments: &[Value]) -> Done<Option<Value>> {
        if object.is_null() {
            return Err(Fault::new(
                Category::InvalidOperation,
                "You cannot call a method on a null-valued expression.",
            )
            .into());
        }
        if let Some(value) = self.automatic_call(object, name, arguments)? {
            return Ok(Some(value));
        }
        self.with_context(|context| member::call(context, object, name, arguments))
    }

    /// The value of a statement where a value is wanted: of a single expression its value as it is, of everything else what
    /// it yields.
    pub(crate) fn statement_value(&mut self, statement: &Statement) -> Done<Value> {
        Ok(self.statement_yield(statement)?.unwrap_or_default())
    }

    /// The same, or `None` where it yields nothing, which counts as `$null` wherever a value is asked for.
    pub(crate) fn statement_yield(&mut self, statement: &Statement) -> Done<Option<Value>> {
        let values = match &statement.kind {
            StatementKind::Pipeline(pipeline) => match pipeline.elements.as_slice() {
                [PipelineElement::Expression(expression, redirections)] if redirections.is_empty() => {
                    let value = self.expression_yield(expression)?;
                    self.is_ok = true;
                    return Ok(value);
                }
                _ => self.collect(|it, out| it.pipeline(pipeline, out))?,
            },
            StatementKind::Assign { target, operator, value } => {
                return self.assignment(target, *operator, value).map(Some);
            }
            _ => self.collect(|it, out| it.statement(statement, out))?,
        };
        Ok((!values.is_empty()).then(|| convert::gathered(values)))
    }

    /// The value of an expression; `None`: a method or a pipeline in parentheses yielded nothing, or a variable was given
    /// that nothing.
    pub(crate) fn expression_yield(&mut self, expression: &Expression) -> Done<Option<Value>> {
        match &expression.kind {
            ExpressionKind::Parenthesis(statement) => self.statement_yield(statement),
            ExpressionKind::Call { object, name, arguments, is_static } => {
                self.call(object, name, arguments, *is_static).map_err(|flow| match flow {
                    Flow::Fault(fault) => Flow::Fault(Box::new(fault.at(&self.frame.source, expression.span))),
                    other => other,
                })
            }
            ExpressionKind::Variable(name) => {
                let value = self.expression(expression)?;
                let is_nothing = value.is_null() && self.scope_of(name.scope.as_deref()).is_nothing(&name.name);
                Ok((!is_nothing).then_some(value))
            }
            _ => self.expression(expression).map(Some),
        }
    }

    /// Runs something that wants a context and yields nothing into a pipeline.
    pub(crate) fn with_context<T>(
        &mut self,
        work: impl FnOnce(&mut dyn crate::context::Context) -> Result<T, Fault>,
    ) -> Done<T> {
        let mut discard = Discard;
        let done = {
            let mut running = super::running::Running::plain(self, &mut discard as &mut dyn Sink);
            work(&mut running)
        };
        done.map_err(|fault| self.flow_of(fault))
    }
}

/// Whether a type is that of references.
fn is_reference(type_name: &TypeName) -> bool {
    const NAMES: [&str; 3] = ["ref", "PSReference", "System.Management.Automation.PSReference"];
    type_name.array_depth == 0 && NAMES.iter().any(|name| name.eq_ignore_ascii_case(&type_name.name))
}
