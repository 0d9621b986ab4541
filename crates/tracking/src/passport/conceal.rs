//! Tokens instead of addresses, where addresses are not to be recorded.
//!
//! A token is made of an address and a salt of this server. So whoever knows an address finds its mail, and nobody learns addresses
//! from the records. The domain stays: it tells where mail goes, not who wrote it.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::hmac;

use super::event::{Outcome, Record, What};

/// The file of the salt, in the folder of all that is recorded.
const FILE: &str = "salt";
const SALT_BYTES: usize = 32;

/// The salt of this server.
pub struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads the salt of `folder`, or makes one. Where the disk takes none, it holds until the end of the process.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn open(folder: &Path) -> io::Result<Key> {
        let path = folder.join(FILE);
        let salt = match fs::read(&path) {
            Ok(salt) if salt.len() == SALT_BYTES => salt,
            _ => {
                let mut salt = vec![0; SALT_BYTES];
                getrandom::fill(&mut salt).map_err(io::Error::other)?;
                let made = DirBuilder::new().recursive(true).mode(0o750).create(folder).and_then(|()| {
                    let mut options = OpenOptions::new();
                    options.write(true).create(true).truncate(true).mode(0o600).open(&path)?.write_all(&salt)
                });
                if let Err(error) = made {
                    tracing::warn!(file = %path.display(), %error, "the salt for addresses cannot be kept");
                }
                salt
            }
        };
        Ok(Key(hmac::Key::new(hmac::HMAC_SHA256, &salt)))
    }

    /// What stands for an address: `~1f3a9c04b27e55aa@contoso.com`.
    pub fn token(&self, address: &str) -> String {
        let signed = hmac::sign(&self.0, address.to_lowercase().as_bytes());
        let mut token = String::from("~");
        for byte in &signed.as_ref()[..8] {
            // Writing to a String cannot fail.
            let _ = write!(token, "{byte:02x}");
        }
        if let Some((_, domain)) = address.rsplit_once('@') {
            token.push('@');
            token.push_str(domain);
        }
        token
    }

    /// Replaces every address of a record, those in replies too.
    pub fn conceal(&self, record: &mut Record) {
        let Record::Message(part) = record else { return };
        if let Some(facts) = &mut part.facts {
            self.address(&mut facts.sender);
            facts.recipients.iter_mut().for_each(|address| self.address(address));
        }
        for step in &mut part.steps {
            match &mut step.what {
                What::Recipients { addresses, .. } | What::Resolved { named: addresses } => {
                    addresses.iter_mut().for_each(|address| self.address(address));
                }
                What::Attempt(attempt) => self.replies(&mut attempt.outcomes),
                What::Administrator { outcomes, .. } => self.replies(outcomes),
                What::Report { to, .. } => self.address(to),
                What::Held { reason } | What::NoConnection { reason, .. } => self.text(reason),
                What::Routed { .. } => {}
            }
        }
    }

    fn replies(&self, outcomes: &mut [Outcome]) {
        outcomes.iter_mut().for_each(|outcome| self.text(&mut outcome.reply));
    }

    fn address(&self, address: &mut Box<str>) {
        if !address.is_empty() && !address.starts_with('~') {
            *address = self.token(address).into();
        }
    }

    /// Replaces what looks like an address inside of a text.
    fn text(&self, text: &mut Box<str>) {
        if !text.contains('@') {
            return;
        }
        let is_outside = |c: char| c.is_whitespace() || c.is_control() || "<>()[],;:\"'".contains(c);
        let mut concealed = String::with_capacity(text.len());
        for piece in text.split_inclusive(is_outside) {
            let word = piece.trim_end_matches(is_outside);
            match word.contains('@') && !word.starts_with('~') {
                true => {
                    concealed.push_str(&self.token(word.trim_end_matches('.')));
                    concealed.push_str(&piece[word.len()..]);
                }
                false => concealed.push_str(piece),
            }
        }
        *text = concealed.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passport::event::{Facts, Part, Step};

    #[test]
    fn no_address_stays_and_the_same_address_has_the_same_token_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Key::open(folder.path()).expect("randomness");
        let facts = Facts {
            sender: "ann@contoso.com".into(),
            recipients: vec!["Bob@Example.net".into(), "carl@example.net".into()],
            ..Facts::default()
        };
        let what = What::Held { reason: "550 5.1.1 <bob@example.net>: no such user; asked bob@example.net.".into() };
        let part = Part { facts: Some(Box::new(facts)), steps: vec![Step { time_ms: 1, what }], ..Part::default() };
        let mut record = Record::Message(part);
        key.conceal(&mut record);
        let shown = format!("{record:?}").to_lowercase();
        for name in ["ann@", "bob", "carl"] {
            assert!(!shown.contains(name), "{shown}");
        }
        assert!(shown.contains("no such user"), "{shown}");
        let again = Key::open(folder.path()).expect("there");
        assert!(shown.contains(&again.token("BOB@example.net").to_lowercase()), "{shown}");
        assert_eq!(again.token("bob@example.net").rsplit('@').next(), Some("example.net"));
        let before = record.clone();
        key.conceal(&mut record);
        assert_eq!(record, before, "a token stays");
    }
}
