//! Reports about several messages at once, and notices for somebody who is not the sender.
//!
//! Takes what is known of each message and its failed recipients, hands on one message: words for a person, a delivery
//! status for each message (RFC 3464), and, where it is about one message only, that one's header section. Content never
//! goes back. [`Undelivered::read_report`] reads a report of ours again, for when it could not be delivered itself.

use std::net::IpAddr;

use super::explain::explain;
use super::multipart::{self, Header, Part, write_message};
use super::original::{OriginalFields, clean_section};
use super::status_part::{DESCRIPTION, field, final_recipient, literal};
use super::text::{Text, ascii, cut, readable, remote_name, reply_text};
use super::{FailedRecipient, Original};
use crate::address::{Mailbox, ReversePath};
use crate::envelope::{Envelope, MessageId};
use crate::field::token;
use crate::header::{fields, section_len};
use crate::status::Status;
use crate::trace::date;
use crate::xtext;

/// One summary tells of at most so many messages.
pub const CASES_MAX: usize = 1000;
/// Of the recipients of one message, a summary names at most so many.
const RECIPIENTS_MAX: usize = 100;
/// How much of a reply a summary repeats, in bytes.
const REPLY_BYTES_MAX: usize = 300;
/// How much of a subject a summary repeats, in bytes.
const TITLE_BYTES_MAX: usize = 120;
/// Of the header section of the one message, at most this much goes along, in bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Whom a summary is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The sender of all the messages.
    Sender,
    /// Who answers for the hosts that sent them, as their senders cannot be told.
    Owner,
}

/// A message that could not be delivered, as far as a summary tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Its number here.
    pub id: MessageId,
    /// When it arrived, Unix time in milliseconds.
    pub arrival_ms: u64,
    /// Its sender.
    pub sender: ReversePath,
    /// The receive connector that it came in through.
    pub connector: Box<str>,
    /// The host that brought it.
    pub peer: Option<IpAddr>,
    /// Its Message-ID field.
    pub message_id: Option<String>,
    /// Its Subject field.
    pub subject: Option<String>,
    /// The ENVID parameter, decoded.
    pub envid: Option<String>,
    /// Who did not get it; at most 100 are kept.
    pub recipients: Vec<UndeliveredRecipient>,
    /// How many more did not get it.
    pub others: usize,
    /// Its header section.
    pub header: Vec<u8>,
}

/// One recipient of such a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndeliveredRecipient {
    /// The address with its type, as RFC 3464 writes it: `rfc822; bob@fabrikam.com`.
    pub address: String,
    /// The enhanced status code.
    pub status: Status,
    /// The reply as one line.
    pub reply: String,
    /// Who said it, if not we.
    pub remote_mta: Option<String>,
}

impl Undelivered {
    /// A message whose recipients failed. `content` begins with its header section.
    pub fn new(id: MessageId, envelope: &Envelope, content: &[u8], recipients: &[FailedRecipient<'_>]) -> Undelivered {
        let length = section_len(content).unwrap_or(content.len()).min(HEADER_BYTES_MAX);
        let header = &content[..length];
        let original = OriginalFields::of(Original::Headers(header));
        let told = recipients.iter().take(RECIPIENTS_MAX).map(|failed| UndeliveredRecipient {
            address: final_recipient(&failed.recipient.mailbox, false),
            status: failed.reply.status_or_default(),
            reply: cut(&reply_text(&failed.reply.to_string()), REPLY_BYTES_MAX),
            remote_mta: failed.remote_mta.map(remote_name),
        });
        Undelivered {
            id,
            arrival_ms: envelope.arrival.time_ms,
            sender: envelope.reverse_path.clone(),
            connector: envelope.arrival.connector.clone(),
            peer: envelope.peer_ip(),
            message_id: original.message_id,
            subject: original.subject,
            envid: envelope.envid.as_deref().and_then(xtext::decode).map(|envid| ascii(&envid)),
            recipients: told.collect(),
            others: recipients.len().saturating_sub(RECIPIENTS_MAX),
            header: header.to_vec(),
        }
    }

    /// What a report of ours tells, read from its content. `to` is whom it was for: the sender of the message. `None` for
    /// anything else.
    pub fn read_report(content: &[u8], to: &Mailbox) -> Option<Undelivered> {
        let header = &content[..section_len(content)?];
        let content_type = fields(header).find(|field| field.is("Content-Type"))?.unfolded();
        let content_type = String::from_utf8(content_type).ok()?;
        let (_, boundary) = content_type.split_once("boundary=\"")?;
        let delimiter = format!("\r\n--{}", boundary.split('"').next()?);
        // Before the first part stands the header section; behind the last, nothing.
        let parts: Vec<&[u8]> = split(content, delimiter.as_bytes()).take(4).collect();
        let [_, _, status, original] = parts[..] else { return None };
        let status = String::from_utf8_lossy(body(status)?);
        let mut blocks = status.split("\r\n\r\n");
        let about = blocks.next()?;
        let (mut told, mut others) = (Vec::new(), 0);
        for block in blocks.filter(|block| !block.trim().is_empty()) {
            if told.len() < RECIPIENTS_MAX {
                told.push(UndeliveredRecipient::read(block)?);
            } else {
                others += 1;
            }
        }
        let original = body(original)?;
        let length = section_len(original).unwrap_or(original.len()).min(HEADER_BYTES_MAX);
        let original_fields = OriginalFields::of(Original::Headers(&original[..length]));
        Some(Undelivered {
            id: MessageId(value(about, "X-Gatepost-Queue-Id")?.parse().ok()?),
            arrival_ms: 0,
            sender: ReversePath::Mailbox(to.clone()),
            connector: "".into(),
            peer: value(about, "Received-From-MTA").as_deref().and_then(read_literal),
            message_id: original_fields.message_id,
            subject: original_fields.subject,
            envid: value(about, "Original-Envelope-Id"),
            recipients: told,
            others,
            header: original[..length].to_vec(),
        })
    }

    fn title(&self) -> Option<String> {
        let title = self.subject.as_deref().map(|subject| cut(&readable(subject), TITLE_BYTES_MAX));
        title.filter(|title| !title.is_empty())
    }
}

impl UndeliveredRecipient {
    fn read(block: &str) -> Option<UndeliveredRecipient> {
        let behind_type = |name: &str| {
            let value = value(block, name)?;
            Some(value.split_once("; ").map_or_else(|| value.clone(), |(_, value)| value.to_owned()))
        };
        Some(UndeliveredRecipient {
            address: value(block, "Final-Recipient")?,
            status: Status::parse_prefix(&value(block, "Status")?)?.0,
            reply: cut(&behind_type("Diagnostic-Code").unwrap_or_default(), REPLY_BYTES_MAX),
            remote_mta: behind_type("Remote-MTA"),
        })
    }

    /// The address without its type.
    fn plain(&self) -> &str {
        self.address.split_once("; ").map_or(&self.address, |(_, address)| address)
    }
}

/// The address in `dns; [192.0.2.1]`.
fn read_literal(value: &str) -> Option<IpAddr> {
    let address = value.strip_prefix("dns; [")?.strip_suffix(']')?;
    address.strip_prefix("IPv6:").unwrap_or(address).parse().ok()
}

/// The value of a field, on one line.
fn value(block: &str, name: &str) -> Option<String> {
    let value = fields(block.as_bytes()).find(|field| field.is(name))?.unfolded();
    String::from_utf8(value).ok().map(|value| value.trim().to_owned())
}

fn split<'a>(content: &'a [u8], delimiter: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(content);
    std::iter::from_fn(move || {
        let whole = rest?;
        let at = memchr::memmem::find(whole, delimiter);
        rest = at.map(|at| &whole[at + delimiter.len()..]);
        Some(at.map_or(whole, |at| &whole[..at]))
    })
}

/// A part of a message without its own header section.
fn body(part: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(part, b"\r\n\r\n")?;
    Some(&part[at + 4..])
}

/// A summary to be written.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// Whom it is for.
    pub whose: Whose,
    /// The name that this server reports under.
    pub reporting_mta: &'a str,
    /// Whom it is from.
    pub postmaster: &'a Mailbox,
    /// Whom it is for.
    pub to: &'a Mailbox,
    /// Text that no other report of this server has.
    pub report_id: &'a str,
    /// Now: Unix time in milliseconds.
    pub time_ms: u64,
    /// What it tells of: at least one message, at most [`CASES_MAX`].
    pub cases: &'a [Undelivered],
}

impl Summary<'_> {
    /// The whole message: lines of at most 998 bytes, each ended by CRLF.
    pub fn write(&self) -> Vec<u8> {
        let mut parts = vec![self.text_part()];
        parts.extend(self.cases.iter().map(|case| self.status_part(case)));
        let sole = match self.cases {
            [case] => Some(case),
            _ => None,
        };
        if let Some(case) = sole.filter(|case| !case.header.is_empty()) {
            let section = clean_section(&case.header);
            parts.push(Part::plain("text/rfc822-headers", "The header section of the message", section.into()));
        }
        let count = format!("{} messages", self.cases.len());
        let header = Header {
            from: self.postmaster,
            to: self.to,
            time_ms: self.time_ms,
            name: multipart::name(self.report_id, self.cases.first().map_or(MessageId(0), |case| case.id)),
            reporting_mta: self.reporting_mta,
            in_reply_to: sole.and_then(|case| case.message_id.as_deref()),
            subject_start: match self.whose {
                Whose::Sender => "Subject: Undeliverable:",
                Whose::Owner => "Subject: Notice of undeliverable mail:",
            },
            subject: match sole {
                Some(case) => Some(case.subject.as_deref().unwrap_or("a message")),
                None => Some(&count),
            },
            is_utf8: self.needs_smtputf8(),
            content_type: match sole {
                Some(_) => "multipart/report; report-type=delivery-status",
                // A report of that type is about one message (RFC 6522 section 3).
                None => "multipart/mixed",
            },
        };
        write_message(&header, &parts)
    }

    /// Whether the summary's own header section holds an address beyond ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        self.to.needs_smtputf8() || self.postmaster.needs_smtputf8()
    }

    fn text_part(&self) -> Part<'static> {
        let mut text = Text::default();
        text.paragraph("", &self.opening());
        for case in self.cases {
            text.blank();
            let title =
                case.title().map_or_else(|| "A message without a subject".to_owned(), |title| format!("\"{title}\""));
            text.paragraph("", &format!("{title}, queue id {}", case.id));
            if self.whose == Whose::Owner {
                self.tell_origin(case, &mut text);
            }
            for failed in &case.recipients {
                let code = failed.reply.get(..3).and_then(|code| code.parse().ok()).unwrap_or(550);
                text.paragraph("  ", &format!("To {}: {}", failed.plain(), explain(failed.status, code)));
                let speaker = failed.remote_mta.as_deref().unwrap_or("This server");
                text.paragraph("    ", &format!("{speaker} said: {}", failed.reply));
            }
            if case.others > 0 {
                text.paragraph("  ", &format!("and {} more recipients", case.others));
            }
        }
        text.blank();
        text.paragraph("", "Diagnostic information for administrators:");
        text.blank();
        text.paragraph("", &format!("Generating server: {}", token(self.reporting_mta)));
        text.paragraph("", "`gatepost trace` with a queue id shows what became of a message.");
        text.into_part("What happened")
    }

    fn opening(&self) -> String {
        match (self.whose, self.cases.len()) {
            (Whose::Sender, 1) => "A message of yours could not be delivered.".into(),
            (Whose::Sender, count) => format!(
                "{count} messages of yours could not be delivered. You had so many reports lately that these are \
                 put together into one."
            ),
            (Whose::Owner, 1) => "A message from a host that you answer for could not be delivered, and its sender \
                                  cannot be told."
                .into(),
            (Whose::Owner, count) => format!(
                "{count} messages from hosts that you answer for could not be delivered, and their senders cannot \
                 be told."
            ),
        }
    }

    /// Where a message came from, for whoever answers for it.
    fn tell_origin(&self, case: &Undelivered, text: &mut Text) {
        match &case.sender {
            ReversePath::Null => text.paragraph("  ", "It has no sender address to report to."),
            ReversePath::Mailbox(sender) => {
                text.paragraph("  ", &format!("The report to its sender, {sender}, could not be delivered either."));
            }
        }
        match case.peer {
            Some(peer) if case.connector.is_empty() => text.paragraph("  ", &format!("It came from {peer}.")),
            Some(peer) => {
                text.paragraph("  ", &format!("It came from {peer} through the receive connector {}.", case.connector));
            }
            None => {}
        }
    }

    fn status_part(&self, case: &Undelivered) -> Part<'static> {
        let mut body = Vec::new();
        if let Some(envid) = &case.envid {
            field(&mut body, "Original-Envelope-Id:", envid);
        }
        field(&mut body, "Reporting-MTA: dns;", &token(self.reporting_mta));
        if let Some(peer) = case.peer.filter(|_| self.whose == Whose::Owner) {
            field(&mut body, "Received-From-MTA: dns;", &literal(peer));
        }
        if case.arrival_ms > 0 {
            field(&mut body, "Arrival-Date:", &date(case.arrival_ms));
        }
        field(&mut body, "X-Gatepost-Queue-Id:", &case.id.to_string());
        if let Some(message_id) = &case.message_id {
            field(&mut body, "X-Original-Message-ID:", message_id);
        }
        for failed in &case.recipients {
            body.extend_from_slice(b"\r\n");
            field(&mut body, "Final-Recipient:", &failed.address);
            field(&mut body, "Action:", "failed");
            field(&mut body, "Status:", &failed.status.to_string());
            if let Some(remote_mta) = &failed.remote_mta {
                field(&mut body, "Remote-MTA: dns;", remote_mta);
            }
            field(&mut body, "Diagnostic-Code: smtp;", &failed.reply);
        }
        Part::plain("message/delivery-status", DESCRIPTION, body.into())
    }
}
