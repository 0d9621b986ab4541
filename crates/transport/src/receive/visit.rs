//! What is known of one connection while it lasts: who the peer is, what it may, and the transaction it has open.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost_mail::{Recipient, Reply};
use gatepost_policy::access_entry::{Principal, Rights};
use gatepost_policy::certificate::PeerCertificate;
use gatepost_policy::limits::{self, Saying};
use gatepost_policy::peer_certificate::{Identified, identify};
use gatepost_policy::permission::Facts;
use gatepost_policy::receive_connector::ReceiveConnector;
use gatepost_policy::{Refusal, permission};
use gatepost_smtp::MailCommand;
use gatepost_tracking::decision::{RECIPIENTS_MAX, bounded};
use gatepost_tracking::passport::event::{Connection, Tls};

use super::incoming::Incoming;
use crate::clock::{self, now_ms};
use crate::counters::ReceiveCounting;
use crate::quotas::{Counted, Quota, Source};
use crate::state::{Revision, Running};
use crate::transcript::Transcript;

/// The engine keeps commands in order; this is what a peer would hear if it did not.
pub const OUT_OF_STEP: Reply = Reply::new(503, (5, 5, 1), "Bad sequence of commands");

/// One peer's visit: what is known of it, and the transaction that it has open.
pub struct Visit {
    /// The number of the connection, for passports.
    pub id: u64,
    /// When it began, Unix time in milliseconds.
    began_ms: u64,
    began: Instant,
    /// Messages accepted, and commands and contents refused.
    pub messages: u32,
    pub refusals: u32,
    /// Why it ended, once that is known.
    pub end: Option<Box<str>>,
    pub running: Arc<Running>,
    pub revision: Arc<Revision>,
    pub connector: Arc<ReceiveConnector>,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// The numbers of the connector.
    pub counted: Arc<ReceiveCounting>,
    pub tls: Option<(&'static str, &'static str)>,
    /// What the peer has shown of itself, where it was asked.
    pub certificate: Option<Box<PeerCertificate>>,
    pub hello: Option<(bool, Box<str>)>,
    pub principal: Principal,
    /// Those that are held now; with each step of a message they may change, if `varying` says so.
    pub rights: Rights,
    /// Set where the rights are not the same for the whole session.
    pub varying: Option<Varying>,
    /// On the heap: between messages, and that is when many connections are open, there is none.
    pub transaction: Option<Box<Transaction>>,
    /// What was said in the transaction whose content is being judged, for its record.
    pub ending: Option<Said>,
    /// The size that the last MAIL declared.
    pub offered_size: Option<u64>,
    /// How long the answer to MAIL is held back, because resources are pressed.
    pub held_back: Option<Duration>,
    /// Whether a logon failed and the peer has not heard it.
    pub logon_failed: bool,
    /// Set when the peer may not even be greeted.
    pub refusal: Option<Refusal>,
    pub transcript: Option<Box<Transcript>>,
}

/// Why the rights of a session are not always the same.
pub struct Varying {
    /// The quotas that this peer may use up.
    pub quotas: Vec<Quota>,
}

/// MAIL to end of content.
pub struct Transaction {
    /// What MAIL said.
    pub mail: MailCommand,
    /// Whom RCPT was accepted for.
    pub recipients: Vec<Recipient>,
    /// Where those of them stand that the directory knows, by their places in it.
    pub known: HashMap<u32, usize>,
    /// The quotas that the message was counted for.
    pub counted: Vec<Counted>,
    /// How many recipients they lead to in the end, members of groups counted.
    pub end_count: usize,
    /// The content, once it has begun.
    pub incoming: Option<Incoming>,
    /// How many recipients there were when a command was refused last.
    pub refused_at: Option<usize>,
}

impl Visit {
    /// A peer that has just connected; `refusal` if it is one too many.
    pub fn new(
        running: Arc<Running>,
        revision: Arc<Revision>,
        connector: Arc<ReceiveConnector>,
        (peer, local): (SocketAddr, SocketAddr),
        refusal: Option<Refusal>,
        counted: Arc<ReceiveCounting>,
        transcript: Option<Transcript>,
    ) -> Visit {
        let principal = permission::initial_principal(&connector);
        let mut visit = Visit {
            id: running.recording.connection_id(),
            began_ms: now_ms(),
            began: clock::now(),
            messages: 0,
            refusals: 0,
            end: None,
            running,
            revision,
            connector,
            peer,
            local,
            counted,
            tls: None,
            certificate: None,
            hello: None,
            principal: principal.clone(),
            rights: Rights::NONE,
            varying: None,
            transaction: None,
            ending: None,
            offered_size: None,
            held_back: None,
            logon_failed: false,
            refusal,
            transcript: transcript.map(Box::new),
        };
        visit.become_principal(principal);
        visit
    }

    /// The peer is known to be `principal` from now on.
    pub fn become_principal(&mut self, principal: Principal) {
        let now_ms = now_ms();
        self.rights = permission::granted(&self.connector, &principal, &Facts::at(now_ms)).rights;
        self.varying = permission::depends_on_facts(&self.connector, &principal)
            .then(|| Varying { quotas: self.quotas_of(&principal) });
        self.principal = principal;
        if let Some(transcript) = &mut self.transcript {
            // The row that Exchange writes when the session's permissions are set (fact sheet section 2.3).
            let rights = permission::granted_without_conditions(&self.connector, &self.principal, now_ms);
            transcript.information(&rights.to_string(), "Set Session Permissions");
        }
    }

    fn quotas_of(&self, principal: &Principal) -> Vec<Quota> {
        let source = match principal {
            Principal::User(name) => Source::User(name),
            _ => Source::Address(self.peer.ip()),
        };
        let limits = permission::quotas(&self.connector, principal);
        limits
            .map(|(place, limit)| {
                let entry = &self.connector.entries[place];
                self.running.quotas.quota(&self.connector.name, (place, limit), entry, source)
            })
            .collect()
    }

    /// TLS is active now. Whatever was known before is forgotten, who the peer is included (RFC 3207 section 4.2): it may
    /// have been somebody between us and the peer who logged on in clear.
    ///
    /// `certificate` is what the peer has shown of itself, if it was asked.
    pub fn tls_started(&mut self, parameters: (&'static str, &'static str), certificate: Option<PeerCertificate>) {
        self.tls = Some(parameters);
        self.counted.handshakes.done(parameters.0);
        self.abandon();
        self.hello = None;
        if let Some(transcript) = &mut self.transcript {
            transcript.information(&format!("{} {}", parameters.0, parameters.1), "TLS negotiated");
        }
        let principal = permission::initial_principal(&self.connector);
        let principal = certificate.as_ref().and_then(|certificate| self.identify(certificate)).unwrap_or(principal);
        self.certificate = certificate.map(Box::new);
        if self.principal != principal {
            self.become_principal(principal);
        }
    }

    /// Whom the certificate makes of the peer; the log and the transcript say why, or why nobody.
    fn identify(&mut self, certificate: &PeerCertificate) -> Option<Principal> {
        let identified = identify(&self.connector, &self.revision.settings, certificate, now_ms());
        let name = certificate.name.as_ref().map(tracing::field::display);
        let (connector, peer, thumbprint) = (&*self.connector.name, self.peer, certificate.thumbprint);
        let told = match &identified {
            Ok(Identified { principal, reason }) => {
                tracing::info!(connector, %peer, %principal, certificate = name, %thumbprint, %reason, verdict = "identified", "identified");
                format!("identified by {reason}")
            }
            Err(reason) => {
                tracing::info!(connector, %peer, certificate = name, %thumbprint, %reason, verdict = "not identified", "not identified");
                reason.to_string()
            }
        };
        if let Some(transcript) = &mut self.transcript {
            transcript.information(&thumbprint.to_string(), &told);
        }
        identified.ok().map(|identified| identified.principal)
    }

    /// The transaction is over without a message.
    pub fn reset(&mut self) {
        self.abandon();
    }

    /// The peer's line, as the transcript may show it.
    pub fn heard(&mut self, line: &[u8]) {
        if let Some(transcript) = &mut self.transcript {
            transcript.received(line);
        }
    }

    /// How long our reply is to be held back, if it is; the transcript says so.
    pub fn tarpit(&mut self, reply: &[u8]) -> Option<Duration> {
        let code = reply.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let saying = match code {
            _ if std::mem::take(&mut self.logon_failed) => Saying::LogonFailed,
            code => Saying::Reply(code?),
        };
        let pressed = self.held_back.take().unwrap_or_default();
        let interval = limits::tarpit(&self.connector, &self.principal, saying).max(pressed);
        if interval.is_zero() || self.running.is_stopping() {
            return None;
        }
        if let Some(transcript) = &mut self.transcript {
            let seconds = interval.as_secs();
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            transcript.information(&format!("Tarpit for '0.{hours:02}:{minutes:02}:{seconds:02}'"), "");
        }
        Some(interval)
    }

    /// Our reply.
    pub fn said(&mut self, bytes: &[u8]) {
        if bytes.starts_with(b"221") || bytes.starts_with(b"421") || bytes.starts_with(b"554 5.7.1 Connection") {
            self.end = Some(bounded(String::from_utf8_lossy(bytes).trim_ascii()));
        }
        if let Some(transcript) = &mut self.transcript {
            transcript.sent(bytes);
        }
    }

    /// The connection as it is recorded at its end.
    pub(super) fn recorded(&mut self) -> Connection {
        let tls = self.tls.map(|(version, cipher)| Tls { version: version.into(), cipher: cipher.into(), proof: None });
        Connection {
            id: self.id,
            time_ms: self.began_ms,
            duration_ms: u64::try_from(clock::now().saturating_duration_since(self.began).as_millis())
                .unwrap_or(u64::MAX),
            peer: self.peer,
            local: self.local,
            connector: self.connector.name.clone(),
            hello: self.hello.as_ref().map(|(_, name)| bounded(name)),
            principal: text(&self.principal),
            tls,
            messages: self.messages,
            refusals: self.refusals,
            end: self.end.take().unwrap_or_else(|| "the peer was cut off".into()),
        }
    }

    /// The network ended the connection.
    pub fn ended_by(&mut self, error: &io::Error) {
        self.end = Some(text(error));
        tracing::debug!(connector = &*self.connector.name, peer = %self.peer, %error, "connection broke");
    }
}

/// What was said in a transaction, for its record.
#[derive(Default)]
pub struct Said {
    pub sender: Option<Box<str>>,
    pub recipients: Vec<Box<str>>,
    pub recipient_count: u32,
    pub size: Option<u64>,
}

impl Said {
    /// What was said so far.
    pub fn of(transaction: &Transaction) -> Said {
        let recipients = &transaction.recipients;
        let content = transaction.incoming.as_ref().map(Incoming::size_bytes);
        Said {
            sender: Some(text(&transaction.mail.reverse_path)),
            recipients: recipients.iter().take(RECIPIENTS_MAX).map(|recipient| text(&recipient.mailbox)).collect(),
            recipient_count: u32::try_from(recipients.len()).unwrap_or(u32::MAX),
            size: content.or(transaction.mail.size),
        }
    }
}

/// A value as a record holds it.
pub fn text(value: &(impl Display + ?Sized)) -> Box<str> {
    bounded(&value.to_string())
}
