//! A session: variables, functions and errors that stay from one line to the next. The interactive shell, `-c` and files
//! run in one.

use std::rc::Rc;

use crate::command::Commands;
use crate::context::Context;
use crate::convert;
use crate::evaluate::flow::{Done, Flow};
use crate::evaluate::foresight::{FailingCommand, failing_commands};
use crate::evaluate::interpreter::{Interpreter, stack_position};
use crate::evaluate::report::error_text;
use crate::evaluate::running::Running;
use crate::evaluate::sink::Sink;
use crate::fault::{Category, Fault};
use crate::limits::Limits;
use crate::source::Source;
use crate::syntax::ScriptBlock;
use crate::value::Value;
use crate::world::{Colour, Stream, World};

/// Commands that will fail of which one script is warned.
const FAILING_MAX: usize = 20;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the process returns: that of `exit`, 1 after an error that ended the script, else 0.
    pub exit_code: i32,
    /// Whether `exit` was called: the session is over.
    pub is_exit: bool,
    /// `$?`: whether the last command did what it should.
    pub is_ok: bool,
}

/// Where the values go that a run yields at its end.
pub enum Output<'a> {
    /// To the screen, formatted by `Out-Default`.
    Screen,
    /// To a function, one after the other.
    Values(&'a mut dyn FnMut(&mut dyn Context, Value) -> Result<(), Fault>),
}

/// A session.
pub struct Session {
    interpreter: Interpreter,
}

impl Session {
    /// A session in this world with these commands.
    ///
    /// Values are references within one thread, so the session stays where it is made; that thread's stack is what
    /// `limits` says of it.
    pub fn new(world: Box<dyn World>, commands: Rc<dyn Commands>, limits: Limits) -> Session {
        Session { interpreter: Interpreter::new(world, commands, limits) }
    }

    /// Parses a text and runs it in the session's own scope, as a line that was typed: what it sets stays.
    pub fn run(&mut self, source: Source, output: Output<'_>) -> Outcome {
        self.outcome(|it, out| it.run_text(source, out), output)
    }

    /// Runs a script that was parsed, with these arguments as a command line gives them: `-Name` is a parameter's name.
    /// Commands that exist nowhere, or are refused, are told of first.
    pub fn run_script(&mut self, script: &Rc<ScriptBlock>, arguments: &[String], output: Output<'_>) -> Outcome {
        for failing in self.failing_commands(script).iter().take(FAILING_MAX) {
            let (line, _) = failing.source.position(failing.span.start);
            let told = match failing.why {
                None => format!("there is no command {}: the script will fail where it calls it.", failing.name),
                Some(why) => format!("{} is not done by this shell: {why}", failing.name),
            };
            let text = format!("WARNING: {}:{line}: {told}\n", failing.source.name());
            // Nobody reads warnings: that is no reason not to run.
            let _ = self.interpreter.write(Stream::Warning, &text, (Some(Colour::Yellow), None));
        }
        self.outcome(|it, out| it.run_script(script, arguments, out), output)
    }

    /// Commands that a script calls and that will fail, as they exist nowhere or are refused: to be told before it runs. Only what
    /// is certain; the script may still run until there.
    pub fn failing_commands(&self, script: &ScriptBlock) -> Vec<FailingCommand> {
        failing_commands(script, |name| self.interpreter.standing(name))
    }

    fn outcome(&mut self, work: impl FnOnce(&mut Interpreter, &mut dyn Sink) -> Done, output: Output<'_>) -> Outcome {
        let it = &mut self.interpreter;
        it.begin_run(stack_position());
        let done = match output {
            Output::Screen => it.run_to_screen(work),
            Output::Values(take) => {
                let mut sink = Taker(take);
                work(it, &mut sink)
            }
        };
        let mut outcome = Outcome { exit_code: 0, is_exit: false, is_ok: it.is_ok };
        match done {
            Ok(()) | Err(Flow::Return | Flow::Break(_) | Flow::Continue(_) | Flow::Stop(_)) => {}
            Err(Flow::Exit(code)) => {
                it.exit_code = Some(code);
                outcome = Outcome { exit_code: code, is_exit: true, is_ok: code == 0 };
            }
            Err(Flow::Fault(fault)) => {
                it.is_ok = false;
                it.remember(&fault);
                // Where nobody reads errors either, the exit code still tells.
                let _ = it.write(Stream::Error, &error_text(&fault), (Some(Colour::Red), None));
                let exit_code = match fault.category {
                    Category::Parser => 2,
                    Category::Stopped => 130,
                    _ => 1,
                };
                outcome = Outcome { exit_code, is_exit: false, is_ok: false };
            }
        }
        outcome
    }

    /// The world, for whoever asks at the prompt.
    pub fn world(&mut self) -> &mut dyn World {
        self.interpreter.world.as_mut()
    }

    /// A variable's value.
    pub fn variable(&self, name: &str) -> Option<Value> {
        self.interpreter.find_variable(name)
    }

    /// Something that wants a context: completion, a prompt.
    ///
    /// # Errors
    /// What it returns.
    pub fn with_context<T>(&mut self, work: impl FnOnce(&mut dyn Context) -> Result<T, Fault>) -> Result<T, Fault> {
        self.interpreter.begin_run(stack_position());
        let mut discard = crate::evaluate::sink::Discard;
        work(&mut Running::plain(&mut self.interpreter, &mut discard))
    }

    /// What the prompt shows: the function `prompt` if the session has one.
    pub fn prompt(&mut self) -> String {
        let is_known = self.interpreter.frame.scope.find_function("prompt").is_some();
        let mut prompt = String::new();
        if is_known {
            let mut take = |_: &mut dyn Context, value: Value| {
                prompt.push_str(&convert::text(&value));
                Ok(())
            };
            self.run(Source::new("prompt", "prompt"), Output::Values(&mut take));
        }
        match prompt.is_empty() {
            true => "PS> ".to_owned(),
            false => prompt,
        }
    }
}

struct Taker<'a>(&'a mut dyn FnMut(&mut dyn Context, Value) -> Result<(), Fault>);

impl Sink for Taker<'_> {
    fn put(&mut self, interpreter: &mut Interpreter, value: Value) -> Done {
        let mut discard = crate::evaluate::sink::Discard;
        let done = (self.0)(&mut Running::plain(interpreter, &mut discard), value);
        done.map_err(|fault| interpreter.flow_of(fault))
    }
}
