//! The rights of every group and principal (fact sheet sections 2.1 to 2.4).

use gatepost_mail::{AuthAs, ReversePath};
use gatepost_policy::permission::{
    Access, AccessEntry, Facts, PermissionGroup, Principal, Right, Rights, Source, Trustee, auth_as, granted,
    initial_principal, originator,
};
use gatepost_policy::receive_connector::ReceiveConnector;
use proptest::prelude::*;

use crate::document::{CONTOSO, OPTION_1, OPTION_2, default_connector, partner, settings};

/// Fact sheet section 2.2, row by row: An, Us, Sv, Ex, Lg, Pa.
const TABLE: [(&str, &str); 19] = [
    ("ms-Exch-SMTP-Submit", "YYYYYY"),
    ("ms-Exch-SMTP-Accept-Any-Recipient", "-YYYY-"),
    ("ms-Exch-SMTP-Accept-Any-Sender", "Y-YYY-"),
    ("ms-Exch-SMTP-Accept-Authoritative-Domain-Sender", "Y-YYY-"),
    ("ms-Exch-SMTP-Accept-Authentication-Flag", "--YYY-"),
    ("ms-Exch-Accept-Headers-Routing", "YYYYYY"),
    ("ms-Exch-Accept-Headers-Organization", "--Y-D-"),
    ("ms-Exch-Accept-Headers-Forest", "--Y-D-"),
    ("ms-Exch-Bypass-Anti-Spam", "-YYYY-"),
    ("ms-Exch-Bypass-Message-Size-Limit", "--YYY-"),
    ("ms-Exch-SMTP-Accept-Exch50", "--YYY-"),
    ("ms-Exch-SMTP-Accept-XShadow", "--Y---"),
    ("ms-Exch-SMTP-Accept-XAttr", "--Y---"),
    ("ms-Exch-SMTP-Accept-XProxyFrom", "--Y---"),
    ("ms-Exch-SMTP-Accept-XSessionParams", "--Y---"),
    ("ms-Exch-SMTP-Accept-XSysProbe", "--Y---"),
    ("ms-Exch-SMTP-Send-XMessageContext-ADRecipientCache", "--Y---"),
    ("ms-Exch-SMTP-Send-XMessageContext-ExtendedProperties", "--Y---"),
    ("ms-Exch-SMTP-Send-XMessageContext-FastIndex", "--Y---"),
];

fn columns() -> [(PermissionGroup, Principal); 6] {
    [
        (PermissionGroup::AnonymousUsers, Principal::Anonymous),
        (PermissionGroup::ExchangeUsers, Principal::User("alice".into())),
        (PermissionGroup::ExchangeServers, Principal::Server("mx2".into())),
        (PermissionGroup::ExchangeServers, Principal::ExternallySecured),
        (PermissionGroup::ExchangeLegacyServers, Principal::LegacyServer),
        (PermissionGroup::Partners, partner()),
    ]
}

/// What is held as long as nothing but the time is known.
fn held(connector: &ReceiveConnector, principal: &Principal) -> Rights {
    granted(connector, principal, &Facts::at(0)).rights
}

/// A connector with these entries and no others.
fn connector(entries: Vec<AccessEntry>) -> ReceiveConnector {
    let settings = settings(&default_connector("None", ""));
    ReceiveConnector { entries, ..(*settings.receive_connectors[0]).clone() }
}

#[test]
fn each_group_grants_its_column_to_its_principal_and_nothing_to_others() {
    for (column, (group, principal)) in columns().into_iter().enumerate() {
        let settings = settings(&default_connector(group.exchange_name(), ""));
        let connector = &settings.receive_connectors[0];
        for (row, marks) in TABLE {
            let right = Right::parse(row).expect("a right");
            let expected = marks.as_bytes()[column] == b'Y';
            assert_eq!(held(connector, &principal).contains(right), expected, "{row} of {principal}");
        }
        for (_, other) in columns().into_iter().filter(|(others, _)| *others != group) {
            assert_eq!(held(connector, &other), Rights::NONE, "{group:?} to {other}");
        }
    }
}

#[test]
fn session_permissions_read_as_in_the_protocol_log() {
    let anonymous = "SMTPSubmit SMTPAcceptAnySender SMTPAcceptAuthoritativeDomainSender AcceptRoutingHeaders";
    let option_2 = "SMTPSubmit SMTPAcceptAnyRecipient SMTPAcceptAnySender SMTPAcceptAuthoritativeDomainSender \
                    AcceptRoutingHeaders";
    let option_1 = "SMTPSubmit SMTPAcceptAnyRecipient SMTPAcceptAuthenticationFlag SMTPAcceptAnySender \
                    SMTPAcceptAuthoritativeDomainSender BypassAntiSpam BypassMessageSizeLimit SMTPAcceptEXCH50 \
                    AcceptRoutingHeaders";
    for (groups, more, expected) in [
        ("AnonymousUsers", "", anonymous),
        ("AnonymousUsers", OPTION_2, option_2),
        ("ExchangeServers", OPTION_1, option_1),
        ("ExchangeServers", "", "None"),
        ("None", "", "None"),
    ] {
        let settings = settings(&default_connector(groups, more));
        let connector = &settings.receive_connectors[0];
        let rights = held(connector, &initial_principal(connector));
        assert_eq!(rights.to_string(), expected, "{groups} {more}");
    }
}

/// Fact sheet sections 2.8 and 2.11.
#[test]
fn a_message_counts_as_internal_where_somebody_vouches_for_its_sender() {
    let flag = Rights::of(&[Right::AcceptAuthenticationFlag]);
    let all_but_the_flag = !flag;
    let alice = Principal::User("alice".into());
    let (nobody, bob) = ("<>", "<bob@contoso.com>");
    for (principal, rights, auth, expected, first) in [
        (&Principal::Anonymous, all_but_the_flag, None, AuthAs::Anonymous, None),
        (&Principal::Anonymous, all_but_the_flag, Some(bob), AuthAs::Anonymous, None),
        (&Principal::Anonymous, flag, None, AuthAs::Internal, None),
        (&Principal::Anonymous, flag, Some(nobody), AuthAs::Anonymous, None),
        (&Principal::ExternallySecured, flag, None, AuthAs::Internal, None),
        (&Principal::ExternallySecured, flag, Some(bob), AuthAs::Internal, Some(bob)),
        (&Principal::ExternallySecured, flag, Some(nobody), AuthAs::Anonymous, None),
        (&Principal::ExternallySecured, all_but_the_flag, None, AuthAs::Anonymous, None),
        (&Principal::Server("mx2".into()), flag, None, AuthAs::Internal, None),
        (&Principal::LegacyServer, flag, Some(nobody), AuthAs::Anonymous, None),
        (&partner(), Rights::NONE, None, AuthAs::Partner, None),
        (&partner(), Rights::NONE, Some(nobody), AuthAs::Partner, None),
        (&partner(), flag, None, AuthAs::Internal, None),
        (&partner(), flag, Some(nobody), AuthAs::Partner, None),
        (&alice, Rights::NONE, None, AuthAs::Internal, None),
        (&alice, Rights::NONE, Some(bob), AuthAs::Internal, None),
        (&alice, flag, Some(bob), AuthAs::Internal, Some(bob)),
        // Some clients say so of every message; who has just logged on is known all the same.
        (&alice, flag, Some(nobody), AuthAs::Internal, None),
    ] {
        let auth = auth.map(|text| ReversePath::parse_prefix(text).expect("a path").0);
        assert_eq!(auth_as(rights, principal, auth.as_ref()), expected, "{principal} with {rights}, {auth:?}");
        let said = originator(rights, auth.as_ref()).map(|mailbox| format!("<{mailbox}>"));
        assert_eq!(said.as_deref(), first, "{principal} with {rights}, {auth:?}");
    }
}

#[test]
fn authenticating_adds_the_users_rights_and_loses_the_anonymous_ones() {
    let settings = settings(&format!("{CONTOSO}{}", default_connector("AnonymousUsers, ExchangeUsers", "")));
    let connector = &settings.receive_connectors[0];
    let rights = held(connector, &Principal::User("alice".into()));
    assert_eq!(rights.to_string(), "SMTPSubmit SMTPAcceptAnyRecipient BypassAntiSpam AcceptRoutingHeaders");
}

#[test]
fn a_deny_entry_beats_every_allow_entry() {
    for user in [r"alice", r"CONTOSO\\Alice", r"NT AUTHORITY\\Authenticated Users", "everyone"] {
        let deny = format!(
            "[[receive_connector.permission]]\nuser = \"alice\"\n\
             extended_rights = [\"ms-exch-smtp-accept-any-sender\", \"ms-Exch-SMTP-Accept-Any-Recipient\"]\n\
             [[receive_connector.permission]]\nuser = \"{user}\"\ndeny = true\n\
             extended_rights = \"MS-EXCH-SMTP-ACCEPT-ANY-RECIPIENT, ms-Exch-Bypass-Anti-Spam\""
        );
        let settings = settings(&format!("{CONTOSO}{}", default_connector("ExchangeUsers", &deny)));
        let rights = held(&settings.receive_connectors[0], &Principal::User("alice".into()));
        assert_eq!(rights.to_string(), "SMTPSubmit SMTPAcceptAnySender AcceptRoutingHeaders", "{user}");
    }
}

#[test]
fn the_short_name_of_one_article_is_the_same_right() {
    assert_eq!(Right::parse("ms-exch-smtp-accept-authoritative-domain"), Some(Right::AcceptAuthoritativeDomainSender));
    assert_eq!(Right::parse("ms-Exch-SMTP-Accept"), None);
    for right in Right::ALL {
        assert_eq!(Right::parse(right.exchange_name()), Some(right));
    }
}

#[test]
fn trustees_are_read_by_the_names_that_windows_gives_them() {
    for (name, expected) in [
        (r"NT AUTHORITY\ANONYMOUS LOGON", Some(Trustee::AnonymousLogon)),
        (r"nt authority\anonymous logon", Some(Trustee::AnonymousLogon)),
        ("ANONYMOUS LOGON", Some(Trustee::AnonymousLogon)),
        (r"CONTOSO\ANONYMOUS LOGON", None),
        (r"NT AUTHORITY\Authenticated Users", Some(Trustee::AuthenticatedUsers)),
        ("Everyone", Some(Trustee::Everyone)),
        (r"CONTOSO\Everyone", None),
        (r"MS Exchange\Externally Secured Servers", Some(Trustee::ExternallySecuredServers)),
        (r"MS Exchange\Partner Servers", Some(Trustee::PartnerServers)),
        (r"CONTOSO\Exchange Servers", Some(Trustee::ExchangeServers)),
        (r"CONTOSO\ExchangeLegacyInterop", Some(Trustee::LegacyExchangeServers)),
        (r"CONTOSO\alice", None),
        ("alice", None),
    ] {
        assert_eq!(Trustee::parse_well_known(name), expected, "{name}");
    }
    for trustee in Trustee::WELL_KNOWN {
        assert_eq!(Trustee::parse_well_known(&trustee.to_string()), Some(trustee));
    }
}

fn trustee() -> impl Strategy<Value = Trustee> {
    let user = prop_oneof![Just("alice"), Just("Alice"), Just("bob")].prop_map(|name| Trustee::User(name.into()));
    prop_oneof![3 => prop::sample::select(Trustee::WELL_KNOWN.to_vec()), 1 => user]
}

fn principal() -> impl Strategy<Value = Principal> {
    prop_oneof![
        Just(Principal::Anonymous),
        Just(Principal::User("alice".into())),
        Just(Principal::User("bob".into())),
        Just(Principal::Server("mx2".into())),
        Just(partner()),
        Just(Principal::ExternallySecured),
        Just(Principal::LegacyServer),
    ]
}

fn entry() -> impl Strategy<Value = AccessEntry> {
    let rights = prop::collection::vec(prop::sample::select(Right::ALL.to_vec()), 0..6);
    (trustee(), any::<bool>(), rights).prop_map(|(trustee, deny, rights)| AccessEntry {
        trustee,
        access: if deny { Access::Deny } else { Access::Allow },
        rights: rights.into_iter().collect(),
        condition: None,
        note: None,
        source: Source::Extra,
        span: 0..0,
    })
}

/// The names in a principal's token, written out from fact sheet section 2.4.
fn token(principal: &Principal) -> Vec<String> {
    let mut names: Vec<&str> = match principal {
        Principal::Anonymous => vec![r"NT AUTHORITY\ANONYMOUS LOGON"],
        Principal::User(name) => vec![name, r"NT AUTHORITY\Authenticated Users"],
        Principal::Server(_) => {
            vec!["Exchange Servers", r"MS Exchange\Edge Transport Servers", r"MS Exchange\Hub Transport Servers"]
        }
        Principal::Partner(_) => vec![r"MS Exchange\Partner Servers"],
        Principal::ExternallySecured => vec![r"MS Exchange\Externally Secured Servers"],
        Principal::LegacyServer => vec![r"MS Exchange\Legacy Exchange Servers"],
    };
    names.push("Everyone");
    names.into_iter().map(str::to_lowercase).collect()
}

proptest! {
    /// Section 2.3: walk the entries in canonical order; the first that covers the right decides.
    #[test]
    fn rights_agree_with_the_plain_walk(entries in prop::collection::vec(entry(), 0..12), principal in principal()) {
        let token = token(&principal);
        let mut expected = Rights::NONE;
        for right in Right::ALL {
            let (denies, allows): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.access == Access::Deny);
            let decider = denies
                .into_iter()
                .chain(allows)
                .find(|entry| token.contains(&entry.trustee.to_string().to_lowercase()) && entry.rights.contains(right));
            if decider.is_some_and(|entry| entry.access == Access::Allow) {
                expected.insert(right);
            }
        }
        prop_assert_eq!(held(&connector(entries), &principal), expected);
    }
}
