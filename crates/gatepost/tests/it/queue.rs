//! `gatepost queue` and `gatepost status`: what an administrator sees of waiting mail and does about it.

use std::net::{Ipv4Addr, SocketAddr};

use gatepost_testkit::installation::{Installation, text_of};
use gatepost_testkit::port;
use gatepost_testkit::sink::{Action, Setup, Stage};
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, PROGRAM, Ports, QUICK_RETRY, Site, message, to_sink};

/// A site whose next hop is down, with retries an hour apart.
fn waiting_site() -> (Site, SocketAddr) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let slow = QUICK_RETRY.replace("00:00:01", "01:00:00");
    let smart_host = to_sink(&format!("[{}]:{}", address.ip(), address.port()));
    (Site::start(&[CONTOSO, &slow, OPEN_TO_TESTS, &smart_host]), address)
}

fn submit(site: &Site, sender: &str, recipient: &str, subject: &str) -> String {
    let id = site.client(HOST_2).submit(sender, &[recipient], &message(subject, "x")).queue_id();
    wait::until("a failed attempt", || {
        let detail = site.installation.json(&["queue", "show", &id]);
        detail["recipients"][0]["next_hop_error"].is_string().then_some(())
    });
    id
}

#[test]
fn the_queue_is_listed_shown_and_filtered() {
    let (site, _) = waiting_site();
    let first = submit(&site, "<a@x.net>", "z@gmail.com", "one");
    let second = submit(&site, "<b@x.net>", "y@hotmail.com", "two");

    let listing = site.installation.json(&["queue", "list"]);
    assert_eq!(listing["total"], 2);
    assert_eq!(listing["messages"][0]["id"].to_string(), first);
    assert_eq!(listing["messages"][1]["id"].to_string(), second);
    let text = site.installation.output(&["queue", "list"]);
    for words in [first.as_str(), "a@x.net", "z@gmail.com", second.as_str(), "b@x.net", "y@hotmail.com"] {
        assert!(text.contains(words), "{words} in {text}");
    }

    let shown = site.installation.json(&["queue", "show", &second]);
    assert_eq!(shown["reverse_path"], "<b@x.net>");
    assert_eq!(shown["principal"], "MS Exchange\\Externally Secured Servers");
    assert!(shown["peer"].as_str().expect("the peer").starts_with("127.0.0.2:"));
    assert!(shown["header"].as_str().expect("the header section").contains("Subject: two"));
    let text = site.installation.output(&["queue", "show", &second]);
    for words in ["y@hotmail.com", "Tests", "127.0.0.2"] {
        assert!(text.contains(words), "{words} in {text}");
    }

    let filtered = site.installation.json(&["queue", "list", "--sender", "b@x.net"]);
    assert_eq!(filtered["total"], 1);
    assert_eq!(filtered["messages"][0]["id"].to_string(), second);
    let unknown = site.installation.run(&["queue", "show", "999999"]);
    assert!(!unknown.status.success());
    assert!(text_of(&unknown).contains("999999"), "{}", text_of(&unknown));
}

#[test]
fn the_whole_header_of_a_large_message_is_shown() {
    let (site, _) = waiting_site();
    // So much lies in a file of its own, apart from the fields that we put in front.
    let body = "all work and no play\r\n".repeat(20_000);
    let sent = site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("large", &body));
    let shown = site.installation.json(&["queue", "show", &sent.queue_id()]);
    let header = shown["header"].as_str().expect("the header section");
    assert!(header.starts_with("Received: ") && header.contains("Subject: large"), "{header}");
    assert!(!header.contains("no play"), "{header}");
}

#[test]
fn retry_sends_at_once_what_would_have_waited() {
    let (site, address) = waiting_site();
    let first = submit(&site, "<a@x.net>", "z@gmail.com", "one");
    submit(&site, "<a@x.net>", "y@gmail.com", "two");
    let sink = Setup::new().at(address).start();
    site.installation.output(&["queue", "retry", &first]);
    assert!(sink.first().text().contains("Subject: one"));
    site.installation.output(&["queue", "retry", "--all"]);
    assert_eq!(sink.wait_for(2).len(), 2);
    wait::until("the queue is empty", || (site.installation.json(&["queue", "list"])["total"] == 0).then_some(()));
}

#[test]
fn a_queue_whose_messages_were_all_told_to_come_again_says_what_they_were_told_and_when_it_goes_on() {
    let slow = QUICK_RETRY.replace("00:00:01", "01:00:00");
    let sink = Setup::new().answering(|stage, before| match (stage, before) {
        (Stage::Rcpt(_), 0) => Action::Reply("451 4.7.1 <z@gmail.com> is greylisted, try again later"),
        _ => Action::Accept,
    });
    let sink = sink.start();
    let site = Site::start(&[CONTOSO, &slow, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    let id = site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("one", "x")).queue_id();
    let queue = wait::until("the connection is given up", || {
        let status = site.installation.json(&["status"]);
        let queue = status["queues"][0].clone();
        (queue["state"] == "retry").then_some(queue)
    });
    assert_eq!(queue["last_error"], "451 4.7.1", "the text may name the recipient, which is no business of a View");
    assert!(queue["next_retry_ms"].as_u64() > queue["first_retry_ms"].as_u64(), "{queue}");
    // The next hop is reached: what was said is about the message alone.
    let shown = site.installation.json(&["queue", "show", &id]);
    assert_eq!(shown["recipients"][0]["next_hop_error"], serde_json::Value::Null, "{shown}");
    let told = std::thread::scope(|scope| {
        // Of one message, until its end.
        let followed = scope.spawn(|| site.installation.output(&["trace", &id, "--follow"]));
        site.installation.output(&["queue", "retry", &id]);
        sink.wait_for(1);
        followed.join().expect("it ended")
    });
    for words in ["  deferred  z@gmail.com", "  retry     by uid ", "  delivered z@gmail.com"] {
        assert_eq!(told.matches(words).count(), 1, "{words} in {told}");
    }
}

#[test]
fn a_change_of_the_settings_leaves_a_queue_what_it_was_and_what_waits_for_another_way_goes() {
    let first = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let second = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let slow = QUICK_RETRY.replace("00:00:01", "01:00:00");
    let moving = |smart_host: SocketAddr| {
        format!(
            "[[send_connector]]\nname = \"Moving\"\naddress_spaces = [\"moving.example\"]\nsmart_hosts = [\"{smart_host}\"]\n"
        )
    };
    let document = [CONTOSO, &slow, OPEN_TO_TESTS, &to_sink(&first.to_string()), &moving(second)];
    let site = Site::start(&document);
    submit(&site, "<a@x.net>", "z@gmail.com", "stays");
    let late = site.client(HOST_2).submit("<a@x.net>", &["y@gmail.com"], &message("comes later", "x")).queue_id();
    submit(&site, "<a@x.net>", "z@moving.example", "moves");
    let queue = |next_hop: SocketAddr| {
        let queues = site.installation.json(&["queue", "status"])["queues"].clone();
        let wanted = format!("[{}]:{}", next_hop.ip(), next_hop.port());
        queues.as_array().expect("a list").iter().find(|queue| queue["next_hop"] == wanted).cloned().unwrap_or_default()
    };
    let kept = |queue: &serde_json::Value| {
        [
            "identity",
            "last_error",
            "state",
            "retry_count",
            "first_retry_ms",
            "last_retry_ms",
            "next_retry_ms",
            "messages",
        ]
        .map(|key| queue[key].clone())
    };
    let before = kept(&queue(first));
    assert_eq!((&before[2], &before[3], &before[7]), (&"retry".into(), &1.into(), &2.into()), "{before:?}");
    site.installation.output(&["shell", "-c", "New-Mailbox new@contoso.com -Confirm:$false"]);
    wait::until("what waited is in its queue again", || (queue(first)["messages"] == 2).then_some(()));
    assert_eq!(kept(&queue(first)), before);
    // The message that was tried keeps its attempt, and the other has had none.
    let attempts = |id: &str| site.installation.json(&["queue", "show", id])["recipients"][0]["attempts"].clone();
    assert_eq!(attempts(&late), 0);

    // Another way is taken at once.
    let sink = Setup::new().start();
    let elsewhere = moving(sink.address());
    site.write_settings(&[CONTOSO, &slow, OPEN_TO_TESTS, &to_sink(&first.to_string()), &elsewhere]);
    site.installation.output(&["reload"]);
    assert!(sink.first().text().contains("Subject: moves"));
    wait::until("what waited is in its queue again", || (queue(first)["messages"] == 2).then_some(()));
    assert_eq!(kept(&queue(first)), before);
}

#[test]
fn a_connection_that_cannot_be_opened_counts_for_all_who_wait_for_it() {
    let (site, _) = waiting_site();
    let first = submit(&site, "<a@x.net>", "z@gmail.com", "one");
    let second =
        site.client(HOST_2).submit("<a@x.net>", &["y@gmail.com", "x@gmail.com"], &message("two", "x")).queue_id();
    let attempts = |id: &str| {
        let shown = site.installation.json(&["queue", "show", id]);
        shown["recipients"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|it| it["attempts"].as_u64())
            .collect::<Vec<_>>()
    };
    assert_eq!((attempts(&first), attempts(&second)), (vec![1], vec![0, 0]));
    assert_eq!(site.installation.json(&["status"])["counters"]["deferred"], 1);
    for tries in 2..=5 {
        site.installation.output(&["queue", "retry", "--all"]);
        wait::until("one more failed", || {
            let queues = site.installation.json(&["queue", "status"]);
            (queues["queues"][0]["retry_count"] == tries && queues["queues"][0]["state"] == "retry").then_some(())
        });
    }
    assert_eq!((attempts(&first), attempts(&second)), (vec![5], vec![4, 4]));
    // Each recipient counts once for the time that it waits, and not once more with each try.
    assert_eq!(site.installation.json(&["status"])["counters"]["deferred"], 3);
    // Of the one that was tried, its passport tells of the first and each doubling.
    let text = site.installation.output(&["trace", &first]);
    assert_eq!(text.matches("  deferred  ").count(), 3, "{text}");
}

#[test]
fn of_connections_that_break_off_a_queue_shows_the_codes_alone() {
    let slow = QUICK_RETRY.replace("00:00:01", "01:00:00");
    let sink = Setup::new().answering(|stage, _| match stage {
        Stage::Rcpt(_) => Action::ReplyAndClose("421 4.3.2 <z@gmail.com> come back later"),
        _ => Action::Accept,
    });
    let sink = sink.start();
    let site = Site::start(&[CONTOSO, &slow, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    for number in 0..3 {
        site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message(&format!("number {number}"), "x"));
    }
    let shown = wait::until("the queue waits as a whole", || {
        let queue = site.installation.json(&["queue", "status"])["queues"][0].clone();
        (queue["retry_count"] == 1).then_some(queue)
    });
    assert_eq!(shown["last_error"], "421 4.3.2 Connections break off in the middle of messages");
}

#[test]
fn remove_tells_the_sender_unless_told_not_to() {
    let (site, address) = waiting_site();
    let told = submit(&site, "<bob@contoso.com>", "z@gmail.com", "removed with report");
    let untold = submit(&site, "<bob@contoso.com>", "y@gmail.com", "removed silently");
    site.installation.output(&["queue", "remove", &untold, "--no-report"]);
    site.installation.output(&["queue", "remove", &told]);
    let reports = site.wait_for_mail("bob@contoso.com", 1);
    assert_eq!(reports.len(), 1);
    assert!(reports[0].to_string().contains("removed with report"), "{}", reports[0]);
    wait::until("the queue is empty", || (site.installation.json(&["queue", "list"])["total"] == 0).then_some(()));

    // Gone is gone: nothing leaves when the next hop is back, not even after a restart.
    let site = site.restart(|server| assert!(server.stop().success()));
    let sink = Setup::new().at(address).start();
    let last = site.client(HOST_2).submit("<a@x.net>", &["x@gmail.com"], &message("the only one", "x")).queue_id();
    site.installation.run(&["queue", "retry", &last]);
    assert!(sink.first().text().contains("Subject: the only one"));
    assert_eq!(sink.count(), 1);
}

#[test]
fn status_counts_what_happened() {
    let (site, _) = waiting_site();
    submit(&site, "<a@x.net>", "z@gmail.com", "waits");
    let mut client = site.client(HOST_2);
    client.submit("<a@x.net>", &["bob@contoso.com"], &message("arrives", "x"));
    assert_eq!(client.command("MAIL FROM:<a@x.net>").code(), 250);
    assert_eq!(client.command("RCPT TO:<unknown@contoso.com>").code(), 550);

    let status = wait::until("the local delivery", || {
        let status = site.installation.json(&["status"]);
        (status["counters"]["delivered"] == 1).then_some(status)
    });
    assert_eq!(status["server_name"], "mail.contoso.com");
    assert_eq!(status["revision"], 1);
    assert_eq!(status["counters"]["messages_accepted"], 2);
    assert_eq!(status["counters"]["refusals"], 1);
    assert_eq!(status["connections"]["inbound"], 1);
    assert_eq!(status["spool"]["messages"], 1);
    assert_eq!(status["spool"]["commits"], 2);
    assert_eq!(status["listeners"][0]["address"], site.smtp().to_string());
    let text = site.installation.output(&["status"]);
    assert!(text.contains("mail.contoso.com") && text.contains(&site.smtp().to_string()), "{text}");
}

#[test]
fn commands_say_so_when_no_server_runs() {
    let installation = Installation::new(PROGRAM, &Ports::free().fill(&[CONTOSO, OPEN_TO_TESTS].concat()));
    for arguments in [&["status"][..], &["queue", "list"], &["reload"]] {
        let output = installation.run(arguments);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", text_of(&output));
        assert!(text_of(&output).contains("not running"), "{}", text_of(&output));
    }
}
