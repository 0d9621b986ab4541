//! Variables that nobody sets, and the few objects of the host that scripts use: `$Host`, `$PSCmdlet`, `$MyInvocation`.

use std::cell::RefCell;
use std::rc::Rc;

use super::flow::{Done, Flow};
use super::function::CallKind;
use super::interpreter::Interpreter;
use super::running::Common;
use super::scope::Scope;
use crate::convert;
use crate::fault::{Category, Fault};
use crate::source::Source;
use crate::stock;
use crate::syntax::{ScriptBlock, TypeName};
use crate::value::{CUSTOM, Object, Value, View};
use crate::world::{Colour, Stream};

static HOST: View =
    View { type_name: "System.Management.Automation.Internal.Host.InternalHost", table: &[], identity: "" };
static HOST_UI: View = View {
    type_name: "System.Management.Automation.Internal.Host.InternalHostUserInterface",
    table: &[],
    identity: "",
};
static RAW_UI: View = View {
    type_name: "System.Management.Automation.Internal.Host.InternalHostRawUserInterface",
    table: &[],
    identity: "",
};
static CMDLET: View = View { type_name: "System.Management.Automation.PSScriptCmdlet", table: &[], identity: "" };
/// A script or function; as text it is its name.
static COMMAND: View = View { type_name: "System.Management.Automation.CommandInfo", table: &[], identity: "Name" };
static INVOCATION: View = View { type_name: "System.Management.Automation.InvocationInfo", table: &[], identity: "" };
static EXECUTION: View = View { type_name: "System.Management.Automation.EngineIntrinsics", table: &[], identity: "" };
static INVOKE: View =
    View { type_name: "System.Management.Automation.CommandInvocationIntrinsics", table: &[], identity: "" };

/// The version that `$PSVersionTable` names: that of the shell which Exchange's own is made on.
const VERSION: &str = "5.1.17763.1";

fn object(view: &'static View, properties: Vec<(&'static str, Value)>) -> Value {
    let properties = properties.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Value::Object(Rc::new(Object::new(view, properties)))
}

impl Interpreter {
    pub(crate) fn set_automatic_variables(&mut self) {
        let width = i64::try_from(self.world.width()).unwrap_or(120);
        let version = self
            .cast(
                &TypeName { name: "version".to_owned(), arguments: Vec::new(), array_depth: 0 },
                &Value::text(VERSION),
            )
            .unwrap_or_else(|_| Value::text(VERSION));
        let size = |width: i64, height: i64| {
            object(&CUSTOM, vec![("Width", Value::Int(width)), ("Height", Value::Int(height))])
        };
        let raw = object(
            &RAW_UI,
            vec![
                ("ForegroundColor", Value::text("Gray")),
                ("BackgroundColor", Value::text("Black")),
                ("WindowTitle", Value::text("gatepost shell")),
                ("BufferSize", size(width, 3000)),
                ("WindowSize", size(width, 50)),
                ("MaxWindowSize", size(width, 50)),
            ],
        );
        let host = object(
            &HOST,
            vec![
                ("Name", Value::text("ConsoleHost")),
                ("Version", version.clone()),
                ("UI", object(&HOST_UI, vec![("RawUI", raw)])),
                ("CurrentCulture", Value::text("en-US")),
                ("CurrentUICulture", Value::text("en-US")),
                ("PrivateData", object(&CUSTOM, Vec::new())),
            ],
        );
        let table = Value::table([
            (Value::text("PSVersion"), version.clone()),
            (Value::text("PSEdition"), Value::text("Desktop")),
            (Value::text("PSCompatibleVersions"), Value::array(vec![version])),
        ]);
        let home = self.world.environment("HOME").or_else(|| self.world.environment("USERPROFILE")).unwrap_or_default();
        let id = i64::try_from(self.world.random() % 65_536).unwrap_or(0);
        let expanding = object(&EXECUTION, vec![("InvokeCommand", object(&INVOKE, Vec::new()))]);
        for (name, value) in [
            ("Error", Value::List(Rc::clone(&self.errors))),
            ("Host", host),
            ("PSVersionTable", table),
            ("HOME", Value::text(home)),
            ("PID", Value::Int(id)),
            ("ShellId", Value::text("Microsoft.PowerShell")),
            ("PSHOME", Value::text("")),
            ("PSCulture", Value::text("en-US")),
            ("PSUICulture", Value::text("en-US")),
            ("PROFILE", Value::text("")),
            ("ExecutionContext", expanding),
            ("ErrorActionPreference", Value::text("Continue")),
            ("WarningPreference", Value::text("Continue")),
            ("InformationPreference", Value::text("SilentlyContinue")),
            ("VerbosePreference", Value::text("SilentlyContinue")),
            ("DebugPreference", Value::text("SilentlyContinue")),
            ("ProgressPreference", Value::text("Continue")),
            ("ConfirmPreference", Value::text("High")),
            ("WhatIfPreference", Value::Bool(false)),
            ("FormatEnumerationLimit", Value::Int(4)),
            ("PSDefaultParameterValues", Value::table([])),
            ("MaximumHistoryCount", Value::Int(4096)),
        ] {
            self.global.set(name, value);
        }
    }

    /// A variable by its plain name: those that are always there, those of the scopes, those that are computed.
    pub(crate) fn find_variable(&self, name: &str) -> Option<Value> {
        match name {
            "_" => return self.frame.scope.find("_"),
            "?" => return Some(Value::Bool(self.is_ok)),
            _ => {}
        }
        if name.eq_ignore_ascii_case("true") {
            return Some(Value::Bool(true));
        }
        if name.eq_ignore_ascii_case("false") {
            return Some(Value::Bool(false));
        }
        if name.eq_ignore_ascii_case("null") {
            return None;
        }
        self.frame.scope.find(name).or_else(|| self.automatic(name))
    }

    /// A variable that is computed.
    pub(crate) fn automatic(&self, name: &str) -> Option<Value> {
        match name.to_ascii_lowercase().as_str() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "psitem" => self.frame.scope.find("_"),
            "lastexitcode" => self.exit_code.map(|code| Value::Int(i64::from(code))),
            "pwd" => Some(stock::path_info(&self.world.current_folder())),
            "psscriptroot" => Some(Value::text(self.script_path().map(|path| folder_of(&path)).unwrap_or_default())),
            "pscommandpath" => Some(Value::text(self.script_path().unwrap_or_default())),
            "myinvocation" => Some(self.invocation(&self.frame.scope)),
            _ => None,
        }
    }

    /// The file whose text runs, with its folder.
    fn script_path(&self) -> Option<String> {
        let name = self.frame.source.name();
        if !name.to_ascii_lowercase().ends_with(".ps1") {
            return None;
        }
        let is_whole = name.starts_with(['/', '\\']) || name.get(1..2) == Some(":");
        let plain = name.trim_start_matches("./").trim_start_matches(".\\");
        Some(match is_whole {
            true => name.to_owned(),
            false => {
                let folder = self.world.current_folder();
                let separator = if folder.contains('\\') { '\\' } else { '/' };
                format!("{}{separator}{plain}", folder.trim_end_matches(separator))
            }
        })
    }

    /// Remembers by what name a scope was called.
    pub(crate) fn set_invocation(&mut self, scope: &Rc<Scope>, name: &str, block: &ScriptBlock, kind: CallKind) {
        if !matches!(kind, CallKind::DotSource | CallKind::DotSourcedScript) {
            *scope.called.borrow_mut() = Some((name.into(), block.source.clone(), kind == CallKind::Script));
        }
    }

    /// `$MyInvocation` as it is in a scope.
    pub(crate) fn invocation(&self, scope: &Rc<Scope>) -> Value {
        let called = scope.outwards().find_map(|scope| scope.called.borrow().clone());
        let (name, source, is_script) = called.unwrap_or_else(|| ("".into(), Source::new("", ""), false));
        let path = self.script_path().unwrap_or_default();
        let short = match is_script {
            true => Rc::from(name.rsplit(['/', '\\']).next().unwrap_or(&name)),
            false => Rc::clone(&name),
        };
        let definition = match is_script {
            true => path.clone(),
            false => source.name().to_owned(),
        };
        let mut command = vec![
            ("Name", Value::text(&short)),
            ("CommandType", Value::text(if is_script { "ExternalScript" } else { "Function" })),
            ("Definition", Value::text(definition)),
        ];
        if is_script {
            command.push(("Path", Value::text(&path)));
            command.push(("ScriptContents", Value::text(source.text())));
        }
        object(
            &INVOCATION,
            vec![
                ("MyCommand", object(&COMMAND, command)),
                ("InvocationName", Value::text(&name)),
                ("ScriptName", Value::text(&path)),
                ("PSScriptRoot", Value::text(folder_of(&path))),
                ("PSCommandPath", Value::text(&path)),
                ("Line", Value::text("")),
                ("BoundParameters", self.frame.scope.find("PSBoundParameters").unwrap_or_default()),
                ("UnboundArguments", self.frame.scope.find("args").unwrap_or_default()),
            ],
        )
    }

    /// `$PSCmdlet` of a function that asks for it.
    pub(crate) fn set_cmdlet(&mut self, name: &str, set: &str, _common: &Common) {
        let cmdlet = object(&CMDLET, vec![("ParameterSetName", Value::text(set)), ("Name", Value::text(name))]);
        self.frame.scope.set("PSCmdlet", cmdlet);
    }

    /// A property that only the session knows.
    pub(crate) fn automatic_member(&mut self, value: &Value, name: &str) -> Done<Option<Value>> {
        let Value::Object(object) = value else { return Ok(None) };
        Ok(match std::ptr::eq(object.view, &CMDLET) && name.eq_ignore_ascii_case("MyInvocation") {
            true => Some(self.invocation(&self.frame.scope)),
            false => None,
        })
    }

    /// A method of the host's objects. `None`: not one of them.
    pub(crate) fn automatic_call(&mut self, value: &Value, name: &str, arguments: &[Value]) -> Done<Option<Value>> {
        let Value::Object(object) = value else { return Ok(None) };
        let text = |at: usize| arguments.get(at).map(convert::text).unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        let view = object.view;
        if std::ptr::eq(view, &CMDLET) {
            let command = object.get("Name").map(|name| convert::text(&name)).unwrap_or_default();
            return self.cmdlet_call(&lower, &command, arguments);
        }
        if std::ptr::eq(view, &HOST_UI) {
            let (stream, line, colour) = match lower.as_str() {
                "promptforchoice" => return self.prompt_for_choice(arguments).map(Some),
                "readline" | "readlineassecurestring" => {
                    return Ok(Some(self.ask("")?.map_or(Value::Null, Value::text)));
                }
                "write" => (Stream::Host, arguments.last().map(convert::text).unwrap_or_default(), None),
                "writeline" => (Stream::Host, arguments.last().map(convert::text).unwrap_or_default() + "\n", None),
                "writeerrorline" => (Stream::Error, text(0) + "\n", Some(Colour::Red)),
                "writewarningline" => (Stream::Warning, format!("WARNING: {}\n", text(0)), Some(Colour::Yellow)),
                "writeverboseline" => (Stream::Verbose, format!("VERBOSE: {}\n", text(0)), Some(Colour::Yellow)),
                "writedebugline" => (Stream::Debug, format!("DEBUG: {}\n", text(0)), Some(Colour::Yellow)),
                _ => return Ok(None),
            };
            self.write(stream, &line, (colour, None))?;
            return Ok(Some(Value::Null));
        }
        if std::ptr::eq(view, &RAW_UI) {
            return match lower.as_str() {
                "readkey" => {
                    let line = self.ask("")?.unwrap_or_default();
                    let character = line.chars().next().unwrap_or('\r');
                    Ok(Some(object_of_key(character)))
                }
                "flushinputbuffer" => Ok(Some(Value::Null)),
                _ => Ok(None),
            };
        }
        if std::ptr::eq(view, &HOST) && matches!(lower.as_str(), "setshouldexit") {
            let code = convert::integer(arguments.first().unwrap_or(&Value::Int(0)))?;
            return Err(Flow::Exit(i32::try_from(code).unwrap_or(1)));
        }
        if std::ptr::eq(view, &INVOKE) && lower == "expandstring" {
            // The text as one in double quotes.
            let source = Source::new("ExpandString", format!("@\"\n{}\n\"@", text(0)));
            let values = self.collect(|it, out| it.run_text(source, out))?;
            return Ok(Some(convert::gathered(values)));
        }
        Ok(None)
    }

    fn cmdlet_call(&mut self, lower: &str, command: &str, arguments: &[Value]) -> Done<Option<Value>> {
        let text = |at: usize| arguments.get(at).map(convert::text).unwrap_or_default();
        let common = Common::default();
        Ok(Some(match lower {
            "shouldprocess" => {
                let action = if arguments.len() > 1 { text(1) } else { command.to_owned() };
                Value::Bool(self.should_process(&common, false, &action, &text(0))?)
            }
            "shouldcontinue" => {
                let confirming = Common { confirm: Some(true), ..Common::default() };
                Value::Bool(self.confirmed(&confirming, true, &text(0))?)
            }
            "writeverbose" | "writewarning" | "writedebug" => {
                use crate::command::Emit;
                let mut discard = super::sink::Discard;
                let mut running = super::running::Running::plain(self, &mut discard);
                match lower {
                    "writewarning" => running.warning(&text(0)),
                    _ => running.verbose(&text(0)),
                }
                Value::Null
            }
            "writeerror" | "throwterminatingerror" => {
                let mut fault = match arguments.first() {
                    Some(Value::Fault(fault)) => Fault::clone(fault),
                    _ => Fault::new(Category::NotSpecified, text(0)),
                };
                if lower == "throwterminatingerror" {
                    return Err(fault.by(command).into());
                }
                fault.ends_script = false;
                self.report(fault.by(command), &common)?;
                Value::Null
            }
            _ => return Ok(None),
        }))
    }

    /// `$Host.UI.PromptForChoice(title, message, choices, default)`: the number of the choice.
    fn prompt_for_choice(&mut self, arguments: &[Value]) -> Done<Value> {
        let text = |at: usize| arguments.get(at).map(convert::text).unwrap_or_default();
        let choices: Vec<String> = arguments
            .get(2)
            .map(convert::elements)
            .unwrap_or_default()
            .iter()
            .map(|choice| match choice {
                Value::Object(object) => convert::text(&object.get("Label").unwrap_or_default()),
                Value::Foreign(foreign) => {
                    foreign.property("Label").map(|label| convert::text(&label)).unwrap_or_else(|| foreign.text())
                }
                other => convert::text(other),
            })
            .collect();
        let default = match arguments.get(3) {
            Some(default) => convert::integer(default)?,
            None => -1,
        };
        self.write(Stream::Host, &format!("\n{}\n{}\n", text(0), text(1)), (None, None))?;
        let letter = |choice: &str| choice.split_once('&').and_then(|(_, behind)| behind.chars().next());
        let mut prompt = String::new();
        for choice in &choices {
            let plain = choice.replace('&', "");
            match letter(choice) {
                Some(letter) => prompt.push_str(&format!("[{}] {plain}  ", letter.to_uppercase())),
                None => prompt.push_str(&format!("{plain}  ")),
            }
        }
        if let Some(default) = usize::try_from(default).ok().and_then(|at| choices.get(at)) {
            let shown = letter(default).map_or_else(|| default.clone(), |letter| letter.to_uppercase().to_string());
            prompt.push_str(&format!("(default is \"{shown}\"): "));
        }
        loop {
            self.check()?;
            let Some(answer) = self.ask(&prompt)? else { return Ok(Value::Int(default)) };
            let answer = answer.trim();
            if answer.is_empty() && default >= 0 {
                return Ok(Value::Int(default));
            }
            let is_meant = |choice: &&String| {
                choice.replace('&', "").eq_ignore_ascii_case(answer)
                    || letter(choice)
                        .is_some_and(|letter| letter.to_lowercase().eq(answer.chars().flat_map(char::to_lowercase)))
            };
            if let Some(at) = choices.iter().position(|choice| is_meant(&choice)) {
                return Ok(Value::Int(i64::try_from(at).unwrap_or(0)));
            }
        }
    }
}

fn object_of_key(character: char) -> Value {
    let code = match character {
        '\r' | '\n' => 13,
        other => i64::from(u32::from(other.to_ascii_uppercase())),
    };
    Value::Object(Rc::new(Object {
        view: &CUSTOM,
        properties: RefCell::new(vec![
            ("VirtualKeyCode".into(), Value::Int(code)),
            ("Character".into(), Value::Char(character)),
            ("KeyDown".into(), Value::Bool(true)),
        ]),
    }))
}

/// The folder of a path, either way of writing it.
fn folder_of(path: &str) -> String {
    match path.rfind(['/', '\\']) {
        Some(0) => path[..1].to_owned(),
        Some(at) => path[..at].to_owned(),
        None => String::new(),
    }
}
