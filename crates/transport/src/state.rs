//! What all tasks of one running server share: the revision in force, the spool, the queues, the counters.
//!
//! Holds, and hands out; does nothing by itself. A connection takes the [`Revision`] in force when it begins and keeps
//! it to its end (invariant I7).

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use gatepost_policy::Settings;
use gatepost_spool::Spool;
use gatepost_spool::disk::Disk;
use gatepost_tracking::passport::Keeping;
use gatepost_tracking::{Limits, RevisionId, Tracking};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::authenticate::{Authenticator, Credentials};
use crate::back_pressure::BackPressure;
use crate::connections::Connections;
use crate::counters::Counting;
pub use crate::counters::{count, read};
use crate::day::Days;
use crate::dns::Dns;
use crate::duties::Duties;
use crate::hosts::Hosts;
use crate::logon_faults::LogonFaults;
use crate::message_rates::MessageRates;
use crate::passwords::Passwords;
use crate::queue::{Limits as QueueLimits, Queues};
use crate::quotas::Quotas;
use crate::raised::Alarms;
use crate::recording::Recording;
use crate::removals::Removals;
use crate::send_limits::SendLimits;
use crate::suspects::Suspects;
use crate::tls::Tls;
use crate::transcript::Transcripts;
use crate::verdicts::Verdicts;

/// One state of the settings and everything made from it. Replaced as a whole, never changed.
pub struct Revision {
    /// 1 at start, one more with each change of anything, also of certificates and passwords alone.
    pub generation: u64,
    /// The number by which administrators know the document: its place in their history.
    pub number: u64,
    /// Unix time in milliseconds since which it is in force.
    pub since_ms: u64,
    /// The generation since which every recipient goes the way that it goes now.
    pub routes_since: u64,
    /// The document that the settings are from.
    pub document: RevisionId,
    /// The settings.
    pub settings: Arc<Settings>,
    /// Password hashes.
    pub credentials: Credentials,
    /// Our certificates, and what is asked of peers.
    pub tls: Tls,
    /// How send connectors log on.
    pub passwords: Passwords,
    /// The resolver that the settings ask for.
    pub dns: Arc<Dns>,
}

impl Revision {
    /// Puts the parts together.
    pub fn new(
        generation: u64,
        since_ms: u64,
        settings: Arc<Settings>,
        credentials: Credentials,
        tls: Tls,
    ) -> Revision {
        let document = RevisionId::default();
        let dns = Arc::new(Dns::new(&settings));
        Revision {
            generation,
            number: generation,
            since_ms,
            routes_since: generation,
            document,
            settings,
            credentials,
            tls,
            passwords: Passwords::default(),
            dns,
        }
    }
}

/// The running server.
pub struct Running {
    /// Version of the program.
    pub version: &'static str,
    /// Unix time in milliseconds of its start.
    pub started_ms: u64,
    /// The revision in force.
    revision: ArcSwap<Revision>,
    /// Messages on disk.
    pub spool: Spool,
    /// Where mailboxes lie.
    pub disk: Arc<dyn Disk>,
    /// What waits for which next hop.
    pub queues: Queues,
    /// Who may bring the server down.
    pub suspects: Arc<Suspects>,
    /// What is to be removed when its attempt fails.
    pub removals: Removals,
    /// Open connections of peers.
    pub connections: Arc<Connections>,
    /// How hard resources are pressed.
    pub back_pressure: BackPressure,
    /// At most so many, whatever the connectors allow.
    pub connections_max: u32,
    /// What send connectors with limits are doing.
    pub send_limits: Arc<SendLimits>,
    /// Send connectors that their smart hosts do not let in.
    pub logon_faults: LogonFaults,
    /// What users and addresses have submitted lately.
    pub message_rates: MessageRates,
    /// What is remembered of hosts that we tried.
    pub hosts: Hosts,
    /// What next hops say of recipients.
    pub verdicts: Arc<Verdicts>,
    /// What sources have submitted within the hour under entries with a quota.
    pub quotas: Quotas,
    /// Password checks.
    pub authenticator: Authenticator,
    /// The client's side of TLS, for send connectors that show no certificate.
    pub client_tls: TlsConnector,
    /// Protocol transcripts.
    pub transcripts: Transcripts,
    /// Records of decisions.
    pub tracking: Tracking,
    /// What has been told to whom, and what still has to be.
    pub duties: Duties,
    /// Messages that are in the spool's log, and not noted yet.
    pub recording: Arc<Recording>,
    /// Counters.
    pub counters: Counting,
    /// What they counted within a day.
    pub days: Days,
    /// What somebody has to be told.
    pub alarms: Alarms,
    /// Whether messages of a former run are still being put into their queues.
    pub recovering: AtomicBool,
    /// Becomes true when the server is to stop. Whoever holds a receiver is waited for.
    pub stop: watch::Sender<bool>,
    /// Where it listens now, and whether TLS starts at once there.
    pub listening: Mutex<Vec<(SocketAddr, bool)>>,
}

/// What [`Running::new`] is made of.
pub struct Parts {
    /// Version of the program.
    pub version: &'static str,
    /// Unix time in milliseconds of the start.
    pub started_ms: u64,
    /// At most so many connections of peers.
    pub connections_max: u32,
    /// The first revision.
    pub revision: Revision,
    /// The open spool.
    pub spool: Spool,
    /// Where mailboxes lie.
    pub disk: Arc<dyn Disk>,
    /// The queues, empty.
    pub queues: Queues,
    /// Who may bring the server down.
    pub suspects: Suspects,
    /// Hourly quotas.
    pub quotas: Quotas,
    /// Password checks.
    pub authenticator: Authenticator,
    /// Protocol transcripts.
    pub transcripts: Transcripts,
    /// Records of decisions.
    pub tracking: Tracking,
}

/// How much is recorded under these settings.
pub fn tracking_limits(settings: &Settings) -> Limits {
    let tracking = &settings.tracking;
    let age_ms = tracking.message_tracking_log_max_age.as_millis() as u64;
    Limits {
        messages_bytes_max: tracking.messages_max_size,
        refusals_bytes_max: tracking.refusals_max_size,
        refusals_per_source_per_minute: tracking.refusals_per_source_per_minute,
        passports: Keeping {
            is_enabled: tracking.message_tracking_log_enabled,
            bytes_max: tracking.message_tracking_log_max_directory_size,
            age_max_ms: (age_ms > 0).then_some(age_ms),
            subjects: tracking.message_tracking_log_subject_logging_enabled,
            addresses: tracking.message_tracking_log_address_logging_enabled,
        },
    }
}

/// What one queue may do under these settings.
pub fn queue_limits(settings: &Settings) -> QueueLimits {
    let priorities = &settings.transport.queues.priorities;
    QueueLimits {
        connections_max: settings.transport.max_per_domain_outbound_connections.unwrap_or(u32::MAX),
        by_priority: priorities.priority_queuing_enabled.then_some(priorities.max_per_domain_connections),
        idle_max_ms: u64::try_from(settings.transport.queues.queue_max_idle_time.as_millis()).unwrap_or(u64::MAX),
    }
}

impl Running {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Running {
        Running {
            version: parts.version,
            started_ms: parts.started_ms,
            revision: ArcSwap::from_pointee(parts.revision),
            spool: parts.spool,
            disk: parts.disk,
            queues: parts.queues,
            suspects: Arc::new(parts.suspects),
            removals: Removals::default(),
            connections: Arc::default(),
            back_pressure: BackPressure::default(),
            connections_max: parts.connections_max,
            send_limits: Arc::default(),
            logon_faults: LogonFaults::default(),
            message_rates: MessageRates::default(),
            hosts: Hosts::default(),
            verdicts: Arc::default(),
            quotas: parts.quotas,
            authenticator: parts.authenticator,
            client_tls: TlsConnector::from(crate::tls::client_config()),
            transcripts: parts.transcripts,
            tracking: parts.tracking,
            duties: Duties::default(),
            recording: Arc::new(Recording::new(parts.started_ms)),
            counters: Counting::default(),
            days: Days::new(parts.started_ms),
            alarms: Alarms::default(),
            recovering: AtomicBool::new(true),
            stop: watch::Sender::new(false),
            listening: Mutex::default(),
        }
    }

    /// The revision in force.
    pub fn revision(&self) -> Arc<Revision> {
        self.revision.load_full()
    }

    /// Puts another revision in force.
    pub fn replace_revision(&self, revision: Revision) {
        self.revision.store(Arc::new(revision));
    }

    /// Waits until the server is to stop.
    pub async fn stopped(&self) {
        // The sender lives as long as we do, so an error cannot come.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Whether the server is to stop.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Where it listens, and whether TLS starts at once there.
    pub fn listening(&self) -> Vec<(SocketAddr, bool)> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
