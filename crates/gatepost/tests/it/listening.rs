//! Sockets and certificates: both address families, peers that half-close, TLS files that change.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use gatepost_testkit::client::Client;
use gatepost_testkit::sink::Sink;
use gatepost_testkit::wire::certificate_for;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, Site, to_sink};

#[test]
fn both_address_families_listen_on_one_port_with_ranges_of_their_own() {
    if !gatepost_testkit::port::has_ipv6() {
        return;
    }
    let connectors = r#"
[[receive_connector]]
name = "All"
bindings = ["0.0.0.0:{smtp}", "[::]:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]

[[receive_connector]]
name = "Local host"
fqdn = "six.contoso.com"
bindings = ["[::]:{smtp}"]
remote_ip_ranges = ["::1"]
auth_mechanism = ["ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]

[[receive_connector]]
name = "One address"
fqdn = "one.contoso.com"
bindings = ["127.0.0.9:{smtp}"]
remote_ip_ranges = ["127.0.0.2"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
"#;
    let site = Site::start(&[CONTOSO, connectors]);
    let port = site.smtp().port();
    let greeting = |source: IpAddr, local: IpAddr| {
        let mut client = Client::connect_from(source, SocketAddr::new(local, port));
        client.reply();
        client.command("EHLO a").lines.swap_remove(0)
    };
    let local = |text: &str| text.parse().expect("an address");
    let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
    assert_eq!(greeting(HOST_2, local("127.0.0.1")), "250-mail.contoso.com Hello [127.0.0.2]");
    assert_eq!(greeting(six, six), "250-six.contoso.com Hello [::1]");
    // A binding to one local address is closer than the wildcard.
    assert_eq!(greeting(HOST_2, local("127.0.0.9")), "250-one.contoso.com Hello [127.0.0.2]");
}

#[test]
fn a_peer_that_sends_all_at_once_and_half_closes_gets_every_reply() {
    let sink = Sink::start();
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS, &to_sink(&sink.smart_host())]);
    let mut client = Client::connect_from(HOST_2, site.smtp());
    // No PIPELINING manners at all, as in `printf ... | nc`.
    client.send(
        "HELO nc\r\nMAIL FROM:<a@x.net>\r\nRCPT TO:<z@gmail.com>\r\nDATA\r\nSubject: piped\r\n\r\nx\r\n.\r\nQUIT\r\n",
    );
    client.close_sending();
    let codes: Vec<u16> = (0..7).map(|_| client.reply().code()).collect();
    assert_eq!(codes, [220, 250, 250, 250, 354, 250, 221]);
    client.expect_closed();
    assert!(sink.first().text().contains("Subject: piped"));
}

#[test]
fn a_handshake_that_gets_nowhere_does_not_hold_up_the_end() {
    let mut site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let mut client = site.client(HOST_2);
    assert_eq!(client.command("STARTTLS").code(), 220);
    site.server.terminate();
    client.expect_closed();
    assert!(site.server.wait().success());
    let log = site.server.log();
    assert!(!log.contains("cut off"), "{log}");
}

#[test]
fn a_peer_that_vanishes_in_the_middle_of_its_content_leaves_nothing() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let mut client = site.client(HOST_2);
    client.send("MAIL FROM:<a@x.net>\r\nRCPT TO:<bob@contoso.com>\r\nDATA\r\n");
    assert_eq!((client.reply().code(), client.reply().code(), client.reply().code()), (250, 250, 354));
    client.send("Subject: half\r\n\r\nno end");
    drop(client);
    gatepost_testkit::wait::until("the connection is gone", || {
        let status = site.installation.json(&["status"]);
        (status["connections"]["inbound"] == 0).then_some(status)
    });
    let status = site.installation.json(&["status"]);
    assert_eq!(status["counters"]["messages_accepted"], 0);
    assert_eq!(status["spool"]["messages"], 0);
}

#[test]
fn the_certificate_is_the_configured_one_and_a_reload_takes_its_successor() {
    let tls = "[tls]\ncertificate = \"cert.pem\"\nprivate_key = \"key.pem\"\n";
    let ports = crate::site::Ports::free();
    let installation = gatepost_testkit::installation::Installation::new(
        crate::site::PROGRAM,
        &ports.fill(&[CONTOSO, tls, OPEN_TO_TESTS].concat()),
    );
    let install = || {
        let (certificate, key, der) = certificate_for("mail.contoso.com");
        std::fs::write(installation.folder().join("cert.pem"), certificate).expect("write the certificate");
        std::fs::write(installation.folder().join("key.pem"), key).expect("write the key");
        der
    };
    let shown = || {
        let mut client = Client::greeted_from(HOST_2, ports.address("smtp"));
        client.start_tls();
        client.certificate()
    };
    let first = install();
    let _server = installation.start();
    assert_eq!(shown(), Some(first));
    let second = install();
    installation.output(&["reload"]);
    assert_eq!(shown(), Some(second.clone()));

    // A certificate without its key is refused as a whole.
    std::fs::remove_file(installation.folder().join("key.pem")).expect("remove the key");
    assert!(!installation.run(&["reload"]).status.success());
    assert_eq!(shown(), Some(second));
}

#[test]
fn the_self_signed_certificate_stays_the_same_across_restarts() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let shown = |site: &Site| {
        let mut client = site.client(HOST_2);
        client.start_tls();
        client.certificate()
    };
    let before = shown(&site);
    assert!(before.is_some());
    let site = site.restart(|server| assert!(server.stop().success()));
    assert_eq!(shown(&site), before);
}

#[test]
fn the_administrators_door_is_a_socket_for_owner_and_group() {
    let site = Site::start(&[CONTOSO, OPEN_TO_TESTS]);
    let door = std::fs::metadata(site.installation.data_dir().join("gatepost.sock")).expect("the socket");
    assert!(door.file_type().is_socket());
    assert_eq!(door.permissions().mode() & 0o777, 0o660);
}
