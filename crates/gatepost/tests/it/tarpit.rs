//! Replies that are held back: whose, for how long, and what ends the wait.

use std::time::{Duration, Instant};

use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, HOST_3, Site};

const ONE_SECOND: Duration = Duration::from_secs(1);

/// Shorter than the time that a peer may be silent.
const TARPIT: &str = r#"
[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls", "BasicAuth"]
permission_groups = ["AnonymousUsers", "ExchangeUsers"]
protocol_logging_level = "Verbose"
tarpit_interval = "00:00:01"
auth_tarpit_interval = "00:00:02"

[[receive_connector]]
name = "Relay"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.3"]
auth_mechanism = ["ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
tarpit_interval = "00:10:00"
"#;

/// So long that no test would end if anybody waited for it.
fn endless(connector: &str) -> String {
    connector.replace("\"00:00:01\"", "\"00:10:00\"").replace("\"00:00:02\"", "\"00:10:00\"")
}

#[test]
fn only_negative_replies_to_nobody_and_failed_logons_are_late() {
    let site = Site::start(&[CONTOSO, TARPIT]);
    let mut client = site.client(HOST_2);
    let mut timed = |command: &str, code: u16| {
        let start = Instant::now();
        assert_eq!(client.command(command).code(), code, "{command}");
        start.elapsed()
    };
    timed("MAIL FROM:<a@x.net>", 250);
    assert!(timed("RCPT TO:<z@gmail.com>", 550) >= ONE_SECOND);
    assert!(timed("NONSENSE", 500) >= ONE_SECOND);
    timed("RSET", 250);
    assert!(timed("AUTH PLAIN AGFsaWNlAHdyb25n", 535) >= 2 * ONE_SECOND);

    let transcripts = site.installation.data_dir().join("logs").join("protocol");
    let text = wait::until("the transcript", || {
        let files = std::fs::read_dir(&transcripts).ok()?.flatten();
        let text: String = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
        text.contains("535 5.7.3").then_some(text)
    });
    let rows: Vec<&str> =
        text.lines().filter_map(|row| row.split_once("127.0.0.2:")?.1.split_once(',')).map(|row| row.1).collect();
    let at = |row: &str| {
        rows.iter().position(|other| other.starts_with(row)).unwrap_or_else(|| panic!("no {row} in {text}"))
    };
    assert_eq!(at("*,Tarpit for '0.00:00:01',") + 1, at(">,550 5.7.1 Unable to relay"), "{text}");
    assert_eq!(at("*,Tarpit for '0.00:00:02',") + 1, at(">,535 5.7.3 Authentication unsuccessful"), "{text}");
    // A row has the time at which it was said. Times of one form sort as text.
    let time_of = |words: &str| text.lines().find(|row| row.contains(words)).and_then(|row| row.split(',').next());
    assert!(time_of("Tarpit for '0.00:00:01',") < time_of("550 5.7.1 Unable to relay"), "{text}");
}

#[test]
fn whoever_is_somebody_is_answered_at_once() {
    let site = Site::start(&[CONTOSO, &endless(TARPIT)]);
    let mut trusted = site.client(HOST_3);
    assert_eq!(trusted.command("NONSENSE").code(), 500);
    let mut alice = site.client(HOST_2);
    assert_eq!(alice.command("AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=").code(), 235);
    assert_eq!(alice.command("MAIL FROM:<bob@contoso.com>").code(), 550);
}

#[test]
fn what_was_said_before_is_not_held_back_and_what_is_pipelined_behind_is_not_lost() {
    let site = Site::start(&[CONTOSO, TARPIT]);
    let mut client = site.client(HOST_2);
    let start = Instant::now();
    client.send_bytes(b"MAIL FROM:<a@x.net>\r\nRCPT TO:<z@gmail.com>\r\nRCPT TO:<bob@contoso.com>\r\nQUIT\r\n");
    assert_eq!(client.reply().code(), 250);
    assert_eq!(client.reply().to_string(), "550 5.7.1 Unable to relay");
    assert!(start.elapsed() >= ONE_SECOND);
    assert_eq!(client.reply().to_string(), "250 2.1.5 Recipient OK");
    assert_eq!(client.reply().code(), 221);
    client.expect_closed();
}

#[test]
fn the_end_of_the_session_ends_the_wait() {
    let times = "connection_timeout = \"00:00:02\"\nconnection_inactivity_timeout = \"00:00:01\"\n";
    let site = Site::start(&[CONTOSO, &endless(TARPIT).replace("protocol_logging_level = \"Verbose\"\n", times)]);
    let mut client = site.client(HOST_2);
    assert_eq!(client.command("NONSENSE").code(), 500);
    assert_eq!(client.reply().to_string(), "421 4.4.1 Connection timed out");
    client.expect_closed();
}

#[test]
fn the_end_of_the_service_ends_the_wait() {
    let site = Site::start(&[CONTOSO, &endless(TARPIT)]);
    let mut client = site.client(HOST_2);
    client.send_bytes(b"NOOP\r\nNONSENSE\r\n");
    // Said before the wait begins.
    assert_eq!(client.reply().code(), 250);
    let Site { server, installation, .. } = site;
    assert!(server.stop().success());
    assert_eq!(client.reply().code(), 500);
    assert_eq!(client.reply().to_string(), "421 4.3.2 Service not available, closing transmission channel");
    client.expect_closed();
    drop(installation);
}
