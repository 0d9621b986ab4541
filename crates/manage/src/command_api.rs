//! The calls of the management API that run commands of the registry.
//!
//! Takes a command's name and its parameters, asks whether the caller may, hands on what the command answers. Never
//! decides anything about mail, and knows no command.
//!
//! | call | answer | refusals |
//! |---|---|---|
//! | `GET /commands` | `Vec<CommandDescription>` | |
//! | `POST /commands/{name}` with `CommandRequest` | `CommandAnswer` | 400, 403, 404, 409, 422, 500 |

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use gatepost_policy::settings::nearest;
use gatepost_shell::command::{Kind, Parameter};
use gatepost_transport::Control;

use crate::access::{Access, Act, Actor, permit};
use crate::age::Ages;
use crate::amend::{Amender, Mode};
use crate::command::{self, Answer, Arguments, CommandError, Entry, Invocation};
use crate::gate::Noted;
use crate::object::Record;
use crate::refusal::{self, Refusal, refuse, unreadable};
use crate::resource::{CommandDescription, CommandRequest, ExampleDescription, ParameterDescription};
use crate::transaction::TransactionId;

/// Largest request, in bytes: room for a list of some hundred thousand ranges.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The routes of these calls.
pub fn routes<S: Clone + Send + Sync + 'static>(served: Served) -> Router<S> {
    Router::new()
        .route("/commands", get(commands))
        .route("/commands/{name}", post(run).layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX)))
        .with_state(served)
}

/// What stands behind these calls.
#[derive(Clone)]
pub struct Served {
    control: Control,
    amender: Amender,
    access: Arc<Access>,
    ages: Arc<Ages>,
}

impl Served {
    /// What commands ask and change.
    pub fn new(control: Control, amender: Amender, access: Arc<Access>) -> Served {
        let ages = amender.reloader().ages().clone();
        Served { control, amender, access, ages }
    }

    /// The revision of the settings in force.
    pub async fn revision(&self) -> u64 {
        self.amender.reloader().revision().await
    }
}

async fn commands() -> refusal::Answer<Vec<CommandDescription>> {
    Ok(Json(command::entries().map(describe).collect()))
}

fn describe(entry: &Entry) -> CommandDescription {
    let signature = entry.signature;
    let parameters = signature.parameters.iter().map(|parameter| {
        let (kind, choices) = kind_text(parameter.kind);
        ParameterDescription {
            name: parameter.name.to_owned(),
            kind,
            choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
            mandatory: parameter.is_mandatory,
            position: parameter.position,
            help: parameter.help.to_owned(),
        }
    });
    let examples = signature
        .examples
        .iter()
        .map(|(line, meaning)| ExampleDescription { line: (*line).to_owned(), meaning: (*meaning).to_owned() });
    CommandDescription {
        name: signature.name.to_owned(),
        synopsis: signature.synopsis.to_owned(),
        role: entry.role.to_string(),
        changes: entry.changes(),
        output: entry.output.map(|shape| shape.name.to_owned()),
        parameters: parameters.collect(),
        examples: examples.collect(),
    }
}

fn kind_text(kind: Kind) -> (String, &'static [&'static str]) {
    let name = match kind {
        Kind::OneOf(choices) => return ("OneOf".to_owned(), choices),
        Kind::Flags(choices) => return ("Flags".to_owned(), choices),
        Kind::List(of) | Kind::MultiValued(of) | Kind::Rest(of) => {
            let (name, choices) = kind_text(*of);
            let list = if matches!(kind, Kind::MultiValued(_)) { "MultiValued" } else { "List" };
            return (format!("{list} of {name}"), choices);
        }
        Kind::Switch => "Switch",
        Kind::Bool => "Bool",
        Kind::Text => "Text",
        Kind::Int => "Int",
        Kind::UnlimitedInt => "UnlimitedInt",
        Kind::Size => "Size",
        Kind::Span => "Span",
        Kind::Time => "Time",
        Kind::Identity => "Identity",
        Kind::Secret => "Secret",
        Kind::Credential => "Credential",
        Kind::Block => "Block",
        Kind::Table => "Table",
        Kind::Any | Kind::Ignored => "Any",
    };
    (name.to_owned(), &[])
}

async fn run(
    State(served): State<Served>,
    Path(name): Path<String>,
    actor: Actor,
    request: Result<Json<CommandRequest>, JsonRejection>,
) -> (Extension<Noted>, Result<Response, Refusal>) {
    let Some(entry) = command::find(&name) else {
        return (Extension(Noted { is_nothing: true, ..Noted::default() }), Err(no_such_command(&name)));
    };
    let mut noted = noted(entry, request.as_ref().ok().map(|Json(request)| request));
    // Before the body: whoever may not run it learns nothing of its parameters.
    let request = check(entry, &actor).and_then(|()| request.map(|Json(request)| request).map_err(unreadable));
    let answered = match request {
        Ok(request) => {
            let is_lean = request.lean;
            perform(&served, entry, &actor, request).await.map(|answer| (answer, is_lean))
        }
        Err(refusal) => Err(refusal),
    };
    let response = match answered {
        Ok((answer, is_lean)) => {
            noted.revision = answer.revision;
            // What was made has its name from us, where nobody gave it one.
            let made = answer.output.first().and_then(|record| record.get("Identity")).filter(|_| entry.changes());
            noted.target = noted.target.or_else(|| made?.as_str().map(str::to_owned));
            let unexpected =
                |_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "that failed unexpectedly; the log has the cause");
            tokio::task::spawn_blocking(move || written(&answer, is_lean)).await.map_err(unexpected)
        }
        Err(refusal) => Err(refusal),
    };
    (Extension(noted), response)
}

fn check(entry: &Entry, actor: &Actor) -> Result<(), Refusal> {
    let act = Act { name: entry.signature.name, role: entry.role };
    permit(actor, act).map_err(|lacking| refuse(StatusCode::FORBIDDEN, lacking))
}

/// Runs a command for somebody, if they may. What changes something is run to its end by the gate.
///
/// # Errors
/// The refusal of the command, or of the role.
pub async fn perform(
    served: &Served,
    entry: &'static Entry,
    actor: &Actor,
    request: CommandRequest,
) -> Result<Answer, Refusal> {
    perform_on(served, entry, actor, request, None).await
}

/// The same for somebody who has looked at revision `base` of the settings: refused if a change of theirs finds another.
///
/// # Errors
/// As [`perform`].
pub async fn perform_on(
    served: &Served,
    entry: &'static Entry,
    actor: &Actor,
    request: CommandRequest,
    base: Option<u64>,
) -> Result<Answer, Refusal> {
    check(entry, actor)?;
    call(served, entry, actor, request, base).await.map_err(refusal_of)
}

/// What the record of acts says of a command.
pub fn noted(entry: &Entry, request: Option<&CommandRequest>) -> Noted {
    let Some(request) = request else {
        return Noted { act: Some(entry.signature.name.to_owned()), is_nothing: !entry.changes(), ..Noted::default() };
    };
    let is_secret = |parameter: &Parameter| {
        let name = parameter.name.to_lowercase();
        let is_called_so = || ["password", "secret", "credential"].iter().any(|word| name.contains(word));
        // A switch holds nothing, whatever it is called.
        matches!(parameter.kind, Kind::Secret | Kind::Credential)
            || (!matches!(parameter.kind, Kind::Switch) && is_called_so())
    };
    let told = |name: &str, value: &serde_json::Value| -> serde_json::Value {
        let is_called = |known: &&str| known.eq_ignore_ascii_case(name);
        let mut all = entry.signature.parameters.iter();
        let known = all.find(|parameter| is_called(&parameter.name) || parameter.aliases.iter().any(is_called));
        match known {
            Some(parameter) if is_secret(parameter) => "(secret)".into(),
            Some(_) => value.clone(),
            // Somebody may have mistyped the name of a secret.
            None => "(no such parameter)".into(),
        }
    };
    let mut target = None;
    let mut rest = serde_json::Map::new();
    for (name, value) in &request.parameters {
        if name.eq_ignore_ascii_case("Identity") || (name.eq_ignore_ascii_case("Name") && target.is_none()) {
            target = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        } else {
            rest.insert(name.clone(), told(name, value));
        }
    }
    if let Some(transaction) = &request.transaction {
        // What it says was done is only prepared: the transaction's end says what became of it.
        rest.insert("Transaction".to_owned(), transaction.as_str().into());
    }
    Noted {
        act: Some(entry.signature.name.to_owned()),
        target,
        parameters: (!rest.is_empty()).then(|| serde_json::Value::Object(rest).to_string()),
        reason: request.reason.clone(),
        revision: None,
        is_nothing: !entry.changes() || request.what_if,
    }
}

/// A command and what it is about, for the history: never more of its parameters, one of which may be a secret.
fn what(entry: &Entry, request: &CommandRequest) -> String {
    let named = |name: &str| {
        let mut parameters = request.parameters.iter();
        parameters.find(|(known, _)| known.eq_ignore_ascii_case(name)).and_then(|(_, value)| value.as_str())
    };
    let name = entry.signature.name;
    match named("Identity").or_else(|| named("Name")) {
        Some(about) => format!("{name} {about}"),
        None => name.to_owned(),
    }
}

fn no_such_command(name: &str) -> Refusal {
    let names: Vec<_> = command::entries().map(|entry| entry.signature.name).collect();
    let hint = nearest(name, names.iter().copied()).map(|meant| format!("; did you mean {meant}?"));
    let name: String = name.chars().take(80).collect();
    let error = format!("there is no command `{}`{}", name.escape_debug(), hint.unwrap_or_default());
    refuse(StatusCode::NOT_FOUND, error)
}

async fn call(
    served: &Served,
    entry: &'static Entry,
    actor: &Actor,
    request: CommandRequest,
    base: Option<u64>,
) -> Result<Answer, CommandError> {
    let what = what(entry, &request);
    let arguments = Arguments::read(entry.signature, request.parameters)?;
    let transaction = request.transaction.map(TransactionId::named);
    let settings = match &transaction {
        // What somebody asks within a transaction is answered as if it were in force.
        Some(id) => served.amender.settings(actor, &Mode::In(id.clone())).await?.0,
        None => served.control.settings(),
    };
    let invocation = Invocation {
        control: &served.control,
        amender: &served.amender,
        access: &served.access,
        ages: &served.ages,
        settings,
        actor,
        arguments,
        is_what_if: request.what_if && entry.changes(),
        transaction,
        what,
        reason: request.reason,
        base,
    };
    (entry.run)(&invocation).await
}

/// Written at once, so that a listing of thousands is not made twice in memory.
fn written(answer: &Answer, is_lean: bool) -> Response {
    #[derive(serde::Serialize)]
    #[serde(untagged)]
    enum Yielded<'a, R> {
        Record(R),
        Line(&'a str),
    }
    #[derive(serde::Serialize)]
    struct Body<'a, R> {
        output: Vec<Yielded<'a, R>>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        warnings: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        what_if: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        exposure: &'a [crate::resource::ExposureChange],
    }
    fn body<'a, R: serde::Serialize>(
        answer: &'a Answer,
        record: impl Fn(&'a Record) -> R,
    ) -> serde_json::Result<Vec<u8>> {
        let records = answer.output.iter().map(|yielded| Yielded::Record(record(yielded)));
        let lines = answer.lines.iter().map(|line| Yielded::Line(line));
        serde_json::to_vec(&Body {
            output: records.chain(lines).collect(),
            warnings: &answer.warnings,
            what_if: answer.what_if.as_deref(),
            revision: answer.revision,
            exposure: &answer.exposure,
        })
    }
    let bytes = if is_lean { body(answer, Record::lean) } else { body(answer, |record| record) };
    match bytes {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn refusal_of(error: CommandError) -> Refusal {
    let status = match &error {
        CommandError::Wrong(_) => StatusCode::BAD_REQUEST,
        CommandError::NotFound(_) => StatusCode::NOT_FOUND,
        CommandError::Conflict(_) => StatusCode::CONFLICT,
        CommandError::Late(_) => StatusCode::PRECONDITION_FAILED,
        CommandError::Forbidden(_) => StatusCode::FORBIDDEN,
        CommandError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        CommandError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    match error {
        CommandError::Refused(refused) => Refusal(status, *refused, None),
        error => refuse(status, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_says_of_which_transaction_a_command_is_part() {
        let entry = command::find("Set-ReceiveConnector").unwrap();
        let request = CommandRequest { transaction: Some("t1".to_owned()), ..CommandRequest::default() };
        assert_eq!(noted(entry, Some(&request)).parameters.as_deref(), Some(r#"{"Transaction":"t1"}"#));
        assert_eq!(noted(entry, Some(&CommandRequest::default())).parameters, None);
    }
}
