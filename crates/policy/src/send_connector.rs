//! Send connectors: the ways out (fact sheet section 4.4), and the table that finds those for a domain.
//!
//! Takes domains, hands on candidate connectors, most specific address space first. Which one is taken, `route` decides.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::Domain;

use crate::accepted_domain::suffixes;
use crate::certificate::CertificateName;
use crate::error_policy::ErrorPolicies;
use crate::exchangers::AddressScope;
use crate::logon::Logon;
pub use crate::receive_connector::ProtocolLoggingLevel;
use crate::send_right::SendEntry;

/// Which recipients' domains an address space covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// `contoso.com`: this domain, not what is below it.
    Exact(Domain),
    /// `*.contoso.com`: the domain and everything below it.
    WithSubdomains(Domain),
    /// `*`: every domain.
    All,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Space::Exact(domain) => write!(f, "{domain}"),
            Space::WithSubdomains(domain) => write!(f, "*.{domain}"),
            Space::All => f.write_str("*"),
        }
    }
}

/// One address space with its cost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddressSpace {
    /// What it covers.
    pub space: Space,
    /// 1 to 100; of two equally specific spaces the lower cost is taken.
    pub cost: u32,
}

/// As Exchange echoes it: `SMTP:*;1`.
impl fmt::Display for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SMTP:{};{}", self.space, self.cost)
    }
}

/// The host part of a smart host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address, written in brackets.
    Address(IpAddr),
    /// A name: its MX records are asked first, then its addresses.
    Name(Domain),
}

/// One smart host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SmartHost {
    /// Where.
    pub host: Host,
    /// TCP port; the connector's `port` where the smart host names none.
    pub port: u16,
}

/// `[10.0.0.1]:25`, `relay.example.net:587`.
impl fmt::Display for SmartHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => write!(f, "[{address}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// How smart hosts are told who we are, and whom they are taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmartHostAuthMechanism {
    /// Nothing is said; they are anybody.
    #[default]
    None,
    /// We log on, inside TLS where they offer it.
    BasicAuth,
    /// We log on, inside TLS only, and their certificate has to be for them.
    BasicAuthRequireTls,
    /// The network vouches for them: nothing is said either, but they are externally secured servers.
    ExternalAuthoritative,
}

impl SmartHostAuthMechanism {
    /// Whether we log on.
    pub fn logs_on(self) -> bool {
        matches!(self, SmartHostAuthMechanism::BasicAuth | SmartHostAuthMechanism::BasicAuthRequireTls)
    }
}

/// What a connector is for: a label, and what `max_message_size` is where it is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// Anything.
    #[default]
    Custom,
    /// To servers of our own: no limit of size.
    Internal,
    /// To everybody.
    Internet,
    /// To partners.
    Partner,
}

/// Which of several smart hosts is tried first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmartHostsOrder {
    /// Each connection begins with another one, as Exchange does.
    #[default]
    Balanced,
    /// The first as long as it answers.
    Ordered,
}

/// What has to be true of TLS to a next hop, where it is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsAuthLevel {
    /// That there is any.
    EncryptionOnly,
    /// That the certificate is sound and comes from a trusted root.
    CertificateValidation,
    /// And that it is for `tls_domain`, or for whom we write to.
    DomainValidation,
}

/// `contoso.com` or `*.contoso.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsDomain {
    /// The domain.
    pub domain: Domain,
    /// Whether hosts below it count, too.
    pub with_subdomains: bool,
}

/// Our own addresses that connections come from; none of a family leaves the choice to the system, unless there is one of
/// the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceAddresses {
    /// To IPv4 targets.
    pub v4: Option<Ipv4Addr>,
    /// To IPv6 targets.
    pub v6: Option<Ipv6Addr>,
}

/// Where a connection to one target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From wherever the system says.
    Any,
    /// From this address.
    From(IpAddr),
    /// There is no way: the administrator wants a source address, and it is of the other family. Going out by another
    /// address would be what it is there to prevent.
    WrongFamily,
}

impl SourceAddresses {
    /// The source of a connection to `target`.
    pub fn towards(&self, target: IpAddr) -> Source {
        let own = match target {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        };
        match own {
            Some(own) => Source::From(own),
            None if *self == SourceAddresses::default() => Source::Any,
            None => Source::WrongFamily,
        }
    }

    /// Those that are given.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }
}

/// The smart hosts in the order in which one connection tries them. `dice` is any number, another one for each
/// connection.
pub fn in_turn(hosts: &Arc<[SmartHost]>, order: SmartHostsOrder, dice: u32) -> Arc<[SmartHost]> {
    let first = match (order, hosts.len()) {
        (SmartHostsOrder::Ordered, _) | (_, 0 | 1) => return hosts.clone(),
        (SmartHostsOrder::Balanced, many) => dice as usize % many,
    };
    let (before, from) = hosts.split_at(first);
    from.iter().chain(before).cloned().collect()
}

/// One `[[send_connector]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendConnector {
    /// Unique among send connectors, case ignored; 1 to 64 characters.
    pub name: Arc<str>,
    /// For people.
    pub comment: String,
    /// A disabled connector is never taken.
    pub enabled: bool,
    /// What it is for.
    pub usage: Usage,
    /// At least one.
    pub address_spaces: Vec<AddressSpace>,
    /// Empty exactly where `dns_routing_enabled`.
    pub smart_hosts: Arc<[SmartHost]>,
    /// Which of them is tried first.
    pub smart_hosts_order: SmartHostsOrder,
    /// Whether the recipient domain's MX records say where to go.
    pub dns_routing_enabled: bool,
    /// Which addresses MX records may lead to.
    pub mx_address_scope: AddressScope,
    /// Whether names are looked up by `external_dns_servers`, rather than by `internal_dns_servers`.
    pub use_external_dns_servers_enabled: bool,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// Our own addresses that connections come from.
    pub source_ip_address: SourceAddresses,
    /// The EHLO name.
    pub fqdn: Domain,
    /// Whether HELO is said and no extension used, whatever the next hop offers.
    pub force_helo: bool,
    /// Whether delivery without TLS is out of the question.
    pub require_tls: bool,
    /// Whether TLS starts at once, without STARTTLS (RFC 8314 section 3.3).
    pub implicit_tls: bool,
    /// What has to be true of TLS where it is required.
    pub tls_auth_level: Option<TlsAuthLevel>,
    /// Whom a certificate has to be for, under [`TlsAuthLevel::DomainValidation`].
    pub tls_domain: Option<Box<TlsDomain>>,
    /// Whether domains of `tls_send_domain_secure_list` have to prove themselves, and we to them.
    pub domain_secure_enabled: bool,
    /// The certificate that is shown to next hops that ask for one; without it none is.
    pub tls_certificate_name: Option<Box<CertificateName>>,
    /// Whether an offered STARTTLS is left alone.
    pub ignore_starttls: bool,
    /// In bytes; `None` is unlimited.
    pub max_message_size: Option<u64>,
    /// After that many messages the connection is closed; at least 1.
    pub smtp_max_messages_per_connection: u32,
    /// How long a silent peer is waited for.
    pub connection_inactivity_timeout: Duration,
    /// Connections at a time by this connector, whichever next hop they lead to; `None` is unlimited.
    pub max_connections: Option<u32>,
    /// Messages within any minute by this connector, each attempt to send one counted; `None` is unlimited.
    pub messages_per_minute: Option<u32>,
    /// Which failures are taken for what they do not say they are.
    pub error_policies: ErrorPolicies,
    /// Whom its smart hosts are taken for.
    pub smart_host_auth_mechanism: SmartHostAuthMechanism,
    /// How we log on, where the mechanism says that we do.
    pub logon: Option<Box<Logon>>,
    /// `[[send_connector.permission]]`: rights beside those that everybody has by default.
    pub entries: Vec<SendEntry>,
    /// Whether the dialogue is recorded.
    pub protocol_logging_level: ProtocolLoggingLevel,
    /// Where its name stands in the settings document, in bytes.
    pub span: Range<usize>,
}

/// How well an address space fits a domain; greater is more specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Specificity {
    /// `*`.
    All,
    /// `*.suffix`, by the length of the suffix in bytes.
    Suffix(usize),
    /// The domain itself.
    Exact,
}

/// The address spaces of all enabled connectors, ready to be looked up.
#[derive(Clone, Debug, Default)]
pub struct AddressSpaces {
    exact: HashMap<Box<str>, Vec<Way>>,
    suffixes: HashMap<Box<str>, Vec<Way>>,
    all: Vec<Way>,
}

#[derive(Clone, Debug)]
struct Way {
    cost: u32,
    connector: Arc<SendConnector>,
}

impl AddressSpaces {
    /// Builds the table of the enabled ones among `connectors`.
    pub fn new(connectors: &[Arc<SendConnector>]) -> AddressSpaces {
        let mut table = AddressSpaces::default();
        for connector in connectors.iter().filter(|connector| connector.enabled) {
            for address_space in &connector.address_spaces {
                let ways = match &address_space.space {
                    Space::Exact(domain) => table.exact.entry(domain.as_str().into()).or_default(),
                    Space::WithSubdomains(domain) => table.suffixes.entry(domain.as_str().into()).or_default(),
                    Space::All => &mut table.all,
                };
                ways.push(Way { cost: address_space.cost, connector: connector.clone() });
            }
        }
        for ways in table.exact.values_mut().chain(table.suffixes.values_mut()).chain([&mut table.all]) {
            ways.sort_by_cached_key(|way| (way.cost, way.connector.name.to_lowercase()));
        }
        table
    }

    /// The connectors that cover `domain`, best first: most specific space, then lowest cost, then lowest name
    /// (fact sheet section 4.5).
    pub fn candidates<'a>(
        &'a self,
        domain: &'a Domain,
    ) -> impl Iterator<Item = (&'a Arc<SendConnector>, Specificity)> + 'a {
        // An address literal has no parents.
        let parents = suffixes(domain.as_str()).filter(|_| !domain.is_literal());
        let exact = self.exact.get(domain.as_str()).into_iter().flatten().map(|way| (way, Specificity::Exact));
        let below = parents.flat_map(|suffix| {
            let ways = self.suffixes.get(suffix).into_iter().flatten();
            ways.map(move |way| (way, Specificity::Suffix(suffix.len())))
        });
        let all = self.all.iter().map(|way| (way, Specificity::All));
        exact.chain(below).chain(all).map(|(way, specificity)| (&way.connector, specificity))
    }
}
