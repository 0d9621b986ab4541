//! Step 7 of 9 - route: where a recipient's copy goes (fact sheet section 4.5).
//!
//! Takes a recipient and the size of the message, hands on a local mailbox, a send connector with its next hop, or why
//! there is none. Who brought the message does not matter here: receive rights never choose a way out.

use std::fmt;
use std::sync::Arc;

use gatepost_mail::{Domain, Mailbox, Reply};

use crate::accepted_domain::DomainKind;
use crate::directory::LocalMailbox;
use crate::refusal::Refusal;
pub use crate::send_connector::{Host, SendConnector, SmartHost};
use crate::settings::Settings;

/// The last error of messages without a way out.
pub const UNREACHABLE: &str = "A matching connector cannot be found to route the external recipient";

/// Where a recipient's copy goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into a mailbox here.
    Local {
        /// Which.
        mailbox: Arc<LocalMailbox>,
    },
    /// Out by this connector. Copies for the same connector and next hop share a delivery queue.
    Send {
        /// The way out.
        connector: Arc<SendConnector>,
        /// Where we connect.
        next_hop: NextHop,
    },
    /// No connector leads there; it waits until the settings change, or expires.
    Unreachable {
        /// For logs and listings.
        reason: &'static str,
    },
    /// It can never be delivered; the sender is told with this reply.
    Failed(Reply),
}

/// Where we connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// To one of these.
    SmartHosts(Arc<[SmartHost]>),
    /// To where this domain's MX records point, or to the address of a literal.
    Domain(Domain),
}

/// `contoso.com`, or the smart hosts with commas between.
impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHop::Domain(domain) => domain.fmt(f),
            NextHop::SmartHosts(hosts) => {
                for (i, host) in hosts.iter().enumerate() {
                    write!(f, "{}{host}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

/// Selects the route of one recipient of a message of `message_bytes`. Among the enabled send connectors that take a
/// message of that size: most specific address space, then lowest cost, then lowest name.
pub fn select(settings: &Settings, recipient: &Mailbox, message_bytes: u64) -> Route {
    if let Some(found) = settings.directory.resolve(recipient, &settings.domains) {
        return match found.recipient.mailbox() {
            Some(mailbox) => Route::Local { mailbox: mailbox.clone() },
            // Groups and contacts are replaced by those behind them when a message is accepted. This message is older than
            // they are, and its envelope cannot change any more.
            None => Route::Failed(Refusal::RecipientReplaced.reply()),
        };
    }
    if settings.domains.find(recipient.domain()).is_some_and(|accepted| accepted.kind == DomainKind::Authoritative) {
        return Route::Failed(Refusal::RecipientNotFound.reply());
    }
    let mut too_large = false;
    for (connector, _) in settings.address_spaces.candidates(recipient.domain()) {
        if connector.max_message_size.is_some_and(|max| message_bytes > max) {
            too_large = true;
            continue;
        }
        let next_hop = next_hop(connector, recipient.domain());
        return Route::Send { connector: connector.clone(), next_hop };
    }
    if too_large {
        Route::Failed(Refusal::MessageTooLargeForRoute.reply())
    } else {
        Route::Unreachable { reason: UNREACHABLE }
    }
}

/// Where a small message for a recipient of `domain` goes that is not known here: whom to ask about it.
pub fn way_out<'a>(settings: &'a Settings, domain: &'a Domain) -> Option<(&'a Arc<SendConnector>, NextHop)> {
    let (connector, _) = settings.address_spaces.candidates(domain).next()?;
    Some((connector, next_hop(connector, domain)))
}

fn next_hop(connector: &SendConnector, domain: &Domain) -> NextHop {
    if connector.smart_hosts.is_empty() {
        NextHop::Domain(domain.clone())
    } else {
        NextHop::SmartHosts(connector.smart_hosts.clone())
    }
}
