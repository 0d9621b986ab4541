//! Who may write as whom, tried with a real client; and `AUTH=`, by which servers tell each other who submitted a message
//! (fact sheet sections 2.10 and 2.11). Most of it are dialogues under `wire/`.

use gatepost_testkit::programs::{SmtpSink, Swaks};
use gatepost_testkit::sink::{Setup, Taken};

use crate::site::{CONTOSO, HOST_2, HOST_3, PASSWORD, Site, to_sink};

const CLIENT: &str = r#"
[[distribution_group]]
address = "sales@contoso.com"
members = ["bob@contoso.com"]
send_as = ["alice"]

[[receive_connector]]
name = "Client"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.2"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["ExchangeUsers"]
"#;

#[test]
fn what_the_header_may_not_name_is_refused_at_the_end_and_kept_nowhere() {
    let sink = SmtpSink::start();
    let site = Site::start(&[CONTOSO, CLIENT, &to_sink(&sink.smart_host())]);
    let write_as = |header_from: &str, subject: &str| {
        let swaks = Swaks::new(HOST_2, site.smtp()).option(&["--tls"]).login("PLAIN", "alice", PASSWORD);
        let fields = ["--h-From", header_from, "--h-Subject", subject];
        swaks.from("alice@contoso.com").to("z@gmail.com,bob@contoso.com").option(&fields).run()
    };
    for (header_from, reply) in [
        ("Bob <bob@contoso.com>", "550 5.7.1 Client does not have permissions to send as this sender"),
        (
            "bob@contoso.com <alice@contoso.com>",
            "554 5.6.0 Invalid message content; the header does not name its senders clearly",
        ),
    ] {
        let run = write_as(header_from, "refused");
        assert_eq!((run.reply_to("DATA").starts_with("354"), run.reply_to(".")), (true, reply.to_owned()));
    }
    write_as("\"Bob, bob@contoso.com\" <alice@contoso.com>", "own").expect_taken();
    write_as("Sales <sales@contoso.com>", "granted").expect_taken();

    let taken = sink.wait_for(2);
    assert_eq!(taken.len(), 2, "{taken:#?}");
    assert!(taken.iter().all(|message| !message.content.contains("refused")), "{taken:#?}");
    let mails = site.wait_for_mail("bob@contoso.com", 2);
    let subjects: Vec<_> = mails.iter().map(|mail| mail["headers"]["Subject"].as_str().unwrap_or_default()).collect();
    assert!(subjects.contains(&"own") && subjects.contains(&"granted") && subjects.len() == 2, "{subjects:?}");
    site.server.wait_for_log_text("principal may not send as who is named in the From field");
    site.server.wait_for_log_text("the From field cannot be read with certainty");
}

const GATES: &str = r#"
[[receive_connector]]
name = "Option 1"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.2"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]

[[receive_connector]]
name = "Option 2"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.3"]
permission_groups = ["AnonymousUsers"]

[[receive_connector.permission]]
user = "NT AUTHORITY\\ANONYMOUS LOGON"
extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]

[[send_connector]]
name = "Trusted"
address_spaces = ["SMTP:trusted.example;1"]
smart_hosts = ["{trusted}"]
smart_host_auth_mechanism = "ExternalAuthoritative"
"#;

#[test]
fn auth_is_believed_of_those_who_may_vouch_and_told_to_those_who_are_trusted() {
    let start = || Setup::new().offering("AUTH LOGIN PLAIN").start();
    let (trusted, other) = (start(), start());
    let gates = GATES.replace("{trusted}", &trusted.smart_host());
    let site = Site::start(&[CONTOSO, &gates, &to_sink(&other.smart_host())]);
    for (i, (host, parameter, auth_as, told)) in [
        (HOST_2, "", "Internal", "AUTH=app@contoso.com"),
        (HOST_2, " AUTH=boss+2Bpa@contoso.com", "Internal", "AUTH=boss+2Bpa@contoso.com"),
        (HOST_2, " AUTH=<>", "Anonymous", "AUTH=<>"),
        (HOST_3, "", "Anonymous", "AUTH=<>"),
        (HOST_3, " AUTH=boss@contoso.com", "Anonymous", "AUTH=<>"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = site.client(host);
        assert_eq!(client.command(&format!("MAIL FROM:<app@contoso.com>{parameter}")).code(), 250, "{parameter}");
        for recipient in ["bob@contoso.com", "a@trusted.example", "z@gmail.com"] {
            assert_eq!(client.command(&format!("RCPT TO:<{recipient}>")).code(), 250, "{recipient}");
        }
        assert_eq!(client.command("DATA").code(), 354);
        client.send(&format!("From: app@contoso.com\r\nSubject: number {i}\r\n\r\nhello\r\n.\r\n"));
        assert_eq!(client.reply().code(), 250);

        let last = |taken: Vec<Taken>| taken.last().expect("the message").mail.clone();
        let at_the_trusted = last(trusted.wait_for(i + 1));
        assert!(at_the_trusted.ends_with(told), "{host}{parameter}: {at_the_trusted}");
        let at_the_other = last(other.wait_for(i + 1));
        assert!(at_the_other.ends_with("AUTH=<>"), "{host}{parameter}: {at_the_other}");
        let mails = site.wait_for_mail("bob@contoso.com", i + 1);
        let mail = mails.iter().find(|mail| mail["headers"]["Subject"] == format!("number {i}")).expect("the message");
        assert_eq!(mail["headers"]["X-MS-Exchange-Organization-AuthAs"], auth_as, "{host}{parameter}");
    }
    let mut client = site.client(HOST_2);
    assert_eq!(client.command("MAIL FROM:<app@contoso.com> AUTH=boss").code(), 501);
}
