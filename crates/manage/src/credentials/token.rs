//! Tokens: 256 random bits that are shown once and kept as a hash. Who guesses one in 2^256 needs no slow hash.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use gatepost_policy::role::{Role, Roles};

use super::fields::{Entry, write_number, write_text, write_texts};

const SECRET_BYTES: usize = 32;

/// What is shown once: `gpt_0123456789abcdef...`. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A fresh one that begins with this word.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn fresh(word: &str) -> Result<Secret, super::SecretsError> {
        let bytes = random::<SECRET_BYTES>()?;
        Ok(Secret(format!("{word}_{}", hexadecimal(&bytes))))
    }

    /// The text to be shown to the one whom it is for.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The SHA-256 of a secret. `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Of what somebody presents.
    pub fn of(presented: &str) -> SecretHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, presented.as_bytes()).as_ref());
        SecretHash(hash)
    }

    fn parse(text: &str) -> Option<SecretHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (place, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *place = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(SecretHash(hash))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(set)")
    }
}

/// Whether two hashes are of one secret, in the same time whatever the answer.
pub fn is_same_secret(one: &SecretHash, other: &SecretHash) -> bool {
    verify_slices_are_equal(&one.0, &other.0).is_ok()
}

/// A token of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// What it is called in listings and records; no secret.
    pub id: String,
    /// What is kept of the secret.
    pub hash: SecretHash,
    /// What its holder may do.
    pub roles: Roles,
    /// Which commands it is for, as `Get-*`; all that its roles allow where there are none.
    pub commands: Vec<String>,
    /// What it is for, in somebody's words.
    pub note: String,
    /// Who made it.
    pub created_by: String,
    /// Since when, in Unix milliseconds.
    pub created_ms: u64,
    /// Until when, in Unix milliseconds; `None`: for good.
    pub expires_ms: Option<u64>,
    /// When it was used last, in Unix milliseconds, to the minute.
    pub last_used_ms: Option<u64>,
}

impl ApiToken {
    /// A name for a new token.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn fresh_id() -> Result<String, super::SecretsError> {
        Ok(hexadecimal(&random::<4>()?))
    }

    pub(super) fn read(entry: &mut Entry<'_, '_>) -> Option<ApiToken> {
        let [expires_ms, last_used_ms] = ["expires_ms", "last_used_ms"].map(|key| match entry.is_given(key) {
            true => entry.number(key).map(Some),
            false => Some(None),
        });
        Some(ApiToken {
            id: entry.text("id")?.to_owned(),
            hash: SecretHash::parse(entry.text("hash")?)?,
            roles: entry.roles("roles")?,
            commands: if entry.is_given("commands") { entry.texts("commands")? } else { Vec::new() },
            note: entry.text("note")?.to_owned(),
            created_by: entry.text("created_by")?.to_owned(),
            created_ms: entry.number("created_ms")?,
            expires_ms: expires_ms?,
            last_used_ms: last_used_ms?,
        })
    }

    pub(super) fn write(&self, into: &mut String) {
        into.push_str("\n[[token]]\n");
        write_text(into, "id", &self.id);
        write_text(into, "hash", &hexadecimal(&self.hash.0));
        write_texts(into, "roles", self.roles.iter().map(Role::name));
        if !self.commands.is_empty() {
            write_texts(into, "commands", self.commands.iter().map(String::as_str));
        }
        write_text(into, "note", &self.note);
        write_text(into, "created_by", &self.created_by);
        write_number(into, "created_ms", self.created_ms);
        for (key, time) in [("expires_ms", self.expires_ms), ("last_used_ms", self.last_used_ms)] {
            if let Some(time) = time {
                write_number(into, key, time);
            }
        }
    }
}

/// What makes the first administrator, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeToken {
    /// What is kept of the secret.
    pub hash: SecretHash,
    /// Until when, in Unix milliseconds.
    pub expires_ms: u64,
}

impl OneTimeToken {
    pub(super) fn read(entry: &mut Entry<'_, '_>) -> Option<OneTimeToken> {
        let (hash, expires_ms) = (entry.text("hash"), entry.number("expires_ms"));
        Some(OneTimeToken { hash: SecretHash::parse(hash?)?, expires_ms: expires_ms? })
    }

    pub(super) fn write(&self, into: &mut String) {
        into.push_str("\n[setup]\n");
        write_text(into, "hash", &hexadecimal(&self.hash.0));
        write_number(into, "expires_ms", self.expires_ms);
    }
}

fn random<const N: usize>() -> Result<[u8; N], super::SecretsError> {
    let mut bytes = [0; N];
    let failed = |_| super::SecretsError::Randomness;
    rand::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_random_and_known_again_by_its_hash_alone() {
        let (one, two) = (Secret::fresh("gpt").expect("randomness"), Secret::fresh("gpt").expect("randomness"));
        assert_ne!(one, two);
        assert_eq!(one.reveal().len(), "gpt_".len() + 2 * SECRET_BYTES);
        assert!(is_same_secret(&one.hash(), &SecretHash::of(one.reveal())));
        assert!(!is_same_secret(&one.hash(), &two.hash()));
        let written = hexadecimal(&one.hash().0);
        assert_eq!(SecretHash::parse(&written), Some(one.hash()));
        for wrong in ["", "zz", &written[1..], &format!("{written}00"), &"ü".repeat(32)] {
            assert_eq!(SecretHash::parse(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{one:?} {:?}", one.hash()), "(secret) (set)");
    }
}
