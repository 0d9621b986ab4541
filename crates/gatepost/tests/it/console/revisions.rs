//! The settings document edited in the browser, a colleague's change meanwhile, and an earlier revision put in force again.

use super::Console;
use super::articles::DEFAULT;
use crate::site::CONTOSO;

#[test]
fn the_document_is_edited_a_conflict_is_shown_and_a_revision_restored() {
    let console = Console::signed_in(&[CONTOSO, DEFAULT]);
    let browser = &console.browser;
    let document = || console.site.installation.settings();
    console.open("/settings");
    let text = browser.value("Revision 1");

    // A mistake is told with its line; nothing is lost.
    browser.paste("Revision 1", &text.replace("ExchangeUsers", "ExchangeUser"));
    browser.press("Save");
    browser.wait_for("[role=alert]");
    assert!(browser.page_text().contains("Line ") && browser.value("Revision 1").contains("\"ExchangeUser\""));

    // A colleague changes something else meanwhile.
    browser.paste("Revision 1", &format!("{text}\n# by carol"));
    console.site.shell("Set-ReceiveConnector Default -Comment 'by a colleague'");
    browser.press("Save");
    browser.wait_for_text("Revision 2 was put in force while you were editing revision 1");
    assert!(browser.page_text().contains("by a colleague") && browser.value("Revision 2").contains("# by carol"));
    assert!(!document().contains("# by carol"));

    // Taken over by hand, and saved: it opens nothing, so nobody is asked.
    console.open("/settings");
    let text = browser.value("Revision 2");
    browser.paste("Revision 2", &format!("{text}\n# by carol"));
    browser.press("Save");
    browser.wait_for_text("Revision 3 is in force.");
    assert!(document().contains("# by carol") && document().contains("by a colleague"));

    // Each says what made it, here and on the overview.
    console.open("/");
    browser.wait_for_text("settings document");
    console.open("/revisions");
    let listed = browser.page_text();
    for part in ["settings document", "Set-ReceiveConnector Default", "carol (127.0.0.1)"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    browser.follow("1");
    browser.follow("Put in force again");
    browser.wait_for("button.primary");
    assert!(browser.page_text().contains("by a colleague"), "the lines that go: {}", browser.page_text());
    // What somebody changes meanwhile is shown before it is undone.
    console.site.shell("Set-ReceiveConnector Default -Comment 'by another'");
    browser.press("Put in force");
    browser.wait_for_text("by another");
    assert!(document().contains("by another"));
    browser.press("Put in force");
    browser.wait_for("[role=status]");
    assert!(!document().contains("# by carol") && !document().contains("by another"));
    browser.wait_for_text("restore of 1");
    // Refusals are what a browser complains of; nothing else is.
    let other: Vec<String> =
        browser.complaints().into_iter().filter(|line| !line.contains("responded with a status of 4")).collect();
    assert_eq!(other, Vec::<String>::new());
}
