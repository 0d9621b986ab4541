//! A wall clock that can be set while a server runs, as by an administrator or a time server that errs.
//!
//! Debian's libfaketime (package `libfaketime`), preloaded into the server alone, reads from a file by how much the clock
//! is off, at each look at it. The clock that only counts what has passed is left alone, as the kernel leaves it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// One clock.
#[derive(Debug)]
pub struct WallClock {
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right. It keeps a file in this folder.
    #[track_caller]
    pub fn right(folder: &Path) -> WallClock {
        let clock = WallClock { file: folder.join("wall-clock") };
        clock.set(0);
        clock
    }

    /// From now on it is so many seconds ahead of the right time, or behind.
    #[track_caller]
    pub fn set(&self, ahead_s: i64) {
        // Nobody is to read half of it.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{ahead_s:+}\n")).expect("write the clock's file");
        fs::rename(&new, &self.file).expect("rename the clock's file");
    }

    /// What it shows, Unix time in milliseconds.
    #[track_caller]
    pub fn now_ms(&self) -> u64 {
        let text = fs::read_to_string(&self.file).expect("read the clock's file");
        let ahead_s: i64 = text.trim().parse().expect("a number was written");
        let right = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        u64::try_from(right.as_millis()).expect("it is not that late").saturating_add_signed(ahead_s * 1_000)
    }

    /// The variables that a server needs to see it.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", library().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            // Files keep their times when a clock is set.
            ("NO_FAKE_STAT", "1".into()),
        ]
    }
}

/// Removes what the library leaves behind in a process that was killed: the next one of that number would not start.
pub fn clean_up_after(process: u32) {
    for name in ["faketime_shm_", "sem.faketime_sem_"] {
        // Most processes have none.
        let _ = fs::remove_file(format!("/dev/shm/{name}{process}"));
    }
}

/// The library, in the folder that is named after this machine's processor.
#[track_caller]
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("read /usr/lib").flatten();
    let libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| library.exists()).expect("install the package libfaketime")
}
