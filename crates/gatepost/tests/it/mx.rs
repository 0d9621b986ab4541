//! Routing by MX records, with a name server of our own (RFC 5321 section 5.1).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use gatepost_testkit::dns::{Dns, Record};
use gatepost_testkit::port;
use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message};

/// Where the mail exchangers live; the third octet keeps them apart from the tests' hosts.
const MX_1: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 1);
const MX_2: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 2);
const DEAD: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 99);

/// A site that routes everything by DNS, to `port` at every exchanger.
fn site(dns: &Dns, port: u16) -> Site {
    let transport = format!("{QUICK_RETRY}external_dns_servers = [\"{}\"]\n", dns.address());
    let connector = format!(
        "[[send_connector]]\nname = \"Internet\"\naddress_spaces = [\"SMTP:*;1\"]\ndns_routing_enabled = true\nport = {port}\n"
    );
    Site::start(&[CONTOSO, &transport, OPEN_TO_TESTS, &connector])
}

fn sink_at(address: impl Into<std::net::IpAddr>, port: u16) -> Sink {
    Setup::new().at(SocketAddr::new(address.into(), port)).start()
}

fn submit(site: &Site, recipient: &str) {
    site.client(HOST_2).submit("<bob@contoso.com>", &[recipient], &message("by mx", "x"));
}

#[test]
fn the_exchanger_with_the_lowest_preference_gets_the_mail() {
    let dns = Dns::start(&[
        ("y.example", Record::Mx(20, "mx2.y.example")),
        ("y.example", Record::Mx(10, "mx1.y.example")),
        ("mx1.y.example", Record::A(MX_1)),
        ("mx2.y.example", Record::A(MX_2)),
    ]);
    let port = port::free();
    let (first, second) = (sink_at(MX_1, port), sink_at(MX_2, port));
    let site = site(&dns, port);
    submit(&site, "z@y.example");
    assert!(first.first().recipients[0].starts_with("<z@y.example>"));
    assert_eq!(second.count(), 0);
}

#[test]
fn the_second_exchanger_takes_over_when_the_first_is_down() {
    let dns = Dns::start(&[
        ("y.example", Record::Mx(10, "mx1.y.example")),
        ("y.example", Record::Mx(20, "mx2.y.example")),
        ("mx1.y.example", Record::A(DEAD)),
        ("mx2.y.example", Record::A(MX_2)),
    ]);
    let port = port::free();
    let second = sink_at(MX_2, port);
    let site = site(&dns, port);
    submit(&site, "z@y.example");
    assert_eq!(second.wait_for(1).len(), 1);
}

#[test]
fn the_second_exchanger_takes_over_when_the_first_is_busy() {
    let dns = Dns::start(&[
        ("y.example", Record::Mx(10, "mx1.y.example")),
        ("y.example", Record::Mx(20, "mx2.y.example")),
        ("mx1.y.example", Record::A(MX_1)),
        ("mx2.y.example", Record::A(MX_2)),
    ]);
    let port = port::free();
    let busy = Setup::new()
        .at(SocketAddr::from((MX_1, port)))
        .answering(|stage, _| match stage {
            Stage::Connect => Action::ReplyAndClose("421 4.3.2 too busy"),
            _ => Action::Accept,
        })
        .start();
    let second = sink_at(MX_2, port);
    let site = site(&dns, port);
    submit(&site, "z@y.example");
    assert_eq!(second.wait_for(1).len(), 1);
    assert!(busy.connections() >= 1);
}

#[test]
fn an_address_that_is_dead_gives_way_to_the_next_one_of_either_family() {
    let dns = Dns::start(&[
        ("four.example", Record::Mx(10, "mx.four.example")),
        ("mx.four.example", Record::Aaaa(Ipv6Addr::LOCALHOST)),
        ("mx.four.example", Record::A(MX_1)),
        ("six.example", Record::Mx(10, "mx.six.example")),
        ("mx.six.example", Record::A(DEAD)),
        ("mx.six.example", Record::Aaaa(Ipv6Addr::LOCALHOST)),
    ]);
    let port = port::free();
    let four = sink_at(MX_1, port);
    {
        let site = site(&dns, port);
        submit(&site, "z@four.example");
        assert_eq!(four.wait_for(1).len(), 1);
    }
    if port::has_ipv6() {
        let port = port::free();
        let six = sink_at(Ipv6Addr::LOCALHOST, port);
        let site = site(&dns, port);
        submit(&site, "z@six.example");
        assert_eq!(six.wait_for(1).len(), 1);
    }
}

#[test]
fn a_domain_without_mx_is_its_own_exchanger() {
    let dns = Dns::start(&[("y.example", Record::A(MX_1))]);
    let port = port::free();
    let sink = sink_at(MX_1, port);
    let site = site(&dns, port);
    submit(&site, "z@y.example");
    assert_eq!(sink.wait_for(1).len(), 1);
}

#[test]
fn an_address_literal_needs_no_name_server() {
    let dns = Dns::start(&[]);
    let port = port::free();
    let sink = sink_at(MX_1, port);
    let site = site(&dns, port);
    submit(&site, &format!("z@[{MX_1}]"));
    assert_eq!(sink.wait_for(1).len(), 1);
}

#[test]
fn domains_of_one_message_are_delivered_apart() {
    let dns = Dns::start(&[("y.example", Record::A(MX_1)), ("x.example", Record::A(MX_2))]);
    let port = port::free();
    let (first, second) = (sink_at(MX_1, port), sink_at(MX_2, port));
    let site = site(&dns, port);
    let recipients = ["a@y.example", "b@x.example", "c@Y.example"];
    site.client(HOST_2).submit("<bob@contoso.com>", &recipients, &message("two ways", "x"));
    assert_eq!(first.first().recipients.len(), 2);
    assert_eq!(second.first().recipients.len(), 1);
}

#[test]
fn a_domain_that_does_not_exist_is_reported_at_once() {
    let dns = Dns::start(&[]);
    let site = site(&dns, port::free());
    submit(&site, "z@nonexistent.example");
    let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    let status = report["parts"][1][1].as_str().expect("the delivery status");
    assert!(status.contains("Status: 5.4.4"), "{status}");
}

#[test]
fn a_domain_that_takes_no_mail_is_reported_at_once() {
    // RFC 7505: the null MX.
    let dns = Dns::start(&[("y.example", Record::Mx(0, "")), ("y.example", Record::A(MX_1))]);
    let port = port::free();
    let sink = sink_at(MX_1, port);
    let site = site(&dns, port);
    submit(&site, "z@y.example");
    let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    let status = report["parts"][1][1].as_str().expect("the delivery status");
    assert!(status.contains("Status: 5.1.10") || status.contains("Status: 5.4."), "{status}");
    assert_eq!(sink.count(), 0);
}

#[test]
fn a_name_server_that_fails_makes_mail_wait() {
    let dns = Dns::start(&[("y.example", Record::Failure)]);
    let site = site(&dns, port::free());
    submit(&site, "z@y.example");
    let waiting = wait::until("a failed attempt", || {
        let listing = site.installation.json(&["queue", "list"]);
        let recipient = listing["messages"][0]["recipients"][0].clone();
        recipient["next_hop_error"].is_string().then_some(recipient)
    });
    let reply = waiting["next_hop_error"].as_str().expect("why it waits").to_owned();
    assert!(reply.starts_with("451 4.4."), "{reply}");
    assert!(dns.questions().iter().any(|question| question == "y.example MX"), "{:?}", dns.questions());
}
