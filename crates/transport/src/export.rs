//! A queued message as a file that can be given to any server: the X-headers of the Replay directory in front of what the
//! message is (fact sheet section 8.4).
//!
//! Takes a message that an administrator holds back, hands on its bytes. As in Exchange it has to be suspended first: one that
//! is delivered meanwhile would come twice once the file is replayed.

use std::sync::Arc;

use gatepost_mail::{BodyType, MessageId, Return, ReversePath};
use gatepost_spool::Message;

use crate::blocking;
use crate::categorize;
use crate::clock::now_ms;
use crate::passports;
use crate::state::Running;

/// A larger message is not exported in one piece, in bytes.
const EXPORTED_BYTES_MAX: u64 = 256 << 20;

/// Why a message is not exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// No such message in the queue.
    #[error("there is no message {0} in the queue")]
    Unknown(MessageId),
    /// It may be delivered at any time.
    #[error(
        "message {0} is not suspended: it may be delivered meanwhile, and would come twice; `gatepost queue suspend {0}` first"
    )]
    NotSuspended(MessageId),
    /// An attempt is being made.
    #[error("message {0} is being delivered right now: try again when `gatepost queue show {0}` says Suspended")]
    InFlight(MessageId),
    /// It is larger than what is exported in one piece.
    #[error("message {0} has {1} bytes, and at most 256 MB are exported in one piece")]
    TooLarge(MessageId, u64),
    /// The disk fails.
    #[error("message {0} cannot be read: {1}")]
    Disk(MessageId, String),
}

/// A message as such a file, for `who`, as `uid 0`.
///
/// # Errors
/// [`ExportError`].
pub async fn export(running: &Arc<Running>, id: MessageId, who: Arc<str>) -> Result<Vec<u8>, ExportError> {
    let running = running.clone();
    let read = move || {
        let message = running.spool.message(id).map_err(|_| ExportError::Unknown(id))?;
        if !message.standing.is_held() {
            return Err(ExportError::NotSuspended(id));
        }
        if running.queues.in_flight().contains(&id) {
            return Err(ExportError::InFlight(id));
        }
        let bytes = message.content.len();
        if bytes > EXPORTED_BYTES_MAX {
            return Err(ExportError::TooLarge(id, bytes));
        }
        let mut file = fields(&message).into_bytes();
        let end = file.len() as u64 + bytes;
        let front = file.len() as u64;
        while (file.len() as u64) < end {
            let piece = message.content.read(file.len() as u64 - front, 1 << 20);
            match piece.map_err(|error| ExportError::Disk(id, error.to_string()))? {
                piece if piece.is_empty() => break,
                piece => file.extend_from_slice(&piece),
            }
        }
        passports::note_administrator(&running, id, now_ms(), (&who, "export", None), Vec::new());
        Ok(file)
    };
    blocking::run(read).await.unwrap_or_else(|error| Err(ExportError::Disk(id, error.to_string())))
}

/// The fields in front. Recipients at their end are left out: the file is about those who wait.
fn fields(message: &Message) -> String {
    let envelope = &message.envelope;
    let arrival = &envelope.arrival;
    let mut sender = match &envelope.reverse_path {
        ReversePath::Null => "<>".to_owned(),
        ReversePath::Mailbox(mailbox) => format!("{mailbox}"),
    };
    sender.push_str(match envelope.body {
        BodyType::SevenBit => " BODY=7bit",
        BodyType::EightBitMime => " BODY=8bitmime",
        BodyType::BinaryMime => " BODY=binarymime",
    });
    match envelope.ret {
        Some(Return::Full) => sender.push_str(" RET=FULL"),
        Some(Return::Headers) => sender.push_str(" RET=HDRS"),
        None => {}
    }
    if let Some(envid) = &envelope.envid {
        sender.push_str(&format!(" ENVID={envid}"));
    }
    let mut fields = format!("X-Sender: {sender}\r\n");
    for (recipient, index) in envelope.recipients.iter().zip(0u32..) {
        if !categorize::is_pending(&message.recipients, index) {
            continue;
        }
        let notify = recipient.notify;
        let mut words = Vec::new();
        for (is_wanted, word) in [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")] {
            words.extend(is_wanted.then_some(word));
        }
        let mut field = format!("X-Receiver: {}", recipient.mailbox);
        if notify.given {
            let words = if words.is_empty() { "NEVER".to_owned() } else { words.join(",") };
            field.push_str(&format!(" NOTIFY={words}"));
        }
        if let Some(original) = &recipient.original_recipient {
            field.push_str(&format!(" ORcpt={original}"));
        }
        fields.push_str(&field);
        fields.push_str("\r\n");
    }
    if let Some(peer) = arrival.peer {
        fields.push_str(&format!("X-Source: Smtp Receive Connector\r\nX-SourceIPAddress: {}\r\n", peer.ip()));
    }
    fields.push_str("X-CreatedBy: Gatepost\r\nX-EndOfInjectedXHeaders: Gatepost\r\n");
    fields
}
