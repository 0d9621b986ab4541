//! Opens a connection to one target on the terms of its connector: TLS as far as it is wanted, what the next hop has to
//! prove, and the logon.
//!
//! Takes a target, hands on an open connection, or why there is none. `policy::next_hop_certificate` decides whom to believe.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::Reply;
use gatepost_policy::route::NextHop;
use gatepost_policy::send_connector::{SendConnector, SmartHostAuthMechanism};
use gatepost_policy::{logon, next_hop_certificate};
use gatepost_smtp::{Logon, LogonMechanism, NONCE_BYTES, TlsWish};
use rustls::AlertDescription;

use super::connection::{Connection, OpenError, Terms};
use crate::clock::now_ms;
use crate::dns::Target;
use crate::state::{Revision, Running};

/// Why there is no connection to a target.
#[derive(Debug)]
pub(super) struct ConnectError {
    /// What the peer said, or what we say in its place.
    pub reply: Reply,
    /// Nobody said anything.
    pub is_silent: bool,
    /// The peer does not let us in.
    pub is_logon_refused: bool,
    /// It is about what we demand of the peer: whoever demands less may have a connection.
    pub is_about_demand: bool,
}

impl ConnectError {
    /// With this reply alone.
    pub(super) fn of(reply: Reply) -> ConnectError {
        ConnectError { reply, is_silent: false, is_logon_refused: false, is_about_demand: false }
    }
}

/// Opens a connection to `target`. With opportunistic TLS a failed handshake is followed by one attempt in clear, unless a
/// password would be said in it.
///
/// # Errors
/// [`ConnectError`] with a reply for queue listings and reports.
pub(super) async fn open(
    running: &Arc<Running>,
    revision: &Revision,
    connector: &SendConnector,
    (next_hop, target): (&NextHop, &Target),
    patience: Duration,
) -> Result<Connection, ConnectError> {
    let smart_host = match (next_hop, target.smart_host) {
        (NextHop::SmartHosts(hosts), Some(place)) => hosts.get(place).map(|smart_host| &smart_host.host),
        _ => None,
    };
    let secure_domains = &revision.settings.transport.tls_send_domain_secure_list;
    let demand = next_hop_certificate::demand(connector, next_hop, smart_host, secure_domains);
    let mut terms = Terms {
        connector,
        tls: &revision.tls,
        client_tls: revision.tls.client(connector).unwrap_or(&running.client_tls),
        wish: match (demand.needs_tls(), connector.ignore_starttls) {
            (true, _) => TlsWish::Required,
            (false, true) => TlsWish::Never,
            (false, false) if target.path.is_some() => TlsWish::Never,
            (false, false) => TlsWish::Opportunistic,
        },
        demand,
        logon: logon(revision, connector).map_err(ConnectError::of)?,
    };
    let mut opened = Connection::open(running, &terms, target, patience).await;
    if let Err(OpenError::Handshake(error)) = &opened
        && terms.wish == TlsWish::Opportunistic
        && terms.logon.is_none()
    {
        tracing::info!(next_hop = %target.address, host = target.name, %error, "TLS failed; trying in clear");
        terms.wish = TlsWish::Never;
        opened = Connection::open(running, &terms, target, patience).await;
    }
    match &opened {
        Ok(connection) if connection.logged_on().is_some() && running.logon_faults.succeeded(&connector.name) => {
            tracing::info!(connector = &*connector.name, host = target.name, "logged on to the smart host again");
        }
        Err(OpenError::Logon(reply)) => {
            let said = reply.to_string();
            if running.logon_faults.failed(&connector.name, &target.name, &said, now_ms()) {
                tracing::error!(
                    connector = &*connector.name,
                    host = target.name,
                    reply = said,
                    "the smart host does not let us in: mail of this connector waits; check authentication_user and its password"
                );
            }
        }
        _ => {}
    }
    opened.map_err(|error| error.into_connect_error(target))
}

/// Who we are for the smart hosts of `connector`, if we log on to them.
fn logon(revision: &Revision, connector: &SendConnector) -> Result<Option<Logon>, Reply> {
    const NO_PASSWORD: Reply = Reply::new(451, (4, 3, 5), "The password for the smart host is not loaded");
    const NO_RANDOMNESS: Reply = Reply::new(451, (4, 3, 0), "The system gives no randomness");
    let Some(declared) = connector.logon.as_deref() else { return Ok(None) };
    // A queue may be older than the settings in force, and its connector gone from them.
    let password = revision.passwords.of(&connector.name).ok_or(NO_PASSWORD)?;
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| NO_RANDOMNESS)?;
    Ok(Some(Logon {
        user: declared.user.to_string(),
        password: password.to_string(),
        mechanisms: declared.mechanisms.iter().map(|mechanism| of_the_wire(*mechanism)).collect(),
        may_be_in_clear: connector.smart_host_auth_mechanism == SmartHostAuthMechanism::BasicAuth,
        nonce,
    }))
}

fn of_the_wire(mechanism: logon::LogonMechanism) -> LogonMechanism {
    match mechanism {
        logon::LogonMechanism::ScramSha256 => LogonMechanism::ScramSha256,
        logon::LogonMechanism::ScramSha1 => LogonMechanism::ScramSha1,
        logon::LogonMechanism::Plain => LogonMechanism::Plain,
        logon::LogonMechanism::Login => LogonMechanism::Login,
        logon::LogonMechanism::CramMd5 => LogonMechanism::CramMd5,
    }
}

impl OpenError {
    fn into_connect_error(self, target: &Target) -> ConnectError {
        let at = || format!("{} [{}]", target.name, target.address.ip());
        let tls = |what: String| Reply::new(451, (4, 7, 5), "").with_text(format!("TLS with {}: {what}", at()));
        match self {
            OpenError::Reply(reply) => ConnectError::of(reply),
            OpenError::Silent(reply) => ConnectError { is_silent: true, ..ConnectError::of(reply) },
            OpenError::NoTls(reply) => ConnectError { is_about_demand: true, ..ConnectError::of(reply) },
            OpenError::Handshake(error) => {
                let reply = tls(format!("could not be negotiated: {}", handshake_fault(&error)));
                ConnectError { is_about_demand: true, ..ConnectError::of(reply) }
            }
            OpenError::Doubt(doubt) => {
                ConnectError { is_about_demand: true, ..ConnectError::of(tls(doubt.to_string())) }
            }
            OpenError::Logon(reply) => {
                // Whatever is said there is about us and not about a message.
                let is_logon_refused = reply.code >= 500;
                let text = format!("Logon to {} failed: \"{reply}\"", at());
                ConnectError { is_logon_refused, ..ConnectError::of(Reply::new(451, (4, 7, 0), "").with_text(text)) }
            }
        }
    }
}

/// What went wrong in a handshake, in words.
fn handshake_fault(error: &io::Error) -> String {
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match fault {
        Some(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_)) => {
            "it speaks neither TLS 1.2 nor TLS 1.3, or has no cipher in common with us".to_owned()
        }
        Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)) => {
            "it has no cipher in common with us, or wants a certificate of ours (tls_certificate_name)".to_owned()
        }
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown,
        )) => format!("it does not take our certificate (tls_certificate_name): {error}"),
        _ => error.to_string(),
    }
}
