//! Every call of the management API that is no command of the registry: who may ask it, whether it is recorded, what it takes
//! and answers.
//!
//! A table, which the gate and the OpenAPI document read. What does not stand in it is nobody's to ask (default deny), so a new route needs its line here.

use axum::http::Method;
use gatepost_policy::role::Role;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::access::Act;
use crate::asked::ExplanationQuery;
use crate::decision::DecisionDetail;
use crate::explained::Explained;
use crate::nouns;
use crate::recomputed::DecisionExplained;
use crate::resource::{
    Acts, ActsQuery, AdministratorRequest, AdministratorShown, Administrators, Amended, CommandAnswer,
    CommandDescription, CommandRequest, DifferenceQuery, Exposed, ExposureMap, ExposureQuery, ExposureReport, Gone,
    HostAddressesShown, MapQuery, MessageDetail, MessagesChanged, MessagesRequest, NewAdministratorRequest, NewToken,
    NewTokenRequest, QueueListing, QueueQuery, QueuesChanged, QueuesListing, QueuesQuery, QueuesRequest, Reloaded,
    RemoveQuery, Removed, ReportKey, ReportQuery, RestoreRequest, Retried, RetryRequest, RevisionDifference,
    RevisionText, Revisions, RevisionsQuery, SessionBegun, SessionRequest, SessionShown, SettingsDocument,
    SettingsQuery, SettingsRequest, SetupRequest, Status, Tokens, TransactionRequest,
};
use crate::trace::{EraseRequest, ErasedAddress, TraceQuery, Traced};
use crate::transcript::TranscriptQuery;

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// HTTP's.
    pub method: &'static str,
    /// Below `/api/v1`, as routes write it: `/queue/{id}`.
    pub path: &'static str,
    /// What it is, and who may.
    pub act: Act<'static>,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Whether it changes anything, or hands out what is in a message: then the record of acts has it.
    pub is_recorded: bool,
    /// Whether who has proven nothing may ask: it is how one proves something.
    pub is_open: bool,
    /// Whether what it does is named by its path: then that is the act, which asks for its own role besides.
    pub is_named_by_path: bool,
    /// What its query takes.
    pub query: Option<SchemaOf>,
    /// What its body holds.
    pub body: Option<SchemaOf>,
    /// What it answers.
    pub answer: Answered,
}

/// What a call answers where it is not refused.
#[derive(Clone, Copy, Debug)]
pub enum Answered {
    /// JSON, with this status.
    Json(u16, SchemaOf),
    /// JSON, or something of this type where that was asked for.
    JsonOr(&'static str, SchemaOf),
    /// Something else, of this type.
    Other(&'static str),
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn reads(
    method: &'static str,
    path: &'static str,
    name: &'static str,
    role: Role,
    summary: &'static str,
    answer: Answered,
) -> Call {
    Call {
        method,
        path,
        act: Act { name, role },
        summary,
        is_recorded: false,
        is_open: false,
        is_named_by_path: false,
        query: None,
        body: None,
        answer,
    }
}

const fn changes(
    method: &'static str,
    path: &'static str,
    name: &'static str,
    role: Role,
    summary: &'static str,
    answer: Answered,
) -> Call {
    Call { is_recorded: true, ..reads(method, path, name, role, summary, answer) }
}

impl Call {
    const fn query(self, query: SchemaOf) -> Call {
        Call { query: Some(query), ..self }
    }

    const fn body(self, body: SchemaOf) -> Call {
        Call { body: Some(body), ..self }
    }
}

const fn json(of: SchemaOf) -> Answered {
    Answered::Json(200, of)
}

/// All of them.
pub static CALLS: &[Call] = &[
    reads("GET", "/status", "Get-ServerStatus", Role::View, "How the server is doing.", json(of::<Status>)),
    reads("GET", "/openapi.json", "Get-OpenApi", Role::View, "This document.", json(of::<Value>)),
    reads(
        "GET",
        "/events",
        "Get-Event",
        Role::View,
        "What happens from now on, as server-sent events.",
        Answered::Other("text/event-stream"),
    ),
    // Reading is no act, as it is none in the trace: there is no content in it and no credentials.
    reads(
        "GET",
        "/transcript",
        "Get-Transcript",
        Role::HelpDesk,
        "What is said on connections that begin from now on, as server-sent events.",
        Answered::Other("text/event-stream"),
    )
    .query(of::<TranscriptQuery>),
    reads(
        "GET",
        "/commands",
        "Get-Command",
        Role::View,
        "Every command, described.",
        json(of::<Vec<CommandDescription>>),
    ),
    Call {
        is_named_by_path: true,
        ..changes(
            "POST",
            "/commands/{name}",
            "Invoke-Command",
            Role::View,
            "Runs a command.",
            json(of::<CommandAnswer>),
        )
        .body(of::<CommandRequest>)
    },
    changes(
        "POST",
        "/transactions",
        "Complete-Transaction",
        Role::RecipientAdmin,
        "Runs commands that change settings, as one revision or not at all; each asks for its own role besides.",
        json(of::<CommandAnswer>),
    )
    .body(of::<TransactionRequest>),
    reads("GET", "/queues", "Get-Queue", Role::View, "Delivery queues.", json(of::<QueuesListing>))
        .query(of::<QueuesQuery>),
    changes(
        "POST",
        "/queues",
        "Set-Queue",
        Role::QueueOperator,
        "Suspends, resumes, retries or resubmits queues.",
        json(of::<QueuesChanged>),
    )
    .body(of::<QueuesRequest>),
    reads(
        "GET",
        "/queue",
        "Get-Message",
        Role::HelpDesk,
        "Messages that are not at their end.",
        json(of::<QueueListing>),
    )
    .query(of::<QueueQuery>),
    reads(
        "GET",
        "/queue/{id}",
        "Get-Message",
        Role::HelpDesk,
        "One message with its header section.",
        json(of::<MessageDetail>),
    ),
    changes(
        "GET",
        "/queue/{id}/export",
        "Export-Message",
        Role::QueueOperator,
        "A suspended message as a file.",
        Answered::Other("message/rfc822"),
    ),
    changes(
        "POST",
        "/queue/{id}/retry",
        "Retry-Message",
        Role::QueueOperator,
        "Makes one message due now.",
        json(of::<Retried>),
    ),
    changes(
        "POST",
        "/queue/retry",
        "Retry-Queue",
        Role::QueueOperator,
        "Makes many messages due now.",
        json(of::<Retried>),
    )
    .body(of::<RetryRequest>),
    changes(
        "POST",
        "/queue/change",
        "Set-Message",
        Role::QueueOperator,
        "Suspends, resumes, redirects, prioritizes or removes messages.",
        json(of::<MessagesChanged>),
    )
    .body(of::<MessagesRequest>),
    changes(
        "DELETE",
        "/queue/{id}",
        "Remove-Message",
        Role::QueueOperator,
        "Takes a message out of the queue.",
        json(of::<Removed>),
    )
    .query(of::<RemoveQuery>),
    reads(
        "GET",
        "/decisions/{id}",
        "Get-Decision",
        Role::HelpDesk,
        "The record of a decision, by the id in the reply.",
        json(of::<DecisionDetail>),
    ),
    reads(
        "GET",
        "/decisions/{id}/explanation",
        "Get-DecisionExplanation",
        Role::HelpDesk,
        "Why it was decided so, and what the settings in force would decide.",
        json(of::<DecisionExplained>),
    ),
    reads(
        "GET",
        "/explanation",
        "Get-Explanation",
        Role::View,
        "What would become of a message, and why.",
        json(of::<Explained>),
    )
    .query(of::<ExplanationQuery>),
    reads(
        "GET",
        "/exposure",
        "Get-Exposure",
        Role::View,
        "Who may relay, from where, and what is wrong with it.",
        json(of::<Exposed>),
    )
    .query(of::<ExposureQuery>),
    reads(
        "GET",
        "/exposure/map",
        "Get-ExposureMap",
        Role::View,
        "Who may relay, as a map of addresses.",
        json(of::<ExposureMap>),
    )
    .query(of::<MapQuery>),
    reads(
        "GET",
        "/exposure/host",
        "Get-HostAddress",
        Role::View,
        "The addresses of this machine, and of its gateways.",
        json(of::<HostAddressesShown>),
    ),
    // Recorded with the digest of what was handed out, so that a report can be told from a forged one.
    changes(
        "GET",
        "/exposure/report",
        "Export-ExposureReport",
        Role::View,
        "Everything that the audit says, signed, to be kept; the record of acts has its digest.",
        Answered::JsonOr("text/html", of::<ExposureReport>),
    )
    .query(of::<ReportQuery>),
    reads(
        "GET",
        "/exposure/report/key",
        "Get-ReportKey",
        Role::View,
        "The public key by which others know that a report is this server's.",
        json(of::<ReportKey>),
    ),
    reads(
        "GET",
        "/trace",
        "Search-Trace",
        Role::HelpDesk,
        "What became of messages and of refused attempts.",
        json(of::<Traced>),
    )
    .query(of::<TraceQuery>),
    changes(
        "POST",
        "/trace/erase",
        "Remove-TracedAddress",
        Role::SecurityOfficer,
        "Takes an address out of everything that is recorded.",
        json(of::<ErasedAddress>),
    )
    .body(of::<EraseRequest>),
    changes(
        "POST",
        "/reload",
        "Update-Configuration",
        Role::TransportAdmin,
        "Reads the settings file again.",
        json(of::<Reloaded>),
    ),
    reads(
        "GET",
        "/revisions",
        "Get-ConfigurationRevision",
        Role::View,
        "Revisions of the settings, newest first.",
        json(of::<Revisions>),
    )
    .query(of::<RevisionsQuery>),
    reads(
        "GET",
        "/revisions/{number}",
        "Get-ConfigurationRevision",
        Role::View,
        "One revision with its document.",
        json(of::<RevisionText>),
    ),
    reads(
        "GET",
        "/revisions/{number}/difference",
        "Compare-Configuration",
        Role::View,
        "What differs between two revisions, in text and in exposure.",
        json(of::<RevisionDifference>),
    )
    .query(of::<DifferenceQuery>),
    changes(
        "POST",
        "/revisions/{number}/restore",
        "Restore-ConfigurationRevision",
        Role::TransportAdmin,
        "Puts an older revision in force again, as a new one.",
        json(of::<Amended>),
    )
    .body(of::<RestoreRequest>),
    reads(
        "GET",
        "/settings",
        "Get-SettingsDocument",
        Role::View,
        "The settings document in force.",
        json(of::<SettingsDocument>),
    )
    .query(of::<SettingsQuery>),
    changes(
        "PUT",
        "/settings",
        "Set-SettingsDocument",
        Role::TransportAdmin,
        "Puts a whole settings document in force, or tells what it would do.",
        json(of::<Amended>),
    )
    .body(of::<SettingsRequest>),
    Call {
        is_open: true,
        ..changes(
            "POST",
            "/setup",
            "New-FirstAdministrator",
            Role::View,
            "Makes the first administrator by the one-time token.",
            json(of::<AdministratorShown>),
        )
        .body(of::<SetupRequest>)
    },
    Call {
        is_open: true,
        ..changes(
            "POST",
            "/session",
            "New-Session",
            Role::View,
            "Begins a session by name, password and code.",
            json(of::<SessionBegun>),
        )
        .body(of::<SessionRequest>)
    },
    reads(
        "GET",
        "/session",
        "Get-Session",
        Role::View,
        "Who is asking, and what they may do.",
        json(of::<SessionShown>),
    ),
    changes("DELETE", "/session", "Remove-Session", Role::View, "Ends the session of this request.", json(of::<Gone>)),
    reads(
        "GET",
        "/administrators",
        "Get-Administrator",
        Role::SecurityOfficer,
        "Who may administer by name and password.",
        json(of::<Administrators>),
    ),
    changes(
        "POST",
        "/administrators",
        "New-Administrator",
        Role::SecurityOfficer,
        "Adds an administrator.",
        Answered::Json(201, of::<AdministratorShown>),
    )
    .body(of::<NewAdministratorRequest>),
    // Their own password and codes are everybody's own business; the rest is asked for where it is done.
    changes(
        "PATCH",
        "/administrators/{name}",
        "Set-Administrator",
        Role::View,
        "Changes an administrator; their own password and codes they may change themselves.",
        json(of::<AdministratorShown>),
    )
    .body(of::<AdministratorRequest>),
    changes(
        "DELETE",
        "/administrators/{name}",
        "Remove-Administrator",
        Role::SecurityOfficer,
        "Removes an administrator.",
        json(of::<Gone>),
    ),
    reads(
        "GET",
        "/tokens",
        "Get-ApiToken",
        Role::SecurityOfficer,
        "Tokens, without their secrets.",
        json(of::<Tokens>),
    ),
    changes(
        "POST",
        "/tokens",
        "New-ApiToken",
        Role::SecurityOfficer,
        "Makes a token; the answer shows it once.",
        Answered::Json(201, of::<NewToken>),
    )
    .body(of::<NewTokenRequest>),
    changes("DELETE", "/tokens/{id}", "Remove-ApiToken", Role::SecurityOfficer, "Removes a token.", json(of::<Gone>)),
    reads("GET", "/acts", "Search-AdminAuditLog", Role::SecurityOfficer, "What administrators did.", json(of::<Acts>))
        .query(of::<ActsQuery>),
];

/// The call that a request is, by its method and the route that it matched, without `/api/v1`. HEAD asks what GET asks.
pub fn find(method: &Method, route: &str) -> Option<Call> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let fixed = CALLS.iter().find(|call| call.method == method && call.path == route).copied();
    fixed.or_else(|| {
        let entry = nouns::find(method, route)?;
        let act = Act { name: entry.signature.name, role: entry.role };
        let call = reads("", "", act.name, act.role, entry.signature.synopsis, json(of::<Value>));
        Some(Call { is_recorded: entry.changes(), ..call })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command;

    #[test]
    fn what_is_a_command_too_asks_for_the_same_role_and_is_recorded_alike() {
        let known: Vec<_> = CALLS.iter().filter_map(|call| Some((call, command::find(call.act.name)?))).collect();
        assert!(known.len() > 10, "{}", known.len());
        for (call, entry) in known {
            assert_eq!((call.act.name, call.act.role), (entry.signature.name, entry.role), "{}", call.path);
            assert_eq!(call.is_recorded, entry.changes(), "{}", call.act.name);
        }
    }

    #[test]
    fn each_call_stands_once_and_what_is_not_there_is_no_call() {
        for call in CALLS {
            let method: Method = call.method.parse().expect("a method");
            let same = CALLS.iter().filter(|other| (other.method, other.path) == (call.method, call.path));
            assert_eq!(same.count(), 1, "{} {}", call.method, call.path);
            assert_eq!(find(&method, call.path).map(|found| found.act), Some(call.act));
        }
        assert!(find(&Method::PUT, "/status").is_none());
        assert!(find(&Method::GET, "/reload").is_none());
        assert!(find(&Method::HEAD, "/status").is_some());
    }
}
