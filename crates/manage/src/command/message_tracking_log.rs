//! What became of messages, as Exchange's log tells it: Get-MessageTrackingLog (fact sheet section 8.2).

use std::time::{Duration, Instant};

use gatepost_policy::Settings;
use gatepost_policy::note::instant;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};
use gatepost_shell::value::View;
use gatepost_tracking::trace::{Entry as Traced, Kinds};
use tokio::sync::Semaphore;

use super::parameter::{DOMAIN_CONTROLLER, named};
use super::queue::of_this_server;
use super::{Answer, CommandError, Entry, Invocation};
use crate::object::PropertyKind::{Int, List, Span, Text, Time};
use crate::object::{Record, Shape, Usual, property};
use crate::trace::{TraceQuery, TracedMessage};
use crate::tracking_log::{TrackingEvent, events};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[Entry {
    signature: &GET,
    role: Role::HelpDesk,
    output: Some(&SHAPE),
    run: |invocation| Box::pin(get(invocation)),
}];

/// Events of an answer, if the call does not say how many (Exchange's default).
const RESULTS_DEFAULT: usize = 1_000;
/// Most events of an answer: it is made whole in the memory of a server that has mail to carry.
const RESULTS_MAX: usize = 50_000;
/// Messages that are read at once.
const PAGE: usize = 500;
/// How long that may take before others have their turn with the disk.
const PAGE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a search may take in all: callers wait for two minutes.
const SEARCH_PATIENCE: Duration = Duration::from_secs(90);
/// A step is recorded a little later than it is made.
const RECORDED_WITHIN_MS: u64 = 60 * 60 * 1_000;
/// Searches at a time, these and those of Search-Trace; the next one waits.
pub(super) static SEARCHES: Semaphore = Semaphore::const_new(2);

/// Exchange's events: a script may ask for any, also for those that never happen here.
const EXCHANGE_EVENT_IDS: &[&str] = &[
    "AGENTINFO",
    "BADMAIL",
    "CLIENTSUBMISSION",
    "DEFER",
    "DELIVER",
    "DELIVERFAIL",
    "DROP",
    "DSN",
    "DUPLICATEDELIVER",
    "DUPLICATEEXPAND",
    "DUPLICATEREDIRECT",
    "EXPAND",
    "FAIL",
    "HADISCARD",
    "HARECEIVE",
    "HAREDIRECT",
    "HAREDIRECTFAIL",
    "INITMESSAGECREATED",
    "LOAD",
    "MODERATIONEXPIRE",
    "MODERATORAPPROVE",
    "MODERATORREJECT",
    "MODERATORSALLNDR",
    "NOTIFYMAPI",
    "NOTIFYSHADOW",
    "POISONMESSAGE",
    "PROCESS",
    "PROCESSMEETINGMESSAGE",
    "RECEIVE",
    "REDIRECT",
    "RESOLVE",
    "RESUBMIT",
    "RESUBMITDEFER",
    "RESUBMITFAIL",
    "SEND",
    "SUBMIT",
    "SUBMITDEFER",
    "SUBMITFAIL",
    "SUPPRESSED",
    "THROTTLE",
    "TRANSFER",
];
/// Exchange's sources, likewise.
const EXCHANGE_SOURCES: &[&str] = &[
    "ADMIN",
    "AGENT",
    "APPROVAL",
    "BOOTLOADER",
    "DNS",
    "DSN",
    "GATEWAY",
    "MAILBOXRULE",
    "MEETINGMESSAGEPROCESSOR",
    "ORAR",
    "PICKUP",
    "POISONMESSAGE",
    "PUBLICFOLDER",
    "QUEUE",
    "REDUNDANCY",
    "RESOLVER",
    "ROUTING",
    "SAFETYNET",
    "SMTP",
    "STOREDRIVER",
];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Management.TransportLogSearchTasks.MessageTrackingEvent",
    table: &["EventId", "Source", "Sender", "Recipients", "MessageSubject"],
    identity: "MessageId",
};

const NOTHING: Usual = Usual::Null;
const NONE: Usual = Usual::Texts(&[]);

/// An event, in Exchange's order of properties.
static SHAPE: Shape = Shape {
    name: "MessageTrackingEvent",
    view: &VIEW,
    properties: &[
        property("Timestamp", "timestamp", Time, NOTHING),
        property("ClientIp", "client_ip", Text, NOTHING),
        property("ClientHostname", "client_hostname", Text, NOTHING),
        property("ServerIp", "server_ip", Text, NOTHING),
        property("ServerHostname", "server_hostname", Text, NOTHING),
        property("SourceContext", "source_context", Text, NOTHING),
        property("ConnectorId", "connector_id", Text, NOTHING),
        property("Source", "source", Text, NOTHING),
        property("EventId", "event_id", Text, NOTHING),
        property("InternalMessageId", "internal_message_id", Int, NOTHING),
        property("MessageId", "message_id", Text, NOTHING),
        property("NetworkMessageId", "network_message_id", Text, NOTHING),
        property("Recipients", "recipients", List(&Text), NONE),
        property("RecipientStatus", "recipient_status", List(&Text), NONE),
        property("TotalBytes", "total_bytes", Int, NOTHING),
        property("RecipientCount", "recipient_count", Int, NOTHING),
        property("RelatedRecipientAddress", "related_recipient_address", Text, NOTHING),
        property("Reference", "reference", List(&Text), NONE),
        property("MessageSubject", "message_subject", Text, NOTHING),
        property("Sender", "sender", Text, NOTHING),
        property("ReturnPath", "return_path", Text, NOTHING),
        property("Directionality", "directionality", Text, Usual::Text("Incoming")),
        property("TenantId", "tenant_id", Text, NOTHING),
        property("OriginalClientIp", "original_client_ip", Text, NOTHING),
        property("MessageInfo", "message_info", Text, NOTHING),
        property("MessageLatency", "message_latency", Span, NOTHING),
        property("MessageLatencyType", "message_latency_type", Text, Usual::Text("None")),
        property("EventData", "event_data", List(&Text), NONE),
        property("TransportTrafficType", "transport_traffic_type", Text, Usual::Text("Email")),
        property("SchemaVersion", "schema_version", Text, Usual::Text(env!("CARGO_PKG_VERSION"))),
    ],
};

fn record(event: &TrackingEvent) -> Record {
    // What is not known is empty in Exchange's log, and null here.
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let address = |address: Option<std::net::IpAddr>| address.map(|address| address.to_string());
    Record::of(&SHAPE)
        .with("Timestamp", instant(event.time_ms))
        .with("ClientIp", address(event.client_ip))
        .with("ClientHostname", known(&event.client_hostname))
        .with("ServerIp", address(event.server_ip))
        .with("ServerHostname", known(&event.server_hostname))
        .with("SourceContext", known(&event.source_context))
        .with("ConnectorId", known(&event.connector_id))
        .with("Source", event.source)
        .with("EventId", event.event_id)
        .with("InternalMessageId", event.internal_message_id)
        .with("MessageId", known(&event.message_id))
        .with("NetworkMessageId", event.network_message_id.as_str())
        .with("Recipients", event.recipients.clone())
        .with("RecipientStatus", event.recipient_statuses.clone())
        .with("TotalBytes", event.total_bytes)
        .with("RecipientCount", event.recipients.len())
        .with("RelatedRecipientAddress", known(&event.related_recipient_address))
        .with("Reference", known(&event.reference).into_iter().collect::<Vec<_>>())
        .with("MessageSubject", event.subject.as_str())
        .with("Sender", event.sender.as_str())
        .with("ReturnPath", event.sender.as_str())
        .with("Directionality", event.directionality)
        .with("OriginalClientIp", address(event.original_client_ip))
        .with("MessageInfo", known(&event.message_info))
        .with("MessageLatency", event.latency_ms.map(latency))
        .with("MessageLatencyType", if event.latency_ms.is_some() { "LocalServer" } else { "None" })
}

fn latency(ms: u64) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}.{ms:03}", rest / 3_600, rest / 60 % 60, rest % 60);
    if days == 0 { time } else { format!("{days}.{time}") }
}

static GET: Signature = Signature {
    name: "Get-MessageTrackingLog",
    aliases: &[],
    synopsis: "Tells what became of messages, an event for each step. Refused attempts are found by Search-Trace.",
    parameters: &[
        named("Start", Kind::Time, "Not before."),
        named("End", Kind::Time, "Before this."),
        named(
            "EventId",
            Kind::OneOf(EXCHANGE_EVENT_IDS),
            "Only what happened so; here are RECEIVE, RESOLVE, SEND, DELIVER, DEFER, FAIL, DSN, REDIRECT, POISONMESSAGE.",
        ),
        named("Source", Kind::OneOf(EXCHANGE_SOURCES), "Only what was done by this part of the server."),
        named("Sender", Kind::Text, "Only mail from this address; <> for reports."),
        named("Recipients", Kind::List(&Kind::Text), "Only what is about one of these addresses."),
        named("MessageId", Kind::Text, "The Message-ID of the header."),
        named("InternalMessageId", Kind::Text, "The queue id."),
        named("NetworkMessageId", Kind::Text, "The queue id in the form that Exchange's ids have."),
        named("MessageSubject", Kind::Text, "A part of the subject."),
        named("Reference", Kind::Text, "Of reports: the queue id of the message that they are about."),
        Parameter {
            pipeline: FromPipeline::Object,
            ..named("Server", Kind::Identity, "Only those of this server: its short or whole name.")
        },
        named("ResultSize", Kind::UnlimitedInt, "So many of the newest; 1000 without it; `unlimited` is 50,000."),
        named("TransportTrafficType", Kind::Text, "Taken and ignored: all is Email."),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        (
            "Get-MessageTrackingLog -Sender scan@contoso.com -Start (Get-Date).AddHours(-2)",
            "Tells what became of the mail of a scanner within two hours.",
        ),
        (
            "Get-MessageTrackingLog -EventId FAIL -ResultSize Unlimited | Group-Object Sender -NoElement | Sort-Object Count -Descending",
            "Counts failures by sender.",
        ),
        (
            "Get-TransportService | Get-MessageTrackingLog -MessageSubject 'Invoice 4711' | Format-List Timestamp,EventId,RecipientStatus",
            "Follows one message, as scripts for many servers do.",
        ),
    ],
};

/// Which events are wanted.
#[derive(Debug, Default)]
struct Wanted {
    start_ms: Option<u64>,
    end_ms: Option<u64>,
    event_id: Option<String>,
    source: Option<String>,
    sender: Option<String>,
    recipients: Vec<String>,
    network_message_id: Option<String>,
    subject: Option<String>,
    reference: Option<String>,
}

impl Wanted {
    fn of(invocation: &Invocation<'_>) -> Result<Wanted, CommandError> {
        let arguments = &invocation.arguments;
        let text = |name: &str| arguments.text(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let bare = |address: &str| address.trim().trim_start_matches('<').trim_end_matches('>').to_owned();
        let recipients = arguments.texts("Recipients").unwrap_or_default().into_iter().map(bare).collect();
        Ok(Wanted {
            start_ms: moment(invocation, "Start")?,
            end_ms: moment(invocation, "End")?,
            event_id: text("EventId"),
            source: text("Source"),
            sender: text("Sender").map(|sender| bare(&sender)),
            recipients,
            network_message_id: text("NetworkMessageId"),
            subject: text("MessageSubject").map(|subject| subject.to_lowercase()),
            reference: text("Reference"),
        })
    }

    fn takes(&self, event: &TrackingEvent) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
        };
        let is_sender = |wanted: &String| match wanted.is_empty() {
            true => event.sender == "<>",
            false => is_address(wanted, &event.sender),
        };
        let concerns = |wanted: &String| {
            let related = event.related_recipient_address.split(';');
            event.recipients.iter().map(String::as_str).chain(related).any(|found| is_address(wanted, found))
        };
        self.start_ms.is_none_or(|start_ms| event.time_ms >= start_ms)
            && self.end_ms.is_none_or(|end_ms| event.time_ms < end_ms)
            && is(&self.event_id, event.event_id)
            && is(&self.source, event.source)
            && is(&self.network_message_id, &event.network_message_id)
            && is(&self.reference, &event.reference)
            && self.sender.as_ref().is_none_or(is_sender)
            && (self.recipients.is_empty() || self.recipients.iter().any(concerns))
            && self.subject.as_ref().is_none_or(|part| event.subject.to_lowercase().contains(part))
    }
}

/// Whether an event's address is the one that is asked for. Of a token that stands for an address the domain alone can be
/// compared: the search has compared the rest.
fn is_address(wanted: &str, found: &str) -> bool {
    let domain = |address: &str| address.rsplit_once('@').map_or(String::new(), |(_, domain)| domain.to_lowercase());
    found.eq_ignore_ascii_case(wanted) || (found.starts_with('~') && domain(found) == domain(wanted))
}

/// A point in time that was given.
///
/// # Errors
/// [`CommandError::Wrong`].
pub fn moment(invocation: &Invocation<'_>, name: &str) -> Result<Option<u64>, CommandError> {
    let Some(written) = invocation.arguments.text(name) else { return Ok(None) };
    let moment = written.trim().parse::<jiff::Timestamp>().ok();
    let ms = moment.map(|moment| u64::try_from(moment.as_millisecond()).unwrap_or(0));
    ms.map(Some).ok_or_else(|| {
        let shown: String = written.chars().take(80).collect();
        let shown = shown.escape_debug();
        CommandError::Wrong(format!("{name}: `{shown}` is no point in time: 2027-01-31T09:30:00Z"))
    })
}

/// What the search for messages is asked; events are picked from what it finds.
fn query(invocation: &Invocation<'_>, wanted: &Wanted) -> Result<TraceQuery, CommandError> {
    let text = |name: &str| invocation.arguments.text(name).map(|text| text.trim().to_owned());
    let queue_id = match text("InternalMessageId") {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| {
            let shown: String = id.chars().take(80).collect();
            CommandError::Wrong(format!("InternalMessageId: `{}` is no number", shown.escape_debug()))
        })?),
    };
    let recipient = match &wanted.recipients[..] {
        [only] => Some(only.clone()),
        _ => None,
    };
    Ok(TraceQuery {
        queue_id,
        message_id: text("MessageId"),
        sender: wanted.sender.clone().filter(|sender| !sender.is_empty()),
        recipient,
        until_ms: wanted.end_ms,
        ..TraceQuery::default()
    })
}

/// The longest that a message may wait here, unless it is suspended.
fn longest_wait_ms(settings: &Settings) -> u64 {
    let by_priority = settings.transport.queues.priorities.message_expiration_timeout;
    let longest = by_priority.into_iter().fold(settings.retry.message_expiration_timeout, Duration::max);
    u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)
}

async fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    of_this_server(invocation)?;
    let size = match invocation.arguments.get("ResultSize") {
        None => RESULTS_DEFAULT,
        Some(size) => size.as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(RESULTS_MAX),
    };
    let wanted = Wanted::of(invocation)?;
    let mut query = query(invocation, &wanted)?;
    // A message may have come long before what is asked for happened to it.
    let before_ms = longest_wait_ms(&invocation.settings).saturating_add(RECORDED_WITHIN_MS);
    query.since_ms = wanted.start_ms.map(|start_ms| start_ms.saturating_sub(before_ms));
    let _turn = SEARCHES.acquire().await;
    let (mut by_message, mut count, mut from) = (Vec::new(), 0_usize, None);
    let until = Instant::now() + SEARCH_PATIENCE;
    let server = invocation.settings.server.name.as_str();
    let mut is_cut_short = false;
    while count <= size.min(RESULTS_MAX) {
        let parsed = query.parse().map_err(CommandError::Wrong)?;
        // Most of those are long since at their end.
        let touched_since_ms = wanted.start_ms;
        let asked = move |key: &_| {
            let kinds = Kinds::MESSAGES;
            gatepost_tracking::trace::Query { kinds, touched_since_ms, ..parsed.with_tokens(key) }
        };
        let page = invocation.control.trace(asked, from, PAGE, PAGE_PATIENCE).await;
        let page = page.map_err(|error| CommandError::Failed(format!("the records cannot be read: {error}")))?;
        for entry in page.entries {
            let Traced::Message(passport) = entry else { continue };
            let message = TracedMessage::from(passport);
            let found: Vec<_> = events(&message, server).into_iter().filter(|event| wanted.takes(event)).collect();
            count += found.len();
            by_message.push(found);
        }
        from = page.next;
        is_cut_short = from.is_some() && Instant::now() >= until;
        if from.is_none() || is_cut_short {
            break;
        }
    }
    // Stable: events of one moment stay in the order of their message.
    let mut found: Vec<TrackingEvent> = by_message.into_iter().rev().flatten().collect();
    found.sort_by_key(|event| event.time_ms);
    let left_out = found.len().saturating_sub(size.min(RESULTS_MAX));
    let mut answer = Answer::of(found[left_out..].iter().map(record).collect());
    if is_cut_short {
        answer.warnings.push(
            "The search took too long and was ended: these are the newest results. Ask for less by -Start and -End."
                .to_owned(),
        );
    } else if left_out > 0 {
        answer.warnings.push(match size > RESULTS_MAX {
            true => format!("There are more than {RESULTS_MAX} results; these are the newest. Ask for the others by -Start and -End."),
            false => "There are more results available than are currently displayed; these are the newest. To view the others, increase the value for the ResultSize parameter.".to_owned(),
        });
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracking_log::{EVENT_IDS, SOURCES};

    #[test]
    fn events_are_picked_by_everything_that_is_said() {
        let event = TrackingEvent {
            time_ms: 1_000,
            event_id: "SEND",
            source: "SMTP",
            sender: "Scan@contoso.com".to_owned(),
            recipients: vec!["a@example.net".to_owned(), "~1f3a9c04b27e55aa@example.org".to_owned()],
            related_recipient_address: "all@contoso.com".to_owned(),
            subject: "Scan of 3 pages".to_owned(),
            reference: "17".to_owned(),
            ..TrackingEvent::default()
        };
        let text = |text: &str| Some(text.to_owned());
        let to = |address: &str| vec!["other@example.net".to_owned(), address.to_owned()];
        for (wanted, expected) in [
            (Wanted::default(), true),
            (Wanted { start_ms: Some(1_000), end_ms: Some(1_001), ..Wanted::default() }, true),
            (Wanted { end_ms: Some(1_000), ..Wanted::default() }, false),
            (Wanted { start_ms: Some(1_001), ..Wanted::default() }, false),
            (Wanted { event_id: text("send"), source: text("smtp"), ..Wanted::default() }, true),
            (Wanted { event_id: text("FAIL"), ..Wanted::default() }, false),
            (Wanted { sender: text("scan@contoso.com"), ..Wanted::default() }, true),
            (Wanted { sender: text(""), ..Wanted::default() }, false),
            (Wanted { recipients: to("A@example.net"), ..Wanted::default() }, true),
            (Wanted { recipients: to("all@contoso.com"), ..Wanted::default() }, true),
            (Wanted { recipients: to("b@example.org"), ..Wanted::default() }, true),
            (Wanted { recipients: to("b@example.net"), ..Wanted::default() }, false),
            (Wanted { subject: text("3 pag"), reference: text("17"), ..Wanted::default() }, true),
            (Wanted { subject: text("4 pag"), ..Wanted::default() }, false),
        ] {
            assert_eq!(wanted.takes(&event), expected, "{wanted:?}");
        }
    }

    #[test]
    fn whatever_is_told_can_be_asked_for() {
        assert!(EVENT_IDS.iter().all(|id| EXCHANGE_EVENT_IDS.contains(id)));
        assert!(SOURCES.iter().all(|source| EXCHANGE_SOURCES.contains(source)));
    }

    #[test]
    fn a_latency_is_a_span_with_thousandths() {
        for (ms, expected) in [(0, "00:00:00.000"), (61_005, "00:01:01.005"), (90_061_000, "1.01:01:01.000")] {
            assert_eq!(latency(ms), expected);
        }
    }
}
