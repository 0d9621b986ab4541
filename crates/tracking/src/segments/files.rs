//! The files of a folder of segments: their names, and what their extensions say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a file is, by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Written to, or about to be sealed.
    Log,
    /// Never written again.
    Sealed,
    /// A sealed one that is being made.
    Unfinished,
    /// Set apart.
    Damaged,
}

/// The extension of each.
pub const KINDS: [(Kind, &str); 4] =
    [(Kind::Log, "open"), (Kind::Sealed, "trace"), (Kind::Unfinished, "new"), (Kind::Damaged, "damaged")];

/// Where a file lies.
pub fn path(folder: &Path, number: u64, kind: Kind) -> PathBuf {
    let (_, extension) = KINDS.into_iter().find(|(known, _)| *known == kind).expect("each kind has an extension");
    folder.join(format!("{number:016x}.{extension}"))
}

/// The files of a folder by number. Files of other names are none of ours.
pub fn files(folder: &Path) -> io::Result<Vec<(u64, Kind)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some((digits, extension)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let kind = KINDS.into_iter().find(|(_, known)| *known == extension);
        if let (16, Ok(number), Some((kind, _))) = (digits.len(), u64::from_str_radix(digits, 16), kind) {
            files.push((number, kind));
        }
    }
    files.sort_unstable_by_key(|(number, _)| *number);
    Ok(files)
}

/// Renames a file that cannot be read, and counts it.
pub fn set_apart(folder: &Path, number: u64, kind: Kind, damaged: &AtomicU64) -> io::Result<()> {
    damaged.fetch_add(1, Ordering::Relaxed);
    let apart = path(folder, number, Kind::Damaged);
    tracing::warn!(file = %apart.display(), "a file of passports cannot be read and is set apart");
    fs::rename(path(folder, number, kind), apart)
}
