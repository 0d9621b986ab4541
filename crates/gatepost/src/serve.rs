//! `gatepost serve`: starts the parts in their order, keeps them running, ends them in reverse order.
//!
//! Takes the settings file and signals, hands back a failure with its exit code. SIGTERM and SIGINT end the server in
//! order, a second one at once; SIGHUP reloads. Tells systemd what is going on (sd_notify(3)).

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost_manage::access::Access;
use gatepost_manage::api::{self, Management};
use gatepost_manage::credentials::{Secret, Secrets};
use gatepost_manage::document::Document;
use gatepost_manage::forgotten;
use gatepost_manage::reload::{self, Begun};
use gatepost_manage::resource::SettingsProblem;
use gatepost_manage::{Amender, Door, LoadError, Loaded, Reloader, data_folder, first_run, setup};
use gatepost_transport::{Start, Transport};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{ConfigFile, LogFormat, ServeArguments};
use crate::failure::Failure;
use crate::{first_steps, log};

/// How long open transactions may take to end.
const SHUT_DOWN_LIMIT: Duration = Duration::from_secs(30);
/// Between two tries to open the management socket on a disk that is full.
const DOOR_RETRY_INTERVAL: Duration = Duration::from_secs(5);
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the server until it is told to end.
pub fn run(out: &mut dyn Write, config: &ConfigFile, arguments: &ServeArguments) -> Result<(), Failure> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| Failure::of("a TLS provider is installed already, which is a bug of ours"))?;
    if !config.path.exists() {
        let created = first_run::create(&config.path).map_err(Failure::of)?;
        // A reader who has gone does not keep the server from running.
        let _ = first_steps::write(out, config, &created);
    }
    let log = log::start(arguments.log_format);
    // Absolute from here on: status and log lines name it to people in other folders.
    let path = std::path::absolute(&config.path)?;
    load_and_serve(out, &path, log.format).map_err(|failure| match log.format {
        LogFormat::Human => failure,
        LogFormat::Json => failure.logged(),
    })
}

fn load_and_serve(out: &mut dyn Write, config: &Path, format: LogFormat) -> Result<(), Failure> {
    let loaded = match (Loaded::read(config), format) {
        (Ok(loaded), _) => loaded,
        // A person gets them drawn, a program one by one.
        (Err(LoadError::Problems(faulty)), LogFormat::Json) => {
            reload::log_problems(&faulty.path, &faulty.problems);
            return Err(Failure::Settings(faulty.to_string()));
        }
        (Err(error), _) => return Err(error.into()),
    };
    log_warnings(&loaded.document);
    data_folder::ensure(&loaded.document.settings.server.data_dir).map_err(Failure::of)?;
    let secrets = loaded.secrets;
    let begun = Begun::with(loaded.document);
    let open_files_max = raise_open_files_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(out, begun, &secrets, open_files_max));
    // Whatever still runs has had its time.
    runtime.shutdown_background();
    outcome
}

async fn serve(out: &mut dyn Write, begun: Begun, secrets: &Secrets, open_files_max: u64) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let (settings, document, number) = (begun.document().settings.clone(), begun.document().id(), begun.revision());
    let path = begun.document().path.clone();
    let data_dir = settings.server.data_dir.clone();
    let credentials = secrets.to_credentials();
    let start = Start { settings, document, number, credentials, version: VERSION, open_files_max };
    let transport = tokio::select! {
        started = Transport::start(start) => started.map_err(Failure::of)?,
        () = signals.end() => return Err(Failure::of("told to end before the start was complete")),
    };
    let access = Arc::new(Access::new(&data_dir, secrets.clone()).map_err(Failure::of)?);
    let reloader = Arc::new(Reloader::new(begun, transport.control(), access.accounts.clone()));
    let management = Management {
        control: transport.control(),
        amender: Amender::new(reloader.clone()),
        access: access.clone(),
        data_dir: data_dir.clone(),
    };
    if let Err(error) = reloader.open_outside(api::routes_and_pages(management.clone(), gatepost_console::routes)).await
    {
        transport.shut_down(SHUT_DOWN_LIMIT).await;
        return Err(Failure::of(error));
    }
    if !transport.control().settings().management.listen.is_empty() {
        offer_setup(out, &access, &data_dir).await;
    }
    let mut door = match Door::open(&data_dir, api::routes(management.clone())) {
        Ok(door) => Some(door),
        // What is delivered makes room on the disk, so that must not wait for the door.
        Err(error) if error.is_for_want_of_room() => {
            tracing::error!(%error, "the server runs without its management socket until the disk has room for it");
            None
        }
        Err(error) => {
            // Without its door nobody could manage the server: better not to run at all.
            transport.shut_down(SHUT_DOWN_LIMIT).await;
            return Err(Failure::of(error));
        }
    };
    tokio::spawn(forgotten::watch(management.control.clone(), management.amender.clone(), access.clone()));
    let listeners: Vec<_> =
        transport.control().status().listeners.iter().map(|listener| listener.address.to_string()).collect();
    let listening = format!("listening on {}", listeners.join(", "));
    notify(&[NotifyState::Ready, NotifyState::Status(&listening)]);
    tracing::info!(
        version = VERSION,
        settings = %path.display(),
        data_dir = %data_dir.display(),
        listeners = listeners.join(","),
        "ready"
    );
    let mut watchdog = watchdog();
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::End => break,
                Told::Reload => reload_settings(&reloader).await,
            },
            () = next_sign_of_life(&mut watchdog) => {
                // Without one systemd starts us again: only where that helps.
                if transport.control().health().faults.is_empty() {
                    notify(&[NotifyState::Watchdog]);
                }
            }
            () = tokio::time::sleep(DOOR_RETRY_INTERVAL), if door.is_none() => {
                door = Door::open(&data_dir, api::routes(management.clone())).ok();
                if door.is_some() {
                    tracing::info!("the management socket is open now");
                }
            }
        }
    }
    notify(&[NotifyState::Stopping]);
    tracing::info!(limit_seconds = SHUT_DOWN_LIMIT.as_secs(), "ending: open transactions may finish");
    let ending = async {
        if let Some(door) = door {
            door.close().await;
        }
        transport.shut_down(SHUT_DOWN_LIMIT).await;
    };
    tokio::select! {
        () = ending => tracing::info!("ended"),
        // Whatever was acknowledged is on the disk, so an impatient administrator loses nothing.
        () = signals.end() => tracing::warn!("told to end again: ended at once"),
    }
    Ok(())
}

/// Shows the one-time token that makes the first administrator, where there are none: on a terminal, else in a file.
async fn offer_setup(out: &mut dyn Write, access: &Access, data_dir: &Path) {
    let show =
        |secret: &Secret| std::io::stdout().is_terminal() && first_steps::write_one_time_token(out, secret).is_ok();
    setup::offer(&access.accounts, data_dir, show).await;
}

async fn reload_settings(reloader: &Reloader) {
    let mut states = vec![NotifyState::Reloading];
    // systemd 253 and later match the end of a reload to its beginning by this clock.
    states.extend(NotifyState::monotonic_usec_now().ok());
    notify(&states);
    tracing::info!("reload asked for by SIGHUP");
    match reloader.reload("SIGHUP").await {
        Ok(_) => notify(&[NotifyState::Ready, NotifyState::Status("settings reloaded")]),
        Err(error) => {
            let status = format!("settings not reloaded: {error}");
            notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
        }
    }
}

/// When signs of life are due, where systemd wants them (`WatchdogSec=`): twice in its interval.
fn watchdog() -> Option<tokio::time::Interval> {
    let interval = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())?;
    let mut ticks = tokio::time::interval(interval / 2);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    Some(ticks)
}

async fn next_sign_of_life(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// What the server is told next.
    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }

    /// Waits until the server is told to end. What else it is told meanwhile comes too early or too late.
    async fn end(&mut self) {
        while let Told::Reload = self.next().await {}
    }
}

enum Told {
    End,
    Reload,
}

fn log_warnings(document: &Document) {
    for warning in &document.settings.warnings {
        reload::log_warning(&document.path, &SettingsProblem::from(warning));
    }
}

/// Every connection is an open file; the usual soft limit of 1,024 is below the connections that settings allow. Says how
/// many there may be.
fn raise_open_files_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Outside systemd this does nothing; inside, a lost notification is worth a line, no more.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell systemd how it goes");
    }
}
