//! The overview: the traffic of the last day, what waits, what is wrong, who may relay in one sentence, what changed last.

use std::net::IpAddr;

use askama::Template;
use axum::Router;
use axum::routing::get;
use gatepost_manage::resource::{Alarm, Day, Hour, RevisionsQuery};
use serde_json::{Value, json};

use crate::layout::{Answer, Page, show};
use crate::pages::revisions::Row;
use crate::text::{ago, count, counted, moment, now_ms};
use crate::visit::{Console, Visit};

/// Revisions that are shown.
const REVISIONS: usize = 5;
/// Queues that are named.
const QUEUES: usize = 5;
/// How long a day is, in hours.
const HOURS: u64 = 24;
const HOUR_MS: u64 = 3_600_000;
/// How high the picture of the day is.
const HEIGHT: u64 = 64;

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route("/", get(overview)).route("/overview/exposure", get(exposure))
}

#[derive(Template)]
#[template(path = "overview.html", blocks = ["now"])]
struct Overview {
    page: Page,
    alarms: Vec<Raised>,
    obstacles: Vec<String>,
    figures: Vec<Figure>,
    since: Option<String>,
    bars: Vec<Bar>,
    highest: String,
    queues: Vec<(String, String, String)>,
    more_queues: usize,
    waiting: String,
    facts: Vec<(&'static str, String)>,
    revisions: Vec<Row>,
}

/// One alarm.
struct Raised {
    alarm: Alarm,
    since: String,
}

/// A number and what it counts.
struct Figure {
    number: String,
    name: &'static str,
    href: &'static str,
}

/// One hour of the picture.
struct Bar {
    x: u64,
    accepted: (u64, u64),
    refused: (u64, u64),
    title: String,
}

async fn overview(visit: Visit) -> Answer {
    let status = visit.client.status().await?;
    let revisions = visit.client.revisions(RevisionsQuery { limit: Some(REVISIONS), before: None }).await?;
    let now_ms = now_ms();
    let total = |of: fn(&Hour) -> u64| status.day.hours.iter().map(of).sum::<u64>();
    let waiting: u64 = status.queues.iter().map(|queue| queue.messages).sum();
    let figure = |number: u64, name, href| Figure { number: count(number), name, href };
    let mut queues: Vec<_> = status.queues.iter().filter(|queue| queue.messages > 0).collect();
    queues.sort_by_key(|queue| std::cmp::Reverse(queue.messages));
    let (bars, highest) = bars(&status.day, now_ms);
    let page = Overview {
        figures: vec![
            figure(total(|hour| hour.accepted), "accepted", "/trace"),
            figure(total(|hour| hour.refused), "refused", "/refusals"),
            figure(total(|hour| hour.delivered), "delivered", "/trace"),
            figure(total(|hour| hour.deferred), "deferred", "/queues"),
            figure(total(|hour| hour.failed), "failed", "/trace"),
        ],
        since: (now_ms.saturating_sub(status.day.since_ms) < (HOURS - 1) * HOUR_MS)
            .then(|| moment(status.day.since_ms)),
        bars,
        highest: counted(highest, "an hour", "an hour"),
        waiting: counted(waiting, "message waits", "messages wait"),
        more_queues: queues.len().saturating_sub(QUEUES),
        queues: queues
            .iter()
            .take(QUEUES)
            .map(|queue| (queue.next_hop.clone(), count(queue.messages), queue.last_error.clone().unwrap_or_default()))
            .collect(),
        facts: vec![
            ("Version", status.version.clone()),
            ("Running", format!("since {}", moment(status.started_ms))),
            (
                "Connections",
                format!("{} in, {} out", count(status.connections.inbound), count(status.connections.outbound)),
            ),
            ("Listens at", listeners(status.listeners.iter().map(|listener| listener.address.to_string()))),
        ],
        alarms: status
            .alarms
            .iter()
            .map(|alarm| Raised { since: ago(alarm.since_ms, now_ms), alarm: alarm.clone() })
            .collect(),
        obstacles: status.obstacles.clone(),
        revisions: revisions.revisions.iter().map(|revision| Row::of(revision, revisions.in_force, now_ms)).collect(),
        page: Page::new(visit, "/", "Overview"),
    };
    if page.page.visit.is_part { show(&page.as_now()) } else { show(&page) }
}

/// Where it listens, the first few.
fn listeners(all: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 6;
    let all: Vec<String> = all.collect();
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 if all.is_empty() => "nowhere".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The picture of the day, 24 hours wide, and what its height stands for.
fn bars(day: &Day, now_ms: u64) -> (Vec<Bar>, u64) {
    let first = (now_ms / HOUR_MS + 1).saturating_sub(HOURS) * HOUR_MS;
    let highest = day.hours.iter().map(|hour| hour.accepted + hour.refused).max().unwrap_or(0).max(1);
    let bars = day.hours.iter().filter(|hour| hour.begins_ms >= first).map(|hour| {
        // What was there at all is seen.
        let height = |number: u64| if number == 0 { 0 } else { (number * HEIGHT / highest).max(1) };
        let (accepted, refused) = (height(hour.accepted), height(hour.refused));
        Bar {
            x: (hour.begins_ms - first) / HOUR_MS * 10,
            accepted: (HEIGHT.saturating_sub(accepted), accepted),
            refused: (HEIGHT.saturating_sub(accepted + refused), refused),
            title: format!(
                "{}: {} accepted, {} refused",
                moment(hour.begins_ms),
                count(hour.accepted),
                count(hour.refused)
            ),
        }
    });
    (bars.collect(), highest)
}

#[derive(Template)]
#[template(path = "overview_exposure.html", blocks = ["sentence"])]
struct Exposure {
    page: Page,
    sentence: String,
    look: &'static str,
    findings: Vec<String>,
}

/// Who may relay, in one sentence: looked up after the page is there, since it asks for all addresses.
async fn exposure(visit: Visit) -> Answer {
    let surface = visit.run("Test-RelaySurface", json!({})).await?.output;
    let findings = visit.run("Get-RelayFinding", json!({})).await?.output;
    let relaying = |row: &&Value| row["Recipients"] == "AnyRecipient";
    let is_public = surface.iter().filter(relaying).any(|row| row["Public"] == true);
    // As Test-RelaySurface calls those who prove nothing.
    let proves_nothing = |row: &&Value| matches!(row["Who"].as_str(), Some("anonymous" | "externally secured"));
    let open = surface.iter().filter(relaying).filter(proves_nothing);
    let ranges: Vec<&str> =
        open.filter_map(|row| row["RemoteIPRanges"].as_array()).flatten().filter_map(Value::as_str).collect();
    let connectors: std::collections::BTreeSet<&str> =
        surface.iter().filter_map(|row| row["Connectors"].as_array()).flatten().filter_map(Value::as_str).collect();
    let relayed = match relaying_addresses(&ranges) {
        None => format!(
            "{} of addresses may relay anywhere without logging in",
            counted(ranges.len() as u64, "range", "ranges")
        ),
        Some(0) => "nobody may relay anywhere without logging in".to_owned(),
        Some(addresses) => {
            format!("{} may relay anywhere without logging in", counted(addresses, "address", "addresses"))
        }
    };
    let public = if is_public { "public addresses are among them" } else { "no public address may relay" };
    let serious = findings.iter().filter(|finding| finding["Severity"] != "note");
    let exposure = Exposure {
        sentence: format!("{}; {relayed}; {public}.", counted(connectors.len() as u64, "connector", "connectors")),
        look: if is_public { "bad" } else { "good" },
        findings: serious.filter_map(|finding| finding["Message"].as_str()).take(3).map(str::to_owned).collect(),
        page: Page::new(visit, "/", "Who may relay"),
    };
    if exposure.page.visit.is_part { show(&exposure.as_sentence()) } else { show(&exposure) }
}

/// How many addresses stand in ranges; none: too many for the number to say anything.
fn relaying_addresses(ranges: &[&str]) -> Option<u64> {
    let addresses = |range: &&str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) => {
                u64::from(u32::from(last)).checked_sub(u32::from(first).into()).map(|more| more + 1)
            }
            (Ok(first), Ok(last)) if first == last => Some(1),
            _ => None,
        }
    };
    ranges.iter().map(addresses).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_where_they_can_be() {
        for (ranges, expected) in [
            (&[][..], Some(0)),
            (&["127.0.0.1", "192.168.2.50-192.168.2.59", "::1"], Some(12)),
            (&["10.0.0.0/8"], None),
            (&["fd00::-fd00::ffff"], None),
        ] {
            assert_eq!(relaying_addresses(ranges), expected, "{ranges:?}");
        }
    }

    #[test]
    fn the_picture_is_a_day_wide_and_as_high_as_its_busiest_hour() {
        let now_ms = 100 * HOUR_MS + 5;
        let hour =
            |begins: u64, accepted, refused| Hour { begins_ms: begins * HOUR_MS, accepted, refused, ..Hour::default() };
        let day = Day { since_ms: 0, hours: vec![hour(76, 9, 9), hour(77, 1, 0), hour(99, 90, 10), hour(100, 0, 1)] };
        let (bars, highest) = bars(&day, now_ms);
        assert_eq!(highest, 100);
        let places: Vec<_> = bars.iter().map(|bar| (bar.x, bar.accepted.1, bar.refused.1)).collect();
        assert_eq!(places, [(0, 1, 0), (220, 57, 6), (230, 0, 1)], "the first is more than a day ago");
        assert_eq!(bars[1].refused.0, 1, "refused stands upon accepted");
    }
}
