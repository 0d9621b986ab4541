//! The two articles that this product grew from, clicked through from beginning to end, with real mail before and after.

use std::net::IpAddr;

use gatepost_testkit::programs::{SmtpSink, Swaks};

use super::Console;
use crate::site::{CONTOSO, HOST_2, HOST_3, Site, message, to_sink};

/// What a new server has: everybody is heard, who logs in may send, nobody relays.
pub(super) const DEFAULT: &str = r#"
[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
permission_groups = ["ExchangeUsers"]
"#;

/// A connector for one application server, which may do nothing yet.
pub(super) const CRM: &str = r#"
[[receive_connector]]
name = "CRM Application"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.2"]
"#;

/// Whether swaks at this host gets a message for somebody outside accepted; the last reply that it got.
fn send_outside(site: &Site, host: IpAddr) -> Result<(), String> {
    let run = Swaks::new(host, site.smtp())
        .from("crm@contoso.com")
        .to("someone@example.net")
        .content(&message("from the application", "Text."))
        .run();
    if run.code == 0 { Ok(()) } else { Err(run.transcript) }
}

/// The allowed host's message has arrived at the sink, and the next host is refused.
#[track_caller]
fn expect_relay_for_host_2_alone(site: &Site, sink: &SmtpSink, messages: usize) {
    send_outside(site, HOST_2).unwrap_or_else(|transcript| panic!("{transcript}"));
    let arrived = sink.wait_for(messages);
    assert!(arrived.iter().all(|message| message.content.contains("Subject: from the application")), "{arrived:?}");
    let refused = send_outside(site, HOST_3).expect_err("the next address may not relay");
    assert!(refused.contains("530 5.7.1 Client was not authenticated"), "{refused}");
}

impl Console {
    /// Presses Apply, and Apply again where the page shows first what the change opens.
    #[track_caller]
    pub(super) fn apply(&self) {
        self.browser.press("Apply");
        self.browser.wait_for("[role=status], button[name=confirmed]");
        if self.browser.has("button[name=confirmed]") {
            self.browser.press("Apply");
        }
        self.browser.wait_for_text("The changes are in force.");
    }

    /// Opens a tab of a connector's properties by clicks.
    #[track_caller]
    pub(super) fn open_tab(&self, connector: &str, tab: &str) {
        self.open("/");
        self.browser.follow("Receive connectors");
        self.browser.follow(connector);
        self.browser.follow(tab);
        self.browser.wait_for(".tabs a[aria-current]");
    }
}

#[test]
fn the_first_article_from_the_wizard_to_a_relayed_message() {
    const ALL_ADDRESSES: &str = "0.0.0.0-255.255.255.255";
    let sink = SmtpSink::start();
    let console = Console::signed_in(&[CONTOSO, DEFAULT, &to_sink(&sink.smart_host())]);
    let browser = &console.browser;
    send_outside(&console.site, HOST_2).expect_err("nobody relays yet");

    // Introduction: the name; Custom is the intended use.
    console.open("/");
    browser.follow("Receive connectors");
    browser.follow("New receive connector");
    browser.fill("Name", "Relay");
    assert!(browser.is_ticked("Custom"));
    browser.press("Next");
    // Local network settings: a dedicated address.
    browser.tick("One dedicated address");
    browser.fill("Dedicated address", "127.0.0.1");
    browser.fill("Port", &console.site.smtp().port().to_string());
    browser.press("Next");
    // Remote network settings: all addresses go by the red x, one comes.
    browser.wait_for_text(ALL_ADDRESSES);
    browser.press(&format!("Remove {ALL_ADDRESSES}"));
    browser.wait_for_text("No address yet");
    browser.fill("IP address", "127.0.0.2");
    browser.press("Add");
    browser.wait_for("[aria-label='Remove 127.0.0.2']");
    browser.press("Next");
    // Completion: the command that does the same.
    browser.wait_for("pre.line");
    let line = browser.text("pre.line");
    assert!(line.starts_with("New-ReceiveConnector") && line.contains("127.0.0.2"), "{line}");
    assert!(!line.contains(ALL_ADDRESSES), "{line}");
    browser.press("Finish");
    browser.wait_for("[role=status]");
    let listed = console.site.shell("Get-ReceiveConnector Relay | ft Name,RemoteIPRanges");
    assert!(listed.contains("127.0.0.2"), "{listed}");
    send_outside(&console.site, HOST_2).expect_err("the connector alone allows nothing");

    // Properties: the group, then Externally Secured.
    console.open_tab("Relay", "Permission groups");
    browser.tick("Exchange servers");
    console.apply();
    browser.follow("Authentication");
    browser.tick("Externally Secured");
    console.apply();
    console.expect_no_complaints();
    expect_relay_for_host_2_alone(&console.site, &sink, 1);
}

#[test]
fn the_second_articles_option_1_in_its_order_and_in_the_wrong_one() {
    let sink = SmtpSink::start();
    let console = Console::signed_in(&[CONTOSO, DEFAULT, CRM, &to_sink(&sink.smart_host())]);
    let browser = &console.browser;
    send_outside(&console.site, HOST_2).expect_err("nothing is allowed yet");

    // In the wrong order it is refused, with the reason and the way.
    console.open_tab("CRM Application", "Authentication");
    browser.tick("Externally Secured");
    browser.press("Apply");
    browser.wait_for("[role=alert]");
    let reason = browser.text("[role=alert]");
    assert!(reason.contains("Exchange servers"), "{reason}");
    assert!(browser.is_ticked("Externally Secured"), "what was ticked is kept");
    assert!(browser.complaints().iter().all(|complaint| complaint.contains("422")), "that is the page's status");
    browser.follow("Exchange servers on the tab");
    browser.tick("Exchange servers");
    console.apply();
    send_outside(&console.site, HOST_2).expect_err("the group alone allows nothing");

    // In the right one, the nine rights are listed before anything is applied.
    browser.follow("Authentication");
    browser.tick("Externally Secured");
    browser.press("Apply");
    browser.wait_for("button[name=confirmed]");
    let mut rights = browser.texts(".notice dt code");
    rights.sort_unstable();
    let expected = [
        "ms-Exch-Accept-Headers-Routing",
        "ms-Exch-Bypass-Anti-Spam",
        "ms-Exch-Bypass-Message-Size-Limit",
        "ms-Exch-SMTP-Accept-Any-Recipient",
        "ms-Exch-SMTP-Accept-Any-Sender",
        "ms-Exch-SMTP-Accept-Authentication-Flag",
        "ms-Exch-SMTP-Accept-Authoritative-Domain-Sender",
        "ms-Exch-SMTP-Accept-Exch50",
        "ms-Exch-SMTP-Submit",
    ];
    assert_eq!(rights, expected);
    assert!(browser.page_text().contains("127.0.0.2"), "who gains them: {}", browser.page_text());
    send_outside(&console.site, HOST_2).expect_err("looking at it changes nothing");
    browser.press("Apply");
    browser.wait_for_text("The changes are in force.");
    console.expect_no_complaints();
    expect_relay_for_host_2_alone(&console.site, &sink, 1);
}

#[test]
fn the_second_articles_option_2_by_the_rights_tab_and_by_the_command_that_it_shows() {
    let sink = SmtpSink::start();
    let console = Console::signed_in(&[CONTOSO, DEFAULT, CRM, &to_sink(&sink.smart_host())]);
    let browser = &console.browser;
    console.open_tab("CRM Application", "Permission groups");
    browser.tick("Anonymous users");
    console.apply();
    let refused = send_outside(&console.site, HOST_2).expect_err("no relay without the one right");
    assert!(refused.contains("550 5.7.1 Unable to relay"), "{refused}");

    // The command that the page shows does what the page would do.
    let ask_for_the_right = || {
        browser.follow("Rights");
        browser.press("Accept-Any-Recipient for anonymous");
        browser.wait_for("button[name=confirmed]");
    };
    ask_for_the_right();
    let line = browser.text("pre.line");
    assert!(line.contains("Add-ADPermission") && line.contains("ms-Exch-SMTP-Accept-Any-Recipient"), "{line}");
    let printed = console.site.shell(&line);
    assert!(printed.contains("ANONYMOUS LOGON"), "{line}: {printed}");
    expect_relay_for_host_2_alone(&console.site, &sink, 1);

    // The entry is taken away on the page, and comes back by the page.
    console.open_tab("CRM Application", "Rights");
    let own = "its own entry";
    assert!(browser.page_text().contains(own), "{}", browser.page_text());
    let remove = "for (const row of document.querySelectorAll('tbody tr')) {
        if (row.innerText.includes(arguments[0])) { row.querySelector('button').click(); return true; } } return false";
    assert_eq!(browser.run(remove, serde_json::json!([own])), true);
    browser.wait_for("button[name=confirmed]");
    browser.press("Remove");
    browser.wait_for("[role=status]");
    send_outside(&console.site, HOST_2).expect_err("the right is gone");
    ask_for_the_right();
    browser.click("button[name=confirmed]");
    browser.wait_for("[role=status]");
    console.expect_no_complaints();
    expect_relay_for_host_2_alone(&console.site, &sink, 2);
}
