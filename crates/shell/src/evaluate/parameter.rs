//! Parameters of functions: what their attributes say, and whether a value will do.

use std::rc::Rc;

use super::arguments::Given;
use super::flow::{Done, Flow};
use super::interpreter::Interpreter;
use super::scope::Scope;
use crate::context::BlockScope;
use crate::convert::{self, pattern};
use crate::fault::{Category, Fault, Severity};
use crate::syntax::{Attribute, Expression, ExpressionKind, ParameterDeclaration, ScriptBlock};
use crate::value::{Table, Value};

/// One parameter, as its attributes make it.
pub(super) struct Declared<'a> {
    pub declaration: &'a ParameterDeclaration,
    pub aliases: Vec<String>,
    pub is_switch: bool,
    pub is_mandatory: bool,
    pub position: Option<i64>,
    pub from_object: bool,
    pub from_property: bool,
    pub takes_rest: bool,
    pub sets: Vec<String>,
    pub help: Option<String>,
}

impl Declared<'_> {
    pub fn is_in(&self, set: &str) -> bool {
        self.sets.is_empty() || self.sets.iter().any(|own| own.eq_ignore_ascii_case(set))
    }

    pub fn is_called(&self, name: &str) -> bool {
        self.declaration.name.eq_ignore_ascii_case(name)
            || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    }
}

/// Whether a block has `[CmdletBinding()]`, or a parameter with `[Parameter()]`: it takes the common parameters, and nothing
/// that it does not declare.
pub(crate) fn is_advanced(block: &ScriptBlock) -> bool {
    block.attributes.iter().any(|attribute| attribute.name.eq_ignore_ascii_case("CmdletBinding"))
        || block.parameters.iter().any(|parameter| {
            parameter.attributes.iter().any(|attribute| attribute.name.eq_ignore_ascii_case("Parameter"))
        })
}

impl Interpreter {
    /// Sets the variables of parameters, first those that were given, then the defaults of the others.
    pub(super) fn set_parameters(
        &mut self,
        name: &str,
        declared: &[Declared<'_>],
        bound: Vec<(usize, Option<Given>)>,
    ) -> Done {
        let scope = Rc::clone(&self.frame.scope);
        let mut explicit = Table::default();
        let mut without = Vec::new();
        for (at, given) in bound {
            let Some(given) = given else {
                without.push(at);
                continue;
            };
            let value = self.parameter_value(name, &declared[at], given)?;
            explicit.set(Value::text(&declared[at].declaration.name), value.clone());
            self.set_parameter(&scope, &declared[at], value);
        }
        for at in without {
            let declaration = declared[at].declaration;
            let value = match (&declaration.default, &declaration.type_name) {
                (Some(default), _) => {
                    let value = self.expression(default)?;
                    match &declaration.type_name {
                        Some(type_name) if !declared[at].is_switch => self.cast(type_name, &value)?,
                        _ => value,
                    }
                }
                (None, Some(type_name)) if type_name.array_depth == 0 => {
                    match type_name.name.to_ascii_lowercase().as_str() {
                        "string" | "system.string" => Value::text(""),
                        "int" | "int32" | "int64" | "long" | "system.int32" | "system.int64" | "double" | "decimal"
                        | "byte" => Value::Int(0),
                        "bool"
                        | "boolean"
                        | "system.boolean"
                        | "switch"
                        | "switchparameter"
                        | "system.management.automation.switchparameter" => Value::Bool(false),
                        _ => Value::Null,
                    }
                }
                _ => Value::Null,
            };
            self.set_parameter(&scope, &declared[at], value);
        }
        scope.set("PSBoundParameters", Value::Table(Rc::new(std::cell::RefCell::new(explicit))));
        Ok(())
    }

    fn set_parameter(&mut self, scope: &Rc<Scope>, declared: &Declared<'_>, value: Value) {
        scope.set(&declared.declaration.name, value);
        let type_name = declared.declaration.type_name.as_ref().filter(|_| !declared.is_switch);
        scope.set_type(&declared.declaration.name, type_name.map(|name| Rc::new(name.clone())));
    }

    /// A given value, converted to the parameter's type and held against its attributes.
    pub(super) fn parameter_value(&mut self, name: &str, declared: &Declared<'_>, given: Given) -> Done<Value> {
        let declaration = declared.declaration;
        let value = match &declaration.type_name {
            Some(_) if declared.is_switch => Value::Bool(convert::truth(&given.value)),
            Some(type_name) => {
                // A word that looks like a number is text where text is wanted.
                let wants_text = matches!(type_name.name.to_ascii_lowercase().as_str(), "string" | "system.string");
                let value = match given.raw {
                    Some(raw) if wants_text => raw,
                    _ => given.value,
                };
                self.cast(type_name, &value).map_err(|flow| match flow {
                    Flow::Fault(mut fault) => {
                        fault.message = format!(
                            "Cannot process argument transformation on parameter '{}'. {}",
                            declaration.name, fault.message
                        );
                        fault.exception =
                            "System.Management.Automation.ParameterBindingArgumentTransformationException";
                        Flow::Fault(Box::new(fault.by(name)))
                    }
                    other => other,
                })?
            }
            None => given.value,
        };
        for attribute in &declaration.attributes {
            if let Some(why) = self.invalid(attribute, &value, declared.is_mandatory)? {
                let mut fault = Fault::new(
                    Category::InvalidArgument,
                    format!("Cannot validate argument on parameter '{}'. {why}", declaration.name),
                );
                fault.exception = "System.Management.Automation.ParameterBindingValidationException";
                return Err(fault.by(name).into());
            }
        }
        let is_nothing = value.is_null()
            || matches!(&value, Value::Text(text) if text.is_empty())
            || matches!(&value, Value::List(list) if list.values.borrow().is_empty());
        let allows =
            |what: &str| declaration.attributes.iter().any(|attribute| attribute.name.eq_ignore_ascii_case(what));
        if declared.is_mandatory
            && is_nothing
            && !allows("AllowNull")
            && !allows("AllowEmptyString")
            && !allows("AllowEmptyCollection")
        {
            let what = match &value {
                Value::Text(_) => "an empty string",
                Value::List(_) => "an empty array",
                _ => "null",
            };
            let mut fault = Fault::new(
                Category::InvalidArgument,
                format!("Cannot bind argument to parameter '{}' because it is {what}.", declaration.name),
            );
            fault.exception = "System.Management.Automation.ParameterBindingValidationException";
            return Err(fault.by(name).into());
        }
        Ok(value)
    }

    /// Why a value does not pass a `[Validate...]`.
    fn invalid(&mut self, attribute: &Attribute, value: &Value, _is_mandatory: bool) -> Done<Option<String>> {
        let lower = attribute.name.to_ascii_lowercase();
        if !lower.starts_with("validate") {
            return Ok(None);
        }
        let mut arguments = Vec::with_capacity(attribute.positional.len());
        for argument in &attribute.positional {
            arguments.push(match &argument.kind {
                ExpressionKind::ScriptBlock(block) => Value::Block(Rc::clone(block)),
                _ => self.expression(argument)?,
            });
        }
        let values = match value {
            Value::List(list) => list.values.borrow().clone(),
            one => vec![one.clone()],
        };
        for value in &values {
            let text = convert::text(value);
            let why = match lower.as_str() {
                "validateset" if !arguments.iter().any(|known| convert::texts_equal(&convert::text(known), &text, false)) => {
                    let known: Vec<String> = arguments.iter().map(convert::text).collect();
                    format!(
                        "The argument \"{text}\" does not belong to the set \"{}\" specified by the ValidateSet attribute. Supply an argument that is in the set and then try the command again.",
                        known.join(",")
                    )
                }
                "validaterange" if arguments.len() == 2 => {
                    if convert::compare(value, &arguments[0], false)?.is_lt() {
                        format!(
                            "The {text} argument is less than the minimum allowed range of {}. Supply an argument that is greater than or equal to {0} and then try the command again.",
                            convert::text(&arguments[0])
                        )
                    } else if convert::compare(value, &arguments[1], false)?.is_gt() {
                        format!(
                            "The {text} argument is greater than the maximum allowed range of {}. Supply an argument that is less than or equal to {0} and then try the command again.",
                            convert::text(&arguments[1])
                        )
                    } else {
                        continue;
                    }
                }
                "validatepattern" if !arguments.is_empty() => {
                    let wanted = convert::text(&arguments[0]);
                    if pattern::compile(&wanted, false)?.is_match(&text) {
                        continue;
                    }
                    format!("The argument \"{text}\" does not match the \"{wanted}\" pattern. Supply an argument that matches \"{wanted}\" and try the command again.")
                }
                "validatelength" if arguments.len() == 2 => {
                    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
                    if (convert::integer(&arguments[0])?..=convert::integer(&arguments[1])?).contains(&length) {
                        continue;
                    }
                    format!(
                        "The character length of the {length} argument is outside the allowed range of {} to {}.",
                        convert::text(&arguments[0]),
                        convert::text(&arguments[1])
                    )
                }
                "validatenotnullorempty" if value.is_null() || text.is_empty() && matches!(value, Value::Text(_)) => {
                    "The argument is null or empty. Provide an argument that is not null or empty, and then try the command again.".to_owned()
                }
                "validatenotnull" if value.is_null() => {
                    "The argument is null. Provide a valid value for the argument, and then try running the command again.".to_owned()
                }
                "validatescript" => {
                    let Some(Value::Block(block)) = arguments.first() else { continue };
                    let found =
                        self.collect(|it, out| it.call_block(block, BlockScope::Own, Some(value.clone()), &[], out));
                    let found = match found {
                        // What the script throws is what it has to say about the value.
                        Err(Flow::Fault(fault)) if fault.severity != Severity::Final => return Ok(Some(fault.message)),
                        found => found?,
                    };
                    if convert::truth(&convert::gathered(found)) {
                        continue;
                    }
                    format!(
                        "The \"{}\" validation script for the argument with value \"{text}\" did not return a result of True. Determine why the validation script failed, and then try the command again.",
                        block.source.slice(block.span)
                    )
                }
                _ => continue,
            };
            return Ok(Some(why));
        }
        if lower == "validatenotnullorempty" && values.is_empty() {
            return Ok(Some(
                "The argument is null, empty, or an element of the argument collection contains a null value."
                    .to_owned(),
            ));
        }
        if lower == "validatecount" && arguments.len() == 2 {
            let count = i64::try_from(values.len()).unwrap_or(i64::MAX);
            if !(convert::integer(&arguments[0])?..=convert::integer(&arguments[1])?).contains(&count) {
                return Ok(Some(format!(
                    "The number of provided arguments, ({count}), is outside the allowed range of {} to {}.",
                    convert::text(&arguments[0]),
                    convert::text(&arguments[1])
                )));
            }
        }
        Ok(None)
    }

    pub(super) fn declared<'a>(&mut self, block: &'a ScriptBlock) -> Done<Vec<Declared<'a>>> {
        let mut all = Vec::with_capacity(block.parameters.len());
        for declaration in &block.parameters {
            let type_name = declaration.type_name.as_ref().map(|name| name.name.to_ascii_lowercase());
            let is_switch = matches!(
                type_name.as_deref(),
                Some(
                    "switch"
                        | "switchparameter"
                        | "system.management.automation.switchparameter"
                        | "management.automation.switchparameter"
                )
            );
            let mut one = Declared {
                declaration,
                aliases: Vec::new(),
                is_switch,
                is_mandatory: false,
                position: None,
                from_object: false,
                from_property: false,
                takes_rest: false,
                sets: Vec::new(),
                help: None,
            };
            for attribute in &declaration.attributes {
                match attribute.name.to_ascii_lowercase().as_str() {
                    "parameter" => self.read_attribute(attribute, &mut one)?,
                    "alias" => {
                        for alias in &attribute.positional {
                            let alias = self.expression(alias)?;
                            one.aliases.extend(convert::elements(&alias).iter().map(convert::text));
                        }
                    }
                    _ => {}
                }
            }
            all.push(one);
        }
        Ok(all)
    }

    fn read_attribute(&mut self, attribute: &Attribute, into: &mut Declared<'_>) -> Done {
        for (name, value) in &attribute.named {
            let value = match value {
                None => Value::Bool(true),
                Some(value) => self.attribute_value(value)?,
            };
            match name.to_ascii_lowercase().as_str() {
                "mandatory" => into.is_mandatory |= convert::truth(&value),
                "position" => into.position = Some(convert::integer(&value)?),
                "valuefrompipeline" => into.from_object = convert::truth(&value),
                "valuefrompipelinebypropertyname" => into.from_property = convert::truth(&value),
                "valuefromremainingarguments" => into.takes_rest = convert::truth(&value),
                "parametersetname" => into.sets.push(convert::text(&value)),
                "helpmessage" => into.help = Some(convert::text(&value)),
                _ => {}
            }
        }
        Ok(())
    }

    /// `Mandatory = true` without its dollar sign is common, and works in the original, too.
    fn attribute_value(&mut self, value: &Expression) -> Done<Value> {
        match &value.kind {
            ExpressionKind::Text(text) if text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
            ExpressionKind::Text(text) if text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
            _ => self.expression(value),
        }
    }
}
