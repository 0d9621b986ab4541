//! Receive connectors by clicks, beyond what the articles do: what the wizard says of what it opens, the list of addresses, rights that are of
//! no use alone.

use super::articles::{CRM, DEFAULT};
use super::{Console, axe};
use crate::site::CONTOSO;

const ALL_ADDRESSES: &str = "0.0.0.0-255.255.255.255";

#[test]
fn the_first_address_takes_the_place_of_all_of_them_and_a_new_listener_is_said() {
    let console = Console::signed_in(&[CONTOSO, DEFAULT]);
    let browser = &console.browser;
    console.open("/receive-connectors/new");
    browser.fill("Name", "Branch");
    browser.press("Next");
    // The addresses of this machine are offered.
    browser.wait_for_text("This server has");
    let offered = browser.run(
        "return [...document.querySelectorAll('#host-addresses option')].map((one) => one.value)",
        serde_json::json!([]),
    );
    assert!(offered.as_array().is_some_and(|all| all.iter().any(|one| one == "127.0.0.1")), "{offered}");
    browser.tick("One dedicated address");
    browser.fill("Dedicated address", "127.0.0.1");
    let port = gatepost_testkit::port::free();
    browser.fill("Port", &port.to_string());
    browser.press("Next");
    browser.wait_for(&format!("[aria-label='Remove {ALL_ADDRESSES}']"));
    browser.fill("IP address", "127.0.0.9");
    browser.press("Next");
    browser.wait_for("pre.line");
    let text = browser.page_text();
    assert!(text.contains("All IPv4 addresses were taken out"), "{text}");
    assert!(
        text.contains(&format!("Opens port {port} on 127.0.0.1")) && text.contains("There it hears 127.0.0.9"),
        "{text}"
    );
    assert!(!browser.text("pre.line").contains(ALL_ADDRESSES), "{}", browser.text("pre.line"));
    browser.press("Finish");
    browser.wait_for("[role=status]");

    // The same list stands on the tab Network; nothing is applied before Apply.
    console.open_tab("Branch", "Network");
    browser.fill("IP address", "127.0.0.10");
    browser.press("Add");
    browser.wait_for("[aria-label='Remove 127.0.0.10']");
    browser.press("Remove 127.0.0.9");
    browser.wait_for_text("127.0.0.10");
    let ranges = || console.site.shell("(Get-ReceiveConnector Branch).RemoteIPRanges.Expression -join ' '");
    assert_eq!(ranges().trim(), "127.0.0.9");
    console.apply();
    assert_eq!(ranges().trim(), "127.0.0.10");
    // A refusal is one for the browser, too, which complains of it.
    console.expect_no_complaints();
    browser.follow("Network");
    browser.press("Remove 127.0.0.10");
    browser.wait_for_text("No address yet");
    browser.press("Apply");
    browser.wait_for_text("Add at least one address");
    assert_eq!(ranges().trim(), "127.0.0.10");
}

#[test]
fn a_right_without_the_group_is_said_to_be_of_no_use_and_the_group_is_offered() {
    let console = Console::signed_in(&[CONTOSO, DEFAULT, CRM]);
    let browser = &console.browser;
    console.open_tab("CRM Application", "Rights");
    browser.untick("Tick Anonymous users in the same step");
    browser.press("Accept-Any-Recipient for anonymous");
    browser.wait_for("button[name=confirmed]");
    assert!(browser.page_text().contains("may not send at all"), "{}", browser.page_text());
    assert!(browser.page_text().contains("No address gains or loses a right"), "{}", browser.page_text());
    browser.press("Tick Anonymous users in the same step");
    browser.wait_for_text("is ticked in the same step");
    let line = browser.text("pre.line");
    assert!(line.contains("-PermissionGroups AnonymousUsers") && line.contains("Add-ADPermission"), "{line}");
    browser.click("button[name=confirmed]");
    browser.wait_for("[role=status]");
    let groups = console.site.shell("(Get-ReceiveConnector 'CRM Application').PermissionGroups.ToString()");
    assert!(groups.contains("AnonymousUsers"), "{groups}");

    // An entry is changed in one step, and what becomes of it is said before: without scripts, too.
    let revisions = || console.site.shell("(Get-ConfigurationRevision).Count");
    let before = revisions();
    browser.allow_scripts(false);
    console.open("/receive-connectors/CRM%20Application?tab=rights");
    browser.follow("Edit");
    browser.wait_for("#entry input[name=edit]");
    assert_eq!(browser.value("Account"), "NT AUTHORITY\\ANONYMOUS LOGON");
    assert!(browser.is_ticked("ms-Exch-SMTP-Accept-Any-Recipient"));
    browser.fill("Senders", "scan@contoso.com");
    browser.fill("Owner", "anna@contoso.com");
    browser.press("Show what it changes");
    browser.wait_for("button[name=confirmed]");
    let (text, line) = (browser.page_text(), browser.text("pre.line"));
    assert!(text.contains("narrower") && text.contains("scan@contoso.com"), "{text}");
    for part in ["Start-Transaction", "Remove-ADPermission", "Add-ADPermission", "Complete-Transaction"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    browser.press("Back");
    browser.wait_for("#entry input[name=edit]");
    assert_eq!(browser.value("Senders").trim(), "scan@contoso.com");
    browser.allow_scripts(true);
    browser.press("Show what it changes");
    browser.wait_for("button[name=confirmed]");
    assert_eq!(browser.barriers(&axe(), &[]), [""; 0]);
    assert_eq!(revisions(), before, "looking at it changes nothing");
    browser.click("button[name=confirmed]");
    browser.wait_for_text("The entry is changed.");
    let count = |text: String| text.trim().parse::<u32>().expect("a number");
    assert_eq!(count(revisions()), count(before) + 1, "one revision");
    let entries = console.site.shell(
        "Get-ADPermission 'CRM Application' | Where-Object { $_.EntryOwner } | ForEach-Object { \"$($_.ExtendedRights) $($_.Senders) $($_.EntryOwner)\" }",
    );
    assert_eq!(entries.trim(), "ms-Exch-SMTP-Accept-Any-Recipient scan@contoso.com anna@contoso.com");
    let groups = console.site.shell("(Get-ReceiveConnector 'CRM Application').PermissionGroups.ToString()");
    assert!(groups.contains("AnonymousUsers"), "the group is as it was: {groups}");

    // What is removed is said before it goes.
    browser.press("Remove all");
    browser.wait_for("button[name=confirmed]");
    assert!(browser.page_text().contains("Taken from NT AUTHORITY\\ANONYMOUS LOGON: "), "{}", browser.page_text());
    console.expect_no_complaints();
}
