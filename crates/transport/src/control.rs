//! A handle on the running server: what the administrator's doors may ask of it.
//!
//! Takes questions from `manage`, hands on the values of [`crate::listing`]; the only way into the moving parts from
//! outside. Never formats for a person: that is the door's work.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use gatepost_mail::MessageId;
use gatepost_policy::Settings;
use gatepost_tracking::passport::conceal::Key;
use gatepost_tracking::passport::event::Record;
use gatepost_tracking::trace::{self, Cursor, Erased, Page, Query, Search};
use gatepost_tracking::{Decision, DecisionId, RevisionId, Usage};
use tokio::sync::{Mutex, broadcast};
use tokio_rustls::TlsAcceptor;

use crate::administer;
use crate::blocking;
use crate::counters::read;
use crate::export;
use crate::inspect;
use crate::listen::Listeners;
use crate::listing::{
    Changed, ExportError, Health, MessageDetail, NotSafe, QueueFilter, QueueListing, QueueStatus, Status, Which, Wish,
};
use crate::live_transcript::{Listening, Wanted};
use crate::metrics::{self, Family};
use crate::raised::Change;
use crate::reload::{self, Applied, ApplyError, Fresh};
use crate::state::{Running, count};
use crate::tls::OwnCertificateStatus;

/// Who came to a receive connector since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visits {
    /// How many connections.
    pub connections: u64,
    /// When the last of them came, in Unix milliseconds.
    pub last_ms: u64,
}

/// A handle on the running server; cheap to clone.
#[derive(Clone)]
pub struct Control {
    pub(crate) running: Arc<Running>,
    pub(crate) listeners: Arc<Mutex<Listeners>>,
}

impl Control {
    /// How the server is doing.
    pub fn status(&self) -> Status {
        inspect::status(&self.running)
    }

    /// Whether it lives, and whether it takes mail.
    pub fn health(&self) -> Health {
        inspect::health(&self.running)
    }

    /// How many connections came to a receive connector since the start, and when the last of them came. None where none came,
    /// or where there are too many connectors for numbers of their own.
    pub fn visits(&self, connector: &str) -> Option<Visits> {
        let counted = self.running.counters.receive.find(connector)?;
        let last_ms = read(&counted.last_connection_ms);
        (last_ms > 0).then(|| Visits { connections: read(&counted.connections), last_ms })
    }

    /// Hears of everything that is recorded from now on, unless recording is switched off. What waits beyond `most` is left
    /// out. One listener at a time: the last one who asked.
    pub fn tap_passports(&self, most: usize) -> Receiver<Record> {
        self.running.tracking.passports.tap(most)
    }

    /// Hears of every alarm that is raised or cleared from now on.
    pub fn alarm_changes(&self) -> broadcast::Receiver<Change> {
        self.running.alarms.changes()
    }

    /// Hears what is said on connections that begin from now on and match, whether a file has it or not. `None`: as many listen
    /// as may.
    pub fn listen_to_transcripts(&self, wanted: Wanted) -> Option<Listening> {
        self.running.transcripts.live().listen(wanted)
    }

    /// Counts settings that could not be put in force, and remembers why until others are.
    pub fn reload_failed(&self, reason: &str) {
        count(&self.running.counters.reload_failures);
        self.running.alarms.reload_failed(reason);
    }

    /// Every number there is, for monitoring. Looks into queues and files in a task of its own.
    pub async fn metrics(&self) -> Vec<Family> {
        let running = self.running.clone();
        blocking::run(move || metrics::gather(&running)).await.unwrap_or_default()
    }

    /// Whether messages of the last run are still being read: a listing may lack them.
    pub fn is_recovering(&self) -> bool {
        self.running.recovering.load(Ordering::Relaxed)
    }

    /// Messages that match `filter`, oldest first. Reads envelopes from the disk: not for a hot path.
    pub async fn queue(&self, filter: QueueFilter) -> QueueListing {
        inspect::queue(&self.running, filter).await
    }

    /// One message, or `None` if it is not in the queue.
    pub async fn message(&self, id: MessageId) -> Option<MessageDetail> {
        inspect::message(&self.running, id).await
    }

    /// Makes waiting recipients due now; says how many entries that were. `who` asked for it, as `uid 0`.
    pub async fn retry(&self, which: Which, who: &str) -> usize {
        administer::retry(&self.running, which, who.into()).await
    }

    /// Every delivery queue, those included where nothing is going on.
    pub fn queues(&self) -> Vec<QueueStatus> {
        inspect::queues(&self.running)
    }

    /// Suspends, resumes, redirects or removes messages, as `who` wants, as `uid 0`. Comes back when that survives a power
    /// cut.
    ///
    /// # Errors
    /// [`NotSafe`]: it is in effect, and may not survive.
    pub async fn change(&self, ids: Vec<MessageId>, wish: Wish, who: &str) -> Result<Changed, NotSafe> {
        administer::change(&self.running, ids, wish, who.into()).await
    }

    /// Suspends queues, or lets them go on, by their names ([`QueueStatus::name`]); says how many that changes. It survives
    /// restarts.
    ///
    /// # Errors
    /// When the disk cannot keep it; nothing has changed then.
    pub async fn suspend_queues(&self, names: Vec<String>, suspend: bool) -> io::Result<u64> {
        administer::suspend_queues(&self.running, names, suspend).await
    }

    /// The names of suspended queues, whether they are there or not.
    pub fn suspended_queues(&self) -> Vec<String> {
        self.running.queues.suspended()
    }

    /// Routes everything anew that waits in queues of these names; says how many entries.
    pub async fn resubmit(&self, names: HashSet<String>) -> u64 {
        administer::resubmit(&self.running, names).await
    }

    /// A message as a file that any server takes for a message of its own (fact sheet section 8.4), for `who`, as `uid 0`.
    ///
    /// # Errors
    /// [`ExportError`]: unknown, not suspended, or the disk fails.
    pub async fn export(&self, id: MessageId, who: &str) -> Result<Vec<u8>, ExportError> {
        export::export(&self.running, id, who.into()).await
    }

    /// The record of a decision, or `None` if there is none any more. Reads files in a task of its own.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn decision(&self, id: DecisionId) -> io::Result<Option<Decision>> {
        let running = self.running.clone();
        blocking::run(move || running.tracking.find(id)).await.map_err(io::Error::other)?
    }

    /// Looks for what happened, for about as long as `patience`. Reads files in a task of its own.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn trace(
        &self,
        query: impl FnOnce(&Key) -> Query + Send + 'static,
        from: Option<Cursor>,
        limit: usize,
        patience: Duration,
    ) -> io::Result<Page> {
        let running = self.running.clone();
        let search = move || {
            let query = query(running.tracking.passports.store().key());
            Search::of(&running.tracking).find(&query, from, limit, patience)
        };
        blocking::run(search).await.map_err(io::Error::other)?
    }

    /// Since when passports are kept, Unix time in milliseconds.
    pub fn oldest_passport_ms(&self) -> Option<u64> {
        self.running.tracking.passports.store().usage().oldest_ms
    }

    /// Takes an address out of everything that is recorded. Rewrites files in a task of its own.
    ///
    /// # Errors
    /// What the disk says; asking again does the rest.
    pub async fn erase(&self, address: String) -> io::Result<Erased> {
        let running = self.running.clone();
        blocking::run(move || trace::erase(&running.tracking, &address)).await.map_err(io::Error::other)?
    }

    /// What the records of decisions take, and since when there are some.
    pub fn tracking(&self) -> Usage {
        self.running.tracking.usage()
    }

    /// The folder that holds everything.
    pub fn data_dir(&self) -> PathBuf {
        self.running.revision().settings.server.data_dir.clone()
    }

    /// The document that the settings in force are from.
    pub fn document(&self) -> RevisionId {
        self.running.revision().document
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.running.revision().settings.clone()
    }

    /// The server's side of TLS for administrators who come from other machines, as of now; `None` where there is none.
    pub fn management_tls(&self) -> Option<TlsAcceptor> {
        self.running.revision().tls.management().cloned()
    }

    /// This server's certificates, as of now.
    pub fn certificates(&self) -> Vec<OwnCertificateStatus> {
        self.running.revision().tls.own().to_vec()
    }

    /// Puts new settings in force, whole or not at all; `who` asked for it, as `uid 0`. Open connections keep the revision that they started with.
    ///
    /// # Errors
    /// [`ApplyError`]; the old revision stays in force then.
    pub async fn apply(&self, fresh: Fresh, who: &str) -> Result<Applied, ApplyError> {
        reload::apply(&self.running, &self.listeners, fresh, who).await
    }
}
