//! Queues and the messages in them: `/api/v1/queue`.

use std::net::SocketAddr;

use gatepost_spool::State;
use gatepost_transport::listing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::properties;

/// One delivery queue.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Queue {
    /// What names it on this server: `3`, `Submission`, `Unreachable`, `Poison`.
    #[serde(default)]
    pub identity: String,
    /// Exchange's name of how it delivers.
    #[serde(default)]
    pub delivery_type: String,
    /// `Internal` or `External`.
    #[serde(default)]
    pub next_hop_category: String,
    /// Whether an administrator has suspended it.
    #[serde(default)]
    pub suspended: bool,
    /// Messages in it that are held back: suspended, or poison.
    #[serde(default)]
    pub held: u64,
    /// Messages in it that wait for a time of their own.
    #[serde(default)]
    pub deferred: u64,
    /// Messages by priority: high, normal, low.
    #[serde(default)]
    pub messages_by_priority: [u64; 3],
    /// Of those, the ones that wait for a time of their own.
    #[serde(default)]
    pub deferred_by_priority: [u64; 3],
    /// Connection attempts that failed in a row.
    #[serde(default)]
    pub retry_count: u32,
    /// When the first of them failed.
    #[serde(default)]
    pub first_retry_ms: Option<u64>,
    /// When the last of them failed.
    #[serde(default)]
    pub last_retry_ms: Option<u64>,
    /// Messages that came a second, over the last minute.
    #[serde(default)]
    pub incoming_rate: f64,
    /// Messages that went a second, over the last minute.
    #[serde(default)]
    pub outgoing_rate: f64,
    /// What goes more than comes: `outgoing_rate` less `incoming_rate`.
    #[serde(default)]
    pub velocity: f64,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// An administrator holds it back.
    Suspended,
}

/// What `GET /api/v1/queue` takes in its query string.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
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
    /// A filter over the properties of messages, as `gatepost queue list --filter` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// An order over them: `-Size,+DateReceived`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// So many of them are passed over first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
}

/// How many messages a listing shows when nobody says.
pub const QUEUE_LIMIT_DEFAULT: usize = 1000;
/// How many messages one answer holds at most.
pub const QUEUE_LIMIT_MAX: usize = 1000;

/// What `GET /api/v1/queues` takes in its query string.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueuesQuery {
    /// A filter over the properties of queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// An order over them: `-MessageCount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// So many of them are passed over first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// At most so many queues, up to [`QUEUE_LIMIT_MAX`], which is also what holds if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// `GET /api/v1/queues`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueuesListing {
    /// `[server] name`, which an identity begins with.
    pub server: String,
    /// How many match.
    pub total: u64,
    /// The first of them.
    pub queues: Vec<Queue>,
    /// Next hops of suspended queues that are empty and not there now.
    pub suspended_elsewhere: Vec<String>,
}

/// What `POST /api/v1/queues` takes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueuesRequest {
    /// What is done to them.
    pub action: QueueAction,
    /// The queues: an identity (`3`, `SERVER\\3`, `Submission`) or the whole next hop.
    #[serde(default)]
    pub queues: Vec<String>,
    /// Or a filter over their properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// What is done to queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueAction {
    /// Give no work until they are resumed, across restarts.
    Suspend,
    /// Go on.
    Resume,
    /// Try again now.
    Retry,
    /// Route everything in them anew.
    Resubmit,
}

/// What `POST /api/v1/queues` answers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueuesChanged {
    /// The next hops of the queues that it was done to.
    pub queues: Vec<String>,
    /// Deliveries made due now, or routed anew.
    pub entries: u64,
}

/// What `POST /api/v1/queue/change` takes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessagesRequest {
    /// What is done to them.
    pub action: MessageAction,
    /// Queue ids, at most [`QUEUE_LIMIT_MAX`].
    pub ids: Vec<u64>,
}

/// What is done to messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageAction {
    /// Hold them back.
    Suspend,
    /// Let them go on; poison, too.
    Resume,
    /// Send them by this send connector.
    Redirect(String),
    /// Send them as the settings say again.
    RedirectBack,
    /// Deliver them by this priority: `High`, `Normal`, `Low`.
    Prioritize(String),
    /// Take them out of the queue.
    Remove {
        /// Whether their senders get a non-delivery report.
        report: bool,
    },
}

/// What `POST /api/v1/queue/change` answers: when it comes, what it says survives a power cut.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessagesChanged {
    /// Messages that it was done to.
    pub messages: u64,
    /// Of those, being delivered right now: it happens should that fail.
    pub pending: u64,
    /// Ids of which there is no message in the queue.
    pub unknown: Vec<u64>,
    /// What stays as it is, and why.
    pub failed: Vec<FailedChange>,
}

/// One message that stays as it is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FailedChange {
    /// Queue id.
    pub id: u64,
    /// Why.
    pub error: String,
}

/// `GET /api/v1/queue`: messages that match, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueueListing {
    /// How many match.
    pub total: u64,
    /// The first of them.
    pub messages: Vec<Message>,
    /// Whether messages of the last run are still being read: some may be missing.
    pub recovering: bool,
}

/// One message that is not at its end.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// What it is doing, by Exchange's word: `Ready`, `Active`, `Retry`, `Suspended`, `PendingRemove`, `PendingSuspend`.
    #[serde(default)]
    pub status: String,
    /// `High`, `Normal` or `Low`.
    #[serde(default)]
    pub priority: String,
    /// When it expires.
    #[serde(default)]
    pub expires_ms: u64,
    /// Identities of the queues that it waits in.
    #[serde(default)]
    pub queues: Vec<String>,
    /// Whether it is held back because the server ended uncleanly while it was worked on.
    #[serde(default)]
    pub poison: bool,
    /// How often it did.
    #[serde(default)]
    pub crashes: u32,
    /// The send connector that an administrator chose for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// Value of its Subject field, as it stands there.
    #[serde(default)]
    pub subject: Option<String>,
    /// Value of its Message-ID field.
    #[serde(default)]
    pub internet_message_id: Option<String>,
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
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageDetail {
    /// As in the listing.
    #[serde(flatten)]
    pub message: Message,
    /// The header section, at most 64 KiB, lossily as text.
    pub header: String,
}

/// What `POST /api/v1/queue/retry` takes: `"all"`, or `{"next_hop": "smtp.example"}`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryRequest {
    /// Everything that waits.
    All,
    /// Every queue whose next hop has this text in its name, any case.
    NextHop(String),
}

/// What both retry calls answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Retried {
    /// Entries made due now.
    pub entries: u64,
}

/// What `DELETE /api/v1/queue/{id}` takes in its query string.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// Queue id.
    pub id: u64,
    /// Whether a report was asked for.
    pub report: bool,
    /// Whether it is being delivered right now: it is removed should that fail.
    #[serde(default)]
    pub pending: bool,
}

impl From<listing::QueueStatus> for Queue {
    fn from(queue: listing::QueueStatus) -> Self {
        Queue {
            identity: queue.identity,
            delivery_type: properties::delivery_type(queue.delivery_type).to_owned(),
            next_hop_category: properties::category(queue.delivery_type).to_owned(),
            suspended: queue.suspended,
            held: queue.held,
            deferred: queue.deferred,
            messages_by_priority: queue.by_priority.map(|(messages, _)| messages),
            deferred_by_priority: queue.by_priority.map(|(_, deferred)| deferred),
            retry_count: queue.retry_count,
            first_retry_ms: queue.first_retry_ms,
            last_retry_ms: queue.last_retry_ms,
            incoming_rate: queue.incoming_rate,
            outgoing_rate: queue.outgoing_rate,
            velocity: queue.outgoing_rate - queue.incoming_rate,
            next_hop: queue.next_hop,
            connector: queue.connector,
            state: match queue.state {
                listing::QueueState::Active => QueueState::Active,
                listing::QueueState::Connecting => QueueState::Connecting,
                listing::QueueState::Ready => QueueState::Ready,
                listing::QueueState::Retry => QueueState::Retry,
                listing::QueueState::Suspended => QueueState::Suspended,
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
            status: properties::message_status(message.status).to_owned(),
            priority: message.priority.to_string(),
            expires_ms: message.expires_ms,
            queues: message.queues.iter().map(ToString::to_string).collect(),
            poison: message.poison,
            crashes: message.crashes,
            redirect: message.redirect,
            subject: message.subject,
            internet_message_id: message.internet_message_id,
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
