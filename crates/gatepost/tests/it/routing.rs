//! Which way mail leaves: by its source, by a link, another way while a next hop is down, and what `gatepost route` says.

use std::net::{Ipv4Addr, SocketAddr};

use gatepost_testkit::installation::text_of;
use gatepost_testkit::port;
use gatepost_testkit::sink::{Setup, Sink};
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, HOST_3, OPEN_TO_TESTS, QUICK_RETRY, Site, message};

const SECOND_GATE: &str = r#"
[[receive_connector]]
name = "Scanners"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.3"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
"#;

fn connector(name: &str, smart_host: &str, more: &str) -> String {
    format!("[[send_connector]]\nname = \"{name}\"\nsmart_hosts = [\"{smart_host}\"]\n{more}\n")
}

fn wait_until_settled(site: &Site) {
    wait::until("everything is at its end", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
}

#[test]
fn mail_leaves_by_size_then_address_space_then_cost_then_name() {
    const SHARED: &str = "[[accepted_domain]]\nname = \"shared.example\"\ndomain_type = \"InternalRelay\"\n";
    let spaces = [
        ("Cheap", "address_spaces = [\"SMTP:*;1\"]\nmax_message_size = \"10 KB\""),
        ("First by name", "address_spaces = [\"SMTP:*;5\"]"),
        ("Second by name", "address_spaces = [\"*;5\"]"),
        ("Off", "address_spaces = [\"off.example\"]\nenabled = false"),
        ("Below", "address_spaces = [\"*.part.example;9\"]"),
        ("Exact", "address_spaces = [\"a.part.example;50\"]"),
        ("Ours", "address_spaces = [\"--\"]"),
    ];
    let sinks: Vec<Sink> = spaces.iter().map(|_| Sink::start()).collect();
    let connectors = spaces.iter().zip(&sinks).map(|((name, more), sink)| connector(name, &sink.smart_host(), more));
    let site = Site::start(&[CONTOSO, SHARED, QUICK_RETRY, OPEN_TO_TESTS, &connectors.collect::<String>()]);
    let (small, large) = (message("small", "x"), message("large", &"ten bytes\r\n".repeat(2_000)));
    let mut client = site.client(HOST_2);
    let mut expected: Vec<Vec<String>> = spaces.iter().map(|_| Vec::new()).collect();
    for (domain, content, name) in [
        ("gmail.com", &small, "Cheap"),
        ("gmail.com", &large, "First by name"),
        ("off.example", &small, "Cheap"),
        ("part.example", &small, "Below"),
        ("b.part.example", &large, "Below"),
        ("a.part.example", &small, "Exact"),
        ("c.a.part.example", &small, "Below"),
        ("shared.example", &large, "Ours"),
    ] {
        let place = spaces.iter().position(|(known, _)| *known == name).expect("one of them");
        let to = format!("z{}@{domain}", content.len());
        assert_eq!(client.submit("<bob@contoso.com>", &[&to], content).code(), 250);
        expected[place].push(format!("<{to}>"));
    }
    wait_until_settled(&site);
    for (((name, _), sink), expected) in spaces.iter().zip(&sinks).zip(&mut expected) {
        let taken = sink.taken().into_iter().flat_map(|taken| taken.recipients);
        let mut taken: Vec<String> = taken.map(|path| path.split(' ').next().unwrap_or(&path).to_owned()).collect();
        taken.sort();
        expected.sort();
        assert_eq!(&taken, expected, "{name}");
    }
}

#[test]
fn mail_leaves_by_the_connector_that_asks_for_its_source() {
    let [usual, scanners, news] = [Sink::start(), Sink::start(), Setup::new().start()];
    let site = Site::start(&[
        CONTOSO,
        QUICK_RETRY,
        OPEN_TO_TESTS,
        SECOND_GATE,
        &connector("Usual", &usual.smart_host(), "address_spaces = [\"*\"]"),
        &connector(
            "Scans",
            &scanners.smart_host(),
            "address_spaces = [\"*\"]\nsource_receive_connectors = [\"Scanners\"]",
        ),
        &connector(
            "News",
            &news.smart_host(),
            "address_spaces = [\"*\"]\nsource_sender_domains = [\"news.example\"]\nmax_message_size = \"1 MB\"",
        ),
    ]);
    site.client(HOST_2).submit("<a@x.net>", &["one@gmail.com"], &message("one", "x"));
    site.client(HOST_2).submit("<a@news.example>", &["two@gmail.com"], &message("two", "x"));
    site.client(HOST_3).submit("<a@x.net>", &["three@gmail.com"], &message("three", "x"));
    // The receive connector is closer than the sender's domain.
    site.client(HOST_3).submit("<a@news.example>", &["four@gmail.com"], &message("four", "x"));
    for (sink, expected) in [(&usual, "<one@gmail.com>"), (&news, "<two@gmail.com>")] {
        assert!(sink.first().recipients[0].starts_with(expected), "{expected}");
    }
    let mut scanned: Vec<String> = scanners.wait_for(2).iter().map(|taken| taken.recipients[0].clone()).collect();
    scanned.sort();
    assert!(scanned[0].starts_with("<four@gmail.com>") && scanned[1].starts_with("<three@gmail.com>"), "{scanned:?}");
    wait_until_settled(&site);
}

#[test]
fn everything_that_a_linked_receive_connector_brings_leaves_by_its_send_connector() {
    let (filter, usual) = (Sink::start(), Sink::start());
    let site = Site::start(&[
        CONTOSO,
        QUICK_RETRY,
        OPEN_TO_TESTS,
        SECOND_GATE,
        &connector("Usual", &usual.smart_host(), "address_spaces = [\"*\"]"),
        &connector(
            "Filter",
            &filter.smart_host(),
            "linked_receive_connector = \"Scanners\"\nsmart_host_auth_mechanism = \"None\"",
        ),
    ]);
    site.client(HOST_3).submit("<a@x.net>", &["bob@contoso.com", "z@gmail.com"], &message("filtered", "x"));
    assert_eq!(filter.first().recipients.len(), 2);
    // The filter gives it back by another door.
    site.client(HOST_2).submit("<a@x.net>", &["bob@contoso.com", "z@gmail.com"], &message("clean", "x"));
    assert_eq!(site.wait_for_mail("bob@contoso.com", 1)[0]["headers"]["Subject"], "clean");
    assert!(usual.first().recipients[0].starts_with("<z@gmail.com>"));
    wait_until_settled(&site);
    assert_eq!(filter.count(), 1);
}

#[test]
fn another_connector_stands_in_while_no_next_hop_of_the_first_can_be_reached() {
    let first = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let stand_in = Sink::start();
    // After the first failure the first is left alone for long: what comes meanwhile is not to wait for it.
    let patient =
        QUICK_RETRY.replace("queue_glitch_retry_interval = \"00:00:01\"", "queue_glitch_retry_interval = \"01:00:00\"");
    let site = Site::start(&[
        CONTOSO,
        &patient,
        OPEN_TO_TESTS,
        &connector(
            "First",
            &format!("[{}]:{}", first.ip(), first.port()),
            "address_spaces = [\"*\"]\nfallback_connector = \"Second\"",
        ),
        &connector("Second", &stand_in.smart_host(), ""),
    ]);
    for number in 0..3 {
        let recipient = format!("r{number}@gmail.com");
        site.client(HOST_2).submit("<a@x.net>", &[&recipient], &message("another way", "x"));
        stand_in.wait_for(number + 1);
    }
    wait_until_settled(&site);
    // The queue of the first stays in sight, with what is wrong.
    let status = site.installation.json(&["status"]);
    let queues = status["queues"].as_array().expect("a list");
    let shown = queues.iter().find(|queue| queue["next_hop"] == format!("[{}]:{}", first.ip(), first.port()));
    assert!(shown.is_some_and(|queue| queue["last_error"].is_string()), "{status}");

    // Told to try now, it is found to be back.
    let back = Setup::new().at(first).start();
    site.installation.output(&["queue", "retry", "--all"]);
    let recipient = "home@gmail.com";
    wait::until("mail goes the first way again", || {
        site.client(HOST_2).submit("<a@x.net>", &[recipient], &message("home", "x"));
        wait::within(std::time::Duration::from_millis(200), || (back.count() > 0).then_some(()))
    });
    wait_until_settled(&site);
}

#[test]
fn while_nobody_can_be_reached_mail_waits_and_then_takes_whoever_comes_back() {
    let addresses = [port::free(), port::free()].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let host = |address: SocketAddr| format!("[{}]:{}", address.ip(), address.port());
    let site = Site::start(&[
        CONTOSO,
        QUICK_RETRY,
        OPEN_TO_TESTS,
        &connector("First", &host(addresses[0]), "address_spaces = [\"*\"]\nfallback_connector = \"Second\""),
        &connector("Second", &host(addresses[1]), ""),
    ]);
    let recipients: Vec<String> = (0..30).map(|number| format!("r{number}@gmail.com")).collect();
    for recipient in &recipients {
        site.client(HOST_2).submit("<a@x.net>", &[recipient], &message("patience", "x"));
    }
    // Both have been tried: by now mail has been on both ways and home again.
    site.server.wait_for_log_text("mail is routed again");
    assert_eq!(site.installation.json(&["status"])["spool"]["messages"], 30);
    let second = Setup::new().at(addresses[1]).start();
    second.wait_for(30);
    wait_until_settled(&site);
    let mut taken: Vec<String> = second.taken().iter().map(|taken| taken.recipients[0].clone()).collect();
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 30, "each once");
}

#[test]
fn what_expires_while_nobody_can_be_reached_is_reported() {
    let [first, second] = [port::free(), port::free()];
    let short = QUICK_RETRY.replace("[transport]", "[transport]\nmessage_expiration_timeout = \"00:00:05\"");
    let site = Site::start(&[
        CONTOSO,
        &short,
        OPEN_TO_TESTS,
        &connector(
            "First",
            &format!("[127.0.0.1]:{first}"),
            "address_spaces = [\"*\"]\nfallback_connector = \"Second\"",
        ),
        &connector("Second", &format!("[127.0.0.1]:{second}"), ""),
    ]);
    site.client(HOST_2).submit("<bob@contoso.com>", &["z@gmail.com"], &message("too late", "x"));
    let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert!(report.to_string().contains("z@gmail.com"), "{report}");
    wait_until_settled(&site);
}

#[test]
fn a_connector_has_a_retry_schedule_of_its_own() {
    // By [transport] the second attempt would come after a day.
    let slow = "[transport]\nmessage_retry_interval = \"1.00:00:00\"\n";
    let sink = Setup::new()
        .answering(|stage, seen| match (stage, seen) {
            (gatepost_testkit::sink::Stage::Rcpt(_), 0) => gatepost_testkit::sink::Action::Reply("450 4.2.1 later"),
            _ => gatepost_testkit::sink::Action::Accept,
        })
        .start();
    let own = "address_spaces = [\"*\"]\nmessage_retry_interval = \"00:00:01\"";
    let site = Site::start(&[CONTOSO, slow, OPEN_TO_TESTS, &connector("Quick", &sink.smart_host(), own)]);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("again", "x"));
    sink.first();
    wait_until_settled(&site);
}

#[test]
fn the_command_says_which_way_mail_would_leave_and_why_not_another() {
    let site = Site::start(&[
        CONTOSO,
        OPEN_TO_TESTS,
        SECOND_GATE,
        "[[contact]]\naddress = \"dave@contoso.com\"\nexternal_address = \"dave@gmail.com\"\n",
        "[[distribution_group]]\naddress = \"all@contoso.com\"\nmembers = [\"bob@contoso.com\", \"dave@contoso.com\"]\n",
        &connector("Internet", "[192.0.2.1]", "address_spaces = [\"*;5\"]\nfallback_connector = \"Backup\""),
        &connector("Backup", "[192.0.2.2]", ""),
        &connector("Dear", "[192.0.2.3]", "address_spaces = [\"*;9\"]"),
        &connector("Small", "[192.0.2.4]", "address_spaces = [\"gmail.com\"]\nmax_message_size = \"1 MB\""),
        &connector("Scans", "[192.0.2.5]", "address_spaces = [\"*\"]\nsource_receive_connectors = [\"Scanners\"]"),
        &connector("Off", "[192.0.2.6]", "address_spaces = [\"gmail.com\"]\nenabled = false"),
        &connector("Far", "[192.0.2.7]", "address_spaces = [\"far.example\"]"),
    ]);
    let said = site.installation.output(&["route", "--recipient", "z@gmail.com", "--size", "2MB"]);
    for line in [
        "z@gmail.com leaves by `Internet`: to [192.0.2.1]:25.",
        "Internet        taken: SMTP:*;5",
        "Dear            just as specific, but it costs 9",
        "Small           takes messages of up to 1 MB, not of 2 MB",
        "Scans           only for mail that comes in by Scanners",
        "Off             disabled",
        "Far             does not lead there: SMTP:far.example;1",
        "Backup          has no address spaces; others name it",
        "While it cannot be reached, `Backup` stands in: to [192.0.2.2]:25.",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let said = site.installation.json(&["route", "--recipient", "all@contoso.com", "--receive-connector", "scanners"]);
    let found = said["recipients"].as_array().expect("a list");
    assert_eq!((&found[0]["way"], &found[0]["next_hop"]), (&"maildir".into(), &"bob@contoso.com".into()));
    assert_eq!((&found[1]["recipient"], &found[1]["connector"]), (&"dave@gmail.com".into(), &"Small".into()));
    let said =
        text_of(&site.installation.run(&["route", "--recipient", "z@gmail.com", "--receive-connector", "Nobody"]));
    assert!(said.contains("there is no receive connector `Nobody`; there are Tests, Scanners"), "{said}");
}
