//! Paths as scripts write them, with slashes of both kinds, and what goes wrong with files in the words of the original.
//!
//! Nothing here looks at a disk.

use std::io;

use crate::fault::{Category, Fault};

/// The largest file that is read whole.
pub const FILE_BYTES_MAX: usize = 256 << 20;

const SLASHES: [char; 2] = ['/', '\\'];

/// Two paths as one, with one separator between them: the kind that the first one has, a backslash after a drive.
pub fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() {
        return child.to_owned();
    }
    let slash = if parent.contains('\\') || parent.ends_with(':') { '\\' } else { '/' };
    let trimmed = parent.trim_end_matches(SLASHES);
    let root = if trimmed.is_empty() { "" } else { trimmed };
    format!("{root}{slash}{}", child.trim_start_matches(SLASHES))
}

/// The last part.
pub fn leaf(path: &str) -> &str {
    let path = path.trim_end_matches(SLASHES);
    &path[path.rfind(SLASHES).map_or(0, |at| at + 1)..]
}

/// All but the last part; empty: there is only one.
pub fn parent(path: &str) -> &str {
    let path = path.trim_end_matches(SLASHES);
    match path.rfind(SLASHES) {
        Some(0) => &path[..1],
        Some(at) => &path[..at],
        None => "",
    }
}

/// The ending of a name, with its dot; empty: there is none.
pub fn extension(name: &str) -> &str {
    name.rfind('.').map_or("", |at| &name[at..])
}

/// A name without its ending.
pub fn stem(name: &str) -> &str {
    &name[..name.len() - extension(name).len()]
}

/// Whether a path does not count from the current folder.
pub fn is_rooted(path: &str) -> bool {
    path.starts_with(SLASHES) || path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic()
}

/// A path that counts from `folder`, without `.` and `..`.
pub fn full(folder: &str, path: &str) -> String {
    let path = if is_rooted(path) { path.to_owned() } else { join(folder, path) };
    let slash = if path.contains('\\') && !path.starts_with('/') { '\\' } else { '/' };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split(SLASHES) {
        match part {
            "" | "." => {}
            ".." => {
                // There is nothing above a root or a drive.
                if parts.last().is_some_and(|last| !last.ends_with(':')) {
                    parts.pop();
                }
            }
            part => parts.push(part),
        }
    }
    let whole = parts.join(&slash.to_string());
    if path.starts_with(SLASHES) { format!("{slash}{whole}") } else { whole }
}

/// The error for a path at which nothing lies.
pub fn missing(path: &str) -> Fault {
    let mut fault =
        Fault::new(Category::ObjectNotFound, format!("Cannot find path '{path}' because it does not exist."));
    fault.exception = "System.Management.Automation.ItemNotFoundException";
    fault.target = Some(path.to_owned());
    fault
}

/// What the system said of a path, as an error.
pub fn failed(path: &str, error: &io::Error) -> Fault {
    let mut fault = match error.kind() {
        io::ErrorKind::NotFound => return missing(path),
        io::ErrorKind::PermissionDenied => {
            let mut fault = Fault::new(Category::PermissionDenied, format!("Access to the path '{path}' is denied."));
            fault.exception = "System.UnauthorizedAccessException";
            fault
        }
        io::ErrorKind::AlreadyExists => {
            let mut fault =
                Fault::new(Category::ResourceExists, format!("An item with the specified name {path} already exists."));
            fault.exception = "System.IO.IOException";
            fault
        }
        _ => {
            let mut fault = Fault::new(Category::ResourceUnavailable, format!("'{path}': {error}."));
            fault.exception = "System.IO.IOException";
            fault
        }
    };
    fault.target = Some(path.to_owned());
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_both_kinds_are_taken_apart_and_put_together() {
        for (path, above, name, ending) in [
            (r"C:\Logs\a.b.csv", r"C:\Logs", "a.b.csv", ".csv"),
            ("/var/log/x", "/var/log", "x", ""),
            ("x.txt", "", "x.txt", ".txt"),
            ("/x", "/", "x", ""),
            (r".\x\", ".", "x", ""),
        ] {
            assert_eq!((parent(path), leaf(path), extension(leaf(path))), (above, name, ending), "{path}");
        }
        for (one, other, whole) in [
            (r"C:\Logs", "x", r"C:\Logs\x"),
            ("/var/", "/log", "/var/log"),
            ("/", "x", "/x"),
            ("", "x", "x"),
            ("C:", "x", r"C:\x"),
        ] {
            assert_eq!(join(one, other), whole);
        }
        for (folder, path, whole) in [
            ("/home/a", "../b/./c", "/home/b/c"),
            ("/home/a", "/x", "/x"),
            ("/", "../x", "/x"),
            (r"C:\a", r"..\..\b", r"C:\b"),
        ] {
            assert_eq!(full(folder, path), whole);
        }
    }
}
