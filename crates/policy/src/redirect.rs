//! Step 7 of 9 - route: the way out that an administrator chose for a message, in place of the one that the settings say.
//!
//! Takes a recipient and the name of a send connector, hands on the route; none where that connector cannot be taken, and then
//! the settings decide as ever.

use gatepost_mail::Mailbox;

use crate::route::{NextHop, Route};
use crate::settings::Settings;

/// The route of one recipient of a message of `message_bytes` that was redirected to the connector of this name. `None` when the
/// recipient is known here, when there is no such connector, when it is disabled, or when it takes no message of that size.
pub fn select(settings: &Settings, recipient: &Mailbox, message_bytes: u64, connector: &str) -> Option<Route> {
    if settings.directory.resolve(recipient, &settings.domains).is_some() {
        return None;
    }
    let is_meant = |name: &str| name.eq_ignore_ascii_case(connector);
    let connector = settings.send_connectors.iter().find(|known| known.enabled && is_meant(&known.name))?;
    if connector.max_message_size.is_some_and(|max| message_bytes > max) {
        return None;
    }
    let next_hop = match connector.smart_hosts.is_empty() {
        true => NextHop::Domain(recipient.domain().clone()),
        false => NextHop::SmartHosts(connector.smart_hosts.clone()),
    };
    Some(Route::Send { connector: connector.clone(), next_hop })
}
