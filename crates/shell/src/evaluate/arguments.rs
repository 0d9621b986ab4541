//! The arguments of a command as written, evaluated but not yet bound.

use super::flow::Done;
use super::interpreter::Interpreter;
use crate::convert;
use crate::source::Span;
use crate::syntax::{Argument, Expression, ExpressionKind};
use crate::value::Value;

/// One value as given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub value: Value,
    /// Where a word looks like a number: the same as text, for parameters that want text.
    pub raw: Option<Value>,
}

impl From<Value> for Given {
    fn from(value: Value) -> Given {
        Given { value, raw: None }
    }
}

/// One argument.
#[derive(Clone, Debug)]
pub(crate) enum GivenArgument {
    /// `-Name`, perhaps with `:value`.
    Named { name: String, value: Option<Given>, span: Span },
    /// A value.
    Value(Given, Span),
}

impl Interpreter {
    /// Evaluates arguments, tables and lists that are splatted included.
    pub(crate) fn arguments(&mut self, arguments: &[Argument]) -> Done<Vec<GivenArgument>> {
        let mut given = Vec::with_capacity(arguments.len());
        for argument in arguments {
            match argument {
                Argument::Value(expression) => {
                    given.push(GivenArgument::Value(self.given(expression)?, expression.span));
                }
                Argument::Parameter { name, value, span } => {
                    let value = match value {
                        Some(value) => Some(self.given(value)?),
                        None => None,
                    };
                    given.push(GivenArgument::Named { name: name.clone(), value, span: *span });
                }
                Argument::Splat { variable, span } => match self.variable(variable)? {
                    Value::Table(table) => {
                        let table = table.borrow();
                        given.extend(table.entries().iter().map(|(name, value)| GivenArgument::Named {
                            name: convert::text(name),
                            value: Some(Given::from(value.clone())),
                            span: *span,
                        }));
                    }
                    // What a function was given without declaring it goes on as it was written, names as names.
                    other if variable.name.eq_ignore_ascii_case("args") => {
                        let mut values = convert::elements(&other).into_iter();
                        while let Some(value) = values.next() {
                            given.push(match parameter_name(&value) {
                                Some(name) => GivenArgument::Named {
                                    value: name.ends_with(':').then(|| Given::from(values.next().unwrap_or_default())),
                                    name: name.trim_end_matches(':').to_owned(),
                                    span: *span,
                                },
                                None => GivenArgument::Value(Given::from(value), *span),
                            });
                        }
                    }
                    other => {
                        let values = convert::elements(&other);
                        given.extend(values.into_iter().map(|value| GivenArgument::Value(Given::from(value), *span)));
                    }
                },
                // What follows came as values already.
                Argument::EndOfParameters => {}
            }
        }
        Ok(given)
    }

    fn given(&mut self, expression: &Expression) -> Done<Given> {
        match &expression.kind {
            ExpressionKind::BareNumber(text, number) => {
                Ok(Given { value: self.expression(number)?, raw: Some(Value::text(text)) })
            }
            ExpressionKind::List(elements) => {
                let mut values = Vec::with_capacity(elements.len());
                let mut raws = Vec::with_capacity(elements.len());
                let mut has_raw = false;
                for element in elements {
                    let one = self.given(element)?;
                    has_raw |= one.raw.is_some();
                    raws.push(one.raw.unwrap_or_else(|| one.value.clone()));
                    values.push(one.value);
                }
                Ok(Given { value: Value::array(values), raw: has_raw.then(|| Value::array(raws)) })
            }
            _ => Ok(Given::from(self.expression(expression)?)),
        }
    }
}

/// The name in a text that is a parameter as written, `-Name` or `-Name:`.
fn parameter_name(value: &Value) -> Option<String> {
    let Value::Text(text) = value else { return None };
    let name = text.strip_prefix('-')?;
    let is_name = name.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && name.trim_end_matches(':').chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    is_name.then(|| name.to_owned())
}
