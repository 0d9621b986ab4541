//! Let a device relay: from the form to the device's first message, with what the page shows live meanwhile.

use gatepost_testkit::programs::{SmtpSink, Swaks};

use super::Console;
use super::articles::DEFAULT;
use crate::site::{CONTOSO, HOST_2, HOST_3, message, to_sink};

#[test]
fn a_device_gets_what_it_needs_and_is_seen_to_arrive() {
    let sink = SmtpSink::start();
    let console = Console::signed_in(&[CONTOSO, DEFAULT, &to_sink(&sink.smart_host())]);
    let browser = &console.browser;
    let send = |host, sender: &str, recipient: &str| {
        let content = message("scanned", "Text.");
        let swaks = Swaks::new(host, console.site.smtp()).from(sender).to(recipient);
        swaks.content(&content.replace("app@contoso.com", sender)).run()
    };
    console.open("/");
    browser.follow("Let a device relay");
    browser.fill("IP address", "127.0.0.2");
    browser.fill("What it is", "Scanner, third floor");
    // The port is one at which this server listens.
    assert_eq!(browser.value("Port that it connects to"), console.site.smtp().port().to_string());
    browser.fill("Senders", "scanner@contoso.com");
    browser.tick("These domains or addresses besides");
    browser.fill("Domains or addresses", "customer.example");
    browser.fill("Owner", "anna@contoso.com");
    browser.fill("Ticket", "4711");
    browser.press("Show what it takes");

    // What it takes is shown first: who gains what, and the commands that do the same.
    browser.wait_for("button[name=confirmed]");
    let line = browser.text("pre.line");
    for part in ["New-ReceiveConnector", "Add-ADPermission", "127.0.0.2", "*@customer.example", "anna@contoso.com"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let terms = "only from scanner@contoso.com to *@customer.example";
    let text = browser.page_text();
    assert!(text.contains("ms-Exch-SMTP-Accept-Any-Recipient") && text.contains(terms), "{text}");
    browser.click("button[name=confirmed]");

    // It waits for the device, and shows why a message was refused, and that one came through, without being asked again.
    browser.wait_for_text("Nothing has come from 127.0.0.2 yet");
    let refused = send(HOST_2, "ceo@contoso.com", "bill@customer.example");
    assert_ne!(refused.code, 0, "{}", refused.transcript);
    browser.wait_for_text("ceo@contoso.com");
    send(HOST_2, "scanner@contoso.com", "bill@customer.example").expect_taken();
    browser.wait_for_text("It came through");
    browser.wait_for_text("scanner@contoso.com");
    console.expect_no_complaints();
    let arrived = sink.wait_for(1);
    assert!(arrived[0].content.contains("Subject: scanned"), "{arrived:?}");
    for (host, sender, recipient) in [
        (HOST_2, "scanner@contoso.com", "someone@example.net"),
        (HOST_3, "scanner@contoso.com", "bill@customer.example"),
    ] {
        let refused = send(host, sender, recipient);
        assert_ne!(refused.code, 0, "{host} {recipient}: {}", refused.transcript);
    }
}

#[test]
fn a_refusal_is_seen_as_it_happens_and_leads_to_the_narrowest_change_that_mends_it() {
    let sink = SmtpSink::start();
    // It may write to us, and to nobody else.
    const SCANNER: &str = "\n[[receive_connector]]\nname = \"Scanner\"\nbindings = [\"127.0.0.1:{smtp}\"]\n\
        remote_ip_ranges = [\"127.0.0.2\"]\npermission_groups = [\"AnonymousUsers\"]\n";
    let console = Console::signed_in(&[CONTOSO, DEFAULT, SCANNER, &to_sink(&sink.smart_host())]);
    let browser = &console.browser;
    let send = |recipient: &str| {
        let swaks = Swaks::new(HOST_2, console.site.smtp()).from("scanner@contoso.com").to(recipient);
        swaks.content(&message("scanned", "Text.").replace("app@contoso.com", "scanner@contoso.com")).run()
    };
    console.open("/");
    browser.follow("Refusals");
    browser.wait_for_text("No refusal matches");
    assert!(send("bill@customer.example").transcript.contains("550 5.7.1 Unable to relay"));
    browser.wait_for_text("bill@customer.example");
    browser.click("tbody th a");
    browser.wait_for_text("ms-Exch-SMTP-Accept-Any-Recipient");
    browser.follow("Make the narrowest entry");
    assert_eq!(browser.value("IP address"), "127.0.0.2");
    assert_eq!(browser.value("Senders").trim(), "scanner@contoso.com");
    // The very recipient; its domain is an offer. What it is called is its sender's name, not what it says in HELO.
    assert_eq!(browser.value("Domains or addresses").trim(), "bill@customer.example");
    assert_eq!(browser.value("What it is"), "scanner at 127.0.0.2");
    let text = browser.page_text();
    assert!(text.contains("*@customer.example") && text.contains("90 days were proposed"), "{text}");
    browser.fill("Owner", "anna@contoso.com");
    let refusal = browser.run("return document.referrer", serde_json::json!([]));
    let refusal = refusal.as_str().expect("the refusal that led here").to_owned();
    browser.press("Show what it takes");
    browser.wait_for("button[name=confirmed]");
    assert!(browser.text("pre.line").contains("Add-ADPermission"), "{}", browser.page_text());
    assert!(browser.page_text().contains("ms-Exch-SMTP-Accept-Any-Recipient"), "{}", browser.page_text());
    browser.click("button[name=confirmed]");
    browser.wait_for("[role=status]");
    send("bill@customer.example").expect_taken();
    browser.wait_for_text("scanner@contoso.com");
    console.expect_no_complaints();
    sink.wait_for(1);
    assert_ne!(send("someone@example.net").code, 0, "nobody else");
    assert_ne!(send("steve@customer.example").code, 0, "and nobody else there");
    browser.open(&refusal);
    browser.wait_for_text("Mended since");
    assert!(!browser.page_text().contains("Smallest change"), "{}", browser.page_text());
}

#[test]
fn a_device_that_may_do_more_than_it_needs_is_narrowed() {
    const SCANNER: &str = "\n[[receive_connector]]\nname = \"Scanner\"\nbindings = [\"127.0.0.1:{smtp}\"]\n\
        remote_ip_ranges = [\"127.0.0.2\"]\npermission_groups = [\"AnonymousUsers\"]\n  [[receive_connector.permission]]\n  \
        user = 'NT AUTHORITY\\ANONYMOUS LOGON'\n  extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n";
    let sink = SmtpSink::start();
    let console = Console::signed_in(&[CONTOSO, DEFAULT, SCANNER, &to_sink(&sink.smart_host())]);
    let browser = &console.browser;
    let send = |sender: &str, recipient: &str| {
        let swaks = Swaks::new(HOST_2, console.site.smtp()).from(sender).to(recipient);
        swaks.content(&message("scanned", "Text.").replace("app@contoso.com", sender)).run()
    };
    send("ceo@contoso.com", "bill@customer.example").expect_taken();
    sink.wait_for(1);
    console.open("/device");
    browser.fill("IP address", "127.0.0.2");
    browser.fill("What it is", "Scanner");
    browser.fill("Senders", "scanner@contoso.com");
    browser.press("Show what it takes");
    browser.wait_for_text("It may do more than was asked for");
    let text = browser.page_text();
    assert!(text.contains("send to anyone") && text.contains("write as any address of our own domains"), "{text}");
    browser.press("Narrow it");
    browser.wait_for("button[name=confirmed]");
    let line = browser.text("pre.line");
    assert!(line.contains("-PermissionGroups None") && line.contains("Remove-ADPermission"), "{line}");
    browser.click("button[name=confirmed]");
    browser.wait_for_text("It is in force.");
    console.expect_no_complaints();
    for (sender, recipient) in
        [("ceo@contoso.com", "bob@contoso.com"), ("scanner@contoso.com", "bill@customer.example")]
    {
        let refused = send(sender, recipient);
        assert_ne!(refused.code, 0, "{sender} {recipient}: {}", refused.transcript);
    }
    send("scanner@contoso.com", "bob@contoso.com").expect_taken();
    // Now it may do what it needs, and no more.
    console.open("/device");
    browser.fill("IP address", "127.0.0.2");
    browser.fill("What it is", "Scanner");
    browser.fill("Senders", "scanner@contoso.com");
    browser.press("Show what it takes");
    browser.wait_for_text("Nothing had to be changed");

    // What is wrong stands at its field, in the page's words, one line for each.
    console.open("/device");
    browser.fill("IP address", "127.0.0.2");
    browser.fill("What it is", "Scanner");
    browser.fill("Senders", "scanner@contoso.com");
    browser.tick("These domains or addresses besides");
    browser.fill("Domains or addresses", "customer.example");
    browser.fill("Owner", "not an address");
    browser.press("Show what it takes");
    browser.wait_for("#owner[aria-invalid=true]");
    let refused = browser.text("[role=alert]");
    assert!(refused.contains("Owner: ") && !refused.contains("EntryOwner"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
    assert_eq!(browser.value("Domains or addresses").trim(), "customer.example");
}
