//! What a device needs: the least that lets its mail pass, by what the server says of its messages.

use gatepost_manage::resource::ExposureQuery;
use gatepost_policy::permission::{Right, Trustee};
use serde_json::{Value, json};

use super::described::{Device, Reach, is_same};
use super::excess::{LIMITS, SEND_TO, WRITE_AS, beyond, beyond_under_conditions};
use super::hearing::{Known, heard, is_of_family};
use crate::change::{Call, Change};
use crate::listening::{opened, port_of};
use crate::pages::receive_connectors::property::ANONYMOUS_USERS;
use crate::pages::receive_connectors::rights::{calls_without_entries_of, edits_of};
use crate::pages::receive_connectors::{text, texts};
use crate::problem::Problem;
use crate::text::now_ms;
use crate::visit::Visit;

/// The rows of an audit that are looked at for one device.
const ROWS_MAX: usize = 100;

/// What is proposed.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub connector: String,
    pub is_new: bool,
    pub change: Change,
    pub said: Vec<String>,
    /// Why the connector refuses the device as things stand.
    pub refused: Option<String>,
    /// What the device may do beyond what was asked for.
    pub beyond: Vec<String>,
    /// Whether that can be taken from it without taking it from others.
    pub can_narrow: bool,
    /// The entries that others hold these rights by, too: what each gives, and where it is changed.
    pub edits: Vec<(String, String)>,
}

impl Proposal {
    /// Nothing is to be done.
    fn nothing(connector: String) -> Proposal {
        Proposal {
            connector,
            is_new: false,
            change: Change(Vec::new()),
            said: Vec::new(),
            refused: None,
            beyond: Vec::new(),
            can_narrow: false,
            edits: Vec::new(),
        }
    }
}

/// What is to be done, by what the server says of the device's messages. `narrows`: what it may do beyond is to be taken from it.
///
/// # Errors
/// What the server says.
pub async fn proposal(visit: &Visit, device: &Device, narrows: bool) -> Result<Proposal, Problem> {
    let listeners = visit.client.status().await?.listeners;
    let heard = heard(visit, device, &listeners).await?;
    let query =
        ExposureQuery { address: Some(device.address.clone()), limit: Some(ROWS_MAX), ..ExposureQuery::default() };
    let exposures = visit.client.exposure(&query).await?.exposures;
    let mut beyond = beyond(device, &exposures);
    let own = heard.connectors.iter().find(|connector| is_same(&connector.range, &device.address));
    let rows = match own.or(heard.connectors.first()) {
        Some(connector) => visit.run("Get-ADPermission", json!({ "Identity": connector.name })).await?.output,
        None => Vec::new(),
    };
    // What it may do whatever it sends says more than the same under conditions.
    let limited = beyond_under_conditions(device, &exposures, &rows, now_ms()).into_iter().filter(|words| {
        let is_alike = |verb: &&str| words.starts_with(verb);
        let verb = [SEND_TO, WRITE_AS].into_iter().find(is_alike);
        verb.is_none_or(|verb| !beyond.iter().any(|known| known.starts_with(verb)))
    });
    let limited: Vec<String> = limited.collect();
    beyond.extend(limited);
    if own.is_none() {
        // As whom everybody may write there is no matter of this device.
        beyond.retain(|words| !words.starts_with(WRITE_AS));
    }
    // A wider connector's rights are others', too, and stay as they are: the device gets one of its own.
    let can_narrow = !beyond.is_empty()
        && own.is_none_or(|own| own.hears_alone(device) && own.taken_for.is_none() && own.denied.is_empty());
    let is_narrowed = narrows && can_narrow;
    if let Some(connector) = heard.connectors.first().filter(|_| heard.passes && !is_narrowed) {
        let edits = edits_of(&rows, &own.unwrap_or(connector).name, &Trustee::AnonymousLogon.to_string());
        return Ok(Proposal { beyond, can_narrow, edits, ..Proposal::nothing(connector.name.clone()) });
    }
    let alike =
        visit.run("Get-ReceiveConnectorStatistics", json!({ "Search": device.what, "ResultSize": 1000 })).await?;
    let names: Vec<String> = alike.output.iter().map(|record| text(&record["Name"])).collect();
    let mut plan = least(device, &heard.connectors, &names, &[]);
    if plan.is_new {
        let bindings = plan.change.0.iter().flat_map(|call| call.parameters.get("Bindings")).flat_map(texts);
        plan.said.extend(opened(&bindings.collect::<Vec<_>>(), &listeners));
        plan.said.extend(heard.elsewhere);
        return Ok(plan);
    }
    if let Some(own) = own.filter(|_| is_narrowed) {
        let mut calls = cleared(own, &rows);
        calls.extend(plan.change.0);
        let said = vec![format!(
            "Everything that {} allows strangers is taken away, and what the device needs is given instead.",
            own.name
        )];
        return Ok(Proposal { change: Change(calls), said, ..plan });
    }
    let extended = least(device, &heard.connectors, &names, &held(&rows));
    Ok(Proposal { refused: heard.reason, beyond, can_narrow, ..extended })
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
            if !own.hears_alone(device) {
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
    Proposal { is_new: own.is_none(), change: Change(calls), said, ..Proposal::nothing(connector) }
}

/// What takes everything else from a connector that hears the device alone, so that what it needs can be given instead: the group that
/// gives rights to strangers, and every entry for them.
fn cleared(own: &Known, rows: &[Value]) -> Vec<Call> {
    let mut calls = Vec::new();
    if own.groups.iter().any(|group| group == ANONYMOUS_USERS) {
        // Custom is no group: it says that there are entries.
        let is_kept = |group: &&String| !matches!(group.as_str(), ANONYMOUS_USERS | "Custom" | "None");
        let kept: Vec<&str> = own.groups.iter().filter(is_kept).map(String::as_str).collect();
        let kept = if kept.is_empty() { vec!["None"] } else { kept };
        calls.push(Call::new("Set-ReceiveConnector", json!({ "Identity": own.name, "PermissionGroups": kept })));
    }
    calls.extend(calls_without_entries_of(rows, &own.name, &Trustee::AnonymousLogon.to_string()));
    calls
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

/// What anonymous peers hold, whatever they send, until nobody says otherwise.
fn held(rows: &[Value]) -> Vec<String> {
    let anonymous = Trustee::AnonymousLogon.to_string();
    let plain = rows.iter().filter(|row| {
        row["User"] == anonymous.as_str() && row["Deny"] != true && LIMITS.iter().all(|name| row[*name].is_null())
    });
    let denied = rows.iter().filter(|row| row["User"] == anonymous.as_str() && row["Deny"] == true);
    let denied: Vec<String> = denied.flat_map(|row| texts(&row["ExtendedRights"])).collect();
    plain.flat_map(|row| texts(&row["ExtendedRights"])).filter(|right| !denied.contains(right)).collect()
}

/// A name that is not taken.
fn free_name(what: &str, names: &[String]) -> String {
    let is_taken = |name: &str| names.iter().any(|taken| taken.to_lowercase() == name.to_lowercase());
    let numbered = (2..).map(|number| format!("{what} {number}"));
    std::iter::once(what.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
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

    fn known(name: &str, binding: &str, ranges: &[&str]) -> Known {
        let ranges: Vec<String> = ranges.iter().map(|range| (*range).to_owned()).collect();
        Known {
            name: name.to_owned(),
            range: ranges[0].clone(),
            bindings: vec![binding.to_owned()],
            ranges,
            denied: Vec::new(),
            taken_for: None,
            groups: Vec::new(),
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

    #[test]
    fn a_connector_of_the_devices_own_is_cleared_of_what_strangers_hold() {
        let own = Known {
            groups: ["AnonymousUsers", "ExchangeUsers", "Custom"].map(str::to_owned).to_vec(),
            ..known("Floor", "0.0.0.0:25", &["192.168.2.55"])
        };
        let entry = |user: &str, deny: bool, group: Value| json!({"User": user, "Deny": deny, "ExtendedRights": ["ms-Exch-SMTP-Accept-Any-Recipient"], "PermissionGroup": group});
        let anonymous = "NT AUTHORITY\\ANONYMOUS LOGON";
        let rows = [
            entry(anonymous, false, json!("AnonymousUsers")),
            entry(anonymous, false, Value::Null),
            entry(anonymous, true, Value::Null),
            entry("alice", false, Value::Null),
        ];
        let lines: Vec<String> = cleared(&own, &rows).iter().map(Call::line).collect();
        assert_eq!(
            lines,
            [
                "Set-ReceiveConnector \"Floor\" -PermissionGroups ExchangeUsers",
                "Get-ReceiveConnector \"Floor\" | Remove-ADPermission -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights \"ms-Exch-SMTP-Accept-Any-Recipient\"",
            ]
        );
        let alone = Known { groups: vec!["AnonymousUsers".to_owned()], ..own };
        let lines: Vec<String> = cleared(&alone, &[]).iter().map(Call::line).collect();
        assert_eq!(lines, ["Set-ReceiveConnector \"Floor\" -PermissionGroups None"]);
    }
}
