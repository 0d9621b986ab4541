//! Send connectors: the ways out (fact sheet section 4.4), and the table that finds those for a domain.
//!
//! Takes domains and who brought a message, hands on candidate connectors, most specific address space first. Which one
//! is taken, `route` decides.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Domain, Envelope};

use crate::accepted_domain::{AcceptedDomain, suffixes};
use crate::certificate::CertificateName;
use crate::error_policy::ErrorPolicies;
use crate::exchangers::AddressScope;
use crate::logon::Logon;
use crate::masquerade::Masquerade;
pub use crate::receive_connector::ProtocolLoggingLevel;
use crate::retry::Overrides;
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
    /// `--`: each accepted domain, as it was declared.
    AcceptedDomains,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Space::Exact(domain) => write!(f, "{domain}"),
            Space::WithSubdomains(domain) => write!(f, "*.{domain}"),
            Space::All => f.write_str("*"),
            Space::AcceptedDomains => f.write_str("--"),
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

/// Who brought a message, as far as it chooses the way out. Messages that we made ourselves have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailSource<'a> {
    /// Name of the receive connector.
    pub receive_connector: &'a str,
    /// Of the reverse-path; the null reverse-path has none.
    pub sender_domain: Option<&'a Domain>,
}

impl<'a> MailSource<'a> {
    /// That of an accepted message.
    pub fn of(envelope: &'a Envelope) -> Option<MailSource<'a>> {
        envelope.arrival.peer?;
        let sender_domain = envelope.reverse_path.mailbox().map(|sender| sender.domain());
        Some(MailSource { receive_connector: &envelope.arrival.connector, sender_domain })
    }
}

/// Whose mail a connector is for; where a list is empty it asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Names of receive connectors, as those are declared.
    pub receive_connectors: Vec<Arc<str>>,
    /// Domains of the reverse-path.
    pub sender_domains: Vec<Space>,
}

/// How closely a connector asks for a source; greater is closer. By a receive connector is closer than by a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closeness {
    /// Whether it asks for the receive connector.
    pub receive_connector: bool,
    /// How well the domain fits that it asks for.
    pub sender_domain: Option<Specificity>,
}

impl Sources {
    /// Whether every message is meant.
    pub fn are_all(&self) -> bool {
        self.receive_connectors.is_empty() && self.sender_domains.is_empty()
    }

    /// How closely this asks for a message of `source`; `None`: it does not mean it.
    pub fn closeness(&self, source: Option<MailSource<'_>>) -> Option<Closeness> {
        if self.are_all() {
            return Some(Closeness::default());
        }
        let source = source?;
        let mut closeness = Closeness::default();
        if !self.receive_connectors.is_empty() {
            let mut names = self.receive_connectors.iter();
            closeness.receive_connector = names.any(|name| name.eq_ignore_ascii_case(source.receive_connector));
            if !closeness.receive_connector {
                return None;
            }
        }
        if !self.sender_domains.is_empty() {
            let domain = source.sender_domain?;
            let best = self.sender_domains.iter().filter_map(|space| space.specificity(domain)).max()?;
            closeness.sender_domain = Some(best);
        }
        Some(closeness)
    }
}

impl Space {
    /// How well this fits a domain; `None`: not at all. Which domains `--` covers is not known here.
    pub fn specificity(&self, domain: &Domain) -> Option<Specificity> {
        match self {
            Space::All => Some(Specificity::All),
            Space::AcceptedDomains => None,
            Space::Exact(own) => (own == domain).then_some(Specificity::Exact),
            Space::WithSubdomains(own) => {
                let mut parents = suffixes(domain.as_str()).filter(|_| !domain.is_literal());
                parents.any(|parent| parent == own.as_str()).then_some(Specificity::Suffix(own.as_str().len()))
            }
        }
    }
}

/// The host part of a smart host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address, written in brackets.
    Address(IpAddr),
    /// A name: its MX records are asked first, then its addresses.
    Name(Domain),
    /// A socket of this machine, by its path; mailbox servers only.
    Socket(Arc<Path>),
}

/// One smart host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SmartHost {
    /// Where.
    pub host: Host,
    /// TCP port; the connector's `port` where the smart host names none.
    pub port: u16,
}

/// `[10.0.0.1]:25`, `relay.example.net:587`, `/run/dovecot/lmtp`.
impl fmt::Display for SmartHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => write!(f, "[{address}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Socket(path) => path.display().fmt(f),
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

impl TlsAuthLevel {
    /// As Exchange calls it.
    pub fn exchange_name(self) -> &'static str {
        match self {
            TlsAuthLevel::EncryptionOnly => "EncryptionOnly",
            TlsAuthLevel::CertificateValidation => "CertificateValidation",
            TlsAuthLevel::DomainValidation => "DomainValidation",
        }
    }
}

/// `contoso.com` or `*.contoso.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsDomain {
    /// The domain.
    pub domain: Domain,
    /// Whether hosts below it count, too.
    pub with_subdomains: bool,
}

impl fmt::Display for TlsDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.with_subdomains { "*." } else { "" }, self.domain)
    }
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

/// What a mailbox server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxProtocol {
    /// RFC 2033: each recipient has its own answer to the content.
    Lmtp,
    /// As a next hop.
    Smtp,
}

/// One `[[send_connector]]`, or the way to a mailbox server.
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
    /// At least one, but for a connector that is linked to a receive connector or stands in for another.
    pub address_spaces: Vec<AddressSpace>,
    /// Whose mail it is for.
    pub sources: Sources,
    /// The receive connector, by its declared name, all of whose mail leaves here.
    pub linked_receive_connector: Option<Arc<str>>,
    /// The connector, by its declared name, that stands in while no next hop of this one can be reached.
    pub fallback_connector: Option<Arc<str>>,
    /// What differs here from the retry settings of `[transport]`.
    pub retry: Overrides,
    /// Set where it leads to a server that holds mailboxes of ours; such a one is no `[[send_connector]]`.
    pub mailbox_protocol: Option<MailboxProtocol>,
    /// Empty exactly where `dns_routing_enabled`.
    pub smart_hosts: Arc<[SmartHost]>,
    /// Which of them is tried first.
    pub smart_hosts_order: SmartHostsOrder,
    /// Whether the recipient domain's MX records say where to go.
    pub dns_routing_enabled: bool,
    /// Whether 8-bit content is converted for next hops that do not offer 8BITMIME.
    pub convert_8bit_mime: bool,
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
    /// Which names of inside are shown by another name there.
    pub masquerade: Option<Arc<Masquerade>>,
    /// Whether the dialogue is recorded.
    pub protocol_logging_level: ProtocolLoggingLevel,
    /// Where its name stands in the settings document, in bytes.
    pub span: Range<usize>,
}

/// Whether both lists say the same, wherever they stand in the settings document.
pub fn are_alike(one: &[Arc<SendConnector>], other: &[Arc<SendConnector>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_like(other))
}

impl SendConnector {
    /// Whether both say the same, wherever they stand in the settings document.
    pub fn is_like(&self, other: &SendConnector) -> bool {
        let nowhere = |connector: &SendConnector| {
            let entries = connector.entries.iter().map(|entry| SendEntry { span: 0..0, ..entry.clone() }).collect();
            SendConnector { span: 0..0, entries, ..connector.clone() }
        };
        // Most are the very same.
        std::ptr::eq(self, other) || self == other || nowhere(self) == nowhere(other)
    }
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
    exact: HashMap<Box<str>, Ways>,
    suffixes: HashMap<Box<str>, Ways>,
    all: Ways,
    /// By the receive connector that they are linked to.
    linked: Vec<(Arc<str>, Arc<SendConnector>)>,
}

/// The ways of one address space, cheapest first.
#[derive(Clone, Debug, Default)]
struct Ways {
    ways: Vec<Way>,
    /// Whether some of them are for some sources only.
    ask_for_sources: bool,
}

#[derive(Clone, Debug)]
struct Way {
    cost: u32,
    connector: Arc<SendConnector>,
}

/// A connector whose address space covers a domain.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Which.
    pub connector: &'a Arc<SendConnector>,
    /// How well its address space fits.
    pub specificity: Specificity,
    /// How closely it asks for the source.
    pub closeness: Closeness,
    /// What the address space costs.
    pub cost: u32,
}

impl AddressSpaces {
    /// Builds the table of the enabled ones among `connectors`.
    pub fn new(connectors: &[Arc<SendConnector>], accepted: &[AcceptedDomain]) -> AddressSpaces {
        let mut table = AddressSpaces::default();
        for connector in connectors.iter().filter(|connector| connector.enabled) {
            for AddressSpace { space, cost } in &connector.address_spaces {
                let way = Way { cost: *cost, connector: connector.clone() };
                match space {
                    Space::Exact(domain) => table.insert(domain, false, way),
                    Space::WithSubdomains(domain) => table.insert(domain, true, way),
                    Space::All => table.all.ways.push(way),
                    Space::AcceptedDomains => {
                        accepted.iter().for_each(|own| table.insert(&own.domain, own.with_subdomains, way.clone()));
                    }
                }
            }
            if let Some(receive) = &connector.linked_receive_connector {
                table.linked.push((receive.clone(), connector.clone()));
            }
        }
        for ways in table.exact.values_mut().chain(table.suffixes.values_mut()).chain([&mut table.all]) {
            ways.ways.sort_by_cached_key(|way| (way.cost, way.connector.name.to_lowercase()));
            ways.ask_for_sources = ways.ways.iter().any(|way| !way.connector.sources.are_all());
        }
        table
    }

    fn insert(&mut self, domain: &Domain, with_subdomains: bool, way: Way) {
        let ways = if with_subdomains { &mut self.suffixes } else { &mut self.exact };
        ways.entry(domain.as_str().into()).or_default().ways.push(way);
    }

    /// The connector that takes everything of this source, wherever it is for.
    pub fn linked(&self, source: Option<MailSource<'_>>) -> Option<&Arc<SendConnector>> {
        // Nearly always there is none.
        let (_, connector) = self
            .linked
            .iter()
            .find(|(receive, _)| source.is_some_and(|source| receive.eq_ignore_ascii_case(source.receive_connector)))?;
        Some(connector)
    }

    /// The connectors that cover `domain` for a message of `source`, best first: most specific space, then closest to
    /// the source, then lowest cost, then lowest name (fact sheet section 4.5).
    pub fn candidates<'a>(
        &'a self,
        domain: &'a Domain,
        source: Option<MailSource<'a>>,
    ) -> impl Iterator<Item = Candidate<'a>> + 'a {
        self.covering(domain).flat_map(move |(ways, specificity)| ways.candidates(specificity, source))
    }

    /// Whether a connector covers `domain`, be it for some sources only.
    pub fn covers(&self, domain: &Domain) -> bool {
        self.covering(domain).any(|(ways, _)| !ways.ways.is_empty())
    }

    fn covering<'a>(&'a self, domain: &'a Domain) -> impl Iterator<Item = (&'a Ways, Specificity)> + 'a {
        // An address literal has no parents.
        let parents = suffixes(domain.as_str()).filter(|_| !domain.is_literal());
        let exact = self.exact.get(domain.as_str()).map(|ways| (ways, Specificity::Exact));
        let below = parents.filter_map(|suffix| Some((self.suffixes.get(suffix)?, Specificity::Suffix(suffix.len()))));
        exact.into_iter().chain(below).chain([(&self.all, Specificity::All)])
    }
}

impl Ways {
    fn candidates<'a>(
        &'a self,
        specificity: Specificity,
        source: Option<MailSource<'a>>,
    ) -> impl Iterator<Item = Candidate<'a>> + 'a {
        let candidate = move |way: &'a Way, closeness| {
            let Way { cost, connector } = way;
            Candidate { connector, specificity, closeness, cost: *cost }
        };
        // Without sources the order is known; an empty list costs nothing.
        let (plain, mut chosen) = match self.ask_for_sources {
            false => (&self.ways[..], Vec::new()),
            true => {
                let meant = self.ways.iter();
                let meant =
                    meant.filter_map(|way| Some(candidate(way, way.connector.sources.closeness(source)?))).collect();
                (&[][..], meant)
            }
        };
        chosen.sort_by_key(|candidate: &Candidate<'_>| std::cmp::Reverse(candidate.closeness));
        plain.iter().map(move |way| candidate(way, Closeness::default())).chain(chosen)
    }
}
