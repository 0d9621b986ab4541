//! Finds somebody to talk to: the addresses of a next hop, one after the other, until one answers.
//!
//! Takes a next hop, hands on an open connection, or why there is none in the words that senders are told.

use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::Reply;
use gatepost_policy::exchangers;
use gatepost_policy::next_hop_certificate::{self, Demand};
use gatepost_policy::route::NextHop;
use gatepost_policy::send_connector::SendConnector;
use gatepost_smtp::LogonMechanism;

use super::account::Account;
use super::connection::Connection;
use super::open::{ConnectError, open};
use crate::clock;
use crate::dns::Target;
use crate::state::{Revision, Running};

/// Limit for opening a TCP connection.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// Where there are other addresses, they are tried after this time.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Of the silent ones, so many get the whole time in the end.
const SECOND_TRIES_MAX: usize = 2;

/// Why there is no connection, in the words that senders are told.
pub enum NoConnection {
    /// There is nobody to connect to, and there will not be.
    NoSuchNextHop(Reply),
    /// Not now.
    Unreachable(Reply),
    /// It does not let us in, and will not before an administrator has seen to it.
    LogonRefused(Reply),
}

impl NoConnection {
    /// The words.
    pub fn reply(&self) -> &Reply {
        match self {
            NoConnection::NoSuchNextHop(reply)
            | NoConnection::Unreachable(reply)
            | NoConnection::LogonRefused(reply) => reply,
        }
    }
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

/// What is demanded of whoever answers. Smart hosts are the same for all who have the connector.
pub fn demand(revision: &Revision, connector: &SendConnector, next_hop: &NextHop) -> Demand {
    next_hop_certificate::demand(connector, next_hop, None, &revision.settings.transport.tls_send_domain_secure_list)
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
    let demand = demand(revision, connector, next_hop);
    exchangers::by_standing(&mut targets, |address| running.hosts.standing(address, &demand, now));
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
            // The others know the same users: more attempts would lock the account sooner.
            Err(ConnectError { reply, is_logon_refused: true, .. }) => return Err(NoConnection::LogonRefused(reply)),
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
    let account = Account::begin(running, connector, next_hop);
    let mut opened = open(running, revision, connector, (next_hop, target), patience).await;
    match &mut opened {
        Ok(connection) => connection.account = Some(account),
        Err(error) => account.failed(target, &error.reply),
    }
    match opened {
        // Whoever has our name is us, behind another address, or somebody who sends it back (RFC 5321 section 5.1). A smart
        // host may be called what the administrator likes.
        Ok(connection) if matches!(next_hop, NextHop::Domain(_)) && is_ourselves(revision, &connection) => {
            tracing::warn!(
                next_hop = %next_hop, address = %target.address, host = target.name, name = connection.peer_name(),
                verdict = "loops", "the host says that it is this server"
            );
            connection.quit().await;
            Err(ConnectError::of(exchangers::LOOPS_BACK))
        }
        Ok(connection) => {
            running.hosts.is_up_for(target.address, &demand(revision, connector, next_hop));
            let (security, logon) = (&connection.security, connection.logged_on());
            tracing::debug!(
                next_hop = %next_hop, address = %target.address, host = target.name,
                tls = security.as_ref().map(|tls| tls.version), cipher = security.as_ref().map(|tls| tls.cipher),
                proof = security.as_ref().map(|tls| tls.proof.to_string()), logon = logon.map(LogonMechanism::as_str),
                "connected"
            );
            Ok(connection)
        }
        Err(error) => {
            // A socket of this machine has no address by which it would be known again.
            if target.path.is_none() && !error.is_logon_refused {
                match error.is_about_demand {
                    true => {
                        let demand = demand(revision, connector, next_hop);
                        running.hosts.has_not_proven(target.address, &demand, clock::now());
                    }
                    false => running.hosts.went_down(target.address, clock::now()),
                }
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
    name.contains('.') && revision.dns.is_own_name(name)
}
