//! Conditions on access entries: for which senders, to which recipients, at which hours, how often.
//!
//! Takes what is known of a message so far, hands on whether a condition is known to be met, or known not to be. What
//! follows for an entry is `permission::granted`'s to say.

use std::num::NonZeroU32;

use gatepost_mail::{Mailbox, ReversePath};

pub mod hours;
pub mod patterns;

pub use hours::{Hours, HoursError};
pub use patterns::{PatternError, Patterns};

/// What an access entry is bound to. All that is given must hold; at least one is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Binds the reverse-path and the senders in the header.
    pub senders: Option<Patterns>,
    /// Binds each recipient.
    pub recipients: Option<Patterns>,
    /// When.
    pub hours: Option<Hours>,
    /// Messages from one source in any 60 minutes; only on entries that allow.
    pub messages_per_hour: Option<NonZeroU32>,
}

/// What is known of a message when a right is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Unix time in milliseconds.
    pub now_ms: u64,
    /// From MAIL on.
    pub reverse_path: Option<&'a ReversePath>,
    /// Once the content is complete.
    pub header_senders: Option<&'a [Mailbox]>,
    /// While one recipient is decided.
    pub recipient: Option<&'a Mailbox>,
    /// The entries whose quota this source has used up, by their place in the connector's list.
    pub exhausted: &'a [usize],
}

impl Facts<'static> {
    /// Nothing is known but the time.
    pub const fn at(now_ms: u64) -> Facts<'static> {
        Facts { now_ms, reverse_path: None, header_senders: None, recipient: None, exhausted: &[] }
    }
}

impl Condition {
    /// Whether the condition is known to be met, its quota aside: so much an entry that allows needs. Every sender must
    /// match, that of the envelope and, once the header is known, those in it.
    pub fn is_met(&self, facts: &Facts<'_>) -> bool {
        let senders = self.senders.as_ref().map(|patterns| {
            let envelope = patterns.match_path(facts.reverse_path?);
            Some(envelope && facts.header_senders.unwrap_or_default().iter().all(|sender| patterns.matches(sender)))
        });
        [senders, self.recipient(facts), self.hour(facts)].into_iter().flatten().all(|part| part == Some(true))
    }

    /// Whether the condition is known not to be met: only that keeps an entry from denying. One sender that matches is
    /// enough to be denied.
    pub fn is_ruled_out(&self, facts: &Facts<'_>) -> bool {
        let senders = self.senders.as_ref().map(|patterns| {
            let in_header = facts.header_senders.unwrap_or_default().iter().any(|sender| patterns.matches(sender));
            if in_header { Some(true) } else { facts.reverse_path.map(|path| patterns.match_path(path)) }
        });
        [senders, self.recipient(facts), self.hour(facts)].into_iter().flatten().any(|part| part == Some(false))
    }

    /// `None` without such a condition; `Some(None)` where it is not known.
    fn recipient(&self, facts: &Facts<'_>) -> Option<Option<bool>> {
        let patterns = self.recipients.as_ref()?;
        Some(facts.recipient.map(|recipient| patterns.matches(recipient)))
    }

    fn hour(&self, facts: &Facts<'_>) -> Option<Option<bool>> {
        Some(self.hours.as_ref()?.contain(facts.now_ms))
    }
}
