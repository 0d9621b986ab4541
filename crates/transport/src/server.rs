//! The server as a whole: start and stop.
//!
//! Takes checked settings, opens the spool, the listeners and the queues, and sets the tasks going. Stopping lets open
//! transactions and attempts end within a limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatepost_policy::back_pressure::{Level, METERING_INTERVAL};
use gatepost_policy::resource::Resource;
use gatepost_policy::{Settings, limits};
use gatepost_spool::disk::{Disk, RealDisk};
use gatepost_spool::{OpenError, Options, Recovering, Recovery, Spool, Step};
use gatepost_tracking::passport::event::{self, Event};
use gatepost_tracking::{RevisionId, Tracking};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

use crate::administer;
use crate::authenticate::{Authenticator, Credentials};
use crate::back_pressure::Metering;
use crate::blocking;
use crate::categorize::{self, UNREADABLE_REST, Unrouted};
use crate::clock::now_ms;
use crate::control::Control;
use crate::delays;
use crate::deliver;
use crate::listen::{self, ListenError, Listeners};
use crate::passports;
use crate::passwords::{PasswordError, Passwords};
use crate::queue::Queues;
use crate::quotas::Quotas;
use crate::report;
use crate::source_addresses;
use crate::state::{Parts, Revision, Running, queue_limits, tracking_limits};
use crate::suspects::{OTHERS_WAIT_MAX, Suspects};
use crate::tls::{Tls, TlsError};
use crate::transcript::{self, Transcripts};

/// How long the listeners wait for the log of former runs to be read: a queue that is not large is known from the start
/// on, and for a large one, or for a slow disk, nobody waits.
const READ_AHEAD: Duration = Duration::from_millis(500);

/// For passports that are not on the tracking disk yet the spool's log may take so much more, in bytes, than it takes anyway.
pub(crate) const HELD_BYTES_MAX: u64 = 256 << 20;

/// What the server is started with.
pub struct Start {
    /// The checked settings; `server.data_dir` is absolute by now.
    pub settings: Arc<Settings>,
    /// The document that they are from.
    pub document: RevisionId,
    /// Its number.
    pub number: u64,
    /// Password hashes from data_dir/credentials.
    pub credentials: Credentials,
    /// Version of the program, for status.
    pub version: &'static str,
    /// How many files the system lets us have open at once: connections are such files too.
    pub open_files_max: u64,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made.
    #[error("cannot make the data folder {path}: {source}", path = path.display())]
    DataDir {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The spool did not open; another server may be using it.
    #[error(transparent)]
    Spool(#[from] OpenError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A password by which a send connector logs on cannot be read.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A listener could not be opened.
    #[error("cannot listen on {address}: {source}{}", listen::hint(*address, source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread, no randomness or the like.
    #[error("the system refuses what the server needs: {0}")]
    System(#[from] io::Error),
}

impl From<ListenError> for StartError {
    fn from(ListenError { address, source }: ListenError) -> Self {
        StartError::Listen { address, source }
    }
}

/// A running server.
pub struct Transport {
    control: Control,
    tasks: Vec<JoinHandle<()>>,
}

impl Transport {
    /// Opens everything and sets the tasks going. When it returns, every listener accepts.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(start: Start) -> Result<Transport, StartError> {
        let data_dir = start.settings.server.data_dir.clone();
        make_data_dir(&data_dir).map_err(|source| StartError::DataDir { path: data_dir.clone(), source })?;
        let spool_dir = data_dir.join("spool");
        let shares = limits::open_files(start.open_files_max);
        let options =
            Options { staged_bodies_max: shares.arriving_bodies, held_bytes_max: HELD_BYTES_MAX, ..Options::default() };
        let opened = blocking::run(move || Spool::start(&spool_dir, options)).await;
        let (spool, recovering) = opened.map_err(io::Error::other)??;
        let mut transport = Transport::start_on(Arc::new(RealDisk), spool, recovering, start).await?;
        transport.tasks.push(tokio::spawn(meter(transport.control.running.clone())));
        transport.tasks.push(tokio::spawn(crate::alarms::watch(transport.control.running.clone())));
        Ok(transport)
    }

    /// The same with a spool that is open already. Mailboxes lie on `disk`.
    pub(crate) async fn start_on(
        disk: Arc<dyn Disk>,
        spool: Spool,
        recovering: Recovering,
        start: Start,
    ) -> Result<Transport, StartError> {
        let Start { settings, document, number, credentials, version, open_files_max } = start;
        let data_dir = settings.server.data_dir.clone();

        let listeners = Listeners::default();
        let wanted = settings.listeners();
        let sockets = listeners.open_missing(&wanted)?;
        let tls = Tls::load(&settings)?;
        let passwords = Passwords::load(&settings)?;
        source_addresses::warn_of_missing(&settings);
        let limits = queue_limits(&settings);
        let (queues, worker_requests) = Queues::new(limits.connections_max);
        queues.set_limits(limits);
        match administer::read_suspended(&*disk, &data_dir) {
            Ok(names) => queues.set_suspended(names.into_iter()),
            Err(error) => tracing::error!(%error, "which queues are suspended cannot be read: none is"),
        }
        let now = now_ms();
        let tracking = Tracking::open(&data_dir, tracking_limits(&settings))?;
        let transcripts = transcript::Kept::new(&data_dir, &settings.protocol_logs);
        let revision = Revision { document, number, passwords, ..Revision::new(1, now, settings, credentials, tls) };
        let running = Arc::new(Running::new(Parts {
            version,
            started_ms: now,
            connections_max: limits::open_files(open_files_max).connections,
            revision,
            spool,
            disk,
            queues,
            suspects: Suspects::open(&data_dir)?,
            quotas: Quotas::open(data_dir.join("quotas"))?,
            authenticator: Authenticator::new().map_err(io::Error::other)?,
            transcripts: Transcripts::start(transcripts)?,
            tracking,
        }));
        running.tracking.note(Event::Settings(event::Settings {
            time_ms: now,
            revision: number,
            document: document.number(),
            who: "start".into(),
        }));
        let (tell_known, known) = oneshot::channel();
        let tasks = vec![
            tokio::spawn(deliver::run(running.clone(), worker_requests)),
            tokio::spawn(alarms(running.clone())),
            tokio::spawn(delays::run(running.clone())),
            tokio::spawn(summaries(running.clone())),
            tokio::spawn(recover(running.clone(), recovering, tell_known)),
            tokio::spawn(let_others_go_on(running.clone())),
        ];
        let _ = tokio::time::timeout(READ_AHEAD, known).await;
        let control = Control { running: running.clone(), listeners: Arc::new(Mutex::new(listeners)) };
        control.listeners.lock().await.switch(&running, sockets, &wanted);
        Ok(Transport { control, tasks })
    }

    /// A handle for the administrator's doors.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops: accepts nothing more, lets open transactions and attempts end for at most `limit`, flushes the spool.
    pub async fn shut_down(self, limit: Duration) {
        let running = &self.control.running;
        self.control.listeners.lock().await.close();
        running.stop.send_replace(true);
        if tokio::time::timeout(limit, running.stop.closed()).await.is_err() {
            tracing::warn!(limit_s = limit.as_secs(), "some connections did not end in time and are cut off");
        }
        for task in &self.tasks {
            task.abort();
        }
        let running = running.clone();
        let close = move || {
            passports::finish(&running);
            running.spool.close();
            running.suspects.close();
            running.quotas.close();
            running.transcripts.flush();
            running.tracking.close();
        };
        if blocking::run(close).await.is_err() {
            tracing::error!("closing the spool failed by a fault of ours");
        }
    }
}

/// The data folder is nobody's business but ours and our group's: the group may reach the API's socket.
fn make_data_dir(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path)?;
    // Mail is no safer than the name of the folder that holds it. Where the folder above is not ours to open, whoever
    // made ours has seen to that.
    if let Some(Ok(above)) = path.parent().map(std::fs::File::open) {
        above.sync_all()?;
    }
    Ok(())
}

fn tell_of_recovery(recovery: &Recovery) {
    if recovery.segments > 0 {
        let duration_ms = u64::try_from(recovery.duration.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            messages = recovery.messages,
            segments = recovery.segments,
            torn_bytes = recovery.torn_bytes,
            damaged = recovery.set_aside.len(),
            duration_ms,
            "recovered the spool"
        );
    }
}

async fn let_others_go_on(running: Arc<Running>) {
    running.suspects.let_others_go_on().await;
}

async fn alarms(running: Arc<Running>) {
    running.queues.run_alarms().await;
}

async fn summaries(running: Arc<Running>) {
    report::tell::run(running).await;
}

/// Brings messages of former runs back and puts them into their queues, while new ones are accepted already; tells when
/// it is known which they are. A disk that fails is tried again until it works, or until the server stops.
async fn recover(running: Arc<Running>, mut recovering: Recovering, tell_known: oneshot::Sender<()>) {
    let mut stop = running.stop.subscribe();
    let mut tell_known = Some(tell_known);
    let mut unread = Vec::new();
    let suspects_have_until = tokio::time::Instant::now() + OTHERS_WAIT_MAX;
    let unrecorded = loop {
        if running.is_stopping() {
            return;
        }
        let stepped = blocking::run(move || {
            let step = recovering.step();
            (recovering, step)
        });
        let step = match stepped.await {
            Ok((handed_back, step)) => {
                recovering = handed_back;
                step
            }
            Err(error) => {
                tracing::error!(%error, "recovering the spool failed by a fault of ours; the rest waits for the next start");
                return;
            }
        };
        match step {
            Ok(Step::Read) => {}
            Ok(Step::Released(released)) => {
                let _ = tell_known.take().map(|told| told.send(()));
                let _turn = running.suspects.turn_to_route(suspects_have_until).await;
                match categorize::route_once(running.clone(), released.into_iter().map(Unrouted::all_of)).await {
                    Some(left) => unread.extend(left),
                    None => return,
                }
            }
            Ok(Step::Over(recovery)) => {
                tell_of_recovery(&recovery);
                break recovery.unrecorded;
            }
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read now: its messages wait; tried again in a minute");
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(UNREADABLE_REST) => {}
                    _ = stop.changed() => return,
                }
            }
        }
    };
    drop(tell_known);
    running.suspects.keep(|id| running.spool.is_live(id));
    tokio::spawn(passports::run(running.clone(), unrecorded));
    running.recovering.store(false, Ordering::Relaxed);
    if !unread.is_empty() {
        categorize::route_anew(running, unread.into_iter()).await;
    }
}

/// Reads the meters of back pressure, now and every two seconds.
async fn meter(running: Arc<Running>) {
    let mut ticks = tokio::time::interval(METERING_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let settings = running.revision().settings.clone();
        let usage = running.spool.usage();
        let metering = Metering {
            spool: settings.server.data_dir.join("spool"),
            data: settings.server.data_dir.clone(),
            disk_headroom_bytes: settings.back_pressure.disk_headroom_bytes,
            queue_length: usage.messages,
            is_full: usage.is_full,
        };
        let Ok(readings) = blocking::run(move || metering.read()).await else { continue };
        let note = |resource: Resource, level: Level| {
            let (resource, level) = (resource.name().into(), level.name().into());
            running.tracking.note(Event::Pressure(event::Pressure { time_ms: now_ms(), resource, level }));
        };
        let pressed = running.back_pressure.take(&settings.back_pressure, readings, note);
        if pressed.iter().any(|resource| matches!(resource, Resource::SystemMemory | Resource::PrivateBytes)) {
            running.spool.forget_cache();
        }
    }
}
