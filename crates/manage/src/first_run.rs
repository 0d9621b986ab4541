//! The first run: a safe settings file and a data folder where there is none.
//!
//! Takes the path that the settings file will have, hands on what was made. Never overwrites anything. Blocking.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use gatepost_policy::settings::Settings;

use crate::data_folder::{self, DataFolderError};
use crate::document::{Document, LoadError, host_name};

/// What a first run made.
#[derive(Debug)]
pub struct Created {
    /// The settings file, read back.
    pub document: Document,
    /// The data folder.
    pub data_dir: PathBuf,
}

/// Why there is no first configuration.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The file system refused.
    #[error("there is no settings file {path}, and a safe one cannot be made there: {source}", path = .path.display())]
    Io {
        /// What was to be made.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data folder cannot be made.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// What was made cannot be read back.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Creates a settings file at `config` that listens on loopback only and relays for nobody, and its data folder.
///
/// # Errors
/// [`CreateError`]; also when the file exists by now.
pub fn create(config: &Path) -> Result<Created, CreateError> {
    let text = Settings::default_document(&host_name(), has_ipv6());
    let failed = |source| CreateError::Io { path: config.to_path_buf(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(config).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    let document = Document::read(config)?;
    let data_dir = document.settings.server.data_dir.clone();
    data_folder::ensure(&data_dir)?;
    Ok(Created { document, data_dir })
}

/// Whether the server can listen on the IPv6 loopback address. In many containers there is none.
fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_first_run_makes_is_without_problems_and_listens_on_loopback_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("gatepost.toml");
        let created = create(&config).expect("created");
        let settings = &created.document.settings;
        assert_eq!(settings.warnings, []);
        assert!(!settings.listeners().is_empty());
        assert!(settings.listeners().iter().all(|listener| listener.address.ip().is_loopback()));
        assert!(settings.send_connectors.is_empty() && settings.users.is_empty());
        assert!(created.data_dir.starts_with(folder.path()));
        let mode = |path: &Path| fs::metadata(path).expect("made").permissions().mode() & 0o7777;
        assert_eq!((mode(&config), mode(&created.data_dir)), (0o640, data_folder::MODE));
    }

    #[test]
    fn a_file_that_is_there_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("gatepost.toml");
        fs::write(&config, "mine").expect("written");
        assert!(matches!(create(&config), Err(CreateError::Io { .. })));
        assert_eq!(fs::read_to_string(&config).expect("readable"), "mine");
    }
}
