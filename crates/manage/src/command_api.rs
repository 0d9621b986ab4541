//! The calls of the management API that run commands of the registry.
//!
//! Takes a command's name and its parameters, asks whether the caller may, hands on what the command answers. Never
//! decides anything about mail, and knows no command.
//!
//! | call | answer | refusals |
//! |---|---|---|
//! | `GET /commands` | `Vec<CommandDescription>` | |
//! | `POST /commands/{name}` with `CommandRequest` | `CommandAnswer` | 400, 403, 404, 409, 412, 422, 500 |

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
use crate::amend::{AmendError, Amender};
use crate::command::form::{Field, Section};
use crate::command::{self, Answer, Arguments, CommandError, Entry, Invocation, Page, Within};
use crate::gate::Noted;
use crate::in_parts::{RECORDS_LEAST, in_parts};
use crate::object::{Record, Shape};
use crate::refusal::{self, Refusal, refuse, unreadable};
use crate::resource::{
    ChoiceDescription, CommandDescription, CommandRequest, ExampleDescription, FieldDescription, ParameterDescription,
};
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

    /// What changes settings.
    pub fn amender(&self) -> &Amender {
        &self.amender
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
    let noun = signature.name.split_once('-').filter(|(verb, _)| ["New", "Set"].contains(verb)).map(|(_, noun)| noun);
    let form = noun.and_then(command::form_of);
    let fields: Vec<_> = form.into_iter().flat_map(|form| form.fields(signature)).collect();
    let shape = noun.and_then(|noun| command::find(&format!("Get-{noun}"))?.output);
    let parameters = signature.parameters.iter().map(|parameter| {
        let (kind, choices) = kind_text(parameter.kind);
        ParameterDescription {
            name: parameter.name.to_owned(),
            kind,
            choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
            mandatory: parameter.is_mandatory,
            position: parameter.position,
            help: parameter.help.to_owned(),
            field: fields.iter().position(|(_, field)| field.parameter == parameter.name).map(|place| {
                let (section, field) = fields[place];
                described(place, section, field, shape)
            }),
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

fn described(place: usize, section: &Section, field: &Field, shape: Option<&Shape>) -> FieldDescription {
    let meaning = |(value, meaning): &(&str, &str)| ChoiceDescription {
        value: (*value).to_owned(),
        meaning: (*meaning).to_owned(),
    };
    FieldDescription {
        place,
        section: section.title.to_owned(),
        label: field.label.to_owned(),
        usual: shape.map(|shape| field.usual(shape)).unwrap_or_default(),
        example: field.example.to_owned(),
        meanings: field.choices.iter().map(meaning).collect(),
        advanced: section.is_advanced,
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
            let made = |name| answer.output.first().and_then(|record| record.get(name)).filter(|_| entry.changes());
            let made = made("Identity").or_else(|| made("Transaction"));
            noted.target = noted.target.or_else(|| made?.as_str().map(str::to_owned));
            let unexpected =
                |_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "that failed unexpectedly; the log has the cause");
            tokio::task::spawn_blocking(move || written(answer, is_lean)).await.map_err(unexpected)
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
    check(entry, actor)?;
    let within = request.transaction.as_deref().map(|id| Within::Transaction(TransactionId::named(id)));
    call(served, entry, actor, request, within).await.map_err(refusal_of)
}

/// The same as part of what is gathered there; a transaction that the request names counts for nothing.
///
/// # Errors
/// As [`perform`].
pub async fn perform_within(
    served: &Served,
    entry: &'static Entry,
    actor: &Actor,
    request: CommandRequest,
    within: Within,
) -> Result<Answer, Refusal> {
    check(entry, actor)?;
    call(served, entry, actor, request, Some(within)).await.map_err(refusal_of)
}

/// The command of this name.
///
/// # Errors
/// That there is none, with what may be meant.
pub fn found(name: &str) -> Result<&'static Entry, Refusal> {
    command::find(name).ok_or_else(|| no_such_command(name))
}

/// Why settings are not changed, as commands say it.
pub fn amend_refusal(error: AmendError) -> Refusal {
    refusal_of(error.into())
}

/// What the record of acts says of a command.
pub fn noted(entry: &Entry, request: Option<&CommandRequest>) -> Noted {
    let Some(request) = request else {
        return Noted { act: Some(entry.signature.name.to_owned()), is_nothing: !entry.changes(), ..Noted::default() };
    };
    let is_secret = |parameter: &Parameter| {
        let name = parameter.name.to_lowercase();
        let is_called_so = || ["password", "secret", "credential", "totpcode"].iter().any(|word| name.contains(word));
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
    let ends_transaction = ["Complete-Transaction", "Undo-Transaction"].contains(&entry.signature.name);
    let mut target = None;
    let mut rest = serde_json::Map::new();
    for (name, value) in &request.parameters {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("Identity") || (is("Name") && target.is_none()) || (is("Transaction") && ends_transaction) {
            target = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        } else {
            rest.insert(name.clone(), told(name, value));
        }
    }
    match &request.transaction {
        // In the shell it is the open one.
        Some(transaction) if ends_transaction => target = target.or_else(|| Some(transaction.clone())),
        // What it says was done is only prepared: the transaction's end says what became of it.
        Some(transaction) => {
            rest.insert("Transaction".to_owned(), transaction.as_str().into());
        }
        None => {}
    }
    Noted {
        act: Some(entry.signature.name.to_owned()),
        target,
        parameters: (!rest.is_empty()).then(|| serde_json::Value::Object(rest).to_string()),
        reason: request.reason.clone(),
        is_prepared: request.transaction.is_some() && !ends_transaction,
        is_nothing: !entry.changes() || request.what_if,
        ..Noted::default()
    }
}

/// A command and what it is about, for the history and for what it notes: never more of its parameters, one of which may be
/// a secret.
pub fn what(entry: &Entry, request: &CommandRequest) -> String {
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
    transaction: Option<Within>,
) -> Result<Answer, CommandError> {
    let what = what(entry, &request);
    let arguments = Arguments::read(entry.signature, request.parameters)?;
    let settings = match &transaction {
        // What somebody asks within a transaction is answered as if it were in force.
        Some(within) => served.amender.settings(actor, &within.mode()).await?.0,
        None => served.control.settings(),
    };
    let is_paged = request.offset.is_some() || request.limit.is_some();
    let page = Page { offset: request.offset.unwrap_or(0), limit: request.limit.unwrap_or(usize::MAX) };
    let page = Some(page).filter(|_| is_paged && !entry.changes());
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
        base: request.base,
        page,
    };
    Ok((entry.run)(&invocation).await?.paged(page))
}

/// Written at once, so that a listing of thousands is not made twice in memory; what is said of the records stands before
/// them, so that whoever reads them one by one knows it by then. Blocking.
fn written(answer: Answer, is_lean: bool) -> Response {
    #[derive(serde::Serialize)]
    struct Beside<'a> {
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        warnings: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        what_if: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        base: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        exposure: &'a [crate::resource::ExposureChange],
        #[serde(skip_serializing_if = "Option::is_none")]
        exposure_total: Option<u64>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        rerouted: &'a [String],
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        notes: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    }
    let beside = Beside {
        warnings: &answer.warnings,
        what_if: answer.what_if.as_deref(),
        base: answer.base,
        revision: answer.revision,
        exposure: &answer.exposure,
        exposure_total: Some(answer.exposure_total).filter(|total| *total > 0),
        rerouted: &answer.rerouted,
        notes: &answer.notes,
        total: answer.total,
    };
    let bytes = serde_json::to_vec(&beside).and_then(|mut bytes| {
        // The object goes on.
        bytes.pop();
        bytes.extend_from_slice(if bytes.len() > 1 { b",\"output\":[" } else { b"\"output\":[" });
        let is_first = answer.output.is_empty();
        bytes.extend_from_slice(&records_written(&answer.output, is_lean)?);
        for (at, line) in answer.lines.iter().enumerate() {
            if at > 0 || !is_first {
                bytes.push(b',');
            }
            serde_json::to_writer(&mut bytes, line)?;
        }
        bytes.extend_from_slice(b"]}");
        Ok(bytes)
    });
    if answer.output.len() > RECORDS_LEAST {
        // To forget so many takes a while, for which nobody has to wait.
        tokio::task::spawn_blocking(move || drop(answer));
    }
    match bytes {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Records with commas between them, by as many threads as there is work and room for.
fn records_written(records: &[Record], is_lean: bool) -> serde_json::Result<Vec<u8>> {
    fn part(records: &[Record], is_lean: bool) -> serde_json::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (at, record) in records.iter().enumerate() {
            if at > 0 {
                bytes.push(b',');
            }
            match is_lean {
                true => serde_json::to_writer(&mut bytes, &record.lean())?,
                false => serde_json::to_writer(&mut bytes, record)?,
            }
        }
        Ok(bytes)
    }
    let parts = in_parts(records, RECORDS_LEAST, |records| part(records, is_lean));
    let mut all = Vec::new();
    for part in parts {
        if !all.is_empty() {
            all.push(b',');
        }
        all.extend_from_slice(&part?);
    }
    Ok(all)
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
        assert!(noted(entry, Some(&request)).is_prepared);
        assert_eq!(noted(entry, Some(&CommandRequest::default())).parameters, None);
        let entry = command::find("Complete-Transaction").unwrap();
        let named: CommandRequest = serde_json::from_str(r#"{"parameters":{"Transaction":"t1"}}"#).unwrap();
        for request in [request, named] {
            let noted = noted(entry, Some(&request));
            assert_eq!((noted.target.as_deref(), noted.parameters, noted.is_prepared), (Some("t1"), None, false));
        }
    }

    #[test]
    fn an_answer_says_what_is_to_be_said_before_its_records_however_many_there_are() {
        let record = |number: usize| Record::of(command::shape("Transaction").unwrap()).with("Transaction", number);
        for (count, lines, warnings) in [(0, 0, 0), (0, 2, 1), (1, 0, 0), (2, 1, 1), (2 * RECORDS_LEAST + 7, 1, 0)] {
            let answer = Answer {
                output: (0..count).map(record).collect(),
                lines: (0..lines).map(|number| format!("line {number}")).collect(),
                warnings: (0..warnings).map(|number| format!("warning {number}")).collect(),
                ..Answer::default()
            };
            let beside = if warnings > 0 { r#"{"warnings":["warning 0"],"output":["# } else { r#"{"output":["# };
            let records = (0..count).map(|number| format!(r#"{{"@type":"Transaction","Transaction":{number}}}"#));
            let lines = (0..lines).map(|number| format!(r#""line {number}""#));
            let expected = format!("{beside}{}]}}", records.chain(lines).collect::<Vec<_>>().join(","));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let body = runtime
                .block_on(async { axum::body::to_bytes(written(answer, true).into_body(), usize::MAX).await.unwrap() });
            assert_eq!(body, expected.as_bytes());
        }
    }
}
