//! `gatepost audit` and `gatepost check --against`: what an administrator and a security officer read.

use std::path::Path;

use gatepost_testkit::installation::{Installation, text_of};
use serde_json::Value;

use crate::site::PROGRAM;

const OPTION_1: &str = include_str!("goldens/audit-option-1.toml");
const OPTION_2: &str = include_str!("goldens/audit-option-2.toml");
const OPEN_RELAY: &str = include_str!("goldens/audit-open-relay.toml");

/// Compares what was printed with the golden file of that name.
pub fn is_golden(installation: &Installation, name: &str, printed: &str) {
    let text = printed.replace(&format!("{}/", installation.folder().display()), "");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/goldens").join(name);
    if std::env::var_os("GATEPOST_BLESS").is_some() {
        std::fs::write(&golden, &text).expect("write the golden file");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file; GATEPOST_BLESS=1 makes it");
    assert_eq!(text, expected, "{name}: GATEPOST_BLESS=1 accepts the new text");
}

#[test]
fn an_audit_tells_who_may_do_what_from_where() {
    for (name, settings, code) in
        [("audit-option-1", OPTION_1, 0), ("audit-option-2", OPTION_2, 0), ("audit-open-relay", OPEN_RELAY, 0)]
    {
        let installation = Installation::new(PROGRAM, settings);
        let audited = installation.run(&["audit"]);
        assert_eq!(audited.status.code(), Some(code), "{}", text_of(&audited));
        is_golden(&installation, &format!("{name}.txt"), &text_of(&audited));

        let audited = installation.run(&["audit", "--json"]);
        assert_eq!(audited.status.code(), Some(code));
        is_golden(&installation, &format!("{name}.json"), &String::from_utf8_lossy(&audited.stdout));
        let report: Value = serde_json::from_slice(&audited.stdout).expect("JSON");
        for key in ["file", "assumption", "exposures", "findings"] {
            assert!(!report[key].is_null(), "{name}: {key}");
        }
    }
}

#[test]
fn an_audit_of_faulty_settings_shows_their_problems() {
    let installation = Installation::new(PROGRAM, "[[receive_connector]]\nname = \"R\"\n");
    let audited = installation.run(&["audit"]);
    assert_eq!(audited.status.code(), Some(3), "{}", text_of(&audited));
    assert!(text_of(&audited).contains("bindings"), "{}", text_of(&audited));
}

#[test]
fn the_settings_of_the_first_start_have_no_critical_finding() {
    let installation = Installation::new(PROGRAM, &first_settings());
    let audited = installation.run(&["audit"]);
    assert!(audited.status.success(), "{}", text_of(&audited));
    assert!(text_of(&audited).contains("127.0.0.0/8"), "{}", text_of(&audited));
}

fn first_settings() -> String {
    gatepost_policy::Settings::default_document("mail.contoso.com", true)
}

#[test]
fn a_check_against_another_file_tells_who_gains_and_who_loses() {
    let installation = Installation::new(PROGRAM, OPTION_2);
    std::fs::write(installation.folder().join("before.toml"), OPTION_1).expect("write the other settings");
    let checked = installation.run(&["check", "--against", "before.toml"]);
    assert!(checked.status.success(), "{}", text_of(&checked));
    is_golden(&installation, "check-against.txt", &text_of(&checked));

    let checked = installation.run(&["check", "--against", "before.toml", "--json"]);
    let report: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let changes = report["changes"].as_array().unwrap_or_else(|| panic!("a list of changes in {report}"));
    let gate = changes.iter().find(|change| change["sources"][0]["first"] == "192.168.3.7");
    let gate = gate.unwrap_or_else(|| panic!("the new gate in {report}"));
    assert_eq!(gate["gained"], serde_json::json!(["ms-Exch-SMTP-Accept-Any-Recipient"]), "{report}");
    assert_eq!((&gate["whom"], &gate["lost"]), (&"unauthenticated".into(), &serde_json::json!([])), "{report}");

    let itself = installation.run(&["check", "--against", "gatepost.toml"]);
    assert!(text_of(&itself).contains("no address gains or loses a right"), "{}", text_of(&itself));
}
