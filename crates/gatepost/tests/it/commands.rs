//! The registry's commands over the real server's socket, by its own client and by curl.

use std::process::Command;

use gatepost_testkit::installation::Installation;
use serde_json::{Value, json};

use crate::site::{CONTOSO, Site};

const RELAY: &str = r#"
[[receive_connector]]
name = "Relay"
bindings = ["127.0.0.2:{smtp}"]
remote_ip_ranges = ["10.0.0.0/24", { range = "192.168.2.55", owner = "it@contoso.com" }]
permission_groups = ["AnonymousUsers"]
max_message_size = "50 MB"
"#;

/// What the server answers to a command, as any program would ask: status, then body.
fn post(installation: &Installation, command: &str, body: &Value) -> (u16, Value) {
    let socket = installation.data_dir().join("gatepost.sock");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--write-out", "\n%{http_code}", "--unix-socket"])
        .arg(socket)
        .args(["--header", "content-type: application/json", "--data", &body.to_string()])
        .arg(format!("http://localhost/api/v1/commands/{command}"))
        .output()
        .expect("curl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).expect("JSON"))
}

#[test]
fn get_receive_connector_answers_records_of_the_settings_in_force() {
    let site = Site::start(&[CONTOSO, RELAY]);
    let (status, answer) =
        post(&site.installation, "Get-ReceiveConnector", &json!({"parameters": {"identity": "relay"}}));
    assert_eq!(status, 200, "{answer}");
    let [relay] = answer["output"].as_array().expect("records").as_slice() else { panic!("{answer}") };
    for (name, expected) in [
        ("@type", json!("ReceiveConnector")),
        ("Name", json!("Relay")),
        ("RemoteIPRanges", json!(["10.0.0.0/24", "192.168.2.55"])),
        ("PermissionGroups", json!(["AnonymousUsers"])),
        ("AuthMechanism", json!(["Tls"])),
        ("MaxMessageSize", json!(52_428_800)),
        ("ConnectionTimeout", json!("00:10:00")),
        ("MessageRateLimit", json!("unlimited")),
        ("Enabled", json!(true)),
    ] {
        assert_eq!(relay[name], expected, "{name}");
    }
    let (status, answer) =
        post(&site.installation, "Get-ReceiveConnector", &json!({"parameters": {"Identity": "Relais"}}));
    assert_eq!(status, 404);
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("did you mean 'Relay'?")), "{answer}");
    let (status, answer) = post(&site.installation, "Get-RecieveConnector", &json!({}));
    assert_eq!(status, 404);
    assert!(
        answer["error"].as_str().is_some_and(|error| error.contains("did you mean Get-ReceiveConnector?")),
        "{answer}"
    );
}
