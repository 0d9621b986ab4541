//! Why a message is refused or accepted, asked without traffic: the connector and why the others lost, the rights and
//! where they come from, what the peer would read at each command, and the smallest change that would turn a refusal.
//!
//! Takes settings and a question, hands on an explanation. It decides nothing: every verdict is that of the function that
//! decides, asked in the order in which a session asks (invariant I12). It assumes that the password is right, that no
//! other connection is open, that no rate is used up, and that the header is small and has few Received fields.

use std::sync::Arc;

use gatepost_mail::Mailbox;

use crate::directory::{FoundBy, KnownRecipient};
use crate::permission::Right;
use crate::refusal::Refusal;
use crate::settings::Settings;

mod fix;
mod candidate;
mod dialogue;

pub use candidate::{Candidate, Effect, Fate, Origin, Part, RightOrigin, candidates, origins, quotas};
pub use dialogue::{Asked, Command, Dialogue, Holder, Obstacle, Question, Step, play};
pub use fix::{Change, Fix};

/// The answer to one question.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Every connector, in the order of the document, with what became of it.
    pub candidates: Vec<Candidate>,
    /// What is known of the recipient; `None` where it is nobody here, or elsewhere.
    pub addressee: Option<Addressee>,
    /// What the peer says and reads, up to the first refusal.
    pub dialogue: Dialogue,
    /// The right whose absence is the first reason for the refusal; `None` where no right would have helped.
    pub missing: Option<Right>,
    /// The smallest change that would let the message pass, and where that is for the peer to make, one of the settings
    /// for a peer that cannot. Empty where the message passes, or where nothing can be offered.
    pub fixes: Vec<Fix>,
}

/// A recipient that is known here, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// Who.
    pub recipient: Arc<KnownRecipient>,
    /// Why the address is the recipient's.
    pub by: FoundBy,
    /// How many recipients mail to it has at its end.
    pub end_count: usize,
    /// Itself or the recipient behind it that senders outside may not write to.
    pub closed_by: Option<Mailbox>,
}

impl Explanation {
    /// Whether the message would be accepted.
    pub fn is_accepted(&self) -> bool {
        self.dialogue.obstacle().is_none()
    }
}

/// Answers `question`.
pub fn explain(settings: &Settings, question: &Question<'_>) -> Explanation {
    let played = play(settings, question);
    let is_known = || question.user.is_some_and(|user| settings.find_user(user).is_some());
    let missing = played.obstacle().and_then(|obstacle| match obstacle {
        // Right credentials without the right to submit are refused as if they were wrong.
        Obstacle::Refused(Refusal::AuthenticationFailed) => is_known().then_some(Right::Submit),
        _ => dialogue::missing_right(obstacle, played.last_holder()?.rights),
    });
    let named = settings.recipient(question.forward_path);
    let addressee = settings.directory.resolve(&named, &settings.domains).map(|found| Addressee {
        recipient: found.recipient.clone(),
        by: found.by,
        end_count: found.end_count(),
        closed_by: found.closed_by().map(|closed| closed.address.clone()),
    });
    Explanation {
        addressee,
        candidates: candidates(settings, question.local, question.peer, question.now_ms),
        missing,
        fixes: fix::fixes(settings, question, &played),
        dialogue: played,
    }
}
