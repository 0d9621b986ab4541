//! What a device needs: the least that lets its mail pass, by what the server says of its messages.

use gatepost_manage::ClientError;
use gatepost_manage::asked::ExplanationQuery;
use gatepost_manage::explained::{Explained, ExplainedConnector, ExplainedRight};
use gatepost_manage::resource::{ExposedRow, ExposureQuery, Listener};
use gatepost_policy::permission::{Right, Trustee};
use gatepost_policy::receive_connector::RemoteRange;
use serde_json::{Value, json};

use super::described::{Device, Reach, is_same};
use crate::change::{Call, Change};
use crate::listening::{opened, port_of};
use crate::pages::receive_connectors::properties::record;
use crate::pages::receive_connectors::property::ANONYMOUS_USERS;
use crate::pages::receive_connectors::rights::calls_without_entries_of;
use crate::pages::receive_connectors::{instant_ms, text, texts};
use crate::problem::Problem;
use crate::text::now_ms;
use crate::visit::Visit;

/// More places to connect to are not asked about.
const LOCALS_MAX: usize = 16;
/// More messages of one device are not asked about.
const QUESTIONS_MAX: usize = 8;
/// Somebody who is surely none of ours. Nothing is sent there.
const OUTSIDE: &str = "somebody@gatepost-asks-whether.net";
/// How words about senders begin.
const WRITE_AS: &str = "write as";
/// How words about recipients begin.
const SEND_TO: &str = "send to";
/// The terms that limit an entry.
const LIMITS: [&str; 5] = ["Senders", "Recipients", "Hours", "MessagesPerHour", "Expires"];
/// More patterns than these are counted, not told.
const PATTERNS_MAX: usize = 3;
/// The rows of an audit that are looked at for one device.
const ROWS_MAX: usize = 100;

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
    groups: Vec<String>,
}

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
        }
    }
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

/// The rows of the audit that are about the device: without logging in, at its port.
fn of_device<'a>(device: &Device, rows: &'a [ExposedRow]) -> impl Iterator<Item = &'a ExposedRow> {
    let port = device.port;
    let is_unauthenticated = |row: &&ExposedRow| matches!(row.who.as_str(), "anonymous" | "externally secured");
    rows.iter()
        .filter(is_unauthenticated)
        .filter(move |row| row.listeners.iter().any(|listener| listener.port() == port))
}

/// What the device may do under conditions that are wider than what was asked for: by the `entries` of the connector that hears it, as far
/// as the rows of the audit say that they count.
fn beyond_under_conditions(device: &Device, rows: &[ExposedRow], entries: &[Value], now_ms: u64) -> Vec<String> {
    let anonymous = Trustee::AnonymousLogon.to_string();
    let counts = |right: &String| of_device(device, rows).any(|row| row.conditional_rights.contains(right));
    let is_limited = |entry: &&Value| {
        entry["User"] == anonymous.as_str()
            && entry["Deny"] != true
            && LIMITS.iter().any(|name| !entry[*name].is_null())
            && instant_ms(&entry["Expires"]).is_none_or(|expires_ms| expires_ms > now_ms)
    };
    let mut told: Vec<String> = Vec::new();
    for entry in entries.iter().filter(is_limited) {
        let rights: Vec<String> = texts(&entry["ExtendedRights"]).into_iter().filter(counts).collect();
        let gives = |right: Right| rights.iter().any(|held| held == right.exchange_name());
        let recipients = match &device.reach {
            Reach::Own => Some(&[][..]),
            Reach::These(recipients) => Some(&recipients[..]),
            Reach::Anywhere => None,
        };
        let gives_senders = gives(Right::AcceptAnySender) || gives(Right::AcceptAuthoritativeDomainSender);
        let senders = Some(&device.senders[..]).filter(|_| !device.sends_as_anyone());
        for (verb, term, asked) in [
            (SEND_TO, "Recipients", recipients.filter(|_| gives(Right::AcceptAnyRecipient))),
            (WRITE_AS, "Senders", senders.filter(|_| gives_senders)),
        ] {
            let words = asked.and_then(|asked| wider(&entry[term], asked));
            let words = words.map(|words| format!("{verb} {words} under conditions"));
            told.extend(words.filter(|words| !told.contains(words)));
        }
    }
    told
}

/// Whom a term of an entry takes in besides those that were asked for.
fn wider(term: &Value, asked: &[String]) -> Option<String> {
    if term.is_null() {
        return Some("anyone".to_owned());
    }
    // A domain alone stands for every address in it.
    let whole = |pattern: &String| {
        let is_domain = !pattern.contains('@') && pattern != "<>";
        if is_domain { format!("*@{pattern}").to_lowercase() } else { pattern.to_lowercase() }
    };
    let is_asked = |pattern: &String| {
        let pattern = whole(pattern);
        asked.iter().map(whole).any(|asked| {
            let domain =
                asked.strip_prefix('*').filter(|domain| domain.starts_with('@') && !domain.contains(['*', '?']));
            asked == pattern || asked == "*@*" || domain.is_some_and(|domain| pattern.ends_with(domain))
        })
    };
    let besides: Vec<String> = texts(term).into_iter().filter(|pattern| !is_asked(pattern)).collect();
    match besides.len() {
        0 => None,
        1..=PATTERNS_MAX => Some(besides.join(" and ")),
        more => Some(format!("{} and {} more", besides[..PATTERNS_MAX].join(" and "), more - PATTERNS_MAX)),
    }
}

/// What the device may do, whatever it sends, beyond what was asked for: by the rows of the audit that hold its address.
fn beyond(device: &Device, rows: &[ExposedRow]) -> Vec<String> {
    let mut beyond: Vec<&str> = Vec::new();
    let sends_as_anyone = device.sends_as_anyone();
    for row in of_device(device, rows) {
        let holds = |right: Right| {
            let is_it = |held: &String| held == right.exchange_name();
            row.rights.iter().any(is_it) && !row.conditional_rights.iter().any(is_it)
        };
        let words = [
            (holds(Right::AcceptAnyRecipient) && device.reach != Reach::Anywhere, "send to anyone"),
            (holds(Right::AcceptAnySender) && !sends_as_anyone, "write as anybody elsewhere"),
            (
                holds(Right::AcceptAuthoritativeDomainSender) && !sends_as_anyone,
                "write as any address of our own domains",
            ),
            (row.internal, "count as internal"),
            (row.bypasses_anti_spam, "pass the filters unseen"),
        ];
        beyond.extend(words.into_iter().filter(|(is_so, _)| *is_so).map(|(_, words)| words));
    }
    let mut told: Vec<String> = Vec::new();
    for words in beyond {
        if !told.iter().any(|known| known == words) {
            told.push(words.to_owned());
        }
    }
    told
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
    /// Whether it hears the device and nobody else.
    fn hears_alone(&self, device: &Device) -> bool {
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

/// What the server says to a question; none where it cannot be asked: nobody listens there, or an address is none.
async fn explanation(visit: &Visit, question: &ExplanationQuery) -> Result<Option<Explained>, Problem> {
    match visit.client.explanation(question).await {
        Ok(explained) => Ok(Some(explained)),
        Err(ClientError::Refused { status: 400, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
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

/// What the server says of the device's messages as things stand.
#[derive(Default)]
struct Heard {
    /// The connectors that hear it.
    connectors: Vec<Known>,
    /// Whether all that was asked is accepted, by connectors that decide about all of its addresses.
    passes: bool,
    /// Why its own connector refuses it.
    reason: Option<String>,
    /// What hears this very address, but at other ports, as sentences.
    elsewhere: Vec<String>,
}

/// What is said of a connector that hears this very address at other ports alone.
fn elsewhere(device: &Device, record: &Value) -> Option<String> {
    let bindings = texts(&record["Bindings"]);
    let is_own = texts(&record["RemoteIPRanges"]).iter().any(|range| is_same(range, &device.address));
    let is_here = bindings.iter().any(|binding| port_of(binding) == Some(device.port));
    let is_told = record["Enabled"] == true && is_own && !is_here;
    is_told.then(|| format!("{} hears this address already, at {}.", text(&record["Name"]), bindings.join(", ")))
}

async fn heard(visit: &Visit, device: &Device, listeners: &[Listener]) -> Result<Heard, Problem> {
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
        return Ok(Proposal { beyond, can_narrow, ..Proposal::nothing(connector.name.clone()) });
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

    fn row(who: &str, port: u16, rights: &[&str], conditional: &[&str]) -> ExposedRow {
        let row = json!({
            "who": who, "level": "open", "sources": "", "ranges": [], "ranges_total": 0, "public": false,
            "listeners": [format!("0.0.0.0:{port}")], "connectors": [], "connectors_total": 0, "senders": "any",
            "internal": rights.contains(&"internal"), "bypasses_anti_spam": false, "message_bytes_max": null,
            "tls_required": false, "rights": rights, "conditional_rights": conditional, "from_ms": null, "until_ms": null,
        });
        serde_json::from_value(row).expect("whole")
    }

    #[test]
    fn what_a_device_may_do_beyond_what_it_needs_is_told() {
        const RELAY: &str = "ms-Exch-SMTP-Accept-Any-Recipient";
        const SENDER: &str = "ms-Exch-SMTP-Accept-Any-Sender";
        for (form, rows, said) in [
            (
                "recipients=own",
                vec![row("anonymous", 25, &[RELAY, SENDER], &[])],
                "send to anyone, write as anybody elsewhere",
            ),
            ("recipients=anywhere", vec![row("anonymous", 25, &[RELAY], &[])], ""),
            ("recipients=anywhere&senders=*", vec![row("anonymous", 25, &[SENDER], &[])], ""),
            // Under conditions it is told elsewhere; logged in it is another; at another port it is not asked about.
            ("recipients=own", vec![row("anonymous", 25, &[RELAY], &[RELAY])], ""),
            ("recipients=own", vec![row("any user", 25, &[RELAY], &[])], ""),
            ("recipients=own", vec![row("anonymous", 587, &[RELAY], &[])], ""),
            (
                "recipients=own",
                vec![row("externally secured", 25, &["internal"], &[]), row("anonymous", 25, &["internal"], &[])],
                "count as internal",
            ),
        ] {
            assert_eq!(beyond(&device(form), &rows).join(", "), said, "{form}");
        }
    }

    #[test]
    fn what_a_device_may_do_more_under_conditions_is_told() {
        const RELAY: &str = "ms-Exch-SMTP-Accept-Any-Recipient";
        const SENDER: &str = "ms-Exch-SMTP-Accept-Any-Sender";
        let counted = [row("anonymous", 25, &[RELAY, SENDER], &[RELAY, SENDER])];
        let entry = |senders: Value, recipients: Value, expires: Value| {
            json!({"User": "NT AUTHORITY\\ANONYMOUS LOGON", "Deny": false, "ExtendedRights": [RELAY, SENDER],
                "Senders": senders, "Recipients": recipients, "Expires": expires})
        };
        let scanner = json!(["scan@contoso.com"]);
        let partner = "recipients=these&domains=partner.example";
        for (form, entry, said) in [
            (partner, entry(scanner.clone(), Value::Null, Value::Null), "send to anyone under conditions"),
            ("recipients=anywhere", entry(scanner.clone(), Value::Null, Value::Null), ""),
            (
                partner,
                entry(
                    scanner.clone(),
                    json!(["*@partner.example", "x@Partner.example", "partner.example"]),
                    Value::Null,
                ),
                "",
            ),
            (
                partner,
                entry(scanner.clone(), json!(["*@a.example"]), Value::Null),
                "send to *@a.example under conditions",
            ),
            (
                partner,
                entry(json!(["*@contoso.com"]), json!(["*@partner.example"]), Value::Null),
                "write as *@contoso.com under conditions",
            ),
            // What has ended, and what holds without a condition, is not told here.
            (partner, entry(scanner, Value::Null, json!("1970-01-01T00:00:00Z")), ""),
            (partner, entry(Value::Null, Value::Null, Value::Null), ""),
        ] {
            let told = beyond_under_conditions(&device(form), &counted, &[entry], 1_000);
            assert_eq!(told.join(", "), said, "{form}");
        }
        let own = entry(json!(["scan@contoso.com"]), json!(["*@a.example", "*@b.example"]), Value::Null);
        let own_domains = device("recipients=own");
        assert_eq!(
            beyond_under_conditions(&own_domains, &counted, std::slice::from_ref(&own), 0),
            ["send to *@a.example and *@b.example under conditions"]
        );
        // What the audit does not know of does not count.
        assert!(beyond_under_conditions(&own_domains, &[], &[own], 0).is_empty());
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
