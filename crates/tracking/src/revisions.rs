//! Settings documents as they were loaded, so that a decision can be recomputed under the one that it was taken under.
//!
//! Takes the text of a document that was loaded, hands it back by its id. Keeps the newest [`KEPT_MAX`] as long as they have
//! at most [`KEPT_BYTES_MAX`] bytes together; a decision whose document has gone can be shown, not recomputed. Documents may
//! hold password hashes, so nobody but the server's user reads them. Blocking.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::decision::RevisionId;

/// Documents kept at most.
pub const KEPT_MAX: usize = 1_000;
/// Bytes of documents kept at most, beside the newest two.
pub const KEPT_BYTES_MAX: u64 = 256 << 20;

const FOLDER: &str = "revisions";
const TEXT_EXTENSION: &str = "toml";
const LOADED_EXTENSION: &str = "loaded";

/// The documents of a data folder.
#[derive(Clone, Debug)]
pub struct Revisions {
    folder: PathBuf,
}

/// A document as it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDocument {
    /// Its id.
    pub id: RevisionId,
    /// Its text.
    pub text: String,
    /// The host name that it was read with.
    pub host_name: String,
    /// When it was loaded last, Unix time in milliseconds.
    pub loaded_ms: u64,
}

impl Revisions {
    /// The documents of `data_dir`; nothing is made yet.
    pub fn of(data_dir: &Path) -> Revisions {
        Revisions { folder: data_dir.join(FOLDER) }
    }

    /// Keeps a document that was loaded, whole or not at all.
    ///
    /// # Errors
    /// When the disk does not take it. Decisions under it can then be shown, not recomputed.
    pub fn keep(&self, text: &str, host_name: &str, loaded_ms: u64) -> io::Result<RevisionId> {
        let id = RevisionId::of(text, host_name);
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let loaded = format!("host_name = {host_name}\nloaded_ms = {loaded_ms}\n");
        // The text last: where it stands, the rest stands too.
        self.replace(id, LOADED_EXTENSION, loaded.as_bytes())?;
        self.replace(id, TEXT_EXTENSION, text.as_bytes())?;
        self.remove_oldest(id)?;
        Ok(id)
    }

    /// The document of an id; `None` if it was never loaded here or has gone.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn read(&self, id: RevisionId) -> io::Result<Option<KeptDocument>> {
        let read = |extension| match fs::read_to_string(self.path(id, extension)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => text.map(Some),
        };
        let (Some(text), Some(loaded)) = (read(TEXT_EXTENSION)?, read(LOADED_EXTENSION)?) else { return Ok(None) };
        let value = |key: &str| {
            loaded
                .lines()
                .find_map(|line| line.split_once(" = ").filter(|(name, _)| *name == key))
                .map(|(_, value)| value)
        };
        let host_name = value("host_name").unwrap_or_default().to_owned();
        let loaded_ms = value("loaded_ms").and_then(|ms| ms.parse().ok()).unwrap_or_default();
        Ok(Some(KeptDocument { id, text, host_name, loaded_ms }))
    }

    fn path(&self, id: RevisionId, extension: &str) -> PathBuf {
        self.folder.join(format!("{id}.{extension}"))
    }

    fn replace(&self, id: RevisionId, extension: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = self.folder.join(format!(".{id}.{extension}.new"));
        // A leftover of a process that was killed.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        let moved = written.and_then(|()| fs::rename(&fresh, self.path(id, extension)));
        if moved.is_err() {
            // Best effort: the error that counts is the first.
            let _ = fs::remove_file(&fresh);
        }
        moved.and_then(|()| File::open(&self.folder)?.sync_all())
    }

    /// Removes those that were loaded longest ago, never `current`.
    fn remove_oldest(&self, current: RevisionId) -> io::Result<()> {
        let mut kept: Vec<(SystemTime, u64, RevisionId)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = PathBuf::from(entry.file_name());
            if name.extension().is_none_or(|extension| extension != TEXT_EXTENSION) {
                continue;
            }
            let id = name.file_stem().and_then(|stem| RevisionId::parse(stem.to_str()?));
            if let Some(id) = id.filter(|id| *id != current) {
                let metadata = entry.metadata()?;
                kept.push((metadata.modified()?, metadata.len(), id));
            }
        }
        kept.sort_unstable_by(|one, other| other.cmp(one));
        let mut bytes = 0;
        // The newest of the others is the one before this: open connections may still have it.
        for (place, (_, length, id)) in kept.into_iter().enumerate().skip(1) {
            bytes += length;
            if place + 1 >= KEPT_MAX || bytes > KEPT_BYTES_MAX {
                fs::remove_file(self.path(id, TEXT_EXTENSION))?;
                fs::remove_file(self.path(id, LOADED_EXTENSION))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_document_is_read_as_it_was_kept_and_only_by_us() {
        let data_dir = tempfile::tempdir().expect("a folder");
        let revisions = Revisions::of(data_dir.path());
        let id = revisions.keep("[server]\r\nname = \"ümlaut\"", "mail.contoso.com", 7).expect("kept");
        assert_eq!(revisions.keep("[server]\r\nname = \"ümlaut\"", "mail.contoso.com", 9).expect("kept again"), id);
        let other = revisions.keep("", "mail.contoso.com", 8).expect("kept");
        let expected = KeptDocument {
            id,
            text: "[server]\r\nname = \"ümlaut\"".into(),
            host_name: "mail.contoso.com".into(),
            loaded_ms: 9,
        };
        assert_eq!(revisions.read(id).expect("readable"), Some(expected));
        assert_eq!(revisions.read(other).expect("readable").expect("kept").text, "");
        assert_eq!(revisions.read(RevisionId::of("x", "y")).expect("readable"), None);
        for entry in fs::read_dir(data_dir.path().join(FOLDER)).expect("there").flatten() {
            assert_eq!(entry.metadata().expect("there").permissions().mode() & 0o777, 0o600, "{entry:?}");
        }
        assert_eq!(fs::read_dir(data_dir.path().join(FOLDER)).expect("there").count(), 4);
    }

    #[test]
    fn the_oldest_documents_go_and_the_last_two_stay() {
        let data_dir = tempfile::tempdir().expect("a folder");
        let revisions = Revisions::of(data_dir.path());
        let folder = data_dir.path().join(FOLDER);
        fs::create_dir(&folder).expect("ours");
        for number in 0..KEPT_MAX as u64 + 5 {
            let id = RevisionId::of(&number.to_string(), "");
            fs::write(revisions.path(id, LOADED_EXTENSION), "").expect("writable");
            let file = File::create(revisions.path(id, TEXT_EXTENSION)).expect("writable");
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number)).expect("ours");
        }
        let newest = revisions.keep("newest", "", 1).expect("kept");
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 2 * KEPT_MAX);
        let is_kept = |id| revisions.path(id, TEXT_EXTENSION).exists();
        assert!(is_kept(newest) && !is_kept(RevisionId::of("5", "")) && is_kept(RevisionId::of("6", "")));
        for number in 900..910 {
            let path = revisions.path(RevisionId::of(&number.to_string(), ""), TEXT_EXTENSION);
            let file = File::options().write(true).open(path).expect("there");
            file.set_len(KEPT_BYTES_MAX / 2).expect("a sparse file");
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number)).expect("ours");
        }
        revisions.keep("newer", "", 2).expect("kept");
        assert!(is_kept(newest) && is_kept(RevisionId::of("1004", "")));
        let large = (900..910).filter(|number: &u64| is_kept(RevisionId::of(&number.to_string(), ""))).count();
        assert!(large <= 2, "{large}");
    }
}
