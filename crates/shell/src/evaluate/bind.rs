//! Binding: which argument belongs to which parameter of a command that has a [`Signature`].

use super::arguments::{Given, GivenArgument};
use super::flow::{Done, Flow};
use super::interpreter::Interpreter;
use super::kind;
use super::running::{Action, Common};
use crate::command::{Changes, FromPipeline, Kind, Parameter, Signature};
use crate::convert;
use crate::fault::{Category, Fault};
use crate::value::Value;

/// The arguments of a call, bound.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// Those that are the same for each object of the pipeline.
    pub arguments: Vec<(&'static str, Value)>,
}

/// The parameters that all commands have, with their short names.
const COMMON: [(&str, &str); 15] = [
    ("Verbose", "vb"),
    ("Debug", "db"),
    ("ErrorAction", "ea"),
    ("WarningAction", "wa"),
    ("InformationAction", "infa"),
    ("ErrorVariable", "ev"),
    ("WarningVariable", "wv"),
    ("InformationVariable", "iv"),
    ("OutVariable", "ov"),
    ("OutBuffer", "ob"),
    ("PipelineVariable", "pv"),
    ("WhatIf", "wi"),
    ("Confirm", "cf"),
    // Names a server of a directory, which there is none of: taken, and of no consequence.
    ("DomainController", "domaincontroller"),
    ("UseTransaction", "usetx"),
];

/// The common parameter of a name, its short name, or an unambiguous beginning.
pub(crate) fn common_name(name: &str) -> Option<&'static str> {
    let exact = |(known, short): &&(&str, &str)| known.eq_ignore_ascii_case(name) || short.eq_ignore_ascii_case(name);
    if let Some((known, _)) = COMMON.iter().find(exact) {
        return Some(known);
    }
    let begins = |known: &str| known.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    let mut matching = COMMON.iter().filter(|(known, _)| begins(known));
    match (matching.next(), matching.next()) {
        (Some((known, _)), None) => Some(known),
        _ => None,
    }
}

fn binding_fault(message: String) -> Fault {
    let mut fault = Fault::new(Category::InvalidArgument, message);
    fault.exception = "System.Management.Automation.ParameterBindingException";
    fault
}

/// No parameter of that name.
pub(crate) fn no_parameter(command: &str, name: &str, near: Option<&str>) -> Fault {
    let near = near.map(|near| format!(" Did you mean -{near}?")).unwrap_or_default();
    binding_fault(format!("A parameter cannot be found that matches parameter name '{name}'.{near}")).by(command)
}

/// A beginning that several parameters have.
pub(crate) fn ambiguous(name: &str, names: &[String]) -> Fault {
    let names: Vec<String> = names.iter().map(|name| format!("-{name}")).collect();
    binding_fault(format!(
        "Parameter cannot be processed because the parameter name '{name}' is ambiguous. Possible matches include: {}.",
        names.join(" ")
    ))
}

/// `-Name` with nothing behind it.
pub(crate) fn missing_value(name: &str) -> Fault {
    binding_fault(format!(
        "Missing an argument for parameter '{name}'. Specify a parameter of its type and try again: -{name} value"
    ))
}

/// The same parameter twice.
pub(crate) fn given_twice(name: &str) -> Fault {
    binding_fault(format!(
        "Cannot bind parameter because parameter '{name}' is specified more than once. To provide multiple values, write a list: -{name} value1,value2"
    ))
}

enum Found<'a> {
    Own(usize, &'a Parameter),
    Common(&'static str),
}

fn find<'a>(signature: &'a Signature, name: &str) -> Result<Found<'a>, Fault> {
    let parameters = || signature.parameters.iter().enumerate();
    let is_called = |parameter: &Parameter| {
        parameter.name.eq_ignore_ascii_case(name)
            || parameter.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    };
    if let Some((at, parameter)) = parameters().find(|(_, parameter)| is_called(parameter)) {
        return Ok(Found::Own(at, parameter));
    }
    if let Some(common) =
        COMMON.iter().find(|(known, short)| known.eq_ignore_ascii_case(name) || short.eq_ignore_ascii_case(name))
    {
        return Ok(Found::Common(common.0));
    }
    let begins = |known: &str| known.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    let matching: Vec<(usize, &Parameter)> = parameters()
        .filter(|(_, parameter)| begins(parameter.name) || parameter.aliases.iter().any(|alias| begins(alias)))
        .collect();
    match matching.as_slice() {
        [(at, parameter)] => Ok(Found::Own(*at, parameter)),
        [] => match common_name(name) {
            Some(common) => Ok(Found::Common(common)),
            None => {
                let names = signature.parameters.iter().map(|parameter| parameter.name);
                Err(no_parameter(signature.name, name, convert::nearest(name, names)))
            }
        },
        several => {
            let names: Vec<String> = several.iter().map(|(_, parameter)| parameter.name.to_owned()).collect();
            Err(ambiguous(name, &names).by(signature.name))
        }
    }
}

/// Whether a command takes whatever it is given.
fn takes_all(signature: &Signature) -> bool {
    signature.parameters.iter().any(|parameter| parameter.kind == Kind::Ignored)
}

impl Interpreter {
    /// Binds the arguments of a call.
    pub(crate) fn bind(
        &mut self,
        signature: &'static Signature,
        arguments: Vec<GivenArgument>,
        common: &mut Common,
        has_input: bool,
    ) -> Done<Bound> {
        let mut given: Vec<Option<Given>> = signature.parameters.iter().map(|_| None).collect();
        let mut free = Vec::new();
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let (name, value, span) = match argument {
                GivenArgument::Value(value, span) => {
                    free.push((value, span));
                    continue;
                }
                GivenArgument::Named { name, value, span } => (name, value, span),
            };
            let mut next = || match arguments.peek() {
                Some(GivenArgument::Value(..)) => match arguments.next() {
                    Some(GivenArgument::Value(value, _)) => Some(value),
                    _ => None,
                },
                _ => None,
            };
            let found = match find(signature, &name) {
                Ok(found) => found,
                Err(_) if takes_all(signature) => {
                    if value.is_none() {
                        let _ = next();
                    }
                    continue;
                }
                Err(fault) => return Err(fault.at(&self.frame.source, span).into()),
            };
            match found {
                Found::Common(name @ ("WhatIf" | "Confirm")) if signature.changes == Changes::Nothing => {
                    let near = convert::nearest(name, signature.parameters.iter().map(|parameter| parameter.name));
                    return Err(no_parameter(signature.name, name, near).at(&self.frame.source, span).into());
                }
                Found::Common(name) => self.bind_common(name, value, next, common)?,
                Found::Own(at, parameter) => {
                    let value = match (value, parameter.kind) {
                        (Some(value), _) => value,
                        (None, Kind::Switch) => Given::from(Value::Bool(true)),
                        (None, _) => next().ok_or_else(|| {
                            missing_value(parameter.name).by(signature.name).at(&self.frame.source, span)
                        })?,
                    };
                    if given[at].replace(value).is_some() {
                        return Err(given_twice(parameter.name).by(signature.name).at(&self.frame.source, span).into());
                    }
                }
            }
        }
        self.bind_free(signature, &mut given, free)?;
        let names: Vec<&str> = std::iter::once(signature.name).chain(signature.aliases.iter().copied()).collect();
        for (name, value) in self.default_values(&names)? {
            match find(signature, &name) {
                Ok(Found::Own(at, _)) if given[at].is_none() => given[at] = Some(Given::from(value)),
                Ok(Found::Common("WhatIf" | "Confirm")) if signature.changes == Changes::Nothing => {}
                Ok(Found::Common(name)) if !common.has(name) => {
                    self.bind_common(name, Some(Given::from(value)), || None, common)?;
                }
                _ => {}
            }
        }
        let mut bound = Bound::default();
        for (parameter, given) in signature.parameters.iter().zip(given) {
            let value = match given {
                Some(given) => self.fitting(signature, parameter, &given)?,
                None if parameter.is_mandatory && !(has_input && parameter.pipeline != FromPipeline::No) => {
                    let asked = self.ask_for(signature.name, parameter.name, Some(parameter.help))?;
                    self.fitting(signature, parameter, &Given::from(asked))?
                }
                None => continue,
            };
            bound.arguments.push((parameter.name, value));
        }
        Ok(bound)
    }

    fn bind_free(
        &mut self,
        signature: &'static Signature,
        given: &mut [Option<Given>],
        free: Vec<(Given, crate::source::Span)>,
    ) -> Done {
        let mut places: Vec<usize> =
            (0..given.len()).filter(|&at| signature.parameters[at].position.is_some() && given[at].is_none()).collect();
        places.sort_by_key(|&at| signature.parameters[at].position);
        let rest =
            (0..given.len()).find(|&at| matches!(signature.parameters[at].kind, Kind::Rest(_)) && given[at].is_none());
        let mut places = places.into_iter().filter(|at| Some(*at) != rest);
        let mut more = Vec::new();
        for (value, span) in free {
            match (places.next(), rest) {
                (Some(at), _) => given[at] = Some(value),
                (None, Some(_)) => more.push(value),
                (None, None) if takes_all(signature) => {}
                (None, None) => {
                    let text = convert::text(&value.value);
                    return Err(binding_fault(format!(
                        "A positional parameter cannot be found that accepts argument '{}'. Values of several words need quotes, several values commas.",
                        text
                    ))
                    .by(signature.name)
                    .at(&self.frame.source, span)
                    .into());
                }
            }
        }
        if let (Some(at), false) = (rest, more.is_empty()) {
            // A single list is the list; several arguments become one.
            given[at] = Some(match more.len() {
                1 => more.remove(0),
                _ => Given {
                    raw: Some(Value::array(
                        more.iter().map(|one| one.raw.clone().unwrap_or_else(|| one.value.clone())).collect(),
                    )),
                    value: Value::array(more.into_iter().map(|one| one.value).collect()),
                },
            });
        }
        Ok(())
    }

    /// A given value as the parameter takes it.
    fn fitting(&mut self, signature: &Signature, parameter: &Parameter, given: &Given) -> Done<Value> {
        let value = match &given.raw {
            Some(raw) if !wants_number(&parameter.kind) => raw,
            _ => &given.value,
        };
        let now = self.world.now();
        kind::fit(&parameter.kind, value, &now).map_err(|mut fault| {
            fault.message = format!("Cannot bind parameter '{}'. {}", parameter.name, fault.message);
            fault.exception = "System.Management.Automation.ParameterBindingException";
            Flow::from(fault.by(signature.name))
        })
    }

    /// The arguments of a call for one object of the pipeline.
    pub(crate) fn bind_input(
        &mut self,
        signature: &'static Signature,
        bound: &Bound,
        input: &Value,
    ) -> Done<Vec<(&'static str, Value)>> {
        let mut arguments = bound.arguments.clone();
        let mut is_bound = false;
        let mut refused: Option<Flow> = None;
        let is_free = |parameter: &Parameter| {
            parameter.pipeline != FromPipeline::No && !bound.arguments.iter().any(|(name, _)| *name == parameter.name)
        };
        // A parameter that takes the object as such may take its property of the same name, too: for objects that say nothing
        // of themselves, as rows of a CSV file.
        for parameter in signature.parameters.iter().filter(|parameter| is_free(parameter)) {
            let by_property = || property(input, parameter);
            let value = match parameter.pipeline {
                FromPipeline::Property => by_property(),
                _ if parameter.kind == Kind::Identity && is_bag(input) => by_property().or_else(|| Some(input.clone())),
                _ => Some(input.clone()),
            };
            let Some(value) = value else { continue };
            match self.fitting(signature, parameter, &Given::from(value)) {
                Ok(value) => {
                    arguments.push((parameter.name, value));
                    is_bound = true;
                }
                Err(flow) => refused = Some(flow),
            }
        }
        let lacks = |parameter: &&Parameter| {
            parameter.is_mandatory && !arguments.iter().any(|(name, _)| *name == parameter.name)
        };
        if let Some(missing) = signature.parameters.iter().find(lacks) {
            return Err(match refused {
                Some(flow) => flow,
                None => cannot_bind_input(signature, Some(missing.name)),
            });
        }
        if is_bound {
            return Ok(arguments);
        }
        Err(match refused {
            Some(flow) => flow,
            None => cannot_bind_input(signature, None),
        })
    }

    /// A common parameter; `next` is the value behind its name.
    pub(crate) fn bind_common(
        &mut self,
        name: &str,
        value: Option<Given>,
        mut next: impl FnMut() -> Option<Given>,
        common: &mut Common,
    ) -> Done {
        let name = common_name(name).unwrap_or_default();
        let switch = |value: &Option<Given>| value.as_ref().is_none_or(|given| convert::truth(&given.value));
        match name {
            "Verbose" => common.is_verbose = Some(switch(&value)),
            "Debug" => common.is_debug = Some(switch(&value)),
            "WhatIf" => common.what_if = Some(switch(&value)),
            "Confirm" => common.confirm = Some(switch(&value)),
            "UseTransaction" => {}
            _ => {
                let value = value.or_else(&mut next).ok_or_else(|| missing_value(name))?;
                let text = convert::text(&value.value);
                let home = common.home.clone().unwrap_or_else(|| self.frame.scope.clone());
                let action = || {
                    Action::parse(&text).ok_or_else(|| {
                        binding_fault(format!(
                            "Cannot bind parameter '{name}'. Cannot convert value \"{text}\" to type \"System.Management.Automation.ActionPreference\". The possible values are \"SilentlyContinue, Stop, Continue, Inquire, Ignore\"."
                        ))
                    })
                };
                match name {
                    "ErrorAction" => common.error_action = Some(action()?),
                    "WarningAction" => common.warning_action = Some(action()?),
                    "InformationAction" => common.information_action = Some(action()?),
                    "ErrorVariable" => common.error_variable = Some(self.listing_variable(&text, &home)),
                    "WarningVariable" => common.warning_variable = Some(self.listing_variable(&text, &home)),
                    "OutVariable" => common.output_variable = Some(self.listing_variable(&text, &home)),
                    "PipelineVariable" => common.pipeline_variable = Some(text),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Whether a kind takes a number as a number; all others take what was written.
fn wants_number(kind: &Kind) -> bool {
    match kind {
        Kind::Int | Kind::Any | Kind::Bool | Kind::Switch => true,
        Kind::List(inner) | Kind::MultiValued(inner) | Kind::Rest(inner) => wants_number(inner),
        _ => false,
    }
}

/// The property of an object for a parameter: of its name or one of its aliases.
fn property(input: &Value, parameter: &Parameter) -> Option<Value> {
    let names = || std::iter::once(parameter.name).chain(parameter.aliases.iter().copied());
    let found = match input {
        Value::Object(object) => names().find_map(|name| object.get(name)),
        Value::Foreign(foreign) => names().find_map(|name| foreign.property(name)),
        _ => None,
    };
    found.filter(|value| !value.is_null())
}

/// Whether an object has no identity of its own.
fn is_bag(input: &Value) -> bool {
    matches!(input, Value::Object(object) if object.view.identity.is_empty())
}

fn cannot_bind_input(signature: &Signature, missing: Option<&str>) -> Flow {
    let mut message = "The input object cannot be bound to any parameters for the command either because the command does not take pipeline input or the input and its properties do not match any of the parameters that take pipeline input.".to_owned();
    if let Some(missing) = missing {
        message.push_str(&format!(" The parameter {missing} is missing."));
    }
    binding_fault(message).by(signature.name).into()
}
