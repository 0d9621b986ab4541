//! A password that a send connector logs on with, on its way into a file of the data folder: the settings are shown, compared
//! and kept, and hold no more than where it is.
//!
//! Takes `-AuthenticationCredential`, hands on the keys that name the user and the file. Each password has a file of its own, so
//! that nothing has to be taken back where the change of settings that goes with it is refused: that file goes, and no other changes.

use std::io;
use std::path::PathBuf;

use gatepost_policy::send_connector::SendConnector;
use serde_json::Value as Json;

use super::super::keys::Change;
use super::super::user::with_line;
use super::super::{Answer, CommandError, Invocation};
use crate::credentials::PASSWORD_BYTES_MAX;
use crate::edit::Value;
use crate::smart_host_passwords::{fresh_place, keep};

/// The parameters of a name, and of a password that is kept elsewhere.
const ELSEWHERE: [&str; 3] = ["AuthenticationUser", "AuthenticationPasswordFile", "AuthenticationPasswordEnv"];
const NO_USER: &str =
    "AuthenticationCredential: the user name is missing: give the one that the smart hosts know this server by";

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
        /// Where the password is, or would be.
        file: PathBuf,
    },
}

impl Password {
    /// Reads the parameter for `connector`, which may not be there yet, and writes the file, so that settings that name it can be put in force.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn begin(
        invocation: &Invocation<'_>,
        connector: Option<&SendConnector>,
    ) -> Result<Password, CommandError> {
        let arguments = &invocation.arguments;
        let given = match arguments.get("AuthenticationCredential") {
            None => {
                let is_asked =
                    arguments.text("SmartHostAuthMechanism").is_some_and(|name| name.starts_with("BasicAuth"));
                let is_elsewhere = ELSEWHERE.iter().any(|name| arguments.get(name).is_some());
                let is_there = connector.is_some_and(|connector| connector.logon.is_some());
                return match is_asked && !is_elsewhere && !is_there {
                    true => Err(CommandError::Wrong(NO_USER.to_owned())),
                    false => Ok(Password::Unnamed),
                };
            }
            Some(Json::Object(given)) => given,
            Some(_) => return Ok(Password::Cleared),
        };
        for other in ELSEWHERE {
            if arguments.get(other).is_some() {
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
        if user.is_empty() {
            return Err(CommandError::Wrong(NO_USER.to_owned()));
        }
        if password.is_empty() {
            let error = format!("AuthenticationCredential: the password is missing: give the one of {user}");
            return Err(CommandError::Wrong(error));
        }
        if password.len() > PASSWORD_BYTES_MAX || password.chars().any(char::is_control) {
            let error = format!(
                "AuthenticationCredential: a password has 1 to {PASSWORD_BYTES_MAX} bytes and no control characters"
            );
            return Err(CommandError::Wrong(error));
        }
        let data_dir = invocation.settings.server.data_dir.clone();
        let is_what_if = invocation.is_what_if;
        let file = blocking(move || {
            let file = fresh_place(&data_dir)?;
            if !is_what_if {
                keep(&file, &password)?;
            }
            Ok(file)
        })
        .await?;
        Ok(Password::Given { user, file })
    }

    /// What the settings say of it.
    pub fn changes(&self) -> Vec<Change> {
        let (user, file): (Option<Value>, Option<Value>) = match self {
            Password::Unnamed => return Vec::new(),
            Password::Cleared => (None, None),
            Password::Given { user, file } => (Some(user.as_str().into()), Some(file.display().to_string().into())),
        };
        vec![
            ("authentication_user", user),
            ("authentication_password_file", file),
            ("authentication_password_env", None),
        ]
    }

    /// Removes the file where no settings came to name it: as `answer` says.
    ///
    /// # Errors
    /// That of `answer`.
    pub async fn end(
        self,
        invocation: &Invocation<'_>,
        answer: Result<Answer, CommandError>,
    ) -> Result<Answer, CommandError> {
        let is_about_passwords = !matches!(self, Password::Unnamed);
        if let Password::Given { file, .. } = self {
            if invocation.is_what_if {
                return answer.map(|answer| with_line(answer, Some("The password would be another one.")));
            }
            if !answer.as_ref().is_ok_and(|answer| answer.revision.is_some()) {
                // One that stays is named by nobody, and goes later.
                let _ = blocking(move || std::fs::remove_file(&file)).await;
            }
        }
        if is_about_passwords && answer.as_ref().is_ok_and(|answer| answer.revision.is_some()) {
            invocation.amender.forget_passwords().await;
        }
        answer
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, CommandError> {
    let done = tokio::task::spawn_blocking(work).await;
    let failed =
        |error: io::Error| CommandError::Failed(format!("the password cannot be kept in the data folder: {error}"));
    done.map_err(|_| CommandError::Failed("that failed unexpectedly; the log has the cause".to_owned()))?
        .map_err(failed)
}
