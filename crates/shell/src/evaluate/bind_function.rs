//! Binding: which argument belongs to which parameter of a function.

use std::rc::Rc;

use super::arguments::{Given, GivenArgument};
use super::flow::{Done, Flow};
use super::function::FunctionWork;
use super::interpreter::Interpreter;
use super::parameter::{Declared, is_advanced};
use super::running::{Action, Common};
use super::scope::Listening;
use crate::convert;
use crate::fault::{Category, Fault};
use crate::source::Span;
use crate::syntax::{ExpressionKind, ScriptBlock};
use crate::value::Value;

impl Interpreter {
    pub(super) fn bind_function(
        &mut self,
        name: &str,
        block: &ScriptBlock,
        arguments: Vec<GivenArgument>,
        (common, has_input): (&mut Common, bool),
    ) -> Done<Vec<(usize, bool)>> {
        let declared = self.declared(block)?;
        let is_advanced = is_advanced(block);
        let mut given: Vec<Option<Given>> = declared.iter().map(|_| None).collect();
        let mut free: Vec<(Given, Span)> = Vec::new();
        let mut unknown: Vec<Value> = Vec::new();
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let (parameter, value, span) = match argument {
                GivenArgument::Value(value, span) => {
                    free.push((value, span));
                    continue;
                }
                GivenArgument::Named { name, value, span } => (name, value, span),
            };
            let at = match find(&declared, &parameter) {
                Found::One(at) => at,
                Found::None if is_advanced && super::bind::common_name(&parameter).is_some() => {
                    let next = || match arguments.peek() {
                        Some(GivenArgument::Value(..)) => match arguments.next() {
                            Some(GivenArgument::Value(value, _)) => Some(value),
                            _ => None,
                        },
                        _ => None,
                    };
                    self.bind_common(&parameter, value, next, common)?;
                    continue;
                }
                Found::None if is_advanced => {
                    return Err(unknown_parameter(name, &parameter, &declared).at(&self.frame.source, span).into());
                }
                Found::None => {
                    unknown.push(Value::text(format!("-{parameter}")));
                    unknown.extend(value.map(|value| value.value));
                    continue;
                }
                Found::Several(names) => {
                    return Err(super::bind::ambiguous(&parameter, &names).into());
                }
            };
            let value = match (value, declared[at].is_switch) {
                (Some(value), _) => value,
                (None, true) => Given::from(Value::Bool(true)),
                (None, false) => match arguments.peek() {
                    Some(GivenArgument::Value(..)) => match arguments.next() {
                        Some(GivenArgument::Value(value, _)) => value,
                        _ => continue,
                    },
                    _ => return Err(super::bind::missing_value(&declared[at].declaration.name).by(name).into()),
                },
            };
            if given[at].replace(value).is_some() {
                return Err(super::bind::given_twice(&declared[at].declaration.name).by(name).into());
            }
        }
        let set = chosen_set(block, &declared, &given);
        self.bind_positions(name, &declared, &mut given, free, &set, (is_advanced, &mut unknown))?;
        let defaults = if is_advanced { self.default_values(&[name])? } else { Vec::new() };
        for (parameter, value) in defaults {
            match find(&declared, &parameter) {
                Found::One(at) if given[at].is_none() => given[at] = Some(Given::from(value)),
                Found::None if super::bind::common_name(&parameter).is_some_and(|known| !common.has(known)) => {
                    self.bind_common(&parameter, Some(Given::from(value)), || None, common)?;
                }
                _ => {}
            }
        }
        let mut from_input = Vec::new();
        let mut bound = Vec::new();
        for (at, (declared, given)) in declared.iter().zip(given).enumerate() {
            let value = match given {
                Some(given) => given,
                None if has_input && declared.is_in(&set) && (declared.from_object || declared.from_property) => {
                    // What the pipeline brings wins over the default, which is set first.
                    if declared.from_object {
                        from_input.push((at, false));
                    }
                    if declared.from_property {
                        from_input.push((at, true));
                    }
                    bound.push((at, None));
                    continue;
                }
                None if declared.is_mandatory && declared.is_in(&set) => {
                    let help = declared.help.as_deref();
                    Given::from(self.ask_for(name, &declared.declaration.name, help)?)
                }
                None => {
                    bound.push((at, None));
                    continue;
                }
            };
            bound.push((at, Some(value)));
        }
        self.set_parameters(name, &declared, bound)?;
        if !unknown.is_empty() || !is_advanced {
            self.frame.scope.set("args", Value::array(unknown));
        }
        self.set_common_preferences(common);
        if is_advanced {
            self.set_cmdlet(name, &set, common);
        }
        Ok(from_input)
    }

    /// Values without a name, in order of the parameters' positions.
    fn bind_positions(
        &mut self,
        name: &str,
        declared: &[Declared<'_>],
        given: &mut [Option<Given>],
        free: Vec<(Given, Span)>,
        set: &str,
        (is_advanced, unknown): (bool, &mut Vec<Value>),
    ) -> Done {
        let has_positions = declared.iter().any(|declared| declared.position.is_some());
        let mut order: Vec<usize> = (0..declared.len())
            .filter(|&at| {
                let one = &declared[at];
                !one.is_switch
                    && one.is_in(set)
                    && given[at].is_none()
                    && (one.position.is_some() || !has_positions || one.takes_rest)
            })
            .collect();
        order.sort_by_key(|&at| (declared[at].takes_rest, declared[at].position.unwrap_or(i64::MAX)));
        let mut order = order.into_iter();
        let mut free = free.into_iter();
        while let Some((value, span)) = free.next() {
            match order.next() {
                Some(at) if declared[at].takes_rest => {
                    let rest = std::iter::once(value.value).chain(free.by_ref().map(|(value, _)| value.value));
                    given[at] = Some(Given::from(Value::array(rest.collect())));
                }
                Some(at) => given[at] = Some(value),
                None if is_advanced => {
                    let text = convert::text(&value.value);
                    let mut fault = Fault::new(
                        Category::InvalidArgument,
                        format!("A positional parameter cannot be found that accepts argument '{text}'."),
                    );
                    fault.exception = "System.Management.Automation.ParameterBindingException";
                    return Err(fault.by(name).at(&self.frame.source, span).into());
                }
                None => unknown.push(value.value),
            }
        }
        Ok(())
    }

    /// What the common parameters of a function are to what it calls.
    fn set_common_preferences(&mut self, common: &Common) {
        let scope = Rc::clone(&self.frame.scope);
        let name = |action: Action| {
            Value::text(match action {
                Action::Continue => "Continue",
                Action::SilentlyContinue => "SilentlyContinue",
                Action::Stop => "Stop",
                Action::Ignore => "Ignore",
                Action::Inquire => "Inquire",
            })
        };
        if common.error_variable.is_some() || common.warning_variable.is_some() {
            *scope.listening.borrow_mut() =
                Listening { errors: common.error_variable.clone(), warnings: common.warning_variable.clone() };
        }
        if let Some(action) = common.error_action {
            scope.set("ErrorActionPreference", name(action));
        }
        if let Some(action) = common.warning_action {
            scope.set("WarningPreference", name(action));
        }
        if let Some(action) = common.information_action {
            scope.set("InformationPreference", name(action));
        }
        let shown = |is: bool| name(if is { Action::Continue } else { Action::SilentlyContinue });
        if let Some(is_verbose) = common.is_verbose {
            scope.set("VerbosePreference", shown(is_verbose));
        }
        if let Some(is_debug) = common.is_debug {
            scope.set("DebugPreference", shown(is_debug));
        }
        if let Some(what_if) = common.what_if {
            scope.set("WhatIfPreference", Value::Bool(what_if));
        }
        if let Some(confirm) = common.confirm {
            scope.set("ConfirmPreference", Value::text(if confirm { "Low" } else { "None" }));
        }
    }

    /// Asks for a mandatory argument at a terminal.
    pub(crate) fn ask_for(&mut self, command: &str, parameter: &str, help: Option<&str>) -> Done<Value> {
        let missing = || {
            let mut fault = Fault::new(
                Category::InvalidArgument,
                format!("Cannot process command because of one or more missing mandatory parameters: {parameter}."),
            );
            fault.exception = "System.Management.Automation.ParameterBindingException";
            fault.by(command)
        };
        if !self.world.is_interactive() {
            return Err(missing().into());
        }
        let text =
            format!("\ncmdlet {command} at command pipeline position 1\nSupply values for the following parameters:\n");
        self.write(crate::world::Stream::Host, &text, (None, None))?;
        if let Some(help) = help {
            self.write(crate::world::Stream::Host, &format!("({help})\n"), (None, None))?;
        }
        match self.ask(&format!("{parameter}: "))? {
            Some(text) => Ok(Value::text(text)),
            None => Err(missing().into()),
        }
    }

    pub(super) fn bind_function_input(&mut self, work: &FunctionWork, block: &Rc<ScriptBlock>, input: &Value) -> Done {
        if work.from_input.is_empty() {
            return Ok(());
        }
        let declared = self.declared(block)?;
        let by_property = |at: usize| work.from_input.contains(&(at, true));
        let mut last_bound = None;
        for &(at, is_property) in &work.from_input {
            let one = &declared[at];
            let mut value = None;
            if is_property {
                let names =
                    std::iter::once(one.declaration.name.as_str()).chain(one.aliases.iter().map(String::as_str));
                for name in names {
                    if let Value::Object(object) = input {
                        value = object.get(name);
                    } else if let Value::Table(table) = input {
                        value = table.borrow().get_text(name);
                    }
                    if value.is_some() {
                        break;
                    }
                }
            } else if !by_property(at) || !matches!(input, Value::Object(_)) {
                value = Some(input.clone());
            } else {
                // Both ways are open: the object itself counts where it fits.
                let as_is = self.parameter_value("", one, Given::from(input.clone()));
                match as_is {
                    Ok(fitting) => value = Some(fitting),
                    Err(Flow::Fault(_)) => continue,
                    Err(other) => return Err(other),
                }
            }
            match value {
                Some(value) => {
                    let value = self.parameter_value("", one, Given::from(value))?;
                    if let Some(Value::Table(explicit)) =
                        work.scope.own("PSBoundParameters").map(|variable| variable.value)
                    {
                        explicit.borrow_mut().set(Value::text(&one.declaration.name), value.clone());
                    }
                    work.scope.set(&one.declaration.name, value);
                    last_bound = Some(at);
                }
                // The object itself was taken already: it need not have such a property.
                None if one.is_mandatory && last_bound != Some(at) => {
                    let mut fault = Fault::new(
                        Category::InvalidArgument,
                        "The input object cannot be bound to any parameters for the command either because the command does not take pipeline input or the input and its properties do not match any of the parameters that take pipeline input.",
                    );
                    fault.exception = "System.Management.Automation.ParameterBindingException";
                    return Err(fault.into());
                }
                None => {}
            }
        }
        Ok(())
    }
}

enum Found {
    One(usize),
    None,
    Several(Vec<String>),
}

/// The parameter of a name, or of an unambiguous beginning.
fn find(declared: &[Declared<'_>], name: &str) -> Found {
    if let Some(at) = declared.iter().position(|one| one.is_called(name)) {
        return Found::One(at);
    }
    let begins = |known: &str| known.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    let matching: Vec<usize> = (0..declared.len())
        .filter(|&at| begins(&declared[at].declaration.name) || declared[at].aliases.iter().any(|alias| begins(alias)))
        .collect();
    match matching.as_slice() {
        [] => Found::None,
        [at] => Found::One(*at),
        several => Found::Several(several.iter().map(|&at| declared[at].declaration.name.clone()).collect()),
    }
}

fn unknown_parameter(command: &str, name: &str, declared: &[Declared<'_>]) -> Fault {
    let near = convert::nearest(name, declared.iter().map(|one| one.declaration.name.as_str()));
    super::bind::no_parameter(command, name, near)
}

/// The parameter set that the given parameters leave; the default one where several are left.
fn chosen_set(block: &ScriptBlock, declared: &[Declared<'_>], given: &[Option<Given>]) -> String {
    let mut sets: Vec<&str> = Vec::new();
    for set in declared.iter().flat_map(|one| &one.sets) {
        if !sets.iter().any(|known| known.eq_ignore_ascii_case(set)) {
            sets.push(set);
        }
    }
    for (one, _) in declared.iter().zip(given).filter(|(_, given)| given.is_some()) {
        sets.retain(|set| one.is_in(set));
    }
    let default = block
        .attributes
        .iter()
        .flat_map(|attribute| &attribute.named)
        .find(|(name, _)| name.eq_ignore_ascii_case("DefaultParameterSetName"))
        .and_then(|(_, value)| match value.as_ref().map(|value| &value.kind) {
            Some(ExpressionKind::Text(text)) => Some(text.as_str()),
            _ => None,
        });
    match (sets.as_slice(), default) {
        ([], None) => "__AllParameterSets".to_owned(),
        ([], Some(default)) => default.to_owned(),
        (several, Some(default)) if several.iter().any(|set| set.eq_ignore_ascii_case(default)) => default.to_owned(),
        (several, _) => several[0].to_owned(),
    }
}
