//! The settings file as it lies on the disk: found, read, checked, its paths made absolute; edited whole.
//!
//! Takes the path of a `gatepost.toml`, hands on [`Loaded`] settings with the secrets that belong to them, or every
//! problem at once. An edit is checked as a whole new document before it replaces the old one (invariant I7). Never
//! decides what is legal: that is `policy::settings`. Blocking: call it outside async tasks.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_policy::settings::{self, DOCUMENT_BYTES_MAX, Defaults, Problem, Settings};
use toml::de::DeTable;

use crate::credentials::{Secrets, SecretsError};
use crate::replace::{folder_of, replace_file};

/// The data folder of a document that names none, beside the document.
pub const DATA_DIR_DEFAULT: &str = "gatepost-data";

/// A settings file that is without problems.
#[derive(Debug)]
pub struct Document {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// What that means, with absolute paths.
    pub settings: Arc<Settings>,
}

/// Settings and secrets, ready for the server.
#[derive(Debug)]
pub struct Loaded {
    /// The file that they came from.
    pub document: Document,
    /// Password hashes from the data folder.
    pub secrets: Secrets,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No such file.
    #[error("there is no settings file {path}: `gatepost serve` creates a safe one there", path = .0.display())]
    Missing(PathBuf),
    /// The file system refused.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than [`DOCUMENT_BYTES_MAX`].
    #[error("{path} is larger than {DOCUMENT_BYTES_MAX} bytes: that is no settings file", path = .0.display())]
    TooLarge(PathBuf),
    /// Not text.
    #[error("{path} is not UTF-8 text: save it as UTF-8", path = .0.display())]
    NotUtf8(PathBuf),
    /// The document has problems.
    #[error("{0}")]
    Problems(Box<Faulty>),
    /// The secrets cannot be used.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

/// A settings file that has problems. `Display` counts them.
#[derive(Debug)]
pub struct Faulty {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// Every problem, in the order of the document.
    pub problems: Vec<Problem>,
}

impl Faulty {
    /// Draws every problem with its line, as compilers do.
    pub fn render(&self, colour: bool) -> String {
        settings::render(&self.path.display().to_string(), &self.text, &self.problems, colour)
    }
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, path) = (self.problems.len(), self.path.display());
        if count == 1 { write!(f, "{path} has 1 problem") } else { write!(f, "{path} has {count} problems") }
    }
}

impl Document {
    /// Reads and checks the settings file at `path`.
    ///
    /// # Errors
    /// [`LoadError`]: missing, unreadable, or every problem that it has.
    pub fn read(path: &Path) -> Result<Document, LoadError> {
        let (path, text) = read_text(path)?;
        Document::parse(path, text)
    }

    /// Checks `text` as the document that lies at `path`, which is absolute.
    ///
    /// # Errors
    /// [`LoadError::Problems`].
    pub fn parse(path: PathBuf, text: String) -> Result<Document, LoadError> {
        match settings::parse(&text, &defaults()) {
            Ok(mut settings) => {
                resolve(&mut settings, folder_of(&path));
                Ok(Document { path, text, settings: Arc::new(settings) })
            }
            Err(problems) => Err(LoadError::Problems(Box::new(Faulty { path, text, problems }))),
        }
    }

    /// Replaces the file by `text`, whole or not at all, after checking that the result has no problem.
    ///
    /// # Errors
    /// [`LoadError`]; the file is untouched then.
    pub fn rewrite(&self, text: String) -> Result<Document, LoadError> {
        let next = Document::parse(self.path.clone(), text)?;
        replace_file(&self.path, next.text.as_bytes(), 0o640)
            .map_err(|source| LoadError::Io { path: self.path.clone(), source })?;
        Ok(next)
    }

    /// The warnings drawn as text; empty if there are none.
    pub fn render_warnings(&self, colour: bool) -> String {
        if self.settings.warnings.is_empty() {
            return String::new();
        }
        settings::render(&self.path.display().to_string(), &self.text, &self.settings.warnings, colour)
    }
}

impl Loaded {
    /// Reads the settings file at `path` and the secrets of its data folder.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn read(path: &Path) -> Result<Loaded, LoadError> {
        let document = Document::read(path)?;
        let secrets = Secrets::read(&document.settings.server.data_dir)?;
        Ok(Loaded { document, secrets })
    }
}

/// The data folder that the document at `path` names, whatever else is wrong with it: the doors of a running server
/// must open while its settings file is being repaired.
///
/// # Errors
/// [`LoadError`]: missing or unreadable.
pub fn data_dir(path: &Path) -> Result<PathBuf, LoadError> {
    let (path, text) = read_text(path)?;
    let (table, _) = DeTable::parse_recoverable(&text);
    let named = table.get_ref().get("server").and_then(|server| server.get_ref().get("data_dir"));
    let named = named.and_then(|value| value.get_ref().as_str()).unwrap_or(DATA_DIR_DEFAULT);
    Ok(folder_of(&path).join(named))
}

/// What a document that leaves them out gets: this machine's name, and a folder beside the document.
pub fn defaults() -> Defaults {
    Defaults { host_name: host_name(), data_dir: PathBuf::from(DATA_DIR_DEFAULT) }
}

/// This machine's name as the kernel knows it, if it is a legal domain; else `localhost`.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match gatepost_mail::Domain::parse(name.trim()) {
        Ok(domain) if !domain.is_literal() => domain.to_string(),
        _ => "localhost".to_owned(),
    }
}

fn read_text(path: &Path) -> Result<(PathBuf, String), LoadError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing(path.to_path_buf()),
        _ => LoadError::Io { path: path.to_path_buf(), source },
    };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(LoadError::TooLarge(path.to_path_buf()));
    }
    let text = String::from_utf8(bytes).map_err(|_| LoadError::NotUtf8(path.to_path_buf()))?;
    Ok((absolute, text))
}

/// Paths in the document count from its folder, wherever the program was started.
fn resolve(settings: &mut Settings, folder: &Path) {
    settings.server.data_dir = folder.join(&settings.server.data_dir);
    if let Some(files) = &mut settings.tls {
        files.certificate = folder.join(&files.certificate);
        files.private_key = folder.join(&files.private_key);
    }
}
