//! Properties of a receive connector that stand alone: message rates, tarpits, reserved domains, and what `usage` presets
//! (fact sheet sections 1.2, 1.4 and 3.7).

use std::time::{Duration, Instant};

use gatepost_mail::Mailbox;
use gatepost_policy::access_entry::Principal;
use gatepost_policy::limits::{Saying, message_rate, tarpit};
use gatepost_policy::receive_connector::{Mechanism, MessageRateSource, ReceiveConnector};
use gatepost_policy::settings::parse;
use gatepost_policy::{Refusal, reserved_domain};

use crate::document::{CONTOSO, default_connector, defaults, settings};

/// Every property of section 1.2, as keys; what the cmdlets add to them (Confirm, WhatIf, DomainController) is none.
const PROPERTIES: &str = "name server transport_role usage bindings remote_ip_ranges enabled comment fqdn \
    service_discovery_fqdn banner default_domain auth_mechanism permission_groups require_tls domain_secure_enabled \
    tls_certificate_name tls_domain_capabilities suppress_x_anonymous_tls enable_auth_gssapi extended_protection_policy \
    live_credential_enabled advertise_client_settings max_message_size size_enabled max_header_size max_hop_count \
    max_local_hop_count max_recipients_per_message max_inbound_connection max_inbound_connection_per_source \
    max_inbound_connection_percentage_per_source message_rate_limit message_rate_source max_protocol_errors \
    max_logon_failures connection_timeout connection_inactivity_timeout tarpit_interval auth_tarpit_interval \
    max_acknowledgement_delay protocol_logging_level pipelining_enabled eight_bit_mime_enabled binary_mime_enabled \
    chunking_enabled delivery_status_notification_enabled enhanced_status_codes_enabled smtp_utf8_enabled \
    bare_linefeed_rejection_enabled orar_enabled long_addresses_enabled require_ehlo_domain \
    reject_reserved_top_level_recipient_domains reject_reserved_second_level_recipient_domains \
    reject_single_label_recipient_domains proxy_enabled accept_consumer_mail";

#[test]
fn every_property_is_known() {
    let mut refused = Vec::new();
    for key in PROPERTIES.split_whitespace() {
        let text = format!("[[receive_connector]]\n{key} = []\n");
        let problems = parse(&text, &defaults()).map_or_else(|problems| problems, |settings| settings.warnings);
        for problem in problems {
            assert!(!problem.message.contains("is no key of"), "{key}: {}", problem.message);
            if problem.message.ends_with("is not supported yet") {
                refused.push(key);
            }
        }
    }
    assert_eq!(refused, [""; 0], "each is taken where it asks for nothing");
}

#[test]
fn properties_without_effect_here_are_taken_where_they_ask_for_nothing_and_say_why_not_otherwise() {
    for (written, expected) in [
        ("accept_consumer_mail = false", None),
        ("accept_consumer_mail = true", Some("cloud alone")),
        ("advertise_client_settings = false", None),
        ("advertise_client_settings = true", Some("web mail")),
        ("enable_auth_gssapi = false", None),
        ("enable_auth_gssapi = true", Some("needs Kerberos, that is Active Directory")),
        ("live_credential_enabled = false", None),
        ("live_credential_enabled = true", Some("Microsoft's own use")),
        ("orar_enabled = false", None),
        ("orar_enabled = true", Some("was never published")),
        ("proxy_enabled = false", None),
        ("proxy_enabled = true", Some("front and back ends")),
        ("suppress_x_anonymous_tls = false", None),
        ("suppress_x_anonymous_tls = true", None),
        ("transport_role = \"HubTransport\"", None),
        ("transport_role = \"frontendtransport\"", None),
        ("transport_role = \"Edge\"", Some("Edge")),
        ("extended_protection_policy = \"none\"", None),
        ("extended_protection_policy = \"Require\"", Some("NTLM and Kerberos")),
        ("extended_protection_policy = \"Sometimes\"", Some("Sometimes")),
        ("tls_domain_capabilities = []", None),
        ("tls_domain_capabilities = \"\"", None),
        ("tls_domain_capabilities = [\"contoso.com:AcceptOorgProtocol\"]", Some("Microsoft's cloud")),
        ("service_discovery_fqdn = \"\"", None),
        ("service_discovery_fqdn = \"mail.contoso.com\"", Some("nothing here answers")),
        ("server = \"MAIL\"", None),
        ("server = \"mail.contoso.com\"", None),
        ("server = \"EX2\"", Some("another server")),
        ("tls_certificate_name = \"\"", None),
        ("tls_certificate_name = \"mail.contoso.com\"", Some("names no certificate")),
    ] {
        let read = parse(&default_connector("AnonymousUsers", written), &defaults());
        match (read, expected) {
            (Ok(settings), None) => {
                assert!(
                    settings.warnings.iter().all(|warning| warning.message.contains("send_connector")),
                    "{written}: {:?}",
                    settings.warnings
                );
            }
            (Err(problems), Some(expected)) => {
                assert!(problems.iter().any(|problem| problem.message.contains(expected)), "{written}: {problems:?}");
            }
            (Ok(_), Some(_)) => panic!("{written} was taken"),
            (Err(problems), None) => panic!("{written}: {problems:?}"),
        }
    }
}

/// The one connector of a document.
fn connector(more: &str) -> ReceiveConnector {
    (*settings(&format!("{CONTOSO}{}", default_connector("AnonymousUsers", more))).receive_connectors[0]).clone()
}

#[test]
fn v29_the_third_message_of_two_a_minute_is_one_too_many() {
    let connector = connector("message_rate_limit = 2\nmessage_rate_source = \"ipaddress\"");
    assert_eq!(connector.message_rate_source, MessageRateSource::IpAddress);
    let limit = connector.message_rate_limit.expect("a limit");
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let first = message_rate(limit, None, at(0)).expect("the first");
    let second = message_rate(limit, Some(first), at(1)).expect("the second");
    let refusal = message_rate(limit, Some(second), at(2)).expect_err("the third");
    let expected = "421 4.4.2 Message submission rate for this client has exceeded the configured limit";
    assert_eq!(refusal.reply().to_string(), expected);
    assert!(refusal.closes());
    // One is paid off after half a minute, both after a whole one.
    let third = message_rate(limit, Some(second), at(30)).expect("one is paid off");
    assert_eq!(message_rate(limit, Some(third), at(30)), Err(Refusal::MessageRateExceeded));
    assert_eq!(message_rate(limit, Some(third), at(3600)), Ok(at(3630)));
}

proptest::proptest! {
    /// The plain oracle: a purse that holds `limit` messages at most and gains one each minute divided by `limit`.
    #[test]
    fn a_message_rate_is_a_purse_that_fills_again(
        limit in proptest::prop_oneof![1_u32..20, 1_u32..=i32::MAX as u32],
        pauses in proptest::collection::vec(proptest::prop_oneof![0_u64..1_000, 0_u64..40_000_000_000], 1..60),
    ) {
        let share = 60_000_000_000 / u64::from(limit);
        let mut purse = share * u64::from(limit);
        let mut now = Instant::now();
        let mut paid_until = None;
        for pause in pauses {
            now += Duration::from_nanos(pause);
            purse = (purse + pause).min(share * u64::from(limit));
            let answer = message_rate(limit, paid_until, now);
            proptest::prop_assert_eq!(answer.is_ok(), purse >= share);
            if let Ok(until) = answer {
                purse -= share;
                paid_until = Some(until);
            }
        }
    }
}

#[test]
fn sources_of_message_rates_are_flags() {
    for (source, expected) in [
        ("", MessageRateSource::IpAddress),
        ("message_rate_source = \"None\"", MessageRateSource::None),
        ("message_rate_source = []", MessageRateSource::None),
        ("message_rate_source = \"User\"", MessageRateSource::User),
        ("message_rate_source = \"User, IPAddress\"", MessageRateSource::All),
        ("message_rate_source = [\"IPAddress\", \"User\"]", MessageRateSource::All),
        ("message_rate_source = \"all\"", MessageRateSource::All),
    ] {
        assert_eq!(connector(source).message_rate_source, expected, "{source}");
    }
    assert_eq!(connector("").message_rate_limit, None);
    assert_eq!(connector("message_rate_limit = \"Unlimited\"").message_rate_limit, None);
}

#[test]
fn negative_replies_to_nobody_and_failed_logons_are_held_back() {
    let seconds = Duration::from_secs;
    let (anonymous, trusted) = (Principal::Anonymous, Principal::ExternallySecured);
    let alice = Principal::User("alice".into());
    for (more, principal, saying, expected) in [
        ("", &anonymous, Saying::Reply(550), 5),
        ("", &anonymous, Saying::Reply(500), 5),
        ("", &anonymous, Saying::Reply(250), 0),
        ("", &anonymous, Saying::Reply(452), 0),
        ("", &anonymous, Saying::Reply(421), 0),
        ("", &alice, Saying::Reply(550), 0),
        ("", &trusted, Saying::Reply(550), 0),
        ("", &anonymous, Saying::LogonFailed, 5),
        ("", &alice, Saying::LogonFailed, 5),
        ("tarpit_interval = \"00:00:00\"", &anonymous, Saying::Reply(550), 0),
        ("tarpit_interval = \"00:00:00\"", &anonymous, Saying::LogonFailed, 5),
        ("tarpit_interval = \"00:10:00\"", &anonymous, Saying::Reply(550), 600),
        ("auth_tarpit_interval = \"00:00:00\"", &anonymous, Saying::LogonFailed, 0),
        ("auth_tarpit_interval = \"00:00:07\"", &anonymous, Saying::LogonFailed, 7),
    ] {
        assert_eq!(tarpit(&connector(more), principal, saying), seconds(expected), "{more} {principal:?} {saying:?}");
    }
}

#[test]
fn reserved_domains_are_refused_where_the_connector_says_so() {
    const TOP: &str = "reject_reserved_top_level_recipient_domains = true";
    const SECOND: &str = "reject_reserved_second_level_recipient_domains = true";
    const SINGLE: &str = "reject_single_label_recipient_domains = true";
    for (more, recipient, expected) in [
        (TOP, "a@x.test", Some("550 5.1.4 Recipient address reserved by RFC 2606")),
        (TOP, "a@EXAMPLE", Some("550 5.1.4 Recipient address reserved by RFC 2606")),
        (TOP, "a@b.c.invalid", Some("550 5.1.4 Recipient address reserved by RFC 2606")),
        (TOP, "a@localhost", Some("550 5.1.4 Recipient address reserved by RFC 2606")),
        (TOP, "a@contest", None),
        (TOP, "a@test.net", None),
        (TOP, "a@example.com", None),
        // Declaring a domain does not make it less reserved.
        (TOP, "a@partner.example", Some("550 5.1.4 Recipient address reserved by RFC 2606")),
        (SECOND, "a@example.com", Some("550 5.1.5 Recipient address reserved by RFC 2606")),
        (SECOND, "a@mail.Example.ORG", Some("550 5.1.5 Recipient address reserved by RFC 2606")),
        (SECOND, "a@counterexample.net", None),
        (SECOND, "a@example.edu", None),
        (SECOND, "a@x.test", None),
        (SINGLE, "a@printer", Some("550 5.1.6 Recipient addresses in single label domains not accepted")),
        (SINGLE, "a@printer.lan", None),
        (SINGLE, "a@[192.0.2.1]", None),
        ("", "a@localhost", None),
        ("", "a@example.com", None),
    ] {
        let recipient = Mailbox::parse(recipient).expect("an address");
        let settings = settings(&format!("{CONTOSO}{}", default_connector("AnonymousUsers", more)));
        let answer = reserved_domain::decide(&settings.receive_connectors[0], &recipient, &settings);
        assert_eq!(answer.err().map(|refusal| refusal.reply().to_string()).as_deref(), expected, "{more} {recipient}");
    }
}

#[test]
fn postmaster_works_whatever_this_server_is_called() {
    let more = "reject_reserved_top_level_recipient_domains = true\nreject_single_label_recipient_domains = true";
    let text = format!("[server]\nname = \"localhost\"\n{}", default_connector("AnonymousUsers", more));
    let settings = settings(&text);
    for (recipient, expected) in
        [("postmaster@localhost", None), ("x@localhost", Some(Refusal::ReservedTopLevelDomain))]
    {
        let recipient = Mailbox::parse(recipient).expect("an address");
        let answer = reserved_domain::decide(&settings.receive_connectors[0], &recipient, &settings);
        assert_eq!(answer.err(), expected, "{recipient}");
    }
}

#[test]
fn a_usage_says_what_the_document_leaves_out() {
    const WHERE: &str = "bindings = [\"10.0.0.1:25\"]";
    const WHOM: &str = "remote_ip_ranges = [\"10.1.0.0/16\"]";
    let everyone = "0.0.0.0-255.255.255.255";
    for (usage, written, groups, mechanisms, bindings, ranges, limit) in [
        (
            "client",
            WHOM,
            "ExchangeUsers",
            "Tls, Integrated, BasicAuth, BasicAuthRequireTLS",
            "0.0.0.0:587 [::]:587",
            "10.1.0.0-10.1.255.255",
            Some(5),
        ),
        (
            "Internal",
            WHOM,
            "ExchangeServers, ExchangeLegacyServers",
            "Tls, ExchangeServer",
            "0.0.0.0:25 [::]:25",
            "10.1.0.0-10.1.255.255",
            None,
        ),
        ("Internet", WHERE, "AnonymousUsers", "Tls", "10.0.0.1:25", everyone, None),
    ] {
        let settings = settings(&format!("[[receive_connector]]\nname = \"R\"\nusage = \"{usage}\"\n{written}\n"));
        let warnings: Vec<_> = settings.warnings.iter().map(|warning| warning.message.as_str()).collect();
        let expected = match usage {
            "Internal" => &["R: nobody can be an Exchange server yet: none is known by its certificate"][..],
            _ => &[],
        };
        assert_eq!(warnings, expected, "{usage}");
        let connector = &settings.receive_connectors[0];
        assert_eq!(connector.permission_groups.to_string(), groups);
        assert!(!connector.entries.is_empty(), "{usage}: the groups grant something");
        assert_eq!(connector.auth_mechanism.to_string(), mechanisms);
        let listed: Vec<_> = connector.bindings.iter().map(|binding| binding.address.to_string()).collect();
        assert_eq!(listed.join(" "), bindings);
        let listed: Vec<_> = connector.remote_ip_ranges.iter().map(|range| (range.first, range.last)).collect();
        let (first, last) = ranges.split_once('-').expect("a range");
        let expected = [(first.parse().expect("an address"), last.parse().expect("an address"))];
        assert_eq!(listed, expected, "{usage}");
        assert_eq!(connector.message_rate_limit, limit, "{usage}");
    }
    for (usage, groups) in [("Partner", "Partners"), ("Custom", "None")] {
        let text = format!("[[receive_connector]]\nname = \"R\"\nusage = \"{usage}\"\n{WHERE}\n{WHOM}\n");
        assert_eq!(settings(&text).receive_connectors[0].permission_groups.to_string(), groups);
    }
}

#[test]
fn what_is_written_beats_the_usage() {
    let text = "[[receive_connector]]\nname = \"R\"\nusage = \"Client\"\nbindings = \"10.0.0.1:465\"\n\
                remote_ip_ranges = \"10.1.0.0/16\"\nauth_mechanism = \"Tls\"\npermission_groups = \"None\"\n\
                message_rate_limit = \"unlimited\"\nmessage_rate_source = \"IPAddress\"\n";
    let settings = settings(text);
    let connector = &settings.receive_connectors[0];
    assert_eq!(connector.bindings.len(), 1);
    assert!(connector.entries.is_empty());
    assert!(!connector.auth_mechanism.contains(Mechanism::BasicAuth));
    assert_eq!((connector.message_rate_limit, connector.message_rate_source), (None, MessageRateSource::IpAddress));
}

#[test]
fn a_delay_that_exchange_ignores_is_ignored_with_a_word() {
    let settings = settings(&default_connector("AnonymousUsers", "max_acknowledgement_delay = \"00:00:30\""));
    let messages: Vec<_> = settings.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].starts_with("`max_acknowledgement_delay` is ignored"), "{messages:?}");
}
