//! A command at work: what it writes, asks and calls goes through here to the interpreter. The one [`Context`].

use std::rc::Rc;

use super::flow::{Done, Flow, limit};
use super::interpreter::{Interpreter, Target};
use super::report;
use super::scope::{Scope, ScopeKind, key};
use super::sink::{Discard, Sink};
use crate::command::{Call, Changes, Commands, Emit};
use crate::context::{BlockScope, Context, Known, KnownKind, VariableScope};
use crate::convert;
use crate::fault::{Category, Fault, Severity};
use crate::source::Source;
use crate::syntax::ScriptBlock;
use crate::value::{List, ListKind, Value};
use crate::world::{Colour, Stream, World};

/// What `-ErrorAction` and its like ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Continue,
    SilentlyContinue,
    Stop,
    Ignore,
    Inquire,
}

impl Action {
    /// From its name, a beginning of it, or its number.
    pub(crate) fn parse(text: &str) -> Option<Action> {
        const NAMES: [(&str, Action); 6] = [
            ("SilentlyContinue", Action::SilentlyContinue),
            ("Stop", Action::Stop),
            ("Continue", Action::Continue),
            ("Inquire", Action::Inquire),
            ("Ignore", Action::Ignore),
            ("Suspend", Action::Stop),
        ];
        if let Ok(number) = text.parse::<usize>() {
            return [Action::SilentlyContinue, Action::Stop, Action::Continue, Action::Inquire, Action::Ignore]
                .get(number)
                .copied();
        }
        let is_beginning = |name: &str| {
            !text.is_empty() && name.get(..text.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(text))
        };
        match NAMES.iter().filter(|(name, _)| is_beginning(name)).collect::<Vec<_>>().as_slice() {
            [(_, action)] => Some(*action),
            _ => None,
        }
    }
}

/// The parameters that all commands have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common {
    pub error_action: Option<Action>,
    pub warning_action: Option<Action>,
    pub information_action: Option<Action>,
    pub is_verbose: Option<bool>,
    pub is_debug: Option<bool>,
    pub what_if: Option<bool>,
    pub confirm: Option<bool>,
    pub error_variable: Option<Rc<List>>,
    pub warning_variable: Option<Rc<List>>,
    pub output_variable: Option<Rc<List>>,
    pub pipeline_variable: Option<String>,
    /// Where those variables lie: the scope of the caller.
    pub home: Option<Rc<Scope>>,
}

impl Common {
    /// Whether the parameter of this name was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        match name {
            "Verbose" => self.is_verbose.is_some(),
            "Debug" => self.is_debug.is_some(),
            "WhatIf" => self.what_if.is_some(),
            "Confirm" => self.confirm.is_some(),
            "ErrorAction" => self.error_action.is_some(),
            "WarningAction" => self.warning_action.is_some(),
            "InformationAction" => self.information_action.is_some(),
            "ErrorVariable" => self.error_variable.is_some(),
            "WarningVariable" => self.warning_variable.is_some(),
            "OutVariable" => self.output_variable.is_some(),
            "PipelineVariable" => self.pipeline_variable.is_some(),
            _ => false,
        }
    }
}

/// A command at work.
pub(crate) struct Running<'a> {
    pub interpreter: &'a mut Interpreter,
    pub out: &'a mut dyn Sink,
    /// `None`: a member, a formatter.
    pub common: Option<&'a Common>,
    /// The number of its stage, for [`Context::done`].
    pub stage: u64,
    /// Its name; empty: a member, a formatter.
    pub name: &'a str,
}

impl<'a> Running<'a> {
    /// Something that is no command.
    pub(crate) fn plain(interpreter: &'a mut Interpreter, out: &'a mut dyn Sink) -> Running<'a> {
        Running { interpreter, out, common: None, stage: 0, name: "" }
    }

    fn faulty<T>(&mut self, done: Done<T>) -> Result<T, Fault> {
        done.map_err(|flow| self.interpreter.fault_of(flow))
    }
}

impl Emit for Running<'_> {
    fn value(&mut self, value: Value) -> Result<(), Fault> {
        let done = self.interpreter.check().and_then(|()| self.out.put(self.interpreter, value));
        self.faulty(done)
    }

    fn warning(&mut self, text: &str) {
        if let Some(list) = self.common.and_then(|common| common.warning_variable.as_ref()) {
            list.values.borrow_mut().push(Value::text(text));
        }
        self.interpreter.frame.scope.tell_warning(text);
        let action = self
            .common
            .and_then(|common| common.warning_action)
            .or_else(|| self.interpreter.preference("WarningPreference"));
        if matches!(action, None | Some(Action::Continue | Action::Stop | Action::Inquire)) {
            let colours = (Some(Colour::Yellow), None);
            // Nobody reads: the next value that goes out finds it, too.
            let _ = self.interpreter.write(Stream::Warning, &format!("WARNING: {text}\n"), colours);
        }
    }

    fn verbose(&mut self, text: &str) {
        if self.interpreter.is_verbose(self.common.unwrap_or(&Common::default())) {
            let colours = (Some(Colour::Yellow), None);
            let _ = self.interpreter.write(Stream::Verbose, &format!("VERBOSE: {text}\n"), colours);
        }
    }

    fn host(&mut self, text: &str) {
        let _ = self.interpreter.write(Stream::Host, &format!("{text}\n"), (None, None));
    }

    fn error(&mut self, fault: Fault) -> Result<(), Fault> {
        let fault = fault.by(self.name);
        let done = self.interpreter.report(fault, self.common.unwrap_or(&Common::default()));
        self.faulty(done)
    }
}

impl Context for Running<'_> {
    fn world(&mut self) -> &mut dyn World {
        self.interpreter.world.as_mut()
    }

    fn commands(&self) -> Rc<dyn Commands> {
        Rc::clone(&self.interpreter.commands)
    }

    fn call_block(
        &mut self,
        block: &Rc<ScriptBlock>,
        scope: BlockScope,
        underscore: Option<Value>,
        arguments: &[Value],
    ) -> Result<Vec<Value>, Fault> {
        let done = self.interpreter.collect(|it, out| it.call_block(block, scope, underscore, arguments, out));
        self.faulty(done)
    }

    fn pass_block(
        &mut self,
        block: &Rc<ScriptBlock>,
        scope: BlockScope,
        underscore: Option<Value>,
        arguments: &[Value],
    ) -> Result<(), Fault> {
        let done = self.interpreter.call_block(block, scope, underscore, arguments, self.out);
        self.faulty(done)
    }

    fn run_text(&mut self, source: Source) -> Result<(), Fault> {
        let done = self.interpreter.run_text(source, self.out);
        self.faulty(done)
    }

    fn run_command(&mut self, name: &str, arguments: &[(&str, Value)], input: &[Value]) -> Result<(), Fault> {
        let done = self.interpreter.run_command(name, arguments, input, self.out);
        self.faulty(done)
    }

    fn done(&mut self) -> Fault {
        let stage = self.stage;
        self.interpreter.fault_of(Flow::Stop(stage))
    }

    fn check(&mut self) -> Result<(), Fault> {
        let done = self.interpreter.check();
        self.faulty(done)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > self.interpreter.limits.memory_bytes {
            return Err(limit("What the command is about to make is larger than the session may hold.".to_owned()));
        }
        let done = self.interpreter.charge(bytes);
        self.faulty(done)
    }

    fn should_process(&mut self, call: &Call<'_>, action: &str, target: &str) -> Result<bool, Fault> {
        let is_asked = call.signature.changes == Changes::Asked;
        let done = self.interpreter.should_process(self.common.unwrap_or(&Common::default()), is_asked, action, target);
        self.faulty(done)
    }

    fn write(&mut self, stream: Stream, text: &str, colours: (Option<Colour>, Option<Colour>)) -> Result<(), Fault> {
        let done = self.interpreter.write(stream, text, colours);
        self.faulty(done)
    }

    fn show(&mut self, value: Option<&Value>) -> Result<(), Fault> {
        // A block that a column runs may write to the console: it finds nothing held back then.
        let mut screen = std::mem::take(&mut self.interpreter.screen);
        let columns = self.interpreter.world.width();
        let mut text = String::new();
        let done = match value {
            Some(value) => screen.take(self, value, columns, &mut text),
            None => screen.flush(self, columns, &mut text),
        };
        self.interpreter.screen = screen;
        if !text.is_empty() {
            let written = self.interpreter.write(Stream::Output, &text, (None, None));
            self.faulty(written)?;
        }
        done
    }

    fn variable(&self, scope: VariableScope, name: &str) -> Option<Value> {
        match scope {
            VariableScope::Nearest => self.interpreter.find_variable(name),
            scope => {
                let scope = self.interpreter.variable_scope(scope);
                scope.own(name).map(|variable| variable.value)
            }
        }
    }

    fn set_variable(&mut self, scope: VariableScope, name: &str, value: Value) -> Result<(), Fault> {
        if super::assign::is_constant(name) {
            return Err(Fault::new(
                Category::InvalidOperation,
                format!("Cannot overwrite variable {name} because it is read-only or constant."),
            ));
        }
        let scope = self.interpreter.variable_scope(scope);
        let done = self.interpreter.set_in(&scope, name, value);
        self.faulty(done)
    }

    fn remove_variable(&mut self, name: &str) -> bool {
        self.interpreter.frame.scope.outwards().any(|scope| scope.remove(name).is_some())
    }

    fn variables(&self) -> Vec<(String, Value)> {
        let mut all: Vec<(String, Value)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for scope in self.interpreter.frame.scope.outwards() {
            let mut own = scope.variables();
            own.sort_by_key(|(name, _)| key(name));
            all.extend(own.into_iter().filter(|(name, _)| seen.insert(key(name))));
        }
        all
    }

    fn known_command(&self, name: &str) -> Option<Known> {
        self.interpreter.known_command(name)
    }

    fn known_commands(&self) -> Vec<Known> {
        self.interpreter.known_commands()
    }

    fn set_alias(&mut self, name: &str, target: &str) {
        self.interpreter.aliases.insert(key(name), (name.into(), target.into()));
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.interpreter.environment(name)
    }

    fn set_environment(&mut self, name: &str, value: Option<String>) {
        self.interpreter.environment.insert(super::scope::key(name), value);
    }

    fn remove_function(&mut self, name: &str) -> bool {
        self.interpreter.frame.scope.outwards().any(|scope| scope.remove_function(name))
    }

    fn set_transcript(&mut self, path: Option<String>) -> Option<String> {
        std::mem::replace(&mut self.interpreter.transcript, path)
    }
}

impl Interpreter {
    fn variable_scope(&self, scope: VariableScope) -> Rc<Scope> {
        match scope {
            VariableScope::Nearest => Rc::clone(&self.frame.scope),
            VariableScope::Script => self.frame.scope.nearest(ScopeKind::Script),
            VariableScope::Global => Rc::clone(&self.global),
        }
    }

    /// Writes to the console, or where the stream was led.
    pub(crate) fn write(&mut self, stream: Stream, text: &str, colours: (Option<Colour>, Option<Colour>)) -> Done {
        let number = match stream {
            Stream::Output => 1,
            Stream::Error => 2,
            Stream::Warning => 3,
            Stream::Verbose => 4,
            Stream::Debug => 5,
            // As the original has it since its fifth version.
            Stream::Host | Stream::Information => 6,
        };
        match self.frame.streams[number].clone() {
            Target::Nothing => return Ok(()),
            Target::Output(merged) => {
                // A record, as text its message alone: the screen puts the word before it.
                let text = ["WARNING: ", "VERBOSE: ", "DEBUG: "]
                    .iter()
                    .find_map(|word| text.strip_prefix(word))
                    .unwrap_or(text);
                merged.borrow_mut().push(Value::text(text.trim_end_matches(['\r', '\n'])));
                return Ok(());
            }
            Target::File(path) => {
                let written = self.world.write_file(&path, text.as_bytes(), true);
                return written.map_err(|error| broken(&format!("{path} cannot be written: {error}")));
            }
            Target::Console => {}
        }
        if stream != Stream::Output && !self.screen.is_empty() {
            // What was yielded before stands before.
            let mut nothing = Discard;
            let shown = Running::plain(self, &mut nothing).show(None);
            shown.map_err(|fault| self.flow_of(fault))?;
        }
        if let Some(path) = self.transcript.clone()
            && let Err(error) = self.world.write_file(&path, text.as_bytes(), true)
        {
            self.transcript = None;
            return Err(broken(&format!("the transcript {path} cannot be written: {error}")));
        }
        self.world.write(stream, text, colours).map_err(|error| {
            let mut fault = Fault::new(Category::ResourceUnavailable, format!("Nobody reads the output: {error}"));
            fault.severity = Severity::Final;
            fault.into()
        })
    }

    /// What a preference variable asks for.
    pub(crate) fn preference(&self, name: &str) -> Option<Action> {
        self.frame.scope.find(name).and_then(|value| Action::parse(&convert::text(&value)))
    }

    pub(crate) fn is_verbose(&self, common: &Common) -> bool {
        common.is_verbose.unwrap_or_else(|| {
            matches!(self.preference("VerbosePreference"), Some(Action::Continue | Action::Stop | Action::Inquire))
        })
    }

    pub(crate) fn is_what_if(&self, common: &Common) -> bool {
        common
            .what_if
            .unwrap_or_else(|| self.frame.scope.find("WhatIfPreference").is_some_and(|value| convert::truth(&value)))
    }

    /// An error after which things go on, unless `-ErrorAction` or the preference says otherwise.
    pub(crate) fn report(&mut self, mut fault: Fault, common: &Common) -> Done {
        if fault.severity == Severity::Final || fault.exception == super::flow::CARRIER {
            return Err(self.flow_of(fault));
        }
        self.is_ok = false;
        let action =
            common.error_action.or_else(|| self.preference("ErrorActionPreference")).unwrap_or(Action::Continue);
        if action == Action::Ignore {
            return Ok(());
        }
        self.remember(&fault);
        let record = Value::Fault(Rc::new(fault.clone()));
        if let Some(list) = &common.error_variable {
            list.values.borrow_mut().push(record.clone());
        }
        self.frame.scope.tell_error(&record);
        match action {
            Action::SilentlyContinue | Action::Ignore => return Ok(()),
            Action::Inquire => {
                self.write(Stream::Error, &report::error_text(&fault), (Some(Colour::Red), None))?;
                let answer =
                    self.ask("Action to take for this exception: [Y] Continue  [H] Halt (default is \"Y\"): ")?;
                if answer.is_some_and(|answer| !answer.trim().to_ascii_lowercase().starts_with('h')) {
                    return Ok(());
                }
            }
            Action::Continue if fault.ends_script => {}
            Action::Continue => {
                return match &self.frame.streams[2] {
                    Target::Output(merged) => {
                        merged.borrow_mut().push(Value::Fault(Rc::new(fault)));
                        Ok(())
                    }
                    _ => self.write(Stream::Error, &report::error_text(&fault), (Some(Colour::Red), None)),
                };
            }
            Action::Stop => {}
        }
        fault.severity = Severity::Terminating;
        fault.ends_script = true;
        Err(fault.into())
    }

    /// Asks a person; `None` at the end of input.
    pub(crate) fn ask(&mut self, prompt: &str) -> Done<Option<String>> {
        self.world.read_line(prompt, false).map_err(|error| {
            Fault::new(Category::ResourceUnavailable, format!("Nobody can be asked \"{}\": {error}", prompt.trim()))
                .into()
        })
    }

    /// Whether a command may do what it is about to do: `-WhatIf` says what it would do, `-Confirm` asks.
    pub(crate) fn should_process(&mut self, common: &Common, is_asked: bool, action: &str, target: &str) -> Done<bool> {
        if self.is_what_if(common) {
            let text = format!("What if: Performing the operation \"{action}\" on target \"{target}\".\n");
            self.write(Stream::Host, &text, (None, None))?;
            return Ok(false);
        }
        self.confirmed(common, is_asked, &format!("Performing the operation \"{action}\" on target \"{target}\"."))
    }

    /// Asks a person before something is changed, where `-Confirm` or the command itself wants it.
    pub(crate) fn confirmed(&mut self, common: &Common, is_asked: bool, what: &str) -> Done<bool> {
        // `$ConfirmPreference` names the least impact that is asked for; what asks by itself has a high one.
        let preference =
            self.frame.scope.find("ConfirmPreference").map(|value| convert::text(&value).to_ascii_lowercase());
        let is_wanted = match (common.confirm, preference.as_deref()) {
            (Some(wanted), _) => wanted,
            (None, Some("none")) => false,
            (None, Some("low" | "medium")) => self.world.is_interactive(),
            (None, _) => is_asked && self.world.is_interactive(),
        };
        if !is_wanted || self.is_confirmed {
            return Ok(true);
        }
        if self.is_declined {
            return Ok(false);
        }
        let text = format!("\nConfirm\nAre you sure you want to perform this action?\n{what}\n");
        self.write(Stream::Host, &text, (None, None))?;
        loop {
            let answer = self.ask("[Y] Yes  [A] Yes to All  [N] No  [L] No to All  (default is \"Y\"): ")?;
            let Some(answer) = answer else { return Ok(false) };
            match answer.trim().to_ascii_lowercase().as_str() {
                "" | "y" | "yes" => return Ok(true),
                "a" => {
                    self.is_confirmed = true;
                    return Ok(true);
                }
                "n" | "no" => return Ok(false),
                "l" => {
                    self.is_declined = true;
                    return Ok(false);
                }
                _ => self.check()?,
            }
        }
    }

    /// What a name would run.
    pub(crate) fn known_command(&self, name: &str) -> Option<Known> {
        if let Some((alias, target)) = self.aliases.get(&key(name)) {
            return Some(Known { name: alias.to_string(), kind: KnownKind::Alias(target.to_string()) });
        }
        if let Some((name, body)) = self.frame.scope.find_function(name) {
            return Some(Known { name: name.to_string(), kind: KnownKind::Function(body) });
        }
        let signature = self.signature(name)?;
        Some(Known { name: signature.name.to_owned(), kind: KnownKind::Command(signature) })
    }

    fn known_commands(&self) -> Vec<Known> {
        let mut all: Vec<Known> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for scope in self.frame.scope.outwards() {
            for (name, body) in scope.functions() {
                if seen.insert(key(&name)) {
                    all.push(Known { name: name.to_string(), kind: KnownKind::Function(body) });
                }
            }
        }
        let signatures = self.stock.values().map(|command| command.signature).chain(self.registry.values().copied());
        for signature in signatures {
            if seen.insert(key(signature.name)) {
                all.push(Known { name: signature.name.to_owned(), kind: KnownKind::Command(signature) });
            }
        }
        all.extend(
            self.aliases
                .values()
                .map(|(name, target)| Known { name: name.to_string(), kind: KnownKind::Alias(target.to_string()) }),
        );
        all.sort_by_key(|known| key(&known.name));
        all
    }

    /// A list for `-ErrorVariable` and its like, kept under the name; `+name` adds to what is there.
    pub(crate) fn listing_variable(&mut self, name: &str, home: &Rc<Scope>) -> Rc<List> {
        let (name, keeps) = match name.strip_prefix('+') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let old = match home.find(name) {
            Some(value) if keeps => convert::elements(&value),
            _ => Vec::new(),
        };
        let list = Rc::new(List { values: std::cell::RefCell::new(old), kind: ListKind::Growing });
        home.set(name, Value::List(Rc::clone(&list)));
        list
    }
}

fn broken(message: &str) -> Flow {
    Fault::new(Category::ResourceUnavailable, message).into()
}
