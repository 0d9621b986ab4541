//! Patterns for addresses: `scan@contoso.com`, `contoso.com`, `*.contoso.com`, `scan-*@contoso.com`, `<>`.
//!
//! Takes text and addresses, hands on whether an address matches. No pattern makes that take longer than its length times
//! the address's.

use std::fmt;

use gatepost_mail::{AddressError, Domain, Mailbox, ReversePath};

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 320;
/// More patterns than this are no longer a list but a directory.
pub const PATTERNS_MAX: usize = 1_000;

/// A list of patterns; an address that matches one of them matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns {
    /// Whether the null reverse-path matches.
    null: bool,
    /// Whole domains without wildcards, ascending.
    domains: Box<[Box<str>]>,
    /// Addresses without wildcards, domain first, ascending.
    addresses: Box<[(Box<str>, Box<str>)]>,
    /// All others.
    globs: Box<[Glob]>,
    /// All, as they were written.
    texts: Box<[Box<str>]>,
}

/// Why a text is no pattern. The `Display` form is a half sentence for the person who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Longer than [`PATTERN_BYTES_MAX`].
    #[error("it is too long")]
    TooLong,
    /// What stands before the `@` can be in no address.
    #[error("the part before the @ is not well-formed")]
    LocalPart,
    /// What stands behind the `@`, or alone, can be no domain.
    #[error("the domain is not well-formed")]
    Domain,
    /// A wildcard in a label of other letters than those of ASCII.
    #[error("a wildcard cannot stand in an internationalized label")]
    WildcardInLabel,
}

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    meaning: Meaning,
    text: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    Null,
    Domain(Box<str>),
    Address(Box<str>, Box<str>),
    Glob(Glob),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    /// In lower case, without quotes; `None`: any.
    local_part: Option<Box<str>>,
    /// In canonical form but for the wildcards.
    domain: Box<str>,
}

impl Pattern {
    /// Reads one pattern. `*` stands for any number of characters, dots included, `?` for one. Without an `@` it is a domain.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        Ok(Pattern { meaning: meaning(text)?, text: text.into() })
    }

    /// Whether it is `<>`.
    pub fn is_null(&self) -> bool {
        self.meaning == Meaning::Null
    }
}

fn meaning(text: &str) -> Result<Meaning, PatternError> {
    if text == "<>" {
        return Ok(Meaning::Null);
    }
    let (local_part, domain) = match text.rsplit_once('@') {
        Some((local_part, domain)) => (Some(local_part_pattern(local_part)?), domain),
        None => (None, text),
    };
    let domain = domain_pattern(domain)?;
    let has_wildcard = |text: &str| text.contains(['*', '?']);
    Ok(match local_part {
        Some(local_part) if has_wildcard(&local_part) || has_wildcard(&domain) => {
            Meaning::Glob(Glob { local_part: Some(local_part), domain })
        }
        None if has_wildcard(&domain) => Meaning::Glob(Glob { local_part: None, domain }),
        Some(local_part) => Meaning::Address(domain, local_part),
        None => Meaning::Domain(domain),
    })
}

/// As `Mailbox::local_part_key` writes local parts, in which wildcards are legal characters.
fn local_part_pattern(text: &str) -> Result<Box<str>, PatternError> {
    let anywhere = Domain::parse("localhost").map_err(|_| PatternError::Domain)?;
    let mailbox = Mailbox::new(text, anywhere).map_err(|error| match error {
        AddressError::TooLong => PatternError::TooLong,
        _ => PatternError::LocalPart,
    })?;
    Ok(mailbox.local_part_key().into())
}

fn domain_pattern(text: &str) -> Result<Box<str>, PatternError> {
    if !text.contains(['*', '?']) {
        return Ok(Domain::parse(text).map_err(|_| PatternError::Domain)?.as_str().into());
    }
    let labels = text.split('.').map(|label| {
        if !label.contains(['*', '?']) {
            return Ok(Domain::parse(label).map_err(|_| PatternError::Domain)?.as_str().to_owned());
        }
        if !label.is_ascii() {
            return Err(PatternError::WildcardInLabel);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*' | b'?');
        if label.bytes().all(plain) { Ok(label.to_ascii_lowercase()) } else { Err(PatternError::Domain) }
    });
    Ok(labels.collect::<Result<Vec<_>, _>>()?.join(".").into())
}

impl Patterns {
    /// The list of `patterns`.
    pub fn new(patterns: Vec<Pattern>) -> Patterns {
        let (mut null, mut domains, mut addresses, mut globs) = (false, Vec::new(), Vec::new(), Vec::new());
        let mut texts = Vec::with_capacity(patterns.len());
        for Pattern { meaning, text } in patterns {
            texts.push(text);
            match meaning {
                Meaning::Null => null = true,
                Meaning::Domain(domain) => domains.push(domain),
                Meaning::Address(domain, local_part) => addresses.push((domain, local_part)),
                Meaning::Glob(glob) => globs.push(glob),
            }
        }
        domains.sort_unstable();
        addresses.sort_unstable();
        Patterns {
            null,
            domains: domains.into(),
            addresses: addresses.into(),
            globs: globs.into(),
            texts: texts.into(),
        }
    }

    /// All of them as they were written.
    pub fn texts(&self) -> &[Box<str>] {
        &self.texts
    }

    /// Whether nothing but the null reverse-path matches.
    pub fn is_null_only(&self) -> bool {
        self.null && self.domains.is_empty() && self.addresses.is_empty() && self.globs.is_empty()
    }

    /// Whether the reverse-path matches; the null one matches `<>` only.
    pub fn match_path(&self, path: &ReversePath) -> bool {
        match path {
            ReversePath::Null => self.null,
            ReversePath::Mailbox(mailbox) => self.matches(mailbox),
        }
    }

    /// Whether the address matches.
    pub fn matches(&self, mailbox: &Mailbox) -> bool {
        let domain = mailbox.domain().as_str();
        if self.domains.binary_search_by(|known| (**known).cmp(domain)).is_ok() {
            return true;
        }
        if self.addresses.is_empty() && self.globs.is_empty() {
            return false;
        }
        let local_part = mailbox.local_part_key_chars();
        let as_address = |(known_domain, known): &(Box<str>, Box<str>)| {
            (**known_domain).cmp(domain).then_with(|| known.chars().cmp(local_part.clone()))
        };
        self.addresses.binary_search_by(as_address).is_ok()
            || self.globs.iter().any(|glob| {
                matches_glob(&glob.domain, domain.chars())
                    && glob.local_part.as_ref().is_none_or(|pattern| matches_glob(pattern, local_part.clone()))
            })
    }
}

/// As they were written.
impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts.join(", "))
    }
}

/// Matches without recursion: when the text goes on differently, only the last `*` takes one character more.
fn matches_glob(pattern: &str, mut text: impl Iterator<Item = char> + Clone) -> bool {
    let mut pattern = pattern.chars();
    let mut last_star = None;
    loop {
        let mut rest = text.clone();
        let next = rest.next();
        match (pattern.clone().next(), next) {
            (Some('*'), _) => {
                pattern.next();
                last_star = Some((pattern.clone(), text.clone()));
                continue;
            }
            (None, None) => return true,
            (Some('?'), Some(_)) => {
                pattern.next();
                text = rest;
                continue;
            }
            (Some(expected), Some(found)) if expected == found => {
                pattern.next();
                text = rest;
                continue;
            }
            _ => {}
        }
        let Some((behind_star, from)) = &mut last_star else { return false };
        if from.next().is_none() {
            return false;
        }
        (pattern, text) = (behind_star.clone(), from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, address: &str) -> bool {
        let patterns = Patterns::new(vec![Pattern::parse(pattern).expect("a pattern")]);
        let path = ReversePath::parse_prefix(&format!("<{address}>")).expect("a reverse-path").0;
        patterns.match_path(&path)
    }

    #[test]
    fn patterns_match_addresses_domains_and_what_lies_below_them() {
        for (pattern, address, expected) in [
            ("scan@contoso.com", "scan@contoso.com", true),
            ("Scan@Contoso.com", "sCAN@cONTOSO.COM", true),
            ("scan@contoso.com", "\"scan\"@contoso.com", true),
            ("\"scan room\"@contoso.com", "\"Scan Room\"@contoso.com", true),
            ("scan@contoso.com", "scanner@contoso.com", false),
            ("scan@contoso.com", "scan@contoso.com.example", false),
            ("contoso.com", "anybody@contoso.com", true),
            ("contoso.com", "anybody@a.contoso.com", false),
            ("contoso.com", "anybody@xcontoso.com", false),
            ("*.contoso.com", "anybody@a.contoso.com", true),
            ("*.contoso.com", "anybody@a.b.contoso.com", true),
            ("*.contoso.com", "anybody@contoso.com", false),
            ("*.contoso.com", "anybody@xcontoso.com", false),
            ("scan-*@contoso.com", "scan-17@contoso.com", true),
            ("scan-*@contoso.com", "scan-@contoso.com", true),
            ("scan-*@contoso.com", "scan@contoso.com", false),
            ("scan-??@contoso.com", "scan-17@contoso.com", true),
            ("scan-??@contoso.com", "scan-1@contoso.com", false),
            ("*@mail?.contoso.com", "x@mail7.contoso.com", true),
            ("*@*", "x@y.z", true),
            ("*", "x@y.z", true),
            ("*", "", false),
            ("*@*", "", false),
            ("<>", "", true),
            ("<>", "x@y.z", false),
            ("bücher.example", "x@xn--bcher-kva.example", true),
            ("*.bücher.example", "x@a.xn--bcher-kva.example", true),
            ("m?ller@contoso.com", "MÜLLER@contoso.com", true),
            ("müller@contoso.com", "MÜLLER@contoso.com", true),
            ("*@[192.0.2.1]", "x@[192.0.2.1]", true),
            ("scan@[192.0.2.1]", "x@[192.0.2.1]", false),
        ] {
            assert_eq!(matches(pattern, address), expected, "{pattern} {address}");
        }
    }

    /// A matcher that tries every way for every `*` would not come back before the stars go out.
    #[test]
    fn many_wildcards_cost_no_more_than_pattern_times_address() {
        let pattern = format!("{}b@contoso.com", "a*".repeat(150));
        let address = format!("{}@contoso.com", "a".repeat(310));
        assert!(!matches(&pattern, &address));
        assert!(matches(&pattern, &address.replace("a@", "b@")));
    }
}
