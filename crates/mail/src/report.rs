//! Reports: what a server tells the sender about a message's fate (RFC 3461, RFC 3462, RFC 3464; RFC 6533 for addresses
//! beyond ASCII).
//!
//! Takes what is known about a message and some of its recipients, hands on a whole message of three parts: words for a
//! person, the same for a program, and the original or its header section. A [`Summary`] is the same about several
//! messages, or for somebody who is not the sender. Never decides whether a report is due and never addresses it; the
//! caller sends it from the null reverse-path. Nothing that came from outside (subjects, replies, envelope ids) can begin
//! a line of its own in it.

mod summary;
mod words;
mod explain;
mod status_part;
mod original;
mod text;
mod multipart;

use crate::address::Mailbox;
use crate::envelope::{Envelope, MessageId, Recipient};
use crate::status::Reply;

pub use explain::{advise, explain};
pub use summary::{CASES_MAX, Summary, Undelivered, UndeliveredRecipient, Whose};

use multipart::{Header, write_message};
use original::OriginalFields;

/// How much of a reply's text a report repeats, in bytes.
pub const REPLY_BYTES_MAX: usize = 1000;
/// How much of the original's subject a report repeats, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 500;

/// What a report says happened (RFC 3464 section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Given up.
    Failed,
    /// Not delivered yet; tried further.
    Delayed,
    /// Put into the recipient's mailbox.
    Delivered,
    /// Handed to a server that makes no reports.
    Relayed,
    /// Handed to the members of a group.
    Expanded,
}

impl Kind {
    /// The Action field (RFC 3464 section 2.3.3).
    fn action(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Delayed => "delayed",
            Kind::Delivered => "delivered",
            Kind::Relayed => "relayed",
            Kind::Expanded => "expanded",
        }
    }

    /// The start of the Subject field, as Exchange writes it.
    fn subject(self) -> &'static str {
        match self {
            Kind::Failed => "Subject: Undeliverable:",
            Kind::Delayed => "Subject: Delivery delayed:",
            Kind::Delivered => "Subject: Delivered:",
            Kind::Relayed => "Subject: Relayed:",
            Kind::Expanded => "Subject: Expanded:",
        }
    }
}

/// What of the original message goes back.
#[derive(Clone, Copy, Debug)]
pub enum Original<'a> {
    /// Its header section, with or without the empty line that ends it.
    Headers(&'a [u8]),
    /// All of its content. Content that cannot stand within another message (lines longer than 998 bytes, bare CR or
    /// LF, NUL) is returned as its header section.
    Full(&'a [u8]),
}

/// One recipient that a report is about.
#[derive(Clone, Copy, Debug)]
pub struct FailedRecipient<'a> {
    /// Who.
    pub recipient: &'a Recipient,
    /// Name of the server that was talked to, if any was.
    pub remote_mta: Option<&'a str>,
    /// The remote server's reply, or our own.
    pub reply: &'a Reply,
    /// Whether `reply` is the remote server's.
    pub is_remote: bool,
    /// When delivery was last tried: Unix time in milliseconds; `None` if it never was.
    pub last_attempt_ms: Option<u64>,
    /// When we will give up, for [`Kind::Delayed`]: Unix time in milliseconds.
    pub retry_until_ms: Option<u64>,
}

/// A report to be written.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What happened, to all of `recipients`.
    pub kind: Kind,
    /// The name that this server reports under.
    pub reporting_mta: &'a str,
    /// Whom the report is from.
    pub postmaster: &'a Mailbox,
    /// Whom the report is for: the mailbox of the original's reverse-path.
    pub to: &'a Mailbox,
    /// The original's envelope.
    pub envelope: &'a Envelope,
    /// The original's number here.
    pub id: MessageId,
    /// Text that no other report of this server has; letters, digits, `.`, `-` and `_` of it name the report.
    pub report_id: &'a str,
    /// Now: Unix time in milliseconds.
    pub time_ms: u64,
    /// Whom the report is about, at least one.
    pub recipients: &'a [FailedRecipient<'a>],
    /// What of the original goes back.
    pub original: Original<'a>,
    /// Whether the report may name servers and addresses within the organization (fact sheet section 4.3,
    /// NDRDiagnosticInfoEnabled).
    pub with_diagnostics: bool,
}

impl Report<'_> {
    /// The whole message: lines of at most 998 bytes, each ended by CRLF.
    pub fn write(&self) -> Vec<u8> {
        let original = OriginalFields::of(self.original);
        let parts = [
            words::part(self, original.subject.as_deref()),
            status_part::part(self),
            original::part(self.original, self.envelope.smtputf8),
        ];
        let header = Header {
            from: self.postmaster,
            to: self.to,
            time_ms: self.time_ms,
            name: multipart::name(self.report_id, self.id),
            reporting_mta: self.reporting_mta,
            in_reply_to: original.message_id.as_deref(),
            subject_start: self.kind.subject(),
            subject: original.subject.as_deref(),
            is_utf8: self.needs_smtputf8(),
            content_type: "multipart/report; report-type=delivery-status",
        };
        write_message(&header, &parts)
    }

    /// Whether the report's own header section holds an address beyond ASCII, so that it must travel with SMTPUTF8.
    /// Addresses beyond ASCII elsewhere in it are escaped (RFC 6533 section 3) and do not need that.
    pub fn needs_smtputf8(&self) -> bool {
        self.to.needs_smtputf8() || self.postmaster.needs_smtputf8()
    }
}

#[cfg(test)]
mod tests;
