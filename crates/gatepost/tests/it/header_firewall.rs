//! Header fields that only servers of our organization may write and read: none comes in, leaves or stays without a right
//! (fact sheet sections 2.7 to 2.9).

use gatepost_testkit::programs::{parse_message, python};
use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, HOST_3, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

/// Option 1 for 127.0.0.2, option 2 for 127.0.0.3.
const BOTH_OPTIONS: &str = r#"
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
"#;

/// Behind [`BOTH_OPTIONS`]: what else anonymous peers of option 2 may, or may not.
fn permission(rights: &str, more: &str) -> String {
    let anybody = r"NT AUTHORITY\ANONYMOUS LOGON";
    format!("[[receive_connector.permission]]\nuser = '{anybody}'\nextended_rights = [{rights}]\n{more}\n")
}

/// A message that brings fields of all three families, in several disguises.
fn smuggling(subject: &str) -> String {
    let fields = "Received: from elsewhere by hop.example; Fri, 20 Nov 2026 13:00:00 +0000\r\n\
                  X-MS-Exchange-Organization-SCL: -1\r\n folded\r\n\
                  x-ms-exchange-organization-authas: Internal\r\n\
                  X-MS-Exchange-Organization-AuthMechanism \t: 04\r\n\
                  X-MS-Exchange-Organization-Journal-Report\x0b: 1\r\n\
                  X-MS-Exchange-Forest-RulesExecuted: all\r\n\
                  Resent-From: resender@x.net\r\n";
    format!("{fields}{}", message(subject, "X-MS-Exchange-Organization-SCL: in the body"))
}

/// Names of a message's fields as Python reads them, in lower case.
#[track_caller]
fn names(mail: &Value) -> Vec<String> {
    let headers = mail["headers"].as_object().expect("header fields");
    headers.keys().map(|name| name.to_lowercase()).collect()
}

fn of_family<'n>(names: &'n [String], family: &str) -> Vec<&'n str> {
    names.iter().map(String::as_str).filter(|name| name.starts_with(family)).collect()
}

const ORGANIZATION: &str = "x-ms-exchange-organization-";
const FOREST: &str = "x-ms-exchange-forest-";

/// Every Maildir file of a mailbox, as it lies there.
#[track_caller]
fn files(site: &Site, mailbox: &str) -> Vec<String> {
    let new = site.installation.data_dir().join("mailboxes").join(mailbox).join("new");
    let entries = std::fs::read_dir(new).expect("a Maildir");
    entries.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("text")).collect()
}

#[test]
fn v12_and_v13_organization_headers_of_a_peer_are_removed_by_either_option() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, QUICK_RETRY, BOTH_OPTIONS, &to_sink(&sink.smart_host())]);
    for (host, auth_as, mechanism) in [(HOST_2, "Internal", Some("10")), (HOST_3, "Anonymous", None)] {
        let count = files_count(&site);
        let reply = site.client(host).submit("<a@x.net>", &["bob@contoso.com", "z@gmail.com"], &smuggling("smuggled"));
        assert_eq!(reply.code(), 250, "{reply}");
        let mails = site.wait_for_mail("bob@contoso.com", count + 1);
        let mail = mails.iter().find(|mail| mail["headers"]["X-MS-Exchange-Organization-AuthAs"] == auth_as);
        let mail = mail.unwrap_or_else(|| panic!("AuthAs: {auth_as} is nowhere in {mails:#?}"));
        let headers = &mail["headers"];
        assert_eq!(headers["X-MS-Exchange-Organization-AuthSource"], "mail.contoso.com", "{mail}");
        assert_eq!(headers["X-MS-Exchange-Organization-AuthMechanism"].as_str(), mechanism, "{mail}");
        let size = smuggling("smuggled").len().to_string();
        assert_eq!(headers["X-MS-Exchange-Organization-OriginalSize"], *size, "{mail}");
        assert!(headers["X-MS-Exchange-Organization-OriginalArrivalTime"].is_string(), "{mail}");
        let names = names(mail);
        let expected = if mechanism.is_some() { 5 } else { 4 };
        assert_eq!(of_family(&names, ORGANIZATION).len(), expected, "ours and no other: {names:?}");
        assert_eq!(of_family(&names, FOREST), Vec::<&str>::new());
        assert!(names.contains(&"resent-from".to_owned()), "a family that both may bring: {names:?}");
        let body = mail["body"].as_str().expect("a body");
        assert!(body.starts_with("X-MS-Exchange-Organization-SCL: in the body"), "{body}");
    }
    for taken in sink.wait_for(2) {
        let text = taken.text();
        assert_eq!(text.matches("X-MS-Exchange-Organization-SCL: in the body").count(), 1, "{text}");
        assert_eq!(text.to_lowercase().matches("x-ms-exchange-").count(), 1, "nothing of it leaves: {text}");
        assert_eq!(text.matches("Received: ").count(), 2, "the way here may be seen: {text}");
        assert!(text.contains("Resent-From: resender@x.net\r\n"), "{text}");
    }
}

fn files_count(site: &Site) -> usize {
    let new = site.installation.data_dir().join("mailboxes/bob@contoso.com/new");
    std::fs::read_dir(new).map_or(0, Iterator::count)
}

#[test]
fn organization_headers_pass_with_the_right_to_bring_them_and_the_right_to_get_them() {
    let sink = Sink::start();
    let accept = permission("'ms-Exch-Accept-Headers-Organization', 'ms-Exch-Accept-Headers-Forest'", "");
    let anybody = r"NT AUTHORITY\ANONYMOUS LOGON";
    let send = format!(
        "[[send_connector.permission]]\nuser = '{anybody}'\nextended_rights = ['ms-Exch-Send-Headers-Organization']\n"
    );
    let site = Site::start(&[CONTOSO, QUICK_RETRY, BOTH_OPTIONS, &accept, &to_sink(&sink.smart_host()), &send]);
    let content = smuggling("kept");
    site.client(HOST_3).submit("<a@x.net>", &["bob@contoso.com", "z@gmail.com"], &content);

    let taken = sink.first().text();
    for kept in [
        "X-MS-Exchange-Organization-SCL: -1\r\n folded\r\n",
        "x-ms-exchange-organization-authas: Internal\r\n",
        "X-MS-Exchange-Organization-OriginalSize: ",
    ] {
        assert!(taken.contains(kept), "{kept} in {taken}");
    }
    assert!(!taken.contains("X-MS-Exchange-Forest-"), "for that there is another right: {taken}");
    assert!(!taken.contains("AuthSource"), "who brings a judgement is not judged again: {taken}");

    let mail = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    let names = names(&mail);
    assert_eq!(mail["headers"]["X-MS-Exchange-Organization-SCL"].as_str().map(|value| &value[..2]), Some("-1"));
    assert!(
        !names.contains(&"x-ms-exchange-organization-journal-report".to_owned()),
        "no mailbox gets that: {names:?}"
    );
    assert_eq!(of_family(&names, FOREST), Vec::<&str>::new());
}

#[test]
fn where_routing_headers_may_not_be_brought_ours_is_the_only_one() {
    let sink = Sink::start();
    let deny = permission("'ms-Exch-Accept-Headers-Routing'", "deny = true");
    let site = Site::start(&[CONTOSO, QUICK_RETRY, BOTH_OPTIONS, &deny, &to_sink(&sink.smart_host())]);
    site.client(HOST_3).submit("<a@x.net>", &["z@gmail.com"], &smuggling("no way back"));
    let taken = sink.first().text();
    assert!(taken.starts_with("Received: from "), "{taken}");
    assert_eq!(taken.matches("Received: ").count(), 1, "{taken}");
    assert!(!taken.contains("Resent-From"), "{taken}");

    // Hops are counted before they are forgotten.
    let hops = "Received: by x; Fri, 20 Nov 2026 13:00:00 +0000\r\n".repeat(61);
    let reply = site.client(HOST_3).submit("<a@x.net>", &["z@gmail.com"], &format!("{hops}{}", message("loop", "x")));
    assert_eq!(reply.to_string(), "554 5.4.6 Hop count exceeded - possible mail loop");
}

#[test]
fn a_next_hop_without_the_right_to_see_the_way_gets_none() {
    let sink = Sink::start();
    let deny = "[[send_connector.permission]]\nuser = 'Everyone'\nextended_rights = ['ms-Exch-Send-Headers-Routing']\ndeny = true\n";
    let site = Site::start(&[CONTOSO, QUICK_RETRY, BOTH_OPTIONS, &to_sink(&sink.smart_host()), deny]);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &smuggling("from nowhere"));
    let taken = sink.first().text();
    assert!(!taken.contains("Received: ") && !taken.contains("Resent-From"), "{taken}");
    assert!(taken.starts_with("From: app@contoso.com\r\n"), "{taken}");
}

#[test]
fn the_next_hop_is_told_the_size_of_what_it_gets() {
    let sink = Setup::new().offering("SIZE 1000000").offering("CHUNKING").offering("BINARYMIME").start();
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    let content = smuggling("counted");
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &content);
    let taken = sink.first();
    assert!(
        taken.mail.contains(&format!(" SIZE={}", taken.content.len())),
        "{} of {}",
        taken.mail,
        taken.content.len()
    );

    // A bare line feed hides nothing, and neither does the end of a chunk.
    let mut client = site.client(HOST_2);
    let first = "Subject: binary\nX-MS-Exchange-Organization-SCL: -1\r\nX-MS-Exch";
    let second = "ange-Forest-A: 1\r\n\r\nbody\n.\r\n\0";
    client.send("MAIL FROM:<a@x.net> BODY=BINARYMIME\r\nRCPT TO:<z@gmail.com>\r\n");
    client.send(&format!("BDAT {}\r\n{first}BDAT {} LAST\r\n{second}", first.len(), second.len()));
    let codes: Vec<u16> = (0..4).map(|_| client.reply().code()).collect();
    assert_eq!(codes, [250, 250, 250, 250], "{}", client.transcript());
    let taken = sink.wait_for(2).swap_remove(1);
    assert!(taken.chunked && taken.mail.contains(&format!(" SIZE={}", taken.content.len())), "{}", taken.mail);
    assert!(taken.text().ends_with("Subject: binary\n\r\nbody\n.\r\n\0"), "{:?}", taken.text());
    assert!(!taken.text().contains("X-MS-"), "{:?}", taken.text());
}

#[test]
fn a_retried_message_goes_out_without_them_too() {
    let sink = Setup::new()
        .answering(|stage, connection| match stage {
            Stage::End if connection == 0 => Action::Reply("451 4.3.0 not now"),
            _ => Action::Accept,
        })
        .start();
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &smuggling("twice"));
    let taken = sink.first();
    assert_eq!(taken.text().to_lowercase().matches("x-ms-exchange-").count(), 1, "{}", taken.text());
}

#[test]
fn a_report_returns_the_original_without_them() {
    let sink = Setup::new()
        .answering(|stage, _| match stage {
            Stage::Rcpt(_) => Action::Reply("550 5.1.1 nobody here"),
            _ => Action::Accept,
        })
        .start();
    let accept = permission("'ms-Exch-Accept-Headers-Organization', 'ms-Exch-Accept-Headers-Forest'", "");
    let site = Site::start(&[CONTOSO, QUICK_RETRY, BOTH_OPTIONS, &accept, &to_sink(&sink.smart_host())]);
    for (ret, part_type) in [("", "message/rfc822"), (" RET=HDRS", "text/rfc822-headers")] {
        let count = files_count(&site);
        let mut client = site.client(HOST_3);
        client.command(&format!("MAIL FROM:<bob@contoso.com>{ret}"));
        client.command("RCPT TO:<nobody@y.net>");
        client.command("DATA");
        client.send(&format!("{}.\r\n", smuggling("returned")));
        assert_eq!(client.reply().code(), 250);
        let reports = site.wait_for_mail("bob@contoso.com", count + 1);
        let mut parts = reports.iter().filter_map(|report| report["parts"].as_array()).flatten();
        let part = parts.find(|part| part[0] == part_type).unwrap_or_else(|| panic!("no {part_type}: {reports:#?}"));
        let original = part[1].as_str().expect("text");
        let section = original.replace("\r\n", "\n");
        let section = section.split("\n\n").next().unwrap_or_default();
        assert!(section.contains("Subject: returned"), "{original}");
        for gone in ["Received:", "Resent-", "X-MS-Exchange-", "x-ms-exchange-"] {
            assert!(!section.contains(gone), "{gone} in {original}");
        }
    }
}

#[test]
fn only_a_next_hop_that_is_to_believe_us_is_told_who_submitted_an_internal_message() {
    const TRUSTED: &str = "smart_host_auth_mechanism = \"ExternalAuthoritative\"\n";
    for (trust, host, expected) in
        [(TRUSTED, HOST_2, "AUTH=app@contoso.com"), (TRUSTED, HOST_3, "AUTH=<>"), ("", HOST_2, "AUTH=<>")]
    {
        let sink = Setup::new().offering("AUTH LOGIN").start();
        let site = Site::start(&[CONTOSO, QUICK_RETRY, BOTH_OPTIONS, &to_sink(&sink.smart_host()), trust]);
        site.client(host).submit("<app@contoso.com>", &["z@gmail.com"], &message("who", "x"));
        let mail = sink.first().mail;
        assert!(mail.ends_with(expected), "{mail} at {host} with {trust:?}");
    }
}

/// Names for senders of ours.
const NAMED: &str = r#"
[[mailbox]]
address = "scan3@contoso.com"
display_name = "Scanner 3rd floor"

[[mailbox]]
address = "ceo@contoso.com"
display_name = "Zoë \"the boss\" Müller"
"#;

#[test]
fn v6_an_internal_sender_is_shown_by_name_and_a_stranger_by_address() {
    let site = Site::start(&[CONTOSO, NAMED, BOTH_OPTIONS]);
    let from = |sender: &str, subject: &str| message(subject, "x").replacen("app@contoso.com", sender, 1);
    for (host, sender, subject, expected) in [
        (HOST_2, "scan3@contoso.com", "internal", "From: \"Scanner 3rd floor\" <scan3@contoso.com>"),
        (HOST_2, "Anybody\r\n\t<Scan3@Contoso.com>", "other name", "From: \"Scanner 3rd floor\" <Scan3@contoso.com>"),
        (HOST_3, "scan3@contoso.com", "anonymous", "From: scan3@contoso.com"),
        (HOST_3, "The boss <ceo@contoso.com>", "claimed", "From: The boss <ceo@contoso.com>"),
        (HOST_2, "nobody@contoso.com", "unknown", "From: nobody@contoso.com"),
        (HOST_2, "scan3@contoso.com, ceo@contoso.com", "both", "From: scan3@contoso.com, ceo@contoso.com"),
    ] {
        let count = files_count(&site);
        let reply = site.client(host).submit("<scan3@contoso.com>", &["bob@contoso.com"], &from(sender, subject));
        assert_eq!(reply.code(), 250, "{reply}");
        site.wait_for_mail("bob@contoso.com", count + 1);
        let files = files(&site, "bob@contoso.com");
        let file = files.iter().find(|file| file.contains(&format!("Subject: {subject}\n"))).expect("it has arrived");
        let auth_as = if host == HOST_2 { "Internal" } else { "Anonymous" };
        assert!(file.contains(&format!("\nX-MS-Exchange-Organization-AuthAs: {auth_as}\n")), "{file}");
        assert!(file.contains(&format!("\n{expected}\n")), "{expected} in {file}");
    }

    // Beyond ASCII, as Python decodes it.
    let count = files_count(&site);
    site.client(HOST_2).submit("<ceo@contoso.com>", &["bob@contoso.com"], &from("ceo@contoso.com", "encoded"));
    let mails = site.wait_for_mail("bob@contoso.com", count + 1);
    let mail = mails.iter().find(|mail| mail["headers"]["Subject"] == "encoded").expect("it has arrived");
    let written = mail["headers"]["From"].as_str().expect("a sender");
    assert!(written.is_ascii() && written.ends_with("<ceo@contoso.com>"), "{written}");
    assert_eq!(python(DECODE, &[written], b""), "Zoë \"the boss\" Müller <ceo@contoso.com>");
    assert!(mail["defects"].as_array().expect("a list").is_empty(), "{mail}");
}

const DECODE: &str = r#"
import email.header
print(json.dumps(str(email.header.make_header(email.header.decode_header(sys.argv[1])))))
"#;

#[test]
fn who_leaves_us_keeps_the_name_that_was_written() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, NAMED, QUICK_RETRY, BOTH_OPTIONS, &to_sink(&sink.smart_host())]);
    let content = message("outside", "x").replacen("app@contoso.com", "scan3@contoso.com", 1);
    site.client(HOST_2).submit("<scan3@contoso.com>", &["z@gmail.com"], &content);
    assert!(sink.first().text().contains("\r\nFrom: scan3@contoso.com\r\n"), "signatures may cover it");
}

/// What readers disagree about is where fields hide: Python takes CR alone for the end of a line, ends the section at a
/// line that is no field, and reads what a mailbox holds.
#[test]
fn python_finds_none_of_them_in_what_a_mailbox_and_a_next_hop_get() {
    let sink = Setup::new().offering("CHUNKING").offering("BINARYMIME").start();
    let site = Site::start(&[CONTOSO, QUICK_RETRY, BOTH_OPTIONS, &to_sink(&sink.smart_host())]);
    let disguises = [
        "Subject: s\rX-MS-Exchange-Forest-A: 1\r\n",
        "no field\r\nX-MS-Exchange-Forest-A: 1\r\n",
        "X-MS-Exchange-Forest-A\r\n : 1\r\n",
        "X-MS-Exchange-Forest-A\0: 1\r\n",
        "Subject: s\n\nX-MS-Exchange-Forest-A: 1\r\n",
        "\x0bX-MS-Exchange-Forest-A: 1\r\n",
        "X-MS-\rExchange-Forest-A: 1\r\n",
    ];
    for (number, disguise) in disguises.iter().enumerate() {
        let mut client = site.client(HOST_3);
        let content = format!("From: a@x.net\r\n{disguise}To: b@x.net\r\n\r\nbody\r\n");
        client.command("MAIL FROM:<a@x.net> BODY=BINARYMIME");
        client.command("RCPT TO:<bob@contoso.com>");
        client.command("RCPT TO:<z@gmail.com>");
        client.send(&format!("BDAT {} LAST\r\n{content}", content.len()));
        assert_eq!(client.reply().code(), 250, "{disguise:?}");
        let taken = sink.wait_for(number + 1).swap_remove(number);
        assert_eq!(of_family(&names(&parse_message(&taken.content)), FOREST), Vec::<&str>::new(), "{disguise:?}");
    }
    for mail in site.wait_for_mail("bob@contoso.com", disguises.len()) {
        assert_eq!(of_family(&names(&mail), FOREST), Vec::<&str>::new(), "{mail}");
    }
    wait::until("everything is at its end", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
}
