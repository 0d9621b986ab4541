//! The senders in the header, decided once the content is complete.
//!
//! A peer whose envelope was looked at is looked at here too: otherwise it would write as itself to us, and as anybody to
//! the reader. Every address of every From, Sender, Resent-From and Resent-Sender field must be one that the principal may
//! use. Exchange looks at one of them, Resent fields before others (fact sheet section 2.7); readers show From whatever
//! else there is, so none is passed over here. Somebody who may write for nobody else therefore cannot resend what others wrote.

use gatepost_mail::Mailbox;
use gatepost_mail::header_senders::{HeaderSenders, SenderField, Unreadable};

use super::{checks_header, grants_send_on_behalf, is_own, may_write_as};
use crate::access_entry::{Principal, Rights};
use crate::refusal::Refusal;
use crate::settings::Settings;

/// What is asked at the end of the content.
#[derive(Clone, Copy, Debug)]
pub struct HeaderQuestion<'a> {
    /// The rights of the principal.
    pub rights: Rights,
    /// Who asks.
    pub principal: &'a Principal,
    /// Whom the header names; `None` if nobody has read it, which is good enough only for those who may be anybody.
    pub senders: Option<&'a HeaderSenders>,
    /// What is declared.
    pub settings: &'a Settings,
}

/// Why the header was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderReason {
    /// The principal may use any address, so that the header does not matter.
    AnySender,
    /// It names nobody; the envelope does, and was decided.
    Nobody,
    /// The principal may write as everybody whom it names.
    Permitted,
    /// The same, and as one of them only on behalf: the user stands as the sender beside.
    OnBehalf,
}

/// What in a header the principal may not use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied<'a> {
    /// It cannot be read with certainty whom the header names.
    Unreadable(Unreadable),
    /// This address, in that field.
    Address(SenderField, &'a Mailbox),
}

/// Decides whether the principal may use all the senders in the header.
pub fn decide_header(question: &HeaderQuestion<'_>) -> Result<HeaderReason, Refusal> {
    match look(question) {
        Ok(reason) => Ok(reason),
        Err(Denied::Unreadable(reason)) => Err(Refusal::HeaderUnreadable(reason)),
        Err(Denied::Address(field, _)) if question.principal.is_anonymous() => {
            Err(Refusal::AnonymousHeaderSendAsDenied(field))
        }
        Err(Denied::Address(field, _)) => Err(Refusal::HeaderSendAsDenied(field)),
    }
}

/// What [`decide_header`] refuses, if it does: for logs and explanations.
pub fn denied<'a>(question: &HeaderQuestion<'a>) -> Option<Denied<'a>> {
    look(question).err()
}

fn look<'a>(question: &HeaderQuestion<'a>) -> Result<HeaderReason, Denied<'a>> {
    let HeaderQuestion { rights, principal, senders, settings } = *question;
    if !checks_header(rights, principal) {
        return Ok(HeaderReason::AnySender);
    }
    let senders = senders.ok_or(Denied::Unreadable(Unreadable::NotRead))?;
    if let Some(reason) = senders.unreadable() {
        return Err(Denied::Unreadable(reason));
    }
    let mut reason = HeaderReason::Nobody;
    for (field, named) in senders.fields() {
        for address in named {
            let found = if may_write_as(rights, principal, address, settings).is_some() {
                HeaderReason::Permitted
            } else if is_on_behalf(question, senders, field, address) {
                HeaderReason::OnBehalf
            } else {
                return Err(Denied::Address(field, address));
            };
            if reason != HeaderReason::OnBehalf {
                reason = found;
            }
        }
    }
    Ok(reason)
}

/// Whether the user stands as the sender beside an author who has granted that. The Sender field alone makes the
/// difference visible to readers: without it, or with anybody else in it, a message is not on behalf.
fn is_on_behalf(question: &HeaderQuestion<'_>, senders: &HeaderSenders, field: SenderField, address: &Mailbox) -> bool {
    let beside = match field {
        SenderField::From => SenderField::Sender,
        SenderField::ResentFrom => SenderField::ResentSender,
        SenderField::Sender | SenderField::ResentSender => return false,
    };
    let mut named = senders.fields().filter(|(field, _)| *field == beside).flat_map(|(_, named)| named).peekable();
    named.peek().is_some()
        && named.all(|own| is_own(question.principal, own, question.settings))
        && grants_send_on_behalf(question.principal, address, question.settings)
}
