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

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::http::StatusCode;
use gatepost_policy::Settings;
use gatepost_policy::audit;
use gatepost_policy::rerouting;
use gatepost_policy::role::Role;
use gatepost_policy::settings::Problem;
use gatepost_transport::reload::ApplyError;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::access::{Act, Actor, Source, permit};
use crate::clock::now_ms;
use crate::credentials::Secrets;
use crate::data_folder::{self, DataFolderError};
use crate::document::{Document, LoadError, host_name, read_text};
use crate::edit::{self, Edit, EditError, Outline, Target};
use crate::history::{Author, Note, Origin};
use crate::line_difference::{LineDifference, NOT_SHOWN};
use crate::reload::{InForce, ReloadError, Reloader, log_exposure, log_warning};
use crate::replace::{Replacement, folder_of, read_only, replace_file};
use crate::resource::{
    Amended, CHANGES_MAX, ExposureChange, Refused, RevisionDifference, SettingsProblem, SettingsRequest,
};
use crate::smart_host_passwords;
use crate::system_user::system_user;
use crate::transaction::{Draft, Gathering, OpenTransaction, TransactionError, TransactionId, Transactions};

/// Documents that could not be put in force are kept beside the settings file up to this number.
const NOT_APPLIED_MAX: usize = 10;
/// Whatever the command was: `[management]` says who may administer.
const ACCESS_CHANGE: Act<'static> = Act { name: "changing [management]", role: Role::SecurityOfficer };

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

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// The edit does not fit the document.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The document would have problems.
    #[error("the settings would have problems: {}", told(.0))]
    Problems(Box<Faulty>),
    /// The change is about who may administer, and the one who makes it may not say that.
    #[error("{0}")]
    Forbidden(String),
    /// The file cannot be replaced.
    #[error(
        "the settings file {path} is read-only (container?): {why}; change it where it comes from and run `gatepost reload`, or let the server write its folder",
        path = .path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// How that is known.
        why: String,
    },
    /// Somebody edited the file, and it was not reloaded.
    #[error(
        "{path} was changed by hand since it was put in force, and nothing of that is lost: run `gatepost reload` to put it in force, then make this change again{}",
        kept_as(.kept.as_deref()),
        path = .path.display()
    )]
    ChangedByHand {
        /// The file.
        path: PathBuf,
        /// Where the document with this change is kept; none if there were too many, or the disk did not take it.
        kept: Option<PathBuf>,
    },
    /// The caller looked at an older revision.
    #[error(
        "revision {newest} is in force, by {by}, and this change was made for revision {base}: look again, then make it again"
    )]
    NotNewest {
        /// What the caller looked at.
        base: u64,
        /// What is in force.
        newest: u64,
        /// Whose it is.
        by: String,
    },
    /// No such transaction, or no room.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// No such revision, or it is damaged.
    #[error("there is no revision {0}: `gatepost revisions` lists those that are kept")]
    NoRevision(u64),
    /// The server cannot put it in force.
    #[error(transparent)]
    Apply(#[from] ReloadError),
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The disk did not take it.
    #[error("the disk does not take the change, so nothing was changed: {0}")]
    Disk(std::io::Error),
    /// A panic; our bug.
    #[error("that failed unexpectedly; the log has the cause")]
    Panicked,
}

/// A document that is not put in force, with its problems.
pub type Faulty = crate::document::Faulty;

fn told(faulty: &Faulty) -> String {
    let errors = errors(faulty);
    let shown: Vec<_> =
        errors.clone().take(3).map(|problem| format!("{}; {}", problem.message, problem.remedy)).collect();
    let more = errors.count() - shown.len();
    shown.join(". ") + &if more > 0 { format!(". And {more} more") } else { String::new() }
}

/// What stands in the way; what is merely odd about the document has nothing to do with the change.
fn errors(faulty: &Faulty) -> impl Iterator<Item = &Problem> + Clone {
    faulty.problems.iter().filter(|problem| problem.severity == gatepost_policy::settings::Severity::Error)
}

fn kept_as(kept: Option<&Path>) -> String {
    kept.map_or(String::new(), |kept| format!(" (the document with it is kept as {})", kept.display()))
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

impl From<LoadError> for AmendError {
    fn from(error: LoadError) -> AmendError {
        match error {
            LoadError::Problems(faulty) => AmendError::Problems(faulty),
            error => AmendError::Apply(ReloadError::Load(error)),
        }
    }
}

impl AmendError {
    /// The same as an HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            AmendError::Edit(EditError::Unknown(_)) | AmendError::NoRevision(_) => StatusCode::NOT_FOUND,
            AmendError::Transaction(TransactionError::Unknown(_)) => StatusCode::NOT_FOUND,
            AmendError::Transaction(TransactionError::TooMany) => StatusCode::TOO_MANY_REQUESTS,
            AmendError::Edit(EditError::Nameless { .. }) => StatusCode::BAD_REQUEST,
            AmendError::Problems(_) => StatusCode::UNPROCESSABLE_ENTITY,
            AmendError::Forbidden(_) => StatusCode::FORBIDDEN,
            AmendError::NotNewest { .. } => StatusCode::PRECONDITION_FAILED,
            AmendError::Edit(EditError::Exists { .. } | EditError::Shape { .. })
            | AmendError::ReadOnly { .. }
            | AmendError::ChangedByHand { .. }
            | AmendError::Apply(_) => StatusCode::CONFLICT,
            AmendError::Disk(_) | AmendError::DataFolder(_) => StatusCode::INSUFFICIENT_STORAGE,
            AmendError::Transaction(TransactionError::NoRandomness) | AmendError::Panicked => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// The same for the API's caller.
    pub fn to_refused(&self) -> Refused {
        let mut refused = Refused::new(self.to_string());
        if let AmendError::Problems(faulty) = self {
            refused.problems = errors(faulty).map(|problem| SettingsProblem::of(problem, &faulty.text)).collect();
            refused.rendered = Some(faulty.render(false));
        }
        refused
    }
}

/// A change that may be put in force.
struct Checked {
    outline: Outline,
    document: Arc<Document>,
    amended: Amended,
    changed: bool,
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
        let before = Before { outline: Some(outline_of(&mut in_force).await?), document: in_force.document.clone() };
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
        if let Some(base) = base.filter(|base| *base != draft.base) {
            let by = self.author_of(draft.base);
            return Err(AmendError::NotNewest { base, newest: draft.base, by }.into());
        }
        let edits = plan(&draft.document.settings)?;
        let before = Before { outline: Some(draft.outline.clone()), document: draft.document.clone() };
        let read = if draft.is_of_one_call { Read::Step } else { Read::Draft };
        Ok(draft.take(check(before, edits, actor, read).await?, what))
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

    /// The same for the commands of one call: it takes no place among the open ones.
    ///
    /// # Errors
    /// [`AmendError::Panicked`].
    pub async fn gather(&self, actor: &Actor, why: Option<&str>) -> Result<Gathering, AmendError> {
        let draft = self.draft(actor, why).await?;
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
        let before = Before { outline: in_force.outline.clone(), document: in_force.document.clone() };
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
    /// those whose hashes stand in the document. It has to pass all checks of today.
    ///
    /// # Errors
    /// [`AmendError`]; nothing has changed then.
    pub async fn restore(
        &self,
        actor: &Actor,
        why: Option<&str>,
        mode: &Mode,
        number: u64,
    ) -> Result<Amended, AmendError> {
        let reloader = self.reloader.clone();
        let text = blocking(move || Ok(reloader.history().text(number))).await?.map_err(AmendError::Disk)?;
        let text = text.ok_or(AmendError::NoRevision(number))?;
        match mode {
            Mode::In(id) => {
                let mut transactions = self.transactions.lock().await;
                return restore_draft(actor, transactions.touch(id, &actor.into(), Instant::now())?, number, text)
                    .await;
            }
            Mode::Among(gathering) => return restore_draft(actor, &mut *gathering.0.lock().await, number, text).await,
            Mode::Apply | Mode::WhatIf => {}
        }
        let in_force = self.reloader.hold().await;
        if *mode == Mode::Apply {
            self.check_writable()?;
        }
        let settings = in_force.document.settings.clone();
        let outline = blocking(move || with_passwords_of(&settings, &text)).await?;
        let before = Before { outline: None, document: in_force.document.clone() };
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
        let before = Before { outline: None, document: in_force.document.clone() };
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
    let before = Before { outline: None, document: draft.document.clone() };
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

/// A change on its way.
struct Change {
    reloader: Arc<Reloader>,
    in_force: OwnedMutexGuard<InForce>,
    checked: Checked,
    author: Author,
    why: Option<String>,
    what: String,
    origin: Origin,
}

impl Change {
    async fn put_in_force(self) -> Result<Amended, AmendError> {
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

/// Runs what reads the disk or takes long away from those who serve mail.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AmendError> + Send + 'static,
) -> Result<T, AmendError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| AmendError::Panicked)?
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

/// What a change begins with.
struct Before {
    /// Its sections, where they may be those of what comes out.
    outline: Option<Outline>,
    document: Arc<Document>,
}

/// How far a document is checked.
#[derive(Clone, Copy)]
enum Read {
    /// To be put in force.
    Whole,
    /// To be changed further.
    Draft,
    /// The same, by the same call: nobody is told what this step alone would open.
    Step,
}

/// Step 1 for edits.
async fn check(before: Before, edits: Vec<Edit>, actor: &Actor, read: Read) -> Result<Checked, AmendError> {
    let mut outline = before.outline.clone().unwrap_or_default();
    let outline = blocking(move || {
        edits.iter().try_for_each(|edit| edit::apply(&mut outline, edit))?;
        Ok(outline)
    })
    .await?;
    check_text(outline, before, actor, read).await
}

/// Step 1 for a whole document.
async fn check_text(outline: Outline, before: Before, actor: &Actor, read: Read) -> Result<Checked, AmendError> {
    let may_administer_access = permit(actor, ACCESS_CHANGE);
    blocking(move || {
        let Before { outline: old_outline, document: before } = before;
        let text = outline.text();
        if text == before.text {
            return Ok(Checked { outline, document: before, amended: Amended::default(), changed: false });
        }
        let kept = old_outline.map_or(Vec::new(), |old| outline.kept_since(&old));
        let document = match read {
            Read::Whole => before.parse_again(text, &kept)?,
            Read::Draft | Read::Step => before.draft_again(text, &kept)?,
        };
        if document.settings.management != before.settings.management {
            may_administer_access.map_err(AmendError::Forbidden)?;
        }
        let (changes, difference) = match read {
            Read::Step => Default::default(),
            Read::Whole | Read::Draft => {
                let changes = audit::difference(&before.settings, &document.settings, now_ms());
                (changes, LineDifference::between(&before.text, &document.text))
            }
        };
        let is_known =
            |warning: &&Problem| before.settings.warnings.iter().all(|known| known.message != warning.message);
        let warnings = document.settings.warnings.iter().filter(is_known).map(SettingsProblem::from).collect();
        let amended = Amended {
            is_changed: true,
            exposure: changes.iter().take(CHANGES_MAX).map(ExposureChange::from).collect(),
            exposure_total: changes.len() as u64,
            // Of a step of several nobody reads it.
            rerouted: match read {
                Read::Step => Vec::new(),
                Read::Whole | Read::Draft => rerouting::told(&before.settings, &document.settings),
            },
            warnings,
            difference: difference.to_text(&before.text),
            ..Amended::default()
        };
        Ok(Checked { outline, document: Arc::new(document), amended, changed: true })
    })
    .await
}

/// A document of earlier times with the passwords of today.
fn with_passwords_of(settings: &Settings, text: &str) -> Result<Outline, AmendError> {
    let mut outline = Outline::of(text);
    let places = outline.sections().iter().flat_map(|section| section.places.iter());
    let users: Vec<String> = places
        .filter(|place| &*place.table == "user")
        .filter_map(|place| place.name.as_deref().map(str::to_owned))
        .collect();
    for user in users {
        let known = settings.users.iter().find(|known| known.name.to_lowercase() == user);
        let target = Target::named("user", user);
        let key = "password".into();
        let edit = match known.and_then(|known| known.password.as_ref()) {
            Some(hash) => Edit::Set { target, key, value: hash.as_str().into() },
            None => Edit::Unset { target, key },
        };
        edit::apply(&mut outline, &edit)?;
    }
    smart_host_passwords::of_today(settings, text).iter().try_for_each(|edit| edit::apply(&mut outline, edit))?;
    Ok(outline)
}

/// A document in which hashes are left out, with those of the settings in force.
fn with_hashes_of(settings: &Settings, text: &str) -> Result<Outline, AmendError> {
    let mut outline = Outline::of(text);
    let with_gaps = outline.sections().iter().filter(|section| section.text.contains(NOT_SHOWN));
    let users: Vec<String> = with_gaps
        .flat_map(|section| section.places.iter())
        .filter(|place| &*place.table == "user")
        .filter_map(|place| place.name.as_deref().map(str::to_owned))
        .collect();
    for name in users {
        let known = settings.users.iter().find(|known| known.name.to_lowercase() == name);
        // Whoever is not known keeps the gap, and the check of the document says that it is no hash.
        if let Some(hash) = known.and_then(|known| known.password.as_ref()) {
            let target = Target::named("user", name);
            edit::apply(&mut outline, &Edit::Set { target, key: "password".into(), value: hash.as_str().into() })?;
        }
    }
    Ok(outline)
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

#[cfg(test)]
mod tests {
    use gatepost_policy::settings;

    use super::*;
    use crate::document::defaults;

    #[test]
    fn a_document_that_leaves_hashes_out_keeps_those_in_force() {
        const HASH: &str =
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        let with = |password: &str, more: &str| {
            format!(
                "[server]\nname = \"mail.contoso.com\"\n\n[[user]] # \"alice\"\nname = \"Alice\"\npassword = \"{password}\" # hers\n\
                 addresses = [\"alice@contoso.com\"]\n\n[[accepted_domain]]\nname = \"contoso.com\"\n{more}"
            )
        };
        let in_force = settings::parse(&with(HASH, ""), &defaults()).expect("settings");
        let edited = with(NOT_SHOWN, "# more\n");
        let outline = with_hashes_of(&in_force, &edited).expect("an outline");
        assert_eq!(outline.text(), with(HASH, "# more\n"));
        // Whoever is not known has no hash to keep, and a text that is no document stays as it is, for its check.
        for text in [edited.replace("Alice", "Mallory"), "password = (not shown)\n[".to_owned()] {
            assert_eq!(with_hashes_of(&in_force, &text).expect("an outline").text(), text);
        }
    }
}
