//! What an administrator notes beside a range or an access entry: whose it is, why it is there, until when it counts.
//!
//! Takes nothing, hands on values; only `expires_ms` decides anything.

use gatepost_mail::Mailbox;
use jiff::Timestamp;

/// The note of one range or entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Whom to ask about it.
    pub owner: Option<Mailbox>,
    /// The ticket that it was made for.
    pub ticket: Option<Box<str>>,
    /// For people.
    pub comment: Option<Box<str>>,
    /// From this instant on, in milliseconds since 1970 UTC, it is as if what the note stands at were not there.
    pub expires_ms: Option<u64>,
}

impl Note {
    /// Whether what the note stands at has stopped to count.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }
}

/// An instant, given in milliseconds since 1970 UTC, as settings write it: `2027-01-31T00:00:00Z`.
pub fn instant(ms: u64) -> String {
    let timestamp = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| "a far day".to_owned(), |timestamp| timestamp.to_string())
}
