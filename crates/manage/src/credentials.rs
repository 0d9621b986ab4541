//! The file of secrets: `data_dir/credentials`, password hashes by user name.
//!
//! Takes the data folder, hands on names and hashes; makes hashes from passwords. Refuses a file that others than its
//! owner may read, and one that a newer version wrote. Never shows a hash in an error or a log. Blocking, and hashing
//! takes tens of milliseconds on purpose: call it outside async tasks.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gatepost_transport::Credentials;
use gatepost_transport::authenticate::hash_password;
use toml::de::{DeTable, DeValue};

use crate::replace::replace_file;

/// Name of the file in the data folder.
pub const FILE_NAME: &str = "credentials";
/// The layout that this version writes and the newest that it reads.
pub const FORMAT: u32 = 1;
/// Largest file that is read, in bytes: about a hundred thousand users.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest password, in bytes; SASL PLAIN has to carry it on one line with two names (RFC 4616).
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Password hashes by user name. `Debug` shows the names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    users: BTreeMap<String, String>,
}

/// Why the file cannot be used or a password cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file system refused.
    #[error("cannot use {path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Group or others may read or write it.
    #[error("{path} may be read by others (mode {mode:04o}): run `chmod 600 {path}`", path = .path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("{path} is larger than {FILE_BYTES_MAX} bytes: that is no file of ours", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error("{path} has format {found}, this version knows formats up to {FORMAT}: use the version that wrote it", path = .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// Not what `gatepost user add` writes.
    #[error("{path} is damaged: {reason}; restore it from a backup, or remove it and set the passwords again", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any of its content.
        reason: String,
    },
    /// An empty password, one that is too long, or one with control characters in it.
    #[error("a password has 1 to {PASSWORD_BYTES_MAX} bytes and no control characters")]
    Password,
    /// The operating system gives no randomness for the salt.
    #[error("cannot hash the password: {0}")]
    Hash(String),
}

impl Secrets {
    /// Reads the file in `data_dir`. Without a file there are no secrets yet.
    ///
    /// # Errors
    /// [`SecretsError`]: unreadable, readable by others, damaged, or of a newer format.
    pub fn read(data_dir: &Path) -> Result<Secrets, SecretsError> {
        let path = data_dir.join(FILE_NAME);
        let failed = |source| SecretsError::Io { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Secrets::default()),
            Err(error) => return Err(failed(error)),
        };
        // The mode of the open file, not of the path: nobody can swap it in between.
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretsError::TooOpen { path, mode });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(SecretsError::TooLarge { path });
        }
        parse(&text).map_err(|fault| match fault {
            Fault::Newer(found) => SecretsError::NewerFormat { path, found },
            Fault::Damaged(reason) => SecretsError::Damaged { path, reason },
        })
    }

    /// Writes the file in `data_dir`, whole or not at all, readable by its owner alone.
    ///
    /// # Errors
    /// [`SecretsError::Io`]; the old file is untouched then.
    pub fn write(&self, data_dir: &Path) -> Result<(), SecretsError> {
        let path = data_dir.join(FILE_NAME);
        let mut text = String::from(
            "# Password hashes of Gatepost. `gatepost user add NAME` writes this file; keep it to yourself (mode 0600).\n",
        );
        text.push_str(&format!("format = {FORMAT}\n\n[users]\n"));
        for (name, hash) in &self.users {
            text.push_str(&format!("{} = {}\n", toml_string(name), toml_string(hash)));
        }
        replace_file(&path, text.as_bytes(), 0o600).map_err(|source| SecretsError::Io { path, source })
    }

    /// Every user that has a hash here, with it, in the order of the names.
    pub fn users(&self) -> impl Iterator<Item = (&str, &str)> {
        self.users.iter().map(|(name, hash)| (name.as_str(), hash.as_str()))
    }

    /// The same hashes as the running server takes them.
    pub fn to_credentials(&self) -> Credentials {
        Credentials::new(self.users.clone())
    }

    /// Whether `name`, in any case, has a hash here.
    pub fn has(&self, name: &str) -> bool {
        self.users.keys().any(|known| is_same_user(known, name))
    }

    /// Sets the hash of `name` in place of an older one.
    pub fn set(&mut self, name: &str, hash: PasswordHash) {
        self.remove(name);
        self.users.insert(name.to_owned(), hash.0);
    }

    /// Forgets `name`, in any case; says whether there was something to forget.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.users.len();
        self.users.retain(|known, _| !is_same_user(known, name));
        self.users.len() != before
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.users.keys().map(|name| (name, "(set)"))).finish()
    }
}

/// A password's argon2id hash in the PHC string form, `$argon2id$v=19$...`. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes `password` with a fresh salt, as [`hash_password`] does.
    ///
    /// # Errors
    /// [`SecretsError::Password`] when SASL could not carry such a password, [`SecretsError::Hash`] without randomness.
    pub fn of(password: &str) -> Result<PasswordHash, SecretsError> {
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX || password.chars().any(char::is_control) {
            return Err(SecretsError::Password);
        }
        hash_password(password).map(PasswordHash).map_err(|error| SecretsError::Hash(error.to_string()))
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(set)")
    }
}

/// Whether two names mean one user: names are compared without case, as Windows compares them.
pub fn is_same_user(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// `text` as a TOML basic string, quotes included (TOML 1.0, "String").
pub(crate) fn toml_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

enum Fault {
    Newer(String),
    Damaged(String),
}

fn parse(text: &str) -> Result<Secrets, Fault> {
    // The parser's own message would quote the line, and lines hold hashes here.
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Fault::Damaged(format!("line {line} is not well-formed"))
    })?;
    let table = table.get_ref();
    let format = match table.get("format").map(|value| value.get_ref()) {
        Some(DeValue::Integer(number)) => number.as_str().to_owned(),
        _ => return Err(Fault::Damaged("it does not name its format".into())),
    };
    if format != FORMAT.to_string() {
        return Err(Fault::Newer(format));
    }
    let mut users = BTreeMap::new();
    for (key, value) in table {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("format", _) => {}
            ("users", DeValue::Table(table)) => {
                for (name, hash) in table {
                    let name = name.get_ref().as_ref();
                    let Some(hash) = hash.get_ref().as_str().filter(|hash| hash.starts_with("$argon2")) else {
                        return Err(Fault::Damaged(format!("the entry of {name:?} is no password hash")));
                    };
                    users.insert(name.to_owned(), hash.to_owned());
                }
            }
            (key, _) => return Err(Fault::Damaged(format!("{key:?} does not belong there"))),
        }
    }
    Ok(Secrets { users })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder_with(text: &str, mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        folder
    }

    #[test]
    fn what_is_written_is_read_again_and_belongs_to_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut secrets = Secrets::default();
        let hash = PasswordHash::of("correct horse").expect("a password");
        secrets.set("alice", hash.clone());
        secrets.set("CONTOSO\\Bob \"the builder\"", hash);
        secrets.write(folder.path()).expect("written");
        assert_eq!(Secrets::read(folder.path()).expect("readable"), secrets);
        let mode = fs::metadata(folder.path().join(FILE_NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn no_file_means_no_secrets() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Secrets::read(folder.path()).expect("nothing to read"), Secrets::default());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_remedy() {
        for mode in [0o640, 0o604, 0o660, 0o602] {
            let folder = folder_with("format = 1\n", mode);
            let error = Secrets::read(folder.path()).expect_err("too open");
            assert!(matches!(error, SecretsError::TooOpen { .. }), "{mode:o}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn damage_is_named_without_showing_a_hash() {
        for (text, said) in [
            ("[users]\na = \"$argon2id$secret\"\n", "does not name its format"),
            ("format = 1\n[users]\na = \"$argon2id$secret\n", "line 3 is not well-formed"),
            ("format = 1\n[users]\na = \"secret\"\n", "no password hash"),
            ("format = 1\n[users]\na = 7\n", "no password hash"),
            ("format = 1\n[tokens]\na = \"secret\"\n", "\"tokens\" does not belong there"),
            ("format = 1\nusers = \"secret\"\n", "\"users\" does not belong there"),
            ("format = 2\n", "format 2"),
            ("", "does not name its format"),
        ] {
            let error = Secrets::read(folder_with(text, 0o600).path()).expect_err(text).to_string();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_hash_is_salted_and_stays_out_of_debug_output() {
        let (one, two) = (PasswordHash::of("pässword").expect("legal"), PasswordHash::of("pässword").expect("legal"));
        assert_ne!(one, two);
        assert!(one.as_str().starts_with("$argon2id$v=19$"));
        let mut secrets = Secrets::default();
        secrets.set("alice", one.clone());
        assert_eq!(format!("{secrets:?} {one:?}"), "{\"alice\": \"(set)\"} (set)");
    }

    #[test]
    fn passwords_that_no_client_could_send_are_refused() {
        for password in ["", "with\nnewline", "with\0nul", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
            assert!(matches!(PasswordHash::of(password), Err(SecretsError::Password)));
        }
    }

    #[test]
    fn names_are_one_user_whatever_their_case() {
        let mut secrets = Secrets::default();
        secrets.set("Alice", PasswordHash::of("one").expect("legal"));
        secrets.set("ALICE", PasswordHash::of("two").expect("legal"));
        assert_eq!(secrets.users().map(|(name, _)| name).collect::<Vec<_>>(), ["ALICE"]);
        assert!(secrets.has("alice"));
        assert!(secrets.remove("aLICE"));
        assert!(!secrets.remove("alice"));
    }
}
