//! Waiting for a device: what it does meanwhile, live, and who else is refused, should it come from another address than thought.

use askama::Template;
use axum::http::StatusCode;
use gatepost_manage::decision::Outcome;
use gatepost_manage::trace::{TraceEntry, TraceQuery, TraceVerdict};
use gatepost_policy::receive_connector::RemoteRange;

use super::AREA;
use crate::layout::{Answer, Page, show_as};
use crate::pages::receive_connectors::place;
use crate::text::{moment, now_ms};
use crate::visit::{UNASKED_QUERY, Visit};

/// What a page for waiting shows at most.
const ARRIVALS: usize = 20;
/// Refused peers from elsewhere that it shows at most.
const STRANGERS: usize = 3;
/// Htmx ends asking again by itself when it is answered so.
const NO_MORE: u16 = 286;
/// The clock of a device's record may be a moment behind that of the page that waits for it.
const SINCE_SLACK_MS: u64 = 2_000;

#[derive(Template)]
#[template(path = "device_waiting.html", blocks = ["arrivals"])]
struct Waiting {
    page: Page,
    address: String,
    connector: String,
    connector_place: String,
    query: String,
    arrivals: Vec<Arrival>,
    strangers: Vec<Arrival>,
    has_come_through: bool,
}

/// One thing that the device did.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrival {
    when: String,
    /// `good`, `warn` or `bad`.
    kind: &'static str,
    what: String,
    more: Vec<String>,
    link: Option<(String, &'static str)>,
}

/// `GET /device/waiting?address=&connector=&since=`.
pub async fn wait(visit: Visit) -> Answer {
    let (address, connector) = (visit.query.text("address").to_owned(), visit.query.text("connector").to_owned());
    let since_ms = visit.query.get("since").and_then(|since| since.parse::<u64>().ok());
    let since_ms = since_ms.unwrap_or_else(now_ms).saturating_sub(SINCE_SLACK_MS);
    let of_device = TraceQuery {
        peer: Some(address.clone()),
        since_ms: Some(since_ms),
        events: Some(true),
        limit: Some(ARRIVALS),
        ..TraceQuery::default()
    };
    let traced = visit.client.trace(&of_device).await?;
    // The trace has the newest first; what the device did is read from its first step on.
    let arrivals: Vec<Arrival> = traced.entries.iter().rev().filter_map(arrival).collect();
    let refused = TraceQuery {
        verdict: Some(TraceVerdict::Refused),
        since_ms: Some(since_ms),
        limit: Some(ARRIVALS),
        ..TraceQuery::default()
    };
    let own = RemoteRange::parse(&address, 0..0).ok();
    let strangers = match arrivals.is_empty() {
        true => visit.client.trace(&refused).await?.entries,
        false => Vec::new(),
    };
    let is_strange = |entry: &&TraceEntry| match entry {
        TraceEntry::Refusal(decision) => own.as_ref().is_none_or(|own| !own.contains(decision.peer.ip())),
        _ => false,
    };
    let strangers: Vec<Arrival> = strangers.iter().filter(is_strange).filter_map(arrival).take(STRANGERS).collect();
    let has_come_through = arrivals.iter().any(|arrival| arrival.kind == "good");
    let is_part = visit.is_part;
    let title = format!("The device at {address}");
    let page = Waiting {
        query: visit.query.without(&["done", "seal", UNASKED_QUERY]).to_query(),
        page: Page::new(visit, AREA, title),
        address,
        connector_place: place(&connector),
        connector,
        arrivals,
        strangers,
        has_come_through,
    };
    match is_part {
        // Htmx takes the part, and asks no more once the device has come through.
        true => {
            let status = StatusCode::from_u16(NO_MORE).ok().filter(|_| page.has_come_through);
            show_as(status.unwrap_or(StatusCode::OK), &page.as_arrivals())
        }
        false => show_as(StatusCode::OK, &page),
    }
}

fn arrival(entry: &TraceEntry) -> Option<Arrival> {
    match entry {
        TraceEntry::Message(message) => {
            let received = message.received.as_ref();
            let sender = received.map(|received| received.sender.as_str()).filter(|sender| !sender.is_empty());
            let recipients: Vec<&str> = message.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
            let stand = message.recipients.iter().filter_map(|recipient| recipient.verdict.map(TraceVerdict::word));
            Some(Arrival {
                when: moment(message.time_ms),
                kind: "good",
                what: format!("Message accepted, from {} to {}", sender.unwrap_or("<>"), recipients.join(", ")),
                more: stand.map(|word| format!("It is {word}.")).take(1).collect(),
                link: Some((format!("/trace/{}", message.queue_id), "Follow it")),
            })
        }
        TraceEntry::Refusal(decision) => {
            let is_refused = decision.verdict == Outcome::Refused;
            let from = decision.sender.as_deref().unwrap_or("no sender yet");
            let to = decision.refused_recipient.as_deref().map(|to| format!(" to {to}")).unwrap_or_default();
            let ended = if is_refused { "Refused" } else { "Given up by the device" };
            let more = [decision.reply.clone(), decision.reason.clone()];
            Some(Arrival {
                when: moment(decision.time_ms),
                kind: if is_refused { "bad" } else { "warn" },
                what: format!("{ended}: {} from {from}{to}", decision.peer.ip()),
                more: more.into_iter().flatten().collect(),
                link: Some((format!("/explain/{}", decision.id), "Explain, and the smallest change that helps")),
            })
        }
        TraceEntry::Connection(connection) => {
            let hello = connection.hello.as_deref().unwrap_or("nothing");
            Some(Arrival {
                when: moment(connection.time_ms),
                kind: "warn",
                what: format!("Connected to {}, called itself {hello}", connection.connector),
                more: vec![format!(
                    "{} accepted, {} refused; it ended: {}",
                    connection.messages, connection.refusals, connection.end
                )],
                link: None,
            })
        }
        _ => None,
    }
}
