//! Step 6 of 9 - spool: a message while it arrives.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use gatepost_mail::{Envelope, MessageId};

/// Why a piece of content could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The disk is full.
    #[error("the disk of the spool is full")]
    Full,
    /// The disk failed.
    #[error("the disk of the spool failed: {0}")]
    Io(std::io::ErrorKind),
}

/// Why a message was not taken. The peer gets a 4xx and tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The disk is full (452 4.3.1).
    #[error("the disk of the spool is full")]
    Full,
    /// A write or a flush failed (451 4.3.0).
    #[error("the disk of the spool failed: {0}")]
    Io(std::io::ErrorKind),
    /// The spool is closed: the server is stopping (421 4.3.2).
    #[error("the spool is closed")]
    Closed,
}

/// A message that is arriving. Dropping it discards it.
#[derive(Debug)]
pub struct Staged {}

impl Staged {
    /// The number that the message will have.
    pub fn id(&self) -> MessageId {
        unimplemented!()
    }

    /// Takes the next piece of the content.
    pub fn write(&mut self, _bytes: &[u8]) -> Result<(), StageError> {
        unimplemented!()
    }

    /// Bytes taken so far.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        unimplemented!()
    }

    /// Hands the message to the committer. `trace` are header lines to stand before the content.
    pub fn commit(self, _envelope: Envelope, _trace: Vec<u8>) -> Commit {
        unimplemented!()
    }
}

/// The promise: `Ok` once the message survives power loss. Dropping it does not undo the commit.
#[derive(Debug)]
#[must_use = "the message is safe only once this future has returned Ok"]
pub struct Commit {}

impl Commit {
    /// Blocks this thread until the result is there.
    pub fn wait(self) -> Result<MessageId, CommitError> {
        unimplemented!()
    }
}

impl Future for Commit {
    type Output = Result<MessageId, CommitError>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        unimplemented!()
    }
}
