//! What administrators did: Search-AdminAuditLog, with Exchange's parameters where they fit.

use gatepost_policy::note::instant;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Signature};
use gatepost_shell::value::View;

use super::administrator::looking;
use super::argument::unix_ms;
use super::parameter::named;
use super::{Answer, CommandError, Entry, Invocation};
use crate::access::Criteria;
use crate::object::PropertyKind::{Bool, Choice, Int, Text, Time};
use crate::object::{Record, Shape, Usual, property};
use crate::resource::{ACTS_LIMIT_MAX, ActEntry, ActOutcome};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[Entry {
    signature: &SEARCH,
    role: Role::SecurityOfficer,
    output: Some(&SHAPE),
    run: |invocation| Box::pin(search(invocation)),
}];

/// So many without `-ResultSize`, as Exchange has it.
const RESULTS_DEFAULT: usize = 1_000;
const OUTCOMES: &[&str] = &["Done", "Prepared", "Refused", "Failed"];
const SOURCES: &[&str] = &["socket", "password", "token", "server", "nobody"];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Management.SystemConfigurationTasks.AdminAuditLogEvent",
    table: &["RunDate", "Caller", "CmdletName", "ObjectModified", "Succeeded"],
    identity: "CmdletName",
};

/// One act.
static SHAPE: Shape = Shape {
    name: "AdminAuditLogEvent",
    view: &VIEW,
    properties: &[
        property("ObjectModified", "object_modified", Text, Usual::Null),
        property("CmdletName", "cmdlet_name", Text, Usual::Null),
        property("CmdletParameters", "cmdlet_parameters", Text, Usual::Null),
        property("Caller", "caller", Text, Usual::Null),
        property("Succeeded", "succeeded", Bool, Usual::Bool(true)),
        property("Error", "error", Text, Usual::Null),
        property("RunDate", "run_date", Time, Usual::Null),
        property("OriginatingServer", "originating_server", Text, Usual::Null),
        property("ClientIP", "client_ip", Text, Usual::Null),
        property("Source", "source", Choice(SOURCES), Usual::Null),
        property("Token", "token", Text, Usual::Null),
        property("Outcome", "outcome", Choice(OUTCOMES), Usual::Text("Done")),
        property("Reason", "reason", Text, Usual::Null),
        property("Revision", "revision", Int, Usual::Null),
    ],
};

fn record(server: &str, act: &ActEntry) -> Record {
    Record::of(&SHAPE)
        .with("ObjectModified", act.target.as_deref())
        .with("CmdletName", act.act.as_str())
        .with("CmdletParameters", act.parameters.as_deref())
        .with("Caller", act.actor.as_str())
        .with("Succeeded", matches!(act.outcome, ActOutcome::Done | ActOutcome::Prepared))
        .with("Error", act.error.as_deref())
        .with("RunDate", instant(act.time_ms))
        .with("OriginatingServer", server)
        .with("ClientIP", act.address.map(|address| address.to_string()))
        .with("Source", act.source.as_str())
        .with("Token", act.token.as_deref())
        .with("Outcome", name_of(act.outcome))
        .with("Reason", act.reason.as_deref())
        .with("Revision", act.revision)
}

fn name_of(outcome: ActOutcome) -> &'static str {
    match outcome {
        ActOutcome::Done => "Done",
        ActOutcome::Prepared => "Prepared",
        ActOutcome::Refused => "Refused",
        ActOutcome::Failed => "Failed",
    }
}

static SEARCH: Signature = Signature {
    name: "Search-AdminAuditLog",
    aliases: &[],
    synopsis: "Shows what administrators did: who, from where, what, and what came of it; newest first.",
    parameters: &[
        named("StartDate", Kind::Time, "What was done since then."),
        named("EndDate", Kind::Time, "What was done before then."),
        named("UserIds", Kind::List(&Kind::Text), "By one of these: names of administrators, or `uid 0`."),
        named("Cmdlets", Kind::List(&Kind::Text), "One of these commands; * stands for anything."),
        named("ObjectIds", Kind::List(&Kind::Text), "To one of these objects; * stands for anything."),
        named("Outcome", Kind::OneOf(OUTCOMES), "What came of it. Not of Exchange."),
        named("ResultSize", Kind::Int, "So many at most: 1 to 10,000; 1,000 without it."),
    ],
    changes: Changes::Nothing,
    examples: &[
        (
            "Search-AdminAuditLog -StartDate (Get-Date).AddDays(-2) -Cmdlets *-ReceiveConnector",
            "What was done to receive connectors in two days.",
        ),
        (
            "Search-AdminAuditLog -UserIds carol -Outcome Refused | Format-List",
            "What carol wanted to do and was not allowed to, with everything that is known of it.",
        ),
    ],
};

async fn search(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let texts = |name: &str| arguments.texts(name).unwrap_or_default().into_iter().map(str::to_owned).collect();
    let outcome = |name: &str| match name {
        "Prepared" => ActOutcome::Prepared,
        "Refused" => ActOutcome::Refused,
        "Failed" => ActOutcome::Failed,
        _ => ActOutcome::Done,
    };
    let criteria = Criteria {
        since_ms: unix_ms(arguments, "StartDate")?,
        until_ms: unix_ms(arguments, "EndDate")?,
        actors: texts("UserIds"),
        acts: texts("Cmdlets"),
        targets: texts("ObjectIds"),
        outcome: arguments.text("Outcome").map(outcome),
    };
    let size = match arguments.get("ResultSize").and_then(serde_json::Value::as_i64) {
        None => RESULTS_DEFAULT,
        Some(size) => {
            usize::try_from(size).ok().filter(|size| (1..=ACTS_LIMIT_MAX).contains(size)).ok_or_else(|| {
                CommandError::Wrong(format!(
                    "ResultSize: write a number from 1 to {ACTS_LIMIT_MAX}; narrow it by dates"
                ))
            })?
        }
    };
    let acts = looking(invocation).acts(criteria, 0, size).await?;
    let server = invocation.settings.server.name.to_string();
    Ok(Answer::of(acts.iter().map(|act| record(&server, act)).collect()))
}
