//! What an administrator sees of the running server: plain values, for every door alike.

use std::net::SocketAddr;

use gatepost_mail::MessageId;
use gatepost_policy::alarm::Alarm;

pub use crate::back_pressure::{Amount, Metered, Reading};
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
    /// Attempts on a recipient that ended with "try again later".
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
}

/// One delivery queue.
#[derive(Clone, Debug)]
pub struct QueueStatus {
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

/// Which messages to list; an empty filter lists all.
#[derive(Clone, Debug, Default)]
pub struct QueueFilter {
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
    /// Attempts on this recipient so far; attempts to reach its next hop are counted by the queue.
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

/// What to try again now.
#[derive(Clone, Debug)]
pub enum Which {
    /// Everything that waits.
    All,
    /// One message.
    Message(MessageId),
    /// Every queue whose next hop has this text in its name, any case.
    NextHop(String),
}

/// Why a message could not be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// No such message in the queue.
    #[error("there is no message {0} in the queue")]
    Unknown(MessageId),
    /// An attempt is being made; the answer would come too late.
    #[error("message {0} is being delivered right now: try again in a moment")]
    InFlight(MessageId),
    /// The report could not be written.
    #[error("the report for message {0} could not be written: {1}")]
    Report(MessageId, String),
}
