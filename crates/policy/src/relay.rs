//! Step 4 of 9 - permit: the relay decision, the one this product exists for (fact sheet sections 2.1 and 4.1;
//! invariant I3: nothing else decides it).
//!
//! Takes rights and a recipient, hands on yes or no with its reason. The sender is irrelevant here, and so is who asks:
//! only the rights held and the recipient count.

use gatepost_mail::Mailbox;

use crate::accepted_domain::{AcceptedDomain, DomainKind};
use crate::access_entry::{Right, Rights};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// What is asked at RCPT.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The rights of the principal.
    pub rights: Rights,
    /// The recipient; `<Postmaster>` was given its domain by [`Settings::recipient`].
    pub forward_path: &'a Mailbox,
    /// What is declared.
    pub settings: &'a Settings,
}

/// Why the recipient was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason<'a> {
    /// Postmaster always works (RFC 5321 section 4.5.1).
    Postmaster,
    /// Its domain is accepted from everybody.
    AcceptedDomain(&'a AcceptedDomain),
    /// The principal may relay.
    AnyRecipient,
}

/// How far the recipients of a principal may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// In accepted domains only.
    AcceptedDomains,
    /// Anywhere: the principal relays.
    AnyRecipient,
}

/// How far `rights` reach; the part of the decision that does not depend on the recipient.
pub fn reach(rights: Rights) -> Reach {
    if rights.contains(Right::AcceptAnyRecipient) { Reach::AnyRecipient } else { Reach::AcceptedDomains }
}

/// Decides whether the recipient is accepted. A recipient in an authoritative domain must exist, whatever
/// the rights, unless the domain has a recipient for the mail of those that do not.
pub fn decide<'a>(question: &Question<'a>) -> Result<Reason<'a>, Refusal> {
    let Question { rights, forward_path, settings } = *question;
    if settings.directory.is_postmaster(forward_path, &settings.domains) {
        return Ok(Reason::Postmaster);
    }
    if let Some(accepted) = settings.domains.find(forward_path.domain()) {
        let known = accepted.kind != DomainKind::Authoritative
            || accepted.catch_all_recipient.is_some()
            || settings.directory.find(forward_path).is_some();
        return if known { Ok(Reason::AcceptedDomain(accepted)) } else { Err(Refusal::RecipientNotFound) };
    }
    match reach(rights) {
        Reach::AnyRecipient => Ok(Reason::AnyRecipient),
        Reach::AcceptedDomains => Err(Refusal::UnableToRelay),
    }
}
