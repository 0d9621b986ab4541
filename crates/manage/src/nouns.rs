//! Which nouns of the registry are resources, at which paths, and how their keys and the commands' parameters belong
//! together.

use gatepost_shell::command::Parameter;
use serde_json::{Map, Value};

use crate::command::{self, Entry};
use crate::object::{Record, Shape};

/// One kind of resource.
#[derive(Clone, Copy, Debug)]
pub struct Noun {
    /// As commands say it.
    pub name: &'static str,
    /// Below `/api/v1`.
    pub path: &'static str,
}

/// All of them. A noun whose commands are not there has no routes.
pub const NOUNS: &[Noun] = &[
    Noun { name: "ReceiveConnector", path: "/receive-connectors" },
    Noun { name: "SendConnector", path: "/send-connectors" },
    Noun { name: "AcceptedDomain", path: "/accepted-domains" },
    Noun { name: "RemoteDomain", path: "/remote-domains" },
    Noun { name: "Mailbox", path: "/mailboxes" },
    Noun { name: "MailContact", path: "/mail-contacts" },
    Noun { name: "DistributionGroup", path: "/distribution-groups" },
    Noun { name: "Recipient", path: "/recipients" },
    Noun { name: "User", path: "/users" },
    Noun { name: "TransportConfig", path: "/transport-configs" },
    Noun { name: "TransportService", path: "/transport-services" },
];

impl Noun {
    /// The command that does this to it.
    pub fn command(self, verb: &str) -> Option<&'static Entry> {
        command::find(&format!("{verb}-{}", self.name))
    }

    /// The command that lists it, and what that yields.
    pub fn listing(self) -> Option<(&'static Entry, &'static Shape)> {
        let entry = self.command("Get")?;
        Some((entry, entry.output?))
    }
}

/// The command that a request to a resource runs, by its method and the route that it matched.
pub fn find(method: &str, route: &str) -> Option<&'static Entry> {
    let (path, is_one) = match route.strip_suffix("/{identity}") {
        Some(path) => (path, true),
        None => (route, false),
    };
    let verb = match (method, is_one) {
        ("GET", _) => "Get",
        ("POST", false) => "New",
        ("PATCH", true) => "Set",
        ("DELETE", true) => "Remove",
        _ => return None,
    };
    let noun = NOUNS.iter().find(|noun| noun.path == path)?;
    noun.listing()?;
    noun.command(verb)
}

/// The key of a parameter in the body of a request: that of the property of the same name, else its own name in snake_case.
pub fn key_of(parameter: &Parameter, shape: Option<&Shape>) -> String {
    let same = |name: &str| parameter.name.eq_ignore_ascii_case(name);
    let property = shape.and_then(|shape| shape.properties.iter().find(|property| same(property.name)));
    property.map_or_else(|| snake_case(parameter.name), |property| property.key.to_owned())
}

/// `RemoteIPRanges` is `remote_ip_ranges`.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut key = String::with_capacity(name.len() + 4);
    for (place, letter) in letters.iter().enumerate() {
        let after_small = place > 0 && !letters[place - 1].is_uppercase();
        let before_small = place > 0 && letters.get(place + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_small || before_small) {
            key.push('_');
        }
        key.extend(letter.to_lowercase());
    }
    key
}

/// A record as a resource shows it.
pub fn resource(record: &Record) -> Map<String, Value> {
    record.properties().map(|(property, value)| (property.key.to_owned(), value.into_owned())).collect()
}

/// The parameters that the body of a request means.
///
/// # Errors
/// What is no key, and the keys that there are.
pub fn parameters(entry: &Entry, body: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let shape = entry.signature.name.split_once('-').and_then(|(_, noun)| command::find(&format!("Get-{noun}")));
    let shape = shape.and_then(|get| get.output);
    let known: Vec<(String, &Parameter)> =
        entry.signature.parameters.iter().map(|parameter| (key_of(parameter, shape), parameter)).collect();
    let mut parameters = Map::new();
    for (key, value) in body {
        let Some((_, parameter)) = known.iter().find(|(known, _)| *known == key) else {
            let keys: Vec<&str> = known.iter().map(|(key, _)| key.as_str()).collect();
            let key: String = key.chars().take(80).collect();
            return Err(format!("`{}` is no key here: the keys are {}", key.escape_debug(), keys.join(", ")));
        };
        parameters.insert(parameter.name.to_owned(), value);
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_exchange_become_keys_as_settings_write_them() {
        for (name, key) in [
            ("Name", "name"),
            ("RemoteIPRanges", "remote_ip_ranges"),
            ("TarpitInterval", "tarpit_interval"),
            ("DNSRoutingEnabled", "dns_routing_enabled"),
            ("Fqdn", "fqdn"),
            ("SourceIPAddress", "source_ip_address"),
            ("WhatIf", "what_if"),
        ] {
            assert_eq!(snake_case(name), key);
        }
    }

    #[test]
    fn every_noun_has_a_path_of_its_own() {
        for noun in NOUNS {
            let same = NOUNS.iter().filter(|other| other.path == noun.path || other.name == noun.name);
            assert_eq!(same.count(), 1, "{noun:?}");
        }
        assert!(NOUNS.iter().filter_map(|noun| noun.listing()).count() >= 1);
    }
}
