//! Step 8 of 9 - deliver: what a next hop has to prove by its certificate before it gets anything, and whether it does
//! (fact sheet sections 3.8 and 4.4; names as in RFC 6125 section 6).
//!
//! Takes a connector and where it leads, then what is known of the certificate that was shown; hands on what was proven, or
//! what is wrong. Nothing is decided by what an unsafe look-up says: a smart host has to prove the name that the
//! administrator wrote, not the one that an MX record led to.

use std::fmt;
use std::net::IpAddr;

use gatepost_mail::Domain;

use crate::certificate::{Thumbprint, Untrusted};
use crate::route::{Host, NextHop};
use crate::send_connector::{SendConnector, SmartHostAuthMechanism, TlsAuthLevel, TlsDomain};

/// What a next hop has to prove; each asks for all that stands before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Demand {
    /// Nothing: TLS where it is offered, and mail in clear where it is not.
    Nothing,
    /// That it speaks TLS.
    Encryption,
    /// That its certificate is sound and comes from a trusted root.
    Certificate,
    /// And that the certificate is for this name.
    Name(Wanted),
}

impl Demand {
    /// Whether nothing goes out in clear.
    pub fn needs_tls(&self) -> bool {
        *self != Demand::Nothing
    }

    /// Whether a certificate has to be measured by trusted roots.
    pub fn needs_roots(&self) -> bool {
        matches!(self, Demand::Certificate | Demand::Name(_))
    }
}

/// The name that a certificate has to be for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// This host.
    Host(Domain),
    /// This domain, or any host below it.
    Below(Domain),
    /// This address.
    Address(IpAddr),
}

/// As an administrator would write it.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Host(host) => host.fmt(f),
            Wanted::Below(domain) => write!(f, "*.{domain}"),
            Wanted::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What is known of the certificate that a next hop has shown, whose key it was proven to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopCertificate {
    /// Which one it is.
    pub thumbprint: Thumbprint,
    /// The host names that it is for, wildcards among them.
    pub hosts: Vec<Box<str>>,
    /// The addresses that it is for, of those that were asked about.
    pub addresses: Vec<IpAddr>,
    /// Whether a chain leads from it to a trusted root, at the time of the handshake.
    pub trust: Result<(), Untrusted>,
}

/// How sure we are of whom we speak to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: in clear.
    #[default]
    Clear,
    /// Nobody listens; who it is, was not asked.
    Encrypted,
    /// A trusted root stands behind its certificate.
    Certificate,
    /// And it is for this name.
    Name(Wanted),
}

/// In words for logs and transcripts.
impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proof::Clear => f.write_str("in clear"),
            Proof::Encrypted => f.write_str("encrypted, certificate not checked"),
            Proof::Certificate => f.write_str("certificate verified"),
            Proof::Name(wanted) => write!(f, "certificate verified for {wanted}"),
        }
    }
}

/// What is wrong with the certificate of a next hop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It has shown none, or one that says nothing.
    #[error("it has shown no certificate")]
    Missing,
    /// It proves nothing.
    #[error("its certificate cannot be trusted: {0}")]
    Untrusted(Untrusted),
    /// It is for somebody else.
    #[error("its certificate is not for {wanted} but for {}", list(hosts))]
    WrongName {
        /// For whom it has to be.
        wanted: Wanted,
        /// For whom it is.
        hosts: Vec<Box<str>>,
    },
}

/// What the next hops of `connector` have to prove. `smart_host` is the one that was dialled, as the administrator wrote
/// it; `secure_domains` is `tls_send_domain_secure_list`.
pub fn demand(
    connector: &SendConnector,
    next_hop: &NextHop,
    smart_host: Option<&Host>,
    secure_domains: &[Domain],
) -> Demand {
    let domain = match next_hop {
        NextHop::Domain(domain) => Some(domain),
        _ => None,
    };
    let own_name = || match (smart_host, domain) {
        (Some(Host::Name(name)), _) => Some(Wanted::Host(name.clone())),
        (Some(Host::Address(address)), _) => Some(Wanted::Address(*address)),
        (None, Some(domain)) => Some(match domain.literal_address() {
            Some(address) => Wanted::Address(address),
            None => Wanted::Host(domain.clone()),
        }),
        (Some(Host::Socket(_)), _) | (None, None) => None,
    };
    let written = connector.tls_domain.as_deref().map(|TlsDomain { domain, with_subdomains }| match with_subdomains {
        true => Wanted::Below(domain.clone()),
        false => Wanted::Host(domain.clone()),
    });
    // Domain security: the partner proves the very domain that is written to.
    if let Some(domain) = domain
        && connector.domain_secure_enabled
        && secure_domains.contains(domain)
    {
        return Demand::Name(Wanted::Host(domain.clone()));
    }
    let named = |wanted: Option<Wanted>| wanted.map_or(Demand::Certificate, Demand::Name);
    if connector.smart_host_auth_mechanism == SmartHostAuthMechanism::BasicAuthRequireTls {
        return named(written.or_else(own_name));
    }
    match connector.tls_auth_level {
        Some(TlsAuthLevel::DomainValidation) => named(written.or_else(own_name)),
        Some(TlsAuthLevel::CertificateValidation) => Demand::Certificate,
        Some(TlsAuthLevel::EncryptionOnly) => Demand::Encryption,
        None if connector.require_tls || connector.implicit_tls => Demand::Encryption,
        None => Demand::Nothing,
    }
}

/// Whether a connector may ever measure a certificate by trusted roots.
pub fn measures_by_roots(connector: &SendConnector) -> bool {
    connector.domain_secure_enabled
        || connector.smart_host_auth_mechanism == SmartHostAuthMechanism::BasicAuthRequireTls
        || connector.tls_auth_level.is_some_and(|level| level != TlsAuthLevel::EncryptionOnly)
}

/// What a next hop has proven after a handshake.
///
/// # Errors
/// [`Doubt`]: it is not to get anything.
pub fn decide(demand: &Demand, certificate: Option<&NextHopCertificate>) -> Result<Proof, Doubt> {
    if !demand.needs_roots() {
        return Ok(Proof::Encrypted);
    }
    let certificate = certificate.ok_or(Doubt::Missing)?;
    certificate.trust.map_err(Doubt::Untrusted)?;
    let Demand::Name(wanted) = demand else { return Ok(Proof::Certificate) };
    let is_for = match wanted {
        Wanted::Address(address) => certificate.addresses.contains(address),
        Wanted::Host(host) => certificate.hosts.iter().any(|shown| is_host(shown, host.as_str())),
        Wanted::Below(domain) => certificate.hosts.iter().any(|shown| is_below(shown, domain.as_str())),
    };
    match is_for {
        true => Ok(Proof::Name(wanted.clone())),
        false => Err(Doubt::WrongName { wanted: wanted.clone(), hosts: certificate.hosts.clone() }),
    }
}

/// A wildcard stands for one label, the first, and only as a whole (RFC 6125 section 6.4.3); one above a top-level domain
/// stands for nothing.
fn is_host(shown: &str, host: &str) -> bool {
    match shown.strip_prefix("*.") {
        Some(parent) => {
            let below = host.split_once('.').map(|(_, below)| below);
            parent.contains('.') && below.is_some_and(|below| below.eq_ignore_ascii_case(parent))
        }
        None => shown.eq_ignore_ascii_case(host),
    }
}

fn is_below(shown: &str, domain: &str) -> bool {
    let shown = shown.strip_prefix("*.").unwrap_or(shown);
    let Some(at) = shown.len().checked_sub(domain.len()) else { return false };
    let (before, end) = match (shown.get(..at), shown.get(at..)) {
        (Some(before), Some(end)) => (before, end),
        _ => return false,
    };
    end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
}

/// The first few names.
fn list(hosts: &[Box<str>]) -> String {
    const SHOWN_MAX: usize = 5;
    match hosts.len() {
        0 => "nobody".to_owned(),
        many if many > SHOWN_MAX => format!("{} and {} more", hosts[..SHOWN_MAX].join(", "), many - SHOWN_MAX),
        _ => hosts.join(", "),
    }
}
