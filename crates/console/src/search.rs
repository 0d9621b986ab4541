//! One field to search records by: what somebody types says what it is.
//!
//! Takes the fields of a search form, hands on the query of the API's trace.

use std::net::IpAddr;

use gatepost_manage::decision::id_in;
use gatepost_manage::trace::{TraceQuery, TraceVerdict};

use crate::fields::Fields;

/// Entries on a page.
pub const ROWS: usize = 50;

/// The spans of time that a form offers: the field's value, what it says, how many hours it is.
pub const SPANS: [(&str, &str, u64); 4] =
    [("hour", "the last hour", 1), ("day", "the last day", 24), ("week", "the last week", 7 * 24), ("", "any time", 0)];

/// The verdicts that a form offers.
pub const VERDICTS: [TraceVerdict; 9] = TraceVerdict::ALL;

/// What the fields of a form ask.
///
/// # Errors
/// What cannot be asked, as a sentence.
pub fn query(fields: &Fields, now_ms: u64) -> Result<TraceQuery, String> {
    let text = |name: &str| fields.get(name).map(str::to_owned);
    let hours = SPANS.iter().find(|(name, ..)| *name == fields.text("within")).map_or(0, |(.., hours)| *hours);
    let verdict = VERDICTS.into_iter().find(|verdict| verdict.word() == fields.text("verdict"));
    let asked = TraceQuery {
        sender: text("sender"),
        recipient: text("recipient"),
        domain: text("domain"),
        peer: text("peer"),
        connector: text("connector"),
        word: text("word"),
        message_id: text("message_id"),
        queue_id: fields.get("queue_id").map(queue_id).transpose()?,
        decision: text("id"),
        verdict,
        since_ms: (hours > 0).then(|| now_ms.saturating_sub(hours * 3_600_000)),
        events: fields.has("events").then_some(true),
        limit: Some(ROWS),
        from: text("from"),
        ..TraceQuery::default()
    };
    match fields.get("q") {
        Some(words) => with_words(asked, words),
        None => Ok(asked),
    }
}

fn queue_id(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no queue id: write it as the message's page shows it, in digits"))
}

/// What one field means: the id of a decision, a queue id, an address or range of peers, a Message-ID, somebody's address, a
/// domain; else the name of a connector, or words of a subject.
fn with_words(asked: TraceQuery, words: &str) -> Result<TraceQuery, String> {
    let words = words.trim();
    let some = || Some(words.to_owned());
    let is_range = |text: &str| {
        let first = text.split(['/', '-']).next().unwrap_or_default().trim();
        first.parse::<IpAddr>().is_ok()
    };
    if words.bytes().all(|byte| byte.is_ascii_digit()) && words.len() != 12 {
        return Ok(TraceQuery { queue_id: Some(queue_id(words)?), ..asked });
    }
    if is_range(words) {
        return Ok(TraceQuery { peer: some(), ..asked });
    }
    if let Some(id) = id_in(words) {
        return Ok(TraceQuery { decision: Some(id), ..asked });
    }
    if words.starts_with('<') && words.ends_with('>') {
        return Ok(TraceQuery { message_id: some(), ..asked });
    }
    if words.contains('@') {
        return Ok(TraceQuery { address: some(), ..asked });
    }
    if words.contains('.') && !words.contains(' ') {
        return Ok(TraceQuery { domain: some(), ..asked });
    }
    Ok(TraceQuery { text: some(), ..asked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_says_what_it_is() {
        let asked = |words: &str| with_words(TraceQuery::default(), words).unwrap();
        let text = |words: &str| Some(words.to_owned());
        assert_eq!(asked("42").queue_id, Some(42));
        for peer in ["192.168.2.55", "192.168.2.0/24", "10.0.0.1-10.0.0.9", "2001:db8::1", "fd00::/8"] {
            assert_eq!(asked(peer).peer, text(peer), "{peer}");
        }
        assert_eq!(asked("550 5.7.1 Unable to relay [1f3a9c04b27e]").decision, text("1f3a9c04b27e"));
        assert_eq!(asked("<a@b>").message_id, text("<a@b>"));
        assert_eq!(asked(" alice@contoso.com ").address, text("alice@contoso.com"));
        assert_eq!(asked("contoso.com").domain, text("contoso.com"));
        assert_eq!(asked("Default Frontend").text, text("Default Frontend"));
    }

    #[test]
    fn fields_of_the_form_are_asked_together() {
        let fields = Fields::read(b"q=contoso.com&within=hour&verdict=refused&connector=Relay&from=7");
        let asked = query(&fields, 10_000_000).unwrap();
        assert_eq!(asked.domain.as_deref(), Some("contoso.com"));
        assert_eq!((asked.since_ms, asked.verdict), (Some(6_400_000), Some(TraceVerdict::Refused)));
        assert_eq!((asked.connector.as_deref(), asked.from.as_deref()), (Some("Relay"), Some("7")));
        assert_eq!(query(&Fields::default(), 5).unwrap().since_ms, None);
    }

    #[test]
    fn what_is_no_queue_id_is_not_a_search_for_everything() {
        for form in ["q=99999999999999999999", "queue_id=12x", "queue_id=99999999999999999999"] {
            assert!(query(&Fields::read(form.as_bytes()), 5).unwrap_err().contains("is no queue id"), "{form}");
        }
    }
}
