//! What a send connector says about itself, seen from its next hops: source address, HELO, order of smart hosts, limits,
//! error policies.

use std::net::{IpAddr, Ipv6Addr};

use gatepost_testkit::installation::text_of;
use gatepost_testkit::port;
use gatepost_testkit::provider::{Provider, Running};
use gatepost_testkit::sink::{Setup, Sink};
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message};
use crate::smart_host_logon::last_error;

fn plain() -> Running {
    Provider { mechanisms: "", ..Provider::default() }.start()
}

fn connector(name: &str, smart_hosts: &[&Running], more: &str) -> String {
    let hosts: Vec<_> = smart_hosts.iter().map(|host| format!("\"{}\"", host.smart_host())).collect();
    format!(
        "[[send_connector]]\nname = \"{name}\"\naddress_spaces = [\"{name}.example\"]\nsmart_hosts = [{}]\n{more}\n",
        hosts.join(", ")
    )
}

#[track_caller]
fn send(site: &Site, name: &str, count: usize) {
    let mut client = site.client(HOST_2);
    for number in 0..count {
        let to = format!("z{number}@{name}.example");
        let reply = client.submit("<bob@contoso.com>", &[&to], &message(&format!("{name} {number}"), "hello"));
        assert_eq!(reply.code(), 250, "{reply}");
    }
}

#[track_caller]
fn wait_until_empty(site: &Site) {
    wait::until("everything is at its end", || {
        (site.installation.json(&["status"])["spool"]["messages"] == 0).then_some(())
    });
}

#[test]
fn connections_come_from_the_source_address_with_the_greeting_that_is_wished() {
    let (here, wrong, helo) = (plain(), plain(), plain());
    let connectors = [
        connector("here", &[&here], "source_ip_address = \"127.0.0.9\"\nfqdn = \"out.contoso.com\""),
        connector("wrong", &[&wrong], "source_ip_address = \"192.0.2.9\""),
        connector("family", &[&wrong], "source_ip_address = \"::1\""),
        connector("helo", &[&helo], "force_helo = true"),
    ];
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &connectors.concat()]);
    send(&site, "here", 1);
    here.wait_for(1);
    let seen = here.seen().swap_remove(0);
    assert_eq!(seen.source, Some(IpAddr::from([127, 0, 0, 9])));
    assert_eq!(seen.hello, "EHLO out.contoso.com");
    send(&site, "helo", 1);
    helo.wait_for(1);
    assert_eq!(helo.seen()[0].hello, "HELO mail.contoso.com");
    send(&site, "wrong", 1);
    let error = last_error(&site, "wrong");
    assert!(error.contains("source_ip_address 192.0.2.9 is no address of this machine"), "{error}");
    send(&site, "family", 1);
    let error = last_error(&site, "family");
    assert!(error.contains("source_ip_address has no IPv4 address"), "{error}");
    assert!(wrong.seen().is_empty());
    let checked = text_of(&site.installation.run(&["check"]));
    assert!(checked.contains("wrong: this machine does not have source_ip_address 192.0.2.9"), "{checked}");
    assert!(!checked.contains("127.0.0.9"), "{checked}");
    assert!(site.server.log().contains("does not have the source address"), "{}", site.server.log());
}

#[test]
fn a_smart_host_has_a_port_or_an_address_of_either_family_and_no_tls_where_starttls_is_ignored() {
    let clear = Setup::new().offering("STARTTLS").start();
    let by_port = Sink::start();
    let six = port::has_ipv6().then(|| Setup::new().at((Ipv6Addr::LOCALHOST, port::free()).into()).start());
    let port = by_port.address().port();
    let mut connectors = format!(
        "[[send_connector]]\nname = \"clear\"\naddress_spaces = [\"clear.example\"]\nsmart_hosts = [\"{}\"]\nignore_starttls = true\n\
         [[send_connector]]\nname = \"port\"\naddress_spaces = [\"port.example\"]\nsmart_hosts = [\"[127.0.0.1]\"]\nport = {port}\n",
        clear.smart_host()
    );
    if let Some(six) = &six {
        let host = format!("[::1]:{}", six.address().port());
        connectors += &format!(
            "[[send_connector]]\nname = \"six\"\naddress_spaces = [\"six.example\"]\nsmart_hosts = [\"{host}\"]\n"
        );
    }
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &connectors]);
    send(&site, "clear", 1);
    assert!(!clear.first().tls);
    send(&site, "port", 1);
    assert!(by_port.first().recipients[0].starts_with("<z0@port.example>"));
    if let Some(six) = &six {
        send(&site, "six", 1);
        assert!(six.first().recipients[0].starts_with("<z0@six.example>"));
    }
}

#[test]
fn several_smart_hosts_share_the_work_or_stand_in_for_the_first() {
    const MESSAGES: usize = 24;
    let [one, two, first, second, stand_in] = [(); 5].map(|()| plain());
    let gone = plain();
    let one_each = "smtp_max_messages_per_connection = 1";
    let connectors = [
        connector("shared", &[&one, &two], one_each),
        connector("ordered", &[&first, &second], &format!("{one_each}\nsmart_hosts_order = \"ordered\"")),
        connector("down", &[&gone, &stand_in], "smart_hosts_order = \"ordered\""),
    ];
    drop(gone);
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &connectors.concat()]);
    for name in ["shared", "ordered"] {
        send(&site, name, MESSAGES);
    }
    send(&site, "down", 1);
    wait_until_empty(&site);
    let (one, two) = (one.contents().len(), two.contents().len());
    assert_eq!(one + two, MESSAGES);
    assert!(one > 0 && two > 0, "{one} and {two}: by chance once in eight million runs");
    assert_eq!((first.contents().len(), second.contents().len()), (MESSAGES, 0));
    assert_eq!(stand_in.contents().len(), 1);
}

#[test]
fn a_connector_keeps_its_own_limits_of_connections_and_of_messages() {
    let (narrow, slow) = (plain(), plain());
    let connectors = [
        connector("narrow", &[&narrow], "max_connections = 2\nsmtp_max_messages_per_connection = 5"),
        connector("slow", &[&slow], "messages_per_minute = 3"),
    ];
    let site = Site::start(&[CONTOSO, QUICK_RETRY, OPEN_TO_TESTS, &connectors.concat()]);
    send(&site, "slow", 5);
    let error = last_error(&site, "slow");
    assert!(error.contains("as many messages as it may in a minute"), "{error}");
    assert_eq!(slow.contents().len(), 3);
    send(&site, "narrow", 200);
    narrow.wait_for(200);
    assert!(narrow.connections_peak() <= 2, "{}", narrow.connections_peak());
    assert_eq!(slow.contents().len(), 3, "the others wait");
    let queues = site.installation.json(&["status"])["queues"].clone();
    let queue = queues.as_array().and_then(|queues| queues.iter().find(|queue| queue["connector"] == "slow"));
    assert!(queue.is_some_and(|queue| queue["messages"] == 2 && queue["next_retry_ms"].is_u64()), "{queues}");
}

#[test]
fn custom_failures_are_taken_for_what_the_administrator_knows_them_to_be() {
    let refusing = |rcpt| Provider { mechanisms: "", rcpt, ..Provider::default() }.start();
    let never = refusing("550 5.7.1 Not today");
    let later = refusing("450 4.2.1 Never");
    let dns = gatepost_testkit::dns::Dns::start(&[]);
    let servers = format!("external_dns_servers = [\"{}\"]\n", dns.address());
    let down = "error_policies = [\"DowngradeCustomFailures\", \"UpgradeCustomFailures\"]\n\
                downgrade_codes = [\"5.7.1\"]\nupgrade_codes = [\"450 4.2.1\"]";
    let by_dns = |name: &str, more: &str| {
        format!("[[send_connector]]\nname = \"{name}\"\naddress_spaces = [\"{name}.example\"]\n{more}\n")
    };
    let connectors = [
        connector("downgraded", &[&never], down),
        connector("upgraded", &[&later], down),
        connector("plain", &[&never], ""),
        by_dns("gone", ""),
        by_dns("hoped", "error_policies = \"DowngradeDnsFailures\""),
    ];
    let site = Site::start(&[CONTOSO, QUICK_RETRY, &servers, OPEN_TO_TESTS, &connectors.concat()]);
    for name in ["upgraded", "plain", "gone"] {
        send(&site, name, 1);
    }
    let reports = site.wait_for_mail("bob@contoso.com", 3);
    let text = serde_json::to_string(&reports).expect("JSON");
    assert!(text.contains("said as 450 4.2.1; error_policies: UpgradeCustomFailures"), "{text}");
    wait_until_empty(&site);
    send(&site, "hoped", 1);
    let error = last_error(&site, "hoped");
    assert!(error.contains("nonexistent domain") && error.contains("DowngradeDnsFailures"), "{error}");
    send(&site, "downgraded", 1);
    let waiting = wait::until("a second attempt", || {
        (never.seen().len() >= 2).then(|| site.installation.json(&["queue", "list"]))
    });
    assert_eq!(waiting["total"], 2, "{waiting}");
    assert_eq!(site.wait_for_mail("bob@contoso.com", 3).len(), 3, "nobody was told of these");
}

#[test]
fn usage_internal_has_no_limit_of_size_and_the_others_have_exchanges() {
    let sink = Sink::start();
    let way = |name: &str, usage: &str| {
        format!(
            "[[send_connector]]\nname = \"{name}\"\naddress_spaces = [\"{name}.example\"]\nsmart_hosts = [\"{}\"]\nusage = \"{usage}\"\n",
            sink.smart_host()
        )
    };
    let tests = OPEN_TO_TESTS.replace("name = \"Tests\"", "name = \"Tests\"\nmax_message_size = \"50 MB\"");
    let site = Site::start(&[CONTOSO, QUICK_RETRY, &tests, &way("inner", "Internal"), &way("outer", "Internet")]);
    let line = "x".repeat(998) + "\r\n";
    let large = message("large", &line.repeat(36 << 10));
    let mut client = site.client(HOST_2);
    for domain in ["inner.example", "outer.example"] {
        assert_eq!(client.submit("<bob@contoso.com>", &[&format!("z@{domain}")], &large).code(), 250);
    }
    assert!(sink.first().recipients[0].starts_with("<z@inner.example>"));
    let reports = site.wait_for_mail("bob@contoso.com", 1);
    assert!(reports[0].to_string().contains("z@outer.example"));
    assert_eq!(sink.count(), 1);
}
