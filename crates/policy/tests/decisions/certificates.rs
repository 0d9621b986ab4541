//! Whom a certificate makes of a peer, and what follows: senders, explanations, the audit, assertions, differences.

use std::net::SocketAddr;

use gatepost_mail::{Domain, ForwardPath, ReversePath};
use gatepost_policy::access_entry::{PermissionGroup, Principal};
use gatepost_policy::audit::{Audit, HostAddresses, Whom, difference};
use gatepost_policy::certificate::{CertificateName, PeerCertificate, Thumbprint, Untrusted};
use gatepost_policy::explain::{Change, Question, explain};
use gatepost_policy::peer_certificate::{Identified, Reason, Unidentified, asks, identify};
use gatepost_policy::permission::{Facts, granted};
use gatepost_policy::safeguard::load;
use gatepost_policy::{Refusal, Settings};
use proptest::prelude::*;

use crate::document::{CONTOSO, default_connector, defaults, problems, settings};

const PINNED: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const NAME: &str = "<I>CN=Contoso CA, O=Contoso<S>CN=edge.contoso.com";
const NOW_MS: u64 = 1_795_000_000_000;

/// Domains that have to prove themselves, and servers known by certificate.
fn known() -> String {
    format!(
        "[transport]\ntls_receive_domain_secure_list = [\"fabrikam.example\", \"tailspin.example\"]\n\
         [[trusted_server]]\nname = \"mx2\"\nthumbprint = \"{PINNED}\"\n\
         [[trusted_server]]\nname = \"edge\"\ntls_certificate_name = \"{NAME}\"\n\
         [[trusted_server]]\nname = \"old\"\nthumbprint = \"{}\"\nexpires = 2020-01-01T00:00:00Z\n",
        PINNED.replace('1', "2")
    )
}

fn with(groups: &str, more: &str) -> Settings {
    settings(&format!("{CONTOSO}{}{}", known(), default_connector(groups, more)))
}

fn certificate(domains: &[&str]) -> PeerCertificate {
    PeerCertificate {
        thumbprint: Thumbprint([0x33; 32]),
        name: "<I>CN=Public CA<S>CN=mx.fabrikam.example".parse().ok(),
        domains: domains.iter().map(|domain| Domain::parse(domain).expect("a domain")).collect(),
        trust: Ok(()),
    }
}

fn pinned(digit: u8) -> PeerCertificate {
    PeerCertificate { thumbprint: Thumbprint([digit; 32]), trust: Err(Untrusted::UnknownIssuer), ..certificate(&[]) }
}

const BOTH: &str = "auth_mechanism = \"Tls, ExchangeServer\"\ndomain_secure_enabled = true";
const GROUPS: &str = "AnonymousUsers, ExchangeServers, Partners";

#[test]
fn a_certificate_makes_a_server_or_a_partner_where_the_connector_lets_it_and_nobody_otherwise() {
    let partner =
        |domains: &[&str]| Ok((format!("MS Exchange\\Partner Servers ({})", domains.join(", ")), Reason::Domain));
    let server = |name: &str, reason| Ok((format!("Exchange Servers ({name})"), reason));
    let named = |trust| PeerCertificate {
        name: "<I>O=Contoso, CN=contoso ca<S>CN=edge.contoso.com".parse().ok(),
        trust,
        ..certificate(&[])
    };
    let of = |domain, fault| PeerCertificate { trust: Err(fault), ..certificate(&[domain]) };
    let fabrikam = "fabrikam.example";
    for (groups, more, presented, expected) in [
        (GROUPS, BOTH, certificate(&["mx.fabrikam.example", fabrikam]), partner(&[fabrikam])),
        (GROUPS, BOTH, certificate(&["tailspin.example", fabrikam]), partner(&[fabrikam, "tailspin.example"])),
        (GROUPS, BOTH, pinned(0x11), server("mx2", Reason::Thumbprint)),
        (GROUPS, BOTH, named(Ok(())), server("edge", Reason::Name)),
        // A server before a partner, if it is both.
        (
            GROUPS,
            BOTH,
            PeerCertificate { domains: certificate(&[fabrikam]).domains, ..pinned(0x11) },
            server("mx2", Reason::Thumbprint),
        ),
        // The list has no wildcards: neither parents nor children count.
        (GROUPS, BOTH, certificate(&["mx.fabrikam.example", "example"]), Err(Unidentified::NotListed)),
        (GROUPS, BOTH, certificate(&[]), Err(Unidentified::NotListed)),
        (GROUPS, BOTH, of(fabrikam, Untrusted::UnknownIssuer), Err(Unidentified::Untrusted(Untrusted::UnknownIssuer))),
        (GROUPS, BOTH, of(fabrikam, Untrusted::Unproven), Err(Unidentified::Untrusted(Untrusted::Unproven))),
        (GROUPS, BOTH, of(fabrikam, Untrusted::Expired), Err(Unidentified::Untrusted(Untrusted::Expired))),
        // Anybody may write any name into a certificate, but nobody may prove a key that he does not hold.
        (GROUPS, BOTH, named(Err(Untrusted::UnknownIssuer)), Err(Unidentified::Untrusted(Untrusted::UnknownIssuer))),
        (
            GROUPS,
            BOTH,
            PeerCertificate { trust: Err(Untrusted::Unproven), ..pinned(0x11) },
            Err(Unidentified::Untrusted(Untrusted::Unproven)),
        ),
        (
            GROUPS,
            BOTH,
            PeerCertificate { trust: Err(Untrusted::Expired), ..pinned(0x11) },
            Err(Unidentified::Untrusted(Untrusted::Expired)),
        ),
        (
            GROUPS,
            BOTH,
            PeerCertificate { trust: Err(Untrusted::NotYetValid), ..pinned(0x11) },
            Err(Unidentified::Untrusted(Untrusted::NotYetValid)),
        ),
        (GROUPS, BOTH, pinned(0x22), Err(Unidentified::ServerExpired)),
        (GROUPS, BOTH, pinned(0x44), Err(Unidentified::Untrusted(Untrusted::UnknownIssuer))),
        // Each way is open where its switch is.
        (GROUPS, "domain_secure_enabled = true", pinned(0x11), Err(Unidentified::Untrusted(Untrusted::UnknownIssuer))),
        (
            GROUPS,
            "auth_mechanism = \"Tls, ExchangeServer\"",
            certificate(&[fabrikam]),
            Err(Unidentified::UnknownServer),
        ),
        (GROUPS, "", certificate(&[fabrikam]), Err(Unidentified::NotAsked)),
        (GROUPS, "auth_mechanism = \"ExchangeServer\"", pinned(0x11), Err(Unidentified::NotAsked)),
        (
            "ExchangeServers",
            "auth_mechanism = \"Tls, ExternalAuthoritative\"",
            pinned(0x11),
            Err(Unidentified::NotAsked),
        ),
        // Whom it would make may not submit: the peer stays who it was.
        ("AnonymousUsers", BOTH, certificate(&[fabrikam]), Err(Unidentified::PartnersMayNotSubmit)),
        ("AnonymousUsers", BOTH, pinned(0x11), Err(Unidentified::ServersMayNotSubmit)),
    ] {
        let settings = with(groups, more);
        let found = identify(&settings.receive_connectors[0], &settings, &presented, NOW_MS);
        let found = found.map(|Identified { principal, reason }| (principal.to_string(), reason));
        assert_eq!(found, expected, "{groups}; {more}; {presented:?}");
    }
}

#[test]
fn only_connectors_that_can_know_somebody_ask() {
    for (more, expected) in [
        (BOTH, true),
        ("domain_secure_enabled = true", true),
        ("auth_mechanism = \"Tls, ExchangeServer\"", true),
        ("auth_mechanism = \"ExchangeServer\"", false),
        ("", false),
        ("auth_mechanism = \"Tls, BasicAuth, BasicAuthRequireTLS\"", false),
    ] {
        let settings = with(GROUPS, more);
        assert_eq!(asks(&settings.receive_connectors[0], &settings), expected, "{more}");
    }
    let nobody_known =
        settings(&format!("{CONTOSO}{}", default_connector(GROUPS, "auth_mechanism = \"Tls, ExchangeServer\"")));
    assert!(!asks(&nobody_known.receive_connectors[0], &nobody_known));
}

#[test]
fn servers_and_partners_hold_their_columns() {
    let settings = with("ExchangeServers, Partners", BOTH);
    let connector = &settings.receive_connectors[0];
    for (presented, group) in [
        (pinned(0x11), PermissionGroup::ExchangeServers),
        (certificate(&["fabrikam.example"]), PermissionGroup::Partners),
    ] {
        let identified = identify(connector, &settings, &presented, NOW_MS).expect("somebody");
        let rights = granted(connector, &identified.principal, &Facts::at(NOW_MS)).rights;
        assert_eq!(rights, group.entries()[0].rights, "{group:?}");
    }
}

fn question<'a>(
    certificate: Option<&'a PeerCertificate>,
    reverse_path: &'a ReversePath,
    forward_path: &'a ForwardPath,
) -> Question<'a> {
    Question {
        peer: "198.51.100.7".parse().expect("an address"),
        local: SocketAddr::from(([10, 0, 0, 1], 25)),
        user: None,
        tls: true,
        certificate,
        reverse_path,
        forward_path,
        size: None,
        header: None,
        now_ms: NOW_MS,
    }
}

/// What the settings say to one message.
fn asked(
    settings: &Settings,
    certificate: Option<&PeerCertificate>,
    sender: &str,
    recipient: &str,
) -> (Option<String>, Vec<Change>) {
    let (reverse_path, _) = ReversePath::parse_prefix(sender).expect("a path");
    let (forward_path, _) = ForwardPath::parse_prefix(recipient).expect("a path");
    let explanation = explain(settings, &question(certificate, &reverse_path, &forward_path));
    let refusal = explanation.dialogue.steps.last().filter(|step| step.outcome.is_err());
    let refusal = refusal.and_then(|step| step.reply.as_ref()).map(ToString::to_string);
    (refusal, explanation.fixes.into_iter().map(|fix| fix.change).collect())
}

#[test]
fn a_partner_writes_as_its_own_domain_and_relays_nowhere_and_a_server_does_both() {
    const SEND_AS: &str = "550 5.7.1 Client does not have permissions to send as this sender";
    const RELAY: &str = "550 5.7.1 Unable to relay";
    const UNPROVEN: &str = "454 4.7.5 Certificate validation failure";
    let settings = with(GROUPS, BOTH);
    let partner = certificate(&["fabrikam.example"]);
    let server = pinned(0x11);
    let stranger = certificate(&["stranger.example"]);
    let (here, away) = ("<bob@contoso.com>", "<z@gmail.com>");
    for (presented, sender, recipient, expected) in [
        (Some(&partner), "<carol@fabrikam.example>", here, None),
        (Some(&partner), "<>", here, None),
        (Some(&partner), "<carol@fabrikam.example>", away, Some(RELAY)),
        (Some(&partner), "<carol@mail.fabrikam.example>", here, Some(SEND_AS)),
        (Some(&partner), "<carol@tailspin.example>", here, Some(SEND_AS)),
        (Some(&partner), "<bob@contoso.com>", here, Some(SEND_AS)),
        (Some(&server), "<anybody@fabrikam.example>", away, None),
        (Some(&server), "<bob@contoso.com>", away, None),
        // Without proof nobody is a domain of the list, and others go on as strangers do.
        (None, "<carol@fabrikam.example>", here, Some(UNPROVEN)),
        (Some(&stranger), "<carol@fabrikam.example>", here, Some(UNPROVEN)),
        (Some(&stranger), "<a@stranger.example>", here, None),
        (None, "<a@stranger.example>", here, None),
        (None, "<>", here, None),
    ] {
        let (refusal, _) = asked(&settings, presented, sender, recipient);
        assert_eq!(refusal.as_deref(), expected, "{presented:?} {sender} {recipient}");
    }
    // Where no certificate is asked for, nobody needs one.
    let plain = with("AnonymousUsers", "");
    assert_eq!(asked(&plain, None, "<carol@fabrikam.example>", here).0, None);
}

#[test]
fn an_explanation_offers_the_certificate_that_is_missing() {
    let settings = with(GROUPS, BOTH);
    let fabrikam = Domain::parse("fabrikam.example").expect("a domain");
    let (refusal, changes) = asked(&settings, None, "<carol@fabrikam.example>", "<bob@contoso.com>");
    assert_eq!(refusal, Some(Refusal::SenderDomainNotSecured.reply().to_string()));
    assert_eq!(changes, [Change::PresentCertificate(fabrikam)]);
}

fn audited(settings: &Settings) -> Vec<String> {
    let audit = Audit::of(settings, "", &HostAddresses::default(), NOW_MS);
    audit.exposures.iter().map(|exposure| exposure.standing.who.to_string()).collect()
}

#[test]
fn the_audit_tells_after_which_certificate_and_finds_groups_that_nobody_can_be_in() {
    let both = audited(&with(GROUPS, BOTH));
    for expected in [
        "servers by certificate: mx2, edge",
        "partners by certificate: fabrikam.example, tailspin.example",
        "anonymous",
    ] {
        assert!(both.iter().any(|who| who == expected), "{expected}: {both:?}");
    }
    assert_eq!(audited(&with(GROUPS, "")).iter().filter(|who| who.contains("certificate")).count(), 0);

    for (groups, more, code, why) in [
        ("Partners", "", "unusable_group", "domain_secure_enabled is false"),
        ("ExchangeServers", "", "unusable_group", "auth_mechanism lacks ExchangeServer"),
        ("ExchangeLegacyServers", BOTH, "unusable_group", "nothing that a peer can show makes it"),
    ] {
        let text = format!("{CONTOSO}{}{}", known(), default_connector(groups, more));
        let audit = Audit::of(&settings(&text), &text, &HostAddresses::default(), NOW_MS);
        let found = audit.findings.iter().any(|finding| finding.code == code && finding.message.contains(why));
        assert!(found, "{groups}; {more}: {:?}", audit.findings);
    }
}

#[test]
fn an_assertion_about_servers_and_partners_is_held() {
    for (who, deny, is_broken) in [
        ("any partner", "relay", false),
        ("any partner", "submit", true),
        ("any server", "relay", true),
        ("Exchange Servers", "relay", true),
        ("MS Exchange\\\\Partner Servers", "internal", false),
    ] {
        let text = format!(
            "{CONTOSO}{}{}[[assert]]\nwho = \"{who}\"\ndeny = \"{deny}\"\n",
            known(),
            default_connector(GROUPS, BOTH)
        );
        let loaded = load(&text, &defaults(), NOW_MS);
        let broken =
            loaded.err().is_some_and(|problems| problems.iter().any(|problem| problem.message.contains("is broken")));
        assert_eq!(broken, is_broken, "{who} {deny}");
    }
}

#[test]
fn the_difference_tells_which_server_and_which_partner_gains_what() {
    let before = with(GROUPS, "auth_mechanism = \"Tls\"");
    let after = with(GROUPS, BOTH);
    let gained = |old: &Settings, new: &Settings| -> Vec<Whom> {
        difference(old, new, NOW_MS)
            .into_iter()
            .filter(|change| !change.gained.is_empty())
            .map(|change| change.whom)
            .collect()
    };
    let domain = |name| Whom::Partner(Domain::parse(name).expect("a domain"));
    let server = |name: &str| Whom::Server(name.into());
    let expected = [server("edge"), server("mx2"), domain("fabrikam.example"), domain("tailspin.example")];
    assert_eq!(gained(&before, &after), expected);
    assert_eq!(gained(&after, &before), []);
    // A domain more on the list is a change everywhere, although no connector has changed.
    let text = format!("{CONTOSO}{}{}", known().replace(", \"tailspin.example\"", ""), default_connector(GROUPS, BOTH));
    assert_eq!(gained(&settings(&text), &after), [domain("tailspin.example")]);
}

#[test]
fn what_cannot_be_read_says_what_to_write_instead() {
    let connector = |more| default_connector("AnonymousUsers", more);
    for (text, message, remedy) in [
        ("[[trusted_server]]\nname = \"a\"\n".to_owned(), "`thumbprint`", "openssl x509"),
        (
            "[[trusted_server]]\nname = \"a\"\nthumbprint = \"0123456789012345678901234567890123456789\"\n".to_owned(),
            "SHA-1",
            "SHA-256",
        ),
        (
            format!("[[trusted_server]]\nname = \"a\"\nthumbprint = \"{PINNED}\"\ntls_certificate_name = \"{NAME}\"\n"),
            "two ways",
            "keep `thumbprint`",
        ),
        (
            format!("[[trusted_server]]\nname = \"a\"\nthumbprint = \"{PINNED}\"\n").repeat(2),
            "two trusted servers `a`",
            "rename",
        ),
        ("[[certificate]]\ncertificate = \"a.pem\"\n".to_owned(), "private_key", "PEM"),
        ("[tls]\ncertificate = \"a.pem\"\n".to_owned(), "private_key", "self-signed"),
        ("[transport]\ntls_receive_domain_secure_list = [\"*.example.com\"]\n".to_owned(), "wildcard", "each domain"),
        (connector("domain_secure_enabled = true\nauth_mechanism = \"None\""), "needs Tls", "add \"Tls\""),
        (
            default_connector(
                "ExchangeServers",
                "domain_secure_enabled = true\nauth_mechanism = \"Tls, ExternalAuthoritative\"",
            ),
            "cannot stand beside ExternalAuthoritative",
            "remove one",
        ),
        (connector("tls_certificate_name = \"CN=a\""), "<I>issuer<S>subject", "write issuer and subject"),
    ] {
        let problems = problems(&format!("{CONTOSO}{text}"));
        let found = problems.iter().any(|problem| problem.message.contains(message) && problem.remedy.contains(remedy));
        assert!(found, "{text}: {problems:?}");
    }
    let roots_alone = settings("[tls]\ntrusted_roots = \"roots.pem\"\n");
    assert!(roots_alone.tls.is_none() && roots_alone.trusted_roots.is_some());
}

#[test]
fn connectors_that_can_know_nobody_are_told_of() {
    for (text, expected) in [
        (default_connector("Partners", "domain_secure_enabled = true"), "nobody can be a partner yet"),
        (
            known() + &default_connector("AnonymousUsers", "domain_secure_enabled = true"),
            "is refused: they have to prove themselves",
        ),
        (
            default_connector("ExchangeServers", "auth_mechanism = \"Tls, ExchangeServer\""),
            "nobody can be an Exchange server yet",
        ),
        (known() + &default_connector("ExchangeServers", "auth_mechanism = \"ExchangeServer\""), "without Tls"),
        (known() + &default_connector("AnonymousUsers", ""), "tls_receive_domain_secure_list has no effect"),
        (known() + &default_connector("AnonymousUsers", ""), "[[trusted_server]] has no effect"),
    ] {
        let settings = settings(&format!("{CONTOSO}{text}"));
        let found = settings.warnings.iter().any(|warning| warning.message.contains(expected));
        assert!(found, "{expected}: {:?}", settings.warnings);
    }
}

#[test]
fn a_trusted_server_that_cannot_be_known_is_a_problem_with_the_next_step() {
    for (text, message, remedy) in [
        ("name = \"a\"", "has no `thumbprint`", "or write tls_certificate_name"),
        ("name = \"a\"\nthumbprint = \"sha256 Fingerprint=C2:FC\"", "is no SHA-256", "behind `=`"),
        // Certificates of public authorities often have no subject: this would be all of them.
        ("name = \"a\"\ntls_certificate_name = \"<I>CN=R11, O=Public CA<S>\"", "of many certificates", "`thumbprint`"),
        ("name = \"a\"\ntls_certificate_name = \"<I><S>CN=mx\"", "of many certificates", "`thumbprint`"),
    ] {
        let found = problems(&format!("{CONTOSO}[[trusted_server]]\n{text}\n"));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].message.contains(message), "{text}: {}", found[0].message);
        assert!(found[0].remedy.contains(remedy), "{text}: {}", found[0].remedy);
    }
}

#[test]
fn a_trusted_server_that_has_expired_is_told_of() {
    let connector = default_connector("ExchangeServers", "auth_mechanism = \"Tls, ExchangeServer\"");
    let settings = load(&format!("{CONTOSO}{}{connector}", known()), &defaults(), NOW_MS).expect("sound");
    let told: Vec<_> = settings.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert!(told.iter().any(|told| told.starts_with("the trusted server old has expired on 2020-01-01")), "{told:?}");
    assert!(!told.iter().any(|told| told.contains("trusted server mx2")), "{told:?}");
}

/// The decision once more, as plainly as possible.
fn plain(settings: &Settings, presented: &PeerCertificate) -> Option<String> {
    let connector = &settings.receive_connectors[0];
    let mechanisms = connector.auth_mechanism.to_string();
    let groups = connector.permission_groups.to_string();
    let fault = presented.trust.err();
    if !mechanisms.contains("Tls")
        || matches!(
            fault,
            Some(Untrusted::Unproven | Untrusted::Unreadable | Untrusted::Expired | Untrusted::NotYetValid)
        )
    {
        return None;
    }
    if mechanisms.contains("ExchangeServer") {
        let is_edge = presented.name.as_ref().map(ToString::to_string).as_deref() == Some(NAME);
        let server = match presented.thumbprint.0[0] {
            0x11 => Some("mx2"),
            _ if is_edge && fault.is_none() => Some("edge"),
            // An entry that has expired, or whose issuer nobody trusts, is a reason of its own.
            0x22 => return None,
            _ if is_edge => return None,
            _ => None,
        };
        if let Some(server) = server {
            return groups.contains("ExchangeServers").then(|| format!("Exchange Servers ({server})"));
        }
    }
    if !connector.domain_secure_enabled || fault.is_some() || !groups.contains("Partners") {
        return None;
    }
    let proven: Vec<&str> = ["fabrikam.example", "tailspin.example"]
        .into_iter()
        .filter(|listed| presented.domains.iter().any(|domain| domain.as_str() == *listed))
        .collect();
    (!proven.is_empty()).then(|| format!("MS Exchange\\Partner Servers ({})", proven.join(", ")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::document::cases(500)))]
    #[test]
    fn identities_agree_with_the_plain_rules(
        (tls, server_auth, domain_secure) in any::<(bool, bool, bool)>(),
        groups in prop::sample::subsequence(vec!["AnonymousUsers", "ExchangeServers", "Partners"], 0..4),
        digit in prop::sample::select(vec![0x11_u8, 0x22, 0x33]),
        name in prop::sample::select(vec![NAME, "<I>CN=CA<S>CN=x"]),
        domains in prop::sample::subsequence(vec!["fabrikam.example", "mx.fabrikam.example", "tailspin.example", "a.example"], 0..5),
        fault in prop::option::of(prop::sample::select(Untrusted::NAMED.to_vec())),
    ) {
        let domain_secure = domain_secure && tls;
        let mechanisms: Vec<&str> = [tls.then_some("Tls"), server_auth.then_some("ExchangeServer")].into_iter().flatten().collect();
        let mechanisms = if mechanisms.is_empty() { "None".to_owned() } else { mechanisms.join(", ") };
        let groups = if groups.is_empty() { "None".to_owned() } else { groups.join(", ") };
        let settings = with(&groups, &format!("auth_mechanism = \"{mechanisms}\"\ndomain_secure_enabled = {domain_secure}"));
        let name: CertificateName = name.parse().expect("a name");
        let presented = PeerCertificate {
            thumbprint: Thumbprint([digit; 32]),
            name: Some(name),
            trust: fault.map_or(Ok(()), |(_, fault)| Err(fault)),
            ..certificate(&domains)
        };
        let found = identify(&settings.receive_connectors[0], &settings, &presented, NOW_MS);
        let found: Option<Principal> = found.ok().map(|identified| identified.principal);
        prop_assert_eq!(found.map(|principal| principal.to_string()), plain(&settings, &presented));
    }
}
