//! Where a recipient's copy goes (fact sheet section 4.5).

use gatepost_mail::{Domain, Mailbox};
use gatepost_policy::access_entry::Rights;
use gatepost_policy::itinerary::{Fate, itinerary};
use gatepost_policy::remote_domain;
use gatepost_policy::route::{self, MailSource, Question, Route, select};
use gatepost_policy::{Refusal, Settings, relay};
use proptest::prelude::*;

use crate::document::{cases, problems, settings};

const DOCUMENT: &str = r#"
[server]
name = "mail.contoso.com"
[[accepted_domain]]
name = "contoso.com"
[[accepted_domain]]
name = "*.lab.contoso.com"
[[accepted_domain]]
name = "shared.example"
domain_type = "InternalRelay"
[[mailbox]]
address = "Bob@contoso.com"
[[mailbox]]
address = "here@shared.example"
[[send_connector]]
name = "Internet"
address_spaces = ["SMTP:*;10"]
dns_routing_enabled = true
max_message_size = "unlimited"
[[send_connector]]
name = "B partner"
address_spaces = ["*.example;5", "deep.under.example"]
smart_hosts = ["[10.0.0.1]", "relay.example.net:587"]
max_message_size = "1 MB"
[[send_connector]]
name = "a partner"
address_spaces = ["*.example;5"]
smart_hosts = ["[10.0.0.2]"]
max_message_size = "1 MB"
[[send_connector]]
name = "cheap partner"
address_spaces = ["*.under.example;1", "*.example;6"]
smart_hosts = ["[10.0.0.3]"]
[[send_connector]]
name = "off"
enabled = false
address_spaces = ["SMTP:gmail.com;1"]
smart_hosts = ["[10.0.0.4]"]
"#;

fn routed(document: &str, recipient: &str, bytes: u64) -> String {
    routed_from(&settings(document), recipient, bytes, None)
}

fn routed_from(settings: &Settings, recipient: &str, bytes: u64, source: Option<MailSource<'_>>) -> String {
    let recipient = Mailbox::parse(recipient).expect("an address");
    match select(&Question { settings, recipient: &recipient, message_bytes: bytes, source }) {
        Route::Local { mailbox } => format!("mailbox {}", mailbox.folder),
        Route::Send { connector, next_hop } => format!("{} to {next_hop}", connector.name),
        Route::Unreachable { reason } => reason.to_owned(),
        Route::Failed(reply) => reply.to_string(),
    }
}

#[test]
fn the_most_specific_then_the_cheapest_then_the_first_by_name_is_taken() {
    for (recipient, bytes, expected) in [
        ("bob@contoso.com", 1, "mailbox bob@contoso.com"),
        ("postmaster@contoso.com", 1, "mailbox postmaster"),
        ("postmaster@mail.contoso.com", 1, "mailbox postmaster"),
        ("postmaster@x.lab.contoso.com", 1, "mailbox postmaster"),
        (
            "nobody@contoso.com",
            1,
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        ),
        (
            "nobody@lab.contoso.com",
            1,
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        ),
        ("bob@sub.contoso.com", 1, "Internet to sub.contoso.com"),
        ("here@shared.example", 1, "mailbox here@shared.example"),
        ("elsewhere@shared.example", 1, "a partner to [10.0.0.2]:25"),
        ("z@gmail.com", 1, "Internet to gmail.com"),
        ("z@[192.0.2.1]", 1, "Internet to [192.0.2.1]"),
        ("q@example", 1, "a partner to [10.0.0.2]:25"),
        ("q@x.example", 1, "a partner to [10.0.0.2]:25"),
        ("q@under.example", 1, "cheap partner to [10.0.0.3]:25"),
        ("q@deep.under.example", 1, "B partner to [10.0.0.1]:25,relay.example.net:587"),
        ("q@very.deep.under.example", 1, "cheap partner to [10.0.0.3]:25"),
        // Connectors that do not take the size are dropped before specificity counts.
        ("q@x.example", (1 << 20) + 1, "cheap partner to [10.0.0.3]:25"),
        ("q@x.example", (35 << 20) + 1, "Internet to x.example"),
    ] {
        assert_eq!(routed(DOCUMENT, recipient, bytes), expected, "{recipient} {bytes}");
    }
}

#[test]
fn without_a_way_out_mail_waits_and_without_one_wide_enough_it_fails() {
    assert_eq!(routed("", "z@gmail.com", 1), "A matching connector cannot be found to route the external recipient");
    let narrow = "[[send_connector]]\nname = \"n\"\naddress_spaces = \"*\"\nmax_message_size = \"1 KB\"\n";
    assert_eq!(
        routed(narrow, "z@gmail.com", 1025),
        "550 5.3.4 ROUTING.SizeLimit; message size exceeds fixed maximum size for route"
    );
}

#[test]
fn mail_to_postmaster_goes_where_it_is_sent() {
    let bob = "[server]\nname = \"mail.contoso.com\"\npostmaster = \"bob@contoso.com\"\n\
               [[accepted_domain]]\nname = \"contoso.com\"\n[[mailbox]]\naddress = \"bob@contoso.com\"\n";
    assert_eq!(routed(bob, "Postmaster@contoso.com", 1), "mailbox bob@contoso.com");
    let own = format!("{bob}[[mailbox]]\naddress = \"postmaster@contoso.com\"\n");
    assert_eq!(routed(&own, "Postmaster@contoso.com", 1), "mailbox postmaster@contoso.com");
    assert_eq!(routed(&own, "postmaster@mail.contoso.com", 1), "mailbox bob@contoso.com");
}

#[test]
fn the_folder_of_a_mailbox_is_one_safe_path_component() {
    for (address, expected) in [
        ("../../etc@contoso.com", None),
        ("\"../../etc/passwd\"@contoso.com", Some("mailbox %2E.%2F..%2Fetc%2Fpasswd@contoso.com")),
        ("a/b@contoso.com", Some("mailbox a%2Fb@contoso.com")),
        ("a%2fb@contoso.com", Some("mailbox a%252fb@contoso.com")),
        ("B.O.B@contoso.com", Some("mailbox b.o.b@contoso.com")),
        ("büro@contoso.com", Some("mailbox b%C3%BCro@contoso.com")),
    ] {
        if Mailbox::parse(address).is_err() {
            assert_eq!(expected, None, "{address}");
            continue;
        }
        let document = format!("[[accepted_domain]]\nname = \"contoso.com\"\n[[mailbox]]\naddress = '{address}'\n");
        assert_eq!(Some(routed(&document, address, 1).as_str()), expected, "{address}");
    }
}

fn errors(document: &str) -> Vec<String> {
    problems(document).into_iter().map(|problem| format!("{}; {}", problem.message, problem.remedy)).collect()
}

/// What connectors in the tables below stand beside.
const GATES: &str = r#"
[server]
name = "mail.contoso.com"
[[accepted_domain]]
name = "contoso.com"
[[accepted_domain]]
name = "*.shared.example"
domain_type = "InternalRelay"
[[mailbox]]
address = "bob@contoso.com"
[[receive_connector]]
name = "Relay"
bindings = ["127.0.0.1:2525"]
remote_ip_ranges = ["10.0.0.0/8"]
[[receive_connector]]
name = "Scanners"
bindings = ["127.0.0.1:2526"]
remote_ip_ranges = ["10.0.0.0/8"]
"#;

fn connector(name: &str, more: &str) -> String {
    format!("[[send_connector]]\nname = \"{name}\"\nsmart_hosts = [\"[10.0.0.9]\"]\n{more}\n")
}

fn from<'a>(receive_connector: &'a str, sender_domain: Option<&'a Domain>) -> Option<MailSource<'a>> {
    Some(MailSource { receive_connector, sender_domain })
}

#[test]
fn of_equally_specific_connectors_the_one_that_asks_closest_for_the_source_is_taken() {
    let document = [
        GATES.to_owned(),
        connector("Everything", "address_spaces = [\"*;1\"]"),
        connector("Partner", "address_spaces = [\"partner.example;90\"]"),
        connector("Of Relay", "address_spaces = [\"*;50\"]\nsource_receive_connectors = [\"relay\"]"),
        connector("Of News", "address_spaces = [\"*;90\"]\nsource_sender_domains = [\"news.example.net\"]"),
        connector("Of Net", "address_spaces = [\"*;2\"]\nsource_sender_domains = [\"*.example.net\", \"x.org\"]"),
        connector(
            "Of Relay and News",
            "address_spaces = [\"*;100\"]\nsource_receive_connectors = \"Relay\"\nsource_sender_domains = \"news.example.net\"",
        ),
        connector("Dear Of Net", "address_spaces = [\"*;3\"]\nsource_sender_domains = [\"*.example.net\"]"),
    ]
    .concat();
    let settings = settings(&document);
    let domain = |name: &str| Domain::parse(name).expect("a domain");
    let (news, net, org, other) =
        (domain("news.example.net"), domain("a.example.net"), domain("x.org"), domain("y.org"));
    for (recipient, source, expected) in [
        ("z@gmail.com", None, "Everything"),
        ("z@gmail.com", from("Scanners", None), "Everything"),
        ("z@gmail.com", from("Scanners", Some(&other)), "Everything"),
        ("z@gmail.com", from("Relay", None), "Of Relay"),
        ("z@gmail.com", from("Relay", Some(&other)), "Of Relay"),
        ("z@gmail.com", from("Scanners", Some(&news)), "Of News"),
        ("z@gmail.com", from("Scanners", Some(&net)), "Of Net"),
        ("z@gmail.com", from("Scanners", Some(&org)), "Of Net"),
        ("z@gmail.com", from("Relay", Some(&net)), "Of Relay"),
        ("z@gmail.com", from("Relay", Some(&news)), "Of Relay and News"),
        // A more specific address space beats every source.
        ("z@partner.example", from("Relay", Some(&news)), "Partner"),
    ] {
        let told = routed_from(&settings, recipient, 1, source);
        assert_eq!(told.split(" to ").next(), Some(expected), "{recipient} {source:?}");
    }
}

#[test]
fn what_a_linked_receive_connector_brings_leaves_by_its_send_connector() {
    let linked = connector("Filter", "linked_receive_connector = \"Relay\"\nsmart_host_auth_mechanism = \"None\"");
    let exact = connector("Gmail", "address_spaces = [\"gmail.com\"]");
    let settings = settings(&format!("{GATES}{exact}{linked}"));
    let found = [("z@gmail.com", "Filter"), ("bob@contoso.com", "Filter"), ("z@shared.example", "Filter")];
    for (recipient, expected) in found {
        let told = routed_from(&settings, recipient, 1 << 30, from("Relay", None));
        assert_eq!(told.split(" to ").next(), Some(expected), "{recipient}");
    }
    for (source, expected) in [(from("Scanners", None), "Gmail"), (None, "Gmail")] {
        assert_eq!(routed_from(&settings, "z@gmail.com", 1, source).split(" to ").next(), Some(expected));
        assert_eq!(routed_from(&settings, "bob@contoso.com", 1, source), "mailbox bob@contoso.com");
    }
}

#[test]
fn two_dashes_are_the_accepted_domains() {
    let settings = settings(&format!("{GATES}{}", connector("Inside", "address_spaces = [\"--;7\"]")));
    for (recipient, expected) in [
        ("z@shared.example", "Inside to [10.0.0.9]:25"),
        ("z@deep.shared.example", "Inside to [10.0.0.9]:25"),
        ("z@gmail.com", route::UNREACHABLE),
        ("bob@contoso.com", "mailbox bob@contoso.com"),
    ] {
        assert_eq!(routed_from(&settings, recipient, 1, None), expected, "{recipient}");
    }
}

#[test]
fn a_connector_stands_in_for_one_that_cannot_reach_a_next_hop() {
    let document = [
        GATES.to_owned(),
        connector("First", "address_spaces = [\"*\"]\nfallback_connector = \"small\""),
        connector("Small", "max_message_size = \"1 MB\"\nfallback_connector = \"Direct\""),
        "[[send_connector]]\nname = \"Direct\"\ndns_routing_enabled = true\nfallback_connector = \"Off\"\n".to_owned(),
        connector("Off", "enabled = false\naddress_spaces = [\"off.example\"]\nfallback_connector = \"Last\""),
        connector("Last", ""),
    ]
    .concat();
    let settings = settings(&document);
    let recipient = Mailbox::parse("z@gmail.com").expect("an address");
    for (down, bytes, expected) in [
        (&[][..], 1, "First to [10.0.0.9]:25"),
        (&["First"], 1, "Small to [10.0.0.9]:25"),
        (&["First"], 2 << 20, "Direct to gmail.com"),
        (&["First", "Small"], 1, "Direct to gmail.com"),
        // Who stands in for one that is switched off stands in for the one before it, too.
        (&["First", "Small", "Direct"], 1, "Last to [10.0.0.9]:25"),
        (&["Small", "Direct"], 1, "First to [10.0.0.9]:25"),
        (&["First", "Small", "Direct", "Last"], 1, "First to [10.0.0.9]:25"),
    ] {
        let question = Question { settings: &settings, recipient: &recipient, message_bytes: bytes, source: None };
        let Route::Send { connector, .. } = select(&question) else { panic!("a way out") };
        let (way, next_hop) = route::stand_in(&question, &connector, |way, _| down.contains(&&*way.name));
        assert_eq!(format!("{} to {next_hop}", way.name), expected, "{down:?} {bytes}");
    }
}

#[test]
fn keys_that_choose_a_connector_name_what_is_there() {
    let way = "address_spaces = [\"*\"]";
    let linked = "linked_receive_connector = \"Relay\"\nsmart_host_auth_mechanism = \"None\"";
    for (connectors, expected) in [
        (connector("A", ""), "no mail would ever take this connector"),
        (connector("A", "address_spaces = []"), "`address_spaces` is empty"),
        (connector("A", &format!("{way}\nfallback_connector = \"B\"")), "there is no send connector `B`"),
        (connector("A", &format!("{way}\nfallback_connector = \"a\"")), "in a circle: A -> A"),
        (
            connector("A", &format!("{way}\nfallback_connector = \"B\""))
                + &connector("B", "fallback_connector = \"A\""),
            "in a circle: A -> B -> A",
        ),
        (connector("A", &format!("{way}\nsource_receive_connectors = [\"Nobody\"]")), "no receive connector `Nobody`"),
        (connector("A", &format!("{way}\nsource_sender_domains = [\"*\"]")), "`*` is every sender"),
        (connector("A", &format!("{way}\nsource_sender_domains = [\"a@b.c\"]")), "is an address"),
        (connector("A", &format!("{linked}\n{way}")), "a linked connector takes everything"),
        (connector("A", &format!("{linked}\nmax_message_size = \"1 MB\"")), "messages of every size"),
        (connector("A", "linked_receive_connector = \"Relay\""), "needs smart_host_auth_mechanism"),
        (format!("[[send_connector]]\nname = \"A\"\ndns_routing_enabled = true\n{linked}\n"), "needs smart_hosts"),
        (connector("A", linked) + &connector("B", linked), "two send connectors are linked to `Relay`"),
    ] {
        let told = errors(&format!("{GATES}{connectors}"));
        assert!(told.iter().any(|error| error.contains(expected)), "{connectors}\n{expected}: {told:#?}");
    }
    // One mistake is told once.
    for spaces in ["[]", "[\"SMTP:p.example;0\"]"] {
        let told = errors(&format!("{GATES}{}", connector("A", &format!("address_spaces = {spaces}"))));
        assert!(!told.iter().any(|error| error.contains("no mail would ever")), "{spaces}: {told:#?}");
    }
}

#[test]
fn the_most_specific_remote_domain_holds() {
    let document = "[[remote_domain]]\nname = \"*\"\nndr_enabled = false\n\
        [[remote_domain]]\nname = \"*.partner.example\"\ndelivery_report_enabled = false\n\
        [[remote_domain]]\nname = \"x.partner.example\"\nndr_diagnostic_info_enabled = false\n";
    let declared = settings(document).remote_domains;
    for (domain, expected) in [
        ("gmail.com", (false, true, true)),
        ("[192.0.2.1]", (false, true, true)),
        ("partner.example", (true, false, true)),
        ("a.b.partner.example", (true, false, true)),
        ("X.partner.example", (true, true, false)),
    ] {
        let remote = remote_domain::find(&declared, &Domain::parse(domain).expect("a domain"));
        let told = (remote.ndr_enabled, remote.delivery_report_enabled, remote.ndr_diagnostic_info_enabled);
        assert_eq!(told, expected, "{domain}");
    }
    let document = format!(
        "{GATES}[[remote_domain]]\nname = \"*\"\nauto_reply_enabled = false\n[[remote_domain]]\nname = \"*.friend.example\"\n"
    );
    let declared = settings(&document);
    for (recipient, expected) in [
        ("z@gmail.com", Err(Refusal::AutomaticReplyDisabled)),
        ("z@a.friend.example", Ok(())),
        ("bob@contoso.com", Ok(())),
    ] {
        let recipient = Mailbox::parse(recipient).expect("an address");
        let decided = remote_domain::decide_automatic_reply(&recipient, &declared.domains, &declared.remote_domains);
        assert_eq!(decided, expected, "{recipient}");
    }
    let none = settings("").remote_domains;
    let remote = remote_domain::find(&none, &Domain::parse("gmail.com").expect("a domain"));
    assert!(remote.ndr_enabled && remote.delivery_report_enabled && remote.ndr_diagnostic_info_enabled);
}

#[test]
fn what_only_a_mailbox_server_can_keep_is_refused_for_a_remote_domain_with_the_reason() {
    let idle = "[[remote_domain]]\nname = \"Partner.example\"\nauto_reply_enabled = true\nis_internal = false\n\
        allowed_oof_type = \"external\"\ncontent_type = \"MimeHtmlText\"\ncharacter_set = \"iso-8859-1\"\nline_wrap_size = \"unlimited\"\n";
    assert_eq!(settings(idle).warnings, []);
    for (line, expected) in [
        ("auto_forward_enabled = false", "nothing marks such mail for sure"),
        ("allowed_oof_type = \"None\"", "decided by the mailbox server"),
        ("line_wrap_size = 72", "messages are passed on as they are"),
        ("is_internal = true", "counts as internal here"),
        ("tnef_enabled = true", "not supported yet"),
        ("ndr_enable = true", "did you mean `ndr_enabled`?"),
        ("domain_name = \"x\"", "written as `name`"),
    ] {
        let told = errors(&format!("[[remote_domain]]\nname = \"*\"\n{line}\n"));
        assert!(told.iter().any(|error| error.contains(expected)), "{line}: {told:#?}");
    }
    let twice = "[[remote_domain]]\nname = \"*\"\n[[remote_domain]]\nname = \"*\"\n";
    assert!(errors(twice).iter().any(|error| error.contains("two remote domains `*`")));
}

#[test]
fn each_type_of_domain_has_its_answer_to_rcpt_and_its_way() {
    let document = r#"
[server]
name = "mail.own.example"
[[accepted_domain]]
name = "own.example"
[[accepted_domain]]
name = "caught.example"
catch_all_recipient = "bob@own.example"
[[accepted_domain]]
name = "*.wide.example"
[[accepted_domain]]
name = "matched.example"
match_sub_domains = true
address_book_enabled = true
outbound_only = false
[[accepted_domain]]
name = "shared.example"
domain_type = "InternalRelay"
address_book_enabled = false
[[accepted_domain]]
name = "*.elsewhere.example"
domain_type = "ExternalRelay"
[[mailbox]]
address = "bob@own.example"
aliases = ["robert@wide.example"]
[[mailbox]]
address = "here@shared.example"
[[send_connector]]
name = "Inside"
address_spaces = ["--"]
smart_hosts = ["[10.0.0.1]"]
[[send_connector]]
name = "Internet"
address_spaces = ["*"]
"#;
    const NOT_FOUND: &str = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup";
    let settings = settings(document);
    for (address, at_rcpt, way) in [
        ("bob@own.example", "taken", "mailbox bob@own.example"),
        ("robert@wide.example", "taken", "mailbox bob@own.example"),
        ("nobody@own.example", NOT_FOUND, NOT_FOUND),
        // An address of another type is nobody's, and nothing here leads to a fax machine.
        ("IMCEAFAX-+2B49@own.example", NOT_FOUND, NOT_FOUND),
        ("postmaster@own.example", "taken", "mailbox postmaster"),
        ("nobody@caught.example", "taken", "mailbox bob@own.example"),
        ("nobody@a.wide.example", NOT_FOUND, NOT_FOUND),
        ("nobody@a.matched.example", NOT_FOUND, NOT_FOUND),
        ("z@a.own.example", "550 5.7.1 Unable to relay", "Internet to a.own.example"),
        ("here@shared.example", "taken", "mailbox here@shared.example"),
        ("there@shared.example", "taken", "Inside to [10.0.0.1]:25"),
        ("z@a.shared.example", "550 5.7.1 Unable to relay", "Internet to a.shared.example"),
        ("z@elsewhere.example", "taken", "Inside to [10.0.0.1]:25"),
        ("z@a.elsewhere.example", "taken", "Inside to [10.0.0.1]:25"),
        ("z@gmail.com", "550 5.7.1 Unable to relay", "Internet to gmail.com"),
    ] {
        let recipient = Mailbox::parse(address).expect("an address");
        let question = relay::Question { rights: Rights::NONE, forward_path: &recipient, settings: &settings };
        let told = relay::decide(&question).map_or_else(|refusal| refusal.reply().to_string(), |_| "taken".to_owned());
        assert_eq!(told, at_rcpt, "RCPT for {address}");
        assert_eq!(routed_from(&settings, address, 1, None), way, "{address}");
    }
}

#[test]
fn the_default_domain_is_the_one_that_is_said_to_be_it_or_the_first() {
    let two = |first: &str, second: &str| {
        format!(
            "[[accepted_domain]]\nname = \"one.example\"\n{first}\n[[accepted_domain]]\nname = \"two.example\"\n{second}\n"
        )
    };
    for (first, second, expected) in [
        ("", "", "postmaster@one.example"),
        ("", "default = true", "postmaster@two.example"),
        ("make_default = false", "make_default = true", "postmaster@two.example"),
        ("domain_type = \"InternalRelay\"\nmake_default = true", "", "postmaster@one.example"),
    ] {
        assert_eq!(settings(&two(first, second)).postmaster().to_string(), expected, "{first} {second}");
    }
    for (first, second, expected) in [
        ("default = true", "default = true", "two.example cannot be the default domain, too"),
        ("address_book_enabled = false", "", "is refused at RCPT, always"),
        ("domain_type = \"InternalRelay\"\naddress_book_enabled = true", "", "are somewhere else"),
        ("outbound_only = true", "", "Microsoft's cloud"),
    ] {
        let told = errors(&two(first, second));
        assert!(told.iter().any(|error| error.contains(expected)), "{first} {second}: {told:#?}");
    }
}

#[test]
fn mailboxes_can_be_on_servers_and_each_domain_can_have_its_own() {
    let document = |delivery: &str, moved: &str| {
        format!(
            "[server]\nname = \"mail.own.example\"\n[[accepted_domain]]\nname = \"own.example\"\n\
             [[accepted_domain]]\nname = \"*.moved.example\"\n{moved}\n{delivery}\n\
             [[mailbox]]\naddress = \"bob@own.example\"\naliases = [\"bob@a.moved.example\"]\n\
             [[mailbox]]\naddress = \"carol@a.moved.example\"\n"
        )
    };
    let lmtp = "[mailbox_delivery]\nprotocol = \"lmtp\"\nhosts = [\"/run/dovecot/lmtp\", \"unix:/run/second\", \"[10.0.0.1]\", \"m.own.example:2424\"]";
    let smtp = "mailbox_delivery = { protocol = \"SMTP\", hosts = [\"[10.0.0.2]\"], require_tls = true }";
    let here = "mailbox_delivery = { protocol = \"Maildir\" }";
    let servers = "mailbox delivery to /run/dovecot/lmtp,/run/second,[10.0.0.1]:24,m.own.example:2424";
    for (delivery, moved, address, expected) in [
        ("", "", "bob@own.example", "mailbox bob@own.example"),
        (lmtp, "", "bob@own.example", servers),
        // Where a mailbox is, its own address says, and no other of its names.
        (lmtp, here, "bob@a.moved.example", servers),
        (lmtp, here, "carol@a.moved.example", "mailbox carol@a.moved.example"),
        ("", smtp, "carol@a.moved.example", "mailbox delivery (*.moved.example) to [10.0.0.2]:25"),
        ("", smtp, "bob@own.example", "mailbox bob@own.example"),
        // Nobody said whose mailbox that is.
        (lmtp, "", "postmaster@own.example", "mailbox postmaster"),
        (
            lmtp,
            "",
            "nobody@own.example",
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        ),
    ] {
        assert_eq!(routed(&document(delivery, moved), address, 1), expected, "{delivery} {moved} {address}");
    }
    let warned = settings(&document(lmtp, "")).warnings;
    assert!(
        warned.iter().any(|warning| warning.message.contains("mail to postmaster does not go there")),
        "{warned:#?}"
    );
    for (delivery, expected) in [
        ("[mailbox_delivery]\nprotocol = \"LMTP\"", "has no `hosts`"),
        ("[mailbox_delivery]\nprotocol = \"POP\"\nhosts = [\"/x\"]", "there is no `POP`"),
        ("[mailbox_delivery]\nhosts = [\"/run/dovecot/lmtp\"]", "a Maildir is a folder here"),
        ("[mailbox_delivery]\nprotocol = \"LMTP\"\nhosts = [\"unix:lmtp\"]", "is no absolute path"),
        ("[mailbox_delivery]\nprotocol = \"LMTP\"\nhosts = [\"/x\"]\nrequire_tls = true", "there is no TLS"),
        (
            "[mailbox_delivery]\nprotocol = \"LMTP\"\nhosts = [\"m.own.example\"]\ntls_auth_level = \"CertificateValidation\"",
            "`tls_auth_level` needs require_tls = true",
        ),
        (
            "[mailbox_delivery]\nprotocol = \"SMTP\"\nhosts = [\"m.own.example\"]\nrequire_tls = true\ntls_domain = \"own.example\"",
            "`tls_domain` is compared under DomainValidation only",
        ),
        ("[[send_connector]]\nname = \"Mailbox delivery\"\naddress_spaces = [\"*\"]", "the way to mailboxes is called"),
    ] {
        let told = errors(&document(delivery, ""));
        assert!(told.iter().any(|error| error.contains(expected)), "{delivery}: {told:#?}");
    }
}

/// One connector of the property below.
#[derive(Clone, Debug)]
struct Drawn {
    enabled: bool,
    max_kilobytes: Option<u64>,
    spaces: Vec<(&'static str, u32)>,
    receive: Vec<&'static str>,
    senders: Vec<&'static str>,
}

const SPACES: [&str; 7] = ["*", "*.example", "*.a.example", "a.example", "b.a.example", "*.b.a.example", "other.org"];
const RECIPIENT_DOMAINS: [&str; 6] =
    ["example", "a.example", "b.a.example", "c.b.a.example", "other.org", "sub.other.org"];
const SENDER_DOMAINS: [&str; 4] = ["example", "a.example", "b.a.example", "other.org"];

/// How many labels of `pattern` a domain shares; `None` where it is not covered. The domain itself counts most.
fn covers(pattern: &str, domain: &str) -> Option<usize> {
    match pattern.strip_prefix("*.") {
        _ if pattern == "*" => Some(0),
        Some(suffix) => (domain == suffix || domain.ends_with(&format!(".{suffix}"))).then_some(1 + suffix.len()),
        None => (pattern == domain).then_some(usize::MAX),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(600)))]
    /// Against the rules of fact sheet section 4.5 written down one after the other.
    #[test]
    fn the_connector_is_the_one_that_a_plain_search_finds(
        drawn in prop::collection::vec(
            (
                Just(()),
                prop::option::weighted(0.4, 1u64..4),
                prop::collection::vec((prop::sample::select(&SPACES[..]), 1u32..4), 1..3),
                prop::option::weighted(0.3, prop::sample::select(vec!["Relay", "Scanners"])),
                prop::collection::vec(prop::sample::select(vec!["example", "*.example", "*.a.example", "a.example"]), 0..2),
                prop::bool::weighted(0.2),
            ),
            1..7,
        ),
        recipient in prop::sample::select(&RECIPIENT_DOMAINS[..]),
        sender in prop::option::of(prop::sample::select(&SENDER_DOMAINS[..])),
        receive in prop::sample::select(vec!["Relay", "Scanners"]),
        is_ours in prop::bool::weighted(0.1),
        kilobytes in 0u64..5,
    ) {
        let drawn: Vec<Drawn> = drawn
            .into_iter()
            .map(|(_, max_kilobytes, spaces, receive, senders, off)| {
                Drawn { enabled: !off, max_kilobytes, spaces, receive: receive.into_iter().collect(), senders }
            })
            .collect();
        let mut document = GATES.replace("[[accepted_domain]]\nname = \"*.shared.example\"\ndomain_type = \"InternalRelay\"\n", "");
        for (number, drawn) in drawn.iter().enumerate() {
            let spaces: Vec<String> = drawn.spaces.iter().map(|(space, cost)| format!("\"{space};{cost}\"")).collect();
            let quoted = |names: &[&str]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(",");
            let max = drawn.max_kilobytes.map_or("\"unlimited\"".to_owned(), |max| format!("\"{max} KB\""));
            let more = format!(
                "address_spaces = [{}]\nenabled = {}\nmax_message_size = {max}\n\
                 source_receive_connectors = [{}]\nsource_sender_domains = [{}]",
                spaces.join(","), drawn.enabled, quoted(&drawn.receive), quoted(&drawn.senders),
            );
            document += &connector(&format!("C{number}"), &more);
        }
        let settings = settings(&document);
        let sender_domain = sender.map(|sender| Domain::parse(sender).expect("a domain"));
        let source = (!is_ours).then_some(MailSource { receive_connector: receive, sender_domain: sender_domain.as_ref() });

        let mut ways = Vec::new();
        let mut is_too_large = false;
        for (number, drawn) in drawn.iter().enumerate().filter(|(_, drawn)| drawn.enabled) {
            let by_sender = if drawn.senders.is_empty() {
                Some(None)
            } else {
                let known = sender.filter(|_| !is_ours);
                known.and_then(|sender| drawn.senders.iter().filter_map(|pattern| covers(pattern, sender)).max()).map(Some)
            };
            let by_receive = drawn.receive.is_empty() || (!is_ours && drawn.receive.contains(&receive));
            let (Some(by_sender), true) = (by_sender, by_receive) else { continue };
            for (space, cost) in &drawn.spaces {
                let Some(specific) = covers(space, recipient) else { continue };
                if drawn.max_kilobytes.is_some_and(|max| kilobytes > max) {
                    is_too_large = true;
                    continue;
                }
                let closeness = (!drawn.receive.is_empty(), by_sender);
                ways.push((std::cmp::Reverse(specific), std::cmp::Reverse(closeness), *cost, format!("C{number}")));
            }
        }
        let expected = match ways.iter().min() {
            Some((_, _, _, name)) => format!("{name} to [10.0.0.9]:25"),
            None if is_too_large => "550 5.3.4 ROUTING.SizeLimit; message size exceeds fixed maximum size for route".to_owned(),
            None => route::UNREACHABLE.to_owned(),
        };
        let address = format!("z@{recipient}");
        prop_assert_eq!(&routed_from(&settings, &address, kilobytes << 10, source), &expected);

        let legs = itinerary(&settings, &Mailbox::parse(&address).expect("an address"), kilobytes << 10, source);
        let taken = legs[0].connectors.iter().find(|(_, fate)| *fate == Fate::Taken).map(|(way, _)| way.name.to_string());
        prop_assert_eq!(taken, ways.iter().min().map(|(_, _, _, name)| name.clone()), "the explanation agrees");
        prop_assert_eq!(legs[0].connectors.len(), drawn.len());
    }
}

#[test]
fn a_line_more_in_the_document_leads_no_mail_elsewhere() {
    let document = format!(
        "{DOCUMENT}[mailbox_delivery]\nprotocol = \"LMTP\"\nhosts = [\"/run/lmtp\"]\n\
         [[send_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\nextended_rights = [\"ms-Exch-Send-Headers-Routing\"]\n"
    );
    let before = settings(&document);
    for (what, after, are_alike) in [
        ("a comment", format!("# More.\n{document}"), true),
        ("a connector that brings mail", document.replace("[[mailbox]]\naddress = \"Bob", "[[receive_connector]]\nname = \"R\"\nbindings = [\"127.0.0.1:25\"]\nremote_ip_ranges = [\"10.0.0.1\"]\n[[mailbox]]\naddress = \"Bob"), true),
        ("a host", document.replace("10.0.0.3", "10.0.0.5"), false),
        ("an order", document.replace("SMTP:*;10", "SMTP:*;11"), false),
        ("a domain", document.replace("\"shared.example\"", "\"shared.test\"").replace("here@shared.example", "here@shared.test"), false),
        ("a mailbox", document.replace("Bob@", "Ann@"), false),
        ("a mailbox server", document.replace("/run/lmtp", "/run/other"), false),
        ("a right", document.replace("Send-Headers-Routing", "Send-Headers-Forest"), false),
    ] {
        assert_eq!(route::are_alike(&before, &settings(&after)), are_alike, "{what}");
        assert_eq!(route::are_alike(&settings(&after), &before), are_alike, "{what}");
    }
}
