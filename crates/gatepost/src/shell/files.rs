//! Files by the paths that scripts write: backslashes, drives, names in another case than the disk has them.
//!
//! | in a script | on this machine |
//! |---|---|
//! | `.\ranges.txt`, `reports\$day.csv` | the same with slashes, from the current folder |
//! | `C:\Scripts\a.csv` | `Scripts/a.csv` in the folder of drive C, a folder of the user's; folders are made where a file is written |
//! | `C:\Temp`, `C:\Windows\Temp` | the folder for temporary files |
//! | `~\a.csv` | in the home folder |
//! | `NUL` | nothing |
//!
//! Where no file has the name as written, one that has it in another case is taken.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use gatepost_shell::world::Entry;
use jiff::Timestamp;

/// The most names of one folder that are looked at for one in another case.
const FOLDER_NAMES_MAX: usize = 20_000;

/// Files, seen from a folder.
#[derive(Clone, Debug)]
pub struct Files {
    current: PathBuf,
    drives: PathBuf,
    home: Option<PathBuf>,
    temporary: PathBuf,
}

impl Files {
    /// Files as seen from the folder that the process was started in.
    ///
    /// # Errors
    /// When that folder is gone.
    pub fn from_here() -> io::Result<Files> {
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let temporary = std::env::temp_dir();
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|data| data.is_absolute());
        let data = data.or_else(|| Some(home.as_ref()?.join(".local/share")));
        let drives = data.unwrap_or_else(|| temporary.clone()).join("gatepost/drives");
        Ok(Files { current: std::env::current_dir()?, drives, home, temporary })
    }

    /// The folder that relative paths count from.
    pub fn current(&self) -> &Path {
        &self.current
    }

    /// Changes that folder.
    pub fn go_to(&mut self, path: &str) -> io::Result<()> {
        let folder = self.place(path)?;
        if !fs::metadata(&folder)?.is_dir() {
            return Err(io::Error::new(ErrorKind::NotADirectory, "not a folder"));
        }
        self.current = folder;
        Ok(())
    }

    /// A file's bytes; larger than `bytes_max` is an error.
    pub fn read(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.place(path)?)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            let message = format!("the file is larger than {} MB, which is the limit", bytes_max >> 20);
            return Err(io::Error::new(ErrorKind::FileTooLarge, message));
        }
        Ok(bytes)
    }

    /// Writes a file whole, or adds to its end.
    pub fn write(&self, path: &str, bytes: &[u8], is_append: bool) -> io::Result<()> {
        let place = self.place(path)?;
        if place.starts_with(&self.drives)
            && let Some(folder) = place.parent()
        {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(is_append).truncate(!is_append);
        options.open(place)?.write_all(bytes)
    }

    /// What lies at a path.
    pub fn entry(&self, path: &str) -> io::Result<Option<Entry>> {
        let place = self.place(path)?;
        match fs::metadata(&place) {
            Ok(found) => Ok(Some(entry(place.display().to_string(), &found))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What lies in a folder, by name.
    pub fn folder(&self, path: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in fs::read_dir(self.place(path)?)? {
            let found = found?;
            // A link that leads nowhere, or a file that went just now, is passed over.
            let Ok(about) = fs::metadata(found.path()) else { continue };
            entries.push(entry(found.file_name().to_string_lossy().into_owned(), &about));
        }
        entries.sort_by_key(|entry| entry.name.to_lowercase());
        Ok(entries)
    }

    /// Makes a folder and those above it.
    pub fn make_folder(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.place(path)?)
    }

    /// Removes a file, or an empty folder.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let place = self.place(path)?;
        match fs::symlink_metadata(&place)?.is_dir() {
            true => fs::remove_dir(place),
            false => fs::remove_file(place),
        }
    }

    /// Moves or renames.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.place(from)?, self.place(to)?)
    }

    /// Says when a file was last written.
    pub fn set_modified(&self, path: &str, time: Timestamp) -> io::Result<()> {
        fs::File::options().append(true).open(self.place(path)?)?.set_modified(time.into())
    }

    /// Where a path of a script leads.
    fn place(&self, written: &str) -> io::Result<PathBuf> {
        let path = written.trim();
        let path = path.split_once("FileSystem::").map_or(path, |(_, path)| path).replace('\\', "/");
        if path.contains('\0') {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a path has no NUL characters"));
        }
        if path.eq_ignore_ascii_case("nul") {
            return Ok(PathBuf::from("/dev/null"));
        }
        if path.starts_with("//") && !path.starts_with("///") {
            let message = r"paths of the network (\\server\share) are not reachable from here; mount the share and write its folder";
            return Err(io::Error::new(ErrorKind::Unsupported, message));
        }
        if let Some((drive, rest)) = path.split_once(':')
            && !drive.is_empty()
            && drive.chars().all(|character| character.is_ascii_alphanumeric())
        {
            let [letter] = drive.as_bytes() else {
                return Err(io::Error::new(ErrorKind::NotFound, format!("there is no drive '{drive}'")));
            };
            let rest = rest.trim_start_matches('/');
            let temporary = ["windows/temp", "temp"].iter().find_map(|folder| {
                let (begin, behind) = (rest.get(..folder.len())?, &rest[folder.len()..]);
                let is_it = begin.eq_ignore_ascii_case(folder) && (behind.is_empty() || behind.starts_with('/'));
                is_it.then(|| behind.trim_start_matches('/'))
            });
            return Ok(match temporary {
                Some(behind) => as_on_disk(&self.temporary, behind),
                None => as_on_disk(&self.drives.join(letter.to_ascii_uppercase().escape_ascii().to_string()), rest),
            });
        }
        if let Some(rest) = path.strip_prefix('~')
            && (rest.is_empty() || rest.starts_with('/'))
            && let Some(home) = &self.home
        {
            return Ok(as_on_disk(home, rest.trim_start_matches('/')));
        }
        Ok(match path.strip_prefix('/') {
            Some(rest) => as_on_disk(Path::new("/"), rest),
            None => as_on_disk(&self.current, &path),
        })
    }
}

/// `path` below `folder`, each part as the disk has it where only its case is another. `..` goes up, as it does in the text.
fn as_on_disk(folder: &Path, path: &str) -> PathBuf {
    let mut place = folder.to_path_buf();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            place.pop();
            continue;
        }
        let exact = place.join(part);
        place = match fs::symlink_metadata(&exact) {
            Ok(_) => exact,
            Err(_) => in_other_case(&place, part).unwrap_or(exact),
        };
    }
    place
}

fn in_other_case(folder: &Path, name: &str) -> Option<PathBuf> {
    let wanted = name.to_lowercase();
    let entries = fs::read_dir(folder).ok()?.take(FOLDER_NAMES_MAX).flatten();
    let mut found = entries.filter(|entry| entry.file_name().to_string_lossy().to_lowercase() == wanted);
    Some(found.next()?.path())
}

fn entry(name: String, about: &fs::Metadata) -> Entry {
    let modified = about.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    Entry { name, is_folder: about.is_dir(), bytes: about.len(), modified }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Files {
        let temporary = folder.join("tmp");
        fs::create_dir(&temporary).unwrap();
        fs::create_dir(folder.join("here")).unwrap();
        Files {
            current: folder.join("here"),
            drives: folder.join("drives"),
            home: Some(folder.join("home")),
            temporary,
        }
    }

    #[test]
    fn paths_of_windows_lead_somewhere_sensible() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        for (written, expected) in [
            (r".\a\b.txt", "here/a/b.txt"),
            (r"a\..\b.txt", "here/b.txt"),
            ("b.txt", "here/b.txt"),
            (r"C:\Scripts\x.csv", "drives/C/Scripts/x.csv"),
            (r"d:x.csv", "drives/D/x.csv"),
            (r"C:\", "drives/C"),
            (r"c:\TEMP\x.csv", "tmp/x.csv"),
            (r"C:\Windows\Temp", "tmp"),
            (r"C:\Template\x", "drives/C/Template/x"),
            (r"~\x", "home/x"),
            ("~", "home"),
            (r"Microsoft.PowerShell.Core\FileSystem::C:\x", "drives/C/x"),
        ] {
            assert_eq!(files.place(written).unwrap(), folder.path().join(expected), "{written}");
        }
        assert_eq!(files.place("/etc/x").unwrap(), Path::new("/etc/x"));
        assert_eq!(files.place("nul").unwrap(), Path::new("/dev/null"));
        for refused in [r"\\server\share\x", r"HKLM:\Software", "a\0b"] {
            assert!(files.place(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn files_are_found_whatever_the_case_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        files.write(r"C:\Scripts\Hosts.TXT", b"one\n", false).unwrap();
        files.write(r"c:\scripts\hosts.txt", b"two\n", true).unwrap();
        assert_eq!(files.read(r"C:\SCRIPTS\HOSTS.txt", 100).unwrap(), b"one\ntwo\n");
        assert_eq!(files.folder(r"C:\scripts").unwrap().len(), 1);
        assert_eq!(files.entry(r"C:\scripts\hosts.txt").unwrap().map(|entry| entry.bytes), Some(8));
        assert_eq!(files.entry(r"C:\scripts\no").unwrap(), None);
        assert!(files.read(r"C:\scripts\hosts.txt", 7).unwrap_err().to_string().contains("limit"));
        files.rename(r"C:\scripts\hosts.txt", r"C:\scripts\b.txt").unwrap();
        files.remove(r"C:\scripts\B.txt").unwrap();
        assert!(files.write(r"missing\x.txt", b"", false).is_err(), "folders are made on drives only");
        files.make_folder(r"a\b").unwrap();
        files.go_to("A").unwrap();
        assert!(files.current().ends_with("here/a"));
        assert!(files.go_to("no").is_err());
    }
}
