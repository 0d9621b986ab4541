//! Step 4 of 9 - permit: whom its certificate makes of a peer, and which senders have to prove themselves by one (fact sheet
//! sections 2.4 and 3.8).
//!
//! Takes what is known of a certificate whose key the peer has proven to hold, hands on a principal or the reason why it is
//! none. A bad certificate never ends a session: the peer stays who it was.
//!
//! There are two ways to be somebody. *Direct trust*: the certificate is that of a `[[trusted_server]]`, which makes a server
//! of the organization on connectors with `ExchangeServer`. *Domain security*: a trusted root stands behind the certificate
//! and it was issued for a domain of `tls_receive_domain_secure_list`, which makes a partner on connectors with
//! `domain_secure_enabled`.

use std::sync::Arc;

use gatepost_mail::{Domain, ReversePath};

use crate::access_entry::{Principal, Right};
use crate::certificate::{KnownBy, PeerCertificate, TrustedServer, Untrusted};
use crate::permission::granted_at_worst;
use crate::receive_connector::{Mechanism, ReceiveConnector};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// Who a peer is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// Who.
    pub principal: Principal,
    /// Why.
    pub reason: Reason,
}

/// By what a certificate was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is the very certificate of a trusted server.
    Thumbprint,
    /// It has issuer and subject of a trusted server's, and a trusted root behind it.
    Name,
    /// It was issued for a domain on the list, and has a trusted root behind it.
    Domain,
}

/// In words that go behind "identified by".
impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::Thumbprint => "its certificate, whose thumbprint is that of a trusted server",
            Reason::Name => "its certificate, whose issuer and subject are those of a trusted server",
            Reason::Domain => "its certificate, which is for a domain of tls_receive_domain_secure_list",
        })
    }
}

/// Why a certificate makes nobody of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unidentified {
    /// The connector asks for none.
    #[error("the receive connector takes no certificates")]
    NotAsked,
    /// It proves nothing.
    #[error("the certificate counts for nothing: {0}")]
    Untrusted(Untrusted),
    /// It is that of no trusted server.
    #[error("the certificate is that of no [[trusted_server]]")]
    UnknownServer,
    /// It is that of a trusted server, and that entry has expired.
    #[error("the certificate is that of a [[trusted_server]] that has expired")]
    ServerExpired,
    /// It was issued for no domain on the list.
    #[error("the certificate is for no domain of tls_receive_domain_secure_list")]
    NotListed,
    /// It would make a server, and servers may not submit there: the peer stays anonymous, as with a password that may not.
    #[error("the certificate is that of a trusted server, but servers may not submit on this receive connector")]
    ServersMayNotSubmit,
    /// It would make a partner, and partners may not submit there.
    #[error("the certificate is that of a partner, but partners may not submit on this receive connector")]
    PartnersMayNotSubmit,
}

/// Whether the connector asks peers for a certificate in the handshake.
pub fn asks(connector: &ReceiveConnector, settings: &Settings) -> bool {
    can_use_tls(connector) && (connector.domain_secure_enabled || takes_servers(connector, settings))
}

/// Who the peer is by its certificate. Decided anew after each handshake, under the connector and settings of that session.
///
/// # Errors
/// [`Unidentified`]: the peer stays who it was without the certificate.
pub fn identify(
    connector: &ReceiveConnector,
    settings: &Settings,
    certificate: &PeerCertificate,
    now_ms: u64,
) -> Result<Identified, Unidentified> {
    if !asks(connector, settings) {
        return Err(Unidentified::NotAsked);
    }
    if let Err(fault) = certificate.trust
        && fault.is_of_itself()
    {
        return Err(Unidentified::Untrusted(fault));
    }
    let server = match takes_servers(connector, settings) {
        true => server(connector, settings, certificate, now_ms),
        false => Err(Unidentified::UnknownServer),
    };
    match server {
        Err(Unidentified::UnknownServer) if connector.domain_secure_enabled => {
            partner(connector, settings, certificate, now_ms)
        }
        other => other,
    }
}

/// MAIL: whether the certificate would still make the same of the peer. Trust that ends ends with the message that had begun:
/// a connection that is kept open would outlive it by far. Users and strangers are nobody by a certificate.
pub fn is_still(
    principal: &Principal,
    connector: &ReceiveConnector,
    settings: &Settings,
    certificate: Option<&PeerCertificate>,
    now_ms: u64,
) -> Result<(), Refusal> {
    let (Principal::Server(_) | Principal::Partner(_), Some(certificate)) = (principal, certificate) else {
        return Ok(());
    };
    match identify(connector, settings, certificate, now_ms) {
        Ok(identified) if identified.principal == *principal => Ok(()),
        _ => Err(Refusal::IdentityExpired),
    }
}

/// Every principal that a certificate can make of a peer on this connector, one for each trusted server, one partner with
/// all domains of the list: whoever proves one of them holds the same rights.
pub fn principals(connector: &ReceiveConnector, settings: &Settings, now_ms: u64) -> Vec<Principal> {
    let mut principals = Vec::new();
    if takes_servers(connector, settings) && can_use_tls(connector) {
        let in_force = settings.trusted_servers.iter().filter(|server| !is_expired(server, now_ms));
        principals.extend(in_force.map(|server| Principal::Server(server.name.clone())));
    }
    let listed = &settings.transport.tls_receive_domain_secure_list;
    if connector.domain_secure_enabled && can_use_tls(connector) && !listed.is_empty() {
        principals.push(Principal::Partner(listed.clone()));
    }
    principals.retain(|principal| may_ever_submit(connector, principal, now_ms));
    principals
}

/// MAIL: on a connector with domain security, a sender of a domain on the list has to come from somebody whom a logon or a
/// certificate has identified. The header is not looked at: what mailing lists pass on has such authors.
pub fn sender_is_proven(
    connector: &ReceiveConnector,
    settings: &Settings,
    principal: &Principal,
    reverse_path: &ReversePath,
) -> Result<(), Refusal> {
    if !connector.domain_secure_enabled || !principal.is_anonymous() {
        return Ok(());
    }
    let listed = &settings.transport.tls_receive_domain_secure_list;
    match reverse_path.mailbox() {
        Some(sender) if listed.contains(sender.domain()) => Err(Refusal::SenderDomainNotSecured),
        _ => Ok(()),
    }
}

fn can_use_tls(connector: &ReceiveConnector) -> bool {
    connector.auth_mechanism.contains(Mechanism::Tls)
        && !connector.auth_mechanism.contains(Mechanism::ExternalAuthoritative)
}

fn takes_servers(connector: &ReceiveConnector, settings: &Settings) -> bool {
    connector.auth_mechanism.contains(Mechanism::ExchangeServer) && !settings.trusted_servers.is_empty()
}

fn server(
    connector: &ReceiveConnector,
    settings: &Settings,
    certificate: &PeerCertificate,
    now_ms: u64,
) -> Result<Identified, Unidentified> {
    let mut why_not = Unidentified::UnknownServer;
    for known in &settings.trusted_servers {
        let reason = match &known.known_by {
            KnownBy::Thumbprint(thumbprint) if *thumbprint == certificate.thumbprint => Reason::Thumbprint,
            KnownBy::Name(name) if certificate.name.as_ref().is_some_and(|own| own.is_same(name)) => Reason::Name,
            KnownBy::Thumbprint(_) | KnownBy::Name(_) => continue,
        };
        let principal = Principal::Server(known.name.clone());
        why_not = match certificate.trust {
            _ if is_expired(known, now_ms) => Unidentified::ServerExpired,
            // Anybody can write these names into a certificate: only an issuer that is trusted makes them count.
            Err(fault) if reason == Reason::Name => Unidentified::Untrusted(fault),
            _ if !may_ever_submit(connector, &principal, now_ms) => Unidentified::ServersMayNotSubmit,
            _ => return Ok(Identified { principal, reason }),
        };
    }
    Err(why_not)
}

fn partner(
    connector: &ReceiveConnector,
    settings: &Settings,
    certificate: &PeerCertificate,
    now_ms: u64,
) -> Result<Identified, Unidentified> {
    certificate.trust.map_err(Unidentified::Untrusted)?;
    let listed = settings.transport.tls_receive_domain_secure_list.iter();
    let proven: Arc<[Domain]> = listed.filter(|domain| certificate.domains.contains(domain)).cloned().collect();
    if proven.is_empty() {
        return Err(Unidentified::NotListed);
    }
    let principal = Principal::Partner(proven);
    match may_ever_submit(connector, &principal, now_ms) {
        true => Ok(Identified { principal, reason: Reason::Domain }),
        false => Err(Unidentified::PartnersMayNotSubmit),
    }
}

fn is_expired(server: &TrustedServer, now_ms: u64) -> bool {
    server.note.as_ref().is_some_and(|note| note.is_expired(now_ms))
}

fn may_ever_submit(connector: &ReceiveConnector, principal: &Principal, now_ms: u64) -> bool {
    granted_at_worst(connector, principal, now_ms).contains(Right::Submit)
}
