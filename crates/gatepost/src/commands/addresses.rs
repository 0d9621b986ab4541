//! How the reports about exposure show sources and listeners to people.

use std::net::SocketAddr;

use gatepost_policy::address_set::AddressSet;

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
