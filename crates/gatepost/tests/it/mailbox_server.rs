//! Mail for our own mailboxes goes to the server that holds them: Dovecot by LMTP, over a socket and over TCP, or any by
//! SMTP.

use gatepost_testkit::authority::{Authority, Kind};
use gatepost_testkit::dovecot::Dovecot;
use gatepost_testkit::provider::{Provider, Running};
use gatepost_testkit::sink::Sink;
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};
use crate::smart_host_logon::last_error;

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

#[test]
fn a_mailbox_server_has_to_prove_what_is_demanded_of_it() {
    let (authority, stranger) = (Authority::new("Our CA"), Authority::new("Another CA"));
    let with = |authority: &Authority| {
        let identity = Some(authority.issue(&["mailboxes.contoso.com"], Kind::ServerOnly));
        Provider { mechanisms: "", identity, ..Provider::default() }.start()
    };
    let (sound, forged) = (with(&authority), with(&stranger));
    let domain = |name: &str, host: &Running, level: &str| {
        format!(
            "[[accepted_domain]]\nname = \"{name}\"\nmailbox_delivery = {{ protocol = \"SMTP\", hosts = [\"{}\"], \
             require_tls = true, {level} }}\n[[mailbox]]\naddress = \"carol@{name}\"\n",
            host.smart_host()
        )
    };
    let certificate = "tls_auth_level = \"CertificateValidation\"";
    let named = |name: &str| format!("tls_auth_level = \"DomainValidation\", tls_domain = \"{name}\"");
    let domains = [
        domain("forged.example", &forged, certificate),
        domain("sound.example", &sound, certificate),
        domain("other.example", &sound, &named("elsewhere.contoso.com")),
        domain("named.example", &sound, &named("mailboxes.contoso.com")),
    ];
    let parts = [CONTOSO, QUICK_RETRY, "[tls]\ntrusted_roots = \"roots.pem\"\n", OPEN_TO_TESTS, &domains.concat()];
    let site = Site::start_with_files(&parts, &[("roots.pem", authority.pem())]);
    for (name, expected) in [
        ("forged.example", Some("no root that is trusted here has issued it")),
        ("other.example", Some("its certificate is not for elsewhere.contoso.com but for mailboxes.contoso.com")),
        ("sound.example", None),
        // That another connector was not content with this host is no reason to keep away from it.
        ("named.example", None),
    ] {
        let content = message(name, "x");
        site.client(HOST_2).submit("<a@x.net>", &[&format!("carol@{name}")], &content);
        if let Some(expected) = expected {
            let error = last_error(&site, &format!("mailbox delivery ({name})"));
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
    sound.wait_for(2);
    assert_eq!((sound.contents().len(), forged.contents().len()), (2, 0));
}
