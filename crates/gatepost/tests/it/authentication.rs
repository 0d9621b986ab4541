//! Who may log in, and what follows; the dialogues themselves are wire scripts.

use gatepost_testkit::programs::Swaks;
use gatepost_testkit::sink::Sink;

use crate::site::{CONTOSO, HOST_2, HOST_3, PASSWORD, Site, to_sink};

const CLIENT: &str = r#"
[[receive_connector]]
name = "Client"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["ExchangeUsers"]
"#;

#[test]
fn swaks_cannot_log_in_without_tls() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let run =
        Swaks::new(HOST_2, site.smtp()).login("PLAIN", "alice", PASSWORD).from("alice@contoso.com").to("z@gmail.com");
    let run = run.run();
    // swaks finds no AUTH in the EHLO reply and gives up.
    assert_eq!(run.code, 28, "{}", run.transcript);
}

#[test]
fn wrong_password_and_unknown_user_are_told_the_same() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let login = |user: &str, password: &str| {
        let swaks = Swaks::new(HOST_2, site.smtp()).option(&["--tls"]).login("LOGIN", user, password);
        let run = swaks.from("alice@contoso.com").to("z@gmail.com").run();
        assert_eq!(run.code, 28, "{}", run.transcript);
        assert!(run.transcript.contains("<~* 535 5.7.3 Authentication unsuccessful"), "{}", run.transcript);
    };
    login("alice", "wrong");
    login("mallory", PASSWORD);
}

#[test]
fn a_password_is_right_on_every_connection_at_once() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, CLIENT, &to_sink(&sink.smart_host())]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = site.client(HOST_3);
                client.start_tls();
                // alice / correct horse
                assert_eq!(client.command("AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=").code(), 235);
                client.submit("<alice@contoso.com>", &["z@gmail.com"], "Subject: at once\r\n\r\n");
            });
        }
    });
    assert_eq!(sink.wait_for(8).len(), 8);
}

#[test]
fn too_many_wrong_passwords_end_the_session() {
    let site = Site::start(&[CONTOSO, &format!("{CLIENT}max_logon_failures = 2\n")]);
    let mut client = site.client(HOST_2);
    client.start_tls();
    let mut replies = Vec::new();
    loop {
        let reply = client.command("AUTH PLAIN AGFsaWNlAHdyb25n");
        replies.push(reply.code());
        if reply.code() != 535 || replies.len() > 4 {
            break;
        }
    }
    client.expect_closed();
    assert_eq!(replies.last(), Some(&421), "{replies:?}");
    assert!((2..=3).contains(&replies.len()), "{replies:?}");
}

#[test]
fn a_name_to_log_on_with_cannot_paint_on_the_terminal_that_shows_the_log() {
    let site = Site::start(&[CONTOSO, &CLIENT.replace(", \"BasicAuthRequireTLS\"", "")]);
    let mut client = site.client(HOST_2);
    // U+009B begins an escape sequence; the name is `x`, that, `31m` and U+202E.
    assert_eq!(client.command("AUTH PLAIN AHjCmzMxbeKArgB3cm9uZw==").code(), 535);
    site.server.wait_for_log_text(r"x\\u{9b}31m\\u{202e}");
    assert!(!site.server.log().contains(['\u{9b}', '\u{202e}']));
}
