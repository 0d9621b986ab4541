//! The test vectors of the fact sheet's section 11.1 against the running program, one test each, named by their numbers.
//! D is the default connector, R the one of two hosts. V20 to V25 are played by the settings document and by the shell, V31
//! and V32 by the shell alone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gatepost_testkit::client::Client;
use gatepost_testkit::installation::{Installation, text_of};
use gatepost_testkit::sink::Sink;

use crate::site::{CONTOSO, HOST_2, HOST_3, HOST_4, PROGRAM, Ports, QUICK_RETRY, Site, message, to_sink};

const OPTION_1: &str = r#"
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
"#;

const OPTION_2: &str = r#"
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]
  [[receive_connector.permission]]
  user = "NT AUTHORITY\\ANONYMOUS LOGON"
  extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
"#;

const LOGON_AS_ALICE: &str = "AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=";
const SENDER_OK: &str = "250 2.1.0 Sender OK";
const RECIPIENT_OK: &str = "250 2.1.5 Recipient OK";
const NOT_AUTHENTICATED: &str = "530 5.7.1 Client was not authenticated";
const UNABLE: &str = "550 5.7.1 Unable to relay";
const TOO_LARGE: &str = "552 5.3.4 Message size exceeds fixed maximum message size";

/// D, for all addresses, with these permission groups and further keys.
fn d(groups: &str, more: &str) -> String {
    format!(
        "[[receive_connector]]\nname = \"D\"\nbindings = [\"127.0.0.1:{{smtp}}\"]\n\
         remote_ip_ranges = [\"0.0.0.0-255.255.255.255\"]\nauth_mechanism = [\"Tls\", \"BasicAuth\"]\n\
         permission_groups = [{groups}]\n{more}\n"
    )
}

/// R, for the range of the hosts 2 and 3, which stand in for 192.168.2.55 and 192.168.2.56.
fn r(option: &str, more: &str) -> String {
    format!(
        "[[receive_connector]]\nname = \"R\"\nbindings = [\"127.0.0.1:{{smtp}}\"]\n\
         remote_ip_ranges = [\"127.0.0.2-127.0.0.3\"]\n{more}{option}\n"
    )
}

/// A server with D as it is by default, and R.
fn with_r(option: &str, more: &str) -> Site {
    Site::start(&[CONTOSO, &d("\"ExchangeUsers\"", ""), &r(option, more)])
}

#[track_caller]
fn expect(client: &mut Client, dialogue: &[(&str, &str)]) {
    for (command, expected) in dialogue {
        let reply = client.command(command).to_string();
        assert!(reply.starts_with(expected), "{command}: {expected} expected, not {reply}");
    }
}

/// A dialogue of its own, behind EHLO.
#[track_caller]
fn talk(site: &Site, source: IpAddr, dialogue: &[(&str, &str)]) {
    expect(&mut site.client(source), dialogue);
}

fn megabytes(count: usize) -> String {
    message("large", &"01234567890123456789012345678901234567890123456789012345678901\r\n".repeat(count << 14))
}

#[test]
fn v1_without_anonymous_users_nobody_submits_unauthenticated() {
    let site = Site::start(&[CONTOSO, &d("\"ExchangeUsers\"", "")]);
    talk(&site, HOST_4, &[("MAIL FROM:<a@x.net>", NOT_AUTHENTICATED)]);
}

#[test]
fn v2_anonymous_users_write_to_a_local_recipient() {
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\"", "")]);
    let mut client = site.client(HOST_4);
    expect(&mut client, &[("MAIL FROM:<a@hotmail.com>", SENDER_OK), ("RCPT TO:<bob@contoso.com>", RECIPIENT_OK)]);
    expect(&mut client, &[("DATA", "354")]);
    client.send(&format!("{}.\r\n", message("v2", "x")));
    assert_eq!(client.reply().code(), 250);
    assert_eq!(site.wait_for_mail("bob@contoso.com", 1).len(), 1);
}

#[test]
fn v3_anonymous_users_do_not_relay() {
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\"", "")]);
    talk(&site, HOST_4, &[("MAIL FROM:<a@hotmail.com>", SENDER_OK), ("RCPT TO:<z@gmail.com>", UNABLE)]);
}

#[test]
fn v4_anonymous_users_reach_a_domain_that_is_passed_on() {
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\"", "")]);
    talk(&site, HOST_4, &[("MAIL FROM:<a@hotmail.com>", SENDER_OK), ("RCPT TO:<q@partner.example>", RECIPIENT_OK)]);
}

#[test]
fn v5_externally_secured_hosts_send_as_anybody_to_anybody() {
    let site = with_r(OPTION_1, "");
    for sender in ["ceo@contoso.com", "a@hotmail.com", "nobody@contoso.com"] {
        talk(&site, HOST_2, &[(&format!("MAIL FROM:<{sender}>"), SENDER_OK), ("RCPT TO:<z@gmail.com>", RECIPIENT_OK)]);
    }
}

#[test]
fn v6_externally_secured_hosts_reach_a_group_that_wants_authenticated_senders() {
    let group = "[[distribution_group]]\naddress = \"managers@contoso.com\"\nmembers = [\"bob@contoso.com\"]\n";
    let site = Site::start(&[CONTOSO, group, &d("\"AnonymousUsers\"", ""), &r(OPTION_1, "")]);
    let reply = site.client(HOST_2).submit("<ceo@contoso.com>", &["managers@contoso.com"], &message("v6", "x"));
    assert_eq!(reply.code(), 250, "{reply}");
    let mail = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_eq!(mail["headers"]["X-MS-Exchange-Organization-AuthAs"], "Internal", "{mail}");

    let wanted = "550 5.7.1 RESOLVER.RST.AuthRequired";
    talk(&site, HOST_4, &[("MAIL FROM:<ceo@contoso.com>", SENDER_OK), ("RCPT TO:<managers@contoso.com>", wanted)]);
}

#[test]
fn v7_externally_secured_hosts_are_offered_no_logon() {
    let site = with_r(OPTION_1, "");
    for (host, offered) in [(HOST_2, false), (HOST_4, true)] {
        let mut client = Client::connect_from(host, site.smtp());
        client.reply();
        assert_eq!(client.command("EHLO scanner").offers("AUTH"), offered, "{host}");
    }
}

#[test]
fn v8_externally_secured_hosts_bypass_the_size_limit() {
    let sink = Sink::start();
    let limit = r(OPTION_1, "max_message_size = \"1 MB\"\n");
    let site = Site::start(&[CONTOSO, QUICK_RETRY, &limit, &to_sink(&sink.smart_host())]);
    let reply = site.client(HOST_2).submit("<app@contoso.com>", &["z@gmail.com"], &megabytes(5));
    assert_eq!(reply.code(), 250, "{reply}");
    assert!(sink.first().content.len() > 5 << 20);
}

#[test]
fn v9_the_size_limit_holds_for_one_extended_right() {
    let site = with_r(OPTION_2, "max_message_size = \"1 MB\"\n");
    talk(&site, HOST_2, &[("MAIL FROM:<app@contoso.com> SIZE=5242880", TOO_LARGE)]);
    let mut client = site.client(HOST_2);
    expect(
        &mut client,
        &[("MAIL FROM:<app@contoso.com>", SENDER_OK), ("RCPT TO:<z@gmail.com>", RECIPIENT_OK), ("DATA", "354")],
    );
    client.send(&format!("{}.\r\n", megabytes(5)));
    assert_eq!(client.reply().to_string(), TOO_LARGE);
}

#[test]
fn v10_one_extended_right_makes_a_relay() {
    let site = with_r(OPTION_2, "");
    talk(&site, HOST_2, &[("MAIL FROM:<a@x.net>", SENDER_OK), ("RCPT TO:<z@gmail.com>", RECIPIENT_OK)]);
}

#[test]
fn v11_without_its_entry_option_2_is_no_relay() {
    let groups_alone = OPTION_2.split("  [[").next().expect("the keys before the entry");
    let site = with_r(groups_alone, "");
    talk(&site, HOST_2, &[("MAIL FROM:<a@x.net>", SENDER_OK), ("RCPT TO:<z@gmail.com>", UNABLE)]);
}

/// Whether a spam confidence level that the peer brings is still there in the mailbox.
#[track_caller]
fn keeps_the_level(option: &str) -> bool {
    let site = with_r(option, "");
    let content =
        message("level", "x").replace("Subject:", "X-MS-Exchange-Organization-SCL: -1\r\nX-Mine: yes\r\nSubject:");
    let reply = submitted(&mut site.client(HOST_2), &content);
    assert!(reply.starts_with("250 2.6.0"), "{reply}");
    let mail = site.wait_for_mail("bob@contoso.com", 1).swap_remove(0);
    assert_eq!(mail["headers"]["X-Mine"], "yes", "{mail}");
    !mail["headers"]["X-MS-Exchange-Organization-SCL"].is_null()
}

/// An entry more, for those of `trustee`: they may bring organization headers.
fn with_headers(option: &str, trustee: &str) -> String {
    format!(
        "{option}  [[receive_connector.permission]]\n  user = \"{trustee}\"\n  \
         extended_rights = [\"ms-Exch-Accept-Headers-Organization\"]\n"
    )
}

#[test]
fn v12_an_anonymous_host_does_not_bring_organization_headers() {
    assert!(!keeps_the_level(OPTION_2));
    assert!(keeps_the_level(&with_headers(OPTION_2, r"NT AUTHORITY\\ANONYMOUS LOGON")), "the right lets it");
}

#[test]
fn v13_an_externally_secured_host_does_not_bring_organization_headers() {
    assert!(!keeps_the_level(OPTION_1));
    assert!(keeps_the_level(&with_headers(OPTION_1, r"MS Exchange\\Externally Secured Servers")), "the right lets it");
}

#[test]
fn v14_an_address_that_is_taken_off_the_list_is_on_the_default_connector_again() {
    let site = with_r(OPTION_1, "");
    let relayed = [("MAIL FROM:<a@x.net>", SENDER_OK), ("RCPT TO:<z@gmail.com>", RECIPIENT_OK)];
    talk(&site, HOST_3, &relayed);
    let narrower = r(OPTION_1, "").replace("127.0.0.2-127.0.0.3", "127.0.0.2");
    site.write_settings(&[CONTOSO, &d("\"ExchangeUsers\"", ""), &narrower]);
    site.installation.output(&["reload"]);
    talk(&site, HOST_2, &relayed);
    talk(&site, HOST_3, &[("MAIL FROM:<a@x.net>", NOT_AUTHENTICATED)]);
}

#[test]
fn v15_of_nested_ranges_the_most_specific_one_is_used() {
    let connectors: String = [("wide", "127.0.0.0/16"), ("narrow", "127.0.0.0/24"), ("host", "127.0.0.2")]
        .map(|(name, range)| {
            d("\"AnonymousUsers\"", &format!("fqdn = \"{name}.contoso.com\"\n"))
                .replace("\"D\"", &format!("\"{name}\""))
                .replace("0.0.0.0-255.255.255.255", range)
        })
        .concat();
    let site = Site::start(&[CONTOSO, &connectors]);
    let elsewhere: IpAddr = "127.0.1.1".parse().expect("an address");
    for (host, name) in [(HOST_2, "host"), (HOST_3, "narrow"), (elsewhere, "wide")] {
        let greeting = Client::connect_from(host, site.smtp()).reply().to_string();
        assert!(greeting.starts_with(&format!("220 {name}.contoso.com ")), "{host}: {greeting}");
    }
}

#[test]
fn v16_a_user_relays_in_its_own_name() {
    let site = Site::start(&[CONTOSO, &d("\"ExchangeUsers\"", "")]);
    talk(
        &site,
        HOST_4,
        &[
            (LOGON_AS_ALICE, "235"),
            ("MAIL FROM:<alice@contoso.com>", SENDER_OK),
            ("RCPT TO:<z@gmail.com>", RECIPIENT_OK),
        ],
    );
}

#[test]
fn v17_a_user_does_not_send_as_somebody_else() {
    let site = Site::start(&[CONTOSO, &d("\"ExchangeUsers\"", "")]);
    let refused = "550 5.7.1 Client does not have permissions to send as this sender";
    talk(&site, HOST_4, &[(LOGON_AS_ALICE, "235"), ("MAIL FROM:<bob@contoso.com>", refused)]);
}

#[test]
fn v18_a_user_with_the_right_sends_as_anybody() {
    let entry = "  [[receive_connector.permission]]\n  user = \"alice\"\n  \
                 extended_rights = [\"ms-Exch-SMTP-Accept-Any-Sender\"]\n";
    let site = Site::start(&[CONTOSO, &d("\"ExchangeUsers\"", entry)]);
    talk(&site, HOST_4, &[(LOGON_AS_ALICE, "235"), ("MAIL FROM:<bob@contoso.com>", SENDER_OK)]);
}

#[test]
fn v19_a_user_who_is_denied_to_submit_does_not_log_on() {
    let entry = "  [[receive_connector.permission]]\n  user = \"alice\"\n  deny = true\n  \
                 extended_rights = [\"ms-Exch-SMTP-Submit\"]\n";
    let site = Site::start(&[CONTOSO, &d("\"ExchangeUsers\"", entry)]);
    talk(&site, HOST_4, &[(LOGON_AS_ALICE, "535 5.7.3 Authentication unsuccessful")]);
}

/// `gatepost check` refuses the document for this reason, and so does a running server, which stays as it was.
#[track_caller]
fn refused(connectors: &str, expected: &str) {
    let document = Ports::free().fill(&[CONTOSO, connectors].concat());
    let installation = Installation::new(PROGRAM, &document);
    let checked = installation.run(&["check"]);
    assert_eq!(checked.status.code(), Some(3), "{}", text_of(&checked));
    assert!(text_of(&checked).contains(expected), "{}", text_of(&checked));

    let site = with_r(OPTION_1, "");
    site.write_settings(&[CONTOSO, connectors]);
    assert!(!site.installation.run(&["reload"]).status.success());
    talk(&site, HOST_2, &[("MAIL FROM:<a@x.net>", SENDER_OK), ("RCPT TO:<z@gmail.com>", RECIPIENT_OK)]);
}

/// The shell refuses this command for this reason, and neither the document nor what hosts may do is changed by it.
#[track_caller]
fn refused_by_the_shell(command: &str, expected: &str) {
    let site = with_r(OPTION_1, "");
    let before = site.installation.settings();
    let told = site.shell(&format!("{command}\n\"went well: $?\""));
    assert!(told.contains(expected), "{told}");
    assert!(told.contains("went well: False"), "{told}");
    assert_eq!(site.installation.settings(), before);
    talk(&site, HOST_2, &[("MAIL FROM:<a@x.net>", SENDER_OK), ("RCPT TO:<z@gmail.com>", RECIPIENT_OK)]);
}

#[test]
fn v20_to_v23_are_refused_by_the_shell_too() {
    let binding =
        "$binding = (Get-ReceiveConnector R).Bindings; New-ReceiveConnector Second -Custom -Bindings $binding";
    for (command, expected) in [
        ("Set-ReceiveConnector R -PermissionGroups AnonymousUsers", "ExchangeServers"),
        ("Set-ReceiveConnector D -AuthMechanism ExternalAuthoritative", "ExchangeServers"),
        ("Set-ReceiveConnector R -AuthMechanism ExternalAuthoritative,BasicAuth", "BasicAuth"),
        (&format!("{binding} -RemoteIPRanges 127.0.0.2-127.0.0.3"), "conflict with the settings on "),
        (&format!("{binding} -RemoteIPRanges 127.0.0.3-127.0.0.9"), "overlap"),
    ] {
        refused_by_the_shell(command, expected);
    }
}

#[test]
fn v20_externally_secured_without_exchange_servers_is_refused() {
    let connector = r(&OPTION_1.replace("ExchangeServers", "AnonymousUsers"), "");
    refused(&connector, "`ExternalAuthoritative` needs the permission group ExchangeServers");
}

#[test]
fn v21_externally_secured_beside_basic_authentication_is_refused() {
    let connector = r(&OPTION_1.replace("\"Tls\"", "\"BasicAuth\""), "");
    refused(&connector, "`ExternalAuthoritative` cannot stand beside BasicAuth");
}

#[test]
fn v22_a_second_connector_with_the_same_binding_and_range_is_refused() {
    let connectors = r(OPTION_1, "") + &r(OPTION_1, "").replace("\"R\"", "\"Second\"");
    refused(&connectors, "conflict with the settings on receive connector \"R\"");
}

#[test]
fn v23_a_second_connector_with_a_partly_overlapping_range_is_refused() {
    let second = r(OPTION_1, "").replace("\"R\"", "\"Second\"").replace("127.0.0.2-127.0.0.3", "127.0.0.3-127.0.0.9");
    refused(&(r(OPTION_1, "") + &second), "partly overlaps one of \"R\"");
}

#[test]
fn v25_the_groups_read_back_with_custom_where_there_is_more() {
    let more = "[[receive_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n\
                extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n";
    for (groups, more, expected) in [
        ("\"AnonymousUsers\"", more, "AnonymousUsers, Custom"),
        ("\"AnonymousUsers\"", "", "AnonymousUsers"),
        ("\"ExchangeUsers, AnonymousUsers\"", "", "AnonymousUsers, ExchangeUsers"),
        ("\"None\"", more, "Custom"),
        ("\"None\"", "", "None"),
    ] {
        // Such a right for everybody would need a reason.
        let connector = d(groups, more).replace("0.0.0.0-255.255.255.255", "127.0.0.0/8");
        let installation = Installation::new(PROGRAM, &Ports::free().fill(&[CONTOSO, &connector].concat()));
        let checked = installation.output(&["check"]);
        assert!(
            checked.lines().any(|line| line.starts_with("D ") && line.ends_with(&format!("  {expected}"))),
            "{checked}"
        );
        let names: Vec<&str> = if expected == "None" { Vec::new() } else { expected.split(", ").collect() };
        let report = installation.json(&["check"]);
        assert_eq!(report["receive_connectors"][0]["permission_groups"], serde_json::json!(names), "{report}");
    }
}

#[test]
fn v24_an_address_is_added_to_those_that_are_there() {
    let site = with_r(OPTION_1, "");
    let told = site.shell(
        "Set-ReceiveConnector R -RemoteIPRanges @{Add='127.0.0.4'}; (Get-ReceiveConnector R).RemoteIPRanges -join ' '",
    );
    assert_eq!(told.trim(), "127.0.0.2-127.0.0.3 127.0.0.4");
    for host in [HOST_2, HOST_3, HOST_4] {
        talk(&site, host, &[("MAIL FROM:<a@x.net>", SENDER_OK), ("RCPT TO:<z@gmail.com>", RECIPIENT_OK)]);
    }
}

#[test]
fn v25_the_shell_reads_the_groups_back_with_custom_and_takes_no_custom() {
    let site = with_r(OPTION_2, "");
    assert_eq!(site.shell("(Get-ReceiveConnector R).PermissionGroups").trim(), "AnonymousUsers, Custom");
    let told = site.shell("Set-ReceiveConnector R -PermissionGroups AnonymousUsers,Custom");
    assert!(told.contains("Custom"), "{told}");
    assert_eq!(site.shell("(Get-ReceiveConnector R).PermissionGroups").trim(), "AnonymousUsers, Custom");
}

#[test]
fn v26_without_permission_groups_nobody_submits() {
    let site = Site::start(&[CONTOSO, &d("\"None\"", "")]);
    for sender in ["<a@x.net>", "<alice@contoso.com>", "<>"] {
        talk(&site, HOST_4, &[(&format!("MAIL FROM:{sender}"), NOT_AUTHENTICATED)]);
    }
}

#[test]
fn v27_where_tls_is_required_mail_comes_after_starttls() {
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\"", "require_tls = true\n")]);
    let mut client = site.client(HOST_4);
    expect(&mut client, &[("MAIL FROM:<a@x.net>", "451 5.7.3 Must issue a STARTTLS command first")]);
    assert_eq!(client.start_tls().code(), 250);
    expect(&mut client, &[("MAIL FROM:<a@x.net>", SENDER_OK)]);
}

#[test]
fn v28_one_recipient_too_many_is_refused_and_the_others_get_the_message() {
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\"", "max_recipients_per_message = 2\n")]);
    let mut client = site.client(HOST_4);
    expect(
        &mut client,
        &[
            ("MAIL FROM:<a@x.net>", SENDER_OK),
            ("RCPT TO:<bob@contoso.com>", RECIPIENT_OK),
            ("RCPT TO:<alice@contoso.com>", RECIPIENT_OK),
            ("RCPT TO:<postmaster@contoso.com>", "452 4.5.3 Too many recipients"),
            ("DATA", "354"),
        ],
    );
    client.send(&format!("{}.\r\n", message("v28", "x")));
    assert_eq!(client.reply().code(), 250);
    for mailbox in ["bob@contoso.com", "alice@contoso.com"] {
        assert_eq!(site.wait_for_mail(mailbox, 1).len(), 1);
    }
    assert!(!site.installation.data_dir().join("mailboxes").join("postmaster").exists());
}

#[test]
fn v29_the_third_message_of_two_a_minute_ends_the_connection() {
    let rate = "message_rate_limit = 2\nmessage_rate_source = \"IPAddress\"\n";
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\"", rate)]);
    let mut client = site.client(HOST_4);
    for _ in 0..2 {
        expect(&mut client, &[("MAIL FROM:<a@x.net>", SENDER_OK), ("RSET", "250")]);
    }
    let refused = "421 4.4.2 Message submission rate for this client has exceeded the configured limit";
    expect(&mut client, &[("MAIL FROM:<a@x.net>", refused)]);
    client.expect_closed();
}

#[test]
fn v30_the_sixth_bad_command_ends_the_connection() {
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\"", "max_protocol_errors = 5\n")]);
    let mut client = site.client(HOST_4);
    for _ in 0..5 {
        expect(&mut client, &[("NONSENSE", "500")]);
    }
    expect(&mut client, &[("NONSENSE", "421 4.7.0")]);
    client.expect_closed();
}

#[test]
fn v31_a_right_is_added_to_the_connector_of_the_pipeline_and_to_no_other() {
    let anonymous = "permission_groups = [\"AnonymousUsers\"]\n";
    let other = r(anonymous, "").replace("\"R\"", "\"Other\"").replace("127.0.0.2-127.0.0.3", "127.0.0.4");
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\"", ""), &r(anonymous, ""), &other]);
    site.shell(
        "Get-ReceiveConnector R | Add-ADPermission -User 'NT AUTHORITY\\ANONYMOUS LOGON' \
         -ExtendedRights 'ms-Exch-SMTP-Accept-Any-Recipient'",
    );
    for (host, reply) in [(HOST_2, RECIPIENT_OK), (HOST_3, RECIPIENT_OK), (HOST_4, UNABLE)] {
        talk(&site, host, &[("MAIL FROM:<a@x.net>", SENDER_OK), ("RCPT TO:<z@gmail.com>", reply)]);
    }
    let groups = site
        .shell("Get-ReceiveConnector | Sort-Object Name | ForEach-Object { \"$($_.Name): $($_.PermissionGroups)\" }");
    assert_eq!(
        groups.lines().collect::<Vec<_>>(),
        ["D: AnonymousUsers", "Other: AnonymousUsers", "R: AnonymousUsers, Custom"]
    );
}

#[test]
fn v32_what_if_tells_and_changes_nothing() {
    let site = with_r(OPTION_1, "");
    let before = site.installation.settings();
    for command in [
        "Set-ReceiveConnector R -RemoteIPRanges 127.0.0.4 -WhatIf",
        "Get-ReceiveConnector R | Set-ReceiveConnector -Name Renamed -WhatIf",
        "Remove-ReceiveConnector R -WhatIf",
        "New-ReceiveConnector New -Custom -Bindings (Get-ReceiveConnector R).Bindings -RemoteIPRanges 127.0.0.4 -WhatIf",
        "Get-ReceiveConnector D | Add-ADPermission -User 'NT AUTHORITY\\ANONYMOUS LOGON' -ExtendedRights ms-Exch-SMTP-Submit -WhatIf",
        "Remove-ReceiveConnector R -WhatIf -Confirm:$false",
    ] {
        let told = site.shell(command);
        assert!(told.lines().any(|line| line.starts_with("What if: ")), "{command}: {told}");
        assert_eq!(site.installation.settings(), before, "{command}");
    }
    talk(&site, HOST_2, &[("MAIL FROM:<a@x.net>", SENDER_OK), ("RCPT TO:<z@gmail.com>", RECIPIENT_OK)]);
    talk(&site, HOST_4, &[("MAIL FROM:<a@x.net>", NOT_AUTHENTICATED)]);
}

#[test]
fn v33_a_message_that_has_been_through_thirty_one_servers_is_refused() {
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\"", "max_hop_count = 30\n")]);
    for (hops, expected) in [(30, "250 2.6.0"), (31, "554 5.4.6")] {
        let trace = "Received: from a.x.net by b.x.net; Fri, 20 Nov 2026 14:01:02 +0000\r\n".repeat(hops);
        let content = format!("{trace}{}", message("v33", "x"));
        let reply = submitted(&mut site.client(HOST_4), &content);
        assert!(reply.starts_with(expected), "{hops} hops: {reply}");
    }
}

/// What the end of this content is answered.
fn submitted(client: &mut Client, content: &str) -> String {
    expect(client, &[("MAIL FROM:<a@x.net>", SENDER_OK), ("RCPT TO:<bob@contoso.com>", RECIPIENT_OK), ("DATA", "354")]);
    client.send(&format!("{content}.\r\n"));
    client.reply().to_string()
}

#[test]
fn v34_the_null_reverse_path_is_accepted_from_whoever_may_submit() {
    for option in [OPTION_1, OPTION_2] {
        talk(&with_r(option, ""), HOST_2, &[("MAIL FROM:<>", SENDER_OK)]);
    }
    let site = Site::start(&[CONTOSO, &d("\"AnonymousUsers\", \"ExchangeUsers\"", "")]);
    talk(&site, HOST_4, &[("MAIL FROM:<>", SENDER_OK)]);
    talk(&site, HOST_4, &[(LOGON_AS_ALICE, "235"), ("MAIL FROM:<>", SENDER_OK)]);
}

#[test]
fn v35_an_externally_secured_host_that_logs_on_is_refused() {
    let site = with_r(OPTION_1, "");
    let mut client = site.client(HOST_2);
    let reply = client.command("AUTH LOGIN");
    assert!([503, 504].contains(&reply.code()), "{reply}");
    expect(&mut client, &[("MAIL FROM:<ceo@contoso.com>", SENDER_OK)]);
}

const VECTORS: std::ops::RangeInclusive<u32> = 1..=35;

#[test]
fn every_vector_has_its_test() {
    let tested: BTreeSet<u32> = include_str!("vectors.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("fn v")?.split_once('_')?.0.parse().ok())
        .collect();
    let expected: BTreeSet<u32> = VECTORS.collect();
    assert_eq!(tested, expected);
}
