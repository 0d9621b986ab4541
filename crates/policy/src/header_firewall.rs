//! Which header fields of Exchange's a message keeps on its way through us (fact sheet section 2.9). The one place that
//! says so, for every way in and out.
//!
//! Takes rights, hands on [`Rules`]; `mail::header_firewall` carries them out.

use gatepost_mail::header_firewall::{Organization, Rules};

use crate::access_entry::{Right, Rights};
use crate::send_right::{SendRight, SendRights};

/// What stays when a message is written into a mailbox here.
pub const DELIVERED: Rules = Rules { organization: Organization::Delivered, forest: false, routing: true };
/// What stays of a message that goes back with a report.
pub const RETURNED: Rules = Rules::NONE;

/// What a peer may bring: step 6, spool.
pub fn decide(rights: Rights) -> Rules {
    Rules {
        organization: organization(rights.contains(Right::AcceptHeadersOrganization)),
        forest: rights.contains(Right::AcceptHeadersForest),
        routing: rights.contains(Right::AcceptHeadersRouting),
    }
}

/// What a next hop may be sent: step 8, deliver.
pub fn decide_send(rights: SendRights) -> Rules {
    Rules {
        organization: organization(rights.contains(SendRight::HeadersOrganization)),
        forest: rights.contains(SendRight::HeadersForest),
        routing: rights.contains(SendRight::HeadersRouting),
    }
}

const fn organization(is_kept: bool) -> Organization {
    if is_kept { Organization::All } else { Organization::None }
}
