//! Step 4 of 9 - permit: recipients of a relay domain that only the next hop knows (`recipient_verification`), so that
//! strangers cannot make us send reports about them to forged senders.
//!
//! Takes a recipient, hands on whether the next hop is to be asked about it; takes what that says, hands on yes or no.
//! Asks nobody itself. Relaying is decided before and elsewhere: this can only refuse what was accepted there.

use gatepost_mail::{AuthAs, Mailbox};

use crate::refusal::Refusal;
use crate::relay;
use crate::settings::Settings;

/// What is known of a recipient once its next hop was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The next hop takes mail for it.
    Accepted,
    /// The next hop refused RCPT for good.
    Refused,
    /// Nothing: the next hop could not be asked, did not answer in time, said no to something else, or said later.
    NoAnswer,
}

/// Whether the next hop is to be asked about `recipient`, which was accepted for this reason: its domain wants that, and
/// it is not one that we know.
pub fn is_due(reason: relay::Reason<'_>, recipient: &Mailbox, settings: &Settings) -> bool {
    matches!(reason, relay::Reason::AcceptedDomain(accepted) if accepted.recipient_verification)
        && settings.directory.resolve(recipient, &settings.domains).is_none()
}

/// Decides what the verdict means for the peer. While there is none, a stranger is to come again: a report would go to a
/// sender that may be forged. Whoever is known here gets one, so its message may wait in our queue.
pub fn decide(verdict: Verdict, auth_as: AuthAs) -> Result<(), Refusal> {
    match (verdict, auth_as) {
        (Verdict::Accepted, _) => Ok(()),
        (Verdict::Refused, _) => Err(Refusal::RecipientRefusedByNextHop),
        (Verdict::NoAnswer, AuthAs::Anonymous) => Err(Refusal::RecipientNotVerified),
        (Verdict::NoAnswer, _) => Ok(()),
    }
}
