//! `gatepost explain`: what a person on the helpdesk reads about a refusal.

use gatepost_testkit::installation::{Installation, text_of};
use serde_json::Value;

use crate::audit::is_golden;
use crate::site::{CONTOSO, HOST_2, HOST_3, HOST_4, PROGRAM, Site};

const SETTINGS: &str = include_str!("goldens/audit-option-2.toml");

#[test]
fn a_refusal_is_explained_with_the_smallest_change() {
    let installation = Installation::new(PROGRAM, SETTINGS);
    let (app, out) = ("app@gmail.com", "z@example.com");
    for (name, code, arguments) in [
        ("explain-unable-to-relay", 1, &["--from", "192.168.3.8", "--local", "10.0.0.1:25", "--sender", app][..]),
        ("explain-public", 1, &["--from", "8.8.8.8", "--local", "10.0.0.1:25", "--sender", app]),
        ("explain-gate", 0, &["--from", "192.168.3.7", "--local", "10.0.0.1:25", "--sender", app, "--size", "5MB"]),
        (
            "explain-user",
            1,
            &[
                "--from",
                "10.0.0.9",
                "--local",
                "10.0.0.1:587",
                "--user",
                "bob",
                "--tls",
                "--sender",
                "alice@contoso.com",
            ],
        ),
    ] {
        let explain = [&["explain", "--recipient", out], arguments].concat();
        let explained = installation.run(&explain);
        assert_eq!(explained.status.code(), Some(code), "{}", text_of(&explained));
        is_golden(&installation, &format!("{name}.txt"), &text_of(&explained));

        let explained = installation.run(&[&explain[..], &["--json"]].concat());
        assert_eq!(explained.status.code(), Some(code));
        let report: Value = serde_json::from_slice(&explained.stdout).expect("JSON");
        assert_eq!(report["accepted"], code == 0, "{report}");
        if name == "explain-unable-to-relay" {
            is_golden(&installation, &format!("{name}.json"), &String::from_utf8_lossy(&explained.stdout));
        }
    }
}

#[test]
fn an_own_address_is_offered_for_what_has_to_change_envelope_or_header() {
    let installation = Installation::new(PROGRAM, SETTINGS);
    let asked = |sender: &str, from: &str| {
        let explained = installation.run(&[
            "explain",
            "--from",
            "10.0.0.9",
            "--local",
            "10.0.0.1:587",
            "--user",
            "bob",
            "--tls",
            "--sender",
            sender,
            "--header-from",
            from,
            "--recipient",
            "z@example.com",
        ]);
        assert_eq!(explained.status.code(), Some(1), "{}", text_of(&explained));
        text_of(&explained)
    };
    let (bob, alice) = ("bob@contoso.com", "alice@contoso.com");
    let field =
        "let the peer write bob@contoso.com, which is the user's own and the envelope's sender, in From of the header";
    let both = "let the peer use the sender bob@contoso.com, which is the user's own";
    for (sender, from, offer) in [(bob, alice, field), (alice, bob, both), (alice, alice, both)] {
        let text = asked(sender, from);
        assert!(text.contains(&format!("{offer}\n")), "{sender} {from}: {text}");
    }
}

#[test]
fn explain_without_arguments_names_both_forms() {
    let installation = Installation::new(PROGRAM, SETTINGS);
    for arguments in [&["explain"][..], &["explain", "--json"]] {
        let refused = installation.run(arguments);
        assert_eq!(refused.status.code(), Some(2), "{}", text_of(&refused));
        let text = text_of(&refused);
        for form in [
            "gatepost explain [OPTIONS] <ID>...\n",
            "gatepost explain [OPTIONS] --from <IP> --sender <ADDRESS> --recipient <ADDRESS>\n",
        ] {
            assert!(text.contains(form), "{text}");
        }
    }
}

/// A gate for one host, another for a host that trusts nobody, and the Internet.
const GATES: &str = r#"
[[receive_connector]]
name = "Internet"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["0.0.0.0/0"]
permission_groups = ["AnonymousUsers"]
  [[receive_connector.permission]]
  user = "NT AUTHORITY\\ANONYMOUS LOGON"
  extended_rights = ["ms-Exch-SMTP-Accept-Authoritative-Domain-Sender"]
  deny = true

[[receive_connector]]
name = "Relay"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.2"]
permission_groups = ["AnonymousUsers"]
max_message_size = "1 MB"
  [[receive_connector.permission]]
  user = "NT AUTHORITY\\ANONYMOUS LOGON"
  extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]

[[receive_connector]]
name = "Users"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.3"]
permission_groups = ["ExchangeUsers"]
"#;

#[test]
fn the_replies_explained_are_those_that_a_peer_reads() {
    let site = Site::start(&[CONTOSO, GATES]);
    let local = site.smtp().to_string();
    for host in [HOST_2, HOST_3, HOST_4] {
        for sender in ["<>", "<alice@contoso.com>", "<a@hotmail.com>"] {
            for recipient in ["<bob@contoso.com>", "<nobody@contoso.com>", "<z@gmail.com>", "<q@partner.example>"] {
                for bytes in ["0", "2000000"] {
                    let from = host.to_string();
                    let explained = site.installation.run(&[
                        "explain",
                        "--from",
                        &from,
                        "--local",
                        &local,
                        "--sender",
                        sender,
                        "--recipient",
                        recipient,
                        "--size",
                        bytes,
                        "--json",
                    ]);
                    let report: Value = serde_json::from_slice(&explained.stdout).expect("JSON");
                    let said = |command: &str| {
                        let dialogue = report["dialogue"].as_array().expect("a dialogue");
                        let step = dialogue.iter().find(|step| step["command"] == command)?;
                        step["reply"].as_str().map(str::to_owned)
                    };
                    let mut client = site.client(host);
                    let heard = client.command(&format!("MAIL FROM:{sender} SIZE={bytes}"));
                    assert_eq!(said("MAIL").as_deref(), Some(heard.to_string().trim_end()), "{report}");
                    if heard.code() == 250 {
                        let heard = client.command(&format!("RCPT TO:{recipient}"));
                        assert_eq!(said("RCPT").as_deref(), Some(heard.to_string().trim_end()), "{report}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_open_group_that_is_refused_says_who_in_it_is_closed() {
    let recipients = r#"
[[mailbox]]
address = "ceo@contoso.com"
require_sender_authentication = true

[[distribution_group]]
address = "staff@contoso.com"
members = ["bob@contoso.com", "ceo@contoso.com"]
require_sender_authentication = false

[[receive_connector]]
name = "Inside"
bindings = ["127.0.0.1:{smtp}"]
remote_ip_ranges = ["127.0.0.0/8"]
permission_groups = ["AnonymousUsers"]
"#;
    let site = Site::start(&[CONTOSO, recipients]);
    let question =
        ["explain", "--from", "127.0.0.2", "--sender", "app@contoso.com", "--recipient", "staff@contoso.com"];
    let text = text_of(&site.installation.run(&question));
    for words in [
        "refused at RCPT: recipient requires an authenticated sender: ceo@contoso.com, behind staff@contoso.com\n",
        "Smallest change: write require_sender_authentication = false for ceo@contoso.com: whoever may submit here",
    ] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    let json = site.installation.run(&[&question[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(
        report["reason"],
        "recipient requires an authenticated sender: ceo@contoso.com, behind staff@contoso.com"
    );
    let mut client = site.client(HOST_2);
    client.command("MAIL FROM:<app@contoso.com>");
    let heard = client.command("RCPT TO:<staff@contoso.com>");
    assert_eq!(heard.to_string().trim_end(), "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required");
}

#[test]
fn a_question_that_cannot_be_asked_says_what_is_wrong() {
    let installation = Installation::new(PROGRAM, SETTINGS);
    for (arguments, expected) in [
        (
            &["--from", "10.0.0.9", "--sender", "<>", "--recipient", "a@b.net"][..],
            "by --local: 0.0.0.0:25, 0.0.0.0:587",
        ),
        (
            &["--from", "10.0.0.9", "--local", "10.0.0.1:25", "--sender", "no address", "--recipient", "a@b.net"],
            "`no address` is no mail address",
        ),
        (
            &[
                "--from",
                "10.0.0.9",
                "--local",
                "10.0.0.1:25",
                "--sender",
                "",
                "--recipient",
                "a@b.net",
                "--size",
                "big",
            ],
            "`big` is no size",
        ),
    ] {
        let explained = installation.run(&[&["explain"], arguments].concat());
        assert_eq!(explained.status.code(), Some(1));
        assert!(text_of(&explained).contains(expected), "{}", text_of(&explained));
    }
}
