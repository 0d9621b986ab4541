//! Reports: what a server tells the sender about a message's fate (RFC 3461, RFC 3462, RFC 3464; RFC 6533 for addresses
//! beyond ASCII).
//!
//! Takes what is known about a message and some of its recipients, hands on a whole message of three parts: words for a
//! person, the same for a program, and the original or its header section. Never decides whether a report is due and
//! never addresses it; the caller sends it from the null reverse-path. Nothing that came from outside (subjects,
//! replies, envelope ids) can begin a line of its own in it.

mod explain;

use std::borrow::Cow;
use std::fmt::Write;

use crate::address::Mailbox;
use crate::envelope::{Envelope, MessageId, Recipient};
use crate::field::{FieldWriter, TOKEN_BYTES_MAX, pieces, printable, token};
use crate::header::{fields, section_len};
use crate::status::Reply;
use crate::trace::date;
use crate::xtext;

pub use explain::{advise, explain};

/// How much of a reply's text a report repeats, in bytes.
pub const REPLY_BYTES_MAX: usize = 1000;
/// How much of the original's subject a report repeats, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 500;
/// How much of a report's id its names use, in bytes: a boundary has at most 70 (RFC 2046 section 5.1.1).
const NAME_BYTES_MAX: usize = 48;
/// Longest line of a message, in bytes without CRLF (RFC 5322 section 2.1.1).
const LINE_BYTES_MAX: usize = 998;
/// Where the lines of the text for a person are broken, in bytes.
const TEXT_LINE_BYTES: usize = 76;

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
    /// When delivery was last tried: Unix time in milliseconds.
    pub last_attempt_ms: u64,
    /// When we will give up, for [`Kind::Delayed`]: Unix time in milliseconds.
    pub retry_until_ms: Option<u64>,
}

/// A report to be written.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What happened, to all of `recipients`.
    pub kind: Kind,
    /// This server's name.
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
}

/// One part of the multipart message.
struct Part<'a> {
    content_type: &'static str,
    description: &'static str,
    /// Borrowed where it is the original, which may be large.
    body: Cow<'a, [u8]>,
}

impl Report<'_> {
    /// The whole message: lines of at most 998 bytes, each ended by CRLF.
    pub fn write(&self) -> Vec<u8> {
        let parts = [self.text_part(), self.status_part(), self.original_part()];
        let boundary = self.boundary(&parts);
        let mut out = Vec::with_capacity(2048 + parts.iter().map(|part| part.body.len()).sum::<usize>());
        let encoding = |bytes: &[u8]| if bytes.is_ascii() { "7bit" } else { "8bit" };
        // A multipart says 8bit if one of its parts does (RFC 2045 section 6.4).
        let widest = parts.iter().map(|part| encoding(&part.body)).max().expect("there are three parts");
        self.write_header(&boundary, widest, &mut out);
        out.extend_from_slice(b"This is a report about a message, in several parts (MIME).\r\n");
        for part in &parts {
            let Part { content_type, description, body } = part;
            let head = [
                format!("\r\n--{boundary}\r\n"),
                format!("Content-Type: {content_type}\r\n"),
                format!("Content-Description: {description}\r\n"),
                format!("Content-Transfer-Encoding: {}\r\n\r\n", encoding(body)),
            ];
            out.extend_from_slice(head.concat().as_bytes());
            out.extend_from_slice(body);
        }
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        out
    }

    /// Whether the report holds 8-bit text, so that its envelope must say `BODY=8BITMIME`.
    pub fn is_8bit(&self) -> bool {
        self.needs_smtputf8()
            || !self.returned().bytes().is_ascii()
            || self.recipients.iter().any(|r| r.recipient.mailbox.needs_smtputf8())
    }

    /// Whether the report's own header section holds an address beyond ASCII, so that it must travel with SMTPUTF8.
    /// Addresses beyond ASCII elsewhere in it are escaped (RFC 6533 section 3) and do not need that.
    pub fn needs_smtputf8(&self) -> bool {
        self.to.needs_smtputf8() || self.postmaster.needs_smtputf8()
    }

    fn write_header(&self, boundary: &str, encoding: &str, out: &mut Vec<u8>) {
        let mut field = |start: &str, value: std::fmt::Arguments<'_>| {
            let mut field = FieldWriter::start(out, start);
            field.piece(value);
            field.end();
        };
        field("From: Mail Delivery System", format_args!("<{}>", self.postmaster));
        field("To:", format_args!("<{}>", self.to));
        field("Date:", format_args!("{}", date(self.time_ms)));
        field("Message-ID:", format_args!("<{}@{}>", self.name(), token(self.reporting_mta)));
        let original = self.original_fields();
        if let Some(message_id) = &original.message_id {
            field("In-Reply-To:", format_args!("{message_id}"));
            field("References:", format_args!("{message_id}"));
        }
        let mut subject = FieldWriter::start(out, self.kind.subject());
        match &original.subject {
            Some(text) if text.is_ascii() || self.needs_smtputf8() => subject.text(text),
            Some(text) => encoded_words(text).iter().for_each(|word| subject.piece(format_args!("{word}"))),
            None => subject.text("your message"),
        }
        subject.end();
        // RFC 3834 section 5 and RFC 3464 section 2: nobody should answer this by machine.
        out.extend_from_slice(b"Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
        out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
        out.extend_from_slice(b"Content-Type: multipart/report; report-type=delivery-status;\r\n");
        out.extend_from_slice(format!(" boundary=\"{boundary}\"\r\n\r\n").as_bytes());
    }

    /// `report_id`, as far as it can stand in a Message-ID and a boundary.
    fn name(&self) -> String {
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name: String = self.report_id.chars().filter(is_plain).take(NAME_BYTES_MAX).collect();
        // A dot-atom has no dots at its ends nor two in a row (RFC 5322 section 3.2.3).
        let name = name.split('.').filter(|atom| !atom.is_empty()).collect::<Vec<_>>().join(".");
        if name.is_empty() { format!("report-{}", self.id) } else { name }
    }

    /// A delimiter that occurs in none of the parts. Only someone who knows `report_id` beforehand can make this look
    /// further than its first try.
    fn boundary(&self, parts: &[Part<'_>]) -> String {
        let name = self.name();
        let mut boundary = format!("gatepost-{name}");
        let mut tries = 0_u32;
        while parts.iter().any(|part| memchr::memmem::find(&part.body, boundary.as_bytes()).is_some()) {
            tries += 1;
            boundary = format!("gatepost-{tries}-{name}");
        }
        boundary
    }

    /// Part one: for a person.
    fn text_part(&self) -> Part<'static> {
        let mut text = Text::default();
        text.paragraph("", &self.kind.opening(self.recipients.len()));
        for failed in self.recipients {
            text.blank();
            text.paragraph("  ", &failed.recipient.mailbox.to_string());
            if let Some(named) = self.named_by_sender(failed.recipient) {
                text.paragraph("    ", &format!("You wrote to: {named}"));
            }
            self.describe(failed, &mut text);
        }
        text.blank();
        text.paragraph("", "For administrators");
        text.paragraph("  ", &format!("Reporting server: {} (Gatepost)", token(self.reporting_mta)));
        text.paragraph("  ", &format!("Queue id: {}", self.id));
        text.paragraph("  ", &format!("Message received: {}", date(self.envelope.arrival.time_ms)));
        text.blank();
        text.paragraph(
            "",
            match self.returned() {
                Returned::Headers(_) => "The header section of your message is attached, the message itself is not.",
                Returned::Full(_) => "Your message is attached.",
            },
        );
        Part {
            content_type: "text/plain; charset=utf-8",
            description: "What happened",
            body: text.0.into_bytes().into(),
        }
    }

    /// What happened with one recipient, in words.
    fn describe(&self, failed: &FailedRecipient<'_>, text: &mut Text) {
        if matches!(self.kind, Kind::Failed | Kind::Delayed) {
            let (status, code) = (failed.reply.status_or_default(), failed.reply.code);
            text.paragraph("    ", &format!("Why: {}", explain(status, code)));
            match (self.kind, failed.retry_until_ms) {
                (Kind::Delayed, None) => text.paragraph("    ", "What to do: Nothing. The server goes on trying."),
                (Kind::Delayed, Some(until_ms)) => {
                    let until = date(until_ms);
                    text.paragraph("    ", &format!("What to do: Nothing. The server goes on trying until {until}."));
                }
                _ => text.paragraph("    ", &format!("What to do: {}", advise(status, code))),
            }
        }
        let speaker: Cow<'_, str> = match (failed.is_remote, failed.remote_mta) {
            (false, _) => "This server".into(),
            (true, None) => "The remote server".into(),
            (true, Some(remote_mta)) => format!("The server {}", remote_name(remote_mta)).into(),
        };
        text.paragraph("    ", &format!("{speaker} said: {}", reply_text(failed.reply)));
    }

    /// Part two: for a program (RFC 3464 section 2).
    fn status_part(&self) -> Part<'static> {
        let mut body = Vec::new();
        let mut field = |name: &str, value: &str| {
            let mut field = FieldWriter::start(&mut body, name);
            field.text(value);
            field.end();
        };
        if let Some(envid) = self.envelope.envid.as_deref().and_then(xtext::decode) {
            field("Original-Envelope-Id:", &ascii(&envid));
        }
        field("Reporting-MTA: dns;", &token(self.reporting_mta));
        field("X-Gatepost-Queue-Id:", &self.id.to_string());
        field("Arrival-Date:", &date(self.envelope.arrival.time_ms));
        for failed in self.recipients {
            self.write_recipient_status(failed, &mut body);
        }
        Part {
            content_type: if self.needs_smtputf8() {
                "message/global-delivery-status"
            } else {
                "message/delivery-status"
            },
            description: "What happened, for programs",
            body: body.into(),
        }
    }

    /// The fields about one recipient (RFC 3464 section 2.3).
    fn write_recipient_status(&self, failed: &FailedRecipient<'_>, body: &mut Vec<u8>) {
        body.extend_from_slice(b"\r\n");
        let mut field = |name: &str, value: &str| {
            let mut field = FieldWriter::start(body, name);
            field.text(value);
            field.end();
        };
        if let Some(original) = failed.recipient.original_recipient.as_deref().and_then(|o| self.original_recipient(o))
        {
            field("Original-Recipient:", &original);
        }
        field("Final-Recipient:", &self.final_recipient(&failed.recipient.mailbox));
        field("Action:", self.kind.action());
        field("Status:", &failed.reply.status_or_default().to_string());
        if let Some(remote_mta) = failed.remote_mta {
            field("Remote-MTA: dns;", &remote_name(remote_mta));
        }
        field("Diagnostic-Code: smtp;", &reply_text(failed.reply));
        field("Last-Attempt-Date:", &date(failed.last_attempt_ms));
        if let (Kind::Delayed, Some(until_ms)) = (self.kind, failed.retry_until_ms) {
            field("Will-Retry-Until:", &date(until_ms));
        }
    }

    /// The address that the sender wrote, where an alias, a contact or a group led elsewhere.
    fn named_by_sender(&self, recipient: &Recipient) -> Option<String> {
        let original = self.original_recipient(recipient.original_recipient.as_deref()?)?;
        let (_, named) = original.split_once("; ")?;
        let own = self.final_recipient(&recipient.mailbox);
        let is_own = own.split_once("; ").is_some_and(|(_, own)| own.eq_ignore_ascii_case(named));
        (!is_own).then(|| named.to_owned())
    }

    /// `type; address`, decoded from the ORCPT parameter; `None` if that is not well-formed.
    fn original_recipient(&self, parameter: &str) -> Option<String> {
        let (kind, address) = parameter.split_once(';')?;
        if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return None;
        }
        // Over SMTPUTF8, the utf-8 type may come without xtext (RFC 6533 section 3).
        let address = xtext::decode(address).or_else(|| (!address.is_ascii()).then(|| address.to_owned()))?;
        let address = if address.is_ascii() { address } else { utf8_address(&address, self.needs_smtputf8()) };
        Some(format!("{kind}; {address}"))
    }

    fn final_recipient(&self, mailbox: &Mailbox) -> String {
        let address = mailbox.to_string();
        if address.is_ascii() {
            return format!("rfc822; {address}");
        }
        format!("utf-8; {}", utf8_address(&address, self.needs_smtputf8()))
    }

    /// Part three: what the report is about.
    fn original_part(&self) -> Part<'_> {
        let returned = self.returned();
        // Only what is UTF-8 may call itself so; older 8-bit header sections go back under the older names.
        let is_global = self.envelope.smtputf8
            && section_of(returned.bytes()).is_some_and(|s| !s.is_ascii() && std::str::from_utf8(s).is_ok());
        match returned {
            Returned::Full(content) => Part {
                content_type: if is_global { "message/global" } else { "message/rfc822" },
                description: "Your message",
                body: content.into(),
            },
            Returned::Headers(section) => Part {
                content_type: if is_global { "message/global-headers" } else { "text/rfc822-headers" },
                description: "The header section of your message",
                body: clean_section(section).into(),
            },
        }
    }

    fn returned(&self) -> Returned<'_> {
        match self.original {
            Original::Full(content) if is_well_formed(content) => Returned::Full(content),
            Original::Full(content) | Original::Headers(content) => {
                Returned::Headers(section_of(content).unwrap_or_default())
            }
        }
    }

    fn original_fields(&self) -> OriginalFields {
        let (Original::Headers(section) | Original::Full(section)) = self.original;
        let value = |name| fields(section).find(|field| field.is(name)).map(|field| field.unfolded());
        let is_message_id = |text: &String| {
            let is_plain = text.bytes().all(|b| b.is_ascii_graphic());
            is_plain && text.starts_with('<') && text.ends_with('>') && text.len() <= TOKEN_BYTES_MAX
        };
        OriginalFields {
            message_id: value("Message-ID").and_then(|value| String::from_utf8(value).ok()).filter(is_message_id),
            subject: value("Subject")
                .map(|value| cut_between_words(&printable(&String::from_utf8_lossy(&value)), SUBJECT_BYTES_MAX)),
        }
    }
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
            Kind::Delayed => "Subject: Delayed:",
            Kind::Delivered => "Subject: Delivered:",
            Kind::Relayed => "Subject: Relayed:",
            Kind::Expanded => "Subject: Expanded:",
        }
    }

    fn opening(self, recipients: usize) -> String {
        let whom = if recipients == 1 { "this recipient" } else { "these recipients" };
        match self {
            Kind::Failed => format!("Your message could not be delivered to {whom}:"),
            Kind::Delayed => format!(
                "Your message has not been delivered to {whom} yet. This is only to let you know; \
                 you need not send it again."
            ),
            Kind::Delivered => format!("Your message has been delivered to {whom}:"),
            Kind::Relayed => format!(
                "Your message has been handed on for {whom}, to a server that does not report deliveries. \
                 You may hear nothing further."
            ),
            Kind::Expanded => format!("Your message has been handed on to the members of a group, for {whom}:"),
        }
    }
}

/// What of the original does go back, after a look at it.
enum Returned<'a> {
    Headers(&'a [u8]),
    Full(&'a [u8]),
}

impl<'a> Returned<'a> {
    fn bytes(&self) -> &'a [u8] {
        let (Returned::Headers(bytes) | Returned::Full(bytes)) = *self;
        bytes
    }
}

/// What a report takes over from the original's header section.
struct OriginalFields {
    message_id: Option<String>,
    subject: Option<String>,
}

/// The text for a person in the making.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Appends words that came from anywhere, broken into lines that all begin with `indent`.
    fn paragraph(&mut self, indent: &str, words: &str) {
        let mut column = 0;
        for piece in printable(words).split(' ').filter(|word| !word.is_empty()).flat_map(pieces) {
            if column > 0 && column + 1 + piece.len() > TEXT_LINE_BYTES {
                self.blank();
                column = 0;
            }
            let gap = if column == 0 { indent } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{gap}{piece}");
            column += gap.len() + piece.len();
        }
        self.blank();
    }

    /// Ends the line, or leaves an empty one.
    fn blank(&mut self) {
        self.0.push_str("\r\n");
    }
}

/// A reply as one line of ASCII, cut to [`REPLY_BYTES_MAX`].
fn reply_text(reply: &Reply) -> String {
    cut(&ascii(&reply.to_string()), REPLY_BYTES_MAX)
}

/// The name of a remote server for a field and a sentence: one line of ASCII.
fn remote_name(remote_mta: &str) -> String {
    cut(&ascii(remote_mta), TOKEN_BYTES_MAX)
}

/// At most `bytes_max` of a text, with dots where something was cut off.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(bytes_max - 3)])
}

/// At most `bytes_max` of a text, cut at a space if there is one: encoded words (RFC 2047) must stay whole.
fn cut_between_words(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(bytes_max - 4)];
    format!("{} ...", &kept[..kept.rfind(' ').unwrap_or(kept.len())])
}

fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// An address of the type utf-8 (RFC 6533 section 3): characters that the form gives a meaning are written as
/// `\x{2B}`, and so are those beyond ASCII unless the report may hold them.
fn utf8_address(address: &str, keep_beyond_ascii: bool) -> String {
    let mut escaped = String::with_capacity(address.len() * 2);
    for c in address.chars() {
        if matches!(c, '\\' | '+' | '=') || !(c.is_ascii() || keep_beyond_ascii) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\x{{{:02X}}}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// A text beyond ASCII as encoded words (RFC 2047, the Q encoding): each at most 75 bytes, none breaking a character.
fn encoded_words(text: &str) -> Vec<String> {
    const START: &str = "=?utf-8?Q?";
    const WORD_BYTES_MAX: usize = 75;
    let mut words = Vec::new();
    let mut word = START.to_owned();
    for c in text.chars() {
        let encoded = match c {
            ' ' => "_".to_owned(),
            _ if c.is_ascii_alphanumeric() => c.to_string(),
            _ => c.encode_utf8(&mut [0; 4]).bytes().map(|b| format!("={b:02X}")).collect(),
        };
        if word.len() + encoded.len() + "?=".len() > WORD_BYTES_MAX {
            words.push(std::mem::replace(&mut word, START.to_owned()) + "?=");
        }
        word.push_str(&encoded);
    }
    words.push(word + "?=");
    words
}

/// The header section of content or of a part of it; `None` if it has none.
fn section_of(content: &[u8]) -> Option<&[u8]> {
    let length = section_len(content).unwrap_or(content.len());
    (length > 0).then(|| &content[..length])
}

/// A header section in lines that can stand in a message, without the empty line at its end.
fn clean_section(section: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(section.len() + 2);
    for line in section.split(|b| *b == b'\n') {
        // Lines of white space alone are dropped: they would look like the end of the section.
        let mut rest = line.trim_ascii_end();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(line_cut(rest));
            clean.extend(piece.iter().map(|b| if b.is_ascii_control() && *b != b'\t' { b'?' } else { *b }));
            clean.extend_from_slice(if after.is_empty() { b"\r\n" } else { b"\r\n " });
            rest = after;
        }
    }
    clean
}

/// Where a line is cut that is longer than a line may be: between characters, as UTF-8 continues with bytes 10xxxxxx.
fn line_cut(line: &[u8]) -> usize {
    // One byte is left for the space that begins the rest.
    let limit = LINE_BYTES_MAX - 1;
    if line.len() <= limit {
        return line.len();
    }
    (limit - 3..=limit).rev().find(|end| line[*end] & 0xc0 != 0x80).unwrap_or(limit)
}

/// Whether content can stand within another message as it is: lines of at most 998 bytes ended by CRLF, no NUL.
fn is_well_formed(content: &[u8]) -> bool {
    let mut rest = content;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest);
        let (line, after) = rest.split_at(end.map_or(rest.len(), |i| i + 1));
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        if text.len() > LINE_BYTES_MAX || memchr::memchr3(b'\r', b'\n', 0, text).is_some() {
            return false;
        }
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests;
