//! Get-ReceiveConnectorStatistics: what a list of connectors is read for. Who may relay, who came last, how much is taken.
//!
//! Answers by pages: a server may have ten thousand connectors, and only those of the page are looked at closely.

use std::net::IpAddr;
use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_policy::audit::{Standing, standings};
use gatepost_policy::note::instant;
use gatepost_policy::receive_connector::{ReceiveConnector, RemoteRange};
use gatepost_policy::relay::Reach;
use gatepost_shell::command::{Changes, Kind, Signature};
use gatepost_shell::value::View;

use super::super::parameter::{DOMAIN_CONTROLLER, at, named};
use super::super::{Answer, CommandError, Invocation};
use super::search;
use super::shape::{identity, unlimited};
use crate::clock::now_ms;
use crate::object::PropertyKind::{Bool, Identity, Int, List, Size, Text, Time, Unlimited};
use crate::object::{Record, Shape, Usual, property};

/// Connectors of one answer, where the caller does not say.
const LISTED: usize = 1000;

static VIEW: View = View {
    type_name: "Gatepost.ReceiveConnectorStatistics",
    table: &["Name", "Enabled", "RelayedFor", "Connections", "LastConnection"],
    identity: "Identity",
};

/// A receive connector as a list shows it.
pub(super) static SHAPE: Shape = Shape {
    name: "ReceiveConnectorStatistics",
    view: &VIEW,
    properties: &[
        property("Name", "name", Text, Usual::Null),
        property("Enabled", "enabled", Bool, Usual::Bool(true)),
        property("Bindings", "bindings", List(&Text), Usual::Texts(&[])),
        property("RemoteIPRanges", "remote_ip_ranges", List(&Text), Usual::Texts(&[])),
        property("RelayedFor", "relayed_for", List(&Text), Usual::Texts(&[])),
        property("RelaysWithoutLogon", "relays_without_logon", Bool, Usual::Bool(false)),
        property("Connections", "connections", Int, Usual::Int(0)),
        property("LastConnection", "last_connection", Time, Usual::Null),
        property("MaxMessageSize", "max_message_size", Size, Usual::Null),
        property("MaxRecipientsPerMessage", "max_recipients_per_message", Int, Usual::Null),
        property("MaxInboundConnectionPerSource", "max_inbound_connection_per_source", Unlimited(&Int), Usual::Null),
        property("MessageRateLimit", "message_rate_limit", Unlimited(&Int), Usual::Text("unlimited")),
        property("Found", "found", Int, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

pub(super) static GET: Signature = Signature {
    name: "Get-ReceiveConnectorStatistics",
    aliases: &[],
    synopsis: "Shows of each receive connector, by name, for whom it relays, who came last and how much it takes. Not of Exchange.",
    parameters: &[
        at(
            0,
            named("Identity", Kind::Identity, "Which: a name, SERVER\\Name, or a name with wildcards; all without it."),
        ),
        named(
            "Search",
            Kind::Text,
            "Only those with this in name, comment, bindings or ranges; an IP address finds all that hear it.",
        ),
        named("BookmarkIndex", Kind::Int, "Begins with this one of them, counted from 1."),
        named(
            "ResultSize",
            Kind::UnlimitedInt,
            "So many at most; 1000 without it; `unlimited`. Found says how many there are.",
        ),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        (
            "Get-ReceiveConnectorStatistics -Search 192.168.2.55 | Format-List Name,RemoteIPRanges,RelayedFor",
            "Shows which connectors hear an address, and for whom they relay.",
        ),
        (
            "Get-ReceiveConnectorStatistics | Where-Object { $_.RelaysWithoutLogon -and -not $_.LastConnection }",
            "Lists relays that nobody has used since the server was started.",
        ),
    ],
};

pub(super) async fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let (settings, arguments) = (&invocation.settings, &invocation.arguments);
    let mut found: Vec<&Arc<ReceiveConnector>> = match arguments.text("Identity") {
        None => settings.receive_connectors.iter().collect(),
        Some(identity) => search(settings, identity)?,
    };
    if let Some(wanted) = arguments.text("Search").map(Wanted::new) {
        found.retain(|connector| wanted.is_in(connector));
    }
    found.sort_by_cached_key(|connector| connector.name.to_lowercase());
    let first = match arguments.number("BookmarkIndex") {
        Some(0) => return Err(CommandError::Wrong("-BookmarkIndex counts from 1".to_owned())),
        Some(first) => usize::try_from(first - 1).unwrap_or(usize::MAX),
        None => 0,
    };
    let most = match arguments.get("ResultSize") {
        None => LISTED,
        Some(_) => arguments.number("ResultSize").map_or(usize::MAX, |most| most.try_into().unwrap_or(usize::MAX)),
    };
    let now_ms = now_ms();
    let page = found.iter().skip(first).take(most);
    let records = page.map(|connector| {
        let visits = invocation.control.visits(&connector.name);
        record(settings, connector, now_ms)
            .with("Connections", visits.map_or(0, |visits| visits.connections))
            .with("LastConnection", visits.map(|visits| instant(visits.last_ms)))
            .with("Found", found.len())
    });
    Ok(Answer::of(records.collect()))
}

/// What somebody looks for.
struct Wanted {
    text: String,
    address: Option<IpAddr>,
}

impl Wanted {
    fn new(text: &str) -> Wanted {
        Wanted { text: text.trim().to_lowercase(), address: text.trim().parse().ok() }
    }

    fn is_in(&self, connector: &ReceiveConnector) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.text);
        let hears = |range: &RemoteRange| match self.address {
            Some(address) => range.contains(address),
            None => has(&range.to_string()),
        };
        has(&connector.name)
            || has(&connector.comment)
            || connector.remote_ip_ranges.iter().any(hears)
            || connector.bindings.iter().any(|binding| has(&binding.address.to_string()))
    }
}

fn record(settings: &Settings, connector: &ReceiveConnector, now_ms: u64) -> Record {
    let all = standings(connector, settings, now_ms);
    let relayed = all.iter().filter_map(relayed_for);
    let without_logon = all.iter().filter(|standing| relayed_for(standing).is_some());
    let texts = |texts: Vec<String>| serde_json::Value::from(texts);
    Record::of(&SHAPE)
        .with("Name", &*connector.name)
        .with("Enabled", connector.enabled)
        .with("Bindings", texts(connector.bindings.iter().map(|binding| binding.address.to_string()).collect()))
        .with("RemoteIPRanges", texts(connector.remote_ip_ranges.iter().map(RemoteRange::to_string).collect()))
        .with("RelayedFor", texts(relayed.collect()))
        .with("RelaysWithoutLogon", without_logon.into_iter().any(|standing| standing.who.is_unauthenticated()))
        .with("MaxMessageSize", connector.max_message_size)
        .with("MaxRecipientsPerMessage", connector.max_recipients_per_message)
        .with("MaxInboundConnectionPerSource", unlimited(connector.max_inbound_connection_per_source))
        .with("MessageRateLimit", unlimited(connector.message_rate_limit))
        .with("Identity", identity(&settings.server.name, &connector.name))
}

/// Who they are, where they may send to any recipient, or to some that are not ours.
fn relayed_for(standing: &Standing) -> Option<String> {
    let capability = standing.capability.as_ref().filter(|capability| capability.reach == Reach::AnyRecipient)?;
    Some(format!("{}{}", standing.who, if capability.relays_under_terms() { ", under conditions" } else { "" }))
}

#[cfg(test)]
mod tests {
    use gatepost_policy::settings::{Defaults, parse};

    use super::*;

    const DOCUMENT: &str = r#"
[server]
name = "mx1.contoso.com"
[[accepted_domain]]
name = "contoso.com"
[[receive_connector]]
name = "Default"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
permission_groups = ["AnonymousUsers"]
[[receive_connector]]
name = "Trusted"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["10.0.0.1-10.0.0.9"]
auth_mechanism = ["ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
[[receive_connector]]
name = "Scanner"
comment = "third floor"
bindings = ["10.0.0.250:2525"]
remote_ip_ranges = ["10.0.0.55"]
permission_groups = ["AnonymousUsers"]
[[receive_connector.permission]]
user = "NT AUTHORITY\\ANONYMOUS LOGON"
extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
recipients = ["*@partner.example"]
"#;

    fn settings() -> Settings {
        parse(DOCUMENT, &Defaults { host_name: "x".to_owned(), data_dir: "x".into() }).expect("a sound document")
    }

    #[test]
    fn a_connector_says_for_whom_it_relays() {
        let settings = settings();
        let relayed = settings.receive_connectors.iter().map(|connector| {
            let record = record(&settings, connector, 0);
            let of = |name: &str| {
                record.properties().find(|(property, _)| property.name == name).expect(name).1.into_owned()
            };
            (of("RelayedFor"), of("RelaysWithoutLogon"))
        });
        let expected = [
            (serde_json::json!([]), false),
            (serde_json::json!(["externally secured"]), true),
            (serde_json::json!(["anonymous, under conditions"]), true),
        ];
        let expected = expected.map(|(who, without)| (who, serde_json::Value::from(without)));
        assert_eq!(relayed.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_address_finds_those_that_hear_it_and_a_word_those_that_say_it() {
        let settings = settings();
        for (wanted, expected) in [
            ("10.0.0.5", &["Default", "Trusted"][..]),
            ("10.0.0.55-", &[]),
            ("10.0.0.7", &["Default", "Trusted"]),
            ("::ffff:10.0.0.55", &["Default", "Scanner"]),
            (" THIRD floor ", &["Scanner"]),
            (":2525", &["Scanner"]),
            ("nothing", &[]),
        ] {
            let wanted_in = Wanted::new(wanted);
            let found = settings.receive_connectors.iter().filter(|connector| wanted_in.is_in(connector));
            assert_eq!(found.map(|connector| &*connector.name).collect::<Vec<_>>(), expected, "{wanted}");
        }
    }
}
