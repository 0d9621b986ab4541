//! Alarms: a route that is silently dead is told of, in `status`, in numbers, by mail and by webhook.

use std::net::{Ipv4Addr, SocketAddr};

use gatepost_testkit::{port, wait};
use serde_json::Value;

use crate::listener::HttpListener;
use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

/// HMAC-SHA256 of a body in hexadecimal digits, as Python computes it.
fn hmac(secret: &str, body: &[u8]) -> String {
    let body: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
    let program = format!("import hmac; print(hmac.new(b'{secret}', bytes.fromhex('{body}'), 'sha256').hexdigest())");
    let output = std::process::Command::new("python3").args(["-c", &program]).output().expect("python3 runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_dead_route_is_told_of_once_by_mail_and_webhook_and_stays_known_over_a_restart() {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let webhook = HttpListener::start();
    webhook.refuse(1);
    let alarms = format!(
        "\n[alarms]\nroute_silence = \"00:00:01\"\nmail_interval = \"00:00:01\"\nrecipients = [\"bob@contoso.com\", \"pager@gmail.com\"]\n\
         [[alarms.webhook]]\nurl = \"{}\"\nsecret_file = \"secret\"\n",
        webhook.url("/alarms?token=x")
    );
    let parts =
        [CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(&format!("[{}]:{}", nobody.ip(), nobody.port())), &alarms];
    let site = Site::start_with_files(&parts, &[("secret", "s3cret\n")]);
    site.installation.output(&["status", "--alarms"]);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("lost", "x"));

    // Its retry comes at once; a signature that the receiver can check goes with it.
    let posted = webhook.wait_for("the route", |request| {
        serde_json::from_slice::<Value>(&request.body).is_ok_and(|body| body["alarm"] == "route_silent")
    });
    let body: Value = serde_json::from_slice(&posted.body).expect("JSON");
    assert_eq!(posted.path, "/alarms?token=x");
    assert_eq!(body["object"], "Internet", "{body}");
    assert_eq!((&body["state"], &body["severity"]), (&"raised".into(), &"critical".into()), "{body}");
    assert_eq!(posted.field("x-gatepost-signature"), Some(&*format!("sha256={}", hmac("s3cret", &posted.body))));

    // The route is dead, and the mailbox here hears of it.
    let mail = site.wait_for_mail("bob@contoso.com", 1);
    let subject = mail[0]["headers"]["Subject"].as_str().unwrap_or_default().to_owned();
    assert_eq!(subject, "[gatepost mail.contoso.com] CRITICAL: route_silent", "{mail:?}");

    let raised = site.installation.run(&["status", "--alarms"]);
    assert_eq!(raised.status.code(), Some(6));
    let shown = String::from_utf8_lossy(&raised.stdout).into_owned();
    assert!(
        shown.contains("route_silent") && shown.contains("send connector Internet has delivered nothing"),
        "{shown}"
    );
    let raised = site.installation.run(&["status", "--alarms", "--json"]);
    let only: Value = serde_json::from_slice(&raised.stdout).expect("JSON");
    assert_eq!((raised.status.code(), only.as_object().map(serde_json::Map::len)), (Some(6), Some(1)), "{only}");
    assert_eq!(only["alarms"][0]["name"], "route_silent", "{only}");
    let status = site.installation.json(&["status"]);
    let since = status["alarms"][0]["since_ms"].clone();
    assert_eq!(status["alarms"][0]["name"], "route_silent", "{status}");
    assert!(site.installation.output(&["status"]).contains("route_silent"));

    // After a restart it is still raised since then, and nobody is told again.
    let site = site.restart(|server| {
        server.stop();
    });
    wait::until("it is known again", || {
        (site.installation.json(&["status"])["alarms"][0]["since_ms"] == since).then_some(())
    });
    site.client(HOST_2).submit("<a@x.net>", &["bob@contoso.com"], &message("later", "x"));
    let mail = site.wait_for_mail("bob@contoso.com", 2);
    let subjects: Vec<&str> = mail.iter().filter_map(|mail| mail["headers"]["Subject"].as_str()).collect();
    assert_eq!(
        subjects.iter().filter(|subject| **subject == "later").count(),
        1,
        "one mail for one change: {subjects:?}"
    );
}
