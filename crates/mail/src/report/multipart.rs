//! A report as a message: its header section, and its parts with their boundary (RFC 2046 section 5.1).
//!
//! Takes finished parts, hands on bytes. A part says by its encoding whether it holds 8-bit text; only the original may.

use std::borrow::Cow;

use crate::address::Mailbox;
use crate::envelope::MessageId;
use crate::field::{FieldWriter, token};
use crate::trace::date;

/// How much of a report's id its names use, in bytes: a boundary has at most 70 (RFC 2046 section 5.1.1).
const NAME_BYTES_MAX: usize = 48;

/// What stands in a report's own header section.
pub struct Header<'a> {
    pub from: &'a Mailbox,
    pub to: &'a Mailbox,
    pub time_ms: u64,
    /// From [`name`].
    pub name: String,
    pub reporting_mta: &'a str,
    /// The Message-ID of what it is about.
    pub in_reply_to: Option<&'a str>,
    /// The field's name, and the word that says what happened.
    pub subject_start: &'a str,
    /// The original's subject; `None`: it has none.
    pub subject: Option<&'a str>,
    /// Whether the header section may hold text beyond ASCII.
    pub is_utf8: bool,
    pub content_type: &'static str,
}

/// One part of the multipart message.
pub struct Part<'a> {
    pub content_type: &'static str,
    pub description: &'static str,
    pub encoding: &'static str,
    /// Borrowed where it is the original, which may be large.
    pub body: Cow<'a, [u8]>,
}

impl<'a> Part<'a> {
    /// A part whose body stands there as it is.
    pub fn plain(content_type: &'static str, description: &'static str, body: Cow<'a, [u8]>) -> Part<'a> {
        let encoding = if body.is_ascii() { "7bit" } else { "8bit" };
        Part { content_type, description, encoding, body }
    }
}

/// `report_id`, as far as it can stand in a Message-ID and a boundary.
pub fn name(report_id: &str, id: MessageId) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = report_id.chars().filter(is_plain).take(NAME_BYTES_MAX).collect();
    // A dot-atom has no dots at its ends nor two in a row (RFC 5322 section 3.2.3).
    let name = name.split('.').filter(|atom| !atom.is_empty()).collect::<Vec<_>>().join(".");
    if name.is_empty() { format!("report-{id}") } else { name }
}

/// The whole message.
pub fn write_message(header: &Header<'_>, parts: &[Part<'_>]) -> Vec<u8> {
    let boundary = boundary(&header.name, parts);
    let mut out = Vec::with_capacity(2048 + parts.iter().map(|part| part.body.len()).sum::<usize>());
    // A multipart says 8bit if one of its parts does (RFC 2045 section 6.4).
    let is_8bit = parts.iter().any(|part| part.encoding == "8bit");
    write_header(header, &boundary, if is_8bit { "8bit" } else { "7bit" }, &mut out);
    out.extend_from_slice(b"This is a report about mail, in several parts (MIME).\r\n");
    for part in parts {
        let Part { content_type, description, encoding, body } = part;
        let head = [
            format!("\r\n--{boundary}\r\n"),
            format!("Content-Type: {content_type}\r\n"),
            format!("Content-Description: {description}\r\n"),
            format!("Content-Transfer-Encoding: {encoding}\r\n\r\n"),
        ];
        out.extend_from_slice(head.concat().as_bytes());
        out.extend_from_slice(body);
    }
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    out
}

fn write_header(header: &Header<'_>, boundary: &str, encoding: &str, out: &mut Vec<u8>) {
    let mut field = |start: &str, value: std::fmt::Arguments<'_>| {
        let mut field = FieldWriter::start(out, start);
        field.piece(value);
        field.end();
    };
    field("From: Mail Delivery System", format_args!("<{}>", header.from));
    field("To:", format_args!("<{}>", header.to));
    field("Date:", format_args!("{}", date(header.time_ms)));
    field("Message-ID:", format_args!("<{}@{}>", header.name, token(header.reporting_mta)));
    if let Some(message_id) = header.in_reply_to {
        field("In-Reply-To:", format_args!("{message_id}"));
        field("References:", format_args!("{message_id}"));
    }
    let mut subject = FieldWriter::start(out, header.subject_start);
    match header.subject {
        Some(text) if text.is_ascii() || header.is_utf8 => subject.text(text),
        Some(text) => encoded_words(text).iter().for_each(|word| subject.piece(format_args!("{word}"))),
        None => subject.text("your message"),
    }
    subject.end();
    // RFC 3834 section 5 and RFC 3464 section 2: nobody should answer this by machine.
    out.extend_from_slice(b"Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
    out.extend_from_slice(
        format!("Content-Type: {};\r\n boundary=\"{boundary}\"\r\n\r\n", header.content_type).as_bytes(),
    );
}

/// A delimiter that occurs in none of the parts. Only someone who knows the report's id beforehand can make this look
/// further than its first try.
fn boundary(name: &str, parts: &[Part<'_>]) -> String {
    let mut boundary = format!("gatepost-{name}");
    let mut tries = 0_u32;
    while parts.iter().any(|part| memchr::memmem::find(&part.body, boundary.as_bytes()).is_some()) {
        tries += 1;
        boundary = format!("gatepost-{tries}-{name}");
    }
    boundary
}

/// A text beyond ASCII as encoded words (RFC 2047, the Q encoding): each at most 75 bytes, none breaking a character.
pub fn encoded_words(text: &str) -> Vec<String> {
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
