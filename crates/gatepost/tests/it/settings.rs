//! The settings file: every mistake at once, changes whole or not at all, sessions that keep what they began with.

use std::net::SocketAddr;

use gatepost_testkit::client::Client;
use gatepost_testkit::installation::{Installation, text_of};
use gatepost_testkit::sink::Sink;
use gatepost_testkit::wait;
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, HOST_3, HOST_4, OPEN_TO_TESTS, PROGRAM, Ports, Site, message, to_sink};

/// Five mistakes of five kinds: an unknown key, a wrong value, a wrong type, rules across properties, two connectors in
/// each other's way.
const FIVE_MISTAKES: &str = include_str!("goldens/five-mistakes.toml");

#[test]
fn check_reports_every_mistake_at_once_with_place_and_remedy() {
    let installation = Installation::new(PROGRAM, FIVE_MISTAKES);
    let checked = installation.run(&["check"]);
    assert_eq!(checked.status.code(), Some(3), "{}", text_of(&checked));
    let text = text_of(&checked).replace(&format!("{}/", installation.folder().display()), "");

    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/goldens/five-mistakes.txt");
    if std::env::var_os("GATEPOST_BLESS").is_some() {
        std::fs::write(&golden, &text).expect("write the golden file");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file; GATEPOST_BLESS=1 makes it");
    assert_eq!(text, expected, "GATEPOST_BLESS=1 accepts the new text");

    let checked = installation.run(&["check", "--json"]);
    assert_eq!(checked.status.code(), Some(3));
    let answer: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let problems = answer["problems"].as_array().unwrap_or_else(|| panic!("a list of problems in {answer}"));
    assert_eq!(problems.len(), 5, "{answer}");
    for problem in problems {
        assert!(problem["line"].as_u64() >= Some(1) && problem["column"].as_u64() >= Some(1), "{problem}");
        assert!(!problem["message"].as_str().expect("what is wrong").is_empty(), "{problem}");
        assert!(!problem["remedy"].as_str().expect("what to write instead").is_empty(), "{problem}");
    }
}

#[test]
fn a_good_file_passes_the_check_and_a_bad_one_does_not_start() {
    let good = Ports::free().fill(&[CONTOSO, OPEN_TO_TESTS].concat());
    let installation = Installation::new(PROGRAM, &good);
    let checked = installation.run(&["check"]);
    assert!(checked.status.success(), "{}", text_of(&checked));

    // A webhook that could post nothing is told of before the day of the alarm.
    let webhook = "\n[[alarms.webhook]]\nurl = \"https://hooks.example.net/\"\nsecret_file = \"hook-secret\"\n";
    installation.write_settings(&format!("{good}{webhook}"));
    let warned = installation.run(&["check"]);
    assert!(warned.status.success() && text_of(&warned).contains("hook-secret cannot be read"), "{}", text_of(&warned));

    installation.write_settings(FIVE_MISTAKES);
    let Err(refused) = installation.try_start() else { panic!("it started") };
    assert_eq!(refused.status.code(), Some(3), "{}", refused.output);
    let missing = installation.run(&["check", "nowhere.toml"]);
    assert!(!missing.status.success());
    assert!(text_of(&missing).contains("nowhere.toml"), "{}", text_of(&missing));
}

#[test]
fn every_command_that_fails_says_so_in_json_where_json_was_asked_for() {
    let good = Ports::free().fill(&[CONTOSO, OPEN_TO_TESTS].concat());
    let installation = Installation::new(PROGRAM, &good);
    let question = ["explain", "--from", "127.0.0.2", "--sender", "a@x.net", "--recipient", "b@contoso.com"];
    let fails = |arguments: &[&str], code: i32, part: &str| {
        let failed = installation.run(&[arguments, &["--json"]].concat());
        assert_eq!(failed.status.code(), Some(code), "{arguments:?}: {}", text_of(&failed));
        let answer: Value =
            serde_json::from_slice(&failed.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{arguments:?}: {answer}"));
        assert!(
            error.contains(part) && !error.starts_with("error") && !error.contains('\u{1b}'),
            "{arguments:?}: {error}"
        );
        // Who reads along is told as ever.
        assert!(String::from_utf8_lossy(&failed.stderr).contains(error), "{arguments:?}: {}", text_of(&failed));
    };
    for asks_server in [
        &["status"][..],
        &["reload"],
        &["queue", "list"],
        &["queue", "show", "1"],
        &["queue", "retry", "1"],
        &["queue", "remove", "1"],
        &["explain", "1f3a9c04b27e"],
    ] {
        fails(asks_server, 4, "the server is not running");
    }
    fails(&["explain", "no id"], 1, "there is no id of a decision");
    fails(&[&question[..], &["--size", "x"]].concat(), 1, "`x` is no size");
    fails(&["check", "nowhere.toml"], 1, "nowhere.toml");
    // Where JSON says it already, it is not said twice; where nobody asked, nothing changes.
    let refused = installation.run(&[&question[..], &["--user", "nobody", "--json"]].concat());
    let report: Value = serde_json::from_slice(&refused.stdout).expect("one value");
    assert_eq!((refused.status.code(), &report["accepted"], &report["error"]), (Some(1), &false.into(), &Value::Null));
    assert!(installation.run(&["status"]).stdout.is_empty());

    installation.write_settings(FIVE_MISTAKES);
    for reads_file in [&["audit"][..], &question, &["user", "list"], &["check", "nowhere.toml"]] {
        let code = if reads_file[0] == "check" { 1 } else { 3 };
        let part = if reads_file[0] == "check" { "nowhere.toml" } else { "5 problems" };
        fails(reads_file, code, part);
    }
    let checked = installation.run(&["check", "--json"]);
    let report: Value = serde_json::from_slice(&checked.stdout).expect("one value");
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(5), "{report}");
}

#[test]
fn a_risk_is_listed_as_accepted_only_where_there_is_one() {
    let ranges = |range: &str| {
        format!(
            "[[receive_connector]]\nname = \"R\"\nbindings = [\"127.0.0.1:2525\"]\nremote_ip_ranges = [\"{range}\"]\n\
             permission_groups = [\"AnonymousUsers\"]\naccept_risk = \"the board wants it\"\n\
             [[receive_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n\
             extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n"
        )
    };
    for (range, is_a_risk) in [("8.8.8.8", true), ("10.0.0.9", false)] {
        let installation = Installation::new(PROGRAM, &[CONTOSO, &ranges(range)].concat());
        let text = installation.output(&["check"]);
        assert_eq!(text.contains("accepted risk: R: the board wants it"), is_a_risk, "{text}");
        assert_eq!(text.contains("opens nothing to public addresses"), !is_a_risk, "{text}");
        let report = installation.json(&["check"]);
        assert_eq!(report["receive_connectors"][0]["accept_risk"].is_string(), is_a_risk, "{report}");
    }
}

fn may_relay(server: SocketAddr, source: std::net::IpAddr) -> bool {
    let mut client = Client::greeted_from(source, server);
    let mail = client.command("MAIL FROM:<a@x.net>");
    mail.code() == 250 && client.command("RCPT TO:<z@gmail.com>").code() == 250
}

/// Two connectors: nobody may relay but the given range.
fn relay_for(range: &str) -> String {
    let default = r#"
[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
"#;
    default.to_owned() + &OPEN_TO_TESTS.replace("127.0.0.1-127.0.0.4", range)
}

#[test]
fn a_reload_takes_effect_on_the_next_connection_and_open_sessions_keep_theirs() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, &relay_for("127.0.0.2"), &to_sink(&sink.smart_host())]);
    let mut open = site.client(HOST_2);
    assert!(!may_relay(site.smtp(), HOST_3));

    site.write_settings(&[CONTOSO, &relay_for("127.0.0.3"), &to_sink(&sink.smart_host())]);
    let reloaded = site.installation.json(&["reload"]);
    assert_eq!(reloaded["revision"], 2, "{reloaded}");
    assert_eq!(reloaded["changes_total"], 2, "{reloaded}");
    for (place, key, host) in [(0, "gained", "127.0.0.3"), (1, "lost", "127.0.0.2")] {
        let change = &reloaded["changes"][place];
        let rights = change[key].as_array().unwrap_or_else(|| panic!("rights in {reloaded}"));
        assert!(rights.iter().any(|right| right == "ms-Exch-SMTP-Accept-Any-Recipient"), "{reloaded}");
        assert_eq!((&change["whom"], &change["sources"][0]["first"]), (&"unauthenticated".into(), &host.into()));
    }
    site.server.wait_for_log_text("exposure changed");
    assert!(may_relay(site.smtp(), HOST_3));
    assert!(!may_relay(site.smtp(), HOST_2));
    // The session that was open is as it was.
    let reply = open.submit("<a@x.net>", &["z@gmail.com"], &message("under the old settings", "x"));
    assert_eq!(reply.code(), 250);
    assert_eq!(sink.wait_for(1).len(), 1);
}

#[test]
fn sighup_reloads() {
    let site = Site::start(&[CONTOSO, &relay_for("127.0.0.2")]);
    assert!(!may_relay(site.smtp(), HOST_4));
    site.write_settings(&[CONTOSO, &relay_for("127.0.0.2-127.0.0.4")]);
    site.server.hang_up();
    wait::until("the new range is in force", || may_relay(site.smtp(), HOST_4).then_some(()));
}

#[test]
fn a_bad_file_changes_nothing() {
    let mut site = Site::start(&[CONTOSO, &relay_for("127.0.0.2")]);
    // The good half must not be taken either.
    let broken = relay_for("127.0.0.3") + "\n[[send_connector]]\nname = 5\n";
    site.write_settings(&[CONTOSO, &broken]);
    let refused = site.installation.run(&["reload"]);
    assert_eq!(refused.status.code(), Some(3), "{}", text_of(&refused));
    assert!(text_of(&refused).contains("gatepost.toml"), "{}", text_of(&refused));
    assert!(may_relay(site.smtp(), HOST_2) && !may_relay(site.smtp(), HOST_3));

    site.server.hang_up();
    site.server.wait_for_log_text("name");
    assert!(site.server.is_running());
    assert!(may_relay(site.smtp(), HOST_2) && !may_relay(site.smtp(), HOST_3));
    assert_eq!(site.installation.json(&["status"])["revision"], 1);
}

#[test]
fn a_reload_opens_and_closes_listeners_and_refuses_as_a_whole_when_one_cannot_be_opened() {
    let site = Site::start(&[CONTOSO, &relay_for("127.0.0.2")]);
    let second = OPEN_TO_TESTS.replace("\"Tests\"", "\"Second\"").replace("{smtp}", "{second}");
    site.write_settings(&[CONTOSO, &relay_for("127.0.0.2"), &second]);
    site.installation.output(&["reload"]);
    assert!(may_relay(site.port("second"), HOST_3));

    // A port that somebody else has: nothing of the new settings is taken.
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let third = OPEN_TO_TESTS.replace("\"Tests\"", "\"Third\"").replace("{smtp}", &port.to_string());
    site.write_settings(&[CONTOSO, &relay_for("127.0.0.2-127.0.0.4"), &third]);
    let refused = site.installation.run(&["reload"]);
    assert!(!refused.status.success());
    assert!(text_of(&refused).contains(&port.to_string()), "{}", text_of(&refused));
    assert!(may_relay(site.port("second"), HOST_3));
    assert!(!may_relay(site.smtp(), HOST_3));

    // All addresses instead of one, with the same port: the system does not bind both.
    let everywhere = relay_for("127.0.0.2").replace("127.0.0.1:{smtp}", "0.0.0.0:{smtp}");
    let other = std::net::SocketAddr::from(([127, 0, 0, 9], site.smtp().port()));
    let foreign = std::net::TcpListener::bind(other).expect("another address of the port");
    site.write_settings(&[CONTOSO, &everywhere, &second]);
    let refused = site.installation.run(&["reload"]);
    assert!(text_of(&refused).contains("cannot listen on 0.0.0.0:"), "{}", text_of(&refused));
    assert!(may_relay(site.smtp(), HOST_2), "what listened listens again");
    drop(foreign);
    for (document, is_heard) in [(&everywhere, true), (&relay_for("127.0.0.2"), false)] {
        site.write_settings(&[CONTOSO, document, &second]);
        site.installation.output(&["reload"]);
        assert!(may_relay(site.smtp(), HOST_2));
        assert_eq!(std::net::TcpStream::connect(other).is_ok(), is_heard);
    }

    // And a listener that is no longer declared is closed.
    site.write_settings(&[CONTOSO, &relay_for("127.0.0.2")]);
    site.installation.output(&["reload"]);
    wait::until("the second port is closed", || {
        std::net::TcpStream::connect(site.port("second")).is_err().then_some(())
    });
}

#[test]
fn what_breaks_an_assertion_or_opens_a_relay_to_strangers_is_refused_at_every_door() {
    let assertion = "[[assert]]\ncomment = \"only the scanners relay\"\nfrom = \"127.0.0.4-127.0.0.9\"\n\
                     who = \"unauthenticated\"\ndeny = [\"relay\"]\n";
    let site = Site::start(&[CONTOSO, &relay_for("127.0.0.2"), assertion]);
    let stranger = relay_for("127.0.0.2").replace("\"127.0.0.2\"", "\"127.0.0.2\", \"8.8.8.8\"");
    for (connector, expected) in [
        (relay_for("127.0.0.2-127.0.0.5"), ["the assertion \"only the scanners relay\" is broken", "127.0.0.4"]),
        (stranger.clone(), ["public addresses, such as 8.8.8.8,", "accept_risk"]),
    ] {
        site.write_settings(&[CONTOSO, &connector, assertion]);
        for arguments in [&["check"][..], &["reload"], &["audit"]] {
            let refused = site.installation.run(arguments);
            assert_eq!(refused.status.code(), Some(3), "{arguments:?}: {}", text_of(&refused));
            for part in expected {
                assert!(text_of(&refused).contains(part), "{arguments:?}: {}", text_of(&refused));
            }
        }
        assert!(may_relay(site.smtp(), HOST_2) && !may_relay(site.smtp(), HOST_4));
        assert_eq!(site.installation.json(&["status"])["revision"], 1);
    }
    let accepted = stranger.replace("name = \"Tests\"", "name = \"Tests\"\naccept_risk = \"the board wants it\"");
    site.write_settings(&[CONTOSO, &accepted, assertion]);
    let reloaded = site.installation.output(&["reload"]);
    assert!(reloaded.contains("gains") && reloaded.contains("8.8.8.8"), "{reloaded}");
    for arguments in [&["check"][..], &["audit"], &["audit", "--json"]] {
        let shown = site.installation.output(arguments);
        assert!(shown.contains("the board wants it"), "{arguments:?}: {shown}");
    }
}
