//! What scripts do before they begin: modules, snap-ins, remote sessions. There is one server and one shell, so most of it is
//! taken and changes nothing.

use std::rc::Rc;

use crate::command::{Call, Changes, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault, Severity};
use crate::path;
use crate::source::Source;
use crate::value::{CUSTOM, Object, Value, View};

use super::file;
use super::parameter::{ANY, SIGNATURE, TEXTS, VALUES, also, at, named, piped, switch};
use super::refused::IGNORED;

/// A command that takes what it is given and does nothing.
pub(super) struct Taken;

impl Stage for Taken {
    fn process(&mut self, _context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        Ok(())
    }
}

/// A command that yields one value, whatever it is given.
pub(super) struct Yields(pub fn(&mut dyn Context, &Call<'_>) -> Result<Value, Fault>);

impl Stage for Yields {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let value = (self.0)(context, call)?;
        if value.is_null() { Ok(()) } else { context.value(value) }
    }
}

pub(super) fn object(view: &'static View, properties: Vec<(&'static str, Value)>) -> Value {
    let properties = properties.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Value::Object(Rc::new(Object::new(view, properties)))
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
    let computer = context.environment("COMPUTERNAME").unwrap_or_default();
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

/// What prepares a PowerShell session for things that are not here: types with members added, files with a mark of the web.
pub(super) const SET_DEBUG: StockCommand = StockCommand {
    signature: &Signature {
        name: "Set-PSDebug",
        aliases: &[
            "Unblock-File",
            "Update-TypeData",
            "Remove-TypeData",
            "Update-FormatData",
            "Export-ModuleMember",
            "Disconnect-PSSession",
            "Set-PSRepository",
        ],
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
