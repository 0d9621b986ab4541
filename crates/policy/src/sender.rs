//! Step 4 of 9 - permit: whether the principal may use this reverse-path (fact sheet section 2.10, envelope).
//!
//! Takes rights, principal and reverse-path, hands on yes or no with its reason. The header's sender is another question.

use gatepost_mail::ReversePath;

use crate::access_entry::{Principal, Right, Rights};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// What is asked at MAIL.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The rights of the principal.
    pub rights: Rights,
    /// Who asks.
    pub principal: &'a Principal,
    /// The address to be used.
    pub reverse_path: &'a ReversePath,
    /// What is declared.
    pub settings: &'a Settings,
}

/// Why the sender was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The null reverse-path: reports must flow.
    NullReversePath,
    /// The address is one of the user's own.
    OwnAddress,
    /// The principal may use any address.
    AnySender,
}

/// Decides whether the principal may use the reverse-path. That it may submit at all was `permission::may_submit`'s.
///
/// A user may use its own addresses, and with Accept-Any-Sender every address. Whoever is no user needs
/// Accept-Any-Sender for every address, and for those in our authoritative domains
/// Accept-Authoritative-Domain-Sender too.
pub fn decide(question: &Question<'_>) -> Result<Reason, Refusal> {
    let Question { rights, principal, reverse_path, settings } = *question;
    let ReversePath::Mailbox(sender) = reverse_path else {
        return Ok(Reason::NullReversePath);
    };
    let any_sender = rights.contains(Right::AcceptAnySender);
    if let Principal::User(name) = principal {
        let own = settings.find_user(name).is_some_and(|user| user.owns(sender));
        return match (own, any_sender) {
            (true, _) => Ok(Reason::OwnAddress),
            (false, true) => Ok(Reason::AnySender),
            (false, false) => Err(Refusal::SendAsDenied),
        };
    }
    let ours = settings.domains.is_authoritative(sender.domain());
    if any_sender && (!ours || rights.contains(Right::AcceptAuthoritativeDomainSender)) {
        return Ok(Reason::AnySender);
    }
    Err(if principal.is_anonymous() { Refusal::AnonymousSendAsDenied } else { Refusal::SendAsDenied })
}
