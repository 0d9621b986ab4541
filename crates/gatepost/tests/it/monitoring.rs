//! What monitors see of the server: numbers, health and readiness over HTTP, and what a collector is sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use gatepost_testkit::hop::Hop;
use gatepost_testkit::sink::{Action, Setup, Stage};
use gatepost_testkit::{port, wait};
use serde_json::Value;

use crate::listener::HttpListener;
use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

/// One that never becomes a name in settings, a reason or a code.
const STRANGE: &str = "zq7x";

fn metrics_on(address: SocketAddr) -> String {
    format!("\n[metrics]\nlisten = \"{address}\"\n")
}

fn free() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()))
}

/// Status line with header section, and body, of one request.
#[track_caller]
fn get(address: SocketAddr, path: &str, fields: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).expect("the door for monitoring is open");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n").expect("the request is sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("the answer is text");
    let (header, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
    (header.to_owned(), body.to_owned())
}

/// The number of the sample that is written like this.
fn sample(text: &str, written: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(written)?.trim().parse().ok())
}

/// `promtool check metrics`, of Debian's package prometheus.
fn check_with_promtool(text: &str) {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = started.expect("promtool runs; it is in Debian's package prometheus");
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let said = promtool.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && words.trim().is_empty(), "promtool: {words}");
}

#[test]
fn numbers_tell_what_passed_and_no_peer_makes_a_name() {
    let door = free();
    let hop = Hop::honest();
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&hop.smart_host()), &metrics_on(door)]);
    let mut client = site.client(HOST_2);
    client.submit("<a@x.net>", &["z@gmail.com"], &message("counted", "x"));
    client.submit("<a@x.net>", &["bob@contoso.com"], &message("counted here", "x"));
    // Whatever peers say, in whatever number, there are no more numbers for it.
    let names = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let attack = |round: usize| {
        for place in 0..20 {
            let strange = format!("{STRANGE}{round}x{place}");
            let mut peer = site.client(HOST_2);
            peer.command(&format!("EHLO {strange}.example"));
            peer.command(&format!("MAIL FROM:<{strange}@{strange}.example>"));
            peer.command(&format!("RCPT TO:<{strange}@contoso.com>"));
            peer.command(&format!("RCPT TO:<{strange}@{strange}.local>"));
            peer.command(&format!("{strange} {strange}"));
            peer.command("QUIT");
        }
    };
    attack(1);
    let delivered = "gatepost_recipients_total{connector=\"Internet\",outcome=\"delivered\"}";
    let first = wait::within(wait::PATIENCE, || {
        let (_, text) = get(door, "/metrics", "");
        let here = "gatepost_recipients_total{connector=\"\",outcome=\"delivered\"}";
        (sample(&text, delivered) == Some(1.0) && sample(&text, here) == Some(1.0)).then_some(text)
    });
    let first = first.unwrap_or_else(|| panic!("never delivered: {}", get(door, "/metrics", "").1));
    attack(2);
    let (header, text) = get(door, "/metrics", "Accept: text/plain\r\n");
    assert!(header.starts_with("HTTP/1.1 200 "), "{header}");
    assert!(header.contains("content-type: text/plain; version=0.0.4"), "{header}");
    assert!(!text.contains(STRANGE), "{text}");
    assert_eq!(names(&text), names(&first), "more of the same makes no new numbers");
    for (written, expected) in [
        ("gatepost_messages_accepted_total{connector=\"Tests\",principal=\"externally_secured\"}", 2.0),
        ("gatepost_recipients_accepted_total{connector=\"Tests\"}", 2.0),
        ("gatepost_accept_seconds_count{connector=\"Tests\"}", 2.0),
        ("gatepost_delivery_seconds_count{connector=\"Internet\"}", 1.0),
        ("gatepost_refusals_total{connector=\"Tests\",command=\"RCPT\",reason=\"RecipientNotFound\"}", 40.0),
        ("gatepost_attempts_total{connector=\"Internet\",by=\"next_hop\",class=\"2xx\",code=\"250\"}", 1.0),
        ("gatepost_outbound_connections_total{connector=\"Internet\",result=\"opened\"}", 1.0),
        ("gatepost_queue_messages{connector=\"Internet\"}", 0.0),
        ("gatepost_spool_commits_total", 2.0),
        ("gatepost_settings_revision", 1.0),
    ] {
        assert_eq!(sample(&text, written), Some(expected), "{written}\n{text}");
    }
    assert!(sample(&text, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6), "{text}");
    check_with_promtool(&text);
    let (header, text) = get(door, "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(header.contains("content-type: application/openmetrics-text; version=1.0.0"), "{header}");
    assert!(text.ends_with("# EOF\n") && text.contains("# TYPE gatepost_messages_accepted counter\n"), "{text}");

    // Numbers outlive a reload, and the door moves where the settings say.
    let elsewhere = free();
    site.write_settings(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&hop.smart_host()), &metrics_on(elsewhere)]);
    site.installation.output(&["reload"]);
    let (_, text) = get(elsewhere, "/metrics", "");
    assert_eq!(sample(&text, delivered), Some(1.0), "{text}");
    assert_eq!(sample(&text, "gatepost_settings_revision"), Some(2.0));
    wait::until("the old door is shut", || TcpStream::connect(door).is_err().then_some(()));
    // One that cannot open changes nothing.
    site.write_settings(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&hop.smart_host()), &metrics_on(site.smtp())]);
    let refused = site.installation.run(&["reload"]);
    assert!(!refused.status.success(), "the port is taken");
    let (_, text) = get(elsewhere, "/metrics", "");
    assert_eq!(sample(&text, "gatepost_settings_revision"), Some(2.0));
    assert_eq!(sample(&text, "gatepost_reload_failures_total"), Some(1.0), "{text}");
}

#[test]
fn every_number_is_in_the_guide_and_every_number_of_the_guide_is_there() {
    let door = free();
    let _site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &metrics_on(door)]);
    let (_, text) = get(door, "/metrics", "");
    let mut there: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    there.sort_unstable();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/monitoring.md");
    let page = std::fs::read_to_string(page).expect("the chapter");
    let mut told: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with("gatepost_") || name.starts_with("process_"))
        .map(|name| name.split('{').next().unwrap_or(name))
        .collect();
    told.sort_unstable();
    assert_eq!(told, there);
    // What the dashboard and the rules ask for is there, too.
    for name in ["grafana-dashboard.json", "alerts.yml"] {
        let path = format!("{}/../../docs/monitoring/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("it is in the repository");
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("gatepost_") || word.starts_with("process_")) {
            let family = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(there.contains(&family), "{name} asks for {word}");
        }
    }
}

/// A probe without an answer gets the server restarted.
#[test]
fn who_holds_connections_open_keeps_no_monitor_away() {
    let door = free();
    let _site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &metrics_on(door)]);
    // Many times the connections that are served at once: waiting for their end would take minutes.
    let held: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut socket = TcpStream::connect(door).expect("the door for monitoring is open");
            socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").expect("half a request is sent");
            socket
        })
        .collect();
    assert!(get(door, "/healthz", "").0.starts_with("HTTP/1.1 200 "));
    drop(held);
}

#[test]
fn probes_hear_whether_it_lives_and_whether_it_takes_mail() {
    let door = free();
    let nobody = free();
    let limited = "\n[back_pressure]\nqueue_length = [1, 1, 1, 1]\n";
    let site = Site::start(&[
        CONTOSO,
        limited,
        OPEN_TO_TESTS,
        &to_sink(&format!("[{}]:{}", nobody.ip(), nobody.port())),
        &metrics_on(door),
    ]);
    for path in ["/healthz", "/readyz"] {
        let (header, body) = get(door, path, "");
        assert!(header.starts_with("HTTP/1.1 200 ") && body.contains("\"status\":\"ok\""), "{path}: {header}\n{body}");
    }
    site.installation.output(&["status", "--ready"]);
    let mut client = site.client(HOST_2);
    for place in 0..2 {
        client.submit("<a@x.net>", &["z@gmail.com"], &message(&format!("queued {place}"), "x"));
    }
    wait::until("it takes no mail", || {
        let (header, body) = get(door, "/readyz", "");
        (header.starts_with("HTTP/1.1 503 ") && body.contains("QueueLength is High")).then_some(())
    });
    assert!(get(door, "/healthz", "").0.starts_with("HTTP/1.1 200 "), "but it lives");
    let not_ready = site.installation.run(&["status", "--ready"]);
    assert_eq!(not_ready.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&not_ready.stdout).contains("QueueLength is High"), "{not_ready:?}");
    let not_ready = site.installation.run(&["status", "--ready", "--json"]);
    let readiness: Value = serde_json::from_slice(&not_ready.stdout).expect("JSON");
    assert_eq!((not_ready.status.code(), &readiness["ready"]), (Some(6), &Value::Bool(false)), "{readiness}");
    assert_eq!(readiness["obstacles"].as_array().map(Vec::len), Some(1), "{readiness}");
    let (header, _) = get(door, "/elsewhere", "");
    assert!(header.starts_with("HTTP/1.1 404 "), "{header}");
}

#[test]
fn a_service_manager_gets_signs_of_life() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(wait::PATIENCE)).expect("a limit");
    let _site = Site::start_prepared(&[CONTOSO, OPEN_TO_TESTS], |installation| installation.notify(&path, 200_000));
    let mut told = Vec::new();
    while told.iter().filter(|words: &&String| words.contains("WATCHDOG=1")).count() < 3 {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{error}; told so far: {told:?}"));
        told.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
    assert!(told[0].contains("READY=1"), "{told:?}");
}

#[test]
fn the_alert_rules_raise_what_they_should() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/monitoring");
    let output = Command::new("promtool").args(["test", "rules", "alerts-test.yml"]).current_dir(folder).output();
    let output = output.expect("promtool runs; it is in Debian's package prometheus");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The bytes of every field of this number in a message of protocol buffers, read by a reader of its own.
fn fields(mut bytes: &[u8], wanted: u64) -> Vec<&[u8]> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for place in 0.. {
            let (first, rest) = bytes.split_first().expect("a whole number");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << (7 * place);
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes);
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).expect("a length"),
            wire => panic!("wire type {wire}"),
        };
        let (value, rest) = bytes.split_at(length);
        if tag >> 3 == wanted {
            found.push(value);
        }
        bytes = rest;
    }
    found
}

#[test]
fn a_collector_gets_the_numbers_and_mail_goes_on_without_it() {
    let collector = HttpListener::start();
    let telemetry = format!(
        "\n[opentelemetry]\nendpoint = \"{}\"\ninterval = \"00:00:01\"\nauthorization_file = \"token\"\n",
        collector.url("/otlp")
    );
    let site = Site::start_with_files(&[CONTOSO, OPEN_TO_TESTS, &telemetry], &[("token", "Bearer t0k3n\n")]);
    let mut client = site.client(HOST_2);
    client.submit("<a@x.net>", &["bob@contoso.com"], &message("measured", "x"));
    site.wait_for_mail("bob@contoso.com", 1);
    let request = collector.wait_for("numbers with a message", |request| {
        if request.path != "/otlp/v1/metrics" {
            return false;
        }
        let resource_metrics = fields(&request.body, 1);
        let scope_metrics = resource_metrics.first().map_or(Vec::new(), |bytes| fields(bytes, 2));
        let metrics = scope_metrics.first().map_or(Vec::new(), |bytes| fields(bytes, 2));
        let accepted = metrics.iter().find(|metric| fields(metric, 1) == [b"gatepost_messages_accepted"]);
        let points = accepted.and_then(|metric| Some(fields(fields(metric, 7).first()?, 1)));
        points.is_some_and(|points| points.iter().any(|point| fields(point, 6) == [1_u64.to_le_bytes()]))
    });
    assert_eq!(request.field("content-type"), Some("application/x-protobuf"));
    assert_eq!(request.field("authorization"), Some("Bearer t0k3n"));
    // Without the collector mail goes on, and the log says so once.
    drop(collector);
    site.server.wait_for_log_text("the collector of OpenTelemetry does not take what it is sent");
    client.submit("<a@x.net>", &["bob@contoso.com"], &message("not measured", "x"));
    site.wait_for_mail("bob@contoso.com", 2);
    assert!(!site.server.log().contains("t0k3n"), "a secret is never shown");
}

/// The spans that a collector was sent, in the order in which they came.
fn spans(collector: &HttpListener) -> Vec<Vec<u8>> {
    let mut spans = Vec::new();
    for request in collector.requests().into_iter().filter(|request| request.path == "/v1/traces") {
        for resource_spans in fields(&request.body, 1) {
            let scopes = fields(resource_spans, 2);
            spans.extend(scopes.into_iter().flat_map(|scope| fields(scope, 2)).map(<[u8]>::to_vec));
        }
    }
    spans
}

#[test]
fn a_collector_gets_one_trace_for_each_message_with_a_span_for_each_attempt() {
    let collector = HttpListener::start();
    let telemetry = format!("\n[opentelemetry]\nendpoint = \"{}\"\ninterval = \"00:00:01\"\n", collector.url(""));
    let sink = Setup::new().answering(|stage, before| match (stage, before) {
        (Stage::Rcpt(_), 0) => Action::Reply("451 4.7.1 Greylisted, try again later"),
        _ => Action::Accept,
    });
    let sink = sink.start();
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(&sink.smart_host()), &telemetry]);
    site.client(HOST_2).submit("<a@x.net>", &["zoe@example.net"], &message("secret subject", "x"));
    sink.wait_for(1);
    let all = wait::until("a span for the arrival and one for each attempt", || {
        let spans = spans(&collector);
        (spans.len() == 3).then_some(spans)
    });
    let named = |name: &[u8]| all.iter().filter(|span| fields(span, 5) == [name]).collect::<Vec<_>>();
    let [received] = named(b"receive")[..] else { panic!("one arrival") };
    let [deferred, delivered] = named(b"deliver")[..] else { panic!("two attempts") };
    let (trace, root) = (fields(received, 1), fields(received, 2));
    assert_eq!((trace[0].len(), root[0].len()), (16, 8));
    for (span, is_error, outcome) in [(deferred, true, "gatepost.deferred"), (delivered, false, "gatepost.delivered")] {
        assert_eq!((fields(span, 1), fields(span, 4)), (trace.clone(), root.clone()), "below its arrival");
        assert_ne!(fields(span, 2), root);
        // Status { code: 1 or 2 }, which is number 3 there.
        assert_eq!(fields(span, 15), [&[3 << 3, 1 + u8::from(is_error)][..]]);
        let text = String::from_utf8_lossy(span);
        assert!(text.contains(outcome) && text.contains("Internet"), "{text}");
    }
    let sent: Vec<u8> = collector.requests().into_iter().flat_map(|request| request.body).collect();
    let sent = String::from_utf8_lossy(&sent);
    assert!(!sent.contains("zoe@") && !sent.contains("secret subject"), "no address and no subject leaves");
}
