//! What the log says: every decision with connector, peer, principal, queue id and verdict, and transcripts without secrets.

use serde_json::Value;

use gatepost_testkit::sink::Sink;
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, HOST_3, OPEN_TO_TESTS, Site, message, to_sink};

const VERBOSE: &str = r#"
[[receive_connector]]
name = "Client"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["ExchangeUsers", "AnonymousUsers"]
protocol_logging_level = "Verbose"
"#;

/// Whether all these words stand in one log line.
fn says(line: &Value, words: &[&str]) -> bool {
    // Strings as they are, not as JSON escapes them.
    let text = text_of(line);
    words.iter().all(|word| text.contains(word))
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| format!("{name}={}\n", text_of(value))).collect(),
        Value::Array(values) => values.iter().map(text_of).collect(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn an_accepted_message_is_one_line_with_everything_in_it() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    let id = site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("logged", "x")).queue_id();
    let words = ["Tests", "127.0.0.2", "MS Exchange\\Externally Secured Servers", &id, "a@x.net", "accepted"];
    site.server.wait_for_log("the accepted message", |line| says(line, &words));
    sink.first();
    site.server.wait_for_log("its delivery", |line| says(line, &[&id, "z@gmail.com", "delivered", "250 2.0.0 taken"]));
    // Not a word of the content.
    assert!(!site.server.log().contains("Subject"), "{}", site.server.log());
    assert!(site.server.log().lines().all(|line| line.starts_with('{')), "JSON only:\n{}", site.server.log());
}

#[test]
fn a_refusal_is_logged_with_its_reason() {
    let site = Site::start(&[CONTOSO, VERBOSE]);
    let mut client = site.client(HOST_3);
    client.command("MAIL FROM:<a@hotmail.com>");
    assert_eq!(client.command("RCPT TO:<z@gmail.com>").code(), 550);
    let words = ["Client", "127.0.0.3", "NT AUTHORITY\\ANONYMOUS LOGON", "z@gmail.com", "550 5.7.1 Unable to relay"];
    site.server.wait_for_log("the refusal", |line| says(line, &words));
}

#[test]
fn a_transcript_has_the_dialogue_but_no_credentials_and_no_content() {
    let site = Site::start(&[CONTOSO, VERBOSE]);
    let mut client = site.client(HOST_2);
    client.start_tls();
    assert_eq!(client.command("AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=").code(), 235);
    client.submit("<alice@contoso.com>", &["bob@contoso.com"], "Subject: private\r\n\r\nconfidential words\r\n");
    assert_eq!(client.command("QUIT").code(), 221);
    let mut client = site.client(HOST_2);
    client.start_tls();
    client.command("AUTH LOGIN");
    client.command("YWxpY2U=");
    assert_eq!(client.command("Y29ycmVjdCBob3JzZQ==").code(), 235);
    assert_eq!(client.command("QUIT").code(), 221);

    let everything = wait::until("both sessions' transcripts", || {
        let text = everything_written(&site);
        (text.matches("221 2.0.0 Service closing transmission channel").count() >= 2).then_some(text)
    });
    for words in ["MAIL FROM:<alice@contoso.com>", "250 2.1.0 Sender OK", "235 2.7.0 Authentication successful"] {
        assert!(everything.contains(words), "{words} in:\n{everything}");
    }
    // The rights as the fact sheet names them, section 2.3.
    assert!(everything.contains("SMTPSubmit SMTPAcceptAnyRecipient"), "{everything}");
    for secret in ["AGFsaWNlAGNvcnJlY3QgaG9yc2U=", "Y29ycmVjdCBob3JzZQ==", "correct horse", "confidential", "private"] {
        assert!(!everything.contains(secret), "{secret} in:\n{everything}");
    }
}

#[test]
fn a_send_connector_has_its_transcript_too() {
    let sink = Sink::start();
    let connector = format!("{}protocol_logging_level = \"Verbose\"\n", to_sink(&sink.smart_host()));
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &connector]);
    let mut client = site.client(HOST_2);
    client.submit("<a@x.net>", &["z@gmail.com"], "Subject: private\r\n\r\nconfidential words\r\n");
    sink.first();
    let text = wait::until("the transcript", || {
        Some(everything_written(&site)).filter(|text| text.contains("250 2.0.0 taken") && text.contains("Internet"))
    });
    for words in ["SMTP Send Protocol Log", "220 sink.test ESMTP", "MAIL FROM:<a@x.net>", "RCPT TO:<z@gmail.com>"] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    assert!(!text.contains("confidential") && !text.contains("private"), "{text}");
}

#[test]
fn there_is_no_transcript_where_none_is_wanted() {
    let quiet = VERBOSE.replace("\"Verbose\"", "\"None\"");
    let site = Site::start(&[CONTOSO, &quiet]);
    let mut client = site.client(HOST_2);
    client.command("VRFY somebody");
    client.command("QUIT");
    client.expect_closed();
    assert!(!everything_written(&site).contains("VRFY"), "{}", everything_written(&site));
}

/// The server's log and every log file in its data folder.
fn everything_written(site: &Site) -> String {
    let mut text: String = site.server.log_lines().iter().map(text_of).collect();
    let transcripts = site.installation.data_dir().join("logs").join("protocol");
    for entry in std::fs::read_dir(transcripts).into_iter().flatten().flatten() {
        text += &std::fs::read_to_string(entry.path()).unwrap_or_default();
    }
    text
}
