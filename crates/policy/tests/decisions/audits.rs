//! The audit says of every address what the decisions say of it one by one; and it finds what deserves a look.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gatepost_mail::{Mailbox, ReversePath};
use gatepost_policy::audit::{Audit, Capability, HostAddresses, Severity, Who, Whom, difference};
use gatepost_policy::permission::{self, Facts, Principal, Right, Rights};
use gatepost_policy::receive_connector::{Mechanism, ReceiveConnector};
use gatepost_policy::relay::Reach;
use gatepost_policy::sender::Scope;
use gatepost_policy::settings::parse;
use gatepost_policy::{Settings, limits, relay, sender};
use proptest::prelude::*;

use crate::document::{CONTOSO, OPTION_1, OPTION_2, connector, default_connector, defaults, settings};

const BINDINGS: [&str; 5] = ["0.0.0.0:25", "10.1.1.1:25", "[::]:25", "[2001:db8::1]:25", "0.0.0.0:587"];
/// Some of them without a binding of their own.
const LOCALS: [&str; 6] =
    ["10.1.1.1:25", "10.1.1.2:25", "[2001:db8::1]:25", "[2001:db8::2]:25", "10.1.1.1:587", "10.1.1.2:2525"];
/// Nested or apart, so that most documents are taken.
const RANGES: [&str; 13] = [
    "0.0.0.0/0",
    "10.0.0.0/29",
    "10.0.0.0/30",
    "10.0.0.4/30",
    "10.0.0.2/31",
    "10.0.0.1",
    "10.0.0.3",
    "10.0.0.5-10.0.0.6",
    "255.255.255.255",
    "::/0",
    "2001:db8::/126",
    "2001:db8::1-2001:db8::2",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];
const MECHANISMS: [&str; 6] = [
    r#"["Tls"]"#,
    r#""None""#,
    r#"["BasicAuth"]"#,
    r#"["Tls", "BasicAuth"]"#,
    r#"["Tls", "BasicAuth", "BasicAuthRequireTLS"]"#,
    r#"["Tls", "ExternalAuthoritative"]"#,
];
const GROUPS: [&str; 5] = ["AnonymousUsers", "ExchangeUsers", "ExchangeServers", "Partners", "ExchangeLegacyServers"];
const TRUSTEES: [&str; 6] = [
    r"NT AUTHORITY\\ANONYMOUS LOGON",
    r"NT AUTHORITY\\Authenticated Users",
    r"MS Exchange\\Externally Secured Servers",
    "Everyone",
    "alice",
    "bob",
];
const RIGHTS: [Right; 7] = [
    Right::Submit,
    Right::AcceptAnyRecipient,
    Right::AcceptAnySender,
    Right::AcceptAuthoritativeDomainSender,
    Right::AcceptAuthenticationFlag,
    Right::BypassAntiSpam,
    Right::BypassMessageSizeLimit,
];
const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// Some of the places of a list.
fn some(of: usize, at_least: usize, at_most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::btree_set(0..of, at_least..=at_most).prop_map(|places| places.into_iter().collect())
}

fn quoted(list: &[&str], places: &[usize]) -> String {
    places.iter().map(|place| format!("\"{}\"", list[*place])).collect::<Vec<_>>().join(", ")
}

fn entry() -> impl Strategy<Value = String> {
    (0..TRUSTEES.len(), some(RIGHTS.len(), 1, 3), prop::bool::weighted(0.3)).prop_map(|(trustee, rights, deny)| {
        let rights: Vec<String> = rights.iter().map(|place| format!("\"{}\"", RIGHTS[*place])).collect();
        format!(
            "  [[receive_connector.permission]]\n  user = \"{}\"\n  extended_rights = [{}]\n  deny = {deny}\n",
            TRUSTEES[trustee],
            rights.join(", ")
        )
    })
}

/// A connector without its name.
fn drawn() -> impl Strategy<Value = String> {
    (
        some(BINDINGS.len(), 1, 3),
        some(RANGES.len(), 1, 3),
        0..MECHANISMS.len(),
        some(GROUPS.len(), 0, 3),
        prop::collection::vec(entry(), 0..3),
        prop::bool::weighted(0.95),
        any::<bool>(),
    )
        .prop_map(|(bindings, ranges, mechanism, mut groups, entries, enabled, large)| {
            if mechanism == 5 && !groups.contains(&2) {
                groups.push(2);
            }
            format!(
                "bindings = [{}]\nremote_ip_ranges = [{}]\nauth_mechanism = {}\npermission_groups = [{}]\n\
                 enabled = {enabled}\nmax_message_size = \"{} MB\"\n{}",
                quoted(&BINDINGS, &bindings),
                quoted(&RANGES, &ranges),
                MECHANISMS[mechanism],
                quoted(&GROUPS, &groups),
                if large { 20 } else { 10 },
                entries.concat(),
            )
        })
}

/// A whole document; entries may name users who are not declared, and then it is refused.
fn document() -> impl Strategy<Value = String> {
    (prop::collection::vec(drawn(), 1..4), 0..=USERS.len()).prop_map(|(connectors, users)| {
        let mut text = "[[accepted_domain]]\nname = \"contoso.com\"\n".to_owned();
        for user in &USERS[USERS.len() - users..] {
            text += &format!("[[user]]\nname = \"{user}\"\naddresses = [\"{user}@contoso.com\"]\n");
        }
        for (place, connector) in connectors.iter().enumerate() {
            text += &format!("[[receive_connector]]\nname = \"{place}\"\n{connector}");
        }
        text
    })
}

/// The addresses where anything can change, and those beside them.
fn universe(of: &[&Settings]) -> BTreeSet<IpAddr> {
    let mut addresses: BTreeSet<IpAddr> = (0..9).map(|low| IpAddr::from([10, 0, 0, low])).collect();
    addresses.extend([IpAddr::from([0; 4]), IpAddr::from([255; 4]), "::".parse().expect("an address")]);
    let connectors = of.iter().flat_map(|settings| &settings.receive_connectors);
    for range in connectors.flat_map(|connector| &connector.remote_ip_ranges) {
        for edge in [range.first, range.last] {
            addresses.insert(edge);
            match edge {
                IpAddr::V4(v4) => {
                    let number = u32::from(v4);
                    let beside = [number.checked_sub(1), number.checked_add(1)].into_iter().flatten();
                    addresses.extend(beside.map(|number| IpAddr::from(Ipv4Addr::from(number))));
                }
                IpAddr::V6(v6) => {
                    let number = u128::from(v6);
                    let beside = [number.checked_sub(1), number.checked_add(1)].into_iter().flatten();
                    addresses.extend(beside.map(|number| IpAddr::from(Ipv6Addr::from(number))));
                }
            }
        }
    }
    addresses
}

fn principals() -> Vec<Principal> {
    let users = USERS.iter().map(|user| Principal::User((*user).into()));
    [Principal::Anonymous, Principal::ExternallySecured].into_iter().chain(users).collect()
}

/// Whether a peer on `connector` can become `principal`, as plainly as possible.
fn arises(settings: &Settings, connector: &ReceiveConnector, principal: &Principal) -> bool {
    let has = |mechanism| connector.auth_mechanism.contains(mechanism);
    match principal {
        Principal::User(name) => {
            let declared = settings.users.iter().any(|user| user.name == *name);
            let asked = has(Mechanism::BasicAuth) && !has(Mechanism::ExternalAuthoritative);
            declared && asked && permission::granted(connector, principal, &Facts::at(0)).rights.contains(Right::Submit)
        }
        other => *other == permission::initial_principal(connector),
    }
}

/// The listener that hears what comes to `local`.
fn listener(bindings: &HashSet<SocketAddr>, local: SocketAddr) -> SocketAddr {
    let wildcard: IpAddr = if local.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    if bindings.contains(&local) { local } else { SocketAddr::new(wildcard, local.port()) }
}

/// What the decisions answer to representative questions.
fn decided(settings: &Settings, connector: &ReceiveConnector, principal: &Principal) -> Option<Vec<bool>> {
    let rights = permission::granted(connector, principal, &Facts::at(0)).rights;
    permission::may_submit(rights, principal).ok()?;
    let mailbox = |text: &str| Mailbox::parse(text).expect("an address");
    let reaches = |recipient: &str| {
        let question = relay::Question { rights, forward_path: &mailbox(recipient), settings };
        relay::decide(&question).is_ok()
    };
    let sends_as = |address: &str| {
        let reverse_path = ReversePath::Mailbox(mailbox(address));
        sender::decide(&sender::Question { rights, principal, reverse_path: &reverse_path, settings }).is_ok()
    };
    Some(vec![
        reaches("x@gmail.com"),
        sends_as("x@gmail.com"),
        sends_as("nobody@contoso.com"),
        matches!(principal, Principal::User(_)) || rights.contains(Right::AcceptAuthenticationFlag),
        rights.contains(Right::BypassAntiSpam),
        limits::message_size(connector, rights, 10 << 20 | 1).is_ok(),
        limits::message_size(connector, rights, 20 << 20 | 1).is_ok(),
    ])
}

/// What the audit says to the same questions.
fn audited(capability: &Capability) -> Vec<bool> {
    vec![
        capability.reach == Reach::AnyRecipient,
        capability.senders >= Scope::OutsideOurDomains,
        capability.senders == Scope::AnyAddress,
        capability.is_internal,
        capability.bypasses_anti_spam,
        capability.message_bytes_max > 10 << 20,
        capability.message_bytes_max > 20 << 20,
    ]
}

/// Rights as they count: none without Submit.
fn effective(settings: &Settings, local: SocketAddr, peer: IpAddr, principal: Option<&Principal>) -> Rights {
    let Some(connector) = settings.select(local, peer, 0) else { return Rights::NONE };
    let initial = permission::initial_principal(connector);
    let principal = principal.unwrap_or(&initial);
    let rights = permission::granted(connector, principal, &Facts::at(0)).rights;
    let counts = arises(settings, connector, principal) && rights.contains(Right::Submit);
    if counts { rights } else { Rights::NONE }
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::with_cases(2_000) })]
    #[test]
    fn the_audit_agrees_with_the_decisions_at_every_address(text in document()) {
        let Ok(settings) = parse(&text, &defaults()) else { return Err(TestCaseError::reject("refused")) };
        let audit = Audit::of(&settings, &text, &HostAddresses::default(), 0);
        let bindings: HashSet<SocketAddr> = settings.selector.bindings().into_iter().collect();
        let pairs: Vec<_> = audit.exposures.iter().flat_map(|exposure| exposure.listeners.iter().map(move |listener| (listener, &exposure.standing))).collect();
        let distinct: HashSet<_> = pairs.iter().collect();
        prop_assert_eq!(distinct.len(), pairs.len(), "one row for what is equal");
        for (local, peer) in LOCALS.iter().flat_map(|local| universe(&[&settings]).into_iter().map(move |peer| (local, peer))) {
            let local: SocketAddr = local.parse().expect("an address");
            if local.is_ipv4() != peer.is_ipv4() {
                continue;
            }
            let listener = listener(&bindings, local);
            for principal in principals() {
                let rows: Vec<_> = audit.exposures.iter().filter(|exposure| {
                    exposure.listeners.contains(&listener)
                        && exposure.sources.contains(peer)
                        && exposure.standing.who.covers(&principal)
                        && settings.find_user(&principal.to_string()).is_some() == matches!(principal, Principal::User(_))
                }).collect();
                let selected = settings.select(local, peer, 0).filter(|connector| arises(&settings, connector, &principal));
                prop_assert_eq!(rows.len(), usize::from(selected.is_some()), "{} from {} to {}", principal, peer, local);
                let (Some(row), Some(selected)) = (rows.first(), selected) else { continue };
                let said = row.standing.capability.as_ref();
                let expected = decided(&settings, selected, &principal);
                prop_assert_eq!(said.map(audited), expected, "{} from {} to {}", principal, peer, local);
                if let Some(capability) = said {
                    prop_assert_eq!(capability.rights, permission::granted(selected, &principal, &Facts::at(0)).rights);
                    let inside = matches!(principal, Principal::User(_))
                        && selected.auth_mechanism.contains(Mechanism::BasicAuthRequireTls);
                    prop_assert_eq!(capability.needs_tls, inside);
                }
                prop_assert!(row.connectors.contains(&selected.name));
            }
        }
    }

    #[test]
    fn the_difference_agrees_with_the_rights_before_and_after(old in document(), new in document()) {
        let (Ok(old), Ok(new)) = (parse(&old, &defaults()), parse(&new, &defaults())) else {
            return Err(TestCaseError::reject("refused"));
        };
        let changes = difference(&old, &new, 0);
        let bindings: HashSet<SocketAddr> = old.selector.bindings().into_iter().chain(new.selector.bindings()).collect();
        let common = |name: &str| old.find_user(name).is_some() && new.find_user(name).is_some();
        for (local, peer) in LOCALS.iter().flat_map(|local| universe(&[&old, &new]).into_iter().map(move |peer| (local, peer))) {
            let local: SocketAddr = local.parse().expect("an address");
            if local.is_ipv4() != peer.is_ipv4() {
                continue;
            }
            let listener = listener(&bindings, local);
            let here: Vec<_> = changes.iter().filter(|change| change.listeners.contains(&listener) && change.sources.contains(peer)).collect();
            let users = USERS.iter().map(|user| Some(Principal::User((*user).into())));
            for principal in [None].into_iter().chain(users) {
                let (before, after) = (effective(&old, local, peer, principal.as_ref()), effective(&new, local, peer, principal.as_ref()));
                let own = |whom: &Whom| match (whom, &principal) {
                    (Whom::Unauthenticated, None) => true,
                    (Whom::User(name), Some(Principal::User(user))) => name == user,
                    _ => false,
                };
                let is_told = |change: &&&gatepost_policy::audit::Change| own(&change.whom);
                let mut told = here.iter().find(is_told);
                if let (None, Some(Principal::User(user))) = (told, &principal) && common(user) {
                    told = here.iter().find(|change| change.whom == Whom::OtherUsers && before != after);
                }
                let said = told.map_or((Rights::NONE, Rights::NONE), |change| (change.gained, change.lost));
                prop_assert_eq!(said, (after & !before, before & !after), "{:?} from {} to {}", principal, peer, local);
            }
        }
        prop_assert!(difference(&old, &old, 0).is_empty());
    }
}

/// Severity and code of each finding, but those about owners, whom most of these documents lack.
fn found(text: &str) -> Vec<(Severity, &'static str)> {
    found_on(text, &HostAddresses::default(), 0).into_iter().filter(|(_, code)| *code != "ownerless").collect()
}

fn found_on(text: &str, host: &HostAddresses, now_ms: u64) -> Vec<(Severity, &'static str)> {
    let audit = Audit::of(&settings(text), text, host, now_ms);
    audit.findings.iter().map(|finding| (finding.severity, finding.code)).collect()
}

const ALL: &str = r#""0.0.0.0/0", "::/0""#;

#[test]
fn each_kind_of_finding_is_found_where_it_is_and_not_where_it_is_not() {
    use Severity::{Critical, Note, Warning};
    let relay = |ranges: &str| connector("R", ranges, "AnonymousUsers", OPTION_2);
    let secured = |ranges: &str| connector("R", ranges, "ExchangeServers", OPTION_1);
    let own = "[[accepted_domain]]\nname = \"contoso.com\"\n";
    let alice = "[[user]]\nname = \"alice\"\n";
    for (what, text, expected) in [
        ("two hosts may relay", relay(r#""192.168.2.55", "192.168.2.56""#), &[][..]),
        ("an open relay", relay(ALL), &[(Critical, "anonymous_relay_from_public")]),
        ("one public host", relay(r#""8.8.8.8""#), &[(Critical, "anonymous_relay_from_public")]),
        ("IPv4 in 6to4", relay(r#""2002:808:808::/48""#), &[(Critical, "anonymous_relay_from_public")]),
        ("a private IPv4 address in 6to4", relay(r#""2002:a00:1::1""#), &[]),
        ("256 hosts", relay(r#""10.0.0.0/24""#), &[]),
        ("257 hosts", relay(r#""10.0.0.0-10.0.1.0""#), &[(Warning, "anonymous_relay_from_many")]),
        ("a network of IPv6", relay(r#""fd00::/64""#), &[(Warning, "anonymous_relay_from_many")]),
        (
            "a relay that counts as internal",
            relay(r#""8.8.8.8""#)
                .replace("Any-Recipient\"", "Any-Recipient\", \"ms-Exch-SMTP-Accept-Authentication-Flag\""),
            &[(Critical, "anonymous_internal_from_public"), (Critical, "anonymous_relay_from_public")],
        ),
        ("two externally secured hosts", secured(r#""192.168.2.55", "192.168.2.56""#), &[]),
        ("everybody externally secured", secured(ALL), &[(Critical, "externally_secured_from_public")]),
        ("many externally secured", secured(r#""10.0.0.0/8""#), &[(Warning, "externally_secured_from_many")]),
        (
            "relaying is denied again",
            relay(ALL)
                + "  [[receive_connector.permission]]\n  user = \"Everyone\"\n  deny = true\n  extended_rights = \
             [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n",
            &[],
        ),
        (
            "both options",
            connector("R", r#""10.0.0.1""#, "AnonymousUsers, ExchangeServers", OPTION_1),
            &[(Warning, "both_options")],
        ),
        (
            "strangers as our own",
            own.to_owned() + &default_connector("AnonymousUsers", ""),
            &[(Warning, "own_domain_forging")],
        ),
        (
            "strangers not as our own",
            own.to_owned()
                + &default_connector("AnonymousUsers", "")
                + "  [[receive_connector.permission]]\n  user = \
             \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n  deny = true\n  extended_rights = [\"ms-Exch-SMTP-Accept-Authoritative-Domain-Sender\"]\n",
            &[],
        ),
        (
            "strangers bring headers that only our servers write",
            default_connector("AnonymousUsers", "")
                + "  [[receive_connector.permission]]\n  user = \"Everyone\"\n  extended_rights = [\"ms-Exch-Accept-Headers-Forest\"]\n",
            &[(Warning, "headers_of_strangers")],
        ),
        (
            "strangers bring none of them",
            default_connector("AnonymousUsers", "")
                + "  [[receive_connector.permission]]\n  user = \"Everyone\"\n  extended_rights = [\"ms-Exch-Accept-Headers-Forest\"]\n"
                + "  [[receive_connector.permission]]\n  user = \"Everyone\"\n  deny = true\n  extended_rights = [\"ms-Exch-Accept-Headers-Forest\"]\n",
            &[],
        ),
        (
            "passwords without TLS",
            alice.to_owned() + &connector("C", r#""10.0.0.1""#, "ExchangeUsers", "auth_mechanism = [\"BasicAuth\"]"),
            &[(Warning, "credentials_before_tls")],
        ),
        (
            "passwords in implicit TLS",
            alice.to_owned()
                + &connector(
                    "C",
                    r#""10.0.0.1""#,
                    "ExchangeUsers",
                    "implicit_tls = true\nauth_mechanism = [\"Tls\", \"BasicAuth\"]",
                ),
            &[],
        ),
        (
            "no binding for IPv6",
            connector("C", r#""0.0.0.0/0""#, "AnonymousUsers", "").replace(r#", "[::]:25""#, ""),
            &[(Note, "ipv6_binding_forgotten")],
        ),
        (
            "no range for IPv6",
            connector("C", r#""0.0.0.0/0""#, "AnonymousUsers", ""),
            &[(Note, "ipv6_range_forgotten")],
        ),
        (
            "a range that others cover",
            connector("W", r#""10.0.0.0/30", "fd00::1""#, "AnonymousUsers", "")
                + &connector("N", r#""10.0.0.0/31", "10.0.0.2/31""#, "AnonymousUsers", ""),
            &[(Note, "range_never_matches")],
        ),
        (
            "a connector that others cover",
            connector("W", r#""10.0.0.0/30""#, "AnonymousUsers", "")
                + &connector("N", r#""10.0.0.0/31", "10.0.0.2/31""#, "AnonymousUsers", ""),
            &[(Warning, "connector_never_matches")],
        ),
        (
            "a disabled connector",
            connector("R", ALL, "AnonymousUsers", &format!("enabled = false\n{OPTION_2}")),
            &[(Note, "connector_disabled")],
        ),
        (
            "a right of nobody",
            alice.to_owned()
                + &connector(
                    "R",
                    r#""10.0.0.1""#,
                    "AnonymousUsers",
                    "  [[receive_connector.permission]]\n  user = \"alice\"\n  extended_rights = [\"ms-Exch-SMTP-Accept-Any-Sender\"]\n",
                ),
            &[(Warning, "unusable_right")],
        ),
        ("a right without Submit", connector("R", r#""10.0.0.1""#, "None", OPTION_2), &[(Warning, "unusable_right")]),
        (
            "nobody can log in",
            connector("R", r#""10.0.0.1""#, "AnonymousUsers, ExchangeUsers", ""),
            &[(Note, "unusable_group")],
        ),
        (
            "strangers reach a domain that is passed on",
            CONTOSO.to_owned() + &default_connector("AnonymousUsers", ""),
            &[(Warning, "own_domain_forging"), (Note, "relay_domain_open_to_strangers")],
        ),
        (
            "strangers reach only those recipients that the next hop knows",
            CONTOSO.replace("ExternalRelay\"", "ExternalRelay\"\nrecipient_verification = true")
                + &default_connector("AnonymousUsers", ""),
            &[(Warning, "own_domain_forging")],
        ),
    ] {
        assert_eq!(found(&text), expected, "{what}");
    }
}

#[test]
fn findings_name_connector_line_and_remedy() {
    let text = connector("Relay", ALL, "AnonymousUsers", OPTION_2);
    let audit = Audit::of(&settings(&text), &text, &HostAddresses::default(), 0);
    let [finding, ownerless] = &audit.findings[..] else { panic!("{:?}", audit.findings) };
    assert!(audit.has_critical());
    assert_eq!((ownerless.code, ownerless.line), ("ownerless", 4));
    assert_eq!((finding.connector.as_deref(), finding.line), (Some("Relay"), 7), "where the entry begins");
    assert!(
        finding.remedy.starts_with("take ms-Exch-SMTP-Accept-Any-Recipient from NT AUTHORITY"),
        "{}",
        finding.remedy
    );
    assert!(finding.sources.contains("8.8.8.8".parse().expect("an address")));
    assert!(!finding.sources.contains("10.0.0.1".parse().expect("an address")));
}

#[test]
fn what_is_equal_is_one_row_and_the_most_dangerous_comes_first() {
    let text = CONTOSO.to_owned()
        + &default_connector("AnonymousUsers", "")
        + &connector("One", r#""192.168.2.55""#, "AnonymousUsers", OPTION_2)
        + &connector("Two", r#""192.168.2.56""#, "AnonymousUsers", OPTION_2)
        + &connector("Three", r#""192.168.2.57", "fd00::7""#, "ExchangeServers", OPTION_1);
    let settings = settings(&text);
    let audit = Audit::of(&settings, &text, &HostAddresses::default(), 0);
    let rows: Vec<_> = audit
        .exposures
        .iter()
        .map(|row| {
            (row.standing.who.to_string(), row.sources.describe(9), row.connectors.join(", "), row.listeners.len())
        })
        .collect();
    let row =
        |who: &str, sources: &str, connectors: &str| (who.to_owned(), sources.to_owned(), connectors.to_owned(), 2);
    assert_eq!(
        rows,
        [
            row("externally secured", "192.168.2.57, fd00::7", "Three"),
            ("anonymous".to_owned(), "192.168.2.55-192.168.2.56".to_owned(), "One, Two".to_owned(), 1),
            row("anonymous", "every address but 192.168.2.55-192.168.2.57, fd00::7", "D"),
        ]
    );
}

#[test]
fn users_with_entries_of_their_own_stand_apart() {
    let entry = |user: &str, right: Right| {
        format!("  [[receive_connector.permission]]\n  user = \"{user}\"\n  extended_rights = [\"{right}\"]\n")
    };
    let users = USERS.map(|user| format!("[[user]]\nname = \"{user}\"\n")).concat();
    let auth = r#"auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]"#;
    for (groups, entries, expected) in [
        ("ExchangeUsers", String::new(), &["any user"][..]),
        ("ExchangeUsers", entry("alice", Right::AcceptAnySender), &["alice", "any user but alice"]),
        // It says nothing new.
        ("ExchangeUsers", entry("alice", Right::Submit), &["any user"]),
        ("None", entry("alice", Right::Submit) + &entry("bob", Right::Submit), &["alice, bob"]),
        ("None", USERS.map(|user| entry(user, Right::Submit)).concat(), &["alice, bob, carol"]),
    ] {
        let text = users.clone() + &connector("C", r#""10.0.0.1""#, groups, &format!("{auth}\n{entries}"));
        let audit = Audit::of(&settings(&text), &text, &HostAddresses::default(), 0);
        let users: Vec<String> = audit
            .exposures
            .iter()
            .filter(|row| !matches!(row.standing.who, Who::Unauthenticated(_)))
            .map(|row| row.standing.who.to_string())
            .collect();
        assert_eq!(users, expected, "{groups} {entries}");
        assert!(audit.exposures.iter().all(|row| row.standing.capability.as_ref().is_none_or(|may| may.needs_tls)));
    }
}

#[test]
fn a_difference_names_the_addresses_that_gain_and_lose() {
    let before = CONTOSO.to_owned() + &default_connector("AnonymousUsers", "");
    let gate = |range: &str| before.clone() + &connector("R", range, "AnonymousUsers", OPTION_2);
    let texts = |old: &str, new: &str| -> Vec<String> {
        let changes = difference(&settings(old), &settings(new), 0);
        changes
            .iter()
            .map(|change| format!("{} +{} -{}", change.sources.describe(3), change.gained, change.lost))
            .collect()
    };
    let (one, two) = (gate(r#""192.168.2.55", "192.168.2.56""#), gate(r#""192.168.2.56-192.168.2.57""#));
    assert_eq!(texts(&before, &one), ["192.168.2.55-192.168.2.56 +SMTPAcceptAnyRecipient -None"]);
    assert_eq!(
        texts(&one, &two),
        ["192.168.2.57 +SMTPAcceptAnyRecipient -None", "192.168.2.55 +None -SMTPAcceptAnyRecipient"]
    );
    assert_eq!(texts(&two, &two), [""; 0]);
}

/// 2027-01-15T08:00:00Z.
const NOW_MS: u64 = 1_800_000_000_000;

#[test]
fn what_time_does_to_settings_is_found() {
    use Severity::{Note, Warning};
    let owner = "owner = \"it@contoso.com\"";
    let range = |text: &str, expires: &str| format!("{{ range = \"{text}\", {owner}, expires = {expires} }}");
    let entry = |more: &str| OPTION_2.to_owned() + "  owner = \"it@contoso.com\"\n" + more;
    let (past, soon, later) = ("2027-01-15T09:00:00+01:00", "2027-02-14T08:00:00Z", "2027-02-14T08:00:00.001Z");
    let relay = |ranges: &str, more: &str| connector("R", ranges, "AnonymousUsers", more);
    let wide = |groups: &str, more: &str| connector("W", r#""10.0.0.0/24""#, groups, more);
    for (what, text, expected) in [
        ("nothing expires", relay(r#""10.0.0.1""#, &entry("")), &[][..]),
        (
            "an entry that has expired",
            relay(r#""10.0.0.1""#, &entry(&format!("  expires = {past}\n"))),
            &[(Warning, "expired_entry")],
        ),
        (
            "an entry that will",
            relay(r#""10.0.0.1""#, &entry(&format!("  expires = {soon}\n"))),
            &[(Note, "entry_expires_soon")],
        ),
        ("an entry that will some day", relay(r#""10.0.0.1""#, &entry(&format!("  expires = {later}\n"))), &[]),
        (
            "a range that has expired",
            relay(&format!("\"10.0.0.2\", {}", range("10.0.0.1", past)), &entry("")),
            &[(Warning, "expired_range"), (Note, "range_never_matches")],
        ),
        (
            "a range that will, and then nobody hears its host",
            relay(&range("10.0.0.1", soon), &entry("")),
            &[(Note, "expiry_silences"), (Note, "range_expires_soon")],
        ),
        (
            "a range whose host falls to a connector that may do less",
            wide("AnonymousUsers", "") + &relay(&range("10.0.0.1", later), &entry("")),
            &[(Note, "expiry_narrows")],
        ),
        (
            "a range whose host falls to a connector that may do more",
            wide("AnonymousUsers", &entry("")) + &relay(&range("10.0.0.1", later), ""),
            &[(Warning, "expiry_widens")],
        ),
        (
            "a range whose host falls to a wider range of the same connector",
            relay(&format!("\"10.0.0.0/31\", {}", range("10.0.0.1", later)), &entry("")),
            &[],
        ),
        ("a gate that nobody owns", relay(r#""10.0.0.1", "10.0.0.2""#, OPTION_2), &[(Note, "ownerless")]),
        (
            "trust that nobody owns",
            connector("R", r#""10.0.0.1""#, "ExchangeServers", OPTION_1),
            &[(Note, "ownerless")],
        ),
        (
            "trust that somebody owns",
            connector("R", &format!("{{ range = \"10.0.0.1\", {owner} }}"), "ExchangeServers", OPTION_1),
            &[],
        ),
        ("a connector that trusts nobody", connector("R", r#""10.0.0.1""#, "AnonymousUsers", ""), &[]),
    ] {
        assert_eq!(found_on(&text, &HostAddresses::default(), NOW_MS), expected, "{what}");
    }
}

#[test]
fn trust_in_an_address_that_may_stand_for_strangers_is_found() {
    use Severity::{Critical, Warning};
    let address = |text: &str| text.parse().expect("an address");
    let host = HostAddresses {
        own: ["127.0.0.1", "10.0.0.2", "172.17.0.1", "::1", "fd00::2"].map(address).to_vec(),
        bridges: vec![address("172.17.0.1")],
        gateways: ["10.0.0.1", "fd00::1"].map(address).to_vec(),
    };
    for (ranges, expected) in [
        (r#""10.0.0.3-10.0.0.9""#, &[][..]),
        (r#""10.0.0.0/24""#, &[(Critical, "trusted_gateway"), (Warning, "trusted_own_address")]),
        (r#""fd00::/126""#, &[(Critical, "trusted_gateway"), (Warning, "trusted_own_address")]),
        (r#""172.17.0.0/24""#, &[(Critical, "trusted_bridge")]),
        (r#""127.0.0.2""#, &[(Warning, "trusted_loopback")]),
        (r#""::1""#, &[(Warning, "trusted_loopback")]),
    ] {
        for (groups, more) in [("AnonymousUsers", OPTION_2), ("ExchangeServers", OPTION_1)] {
            let found = found_on(&connector("R", ranges, groups, more), &host, NOW_MS);
            let found: Vec<_> = found.into_iter().filter(|(_, code)| code.starts_with("trusted_")).collect();
            assert_eq!(found, expected, "{ranges}");
        }
        assert_eq!(found_on(&connector("R", ranges, "AnonymousUsers", ""), &host, NOW_MS), [], "no trust in {ranges}");
    }
    let accepted = connector("R", ALL, "AnonymousUsers", &format!("accept_risk = \"x\"\n{OPTION_2}"));
    let found = found_on(&accepted, &host, NOW_MS);
    assert!(found.iter().any(|(_, code)| *code == "accepted_risk"), "{found:?}");
    assert!(!found.iter().any(|(_, code)| code.starts_with("trusted_")), "all are trusted: {found:?}");
}

#[test]
fn an_exposure_says_what_it_hangs_on_and_for_how_long_it_holds() {
    let gate = connector(
        "Gate",
        r#"{ range = "10.0.0.1", expires = 2027-02-01T00:00:00Z }"#,
        "AnonymousUsers",
        &(OPTION_2.to_owned() + "  hours = \"Mon-Fri 08:00-18:00 UTC\"\n"),
    );
    let text = connector("Wide", r#""10.0.0.0/24""#, "AnonymousUsers", "") + &gate;
    let settings = settings(&text);
    let audit = Audit::of(&settings, &text, &HostAddresses::default(), NOW_MS);
    let ends = Some(1_801_440_000_000);
    let rows: Vec<_> = audit
        .exposures
        .iter()
        .map(|row| {
            let unsure = row.standing.capability.as_ref().map_or(Rights::NONE, |capability| capability.unsure);
            (row.sources.describe(9), unsure, row.from_ms, row.until_ms)
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("10.0.0.1".to_owned(), Rights::from(Right::AcceptAnyRecipient), None, ends),
            ("10.0.0.0, 10.0.0.2-10.0.0.255".to_owned(), Rights::NONE, None, None),
            ("10.0.0.1".to_owned(), Rights::NONE, ends, None),
        ]
    );
}
