//! Step 6 of 9 - spool: takes the content in, and says 250 only when it is on disk (invariant I2).
//!
//! Takes slices of content on the way to the disk (see [`incoming`](super::incoming)). At the end the message is judged as a
//! whole, resolved, stamped and committed, and only then answered.

use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::encoded_word::decoded;
use gatepost_mail::header::Scanner;
use gatepost_mail::organization::Stamps;
use gatepost_mail::trace::{Received, Tls, date};
use gatepost_mail::{Arrival, Envelope, Mailbox, MessageId, Recipient, Reply, ReversePath, rewrite};
use gatepost_policy::access_entry::Principal;
use gatepost_policy::permission::HeaderSenders;
use gatepost_policy::resolve::{self, Resolved};
use gatepost_policy::{Refusal, header_firewall, permission, priority, repair, sender};
use gatepost_smtp::{Answer, MailCommand};
use gatepost_spool::{Commit, CommitError, StageError, Staged};
use gatepost_tracking::DecisionId;
use gatepost_tracking::decision::bounded;
use gatepost_tracking::passport::event::{Event, Facts, Step, Tls as PassportTls, What};
use gatepost_tracking::passport::write_label;

use super::incoming::{Content, Fault, Incoming};
use super::judge::Objection;
use super::permit::Known;
use super::record::Refused;
use super::visit::{OUT_OF_STEP, Said, Transaction, Visit, text};
use crate::categorize::{self, Plan};
use crate::clock::{self, now_ms};
use crate::passports;
use crate::quotas::Counted;
use crate::recording::{self, HandOver};
use crate::report;
use crate::state::{Running, count};

/// The disk is full, or fails: Exchange has one reply for all its resources, and which of them it is concerns nobody outside.
const NOT_STORED: Reply = Reply::new(452, (4, 3, 1), "Insufficient system resources");
const STOPPING: Reply = Reply::new(421, (4, 3, 2), "Service not available, closing transmission channel");
/// Room for the fields that stand in front of nearly every message.
const TRACE_BYTES: usize = 768;

/// A message as it goes to the disk.
struct Composed {
    staged: Staged,
    envelope: Envelope,
    /// The fields in front of what was staged.
    trace: Vec<u8>,
    /// Groups whose sender wants to hear that their members took their place.
    expanded: Vec<Recipient>,
    summary: Summary,
}

/// A message that the disk is waited for.
struct OnTheWay {
    commit: Commit,
    plan: Plan,
    expanded: Vec<Recipient>,
    summary: Summary,
    hand_over: HandOver,
    /// What it was counted for, until the disk has it.
    counted: Vec<Counted>,
}

/// What is said of a message once its parts are on their way.
struct Summary {
    id: MessageId,
    time_ms: u64,
    message_id: String,
    sender: String,
    /// Whom RCPT named first.
    first_named: Option<Mailbox>,
    /// How many it is for in the end.
    recipient_count: usize,
    size_bytes: u64,
    decision: Option<DecisionId>,
    /// Where it came from, for its passport.
    facts: Box<Facts>,
    /// Whom the peer named, where others took their place.
    named: Option<Vec<Box<str>>>,
}

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
        let scanner = if senders_matter { scanner.with_senders() } else { scanner };
        let rules = header_firewall::decide(self.rights);
        let spool = &self.running.spool;
        let staged = if self.principal.is_anonymous() { spool.stage_for_stranger() } else { spool.stage() };
        let mut incoming = Incoming::new(staged, scanner, rules);
        if self.connector.repair.senders {
            let sender = transaction.mail.reverse_path.mailbox().cloned();
            let default_domain = self.connector.default_domain.as_ref();
            let default_domain = default_domain.or(self.revision.settings.domains.default_domain()).cloned();
            let smtputf8 = transaction.mail.smtputf8;
            let edit = move |field: &[u8]| {
                let (sender, default_domain) = (sender.as_ref(), default_domain.as_ref());
                rewrite::repair(field, &rewrite::Repair { sender, default_domain, smtputf8 })
            };
            incoming = incoming.repairing(Box::new(edit));
        }
        transaction.incoming = Some(incoming);
        Answer::Accept
    }

    /// The next piece of the content.
    pub fn content(&mut self, bytes: &[u8]) {
        if let Some(Transaction { incoming: Some(incoming), .. }) = self.transaction.as_deref_mut() {
            incoming.push(bytes, &self.connector, self.rights);
        }
    }

    /// The content is complete.
    pub(super) async fn end_content(&mut self) -> Answer {
        let began = clock::now();
        let OnTheWay { commit, plan, expanded, mut summary, hand_over, counted } = match self.hand_over() {
            Ok(on_the_way) => on_the_way,
            Err(answer) => return *answer,
        };
        if let Err(error) = commit.await {
            hand_over.noted();
            self.running.quotas.take_back(&counted);
            return self.refuse_uncommitted(&summary, &error);
        }
        // Before anybody delivers it.
        note_received(&self.running, &mut summary);
        hand_over.noted();
        send_on(&self.running, &summary, plan, expanded).await;
        self.accepted(&summary, clock::now().saturating_duration_since(began))
    }

    /// Judges the message as a whole and gives it to the spool; or says why not. Apart from the waiting, so that nothing of
    /// this has room in the state that each connection keeps.
    fn hand_over(&mut self) -> Result<OnTheWay, Box<Answer>> {
        self.ending = self.transaction.as_deref().map(Said::of);
        let transaction = self.transaction.take().map(|transaction| *transaction);
        let Some(Transaction { mail, recipients, counted, incoming: Some(incoming), .. }) = transaction else {
            return Err(Answer::Refuse(OUT_OF_STEP).into());
        };
        let content = match incoming.finish() {
            Ok(content) => content,
            Err(Fault::Refused(refusal)) => return Err(self.refuse_content(&mail, refusal.into()).into()),
            Err(Fault::Disk(error)) => {
                self.running.quotas.take_back(&counted);
                return Err(self.refuse_unstaged(error).into());
            }
        };
        let counted = match self.judge(&mail, &recipients, &content, counted) {
            Ok(counted) => counted,
            Err(objection) => return Err(self.refuse_content(&mail, objection).into()),
        };
        let Composed { staged, envelope, trace, expanded, summary } = self.compose(mail, recipients, content);
        // Routes are those in force now: this connection may have begun long before the settings last changed.
        let plan = categorize::plan(&self.running, &self.running.revision(), &envelope, summary.size_bytes);
        let hand_over = HandOver::begin(&self.running.recording);
        Ok(OnTheWay { commit: staged.commit(envelope, trace), plan, expanded, summary, hand_over, counted })
    }

    /// Says whom the message is for in the end, and writes down how it came.
    fn compose(&self, mail: MailCommand, named: Vec<Recipient>, content: Content) -> Composed {
        let Content { mut staged, header, brought, size_bytes } = content;
        let (id, time_ms) = (staged.id(), now_ms());
        let sender = mail.reverse_path.to_string();
        let first_named = named.first().map(|named| named.mailbox.clone());
        let only_named = first_named.as_ref().filter(|_| named.len() == 1);
        let auth_as = permission::auth_as(self.rights, &self.principal, mail.auth.as_ref());
        let arrival = Arrival {
            time_ms,
            peer: Some(self.peer),
            connector: (&*self.connector.name).into(),
            principal: self.principal.to_string().into(),
            auth_as: permission::with_brought(auth_as, brought.auth_as),
            originator: permission::originator(self.rights, mail.auth.as_ref()).cloned(),
            priority: priority::decide(
                &self.revision.settings.transport.queues.priorities,
                header.priority,
                size_bytes,
                (&self.principal, self.rights),
            ),
            ..Arrival::default()
        };
        // By the settings that RCPT was answered by: what was accepted then leads somewhere in them.
        let told_of: Vec<Mailbox> = match self.revision.settings.directory.recipients().is_empty() {
            true => Vec::new(),
            false => named.iter().map(|named| named.mailbox.clone()).collect(),
        };
        let Resolved { recipients, expanded } = resolve::resolve(&self.revision.settings, named);
        let are_others = !told_of.is_empty() && !told_of.iter().eq(recipients.iter().map(|r| &r.mailbox));
        let named = are_others.then(|| told_of.iter().map(text).collect());
        let envelope = envelope(mail, recipients, arrival, header.is_ascii);
        let message_id = header.message_id.unwrap_or_else(|| format!("<{id}.{time_ms}@{}>", self.connector.fqdn));

        let mut trace = Vec::with_capacity(TRACE_BYTES);
        self.write_received(id, &envelope, only_named, &mut trace);
        let stamps = Stamps {
            auth_as,
            auth_source: &self.revision.settings.server.name,
            auth_mechanism: permission::auth_mechanism(&self.principal),
            auth_domain: permission::auth_domain(&self.principal, &envelope.reverse_path),
            arrival_ms: time_ms,
            size_bytes,
        };
        stamps.write(brought, &mut trace);
        if !header.has_message_id {
            trace.extend_from_slice(format!("Message-ID: {message_id}\r\n").as_bytes());
        }
        if repair::adds_date(self.connector.repair, &self.principal, header.has_date) {
            trace.extend_from_slice(format!("Date: {}\r\n", date(time_ms)).as_bytes());
        }
        if self.connector.repair.senders
            && !header.has_from
            && let ReversePath::Mailbox(sender) = &envelope.reverse_path
        {
            trace.extend_from_slice(&rewrite::sender_field("From", sender));
        }
        if header.size_bytes == 0 {
            // Content without a header section: ours ends here, or the first body line would become a field.
            trace.extend_from_slice(b"\r\n");
        }

        let decision = recording::decision_id();
        let size_bytes = staged.len() + trace.len() as u64;
        let mut facts = self.facts(&message_id, header.subject.as_deref(), decision);
        staged.set_label(write_label(&facts));
        facts = passports::with_envelope(facts, &envelope);
        facts.size = size_bytes;
        let summary = Summary {
            decision,
            facts: Box::new(facts),
            named,
            id,
            time_ms,
            message_id,
            sender,
            first_named,
            recipient_count: envelope.recipients.len(),
            size_bytes,
        };
        Composed { staged, envelope, trace, expanded, summary }
    }

    /// What a passport says that no envelope does.
    fn facts(&self, message_id: &str, subject: Option<&[u8]>, decision: Option<DecisionId>) -> Facts {
        let has_subject = self.revision.settings.tracking.message_tracking_log_subject_logging_enabled;
        Facts {
            message_id: bounded(message_id),
            subject: subject.filter(|_| has_subject).map(|subject| bounded(&decoded(subject))),
            local: Some(self.local),
            hello: self.hello.as_ref().map(|(_, name)| bounded(name)),
            tls: self.tls.map(|(version, cipher)| PassportTls {
                version: version.into(),
                cipher: cipher.into(),
                proof: None,
            }),
            decision: decision.map(DecisionId::number),
            connection: Some(self.id),
            ..Facts::default()
        }
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

    fn refuse_content(&mut self, mail: &MailCommand, objection: Objection) -> Answer {
        let Objection { refusal, recipient, header_sender, header_senders } = objection;
        self.refuse(
            &Refused::Content { reverse_path: &mail.reverse_path, recipient, header_sender, header_senders },
            refusal,
        )
    }

    /// The content could not be written on the way to the disk.
    fn refuse_unstaged(&mut self, error: StageError) -> Answer {
        self.counted.not_stored();
        tracing::error!(%error, peer = %self.peer, "content could not be staged");
        Answer::Refuse(self.record_not_stored(&error, NOT_STORED).1)
    }

    /// The message could not be made safe.
    fn refuse_uncommitted(&mut self, summary: &Summary, error: &CommitError) -> Answer {
        let reply = match error {
            CommitError::Full | CommitError::Io(_) => NOT_STORED,
            CommitError::TooLarge => Refusal::MessageTooLarge.reply(),
            CommitError::Closed => STOPPING,
        };
        // The spool itself raises the alarm, once; this is one refusal of many.
        count(&self.running.counters.refusals);
        self.counted.not_stored();
        let (decision, told) = self.record_not_stored(error, reply.clone());
        tracing::info!(
            connector = &*self.connector.name, peer = %self.peer, principal = %self.principal, queue_id = summary.id.0,
            sender = summary.sender, reply = %reply, reason = %error, decision = decision.map(tracing::field::display),
            verdict = "refused", "refused"
        );
        if reply.code == STOPPING.code { Answer::Close(told) } else { Answer::Refuse(told) }
    }

    fn accepted(&mut self, summary: &Summary, took: Duration) -> Answer {
        let Summary { id, message_id, .. } = summary;
        count(&self.running.counters.messages_accepted);
        self.counted.accepted(&self.principal, summary.recipient_count, summary.size_bytes, took);
        let decision = summary.decision.and_then(|decision| self.record_accepted(id.0, decision));
        tracing::info!(
            connector = &*self.connector.name, peer = %self.peer, principal = %self.principal, queue_id = id.0,
            sender = summary.sender, recipient = summary.first_named.as_ref().map(tracing::field::display),
            recipients = summary.recipient_count, size = summary.size_bytes, message_id,
            tls = self.tls.map(|(version, _)| version), decision = decision.map(tracing::field::display),
            verdict = "accepted", "accepted"
        );
        let host = &self.revision.settings.server.name;
        let text = format!("{message_id} [InternalId={id}, Hostname={host}] Queued mail for delivery");
        Answer::Accepted(Reply::new(250, (2, 6, 0), "").with_text(text))
    }
}

/// Its passport begins.
fn note_received(running: &Running, summary: &mut Summary) {
    let queue_id = summary.id.0;
    let facts = std::mem::take(&mut summary.facts);
    running.tracking.note(Event::Received { queue_id, facts });
    if let Some(named) = summary.named.take() {
        let step = Step { time_ms: summary.time_ms, what: What::Resolved { named } };
        running.tracking.note(Event::Step { queue_id, step });
    }
}

/// The message is on disk and goes its way, whether or not the peer waits to hear of it.
async fn send_on(running: &Arc<Running>, summary: &Summary, plan: Plan, expanded: Vec<Recipient>) {
    if expanded.is_empty() {
        return categorize::enqueue(running, summary.id, summary.time_ms, plan, None);
    }
    Box::pin(async {
        // Read before anybody delivers it: with its last delivery the message ends.
        let expansion = report::Expansion::read(running, summary.id, expanded).await;
        categorize::enqueue(running, summary.id, summary.time_ms, plan, None);
        if let Some(expansion) = expansion {
            expansion.tell(running).await;
        }
    })
    .await;
}

fn envelope(mail: MailCommand, recipients: Vec<Recipient>, arrival: Arrival, header_is_ascii: bool) -> Envelope {
    // Whom an alias or a group leads to may need SMTPUTF8 where the peer's own words did not.
    let recipients_need_utf8 = recipients.iter().any(|recipient| recipient.mailbox.needs_smtputf8());
    let sender_needs_utf8 = mail.reverse_path.mailbox().is_some_and(|mailbox| mailbox.needs_smtputf8());
    Envelope {
        // A peer that sends raw 8-bit header fields without saying SMTPUTF8 is passed on as it came.
        smtputf8: recipients_need_utf8 || mail.smtputf8 && (sender_needs_utf8 || !header_is_ascii),
        reverse_path: mail.reverse_path,
        recipients,
        body: mail.body,
        ret: mail.ret,
        envid: mail.envid,
        arrival,
    }
}
