//! The settings file as it lies on the disk: found, read, checked, its paths made absolute; edited whole.
//!
//! Takes the path of a `gatepost.toml`, hands on [`Loaded`] settings with the secrets that belong to them, or every
//! problem at once. An edit is checked as a whole new document before it replaces the old one (invariant I7). Never
//! decides what is legal: that is `policy::settings`. Blocking: call it outside async tasks.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use gatepost_policy::logon::PasswordPlace;
use gatepost_policy::monitoring::Secret;
use gatepost_policy::safeguard;
use gatepost_policy::settings::{self, DOCUMENT_BYTES_MAX, Defaults, Kept, Problem, Settings, Severity};
use gatepost_tracking::RevisionId;
use toml::de::DeTable;

use crate::clock::now_ms;
use crate::credentials::{Secrets, SecretsError};
use crate::replace::{folder_of, replace_file};

/// The data folder of a document that names none, beside the document.
pub const DATA_DIR_DEFAULT: &str = "gatepost-data";

/// A settings file that is without problems.
#[derive(Debug)]
pub struct Document {
    /// Where it lies, as it was named.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// What that means, with absolute paths.
    pub settings: Arc<Settings>,
    id: OnceLock<RevisionId>,
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
    #[error(
        "there is no settings file {path}: name yours by --config or $GATEPOST_CONFIG, or let `gatepost serve` make a safe one",
        path = .0.display()
    )]
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
        let warnings = self.problems.iter().filter(|problem| problem.severity == Severity::Warning).count();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let errors = self.problems.len() - warnings;
        write!(f, "{} has {errors} problem{}", self.path.display(), plural(errors))?;
        if warnings > 0 { write!(f, ", {warnings} warning{}", plural(warnings)) } else { Ok(()) }
    }
}

impl Document {
    /// Reads and checks the settings file at `path`.
    ///
    /// # Errors
    /// [`LoadError`]: missing, unreadable, or every problem that it has.
    pub fn read(path: &Path) -> Result<Document, LoadError> {
        let text = read_text(path)?;
        Document::parse(path.to_path_buf(), text)
    }

    /// Checks `text` as the document that lies at `path`.
    ///
    /// # Errors
    /// [`LoadError::Problems`], or [`LoadError::Io`] when a relative path leads nowhere.
    pub fn parse(path: PathBuf, text: String) -> Result<Document, LoadError> {
        match safeguard::load(&text, &defaults(), now_ms()) {
            Ok(settings) => Document::resolved(path, text, settings),
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

    fn of(path: PathBuf, text: String, settings: Settings) -> Document {
        Document { path, text, settings: Arc::new(settings), id: OnceLock::new() }
    }

    fn resolved(path: PathBuf, text: String, mut settings: Settings) -> Result<Document, LoadError> {
        resolve(&mut settings, &folder(&path)?);
        Ok(Document::of(path, text, settings))
    }

    /// Checks `text` as [`Document::parse`] does, with less work where `kept` is as in this document.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub(crate) fn parse_again(&self, text: String, kept: &[Kept]) -> Result<Document, LoadError> {
        let before = (&*self.settings, self.text.as_str());
        match safeguard::load_again(&text, &defaults(), now_ms(), before, kept) {
            Ok(settings) => Document::resolved(self.path.clone(), text, settings),
            Err(problems) => Err(LoadError::Problems(Box::new(Faulty { path: self.path.clone(), text, problems }))),
        }
    }

    /// Reads `text` as [`Document::draft`] does, with less work where `kept` is as in this document.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub(crate) fn draft_again(&self, text: String, kept: &[Kept]) -> Result<Document, LoadError> {
        match settings::parse_again(&text, &defaults(), &self.settings, &self.text, kept) {
            Some(settings) => Document::resolved(self.path.clone(), text, settings),
            None => Document::draft(self.path.clone(), text),
        }
    }

    /// Reads `text` as the document that lies at `path`, but checks neither assertions nor what it opens: it is not put in
    /// force as it is.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn draft(path: PathBuf, text: String) -> Result<Document, LoadError> {
        match settings::parse(&text, &defaults()) {
            Ok(settings) => Document::resolved(path, text, settings),
            Err(problems) => Err(LoadError::Problems(Box::new(Faulty { path, text, problems }))),
        }
    }

    /// The id of the document, by which decisions name it.
    pub fn id(&self) -> RevisionId {
        *self.id.get_or_init(|| RevisionId::of(&self.text, &host_name()))
    }

    /// Reads a document that was in force before, as it was read then. What is checked when settings are put in force is
    /// not checked again: it may have come later.
    ///
    /// # Errors
    /// [`LoadError::Problems`], when this program does not understand what an older or newer one did.
    pub fn recall(name: &str, text: String, host_name: &str) -> Result<Document, LoadError> {
        let (path, defaults) = (PathBuf::from(name), Defaults { host_name: host_name.to_owned(), ..defaults() });
        match settings::parse(&text, &defaults) {
            Ok(settings) => Ok(Document::of(path, text, settings)),
            Err(problems) => Err(LoadError::Problems(Box::new(Faulty { path, text, problems }))),
        }
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
    let named = server_says(&read_text(path)?, "data_dir");
    Ok(folder(path)?.join(named.as_deref().unwrap_or(DATA_DIR_DEFAULT)))
}

/// The server's full name that the document at `path` gives it, whatever else is wrong with it; without one this machine's.
///
/// # Errors
/// [`LoadError`]: missing or unreadable.
pub fn server_name(path: &Path) -> Result<String, LoadError> {
    Ok(server_says(&read_text(path)?, "name").unwrap_or_else(host_name))
}

/// A text in the table `server`, whatever else is wrong with the document. Reads no further than the first list of tables
/// where it can: a command waits for this, and documents are long.
fn server_says(text: &str, key: &str) -> Option<String> {
    let named = |root: &DeTable<'_>| {
        let server = root.get("server")?;
        Some(server.get_ref().get(key).and_then(|value| value.get_ref().as_str()).map(str::to_owned))
    };
    let first_list = text.match_indices('\n').map(|(end, _)| end + 1).find(|start| text[*start..].starts_with("[["));
    // What is TOML up to there is whole, and no table is opened twice.
    let beginning = first_list.and_then(|end| DeTable::parse(&text[..end]).ok());
    if let Some(said) = beginning.and_then(|root| named(root.get_ref())) {
        return said;
    }
    named(DeTable::parse_recoverable(text).0.get_ref()).flatten()
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

/// The absolute folder of the document at `path`.
fn folder(path: &Path) -> Result<PathBuf, LoadError> {
    let absolute = std::path::absolute(path).map_err(|source| LoadError::Io { path: path.to_path_buf(), source })?;
    Ok(folder_of(&absolute).to_path_buf())
}

pub(crate) fn read_text(path: &Path) -> Result<String, LoadError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing(path.to_path_buf()),
        _ => LoadError::Io { path: path.to_path_buf(), source },
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(LoadError::TooLarge(path.to_path_buf()));
    }
    String::from_utf8(bytes).map_err(|_| LoadError::NotUtf8(path.to_path_buf()))
}

/// Paths in the document count from its folder, wherever the program was started.
fn resolve(settings: &mut Settings, folder: &Path) {
    settings.server.data_dir = folder.join(&settings.server.data_dir);
    for secret in settings.monitoring.secrets_mut() {
        if let Secret::File(file) = secret {
            *file = folder.join(&*file);
        }
    }
    if let Some(file) = &mut settings.trusted_roots {
        *file = folder.join(&*file);
    }
    for files in settings.tls.iter_mut().chain(&mut settings.certificates) {
        files.certificate = folder.join(&files.certificate);
        files.private_key = folder.join(&files.private_key);
    }
    for connector in &mut settings.send_connectors {
        if let Some(PasswordPlace::File(_)) = connector.logon.as_deref().map(|logon| &logon.password)
            && let Some(logon) = &mut Arc::make_mut(connector).logon
            && let PasswordPlace::File(file) = &mut logon.password
        {
            *file = folder.join(&*file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder_with(text: impl AsRef<[u8]>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("gatepost.toml"), text).expect("written");
        folder
    }

    #[test]
    fn relative_paths_count_from_the_documents_folder() {
        let text =
            "[server]\ndata_dir = \"var\"\n[tls]\ncertificate = \"tls/chain.pem\"\nprivate_key = \"/etc/key.pem\"\n";
        let folder = folder_with(text);
        let document = Document::read(&folder.path().join("gatepost.toml")).expect("no problems");
        assert_eq!(document.settings.server.data_dir, folder.path().join("var"));
        let files = document.settings.tls.as_ref().expect("declared");
        assert_eq!(files.certificate, folder.path().join("tls/chain.pem"));
        assert_eq!(files.private_key, Path::new("/etc/key.pem"));
        assert_eq!(data_dir(&document.path).expect("named"), folder.path().join("var"));
    }

    #[test]
    fn the_data_folder_is_found_whatever_else_is_wrong() {
        for (text, expected) in [
            ("", DATA_DIR_DEFAULT),
            ("[server]\nname = 7\ndata_dir = \"x\"\n[nonsense]\n", "x"),
            ("[server]\ndata_dir = \"x\"\n[[[", "x"),
            ("[server]\ndata_dir = 7\n", DATA_DIR_DEFAULT),
            ("server = 7\n", DATA_DIR_DEFAULT),
            ("[server]\ndata_dir = \"x\"\n[[mailbox]]\naddress = 7\n", "x"),
            ("[server]\n[[mailbox]]\n", DATA_DIR_DEFAULT),
            ("[[mailbox]]\n[server]\ndata_dir = \"x\"\n", "x"),
            ("[[mailbox]]\n[[mailbox]]\nserver.data_dir = \"y\"\n[server]\ndata_dir = \"x\"\n", "x"),
            ("[a]\nb = \"\"\"\n[server]\ndata_dir = \"y\"\n[[mailbox]]\n\"\"\"\n[server]\ndata_dir = \"x\"\n", "x"),
            ("[a]\nb = [\n[[1]]\n]\n[server]\ndata_dir = \"x\"\n", "x"),
        ] {
            let folder = folder_with(text);
            let found = data_dir(&folder.path().join("gatepost.toml")).expect(text);
            assert_eq!(found, folder.path().join(expected), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_settings_file_is_refused_with_the_reason() {
        let folder = folder_with(b"name = \"\xff\"\n");
        let path = folder.path().join("gatepost.toml");
        assert!(matches!(Document::read(&path), Err(LoadError::NotUtf8(_))));
        assert!(matches!(Document::read(&folder.path().join("none.toml")), Err(LoadError::Missing(_))));
        assert!(matches!(Document::read(folder.path()), Err(LoadError::Io { .. })));
        File::create(&path).and_then(|file| file.set_len(DOCUMENT_BYTES_MAX as u64 + 1)).expect("a sparse file");
        assert!(matches!(Document::read(&path), Err(LoadError::TooLarge(_))));
    }

    #[test]
    fn warnings_are_no_problems() {
        let folder = folder_with(
            "[server]\nnaem = \"x\"\n[[accepted_domain]]\nname = \"x.example\"\ndomain_type = \"InternalRelay\"\n",
        );
        let error = Document::read(&folder.path().join("gatepost.toml")).expect_err("a problem");
        assert!(error.to_string().ends_with("gatepost.toml has 1 problem, 1 warning"), "{error}");
    }

    #[test]
    fn every_problem_is_reported_and_counted() {
        let folder = folder_with("[server]\nnaem = \"x\"\n[nonsense]\n");
        let error = Document::read(&folder.path().join("gatepost.toml")).expect_err("two problems");
        assert!(error.to_string().ends_with("gatepost.toml has 2 problems"), "{error}");
        let LoadError::Problems(faulty) = error else { panic!("{error}") };
        let drawn = faulty.render(false);
        assert!(drawn.contains("gatepost.toml:2:1") && drawn.contains("gatepost.toml:3:2"), "{drawn}");
    }

    #[test]
    fn an_edit_that_has_a_problem_leaves_the_file_as_it_was() {
        let folder = folder_with("[server]\n");
        let path = folder.path().join("gatepost.toml");
        let document = Document::read(&path).expect("no problems");
        assert!(document.rewrite("[nonsense]\n".into()).is_err());
        assert_eq!(fs::read_to_string(&path).expect("readable"), "[server]\n");
        document.rewrite("[server]\nname = \"x\"\n".into()).expect("no problems");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "[server]\nname = \"x\"\n");
    }
}
