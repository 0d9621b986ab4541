//! Queues and the messages in them: `/api/v1/queue`.

use std::net::SocketAddr;

use gatepost_spool::State;
use gatepost_transport::listing;
use serde::{Deserialize, Serialize};

/// One delivery queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Queue {
    /// Where it leads.
    pub next_hop: String,
    /// Its send connector; empty for local delivery and for unreachable.
    pub connector: String,
    /// What it is doing.
    pub state: QueueState,
    /// Messages that wait in it.
    pub messages: u64,
    /// Open connections to the next hop.
    pub connections: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When the next connection is tried.
    pub next_retry_ms: Option<u64>,
}

/// What a delivery queue is doing (fact sheet section 4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// Sending.
    Active,
    /// Opening its first connection.
    Connecting,
    /// Nothing due.
    Ready,
    /// The last connection attempt failed; waits.
    Retry,
}

/// What `GET /api/v1/queue` takes in its query string.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueQuery {
    /// Part of the next hop's name, any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
    /// Part of the reverse-path, any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Part of a recipient's address, any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// At most so many messages, up to [`QUEUE_LIMIT_MAX`]; [`QUEUE_LIMIT_DEFAULT`] if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// How many messages a listing shows when nobody says.
pub const QUEUE_LIMIT_DEFAULT: usize = 100;
/// How many messages one answer holds at most.
pub const QUEUE_LIMIT_MAX: usize = 1000;

/// `GET /api/v1/queue`: messages that match, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueListing {
    /// How many match.
    pub total: u64,
    /// The first of them.
    pub messages: Vec<Message>,
    /// Whether messages of the last run are still being read: some may be missing.
    pub recovering: bool,
}

/// One message that is not at its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Queue id, as the `250` named it.
    pub id: u64,
    /// When it came in.
    pub arrival_ms: u64,
    /// Bytes of the content with our trace fields.
    pub size_bytes: u64,
    /// With angle brackets; `<>` for reports.
    pub reverse_path: String,
    /// Receive connector that it came by; empty for reports.
    pub connector: String,
    /// Who sent it; none for reports.
    pub peer: Option<SocketAddr>,
    /// Principal under which it was accepted.
    pub principal: String,
    /// In the order of the RCPT commands, ended ones included.
    pub recipients: Vec<Recipient>,
}

/// One recipient of a queued message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// Where it stands.
    pub state: RecipientState,
    /// The queue that it waits in.
    pub next_hop: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// The last answer that it got.
    pub last_reply: Option<String>,
    /// When it is tried next; none when due now, in flight or ended.
    pub next_attempt_ms: Option<u64>,
    /// Why its queue has no connection to the next hop at present. Such a failure is the queue's, not an attempt on this
    /// recipient: the peer was never asked about it.
    #[serde(default)]
    pub next_hop_error: Option<String>,
}

/// Where a recipient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientState {
    /// Waiting.
    Pending,
    /// Arrived.
    Delivered,
    /// Given up.
    Failed,
    /// Taken out of the queue by an administrator.
    Removed,
}

/// `GET /api/v1/queue/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageDetail {
    /// As in the listing.
    #[serde(flatten)]
    pub message: Message,
    /// The header section, at most 64 KiB, lossily as text.
    pub header: String,
}

/// What `POST /api/v1/queue/retry` takes: `"all"`, or `{"next_hop": "smtp.example"}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryRequest {
    /// Everything that waits.
    All,
    /// Every queue whose next hop has this text in its name, any case.
    NextHop(String),
}

/// What both retry calls answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Retried {
    /// Entries made due now.
    pub entries: u64,
}

/// What `DELETE /api/v1/queue/{id}` takes in its query string.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveQuery {
    /// Whether the sender gets a non-delivery report; true if not given, because silence loses mail.
    #[serde(default = "yes")]
    pub report: bool,
}

fn yes() -> bool {
    true
}

/// What `DELETE /api/v1/queue/{id}` answers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// Queue id.
    pub id: u64,
    /// Whether a report was asked for.
    pub report: bool,
}

impl From<listing::QueueStatus> for Queue {
    fn from(queue: listing::QueueStatus) -> Self {
        Queue {
            next_hop: queue.next_hop,
            connector: queue.connector,
            state: match queue.state {
                listing::QueueState::Active => QueueState::Active,
                listing::QueueState::Connecting => QueueState::Connecting,
                listing::QueueState::Ready => QueueState::Ready,
                listing::QueueState::Retry => QueueState::Retry,
            },
            messages: queue.messages,
            connections: queue.connections,
            last_error: queue.last_error,
            next_retry_ms: queue.next_retry_ms,
        }
    }
}

impl From<listing::QueuedMessage> for Message {
    fn from(message: listing::QueuedMessage) -> Self {
        Message {
            id: message.id.0,
            arrival_ms: message.arrival_ms,
            size_bytes: message.size_bytes,
            reverse_path: message.reverse_path,
            connector: message.connector,
            peer: message.peer,
            principal: message.principal,
            recipients: message.recipients.into_iter().map(Recipient::from).collect(),
        }
    }
}

impl From<listing::QueuedRecipient> for Recipient {
    fn from(recipient: listing::QueuedRecipient) -> Self {
        Recipient {
            address: recipient.address,
            state: match recipient.state {
                State::Pending => RecipientState::Pending,
                State::Delivered => RecipientState::Delivered,
                State::Failed => RecipientState::Failed,
                State::Removed => RecipientState::Removed,
            },
            next_hop: recipient.next_hop,
            attempts: recipient.attempts,
            last_reply: recipient.last_reply,
            next_attempt_ms: recipient.next_attempt_ms,
            next_hop_error: recipient.next_hop_error,
        }
    }
}
