//! The web console in a browser: [`pages`] are what they should be, whoever looks at them; [`signing_in`]; [`attacks`];
//! [`articles`], [`device`], [`receive_connectors`], [`exposure`], [`revisions`], [`objects`], [`queues`], [`transcript`].
//!
//! Pictures of the pages are taken only where `GATEPOST_SCREENSHOTS` is set; they lie in `target/screenshots`.

mod pages;

mod signing_in;

mod articles;

mod attacks;

mod device;

mod receive_connectors;

mod exposure;

mod revisions;

mod objects;

mod queues;

mod transcript;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost_testkit::browser::{Browser, DESK, PHONE, Theme};
use gatepost_testkit::installation::text_of;
use gatepost_testkit::wait;
use serde_json::json;

use crate::access::{Answered, DOOR, exchange};
use crate::site::{PROGRAM, Site};

/// Everybody's password.
const PASSWORD: &str = "correct horse battery";

/// A server with a console, and a browser.
struct Console {
    // Dropped in this order: the browser goes before the server does.
    browser: Browser,
    site: Site,
}

impl Console {
    /// Starts a server whose document is these parts and a door for administrators. `carol` may do everything there.
    #[track_caller]
    fn start(parts: &[&str]) -> Console {
        let site = Site::start(&[parts, &[DOOR]].concat());
        let console = Console { browser: Browser::borrow(), site };
        console.add_administrator("carol", &["TransportAdmin", "SecurityOfficer"]);
        console
    }

    /// The same, signed in as carol.
    #[track_caller]
    fn signed_in(parts: &[&str]) -> Console {
        let console = Console::start(parts);
        console.sign_in("carol");
        console
    }

    #[track_caller]
    fn add_administrator(&self, name: &str, roles: &[&str]) {
        let mut arguments = vec!["admin", "add", name, "--password-stdin"];
        for role in roles {
            arguments.extend(["--role", role]);
        }
        let added = self.site.installation.run_with_input(&arguments, &format!("{PASSWORD}\n"));
        assert!(added.status.success(), "{}", text_of(&added));
    }

    /// Signs in by the form, wherever the browser is; it ends on the overview.
    #[track_caller]
    fn sign_in(&self, name: &str) {
        self.open("/sign-in");
        self.browser.fill("Name", name);
        self.browser.fill("Password", PASSWORD);
        self.browser.press("Sign in");
        self.browser.wait_for("nav.areas");
    }

    fn door(&self) -> SocketAddr {
        self.site.port("second")
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.door())
    }

    #[track_caller]
    fn open(&self, path: &str) {
        self.browser.open(&self.url(path));
    }

    /// The cookies that the browser would send, as a field of a request.
    #[track_caller]
    fn cookie(&self) -> String {
        let cookies = self.browser.cookies();
        let pairs = cookies
            .iter()
            .filter_map(|cookie| Some(format!("{}={}", cookie["name"].as_str()?, cookie["value"].as_str()?)));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// What the forms of the page that the browser shows carry.
    #[track_caller]
    fn proof(&self) -> String {
        let proof = self.browser.run("return document.querySelector('input[name=proof]').value", json!([]));
        proof.as_str().expect("every page has a form").to_owned()
    }

    /// Waits until the page says that something was done: these words, and not what an earlier page said.
    #[track_caller]
    fn wait_until_said(&self, words: &str) {
        let said = || self.browser.texts("[role=status]");
        let heard =
            wait::within(Duration::from_secs(60), || said().iter().any(|said| said.contains(words)).then_some(()));
        assert!(heard.is_some(), "never said {words:?}, but {:?}: {}", said(), self.browser.page_text());
    }

    /// No complaint in the browser's console.
    #[track_caller]
    fn expect_no_complaints(&self) {
        let complaints = self.browser.complaints();
        assert!(complaints.is_empty(), "{}: {complaints:#?}", self.browser.url());
    }
}

/// One request as no browser would make it, over a connection of its own.
fn request(door: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)], form: &str) -> Answered {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !fields.iter().any(|(name, _)| *name == "Host") {
        request += &format!("Host: {door}\r\n");
    }
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    if method == "POST" {
        let length = form.len();
        request += &format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n");
    }
    let answer = exchange(door, format!("{request}\r\n{form}").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request}: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answered { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// A folder of the build's.
fn target(name: &str) -> PathBuf {
    let target = Path::new(PROGRAM).parent().and_then(Path::parent);
    target.expect("target/debug/gatepost").join(name)
}

/// axe-core's program, which `./test` fetches.
fn axe() -> PathBuf {
    target("axe/axe.min.js")
}

/// A page on which everything is wrong that the tests of pages look for.
const BAD_PAGE: &str = "data:text/html,<html><title>x</title><body style='background:white'>\
    <p style='color:lightgrey'>pale</p><div style='width:900px'>wide</div><input>\
    <script>console.error('bad script'); document.title = 'ran'</script>";

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
    assert_eq!(browser.run(dark, json!([])), true);
    browser.allow_scripts(false);
    browser.open(BAD_PAGE);
    assert_eq!((browser.title(), browser.text("p")), ("x".to_owned(), "pale".to_owned()));
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("page.png");
    browser.picture(&picture);
    assert!(std::fs::metadata(&picture).is_ok_and(|file| file.len() > 1_000));
}
