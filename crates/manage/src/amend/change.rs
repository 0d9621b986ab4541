//! The steps of a change from the disk to the running server; their order, and what a crash leaves, stand in the table of `amend`.
//!
//! Takes what was checked; hands on the revision that it became. What a person wrote meanwhile is never overwritten.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_policy::Settings;
use tokio::sync::OwnedMutexGuard;

use super::blocking::blocking;
use super::check::Checked;
use super::error::AmendError;
use crate::clock::now_ms;
use crate::credentials::Secrets;
use crate::data_folder;
use crate::document::{LoadError, host_name, read_text};
use crate::history::{Author, Note, Origin};
use crate::reload::{InForce, Reloader, log_exposure, log_warning};
use crate::replace::{Replacement, folder_of, replace_file};
use crate::resource::Amended;

/// Documents that could not be put in force are kept beside the settings file up to this number.
const NOT_APPLIED_MAX: usize = 10;

/// A change on its way.
pub struct Change {
    pub reloader: Arc<Reloader>,
    pub in_force: OwnedMutexGuard<InForce>,
    pub checked: Checked,
    pub author: Author,
    pub why: Option<String>,
    pub what: String,
    pub origin: Origin,
}

impl Change {
    /// Puts it in force, or nothing of it.
    pub async fn put_in_force(self) -> Result<Amended, AmendError> {
        let Change { reloader, mut in_force, checked, author, why, what, origin } = self;
        let Checked { outline, document, mut amended, .. } = checked;
        let (written, before) = (document.clone(), in_force.document.clone());
        let (history, noted_author, noted_why, noted_what) =
            (reloader.clone(), author.clone(), why.clone(), what.clone());
        let written = blocking(move || {
            let data_dir = &written.settings.server.data_dir;
            let lock = data_folder::lock(data_dir)?;
            let path = &written.path;
            if read_text(path).ok().as_deref() != Some(before.text.as_str()) {
                return Err(AmendError::ChangedByHand {
                    path: path.clone(),
                    kept: keep_not_applied(path, &written.text),
                });
            }
            let secrets = Secrets::read(data_dir).map_err(LoadError::from)?;
            let replacement = Replacement::prepare(path, written.text.as_bytes(), 0o640).map_err(AmendError::Disk)?;
            let mut history = history.history();
            history.note_if_other(&before);
            let note = Note {
                at_ms: now_ms(),
                author: &noted_author,
                why: noted_why.as_deref(),
                what: Some(&noted_what),
                origin,
                host_name: &host_name(),
            };
            let revision =
                history.append(&note, (&*written).into(), Some((&*before).into())).map_err(AmendError::Disk)?;
            drop(history);
            Ok((lock, secrets, replacement, revision))
        })
        .await;
        let (lock, secrets, replacement, revision) = written.inspect_err(|error| {
            tracing::error!(%error, who = author.who, from = author.from, "settings not changed");
        })?;
        let old = in_force.document.clone();
        let old_revision = in_force.revision;
        let written_settings = document.settings.clone();
        let applied = reloader.put_in_force(&mut in_force, document, &secrets, revision, &author.who).await;
        let applied = match applied {
            Ok(applied) => applied,
            Err(error) => {
                reloader.withdraw(revision);
                tracing::error!(%error, who = author.who, from = author.from, "settings not changed");
                return Err(error.into());
            }
        };
        if let Err(error) = blocking(move || replacement.commit().map_err(AmendError::Disk)).await {
            tracing::error!(%error, who = author.who, from = author.from, "settings not changed: the file could not be replaced");
            let back = reloader.put_in_force(&mut in_force, old, &secrets, old_revision, &author.who).await;
            if let Err(error) = back {
                tracing::error!(%error, "the settings that were in force before cannot be put in force again");
            }
            reloader.withdraw(revision);
            return Err(error);
        }
        drop(lock);
        forget_users(&reloader, &old.settings, &written_settings).await;
        in_force.outline = Some(outline);
        tracing::info!(
            revision,
            who = author.who,
            from = author.from,
            what,
            why = why.as_deref().unwrap_or_default(),
            "settings changed"
        );
        amended.warnings.iter().for_each(|warning| log_warning(reloader.config(), warning));
        log_exposure(&amended.exposure, amended.exposure_total);
        amended.revision = Some(revision);
        amended.opened = applied.opened;
        amended.closed = applied.closed;
        Ok(amended)
    }
}

/// Forgets the passwords of users who are in the settings no longer: another user of that name, also of an earlier revision,
/// begins without one. Whoever changes settings waits for that, and nobody holds the data folder meanwhile.
async fn forget_users(reloader: &Reloader, before: &Settings, written: &Settings) {
    let names = |settings: &Settings| -> HashSet<String> {
        settings.users.iter().map(|user| user.name.to_lowercase()).collect()
    };
    let still_there = names(written);
    let mut gone = names(before);
    gone.retain(|name| !still_there.contains(name));
    let secrets = reloader.accounts().secrets();
    if gone.is_empty() || !secrets.users().any(|(name, _)| gone.contains(&name.to_lowercase())) {
        return;
    }
    let forgotten = reloader.accounts().change(move |secrets| {
        gone.iter().for_each(|name| {
            secrets.remove(name);
        });
        Ok::<_, std::convert::Infallible>(())
    });
    if let Err(error) = forgotten.await {
        tracing::error!(%error, "passwords of users that were removed cannot be forgotten");
    }
}

/// Keeps a document that a person's change is in the way of beside the settings file. Gives where.
fn keep_not_applied(path: &Path, text: &str) -> Option<PathBuf> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let prefix = format!("{}.not-applied-", path.file_name()?.to_str()?);
    let beside = std::fs::read_dir(folder_of(&path)).ok()?.flatten();
    let kept = beside.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)));
    if kept.count() >= NOT_APPLIED_MAX {
        return None;
    }
    let now = jiff::Timestamp::from_millisecond(now_ms().try_into().ok()?).ok()?;
    let kept = path.with_file_name(format!("{prefix}{}", now.strftime("%Y%m%dT%H%M%S%3fZ")));
    // Never wider open than the settings file.
    let mode = std::fs::metadata(&path)
        .map_or(0o600, |found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o660);
    replace_file(&kept, text.as_bytes(), mode).ok()?;
    Some(kept)
}
