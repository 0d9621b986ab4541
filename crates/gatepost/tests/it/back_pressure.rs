//! Back pressure: mail is refused before a resource is used up, and accepted again by itself.

use std::net::{Ipv4Addr, SocketAddr};

use gatepost_testkit::client::Client;
use gatepost_testkit::installation::{Installation, text_of};
use gatepost_testkit::{port, wait};
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, HOST_3, HOST_4, OPEN_TO_TESTS, Site, message, to_sink};

/// Strangers from 127.0.0.3, and whoever logs on.
const STRANGERS: &str = r#"
[[receive_connector]]
name = "Strangers"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.3"]
auth_mechanism = ["Tls", "BasicAuth"]
permission_groups = ["AnonymousUsers", "ExchangeUsers"]
"#;

const OTHERS: &str = r#"
[[receive_connector]]
name = "Tests"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.2"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
"#;

/// The resource of this name in `status`.
pub fn resource(installation: &Installation, name: &str) -> Value {
    let status = installation.json(&["status"]);
    let resources = status["back_pressure"].as_array().cloned().unwrap_or_default();
    resources.into_iter().find(|resource| resource["resource"] == name).unwrap_or_default()
}

/// Waits until a resource has this level.
#[track_caller]
pub fn wait_for_level(installation: &Installation, name: &str, level: &str) {
    wait::until(&format!("{name} is {level}"), || (resource(installation, name)["level"] == level).then_some(()));
}

/// Nobody without a password from 127.0.0.4.
const CLOSED: &str = r#"
[[receive_connector]]
name = "Closed"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.4"]
permission_groups = ["ExchangeUsers"]
"#;

/// What MAIL is answered with.
fn mail(client: &mut Client, sender: &str) -> String {
    let reply = client.command(&format!("MAIL FROM:<{sender}>")).to_string();
    client.command("RSET");
    reply
}

#[test]
fn a_queue_that_is_too_long_for_its_setting_stops_mail_until_it_is_shorter() {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let limited = "\n[back_pressure]\nqueue_length = [4, 4, 4, 3]\n";
    let site =
        Site::start(&[CONTOSO, limited, OPEN_TO_TESTS, &to_sink(&format!("[{}]:{}", nobody.ip(), nobody.port()))]);
    let mut begun = site.client(HOST_2);
    for command in ["MAIL FROM:<a@x.net>", "RCPT TO:<z@gmail.com>"] {
        assert_eq!(begun.command(command).code(), 250);
    }
    let mut client = site.client(HOST_2);
    let mut ids = Vec::new();
    for i in 0..5 {
        ids.push(client.submit("<a@x.net>", &["z@gmail.com"], &message(&format!("queued {i}"), "x")).queue_id());
    }
    wait_for_level(&site.installation, "QueueLength", "high");
    let refused = client.command("MAIL FROM:<a@x.net>").to_string();
    assert!(refused.starts_with("452 4.3.1 Insufficient system resources"), "{refused}");
    let decision = client.decision_id().expect("the reply ends with an id").to_owned();
    let explained = text_of(&site.installation.run(&["explain", &decision]));
    assert!(explained.contains("the level of QueueLength is too high"), "{explained}");
    let shown = site.installation.output(&["status"]);
    assert!(shown.contains("QueueLength is High at 5 until it is below 4: all mail is refused"), "{shown}");
    site.server.wait_for_log("pressure", |line| {
        line["resource"] == "QueueLength" && line["to"] == "High" && line["event_id"] == 15004
    });
    // What had begun ends well.
    begun.send("DATA\r\n");
    assert_eq!(begun.reply().code(), 354);
    begun.send("Subject: begun before\r\n\r\nx\r\n.\r\n");
    let begun = begun.reply();
    assert_eq!(begun.code(), 250);

    for id in ids {
        site.installation.output(&["queue", "remove", &id, "--no-report"]);
    }
    wait_for_level(&site.installation, "QueueLength", "normal");
    assert_eq!(&mail(&mut client, "a@x.net")[..3], "250");
    site.server.wait_for_log("no pressure", |line| {
        line["resource"] == "QueueLength" && line["to"] == "Normal" && line["event_id"] == 15005
    });
}

#[test]
fn at_medium_strangers_wait_and_those_we_know_do_not() {
    // More than one percent of every disk is used: with one percent taken for 1 TB, every disk is small.
    let narrow = "\n[back_pressure]\ndisk_headroom = \"1 TB\"\nused_disk_space = [1, 100, 100, 1]\n";
    let site = Site::start(&[CONTOSO, narrow, STRANGERS, OTHERS, CLOSED]);
    wait_for_level(&site.installation, "UsedDiskSpace[spool]", "medium");
    assert_eq!(&mail(&mut site.client(HOST_2), "a@contoso.com")[..3], "250", "a server that we know");
    let mut stranger = site.client(HOST_3);
    let refused = mail(&mut stranger, "a@x.net");
    assert!(refused.starts_with("452 4.3.1 Insufficient system resources"), "{refused}");
    // Whoever may not send at all hears that, and not to come again.
    let denied = mail(&mut site.client(HOST_4), "a@x.net");
    assert!(denied.starts_with("530 5.7.1"), "{denied}");
    let mut user = site.client(HOST_3);
    assert_eq!(user.command("AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=").code(), 235);
    assert_eq!(&mail(&mut user, "alice@contoso.com")[..3], "250", "a user");

    site.write_settings(&[CONTOSO, STRANGERS, OTHERS, CLOSED]);
    site.installation.output(&["reload"]);
    wait_for_level(&site.installation, "UsedDiskSpace[spool]", "normal");
    assert_eq!(&mail(&mut stranger, "a@x.net")[..3], "250");
}
