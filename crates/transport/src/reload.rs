//! Puts new settings in force while the server runs: whole or not at all (invariant I7).
//!
//! Takes checked settings, opens what they need first and swaps then; connections that are open keep the revision that
//! they started with. What waits in the queues is routed anew where the routes changed.

use std::net::SocketAddr;
use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_policy::route;
use gatepost_tracking::RevisionId;
use gatepost_tracking::passport::event::{self, Event};
use tokio::sync::Mutex;

use crate::authenticate::Credentials;
use crate::blocking;
use crate::categorize;
use crate::clock::now_ms;
use crate::deliver;
use crate::listen::{self, ListenError, Listeners};
use crate::passwords::Passwords;
use crate::queue::Rerouted;
use crate::source_addresses;
use crate::state::{Revision, Running, queue_limits, tracking_limits};
use crate::tls::Tls;
use crate::transcript;

/// What a reload changed.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The revision now in force.
    pub revision: u64,
    /// Listeners opened.
    pub opened: Vec<SocketAddr>,
    /// Listeners closed.
    pub closed: Vec<SocketAddr>,
}

/// New settings and where they are from.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The checked settings.
    pub settings: Arc<Settings>,
    /// The document that they are from.
    pub document: RevisionId,
    /// The number by which administrators know it.
    pub number: u64,
    /// Password hashes from data_dir/credentials.
    pub credentials: Credentials,
}

/// Why new settings could not be put in force; the old ones stay, whole.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A listener could not be opened.
    #[error("cannot listen on {address}: {source}{}", listen::hint(*address, source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// A password by which a send connector logs on cannot be read.
    #[error(transparent)]
    Password(#[from] crate::passwords::PasswordError),
    /// The data folder cannot change while the server runs.
    #[error("data_dir cannot change while the server runs: restart it")]
    DataDir,
}

impl From<ListenError> for ApplyError {
    fn from(ListenError { address, source }: ListenError) -> Self {
        ApplyError::Listen { address, source }
    }
}

/// Puts new settings in force, whole or not at all. `who` asked for it, as `uid 0`.
///
/// # Errors
/// [`ApplyError`]; the old revision stays in force then.
pub async fn apply(
    running: &Arc<Running>,
    listeners: &Mutex<Listeners>,
    fresh: Fresh,
    who: &str,
) -> Result<Applied, ApplyError> {
    // One change at a time; the lock is held to the end.
    let mut listeners = listeners.lock().await;
    let Fresh { settings, document, number, credentials } = fresh;
    let old = running.revision();
    if settings.server.data_dir != old.settings.server.data_dir {
        return Err(ApplyError::DataDir);
    }
    // Everything that can fail comes first.
    let tls = Tls::load(&settings)?;
    let passwords = Passwords::load(&settings)?;
    source_addresses::warn_of_missing(&settings);
    let wanted = settings.listeners();
    let sockets = listeners.open_in_place(running, &wanted).await?;

    running.queues.set_limits(queue_limits(&settings));
    let generation = old.generation + 1;
    let are_routes_alike = route::are_alike(&old.settings, &settings);
    let limits = tracking_limits(&settings);
    let kept = transcript::Kept::new(&settings.server.data_dir, &settings.protocol_logs);
    let fresh = Revision::new(generation, now_ms(), settings, credentials, tls);
    let mut revision = Revision { document, number, passwords, ..fresh };
    if are_routes_alike {
        revision.routes_since = old.routes_since;
    }
    running.tracking.note(Event::Settings(event::Settings {
        time_ms: revision.since_ms,
        revision: number,
        document: document.number(),
        who: who.into(),
    }));
    running.replace_revision(revision);
    running.verdicts.forget();
    running.logon_faults.forget();
    running.tracking.set_limits(limits);
    let (transcripts, kept) = (running.transcripts.clone(), kept);
    // The writer may be behind.
    let _ = blocking::run(move || transcripts.keep(kept)).await;
    let (opened, closed) = listeners.switch(running, sockets, &wanted);
    if !are_routes_alike {
        // After the new revision is in force: what is routed from here on is taken, what was routed before is not.
        let settings = running.revision().settings.clone();
        let Rerouted { waited, heirs } =
            running.queues.begin_routes(generation, |queue| categorize::heir(&settings, queue));
        deliver::knock_for(running, &heirs);
        let running = running.clone();
        tokio::spawn(async move {
            categorize::route_anew(running.clone(), categorize::unrouted(waited)).await;
            running.queues.release(&heirs);
        });
    }
    running.alarms.reloaded();
    tracing::info!(revision = number, "new settings are in force");
    Ok(Applied { revision: number, opened, closed })
}
