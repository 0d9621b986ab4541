//! Step 4 of 9 - permit: recipient domains that a connector was told never to take (RFC 2606; fact sheet sections 1.2
//! and 3.5).
//!
//! Takes a connector and a recipient, hands on yes or the refusal. Grants nothing: `relay` still decides about whoever
//! passes here.

use gatepost_mail::{Domain, Mailbox};

use crate::receive_connector::ReceiveConnector;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// RFC 2606 section 2.
const TOP_LEVEL: [&str; 4] = ["test", "example", "invalid", "localhost"];
/// RFC 2606 section 3.
const SECOND_LEVEL: [&str; 3] = ["example.com", "example.net", "example.org"];

/// Decides whether the recipient's domain, or one above it, is among those that the connector rejects. Postmaster here
/// always works (RFC 5321 section 4.5.1); address literals are no names.
pub fn decide(connector: &ReceiveConnector, forward_path: &Mailbox, settings: &Settings) -> Result<(), Refusal> {
    match rejected_for(connector, forward_path.domain()) {
        Some(refusal) if !settings.directory.is_postmaster(forward_path, &settings.domains) => Err(refusal),
        _ => Ok(()),
    }
}

fn rejected_for(connector: &ReceiveConnector, domain: &Domain) -> Option<Refusal> {
    if domain.is_literal() {
        return None;
    }
    let name = domain.as_str();
    let is_at_or_below = |reserved: &&str| {
        let above = name.strip_suffix(*reserved);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    };
    if connector.reject_reserved_top_level_recipient_domains && TOP_LEVEL.iter().any(is_at_or_below) {
        return Some(Refusal::ReservedTopLevelDomain);
    }
    if connector.reject_reserved_second_level_recipient_domains && SECOND_LEVEL.iter().any(is_at_or_below) {
        return Some(Refusal::ReservedSecondLevelDomain);
    }
    let rejects_single_label = connector.reject_single_label_recipient_domains && !name.contains('.');
    rejects_single_label.then_some(Refusal::SingleLabelDomain)
}
