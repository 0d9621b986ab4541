//! Properties of a send connector that stand alone: TLS and its levels, logon, source address, error policies, limits (fact
//! sheet section 4.4).

use std::net::IpAddr;
use std::time::Duration;

use gatepost_policy::certificate::{Thumbprint, Untrusted};
use gatepost_policy::logon::{LogonMechanism, PasswordPlace};
use gatepost_policy::next_hop_certificate::{Demand, Doubt, NextHopCertificate, Proof, Wanted, decide, demand};
use gatepost_policy::route::{Host, NextHop};
use gatepost_policy::send_connector::{SendConnector, Source, TlsAuthLevel, Usage, in_turn};
use gatepost_policy::settings::parse;

use crate::document::{defaults, problems, settings};

/// Every property of section 4.4, as keys.
const PROPERTIES: &str = "name usage address_spaces source_transport_servers is_scoped_connector enabled \
    dns_routing_enabled smart_hosts smart_host_auth_mechanism port use_external_dns_servers_enabled fqdn force_helo \
    ignore_starttls require_tls tls_auth_level tls_domain tls_certificate_name domain_secure_enabled error_policies \
    max_message_size smtp_max_messages_per_connection connection_inactivity_timeout source_ip_address \
    frontend_proxy_enabled protocol_logging_level cloud_services_mail_enabled require_oorg connector_type \
    is_coexistence_connector comment authentication_credential";

const HOST: &str = "smart_hosts = [\"relay.example.net:587\"]\n";
const LOGON: &str = "smart_host_auth_mechanism = \"BasicAuthRequireTLS\"\nauthentication_user = \"us\"\n\
    authentication_password_env = \"PASSWORD\"\n";

fn document(text: &str) -> String {
    format!("[[send_connector]]\nname = \"Out\"\naddress_spaces = [\"*\"]\n{text}\n")
}

fn connector(text: &str) -> SendConnector {
    let settings = settings(&document(text));
    settings.send_connectors[0].as_ref().clone()
}

#[test]
fn every_property_is_known() {
    for key in PROPERTIES.split_whitespace() {
        let text = format!("[[send_connector]]\n{key} = []\n");
        for problem in parse(&text, &defaults()).map_or_else(|problems| problems, |settings| settings.warnings) {
            let is_known = !problem.message.contains("is no key of") && !problem.message.contains("not supported yet");
            assert!(is_known, "{key}: {}", problem.message);
        }
    }
}

#[test]
fn what_is_not_said_is_what_exchange_does_and_what_is_said_is_read() {
    let plain = connector("");
    assert_eq!((plain.usage, plain.max_message_size), (Usage::Custom, Some(35 << 20)));
    assert!(!plain.force_helo && !plain.implicit_tls && !plain.domain_secure_enabled && plain.logon.is_none());
    assert_eq!((plain.max_connections, plain.messages_per_minute), (None, None));
    assert_eq!(connector("usage = \"Internal\"").max_message_size, None);
    assert_eq!(connector("usage = \"internal\"\nmax_message_size = \"1 MB\"").max_message_size, Some(1 << 20));
    assert_eq!(connector("max_connections = 3\nmessages_per_minute = 30").messages_per_minute, Some(30));
    assert_eq!(connector("max_connections = \"unlimited\"").max_connections, None);
    for (level, expected) in [
        ("", None),
        ("EncryptionOnly", Some(TlsAuthLevel::EncryptionOnly)),
        ("certificatevalidation", Some(TlsAuthLevel::CertificateValidation)),
        ("DomainValidation", Some(TlsAuthLevel::DomainValidation)),
    ] {
        assert_eq!(connector(&format!("require_tls = true\ntls_auth_level = \"{level}\"")).tls_auth_level, expected);
    }
    let logon = connector(&format!("{HOST}{LOGON}")).logon.expect("it logs on");
    assert_eq!((&*logon.user, &logon.password), ("us", &PasswordPlace::Environment("PASSWORD".into())));
    assert_eq!(logon.mechanisms, LogonMechanism::NAMED.map(|(_, mechanism)| mechanism));
    let chosen = connector(&format!("{HOST}{LOGON}authentication_mechanisms = [\"login\", \"PLAIN\", \"LOGIN\"]"));
    assert_eq!(chosen.logon.expect("it logs on").mechanisms, [LogonMechanism::Plain, LogonMechanism::Login]);
}

#[test]
fn what_asks_for_nothing_here_is_taken_and_what_asks_for_something_says_why_not() {
    for (written, expected) in [
        ("cloud_services_mail_enabled = false", None),
        ("cloud_services_mail_enabled = true", Some("Microsoft's cloud")),
        ("frontend_proxy_enabled = false", None),
        ("frontend_proxy_enabled = true", Some("front and back ends")),
        ("is_coexistence_connector = false", None),
        ("is_coexistence_connector = true", Some("Microsoft's cloud")),
        ("is_scoped_connector = false", None),
        ("is_scoped_connector = true", Some("Active Directory sites")),
        ("require_oorg = false", None),
        ("require_oorg = true", Some("Microsoft's cloud")),
        ("connector_type = \"Default\"", None),
        ("connector_type = \"XPremises\"", Some("Microsoft's cloud")),
        ("source_transport_servers = [\"MAIL\"]", None),
        ("source_transport_servers = \"mail.contoso.com\"", None),
        ("source_transport_servers = [\"MAIL\", \"EX2\"]", Some("`EX2` is another server")),
        ("tls_auth_level = \"\"\ntls_domain = \"\"\ntls_certificate_name = \"\"", None),
        ("source_ip_address = \"0.0.0.0\"", None),
        ("error_policies = \"Default\"", None),
    ] {
        match (parse(&document(written), &defaults()), expected) {
            (Ok(_), None) => {}
            (Err(problems), Some(expected)) => {
                assert!(problems.iter().any(|problem| problem.message.contains(expected)), "{written}: {problems:?}");
            }
            (Ok(_), Some(_)) => panic!("{written} was taken"),
            (Err(problems), None) => panic!("{written}: {problems:?}"),
        }
    }
}

#[test]
fn what_cannot_stand_together_says_so_once_and_what_to_write_instead() {
    let basic = |mechanism: &str, more: &str| format!("{HOST}smart_host_auth_mechanism = \"{mechanism}\"\n{more}");
    let with_user = "authentication_user = \"us\"\n";
    let with_file = "authentication_password_file = \"secret\"\n";
    for (written, message, remedy) in [
        ("tls_auth_level = \"EncryptionOnly\"".to_owned(), "needs require_tls", "write require_tls = true"),
        (
            "require_tls = true\nignore_starttls = true".to_owned(),
            "`ignore_starttls` cannot be true where require_tls is",
            "ignore_starttls = false",
        ),
        ("implicit_tls = true\nignore_starttls = true".to_owned(), "TLS has started", "implicit_tls = false"),
        (
            "require_tls = true\ntls_auth_level = \"CertificateValidation\"\ntls_domain = \"a.example\"".to_owned(),
            "`tls_domain` is compared under DomainValidation only",
            "DomainValidation",
        ),
        (
            format!("{HOST}require_tls = true\ntls_auth_level = \"DomainValidation\""),
            "DomainValidation of smart hosts needs tls_domain",
            "tls_domain = ",
        ),
        ("tls_auth_level = \"Full\"".to_owned(), "there is no `Full`", "EncryptionOnly"),
        (
            "require_tls = true\ntls_auth_level = \"DomainValidation\"\ntls_domain = \"*\"".to_owned(),
            "no domain",
            "write",
        ),
        (format!("{HOST}domain_secure_enabled = true"), "has smart hosts", "DomainValidation"),
        (
            "domain_secure_enabled = true\nignore_starttls = true".to_owned(),
            "domain_secure_enabled is",
            "ignore_starttls",
        ),
        (
            "force_helo = true\nrequire_tls = true".to_owned(),
            "`force_helo` cannot be true with require_tls",
            "force_helo",
        ),
        (format!("{HOST}{LOGON}force_helo = true"), "`force_helo` cannot be true with a logon", "force_helo = false"),
        (LOGON.to_owned(), "`BasicAuthRequireTLS` speaks of smart hosts", "write smart_hosts"),
        (format!("{HOST}{LOGON}ignore_starttls = true"), "cannot stand beside ignore_starttls", "BasicAuth"),
        (basic("ExchangeServer", ""), "needs Kerberos", "BasicAuthRequireTLS"),
        (basic("BasicAuth", with_file), "has no `authentication_user`", "authentication_user"),
        (basic("BasicAuth", with_user), "has no `authentication_password_file`", "authentication_password_env"),
        (
            basic("BasicAuth", &format!("{with_user}{with_file}authentication_password_env = \"P\"")),
            "two places of one password",
            "remove one",
        ),
        (
            basic("BasicAuth", &format!("{with_user}authentication_password_env = \"hunter 2\"")),
            "no name",
            "not the password",
        ),
        (basic("None", with_user), "logs on to nobody", "BasicAuthRequireTLS"),
        (
            basic("BasicAuth", &format!("{with_user}{with_file}authentication_mechanisms = []")),
            "`authentication_mechanisms` is empty",
            "best first",
        ),
        (
            basic("BasicAuth", &format!("{with_user}{with_file}authentication_mechanisms = [\"NTLM\"]")),
            "there is no `NTLM`",
            "SCRAM-SHA-256",
        ),
        (
            basic("BasicAuth", &format!("{with_user}{with_file}authentication_credential = \"x\"")),
            "would put a password into a document",
            "authentication_password_file",
        ),
        ("source_ip_address = [\"192.0.2.1\", \"192.0.2.2\"]".to_owned(), "two of one family", "at most"),
        ("source_ip_address = \"eth0\"".to_owned(), "`eth0` is no IP address", "2001:db8::10"),
        ("source_ip_address = \"224.0.0.1\"".to_owned(), "no address that a connection can come from", "192.0.2.10"),
        ("error_policies = [\"DowngradeCustomFailures\"]".to_owned(), "has no `downgrade_codes`", "5.2.2"),
        ("upgrade_codes = [\"450\"]".to_owned(), "without UpgradeCustomFailures", "error_policies"),
        (
            "error_policies = [\"UpgradeCustomFailures\"]\nupgrade_codes = [421]".to_owned(),
            "421 says that the connection ends",
            "450",
        ),
        (
            "error_policies = [\"UpgradeCustomFailures\"]\nupgrade_codes = [\"550\"]".to_owned(),
            "no failure of class 4",
            "4.7.1",
        ),
        ("error_policies = [\"Default\", \"DowngradeDnsFailures\"]".to_owned(), "at its word", "remove `Default`"),
        ("error_policies = [\"DowngradeDns\"]".to_owned(), "there is no `DowngradeDns`", "DowngradeDnsFailures"),
        ("messages_per_minute = 0".to_owned(), "messages_per_minute", ""),
        ("max_connections = 0".to_owned(), "max_connections", ""),
        ("smart_hosts_order = \"random\"".to_owned(), "there is no `random`", "balanced"),
    ] {
        let found = problems(&document(&written));
        let errors: Vec<_> = found.iter().filter(|problem| problem.message.contains(message)).collect();
        assert_eq!(errors.len(), 1, "{written}: {found:#?}");
        assert!(errors[0].remedy.contains(remedy), "{written}: {}", errors[0].remedy);
    }
}

#[test]
fn a_password_that_may_travel_in_clear_is_a_warning_unless_it_stays_on_this_machine() {
    let basic = "smart_host_auth_mechanism = \"BasicAuth\"\nauthentication_user = \"us\"\nauthentication_password_env = \"P\"\n";
    for (more, warns) in [
        (HOST, true),
        ("smart_hosts = [\"[10.0.0.5]\"]\n", true),
        ("smart_hosts = [\"[127.0.0.1]:2600\"]\n", false),
        ("smart_hosts = [\"relay.example.net\"]\nrequire_tls = true\n", false),
        ("smart_hosts = [\"relay.example.net:465\"]\nimplicit_tls = true\n", false),
    ] {
        let settings = settings(&document(&format!("{more}{basic}")));
        let has = settings.warnings.iter().any(|warning| warning.message.contains("in clear"));
        assert_eq!(has, warns, "{more}: {:?}", settings.warnings);
    }
}

#[test]
fn each_next_hop_has_to_prove_what_its_connector_asks_for() {
    let host = |name: &str| Wanted::Host(name.parse_domain());
    let below = |name: &str| Wanted::Below(name.parse_domain());
    let relay = Host::Name("relay.example.net".parse_domain());
    let literal = Host::Address("192.0.2.1".parse().expect("an address"));
    let to_hosts = NextHop::SmartHosts([].into());
    let to_domain = NextHop::Domain("fabrikam.example".parse_domain());
    let secure = ["fabrikam.example".parse_domain()];
    let require = "require_tls = true\n";
    for (text, next_hop, smart_host, expected) in [
        (String::new(), &to_domain, None, Demand::Nothing),
        (require.to_owned(), &to_domain, None, Demand::Encryption),
        ("implicit_tls = true".to_owned(), &to_domain, None, Demand::Encryption),
        (format!("{require}tls_auth_level = \"EncryptionOnly\""), &to_domain, None, Demand::Encryption),
        (format!("{require}tls_auth_level = \"CertificateValidation\""), &to_domain, None, Demand::Certificate),
        // Without tls_domain, the recipient's domain.
        (
            format!("{require}tls_auth_level = \"DomainValidation\""),
            &to_domain,
            None,
            Demand::Name(host("fabrikam.example")),
        ),
        (
            format!("{HOST}{require}tls_auth_level = \"DomainValidation\"\ntls_domain = \"*.example.net\""),
            &to_hosts,
            Some(&relay),
            Demand::Name(below("example.net")),
        ),
        // The name that the administrator wrote, whatever MX records say.
        (format!("{HOST}{LOGON}"), &to_hosts, Some(&relay), Demand::Name(host("relay.example.net"))),
        (
            format!("{HOST}{LOGON}"),
            &to_hosts,
            Some(&literal),
            Demand::Name(Wanted::Address("192.0.2.1".parse().expect("an address"))),
        ),
        (
            format!("{HOST}{LOGON}{require}tls_auth_level = \"DomainValidation\"\ntls_domain = \"smtp.example.net\""),
            &to_hosts,
            Some(&relay),
            Demand::Name(host("smtp.example.net")),
        ),
        ("domain_secure_enabled = true".to_owned(), &to_domain, None, Demand::Name(host("fabrikam.example"))),
        (
            "domain_secure_enabled = true".to_owned(),
            &NextHop::Domain("else.example".parse_domain()),
            None,
            Demand::Nothing,
        ),
    ] {
        assert_eq!(demand(&connector(&text), next_hop, smart_host, &secure), expected, "{text}");
    }
}

#[test]
fn a_certificate_proves_a_name_by_the_rules_of_rfc_6125_or_says_what_is_wrong() {
    let certificate = |hosts: &str, trust| NextHopCertificate {
        thumbprint: Thumbprint([0; 32]),
        hosts: hosts.split_whitespace().map(Into::into).collect(),
        addresses: vec!["192.0.2.1".parse().expect("an address")],
        trust,
    };
    let host = |name: &str| Demand::Name(Wanted::Host(name.parse_domain()));
    let below = |name: &str| Demand::Name(Wanted::Below(name.parse_domain()));
    let address = |text: &str| Demand::Name(Wanted::Address(text.parse::<IpAddr>().expect("an address")));
    for (demand, hosts, is_proven) in [
        (host("mx.contoso.com"), "mx.contoso.com", true),
        (host("mx.contoso.com"), "MX.Contoso.Com", true),
        (host("mx.contoso.com"), "other.example mx.contoso.com", true),
        (host("mx.contoso.com"), "*.contoso.com", true),
        (host("mx.contoso.com"), "contoso.com", false),
        (host("mx.contoso.com"), "*.com", false),
        (host("contoso.com"), "*.com", false),
        (host("a.mx.contoso.com"), "*.contoso.com", false),
        (host("contoso.com"), "*.contoso.com", false),
        (host("mx.contoso.com"), "m*.contoso.com", false),
        (host("mx.contoso.com"), "xmx.contoso.com", false),
        (host("mx.contoso.com"), "", false),
        (below("contoso.com"), "mx.contoso.com", true),
        (below("contoso.com"), "a.b.contoso.com", true),
        (below("contoso.com"), "contoso.com", true),
        (below("contoso.com"), "*.contoso.com", true),
        (below("contoso.com"), "*.b.contoso.com", true),
        (below("contoso.com"), "notcontoso.com", false),
        (below("contoso.com"), "*.com", false),
        (below("contoso.com"), "com", false),
        (address("192.0.2.1"), "mx.contoso.com", true),
        (address("192.0.2.2"), "192.0.2.2", false),
    ] {
        let decided = decide(&demand, Some(&certificate(hosts, Ok(()))));
        assert_eq!(decided.is_ok(), is_proven, "{demand:?} by {hosts}: {decided:?}");
        let Demand::Name(wanted) = &demand else { unreachable!("all of these name somebody") };
        match decided {
            Ok(proof) => assert_eq!(proof, Proof::Name(wanted.clone())),
            Err(doubt) => assert!(doubt.to_string().starts_with(&format!("its certificate is not for {wanted}"))),
        }
        // Whatever the name: what is not trusted proves nothing.
        for untrusted in [Untrusted::Expired, Untrusted::UnknownIssuer, Untrusted::NotYetValid] {
            let decided = decide(&demand, Some(&certificate(hosts, Err(untrusted))));
            assert_eq!(decided, Err(Doubt::Untrusted(untrusted)));
        }
        assert_eq!(decide(&demand, None), Err(Doubt::Missing));
    }
    let stranger = certificate("nobody.example", Err(Untrusted::UnknownIssuer));
    assert_eq!(decide(&Demand::Nothing, Some(&stranger)), Ok(Proof::Encrypted));
    assert_eq!(decide(&Demand::Encryption, Some(&stranger)), Ok(Proof::Encrypted));
    assert_eq!(decide(&Demand::Certificate, Some(&stranger)), Err(Doubt::Untrusted(Untrusted::UnknownIssuer)));
    assert_eq!(decide(&Demand::Certificate, Some(&certificate("x.example", Ok(())))), Ok(Proof::Certificate));
}

#[test]
fn a_source_address_is_of_the_targets_family_or_there_is_no_way() {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let (v4, v6) = (ip("198.51.100.1"), ip("2001:db8::1"));
    for (written, to_v4, to_v6) in [
        ("[]", Source::Any, Source::Any),
        ("\"0.0.0.0\"", Source::Any, Source::Any),
        ("\"192.0.2.1\"", Source::From(ip("192.0.2.1")), Source::WrongFamily),
        ("\"[2001:db8::9]\"", Source::WrongFamily, Source::From(ip("2001:db8::9"))),
        ("[\"192.0.2.1\", \"2001:db8::9\"]", Source::From(ip("192.0.2.1")), Source::From(ip("2001:db8::9"))),
    ] {
        let sources = connector(&format!("source_ip_address = {written}")).source_ip_address;
        assert_eq!((sources.towards(v4), sources.towards(v6)), (to_v4, to_v6), "{written}");
    }
}

#[test]
fn balanced_smart_hosts_each_come_first_as_often_and_ordered_ones_stay_in_order() {
    let hosts = "smart_hosts = [\"a.example\", \"b.example\", \"[192.0.2.1]:2525\"]\n";
    let balanced = connector(hosts);
    let ordered = connector(&format!("{hosts}smart_hosts_order = \"Ordered\""));
    let mut firsts = [0; 3];
    for dice in 0..300 {
        let order = in_turn(&balanced.smart_hosts, balanced.smart_hosts_order, dice);
        let place = balanced.smart_hosts.iter().position(|host| *host == order[0]).expect("one of them");
        firsts[place] += 1;
        let mut all = order.to_vec();
        all.rotate_right(place);
        assert_eq!(all, balanced.smart_hosts.to_vec(), "all of them, one after the other");
        assert_eq!(in_turn(&ordered.smart_hosts, ordered.smart_hosts_order, dice), ordered.smart_hosts);
    }
    assert_eq!(firsts, [100; 3]);
}

#[test]
fn no_minute_has_more_messages_than_a_connector_may_send() {
    use std::time::Instant;
    let start = Instant::now();
    let mut sent: Vec<Instant> = Vec::new();
    let limit = 30;
    for tick in 0..6_000 {
        let now = start + Duration::from_millis(37 * tick);
        let earlier = sent.len().checked_sub(limit).map(|at| sent[at]);
        match gatepost_policy::limits::send_rate(earlier, now) {
            Ok(()) => sent.push(now),
            Err(again) => assert!(again > now && again <= now + Duration::from_secs(60)),
        }
    }
    for (at, first) in sent.iter().enumerate() {
        let within = sent[at..].iter().take_while(|time| **time < *first + Duration::from_secs(60)).count();
        assert!(within <= limit, "{within} from message {at} on");
    }
    assert!(sent.len() >= 4 * limit - 1, "and what may go goes: {}", sent.len());
}

trait ParseDomain {
    fn parse_domain(&self) -> gatepost_mail::Domain;
}

impl ParseDomain for &str {
    fn parse_domain(&self) -> gatepost_mail::Domain {
        gatepost_mail::Domain::parse(self).expect("a domain")
    }
}
