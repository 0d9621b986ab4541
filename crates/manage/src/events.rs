//! `GET /events`: what changes while somebody looks, as server-sent events (HTML Standard, section 9.2).
//!
//! | event | data |
//! |---|---|
//! | `revision` | `{"revision": 12}`: other settings are in force |
//! | `refusals` | `{"refusals": 40, "new": 2}`: peers were refused something |
//! | `queue` | `{"identity": "3", "next_hop": "...", "state": "...", "messages": 7}`; `messages` 0 and `state` null: it is gone |
//! | `queues` | `{"changed": 250}`: too many queues have changed to name each |
//! | `alarm` | `{"name": "...", "object": "...", "raised": true}` |
//!
//! Takes snapshots of the running server once a second, hands on what differs. An event's id says how far its reader has come:
//! who comes again with it in Last-Event-ID hears of revisions and refusals in between. Bounded: few listen at once, and
//! one that does not read is left behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gatepost_transport::Control;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::feed::feed;
use crate::refusal::refuse;
use crate::resource::{Alarm, Queue};

/// At most so many listen at once.
const LISTENERS_MAX: usize = 32;
/// Between two looks at the server.
const INTERVAL: Duration = Duration::from_secs(1);
/// After so many looks without an event something is sent, so that both sides know that the other is there.
const SILENT_LOOKS_MAX: u32 = 15;
/// More queues than this are counted, not named.
const QUEUES_NAMED_MAX: usize = 100;
/// So many pieces wait for who reads slowly.
const PIECES_MAX: usize = 16;

/// The route.
pub fn routes<S: Clone + Send + Sync + 'static>(control: Control) -> Router<S> {
    let places = Arc::new(Semaphore::new(LISTENERS_MAX));
    Router::new().route("/events", get(events)).with_state((control, places))
}

/// What is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    revision: u64,
    refusals: u64,
    /// Next hop, state and number of messages by identity.
    queues: HashMap<String, (String, Value, u64)>,
    /// Name and object of what is raised.
    alarms: Vec<(String, String)>,
}

impl Seen {
    fn of(control: &Control) -> Seen {
        let status = control.status();
        let queues = status.queues.into_iter().map(Queue::from);
        Seen {
            revision: status.revision,
            refusals: status.counters.refusals,
            queues: queues
                .map(|queue| {
                    let state = serde_json::to_value(queue.state).unwrap_or_default();
                    (queue.identity, (queue.next_hop, state, queue.messages))
                })
                .collect(),
            alarms: status.alarms.iter().map(Alarm::from).map(|alarm| (alarm.name, alarm.object)).collect(),
        }
    }

    /// How far a reader has come who has seen this.
    fn id(&self) -> String {
        format!("{}-{}", self.revision, self.refusals)
    }

    /// The same as somebody saw it whose last event had this id.
    fn seen_at(self, id: &str) -> Seen {
        let numbers =
            id.split_once('-').and_then(|(revision, refusals)| Some((revision.parse().ok()?, refusals.parse().ok()?)));
        match numbers {
            // A server that was started again counts anew.
            Some((revision, refusals)) if refusals <= self.refusals => Seen { revision, refusals, ..self },
            _ => self,
        }
    }
}

/// What is new, as kinds of events with their data.
fn news(before: &Seen, now: &Seen) -> Vec<(&'static str, Value)> {
    let mut news = Vec::new();
    if now.revision != before.revision {
        news.push(("revision", json!({ "revision": now.revision })));
    }
    if now.refusals != before.refusals {
        let new = now.refusals.saturating_sub(before.refusals);
        news.push(("refusals", json!({ "refusals": now.refusals, "new": new })));
    }
    let mut changed: Vec<(&String, Value)> = Vec::new();
    for (identity, queue) in &now.queues {
        if before.queues.get(identity) != Some(queue) {
            let (next_hop, state, messages) = queue;
            let data = json!({ "identity": identity, "next_hop": next_hop, "state": state, "messages": messages });
            changed.push((identity, data));
        }
    }
    for (identity, (next_hop, ..)) in before.queues.iter().filter(|(identity, _)| !now.queues.contains_key(*identity)) {
        let data = json!({ "identity": identity, "next_hop": next_hop, "state": null, "messages": 0 });
        changed.push((identity, data));
    }
    if changed.len() > QUEUES_NAMED_MAX {
        news.push(("queues", json!({ "changed": changed.len() })));
    } else {
        changed.sort_by_key(|(identity, _)| *identity);
        news.extend(changed.into_iter().map(|(_, data)| ("queue", data)));
    }
    let alarm = |(name, object): &(String, String), raised: bool| {
        ("alarm", json!({ "name": name, "object": object, "raised": raised }))
    };
    news.extend(now.alarms.iter().filter(|alarm| !before.alarms.contains(alarm)).map(|raised| alarm(raised, true)));
    news.extend(before.alarms.iter().filter(|alarm| !now.alarms.contains(alarm)).map(|gone| alarm(gone, false)));
    news
}

async fn events(State((control, places)): State<(Control, Arc<Semaphore>)>, headers: HeaderMap) -> Response {
    let Ok(place) = places.try_acquire_owned() else {
        let error = format!("{LISTENERS_MAX} listen already: close one of them");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, error).into_response();
    };
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut seen = Seen::of(&control);
    if let Some(last) = last {
        seen = seen.seen_at(&last);
    }
    tokio::spawn(async move {
        let _place = place;
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut silent = 0;
        // What a browser is to do when the connection ends.
        let mut piece = String::from("retry: 1000\n\n");
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = sender.closed() => return,
            }
            let now = Seen::of(&control);
            for (kind, data) in news(&seen, &now) {
                piece.push_str(&format!("id: {}\nevent: {kind}\ndata: {data}\n\n", now.id()));
            }
            seen = now;
            silent += 1;
            if piece.is_empty() && silent >= SILENT_LOOKS_MAX {
                piece.push_str(":\n\n");
            }
            if !piece.is_empty() {
                silent = 0;
                // Who does not read comes again and hears what counts by the id of the last event.
                if sender.try_send(Bytes::from(std::mem::take(&mut piece))).is_err() {
                    return;
                }
            }
        }
    });
    feed(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(revision: u64, refusals: u64, queues: &[(&str, u64)], alarms: &[&str]) -> Seen {
        let queue = |(identity, messages): &(&str, u64)| {
            ((*identity).to_owned(), (format!("{identity}.example"), json!("active"), *messages))
        };
        Seen {
            revision,
            refusals,
            queues: queues.iter().map(queue).collect(),
            alarms: alarms.iter().map(|name| ((*name).to_owned(), String::new())).collect(),
        }
    }

    fn told(before: &Seen, now: &Seen) -> String {
        news(before, now).iter().map(|(kind, data)| format!("{kind} {data}\n")).collect()
    }

    #[test]
    fn what_differs_is_told_and_what_is_the_same_is_not() {
        let before = seen(1, 5, &[("a", 1), ("b", 2)], &["x"]);
        assert_eq!(told(&before, &before), "");
        let now = seen(2, 7, &[("b", 3), ("c", 1)], &["y"]);
        let lines = told(&before, &now);
        for line in [
            "revision {\"revision\":2}\n",
            "refusals {\"new\":2,\"refusals\":7}\n",
            "queue {\"identity\":\"a\",\"messages\":0,\"next_hop\":\"a.example\",\"state\":null}\n",
            "queue {\"identity\":\"b\",\"messages\":3,\"next_hop\":\"b.example\",\"state\":\"active\"}\n",
            "queue {\"identity\":\"c\",\"messages\":1,\"next_hop\":\"c.example\",\"state\":\"active\"}\n",
            "alarm {\"name\":\"y\",\"object\":\"\",\"raised\":true}\n",
            "alarm {\"name\":\"x\",\"object\":\"\",\"raised\":false}\n",
        ] {
            assert!(lines.contains(line), "{line} is not in\n{lines}");
        }
        assert_eq!(lines.lines().count(), 7, "{lines}");
    }

    #[test]
    fn many_queues_are_counted() {
        let names: Vec<String> = (0..=QUEUES_NAMED_MAX).map(|number| number.to_string()).collect();
        let queues: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let lines = told(&Seen::default(), &seen(0, 0, &queues, &[]));
        assert_eq!(lines, format!("queues {{\"changed\":{}}}\n", QUEUES_NAMED_MAX + 1));
    }

    #[test]
    fn who_comes_again_hears_what_was_in_between() {
        let now = seen(3, 9, &[("a", 1)], &[]);
        assert_eq!(
            told(&now.clone().seen_at(&seen(2, 4, &[], &[]).id()), &now),
            "revision {\"revision\":3}\nrefusals {\"new\":5,\"refusals\":9}\n"
        );
        for nonsense in ["", "x", "1-", "7-99", "-"] {
            assert_eq!(told(&now.clone().seen_at(nonsense), &now), "", "{nonsense}");
        }
    }
}
