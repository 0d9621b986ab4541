//! What a device may do beyond what was asked for it: by the audit, and by the entries of the connector that hears it.

use gatepost_manage::resource::ExposedRow;
use gatepost_policy::permission::{Right, Trustee};
use serde_json::Value;

use super::described::{Device, Reach};
use crate::pages::receive_connectors::{instant_ms, texts};

/// How words about senders begin.
pub(super) const WRITE_AS: &str = "write as";
/// How words about recipients begin.
pub(super) const SEND_TO: &str = "send to";
/// The terms that limit an entry.
pub(super) const LIMITS: [&str; 5] = ["Senders", "Recipients", "Hours", "MessagesPerHour", "Expires"];
/// More patterns than these are counted, not told.
const PATTERNS_MAX: usize = 3;

/// What the device may do, whatever it sends, beyond what was asked for: by the rows of the audit that hold its address.
pub(super) fn beyond(device: &Device, rows: &[ExposedRow]) -> Vec<String> {
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

/// What the device may do under conditions that are wider than what was asked for: by the `entries` of the connector that hears it, as far
/// as the rows of the audit say that they count.
pub(super) fn beyond_under_conditions(
    device: &Device,
    rows: &[ExposedRow],
    entries: &[Value],
    now_ms: u64,
) -> Vec<String> {
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

/// The rows of the audit that are about the device: without logging in, at its port.
fn of_device<'a>(device: &Device, rows: &'a [ExposedRow]) -> impl Iterator<Item = &'a ExposedRow> {
    let port = device.port;
    let is_unauthenticated = |row: &&ExposedRow| matches!(row.who.as_str(), "anonymous" | "externally secured");
    rows.iter()
        .filter(is_unauthenticated)
        .filter(move |row| row.listeners.iter().any(|listener| listener.port() == port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fields::Fields;

    const FORM: &str =
        "address=192.168.2.55&what=Scanner&owner=anna%40contoso.com&ticket=CHG-1&senders=scan%40contoso.com&port=25";

    fn device(more: &str) -> Device {
        Device::read(&Fields::read(format!("{FORM}&{more}").as_bytes())).expect("whole")
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
}
