//! How people read who gains and loses what: sources, listeners, changes of exposure in words.

use std::net::SocketAddr;

use gatepost_policy::address_set::AddressSet;
use gatepost_policy::note::instant;
use gatepost_policy::permission::Right;

use crate::resource::{Exposed, ExposedRow, ExposureChange, LimitedRights};

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
pub fn when(change: &ExposureChange) -> String {
    let begins = change.from_ms.map(|from_ms| format!(" from {} on", instant(from_ms)));
    let ends = change.until_ms.map(|until_ms| format!(" until {}", instant(until_ms)));
    begins.unwrap_or_default() + &ends.unwrap_or_default()
}

/// Who it is.
pub fn whom(change: &ExposureChange) -> String {
    match (change.whom.as_str(), change.user.as_deref()) {
        ("unauthenticated", _) => "without logging in".to_owned(),
        ("server", Some(name)) => format!("server {name} by certificate"),
        ("partner", Some(domain)) => format!("partner {domain} by certificate"),
        (_, Some(name)) => format!("user {name}"),
        (_, None) => "users".to_owned(),
    }
}

/// The terms under which a right is held, of those that are held under terms.
pub fn terms_of<'a>(limited: &'a [LimitedRights], right: &str) -> Option<&'a str> {
    let of_it = |limited: &&LimitedRights| limited.rights.iter().any(|held| held == right);
    limited.iter().find(of_it).map(|limited| limited.terms.as_str())
}

/// Rights, those of the same terms together: first what is held whatever comes, then the others with their terms.
pub fn rights_text(rights: &[String], limited: &[LimitedRights]) -> String {
    let plain: Vec<&str> =
        rights.iter().filter(|right| terms_of(limited, right).is_none()).map(String::as_str).collect();
    let mut parts: Vec<String> = (!plain.is_empty()).then(|| plain.join(", ")).into_iter().collect();
    for LimitedRights { rights: bound, terms } in limited {
        let held: Vec<&str> = rights.iter().filter(|right| bound.contains(right)).map(String::as_str).collect();
        parts.extend((!held.is_empty()).then(|| format!("{} {terms}", held.join(", "))));
    }
    parts.join("; ")
}

/// What happens to rights, at one time or another.
#[derive(Clone, Copy, Debug)]
pub struct Tense {
    gain: &'static str,
    lose: &'static str,
    hold: &'static str,
}

/// It is a question what it would do.
pub const WOULD: Tense = Tense { gain: "would gain", lose: "would lose", hold: "would hold" };
/// It is told before it is done.
pub const WILL: Tense = Tense { gain: "will gain", lose: "will lose", hold: "will hold" };
/// It has happened.
pub const HAS: Tense = Tense { gain: "has gained", lose: "has lost", hold: "holds" };

/// Who gains what, who loses what, and who holds what under other terms: a sentence for each.
pub fn sentences(change: &ExposureChange, tense: Tense) -> Vec<String> {
    let sources = sources_text(&change.source_set()) + &when(change);
    let subject = format!("{sources} at {} ({})", listeners_text(&change.listeners), whom(change));
    let moved = [(tense.gain, &change.gained), (tense.lose, &change.lost)].into_iter();
    let moved = moved
        .filter(|(_, rights)| !rights.is_empty())
        .map(|(verb, rights)| format!("{subject} {verb} {}", rights_text(rights, &change.limited)));
    let altered = change.altered.iter().map(|altered| {
        let rights = altered.rights.join(", ");
        format!("{subject} {} {rights} {}; before that {}", tense.hold, altered.after, altered.before)
    });
    moved.chain(altered).collect()
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
    let is_limited = |right: Right| row.conditional_rights.iter().any(|held| held == right.exchange_name());
    let relays_under_conditions = is_limited(Right::AcceptAnyRecipient) || is_limited(Right::Submit);
    let (look, words) = level_words(&row.level, row.public);
    match (row.level.as_str(), relays_under_conditions) {
        ("open", true) => (look, "anyone, without logging in, under conditions"),
        ("relay", true) => (look, "anyone, once logged in, under conditions"),
        _ => (look, words),
    }
}

/// The terms of sending to any recipient; empty: none.
pub fn reach_terms(row: &ExposedRow) -> &str {
    terms_of(&row.limited, Right::AcceptAnyRecipient.exchange_name()).unwrap_or_default()
}

/// The terms of writing as others, each with what it is about where there are several.
pub fn sender_terms(row: &ExposedRow) -> Vec<String> {
    let terms = |right: Right| terms_of(&row.limited, right.exchange_name());
    match (terms(Right::AcceptAnySender), terms(Right::AcceptAuthoritativeDomainSender)) {
        (None, None) => Vec::new(),
        (Some(one), Some(other)) if one == other => vec![one.to_owned()],
        (any, own) => [("", any), ("own domains ", own)]
            .into_iter()
            .filter_map(|(what, terms)| Some(format!("{what}{}", terms?)))
            .collect(),
    }
}

/// As whom they may.
pub fn sender_words(row: &ExposedRow) -> &'static str {
    let is_limited = !sender_terms(row).is_empty();
    match row.senders.as_deref() {
        Some("any") if is_limited => "anyone, under conditions",
        Some("any") => "anyone",
        Some("outside_own_domains") if is_limited => "anyone but own domains, under conditions",
        Some("outside_own_domains") => "anyone but own domains",
        Some(_) => "own addresses",
        None => "",
    }
}

/// What else is so, times and sizes as whoever asks writes them.
pub fn more_words(row: &ExposedRow, time: fn(u64) -> String, size: fn(u64) -> String) -> String {
    let limit = match row.message_bytes_max {
        Some(bytes) => Some(format!("up to {}", size(bytes))),
        None => row.senders.is_some().then(|| "any size".to_owned()),
    };
    let words = [
        row.internal.then(|| "counts as internal".to_owned()),
        row.bypasses_anti_spam.then(|| "no anti-spam".to_owned()),
        limit,
        row.tls_required.then(|| "TLS only".to_owned()),
        row.from_ms.map(|from_ms| format!("from {} on", time(from_ms))),
        row.until_ms.map(|until_ms| format!("until {}", time(until_ms))),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The terms of all other rights: a line for each of them.
pub fn more_terms(row: &ExposedRow) -> Vec<String> {
    let elsewhere = [Right::AcceptAnyRecipient, Right::AcceptAnySender, Right::AcceptAuthoritativeDomainSender]
        .map(Right::exchange_name);
    let lines = row.limited.iter().filter_map(|LimitedRights { rights, terms }| {
        let others = rights.iter().filter(|right| !elsewhere.contains(&right.as_str()));
        let words = words_of(others.map(String::as_str));
        (!words.is_empty()).then(|| format!("{words} {terms}"))
    });
    lines.collect()
}

/// The terms of all rights: a line for each, that begins with what is held under them.
pub fn all_terms(limited: &[LimitedRights]) -> Vec<String> {
    let line =
        |limited: &LimitedRights| format!("{} {}", words_of(limited.rights.iter().map(String::as_str)), limited.terms);
    limited.iter().map(line).collect()
}

/// What rights are good for, in few words: `relaying and other senders`.
fn words_of<'a>(rights: impl Iterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> = Vec::new();
    for right in rights {
        let word = match Right::parse(right) {
            Some(Right::Submit) => "sending at all",
            Some(Right::AcceptAnyRecipient) => "relaying",
            Some(Right::AcceptAnySender | Right::AcceptAuthoritativeDomainSender) => "other senders",
            Some(Right::AcceptAuthenticationFlag) => "counting as internal",
            Some(Right::BypassAntiSpam) => "no anti-spam",
            Some(Right::BypassMessageSizeLimit) => "any size",
            _ => right,
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" and ")
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
    fn the_terms_of_a_right_stand_beside_it() {
        let limited = |rights: &[Right], terms: &str| LimitedRights {
            rights: rights.iter().map(|right| right.exchange_name().to_owned()).collect(),
            terms: terms.to_owned(),
        };
        const RELAY: Right = Right::AcceptAnyRecipient;
        const SENDERS: [Right; 2] = [Right::AcceptAnySender, Right::AcceptAuthoritativeDomainSender];
        let row = |limited: Vec<LimitedRights>| -> ExposedRow {
            let conditional: Vec<&String> = limited.iter().flat_map(|limited| &limited.rights).collect();
            let row = serde_json::json!({
                "who": "anonymous", "level": "open", "sources": "", "ranges": [], "ranges_total": 0, "public": false,
                "listeners": [], "connectors": [], "connectors_total": 0, "senders": "any", "internal": true,
                "bypasses_anti_spam": false, "message_bytes_max": null, "tls_required": false, "rights": [],
                "conditional_rights": conditional, "limited": limited, "from_ms": null, "until_ms": null,
            });
            serde_json::from_value(row).expect("whole")
        };
        for (terms, reach, senders, more) in [
            (vec![], "", "", ""),
            (
                vec![
                    limited(&SENDERS, "only from a@x.example"),
                    limited(&[RELAY], "only from a@x.example to y.example"),
                ],
                "only from a@x.example to y.example",
                "only from a@x.example",
                "",
            ),
            (
                vec![limited(&[RELAY, Right::AcceptAnySender, Right::AcceptAuthenticationFlag], "until T")],
                "until T",
                "until T",
                "counting as internal until T",
            ),
            (vec![limited(&SENDERS[1..], "not from b")], "", "own domains not from b", ""),
            (
                vec![limited(&[Right::Submit, Right::AcceptExch50], "during H")],
                "",
                "",
                "sending at all and ms-Exch-SMTP-Accept-Exch50 during H",
            ),
        ] {
            let row = row(terms);
            let told = (reach_terms(&row), sender_terms(&row).join("; "), more_terms(&row).join("; "));
            assert_eq!(told, (reach, senders.to_owned(), more.to_owned()));
        }
        assert_eq!(sender_words(&row(Vec::new())), "anyone");
        assert_eq!(sender_words(&row(vec![limited(&SENDERS, "until T")])), "anyone, under conditions");
        let submit = row(vec![limited(&[Right::Submit], "during H")]);
        assert_eq!(reach_words(&submit).1, "anyone, without logging in, under conditions");
        let both = [limited(&SENDERS, "only from a"), limited(&[RELAY], "only to b")];
        assert_eq!(all_terms(&both), ["other senders only from a", "relaying only to b"]);
        let [sender, own] = SENDERS.map(|right| right.exchange_name().to_owned());
        let held = ["ms-Exch-SMTP-Submit".to_owned(), sender.clone(), own.clone()];
        assert_eq!(rights_text(&held, &both), format!("ms-Exch-SMTP-Submit; {sender}, {own} only from a"));
    }

    #[test]
    fn a_change_is_a_sentence_for_each_thing_that_becomes_of_rights() {
        let change: ExposureChange = serde_json::from_value(serde_json::json!({
            "whom": "unauthenticated", "user": null, "gained": ["A", "B"], "lost": ["C"],
            "limited": [{"rights": ["B"], "terms": "only from x@y.example"}],
            "altered": [{"rights": ["D"], "before": "always", "after": "only from x@y.example"}],
            "listeners": ["0.0.0.0:25"], "sources": [{"first": "10.0.0.5", "last": "10.0.0.5"}],
        }))
        .expect("whole");
        let subject = "10.0.0.5 at 0.0.0.0:25 (without logging in)";
        assert_eq!(
            sentences(&change, WOULD),
            [
                format!("{subject} would gain A; B only from x@y.example"),
                format!("{subject} would lose C"),
                format!("{subject} would hold D only from x@y.example; before that always"),
            ]
        );
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
