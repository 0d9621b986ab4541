//! Reports to senders: a permanent failure is told to the sender and to nobody else (RFC 3461, RFC 3464).

use gatepost_testkit::port;
use gatepost_testkit::programs::parse_message;
use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

/// A next hop at which one recipient does not exist.
fn without_nobody() -> Sink {
    Setup::new()
        .answering(|stage, _| match stage {
            Stage::Rcpt(path) if path.starts_with("<nobody@") => Action::Reply("550 5.1.1 no such person here"),
            _ => Action::Accept,
        })
        .start()
}

/// The text of the part of this type.
#[track_caller]
fn part<'a>(report: &'a Value, content_type: &str) -> &'a str {
    let parts = report["parts"].as_array().expect("a multipart message");
    let part = parts.iter().find(|part| part[0] == content_type);
    part.and_then(|part| part[1].as_str()).unwrap_or_else(|| panic!("no {content_type} in {report}"))
}

#[track_caller]
fn assert_is_report(report: &Value) {
    assert_eq!(report["type"], "multipart/report", "{report}");
    assert_eq!(report["report_type"], "delivery-status", "{report}");
    assert!(report["defects"].as_array().expect("a list").is_empty(), "{report}");
    assert_eq!(report["headers"]["Auto-Submitted"], "auto-replied", "RFC 3834 section 5: {report}");
}

#[test]
fn who_is_named_twice_with_different_wishes_gets_both() {
    let sink = without_nobody();
    let foe = "[[contact]]\naddress = \"foe@contoso.com\"\nexternal_address = \"nobody@y.net\"\n";
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(&sink.smart_host()), foe]);
    let mut client = site.client(HOST_2);
    client.send(
        "MAIL FROM:<bob@contoso.com>\r\nRCPT TO:<foe@contoso.com> NOTIFY=NEVER\r\nRCPT TO:<foe@contoso.com>\r\nDATA\r\n",
    );
    let codes: Vec<u16> = (0..4).map(|_| client.reply().code()).collect();
    assert_eq!(codes, [250, 250, 250, 354]);
    client.send(&format!("{}.\r\n", message("twice", "x")));
    assert_eq!(client.reply().code(), 250);
    let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    let status = part(&report, "message/delivery-status");
    assert_eq!(status.matches("nobody@y.net").count(), 1, "{status}");
}

#[test]
fn a_refused_recipient_is_reported_to_the_sender() {
    let sink = without_nobody();
    let site = Site::relaying_to(&sink.smart_host());
    let mut client = site.client(HOST_2);
    client.send(
        "MAIL FROM:<bob@contoso.com> ENVID=job+2B17\r\nRCPT TO:<nobody@y.net> ORCPT=rfc822;no+2Bbody@y.net\r\n\
         RCPT TO:<somebody@y.net>\r\nDATA\r\n",
    );
    let codes: Vec<u16> = (0..4).map(|_| client.reply().code()).collect();
    assert_eq!(codes, [250, 250, 250, 354]);
    client.send(&format!("{}.\r\n", message("partly undeliverable", "the original body")));
    assert_eq!(client.reply().code(), 250);

    assert!(sink.first().recipients[0].starts_with("<somebody@y.net>"), "the other one is served");
    let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_is_report(&report);
    assert_eq!(report["headers"]["Return-Path"], "<>");
    assert!(report["headers"]["To"].as_str().expect("a recipient").contains("bob@contoso.com"));
    assert!(report["headers"]["From"].as_str().expect("a sender").contains("postmaster@contoso.com"), "{report}");

    let plain = part(&report, "text/plain");
    assert!(plain.contains("nobody@y.net") && plain.contains("no such person here"), "{plain}");
    let status = part(&report, "message/delivery-status");
    for line in [
        "Reporting-MTA: dns; mail.contoso.com",
        "Original-Envelope-Id: job+17",
        "Original-Recipient: rfc822; no+body@y.net",
        "Final-Recipient: rfc822; nobody@y.net",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no such person here",
    ] {
        assert!(status.contains(line), "{line} in:\n{status}");
    }
    assert!(!status.contains("somebody@y.net"), "{status}");
    let original = report["parts"][2][1].as_str().expect("the original");
    assert!(original.contains("Subject: partly undeliverable"), "{original}");
}

#[test]
fn the_original_goes_back_as_much_of_it_as_the_sender_asked_for() {
    let sink = without_nobody();
    let site = Site::relaying_to(&sink.smart_host());
    let mut client = site.client(HOST_2);
    for (place, (wish, kind, has_body)) in
        (0..).zip([(" RET=FULL", "message/rfc822", true), (" RET=HDRS", "text/rfc822-headers", false)])
    {
        client.send(&format!("MAIL FROM:<bob@contoso.com>{wish}\r\nRCPT TO:<nobody@y.net>\r\nDATA\r\n"));
        let codes: Vec<u16> = (0..3).map(|_| client.reply().code()).collect();
        assert_eq!(codes, [250, 250, 354]);
        client.send(&format!("{}.\r\n", message(&format!("original {place}"), "the original body")));
        assert_eq!(client.reply().code(), 250);
        let reports = site.wait_for_mail("bob@contoso.com", place + 1);
        let report = reports.iter().find(|report| report.to_string().contains(&format!("original {place}")));
        let report = report.unwrap_or_else(|| panic!("{wish} in {reports:#?}"));
        assert_is_report(report);
        assert_eq!(report["parts"][2][0], kind, "{wish}: {report}");
        assert_eq!(report.to_string().contains("the original body"), has_body, "{wish}: {report}");
    }
}

#[test]
fn content_refused_for_good_is_reported() {
    let sink = Setup::new()
        .answering(|stage, _| match stage {
            Stage::End => Action::Reply("554 5.6.0 not with this content"),
            _ => Action::Accept,
        })
        .start();
    let site = Site::relaying_to(&sink.smart_host());
    site.client(HOST_2).submit("<bob@contoso.com>", &["a@y.net", "b@y.net"], &message("bad content", "x"));
    let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_is_report(&report);
    let status = part(&report, "message/delivery-status");
    assert!(status.contains("a@y.net") && status.contains("b@y.net"), "one report for both: {status}");
    assert_eq!(status.matches("Status: 5.6.0").count(), 2, "{status}");
}

#[test]
fn a_report_leaves_by_the_send_connector_when_its_sender_is_elsewhere() {
    let sink = without_nobody();
    let site = Site::relaying_to(&sink.smart_host());
    site.client(HOST_2).submit("<far@away.example>", &["nobody@y.net"], &message("undeliverable", "x"));
    let taken = sink.first();
    assert!(taken.mail.starts_with("<>"), "{}", taken.mail);
    assert!(taken.recipients[0].starts_with("<far@away.example>"), "{:?}", taken.recipients);
    assert_is_report(&parse_message(&taken.content));
}

#[test]
fn nobody_is_told_about_a_message_with_a_null_reverse_path() {
    let sink = without_nobody();
    let site = Site::relaying_to(&sink.smart_host());
    let mut client = site.client(HOST_2);
    client.submit("<>", &["nobody@y.net"], &message("a report itself", "x"));
    // A sender that does not exist either: its report fails, and that is the end of it.
    client.submit("<nobody@z.net>", &["nobody@y.net"], &message("undeliverable", "x"));
    wait::until("everything is at its end", || {
        let status = site.installation.json(&["status"]);
        (status["spool"]["messages"] == 0 && status["counters"]["failed"].as_u64() >= Some(3)).then_some(())
    });
    assert_eq!(sink.count(), 0);
    assert_eq!(site.installation.json(&["status"])["counters"]["reports"], 1);
}

#[test]
fn notify_never_is_respected_and_notify_success_is_answered() {
    let sink = Setup::new()
        .offering_only(&["PIPELINING", "8BITMIME"])
        .answering(|stage, _| match stage {
            Stage::Rcpt(path) if path.starts_with("<nobody@") => Action::Reply("550 5.1.1 no such person here"),
            _ => Action::Accept,
        })
        .start();
    let site = Site::relaying_to(&sink.smart_host());
    let mut client = site.client(HOST_2);
    client.send("MAIL FROM:<bob@contoso.com>\r\nRCPT TO:<nobody@y.net> NOTIFY=NEVER\r\nDATA\r\n");
    let codes: Vec<u16> = (0..3).map(|_| client.reply().code()).collect();
    assert_eq!(codes, [250, 250, 354]);
    client.send(&format!("{}.\r\n", message("never tell", "x")));
    assert_eq!(client.reply().code(), 250);
    // The next hop knows nothing of DSN: we tell that the message was relayed (RFC 3461 section 5.2.2).
    client.send("MAIL FROM:<bob@contoso.com>\r\nRCPT TO:<somebody@y.net> NOTIFY=SUCCESS\r\nDATA\r\n");
    let codes: Vec<u16> = (0..3).map(|_| client.reply().code()).collect();
    assert_eq!(codes, [250, 250, 354]);
    client.send(&format!("{}.\r\n", message("do tell", "x")));
    assert_eq!(client.reply().code(), 250);

    let reports = site.wait_for_mail("bob@contoso.com", 1);
    assert_eq!(reports.len(), 1, "{reports:?}");
    let status = part(&reports[0], "message/delivery-status");
    assert!(status.contains("somebody@y.net") && status.contains("Action: relayed"), "{status}");
    wait::until("the other one failed without a word", || {
        (site.installation.json(&["status"])["counters"]["failed"] == 1).then_some(())
    });
    assert_eq!(site.wait_for_mail("bob@contoso.com", 1).len(), 1);
}

#[test]
fn a_message_that_expires_is_reported() {
    let dead = port::free();
    let transport = format!("{QUICK_RETRY}message_expiration_timeout = \"00:00:05\"\n");
    let smart_host = to_sink(&format!("[127.0.0.1]:{dead}"));
    let site = Site::start(&[CONTOSO, &transport, OPEN_TO_TESTS, &smart_host]);
    site.client(HOST_2).submit("<bob@contoso.com>", &["z@gmail.com"], &message("too late", "x"));
    let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_is_report(&report);
    let status = part(&report, "message/delivery-status");
    assert!(status.contains("Action: failed") && status.contains("Status: 4.4.7"), "{status}");
}

#[test]
fn a_delay_is_told_once_although_the_next_hop_never_answers_and_the_server_is_started_again() {
    let dead = port::free();
    // The queue waits for longer than any test: nothing is attempted when the time has come.
    let transport = "[transport]
delay_notification_timeout = \"00:00:02\"
";
    let smart_host = to_sink(&format!("[127.0.0.1]:{dead}"));
    let site = Site::start(&[CONTOSO, transport, OPEN_TO_TESTS, &smart_host]);
    let mut client = site.client(HOST_2);
    client.submit("<bob@contoso.com>", &["z@gmail.com"], &message("first", "x"));
    client.send("MAIL FROM:<bob@contoso.com>\r\nRCPT TO:<z@gmail.com> NOTIFY=FAILURE\r\nDATA\r\n");
    let codes: Vec<u16> = (0..3).map(|_| client.reply().code()).collect();
    assert_eq!(codes, [250, 250, 354]);
    client.send(&format!("{}.\r\n", message("nobody asked about this one", "x")));
    assert_eq!(client.reply().code(), 250);
    let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_is_report(&report);
    assert_eq!(report["headers"]["Subject"], "Delivery delayed: first");
    let status = part(&report, "message/delivery-status");
    for line in ["Action: delayed", "Status: 4.4.1", "Will-Retry-Until: ", "Final-Recipient: rfc822; z@gmail.com"] {
        assert!(status.contains(line), "{line} in:\n{status}");
    }
    assert!(part(&report, "text/plain").contains("you need not send it again"), "{report}");
    let told = site.installation.output(&["trace", "--recipient", "z@gmail.com", "--text", "first"]);
    assert!(told.contains("  report    (delayed) to bob@contoso.com: message "), "{told}");
    assert!(told.contains(&format!("no connection to [127.0.0.1]:{dead}")), "{told}");

    let site = site.restart(|server| assert!(server.stop().success()));
    site.client(HOST_2).submit("<bob@contoso.com>", &["z@gmail.com"], &message("second", "x"));
    let reports = site.wait_for_mail("bob@contoso.com", 2);
    let subjects: Vec<&str> = reports.iter().filter_map(|report| report["headers"]["Subject"].as_str()).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    assert!(subjects.contains(&"Delivery delayed: second"), "{subjects:?}");
}

#[test]
fn the_owner_of_a_range_gets_a_notice_of_what_its_device_cannot_be_told() {
    let sink = without_nobody();
    let owned = OPEN_TO_TESTS.replace(
        "\"127.0.0.1-127.0.0.4\"",
        "{ range = \"127.0.0.1-127.0.0.2\", owner = \"alice@contoso.com\" }, \"127.0.0.3-127.0.0.4\"",
    );
    assert_ne!(owned, OPEN_TO_TESTS);
    let site = Site::start(&[CONTOSO, QUICK_RETRY, &owned, &to_sink(&sink.smart_host())]);
    let mut client = site.client(HOST_2);
    client.submit("<>", &["nobody@y.net"], &message("scan without a sender", "secret content"));
    client.submit("<nobody@z.net>", &["nobody@y.net"], &message("scan of nobody", "secret content"));
    let notices = site.wait_for_mail("alice@contoso.com", 2);
    for (subject, origin) in [
        ("scan without a sender", "It has no sender address to report to."),
        ("scan of nobody", "The report to its sender, nobody@z.net, could not be delivered"),
    ] {
        let title = format!("Notice of undeliverable mail: {subject}");
        let notice = notices.iter().find(|notice| notice["headers"]["Subject"] == title.as_str());
        let notice = notice.unwrap_or_else(|| panic!("{title} in {notices:#?}"));
        assert_is_report(notice);
        assert_eq!(notice["headers"]["Return-Path"], "<>");
        let plain = part(notice, "text/plain");
        for words in [origin, "127.0.0.2", "nobody@y.net", "550 5.1.1 no such person here"] {
            assert!(plain.contains(words), "{words} in:\n{plain}");
        }
        assert!(part(notice, "message/delivery-status").contains("Final-Recipient: rfc822; nobody@y.net"), "{notice}");
        assert!(notice.to_string().contains(&format!("Subject: {subject}")), "its header section: {notice}");
        assert!(!notice.to_string().contains("secret content"), "{notice}");
    }
    // From another host of the same connector it is nobody's business.
    site.client(crate::site::HOST_3).submit("<>", &["nobody@y.net"], &message("ownerless", "x"));
    wait::until("it has failed", || {
        let status = site.installation.json(&["status"]);
        (status["spool"]["messages"] == 0 && status["counters"]["failed"].as_u64() >= Some(4)).then_some(())
    });
    assert_eq!(site.wait_for_mail("alice@contoso.com", 2).len(), 2);
}

#[test]
fn nobody_gets_more_reports_or_notices_in_an_hour_than_the_settings_say() {
    let sink = without_nobody();
    let owned = OPEN_TO_TESTS
        .replace("\"127.0.0.1-127.0.0.4\"", "{ range = \"127.0.0.1-127.0.0.4\", owner = \"alice@contoso.com\" }");
    let rations = "\n[reports]\nmax_per_sender_per_hour = 2\n";
    let site = Site::start(&[CONTOSO, QUICK_RETRY, &owned, &to_sink(&sink.smart_host()), rations]);
    let mut client = site.client(HOST_2);
    for number in 0..5 {
        client.submit("<bob@contoso.com>", &["nobody@y.net"], &message(&format!("reported {number}"), "x"));
    }
    for number in 0..8 {
        client.submit("<>", &["nobody@y.net"], &message(&format!("noticed {number}"), "x"));
    }
    let status = wait::until("the rest is owed, to be told together at the end of the hour", || {
        let status = site.installation.json(&["status"]);
        (status["counters"]["reports"] == 2 + 6 && status["spool"]["messages"] == 3 + 2).then_some(status)
    });
    assert_eq!(site.wait_for_mail("bob@contoso.com", 2).len(), 2, "{status}");
    assert_eq!(site.wait_for_mail("alice@contoso.com", 6).len(), 6, "a digest comes then: {status}");
}

#[test]
fn what_the_next_hop_cannot_carry_is_reported() {
    let old = Setup::new().offering_only(&["PIPELINING", "8BITMIME"]).start();
    let connector = format!("{}max_message_size = \"64 KB\"\n", to_sink(&old.smart_host()));
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &connector]);
    let mut client = site.client(HOST_2);
    client.submit("<bob@contoso.com> SMTPUTF8", &["用户@y.example"], &message("needs SMTPUTF8", "x"));
    client.submit("<alice@contoso.com>", &["z@y.example"], &message("too large", &"0123456789\r\n".repeat(10_000)));
    for (mailbox, status) in [("bob@contoso.com", "Status: 5.6.7"), ("alice@contoso.com", "Status: 5.3.4")] {
        let report = site.wait_for_mail(mailbox, 1).swap_remove(0);
        let text = report.to_string();
        assert!(text.contains(status), "{status} in {report}");
    }
    assert_eq!(old.count(), 0);
}

#[test]
fn two_servers_that_point_at_each_other_end_in_a_report() {
    let there = port::free();
    let here = Site::relaying_to(&format!("[127.0.0.1]:{there}"));
    let other = CONTOSO.replace("mail.contoso.com", "other.contoso.com");
    let connector = OPEN_TO_TESTS.replace("{smtp}", &there.to_string());
    let other =
        Site::start(&[&other, QUICK_RETRY, &connector, &to_sink(&format!("[127.0.0.1]:{}", here.smtp().port()))]);
    here.client(HOST_2).submit("<bob@contoso.com>", &["z@gmail.com"], &message("round and round", "x"));
    // The one whose message was refused tells bob, who has a mailbox on both.
    let found = wait::until("a report on either server", || {
        [&here, &other].into_iter().find(|site| {
            let new = site.installation.data_dir().join("mailboxes/bob@contoso.com/new");
            std::fs::read_dir(new).is_ok_and(|mut files| files.next().is_some())
        })
    });
    let report = found.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    let status = part(&report, "message/delivery-status");
    assert!(status.contains("Status: 5.4.6"), "{status}");
}
