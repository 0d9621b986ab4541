//! A large queue after a restart: new messages are taken at once, those of the last run come back on their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gatepost_testkit::port;
use gatepost_testkit::shim::{Action, Rule, call};
use gatepost_testkit::sink::Setup;
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

/// More than one segment of 64 MiB holds, of messages that have no file of their own.
const MESSAGES: usize = 280;
const BODY_BYTES: usize = 250_000;

#[test]
fn messages_are_taken_while_those_of_the_last_run_are_read_and_killing_the_server_then_changes_nothing() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let way_out = to_sink(&format!("[{}]:{}", address.ip(), address.port()));
    let (mut site, shim) = Site::start_watched(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &way_out], 16);
    let body = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc\r\n".repeat(BODY_BYTES / 63);
    let mut expected = Vec::new();
    let mut submit = |site: &Site, subject: String, body: &str| {
        site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message(&subject, body));
        expected.push(subject);
    };
    for i in 0..MESSAGES {
        submit(&site, format!("old {i}"), &body);
    }
    // Behind the header of the oldest segment each megabyte takes its time, half a minute in all.
    let slow = Rule::new(call::READ, "0000000000000001.seg", Action::Delay(Duration::from_millis(500))).after(1);
    for run in 0..3 {
        site = site.restart(|server| {
            server.kill();
            shim.set_rules(std::slice::from_ref(&slow));
        });
        submit(&site, format!("new {run}"), "x");
        let status = site.installation.json(&["status"]);
        assert_eq!(status["recovering"], true, "{status}");
        assert!(status["spool"]["unread_bytes"].as_u64() > Some(0), "{status}");
        let text = site.installation.run(&["status"]).stdout;
        assert!(String::from_utf8_lossy(&text).contains("still to be read"), "{status}");
        // Not "no message waits", and nothing else that is not known yet.
        let text = site.installation.run(&["queue", "list"]).stdout;
        assert!(String::from_utf8_lossy(&text).contains("still being read and may hold more"), "{status}");
        assert_eq!(site.installation.json(&["queue", "list"])["recovering"], true);
        let unknown = site.installation.run(&["queue", "show", "999999"]).stderr;
        assert!(String::from_utf8_lossy(&unknown).contains("still being read"), "{status}");
    }
    shim.set_rules(&[]);
    let sink = Setup::new().at(address).start();
    let mut arrived: Vec<String> =
        sink.wait_for(expected.len()).iter().map(|taken| subject_of(&taken.text())).collect();
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected);
    wait::until("nothing is left", || {
        let status = site.installation.json(&["status"]);
        (status["recovering"] == false && status["spool"]["messages"] == 0).then_some(())
    });
}

fn subject_of(text: &str) -> String {
    let (_, rest) = text.split_once("Subject: ").expect("a subject");
    rest.split("\r\n").next().unwrap_or(rest).to_owned()
}
