//! Leaves a record of what was decided about a peer, and puts its id into the reply of a refusal.
//!
//! Takes what the visit knows at that moment; hands on the id. A refused command leaves one record, an accepted message
//! one, and so does a transaction that ends without a message, unless it ended with a refusal. Errors of the dialogue (500, 501, 503) are no decisions.
//! Never holds up the session: the store takes what it can.

use std::fmt::Display;
use std::net::SocketAddr;

use gatepost_mail::{Mailbox, Reply, ReversePath};
use gatepost_policy::Refusal;
use gatepost_policy::access_entry::Principal;
use gatepost_policy::certificate::{PeerCertificate, Untrusted};
use gatepost_tracking::decision::{Certificate, DOMAINS_MAX, bounded};
use gatepost_tracking::passport::Event;
use gatepost_tracking::{Command, Decision, DecisionId, Verdict};

use super::visit::{Said, Transaction, Visit, text};
use crate::clock::now_ms;
use crate::recording::decision_id;
use crate::state::{Revision, Running};

/// A command that was refused, and what it named.
pub enum Refused<'a> {
    /// The connection itself.
    Connect,
    /// AUTH.
    Auth { user: &'a str },
    /// MAIL.
    Mail(&'a ReversePath),
    /// RCPT.
    Rcpt(&'a Mailbox),
    /// The content: for a recipient or a sender in the header, where it was for one of them.
    Content {
        reverse_path: &'a ReversePath,
        recipient: Option<Mailbox>,
        header_sender: Option<Mailbox>,
        /// Whom else the header names, for those who ask later why.
        header_senders: Vec<Box<str>>,
    },
}

impl Refused<'_> {
    /// The command's name in the log.
    pub fn command(&self) -> &'static str {
        match self {
            Refused::Connect => "CONNECT",
            Refused::Auth { .. } => "AUTH",
            Refused::Mail(_) => "MAIL",
            Refused::Rcpt(_) => "RCPT",
            Refused::Content { .. } => "DATA",
        }
    }

    /// What it named, for the log.
    pub fn argument(&self) -> String {
        match self {
            Refused::Connect => String::new(),
            Refused::Auth { user } => (*user).to_owned(),
            Refused::Mail(reverse_path) => reverse_path.to_string(),
            Refused::Rcpt(recipient) => recipient.to_string(),
            Refused::Content { reverse_path, recipient, header_sender, .. } => {
                let about = header_sender.as_ref().or(recipient.as_ref());
                about.map_or_else(|| reverse_path.to_string(), Mailbox::to_string)
            }
        }
    }
}

impl Visit {
    /// Records that a command was refused. Hands back the id and the reply that shows it.
    pub(super) fn record_refusal(&mut self, refused: &Refused<'_>, refusal: Refusal) -> (Option<DecisionId>, Reply) {
        self.refusals = self.refusals.saturating_add(1);
        let reply = refusal.reply();
        let Some(mut decision) = self.decision() else { return (None, reply) };
        if let Some(transaction) = &mut self.transaction {
            transaction.refused_at = Some(transaction.recipients.len());
        }
        match refused {
            Refused::Connect => decision.command = Command::Connect,
            Refused::Auth { user } => {
                decision.command = Command::Auth;
                decision.user = Some(bounded(user));
            }
            Refused::Mail(reverse_path) => {
                decision.command = Command::Mail;
                decision.sender = Some(text(reverse_path));
                decision.size = self.offered_size;
            }
            Refused::Rcpt(recipient) => {
                decision.command = Command::Rcpt;
                decision.refused_recipient = Some(text(recipient));
            }
            Refused::Content { recipient, header_sender, header_senders, .. } => {
                decision.header_senders.clone_from(header_senders);
                decision.command = Command::Content;
                decision.refused_recipient = recipient.as_ref().map(text);
                decision.header_sender = header_sender.as_ref().map(text);
            }
        }
        decision.verdict = verdict(refusal.name(), &refusal, &reply);
        self.store_refusal(decision, reply)
    }

    /// Records that content was not taken because the disk did not.
    pub(super) fn record_not_stored(&mut self, reason: &dyn Display, reply: Reply) -> (Option<DecisionId>, Reply) {
        let Some(mut decision) = self.decision() else { return (None, reply) };
        decision.command = Command::Content;
        decision.verdict = verdict("NotStored", reason, &reply);
        self.store_refusal(decision, reply)
    }

    /// Records that nobody had time to look at a password.
    pub(super) fn record_busy(&mut self, user: &str, reply: Reply) -> (Option<DecisionId>, Reply) {
        let Some(mut decision) = self.decision() else { return (None, reply) };
        decision.command = Command::Auth;
        decision.user = Some(bounded(user));
        decision.verdict = verdict("AuthenticationBusy", &"too many passwords wait to be checked", &reply);
        self.store_refusal(decision, reply)
    }

    fn store_refusal(&mut self, decision: Box<Decision>, reply: Reply) -> (Option<DecisionId>, Reply) {
        let id = self.running.tracking.refusal(decision);
        if !self.revision.settings.tracking.ids_in_replies {
            return (Some(id), reply);
        }
        let text = format!("{} [{id}]", reply.text);
        (Some(id), reply.with_text(text))
    }

    /// Records that a message was accepted.
    pub(super) fn record_accepted(&mut self, queue_id: u64, id: DecisionId) -> Option<DecisionId> {
        let mut decision = self.decision()?;
        decision.id = id;
        self.messages = self.messages.saturating_add(1);
        decision.command = Command::Content;
        decision.verdict = Verdict::Accepted { queue_id };
        self.running.tracking.record(&decision);
        Some(decision.id)
    }

    /// Ends a transaction that brought no message.
    pub(super) fn abandon(&mut self) {
        let Some(transaction) = &self.transaction else { return };
        // Where nothing was accepted after a refusal, the refusal was the end, and its record says all: one attempt is one record.
        if transaction.incoming.is_none() && transaction.refused_at == Some(transaction.recipients.len()) {
            self.transaction = None;
            return;
        }
        let command = match &**transaction {
            Transaction { incoming: Some(_), .. } => Command::Content,
            Transaction { recipients, .. } if !recipients.is_empty() => Command::Rcpt,
            _ => Command::Mail,
        };
        if let Some(mut decision) = self.decision() {
            decision.command = command;
            let sender = decision.sender.clone();
            let recipients = decision.recipient_count;
            let id = self.running.tracking.refusal(decision);
            tracing::debug!(
                connector = &*self.connector.name, peer = %self.peer, principal = %self.principal, sender, recipients,
                decision = %id, verdict = "abandoned", "abandoned"
            );
        }
        self.transaction = None;
    }

    /// What is known now, as the record of an abandoned transaction. `None` when the system gives no random id.
    fn decision(&mut self) -> Option<Box<Decision>> {
        let said = self.transaction.as_deref().map(Said::of).or_else(|| self.ending.take()).unwrap_or_default();
        Some(Box::new(Decision {
            id: decision_id()?,
            time_ms: now_ms(),
            revision: self.revision.document,
            peer: self.peer,
            local: self.local,
            connector: (&*self.connector.name).into(),
            principal: text(&self.principal),
            user: match &self.principal {
                Principal::User(name) => Some((&**name).into()),
                _ => None,
            },
            tls: self.tls.map(|(version, cipher)| (version.into(), cipher.into())),
            certificate: self.certificate.as_deref().map(|certificate| Box::new(recorded(certificate))),
            hello: self.hello.as_ref().map(|(_, name)| bounded(name)),
            command: Command::Mail,
            sender: said.sender,
            header_sender: None,
            header_senders: Vec::new(),
            refused_recipient: None,
            recipients: said.recipients,
            recipient_count: said.recipient_count,
            size: said.size,
            verdict: Verdict::Abandoned,
            repeats: None,
        }))
    }
}

/// A transaction that is still open when the visit ends, however that comes about, was given up.
impl Drop for Visit {
    fn drop(&mut self) {
        self.abandon();
        let connection = self.recorded();
        self.running.tracking.note(Event::Connection(Box::new(connection)));
    }
}

/// Records that nobody answers for a peer.
pub fn record_unheard(
    running: &Running,
    revision: &Revision,
    peer: SocketAddr,
    local: SocketAddr,
) -> Option<DecisionId> {
    let decision = Decision {
        id: decision_id()?,
        time_ms: now_ms(),
        revision: revision.document,
        peer,
        local,
        connector: "".into(),
        principal: "".into(),
        user: None,
        tls: None,
        certificate: None,
        hello: None,
        command: Command::Connect,
        sender: None,
        header_sender: None,
        header_senders: Vec::new(),
        refused_recipient: None,
        recipients: Vec::new(),
        recipient_count: 0,
        size: None,
        verdict: Verdict::Refused {
            name: "NoConnector".into(),
            reason: "no receive connector hears this address there".into(),
            reply: "".into(),
        },
        repeats: None,
    };
    Some(running.tracking.refusal(Box::new(decision)))
}

fn recorded(certificate: &PeerCertificate) -> Certificate {
    let word = |fault: Untrusted| Untrusted::NAMED.into_iter().find(|(_, named)| *named == fault);
    Certificate {
        thumbprint: certificate.thumbprint.0,
        name: certificate.name.as_ref().map(text).unwrap_or_default(),
        domains: certificate.domains.iter().take(DOMAINS_MAX).map(text).collect(),
        fault: certificate.trust.err().and_then(word).map(|(word, _)| word.into()),
    }
}

fn verdict(name: &str, reason: &dyn Display, reply: &Reply) -> Verdict {
    Verdict::Refused { name: bounded(name), reason: text(reason), reply: text(reply) }
}
