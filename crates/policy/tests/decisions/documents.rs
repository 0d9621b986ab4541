//! What is said about documents: every problem at once, each with its place and its remedy.

use std::time::Duration;

use gatepost_policy::Settings;
use gatepost_policy::settings::{RevisionSettings, Severity, parse, render};

use crate::document::{defaults, problems, settings};

/// The document of the README and of the issue that asked for it.
const WHOLE: &str = r#"
[server]
name = "mail.contoso.com"            # default fqdn of connectors
data_dir = "/var/lib/gatepost"

[tls]
certificate = "/etc/gatepost/fullchain.pem"
private_key = "/etc/gatepost/key.pem"

[[accepted_domain]]
name = "contoso.com"
domain_type = "Authoritative"

[[mailbox]]
address = "bob@contoso.com"

[[user]]
name = "alice"
addresses = ["alice@contoso.com"]
password = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$0aW1lIHRvIHNheSBoZWxsbw"

[[receive_connector]]
name = "Relay"
bindings = ["0.0.0.0:25", "[::]:25"]
remote_ip_ranges = ["192.168.2.55", "192.168.2.56", "10.1.0.0/16", "10.9.0.1-10.9.0.20", "2001:db8::/64"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["ExchangeServers"]
max_message_size = "36 MB (37,748,736 bytes)"

[[receive_connector]]
name = "CRM Application"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["192.168.3.7"]
auth_mechanism = "TLS"
permission_groups = "anonymoususers"
connection_timeout = "1.00:00:00"
max_inbound_connection_per_source = "unlimited"
  [[receive_connector.permission]]
  user = "NT AUTHORITY\\ANONYMOUS LOGON"
  extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]

[[send_connector]]
name = "Internet"
address_spaces = ["SMTP:*;1"]
smart_hosts = ["[127.0.0.1]:2600"]
"#;

#[test]
fn a_whole_document_becomes_settings() {
    let settings = settings(WHOLE);
    assert_eq!(settings.warnings, []);
    assert_eq!(settings.server.name.as_str(), "mail.contoso.com");
    assert_eq!(settings.server.data_dir.to_str(), Some("/var/lib/gatepost"));
    let [relay, crm] = &settings.receive_connectors[..] else { panic!("two connectors") };
    assert_eq!(relay.max_message_size, 37_748_736);
    assert_eq!(relay.fqdn, settings.server.name);
    assert_eq!(relay.auth_mechanism.to_string(), "Tls, ExternalAuthoritative");
    assert_eq!(crm.max_inbound_connection_per_source, None);
    assert_eq!(crm.connection_timeout.as_secs(), 86_400);
    assert_eq!(crm.permission_groups.to_string(), "AnonymousUsers");
    assert!(!settings.send_connectors[0].dns_routing_enabled);
    assert_eq!(settings.listeners().len(), 2);
}

#[test]
fn a_password_is_never_shown() {
    let settings = settings(WHOLE);
    let shown = format!("{settings:?}");
    assert!(shown.contains("(set)") && !shown.contains("argon2"), "{shown}");
    let wrong = "[[user]]\nname = \"alice\"\npassword = \"Secret-123\"\n";
    assert!(!format!("{:?}", problems(wrong)).contains("Secret-123"));
}

#[test]
fn an_empty_document_is_one_that_hears_nobody() {
    let settings = settings("");
    assert_eq!(settings.server.name.as_str(), "mail.contoso.com");
    assert_eq!(settings.listeners(), []);
}

#[test]
fn the_first_document_has_no_problem_and_stays_on_this_machine() {
    for host_name in ["mail.contoso.com", "localhost", "no domain!", "[127.0.0.1]", "büro"] {
        let text = Settings::default_document(host_name, true);
        let settings = settings(&text);
        assert_eq!(settings.warnings, []);
        assert!(settings.listeners().iter().all(|listener| listener.address.ip().is_loopback()));
        assert!(settings.is_local_mailbox(&settings.postmaster()));
        let open: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| is_toml(line)).collect();
        assert!(!open.is_empty());
    }
}

#[test]
fn the_first_document_of_a_machine_without_ipv6_has_no_ipv6_in_it() {
    let both = settings(&Settings::default_document("mail.contoso.com", true));
    let v4 = settings(&Settings::default_document("mail.contoso.com", false));
    assert_eq!((both.listeners().len(), v4.listeners().len()), (4, 2));
    assert!(v4.listeners().iter().all(|listener| listener.address.is_ipv4()));
    let mut ranges = v4.receive_connectors.iter().flat_map(|connector| &connector.remote_ip_ranges);
    assert!(ranges.all(|range| range.first.is_ipv4()));
}

#[test]
fn a_gate_to_every_domain_without_a_way_out_is_worth_a_warning() {
    let gate = "[[receive_connector]]\nname = \"Relay\"\nbindings = \"127.0.0.1:2525\"\nremote_ip_ranges = \"127.0.0.1\"\n\
                auth_mechanism = \"ExternalAuthoritative\"\npermission_groups = \"ExchangeServers\"\n";
    let warnings = settings(gate).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].message.contains("no send connector"), "{warnings:?}");
    let way_out = "[[send_connector]]\nname = \"Internet\"\naddress_spaces = \"*\"\ndns_routing_enabled = true\n";
    assert_eq!(settings(&format!("{gate}{way_out}")).warnings, []);
}

fn is_toml(line: &str) -> bool {
    line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
}

#[test]
fn what_the_first_document_leaves_commented_out_can_be_switched_on() {
    let text = Settings::default_document("mail.contoso.com", true);
    let switched_on: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_toml(rest.trim_start()) => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let settings = settings(&switched_on);
    assert_eq!(settings.warnings, []);
    assert_eq!((settings.receive_connectors.len(), settings.send_connectors.len()), (3, 1));
}

#[test]
fn five_mistakes_are_five_problems_with_line_column_and_remedy() {
    let text = r#"[server]
name = "mail.contoso.com"
data_dirr = "/var/lib/gatepost"

[[receive_connector]]
name = "Relay"
bindings = ["0.0.0.0:25"
remote_ip_ranges = ["192.168.2.300"]
auth_mechanism = ["Tls", "ExternalAuthoritative"]
permission_groups = ["AnonymousUsers"]
max_message_size = "36 MiB"
"#;
    let told: Vec<_> =
        problems(text).into_iter().map(|problem| (problem.line, problem.column, problem.remedy)).collect();
    let remedies = [
        (3, 1, "did you mean `data_dir`?"),
        (7, 12, "write ] behind its last element"),
        (8, 21, "write \"192.168.2.55\""),
        (9, 18, "add \"ExchangeServers\" to permission_groups"),
        (11, 20, "write a size from 64 KB"),
    ];
    assert_eq!(told.len(), remedies.len(), "{told:?}");
    for ((line, column, remedy), (expected_line, expected_column, expected)) in told.iter().zip(remedies) {
        assert_eq!((*line, *column), (expected_line, expected_column), "{remedy}");
        assert!(remedy.starts_with(expected), "{remedy}");
    }
}

#[test]
fn problems_are_drawn_with_their_lines() {
    let text = "[server]\nnam = \"mail.contoso.com\"\n";
    let drawn = render("gatepost.toml", text, &problems(text), false);
    let expected = "\
error: `nam` is no key of [server]
 --> gatepost.toml:2:1
  |
2 | nam = \"mail.contoso.com\"
  | ^^^
  |
  = help: did you mean `name`?

";
    assert_eq!(drawn, expected);
    assert!(render("gatepost.toml", text, &problems(text), true).contains('\u{1b}'));
}

#[test]
fn columns_count_characters() {
    let text = "[[receive_connector]]\nname = \"Bü\"\nbindings = [\"ü\", \"x\"]\nremote_ip_ranges = [\"10.0.0.1\"]\n";
    let places: Vec<_> = problems(text).iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(3, 13), (3, 18)]);
}

/// A receive connector that is whole, and what is added to it.
fn receive(more: &str) -> String {
    format!(
        "[[receive_connector]]\nname = \"R\"\nbindings = [\"0.0.0.0:25\"]\nremote_ip_ranges = [\"10.0.0.1\"]\n{more}\n"
    )
}

fn send(more: &str) -> String {
    format!("[[send_connector]]\nname = \"S\"\naddress_spaces = [\"*\"]\n{more}\n")
}

#[test]
fn each_mistake_is_told_once_and_in_words() {
    for (text, message, remedy) in [
        // Shape.
        ("[servr]\nname = \"x\"".to_owned(), "`servr` is no key of the document", "did you mean `server`?"),
        ("[[server]]\nname = \"x\"".to_owned(), "`server` is one table", "write [server]"),
        ("[user]\nname = \"x\"".to_owned(), "`user` is a list of tables", "write [[user]]"),
        ("server = 1".to_owned(), "`server` is one table", "write [server]"),
        ("[server]\nname = 25".to_owned(), "`name`: expected text, found an integer", "put it between quotes: \"25\""),
        ("[server]\nname = \"a b\"".to_owned(), "`name`: `a b` is no domain", "write a domain name"),
        ("[server]\nname = \"[10.0.0.1]\"".to_owned(), "`name`: `[10.0.0.1]` is an address literal", "write a domain"),
        ("[tls]\ncertificate = \"x\"".to_owned(), "[tls] has no `private_key`", "write the path"),
        // Values.
        (
            receive("\n[metrics]\nlisten = \"127.0.0.1:25\""),
            "`listen`: 127.0.0.1:25 in [metrics] is a port of the receive connector R",
            "write a port that nothing else has",
        ),
        (
            receive("\n[management]\nlisten = [\"127.0.0.1:8025\", \"127.0.0.2:25\"]"),
            "`listen`: 127.0.0.2:25 in [management] is a port of the receive connector R",
            "write a port that nothing else has",
        ),
        (
            "[metrics]\nlisten = \"127.0.0.1:9925\"\n[management]\nlisten = [\"127.0.0.1:9925\"]".to_owned(),
            "`listen`: 127.0.0.1:9925 in [management] is a port of [metrics]",
            "write a port that nothing else has",
        ),
        (receive("enabled = \"$true\""), "`enabled`: expected true or false", "write true, without quotes"),
        (receive("max_hop_count = 501"), "`max_hop_count`: 501 is out of bounds", "write a whole number from 1 to 500"),
        (receive("max_hop_count = -1"), "`max_hop_count`: -1 is out of bounds", "write a whole number from 1 to 500"),
        (receive("max_hop_count = 1.5"), "`max_hop_count`: expected a whole number", "write a whole number"),
        (receive("max_inbound_connection = \"many\""), "`max_inbound_connection`: expected", "write a whole number"),
        (receive("max_message_size = \"64 KB (1 bytes)\""), "`max_message_size`: `64 KB (1 bytes)`", "write a size"),
        (receive("connection_timeout = \"2 days\""), "`connection_timeout`: `2 days` is no time", "write a time span"),
        (receive("connection_timeout = 01:00:00"), "`connection_timeout`: expected a time", "put it between quotes"),
        (receive("connection_timeout = \"1.00:00:01\""), "`connection_timeout`: 1.00:00:01", "write a time span"),
        (receive("size_enabled = \"Enable\""), "`size_enabled`: there is no `Enable`", "did you mean `Enabled`?"),
        (receive("banner = \"hello\""), "`banner`: a banner starts with 220", "write \"220 hello\""),
        (receive("banner = \"220 a\\r\\nb\""), "`banner`: the banner is not one line", "write one line"),
        (
            receive("tarpit_interval = \"00:10:01\""),
            "`tarpit_interval`: 00:10:01 is out of bounds",
            "write a time span",
        ),
        (receive("message_rate_limit = 0"), "`message_rate_limit`: 0 is out of bounds", "write a whole number from 1"),
        (
            receive("message_rate_source = \"IpAdress\""),
            "`message_rate_source`: there is no `IpAdress`",
            "did you mean `IPAddress`?",
        ),
        (receive("usage = \"Clients\""), "`usage`: there is no `Clients`", "did you mean `Client`?"),
        (
            receive("usage = \"Client\"").replace("remote_ip_ranges = [\"10.0.0.1\"]", ""),
            "[[receive_connector]] has no `remote_ip_ranges`",
            "write whom",
        ),
        (
            receive("auth_mechanism = [\"TLS\", \"BasicAuthRequiresTls\", \"BasicAuth\"]"),
            "`auth_mechanism`: there is no `BasicAuthRequiresTls`",
            "did you mean `BasicAuthRequireTLS`?",
        ),
        (receive("auth_mechanism = \"None, Tls\""), "`auth_mechanism`: `None` cannot stand beside", "write \"None\""),
        (receive("permission_groups = 1"), "`permission_groups`: expected text", "put it between quotes"),
        // Cross-property rules of section 1.9.
        (
            receive("connection_timeout = \"00:05:00\""),
            "`connection_timeout` (300 s) must be longer than connection_inactivity_timeout (300 s)",
            "raise connection_timeout",
        ),
        (
            receive("chunking_enabled = false"),
            "`binary_mime_enabled` needs chunking",
            "write binary_mime_enabled = false",
        ),
        (
            receive("require_tls = true\nauth_mechanism = \"None\""),
            "`require_tls` needs Tls in auth_mechanism",
            "add \"Tls\"",
        ),
        (
            receive("implicit_tls = true\nauth_mechanism = \"None\""),
            "`implicit_tls` needs Tls in auth_mechanism",
            "add \"Tls\"",
        ),
        (
            receive("auth_mechanism = \"Tls, BasicAuthRequireTLS\""),
            "`BasicAuthRequireTLS` needs BasicAuth and Tls",
            "write [\"Tls\", \"BasicAuth\"",
        ),
        (
            receive("auth_mechanism = \"BasicAuth, BasicAuthRequireTLS\""),
            "`BasicAuthRequireTLS` needs BasicAuth and Tls",
            "write [\"Tls\", \"BasicAuth\"",
        ),
        (receive("default_domain = \"x.net\""), "`default_domain`: x.net is no accepted domain", "write one of"),
        // Lists.
        (
            receive("bindings = [\"10.0.0.1\"]").replacen("bindings = [\"0.0.0.0:25\"]\n", "", 1),
            "`bindings`: `10.0.0.1`",
            "write address:port",
        ),
        (receive("").replace("[\"10.0.0.1\"]", "[]"), "`remote_ip_ranges` is empty", "write whom it is for"),
        (
            receive("").replace("remote_ip_ranges = [\"10.0.0.1\"]", ""),
            "[[receive_connector]] has no `remote_ip_ranges`",
            "write whom",
        ),
        (
            receive("").replace("\"10.0.0.1\"", "\"10.0.0.1\", \"10.0.0.1/32\""),
            "`remote_ip_ranges` already holds this",
            "remove one",
        ),
        (
            receive("").replace("\"0.0.0.0:25\"", "\"0.0.0.0:25\", \"0.0.0.0:25\""),
            "`bindings` already holds this",
            "remove one",
        ),
        (
            receive("").replace("\"10.0.0.1\"", "\"0.0.0.0\""),
            "`remote_ip_ranges`: `0.0.0.0` is no range",
            "for all addresses",
        ),
        // Entries.
        (
            receive("permission = [{ user = \"alice\", extended_rights = \"ms-Exch-SMTP-Submit\" }]"),
            "`user`: there is no user or group `alice`",
            "declare the user in [[user]]",
        ),
        (
            receive("permission = [{ user = \"ANONYMOUS LOGIN\", extended_rights = \"ms-Exch-SMTP-Submit\" }]"),
            "`user`: there is no user or group `ANONYMOUS LOGIN`",
            "",
        ),
        (
            receive("permission = [{ user = \"AnonymousUsers\", extended_rights = \"ms-Exch-SMTP-Submit\" }]"),
            "`user`: there is no user or group `AnonymousUsers`",
            "write NT AUTHORITY\\\\ANONYMOUS LOGON",
        ),
        (
            receive("permission = [{ user = \"Everyone\", extended_rights = \"Accept-Any-Recipient\" }]"),
            "`extended_rights`: there is no `Accept-Any-Recipient`",
            "did you mean `ms-Exch-SMTP-Accept-Any-Recipient`?",
        ),
        (
            receive("permission = [{ user = \"Everyone\", extended_rights = \"ms-Exch-SMTP-Accept-Any-Recipients\" }]"),
            "`extended_rights`: there is no `ms-Exch-SMTP-Accept-Any-Recipients`",
            "did you mean `ms-Exch-SMTP-Accept-Any-Recipient`?",
        ),
        (
            receive("permission = [{ user = \"Everyone\", extended_rights = \"ms-Exch-Send-Headers-Routing\" }]"),
            "`extended_rights`: `ms-Exch-Send-Headers-Routing` is a right on send connectors",
            "remove it",
        ),
        // Several tables.
        (
            receive("") + &receive("").replace("10.0.0.1", "10.0.0.2").replace("\"R\"", "\"r\""),
            "there are two receive connectors `r`",
            "remove or rename",
        ),
        (send("") + &send(""), "there are two send connectors `s`", "remove or rename"),
        (
            "[[accepted_domain]]\nname = \"x.net\"\n[[accepted_domain]]\nname = \"X.NET\"".to_owned(),
            "there are two accepted domains `x.net`",
            "remove",
        ),
        (
            "[[accepted_domain]]\nname = \"*\"".to_owned(),
            "`name`: `*` would accept mail for every domain",
            "write the domains",
        ),
        (
            "[[accepted_domain]]\nname = \"*.com\"\ndomain_type = \"InternalRelay\"".to_owned(),
            "`name`: `*.com` would let everybody relay to every domain below com",
            "write the domains",
        ),
        (
            "[[mailbox]]\naddress = \"bob@x.net\"".to_owned(),
            "x.net is no accepted domain, so nothing",
            "declare [[accepted_domain]]",
        ),
        ("[[user]]\nname = \"a\\\\b\"".to_owned(), "`name`: such a name holds no backslash", "write the name"),
        ("[[user]]\nname = \"everyone\"".to_owned(), "`name`: `everyone` is a well-known name", "write another"),
        (
            "[server]\npostmaster = \"bob@x.net\"".to_owned(),
            "`postmaster`: bob@x.net is no mailbox here",
            "write an address of [[mailbox]]",
        ),
        // Send connectors.
        (
            send("smart_hosts = [\"[10.0.0.1]\"]\ndns_routing_enabled = true"),
            "`dns_routing_enabled` cannot be true where",
            "write dns_routing_enabled = false",
        ),
        (send("dns_routing_enabled = false"), "this connector leads nowhere", "write smart_hosts"),
        (
            send("require_tls = true\nignore_starttls = true"),
            "`ignore_starttls` cannot be true",
            "write ignore_starttls = false",
        ),
        (
            send("smart_hosts = [\"10.0.0.256\"]"),
            "`smart_hosts`: `10.0.0.256` is no smart host",
            "write \"[10.0.0.1]\"",
        ),
        (send("port = 0"), "`port`: 0 is out of bounds", "write a whole number from 1 to 65535"),
        (
            send("tls_auth_level = \"DomainValidation\""),
            "`tls_auth_level` needs require_tls = true",
            "write require_tls = true",
        ),
        (
            "[[accepted_domain]]\nname = \"x.net\"\nrecipient_verification = true".to_owned(),
            "`recipient_verification`: all recipients of an Authoritative domain",
            "remove it",
        ),
        (
            send("max_per_domain_outbound_connections = 5"),
            "`max_per_domain_outbound_connections` is a limit of",
            "write it in [transport]",
        ),
        (
            "[transport]\nmessage_expiration_timeout = \"91.00:00:00\"".to_owned(),
            "`message_expiration_timeout`: 91",
            "write a time span",
        ),
        (
            "[transport]\nexternal_dns_servers = [\"dns.google\"]".to_owned(),
            "`external_dns_servers`: `dns.google`",
            "write an IP address",
        ),
    ] {
        let problems = problems(&text);
        assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
        assert!(problems[0].message.starts_with(message), "{text}\n{problems:#?}");
        assert!(problems[0].remedy.starts_with(remedy), "{text}\n{problems:#?}");
        assert!(problems[0].line >= 1 && problems[0].column >= 1);
    }
}

#[test]
fn a_warning_does_not_stand_in_the_way() {
    for (text, message) in [
        (receive("permission_groups = \"AnonymousUsers, Custom\""), "`Custom` is ignored"),
        (receive("auth_mechanism = \"BasicAuth\""), "passwords are taken without TLS"),
        (receive("auth_mechanism = \"Tls, Integrated\""), "`Integrated` is not offered"),
        ("[[user]]\nname = \"alice\"\naddresses = \"alice@x.net\"".to_owned(), "alice may send as alice@x.net"),
        (
            "[[accepted_domain]]\nname = \"x.net\"\ndomain_type = \"ExternalRelay\"".to_owned(),
            "no send connector leads to x.net",
        ),
    ] {
        let warnings = settings(&text).warnings;
        assert_eq!(warnings.len(), 1, "{text}\n{warnings:#?}");
        assert_eq!(warnings[0].severity, Severity::Warning);
        assert!(warnings[0].message.starts_with(message), "{text}\n{warnings:#?}");
        assert!(render("x", &text, &warnings, false).starts_with("warning: "));
    }
}

#[test]
fn a_large_document_is_read_in_about_linear_time() {
    use std::fmt::Write;
    let mut text = String::from(
        "[[receive_connector]]\nname = \"all\"\nbindings = [\"0.0.0.0:25\"]\nremote_ip_ranges = [\"0.0.0.0/0\"]\n",
    );
    for connector in 0..2_000_u32 {
        write!(
            text,
            "[[receive_connector]]\nname = \"c{connector}\"\nbindings = [\"0.0.0.0:25\"]\nremote_ip_ranges = ["
        )
        .expect("a String");
        for range in 0..10 {
            let [_, b, c, d] = (connector * 16 + range).to_be_bytes();
            write!(text, "\"10.{b}.{c}.{d}\",").expect("a String");
        }
        text.push_str("]\n");
    }
    let settings = settings(&text);
    let local = "10.255.0.1:25".parse().expect("an address");
    let name =
        |peer: &str| settings.select(local, peer.parse().expect("an address"), 0).map(|found| found.name.to_string());
    assert_eq!(name("10.0.0.25").as_deref(), Some("c1"));
    assert_eq!(name("10.0.0.26").as_deref(), Some("all"));
    assert_eq!(name("2001:db8::1"), None);
}

proptest::proptest! {
    /// Nothing that is written makes the reader or the drawing panic, and every problem has its place in the document.
    #[test]
    fn any_text_is_taken_or_refused(noise in "[ -~\\n]{0,40}", at in 0..2_000_usize, length in 0..60_usize) {
        let mut text = WHOLE.to_owned();
        let at = at.min(text.len());
        let end = (at + length).min(text.len());
        text.replace_range(at..end, &noise);
        if let Err(problems) = parse(&text, &defaults()) {
            proptest::prop_assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            for problem in &problems {
                proptest::prop_assert!(problem.span.end <= text.len() + 1 && problem.line >= 1 && problem.column >= 1);
                proptest::prop_assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
            }
            render("gatepost.toml", &text, &problems, false);
        }
    }

    /// The same for short documents of the characters that mean something.
    #[test]
    fn any_scrap_is_taken_or_refused(text in "[servuname\\[\\]={}\"'#,. 0-9é\\r\\n]{0,60}") {
        if let Err(problems) = parse(&text, &defaults()) {
            render("gatepost.toml", &text, &problems, false);
        }
    }
}

#[test]
fn records_are_kept_as_the_document_says_within_bounds() {
    use gatepost_policy::protocol_log::{ProtocolLog, ProtocolLogs};
    use gatepost_policy::settings::TrackingSettings;
    let standard = TrackingSettings {
        ids_in_replies: true,
        messages_max_size: 64 << 20,
        refusals_max_size: 64 << 20,
        refusals_per_source_per_minute: 60,
        message_tracking_log_enabled: true,
        message_tracking_log_max_age: Duration::from_secs(30 * 86_400),
        message_tracking_log_max_directory_size: 1_000 << 20,
        message_tracking_log_subject_logging_enabled: true,
        message_tracking_log_address_logging_enabled: true,
    };
    assert_eq!(settings("").tracking, standard);
    assert_eq!(settings("[tracking]\n").tracking, standard);
    let text = "[tracking]\nids_in_replies = false\nmessages_max_size = \"1 GB\"\nrefusals_max_size = 1048576\n\
                refusals_per_source_per_minute = 0\nmessage_tracking_log_enabled = false\n\
                message_tracking_log_max_age = \"00:00:00\"\nmessage_tracking_log_max_directory_size = \"2 GB\"\n\
                message_tracking_log_subject_logging_enabled = false\n\
                message_tracking_log_address_logging_enabled = false\n";
    let declared = TrackingSettings {
        ids_in_replies: false,
        messages_max_size: 1 << 30,
        refusals_max_size: 1 << 20,
        refusals_per_source_per_minute: 0,
        message_tracking_log_enabled: false,
        message_tracking_log_max_age: Duration::ZERO,
        message_tracking_log_max_directory_size: 2 << 30,
        message_tracking_log_subject_logging_enabled: false,
        message_tracking_log_address_logging_enabled: false,
    };
    assert_eq!(settings(text).tracking, declared);
    let transcripts = "[tracking]\nreceive_protocol_log_max_age = \"1.00:00:00\"\nsend_protocol_log_path = \"/srv/log\"\n\
                       receive_protocol_log_max_directory_size = \"20 MB\"\nsend_protocol_log_max_file_size = \"1 MB\"\n";
    let usual = ProtocolLog::default();
    let expected = ProtocolLogs {
        receive: ProtocolLog { max_age: Duration::from_secs(86_400), max_directory_size: 20 << 20, ..usual.clone() },
        send: ProtocolLog { path: Some("/srv/log".into()), max_file_size: 1 << 20, ..usual },
    };
    assert_eq!(settings(transcripts).protocol_logs, expected);
    assert_eq!(settings("").protocol_logs, ProtocolLogs::default());
    for (line, words) in [
        ("messages_max_size = \"1 KB\"", "1 MB"),
        ("refusals_max_size = \"5 GB\"", "4 GB"),
        ("refusals_per_source_per_minute = -1", "from 0 to 1000000"),
        ("ids_in_replies = \"no\"", "true or false"),
        ("message_tracking_log_max_age = 30", "time span"),
        ("message_tracking_log_max_directory_size = \"1 MB\"", "8 MB"),
        ("message_tracking_log_subject_logging_enabled = 1", "true or false"),
        ("max_size = \"1 GB\"", "keys are ids_in_replies"),
        ("receive_protocol_log_max_file_size = \"1 KB\"", "64 KB"),
        ("send_protocol_log_max_directory_size = \"5 MB\"", "is less than `send_protocol_log_max_file_size`"),
        ("receive_protocol_log_path = \"\"", "this is no path"),
    ] {
        let found = problems(&format!("[tracking]\n{line}\n"));
        let [problem] = &found[..] else { panic!("{line}: {found:?}") };
        let told = format!("{} {}", problem.message, problem.remedy);
        assert!(problem.line == 2 && told.contains(words), "{line}: {problem:?}");
    }
}

#[test]
fn the_history_of_settings_is_bounded_as_the_document_says() {
    assert_eq!(settings("[revisions]\n").revisions, RevisionSettings::default());
    let declared =
        RevisionSettings { max_count: 2, max_age: std::time::Duration::from_secs(86_400), max_size: 1 << 20 };
    let text = "[revisions]\nmax_count = 2\nmax_age = \"1.00:00:00\"\nmax_size = \"1 MB\"\n";
    assert_eq!(settings(text).revisions, declared);
    for (line, words) in [
        ("max_count = 1", "from 2 to 100000"),
        ("max_age = 30", "time span"),
        ("max_size = \"1 KB\"", "1 MB"),
        ("keep = 7", "keys are max_count, max_age, max_size"),
    ] {
        let found = problems(&format!("[revisions]\n{line}\n"));
        let [problem] = &found[..] else { panic!("{line}: {found:?}") };
        let told = format!("{} {}", problem.message, problem.remedy);
        assert!(problem.line == 2 && told.contains(words), "{line}: {problem:?}");
    }
}

#[test]
fn monitoring_says_where_and_whom_and_keeps_secrets_out_of_the_document() {
    let standard = settings("").monitoring;
    assert_eq!((standard.metrics, standard.opentelemetry, standard.alarms.webhooks.len()), (None, None, 0));
    let whole = "[metrics]\nlisten = \"127.0.0.1:9925\"\n\
        [opentelemetry]\nendpoint = \"https://otel.example.net/x\"\ninterval = \"00:00:10\"\nauthorization_env = \"OTEL_TOKEN\"\n\
        [alarms]\nroute_silence = \"00:30:00\"\noldest_message = \"02:00:00\"\nexpiry_days = 14\nused_disk_space = 90\n\
        mail_interval = \"00:05:00\"\nrecipients = \"admin@contoso.com\"\n\
        [[alarms.webhook]]\nurl = \"https://hooks.example.net/y?token=z\"\nsecret_file = \"secret\"\ntimeout = \"00:00:05\"\n";
    let taken = settings(whole);
    assert_eq!(taken.warnings, []);
    let mut monitoring = taken.monitoring;
    assert_eq!(
        monitoring.metrics.as_ref().map(|metrics| metrics.listen.to_string()).as_deref(),
        Some("127.0.0.1:9925")
    );
    assert_eq!(monitoring.alarms.route_silence.as_secs(), 1_800);
    assert_eq!(monitoring.secrets_mut().count(), 2);
    for (text, expected) in [
        ("[metrics]\n", "`listen`"),
        ("[metrics]\nlisten = \"0.0.0.0:9925\"\n", "`listen`: 0.0.0.0:9925 lets other machines read the numbers"),
        ("[metrics]\nlisten = \"9925\"\n", "`listen`"),
        ("[opentelemetry]\nendpoint = \"http://127.0.0.1:4318/v1/metrics\"\n", "/v1/metrics and /v1/traces are added"),
        ("[opentelemetry]\nendpoint = \"localhost:4318\"\n", "`endpoint`: `localhost:4318` is no URL"),
        ("[opentelemetry]\nendpoint = \"http://otel.example.net\"\nauthorization_env = \"X\"\n", "in clear"),
        (
            "[opentelemetry]\nendpoint = \"http://127.0.0.1:4318\"\nauthorization_env = \"X\"\nauthorization_file = \"x\"\n",
            "both say where the secret is",
        ),
        (
            "[opentelemetry]\nendpoint = \"http://127.0.0.1:4318\"\nauthorization_env = \"$X\"\n",
            "no name of an environment",
        ),
        ("[alarms]\nroute_silence = \"00:00:00\"\n", "`route_silence`"),
        ("[alarms]\nused_disk_space = 101\n", "`used_disk_space`"),
        ("[alarms]\nrecipients = [\"nobody\"]\n", "`recipients`"),
        ("[[alarms.webhook]]\nurl = \"https://a:b@hooks.example.net/\"\n", "`url`"),
        ("[[alarms.webhook]]\nsecret = \"in the open\"\nurl = \"https://hooks.example.net/\"\n", "`secret`"),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem.message.contains(expected)), "{text}: {found:?}");
    }
    let risky = settings("[metrics]\nlisten = \"10.1.1.1:9925\"\naccept_risk = \"the monitoring network alone\"\n");
    assert_eq!(risky.warnings, []);
    let warned = settings("[[alarms.webhook]]\nurl = \"http://hooks.example.net/\"\n").warnings;
    assert!(warned.iter().any(|warning| warning.message.contains("can be read on the way")), "{warned:?}");
}
