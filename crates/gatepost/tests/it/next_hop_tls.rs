//! TLS to next hops: what each level asks for, in what words it fails, and who proves what to whom.

use gatepost_testkit::authority::{Authority, Identity, Kind};
use gatepost_testkit::dns::{Dns, Record};
use gatepost_testkit::provider::{Provider, Running};

use crate::site::{CONTOSO, HOST_2, OPEN_TO_TESTS, QUICK_RETRY, Site, message};
use crate::smart_host_logon::last_error;

const ROOTS: &str = "[tls]\ntrusted_roots = \"roots.pem\"\n";
const LEVEL: &str = "require_tls = true\ntls_auth_level = ";

fn with(identity: Identity) -> Running {
    Provider { mechanisms: "", identity: Some(identity), ..Provider::default() }.start()
}

fn connector(domain: &str, next_hop: &Running, more: &str) -> String {
    format!(
        "[[send_connector]]\nname = \"{domain}\"\naddress_spaces = [\"{domain}\"]\nsmart_hosts = [\"{}\"]\n{more}\n",
        next_hop.smart_host()
    )
}

#[track_caller]
fn send(site: &Site, domain: &str) {
    let reply = site.client(HOST_2).submit("<a@x.net>", &[&format!("z@{domain}")], &message(domain, "hello"));
    assert_eq!(reply.code(), 250, "{reply}");
}

#[test]
fn each_level_asks_for_what_it_says_and_a_failure_says_what_is_wrong() {
    let (authority, stranger) = (Authority::new("Public CA"), Authority::new("Public CA"));
    let names = ["relay.example.net", "*.wild.example.net"];
    let sound = || with(authority.issue(&names, Kind::ServerOnly));
    let in_clear = || Provider { mechanisms: "", ..Provider::default() }.start();
    let validated = |domain: &str| format!("{LEVEL}\"DomainValidation\"\ntls_domain = \"{domain}\"");
    let certified = || format!("{LEVEL}\"CertificateValidation\"");
    let cases: Vec<(&str, Running, String, Option<&str>)> = vec![
        ("opportunistic", with(authority.issue(&names, Kind::Expired)), String::new(), None),
        ("clear", in_clear(), String::new(), None),
        (
            "none",
            in_clear(),
            "require_tls = true".to_owned(),
            Some("TLS is required, but the next hop does not offer STARTTLS"),
        ),
        ("encrypted", with(Identity::self_signed(&names)), format!("{LEVEL}\"EncryptionOnly\""), None),
        ("sound", sound(), certified(), None),
        ("expired", with(authority.issue(&names, Kind::Expired)), certified(), Some("it has expired")),
        ("early", with(authority.issue(&names, Kind::NotYetValid)), certified(), Some("it is not valid yet")),
        ("self", with(Identity::self_signed(&names)), certified(), Some("no root that is trusted here has issued it")),
        (
            "forged",
            with(stranger.issue(&names, Kind::Sound)),
            certified(),
            Some("no root that is trusted here has issued it"),
        ),
        ("named", sound(), validated("relay.example.net"), None),
        ("wild", sound(), validated("a.wild.example.net"), None),
        ("below", sound(), validated("*.example.net"), None),
        (
            "other",
            sound(),
            validated("relay.example.com"),
            Some("its certificate is not for relay.example.com but for relay.example.net, *.wild.example.net"),
        ),
        ("deep", sound(), validated("a.b.wild.example.net"), Some("its certificate is not for a.b.wild.example.net")),
        (
            "implicit",
            Provider { mechanisms: "", implicit_tls: true, ..expired_free(&authority) }.start(),
            format!("implicit_tls = true\n{LEVEL}\"CertificateValidation\""),
            None,
        ),
    ];
    let connectors: String =
        cases.iter().map(|(name, next_hop, more, _)| connector(&format!("{name}.example"), next_hop, more)).collect();
    let parts = [CONTOSO, QUICK_RETRY, ROOTS, OPEN_TO_TESTS, &connectors];
    let site = Site::start_with_files(&parts, &[("roots.pem", authority.pem())]);
    for (name, next_hop, _, expected) in &cases {
        let domain = format!("{name}.example");
        send(&site, &domain);
        match expected {
            None => drop(next_hop.wait_for(1)),
            Some(expected) => {
                let error = last_error(&site, &domain);
                assert!(error.contains(expected), "{name}: {error}");
                assert!(error.contains("127.0.0.1") || error.contains("STARTTLS"), "{name}: {error}");
                assert_eq!(next_hop.contents().len(), 0, "{name}");
            }
        }
    }
}

fn expired_free(authority: &Authority) -> Provider {
    Provider { identity: Some(authority.issue(&["relay.example.net"], Kind::Sound)), ..Provider::default() }
}

#[test]
fn a_domain_on_the_secure_list_has_to_prove_itself_and_sees_our_certificate() {
    let here = std::net::Ipv4Addr::LOCALHOST;
    let authority = Authority::new("Public CA");
    let hop = |names: &[&str]| {
        let identity = Some(authority.issue(names, Kind::Sound));
        Provider { mechanisms: "", identity, asks_for_certificate: true, ..Provider::default() }.start()
    };
    let fabrikam = hop(&["mx.fabrikam.example", "fabrikam.example"]);
    let tailspin = hop(&["mx.tailspin.example"]);
    let dns = Dns::start(&[
        ("fabrikam.example", Record::Mx(10, "mx.fabrikam.example")),
        ("mx.fabrikam.example", Record::A(here)),
        ("tailspin.example", Record::Mx(10, "mx.tailspin.example")),
        ("mx.tailspin.example", Record::A(here)),
        ("other.example", Record::Mx(10, "mx.tailspin.example")),
    ]);
    let way = |name: &str, domains: &str, hop: &Running| {
        format!(
            "[[send_connector]]\nname = \"{name}\"\naddress_spaces = [{domains}]\nport = {}\ndomain_secure_enabled = true\n",
            hop.port()
        )
    };
    let list = format!(
        "tls_send_domain_secure_list = [\"fabrikam.example\", \"tailspin.example\"]\nexternal_dns_servers = [\"{}\"]\n",
        dns.address()
    );
    let ways =
        way("F", "\"fabrikam.example\"", &fabrikam) + &way("T", "\"tailspin.example\", \"other.example\"", &tailspin);
    let own = authority.issue(&["mail.contoso.com"], Kind::Sound);
    let tls = "[tls]\ntrusted_roots = \"roots.pem\"\ncertificate = \"own.pem\"\nprivate_key = \"own-key.pem\"\n";
    let parts = [CONTOSO, QUICK_RETRY, &list, tls, OPEN_TO_TESTS, &ways];
    let files = [("roots.pem", authority.pem()), ("own.pem", &own.certificate_pem), ("own-key.pem", &own.key_pem)];
    let site = Site::start_with_files(&parts, &files);

    send(&site, "fabrikam.example");
    fabrikam.wait_for(1);
    assert_eq!(fabrikam.seen()[0].certificate.as_deref(), Some(&*own.certificate()), "we prove ourselves, too");
    // A domain that is not on the list goes the usual way over the same connector.
    send(&site, "other.example");
    tailspin.wait_for(1);
    send(&site, "tailspin.example");
    let error = last_error_of_next_hop(&site, "tailspin.example");
    assert!(error.contains("its certificate is not for tailspin.example but for mx.tailspin.example"), "{error}");
    assert_eq!(tailspin.contents().len(), 1);
}

#[track_caller]
fn last_error_of_next_hop(site: &Site, next_hop: &str) -> String {
    gatepost_testkit::wait::until("an error of the queue", || {
        let status = site.installation.json(&["status"]);
        let queue = status["queues"].as_array()?.iter().find(|queue| queue["next_hop"] == next_hop)?.clone();
        queue["last_error"].as_str().map(str::to_owned)
    })
}
