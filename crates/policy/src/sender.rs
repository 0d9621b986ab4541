//! Step 4 of 9 - permit: whether the principal may write as somebody, in the envelope and in the header (fact sheet
//! section 2.10).
//!
//! Takes rights, principal and what names the sender, hands on yes or no with its reason. The reverse-path is decided at
//! MAIL, the header at the end of the content: it is what readers see.

use gatepost_mail::{Mailbox, ReversePath};

use crate::access_entry::{Principal, Right, Rights};
use crate::refusal::Refusal;
use crate::settings::Settings;

mod header;

pub use header::{Denied, HeaderQuestion, HeaderReason, decide_header, denied};

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
    /// The address is one of the user's own, or in a domain that a partner has proven to be.
    OwnAddress,
    /// The user was granted Send-As on the recipient of that address.
    SendAs,
    /// The principal may use any address.
    AnySender,
}

/// Whose addresses a principal may use, beside the null reverse-path and, for a user, the user's own and those with a
/// grant, for a partner those in the domains that it has proven to be.
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
/// A user may use its own addresses and those with a grant, a partner those in its domains, and with Accept-Any-Sender
/// every address. Whoever is no user
/// needs Accept-Any-Sender for every address, and for those in our authoritative domains
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
    match may_write_as(rights, principal, sender, settings) {
        Some(reason) => Ok(reason),
        None if principal.is_anonymous() => Err(Refusal::AnonymousSendAsDenied),
        None => Err(Refusal::SendAsDenied),
    }
}

/// Why the principal may write as the owner of `address`, in the envelope or in the header; `None` if it may not.
fn may_write_as(rights: Rights, principal: &Principal, address: &Mailbox, settings: &Settings) -> Option<Reason> {
    if is_own(principal, address, settings) {
        return Some(Reason::OwnAddress);
    }
    let permitted = match scope(rights, principal) {
        Scope::OwnAddresses => false,
        Scope::OutsideOurDomains => !settings.domains.is_authoritative(address.domain()),
        Scope::AnyAddress => true,
    };
    match permitted {
        true => Some(Reason::AnySender),
        false => grants_send_as(principal, address, settings).then_some(Reason::SendAs),
    }
}

/// Whether `address` is one of the user's own, or in a domain of the partner's.
fn is_own(principal: &Principal, address: &Mailbox, settings: &Settings) -> bool {
    match principal {
        Principal::User(name) => settings.find_user(name).is_some_and(|user| user.owns(address)),
        Principal::Partner(domains) => domains.contains(address.domain()),
        _ => false,
    }
}

/// Whether the recipient of `address` lets the user write as itself. Who writes to nobody's address has no such grant: mail
/// that a catch-all takes in makes no sender.
fn grants_send_as(principal: &Principal, address: &Mailbox, settings: &Settings) -> bool {
    let recipient = settings.directory.find(address);
    recipient.is_some_and(|recipient| recipient.send_as.iter().any(|trustee| trustee.covers(principal)))
}

/// Whether the recipient of `address` lets the user write on its behalf.
fn grants_send_on_behalf(principal: &Principal, address: &Mailbox, settings: &Settings) -> bool {
    let recipient = settings.directory.find(address);
    recipient.is_some_and(|recipient| recipient.send_on_behalf.iter().any(|trustee| trustee.covers(principal)))
}

/// Whether the header of a message can matter to the decision; where not, nobody needs to read its senders.
pub fn checks_header(rights: Rights, principal: &Principal) -> bool {
    scope(rights, principal) != Scope::AnyAddress
}
