//! The passwords for smart hosts that commands were given: each in a file of its own below the data folder, written once and never
//! again. Settings say which; two who change one connector at a time write two files, and neither can undo the other's.
//!
//! Takes passwords, hands on where they are; removes those that no revision names any more. Blocking.
//!
//! | a crash | leaves |
//! |---|---|
//! | before the settings name the file | a file that nobody names, which goes at a later start |
//! | behind that | the change |

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gatepost_policy::Settings;
use gatepost_policy::logon::PasswordPlace;
use gatepost_policy::send_connector::SendConnector;
use gatepost_policy::settings;

use crate::credentials::ApiToken;
use crate::document::defaults;
use crate::edit::{Edit, Target};
use crate::history::History;
use crate::replace::replace_file;

/// Below the data folder.
const FOLDER: &str = "passwords";
/// A file that is younger may belong to a change that is under way.
const UNSETTLED: Duration = Duration::from_secs(60 * 60);

/// Where a password that is about to be kept will be.
///
/// # Errors
/// When there is no randomness.
pub fn fresh_place(data_dir: &Path) -> io::Result<PathBuf> {
    let id = ApiToken::fresh_id().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(data_dir.join(FOLDER).join(id))
}

/// Writes a password to its place.
///
/// # Errors
/// Of the disk.
pub fn keep(place: &Path, password: &str) -> io::Result<()> {
    if let Some(folder) = place.parent() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    replace_file(place, format!("{password}\n").as_bytes(), 0o600)
}

/// Whether a file is to the letter one that was made here. What settings name besides may be anything, as
/// `passwords/../credentials`.
fn id_of<'a>(file: &'a Path, data_dir: &Path) -> Option<&'a str> {
    let is_id = |name: &&str| name.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    file.file_name()?.to_str().filter(is_id).filter(|_| file.parent() == Some(&*data_dir.join(FOLDER)))
}

fn file_of(connector: &SendConnector) -> Option<(&str, &Path)> {
    let logon = connector.logon.as_deref()?;
    match &logon.password {
        PasswordPlace::File(file) => Some((&logon.user, file)),
        PasswordPlace::Environment(_) => None,
    }
}

/// The file that a connector has its password in, where that was made here: it stays when the connector goes.
pub fn kept_for<'a>(connector: &'a SendConnector, data_dir: &Path) -> Option<&'a Path> {
    let (_, file) = file_of(connector)?;
    id_of(file, data_dir).map(|_| file)
}

/// What a document of earlier times has to say so that connectors log on with the passwords of today: those of the same user. One that
/// logged on as another user does so with that one's password.
pub fn of_today(settings: &Settings, text: &str) -> Vec<Edit> {
    // What is wrong with it, its check says.
    let Ok(earlier) = settings::parse(text, &defaults()) else { return Vec::new() };
    let edit = |connector: &SendConnector| {
        let (user, file) = file_of(connector)?;
        let (user_today, file_today) = file_of(settings.send_connector(&connector.name)?)?;
        id_of(file_today, &settings.server.data_dir)?;
        let is_other = user == user_today && file != file_today;
        is_other.then(|| Edit::Set {
            target: Target::named("send_connector", &*connector.name),
            key: "authentication_password_file".into(),
            value: file_today.display().to_string().into(),
        })
    };
    earlier.send_connectors.iter().filter_map(|connector| edit(connector)).collect()
}

/// Removes the passwords that neither `in_force` nor a revision that is kept names. `now` is the time of the disk.
///
/// # Errors
/// Of the disk: then some stay.
pub fn clean_up(data_dir: &Path, in_force: &str, history: &History, now: SystemTime) -> io::Result<usize> {
    let entries = match fs::read_dir(data_dir.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut unnamed: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Another command may have taken it away meanwhile.
        let Ok(metadata) = entry.metadata() else { continue };
        let (path, age) = (entry.path(), now.duration_since(metadata.modified()?).unwrap_or_default());
        // Written by a server that was killed before the file got its name.
        let is_left_over = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with('.') && name.ends_with(".new"));
        if is_left_over && age >= UNSETTLED {
            fs::remove_file(&path)?;
            continue;
        }
        let is_named = id_of(&path, data_dir).is_none_or(|id| in_force.contains(id));
        if !is_named && age >= UNSETTLED {
            unnamed.push(path);
        }
    }
    history.without_mentioned(&mut unnamed, |path| id_of(path, data_dir).unwrap_or_default())?;
    for path in &unnamed {
        fs::remove_file(path)?;
    }
    Ok(unnamed.len())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use gatepost_policy::settings::Defaults;

    use super::*;
    use crate::document::Document;

    fn document(data_dir: &Path, connectors: &[(&str, &str, &Path)]) -> String {
        let head = format!("[server]\nname = \"mail.contoso.com\"\ndata_dir = \"{}\"\n", data_dir.display());
        let connector = |(name, user, file): &(&str, &str, &Path)| {
            format!(
                "[[send_connector]]\nname = \"{name}\"\naddress_spaces = [\"*\"]\nsmart_hosts = [\"[127.0.0.1]\"]\n\
                 smart_host_auth_mechanism = \"BasicAuth\"\nauthentication_user = \"{user}\"\n\
                 authentication_password_file = \"{}\"\n",
                file.display()
            )
        };
        head + &connectors.iter().map(connector).collect::<String>()
    }

    fn read(text: &str) -> Settings {
        settings::parse(text, &Defaults { host_name: "x.test".to_owned(), data_dir: "data".into() }).expect("settings")
    }

    #[test]
    fn a_password_goes_when_nothing_names_it_that_is_kept_and_no_change_can_be_about_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = folder.path();
        let [current, former, nobodys] = [0; 3].map(|_| {
            let place = fresh_place(data_dir).expect("randomness");
            keep(&place, "secret").expect("kept");
            place
        });
        let mode = fs::metadata(&current).expect("there").permissions().mode() & 0o777;
        assert_eq!((fs::read_to_string(&current).expect("readable"), mode), ("secret\n".to_owned(), 0o600));
        // What an administrator put there is not ours.
        let theirs = data_dir.join(FOLDER).join("Provider.txt");
        fs::write(&theirs, "theirs").expect("written");
        let texts = [document(data_dir, &[("Out", "a", &former)]), document(data_dir, &[("Out", "a", &current)])];
        let path = data_dir.join("gatepost.toml");
        let mut history = History::open(data_dir, read(&texts[0]).revisions).expect("a history");
        for text in &texts {
            history.note_if_other(&Document::parse(path.clone(), text.clone()).expect("a document"));
        }
        let clean_up = |history: &History, later: Duration| {
            clean_up(data_dir, &texts[1], history, SystemTime::now() + later).expect("the disk takes it")
        };
        assert_eq!(clean_up(&history, Duration::ZERO), 0, "a change may be under way");
        assert_eq!(clean_up(&history, 2 * UNSETTLED), 1);
        assert!(!nobodys.exists() && former.exists() && current.exists() && theirs.exists());
        // A history that begins anew has no revision with the former one.
        fs::remove_dir_all(data_dir.join("revisions")).expect("removed");
        let mut history = History::open(data_dir, read(&texts[0]).revisions).expect("a history");
        history.note_if_other(&Document::parse(path, texts[1].clone()).expect("a document"));
        assert_eq!(clean_up(&history, 2 * UNSETTLED), 1);
        assert!(!former.exists() && current.exists() && theirs.exists());
    }

    #[test]
    fn an_earlier_document_logs_on_with_the_password_of_today_where_the_user_is_the_same() {
        let data_dir = Path::new("/var/lib/gatepost");
        let place = |name: &str| data_dir.join(FOLDER).join(name);
        for (user, file, expected) in [
            ("a", place("2"), true),
            ("b", place("2"), false),
            ("a", place("1"), false),
            ("a", place("../credentials"), false),
            ("a", place("Provider.txt"), false),
            ("a", PathBuf::from("/etc/gatepost/2"), false),
        ] {
            let today = read(&document(data_dir, &[("Out", user, &file)]));
            let edits = of_today(&today, &document(data_dir, &[("Out", "a", &place("1")), ("Gone", "a", &place("9"))]));
            let is_it = |edit: &Edit| matches!(edit, Edit::Set { key, .. } if &**key == "authentication_password_file");
            assert_eq!(edits.iter().filter(|edit| is_it(edit)).count(), usize::from(expected), "{user} {file:?}");
            assert_eq!(edits.len(), usize::from(expected));
        }
    }
}
