//! Putting a changed settings file in force, whole or not at all (invariant I7).
//!
//! Takes the word to reload, from SIGHUP or from the API; hands on what changed, or every reason why nothing did.
//! One reload at a time. Logs the outcome itself, so that both ways leave the same lines.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use gatepost_policy::address_set::describe_range;
use gatepost_policy::audit;
use gatepost_policy::settings::Problem;
use gatepost_transport::Control;
use gatepost_transport::reload::ApplyError;
use tokio::sync::Mutex;

use crate::access::Accounts;
use crate::clock::now_ms;
use crate::document::{LoadError, Loaded};
use crate::outside::{Outside, OutsideError};
use crate::resource::{CHANGES_MAX, ExposureChange, Refused, Reloaded, SettingsProblem};

/// Knows which file the server was started with and whom to hand its settings to.
pub struct Reloader {
    config: PathBuf,
    control: Control,
    accounts: Arc<Accounts>,
    outside: Mutex<Outside>,
}

/// Why the old settings stay in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file or the secrets cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The server cannot put them in force.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// What they open to the outside cannot be had.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// A panic while reading; our bug.
    #[error("reading the settings file failed unexpectedly; the log has the cause")]
    Panicked,
}

impl Reloader {
    /// A reloader for the settings file at `config`, which is absolute.
    pub fn new(config: PathBuf, control: Control, accounts: Arc<Accounts>) -> Reloader {
        Reloader { config, control, accounts, outside: Mutex::default() }
    }

    /// Opens what the settings that the server was started with open besides mail; `routes` stand behind the doors for
    /// administrators.
    ///
    /// # Errors
    /// [`OutsideError`].
    pub async fn open_outside(&self, routes: Router) -> Result<(), OutsideError> {
        let mut outside = self.outside.lock().await;
        outside.put_behind_doors(routes);
        let prepared = outside.prepare(&self.control.settings()).await?;
        outside.switch(&self.control, prepared);
        Ok(())
    }

    /// The settings file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Reads the file again and puts it in force. Not to be cancelled half-way: run it in a task of its own where the
    /// caller may go away.
    ///
    /// # Errors
    /// [`ReloadError`]; the old settings stay in force then, whole.
    pub async fn reload(&self, who: &str) -> Result<Reloaded, ReloadError> {
        let mut outside = self.outside.lock().await;
        let outcome = self.read_and_apply(&mut outside, who).await;
        match &outcome {
            Ok(reloaded) => {
                for warning in &reloaded.warnings {
                    log_warning(&self.config, warning);
                }
                tracing::info!(
                    revision = reloaded.revision,
                    opened = listed(&reloaded.opened),
                    closed = listed(&reloaded.closed),
                    "settings reloaded"
                );
                if reloaded.changes_total > 0 {
                    let count = |is_there: fn(&ExposureChange) -> bool| {
                        reloaded.changes.iter().filter(|change| is_there(change)).count()
                    };
                    tracing::info!(
                        changes = reloaded.changes_total,
                        gains = count(|change| !change.gained.is_empty()),
                        losses = count(|change| !change.lost.is_empty()),
                        first = first(&reloaded.changes),
                        "exposure changed: addresses gain or lose rights"
                    );
                }
            }
            Err(error) => {
                if let ReloadError::Load(LoadError::Problems(faulty)) = error {
                    log_problems(&self.config, &faulty.problems);
                }
                self.control.reload_failed(&error.to_string());
                tracing::error!(%error, "settings not reloaded: the old ones stay in force");
            }
        }
        outcome
    }

    async fn read_and_apply(&self, outside: &mut Outside, who: &str) -> Result<Reloaded, ReloadError> {
        let config = self.config.clone();
        let loaded = tokio::task::spawn_blocking(move || Loaded::read(&config)).await;
        let loaded = loaded.map_err(|_| ReloadError::Panicked)??;
        let (settings, credentials) = (loaded.document.settings.clone(), loaded.secrets.to_credentials());
        let data_dir = self.control.data_dir();
        // Before the first decision under it. One that does not get in force is kept for nothing, which harms nobody.
        let kept = tokio::task::spawn_blocking(move || (loaded.document.keep(&data_dir), loaded)).await;
        let (document, loaded) = kept.map_err(|_| ReloadError::Panicked)?;
        let (old, new) = (self.control.settings(), settings.clone());
        let compared = tokio::task::spawn_blocking(move || audit::difference(&old, &new, now_ms())).await;
        let changes = compared.map_err(|_| ReloadError::Panicked)?;
        let prepared = outside.prepare(&settings).await?;
        let applied = self.control.apply(settings, document, credentials, who).await?;
        outside.switch(&self.control, prepared);
        // Again, and not what was read above: administrators may have changed since.
        self.accounts.read_again().await;
        Ok(Reloaded {
            config: self.config.display().to_string(),
            revision: applied.revision,
            opened: applied.opened,
            closed: applied.closed,
            warnings: loaded.document.settings.warnings.iter().map(SettingsProblem::from).collect(),
            changes: changes.iter().take(CHANGES_MAX).map(ExposureChange::from).collect(),
            changes_total: changes.len() as u64,
        })
    }
}

impl ReloadError {
    /// The same for the API's caller.
    pub fn to_refused(&self) -> Refused {
        let mut refused = Refused::new(self.to_string());
        if let ReloadError::Load(LoadError::Problems(faulty)) = self {
            refused.problems = faulty.problems.iter().map(SettingsProblem::from).collect();
            refused.rendered = Some(faulty.render(false));
        }
        refused
    }
}

/// The first change, for a line of the log: who gains what where, or loses it.
fn first(changes: &[ExposureChange]) -> String {
    let Some(change) = changes.first() else { return String::new() };
    let (verb, rights) = match change.gained.is_empty() {
        false => ("gains", &change.gained),
        true => ("loses", &change.lost),
    };
    let whom = change.user.as_deref().unwrap_or(&change.whom);
    let sources = change.sources.first().map_or(String::new(), |range| describe_range(range.first, range.last));
    format!("{whom} from {sources} {verb} {}", rights.join(" "))
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Logs each problem of the settings file as one line.
pub fn log_problems(config: &Path, problems: &[Problem]) {
    for problem in problems {
        tracing::error!(
            file = %config.display(),
            line = problem.line,
            column = problem.column,
            remedy = %problem.remedy,
            "{}", problem.message
        );
    }
}

/// Logs one warning about the settings file.
pub fn log_warning(config: &Path, warning: &SettingsProblem) {
    tracing::warn!(
        file = %config.display(),
        line = warning.line,
        column = warning.column,
        remedy = %warning.remedy,
        "{}", warning.message
    );
}
