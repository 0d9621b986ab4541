//! The SASL mechanisms by which a client can log on, and which of those that are offered is the best.

use std::fmt;

/// A SASL mechanism that a client can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogonMechanism {
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN, never standardised.
    Login,
    /// CRAM-MD5 (RFC 2195).
    CramMd5,
}

impl LogonMechanism {
    /// Inside TLS, best first. Whoever says the password inside TLS is safer than with CRAM-MD5, for which a server has to
    /// keep the password itself.
    pub const INSIDE_TLS: [LogonMechanism; 5] = [
        LogonMechanism::ScramSha256,
        LogonMechanism::ScramSha1,
        LogonMechanism::Plain,
        LogonMechanism::Login,
        LogonMechanism::CramMd5,
    ];
    /// In clear, best first: those that say the password come last.
    pub const IN_CLEAR: [LogonMechanism; 5] = [
        LogonMechanism::ScramSha256,
        LogonMechanism::ScramSha1,
        LogonMechanism::CramMd5,
        LogonMechanism::Plain,
        LogonMechanism::Login,
    ];

    /// The name as EHLO shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            LogonMechanism::ScramSha256 => "SCRAM-SHA-256",
            LogonMechanism::ScramSha1 => "SCRAM-SHA-1",
            LogonMechanism::Plain => "PLAIN",
            LogonMechanism::Login => "LOGIN",
            LogonMechanism::CramMd5 => "CRAM-MD5",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            LogonMechanism::ScramSha256 => 1,
            LogonMechanism::ScramSha1 => 2,
            LogonMechanism::Plain => 4,
            LogonMechanism::Login => 8,
            LogonMechanism::CramMd5 => 16,
        }
    }
}

/// Some of the mechanisms.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct LogonMechanisms(u8);

impl LogonMechanisms {
    /// Adds the one of that name, in any case. Unknown names change nothing.
    pub fn note(&mut self, name: &str) {
        let named = |mechanism: &&LogonMechanism| mechanism.as_str().eq_ignore_ascii_case(name);
        if let Some(mechanism) = LogonMechanism::INSIDE_TLS.iter().find(named) {
            self.0 |= mechanism.bit();
        }
    }

    /// Whether it is among them.
    pub fn contains(self, mechanism: LogonMechanism) -> bool {
        self.0 & mechanism.bit() != 0
    }

    /// Those that are in both.
    pub fn and(self, other: LogonMechanisms) -> LogonMechanisms {
        LogonMechanisms(self.0 & other.0)
    }

    /// The best of them.
    pub fn best(self, is_in_tls: bool) -> Option<LogonMechanism> {
        let order = if is_in_tls { LogonMechanism::INSIDE_TLS } else { LogonMechanism::IN_CLEAR };
        order.into_iter().find(|mechanism| self.contains(*mechanism))
    }
}

impl From<LogonMechanism> for LogonMechanisms {
    fn from(mechanism: LogonMechanism) -> Self {
        LogonMechanisms(mechanism.bit())
    }
}

impl std::ops::BitOr for LogonMechanisms {
    type Output = LogonMechanisms;

    fn bitor(self, other: LogonMechanisms) -> LogonMechanisms {
        LogonMechanisms(self.0 | other.0)
    }
}

/// All others.
impl std::ops::Not for LogonMechanisms {
    type Output = LogonMechanisms;

    fn not(self) -> LogonMechanisms {
        LogonMechanisms(!self.0)
    }
}

impl FromIterator<LogonMechanism> for LogonMechanisms {
    fn from_iter<T: IntoIterator<Item = LogonMechanism>>(mechanisms: T) -> Self {
        LogonMechanisms(mechanisms.into_iter().fold(0, |bits, mechanism| bits | mechanism.bit()))
    }
}

/// As EHLO lists them.
impl fmt::Debug for LogonMechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = LogonMechanism::INSIDE_TLS.into_iter().filter(|mechanism| self.contains(*mechanism));
        f.debug_list().entries(names.map(LogonMechanism::as_str)).finish()
    }
}
