//! Decisions: the id in a reply, what `gatepost explain ID` says of it, and what becomes of records.

use gatepost_testkit::client::Client;
use gatepost_testkit::installation::text_of;
use serde_json::Value;

use crate::site::{CONTOSO, HOST_2, HOST_3, RELAY, Site, message};

/// The Internet, and a gate for one host.
const GATE: &str = r#"
[[receive_connector]]
name = "Internet"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.0/8"]
auth_mechanism = ["Tls", "BasicAuth"]
permission_groups = ["AnonymousUsers", "ExchangeUsers"]
max_inbound_connection_per_source = 3
max_message_size = "64 KB"
"#;

/// Small rooms, and every refusal recorded.
const SMALL: &str = r#"
[tracking]
messages_max_size = "1 MB"
refusals_max_size = "1 MB"
refusals_per_source_per_minute = 1000000
"#;

/// The id in the last reply.
#[track_caller]
fn id_of(client: &Client) -> String {
    client.decision_id().unwrap_or_else(|| panic!("no id in\n{}", client.transcript())).to_owned()
}

/// Refuses to relay once; the id.
#[track_caller]
fn refused_relay(client: &mut Client) -> String {
    client.command("RSET");
    assert_eq!(client.command("MAIL FROM:<a@hotmail.com>").code(), 250);
    assert_eq!(client.command("RCPT TO:<b@gmail.com>").to_string(), "550 5.7.1 Unable to relay");
    id_of(client)
}

#[track_caller]
fn explained(site: &Site, id: &str) -> Value {
    site.installation.json(&["explain", id])
}

#[test]
fn the_id_of_a_refusal_says_what_happened_and_why() {
    let site = Site::start(&[CONTOSO, GATE]);
    let mut client = site.client(HOST_2);
    let id = refused_relay(&mut client);
    assert_ne!(id, refused_relay(&mut client), "each has its own");

    let text = site.installation.output(&["explain", &format!("550 5.7.1 Unable to relay [{id}]")]);
    let local = site.smtp();
    for words in [
        &*format!(
            "127.0.0.2 to {local}, <a@hotmail.com> for <b@gmail.com>\nrefused at RCPT: recipient domain is not accepted"
        ),
        &format!("decision       {id}"),
        "called itself  app01.contoso.com",
        "principal      NT AUTHORITY\\ANONYMOUS LOGON",
        "reply          550 5.7.1 Unable to relay\n",
        ", in force\n",
        "Asked again, the settings of that moment: they decide the same",
        "hears it: 127.0.0.0/8 is the smallest range that holds the address",
        "Missing: ms-Exch-SMTP-Accept-Any-Recipient",
        "Smallest change: let the peer log on",
        "Today, under the same settings, it would be refused for the same reason.",
    ] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    // Unquoted, the reply comes as many words.
    let report = site.installation.json(&["explain", "550", "5.7.1", "Unable", "to", "relay", &format!("[{id}]")]);
    assert_eq!(report["decision"]["id"], id);
    assert_eq!(report["decision"]["command"], "RCPT");
    assert_eq!(report["decision"]["name"], "UnableToRelay");
    assert_eq!(report["recomputed"]["same"], true);
    assert_eq!(report["recomputed"]["explanation"]["missing_right"], "ms-Exch-SMTP-Accept-Any-Recipient");
    site.server.wait_for_log("the refusal", |line| line["decision"] == id && line["verdict"] == "refused");
}

#[test]
fn each_stage_of_a_dialogue_leaves_its_own_record() {
    let site = Site::start(&[CONTOSO, GATE]);
    let mut client = site.client(HOST_2);
    let mut refused = |commands: &[&str], code: u16| {
        let reply = commands.iter().map(|command| client.command(command)).last().expect("a command");
        assert_eq!(reply.code(), code, "{reply}");
        explained(&site, &id_of(&client))
    };
    let auth = refused(&["AUTH PLAIN AGFsaWNlAHdyb25n"], 535);
    assert_eq!((&auth["decision"]["command"], &auth["decision"]["user"]), (&"AUTH".into(), &"alice".into()));
    assert_eq!(auth["recomputed"]["same"], false);
    assert_eq!(auth["recomputed"]["explanation"]["recipient"], Value::Null, "nobody was named");
    let difference = auth["recomputed"]["difference"].as_str().expect("a text");
    assert!(difference.contains("the password was wrong"), "{difference}");

    let mail = refused(&["MAIL FROM:<a@hotmail.com> SIZE=100000"], 552);
    assert_eq!((&mail["decision"]["command"], &mail["decision"]["size_bytes"]), (&"MAIL".into(), &100_000.into()));
    assert_eq!(mail["recomputed"]["same"], true, "{mail}");

    let rcpt = refused(&["MAIL FROM:<>", "RCPT TO:<nobody@contoso.com>"], 550);
    assert_eq!(rcpt["decision"]["refused_recipient"], "nobody@contoso.com");
    assert_eq!((&rcpt["decision"]["sender"], &rcpt["recomputed"]["same"]), (&"<>".into(), &true.into()));

    let large = format!("{}\r\n.", message("large", &"x".repeat(70_000)).trim_end());
    let content = refused(&["RCPT TO:<bob@contoso.com>", "DATA", &large], 552);
    assert_eq!(content["decision"]["command"], "content");
    assert_eq!(content["decision"]["recipients"], serde_json::json!(["bob@contoso.com"]));
    assert_eq!(content["recomputed"]["same"], true, "{content}");

    let forged = format!("From: ceo@contoso.com\r\n{}\r\n.", message("forged", "x").trim_end());
    let alice =
        ["AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=", "MAIL FROM:<alice@contoso.com>", "RCPT TO:<bob@contoso.com>"];
    let header = refused(&[&alice[..], &["DATA", &forged]].concat(), 550);
    assert_eq!(header["decision"]["header_sender"], "ceo@contoso.com");
    assert_eq!(header["recomputed"]["same"], true, "{header}");

    let mut others: Vec<Client> = (0..2).map(|_| site.client(HOST_2)).collect();
    let mut one_too_many = Client::connect_from(HOST_2, site.smtp());
    assert_eq!(one_too_many.reply().code(), 421);
    let connect = explained(&site, &id_of(&one_too_many));
    assert_eq!((&connect["decision"]["command"], &connect["recomputed"]["same"]), (&"connect".into(), &false.into()));

    for nonsense in ["NONSENSE", "RCPT TO:<b@gmail.com>", "MAIL FROM:<@>"] {
        let reply = others[0].command(nonsense);
        assert!(reply.code() >= 500 && others[0].decision_id().is_none(), "{reply}");
    }
}

#[test]
fn a_sender_whom_only_the_header_names_is_recorded_beside_the_recipient_that_it_cost() {
    let narrow = RELAY.to_owned() + "  senders = [\"scan@contoso.com\"]\n";
    let site = Site::start(&[CONTOSO, GATE, &narrow]);
    let mut client = site.client(HOST_2);
    for command in ["MAIL FROM:<scan@contoso.com>", "RCPT TO:<b@gmail.com>", "DATA"] {
        assert!(client.command(command).code() < 400, "{command}");
    }
    let content = "From: ceo@contoso.com\r\nSubject: transfer\r\n\r\nNow.\r\n.";
    assert_eq!(client.command(content).to_string(), "550 5.7.1 Unable to relay");
    let report = explained(&site, &id_of(&client));
    assert_eq!(report["decision"]["header_sender"], "ceo@contoso.com", "{report}");
    assert_eq!(report["decision"]["refused_recipient"], "b@gmail.com", "{report}");
    assert_eq!(report["recomputed"]["same"], true, "{report}");

    // Of several, all are recorded: any of them may be the one that is asked about later.
    for command in ["MAIL FROM:<scan@contoso.com>", "RCPT TO:<b@gmail.com>", "DATA"] {
        assert!(client.command(command).code() < 400, "{command}");
    }
    let content = "From: scan@contoso.com, ceo@contoso.com\r\nSender: scan@contoso.com\r\n\r\nNow.\r\n.";
    assert_eq!(client.command(content).to_string(), "550 5.7.1 Unable to relay");
    let report = explained(&site, &id_of(&client));
    let named = ["From scan@contoso.com", "From ceo@contoso.com", "Sender scan@contoso.com"];
    assert_eq!(report["decision"]["header_senders"], serde_json::json!(named), "{report}");
    assert_eq!(report["recomputed"]["same"], true, "{report}");
}

#[test]
fn an_accepted_message_and_a_transaction_given_up_leave_one_record_each() {
    let site = Site::start(&[CONTOSO, GATE]);
    let mut client = site.client(HOST_2);
    let reply = client.submit("<a@hotmail.com>", &["bob@contoso.com"], &message("one", "body"));
    assert!(client.decision_id().is_none() && reply.code() == 250, "{reply}");
    let accepted = site.server.wait_for_log("the accepted message", |line| line["verdict"] == "accepted");
    let report = explained(&site, accepted["decision"].as_str().expect("its id"));
    assert_eq!(report["decision"]["verdict"], "accepted");
    assert_eq!(report["decision"]["queue_id"].to_string(), reply.queue_id());
    assert_eq!((&report["recomputed"]["same"], &report["decision"]["recipient_count"]), (&true.into(), &1.into()));

    client.command("MAIL FROM:<a@hotmail.com>");
    client.command("RCPT TO:<bob@contoso.com>");
    client.command("RSET");
    client.command("RSET");
    client.command("MAIL FROM:<a@hotmail.com>");
    drop(client);
    gatepost_testkit::wait::until("both records", || {
        let status = site.installation.json(&["status"]);
        let written = |room: &str| status["tracking"][room]["written"].as_u64();
        (written("messages") == Some(1) && written("refusals") == Some(2)).then_some(())
    });
}

#[test]
fn a_decision_is_explained_under_its_own_settings_after_a_reload_and_a_restart() {
    let site = Site::start(&[CONTOSO, GATE]);
    let id = refused_relay(&mut site.client(HOST_2));
    let first = explained(&site, &id)["decision"]["revision"].clone();
    site.write_settings(&[CONTOSO, GATE, RELAY]);
    site.installation.output(&["reload"]);
    let check = |site: &Site| {
        let report = explained(site, &id);
        assert_eq!((&report["decision"]["revision"], &report["recomputed"]["revision"]), (&first, &first));
        assert_eq!((&report["recomputed"]["same"], &report["now"]["same"]), (&true.into(), &false.into()), "{report}");
        assert_eq!(report["recomputed"]["explanation"]["connectors"].as_array().map(Vec::len), Some(1));
        assert_eq!(report["now"]["explanation"]["connectors"].as_array().map(Vec::len), Some(2));
        let text = site.installation.output(&["explain", &id]);
        assert!(text.contains("no longer in force"), "{text}");
        assert!(text.contains("Today, the settings in force now would let it pass."), "{text}");
    };
    check(&site);
    let site = site.restart(|server| {
        server.stop();
    });
    check(&site);
    let another = refused_relay(&mut site.client(HOST_3));
    assert_ne!(explained(&site, &another)["decision"]["revision"], first);
}

#[test]
fn ids_can_be_switched_off_and_are_still_in_the_log() {
    let site = Site::start(&[CONTOSO, GATE, "\n[tracking]\nids_in_replies = false\n"]);
    let mut client = site.client(HOST_2);
    client.command("MAIL FROM:<a@hotmail.com>");
    assert_eq!(client.command("RCPT TO:<b@gmail.com>").to_string(), "550 5.7.1 Unable to relay");
    assert_eq!(client.decision_id(), None);
    let refused = site.server.wait_for_log("the refusal", |line| line["decision"].is_string());
    assert_eq!(explained(&site, refused["decision"].as_str().expect("a text"))["decision"]["name"], "UnableToRelay");
}

#[test]
fn a_message_is_remembered_through_a_flood_of_100_000_refusals() {
    let site = Site::start(&[CONTOSO, GATE, SMALL]);
    site.client(HOST_3).submit("<a@hotmail.com>", &["bob@contoso.com"], &message("one", "body"));
    let accepted = site.server.wait_for_log("the accepted message", |line| line["decision"].is_string());
    let accepted = accepted["decision"].as_str().expect("a text").to_owned();
    let mut client = site.client(HOST_2);
    let first = refused_relay(&mut client);
    let mut last = String::new();
    let batch = "RCPT TO:<b@gmail.com>\r\n".repeat(1_000);
    for _ in 0..100 {
        client.send(&batch);
        for _ in 0..1_000 {
            assert_eq!(client.reply().code(), 550);
            last = id_of(&client);
        }
    }
    assert_eq!(explained(&site, &accepted)["decision"]["verdict"], "accepted");
    assert_eq!(explained(&site, &last)["decision"]["name"], "UnableToRelay");
    let gone = site.installation.run(&["explain", &first]);
    assert_eq!(gone.status.code(), Some(1));
    for words in [&*format!("there is no record of the decision {first}"), "of refusals: 2"] {
        assert!(text_of(&gone).contains(words), "{words} in:\n{}", text_of(&gone));
    }
    let status = site.installation.json(&["status"]);
    let refusals = &status["tracking"]["refusals"];
    assert!(refusals["bytes"].as_u64() <= Some(1 << 20), "{status}");
    let seen =
        refusals["written"].as_u64().zip(refusals["dropped"].as_u64()).map(|(written, dropped)| written + dropped);
    assert!(seen >= Some(100_001), "{status}");
}

#[test]
fn refusals_of_one_source_beyond_so_many_a_minute_share_a_record() {
    let site = Site::start(&[CONTOSO, GATE, "\n[tracking]\nrefusals_per_source_per_minute = 3\n"]);
    let mut client = site.client(HOST_2);
    let ids: Vec<String> = (0..6).map(|_| refused_relay(&mut client)).collect();
    // Transactions that ended with a refusal have no record beside it.
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[2] != ids[3], "{ids:?}");
    assert!(ids[3..].iter().all(|id| *id == ids[3]), "{ids:?}");
    assert_eq!(explained(&site, &ids[2])["decision"]["count"], Value::Null);
    let report = explained(&site, &ids[3]);
    assert_eq!(
        (&report["decision"]["count"], &report["decision"]["verdict"]),
        (&3.into(), &"refused".into()),
        "{report}"
    );
    let other = refused_relay(&mut site.client(HOST_3));
    assert_eq!(explained(&site, &other)["decision"]["count"], Value::Null);
    let text = site.installation.output(&["explain", &ids[3]]);
    assert!(text.contains("counted together until"), "{text}");
    assert!(site.installation.output(&["status"]).contains("not recorded one by one"));
}

#[test]
fn an_id_that_is_none_or_unknown_and_a_server_that_does_not_run_are_told_apart() {
    let site = Site::start(&[CONTOSO, GATE]);
    for (id, words) in [
        ("not-an-id", "there is no id of a decision in `not-an-id`"),
        ("1f3a9c04b27e", "there is no record of the decision 1f3a9c04b27e"),
        ("1f3a9c04b27e", "Records of accepted messages go back to: none are kept; of refusals: none are kept."),
    ] {
        let explained = site.installation.run(&["explain", id]);
        assert_eq!(explained.status.code(), Some(1));
        assert!(text_of(&explained).contains(words), "{}", text_of(&explained));
    }
    let mixed = site.installation.run(&["explain", "1f3a9c04b27e", "--from", "127.0.0.1"]);
    assert_eq!(mixed.status.code(), Some(2), "{}", text_of(&mixed));
    let Site { server, installation, .. } = site;
    server.stop();
    assert_eq!(installation.run(&["explain", "1f3a9c04b27e"]).status.code(), Some(4));
}
