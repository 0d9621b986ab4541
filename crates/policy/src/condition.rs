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
    /// Whom the header names as its senders.
    pub header_senders: HeaderSenders<'a>,
    /// While one recipient is decided.
    pub recipient: Option<&'a Mailbox>,
    /// The entries whose quota this source has used up, by their place in the connector's list.
    pub exhausted: &'a [usize],
}

/// What is known of the senders in the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderSenders<'a> {
    /// The content is not complete, so the envelope speaks for itself.
    #[default]
    NotYet,
    /// It cannot be read with certainty whom the header names.
    Uncertain,
    /// All of them, from From, Sender and the like.
    Known(&'a [Mailbox]),
}

impl Facts<'static> {
    /// Nothing is known but the time.
    pub const fn at(now_ms: u64) -> Facts<'static> {
        Facts { now_ms, reverse_path: None, header_senders: HeaderSenders::NotYet, recipient: None, exhausted: &[] }
    }
}

impl Condition {
    /// Whether the condition is known to be met, its quota aside: so much an entry that allows needs. Every sender must
    /// match, that of the envelope and, once the content is complete, those in the header.
    pub fn is_met(&self, facts: &Facts<'_>) -> bool {
        let senders = self.senders.as_ref().map(|patterns| {
            let in_envelope = patterns.match_path(facts.reverse_path?);
            match facts.header_senders {
                _ if !in_envelope => Some(false),
                HeaderSenders::NotYet => Some(true),
                HeaderSenders::Uncertain => None,
                HeaderSenders::Known(senders) => Some(senders.iter().all(|sender| patterns.matches(sender))),
            }
        });
        [senders, self.recipient(facts), self.hour(facts)].into_iter().flatten().all(|part| part == Some(true))
    }

    /// Whether the condition is known not to be met: only that keeps an entry from denying. One sender that matches is
    /// enough to be denied.
    pub fn is_ruled_out(&self, facts: &Facts<'_>) -> bool {
        let senders = self.senders.as_ref().map(|patterns| {
            let in_envelope = facts.reverse_path.map(|path| patterns.match_path(path));
            match facts.header_senders {
                HeaderSenders::Known(senders) if senders.iter().any(|sender| patterns.matches(sender)) => Some(true),
                HeaderSenders::Uncertain if in_envelope == Some(false) => None,
                _ => in_envelope,
            }
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
