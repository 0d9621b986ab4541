//! Step 4 of 9 - permit: which SASL mechanisms a session is offered, and whether it must start TLS first
//! (fact sheet sections 2.5 and 3.3).
//!
//! Takes a connector and whether TLS is active, hands on what EHLO may show. Never sees a password.

use crate::receive_connector::{Mechanism, ReceiveConnector};
use crate::refusal::Refusal;

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SaslMechanism {
    /// AUTH LOGIN.
    Login,
    /// AUTH PLAIN (RFC 4616).
    Plain,
}

/// The mechanisms to offer, in the order in which EHLO shows them; empty means that there is no AUTH. Basic
/// authentication without TLS is offered only where `BasicAuth` was declared without `BasicAuthRequireTLS`.
pub fn auth_offered(connector: &ReceiveConnector, tls_active: bool) -> &'static [SaslMechanism] {
    let mechanisms = connector.auth_mechanism;
    let basic = mechanisms.contains(Mechanism::BasicAuth)
        && !mechanisms.contains(Mechanism::ExternalAuthoritative)
        && (tls_active || !mechanisms.contains(Mechanism::BasicAuthRequireTls));
    if basic { &[SaslMechanism::Login, SaslMechanism::Plain] } else { &[] }
}

/// Whether STARTTLS is to be offered, given a usable certificate.
pub fn starttls_offered(connector: &ReceiveConnector, tls_active: bool) -> bool {
    !tls_active && connector.auth_mechanism.contains(Mechanism::Tls)
}

/// Whether the session may go on without TLS; asked at MAIL.
pub fn tls_required(connector: &ReceiveConnector, tls_active: bool) -> Result<(), Refusal> {
    if connector.require_tls && !tls_active { Err(Refusal::TlsRequired) } else { Ok(()) }
}
