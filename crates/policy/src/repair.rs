//! Step 6 of 9 - spool: what is put right about a message before it is kept, for devices that send rubbish.
//!
//! Takes what the receive connector wants repaired, the principal and what the header lacks; hands on what to add and
//! whether broken sender fields are written anew. Nothing is repaired that nobody asked for, but for the date of a user's
//! own submission (RFC 6409 section 8).

use crate::access_entry::Principal;

/// One thing that a receive connector may want repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// From, Sender and Reply-To fields that are missing or cannot be read.
    Senders,
    /// A missing Date field.
    Date,
}

impl Part {
    /// As settings write it.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Senders => "Senders",
            Part::Date => "Date",
        }
    }
}

/// What a receive connector wants repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// See [`Part::Senders`].
    pub senders: bool,
    /// See [`Part::Date`].
    pub date: bool,
}

/// Whether a missing Date field is added: where that is wanted, and to what a user submits.
pub fn adds_date(wanted: Wanted, principal: &Principal, has_date: bool) -> bool {
    !has_date && (wanted.date || matches!(principal, Principal::User(_)))
}
