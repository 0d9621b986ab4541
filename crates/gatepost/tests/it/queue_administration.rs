//! What an administrator does to queues and messages, and what becomes of a message that the server dies of.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_testkit::installation::{Installation, text_of};
use gatepost_testkit::port;
use gatepost_testkit::shim::{Action, Rule, call};
use gatepost_testkit::sink::{Setup, Sink};
use gatepost_testkit::wait;
use serde_json::{Value, json};

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message, to_sink};

/// A site whose next hop is down, with retries an hour apart, and a second way out.
fn waiting_site() -> (Site, SocketAddr, Sink) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let slow = QUICK_RETRY.replace("00:00:01", "01:00:00");
    let smart_host = to_sink(&format!("[{}]:{}", address.ip(), address.port()));
    let second = Sink::start();
    let backup = format!(
        "[[send_connector]]\nname = \"Backup\"\naddress_spaces = [\"backup.example\"]\nsmart_hosts = [\"{}\"]\n",
        second.smart_host()
    );
    (Site::start(&[CONTOSO, &slow, OPEN_TO_TESTS, &smart_host, &backup]), address, second)
}

fn submit(site: &Site, sender: &str, subject: &str) -> String {
    let id = site.client(HOST_2).submit(sender, &["z@gmail.com"], &message(subject, "x")).queue_id();
    wait::until("a failed attempt", || {
        let detail = site.installation.json(&["queue", "show", &id]);
        detail["recipients"][0]["next_hop_error"].is_string().then_some(())
    });
    id
}

fn status_of(installation: &Installation, id: &str) -> String {
    installation.json(&["queue", "show", id])["status"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_suspended_message_stays_across_a_restart_and_goes_when_it_is_resumed() {
    let (site, address, _) = waiting_site();
    let held = submit(&site, "<a@x.net>", "held");
    let other = submit(&site, "<b@x.net>", "goes on");
    assert_eq!(status_of(&site.installation, &held), "Retry");
    let refused = site.installation.run(&["queue", "export", &held]);
    assert!(text_of(&refused).contains("queue suspend"), "{}", text_of(&refused));
    site.installation.output(&["queue", "suspend", &held]);
    assert_eq!(status_of(&site.installation, &held), "Suspended");

    let exported = site.installation.output(&["queue", "export", &held]);
    for field in ["X-Sender: a@x.net", "X-Receiver: z@gmail.com", "X-EndOfInjectedXHeaders: ", "Subject: held"] {
        assert!(exported.contains(field), "{field} in {exported}");
    }

    let told = site.installation.output(&["trace", &held]);
    assert!(told.contains("suspend   by uid ") && told.contains("export    by uid "), "{told}");
    let site = site.restart(|server| server.kill());
    wait::until("the queue is known", || (site.installation.json(&["queue", "list"])["total"] == 2).then_some(()));
    assert_eq!(status_of(&site.installation, &held), "Suspended");
    let sink = Setup::new().at(address).start();
    site.installation.output(&["queue", "retry", "--all"]);
    assert!(sink.first().text().contains("Subject: goes on"), "{other}");
    site.installation.output(&["queue", "resume", &held]);
    assert!(sink.wait_for(2)[1].text().contains("Subject: held"));
    wait::until("the queue is empty", || (site.installation.json(&["queue", "list"])["total"] == 0).then_some(()));
}

#[test]
fn a_suspended_queue_takes_mail_and_delivers_none_until_it_is_resumed() {
    let (site, address, _) = waiting_site();
    let sink = Setup::new().at(address).start();
    let next_hop = format!("[{}]:{}", address.ip(), address.port());
    let unknown = site.installation.run(&["queue", "suspend", "--queue", "nowhere.example"]);
    assert!(text_of(&unknown).contains("queue status"), "{}", text_of(&unknown));
    // Nothing leaves routing, so nothing is tried before the queue is there.
    site.installation.output(&["queue", "suspend", "--queue", "Submission"]);
    let id = site.client(HOST_2).submit("<a@x.net>", &["z@gmail.com"], &message("one", "x")).queue_id();
    let queues = site.installation.json(&["queue", "status"]);
    assert_eq!(queues["queues"][0]["identity"], "Submission");
    assert_eq!(queues["queues"][0]["state"], "suspended");
    assert_eq!(queues["queues"][0]["messages"], 1);
    let site = site.restart(|server| assert!(server.stop().success()));
    wait::until("the queue is known", || (site.installation.json(&["queue", "list"])["total"] == 1).then_some(()));
    let shown = site.installation.json(&["queue", "show", &id]);
    assert_eq!(shown["queues"][0], "mail.contoso.com\\Submission");
    assert_eq!(sink.count(), 0);
    assert!(site.installation.output(&["status"]).contains("suspended"));
    site.installation.output(&["queue", "resume", "--queue", "mail.contoso.com\\Submission"]);
    assert!(sink.first().text().contains("Subject: one"));
    let shown = site.installation.output(&["queue", "status"]);
    assert!(shown.contains(&next_hop) && shown.contains("SmartHostConnectorDelivery"), "{shown}");
}

#[test]
fn messages_are_picked_by_filters_redirected_and_removed() {
    let (site, _, second) = waiting_site();
    let mut ids = Vec::new();
    for (sender, subject) in [("<a@x.net>", "one"), ("<b@x.net>", "two"), ("<a@x.net>", "three")] {
        ids.push(submit(&site, sender, subject));
    }
    let total = |filter: &str| site.installation.json(&["queue", "list", "--filter", filter])["total"].clone();
    for (filter, expected) in [
        ("FromAddress -eq 'a@x.net'", 2),
        ("FromAddress -eq 'a@x.net' -and Subject -like 'th*'", 1),
        ("Queue -like 'mail.contoso.com\\*' -and Size -gt 10MB", 0),
        ("SourceIP -eq 127.0.0.2 -and MessageSourceName -eq 'SMTP:Tests'", 3),
        ("LastError -like '*4.4.1*' -and Priority -eq Normal", 3),
    ] {
        assert_eq!(total(filter), expected, "{filter}");
    }
    let sorted = site.installation.json(&["queue", "list", "--sort=-Identity", "--limit", "1", "--offset", "1"]);
    assert_eq!(sorted["messages"][0]["id"].to_string(), ids[1]);
    let wrong = site.installation.run(&["queue", "list", "--filter", "Colour -eq 'red'"]);
    assert!(text_of(&wrong).contains("there is no property `Colour`"), "{}", text_of(&wrong));
    let queues = site.installation.json(&["queue", "status", "--filter", "Status -eq 'Retry' -and MessageCount -eq 3"]);
    assert_eq!((&queues["total"], &queues["queues"][0]["retry_count"]), (&1.into(), &1.into()));

    let unknown = site.installation.run(&["queue", "redirect", &ids[0], "--to", "Nobody"]);
    assert!(text_of(&unknown).contains("Backup"), "{}", text_of(&unknown));
    site.installation.output(&["queue", "redirect", &ids[0], "--to", "Backup"]);
    assert!(second.first().text().contains("Subject: one"));

    let unasked = site.installation.run(&["queue", "remove", "--filter", "FromAddress -like '*'", "--no-report"]);
    assert!(text_of(&unasked).contains("--yes"), "{}", text_of(&unasked));
    let removed =
        site.installation.json(&["queue", "remove", "--filter", "FromAddress -like '*'", "--no-report", "--yes"]);
    assert_eq!((&removed["messages"], &removed["pending"]), (&2.into(), &0.into()));
    // Each passport says what was tried in vain and who did what.
    let redirected = site.installation.output(&["trace", &ids[0]]);
    let removed = site.installation.output(&["trace", &ids[1]]);
    assert!(redirected.contains("redirect  by uid ") && redirected.contains(" to Backup"), "{redirected}");
    assert!(redirected.contains("  deferred  z@gmail.com at "), "{redirected}");
    assert!(redirected.contains("451 4.4.1 ") && redirected.contains("; next try "), "{redirected}");
    assert!(removed.contains("remove    by uid ") && removed.contains("  removed   z@gmail.com"), "{removed}");
    for command in [&["queue", "show"][..], &["queue", "retry"], &["queue", "remove"], &["queue", "suspend"]] {
        let gone = site.installation.run(&[command, &[&ids[1]]].concat());
        assert!(text_of(&gone).contains(&format!("`gatepost trace {}`", ids[1])), "{command:?}: {}", text_of(&gone));
    }
    // What was answered survives, however the server ends.
    let site = site.restart(|server| server.kill());
    wait::until("the log is read", || (site.installation.json(&["status"])["recovering"] == false).then_some(()));
    assert_eq!(site.installation.json(&["queue", "list"])["total"], 0);
    assert_eq!(second.count(), 1);
}

#[test]
fn a_message_that_the_server_dies_of_twice_is_poison_and_all_others_go_on() {
    const BOTH: &str = "[[mailbox]]\naddress = \"carol@contoso.com\"\n";
    let (site, shim) = Site::start_watched(&[CONTOSO, BOTH, OPEN_TO_TESTS], 0);
    shim.set_rules(&[Rule::new(call::CREATE, "mailboxes/bob@contoso.com", Action::Kill)]);
    let mut id = String::new();
    let site = site.restart_after(|mut server, installation| {
        id = gatepost_testkit::client::Client::greeted_from(HOST_2, site_address(installation))
            .submit("<a@x.net>", &["bob@contoso.com"], &message("kills", "x"))
            .queue_id();
        assert_eq!(server.wait().signal(), Some(9));
        match installation.try_start() {
            Err(refused) => assert_eq!(refused.status.signal(), Some(9), "{}", refused.output),
            Ok(mut server) => assert_eq!(server.wait().signal(), Some(9)),
        }
    });
    site.client(HOST_2).submit("<a@x.net>", &["carol@contoso.com"], &message("harmless", "x"));
    site.wait_for_mail("carol@contoso.com", 1);
    let shown = site.installation.json(&["queue", "show", &id]);
    assert_eq!((&shown["status"], &shown["poison"], &shown["crashes"]), (&"Suspended".into(), &true.into(), &2.into()));
    assert_eq!(shown["queues"][0], "mail.contoso.com\\Poison");
    let text = site.installation.output(&["status"]);
    assert!(text.contains("poison") && text.contains("Poison"), "{text}");

    shim.set_rules(&[]);
    site.installation.output(&["queue", "resume", &id]);
    site.wait_for_mail("bob@contoso.com", 1);
    wait::until("the queue is empty", || (site.installation.json(&["queue", "list"])["total"] == 0).then_some(()));
    let suspects = site.installation.data_dir().join("suspects");
    wait::until("nobody is suspected", || fs::read_to_string(&suspects).ok()?.is_empty().then_some(()));
}

fn site_address(installation: &Installation) -> SocketAddr {
    let status = installation.json(&["status"]);
    status["listeners"][0]["address"].as_str().expect("an address").parse().expect("an address")
}

/// What a script yields at the shell, as JSON, one value a line.
fn shell(installation: &Installation, script: &str) -> Vec<Value> {
    let output = installation.output(&["shell", "--json", "-c", script]);
    output.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn a_message_that_the_server_dies_of_is_found_while_a_long_queue_is_put_in_order() {
    const BACKLOG: usize = 150;
    let nobody = format!("[127.0.0.1]:{}", port::free());
    let slow = QUICK_RETRY.replace("00:00:01", "01:00:00");
    let (site, shim) = Site::start_watched(&[CONTOSO, &slow, OPEN_TO_TESTS, &to_sink(&nobody)], 0);
    let mut client = site.client(HOST_2);
    client.submit("<a@x.net>", &["bob@contoso.com"], &message("harmless", "x"));
    site.wait_for_mail("bob@contoso.com", 1);
    site.installation.output(&["queue", "suspend", "--queue", "local delivery"]);
    let id = client.submit("<a@x.net>", &["bob@contoso.com"], &message("kills", "x")).queue_id();
    for number in 0..BACKLOG {
        client.submit("<a@x.net>", &["z@gmail.com"], &message(&format!("waits {number}"), "x"));
    }
    // What is routed is read one by one, so that the first is delivered long before the last is routed.
    shim.set_rules(&[
        Rule::new(call::CREATE, "mailboxes/bob@contoso.com", Action::Kill),
        Rule::new(call::READ, ".seg", Action::Delay(Duration::from_millis(10))),
    ]);
    let site = site.restart_after(|mut server, installation| {
        // It dies of that before it answers, or after.
        installation.run(&["queue", "resume", "--queue", "local delivery"]);
        assert_eq!(server.wait().signal(), Some(9));
        match installation.try_start() {
            Err(refused) => assert_eq!(refused.status.signal(), Some(9), "{}", refused.output),
            Ok(mut server) => assert_eq!(server.wait().signal(), Some(9)),
        }
    });
    wait::until("all are routed", || (site.installation.json(&["status"])["recovering"] == false).then_some(()));
    let shown = site.installation.json(&["queue", "show", &id]);
    assert_eq!((&shown["poison"], &shown["crashes"]), (&true.into(), &2.into()), "{shown}");
    assert_eq!(site.installation.json(&["queue", "list"])["total"], BACKLOG + 1);
}

#[test]
fn the_shell_lists_holds_back_exports_and_removes_what_is_queued() {
    let (site, address, backup) = waiting_site();
    let installation = &site.installation;
    let id = submit(&site, "<a@x.net>", "first");
    let other = submit(&site, "<b@x.net>", "second");

    let queues = shell(installation, "Get-Queue -Filter \"Status -eq 'Retry'\"");
    let [queue] = queues.as_slice() else { panic!("{queues:?}") };
    assert_eq!(queue["MessageCount"], 2);
    assert_eq!(queue["NextHopDomain"], format!("[{}]:{}", address.ip(), address.port()));
    assert!(queue["LastError"].as_str().is_some_and(|error| error.contains("refused")), "{queue}");
    assert!(shell(installation, "Get-Queue -Exclude External").iter().all(|queue| queue["MessageCount"] == 0));

    let waiting = shell(installation, "Get-Queue | Get-Message -SortOrder '-Size' -ResultSize 1");
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    let found = shell(installation, "Get-Message -Filter \"Subject -like 'fir*'\"");
    let [message] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&message["FromAddress"], &message["Recipients"]), (&json!("a@x.net"), &json!(["z@gmail.com"])));
    let identity = message["Identity"].as_str().expect("text").to_owned();
    assert!(identity.ends_with(&format!("\\{id}")), "{identity}");

    shell(installation, &format!("Suspend-Message '{identity}' -WhatIf"));
    assert_eq!(status_of(installation, &id), "Retry");
    shell(installation, &format!("Get-Message {id} | Suspend-Message -Confirm:$false"));
    assert_eq!(status_of(installation, &id), "Suspended");
    let exported = shell(installation, &format!("Export-Message {id}"));
    let content = exported[0]["Base64"].as_str().and_then(|text| STANDARD.decode(text).ok()).expect("Base64");
    assert!(String::from_utf8_lossy(&content).contains("Subject: first"));
    let file = installation.folder().join("waiting.eml");
    shell(installation, &format!("Export-Message {id} | AssembleMessage -Path '{}'", file.display()));
    assert_eq!(std::fs::read(file).expect("the file"), content);

    shell(installation, &format!("Redirect-Message {other} -Connector Backup -Confirm:$false"));
    assert!(backup.first().text().contains("Subject: second"));
    shell(installation, &format!("Remove-Message {id} -WithNDR $false -Confirm:$false"));
    wait::until("nothing waits", || (installation.json(&["queue", "list"])["total"] == 0).then_some(()));
    let gone = installation.run(&["shell", "-c", &format!("Remove-Message {id} -Confirm:$false")]);
    assert!(text_of(&gone).contains(&format!("gatepost trace {id}")), "{}", text_of(&gone));

    shell(installation, "Suspend-Queue Submission -Confirm:$false");
    let submission = shell(installation, "Get-Queue Submission");
    assert_eq!(submission[0]["Status"], "Suspended", "{submission:?}");
    shell(installation, "Get-Queue Submission | Resume-Queue -Confirm:$false");
}
