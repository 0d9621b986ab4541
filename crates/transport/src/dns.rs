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
mod tests;
