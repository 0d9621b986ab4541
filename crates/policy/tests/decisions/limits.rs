//! Limits of a receive connector, its AUTH offers and its TLS requirement (fact sheet sections 2.5, 5.1 and 5.2).

use gatepost_policy::Refusal;
use gatepost_policy::authentication::{SaslMechanism, auth_offered, starttls_offered, tls_required};
use gatepost_policy::limits::{OpenFiles, connections, hops, open_files, server_connections};

use crate::document::{default_connector, settings};

#[test]
fn one_source_gets_its_share_of_the_connections_that_are_left() {
    let narrow = "max_inbound_connection = 100\nmax_inbound_connection_percentage_per_source = 10";
    let unlimited = "max_inbound_connection = \"unlimited\"\nmax_inbound_connection_per_source = \"Unlimited\"";
    for (limits, open_total, open_from_source, expected) in [
        // Exchange's defaults: 5000 in all, 20 from one source, 2 % of what is left.
        ("", 0, 0, Ok(())),
        ("", 19, 19, Ok(())),
        ("", 20, 20, Err(Refusal::TooManyConnectionsFromSource)),
        ("", 4900, 1, Ok(())),
        ("", 4900, 2, Err(Refusal::TooManyConnections)),
        ("", 4999, 0, Ok(())),
        ("", 4999, 1, Err(Refusal::TooManyConnections)),
        ("", 5000, 0, Err(Refusal::TooManyConnections)),
        ("", 5001, 0, Err(Refusal::TooManyConnections)),
        (narrow, 0, 9, Ok(())),
        (narrow, 0, 10, Err(Refusal::TooManyConnections)),
        (narrow, 55, 4, Ok(())),
        (narrow, 55, 5, Err(Refusal::TooManyConnections)),
        (unlimited, u32::MAX, u32::MAX, Ok(())),
    ] {
        let settings = settings(&default_connector("AnonymousUsers", limits));
        let answer = connections(&settings.receive_connectors[0], open_total, open_from_source);
        assert_eq!(answer, expected, "{open_total} open, {open_from_source} from the source, {limits}");
        assert!(answer.err().is_none_or(Refusal::closes));
    }
}

#[test]
fn a_local_hop_count_of_zero_is_none() {
    let document = default_connector("AnonymousUsers", "max_local_hop_count = 0");
    let settings = settings(&document);
    let connector = &settings.receive_connectors[0];
    assert_eq!(hops(connector, 60, 60), Ok(()));
}

#[test]
fn loops_end() {
    let settings = settings(&default_connector("AnonymousUsers", ""));
    let connector = &settings.receive_connectors[0];
    assert_eq!(hops(connector, 60, 5), Ok(()));
    assert_eq!(hops(connector, 61, 0), Err(Refusal::TooManyHops));
    assert_eq!(hops(connector, 6, 6), Err(Refusal::TooManyHops));
}

#[test]
fn passwords_are_asked_for_inside_tls_unless_written_otherwise() {
    let both = &[SaslMechanism::Login, SaslMechanism::Plain][..];
    for (mechanisms, before_tls, inside_tls, starttls) in [
        ("None", &[][..], &[][..], false),
        ("Tls", &[], &[], true),
        ("Tls, BasicAuth, BasicAuthRequireTLS", &[], both, true),
        ("tls, basicauth", both, both, true),
        ("BasicAuth", both, both, false),
        ("Tls, ExternalAuthoritative", &[], &[], true),
        ("ExternalAuthoritative", &[], &[], false),
        ("Tls, Integrated, ExchangeServer", &[], &[], true),
    ] {
        let document = default_connector("ExchangeServers", &format!("auth_mechanism = \"{mechanisms}\""));
        let settings = settings(&document);
        let connector = &settings.receive_connectors[0];
        assert_eq!(auth_offered(connector, false), before_tls, "{mechanisms}");
        assert_eq!(auth_offered(connector, true), inside_tls, "{mechanisms}");
        assert_eq!(starttls_offered(connector, false), starttls, "{mechanisms}");
        assert!(!starttls_offered(connector, true), "{mechanisms}");
    }
}

#[test]
fn v27_nobody_mails_in_the_clear_where_tls_is_required() {
    let settings = settings(&default_connector("AnonymousUsers", "require_tls = true"));
    let connector = &settings.receive_connectors[0];
    assert_eq!(tls_required(connector, true), Ok(()));
    let refusal = tls_required(connector, false).expect_err("TLS was not started");
    assert_eq!(refusal.reply().to_string(), "451 5.7.3 Must issue a STARTTLS command first");
}

#[test]
fn whatever_peers_open_an_eighth_of_the_files_is_left_for_the_server() {
    for (most, connections, arriving_bodies) in
        [(0, 0, 1), (64, 48, 8), (1_024, 768, 128), (20_000, 15_000, 2_500), (1 << 60, u32::MAX, 1 << 57)]
    {
        assert_eq!(open_files(most), OpenFiles { connections, arriving_bodies }, "{most}");
    }
    assert_eq!(server_connections(2, 1), Ok(()));
    assert_eq!(server_connections(2, 2), Err(Refusal::TooManyConnections));
}
