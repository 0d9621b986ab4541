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

/// A relay for one host; `keys` are those of the entry that makes it one.
fn relay(keys: &str) -> String {
    format!(
        "[server]\nname = \"mail.contoso.com\"\ndata_dir = \"data\"\n[[accepted_domain]]\nname = \"contoso.com\"\n\
         [[send_connector]]\nname = \"Internet\"\naddress_spaces = [\"SMTP:*;1\"]\n\
         [[receive_connector]]\nname = \"Scanner\"\nbindings = [\"0.0.0.0:25\"]\nremote_ip_ranges = [\"192.168.3.7\"]\n\
         permission_groups = \"AnonymousUsers\"\n  [[receive_connector.permission]]\n  \
         user = 'NT AUTHORITY\\ANONYMOUS LOGON'\n  extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n{keys}"
    )
}

#[test]
fn the_terms_of_a_right_are_told_beside_it_and_so_are_other_terms() {
    let bound = "  senders = [\"scanner@contoso.com\"]\n  recipients = [\"*@partner.example\"]\n  expires = 2100-01-01T00:00:00Z\n";
    let installation = Installation::new(PROGRAM, &relay(bound));
    let terms = "only from scanner@contoso.com to *@partner.example";
    let audited = text_of(&installation.run(&["audit"]));
    assert!(audited.contains(&format!("; relaying {terms}, until 2100-01-01T00:00:00Z  ")), "{audited}");
    let report = installation.json(&["audit"]);
    let limited = &report["exposures"][0]["may"]["limited"];
    assert_eq!(limited[0]["rights"], serde_json::json!(["ms-Exch-SMTP-Accept-Any-Recipient"]), "{report}");
    assert_eq!(limited[0]["terms"], format!("{terms}, until 2100-01-01T00:00:00Z"), "{report}");

    // Bound or let loose: nobody gains or loses the right, and it is told.
    let against = |before: &str| {
        std::fs::write(installation.folder().join("before.toml"), before).expect("write the other settings");
        text_of(&installation.run(&["check", "--against", "before.toml"]))
    };
    let unbound = "  expires = 2100-01-01T00:00:00Z\n";
    let narrowed = against(&relay(unbound));
    let told = format!("ms-Exch-SMTP-Accept-Any-Recipient {terms}; before that always");
    assert!(narrowed.contains("holds") && narrowed.contains(&told), "{narrowed}");
    let itself = against(&relay(bound));
    assert!(itself.contains("no address gains or loses a right"), "{itself}");
}
