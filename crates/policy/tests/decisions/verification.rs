//! Recipients that only the next hop knows.

use gatepost_mail::{AuthAs, ForwardPath, Mailbox, ReversePath};
use gatepost_policy::access_entry::{Right, Rights};
use gatepost_policy::verification::{Verdict, decide, is_due};
use gatepost_policy::{Refusal, explain, relay, route};

use crate::document::settings;

const DOCUMENT: &str = r#"
[server]
name = "mail.contoso.com"
[[accepted_domain]]
name = "contoso.com"
[[accepted_domain]]
name = "*.shared.example"
domain_type = "InternalRelay"
recipient_verification = true
[[accepted_domain]]
name = "partner.example"
domain_type = "ExternalRelay"
recipient_verification = true
[[accepted_domain]]
name = "open.example"
domain_type = "ExternalRelay"
[[mailbox]]
address = "bob@contoso.com"
[[mailbox]]
address = "carol@shared.example"
[[send_connector]]
name = "Small"
address_spaces = ["SMTP:*.shared.example;1"]
smart_hosts = ["[10.0.0.1]"]
max_message_size = "1 KB"
[[send_connector]]
name = "Internet"
address_spaces = ["SMTP:*;1"]
dns_routing_enabled = true
"#;

#[test]
fn the_next_hop_is_asked_about_recipients_of_such_a_domain_that_are_not_known_here() {
    let settings = settings(DOCUMENT);
    for (recipient, expected) in [
        ("bob@contoso.com", false),
        ("postmaster@contoso.com", false),
        ("carol@shared.example", false),
        ("CAROL@shared.example", false),
        ("dave@shared.example", true),
        ("carol@deep.shared.example", true),
        ("postmaster@shared.example", true),
        ("q@partner.example", true),
        ("q@open.example", false),
        // Relayed by right, not because its domain is ours.
        ("z@gmail.com", false),
    ] {
        let recipient = Mailbox::parse(recipient).expect("an address");
        let rights = Rights::of(&[Right::AcceptAnyRecipient]);
        let question = relay::Question { rights, forward_path: &recipient, settings: &settings };
        let reason = relay::decide(&question).expect("it is accepted");
        assert_eq!(is_due(reason, &recipient, &settings), expected, "{recipient}");
    }
}

#[test]
fn a_stranger_comes_again_where_somebody_known_may_wait_in_our_queue() {
    use AuthAs::{Anonymous, Internal, Partner};
    for (verdict, auth_as, expected) in [
        (Verdict::Accepted, Anonymous, Ok(())),
        (Verdict::Accepted, Internal, Ok(())),
        (Verdict::Refused, Anonymous, Err(Refusal::RecipientRefusedByNextHop)),
        (Verdict::Refused, Internal, Err(Refusal::RecipientRefusedByNextHop)),
        (Verdict::Refused, Partner, Err(Refusal::RecipientRefusedByNextHop)),
        (Verdict::NoAnswer, Anonymous, Err(Refusal::RecipientNotVerified)),
        (Verdict::NoAnswer, Internal, Ok(())),
        (Verdict::NoAnswer, Partner, Ok(())),
    ] {
        assert_eq!(decide(verdict, auth_as), expected, "{verdict:?} {auth_as:?}");
    }
    let words = |refusal: Refusal| refusal.reply().to_string();
    assert_eq!(words(Refusal::RecipientRefusedByNextHop), words(Refusal::RecipientNotFound), "no private cause");
    assert_eq!(
        words(Refusal::RecipientNotVerified),
        "450 4.4.1 Recipient could not be verified. Please try again later"
    );
}

#[test]
fn whoever_would_get_a_small_message_is_asked() {
    let settings = settings(DOCUMENT);
    for (recipient, expected) in [
        ("dave@shared.example", "Small to [10.0.0.1]:25"),
        // Only to be asked about what is not known here; a mailbox of ours does not change where others are.
        ("carol@shared.example", "Small to [10.0.0.1]:25"),
        ("q@partner.example", "Internet to partner.example"),
    ] {
        let recipient = Mailbox::parse(recipient).expect("an address");
        let (connector, next_hop) = route::way_out(&settings, recipient.domain(), None).expect("a way out");
        assert_eq!(format!("{} to {next_hop}", connector.name), expected);
    }
    let without = crate::document::settings(DOCUMENT.split("[[send_connector]]").next().expect("a first part"));
    let recipient = Mailbox::parse("q@partner.example").expect("an address");
    assert!(route::way_out(&without, recipient.domain(), None).is_none());
}

#[test]
fn an_explanation_says_who_would_be_asked_and_what_comes_of_silence() {
    const CONNECTORS: &str = r#"
[[receive_connector]]
name = "Internet"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["0.0.0.0/0"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
[[receive_connector]]
name = "Trusted"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["10.0.0.5"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
"#;
    let played = |document: &str, peer: &str, recipient: &str| {
        let settings = settings(document);
        let dialogue = explain::play(
            &settings,
            &explain::Question {
                peer: peer.parse().expect("an address"),
                local: "10.0.0.1:25".parse().expect("an address"),
                user: None,
                tls: false,
                certificate: None,
                reverse_path: &ReversePath::Null,
                forward_path: &ForwardPath::Mailbox(Mailbox::parse(recipient).expect("an address")),
                size: None,
                header: None,
                now_ms: 0,
            },
        );
        let refused = dialogue.obstacle().map(|obstacle| obstacle.to_string());
        (dialogue.asked.map(|asked| (asked.next_hop.to_string(), asked.unanswered)), refused)
    };
    let document = format!("{DOCUMENT}{CONNECTORS}");
    let without_way_out = format!("{}{CONNECTORS}", DOCUMENT.split("[[send_connector]]").next().expect("a first part"));
    let next_hop = || "[10.0.0.1]:25".to_owned();
    let not_verified = Refusal::RecipientNotVerified;
    for (peer, recipient, expected) in [
        ("8.8.8.8", "dave@shared.example", Some((next_hop(), Err(not_verified)))),
        ("10.0.0.5", "dave@shared.example", Some((next_hop(), Ok(())))),
        ("8.8.8.8", "carol@shared.example", None),
        ("8.8.8.8", "bob@contoso.com", None),
    ] {
        assert_eq!(played(&document, peer, recipient), (expected, None), "{peer} {recipient}");
    }
    // Without a way out nobody is asked, and the answer is known.
    assert_eq!(played(&without_way_out, "8.8.8.8", "dave@shared.example"), (None, Some(not_verified.to_string())));
    assert_eq!(played(&without_way_out, "10.0.0.5", "dave@shared.example"), (None, None));
}
