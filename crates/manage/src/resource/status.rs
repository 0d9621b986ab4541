//! How the running server is doing: `GET /api/v1/status`.

use std::net::SocketAddr;

use gatepost_policy::alarm;
use gatepost_policy::back_pressure::{Level, Measured, consequence};
use gatepost_transport::{day, listing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::queue::Queue;

/// `GET /api/v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
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
    /// Send connectors that their smart hosts do not let in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logon_faults: Vec<LogonFault>,
    /// Sockets that accept SMTP.
    pub listeners: Vec<Listener>,
    /// Open connections.
    pub connections: Connections,
    /// Counts since start.
    pub counters: Counters,
    /// The traffic of the last 24 hours.
    #[serde(default)]
    pub day: Day,
    /// Every delivery queue that exists.
    pub queues: Vec<Queue>,
    /// What the spool holds.
    pub spool: SpoolUsage,
    /// What is recorded of decisions.
    pub tracking: Tracking,
    /// What the server can run short of.
    #[serde(default)]
    pub back_pressure: Vec<PressedResource>,
    /// What somebody has to be told, the worst first.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// Why it takes no mail now; none: it is ready.
    #[serde(default)]
    pub obstacles: Vec<String>,
}

/// Something that somebody has to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// Its name: `route_silent`.
    pub name: String,
    /// Which connector, file or resource; empty where there is only one.
    pub object: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// Since when it is raised.
    pub since_ms: u64,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

impl From<&alarm::Alarm> for Alarm {
    fn from(alarm: &alarm::Alarm) -> Alarm {
        Alarm {
            name: alarm.kind.name().to_owned(),
            object: alarm.object.to_string(),
            severity: alarm.severity.name().to_owned(),
            since_ms: alarm.since_ms,
            text: alarm.text.to_string(),
            remedy: alarm.remedy.to_string(),
        }
    }
}

/// One resource that the server can run short of, as it was measured last (fact sheet section 5.3).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TlsFault {
    /// The receive or send connector.
    pub connector: String,
    /// What it names.
    pub certificate: String,
    /// What comes of it.
    pub consequence: String,
}

/// A send connector that its smart hosts do not let in, since the last logon that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogonFault {
    /// The send connector.
    pub connector: String,
    /// The smart host, as it was dialled last.
    pub host: String,
    /// What it said last, or what is wrong in our words.
    pub reply: String,
    /// Since when, Unix time in milliseconds.
    pub since_ms: u64,
    /// How often since then.
    pub attempts: u64,
}

/// What is recorded of decisions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tracking {
    /// Accepted messages.
    pub messages: RecordRoom,
    /// Refused commands and abandoned transactions.
    pub refusals: RecordRoom,
    /// Passports of messages, and what happened beside them.
    pub passports: RecordRoom,
    /// Refusals since start that were counted and not recorded one by one.
    pub counted: u64,
}

/// One room of records.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether TLS starts with the first byte.
    pub implicit_tls: bool,
}

/// Open connections.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Connections {
    /// From peers.
    pub inbound: u64,
    /// To next hops.
    pub outbound: u64,
}

/// Counts since start.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
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

/// The traffic of the last 24 hours.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Day {
    /// Since when it is counted: a day ago, or since the start, if that was later.
    pub since_ms: u64,
    /// Hour by hour, the oldest first; hours without traffic may be missing.
    pub hours: Vec<Hour>,
}

/// The traffic of one hour.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Hour {
    /// When it begins.
    pub begins_ms: u64,
    /// Messages accepted.
    pub accepted: u64,
    /// Commands or contents refused by a decision.
    pub refused: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Attempts that ended with "try again later".
    pub deferred: u64,
    /// Recipients given up.
    pub failed: u64,
}

impl From<day::Day> for Day {
    fn from(day: day::Day) -> Self {
        let hours = day.hours.into_iter().map(|hour| Hour {
            begins_ms: hour.begins_ms,
            accepted: hour.traffic.accepted,
            refused: hour.traffic.refused,
            delivered: hour.traffic.delivered,
            deferred: hour.traffic.deferred,
            failed: hour.traffic.failed,
        });
        Day { since_ms: day.since_ms, hours: hours.collect() }
    }
}

/// What the spool holds and has done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
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
        Tracking {
            messages: usage.messages.into(),
            refusals: usage.refusals.into(),
            passports: usage.passports.into(),
            counted: usage.counted,
        }
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
