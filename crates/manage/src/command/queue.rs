//! Queues: Get-, Suspend-, Resume- and Retry-Queue (fact sheet section 4.8).

use gatepost_policy::note::instant;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Parameter, Signature};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::parameter::{DOMAIN_CONTROLLER, FORCE, at, identity, named};
use super::{Answer, CommandError, Entry, Invocation, server};
use crate::object::PropertyKind::{Any, Choice, Float, Identity, Int, Text, Time};
use crate::object::{Record, Shape, Usual, property};
use crate::queues;
use crate::resource::{QUEUE_LIMIT_MAX, Queue, QueueAction, QueueState, QueuesQuery, QueuesRequest};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry { signature: &GET, role: Role::View, output: Some(&SHAPE), run: |invocation| Box::pin(get(invocation)) },
    Entry {
        signature: &SUSPEND,
        role: Role::QueueOperator,
        output: None,
        run: |invocation| Box::pin(change(invocation, QueueAction::Suspend)),
    },
    Entry {
        signature: &RESUME,
        role: Role::QueueOperator,
        output: None,
        run: |invocation| Box::pin(change(invocation, QueueAction::Resume)),
    },
    Entry {
        signature: &RETRY,
        role: Role::QueueOperator,
        output: None,
        run: |invocation| {
            let action = match invocation.arguments.is_set("Resubmit") {
                true => QueueAction::Resubmit,
                false => QueueAction::Retry,
            };
            Box::pin(change(invocation, action))
        },
    },
];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.QueueViewer.ExtensibleQueueInfo",
    table: &["Identity", "DeliveryType", "Status", "MessageCount", "Velocity", "NextHopDomain"],
    identity: "Identity",
};

const DELIVERY_TYPES: &[&str] =
    &["DnsConnectorDelivery", "SmartHostConnectorDelivery", "SmtpDeliveryToMailbox", "Unreachable", "Undefined"];
const STATES: &[&str] = &["Active", "Connecting", "Ready", "Retry", "Suspended"];

/// A queue, in Exchange's order of properties.
static SHAPE: Shape = Shape {
    name: "ExtensibleQueueInfo",
    view: &VIEW,
    properties: &[
        property("DeliveryType", "delivery_type", Choice(DELIVERY_TYPES), Usual::Null),
        property("NextHopDomain", "next_hop_domain", Text, Usual::Null),
        property("NextHopConnector", "next_hop_connector", Text, Usual::Null),
        property("Status", "status", Choice(STATES), Usual::Null),
        property("MessageCount", "message_count", Int, Usual::Int(0)),
        property("LastError", "last_error", Text, Usual::Null),
        property("RetryCount", "retry_count", Int, Usual::Int(0)),
        property("LastRetryTime", "last_retry_time", Time, Usual::Null),
        property("NextRetryTime", "next_retry_time", Time, Usual::Null),
        property("FirstRetryTime", "first_retry_time", Time, Usual::Null),
        property("DeferredMessageCount", "deferred_message_count", Int, Usual::Int(0)),
        property("HeldMessageCount", "held_message_count", Int, Usual::Int(0)),
        property("MessageCountsPerPriority", "message_counts_per_priority", Any, Usual::Null),
        property("DeferredMessageCountsPerPriority", "deferred_message_counts_per_priority", Any, Usual::Null),
        property("NextHopCategory", "next_hop_category", Choice(&["Internal", "External"]), Usual::Null),
        property("IncomingRate", "incoming_rate", Float, Usual::Null),
        property("OutgoingRate", "outgoing_rate", Float, Usual::Null),
        property("Velocity", "velocity", Float, Usual::Null),
        property("Connections", "connections", Int, Usual::Int(0)),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

fn state(state: QueueState) -> &'static str {
    match state {
        QueueState::Active => "Active",
        QueueState::Connecting => "Connecting",
        QueueState::Ready => "Ready",
        QueueState::Retry => "Retry",
        QueueState::Suspended => "Suspended",
    }
}

fn record(server: &str, queue: &Queue) -> Record {
    let by_priority = |counts: [u64; 3]| Json::from(counts.to_vec());
    // Two digits are what Exchange prints of a rate.
    let rate = |rate: f64| (rate * 100.0).round() / 100.0;
    Record::of(&SHAPE)
        .with("DeliveryType", queue.delivery_type.as_str())
        .with("NextHopDomain", queue.next_hop.as_str())
        .with("NextHopConnector", queue.connector.as_str())
        .with("Status", state(queue.state))
        .with("MessageCount", queue.messages)
        .with("LastError", queue.last_error.as_deref())
        .with("RetryCount", queue.retry_count)
        .with("LastRetryTime", queue.last_retry_ms.map(instant))
        .with("NextRetryTime", queue.next_retry_ms.map(instant))
        .with("FirstRetryTime", queue.first_retry_ms.map(instant))
        .with("DeferredMessageCount", queue.deferred)
        .with("HeldMessageCount", queue.held)
        .with("MessageCountsPerPriority", by_priority(queue.messages_by_priority))
        .with("DeferredMessageCountsPerPriority", by_priority(queue.deferred_by_priority))
        .with("NextHopCategory", queue.next_hop_category.as_str())
        .with("IncomingRate", rate(queue.incoming_rate))
        .with("OutgoingRate", rate(queue.outgoing_rate))
        .with("Velocity", rate(queue.velocity))
        .with("Connections", queue.connections)
        .with("Identity", format!("{server}\\{}", queue.identity))
}

/// What picks some of many.
pub(super) const FILTER: Parameter = named(
    "Filter",
    Kind::Text,
    "Those for which this holds, as \"Status -eq 'Retry' -and MessageCount -gt 100\"; operators -eq -ne -gt -ge -lt -le -like -and.",
);
/// Which server: this one.
pub(super) const SERVER: Parameter =
    named("Server", Kind::Identity, "Only those of this server: its short or whole name.");
/// How many.
pub(super) const RESULT_SIZE: Parameter =
    named("ResultSize", Kind::UnlimitedInt, "So many at most; 1000 without it; `unlimited`.");
/// In which order.
pub(super) const SORT_ORDER: Parameter =
    named("SortOrder", Kind::Text, "By these properties, as \"-MessageCount,+Identity\".");
/// From where on.
pub(super) const BOOKMARK_INDEX: Parameter =
    named("BookmarkIndex", Kind::Int, "Begins with this one of them, counted from 1.");

/// Most results of one call: Exchange's bound (fact sheet section 4.8).
pub(super) const RESULTS_MAX: usize = 250_000;

static GET: Signature = Signature {
    name: "Get-Queue",
    aliases: &[],
    synopsis: "Shows delivery queues: where mail waits, how much of it, and why.",
    parameters: &[
        at(0, identity("Which: `SERVER\\3`, `3`, `Submission`, `Unreachable`, or the whole next hop; all without it.")),
        FILTER,
        SERVER,
        named("Include", Kind::List(&Kind::Text), "Only these delivery types; also Internal, External, Empty."),
        named("Exclude", Kind::List(&Kind::Text), "All but these delivery types; also Internal, External, Empty."),
        SORT_ORDER,
        BOOKMARK_INDEX,
        RESULT_SIZE,
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-Queue", "Lists all queues."),
        (
            "Get-Queue -Filter \"Status -eq 'Retry'\" | Format-List Identity,LastError,NextRetryTime",
            "Shows what is stuck, and why.",
        ),
        ("Get-Queue | Where-Object { $_.MessageCount -gt 100 }", "Shows long queues."),
    ],
};

static SUSPEND: Signature = Signature {
    name: "Suspend-Queue",
    aliases: &[],
    synopsis: "Holds queues back until they are resumed, across restarts; what is being sent is finished.",
    parameters: &[
        identity("Which: `SERVER\\3`, `3`, or the whole next hop."),
        FILTER,
        SERVER,
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    changes: Changes::Asked,
    examples: &[
        ("Suspend-Queue \"smtp.example.com\" -Confirm:$false", "Holds back what goes to one next hop."),
        ("Suspend-Queue -Filter \"Status -eq 'Retry'\"", "Holds back all queues that are in Retry."),
    ],
};

static RESUME: Signature = Signature {
    name: "Resume-Queue",
    aliases: &[],
    synopsis: "Lets suspended queues go on.",
    parameters: &[
        identity("Which: `SERVER\\3`, `3`, or the whole next hop."),
        FILTER,
        SERVER,
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    changes: Changes::Asked,
    examples: &[
        ("Resume-Queue \"smtp.example.com\" -Confirm:$false", "Lets one queue go on."),
        ("Get-Queue | Where-Object { $_.Status -eq 'Suspended' } | Resume-Queue -Confirm:$false", "Lets all go on."),
    ],
};

static RETRY: Signature = Signature {
    name: "Retry-Queue",
    aliases: &[],
    synopsis: "Tries queues again now; with -Resubmit routes what is in them anew.",
    parameters: &[
        identity("Which: `SERVER\\3`, `3`, `Unreachable`, or the whole next hop."),
        FILTER,
        SERVER,
        named("Resubmit", Kind::Bool, "$true: route everything in it anew, as if it had just come."),
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    changes: Changes::Unasked,
    examples: &[
        (
            "Get-Queue | Where-Object { $_.Status -eq 'Retry' } | Retry-Queue",
            "Tries everything again that waits for a next hop.",
        ),
        ("Retry-Queue Unreachable -Resubmit $true", "Routes anew what had no way."),
    ],
};

/// What a command asks the calls' own functions for.
pub(super) fn of_this_server(invocation: &Invocation<'_>) -> Result<(), CommandError> {
    let own = &invocation.settings.server.name;
    match invocation.arguments.text("Server").filter(|name| !server::is_this(own, name)) {
        Some(name) => Err(CommandError::NotFound(server::another(own, name))),
        None => Ok(()),
    }
}

/// A queue as the calls know it: what an identity says after this server's name.
///
/// # Errors
/// [`CommandError::NotFound`] for a queue of another server.
pub(super) fn own_queue<'a>(invocation: &Invocation<'_>, identity: &'a str) -> Result<&'a str, CommandError> {
    let own = &invocation.settings.server.name;
    match identity.trim().split_once('\\') {
        Some((name, queue)) if server::is_this(own, name) => Ok(queue),
        Some((name, _)) => Err(CommandError::NotFound(server::another(own, name))),
        None => Ok(identity.trim()),
    }
}

/// So many results are wanted, and so many of them are passed over first.
pub(super) fn window(invocation: &Invocation<'_>) -> Result<(usize, usize), CommandError> {
    let arguments = &invocation.arguments;
    let size = match arguments.get("ResultSize") {
        None => QUEUE_LIMIT_MAX,
        Some(size) => size.as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(RESULTS_MAX).min(RESULTS_MAX),
    };
    match arguments.number("BookmarkIndex") {
        Some(0) => Err(CommandError::Wrong("-BookmarkIndex counts from 1".to_owned())),
        index => Ok((size, index.map_or(0, |index| usize::try_from(index - 1).unwrap_or(usize::MAX)))),
    }
}

async fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    of_this_server(invocation)?;
    let arguments = &invocation.arguments;
    let (size, offset) = window(invocation)?;
    let wanted = arguments.text("Identity").map(|identity| own_queue(invocation, identity)).transpose()?;
    if wanted.is_some() && arguments.text("Filter").is_some() {
        return Err(CommandError::Wrong("write -Identity or -Filter, not both".to_owned()));
    }
    let request = QueuesRequest {
        action: QueueAction::Retry,
        queues: wanted.map(str::to_owned).into_iter().collect(),
        filter: None,
    };
    // Names of queues, not what they are called in this run: two connectors may lead to the same next hop.
    let meant = wanted.map(|_| queues::meant(invocation.control, &request)).transpose()?;
    let query = QueuesQuery {
        filter: arguments.text("Filter").map(str::to_owned),
        sort: arguments.text("SortOrder").map(str::to_owned),
        offset: None,
        limit: None,
    };
    let found = queues::matching_in_order(invocation.control, queues::with_submission(invocation.control), &query)?;
    let (include, exclude) = (kinds(invocation, "Include")?, kinds(invocation, "Exclude")?);
    let server = server::short_name(&invocation.settings.server.name);
    let shown = found
        .into_iter()
        .filter(|queue| meant.as_ref().is_none_or(|names| names.contains(&queue.name)))
        .map(Queue::from)
        .filter(|queue| include.as_ref().is_none_or(|kinds| is_one_of(queue, kinds)))
        .filter(|queue| !exclude.as_ref().is_some_and(|kinds| is_one_of(queue, kinds)));
    Ok(Answer::of(shown.skip(offset).take(size).map(|queue| record(&server, &queue)).collect()))
}

/// The kinds of queues that a parameter names.
fn kinds(invocation: &Invocation<'_>, parameter: &str) -> Result<Option<Vec<String>>, CommandError> {
    let Some(written) = invocation.arguments.texts(parameter) else { return Ok(None) };
    let known = || DELIVERY_TYPES.iter().copied().chain(["Internal", "External", "Empty"]);
    for kind in &written {
        if !known().any(|known| known.eq_ignore_ascii_case(kind)) {
            let kind: String = kind.chars().take(80).collect();
            let all = known().collect::<Vec<_>>().join(", ");
            let error = format!("-{parameter} `{}`: write some of {all}", kind.escape_debug());
            return Err(CommandError::Wrong(error));
        }
    }
    Ok(Some(written.into_iter().map(str::to_lowercase).collect()))
}

fn is_one_of(queue: &Queue, kinds: &[String]) -> bool {
    kinds.iter().any(|kind| {
        queue.delivery_type.eq_ignore_ascii_case(kind)
            || queue.next_hop_category.eq_ignore_ascii_case(kind)
            || (kind == "empty" && queue.messages == 0)
    })
}

async fn change(invocation: &Invocation<'_>, action: QueueAction) -> Result<Answer, CommandError> {
    of_this_server(invocation)?;
    let arguments = &invocation.arguments;
    let identity = arguments.text("Identity").map(|identity| own_queue(invocation, identity)).transpose()?;
    let identity = identity.map(str::to_owned);
    let filter = arguments.text("Filter").map(str::to_owned);
    if identity.is_some() == filter.is_some() {
        return Err(CommandError::Wrong("write -Identity or -Filter: which queues are meant".to_owned()));
    }
    let request = QueuesRequest { action, queues: identity.into_iter().collect(), filter };
    if invocation.is_what_if {
        let names = queues::meant(invocation.control, &request)?;
        let names: Vec<&str> = names.iter().map(|name| queues::next_hop_of(name)).collect();
        let doing = match action {
            QueueAction::Suspend => "Suspending",
            QueueAction::Resume => "Resuming",
            QueueAction::Retry => "Trying again",
            QueueAction::Resubmit => "Routing anew what is in",
        };
        let names = if names.is_empty() { "no queue".to_owned() } else { names.join(", ") };
        return Ok(Answer { what_if: Some(format!("{doing} {names}.")), ..Answer::default() });
    }
    queues::change_queues(invocation.control, invocation.actor, request).await?;
    Ok(Answer::default())
}
