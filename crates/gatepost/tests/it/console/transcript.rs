//! The live transcript: lines come as they are said, as text whatever they hold.

use super::Console;
use super::pages::HOSTILE;
use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS};

#[test]
fn what_a_peer_says_is_seen_as_it_is_said() {
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    browser.follow("Live transcript");
    browser.wait_for("input[name=connector]");
    browser.fill("Connector", "Nobody");
    browser.press("Listen");
    browser.wait_for("[role=alert]");
    assert!(browser.text("[role=alert]").contains("Nobody"), "{}", browser.page_text());
    browser.fill("Connector", "Tests");
    browser.fill("Peer or next hop", "127.0.0.0/8");
    browser.press("Listen");
    browser.wait_for_text("Listening.");
    let mut client = console.site.client(HOST_2);
    client.command(&format!("VRFY {HOSTILE}"));
    client.command("QUIT");
    browser.wait_for_text("end of the connection");
    let lines = browser.texts("[data-transcript] p");
    assert!(lines[0].contains("Tests  127.0.0.2:") && lines[0].contains("+ connection with"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with(&format!("< VRFY {HOSTILE}"))), "{lines:#?}");
    assert!(!browser.has("[data-transcript] script, [data-transcript] img"), "{lines:#?}");

    // No more than a thousand are kept.
    let mut client = console.site.client(HOST_2);
    for _ in 0..600 {
        client.command("NOOP");
    }
    client.command("VRFY last");
    browser.wait_for_text("VRFY last");
    let lines = browser.texts("[data-transcript] p");
    assert!(lines.len() <= 1_000, "{}", lines.len());
    assert!(!lines[0].contains("+ connection with"), "{}", lines[0]);

    browser.allow_scripts(false);
    browser.reload();
    assert!(browser.page_text().contains("logs/protocol"), "{}", browser.page_text());
    browser.allow_scripts(true);
}
