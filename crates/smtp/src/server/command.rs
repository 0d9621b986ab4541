//! The grammar of commands (RFC 5321 section 4.1): takes one line without its CRLF, hands on a [`Command`] or the reply
//! that says what is wrong with it. Knows nothing of sequence.

use gatepost_mail::xtext::decode;
use gatepost_mail::{AddressError, BodyType, ForwardPath, Mailbox, Notify, Reply, Return, ReversePath};

use super::question::{MailCommand, Profile, RcptCommand};
use crate::extension::SizeOffer;

/// Longest command line in bytes, without CRLF. RFC 5321 section 4.5.3.1.4 says 512 and lets every extension add some;
/// this has room for the longest address with all parameters of RFC 3461.
pub(super) const LINE_BYTES_MAX: usize = 2048;
/// The same where XLONGADDR is offered: Exchange's bound.
pub(super) const LONG_LINE_BYTES_MAX: usize = 8_000;
/// Longest line of an AUTH command or answer, without CRLF (RFC 4954 section 4).
pub(super) const AUTH_LINE_BYTES_MAX: usize = 12_288;
/// Longest name in EHLO.
const HELLO_BYTES_MAX: usize = 255;
/// Longest ENVID (RFC 3461 section 4.4).
const ENVID_BYTES_MAX: usize = 100;
/// Longest ORCPT (RFC 3461 section 4.2).
const ORCPT_BYTES_MAX: usize = 500;
/// Longest AUTH parameter of MAIL.
const MAIL_AUTH_BYTES_MAX: usize = 500;

const INVALID_ARGUMENTS: Reply = Reply::new(501, (5, 5, 4), "Invalid arguments");
const UNSUPPORTED_PARAMETER: Reply = Reply::new(555, (5, 5, 4), "Unsupported parameter");
const NEEDS_SMTPUTF8: Reply = Reply::new(553, (5, 6, 7), "SMTPUTF8 is required for this address");

/// One command. Arguments that depend on what the connector offers are still text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Hello { esmtp: bool, domain: &'a str },
    StartTls,
    Auth { mechanism: &'a str, initial: Option<&'a str> },
    Mail { arguments: &'a str },
    Rcpt { arguments: &'a str },
    Data,
    Bdat { size: u64, last: bool },
    Rset,
    Noop,
    Help,
    Vrfy,
    Expn,
    Quit,
}

impl Command<'_> {
    /// Whether it brings no message any nearer.
    pub(super) fn brings_nothing(&self) -> bool {
        matches!(self, Command::Hello { .. } | Command::Rset | Command::Noop | Command::Help | Command::Vrfy)
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Say this and go on.
    Syntax(Reply),
    /// Say this and close: what follows on the wire can no longer be told apart.
    Framing(Reply),
}

/// Whether a line, complete or not, may be as long as AUTH allows.
pub(super) fn is_auth(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "))
}

/// Reads one line.
pub(super) fn parse(line: &str) -> Result<Command<'_>, Fault> {
    let line = line.trim_end_matches(' ');
    let (verb, arguments) =
        line.split_once(' ').map_or((line, ""), |(verb, rest)| (verb, rest.trim_start_matches(' ')));
    let mut upper = [0; 8];
    let Some(upper) = upper.get_mut(..verb.len()) else {
        return Err(unrecognized());
    };
    upper.copy_from_slice(verb.as_bytes());
    upper.make_ascii_uppercase();
    let alone = |command| if arguments.is_empty() { Ok(command) } else { Err(Fault::Syntax(INVALID_ARGUMENTS)) };
    match &*upper {
        b"EHLO" | b"HELO" => hello(&*upper == b"EHLO", arguments),
        b"STARTTLS" => alone(Command::StartTls),
        b"AUTH" => auth(arguments),
        b"MAIL" => behind_keyword(arguments, "FROM:").map(|arguments| Command::Mail { arguments }),
        b"RCPT" => behind_keyword(arguments, "TO:").map(|arguments| Command::Rcpt { arguments }),
        b"DATA" => alone(Command::Data),
        b"BDAT" => bdat(arguments),
        b"RSET" => alone(Command::Rset),
        // RFC 5321 sections 4.1.1.8 and 4.1.1.9: both take an argument, NOOP to ignore it.
        b"NOOP" => Ok(Command::Noop),
        b"HELP" => Ok(Command::Help),
        b"VRFY" => Ok(Command::Vrfy),
        b"EXPN" => Ok(Command::Expn),
        b"QUIT" => alone(Command::Quit),
        _ => Err(unrecognized()),
    }
}

fn unrecognized() -> Fault {
    Fault::Syntax(Reply::new(500, (5, 3, 3), "Unrecognized command"))
}

/// Devices call themselves anything; what matters is that it fits a Received field and a log line.
fn hello(esmtp: bool, domain: &str) -> Result<Command<'_>, Fault> {
    if domain.len() > HELLO_BYTES_MAX || !domain.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Fault::Syntax(Reply::new(501, (5, 5, 4), "Invalid domain name")));
    }
    Ok(Command::Hello { esmtp, domain })
}

fn auth(arguments: &str) -> Result<Command<'_>, Fault> {
    let (mechanism, initial) = match arguments.split_once(' ') {
        Some((mechanism, initial)) => (mechanism, Some(initial.trim_start_matches(' '))),
        None => (arguments, None),
    };
    if mechanism.is_empty() || initial.is_some_and(|text| text.contains(' ')) {
        return Err(Fault::Syntax(INVALID_ARGUMENTS));
    }
    Ok(Command::Auth { mechanism, initial })
}

/// What follows `FROM:` or `TO:`. Spaces behind the colon are no SMTP, yet common and harmless.
fn behind_keyword<'a>(arguments: &'a str, keyword: &str) -> Result<&'a str, Fault> {
    match arguments.split_at_checked(keyword.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(keyword) => Ok(rest.trim_start_matches(' ')),
        _ => Err(Fault::Syntax(INVALID_ARGUMENTS)),
    }
}

/// RFC 3030 section 2. Behind a size that cannot be read, nobody knows where the next command starts.
fn bdat(arguments: &str) -> Result<Command<'_>, Fault> {
    let (size, last) = match arguments.split_once(' ') {
        Some((size, word)) if word.trim_start_matches(' ').eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return Err(Fault::Framing(INVALID_ARGUMENTS)),
        None => (arguments, false),
    };
    // `parse` alone would take "+1".
    if !size.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Framing(INVALID_ARGUMENTS));
    }
    match size.parse() {
        Ok(size) => Ok(Command::Bdat { size, last }),
        Err(_) => Err(Fault::Framing(INVALID_ARGUMENTS)),
    }
}

/// Reads what follows `MAIL FROM:`.
pub(super) fn mail(arguments: &str, profile: &Profile) -> Result<MailCommand, Reply> {
    const INVALID_ADDRESS: Reply = Reply::new(501, (5, 1, 7), "Invalid address");
    let (reverse_path, parameters) =
        ReversePath::parse_prefix_in(arguments, profile.reading()).map_err(|_: AddressError| INVALID_ADDRESS)?;
    let mut mail = MailCommand {
        reverse_path,
        size: None,
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        auth: None,
    };
    let mut body = None;
    for parameter in Parameters::of(parameters).ok_or(INVALID_ADDRESS)? {
        let (keyword, value) = parameter?;
        match keyword {
            _ if keyword.eq_ignore_ascii_case("SIZE") && profile.size != SizeOffer::Absent => {
                once(&mut mail.size, size(value)?)?;
            }
            _ if keyword.eq_ignore_ascii_case("BODY") && profile.eight_bit_mime => {
                once(&mut body, body_type(value, profile)?)?;
            }
            _ if keyword.eq_ignore_ascii_case("SMTPUTF8") && profile.smtputf8 => {
                if value.is_some() || std::mem::replace(&mut mail.smtputf8, true) {
                    return Err(INVALID_ARGUMENTS);
                }
            }
            _ if keyword.eq_ignore_ascii_case("RET") && profile.dsn => {
                let ret = match value {
                    Some(value) if value.eq_ignore_ascii_case("FULL") => Return::Full,
                    Some(value) if value.eq_ignore_ascii_case("HDRS") => Return::Headers,
                    _ => return Err(INVALID_ARGUMENTS),
                };
                once(&mut mail.ret, ret)?;
            }
            _ if keyword.eq_ignore_ascii_case("ENVID") && profile.dsn => {
                once(&mut mail.envid, xtext(value, ENVID_BYTES_MAX)?.into())?;
            }
            // Taken even where AUTH is not offered now: after authentication it no longer is, and it proves nothing.
            _ if keyword.eq_ignore_ascii_case("AUTH") => {
                once(&mut mail.auth, mail_auth(value)?)?;
            }
            _ => return Err(UNSUPPORTED_PARAMETER),
        }
    }
    mail.body = body.unwrap_or_default();
    if !mail.smtputf8 && !path_text(arguments, parameters).is_ascii() {
        return Err(NEEDS_SMTPUTF8);
    }
    Ok(mail)
}

/// Reads what follows `RCPT TO:`; `smtputf8` says whether MAIL had that parameter.
pub(super) fn rcpt(arguments: &str, profile: &Profile, smtputf8: bool) -> Result<RcptCommand, Reply> {
    const INVALID_ADDRESS: Reply = Reply::new(501, (5, 1, 3), "Invalid address");
    let (forward_path, parameters) =
        ForwardPath::parse_prefix_in(arguments, profile.reading()).map_err(|_: AddressError| INVALID_ADDRESS)?;
    let mut notify = None;
    let mut original_recipient = None;
    for parameter in Parameters::of(parameters).ok_or(INVALID_ADDRESS)? {
        let (keyword, value) = parameter?;
        match keyword {
            _ if keyword.eq_ignore_ascii_case("NOTIFY") && profile.dsn => once(&mut notify, notify_parameter(value)?)?,
            _ if keyword.eq_ignore_ascii_case("ORCPT") && profile.dsn => {
                once(&mut original_recipient, orcpt(value, smtputf8)?.into())?;
            }
            _ => return Err(UNSUPPORTED_PARAMETER),
        }
    }
    if !smtputf8 && !path_text(arguments, parameters).is_ascii() {
        return Err(NEEDS_SMTPUTF8);
    }
    Ok(RcptCommand { forward_path, notify: notify.unwrap_or_default(), original_recipient })
}

/// The path's own text, of which `parameters` is what follows it. Domains are canonical once parsed, so only the text
/// shows whether the peer wrote them in UTF-8.
fn path_text<'a>(arguments: &'a str, parameters: &str) -> &'a str {
    arguments.get(..arguments.len() - parameters.len()).unwrap_or(arguments)
}

/// `keyword[=value]`, separated by spaces.
struct Parameters<'a>(std::str::Split<'a, char>);

impl<'a> Parameters<'a> {
    /// The parameters in what follows a path; `None` if they are not set off from it by a space.
    fn of(text: &'a str) -> Option<Parameters<'a>> {
        (text.is_empty() || text.starts_with(' ')).then(|| Parameters(text.split(' ')))
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<(&'a str, Option<&'a str>), Reply>;

    fn next(&mut self) -> Option<Self::Item> {
        let word = self.0.find(|word| !word.is_empty())?;
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let is_keyword = !keyword.is_empty() && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        Some(if is_keyword { Ok((keyword, value)) } else { Err(INVALID_ARGUMENTS) })
    }
}

/// RFC 5321 section 4.1.1.11: no parameter twice.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Reply> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(INVALID_ARGUMENTS),
    }
}

/// RFC 1870 section 5: up to 20 digits, which is more than 64 bits hold.
fn size(value: Option<&str>) -> Result<u64, Reply> {
    match value {
        Some(digits) if (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(digits.parse().unwrap_or(u64::MAX))
        }
        _ => Err(INVALID_ARGUMENTS),
    }
}

fn body_type(value: Option<&str>, profile: &Profile) -> Result<BodyType, Reply> {
    match value {
        Some(value) if value.eq_ignore_ascii_case("7BIT") => Ok(BodyType::SevenBit),
        Some(value) if value.eq_ignore_ascii_case("8BITMIME") => Ok(BodyType::EightBitMime),
        Some(value) if value.eq_ignore_ascii_case("BINARYMIME") => {
            if profile.offers_binary_mime() {
                Ok(BodyType::BinaryMime)
            } else {
                Err(UNSUPPORTED_PARAMETER)
            }
        }
        _ => Err(INVALID_ARGUMENTS),
    }
}

/// RFC 3461 section 4.1: NEVER alone, or any of the other three.
fn notify_parameter(value: Option<&str>) -> Result<Notify, Reply> {
    let value = value.ok_or(INVALID_ARGUMENTS)?;
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::NEVER);
    }
    let mut notify = Notify::NEVER;
    for word in value.split(',') {
        let wish = match word {
            _ if word.eq_ignore_ascii_case("SUCCESS") => &mut notify.success,
            _ if word.eq_ignore_ascii_case("FAILURE") => &mut notify.failure,
            _ if word.eq_ignore_ascii_case("DELAY") => &mut notify.delay,
            _ => return Err(INVALID_ARGUMENTS),
        };
        *wish = true;
    }
    Ok(notify)
}

/// `type;xtext`; with SMTPUTF8 the address may be UTF-8 (RFC 6533 section 3).
fn orcpt(value: Option<&str>, smtputf8: bool) -> Result<&str, Reply> {
    let value = value.filter(|value| value.len() <= ORCPT_BYTES_MAX).ok_or(INVALID_ARGUMENTS)?;
    let (kind, address) = value.split_once(';').ok_or(INVALID_ARGUMENTS)?;
    let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_address = is_xtext(address) || smtputf8 && !address.chars().any(char::is_control);
    if is_kind && !address.is_empty() && is_address { Ok(value) } else { Err(INVALID_ARGUMENTS) }
}

fn xtext(value: Option<&str>, bytes_max: usize) -> Result<&str, Reply> {
    value.filter(|value| (1..=bytes_max).contains(&value.len()) && is_xtext(value)).ok_or(INVALID_ARGUMENTS)
}

/// `<>` or an address in xtext (RFC 4954 section 5).
fn mail_auth(value: Option<&str>) -> Result<ReversePath, Reply> {
    match value {
        Some("<>") => Ok(ReversePath::Null),
        Some(value) if value.len() <= MAIL_AUTH_BYTES_MAX => {
            let mailbox = decode(value).and_then(|text| Mailbox::parse(&text).ok());
            mailbox.map(ReversePath::Mailbox).ok_or(INVALID_ARGUMENTS)
        }
        _ => Err(INVALID_ARGUMENTS),
    }
}

/// RFC 3461 section 4: printable ASCII but `+` and `=`, or `+` and two upper-case hexadecimal digits. Devices leave
/// `=` as it is, and nothing is lost by taking it.
fn is_xtext(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += match byte {
            b'+' => match bytes.get(at + 1..at + 3) {
                Some(digits) if digits.iter().all(|b| b.is_ascii_hexdigit()) => 3,
                _ => return false,
            },
            b'!'..=b'~' => 1,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn everything() -> Profile {
        Profile {
            size: SizeOffer::Bare,
            dsn: true,
            eight_bit_mime: true,
            binary_mime: true,
            chunking: true,
            smtputf8: true,
            ..Profile::new("mail.contoso.com".into(), Ipv4Addr::LOCALHOST.into())
        }
    }

    #[test]
    fn verbs_are_read_in_any_case_and_arguments_where_they_belong() {
        for (line, expected) in [
            ("ehlo app01", Some(Command::Hello { esmtp: true, domain: "app01" })),
            ("HELO my_printer", Some(Command::Hello { esmtp: false, domain: "my_printer" })),
            ("EHLO [IPv6:::1] ", Some(Command::Hello { esmtp: true, domain: "[IPv6:::1]" })),
            ("EHLO a b", None),
            ("EHLO bücher", None),
            ("NOOP whatever", Some(Command::Noop)),
            ("DATA now", None),
            ("BDAT 10 last", Some(Command::Bdat { size: 10, last: true })),
            ("BDAT 0", Some(Command::Bdat { size: 0, last: false })),
            ("BDAT +1", None),
            ("BDAT", None),
            ("BDAT 1 FIRST", None),
            ("BDAT 18446744073709551616", None),
            ("MAIL FROM: <a@b>", Some(Command::Mail { arguments: "<a@b>" })),
            ("mail from:<a@b>", Some(Command::Mail { arguments: "<a@b>" })),
            ("MAIL <a@b>", None),
            ("AUTH PLAIN =", Some(Command::Auth { mechanism: "PLAIN", initial: Some("=") })),
            ("AUTH", None),
            ("", None),
            ("VERYLONGVERB", None),
            ("ÄÄÄÄ", None),
        ] {
            assert_eq!(parse(line).ok(), expected, "{line}");
        }
    }

    #[test]
    fn mail_parameters_are_taken_where_they_are_offered() {
        for (arguments, expected) in [
            ("<a@b.c> SIZE=10 BODY=8BITMIME", Ok(())),
            ("<a@b.c>  ret=hdrs  envid=x+2B1", Ok(())),
            ("<a@b.c> BODY=BINARYMIME AUTH=<>", Ok(())),
            ("<ä@b.c> SMTPUTF8", Ok(())),
            ("<a@bücher.example> SMTPUTF8", Ok(())),
            ("<> SIZE=99999999999999999999", Ok(())),
            ("<ä@b.c>", Err(553)),
            ("<a@bücher.example>", Err(553)),
            ("<a@b.c>SIZE=10", Err(501)),
            ("<a@b.c> SIZE=", Err(501)),
            ("<a@b.c> SIZE=1 SIZE=1", Err(501)),
            ("<a@b.c> BODY=9BIT", Err(501)),
            ("<a@b.c> RET=ALL", Err(501)),
            ("<a@b.c> ENVID=a+2", Err(501)),
            ("<a@b.c> SMTPUTF8=1", Err(501)),
            ("<a@b.c> =1", Err(501)),
            ("<a@b.c> XOORG=contoso.com", Err(555)),
            ("", Err(501)),
            ("<a@b", Err(501)),
        ] {
            let read = mail(arguments, &everything());
            assert_eq!(read.map(drop).map_err(|reply| reply.code), expected, "{arguments}");
        }
        let nothing = Profile::new("mail.contoso.com".into(), Ipv4Addr::LOCALHOST.into());
        for parameter in ["SIZE=1", "BODY=7BIT", "SMTPUTF8", "RET=FULL", "ENVID=x"] {
            let read = mail(&format!("<a@b.c> {parameter}"), &nothing);
            assert_eq!(read.map(drop).map_err(|reply| reply.code), Err(555), "{parameter}");
        }
    }

    #[test]
    fn auth_names_an_address_in_xtext_or_nobody() {
        for (value, expected) in [
            ("<>", Ok(Some("<>"))),
            ("alice@contoso.com", Ok(Some("<alice@contoso.com>"))),
            ("e+3Dmc2@example.com", Ok(Some("<e=mc2@example.com>"))),
            ("+22a+20b+22@contoso.com", Ok(Some("<\"a b\"@contoso.com>"))),
            ("+E7+94+A8@contoso.com", Ok(Some("<用@contoso.com>"))),
            ("a=b@contoso.com", Err(501)),
            ("a+2@contoso.com", Err(501)),
            ("a+3d@contoso.com", Err(501)),
            ("+FF@contoso.com", Err(501)),
            ("a+0Db@contoso.com", Err(501)),
            ("a@contoso.com@x.net", Err(501)),
            ("<alice@contoso.com>", Err(501)),
            ("alice", Err(501)),
            ("", Err(501)),
        ] {
            let read = mail(&format!("<a@b.c> AUTH={value}"), &everything());
            let read = read.map(|mail| mail.auth.map(|path| path.to_string())).map_err(|reply| reply.code);
            assert_eq!(read.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{value}");
        }
        for parameters in ["AUTH", "AUTH=<> AUTH=<>", &format!("AUTH={}@b.c", "a".repeat(MAIL_AUTH_BYTES_MAX))] {
            let read = mail(&format!("<a@b.c> {parameters}"), &everything());
            assert_eq!(read.map(drop).map_err(|reply| reply.code), Err(501), "{parameters}");
        }
    }

    #[test]
    fn notify_is_never_or_any_of_the_three() {
        for (value, expected) in [
            ("NEVER", Some(Notify::NEVER)),
            ("success,DELAY", Some(Notify { success: true, failure: false, delay: true, given: true })),
            ("FAILURE", Some(Notify { success: false, failure: true, delay: false, given: true })),
            ("NEVER,FAILURE", None),
            ("", None),
            ("FAILURE,", None),
        ] {
            let read = rcpt(&format!("<a@b.c> NOTIFY={value}"), &everything(), false);
            assert_eq!(read.ok().map(|rcpt| rcpt.notify), expected, "{value}");
        }
    }

    #[test]
    fn original_recipients_keep_their_type() {
        for (value, smtputf8, is_taken) in [
            ("rfc822;a+2Bb@c.d", false, true),
            ("rfc822;a+b@c.d", false, false),
            ("a@b.c", false, false),
            (";a@b.c", false, false),
            ("utf-8;ä@b.c", true, true),
            ("utf-8;ä@b.c", false, false),
        ] {
            let read = rcpt(&format!("<a@b.c> ORCPT={value}"), &everything(), smtputf8);
            assert_eq!(read.is_ok(), is_taken, "{value}");
        }
    }
}
