//! Finds the addresses of a next hop: smart hosts, or MX and address records (RFC 5321 section 5.1, RFC 7505).
//!
//! Takes a next hop, hands on targets in the order in which they are to be tried, or the reply that a sender is told
//! when there are none. Caching is the resolver's.

use std::net::{IpAddr, SocketAddr};

use gatepost_mail::{Domain, Reply};
use gatepost_policy::route::{Host, NextHop};
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};

/// At most so many addresses are tried in one attempt, so that a hostile zone cannot make us dial for hours.
const TARGETS_MAX: usize = 16;

/// One address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// The host's name, or its address as an address literal: for logs, reports and TLS.
    pub name: String,
}

/// Why a next hop has no address. The reply says whether trying later may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupError {
    /// What the sender is told.
    pub reply: Reply,
}

const NULL_MX: Reply = Reply::new(556, (5, 1, 10), "The domain does not accept mail (null MX)");
const NO_SUCH_DOMAIN: Reply = Reply::new(554, (5, 4, 4), "SMTPSEND.DNS.NonExistentDomain; nonexistent domain");
const QUERY_FAILED: Reply = Reply::new(451, (4, 4, 0), "DNS query failed");
const LOOPS_BACK: Reply = Reply::new(554, (5, 4, 6), "The domain's mail exchanger is this server: mail would loop");

/// The resolver.
pub struct Dns {
    resolver: Option<TokioResolver>,
}

impl Dns {
    /// Uses `servers`, or the system's configuration when there are none.
    pub fn new(servers: &[SocketAddr]) -> Dns {
        let builder = if servers.is_empty() {
            Resolver::builder_tokio()
        } else {
            let servers = servers.iter().map(|server| {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut config.connections {
                    connection.port = server.port();
                }
                config
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            Ok(builder)
        };
        let resolver = builder.and_then(|mut builder| {
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            builder.build()
        });
        match resolver {
            Ok(resolver) => Dns { resolver: Some(resolver) },
            Err(error) => {
                tracing::warn!(%error, "no DNS: set [transport] external_dns_servers, or repair /etc/resolv.conf");
                Dns { resolver: None }
            }
        }
    }

    /// The targets of `next_hop`, best first. `port` is used where the next hop names none; `own_name` is this server's
    /// name, which must not be delivered to.
    ///
    /// # Errors
    /// [`LookupError`] when there is none.
    pub async fn targets(&self, next_hop: &NextHop, port: u16, own_name: &str) -> Result<Vec<Target>, LookupError> {
        let mut targets = Vec::new();
        match next_hop {
            NextHop::Domain(domain) => self.domain_targets(domain, port, own_name, &mut targets).await?,
            NextHop::SmartHosts(hosts) => {
                let mut last_error = None;
                for smart_host in hosts.iter() {
                    match &smart_host.host {
                        Host::Address(ip) => push(&mut targets, *ip, smart_host.port, &literal(*ip)),
                        Host::Name(name) => {
                            let found = self.smart_host_targets(name, smart_host.port, own_name, &mut targets).await;
                            last_error = found.err().or(last_error);
                        }
                    }
                }
                if let (true, Some(error)) = (targets.is_empty(), last_error) {
                    // An administrator's smart host that does not resolve is a fault here, not the recipient's: keep
                    // trying until someone repairs it.
                    let text = format!("DNS query for the smart host failed: {}", error.reply.text);
                    return Err(LookupError { reply: QUERY_FAILED.with_text(text) });
                }
            }
        }
        targets.truncate(TARGETS_MAX);
        Ok(targets)
    }

    async fn domain_targets(
        &self,
        domain: &Domain,
        port: u16,
        own_name: &str,
        targets: &mut Vec<Target>,
    ) -> Result<(), LookupError> {
        if domain.is_literal() {
            let ip = domain.literal_address().ok_or(LookupError { reply: NO_SUCH_DOMAIN })?;
            push(targets, ip, port, &literal(ip));
            return Ok(());
        }
        match self.exchangers(domain).await? {
            // No MX record: the domain itself is its exchanger (RFC 5321 section 5.1).
            none if none.is_empty() => self.host_targets(domain.as_str(), port, targets).await,
            exchangers => self.exchanger_targets(&exchangers, port, own_name, targets).await,
        }
    }

    /// MX records first, then addresses (fact sheet section 4.4). A smart host may have a name that takes no mail for
    /// itself, or that only the hosts file knows: whatever MX records do not say, addresses may.
    async fn smart_host_targets(
        &self,
        name: &Domain,
        port: u16,
        own_name: &str,
        targets: &mut Vec<Target>,
    ) -> Result<(), LookupError> {
        match self.exchangers(name).await {
            Ok(exchangers) if !exchangers.is_empty() => {
                self.exchanger_targets(&exchangers, port, own_name, targets).await
            }
            _ => self.host_targets(name.as_str(), port, targets).await,
        }
    }

    async fn exchanger_targets(
        &self,
        exchangers: &[(u16, String)],
        port: u16,
        own_name: &str,
        targets: &mut Vec<Target>,
    ) -> Result<(), LookupError> {
        let own = exchangers.iter().filter(|(_, host)| host.eq_ignore_ascii_case(own_name)).map(|(p, _)| *p).min();
        let mut told = LookupError { reply: LOOPS_BACK };
        // Only hosts better than ourselves may be used, or mail would come back (RFC 5321 section 5.1).
        for (_, host) in exchangers.iter().filter(|(preference, _)| own.is_none_or(|own| *preference < own)) {
            if let Err(error) = self.host_targets(host, port, targets).await
                // While one exchanger may come back, the domain is not given up.
                && told.reply.code >= 500
            {
                told = error;
            }
            if targets.len() >= TARGETS_MAX {
                break;
            }
        }
        if targets.is_empty() { Err(told) } else { Ok(()) }
    }

    /// (preference, host without its final dot), best first, equal preferences in random order.
    async fn exchangers(&self, domain: &Domain) -> Result<Vec<(u16, String)>, LookupError> {
        let records = match self.mx_records(domain.as_str()).await {
            Ok(records) => records,
            Err(NoRecords::NoSuchName) => return Err(LookupError { reply: NO_SUCH_DOMAIN }),
            Err(NoRecords::OfThisKind) => return Ok(Vec::new()),
            Err(NoRecords::ServersFail) => return Err(LookupError { reply: QUERY_FAILED }),
        };
        let mut exchangers = Vec::new();
        let mut has_null = false;
        for (preference, host) in records {
            match host.trim_end_matches('.') {
                // A null MX stands alone (RFC 7505 section 3); beside others it names no host and is passed over.
                "" => has_null = true,
                host => exchangers.push((preference, random(), host.to_owned())),
            }
        }
        if has_null && exchangers.is_empty() {
            return Err(LookupError { reply: NULL_MX });
        }
        exchangers.sort_by_key(|(preference, random, _)| (*preference, *random));
        Ok(exchangers.into_iter().map(|(preference, _, host)| (preference, host)).collect())
    }

    async fn host_targets(&self, host: &str, port: u16, targets: &mut Vec<Target>) -> Result<(), LookupError> {
        match self.address_records(host).await {
            Ok(addresses) => {
                let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
                for ip in v6.into_iter().chain(v4) {
                    push(targets, ip, port, host);
                }
                Ok(())
            }
            Err(NoRecords::NoSuchName | NoRecords::OfThisKind) => Err(LookupError { reply: NO_SUCH_DOMAIN }),
            Err(NoRecords::ServersFail) => Err(LookupError { reply: QUERY_FAILED }),
        }
    }

    /// (preference, host), in no order.
    async fn mx_records(&self, domain: &str) -> Result<Vec<(u16, String)>, NoRecords> {
        #[cfg(test)]
        if let Some(world) = crate::simulated::world() {
            return world.exchangers(domain).await.map_err(NoRecords::from);
        }
        let Some(resolver) = &self.resolver else { return Err(NoRecords::ServersFail) };
        let lookup = resolver.mx_lookup(format!("{domain}.")).await;
        let lookup = lookup.map_err(|error| no_records(domain, &error))?;
        let exchangers = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
            _ => None,
        });
        Ok(exchangers.collect())
    }

    async fn address_records(&self, host: &str) -> Result<Vec<IpAddr>, NoRecords> {
        #[cfg(test)]
        if let Some(world) = crate::simulated::world() {
            return world.addresses(host).await.map_err(NoRecords::from);
        }
        let Some(resolver) = &self.resolver else { return Err(NoRecords::ServersFail) };
        let lookup = resolver.lookup_ip(format!("{host}.")).await;
        lookup.map(|lookup| lookup.iter().collect()).map_err(|error| no_records(host, &error))
    }
}

/// Why a name has no records of a kind.
enum NoRecords {
    NoSuchName,
    OfThisKind,
    ServersFail,
}

#[cfg(test)]
impl From<crate::simulated::NoRecords> for NoRecords {
    fn from(none: crate::simulated::NoRecords) -> NoRecords {
        match none {
            crate::simulated::NoRecords::NoSuchName => NoRecords::NoSuchName,
            crate::simulated::NoRecords::OfThisKind => NoRecords::OfThisKind,
            crate::simulated::NoRecords::ServersFail => NoRecords::ServersFail,
        }
    }
}

/// An address as RFC 5321 section 4.1.3 writes it.
fn literal(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

fn push(targets: &mut Vec<Target>, ip: IpAddr, port: u16, name: &str) {
    let address = SocketAddr::new(ip, port);
    // One host may be known by many names; it is dialled once.
    if targets.iter().all(|target| target.address != address) {
        targets.push(Target { address, name: name.to_owned() });
    }
}

fn no_records(name: &str, error: &NetError) -> NoRecords {
    if error.is_nx_domain() {
        return NoRecords::NoSuchName;
    }
    if error.is_no_records_found() {
        return NoRecords::OfThisKind;
    }
    tracing::debug!(name, %error, "DNS query failed");
    NoRecords::ServersFail
}

fn random() -> u32 {
    // Without randomness equal exchangers are tried in the order of the answer: no harm.
    getrandom::u32().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;
    use std::sync::Arc;

    use gatepost_policy::route::SmartHost;
    use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, AAAA, MX};
    use hickory_resolver::proto::rr::{Name, Record};
    use tokio::net::UdpSocket;

    use super::*;

    const OWN_NAME: &str = "gate.contoso.com";

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

    async fn dns() -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let server = socket.local_addr().expect("it is bound");
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut query).await {
                socket.send_to(&answer(&query[..length]), peer).await.expect("loopback");
            }
        });
        Dns::new(&[server])
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
        let dns = dns().await;
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
            ("[192.0.2.9]", "[192.0.2.9]=192.0.2.9:25"),
            ("[IPv6:2001:db8::9]", "[IPv6:2001:db8::9]=[2001:db8::9]:25"),
        ] {
            let next_hop = NextHop::Domain(Domain::parse(domain).expect("a domain"));
            assert_eq!(told(dns.targets(&next_hop, 25, OWN_NAME).await), expected, "{domain}");
        }
    }

    #[tokio::test]
    async fn a_smart_host_is_reached_by_its_exchangers_or_else_by_its_addresses() {
        let dns = dns().await;
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
            assert_eq!(told(dns.targets(&next_hop, 25, OWN_NAME).await), expected, "{names:?}");
        }
    }
}
