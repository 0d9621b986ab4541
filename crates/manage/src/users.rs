//! The users who may authenticate: added, listed, removed.
//!
//! Takes the settings file and a change, hands on what was done. A user is two things in two places: a `[[user]]` table
//! in the document (name and addresses) and a hash in the secrets. One change at a time: a lock on the data folder keeps
//! two administrators apart. For a server that does not run: a running one is told to do the same by commands. Blocking.

use std::ops::Range;
use std::path::{Path, PathBuf};

use gatepost_mail::Mailbox;
use gatepost_policy::settings::Settings;
use toml::de::{DeTable, DeValue};

use crate::credentials::{PasswordHash, Secrets, SecretsError, is_same_user, toml_string};
use crate::data_folder::{self, DataFolderError};
use crate::document::{Document, LoadError};

/// A user to add, or whose password to set.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name to authenticate with.
    pub name: String,
    /// Whom the user may send as; only for a user who is not in the document yet.
    pub addresses: Vec<String>,
    /// The password's hash.
    pub hash: PasswordHash,
    /// Whether the password is easy to guess, and was allowed all the same.
    pub is_weak: bool,
}

/// What adding a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The document has a new `[[user]]` table.
    Created,
    /// The user was there; the password is new.
    PasswordSet,
}

/// One user, as a listing shows it: without any secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct User {
    /// The name to authenticate with.
    pub name: String,
    /// Whom the user may send as.
    pub addresses: Vec<String>,
    /// Where the password is.
    pub password: PasswordPlace,
    /// Whether the password is easy to guess, and was allowed all the same.
    pub has_weak_password: bool,
}

/// Where a user's password hash is. The one in the data folder counts if there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordPlace {
    /// Nowhere: the user cannot authenticate.
    None,
    /// In the secrets of the data folder.
    Credentials,
    /// In the document.
    Document,
}

/// Why a user could not be added or removed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The document cannot be read, or would not be without problems afterwards.
    #[error(transparent)]
    Document(#[from] LoadError),
    /// The secrets cannot be read or written.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// No user of this name.
    #[error("there is no user {0:?}: `gatepost user list` shows who is there")]
    Unknown(String),
    /// The name cannot be used.
    #[error("{0:?} is no user name: write 1 to {USER_NAME_CHARACTERS_MAX} characters, no control characters")]
    Name(String),
    /// An address is not well-formed.
    #[error("{address:?} is no address: {reason}")]
    Address {
        /// As given.
        address: String,
        /// What is wrong with it.
        reason: gatepost_mail::AddressError,
    },
    /// Addresses were given for a user whom the document has already.
    #[error("{name:?} is in {path} already: change the addresses there, then run `gatepost reload`", path = .path.display())]
    AddressesOfKnownUser {
        /// The user.
        name: String,
        /// The document.
        path: PathBuf,
    },
    /// The user's table is written in a way that this program does not edit.
    #[error("{name:?} is not written as a [[user]] table of its own in {path}: take it out by hand", path = .path.display())]
    NotEditable {
        /// The user.
        name: String,
        /// The document.
        path: PathBuf,
    },
    /// The data folder cannot be made or locked.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
}

/// Longest user name, in characters.
pub const USER_NAME_CHARACTERS_MAX: usize = 64;

/// Sets a user's password, after appending a `[[user]]` table to the document at `config` if it has none for the name.
///
/// # Errors
/// [`UserError`]. The table comes first: a failure in between leaves a user without a password, who can do nothing.
pub fn add(config: &Path, user: &NewUser) -> Result<Added, UserError> {
    if user.name.is_empty()
        || user.name.chars().count() > USER_NAME_CHARACTERS_MAX
        || user.name.chars().any(char::is_control)
    {
        return Err(UserError::Name(user.name.clone()));
    }
    for address in &user.addresses {
        Mailbox::parse(address).map_err(|reason| UserError::Address { address: address.clone(), reason })?;
    }
    let document = Document::read(config)?;
    let data_dir = document.settings.server.data_dir.clone();
    let _lock = data_folder::lock(&data_dir)?;
    // Read again: it may have changed while we waited for the lock.
    let document = Document::read(config)?;
    let mut secrets = Secrets::read(&data_dir)?;
    let added = if !is_known(&document.settings, &user.name) {
        document.rewrite(with_user(&document.text, user))?;
        Added::Created
    } else if user.addresses.is_empty() {
        Added::PasswordSet
    } else {
        return Err(UserError::AddressesOfKnownUser { name: user.name.clone(), path: document.path });
    };
    secrets.set(&user.name, user.hash.clone());
    if user.is_weak {
        secrets.note_weak(&user.name);
    }
    secrets.write(&data_dir)?;
    Ok(added)
}

/// Every user of the document at `config`, in its order.
///
/// # Errors
/// [`UserError`].
pub fn list(config: &Path) -> Result<Vec<User>, UserError> {
    let document = Document::read(config)?;
    let secrets = Secrets::read(&document.settings.server.data_dir)?;
    let users = document.settings.users.iter().map(|user| User {
        name: user.name.to_string(),
        addresses: user.addresses.iter().map(Mailbox::to_string).collect(),
        password: match (&user.password, secrets.has(&user.name)) {
            (_, true) => PasswordPlace::Credentials,
            (Some(_), false) => PasswordPlace::Document,
            (None, false) => PasswordPlace::None,
        },
        has_weak_password: secrets.is_weak(&user.name),
    });
    Ok(users.collect())
}

/// Takes a user out of the document at `config` and out of the secrets.
///
/// # Errors
/// [`UserError`]. The hash goes first: a failure in between leaves a user without a password, who can do nothing.
pub fn remove(config: &Path, name: &str) -> Result<(), UserError> {
    let document = Document::read(config)?;
    let data_dir = document.settings.server.data_dir.clone();
    let _lock = data_folder::lock(&data_dir)?;
    let document = Document::read(config)?;
    let mut secrets = Secrets::read(&data_dir)?;
    let known = is_known(&document.settings, name);
    if !known && !secrets.has(name) {
        return Err(UserError::Unknown(name.to_owned()));
    }
    let shorter = without_user(&document.text, name);
    if known && shorter.is_none() {
        return Err(UserError::NotEditable { name: name.to_owned(), path: document.path });
    }
    if secrets.remove(name) {
        secrets.write(&data_dir)?;
    }
    if let Some(text) = shorter {
        document.rewrite(text)?;
    }
    Ok(())
}

fn is_known(settings: &Settings, name: &str) -> bool {
    settings.users.iter().any(|user| is_same_user(&user.name, name))
}

/// The document with a `[[user]]` table at its end, its line endings kept.
fn with_user(text: &str, user: &NewUser) -> String {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut longer = text.to_owned();
    if !longer.is_empty() && !longer.ends_with('\n') {
        longer.push_str(newline);
    }
    let addresses: Vec<_> = user.addresses.iter().map(|address| toml_string(address)).collect();
    for line in ["", "[[user]]", &format!("name = {}", toml_string(&user.name))] {
        longer.push_str(line);
        longer.push_str(newline);
    }
    longer.push_str(&format!("addresses = [{}]{newline}", addresses.join(", ")));
    longer
}

/// The document without the `[[user]]` table of `name`: its header line up to the line of its last value, and one blank
/// line before it. Comments between its lines go with it, comments above and below stay. `None` if the user is written
/// otherwise or the rest of the document would come to mean anything else.
fn without_user(text: &str, name: &str) -> Option<String> {
    let before = DeTable::parse(text).ok()?;
    let users = before.get_ref().get("user")?.get_ref().as_array()?;
    let index = users.iter().position(|user| is_named(user.get_ref(), name))?;
    let table = users[index].get_ref().as_table()?;
    let header = users[index].span().start;
    let start = text[..header].rfind('\n').map_or(0, |at| at + 1);
    if !text[start..].trim_start().starts_with("[[") {
        return None;
    }
    let last = table.iter().map(|(key, value)| key.span().end.max(value.span().end)).max()?;
    let end = text[last..].find('\n').map_or(text.len(), |at| last + at + 1);
    let shorter = cut(text, start..end);
    let after = DeTable::parse(&shorter).ok()?;
    let rest_is_same = rest(before.get_ref(), Some(index)) == rest(after.get_ref(), None);
    rest_is_same.then_some(shorter)
}

fn is_named(user: &DeValue<'_>, name: &str) -> bool {
    user.get("name").and_then(|value| value.get_ref().as_str()).is_some_and(|known| is_same_user(known, name))
}

/// `text` without `range` and without one blank line before it.
fn cut(text: &str, range: Range<usize>) -> String {
    let head = &text[..range.start];
    let head = head.strip_suffix("\r\n\r\n").map(|_| &head[..head.len() - 2]).unwrap_or(head);
    let head = head.strip_suffix("\n\n").map(|_| &head[..head.len() - 1]).unwrap_or(head);
    format!("{head}{}", &text[range.end..])
}

/// What a document says, without one of its users and without the places where it says it.
fn rest(table: &DeTable<'_>, without: Option<usize>) -> Vec<(String, String)> {
    let mut said = Vec::new();
    for (key, value) in table {
        let key = key.get_ref().to_string();
        match value.get_ref().as_array() {
            Some(users) if key == "user" => {
                let kept = users.iter().enumerate().filter(|(i, _)| Some(*i) != without);
                said.extend(kept.map(|(_, user)| (key.clone(), plain(user.get_ref()))));
            }
            _ => said.push((key, plain(value.get_ref()))),
        }
    }
    said
}

/// A value as text that is equal for equal values, wherever they stand.
fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => format!("i{}:{}", number.radix(), number.as_str()),
        DeValue::Float(number) => format!("f{}", number.as_str()),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => format!("t{time}"),
        DeValue::Array(values) => {
            let values: Vec<_> = values.iter().map(|value| plain(value.get_ref())).collect();
            format!("[{}]", values.join(","))
        }
        DeValue::Table(table) => {
            let entries = table.iter().map(|(key, value)| format!("{:?}={}", key.get_ref(), plain(value.get_ref())));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
    }
}

#[cfg(test)]
mod tests;
