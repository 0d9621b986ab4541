//! Addresses as the SMTP envelope writes them (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
//!
//! Takes text, hands on values that are legal by construction. Domains are kept in one canonical form (lower case,
//! A-labels), so that comparing two of them is comparing text. Never resolves, never decides.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest domain, in bytes (RFC 5321 section 4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;
/// Longest local part, in bytes (RFC 5321 section 4.5.3.1.1 says 64; Exchange takes 315, and so do we).
pub const LOCAL_PART_BYTES_MAX: usize = 315;
/// Longest local part where XLONGADDR is offered, in bytes: Exchange takes addresses of 1,860 then.
pub const LONG_LOCAL_PART_BYTES_MAX: usize = 1_860 - 1 - DOMAIN_BYTES_MAX;

/// Why a text is no address. The `Display` form is a half sentence for the person who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// No `@` outside quotes.
    #[error("it has no domain: write local-part@domain")]
    NoDomain,
    /// The part before the `@` breaks the grammar.
    #[error("the part before the @ is not well-formed")]
    LocalPart,
    /// The part after the `@` breaks the grammar.
    #[error("the domain is not well-formed")]
    Domain,
    /// Longer than [`LOCAL_PART_BYTES_MAX`] (or [`LONG_LOCAL_PART_BYTES_MAX`]) or [`DOMAIN_BYTES_MAX`].
    #[error("it is too long")]
    TooLong,
    /// A path without its angle brackets, or with something behind them.
    #[error("write it between angle brackets: <local-part@domain>")]
    Brackets,
}

/// A domain name in canonical form, or an address literal such as `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<str>);

impl Domain {
    /// Parses a domain name (ASCII or internationalised) or an address literal. One trailing dot is not allowed.
    pub fn parse(text: &str) -> Result<Domain, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > DOMAIN_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        if text.starts_with('[') {
            return parse_literal(text);
        }
        if text.is_ascii() {
            if !is_host_name(text) {
                return Err(AddressError::Domain);
            }
            return Ok(Domain(text.to_ascii_lowercase().into_boxed_str()));
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| AddressError::Domain)?;
        if ascii.len() > DOMAIN_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        if is_host_name(&ascii) { Ok(Domain(ascii.into_boxed_str())) } else { Err(AddressError::Domain) }
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an address literal.
    pub fn is_literal(&self) -> bool {
        self.0.starts_with('[')
    }

    /// The address of an address literal.
    pub fn literal_address(&self) -> Option<std::net::IpAddr> {
        let inner = self.0.strip_prefix('[')?.strip_suffix(']')?;
        match inner.strip_prefix("ipv6:") {
            Some(v6) => v6.parse::<Ipv6Addr>().ok().map(Into::into),
            None => inner.parse::<Ipv4Addr>().ok().map(Into::into),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Domain {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Letters, digits, hyphens and underscores in labels of 1 to 63 bytes; underscores and single labels occur in the
/// field (`user@localhost`, `user@print_server`) and harm nobody.
fn is_host_name(text: &str) -> bool {
    text.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

fn parse_literal(text: &str) -> Result<Domain, AddressError> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or(AddressError::Domain)?;
    if let Ok(v4) = inner.parse::<Ipv4Addr>() {
        return Ok(Domain(format!("[{v4}]").into_boxed_str()));
    }
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => {
            let v6 = inner[5..].parse::<Ipv6Addr>().map_err(|_| AddressError::Domain)?;
            // Lower case like every canonical domain, so that equal literals are equal text.
            Ok(Domain(format!("[ipv6:{v6}]").into_boxed_str()))
        }
        _ => Err(AddressError::Domain),
    }
}

/// `local-part@domain`. The local part stays as it was written, quotes included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    local_part: Box<str>,
    domain: Domain,
}

impl Mailbox {
    /// Parses `local-part@domain`, without angle brackets.
    pub fn parse(text: &str) -> Result<Mailbox, AddressError> {
        Mailbox::parse_up_to(text, LOCAL_PART_BYTES_MAX)
    }

    fn parse_up_to(text: &str, local_part_bytes_max: usize) -> Result<Mailbox, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let end = local_part_end(text)?;
        let (local_part, rest) = text.split_at(end);
        let Some(domain) = rest.strip_prefix('@') else {
            return Err(if rest.is_empty() { AddressError::NoDomain } else { AddressError::LocalPart });
        };
        if local_part.is_empty() {
            return Err(AddressError::LocalPart);
        }
        if local_part.len() > local_part_bytes_max {
            return Err(AddressError::TooLong);
        }
        Ok(Mailbox { local_part: local_part.into(), domain: Domain::parse(domain)? })
    }

    /// A mailbox of two parts, for addresses that we make ourselves.
    pub fn new(local_part: &str, domain: Domain) -> Result<Mailbox, AddressError> {
        Mailbox::new_up_to(local_part, domain, LOCAL_PART_BYTES_MAX)
    }

    /// The same with a local part as long as XLONGADDR allows; for what was accepted as such.
    pub fn new_long(local_part: &str, domain: Domain) -> Result<Mailbox, AddressError> {
        Mailbox::new_up_to(local_part, domain, LONG_LOCAL_PART_BYTES_MAX)
    }

    fn new_up_to(local_part: &str, domain: Domain, bytes_max: usize) -> Result<Mailbox, AddressError> {
        if local_part.len() > bytes_max {
            return Err(AddressError::TooLong);
        }
        if local_part.is_empty() || local_part_end(local_part)? != local_part.len() {
            return Err(AddressError::LocalPart);
        }
        Ok(Mailbox { local_part: local_part.into(), domain })
    }

    /// The part before the `@`, as it was written.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// The part after the `@`, canonical.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether it is longer than a server takes that does not offer XLONGADDR.
    pub fn is_long(&self) -> bool {
        self.local_part.len() > LOCAL_PART_BYTES_MAX
    }

    /// Whether the address needs SMTPUTF8 to travel (RFC 6531). The domain never does: it is in A-labels.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local_part.is_ascii()
    }

    /// The local part as mailboxes are compared: without quotes that nothing requires, in lower case. RFC 5321 leaves
    /// this to the receiving host; Exchange ignores case, and so do we.
    pub fn local_part_key(&self) -> String {
        let mut key = String::with_capacity(self.local_part.len());
        self.push_local_part_key(&mut key);
        key
    }

    /// Two addresses are the same mailbox where these texts are equal: [`Mailbox::local_part_key`] at the domain.
    pub fn key(&self) -> String {
        let domain = self.domain.as_str();
        let mut key = String::with_capacity(self.local_part.len() + 1 + domain.len());
        self.push_local_part_key(&mut key);
        key.push('@');
        key.push_str(domain);
        key
    }

    /// `key` is empty.
    fn push_local_part_key(&self, key: &mut String) {
        match self.plain_local_part() {
            Some(plain) => {
                key.push_str(plain);
                key.make_ascii_lowercase();
            }
            None => key.extend(self.local_part_key_chars()),
        }
    }

    /// The characters of [`Mailbox::local_part_key`], for those who compare without keeping it.
    pub fn local_part_key_chars(&self) -> impl Iterator<Item = char> + Clone {
        let quoted = self.local_part.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        let (text, is_quoted) = (quoted.unwrap_or(&self.local_part), quoted.is_some());
        let mut escaped = false;
        let meant = text.chars().filter(move |c| {
            escaped = is_quoted && *c == '\\' && !escaped;
            !escaped
        });
        meant.flat_map(char::to_lowercase)
    }

    /// The local part, if [`Mailbox::local_part_key`] is that text in lower case by ASCII's rules: for nearly every
    /// address there is, so that comparing one need not go through it by characters.
    pub fn plain_local_part(&self) -> Option<&str> {
        (self.local_part.is_ascii() && !self.local_part.starts_with('"')).then_some(&*self.local_part)
    }

    /// Whether [`Mailbox::local_part_key`] is `key`, which is in lower case.
    pub fn has_local_part_key(&self, key: &str) -> bool {
        match self.plain_local_part() {
            Some(plain) => plain.eq_ignore_ascii_case(key),
            None => self.local_part_key_chars().eq(key.chars()),
        }
    }

    /// Whether both name the same mailbox here: same domain, local parts equal by [`Mailbox::local_part_key`].
    pub fn is_same_mailbox(&self, other: &Mailbox) -> bool {
        let is_same_local_part = || match (self.plain_local_part(), other.plain_local_part()) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => self.local_part_key_chars().eq(other.local_part_key_chars()),
        };
        self.domain == other.domain && is_same_local_part()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

/// Where the local part ends: the first byte that cannot belong to it.
fn local_part_end(text: &str) -> Result<usize, AddressError> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut escaped = false;
        for (i, c) in quoted.char_indices() {
            match c {
                // qtextSMTP and quoted-pairSMTP are printable ASCII and space; RFC 6531 adds everything above ASCII.
                _ if c.is_ascii_control() => return Err(AddressError::LocalPart),
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Ok(i + 2),
                _ => {}
            }
        }
        return Err(AddressError::LocalPart);
    }
    let end = text.find(|c: char| !(is_atext(c) || c == '.')).unwrap_or(text.len());
    let local_part = &text[..end];
    if local_part.starts_with('.') || local_part.ends_with('.') || local_part.contains("..") {
        return Err(AddressError::LocalPart);
    }
    Ok(end)
}

fn is_atext(c: char) -> bool {
    match c {
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_' | '`' | '{' | '|' | '}'
        | '~' => true,
        _ if c.is_ascii() => c.is_ascii_alphanumeric(),
        _ => !c.is_control(),
    }
}

/// How the addresses of a session are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading<'a> {
    /// What completes an address without a domain; without it there is none.
    pub default_domain: Option<&'a Domain>,
    /// Whether local parts may have [`LONG_LOCAL_PART_BYTES_MAX`] bytes.
    pub long_addresses: bool,
}

/// The argument of MAIL FROM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: nobody is to be told (reports).
    Null,
    /// Whom to tell.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// Parses a path at the start of `text`; hands back what follows it. Source routes (`<@a,@b:c@d>`) are read and
    /// dropped (RFC 5321 appendix C). A path without brackets is taken, as Exchange takes it.
    pub fn parse_prefix(text: &str) -> Result<(ReversePath, &str), AddressError> {
        ReversePath::parse_prefix_in(text, Reading::default())
    }

    /// The same, as a session reads it.
    pub fn parse_prefix_in<'a>(text: &'a str, reading: Reading<'_>) -> Result<(ReversePath, &'a str), AddressError> {
        if let Some(rest) = text.strip_prefix("<>") {
            return Ok((ReversePath::Null, rest));
        }
        let (inner, rest) = path_parts(text)?;
        Ok((ReversePath::Mailbox(parse_in(inner, reading)?), rest))
    }

    /// The mailbox, unless this is the null reverse-path.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

/// With its angle brackets: `<>` or `<bob@contoso.com>`.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => f.write_str("<>"),
            ReversePath::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

/// The argument of RCPT TO.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain, which every server must take (RFC 5321 section 4.5.1).
    Postmaster,
    /// A full address.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// Parses a path at the start of `text`; hands back what follows it. Source routes are read and dropped.
    pub fn parse_prefix(text: &str) -> Result<(ForwardPath, &str), AddressError> {
        ForwardPath::parse_prefix_in(text, Reading::default())
    }

    /// The same, as a session reads it.
    pub fn parse_prefix_in<'a>(text: &'a str, reading: Reading<'_>) -> Result<(ForwardPath, &'a str), AddressError> {
        let (inner, rest) = path_parts(text)?;
        if inner.eq_ignore_ascii_case("postmaster") {
            return Ok((ForwardPath::Postmaster, rest));
        }
        Ok((ForwardPath::Mailbox(parse_in(inner, reading)?), rest))
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardPath::Postmaster => f.write_str("<Postmaster>"),
            ForwardPath::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

/// A mailbox, completed by the default domain where it has none of its own.
fn parse_in(text: &str, reading: Reading<'_>) -> Result<Mailbox, AddressError> {
    let bytes_max = if reading.long_addresses { LONG_LOCAL_PART_BYTES_MAX } else { LOCAL_PART_BYTES_MAX };
    match (Mailbox::parse_up_to(text, bytes_max), reading.default_domain) {
        (Err(AddressError::NoDomain), Some(domain)) => Mailbox::new_up_to(text, domain.clone(), bytes_max),
        (parsed, _) => parsed,
    }
}

/// Splits `<inner>rest`, or `inner rest` where the brackets were left out.
fn path_parts(text: &str) -> Result<(&str, &str), AddressError> {
    let Some(bracketed) = text.strip_prefix('<') else {
        let end = text.find(' ').unwrap_or(text.len());
        let (inner, rest) = text.split_at(end);
        if inner.is_empty() {
            return Err(AddressError::Empty);
        }
        return if inner.contains(['<', '>']) { Err(AddressError::Brackets) } else { Ok((inner, rest)) };
    };
    let mut quoted = false;
    let mut escaped = false;
    for (i, c) in bracketed.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Ok((without_source_route(&bracketed[..i])?, &bracketed[i + 1..])),
            _ => {}
        }
    }
    Err(AddressError::Brackets)
}

fn without_source_route(inner: &str) -> Result<&str, AddressError> {
    let Some(route) = inner.strip_prefix('@') else {
        return Ok(inner);
    };
    // An address literal in a route may hold colons of its own.
    let mut in_literal = false;
    let colon = route.char_indices().find_map(|(i, c)| match c {
        '[' => {
            in_literal = true;
            None
        }
        ']' => {
            in_literal = false;
            None
        }
        ':' if !in_literal => Some(i),
        _ => None,
    });
    let colon = colon.ok_or(AddressError::LocalPart)?;
    for (i, hop) in route[..colon].split(',').enumerate() {
        let hop = if i == 0 { hop } else { hop.strip_prefix('@').ok_or(AddressError::LocalPart)? };
        Domain::parse(hop)?;
    }
    Ok(&route[colon + 1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_addresses_are_read_where_they_are_offered() {
        let read = |local: usize, domain: usize, long_addresses| {
            let labels = format!("{}.{}.{}.", "d".repeat(63), "d".repeat(63), "d".repeat(63));
            let text = format!("<{}@{}{}>", "x".repeat(local), &labels[..domain - 63], "e".repeat(63));
            ForwardPath::parse_prefix_in(&text, Reading { default_domain: None, long_addresses }).map(|_| ())
        };
        assert_eq!(read(LOCAL_PART_BYTES_MAX, DOMAIN_BYTES_MAX, false), Ok(()), "571 bytes");
        assert_eq!(read(LOCAL_PART_BYTES_MAX + 1, 127, false), Err(AddressError::TooLong));
        assert_eq!(read(LONG_LOCAL_PART_BYTES_MAX, DOMAIN_BYTES_MAX, true), Ok(()), "1,860 bytes");
        assert_eq!(read(LONG_LOCAL_PART_BYTES_MAX + 1, 127, true), Err(AddressError::TooLong));
    }

    #[test]
    fn forward_paths_are_read_as_rfc_5321_writes_them() {
        for (text, expected) in [
            ("<bob@contoso.com>", Ok("<bob@contoso.com>")),
            ("<bob@CONTOSO.com>", Ok("<bob@contoso.com>")),
            ("bob@contoso.com", Ok("<bob@contoso.com>")),
            ("<\"a b\"@x.net>", Ok("<\"a b\"@x.net>")),
            ("<\"a>b\"@x.net>", Ok("<\"a>b\"@x.net>")),
            ("<\"a\\\"b\"@x.net>", Ok("<\"a\\\"b\"@x.net>")),
            ("<@a.net,@b.net:c@d.net>", Ok("<c@d.net>")),
            ("<@[IPv6:::1]:c@d.net>", Ok("<c@d.net>")),
            ("<bob@[127.0.0.1]>", Ok("<bob@[127.0.0.1]>")),
            ("<bob@[IPv6:::1]>", Ok("<bob@[ipv6:::1]>")),
            ("<Postmaster>", Ok("<Postmaster>")),
            ("<postmaster@contoso.com>", Ok("<postmaster@contoso.com>")),
            ("<bob@bücher.example>", Ok("<bob@xn--bcher-kva.example>")),
            ("<用户@contoso.com>", Ok("<用户@contoso.com>")),
            ("<bob>", Err(AddressError::NoDomain)),
            ("<>", Err(AddressError::Empty)),
            ("<bob@contoso.com", Err(AddressError::Brackets)),
            ("<bob@@contoso.com>", Err(AddressError::Domain)),
            ("<.bob@contoso.com>", Err(AddressError::LocalPart)),
            ("<bob.@contoso.com>", Err(AddressError::LocalPart)),
            ("<b..b@contoso.com>", Err(AddressError::LocalPart)),
            ("<bob smith@contoso.com>", Err(AddressError::LocalPart)),
            ("<bob@con toso.com>", Err(AddressError::Domain)),
            ("<bob@-contoso.com>", Err(AddressError::Domain)),
            ("<bob@contoso..com>", Err(AddressError::Domain)),
            ("<bob@contoso.com.>", Err(AddressError::Domain)),
            ("<bob@[127.0.0.256]>", Err(AddressError::Domain)),
            ("<bob@[127.0.0.1>", Err(AddressError::Domain)),
            ("<\"bob@contoso.com>", Err(AddressError::Brackets)),
            ("<@a.net>", Err(AddressError::LocalPart)),
        ] {
            let read = ForwardPath::parse_prefix(text).map(|(path, rest)| {
                assert_eq!(rest, "");
                path.to_string()
            });
            assert_eq!(read.as_deref(), expected.as_ref().map(|t| *t), "{text}");
        }
    }

    #[test]
    fn an_address_without_a_domain_gets_the_default_one() {
        let domain = Domain::parse("contoso.com").expect("a domain");
        let read = |text| {
            ForwardPath::parse_prefix_in(text, Reading { default_domain: Some(&domain), ..Reading::default() })
                .map(|(path, _)| path.to_string())
        };
        assert_eq!(read("<bob>").as_deref(), Ok("<bob@contoso.com>"));
        assert_eq!(read("<\"a b\">").as_deref(), Ok("<\"a b\"@contoso.com>"));
        assert_eq!(read("<bob@x.net>").as_deref(), Ok("<bob@x.net>"));
        assert_eq!(read("<b b>"), Err(AddressError::LocalPart));
        assert_eq!(read("<Postmaster>").as_deref(), Ok("<Postmaster>"));
    }

    #[test]
    fn what_follows_a_path_is_handed_back() {
        let (path, rest) = ReversePath::parse_prefix("<> SIZE=1").expect("a null reverse-path");
        assert_eq!((path, rest), (ReversePath::Null, " SIZE=1"));
        let (_, rest) = ReversePath::parse_prefix("<a@b.c>X").expect("a path");
        assert_eq!(rest, "X");
    }

    #[test]
    fn quotes_and_case_do_not_make_another_mailbox() {
        let a = Mailbox::parse("\"Bob\"@contoso.com").expect("quoted");
        let b = Mailbox::parse("bob@Contoso.COM").expect("plain");
        assert!(a.is_same_mailbox(&b));
        assert!(!a.is_same_mailbox(&Mailbox::parse("rob@contoso.com").expect("another")));
    }

    #[test]
    fn a_literal_knows_its_address() {
        let domain = Domain::parse("[IPv6:2001:db8::1]").expect("a literal");
        assert_eq!(domain.literal_address(), Some("2001:db8::1".parse().expect("an address")));
        assert_eq!(Domain::parse("contoso.com").expect("a name").literal_address(), None);
    }
    /// Text made of the pieces that matter to the grammar, in any order, and now and then well-formed.
    fn path_text() -> impl Strategy<Value = String> {
        let pieces = vec![
            "<",
            ">",
            "@",
            ",",
            ":",
            "\"",
            "\\",
            ".",
            " ",
            "[",
            "]",
            "IPv6:",
            "::1",
            "127.0.0.1",
            "a",
            "B",
            "-",
            "_",
            "contoso.com",
            "b\u{fc}cher.example",
            "\u{7528}",
            "\r\n",
            "postmaster",
            "xn--",
        ];
        prop_oneof![
            prop::collection::vec(prop::sample::select(pieces), 0..10).prop_map(|pieces| pieces.concat()),
            "<[a-zA-Z0-9.!#\"\\\\ \u{fc}]{1,6}@[a-z0-9.\u{fc}\u{df}-]{1,12}>[ A-Z]{0,3}",
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn what_a_path_writes_it_reads_back(text in path_text()) {
            if let Ok((path, rest)) = ForwardPath::parse_prefix(&text) {
                prop_assert!(text.ends_with(rest));
                let written = path.to_string();
                prop_assert_eq!(ForwardPath::parse_prefix(&written), Ok((path, "")));
            }
            if let Ok((path, rest)) = ReversePath::parse_prefix(&text) {
                prop_assert!(text.ends_with(rest));
                let written = path.to_string();
                prop_assert_eq!(ReversePath::parse_prefix(&written), Ok((path, "")));
            }
        }

        #[test]
        fn comparing_local_parts_agrees_with_their_keys(one in "[aAbK\u{212a}\u{e9}\u{c9}]{1,3}", other in "[aAbkK\u{e9}\u{c9}]{1,3}", quoted in any::<[bool; 2]>()) {
            let mailbox = |text: &str, quoted| {
                Mailbox::parse(&if quoted { format!("\"{text}\"@x.net") } else { format!("{text}@x.net") }).expect("an address")
            };
            let (one, other) = (mailbox(&one, quoted[0]), mailbox(&other, quoted[1]));
            let (key, other_key) = (one.local_part_key(), other.local_part_key());
            prop_assert_eq!(&key, &one.local_part_key_chars().collect::<String>());
            prop_assert_eq!(one.is_same_mailbox(&other), key == other_key);
            prop_assert_eq!(one.is_same_mailbox(&other), one.key() == other.key());
            prop_assert_eq!(one.has_local_part_key(&other_key), key == other_key);
            if let Some(plain) = one.plain_local_part() {
                prop_assert_eq!(plain.to_ascii_lowercase(), key);
            }
        }

        #[test]
        fn no_path_can_break_a_line_or_leave_its_brackets(text in path_text()) {
            let Ok((path, _)) = ForwardPath::parse_prefix(&text) else { return Ok(()) };
            let written = path.to_string();
            prop_assert!(!written.contains(|c: char| c.is_ascii_control()));
            prop_assert!(written.len() <= LOCAL_PART_BYTES_MAX + DOMAIN_BYTES_MAX + 3);
            if let ForwardPath::Mailbox(mailbox) = path {
                prop_assert!(mailbox.domain().as_str().is_ascii());
                prop_assert!(mailbox.is_same_mailbox(&mailbox));
            }
        }

        #[test]
        fn a_domain_is_its_own_canonical_form(text in "[a-zA-Z0-9.\u{fc}\u{df}\u{7528}_-]{1,20}|\\[(IPv6:|ipv6:)?[0-9a-fA-F:.]{2,12}\\]") {
            if let Ok(domain) = Domain::parse(&text) {
                prop_assert_eq!(Domain::parse(domain.as_str()), Ok(domain.clone()));
                prop_assert_eq!(Domain::parse(&text.to_uppercase()).ok().filter(|_| text.is_ascii()), Some(domain).filter(|_| text.is_ascii()));
            }
        }
    }
}
