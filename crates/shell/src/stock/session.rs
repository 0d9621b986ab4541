//! What scripts do before they begin: modules, snap-ins, remote sessions, transcripts. There is one server and one shell, so
//! most of it is taken and changes nothing.

use std::rc::Rc;

use crate::command::{Call, Changes, Kind, Signature};
use crate::context::{BlockScope, Context, Stage, StockCommand, VariableScope};
use crate::convert::{self, time, wildcard};
use crate::fault::{Category, Fault, Severity};
use crate::member;
use crate::path;
use crate::source::Source;
use crate::syntax::TypeName;
use crate::value::{CUSTOM, Object, Value, View};
use crate::world::Stream;

use super::file;
use super::parameter::{ANY, SIGNATURE, TEXTS, VALUES, also, at, named, needed, piped, switch};
use super::refused::IGNORED;

/// A command that takes what it is given and does nothing.
struct Taken;

impl Stage for Taken {
    fn process(&mut self, _context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        Ok(())
    }
}

/// A command that yields one value, whatever it is given.
struct Yields(fn(&mut dyn Context, &Call<'_>) -> Result<Value, Fault>);

impl Stage for Yields {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let value = (self.0)(context, call)?;
        if value.is_null() { Ok(()) } else { context.value(value) }
    }
}

fn object(view: &'static View, properties: Vec<(&'static str, Value)>) -> Value {
    let properties = properties.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Value::Object(Rc::new(Object::new(view, properties)))
}

/// Start-Transcript.
pub(super) const START_TRANSCRIPT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Start-Transcript",
        synopsis: "Writes all that goes to the console to a file as well.",
        parameters: &[
            also(&["LiteralPath", "PSPath"], at(0, "Path", ANY, "The file.")),
            named("OutputDirectory", Kind::Text, "A folder for a file of a new name."),
            switch("Append", "Adds to the file's end."),
            switch("Force", "Taken, and of no consequence."),
            also(&["NoOverwrite"], switch("NoClobber", "Refuses when there is such a file.")),
            switch("IncludeInvocationHeader", "Taken, and of no consequence."),
            switch("UseMinimalHeader", "Taken, and of no consequence."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(StartTranscript),
};

struct StartTranscript;

impl Stage for StartTranscript {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let now = context.world().now();
        let path = match call.argument("Path").map(file::path_text) {
            Some(path) if !path.is_empty() => path,
            _ => {
                let name = format!("PowerShell_transcript.{}.txt", time::format(&now, "yyyyMMddHHmmss")?);
                let folder = match call.argument("OutputDirectory").map(convert::text) {
                    Some(folder) => folder,
                    None => context.world().current_folder(),
                };
                path::join(&folder, &name)
            }
        };
        let is_there = matches!(context.world().entry(&path), Ok(Some(_)));
        if call.is_set("NoClobber") && is_there && !call.is_set("Append") {
            return Err(path::failed(&path, &std::io::Error::from(std::io::ErrorKind::AlreadyExists)));
        }
        context.show(None)?;
        let stars = "*".repeat(22);
        let header =
            format!("{stars}\nTranscript start\nStart time: {}\n{stars}\n", time::format(&now, "yyyyMMddHHmmss")?);
        file::write(context, &path, &header, convert::encoding::Encoding::Utf8, call.is_set("Append"))?;
        context.set_transcript(Some(path.clone()));
        context.value(Value::text(format!("Transcript started, output file is {path}")))
    }
}

/// Stop-Transcript.
pub(super) const STOP_TRANSCRIPT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Stop-Transcript",
        synopsis: "Ends what Start-Transcript began.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || Box::new(StopTranscript),
};

struct StopTranscript;

impl Stage for StopTranscript {
    fn process(&mut self, context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        context.show(None)?;
        match context.set_transcript(None) {
            Some(path) => context.value(Value::text(format!("Transcript stopped, output file is {path}"))),
            None => Err(Fault::new(
                Category::InvalidOperation,
                "An error occurred stopping transcription: The host is not currently transcribing.",
            )
            .with_severity(Severity::Continuing)),
        }
    }
}

/// Invoke-Expression.
pub(super) const INVOKE_EXPRESSION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Invoke-Expression",
        synopsis: "Runs text as a script, in the caller's process.",
        parameters: &[needed(piped(at(0, "Command", Kind::Text, "The text.")))],
        ..SIGNATURE
    },
    make: || Box::new(InvokeExpression),
};

struct InvokeExpression;

impl Stage for InvokeExpression {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let text = call.argument("Command").map(convert::text).unwrap_or_default();
        context.run_text(Source::new("Invoke-Expression", text))
    }
}

/// Invoke-Command.
pub(super) const INVOKE_COMMAND: StockCommand = StockCommand {
    signature: &Signature {
        name: "Invoke-Command",
        synopsis: "Runs a block here. Blocks for other machines are refused.",
        parameters: &[
            at(0, "ScriptBlock", ANY, "The block."),
            also(&["Args"], named("ArgumentList", VALUES, "Its arguments.")),
            also(&["Cn"], named("ComputerName", TEXTS, "This machine, or nothing.")),
            named("Session", ANY, "A session of New-PSSession: the block runs here."),
            also(&["PSPath"], named("FilePath", Kind::Text, "A script instead of a block.")),
            named("InputObject", ANY, "What $input is."),
            switch("NoNewScope", "In the caller's scope."),
            switch("HideComputerName", "Taken, and of no consequence."),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(InvokeCommand),
};

struct InvokeCommand;

impl Stage for InvokeCommand {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let own = context.world().environment("COMPUTERNAME").unwrap_or_default();
        for name in call.argument("ComputerName").map(convert::elements).unwrap_or_default() {
            let name = convert::text(&name);
            let short = name.split('.').next().unwrap_or(&name);
            let is_own = ["localhost", ".", "127.0.0.1", "::1"].contains(&name.as_str())
                || short.eq_ignore_ascii_case(own.split('.').next().unwrap_or(&own));
            if !is_own {
                return Err(Fault::new(
                    Category::InvalidOperation,
                    format!(
                        "Invoke-Command runs blocks on this machine only, not on '{name}': log on there, or leave -ComputerName out."
                    ),
                ));
            }
        }
        let arguments = call.argument("ArgumentList").map(convert::elements).unwrap_or_default();
        if let Some(path) = call.argument("FilePath").map(convert::text) {
            let text = file::read(context, call, &path)?;
            let of = TypeName { name: "scriptblock".to_owned(), arguments: Vec::new(), array_depth: 0 };
            let Some(Value::Block(block)) = member::call_static(context, &of, "Create", &[Value::text(text)])? else {
                return Ok(());
            };
            return context.pass_block(&block, BlockScope::Own, None, &arguments);
        }
        let Some(Value::Block(block)) = call.argument("ScriptBlock") else {
            return Err(Fault::new(
                Category::InvalidArgument,
                "Invoke-Command wants a block, as { Get-ReceiveConnector }.",
            ));
        };
        let scope = if call.is_set("NoNewScope") { BlockScope::Caller } else { BlockScope::Own };
        context.pass_block(&Rc::clone(block), scope, None, &arguments)
    }
}

/// Import-Module.
pub(super) const IMPORT_MODULE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Import-Module",
        synopsis: "Takes the modules that are part of this shell, runs those that are files, and fails for others.",
        parameters: &[
            piped(at(0, "Name", VALUES, "Names or paths.")),
            switch("Force", "Taken, and of no consequence."),
            switch("PassThru", "Taken, and of no consequence."),
            switch("Global", "Taken, and of no consequence."),
            switch("DisableNameChecking", "Taken, and of no consequence."),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(ImportModule),
};

struct ImportModule;

/// Modules and snap-ins whose commands are ours.
fn is_ours(name: &str) -> bool {
    const OURS: [&str; 7] = [
        "*exchange*",
        "*xch*",
        "Microsoft.PowerShell.*",
        "CimCmdlets",
        "PSReadLine",
        "gatepost*",
        "Microsoft.WSMan.Management",
    ];
    OURS.iter().any(|pattern| wildcard::matches(pattern, name, false))
}

impl Stage for ImportModule {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for name in call.argument("Name").map(convert::elements).unwrap_or_default() {
            // What Import-PSSession yields is a module that is there already.
            if let Value::Object(_) = name {
                continue;
            }
            let name = file::path_text(&name);
            let is_path = name.contains(['/', '\\']) || name.ends_with(".psm1") || name.ends_with(".ps1");
            let candidates =
                [name.clone(), format!("{name}.psm1"), path::join(&name, &format!("{}.psm1", path::leaf(&name)))];
            let found = candidates
                .iter()
                .filter(|_| is_path)
                .find(|path| matches!(context.world().entry(path), Ok(Some(entry)) if !entry.is_folder))
                .cloned();
            if let Some(found) = found {
                let text = file::read(context, call, &found)?;
                context.run_text(Source::new(found, text))?;
            } else if !is_ours(path::leaf(&name)) {
                let mut fault = Fault::new(
                    Category::ObjectNotFound,
                    format!(
                        "The specified module '{name}' was not loaded because no valid module file was found in any module directory."
                    ),
                );
                fault.exception = "System.IO.FileNotFoundException";
                fault.target = Some(name);
                context.error(fault.with_severity(Severity::Continuing))?;
            }
        }
        Ok(())
    }
}

/// Remove-Module.
pub(super) const REMOVE_MODULE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Remove-Module",
        synopsis: "Taken, and of no consequence.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

static MODULE: View = View {
    type_name: "System.Management.Automation.PSModuleInfo",
    table: &["ModuleType", "Version", "Name"],
    identity: "Name",
};

fn module(name: &str) -> Value {
    object(
        &MODULE,
        vec![
            ("ModuleType", Value::text("Binary")),
            ("Version", Value::text("1.0")),
            ("Name", Value::text(name)),
            ("Path", Value::text("")),
        ],
    )
}

/// Get-Module.
pub(super) const GET_MODULE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Module",
        synopsis: "Tells of the modules that scripts look for.",
        parameters: &[
            at(0, "Name", TEXTS, "Names and wildcards."),
            switch("ListAvailable", "Taken, and of no consequence."),
            switch("All", "Taken, and of no consequence."),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(Listed(module, "Microsoft.Exchange.Management.PowerShell")),
};

/// One thing of a name; of other names that are ours when they are asked for.
struct Listed(fn(&str) -> Value, &'static str);

impl Stage for Listed {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let Some(names) = call.argument("Name").map(convert::elements) else {
            return context.value((self.0)(self.1));
        };
        for name in names {
            let name = convert::text(&name);
            if wildcard::is_pattern(&name) {
                if wildcard::matches(&name, self.1, false) {
                    context.value((self.0)(self.1))?;
                }
            } else if is_ours(&name) {
                context.value((self.0)(&name))?;
            } else if call.signature.name == "Get-PSSnapin" {
                let mut fault = Fault::new(
                    Category::InvalidArgument,
                    format!("No Windows PowerShell snap-ins matching the pattern '{name}' were found."),
                );
                fault.target = Some(name);
                context.error(fault.with_severity(Severity::Continuing))?;
            }
        }
        Ok(())
    }
}

/// Add-PSSnapin.
pub(super) const ADD_SNAPIN: StockCommand = StockCommand {
    signature: &Signature {
        name: "Add-PSSnapin",
        synopsis: "Taken: the commands are there already.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

static SNAPIN: View = View {
    type_name: "System.Management.Automation.PSSnapInInfo",
    table: &["Name", "PSVersion", "Description"],
    identity: "Name",
};

fn snapin(name: &str) -> Value {
    object(
        &SNAPIN,
        vec![
            ("Name", Value::text(name)),
            ("PSVersion", Value::text("1.0")),
            ("Description", Value::text("The commands of this shell.")),
        ],
    )
}

/// Get-PSSnapin.
pub(super) const GET_SNAPIN: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-PSSnapin",
        synopsis: "Tells of the snap-ins that scripts look for.",
        parameters: &[
            at(0, "Name", TEXTS, "Names and wildcards."),
            switch("Registered", "Taken, and of no consequence."),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(Listed(snapin, "Microsoft.Exchange.Management.PowerShell.SnapIn")),
};

static SESSION: View = View {
    type_name: "System.Management.Automation.Runspaces.PSSession",
    table: &["Id", "Name", "ComputerName", "State", "ConfigurationName"],
    identity: "Name",
};

fn session(context: &mut dyn Context, _call: &Call<'_>) -> Result<Value, Fault> {
    let computer = context.world().environment("COMPUTERNAME").unwrap_or_default();
    Ok(object(
        &SESSION,
        vec![
            ("Id", Value::Int(1)),
            ("Name", Value::text("Session1")),
            ("ComputerName", Value::text(computer)),
            ("State", Value::text("Opened")),
            ("ConfigurationName", Value::text("Microsoft.Exchange")),
            ("Availability", Value::text("Available")),
        ],
    ))
}

/// New-PSSession.
pub(super) const NEW_SESSION: StockCommand = StockCommand {
    signature: &Signature {
        name: "New-PSSession",
        synopsis: "Taken: the commands reach the server already, nothing is connected.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Yields(session)),
};

static SESSION_OPTION: View =
    View { type_name: "System.Management.Automation.Remoting.PSSessionOption", table: &[], identity: "" };

/// New-PSSessionOption.
pub(super) const NEW_SESSION_OPTION: StockCommand = StockCommand {
    signature: &Signature {
        name: "New-PSSessionOption",
        synopsis: "Taken: there is no session that the options could be of.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Yields(|_, _| Ok(object(&SESSION_OPTION, Vec::new())))),
};

/// Get-PSSession.
pub(super) const GET_SESSION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-PSSession",
        synopsis: "Tells of no session: none is open.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

/// Import-PSSession.
pub(super) const IMPORT_SESSION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Import-PSSession",
        synopsis: "Taken: the commands are there already.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Yields(|_, _| Ok(module("tmp_gatepost")))),
};

/// Remove-PSSession.
pub(super) const REMOVE_SESSION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Remove-PSSession",
        synopsis: "Taken, and of no consequence.",
        aliases: &["Disconnect-ExchangeServer", "Remove-PSSnapin"],
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

/// Set-StrictMode.
pub(super) const SET_STRICT_MODE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Set-StrictMode",
        synopsis: "Taken, and of no consequence.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

/// Set-ExecutionPolicy.
pub(super) const SET_EXECUTION_POLICY: StockCommand = StockCommand {
    signature: &Signature {
        name: "Set-ExecutionPolicy",
        synopsis: "Taken, and of no consequence: scripts run.",
        parameters: &[IGNORED],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

/// Get-ExecutionPolicy.
pub(super) const GET_EXECUTION_POLICY: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-ExecutionPolicy",
        synopsis: "Tells that scripts run.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Yields(|_, _| Ok(Value::text("RemoteSigned")))),
};

/// Set-ADServerSettings.
pub(super) const SET_AD_SERVER_SETTINGS: StockCommand = StockCommand {
    signature: &Signature {
        name: "Set-ADServerSettings",
        synopsis: "Taken, and of no consequence: there is no directory behind this server.",
        parameters: &[IGNORED],
        changes: Changes::Unasked,
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

/// Get-ADServerSettings.
pub(super) const GET_AD_SERVER_SETTINGS: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-ADServerSettings",
        synopsis: "Tells that all is seen.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || {
        Box::new(Yields(|_, _| {
            Ok(object(&CUSTOM, vec![("ViewEntireForest", Value::Bool(true)), ("RecipientViewRoot", Value::Null)]))
        }))
    },
};

/// Connect-ExchangeServer.
pub(super) const CONNECT_EXCHANGE_SERVER: StockCommand = StockCommand {
    signature: &Signature {
        name: "Connect-ExchangeServer",
        synopsis: "Taken: the shell is connected already.",
        aliases: &["Import-RemoteExchange"],
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

/// Add-Type.
pub(super) const ADD_TYPE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Add-Type",
        synopsis: "Takes the names of assemblies; source text is refused.",
        parameters: &[
            also(&["MemberDefinition"], at(0, "TypeDefinition", ANY, "Refused: there is no compiler here.")),
            also(&["AN"], named("AssemblyName", TEXTS, "Taken: the types that are known here are there already.")),
            also(&["LiteralPath"], named("Path", TEXTS, "Taken, and of no consequence.")),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(AddType),
};

struct AddType;

impl Stage for AddType {
    fn process(&mut self, _context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        match call.argument("TypeDefinition") {
            Some(_) => {
                let mut fault = Fault::new(
                    Category::InvalidOperation,
                    "Add-Type -TypeDefinition compiles C#: there is no compiler in this shell. Write it in the script's own language.",
                );
                fault.exception = "System.NotSupportedException";
                Err(fault)
            }
            None => Ok(()),
        }
    }
}

/// Get-Credential.
pub(super) const GET_CREDENTIAL: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Credential",
        synopsis: "Asks for a name and a password.",
        parameters: &[
            also(&["UserName"], at(0, "Credential", ANY, "The name, or a credential that is handed on.")),
            named("Message", Kind::Text, "What is said before."),
            named("Title", Kind::Text, "Taken, and of no consequence."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(GetCredential),
};

struct GetCredential;

impl Stage for GetCredential {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        if let Some(done @ Value::Object(_)) = call.argument("Credential") {
            return context.value(done.clone());
        }
        if let Some(message) = call.argument("Message").map(convert::text) {
            context.write(Stream::Host, &format!("{message}\n"), (None, None))?;
        }
        let user = match call.argument("Credential").map(convert::text) {
            Some(user) if !user.is_empty() => user,
            _ => convert::text(&member::read(context, "User: ")?),
        };
        let password = member::read_secret(context, &format!("Password for user {user}: "))?;
        context.value(member::credential(&user, Value::foreign(member::Secret(Rc::from(password.as_str())))))
    }
}

/// ConvertTo-SecureString.
pub(super) const TO_SECURE_STRING: StockCommand = StockCommand {
    signature: &Signature {
        name: "ConvertTo-SecureString",
        synopsis: "Makes a secret of text.",
        parameters: &[
            needed(piped(at(0, "String", Kind::Text, "The text."))),
            switch("AsPlainText", "The text is the secret itself; the only kind that is read here."),
            switch("Force", "Taken, and of no consequence."),
            named("Key", ANY, "Refused."),
            named("SecureKey", ANY, "Refused."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(ToSecureString),
};

struct ToSecureString;

impl Stage for ToSecureString {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        if !call.is_set("AsPlainText") {
            return Err(Fault::new(
                Category::InvalidArgument,
                "ConvertTo-SecureString reads plain text only (-AsPlainText -Force): secrets that a Windows account has protected cannot be read here.",
            ));
        }
        let text = call.argument("String").map(convert::text).unwrap_or_default();
        context.value(Value::foreign(member::Secret(Rc::from(text.as_str()))))
    }
}

/// Get-Host.
pub(super) const GET_HOST: StockCommand = StockCommand {
    signature: &Signature { name: "Get-Host", synopsis: "Hands on $Host.", parameters: &[], ..SIGNATURE },
    make: || {
        Box::new(Yields(|context, _| {
            Ok(context.variable(VariableScope::Nearest, "Host").unwrap_or_else(|| Value::foreign(member::Console)))
        }))
    },
};

/// Get-Culture.
pub(super) const GET_CULTURE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Culture",
        aliases: &["Get-UICulture"],
        synopsis: "Tells of the one culture that there is.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || {
        Box::new(Yields(|context, _| {
            let of = TypeName { name: "cultureinfo".to_owned(), arguments: Vec::new(), array_depth: 0 };
            member::static_property(context, &of, "CurrentCulture")
        }))
    },
};

/// `hostname`: what scripts call as a program of the system.
pub(super) const HOST_NAME: StockCommand = StockCommand {
    signature: &Signature {
        name: "hostname",
        aliases: &["hostname.exe"],
        synopsis: "Tells the server's short name, as $env:COMPUTERNAME does.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || {
        Box::new(Yields(|context, _| Ok(Value::text(context.world().environment("COMPUTERNAME").unwrap_or_default()))))
    },
};

/// `whoami`, as well.
pub(super) const WHO_AM_I: StockCommand = StockCommand {
    signature: &Signature {
        name: "whoami",
        aliases: &["whoami.exe"],
        synopsis: "Tells the user's name with the domain, as $env:USERDOMAIN\\$env:USERNAME does.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || {
        Box::new(Yields(|context, _| {
            let mut variable = |name: &str| context.world().environment(name);
            let user = variable("USERNAME").unwrap_or_default();
            let machine = variable("COMPUTERNAME").unwrap_or_default();
            let domain = variable("USERDOMAIN").unwrap_or(machine);
            Ok(Value::text(format!("{domain}\\{user}").to_lowercase()))
        }))
    },
};

/// Get-History.
pub(super) const GET_HISTORY: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-History",
        aliases: &["Clear-History", "Add-History"],
        synopsis: "Tells of nothing: the terminal keeps the history, arrow up shows it.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

/// Resolve-DnsName.
pub(super) const RESOLVE_DNS: StockCommand = StockCommand {
    signature: &Signature {
        name: "Resolve-DnsName",
        synopsis: "Tells the addresses of a host, or the name of the host that has an address.",
        parameters: &[
            needed(piped(at(0, "Name", Kind::Text, "The host."))),
            at(1, "Type", Kind::Text, "A, AAAA or PTR; what fits the name if not given."),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(ResolveDns),
};

static DNS: View =
    View { type_name: "Microsoft.DnsClient.Commands.DnsRecord", table: &["Name", "Type", "IPAddress"], identity: "" };

static POINTER: View = View {
    type_name: "Microsoft.DnsClient.Commands.DnsRecord_PTR",
    table: &["Name", "Type", "NameHost"],
    identity: "",
};

fn no_name(name: String) -> Fault {
    let mut fault = Fault::new(Category::ResourceUnavailable, format!("{name} : DNS name does not exist"));
    fault.target = Some(name);
    fault.with_severity(Severity::Continuing)
}

struct ResolveDns;

impl Stage for ResolveDns {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let name = call.argument("Name").map(convert::text).unwrap_or_default();
        let wanted = call.argument("Type").map(convert::text).unwrap_or_default().to_ascii_uppercase();
        if let Ok(address) = name.parse()
            && matches!(wanted.as_str(), "" | "PTR")
        {
            return match context.world().name_of(address) {
                Ok(host) => {
                    let record = vec![("Name", &*name), ("Type", "PTR"), ("NameHost", &*host)];
                    let record = record.into_iter().map(|(name, value)| (name, Value::text(value)));
                    context.value(object(&POINTER, record.collect()))
                }
                Err(_) => Err(no_name(name)),
            };
        }
        if !matches!(wanted.as_str(), "" | "A" | "AAAA" | "A_AAAA") {
            return Err(Fault::new(
                Category::InvalidArgument,
                format!("Resolve-DnsName -Type {wanted} is not known here; write A or AAAA, or PTR with an address."),
            ));
        }
        let found = context.world().resolve(&name).unwrap_or_default();
        let found: Vec<_> = found
            .into_iter()
            .filter(|address| match wanted.as_str() {
                "A" => address.is_ipv4(),
                "AAAA" => address.is_ipv6(),
                _ => true,
            })
            .collect();
        if found.is_empty() {
            return Err(no_name(name));
        }
        for address in found {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            let record = vec![
                ("Name", Value::text(&name)),
                ("Type", Value::text(kind)),
                ("IPAddress", Value::text(address.to_string())),
            ];
            context.value(object(&DNS, record))?;
        }
        Ok(())
    }
}
