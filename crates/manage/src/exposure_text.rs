//! How people read who gains and loses what: sources, listeners, changes of exposure in words.

use std::net::SocketAddr;

use gatepost_policy::address_set::AddressSet;
use gatepost_policy::audit::{Change, Whom};
use gatepost_policy::note::instant;
use gatepost_policy::permission::{Right, Rights};

use crate::resource::{Exposed, ExposedRow};

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

/// What a level means, of addresses some of which are public or not: the colour, and words for it. Red (`bad`) is what strangers may abuse,
/// amber (`warn`) what your own hosts may without saying who they are, blue (`note`) what needs a password; the rest has none.
pub fn level_words(level: &str, is_public: bool) -> (&'static str, &'static str) {
    match level {
        "open" if is_public => ("bad", "anyone, without logging in"),
        "open" => ("warn", "anyone, without logging in"),
        "relay" => ("note", "anyone, once logged in"),
        "submit" => ("", "accepted domains"),
        _ => ("", "nobody: may only connect"),
    }
}

/// To whom those of a row may send, as [`level_words`].
pub fn reach_words(row: &ExposedRow) -> (&'static str, &'static str) {
    let any_recipient = Right::AcceptAnyRecipient.exchange_name();
    let relays_under_conditions = row.conditional_rights.iter().any(|right| right == any_recipient);
    let (look, words) = level_words(&row.level, row.public);
    match (row.level.as_str(), relays_under_conditions) {
        ("open", true) => (look, "anyone, without logging in, under conditions"),
        ("relay", true) => (look, "anyone, once logged in, under conditions"),
        _ => (look, words),
    }
}

/// As whom they may.
pub fn sender_words(row: &ExposedRow) -> &'static str {
    match row.senders.as_deref() {
        Some("any") => "anyone",
        Some("outside_own_domains") => "anyone but own domains",
        Some(_) => "own addresses",
        None => "",
    }
}

/// What else is so, times and sizes as whoever asks writes them.
pub fn more_words(row: &ExposedRow, time: fn(u64) -> String, size: fn(u64) -> String) -> String {
    let conditional = match row.conditional_rights.len() {
        0 => None,
        1 => Some("1 right under conditions".to_owned()),
        rights => Some(format!("{rights} rights under conditions")),
    };
    let limit = match row.message_bytes_max {
        Some(bytes) => Some(format!("up to {}", size(bytes))),
        None => row.senders.is_some().then(|| "any size".to_owned()),
    };
    let words = [
        row.internal.then(|| "counts as internal".to_owned()),
        row.bypasses_anti_spam.then(|| "no anti-spam".to_owned()),
        limit,
        row.tls_required.then(|| "TLS only".to_owned()),
        conditional,
        row.from_ms.map(|from_ms| format!("from {} on", time(from_ms))),
        row.until_ms.map(|until_ms| format!("until {}", time(until_ms))),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The colour of a finding.
pub fn severity_look(severity: &str) -> &'static str {
    match severity {
        "critical" => "bad",
        "warning" => "warn",
        _ => "note",
    }
}

/// All of it in a colour and a word, the same wherever the sentence stands.
pub fn standing(exposed: &Exposed) -> (&'static str, &'static str) {
    match exposed {
        Exposed { open_public_addresses: 1.., .. } => ("bad", "Open"),
        Exposed { critical: 1.., .. } => ("bad", "Critical"),
        Exposed { open_addresses: 1.., .. } => ("warn", "Inside only"),
        Exposed { warnings: 1.., .. } => ("warn", "Closed, with warnings"),
        _ => ("good", "Closed"),
    }
}

/// Who would gain and who would lose what: a sentence for each.
pub fn sentences(change: &Change) -> Vec<String> {
    let parts = [("would gain", change.gained), ("would lose", change.lost)].into_iter();
    let parts = parts.filter(|(_, rights)| !rights.is_empty());
    parts.map(|(verb, rights)| sentence(change, verb, rights)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_gives_all_of_it_its_colour() {
        let exposed = |open: u64, public: u64, critical: u64, warnings: u64| {
            let exposed = serde_json::json!({
                "revision": 1, "made_ms": 0, "sentence": "", "connectors": 1, "open_addresses": open,
                "open_public_addresses": public, "exposures": [], "exposures_total": 0, "findings": [],
                "findings_total": 0, "critical": critical, "warnings": warnings, "assumption": "",
            });
            serde_json::from_value::<Exposed>(exposed).expect("whole")
        };
        for (numbers, expected) in [
            ([9, 1, 0, 0], ("bad", "Open")),
            ([9, 0, 1, 0], ("bad", "Critical")),
            ([9, 0, 0, 3], ("warn", "Inside only")),
            ([0, 0, 0, 3], ("warn", "Closed, with warnings")),
            ([0, 0, 0, 0], ("good", "Closed")),
        ] {
            let [open, public, critical, warnings] = numbers;
            assert_eq!(standing(&exposed(open, public, critical, warnings)), expected, "{numbers:?}");
        }
    }

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
