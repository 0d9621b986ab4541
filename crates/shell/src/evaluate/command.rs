//! Commands by their names: what a name means, and the stage of a pipeline that it becomes.

use std::rc::Rc;

use super::arguments::{Given, GivenArgument};
use super::flow::{Done, Flow};
use super::foresight::Standing;
use super::function::{CallKind, Step};
use super::interpreter::{Frame, Interpreter};
use super::pipeline::{PipeStage, Work};
use super::running::Common;
use super::scope::key;
use super::sink::Sink;
use crate::command::Signature;
use crate::convert;
use crate::fault::{Category, Fault, Severity};
use crate::parse;
use crate::source::{Source, Span};
use crate::stock;
use crate::syntax::{CommandCall, ExpressionKind, Invocation, ScriptBlock};
use crate::value::Value;

/// Aliases of aliases.
const ALIASES_DEEP: usize = 8;

/// What a name means.
enum Meaning {
    Command(&'static Signature),
    Function(Rc<str>, Rc<ScriptBlock>),
    Block(Rc<ScriptBlock>),
    Script(Rc<ScriptBlock>),
}

impl Interpreter {
    /// The stage that a call becomes, with its arguments evaluated and bound.
    pub(crate) fn stage(&mut self, call: &CommandCall, has_input: bool) -> Done<PipeStage> {
        let name = match (&call.name.kind, call.invocation) {
            (ExpressionKind::Text(name), _) => Value::text(name),
            (ExpressionKind::BareNumber(name, _), _) => Value::text(name),
            _ => self.expression(&call.name)?,
        };
        let meaning = self.meaning(&name).map_err(|fault| fault.at(&self.frame.source, call.name.span))?;
        let arguments = self.arguments(&call.arguments)?;
        let is_dotted = call.invocation == Invocation::DotSource;
        let made = self.make_stage(meaning, is_dotted, arguments, has_input, call.span);
        made.map_err(|flow| match flow {
            Flow::Fault(fault) => Flow::Fault(Box::new(fault.at(&self.frame.source, call.span))),
            other => other,
        })
    }

    fn make_stage(
        &mut self,
        meaning: Meaning,
        is_dotted: bool,
        arguments: Vec<GivenArgument>,
        has_input: bool,
        span: Span,
    ) -> Done<PipeStage> {
        let mut common = Common::default();
        let kind = match (&meaning, is_dotted) {
            (Meaning::Script(_), true) => CallKind::DotSourcedScript,
            (Meaning::Script(_), false) => CallKind::Script,
            (_, true) => CallKind::DotSource,
            (_, false) => CallKind::Own,
        };
        let work = match meaning {
            Meaning::Command(signature) => {
                let bound = self.bind(signature, arguments, &mut common, has_input)?;
                match self.stock.get(&key(signature.name)) {
                    Some(command) => Work::Stock { signature, stage: (command.make)(), bound },
                    None => Work::Registry { signature, bound },
                }
            }
            Meaning::Function(name, block) => Work::Function(Box::new(self.function_work(
                &name,
                &block,
                kind,
                arguments,
                (&mut common, has_input),
            )?)),
            Meaning::Block(block) | Meaning::Script(block) => {
                let name = Rc::<str>::from(if kind == CallKind::Own { "" } else { block.source.name() });
                Work::Function(Box::new(self.function_work(
                    &name,
                    &block,
                    kind,
                    arguments,
                    (&mut common, has_input),
                )?))
            }
        };
        self.stages += 1;
        Ok(PipeStage {
            work,
            common,
            frame: Frame {
                scope: Rc::clone(&self.frame.scope),
                source: self.frame.source.clone(),
                streams: self.frame.streams.clone(),
            },
            number: self.stages,
            place: (self.frame.source.clone(), span),
            has_begun: false,
            has_input,
            merged: None,
        })
    }

    /// A stage behind another, by its name.
    pub(crate) fn stage_by_name(&mut self, name: &str, arguments: &[(&str, Value)], span: Span) -> Done<PipeStage> {
        self.named_stage(name, arguments, true, span)
    }

    fn named_stage(&mut self, name: &str, arguments: &[(&str, Value)], has_input: bool, span: Span) -> Done<PipeStage> {
        let meaning = self.meaning(&Value::text(name))?;
        let arguments = arguments.iter().map(|(name, value)| match *name {
            "" => GivenArgument::Value(Given::from(value.clone()), span),
            name => GivenArgument::Named { name: name.to_owned(), value: Some(Given::from(value.clone())), span },
        });
        self.make_stage(meaning, false, arguments.collect(), has_input, span)
    }

    /// Runs a command by its name.
    pub(crate) fn run_command(
        &mut self,
        name: &str,
        arguments: &[(&str, Value)],
        input: &[Value],
        out: &mut dyn Sink,
    ) -> Done {
        let has_input = !input.is_empty();
        let stage = self.named_stage(name, arguments, has_input, Span::default())?;
        let input = has_input.then(|| Value::array(input.to_vec()));
        self.run_stages(input, &mut [stage], out)
    }

    /// Parses a text and runs it in the current scope, `param` with its defaults included.
    pub(crate) fn run_text(&mut self, source: Source, out: &mut dyn Sink) -> Done {
        let block = parsed(&source)?;
        self.check_depth()?;
        let name = Rc::<str>::from(source.name());
        let mut common = Common::default();
        let mut work = self.function_work(&name, &block, CallKind::DotSource, Vec::new(), (&mut common, false))?;
        for step in [Step::Begin, Step::Process(None), Step::End] {
            self.work_function(&mut work, step, false, out)?;
        }
        Ok(())
    }

    /// The description of a command of the language or of the registry.
    pub(crate) fn signature(&self, name: &str) -> Option<&'static Signature> {
        let name = key(name);
        self.stock.get(&name).map(|command| command.signature).or_else(|| self.registry.get(&name).copied())
    }

    /// What a name that is no file is known for.
    pub(crate) fn standing(&self, name: &str) -> Standing {
        let name = self.alias_target(name);
        let meaning = self.plain_meaning(&name).or_else(|| match name.contains('-') {
            true => None,
            false => self.plain_meaning(&format!("Get-{name}")),
        });
        match meaning {
            None => Standing::Missing,
            Some(Meaning::Command(signature)) => {
                stock::why_refused(signature).map_or(Standing::Runs, Standing::Refused)
            }
            Some(_) => Standing::Runs,
        }
    }

    fn meaning(&mut self, name: &Value) -> Result<Meaning, Fault> {
        let text = match name {
            Value::Block(block) => return Ok(Meaning::Block(Rc::clone(block))),
            Value::Null => {
                return Err(Fault::new(
                    Category::InvalidOperation,
                    "The expression after '&' in a pipeline element produced an object that was not valid. It must result in a command name, a script block, or a file's path; it is $null.",
                ));
            }
            // What Get-Command found, or a file of Get-ChildItem.
            Value::Object(object) if object.get("Name").is_some() => {
                let name = object.get("FullName").or_else(|| object.get("Name"));
                convert::text(&name.unwrap_or_default())
            }
            other => convert::text(other),
        };
        let name = self.alias_target(text.trim());
        let name = name.as_str();
        if let Some(meaning) = self.plain_meaning(name) {
            return Ok(meaning);
        }
        // A module's name before the command's: Module\Get-It.
        if let Some((_, behind)) = name.rsplit_once('\\')
            && let Some(meaning) = self.plain_meaning(behind)
        {
            return Ok(meaning);
        }
        if name.contains(['/', '\\']) || name.to_ascii_lowercase().ends_with(".ps1") {
            return self.script(name).map(Meaning::Script);
        }
        match self.plain_meaning(&format!("Get-{name}")) {
            Some(meaning) if !name.contains('-') => Ok(meaning),
            _ => Err(self.not_recognized(name)),
        }
    }

    /// What an alias stands for in the end; a name that is none stands for itself.
    fn alias_target(&self, name: &str) -> String {
        let mut name = name.to_owned();
        for _ in 0..ALIASES_DEEP {
            match self.aliases.get(&key(&name)) {
                Some((_, target)) => name = target.to_string(),
                None => break,
            }
        }
        name
    }

    fn plain_meaning(&self, name: &str) -> Option<Meaning> {
        if let Some((name, body)) = self.frame.scope.find_function(name) {
            return Some(Meaning::Function(name, body));
        }
        self.signature(name).map(Meaning::Command)
    }

    fn script(&mut self, path: &str) -> Result<Rc<ScriptBlock>, Fault> {
        let lower = path.to_ascii_lowercase();
        let found = self.world.entry(path).ok().flatten();
        let path = match found {
            Some(entry) if !entry.is_folder => path.to_owned(),
            _ if !lower.ends_with(".ps1") && matches!(self.world.entry(&format!("{path}.ps1")), Ok(Some(_))) => {
                format!("{path}.ps1")
            }
            _ => return Err(self.not_recognized(path)),
        };
        if !path.to_ascii_lowercase().ends_with(".ps1") {
            let mut fault = Fault::new(
                Category::InvalidOperation,
                format!("'{path}' is no script (.ps1): this shell runs no external programs."),
            );
            fault.exception = "System.Management.Automation.ApplicationFailedException";
            return Err(fault);
        }
        let bytes = self.world.read_file(&path, parse::SOURCE_BYTES_MAX).map_err(|error| {
            Fault::new(Category::ResourceUnavailable, format!("The script {path} cannot be read: {error}."))
        })?;
        parsed(&Source::new(path, convert::encoding::decode_file(&bytes)))
    }

    fn not_recognized(&self, name: &str) -> Fault {
        let signatures = self.stock.values().map(|command| command.signature.name);
        let names = signatures.chain(self.registry.values().map(|signature| signature.name));
        let near = convert::nearest(name, names).map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
        let hint = match name.to_ascii_lowercase().ends_with(".exe") {
            true => " This shell runs no external programs.",
            false => "",
        };
        let mut fault = Fault::new(
            Category::CommandNotFound,
            format!(
                "The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable program. Check the spelling of the name, or if a path was included, verify that the path is correct and try again.{hint}{near}"
            ),
        );
        fault.exception = "System.Management.Automation.CommandNotFoundException";
        fault.target = Some(name.to_owned());
        fault.by(name)
    }
}

/// A text as a tree; all its mistakes in one error.
pub(crate) fn parsed(source: &Source) -> Result<Rc<ScriptBlock>, Fault> {
    parse::parse(source).map(Rc::new).map_err(|errors| {
        let Some(first) = errors.first() else { return Fault::new(Category::Parser, "The text cannot be parsed.") };
        let mut fault = first.to_fault(source);
        for error in errors.iter().skip(1) {
            let (line, column) = source.position(error.span.start);
            fault.message.push_str(&format!("\nAt {}:{line} char:{column}: {error}", source.name()));
        }
        fault.severity = Severity::Terminating;
        fault.ends_script = true;
        fault
    })
}

impl Interpreter {
    /// Forgets what belonged to the run before.
    pub(crate) fn begin_run(&mut self, stack_base: usize) {
        self.stack_base = stack_base;
        self.depth = 0;
        self.guards = 0;
        self.held_bytes = 0;
        self.carried = None;
        self.is_confirmed = false;
        self.is_declined = false;
        self.frame = Frame { scope: Rc::clone(&self.global), source: Source::new("", ""), streams: Default::default() };
    }

    /// Runs something, and what it yields through `Out-Default` to the screen.
    pub(crate) fn run_to_screen(&mut self, work: impl FnOnce(&mut Interpreter, &mut dyn Sink) -> Done) -> Done {
        let mut stages = [self.stage_by_name("Out-Default", &[], Span::default())?];
        let mut nothing = super::sink::Discard;
        self.run_into(work, &mut stages, &mut nothing)
    }

    /// Runs a script as a file is run, its arguments as a command line gives them.
    pub(crate) fn run_script(&mut self, script: &Rc<ScriptBlock>, arguments: &[String], out: &mut dyn Sink) -> Done {
        let mut given = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = |text: &str| {
                let value = match text.to_ascii_lowercase().as_str() {
                    "$true" => Value::Bool(true),
                    "$false" => Value::Bool(false),
                    "$null" => Value::Null,
                    _ => Value::text(text),
                };
                Given::from(value)
            };
            match argument.strip_prefix('-') {
                Some(name) if name.starts_with(|first: char| first.is_alphabetic()) => {
                    let (name, text) = match name.split_once(':') {
                        Some((name, text)) => (name, Some(text)),
                        None => (name, None),
                    };
                    given.push(GivenArgument::Named {
                        name: name.to_owned(),
                        value: text.map(value),
                        span: Span::default(),
                    });
                }
                _ => given.push(GivenArgument::Value(value(argument), Span::default())),
            }
        }
        self.is_ok = true;
        let stage = self.make_stage(Meaning::Script(Rc::clone(script)), false, given, false, script.span)?;
        let mut stages = [stage];
        if let Work::Function(work) = &mut stages[0].work {
            // The outermost script's exit code is the session's.
            work.is_script = false;
        }
        self.run_stages(None, &mut stages, out)
    }
}
