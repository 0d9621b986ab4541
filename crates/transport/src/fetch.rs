//! Reads of the spool that may wait for the disk, kept off the threads that drive sockets.
//!
//! A message that was accepted a moment ago lies in memory and is handed out at once; for the others a thread is
//! borrowed from the runtime's pool.

use std::io;

use gatepost_mail::MessageId;
use gatepost_spool::{Content, Message, ReadError, Spool};
use tokio::task::JoinError;

use crate::blocking;

/// A live message.
///
/// # Errors
/// As [`Spool::message`].
pub async fn message(spool: &Spool, id: MessageId) -> Result<Message, ReadError> {
    if let Some(message) = spool.message_in_memory(id) {
        return Ok(message);
    }
    let spool = spool.clone();
    blocking::run(move || spool.message(id)).await.unwrap_or_else(|error| Err(fault(error).into()))
}

/// Bytes of a content from `offset` on; none at its end.
///
/// # Errors
/// As [`Content::read`].
pub async fn piece(content: &Content, offset: u64, bytes_max: usize) -> io::Result<impl AsRef<[u8]> + Send + use<>> {
    if content.inline().is_some() {
        return content.read(offset, bytes_max);
    }
    let content = content.clone();
    blocking::run(move || content.read(offset, bytes_max)).await.unwrap_or_else(|error| Err(fault(error)))
}

fn fault(error: JoinError) -> io::Error {
    io::Error::other(format!("a fault of ours: {error}"))
}
