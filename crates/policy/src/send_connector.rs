//! Send connectors: the ways out (fact sheet section 4.4), and the table that finds those for a domain.
//!
//! Takes domains, hands on candidate connectors, most specific address space first. Which one is taken, `route` decides.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::Domain;

use crate::accepted_domain::suffixes;
use crate::certificate::CertificateName;
use crate::exchangers::AddressScope;
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
    /// The network vouches for them: nothing is said either, but they are externally secured servers.
    ExternalAuthoritative,
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
    /// At least one.
    pub address_spaces: Vec<AddressSpace>,
    /// Empty exactly where `dns_routing_enabled`.
    pub smart_hosts: Arc<[SmartHost]>,
    /// Whether the recipient domain's MX records say where to go.
    pub dns_routing_enabled: bool,
    /// Which addresses MX records may lead to.
    pub mx_address_scope: AddressScope,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// The EHLO name.
    pub fqdn: Domain,
    /// Whether delivery without TLS is out of the question.
    pub require_tls: bool,
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
    /// Whom its smart hosts are taken for.
    pub smart_host_auth_mechanism: SmartHostAuthMechanism,
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
