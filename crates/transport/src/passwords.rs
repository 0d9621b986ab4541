//! The passwords by which send connectors log on: read when settings are loaded, from files or the environment.
//!
//! Takes settings, hands on passwords by connector, or every place that cannot be used. Never shows one. Settings hold
//! the places only, so that documents can be shown, compared and kept. Blocking.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_policy::logon::{Logon, PasswordPlace};
use gatepost_policy::settings::Settings;

/// Longest password, in bytes; SASL PLAIN has to carry it on one line with two names (RFC 4616).
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Why a password cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Its file cannot be read.
    #[error("{connector}: cannot read authentication_password_file {path}: {source}", path = path.display())]
    Read {
        /// The send connector.
        connector: Arc<str>,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or change its file.
    #[error(
        "{connector}: authentication_password_file {path} is open to others (mode {mode:04o}): run `chmod 600 {path}`",
        path = path.display()
    )]
    TooOpen {
        /// The send connector.
        connector: Arc<str>,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The environment has no such variable.
    #[error(
        "{connector}: the environment has no {name}, which authentication_password_env names: set it before the start"
    )]
    NoVariable {
        /// The send connector.
        connector: Arc<str>,
        /// The variable.
        name: Box<str>,
    },
    /// What is there is no password.
    #[error(
        "{connector}: {place} holds no password: it has to be one line of 1 to {PASSWORD_BYTES_MAX} bytes of UTF-8"
    )]
    NoPassword {
        /// The send connector.
        connector: Arc<str>,
        /// The file or variable.
        place: String,
    },
}

/// Passwords by send connector.
#[derive(Clone, Default)]
pub struct Passwords(HashMap<Arc<str>, Arc<str>>);

/// How many there are.
impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passwords({})", self.0.len())
    }
}

impl Passwords {
    /// Reads the password of every connector that is enabled and logs on.
    ///
    /// # Errors
    /// [`PasswordError`], naming connector and place.
    pub fn load(settings: &Settings) -> Result<Passwords, PasswordError> {
        let connectors = settings.send_connectors.iter().filter(|connector| connector.enabled);
        let logons = connectors.filter_map(|connector| Some((&connector.name, connector.logon.as_deref()?)));
        let read = |(connector, logon): (&Arc<str>, &Logon)| {
            let text = match &logon.password {
                PasswordPlace::File(path) => read_file(connector, path)?,
                PasswordPlace::Environment(name) => match std::env::var_os(&**name) {
                    Some(value) => value.into_encoded_bytes(),
                    None => return Err(PasswordError::NoVariable { connector: connector.clone(), name: name.clone() }),
                },
            };
            let password = password(&text).ok_or_else(|| PasswordError::NoPassword {
                connector: connector.clone(),
                place: match &logon.password {
                    PasswordPlace::File(path) => path.display().to_string(),
                    PasswordPlace::Environment(name) => name.to_string(),
                },
            })?;
            Ok((connector.clone(), password.into()))
        };
        logons.map(read).collect::<Result<_, _>>().map(Passwords)
    }

    /// That of a connector.
    pub fn of(&self, connector: &str) -> Option<&Arc<str>> {
        self.0.get(connector)
    }
}

fn read_file(connector: &Arc<str>, path: &Path) -> Result<Vec<u8>, PasswordError> {
    read_secret_file(path, PASSWORD_BYTES_MAX + 2).map_err(|fault| {
        let (connector, path) = (connector.clone(), path.into());
        match fault {
            SecretFileFault::Read(source) => PasswordError::Read { connector, path, source },
            SecretFileFault::TooOpen(mode) => PasswordError::TooOpen { connector, path, mode },
        }
    })
}

/// Why a secret cannot be taken from its file.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileFault {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// Others may read or change it; these are its permission bits.
    #[error("it is open to others (mode {0:04o}): run `chmod 600` on it")]
    TooOpen(u32),
}

/// What a file that holds a secret says, as far as one byte behind `bytes_max`. Blocking.
///
/// # Errors
/// [`SecretFileFault`], which never says what is in it.
pub fn read_secret_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, SecretFileFault> {
    let file = File::open(path)?;
    // The mode of the open file, not of the path: nobody can swap it in between. Its group may read it: that is how
    // secrets are handed to a service.
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o027 != 0 {
        return Err(SecretFileFault::TooOpen(mode));
    }
    let mut text = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// One line, with its end or without.
fn password(text: &[u8]) -> Option<&str> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()?;
    let is_one = !line.is_empty() && line.len() <= PASSWORD_BYTES_MAX && !line.chars().any(char::is_control);
    is_one.then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_with_its_end_or_without() {
        let longest = "x".repeat(PASSWORD_BYTES_MAX);
        let too_long = format!("{longest}x");
        for (text, expected) in [
            ("hunter2", Some("hunter2")),
            ("hunter2\n", Some("hunter2")),
            ("hunter2\r\n", Some("hunter2")),
            (" hunter 2 \n", Some(" hunter 2 ")),
            ("pässwort\n", Some("pässwort")),
            (&longest, Some(&longest)),
            (&too_long, None),
            ("", None),
            ("\n", None),
            ("one\ntwo\n", None),
            ("one\0", None),
        ] {
            assert_eq!(password(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(password(b"\xff\xfe"), None);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\n").expect("a file");
        for (mode, is_taken) in
            [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o660, false), (0o604, false)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
            match read_file(&"Out".into(), &path) {
                Ok(text) => assert!(is_taken && text == b"hunter2\n", "{mode:o}"),
                Err(error) => assert!(!is_taken && error.to_string().contains("chmod 600"), "{mode:o}: {error}"),
            }
        }
        let error = read_file(&"Out".into(), &folder.path().join("nothing")).expect_err("it is not there").to_string();
        assert!(error.starts_with("Out: cannot read authentication_password_file"), "{error}");
    }
}
