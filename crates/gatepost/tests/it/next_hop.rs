//! Next hops that refuse, hang up, go down and come back; connections to them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use gatepost_testkit::port;
use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

/// What the first attempt runs into; the second one must deliver, once.
fn delivered_at_the_second_attempt(behaviour: impl Fn(Stage<'_>, usize) -> Action + Send + Sync + 'static) {
    let sink = Setup::new().answering(behaviour).start();
    let site = Site::relaying_to(&sink.smart_host());
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("try again", "x"));
    let taken = sink.first();
    assert!(taken.recipients[0].starts_with("<z@gmail.com>"), "{:?}", taken.recipients);
    wait::until("the message is at its end", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
    assert_eq!(sink.count(), 1, "once");
}

#[test]
fn a_greeting_with_4xx_is_tried_again() {
    delivered_at_the_second_attempt(|stage, seen| match (stage, seen) {
        (Stage::Connect, 0) => Action::ReplyAndClose("421 4.3.2 not now"),
        _ => Action::Accept,
    });
}

#[test]
fn a_sender_refused_with_4xx_is_tried_again() {
    delivered_at_the_second_attempt(|stage, seen| match (stage, seen) {
        (Stage::Mail(_), 0) => Action::Reply("451 4.7.1 greylisted"),
        _ => Action::Accept,
    });
}

#[test]
fn a_recipient_refused_with_4xx_is_tried_again() {
    delivered_at_the_second_attempt(|stage, seen| match (stage, seen) {
        (Stage::Rcpt(_), 0) => Action::Reply("450 4.2.1 mailbox busy"),
        _ => Action::Accept,
    });
}

#[test]
fn content_refused_with_4xx_is_tried_again() {
    delivered_at_the_second_attempt(|stage, seen| match (stage, seen) {
        (Stage::End, 0) => Action::Reply("452 4.3.1 disk full"),
        _ => Action::Accept,
    });
}

#[test]
fn a_connection_lost_in_the_middle_is_tried_again() {
    delivered_at_the_second_attempt(|stage, seen| match (stage, seen) {
        (Stage::Data, 0) => Action::Drop,
        _ => Action::Accept,
    });
}

#[test]
fn a_connection_lost_after_the_content_is_tried_again() {
    delivered_at_the_second_attempt(|stage, seen| match (stage, seen) {
        (Stage::End, 0) => Action::Drop,
        _ => Action::Accept,
    });
}

#[test]
fn nonsense_for_a_reply_is_tried_again() {
    delivered_at_the_second_attempt(|stage, seen| match (stage, seen) {
        (Stage::Mail(_), 0) => Action::ReplyAndClose("welcome to the machine"),
        _ => Action::Accept,
    });
}

#[test]
fn only_the_recipient_that_was_deferred_is_tried_again() {
    let sink = Setup::new()
        .answering(|stage, seen| match (stage, seen) {
            (Stage::Rcpt(path), 0..=2) if path.starts_with("<later@") => Action::Reply("450 4.2.1 mailbox busy"),
            _ => Action::Accept,
        })
        .start();
    let site = Site::relaying_to(&sink.smart_host());
    site.client(HOST_2).submit("<a@x.net>", &["now@y.net", "later@y.net"], &message("per recipient", "x"));
    let taken = sink.wait_for(2);
    assert_eq!(taken.len(), 2);
    assert!(taken[0].recipients.len() == 1 && taken[0].recipients[0].starts_with("<now@y.net>"), "{:?}", taken[0]);
    assert!(taken[1].recipients.len() == 1 && taken[1].recipients[0].starts_with("<later@y.net>"), "{:?}", taken[1]);
}

#[test]
fn the_queue_shows_a_next_hop_that_is_down_and_empties_when_it_is_back() {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port::free()));
    let smart_host = format!("[{}]:{}", address.ip(), address.port());
    let site = Site::relaying_to(&smart_host);
    let id = site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("waits", "x")).queue_id();

    let waiting = wait::until("a failed attempt", || {
        let listing = site.installation.json(&["queue", "list"]);
        listing["messages"][0]["recipients"][0]["next_hop_error"].is_string().then_some(listing)
    });
    assert_eq!(waiting["total"], 1);
    let listed = &waiting["messages"][0];
    assert_eq!(listed["id"].to_string(), id);
    assert_eq!(listed["reverse_path"], "<a@x.net>");
    assert_eq!(listed["connector"], "Tests");
    assert_eq!(listed["recipients"][0]["address"], "z@gmail.com");
    assert_eq!(listed["recipients"][0]["next_hop"].as_str(), Some(smart_host.as_str()));
    let reply = listed["recipients"][0]["next_hop_error"].as_str().expect("why it waits");
    assert!(reply.contains("refused"), "{reply}");

    let queues = site.installation.json(&["status"])["queues"].clone();
    let queue =
        queues.as_array().and_then(|queues| queues.iter().find(|queue| queue["next_hop"] == smart_host.as_str()));
    let queue = queue.unwrap_or_else(|| panic!("no queue for the next hop in {queues}"));
    assert_eq!(queue["connector"], "Internet");
    assert!(queue["last_error"].is_string(), "{queue}");

    let sink = Setup::new().at(address).start();
    assert!(sink.first().text().contains("Subject: waits"));
    wait::until("the queue is empty", || (site.installation.json(&["queue", "list"])["total"] == 0).then_some(()));
}

#[test]
fn a_second_smart_host_takes_over_when_the_first_is_down() {
    let sink = Sink::start();
    let dead = port::free();
    let hosts = format!(r#"[127.0.0.1]:{dead}", "{}"#, sink.smart_host());
    let site = Site::relaying_to(&hosts);
    for i in 0..4 {
        site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message(&format!("number {i}"), "x"));
    }
    assert_eq!(sink.wait_for(4).len(), 4);
}

#[test]
fn a_connection_is_reused_up_to_its_number_of_messages() {
    let sink = Sink::start();
    let connector = format!("{}smtp_max_messages_per_connection = 5\n", to_sink(&sink.smart_host()));
    let transport = format!("{QUICK_RETRY}max_per_domain_outbound_connections = 1\n");
    let site = Site::start(&[CONTOSO, &transport, OPEN_TO_TESTS, &connector]);
    let mut client = site.client(HOST_2);
    for i in 0..20 {
        client.submit("<a@x.net>", &["z@gmail.com"], &message(&format!("number {i}"), "x"));
    }
    let taken = sink.wait_for(20);
    // The goodbye of one connection may overlap the greeting of the next.
    assert!(sink.connections_peak() <= 2, "one connection at a time, not {}", sink.connections_peak());
    for connection in 0..sink.connections() {
        let carried = taken.iter().filter(|message| message.connection == connection).count();
        assert!(carried <= 5, "connection {connection} carried {carried}");
    }
    assert!(sink.connections() < 20, "connections are reused");
}

#[test]
fn tls_is_used_where_the_next_hop_offers_it() {
    let sink = Setup::new().offering("STARTTLS").start();
    let site = Site::relaying_to(&sink.smart_host());
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("encrypted", "x"));
    assert!(sink.first().tls);
}

#[test]
fn a_next_hop_whose_tls_does_not_work_gets_its_mail_in_clear() {
    for refusal in [Action::Reply("454 4.7.0 TLS not available"), Action::ReplyAndClose("220 2.0.0 go ahead")] {
        let sink = Setup::new()
            .offering("STARTTLS")
            .answering(move |stage, _| match stage {
                Stage::StartTls => refusal.clone(),
                _ => Action::Accept,
            })
            .start();
        let site = Site::relaying_to(&sink.smart_host());
        site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("opportunistic", "x"));
        assert!(!sink.first().tls);
    }
}

#[test]
fn a_next_hop_that_hangs_holds_up_nobody_else() {
    let hanging = Setup::new()
        .answering(|stage, _| match stage {
            Stage::Mail(_) => Action::Hang,
            _ => Action::Accept,
        })
        .start();
    let others = Sink::start();
    let connector = format!(
        "[[send_connector]]\nname = \"Stuck\"\naddress_spaces = [\"stuck.example\"]\nsmart_hosts = [\"{}\"]\n",
        hanging.smart_host()
    );
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(&others.smart_host()), &connector]);
    let mut client = site.client(HOST_2);
    for i in 0..30 {
        client.submit("<a@x.net>", &["z@stuck.example", "z@gmail.com"], &message(&format!("number {i}"), "x"));
    }
    assert_eq!(others.wait_for(30).len(), 30);
    assert_eq!(hanging.count(), 0);
}

/// A next hop that says yes up to 354, then keeps the connection and never reads again.
fn never_reads_content() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for socket in listener.incoming().map_while(Result::ok) {
            let (mut lines, mut socket) = (BufReader::new(socket.try_clone().expect("a second handle")), socket);
            let mut line = String::new();
            let mut reply: &[u8] = b"220 ready\r\n";
            while socket.write_all(reply).is_ok() && !reply.starts_with(b"354") {
                line.clear();
                reply = match lines.read_line(&mut line) {
                    Ok(1..) if line == "DATA\r\n" => b"354 go on\r\n",
                    Ok(1..) => b"250 yes\r\n",
                    _ => break,
                };
            }
            kept.push(socket);
        }
    });
    address
}

#[test]
fn a_next_hop_that_stops_reading_is_left_as_soon_as_a_silent_one() {
    let connector = format!(
        "{}connection_inactivity_timeout = \"00:00:01\"\n",
        to_sink(&format!("[127.0.0.1]:{}", never_reads_content().port()))
    );
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &connector]);
    // More than the buffers of two sockets hold.
    let body = format!("{}\r\n", "x".repeat(998)).repeat(16_000);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("stuck", &body));
    wait::until("the attempt is given up", || {
        let listing = site.installation.json(&["queue", "list"]);
        listing["messages"][0]["recipients"][0]["last_reply"].is_string().then_some(())
    });
}

#[test]
fn mail_that_must_be_encrypted_waits_for_a_next_hop_that_can() {
    let plain = Sink::start();
    let connector = format!("{}require_tls = true\n", to_sink(&plain.smart_host()));
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &connector]);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("secret", "x"));
    wait::until("a failed attempt", || {
        let listing = site.installation.json(&["queue", "list"]);
        listing["messages"][0]["recipients"][0]["next_hop_error"].is_string().then_some(())
    });
    assert_eq!(plain.count(), 0);

    let address = plain.address();
    plain.stop();
    let encrypted = Setup::new().at(address).offering("STARTTLS").start();
    assert!(encrypted.first().tls);
}

#[test]
fn recipients_without_a_route_wait_and_go_on_when_there_is_one() {
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS]);
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("no way out", "x"));
    let listing = site.installation.json(&["queue", "list"]);
    assert_eq!(listing["total"], 1);

    let sink = Sink::start();
    site.write_settings(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    site.installation.output(&["reload"]);
    assert!(sink.first().text().contains("Subject: no way out"));
}

#[test]
fn the_most_specific_address_space_gets_the_mail() {
    let everything = Sink::start();
    let partner = Sink::start();
    let connector = format!(
        "[[send_connector]]\nname = \"Partner\"\naddress_spaces = [\"*.partner.example;10\"]\nsmart_hosts = [\"{}\"]\n",
        partner.smart_host()
    );
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &to_sink(&everything.smart_host()), &connector]);
    let recipients = ["a@partner.example", "b@sub.partner.example", "c@notpartner.example"];
    site.client(HOST_2).submit("<a@x.net>", &recipients, &message("by address space", "x"));
    assert_eq!(partner.first().recipients.len(), 2);
    let rest = everything.first();
    assert!(rest.recipients.len() == 1 && rest.recipients[0].starts_with("<c@notpartner.example>"));
}

#[test]
fn sigterm_does_not_wait_for_a_next_hop_that_hangs() {
    let address = SocketAddr::from(([127, 0, 0, 1], port::free()));
    let hanging = Setup::new()
        .at(address)
        .answering(|stage, _| match stage {
            Stage::Mail(_) => Action::Hang,
            _ => Action::Accept,
        })
        .start();
    let site = Site::relaying_to(&hanging.smart_host());
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("not yet", "x"));
    wait::until("the attempt", || (hanging.connections() == 1).then_some(()));
    let begin = std::time::Instant::now();
    let site = site.restart(|server| {
        assert!(server.stop().success());
        hanging.stop();
    });
    assert!(begin.elapsed().as_secs() < 20, "it took {:?}", begin.elapsed());
    // The attempt that was given up is made again.
    let sink = Setup::new().at(address).start();
    assert!(sink.first().text().contains("Subject: not yet"));
    drop(site);
}

#[test]
fn a_connection_that_hangs_holds_up_nothing_for_the_same_next_hop() {
    let sink = Setup::new()
        .answering(|stage, seen| match (stage, seen) {
            (Stage::Mail(_), 0) => Action::Hang,
            _ => Action::Accept,
        })
        .start();
    let site = Site::relaying_to(&sink.smart_host());
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("stuck", "x"));
    wait::until("the attempt that hangs", || (sink.connections() == 1).then_some(()));
    site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("not stuck", "x"));
    assert!(sink.first().text().contains("Subject: not stuck"));
    sink.stop();
}
