//! The AUTH exchange (RFC 4954): takes the peer's lines, hands on credentials. Never judges them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_mail::Reply;

use super::question::Credentials;
use crate::extension::Mechanism;

/// An exchange that waits for the peer's next line.
#[derive(Debug)]
pub(super) enum Exchange {
    /// PLAIN without an initial response.
    Plain,
    /// LOGIN before the user name.
    LoginUser,
    /// LOGIN before the password.
    LoginPassword {
        /// The user name.
        user: String,
    },
}

/// What a line of the peer led to.
#[derive(Debug)]
pub(super) enum Progress {
    /// Say `334` and this; wait for another line.
    Challenge(Exchange, &'static str),
    /// That is all.
    Complete(Secret),
    /// The exchange is over without credentials.
    Failed(Reply),
}

/// Credentials as long as they are being judged.
pub(super) struct Secret {
    mechanism: Mechanism,
    authorization_id: String,
    user: String,
    password: String,
}

/// Shows nothing: debug forms end up in logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl Secret {
    /// The form in which the caller sees them.
    pub(super) fn as_credentials(&self) -> Credentials<'_> {
        Credentials {
            mechanism: self.mechanism,
            authorization_id: &self.authorization_id,
            user: &self.user,
            password: &self.password,
        }
    }
}

/// Starts an exchange; `initial` is the initial response, still in base64.
pub(super) fn begin(mechanism: Mechanism, initial: Option<&str>) -> Progress {
    match (mechanism, initial) {
        (Mechanism::Plain, None) => Progress::Challenge(Exchange::Plain, ""),
        // base64 of "Username:"
        (Mechanism::Login, None) => Progress::Challenge(Exchange::LoginUser, "VXNlcm5hbWU6"),
        // RFC 4954 section 4: a lone "=" is an initial response of no bytes.
        (Mechanism::Plain, Some(text)) => Exchange::Plain.respond(if text == "=" { "" } else { text }),
        (Mechanism::Login, Some(text)) => Exchange::LoginUser.respond(if text == "=" { "" } else { text }),
    }
}

impl Exchange {
    /// Takes the peer's answer to the last challenge.
    pub(super) fn respond(self, line: &str) -> Progress {
        if line == "*" {
            return Progress::Failed(Reply::new(501, (5, 7, 0), "Authentication cancelled"));
        }
        let Some(text) = STANDARD.decode(line).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return Progress::Failed(Reply::new(501, (5, 5, 2), "Cannot decode response"));
        };
        match self {
            Exchange::Plain => plain(&text),
            // base64 of "Password:"
            Exchange::LoginUser => Progress::Challenge(Exchange::LoginPassword { user: text }, "UGFzc3dvcmQ6"),
            Exchange::LoginPassword { user } => Progress::Complete(Secret {
                mechanism: Mechanism::Login,
                authorization_id: String::new(),
                user,
                password: text,
            }),
        }
    }
}

/// `authorization-id NUL user NUL password` (RFC 4616 section 2).
fn plain(text: &str) -> Progress {
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(authorization_id), Some(user), Some(password), None) if !user.is_empty() => Progress::Complete(Secret {
            mechanism: Mechanism::Plain,
            authorization_id: authorization_id.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        }),
        _ => Progress::Failed(Reply::new(501, (5, 5, 2), "Cannot decode response")),
    }
}
