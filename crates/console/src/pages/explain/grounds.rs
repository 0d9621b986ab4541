//! The grounds of an explanation, as a page shows them: connectors, rights, dialogue, and what would change it.

use gatepost_manage::explained::{
    Explained, ExplainedChange, ExplainedConnector, ExplainedEntry, ExplainedHolder, ExplainedRecipient,
    ExplainedRight, ExplainedStep,
};
use gatepost_manage::exposure_text;
use gatepost_manage::resource::ExposureChange;

use crate::fields::{Fields, path_part};
use crate::pages::device::PROPOSED_DAYS;
use crate::text::{counted, day};

/// More connectors than this are counted.
const CONNECTORS_MAX: usize = 20;
/// More changes of exposure than this are counted.
const OPENS_MAX: usize = 6;
/// What a device is called is short: it becomes the name of a connector.
const WHAT_CHARACTERS_MAX: usize = 60;
const DAY_MS: u64 = 24 * 3_600_000;
/// The right to relay.
const RELAY: &str = "ms-Exch-SMTP-Accept-Any-Recipient";

/// An explanation in words.
pub struct Grounds {
    /// Whether it would be accepted.
    pub is_accepted: bool,
    /// That in one sentence.
    pub verdict: String,
    /// Where it was asked: the listener.
    pub local: String,
    /// What the recipient is.
    pub recipient: Option<String>,
    /// Who could have heard the peer, the winner first.
    pub connectors: Vec<Connector>,
    /// How many more there are.
    pub connectors_more: String,
    /// TLS, AUTH and certificate on the one that did.
    pub facts: Vec<(&'static str, String)>,
    /// Who the peer is.
    pub principals: Vec<Holder>,
    /// What it says and reads.
    pub dialogue: Vec<Step>,
    /// Who would be asked at RCPT.
    pub next_hop_asked: Option<String>,
    /// The first right whose absence is the reason.
    pub missing: Option<String>,
    /// What would let it pass.
    pub changes: Vec<Offer>,
    /// Whether something has let it pass since.
    pub is_mended: bool,
    /// What is taken for granted.
    pub assumption: String,
}

/// A connector and why it hears the peer, or not.
pub struct Connector {
    pub name: String,
    pub path: String,
    pub line: usize,
    pub is_winner: bool,
    pub why: String,
}

/// A principal with its rights.
pub struct Holder {
    pub name: String,
    pub rights: Vec<Held>,
}

/// A right and where it comes from.
pub struct Held {
    pub name: String,
    /// `has`, `denied` or `not now`.
    pub state: &'static str,
    pub by: String,
}

/// A command and what the peer reads.
pub struct Step {
    pub command: String,
    pub is_accepted: bool,
    pub reply: String,
    pub held_back: Option<String>,
}

/// Something to do, and its price.
pub struct Offer {
    pub title: &'static str,
    pub text: String,
    pub opens: Vec<String>,
    pub opens_more: usize,
    pub is_for_the_peer: bool,
}

impl Grounds {
    /// What `explained` says.
    pub fn of(explained: &Explained) -> Grounds {
        let mut sorted: Vec<&ExplainedConnector> = explained.connectors.iter().collect();
        sorted.sort_by_key(|connector| rank(&connector.fate));
        let more = sorted.len().saturating_sub(CONNECTORS_MAX) as u64;
        let last = explained.dialogue.last();
        let verdict = match (&explained.reason, last) {
            (Some(reason), Some(step)) => format!("Refused at {}: {reason}", step.command),
            _ if explained.next_hop_asked.is_some() => "Accepted, if the next hop takes the recipient".to_owned(),
            _ => "Accepted".to_owned(),
        };
        let facts = [("TLS", &explained.tls), ("AUTH", &explained.auth), ("Certificate", &explained.certificate)];
        Grounds {
            is_accepted: explained.accepted,
            verdict,
            local: explained.local.clone(),
            recipient: explained.recipient.as_ref().map(recipient),
            connectors: sorted.into_iter().take(CONNECTORS_MAX).map(connector).collect(),
            connectors_more: if more > 0 { counted(more, "more connector", "more connectors") } else { String::new() },
            facts: facts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))).collect(),
            principals: explained.principals.iter().map(holder).collect(),
            dialogue: explained.dialogue.iter().map(step).collect(),
            next_hop_asked: explained.next_hop_asked.clone(),
            missing: explained.missing_right.clone(),
            changes: explained.changes.iter().enumerate().map(|(place, change)| offer(place, change)).collect(),
            is_mended: false,
            assumption: explained.assumption.clone(),
        }
    }

    /// The same where today's settings let it pass: nothing is left to be changed.
    pub fn mended(self) -> Grounds {
        Grounds { changes: Vec::new(), is_mended: true, ..self }
    }
}

/// Who hears the peer comes first, then who nearly would.
fn rank(fate: &str) -> usize {
    let fates = ["won", "less_specific", "expired", "range_elsewhere", "disabled"];
    fates.iter().position(|known| *known == fate).unwrap_or(fates.len())
}

fn connector(connector: &ExplainedConnector) -> Connector {
    let range = connector.range.as_deref().unwrap_or_default();
    let why = match connector.fate.as_str() {
        "won" => format!("hears it: {range} is the smallest range that holds the address"),
        "less_specific" => format!("lost: its range {range} is less specific"),
        "expired" => format!("lost: its range {range} no longer counts"),
        "range_elsewhere" => "lost: no range of it holds the address".to_owned(),
        "wildcard_only" => "lost: another connector is bound to this very address".to_owned(),
        "other_binding" => "lost: it is bound to other addresses or ports".to_owned(),
        "disabled" => "lost: it is disabled".to_owned(),
        other => format!("lost: {other}"),
    };
    Connector {
        name: connector.name.clone(),
        path: format!("/receive-connectors/{}", path_part(&connector.name)),
        line: connector.line,
        is_winner: connector.fate == "won",
        why,
    }
}

fn holder(holder: &ExplainedHolder) -> Holder {
    Holder { name: holder.principal.clone(), rights: holder.rights.iter().map(held).collect() }
}

fn held(right: &ExplainedRight) -> Held {
    let counts = |entry: &&ExplainedEntry| entry.effect == "counts";
    let is_denied = right.denied_by.iter().any(|entry| counts(&entry));
    let (state, entries): (_, Vec<&ExplainedEntry>) = match (right.held, is_denied) {
        (true, _) => ("has", right.allowed_by.iter().filter(counts).collect()),
        (false, true) => ("denied", right.denied_by.iter().filter(counts).collect()),
        (false, false) => ("not now", right.allowed_by.iter().collect()),
    };
    // A group is an entry for each kind of server in it; they stand in one line.
    let mut places: Vec<String> = entries.into_iter().map(place).collect();
    places.dedup();
    Held { name: right.right.clone(), state, by: places.join(" and ") }
}

fn place(entry: &ExplainedEntry) -> String {
    let line = entry.line;
    let mut text = match &entry.group {
        Some(group) => format!("the group {group}, line {line}"),
        None => format!("the entry for {}, line {line}", entry.trustee),
    };
    match (entry.effect.as_str(), &entry.unmet) {
        ("expired", _) => text += " (expired)",
        ("unmet", Some(part)) => text += &format!(" (its {part} are others)"),
        _ => {}
    }
    if let Some(messages) = entry.messages_per_hour {
        text += &format!(" (for {messages} messages an hour; whether that is used up is not looked at)");
    }
    if let Some(note) = &entry.note {
        let words = [("owner", &note.owner), ("ticket", &note.ticket), ("", &note.comment), ("until", &note.expires)];
        let words = words.into_iter().filter_map(|(name, text)| Some(format!("{name} {}", text.as_ref()?)));
        let words: Vec<String> = words.map(|words| words.trim().to_owned()).collect();
        if !words.is_empty() {
            text += &format!(" [{}]", words.join(", "));
        }
    }
    text
}

fn step(step: &ExplainedStep) -> Step {
    let without = if step.accepted { "220 (the greeting)" } else { "(closed without a word)" };
    let held_back = (step.held_back_ms > 0).then(|| format!("held back {} s", step.held_back_ms.div_ceil(1_000)));
    Step {
        command: step.command.clone(),
        is_accepted: step.accepted,
        reply: step.reply.clone().unwrap_or_else(|| without.to_owned()),
        held_back,
    }
}

fn offer(place: usize, change: &ExplainedChange) -> Offer {
    let opens: Vec<String> = change.opens.iter().flat_map(sentences).collect();
    let more = opens.len().saturating_sub(OPENS_MAX);
    Offer {
        title: if place == 0 { "Smallest change" } else { "Or, if the peer cannot do that" },
        text: change.change.clone(),
        opens: opens.into_iter().take(OPENS_MAX).collect(),
        opens_more: more,
        is_for_the_peer: change.for_the_peer,
    }
}

/// The narrowest entry that would let an unauthenticated peer's message pass, as the query of the page that makes it: for this
/// address, sender and recipient alone, and not for good. `None` where that is not the way: a public address is to
/// authenticate, and gets no right to relay; an address that would stand for others as a pattern is for a person to write.
pub fn narrowest(explained: &Explained, asked: &Attempt<'_>, now_ms: u64) -> Option<String> {
    let is_entry = |change: &&ExplainedChange| {
        let is_anonymous = change.trustee.as_deref().is_some_and(|trustee| trustee.ends_with("ANONYMOUS LOGON"));
        match change.kind.as_str() {
            "add_range" => true,
            "grant" | "new_connector" => is_anonymous,
            _ => false,
        }
    };
    if explained.public || explained.accepted {
        return None;
    }
    let change = explained.changes.iter().find(is_entry)?;
    // A new range says nothing of rights: whoever is known here is reached without that to relay.
    let is_relay = match change.kind.as_str() {
        "add_range" => explained.missing_right.as_deref() == Some(RELAY) || explained.recipient.is_none(),
        _ => change.rights.iter().any(|right| right == RELAY),
    };
    let sender = itself(asked.sender.unwrap_or_default())?;
    let recipient = itself(asked.recipient.unwrap_or_default())?;
    // Postmaster without a domain is ours.
    let (reach, recipient) = if is_relay && recipient.contains('@') { ("these", recipient) } else { ("own", "") };
    let port = explained.local.rsplit_once(':').map_or("", |(_, port)| port);
    // What a peer calls itself is seldom what people call it; what it writes as, and where it stands, mostly is.
    let what = match sender.split_once('@') {
        Some((local, _)) => format!("{local} at {}", explained.peer),
        None => format!("Device at {}", explained.peer),
    };
    let what: String = what.chars().take(WHAT_CHARACTERS_MAX).collect();
    let until = day(now_ms.saturating_add(PROPOSED_DAYS * DAY_MS));
    let fields = [
        ("address", explained.peer.as_str()),
        ("what", what.as_str()),
        ("senders", sender),
        ("recipients", reach),
        ("domains", recipient),
        ("port", port),
        ("until", until.as_str()),
    ];
    let mut query = Fields::default();
    for (name, value) in fields {
        query = Fields::read(query.with(name, value).as_bytes());
    }
    Some(query.to_query())
}

/// The address without its brackets, where it stands for itself alone in a list of patterns.
fn itself(address: &str) -> Option<&str> {
    let bare = address.trim_start_matches('<').trim_end_matches('>');
    let is_more = |letter: char| letter.is_whitespace() || matches!(letter, '*' | ',' | ';' | '"');
    (!bare.contains(is_more)).then_some(bare)
}

/// What somebody tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempt<'a> {
    pub sender: Option<&'a str>,
    pub recipient: Option<&'a str>,
}

/// A change of exposure in words.
pub fn sentences(change: &ExposureChange) -> Vec<String> {
    exposure_text::sentences(change, exposure_text::WOULD)
}

fn recipient(known: &ExplainedRecipient) -> String {
    let kind = match known.kind.as_str() {
        "mailbox" => "a mailbox here".to_owned(),
        "group" => {
            format!(
                "a distribution group of {} in the end",
                counted(known.recipients as u64, "recipient", "recipients")
            )
        }
        other => format!("a {other}"),
    };
    let address = &known.address;
    let mut text = match known.by.as_str() {
        "alias" => format!("an alias of {address}: {kind}"),
        "postmaster" => format!("postmaster, whose mail goes to {address}: {kind}"),
        "catch_all" => format!("nobody; what nobody gets is caught by {address}: {kind}"),
        _ => format!("{address}: {kind}"),
    };
    if let Some(closed) = &known.closed_by {
        text += &format!(". {closed} takes mail from inside the organization only");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(peer: &str, public: bool, kind: &str, trustee: Option<&str>, rights: &[&str]) -> Explained {
        let change = ExplainedChange {
            change: "add an entry".to_owned(),
            kind: kind.to_owned(),
            for_the_peer: false,
            connector: Some("Relay".to_owned()),
            trustee: trustee.map(str::to_owned),
            rights: rights.iter().map(|right| (*right).to_owned()).collect(),
            opens: Vec::new(),
        };
        Explained {
            file: None,
            accepted: false,
            peer: peer.to_owned(),
            public,
            local: "10.1.1.1:25".to_owned(),
            at: None,
            recipient: None,
            connectors: Vec::new(),
            inside_tls: false,
            tls: None,
            auth: None,
            certificate: None,
            principals: Vec::new(),
            dialogue: Vec::new(),
            reason: None,
            next_hop_asked: None,
            missing_right: None,
            changes: vec![change],
            assumption: String::new(),
        }
    }

    #[test]
    fn an_entry_is_offered_to_private_addresses_alone_and_as_narrow_as_can_be() {
        const ANONYMOUS: Option<&str> = Some("NT AUTHORITY\\ANONYMOUS LOGON");
        const RELAY: &[&str] = &[super::RELAY];
        let attempt = Attempt { sender: Some("<scan@contoso.com>"), recipient: Some("z@example.com") };
        let offered = |explained: &Explained| narrowest(explained, &attempt, 0);
        let private = explained("192.168.2.55", false, "new_connector", ANONYMOUS, RELAY);
        assert_eq!(
            offered(&private).as_deref(),
            Some(
                "address=192.168.2.55&what=scan+at+192.168.2.55&senders=scan%40contoso.com&recipients=these&domains=z%40example.com&port=25&\
                 until=1970-04-01"
            )
        );
        let own = explained("192.168.2.55", false, "grant", ANONYMOUS, &["ms-Exch-SMTP-Submit"]);
        assert!(offered(&own).is_some_and(|query| query.contains("recipients=own") && !query.contains("domains")));
        assert_eq!(offered(&explained("8.8.8.8", true, "new_connector", ANONYMOUS, RELAY)), None);
        assert_eq!(offered(&explained("10.0.0.1", false, "grant", Some("alice"), RELAY)), None);
        assert_eq!(offered(&explained("10.0.0.1", false, "raise_size_limit", None, &[])), None);
        // Whoever is known here is reached without the right to relay.
        let recipient = ExplainedRecipient {
            address: "z@example.com".to_owned(),
            kind: "mailbox".to_owned(),
            by: "address".to_owned(),
            recipients: 1,
            closed_by: None,
        };
        let outside = explained("192.168.2.55", false, "add_range", None, &[]);
        assert!(offered(&outside).is_some_and(|query| query.contains("recipients=these&domains=z%40example.com")));
        let inside = Explained { recipient: Some(recipient), ..outside };
        assert!(offered(&inside).is_some_and(|query| query.contains("recipients=own") && !query.contains("domains")));
        // What the peer has said is no pattern, and no list.
        for recipient in ["*@example.com", "\"a,*\"@example.com", "a;*@example.com"] {
            let attempt = Attempt { recipient: Some(recipient), ..attempt };
            assert_eq!(narrowest(&private, &attempt, 0), None, "{recipient}");
        }
    }
}
