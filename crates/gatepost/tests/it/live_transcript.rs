//! What is said on connections, heard while it is said: at the socket, by the command line, without credentials and content.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use gatepost_testkit::sink::Sink;
use gatepost_testkit::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, HOST_3, OPEN_TO_TESTS, PROGRAM, Site, to_sink};

/// A gate with logon whose protocol log is off.
const CLIENT: &str = r#"
[[receive_connector]]
name = "Client"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["ExchangeUsers", "AnonymousUsers"]
"#;

/// What comes for whoever asks for this at the socket.
fn listen(site: &Site, query: &str) -> impl Iterator<Item = String> {
    let mut stream = UnixStream::connect(site.installation.data_dir().join("gatepost.sock")).expect("the door is open");
    stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
    write!(stream, "GET /api/v1/transcript?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("sent");
    BufReader::new(stream).lines().map(|line| line.expect("a line"))
}

/// The lines of transcripts among what comes, up to the end of a connection.
fn heard(lines: &mut impl Iterator<Item = String>) -> Vec<Value> {
    let mut heard = Vec::new();
    for line in lines {
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let line: Value = serde_json::from_str(data).expect("JSON");
        let is_end = line["event"] == "-";
        heard.push(line);
        if is_end {
            return heard;
        }
    }
    panic!("the answer ended: {heard:#?}")
}

/// As `< EHLO a`, one on each line.
fn text_of(lines: &[Value]) -> String {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    lines.iter().map(|line| format!("{} {}\n", text(line, "event"), text(line, "data"))).collect()
}

#[test]
fn whoever_listens_hears_a_session_without_its_secrets_and_no_other() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let mut lines = listen(&site, "connector=client&peer=127.0.0.2/32");
    assert!(lines.any(|line| line == "retry: 250"), "it listens");
    let mut other = site.client(HOST_3);
    other.command("VRFY other");
    other.command("QUIT");
    other.expect_closed();
    let mut client = site.client(HOST_2);
    client.start_tls();
    assert_eq!(client.command("AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=").code(), 235);
    client.submit("<alice@contoso.com>", &["bob@contoso.com"], "Subject: private\r\n\r\nconfidential words\r\n");
    assert_eq!(client.command("QUIT").code(), 221);
    let heard = heard(&mut lines);
    let text = text_of(&heard);
    assert!(text.starts_with("+ \n"), "{text}");
    for words in ["< EHLO", "< STARTTLS", "> 235 2.7.0 Authentication successful", "< MAIL FROM:<alice@contoso.com>"] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    assert!(text.contains("> 221 2.0.0") && text.ends_with("- \n"), "{text}");
    for secret in ["AGFsaWNlAGNvcnJlY3QgaG9yc2U=", "correct horse", "confidential", "private", "VRFY"] {
        assert!(!text.contains(secret), "{secret} in:\n{text}");
    }
    for (place, line) in heard.iter().enumerate() {
        assert_eq!(line["sequence"], place, "{line}");
        assert_eq!((&line["connector"], &line["direction"]), (&"Client".into(), &"receive".into()), "{line}");
        assert!(line["remote"].as_str().is_some_and(|remote| remote.starts_with("127.0.0.2:")), "{line}");
    }
    let files = site.installation.data_dir().join("logs").join("protocol");
    assert!(!files.exists(), "listening writes no file");
}

#[test]
fn the_way_out_is_heard_too() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    let mut lines = listen(&site, "connector=Internet");
    assert!(lines.any(|line| line == "retry: 250"), "it listens");
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], "Subject: private\r\n\r\nconfidential words\r\n");
    sink.first();
    let mut text = String::new();
    while !text.contains("250 2.0.0 taken") {
        let data = lines.find_map(|line| Some(line.strip_prefix("data: ")?.to_owned())).expect("a line");
        let line: Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!(line["direction"], "send", "{line}");
        text += &text_of(&[line]);
    }
    assert!(text.contains("> RCPT TO:<z@gmail.com>"), "{text}");
    assert!(!text.contains("confidential") && !text.contains("private"), "{text}");
}

#[test]
fn what_cannot_be_listened_to_is_refused_with_what_to_write() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    for (query, status, words) in [
        ("", "400", "say whom to listen to"),
        ("connector=&peer=", "400", "say whom to listen to"),
        ("connector=Nobody", "404", "no receive or send connector `Nobody`"),
        ("peer=nonsense", "400", "is no address and no range"),
        ("conector=Client", "400", "conector"),
    ] {
        let mut lines = listen(&site, query);
        let first = lines.next().expect("an answer");
        assert!(first.contains(status), "{query}: {first}");
        assert!(lines.any(|line| line.contains(words)), "{query}: {words}");
    }
    let mut all: Vec<_> = (0..8).map(|_| listen(&site, "connector=Client")).collect();
    assert!(all.iter_mut().all(|lines| lines.any(|line| line == "retry: 250")), "eight may listen");
    let mut ninth = listen(&site, "connector=Client");
    assert!(ninth.next().expect("an answer").contains("503"));
    all.clear();
    let status = || listen(&site, "connector=Client").next().expect("an answer");
    wait::until("a place for another", || status().contains("200").then_some(()));
}

#[test]
fn the_command_line_shows_what_is_said_until_it_is_interrupted() {
    let site = Site::start(&[CONTOSO, CLIENT]);
    let unknown = site.installation.run(&["transcript", "--connector", "Nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    let mut listening = Command::new("timeout")
        .args(["60", PROGRAM, "transcript", "--peer", "127.0.0.2"])
        .env("GATEPOST_CONFIG", site.installation.settings_file())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(listening.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(lines.next().is_some_and(|line| line.starts_with("Listening")));
    let mut client = site.client(HOST_2);
    client.command("VRFY somebody");
    client.command("QUIT");
    for words in ["+ connection with", "> 220 ", "< VRFY somebody", "> 221 ", "- end of the connection"] {
        assert!(lines.any(|line| line.contains(words) && line.contains("Client  127.0.0.2:")), "{words}");
    }
    kill_process(Pid::from_child(&listening), Signal::INT).expect("it runs");
    listening.wait().expect("it ends");
}
