//! What became of messages as a collector reads it: `ExportTraceServiceRequest` of opentelemetry.proto.trace.v1.
//!
//! Takes passports, whole or in parts; hands on a trace for each message: one span from its arrival to the moment at which we
//! have it, and below it one for each attempt. A trace's id follows from the message's queue id and the server, so that parts
//! which are sent hours apart, or by the next run, come together. Recipients, senders and subjects are left out: a collector
//! is no place for addresses.

use aws_lc_rs::digest::{SHA256, digest};
use gatepost_tracking::passport::event::{Attempt, Facts, Part, Verdict, What};

use super::protobuf::{Message, nanoseconds, scope};

const KIND_SERVER: u64 = 2;
const KIND_CLIENT: u64 = 3;
const STATUS_OK: u64 = 1;
const STATUS_ERROR: u64 = 2;

/// All parts as one request; `None` where there is nothing to tell. `about` is the resource.
pub fn write(about: &[u8], server_name: &str, parts: &[Part]) -> Option<Vec<u8>> {
    let mut spans = Vec::new();
    // What was read from the log after a crash was told before, as far as it was known.
    for part in parts.iter().filter(|part| !part.is_recovered) {
        let trace = Trace::of(server_name, part.queue_id);
        spans.extend(part.facts.as_deref().map(|facts| received(&trace, part.queue_id, facts)));
        let attempts = part.steps.iter().filter_map(|step| match &step.what {
            What::Attempt(attempt) => Some(attempted(&trace, part.queue_id, step.time_ms, attempt)),
            _ => None,
        });
        spans.extend(attempts);
    }
    if spans.is_empty() {
        return None;
    }
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.bytes(1, about);
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, scope);
            for span in spans {
                scope_spans.bytes(2, &span.0);
            }
        });
    });
    Some(request.0)
}

/// The ids of one message's trace.
struct Trace {
    id: [u8; 16],
    root: [u8; 8],
}

impl Trace {
    fn of(server_name: &str, queue_id: u64) -> Trace {
        let hash = digest(&SHA256, format!("gatepost {server_name} {queue_id}").as_bytes());
        let (mut id, mut root) = ([0; 16], [0; 8]);
        id.copy_from_slice(&hash.as_ref()[..16]);
        root.copy_from_slice(&hash.as_ref()[16..24]);
        Trace { id, root }
    }

    /// The id of a span below the root that began at this time.
    fn child(&self, began_ms: u64, name: &str) -> [u8; 8] {
        let hash = digest(&SHA256, &[&self.id[..], &began_ms.to_le_bytes(), name.as_bytes()].concat());
        let mut id = [0; 8];
        id.copy_from_slice(&hash.as_ref()[..8]);
        id
    }
}

fn received(trace: &Trace, queue_id: u64, facts: &Facts) -> Message {
    let mut span = Message::default();
    span.bytes(1, &trace.id);
    span.bytes(2, &trace.root);
    span.text(5, "receive");
    span.number(6, KIND_SERVER);
    span.fixed(7, nanoseconds(facts.time_ms));
    span.fixed(8, nanoseconds(facts.time_ms));
    span.attribute_number(9, "gatepost.queue_id", queue_id);
    span.attribute_number(9, "messaging.message.body.size", facts.size);
    span.attribute_number(9, "gatepost.recipients", facts.recipients.len() as u64);
    span.attribute(9, "gatepost.connector", &facts.connector);
    if let Some(peer) = facts.peer {
        span.attribute(9, "client.address", &peer.ip().to_string());
    }
    if let Some(tls) = &facts.tls {
        span.attribute(9, "tls.protocol.version", &tls.version);
    }
    span.message(15, |status| status.number(3, STATUS_OK));
    span
}

fn attempted(trace: &Trace, queue_id: u64, ended_ms: u64, attempt: &Attempt) -> Message {
    let began_ms = ended_ms.saturating_sub(attempt.duration_ms);
    let mut span = Message::default();
    span.bytes(1, &trace.id);
    span.bytes(2, &trace.child(ended_ms, &attempt.way.next_hop));
    span.bytes(4, &trace.root);
    span.text(5, "deliver");
    span.number(6, KIND_CLIENT);
    span.fixed(7, nanoseconds(began_ms));
    span.fixed(8, nanoseconds(ended_ms));
    span.attribute_number(9, "gatepost.queue_id", queue_id);
    span.attribute(9, "gatepost.connector", &attempt.way.connector);
    span.attribute(9, "gatepost.next_hop", &attempt.way.next_hop);
    if let Some(remote) = &attempt.remote {
        span.attribute(9, "server.address", remote);
    }
    if let Some(tls) = &attempt.tls {
        span.attribute(9, "tls.protocol.version", &tls.version);
    }
    let count = |is: fn(Verdict) -> bool| attempt.outcomes.iter().filter(|outcome| is(outcome.verdict)).count() as u64;
    let delivered = count(|verdict| verdict == Verdict::Delivered);
    let deferred = count(Verdict::is_pending);
    let others = attempt.outcomes.len() as u64 - delivered - deferred;
    for (name, count) in [("delivered", delivered), ("deferred", deferred), ("failed", others)] {
        if count > 0 {
            span.attribute_number(9, &format!("gatepost.{name}"), count);
        }
    }
    span.message(15, |status| status.number(3, if deferred + others == 0 { STATUS_OK } else { STATUS_ERROR }));
    span
}

#[cfg(test)]
mod tests {
    use gatepost_tracking::passport::event::{Outcome, Step, Way};

    use super::*;

    fn has(bytes: &[u8], text: &str) -> bool {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[test]
    fn parts_of_one_message_are_one_trace_without_addresses() {
        let facts = Facts {
            time_ms: 1_000,
            sender: "a@x.net".into(),
            recipients: vec!["bob@contoso.com".into()],
            ..Facts::default()
        };
        let outcome = |verdict| Outcome { recipient: 0, verdict, reply: "said to bob@contoso.com".into() };
        let step = |time_ms, verdict| Step {
            time_ms,
            what: What::Attempt(Box::new(Attempt {
                way: Way { connector: "Internet".into(), next_hop: "mx.example.net".into() },
                remote: Some("mx1.example.net".into()),
                address: None,
                tls: None,
                duration_ms: 30,
                is_recovered: false,
                outcomes: vec![outcome(verdict)],
            })),
        };
        let first = Part {
            queue_id: 7,
            facts: Some(Box::new(facts)),
            steps: vec![step(2_000, Verdict::Deferred { until_ms: 9_000 })],
            ..Part::default()
        };
        let second =
            Part { queue_id: 7, steps: vec![step(9_000, Verdict::Delivered)], is_last: true, ..Part::default() };
        let about = super::super::protobuf::resource("mail.contoso.com", "1");
        let sent = |parts: &[Part]| write(&about, "mail.contoso.com", parts).expect("there is something to tell");
        let recovered = Part { is_recovered: true, ..second.clone() };
        let (first, second) = (sent(&[first]), sent(&[second]));
        let trace = Trace::of("mail.contoso.com", 7);
        for bytes in [&first, &second] {
            assert!(bytes.windows(16).any(|window| window == trace.id));
            assert!(has(bytes, "deliver") && has(bytes, "Internet") && has(bytes, "mx1.example.net"));
            assert!(!has(bytes, "@"), "no address leaves");
        }
        assert!(has(&first, "receive") && has(&first, "gatepost.deferred") && !has(&first, "gatepost.delivered"));
        assert!(!has(&second, "receive") && has(&second, "gatepost.delivered"));
        assert_ne!(trace.child(2_000, "mx.example.net"), trace.child(9_000, "mx.example.net"));
        assert_ne!(Trace::of("other.contoso.com", 7).id, trace.id, "another server's message is another");
        assert_eq!(write(&about, "mail.contoso.com", &[recovered]), None, "it was told before");
    }
}
