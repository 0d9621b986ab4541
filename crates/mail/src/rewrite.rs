//! Address fields of a header written anew: repaired where a device wrote rubbish, masqueraded where names of inside are
//! not to be seen outside.
//!
//! Takes one whole field, with its line end, hands on what takes its place, or `None` where it stays byte for byte. An
//! empty replacement takes the field out. Never changes a field that all readers read alike in another way than was asked:
//! what it has written is read again, and stays only if it says what it should.

use crate::address::{Domain, Mailbox};
use crate::address_list;
use crate::field::{FieldWriter, printable};
use crate::header::split_field;

/// The fields that name senders, in the order in which they are looked for.
pub const SENDER_FIELDS: &[&str] = &["From", "Sender", "Reply-To"];

/// What broken sender fields are repaired with.
#[derive(Clone, Copy, Debug)]
pub struct Repair<'a> {
    /// Whose message it is, for a From field that names nobody; `None` for the null reverse-path.
    pub sender: Option<&'a Mailbox>,
    /// What is put behind a local part that stands alone.
    pub default_domain: Option<&'a Domain>,
    /// Whether addresses beyond ASCII may be written.
    pub smtputf8: bool,
}

/// Repairs one of [`SENDER_FIELDS`]: a local part that stands alone gets the default domain, a From field that cannot be
/// read names the sender of the envelope, and a Sender or Reply-To field that cannot be read goes.
pub fn repair(field: &[u8], repair: &Repair<'_>) -> Option<Vec<u8>> {
    let (name, value) = parts(field)?;
    if address_list::parse(&value).is_ok_and(|mailboxes| !mailboxes.is_empty()) {
        return None;
    }
    let completed = completed(&value, repair.default_domain);
    let replacement = match completed.as_ref() {
        Some(mailbox) => Some(mailbox),
        None if name.eq_ignore_ascii_case("From") => Some(repair.sender?),
        None => None,
    };
    let Some(mailbox) = replacement else { return Some(Vec::new()) };
    if mailbox.needs_smtputf8() && !repair.smtputf8 {
        return None;
    }
    Some(sender_field(&name, mailbox))
}

/// A field that names one sender.
pub fn sender_field(name: &str, mailbox: &Mailbox) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    let mut field = FieldWriter::start(&mut out, &format!("{name}:"));
    field.piece(format_args!("<{mailbox}>"));
    field.end();
    out
}

/// `scanner`, `<scanner>` or `Third floor <scanner>`, as an address of the domain.
fn completed(value: &[u8], domain: Option<&Domain>) -> Option<Mailbox> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let local_part = match text.rsplit_once('<') {
        Some((_, rest)) => rest.strip_suffix('>')?.trim(),
        None => text,
    };
    let is_plain =
        !local_part.is_empty() && local_part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let mailbox = Mailbox::new(local_part, domain?.clone()).ok();
    mailbox.filter(|_| is_plain)
}

/// Writes other addresses in one of [`SENDER_FIELDS`], as `other` says; names, comments and order stay.
pub fn masquerade(field: &[u8], mut other: impl FnMut(&Mailbox) -> Option<Mailbox>) -> Option<Vec<u8>> {
    let (_, value) = parts(field)?;
    let mailboxes = address_list::parse(&value).ok()?;
    let wanted: Vec<Mailbox> =
        mailboxes.iter().map(|mailbox| other(mailbox).unwrap_or_else(|| mailbox.clone())).collect();
    if wanted == mailboxes {
        return None;
    }
    let mut written = std::str::from_utf8(field).ok()?.to_owned();
    for (before, after) in mailboxes.iter().zip(&wanted).filter(|(before, after)| before != after) {
        let sought = before.to_string();
        let at = written.to_ascii_lowercase().find(&sought.to_ascii_lowercase())?;
        written.replace_range(at..at + sought.len(), &after.to_string());
    }
    // An address may stand in a name or a comment, too: whether the right one was written shows when it is read.
    let (_, value) = parts(written.as_bytes())?;
    address_list::parse(&value).is_ok_and(|read| read == wanted).then(|| written.into_bytes())
}

/// The name of a whole field and its value on one line.
fn parts(field: &[u8]) -> Option<(String, Vec<u8>)> {
    let end = memchr::memchr(b'\n', field).unwrap_or(field.len());
    let (name, _) = split_field(field[..end].trim_ascii_end())?;
    let name = printable(std::str::from_utf8(name).ok()?).trim().to_owned();
    let colon = memchr::memchr(b':', field)?;
    let value = field[colon + 1..].iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("an address")
    }

    fn repaired(field: &str) -> Option<String> {
        let (sender, domain) = (mailbox("scan@contoso.com"), Domain::parse("contoso.com").expect("a domain"));
        let repair_with = Repair { sender: Some(&sender), default_domain: Some(&domain), smtputf8: false };
        repair(field.as_bytes(), &repair_with).map(|field| String::from_utf8(field).expect("text"))
    }

    #[test]
    fn broken_sender_fields_are_repaired_and_others_stay() {
        for (field, expected) in [
            ("From: bob@contoso.com\r\n", None),
            ("From: \"Scanner, third floor\" <bob@fabrikam.com>\r\n", None),
            ("From: scanner\r\n", Some("From: <scanner@contoso.com>\r\n")),
            ("FROM: Third floor <scanner>\r\n", Some("FROM: <scanner@contoso.com>\r\n")),
            ("From:\r\n", Some("From: <scan@contoso.com>\r\n")),
            ("From: <>\r\n", Some("From: <scan@contoso.com>\r\n")),
            ("From: KONICA MINOLTA bizhub\r\n", Some("From: <scan@contoso.com>\r\n")),
            ("From: a@b@c\r\n", Some("From: <scan@contoso.com>\r\n")),
            ("From: \"never closed <x@y.example>\r\n", Some("From: <scan@contoso.com>\r\n")),
            ("Reply-To: \r\n", Some("")),
            ("Reply-To: scanner\r\n", Some("Reply-To: <scanner@contoso.com>\r\n")),
            ("Sender: not an address\r\n", Some("")),
            ("Sender: ok@y.example\r\n", None),
        ] {
            assert_eq!(repaired(field).as_deref(), expected, "{field:?}");
        }
        let nobody = Repair { sender: None, default_domain: None, smtputf8: false };
        assert_eq!(repair(b"From: scanner\r\n", &nobody), None, "there is nothing to write");
    }

    #[test]
    fn addresses_of_inside_are_masqueraded_and_everything_else_stays() {
        let outside = |inside: &Mailbox| {
            let is_inside = inside.domain().as_str() == "host.internal";
            is_inside.then(|| mailbox(&format!("{}@contoso.com", inside.local_part())))
        };
        for (field, expected) in [
            ("From: a@host.internal\r\n", Some("From: a@contoso.com\r\n")),
            ("From: A <a@HOST.internal>,\r\n b@y.example\r\n", Some("From: A <a@contoso.com>,\r\n b@y.example\r\n")),
            ("Reply-To: (a) \"b\" <b@host.internal>\r\n", Some("Reply-To: (a) \"b\" <b@contoso.com>\r\n")),
            ("From: a@y.example\r\n", None),
            ("From: a@host.internal.example\r\n", None),
            ("From: rubbish @host.internal <\r\n", None),
            // The first occurrence is in the name: nothing is better than something wrong.
            ("From: \"a@host.internal\" <a@host.internal>\r\n", None),
        ] {
            let written = masquerade(field.as_bytes(), outside);
            assert_eq!(written.as_deref().map(String::from_utf8_lossy).as_deref(), expected, "{field:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(text in prop_oneof!["[ -~\r\n\t]{0,40}", any::<String>(), "[a-z.]{0,9}"]) {
            let field = format!("From:{text}\r\n");
            if let Some(field) = repaired(&field) {
                let (_, value) = parts(field.as_bytes()).expect("a field");
                prop_assert_eq!(address_list::parse(&value).expect("it is readable").len(), 1);
                prop_assert!(field.ends_with("\r\n") && field.matches('\n').count() == 1);
            }
            masquerade(field.as_bytes(), |_| Some(mailbox("x@contoso.com")));
        }
    }
}
