//! Certificates as settings and decisions speak of them: names of issuer and subject, thumbprints, and what is known of
//! one that a peer presents.
//!
//! Takes text of the settings document and bytes of certificates, hands on values. Whether a chain is sound, whoever holds
//! the roots has found out before; whom a certificate makes of a peer, `peer_certificate` decides.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use gatepost_mail::Domain;

use crate::note::Note;

/// Longest issuer or subject that is read, in bytes as a certificate holds it.
const NAME_BYTES_MAX: usize = 4096;
/// Most attributes of an issuer or a subject.
const ATTRIBUTES_MAX: usize = 64;

/// Issuer and subject of a certificate, as Exchange names one (TlsCertificateName): `<I>CN=Contoso CA, O=Contoso<S>CN=mail`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateName {
    /// Who signed it.
    pub issuer: DistinguishedName,
    /// Whom it is for.
    pub subject: DistinguishedName,
}

impl CertificateName {
    /// Whether both speak of the same issuer and subject; see [`DistinguishedName::is_same`].
    pub fn is_same(&self, other: &CertificateName) -> bool {
        self.issuer.is_same(&other.issuer) && self.subject.is_same(&other.subject)
    }
}

impl FromStr for CertificateName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<CertificateName, NameError> {
        let rest = text.trim().strip_prefix("<I>").ok_or(NameError::Marks)?;
        let (issuer, subject) = rest.split_once("<S>").ok_or(NameError::Marks)?;
        Ok(CertificateName { issuer: issuer.parse()?, subject: subject.parse()? })
    }
}

/// As Exchange writes it.
impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<I>{}<S>{}", self.issuer, self.subject)
    }
}

/// Why a text is no name of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// `<I>` or `<S>` is missing.
    #[error("it has not the form <I>issuer<S>subject")]
    Marks,
    /// An attribute has no type, no value or no `=`.
    #[error("a part of it has not the form CN=value")]
    Attribute,
    /// A quotation mark or a backslash has no partner.
    #[error("a quotation mark or a backslash in it stands alone")]
    Quoting,
    /// It is longer than any that we read.
    #[error("it is too long")]
    TooLong,
    /// It is not the DER of a name.
    #[error("it cannot be read")]
    Der,
}

/// An issuer or a subject: attributes in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DistinguishedName(Vec<Attribute>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attribute {
    /// `CN`, `O`; a number with dots where the type has no name here.
    kind: Box<str>,
    value: Box<str>,
}

impl DistinguishedName {
    /// Reads the content of a certificate's Name (RFC 5280 section 4.1.2.4), without the outer tag.
    ///
    /// # Errors
    /// [`NameError`] for what is no such thing, or too long to be somebody's name.
    pub fn from_der(der: &[u8]) -> Result<DistinguishedName, NameError> {
        if der.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        let mut attributes = Vec::new();
        let mut sets = der;
        while !sets.is_empty() {
            let (mut set, rest) = der::element(sets, der::SET)?;
            sets = rest;
            while !set.is_empty() {
                let (pair, rest) = der::element(set, der::SEQUENCE)?;
                set = rest;
                if attributes.len() == ATTRIBUTES_MAX {
                    return Err(NameError::TooLong);
                }
                let (kind, value) = der::element(pair, der::OBJECT_IDENTIFIER)?;
                attributes.push(Attribute { kind: der::kind(kind)?, value: der::text(value)? });
            }
        }
        Ok(DistinguishedName(attributes))
    }

    /// Whether it names nobody, as the subject of a certificate may that has alternative names (RFC 5280 section 4.1.2.6).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both have the same attributes, in the same order or in the opposite one: Windows shows them backwards. Case
    /// and runs of spaces make no difference, as in the comparison of RFC 5280 section 7.1.
    pub fn is_same(&self, other: &DistinguishedName) -> bool {
        let key = |attribute: &Attribute| {
            let words: Vec<String> = attribute.value.split_whitespace().map(str::to_lowercase).collect();
            (attribute.kind.to_ascii_uppercase(), words.join(" "))
        };
        let [mine, theirs] = [self, other].map(|name| name.0.iter().map(key).collect::<Vec<_>>());
        mine == theirs || mine.iter().rev().eq(&theirs)
    }
}

impl FromStr for DistinguishedName {
    type Err = NameError;

    /// Attributes with commas between; a value with a comma in it stands between quotation marks, or has a backslash before
    /// it (RFC 4514). No attribute at all is the empty name.
    fn from_str(text: &str) -> Result<DistinguishedName, NameError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if text.trim().is_empty() {
            return Ok(DistinguishedName(Vec::new()));
        }
        let parts = split(text)?;
        if parts.len() > ATTRIBUTES_MAX {
            return Err(NameError::TooLong);
        }
        parts.iter().map(|part| attribute(part)).collect::<Result<_, _>>().map(DistinguishedName)
    }
}

/// Cuts at the commas that neither quotation marks nor a backslash protect.
fn split(text: &str) -> Result<Vec<&str>, NameError> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' | ';' if !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if is_quoted || is_escaped {
        return Err(NameError::Quoting);
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn attribute(part: &str) -> Result<Attribute, NameError> {
    let (kind, value) = part.split_once('=').ok_or(NameError::Attribute)?;
    let kind = kind.trim();
    let kind = kind.strip_prefix("OID.").unwrap_or(kind);
    let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let mut plain = String::with_capacity(value.len());
    let mut rest = value.trim().chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => plain.extend(rest.next()),
            '"' => {}
            other => plain.push(other),
        }
    }
    if !is_kind || plain.trim().is_empty() {
        return Err(NameError::Attribute);
    }
    // One type that Windows and OpenSSL name differently.
    let kind = if kind.eq_ignore_ascii_case("S") { "ST" } else { kind };
    let kind = if kind.eq_ignore_ascii_case("emailAddress") { "E" } else { kind };
    Ok(Attribute { kind: kind.into(), value: plain.into() })
}

/// As it would be written in the settings.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Attribute { kind, value }) in self.0.iter().enumerate() {
            write!(f, "{}{kind}=", if place == 0 { "" } else { ", " })?;
            for character in value.chars() {
                let is_special = matches!(character, ',' | ';' | '"' | '\\' | '<' | '>');
                write!(f, "{}{character}", if is_special { "\\" } else { "" })?;
            }
        }
        Ok(())
    }
}

/// From when until when a certificate is valid, Unix time in milliseconds (RFC 5280 section 4.1.2.5); `None` where that cannot
/// be read. What begins before 1970 begins there.
pub fn validity_ms(certificate: &[u8]) -> Option<(u64, u64)> {
    let (certificate, _) = der::element(certificate, der::SEQUENCE).ok()?;
    let (mut fields, _) = der::element(certificate, der::SEQUENCE).ok()?;
    if fields.first() == Some(&der::VERSION) {
        (_, fields) = der::element(fields, der::VERSION).ok()?;
    }
    let (_, fields) = der::element(fields, der::INTEGER).ok()?;
    let (_, fields) = der::element(fields, der::SEQUENCE).ok()?;
    let (_, fields) = der::element(fields, der::SEQUENCE).ok()?;
    let (validity, _) = der::element(fields, der::SEQUENCE).ok()?;
    let (not_before, not_after) = der::time(validity)?;
    let (not_after, _) = der::time(not_after)?;
    Some((u64::try_from(moment_ms(not_before)?).unwrap_or(0), u64::try_from(moment_ms(not_after)?).ok()?))
}

/// A UTCTime or a GeneralizedTime.
fn moment_ms(text: &str) -> Option<i64> {
    let number = |from: usize, length: usize| text.get(from..from + length)?.parse::<i8>().ok();
    let (century, rest) = match text.len() {
        // RFC 5280 section 4.1.2.5.1: two digits of a year mean 1950 to 2049.
        13 if number(0, 2)? >= 50 => (19, 0),
        13 => (20, 0),
        15 => (number(0, 2)?, 2),
        _ => return None,
    };
    let year = i16::from(century) * 100 + i16::from(number(rest, 2)?);
    let at = |place: usize| number(rest + 2 * place, 2);
    let moment = jiff::civil::DateTime::new(year, at(1)?, at(2)?, at(3)?, at(4)?, at(5)?, 0).ok()?;
    let moment = moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(moment.timestamp().as_millisecond())
}

/// As much of DER as a name and a date need.
mod der {
    use std::fmt::Write;

    use super::NameError;

    pub const OBJECT_IDENTIFIER: u8 = 0x06;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    pub const INTEGER: u8 = 0x02;
    /// The version of a certificate, which the first had not.
    pub const VERSION: u8 = 0xa0;

    /// The types that have names, as Windows writes them, by the last number below 2.5.4.
    const NAMED: [(u8, &str); 11] = [
        (3, "CN"),
        (4, "SN"),
        (5, "SERIALNUMBER"),
        (6, "C"),
        (7, "L"),
        (8, "ST"),
        (9, "STREET"),
        (10, "O"),
        (11, "OU"),
        (12, "T"),
        (42, "G"),
    ];
    const EMAIL_ADDRESS: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];
    const DOMAIN_COMPONENT: [u8; 10] = [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19];

    /// The content of the first element, which has this tag, and what stands behind it.
    pub fn element(bytes: &[u8], tag: u8) -> Result<(&[u8], &[u8]), NameError> {
        let (found, content, rest) = any(bytes)?;
        if found == tag { Ok((content, rest)) } else { Err(NameError::Der) }
    }

    /// The text of the first element, which is a UTCTime or a GeneralizedTime, and what stands behind it.
    pub fn time(bytes: &[u8]) -> Option<(&str, &[u8])> {
        let (tag @ (0x17 | 0x18), content, rest) = any(bytes).ok()? else { return None };
        let is_whole = content.len() == if tag == 0x17 { 13 } else { 15 } && content.last() == Some(&b'Z');
        let text = std::str::from_utf8(content).ok().filter(|text| is_whole && text.is_ascii())?;
        Some((text, rest))
    }

    fn any(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), NameError> {
        let [tag, first, rest @ ..] = bytes else { return Err(NameError::Der) };
        let (length, rest) = match (first, rest) {
            (0..=0x7f, rest) => (usize::from(*first), rest),
            (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
            (0x82, [high, low, rest @ ..]) => (usize::from(*high) << 8 | usize::from(*low), rest),
            // Nothing that we read is as long as that.
            _ => return Err(NameError::Der),
        };
        if length > rest.len() {
            return Err(NameError::Der);
        }
        let (content, rest) = rest.split_at(length);
        Ok((*tag, content, rest))
    }

    /// The name of an attribute's type, or its numbers.
    pub fn kind(identifier: &[u8]) -> Result<Box<str>, NameError> {
        match identifier {
            [0x55, 0x04, last] => {
                if let Some((_, name)) = NAMED.iter().find(|(number, _)| number == last) {
                    return Ok((*name).into());
                }
            }
            identifier if *identifier == EMAIL_ADDRESS => return Ok("E".into()),
            identifier if *identifier == DOMAIN_COMPONENT => return Ok("DC".into()),
            _ => {}
        }
        let mut numbers = Vec::new();
        let mut number = 0_u64;
        for byte in identifier {
            number = number.checked_mul(128).ok_or(NameError::Der)? | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                numbers.push(number);
                number = 0;
            }
        }
        let [first, others @ ..] = &numbers[..] else { return Err(NameError::Der) };
        let root = (first / 40).min(2);
        let mut text = format!("{root}.{}", first - root * 40);
        for number in others {
            // Writing to a String cannot fail.
            let _ = write!(text, ".{number}");
        }
        Ok(text.into())
    }

    /// The text of an attribute's value; `#` and its bytes where it is none.
    pub fn text(value: &[u8]) -> Result<Box<str>, NameError> {
        let (tag, content, rest) = any(value)?;
        if !rest.is_empty() {
            return Err(NameError::Der);
        }
        let text = match tag {
            // UTF8String, and the two kinds of ASCII: PrintableString, IA5String.
            0x0c | 0x13 | 0x16 => String::from_utf8(content.to_vec()).ok(),
            // TeletexString, which everybody takes for Latin-1.
            0x14 => Some(content.iter().map(|byte| char::from(*byte)).collect()),
            // BMPString.
            0x1e => {
                let units: Vec<u16> =
                    content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
                String::from_utf16(&units).ok().filter(|_| content.len().is_multiple_of(2))
            }
            _ => None,
        };
        // A name that a log cannot show safely is shown by its bytes.
        let text = text.filter(|text| !text.trim().is_empty() && !text.chars().any(char::is_control));
        let in_bytes = || {
            content.iter().fold("#".to_owned(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        Ok(text.unwrap_or_else(in_bytes).into())
    }
}

/// The SHA-256 of a whole certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint(pub [u8; 32]);

impl Thumbprint {
    /// Reads 64 hexadecimal digits, with or without colons or spaces between.
    pub fn parse(text: &str) -> Option<Thumbprint> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b':' | b' ')).collect();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? * 16 + low?).ok()?;
        }
        Some(Thumbprint(bytes))
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a certificate proves nothing by its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Untrusted {
    /// The peer has not shown that it holds the key.
    #[error("the peer has not proven that it holds its key")]
    Unproven,
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet")]
    NotYetValid,
    /// No root that we trust stands behind it.
    #[error("no root that is trusted here has issued it")]
    UnknownIssuer,
    /// It was made for something else, or breaks a rule of its issuer.
    #[error("its chain is not sound")]
    Unsound,
}

impl Untrusted {
    /// Each with a word that records keep.
    pub const NAMED: [(&str, Untrusted); 6] = [
        ("unproven", Untrusted::Unproven),
        ("unreadable", Untrusted::Unreadable),
        ("expired", Untrusted::Expired),
        ("not-yet-valid", Untrusted::NotYetValid),
        ("unknown-issuer", Untrusted::UnknownIssuer),
        ("unsound", Untrusted::Unsound),
    ];

    /// Whether the certificate itself is beyond use, whoever issued it.
    pub fn is_of_itself(self) -> bool {
        !matches!(self, Untrusted::UnknownIssuer | Untrusted::Unsound)
    }
}

/// What is known of a certificate that a peer presented in a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Which one it is.
    pub thumbprint: Thumbprint,
    /// Issuer and subject; `None` where they cannot be read.
    pub name: Option<CertificateName>,
    /// The domains that it was issued for, wildcards left out.
    pub domains: Vec<Domain>,
    /// Whether a chain leads from it to a root that is trusted here, at the time of the handshake, and the key was proven.
    pub trust: Result<(), Untrusted>,
}

impl PeerCertificate {
    /// A sound certificate for this domain, as an explanation imagines one.
    pub fn of_domain(domain: Domain) -> PeerCertificate {
        PeerCertificate { thumbprint: Thumbprint([0; 32]), name: None, domains: vec![domain], trust: Ok(()) }
    }

    /// The certificate by which this server is known, as an explanation imagines it.
    pub fn of_server(server: &TrustedServer) -> PeerCertificate {
        let (thumbprint, name) = match &server.known_by {
            KnownBy::Thumbprint(thumbprint) => (*thumbprint, None),
            KnownBy::Name(name) => (Thumbprint([0; 32]), Some(name.clone())),
        };
        PeerCertificate { thumbprint, name, domains: Vec::new(), trust: Ok(()) }
    }
}

/// One `[[trusted_server]]`: a server of the organization, known by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedServer {
    /// Unique, case ignored; 1 to 64 characters.
    pub name: Arc<str>,
    /// How its certificate is known.
    pub known_by: KnownBy,
    /// Whose it is, why, and until when.
    pub note: Option<Box<Note>>,
    /// Where its name stands in the settings document, in bytes.
    pub span: std::ops::Range<usize>,
}

/// How the certificate of a trusted server is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// It is this very certificate, whoever issued it.
    Thumbprint(Thumbprint),
    /// It names this issuer and subject, and a trusted root stands behind it.
    Name(CertificateName),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// CN=Contoso CA, O="Contoso, Inc", C=DE as DER, in the order of a certificate.
    fn sample() -> Vec<u8> {
        let pair = |kind: u8, tag: u8, text: &str| {
            let mut value = vec![0x06, 3, 0x55, 4, kind, tag, u8::try_from(text.len()).expect("short")];
            value.extend(text.as_bytes());
            let length = u8::try_from(value.len()).expect("short");
            [&[0x31, length + 2, 0x30, length][..], &value].concat()
        };
        [pair(6, 0x13, "DE"), pair(10, 0x0c, "Contoso, Inc"), pair(3, 0x0c, "Contoso CA")].concat()
    }

    #[test]
    fn the_validity_of_a_certificate_is_read_in_both_forms() {
        let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).expect("short")], content].concat();
        let certificate = |version: &[u8], end: Vec<u8>| {
            let validity = element(0x30, &[element(0x17, b"200101000000Z"), end].concat());
            let (serial, empty) = (element(2, &[7]), element(0x30, b""));
            let fields = [version, &serial, &empty, &empty, &validity, &empty].concat();
            element(0x30, &[element(0x30, &fields), empty].concat())
        };
        let third = element(0xa0, &[2, 1, 2]);
        for (tag, text, expected) in [
            (0x17, "261231235959Z", Some(1_798_761_599_000)),
            (0x17, "700101000001Z", Some(1_000)),
            (0x18, "20991231235959Z", Some(4_102_444_799_000)),
            (0x18, "99991231235959Z", None),
            (0x17, "2612312359Z", None),
            (0x17, "261331235959Z", None),
            (0x18, "26-+31235959Z", None),
            (0x04, "261231235959Z", None),
        ] {
            let read = |version: &[u8]| validity_ms(&certificate(version, element(tag, text.as_bytes())));
            let expected = expected.map(|end_ms: u64| (1_577_836_800_000, end_ms));
            let far = text.starts_with("9999");
            assert_eq!(read(&third).filter(|_| !far), expected, "{text}");
            assert_eq!(read(b"").filter(|_| !far), expected, "{text}");
        }
        assert_eq!(validity_ms(b""), None);
    }

    #[test]
    fn a_name_is_read_from_a_certificate_and_found_in_either_order() {
        let name = DistinguishedName::from_der(&sample()).expect("a name");
        assert_eq!(name.to_string(), r"C=DE, O=Contoso\, Inc, CN=Contoso CA");
        for (text, is_same) in [
            (r"C=DE, O=Contoso\, Inc, CN=Contoso CA", true),
            ("CN=contoso  ca,O=\"Contoso, Inc\" , c=de", true),
            ("CN=Contoso CA, O=\"Contoso, Inc\"", false),
            ("O=\"Contoso, Inc\", CN=Contoso CA, C=DE", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<DistinguishedName>().expect(text).is_same(&name), is_same, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_of_a_certificate_says_why() {
        for (text, expected) in [
            ("<I>CN=a<S>CN=b", None),
            (" <I>CN=a<S>", None),
            ("<I>CN=a<S>CN=b, OID.2.5.4.97=x, S=Hessen", None),
            ("CN=a", Some(NameError::Marks)),
            ("<I>CN=a", Some(NameError::Marks)),
            ("<I>a<S>CN=b", Some(NameError::Attribute)),
            ("<I>CN=<S>CN=b", Some(NameError::Attribute)),
            ("<I>CN=\"  \"<S>CN=b", Some(NameError::Attribute)),
            ("<I>=x<S>CN=b", Some(NameError::Attribute)),
            ("<I>CN=a<S>CN=\"b", Some(NameError::Quoting)),
            ("<I>CN=a<S>CN=b\\", Some(NameError::Quoting)),
        ] {
            assert_eq!(text.parse::<CertificateName>().err(), expected, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_bytes() {
        for (value, expected) in [
            (&[0x0c, 2, b'a', 0x07][..], "#6107"),
            (&[0x0c, 1, 0xff], "#ff"),
            (&[0x1e, 2, 0, b'a'], "a"),
            (&[0x1e, 3, 0, b'a', 0], "#006100"),
            (&[0x14, 1, 0xe4], "ä"),
            (&[0x02, 1, 5], "#05"),
        ] {
            assert_eq!(&*der::text(value).expect("an element"), expected);
        }
    }

    #[test]
    fn types_without_a_name_keep_their_numbers() {
        for (identifier, expected) in [
            (&[0x55, 4, 3][..], Some("CN")),
            (&[0x55, 4, 97], Some("2.5.4.97")),
            (&[0x2a, 0x86, 0x48], Some("1.2.840")),
            (&[0x81, 0x34, 0x03], Some("2.100.3")),
            (&[0x80], None),
            (&[], None),
        ] {
            assert_eq!(der::kind(identifier).ok().as_deref(), expected);
        }
    }

    #[test]
    fn a_thumbprint_is_read_with_and_without_marks() {
        let plain = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let thumbprint = Thumbprint::parse(plain).expect("64 digits");
        assert_eq!(thumbprint.to_string(), plain);
        let marked: Vec<String> =
            plain.to_uppercase().as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into()).collect();
        assert_eq!(Thumbprint::parse(&marked.join(":")), Some(thumbprint));
        for text in [&plain[1..], "", &plain.replace('f', "g")] {
            assert_eq!(Thumbprint::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_name_or_none_and_a_name_is_read_as_it_is_shown(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(name) = DistinguishedName::from_der(&der) {
                let again: DistinguishedName = name.to_string().parse().expect("its own words");
                prop_assert!(again.is_same(&name), "{name}");
            }
        }

        #[test]
        fn a_name_is_read_as_it_is_shown(text in "<I>(CN=[ -~äß]{1,9}(, O=[ -~]{1,9})?)<S>(C=[A-Z]{2})?") {
            if let Ok(name) = text.parse::<CertificateName>() {
                let shown = name.to_string();
                prop_assert!(shown.parse::<CertificateName>().is_ok_and(|again| again.is_same(&name)), "{shown}");
            }
        }
    }
}
