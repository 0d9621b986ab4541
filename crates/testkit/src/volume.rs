//! A small file system of its own (tmpfs), mounted over a folder: one that can be full, out of files or read-only.
//!
//! Mounting needs root. Where that is not to be had there is no volume, and the test has to say that it did nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system mounted over a folder; unmounted when dropped.
#[derive(Debug)]
pub struct Volume {
    folder: PathBuf,
    fillers: u32,
}

impl Volume {
    /// Makes the folder and mounts a tmpfs over it, `options` as mount(8) takes them: `size=24m,nr_inodes=100`. `None` where
    /// the system does not allow it; standard error says so, past the test harness's capture.
    pub fn mount(folder: &Path, options: &str) -> Option<Volume> {
        fs::create_dir_all(folder).expect("make the folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Volume { folder: folder.to_path_buf(), fillers: 0 }),
            failed => {
                let why = failed.map_or_else(|error| error.to_string(), |output| format!("{output:?}"));
                let _ = writeln!(io::stderr(), "NOT TESTED: a file system cannot be mounted here: {why}");
                None
            }
        }
    }

    /// Mounts it again with other options: `ro`, `rw`, `size=48m`. Fails to become read-only while a file is open for writing.
    #[track_caller]
    pub fn remount(&self, options: &str) {
        let output = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.folder).output();
        let output = output.expect("run mount");
        assert!(output.status.success(), "remount {options}: {output:?}");
    }

    /// Uses up all bytes, as another program would.
    pub fn fill(&mut self) {
        let mut file = File::create(self.next_filler()).expect("make a file");
        for piece in [&[0x55; 65536][..], &[0x55; 1024], &[0x55; 1]] {
            while file.write_all(piece).is_ok() {}
        }
    }

    /// Uses up all files.
    pub fn use_up_files(&mut self) {
        while File::create(self.next_filler()).is_ok() {}
    }

    /// Removes what filled it.
    pub fn empty(&mut self) {
        for filler in 0..std::mem::take(&mut self.fillers) {
            match fs::remove_file(self.filler(filler)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("remove filler {filler}: {error}"),
                _ => {}
            }
        }
    }

    fn next_filler(&mut self) -> PathBuf {
        self.fillers += 1;
        self.filler(self.fillers - 1)
    }

    fn filler(&self, number: u32) -> PathBuf {
        self.folder.join(format!("filler-{number}"))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there keeps it until it closes it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}
