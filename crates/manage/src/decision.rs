//! Decision records as the management API shows them, with the settings documents that they were taken under.
//!
//! Takes a record of the running server, hands on values that serialize. Times are Unix milliseconds (`*_ms`), sizes are
//! bytes (`*_bytes`). Never decides anything.

use std::io;
use std::net::SocketAddr;

use gatepost_mail::Domain;
use gatepost_policy::certificate::{PeerCertificate, Thumbprint, Untrusted};
use gatepost_tracking::{Command, DecisionId, RevisionId, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::history::History;

/// `GET /api/v1/decisions/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DecisionDetail {
    /// What was recorded.
    pub decision: Decision,
    /// The settings document that it was taken under; none if that is kept no more.
    pub document: Option<RevisionDocument>,
    /// The settings document in force now, if it is another one.
    pub in_force: Option<RevisionDocument>,
}

/// A settings document as it was loaded.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RevisionDocument {
    /// Its id.
    pub revision: String,
    /// Its number in the history.
    #[serde(default)]
    pub number: u64,
    /// Its text.
    pub text: String,
    /// The host name that it was read with.
    pub host_name: String,
    /// Since when it was in force.
    pub loaded_ms: u64,
}

/// What was recorded of one decision.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Twelve hexadecimal digits, as the reply shows them.
    pub id: String,
    /// When.
    pub time_ms: u64,
    /// Id of the settings document.
    pub revision: String,
    /// Where the peer came from.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// The receive connector; none if none hears the peer.
    pub connector: Option<String>,
    /// Who the peer was.
    pub principal: String,
    /// The name that it logged on with, or tried to.
    pub user: Option<String>,
    /// The TLS protocol, inside TLS.
    pub tls_version: Option<String>,
    /// The cipher suite, inside TLS.
    pub tls_cipher: Option<String>,
    /// The certificate that it presented, where it was asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// What it called itself.
    pub hello: Option<String>,
    /// How far the peer had come.
    pub command: Stage,
    /// The reverse-path.
    pub sender: Option<String>,
    /// The address in the header that content was refused for.
    pub header_sender: Option<String>,
    /// Whom the header names as its senders, each behind its field, where content was refused under conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub header_senders: Vec<String>,
    /// The recipient of the RCPT that was refused.
    pub refused_recipient: Option<String>,
    /// Recipients accepted before; not all where there were many.
    pub recipients: Vec<String>,
    /// How many recipients were accepted before.
    pub recipient_count: u32,
    /// The size of the content, or what MAIL declared.
    pub size_bytes: Option<u64>,
    /// How it ended.
    pub verdict: Outcome,
    /// The queue id of the accepted message.
    pub queue_id: Option<u64>,
    /// A name for the reason of a refusal that stays the same while words change.
    pub name: Option<String>,
    /// The reason of a refusal, as the log has it.
    pub reason: Option<String>,
    /// The reply of a refusal, without the id; none where the connection was closed without a word.
    pub reply: Option<String>,
    /// How many refusals this record stands for, where it is more than one.
    pub count: Option<u64>,
    /// When the last of those was.
    pub until_ms: Option<u64>,
}

/// A certificate that a peer presented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// Its SHA-256, in hexadecimal digits.
    pub thumbprint: String,
    /// `<I>issuer<S>subject`; none where they cannot be read.
    pub name: Option<String>,
    /// The domains that it is for; not all where there are many.
    pub domains: Vec<String>,
    /// `unproven`, `unreadable`, `expired`, `not-yet-valid`, `unknown-issuer` or `unsound`; none where a trusted root stands
    /// behind it.
    pub fault: Option<String>,
}

/// The id of a decision that stands somewhere in `text`, such as a whole reply.
pub fn id_in(text: &str) -> Option<String> {
    DecisionId::find_in(text).map(|id| id.to_string())
}

impl From<gatepost_tracking::decision::Certificate> for Certificate {
    fn from(certificate: gatepost_tracking::decision::Certificate) -> Self {
        Certificate {
            thumbprint: Thumbprint(certificate.thumbprint).to_string(),
            name: Some(String::from(certificate.name)).filter(|name| !name.is_empty()),
            domains: certificate.domains.into_iter().map(String::from).collect(),
            fault: certificate.fault.map(String::from),
        }
    }
}

impl Certificate {
    /// As decisions know it, for asking them again; a fault whose word nobody knows any more counts as the worst.
    pub fn to_policy(&self) -> Option<PeerCertificate> {
        let fault = |word: &String| {
            let known = Untrusted::NAMED.into_iter().find(|(name, _)| name == word);
            known.map_or(Untrusted::Unproven, |(_, fault)| fault)
        };
        Some(PeerCertificate {
            thumbprint: Thumbprint::parse(&self.thumbprint)?,
            name: self.name.as_ref().and_then(|name| name.parse().ok()),
            domains: self.domains.iter().filter_map(|domain| Domain::parse(domain).ok()).collect(),
            trust: self.fault.as_ref().map(fault).map_or(Ok(()), Err),
        })
    }
}

/// How far a peer had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Stage {
    /// It connected.
    #[serde(rename = "connect")]
    Connect,
    /// AUTH.
    #[serde(rename = "AUTH")]
    Auth,
    /// MAIL.
    #[serde(rename = "MAIL")]
    Mail,
    /// RCPT.
    #[serde(rename = "RCPT")]
    Rcpt,
    /// The content.
    #[serde(rename = "content")]
    Content,
}

/// How a decision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The message was accepted.
    Accepted,
    /// The command was refused.
    Refused,
    /// Commands were accepted, and no message came of them.
    Abandoned,
}

impl RevisionDocument {
    /// Looks for a document in the history; `None` if it was never in force here or has gone. Blocking.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn read(history: &History, id: RevisionId) -> io::Result<Option<RevisionDocument>> {
        let Some(revision) = history.find_document(id) else { return Ok(None) };
        let text = history.text(revision.number)?;
        Ok(text.map(|text| RevisionDocument {
            revision: revision.document.clone(),
            number: revision.number,
            text,
            host_name: revision.host_name.clone(),
            loaded_ms: revision.at_ms,
        }))
    }
}

impl From<gatepost_tracking::Decision> for Decision {
    fn from(decision: gatepost_tracking::Decision) -> Self {
        let filled = |text: Box<str>| Some(String::from(text)).filter(|text| !text.is_empty());
        let (verdict, queue_id, refusal) = match decision.verdict {
            Verdict::Accepted { queue_id } => (Outcome::Accepted, Some(queue_id), None),
            Verdict::Refused { name, reason, reply } => (Outcome::Refused, None, Some((name, reason, reply))),
            Verdict::Abandoned => (Outcome::Abandoned, None, None),
        };
        let (name, reason, reply) = refusal.unwrap_or_default();
        let (tls_version, tls_cipher) = decision.tls.unzip();
        Decision {
            id: decision.id.to_string(),
            time_ms: decision.time_ms,
            revision: decision.revision.to_string(),
            peer: decision.peer,
            local: decision.local,
            connector: filled(decision.connector),
            principal: decision.principal.into(),
            user: decision.user.map(String::from),
            tls_version: tls_version.map(String::from),
            tls_cipher: tls_cipher.map(String::from),
            hello: decision.hello.map(String::from),
            command: match decision.command {
                Command::Connect => Stage::Connect,
                Command::Auth => Stage::Auth,
                Command::Mail => Stage::Mail,
                Command::Rcpt => Stage::Rcpt,
                Command::Content => Stage::Content,
            },
            sender: decision.sender.map(String::from),
            header_sender: decision.header_sender.map(String::from),
            header_senders: decision.header_senders.into_iter().map(String::from).collect(),
            certificate: decision.certificate.map(|certificate| Certificate::from(*certificate)),
            refused_recipient: decision.refused_recipient.map(String::from),
            recipients: decision.recipients.into_iter().map(String::from).collect(),
            recipient_count: decision.recipient_count,
            size_bytes: decision.size,
            verdict,
            queue_id,
            name: filled(name),
            reason: filled(reason),
            reply: filled(reply),
            count: decision.repeats.map(|repeats| repeats.count),
            until_ms: decision.repeats.map(|repeats| repeats.until_ms),
        }
    }
}
