//! Reports (RFC 3461, 3462, 3464).
use crate::{Envelope, Mailbox, MessageId, Recipient, Reply, Status};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Given up.
    Failed,
    /// Not yet.
    Delayed,
    /// In the mailbox.
    Delivered,
    /// Handed to a server that makes no reports.
    Relayed,
    /// Handed to a list.
    Expanded,
}

/// What of the original goes back.
#[derive(Clone, Copy, Debug)]
pub enum Original<'a> {
    /// Its header section.
    Headers(&'a [u8]),
    /// All of it.
    Full(&'a [u8]),
}

/// One recipient that the report is about.
#[derive(Clone, Copy, Debug)]
pub struct FailedRecipient<'a> {
    /// Who.
    pub recipient: &'a Recipient,
    /// The server that spoke last.
    pub remote_mta: Option<&'a str>,
    /// The remote's reply, or our own.
    pub reply: &'a Reply,
    /// Whether `reply` is the remote's.
    pub is_remote: bool,
    /// Unix time in milliseconds.
    pub last_attempt_ms: u64,
    /// When we give up, for `Kind::Delayed`: Unix time in milliseconds.
    pub retry_until_ms: Option<u64>,
}

/// A report to be written.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What happened.
    pub kind: Kind,
    /// Our name.
    pub reporting_mta: &'a str,
    /// From.
    pub postmaster: &'a Mailbox,
    /// To.
    pub to: &'a Mailbox,
    /// Of the original.
    pub envelope: &'a Envelope,
    /// Of the original.
    pub id: MessageId,
    /// Unique text for the Message-ID and the boundary.
    pub report_id: &'a str,
    /// Now: Unix time in milliseconds.
    pub time_ms: u64,
    /// At least one.
    pub recipients: &'a [FailedRecipient<'a>],
    /// What of the original goes back.
    pub original: Original<'a>,
}

impl Report<'_> {
    /// The whole message, lines ended by CRLF.
    pub fn write(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Whether the report must travel as BODY=8BITMIME.
    pub fn is_8bit(&self) -> bool {
        false
    }
    /// Whether the report must travel with SMTPUTF8.
    pub fn needs_smtputf8(&self) -> bool {
        false
    }
}

/// Plain words for a status.
pub fn explain(_status: Status, _code: u16) -> &'static str {
    ""
}
