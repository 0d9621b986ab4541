//! Let a device relay: one screen that asks what a person knows about a printer or an application, proposes the least that lets
//! its mail pass, and then waits for the device and shows what becomes of it.

use std::net::SocketAddr;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use gatepost_manage::decision::Outcome;
use gatepost_manage::trace::{TraceEntry, TraceQuery, TraceVerdict};
use gatepost_policy::permission::{Right, Trustee};
use gatepost_policy::public_address;
use gatepost_policy::receive_connector::RemoteRange;
use gatepost_policy::role::Role;
use serde_json::{Value, json};

use super::receive_connectors::properties::{Asked, Back, CONFIRMED, confirm, refusal};
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
    bindings: Vec<String>,
    ranges: Vec<String>,
}

/// What is proposed.
#[derive(Clone, Debug, PartialEq)]
struct Proposal {
    connector: String,
    is_new: bool,
    change: Change,
    said: Vec<String>,
}

/// The least that lets the device's mail pass. `known` are the enabled connectors that hear it, `names` those that are taken, `held`
/// what anonymous peers hold on the connector that hears it alone, whatever they send.
fn least(device: &Device, known: &[Known], names: &[String], held: &[String]) -> Proposal {
    let on_port = |connector: &&Known| connector.bindings.iter().any(|binding| port_of(binding) == Some(device.port));
    let heard: Vec<&Known> = known.iter().filter(on_port).collect();
    let exact = |connector: &&&Known| connector.ranges.iter().any(|range| is_same(range, &device.address));
    let own = heard.iter().find(exact);
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
    Proposal { connector, is_new: own.is_none(), change: Change(calls), said }
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

/// What the server knows that a proposal rests on.
async fn proposal(visit: &Visit, device: &Device) -> Result<Proposal, Problem> {
    let first = first_address(&device.address);
    let hearing = visit.run("Get-ReceiveConnectorStatistics", json!({ "Search": first, "ResultSize": 200 })).await?;
    let hears = |record: &&Value| {
        let hears = |range: &String| {
            let range = RemoteRange::parse(range, 0..0).ok();
            range.is_some_and(|range| first.parse().is_ok_and(|address| range.contains(address)))
        };
        record["Enabled"] == true && texts(&record["RemoteIPRanges"]).iter().any(hears)
    };
    let known: Vec<Known> = hearing
        .output
        .iter()
        .filter(hears)
        .map(|record| Known {
            name: text(&record["Name"]),
            bindings: texts(&record["Bindings"]),
            ranges: texts(&record["RemoteIPRanges"]),
        })
        .collect();
    let alike =
        visit.run("Get-ReceiveConnectorStatistics", json!({ "Search": device.what, "ResultSize": 1000 })).await?;
    let names: Vec<String> = alike.output.iter().map(|record| text(&record["Name"])).collect();
    let plan = least(device, &known, &names, &[]);
    if plan.is_new {
        return Ok(plan);
    }
    let rows = visit.run("Get-ADPermission", json!({ "Identity": plan.connector })).await?.output;
    Ok(least(device, &known, &names, &held(&rows)))
}

/// What anonymous peers hold, whatever they send, until nobody says otherwise.
fn held(rows: &[Value]) -> Vec<String> {
    let anonymous = Trustee::AnonymousLogon.to_string();
    let bound = ["Senders", "Recipients", "Hours", "MessagesPerHour", "Expires"];
    let plain = rows.iter().filter(|row| {
        row["User"] == anonymous.as_str() && row["Deny"] != true && bound.iter().all(|name| row[*name].is_null())
    });
    plain.flat_map(|row| texts(&row["ExtendedRights"])).collect()
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
        let ranges = ranges.iter().map(|range| (*range).to_owned()).collect();
        Known { name: name.to_owned(), bindings: vec![binding.to_owned()], ranges }
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
        // Who listens at another port does not hear it.
        let elsewhere = [known("Floor", "0.0.0.0:2525", &["192.168.2.55"])];
        assert!(least(&device("recipients=own"), &elsewhere, &["scanner".to_owned()], &[]).connector == "Scanner 2");
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
        ];
        assert_eq!(held(&rows), ["a"]);
    }
}
