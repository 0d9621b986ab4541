//! A password that a send connector logs on with, on its way into a file of the data folder: the settings are shown, compared
//! and kept, and hold no more than where it is.
//!
//! Takes `-AuthenticationCredential`, hands on the keys that name the user and the file. Where the change of settings that
//! goes with it is refused, the file is as it was.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_policy::logon::PasswordPlace;
use gatepost_policy::send_connector::SendConnector;
use serde_json::Value as Json;

use super::super::keys::Change;
use super::super::user::with_line;
use super::super::{Answer, CommandError, Invocation};
use crate::credentials::{ApiToken, PASSWORD_BYTES_MAX};
use crate::edit::Value;
use crate::replace::replace_file;

/// Below the data folder: one file for each connector whose password a command was given.
const FOLDER: &str = "passwords";

/// What a command was given.
pub(super) enum Password {
    /// Nothing: what is there stays.
    Unnamed,
    /// `$null`: nobody logs on any more.
    Cleared,
    /// A name with a password.
    Given {
        /// The name.
        user: String,
        /// Where the password is.
        file: PathBuf,
        /// What was there before, where it has been written.
        before: Option<Before>,
    },
}

/// What a file was before it was written.
pub(super) struct Before(Option<Vec<u8>>);

impl Password {
    /// Reads the parameter, and writes the file, so that settings that name it can be put in force.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn begin(
        invocation: &Invocation<'_>,
        connector: Option<&SendConnector>,
    ) -> Result<Password, CommandError> {
        let given = match invocation.arguments.get("AuthenticationCredential") {
            None => return Ok(Password::Unnamed),
            Some(Json::Object(given)) => given,
            Some(_) => return Ok(Password::Cleared),
        };
        for other in ["AuthenticationUser", "AuthenticationPasswordFile", "AuthenticationPasswordEnv"] {
            if invocation.arguments.get(other).is_some() {
                let error = format!("write AuthenticationCredential or {other}, not both");
                return Err(CommandError::Wrong(error));
            }
        }
        if invocation.transaction.is_some() {
            let error = "AuthenticationCredential: a password is no part of the settings, and so of no transaction: give it before or \
                         after the transaction";
            return Err(CommandError::Wrong(error.to_owned()));
        }
        let text = |name: &str| given.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let (user, password) = (text("UserName"), text("Password"));
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX || password.chars().any(char::is_control) {
            let error = format!(
                "AuthenticationCredential: a password has 1 to {PASSWORD_BYTES_MAX} bytes and no control characters"
            );
            return Err(CommandError::Wrong(error));
        }
        let folder = invocation.settings.server.data_dir.join(FOLDER);
        let all = &invocation.settings.send_connectors;
        let file = match connector.and_then(|connector| own_file(connector, all, &folder)) {
            Some(file) => file.to_path_buf(),
            None => folder.join(ApiToken::fresh_id().map_err(|error| CommandError::Failed(error.to_string()))?),
        };
        let mut before = None;
        if !invocation.is_what_if {
            let place = file.clone();
            before = Some(blocking(move || write(&folder, &place, &password)).await?);
        }
        Ok(Password::Given { user, file, before })
    }

    /// What the settings say of it.
    pub fn changes(&self) -> Vec<Change> {
        let (user, file): (Option<Value>, Option<Value>) = match self {
            Password::Unnamed => return Vec::new(),
            Password::Cleared => (None, None),
            Password::Given { user, file, .. } => (Some(user.as_str().into()), Some(file.display().to_string().into())),
        };
        vec![
            ("authentication_user", user),
            ("authentication_password_file", file),
            ("authentication_password_env", None),
        ]
    }

    /// Puts the password in force, or takes it back: as `answer` says of the settings.
    ///
    /// # Errors
    /// That of `answer`, or that the password cannot be put in force.
    pub async fn end(
        self,
        invocation: &Invocation<'_>,
        answer: Result<Answer, CommandError>,
    ) -> Result<Answer, CommandError> {
        let Password::Given { file, before, .. } = self else { return answer };
        let Some(before) = before else {
            return answer.map(|answer| with_line(answer, Some("The password would be another one.")));
        };
        let answer = match answer {
            // The settings are the same: nobody has looked at the file.
            Ok(answer) if answer.revision.is_none() => {
                let renewed = invocation.amender.reloader().renew(&invocation.actor.name).await;
                renewed.map(|()| answer).map_err(|error| CommandError::Conflict(error.to_string()))
            }
            answer => answer,
        };
        if answer.is_err() {
            blocking(move || take_back(&file, before)).await?;
        }
        answer
    }
}

/// The file of a connector, where it is to the letter one that was made here, and for it alone. What settings name besides
/// may be anything: `passwords/../credentials`, or another connector's.
fn own_file<'a>(connector: &'a SendConnector, all: &[Arc<SendConnector>], folder: &Path) -> Option<&'a Path> {
    let file = file_of(connector)?;
    let is_id = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    let is_made_here = file.parent() == Some(folder) && file.file_name()?.to_str().is_some_and(is_id);
    let is_shared = all.iter().any(|other| other.name != connector.name && file_of(other) == Some(file));
    (is_made_here && !is_shared).then_some(file)
}

fn file_of(connector: &SendConnector) -> Option<&Path> {
    match &connector.logon.as_deref()?.password {
        PasswordPlace::File(file) => Some(file),
        PasswordPlace::Environment(_) => None,
    }
}

fn write(folder: &Path, file: &Path, password: &str) -> io::Result<Before> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let before = match std::fs::read(file) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    replace_file(file, format!("{password}\n").as_bytes(), 0o600)?;
    Ok(Before(before))
}

fn take_back(file: &Path, before: Before) -> io::Result<()> {
    match before.0 {
        Some(bytes) => replace_file(file, &bytes, 0o600),
        None => std::fs::remove_file(file),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, CommandError> {
    let done = tokio::task::spawn_blocking(work).await;
    let failed =
        |error: io::Error| CommandError::Failed(format!("the password cannot be kept in the data folder: {error}"));
    done.map_err(|_| CommandError::Failed("that failed unexpectedly; the log has the cause".to_owned()))?
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use gatepost_policy::settings;

    use super::*;
    use crate::document::defaults;

    #[test]
    fn a_file_is_written_over_only_where_it_was_made_here_for_this_connector_alone() {
        let folder = Path::new("/var/lib/gatepost/passwords");
        for (file, of_other, is_own) in [
            ("/var/lib/gatepost/passwords/0a1b2c3d", "/etc/other", true),
            ("/var/lib/gatepost/passwords/0a1b2c3d", "/var/lib/gatepost/passwords/0a1b2c3d", false),
            ("/var/lib/gatepost/passwords/../credentials", "/etc/other", false),
            ("/var/lib/gatepost/passwords/../audit/0a1b2c3d", "/etc/other", false),
            ("/var/lib/gatepost/passwords/0a/../0a1b2c3d", "/etc/other", false),
            ("/var/lib/gatepost/passwords/..", "/etc/other", false),
            ("/var/lib/gatepost/passwords/Provider.txt", "/etc/other", false),
            ("/etc/gatepost/0a1b2c3d", "/etc/other", false),
        ] {
            let connector = |name: &str, file: &str| {
                format!(
                    "[[send_connector]]\nname = \"{name}\"\naddress_spaces = [\"*\"]\nenabled = false\n\
                     dns_routing_enabled = false\nsmart_hosts = [\"smtp.example.net\"]\n\
                     smart_host_auth_mechanism = \"BasicAuthRequireTLS\"\nauthentication_user = \"u\"\n\
                     authentication_password_file = \"{file}\"\n"
                )
            };
            let text = connector("One", file) + &connector("Other", of_other);
            let all = settings::parse(&text, &defaults()).expect("settings").send_connectors;
            let own = own_file(&all[0], &all, folder);
            assert_eq!(own, is_own.then_some(Path::new(file)), "{file} {of_other}");
        }
    }
}
