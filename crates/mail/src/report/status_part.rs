//! Part two of a report: the same for a program (RFC 3464 section 2; RFC 6533 for addresses beyond ASCII).

use std::fmt::Write;
use std::net::IpAddr;

use super::multipart::Part;
use super::text::{ascii, remote_name, reply_text};
use super::{FailedRecipient, Kind, Report};
use crate::address::Mailbox;
use crate::envelope::Recipient;
use crate::field::{FieldWriter, token};
use crate::trace::date;
use crate::xtext;

/// What the part says it is for.
pub const DESCRIPTION: &str = "What happened, for programs";

/// The part. No field says that we are a gateway (DSN-Gateway, RFC 3464 section 2.2.3): what we take is internet mail and
/// so is what we hand on.
pub fn part(report: &Report<'_>) -> Part<'static> {
    let mut body = Vec::new();
    let envelope = report.envelope;
    if let Some(envid) = envelope.envid.as_deref().and_then(xtext::decode) {
        field(&mut body, "Original-Envelope-Id:", &ascii(&envid));
    }
    field(&mut body, "Reporting-MTA: dns;", &token(report.reporting_mta));
    if let Some(peer) = envelope.peer_ip().filter(|_| report.with_diagnostics) {
        field(&mut body, "Received-From-MTA: dns;", &literal(peer));
    }
    field(&mut body, "Arrival-Date:", &date(envelope.arrival.time_ms));
    field(&mut body, "X-Gatepost-Queue-Id:", &report.id.to_string());
    for failed in report.recipients {
        write_recipient(report, failed, &mut body);
    }
    let content_type =
        if report.needs_smtputf8() { "message/global-delivery-status" } else { "message/delivery-status" };
    Part::plain(content_type, DESCRIPTION, body.into())
}

/// The fields about one recipient (RFC 3464 section 2.3).
fn write_recipient(report: &Report<'_>, failed: &FailedRecipient<'_>, body: &mut Vec<u8>) {
    let is_utf8 = report.needs_smtputf8();
    body.extend_from_slice(b"\r\n");
    let parameter = failed.recipient.original_recipient.as_deref();
    if let Some(original) = parameter.and_then(|parameter| original_recipient(parameter, is_utf8)) {
        field(body, "Original-Recipient:", &original);
    }
    field(body, "Final-Recipient:", &final_recipient(&failed.recipient.mailbox, is_utf8));
    field(body, "Action:", report.kind.action());
    field(body, "Status:", &failed.reply.status_or_default().to_string());
    if let Some(remote_mta) = failed.remote_mta {
        field(body, "Remote-MTA: dns;", &remote_name(remote_mta));
    }
    field(body, "Diagnostic-Code: smtp;", &reply_text(&failed.reply.to_string()));
    if let Some(last_attempt_ms) = failed.last_attempt_ms {
        field(body, "Last-Attempt-Date:", &date(last_attempt_ms));
    }
    field(body, "Final-Log-ID:", &report.id.to_string());
    if let (Kind::Delayed, Some(until_ms)) = (report.kind, failed.retry_until_ms) {
        field(body, "Will-Retry-Until:", &date(until_ms));
    }
}

/// Writes one field.
pub fn field(body: &mut Vec<u8>, name: &str, value: &str) {
    let mut field = FieldWriter::start(body, name);
    field.text(value);
    field.end();
}

/// An address literal (RFC 5321 section 4.1.3).
pub fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// The address that the sender wrote, where an alias, a contact or a group led elsewhere.
pub fn named_by_sender(recipient: &Recipient) -> Option<String> {
    let original = original_recipient(recipient.original_recipient.as_deref()?, true)?;
    let (_, named) = original.split_once("; ")?;
    let own = final_recipient(&recipient.mailbox, true);
    let is_own = own.split_once("; ").is_some_and(|(_, own)| own.eq_ignore_ascii_case(named));
    (!is_own).then(|| named.to_owned())
}

/// `type; address`, decoded from the ORCPT parameter; `None` if that is not well-formed.
fn original_recipient(parameter: &str, keep_beyond_ascii: bool) -> Option<String> {
    let (kind, address) = parameter.split_once(';')?;
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return None;
    }
    // Over SMTPUTF8, the utf-8 type may come without xtext (RFC 6533 section 3).
    let address = xtext::decode(address).or_else(|| (!address.is_ascii()).then(|| address.to_owned()))?;
    let address = if address.is_ascii() { address } else { utf8_address(&address, keep_beyond_ascii) };
    Some(format!("{kind}; {address}"))
}

/// `type; address` of a mailbox.
pub fn final_recipient(mailbox: &Mailbox, keep_beyond_ascii: bool) -> String {
    let address = mailbox.to_string();
    if address.is_ascii() {
        return format!("rfc822; {address}");
    }
    format!("utf-8; {}", utf8_address(&address, keep_beyond_ascii))
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
