//! What the administrator wants to stay true of the settings, whoever edits them next: `[[assert]]`.
//!
//! Hands on the words of an assertion. Whether one holds, `safeguard` finds out.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use crate::access_entry::{Access, Right};
use crate::address_set::AddressSet;

/// Most assertions of one document.
pub const ASSERTIONS_MAX: usize = 1_000;

/// Whom an assertion speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Whoever has not logged on, whatever that makes of them.
    Unauthenticated,
    /// Whoever has not logged on, where that makes them anonymous.
    Anonymous,
    /// Whoever comes to an externally secured connector.
    ExternallySecured,
    /// Every declared user.
    EveryUser,
    /// Every trusted server that its certificate can identify.
    EveryServer,
    /// Every partner that its certificate can identify.
    EveryPartner,
    /// These users: one by name, or those of a group.
    Users {
        /// The user's name, or the group's.
        name: Arc<str>,
        /// As declared; sorted.
        members: Vec<Arc<str>>,
    },
}

/// As it is written.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Subject::Unauthenticated => "unauthenticated",
            Subject::Anonymous => "anonymous",
            Subject::ExternallySecured => "externally secured",
            Subject::EveryUser => "any user",
            Subject::EveryServer => "any server",
            Subject::EveryPartner => "any partner",
            Subject::Users { name, .. } => name,
        })
    }
}

/// What an assertion forbids or demands. Nobody may do any of it who may not submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Power {
    /// Send anything at all.
    Submit,
    /// Reach recipients outside the accepted domains.
    Relay,
    /// Count as internal.
    Internal,
    /// Write as every address outside our authoritative domains.
    SendAsAnyone,
    /// Write as every address in our authoritative domains.
    SendAsOwnDomains,
    /// Be let through by filters.
    BypassAntiSpam,
    /// Hold one right by its name.
    Right(Right),
}

impl Power {
    /// Those that have words of their own.
    pub const IN_WORDS: [(&str, Power); 6] = [
        ("submit", Power::Submit),
        ("relay", Power::Relay),
        ("internal", Power::Internal),
        ("send as anyone", Power::SendAsAnyone),
        ("send as own domains", Power::SendAsOwnDomains),
        ("bypass anti-spam", Power::BypassAntiSpam),
    ];

    /// Reads words, or the Exchange name of a right, in any case.
    pub fn parse(text: &str) -> Option<Power> {
        let in_words = Power::IN_WORDS.into_iter().find(|(words, _)| words.eq_ignore_ascii_case(text));
        in_words.map(|(_, power)| power).or_else(|| Right::parse(text).map(Power::Right))
    }
}

/// As it is written.
impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_words = Power::IN_WORDS.into_iter().find(|(_, power)| power == self);
        match (self, in_words) {
            (Power::Right(right), _) => right.fmt(f),
            (_, Some((words, _))) => f.write_str(words),
            (_, None) => f.write_str("?"),
        }
    }
}

/// One `[[assert]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// For people.
    pub comment: Option<Box<str>>,
    /// Peers at these addresses.
    pub sources: AddressSet,
    /// On these listeners; the unspecified address stands for every binding of its family and port. Empty: on all.
    pub listeners: Vec<SocketAddr>,
    /// Who.
    pub who: Subject,
    /// Whether they must not be able to, or must.
    pub access: Access,
    /// What; at least one.
    pub powers: Vec<Power>,
    /// Where it stands in the settings document, in bytes.
    pub span: Range<usize>,
}
