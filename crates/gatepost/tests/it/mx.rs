//! Routing by MX records, with a name server of our own (RFC 5321 section 5.1).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use gatepost_testkit::dns::{Dns, Record};
use gatepost_testkit::name_server::NameServer;
use gatepost_testkit::port;
use gatepost_testkit::sink::{Action, Setup, Sink, Stage};
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message};

/// Where the mail exchangers live; the third octet keeps them apart from the tests' hosts.
const MX_1: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 1);
const MX_2: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 2);
const DEAD: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 99);

/// As one connector's `fqdn` says.
const OTHER_NAME: &str = "[[receive_connector]]\nname = \"Other\"\nbindings = [\"127.0.0.9:{smtp}\"]\n\
    remote_ip_ranges = [\"127.0.0.9\"]\nfqdn = \"gate.contoso.com\"\n";

/// A site that routes everything by DNS, to `port` at every exchanger.
fn site(dns: &Dns, port: u16) -> Site {
    let transport = format!("{QUICK_RETRY}external_dns_servers = [\"{}\"]\n", dns.address());
    let connector = format!(
        "[[send_connector]]\nname = \"Internet\"\naddress_spaces = [\"SMTP:*;1\"]\ndns_routing_enabled = true\nport = {port}\n"
    );
    Site::start(&[CONTOSO, &transport, OPEN_TO_TESTS, OTHER_NAME, &connector])
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

    let route = |recipient| site.installation.json(&["route", "--resolve", "--recipient", recipient]);
    let named = route("z@y.example");
    let hosts = named["recipients"][0]["hosts"]["found"].as_array().expect("hosts");
    let tried: Vec<(&str, &str)> = hosts
        .iter()
        .map(|host| (host["name"].as_str().expect("one"), host["address"].as_str().expect("one")))
        .collect();
    let [one, two] = [MX_1, MX_2].map(|ip| format!("{ip}:{port}"));
    assert_eq!(tried, [("mx1.y.example", &*one), ("mx2.y.example", &*two)]);
    let failed = route("z@nobody.example")["recipients"][0]["hosts"]["failed"].to_string();
    assert!(failed.contains("5.4.4") || failed.contains("5.1.2"), "{failed}");
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

#[test]
fn a_host_with_one_of_our_names_is_ourselves_by_another_address() {
    let dns = Dns::start(&[
        ("y.example", Record::Mx(10, "mx1.y.example")),
        ("y.example", Record::Mx(20, "mx2.y.example")),
        ("mx1.y.example", Record::A(MX_1)),
        ("mx2.y.example", Record::A(MX_2)),
    ]);
    for name in ["Mail.Contoso.com", "gate.contoso.com"] {
        let port = port::free();
        let ourselves = Setup::new()
            .at(SocketAddr::from((MX_1, port)))
            .answering(move |stage, _| match stage {
                Stage::Hello(_) => Action::Reply(format!("250-{name} Hello\r\n250 8BITMIME").leak()),
                _ => Action::Accept,
            })
            .start();
        let worse = sink_at(MX_2, port);
        let site = site(&dns, port);
        submit(&site, "z@y.example");
        let report = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0).to_string();
        assert!(report.contains("Status: 5.4.6"), "{name}: {report}");
        assert_eq!((ourselves.count(), worse.count()), (0, 0), "{name}");
    }
}

#[test]
fn a_host_that_took_no_connection_is_tried_last_by_the_queues_of_all_domains() {
    let dns = Dns::start(&[
        ("y.example", Record::Mx(10, "dead.example")),
        ("y.example", Record::Mx(20, "mx.example")),
        ("x.example", Record::Mx(10, "dead.example")),
        ("x.example", Record::Mx(20, "mx.example")),
        ("dead.example", Record::A(DEAD)),
        ("mx.example", Record::A(MX_2)),
    ]);
    let port = port::free();
    let sink = sink_at(MX_2, port);
    let site = site(&dns, port);
    submit(&site, "z@y.example");
    assert_eq!(sink.wait_for(1).len(), 1);
    submit(&site, "z@x.example");
    assert_eq!(sink.wait_for(2).len(), 2);
    let lines = site.server.log_lines();
    let tried =
        lines.iter().filter(|line| line["fields"]["verdict"] == "unreachable" || line["verdict"] == "unreachable");
    assert_eq!(tried.count(), 1, "the dead host was tried once");
}

#[test]
fn a_host_that_greylists_is_the_one_that_is_tried_again() {
    let dns = Dns::start(&[
        ("y.example", Record::Mx(10, "mx1.example")),
        ("y.example", Record::Mx(10, "mx2.example")),
        ("mx1.example", Record::A(MX_1)),
        ("mx2.example", Record::A(MX_2)),
    ]);
    let port = port::free();
    // Each knows a recipient that it has seen before.
    let greylisting = |address: Ipv4Addr| {
        let seen = std::sync::Mutex::new(std::collections::HashSet::new());
        let behaviour = move |stage: Stage<'_>, _| match stage {
            Stage::Rcpt(path) if seen.lock().expect("no panic").insert(path.to_owned()) => {
                Action::Reply("450 4.7.1 Greylisted, please come again")
            }
            _ => Action::Accept,
        };
        Setup::new().at(SocketAddr::from((address, port))).answering(behaviour).start()
    };
    let hosts = [greylisting(MX_1), greylisting(MX_2)];
    let site = site(&dns, port);
    for number in 1..=6 {
        submit(&site, &format!("z{number}@y.example"));
        wait::until("the message arrives", || (hosts.iter().map(Sink::count).sum::<usize>() == number).then_some(()));
    }
    assert!(hosts.iter().any(|host| host.connections() == 0), "the other one was not troubled");
}

#[test]
fn domains_with_one_exchanger_share_its_connections_and_its_limit() {
    const DOMAINS: [&str; 8] =
        ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example", "g.example", "h.example"];
    let mut records = vec![("mx.example", Record::A(MX_1))];
    records.extend(DOMAINS.map(|domain| (domain, Record::Mx(10, "mx.example"))));
    let dns = Dns::start(&records);
    let port = port::free();
    let sink = sink_at(MX_1, port);
    let transport =
        format!("{QUICK_RETRY}external_dns_servers = [\"{}\"]\nmax_per_host_outbound_connections = 1\n", dns.address());
    let connector = format!("[[send_connector]]\nname = \"Internet\"\naddress_spaces = [\"*\"]\nport = {port}\n");
    let site = Site::start(&[CONTOSO, &transport, OPEN_TO_TESTS, &connector]);
    let recipients = DOMAINS.map(|domain| format!("z@{domain}"));
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    site.client(HOST_2).submit("<bob@contoso.com>", &recipients, &message("to one host", "x"));
    assert_eq!(sink.wait_for(DOMAINS.len()).len(), DOMAINS.len());
    // The goodbye of one connection may overlap the greeting of the next.
    assert!(sink.connections_peak() <= 2, "{} at a time", sink.connections_peak());
    assert!(sink.connections() < DOMAINS.len(), "{} connections", sink.connections());
    wait::until("everything is at its end", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
    assert_eq!(sink.count(), DOMAINS.len(), "each once");
}

/// What becomes of mail for a domain.
#[derive(Debug)]
enum Ending {
    /// It arrives at 127.0.5.x.
    At(u8),
    /// It arrives over IPv6, where there is IPv6.
    AtV6,
    /// Its sender gets a report with this status.
    Reported(&'static str),
    /// It waits, and this is said of it.
    Waits(&'static str),
}

#[test]
fn a_real_name_server_leads_mail_where_its_zone_says() {
    use Ending::{At, AtV6, Reported, Waits};
    const ZONE: &str = "
        a          A     127.0.5.1
        b          A     127.0.5.2
        dead       A     127.0.5.99
        six        AAAA  ::1
        here       A     127.0.0.1
        nobody     A     0.0.0.0
        cname      CNAME a
        plain      MX 10 a
        plain      MX 20 b
        backup     MX 10 dead
        backup     MX 20 b
        gone-first MX 10 nowhere
        gone-first MX 20 b
        implicit   A     127.0.5.1
        six-only   MX 10 six
        alias      CNAME plain
        via        MX 10 cname
        null       MX 0  .
        no-data    TXT   nothing
        dangling   MX 10 nowhere
        astray     CNAME nowhere
        by-number  MX 10 127.0.5.1.
        nowhere-at-all MX 10 nobody
        self       MX 10 mail.contoso.com.
        self       MX 20 a
        self-here  MX 10 here
        self-here  MX 20 a
        worse-self MX 10 a
        worse-self MX 20 here
        bogus      MX 10 a
        refused    MX 10 a
        lame       NS    ns.lame
        ns.lame    A     127.0.5.98
    ";
    const QUERY_FAILED: &str = "451 4.4.0 DNS query failed";
    let table = [
        ("plain", At(1)),
        ("backup", At(2)),
        ("gone-first", At(2)),
        ("implicit", At(1)),
        ("six-only", AtV6),
        ("alias", At(1)),
        ("via", At(1)),
        // Too long for UDP.
        ("many", At(1)),
        ("null", Reported("5.1.10")),
        ("no-such-domain", Reported("5.4.4")),
        ("no-data", Reported("5.4.4")),
        ("dangling", Reported("5.4.4")),
        ("astray", Reported("5.4.4")),
        ("by-number", Reported("5.4.4")),
        ("nowhere-at-all", Reported("5.4.4")),
        ("self", Reported("5.4.6")),
        ("self-here", Reported("5.4.6")),
        ("worse-self", At(1)),
        // A signature that ought to be there is not: somebody lies, or has a bad day (RFC 4035 section 5.5).
        ("bogus", Waits(QUERY_FAILED)),
        ("refused", Waits(QUERY_FAILED)),
        ("lame", Waits(QUERY_FAILED)),
    ];
    let many: String = (0..60).map(|i| format!("many MX {} dead-{i}\n", 20 + i)).collect();
    let zone = format!("{}\nmany MX 10 a\n{many}", ZONE.replace("\n        ", "\n"));
    let options = " local-zone: \"refused.example.\" refuse\n \
                   trust-anchor: \"bogus.example. DS 12345 13 2 \
                   1111111111111111111111111111111111111111111111111111111111111111\"\n";
    let dns = NameServer::start(&zone, options);

    let port = port::free();
    let sinks = [sink_at(MX_1, port), sink_at(MX_2, port)];
    let six = port::has_ipv6().then(|| sink_at(Ipv6Addr::LOCALHOST, port));
    let transport = format!(
        "[transport]\nmessage_retry_interval = \"01:00:00\"\nqueue_glitch_retry_interval = \"01:00:00\"\n\
         external_dns_servers = [\"{}\"]\n",
        dns.address()
    );
    let connector =
        format!("[[send_connector]]\nname = \"Internet\"\naddress_spaces = [\"SMTP:*;1\"]\nport = {port}\n");
    let here = format!("\"127.0.0.1:{{smtp}}\", \"127.0.0.1:{port}\"");
    let listening = OPEN_TO_TESTS.replace("\"127.0.0.1:{smtp}\"", &here);
    let site = Site::start(&[CONTOSO, &transport, &listening, &connector]);
    let expected: Vec<_> = table.into_iter().filter(|(_, ending)| six.is_some() || !matches!(ending, AtV6)).collect();
    for (name, _) in &expected {
        submit(&site, &format!("z@{name}.example"));
    }

    let has = |sink: &Sink, recipient: &str| {
        sink.taken().iter().any(|message| message.recipients.iter().any(|path| path.contains(recipient)))
    };
    for (name, ending) in &expected {
        let recipient = format!("<z@{name}.example>");
        match ending {
            At(last) => wait::until(name, || has(&sinks[usize::from(*last) - 1], &recipient).then_some(())),
            AtV6 => wait::until(name, || six.as_ref().is_some_and(|six| has(six, &recipient)).then_some(())),
            Reported(_) => {}
            Waits(said) => wait::until(name, || {
                let listing = site.installation.json(&["queue", "list"]);
                let waiting = listing["messages"].as_array()?.iter().find(|message| {
                    message["recipients"][0]["address"].as_str() == Some(&recipient[1..recipient.len() - 1])
                })?;
                let error = waiting["recipients"][0]["next_hop_error"].as_str()?;
                assert!(error.starts_with(said), "{name}: {error}");
                Some(())
            }),
        }
    }
    let reported = expected.iter().filter(|(_, ending)| matches!(ending, Reported(_))).count();
    let mail: Vec<String> = site.wait_for_mail("bob@contoso.com", reported).iter().map(ToString::to_string).collect();
    for (name, ending) in &expected {
        if let Reported(status) = ending {
            let recipient = format!("z@{name}.example");
            let report = mail.iter().find(|report| report.contains(&recipient)).unwrap_or_else(|| panic!("{name}"));
            assert!(report.contains(&format!("Status: {status}")), "{name}: {report}");
        }
    }
    assert_eq!(mail.len(), reported);
    let delivered = expected.iter().filter(|(_, ending)| matches!(ending, At(_) | AtV6)).count();
    let arrived: usize = sinks.iter().chain(&six).map(Sink::count).sum();
    assert_eq!(arrived, delivered, "each once");
}
