//! Finds somebody to talk to: the addresses of a next hop, one after the other, until one answers.
//!
//! Takes a next hop, hands on an open connection, or why there is none in the words that senders are told.

use std::sync::Arc;

use gatepost_mail::Reply;
use gatepost_policy::route::NextHop;
use gatepost_policy::send_connector::SendConnector;
use gatepost_smtp::TlsWish;

use super::connection::{Connection, OpenError};
use crate::dns::Target;
use crate::state::{Revision, Running};

/// Why there is no connection to a target.
#[derive(Debug)]
struct ConnectError {
    /// What the peer said, or what we say in its place.
    reply: Reply,
}

/// Why there is no connection, in the words that senders are told.
pub enum NoConnection {
    /// There is nobody to connect to, and there will not be.
    NoSuchNextHop(Reply),
    /// Not now.
    Unreachable(Reply),
}

/// Looks the next hop up and connects to the first of its targets that answers.
///
/// # Errors
/// [`NoConnection`], when none does.
pub async fn dial(
    running: &Arc<Running>,
    revision: &Revision,
    connector: &SendConnector,
    next_hop: &NextHop,
) -> Result<Connection, NoConnection> {
    let targets = revision.dns.targets(next_hop, connector).await.map_err(|error| {
        if error.reply.code >= 500 {
            NoConnection::NoSuchNextHop(error.reply)
        } else {
            NoConnection::Unreachable(error.reply)
        }
    })?;
    let mut last_reply = Reply::new(451, (4, 4, 1), "The next hop has no address");
    for target in &targets {
        match open(running, revision, connector, target).await {
            Ok(connection) => {
                tracing::debug!(next_hop = %next_hop, address = %target.address, host = target.name, "connected");
                return Ok(connection);
            }
            Err(error) => {
                tracing::info!(
                    next_hop = %next_hop, address = %target.address, host = target.name, reply = %error.reply,
                    verdict = "unreachable", "no connection"
                );
                last_reply = error.reply;
            }
        }
    }
    if targets.len() > 1 {
        let text = format!(
            "Primary target IP address responded with: \"{last_reply}\". Attempted failover to alternate host, but \
             that did not succeed. Either there are no alternate hosts, or delivery failed to all alternate hosts."
        );
        last_reply = Reply::new(451, (4, 4, 0), "").with_text(text);
    }
    Err(NoConnection::Unreachable(last_reply))
}

/// Opens a connection to `target`. With opportunistic TLS a failed handshake is followed by one attempt in clear.
///
/// # Errors
/// [`ConnectError`] with a reply for queue listings and reports.
async fn open(
    running: &Arc<Running>,
    revision: &Revision,
    connector: &SendConnector,
    target: &Target,
) -> Result<Connection, ConnectError> {
    let wish = match (connector.require_tls, connector.ignore_starttls) {
        (true, _) => TlsWish::Required,
        (false, true) => TlsWish::Never,
        (false, false) if target.path.is_some() => TlsWish::Never,
        (false, false) => TlsWish::Opportunistic,
    };
    let tls = revision.tls.client(connector).unwrap_or(&running.client_tls);
    match Connection::open(running, tls, connector, target, wish).await {
        Err(OpenError::Handshake(error)) if wish == TlsWish::Opportunistic => {
            tracing::info!(next_hop = %target.address, host = target.name, %error, "TLS failed; trying in clear");
            Connection::open(running, tls, connector, target, TlsWish::Never)
                .await
                .map_err(OpenError::into_connect_error)
        }
        other => other.map_err(OpenError::into_connect_error),
    }
}

impl OpenError {
    fn into_connect_error(self) -> ConnectError {
        match self {
            OpenError::Reply(reply) => ConnectError { reply },
            OpenError::Handshake(error) => {
                let text = format!("TLS could not be negotiated: {error}");
                ConnectError { reply: Reply::new(451, (4, 7, 5), "").with_text(text) }
            }
        }
    }
}
