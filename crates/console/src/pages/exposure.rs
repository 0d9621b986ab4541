//! Who may relay: the audit of the settings in force as a sentence, a map, a table, findings; the difference against any
//! revision; the whole as a file.

use askama::Template;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use gatepost_manage::exposure_text::{
    HAS, level_words, listeners_text, more_terms, more_words, reach_terms, reach_words, sender_terms, sender_words,
    sentences, severity_look, standing,
};
use gatepost_manage::resource::{
    Exposed, ExposedFinding, ExposedRange, ExposedRow, ExposureMap, ExposurePart, ExposureQuery, MapQuery,
    ReportFormat, ReportKey, ReportQuery, Revisions, RevisionsQuery,
};

use crate::fields::{Fields, path_part};
use crate::layout::{Answer, Page, show, show_as};
use crate::paging::{self, Pager};
use crate::problem::Problem;
use crate::text::{count, counted, moment, size};
use crate::visit::{Console, Visit};

const AREA: &str = "/exposure";
/// Rows, and findings, on a page: the map takes its room, too.
const ROWS: usize = 20;
/// Revisions that are offered for comparison.
const REVISIONS: usize = 50;
/// Changes that are shown of a comparison.
const CHANGES_MAX: usize = 50;
/// The width of a part of the map with its gap.
const PART: usize = 32;
/// Parts in a line of the map.
const LINE: usize = 16;

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new()
        .route(AREA, get(exposure))
        .route("/exposure/report", get(report))
        .route("/exposure/report/key", get(report_key))
}

#[derive(Template)]
#[template(path = "exposed.html")]
struct ExposurePage {
    page: Page,
    asked: Fields,
    problem: Option<String>,
    exposed: Exposed,
    warnings: String,
    look: &'static str,
    word: &'static str,
    /// What signs reports, or why nothing does.
    key: Result<ReportKey, String>,
    rows: Vec<Row>,
    pager: Pager,
    findings: Vec<Finding>,
    findings_pager: Pager,
    map: Map,
    revisions: Vec<(u64, String)>,
    difference: Option<Difference>,
}

struct Row {
    who: String,
    sources: String,
    is_public: bool,
    listeners: String,
    look: &'static str,
    may: &'static str,
    reach_terms: String,
    senders: &'static str,
    sender_terms: Vec<String>,
    also: String,
    more_terms: Vec<String>,
    connectors: Vec<(String, String)>,
    connectors_more: u64,
}

struct Finding {
    look: &'static str,
    shown: ExposedFinding,
    path: Option<String>,
}

/// A network in parts.
struct Map {
    network: String,
    /// The networks around it, the widest first: name and query.
    around: Vec<(String, String)>,
    parts: Vec<Part>,
    ipv6: Vec<(&'static str, &'static str, String)>,
    ipv6_more: u64,
}

struct Part {
    x: usize,
    y: usize,
    level: String,
    /// The number of the part, where anybody is heard.
    number: String,
    /// How bad it is, for those who do not see colours.
    mark: &'static str,
    /// Where a closer look is; none where nobody is heard.
    query: Option<String>,
    label: String,
}

struct Difference {
    against: u64,
    lines: Vec<String>,
    /// How many changes there are besides.
    more: u64,
}

fn row(shown: &ExposedRow) -> Row {
    let (look, may) = reach_words(shown);
    let connectors: Vec<_> = shown.connectors.iter().take(3).map(|name| (name.clone(), connector_path(name))).collect();
    Row {
        who: shown.who.clone(),
        sources: shown.sources.clone(),
        is_public: shown.public,
        listeners: listeners_text(&shown.listeners),
        look,
        may,
        reach_terms: reach_terms(shown).to_owned(),
        senders: sender_words(shown),
        sender_terms: sender_terms(shown),
        also: more_words(shown, moment, size),
        more_terms: more_terms(shown),
        connectors_more: shown.connectors_total.saturating_sub(connectors.len() as u64),
        connectors,
    }
}

fn connector_path(name: &str) -> String {
    format!("/receive-connectors/{}", path_part(name))
}

fn finding(shown: &ExposedFinding) -> Finding {
    Finding {
        look: severity_look(&shown.severity),
        path: shown.connector.as_deref().map(connector_path),
        shown: shown.clone(),
    }
}

impl Map {
    fn of(map: &ExposureMap, asked: &Fields) -> Map {
        let ipv6 = |range: &ExposedRange| {
            let (look, may) = level_words(&range.level, range.public);
            (look, may, range.range.clone())
        };
        Map {
            around: around(&map.network, asked),
            parts: map.parts.iter().enumerate().map(|(place, part)| Part::of(place, part, asked)).collect(),
            ipv6: map.ipv6.iter().map(ipv6).collect(),
            ipv6_more: map.ipv6_total.saturating_sub(map.ipv6.len() as u64),
            network: map.network.clone(),
        }
    }
}

/// The networks that hold this one.
fn around(network: &str, asked: &Fields) -> Vec<(String, String)> {
    let Some((address, bits)) = network.split_once('/') else { return Vec::new() };
    let octets: Vec<&str> = address.split('.').collect();
    let bits: usize = bits.parse().unwrap_or(0);
    let wider = (0..bits / 8).map(|kept| {
        let parts = (0..4).map(|place| if place < kept { octets.get(place).copied().unwrap_or("0") } else { "0" });
        let name = format!("{}/{}", parts.collect::<Vec<_>>().join("."), kept * 8);
        let query = asked.with("network", &name);
        (name, query)
    });
    wider.collect()
}

impl Part {
    fn of(place: usize, part: &ExposurePart, asked: &Fields) -> Part {
        let level = part.level.as_deref().unwrap_or("none");
        let is_address = !part.network.contains('/');
        let query = part.level.as_ref().map(|_| match is_address {
            true => asked.without(&["page", "findings"]).with("address", &part.network),
            false => asked.with("network", &part.network),
        });
        let (_, may) = level_words(level, part.public);
        let number = if level == "none" { String::new() } else { place.to_string() };
        let mark = match level {
            "open" if part.public => "!",
            "open" => "I",
            "relay" => "R",
            "submit" => "D",
            _ => "",
        };
        // What is read aloud begins with what is seen.
        let label = match is_address {
            true => format!("{number}{mark}, {}: {may}", part.network),
            false => {
                let addresses = counted(part.addresses, "address", "addresses");
                format!("{number}{mark}, {}: {may}, {addresses}", part.network)
            }
        };
        Part {
            x: place % LINE * PART,
            y: place / LINE * PART,
            level: if level == "open" && !part.public { "inside" } else { level }.to_owned(),
            number,
            mark,
            query,
            label,
        }
    }

    /// How low its number stands: with a mark below it, above the middle.
    fn middle(&self) -> usize {
        if self.mark.is_empty() { 20 } else { 14 }
    }
}

/// The page that a field names, from 1.
fn page_of(fields: &Fields, name: &str) -> usize {
    fields.get(name).and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, 100_000)
}

fn pager(asked: &Fields, name: &str, shown: usize, total: u64) -> Pager {
    let page = page_of(asked, name);
    let (first, end) = ((page - 1) * ROWS + 1, (page - 1) * ROWS + shown);
    let to = |page: usize| asked.with(name, &page.to_string());
    Pager {
        said: match shown {
            0 => format!("none of {}", count(total)),
            _ => format!("{}–{} of {}", count(first as u64), count(end as u64), count(total)),
        },
        previous: (page > 1).then(|| to(page - 1)),
        next: ((end as u64) < total).then(|| to(page + 1)),
    }
}

async fn exposure(visit: Visit) -> Answer {
    let asked = paging::asked(&visit.query);
    let query = ExposureQuery {
        relay: asked.get("relay").map(|_| true),
        public: asked.get("public").map(|_| true),
        address: asked.get("address").map(str::to_owned),
        limit: Some(ROWS),
        offset: Some((page_of(&asked, "page") - 1) * ROWS),
        findings_offset: Some((page_of(&asked, "findings") - 1) * ROWS),
    };
    let (exposed, mut problem) = match visit.client.exposure(&query).await.map_err(Problem::from) {
        Ok(exposed) => (exposed, None),
        Err(Problem::Refused { status: StatusCode::BAD_REQUEST, error, .. }) => {
            let all = ExposureQuery { address: None, ..query };
            (visit.client.exposure(&all).await?, Some(error))
        }
        Err(other) => return Err(other),
    };
    let network = MapQuery { network: asked.get("network").map(str::to_owned) };
    let map = match visit.client.exposure_map(&network).await.map_err(Problem::from) {
        Ok(map) => map,
        Err(Problem::Refused { status: StatusCode::BAD_REQUEST, error, .. }) => {
            problem = problem.or(Some(error));
            visit.client.exposure_map(&MapQuery::default()).await?
        }
        Err(other) => return Err(other),
    };
    let revisions = visit.client.revisions(RevisionsQuery { limit: Some(REVISIONS), before: None }).await?;
    let difference = match asked.get("against") {
        None => None,
        Some(number) => match difference(&visit, number).await {
            Ok(difference) => Some(difference),
            Err(Problem::Refused { status, error, .. }) if status.is_client_error() => {
                problem = problem.or(Some(error));
                None
            }
            Err(other) => return Err(other),
        },
    };
    let key = visit.client.report_key().await.map_err(|error| error.to_string());
    let (look, word) = standing(&exposed);
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let shown = ExposurePage {
        page: Page::new(visit, AREA, "Who may relay"),
        rows: exposed.exposures.iter().map(row).collect(),
        pager: pager(&asked, "page", exposed.exposures.len(), exposed.exposures_total),
        findings: exposed.findings.iter().map(finding).collect(),
        findings_pager: pager(&asked, "findings", exposed.findings.len(), exposed.findings_total),
        map: Map::of(&map, &asked),
        revisions: offered(&revisions),
        problem,
        difference,
        warnings: counted(exposed.warnings, "warning", "warnings"),
        look,
        word,
        key,
        exposed,
        asked,
    };
    match status {
        StatusCode::OK => show(&shown),
        status => show_as(status, &shown),
    }
}

/// Revisions to compare with: number, and since when.
fn offered(revisions: &Revisions) -> Vec<(u64, String)> {
    let older = revisions.revisions.iter().filter(|revision| revision.number != revisions.in_force);
    older.map(|revision| (revision.number, moment(revision.at_ms))).collect()
}

async fn difference(visit: &Visit, number: &str) -> Result<Difference, Problem> {
    let wrong = |_| Problem::refused(StatusCode::UNPROCESSABLE_ENTITY, "A revision is named by its number.");
    let against = number.parse().map_err(wrong)?;
    let compared = visit.client.revision_difference(against, None).await?;
    let lines = compared.changes.iter().take(CHANGES_MAX).flat_map(|change| sentences(change, HAS));
    // The server hands out the first of them, and how many there are.
    let more = compared.changes_total.saturating_sub(CHANGES_MAX as u64);
    Ok(Difference { against, lines: lines.collect(), more })
}

/// `GET /exposure/report?format=`.
async fn report(visit: Visit) -> Answer {
    let (format, kind, ending) = match visit.query.get("format") {
        Some("json") => (ReportFormat::Json, "application/json", "json"),
        _ => (ReportFormat::Html, "text/html; charset=utf-8", "html"),
    };
    let revision = visit.client.revisions(RevisionsQuery { limit: Some(1), before: None }).await?.in_force;
    let report = visit.client.exposure_report(&ReportQuery { format }).await?;
    // As the API names it; browsers prefer this to what a link says.
    let disposition = format!("attachment; filename=\"relay-report-{revision}.{ending}\"");
    let fields = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((fields, report).into_response())
}

/// `GET /exposure/report/key`.
async fn report_key(visit: Visit) -> Answer {
    let key = visit.client.report_key().await?;
    let fields = [
        (header::CONTENT_TYPE, "application/x-pem-file".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"report-key-{}.pem\"", visit.server)),
    ];
    Ok((fields, key.public_key).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_map_leads_closer_and_an_address_to_its_rows() {
        let asked = Fields::read(b"relay=on&page=3");
        let part = |network: &str, level: Option<&str>| ExposurePart {
            network: network.to_owned(),
            level: level.map(str::to_owned),
            addresses: 3,
            public: network == "17.0.0.0/8",
        };
        let shown = Part::of(17, &part("17.0.0.0/8", Some("open")), &asked);
        assert_eq!((shown.x, shown.y, shown.number.as_str(), shown.mark), (PART, PART, "17", "!"));
        assert_eq!(shown.query.as_deref(), Some("relay=on&page=3&network=17.0.0.0%2F8"));
        assert_eq!(shown.label, "17!, 17.0.0.0/8: anyone, without logging in, 3 addresses");
        let address = Part::of(0, &part("10.0.0.5", Some("submit")), &asked);
        assert_eq!(address.query.as_deref(), Some("relay=on&address=10.0.0.5"));
        assert!(Part::of(0, &part("11.0.0.0/8", None), &asked).query.is_none());
        let inside = Part::of(10, &part("10.0.0.0/8", Some("open")), &asked);
        assert_eq!((inside.number.as_str(), inside.mark, inside.level.as_str()), ("10", "I", "inside"));
        let names: Vec<String> = around("10.1.2.0/24", &asked).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16"]);
    }
}
