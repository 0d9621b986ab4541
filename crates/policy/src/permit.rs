//! Step 4 of 9 - permit: what MAIL and RCPT are asked, each as one question with its parts in their order.
//!
//! Takes a peer with the rights that it holds at that moment and what it named, hands on yes or the first refusal. Sessions
//! and explanations ask here, so that they ask the same (invariant I12), at the command and again once the content is here.
//! What has to be counted or asked elsewhere is not among it: recipients, rates, next hops.

use gatepost_mail::{Mailbox, ReversePath};

use crate::access_entry::{Principal, Rights};
use crate::receive_connector::ReceiveConnector;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::{limits, peer_certificate, permission, relay, reserved_domain, restriction, sender};

/// A peer on the connector that it came to.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Where it came to.
    pub connector: &'a ReceiveConnector,
    /// Who it is.
    pub principal: &'a Principal,
    /// The rights that it holds now.
    pub rights: Rights,
    /// What is declared.
    pub settings: &'a Settings,
}

/// MAIL: whether the peer may submit, as this sender, a message of this size as far as that is known.
pub fn mail(peer: &Peer<'_>, reverse_path: &ReversePath, size_bytes: u64) -> Result<(), Refusal> {
    let Peer { connector, principal, rights, settings } = *peer;
    permission::may_submit(rights, principal)?;
    peer_certificate::sender_is_proven(connector, settings, principal, reverse_path)?;
    sender::decide(&sender::Question { rights, principal, reverse_path, settings })?;
    limits::message_size(connector, rights, size_bytes)
}

/// RCPT: whether the peer may write to this recipient; `auth` is the AUTH parameter of MAIL.
pub fn recipient<'a>(
    peer: &Peer<'a>,
    auth: Option<&ReversePath>,
    recipient: &'a Mailbox,
) -> Result<relay::Reason<'a>, Refusal> {
    let Peer { connector, principal, rights, settings } = *peer;
    reserved_domain::decide(connector, recipient, settings)?;
    let reason = relay::decide(&relay::Question { rights, forward_path: recipient, settings })?;
    let auth_as = permission::auth_as(rights, principal, auth);
    restriction::decide(&restriction::Question { auth_as, recipient, settings })?;
    Ok(reason)
}
