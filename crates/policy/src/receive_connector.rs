//! Receive connectors: who is heard, where, under which rules (fact sheet section 1), and step 2 of 9, selecting one.
//!
//! Hands on the connector of a connection by its two addresses; HELO name, sender, recipient, TLS and credentials never
//! select another.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::Domain;

use crate::access_entry::{AccessEntry, PermissionGroups};
use crate::certificate::CertificateName;
use crate::repair::Wanted;

pub mod selector;
mod segments;
mod claim;
pub mod remote_range;

pub(crate) use claim::{Claim, Term};
pub(crate) use remote_range::number;
pub use remote_range::{RangeError, RemoteRange};
pub(crate) use selector::key;
pub use selector::{Segment, Selector, TimedSegment, select};

/// One flag of `auth_mechanism` (fact sheet section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mechanism {
    /// Offer STARTTLS.
    Tls,
    /// Integrated Windows authentication; read, never offered: it needs a Windows domain.
    Integrated,
    /// AUTH LOGIN and PLAIN.
    BasicAuth,
    /// Those only inside TLS.
    BasicAuthRequireTls,
    /// Exchange server authentication: by the certificate of a `[[trusted_server]]`.
    ExchangeServer,
    /// Externally secured: the network is trusted, nobody authenticates.
    ExternalAuthoritative,
}

impl Mechanism {
    /// Every flag, in Exchange's order.
    pub const ALL: [Mechanism; 6] = [
        Mechanism::Tls,
        Mechanism::Integrated,
        Mechanism::BasicAuth,
        Mechanism::BasicAuthRequireTls,
        Mechanism::ExchangeServer,
        Mechanism::ExternalAuthoritative,
    ];

    /// The name as Exchange spells it.
    pub const fn exchange_name(self) -> &'static str {
        match self {
            Mechanism::Tls => "Tls",
            Mechanism::Integrated => "Integrated",
            Mechanism::BasicAuth => "BasicAuth",
            Mechanism::BasicAuthRequireTls => "BasicAuthRequireTLS",
            Mechanism::ExchangeServer => "ExchangeServer",
            Mechanism::ExternalAuthoritative => "ExternalAuthoritative",
        }
    }
}

/// A set of mechanisms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthMechanism(u8);

impl AuthMechanism {
    /// No mechanism: neither STARTTLS nor AUTH.
    pub const NONE: AuthMechanism = AuthMechanism(0);

    /// The set of `mechanisms`.
    pub const fn of(mechanisms: &[Mechanism]) -> AuthMechanism {
        let mut bits = 0;
        let mut i = 0;
        while i < mechanisms.len() {
            bits |= 1 << mechanisms[i] as u8;
            i += 1;
        }
        AuthMechanism(bits)
    }

    /// Whether `mechanism` is in the set.
    pub const fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & (1 << mechanism as u8) != 0
    }

    /// Adds a mechanism.
    pub fn insert(&mut self, mechanism: Mechanism) {
        self.0 |= 1 << mechanism as u8;
    }

    /// The mechanisms of the set, in Exchange's order.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |mechanism| self.contains(*mechanism))
    }
}

/// As Exchange lists flags: `Tls, BasicAuth`, or `None`.
impl fmt::Display for AuthMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == AuthMechanism::NONE {
            return f.write_str("None");
        }
        for (i, mechanism) in self.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(mechanism.exchange_name())?;
        }
        Ok(())
    }
}

/// How EHLO shows SIZE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SizeEnabled {
    /// `SIZE n`.
    #[default]
    Enabled,
    /// Not at all.
    Disabled,
    /// `SIZE`.
    EnabledWithoutValue,
}

/// Whether the dialogue is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProtocolLoggingLevel {
    /// No.
    #[default]
    None,
    /// Yes, without credentials and content.
    Verbose,
}

/// Whose messages `message_rate_limit` counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MessageRateSource {
    /// Nobody's: there is no limit.
    None,
    /// Those of a user; of a sender address where nobody logged on.
    User,
    /// Those from an address.
    #[default]
    IpAddress,
    /// Both, each for itself.
    All,
}

/// A local address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The unspecified address stands for all of its family; never an IPv4-mapped one.
    pub address: SocketAddr,
    /// Where it stands in the settings document, in bytes.
    pub span: Range<usize>,
}

/// Why somebody took it upon themselves to open a connector to strangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRisk {
    /// In their words: one line, never empty.
    pub reason: Box<str>,
    /// Where it stands in the settings document, in bytes.
    pub span: Range<usize>,
}

/// One `[[receive_connector]]` (fact sheet section 1.2). Sizes and counts of bytes are in bytes; `None` is unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveConnector {
    /// Unique among receive connectors, case ignored; 1 to 64 characters.
    pub name: Arc<str>,
    /// For people.
    pub comment: String,
    /// A disabled connector is not a candidate.
    pub enabled: bool,
    /// Stands in the banner, the EHLO reply and the Received field.
    pub fqdn: Domain,
    /// The whole greeting, starting with `220`, instead of ours.
    pub banner: Option<String>,
    /// At least one.
    pub bindings: Vec<Binding>,
    /// TLS from the first byte (port 465).
    pub implicit_tls: bool,
    /// At least one.
    pub remote_ip_ranges: Vec<RemoteRange>,
    /// What peers may do to say who they are.
    pub auth_mechanism: AuthMechanism,
    /// The ticked groups; what they grant is in `entries`.
    pub permission_groups: PermissionGroups,
    /// The entries of the groups, then the extra ones.
    pub entries: Vec<AccessEntry>,
    /// 65,536 to 2,147,483,647; see `limits::message_size`.
    pub max_message_size: u64,
    /// How EHLO shows SIZE.
    pub size_enabled: SizeEnabled,
    /// 1 to 2,147,483,647; the header scanner counts.
    pub max_header_size: u64,
    /// 1 to 500 Received fields; see `limits::hops`.
    pub max_hop_count: u32,
    /// 0 to 50 Received fields of this server; 0 switches it off.
    pub max_local_hop_count: u32,
    /// 1 to 512,000; see `limits::recipients`.
    pub max_recipients_per_message: u32,
    /// At least 1; see `limits::connections`.
    pub max_inbound_connection: Option<u32>,
    /// 1 to 10,000 from one address.
    pub max_inbound_connection_per_source: Option<u32>,
    /// 1 to 100, of the connections that are left.
    pub max_inbound_connection_percentage_per_source: u32,
    /// Messages a minute, at least 1; see `limits::message_rate`.
    pub message_rate_limit: Option<u32>,
    /// Whose messages it counts together.
    pub message_rate_source: MessageRateSource,
    /// The dialogue counts them.
    pub max_protocol_errors: Option<u32>,
    /// 0 to 10; 0 switches it off.
    pub max_logon_failures: u32,
    /// From accept to the end, whatever happens; 1 second to 1 day, longer than the next.
    pub connection_timeout: Duration,
    /// How long a silent peer is waited for; 1 second to 1 day.
    pub connection_inactivity_timeout: Duration,
    /// How long a negative reply to an anonymous peer is held back; up to 10 minutes; see `limits::tarpit`.
    pub tarpit_interval: Duration,
    /// How long the reply to a failed logon is held back; up to 10 minutes.
    pub auth_tarpit_interval: Duration,
    /// Whether the dialogue is recorded.
    pub protocol_logging_level: ProtocolLoggingLevel,
    /// EHLO shows PIPELINING.
    pub pipelining_enabled: bool,
    /// EHLO shows 8BITMIME.
    pub eight_bit_mime_enabled: bool,
    /// EHLO shows BINARYMIME; only with `chunking_enabled`.
    pub binary_mime_enabled: bool,
    /// EHLO shows CHUNKING.
    pub chunking_enabled: bool,
    /// EHLO shows DSN.
    pub delivery_status_notification_enabled: bool,
    /// EHLO shows ENHANCEDSTATUSCODES, and replies carry them.
    pub enhanced_status_codes_enabled: bool,
    /// EHLO shows SMTPUTF8.
    pub smtp_utf8_enabled: bool,
    /// EHLO shows XLONGADDR, and addresses may have 1,860 bytes instead of 571.
    pub long_addresses_enabled: bool,
    /// Whether content with a bare line feed is refused.
    pub bare_linefeed_rejection_enabled: bool,
    /// Whether MAIL needs TLS; only with `Tls` in `auth_mechanism`.
    pub require_tls: bool,
    /// Whether peers are asked for a certificate, which can make a partner of them; see `peer_certificate`.
    pub domain_secure_enabled: bool,
    /// The certificate that is shown to peers; without it, one that has the name `fqdn`, or the first.
    pub tls_certificate_name: Option<Box<CertificateName>>,
    /// Whether EHLO and HELO need a domain.
    pub require_ehlo_domain: bool,
    /// Whether recipients below `.test`, `.example`, `.invalid` and `.localhost` are refused; see `reserved_domain`.
    pub reject_reserved_top_level_recipient_domains: bool,
    /// Whether recipients in `example.com`, `example.net` and `example.org` are refused.
    pub reject_reserved_second_level_recipient_domains: bool,
    /// Whether recipients in a domain without a dot are refused.
    pub reject_single_label_recipient_domains: bool,
    /// Given to addresses without a domain; an accepted domain.
    pub default_domain: Option<Domain>,
    /// What is put right in messages that come in here; see `repair`.
    pub repair: Wanted,
    /// Why public addresses may relay or count as internal here without logging on; see `safeguard`.
    pub accept_risk: Option<Box<AcceptedRisk>>,
    /// Where its name stands in the settings document, in bytes.
    pub span: Range<usize>,
}

impl ReceiveConnector {
    /// Whether `other` hears the same peers at the same places and gives them the same rights for the same time. Errs on
    /// the side of no. A new field has its say here: it is ignored where it can neither select a connector nor give or
    /// take a right.
    pub(crate) fn exposes_the_same_as(&self, other: &ReceiveConnector) -> bool {
        let ReceiveConnector {
            enabled,
            bindings,
            implicit_tls,
            remote_ip_ranges,
            auth_mechanism,
            entries,
            require_tls,
            domain_secure_enabled,
            name: _,
            comment: _,
            fqdn: _,
            banner: _,
            permission_groups: _,
            max_message_size: _,
            size_enabled: _,
            max_header_size: _,
            max_hop_count: _,
            max_local_hop_count: _,
            max_recipients_per_message: _,
            max_inbound_connection: _,
            max_inbound_connection_per_source: _,
            max_inbound_connection_percentage_per_source: _,
            message_rate_limit: _,
            message_rate_source: _,
            max_protocol_errors: _,
            max_logon_failures: _,
            connection_timeout: _,
            connection_inactivity_timeout: _,
            tarpit_interval: _,
            auth_tarpit_interval: _,
            protocol_logging_level: _,
            pipelining_enabled: _,
            eight_bit_mime_enabled: _,
            binary_mime_enabled: _,
            chunking_enabled: _,
            delivery_status_notification_enabled: _,
            enhanced_status_codes_enabled: _,
            smtp_utf8_enabled: _,
            long_addresses_enabled: _,
            bare_linefeed_rejection_enabled: _,
            tls_certificate_name: _,
            require_ehlo_domain: _,
            reject_reserved_top_level_recipient_domains: _,
            reject_reserved_second_level_recipient_domains: _,
            reject_single_label_recipient_domains: _,
            default_domain: _,
            repair: _,
            accept_risk: _,
            span: _,
        } = self;
        let is_same_range = |(one, other): (&RemoteRange, &RemoteRange)| {
            (one.first, one.last, one.expires_ms()) == (other.first, other.last, other.expires_ms())
        };
        let is_same_entry = |(one, other): (&AccessEntry, &AccessEntry)| {
            let AccessEntry { trustee, access, rights, condition, note, source: _, span: _ } = one;
            (trustee, access, rights, condition, note)
                == (&other.trustee, &other.access, &other.rights, &other.condition, &other.note)
        };
        (*enabled, *implicit_tls, *auth_mechanism, *require_tls, *domain_secure_enabled)
            == (other.enabled, other.implicit_tls, other.auth_mechanism, other.require_tls, other.domain_secure_enabled)
            && bindings.iter().map(|binding| binding.address).eq(other.bindings.iter().map(|binding| binding.address))
            && remote_ip_ranges.len() == other.remote_ip_ranges.len()
            && remote_ip_ranges.iter().zip(&other.remote_ip_ranges).all(is_same_range)
            && entries.len() == other.entries.len()
            && entries.iter().zip(&other.entries).all(is_same_entry)
    }
}

/// A socket to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// IPv6 sockets are to be V6ONLY.
    pub address: SocketAddr,
    /// TLS from the first byte.
    pub implicit_tls: bool,
}

/// The sockets that the enabled ones among `connectors` need, each once, in order. A specific address needs none where
/// the wildcard of its family and port has one: both cannot be bound, and selection goes by the accepted socket's
/// local address anyway.
pub fn listeners(connectors: &[Arc<ReceiveConnector>]) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = connectors
        .iter()
        .filter(|connector| connector.enabled)
        .flat_map(|connector| {
            connector
                .bindings
                .iter()
                .map(|binding| Listener { address: binding.address, implicit_tls: connector.implicit_tls })
        })
        .collect();
    // Wildcards stand first within their port and family.
    let order = |listener: &Listener| {
        let ip = listener.address.ip();
        (listener.address.port(), ip.is_ipv6(), !ip.is_unspecified(), ip)
    };
    listeners.sort_by_key(order);
    let mut needed: Vec<Listener> = Vec::new();
    let mut wildcard: Option<SocketAddr> = None;
    for listener in listeners {
        let address = listener.address;
        let covered = wildcard
            .is_some_and(|wildcard| wildcard.port() == address.port() && wildcard.is_ipv4() == address.is_ipv4());
        if covered || needed.last().is_some_and(|last| last.address == address) {
            continue;
        }
        if address.ip().is_unspecified() {
            wildcard = Some(address);
        }
        needed.push(listener);
    }
    needed
}

/// The wildcard address of the family of `address`.
pub(crate) fn wildcard_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}
