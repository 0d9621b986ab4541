//! What others try: pages of theirs that use the browser's session, names of theirs that lead to our address, scripts in mail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use super::pages::{HOSTILE, furnished, visit_all};
use super::{Console, request};
use crate::site::{CONTOSO, OPEN_TO_TESTS};

/// A web server of somebody else's: every request gets this page.
fn serve(page: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let answer = move |mut stream: TcpStream, page: &str| {
        let length = page.len();
        let _ = stream.read(&mut [0; 4096]);
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
        );
    };
    std::thread::spawn(move || {
        // Browsers open connections that they never use: none may hold up another.
        for stream in listener.incoming().flatten() {
            let page = page.clone();
            std::thread::spawn(move || answer(stream, &page));
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

/// What somebody sends who has looked at our forms and fills in what no form would.
const ODD_VALUES: [&str; 6] =
    [HOSTILE, "", "-1", "99999999999999999999", "../../etc/passwd\0", "\u{202e}\r\nSet-Cookie: a=b"];

#[test]
fn nothing_that_is_sent_breaks_a_page_or_becomes_a_part_of_it() {
    let console = furnished();
    let forms = "return [...document.forms].map(form => [form.getAttribute('method') || 'get',
        // A field may be called `action`, and then `form.action` is that field.
        new URL(form.getAttribute('action') || '', location.href).pathname,
        [...new FormData(form).keys(), ...[...form.elements].map(field => field.name)].filter(name => name)])";
    let mut all = BTreeMap::<(String, String), BTreeSet<String>>::new();
    let visited = visit_all(&console, |_| {
        let found = console.browser.run(forms, json!([]));
        for form in found.as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let names = form[2].as_array().into_iter().flatten().map(text);
            all.entry((text(&form[0]), text(&form[1]))).or_default().extend(names);
        }
    });
    for page in visited {
        let (path, query) = page.split_once('?').unwrap_or((&page, ""));
        let names = query.split('&').filter_map(|field| Some(field.split_once('=')?.0.to_owned()));
        let paging = ["page", "sort", "filter", "done", "seal"].map(str::to_owned);
        all.entry(("get".to_owned(), path.to_owned())).or_default().extend(names.chain(paging));
    }
    let (cookie, proof) = (console.cookie(), console.proof());
    let mut wrong = Vec::new();
    for ((method, path), names) in all.iter().filter(|((_, path), _)| path != "/sign-out") {
        for value in ODD_VALUES {
            let encoded = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
            let fields: Vec<String> = names
                .iter()
                .filter(|name| *name != "proof")
                .map(|name| format!("{}={}", encoded(name), encoded(value)))
                .collect();
            let fields = fields.join("&");
            let answered = match method.as_str() {
                "post" => {
                    request(console.door(), "POST", path, &[("Cookie", &cookie)], &format!("proof={proof}&{fields}"))
                }
                _ => request(console.door(), "GET", &format!("{path}?{fields}"), &[("Cookie", &cookie)], ""),
            };
            let is_ours = answered.status < 500 && !answered.body.contains(HOSTILE) && !answered.head.contains("a=b");
            if !is_ours {
                wrong.push(format!("{method} {path} {value:?}: {} {}", answered.status, answered.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let strange = |method: &str, path: &str| request(console.door(), method, path, &[("Cookie", &cookie)], "").status;
    assert_eq!(
        (strange("GET", "/%ff"), strange("PUT", "/"), strange("GET", "/assets/0/../../etc/passwd")),
        (404, 405, 404)
    );
    let large = "x".repeat(1 << 20);
    let answered =
        request(console.door(), "POST", "/theme", &[("Cookie", &cookie)], &format!("proof={proof}&theme={large}"));
    assert_eq!(answered.status, 413, "{}", answered.body);
}

#[test]
fn whoever_guesses_passwords_at_the_form_waits_longer_and_longer() {
    let console = Console::start(&[CONTOSO, OPEN_TO_TESTS]);
    let guess = || request(console.door(), "POST", "/sign-in", &[], "name=carol&password=guess");
    let guesses: Vec<_> = (0..10).map(|_| guess()).collect();
    let statuses: Vec<u16> = guesses.iter().map(|answered| answered.status).collect();
    assert!(statuses.starts_with(&[401; 3]) && statuses.ends_with(&[429]), "{statuses:?}");
    assert!(guesses.iter().all(|answered| !answered.head.contains("set-cookie")), "no session begins");
    assert!(guesses[9].body.contains("role=\"alert\""), "the page says it: {}", guesses[9].body);
}

#[test]
fn what_came_from_outside_is_shown_as_the_text_that_it_is() {
    let console = furnished();
    let browser = &console.browser;
    let queue = console.site.installation.json(&["queue", "list"]);
    let waiting = queue["messages"][0]["id"].as_u64().unwrap_or_else(|| panic!("a message waits: {queue}"));
    for page in ["/refusals", "/queues/messages", &format!("/queues/messages/{waiting}"), &format!("/trace/{waiting}")]
    {
        console.open(page);
        // Of a name that is as long the page may show the beginning.
        browser.wait_for_text(&HOSTILE[..24]);
        assert_eq!(browser.run("return window.hacked === undefined", json!([])), true, "{page}");
        assert!(!browser.has("main script, main img"), "{page}: {}", browser.source());
    }
    console.expect_no_complaints();
}
