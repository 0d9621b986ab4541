//! Who may administer, and what they did: what the calls of the API and the commands of the registry do alike.
//!
//! Takes requests of somebody who may make them, hands on what was made. Shows a secret once, to the one who made it, and
//! never a hash.

use std::sync::Arc;

use axum::http::StatusCode;
use gatepost_policy::role::{Role, Roles};
use gatepost_transport::Control;

use crate::access::administrators::{
    self, AccountError, AdministratorChange, NewAdministrator, NewToken as TokenWish, TotpChange, hash_password,
};
use crate::access::{
    Access, Act, Actor, ChangeError, Criteria, Denied, PENDING_LIFETIME_MS, Source, Unconfirmed, permit,
};
use crate::clock::now_ms;
use crate::credentials::{Administrator, ApiToken, PasswordHash, Secrets, SecretsError, is_same_user};
use crate::refusal::{Refusal, refuse};
use crate::resource::{
    ACTS_LIMIT_MAX, ActEntry, AdministratorRequest, AdministratorShown, CurrentSecrets, NewAdministratorRequest,
    NewToken, NewTokenRequest, SessionRenewed, SessionShown, SetupRequest, TokenShown,
};
use crate::setup;

/// Where somebody asks.
pub struct Office<'a> {
    /// The running server.
    pub control: &'a Control,
    /// Who may administer it, and what they did.
    pub access: &'a Arc<Access>,
    /// Who asks.
    pub actor: &'a Actor,
    /// Whether changes are only tried: nothing is written then, and no secret is good for anything.
    pub is_what_if: bool,
}

impl Office<'_> {
    /// Everybody who may administer by name and password.
    pub fn administrators(&self) -> Vec<AdministratorShown> {
        self.access.accounts.secrets().administrators.iter().map(shown).collect()
    }

    /// Makes the first one, by the one-time token.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn redeem(&self, request: SetupRequest) -> Result<AdministratorShown, Refusal> {
        let SetupRequest { token, name, password } = request;
        let password = hash(&name, password).await?;
        let made =
            self.change(move |secrets| administrators::redeem(secrets, &token, name, password, now_ms())).await?;
        setup::clean_up(&self.control.data_dir());
        Ok(shown(&made))
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn add(&self, request: NewAdministratorRequest) -> Result<AdministratorShown, Refusal> {
        let NewAdministratorRequest { name, password, roles: wanted } = request;
        let roles = roles(&wanted)?;
        let new = NewAdministrator { password: hash(&name, password).await?, name, roles };
        let made = self.change(move |secrets| administrators::add(secrets, new, now_ms())).await?;
        if !self.is_what_if {
            setup::clean_up(&self.control.data_dir());
        }
        Ok(shown(&made))
    }

    /// Changes one. Everybody may change their own password and codes, after proving who they are now; nobody their own roles.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn set(&self, name: &str, request: AdministratorRequest) -> Result<AdministratorShown, Refusal> {
        let AdministratorRequest { password, roles: wanted, totp, totp_code, current } = request;
        let actor = self.actor;
        let is_self = self.is_self(name);
        if !is_self || wanted.is_some() {
            let act = Act { name: "Set-Administrator", role: Role::SecurityOfficer };
            permit(actor, act).map_err(|lacking| refuse(StatusCode::FORBIDDEN, lacking))?;
        }
        if let Some(code) = totp_code {
            if password.is_some() || wanted.is_some() || totp.is_some() {
                let error = "the first code of a secret comes in a request of its own, without other changes";
                return Err(refuse(StatusCode::BAD_REQUEST, error));
            }
            return self.confirm_codes(name, &code).await;
        }
        if is_self && password.is_some() && totp == Some(true) && actor.session().is_some() {
            let error = "ask for a secret in a request of its own, after the new password: that password ends what was begun before";
            return Err(refuse(StatusCode::BAD_REQUEST, error));
        }
        let changes_proof = password.is_some() || totp.is_some();
        // Who has brought the password, and the code, with this request has proven it just now. A look proves nothing: it would be
        // a question about the password that no record tells of, and use up the code.
        if is_self && changes_proof && actor.session().is_some() && !self.is_what_if {
            self.prove_again(current).await?;
        }
        let roles = wanted.map(|wanted| roles(&wanted)).transpose()?;
        let password = match password {
            Some(password) => Some(hash(name, password).await?),
            None => None,
        };
        let off = (totp == Some(false)).then_some(TotpChange::Off);
        let made = self.change_one(name, AdministratorChange { roles, password, totp: off }).await?;
        let uri = match totp == Some(true) && !self.is_what_if {
            true => Some(self.begin_codes(&made)?),
            false => None,
        };
        Ok(AdministratorShown { totp_uri: uri, ..shown(&made) })
    }

    /// Whether somebody asks about themselves.
    fn is_self(&self, name: &str) -> bool {
        matches!(self.actor.source, Source::Password { .. }) && is_same_user(&self.actor.name, name)
    }

    /// Changes one; a session in which its owner has changed what they have to prove is the only one of theirs that goes on.
    async fn change_one(&self, name: &str, change: AdministratorChange) -> Result<Administrator, Refusal> {
        let (wanted, changes_proof) = (name.to_owned(), change.password.is_some() || change.totp.is_some());
        let made = self.change(move |secrets| administrators::set(secrets, &wanted, change)).await?;
        let is_kept = changes_proof && self.is_self(name) && !self.is_what_if;
        if let Some(session) = self.actor.session().filter(|_| is_kept) {
            self.access.accounts.keep_session(&session, &made);
        }
        Ok(made)
    }

    /// Makes a secret that waits for its first code, as an app takes it.
    fn begin_codes(&self, administrator: &Administrator) -> Result<String, Refusal> {
        let secret = self.access.accounts.begin_codes(administrator, self.actor);
        let secret = secret.map_err(|error| refused(error.into()))?;
        let server = self.control.settings().server.name.to_string();
        Ok(secret.to_uri(&server, &administrator.name))
    }

    /// Asks for codes of the secret that waits, whose first code this is.
    async fn confirm_codes(&self, name: &str, code: &str) -> Result<AdministratorShown, Refusal> {
        let secrets = self.access.accounts.secrets();
        let unknown = || refused(AccountError::Unknown(name.to_owned()));
        let known = secrets.administrator(name).ok_or_else(unknown)?;
        if self.is_what_if {
            return Ok(shown(known));
        }
        let secret = self.access.accounts.confirm_codes(known, self.actor, code).map_err(unconfirmed)?;
        let totp = TotpChange::On { secret, since_ms: now_ms() };
        let change = AdministratorChange { totp: Some(totp), ..AdministratorChange::default() };
        Ok(shown(&self.change_one(name, change).await?))
    }

    /// Gives the session of this request another secret, after what its owner has to prove has changed: who has got hold of
    /// the old one is in it no longer. `None` where it is in none.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn renew_session(&self) -> Result<Option<SessionRenewed>, Refusal> {
        let Some(session) = self.actor.session() else { return Ok(None) };
        let renewed = self.access.accounts.renew_session(&session).map_err(|error| refused(error.into()))?;
        Ok(renewed.map(|(secret, expires_ms)| SessionRenewed { secret: secret.reveal().to_owned(), expires_ms }))
    }

    /// Who asks, and what they may do.
    pub fn session(&self) -> SessionShown {
        let actor = self.actor;
        let secrets = self.access.accounts.secrets();
        let own = secrets.administrator(&actor.name).filter(|known| self.is_self(&known.name));
        SessionShown {
            name: actor.name.to_string(),
            roles: names(actor.roles),
            commands: actor.commands.iter().map(ToString::to_string).collect(),
            server: self.control.settings().server.name.to_string(),
            totp: own.map(|own| own.totp.is_some()),
            totp_since_ms: own.and_then(|own| own.totp_since_ms),
        }
    }

    /// A session says who logged on hours ago, and not who sits there now.
    async fn prove_again(&self, current: Option<CurrentSecrets>) -> Result<(), Refusal> {
        let Some(CurrentSecrets { password, code }) = current else {
            let error = "to change your own password or codes, give the current password, and the code of your app if you have one";
            return Err(refuse(StatusCode::BAD_REQUEST, error));
        };
        let (name, address) = (&self.actor.name, self.actor.address());
        let proven = self.access.accounts.prove(name, &password, code.as_deref(), address).await;
        proven.map(drop).map_err(|error| match error {
            Denied::Wrong if code.is_some() => {
                let error = "the current password or the code is wrong: nothing has changed. Each code is good once: if you have used this \
                             one a moment ago, wait for the next";
                refuse(StatusCode::FORBIDDEN, error)
            }
            Denied::Wrong => {
                refuse(StatusCode::FORBIDDEN, "the current password or the code is wrong: nothing has changed")
            }
            other => denied(other),
        })
    }

    /// Removes one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn remove(&self, name: &str) -> Result<(), Refusal> {
        let name = name.to_owned();
        self.change(move |secrets| administrators::remove(secrets, &name)).await
    }

    /// Every token, without its secret.
    pub fn tokens(&self) -> Vec<TokenShown> {
        self.access.accounts.secrets().tokens.iter().map(|token| shown_token(self.access, token)).collect()
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn add_token(&self, request: NewTokenRequest) -> Result<NewToken, Refusal> {
        let NewTokenRequest { roles: wanted, commands, note, expires_ms } = request;
        let created_by = self.actor.name.to_string();
        let new = TokenWish { roles: roles(&wanted)?, commands, note, created_by, expires_ms };
        let made = self.change(move |secrets| administrators::add_token(secrets, new, now_ms())).await;
        let (token, secret) = made?;
        Ok(NewToken { token: shown_token(self.access, &token), secret: secret.reveal().to_owned() })
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn remove_token(&self, id: &str) -> Result<(), Refusal> {
        let id = id.to_owned();
        self.change(move |secrets| administrators::remove_token(secrets, &id)).await
    }

    /// What administrators did, newest first, after leaving out `skip` of it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn acts(&self, criteria: Criteria, skip: usize, limit: usize) -> Result<Vec<ActEntry>, Refusal> {
        if limit == 0 || limit > ACTS_LIMIT_MAX {
            let error = format!("so many acts are not shown at once: ask for 1 to {ACTS_LIMIT_MAX}");
            return Err(refuse(StatusCode::BAD_REQUEST, error));
        }
        let access = self.access.clone();
        let found = tokio::task::spawn_blocking(move || access.record.search(&criteria, skip, limit)).await;
        let failed =
            |error: String| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the record cannot be read: {error}"));
        found.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }

    async fn change<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&mut Secrets) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, Refusal> {
        if self.is_what_if {
            return edit(&mut Secrets::clone(&self.access.accounts.secrets())).map_err(refused);
        }
        self.access.accounts.change(edit).await.map_err(|error| match error {
            ChangeError::Refused(error) => refused(error),
            other => refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("nothing has changed: {other}")),
        })
    }
}

/// Hashing takes tens of milliseconds on purpose.
async fn hash(name: &str, password: String) -> Result<PasswordHash, Refusal> {
    let name = name.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash_password(&name, &password)).await;
    let unexpected = |_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "that failed unexpectedly; the log has the cause");
    hashed.map_err(unexpected)?.map_err(refused)
}

/// Why not, in HTTP's words.
pub fn refused(error: AccountError) -> Refusal {
    let status = match &error {
        AccountError::Exists(_) => StatusCode::CONFLICT,
        AccountError::Unknown(_) | AccountError::UnknownToken(_) => StatusCode::NOT_FOUND,
        AccountError::Setup => StatusCode::UNAUTHORIZED,
        AccountError::Secrets(SecretsError::Password) => StatusCode::BAD_REQUEST,
        AccountError::Secrets(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    refuse(status, error.to_string())
}

/// Why somebody is not let in, in HTTP's words.
pub fn denied(denied: Denied) -> Refusal {
    match denied {
        Denied::Wrong => refuse(
            StatusCode::UNAUTHORIZED,
            "that proves nothing: name, password or code is wrong, or the token is unknown, expired or removed",
        ),
        Denied::Wait(wait) => {
            let seconds = wait.as_secs() + 1;
            let error = format!("too many failures: try again in {seconds} seconds");
            Refusal::later(StatusCode::TOO_MANY_REQUESTS, error, seconds)
        }
        Denied::Busy => {
            let error = "too many passwords are being checked: try again in a second";
            Refusal::later(StatusCode::SERVICE_UNAVAILABLE, error, 1)
        }
    }
}

/// Why codes are not asked for, in HTTP's words.
fn unconfirmed(error: Unconfirmed) -> Refusal {
    match error {
        Unconfirmed::NoneWaits => {
            let minutes = PENDING_LIFETIME_MS / 60_000;
            let error = format!(
                "no secret waits for its first code here: make one, and give its first code within {minutes} minutes"
            );
            refuse(StatusCode::CONFLICT, error)
        }
        Unconfirmed::Wrong => {
            let error = "this is no code of the new secret now: nothing has changed. Give the one that the app shows, and \
                         see that the clocks of its device and of this server are right";
            refuse(StatusCode::FORBIDDEN, error)
        }
        Unconfirmed::Wait(wait) => denied(Denied::Wait(wait)),
    }
}

fn roles(names: &[String]) -> Result<Roles, Refusal> {
    let role = |name: &String| {
        let unknown = || format!("{name:?} is no role: write one of {}", Roles::ALL);
        Role::parse(name).ok_or_else(|| refuse(StatusCode::BAD_REQUEST, unknown()))
    };
    names.iter().map(role).collect()
}

/// The names of roles, the weakest first.
pub fn names(roles: Roles) -> Vec<String> {
    roles.iter().map(|role| role.name().to_owned()).collect()
}

fn shown(administrator: &Administrator) -> AdministratorShown {
    AdministratorShown {
        name: administrator.name.clone(),
        roles: names(administrator.roles),
        totp: administrator.totp.is_some(),
        totp_since_ms: administrator.totp_since_ms,
        created_ms: administrator.created_ms,
        totp_uri: None,
        session: None,
    }
}

fn shown_token(access: &Access, token: &ApiToken) -> TokenShown {
    TokenShown {
        id: token.id.clone(),
        roles: names(token.roles),
        commands: token.commands.clone(),
        note: token.note.clone(),
        created_by: token.created_by.clone(),
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
        last_used_ms: access.accounts.last_used_ms(&token.id, token.last_used_ms),
    }
}
