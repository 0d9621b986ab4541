//! Step 7 of 9 - route: where a recipient's copy goes (fact sheet section 4.5).
//!
//! Takes a recipient, the size of the message and who brought it, hands on a local mailbox, a send connector with its next
//! hop, or why there is none. Who brought it counts only where a send connector asks for that; receive rights never choose
//! a way out.

use std::fmt;
use std::sync::Arc;

use gatepost_mail::{Domain, Mailbox, Reply};

use crate::accepted_domain::{self, DomainKind};
use crate::directory::{KnownRecipient, LocalMailbox};
use crate::refusal::Refusal;
use crate::retry::Overrides;
use crate::send_connector::{self, Sources};
pub use crate::send_connector::{Candidate, Host, MailSource, SendConnector, SmartHost};
use crate::settings::Settings;

/// The last error of messages without a way out.
pub const UNREACHABLE: &str = "A matching connector cannot be found to route the external recipient";

/// Where a recipient's copy goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into a Maildir here.
    Local {
        /// Which.
        mailbox: Arc<LocalMailbox>,
    },
    /// Out by this connector, or by it to the server that holds the mailbox. Copies for the same connector and next hop share a delivery queue.
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

/// A recipient that wants a route.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is declared.
    pub settings: &'a Settings,
    /// Who.
    pub recipient: &'a Mailbox,
    /// How large the message is.
    pub message_bytes: u64,
    /// Who brought it; `None` for what we made ourselves.
    pub source: Option<MailSource<'a>>,
}

/// Selects the route of one recipient. What came in by a receive connector that a send connector is linked to leaves by
/// that one. What is for a mailbox here stays. For the rest it is, among the enabled send connectors that take a message of
/// that size from that source: most specific address space, then closest to the source, then lowest cost, then lowest name.
pub fn select(question: &Question<'_>) -> Route {
    let Question { settings, recipient, message_bytes, source } = *question;
    if let Some(connector) = settings.address_spaces.linked(source) {
        return send(connector, recipient.domain());
    }
    if let Some(found) = settings.directory.resolve(recipient, &settings.domains) {
        return match found.recipient.mailbox() {
            Some(mailbox) => match mailbox_server(settings, found.recipient, mailbox) {
                Some(server) => send(server, recipient.domain()),
                None => Route::Local { mailbox: mailbox.clone() },
            },
            // Groups and contacts are replaced by those behind them when a message is accepted. This message is older than
            // they are, and its envelope cannot change any more.
            None => Route::Failed(Refusal::RecipientReplaced.reply()),
        };
    }
    if settings.domains.find(recipient.domain()).is_some_and(|accepted| accepted.kind == DomainKind::Authoritative) {
        return Route::Failed(Refusal::RecipientNotFound.reply());
    }
    let mut too_large = false;
    for candidate in settings.address_spaces.candidates(recipient.domain(), source) {
        if takes(candidate.connector, message_bytes) {
            return send(candidate.connector, recipient.domain());
        }
        too_large = true;
    }
    if too_large {
        Route::Failed(Refusal::MessageTooLargeForRoute.reply())
    } else {
        Route::Unreachable { reason: UNREACHABLE }
    }
}

/// The way to the server that holds a mailbox. The mailbox that postmaster has where nobody else was named is always here.
fn mailbox_server<'a>(
    settings: &'a Settings,
    recipient: &KnownRecipient,
    mailbox: &LocalMailbox,
) -> Option<&'a Arc<SendConnector>> {
    if settings.mailbox_delivery.is_here() || recipient.is_built_in() {
        return None;
    }
    settings.mailbox_delivery.server(settings.domains.find(mailbox.address.domain()))
}

/// Whether both settings send every recipient the same way, as far as can be told without asking about each. What stands
/// elsewhere in the document, and says the same, does.
pub fn are_alike(one: &Settings, other: &Settings) -> bool {
    send_connector::are_alike(&one.send_connectors, &other.send_connectors)
        && accepted_domain::are_alike(&one.accepted_domains, &other.accepted_domains)
        && one.directory.recipients() == other.directory.recipients()
        && one.mailbox_delivery.is_like(&other.mailbox_delivery)
        && one.server == other.server
}

/// Where a small message for a recipient of `domain` goes that is not known here: whom to ask about it.
pub fn way_out<'a>(
    settings: &'a Settings,
    domain: &'a Domain,
    source: Option<MailSource<'a>>,
) -> Option<(&'a Arc<SendConnector>, NextHop)> {
    let spaces = &settings.address_spaces;
    let covering = || spaces.candidates(domain, source).next().map(|candidate| candidate.connector);
    let connector = spaces.linked(source).or_else(covering)?;
    Some((connector, next_hop(connector, domain)))
}

/// The connectors that may carry what a route gives to `first`, in this order: itself, and each that stands in for the one
/// before it. Those that are disabled or do not take a message of that size are passed over.
pub fn ways<'a>(
    settings: &'a Settings,
    first: &'a Arc<SendConnector>,
    message_bytes: u64,
) -> impl Iterator<Item = &'a Arc<SendConnector>> {
    let next = |connector: &&'a Arc<SendConnector>| {
        connector.fallback_connector.as_deref().and_then(|name| settings.send_connector(name))
    };
    // The settings reader refuses circles, and this does not rely on it.
    let ways = std::iter::successors(Some(first), next).take(settings.send_connectors.len().max(1));
    ways.enumerate()
        .filter(move |(number, way)| *number == 0 || (way.enabled && takes(way, message_bytes)))
        .map(|(_, way)| way)
}

/// Which connector carries what a route gives to `first`, now that those which `is_down` says cannot reach a next hop:
/// the first of its [`ways`] that can. Where none can it is `first`, and the recipient waits there.
pub fn stand_in<'a>(
    question: &Question<'a>,
    first: &'a Arc<SendConnector>,
    is_down: impl Fn(&SendConnector, &NextHop) -> bool,
) -> (&'a Arc<SendConnector>, NextHop) {
    let domain = question.recipient.domain();
    let mut ways = ways(question.settings, first, question.message_bytes).map(|way| (way, next_hop(way, domain)));
    ways.find(|(way, next_hop)| !is_down(way, next_hop)).unwrap_or_else(|| (first, next_hop(first, domain)))
}

/// The connector of these settings that mail which waited at `next_hop` of `before` may go by still: the same by its name, and
/// it leads there as well. Whether in the same manner, [`is_same_way`] says.
pub fn still_leads<'a>(
    settings: &'a Settings,
    before: &SendConnector,
    next_hop: &NextHop,
) -> Option<&'a Arc<SendConnector>> {
    let now = match before.mailbox_protocol {
        Some(_) => settings.mailbox_delivery.servers().find(|server| server.name == before.name),
        None => settings.send_connector(&before.name),
    };
    let leads_there = |now: &&Arc<SendConnector>| match next_hop {
        NextHop::SmartHosts(hosts) => *hosts == now.smart_hosts,
        NextHop::Domain(_) => now.smart_hosts.is_empty(),
    };
    now.filter(|now| now.enabled).filter(leads_there)
}

/// Whether two revisions of a connector lead the same way in the same manner, so that what waits for it may go on waiting.
pub fn is_same_way(one: &SendConnector, other: &SendConnector) -> bool {
    let way = |connector: &SendConnector| SendConnector {
        comment: String::new(),
        address_spaces: Vec::new(),
        sources: Sources::default(),
        linked_receive_connector: None,
        fallback_connector: None,
        retry: Overrides::default(),
        max_message_size: None,
        span: 0..0,
        ..connector.clone()
    };
    one == other || way(one) == way(other)
}

/// Whether a connector takes a message of that size.
pub fn takes(connector: &SendConnector, message_bytes: u64) -> bool {
    connector.max_message_size.is_none_or(|max| message_bytes <= max)
}

fn send(connector: &Arc<SendConnector>, domain: &Domain) -> Route {
    Route::Send { connector: connector.clone(), next_hop: next_hop(connector, domain) }
}

/// Where a connector connects to for recipients of `domain`.
pub fn next_hop(connector: &SendConnector, domain: &Domain) -> NextHop {
    if connector.smart_hosts.is_empty() {
        NextHop::Domain(domain.clone())
    } else {
        NextHop::SmartHosts(connector.smart_hosts.clone())
    }
}
