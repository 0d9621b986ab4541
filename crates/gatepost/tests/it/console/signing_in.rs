//! Who comes in, and what the browser keeps of it.

use std::fs;
use std::process::Command;

use gatepost_testkit::browser::Browser;
use gatepost_testkit::installation::text_of;
use gatepost_testkit::wait;
use gatepost_testkit::wall_clock::WallClock;
use serde_json::json;

use super::{Console, PASSWORD, request};
use crate::access::{DOOR, ask_for_codes, code_of};
use crate::site::{CONTOSO, OPEN_TO_TESTS, Site};

#[test]
fn whoever_is_not_signed_in_signs_in_first_and_comes_to_the_page_they_wanted() {
    let console = Console::start(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    console.open("/?shown=1");
    browser.wait_for_url("/sign-in");
    browser.fill("Name", "carol");
    browser.fill("Password", "wrong password");
    browser.press("Sign in");
    browser.wait_for("[role=alert]");
    assert_eq!(browser.value("Name"), "carol", "what was typed is kept");
    assert_eq!(browser.value("Password"), "", "but no secret");
    // The status of the refusal, 401, is what the console tells.
    assert!(browser.complaints().iter().all(|line| line.contains("401")), "nothing else is wrong");
    browser.fill("Password", PASSWORD);
    browser.press("Sign in");
    browser.wait_for("nav.areas");
    assert!(browser.url().ends_with("/?shown=1"), "{}", browser.url());
    console.expect_no_complaints();

    let cookies = browser.cookies();
    let session = cookies.iter().find(|cookie| cookie["name"] == "gatepost").expect("a session");
    assert_eq!((&session["httpOnly"], &session["sameSite"]), (&json!(true), &json!("Strict")), "{session}");
    assert!(session.get("expiry").is_none(), "it ends with the browser: {session}");
    let taken = console.cookie();
    let shown = |cookie: &str| request(console.door(), "GET", "/", &[("Cookie", cookie)], "").status;
    assert_eq!(shown(&taken), 200);
    browser.press("Sign out");
    browser.wait_for_url("/sign-in");
    assert!(browser.cookies().iter().all(|cookie| cookie["name"] != "gatepost"), "the browser has forgotten it");
    assert_eq!(shown(&taken), 303, "and so has the server, whoever else has it");
    browser.back();
    console.open("/");
    browser.wait_for_url("/sign-in");
}

#[test]
fn with_an_authenticator_app_the_password_alone_opens_nothing() {
    let console = Console::start(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    let secret = ask_for_codes(&console.site, "carol");
    console.open("/sign-in");
    browser.fill("Name", "carol");
    browser.fill("Password", PASSWORD);
    browser.press("Sign in");
    browser.wait_for("[role=alert]");
    // The field for the code is open now.
    browser.fill("Password", PASSWORD);
    browser.fill("Six digits", &code_of(&secret, 1));
    browser.press("Sign in");
    browser.wait_for("nav.areas");
}

#[test]
fn a_page_that_lies_open_keeps_nobody_signed_in() {
    const MINUTE_S: i64 = 60;
    let mut hung_up = None;
    let site = Site::start_prepared(&[CONTOSO, OPEN_TO_TESTS, DOOR], |installation| {
        let clock = WallClock::right(installation.folder());
        installation.hang_up_clock(&clock);
        hung_up = Some(clock);
    });
    let clock = hung_up.expect("it was just hung up");
    let console = Console { browser: Browser::borrow(), site };
    let browser = &console.browser;
    console.add_administrator("carol", &["TransportAdmin", "SecurityOfficer"]);
    console.sign_in("carol");
    console.open("/queues?shown=1");
    // As the page does when it hears of something.
    let hear = || {
        let script = "const part = document.querySelector('[data-live]'); window.heard = 0;
            part.addEventListener('htmx:afterRequest', event => { window.heard = event.detail.xhr.status; });
            window.htmx.trigger(part, 'live');";
        browser.run(script, json!([]));
    };
    clock.set(20 * MINUTE_S);
    hear();
    wait::until("the part has come", || (browser.run("return window.heard", json!([])) == 200).then_some(()));
    clock.set(31 * MINUTE_S);
    hear();
    browser.wait_for_url("/sign-in");
    assert!(browser.url().ends_with("then=%2Fqueues%3Fshown%3D1"), "{}", browser.url());
    // Whoever does something stays.
    console.sign_in("carol");
    clock.set(51 * MINUTE_S);
    console.open("/queues");
    clock.set(71 * MINUTE_S);
    console.open("/queues");
    browser.wait_for("nav.areas");
}

/// Types into a field of the form with this button: several forms ask for the current password.
fn fill_beside(browser: &Browser, button: &str, field: &str, text: &str) {
    let script = "const [button, field, text] = arguments;
        document.querySelector(`form:has(button[value='${button}']) [name='${field}']`).value = text;";
    browser.run(script, json!([button, field, text]));
}

/// Presses a button, and waits until the page that it leads to has this: the page before may have it, too.
fn press_and_wait_for(browser: &Browser, button: &str, css: &str) {
    browser.run("document.documentElement.dataset.stale = ''", json!([]));
    browser.press(button);
    browser.wait_for(&format!("html:not([data-stale]) {css}"));
}

#[test]
fn codes_are_in_force_when_the_app_has_shown_one_and_no_press_of_a_button_locks_anybody_out() {
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    console.open("/account");
    assert!(browser.page_text().contains("Off: the password alone is enough."));
    let make = || {
        console.open("/account");
        fill_beside(browser, "totp-new", "current", PASSWORD);
        press_and_wait_for(browser, "Make a secret for an app", "input[name=uri]");
        let uri = browser.attribute("input[name=uri]", "value").expect("an address");
        let secret = uri.split_once("secret=").and_then(|(_, rest)| rest.split('&').next()).expect("a secret");
        secret.to_owned()
    };
    let first = make();
    assert!(browser.has("svg.qr") && browser.page_text().contains("Nothing has changed yet."));
    // For typing by hand it stands in groups.
    let typed = browser.text("dl.facts code").replace(' ', "");
    assert_eq!(typed, first);
    let second = make();
    assert_ne!(first, second, "another is made");
    for wrong in ["000000", &code_of(&first, 0)] {
        browser.fill("Code that the app shows now", wrong);
        press_and_wait_for(browser, "Ask for codes from now on", "[role=alert]");
        browser.wait_for("svg.qr");
    }
    let before = console.cookie();
    browser.fill("Code that the app shows now", &code_of(&second, 0));
    browser.press("Ask for codes from now on");
    browser.wait_for_text("Codes are asked for from now on.");
    assert!(browser.page_text().contains("On since ") && !browser.source().contains(&second));
    let shown = |cookie: &str| request(console.door(), "GET", "/", &[("Cookie", cookie)], "").status;
    assert_eq!((shown(&before), shown(&console.cookie())), (303, 200), "the session goes on under another secret");
    // Off again only by password and code.
    fill_beside(browser, "totp-off", "current", PASSWORD);
    fill_beside(browser, "totp-off", "code", "000000");
    browser.press_and_confirm("Ask for none");
    browser.wait_for_text("The current password or the code is wrong");
    assert!(browser.page_text().contains("Each code is good once"), "{}", browser.page_text());
    fill_beside(browser, "totp-off", "current", PASSWORD);
    fill_beside(browser, "totp-off", "code", &code_of(&second, 1));
    browser.press_and_confirm("Ask for none");
    browser.wait_for_text("Codes are no longer asked for.");
}

#[test]
fn whoever_changes_their_password_stays_here_and_is_signed_out_everywhere_else() {
    const ANOTHER: &str = "staple battery horse";
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    let form = format!("name=carol&password={}", PASSWORD.replace(' ', "+"));
    let elsewhere = request(console.door(), "POST", "/sign-in", &[], &form);
    let elsewhere =
        elsewhere.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a session").to_owned();
    let shown = |cookie: &str| request(console.door(), "GET", "/", &[("Cookie", cookie)], "").status;
    let before = console.cookie();
    assert_eq!((shown(&elsewhere), shown(&before)), (200, 200));
    console.open("/account");
    fill_beside(browser, "password", "current", PASSWORD);
    browser.fill("New password", ANOTHER);
    browser.fill("Again", ANOTHER);
    browser.press("Change");
    browser.wait_for_text("The password was changed. All your other sessions have ended.");
    assert!(browser.url().contains("/account"), "{}", browser.url());
    assert_eq!((shown(&elsewhere), shown(&before), shown(&console.cookie())), (303, 303, 200));
    browser.press("Sign out");
    browser.wait_for_url("/sign-in");
}

#[test]
fn a_user_gets_no_weak_password_unless_somebody_allows_it() {
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    console.open("/users/new");
    browser.fill("User name", "scanner3");
    browser.fill("Password", "abc");
    browser.press("Make the user");
    browser.wait_for("#f-Password[aria-invalid=true]");
    assert!(browser.text(".error").contains("at least 12 characters"), "{}", browser.page_text());
    // What was typed is carried on, and need not be typed again.
    browser.tick("Allow a weak password");
    browser.press("Make the user");
    browser.wait_for_text("The user was made.");
    assert!(browser.text(".notice.warn").starts_with("The password of the user \"scanner3\" is easy to guess"));
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|line| line.contains("400")), "but that it was refused: {complaints:?}");
}

#[test]
fn the_first_visit_needs_the_one_time_token_and_makes_the_first_administrator() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR]);
    let console = Console { browser: Browser::borrow(), site };
    let browser = &console.browser;
    let file = console.site.installation.data_dir().join("one-time-token");
    console.site.server.wait_for_log("where the token is", |line| line["file"].as_str() == file.to_str());
    let token = fs::read_to_string(&file).expect("the token").trim().to_owned();
    console.open("/");
    browser.follow("Begin with the one-time token");
    let fill = |token: &str, again: &str| {
        browser.fill("One-time token", token);
        browser.fill("Name", "carol");
        browser.fill("Password", PASSWORD);
        browser.fill("Password again", again);
        browser.press("Make me the administrator");
    };
    fill("gpo_0000", PASSWORD);
    browser.wait_for("[role=alert]");
    fill(&token, "another password");
    browser.wait_for_text("differ");
    fill(&token, PASSWORD);
    browser.wait_for("nav.areas");
    assert!(!file.exists(), "it is good once");
    browser.press("Sign out");
    browser.wait_for_url("/sign-in");
    console.sign_in("carol");
}

#[test]
fn by_tls_the_session_is_kept_for_this_host_and_tls_alone() {
    const DOOR_WITH_TLS: &str = "\n[management]\nlisten = [\"0.0.0.0:{tls}\"]\n";
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, DOOR_WITH_TLS]);
    let add = ["admin", "add", "carol", "--role", "View", "--password-stdin"];
    site.installation.run_with_input(&add, &format!("{PASSWORD}\n"));
    let port = site.port("tls").port();
    let curl = Command::new("curl")
        .args(["-sS", "-i", "--max-time", "60", "--cacert"])
        .arg(site.installation.data_dir().join("tls/self-signed.pem"))
        .args(["--connect-to", &format!("mail.contoso.com:{port}:127.0.0.1:{port}")])
        .args(["--data-urlencode", "name=carol", "--data-urlencode", &format!("password={PASSWORD}")])
        .arg(format!("https://mail.contoso.com:{port}/sign-in"))
        .output()
        .expect("run curl");
    let answered = text_of(&curl);
    let kept = answered
        .lines()
        .find(|line| line.to_lowercase().starts_with("set-cookie: "))
        .unwrap_or_else(|| panic!("{answered}"));
    assert!(kept.contains("__Host-gatepost="), "{kept}");
    for flag in ["; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(kept.contains(flag), "{flag}: {kept}");
    }
}
