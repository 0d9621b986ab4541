//! Let a device relay: one screen that asks what a person knows about a printer or an application, proposes the least that lets
//! its mail pass, and then waits for the device and shows what becomes of it.

use std::net::SocketAddr;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use gatepost_manage::ClientError;
use gatepost_manage::asked::ExplanationQuery;
use gatepost_manage::decision::Outcome;
use gatepost_manage::explained::{Explained, ExplainedConnector, ExplainedRight};
use gatepost_manage::trace::{TraceEntry, TraceQuery, TraceVerdict};
use gatepost_policy::permission::{Right, Trustee};
use gatepost_policy::public_address;
use gatepost_policy::receive_connector::RemoteRange;
use gatepost_policy::role::Role;
use serde_json::{Value, json};

use super::receive_connectors::properties::{Asked, Back, CONFIRMED, confirm, record, refusal};
use super::receive_connectors::{place, text, texts};
use crate::change::{Call, Change};
use crate::fields::{Fields, path_part};
use crate::layout::{Answer, Page, show_as};
use crate::problem::Problem;
use crate::text::{end_of_day, moment, now_ms};
use crate::visit::{Console, Sent, Visit};

const AREA: &str = "/device";
/// How long an entry counts that an explanation proposes.
pub const PROPOSED_DAYS: u64 = 90;
/// What a page for waiting shows at most.
const ARRIVALS: usize = 20;
/// Refused peers from elsewhere that it shows at most.
const STRANGERS: usize = 3;
/// Htmx ends asking again by itself when it is answered so.
const NO_MORE: u16 = 286;
/// More places to connect to are not asked about.
const LOCALS_MAX: usize = 4;
/// More messages of one device are not asked about.
const QUESTIONS_MAX: usize = 8;
/// Somebody who is surely none of ours. Nothing is sent there.
const OUTSIDE: &str = "somebody@gatepost-asks-whether.net";
/// The clock of a device's record may be a moment behind that of the page that waits for it.
const SINCE_SLACK_MS: u64 = 2_000;

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route("/device", get(ask).post(propose)).route("/device/waiting", get(wait))
}

#[derive(Template)]
#[template(path = "device.html")]
struct Form {
    page: Page,
    typed: Fields,
    may_change: bool,
    problem: Option<String>,
    /// Who came by a link has not chosen the day until which it holds.
    proposed_days: Option<u64>,
}

impl Form {
    fn recipients(&self) -> &str {
        self.typed.get("recipients").unwrap_or("own")
    }
}

async fn ask(visit: Visit) -> Answer {
    let typed = visit.query.clone();
    form(visit, typed, None)
}

fn form(visit: Visit, typed: Fields, problem: Option<(StatusCode, String)>) -> Answer {
    let (status, problem) = problem.map_or((StatusCode::OK, None), |(status, problem)| (status, Some(problem)));
    let may_change = visit.may(Role::TransportAdmin);
    let proposed_days = visit.query.has("until").then_some(PROPOSED_DAYS);
    let page = Page::new(visit, AREA, "Let a device relay");
    show_as(status, &Form { page, typed, may_change, problem, proposed_days })
}

/// Whom it writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    /// Recipients in our own domains alone: no relay at all.
    Own,
    /// These, as patterns.
    These(Vec<String>),
    /// Anybody.
    Anywhere,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    address: String,
    what: String,
    owner: Option<String>,
    ticket: Option<String>,
    until: Option<String>,
    senders: Vec<String>,
    reach: Reach,
    port: u16,
}

impl Device {
    fn read(fields: &Fields) -> Result<Device, String> {
        let address = fields.text("address").to_owned();
        let range = RemoteRange::parse(&address, 0..0).map_err(|error| {
            format!("Address: {error}. Write the device's address, as 192.168.2.55, or a range: 192.168.2.0/24.")
        })?;
        if public_address::public().overlaps(range.first, range.last) {
            return Err(format!(
                "Address: {address} is public, or holds addresses that are. A public address is to log on, and is never given a right to relay."
            ));
        }
        let what = fields.text("what").to_owned();
        if what.is_empty() || what.chars().count() > 60 {
            return Err("What it is: say it in 1 to 60 characters, as Scanner, third floor.".to_owned());
        }
        let senders: Vec<String> = fields.list("senders").iter().map(|sender| pattern(sender)).collect();
        if senders.is_empty() {
            return Err(
                "Senders: write the address that the device sends from; *@contoso.com stands for all of a domain."
                    .to_owned(),
            );
        }
        let reach = match fields.text("recipients") {
            "these" => Reach::These(fields.list("domains").iter().map(|domain| pattern(domain)).collect()),
            "anywhere" => Reach::Anywhere,
            _ => Reach::Own,
        };
        if matches!(&reach, Reach::These(domains) if domains.is_empty()) {
            return Err("Recipients: write the domains or addresses that it sends to.".to_owned());
        }
        let port = fields.get("port").unwrap_or("25").parse().ok().filter(|port| *port > 0);
        let port = port.ok_or("Port: write a number from 1 to 65535; devices use 25.")?;
        let owned = |name: &str| fields.get(name).map(str::to_owned);
        let (owner, ticket, until) = (owned("owner"), owned("ticket"), owned("until"));
        Ok(Device { address, what, owner, ticket, until, senders, reach, port })
    }

    fn is_one_address(&self) -> bool {
        RemoteRange::parse(&self.address, 0..0).is_ok_and(|range| range.first == range.last)
    }

    /// Whether the connector hears these addresses and no others.
    fn is_alone_on(&self, connector: &Known) -> bool {
        matches!(&connector.ranges[..], [only] if is_same(only, &self.address))
    }

    /// What an entry for it says besides its rights.
    fn note(&self, mut parameters: Value) -> Value {
        for (name, value) in [("EntryOwner", &self.owner), ("Ticket", &self.ticket)] {
            if let Some(value) = value {
                parameters[name] = value.as_str().into();
            }
        }
        if let Some(until) = &self.until {
            parameters["Expires"] = end_of_day(until).into();
        }
        parameters["Comment"] = self.what.as_str().into();
        parameters
    }
}

/// A domain alone stands for every address in it.
fn pattern(text: &str) -> String {
    if text.contains('@') || text == "<>" || text.starts_with('*') { text.to_owned() } else { format!("*@{text}") }
}

fn is_same(one: &str, other: &str) -> bool {
    let bounds = |text: &str| RemoteRange::parse(text, 0..0).map(|range| (range.first, range.last)).ok();
    bounds(one).is_some_and(|one| Some(one) == bounds(other))
}

/// A connector that hears the device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    name: String,
    /// The range by which it does.
    range: String,
    bindings: Vec<String>,
    ranges: Vec<String>,
    /// What its entries deny the device.
    denied: Vec<String>,
    /// Whom it takes the device for, where that is not an anonymous peer.
    taken_for: Option<String>,
}

/// What is proposed.
#[derive(Clone, Debug, PartialEq)]
struct Proposal {
    connector: String,
    is_new: bool,
    change: Change,
    said: Vec<String>,
    /// Why the connector refuses the device as things stand.
    refused: Option<String>,
}

/// The least that lets the device's mail pass. `heard` are the connectors that hear it, by what the server says, `names` those that are
/// taken, `held` what anonymous peers hold on the connector that hears it alone, whatever they send.
fn least(device: &Device, heard: &[Known], names: &[String], held: &[String]) -> Proposal {
    let own = heard.iter().find(|connector| is_same(&connector.range, &device.address));
    let mut calls = Vec::new();
    let mut said = Vec::new();
    let connector = match own {
        Some(own) => {
            said.push(format!("The connector {} hears this address already: entries are added to it.", own.name));
            if !device.is_alone_on(own) {
                said.push(format!(
                    "It hears {} ranges, and the entries hold for all of them. For this device alone, take its address out of that connector first.",
                    own.ranges.len()
                ));
            }
            if !own.denied.is_empty() {
                said.push(format!(
                    "Entries of {} deny it {}: what is allowed here counts for nothing until they are taken away.",
                    own.name,
                    own.denied.join(", ")
                ));
            }
            if let Some(whom) = &own.taken_for {
                said.push(format!(
                    "{} takes it for {whom}, not for an anonymous peer: these entries do not help there.",
                    own.name
                ));
            }
            own.name.clone()
        }
        None => {
            let name = free_name(&device.what, names);
            let mut bindings: Vec<&str> = heard
                .iter()
                .flat_map(|connector| &connector.bindings)
                .map(String::as_str)
                .filter(|binding| port_of(binding) == Some(device.port) && is_of_family(binding, &device.address))
                .collect();
            bindings.sort_unstable();
            bindings.dedup();
            let everywhere = if device.address.contains(':') { "[::]" } else { "0.0.0.0" };
            let bindings = match bindings.is_empty() {
                true => vec![format!("{everywhere}:{}", device.port)],
                false => bindings.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            };
            said.push(format!("A connector of its own, {name}, hears this address and no other."));
            if let Some(before) = heard.first() {
                said.push(format!("Until now {} answers it; what it may do there, it may not do here.", before.name));
            }
            calls.push(Call::new(
                "New-ReceiveConnector",
                json!({
                    "Name": name, "Usage": "Custom", "Bindings": bindings, "RemoteIPRanges": [device.address],
                    "Comment": device.what,
                }),
            ));
            name
        }
    };
    let held = if own.is_some() { held } else { &[] };
    calls.extend(entries(device, &connector, held));
    Proposal { connector, is_new: own.is_none(), change: Change(calls), said, refused: None }
}

/// The entries that a device needs, each as narrow as its rights can be.
fn entries(device: &Device, connector: &str, held: &[String]) -> Vec<Call> {
    let anonymous = Trustee::AnonymousLogon.to_string();
    let entry = |rights: &[Right], senders: bool, recipients: Option<&[String]>| {
        let lacking = rights.iter().map(|right| right.exchange_name());
        let lacking: Vec<&str> = lacking.filter(|right| !held.iter().any(|held| held == right)).collect();
        if lacking.is_empty() {
            return None;
        }
        let mut parameters = json!({ "Identity": connector, "User": anonymous, "ExtendedRights": lacking });
        if senders {
            parameters["Senders"] = device.senders.clone().into();
        }
        if let Some(recipients) = recipients {
            parameters["Recipients"] = recipients.to_vec().into();
        }
        Some(Call::new("Add-ADPermission", device.note(parameters)))
    };
    // Submit without a condition: a wrong sender is then told that it is the sender that is wrong.
    let senders = [Right::AcceptAnySender, Right::AcceptAuthoritativeDomainSender];
    let all = [Right::AcceptAnySender, Right::AcceptAuthoritativeDomainSender, Right::AcceptAnyRecipient];
    let calls = match &device.reach {
        Reach::Own => vec![entry(&[Right::Submit], false, None), entry(&senders, true, None)],
        Reach::Anywhere => vec![entry(&[Right::Submit], false, None), entry(&all, true, None)],
        Reach::These(domains) => vec![
            entry(&[Right::Submit], false, None),
            entry(&senders, true, None),
            entry(&[Right::AcceptAnyRecipient], true, Some(domains)),
        ],
    };
    calls.into_iter().flatten().collect()
}

fn port_of(binding: &str) -> Option<u16> {
    binding.parse::<SocketAddr>().ok().map(|binding| binding.port())
}

fn is_of_family(binding: &str, address: &str) -> bool {
    binding.starts_with('[') == address.contains(':')
}

/// A name that is not taken.
fn free_name(what: &str, names: &[String]) -> String {
    let is_taken = |name: &str| names.iter().any(|taken| taken.to_lowercase() == name.to_lowercase());
    let numbered = (2..).map(|number| format!("{what} {number}"));
    std::iter::once(what.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

/// Messages of the device as a server can be asked about them, one for each sender and recipient that it was given, from the first and the
/// last of its addresses. Where one more than [`QUESTIONS_MAX`] comes, there are too many.
fn questions(device: &Device, local: &str) -> Vec<ExplanationQuery> {
    let few = |patterns: &[String]| -> Vec<String> {
        patterns.iter().take(QUESTIONS_MAX + 1).map(|pattern| example(pattern)).collect()
    };
    let senders = few(&device.senders);
    let recipients = match &device.reach {
        // Nobody has to be known for that, and no right to relay be there.
        Reach::Own => vec!["<Postmaster>".to_owned()],
        Reach::These(patterns) => few(patterns),
        Reach::Anywhere => vec![OUTSIDE.to_owned()],
    };
    let mut peers = RemoteRange::parse(&device.address, 0..0).map_or(Vec::new(), |range| vec![range.first, range.last]);
    peers.dedup();
    let mut questions = Vec::new();
    for peer in &peers {
        for sender in &senders {
            questions.extend(recipients.iter().map(|recipient| ExplanationQuery {
                peer: peer.to_string(),
                local: Some(local.to_owned()),
                sender: sender.clone(),
                recipient: recipient.clone(),
                ..ExplanationQuery::default()
            }));
        }
    }
    questions.truncate(QUESTIONS_MAX + 1);
    questions
}

/// An address that the pattern takes in.
fn example(pattern: &str) -> String {
    let text = pattern.replace('*', "device");
    if text.contains('@') || text == "<>" { text } else { format!("device@{text}") }
}

/// The connector that decides about the device, by its own range or else by a wider one. Parts of a range may be heard by others.
fn hearer<'a>(device: &Device, explained: &'a Explained) -> Option<&'a ExplainedConnector> {
    let of_fate = |fate: &'static str| explained.connectors.iter().filter(move |connector| connector.fate == fate);
    let is_own = |connector: &&ExplainedConnector| {
        connector.range.as_deref().is_some_and(|range| is_same(range, &device.address))
    };
    of_fate("won").chain(of_fate("less_specific")).find(is_own).or_else(|| of_fate("won").next())
}

impl Known {
    /// The connector of this record, which is the one that was found in what is explained.
    fn of(record: &Value, found: &ExplainedConnector, explained: &Explained) -> Known {
        let anonymous = Trustee::AnonymousLogon.to_string();
        let holder = explained.principals.last().filter(|_| found.fate == "won");
        let is_denied =
            |right: &&ExplainedRight| !right.held && right.denied_by.iter().any(|entry| entry.effect == "counts");
        let rights = holder.iter().flat_map(|holder| &holder.rights);
        Known {
            name: text(&record["Name"]),
            range: found.range.clone().unwrap_or_default(),
            bindings: texts(&record["Bindings"]),
            ranges: texts(&record["RemoteIPRanges"]),
            denied: rights.filter(is_denied).map(|right| right.right.clone()).collect(),
            taken_for: holder.map(|holder| holder.principal.clone()).filter(|principal| *principal != anonymous),
        }
    }
}

/// What the server says to a question; none where it cannot be asked: nobody listens there, or an address is none.
async fn explanation(visit: &Visit, question: &ExplanationQuery) -> Result<Option<Explained>, Problem> {
    match visit.client.explanation(question).await {
        Ok(explained) => Ok(Some(explained)),
        Err(ClientError::Refused { status: 400, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where the device may connect to: the bindings of connectors that know its address, else any to its port.
fn locals(device: &Device, records: &[Value]) -> Vec<String> {
    let bindings = records.iter().filter(|record| record["Enabled"] == true);
    let bindings = bindings.flat_map(|record| texts(&record["Bindings"]));
    let is_one = |binding: &String| port_of(binding) == Some(device.port) && is_of_family(binding, &device.address);
    let mut locals: Vec<String> = bindings.filter(is_one).collect();
    locals.sort_unstable();
    locals.dedup();
    locals.truncate(LOCALS_MAX);
    if locals.is_empty() { vec![device.port.to_string()] } else { locals }
}

/// What is to be done, by what the server says of the device's messages.
async fn proposal(visit: &Visit, device: &Device) -> Result<Proposal, Problem> {
    let first = first_address(&device.address);
    let hearing = visit.run("Get-ReceiveConnectorStatistics", json!({ "Search": first, "ResultSize": 200 })).await?;
    let mut heard: Vec<Known> = Vec::new();
    // Whether all that was asked is accepted, by connectors that decide about all of its addresses.
    let mut passes = true;
    let mut reason = None;
    for local in locals(device, &hearing.output) {
        let questions = questions(device, &local);
        passes &= questions.len() <= QUESTIONS_MAX;
        for (place, question) in questions.iter().enumerate().take(QUESTIONS_MAX) {
            // What is refused once is not asked again; who hears it is asked everywhere.
            if place > 0 && !passes {
                break;
            }
            let explained = explanation(visit, question).await?;
            let found = explained.as_ref().and_then(|explained| Some((explained, hearer(device, explained)?)));
            let Some((explained, connector)) = found else {
                passes = false;
                continue;
            };
            let is_own = is_same(connector.range.as_deref().unwrap_or_default(), &device.address);
            let decides = connector.fate == "won" && (is_own || device.is_one_address());
            passes &= explained.accepted && decides;
            reason = reason.or_else(|| explained.reason.clone().filter(|_| is_own && decides));
            if !heard.iter().any(|known| known.name == connector.name) {
                let record = record(visit, &connector.name).await?;
                heard.push(Known::of(&record, connector, explained));
            }
        }
    }
    if let Some(connector) = heard.first().filter(|_| passes) {
        let (connector, change) = (connector.name.clone(), Change(Vec::new()));
        return Ok(Proposal { connector, is_new: false, change, said: Vec::new(), refused: None });
    }
    let alike =
        visit.run("Get-ReceiveConnectorStatistics", json!({ "Search": device.what, "ResultSize": 1000 })).await?;
    let names: Vec<String> = alike.output.iter().map(|record| text(&record["Name"])).collect();
    let plan = least(device, &heard, &names, &[]);
    if plan.is_new {
        return Ok(plan);
    }
    let rows = visit.run("Get-ADPermission", json!({ "Identity": plan.connector })).await?.output;
    Ok(Proposal { refused: reason, ..least(device, &heard, &names, &held(&rows)) })
}

/// What anonymous peers hold, whatever they send, until nobody says otherwise.
fn held(rows: &[Value]) -> Vec<String> {
    let anonymous = Trustee::AnonymousLogon.to_string();
    let bound = ["Senders", "Recipients", "Hours", "MessagesPerHour", "Expires"];
    let plain = rows.iter().filter(|row| {
        row["User"] == anonymous.as_str() && row["Deny"] != true && bound.iter().all(|name| row[*name].is_null())
    });
    let denied = rows.iter().filter(|row| row["User"] == anonymous.as_str() && row["Deny"] == true);
    let denied: Vec<String> = denied.flat_map(|row| texts(&row["ExtendedRights"])).collect();
    plain.flat_map(|row| texts(&row["ExtendedRights"])).filter(|right| !denied.contains(right)).collect()
}

fn first_address(range: &str) -> String {
    RemoteRange::parse(range, 0..0).map_or_else(|_| range.to_owned(), |range| range.first.to_string())
}

/// `POST /device`.
async fn propose(Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    if fields.has("back") {
        return form(visit, fields, None);
    }
    let device = match Device::read(&fields) {
        Ok(device) => device,
        Err(problem) => return form(visit, fields, Some((StatusCode::UNPROCESSABLE_ENTITY, problem))),
    };
    let proposal = proposal(&visit, &device).await?;
    let waiting = |visit: &Visit, said: &str| {
        let there = format!(
            "/device/waiting?address={}&connector={}&since={}",
            path_part(&device.address),
            path_part(&proposal.connector),
            now_ms()
        );
        visit.done(&there, said)
    };
    if let Some(reason) = proposal.refused.as_deref().filter(|_| proposal.change.0.is_empty()) {
        let problem = format!(
            "{} allows the device all this already, and refuses it for another reason: {reason}.",
            proposal.connector
        );
        return form(visit, fields, Some((StatusCode::UNPROCESSABLE_ENTITY, problem)));
    }
    if proposal.change.0.is_empty() {
        return Ok(waiting(&visit, "Nothing had to be changed: this device may do all that already."));
    }
    let preview = match proposal.change.look(&visit).await {
        Ok(preview) => preview,
        Err(error) => return form(visit, fields, Some(refusal(&error))),
    };
    if fields.get(CONFIRMED) != Some(&preview.mark) {
        let asked = Asked {
            said: proposal.said,
            ..Asked::of(
                AREA,
                format!("Let {} relay", device.what),
                AREA.to_owned(),
                "Apply and wait for the device",
                Back::Form,
            )
        };
        return confirm(visit, &fields, preview, asked);
    }
    match proposal.change.make(&visit).await {
        Ok(_) => Ok(waiting(&visit, "It is in force.")),
        Err(error) => form(visit, fields, Some(refusal(&error))),
    }
}

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
async fn wait(visit: Visit) -> Answer {
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
    let arrivals: Vec<Arrival> = traced.entries.iter().filter_map(arrival).collect();
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
    let page = Waiting {
        query: visit.query.without(&["done", "seal"]).to_query(),
        page: Page::new(visit, AREA, "Waiting for the device"),
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

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str =
        "address=192.168.2.55&what=Scanner&owner=anna%40contoso.com&ticket=CHG-1&senders=scan%40contoso.com&port=25";

    fn device(more: &str) -> Device {
        Device::read(&Fields::read(format!("{FORM}&{more}").as_bytes())).expect("whole")
    }

    fn known(name: &str, binding: &str, ranges: &[&str]) -> Known {
        let ranges: Vec<String> = ranges.iter().map(|range| (*range).to_owned()).collect();
        Known {
            name: name.to_owned(),
            range: ranges[0].clone(),
            bindings: vec![binding.to_owned()],
            ranges,
            denied: Vec::new(),
            taken_for: None,
        }
    }

    #[test]
    fn a_device_gets_a_connector_of_its_own_and_nothing_that_it_does_not_need() {
        let everybody = [known("Default", "0.0.0.0:25", &["0.0.0.0-255.255.255.255"])];
        let note = "-EntryOwner \"anna@contoso.com\" -Ticket \"CHG-1\" -Comment \"Scanner\"";
        let made = "New-ReceiveConnector -Name \"Scanner\" -Usage Custom -Bindings \"0.0.0.0:25\" -RemoteIPRanges \"192.168.2.55\" -Comment \"Scanner\"";
        let given = |rights: &str, terms: &str| {
            format!(
                "Get-ReceiveConnector \"Scanner\" | Add-ADPermission -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights {rights}{terms} {note}"
            )
        };
        let submit = given("\"ms-Exch-SMTP-Submit\"", "");
        let sender = "\"ms-Exch-SMTP-Accept-Any-Sender\",\"ms-Exch-SMTP-Accept-Authoritative-Domain-Sender\"";
        let relay = "\"ms-Exch-SMTP-Accept-Any-Recipient\"";
        let from = " -Senders \"scan@contoso.com\"";
        for (reach, expected) in [
            ("recipients=own", vec![given(sender, from)]),
            ("recipients=anywhere", vec![given(&format!("{sender},{relay}"), from)]),
            (
                "recipients=these&domains=partner.example%0A*%40other.example",
                vec![
                    given(sender, from),
                    given(relay, &format!("{from} -Recipients \"*@partner.example\",\"*@other.example\"")),
                ],
            ),
        ] {
            let proposal = least(&device(reach), &everybody, &["Default".to_owned()], &[]);
            let lines: Vec<String> = proposal.change.0.iter().map(Call::line).collect();
            let expected: Vec<String> = [made.to_owned(), submit.clone()].into_iter().chain(expected).collect();
            assert_eq!(lines, expected, "{reach}");
            assert!(proposal.is_new && proposal.said.iter().any(|said| said.contains("Default")), "{reach}");
        }
    }

    #[test]
    fn a_connector_that_hears_the_device_alone_is_extended_by_what_it_lacks() {
        let own = [
            known("Default", "0.0.0.0:25", &["0.0.0.0-255.255.255.255"]),
            known("Floor", "0.0.0.0:25", &["192.168.2.55/32"]),
        ];
        let anonymous: Vec<String> = [
            "ms-Exch-SMTP-Submit",
            "ms-Exch-SMTP-Accept-Any-Sender",
            "ms-Exch-SMTP-Accept-Authoritative-Domain-Sender",
        ]
        .map(str::to_owned)
        .to_vec();
        let proposal = least(&device("recipients=anywhere"), &own, &[], &anonymous);
        let lines: Vec<String> = proposal.change.0.iter().map(Call::line).collect();
        assert_eq!((proposal.connector.as_str(), proposal.is_new, lines.len()), ("Floor", false, 1));
        assert!(lines[0].contains("-ExtendedRights \"ms-Exch-SMTP-Accept-Any-Recipient\" -Senders"), "{lines:?}");
        let nothing = least(&device("recipients=own"), &own, &[], &anonymous);
        assert_eq!(nothing.change, Change(Vec::new()));
        // Entries hold for all that the connector hears.
        let shared = [known("Relay", "0.0.0.0:25", &["192.168.2.55", "192.168.2.56"])];
        let proposal = least(&device("recipients=own"), &shared, &[], &[]);
        assert!(proposal.said.iter().any(|said| said.contains("hears 2 ranges")), "{:?}", proposal.said);
        assert!(least(&device("recipients=own"), &[], &["scanner".to_owned()], &[]).connector == "Scanner 2");
        // What cannot help is said.
        let denied = Known { denied: vec!["ms-Exch-SMTP-Submit".to_owned()], ..shared[0].clone() };
        let secured = Known { taken_for: Some("Externally Secured Servers".to_owned()), ..shared[0].clone() };
        for (known, said) in [(denied, "deny it ms-Exch-SMTP-Submit"), (secured, "takes it for Externally Secured")] {
            let proposal = least(&device("recipients=own"), &[known], &[], &[]);
            assert!(proposal.said.iter().any(|one| one.contains(said)), "{:?}", proposal.said);
        }
    }

    #[test]
    fn the_connector_that_hears_the_device_is_the_one_that_the_server_names() {
        let explained = |connectors: Value| {
            let answer = json!({
                "accepted": false, "local": "0.0.0.0:25", "connectors": connectors, "inside_tls": false, "principals": [],
                "dialogue": [], "reason": null, "next_hop_asked": null, "missing_right": null, "changes": [],
                "assumption": "",
            });
            serde_json::from_value::<Explained>(answer).expect("an explanation")
        };
        let one = |name: &str, fate: &str, range: Option<&str>| json!({"name": name, "line": 1, "fate": fate, "range": range});
        let everybody = one("Default", "won", Some("0.0.0.0-255.255.255.255"));
        let device = device("recipients=own");
        // A range that has expired, an enabled connector at another address of this machine, one that another shadows.
        for fate in ["expired", "other_binding", "wildcard_only", "disabled"] {
            let explained = explained(json!([one("Floor", fate, Some("192.168.2.55")), everybody]));
            assert_eq!(hearer(&device, &explained).expect(fate).name, "Default", "{fate}");
        }
        let own = explained(json!([everybody, one("Floor", "won", Some("192.168.2.55/32"))]));
        assert_eq!(hearer(&device, &own).expect("own").name, "Floor");
        // A range is its connector's, although somebody else has its first address.
        let range = Device { address: "192.168.2.0/24".to_owned(), ..device };
        let parted = [one("First", "won", Some("192.168.2.0")), one("Floor", "less_specific", Some("192.168.2.0/24"))];
        assert_eq!(hearer(&range, &explained(json!(parted))).expect("its own").name, "Floor");
        assert_eq!(hearer(&range, &explained(json!([]))).map(|found| &found.name), None);
    }

    #[test]
    fn a_question_is_asked_for_each_sender_and_recipient_at_both_ends() {
        let device = device("recipients=these&domains=partner.example%0A*.other.example&senders=*%40contoso.com");
        let asked = |device: &Device| {
            let questions = questions(device, "25").into_iter();
            questions.map(|asked| [asked.peer, asked.sender, asked.recipient].join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(
            asked(&device)[..2],
            [
                "192.168.2.55 scan@contoso.com device@partner.example",
                "192.168.2.55 scan@contoso.com device@device.other.example"
            ]
        );
        let range = Device {
            address: "192.168.2.0/24".to_owned(),
            senders: vec!["<>".to_owned()],
            reach: Reach::Own,
            ..device
        };
        assert_eq!(asked(&range), ["192.168.2.0 <> <Postmaster>", "192.168.2.255 <> <Postmaster>"]);
    }

    #[test]
    fn what_is_missing_is_said() {
        for (form, said) in [
            ("address=printer&what=x&senders=a", "Address"),
            ("address=10.0.0.1&senders=a", "What it is"),
            ("address=10.0.0.1&what=x", "Senders"),
            ("address=10.0.0.1&what=x&senders=a%40b.example&recipients=these", "Recipients"),
            ("address=10.0.0.1&what=x&senders=a%40b.example&port=0", "Port"),
        ] {
            let problem = Device::read(&Fields::read(form.as_bytes())).expect_err(form);
            assert!(problem.starts_with(said), "{form}: {problem}");
        }
    }

    #[test]
    fn a_public_address_is_told_to_log_on() {
        let read = |address: &str| {
            Device::read(&Fields::read(format!("address={address}&what=x&senders=a%40b.example").as_bytes()))
        };
        for address in ["8.8.8.8", "0.0.0.0/0", "10.255.255.255-11.0.0.0", "::ffff:8.8.8.8", "2a00::/16"] {
            let problem = read(address).expect_err(address);
            assert!(problem.contains("is to log on"), "{address}: {problem}");
        }
        for address in ["127.0.0.2", "10.0.0.0/8", "192.168.2.1-192.168.2.99", "fd00::1"] {
            read(address).expect(address);
        }
    }

    #[test]
    fn what_holds_under_conditions_is_not_held() {
        let rows = [
            json!({"User": "NT AUTHORITY\\ANONYMOUS LOGON", "Deny": false, "ExtendedRights": ["a"]}),
            json!({"User": "NT AUTHORITY\\ANONYMOUS LOGON", "Deny": false, "ExtendedRights": ["b"], "Senders": ["x"]}),
            json!({"User": "NT AUTHORITY\\ANONYMOUS LOGON", "Deny": true, "ExtendedRights": ["c"]}),
            json!({"User": "alice", "Deny": false, "ExtendedRights": ["d"]}),
            json!({"User": "NT AUTHORITY\\ANONYMOUS LOGON", "Deny": false, "ExtendedRights": ["c"]}),
        ];
        assert_eq!(held(&rows), ["a"]);
    }
}
