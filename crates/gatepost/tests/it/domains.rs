//! Accepted domains of every kind (fact sheet section 4.1).

use gatepost_testkit::sink::Sink;

use crate::site::{CONTOSO, HOST_2, QUICK_RETRY, Site, message, to_sink};

const DOMAINS: &str = r#"
[[accepted_domain]]
name = "shared.example"
domain_type = "InternalRelay"

[[accepted_domain]]
name = "*.wild.example"
domain_type = "ExternalRelay"

[[mailbox]]
address = "carol@shared.example"

[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
default_domain = "contoso.com"
"#;

#[test]
fn each_kind_of_domain_is_accepted_and_delivered_as_its_kind_says() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, QUICK_RETRY, DOMAINS, &to_sink(&sink.smart_host())]);
    let mut client = site.client(HOST_2);
    assert_eq!(client.command("MAIL FROM:<a@x.net>").code(), 250);
    for (recipient, code) in [
        ("carol@shared.example", 250),
        ("elsewhere@shared.example", 250),
        ("q@partner.example", 250),
        ("q@sub.wild.example", 250),
        ("q@deep.sub.wild.example", 250),
        ("q@sub.shared.example", 550),
        ("q@notwild.example", 550),
    ] {
        let reply = client.command(&format!("RCPT TO:<{recipient}>"));
        assert_eq!(reply.code(), code, "{recipient}: {reply}");
    }
    assert_eq!(client.command("DATA").code(), 354);
    client.send(&format!("{}.\r\n", message("kinds", "x")));
    assert_eq!(client.reply().code(), 250);

    assert_eq!(site.wait_for_mail("carol@shared.example", 1).len(), 1);
    let taken = sink.first();
    let paths: Vec<&str> = taken.recipients.iter().map(|path| path.split(' ').next().unwrap_or(path)).collect();
    let expected =
        ["<elsewhere@shared.example>", "<q@partner.example>", "<q@sub.wild.example>", "<q@deep.sub.wild.example>"];
    assert_eq!(paths, expected);
}

#[test]
fn an_address_without_a_domain_gets_the_connectors_default_domain() {
    let site = Site::start(&[CONTOSO, DOMAINS]);
    let mut client = site.client(HOST_2);
    let reply = client.submit("<scanner>", &["bob"], &message("short addresses", "x"));
    assert_eq!(reply.code(), 250, "{reply}");
    let mail = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_eq!(mail["headers"]["Return-Path"], "<scanner@contoso.com>");
}

#[test]
fn content_without_a_header_section_stays_content() {
    let site = Site::start(&[CONTOSO, DOMAINS]);
    let mut client = site.client(HOST_2);
    client.submit("<a@x.net>", &["bob@contoso.com"], "just a line, no header\r\nand another\r\n");
    let mail = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    let body = mail["body"].as_str().expect("a body").replace("\r\n", "\n");
    assert_eq!(body, "just a line, no header\nand another\n", "{mail}");
    assert!(mail["defects"].as_array().expect("a list").is_empty(), "{mail}");
}
