//! The file of secrets: `data_dir/credentials`: password hashes by user name; administrators, tokens of the API, and the
//! one-time token of the first start.
//!
//! Takes the data folder, hands on names and hashes; makes hashes from passwords. Refuses a file that others than its
//! owner may read, and one that a newer version wrote. Never shows a hash in an error or a log. Blocking, and hashing
//! takes tens of milliseconds on purpose: call it outside async tasks.

mod administrator;
mod token;
mod totp;
mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gatepost_transport::Credentials;
use gatepost_transport::authenticate::hash_password;
use toml::de::{DeTable, DeValue};

use crate::replace::replace_file;
use fields::Entry;

pub use administrator::Administrator;
pub use token::{ApiToken, OneTimeToken, Secret, SecretHash, is_same_secret};
pub use totp::TotpSecret;

/// Name of the file in the data folder.
pub const FILE_NAME: &str = "credentials";
/// The newest layout that this version reads. It writes the oldest that holds all there is, so that an older version can
/// still read the file of who has nothing newer: the first holds users, the second administrators, tokens and the one-time
/// token besides, the third since when codes are asked for, and whose password is weak.
pub const FORMAT: u32 = 3;
const FORMAT_OF_ADMINISTRATORS: u32 = 2;
const FORMAT_OF_USERS: u32 = 1;
const WEAK_USERS: &str = "weak_users";
/// Largest file that is read, in bytes: about a hundred thousand users.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest password, in bytes; SASL PLAIN has to carry it on one line with two names (RFC 4616).
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Password hashes by user name, and who may administer. `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    users: BTreeMap<String, String>,
    /// Which of them have a password that somebody allowed although it is easy to guess.
    weak_users: BTreeSet<String>,
    /// Who may administer by name and password. No two have one name, whatever its case.
    pub administrators: Vec<Administrator>,
    /// Who may administer by a token.
    pub tokens: Vec<ApiToken>,
    /// What makes the first administrator.
    pub setup: Option<OneTimeToken>,
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
    /// The operating system gives no randomness for a secret.
    #[error("the operating system gives no randomness")]
    Randomness,
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
        text.push_str(&format!("format = {}\n", self.format()));
        if !self.weak_users.is_empty() {
            fields::write_texts(&mut text, WEAK_USERS, self.weak_users.iter().map(String::as_str));
        }
        text.push_str("\n[users]\n");
        for (name, hash) in &self.users {
            text.push_str(&format!("{} = {}\n", toml_string(name), toml_string(hash)));
        }
        for administrator in &self.administrators {
            administrator.write(&mut text);
        }
        for token in &self.tokens {
            token.write(&mut text);
        }
        if let Some(setup) = &self.setup {
            setup.write(&mut text);
        }
        replace_file(&path, text.as_bytes(), 0o600).map_err(|source| SecretsError::Io { path, source })
    }

    /// The oldest layout that holds this.
    fn format(&self) -> u32 {
        let has_since = self.administrators.iter().any(|known| known.totp_since_ms.is_some());
        let has_users_alone = self.administrators.is_empty() && self.tokens.is_empty() && self.setup.is_none();
        match (has_since || !self.weak_users.is_empty(), has_users_alone) {
            (true, _) => FORMAT,
            (false, false) => FORMAT_OF_ADMINISTRATORS,
            (false, true) => FORMAT_OF_USERS,
        }
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

    /// The hash of `name`, in any case.
    pub fn hash(&self, name: &str) -> Option<PasswordHash> {
        let known = self.users.iter().find(|(known, _)| is_same_user(known, name));
        known.map(|(_, hash)| PasswordHash(hash.clone()))
    }

    /// Every user whose password here is easy to guess.
    pub fn weak_users(&self) -> impl Iterator<Item = &str> {
        self.weak_users.iter().map(String::as_str)
    }

    /// Whether `name`, in any case, has a password here that somebody allowed although it is easy to guess.
    pub fn is_weak(&self, name: &str) -> bool {
        self.weak_users.iter().any(|known| is_same_user(known, name))
    }

    /// Notes that the password of `name` is easy to guess, until it has another.
    pub fn note_weak(&mut self, name: &str) {
        if self.has(name) && !self.is_weak(name) {
            self.weak_users.insert(name.to_owned());
        }
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
        self.weak_users.retain(|known| !is_same_user(known, name));
        self.users.len() != before
    }

    /// The administrator of this name, in any case.
    pub fn administrator(&self, name: &str) -> Option<&Administrator> {
        self.administrators.iter().find(|known| is_same_user(&known.name, name))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let administrators = self.administrators.iter().map(|known| &known.name);
        let names = self.users.keys().chain(administrators).chain(self.tokens.iter().map(|token| &token.id));
        f.debug_map().entries(names.map(|name| (name, "(set)"))).finish()
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

    /// What is a PHC string of argon2 already.
    fn stored(text: &str) -> Option<PasswordHash> {
        text.starts_with("$argon2").then(|| PasswordHash(text.to_owned()))
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
    let is_known = format.parse().is_ok_and(|format: u32| (FORMAT_OF_USERS..=FORMAT).contains(&format));
    if !is_known {
        return Err(Fault::Newer(format));
    }
    let mut secrets = Secrets::default();
    for (key, value) in table {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("format", _) => {}
            ("users", DeValue::Table(table)) => {
                for (name, hash) in table {
                    let name = name.get_ref().as_ref();
                    let Some(hash) = hash.get_ref().as_str().filter(|hash| hash.starts_with("$argon2")) else {
                        return Err(Fault::Damaged(format!("the entry of {name:?} is no password hash")));
                    };
                    secrets.users.insert(name.to_owned(), hash.to_owned());
                }
            }
            (WEAK_USERS, DeValue::Array(names)) => {
                let names = names.iter().map(|name| name.get_ref().as_str().map(str::to_owned));
                let names: Option<_> = names.collect();
                let damaged = || Fault::Damaged(format!("{WEAK_USERS:?} is no list of names"));
                secrets.weak_users = names.ok_or_else(damaged)?;
            }
            ("administrator", DeValue::Array(tables)) => {
                secrets.administrators = read_each(tables, "administrator", Administrator::read)?;
            }
            ("token", DeValue::Array(tables)) => secrets.tokens = read_each(tables, "token", ApiToken::read)?,
            ("setup", DeValue::Table(table)) => {
                secrets.setup = Some(read_one(table, "setup", OneTimeToken::read)?);
            }
            (key, _) => return Err(Fault::Damaged(format!("{key:?} does not belong there"))),
        }
    }
    Ok(secrets)
}

fn read_each<T>(
    tables: &[toml::Spanned<DeValue<'_>>],
    what: &'static str,
    read: fn(&mut Entry<'_, '_>) -> Option<T>,
) -> Result<Vec<T>, Fault> {
    let damaged = || Fault::Damaged(format!("{what:?} is no list of tables"));
    tables.iter().map(|table| read_one(table.get_ref().as_table().ok_or_else(damaged)?, what, read)).collect()
}

fn read_one<T>(table: &DeTable<'_>, what: &'static str, read: fn(&mut Entry<'_, '_>) -> Option<T>) -> Result<T, Fault> {
    let mut entry = Entry::new(table);
    let lacks = || Fault::Damaged(format!("an entry of {what} lacks something, or holds what is none"));
    let read = read(&mut entry).ok_or_else(lacks)?;
    match entry.unknown() {
        None => Ok(read),
        Some(key) => Err(Fault::Damaged(format!("{key:?} does not belong into an entry of {what}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gatepost_policy::role::Role;

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
    fn administrators_and_tokens_are_written_and_read_again_and_their_secrets_stay_out_of_sight() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut secrets = Secrets::default();
        secrets.set("alice", PasswordHash::of("correct horse").expect("a password"));
        secrets.administrators.push(Administrator {
            name: "Carol \"root\"".to_owned(),
            password: PasswordHash::of("staple").expect("a password"),
            roles: [Role::TransportAdmin, Role::SecurityOfficer].into_iter().collect(),
            totp: Some(TotpSecret::fresh().expect("randomness")),
            totp_since_ms: None,
            created_ms: 1,
        });
        let secret = Secret::fresh("gpt").expect("randomness");
        let token = ApiToken {
            id: ApiToken::fresh_id().expect("randomness"),
            hash: secret.hash(),
            roles: Role::View.into(),
            commands: vec!["Get-*".to_owned()],
            note: "monitoring\nline two".to_owned(),
            created_by: "uid 0".to_owned(),
            created_ms: 2,
            expires_ms: Some(3),
            last_used_ms: None,
        };
        secrets.tokens.push(token.clone());
        secrets.tokens.push(ApiToken { commands: Vec::new(), expires_ms: None, last_used_ms: Some(4), ..token });
        secrets.setup = Some(OneTimeToken { hash: secret.hash(), expires_ms: 5 });
        secrets.write(folder.path()).expect("written");
        assert_eq!(Secrets::read(folder.path()).expect("readable"), secrets);
        let text = fs::read_to_string(folder.path().join(FILE_NAME)).expect("ours");
        assert!(text.contains("format = 2\n") && !text.contains(secret.reveal()), "{text}");
        let shown = format!("{secrets:?} {:?} {:?}", secrets.administrators, secrets.tokens);
        assert!(!shown.contains("argon2") && !shown.contains(secret.reveal()), "{shown}");
        secrets.administrators[0].totp_since_ms = Some(6);
        secrets.note_weak("Alice");
        secrets.write(folder.path()).expect("written");
        assert_eq!(Secrets::read(folder.path()).expect("readable"), secrets);
        assert!(secrets.is_weak("ALICE") && !secrets.is_weak("bob"));
        let text = fs::read_to_string(folder.path().join(FILE_NAME)).expect("ours");
        assert!(text.contains("format = 3\n"), "an older version says that it is newer: {text}");
        secrets.set("alice", PasswordHash::of("correct horse battery").expect("a password"));
        assert!(!secrets.is_weak("alice"), "as long as it has that password");
        secrets.administrators.clear();
        secrets.tokens.clear();
        secrets.setup = None;
        secrets.write(folder.path()).expect("written");
        let text = fs::read_to_string(folder.path().join(FILE_NAME)).expect("ours");
        assert!(text.contains("format = 1\n"), "an older version can read it: {text}");
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
        let setup = format!("format = 2\n[setup]\nhash = \"{}\"\nexpires_ms = 1\nx = \"secret\"\n", "0".repeat(64));
        for (text, said) in [
            ("[users]\na = \"$argon2id$secret\"\n", "does not name its format"),
            ("format = 1\n[users]\na = \"$argon2id$secret\n", "line 3 is not well-formed"),
            ("format = 1\n[users]\na = \"secret\"\n", "no password hash"),
            ("format = 1\n[users]\na = 7\n", "no password hash"),
            ("format = 1\n[keys]\na = \"secret\"\n", "\"keys\" does not belong there"),
            ("format = 1\nusers = \"secret\"\n", "\"users\" does not belong there"),
            ("format = 4\n", "format 4"),
            ("format = 3\nweak_users = [7]\n", "no list of names"),
            ("format = 3\nweak_users = \"secret\"\n", "does not belong there"),
            ("format = 2\n[[administrator]]\nname = \"a\"\npassword = \"secret\"\n", "an entry of administrator lacks"),
            ("format = 2\n[[token]]\nhash = \"secret\"\n", "an entry of token lacks"),
            (&setup, "\"x\" does not belong into an entry of setup"),
            ("format = 2\ntoken = [\"secret\"]\n", "\"token\" is no list of tables"),
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
