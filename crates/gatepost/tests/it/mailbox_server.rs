//! Mail for our own mailboxes goes to the server that holds them: Dovecot by LMTP, over a socket and over TCP, or any by
//! SMTP.

use gatepost_testkit::dovecot::Dovecot;
use gatepost_testkit::sink::Sink;
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

const OTHERS: &str = r#"
[[mailbox]]
address = "full@contoso.com"
[[mailbox]]
address = "gone@contoso.com"
"#;

fn over_lmtp(host: &str) -> String {
    format!("[mailbox_delivery]\nprotocol = \"LMTP\"\nhosts = [\"{host}\"]\n")
}

fn wait_until_settled(site: &Site) {
    wait::until("everything is at its end", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
}

#[test]
fn each_recipient_of_a_message_gets_what_dovecot_says_of_it() {
    let mut dovecot = Dovecot::new(&["bob@contoso.com", "alice@contoso.com", "full@contoso.com:1K"]);
    dovecot.start();
    let socket = dovecot.socket();
    for host in [socket.to_str().expect("a plain path"), &dovecot.address().to_string()] {
        let seen = dovecot.mail("bob@contoso.com").len();
        let told = dovecot.mail("alice@contoso.com").len();
        let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, OTHERS, &over_lmtp(host)]);
        let recipients = ["bob@contoso.com", "gone@contoso.com", "full@contoso.com"];
        let content = message("for three", &"all lines of this are long enough to fill a small mailbox\r\n".repeat(50));
        site.client(HOST_2).submit("<alice@contoso.com>", &recipients, &content);
        let mail = dovecot.wait_for_mail("bob@contoso.com", seen + 1);
        let newest = mail.iter().find(|mail| mail["headers"]["Subject"] == "for three").expect("it is there");
        // The mailbox server makes the final delivery, and notes the reverse-path.
        assert_eq!(newest["headers"]["Return-Path"], "<alice@contoso.com>", "{host}");
        let report = dovecot.wait_for_mail("alice@contoso.com", told + 1);
        let report = report[told]["body"].as_str().expect("a body").to_owned() + &report[told].to_string();
        assert!(report.contains("gone@contoso.com") && report.contains("User doesn't exist"), "{host}: {report}");
        assert!(report.contains("full@contoso.com") && report.contains("Quota exceeded"), "{host}: {report}");
        assert!(!report.contains("Action: failed\r\nbob"), "{host}: {report}");
        wait_until_settled(&site);
        assert_eq!(dovecot.mail("bob@contoso.com").len(), seen + 1, "{host}: once");
        assert!(!site.installation.data_dir().join("mailboxes").join("bob@contoso.com").exists(), "{host}");
    }
}

#[test]
fn mail_waits_while_the_mailbox_server_is_down() {
    let mut dovecot = Dovecot::new(&["bob@contoso.com", "alice@contoso.com"]);
    let quick = QUICK_RETRY.replace("[transport]", "[transport]\nmailbox_delivery_queue_retry_interval = \"00:00:01\"");
    let socket = dovecot.socket();
    let host = socket.to_str().expect("a plain path");
    let site = Site::start(&[CONTOSO, &quick, OPEN_TO_TESTS, &over_lmtp(host)]);
    let mut client = site.client(HOST_2);
    assert_eq!(client.command("MAIL FROM:<alice@contoso.com>").code(), 250);
    assert_eq!(client.command("RCPT TO:<bob@contoso.com> NOTIFY=SUCCESS").code(), 250);
    assert_eq!(client.command("DATA").code(), 354);
    assert_eq!(client.command(&format!("{}\r\n.", message("later", "x").trim_end())).code(), 250);
    wait::until("the queue says what it waits for", || {
        let status = site.installation.json(&["status"]);
        let queue = status["queues"].as_array()?.iter().find(|queue| queue["next_hop"] == host)?.clone();
        queue["last_error"].as_str()?.contains(host).then_some(())
    });
    dovecot.start();
    let mail = dovecot.wait_for_mail("bob@contoso.com", 1);
    assert_eq!(mail[0]["headers"]["Subject"], "later");
    // Behind the mailbox server it goes nowhere.
    let report = dovecot.wait_for_mail("alice@contoso.com", 1)[0].to_string();
    assert!(report.contains("Action: delivered") && !report.contains("Action: relayed"), "{report}");
    wait_until_settled(&site);
}

#[test]
fn a_domain_can_have_a_mailbox_server_of_its_own_and_nothing_else_goes_there() {
    let (mailboxes, outside) = (Sink::start(), Sink::start());
    let host = mailboxes.address();
    let moved = format!(
        "[[accepted_domain]]\nname = \"moved.example\"\ndomain_type = \"InternalRelay\"\n\
         mailbox_delivery = {{ protocol = \"SMTP\", hosts = [\"{host}\"] }}\n\
         [[mailbox]]\naddress = \"carol@moved.example\"\n"
    );
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &moved, &to_sink(&outside.smart_host())]);
    let recipients = ["bob@contoso.com", "carol@moved.example", "elsewhere@moved.example", "postmaster@contoso.com"];
    site.client(HOST_2).submit("<a@x.net>", &recipients, &message("apart", "x"));
    assert_eq!(site.wait_for_mail("bob@contoso.com", 1).len(), 1);
    assert!(mailboxes.first().recipients[0].starts_with("<carol@moved.example>"));
    assert!(outside.first().recipients[0].starts_with("<elsewhere@moved.example>"));
    wait_until_settled(&site);
    assert_eq!((mailboxes.count(), outside.count()), (1, 1));
    assert_eq!(mailboxes.first().recipients.len(), 1);
}
