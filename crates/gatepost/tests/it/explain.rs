//! `gatepost explain`: what a person on the helpdesk reads about a refusal.

use gatepost_testkit::installation::{Installation, text_of};
use serde_json::Value;

use crate::audit::is_golden;
use crate::site::PROGRAM;

const SETTINGS: &str = include_str!("goldens/audit-option-2.toml");

#[test]
fn a_refusal_is_explained_with_the_smallest_change() {
    let installation = Installation::new(PROGRAM, SETTINGS);
    let (app, out) = ("app@gmail.com", "z@example.com");
    for (name, code, arguments) in [
        ("explain-unable-to-relay", 1, &["--from", "192.168.3.8", "--local", "10.0.0.1:25", "--sender", app][..]),
        ("explain-public", 1, &["--from", "8.8.8.8", "--local", "10.0.0.1:25", "--sender", app]),
        ("explain-gate", 0, &["--from", "192.168.3.7", "--local", "10.0.0.1:25", "--sender", app, "--size", "5MB"]),
        (
            "explain-user",
            1,
            &[
                "--from",
                "10.0.0.9",
                "--local",
                "10.0.0.1:587",
                "--user",
                "bob",
                "--tls",
                "--sender",
                "alice@contoso.com",
            ],
        ),
    ] {
        let explain = [&["explain", "--recipient", out], arguments].concat();
        let explained = installation.run(&explain);
        assert_eq!(explained.status.code(), Some(code), "{}", text_of(&explained));
        is_golden(&installation, &format!("{name}.txt"), &text_of(&explained));

        let explained = installation.run(&[&explain[..], &["--json"]].concat());
        assert_eq!(explained.status.code(), Some(code));
        let report: Value = serde_json::from_slice(&explained.stdout).expect("JSON");
        assert_eq!(report["accepted"], code == 0, "{report}");
        if name == "explain-unable-to-relay" {
            is_golden(&installation, &format!("{name}.json"), &String::from_utf8_lossy(&explained.stdout));
        }
    }
}

#[test]
fn a_question_that_cannot_be_asked_says_what_is_wrong() {
    let installation = Installation::new(PROGRAM, SETTINGS);
    for (arguments, expected) in [
        (
            &["--from", "10.0.0.9", "--sender", "<>", "--recipient", "a@b.net"][..],
            "by --local: 0.0.0.0:25, 0.0.0.0:587",
        ),
        (
            &["--from", "10.0.0.9", "--local", "10.0.0.1:25", "--sender", "no address", "--recipient", "a@b.net"],
            "`no address` is no mail address",
        ),
        (
            &[
                "--from",
                "10.0.0.9",
                "--local",
                "10.0.0.1:25",
                "--sender",
                "",
                "--recipient",
                "a@b.net",
                "--size",
                "big",
            ],
            "`big` is no size",
        ),
    ] {
        let explained = installation.run(&[&["explain"], arguments].concat());
        assert_eq!(explained.status.code(), Some(1));
        assert!(text_of(&explained).contains(expected), "{}", text_of(&explained));
    }
}
