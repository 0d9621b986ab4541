//! Putting a changed settings file in force, whole or not at all (invariant I7).
//!
//! Takes the word to reload, from SIGHUP or from the API; hands on what changed, or every reason why nothing did.
//! One reload at a time. Logs the outcome itself, so that both ways leave the same lines.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::Router;
use gatepost_policy::address_set::describe_range;
use gatepost_policy::audit;
use gatepost_policy::settings::Problem;
use gatepost_transport::Control;
use gatepost_transport::reload::{Applied, ApplyError, Fresh};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::access::Accounts;
use crate::age::Ages;
use crate::clock::now_ms;
use crate::credentials::Secrets;
use crate::document::{Document, LoadError, Loaded};
use crate::edit::Outline;
use crate::history::History;
use crate::kept_audit::Audits;
use crate::outside::{Outside, OutsideError};
use crate::resource::{CHANGES_MAX, ExposureChange, Refused, Reloaded, SettingsProblem};
use crate::setup;
use crate::smart_host_passwords;

/// Knows which file the server was started with and whom to hand its settings to.
pub struct Reloader {
    config: PathBuf,
    control: Control,
    accounts: Arc<Accounts>,
    in_force: Arc<Mutex<InForce>>,
    history: Arc<std::sync::Mutex<History>>,
    audits: Arc<Audits>,
    ages: Arc<Ages>,
}

/// The settings in force, and what hangs on them. Whoever changes them holds it.
pub(crate) struct InForce {
    pub document: Arc<Document>,
    /// The number of the document in the history.
    pub revision: u64,
    /// The document's sections, once somebody needed them.
    pub outline: Option<Outline>,
    outside: Outside,
}

/// The history, and the document with which the server starts, in it.
pub struct Begun {
    history: History,
    document: Arc<Document>,
    revision: u64,
}

impl Begun {
    /// Opens the history in a data folder that exists, and notes the document there if it is another one than at the end.
    /// What the disk does not take costs the history, no more.
    pub fn with(document: Document) -> Begun {
        let (data_dir, limits) = (&document.settings.server.data_dir, document.settings.revisions);
        let mut history = History::open(data_dir, limits).unwrap_or_else(|error| {
            tracing::error!(%error, "the history of settings cannot be opened: decisions cannot be explained, and settings cannot be changed by commands");
            History::closed(data_dir, limits)
        });
        let revision = history.note_if_other(&document);
        crate::replace::remove_leftovers(&document.path);
        if let Err(error) = smart_host_passwords::clean_up(data_dir, &document.text, &history, SystemTime::now()) {
            tracing::warn!(%error, "passwords for smart hosts that nothing names any more cannot be removed");
        }
        Begun { history, document: Arc::new(document), revision }
    }

    /// The number of the document.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The document.
    pub fn document(&self) -> &Document {
        &self.document
    }
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
    /// A reloader for the document that the server was started with, whose path is absolute.
    pub fn new(begun: Begun, control: Control, accounts: Arc<Accounts>) -> Reloader {
        let Begun { history, document, revision } = begun;
        let config = document.path.clone();
        let in_force = InForce { document, revision, outline: None, outside: Outside::default() };
        Reloader {
            config,
            control,
            accounts,
            in_force: Arc::new(Mutex::new(in_force)),
            history: Arc::new(std::sync::Mutex::new(history)),
            audits: Arc::default(),
            ages: Arc::default(),
        }
    }

    /// Opens what the settings that the server was started with open besides mail; `routes` stand behind the doors for
    /// administrators.
    ///
    /// # Errors
    /// [`OutsideError`].
    pub async fn open_outside(&self, routes: Router) -> Result<(), OutsideError> {
        let mut in_force = self.in_force.lock().await;
        if !in_force.document.settings.management.listen.is_empty() {
            self.audits.begin(&in_force.document);
            self.begin_ages(&in_force);
        }
        let outside = &mut in_force.outside;
        outside.put_behind_doors(routes);
        let prepared = outside.prepare(&self.control.settings()).await?;
        outside.switch(&self.control, prepared);
        Ok(())
    }

    /// Learns ahead how old everything in the settings is: whoever looks at it first would wait for that.
    fn begin_ages(&self, in_force: &InForce) {
        let (document, revision) = (in_force.document.clone(), in_force.revision);
        let (ages, history, in_force) = (self.ages.clone(), self.history.clone(), self.in_force.clone());
        tokio::spawn(async move {
            let learn = move || {
                let outline = Outline::of(&document.text);
                let history = history.lock().unwrap_or_else(PoisonError::into_inner);
                ages.learn(history, (revision, &outline), now_ms());
                outline
            };
            let Ok(outline) = tokio::task::spawn_blocking(learn).await else { return };
            let mut in_force = in_force.lock().await;
            if in_force.revision == revision {
                in_force.outline.get_or_insert(outline);
            }
        });
    }

    /// Since when everything in the settings is as it is.
    pub(crate) fn ages(&self) -> &Arc<Ages> {
        &self.ages
    }

    /// Who may administer, and the secrets.
    pub(crate) fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Puts secrets in force that were changed, under the settings as they are.
    ///
    /// # Errors
    /// [`ReloadError`]; the old ones stay in force then.
    pub(crate) async fn renew(&self, who: &str) -> Result<(), ReloadError> {
        let mut in_force = self.hold().await;
        let (document, revision) = (in_force.document.clone(), in_force.revision);
        let data_dir = document.settings.server.data_dir.clone();
        let read = tokio::task::spawn_blocking(move || Secrets::read(&data_dir).map_err(LoadError::from));
        let secrets = read.await.map_err(|_| ReloadError::Panicked)??;
        let outline = in_force.outline.take();
        self.put_in_force(&mut in_force, document, &secrets, revision, who).await?;
        in_force.outline = outline;
        tracing::info!(who, "passwords changed");
        Ok(())
    }

    /// The audit of the document in force.
    pub(crate) fn audits(&self) -> &Arc<Audits> {
        &self.audits
    }

    /// The settings file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Waits until nobody else changes the settings, and keeps others from it.
    pub(crate) async fn hold(&self) -> OwnedMutexGuard<InForce> {
        self.in_force.clone().lock_owned().await
    }

    /// The number of the document in force.
    pub async fn revision(&self) -> u64 {
        self.in_force.lock().await.revision
    }

    /// Every document that was in force. Blocking where it reads the disk.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file again and puts it in force. Not to be cancelled half-way: run it in a task of its own where the
    /// caller may go away.
    ///
    /// # Errors
    /// [`ReloadError`]; the old settings stay in force then, whole.
    pub async fn reload(&self, who: &str) -> Result<Reloaded, ReloadError> {
        let mut in_force = self.hold().await;
        let outcome = self.read_and_apply(&mut in_force, who).await;
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
                log_exposure(&reloaded.changes, reloaded.changes_total);
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

    async fn read_and_apply(&self, in_force: &mut InForce, who: &str) -> Result<Reloaded, ReloadError> {
        let config = self.config.clone();
        let (history, loaded_by) = (self.history.clone(), who.to_owned());
        let old = in_force.document.settings.clone();
        // Noted before the first decision under it.
        let read = move || -> Result<_, LoadError> {
            let Loaded { document, secrets } = Loaded::read(&config)?;
            let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
            let before = history.newest().map(|newest| newest.number);
            let revision = history.note_loaded(&document, Some(&loaded_by));
            let is_new = before != Some(revision);
            let changes = audit::difference(&old, &document.settings, now_ms());
            Ok((Arc::new(document), secrets, revision, is_new, changes))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|_| ReloadError::Panicked)?;
        let (document, secrets, revision, is_new, changes) = read?;
        let applied = match self.put_in_force(in_force, document.clone(), &secrets, revision, who).await {
            Err(error) if is_new => {
                self.withdraw(revision);
                return Err(error);
            }
            applied => applied?,
        };
        Ok(Reloaded {
            config: self.config.display().to_string(),
            revision: applied.revision,
            opened: applied.opened,
            closed: applied.closed,
            warnings: document.settings.warnings.iter().map(SettingsProblem::from).collect(),
            changes: changes.iter().take(CHANGES_MAX).map(ExposureChange::from).collect(),
            changes_total: changes.len() as u64,
        })
    }

    /// Puts a document in force that is in the history as `revision`.
    ///
    /// # Errors
    /// [`ReloadError`]; everything is as before then.
    pub(crate) async fn put_in_force(
        &self,
        in_force: &mut InForce,
        document: Arc<Document>,
        secrets: &Secrets,
        revision: u64,
        who: &str,
    ) -> Result<Applied, ReloadError> {
        let settings = document.settings.clone();
        let prepared = in_force.outside.prepare(&settings).await?;
        let limits = settings.revisions;
        let fresh =
            Fresh { settings, document: document.id(), number: revision, credentials: secrets.to_credentials() };
        let applied = self.control.apply(fresh, who).await?;
        let heard_before = in_force.outside.hears_administrators();
        in_force.outside.switch(&self.control, prepared);
        if in_force.outside.hears_administrators() && !heard_before {
            let (accounts, data_dir) = (self.accounts.clone(), self.control.data_dir());
            // In a task of its own: whoever changes settings holds the data folder, and this waits for it.
            tokio::spawn(async move { setup::offer(&accounts, &data_dir, |_| false).await });
        }
        // Again, and not what was read before: administrators may have changed since.
        self.accounts.read_again().await;
        in_force.document = document;
        in_force.revision = revision;
        in_force.outline = None;
        self.audits.renew(&in_force.document);
        self.history().set_limits(limits);
        Ok(applied)
    }

    /// Takes a revision out of the history that was not put in force after all.
    pub(crate) fn withdraw(&self, revision: u64) {
        if let Err(error) = self.history().withdraw(revision) {
            tracing::error!(revision, %error, "a revision that was not put in force stays in the history");
        }
    }
}

/// Tells the log which addresses gain or lose rights.
pub(crate) fn log_exposure(changes: &[ExposureChange], total: u64) {
    if total == 0 {
        return;
    }
    let count = |is_there: fn(&ExposureChange) -> bool| changes.iter().filter(|change| is_there(change)).count();
    tracing::info!(
        changes = total,
        gains = count(|change| !change.gained.is_empty()),
        losses = count(|change| !change.lost.is_empty()),
        other_terms = count(|change| !change.altered.is_empty()),
        first = first(changes),
        "exposure changed: addresses gain or lose rights"
    );
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
    let (verb, rights) = match (&change.gained[..], &change.lost[..], change.altered.first()) {
        ([], [], Some(altered)) => ("holds under other terms", &altered.rights),
        ([], ..) => ("loses", &change.lost),
        _ => ("gains", &change.gained),
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
