//! The service extensions that a server offers in its EHLO reply: what a client learns from it, and the words that
//! both sides share.

use crate::logon_mechanism::LogonMechanisms;

/// A SASL mechanism (RFC 4954) that a server takes. Both carry the password itself, so both belong inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// LOGIN: user name and password as two answers; never standardised, asked for by Exchange and by old devices.
    Login,
    /// PLAIN (RFC 4616): authorization identity, user name and password in one answer.
    Plain,
}

impl Mechanism {
    /// The mechanism of that name, in any case.
    pub fn parse(name: &str) -> Option<Mechanism> {
        [Mechanism::Login, Mechanism::Plain].into_iter().find(|mechanism| name.eq_ignore_ascii_case(mechanism.as_str()))
    }

    /// The name as EHLO shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Login => "LOGIN",
            Mechanism::Plain => "PLAIN",
        }
    }
}

/// The SIZE keyword (RFC 1870).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SizeOffer {
    /// Not offered.
    #[default]
    Absent,
    /// `SIZE`: the parameter is taken, the limit is not told.
    Bare,
    /// `SIZE n`: the limit in bytes. 0 means that there is none (RFC 1870 section 3).
    Limit(u64),
}

/// What a next hop offered in its last EHLO reply; nothing at all after HELO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// SIZE.
    pub size: SizeOffer,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// BINARYMIME (RFC 3030).
    pub binary_mime: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// AUTH (RFC 4954), whatever the mechanisms.
    pub auth: bool,
    /// Those of its mechanisms that we know as a client.
    pub mechanisms: LogonMechanisms,
}

impl Extensions {
    /// Notes one line of an EHLO reply behind the first, which is the peer's name (RFC 5321 section 4.1.1.1), without
    /// code and line end. Unknown keywords change nothing.
    pub fn note(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let Some(keyword) = words.next() else { return };
        match keyword.to_ascii_uppercase().as_str() {
            "SIZE" => {
                self.size = match words.next().map(str::parse) {
                    Some(Ok(limit)) => SizeOffer::Limit(limit),
                    _ => SizeOffer::Bare,
                }
            }
            "PIPELINING" => self.pipelining = true,
            "DSN" => self.dsn = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "STARTTLS" => self.starttls = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "BINARYMIME" => self.binary_mime = true,
            "CHUNKING" => self.chunking = true,
            "SMTPUTF8" => self.smtputf8 = true,
            // Some servers write `AUTH=LOGIN` for clients older than the standard.
            keyword if keyword == "AUTH" || keyword.starts_with("AUTH=") => {
                self.auth = true;
                keyword.strip_prefix("AUTH=").into_iter().chain(words).for_each(|name| self.mechanisms.note(name));
            }
            _ => {}
        }
    }
}
