//! Urgent mail: whose it is, and that it goes first.

use std::net::{Ipv4Addr, SocketAddr};

use gatepost_testkit::port;
use gatepost_testkit::sink::Setup;
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, HOST_4, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

const STRANGERS: &str = r#"
[[receive_connector]]
name = "Internet"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.4"]
permission_groups = ["AnonymousUsers"]
"#;

#[test]
fn urgent_mail_goes_first_and_that_of_a_stranger_is_not_urgent() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let transport = format!("{QUICK_RETRY}priority_queuing_enabled = true\n").replace("00:00:01", "01:00:00");
    let one_at_a_time = format!(
        "[[send_connector]]\nname = \"Internet\"\naddress_spaces = [\"*\"]\nsmart_hosts = [\"{address}\"]\nmax_connections = 1\n"
    );
    let site = Site::start(&[CONTOSO, &transport, OPEN_TO_TESTS, STRANGERS, &one_at_a_time]);
    let urgent = |subject: &str| format!("X-Priority: 1\r\n{}", message(subject, "x"));
    let low = |subject: &str| format!("Importance: low\r\n{}", message(subject, "x"));
    let mut ids = Vec::new();
    for content in [low("third"), message("second", "x"), urgent("first")] {
        ids.push(site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &content).queue_id());
    }
    site.installation.output(&["queue", "suspend", "--queue", "Submission"]);
    ids.push(site.client(HOST_4).submit("<a@x.net>", &["bob@contoso.com"], &urgent("from a stranger")).queue_id());
    let priority = |id: &String| site.installation.json(&["queue", "show", id])["priority"].clone();
    assert_eq!(ids.iter().map(priority).collect::<Vec<_>>(), ["Low", "Normal", "High", "Normal"]);

    wait::until("the next hop could not be reached", || {
        let queues = site.installation.json(&["queue", "status"]);
        let retry =
            queues["queues"].as_array()?.iter().any(|queue| queue["messages"] == 3 && queue["state"] == "retry");
        retry.then_some(())
    });
    let sink = Setup::new().at(address).start();
    site.installation.output(&["queue", "retry", "--all"]);
    let came = sink.wait_for(3);
    let subjects: Vec<String> = came
        .iter()
        .filter_map(|mail| mail.text().lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)))
        .collect();
    assert_eq!(subjects, ["first", "second", "third"]);
}

#[test]
fn the_sender_of_urgent_mail_hears_sooner_of_a_delay_and_of_its_end() {
    let dead = port::free();
    let transport = format!(
        "{QUICK_RETRY}priority_queuing_enabled = true\nhigh_priority_delay_notification_timeout = \"00:00:01\"\n\
         high_priority_message_expiration_timeout = \"00:00:15\"\ndelay_notification_timeout = \"00:00:01\"\n"
    );
    let nowhere = to_sink(&format!("[127.0.0.1]:{dead}"));
    let site = Site::start(&[CONTOSO, &transport, OPEN_TO_TESTS, &nowhere]);
    let mut client = site.client(HOST_2);
    let patient = client.submit("<bob@contoso.com>", &["z@gmail.com"], &message("patient", "x")).queue_id();
    let urgent = format!("X-Priority: 1\r\n{}", message("urgent", "x"));
    client.submit("<bob@contoso.com>", &["z@gmail.com"], &urgent);
    let mut told: Vec<String> = site
        .wait_for_mail("bob@contoso.com", 2)
        .iter()
        .filter_map(|report| report["headers"]["Subject"].as_str().map(str::to_owned))
        .collect();
    told.sort();
    assert_eq!(told, ["Delivery delayed: urgent", "Undeliverable: urgent"]);
    let waiting = site.installation.json(&["queue", "list"]);
    assert_eq!((&waiting["total"], waiting["messages"][0]["id"].to_string()), (&1.into(), patient), "{waiting}");
}
