//! The state of a session while it evaluates: the world, the commands, scopes, streams, and what has been used so far.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::flow::{Done, Flow, limit, shallow_bytes};
use super::scope::{Scope, ScopeKind, key};
use crate::command::{Commands, Signature};
use crate::context::StockCommand;
use crate::fault::{Category, Fault, Severity};
use crate::format::Printer;
use crate::limits::Limits;
use crate::source::Source;
use crate::stock;
use crate::value::{List, ListKind, Value};
use crate::world::World;

/// Errors that `$Error` remembers.
const ERRORS_MAX: usize = 256;

/// What runs, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Where names are looked up.
    pub scope: Rc<Scope>,
    /// Whose text runs.
    pub source: Source,
    /// Where errors, warnings and the others go; by the number of the stream.
    pub streams: [Target; 7],
}

/// Where a stream goes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Target {
    /// The console.
    #[default]
    Console,
    /// Nowhere.
    Nothing,
    /// A file, to whose end it is added.
    File(Rc<str>),
    /// Among the values that the stage yields.
    Output(Rc<RefCell<Vec<Value>>>),
}

/// The state.
pub(crate) struct Interpreter {
    pub world: Box<dyn World>,
    pub commands: Rc<dyn Commands>,
    pub limits: Limits,
    pub frame: Frame,
    pub global: Rc<Scope>,
    /// `$Error`, the newest first.
    pub errors: Rc<List>,
    /// `$?`.
    pub is_ok: bool,
    /// `$LASTEXITCODE`.
    pub exit_code: Option<i32>,
    /// Set by `$env:NAME = ...`; the process keeps its own.
    pub environment: HashMap<Box<str>, Option<String>>,
    pub aliases: HashMap<Box<str>, (Rc<str>, Rc<str>)>,
    pub stock: HashMap<Box<str>, &'static StockCommand>,
    pub registry: HashMap<Box<str>, &'static Signature>,
    /// A flow on its way through a command.
    pub carried: Option<Flow>,
    /// Functions and blocks that are being run.
    pub depth: usize,
    /// `try` blocks and traps that would catch an error.
    pub guards: usize,
    /// Where the stack was when the run began.
    pub stack_base: usize,
    /// Bytes of values in pipelines that are being collected.
    pub held_bytes: usize,
    /// Bytes made since the last census.
    pub charged_bytes: usize,
    /// Numbers of pipeline stages.
    pub stages: u64,
    /// What the screen holds back until the columns of a table are known.
    pub screen: Printer,
    /// All that goes to the console goes here as well.
    pub transcript: Option<String>,
    /// "Yes to all" was answered in this run.
    pub is_confirmed: bool,
    /// "No to all" was answered in this run.
    pub is_declined: bool,
}

impl Interpreter {
    pub(crate) fn new(world: Box<dyn World>, commands: Rc<dyn Commands>, limits: Limits) -> Interpreter {
        let global = Scope::new(None, ScopeKind::Global);
        let stock = stock::commands().iter().flat_map(|command| {
            let names = std::iter::once(command.signature.name).chain(command.signature.aliases.iter().copied());
            names.map(move |name| (key(name), command))
        });
        let registry = commands.signatures().iter().flat_map(|signature| {
            let names = std::iter::once(signature.name).chain(signature.aliases.iter().copied());
            names.map(move |name| (key(name), *signature))
        });
        let aliases = stock::ALIASES.iter().map(|(name, target)| (key(name), (Rc::from(*name), Rc::from(*target))));
        let mut interpreter = Interpreter {
            stock: stock.collect(),
            registry: registry.collect(),
            aliases: aliases.collect(),
            frame: Frame { scope: Rc::clone(&global), source: Source::new("", ""), streams: Default::default() },
            world,
            commands,
            limits,
            global,
            errors: Rc::new(List { values: RefCell::default(), kind: ListKind::Growing }),
            is_ok: true,
            exit_code: None,
            environment: HashMap::new(),
            carried: None,
            depth: 0,
            guards: 0,
            stack_base: stack_position(),
            held_bytes: 0,
            charged_bytes: 0,
            stages: 0,
            screen: Printer::default(),
            transcript: None,
            is_confirmed: false,
            is_declined: false,
        };
        interpreter.set_automatic_variables();
        interpreter
    }

    /// To be asked in each round of a loop, each command and for each object of a pipeline.
    pub(crate) fn check(&mut self) -> Done {
        match self.world.is_cancelled() {
            true => {
                let mut fault = Fault::new(Category::Stopped, "The script was stopped (Ctrl-C).");
                fault.severity = Severity::Final;
                fault.exception = "System.Management.Automation.PipelineStoppedException";
                Err(fault.into())
            }
            false => Ok(()),
        }
    }

    /// To be asked before going one level deeper.
    pub(crate) fn check_depth(&self) -> Done {
        if self.depth > self.limits.call_depth || self.stack_base.abs_diff(stack_position()) > self.limits.stack_bytes {
            return Err(limit(format!(
                "The script failed due to call depth overflow: functions and blocks are nested {} deep.",
                self.depth
            ))
            .into());
        }
        Ok(())
    }

    /// Tells of bytes made. Now and then all that variables hold is counted.
    pub(crate) fn charge(&mut self, bytes: usize) -> Done {
        self.charged_bytes = self.charged_bytes.saturating_add(bytes);
        if self.charged_bytes <= self.limits.memory_bytes / 4 {
            return Ok(());
        }
        // What is in nobody's variable may be garbage; what is held by pipelines is counted where they are collected.
        let held = self.held_bytes.saturating_add(self.reachable_bytes());
        if held.saturating_add(self.charged_bytes.saturating_sub(self.limits.memory_bytes / 4))
            > self.limits.memory_bytes
        {
            return Err(limit(format!(
                "The values of this session take more than {} MB: let variables go ($x = $null), or work in pipelines.",
                self.limits.memory_bytes >> 20
            ))
            .into());
        }
        self.charged_bytes = 0;
        Ok(())
    }

    fn reachable_bytes(&self) -> usize {
        let mut seen: HashSet<*const ()> = HashSet::new();
        let mut pending: Vec<Value> = vec![Value::List(Rc::clone(&self.errors))];
        for scope in self.frame.scope.outwards() {
            pending.extend(scope.variables().into_iter().map(|(_, value)| value));
        }
        let mut bytes = 0_usize;
        while let Some(value) = pending.pop() {
            let address: *const () = match &value {
                Value::Text(text) => text.as_ptr().cast(),
                Value::List(list) => Rc::as_ptr(list).cast(),
                Value::Table(table) => Rc::as_ptr(table).cast(),
                Value::Object(object) => Rc::as_ptr(object).cast(),
                _ => continue,
            };
            if !seen.insert(address) {
                continue;
            }
            bytes = bytes.saturating_add(shallow_bytes(&value));
            match &value {
                Value::List(list) => pending.extend(list.values.borrow().iter().cloned()),
                Value::Table(table) => {
                    pending
                        .extend(table.borrow().entries().iter().flat_map(|(key, value)| [key.clone(), value.clone()]));
                }
                Value::Object(object) => {
                    pending.extend(object.properties.borrow().iter().map(|(_, value)| value.clone()));
                }
                _ => {}
            }
        }
        bytes
    }

    /// A text about to be used as a value.
    pub(crate) fn text(&mut self, text: String) -> Done<Value> {
        self.check_text(text.len())?;
        self.charge(text.len())?;
        Ok(Value::Text(Rc::from(text)))
    }

    /// Whether a text may be so long.
    pub(crate) fn check_text(&self, bytes: usize) -> Done {
        match bytes > self.limits.text_bytes {
            true => Err(limit(format!("A text of more than {} MB is not made.", self.limits.text_bytes >> 20)).into()),
            false => Ok(()),
        }
    }

    /// Puts an error into `$Error`, once.
    pub(crate) fn remember(&mut self, fault: &Fault) {
        let mut errors = self.errors.values.borrow_mut();
        if let Some(Value::Fault(last)) = errors.first()
            && last.message == fault.message
            && last.place == fault.place
            && last.place.is_some()
        {
            return;
        }
        errors.insert(0, Value::Fault(Rc::new(fault.clone())));
        errors.truncate(ERRORS_MAX);
    }
}

/// About where the stack is now.
#[inline(never)]
pub(crate) fn stack_position() -> usize {
    let marker = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&marker)).addr()
}
