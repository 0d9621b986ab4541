//! The overview: the traffic of the last day, what waits, what is wrong, who may relay in one sentence, what changed last.

use askama::Template;
use axum::Router;
use axum::routing::get;
use gatepost_manage::exposure_text::standing;
use gatepost_manage::resource::{Alarm, Day, ExposureQuery, Hour, RevisionsQuery};

use crate::layout::{Answer, Page, show};
use crate::pages::revisions::Row;
use crate::text::{ago, count, counted, moment, now_ms};
use crate::visit::{Console, Visit};

/// Revisions that are shown.
const REVISIONS: usize = 5;
/// Findings that are named.
const FINDINGS: usize = 3;
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
    highest: Option<String>,
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
        highest: (highest > 0).then(|| count(highest)),
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
    let highest = day.hours.iter().map(|hour| hour.accepted + hour.refused).max().unwrap_or(0);
    let bars = day.hours.iter().filter(|hour| hour.begins_ms >= first).map(|hour| {
        // What was there at all is seen.
        let height = |number: u64| if number == 0 { 0 } else { (number * HEIGHT / highest.max(1)).max(1) };
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
    word: &'static str,
    findings: Vec<String>,
}

/// Who may relay, in one sentence, as the page about it says it: looked up after the page is there, since the first who asks
/// after a change waits for the audit.
async fn exposure(visit: Visit) -> Answer {
    let exposed = visit.client.exposure(&ExposureQuery { limit: Some(FINDINGS), ..ExposureQuery::default() }).await?;
    let (look, word) = standing(&exposed);
    let serious = exposed.findings.iter().filter(|finding| finding.severity != "note");
    let exposure = Exposure {
        sentence: exposed.sentence,
        look,
        word,
        findings: serious.map(|finding| finding.message.clone()).collect(),
        page: Page::new(visit, "/", "Who may relay"),
    };
    if exposure.page.visit.is_part { show(&exposure.as_sentence()) } else { show(&exposure) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
