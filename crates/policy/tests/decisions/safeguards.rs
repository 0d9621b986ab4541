//! What no settings may do: open a relay that nobody answers for, or break an assertion.

use gatepost_policy::Settings;
use gatepost_policy::safeguard::load;
use gatepost_policy::settings::{Problem, Severity};

use crate::document::{CONTOSO, OPTION_1, OPTION_2, connector, default_connector, defaults};

const ALL: &str = r#""0.0.0.0/0", "::/0""#;
const INTERNAL: &str = "[[receive_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n\
                        extended_rights = [\"ms-Exch-SMTP-Accept-Authentication-Flag\"]\n";

/// 2027-01-15T08:00:00Z.
const NOW_MS: u64 = 1_800_000_000_000;

fn loaded(text: &str) -> Result<Settings, Vec<Problem>> {
    load(text, &defaults(), NOW_MS)
}

/// The errors of a document; none where it is taken.
fn errors(text: &str) -> Vec<Problem> {
    let problems = loaded(text).err().unwrap_or_default();
    problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect()
}

#[test]
fn strangers_may_relay_or_be_internal_only_where_somebody_says_why() {
    for (ranges, is_public) in [
        (ALL, true),
        (r#""8.8.8.8""#, true),
        (r#""8.8.8.8-8.8.8.9""#, true),
        (r#""9.255.255.255-10.0.0.1""#, true),
        (r#""::ffff:8.8.8.8""#, true),
        (r#""64:ff9b::/96""#, true),
        (r#""64:ff9b::8.8.8.8""#, true),
        (r#""2002:808:808::/48""#, true),
        (r#""2606:4700::1111""#, true),
        (r#""192.168.0.0/16", "10.0.0.0/8", "fd00::/8""#, false),
        (r#""100.64.0.0/10""#, false),
        (r#""::ffff:10.0.0.1""#, false),
        (r#""64:ff9b::10.0.0.1""#, false),
        (r#""2002:a00:1::/48""#, false),
    ] {
        for (groups, more) in [
            ("ExchangeServers", OPTION_1),
            ("AnonymousUsers", OPTION_2),
            ("AnonymousUsers", INTERNAL),
            ("AnonymousUsers", &OPTION_2.replace(r"NT AUTHORITY\\ANONYMOUS LOGON", "Everyone")),
        ] {
            let text = connector("R", ranges, groups, more);
            let found = errors(&text);
            assert_eq!(found.len(), usize::from(is_public), "{text}{found:?}");
            let Some(problem) = found.first() else { continue };
            assert_eq!(problem.line, 2, "{problem:?}");
            assert!(problem.message.starts_with("R: public addresses, such as "), "{problem:?}");
            for remedy in ["narrow remote_ip_ranges", "log on", "accept_risk = "] {
                assert!(problem.remedy.contains(remedy), "{problem:?}");
            }
            assert!(problem.related.is_some(), "{problem:?}");
            let reason = format!("accept_risk = \"the CISO decided so\"\n{more}");
            let accepted = loaded(&connector("R", ranges, groups, &reason)).expect("accepted");
            assert!(!accepted.warnings.iter().any(|warning| warning.message.contains("accept_risk")));
        }
    }
}

#[test]
fn a_connector_that_opens_nothing_to_strangers_needs_no_reason_and_is_told_so() {
    for (what, text) in [
        ("anonymous peers without the right", default_connector("AnonymousUsers", "")),
        (
            "users who relay",
            format!(
                "{CONTOSO}{}",
                default_connector(
                    "ExchangeUsers",
                    "auth_mechanism = [\"Tls\", \"BasicAuth\", \"BasicAuthRequireTLS\"]"
                )
            ),
        ),
        ("the right without Submit", default_connector("None", OPTION_2)),
        ("a disabled connector", default_connector("AnonymousUsers", &format!("enabled = false\n{OPTION_2}"))),
        (
            "one that more specific ranges leave only private addresses",
            connector("Wide", r#""10.0.0.0/8", "8.8.8.0/24""#, "AnonymousUsers", OPTION_2)
                + &connector("A", r#""8.8.8.0/25""#, "AnonymousUsers", "")
                + &connector("B", r#""8.8.8.128/25""#, "AnonymousUsers", ""),
        ),
        (
            "one where the right is denied",
            default_connector("AnonymousUsers", &format!("{OPTION_2}{}deny = true\n", OPTION_2)),
        ),
    ] {
        assert_eq!(errors(&text), [], "{what}");
        let with_reason = text.replacen("name = \"D\"", "name = \"D\"\naccept_risk = \"x\"", 1);
        let with_reason = with_reason.replacen("name = \"Wide\"", "name = \"Wide\"\naccept_risk = \"x\"", 1);
        let warnings = loaded(&with_reason).expect("taken").warnings;
        assert!(warnings.iter().any(|warning| warning.message.contains("accept_risk")), "{what}: {warnings:?}");
    }
}

#[test]
fn strangers_count_whom_a_narrower_range_does_not_take_away() {
    let wide = connector("Wide", r#""8.8.8.8/31""#, "AnonymousUsers", OPTION_2);
    let narrow = |ranges: &str| connector("Narrow", ranges, "AnonymousUsers", "");
    let covered = wide.clone() + &narrow(r#""8.8.8.8", "8.8.8.9""#);
    assert_eq!(errors(&covered), []);
    assert_eq!(errors(&(wide + &narrow(r#""8.8.8.8""#))).len(), 1);
}

#[test]
fn a_reason_is_one_line_that_says_something() {
    let relay = |reason: &str| connector("R", ALL, "AnonymousUsers", &format!("accept_risk = {reason}\n{OPTION_2}"));
    let long = format!("\"{}\"", "x".repeat(1001));
    for wrong in [r#""""#, r#"" ""#, r#""a\nb""#, r#""a\u001bb""#, "true", &long] {
        let found = errors(&relay(wrong));
        assert!(found.iter().any(|problem| problem.message.contains("accept_risk")), "{wrong}: {found:?}");
    }
    let settings = loaded(&relay(&format!("\"{}\"", "é".repeat(1000)))).expect("long enough");
    assert!(settings.receive_connectors[0].accept_risk.is_some());
}

/// A site with a gate for two hosts, users who relay, and everybody else.
fn site(assertions: &str) -> String {
    let users = "auth_mechanism = [\"Tls\", \"BasicAuth\", \"BasicAuthRequireTLS\"]\n";
    CONTOSO.to_owned()
        + "[[user]]\nname = \"bob\"\n"
        + &default_connector("AnonymousUsers, ExchangeUsers", users)
        + &connector("R", r#""192.168.2.55", "192.168.2.56""#, "AnonymousUsers", OPTION_2)
        + &connector("S", r#""10.0.0.9""#, "ExchangeServers", OPTION_1)
        + assertions
}

#[test]
fn an_assertion_that_is_broken_names_a_counter_example() {
    for (assertion, counter_example) in [
        ("who = \"unauthenticated\"\nfrom = \"public\"\ndeny = [\"relay\", \"internal\"]", None),
        (
            "who = \"anonymous\"\nfrom = \"192.168.2.0/24\"\ndeny = \"relay\"",
            Some(["192.168.2.55", "0.0.0.0:25", "R", "the entry for"]),
        ),
        ("who = \"anonymous\"\nfrom = \"192.168.2.57-192.168.2.99\"\ndeny = \"relay\"", None),
        (
            "who = \"unauthenticated\"\nfrom = \"10.0.0.0/8\"\ndeny = \"internal\"",
            Some(["10.0.0.9", "0.0.0.0:25", "S", "ExchangeServers"]),
        ),
        ("who = \"anonymous\"\nfrom = \"10.0.0.0/8\"\ndeny = \"internal\"", None),
        (
            "who = \"externally secured\"\ndeny = \"bypass anti-spam\"",
            Some(["10.0.0.9", "0.0.0.0:25", "S", "ExchangeServers"]),
        ),
        ("who = \"externally secured\"\nfrom = \"public\"\ndeny = \"submit\"", None),
        (
            "who = \"unauthenticated\"\nfrom = \"public\"\ndeny = \"send as own domains\"",
            Some(["1.0.0.0", "0.0.0.0:25", "D", "AnonymousUsers"]),
        ),
        ("who = \"any user\"\ndeny = \"send as anyone\"", None),
        (
            "who = \"any user\"\ndeny = \"ms-Exch-SMTP-Accept-Any-Recipient\"",
            Some(["1.0.0.0", "0.0.0.0:25", "D", "ExchangeUsers"]),
        ),
        ("who = \"alice\"\non = \"[::]:25\"\ndeny = \"relay\"", Some(["::2", "[::]:25", "D", "ExchangeUsers"])),
        ("who = \"alice\"\non = \"10.1.1.1:25\"\nfrom = \"10.0.0.9\"\ndeny = \"relay\"", None),
        ("who = \"anonymous\"\nfrom = [\"192.168.2.55\", \"192.168.2.56\"]\nallow = \"relay\"", None),
        (
            "who = \"anonymous\"\nfrom = \"192.168.2.55-192.168.2.57\"\nallow = \"relay\"",
            Some(["192.168.2.57", "0.0.0.0:25", "D", "not sure"]),
        ),
        (
            "who = \"anonymous\"\nfrom = \"10.0.0.9\"\nallow = \"submit\"",
            Some(["10.0.0.9", "0.0.0.0:25", "S", "anonymous"]),
        ),
        ("who = \"unauthenticated\"\nallow = \"submit\"", None),
        ("who = \"bob\"\nfrom = \"public\"\nallow = [\"submit\", \"relay\", \"internal\"]", None),
        (
            "who = \"any user\"\nfrom = \"10.0.0.0/24\"\nallow = \"submit\"",
            Some(["10.0.0.9", "0.0.0.0:25", "S", "any user"]),
        ),
        (
            "who = \"unauthenticated\"\nallow = \"submit\"\non = \"0.0.0.0:587\"",
            Some(["0.0.0.0:587", "nothing is bound", "", ""]),
        ),
    ] {
        let text = site(&format!("[[assert]]\ncomment = \"ours\"\n{assertion}\n"));
        let found = errors(&text);
        assert_eq!(found.len(), usize::from(counter_example.is_some()), "{assertion}: {found:?}");
        let (Some(problem), Some(parts)) = (found.first(), counter_example) else { continue };
        let line = text.lines().position(|line| line == "[[assert]]").expect("it is there") + 1;
        assert_eq!(problem.line, line, "{problem:?}");
        for part in parts.iter().chain(&["\"ours\""]) {
            assert!(problem.message.contains(part), "{part} in {problem:?}");
        }
    }
}

#[test]
fn an_assertion_that_allows_names_the_entry_on_which_it_hangs() {
    let gate = |more: &str| format!("{OPTION_2}{more}\n");
    for (what, entries, message) in [
        (
            "a condition",
            gate("senders = \"a@contoso.com\""),
            "gives ms-Exch-SMTP-Accept-Any-Recipient only within `senders`",
        ),
        (
            "all conditions and a date",
            gate(
                "senders = \"a@contoso.com\"\nrecipients = \"z@x.net\"\nhours = \"Mon 08:00-09:00 UTC\"\n\
                 messages_per_hour = 9\nexpires = 2099-01-31T00:00:00Z",
            ),
            "gives ms-Exch-SMTP-Accept-Any-Recipient only within `senders` and `recipients` and `hours` and \
             `messages_per_hour` until 2099-01-31T00:00:00Z",
        ),
        (
            "a date",
            gate("expires = 2099-01-31T00:00:00Z"),
            "gives ms-Exch-SMTP-Accept-Any-Recipient only until 2099-01-31T00:00:00Z",
        ),
        (
            "a date that is over",
            gate("expires = 2020-01-31T00:00:00Z"),
            "no longer gives ms-Exch-SMTP-Accept-Any-Recipient: it expired on 2020-01-31T00:00:00Z",
        ),
        (
            "an entry that takes it away under a condition",
            gate("") + &gate("deny = true\nsenders = \"a@contoso.com\""),
            "denies ms-Exch-SMTP-Accept-Any-Recipient within `senders`",
        ),
        ("an entry that takes it away", gate("") + &gate("deny = true"), "denies ms-Exch-SMTP-Accept-Any-Recipient"),
        (
            "submitting, without which nothing helps",
            gate("")
                + &gate("deny = true\nhours = \"Mon 08:00-09:00 UTC\"")
                    .replace("ms-Exch-SMTP-Accept-Any-Recipient", "ms-Exch-SMTP-Submit"),
            "denies ms-Exch-SMTP-Submit within `hours`",
        ),
    ] {
        let text = connector("R", r#""10.0.0.9""#, "AnonymousUsers", &entries)
            + "[[assert]]\nwho = \"unauthenticated\"\nfrom = \"10.0.0.9\"\nallow = \"relay\"\n";
        let found = errors(&text);
        let [problem] = &found[..] else { panic!("{what}: {found:?}") };
        // The entry is the last one that was written.
        let lines = text.lines().take_while(|line| *line != "[[assert]]").enumerate();
        let line =
            lines.filter(|(_, line)| line.contains("[[receive_connector.permission]]")).last().expect("one").0 + 1;
        let told = format!("and the entry for NT AUTHORITY\\ANONYMOUS LOGON (line {line}) {message}");
        assert!(problem.message.ends_with(&told), "{what}: {told} in {}", problem.message);
        assert!(problem.related.is_some(), "{what}");
    }
    // Nothing would give it: the connector is what the reader is shown.
    let text = connector("R", r#""10.0.0.9""#, "AnonymousUsers", "")
        + "[[assert]]\nwho = \"unauthenticated\"\nfrom = \"10.0.0.9\"\nallow = \"relay\"\n";
    let found = errors(&text);
    assert!(found.len() == 1 && !found[0].message.contains("entry for"), "{found:?}");
}

#[test]
fn whoever_falls_to_a_connector_when_a_range_expires_counts_today() {
    let wide = connector("Wide", r#""8.8.8.8/31""#, "AnonymousUsers", OPTION_2);
    let narrow = |expires: &str| {
        connector("Narrow", &format!("\"8.8.8.8\", {{ range = \"8.8.8.9\"{expires} }}"), "AnonymousUsers", "")
    };
    let count = |text: &str| errors(text).len();
    assert_eq!(count(&(wide.clone() + &narrow(""))), 0);
    assert_eq!(count(&(wide + &narrow(", expires = 2099-01-01T00:00:00Z"))), 1);
    // An entry that allows counts whatever its condition, one that denies only if that is for good.
    let gate = |allow: &str, deny: &str| {
        let deny = if deny.is_empty() { String::new() } else { format!("{OPTION_2}  deny = true\n{deny}\n") };
        connector("R", r#""8.8.8.8""#, "AnonymousUsers", &format!("{OPTION_2}{allow}\n{deny}"))
    };
    for (allow, deny, expected) in [
        ("senders = \"a@contoso.com\"", "", 1),
        ("hours = \"Mon 08:00-09:00 UTC\"", "", 1),
        ("expires = 2027-01-15T08:00:01Z", "", 1),
        ("", "expires = 2099-01-01T00:00:00Z", 1),
        ("", "senders = \"*.contoso.com\"", 1),
        ("", "comment = \"for good\"", 0),
    ] {
        assert_eq!(count(&gate(allow, deny)), expected, "{allow} {deny}");
    }
    let expired = loaded(&gate("expires = 2027-01-15T08:00:00Z", "")).expect("it no longer counts");
    assert!(expired.warnings.iter().any(|warning| warning.message.contains("has expired on 2027-01-15T08:00:00Z")));
}

#[test]
fn an_assertion_that_cannot_be_read_is_told_with_a_remedy() {
    let users = "[[user]]\nname = \"alice\"\ngroups = [\"Scanners\"]\n";
    for (assertion, message, remedy) in [
        ("who = \"anonymous\"", "neither `deny` nor `allow`", "deny = [\"relay\"]"),
        ("who = \"anonymous\"\ndeny = \"relay\"\nallow = \"submit\"", "stand in one [[assert]]", "make two"),
        ("deny = \"relay\"", "has no `who`", "any user"),
        ("who = \"anonymus\"\ndeny = \"relay\"", "anonymus", "did you mean `anonymous`?"),
        ("who = \"alicia\"\ndeny = \"relay\"", "alicia", "did you mean `alice`?"),
        ("who = \"Legacy Exchange Servers\"\ndeny = \"relay\"", "nothing that a peer can show", "any partner"),
        ("who = \"anonymous\"\ndeny = \"relais\"", "relais", "did you mean `relay`?"),
        ("who = \"anonymous\"\ndeny = []", "`deny` is empty", "deny = "),
        ("who = \"anonymous\"\ndeny = \"relay\"\nfrom = []", "`from` is empty", "leave it out"),
        ("who = \"anonymous\"\ndeny = \"relay\"\nfrom = \"publik\"", "publik", "did you mean `public`?"),
        ("who = \"anonymous\"\ndeny = \"relay\"\nfrom = \"10.0.0.0/40\"", "10.0.0.0/40", "\"anywhere\", \"public\""),
        (
            "who = \"Nurses\"\ndeny = \"relay\"",
            "no user or group `Nurses`",
            "write unauthenticated, anonymous, externally",
        ),
        ("who = \"anonymous\"\ndeny = \"relaying\"", "relaying", "did you mean `relay`?"),
        ("who = \"anonymous\"\ndeny = true", "expected text, found a boolean", "deny = [\"relay\"]"),
        ("who = \"anonymous\"\ndeny = \"relay\"\non = \"25\"", "`on`", "address:port"),
        ("who = \"anonymous\"\ndeny = \"relay\"\nwhom = \"x\"", "`whom`", "who"),
    ] {
        let found = errors(&format!("{users}[[assert]]\n{assertion}\n"));
        assert_eq!(found.len(), 1, "{assertion}: {found:?}");
        assert!(found[0].message.contains(message) && found[0].remedy.contains(remedy), "{assertion}: {found:?}");
    }
    for who in ["anonymous", "Scanners", "ALICE", r"CONTOSO\\alice", r"NT AUTHORITY\\ANONYMOUS LOGON", "any user"] {
        assert_eq!(
            errors(&format!("{users}[[assert]]\nwho = \"{who}\"\ndeny = \"ms-exch-smtp-submit\"\n")),
            [],
            "{who}"
        );
    }
    let too_many = "[[assert]]\nwho = \"anonymous\"\ndeny = \"relay\"\n".repeat(1001);
    assert_eq!(errors(&too_many).len(), 1);
}
