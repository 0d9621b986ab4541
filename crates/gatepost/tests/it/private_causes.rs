//! What a peer hears when it is turned away, or when something here fails: never our insides (invariant I8).

use base64::Engine;
use gatepost_testkit::client::Client;
use gatepost_testkit::shim::error::{EACCES, EIO, EMFILE, ENOSPC, EROFS};
use gatepost_testkit::shim::{Action, Rule, call};
use gatepost_testkit::sink::Sink;

use crate::site::{CONTOSO, HOST_2, HOST_3, HOST_4, PASSWORD, Site, message, to_sink};

/// Names that nobody else uses, so that they can be looked for.
const SETTINGS: &str = r#"
[[user]]
name = "zanzibar"
addresses = ["bob@contoso.com"]
password = "$argon2id$v=19$m=64,t=1,p=1$Z2F0ZXBvc3QtaXQtc2FsdA$O7qB4H3kG1QDMvcbi9tuOv4Jn5LAsX/1NuaGiGQ6YGU"

[[receive_connector]]
name = "Quarterdeck"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.2"]
auth_mechanism = ["Tls", "BasicAuth"]
permission_groups = ["AnonymousUsers", "ExchangeUsers"]
max_message_size = "1 MB"
max_header_size = "4 KB"
max_recipients_per_message = 2
max_inbound_connection_per_source = "unlimited"
max_inbound_connection_percentage_per_source = 100

[[receive_connector]]
name = "Crowsnest"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.3"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
max_inbound_connection_per_source = 1

[[receive_connector]]
name = "Steerage"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.4"]
auth_mechanism = ["Tls"]
permission_groups = ["ExchangeUsers"]
"#;

/// What somebody may look for in vain; the folder of the installation comes to it.
const PRIVATE: &[&str] = &[
    "zanzibar",
    "quarterdeck",
    "crowsnest",
    "steerage",
    "internet",
    "gatepost-it",
    "os error",
    "input/output",
    "no space",
    "read-only",
    "too many open",
    "permission denied",
    "spool",
    "/data",
    ".seg",
    ".rs",
    "useddiskspace",
    "privatebytes",
    "ms exchange\\",
    "ms-exch",
];

/// Every reply that was heard.
fn heard(client: &Client) -> Vec<String> {
    let lines = client.transcript().lines();
    lines.filter_map(|line| line.strip_prefix("S: ")).map(str::to_owned).collect()
}

/// Says all the lines, whatever comes back.
fn said(site: &Site, lines: &[&str]) -> Vec<String> {
    let mut client = site.client(HOST_2);
    for line in lines {
        client.send(&format!("{line}\r\n"));
        if client.try_reply().is_err() {
            break;
        }
    }
    heard(&client)
}

/// Sends a message up to its end, whatever comes back.
fn sent(site: &Site, content: &str) -> Vec<String> {
    let lines = ["MAIL FROM:<a@x.net>", "RCPT TO:<bob@contoso.com>", "DATA"];
    let mut client = site.client(HOST_2);
    for line in lines {
        client.send(&format!("{line}\r\n"));
        if client.try_reply().is_ok_and(|reply| reply.code() >= 400) {
            return heard(&client);
        }
    }
    let _ = client.try_send_bytes(format!("{content}.\r\n").as_bytes());
    let _ = client.try_reply();
    heard(&client)
}

#[test]
fn no_reply_tells_the_peer_what_is_private() {
    let sink = Sink::start();
    let (site, shim) = Site::start_watched(&[CONTOSO, SETTINGS, &to_sink(&sink.smart_host())], 0);
    let mut replies = Vec::new();

    // Commands and addresses that are not taken.
    for lines in [
        &["HELO", "NONSENSE", "MAIL", "RCPT TO:<x@y.net>", "DATA", "BDAT x", "VRFY bob", "EXPN all", "HELP"][..],
        &["MAIL FROM:<a@@b>", "MAIL FROM:<a@x.net> SIZE=99999999", "MAIL FROM:<a@x.net> FOO=1"],
        &["MAIL FROM:<bob@contoso.com>"],
        &["MAIL FROM:<a@x.net>", "RCPT TO:<z@gmail.com>", "RCPT TO:<nobody@contoso.com>", "RCPT TO:<@>"],
        &[
            "MAIL FROM:<a@x.net>",
            "RCPT TO:<bob@contoso.com>",
            "RCPT TO:<alice@contoso.com>",
            "RCPT TO:<bob@contoso.com>",
        ],
        &["AUTH LOGIN", "AUTH NTLM"],
    ] {
        replies.extend(said(&site, lines));
    }

    // Passwords: a user who exists and one who does not, and what another user may not do.
    let mut wrong = Vec::new();
    for (user, password) in [("zanzibar", "wrong"), ("nobody-at-all", "wrong")] {
        let mut client = site.client(HOST_2);
        client.start_tls();
        wrong.push(client.command(&format!("AUTH PLAIN {}", plain(user, password))).to_string());
    }
    assert_eq!(wrong[0], wrong[1]);
    replies.extend(wrong);
    let mut client = site.client(HOST_2);
    client.start_tls();
    assert_eq!(client.command(&format!("AUTH PLAIN {}", plain("alice", PASSWORD))).code(), 235);
    assert_eq!(client.command("MAIL FROM:<bob@contoso.com>").code(), 550);
    for content in ["From: <bob@contoso.com>\r\n\r\nx\r\n", "From: \"<bob@contoso.com\r\n\r\nx\r\n"] {
        let reply = client.submit("<alice@contoso.com>", &["bob@contoso.com"], content);
        assert_eq!(reply.code() / 100, 5, "{reply}");
    }
    replies.extend(heard(&client));

    // Connectors that are full, or take nothing.
    let _only = site.client(HOST_3);
    let mut surplus = Client::connect_from(HOST_3, site.smtp());
    assert_eq!(surplus.reply().code(), 421);
    let mut stranger = site.client(HOST_4);
    assert_eq!(stranger.command("MAIL FROM:<a@x.net>").code(), 530);
    replies.extend(heard(&surplus).into_iter().chain(heard(&stranger)));

    // Content that is not taken.
    let hops: String = (0..70).map(|i| format!("Received: from a{i}.net by b{i}.net; now\r\n")).collect();
    let long = "x".repeat(70);
    for content in [
        format!("{hops}\r\nx\r\n"),
        format!("{}\r\nx\r\n", format!("X-Long: {long}\r\n").repeat(100)),
        format!("Subject: x\r\n\r\n{}", format!("{long}\r\n").repeat(20_000)),
    ] {
        let heard = sent(&site, &content);
        assert!(heard.last().is_some_and(|reply| reply.starts_with('5')), "{heard:?}");
        replies.extend(heard);
    }

    // A disk that fails in any way.
    let large = message("large", &format!("{long}\r\n").repeat(6_000));
    for error in [EIO, EACCES, EMFILE, ENOSPC, EROFS] {
        for (calls, part, content) in [
            (call::WRITE | call::FLUSH, ".seg", message("small", "x")),
            (call::CREATE, "/spool/bodies/", large.clone()),
            (call::WRITE, "/spool/bodies/", large.clone()),
            (call::FLUSH | call::RENAME, "/spool/bodies", large.clone()),
        ] {
            shim.set_rules(&[Rule::new(calls, part, Action::Fail(error))]);
            let heard = sent(&site, &content);
            assert!(heard.last().is_some_and(|reply| reply.starts_with("452 4.3.1 ")), "{part}: {heard:?}");
            replies.extend(heard);
            shim.set_rules(&[]);
        }
    }

    let folder = site.installation.folder().display().to_string().to_lowercase();
    for reply in &replies {
        let said = reply.to_lowercase();
        let private = PRIVATE.iter().copied().chain([folder.as_str()]).find(|private| said.contains(private));
        assert_eq!(private, None, "{reply}");
    }
    // The administrator is told.
    for words in ["Quarterdeck", "zanzibar"] {
        site.server.wait_for_log_text(words);
    }
    let refused = replies.iter().filter(|reply| reply.starts_with(['4', '5'])).count();
    assert!(refused >= 40, "only {refused} refusals were looked at");
}

/// The initial response of AUTH PLAIN.
fn plain(user: &str, password: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"))
}
