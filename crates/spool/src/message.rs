//! A message as the spool hands it out, and what can become of its recipients.
//!
//! Plain values. Nothing here touches a file except [`Content::read`], which reads a large body where it lies.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use gatepost_mail::{Envelope, MessageId, Priority};

use crate::disk::File;

/// What one attempt, or an administrator, made of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop took responsibility.
    Delivered {
        /// What the next hop said, on one line.
        reply: Box<str>,
        /// Unix time in milliseconds.
        time_ms: u64,
    },
    /// Not now; the recipient stays pending.
    Deferred {
        /// What the next hop said, or why it could not be asked.
        reply: Box<str>,
        /// Unix time in milliseconds.
        time_ms: u64,
        /// Unix time in milliseconds of the next attempt.
        next_attempt_ms: u64,
    },
    /// No attempt: the sender has been told that it takes longer than usual. The recipient stays pending.
    DelayTold,
    /// Given up; the sender is told by a report where one is due.
    Failed {
        /// The reply that ended it.
        reply: Box<str>,
        /// Unix time in milliseconds.
        time_ms: u64,
    },
    /// Taken out of the queue by an administrator.
    Removed {
        /// Unix time in milliseconds.
        time_ms: u64,
    },
}

impl Outcome {
    /// Whether the recipient is not pending afterwards.
    pub fn is_end(&self) -> bool {
        !matches!(self, Outcome::Deferred { .. } | Outcome::DelayTold)
    }
}

/// Where a recipient stands. Only `Pending` is not an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Still to be delivered.
    Pending,
    /// A next hop has it.
    Delivered,
    /// Given up.
    Failed,
    /// Taken out by an administrator.
    Removed,
}

/// What the spool remembers of one recipient, in the order of the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientState {
    /// Where it stands.
    pub state: State,
    /// Attempts so far.
    pub attempts: u32,
    /// The last reply, if there was an attempt.
    pub last_reply: Option<Box<str>>,
    /// Unix time in milliseconds of the last attempt; 0 if there was none.
    pub last_attempt_ms: u64,
    /// Unix time in milliseconds before which no attempt is due; 0 means at once.
    pub next_attempt_ms: u64,
    /// Whether the sender has been told that it takes longer than usual.
    pub delay_told: bool,
}

impl RecipientState {
    /// That of a recipient whose first outcome was its end.
    pub(crate) fn ended_by(outcome: Outcome) -> RecipientState {
        let (state, attempts, last_reply, last_attempt_ms) = match outcome {
            Outcome::Delivered { reply, time_ms } => (State::Delivered, 1, Some(reply), time_ms),
            Outcome::Failed { reply, time_ms } => (State::Failed, 1, Some(reply), time_ms),
            Outcome::Removed { time_ms } => (State::Removed, 0, None, time_ms),
            Outcome::Deferred { reply, time_ms, .. } => (State::Pending, 1, Some(reply), time_ms),
            Outcome::DelayTold => (State::Pending, 0, None, 0),
        };
        RecipientState { state, attempts, last_reply, last_attempt_ms, next_attempt_ms: 0, delay_told: false }
    }
}

/// How a message stands in the queue, apart from its recipients: what administrators did with it, and what it did to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// An administrator holds it back.
    pub suspended: bool,
    /// It is held back because the server ended uncleanly whenever it was worked on.
    pub poison: bool,
    /// How often the server ended uncleanly while it was worked on, as far as it is known to be its fault.
    pub crashes: u32,
    /// The send connector that all its recipients go by, whatever the settings say.
    pub redirect: Option<Box<str>>,
    /// What an administrator made of its priority.
    pub priority: Option<Priority>,
}

impl Standing {
    /// Whether nobody has done anything to it.
    pub fn is_usual(&self) -> bool {
        *self == Standing::default()
    }

    /// Whether it is not to be delivered now.
    pub fn is_held(&self) -> bool {
        self.suspended || self.poison
    }
}

/// A message of the queue.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number.
    pub id: MessageId,
    /// Who it is for.
    pub envelope: Arc<Envelope>,
    /// One for each recipient of the envelope, in the same order.
    pub recipients: Vec<RecipientState>,
    /// How it stands as a whole.
    pub standing: Standing,
    /// Trace fields and content.
    pub content: Content,
}

/// The bytes of a message: the trace fields that we put before it, then the content as it was received.
/// Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Content(Place);

#[derive(Clone, Debug)]
enum Place {
    Memory(Bytes),
    File { trace: Bytes, file: Arc<dyn File>, bytes: u64 },
}

impl Content {
    pub(crate) fn in_memory(content: Bytes) -> Content {
        Content(Place::Memory(content))
    }

    pub(crate) fn in_file(trace: Bytes, file: Arc<dyn File>, bytes: u64) -> Content {
        Content(Place::File { trace, file, bytes })
    }

    /// Length in bytes, trace fields included.
    #[allow(clippy::len_without_is_empty, reason = "a message is never empty: it has at least our trace field")]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Place::Memory(content) => content.len() as u64,
            Place::File { trace, bytes, .. } => trace.len() as u64 + bytes,
        }
    }

    /// Bytes from `offset` on: at least one and at most `bytes_max`, possibly fewer than asked for; none at the end.
    /// Content in memory is shared, not copied; a large body is read from its file, which blocks on the disk.
    pub fn read(&self, offset: u64, bytes_max: usize) -> io::Result<Bytes> {
        match &self.0 {
            Place::Memory(content) => Ok(part(content, offset, bytes_max)),
            Place::File { trace, .. } if offset < trace.len() as u64 => Ok(part(trace, offset, bytes_max)),
            Place::File { trace, file, bytes } => {
                let offset = offset - trace.len() as u64;
                let wanted = bytes_max.min(usize::try_from(bytes.saturating_sub(offset)).unwrap_or(usize::MAX));
                if wanted == 0 {
                    return Ok(Bytes::new());
                }
                let mut buffer = vec![0; wanted];
                match file.read_at(&mut buffer, offset)? {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    read => {
                        buffer.truncate(read);
                        Ok(buffer.into())
                    }
                }
            }
        }
    }

    /// The whole content, unless it is large and lies in a file of its own.
    pub fn inline(&self) -> Option<&Bytes> {
        match &self.0 {
            Place::Memory(content) => Some(content),
            Place::File { .. } => None,
        }
    }
}

fn part(content: &Bytes, offset: u64, bytes_max: usize) -> Bytes {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
    content.slice(from..from.saturating_add(bytes_max).min(content.len()))
}
