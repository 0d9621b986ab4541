//! What an administrator sees of the running server: plain values, for every door alike.

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::sync::Arc;

use gatepost_mail::{MessageId, Priority};
use gatepost_policy::alarm::Alarm;

pub use crate::administer::{Changed, NotSafe, Which, Wish};
pub use crate::back_pressure::{Amount, Metered, Reading};
use crate::day::Day;
pub use crate::export::ExportError;
use crate::logon_faults::LogonFault;
use crate::tls::Fault;

/// How the server is doing.
#[derive(Clone, Debug)]
pub struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// The server's name (`[server] name`).
    pub server_name: String,
    /// Unix time in milliseconds at which it started.
    pub started_ms: u64,
    /// Number of the settings revision in force; 1 at start, one more with each reload.
    pub revision: u64,
    /// Unix time in milliseconds since which this revision is in force.
    pub revision_since_ms: u64,
    /// Sockets that accept connections.
    pub listeners: Vec<ListenerStatus>,
    /// Open SMTP connections from peers.
    pub inbound_connections: u64,
    /// Open SMTP connections to next hops.
    pub outbound_connections: u64,
    /// Since start.
    pub counters: Counters,
    /// The traffic of the last day.
    pub day: Day,
    /// Every delivery queue that exists.
    pub queues: Vec<QueueStatus>,
    /// What the spool holds.
    pub spool: gatepost_spool::Usage,
    /// Whether messages of a former run are still being put into their queues.
    pub recovering: bool,
    /// What the server can run short of, as it was measured last.
    pub back_pressure: Vec<Metered>,
    /// Connectors whose certificate is not there.
    pub tls_faults: Vec<Fault>,
    /// Send connectors that their smart hosts do not let in.
    pub logon_faults: Vec<LogonFault>,
    /// What somebody has to be told, the worst first.
    pub alarms: Vec<Alarm>,
    /// Why it takes no mail now.
    pub obstacles: Vec<String>,
}

/// Whether the server lives, and whether it takes mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it should be started again; none: it lives.
    pub faults: Vec<String>,
    /// Why no mail should be sent to it now; none: it takes mail.
    pub obstacles: Vec<String>,
}

/// One listening socket.
#[derive(Clone, Debug)]
pub struct ListenerStatus {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether TLS starts with the first byte (port 465).
    pub implicit_tls: bool,
}

/// Counts since start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused: limits, or no connector for the peer.
    pub connections_refused: u64,
    /// Messages accepted (250 after content).
    pub messages_accepted: u64,
    /// Commands or contents refused by a decision.
    pub refusals: u64,
    /// Questions about a recipient that a next hop was asked.
    pub recipients_asked: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Attempts on a recipient that ended with "try again later", and recipients that began to wait for a connection.
    pub deferred: u64,
    /// Recipients given up.
    pub failed: u64,
    /// Reports made.
    pub reports: u64,
}

/// What a delivery queue is doing (fact sheet section 4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// How a queue delivers, by Exchange's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryType {
    /// By the MX records of a domain.
    DnsConnectorDelivery,
    /// By smart hosts.
    SmartHostConnectorDelivery,
    /// Into mailboxes here.
    SmtpDeliveryToMailbox,
    /// Not at all: no way out.
    Unreachable,
    /// Not at all: still to be routed, poison, or on the way back.
    Undefined,
}

/// What a message is doing (fact sheet section 4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageStatus {
    /// Being delivered.
    Active,
    /// Due.
    Ready,
    /// Waits for a time.
    Retry,
    /// Held back.
    Suspended,
    /// Being delivered; removed should that fail.
    PendingRemove,
    /// Being delivered; held back should that fail.
    PendingSuspend,
}

/// One delivery queue.
#[derive(Clone, Debug)]
pub struct QueueStatus {
    /// What names it after the server's name: `3`, `Submission`, `Unreachable`, `Poison`.
    pub identity: String,
    /// What names it in every run.
    pub name: String,
    /// How it delivers.
    pub delivery_type: DeliveryType,
    /// Whether an administrator has suspended it, whatever its state.
    pub suspended: bool,
    /// Messages held back in it.
    pub held: u64,
    /// Messages that wait for a time of their own.
    pub deferred: u64,
    /// Messages, and of those the ones that wait for a time of their own: high, normal, low.
    pub by_priority: [(u64, u64); 3],
    /// Connection attempts that failed in a row.
    pub retry_count: u32,
    /// When the first of them failed, Unix time in milliseconds.
    pub first_retry_ms: Option<u64>,
    /// When the last of them failed.
    pub last_retry_ms: Option<u64>,
    /// Messages that came a second, over the last minute.
    pub incoming_rate: f64,
    /// Messages that went a second.
    pub outgoing_rate: f64,
    /// Where it leads: smart hosts, a domain, `local delivery` or `unreachable`.
    pub next_hop: String,
    /// Name of the send connector; empty for local delivery and for unreachable.
    pub connector: String,
    /// What it is doing.
    pub state: QueueState,
    /// Entries: a message counts once in each queue that it waits in.
    pub messages: u64,
    /// Open connections to the next hop.
    pub connections: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When the next connection is tried, Unix time in milliseconds; only in state Retry.
    pub next_retry_ms: Option<u64>,
}

/// Whether a message is meant.
pub type Matches = Arc<dyn Fn(&QueuedMessage) -> bool + Send + Sync>;
/// Which of two messages comes first.
pub type Order = Arc<dyn Fn(&QueuedMessage, &QueuedMessage) -> Ordering + Send + Sync>;

/// What picks messages, and in which order they stand.
#[derive(Clone, Default)]
pub struct Picks {
    /// Whether a message is meant.
    pub matches: Option<Matches>,
    /// The order; oldest first if not given.
    pub order: Option<Order>,
    /// Whether one of them looks at what stands in the header section, which costs reading each message.
    pub reads_header: bool,
}

impl std::fmt::Debug for Picks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Picks")
    }
}

/// Which messages to list; an empty filter lists all.
#[derive(Clone, Debug, Default)]
pub struct QueueFilter {
    /// What else they have to be.
    pub picks: Picks,
    /// So many of them are passed over first.
    pub offset: usize,
    /// Part of the next hop's name, any case.
    pub next_hop: Option<String>,
    /// Part of the reverse-path, any case.
    pub sender: Option<String>,
    /// Part of a recipient's address, any case.
    pub recipient: Option<String>,
    /// At most so many messages are listed; `total` counts on.
    pub limit: usize,
}

/// Messages that match a filter, oldest first.
#[derive(Clone, Debug)]
pub struct QueueListing {
    /// How many match.
    pub total: u64,
    /// The first of them.
    pub messages: Vec<QueuedMessage>,
}

/// One message that is not at its end yet.
#[derive(Clone, Debug)]
pub struct QueuedMessage {
    /// What it is doing.
    pub status: MessageStatus,
    /// How urgent it is.
    pub priority: Priority,
    /// When it expires, Unix time in milliseconds.
    pub expires_ms: u64,
    /// Identities of the queues that it waits in.
    pub queues: Vec<Arc<str>>,
    /// Whether it is held back because it brings the server down, and how often it did.
    pub poison: bool,
    /// See `poison`.
    pub crashes: u32,
    /// The send connector that an administrator chose.
    pub redirect: Option<String>,
    /// Of the header, where that was read.
    pub subject: Option<String>,
    /// Value of Message-ID, where that was read.
    pub internet_message_id: Option<String>,
    /// Queue id.
    pub id: MessageId,
    /// Unix time in milliseconds of its arrival.
    pub arrival_ms: u64,
    /// Bytes of the content with our trace fields.
    pub size_bytes: u64,
    /// With angle brackets; `<>` for reports.
    pub reverse_path: String,
    /// Receive connector that it came by; empty for reports.
    pub connector: String,
    /// Who sent it.
    pub peer: Option<SocketAddr>,
    /// Principal under which it was accepted.
    pub principal: String,
    /// Its recipients, ended ones included, in the order of their RCPT commands.
    pub recipients: Vec<QueuedRecipient>,
}

/// One recipient of a queued message.
#[derive(Clone, Debug)]
pub struct QueuedRecipient {
    /// The address.
    pub address: String,
    /// Where it stands.
    pub state: gatepost_spool::State,
    /// The queue that it waits in, if it waits.
    pub next_hop: Option<String>,
    /// Why that queue has no connection, if it has none for a reason.
    pub next_hop_error: Option<String>,
    /// Attempts on this recipient so far, and connections for it that could not be opened since the server started.
    pub attempts: u32,
    /// The last answer that it got.
    pub last_reply: Option<String>,
    /// When it is tried next, Unix time in milliseconds; `None` when it is due now, in flight or ended.
    pub next_attempt_ms: Option<u64>,
}

/// One message with its header section.
#[derive(Clone, Debug)]
pub struct MessageDetail {
    /// As in the listing.
    pub message: QueuedMessage,
    /// The header section, at most 64 KiB of it, lossily as text.
    pub header: String,
}
