//! Step 6 of 9 - spool: takes the content in, and says 250 only when it is on disk (invariant I2).
//!
//! Takes slices of content, stages them without the header fields that the peer may not bring, looks at the header
//! section on the way (as the peer sent it, so that no hop is missed); at the end asks `policy::limits` a
//! last time, commits, and only then answers. A fault found on the way is told at the end, when the peer listens.

use gatepost_mail::header::{Header, Scanner};
use gatepost_mail::header_firewall::{HeaderFirewall, Organization};
use gatepost_mail::organization::{Brought, Stamps};
use gatepost_mail::trace::{Received, Tls};
use gatepost_mail::{Arrival, Envelope, Mailbox, MessageId, Recipient, Reply};
use gatepost_policy::access_entry::{Principal, Rights};
use gatepost_policy::permission::HeaderSenders;
use gatepost_policy::resolve::{self, Resolved};
use gatepost_policy::{Refusal, header_firewall, limits, permission, sender};
use gatepost_smtp::{Answer, MailCommand};
use gatepost_spool::{CommitError, StageError};

use super::permit::Known;
use super::visit::{Fault, Incoming, OUT_OF_STEP, Said, Transaction, Visit};
use crate::categorize;
use crate::clock::now_ms;
use crate::quotas::Counted;
use crate::report;
use crate::state::count;

const DISK_FULL: Reply = Reply::new(452, (4, 3, 1), "Insufficient system resources");
const DISK_FAILED: Reply = Reply::new(451, (4, 3, 0), "Temporary server error. Please try again later");
const STOPPING: Reply = Reply::new(421, (4, 3, 2), "Service not available, closing transmission channel");

impl Visit {
    /// DATA or the first BDAT.
    pub(super) fn begin_content(&mut self) -> Answer {
        let Some(transaction) = &self.transaction else { return Answer::Refuse(OUT_OF_STEP) };
        self.rights = self.rights_now(&Known {
            reverse_path: &transaction.mail.reverse_path,
            header_senders: HeaderSenders::NotYet,
            recipient: None,
            counted: &transaction.counted,
        });
        let Some(transaction) = &mut self.transaction else { return Answer::Refuse(OUT_OF_STEP) };
        let scanner = Scanner::new(self.connector.max_header_size, self.connector.fqdn.as_str());
        // Whom the header names matters to few peers; for the others nobody looks.
        let senders_matter = sender::checks_header(self.rights, &self.principal) || self.varying.is_some();
        let rules = header_firewall::decide(self.rights);
        transaction.incoming = Some(Incoming {
            staged: Some(self.running.spool.stage()),
            scanner: if senders_matter { scanner.with_senders() } else { scanner },
            rules,
            firewall: HeaderFirewall::new(rules),
            bytes: 0,
            fault: None,
        });
        Answer::Accept
    }

    /// The next piece of the content.
    pub fn content(&mut self, bytes: &[u8]) {
        let Some(incoming) = self.transaction.as_mut().and_then(|transaction| transaction.incoming.as_mut()) else {
            return;
        };
        if incoming.fault.is_some() {
            return;
        }
        incoming.bytes += bytes.len() as u64;
        incoming.scanner.push(bytes);
        let fault = match limits::message_size(&self.connector, self.rights, incoming.bytes) {
            Err(refusal) => Some(Fault::Refused(refusal)),
            Ok(()) if incoming.scanner.is_too_large() => Some(Fault::Refused(Refusal::HeaderTooLarge)),
            Ok(()) => {
                let Incoming { staged, firewall, .. } = incoming;
                let written = staged.as_mut().map_or(Ok(()), |staged| firewall.push(bytes, |kept| staged.write(kept)));
                written.err().map(Fault::Disk)
            }
        };
        if fault.is_some() {
            // What was staged is of no use any more: its room is given back at once.
            incoming.staged = None;
            incoming.fault = fault;
        }
    }

    /// The content is complete.
    pub(super) async fn end_content(&mut self) -> Answer {
        self.ending = self.transaction.as_ref().map(Said::of);
        let Some(Transaction { mail, recipients, counted, incoming: Some(incoming), .. }) = self.transaction.take()
        else {
            return Answer::Refuse(OUT_OF_STEP);
        };
        let Incoming { mut staged, scanner, rules, firewall, bytes, mut fault } = incoming;
        let header = scanner.finish();
        if let Some(staged) = staged.as_mut().filter(|_| fault.is_none()) {
            fault = firewall.finish(|kept| staged.write(kept)).err().map(Fault::Disk);
        }
        let reverse_path = mail.reverse_path.to_string();
        let refusal = match fault {
            Some(Fault::Refused(refusal)) => Some(refusal),
            Some(Fault::Disk(error)) => {
                tracing::error!(%error, peer = %self.peer, "content could not be staged");
                let reply = match error {
                    StageError::Full => DISK_FULL,
                    StageError::Io(_) => DISK_FAILED,
                };
                return Answer::Refuse(self.record_not_stored(&error, reply).1);
            }
            None if header.too_large => Some(Refusal::HeaderTooLarge),
            None => {
                let [received, received_local] =
                    [header.received_count, header.received_local_count].map(|n| n as usize);
                limits::hops(&self.connector, received, received_local).err()
            }
        };
        if let Some(refusal) = refusal {
            return self.refuse("DATA", &reverse_path, refusal);
        }
        let decided = self.decide_again(&mail, &recipients, &header, bytes, counted);
        let decided =
            decided.and_then(|()| self.decide_header(self.rights, &header).map_err(|refusal| (None, refusal)));
        if let Err((recipient, refusal)) = decided {
            let named = recipient.map(Mailbox::to_string).or_else(|| self.denied_in(&header, refusal));
            return self.refuse("DATA", &named.unwrap_or(reverse_path), refusal);
        }
        let Some(staged) = staged else { return Answer::Refuse(OUT_OF_STEP) };

        let id = staged.id();
        let time_ms = now_ms();
        // By the settings that RCPT was answered by: what was accepted then leads somewhere in them.
        let first_named = recipients.first().map(|named| named.mailbox.clone());
        let only_named = first_named.as_ref().filter(|_| recipients.len() == 1).cloned();
        let Resolved { recipients, expanded } = resolve::resolve(&self.revision.settings, recipients);
        // Whom an alias or a group leads to may need SMTPUTF8 where the peer's own words did not.
        let recipients_need_utf8 = recipients.iter().any(|recipient| recipient.mailbox.needs_smtputf8());
        let sender_needs_utf8 = mail.reverse_path.mailbox().is_some_and(|mailbox| mailbox.needs_smtputf8());
        let brought = if rules.organization == Organization::All { header.organization } else { Brought::default() };
        let auth_as = permission::auth_as(self.rights, &self.principal, mail.auth.as_ref());
        let originator = permission::originator(self.rights, mail.auth.as_ref()).cloned();
        let envelope = Envelope {
            // A peer that sends raw 8-bit header fields without saying SMTPUTF8 is passed on as it came.
            smtputf8: recipients_need_utf8 || mail.smtputf8 && (sender_needs_utf8 || !header.is_ascii),
            reverse_path: mail.reverse_path,
            recipients,
            body: mail.body,
            ret: mail.ret,
            envid: mail.envid,
            arrival: Arrival {
                time_ms,
                peer: Some(self.peer),
                connector: (&*self.connector.name).into(),
                principal: self.principal.to_string().into(),
                auth_as: permission::with_brought(auth_as, brought.auth_as),
                originator,
            },
        };
        let message_id = header.message_id.unwrap_or_else(|| format!("<{id}.{time_ms}@{}>", self.connector.fqdn));
        let mut trace = Vec::with_capacity(768);
        self.write_received(id, &envelope, only_named.as_ref(), &mut trace);
        let stamps = Stamps {
            auth_as,
            auth_source: &self.revision.settings.server.name,
            auth_mechanism: permission::auth_mechanism(&self.principal),
            arrival_ms: time_ms,
            size_bytes: bytes,
        };
        stamps.write(brought, &mut trace);
        if !header.has_message_id {
            trace.extend_from_slice(format!("Message-ID: {message_id}\r\n").as_bytes());
        }
        if header.size_bytes == 0 {
            // Content without a header section: ours ends here, or the first body line would become a field.
            trace.extend_from_slice(b"\r\n");
        }
        let size_bytes = staged.len() + trace.len() as u64;
        let indices = 0..u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
        // Routes are those in force now: this connection may have begun long before the settings last changed.
        let plan = categorize::plan(&self.running.revision(), &envelope, indices, size_bytes);
        let recipient_count = envelope.recipients.len();

        if let Err(error) = staged.commit(envelope, trace).await {
            let reply = match error {
                CommitError::Full => DISK_FULL,
                CommitError::TooLarge => Refusal::MessageTooLarge.reply(),
                CommitError::Io(_) => DISK_FAILED,
                CommitError::Closed => STOPPING,
            };
            // The spool itself raises the alarm, once; this is one refusal of many.
            count(&self.running.counters.refusals);
            let (decision, told) = self.record_not_stored(&error, reply.clone());
            tracing::info!(
                connector = &*self.connector.name, peer = %self.peer, principal = %self.principal, queue_id = id.0,
                sender = reverse_path, reply = %reply, reason = %error, decision = decision.map(tracing::field::display),
                verdict = "refused", "refused"
            );
            return if reply.code == STOPPING.code { Answer::Close(told) } else { Answer::Refuse(told) };
        }
        // Read before anybody delivers it: with its last delivery the message ends.
        let expansion = report::Expansion::read(&self.running, id, expanded).await;
        categorize::enqueue(&self.running, id, time_ms, plan, None);
        if let Some(expansion) = expansion {
            expansion.tell(&self.running).await;
        }
        count(&self.running.counters.messages_accepted);
        let decision = self.record_accepted(id.0);
        tracing::info!(
            connector = &*self.connector.name, peer = %self.peer, principal = %self.principal, queue_id = id.0,
            sender = reverse_path, recipient = first_named.map(tracing::field::display), recipients = recipient_count, size = size_bytes, message_id,
            tls = self.tls.map(|(version, _)| version), decision = decision.map(tracing::field::display),
            verdict = "accepted", "accepted"
        );
        let text = format!(
            "{message_id} [InternalId={id}, Hostname={}] Queued mail for delivery",
            self.revision.settings.server.name
        );
        Answer::Accepted(Reply::new(250, (2, 6, 0), "").with_text(text))
    }

    /// Everything is decided again where rights depend on the senders in the header, or the time has come for them to end.
    /// What was decided by an entry that no longer counts is refused, for a recipient if there is one; and the message
    /// counts as of now.
    fn decide_again<'r>(
        &mut self,
        mail: &MailCommand,
        recipients: &'r [Recipient],
        header: &Header,
        size_bytes: u64,
        mut counted: Vec<Counted>,
    ) -> Result<(), (Option<&'r Mailbox>, Refusal)> {
        if self.varying.is_none() {
            return Ok(());
        }
        let header_senders = match &header.senders {
            Some(senders) if senders.is_readable() => HeaderSenders::Known(senders.mailboxes()),
            _ => HeaderSenders::Uncertain,
        };
        let known = Known { reverse_path: &mail.reverse_path, header_senders, recipient: None, counted: &counted };
        let of_the_whole = self.permit(&known, |rights| {
            self.decide_mail(rights, mail, size_bytes)?;
            self.decide_header(rights, header)
        });
        let permitted = of_the_whole.map_err(|refusal| (None, refusal))?;
        self.rights = permitted.rights;
        counted.extend(permitted.counted);
        for recipient in recipients {
            let known = Known {
                reverse_path: &mail.reverse_path,
                header_senders,
                recipient: Some(&recipient.mailbox),
                counted: &counted,
            };
            let of_one = self.permit(&known, |rights| self.decide_recipient(rights, mail, &recipient.mailbox));
            counted.extend(of_one.map_err(|refusal| (Some(&recipient.mailbox), refusal))?.counted);
        }
        self.running.quotas.renew(&counted).map_err(|_| (None, Refusal::QuotaExceeded))
    }

    /// Whether the header names nobody whom the peer may not use.
    fn decide_header(&self, rights: Rights, header: &Header) -> Result<(), Refusal> {
        sender::decide_header(&self.header_question(rights, header)).map(|_reason| ())
    }

    /// Whom the header names although the peer may not use the address, if that is why it is refused.
    fn denied_in(&self, header: &Header, refusal: Refusal) -> Option<String> {
        let is_why = matches!(refusal, Refusal::HeaderSendAsDenied(_) | Refusal::AnonymousHeaderSendAsDenied(_));
        match sender::denied(&self.header_question(self.rights, header)).filter(|_| is_why)? {
            sender::Denied::Address(_, address) => Some(address.to_string()),
            sender::Denied::Unreadable(_) => None,
        }
    }

    fn header_question<'a>(&'a self, rights: Rights, header: &'a Header) -> sender::HeaderQuestion<'a> {
        let settings = &self.revision.settings;
        sender::HeaderQuestion { rights, principal: &self.principal, senders: header.senders.as_ref(), settings }
    }

    fn write_received(&self, id: MessageId, envelope: &Envelope, recipient: Option<&Mailbox>, trace: &mut Vec<u8>) {
        let (esmtp, hello) = self.hello.as_ref().map_or((false, ""), |(esmtp, domain)| (*esmtp, &**domain));
        Received {
            helo: hello,
            esmtp,
            peer: self.peer.ip(),
            fqdn: self.connector.fqdn.as_str(),
            local: self.local.ip(),
            tls: self.tls.map(|(version, cipher)| Tls { version, cipher }),
            authenticated: matches!(self.principal, Principal::User(_)),
            smtputf8: envelope.smtputf8,
            id,
            recipient,
            time_ms: envelope.arrival.time_ms,
        }
        .write(trace);
    }
}
