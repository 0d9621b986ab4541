//! Conditions on access entries: how they are written, and what they do to rights.

use std::num::NonZeroU32;

use gatepost_mail::{Mailbox, ReversePath};
use gatepost_policy::Refusal;
use gatepost_policy::Settings;
use gatepost_policy::condition::hours::Window;
use gatepost_policy::condition::patterns::Pattern;
use gatepost_policy::condition::{Condition, Hours, Patterns};
use gatepost_policy::note::Note;
use gatepost_policy::permission::{
    self, Access, AccessEntry, Facts, Granted, HeaderSenders, Principal, Right, Rights, Source, Trustee, granted,
    granted_at_worst, granted_for_sure,
};
use gatepost_policy::receive_connector::ReceiveConnector;
use proptest::prelude::*;

use crate::document::{CONTOSO, cases, connector, default_connector, problems, settings};

const ANONYMOUS: &str = r"NT AUTHORITY\\ANONYMOUS LOGON";
/// Saturday, 1 August 2026, 10:00 in UTC.
const SATURDAY_AT_10: u64 = 1_785_578_400_000;
const HOUR: u64 = 3_600_000;

/// A document with one entry of these keys.
fn entry(keys: &str) -> String {
    format!("{CONTOSO}{}", connector("R", r#""10.0.0.1""#, "AnonymousUsers", &permission(keys)))
}

fn permission(keys: &str) -> String {
    format!("  [[receive_connector.permission]]\n  {}\n", keys.replace("; ", "\n  "))
}

/// An entry for anonymous peers that grants the right to relay, with more keys.
fn relay(keys: &str) -> String {
    entry(&format!("user = \"{ANONYMOUS}\"; extended_rights = \"ms-Exch-SMTP-Accept-Any-Recipient\"; {keys}"))
}

#[test]
fn each_mistake_in_a_condition_is_told_once_and_in_words() {
    let submit = |user: &str, keys: &str| {
        entry(&format!("user = \"{user}\"; extended_rights = \"ms-Exch-SMTP-Submit\"; {keys}"))
    };
    let in_group = |more: &str| {
        format!(
            "[[user]]\nname = \"carol\"\n{more}\n{}",
            entry("user = \"alice\"; extended_rights = \"ms-Exch-SMTP-Submit\"")
        )
    };
    let range = |range: &str| format!("{CONTOSO}{}", connector("R", range, "AnonymousUsers", ""));
    for (text, message, remedy) in [
        // Patterns.
        (
            relay("senders = []"),
            "`senders` is empty, so the entry would never count",
            "write senders = [\"scan@contoso.com\"]",
        ),
        (relay("recipients = []"), "`recipients` is empty", "write recipients = [\"*@partner.example\"]"),
        (relay("senders = 7"), "`senders`: expected text, found an integer", "put it between quotes"),
        (
            relay("senders = \"\""),
            "`senders`: `` is no pattern for addresses: it is empty",
            "write \"scan@contoso.com\"",
        ),
        (
            relay("senders = \"scan@\""),
            "`senders`: `scan@` is no pattern for addresses: the domain",
            "write \"scan@contoso.com\"",
        ),
        (
            relay("senders = \"@contoso.com\""),
            "`senders`: `@contoso.com` is no pattern for addresses: the part before",
            "write",
        ),
        (relay("senders = \"a b@contoso.com\""), "`senders`: `a b@contoso.com` is no pattern", "write"),
        (relay("senders = \"*..contoso.com\""), "`senders`: `*..contoso.com` is no pattern", "write"),
        (relay("senders = \"[a-z]*@contoso.com\""), "`senders`: `[a-z]*@contoso.com` is no pattern", "write"),
        (
            relay("senders = \"*@bü*.de\""),
            "`senders`: `*@bü*.de` is no pattern for addresses: a wildcard",
            "write that label",
        ),
        (relay(&format!("senders = \"{}@x.de\"", "a".repeat(316))), "`senders`: `aaa", "keep it below 320 bytes"),
        (
            relay(&format!("senders = [{}]", "\"x.de\", ".repeat(1_001))),
            "`senders` has 1001 patterns",
            "write at most 1000",
        ),
        (relay("recipients = [\"x.de\", \"<>\"]"), "`recipients`: no recipient is ever `<>`", "remove it"),
        (
            entry("user = \"Everyone\"; extended_rights = \"ms-Exch-SMTP-Accept-Any-Sender\"; senders = \"<>\""),
            "`senders` is `<>` alone, which needs no right to a sender",
            "remove the entry",
        ),
        // Hours.
        (relay("hours = []"), "`hours` is empty", "write hours = \"Mon-Fri 08:00-18:00 Europe/Berlin\""),
        (
            relay("hours = \"08:00-18:00\""),
            "`hours`: `08:00-18:00` are no hours: it is not of the form",
            "write days, hours and time zone",
        ),
        (
            relay("hours = \"Mon-Fri 08:00-18:00\""),
            "`hours`: `Mon-Fri 08:00-18:00` are no hours: it does not say in which time zone",
            "write days, hours and time zone",
        ),
        (
            relay("hours = \"Mon-Fri UTC\""),
            "`hours`: `Mon-Fri UTC` are no hours: it is not of the form days hours zone",
            "write days, hours and time zone",
        ),
        (
            relay("hours = \"Mo-Fr 08:00-18:00 UTC\""),
            "`hours`: `Mo-Fr 08:00-18:00 UTC` are no hours: `Mo` is no day",
            "write Mon, Tue",
        ),
        (
            relay("hours = \"8-18 UTC\""),
            "`hours`: `8-18 UTC` are no hours: `8` is no time of day",
            "write hours and minutes",
        ),
        (
            relay("hours = \"08:00-24:30 UTC\""),
            "`hours`: `08:00-24:30 UTC` are no hours: `24:30` is no time",
            "write hours and minutes",
        ),
        (
            relay("hours = \"24:00-08:00 UTC\""),
            "`hours`: `24:00-08:00 UTC` are no hours: `24:00",
            "write hours and minutes",
        ),
        (
            relay("hours = \"08:00-08:00 UTC\""),
            "`hours`: `08:00-08:00 UTC` are no hours: it ends when it begins",
            "for the whole day write 00:00-24:00",
        ),
        (
            relay("hours = \"08:00-18:00 Europe/Berlim\""),
            "`hours`: `08:00-18:00 Europe/Berlim` are no hours: there is no time zone",
            "did you mean `Europe/Berlin`?",
        ),
        (relay("hours = \"08:00-18:00 Middle_Earth/Shire\""), "`hours`: ", "write a name of the tz database"),
        // Quotas.
        (
            relay("messages_per_hour = 0"),
            "`messages_per_hour`: 0 is out of bounds",
            "write a whole number from 1 to 1000000",
        ),
        (
            relay("deny = true; messages_per_hour = 5"),
            "`messages_per_hour` limits what is allowed; this entry denies",
            "remove it here",
        ),
        // What is not known yet when the right is asked for.
        (
            submit(ANONYMOUS, "recipients = \"x.de\""),
            "`recipients` is not known when ms-Exch-SMTP-Submit is asked for: at MAIL",
            "grant ms-Exch-SMTP-Submit in an entry of its own",
        ),
        (
            submit("alice", "senders = \"x.de\""),
            "`senders` is not known when ms-Exch-SMTP-Submit is asked for: when logging on",
            "grant",
        ),
        (
            submit("Everyone", "messages_per_hour = 5"),
            "`messages_per_hour` is not known when ms-Exch-SMTP-Submit is asked for",
            "grant",
        ),
        (
            entry("user = \"alice\"; extended_rights = \"ms-Exch-SMTP-Accept-Any-Sender\"; recipients = \"x.de\""),
            "`recipients` is not known when ms-Exch-SMTP-Accept-Any-Sender is asked for: at MAIL",
            "grant",
        ),
        (
            entry(
                "user = \"alice\"; extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\", \"ms-Exch-Bypass-Anti-Spam\"]; messages_per_hour = 5",
            ),
            "`messages_per_hour` is not known when ms-Exch-Bypass-Anti-Spam is asked for",
            "grant ms-Exch-Bypass-Anti-Spam in an entry of its own",
        ),
        (
            entry("user = \"alice\"; extended_rights = \"ms-Exch-SMTP-Accept-XShadow\"; senders = \"x.de\""),
            "`senders` is not known when ms-Exch-SMTP-Accept-XShadow is asked for: before MAIL",
            "grant",
        ),
        (
            entry(
                "user = \"Everyone\"; extended_rights = \"ms-Exch-Accept-Headers-Organization\"; senders = \"contoso.com\"",
            ),
            "`senders` is not known when ms-Exch-Accept-Headers-Organization is asked for: while the header is still",
            "grant",
        ),
        // Notes.
        (relay("owner = \"it\""), "`owner`: `it` is no address", "write an address"),
        (
            relay("expires = 2027-01-31"),
            "`expires`: `2027-01-31` does not say in which time zone",
            "write date, time and offset",
        ),
        (
            relay("expires = 2027-01-31T00:00:00"),
            "`expires`: `2027-01-31T00:00:00` does not say in which time zone",
            "write date, time and offset",
        ),
        (
            relay("expires = \"next year\""),
            "`expires`: `next year` is no date with a time",
            "write date, time and offset",
        ),
        (
            relay("expires = 2027"),
            "`expires`: expected a date with a time, found an integer",
            "write date, time and offset",
        ),
        (
            relay("expire = 2027-01-31T00:00:00Z"),
            "`expire` is no key of [[receive_connector.permission]]",
            "did you mean `expires`?",
        ),
        (
            relay("accept_risk = \"written below the entry\""),
            "`accept_risk` is no key of [[receive_connector.permission]]",
            "remove it, or if it is for [[receive_connector]], write it above the first [[receive_connector.permission]]",
        ),
        (relay("ticket = \"\""), "`ticket`: `` is no ticket", "write 1 to 64 characters"),
        (range("{ owner = \"it@contoso.com\" }"), "a range of remote_ip_ranges has no `range`", "write { range ="),
        (range("{ range = \"10.0.0.256\" }"), "`range`: `10.0.0.256` is no range", "write \"192.168.2.55\""),
        (range("{ range = \"10.0.0.1\", expires = 2027-01-31 }"), "`expires`: `2027-01-31` does not say", "write date"),
        (
            range("{ range = \"10.0.0.1\", senders = \"x.de\" }"),
            "`senders` is no key of a range of remote_ip_ranges",
            "remove it",
        ),
        (range("\"10.0.0.1\", { range = \"10.0.0.1/32\" }"), "`remote_ip_ranges` already holds this", "remove one"),
        (range("7"), "`remote_ip_ranges`: expected text", "put it between quotes"),
        // Groups of users.
        (
            in_group("groups = [\"Alice\"]"),
            "carol is in a group `Alice`, and that is a user's name",
            "give the group another name",
        ),
        (in_group("groups = [\"Everyone\"]"), "`groups`: `Everyone` is a well-known name", "write another name"),
        (
            format!(
                "[[user]]\nname = \"carol\"\ngroups = \"Scanners\"\n{}",
                entry("user = \"Scaners\"; extended_rights = \"ms-Exch-SMTP-Submit\"")
            ),
            "`user`: there is no user or group `Scaners`",
            "did you mean `Scanners`?",
        ),
    ] {
        let problems = problems(&text);
        assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
        assert!(problems[0].message.starts_with(message), "{message}\n{problems:#?}");
        assert!(problems[0].remedy.starts_with(remedy), "{remedy}\n{problems:#?}");
        let place = &text[problems[0].span.clone()];
        assert!(!place.is_empty() && problems[0].line > 1, "{place}");
    }
}

#[test]
fn entries_that_say_the_same_have_one_meaning() {
    let meaning = |keys: &str| {
        let settings = settings(&relay(keys));
        settings.receive_connectors[0].entries.last().expect("an entry").meaning()
    };
    let plain = meaning("senders = [\"a@x.de\", \"B@x.de\"]; messages_per_hour = 5");
    for (keys, same) in [
        ("senders = [\"b@X.de\", \"a@x.de\"]; messages_per_hour = 7; owner = \"it@contoso.com\"", true),
        ("senders = [\"a@x.de\", \"b@x.de\"]; expires = 2030-01-01T00:00:00Z", true),
        ("senders = [\"a@x.de\"]", false),
        ("recipients = [\"a@x.de\", \"b@x.de\"]", false),
        ("senders = [\"a@x.de\", \"b@x.de\"]; hours = \"00:00-24:00 UTC\"", false),
        ("senders = [\"a@x.de\", \"b@x.de\"]; deny = true", false),
    ] {
        assert_eq!(meaning(keys) == plain, same, "{keys}");
    }
}

/// The rights that a connector's principals hold, asked as a session does.
struct Asked {
    settings: Settings,
    facts: Facts<'static>,
}

impl Asked {
    fn of(text: &str) -> Asked {
        Asked { settings: settings(text), facts: Facts::at(SATURDAY_AT_10) }
    }

    fn connector(&self) -> &ReceiveConnector {
        &self.settings.receive_connectors[0]
    }

    fn holds(&self, user: Option<&str>, right: Right, facts: &Facts<'_>) -> bool {
        let principal = user.map_or(Principal::Anonymous, |name| Principal::User(name.into()));
        granted(self.connector(), &principal, facts).rights.contains(right)
    }

    /// Whether an anonymous peer may relay a message with these senders to this recipient. Only the first sender is known
    /// where there is no other.
    fn relays(&self, senders: &[&str], recipient: &str) -> bool {
        let path = ReversePath::parse_prefix(&format!("<{}>", senders[0])).expect("a reverse-path").0;
        let header: Vec<Mailbox> = senders[1..].iter().map(|sender| mailbox(sender)).collect();
        let recipient = mailbox(recipient);
        let facts = Facts {
            reverse_path: Some(&path),
            header_senders: if header.is_empty() { HeaderSenders::NotYet } else { HeaderSenders::Known(&header) },
            recipient: Some(&recipient),
            ..self.facts
        };
        self.holds(None, Right::AcceptAnyRecipient, &facts)
    }
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("an address")
}

#[test]
fn an_entry_that_allows_binds_every_sender() {
    let asked = Asked::of(&relay("senders = [\"scan-*@contoso.com\", \"*.branch.contoso.com\"]"));
    for (senders, expected) in [
        (&["scan-1@contoso.com"][..], true),
        (&["SCAN-1@CONTOSO.COM"], true),
        (&["scan-1@contoso.com", "scan-2@contoso.com"], true),
        (&["scan-1@contoso.com", "x@north.branch.contoso.com"], true),
        (&["scan-1@contoso.com", "ceo@contoso.com"], false),
        (&["scan-1@contoso.com", "scan-2@contoso.com", "ceo@contoso.com"], false),
        (&["ceo@contoso.com", "scan-1@contoso.com"], false),
        (&["scan-1@contoso.com.evil.example"], false),
        (&["x@branch.contoso.com"], false),
        (&[""], false),
    ] {
        assert_eq!(asked.relays(senders, "x@gmail.com"), expected, "{senders:?}");
    }
}

#[test]
fn an_entry_that_denies_counts_for_any_sender_that_matches() {
    let deny = permission(&format!(
        "user = \"{ANONYMOUS}\"; extended_rights = \"ms-Exch-SMTP-Accept-Any-Recipient\"; deny = true; senders = \"ceo@contoso.com\""
    ));
    let asked = Asked::of(&(relay("") + &deny));
    for (senders, expected) in [
        (&["scan@contoso.com"][..], true),
        (&["", "scan@contoso.com"], true),
        (&["ceo@contoso.com"], false),
        (&["scan@contoso.com", "CEO@contoso.com"], false),
        (&["ceo@contoso.com", "scan@contoso.com"], false),
    ] {
        assert_eq!(asked.relays(senders, "x@gmail.com"), expected, "{senders:?}");
    }
    // As long as no sender is known, it might be that one.
    assert!(!asked.holds(None, Right::AcceptAnyRecipient, &asked.facts));
}

#[test]
fn an_entry_binds_the_recipient_that_is_decided() {
    let asked =
        Asked::of(&relay("recipients = [\"*@partner.example\", \"boss@gmail.com\", \"<>\"]").replace(", \"<>\"", ""));
    for (recipient, expected) in
        [("x@partner.example", true), ("Boss@gmail.com", true), ("x@gmail.com", false), ("x@a.partner.example", false)]
    {
        assert_eq!(asked.relays(&["scan@contoso.com"], recipient), expected, "{recipient}");
    }
    assert!(!asked.holds(None, Right::AcceptAnyRecipient, &asked.facts));
}

#[test]
fn an_entry_holds_at_its_hours_and_until_its_end() {
    let at = |text: &str, now_ms: u64| {
        let asked = Asked::of(text);
        asked.holds(None, Right::AcceptAnyRecipient, &Facts::at(now_ms))
    };
    let weekend = relay("hours = [\"Mon-Fri 08:00-18:00 Europe/Berlin\", \"Sat 12:00-14:00 Europe/Berlin\"]");
    // Ten in UTC is twelve in Berlin.
    for (hours_later, expected) in
        [(0, true), (1, true), (2, false), (24, false), (43, false), (44, true), (53, true), (54, false)]
    {
        assert_eq!(at(&weekend, SATURDAY_AT_10 + hours_later * HOUR), expected, "{hours_later}");
    }
    let until = relay("expires = 2026-08-01T12:00:00+01:00; owner = \"it@contoso.com\"");
    for (later, expected) in [(0, true), (HOUR - 1, true), (HOUR, false), (1_000 * HOUR, false)] {
        assert_eq!(at(&until, SATURDAY_AT_10 + later), expected, "{later}");
    }
}

#[test]
fn a_group_covers_its_users_and_no_others() {
    let text = format!(
        "[[user]]\nname = \"carol\"\ngroups = [\"Scanners\", \"Night shift\"]\n[[user]]\nname = \"dave\"\ngroups = \"SCANNERS\"\n{CONTOSO}{}",
        default_connector(
            "ExchangeUsers",
            &permission("user = \"CONTOSO\\\\scanners\"; extended_rights = \"ms-Exch-SMTP-Accept-Any-Sender\"")
        )
    );
    let asked = Asked::of(&text);
    for (user, expected) in [("carol", true), ("Dave", true), ("alice", false), ("Scanners", false)] {
        assert_eq!(asked.holds(Some(user), Right::AcceptAnySender, &asked.facts), expected, "{user}");
    }
    assert!(!asked.holds(None, Right::AcceptAnySender, &asked.facts));
    let entry = asked.connector().entries.last().expect("an entry");
    assert_eq!(entry.trustee.to_string(), "Scanners");
}

#[test]
fn ranges_and_entries_carry_their_notes() {
    let text = format!(
        "{CONTOSO}{}",
        connector(
            "R",
            "\"10.0.0.1\", { range = \"10.0.0.0/24\", owner = \"it@contoso.com\", ticket = \"T-1\", comment = \"printers\", expires = 2026-08-01T12:00:00+01:00 }",
            "AnonymousUsers",
            &permission(
                "user = \"alice\"; extended_rights = \"ms-Exch-SMTP-Submit\"; expires = \"2026-08-01T11:00:00Z\"; ticket = \"T-2\""
            )
        )
    );
    let settings = settings(&text);
    let connector = &settings.receive_connectors[0];
    let expected = Note {
        owner: Some(mailbox("it@contoso.com")),
        ticket: Some("T-1".into()),
        comment: Some("printers".into()),
        expires_ms: Some(SATURDAY_AT_10 + HOUR),
    };
    assert_eq!(connector.remote_ip_ranges[0].note, None);
    assert_eq!(connector.remote_ip_ranges[1].note.as_deref(), Some(&expected));
    assert_eq!(&text[connector.remote_ip_ranges[1].span.clone()], "\"10.0.0.0/24\"");
    let note = connector.entries.last().and_then(|entry| entry.note.as_deref()).expect("a note");
    assert_eq!((note.ticket.as_deref(), note.expires_ms), (Some("T-2"), Some(SATURDAY_AT_10 + HOUR)));
    assert!(note.is_expired(SATURDAY_AT_10 + HOUR) && !note.is_expired(SATURDAY_AT_10 + HOUR - 1));
}

#[test]
fn a_quota_that_is_used_up_is_told_only_where_it_is_the_reason() {
    let text = relay("messages_per_hour = 2; recipients = \"*@partner.net\"");
    let asked = Asked::of(&text);
    let connector = asked.connector();
    let place = connector.entries.len() - 1;
    let quotas: Vec<_> = permission::quotas(connector, &Principal::Anonymous).collect();
    assert_eq!(quotas, [(place, NonZeroU32::new(2).expect("two"))]);
    let decided = |recipient: &str, exhausted: &[usize]| {
        let recipient = mailbox(recipient);
        let facts = Facts { recipient: Some(&recipient), exhausted, ..asked.facts };
        let granted = granted(connector, &Principal::Anonymous, &facts);
        permission::decide(granted, |rights| {
            gatepost_policy::relay::decide(&gatepost_policy::relay::Question {
                rights,
                forward_path: &recipient,
                settings: &asked.settings,
            })
            .map(drop)
        })
    };
    assert_eq!(decided("x@partner.net", &[]), Ok(()));
    assert_eq!(decided("x@partner.net", &[place]), Err(Refusal::QuotaExceeded));
    assert_eq!(decided("x@gmail.com", &[place]), Err(Refusal::UnableToRelay));
    assert_eq!(decided("bob@contoso.com", &[place]), Ok(()));
    assert_eq!(Refusal::QuotaExceeded.reply().to_string().split(' ').take(2).collect::<Vec<_>>(), ["450", "4.7.1"]);
}

#[test]
fn the_entry_that_pays_is_the_first_that_can_and_none_where_it_is_free() {
    let right = Right::AcceptAnyRecipient;
    let paid = |keys: [&str; 3], exhausted: &[usize]| {
        let entries =
            keys.map(|keys| permission(&format!("user = \"{ANONYMOUS}\"; extended_rights = \"{right}\"; {keys}")));
        let text = format!("{CONTOSO}{}", connector("R", r#""10.0.0.1""#, "None", &entries.concat()));
        let settings = settings(&text);
        let facts = Facts { exhausted, ..Facts::at(SATURDAY_AT_10) };
        permission::rests_on(&settings.receive_connectors[0], &Principal::Anonymous, &facts, right)
    };
    let (quota, closed, open) =
        ("messages_per_hour = 5", "hours = \"Sun 08:00-18:00 UTC\"", "hours = \"Sat 08:00-18:00 UTC\"");
    let closed_quota = "messages_per_hour = 5; hours = \"Sun 08:00-18:00 UTC\"";
    for (keys, exhausted, expected) in [
        ([quota, quota, closed], &[][..], Some(0)),
        ([quota, quota, closed], &[0], Some(1)),
        ([quota, quota, closed], &[0, 1], None),
        ([quota, quota, open], &[], None),
        ([quota, quota, ""], &[], None),
        ([closed_quota, closed, quota], &[], Some(2)),
        (["deny = true", quota, quota], &[], Some(1)),
        ([quota, closed, "expires = 2020-01-01T00:00:00Z"], &[], Some(0)),
    ] {
        assert_eq!(paid(keys, exhausted), expected, "{keys:?} {exhausted:?}");
    }
}

/// An entry as plainly as it can be written.
#[derive(Clone, Debug)]
struct Plain {
    user: &'static str,
    deny: bool,
    rights: Vec<Right>,
    senders: Option<Vec<&'static str>>,
    recipients: Option<Vec<&'static str>>,
    /// Weekday of the begin (Monday is 0), hour of the begin, hour of the end, hours east of UTC.
    hours: Option<(u64, u64, u64, i64)>,
    quota: bool,
    expires: Option<u64>,
}

#[derive(Clone, Debug)]
struct PlainFacts {
    now_ms: u64,
    sender: Option<&'static str>,
    /// `None`: not complete; `Some(None)`: nobody can tell.
    in_header: Option<Option<Vec<&'static str>>>,
    recipient: Option<&'static str>,
    exhausted: Vec<usize>,
}

const ADDRESSES: [&str; 7] = [
    "scan@contoso.com",
    "Scan@contoso.com",
    "ceo@contoso.com",
    "scan@north.contoso.com",
    "x@gmail.com",
    "\"two words\"@gmail.com",
    "scan@contoso.com.example",
];
const PATTERNS: [&str; 11] = [
    "scan@contoso.com",
    "contoso.com",
    "*.contoso.com",
    "s*@contoso.com",
    "?can@*",
    "*",
    "*a*@*.com",
    "gmail.com",
    "two*@gmail.com",
    "<>",
    "ceo@contoso.com",
];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const USERS: [&str; 4] = ["anonymous", "alice", "users", "everyone"];

fn plain() -> impl Strategy<Value = Plain> {
    let patterns = || prop::option::weighted(0.4, prop::collection::vec(prop::sample::select(&PATTERNS[..]), 1..3));
    let hours = prop::option::weighted(0.4, (0..7_u64, 0..24_u64, 1..=24_u64, -11..=11_i64))
        .prop_filter("a window that is empty", |hours| hours.is_none_or(|(_, begin, end, _)| begin != end));
    let rights = prop::collection::vec(prop::sample::select(&Right::ALL[..5]), 1..4);
    let expires = prop::option::weighted(0.3, 0..400 * HOUR);
    let user = prop::sample::select(&USERS[..]);
    (user, prop::bool::weighted(0.3), rights, patterns(), patterns(), hours, prop::bool::weighted(0.3), expires)
        .prop_map(|(user, deny, rights, senders, recipients, hours, quota, expires)| Plain {
            user,
            deny,
            rights,
            senders,
            recipients,
            hours,
            quota: quota && !deny,
            expires: expires.map(|later| SATURDAY_AT_10 + later),
        })
}

fn plain_facts() -> impl Strategy<Value = PlainFacts> {
    let senders = || prop::sample::select([&ADDRESSES[..], &[""]].concat());
    let header = prop::option::of(prop::option::weighted(
        0.8,
        prop::collection::vec(prop::sample::select(&ADDRESSES[..]), 0..3),
    ));
    let recipient = prop::option::of(prop::sample::select(&ADDRESSES[..]));
    let exhausted = prop::collection::vec(0..8_usize, 0..4);
    (0..400 * HOUR, prop::option::weighted(0.8, senders()), header, recipient, exhausted).prop_map(
        |(later, sender, in_header, recipient, exhausted)| PlainFacts {
            now_ms: SATURDAY_AT_10 + later,
            sender,
            in_header,
            recipient,
            exhausted,
        },
    )
}

impl Plain {
    fn entry(&self) -> AccessEntry {
        let list = |texts: &Vec<&str>| {
            Patterns::new(texts.iter().map(|text| Pattern::parse(text).expect("a pattern")).collect())
        };
        let condition = Condition {
            senders: self.senders.as_ref().map(list),
            recipients: self.recipients.as_ref().map(list),
            hours: self.hours.map(|(day, begin, end, east)| {
                // POSIX signs: Etc/GMT-2 is two hours east.
                let text = format!("{} {begin:02}:00-{end:02}:00 Etc/GMT{:+}", WEEKDAYS[day as usize], -east);
                Hours::new(vec![Window::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))])
            }),
            messages_per_hour: self.quota.then(|| NonZeroU32::new(10).expect("ten")),
        };
        AccessEntry {
            trustee: match self.user {
                "anonymous" => Trustee::AnonymousLogon,
                "users" => Trustee::AuthenticatedUsers,
                "everyone" => Trustee::Everyone,
                name => Trustee::User(name.into()),
            },
            access: if self.deny { Access::Deny } else { Access::Allow },
            rights: self.rights.iter().copied().collect(),
            condition: (condition != Condition::default()).then(|| condition.into()),
            note: self.expires.map(|expires_ms| Note { expires_ms: Some(expires_ms), ..Note::default() }.into()),
            source: Source::Extra,
            span: 0..0,
        }
    }

    fn speaks_of(&self, user: Option<&str>) -> bool {
        match self.user {
            "everyone" => true,
            "anonymous" => user.is_none(),
            "users" => user.is_some(),
            name => user == Some(name),
        }
    }

    fn is_conditional(&self) -> bool {
        self.senders.is_some() || self.recipients.is_some() || self.hours.is_some() || self.quota
    }

    fn has_expired(&self, now_ms: u64) -> bool {
        self.expires.is_some_and(|expires| now_ms >= expires)
    }

    /// Each condition but the quota: yes, no, or nobody knows.
    fn answers(&self, facts: &PlainFacts) -> Vec<Option<bool>> {
        let mut answers = Vec::new();
        if let Some(patterns) = &self.senders {
            let one_matches = |address: &str| patterns.iter().any(|pattern| plainly_matches(pattern, address));
            let in_header = facts.in_header.iter().flatten().flatten().copied();
            let known: Vec<bool> = facts.sender.into_iter().chain(in_header).map(one_matches).collect();
            let is_uncertain = facts.sender.is_none() || facts.in_header == Some(None);
            answers.push(match facts.sender.map(one_matches) {
                // One sender that matches settles it for a deny, one that does not for an allow; an allow looks at the
                // envelope first.
                _ if self.deny && known.contains(&true) => Some(true),
                Some(false) if !self.deny => Some(false),
                _ if is_uncertain => None,
                _ if self.deny => Some(false),
                _ => Some(!known.contains(&false)),
            });
        }
        if let Some(patterns) = &self.recipients {
            answers
                .push(facts.recipient.map(|address| patterns.iter().any(|pattern| plainly_matches(pattern, address))));
        }
        if let Some((day, begin, end, east)) = self.hours {
            let hour = ((facts.now_ms / HOUR) as i64 + east) as u64;
            let is_in = |hour: u64| {
                // 1 January 1970 was a Thursday.
                let (weekday, hour) = ((hour / 24 + 3) % 7, hour % 24);
                if begin < end {
                    weekday == day && begin <= hour && hour < end
                } else {
                    (weekday == day && begin <= hour) || (weekday == (day + 1) % 7 && hour < end)
                }
            };
            answers.push(Some(is_in(hour)));
        }
        answers
    }

    fn counts(&self, facts: &PlainFacts) -> bool {
        let answers = self.answers(facts);
        if self.deny { !answers.contains(&Some(false)) } else { answers.iter().all(|answer| *answer == Some(true)) }
    }
}

/// By trying every way in which the wildcards could stand for something.
fn plainly_matches(pattern: &str, address: &str) -> bool {
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|taken| matches(rest, &text[taken..])),
            (['?', rest @ ..], [_, others @ ..]) => matches(rest, others),
            ([one, rest @ ..], [other, others @ ..]) => one == other && matches(rest, others),
            _ => false,
        }
    }
    if pattern == "<>" || address.is_empty() {
        return pattern == "<>" && address.is_empty();
    }
    let chars = |text: &str| text.to_lowercase().replace('"', "").chars().collect::<Vec<_>>();
    let whole = if pattern.contains('@') { pattern.to_owned() } else { format!("*@{pattern}") };
    let (pattern, address) = (chars(&whole), chars(address));
    let at = |text: &[char]| text.iter().rposition(|c| *c == '@').expect("an at sign");
    let (in_pattern, in_address) = (at(&pattern), at(&address));
    matches(&pattern[..in_pattern], &address[..in_address]) && matches(&pattern[in_pattern..], &address[in_address..])
}

/// What each function says of the plain entries: granted, over rate, at worst, for sure.
fn expected(entries: &[Plain], facts: &PlainFacts, user: Option<&str>) -> [Rights; 4] {
    let mut rights = [Rights::NONE; 4];
    for right in Right::ALL {
        let of_right: Vec<(usize, &Plain)> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| {
                entry.rights.contains(&right) && entry.speaks_of(user) && !entry.has_expired(facts.now_ms)
            })
            .collect();
        let any = |test: &dyn Fn(usize, &Plain) -> bool| of_right.iter().any(|(place, entry)| test(*place, entry));
        let used_up = |place: usize, entry: &Plain| entry.quota && facts.exhausted.contains(&place);
        let denied = any(&|_, entry| entry.deny && entry.counts(facts));
        let allowed = any(&|place, entry| !entry.deny && entry.counts(facts) && !used_up(place, entry));
        let for_lack = any(&|place, entry| !entry.deny && entry.counts(facts) && used_up(place, entry));
        let allowed_perhaps = any(&|_, entry| !entry.deny);
        let denied_always = any(&|_, entry| entry.deny && !entry.is_conditional() && entry.expires.is_none());
        let allowed_always = any(&|_, entry| !entry.deny && !entry.is_conditional() && entry.expires.is_none());
        let denied_perhaps = any(&|_, entry| entry.deny);
        let answers = [
            allowed && !denied,
            for_lack && !allowed && !denied,
            allowed_perhaps && !denied_always,
            allowed_always && !denied_perhaps,
        ];
        for (rights, answer) in rights.iter_mut().zip(answers) {
            if answer {
                rights.insert(right);
            }
        }
    }
    rights
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(4_000)))]
    #[test]
    fn rights_under_conditions_agree_with_the_plain_rules(
        plain in prop::collection::vec(plain(), 0..8),
        facts in plain_facts(),
        user in prop::sample::select(vec![None, Some("alice"), Some("bob")]),
    ) {
        let settings = settings(&default_connector("None", ""));
        let entries = plain.iter().map(Plain::entry).collect();
        let connector = ReceiveConnector { entries, ..(*settings.receive_connectors[0]).clone() };
        let principal = user.map_or(Principal::Anonymous, |name| Principal::User(name.into()));
        let path = facts.sender.map(|sender| ReversePath::parse_prefix(&format!("<{sender}>")).expect("a path").0);
        let header: Option<Option<Vec<Mailbox>>> =
            facts.in_header.as_ref().map(|header| Some(header.as_ref()?.iter().map(|text| mailbox(text)).collect()));
        let recipient = facts.recipient.map(mailbox);
        let asked = Facts {
            now_ms: facts.now_ms,
            reverse_path: path.as_ref(),
            header_senders: match &header {
                None => HeaderSenders::NotYet,
                Some(None) => HeaderSenders::Uncertain,
                Some(Some(senders)) => HeaderSenders::Known(senders),
            },
            recipient: recipient.as_ref(),
            exhausted: &facts.exhausted,
        };
        let [rights, over_rate, at_worst, for_sure] = expected(&plain, &facts, user);
        prop_assert_eq!(granted(&connector, &principal, &asked), Granted { rights, over_rate });
        prop_assert_eq!(granted_at_worst(&connector, &principal, facts.now_ms), at_worst);
        prop_assert_eq!(granted_for_sure(&connector, &principal, facts.now_ms), for_sure);
        let depends = plain.iter().any(|entry| entry.speaks_of(user) && (entry.is_conditional() || entry.expires.is_some()));
        prop_assert_eq!(permission::depends_on_facts(&connector, &principal), depends);
        // What holds under no circumstances is held under none, and what holds under all is held under these.
        prop_assert!((rights & !at_worst).is_empty() && (for_sure & !rights).is_empty());
        for right in rights.iter() {
            let pays = permission::rests_on(&connector, &principal, &asked, right);
            let gives = |place: usize, entry: &Plain| {
                !entry.deny && entry.rights.contains(&right) && entry.speaks_of(user) && entry.counts(&facts)
                    && !entry.has_expired(facts.now_ms) && !(entry.quota && facts.exhausted.contains(&place))
            };
            let givers: Vec<usize> = plain.iter().enumerate().filter(|(place, entry)| gives(*place, entry)).map(|(place, _)| place).collect();
            let is_free = givers.iter().any(|place| !plain[*place].quota);
            prop_assert_eq!(pays, if is_free { None } else { givers.first().copied() });
        }
    }
}
