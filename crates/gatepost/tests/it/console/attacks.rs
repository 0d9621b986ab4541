//! What others try: pages of theirs that use the browser's session, names of theirs that lead to our address, scripts in mail.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::json;

use super::{Console, request};
use crate::site::{CONTOSO, OPEN_TO_TESTS};

/// A web server of somebody else's: every request gets this page.
fn serve(page: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let length = page.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            );
        }
    });
    port
}

#[test]
fn no_page_of_another_site_acts_in_the_session_of_a_visitor() {
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    // The worst case: the other site knows the proof, and is the same site as far as cookies go (another port).
    let proof = console.proof();
    let form = format!(
        "<!doctype html><title>Prize</title><form method=post action='{}'><input name=proof value='{proof}'>\
         <button>Take it</button></form>",
        console.url("/sign-out")
    );
    let port = serve(form);
    for host in ["127.0.0.1", "localhost", "attacker.example"] {
        browser.open(&format!("http://{host}:{port}/"));
        browser.press("Take it");
        browser.wait_for_url("/sign-out");
        assert_eq!(
            browser.run("return performance.getEntriesByType('navigation')[0].responseStatus", json!([])),
            403,
            "{host}"
        );
        console.open("/");
        assert!(browser.has("nav.areas"), "still signed in after {host}");
    }
    // A link, on the other hand, leads to the page, with the session.
    let port = serve(format!("<!doctype html><title>Link</title><a href='{}'>The console</a>", console.url("/")));
    browser.open(&format!("http://attacker.example:{port}/"));
    browser.follow("The console");
    browser.wait_for("nav.areas");

    let cookie = console.cookie();
    let post = |fields: &[(&str, &str)], form: &str| {
        let fields: Vec<_> = fields.iter().copied().chain([("Cookie", cookie.as_str())]).collect();
        request(console.door(), "POST", "/sign-out", &fields, form).status
    };
    let own = console.url("");
    let good = format!("proof={proof}");
    for (what, fields, form, status) in [
        ("another origin", &[("Origin", "http://attacker.example")][..], good.as_str(), 403),
        ("no origin that has a name", &[("Origin", "null")], &good, 403),
        ("a cross-site request", &[("Sec-Fetch-Site", "cross-site")], &good, 403),
        ("no proof", &[("Origin", &own)], "", 403),
        ("a wrong proof", &[("Origin", &own)], "proof=0000", 403),
        ("our own form", &[("Origin", &own), ("Sec-Fetch-Site", "same-origin")], &good, 303),
    ] {
        assert_eq!(post(fields, form), status, "{what}");
    }
}

#[test]
fn a_foreign_name_for_our_address_leads_nowhere() {
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    let port = console.door().port();
    browser.open(&format!("http://attacker.example:{port}/"));
    assert!(!browser.has("nav.areas") && !browser.has("form"), "{}", browser.source());
    let cookie = console.cookie();
    for host in ["attacker.example", "attacker.example:80", "127.0.0.1.attacker.example", "", "[::1", "a b"] {
        let answered = request(console.door(), "GET", "/", &[("Host", host), ("Cookie", &cookie)], "");
        assert!((400..500).contains(&answered.status), "{host:?}: {} {}", answered.status, answered.body);
        assert!(!answered.body.contains("carol"), "{host:?}: {}", answered.body);
    }
    let named = format!("localhost:{port}");
    assert_eq!(request(console.door(), "GET", "/sign-in", &[("Host", &named)], "").status, 200);
}

#[test]
fn every_answer_forbids_what_pages_of_ours_never_do() {
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let cookie = console.cookie();
    for (path, cookie) in
        [("/", &cookie), ("/sign-in", &String::new()), ("/no-such-page", &cookie), ("/", &String::new())]
    {
        let answered = request(console.door(), "GET", path, &[("Cookie", cookie)], "");
        let field = |name: &str| {
            let value = answered.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.unwrap_or_else(|| panic!("{path} has no {name}: {}", answered.head))
        };
        let policy = field("content-security-policy");
        for wanted in
            ["default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(wanted), "{path}: {policy}");
        }
        for forbidden in ["unsafe", "*", "http:", "https:"] {
            assert!(!policy.contains(forbidden), "{path}: {policy}");
        }
        assert_eq!((field("x-content-type-options"), field("x-frame-options")), ("nosniff", "deny"));
        assert_eq!(field("cache-control"), "no-store", "{path}: no page stays on a shared machine");
    }
    // The browser holds to it: what is put into a page does not run.
    let script = "const script = document.createElement('script'); script.textContent = 'document.title = 1'; \
                  document.body.append(script); return document.title";
    let title = console.browser.run(script, json!([]));
    assert_ne!(title, "1");
    assert!(console.browser.complaints().iter().any(|line| line.contains("Content Security Policy")));
}
