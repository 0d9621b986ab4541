//! What the parameters of New- and Set-ReceiveConnector change in the settings document.
//!
//! Takes parameters and the settings as they are, hands on edits. Whether the result is legal is for the settings' own
//! reader to say.

use std::borrow::Cow;

use gatepost_policy::permission::{AccessEntry, PermissionGroup, Rights, Source};
use gatepost_policy::read_back::read_back;
use gatepost_policy::receive_connector::{ReceiveConnector, RemoteRange};
use serde_json::Value as Json;

use super::super::keys::{Idle, is_idle};
use super::super::{Arguments, CommandError, document_value};
use super::parameters::USAGES;
use super::shape::SHAPE;
use crate::edit::{Edit, Key, Target, Value};

pub(super) const TABLE: &str = "receive_connector";
const ENTRIES: &str = "permission";

/// Properties that Exchange has and nothing here needs: taken where they ask for nothing, and then not written; else the
/// settings' reader says why there is no such thing.
const IDLE: [(&str, Idle); 12] = [
    ("TransportRole", Idle::Whatever),
    ("SuppressXAnonymousTls", Idle::Whatever),
    ("MaxAcknowledgementDelay", Idle::Whatever),
    ("AdvertiseClientSettings", Idle::UnlessTrue),
    ("EnableAuthGSSAPI", Idle::UnlessTrue),
    ("LiveCredentialEnabled", Idle::UnlessTrue),
    ("OrarEnabled", Idle::UnlessTrue),
    ("ProxyEnabled", Idle::UnlessTrue),
    ("AcceptConsumerMail", Idle::UnlessTrue),
    ("ExtendedProtectionPolicy", Idle::Blank),
    ("ServiceDiscoveryFqdn", Idle::Blank),
    ("TlsDomainCapabilities", Idle::Blank),
];

/// What to tell about a parameter that has no effect.
pub(super) fn idle_warnings(arguments: &Arguments) -> Vec<String> {
    let delay = arguments.get("MaxAcknowledgementDelay").map(|_| {
        "MaxAcknowledgementDelay has no effect, as in Exchange since 2013: a message is on disk before it is acknowledged"
    });
    delay.into_iter().map(str::to_owned).collect()
}

/// The keys of a new connector.
///
/// # Errors
/// [`CommandError::Wrong`].
pub(super) fn keys_of_new(arguments: &Arguments) -> Result<Vec<Key>, CommandError> {
    let usage = usage(arguments)?;
    for (forbidding, name, what) in [
        ("Client", "Bindings", "all addresses on port 587"),
        ("Internal", "Bindings", "all addresses on port 25"),
        ("Internet", "RemoteIPRanges", "all IPv4 addresses"),
    ] {
        if usage == forbidding && arguments.get(name).is_some() {
            let error = format!(
                "{name} can't be given with the usage {usage}, which has {what}: leave it out, and change it afterwards \
                 by Set-ReceiveConnector, or use -Usage Custom"
            );
            return Err(CommandError::Wrong(error));
        }
    }
    let name = arguments.text("Name").unwrap_or_default();
    let mut keys: Vec<Key> = vec![("name".into(), name.into())];
    if usage != "Custom" {
        keys.push(("usage".into(), usage.into()));
    }
    for (key, change) in changes(arguments, None)? {
        if let Some(value) = change {
            keys.push((key.into(), value));
        }
    }
    Ok(keys)
}

/// The one usage that is named; `Custom` where none is.
fn usage(arguments: &Arguments) -> Result<&str, CommandError> {
    let switches = USAGES.iter().copied().filter(|usage| arguments.is_set(usage));
    let mut named: Vec<&str> = arguments.text("Usage").into_iter().chain(switches).collect();
    named.dedup();
    match named[..] {
        [] => Ok("Custom"),
        [usage] => Ok(usage),
        _ => Err(CommandError::Wrong(format!("a connector has one usage, and these are {}", named.join(", ")))),
    }
}

/// What Set-ReceiveConnector changes.
///
/// # Errors
/// [`CommandError::Wrong`].
pub(super) fn edits_of_set(connector: &ReceiveConnector, arguments: &Arguments) -> Result<Vec<Edit>, CommandError> {
    let target = Target::named(TABLE, &*connector.name);
    let mut edits = Vec::new();
    if arguments.get("PermissionGroups").is_some() {
        edits.extend(unticked(connector, &groups(arguments)));
    }
    for (key, change) in changes(arguments, Some(connector))? {
        let (target, key) = (target.clone(), key.into());
        edits.push(match change {
            Some(value) => Edit::Set { target, key, value },
            None => Edit::Unset { target, key },
        });
    }
    // Last: what stands before it finds the connector by its name.
    if let Some(name) = arguments.text("Name").filter(|name| **name != *connector.name) {
        edits.push(Edit::Set { target, key: "name".into(), value: name.into() });
    }
    Ok(edits)
}

/// Keys with their new values, in the order of the shape; `None` where a key is to be left out.
fn changes(
    arguments: &Arguments,
    connector: Option<&ReceiveConnector>,
) -> Result<Vec<(&'static str, Option<Value>)>, CommandError> {
    // Those that say what a connector is stand first in a new one.
    const FIRST: [&str; 4] = ["Bindings", "RemoteIPRanges", "AuthMechanism", "PermissionGroups"];
    let rest = SHAPE.properties.iter().map(|property| property.name).filter(|name| !FIRST.contains(name));
    let mut changes = Vec::new();
    for name in FIRST.into_iter().chain(rest) {
        // The name is the caller's to write; the server is this one.
        let Some(given) = arguments.get(name).filter(|_| !["Name", "Server", "Identity"].contains(&name)) else {
            continue;
        };
        if is_idle(&IDLE, name, given) {
            continue;
        }
        let property = SHAPE.properties.iter().find(|property| property.name == name).expect("it is of the shape");
        let value = match (name, given) {
            (_, Json::Null) => None,
            ("PermissionGroups", _) => Some(Value::texts(permission_groups(arguments)?)),
            ("Bindings" | "RemoteIPRanges" | "Repair", given) => Some(Value::texts(list(name, given, connector)?)),
            (_, Json::String(text)) if text.is_empty() => None,
            (_, given) => Some(document_value::value(given)),
        };
        changes.push((property.key, value));
    }
    Ok(changes)
}

fn permission_groups(arguments: &Arguments) -> Result<Vec<String>, CommandError> {
    let names = arguments.texts("PermissionGroups").unwrap_or_default();
    if names.contains(&"Custom") {
        let error = "PermissionGroups: Custom can't be set: it only reports that there are entries besides those of the \
                     groups. Leave it out; those entries stay, and Add-ADPermission and Remove-ADPermission change them";
        return Err(CommandError::Wrong(error.to_owned()));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The whole new list: a plain list as it is, `@{Add; Remove}` worked into what is there.
fn list(name: &str, given: &Json, connector: Option<&ReceiveConnector>) -> Result<Vec<String>, CommandError> {
    let current = connector.map(|connector| current(name, connector)).unwrap_or_default();
    document_value::list(name, given, current, |written| meant(name, written))
}

fn current(name: &str, connector: &ReceiveConnector) -> Vec<String> {
    match name {
        "Bindings" => connector.bindings.iter().map(|binding| binding.address.to_string()).collect(),
        "RemoteIPRanges" => connector.remote_ip_ranges.iter().map(RemoteRange::to_string).collect(),
        _ => super::shape::repairs(connector),
    }
}

/// Ranges are what they hold, not how they are written.
fn meant(name: &str, written: &str) -> String {
    match RemoteRange::parse(written, 0..0) {
        Ok(range) if name == "RemoteIPRanges" => format!("{}-{}", range.first, range.last),
        _ => written.trim().to_ascii_lowercase(),
    }
}

/// The groups that are to be ticked.
fn groups(arguments: &Arguments) -> Vec<PermissionGroup> {
    let names = arguments.texts("PermissionGroups").unwrap_or_default();
    PermissionGroup::ALL.into_iter().filter(|group| names.contains(&group.exchange_name())).collect()
}

/// What goes with the groups that are unticked: entries that say what such a group says cannot be told from the group's,
/// and go, too (fact sheet section 2.2). Entries under a condition stay.
fn unticked(connector: &ReceiveConnector, wanted: &[PermissionGroup]) -> Vec<Edit> {
    let before = read_back(&connector.entries).groups;
    let gone: Vec<AccessEntry> =
        before.iter().filter(|group| !wanted.contains(group)).flat_map(PermissionGroup::entries).collect();
    let mut edits = Vec::new();
    for (place, entry) in extra_entries(connector) {
        if entry.condition.is_some() || entry.expires() {
            continue;
        }
        let alike = gone.iter().filter(|gone| gone.trustee == entry.trustee && gone.access == entry.access);
        let rights = alike.fold(entry.rights, |rights, gone| rights & !gone.rights);
        edits.extend(narrowed(connector, place, entry, rights));
    }
    in_order_of_removal(edits)
}

/// The entries that are declared by themselves, each with its place among these.
fn extra_entries(connector: &ReceiveConnector) -> impl Iterator<Item = (usize, &AccessEntry)> {
    connector.entries.iter().filter(|entry| entry.source == Source::Extra).enumerate()
}

/// What makes an entry say only `rights`.
fn narrowed(connector: &ReceiveConnector, place: usize, entry: &AccessEntry, rights: Rights) -> Option<Edit> {
    if rights == entry.rights {
        return None;
    }
    let target = Target::named(TABLE, &*connector.name).entry(ENTRIES, place);
    Some(match rights.is_empty() {
        true => Edit::Remove(target),
        false => Edit::Set { target, key: Cow::Borrowed("extended_rights"), value: names(rights) },
    })
}

/// The names of rights, as the document has them.
fn names(rights: Rights) -> Value {
    Value::texts(rights.iter().map(|right| right.exchange_name()))
}

/// From the last entry to the first: removing one moves those behind it.
fn in_order_of_removal(mut edits: Vec<Edit>) -> Vec<Edit> {
    edits.reverse();
    edits
}
