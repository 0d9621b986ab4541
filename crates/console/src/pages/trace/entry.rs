//! One entry of the records in a line of a table.

use gatepost_manage::decision::{Decision, Outcome};
use gatepost_manage::recomputed::name_of;
use gatepost_manage::trace::{TraceEntry, TraceVerdict, TracedConnection, TracedMessage, TracedOutbound};

use crate::text::{bare, count, moment};

/// More recipients than this are counted.
const RECIPIENTS_MAX: usize = 3;

/// A line.
pub struct Row {
    pub when: String,
    /// What it is.
    pub kind: &'static str,
    /// Where there is more about it.
    pub path: Option<String>,
    /// How it stands: the look of a badge, and a word.
    pub verdict: (&'static str, String),
    /// From whom, to whom.
    pub ends: Vec<String>,
    /// What else is to be said.
    pub about: String,
    pub connector: String,
}

impl Row {
    /// What is to be said of an entry.
    pub fn of(entry: &TraceEntry) -> Row {
        match entry {
            TraceEntry::Message(message) => of_message(message),
            TraceEntry::Refusal(refusal) => of_refusal(refusal),
            TraceEntry::Connection(connection) => of_connection(connection),
            TraceEntry::Outbound(outbound) => of_outbound(outbound),
            TraceEntry::Settings { time_ms, revision, who, .. } => {
                let path = Some(format!("/revisions/{revision}"));
                Row {
                    path,
                    about: format!("revision {revision} in force, by {who}"),
                    ..Row::plain(*time_ms, "Settings")
                }
            }
            TraceEntry::Pressure { time_ms, resource, level } => {
                Row { about: format!("{resource} is {level}"), ..Row::plain(*time_ms, "Pressure") }
            }
        }
    }

    fn plain(time_ms: u64, kind: &'static str) -> Row {
        Row {
            when: moment(time_ms),
            kind,
            path: None,
            verdict: ("", String::new()),
            ends: Vec::new(),
            about: String::new(),
            connector: String::new(),
        }
    }
}

/// How a verdict looks, and its word.
pub fn look(verdict: Option<TraceVerdict>) -> (&'static str, &'static str) {
    match verdict {
        Some(TraceVerdict::Delivered) => ("good", "delivered"),
        Some(verdict @ (TraceVerdict::Deferred | TraceVerdict::Held)) => ("warn", verdict.word()),
        Some(verdict @ (TraceVerdict::Failed | TraceVerdict::Expired | TraceVerdict::Refused)) => {
            ("bad", verdict.word())
        }
        Some(verdict @ (TraceVerdict::Removed | TraceVerdict::Abandoned | TraceVerdict::Ended)) => ("", verdict.word()),
        None => ("", "ended"),
    }
}

/// How a message stands as a whole: the worst look, and every word.
pub fn standing(message: &TracedMessage) -> (&'static str, String) {
    let looks: Vec<_> = message.recipients.iter().map(|recipient| look(recipient.verdict)).collect();
    let worst = ["bad", "warn", "", "good"].into_iter().find(|name| looks.iter().any(|(look, _)| look == name));
    let mut words: Vec<&str> = looks.iter().map(|(_, word)| *word).collect();
    words.sort_unstable();
    words.dedup();
    match words.is_empty() {
        true => ("", "recipients unknown".to_owned()),
        false => (worst.unwrap_or_default(), words.join(", ")),
    }
}

fn recipients(addresses: &[&str]) -> String {
    match addresses.len() {
        0..=RECIPIENTS_MAX => addresses.join(", "),
        all => format!("{} and {} more", addresses[..RECIPIENTS_MAX].join(", "), all - RECIPIENTS_MAX),
    }
}

fn of_message(message: &TracedMessage) -> Row {
    let to: Vec<&str> = message.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
    let received = message.received.as_ref();
    let sender = received.map_or("(kept no more)", |received| match received.sender.as_str() {
        "" => "<>",
        sender => sender,
    });
    Row {
        path: Some(format!("/trace/{}", message.queue_id)),
        verdict: standing(message),
        ends: vec![sender.to_owned(), recipients(&to)],
        about: received.and_then(|received| received.subject.clone()).unwrap_or_default(),
        connector: received.map(|received| received.connector.clone()).unwrap_or_default(),
        ..Row::plain(message.time_ms, "Message")
    }
}

fn of_refusal(refusal: &Decision) -> Row {
    let to: Vec<&str> = refusal.refused_recipient.iter().chain(&refusal.recipients).map(String::as_str).collect();
    let word = if refusal.verdict == Outcome::Refused { ("bad", "refused") } else { ("", "given up") };
    let times = refusal.count.map_or(String::new(), |times| format!(", {} times", count(times)));
    let reason = refusal.reason.as_deref().unwrap_or("no message came of it");
    Row {
        path: Some(format!("/explain/{}", refusal.id)),
        verdict: (word.0, word.1.to_owned()),
        ends: vec![refusal.sender.as_deref().map(bare).unwrap_or_default().to_owned(), recipients(&to)],
        about: format!("{} at {}: {reason}{times}", refusal.peer.ip(), name_of(refusal.command)),
        connector: refusal.connector.clone().unwrap_or_default(),
        ..Row::plain(refusal.time_ms, "Attempt")
    }
}

fn of_connection(connection: &TracedConnection) -> Row {
    let hello = connection.hello.as_deref().unwrap_or("no HELO");
    let (messages, refusals) = (connection.messages, connection.refusals);
    Row {
        about: format!(
            "{} ({hello}), {messages} accepted, {refusals} refused: {}",
            connection.peer.ip(),
            connection.end
        ),
        connector: connection.connector.clone(),
        ..Row::plain(connection.time_ms, "Connection")
    }
}

fn of_outbound(outbound: &TracedOutbound) -> Row {
    let remote = outbound.remote.as_deref().unwrap_or(&outbound.next_hop);
    Row {
        verdict: if outbound.opened { ("", String::new()) } else { ("warn", "not opened".to_owned()) },
        about: format!("to {remote}, {} messages: {}", outbound.messages, outbound.end),
        connector: outbound.connector.clone(),
        ..Row::plain(outbound.time_ms, "Connection out")
    }
}

#[cfg(test)]
mod tests {
    use gatepost_manage::trace::TracedRecipient;

    use super::*;

    fn message(verdicts: &[Option<TraceVerdict>]) -> TracedMessage {
        let recipient = |(place, verdict): (usize, &Option<TraceVerdict>)| TracedRecipient {
            address: format!("{place}@example.com"),
            verdict: *verdict,
            reply: String::new(),
            time_ms: 0,
        };
        TracedMessage {
            queue_id: 7,
            time_ms: 0,
            ended: false,
            received: None,
            recipients: verdicts.iter().enumerate().map(recipient).collect(),
            steps: Vec::new(),
        }
    }

    #[test]
    fn the_worst_of_the_recipients_gives_a_message_its_look() {
        let delivered = Some(TraceVerdict::Delivered);
        for (verdicts, expected) in [
            (&[delivered, delivered][..], ("good", "delivered")),
            (&[delivered, Some(TraceVerdict::Deferred)], ("warn", "deferred, delivered")),
            (&[delivered, Some(TraceVerdict::Failed)], ("bad", "delivered, failed")),
            (&[], ("", "recipients unknown")),
        ] {
            let (look, word) = standing(&message(verdicts));
            assert_eq!((look, word.as_str()), expected);
        }
    }

    #[test]
    fn many_recipients_are_counted() {
        let row = Row::of(&TraceEntry::Message(Box::new(message(&[None; 5]))));
        assert_eq!(row.ends[1], "0@example.com, 1@example.com, 2@example.com and 2 more");
        assert_eq!(row.path.as_deref(), Some("/trace/7"));
    }
}
