//! A message judged as a whole, once its content is here: rights may depend on whom the header names, and time has passed
//! since MAIL.
//!
//! Takes what the peer said and what the header says, hands on what `policy` says to it. A yes counts the message as of now.

use gatepost_mail::header::Header;
use gatepost_mail::header_senders::HeaderSenders;
use gatepost_mail::{Mailbox, Recipient, ReversePath};
use gatepost_policy::access_entry::Rights;
use gatepost_policy::permission;
use gatepost_policy::{Refusal, limits, permit, remote_domain, resolve, sender};
use gatepost_smtp::MailCommand;
use gatepost_tracking::decision::{RECIPIENTS_MAX, bounded};

use super::incoming::Content;
use super::permit::Known;
use super::visit::Visit;
use crate::quotas::Counted;

/// Why a complete message is not taken.
pub struct Objection {
    pub refusal: Refusal,
    /// The recipient that it is about, if it is about one.
    pub recipient: Option<Mailbox>,
    /// The sender in the header that brought it about, as far as we know.
    pub header_sender: Option<Mailbox>,
    /// Everybody whom the header names, where that can have mattered: each behind its field, as records show them.
    pub header_senders: Vec<Box<str>>,
}

impl From<Refusal> for Objection {
    fn from(refusal: Refusal) -> Objection {
        Objection { refusal, recipient: None, header_sender: None, header_senders: Vec::new() }
    }
}

impl Visit {
    /// Whether the message is taken, now that all of it is known; if so, what it is counted for as of now.
    pub(super) fn judge(
        &mut self,
        mail: &MailCommand,
        recipients: &[Recipient],
        content: &Content,
        counted: Vec<Counted>,
    ) -> Result<Vec<Counted>, Objection> {
        let header = &content.header;
        limits::hops(&self.connector, header.received_count as usize, header.received_local_count as usize)?;
        if header.is_automatic_reply() {
            self.decide_automatic_reply(recipients)?;
        }
        if self.varying.is_some() {
            return self.decide_again(mail, recipients, content, counted).map_err(|objection| Objection {
                header_senders: header.senders.as_ref().map(shown).unwrap_or_default(),
                ..objection
            });
        }
        self.decide_header(self.rights, header).map_err(|refusal| self.object_to_header(refusal, header))?;
        // Where nothing varies there are no quotas.
        Ok(counted)
    }

    /// Whether all whom it is for in the end may get an automatic reply: it is for one, as a rule, so it goes to all or nobody.
    fn decide_automatic_reply(&self, named: &[Recipient]) -> Result<(), Objection> {
        let settings = &self.revision.settings;
        for Recipient { mailbox, .. } in resolve::resolve(settings, named.to_vec()).recipients {
            let decided = remote_domain::decide_automatic_reply(&mailbox, &settings.domains, &settings.remote_domains);
            decided.map_err(|refusal| Objection { recipient: Some(mailbox), ..refusal.into() })?;
        }
        Ok(())
    }

    /// Everything is decided again where rights depend on the senders in the header, or the time has come for them to end.
    /// What was decided by an entry that no longer counts is refused, for a recipient if there is one; and the message
    /// counts as of now.
    fn decide_again(
        &mut self,
        mail: &MailCommand,
        recipients: &[Recipient],
        content: &Content,
        mut counted: Vec<Counted>,
    ) -> Result<Vec<Counted>, Objection> {
        let header = &content.header;
        let header_senders = match &header.senders {
            Some(senders) if senders.is_readable() => permission::HeaderSenders::Known(senders.mailboxes()),
            _ => permission::HeaderSenders::Uncertain,
        };
        let known = Known { reverse_path: &mail.reverse_path, header_senders, recipient: None, counted: &counted };
        let of_the_whole = self.permit(&known, |rights| {
            permit::mail(&self.peer(rights), &mail.reverse_path, content.size_bytes)?;
            self.decide_header(rights, header)
        });
        // What was permitted at MAIL and RCPT and is not now: most likely for a sender whom only the header names.
        let other_sender = || other_sender(&mail.reverse_path, header).cloned();
        let permitted = of_the_whole.map_err(|refusal| {
            let objection = self.object_to_header(refusal, header);
            Objection { header_sender: objection.header_sender.or_else(other_sender), ..objection }
        })?;
        self.rights = permitted.rights;
        counted.extend(permitted.counted);
        for recipient in recipients {
            let mailbox = &recipient.mailbox;
            let known =
                Known { reverse_path: &mail.reverse_path, header_senders, recipient: Some(mailbox), counted: &counted };
            let of_one =
                self.permit(&known, |rights| permit::recipient(&self.peer(rights), mail.auth.as_ref(), mailbox));
            let of_one = of_one.map_err(|refusal| Objection {
                refusal,
                recipient: Some(mailbox.clone()),
                header_sender: other_sender(),
                header_senders: Vec::new(),
            })?;
            counted.extend(of_one.counted);
        }
        Ok(self.running.quotas.renew(&counted).map_err(|_| Refusal::QuotaExceeded)?)
    }

    /// Whether the header names nobody whom the peer may not use.
    fn decide_header(&self, rights: Rights, header: &Header) -> Result<(), Refusal> {
        sender::decide_header(&self.header_question(rights, header)).map(|_reason| ())
    }

    /// Names whom the header names although the peer may not use the address, if that is why it is refused.
    fn object_to_header(&self, refusal: Refusal, header: &Header) -> Objection {
        if !matches!(refusal, Refusal::HeaderSendAsDenied(_) | Refusal::AnonymousHeaderSendAsDenied(_)) {
            return refusal.into();
        }
        let header_sender = match sender::denied(&self.header_question(self.rights, header)) {
            Some(sender::Denied::Address(_, address)) => Some(address.clone()),
            Some(sender::Denied::Unreadable(_)) | None => None,
        };
        Objection { header_sender, ..refusal.into() }
    }

    fn header_question<'a>(&'a self, rights: Rights, header: &'a Header) -> sender::HeaderQuestion<'a> {
        let settings = &self.revision.settings;
        sender::HeaderQuestion { rights, principal: &self.principal, senders: header.senders.as_ref(), settings }
    }
}

/// Everybody whom the header names, as records show them.
fn shown(senders: &HeaderSenders) -> Vec<Box<str>> {
    let named = senders.fields().flat_map(|(field, named)| named.iter().map(move |sender| (field, sender)));
    named.take(RECIPIENTS_MAX).map(|(field, sender)| bounded(&format!("{field} {sender}"))).collect()
}

/// The first sender in the header who is not the envelope's.
fn other_sender<'a>(reverse_path: &ReversePath, header: &'a Header) -> Option<&'a Mailbox> {
    let named = header.senders.as_ref()?.mailboxes();
    named.iter().find(|sender| reverse_path.mailbox().is_none_or(|envelope| !envelope.is_same_mailbox(sender)))
}
