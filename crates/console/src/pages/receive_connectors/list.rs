//! The list: every connector with what it is read for. Whom it hears, for whom it relays, who came last, what it takes.

use askama::Template;
use serde_json::{Value, json};

use super::property::size;
use super::{AREA, instant_ms, place, text, texts};
use crate::layout::{Answer, Page, show};
use crate::paging::{self, Pager};
use crate::text::{ago, count, moment, now_ms};
use crate::visit::Visit;

/// Ranges that a row shows.
const RANGES_SHOWN: usize = 3;

#[derive(Template)]
#[template(path = "receive_connectors.html")]
struct List {
    page: Page,
    may_change: bool,
    search: String,
    rows: Vec<Row>,
    pager: Pager,
}

/// One connector.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    place: String,
    is_enabled: bool,
    bindings: Vec<String>,
    ranges: Vec<String>,
    more_ranges: usize,
    relayed_for: Vec<String>,
    relays_without_logon: bool,
    last: String,
    last_exactly: String,
    limits: String,
}

/// `GET /receive-connectors?search=&page=`.
pub async fn list(visit: Visit) -> Answer {
    let search = visit.query.text("search").to_owned();
    let mut parameters = json!({ "BookmarkIndex": paging::offset(&visit.query) + 1, "ResultSize": paging::ROWS });
    if !search.is_empty() {
        parameters["Search"] = search.as_str().into();
    }
    let answer = visit.run("Get-ReceiveConnectorStatistics", parameters).await?;
    let now_ms = now_ms();
    let rows: Vec<Row> = answer.output.iter().map(|record| row(record, now_ms)).collect();
    let total = answer.output.first().and_then(|record| record["Found"].as_u64()).unwrap_or(0);
    let pager = Pager::of(&visit.query, rows.len(), total);
    let may_change = visit.may_send("/receive-connectors/new");
    show(&List { may_change, search, rows, pager, page: Page::new(visit, AREA, "Receive connectors") })
}

fn row(record: &Value, now_ms: u64) -> Row {
    let name = text(&record["Name"]);
    let mut ranges = texts(&record["RemoteIPRanges"]);
    let more_ranges = ranges.len().saturating_sub(RANGES_SHOWN);
    ranges.truncate(RANGES_SHOWN);
    for range in &mut ranges {
        *range = shortened(range).to_owned();
    }
    let last_ms = instant_ms(&record["LastConnection"]);
    let number = |name: &str| record[name].as_u64().map_or_else(|| text(&record[name]), count);
    let mut limits = vec![
        size(record["MaxMessageSize"].as_u64().unwrap_or(0)),
        format!("{} recipients", number("MaxRecipientsPerMessage")),
    ];
    if record["MessageRateLimit"].is_number() {
        limits.push(format!("{} messages/min", number("MessageRateLimit")));
    }
    Row {
        place: place(&name),
        name,
        is_enabled: record["Enabled"] == true,
        bindings: texts(&record["Bindings"]),
        ranges,
        more_ranges,
        relayed_for: texts(&record["RelayedFor"]),
        relays_without_logon: record["RelaysWithoutLogon"] == true,
        last: last_ms.map_or_else(|| "not since the start".to_owned(), |last_ms| ago(last_ms, now_ms)),
        last_exactly: last_ms.map(moment).unwrap_or_default(),
        limits: limits.join(", "),
    }
}

/// The ranges that everybody writes so, in words.
fn shortened(range: &str) -> &str {
    match range {
        "0.0.0.0-255.255.255.255" | "0.0.0.0/0" => "all IPv4 addresses",
        "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" | "::/0" => "all IPv6 addresses",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_short_however_long_the_record_is() {
        let record = json!({
            "Name": "Relay/1", "Enabled": true, "Bindings": ["0.0.0.0:25"], "RelayedFor": ["anonymous"],
            "RemoteIPRanges": ["0.0.0.0-255.255.255.255", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"],
            "RelaysWithoutLogon": true, "LastConnection": "1970-01-01T00:01:00Z", "MaxMessageSize": 37_748_736,
            "MaxRecipientsPerMessage": 5000, "MessageRateLimit": "unlimited", "Found": 1,
        });
        let row = row(&record, 120_000);
        assert_eq!(row.place, "/receive-connectors/Relay%2F1");
        assert_eq!((row.ranges.join(", ").as_str(), row.more_ranges), ("all IPv4 addresses, 10.0.0.1, 10.0.0.2", 2));
        assert_eq!((row.last.as_str(), row.limits.as_str()), ("60\u{a0}s ago", "36 MB, 5\u{202f}000 recipients"));
        let never = super::row(&json!({"Name": "new", "MessageRateLimit": 5}), 0);
        assert_eq!((never.last.as_str(), never.place.as_str()), ("not since the start", "/receive-connectors/NEW"));
        assert!(never.limits.ends_with("5 messages/min"));
    }
}
