//! Domains and smart hosts against name servers made up.

use std::str::FromStr;
use std::sync::Arc;

use gatepost_policy::route::SmartHost;
use gatepost_policy::settings::Defaults;
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, NS};
use hickory_resolver::proto::rr::{Name, Record};
use tokio::net::UdpSocket;

use super::*;

const OWN_NAME: &str = "gate.contoso.com";
/// Where we are.
const LISTENER: &str = "
    [[receive_connector]]
    name = \"Default\"
    bindings = [\"127.0.0.7:25\"]
    remote_ip_ranges = [\"0.0.0.0-255.255.255.255\"]
    fqdn = \"mail.contoso.com\"
    auth_mechanism = [\"Tls\"]
";

/// A line of the zone below: the name, and an address, `MX preference host`, or `SERVFAIL`.
const ZONE: &str = "
    two.example       MX 20 b.example
    two.example       MX 10 a.example
    a.example         192.0.2.1
    a.example         2001:db8::1
    b.example         192.0.2.2
    alone.example     192.0.2.3
    null.example      MX 0 .
    null.example      192.0.2.4
    mixed.example     MX 0 .
    mixed.example     MX 10 a.example
    own.example       MX 10 b.example
    own.example       MX 20 gate.contoso.com
    own.example       MX 30 a.example
    loop.example      MX 10 Gate.Contoso.COM
    loop.example      MX 20 a.example
    gone.example      MX 10 nobody.example
    hope.example      MX 10 broken.example
    hope.example      MX 20 nobody.example
    some.example      MX 10 broken.example
    some.example      MX 20 b.example
    broken.example    SERVFAIL
    same.example      MX 10 alias.example
    same.example      MX 20 b.example
    alias.example     192.0.2.2
    nothing.example   MX 10 bare.example
    bare.example      MX 10 a.example
    named.example     MX 10 mail.contoso.com
    here.example      MX 10 b.example
    here.example      MX 20 here-too.example
    here.example      MX 30 a.example
    here-too.example  127.0.0.7
    itself.example    MX 10 here-too.example
    mapped.example    MX 10 mapped-host.example
    mapped-host.example ::ffff:127.0.0.7
    private.example   MX 10 lan.example
    backed-up.example MX 10 b.example
    backed-up.example MX 20 b1.silent.example
    backed-up.example MX 30 b2.silent.example
    backed-up.example MX 40 b3.silent.example
    backed-up.example MX 50 b4.silent.example
    backed-up.example MX 60 b5.silent.example
    backed-up.example MX 70 b6.silent.example
    backed-up.example MX 80 b7.silent.example
    falls-back.example MX 10 b1.silent.example
    falls-back.example MX 20 b2.silent.example
    falls-back.example MX 30 b.example
    lan.example       10.1.2.3
    half.example      MX 10 half-host.example
    half-host.example 192.0.2.5
    half-host.example AAAA SERVFAIL
    no-v4.example     MX 10 no-v4-host.example
    no-v4-host.example AAAA SERVFAIL
    refused.example   REFUSED
    lame.example      LAME
    alias-of.example  CNAME two.example
    via.example       MX 10 cname.example
    cname.example     CNAME b.example
    dangling.example  CNAME nowhere.example
";

fn answer(query: &[u8]) -> Vec<u8> {
    let query = Message::from_vec(query).expect("the resolver asks properly");
    let asked = query.queries.first().expect("a question").clone();
    let mut answer = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    answer.metadata.recursion_available = true;
    let name = asked.name().to_ascii().trim_end_matches('.').to_lowercase();
    let mut code = ResponseCode::NXDomain;
    for line in ZONE.lines().map(str::trim) {
        let Some((owner, value)) = line.split_once(' ') else { continue };
        if owner != name {
            continue;
        }
        let data = match value.split_whitespace().collect::<Vec<_>>()[..] {
            ["SERVFAIL"] => {
                code = ResponseCode::ServFail;
                break;
            }
            ["REFUSED"] => {
                code = ResponseCode::Refused;
                break;
            }
            ["LAME"] => {
                code = ResponseCode::NoError;
                let root = RData::NS(NS("a.root-servers.net.".parse().expect("a name")));
                answer.add_authority(Record::from_rdata(Name::root(), 60, root));
                break;
            }
            ["AAAA", "SERVFAIL"] => {
                code = ResponseCode::NoError;
                if asked.query_type() == RecordType::AAAA {
                    code = ResponseCode::ServFail;
                    break;
                }
                continue;
            }
            ["CNAME", target] => {
                code = ResponseCode::NoError;
                let target: Name = format!("{target}.").parse().expect("a name");
                let alias = RData::CNAME(CNAME(target.clone()));
                answer.add_answer(Record::from_rdata(asked.name().clone(), 60, alias));
                break;
            }
            ["MX", preference, host] => {
                let host = Name::from_str(&format!("{}.", host.trim_end_matches('.'))).expect("a name");
                RData::MX(MX::new(preference.parse().expect("a number"), host))
            }
            [address] => match address.parse().expect("an address") {
                IpAddr::V4(address) => RData::A(A(address)),
                IpAddr::V6(address) => RData::AAAA(AAAA(address)),
            },
            _ => panic!("zone: {line}"),
        };
        code = ResponseCode::NoError;
        if data.record_type() == asked.query_type() {
            answer.add_answer(Record::from_rdata(asked.name().clone(), 60, data));
        }
    }
    answer.metadata.response_code = code;
    answer.add_query(asked);
    answer.to_vec().expect("an answer can be written")
}

/// The resolver and the send connector of settings that name this server, with more about DNS and about the connector.
fn settings(server: SocketAddr, dns: &str, connector: &str) -> (Dns, Arc<SendConnector>) {
    let document = format!(
        "[server]\nname = \"{OWN_NAME}\"\n[transport]\nexternal_dns_servers = [\"{server}\"]\n{dns}\n\
         [[send_connector]]\nname = \"Out\"\naddress_spaces = [\"*\"]\n{connector}\n{LISTENER}"
    );
    let defaults = Defaults { host_name: "localhost".into(), data_dir: "/nowhere".into() };
    let settings = gatepost_policy::settings::parse(&document, &defaults);
    let settings = settings.unwrap_or_else(|problems| panic!("{problems:?}"));
    (Dns::new(&settings), settings.send_connectors[0].clone())
}

async fn server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let server = socket.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut query).await {
            // The name servers of some say nothing.
            if !query[..length].windows(6).any(|label| label == b"silent") {
                socket.send_to(&answer(&query[..length]), peer).await.expect("loopback");
            }
        }
    });
    server
}

async fn dns() -> (Dns, Arc<SendConnector>) {
    settings(server().await, "", "")
}

fn told(found: Result<Vec<Target>, LookupError>) -> String {
    match found {
        Ok(targets) => {
            let targets = targets.iter().map(|target| format!("{}={}", target.name, target.address));
            targets.collect::<Vec<_>>().join(" ")
        }
        Err(error) => error.reply.to_string(),
    }
}

#[tokio::test]
async fn a_domain_is_reached_as_its_records_say() {
    let (dns, connector) = dns().await;
    for (domain, expected) in [
        ("two.example", "a.example=[2001:db8::1]:25 a.example=192.0.2.1:25 b.example=192.0.2.2:25"),
        ("alone.example", "alone.example=192.0.2.3:25"),
        ("null.example", "556 5.1.10 The domain does not accept mail (null MX)"),
        ("mixed.example", "a.example=[2001:db8::1]:25 a.example=192.0.2.1:25"),
        ("own.example", "b.example=192.0.2.2:25"),
        ("loop.example", "554 5.4.6 The domain's mail exchanger is this server: mail would loop"),
        ("gone.example", "554 5.4.4 SMTPSEND.DNS.NonExistentDomain; nonexistent domain"),
        ("nobody.example", "554 5.4.4 SMTPSEND.DNS.NonExistentDomain; nonexistent domain"),
        ("nothing.example", "554 5.4.4 SMTPSEND.DNS.NonExistentDomain; nonexistent domain"),
        ("broken.example", "451 4.4.0 DNS query failed"),
        // An exchanger that may come back keeps the domain from being given up.
        ("hope.example", "451 4.4.0 DNS query failed"),
        ("some.example", "b.example=192.0.2.2:25"),
        ("same.example", "alias.example=192.0.2.2:25"),
        // Ourselves by the name of a receive connector, and by an address that it listens at.
        ("named.example", "554 5.4.6 The domain's mail exchanger is this server: mail would loop"),
        ("here.example", "b.example=192.0.2.2:25"),
        ("itself.example", "554 5.4.6 The domain's mail exchanger is this server: mail would loop"),
        // One family will do, but where it has nothing the other may have some another time.
        ("half.example", "half-host.example=192.0.2.5:25"),
        ("no-v4.example", "451 4.4.0 DNS query failed"),
        ("refused.example", "451 4.4.0 DNS query failed"),
        ("lame.example", "451 4.4.0 DNS query failed"),
        // An alias for the domain, and, though RFC 5321 section 5.1 forbids it, for an exchanger.
        ("alias-of.example", "a.example=[2001:db8::1]:25 a.example=192.0.2.1:25 b.example=192.0.2.2:25"),
        ("via.example", "cname.example=192.0.2.2:25"),
        ("dangling.example", "554 5.4.4 SMTPSEND.DNS.NonExistentDomain; nonexistent domain"),
        ("private.example", "lan.example=10.1.2.3:25"),
        ("[192.0.2.9]", "[192.0.2.9]=192.0.2.9:25"),
        ("[127.0.0.7]", "554 5.4.6 The domain's mail exchanger is this server: mail would loop"),
        ("[IPv6:::ffff:127.0.0.7]", "554 5.4.6 The domain's mail exchanger is this server: mail would loop"),
        ("mapped.example", "554 5.4.6 The domain's mail exchanger is this server: mail would loop"),
        ("[IPv6:2001:db8::9]", "[IPv6:2001:db8::9]=[2001:db8::9]:25"),
    ] {
        let next_hop = NextHop::Domain(Domain::parse(domain).expect("a domain"));
        assert_eq!(told(dns.targets(&next_hop, &connector).await), expected, "{domain}");
    }
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_say_nothing_keep_nobody_from_hosts_that_are_found() {
    let (dns, connector) = dns().await;
    for domain in ["backed-up.example", "falls-back.example"] {
        let next_hop = NextHop::Domain(Domain::parse(domain).expect("a domain"));
        assert_eq!(told(dns.targets(&next_hop, &connector).await), "b.example=192.0.2.2:25", "{domain}");
    }
}

#[tokio::test]
async fn a_smart_host_is_reached_by_its_exchangers_or_else_by_its_addresses() {
    let (dns, connector) = dns().await;
    for (names, expected) in [
        (&["two.example"][..], "a.example=[2001:db8::1]:587 a.example=192.0.2.1:587 b.example=192.0.2.2:587"),
        (&["alone.example"], "alone.example=192.0.2.3:587"),
        // A relay that takes no mail for itself is a relay all the same.
        (&["null.example"], "null.example=192.0.2.4:587"),
        (&["nobody.example", "b.example"], "b.example=192.0.2.2:587"),
        (
            &["nobody.example"],
            "451 4.4.0 DNS query for the smart host failed: SMTPSEND.DNS.NonExistentDomain; nonexistent domain",
        ),
    ] {
        let host = |name: &&str| SmartHost { host: Host::Name(Domain::parse(name).expect("a domain")), port: 587 };
        let next_hop = NextHop::SmartHosts(names.iter().map(host).collect::<Arc<[_]>>());
        assert_eq!(told(dns.targets(&next_hop, &connector).await), expected, "{names:?}");
    }
}

#[tokio::test]
async fn settings_say_how_strict_to_be() {
    let server = server().await;
    for (dns, connector, domain, expected) in [
        ("dns_fault_tolerance = \"Normal\"", "", "half.example", "451 4.4.0 DNS query failed"),
        (
            "",
            "mx_address_scope = \"Public\"",
            "private.example",
            "554 5.4.4 The domain's mail exchangers have no address that mail may be sent to",
        ),
        (
            "",
            "mx_address_scope = \"Public\"",
            "[10.1.2.3]",
            "554 5.4.4 The domain's mail exchangers have no address that mail may be sent to",
        ),
        // Nobody answers there over TCP.
        ("external_dns_protocol_option = \"UseTcpOnly\"", "", "two.example", "451 4.4.0 DNS query failed"),
        ("external_dns_protocol_option = \"UseUdpOnly\"", "", "alone.example", "alone.example=192.0.2.3:25"),
    ] {
        let (dns, connector) = settings(server, dns, connector);
        let next_hop = NextHop::Domain(Domain::parse(domain).expect("a domain"));
        assert_eq!(told(dns.targets(&next_hop, &connector).await), expected, "{domain}");
    }
}

#[tokio::test]
async fn internal_servers_are_asked_unless_a_connector_wants_the_external_ones() {
    let server = server().await;
    let servers = |protocol: &str, other: &str| {
        format!(
            "internal_dns_servers = [\"{server}\"]\ninternal_dns_protocol_option = \"{protocol}\"\n\
             external_dns_protocol_option = \"{other}\""
        )
    };
    // Nobody answers there over TCP.
    let (external, internal) = (servers("UseTcpOnly", "UseUdpOnly"), servers("UseUdpOnly", "UseTcpOnly"));
    let (found, failed) = ("alone.example=192.0.2.3:25", "451 4.4.0 DNS query failed");
    for (dns, connector, expected) in [
        (external.as_str(), "", failed),
        (&external, "use_external_dns_servers_enabled = false", failed),
        (&external, "use_external_dns_servers_enabled = true", found),
        (&internal, "", found),
        (&internal, "use_external_dns_servers_enabled = true", failed),
        ("", "use_external_dns_servers_enabled = false", found),
    ] {
        let (dns, connector) = settings(server, dns, connector);
        let next_hop = NextHop::Domain(Domain::parse("alone.example").expect("a domain"));
        assert_eq!(told(dns.targets(&next_hop, &connector).await), expected, "{connector:?}");
    }
}

#[tokio::test]
async fn a_wildcard_stands_for_every_address_of_this_machine() {
    let listener = LISTENER.replace("127.0.0.7", "0.0.0.0");
    let document = format!("[server]\nname = \"{OWN_NAME}\"\n{listener}");
    let defaults = Defaults { host_name: "localhost".into(), data_dir: "/nowhere".into() };
    let settings = gatepost_policy::settings::parse(&document, &defaults).expect("settings");
    let dns = Dns::new(&settings);
    for (address, expected) in [
        ("127.0.0.1:25", true),
        ("127.1.2.3:25", true),
        ("[::ffff:127.0.0.1]:25", true),
        ("127.0.0.1:26", false),
        ("[::1]:25", false),
        // Nobody has this one (RFC 5737), but for machines that stand in a documentation.
        ("203.0.113.77:25", false),
    ] {
        assert_eq!(dns.listens_at(address.parse().expect("an address")), expected, "{address}");
    }
}
