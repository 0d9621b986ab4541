//! Step 8 of 9 - deliver: which rights the next hop of a send connector holds (fact sheet section 2.1, second table).
//!
//! Takes a connector, hands on a set of rights. Whom the next hop is taken for, the administrator declares: nothing that
//! a next hop says of itself makes a difference.

use gatepost_mail::{AuthAs, Envelope, Mailbox};

use crate::access_entry::{Access, Principal};
use crate::note::Note;
use crate::send_connector::{SendConnector, SmartHostAuthMechanism};
use crate::send_right::SendRights;

/// The rights of the next hops of `connector`: what is theirs by default and what its entries allow, without what they
/// deny. Expired entries count for nothing.
pub fn granted(connector: &SendConnector, now_ms: u64) -> SendRights {
    let principal = next_hop(connector);
    let (mut allowed, mut denied) = (SendRights::by_default(&principal), SendRights::NONE);
    let is_expired = |note: &Option<Box<Note>>| note.as_ref().is_some_and(|note| note.is_expired(now_ms));
    let entries = connector.entries.iter().filter(|entry| !is_expired(&entry.note));
    for entry in entries.filter(|entry| entry.trustee.covers(&principal)) {
        match entry.access {
            Access::Allow => allowed |= entry.rights,
            Access::Deny => denied |= entry.rights,
        }
    }
    allowed & !denied
}

/// Who submitted a message, as a next hop is told with `AUTH=` (fact sheet section 2.11, RFC 4954 section 5): whom an
/// internal message is from, if the next hop is one that is to believe us. `None`: it is told that we do not say.
pub fn originator<'e>(next_hop: &Principal, envelope: &'e Envelope) -> Option<&'e Mailbox> {
    let arrival = &envelope.arrival;
    let is_told = *next_hop == Principal::ExternallySecured && arrival.auth_as == AuthAs::Internal;
    arrival.originator.as_ref().or_else(|| envelope.reverse_path.mailbox()).filter(|_| is_told)
}

/// Whom the next hops of a connector are taken for.
pub fn next_hop(connector: &SendConnector) -> Principal {
    match connector.smart_host_auth_mechanism {
        // That they believe us is no reason to believe them.
        SmartHostAuthMechanism::None
        | SmartHostAuthMechanism::BasicAuth
        | SmartHostAuthMechanism::BasicAuthRequireTls => Principal::Anonymous,
        SmartHostAuthMechanism::ExternalAuthoritative => Principal::ExternallySecured,
    }
}
