//! Who may relay: the report that is taken away by clicks is the one that the server has signed.

use super::articles::DEFAULT;
use super::{Console, request};
use crate::site::{CONTOSO, RELAY};

#[test]
fn the_report_of_the_page_is_signed_by_the_key_that_the_page_shows() {
    let console = Console::signed_in(&[CONTOSO, DEFAULT, RELAY]);
    let browser = &console.browser;
    console.open("/exposure");
    browser.wait_for("#report .mono");
    let fingerprint = browser.text("#report .mono");
    let text = browser.page_text();
    assert!(text.contains("Inside only") && text.contains("1 address may relay anywhere"), "{text}");
    let cookie = console.cookie();
    let folder = console.site.installation.folder();
    for (link, file) in [("a[href*='format=html']", "report.html"), ("a[href*='format=json']", "report.json")] {
        let place = browser.attribute(link, "href").expect("a link");
        let taken = request(console.door(), "GET", &place, &[("Cookie", &cookie)], "");
        assert_eq!(taken.status, 200, "{}", taken.head);
        assert!(taken.head.contains("content-disposition: attachment"), "{}", taken.head);
        std::fs::write(folder.join(file), &taken.body).expect("written");
        console.site.installation.output(&["audit", "--verify", file, "--key", &fingerprint]);
    }
    let key = request(console.door(), "GET", "/exposure/report/key", &[("Cookie", &cookie)], "");
    assert!(key.body.starts_with("-----BEGIN PUBLIC KEY-----"), "{}", key.body);
    let nobody = request(console.door(), "GET", "/exposure/report", &[], "");
    assert_ne!(nobody.status, 200, "signed links are no way in");

    // It is a page of its own, to be printed.
    let page = folder.join("report.html");
    browser.open(&format!("file://{}", page.display()));
    assert_eq!(browser.text("h1"), "Who may relay through mail.contoso.com");
    console.expect_no_complaints();
}
