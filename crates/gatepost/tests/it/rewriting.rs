//! Headers and envelopes written anew: what devices got wrong is repaired on the way in where a connector says so, and
//! names of inside are shown by another name on the way out.

use gatepost_testkit::sink::{Setup, Taken};

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, below_trace, to_sink};

/// What the next hop gets of this content, sent by a host of a connector with these keys.
fn taken(receive: &str, send: &str, sender: &str, content: &str) -> Taken {
    let sink = Setup::new().start();
    let connector = format!("{OPEN_TO_TESTS}{receive}");
    let way_out = format!("{}{send}", to_sink(&sink.smart_host()));
    let site = Site::start(&[CONTOSO, QUICK_RETRY, &connector, &way_out]);
    site.client(HOST_2).submit(sender, &["somebody@y.net"], content);
    sink.first()
}

fn text(taken: &Taken) -> String {
    String::from_utf8_lossy(&taken.content).into_owned()
}

fn has_field(content: &str, line: &str) -> bool {
    let header = content.split("\r\n\r\n").next().unwrap_or_default();
    header.split("\r\n").any(|field| field.starts_with(line))
}

const RUBBISH: &str = "From: scanner\r\nReply-To: none of your business\r\nSubject: scan\r\n\r\nFrom: stays\r\n";

#[test]
fn what_a_device_got_wrong_is_repaired_where_its_connector_says_so() {
    let repaired = taken("repair = [\"Senders\", \"Date\"]\n", "", "<dev@contoso.com>", RUBBISH);
    assert!(has_field(&text(&repaired), "From: <scanner@contoso.com>"), "{}", text(&repaired));
    assert!(
        has_field(&text(&repaired), "Date: ") && has_field(&text(&repaired), "Message-ID: "),
        "{}",
        text(&repaired)
    );
    assert!(!has_field(&text(&repaired), "Reply-To:"), "{}", text(&repaired));
    assert!(text(&repaired).ends_with("Subject: scan\r\n\r\nFrom: stays\r\n"), "{}", text(&repaired));

    let missing = taken("repair = \"Senders\"\n", "", "<dev@contoso.com>", "Subject: scan\r\n\r\nx\r\n");
    assert!(has_field(&text(&missing), "From: <dev@contoso.com>"), "{}", text(&missing));
    assert!(!has_field(&text(&missing), "Date: "), "nobody asked for it: {}", text(&missing));
}

#[test]
fn nothing_is_repaired_that_nobody_asked_for() {
    let same = taken("", "", "<dev@contoso.com>", RUBBISH);
    assert!(below_trace(&text(&same)).ends_with(RUBBISH), "{}", text(&same));
    assert!(!has_field(&text(&same), "Date: "), "{}", text(&same));
}

#[test]
fn names_of_inside_are_shown_by_another_name_in_envelope_and_header() {
    let masquerade = "masquerade_domains = [\"*.internal\"]\nmasquerade_as = \"contoso.com\"\n";
    let content = "From: Backup <root@db1.internal>\r\nReply-To: ops@y.example\r\nTo: root@db1.internal\r\n\r\n\
                   From: root@db1.internal\r\n";
    let outside = taken("", masquerade, "<root@db1.internal>", content);
    assert!(outside.mail.starts_with("<root@contoso.com>"), "{}", outside.mail);
    assert!(has_field(&text(&outside), "From: Backup <root@contoso.com>"), "{}", text(&outside));
    assert!(has_field(&text(&outside), "Reply-To: ops@y.example"), "{}", text(&outside));
    assert!(has_field(&text(&outside), "To: root@db1.internal"), "recipients are not senders: {}", text(&outside));
    assert!(text(&outside).ends_with("\r\n\r\nFrom: root@db1.internal\r\n"), "the body stays: {}", text(&outside));
}
