//! The web console in a browser.
//!
//! Pictures of pages are taken only where `GATEPOST_SCREENSHOTS` is set; they lie in `target/screenshots`.

use std::path::PathBuf;

use gatepost_testkit::browser::{Browser, DESK, PHONE, Theme};

use crate::site::PROGRAM;

/// A page on which everything is wrong that the tests of pages look for.
const BAD_PAGE: &str = "data:text/html,<html><title>x</title><body style='background:white'>\
    <p style='color:lightgrey'>pale</p><div style='width:900px'>wide</div><input>\
    <script>console.error('bad script'); document.title = 'ran'</script>";

/// A folder of the build's.
fn target(name: &str) -> PathBuf {
    let debug = std::path::Path::new(PROGRAM).parent().and_then(|debug| debug.parent());
    debug.expect("target/debug/gatepost").join(name)
}

fn axe() -> PathBuf {
    target("axe/axe.min.js")
}

#[test]
fn the_browser_finds_what_is_wrong_with_a_page() {
    let browser = Browser::borrow();
    browser.open(BAD_PAGE);
    assert_eq!(browser.title(), "ran");
    let complaints = browser.complaints();
    assert!(complaints.iter().any(|line| line.contains("bad script")), "{complaints:?}");
    assert_eq!(browser.complaints(), [""; 0], "each is told once");
    let barriers = browser.barriers(&axe(), &[]);
    for rule in ["color-contrast", "label", "html-has-lang"] {
        assert!(barriers.iter().any(|found| found.starts_with(rule)), "{rule}: {barriers:?}");
    }
    assert_eq!(browser.barriers(&axe(), &["color-contrast"]).len(), 1);
    assert_eq!(browser.overflow().0, 0);
    browser.show_on(PHONE);
    browser.open(&BAD_PAGE.replace("<html>", "<html><meta name=viewport content='width=device-width'>"));
    let (pixels, out) = browser.overflow();
    assert!(pixels > 400 && out[0].contains("wide"), "{pixels} {out:?}");
    browser.show_on(DESK);
    browser.prefer(Theme::Dark);
    let dark = "return matchMedia('(prefers-color-scheme: dark)').matches";
    assert_eq!(browser.run(dark, serde_json::json!([])), true);
    browser.allow_scripts(false);
    browser.open(BAD_PAGE);
    assert_eq!((browser.title(), browser.text("p")), ("x".to_owned(), "pale".to_owned()));
    let picture = tempfile::tempdir().expect("a folder").path().join("page.png");
    browser.picture(&picture);
    assert!(std::fs::metadata(&picture).is_ok_and(|file| file.len() > 1_000));
}
