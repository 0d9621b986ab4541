//! A library preloaded into the server: it writes down what the server does to the disk below one folder, and to which
//! peer it says what, and lets calls fail on demand while the server runs.
//!
//! Takes a folder to watch and [`Rule`]s, hands on [`Event`]s in an order that respects cause and effect (`shim/shim.c`
//! says how). The library is C, compiled by `cc` once for each version of its text; it is no part of any release.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = include_str!("shim/shim.c");

const PAGE_BYTES: usize = 4096;
const NEXT_AT: u64 = 8;
const OVERFLOWN_AT: u64 = 16;
const DATA_BYTES_MAX_AT: u64 = 20;
const RULES_AT: u64 = 256;
const RULE_BYTES: u64 = 176;
const RULES_MAX: usize = 16;
const SEEN_AT: u64 = 32;
const MET_AT: u64 = 40;
const PART_AT: u64 = 48;
const PART_BYTES: usize = 64;
const RECORD_BYTES: usize = 40;
/// Room for records. The file is sparse: what is not used takes no room.
const FILE_BYTES: u64 = 4 << 30;

/// `errno` values that disks know.
pub mod error {
    /// Input/output error.
    pub const EIO: u32 = 5;
    /// Permission denied.
    pub const EACCES: u32 = 13;
    /// Too many open files.
    pub const EMFILE: u32 = 24;
    /// No space left on device.
    pub const ENOSPC: u32 = 28;
    /// Read-only file system.
    pub const EROFS: u32 = 30;
}

/// Kinds of calls, as bits that a rule combines.
pub mod call {
    /// Opening with the wish to create.
    pub const CREATE: u32 = 1;
    /// Opening what is there.
    pub const OPEN: u32 = 2;
    /// Writing to a file.
    pub const WRITE: u32 = 4;
    /// `fsync` and `fdatasync`, of files and folders.
    pub const FLUSH: u32 = 8;
    /// Making a file shorter.
    pub const TRUNCATE: u32 = 16;
    /// Renaming; the new path counts.
    pub const RENAME: u32 = 32;
    /// Removing files and folders.
    pub const REMOVE: u32 = 64;
    /// Making a folder.
    pub const MAKE_FOLDER: u32 = 128;
    /// Reading from a file.
    pub const READ: u32 = 256;
    /// Accepting a connection; it has no path.
    pub const ACCEPT: u32 = 512;
    /// Everything that changes the disk.
    pub const CHANGES: u32 = CREATE | WRITE | FLUSH | TRUNCATE | RENAME | REMOVE | MAKE_FOLDER;
}

/// What becomes of a call that meets a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It fails with this `errno`, and nothing is done.
    Fail(u32),
    /// A write takes half of its bytes.
    Short,
    /// It waits first.
    Delay(Duration),
    /// The process is killed before it.
    Kill,
    /// A write takes half of its bytes, then the process is killed.
    Tear,
}

/// Which calls, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Bits of [`call`].
    pub calls: u32,
    /// What happens.
    pub action: Action,
    /// Only paths that contain this; empty: all below the watched folder.
    pub part: &'static str,
    /// And that do not contain this, unless it is empty.
    pub without: &'static str,
    /// So many calls that fit pass before the rule counts.
    pub skip: u64,
    /// So many calls meet it then; `u64::MAX`: all.
    pub count: u64,
}

impl Rule {
    /// All these calls on paths that contain `part`, from now on.
    pub fn new(calls: u32, part: &'static str, action: Action) -> Rule {
        Rule { calls, action, part, without: "", skip: 0, count: u64::MAX }
    }

    /// The same for the first such call only.
    pub fn once(self) -> Rule {
        Rule { count: 1, ..self }
    }

    /// The same after so many calls that pass.
    pub fn after(self, skip: u64) -> Rule {
        Rule { skip, ..self }
    }
}

/// The preloaded library with the file that it shares with the test.
#[derive(Debug)]
pub struct Shim {
    library: PathBuf,
    path: PathBuf,
    file: File,
    folder: PathBuf,
}

impl Shim {
    /// Watches what happens below `folder` and writes it to `file`, which must lie elsewhere. Of every write it keeps
    /// `data_bytes_max` bytes: all that a replay needs, or a few.
    #[track_caller]
    pub fn watch(folder: &Path, file: &Path, data_bytes_max: u32) -> Shim {
        let shared = OpenOptions::new().read(true).write(true).create_new(true).open(file).expect("a new file");
        shared.set_len(FILE_BYTES).expect("a sparse file takes no room");
        let number = |at: u64, bytes: &[u8]| shared.write_all_at(bytes, at).expect("write into the shared page");
        number(0, &FILE_BYTES.to_ne_bytes());
        number(NEXT_AT, &(PAGE_BYTES as u64).to_ne_bytes());
        number(DATA_BYTES_MAX_AT, &data_bytes_max.to_ne_bytes());
        Shim { library: library(), path: file.to_path_buf(), file: shared, folder: folder.to_path_buf() }
    }

    /// The variables that a server needs to be watched.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("GATEPOST_SHIM_FILE", self.path.clone().into()),
            ("GATEPOST_SHIM_FOLDER", self.folder.clone().into()),
        ]
    }

    /// From now on these rules hold, in this order, and no others. The first that is met decides; delays add up.
    #[track_caller]
    pub fn set_rules(&self, rules: &[Rule]) {
        assert!(rules.len() <= RULES_MAX, "at most {RULES_MAX} rules");
        for slot in 0..RULES_MAX {
            self.write(slot, 0, &0_u32.to_ne_bytes());
        }
        for (slot, rule) in rules.iter().enumerate() {
            let (action, error, delay_ms) = match rule.action {
                Action::Fail(error) => (1, error, 0),
                Action::Short => (2, 0, 0),
                Action::Delay(delay) => (3, 0, u32::try_from(delay.as_millis()).expect("a short delay")),
                Action::Kill => (4, 0, 0),
                Action::Tear => (5, 0, 0),
            };
            for (at, value) in [(4, action), (8, error), (12, delay_ms)] {
                self.write(slot, at, &u32::to_ne_bytes(value));
            }
            for (at, value) in [(16, rule.skip), (24, rule.count), (SEEN_AT, 0), (MET_AT, 0)] {
                self.write(slot, at, &value.to_ne_bytes());
            }
            for (at, text) in [(PART_AT, rule.part), (PART_AT + PART_BYTES as u64, rule.without)] {
                assert!(text.len() < PART_BYTES, "{text} is too long for a rule");
                let mut bytes = [0; PART_BYTES];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                self.write(slot, at, &bytes);
            }
            // Last: this switches the rule on.
            self.write(slot, 0, &rule.calls.to_ne_bytes());
        }
    }

    /// How many calls fitted rule `slot` since it was set, whether or not they met it.
    pub fn seen(&self, slot: usize) -> u64 {
        self.number(RULES_AT + slot as u64 * RULE_BYTES + SEEN_AT)
    }

    /// How many calls met rule `slot` since it was set.
    pub fn met(&self, slot: usize) -> u64 {
        self.number(RULES_AT + slot as u64 * RULE_BYTES + MET_AT)
    }

    /// Everything that was recorded so far.
    #[track_caller]
    pub fn events(&self) -> Vec<Event> {
        read_events(&self.path)
    }

    /// The file with the records, for [`read_events`].
    pub fn file(&self) -> &Path {
        &self.path
    }

    fn write(&self, slot: usize, at: u64, bytes: &[u8]) {
        let at = RULES_AT + slot as u64 * RULE_BYTES + at;
        self.file.write_all_at(bytes, at).expect("write into the shared page");
    }

    fn number(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at).expect("read from the shared page");
        u64::from_ne_bytes(bytes)
    }
}

/// Something that the server did, or heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A server began to run: what file descriptors meant before is gone.
    Started,
    /// A file or folder was opened.
    Opened {
        /// Its descriptor.
        fd: i32,
        /// Its path.
        path: PathBuf,
        /// Whether it was made if it was missing.
        creates: bool,
        /// Whether its content was dropped.
        truncates: bool,
    },
    /// A file was not opened.
    NotOpened {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: i32,
    },
    /// A write came to its end.
    Written {
        /// Descriptor of the file.
        fd: i32,
        /// Where.
        offset: u64,
        /// How much, in bytes.
        bytes: u64,
        /// What: the beginning at least.
        data: Vec<u8>,
    },
    /// A write failed.
    NotWritten {
        /// Descriptor of the file.
        fd: i32,
        /// Why.
        error: i32,
    },
    /// A flush of a file or a folder began.
    FlushBegan {
        /// Its descriptor.
        fd: i32,
        /// Names this flush.
        flush: u64,
    },
    /// It ended.
    FlushEnded {
        /// Its descriptor.
        fd: i32,
        /// Names the flush.
        flush: u64,
        /// Why it failed; 0: it did not.
        error: i32,
    },
    /// A file was given this length.
    Cut {
        /// Its descriptor.
        fd: i32,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A file got another name.
    Renamed {
        /// Its name before.
        from: PathBuf,
        /// Its name from then on.
        to: PathBuf,
    },
    /// A file was removed.
    Removed(PathBuf),
    /// A folder was made.
    FolderMade(PathBuf),
    /// A folder was removed.
    FolderRemoved(PathBuf),
    /// This is about to be sent: its beginning.
    Sent {
        /// Descriptor of the connection.
        fd: i32,
        /// The first bytes, as text.
        text: String,
    },
    /// This came from a peer: its beginning.
    Received {
        /// Descriptor of the connection.
        fd: i32,
        /// The first bytes, as text.
        text: String,
    },
}

/// Reads the events of a file that a [`Shim`] wrote.
#[track_caller]
pub fn read_events(path: &Path) -> Vec<Event> {
    let file = File::open(path).expect("open the records");
    let number = |at: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).expect("read from the shared page");
        u64::from_ne_bytes(bytes)
    };
    assert_eq!(number(OVERFLOWN_AT) as u32, 0, "the records have outgrown {}", path.display());
    let mut bytes = vec![0; usize::try_from(number(NEXT_AT)).expect("it fits into memory")];
    file.read_exact_at(&mut bytes, 0).expect("read the records");
    let mut events = Vec::new();
    let mut at = PAGE_BYTES;
    while at + RECORD_BYTES <= bytes.len() {
        match read_event(&bytes[at..], at as u64) {
            Some((event, length)) => {
                events.push(event);
                at += length;
            }
            // Half made when its server was killed, or the rest of a page: the next server begins at a border.
            None => at = (at / PAGE_BYTES + 1) * PAGE_BYTES,
        }
    }
    events
}

fn read_event(record: &[u8], at: u64) -> Option<(Event, usize)> {
    let word = |at: usize| u32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let (kind, length) = (word(0), word(4) as usize);
    let (fd, error) = (word(8) as i32, word(12) as i32);
    let (a, b) = (long(16), long(24));
    let (first_bytes, second_bytes) = (word(32) as usize, word(36) as usize);
    if kind == 0 || length < RECORD_BYTES + first_bytes + second_bytes || length > record.len() {
        return None;
    }
    let first = &record[RECORD_BYTES..RECORD_BYTES + first_bytes];
    let second = &record[RECORD_BYTES + first_bytes..][..second_bytes];
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let text = || String::from_utf8_lossy(first).into_owned();
    let (creates, truncates) = (a & 0o100 != 0, a & 0o1000 != 0);
    let event = match kind {
        1 if fd < 0 => Event::NotOpened { path: path(first), error },
        1 => Event::Opened { fd, path: path(first), creates, truncates },
        2 if error != 0 => Event::NotWritten { fd, error },
        2 => Event::Written { fd, offset: a, bytes: b, data: first.to_vec() },
        3 => Event::FlushBegan { fd, flush: at },
        4 => Event::FlushEnded { fd, flush: a, error },
        5 => Event::Cut { fd, bytes: a },
        6 => Event::Renamed { from: path(first), to: path(second) },
        7 => Event::Removed(path(first)),
        8 => Event::FolderMade(path(first)),
        9 => Event::FolderRemoved(path(first)),
        10 => Event::Sent { fd, text: text() },
        11 => Event::Received { fd, text: text() },
        12 => Event::Started,
        _ => return None,
    };
    Some((event, length))
}

/// The compiled library. It lies beside the test program, under a name made of its text, and is compiled when it is
/// missing; several programs may do so at once.
fn library() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let program = std::env::current_exe().expect("the test program has a path");
    let folder = program.parent().expect("a program lies in a folder");
    let library = folder.join(format!("gatepost-shim-{:016x}.so", hasher.finish()));
    if library.exists() {
        return library;
    }
    let building = tempfile::tempdir_in(folder).expect("a folder beside the test program");
    let (source, built) = (building.path().join("shim.c"), building.path().join("shim.so"));
    fs::write(&source, SOURCE).expect("write the source");
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden", "-o"])
        .args([&built, &source])
        .output()
        .expect("cc is installed (./test does it)");
    assert!(compiled.status.success(), "cc: {}", String::from_utf8_lossy(&compiled.stderr));
    fs::rename(&built, &library).expect("move the library to its place");
    library
}
