//! The audit and the assertions say what one finds who tries every address on every listener at every instant, plainly.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gatepost_policy::Settings;
use gatepost_policy::assertion::{Assertion, Power, Subject};
use gatepost_policy::audit::{Audit, HostAddresses};
use gatepost_policy::permission::{self, Access, AccessEntry, Principal, Right, Rights};
use gatepost_policy::receive_connector::{Mechanism, ReceiveConnector};
use gatepost_policy::safeguard::load;
use gatepost_policy::settings::{Severity, parse};
use proptest::prelude::*;

use crate::document::defaults;

/// 2027-01-15T08:00:00Z.
const NOW_MS: u64 = 1_800_000_000_000;
/// Some past, one now, some to come.
const INSTANTS: [&str; 5] = [
    "2027-01-15T07:00:00Z",
    "2027-01-15T08:00:00Z",
    "2027-01-15T08:00:00.001Z",
    "2027-02-15T08:00:00Z",
    "2031-01-15T08:00:00Z",
];
const BINDINGS: [&str; 4] = ["0.0.0.0:25", "10.1.1.1:25", "[::]:25", "0.0.0.0:587"];
/// Nested or apart, so that most documents are taken.
const RANGES: [&str; 9] = [
    "0.0.0.0/0",
    "10.0.0.0/29",
    "10.0.0.0/30",
    "10.0.0.2/31",
    "10.0.0.1",
    "10.0.0.3",
    "255.255.255.255",
    "::/0",
    "2001:db8::1-2001:db8::2",
];
const SOURCES: [&str; 7] =
    ["anywhere", "public", "private", "10.0.0.0/29", "10.0.0.1-10.0.0.2", "2001:db8::2", "8.8.8.8"];
const MECHANISMS: [&str; 3] =
    [r#"["Tls"]"#, r#"["Tls", "BasicAuth", "BasicAuthRequireTLS"]"#, r#"["Tls", "ExternalAuthoritative"]"#];
const GROUPS: [&str; 3] = ["AnonymousUsers", "ExchangeUsers", "ExchangeServers"];
const TRUSTEES: [&str; 7] = [
    r"NT AUTHORITY\\ANONYMOUS LOGON",
    r"NT AUTHORITY\\Authenticated Users",
    r"MS Exchange\\Externally Secured Servers",
    "Everyone",
    "alice",
    "bob",
    "Team",
];
const SUBJECTS: [&str; 6] = ["unauthenticated", "anonymous", "externally secured", "any user", "alice", "Team"];
const RIGHTS: [Right; 6] = [
    Right::Submit,
    Right::AcceptAnyRecipient,
    Right::AcceptAnySender,
    Right::AcceptAuthoritativeDomainSender,
    Right::AcceptAuthenticationFlag,
    Right::BypassAntiSpam,
];
const POWERS: [&str; 7] = [
    "submit",
    "relay",
    "internal",
    "send as anyone",
    "send as own domains",
    "bypass anti-spam",
    "ms-Exch-SMTP-Accept-Any-Recipient",
];
const USERS: &str = "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\ngroups = [\"Team\"]\n\
                     [[user]]\nname = \"carol\"\ngroups = [\"Team\"]\n[[user]]\nname = \"dave\"\n";

fn some(of: usize, at_least: usize, at_most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::btree_set(0..of, at_least..=at_most).prop_map(|places| places.into_iter().collect())
}

fn quoted(list: &[&str], places: &[usize]) -> String {
    places.iter().map(|place| format!("\"{}\"", list[*place])).collect::<Vec<_>>().join(", ")
}

fn expires() -> impl Strategy<Value = Option<usize>> {
    prop::option::weighted(0.4, 0..INSTANTS.len())
}

fn entry() -> impl Strategy<Value = String> {
    let condition = prop::bool::weighted(0.3);
    (0..TRUSTEES.len(), some(RIGHTS.len(), 1, 4), prop::bool::weighted(0.3), condition, expires()).prop_map(
        |(trustee, rights, deny, condition, expires)| {
            let rights: Vec<&str> = rights.iter().map(|place| RIGHTS[*place].exchange_name()).collect();
            let condition = if condition { "  hours = \"Mon 08:00-09:00 UTC\"\n" } else { "" };
            let expires = expires.map_or(String::new(), |place| format!("  expires = {}\n", INSTANTS[place]));
            format!(
                "  [[receive_connector.permission]]\n  user = \"{}\"\n  extended_rights = [\"{}\"]\n  deny = {deny}\n\
                 {condition}{expires}",
                TRUSTEES[trustee],
                rights.join("\", \"")
            )
        },
    )
}

fn connector() -> impl Strategy<Value = String> {
    let range = (0..RANGES.len(), expires());
    (
        some(BINDINGS.len(), 1, 3),
        prop::collection::btree_map(0..RANGES.len(), expires(), 1..4),
        0..MECHANISMS.len(),
        some(GROUPS.len(), 0, 2),
        prop::collection::vec(entry(), 0..4),
        range,
    )
        .prop_map(|(bindings, ranges, mechanism, mut groups, entries, _)| {
            if mechanism == 2 && !groups.contains(&2) {
                groups.push(2);
            }
            let ranges: Vec<String> = ranges
                .into_iter()
                .map(|(range, expires)| match expires {
                    Some(place) => format!("{{ range = \"{}\", expires = {} }}", RANGES[range], INSTANTS[place]),
                    None => format!("\"{}\"", RANGES[range]),
                })
                .collect();
            format!(
                "accept_risk = \"a test\"\nbindings = [{}]\nremote_ip_ranges = [{}]\nauth_mechanism = {}\n\
                 permission_groups = [{}]\n{}",
                quoted(&BINDINGS, &bindings),
                ranges.join(", "),
                MECHANISMS[mechanism],
                quoted(&GROUPS, &groups),
                entries.concat(),
            )
        })
}

fn assertion() -> impl Strategy<Value = String> {
    let on = prop::option::weighted(0.4, some(BINDINGS.len(), 1, 2));
    (some(SOURCES.len(), 1, 2), on, 0..SUBJECTS.len(), any::<bool>(), some(POWERS.len(), 1, 2)).prop_map(
        |(sources, on, who, deny, powers)| {
            let on = on.map_or(String::new(), |on| format!("on = [{}]\n", quoted(&BINDINGS, &on)));
            format!(
                "[[assert]]\nfrom = [{}]\n{on}who = \"{}\"\n{} = [{}]\n",
                quoted(&SOURCES, &sources),
                SUBJECTS[who],
                if deny { "deny" } else { "allow" },
                quoted(&POWERS, &powers)
            )
        },
    )
}

fn document(connectors: &[String]) -> String {
    let tables = connectors.iter().enumerate();
    let tables = tables.map(|(place, connector)| format!("[[receive_connector]]\nname = \"{place}\"\n{connector}"));
    USERS.to_owned() + &tables.collect::<String>()
}

/// Every address beside which anything can change.
fn universe(settings: &Settings) -> BTreeSet<IpAddr> {
    let ranges = settings.receive_connectors.iter().flat_map(|connector| &connector.remote_ip_ranges);
    let mut edges: Vec<(IpAddr, IpAddr)> = ranges.map(|range| (range.first, range.last)).collect();
    edges.extend(settings.assertions.iter().flat_map(|assertion| assertion.sources.ranges()));
    edges.push((Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()));
    edges.push((Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::from(u128::MAX).into()));
    let beside = |address: IpAddr| -> Vec<IpAddr> {
        match address {
            IpAddr::V4(v4) => {
                let number = u32::from(v4);
                let near = [number.checked_sub(1), Some(number), number.checked_add(1)].into_iter().flatten();
                near.map(|number| Ipv4Addr::from(number).into()).collect()
            }
            IpAddr::V6(v6) => {
                let number = u128::from(v6);
                let near = [number.checked_sub(1), Some(number), number.checked_add(1)].into_iter().flatten();
                near.map(|number| Ipv6Addr::from(number).into()).collect()
            }
        }
    };
    let all = edges.into_iter().flat_map(|(first, last)| beside(first).into_iter().chain(beside(last)));
    // What is IPv4 in IPv6 comes as IPv4.
    all.filter(|address| address.to_canonical() == *address).collect()
}

/// Now, and whenever something expires.
fn instants(settings: &Settings) -> BTreeSet<u64> {
    let ranges = settings.receive_connectors.iter().flat_map(|connector| &connector.remote_ip_ranges);
    let expiries = ranges.filter_map(|range| range.note.as_ref()?.expires_ms);
    expiries.filter(|at| *at > NOW_MS).chain([NOW_MS]).collect()
}

fn is_expired(expires_ms: Option<u64>, at_ms: u64) -> bool {
    expires_ms.is_some_and(|expires_ms| expires_ms <= at_ms)
}

/// The connector with the smallest range that holds the peer and has not expired.
fn heard_by(settings: &Settings, local: SocketAddr, peer: IpAddr, at_ms: u64) -> Option<&ReceiveConnector> {
    let bound = settings
        .receive_connectors
        .iter()
        .filter(|connector| connector.bindings.iter().any(|binding| binding.address == local));
    let ranges = bound.flat_map(|connector| connector.remote_ip_ranges.iter().map(move |range| (connector, range)));
    let open = ranges.filter(|(_, range)| {
        let expires_ms = range.note.as_ref().and_then(|note| note.expires_ms);
        range.contains(peer) && !is_expired(expires_ms, at_ms)
    });
    open.min_by_key(|(_, range)| range.span_of_addresses()).map(|(connector, _)| &**connector)
}

fn rights(connector: &ReceiveConnector, principal: &Principal, counts: impl Fn(&AccessEntry) -> bool) -> Rights {
    let expires = |entry: &AccessEntry| entry.note.as_ref().and_then(|note| note.expires_ms);
    let entries: Vec<&AccessEntry> = connector
        .entries
        .iter()
        .filter(|entry| entry.trustee.covers(principal) && !is_expired(expires(entry), NOW_MS) && counts(entry))
        .collect();
    let has = |access: Access, right: Right| {
        entries.iter().any(|entry| entry.access == access && entry.rights.contains(right))
    };
    Right::ALL.into_iter().filter(|right| has(Access::Allow, *right) && !has(Access::Deny, *right)).collect()
}

fn is_lasting(entry: &AccessEntry) -> bool {
    entry.condition.is_none() && entry.note.as_ref().is_none_or(|note| note.expires_ms.is_none())
}

fn at_worst(connector: &ReceiveConnector, principal: &Principal) -> Rights {
    rights(connector, principal, |entry| entry.access == Access::Allow || is_lasting(entry))
}

fn for_sure(connector: &ReceiveConnector, principal: &Principal) -> Rights {
    rights(connector, principal, |entry| entry.access == Access::Deny || is_lasting(entry))
}

fn offers_logon(connector: &ReceiveConnector) -> bool {
    connector.auth_mechanism.contains(Mechanism::BasicAuth)
}

/// Whoever can stand before the connector at the worst.
fn principals(settings: &Settings, connector: &ReceiveConnector) -> Vec<Principal> {
    let users = settings.users.iter().map(|user| Principal::User(user.name.clone()));
    let users = users.filter(|user| offers_logon(connector) && at_worst(connector, user).contains(Right::Submit));
    std::iter::once(permission::initial_principal(connector)).chain(users).collect()
}

fn can(power: Power, rights: Rights, principal: &Principal) -> bool {
    let is_user = matches!(principal, Principal::User(_));
    let has = |right| rights.contains(right);
    has(Right::Submit)
        && match power {
            Power::Submit => true,
            Power::Relay => has(Right::AcceptAnyRecipient),
            Power::Internal => is_user || has(Right::AcceptAuthenticationFlag),
            Power::SendAsAnyone => has(Right::AcceptAnySender),
            Power::SendAsOwnDomains => {
                has(Right::AcceptAnySender) && (is_user || has(Right::AcceptAuthoritativeDomainSender))
            }
            Power::BypassAntiSpam => has(Right::BypassAntiSpam),
            Power::Right(right) => has(right),
        }
}

/// Those of whom the assertion speaks on the connector; `None` where it can be nobody.
fn subjects(settings: &Settings, assertion: &Assertion, connector: &ReceiveConnector) -> Option<Vec<Principal>> {
    let initial = permission::initial_principal(connector);
    let users: Vec<Principal> = match &assertion.who {
        Subject::Unauthenticated => return Some(vec![initial]),
        Subject::Anonymous => return (initial == Principal::Anonymous).then(|| vec![initial]),
        Subject::ExternallySecured => return (initial == Principal::ExternallySecured).then(|| vec![initial]),
        // These documents know none, and what is said of none is true.
        Subject::EveryServer | Subject::EveryPartner => return Some(Vec::new()),
        Subject::EveryUser => settings.users.iter().map(|user| Principal::User(user.name.clone())).collect(),
        Subject::Users { members, .. } => members.iter().map(|name| Principal::User(name.clone())).collect(),
    };
    offers_logon(connector).then_some(users)
}

/// Whether the assertion is broken by this peer there and then.
fn breaks(settings: &Settings, assertion: &Assertion, local: SocketAddr, peer: IpAddr, at_ms: u64) -> bool {
    let heard = heard_by(settings, local, peer, at_ms);
    let subjects = heard.map(|connector| (connector, subjects(settings, assertion, connector)));
    match (assertion.access, subjects) {
        (Access::Deny, None | Some((_, None))) => false,
        (Access::Allow, None | Some((_, None))) => true,
        (Access::Deny, Some((connector, Some(subjects)))) => subjects.iter().any(|principal| {
            assertion.powers.iter().any(|power| can(*power, at_worst(connector, principal), principal))
        }),
        (Access::Allow, Some((connector, Some(subjects)))) => !subjects.iter().all(|principal| {
            assertion.powers.iter().all(|power| can(*power, for_sure(connector, principal), principal))
        }),
    }
}

/// More in a long run: `GATEPOST_CASES=100000 cargo test --release -p gatepost-policy proofs`.
fn cases() -> u32 {
    std::env::var("GATEPOST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 10_000_000, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn the_audit_agrees_with_brute_force_at_every_instant(connectors in prop::collection::vec(connector(), 1..4)) {
        let text = document(&connectors);
        let Ok(settings) = parse(&text, &defaults()) else { return Err(TestCaseError::reject("refused")) };
        let audit = Audit::of(&settings, &text, &HostAddresses::default(), NOW_MS);
        for local in settings.selector.bindings() {
            let peers = universe(&settings).into_iter().filter(|peer| peer.is_ipv4() == local.is_ipv4());
            for (peer, at_ms) in peers.flat_map(|peer| instants(&settings).into_iter().map(move |at_ms| (peer, at_ms))) {
                let rows: Vec<_> = audit.exposures.iter().filter(|row| {
                    row.listeners.contains(&local)
                        && row.sources.contains(peer)
                        && row.from_ms.is_none_or(|from_ms| from_ms <= at_ms)
                        && row.until_ms.is_none_or(|until_ms| at_ms < until_ms)
                }).collect();
                let Some(connector) = heard_by(&settings, local, peer, at_ms) else {
                    prop_assert!(rows.is_empty(), "nobody hears {} on {}: {:?}", peer, local, rows);
                    continue;
                };
                let principals = principals(&settings, connector);
                for principal in &principals {
                    let here: Vec<_> = rows.iter().filter(|row| row.standing.who.covers(principal)).collect();
                    prop_assert_eq!(here.len(), 1, "{} from {} on {} at {}", principal, peer, local, at_ms);
                    let worst = at_worst(connector, principal);
                    let expected = worst.contains(Right::Submit).then(|| (worst, worst & !for_sure(connector, principal)));
                    let said = here[0].standing.capability.as_ref().map(|capability| (capability.rights, capability.unsure));
                    prop_assert_eq!(said, expected, "{} from {} on {} at {}", principal, peer, local, at_ms);
                }
                let users = settings.users.iter().map(|user| Principal::User(user.name.clone()));
                for absent in users.filter(|user| !principals.contains(user)) {
                    prop_assert!(!rows.iter().any(|row| row.standing.who.covers(&absent)), "{} from {}", absent, peer);
                }
            }
        }
    }

    #[test]
    fn assertions_of_both_kinds_agree_with_brute_force(
        connectors in prop::collection::vec(connector(), 1..4),
        assertion in assertion(),
    ) {
        let text = document(&connectors) + &assertion;
        let Ok(settings) = parse(&text, &defaults()) else { return Err(TestCaseError::reject("refused")) };
        let assertion = &settings.assertions[0];
        let bindings = settings.selector.bindings();
        let meant = |local: &SocketAddr| {
            assertion.listeners.is_empty() || assertion.listeners.iter().any(|on| {
                on == local || (on.ip().is_unspecified() && on.is_ipv4() == local.is_ipv4() && on.port() == local.port())
            })
        };
        let mut is_broken = assertion.access == Access::Allow
            && assertion.listeners.iter().any(|on| !bindings.iter().any(|local| {
                on == local || (on.ip().is_unspecified() && on.is_ipv4() == local.is_ipv4() && on.port() == local.port())
            }));
        for local in bindings.iter().filter(|local| meant(local)) {
            for peer in universe(&settings).into_iter().filter(|peer| peer.is_ipv4() == local.is_ipv4()) {
                is_broken |= assertion.sources.contains(peer)
                    && instants(&settings).into_iter().any(|at_ms| breaks(&settings, assertion, *local, peer, at_ms));
            }
        }
        let problems = load(&text, &defaults(), NOW_MS).err().unwrap_or_default();
        let told: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        prop_assert_eq!(!told.is_empty(), is_broken, "{:?}\n{}", told, text);
        for message in told.iter().filter_map(|problem| problem.message.strip_prefix("the assertion is broken: on ")) {
            let (local, rest) = message.split_once(", ").expect("a listener");
            let (peer, _) = rest.split_once(' ').expect("a peer");
            let (local, peer) = (local.parse().expect("a listener"), peer.parse().expect("an address"));
            let is_so = instants(&settings).into_iter().any(|at_ms| breaks(&settings, assertion, local, peer, at_ms));
            prop_assert!(is_so && assertion.sources.contains(peer), "{}\n{}", message, text);
        }
    }
}
