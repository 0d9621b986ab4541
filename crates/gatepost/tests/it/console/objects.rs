//! Objects made and changed by their dialogs alone, with real effect: a send connector that logs on to a provider, an accepted
//! domain, a mailbox, a group with its members.

use std::time::Duration;

use gatepost_testkit::provider::{PASSWORD, Provider, USER};
use gatepost_testkit::wait;

use super::{Console, request};
use crate::site::{CONTOSO, HOST_3, OPEN_TO_TESTS, message};

impl Console {
    #[track_caller]
    fn begin_new(&self, area: &str, button: &str) {
        self.open("/");
        self.browser.follow(area);
        self.browser.follow(button);
        self.browser.wait_for("form button.primary");
    }

    /// The browser tells that a form came back, and nothing else.
    #[track_caller]
    fn expect_complaints_of_a_mistake_alone(&self) {
        let complaints = self.browser.complaints();
        assert!(complaints.iter().all(|line| line.contains("/new") && line.contains("422")), "{complaints:#?}");
    }

    /// What a message to this recipient is answered with.
    fn reply_to(&self, recipient: &str) -> u16 {
        let mut client = self.site.client(HOST_3);
        client.command("MAIL FROM:<app@contoso.com>");
        client.command(&format!("RCPT TO:<{recipient}>")).code()
    }
}

#[test]
fn a_send_connector_made_in_the_browser_logs_on_to_its_smart_host_and_delivers() {
    let provider = Provider { mechanisms: "LOGIN PLAIN", ..Provider::default() }.start();
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    let host = format!("[127.0.0.1]:{}", provider.port());
    console.begin_new("Send connectors", "New send connector");
    for cloud in ["RequireOorg", "CloudServicesMailEnabled", "IsScopedConnector", "$false"] {
        assert!(!browser.source().contains(cloud), "{cloud} is not offered");
    }
    browser.fill("Name (needed)", "Provider");
    browser.choose("Intended use", "Internet: to everybody");
    browser.choose("Route mail", "Through smart hosts");
    browser.fill("Smart hosts", "no smart host");
    browser.fill("Address spaces", "*");
    browser.choose("Smart host authentication", "User name and password, in clear where TLS is not offered");
    browser.fill("Log on as", USER);
    browser.fill("Password", PASSWORD);
    browser.press("Next");

    // A mistake stands at its field, once, and the password need not be typed again.
    browser.wait_for("#f-SmartHosts[aria-invalid=true]");
    assert_eq!(browser.texts(".error").len(), 1, "{}", browser.page_text());
    assert_eq!(browser.text("[role=alert]"), "Nothing was made. Look at Smart hosts.");
    browser.fill("Smart hosts", &host);
    browser.press("Next");

    // What it leads another way, and the same in the shell, without the password.
    browser.wait_for("pre.line");
    let seen = browser.page_text();
    assert!(seen.contains(&format!("by Provider to {host}, until now by no connector")), "{seen}");
    let line = browser.text("pre.line");
    assert!(line.starts_with("New-SendConnector -Name \"Provider\"") && line.contains("Get-Credential"), "{line}");
    assert!(!browser.source().contains(PASSWORD));
    browser.press("Back");
    browser.wait_for("#f-SmartHosts");
    assert_eq!((browser.value("Smart hosts"), browser.value("Log on as")), (host.clone(), USER.to_owned()));
    assert!(!browser.source().contains(PASSWORD));
    browser.press("Next");
    browser.wait_for("pre.line");
    browser.press("Make the send connector");
    browser.wait_for("[role=status]");

    let mut client = console.site.client(HOST_3);
    assert_eq!(client.submit("<app@contoso.com>", &["z@example.net"], &message("out", "Text.")).code(), 250);
    assert!(provider.wait_for(1)[0].contains("Subject: out"));
    assert_eq!(provider.seen()[0].logons, [("PLAIN".to_owned(), false)]);

    // A tab changes what stands on it and nothing else; what leads mail another way is shown before.
    browser.follow("Limits");
    browser.fill("Messages per connection", "5");
    browser.press("Save");
    browser.wait_for("[role=status]");
    browser.follow("Address space");
    browser.fill("Address spaces", "SMTP:example.org;1");
    browser.press("Save");
    browser.wait_for_text("Mail for all other domains: waits");
    browser.press("Apply");
    browser.wait_for("[role=status]");
    let made = console.site.shell(
        "Get-SendConnector Provider | ForEach-Object { \"$($_.AddressSpaces) $($_.SmtpMaxMessagesPerConnection) \
         $($_.AuthenticationUser) $($_.SmartHosts)\" }",
    );
    assert_eq!(made.trim(), format!("SMTP:example.org;1 5 {USER} {host}"));
    assert!(!console.site.installation.settings().contains(PASSWORD));

    // What waits for it, and where its password stays, is said before it goes, and after.
    console.site.shell("Set-SendConnector Provider -SmartHosts '[127.0.0.1]:1'");
    let mut client = console.site.client(HOST_3);
    assert_eq!(client.submit("<app@contoso.com>", &["z@example.org"], &message("waits", "Text.")).code(), 250);
    let queue = "Get-Queue | Where-Object { $_.NextHopConnector -eq 'Provider' } | ForEach-Object { $_.MessageCount }";
    let is_queued = || console.site.shell(queue).lines().any(|count| count.trim() == "1");
    assert!(wait::within(Duration::from_secs(60), || is_queued().then_some(())).is_some(), "it waits nowhere");
    browser.follow("Send connectors");
    browser.wait_for_text("[127.0.0.1]:1");
    browser.follow("Provider");
    browser.follow("Remove");
    browser.wait_for_text("1 message waits for it.");
    assert!(browser.page_text().contains("Its password stays in "), "{}", browser.page_text());
    browser.press("Remove the send connector");
    browser.wait_for_text("1 message waited for it.");
    assert!(browser.text("[role=status]").contains("Its password stays in "), "{}", browser.page_text());
    assert!(console.site.shell("Get-Queue Unreachable | Format-List MessageCount").contains('1'));
    let acts = console.site.installation.output(&["acts"]);
    assert!(acts.contains("New-SendConnector") && !acts.contains(PASSWORD), "{acts}");
    console.expect_complaints_of_a_mistake_alone();
}

#[test]
fn domains_mailboxes_and_groups_are_made_in_the_browser_and_take_mail() {
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;

    // An accepted domain: a mistake stands at the one field that there is for it.
    console.begin_new("Accepted domains", "New accepted domain");
    browser.fill("Domain (needed)", "no domain");
    browser.press("Make the accepted domain");
    browser.wait_for("#f-Name[aria-invalid=true]");
    assert_eq!(browser.texts(".error").len(), 1, "{}", browser.page_text());
    browser.fill("Domain (needed)", "fabrikam.com");
    browser.press("Make the accepted domain");
    browser.wait_for_text("The accepted domain was made.");

    // A mailbox with a user.
    console.begin_new("Recipients", "New mailbox");
    browser.fill("Name (needed)", "Bob Miller");
    browser.fill("Address", "bob.miller@fabrikam.com");
    browser.fill("User name", "bob");
    browser.fill("Password", super::PASSWORD);
    browser.press("Make the mailbox");
    browser.wait_for_text("The mailbox was made.");
    assert_eq!(console.reply_to("bob.miller@fabrikam.com"), 250);
    assert_eq!(console.reply_to("nobody@fabrikam.com"), 550);
    assert!(console.site.shell("Get-User bob | Format-List Addresses").contains("bob.miller@fabrikam.com"));

    // A group: empty it is nobody's address; members come and go.
    browser.follow("Recipients");
    browser.follow("Distribution groups");
    browser.follow("New distribution group");
    browser.fill("Name (needed)", "Alerts");
    browser.fill("Address", "alerts@fabrikam.com");
    browser.untick("Only from senders who have logged on");
    browser.press("Make the distribution group");
    browser.wait_for_text("The distribution group was made.");
    assert_eq!(console.reply_to("alerts@fabrikam.com"), 550);
    browser.fill("Add", "bob.miller@fabrikam.com\noncall@provider.example");
    browser.press("Add");
    browser.wait_for_text("2 members were added.");
    assert_eq!(console.reply_to("alerts@fabrikam.com"), 250);
    browser.press("Remove oncall@provider.example");
    browser.wait_for_text("1 member was removed.");
    let members = console.site.shell("(Get-DistributionGroupMember Alerts).PrimarySmtpAddress");
    assert_eq!(members.trim(), "bob.miller@fabrikam.com");

    // What waits for a mailbox is said before it goes.
    let submit = |subject: &str| {
        let mut client = console.site.client(HOST_3);
        let taken = client.submit("<app@contoso.com>", &["bob.miller@fabrikam.com"], &message(subject, "Text."));
        assert_eq!(taken.code(), 250, "{taken}");
    };
    submit("delivered");
    console.site.wait_for_mail("bob.miller@fabrikam.com", 1);
    console.site.shell("Suspend-Queue 'local delivery' -Confirm:$false");
    submit("waits");
    let is_told = || {
        console.open("/recipients/mailboxes/of/bob.miller%40fabrikam.com/remove");
        browser.page_text().contains("1 message waits for it.")
    };
    assert!(wait::within(Duration::from_secs(60), || is_told().then_some(())).is_some(), "{}", browser.page_text());
    console.expect_complaints_of_a_mistake_alone();
}

#[test]
fn a_page_of_a_long_list_is_made_of_no_more_than_it_shows() {
    let mailboxes: String =
        (0..120).map(|number| format!("[[mailbox]]\naddress = \"somebody.{number:03}@contoso.com\"\n")).collect();
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS, &mailboxes]);
    let cookie = console.cookie();
    let page = |query: &str| {
        let path = format!("/recipients/mailboxes{query}");
        request(console.door(), "GET", &path, &[("Cookie", &cookie)], "").body
    };
    let count = |body: &str| body.matches("href=\"/recipients/mailboxes/of/").count();
    let first = page("");
    assert!(count(&first) == 50 && first.contains("somebody.000@") && !first.contains("somebody.050@"), "{first}");
    let last = page("?page=3");
    assert!(last.contains("of 12") && last.contains("somebody.119@"), "{last}");
    let found = page("?q=body.11");
    assert_eq!(count(&found), 10, "{found}");
}
