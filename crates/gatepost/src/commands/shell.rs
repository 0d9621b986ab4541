//! `gatepost shell`: the pipeline language at a terminal, for one text, for a file, or for what comes through a pipe.
//!
//! Takes a text, hands on the exit code that it asks for. The language runs in this process; what it asks of the server
//! goes through the API, as all commands do (invariant I11).

use std::cell::RefCell;
use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use clap::CommandFactory;
use gatepost_manage::document;
use gatepost_manage::remote::Remote;
use gatepost_shell::command::{Changes, Commands, Kind, Parameter, Signature};
use gatepost_shell::context::{BlockScope, Context, KnownKind};
use gatepost_shell::convert::encoding::decode_file;
use gatepost_shell::convert::text;
use gatepost_shell::evaluate::report::error_text;
use gatepost_shell::fault::Fault;
use gatepost_shell::limits::Limits;
use gatepost_shell::member::{method_names, property_names};
use gatepost_shell::parse::{ParseError, SOURCE_BYTES_MAX, parse};
use gatepost_shell::session::{Outcome, Output, Session};
use gatepost_shell::source::Source;
use gatepost_shell::syntax::ScriptBlock;
use gatepost_shell::value::Value;
use gatepost_shell::world::{Colour, Entry, Stream};

use super::wait_for;
use crate::cli::{Cli, ShellArguments, Target};
use crate::failure::Failure;
use crate::shell::{Cancel, Console, Editor, Manners, Offer, Offers, Typed, Wanted, Windows};
use crate::terminal;

/// Stack of the thread that scripts run on: functions that call each other a thousand times have room. The system gives only
/// what is used.
const STACK_BYTES: usize = 256 << 20;

/// What is said at the beginning of an interactive session.
const GREETING: &str = "Get-Help lists the commands, Get-Help NAME shows one; Tab completes; exit or Ctrl-D ends.\n";

/// Makes one line of JSON of a value.
const TO_JSON: &str = "ConvertTo-Json -InputObject $_ -Compress -Depth 10";

/// What there is to run.
enum Work {
    /// Lines from a terminal.
    Interactive,
    /// A text with its name and arguments, and whether it was the value of `-c`.
    Text { name: String, text: String, arguments: Vec<String>, is_command: bool },
}

/// Runs the shell; hands back its exit code.
pub fn shell(target: &Target, arguments: ShellArguments) -> Result<ExitCode, Failure> {
    let client = super::client(target)?;
    let server = match &target.distant {
        Some(_) => wait_for(client.status())?.server_name,
        None => document::server_name(&target.config.path)?,
    };
    let is_input_terminal = io::stdin().is_terminal();
    let work = work(&arguments, is_input_terminal)?;
    let holds_script = matches!(&work, Work::Text { name, .. } if name == "standard input");
    let manners = Manners {
        is_json: arguments.json,
        may_colour: !arguments.no_color && !terminal::is_no_color(),
        may_ask: !arguments.non_interactive && !holds_script,
    };
    let cancel = Cancel::install()?;
    let run = move || -> Result<i32, Failure> {
        let console = Console::new(manners, Windows::of_server(&server), cancel.clone())?;
        let is_running =
            !matches!(work, Work::Interactive) || !matches!(wait_for(client.status()), Err(Failure::NotRunning(_)));
        let commands: Rc<dyn Commands> = Rc::new(Remote::new(client)?);
        let session = Session::new(Box::new(console), commands.clone(), Limits::for_stack(STACK_BYTES));
        let to_json =
            parse(&Source::new("--json", TO_JSON)).map_err(|_| Failure::of("the line that makes JSON is broken"))?;
        let runner = Runner { session, is_json: manners.is_json, to_json: Rc::new(to_json), cancel };
        match work {
            Work::Interactive => runner.converse(commands, manners.may_colour, &server, is_running),
            Work::Text { name, text, arguments, is_command } => {
                Ok(runner.run_whole(Source::new(name, text), &arguments, is_command))
            }
        }
    };
    let thread = std::thread::Builder::new().name("shell".to_owned()).stack_size(STACK_BYTES).spawn(run)?;
    let code = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    // What does not fit into a process's exit code is a failure still.
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// What the command line asks for.
fn work(arguments: &ShellArguments, is_input_terminal: bool) -> Result<Work, Failure> {
    if let Some(text) = &arguments.command {
        let name = "command line".to_owned();
        return Ok(Work::Text { name, text: text.clone(), arguments: arguments.script.clone(), is_command: true });
    }
    match arguments.script.split_first() {
        Some((file, rest)) if file != "-" => {
            if file.starts_with('-') {
                let message = format!(
                    "{file} is neither an option of gatepost shell nor a script; gatepost shell --help lists the options, and ./{file} names a file"
                );
                Cli::command().error(clap::error::ErrorKind::UnknownArgument, message).exit();
            }
            let bytes = read_limited(std::fs::File::open(file), file)?;
            Ok(Work::Text {
                name: file.clone(),
                text: decode_file(&bytes),
                arguments: rest.to_vec(),
                is_command: false,
            })
        }
        None if is_input_terminal && io::stdout().is_terminal() => Ok(Work::Interactive),
        rest => {
            let name = "standard input".to_owned();
            let bytes = read_limited(Ok(io::stdin()), &name)?;
            let arguments = rest.map(|(_, rest)| rest.to_vec()).unwrap_or_default();
            Ok(Work::Text { name, text: decode_file(&bytes), arguments, is_command: false })
        }
    }
}

fn read_limited(input: io::Result<impl Read>, name: &str) -> Result<Vec<u8>, Failure> {
    let cannot = |error: io::Error| Failure::of(format!("cannot read {name}: {error}"));
    let mut bytes = Vec::new();
    // One byte more than a script may have: the parser says what is too much.
    input.map_err(cannot)?.take(SOURCE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}

/// A session and how its values are shown.
struct Runner {
    session: Session,
    is_json: bool,
    /// What makes JSON of `$_`: scripts and `--json` see values alike.
    to_json: Rc<ScriptBlock>,
    cancel: Arc<Cancel>,
}

impl Runner {
    /// Runs a script to its end; hands back the exit code.
    fn run_whole(mut self, source: Source, arguments: &[String], is_command: bool) -> i32 {
        let script = match parse(&source) {
            Ok(script) => Rc::new(script),
            Err(errors) => {
                self.tell_mistakes(&source, &errors);
                return 2;
            }
        };
        let outcome = self.with_output(|session, output| session.run_script(&script, arguments, output));
        match outcome.exit_code {
            0 if is_command && !outcome.is_ok => 1,
            code => code,
        }
    }

    /// Runs what is typed, line by line, until somebody has enough.
    fn converse(
        self,
        commands: Rc<dyn Commands>,
        may_colour: bool,
        server: &str,
        is_running: bool,
    ) -> Result<i32, Failure> {
        let runner = Rc::new(RefCell::new(self));
        let offers = Rc::new(RefCell::new(SessionOffers { runner: runner.clone(), commands }));
        let mut editor = Editor::new(offers, may_colour)?;
        let mut greeting = format!("Gatepost {} on {server}. {GREETING}", env!("CARGO_PKG_VERSION"));
        if !is_running {
            greeting.push_str("The server is not running: commands about it will say so.\n");
        }
        runner.borrow_mut().session.world().write(Stream::Host, &greeting, (None, None))?;
        loop {
            runner.borrow().cancel.forget();
            let prompt = runner.borrow_mut().session.prompt();
            let line = match editor.read(&prompt)? {
                Typed::Line(line) => line,
                Typed::Interrupted => continue,
                Typed::End => return Ok(0),
            };
            let mut runner = runner.borrow_mut();
            runner.cancel.forget();
            let outcome = runner.run_line(line);
            if outcome.is_some_and(|outcome| outcome.is_exit) {
                return Ok(outcome.map_or(0, |outcome| outcome.exit_code));
            }
        }
    }

    /// Runs one line; `None`: it cannot be parsed.
    fn run_line(&mut self, line: String) -> Option<Outcome> {
        let source = Source::new("line", line);
        if let Err(errors) = parse(&source) {
            self.tell_mistakes(&source, &errors);
            return None;
        }
        Some(self.with_output(|session, output| session.run(source, output)))
    }

    fn with_output(&mut self, run: impl FnOnce(&mut Session, Output<'_>) -> Outcome) -> Outcome {
        if !self.is_json {
            return run(&mut self.session, Output::Screen);
        }
        let to_json = Rc::clone(&self.to_json);
        let mut write = |context: &mut dyn Context, value: Value| -> Result<(), Fault> {
            for line in context.call_block(&to_json, BlockScope::Own, Some(value), &[])? {
                context.write(Stream::Output, &format!("{}\n", text(&line)), (None, None))?;
            }
            Ok(())
        };
        run(&mut self.session, Output::Values(&mut write))
    }
}

impl Runner {
    /// Says what is wrong with a text, all of it.
    fn tell_mistakes(&mut self, source: &Source, errors: &[ParseError]) {
        for error in errors {
            let text = error_text(&error.to_fault(source));
            // Where nobody reads errors, the exit code still tells.
            let _ = self.session.world().write(Stream::Error, &text, (Some(Colour::Red), None));
        }
    }
}

/// What a session has to offer for completion.
struct SessionOffers {
    runner: Rc<RefCell<Runner>>,
    commands: Rc<dyn Commands>,
}

/// Parameters that all commands have, and those of commands that change something.
const COMMON: [&str; 7] =
    ["ErrorAction", "ErrorVariable", "WarningAction", "WarningVariable", "OutVariable", "Verbose", "Debug"];
const CHANGING: [&str; 2] = ["WhatIf", "Confirm"];
const ACTIONS: [&str; 5] = ["Stop", "Continue", "SilentlyContinue", "Ignore", "Inquire"];

impl SessionOffers {
    /// What a name of a command or an alias runs.
    fn known(&self, name: &str) -> Option<KnownKind> {
        let mut runner = self.runner.borrow_mut();
        runner
            .session
            .with_context(|context| {
                let mut name = name.to_owned();
                // An alias of an alias is as far as anybody goes.
                for _ in 0..3 {
                    match context.known_command(&name).map(|known| known.kind) {
                        Some(KnownKind::Alias(target)) => name = target,
                        known => return Ok(known),
                    }
                }
                Ok(None)
            })
            .ok()
            .flatten()
    }

    fn signature(&self, name: &str) -> Option<&'static Signature> {
        match self.known(name)? {
            KnownKind::Command(signature) => Some(signature),
            KnownKind::Function(_) | KnownKind::Alias(_) => None,
        }
    }
}

impl SessionOffers {
    /// Properties of what the last command yields that is named in a text and whose objects are known.
    fn properties_before(&self, text: &str) -> Vec<Offer> {
        let words = text.rsplit(|character: char| !character.is_alphanumeric() && character != '-');
        let known = words.filter(|word| !word.is_empty()).filter_map(|word| self.signature(word));
        let properties = known.map(|signature| self.commands.properties(signature)).find(|names| !names.is_empty());
        properties.unwrap_or_default().into_iter().map(|name| member(name.to_owned())).collect()
    }
}

/// One of several values, which are alike.
fn one_of(value: Value) -> Value {
    match &value {
        Value::List(list) => list.values.borrow().first().cloned().unwrap_or_default(),
        _ => value,
    }
}

/// The name of a member as it is written behind a dot.
fn member(name: String) -> Offer {
    match name.chars().all(|character| character.is_alphanumeric() || character == '_') {
        true => Offer::plain(name),
        false => Offer { text: format!("'{}'", name.replace('\'', "''")), shown: name },
    }
}

impl Offers for SessionOffers {
    fn commands(&mut self) -> Vec<Offer> {
        let mut runner = self.runner.borrow_mut();
        let known = runner.session.with_context(|context| Ok(context.known_commands())).unwrap_or_default();
        let mut names: Vec<String> = known.into_iter().map(|known| known.name).collect();
        // Full names first: they are what is meant more often than an alias.
        names.sort_by_key(|name| (!name.contains('-'), name.to_lowercase()));
        names.dedup();
        names.into_iter().map(Offer::plain).collect()
    }

    fn parameters(&mut self, command: &str) -> Vec<Offer> {
        match self.known(command) {
            Some(KnownKind::Command(signature)) => {
                let own = signature.parameters.iter().map(|parameter| parameter.name);
                let changing = CHANGING.iter().copied().filter(|_| signature.changes != Changes::Nothing);
                own.chain(changing).chain(COMMON).map(Offer::plain).collect()
            }
            Some(KnownKind::Function(block)) => {
                block.parameters.iter().map(|parameter| Offer::plain(parameter.name.as_str())).collect()
            }
            Some(KnownKind::Alias(_)) | None => Vec::new(),
        }
    }

    fn members(&mut self, of: &[&str], before: &str) -> Vec<Offer> {
        let [variable, path @ ..] = of else { return Vec::new() };
        let name = variable.rsplit(':').next().unwrap_or(variable);
        let held = match name {
            "_" | "PSItem" => None,
            name => self.runner.borrow().session.variable(name),
        };
        let Some(mut value) = held else {
            return if path.is_empty() { self.properties_before(before) } else { Vec::new() };
        };
        for name in path {
            value = match one_of(value) {
                Value::Object(object) => object.get(name).unwrap_or_default(),
                Value::Foreign(foreign) => foreign.property(name).unwrap_or_default(),
                Value::Table(table) => table.borrow().get_text(name).unwrap_or_default(),
                _ => Value::Null,
            };
        }
        if value.is_null() {
            return Vec::new();
        }
        let is_several = matches!(&value, Value::List(_));
        let value = one_of(value);
        let mut names: Vec<String> = match &value {
            Value::Table(table) => table.borrow().entries().iter().map(|(key, _)| text(key)).collect(),
            _ => Vec::new(),
        };
        names.extend(property_names(&value));
        names.extend(is_several.then(|| "Count".to_owned()));
        let methods =
            method_names(&value).iter().map(|name| Offer { text: format!("{name}("), shown: format!("{name}()") });
        names.into_iter().map(member).chain(methods).collect()
    }

    fn values(&mut self, command: &str, wanted: Wanted<'_>, prefix: &str, before: &str) -> Vec<String> {
        let Some(signature) = self.signature(command) else { return Vec::new() };
        let parameter = match wanted {
            Wanted::Named(name) => {
                let is_it = |known: &&str| known.eq_ignore_ascii_case(name);
                let begins = |parameter: &&Parameter| {
                    parameter.name.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
                };
                let exact = |parameter: &&Parameter| is_it(&parameter.name) || parameter.aliases.iter().any(is_it);
                if ["ErrorAction", "EA", "WarningAction", "WA"].iter().any(is_it) {
                    return ACTIONS.map(str::to_owned).into();
                }
                signature.parameters.iter().find(exact).or_else(|| signature.parameters.iter().find(begins))
            }
            Wanted::Position(place) => {
                let mut positional: Vec<&Parameter> =
                    signature.parameters.iter().filter(|parameter| parameter.position.is_some()).collect();
                positional.sort_by_key(|parameter| parameter.position);
                positional.get(place).copied()
            }
        };
        let Some(parameter) = parameter else { return Vec::new() };
        if self.commands.signatures().iter().any(|known| std::ptr::eq(*known, signature)) {
            return self.commands.complete(signature, parameter, prefix);
        }
        if parameter.name == "Name" && matches!(signature.name, "Get-Help" | "Get-Command") {
            return self.commands().into_iter().map(|offer| offer.text).collect();
        }
        if ["Property", "ExpandProperty", "ExcludeProperty", "MemberName"].contains(&parameter.name) {
            return self.properties_before(before).into_iter().map(|offer| offer.shown).collect();
        }
        choices(parameter.kind)
    }

    fn variables(&mut self) -> Vec<String> {
        let mut runner = self.runner.borrow_mut();
        let variables = runner.session.with_context(|context| Ok(context.variables())).unwrap_or_default();
        variables.into_iter().map(|(name, _)| name).collect()
    }

    fn paths(&mut self, prefix: &str) -> Vec<String> {
        let (folder, name) = match prefix.rfind(['/', '\\']) {
            Some(slash) => prefix.split_at(slash + 1),
            None => ("", prefix),
        };
        let slash = if folder.contains('\\') { '\\' } else { '/' };
        let mut runner = self.runner.borrow_mut();
        let Ok(entries) = runner.session.world().folder(if folder.is_empty() { "." } else { folder }) else {
            return Vec::new();
        };
        let is_wanted = |entry: &Entry| {
            entry.name.to_lowercase().starts_with(&name.to_lowercase())
                && (!entry.name.starts_with('.') || name.starts_with('.'))
        };
        let path = |entry: Entry| match entry.is_folder {
            true => format!("{folder}{}{slash}", entry.name),
            false => format!("{folder}{}", entry.name),
        };
        entries.into_iter().filter(is_wanted).map(path).collect()
    }
}

/// The values that a kind names itself.
fn choices(kind: Kind) -> Vec<String> {
    match kind {
        Kind::OneOf(choices) | Kind::Flags(choices) => choices.iter().map(|choice| (*choice).to_owned()).collect(),
        Kind::Bool => vec!["$true".to_owned(), "$false".to_owned()],
        Kind::List(of) | Kind::MultiValued(of) => choices(*of),
        _ => Vec::new(),
    }
}
