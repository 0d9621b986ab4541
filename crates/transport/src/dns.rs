//! Finds the addresses of a next hop: smart hosts, or MX and address records (RFC 5321 section 5.1, RFC 7505).
//!
//! Takes a next hop, asks name servers, hands on targets in the order in which they are to be tried, or the reply that a
//! sender is told when there are none. What the answers mean, `policy::exchangers` decides; caching is the resolver's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Domain, Reply};
use gatepost_policy::Settings;
pub use gatepost_policy::exchangers::Target;
use gatepost_policy::exchangers::{self, Exchanger, Found, NoRecords, Own, QUERY_FAILED, TARGETS_MAX};
use gatepost_policy::route::{Host, NextHop};
use gatepost_policy::send_connector::{SendConnector, in_turn};
use gatepost_policy::settings::{DnsFaultTolerance, DnsProtocolOption};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver, system_conf};

use crate::{clock, net};

/// How long a name server may take, and how long all questions about one next hop may (fact sheet section 4.6).
const SERVER_PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the search for more hosts may take once there is somebody to try: name servers of others are no reason to wait.
const PATIENCE_FOR_MORE: Duration = Duration::from_secs(10);

/// Why a next hop has no address. The reply says whether trying later may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupError {
    /// What the sender is told.
    pub reply: Reply,
}

impl From<Reply> for LookupError {
    fn from(reply: Reply) -> LookupError {
        LookupError { reply }
    }
}

/// The resolvers of a revision of the settings, and who we are in the eyes of a zone.
pub struct Dns {
    external: Option<TokioResolver>,
    /// Where the settings name internal servers.
    internal: Option<TokioResolver>,
    fault_tolerance: DnsFaultTolerance,
    own_names: Vec<String>,
    listeners: Vec<SocketAddr>,
}

impl Dns {
    /// Asks the servers that `settings` name, or those of the operating system where they name none.
    pub fn new(settings: &Settings) -> Dns {
        let dns = &settings.dns;
        let mut own_names = vec![settings.server.name.to_string()];
        for connector in settings.receive_connectors.iter().filter(|connector| connector.enabled) {
            let name = connector.fqdn.to_string();
            if !own_names.contains(&name) {
                own_names.push(name);
            }
        }
        Dns {
            external: resolver(&dns.external_dns_servers, dns.external_dns_protocol_option),
            internal: match dns.internal_dns_servers.as_slice() {
                [] => None,
                servers => resolver(servers, dns.internal_dns_protocol_option),
            },
            fault_tolerance: dns.dns_fault_tolerance,
            own_names,
            listeners: settings.listeners().into_iter().map(|listener| listener.address).collect(),
        }
    }

    /// The targets of `next_hop`, best first.
    ///
    /// # Errors
    /// [`LookupError`] when there is none.
    pub async fn targets(&self, next_hop: &NextHop, connector: &SendConnector) -> Result<Vec<Target>, LookupError> {
        let asked = tokio::time::timeout(PATIENCE, self.asked(next_hop, connector)).await;
        asked.unwrap_or_else(|_| Err(QUERY_FAILED.into()))
    }

    /// Whether `name` is one of this server's.
    pub fn is_own_name(&self, name: &str) -> bool {
        self.own_names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The one that asks for `connector`. Where there are no internal servers, the external ones know all names.
    fn resolver_of(&self, connector: &SendConnector) -> Option<&TokioResolver> {
        let internal = self.internal.as_ref().filter(|_| !connector.use_external_dns_servers_enabled);
        internal.or(self.external.as_ref())
    }

    async fn asked(&self, next_hop: &NextHop, connector: &SendConnector) -> Result<Vec<Target>, LookupError> {
        let hosts = match next_hop {
            NextHop::Domain(domain) => return self.domain_targets(domain, connector).await,
            NextHop::SmartHosts(hosts) => hosts,
        };
        let mut targets = Vec::new();
        let mut last_error = None;
        for smart_host in in_turn(hosts, connector.smart_hosts_order, random()).iter() {
            let rank = targets.last().map_or(0, |target: &Target| target.rank + 1);
            let found = match &smart_host.host {
                Host::Address(ip) => Ok(vec![at_address(*ip, smart_host.port)]),
                Host::Socket(path) => Ok(vec![at_path(path)]),
                Host::Name(name) => self.smart_host_targets(name, smart_host.port, connector).await,
            };
            match found {
                Ok(found) => {
                    for target in found {
                        let smart_host = hosts.iter().position(|written| written == smart_host);
                        exchangers::push(&mut targets, Target { rank: rank + target.rank, smart_host, ..target });
                    }
                }
                Err(error) => last_error = Some(error),
            }
        }
        if let (true, Some(error)) = (targets.is_empty(), last_error) {
            // An administrator's smart host that does not resolve is a fault here, not the recipient's: keep
            // trying until someone repairs it.
            let text = format!("DNS query for the smart host failed: {}", error.reply.text);
            return Err(QUERY_FAILED.with_text(text).into());
        }
        targets.truncate(TARGETS_MAX);
        Ok(targets)
    }

    async fn domain_targets(&self, domain: &Domain, connector: &SendConnector) -> Result<Vec<Target>, LookupError> {
        let port = connector.port;
        let listens_at = |address| self.listens_at(address);
        let own = Own { names: &self.own_names, listens_at: &listens_at };
        if domain.is_literal() {
            // Whoever may send mail writes it: like a zone, it leads neither back to us nor where the connector must not go.
            let ip = domain.literal_address().ok_or(exchangers::NO_SUCH_DOMAIN)?;
            let host = Exchanger { preference: 0, host: literal(ip) };
            return Ok(exchangers::arrange(&[(host, Ok(vec![ip]))], port, connector.mx_address_scope, own)?);
        }
        let resolver = self.resolver_of(connector);
        let records = mx_records(resolver, domain.as_str()).await;
        let exchangers = exchangers::select(domain.as_str(), records, own, &mut random)?;
        let found = self.found(resolver, exchangers, port).await;
        Ok(exchangers::arrange(&found, port, connector.mx_address_scope, own)?)
    }

    /// MX records first, then addresses (fact sheet section 4.4). A smart host may have a name that takes no mail for
    /// itself, or that only the hosts file knows: whatever MX records do not say, addresses may. Where the administrator
    /// sends us, we go, be it to an address of our own.
    async fn smart_host_targets(
        &self,
        name: &Domain,
        port: u16,
        connector: &SendConnector,
    ) -> Result<Vec<Target>, LookupError> {
        let resolver = self.resolver_of(connector);
        let own = Own { names: &self.own_names, listens_at: &|_| false };
        let records = mx_records(resolver, name.as_str()).await.ok().filter(|records| !records.is_empty());
        let exchangers =
            records.and_then(|records| exchangers::select(name.as_str(), Ok(records), own, &mut random).ok());
        let itself = || vec![Exchanger { preference: 0, host: name.to_string() }];
        let found = self.found(resolver, exchangers.unwrap_or_else(itself), port).await;
        Ok(exchangers::arrange(&found, port, exchangers::AddressScope::Any, own)?)
    }

    /// Asks for the addresses of `exchangers`, best first, until there are enough, or some and it takes long. Equals are asked
    /// for together: what one of them says may decide about the others.
    async fn found(&self, resolver: Option<&TokioResolver>, exchangers: Vec<Exchanger>, port: u16) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::with_capacity(exchangers.len());
        let (mut last, began) = (None, clock::now());
        for exchanger in exchangers {
            let addresses: usize = found.iter().map(|(_, ips)| ips.as_ref().map_or(0, Vec::len)).sum();
            if last != Some(exchanger.preference) {
                let is_ours = |ip: &IpAddr| self.listens_at(SocketAddr::new(*ip, port));
                if addresses >= TARGETS_MAX || found.iter().any(|(_, ips)| ips.iter().flatten().any(is_ours)) {
                    break;
                }
            }
            last = Some(exchanger.preference);
            let asked = address_records(resolver, &exchanger.host, self.fault_tolerance);
            let spent = if addresses == 0 { Duration::ZERO } else { clock::now().saturating_duration_since(began) };
            let asked = tokio::time::timeout(PATIENCE_FOR_MORE.saturating_sub(spent), asked).await;
            found.push((exchanger, asked.unwrap_or(Err(NoRecords::ServersFail))));
        }
        found
    }

    /// Whether this server listens at `address`, so that whoever connects there meets us.
    fn listens_at(&self, address: SocketAddr) -> bool {
        // ::ffff:127.0.0.1 is another way to write 127.0.0.1, and leads there.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let is_here = |listener: &SocketAddr| {
            let is_every = listener.ip().is_unspecified() && listener.is_ipv4() == address.is_ipv4();
            listener.ip() == address.ip() || is_every && net::is_own(address.ip())
        };
        self.listeners.iter().any(|listener| listener.port() == address.port() && is_here(listener))
    }
}

/// A resolver that asks `servers`, or those of the operating system. `None` where these are not to be found.
fn resolver(servers: &[SocketAddr], protocol: DnsProtocolOption) -> Option<TokioResolver> {
    let connections = |port: u16| {
        let kinds = match protocol {
            DnsProtocolOption::Any => vec![ConnectionConfig::udp(), ConnectionConfig::tcp()],
            DnsProtocolOption::UseUdpOnly => vec![ConnectionConfig::udp()],
            DnsProtocolOption::UseTcpOnly => vec![ConnectionConfig::tcp()],
        };
        kinds.into_iter().map(move |mut connection| {
            connection.port = port;
            connection
        })
    };
    let surroundings = if servers.is_empty() {
        system_conf::read_system_conf().map(|(mut config, options)| {
            for server in &mut config.name_servers {
                let port = server.connections.first().map_or(53, |connection| connection.port);
                server.connections = connections(port).collect();
            }
            (config, options)
        })
    } else {
        let server =
            |server: &SocketAddr| NameServerConfig::new(server.ip(), true, connections(server.port()).collect());
        let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
        let mut options = ResolverOpts::default();
        options.use_hosts_file = ResolveHosts::Never;
        Ok((config, options))
    };
    let resolver = surroundings.and_then(|(config, options)| {
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        builder.options_mut().timeout = SERVER_PATIENCE;
        builder.build()
    });
    resolver
        .inspect_err(|error| {
            tracing::warn!(%error, "no DNS: set [transport] external_dns_servers, or repair /etc/resolv.conf");
        })
        .ok()
}

/// (preference, host), in no order.
async fn mx_records(resolver: Option<&TokioResolver>, domain: &str) -> Result<Vec<(u16, String)>, NoRecords> {
    #[cfg(test)]
    if let Some(world) = crate::simulated::world() {
        return world.exchangers(domain).await;
    }
    let Some(resolver) = resolver else { return Err(NoRecords::ServersFail) };
    let lookup = resolver.mx_lookup(format!("{domain}.")).await.map_err(|error| no_records(domain, &error))?;
    let exchangers = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
        _ => None,
    });
    Ok(exchangers.collect())
}

/// Addresses of both families. Where one family's servers fail, `fault_tolerance` says whether the other's addresses will do;
/// where there are none, the failure counts: they may be there another time.
async fn address_records(
    resolver: Option<&TokioResolver>,
    host: &str,
    fault_tolerance: DnsFaultTolerance,
) -> Result<Vec<IpAddr>, NoRecords> {
    #[cfg(test)]
    if let Some(world) = crate::simulated::world() {
        return world.addresses(host).await;
    }
    let Some(resolver) = resolver else { return Err(NoRecords::ServersFail) };
    let name = format!("{host}.");
    let (v6, v4) =
        tokio::join!(resolver.lookup(name.as_str(), RecordType::AAAA), resolver.lookup(name.as_str(), RecordType::A));
    let mut addresses = Vec::new();
    let (mut servers_fail, mut exists) = (false, false);
    for answer in [v6, v4] {
        match answer.map_err(|error| no_records(host, &error)) {
            Ok(lookup) => {
                exists = true;
                addresses.extend(lookup.answers().iter().filter_map(|record| record.data.ip_addr()));
            }
            Err(NoRecords::ServersFail) => servers_fail = true,
            Err(NoRecords::OfThisKind) => exists = true,
            Err(NoRecords::NoSuchName) => {}
        }
    }
    match (addresses.is_empty(), servers_fail) {
        (false, true) if fault_tolerance == DnsFaultTolerance::Normal => Err(NoRecords::ServersFail),
        (false, _) => Ok(addresses),
        (true, true) => Err(NoRecords::ServersFail),
        (true, false) => Err(if exists { NoRecords::OfThisKind } else { NoRecords::NoSuchName }),
    }
}

/// An address as RFC 5321 section 4.1.3 writes it.
fn literal(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

/// A target that no name server is asked for.
fn at_address(ip: IpAddr, port: u16) -> Target {
    Target { address: SocketAddr::new(ip, port), name: literal(ip), rank: 0, smart_host: None, path: None }
}

/// A socket of this machine.
fn at_path(path: &Arc<Path>) -> Target {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    Target { address, name: path.display().to_string(), rank: 0, smart_host: None, path: Some(path.clone()) }
}

fn no_records(name: &str, error: &NetError) -> NoRecords {
    match error {
        _ if error.is_nx_domain() => return NoRecords::NoSuchName,
        // A referral to other servers is no answer: whom we asked does not know (a lame delegation).
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.soa.is_some() || none.ns.is_none() => {
            return NoRecords::OfThisKind;
        }
        _ => {}
    }
    tracing::debug!(name, %error, "DNS query failed");
    NoRecords::ServersFail
}

fn random() -> u32 {
    // Any number will do, if it is another one each time and a seed repeats it.
    #[cfg(test)]
    if let Some(world) = crate::simulated::world() {
        return (world.wall_clock_ms() / 7) as u32;
    }
    // Without randomness equal exchangers are tried in the order of the answer: no harm.
    getrandom::u32().unwrap_or(0)
}

#[cfg(test)]
mod tests {
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
}
