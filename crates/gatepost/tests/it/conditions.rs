//! Conditions on access entries where a dialogue alone does not show them: hours, groups of users, quotas that outlive the
//! server, what the log says.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use gatepost_testkit::client::Client;
use gatepost_testkit::installation::Server;
use gatepost_testkit::wait;

use crate::site::{CONTOSO, HOST_2, HOST_3, PASSWORD, Site, message};

/// An entry that lets anonymous hosts relay, under these conditions.
fn relay(conditions: &str) -> String {
    format!(
        "[[receive_connector]]\nname = \"Relay\"\nbindings = [\"127.0.0.1:{{smtp}}\"]\n\
         remote_ip_ranges = [\"127.0.0.2\", \"127.0.0.3\"]\npermission_groups = \"AnonymousUsers\"\n\
         protocol_logging_level = \"Verbose\"\n\
         [[receive_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n\
         extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n{conditions}\n"
    )
}

/// What a session hears at RCPT for a recipient outside.
fn asked(client: &mut Client) -> String {
    client.command("RSET");
    assert_eq!(client.command("MAIL FROM:<app@contoso.com>").code(), 250);
    client.command("RCPT TO:<z@gmail.com>").to_string()
}

#[test]
fn hours_are_those_of_their_zone() {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let (days, hour) = (seconds / 86_400, (seconds / 3600 % 24) as i32);
    // It is noon there, and some minutes. POSIX counts zones westwards.
    let zone = format!("Etc/GMT{:+}", hour - 12);
    // The day there is that of UTC: noon is less than half a day away. 1 January 1970 was a Thursday.
    let day = |later: u64| ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][((days + 3 + later) % 7) as usize];
    for (hours, expected) in [
        (format!("10:00-15:00 {zone}"), "250 2.1.5 Recipient OK"),
        (format!("{} 10:00-15:00 {zone}", day(0)), "250 2.1.5 Recipient OK"),
        (format!("15:00-10:00 {zone}"), "550 5.7.1 Unable to relay"),
        (format!("{}-{} 00:00-24:00 {zone}", day(1), day(6)), "550 5.7.1 Unable to relay"),
    ] {
        let site = Site::start(&[CONTOSO, &relay(&format!("hours = \"{hours}\""))]);
        assert_eq!(asked(&mut site.client(HOST_2)), expected, "{hours}");
    }
}

#[test]
fn a_range_that_expires_ends_for_connections_that_are_open_too() {
    let expires = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 3).expect("a time");
    let range = format!("{{ range = \"127.0.0.2\", expires = \"{expires}\" }}, \"127.0.0.3\"");
    let settings = relay("").replace("\"127.0.0.2\", \"127.0.0.3\"", &range);
    let site = Site::start(&[CONTOSO, &settings]);
    if jiff::Timestamp::now() > expires {
        // The machine was too slow to see the beginning.
        return;
    }
    let [mut open, mut other] = [HOST_2, HOST_3].map(|host| site.client(host));
    let last = wait::until("the range has expired", || {
        open.command("RSET");
        let reply = open.command("MAIL FROM:<app@contoso.com>");
        (reply.code() != 250).then_some(reply)
    });
    assert_eq!(last.to_string(), "421 4.3.2 Service not available, closing transmission channel");
    assert!(jiff::Timestamp::now() >= expires);
    assert_eq!(asked(&mut other), "250 2.1.5 Recipient OK");
}

#[test]
fn a_group_of_users_holds_what_it_was_granted() {
    let users = "[[user]]\nname = \"carol\"\naddresses = [\"carol@contoso.com\"]\ngroups = [\"CRM\"]\n\
                 password = \"$argon2id$v=19$m=64,t=1,p=1$Z2F0ZXBvc3QtaXQtc2FsdA$O7qB4H3kG1QDMvcbi9tuOv4Jn5LAsX/1NuaGiGQ6YGU\"\n";
    let connector = "[[receive_connector]]\nname = \"Client\"\nbindings = [\"127.0.0.1:{smtp}\"]\n\
                     remote_ip_ranges = [\"127.0.0.0/8\"]\nauth_mechanism = [\"Tls\", \"BasicAuth\"]\n\
                     permission_groups = [\"ExchangeUsers\"]\n\
                     [[receive_connector.permission]]\nuser = \"crm\"\nsenders = \"crm-*@contoso.com\"\n\
                     extended_rights = [\"ms-Exch-SMTP-Accept-Any-Sender\"]\n";
    let site = Site::start(&[CONTOSO, users, connector]);
    for (user, sender, expected) in [
        ("carol", "crm-sales@contoso.com", "250 2.1.0 Sender OK"),
        ("carol", "ceo@contoso.com", "550 5.7.1 Client does not have permissions to send as this sender"),
        ("carol", "carol@contoso.com", "250 2.1.0 Sender OK"),
        ("alice", "crm-sales@contoso.com", "550 5.7.1 Client does not have permissions to send as this sender"),
    ] {
        let mut client = site.client(HOST_2);
        let credentials = encode(&format!("\0{user}\0{PASSWORD}"));
        assert_eq!(client.command(&format!("AUTH PLAIN {credentials}")).code(), 235);
        assert_eq!(client.command(&format!("MAIL FROM:<{sender}>")).to_string(), expected, "{user} as {sender}");
    }
    // A header that names somebody else is refused at the end.
    let mut client = site.client(HOST_2);
    client.command(&format!("AUTH PLAIN {}", encode(&format!("\0carol\0{PASSWORD}"))));
    for (author, code) in [("crm-sales@contoso.com", 250), ("ceo@contoso.com", 550)] {
        let content = format!("From: {author}\r\nSubject: x\r\n\r\n");
        assert_eq!(client.submit("<crm-sales@contoso.com>", &["bob@contoso.com"], &content).code(), code, "{author}");
    }
}

fn encode(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

const OVER: &str = "450 4.7.1 Hourly message quota of this client is used up. Please try again later";

#[test]
fn a_quota_survives_a_stop_and_a_kill() {
    for (stop, sessions) in
        [((|server: Server| assert!(server.stop().success())) as fn(Server), 2), (|server: Server| server.kill(), 1)]
    {
        let settings = relay(&format!("messages_per_hour = {sessions}"));
        let site = Site::start(&[CONTOSO, &settings]);
        for _ in 0..sessions {
            let reply = site.client(HOST_2).submit("<app@contoso.com>", &["z@gmail.com"], &message("counted", "x"));
            assert_eq!(reply.code(), 250, "{reply}");
        }
        assert_eq!(asked(&mut site.client(HOST_2)), OVER);
        let file = site.installation.data_dir().join("quotas");
        wait::until("the counts are on the disk", || file.exists().then_some(()));
        let site = site.restart(stop);
        assert_eq!(asked(&mut site.client(HOST_2)), OVER);
        assert_eq!(asked(&mut site.client(HOST_3)), "250 2.1.5 Recipient OK");
        // Settings that let more through do so with the next connection, and what was counted still is.
        site.write_settings(&[
            CONTOSO,
            &relay(&format!("messages_per_hour = {}\nowner = \"it@contoso.com\"", sessions + 1)),
        ]);
        site.installation.output(&["reload"]);
        let mut client = site.client(HOST_2);
        assert_eq!(asked(&mut client), "250 2.1.5 Recipient OK");
        assert_eq!(asked(&mut client), OVER);
    }
}

#[test]
fn a_damaged_file_of_quotas_is_set_aside_and_keeps_nobody_from_mail() {
    let site = Site::start(&[CONTOSO, &relay("messages_per_hour = 1")]);
    assert_eq!(asked(&mut site.client(HOST_2)), "250 2.1.5 Recipient OK");
    let file = site.installation.data_dir().join("quotas");
    let site = site.restart(|server| {
        assert!(server.stop().success());
        std::fs::write(&file, "something else").expect("the file is there");
    });
    site.server.wait_for_log_text("the file with the hourly quotas cannot be used");
    assert_eq!(asked(&mut site.client(HOST_2)), "250 2.1.5 Recipient OK");
    let set_aside = std::fs::read_dir(site.installation.data_dir())
        .expect("the data folder")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("quotas.set-aside-"));
    assert_eq!(set_aside.count(), 1);
}

#[test]
fn the_log_says_that_a_quota_is_the_reason_and_the_transcript_what_is_held_without_conditions() {
    let site = Site::start(&[CONTOSO, &relay("messages_per_hour = 1")]);
    let mut client = site.client(HOST_2);
    assert_eq!(asked(&mut client), "250 2.1.5 Recipient OK");
    assert_eq!(asked(&mut client), OVER);
    site.server.wait_for_log_text("the right is held for a number of messages an hour, and they are used up");
    let folder = site.installation.data_dir().join("logs").join("protocol");
    let transcript = wait::until("the transcript", || {
        let file = std::fs::read_dir(&folder).ok()?.flatten().next()?;
        let text = std::fs::read_to_string(file.path()).ok()?;
        text.contains("450 4.7.1").then_some(text)
    });
    let permissions = transcript.lines().find(|line| line.contains("Set Session Permissions")).expect("the row");
    assert!(permissions.contains("SMTPSubmit") && !permissions.contains("SMTPAcceptAnyRecipient"), "{permissions}");
}

#[test]
fn a_refusal_for_a_quota_is_explained_by_the_entry_that_has_it() {
    let settings = relay("messages_per_hour = 1");
    let site = Site::start(&[CONTOSO, &settings]);
    let text = site.installation.settings();
    let line =
        1 + text.lines().position(|line| line.starts_with("[[receive_connector.permission]]")).expect("the entry");
    let mut client = site.client(HOST_2);
    assert_eq!(asked(&mut client), "250 2.1.5 Recipient OK");
    assert_eq!(asked(&mut client), OVER);
    let id = client.decision_id().expect("an id").to_owned();
    let entry = format!("the entry for NT AUTHORITY\\ANONYMOUS LOGON (line {line})");
    let refused = format!(
        "the settings of that moment: they let it pass. What refused it: a quota that was used up at that moment, that of \
         1 message an hour of {entry}"
    );
    let text = site.installation.output(&["explain", &id]);
    for words in [
        &*refused,
        "(condition met; a quota of 1 message an hour is not looked at here)",
        "Today, the same settings would let it pass, unless that quota is used up again.",
    ] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    let report = site.installation.json(&["explain", &id]);
    assert!(report["recomputed"]["difference"].as_str().is_some_and(|told| told.contains(&entry)), "{report}");
    let rights = report["recomputed"]["explanation"]["principals"][0]["rights"].as_array().expect("rights");
    let relays = rights.iter().find(|right| right["right"] == "ms-Exch-SMTP-Accept-Any-Recipient").expect("the right");
    assert_eq!(relays["allowed_by"][0]["messages_per_hour"], 1, "{relays}");
}
