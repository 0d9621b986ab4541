//! Alarms: a route that is silently dead is told of, in `status`, in numbers, by mail and by webhook.

use std::net::{Ipv4Addr, SocketAddr};

use gatepost_testkit::authority::{Authority, Kind};
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

#[test]
fn what_ends_soon_waits_for_long_or_runs_short_is_told_by_an_alarm_of_its_own() {
    let nobody = port::free();
    let soon = jiff::Timestamp::now().as_second() + 10 * 86_400;
    let soon = jiff::Timestamp::from_second(soon).expect("a time");
    let range = format!("{{ range = \"127.0.0.1-127.0.0.4\", expires = \"{soon}\" }}");
    let expiring = OPEN_TO_TESTS.replace("\"127.0.0.1-127.0.0.4\"", &range);
    assert_ne!(expiring, OPEN_TO_TESTS);
    let over = Authority::new("Contoso CA").issue(&["relay.contoso.com"], Kind::Expired);
    let settings = "[[certificate]]\ncertificate = \"relay.pem\"\nprivate_key = \"relay-key.pem\"\n\
                    [back_pressure]\nqueue_length = [1, 1, 1, 1]\n\
                    [alarms]\noldest_message = \"00:00:01\"\nused_disk_space = 1\n";
    let parts = [CONTOSO, QUICK_RETRY, &expiring, &to_sink(&format!("[127.0.0.1]:{nobody}")), settings];
    let files = [("relay.pem", &*over.certificate_pem), ("relay-key.pem", &*over.key_pem)];
    let site = Site::start_with_files(&parts, &files);
    let mut client = site.client(HOST_2);
    for number in 0..2 {
        client.submit("<a@x.net>", &["z@gmail.com"], &message(&format!("waits {number}"), "x"));
    }
    let expected = ["back_pressure", "certificate_expires", "disk_nearly_full", "entry_expires", "old_message"];
    let raised = || {
        let status = site.installation.json(&["status"]);
        let mut names: Vec<String> =
            status["alarms"].as_array()?.iter().filter_map(|alarm| alarm["name"].as_str()).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        Some(names)
    };
    let all = wait::within(wait::PATIENCE, || raised().filter(|names| names == &expected));
    assert!(all.is_some(), "{:?}; {}", raised(), site.installation.json(&["status"])["alarms"]);
}
