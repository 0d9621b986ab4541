//! The record of acts: who did what, from where, and what became of it. The acts of a transaction stand together, under the
//! newest of them, which is its end once it has one.

use std::collections::HashMap;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use gatepost_manage::resource::{ActEntry, ActOutcome, ActsQuery};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::layout::{Answer, Page, show_as};
use crate::paging::{Pager, ROWS, offset};
use crate::text::{ago, moment, now_ms};
use crate::visit::{Console, Visit};

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route("/acts", get(acts))
}

#[derive(Template)]
#[template(path = "acts.html")]
struct Acts {
    page: Page,
    problem: Option<String>,
    actor: String,
    act: String,
    since: String,
    until: String,
    outcomes: [(&'static str, &'static str, bool); 5],
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    near: String,
    exact: String,
    who: String,
    act: String,
    target: String,
    details: Vec<String>,
    outcome: (&'static str, &'static str),
    revision: Option<u64>,
    /// The earlier acts of the same transaction, newest first.
    before: Vec<Row>,
}

/// The transaction that an act is part of, or that it begins or ends.
fn transaction(act: &ActEntry) -> Option<String> {
    let parameters: Option<Value> = act.parameters.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let within = parameters.as_ref().and_then(|parameters| parameters["Transaction"].as_str()).map(str::to_owned);
    let is_about_one = act.act.ends_with("-Transaction");
    within.or_else(|| act.target.clone().filter(|_| is_about_one))
}

/// Acts, newest first, with those of one transaction under the newest of it.
fn grouped(acts: Vec<ActEntry>, now_ms: u64) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for act in acts {
        let transaction = transaction(&act);
        let row = Row::of(act, now_ms);
        match transaction.as_ref().and_then(|id| known.get(id)) {
            Some(newest) => rows[*newest].before.push(row),
            None => {
                known.extend(transaction.map(|id| (id, rows.len())));
                rows.push(row);
            }
        }
    }
    rows
}

impl Row {
    fn of(act: ActEntry, now_ms: u64) -> Row {
        let from = act.address.map_or_else(|| act.source.clone(), |address| format!("{}, {address}", act.source));
        Row {
            near: ago(act.time_ms, now_ms),
            exact: moment(act.time_ms),
            who: format!("{} ({from})", act.actor),
            act: act.act,
            target: act.target.unwrap_or_default(),
            details: [act.parameters, act.reason, act.error].into_iter().flatten().collect(),
            outcome: match act.outcome {
                ActOutcome::Done => ("Done", "good"),
                ActOutcome::Prepared => ("Prepared", ""),
                ActOutcome::Refused => ("Refused", "bad"),
                ActOutcome::Failed => ("Failed", "warn"),
            },
            revision: act.revision,
            before: Vec::new(),
        }
    }
}

/// A day or a minute as a browser writes it, in the server's time zone.
fn time(text: &str) -> Result<u64, String> {
    let day = || text.parse::<Date>().ok().map(|day| day.at(0, 0, 0, 0));
    let civil = text.parse::<DateTime>().ok().or_else(day);
    let instant = civil.and_then(|civil| civil.to_zoned(TimeZone::system()).ok());
    let ms = instant.and_then(|instant| u64::try_from(instant.timestamp().as_millisecond()).ok());
    ms.ok_or_else(|| format!("`{text}` is no point in time: write 2026-11-22 or 2026-11-22T13:30"))
}

async fn acts(visit: Visit) -> Answer {
    let query = visit.query.clone();
    let outcome = match query.text("outcome") {
        "done" => Some(ActOutcome::Done),
        "prepared" => Some(ActOutcome::Prepared),
        "refused" => Some(ActOutcome::Refused),
        "failed" => Some(ActOutcome::Failed),
        _ => None,
    };
    let (since, until) = (query.get("since").map(time).transpose(), query.get("until").map(time).transpose());
    let problem = since.as_ref().err().or(until.as_ref().err()).cloned();
    let asks = ActsQuery {
        since_ms: since.unwrap_or_default(),
        until_ms: until.unwrap_or_default(),
        actor: query.get("actor").map(str::to_owned),
        act: query.get("act").map(str::to_owned),
        outcome,
        // One more than is shown says whether there is another page.
        limit: Some(ROWS + 1),
        offset: Some(offset(&query)),
    };
    let mut found = match problem {
        Some(_) => Vec::new(),
        None => visit.client.acts(&asks).await?.acts,
    };
    let has_more = found.len() > ROWS;
    found.truncate(ROWS);
    let now_ms = now_ms();
    let chosen = query.text("outcome");
    let acts = Acts {
        pager: Pager::open(&query, found.len(), has_more),
        rows: grouped(found, now_ms),
        actor: query.text("actor").to_owned(),
        act: query.text("act").to_owned(),
        since: query.text("since").to_owned(),
        until: query.text("until").to_owned(),
        outcomes: [
            ("", "Any", ""),
            ("done", "Done", "done"),
            ("prepared", "Prepared", "prepared"),
            ("refused", "Refused", "refused"),
            ("failed", "Failed", "failed"),
        ]
        .map(|(value, name, is)| (value, name, chosen == is)),
        page: Page::new(visit, "/acts", "Record of acts"),
        problem,
    };
    show_as(if acts.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }, &acts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_acts_of_a_transaction_stand_under_its_end() {
        let act = |act: &str, target: Option<&str>, parameters: Option<&str>| {
            let entry = serde_json::json!({
                "time_ms": 1, "actor": "carol", "source": "password", "act": act, "target": target,
                "parameters": parameters, "outcome": "done"
            });
            serde_json::from_value::<ActEntry>(entry).expect("an act")
        };
        let in_one = Some(r#"{"Comment":"x","Transaction":"t1"}"#);
        let acts = vec![
            act("Set-User", Some("bob"), Some("{}")),
            act("Complete-Transaction", Some("t1"), None),
            act("Set-ReceiveConnector", Some("Relay"), in_one),
            act("Remove-User", Some("t1"), None),
            act("Undo-Transaction", None, Some(r#"{"Transaction":"t2"}"#)),
            act("New-ReceiveConnector", Some("Relay"), in_one),
            act("Start-Transaction", Some("t1"), None),
            act("New-AcceptedDomain", None, Some("roles View; not JSON")),
        ];
        let rows = grouped(acts, 2);
        let shown: Vec<_> = rows.iter().map(|row| (row.act.as_str(), row.before.len())).collect();
        let alone = [("Remove-User", 0), ("Undo-Transaction", 0), ("New-AcceptedDomain", 0)];
        assert_eq!(shown, [&[("Set-User", 0), ("Complete-Transaction", 3)][..], &alone].concat());
        assert_eq!(rows[1].before[2].act, "Start-Transaction");
    }
}
