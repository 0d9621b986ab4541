//! Groups, contacts, aliases and what a domain catches: each recipient gets one copy, and strangers stay outside of what is
//! closed to them.

use gatepost_testkit::client::Client;
use gatepost_testkit::installation::text_of;
use gatepost_testkit::programs::parse_message;
use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, HOST_3, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

/// Beside bob and alice: a group that leads back to itself, one that is closed, and addresses that lead elsewhere.
const RECIPIENTS: &str = r#"
[[accepted_domain]]
name = "fabrikam.com"
catch_all_recipient = "bob@contoso.com"

[[mailbox]]
address = "carol@contoso.com"
aliases = ["c@contoso.com", "karla@contoso.com"]

[[contact]]
address = "dave@contoso.com"
external_address = "dave@y.net"

[[distribution_group]]
address = "staff@contoso.com"
require_sender_authentication = false
members = ["bob@contoso.com", "c@contoso.com", "sales@contoso.com", "erin@y.net"]

[[distribution_group]]
address = "sales@contoso.com"
require_sender_authentication = false
members = ["staff@contoso.com", "alice@contoso.com", "dave@contoso.com", "Bob@contoso.com"]

[[distribution_group]]
address = "managers@contoso.com"
members = ["bob@contoso.com"]
"#;

/// From 127.0.0.3 anybody may come, anonymous or logged on; the tests' other hosts are trusted.
const FROM_ANYWHERE: &str = r#"
[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.3"]
auth_mechanism = ["Tls", "BasicAuth"]
permission_groups = ["AnonymousUsers", "ExchangeUsers"]
"#;

fn start(sink: &Sink) -> Site {
    Site::start(&[CONTOSO, RECIPIENTS, QUICK_RETRY, OPEN_TO_TESTS, FROM_ANYWHERE, &to_sink(&sink.smart_host())])
}

/// The reply to each RCPT in a transaction of this sender, which is then reset.
#[track_caller]
fn replies_to(client: &mut Client, sender: &str, recipients: &[&str]) -> Vec<String> {
    let expect = |client: &mut Client, command: &str| client.command(command).to_string();
    assert!(expect(client, &format!("MAIL FROM:<{sender}>")).starts_with("250"));
    let replies = recipients.iter().map(|to| expect(client, &format!("RCPT TO:<{to}>"))).collect();
    assert!(expect(client, "RSET").starts_with("250"));
    replies
}

#[track_caller]
fn wait_until_all_is_at_its_end(site: &Site) {
    wait::until("everything is at its end", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
}

/// The text of the part of this type.
#[track_caller]
fn part<'a>(report: &'a Value, content_type: &str) -> &'a str {
    let parts = report["parts"].as_array().expect("a multipart message");
    let part = parts.iter().find(|part| part[0] == content_type);
    part.and_then(|part| part[1].as_str()).unwrap_or_else(|| panic!("no {content_type} in {report}"))
}

#[test]
fn a_group_that_leads_back_to_itself_delivers_once_to_each_member_here_and_elsewhere() {
    let sink = Sink::start();
    let site = start(&sink);
    // bob is named as well, and under another name of the same group.
    let named = ["bob@contoso.com", "staff@contoso.com", "sales@contoso.com", "karla@contoso.com"];
    site.client(HOST_3).submit("<a@x.net>", &named, &message("for everybody", "x"));
    for mailbox in ["bob@contoso.com", "alice@contoso.com", "carol@contoso.com"] {
        let mail = site.wait_for_mail(mailbox, 1);
        assert_eq!(mail[0]["headers"]["Delivered-To"], mailbox);
    }
    let taken = sink.first();
    let mut paths: Vec<&str> = taken.recipients.iter().map(|path| path.split(' ').next().unwrap_or(path)).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["<dave@y.net>", "<erin@y.net>"]);
    assert!(taken.mail.starts_with("<a@x.net>"), "reports go to the sender: {}", taken.mail);
    wait_until_all_is_at_its_end(&site);
    assert_eq!(sink.count(), 1);
    for mailbox in ["bob@contoso.com", "alice@contoso.com", "carol@contoso.com"] {
        assert_eq!(site.wait_for_mail(mailbox, 1).len(), 1, "{mailbox}");
    }
}

#[test]
fn v6_a_closed_group_takes_mail_from_trusted_hosts_and_from_users_but_not_from_strangers() {
    let sink = Sink::start();
    let site = start(&sink);
    let group = "managers@contoso.com";

    let mut stranger = site.client(HOST_3);
    let refused = "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required";
    let replies = replies_to(&mut stranger, "ceo@contoso.com", &[group, "bob@contoso.com"]);
    assert_eq!(replies[0].trim_end(), refused);
    assert!(replies[1].starts_with("250"), "{replies:?}");

    let mut user = Client::greeted_from(HOST_3, site.smtp());
    user.start_tls();
    assert_eq!(user.command("AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=").code(), 235);
    let content = message("from a user", "x").replace("app@contoso.com", "alice@contoso.com");
    assert_eq!(user.submit("<alice@contoso.com>", &[group], &content).code(), 250);
    site.wait_for_mail("bob@contoso.com", 1);

    // Externally secured, option 1.
    let mut trusted = site.client(HOST_2);
    trusted.submit("<ceo@contoso.com>", &[group], &message("from a trusted host", "x"));
    let mail = site.wait_for_mail("bob@contoso.com", 2);
    let subjects: Vec<&Value> = mail.iter().map(|mail| &mail["headers"]["Subject"]).collect();
    assert!(subjects.contains(&&Value::from("from a trusted host")), "{subjects:?}");

    // The same host says that it does not know who submitted this one.
    trusted.send(&format!("MAIL FROM:<ceo@contoso.com> AUTH=<>\r\nRCPT TO:<{group}>\r\nRSET\r\n"));
    let replies: Vec<String> = (0..3).map(|_| trusted.reply().to_string()).collect();
    assert_eq!(replies[1].trim_end(), refused, "{replies:?}");
}

#[test]
fn contacts_aliases_and_what_a_domain_catches_reach_whom_they_lead_to() {
    let sink = Sink::start();
    let site = start(&sink);
    let mut client = site.client(HOST_3);
    client.submit("<a@x.net>", &["Karla@contoso.com"], &message("by an alias", "x"));
    let mail = site.wait_for_mail("carol@contoso.com", 1).swap_remove(0);
    assert_eq!(mail["headers"]["Delivered-To"], "carol@contoso.com");

    client.submit("<a@x.net>", &["anything@fabrikam.com", "else@fabrikam.com"], &message("caught", "x"));
    let mail = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_eq!(mail["headers"]["Subject"], "caught");

    client.submit("<a@x.net>", &["dave@contoso.com"], &message("to a contact", "x"));
    let taken = sink.first();
    assert_eq!(taken.recipients, ["<dave@y.net> ORCPT=rfc822;dave@contoso.com"]);
    // The trace says whom the sender wrote to, and leaves the contact's own address to the envelope.
    let received = parse_message(&taken.content)["headers"]["Received"].to_string();
    assert!(received.contains("for <dave@contoso.com>"), "{received}");

    let replies = replies_to(&mut client, "a@x.net", &["nobody@contoso.com"]);
    assert!(replies[0].starts_with("550 5.1.10"), "{replies:?}");
    wait_until_all_is_at_its_end(&site);
    assert_eq!(site.wait_for_mail("bob@contoso.com", 1).len(), 1, "two addresses, one mailbox");
}

#[test]
fn a_member_that_fails_is_reported_to_the_sender_under_the_name_of_the_group() {
    let sink = Setup::new()
        .answering(|stage, _| match stage {
            Stage::Rcpt(path) if path.starts_with("<erin@") => Action::Reply("550 5.1.1 no such person here"),
            _ => Action::Accept,
        })
        .start();
    let site = start(&sink);
    // The sender is an alias here: the report finds its way, too.
    site.client(HOST_2).submit("<karla@contoso.com>", &["staff@contoso.com"], &message("to the staff", "x"));
    let mails = wait::until("carol's copy and the report", || {
        let mails = site.wait_for_mail("carol@contoso.com", 1);
        (mails.len() == 2).then_some(mails)
    });
    let report = mails.iter().find(|mail| mail["type"] == "multipart/report").expect("a report");
    let status = part(report, "message/delivery-status");
    for line in [
        "Original-Recipient: rfc822; staff@contoso.com",
        "Final-Recipient: rfc822; erin@y.net",
        "Action: failed",
        "Status: 5.1.1",
    ] {
        assert!(status.contains(line), "{line} in:\n{status}");
    }
    let plain = part(report, "text/plain");
    assert!(plain.contains("staff@contoso.com"), "a person knows whom the message was for: {plain}");
}

#[test]
fn success_of_a_group_is_told_once_and_names_no_member() {
    let sink = Sink::start();
    let site = start(&sink);
    let mut client = site.client(HOST_2);
    client.send("MAIL FROM:<carol@contoso.com>\r\nRCPT TO:<sales@contoso.com> NOTIFY=SUCCESS,FAILURE\r\nDATA\r\n");
    let codes: Vec<u16> = (0..3).map(|_| client.reply().code()).collect();
    assert_eq!(codes, [250, 250, 354]);
    client.send(&format!("{}.\r\n", message("tell me", "x")));
    assert_eq!(client.reply().code(), 250);
    let mails = wait::until("carol's copy and the report", || {
        let mails = site.wait_for_mail("carol@contoso.com", 1);
        (mails.len() == 2).then_some(mails)
    });
    let report = mails.iter().find(|mail| mail["type"] == "multipart/report").expect("a report");
    let status = part(report, "message/delivery-status");
    assert!(status.contains("Final-Recipient: rfc822; sales@contoso.com"), "{status}");
    assert!(status.contains("Action: expanded"), "{status}");
    assert!(!status.contains("alice@contoso.com"), "{status}");
    let taken = sink.first();
    assert!(taken.recipients.iter().all(|path| path.contains("NOTIFY=FAILURE ")), "{:?}", taken.recipients);
    wait_until_all_is_at_its_end(&site);
    assert_eq!(site.installation.json(&["status"])["counters"]["reports"], 1);
}

#[test]
fn what_waits_for_a_mailbox_that_becomes_a_group_is_reported_when_the_settings_change() {
    let sink = Setup::new()
        .answering(|stage, _| match stage {
            Stage::Rcpt(_) => Action::Reply("451 4.2.0 not now"),
            _ => Action::Accept,
        })
        .start();
    let shared = "[[accepted_domain]]\nname = \"shared.example\"\ndomain_type = \"InternalRelay\"\n";
    let way_out = to_sink(&sink.smart_host());
    let parts = [CONTOSO, shared, QUICK_RETRY, OPEN_TO_TESTS, &way_out];
    let site = Site::start(&parts);
    // Passed on, as long as nobody here has the address.
    let named = ["team@shared.example", "one@shared.example"];
    site.client(HOST_2).submit("<bob@contoso.com>", &named, &message("on its way", "x"));
    wait::until("the first attempt", || {
        (site.installation.json(&["status"])["counters"]["deferred"].as_u64() >= Some(2)).then_some(())
    });
    let group = "[[distribution_group]]\naddress = \"team@shared.example\"\nmembers = [\"alice@contoso.com\"]\n\
                 [[contact]]\naddress = \"one@shared.example\"\nexternal_address = \"one@y.net\"\n";
    site.write_settings(&[&parts[..], &[group]].concat());
    site.installation.run(&["reload"]);
    let mails = wait::until("a report of each", || {
        let mails = site.wait_for_mail("bob@contoso.com", 1);
        let text: String = mails.iter().map(Value::to_string).collect();
        named.iter().all(|name| text.contains(&format!("Final-Recipient: rfc822; {name}"))).then_some(mails)
    });
    for report in &mails {
        assert!(part(report, "message/delivery-status").contains("Status: 5.1.6"), "{report}");
    }
    wait_until_all_is_at_its_end(&site);
}

#[test]
fn explain_says_what_a_recipient_is_and_who_may_write_to_it() {
    let sink = Sink::start();
    let site = start(&sink);
    let question = |recipient| ["explain", "--from", "127.0.0.3", "--sender", "a@x.net", "--recipient", recipient];
    let explain = |recipient| text_of(&site.installation.run(&question(recipient)));
    for (recipient, expected) in [
        ("carol@contoso.com", "carol@contoso.com: a mailbox here\n"),
        ("c@contoso.com", "an alias of carol@contoso.com: a mailbox here\n"),
        ("dave@contoso.com", "dave@contoso.com: a contact: its mail goes to dave@y.net\n"),
        ("sales@contoso.com", "sales@contoso.com: a distribution group of 4 members, 5 recipients in the end\n"),
        ("any@fabrikam.com", "nobody; what nobody gets is caught by bob@contoso.com: a mailbox here\n"),
        ("Postmaster", "postmaster, whose mail goes to postmaster@mail.contoso.com: a mailbox here\n"),
        (
            "managers@contoso.com",
            "managers@contoso.com: a distribution group of 1 member, 1 recipient in the end. It takes mail from inside \
             the organization only\n",
        ),
    ] {
        let told = explain(recipient);
        assert!(told.contains(&format!("\nRecipient\n  {expected}")), "{told}");
    }
    let told = explain("managers@contoso.com");
    assert!(told.contains("refused at RCPT: recipient requires an authenticated sender"), "{told}");
    assert!(told.contains("550 5.7.1 RESOLVER.RST.AuthRequired"), "{told}");
    assert!(told.contains("Missing: ms-Exch-SMTP-Accept-Authentication-Flag"), "{told}");
    let told = site.installation.json(&question("c@contoso.com"));
    assert_eq!(told["recipient"]["address"], "carol@contoso.com");
    assert_eq!((&told["recipient"]["kind"], &told["recipient"]["by"]), (&"mailbox".into(), &"alias".into()));
    let told = explain("nobody@contoso.com");
    assert!(!told.contains("\nRecipient\n"), "{told}");
}
