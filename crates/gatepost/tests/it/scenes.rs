//! The relay scenes as an administrator would play them: swaks on several hosts, Postfix's smtp-sink as the next hop.

use gatepost_testkit::programs::{SmtpSink, Swaks, SwaksRun};

use crate::site::{CONTOSO, HOST_2, HOST_3, HOST_4, PASSWORD, QUICK_RETRY, Site, below_trace, message, to_sink};

/// What the first server of both articles has: authenticated users only.
const DEFAULT: &str = r#"
[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["ExchangeUsers"]
"#;

/// Option 1 for 127.0.0.2 and 127.0.0.3.
const RELAY: &str = r#"
[[receive_connector]]
name = "Relay"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.2", "127.0.0.3"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
"#;

/// Content that a careless relay would change: dots, long and empty lines, trailing blanks, a last dot.
fn awkward_message(subject: &str) -> String {
    let long = "x".repeat(900);
    message(subject, &format!(".\r\n..\r\n.leading dot\r\n\r\n  indented \t \r\n{long}\r\nFrom here\r\n\r\n..."))
}

fn to_outside(site: &Site, host: std::net::IpAddr, subject: &str) -> SwaksRun {
    let swaks = Swaks::new(host, site.smtp()).from("app@contoso.com").to("z@gmail.com");
    swaks.content(&awkward_message(subject)).run()
}

/// The bytes delivered are those sent, below our trace.
#[track_caller]
fn assert_delivered_as_sent(run: &SwaksRun, delivered: &str) {
    // smtp-sink writes line feeds alone.
    assert_eq!(below_trace(delivered), run.content_sent().replace("\r\n", "\n"));
}

#[test]
fn scene_1_a_host_that_is_allowed_nothing_gets_530() {
    let sink = SmtpSink::start();
    let site = Site::start(&[CONTOSO, DEFAULT, &to_sink(&sink.smart_host())]);
    let run = to_outside(&site, HOST_4, "scene 1");
    assert_eq!(run.reply_to("MAIL"), "530 5.7.1 Client was not authenticated");
    assert_eq!(run.code, 23, "swaks: MAIL was refused");
    assert!(sink.messages().is_empty());
}

#[test]
fn scene_2_outsiders_reach_local_recipients_and_nobody_else() {
    let sink = SmtpSink::start();
    let internet = DEFAULT.replace(r#"["ExchangeUsers"]"#, r#"["AnonymousUsers", "ExchangeUsers"]"#);
    let site = Site::start(&[CONTOSO, &internet, &to_sink(&sink.smart_host())]);

    let run = Swaks::new(HOST_2, site.smtp()).from("a@hotmail.com").to("bob@contoso.com").run();
    assert_eq!(run.reply_to("MAIL"), "250 2.1.0 Sender OK");
    assert_eq!(run.reply_to("RCPT"), "250 2.1.5 Recipient OK");
    run.expect_taken();

    let run = Swaks::new(HOST_2, site.smtp()).from("a@hotmail.com").to("z@gmail.com").run();
    assert_eq!(run.reply_to("RCPT"), "550 5.7.1 Unable to relay");
    assert_eq!(run.code, 24, "swaks: no recipient was taken");
    assert!(sink.messages().is_empty());
}

#[test]
fn scene_4_externally_secured_hosts_relay_to_anyone_as_anyone() {
    let sink = SmtpSink::start();
    let site = Site::start(&[CONTOSO, QUICK_RETRY, DEFAULT, RELAY, &to_sink(&sink.smart_host())]);

    let run = to_outside(&site, HOST_2, "scene 4");
    run.expect_taken();
    let accepted = run.reply_to(".");
    assert!(accepted.starts_with("250 2.6.0 <scene-4@app01.contoso.com> [InternalId="), "{accepted}");
    assert!(accepted.ends_with(", Hostname=mail.contoso.com] Queued mail for delivery"), "{accepted}");
    assert!(!run.reply_to("EHLO").contains("AUTH"), "nothing to log in to");

    let delivered = sink.wait_for(1).swap_remove(0);
    assert!(delivered.mail.starts_with("<app@contoso.com>"), "{}", delivered.mail);
    assert_eq!(delivered.recipients.len(), 1);
    assert!(delivered.recipients[0].starts_with("<z@gmail.com>"));
    assert_delivered_as_sent(&run, &delivered.content);

    let trace = &delivered.content[..delivered.content.len() - below_trace(&delivered.content).len()];
    for words in ["from app01.contoso.com", "127.0.0.2", "by mail.contoso.com", "ESMTP", "z@gmail.com"] {
        assert!(trace.contains(words), "{words} in {trace}");
    }
}

#[test]
fn scene_5_one_extended_right_relays_with_least_privilege() {
    let sink = SmtpSink::start();
    let crm = r#"
[[receive_connector]]
name = "CRM Application"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.3"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
max_message_size = "64 KB"
  [[receive_connector.permission]]
  user = "NT AUTHORITY\\ANONYMOUS LOGON"
  extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
"#;
    let site = Site::start(&[CONTOSO, DEFAULT, crm, &to_sink(&sink.smart_host())]);
    let run = to_outside(&site, HOST_3, "scene 5");
    run.expect_taken();
    assert_delivered_as_sent(&run, &sink.wait_for(1)[0].content);

    // The size limit is not bypassed (vector V9), whether the size was declared or not.
    let large = message("large", &"0123456789\r\n".repeat(10_000));
    let run = Swaks::new(HOST_3, site.smtp()).from("app@contoso.com").to("z@gmail.com").content(&large).run();
    assert!(run.transcript.contains("552 5.3.4 Message size exceeds fixed maximum message size"), "{}", run.transcript);
    assert_eq!(to_outside(&site, HOST_2, "other host").reply_to("MAIL"), "530 5.7.1 Client was not authenticated");
}

#[test]
fn scene_6_authenticated_users_relay_through_the_default_connector() {
    let sink = SmtpSink::start();
    let implicit = DEFAULT.replace("Default", "Submissions").replace("{smtp}", "{tls}") + "implicit_tls = true\n";
    let site = Site::start(&[CONTOSO, DEFAULT, &implicit, &to_sink(&sink.smart_host())]);
    let login = |subject: &str, port: &str, tls: &str, mechanism: &str| {
        let swaks = Swaks::new(HOST_4, site.port(port)).option(&[tls]).login(mechanism, "alice", PASSWORD);
        let content = awkward_message(subject).replace("From: app@", "From: alice@");
        swaks.from("alice@contoso.com").to("z@gmail.com").content(&content).run()
    };
    for (i, (port, tls, mechanism)) in [
        ("smtp", "--tls", "PLAIN"),
        ("smtp", "--tls", "LOGIN"),
        ("tls", "--tls-on-connect", "PLAIN"),
        ("tls", "--tls-on-connect", "LOGIN"),
    ]
    .into_iter()
    .enumerate()
    {
        let subject = format!("scene 6 {i}");
        let run = login(&subject, port, tls, mechanism);
        run.expect_taken();
        let arrived = sink.wait_for(i + 1);
        let delivered = arrived.iter().find(|message| message.content.contains(&subject)).expect("this message");
        assert_delivered_as_sent(&run, &delivered.content);
        assert!(delivered.content.contains("ESMTPSA"), "RFC 3848 names the protocol: {}", delivered.content);
    }
}

#[test]
fn scene_7_other_addresses_stay_refused_and_a_removed_one_loses_its_relay() {
    let sink = SmtpSink::start();
    let site = Site::start(&[CONTOSO, DEFAULT, RELAY, &to_sink(&sink.smart_host())]);
    to_outside(&site, HOST_2, "before").expect_taken();
    to_outside(&site, HOST_3, "before").expect_taken();
    assert_eq!(to_outside(&site, HOST_4, "before").reply_to("MAIL"), "530 5.7.1 Client was not authenticated");

    let narrower = RELAY.replace(r#""127.0.0.2", "127.0.0.3""#, r#""127.0.0.2""#);
    site.write_settings(&[CONTOSO, DEFAULT, &narrower, &to_sink(&sink.smart_host())]);
    site.installation.output(&["reload"]);
    to_outside(&site, HOST_2, "after").expect_taken();
    assert_eq!(to_outside(&site, HOST_3, "after").reply_to("MAIL"), "530 5.7.1 Client was not authenticated");
    assert_eq!(sink.wait_for(3).len(), 3);
}

#[test]
fn scene_9_several_connectors_share_a_port_each_with_its_own_rights() {
    let sink = SmtpSink::start();
    let site = Site::start(&[
        CONTOSO,
        DEFAULT,
        r#"
[[receive_connector]]
name = "Branch"
fqdn = "branch.contoso.com"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.0/29"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
"#,
        &RELAY.replace(r#""127.0.0.2", "127.0.0.3""#, r#""127.0.0.2-127.0.0.3""#),
        &to_sink(&sink.smart_host()),
    ]);
    to_outside(&site, HOST_2, "the narrowest range").expect_taken();
    let branch = to_outside(&site, HOST_4, "the range around it");
    assert!(branch.reply_to("EHLO").starts_with("250-branch.contoso.com Hello [127.0.0.4]"));
    assert_eq!(branch.reply_to("RCPT"), "550 5.7.1 Unable to relay");
    let elsewhere = to_outside(&site, "127.0.9.9".parse().expect("an address"), "everybody else");
    assert_eq!(elsewhere.reply_to("MAIL"), "530 5.7.1 Client was not authenticated");
    assert_eq!(sink.wait_for(1).len(), 1);
}
