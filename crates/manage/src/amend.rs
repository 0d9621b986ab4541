//! The one way of changing settings by command (invariant I7): edits of the one document, checked as a whole, compared,
//! numbered, put in force and on the disk, or nothing of it.
//!
//! Takes edits with who makes them; hands on what they opened and closed, and the number of the revision. One change at a
//! time, and none while a reload is under way. What a command writes never overwrites what a person wrote meanwhile. Decides
//! nothing about what is legal: that is `policy::safeguard`.
//!
//! The order of a change, and what a crash behind each step leaves:
//!
//! | step | a crash behind it leaves |
//! |---|---|
//! | 1. edited, parsed, checked, compared | nothing |
//! | 2. the new file is on the disk beside the old one | a leftover, removed at the next start |
//! | 3. the revision is in the history | the old file: the next start notes that it is in force again |
//! | 4. in force | the same; nobody was told yet |
//! | 5. the new file is in its place | the change |

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use gatepost_policy::Settings;
use gatepost_policy::audit;
use gatepost_transport::reload::ApplyError;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::access::{Actor, Source};
use crate::clock::now_ms;
use crate::document::{Document, host_name};
use crate::edit::{Edit, Outline};
use crate::history::{Author, Origin};
use crate::line_difference::LineDifference;
use crate::reload::{InForce, ReloadError, Reloader};
use crate::replace::read_only;
use crate::resource::{Amended, CHANGES_MAX, ExposureChange, RevisionDifference, SettingsRequest};
use crate::smart_host_passwords;
use crate::system_user::system_user;
use crate::transaction::{Draft, Gathering, OpenTransaction, TransactionId, Transactions};

mod change;
mod check;
mod blocking;
mod error;

pub use error::{AmendError, Faulty};

use blocking::blocking;
use change::Change;
use check::{Before, Checked, Read, check, check_text, with_hashes_of, with_passwords_of};

/// Changes the settings of a running server.
#[derive(Clone)]
pub struct Amender {
    reloader: Arc<Reloader>,
    transactions: Arc<Mutex<Transactions>>,
}

/// What becomes of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is put in force.
    Apply,
    /// It is only told what it would do.
    WhatIf,
    /// It waits for others, to become one revision with them.
    In(TransactionId),
    /// The same for those of one call.
    Among(Gathering),
}

/// What a change is for, for the history.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// Why, in the words of who makes it, if they say.
    pub why: Option<&'a str>,
    /// What they do: `New-ReceiveConnector Relay`.
    pub what: &'a str,
}

impl From<&Actor> for Author {
    fn from(actor: &Actor) -> Author {
        let who = match &actor.source {
            Source::Token { id, .. } => format!("token {id} ({})", actor.name),
            Source::Socket { uid: Some(uid) } => system_user(*uid),
            _ => actor.name.to_string(),
        };
        let from = match (&actor.source, actor.address()) {
            (_, Some(address)) => address.to_string(),
            (Source::Server, None) => "the server itself".to_owned(),
            (_, None) => "the management socket".to_owned(),
        };
        Author { who, from }
    }
}

impl Amender {
    /// Changes settings through `reloader`, and never while it reloads.
    pub fn new(reloader: Arc<Reloader>) -> Amender {
        Amender { reloader, transactions: Arc::default() }
    }

    /// What puts settings in force, and their history.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// The settings in force with their number, or those of a transaction with the number that it began with.
    ///
    /// # Errors
    /// [`AmendError::Transaction`].
    pub async fn settings(&self, actor: &Actor, mode: &Mode) -> Result<(Arc<Settings>, u64), AmendError> {
        if let Mode::In(id) = mode {
            let mut transactions = self.transactions.lock().await;
            let draft = transactions.touch(id, &actor.into(), Instant::now())?;
            return Ok((draft.document.settings.clone(), draft.base));
        }
        if let Mode::Among(gathering) = mode {
            let draft = gathering.0.lock().await;
            return Ok((draft.document.settings.clone(), draft.base));
        }
        let in_force = self.reloader.hold().await;
        Ok((in_force.document.settings.clone(), in_force.revision))
    }

    /// The sections of the document in force, with its number.
    ///
    /// # Errors
    /// [`AmendError::Panicked`].
    pub(crate) async fn outline(&self) -> Result<(u64, Outline), AmendError> {
        let mut in_force = self.reloader.hold().await;
        let outline = outline_of(&mut in_force).await?;
        Ok((in_force.revision, outline))
    }

    /// Makes the edits that `plan` makes of the settings as they are then, all or none: between looking and changing
    /// nobody else changes anything. `base` is the revision that the caller looked at, where that matters.
    ///
    /// # Errors
    /// [`AmendError`], or what `plan` says; nothing has changed then.
    pub async fn amend_by<E: From<AmendError>>(
        &self,
        actor: &Actor,
        purpose: Purpose<'_>,
        mode: &Mode,
        base: Option<u64>,
        plan: impl FnOnce(&Settings) -> Result<Vec<Edit>, E> + Send,
    ) -> Result<Amended, E> {
        match mode {
            Mode::In(id) => {
                let mut transactions = self.transactions.lock().await;
                let draft = transactions.touch(id, &actor.into(), Instant::now()).map_err(AmendError::from)?;
                return self.amend_draft(actor, purpose.what, draft, base, plan).await;
            }
            Mode::Among(gathering) => {
                return self.amend_draft(actor, purpose.what, &mut *gathering.0.lock().await, base, plan).await;
            }
            Mode::Apply | Mode::WhatIf => {}
        }
        let mut in_force = self.reloader.hold().await;
        check_base(&in_force, base, || self.author_of(in_force.revision))?;
        if *mode == Mode::Apply {
            self.check_writable()?;
        }
        let edits = plan(&in_force.document.settings)?;
        let outline = Some(outline_of(&mut in_force).await?);
        let before = Before { outline, document: in_force.document.clone(), revision: in_force.revision };
        let checked = check(before, edits, actor, Read::Whole).await?;
        match mode {
            Mode::Apply => Ok(self.put_in_force(in_force, checked, actor, purpose, Origin::Amended).await?),
            _ => Ok(checked.amended),
        }
    }

    async fn amend_draft<E: From<AmendError>>(
        &self,
        actor: &Actor,
        what: &str,
        draft: &mut Draft,
        base: Option<u64>,
        plan: impl FnOnce(&Settings) -> Result<Vec<Edit>, E> + Send,
    ) -> Result<Amended, E> {
        self.check_draft(draft, base)?;
        let edits = plan(&draft.document.settings)?;
        let (outline, document) = (Some(draft.outline.clone()), draft.document.clone());
        let before = Before { outline, document, revision: draft.base };
        let read = if draft.is_of_one_call { Read::Step } else { Read::Draft };
        Ok(draft.take(check(before, edits, actor, read).await?, what))
    }

    fn check_draft(&self, draft: &Draft, base: Option<u64>) -> Result<(), AmendError> {
        match base.filter(|base| *base != draft.base) {
            Some(base) => Err(AmendError::NotNewest { base, newest: draft.base, by: self.author_of(draft.base) }),
            None => Ok(()),
        }
    }

    /// Begins to gather changes that are to become one revision.
    ///
    /// # Errors
    /// [`AmendError`], also when the file could not be replaced at the end.
    pub async fn begin(&self, actor: &Actor, why: Option<&str>) -> Result<TransactionId, AmendError> {
        self.check_writable()?;
        self.transactions.lock().await.has_room(Instant::now())?;
        let draft = self.draft(actor, why).await?;
        Ok(self.transactions.lock().await.begin(draft, Instant::now())?)
    }

    /// The same for the commands of one call: it takes no place among the open ones. `base` is the revision that the caller
    /// looked at, where that matters.
    ///
    /// # Errors
    /// [`AmendError::NotNewest`], [`AmendError::Panicked`].
    pub async fn gather(&self, actor: &Actor, why: Option<&str>, base: Option<u64>) -> Result<Gathering, AmendError> {
        let draft = self.draft(actor, why).await?;
        self.check_draft(&draft, base)?;
        Ok(Gathering::of(Draft { is_of_one_call: true, ..draft }))
    }

    async fn draft(&self, actor: &Actor, why: Option<&str>) -> Result<Draft, AmendError> {
        let mut in_force = self.reloader.hold().await;
        Ok(Draft {
            author: actor.into(),
            why: why.map(str::to_owned),
            base: in_force.revision,
            outline: outline_of(&mut in_force).await?,
            document: in_force.document.clone(),
            amendments: 0,
            done: Vec::new(),
            asked: 0,
            is_of_one_call: false,
        })
    }

    /// Puts what a transaction gathered in force as one revision, or tells what that would do.
    ///
    /// # Errors
    /// [`AmendError`]: also when settings were changed since it began. It stays open then, to be looked at or undone.
    pub async fn complete(&self, actor: &Actor, id: &TransactionId, mode: &Mode) -> Result<Amended, AmendError> {
        let mut transactions = self.transactions.lock().await;
        let draft = transactions.touch(id, &actor.into(), Instant::now())?.clone();
        let amended = self.complete_draft(actor, draft, mode).await?;
        if *mode != Mode::WhatIf {
            transactions.end(id, &actor.into(), Instant::now())?;
        }
        Ok(amended)
    }

    /// Puts what one call gathered in force as one revision, or tells what that would do.
    ///
    /// # Errors
    /// [`AmendError`]: also when settings were changed since it began. Nothing has changed then.
    pub async fn complete_gathered(
        &self,
        actor: &Actor,
        gathering: &Gathering,
        mode: &Mode,
    ) -> Result<Amended, AmendError> {
        let draft = gathering.0.lock().await.clone();
        self.complete_draft(actor, draft, mode).await
    }

    async fn complete_draft(&self, actor: &Actor, draft: Draft, mode: &Mode) -> Result<Amended, AmendError> {
        let in_force = self.reloader.hold().await;
        check_base(&in_force, Some(draft.base), || self.author_of(in_force.revision))?;
        if *mode == Mode::Apply {
            self.check_writable()?;
        }
        let (outline, document) = (in_force.outline.clone(), in_force.document.clone());
        let before = Before { outline, document, revision: draft.base };
        let what = draft.deed();
        let checked = check_text(draft.outline, before, actor, Read::Whole).await?;
        match mode {
            Mode::Apply => {
                let purpose = Purpose { why: draft.why.as_deref(), what: &what };
                self.put_in_force(in_force, checked, actor, purpose, Origin::Amended).await
            }
            _ => Ok(checked.amended),
        }
    }

    /// Transactions that were forgotten since nobody touched them, each once, with whose they were.
    pub async fn take_forgotten(&self) -> Vec<(TransactionId, Author)> {
        self.transactions.lock().await.take_forgotten(Instant::now())
    }

    /// Forgets what a transaction gathered.
    ///
    /// # Errors
    /// [`AmendError::Transaction`].
    pub async fn undo(&self, actor: &Actor, id: &TransactionId) -> Result<(), AmendError> {
        self.transactions.lock().await.end(id, &actor.into(), Instant::now())?;
        Ok(())
    }

    /// The transactions that are open.
    pub async fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.transactions.lock().await.list(Instant::now())
    }

    /// Puts the document of an earlier revision in force again, as a new revision. Passwords stay as they are now, also
    /// those whose hashes stand in the document. It has to pass all checks of today. `base` is the revision that the caller
    /// looked at, where that matters.
    ///
    /// # Errors
    /// [`AmendError`]; nothing has changed then.
    pub async fn restore(
        &self,
        actor: &Actor,
        why: Option<&str>,
        mode: &Mode,
        number: u64,
        base: Option<u64>,
    ) -> Result<Amended, AmendError> {
        let reloader = self.reloader.clone();
        let text = blocking(move || Ok(reloader.history().text(number))).await?.map_err(AmendError::Disk)?;
        let text = text.ok_or(AmendError::NoRevision(number))?;
        match mode {
            Mode::In(id) => {
                let mut transactions = self.transactions.lock().await;
                let draft = transactions.touch(id, &actor.into(), Instant::now())?;
                self.check_draft(draft, base)?;
                return restore_draft(actor, draft, number, text).await;
            }
            Mode::Among(gathering) => {
                let mut draft = gathering.0.lock().await;
                self.check_draft(&draft, base)?;
                return restore_draft(actor, &mut draft, number, text).await;
            }
            Mode::Apply | Mode::WhatIf => {}
        }
        let in_force = self.reloader.hold().await;
        check_base(&in_force, base, || self.author_of(in_force.revision))?;
        if *mode == Mode::Apply {
            self.check_writable()?;
        }
        let settings = in_force.document.settings.clone();
        let outline = blocking(move || with_passwords_of(&settings, &text)).await?;
        let before = Before { outline: None, document: in_force.document.clone(), revision: in_force.revision };
        let checked = check_text(outline, before, actor, Read::Whole).await?;
        match mode {
            Mode::Apply => {
                let purpose = Purpose { why, what: &format!("restore of {number}") };
                self.put_in_force(in_force, checked, actor, purpose, Origin::Restored { number }).await
            }
            _ => Ok(checked.amended),
        }
    }

    /// Removes passwords for smart hosts that no kept revision names.
    pub(crate) async fn forget_passwords(&self) {
        // Nobody puts an earlier revision in force meanwhile.
        let in_force = self.reloader.hold().await;
        let (document, reloader) = (in_force.document.clone(), self.reloader.clone());
        let forgotten = tokio::task::spawn_blocking(move || {
            let data_dir = &document.settings.server.data_dir;
            smart_host_passwords::clean_up(data_dir, &document.text, &reloader.history(), SystemTime::now())
        });
        if let Ok(Err(error)) = forgotten.await {
            tracing::warn!(%error, "passwords for smart hosts that nothing names any more cannot be removed");
        }
    }

    /// The document in force, with its number.
    pub async fn document(&self) -> (Arc<Document>, u64) {
        let in_force = self.reloader.hold().await;
        (in_force.document.clone(), in_force.revision)
    }

    /// Puts a document that was edited as text in force, or tells what it would do. Hashes of passwords that it leaves out
    /// (`(not shown)`) stay as they are.
    ///
    /// # Errors
    /// [`AmendError`]; nothing has changed then.
    pub async fn replace(&self, actor: &Actor, request: &SettingsRequest) -> Result<Amended, AmendError> {
        let in_force = self.reloader.hold().await;
        check_base(&in_force, Some(request.base), || self.author_of(in_force.revision))?;
        if !request.what_if {
            self.check_writable()?;
        }
        let (settings, text) = (in_force.document.settings.clone(), request.text.clone());
        let outline = blocking(move || with_hashes_of(&settings, &text)).await?;
        let before = Before { outline: None, document: in_force.document.clone(), revision: in_force.revision };
        let checked = check_text(outline, before, actor, Read::Whole).await?;
        if checked.document.settings.server.data_dir != in_force.document.settings.server.data_dir {
            return Err(ReloadError::from(ApplyError::DataDir).into());
        }
        match request.what_if {
            true => Ok(checked.amended),
            false => {
                let purpose = Purpose { why: request.why.as_deref(), what: "settings document" };
                self.put_in_force(in_force, checked, actor, purpose, Origin::Amended).await
            }
        }
    }

    /// What two revisions have in common and what not, in lines and in what they open. `None` stands for what is in force.
    ///
    /// # Errors
    /// [`AmendError::NoRevision`], [`AmendError::Problems`] where this program does not understand one of them.
    pub async fn compare(&self, old: u64, new: Option<u64>) -> Result<RevisionDifference, AmendError> {
        let in_force = self.reloader.hold().await;
        let (current, newest) = (in_force.document.clone(), in_force.revision);
        drop(in_force);
        let reloader = self.reloader.clone();
        blocking(move || {
            let recall = |number: u64| -> Result<Document, AmendError> {
                if number == newest {
                    return Ok(Document::recall("in force", current.text.clone(), &host_name())?);
                }
                let (host_name, text) = {
                    let history = reloader.history();
                    let known = history.find(number, now_ms()).ok_or(AmendError::NoRevision(number))?;
                    (known.host_name.clone(), history.text(number).map_err(AmendError::Disk)?)
                };
                let text = text.ok_or(AmendError::NoRevision(number))?;
                Ok(Document::recall(&format!("revision {number}"), text, &host_name)?)
            };
            let (old_document, new_document) = (recall(old)?, recall(new.unwrap_or(newest))?);
            let changes = audit::difference(&old_document.settings, &new_document.settings, now_ms());
            let difference = LineDifference::between(&old_document.text, &new_document.text);
            Ok(RevisionDifference {
                old,
                new: new.unwrap_or(newest),
                difference: difference.to_text(&old_document.text),
                changes: changes.iter().take(CHANGES_MAX).map(ExposureChange::from).collect(),
                changes_total: changes.len() as u64,
            })
        })
        .await
    }

    fn check_writable(&self) -> Result<(), AmendError> {
        let path = self.reloader.config();
        match read_only(path) {
            Some(why) => Err(AmendError::ReadOnly { path: path.to_path_buf(), why }),
            None => Ok(()),
        }
    }

    fn author_of(&self, number: u64) -> String {
        let history = self.reloader.history();
        history.find(number, now_ms()).map_or("somebody".to_owned(), |revision| revision.author.who.clone())
    }

    /// Steps 2 to 5. Goes on to the end whatever becomes of the caller.
    async fn put_in_force(
        &self,
        in_force: OwnedMutexGuard<InForce>,
        checked: Checked,
        actor: &Actor,
        purpose: Purpose<'_>,
        origin: Origin,
    ) -> Result<Amended, AmendError> {
        if !checked.changed {
            return Ok(checked.amended);
        }
        let change = Change {
            reloader: self.reloader.clone(),
            in_force,
            checked,
            author: actor.into(),
            why: purpose.why.map(str::to_owned),
            what: purpose.what.to_owned(),
            origin,
        };
        tokio::spawn(change.put_in_force()).await.map_err(|_| AmendError::Panicked)?
    }
}

/// Puts the text of an earlier revision into a draft.
async fn restore_draft(actor: &Actor, draft: &mut Draft, number: u64, text: String) -> Result<Amended, AmendError> {
    let settings = draft.document.settings.clone();
    let outline = blocking(move || with_passwords_of(&settings, &text)).await?;
    let before = Before { outline: None, document: draft.document.clone(), revision: draft.base };
    Ok(draft.take(check_text(outline, before, actor, Read::Draft).await?, &format!("restore of {number}")))
}

impl Draft {
    /// Goes on with what came out of a change; hands on what it does.
    fn take(&mut self, checked: Checked, what: &str) -> Amended {
        (self.outline, self.document) = (checked.outline, checked.document);
        if checked.changed {
            self.note(what);
        }
        self.asked += 1;
        checked.amended
    }
}

fn check_base(in_force: &InForce, base: Option<u64>, by: impl FnOnce() -> String) -> Result<(), AmendError> {
    match base.filter(|base| *base != in_force.revision) {
        Some(base) => Err(AmendError::NotNewest { base, newest: in_force.revision, by: by() }),
        None => Ok(()),
    }
}

/// The sections of the document in force, which are kept once they are known.
async fn outline_of(in_force: &mut InForce) -> Result<Outline, AmendError> {
    if let Some(outline) = &in_force.outline {
        return Ok(outline.clone());
    }
    let document = in_force.document.clone();
    let outline = blocking(move || Ok(Outline::of(&document.text))).await?;
    in_force.outline = Some(outline.clone());
    Ok(outline)
}
