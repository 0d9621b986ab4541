//! Administrators, tokens and sessions of the running server.
//!
//! Takes what somebody presents, hands on who that is, or that it proves nothing, after the same time whether the name
//! exists or not. Changes the file of secrets, one change at a time, under the same lock as the command line.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use gatepost_transport::authenticate::{Authenticator, Checked};

use super::actor::{Actor, Source};
use super::pending::{Pending, Unconfirmed};
use super::presented::{Presented, SESSION_WORD};
use super::rate::Rates;
use super::session::{AskedBy, Proven, Sessions};
use crate::clock::now_ms;
use crate::credentials::{
    Administrator, PASSWORD_BYTES_MAX, Secret, SecretHash, Secrets, SecretsError, TotpSecret, is_same_secret,
};
use crate::data_folder::{self, DataFolderError};

/// The last use of a token is written down no more often than this.
const LAST_USE_MS: u64 = 60 * 1_000;

/// Who may administer the running server.
pub struct Accounts {
    data_dir: PathBuf,
    secrets: RwLock<Arc<Secrets>>,
    passwords: Authenticator,
    rates: Mutex<Rates>,
    sessions: Mutex<Sessions>,
    /// The newest step of which a code was taken, by the lower-case name of an administrator.
    codes: Mutex<HashMap<String, u64>>,
    /// Secrets for codes that wait for their first code.
    pending: Mutex<Pending>,
    /// When tokens were used, as far as it is not written down.
    used: Mutex<HashMap<String, u64>>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// What was presented proves nothing.
    Wrong,
    /// Too many failures: not before this time has passed.
    Wait(Duration),
    /// Too many passwords are being checked.
    Busy,
}

/// A session that has begun.
pub struct Begun {
    /// What later requests present as a bearer.
    pub secret: Secret,
    /// Until when at most, in Unix milliseconds.
    pub expires_ms: u64,
    /// Who is in it.
    pub actor: Actor,
}

/// Why a change did not get into the file of secrets.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// It is no change that can be made.
    #[error(transparent)]
    Refused(E),
    /// The file cannot be read or written.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The data folder cannot be locked.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// A panic; our bug.
    #[error("that failed unexpectedly; the log has the cause")]
    Panicked,
}

/// Changes the file of secrets of a server that need not run, whole or not at all. Blocking.
///
/// # Errors
/// [`ChangeError`]; the file is as it was then.
pub fn change_file<T, E>(
    data_dir: &Path,
    edit: impl FnOnce(&mut Secrets) -> Result<T, E>,
) -> Result<(T, Secrets), ChangeError<E>> {
    let _lock = data_folder::lock(data_dir)?;
    let mut secrets = Secrets::read(data_dir)?;
    let done = edit(&mut secrets).map_err(ChangeError::Refused)?;
    secrets.write(data_dir)?;
    Ok((done, secrets))
}

impl Accounts {
    /// Those of the file that was just read.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn new(data_dir: &Path, secrets: Secrets) -> Result<Accounts, SecretsError> {
        Ok(Accounts {
            data_dir: data_dir.to_path_buf(),
            secrets: RwLock::new(Arc::new(secrets)),
            passwords: Authenticator::new().map_err(|_| SecretsError::Randomness)?,
            rates: Mutex::default(),
            sessions: Mutex::default(),
            codes: Mutex::default(),
            pending: Mutex::default(),
            used: Mutex::default(),
        })
    }

    /// What the file says as far as is known.
    pub fn secrets(&self) -> Arc<Secrets> {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again, which somebody may have changed. One that cannot be read changes nothing.
    pub async fn read_again(self: &Arc<Self>) {
        let accounts = self.clone();
        // Without the lock of the data folder, which whoever changes settings holds while this is asked: the file is only
        // ever replaced as a whole. What a change of ours took meanwhile is newer than what was read here.
        let read = tokio::task::spawn_blocking(move || -> Result<(), ChangeError<std::convert::Infallible>> {
            let known = accounts.secrets();
            let read = Secrets::read(&accounts.data_dir)?;
            let mut secrets = accounts.secrets.write().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&secrets, &known) {
                *secrets = Arc::new(read);
            }
            Ok(())
        });
        if let Err(error) = read.await.unwrap_or(Err(ChangeError::Panicked)) {
            tracing::error!(%error, "administrators and tokens are those from before");
        }
    }

    fn take(&self, secrets: Secrets) {
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(secrets);
    }

    /// Changes the file, and what is known of it.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub async fn change<T, E>(
        self: &Arc<Self>,
        edit: impl FnOnce(&mut Secrets) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let accounts = self.clone();
        let changed = tokio::task::spawn_blocking(move || {
            let used = lock(&accounts.used).clone();
            let (done, secrets) = change_file(&accounts.data_dir, |secrets| {
                note_use(secrets, &used);
                edit(secrets)
            })?;
            accounts.take(secrets);
            Ok(done)
        });
        changed.await.unwrap_or(Err(ChangeError::Panicked))
    }

    /// Whom a request is from that presents this. A session lives on by what somebody asks for.
    ///
    /// # Errors
    /// [`Denied`], which does not say what was wrong.
    pub async fn identify(
        self: &Arc<Self>,
        presented: Presented,
        address: Option<IpAddr>,
        asked_by: AskedBy,
    ) -> Result<Actor, Denied> {
        match presented {
            Presented::Bearer(bearer) if bearer.starts_with(SESSION_WORD) => {
                self.of_session(SecretHash::of(&bearer), address, asked_by)
            }
            Presented::Bearer(bearer) => self.of_token(&bearer, address),
            Presented::Password { name, password, code } => {
                let administrator = self.prove(&name, &password, code.as_deref(), address).await?;
                Ok(by_password(&administrator, address, None))
            }
        }
    }

    fn of_session(&self, presented: SecretHash, address: Option<IpAddr>, asked_by: AskedBy) -> Result<Actor, Denied> {
        let session = lock(&self.sessions).find(&presented, now_ms(), asked_by).ok_or(Denied::Wrong)?;
        // As it is now: who has lost a role has lost it in open sessions, too.
        let secrets = self.secrets();
        let administrator = secrets.administrator(&session.name);
        let administrator = administrator.filter(|known| Proven::of(known) == session.proven);
        Ok(by_password(administrator.ok_or(Denied::Wrong)?, address, Some(presented)))
    }

    /// Who an actor is by now; `None` where what they came with is good for nothing any more. Nobody has asked for anything.
    /// Whether a password is still the one that they came with, [`Accounts::proven`] says; what the socket's group may, the
    /// settings do.
    pub fn as_of_now(&self, actor: &Actor) -> Option<Actor> {
        let (secrets, now_ms) = (self.secrets(), now_ms());
        match &actor.source {
            Source::Password { address, session: Some(session) } => {
                self.of_session(*session, *address, AskedBy::OpenPage).ok()
            }
            Source::Password { address, session: None } => {
                secrets.administrator(&actor.name).map(|known| by_password(known, *address, None))
            }
            Source::Token { id, .. } => {
                let mut tokens = secrets.tokens.iter();
                let is_good = tokens.any(|token| *token.id == **id && token.expires_ms.is_none_or(|end| now_ms < end));
                is_good.then(|| actor.clone())
            }
            Source::Socket { .. } | Source::Server | Source::Nobody { .. } => Some(actor.clone()),
        }
    }

    /// What an actor has to prove who comes with a password each time, and not by a session, which knows what it began with.
    pub fn proven(&self, actor: &Actor) -> Option<Proven> {
        match &actor.source {
            Source::Password { session: None, .. } => self.secrets().administrator(&actor.name).map(Proven::of),
            _ => None,
        }
    }

    /// Begins a session of whoever this is.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn begin_session(
        &self,
        name: &str,
        password: &str,
        code: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Begun, Denied> {
        let administrator = self.prove(name, password, code, address).await?;
        let secret = Secret::fresh(SESSION_WORD).map_err(|_| Denied::Busy)?;
        // With what was proven, which may be another thing than what has to be proven by now.
        let (name, proven) = (administrator.name.clone(), Proven::of(&administrator));
        let expires_ms = lock(&self.sessions).begin(&secret, name, proven, now_ms());
        let actor = by_password(&administrator, address, Some(secret.hash()));
        Ok(Begun { secret, expires_ms, actor })
    }

    /// Goes on with a session whose owner has to prove something else from now on, and ends their others.
    pub fn keep_session(&self, session: &SecretHash, administrator: &Administrator) {
        lock(&self.sessions).keep(session, Proven::of(administrator));
    }

    /// Gives a session another secret, so that nobody else who has the old one goes on with it. `None` where it has ended.
    ///
    /// # Errors
    /// When the operating system gives no randomness; the session goes on under its old secret then.
    pub fn renew_session(&self, session: &SecretHash) -> Result<Option<(Secret, u64)>, SecretsError> {
        let secret = Secret::fresh(SESSION_WORD)?;
        let expires_ms = lock(&self.sessions).renew(session, &secret);
        Ok(expires_ms.map(|expires_ms| (secret, expires_ms)))
    }

    /// Begins to wait for the first code of a fresh secret, which `by` has made for `administrator`.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn begin_codes(&self, administrator: &Administrator, by: &Actor) -> Result<TotpSecret, SecretsError> {
        let secret = TotpSecret::fresh()?;
        lock(&self.pending).begin(administrator, secret.clone(), by, now_ms());
        Ok(secret)
    }

    /// The secret whose first code this is. It is not in force yet, and waits no longer; the code is used up.
    ///
    /// # Errors
    /// [`Unconfirmed`].
    pub fn confirm_codes(
        &self,
        administrator: &Administrator,
        by: &Actor,
        code: &str,
    ) -> Result<TotpSecret, Unconfirmed> {
        let (now_ms, what) = (now_ms(), format!("the first code of {}", administrator.name));
        let attempt = lock(&self.rates).begin(by.address(), &what, now_ms).map_err(Unconfirmed::Wait)?;
        let confirmed = lock(&self.pending).confirm(administrator, by, code, now_ms);
        match &confirmed {
            Ok((_, step)) => {
                lock(&self.rates).succeed(attempt);
                lock(&self.codes).insert(administrator.name.to_lowercase(), *step);
            }
            Err(Unconfirmed::NoneWaits) => lock(&self.rates).take_back(attempt),
            Err(Unconfirmed::Wrong | Unconfirmed::Wait(_)) => {}
        }
        confirmed.map(|(secret, _)| secret)
    }

    /// Ends the session that this bearer is of; says whether there was one.
    pub fn end_session(&self, bearer: &str) -> bool {
        lock(&self.sessions).end(&SecretHash::of(bearer))
    }

    /// An attempt to guess something else than a password, a one-time token say, under the same limits.
    ///
    /// # Errors
    /// [`Denied::Wait`].
    pub fn limit<T>(
        &self,
        address: Option<IpAddr>,
        what: &str,
        attempt: impl FnOnce() -> Option<T>,
    ) -> Result<T, Denied> {
        let begun = lock(&self.rates).begin(address, what, now_ms()).map_err(Denied::Wait)?;
        let right = attempt().ok_or(Denied::Wrong)?;
        lock(&self.rates).succeed(begun);
        Ok(right)
    }

    fn of_token(self: &Arc<Self>, bearer: &str, address: Option<IpAddr>) -> Result<Actor, Denied> {
        let (hash, secrets, now) = (SecretHash::of(bearer), self.secrets(), now_ms());
        // Nobody guesses 256 bits, so failures cost no wait, and all tokens may be compared.
        let same = secrets.tokens.iter().find(|token| is_same_secret(&token.hash, &hash));
        let token = same.filter(|token| token.expires_ms.is_none_or(|end| now < end)).ok_or(Denied::Wrong)?;
        self.note_token(&token.id, token.last_used_ms, now);
        Ok(Actor {
            name: token.note.as_str().into(),
            source: Source::Token { id: token.id.as_str().into(), address },
            roles: token.roles,
            commands: token.commands.iter().map(|pattern| pattern.as_str().into()).collect(),
        })
    }

    /// Remembers that a token was used, and writes it down if that is due.
    fn note_token(self: &Arc<Self>, id: &str, written_ms: Option<u64>, now: u64) {
        let mut used = lock(&self.used);
        let noted = used.get(id).copied().or(written_ms);
        if noted.is_some_and(|noted| now < noted.saturating_add(LAST_USE_MS)) {
            return;
        }
        used.insert(id.to_owned(), now);
        drop(used);
        let accounts = self.clone();
        tokio::spawn(async move {
            let noted = accounts.change(|_| Ok::<(), std::convert::Infallible>(())).await;
            if let Err(error) = noted {
                tracing::warn!(%error, "when a token was used last cannot be written down");
            }
        });
    }

    /// When a token was used last.
    pub fn last_used_ms(&self, id: &str, written_ms: Option<u64>) -> Option<u64> {
        lock(&self.used).get(id).copied().max(written_ms)
    }

    /// Whom a name, a password and a code are of. A code is good for one such question.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn prove(
        &self,
        name: &str,
        password: &str,
        code: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Administrator, Denied> {
        let attempt = lock(&self.rates).begin(address, name, now_ms()).map_err(Denied::Wait)?;
        let secrets = self.secrets();
        let known = secrets.administrator(name);
        // What is too long for a password is none, and need not be hashed.
        let password = if password.len() > PASSWORD_BYTES_MAX { "" } else { password };
        let hash = known.map(|known| (known.name.as_str().into(), known.password.as_str().to_owned()));
        match self.passwords.check_hash(hash, password).await {
            Checked::Right(_) => {}
            Checked::Wrong => return Err(Denied::Wrong),
            Checked::Busy => {
                lock(&self.rates).take_back(attempt);
                return Err(Denied::Busy);
            }
        }
        let known = known.ok_or(Denied::Wrong)?;
        if let Some(totp) = &known.totp {
            let mut codes = lock(&self.codes);
            let name = known.name.to_lowercase();
            let step = totp.step_of(code.unwrap_or_default(), now_ms(), codes.get(&name).copied());
            codes.insert(name, step.ok_or(Denied::Wrong)?);
        }
        // Hashing takes its time: what was right when it began may have been changed meanwhile, as by an owner who has lost it.
        let current = self.secrets();
        let current = current.administrator(name).filter(|current| Proven::of(current) == Proven::of(known));
        let current = current.ok_or(Denied::Wrong)?;
        lock(&self.rates).succeed(attempt);
        Ok(current.clone())
    }
}

fn by_password(administrator: &Administrator, address: Option<IpAddr>, session: Option<SecretHash>) -> Actor {
    Actor {
        name: administrator.name.as_str().into(),
        source: Source::Password { address, session },
        roles: administrator.roles,
        commands: Box::default(),
    }
}

fn note_use(secrets: &mut Secrets, used: &HashMap<String, u64>) {
    for token in &mut secrets.tokens {
        token.last_used_ms = token.last_used_ms.max(used.get(&token.id).copied());
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
