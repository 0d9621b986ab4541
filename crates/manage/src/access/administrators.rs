//! Changes of who may administer, as edits of the secrets.
//!
//! Takes what is wished, hands on what was made, or why not. Touches no file: [`super::Accounts::change`] does.

use gatepost_policy::password::{self, Opens, Weakness};
use gatepost_policy::role::{Role, Roles};

use super::presented::TOKEN_WORD;
use crate::credentials::{
    Administrator, ApiToken, OneTimeToken, PasswordHash, Secret, SecretHash, Secrets, SecretsError, TotpSecret,
    is_same_secret, is_same_user,
};

/// Longest name of an administrator, in characters.
pub const NAME_CHARACTERS_MAX: usize = 64;
/// Longest note of a token, in characters.
pub const NOTE_CHARACTERS_MAX: usize = 200;
/// At most so many administrators, and so many tokens.
const ACCOUNTS_MAX: usize = 1_000;
/// At most so many patterns of commands in a token.
const COMMANDS_MAX: usize = 100;
/// The one-time token of the first start is valid so long.
pub const SETUP_LIFETIME_MS: u64 = 24 * 60 * 60 * 1_000;
/// What the one-time token begins with.
const SETUP_WORD: &str = "gpo";

/// Why something about administrators or tokens cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name cannot be used.
    #[error(
        "{0:?} is no name of an administrator: write 1 to {NAME_CHARACTERS_MAX} characters, without control characters, a colon, and spaces at the ends"
    )]
    Name(String),
    /// The name is taken.
    #[error("there is an administrator {0:?} already")]
    Exists(String),
    /// Nobody has this name.
    #[error("there is no administrator {0:?}: `gatepost admin list` shows who is there")]
    Unknown(String),
    /// No token has this id.
    #[error("there is no token {0:?}: `gatepost token list` shows which are there")]
    UnknownToken(String),
    /// Somebody without a role could do nothing.
    #[error("name at least one role: {}", names_of_roles())]
    NoRole,
    /// Too weak for a password that opens everything.
    #[error("the password of an administrator {0}")]
    Password(Weakness),
    /// A note that cannot be kept.
    #[error("a note has at most {NOTE_CHARACTERS_MAX} characters, in one line")]
    Note,
    /// A pattern that fits no command.
    #[error("{0:?} names no command: write a command or a pattern, Get-Queue or Get-*; at most {COMMANDS_MAX} of them")]
    Command(String),
    /// The end lies in the past.
    #[error("a token that expires in the past is none")]
    Expired,
    /// Too many.
    #[error("there are {ACCOUNTS_MAX} already: remove those that nobody uses")]
    TooMany,
    /// The one-time token is not the right one, was used, or is too old.
    #[error(
        "this is not the one-time token of the first start, or it was used, or it is older than 24 hours: start the server again for another, or run `gatepost admin add` as root"
    )]
    Setup,
    /// The password cannot be taken, or there is no randomness.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

fn names_of_roles() -> String {
    Roles::ALL.to_string()
}

/// Whom to add.
#[derive(Clone, Debug)]
pub struct NewAdministrator {
    /// The name to log on with.
    pub name: String,
    /// The password's hash.
    pub password: PasswordHash,
    /// What they may do.
    pub roles: Roles,
}

/// What to change of an administrator; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct AdministratorChange {
    /// What they may do from now on.
    pub roles: Option<Roles>,
    /// The new password's hash.
    pub password: Option<PasswordHash>,
    /// Whether codes of an authenticator app are asked for from now on.
    pub totp: Option<TotpChange>,
}

/// What becomes of the codes of an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TotpChange {
    /// Codes of this secret are asked for; a first one of it was right.
    On {
        /// What they are made from.
        secret: TotpSecret,
        /// Since when: now.
        since_ms: u64,
    },
    /// None are.
    Off,
}

/// What token to make.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What its holder may do.
    pub roles: Roles,
    /// Which commands it is for; all that its roles allow where there are none.
    pub commands: Vec<String>,
    /// What it is for, in somebody's words.
    pub note: String,
    /// Who makes it.
    pub created_by: String,
    /// Until when, in Unix milliseconds.
    pub expires_ms: Option<u64>,
}

/// The hash of a password that is good enough for the administrator of this name. Takes its time on purpose.
///
/// # Errors
/// [`AccountError::Password`], [`AccountError::Secrets`].
pub fn hash_password(name: &str, password: &str) -> Result<PasswordHash, AccountError> {
    password::decide(Opens::Administration, name, password).map_err(AccountError::Password)?;
    Ok(PasswordHash::of(password)?)
}

/// Adds an administrator.
///
/// # Errors
/// [`AccountError`].
pub fn add(secrets: &mut Secrets, new: NewAdministrator, now_ms: u64) -> Result<Administrator, AccountError> {
    // A colon ends the name in Basic (RFC 7617 section 2).
    let is_name = !new.name.is_empty()
        && new.name.chars().count() <= NAME_CHARACTERS_MAX
        && new.name.trim() == new.name
        && !new.name.contains(|c: char| c.is_control() || c == ':');
    if !is_name {
        return Err(AccountError::Name(new.name));
    }
    if new.roles.is_empty() {
        return Err(AccountError::NoRole);
    }
    if secrets.administrator(&new.name).is_some() {
        return Err(AccountError::Exists(new.name));
    }
    if secrets.administrators.len() >= ACCOUNTS_MAX {
        return Err(AccountError::TooMany);
    }
    let NewAdministrator { name, password, roles } = new;
    let administrator = Administrator { name, password, roles, totp: None, totp_since_ms: None, created_ms: now_ms };
    secrets.administrators.push(administrator.clone());
    // There is a first one now.
    secrets.setup = None;
    Ok(administrator)
}

/// Changes an administrator.
///
/// # Errors
/// [`AccountError`].
pub fn set(secrets: &mut Secrets, name: &str, change: AdministratorChange) -> Result<Administrator, AccountError> {
    let known = secrets.administrators.iter_mut().find(|known| is_same_user(&known.name, name));
    let known = known.ok_or_else(|| AccountError::Unknown(name.to_owned()))?;
    if change.roles.is_some_and(Roles::is_empty) {
        return Err(AccountError::NoRole);
    }
    match change.totp {
        Some(TotpChange::On { secret, since_ms }) => {
            (known.totp, known.totp_since_ms) = (Some(secret), Some(since_ms));
        }
        Some(TotpChange::Off) => (known.totp, known.totp_since_ms) = (None, None),
        None => {}
    }
    known.roles = change.roles.unwrap_or(known.roles);
    known.password = change.password.unwrap_or_else(|| known.password.clone());
    Ok(known.clone())
}

/// Removes an administrator.
///
/// # Errors
/// [`AccountError::Unknown`].
pub fn remove(secrets: &mut Secrets, name: &str) -> Result<(), AccountError> {
    let before = secrets.administrators.len();
    secrets.administrators.retain(|known| !is_same_user(&known.name, name));
    if secrets.administrators.len() == before { Err(AccountError::Unknown(name.to_owned())) } else { Ok(()) }
}

/// Makes a token; the secret is shown once.
///
/// # Errors
/// [`AccountError`].
pub fn add_token(secrets: &mut Secrets, new: NewToken, now_ms: u64) -> Result<(ApiToken, Secret), AccountError> {
    if new.roles.is_empty() {
        return Err(AccountError::NoRole);
    }
    if new.note.chars().count() > NOTE_CHARACTERS_MAX || new.note.contains(char::is_control) {
        return Err(AccountError::Note);
    }
    if let Some(wrong) =
        new.commands.iter().enumerate().find(|(place, pattern)| *place >= COMMANDS_MAX || !is_pattern(pattern))
    {
        return Err(AccountError::Command(wrong.1.clone()));
    }
    if new.expires_ms.is_some_and(|end| end <= now_ms) {
        return Err(AccountError::Expired);
    }
    if secrets.tokens.len() >= ACCOUNTS_MAX {
        return Err(AccountError::TooMany);
    }
    let secret = Secret::fresh(TOKEN_WORD)?;
    let mut id = ApiToken::fresh_id()?;
    while secrets.tokens.iter().any(|token| token.id == id) {
        id = ApiToken::fresh_id()?;
    }
    let token = ApiToken {
        id,
        hash: secret.hash(),
        roles: new.roles,
        commands: new.commands,
        note: new.note,
        created_by: new.created_by,
        created_ms: now_ms,
        expires_ms: new.expires_ms,
        last_used_ms: None,
    };
    secrets.tokens.push(token.clone());
    Ok((token, secret))
}

fn is_pattern(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 100
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-*".contains(&byte))
}

/// Removes a token.
///
/// # Errors
/// [`AccountError::UnknownToken`].
pub fn remove_token(secrets: &mut Secrets, id: &str) -> Result<(), AccountError> {
    let before = secrets.tokens.len();
    secrets.tokens.retain(|token| !token.id.eq_ignore_ascii_case(id));
    if secrets.tokens.len() == before { Err(AccountError::UnknownToken(id.to_owned())) } else { Ok(()) }
}

/// Makes the one-time token of a server that has no administrators, in place of an older one. `None` where there are some.
///
/// # Errors
/// [`AccountError::Secrets`], without randomness.
pub fn begin_setup(secrets: &mut Secrets, now_ms: u64) -> Result<Option<Secret>, AccountError> {
    if !secrets.administrators.is_empty() {
        secrets.setup = None;
        return Ok(None);
    }
    let secret = Secret::fresh(SETUP_WORD)?;
    secrets.setup = Some(OneTimeToken { hash: secret.hash(), expires_ms: now_ms + SETUP_LIFETIME_MS });
    Ok(Some(secret))
}

/// Whether this is the one-time token, and still good.
pub fn is_setup(secrets: &Secrets, presented: &str, now_ms: u64) -> bool {
    let hash = SecretHash::of(presented);
    let setup = secrets.setup.as_ref().filter(|setup| is_same_secret(&setup.hash, &hash) && now_ms < setup.expires_ms);
    setup.is_some() && secrets.administrators.is_empty()
}

/// Makes the first administrator, who may do everything, and uses the one-time token up.
///
/// # Errors
/// [`AccountError`]; the token is good still then.
pub fn redeem(
    secrets: &mut Secrets,
    presented: &str,
    name: String,
    password: PasswordHash,
    now_ms: u64,
) -> Result<Administrator, AccountError> {
    if !is_setup(secrets, presented, now_ms) {
        return Err(AccountError::Setup);
    }
    let roles = [Role::TransportAdmin, Role::SecurityOfficer].into_iter().collect();
    add(secrets, NewAdministrator { name, password, roles }, now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password() -> PasswordHash {
        hash_password("carol", "correct horse battery").expect("long enough")
    }

    fn new(name: &str, roles: Roles) -> NewAdministrator {
        NewAdministrator { name: name.to_owned(), password: password(), roles }
    }

    #[test]
    fn administrators_come_change_and_go() {
        let mut secrets = Secrets::default();
        add(&mut secrets, new("Carol", Role::View.into()), 1).expect("added");
        assert!(matches!(add(&mut secrets, new("CAROL", Role::View.into()), 2), Err(AccountError::Exists(_))));
        let secret = TotpSecret::fresh().expect("randomness");
        let on = TotpChange::On { secret: secret.clone(), since_ms: 7 };
        let change = AdministratorChange { totp: Some(on), roles: Some(Roles::ALL), ..Default::default() };
        let changed = set(&mut secrets, "carol", change).expect("changed");
        assert_eq!((&changed.totp, changed.totp_since_ms, changed.roles), (&Some(secret), Some(7), Roles::ALL));
        let kept = set(&mut secrets, "carol", AdministratorChange::default()).expect("nothing to change");
        assert_eq!(kept, changed);
        let change =
            AdministratorChange { totp: Some(TotpChange::Off), password: Some(password()), ..Default::default() };
        let changed = set(&mut secrets, "carol", change).expect("changed");
        assert!(changed.totp.is_none() && changed.totp_since_ms.is_none() && changed.password != kept.password);
        remove(&mut secrets, "cArol").expect("removed");
        assert!(matches!(remove(&mut secrets, "carol"), Err(AccountError::Unknown(_))));
    }

    #[test]
    fn names_roles_and_passwords_that_would_not_work_are_refused() {
        let mut secrets = Secrets::default();
        for name in ["", "a:b", " a", "a\nb", &"x".repeat(NAME_CHARACTERS_MAX + 1)] {
            assert!(matches!(add(&mut secrets, new(name, Roles::ALL), 1), Err(AccountError::Name(_))), "{name:?}");
        }
        assert!(matches!(add(&mut secrets, new("carol", Roles::NONE), 1), Err(AccountError::NoRole)));
        assert!(matches!(hash_password("carol", "short"), Err(AccountError::Password(Weakness::Short))));
        assert!(secrets.administrators.is_empty());
    }

    #[test]
    fn tokens_have_an_end_a_purpose_and_a_secret_that_is_kept_as_a_hash() {
        let mut secrets = Secrets::default();
        let new = NewToken {
            roles: Role::View.into(),
            commands: vec!["Get-*".to_owned()],
            note: "monitoring".to_owned(),
            created_by: "uid 0".to_owned(),
            expires_ms: Some(10),
        };
        let (token, secret) = add_token(&mut secrets, new.clone(), 5).expect("made");
        assert!(is_same_secret(&token.hash, &SecretHash::of(secret.reveal())));
        for wrong in [
            NewToken { expires_ms: Some(5), ..new.clone() },
            NewToken { note: "two\nlines".to_owned(), ..new.clone() },
            NewToken { commands: vec!["Get Queue".to_owned()], ..new.clone() },
            NewToken { commands: vec![String::new()], ..new.clone() },
            NewToken { commands: vec!["*".to_owned(); COMMANDS_MAX + 1], ..new.clone() },
            NewToken { roles: Roles::NONE, ..new },
        ] {
            assert!(add_token(&mut secrets, wrong.clone(), 5).is_err(), "{wrong:?}");
        }
        assert_eq!(secrets.tokens.len(), 1);
        remove_token(&mut secrets, &token.id.to_uppercase()).expect("there");
        assert!(remove_token(&mut secrets, &token.id).is_err());
    }

    #[test]
    fn the_one_time_token_makes_one_administrator_within_a_day() {
        let mut secrets = Secrets::default();
        let secret = begin_setup(&mut secrets, 0).expect("randomness").expect("nobody is there");
        let carol =
            |secrets: &mut Secrets, token: &str, now| redeem(secrets, token, "carol".to_owned(), password(), now);
        for (token, now) in [("gpo_0", 1), ("", 1), (secret.reveal(), SETUP_LIFETIME_MS)] {
            assert!(matches!(carol(&mut secrets, token, now), Err(AccountError::Setup)), "{token} {now}");
        }
        assert!(
            redeem(&mut secrets, secret.reveal(), String::new(), password(), 1).is_err(),
            "not used up by a mistake"
        );
        let first = carol(&mut secrets, secret.reveal(), SETUP_LIFETIME_MS - 1).expect("good");
        assert!(first.roles.contains(Role::SecurityOfficer) && first.roles.contains(Role::TransportAdmin));
        assert!(matches!(carol(&mut secrets, secret.reveal(), 2), Err(AccountError::Setup)));
        assert!(begin_setup(&mut secrets, 3).expect("randomness").is_none() && secrets.setup.is_none());
        let mut secrets = Secrets::default();
        let old = begin_setup(&mut secrets, 0).expect("randomness").expect("one");
        begin_setup(&mut secrets, 1).expect("randomness").expect("another");
        assert!(!is_setup(&secrets, old.reveal(), 2), "a later start makes an older one useless");
    }
}
