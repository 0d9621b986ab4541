//! How people read who gains and loses what: sources, listeners, changes of exposure in words.

use std::net::SocketAddr;

use gatepost_policy::address_set::AddressSet;
use gatepost_policy::audit::{Change, Whom};
use gatepost_policy::note::instant;
use gatepost_policy::permission::{Right, Rights};

/// How many ranges stand in one cell.
const RANGES_SHOWN_MAX: usize = 3;

/// Sources for a person.
pub fn sources_text(sources: &AddressSet) -> String {
    sources.describe(RANGES_SHOWN_MAX)
}

/// Listeners for a person: `*:25` stands for `0.0.0.0:25` and `[::]:25`.
pub fn listeners_text(listeners: &[SocketAddr]) -> String {
    let is_wildcard = |listener: &SocketAddr| listener.ip().is_unspecified();
    let other_family = |listener: &SocketAddr| {
        let same_port = |other: &&SocketAddr| is_wildcard(other) && other.port() == listener.port();
        listeners.iter().filter(same_port).any(|other| other.is_ipv4() != listener.is_ipv4())
    };
    let texts = listeners.iter().filter_map(|listener| match is_wildcard(listener) && other_family(listener) {
        true if listener.is_ipv4() => Some(format!("*:{}", listener.port())),
        true => None,
        false => Some(listener.to_string()),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// From when and until when, where that is not from now on and for good.
pub fn when(change: &Change) -> String {
    let begins = change.from_ms.map(|from_ms| format!(" from {} on", instant(from_ms)));
    let ends = change.until_ms.map(|until_ms| format!(" until {}", instant(until_ms)));
    begins.unwrap_or_default() + &ends.unwrap_or_default()
}

/// Who it is.
pub fn whom(whom: &Whom) -> String {
    match whom {
        Whom::Unauthenticated => "without logging in".to_owned(),
        Whom::User(name) => format!("user {name}"),
        Whom::OtherUsers => "users".to_owned(),
        Whom::Server(name) => format!("server {name} by certificate"),
        Whom::Partner(domain) => format!("partner {domain} by certificate"),
    }
}

/// One change as a sentence; `verb` is what happens to the rights: `will gain`, `would lose`.
pub fn sentence(change: &Change, verb: &str, rights: Rights) -> String {
    let names: Vec<&str> = rights.iter().map(Right::exchange_name).collect();
    let (sources, listeners) = (sources_text(&change.sources) + &when(change), listeners_text(&change.listeners));
    format!("{sources} at {listeners} ({}) {verb} {}", whom(&change.whom), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_all_addresses_of_both_families() {
        for (listeners, expected) in [
            (&["0.0.0.0:25", "[::]:25"][..], "*:25"),
            (&["0.0.0.0:25"], "0.0.0.0:25"),
            (&["[::]:25"], "[::]:25"),
            (&["0.0.0.0:25", "127.0.0.1:26", "[::]:25", "[::]:26"], "*:25, 127.0.0.1:26, [::]:26"),
        ] {
            let listeners: Vec<SocketAddr> = listeners.iter().map(|text| text.parse().expect("an address")).collect();
            assert_eq!(listeners_text(&listeners), expected);
        }
    }
}
