//! What the management API shows and takes, as JSON: its own types, apart from those of the running server, so that a
//! change inside does not change what scripts read.
//!
//! Takes snapshots of the running server, hands on values that serialize. Times are Unix milliseconds (`*_ms`), sizes
//! are bytes (`*_bytes`). Later versions may add fields; readers ignore what they do not know. Never decides anything.

use std::net::{IpAddr, SocketAddr};

use gatepost_policy::address_set::AddressSet;
use gatepost_policy::audit::{Change, Whom};
use gatepost_policy::back_pressure::{Level, Measured, consequence};
use gatepost_policy::permission::Rights;
use gatepost_policy::settings::Problem;
use gatepost_spool::State;
use gatepost_transport::listing;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the running program.
    pub version: String,
    /// `[server] name`.
    pub server_name: String,
    /// The settings file that the server was started with.
    pub config: String,
    /// The server's data folder.
    pub data_dir: String,
    /// Process id.
    pub process_id: u32,
    /// When it started.
    pub started_ms: u64,
    /// The server's clock now.
    pub now_ms: u64,
    /// Number of the settings revision in force.
    pub revision: u64,
    /// Since when it is in force.
    pub revision_since_ms: u64,
    /// Whether messages of a former run are still being put into their queues.
    pub recovering: bool,
    /// Connectors whose certificate is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls_faults: Vec<TlsFault>,
    /// Sockets that accept SMTP.
    pub listeners: Vec<Listener>,
    /// Open connections.
    pub connections: Connections,
    /// Counts since start.
    pub counters: Counters,
    /// Every delivery queue that exists.
    pub queues: Vec<Queue>,
    /// What the spool holds.
    pub spool: SpoolUsage,
    /// What is recorded of decisions.
    pub tracking: Tracking,
    /// What the server can run short of.
    #[serde(default)]
    pub back_pressure: Vec<PressedResource>,
}

/// One resource that the server can run short of, as it was measured last (fact sheet section 5.3).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PressedResource {
    /// Its name: `UsedDiskSpace[spool]`.
    pub resource: String,
    /// How hard it is pressed.
    pub level: PressureLevel,
    /// What the level means for mail, in half a sentence.
    pub consequence: String,
    /// `percent` or `messages`: the unit of what was measured and of the thresholds.
    pub unit: String,
    /// What was measured; none: it is exhausted, see `exhausted`.
    pub measured: Option<f64>,
    /// Why nothing can be had of it, whatever its size: `read-only`, `full`.
    pub exhausted: Option<String>,
    /// Bytes, files or messages that are used.
    pub used: u64,
    /// How many there are in all; 0: there is no end.
    pub total: u64,
    /// Where its level changes; none: it is measured only.
    pub thresholds: Option<PressureThresholds>,
}

/// Where the level of a resource changes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PressureThresholds {
    /// Above it, Normal becomes Medium.
    pub low_to_medium: f64,
    /// Above it, everything becomes High.
    pub medium_to_high: f64,
    /// Below it, High becomes Medium.
    pub high_to_medium: f64,
    /// Below it, everything becomes Normal.
    pub medium_to_low: f64,
}

/// How hard a resource is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PressureLevel {
    /// There is room.
    Normal,
    /// Mail of strangers is refused or slowed down.
    Medium,
    /// All mail is refused.
    High,
}

/// A connector whose `tls_certificate_name` names no certificate that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFault {
    /// The receive or send connector.
    pub connector: String,
    /// What it names.
    pub certificate: String,
    /// What comes of it.
    pub consequence: String,
}

/// What is recorded of decisions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Tracking {
    /// Accepted messages.
    pub messages: RecordRoom,
    /// Refused commands and abandoned transactions.
    pub refusals: RecordRoom,
    /// Refusals since start that were counted and not recorded one by one.
    pub counted: u64,
}

/// One room of records.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RecordRoom {
    /// Bytes on the disk.
    pub bytes: u64,
    /// The most that it may hold.
    pub max_bytes: u64,
    /// How far back records go; none: there are none.
    pub oldest_ms: Option<u64>,
    /// Records written since start.
    pub written: u64,
    /// Records left out since start, because the disk was full or could not keep up.
    pub dropped: u64,
    /// Damaged records that searches have met.
    pub damaged: u64,
}

/// One listening socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether TLS starts with the first byte.
    pub implicit_tls: bool,
}

/// Open connections.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Connections {
    /// From peers.
    pub inbound: u64,
    /// To next hops.
    pub outbound: u64,
}

/// Counts since start.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused: limits, or no connector for the peer.
    pub connections_refused: u64,
    /// Messages accepted.
    pub messages_accepted: u64,
    /// Commands or contents refused by a decision.
    pub refusals: u64,
    /// Questions about a recipient that a next hop was asked.
    pub recipients_asked: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Attempts that ended with "try again later".
    pub deferred: u64,
    /// Recipients given up.
    pub failed: u64,
    /// Reports made.
    pub reports: u64,
}

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

/// What the spool holds and has done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SpoolUsage {
    /// Messages that are not at their end, as far as it is known: see `unread_bytes`.
    pub messages: u64,
    /// Bytes of these messages.
    pub live_bytes: u64,
    /// Bytes on the disk.
    pub disk_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Messages made durable since start.
    pub commits: u64,
    /// Flushes since start.
    pub flushes: u64,
    /// Writes and flushes that failed since start.
    pub failures: u64,
    /// Damaged records set aside, for a person to look at.
    pub set_aside: u64,
    /// Bytes of the last runs' log that are still to be read; its messages are not among `messages` yet.
    pub unread_bytes: u64,
    /// Messages found there that are still to be queued.
    pub unreleased: u64,
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

/// `POST /api/v1/reload`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// The file that was read.
    pub config: String,
    /// The revision now in force.
    pub revision: u64,
    /// Listeners opened.
    pub opened: Vec<SocketAddr>,
    /// Listeners closed.
    pub closed: Vec<SocketAddr>,
    /// What is legal but probably not meant.
    pub warnings: Vec<SettingsProblem>,
    /// Which addresses gain or lose which right, compared with what was in force; the first [`CHANGES_MAX`].
    #[serde(default)]
    pub changes: Vec<ExposureChange>,
    /// How many changes there are in all.
    #[serde(default)]
    pub changes_total: u64,
}

/// How many changes of exposure one answer holds at most.
pub const CHANGES_MAX: usize = 1000;

/// Some addresses that gain or lose rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposureChange {
    /// `unauthenticated`, `user` or `other_users`.
    pub whom: String,
    /// Which user.
    pub user: Option<String>,
    /// Rights that are new, by Exchange's names.
    pub gained: Vec<String>,
    /// Rights that are gone.
    pub lost: Vec<String>,
    /// Where.
    pub listeners: Vec<SocketAddr>,
    /// From where.
    pub sources: Vec<AddressRange>,
    /// From when on, where that is not now, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
    /// Until when, where that is not for good, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// Addresses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRange {
    /// The lowest.
    pub first: IpAddr,
    /// The highest.
    pub last: IpAddr,
}

impl AddressRange {
    /// The ranges of a set.
    pub fn list(sources: &AddressSet) -> Vec<AddressRange> {
        sources.ranges().map(|(first, last)| AddressRange { first, last }).collect()
    }
}

impl From<&Change> for ExposureChange {
    fn from(change: &Change) -> ExposureChange {
        let names = |rights: Rights| rights.iter().map(|right| right.exchange_name().to_owned()).collect();
        let (whom, user) = match &change.whom {
            Whom::Unauthenticated => ("unauthenticated", None),
            Whom::User(name) => ("user", Some(name.to_string())),
            Whom::OtherUsers => ("other_users", None),
            Whom::Server(name) => ("server", Some(name.to_string())),
            Whom::Partner(domain) => ("partner", Some(domain.to_string())),
        };
        ExposureChange {
            whom: whom.to_owned(),
            user,
            gained: names(change.gained),
            lost: names(change.lost),
            listeners: change.listeners.clone(),
            sources: AddressRange::list(&change.sources),
            from_ms: change.from_ms,
            until_ms: change.until_ms,
        }
    }
}

/// One mistake in the settings file, or one warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsProblem {
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
    /// The other place that is part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<RelatedPlace>,
}

/// The other place of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelatedPlace {
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
    /// What it has to do with the problem.
    pub message: String,
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// What went wrong, a sentence for a person.
    pub error: String,
    /// The mistakes of the settings file, where that is the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<SettingsProblem>,
    /// The same mistakes drawn as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<String>,
}

impl Refused {
    /// A refusal of one sentence.
    pub fn new(error: impl Into<String>) -> Refused {
        Refused { error: error.into(), problems: Vec::new(), rendered: None }
    }
}

impl From<&Problem> for SettingsProblem {
    fn from(problem: &Problem) -> Self {
        SettingsProblem {
            line: problem.line,
            column: problem.column,
            message: problem.message.clone(),
            remedy: problem.remedy.clone(),
            related: problem.related.as_ref().map(|related| RelatedPlace {
                line: related.line,
                column: related.column,
                message: related.message.clone(),
            }),
        }
    }
}

impl From<listing::Counters> for Counters {
    fn from(counters: listing::Counters) -> Self {
        Counters {
            connections: counters.connections,
            connections_refused: counters.connections_refused,
            messages_accepted: counters.messages_accepted,
            refusals: counters.refusals,
            recipients_asked: counters.recipients_asked,
            delivered: counters.delivered,
            deferred: counters.deferred,
            failed: counters.failed,
            reports: counters.reports,
        }
    }
}

impl From<gatepost_tracking::Usage> for Tracking {
    fn from(usage: gatepost_tracking::Usage) -> Self {
        Tracking { messages: usage.messages.into(), refusals: usage.refusals.into(), counted: usage.counted }
    }
}

impl From<gatepost_tracking::RoomUsage> for RecordRoom {
    fn from(room: gatepost_tracking::RoomUsage) -> Self {
        RecordRoom {
            bytes: room.bytes,
            max_bytes: room.bytes_max,
            oldest_ms: room.oldest_ms,
            written: room.written,
            dropped: room.dropped,
            damaged: room.damaged,
        }
    }
}

impl From<listing::Metered> for PressedResource {
    fn from(metered: listing::Metered) -> Self {
        let listing::Metered { reading, pressure, thresholds } = metered;
        let is_share = reading.resource.is_share();
        // Shares are measured in hundredths of a percent.
        let shown = |value: u64| if is_share { value as f64 / 100.0 } else { value as f64 };
        let (measured, exhausted) = match reading.measured {
            Measured::Amount(amount) => (Some(shown(amount)), None),
            Measured::Exhausted(why) => (None, Some(why.to_owned())),
        };
        PressedResource {
            resource: reading.resource.name().to_owned(),
            level: match pressure.level {
                Level::Normal => PressureLevel::Normal,
                Level::Medium => PressureLevel::Medium,
                Level::High => PressureLevel::High,
            },
            consequence: consequence(reading.resource, pressure.level).to_owned(),
            unit: if is_share { "percent" } else { "messages" }.to_owned(),
            measured,
            exhausted,
            used: reading.amount.used,
            total: reading.amount.total,
            thresholds: thresholds.map(|thresholds| PressureThresholds {
                low_to_medium: shown(thresholds.low_to_medium),
                medium_to_high: shown(thresholds.medium_to_high),
                high_to_medium: shown(thresholds.high_to_medium),
                medium_to_low: shown(thresholds.medium_to_low),
            }),
        }
    }
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

impl From<gatepost_spool::Usage> for SpoolUsage {
    fn from(usage: gatepost_spool::Usage) -> Self {
        SpoolUsage {
            messages: usage.messages,
            live_bytes: usage.live_bytes,
            disk_bytes: usage.disk_bytes,
            segments: usage.segments,
            commits: usage.commits,
            flushes: usage.flushes,
            failures: usage.failures,
            set_aside: usage.set_aside,
            unread_bytes: usage.unread_bytes,
            unreleased: usage.unreleased,
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
