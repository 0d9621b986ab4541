//! Checks passwords (RFC 4954, RFC 4616): argon2 in a bounded pool, with a short memory of what was right.
//!
//! Takes a user name and a password, hands on the user's canonical name or a failure that does not say which of the two
//! was wrong. An unknown user costs the same time as a wrong password.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use aws_lc_rs::{constant_time, hmac};
use gatepost_policy::settings::Settings;
use tokio::sync::Semaphore;

/// At most so many passwords are checked at once; each check costs about 20 ms of one core and 19 MiB.
const CHECKS_AT_ONCE: usize = 2;
/// At most so many sessions wait for a check; more get a temporary failure, so that a flood of AUTH commands cannot
/// queue up work for minutes.
const CHECKS_WAITING_MAX: usize = 64;
/// How long a right password is remembered. A changed password or a removed user takes effect at once all the same:
/// what is remembered includes the hash that was checked.
const REMEMBERED: Duration = Duration::from_secs(60);
/// At most so many right passwords are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// Password hashes in PHC form by lower-case user name, from `data_dir/credentials`. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Credentials(HashMap<String, String>);

impl Credentials {
    /// Collects names and hashes.
    pub fn new(hashes: impl IntoIterator<Item = (String, String)>) -> Credentials {
        Credentials(hashes.into_iter().map(|(name, hash)| (name.to_lowercase(), hash)).collect())
    }

    /// The hash of a user, by name in any case.
    pub fn hash(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_lowercase()).map(String::as_str)
    }

    /// Names in alphabetical order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Hashes a password for storing, with argon2id, the crate's default cost (19 MiB, 2 passes) and a random salt.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn hash_password(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

/// What became of an AUTH command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The password is right; the user's name as the settings write it.
    Right(Arc<str>),
    /// Wrong password or no such user.
    Wrong,
    /// Too many checks are waiting.
    Busy,
}

/// The pool and its memory.
pub struct Authenticator {
    running: Arc<Semaphore>,
    waiting: Semaphore,
    remembered: Mutex<HashMap<String, Remembered>>,
    key: hmac::Key,
    decoy: String,
}

struct Remembered {
    tag: hmac::Tag,
    until: Instant,
}

impl Authenticator {
    /// An empty memory and a decoy hash that unknown users are checked against.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn new() -> Result<Authenticator, getrandom::Error> {
        let mut secret = [0u8; 32];
        getrandom::fill(&mut secret)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let decoy = Argon2::default()
            .hash_password(&secret)
            .map(|hash| hash.to_string())
            .map_err(|_| getrandom::Error::UNSUPPORTED)?;
        Ok(Authenticator {
            running: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            waiting: Semaphore::new(CHECKS_WAITING_MAX),
            remembered: Mutex::new(HashMap::new()),
            key,
            decoy,
        })
    }

    /// Checks one password.
    pub async fn check(&self, settings: &Settings, credentials: &Credentials, user: &str, password: &str) -> Checked {
        let known = settings.find_user(user).and_then(|user| {
            let hash = credentials.hash(&user.name).or(user.password.as_ref().map(|hash| hash.as_str()))?;
            Some((user.name.clone(), hash.to_owned()))
        });
        let (name, hash) = match known {
            Some((name, hash)) => (Some(name), hash),
            None => (None, self.decoy.clone()),
        };
        let tag = self.tag(&hash, password);
        if let Some(name) = &name
            && self.remembers(name, &tag)
        {
            return Checked::Right(name.clone());
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return Checked::Busy;
        };
        let Ok(permit) = self.running.clone().acquire_owned().await else {
            return Checked::Busy;
        };
        let password = password.to_owned();
        let right = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            verify(&hash, &password)
        })
        .await
        .unwrap_or(false);
        match name {
            Some(name) if right => {
                self.remember(&name, tag);
                Checked::Right(name)
            }
            _ => Checked::Wrong,
        }
    }

    fn tag(&self, hash: &str, password: &str) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hash.as_bytes());
        context.update(&[0]);
        context.update(password.as_bytes());
        context.sign()
    }

    fn remembers(&self, name: &str, tag: &hmac::Tag) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        remembered.get(name).is_some_and(|entry| {
            entry.until > Instant::now()
                && constant_time::verify_slices_are_equal(entry.tag.as_ref(), tag.as_ref()).is_ok()
        })
    }

    fn remember(&self, name: &str, tag: hmac::Tag) {
        let now = Instant::now();
        let mut remembered = self.remembered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, entry| entry.until > now);
        }
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(name.to_owned(), Remembered { tag, until: now + REMEMBERED });
        }
    }
}

fn verify(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_and_accepts_only_its_password() {
        let hash = hash_password("correct horse").expect("randomness");
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(verify(&hash, "correct horse"));
        assert!(!verify(&hash, "correct house"));
        assert!(!verify("not a hash", "correct horse"));
    }

    #[test]
    fn debug_output_of_credentials_shows_names_only() {
        let credentials = Credentials::new([("Alice".to_owned(), "$argon2id$secret".to_owned())]);
        assert_eq!(format!("{credentials:?}"), "{\"alice\"}");
        assert_eq!(credentials.hash("ALICE"), Some("$argon2id$secret"));
    }
}
