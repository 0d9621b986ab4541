//! What a server says of a device's messages as things stand: which connector hears it, and whether they pass.

use gatepost_manage::ClientError;
use gatepost_manage::asked::ExplanationQuery;
use gatepost_manage::explained::{Explained, ExplainedConnector, ExplainedRight};
use gatepost_manage::resource::Listener;
use gatepost_policy::permission::Trustee;
use gatepost_policy::receive_connector::RemoteRange;
use serde_json::{Value, json};

use super::described::{Device, Reach, is_same};
use crate::listening::port_of;
use crate::pages::receive_connectors::properties::record;
use crate::pages::receive_connectors::{text, texts};
use crate::problem::Problem;
use crate::visit::Visit;

/// More places to connect to are not asked about.
const LOCALS_MAX: usize = 16;
/// More messages of one device are not asked about.
const QUESTIONS_MAX: usize = 8;
/// Somebody who is surely none of ours. Nothing is sent there.
const OUTSIDE: &str = "somebody@gatepost-asks-whether.net";

/// A connector that hears the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: String,
    /// The range by which it does.
    pub(super) range: String,
    pub(super) bindings: Vec<String>,
    pub(super) ranges: Vec<String>,
    /// What its entries deny the device.
    pub(super) denied: Vec<String>,
    /// Whom it takes the device for, where that is not an anonymous peer.
    pub(super) taken_for: Option<String>,
    pub(super) groups: Vec<String>,
}

impl Known {
    /// Whether it hears the device and nobody else.
    pub(super) fn hears_alone(&self, device: &Device) -> bool {
        matches!(&self.ranges[..], [only] if is_same(only, &device.address))
    }

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
            groups: texts(&record["PermissionGroups"]),
        }
    }
}

/// What the server says of the device's messages as things stand.
#[derive(Default)]
pub(super) struct Heard {
    /// The connectors that hear it.
    pub(super) connectors: Vec<Known>,
    /// Whether all that was asked is accepted, by connectors that decide about all of its addresses.
    pub(super) passes: bool,
    /// Why its own connector refuses it.
    pub(super) reason: Option<String>,
    /// What hears this very address, but at other ports, as sentences.
    pub(super) elsewhere: Vec<String>,
}

pub(super) async fn heard(visit: &Visit, device: &Device, listeners: &[Listener]) -> Result<Heard, Problem> {
    let mut heard = Heard { passes: true, ..Heard::default() };
    let first = device.first_address();
    let knowing = json!({ "Search": first, "ResultSize": "unlimited" });
    let knowing = visit.run("Get-ReceiveConnectorStatistics", knowing).await?.output;
    heard.elsewhere = knowing.iter().filter_map(|record| elsewhere(device, record)).collect();
    for local in locals(device, listeners, &knowing) {
        let questions = questions(device, &local);
        heard.passes &= questions.len() <= QUESTIONS_MAX;
        for (place, question) in questions.iter().enumerate().take(QUESTIONS_MAX) {
            // What is refused once is not asked again; who hears it is asked everywhere.
            if place > 0 && !heard.passes {
                break;
            }
            let explained = explanation(visit, question).await?;
            let found = explained.as_ref().and_then(|explained| Some((explained, hearer(device, explained)?)));
            let Some((explained, connector)) = found else {
                heard.passes = false;
                continue;
            };
            let is_own = is_same(connector.range.as_deref().unwrap_or_default(), &device.address);
            let decides = connector.fate == "won" && (is_own || device.is_one_address());
            heard.passes &= explained.accepted && decides;
            heard.reason = heard.reason.or_else(|| explained.reason.clone().filter(|_| is_own && decides));
            if !heard.connectors.iter().any(|known| known.name == connector.name) {
                let record = record(visit, &connector.name).await?;
                heard.connectors.push(Known::of(&record, connector, explained));
            }
        }
    }
    Ok(heard)
}

/// Where the device may connect to: everywhere that the server listens at its port, in its family, and each address that a connector which
/// knows it is bound to, though the same socket may hear that; else any to its port.
fn locals(device: &Device, listeners: &[Listener], knowing: &[Value]) -> Vec<String> {
    let bindings = knowing.iter().filter(|record| record["Enabled"] == true);
    let bindings = bindings.flat_map(|record| texts(&record["Bindings"]));
    let addresses = listeners.iter().map(|listener| listener.address.to_string()).chain(bindings);
    let is_one = |binding: &String| port_of(binding) == Some(device.port) && is_of_family(binding, &device.address);
    let mut locals: Vec<String> = addresses.filter(is_one).collect();
    locals.sort_unstable();
    locals.dedup();
    locals.truncate(LOCALS_MAX);
    if locals.is_empty() { vec![device.port.to_string()] } else { locals }
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

/// What the server says to a question; none where it cannot be asked: nobody listens there, or an address is none.
async fn explanation(visit: &Visit, question: &ExplanationQuery) -> Result<Option<Explained>, Problem> {
    match visit.client.explanation(question).await {
        Ok(explained) => Ok(Some(explained)),
        Err(ClientError::Refused { status: 400, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The connector that decides about the device, by its own range or else by a wider one. Parts of a range may be heard by others.
fn hearer<'a>(device: &Device, explained: &'a Explained) -> Option<&'a ExplainedConnector> {
    let of_fate = |fate: &'static str| explained.connectors.iter().filter(move |connector| connector.fate == fate);
    let is_own = |connector: &&ExplainedConnector| {
        connector.range.as_deref().is_some_and(|range| is_same(range, &device.address))
    };
    of_fate("won").chain(of_fate("less_specific")).find(is_own).or_else(|| of_fate("won").next())
}

/// What is said of a connector that hears this very address at other ports alone.
fn elsewhere(device: &Device, record: &Value) -> Option<String> {
    let bindings = texts(&record["Bindings"]);
    let is_own = texts(&record["RemoteIPRanges"]).iter().any(|range| is_same(range, &device.address));
    let is_here = bindings.iter().any(|binding| port_of(binding) == Some(device.port));
    let is_told = record["Enabled"] == true && is_own && !is_here;
    is_told.then(|| format!("{} hears this address already, at {}.", text(&record["Name"]), bindings.join(", ")))
}

pub(super) fn is_of_family(binding: &str, address: &str) -> bool {
    binding.starts_with('[') == address.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;

    const FORM: &str =
        "address=192.168.2.55&what=Scanner&owner=anna%40contoso.com&ticket=CHG-1&senders=scan%40contoso.com&port=25";

    fn device(more: &str) -> Device {
        Device::read(&Fields::read(format!("{FORM}&{more}").as_bytes())).expect("whole")
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
    fn a_device_may_connect_wherever_somebody_listens_or_is_bound() {
        let listener = |address: &str| Listener { address: address.parse().expect("an address"), implicit_tls: false };
        let listeners = [listener("0.0.0.0:25"), listener("[::]:25"), listener("0.0.0.0:587")];
        let record = |binding: &str, enabled: bool| json!({"Enabled": enabled, "Bindings": [binding]});
        let knowing = [record("10.0.0.5:25", true), record("10.0.0.6:25", false), record("0.0.0.0:25", true)];
        assert_eq!(locals(&device("recipients=own"), &listeners, &knowing), ["0.0.0.0:25", "10.0.0.5:25"]);
        let other = Device { port: 26, ..device("recipients=own") };
        assert_eq!(locals(&other, &listeners, &knowing), ["26"]);
    }

    #[test]
    fn a_connector_that_hears_the_device_at_another_port_is_told() {
        let record = |enabled: bool, binding: &str, range: &str| json!({"Name": "Floor", "Enabled": enabled, "Bindings": [binding], "RemoteIPRanges": [range]});
        let device = device("recipients=own");
        assert_eq!(
            elsewhere(&device, &record(true, "0.0.0.0:2525", "192.168.2.55")).as_deref(),
            Some("Floor hears this address already, at 0.0.0.0:2525.")
        );
        for record in [
            record(true, "0.0.0.0:25", "192.168.2.55"),
            record(false, "0.0.0.0:2525", "192.168.2.55"),
            record(true, "0.0.0.0:2525", "192.168.2.0/24"),
        ] {
            assert_eq!(elsewhere(&device, &record), None, "{record}");
        }
    }
}
