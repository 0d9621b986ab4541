//! What the parameters of New- and Set-SendConnector change in the settings document.
//!
//! Takes parameters and the settings as they are, hands on edits. Whether the result is legal is for the settings' own
//! reader to say.

use gatepost_policy::Settings;
use gatepost_policy::send_connector::SendConnector;
use gatepost_policy::settings::{parse_address_space, parse_smart_host};

use super::super::by_name::find;
use super::super::keys::{self, Change, Idle, Lists, is_idle};
use super::super::{Arguments, CommandError, receive_connector, server};
use super::password::Password;
use super::shape::{SHAPE, USAGES, error_policies, masqueraded, mechanisms, smart_hosts};
use crate::edit::{Edit, Key, Target, Value};

pub(super) const TABLE: &str = "send_connector";

/// Properties that Exchange has and nothing here needs.
const IDLE: [(&str, Idle); 6] = [
    ("FrontendProxyEnabled", Idle::UnlessTrue),
    ("CloudServicesMailEnabled", Idle::UnlessTrue),
    ("IsScopedConnector", Idle::UnlessTrue),
    ("RequireOorg", Idle::UnlessTrue),
    ("IsCoexistenceConnector", Idle::UnlessTrue),
    ("ConnectorType", Idle::Only("Default")),
];

/// What is not taken as it is written.
const READ_HERE: [&str; 8] = [
    "Name",
    "Identity",
    "Usage",
    "ErrorPolicies",
    "LinkedReceiveConnector",
    "SourceReceiveConnectors",
    "SourceTransportServers",
    "FallbackConnector",
];

/// The keys of a new connector.
///
/// # Errors
/// [`CommandError`].
pub(super) fn keys_of_new(
    settings: &Settings,
    arguments: &Arguments,
    password: &Password,
) -> Result<Vec<Key>, CommandError> {
    // Those that say what a connector is stand first in a new one.
    const FIRST: [&str; 6] =
        ["usage", "address_spaces", "linked_receive_connector", "smart_hosts", "dns_routing_enabled", "port"];
    let mut changes = changes(settings, arguments, None, password)?;
    changes.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
    let mut keys = vec![("name".into(), arguments.text("Name").unwrap_or_default().into())];
    keys.extend(keys::of_new(changes));
    Ok(keys)
}

/// What Set-SendConnector changes.
///
/// # Errors
/// [`CommandError`].
pub(super) fn edits_of_set(
    settings: &Settings,
    connector: &SendConnector,
    arguments: &Arguments,
    password: &Password,
) -> Result<Vec<Edit>, CommandError> {
    let target = Target::named(TABLE, &*connector.name);
    let mut edits = keys::of_set(&target, changes(settings, arguments, Some(connector), password)?);
    // Last: what stands before it finds the connector by its name.
    if let Some(name) = arguments.text("Name").filter(|name| **name != *connector.name) {
        edits.push(Edit::Set { target, key: "name".into(), value: name.into() });
    }
    Ok(edits)
}

fn changes(
    settings: &Settings,
    arguments: &Arguments,
    connector: Option<&SendConnector>,
    password: &Password,
) -> Result<Vec<Change>, CommandError> {
    let lists = Connector(connector);
    let mut changes = keys::changes(&SHAPE, arguments, &lists, |name, given| {
        READ_HERE.contains(&name) || is_idle(&IDLE, name, given)
    })?;
    if let Some(usage) = usage(arguments)? {
        changes.push(("usage", Some(usage.into()).filter(|_| usage != "Custom")));
    }
    if let Some(policies) = arguments.get("ErrorPolicies") {
        let names = arguments.texts("ErrorPolicies").unwrap_or_default();
        let is_default = policies.is_null() || names == ["Default"];
        changes.push(("error_policies", (!is_default).then(|| Value::texts(names))));
    }
    if let Some(linked) = arguments.get("LinkedReceiveConnector") {
        let linked = linked.as_str().filter(|name| !name.is_empty());
        let linked = linked.map(|name| receive_connector::find(settings, name)).transpose();
        let linked = linked.map_err(|error| error.of("LinkedReceiveConnector"))?;
        changes.push(("linked_receive_connector", linked.map(|connector| connector.name.to_string().into())));
    }
    if let Some(fallback) = arguments.get("FallbackConnector") {
        let known = |name| find(settings.send_connectors.iter(), super::name, name, super::WHAT);
        let fallback = fallback.as_str().filter(|name| !name.is_empty()).map(known).transpose();
        let fallback = fallback.map_err(|error| error.of("FallbackConnector"))?;
        changes.push(("fallback_connector", fallback.map(|connector| connector.name.to_string().into())));
    }
    if let Some(sources) = arguments.get("SourceReceiveConnectors") {
        let names = keys::list("SourceReceiveConnectors", sources, &lists)?;
        let known = |name: &String| Ok(receive_connector::find(settings, name)?.name.to_string());
        let names = names.iter().map(known).collect::<Result<Vec<_>, CommandError>>();
        let names = names.map_err(|error| error.of("SourceReceiveConnectors"))?;
        changes.push(("source_receive_connectors", (!names.is_empty()).then(|| Value::texts(names))));
    }
    if let Some(servers) = arguments.texts("SourceTransportServers") {
        // Another server's name is for the settings' reader to refuse.
        let is_other = |name: &&str| !server::is_this(&settings.server.name, name);
        if servers.iter().any(is_other) {
            changes.push(("source_transport_servers", Some(Value::texts(servers))));
        }
    }
    let is_logged_on = |mechanism: &str| mechanism.starts_with("BasicAuth");
    if arguments.text("SmartHostAuthMechanism").is_some_and(|mechanism| !is_logged_on(mechanism)) {
        // Who logs on no more needs no name and no password.
        for (name, key) in [
            ("AuthenticationUser", "authentication_user"),
            ("AuthenticationPasswordFile", "authentication_password_file"),
            ("AuthenticationPasswordEnv", "authentication_password_env"),
            ("AuthenticationMechanisms", "authentication_mechanisms"),
        ] {
            if arguments.get(name).is_none() {
                changes.push((key, None));
            }
        }
    }
    changes.extend(password.changes());
    Ok(changes)
}

/// The one usage that is named, if one is.
fn usage(arguments: &Arguments) -> Result<Option<&str>, CommandError> {
    let switches = USAGES.iter().copied().filter(|usage| arguments.is_set(usage));
    let mut named: Vec<&str> = arguments.text("Usage").into_iter().chain(switches).collect();
    named.dedup();
    match named[..] {
        [] => Ok(None),
        [usage] => Ok(Some(usage)),
        _ => Err(CommandError::Wrong(format!("a connector has one usage, and these are {}", named.join(", ")))),
    }
}

/// The lists of a connector, of which there may be none yet.
struct Connector<'a>(Option<&'a SendConnector>);

impl Lists for Connector<'_> {
    fn current(&self, property: &str) -> Vec<String> {
        let Some(connector) = self.0 else { return Vec::new() };
        let texts = |all: &mut dyn Iterator<Item = String>| all.collect();
        match property {
            "AddressSpaces" => texts(&mut connector.address_spaces.iter().map(ToString::to_string)),
            "SmartHosts" => smart_hosts(connector),
            "SourceIPAddress" => texts(&mut connector.source_ip_address.iter().map(|address| address.to_string())),
            "AuthenticationMechanisms" => connector.logon.as_deref().map(mechanisms).unwrap_or_default(),
            "DowngradeCodes" => texts(&mut connector.error_policies.downgrade.iter().map(ToString::to_string)),
            "UpgradeCodes" => texts(&mut connector.error_policies.upgrade.iter().map(ToString::to_string)),
            "ErrorPolicies" => texts(&mut error_policies(&connector.error_policies).into_iter().map(str::to_owned)),
            "SourceReceiveConnectors" => {
                texts(&mut connector.sources.receive_connectors.iter().map(ToString::to_string))
            }
            "SourceSenderDomains" => texts(&mut connector.sources.sender_domains.iter().map(ToString::to_string)),
            "MasqueradeDomains" => connector.masquerade.as_deref().map(masqueraded).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Address spaces and smart hosts are what they say, not how they are written.
    fn meant(&self, property: &str, written: &str) -> String {
        let read = match property {
            "AddressSpaces" => parse_address_space(written).map(|space| format!("{space:?}").to_lowercase()),
            "SmartHosts" => parse_smart_host(written).map(|(host, named)| {
                let port = named.or(self.0.map(|connector| connector.port)).unwrap_or(25);
                format!("{host:?} {port}").to_lowercase()
            }),
            "SourceReceiveConnectors" => Some(written.rsplit('\\').next().unwrap_or(written).trim().to_lowercase()),
            _ => None,
        };
        read.unwrap_or_else(|| written.trim().to_ascii_lowercase())
    }
}
