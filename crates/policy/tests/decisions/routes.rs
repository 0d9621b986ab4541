//! Where a recipient's copy goes (fact sheet section 4.5).

use gatepost_mail::Mailbox;
use gatepost_policy::route::{Route, select};

use crate::document::settings;

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
    let settings = settings(document);
    match select(&settings, &Mailbox::parse(recipient).expect("an address"), bytes) {
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
