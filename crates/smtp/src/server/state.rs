//! Where a session stands: whose turn it is, and what is needed to go on.

use gatepost_mail::BodyType;

use super::auth::{Exchange, Secret};
use super::content::LineReader;
use super::phase::{ChunkedContent, Phase, Refusal, Transaction};

/// Where the dialogue stands. Each state owns what it needs and is consumed by whatever leaves it.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing has been said.
    Opening,
    /// The caller is deciding.
    Asked(Asked),
    /// The peer's turn.
    Command(Phase),
    /// The peer's turn, in an AUTH exchange.
    Authenticating(Exchange),
    /// Behind 354.
    Data(LineReader),
    /// Behind BDAT.
    Chunk(Chunk),
    /// 220 to STARTTLS is on its way.
    StartTls,
    /// The caller does the handshake.
    Handshake,
    /// Nothing will be said but what is in `out`.
    Closed,
}

/// What the caller is deciding, and what it takes to go on.
#[derive(Debug)]
pub(super) enum Asked {
    Connect,
    Hello { esmtp: bool, before: Phase },
    Authenticate(Secret),
    Mail { body: BodyType, smtputf8: bool },
    Rcpt(Transaction),
    Data,
    FirstChunk { transaction: Transaction, size: u64, last: bool },
    EndContent,
}

/// A chunk that is coming in.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) size: u64,
    pub(super) left: u64,
    pub(super) last: bool,
    pub(super) fate: Fate,
}

/// What becomes of a chunk.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is content.
    Take(ChunkedContent),
    /// It is skipped: only behind it starts the next command.
    Drop { refusal: Refusal, then: Phase },
}

impl State {
    /// The phase to go on with after a line that led to nothing.
    pub(super) fn into_phase(self) -> Phase {
        match self {
            State::Command(phase) => phase,
            // AUTH is taken in this phase only.
            State::Authenticating(_) => Phase::Ready,
            _ => Phase::Fresh,
        }
    }

    /// Whether MAIL was accepted and the transaction is not over.
    pub(super) fn has_transaction(&self) -> bool {
        match self {
            State::Command(phase) | State::Asked(Asked::Hello { before: phase, .. }) => phase.has_transaction(),
            State::Data(_) => true,
            State::Chunk(chunk) => match &chunk.fate {
                Fate::Take(_) => true,
                Fate::Drop { then, .. } => then.has_transaction(),
            },
            State::Asked(asked) => {
                matches!(asked, Asked::Rcpt(_) | Asked::Data | Asked::FirstChunk { .. } | Asked::EndContent)
            }
            State::Opening | State::Authenticating(_) | State::StartTls | State::Handshake | State::Closed => false,
        }
    }
}
