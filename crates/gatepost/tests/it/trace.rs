//! `gatepost trace`: what was refused and what came of messages, found by whatever a person knows.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost_testkit::installation::text_of;
use gatepost_testkit::port;
use gatepost_testkit::sink::{Action, Setup, Stage};
use gatepost_testkit::wait;
use rustix::process::{Pid, Signal, kill_process};

use crate::site::{CONTOSO, HOST_2, HOST_3, PROGRAM, QUICK_RETRY, RELAY, Site, message, to_sink};

const GATE: &str = r#"
[[receive_connector]]
name = "Internet"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.0/8"]
permission_groups = ["AnonymousUsers"]
"#;

#[test]
fn a_refused_attempt_is_found_by_whatever_is_known_of_it_with_its_explanation() {
    let site = Site::start(&[CONTOSO, GATE]);
    for (host, recipient) in [(HOST_2, "b@gmail.com"), (HOST_3, "carl@example.net")] {
        let mut client = site.client(host);
        assert_eq!(client.command("MAIL FROM:<Ann@hotmail.com>").code(), 250);
        assert_eq!(client.command(&format!("RCPT TO:<{recipient}>")).code(), 550);
    }
    // One attempt is one entry: going away after a refusal adds none.
    let found = |arguments: &[&str]| {
        let found = site.installation.json(&[&["trace"], arguments].concat());
        found["entries"].as_array().expect("entries").len()
    };
    for (arguments, expected) in [
        (&["--address", "ann@hotmail.com"][..], 2),
        (&["--sender", "ANN@hotmail.com", "--verdict", "refused"], 2),
        (&["--recipient", "b@gmail.com"], 1),
        (&["--domain", "gmail.com"], 1),
        (&["--peer", "127.0.0.2"], 1),
        (&["--peer", "127.0.0.0/30", "--connector", "internet", "--since", "1h"], 2),
        (&["--since", "2099-01-01T00:00:00Z"], 0),
        (&["--address", "nobody@gmail.com"], 0),
        (&["--verdict", "delivered"], 0),
    ] {
        assert_eq!(found(arguments), expected, "{arguments:?}");
    }
    let text = site.installation.output(&["trace", "--peer", "127.0.0.2", "--verdict", "refused"]);
    for words in ["refused at RCPT: recipient domain is not accepted", "Missing: ms-Exch-SMTP-Accept-Any-Recipient"] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    let text = site.installation.output(&["trace", "--sender", "ann@hotmail.com", "--verdict", "refused"]);
    assert!(text.contains("refused   550 5.7.1 Unable to relay") && text.contains("2 entries."), "{text}");
    for (arguments, words) in [
        (&["trace", "--peer", "192.168.2"][..], "192.168.2.0/24"),
        (&["trace", "--since", "last week"], "write 90m, 2h or 7d"),
        (&["trace", "--since", "1h", "--until", "2h"], "is not before --until"),
        (&["trace", "--sender", "ann"], "write it as alice@contoso.com"),
        (&["trace", "--recipient", "gmail.com"], "--domain gmail.com"),
        (&["trace", "ann@hotmail.com"], "`--address ann@hotmail.com`"),
        (&["trace", "7bed9086761c"], "`--decision 7bed9086761c`"),
        (&["trace", "erase", "gmail.com"], "one whole address"),
    ] {
        let run = site.installation.run(arguments);
        assert!(!run.status.success() && text_of(&run).contains(words), "{arguments:?}: {}", text_of(&run));
    }

    assert!(site.installation.output(&["trace", "erase", "nobody@gmail.com"]).contains("nothing was erased"));
    let erased = site.installation.json(&["trace", "erase", "ann@HOTMAIL.com"]);
    assert!(erased["decisions"].as_u64() >= Some(2), "{erased}");
    assert_eq!(found(&["--address", "ann@hotmail.com"]), 0);
    assert_eq!(found(&["--recipient", "b@gmail.com"]), 1);
}

#[test]
fn a_message_that_never_came_is_an_attempt_that_was_given_up() {
    let site = Site::start(&[CONTOSO, GATE]);
    let mut client = site.client(HOST_2);
    assert_eq!(client.command("MAIL FROM:<ann@hotmail.com>").code(), 250);
    assert_eq!(client.command("RCPT TO:<bob@contoso.com>").code(), 250);
    assert_eq!(client.command("RCPT TO:<b@gmail.com>").code(), 550);
    assert_eq!(client.command("RCPT TO:<alice@contoso.com>").code(), 250);
    assert_eq!(client.command("RSET").code(), 250);
    for (verdict, words) in
        [("abandoned", "given up by the peer"), ("given-up", "given up by the peer"), ("refused", "b@gmail.com")]
    {
        let told = site.installation.output(&["trace", "--sender", "ann@hotmail.com", "--verdict", verdict]);
        assert!(told.contains(words), "{verdict}: {told}");
    }
    let found = site.installation.json(&["trace", "--sender", "ann@hotmail.com"]);
    assert_eq!(found["entries"].as_array().map(Vec::len), Some(2), "{found}");
}

#[test]
fn a_message_is_found_by_whatever_is_known_of_it_and_by_how_it_came_out() {
    let sink = Setup::new()
        .answering(|stage, _| match stage {
            Stage::Rcpt(path) if path.starts_with("<nobody@") => Action::Reply("550 5.1.1 no such person here"),
            Stage::Rcpt(path) if path.starts_with("<later@") => Action::Reply("450 4.2.1 come again"),
            _ => Action::Accept,
        })
        .start();
    let slow = QUICK_RETRY.replace("message_retry_interval = \"00:00:01\"", "message_retry_interval = \"01:00:00\"");
    let site = Site::start(&[CONTOSO, &slow, GATE, RELAY, &to_sink(&sink.smart_host())]);
    let mut client = site.client(HOST_2);
    let mut submit = |recipient: &str, subject: &str| {
        client.submit("<bob@contoso.com>", &[recipient], &message(subject, "three pages")).queue_id()
    };
    let delivered = submit("bob@example.net", "Invoice of May");
    let failed = submit("nobody@example.org", "Invoice of June");
    let (deferred, removed) = (submit("later@example.net", "Scan"), submit("later@example.org", "Scan"));
    let found = |site: &Site, arguments: &[&str]| {
        let found = site.installation.json(&[&["trace"], arguments].concat());
        let entries = found["entries"].as_array().expect("entries").iter();
        let mut ids: Vec<String> = entries.map(|entry| entry["queue_id"].to_string()).collect();
        ids.sort();
        ids
    };
    let all = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    };
    wait::until("both are told to come again", || {
        (found(&site, &["--verdict", "deferred"]) == all(&[&deferred, &removed])).then_some(())
    });
    site.installation.output(&["queue", "remove", &removed, "--no-report"]);
    let expected = [
        (&["--verdict", "failed"][..], all(&[&failed])),
        (&["--verdict", "deferred"], all(&[&deferred])),
        (&["--verdict", "removed"], all(&[&removed])),
        (&["--verdict", "failed", "--domain", "example.net"], all(&[])),
        (&["--verdict", "expired"], all(&[])),
        (&["--verdict", "held"], all(&[])),
        (&["--verdict", "delivered", "--recipient", "bob@example.net"], all(&[&delivered])),
        (&["--message-id", "<Invoice-of-May@app01.contoso.com>"], all(&[&delivered])),
        (&["--address", "Later@Example.net"], all(&[&deferred])),
        (&["--word", "invoice", "--sender", "bob@contoso.com"], all(&[&delivered, &failed])),
        (&["--peer", "127.0.0.2", "--word", "june"], all(&[&failed])),
        (&["--connector", "relay", "--since", "1h", "--domain", "example.org"], all(&[&failed, &removed])),
        (&["--until", "1h", "--word", "scan"], all(&[])),
    ];
    wait::until("all has come to its end", || {
        (found(&site, &["--verdict", "failed"]).len() == 1 && found(&site, &["--verdict", "removed"]).len() == 1)
            .then_some(())
    });
    for (arguments, expected) in &expected {
        assert_eq!(&found(&site, arguments), expected, "{arguments:?}");
    }
    // The next run reads them back.
    let site = site.restart(gatepost_testkit::installation::Server::kill);
    for (arguments, expected) in &expected {
        assert_eq!(&found(&site, arguments), expected, "after kill -9: {arguments:?}");
    }
}

#[test]
fn whatever_waits_for_a_dead_next_hop_tells_of_each_connection_that_failed() {
    let address = format!("127.0.0.1:{}", port::free());
    let site = Site::start(&[CONTOSO, QUICK_RETRY, RELAY, &to_sink(&address)]);
    let submit = |recipient: &str| {
        let content = message("Scan of 3 pages", "three pages");
        site.client(HOST_2).submit("<scanner@contoso.com>", &[recipient], &content).queue_id()
    };
    let ids = ["bob@example.net", "carl@example.net", "dora@example.net"].map(submit);
    for id in &ids {
        let told = wait::until("it tells of two tries", || {
            let told = site.installation.output(&["trace", id]);
            told.contains(" times until ").then_some(told)
        });
        assert!(told.contains(&format!("no connection to [127.0.0.1]:{}", &address[10..])), "{told}");
        assert!(told.contains("      451 4.4."), "{told}");
    }
    // A plain word is the name of a connector, or stands in the subject.
    for (text, expected) in [("pages scan", 3), ("RELAY", 3), ("internet", 3), ("scanned", 0)] {
        let found = site.installation.json(&["trace", "--text", text]);
        assert_eq!(found["entries"].as_array().map(Vec::len), Some(expected), "{text}: {found}");
    }
    let found = site.installation.json(&["trace", "--verdict", "deferred"]);
    let times: Vec<u64> =
        found["entries"].as_array().expect("entries").iter().filter_map(|entry| entry["time_ms"].as_u64()).collect();
    assert!(times.len() == 3 && times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
}

#[test]
fn changes_of_settings_stand_among_what_happened_with_who_made_them() {
    let site = Site::start(&[CONTOSO, GATE]);
    site.write_settings(&[CONTOSO, GATE, RELAY]);
    site.installation.output(&["reload"]);
    let told = site.installation.output(&["trace", "--since", "1h"]);
    assert!(told.contains("settings  revision 1 in force by start, "), "{told}");
    assert!(told.contains("settings  revision 2 in force by uid "), "{told}");
    let acts = site.installation.json(&["acts"]);
    let is_of_it = |act: &serde_json::Value| act["revision"] == 2 && act["outcome"] == "done";
    assert!(acts.as_array().expect("acts").iter().any(is_of_it), "{acts}");
    let found = site.installation.json(&["trace", "--address", "bob@contoso.com"]);
    assert_eq!(found["entries"].as_array().map(Vec::len), Some(0), "asked for an address: {found}");
}

/// All files below a folder that hold a text, in either case of its letters.
fn files_with(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if let Ok(bytes) = fs::read(&path)
            && String::from_utf8_lossy(&bytes).to_lowercase().contains(&text.to_lowercase())
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn nothing_of_an_erased_address_is_left_in_any_file_of_the_data_folder() {
    let sink = Setup::new().start();
    let site = Site::start(&[CONTOSO, GATE, RELAY, &to_sink(&sink.smart_host())]);
    for number in 0..20 {
        send(&site, if number % 2 == 0 { "Erased.Person@example.net" } else { "carl@example.net" });
    }
    sink.wait_for(20);
    let mut refused = site.client(HOST_3);
    assert_eq!(refused.command("MAIL FROM:<erased.person@example.net>").code(), 250);
    assert_eq!(refused.command("RCPT TO:<b@gmail.com>").code(), 550);
    drop(refused);
    let is_recorded = || {
        let found = site.installation.json(&["trace", "--address", "erased.person@example.net"]);
        (found["entries"].as_array()?.len() == 11).then_some(())
    };
    wait::until("all of it is recorded", is_recorded);
    let erased = site.installation.json(&["trace", "erase", "erased.person@example.net"]);
    assert!(erased["passports"].as_u64() >= Some(10) && erased["decisions"].as_u64() >= Some(11), "{erased}");
    // What is packed is unpacked by whoever shows it.
    let everything = site.installation.output(&["trace", "--events", "--limit", "1000", "--json"]).to_lowercase();
    assert!(!everything.contains("erased.person") && everything.contains("carl@example.net"), "{everything}");
    // Messages that were delivered leave the spool with its file: when that is full, or with the first messages after a start.
    let site = site.restart(|server| assert!(server.stop().success()));
    let is_gone = || {
        send(&site, "carl@example.net");
        files_with(&site.installation.data_dir(), "erased.person").is_empty().then_some(())
    };
    if wait::within(wait::PATIENCE, is_gone).is_none() {
        panic!("it stands in {:?}", files_with(&site.installation.data_dir(), "erased.person"));
    }
    assert!(!files_with(&site.installation.data_dir().join("tracking"), "carl").is_empty(), "or nothing was looked at");
}

#[test]
fn what_is_switched_off_is_in_no_record_of_a_message() {
    let sink = Setup::new().start();
    let switches = "\n[tracking]\nmessage_tracking_log_subject_logging_enabled = false\nmessage_tracking_log_address_logging_enabled = false\n";
    let site = Site::start(&[CONTOSO, RELAY, &to_sink(&sink.smart_host()), switches]);
    send(&site, "hidden.person@example.net");
    sink.wait_for(1);
    let is_recorded = || {
        let found = site.installation.json(&["trace", "--address", "hidden.person@example.net"]);
        (found["entries"][0]["ended"] == true).then_some(found)
    };
    let found = wait::until("it is recorded", is_recorded).to_string();
    assert!(
        !found.contains("hidden.person") && !found.contains("Scan of 3") && found.contains("@example.net"),
        "{found}"
    );
    let site = site.restart(|server| assert!(server.stop().success()));
    for folder in ["passports", "connections"] {
        let folder = site.installation.data_dir().join("tracking").join(folder);
        for text in ["hidden.person", "scanner@", "scan of 3"] {
            assert_eq!(files_with(&folder, text), [] as [std::path::PathBuf; 0], "{text}");
        }
    }
}

#[test]
fn what_comes_is_shown_as_it_comes() {
    let site = Site::start(&[CONTOSO, GATE]);
    let mut following = Command::new("timeout")
        .args(["60", PROGRAM, "trace", "--follow", "--since", "1h", "--peer", "127.0.0.2"])
        .current_dir(site.installation.folder())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run the program");
    let mut lines = BufReader::new(following.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    for recipient in ["first@gmail.com", "second@gmail.com"] {
        for host in [HOST_3, HOST_2] {
            let mut client = site.client(host);
            assert_eq!(client.command("MAIL FROM:<ann@hotmail.com>").code(), 250);
            assert_eq!(client.command(&format!("RCPT TO:<{recipient}>")).code(), 550);
        }
        assert_eq!(lines.find(|line| line.contains("@gmail.com")), Some(format!("  to          {recipient}")));
    }
    // By a signal that is passed on: Ctrl-C.
    kill_process(Pid::from_child(&following), Signal::INT).expect("it runs");
    let ended = following.wait().expect("it ends");
    assert!(ended.success(), "{ended}");
    assert_eq!(lines.last().as_deref(), Some(""), "no line is cut");
}

/// A message from the host that may relay.
#[track_caller]
fn send(site: &Site, recipient: &str) {
    let mut client = site.client(HOST_2);
    assert_eq!(client.command("MAIL FROM:<scanner@contoso.com>").code(), 250);
    assert_eq!(client.command(&format!("RCPT TO:<{recipient}>")).code(), 250);
    assert_eq!(client.command("DATA").code(), 354);
    let content = message("Scan of 3 pages", "three pages");
    assert_eq!(client.command(&format!("{}\r\n.", content.trim_end())).code(), 250);
}

/// A scanner at an address that may not relay, then at one that may; the next hop greylists once.
fn through_refusal_retry_and_delivery() -> Site {
    let sink = Setup::new().answering(|stage, before| match (stage, before) {
        (Stage::Rcpt(_), 0) => Action::Reply("451 4.7.1 Greylisted, try again later"),
        _ => Action::Accept,
    });
    let sink = sink.start();
    let site = Site::start(&[CONTOSO, QUICK_RETRY, GATE, RELAY, &to_sink(&sink.smart_host())]);
    let mut refused = site.client(HOST_3);
    assert_eq!(refused.command("MAIL FROM:<scanner@contoso.com>").code(), 250);
    assert_eq!(refused.command("RCPT TO:<bob@example.net>").code(), 550);
    drop(refused);
    send(&site, "bob@example.net");
    sink.wait_for(1);
    let is_told = || {
        let found = site.installation.json(&["trace", "--recipient", "bob@example.net", "--verdict", "delivered"]);
        (found["entries"].as_array()?.len() == 1).then_some(())
    };
    wait::within(wait::PATIENCE, is_told).expect("the passport tells of the delivery");
    site
}

/// Numbers and ids that are others in each run made alike.
fn alike(text: &str) -> String {
    let mut alike = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let end = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len();
        let (inner, rest) = word.split_at(end);
        let is_id = inner.len() == 12 && inner.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit());
        alike.push_str(if is_id {
            "ID"
        } else if is_number {
            "0"
        } else {
            inner
        });
        alike.push_str(rest);
    }
    alike
}

/// Every field of Exchange's log, these rows in this order, and the software is ours.
#[track_caller]
fn assert_exported(site: &Site, format: &str, fields: usize, wanted: &[&str]) {
    let log = site.installation.output(&["trace", "export", "--format", format]);
    assert!(log.starts_with("#Software: Gatepost\r\n#Version: "), "{log}");
    assert_eq!(log.lines().find_map(|line| line.strip_prefix("#Fields: ")).expect("fields").split(',').count(), fields);
    let mut rows = log.lines().filter(|line| !line.starts_with('#'));
    for wanted in wanted {
        let row = rows.find(|row| row.contains(wanted)).unwrap_or_else(|| panic!("{wanted} in order in:\n{log}"));
        assert!(row.contains('"') || row.split(',').count() == fields, "{row}");
    }
}

#[test]
fn the_trace_through_refusal_retry_and_delivery_is_the_one_in_the_guide() {
    let site = through_refusal_retry_and_delivery();
    let text = site.installation.output(&["trace", "--recipient", "bob@example.net"]);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/tracing.md");
    let page = fs::read_to_string(page).expect("the guide");
    let shown = page.split("## Refused, tried again, delivered").nth(1).and_then(|part| part.split("```").nth(3));
    let shown = shown.expect("the trace in the guide").trim_start_matches("text\n");
    assert_eq!(alike(&text), alike(shown), "the trace is now:\n{text}");

    let site = site.restart(gatepost_testkit::installation::Server::kill);
    let again = site.installation.output(&["trace", "--recipient", "bob@example.net"]);
    assert_eq!(again, text, "after kill -9");
    assert_exported(&site, "message-tracking", 30, &["RECEIVE", "DEFER", "SEND"]);
    assert_exported(&site, "connectivity", 6, &[]);
    let erased = site.installation.json(&["trace", "erase", "bob@example.net"]);
    assert!(erased["passports"].as_u64() >= Some(1) && erased["decisions"].as_u64() >= Some(2), "{erased}");
    for address in ["bob@example.net", erased["token"].as_str().expect("a token")] {
        let found = site.installation.json(&["trace", "--recipient", address, "--verdict", "delivered"]);
        assert_eq!(
            found["entries"].as_array().map_or(0, Vec::len),
            usize::from(address != "bob@example.net"),
            "{address}"
        );
    }
}

#[test]
fn connections_to_next_hops_are_recorded_with_their_ends() {
    let sink = Setup::new().start();
    let hosts =
        format!("\"[127.0.0.1]:{}\", \"{}\"]\nsmart_hosts_order = \"ordered\"", port::free(), sink.smart_host());
    let connector = to_sink("HOSTS").replace("\"HOSTS\"]", &hosts);
    let site = Site::start(&[CONTOSO, QUICK_RETRY, RELAY, &connector]);
    send(&site, "bob@example.net");
    sink.wait_for(1);
    // The connection is kept for the next message; a stop ends it.
    let site = site.restart(|server| assert!(server.stop().success()));
    let log = site.installation.output(&["trace", "export", "--format", "connectivity"]);
    let rows: Vec<&str> = log.lines().filter(|row| !row.starts_with('#')).collect();
    let end = |count: &str| rows.iter().filter(|row| row.contains(&format!("Messages: {count} ("))).count();
    assert_eq!((end("0"), end("1"), rows.len()), (1, 1, 6), "{log}");
    assert_exported(&site, "connectivity", 6, &[",+,", "Failed connection to "]);
    assert_exported(&site, "connectivity", 6, &[",+,", "Established connection to "]);
}
