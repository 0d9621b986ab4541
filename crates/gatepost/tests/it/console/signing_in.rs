//! Who comes in, and what the browser keeps of it.

use std::fs;
use std::process::Command;

use gatepost_testkit::browser::Browser;
use gatepost_testkit::installation::text_of;
use serde_json::json;

use super::{Console, PASSWORD, request};
use crate::access::{DOOR, code_of};
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
    let shown = console.site.installation.output(&["admin", "totp", "carol"]);
    let secret = shown.lines().last().expect("the secret").trim().to_owned();
    console.open("/sign-in");
    browser.fill("Name", "carol");
    browser.fill("Password", PASSWORD);
    browser.press("Sign in");
    browser.wait_for("[role=alert]");
    // The field for the code is open now.
    browser.fill("Password", PASSWORD);
    browser.fill("Six digits", &code_of(&secret));
    browser.press("Sign in");
    browser.wait_for("nav.areas");
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
