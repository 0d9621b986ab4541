//! Step 9 of 9 - report: who is told what became of a recipient (RFC 3461 section 4.1, RFC 5321 section 6.1).

use gatepost_mail::{Notify, ReversePath};

/// What became of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It will not be delivered.
    Failed,
    /// It has not been delivered yet.
    Delayed,
    /// It was delivered.
    Delivered,
}

/// Whether a report is due. Never for the null reverse-path: reports about reports would go round for ever.
pub fn due(kind: Kind, reverse_path: &ReversePath, notify: Notify) -> bool {
    if *reverse_path == ReversePath::Null {
        return false;
    }
    match kind {
        Kind::Failed => notify.failure,
        Kind::Delayed => notify.delay,
        Kind::Delivered => notify.success,
    }
}
