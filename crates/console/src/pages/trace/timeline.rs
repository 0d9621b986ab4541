//! The timeline of one message: how it came, what was done with it, how each recipient stands.

use std::net::SocketAddr;

use gatepost_manage::trace::{Received, TracedMessage, TracedOutcome, TracedStep, TracedWhat};

use super::entry::{look, standing};
use crate::text::{counted, moment, size};

/// More recipients than this are counted.
const RECIPIENTS_MAX: usize = 200;
/// More steps than this are counted.
const STEPS_MAX: usize = 200;

/// A message.
pub struct Timeline {
    pub queue_id: u64,
    /// How it stands: the look of a badge, and words.
    pub verdict: (&'static str, String),
    pub facts: Vec<(&'static str, String)>,
    /// The decision that let it in.
    pub decision: Option<String>,
    /// The message that it is a report on.
    pub report_on: Option<u64>,
    pub steps: Vec<Step>,
    pub steps_more: String,
    pub recipients: Vec<Recipient>,
    pub recipients_more: String,
    pub is_queued: bool,
    /// The address that it came from.
    pub peer: Option<String>,
}

/// One step.
pub struct Step {
    pub look: &'static str,
    pub when: String,
    pub what: String,
    /// What a remote server said, and for whom.
    pub outcomes: Vec<(&'static str, String, String)>,
    /// Another message that it is about.
    pub message: Option<u64>,
}

/// How a recipient stands.
pub struct Recipient {
    pub address: String,
    pub look: &'static str,
    pub word: &'static str,
    pub reply: String,
    pub when: String,
}

impl Timeline {
    /// What is recorded of a message.
    pub fn of(message: &TracedMessage) -> Timeline {
        let received = message.received.as_ref();
        let more = |all: usize, shown: usize, one: &str, many: &str| match all.saturating_sub(shown) {
            0 => String::new(),
            more => counted(more as u64, one, many),
        };
        let steps = message.steps.iter().take(STEPS_MAX).map(step);
        let came = received.map(|received| Step {
            look: "good",
            when: moment(message.time_ms),
            what: came(received),
            outcomes: Vec::new(),
            message: received.report_on,
        });
        let recipients = message.recipients.iter().take(RECIPIENTS_MAX).map(|recipient| {
            let (look, word) = look(recipient.verdict);
            Recipient {
                address: recipient.address.clone(),
                look,
                word,
                reply: recipient.reply.clone(),
                when: moment(recipient.time_ms),
            }
        });
        Timeline {
            queue_id: message.queue_id,
            verdict: standing(message),
            facts: received.map(facts).unwrap_or_default(),
            decision: received.and_then(|received| received.decision.clone()),
            report_on: received.and_then(|received| received.report_on),
            steps: came.into_iter().chain(steps).collect(),
            steps_more: more(message.steps.len(), STEPS_MAX, "more step", "more steps"),
            recipients: recipients.collect(),
            recipients_more: more(message.recipients.len(), RECIPIENTS_MAX, "more recipient", "more recipients"),
            is_queued: !message.ended,
            peer: received.and_then(|received| received.peer).map(|peer| peer.ip().to_string()),
        }
    }
}

fn tls(version: Option<&String>, cipher: Option<&String>) -> String {
    match (version, cipher) {
        (Some(version), Some(cipher)) => format!("{version} {cipher}"),
        (Some(version), None) => version.clone(),
        (None, _) => "no TLS".to_owned(),
    }
}

fn came(received: &Received) -> String {
    match (&received.peer, &received.report_kind) {
        (Some(peer), _) => {
            let hello = received.hello.as_ref().map_or(String::new(), |hello| format!(" ({hello})"));
            let tls = tls(received.tls_version.as_ref(), received.tls_cipher.as_ref());
            format!("Received from {}{hello} by {}, {tls}", peer.ip(), received.connector)
        }
        (None, Some(kind)) => format!("Written here: a report ({kind})"),
        (None, None) => "Written here".to_owned(),
    }
}

fn facts(received: &Received) -> Vec<(&'static str, String)> {
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let sender = if received.sender.is_empty() { "<>" } else { &received.sender };
    let facts = [
        ("Sender", filled(sender)),
        ("Subject", received.subject.clone()),
        ("Message-ID", filled(&received.message_id)),
        ("Size", Some(size(received.size_bytes))),
        ("Peer", received.peer.map(|peer| peer.to_string())),
        ("At", received.local.map(|local| local.to_string())),
        ("Principal", filled(&received.principal)),
        ("Counts as", received.internal.then(|| "one of the organization".to_owned())),
    ];
    facts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

fn outcomes(outcomes: &[TracedOutcome]) -> Vec<(&'static str, String, String)> {
    let told = outcomes.iter().take(RECIPIENTS_MAX).map(|outcome| {
        let (look, word) = look(outcome.verdict);
        let again = outcome.until_ms.map_or(String::new(), |until_ms| format!("; again at {}", moment(until_ms)));
        (look, format!("{word}: {}", outcome.recipient), format!("{}{again}", outcome.reply))
    });
    told.collect()
}

/// A host and where it is; where the host is called by its address, that alone.
fn whom(name: &str, address: Option<SocketAddr>) -> String {
    match address {
        Some(address) if name.trim_matches(['[', ']']) == address.ip().to_string() => address.to_string(),
        Some(address) => format!("{name} [{address}]"),
        None => name.to_owned(),
    }
}

/// The worst of the looks.
fn worst(outcomes: &[(&'static str, String, String)]) -> &'static str {
    let looks = ["bad", "warn", "good"];
    looks.into_iter().find(|name| outcomes.iter().any(|(look, ..)| look == name)).unwrap_or_default()
}

fn step(step: &TracedStep) -> Step {
    let mut told =
        Step { look: "", when: moment(step.time_ms), what: String::new(), outcomes: Vec::new(), message: None };
    match &step.what {
        TracedWhat::Resolved { named } => told.what = format!("Resolved: {} stood for others", named.join(", ")),
        TracedWhat::Routed { recipients, connector, next_hop } => {
            let many = counted(recipients.len() as u64, "recipient", "recipients");
            (told.look, told.what) = match (connector.as_str(), next_hop.as_str()) {
                ("", "unreachable") => ("warn", format!("No route: unreachable: {many}")),
                ("", next_hop) => ("", format!("Routed to {next_hop}: {many}")),
                (connector, next_hop) => ("", format!("Routed by {connector} to {next_hop}: {many}")),
            };
        }
        TracedWhat::Attempt {
            next_hop,
            remote,
            address,
            tls_version,
            tls_cipher,
            tls_proof,
            duration_ms,
            outcomes: all,
            recovered,
            ..
        } => {
            let whom = whom(remote.as_ref().unwrap_or(next_hop), *address);
            let tls = match (address, tls_version) {
                (None, _) => String::new(),
                (Some(_), version) => format!(", {}", tls(version.as_ref(), tls_cipher.as_ref())),
            };
            let proof = tls_proof.as_ref().map_or(String::new(), |proof| format!(" ({proof})"));
            told.what = match recovered {
                true => format!("Offered to {whom}: read from the spool's log after a crash"),
                false => format!("Offered to {whom}{tls}{proof}, {duration_ms} ms"),
            };
            told.outcomes = outcomes(all);
            told.look = worst(&told.outcomes);
        }
        TracedWhat::NoConnection { next_hop, remote, address, reason, count, until_ms, .. } => {
            let whom = whom(remote.as_ref().unwrap_or(next_hop), *address);
            let times = match count {
                1 => String::new(),
                count => format!(" ({count} times until {})", moment(*until_ms)),
            };
            told.what = format!("No connection to {whom}: {reason}{times}");
            told.look = "warn";
        }
        TracedWhat::Report { queue_id, report, to } => {
            told.what = format!("Report ({report}) to {to}");
            told.message = Some(*queue_id);
        }
        TracedWhat::Administrator { who, action, detail, outcomes: all } => {
            let detail = detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
            told.what = format!("{action} by {who}{detail}");
            told.outcomes = outcomes(all);
        }
        TracedWhat::Held { reason } => {
            told.what = format!("Held: {reason}");
            told.look = "warn";
        }
    }
    told
}
