//! Finds the addresses of a next hop: smart hosts, or MX and address records (RFC 5321 section 5.1, RFC 7505).
//!
//! Takes a next hop, hands on targets in the order in which they are to be tried, or the reply that a sender is told
//! when there are none. Caching is the resolver's.

use std::net::{IpAddr, SocketAddr};

use gatepost_mail::{Domain, Reply};
use gatepost_policy::route::{Host, NextHop};
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
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
                    set_port(connection, server.port());
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
                            if let Err(error) = self.host_targets(name.as_str(), smart_host.port, &mut targets).await {
                                last_error = Some(error);
                            }
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
            push(targets, ip, port, domain.as_str());
            return Ok(());
        }
        let exchangers = self.exchangers(domain).await?;
        if exchangers.is_empty() {
            // No MX record: the domain itself is its exchanger (RFC 5321 section 5.1).
            return self.host_targets(domain.as_str(), port, targets).await;
        }
        let own = exchangers.iter().filter(|(_, host)| host.eq_ignore_ascii_case(own_name)).map(|(p, _)| *p).min();
        let mut last_error = LookupError { reply: LOOPS_BACK };
        // Only hosts better than ourselves may be used, or mail would come back (RFC 5321 section 5.1).
        for (_, host) in exchangers.iter().filter(|(preference, _)| own.is_none_or(|own| *preference < own)) {
            if let Err(error) = self.host_targets(host, port, targets).await {
                last_error = error;
            }
            if targets.len() >= TARGETS_MAX {
                break;
            }
        }
        if targets.is_empty() { Err(last_error) } else { Ok(()) }
    }

    /// (preference, host without its final dot), best first, equal preferences in random order.
    async fn exchangers(&self, domain: &Domain) -> Result<Vec<(u16, String)>, LookupError> {
        let Some(resolver) = &self.resolver else { return Err(LookupError { reply: QUERY_FAILED }) };
        let lookup = match resolver.mx_lookup(format!("{domain}.")).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_nx_domain() => return Err(LookupError { reply: NO_SUCH_DOMAIN }),
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(query_failed(domain.as_str(), &error)),
        };
        let mut exchangers = Vec::new();
        let mut is_null = false;
        for record in lookup.answers() {
            if let RData::MX(mx) = &record.data {
                is_null |= mx.exchange.is_root();
                let host = mx.exchange.to_ascii();
                exchangers.push((mx.preference, random(), host.trim_end_matches('.').to_owned()));
            }
        }
        if is_null {
            return Err(LookupError { reply: NULL_MX });
        }
        exchangers.sort_by_key(|(preference, random, _)| (*preference, *random));
        Ok(exchangers.into_iter().map(|(preference, _, host)| (preference, host)).collect())
    }

    async fn host_targets(&self, host: &str, port: u16, targets: &mut Vec<Target>) -> Result<(), LookupError> {
        let Some(resolver) = &self.resolver else { return Err(LookupError { reply: QUERY_FAILED }) };
        match resolver.lookup_ip(format!("{host}.")).await {
            Ok(lookup) => {
                let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = lookup.iter().partition(IpAddr::is_ipv6);
                for ip in v6.into_iter().chain(v4) {
                    push(targets, ip, port, host);
                }
                Ok(())
            }
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => {
                Err(LookupError { reply: NO_SUCH_DOMAIN })
            }
            Err(error) => Err(query_failed(host, &error)),
        }
    }
}

fn set_port(connection: &mut ConnectionConfig, port: u16) {
    connection.port = port;
}

/// An address as RFC 5321 section 4.1.3 writes it.
fn literal(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

fn push(targets: &mut Vec<Target>, ip: IpAddr, port: u16, name: &str) {
    let target = Target { address: SocketAddr::new(ip, port), name: name.to_owned() };
    if !targets.contains(&target) {
        targets.push(target);
    }
}

fn query_failed(name: &str, error: &NetError) -> LookupError {
    tracing::debug!(name, %error, "DNS query failed");
    LookupError { reply: QUERY_FAILED }
}

fn random() -> u32 {
    // Without randomness equal exchangers are tried in the order of the answer: no harm.
    getrandom::u32().unwrap_or(0)
}
