//! Functions, blocks and scripts as stages of a pipeline: their parameters, and their parts `begin`, `process`, `end`.

use std::rc::Rc;

use super::arguments::{Given, GivenArgument};
use super::flow::{Done, Flow};
use super::interpreter::{Frame, Interpreter, Target};
use super::running::{Action, Common};
use super::scope::{Listening, Scope, ScopeKind};
use super::sink::Sink;
use crate::context::BlockScope;
use crate::convert::{self, pattern};
use crate::fault::{Category, Fault};
use crate::source::Span;
use crate::syntax::{Attribute, Expression, ExpressionKind, ParameterDeclaration, ScriptBlock};
use crate::value::{Table, Value};

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
    from_input: Vec<(usize, bool)>,
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

/// One parameter, as its attributes make it.
struct Declared<'a> {
    declaration: &'a ParameterDeclaration,
    aliases: Vec<String>,
    is_switch: bool,
    is_mandatory: bool,
    position: Option<i64>,
    from_object: bool,
    from_property: bool,
    takes_rest: bool,
    sets: Vec<String>,
    help: Option<String>,
}

impl Declared<'_> {
    fn is_in(&self, set: &str) -> bool {
        self.sets.is_empty() || self.sets.iter().any(|own| own.eq_ignore_ascii_case(set))
    }

    fn is_called(&self, name: &str) -> bool {
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

    fn bind_function(
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

    /// Sets the variables of parameters, first those that were given, then the defaults of the others.
    fn set_parameters(&mut self, name: &str, declared: &[Declared<'_>], bound: Vec<(usize, Option<Given>)>) -> Done {
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
    fn parameter_value(&mut self, name: &str, declared: &Declared<'_>, given: Given) -> Done<Value> {
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
                    let found = self.collect(|it, out| it.call_block(block, BlockScope::Own, Some(value.clone()), &[], out))?;
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

    fn declared<'a>(&mut self, block: &'a ScriptBlock) -> Done<Vec<Declared<'a>>> {
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

    fn bind_function_input(&mut self, work: &FunctionWork, block: &Rc<ScriptBlock>, input: &Value) -> Done {
        if work.from_input.is_empty() {
            return Ok(());
        }
        let declared = self.declared(block)?;
        let by_property = |at: usize| work.from_input.contains(&(at, true));
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
                }
                None if one.is_mandatory => {
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
