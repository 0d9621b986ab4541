//! The registry's commands as the shell is given them: each call of one goes to the running server.
//!
//! Takes bound calls of the language, asks the server through [`Client`], hands on values made of records by their shape.
//! Blocks, as the language does, which runs on one thread. Never evaluates anything and opens no file.

mod answer;
mod record;
mod flags;
mod binding;
mod range;
mod unlimited;
mod size;
mod span;
mod text_of;

use std::cell::RefCell;
use std::io;

use gatepost_policy::permission::Trustee;
use gatepost_policy::right::Right;
use gatepost_shell::command::{Call, Commands, Emit, Kind, Parameter, Signature};
use gatepost_shell::fault::{Category, Fault, Severity};
use gatepost_shell::value::Value;
use serde_json::{Map, Value as Json};
use tokio::runtime::{self, Runtime};

use self::answer::Taker;
use self::record::Records;
use self::text_of::to_json_of;
use crate::client::{Client, ClientError};
use crate::command;
use crate::resource::{CommandAnswer, CommandRequest};

const START: &str = "Start-Transaction";
const COMPLETE: &str = "Complete-Transaction";
const UNDO: &str = "Undo-Transaction";

/// The commands of the server of one data folder.
pub struct Remote {
    client: Client,
    runtime: Runtime,
    signatures: Vec<&'static Signature>,
    records: Records,
    /// The transaction that was begun and not ended.
    transaction: RefCell<Option<String>>,
}

impl Remote {
    /// The commands of the server that `client` calls. Does not connect yet. Not to be made or used within an async task.
    ///
    /// # Errors
    /// When the system has no room for a runtime.
    pub fn new(client: Client) -> io::Result<Remote> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let signatures = command::entries().map(|entry| entry.signature).collect();
        Ok(Remote { client, runtime, signatures, records: Records::default(), transaction: RefCell::default() })
    }

    /// Runs a command.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn call(&self, name: &str, request: &CommandRequest) -> Result<CommandAnswer, ClientError> {
        self.runtime.block_on(self.client.command(name, request))
    }

    /// Keeps or forgets the transaction that later calls are part of.
    fn note_transaction(&self, call: &Call<'_>, body: &[u8]) {
        let ended = [COMPLETE, UNDO].into_iter().any(|name| call.signature.name == name);
        if ended && !call.is_what_if {
            self.transaction.take();
        }
        if call.signature.name == START
            && let Ok(answer) = serde_json::from_slice::<CommandAnswer>(body)
            && let Some(id) = answer.output.first().and_then(|record| record.get("Transaction")?.as_str())
        {
            self.transaction.replace(Some(id.to_owned()));
        }
    }

    /// Names of objects of the noun of `signature`, for completion. Nothing where the server does not answer.
    fn names(&self, signature: &Signature) -> Vec<String> {
        let noun = signature.name.split_once('-').map_or("", |(_, noun)| noun);
        // Rights are those of connectors.
        let noun = if noun.eq_ignore_ascii_case("ADPermission") { "ReceiveConnector" } else { noun };
        // Members are those of groups.
        let noun = noun.strip_suffix("Member").unwrap_or(noun);
        let transaction = self.transaction.borrow().clone();
        let request = CommandRequest { lean: true, transaction, ..CommandRequest::default() };
        let Ok(answer) = self.call(&format!("Get-{noun}"), &request) else { return Vec::new() };
        let name = |record: Json| {
            let name = record.get("Name").or_else(|| record.get("Identity"))?;
            name.as_str().map(str::to_owned)
        };
        answer.output.into_iter().filter_map(name).collect()
    }
}

impl Drop for Remote {
    /// A script that ends within a transaction, for whatever reason, has changed nothing.
    fn drop(&mut self) {
        if let Some(id) = self.transaction.take() {
            let request = CommandRequest { transaction: Some(id), ..CommandRequest::default() };
            // The server forgets it by itself after a while.
            let _ = self.call(UNDO, &request);
        }
    }
}

/// Hands what a command answers to the pipeline.
struct Emitting<'e> {
    emit: &'e mut dyn Emit,
    is_verbose: bool,
    /// Why the pipeline takes no more.
    stopped: Option<Fault>,
}

impl Taker for Emitting<'_> {
    fn value(&mut self, value: Value) -> bool {
        self.stopped = self.emit.value(value).err();
        self.stopped.is_none()
    }

    fn warning(&mut self, text: &str) {
        self.emit.warning(text);
    }

    fn what_if(&mut self, text: &str) {
        self.emit.host(text);
    }

    fn revision(&mut self, revision: u64) {
        if self.is_verbose {
            self.emit.verbose(&format!("The settings are revision {revision} now."));
        }
    }
}

impl Commands for Remote {
    fn signatures(&self) -> &[&'static Signature] {
        &self.signatures
    }

    fn run(&self, call: &Call<'_>, emit: &mut dyn Emit) -> Result<(), Fault> {
        let mut parameters = Map::new();
        for (name, value) in call.arguments {
            let parameter = call.signature.parameters.iter().find(|parameter| parameter.name == *name);
            let kind = parameter.map_or(Kind::Any, |parameter| parameter.kind);
            parameters.insert((*name).to_owned(), to_json_of(kind, value));
        }
        let transaction = self.transaction.borrow().clone();
        let (what_if, lean) = (call.is_what_if, true);
        let request = CommandRequest { parameters, what_if, lean, transaction, ..CommandRequest::default() };
        let name = call.signature.name;
        let body = self.runtime.block_on(self.client.command_body(name, &request));
        let body = body.map_err(|error| fault(&error, name))?;
        self.note_transaction(call, &body);
        let mut taker = Emitting { emit, is_verbose: call.is_verbose, stopped: None };
        let read = answer::read(&body, &self.records, &mut taker);
        match (taker.stopped, read) {
            (Some(stopped), _) => Err(stopped),
            (None, read) => read.map_err(|error| fault(&self.client.not_understood(&error), name)),
        }
    }

    fn convert(&self, type_name: &str, value: &Value) -> Option<Result<Value, Fault>> {
        // `Unlimited[Microsoft.Exchange.Data.ByteQuantifiedSize]`: what stands in brackets says no more.
        let plain = type_name.split('[').next().unwrap_or(type_name);
        let name = plain.rsplit(['.', '+']).next().unwrap_or(plain).to_ascii_lowercase();
        let text = text_of::text(value);
        let converted = match name.as_str() {
            "iprange" => range::value(&text),
            "ipvxaddress" => range::address_value(&text),
            "ipbinding" => binding::value(&text),
            "bytequantifiedsize" => size::value(&text),
            "enhancedtimespan" => span::value(&text),
            name if name.starts_with("unlimited") => unlimited::value(&text),
            name if name.starts_with("multivaluedproperty") => return Some(Ok(value.clone())),
            // Types of parameters: commands read their text.
            "fqdn" | "smtpdomain" | "smtpaddress" | "smarthost" | "addressspace" => Ok(Value::text(text.as_str())),
            name if name.ends_with("idparameter") => Ok(Value::text(text.as_str())),
            _ => return None,
        };
        let fault = |why: String| {
            let message = format!("Cannot convert value \"{text}\" to type \"{type_name}\": {why}");
            Fault { exception: "System.FormatException", ..Fault::new(Category::InvalidArgument, message) }
        };
        Some(converted.map_err(fault))
    }

    fn properties(&self, signature: &Signature) -> Vec<&'static str> {
        let shape = command::find(signature.name).and_then(|entry| entry.output);
        shape.map(|shape| shape.properties.iter().map(|property| property.name).collect()).unwrap_or_default()
    }

    fn complete(&self, signature: &Signature, parameter: &Parameter, prefix: &str) -> Vec<String> {
        let mut values = completions(self, signature, parameter.kind, parameter.name);
        let prefix = prefix.to_lowercase();
        values.retain(|value| value.to_lowercase().starts_with(&prefix));
        values
    }
}

fn completions(remote: &Remote, signature: &Signature, kind: Kind, name: &str) -> Vec<String> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    match kind {
        Kind::OneOf(choices) | Kind::Flags(choices) => owned(choices),
        Kind::Bool => owned(&["$true", "$false"]),
        Kind::UnlimitedInt => owned(&["unlimited"]),
        Kind::Identity if name == "Identity" => remote.names(signature),
        _ if name == "ExtendedRights" => Right::ALL.iter().map(|right| right.exchange_name().to_owned()).collect(),
        _ if name == "User" => Trustee::WELL_KNOWN.iter().map(Trustee::to_string).collect(),
        Kind::List(of) | Kind::MultiValued(of) | Kind::Rest(of) => completions(remote, signature, *of, name),
        _ => Vec::new(),
    }
}

/// What the server or the way to it says, as an error record. A refused command lets the script go on, as in the original.
fn fault(error: &ClientError, command: &str) -> Fault {
    let (category, exception) = match error {
        ClientError::Refused { status, .. } => match status {
            404 => {
                (Category::ObjectNotFound, "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException")
            }
            403 => (Category::PermissionDenied, "System.UnauthorizedAccessException"),
            409 => (Category::ResourceExists, "Microsoft.Exchange.Data.Directory.ADObjectAlreadyExistsException"),
            500.. => (Category::ResourceUnavailable, "System.InvalidOperationException"),
            _ => (Category::InvalidArgument, "Microsoft.Exchange.Data.DataValidationException"),
        },
        ClientError::Denied(_) => (Category::PermissionDenied, "System.UnauthorizedAccessException"),
        ClientError::NotRunning { .. } | ClientError::Unreachable { .. } | ClientError::Broken { .. } => {
            (Category::ResourceUnavailable, "System.InvalidOperationException")
        }
    };
    let mut message = error.to_string();
    if let ClientError::Refused { refused, .. } = error {
        // A refused change of settings has them in its sentence already.
        for problem in refused.problems.iter().filter(|problem| !refused.error.contains(&problem.message)) {
            message.push_str(&format!("\n{}: {}", problem.message, problem.remedy));
        }
    }
    let fault = Fault { exception, ..Fault::new(category, message) };
    fault.with_severity(Severity::Continuing).by(command)
}
