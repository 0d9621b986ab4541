//! What happened to messages and to attempts that were refused, one record for each: Search-Trace.
//!
//! Takes what `gatepost trace` takes, hands on records with their steps as text. What matches is decided by the search itself.

use std::time::{Duration, Instant};

use gatepost_policy::note::instant;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Signature};
use gatepost_shell::value::View;

use super::message_tracking_log::{SEARCHES, moment};
use super::parameter::{DOMAIN_CONTROLLER, also, at, named};
use super::queue::{SERVER, of_this_server};
use super::{Answer, CommandError, Entry, Invocation};
use crate::decision::{Decision, Outcome, Stage};
use crate::object::PropertyKind::{Choice, Identity, Int, List, Text, Time};
use crate::object::{Record, Shape, Usual, property};
use crate::trace::{
    TraceEntry, TraceQuery, TraceVerdict, TracedMessage, TracedOutcome, TracedStep, TracedWhat, UNREACHABLE,
};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[Entry {
    signature: &SEARCH,
    role: Role::HelpDesk,
    output: Some(&SHAPE),
    run: |invocation| Box::pin(search(invocation)),
}];

/// Results, if the call does not say how many.
const RESULTS_DEFAULT: usize = 100;
/// Most results: each has all its steps.
const RESULTS_MAX: usize = 10_000;
/// Entries that are read at once.
const PAGE: usize = 500;
/// How long that may take before others have their turn with the disk.
const PAGE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a search may take in all: callers wait for two minutes.
const SEARCH_PATIENCE: Duration = Duration::from_secs(90);

static VIEW: View = View {
    type_name: "Gatepost.TraceEntry",
    table: &["Timestamp", "Verdict", "Sender", "Recipients", "Subject"],
    identity: "Identity",
};

const KINDS: &[&str] = &["Message", "Refusal", "Connection", "Outbound", "Settings", "Pressure"];
const VERDICTS: &[&str] =
    &["Delivered", "Deferred", "Failed", "Expired", "Removed", "Refused", "Abandoned", "Held", "Ended"];
const NOTHING: Usual = Usual::Null;
const NONE: Usual = Usual::Texts(&[]);

static SHAPE: Shape = Shape {
    name: "TraceEntry",
    view: &VIEW,
    properties: &[
        property("Timestamp", "timestamp", Time, NOTHING),
        property("Kind", "kind", Choice(KINDS), Usual::Text("Message")),
        property("Verdict", "verdict", List(&Text), NONE),
        property("Sender", "sender", Text, NOTHING),
        property("Recipients", "recipients", List(&Text), NONE),
        property("Subject", "subject", Text, NOTHING),
        property("MessageId", "message_id", Text, NOTHING),
        property("Size", "size", Int, NOTHING),
        property("RemoteIPAddress", "remote_ip_address", Text, NOTHING),
        property("Hello", "hello", Text, NOTHING),
        property("Connector", "connector", Text, NOTHING),
        property("Principal", "principal", Text, NOTHING),
        property("Reply", "reply", Text, NOTHING),
        property("Reason", "reason", Text, NOTHING),
        property("Decision", "decision", Text, NOTHING),
        property("Steps", "steps", List(&Text), NONE),
        property("Identity", "identity", Identity, NOTHING),
    ],
};

static SEARCH: Signature = Signature {
    name: "Search-Trace",
    aliases: &["Get-Trace"],
    synopsis: "Finds what became of messages and of attempts that were refused, newest first.",
    parameters: &[
        at(0, named("Address", Kind::Text, "The sender or a recipient.")),
        named("Sender", Kind::Text, "The sender."),
        also(&["Recipients"], named("Recipient", Kind::Text, "A recipient.")),
        named("Domain", Kind::Text, "The domain of the sender or of a recipient."),
        also(
            &["Peer", "RemoteAddress"],
            named("RemoteIPAddress", Kind::Text, "Who brought it: an address or a range, 192.168.2.0/24."),
        ),
        named("Connector", Kind::Text, "A receive or send connector."),
        named("Verdict", Kind::OneOf(VERDICTS), "Only what stands so."),
        also(&["MessageSubject"], named("Subject", Kind::Text, "Words of the subject.")),
        named("Text", Kind::Text, "Plain words: the name of a connector, or all of them in the subject."),
        named("MessageId", Kind::Text, "The Message-ID of the header."),
        also(&["InternalMessageId"], named("QueueId", Kind::Int, "The queue id.")),
        named("Decision", Kind::Text, "The id that a refusal ends with."),
        named("Start", Kind::Time, "Not before."),
        named("End", Kind::Time, "Before this."),
        named(
            "IncludeEvents",
            Kind::Switch,
            "Connections and back pressure, too; changes of settings are told wherever times alone are given.",
        ),
        named("ResultSize", Kind::UnlimitedInt, "So many of the newest; 100 without it; `unlimited` is 10,000."),
        SERVER,
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        (
            "Search-Trace scanner@contoso.com -Start (Get-Date).AddHours(-2) | Format-List Timestamp,Verdict,Recipients,Steps",
            "Everything about a scanner within two hours.",
        ),
        (
            "Search-Trace -Verdict Refused -RemoteIPAddress 192.168.2.0/24 | Group-Object Reason -NoElement",
            "Why peers of one network were refused.",
        ),
    ],
};

fn query(invocation: &Invocation<'_>) -> Result<TraceQuery, CommandError> {
    let arguments = &invocation.arguments;
    let text = |name: &str| arguments.text(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let verdict = arguments.text("Verdict").and_then(|verdict| {
        let place = VERDICTS.iter().position(|name| *name == verdict)?;
        TraceVerdict::ALL.get(place).copied()
    });
    Ok(TraceQuery {
        queue_id: arguments.number("QueueId"),
        message_id: text("MessageId"),
        address: text("Address"),
        sender: text("Sender"),
        recipient: text("Recipient"),
        domain: text("Domain"),
        peer: text("RemoteIPAddress"),
        connector: text("Connector"),
        verdict,
        word: text("Subject"),
        text: text("Text"),
        decision: text("Decision"),
        since_ms: moment(invocation, "Start")?,
        until_ms: moment(invocation, "End")?,
        events: arguments.is_set("IncludeEvents").then_some(true),
        limit: None,
        from: None,
    })
}

async fn search(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    of_this_server(invocation)?;
    let query = query(invocation)?;
    let size = match invocation.arguments.get("ResultSize") {
        None => RESULTS_DEFAULT,
        Some(size) => size.as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(RESULTS_MAX),
    };
    let size = size.min(RESULTS_MAX);
    let _turn = SEARCHES.acquire().await;
    let (mut from, mut answer) = (None, Answer::default());
    let until = Instant::now() + SEARCH_PATIENCE;
    while answer.output.len() < size {
        let parsed = query.parse().map_err(CommandError::Wrong)?;
        let left = (size - answer.output.len()).min(PAGE);
        let page = invocation.control.trace(move |key| parsed.with_tokens(key), from, left, PAGE_PATIENCE).await;
        let page = page.map_err(|error| CommandError::Failed(format!("the records cannot be read: {error}")))?;
        answer.output.extend(page.entries.into_iter().map(|entry| record(entry.into())));
        from = page.next;
        if from.is_none() || Instant::now() >= until {
            break;
        }
    }
    if from.is_some() {
        let more = "There are more results, or the search took too long; these are the newest. Ask for more by ResultSize, or for less by Start and End.";
        answer.warnings.push(more.to_owned());
    }
    Ok(answer)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn record(entry: TraceEntry) -> Record {
    let of = |time_ms: u64, kind: &str| Record::of(&SHAPE).with("Timestamp", instant(time_ms)).with("Kind", kind);
    match entry {
        TraceEntry::Message(message) => of_message(of(message.time_ms, "Message"), &message),
        TraceEntry::Refusal(refusal) => of_refusal(of(refusal.time_ms, "Refusal"), &refusal),
        TraceEntry::Connection(connection) => of(connection.time_ms, "Connection")
            .with("RemoteIPAddress", connection.peer.ip().to_canonical().to_string())
            .with("Hello", connection.hello)
            .with("Connector", connection.connector)
            .with("Principal", connection.principal)
            .with("Reason", connection.end)
            .with(
                "Steps",
                vec![format!(
                    "{} messages and {} refusals within {} ms",
                    connection.messages, connection.refusals, connection.duration_ms
                )],
            ),
        TraceEntry::Outbound(outbound) => of(outbound.time_ms, "Outbound")
            .with("RemoteIPAddress", outbound.address.map(|address| address.ip().to_canonical().to_string()))
            .with("Hello", outbound.remote)
            .with("Connector", outbound.connector)
            .with("Reason", outbound.end)
            .with(
                "Steps",
                vec![format!(
                    "{} messages to {} within {} ms",
                    outbound.messages, outbound.next_hop, outbound.duration_ms
                )],
            ),
        TraceEntry::Settings { time_ms, revision, document, who } => of(time_ms, "Settings")
            .with("Principal", who)
            .with("Steps", vec![format!("revision {revision} in force, document {document}")])
            .with("Identity", revision.to_string()),
        TraceEntry::Pressure { time_ms, resource, level } => {
            of(time_ms, "Pressure").with("Steps", vec![format!("{resource} is {level}")])
        }
    }
}

fn of_message(record: Record, message: &TracedMessage) -> Record {
    let mut verdicts: Vec<String> =
        message.recipients.iter().filter_map(|recipient| Some(capital(recipient.verdict?.word()))).collect();
    verdicts.sort_unstable();
    verdicts.dedup();
    let last = message.recipients.iter().filter(|recipient| !recipient.reply.is_empty());
    let last = last.max_by_key(|recipient| recipient.time_ms).map(|recipient| recipient.reply.clone());
    let recipients: Vec<String> = message.recipients.iter().map(|recipient| recipient.address.clone()).collect();
    let mut steps = Vec::new();
    let record = record.with("Verdict", verdicts).with("Recipients", recipients).with("Reply", last);
    let record = match &message.received {
        None => record,
        Some(received) => {
            let peer = received.peer.map(|peer| peer.ip().to_canonical().to_string());
            steps.push(match (&peer, received.report_on) {
                (Some(peer), _) => {
                    format!("{} received from {peer} by {}", instant(message.time_ms), received.connector)
                }
                (None, Some(about)) => {
                    format!("{} written here: a report on message {about}", instant(message.time_ms))
                }
                (None, None) => format!("{} written here", instant(message.time_ms)),
            });
            let sender = if received.sender.is_empty() { "<>" } else { &received.sender };
            record
                .with("Sender", sender)
                .with("Subject", received.subject.as_deref())
                .with("MessageId", Some(received.message_id.as_str()).filter(|id| !id.is_empty()))
                .with("Size", received.size_bytes)
                .with("RemoteIPAddress", peer)
                .with("Hello", received.hello.as_deref())
                .with("Connector", received.connector.as_str())
                .with("Principal", received.principal.as_str())
                .with("Decision", received.decision.as_deref())
        }
    };
    steps.extend(message.steps.iter().flat_map(lines));
    record.with("Steps", steps).with("Identity", message.queue_id.to_string())
}

/// What was done in one step, a line for each thing.
fn lines(step: &TracedStep) -> Vec<String> {
    let time = instant(step.time_ms);
    let outcome = |outcome: &TracedOutcome, how: &str| {
        let verdict = outcome.verdict.map_or("ended", TraceVerdict::word);
        let until = outcome.until_ms.map_or(String::new(), |until_ms| format!("; next try {}", instant(until_ms)));
        let reply = if outcome.reply.is_empty() { String::new() } else { format!(": {}", outcome.reply) };
        format!("{time} {verdict} {}{how}{reply}{until}", outcome.recipient)
    };
    match &step.what {
        TracedWhat::Resolved { named } => vec![format!("{time} resolved {}", named.join(", "))],
        TracedWhat::Routed { recipients, connector, next_hop } if connector.is_empty() && next_hop == UNREACHABLE => {
            vec![format!("{time} no route for {}: {next_hop}", recipients.join(", "))]
        }
        TracedWhat::Routed { recipients, connector, next_hop } => {
            let by = if connector.is_empty() { String::new() } else { format!(" by {connector}") };
            vec![format!("{time} routed {} to {next_hop}{by}", recipients.join(", "))]
        }
        TracedWhat::Attempt { next_hop, remote, address, tls_version, outcomes, recovered, .. } => {
            let host = remote.as_deref().unwrap_or(next_hop);
            let address = address.map_or(String::new(), |address| format!(" [{}]:{}", address.ip(), address.port()));
            let tls = tls_version.as_deref().map_or(String::new(), |version| format!(", {version}"));
            let recovered = if *recovered { ", as the spool's log has it" } else { "" };
            let at = if host.is_empty() { String::new() } else { format!(" at {host}{address}{tls}") };
            outcomes.iter().map(|one| outcome(one, &format!("{at}{recovered}"))).collect()
        }
        TracedWhat::NoConnection { next_hop, remote, address, reason, count, until_ms, .. } => {
            let host = remote.as_deref().unwrap_or(next_hop);
            let address = address.map_or(String::new(), |address| format!(" [{}]:{}", address.ip(), address.port()));
            let times = match count {
                1 => String::new(),
                count => format!("; {count} times until {}", instant(*until_ms)),
            };
            vec![format!("{time} no connection to {host}{address}: {reason}{times}")]
        }
        TracedWhat::Report { queue_id, report, to } => {
            vec![format!("{time} report ({report}) to {to}: message {queue_id}")]
        }
        TracedWhat::Administrator { who, action, detail, outcomes } => {
            let detail = detail.as_deref().map_or(String::new(), |detail| format!(", {detail}"));
            let done = format!("{time} {action} by {who}{detail}");
            std::iter::once(done).chain(outcomes.iter().map(|one| outcome(one, " here"))).collect()
        }
        TracedWhat::Held { reason } => vec![format!("{time} held: {reason}")],
    }
}

fn of_refusal(record: Record, refusal: &Decision) -> Record {
    let stage = match refusal.command {
        Stage::Connect => "connect",
        Stage::Auth => "AUTH",
        Stage::Mail => "MAIL",
        Stage::Rcpt => "RCPT",
        Stage::Content => "content",
    };
    let (verdict, ended) = match refusal.verdict {
        Outcome::Refused => (vec!["Refused".to_owned()], "refused"),
        Outcome::Abandoned => (vec!["Abandoned".to_owned()], "given up"),
        Outcome::Accepted => (Vec::new(), "accepted"),
    };
    let mut steps = vec![format!("{} {ended} at {stage}", instant(refusal.time_ms))];
    if let Some(count) = refusal.count {
        let until_ms = refusal.until_ms.unwrap_or(refusal.time_ms);
        steps.push(format!("{} the last of {count}", instant(until_ms)));
    }
    let recipients: Vec<String> = refusal.recipients.iter().chain(&refusal.refused_recipient).cloned().collect();
    // It stands in brackets there, as in the reverse-path.
    let sender = refusal.sender.as_deref().map(|sender| match sender.trim_matches(['<', '>']) {
        "" => "<>",
        bare => bare,
    });
    record
        .with("Verdict", verdict)
        .with("Sender", sender)
        .with("Recipients", recipients)
        .with("Size", refusal.size_bytes)
        .with("RemoteIPAddress", refusal.peer.ip().to_canonical().to_string())
        .with("Hello", refusal.hello.as_deref())
        .with("Connector", refusal.connector.as_deref())
        .with("Principal", refusal.principal.as_str())
        .with("Reply", refusal.reply.as_deref())
        .with("Reason", refusal.reason.as_deref())
        .with("Decision", refusal.id.as_str())
        .with("Steps", steps)
        .with("Identity", refusal.id.as_str())
}
