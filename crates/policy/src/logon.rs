//! How a send connector logs on to its smart hosts: user name, where the password is, and which mechanisms may carry it.
//!
//! Values only. The password itself is never here: settings are shown, compared and kept as revisions.

use std::path::PathBuf;

/// A SASL mechanism, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogonMechanism {
    /// SCRAM-SHA-256 (RFC 7677): both sides prove that they know the password, and neither says it.
    ScramSha256,
    /// SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// PLAIN (RFC 4616): says the password.
    Plain,
    /// LOGIN: the same in two lines, for old servers.
    Login,
    /// CRAM-MD5 (RFC 2195): does not say the password, but proves nothing of the server, and its hash is broken.
    CramMd5,
}

impl LogonMechanism {
    /// Every mechanism with its name, best first.
    pub const NAMED: [(&str, LogonMechanism); 5] = [
        ("SCRAM-SHA-256", LogonMechanism::ScramSha256),
        ("SCRAM-SHA-1", LogonMechanism::ScramSha1),
        ("PLAIN", LogonMechanism::Plain),
        ("LOGIN", LogonMechanism::Login),
        ("CRAM-MD5", LogonMechanism::CramMd5),
    ];
}

/// Where a password is read when settings are loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordPlace {
    /// The one line of this file. As written, so a relative path is relative to the document's folder.
    File(PathBuf),
    /// This environment variable of the server.
    Environment(Box<str>),
}

/// The logon of one send connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logon {
    /// The user name.
    pub user: Box<str>,
    /// Where its password is.
    pub password: PasswordPlace,
    /// Those that may be used; never empty.
    pub mechanisms: Vec<LogonMechanism>,
}
