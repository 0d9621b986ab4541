//! Let a device relay: one screen that asks what a person knows about a printer or an application, proposes the least that lets
//! its mail pass, and then waits for the device and shows what becomes of it.

mod waiting;
mod proposal;
mod excess;
mod hearing;
mod described;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use gatepost_policy::role::Role;

use self::described::Device;
use self::proposal::proposal;
use super::receive_connectors::place;
use crate::confirming::{Asked, BACK, Back, carried, confirm, is_seen};
use crate::fields::{Fields, path_part};
use crate::layout::{Answer, Page, show_as};
use crate::listening::usual_port;
use crate::mistake::{self, Mistake};
use crate::text::now_ms;
use crate::visit::{Console, Sent, Visit};

const AREA: &str = "/device";
/// The ports at which users log on: with STARTTLS, and with TLS from the first byte.
const SUBMISSION_PORTS: [u16; 2] = [587, 465];
/// How long an entry counts that an explanation proposes.
pub const PROPOSED_DAYS: u64 = 90;

/// The fields of the page.
const FIELDS: &mistake::Fields = &[
    ("address", "IP address", &["RemoteIPRanges", "remote_ip_ranges"]),
    ("what", "What it is", &["Name", "Comment", "name", "comment"]),
    ("port", "Port that it connects to", &["Bindings", "bindings"]),
    ("senders", "Senders", &["Senders", "senders"]),
    ("domains", "Recipients", &["Recipients", "recipients"]),
    ("owner", "Owner", &["EntryOwner", "owner"]),
    ("ticket", "Ticket", &["Ticket", "ticket"]),
    ("until", "Until", &["Expires", "expires"]),
];

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route("/device", get(ask).post(propose)).route("/device/waiting", get(waiting::wait))
}

#[derive(Template)]
#[template(path = "device.html")]
struct Form {
    page: Page,
    typed: Fields,
    may_change: bool,
    mistakes: Vec<Mistake>,
    /// Who came by a link has not chosen the day until which it holds.
    proposed_days: Option<u64>,
    port: String,
    /// The domain of each recipient that a link has proposed, where that is wider than the address.
    domains_offered: Vec<String>,
}

impl Form {
    fn recipients(&self) -> &str {
        self.typed.get("recipients").unwrap_or("own")
    }

    /// What is wrong with a field.
    fn wrong(&self, field: &str) -> Option<String> {
        mistake::wrong(&self.mistakes, field)
    }
}

async fn ask(visit: Visit) -> Answer {
    let typed = visit.query.clone();
    let port = match typed.get("port") {
        Some(port) => port.to_owned(),
        None => {
            // Where users hand in their mail, no device is to relay.
            let mut listeners = visit.client.status().await?.listeners;
            listeners.retain(|listener| !SUBMISSION_PORTS.contains(&listener.address.port()));
            usual_port(&listeners).to_string()
        }
    };
    form(visit, typed, StatusCode::OK, Vec::new(), port)
}

fn again(visit: Visit, typed: Fields, (status, mistakes): (StatusCode, Vec<Mistake>)) -> Answer {
    let port = typed.text("port").to_owned();
    // A domain that was ticked stands with those that were typed.
    let domains = typed.list("domains").join("\n");
    let typed = Fields::read(typed.with("domains", &domains).as_bytes());
    form(visit, typed, status, mistakes, port)
}

fn form(visit: Visit, typed: Fields, status: StatusCode, mistakes: Vec<Mistake>, port: String) -> Answer {
    let may_change = visit.may_send("/device");
    let proposed_days = visit.query.has("until").then_some(PROPOSED_DAYS);
    let domains_offered = match proposed_days {
        Some(_) => domains_of(&typed.list("domains")),
        None => Vec::new(),
    };
    let page = Page::new(visit, AREA, "Let a device relay");
    show_as(status, &Form { page, typed, may_change, mistakes, proposed_days, port, domains_offered })
}

/// The domains of addresses, as patterns of their own.
fn domains_of(addresses: &[String]) -> Vec<String> {
    let mut domains: Vec<String> =
        addresses.iter().filter_map(|address| Some(format!("*@{}", address.split_once('@')?.1))).collect();
    domains.retain(|domain| !addresses.contains(domain));
    domains.sort_unstable();
    domains.dedup();
    domains
}

#[derive(Template)]
#[template(path = "device_enough.html")]
struct Enough {
    page: Page,
    connector: String,
    connector_place: String,
    beyond: Vec<String>,
    can_narrow: bool,
    /// Entries that can be changed for all that hold them.
    edits: Vec<(String, String)>,
    carried: Vec<(String, String)>,
    waiting: String,
}

/// `POST /device`.
async fn propose(Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    if fields.has(BACK) {
        return again(visit, fields.without(&["narrow"]), (StatusCode::OK, Vec::new()));
    }
    let device = match Device::read(&fields) {
        Ok(device) => device,
        Err(mistakes) => return again(visit, fields, (StatusCode::UNPROCESSABLE_ENTITY, mistakes)),
    };
    let proposal = proposal(&visit, &device, fields.has("narrow")).await?;
    let waiting = format!(
        "/device/waiting?address={}&connector={}&since={}",
        path_part(&device.address),
        path_part(&proposal.connector),
        now_ms()
    );
    if let Some(reason) = proposal.refused.as_deref().filter(|_| proposal.change.0.is_empty()) {
        let problem = format!(
            "{} allows the device all this already, and refuses it for another reason: {reason}.",
            proposal.connector
        );
        return again(visit, fields, (StatusCode::UNPROCESSABLE_ENTITY, vec![Mistake::of_all(problem)]));
    }
    if proposal.change.0.is_empty() {
        if proposal.beyond.is_empty() {
            return Ok(visit.done(&waiting, "Nothing had to be changed: this device may do all that already."));
        }
        return show_as(
            StatusCode::OK,
            &Enough {
                carried: carried(&fields),
                page: Page::new(visit, AREA, format!("Let {} relay", device.what)),
                connector_place: place(&proposal.connector),
                connector: proposal.connector,
                beyond: proposal.beyond,
                can_narrow: proposal.can_narrow,
                edits: proposal.edits,
                waiting,
            },
        );
    }
    let preview = match proposal.change.look(&visit).await {
        Ok(preview) => preview,
        Err(error) => return again(visit, fields, Mistake::of(&error, FIELDS)),
    };
    if !is_seen(&fields, &preview) {
        let mut said = proposal.said;
        if !proposal.beyond.is_empty() && !proposal.is_new && !fields.has("narrow") {
            said.push(format!("Besides, this device may already {}.", proposal.beyond.join(", ")));
        }
        let asked = Asked {
            said,
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
    match proposal.change.make_as_shown(&visit, &preview).await {
        Ok(_) => Ok(visit.done(&waiting, "It is in force.")),
        Err(error) => again(visit, fields, Mistake::of(&error, FIELDS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_of_a_recipient_is_an_offer_unless_it_is_meant_already() {
        for (addresses, offered) in [
            (&["z@example.com", "y@example.com", "x@other.example"][..], "*@example.com *@other.example"),
            (&["z@example.com", "*@example.com"], ""),
            (&["*@example.com"], ""),
            (&["example.com"], ""),
            (&[], ""),
        ] {
            let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
            assert_eq!(domains_of(&addresses).join(" "), offered, "{addresses:?}");
        }
    }
}
