//! Finds somebody to talk to: the addresses of a next hop, one after the other, until one answers.
//!
//! Takes a next hop, hands on an open connection, or why there is none in the words that senders are told.

use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::Reply;
use gatepost_policy::exchangers;
use gatepost_policy::route::NextHop;
use gatepost_policy::send_connector::SendConnector;
use gatepost_smtp::TlsWish;

use super::connection::{Connection, OpenError};
use crate::clock;
use crate::dns::Target;
use crate::state::{Revision, Running};

/// Limit for opening a TCP connection.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// Where there are other addresses, they are tried after this time.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Of the silent ones, so many get the whole time in the end.
const SECOND_TRIES_MAX: usize = 2;

/// Why there is no connection to a target.
#[derive(Debug)]
struct ConnectError {
    /// What the peer said, or what we say in its place.
    reply: Reply,
    /// Nobody said anything.
    is_silent: bool,
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
    let targets = targets(running, revision, connector, next_hop).await?;
    first_of(running, revision, connector, next_hop, &targets).await
}

/// Looks a next hop up. Whoever took no connection lately comes last.
///
/// # Errors
/// [`NoConnection`], when there is nobody.
pub async fn targets(
    running: &Running,
    revision: &Revision,
    connector: &SendConnector,
    next_hop: &NextHop,
) -> Result<Vec<Target>, NoConnection> {
    let mut targets = revision.dns.targets(next_hop, connector).await.map_err(|error| {
        if error.reply.code >= 500 {
            NoConnection::NoSuchNextHop(error.reply)
        } else {
            NoConnection::Unreachable(error.reply)
        }
    })?;
    let now = clock::now();
    exchangers::by_standing(&mut targets, |address| running.hosts.standing(address, now));
    Ok(targets)
}

/// Connects to the first of `targets` that answers. One that is silent is left for the next
/// soon, and gets its time when no other has answered: a dead address costs seconds where there are others.
///
/// # Errors
/// [`NoConnection`], when none does.
pub async fn first_of(
    running: &Arc<Running>,
    revision: &Revision,
    connector: &SendConnector,
    next_hop: &NextHop,
    targets: &[Target],
) -> Result<Connection, NoConnection> {
    let is_alone = targets.len() == 1;
    let mut last_reply = Reply::new(451, (4, 4, 1), "The next hop has no address");
    let mut silent = Vec::new();
    for target in targets {
        let patience = if is_alone { CONNECT_MAX } else { SILENCE_MAX };
        match try_target(running, revision, connector, next_hop, target, patience).await {
            Ok(connection) => return Ok(connection),
            Err(ConnectError { reply, .. }) if reply.code >= 500 && reply.status == exchangers::LOOPS_BACK.status => {
                return Err(NoConnection::NoSuchNextHop(reply));
            }
            Err(error) => {
                if error.is_silent && !is_alone {
                    silent.push(target);
                }
                last_reply = error.reply;
            }
        }
    }
    for target in silent.into_iter().take(SECOND_TRIES_MAX) {
        match try_target(running, revision, connector, next_hop, target, CONNECT_MAX).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last_reply = error.reply,
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

/// Opens a connection to `target` and remembers what came of it.
async fn try_target(
    running: &Arc<Running>,
    revision: &Revision,
    connector: &SendConnector,
    next_hop: &NextHop,
    target: &Target,
    patience: Duration,
) -> Result<Connection, ConnectError> {
    match open(running, revision, connector, target, patience).await {
        // Whoever has our name is us, behind another address, or somebody who sends it back (RFC 5321 section 5.1). A smart
        // host may be called what the administrator likes.
        Ok(connection) if matches!(next_hop, NextHop::Domain(_)) && is_ourselves(revision, &connection) => {
            tracing::warn!(
                next_hop = %next_hop, address = %target.address, host = target.name, name = connection.peer_name(),
                verdict = "loops", "the host says that it is this server"
            );
            connection.quit().await;
            Err(ConnectError { reply: exchangers::LOOPS_BACK, is_silent: false })
        }
        Ok(connection) => {
            running.hosts.is_up(target.address);
            tracing::debug!(next_hop = %next_hop, address = %target.address, host = target.name, "connected");
            Ok(connection)
        }
        Err(error) => {
            // A socket of this machine has no address by which it would be known again.
            if target.path.is_none() {
                running.hosts.went_down(target.address, clock::now());
            }
            tracing::info!(
                next_hop = %next_hop, address = %target.address, host = target.name, reply = %error.reply,
                verdict = "unreachable", "no connection"
            );
            Err(error)
        }
    }
}

/// Whether the peer calls itself as this server is called. A name without a dot many have.
fn is_ourselves(revision: &Revision, connection: &Connection) -> bool {
    let name = connection.peer_name();
    name.contains('.') && name.eq_ignore_ascii_case(revision.settings.server.name.as_str())
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
    patience: Duration,
) -> Result<Connection, ConnectError> {
    let wish = match (connector.require_tls, connector.ignore_starttls) {
        (true, _) => TlsWish::Required,
        (false, true) => TlsWish::Never,
        (false, false) if target.path.is_some() => TlsWish::Never,
        (false, false) => TlsWish::Opportunistic,
    };
    let tls = revision.tls.client(connector).unwrap_or(&running.client_tls);
    match Connection::open(running, tls, connector, target, wish, patience).await {
        Err(OpenError::Handshake(error)) if wish == TlsWish::Opportunistic => {
            tracing::info!(next_hop = %target.address, host = target.name, %error, "TLS failed; trying in clear");
            Connection::open(running, tls, connector, target, TlsWish::Never, patience)
                .await
                .map_err(OpenError::into_connect_error)
        }
        other => other.map_err(OpenError::into_connect_error),
    }
}

impl OpenError {
    fn into_connect_error(self) -> ConnectError {
        match self {
            OpenError::Reply(reply) => ConnectError { reply, is_silent: false },
            OpenError::Silent(reply) => ConnectError { reply, is_silent: true },
            OpenError::Handshake(error) => {
                let text = format!("TLS could not be negotiated: {error}");
                ConnectError { reply: Reply::new(451, (4, 7, 5), "").with_text(text), is_silent: false }
            }
        }
    }
}
