//! What Exchange would have written into its message tracking log (fact sheet section 8.2) about messages that were traced.
//!
//! Takes passports as calls show them, hands on events with Exchange's fields. Refused attempts have none, as in Exchange.
//! The export's files and Get-MessageTrackingLog are two mouths of it. Searches nothing and writes nothing.

use std::net::{IpAddr, SocketAddr};

use gatepost_policy::note::instant;

use crate::trace::{Received, TraceVerdict, TracedMessage, TracedOutcome, TracedStep, TracedWhat};

/// Exchange's names of events that happen here.
pub const EVENT_IDS: &[&str] =
    &["RECEIVE", "RESOLVE", "SEND", "DELIVER", "DEFER", "FAIL", "DSN", "REDIRECT", "POISONMESSAGE"];
/// Exchange's names of those who make them.
pub const SOURCES: &[&str] = &["SMTP", "STOREDRIVER", "RESOLVER", "QUEUE", "DSN", "ADMIN", "POISONMESSAGE"];

/// One line of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackingEvent {
    /// When, Unix time in milliseconds.
    pub time_ms: u64,
    /// Who brought the message, where that is what happened.
    pub client_ip: Option<IpAddr>,
    /// What it called itself; this server, where it sends.
    pub client_hostname: String,
    /// Where it came to, or who took it.
    pub server_ip: Option<IpAddr>,
    /// The same by name.
    pub server_hostname: String,
    /// The id of the decision that let it in, the administrator who did it, or why it is held.
    pub source_context: String,
    /// `SERVER\Name` of a receive connector, the name of a send connector.
    pub connector_id: String,
    /// One of [`SOURCES`].
    pub source: &'static str,
    /// One of [`EVENT_IDS`].
    pub event_id: &'static str,
    /// The queue id.
    pub internal_message_id: u64,
    /// The Message-ID of the header.
    pub message_id: String,
    /// The queue id in the form that Exchange's ids have.
    pub network_message_id: String,
    /// Whom it is about.
    pub recipients: Vec<String>,
    /// What was answered to each of them, where somebody was asked.
    pub recipient_statuses: Vec<String>,
    /// With our trace fields.
    pub total_bytes: u64,
    /// Whom the peer named, where that is not who gets it.
    pub related_recipient_address: String,
    /// Of a report: the message that it is about.
    pub reference: String,
    /// The subject.
    pub subject: String,
    /// The reverse-path; `<>` where it is null.
    pub sender: String,
    /// When it came, where it leaves.
    pub message_info: String,
    /// `Originating` within the organization, `Incoming` otherwise.
    pub directionality: &'static str,
    /// Who brought it.
    pub original_client_ip: Option<IpAddr>,
    /// Where it came to.
    pub original_server_ip: Option<IpAddr>,
    /// How long it has been here, where it leaves.
    pub latency_ms: Option<u64>,
}

/// What befell a message, in the order of time; `server` is the whole name of this server.
pub fn events(message: &TracedMessage, server: &str) -> Vec<TrackingEvent> {
    let course = Course { message, server, of_all: of_all(message) };
    let arrival = message.received.as_ref().map(|received| course.arrival(received));
    let steps = message.steps.iter().flat_map(|step| course.step(step));
    arrival.into_iter().chain(steps).collect()
}

/// The queue id as a GUID.
fn network_message_id(queue_id: u64) -> String {
    let (high, low) = (queue_id >> 48, queue_id & 0xffff_ffff_ffff);
    format!("00000000-0000-0000-{high:04x}-{low:012x}")
}

fn ip(address: Option<SocketAddr>) -> Option<IpAddr> {
    address.map(|address| address.ip().to_canonical())
}

/// What all events of a message have.
fn of_all(message: &TracedMessage) -> TrackingEvent {
    let event = TrackingEvent {
        internal_message_id: message.queue_id,
        network_message_id: network_message_id(message.queue_id),
        sender: "<>".to_owned(),
        directionality: "Incoming",
        ..TrackingEvent::default()
    };
    let Some(received) = &message.received else { return event };
    TrackingEvent {
        message_id: received.message_id.clone(),
        total_bytes: received.size_bytes,
        subject: received.subject.clone().unwrap_or_default(),
        sender: if received.sender.is_empty() { event.sender } else { received.sender.clone() },
        directionality: if received.internal { "Originating" } else { "Incoming" },
        original_client_ip: ip(received.peer),
        original_server_ip: ip(received.local),
        ..event
    }
}

/// A message on its way to being told of.
struct Course<'a> {
    message: &'a TracedMessage,
    server: &'a str,
    of_all: TrackingEvent,
}

impl Course<'_> {
    fn everyone(&self) -> Vec<String> {
        self.message.recipients.iter().map(|recipient| recipient.address.clone()).collect()
    }

    fn event(&self, time_ms: u64, source: &'static str, event_id: &'static str) -> TrackingEvent {
        TrackingEvent { time_ms, source, event_id, ..self.of_all.clone() }
    }

    fn arrival(&self, received: &Received) -> TrackingEvent {
        let (source, id) = if received.report_on.is_some() { ("DSN", "DSN") } else { ("SMTP", "RECEIVE") };
        // The peer brought it for those whom it named.
        let named = self.message.steps.iter().find_map(|step| match &step.what {
            TracedWhat::Resolved { named } => Some(named.clone()),
            _ => None,
        });
        TrackingEvent {
            client_ip: ip(received.peer),
            client_hostname: received.hello.clone().unwrap_or_default(),
            server_ip: ip(received.local),
            server_hostname: self.server.to_owned(),
            source_context: received.decision.clone().unwrap_or_default(),
            // As Exchange names it (fact sheet section 8.1).
            connector_id: match received.connector.as_str() {
                "" => String::new(),
                name => format!("{}\\{name}", self.server.split('.').next().unwrap_or_default().to_uppercase()),
            },
            recipients: named.unwrap_or_else(|| self.everyone()),
            reference: received.report_on.map_or(String::new(), |about| about.to_string()),
            ..self.event(self.message.time_ms, source, id)
        }
    }

    /// What Exchange would call a step.
    fn step(&self, step: &TracedStep) -> Vec<TrackingEvent> {
        let time_ms = step.time_ms;
        match &step.what {
            TracedWhat::Resolved { named } => vec![TrackingEvent {
                recipients: self.everyone(),
                related_recipient_address: named.join(";"),
                ..self.event(time_ms, "RESOLVER", "RESOLVE")
            }],
            TracedWhat::Attempt { connector, next_hop, remote, address, outcomes, .. } => {
                let attempt = |(verdict, outcomes): (Option<TraceVerdict>, Vec<&TracedOutcome>)| {
                    let (source, id) = match verdict {
                        Some(TraceVerdict::Delivered) if connector.is_empty() => ("STOREDRIVER", "DELIVER"),
                        Some(TraceVerdict::Delivered | TraceVerdict::Ended) | None => ("SMTP", "SEND"),
                        Some(TraceVerdict::Deferred | TraceVerdict::Held) => ("SMTP", "DEFER"),
                        Some(TraceVerdict::Expired) => ("QUEUE", "FAIL"),
                        Some(TraceVerdict::Removed) => ("ADMIN", "FAIL"),
                        Some(TraceVerdict::Failed | TraceVerdict::Refused | TraceVerdict::Abandoned) => {
                            ("SMTP", "FAIL")
                        }
                    };
                    let leaves = matches!(verdict, Some(TraceVerdict::Delivered | TraceVerdict::Ended) | None);
                    TrackingEvent {
                        client_hostname: self.server.to_owned(),
                        server_ip: ip(*address),
                        server_hostname: remote.clone().unwrap_or_else(|| next_hop.clone()),
                        connector_id: connector.clone(),
                        message_info: if leaves { instant(self.message.time_ms) } else { String::new() },
                        latency_ms: leaves.then(|| time_ms.saturating_sub(self.message.time_ms)),
                        ..self.event(time_ms, source, id)
                    }
                    .about(outcomes)
                };
                by_verdict(outcomes).into_iter().map(attempt).collect()
            }
            TracedWhat::Administrator { who, action, detail, outcomes } => {
                let id = match &**action {
                    "remove" => "FAIL",
                    "redirect" => "REDIRECT",
                    _ => return Vec::new(),
                };
                let event = TrackingEvent {
                    source_context: who.clone(),
                    reference: detail.clone().unwrap_or_default(),
                    ..self.event(time_ms, "ADMIN", id)
                };
                vec![event.about(outcomes.iter().collect())]
            }
            TracedWhat::Held { reason } => vec![TrackingEvent {
                source_context: reason.clone(),
                recipients: self.everyone(),
                ..self.event(time_ms, "POISONMESSAGE", "POISONMESSAGE")
            }],
            // The report has events of its own; Exchange has none for a route, and tells of connections in another log.
            TracedWhat::Report { .. } | TracedWhat::Routed { .. } | TracedWhat::NoConnection { .. } => Vec::new(),
        }
    }
}

impl TrackingEvent {
    fn about(self, outcomes: Vec<&TracedOutcome>) -> TrackingEvent {
        TrackingEvent {
            recipients: outcomes.iter().map(|outcome| outcome.recipient.clone()).collect(),
            recipient_statuses: outcomes.iter().map(|outcome| outcome.reply.clone()).collect(),
            ..self
        }
    }
}

/// Recipients that fared alike share an event.
fn by_verdict(outcomes: &[TracedOutcome]) -> Vec<(Option<TraceVerdict>, Vec<&TracedOutcome>)> {
    let mut groups: Vec<(Option<TraceVerdict>, Vec<&TracedOutcome>)> = Vec::new();
    for outcome in outcomes {
        match groups.iter_mut().find(|(verdict, _)| *verdict == outcome.verdict) {
            Some((_, group)) => group.push(outcome),
            None => groups.push((outcome.verdict, vec![outcome])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> TracedMessage {
        let outcome = |recipient: &str, verdict, reply: &str| TracedOutcome {
            recipient: recipient.to_owned(),
            verdict: Some(verdict),
            reply: reply.to_owned(),
            until_ms: None,
        };
        let attempt = |time_ms, outcomes| TracedStep {
            time_ms,
            what: TracedWhat::Attempt {
                connector: "Internet".to_owned(),
                next_hop: "example.net".to_owned(),
                remote: None,
                address: "192.0.2.9:25".parse().ok(),
                tls_version: None,
                tls_cipher: None,
                tls_proof: None,
                duration_ms: 5,
                outcomes,
                recovered: false,
            },
        };
        let resolved = TracedWhat::Resolved { named: vec!["all@contoso.com".to_owned()] };
        TracedMessage {
            queue_id: 0x12_3456_789a_bcde,
            time_ms: 1_000,
            ended: true,
            received: Some(Received {
                message_id: "<1@contoso.com>".to_owned(),
                subject: Some("Scan".to_owned()),
                sender: String::new(),
                size_bytes: 700,
                peer: "192.168.2.55:40000".parse().ok(),
                local: "10.0.0.1:25".parse().ok(),
                hello: Some("scanner".to_owned()),
                connector: "Relay".to_owned(),
                principal: "Anonymous".to_owned(),
                tls_version: None,
                tls_cipher: None,
                decision: Some("1f3a9c04b27e".to_owned()),
                report_on: None,
                report_kind: None,
                internal: false,
            }),
            recipients: Vec::new(),
            steps: vec![
                TracedStep { time_ms: 1_001, what: resolved },
                attempt(
                    1_500,
                    vec![
                        outcome("a@example.net", TraceVerdict::Delivered, "250 ok"),
                        outcome("b@example.net", TraceVerdict::Deferred, "451 later"),
                        outcome("c@example.net", TraceVerdict::Delivered, "250 ok"),
                    ],
                ),
            ],
        }
    }

    #[test]
    fn a_message_has_an_event_for_its_arrival_and_for_each_way_its_recipients_fared() {
        let told: Vec<String> = events(&message(), "mx1.contoso.com")
            .into_iter()
            .map(|event| {
                let TrackingEvent { source, event_id, connector_id, recipients, recipient_statuses, .. } = event;
                let (recipients, statuses) = (recipients.join(";"), recipient_statuses.join(";"));
                format!("{source} {event_id} {connector_id} {recipients} {statuses} {:?}", event.latency_ms)
            })
            .collect();
        assert_eq!(
            told,
            [
                "SMTP RECEIVE MX1\\Relay all@contoso.com  None",
                "RESOLVER RESOLVE    None",
                "SMTP SEND Internet a@example.net;c@example.net 250 ok;250 ok Some(500)",
                "SMTP DEFER Internet b@example.net 451 later None",
            ]
        );
    }

    #[test]
    fn every_event_says_which_message_it_is_about() {
        for event in events(&message(), "mx1.contoso.com") {
            assert_eq!((event.sender.as_str(), event.subject.as_str()), ("<>", "Scan"));
            assert_eq!(event.network_message_id, "00000000-0000-0000-0012-3456789abcde");
            assert!(EVENT_IDS.contains(&event.event_id) && SOURCES.contains(&event.source), "{event:?}");
        }
    }
}
