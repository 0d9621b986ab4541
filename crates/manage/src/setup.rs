//! The one-time token that makes the first administrator of a server that listens for some and has none.
//!
//! Made at each start, and when a reload opens the first door; shown once: on a terminal, or in a file that its owner alone
//! may read. There is no default password.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::access::administrators::{self, AccountError};
use crate::access::{Accounts, ChangeError};
use crate::clock::now_ms;
use crate::credentials::Secret;
use crate::replace::replace_file;

/// Name of the file in the data folder.
pub const FILE_NAME: &str = "one-time-token";

/// Makes a token in place of an older one, if there are no administrators. Whoever gets it has to show it.
///
/// # Errors
/// When the file of secrets cannot be changed.
async fn begin(accounts: &Arc<Accounts>) -> Result<Option<Secret>, ChangeError<AccountError>> {
    if !accounts.secrets().administrators.is_empty() {
        return Ok(None);
    }
    accounts.change(|secrets| administrators::begin_setup(secrets, now_ms())).await
}

/// Makes a token and shows it, where there are no administrators: by `show`, which says whether somebody sees it, else in a
/// file.
pub async fn offer(accounts: &Arc<Accounts>, data_dir: &Path, show: impl FnOnce(&Secret) -> bool) {
    let secret = match begin(accounts).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return clean_up(data_dir),
        Err(error) => {
            tracing::error!(%error, "no one-time token for the first administrator: run `gatepost admin add` instead");
            return;
        }
    };
    if show(&secret) {
        return clean_up(data_dir);
    }
    match write(data_dir, &secret) {
        Ok(path) => tracing::warn!(
            file = %path.display(),
            "nobody may administer over TCP yet: the file holds a one-time token for the first administrator, good for 24 hours; \
             `gatepost admin redeem` takes it, and the first visit of the console"
        ),
        Err(error) => tracing::error!(%error, "the one-time token cannot be written: run `gatepost admin add` instead"),
    }
}

/// Shows it in a file that its owner alone may read.
///
/// # Errors
/// Of the disk.
fn write(data_dir: &Path, secret: &Secret) -> io::Result<PathBuf> {
    let path = data_dir.join(FILE_NAME);
    replace_file(&path, format!("{}\n", secret.reveal()).as_bytes(), 0o600)?;
    Ok(path)
}

/// Removes the file: there are administrators now.
pub fn clean_up(data_dir: &Path) {
    match fs::remove_file(data_dir.join(FILE_NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "cannot remove the file of the one-time token, which is good for nothing any more");
        }
        _ => {}
    }
}
