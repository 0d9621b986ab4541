//! Checks passwords (RFC 4954, RFC 4616): argon2 in a bounded pool, with a short memory of what was right.
//!
//! Takes a user name and a password, hands on the user's canonical name or a failure that does not say which of the two
//! was wrong. An unknown user costs the same time as a wrong password.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::{constant_time, hmac};
use gatepost_policy::settings::Settings;
use tokio::sync::Semaphore;

use crate::blocking;
use crate::clock;

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
    /// What checks work in, kept from one to the next: as many pieces as there are checks at once. An allocator would
    /// keep a piece for each thread that ever checked a password, and one peer with wrong ones could make that many.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
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
        let decoy = decoy(&secret).map_err(|_| getrandom::Error::UNSUPPORTED)?;
        Ok(Authenticator {
            running: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            waiting: Semaphore::new(CHECKS_WAITING_MAX),
            remembered: Mutex::new(HashMap::new()),
            memory: Arc::default(),
            key,
            decoy,
        })
    }

    /// Checks one password of a user who sends mail.
    pub async fn check(&self, settings: &Settings, credentials: &Credentials, user: &str, password: &str) -> Checked {
        let known = settings.find_user(user).and_then(|user| {
            let hash = credentials.hash(&user.name).or(user.password.as_ref().map(|hash| hash.as_str()))?;
            Some((user.name.clone(), hash.to_owned()))
        });
        self.check_hash(known, password).await
    }

    /// Checks a password against the hash of somebody known; of somebody unknown it is wrong, after the same time.
    pub async fn check_hash(&self, known: Option<(Arc<str>, String)>, password: &str) -> Checked {
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
        let memory = self.memory.clone();
        let right = blocking::run(move || {
            let _permit = permit;
            let mut piece = memory.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let right = verify(&hash, &password, &mut piece);
            memory.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
            right
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
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(name).is_some_and(|entry| {
            entry.until > clock::now()
                && constant_time::verify_slices_are_equal(entry.tag.as_ref(), tag.as_ref()).is_ok()
        })
    }

    fn remember(&self, name: &str, tag: hmac::Tag) {
        let now = clock::now();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, entry| entry.until > now);
        }
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(name.to_owned(), Remembered { tag, until: now + REMEMBERED });
        }
    }
}

/// The hash of nobody, which costs as much to check as one of [`hash_password`]: it is made at the least cost and says the usual one.
/// To make it at that would leave 19 MiB with the allocator at each start.
fn decoy(secret: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let least = Params::new(Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST, None)?;
    let made = Argon2::new(Algorithm::default(), Version::default(), least).hash_password(secret)?.to_string();
    let said = |m: u32, t: u32, p: u32| format!("$m={m},t={t},p={p}$");
    let least = said(Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST);
    Ok(made.replace(&least, &said(Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST)))
}

/// Whether the password is the one of a PHC string. Works in `memory`, whatever is left in there, and lets it grow to what
/// the hash asks for.
fn verify(hash: &str, password: &str, memory: &mut Vec<Block>) -> bool {
    let Ok(stored) = PasswordHash::new(hash) else { return false };
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else { return false };
    let version = stored.version.map_or(Ok(Version::default()), Version::try_from);
    let (Ok(algorithm), Ok(version), Ok(params)) =
        (Algorithm::try_from(stored.algorithm.as_str()), version, Params::try_from(&stored))
    else {
        return false;
    };
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    let mut output = vec![0; expected.as_bytes().len()];
    Argon2::new(algorithm, version, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut output, &mut memory[..blocks])
        .is_ok_and(|()| constant_time::verify_slices_are_equal(&output, expected.as_bytes()).is_ok())
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::CustomizedPasswordHasher;
    use gatepost_policy::settings::{Defaults, parse};

    use super::*;

    #[test]
    fn a_hash_is_argon2id_and_accepts_only_its_password() {
        let hash = hash_password("correct horse").expect("randomness");
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let memory = &mut Vec::new();
        assert!(verify(&hash, "correct horse", memory));
        assert!(!verify(&hash, "correct house", memory));
        assert!(!verify("not a hash", "correct horse", memory));
    }

    #[test]
    fn the_decoy_costs_as_much_to_check_as_a_hash_and_takes_no_password() {
        let cost = |hash: &str| {
            let hash = PasswordHash::new(hash).expect("a PHC string");
            let params = Params::try_from(&hash).expect("parameters of argon2");
            let (salt, output) = (hash.salt.expect("a salt"), hash.hash.expect("an output"));
            let algorithm = hash.algorithm.to_string();
            (algorithm, hash.version, params.m_cost(), params.t_cost(), params.p_cost(), salt.len(), output.len())
        };
        let decoy = decoy(b"secret").expect("randomness");
        assert_eq!(cost(&decoy), cost(&hash_password("correct horse").expect("randomness")));
        assert!(!verify(&decoy, "secret", &mut Vec::new()));
    }

    #[test]
    fn hashes_of_any_cost_and_kind_are_checked_in_memory_that_was_used_before() {
        let memory = &mut vec![Block::new(); 100];
        memory.fill_with(|| {
            let mut block = Block::new();
            block.as_mut().fill(u64::MAX);
            block
        });
        for (kind, version, m, t, p) in [
            ("argon2id", 0x13, 256, 2, 1),
            ("argon2id", 0x13, 8, 1, 1),
            ("argon2i", 0x13, 64, 3, 2),
            ("argon2d", 0x10, 64, 2, 4),
        ] {
            let params = Params::new(m, t, p, None).expect("legal parameters");
            let hash = Argon2::default()
                .hash_password_customized(b"correct horse", b"some salt", Some(kind), Some(version), params)
                .expect("legal parameters")
                .to_string();
            assert!(verify(&hash, "correct horse", memory), "{hash}");
            assert!(!verify(&hash, "correct house", memory), "{hash}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn checks_share_as_little_memory_as_there_are_checks_at_once() {
        let params = Params::new(64, 1, 1, None).expect("legal parameters");
        let hash = Argon2::from(params).hash_password(b"correct horse").expect("randomness").to_string();
        let defaults = Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() };
        let document = "[[user]]\nname = \"alice\"\naddresses = [\"alice@contoso.com\"]\n";
        let settings = Arc::new(parse(document, &defaults).expect("a legal document"));
        let authenticator = Arc::new(Authenticator::new().expect("randomness"));
        let checks: Vec<_> = (0..8)
            .map(|i| {
                let (authenticator, settings) = (authenticator.clone(), settings.clone());
                let credentials = Credentials::new([("alice".to_owned(), hash.clone())]);
                tokio::spawn(async move {
                    authenticator.check(&settings, &credentials, "alice", &format!("wrong {i}")).await
                })
            })
            .collect();
        for check in checks {
            assert_eq!(check.await.expect("no panic"), Checked::Wrong);
        }
        let memory = authenticator.memory.lock().expect("nobody panics with the lock");
        assert!((1..=CHECKS_AT_ONCE).contains(&memory.len()), "{} pieces", memory.len());
    }

    #[test]
    fn debug_output_of_credentials_shows_names_only() {
        let credentials = Credentials::new([("Alice".to_owned(), "$argon2id$secret".to_owned())]);
        assert_eq!(format!("{credentials:?}"), "{\"alice\"}");
        assert_eq!(credentials.hash("ALICE"), Some("$argon2id$secret"));
    }
}
