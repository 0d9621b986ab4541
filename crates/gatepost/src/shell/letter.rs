//! A message that a script sends itself, as it goes over the wire.
//!
//! Takes a letter, the time and random bits; hands on envelope and content, or what in the letter cannot be written. Opens
//! nothing.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_mail::{Mailbox, Recipient, ReversePath, trace};
use gatepost_shell::world::Letter;

/// Bytes of a line of Base64 (RFC 2045 section 6.8), before it is encoded.
const BASE64_LINE_BYTES: usize = 57;
/// Longest line of text that goes as it is (RFC 5322 section 2.1.1).
const LINE_BYTES_MAX: usize = 998;
/// What fits, when it is encoded, into a line of 76 bytes behind the longest name of a field, `Subject: ` (RFC 2047
/// section 2).
const WORD_BYTES_MAX: usize = 39;
/// Recipients of a letter.
const RECIPIENTS_MAX: usize = 5_000;

/// A letter ready to be sent.
pub struct Written {
    pub reverse_path: ReversePath,
    pub recipients: Vec<Recipient>,
    pub content: Vec<u8>,
}

/// An address and the name before it.
struct Addressee {
    name: String,
    mailbox: Mailbox,
}

/// Writes a letter.
pub fn write(letter: &Letter, now_ms: u64, random: [u64; 2]) -> Result<Written, String> {
    let sender = addressee(&letter.sender)?;
    let all = |addresses: &[String]| addresses.iter().map(|address| addressee(address)).collect::<Result<Vec<_>, _>>();
    let (to, copies, hidden) = (all(&letter.to)?, all(&letter.copies)?, all(&letter.hidden)?);
    let reply_to = all(&letter.reply_to)?;
    let mut recipients: Vec<Recipient> = Vec::new();
    for Addressee { mailbox, .. } in to.iter().chain(&copies).chain(&hidden) {
        if !recipients.iter().any(|known| known.mailbox.is_same_mailbox(mailbox)) {
            recipients.push(Recipient::new(mailbox.clone()));
        }
    }
    if recipients.len() > RECIPIENTS_MAX {
        return Err(format!("A message has at most {RECIPIENTS_MAX} recipients here."));
    }
    if letter.subject.contains(char::is_control) {
        return Err("The specified string is not in the form required for a subject.".to_owned());
    }
    let id = format!("{:016x}{:016x}", random[0], random[1]);
    let mut text = String::new();
    field(&mut text, "From", &[written(&sender)]);
    for (name, addressees) in [("To", &to), ("Cc", &copies), ("Reply-To", &reply_to)] {
        if !addressees.is_empty() {
            field(&mut text, name, &addressees.iter().map(written).collect::<Vec<_>>());
        }
    }
    field(&mut text, "Subject", &[unstructured(&letter.subject)]);
    field(&mut text, "Date", &[trace::date(now_ms)]);
    field(&mut text, "Message-ID", &[format!("<{id}@{}>", sender.mailbox.domain())]);
    if let Some(priority) = letter.priority {
        let number = if priority == "High" { "1" } else { "5" };
        field(&mut text, "X-Priority", &[number.to_owned()]);
        field(&mut text, "Importance", &[priority.to_owned()]);
    }
    field(&mut text, "MIME-Version", &["1.0".to_owned()]);
    match &letter.enclosures[..] {
        [] => body(&mut text, letter),
        enclosures => {
            let boundary = format!("=_{id}");
            field(&mut text, "Content-Type", &[format!("multipart/mixed; boundary=\"{boundary}\"")]);
            text.push_str(&format!("\r\n--{boundary}\r\n"));
            body(&mut text, letter);
            for enclosure in enclosures {
                text.push_str(&format!("\r\n--{boundary}\r\n"));
                let (kind, name) = (kind_of(&enclosure.name), file_name(&enclosure.name));
                field(&mut text, "Content-Type", &[kind.to_owned()]);
                field(&mut text, "Content-Transfer-Encoding", &["base64".to_owned()]);
                field(&mut text, "Content-Disposition", &[format!("attachment; {name}")]);
                text.push_str("\r\n");
                base64_lines(&mut text, &enclosure.bytes);
            }
            text.push_str(&format!("\r\n--{boundary}--\r\n"));
        }
    }
    Ok(Written { reverse_path: ReversePath::Mailbox(sender.mailbox), recipients, content: text.into_bytes() })
}

/// `a@contoso.com`, `Name <a@contoso.com>`.
fn addressee(text: &str) -> Result<Addressee, String> {
    let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"'), address),
        None => ("", text),
    };
    let wrong = |_| {
        let shown: String = text.chars().take(80).collect();
        format!("The specified string is not in the form required for an e-mail address: {}", shown.escape_debug())
    };
    let mailbox = Mailbox::parse(address.trim()).map_err(wrong)?;
    match name.contains(char::is_control) {
        true => Err("The name before an address holds signs that no header field may have.".to_owned()),
        false => Ok(Addressee { name: name.to_owned(), mailbox }),
    }
}

fn written(addressee: &Addressee) -> String {
    let Addressee { name, mailbox } = addressee;
    match (name.is_empty(), name.is_ascii()) {
        (true, _) => mailbox.to_string(),
        (false, true) => format!("\"{}\" <{mailbox}>", name.replace('\\', "\\\\").replace('"', "\\\"")),
        (false, false) => format!("{} <{mailbox}>", encoded_words(name)),
    }
}

/// A field; its values on a line each, with commas between.
fn field(text: &mut String, name: &str, values: &[String]) {
    text.push_str(&format!("{name}: {}\r\n", values.join(",\r\n ")));
}

fn unstructured(value: &str) -> String {
    let fits = value.is_ascii() && value.len() < LINE_BYTES_MAX - 20 && !value.contains("=?");
    if fits { value.to_owned() } else { encoded_words(value) }
}

/// RFC 2047; no character is divided.
fn encoded_words(text: &str) -> String {
    let (mut words, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(WORD_BYTES_MAX));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(piece)));
        rest = after;
    }
    words.join("\r\n ")
}

/// The fields of the text and the text.
fn body(text: &mut String, letter: &Letter) {
    let kind = if letter.is_html { "html" } else { "plain" };
    let body = letter.body.replace("\r\n", "\n").replace('\r', "\n");
    let is_plain = body.is_ascii() && !body.contains('\0') && body.lines().all(|line| line.len() <= LINE_BYTES_MAX);
    let (charset, encoding) = if is_plain { ("us-ascii", "7bit") } else { ("utf-8", "base64") };
    field(text, "Content-Type", &[format!("text/{kind}; charset={charset}")]);
    field(text, "Content-Transfer-Encoding", &[encoding.to_owned()]);
    text.push_str("\r\n");
    let lines = body.replace('\n', "\r\n");
    match is_plain {
        true => {
            text.push_str(&lines);
            if !lines.ends_with("\r\n") {
                text.push_str("\r\n");
            }
        }
        false => base64_lines(text, lines.as_bytes()),
    }
}

fn base64_lines(text: &mut String, bytes: &[u8]) {
    for line in bytes.chunks(BASE64_LINE_BYTES) {
        STANDARD.encode_string(line, text);
        text.push_str("\r\n");
    }
}

/// What a file holds, by its ending, where programs make something of it.
fn kind_of(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "txt" | "log" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "htm" | "html" => "text/html; charset=utf-8",
        "xml" => "application/xml",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        _ => "application/octet-stream",
    }
}

/// The file's name as a parameter (RFC 2183, RFC 2231).
fn file_name(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._- ()".contains(&byte));
    if is_plain {
        return format!("filename=\"{name}\"");
    }
    let mut encoded = String::from("filename*=utf-8''");
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            true => encoded.push(char::from(byte)),
            // Writing to a String cannot fail.
            false => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use gatepost_shell::world::Enclosure;

    use super::*;

    fn letter() -> Letter {
        Letter {
            sender: "The App <app@contoso.com>".to_owned(),
            to: vec!["a@contoso.com".to_owned(), "Jörg <b@contoso.com>".to_owned()],
            hidden: vec!["c@contoso.com".to_owned(), "A@contoso.com".to_owned()],
            subject: "Report".to_owned(),
            body: "one\ntwo".to_owned(),
            ..Letter::default()
        }
    }

    fn text_of(letter: &Letter) -> String {
        let written = write(letter, 1_800_000_000_000, [1, 2]).unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8(written.content).expect("text")
    }

    #[test]
    fn a_plain_letter_has_its_fields_and_its_text() {
        assert_eq!(
            text_of(&letter()),
            "From: \"The App\" <app@contoso.com>\r\nTo: a@contoso.com,\r\n =?utf-8?B?SsO2cmc=?= <b@contoso.com>\r\n\
             Subject: Report\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n\
             Message-ID: <00000000000000010000000000000002@contoso.com>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\none\r\ntwo\r\n"
        );
        let written = write(&letter(), 0, [1, 2]).expect("written");
        assert_eq!(written.recipients.len(), 3, "each once, those who are hidden, too");
    }

    #[test]
    fn what_is_not_ascii_and_what_is_enclosed_is_encoded() {
        let enclosures = vec![Enclosure { name: "Bereiche März.csv".to_owned(), bytes: vec![b'x'; 100] }];
        let subject = "Übersicht über die Bereiche aller Konnektoren im März".to_owned();
        let body = "<p>Grüße</p>".to_owned();
        let text = text_of(&Letter { enclosures, subject, body, is_html: true, ..letter() });
        assert!(text.is_ascii(), "{text}");
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
        for part in [
            "Subject: =?utf-8?B?w5xiZXJzaWNodCDDvGJlciBkaWUgQmVyZWljaGUgYWxsZXIgS29u?=\r\n =?utf-8?B?",
            "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+R3LDvMOfZTwvcD4=\r\n",
            "Content-Type: text/csv; charset=utf-8\r\n",
            "filename*=utf-8''Bereiche%20M%C3%A4rz.csv",
            "\r\n--=_00000000000000010000000000000002--\r\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn nobody_smuggles_fields_into_a_letter() {
        for (letter, said) in [
            (Letter { subject: "x\r\nBcc: z@example.net".to_owned(), ..letter() }, "subject"),
            (Letter { sender: "x\r\nBcc: y <app@contoso.com>".to_owned(), ..letter() }, "header field"),
            (Letter { to: vec!["a@contoso.com>\r\nRCPT TO:<z@example.net".to_owned()], ..letter() }, "e-mail address"),
            (Letter { to: vec!["nobody".to_owned()], ..letter() }, "e-mail address: nobody"),
        ] {
            let error = write(&letter, 0, [1, 2]).err().unwrap_or_default();
            assert!(error.contains(said), "{error}");
        }
    }
}
