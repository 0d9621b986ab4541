//! Every page that somebody can come to by links: nothing is wrong with it in the browser, on either screen and in either theme,
//! without scripts, and for those who may only look.

use std::collections::{BTreeSet, HashSet, VecDeque};

use gatepost_testkit::browser::{Browser, DESK, PHONE, Theme};
use gatepost_testkit::programs::Swaks;
use serde_json::{Value, json};

use super::{Console, axe, request, target};
use crate::site::{CONTOSO, HOST_2, HOST_3, OPEN_TO_TESTS, RELAY, to_sink};

/// Largest document of a page, uncompressed, and largest sum of all that a first visit fetches besides, compressed; in bytes.
const PAGE_BYTES_MAX: u64 = 100 * 1024;
const ASSET_BYTES_MAX: u64 = 100 * 1024;

/// More pages are pages with links to themselves, or a mistake in [`shape`].
const PAGES_MAX: usize = 120;

/// What would tell that a text from outside was taken for a part of the page.
pub(super) const HOSTILE: &str = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>";

/// A server with something on every page: connectors, mail that waits and mail that was refused, with hostile texts in it.
pub(super) fn furnished() -> Console {
    // Nobody listens there: what is for others waits.
    let nowhere = to_sink("[127.0.0.1]:1");
    let console = Console::start(&[CONTOSO, OPEN_TO_TESTS, RELAY, &nowhere]);
    let smtp = console.site.smtp();
    let content = format!("From: \"{HOSTILE}\" <app@contoso.com>\r\nSubject: {HOSTILE}\r\n\r\nText.\r\n");
    Swaks::new(HOST_3, smtp)
        .from("app@contoso.com")
        .to("bob@contoso.com,someone@example.net")
        .content(&content)
        .run()
        .expect_taken();
    for helo in [HOSTILE, "scanner.contoso.com"] {
        let refused =
            Swaks::new(HOST_2, smtp).option(&["--helo", helo]).from("app@contoso.com").to("nobody@contoso.com");
        assert_ne!(refused.run().code, 0);
    }
    console.sign_in("carol");
    console
}

/// What pages have in common that are made alike: their address without what names a thing or a moment.
fn shape(address: &str) -> String {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let is_word = |part: &str| part.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
    let path: Vec<&str> = path.split('/').map(|part| if is_word(part) { part } else { "*" }).collect();
    let tab = query.split('&').find(|field| field.starts_with("tab=")).unwrap_or_default();
    format!("{} {tab}", path.join("/"))
}

/// Goes to every page that links lead to, one of each shape; `look` is asked at each.
#[track_caller]
pub(super) fn visit_all(console: &Console, mut look: impl FnMut(&str)) -> Vec<String> {
    let links = "return [...document.querySelectorAll('a[href]')]
        .filter(link => link.origin === location.origin && !link.hasAttribute('download'))
        .map(link => link.pathname + link.search)";
    let mut waiting = VecDeque::from(["/".to_owned()]);
    let mut known = HashSet::from([shape("/")]);
    let mut visited = Vec::new();
    while let Some(page) = waiting.pop_front() {
        assert!(visited.len() < PAGES_MAX, "too many pages: {visited:#?}");
        console.open(&page);
        let found = console.browser.run(links, json!([]));
        for link in found.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if known.insert(shape(link)) {
                waiting.push_back(link.to_owned());
            }
        }
        look(&page);
        visited.push(page);
    }
    visited
}

/// What the console lists on its side.
#[track_caller]
fn navigation(console: &Console) -> Vec<String> {
    console.open("/");
    let links = "return [...document.querySelectorAll('nav.areas a')].map(link => link.pathname)";
    let links = console.browser.run(links, json!([]));
    links.as_array().into_iter().flatten().filter_map(|link| link.as_str().map(str::to_owned)).collect()
}

/// The status of the page, how many headings it has, what the first says, and whether a text of somebody else has run.
const STATE: &str = "const headings = document.querySelectorAll('h1');
    return [performance.getEntriesByType('navigation')[0].responseStatus, headings.length,
        headings[0] ? headings[0].innerText.trim() : '', window.hacked === undefined]";

fn picture(browser: &Browser, page: &str, theme: Theme, width: u32) {
    if std::env::var_os("GATEPOST_SCREENSHOTS").is_none() {
        return;
    }
    let name = match page.trim_matches('/') {
        "" => "overview".to_owned(),
        page => page.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"),
    };
    browser.picture(&target("screenshots").join(format!("{name}-{}-{width}.png", theme.name())));
}

#[test]
fn every_page_is_sound_on_both_screens_and_in_both_themes() {
    let console = furnished();
    let browser = &console.browser;
    console.open("/");
    let (_, assets) = browser.weight();
    assert!((1..=ASSET_BYTES_MAX).contains(&assets), "{assets} bytes besides the page");
    let navigation = navigation(&console);
    let mut wrong = Vec::new();
    let visited = visit_all(&console, |page| {
        let mut complain = |what: String| wrong.push(format!("{page}: {what}"));
        let state = browser.run(STATE, json!([]));
        if state[0] != 200 || state[1] != 1 || state[2] == "" || state[3] != true {
            complain(format!("status, headings, heading, no script of others: {state}"));
        }
        let (bytes, _) = browser.weight();
        if bytes > PAGE_BYTES_MAX {
            complain(format!("{bytes} bytes"));
        }
        for secret in ["$argon2", super::PASSWORD] {
            if browser.source().contains(secret) {
                complain(format!("shows {secret}"));
            }
        }
        for barrier in browser.barriers(&axe(), &[]) {
            complain(barrier);
        }
        picture(browser, page, Theme::Light, DESK.width);
        browser.prefer(Theme::Dark);
        for barrier in browser.barriers(&axe(), &["color-contrast"]) {
            complain(format!("in the dark: {barrier}"));
        }
        picture(browser, page, Theme::Dark, DESK.width);
        browser.show_on(PHONE);
        let (pixels, out) = browser.overflow();
        if pixels > 0 {
            complain(format!("{pixels} pixels wider than a phone: {out:#?}"));
        }
        picture(browser, page, Theme::Dark, PHONE.width);
        browser.prefer(Theme::Light);
        picture(browser, page, Theme::Light, PHONE.width);
        browser.show_on(DESK);
        for complaint in browser.complaints() {
            complain(format!("console: {complaint}"));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for page in navigation {
        assert!(visited.contains(&page), "{page} is in the navigation, but not among {visited:?}");
    }
}

#[test]
fn every_page_can_be_read_without_scripts() {
    let console = furnished();
    let browser = &console.browser;
    browser.allow_scripts(false);
    let mut wrong = Vec::new();
    let visited = visit_all(&console, |page| {
        let state = browser.run(STATE, json!([]));
        let text = browser.text("main");
        if state[0] != 200 || state[1] != 1 || text.trim().lines().count() < 2 {
            wrong.push(format!("{page}: {state} {text}"));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(visited.len() >= navigation(&console).len());
}

#[test]
fn who_may_only_look_finds_no_button_that_changes_anything_and_is_refused_without_one() {
    let console = furnished();
    let browser = &console.browser;
    let actions = "return [...document.querySelectorAll('form')].filter(form => form.method === 'post')
        .map(form => new URL(form.action).pathname)";
    let actions_now = || -> BTreeSet<String> {
        let found = browser.run(actions, json!([]));
        found.as_array().into_iter().flatten().filter_map(|action| action.as_str().map(str::to_owned)).collect()
    };
    let mut all = BTreeSet::new();
    visit_all(&console, |_| all.extend(actions_now()));
    console.add_administrator("victor", &["View"]);
    browser.forget_cookies();
    console.sign_in("victor");
    let mut own = BTreeSet::new();
    visit_all(&console, |_| own.extend(actions_now()));
    // What everybody does for themselves.
    let everybodys = ["/theme", "/sign-out"].map(str::to_owned);
    assert_eq!(own, BTreeSet::from(everybodys.clone()));
    console.open("/");
    let (cookie, proof) = (console.cookie(), console.proof());
    let mut let_in = Vec::new();
    for action in all.iter().filter(|action| !everybodys.contains(action)) {
        let answered = request(console.door(), "POST", action, &[("Cookie", &cookie)], &format!("proof={proof}"));
        if answered.status != 403 {
            let_in.push(format!("{action}: {} {}", answered.status, answered.body));
        }
    }
    assert!(let_in.is_empty(), "{}", let_in.join("\n"));
}
