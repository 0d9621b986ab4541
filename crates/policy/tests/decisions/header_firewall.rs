//! Which header fields pass, by right and by send connector (fact sheet sections 2.1 and 2.9).

use gatepost_mail::header_firewall::{Organization, Rules};
use gatepost_mail::{Arrival, AuthAs, BodyType, Envelope, Mailbox, Recipient, ReversePath};
use gatepost_policy::access_entry::{PermissionGroup, Principal, Right, Rights};
use gatepost_policy::header_firewall::{DELIVERED, RETURNED, decide, decide_send};
use gatepost_policy::send_right::{SendRight, SendRights};
use gatepost_policy::{permission, send_permission};

use crate::document::{CONTOSO, OPTION_1, OPTION_2, connector, partner, problems, settings};

const ORGANIZATION: &str = "X-MS-Exchange-Organization-SCL";
const FOREST: &str = "X-MS-Exchange-Forest-RulesExecuted";

/// Which of the three families pass whole.
fn families(rules: Rules) -> (bool, bool, bool) {
    assert_eq!(rules.passes("Received"), rules.passes("Resent-From"));
    (rules.passes(ORGANIZATION), rules.passes(FOREST), rules.passes("Received"))
}

#[test]
fn each_family_is_kept_by_its_own_right_and_by_no_other() {
    for right in Right::ALL {
        let kept = families(decide(right.into()));
        let expected = match right {
            Right::AcceptHeadersOrganization => (true, false, false),
            Right::AcceptHeadersForest => (false, true, false),
            Right::AcceptHeadersRouting => (false, false, true),
            _ => (false, false, false),
        };
        assert_eq!(kept, expected, "{right}");
    }
    assert_eq!(decide(Rights::ALL), Rules::ALL);
    for right in SendRight::ALL {
        let kept = families(decide_send([right].into_iter().collect()));
        let expected = match right {
            SendRight::HeadersOrganization => (true, false, false),
            SendRight::HeadersForest => (false, true, false),
            SendRight::HeadersRouting => (false, false, true),
            SendRight::Exch50 | SendRight::XShadow => (false, false, false),
        };
        assert_eq!(kept, expected, "{right}");
    }
    assert_eq!(decide_send(SendRights::ALL), Rules::ALL);
}

#[test]
fn v12_and_v13_no_way_of_relaying_brings_organization_headers_by_itself() {
    let with_right = format!(
        "{OPTION_2}\n  [[receive_connector.permission]]\n  user = \"Everyone\"\n  extended_rights = [\"ms-Exch-Accept-Headers-Organization\"]"
    );
    for (groups, more, principal, expected) in [
        ("AnonymousUsers", OPTION_2, Principal::Anonymous, (false, false, true)),
        ("ExchangeServers", OPTION_1, Principal::ExternallySecured, (false, false, true)),
        ("ExchangeUsers", "", Principal::User("alice".into()), (false, false, true)),
        ("ExchangeLegacyServers", "", Principal::LegacyServer, (false, false, true)),
        ("ExchangeServers", "", Principal::Server("mx2".into()), (true, true, true)),
        ("AnonymousUsers", &*with_right, Principal::Anonymous, (true, false, true)),
    ] {
        let document = format!("{CONTOSO}{}", connector("R", "\"192.168.2.55\"", groups, more));
        let settings = settings(&document);
        let rights = permission::granted_for_sure(&settings.receive_connectors[0], &principal, 0);
        assert_eq!(families(decide(rights)), expected, "{groups} {more}");
    }
    assert!(PermissionGroup::ALL.len() == 5, "each of them stands above, or gives no such right");
}

#[test]
fn a_mailbox_keeps_the_listed_fields_and_a_report_returns_none() {
    assert_eq!(DELIVERED.organization, Organization::Delivered);
    assert!(DELIVERED.passes("X-MS-Exchange-Organization-AuthAs") && DELIVERED.passes("Received"));
    assert!(!DELIVERED.passes("X-MS-Exchange-Organization-Journal-Report") && !DELIVERED.passes(FOREST));
    assert_eq!(families(RETURNED), (false, false, false));
}

fn send_connector(more: &str) -> String {
    format!(
        "[[send_connector]]\nname = \"Partner\"\naddress_spaces = [\"SMTP:*;1\"]\nsmart_hosts = [\"[10.0.0.5]\"]\n{more}\n"
    )
}

#[test]
fn next_hops_hold_what_the_table_and_the_entries_give_them() {
    let permission = |user: &str, right: &str, more: &str| {
        format!("[[send_connector.permission]]\nuser = '{user}'\nextended_rights = ['{right}']\n{more}\n")
    };
    const TRUSTED: &str = "smart_host_auth_mechanism = \"ExternalAuthoritative\"\n";
    const ANYBODY: &str = r"NT AUTHORITY\ANONYMOUS LOGON";
    const SECURED: &str = r"MS Exchange\Externally Secured Servers";
    const ORGANIZATION_RIGHT: &str = "ms-Exch-Send-Headers-Organization";
    for (more, expected) in [
        (String::new(), (false, false, true)),
        (TRUSTED.to_owned(), (false, false, true)),
        (permission(ANYBODY, ORGANIZATION_RIGHT, ""), (true, false, true)),
        (permission("Everyone", ORGANIZATION_RIGHT, ""), (true, false, true)),
        (permission(ANYBODY, "ms-exch-send-headers-forest", ""), (false, true, true)),
        (permission(ANYBODY, "ms-Exch-Send-Headers-Routing", "deny = true"), (false, false, false)),
        (permission(ANYBODY, ORGANIZATION_RIGHT, "expires = 2026-01-01T00:00:00Z"), (false, false, true)),
        (permission(ANYBODY, ORGANIZATION_RIGHT, "expires = 2028-01-01T00:00:00Z"), (true, false, true)),
        (permission(SECURED, ORGANIZATION_RIGHT, ""), (false, false, true)),
        (format!("{TRUSTED}{}", permission(SECURED, ORGANIZATION_RIGHT, "")), (true, false, true)),
        (format!("{TRUSTED}{}", permission(ANYBODY, ORGANIZATION_RIGHT, "")), (false, false, true)),
        (
            format!(
                "{}{}",
                permission(ANYBODY, ORGANIZATION_RIGHT, ""),
                permission("Everyone", ORGANIZATION_RIGHT, "deny = true")
            ),
            (false, false, true),
        ),
    ] {
        let settings = settings(&send_connector(&more));
        // 1 January 2027.
        let rights = send_permission::granted(&settings.send_connectors[0], 1_798_761_600_000);
        assert_eq!(families(decide_send(rights)), expected, "{more}");
    }
}

#[test]
fn the_table_of_default_holders_is_that_of_the_fact_sheet() {
    use SendRight::{Exch50, HeadersForest, HeadersOrganization, HeadersRouting, XShadow};
    for (principal, expected) in [
        (Principal::Server("mx2".into()), &[HeadersOrganization, HeadersForest, HeadersRouting, Exch50, XShadow][..]),
        (Principal::ExternallySecured, &[HeadersRouting, Exch50]),
        (Principal::LegacyServer, &[HeadersRouting, Exch50]),
        (Principal::Anonymous, &[HeadersRouting]),
        (partner(), &[HeadersRouting]),
        (Principal::User("alice".into()), &[]),
    ] {
        let expected: SendRights = expected.iter().copied().collect();
        assert_eq!(SendRights::by_default(&principal), expected, "{principal}");
    }
}

#[test]
fn an_entry_that_can_never_count_is_warned_about() {
    let entry = "[[send_connector.permission]]\nuser = 'Externally Secured Servers'\nextended_rights = ['ms-Exch-Send-Headers-Forest']\n";
    let settings = settings(&send_connector(entry));
    let warning = settings.warnings.iter().find(|warning| warning.message.contains("this entry changes nothing"));
    assert!(
        warning.is_some_and(|warning| warning.remedy.contains("smart_host_auth_mechanism")),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn what_is_wrong_with_a_send_permission_is_said() {
    let permission = |lines: &str| send_connector(&format!("[[send_connector.permission]]\n{lines}"));
    for (document, message, remedy) in [
        (
            permission("user = 'alice'\nextended_rights = ['ms-Exch-Send-Headers-Forest']"),
            "`user`: `alice` is no next hop",
            "we never send to a user",
        ),
        (
            permission("user = 'Everyone'\nextended_rights = ['ms-Exch-Accept-Headers-Forest']"),
            "is a right on receive connectors",
            "[[receive_connector.permission]]",
        ),
        (
            permission("user = 'Everyone'\nextended_rights = ['ms-Exch-Send-Header-Forest']"),
            "`ms-Exch-Send-Header-Forest`",
            "`ms-Exch-Send-Headers-Forest`",
        ),
        (permission("user = 'Everyone'"), "`extended_rights`", "write what is granted"),
        (send_connector("smart_host_auth_mechanism = 'Kerberos'"), "`Kerberos`", "ExternalAuthoritative"),
        (
            send_connector("smart_host_auth_mechanism = 'ExternalAuthoritative'").replace("smart_hosts", "#"),
            "`ExternalAuthoritative` speaks of smart hosts",
            "write smart_hosts",
        ),
    ] {
        let problems = problems(&document);
        let found = problems.iter().find(|problem| problem.message.contains(message));
        assert!(found.is_some_and(|problem| problem.remedy.contains(remedy)), "{message}: {problems:#?}");
    }
}

#[test]
fn what_another_server_judged_lowers_our_judgement_and_never_raises_it() {
    use gatepost_mail::AuthAs::{Anonymous, Internal, Partner};
    for (own, brought, expected) in [
        (Internal, None, Internal),
        (Internal, Some(Internal), Internal),
        (Internal, Some(Anonymous), Anonymous),
        (Internal, Some(Partner), Partner),
        (Anonymous, None, Anonymous),
        (Anonymous, Some(Internal), Anonymous),
        (Partner, Some(Internal), Partner),
    ] {
        assert_eq!(permission::with_brought(own, brought), expected);
    }
}

/// Fact sheet section 2.11, outbound.
#[test]
fn only_a_next_hop_that_is_trusted_is_told_who_submitted_an_internal_message() {
    let mailbox = |text: &str| Mailbox::parse(text).expect("an address");
    let (alice, relay) = ("alice@contoso.com", "relay@contoso.com");
    for (next_hop, auth_as, originator, sender, expected) in [
        (Principal::Anonymous, AuthAs::Internal, Some(alice), "<relay@contoso.com>", None),
        (Principal::ExternallySecured, AuthAs::Internal, Some(alice), "<relay@contoso.com>", Some(alice)),
        (Principal::ExternallySecured, AuthAs::Internal, None, "<relay@contoso.com>", Some(relay)),
        (Principal::ExternallySecured, AuthAs::Internal, None, "<>", None),
        (Principal::ExternallySecured, AuthAs::Anonymous, None, "<relay@contoso.com>", None),
        (Principal::ExternallySecured, AuthAs::Partner, None, "<relay@contoso.com>", None),
    ] {
        let envelope = Envelope {
            reverse_path: ReversePath::parse_prefix(sender).expect("a reverse-path").0,
            recipients: vec![Recipient::new(mailbox("z@gmail.com"))],
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            arrival: Arrival {
                time_ms: 0,
                peer: None,
                connector: "Relay".into(),
                principal: "alice".into(),
                auth_as,
                originator: originator.map(mailbox),
                ..Arrival::default()
            },
        };
        let told = send_permission::originator(&next_hop, &envelope).map(ToString::to_string);
        assert_eq!(told.as_deref(), expected, "{next_hop}: {auth_as} {sender}");
    }
}
