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

/// Whose addresses a principal may use, beside the null reverse-path and, for a user, the user's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// None.
    OwnAddresses,
    /// Every address outside our authoritative domains.
    OutsideOurDomains,
    /// Every address, ours too.
    AnyAddress,
}

/// Whose addresses `principal` may use with `rights`; the part of the decision that does not depend on the address.
///
/// A user may use its own addresses, and with Accept-Any-Sender every address. Whoever is no user needs
/// Accept-Any-Sender for every address, and for those in our authoritative domains
/// Accept-Authoritative-Domain-Sender too.
pub fn scope(rights: Rights, principal: &Principal) -> Scope {
    let any_sender = rights.contains(Right::AcceptAnySender);
    let is_user = matches!(principal, Principal::User(_));
    match any_sender {
        false => Scope::OwnAddresses,
        true if is_user || rights.contains(Right::AcceptAuthoritativeDomainSender) => Scope::AnyAddress,
        true => Scope::OutsideOurDomains,
    }
}

/// Decides whether the principal may use the reverse-path. That it may submit at all was `permission::may_submit`'s.
pub fn decide(question: &Question<'_>) -> Result<Reason, Refusal> {
    let Question { rights, principal, reverse_path, settings } = *question;
    let ReversePath::Mailbox(sender) = reverse_path else {
        return Ok(Reason::NullReversePath);
    };
    if let Principal::User(name) = principal
        && settings.find_user(name).is_some_and(|user| user.owns(sender))
    {
        return Ok(Reason::OwnAddress);
    }
    let permitted = match scope(rights, principal) {
        Scope::OwnAddresses => false,
        Scope::OutsideOurDomains => !settings.domains.is_authoritative(sender.domain()),
        Scope::AnyAddress => true,
    };
    match permitted {
        true => Ok(Reason::AnySender),
        false if principal.is_anonymous() => Err(Refusal::AnonymousSendAsDenied),
        false => Err(Refusal::SendAsDenied),
    }
}
