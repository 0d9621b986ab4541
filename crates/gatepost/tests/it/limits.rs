//! Limits that need more than one dialogue: connections, hops, sizes that nobody declared, time.

use gatepost_testkit::client::Client;
use gatepost_testkit::sink::Sink;
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, HOST_3, OPEN_TO_TESTS, Site, to_sink};

const FEW_CONNECTIONS: &str = r#"
[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
max_inbound_connection_percentage_per_source = 100
"#;

#[test]
fn one_source_gets_no_more_connections_than_its_share() {
    let site = Site::start(&[CONTOSO, &format!("{FEW_CONNECTIONS}max_inbound_connection_per_source = 3\n")]);
    let mut open: Vec<Client> = (0..3).map(|_| site.client(HOST_2)).collect();

    let mut refused = Client::connect_from(HOST_2, site.smtp());
    let reply = refused.reply().to_string();
    assert!(reply.starts_with("421 4.3.2 The maximum number of concurrent "), "{reply}");
    assert!(reply.ends_with("closing transmission channel"), "{reply}");
    refused.expect_closed();
    // Other sources are not concerned, and those inside go on.
    assert_eq!(site.client(HOST_3).command("NOOP").code(), 250);
    assert_eq!(open[0].command("NOOP").code(), 250);

    // A connection that ends makes room.
    open[0].command("QUIT");
    open.remove(0).expect_closed();
    wait::until("there is room again", || {
        let mut client = Client::connect_from(HOST_2, site.smtp());
        (client.reply().code() == 220).then_some(())
    });
}

#[test]
fn a_peer_that_is_one_too_many_gets_no_tls_handshake() {
    let connector = FEW_CONNECTIONS.replace("{smtp}", "{tls}");
    let limits = "implicit_tls = true\nmax_inbound_connection_per_source = 1\n";
    let site = Site::start(&[CONTOSO, &format!("{connector}{limits}")]);
    let mut first = Client::connect_from(HOST_2, site.port("tls"));
    first.handshake();
    assert_eq!(first.reply().code(), 220);
    // It may be silent: it is turned away before it has begun.
    Client::connect_from(HOST_2, site.port("tls")).expect_closed();
    assert_eq!(first.command("NOOP").code(), 250);
}

#[test]
fn a_connector_gets_no_more_connections_than_its_maximum() {
    let site = Site::start(&[CONTOSO, &format!("{FEW_CONNECTIONS}max_inbound_connection = 2\n")]);
    let _first = site.client(HOST_2);
    let _second = site.client(HOST_3);
    let mut refused = Client::connect_from("127.0.0.9".parse().expect("an address"), site.smtp());
    assert_eq!(
        refused.reply().to_string(),
        "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel"
    );
    refused.expect_closed();
}

#[test]
fn content_beyond_the_size_limit_is_refused_at_its_end() {
    let site = Site::start(&[CONTOSO, &format!("{FEW_CONNECTIONS}max_message_size = \"64 KB\"\n")]);
    let mut client = site.client(HOST_2);
    let large = "0123456789abcdef\r\n".repeat(5_000);
    let reply = client.submit("<a@x.net>", &["bob@contoso.com"], &format!("Subject: large\r\n\r\n{large}"));
    assert_eq!(reply.to_string(), "552 5.3.4 Message size exceeds fixed maximum message size");
    // The session goes on, and nothing of the large message was kept.
    let reply = client.submit("<a@x.net>", &["bob@contoso.com"], "Subject: small\r\n\r\n");
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(client.command("QUIT").code(), 221);
}

#[test]
fn a_header_section_beyond_its_limit_is_refused() {
    let site = Site::start(&[CONTOSO, &format!("{FEW_CONNECTIONS}max_header_size = \"4 KB\"\n")]);
    let mut client = site.client(HOST_2);
    let fields = "X-Field: 0123456789abcdef\r\n".repeat(1_000);
    let reply = client.submit("<a@x.net>", &["bob@contoso.com"], &format!("{fields}\r\nbody\r\n"));
    assert!(reply.to_string().starts_with("552 5.3.4 "), "{reply}");
    // The same bytes below the header section are fine.
    let reply = client.submit("<a@x.net>", &["bob@contoso.com"], &format!("Subject: x\r\n\r\n{fields}"));
    assert_eq!(reply.code(), 250, "{reply}");
}

#[test]
fn too_many_received_fields_are_a_loop() {
    let sink = Sink::start();
    let connector = format!("{OPEN_TO_TESTS}max_hop_count = 5\nmax_local_hop_count = 2\n");
    let site = Site::start(&[CONTOSO, &connector, &to_sink(&sink.smart_host())]);
    let mut client = site.client(HOST_2);
    let mut submit = |by: &str, count: usize| {
        let trace =
            format!("Received: from a by {by}\r\n\twith ESMTP; Fri, 20 Nov 2026 14:01:02 +0000\r\n").repeat(count);
        client.submit("<a@x.net>", &["z@gmail.com"], &format!("{trace}Subject: loop\r\n\r\n")).to_string()
    };
    let looped = "554 5.4.6 Hop count exceeded - possible mail loop";
    assert!(submit("other.example", 5).starts_with("250 "));
    assert_eq!(submit("other.example", 6), looped);
    assert!(submit("mail.contoso.com", 2).starts_with("250 "));
    assert_eq!(submit("mail.contoso.com", 3), looped);
    assert_eq!(sink.wait_for(2).len(), 2);
}

#[test]
fn a_silent_peer_is_told_so_and_left() {
    let connector = format!("{FEW_CONNECTIONS}connection_inactivity_timeout = \"00:00:01\"\n");
    let site = Site::start(&[CONTOSO, &connector]);
    let mut client = site.client(HOST_2);
    assert_eq!(client.reply().to_string(), "421 4.4.1 Connection timed out");
    client.expect_closed();
}

#[test]
fn a_peer_cannot_stretch_its_session_by_talking() {
    let times = "connection_timeout = \"00:00:02\"\nconnection_inactivity_timeout = \"00:00:01\"\n";
    let site = Site::start(&[CONTOSO, &format!("{FEW_CONNECTIONS}{times}")]);
    let mut client = site.client(HOST_2);
    wait::until("the session ends", || match client.try_send_bytes(b"NOOP\r\n").and_then(|()| client.try_reply()) {
        Ok(reply) if reply.code() == 250 => None,
        Ok(reply) => {
            assert_eq!(reply.code(), 421, "{reply}");
            Some(())
        }
        Err(_) => Some(()),
    });
}
