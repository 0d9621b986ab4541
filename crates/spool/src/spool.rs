//! The door of the spool.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Envelope, MessageId};

use crate::{Message, Outcome, RecipientState, Staged};

/// What an administrator or a test may tune.
#[derive(Clone, Debug)]
pub struct Options {
    /// Content up to this many bytes lies in the log; larger content in a file of its own. Default 256 KiB.
    pub inline_bytes_max: usize,
    /// A segment file that has grown to this many bytes is followed by the next. Default 64 MiB.
    pub segment_bytes: u64,
    /// Memory for messages that were just accepted, so that their first delivery needs no disk. Default 64 MiB.
    pub cache_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { inline_bytes_max: 256 << 10, segment_bytes: 64 << 20, cache_bytes_max: 64 << 20 }
    }
}

/// Why the spool did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server works in this folder.
    #[error("the spool {} is in use by another server{}", path.display(), pid.map(|p| format!(" (process {p})")).unwrap_or_default())]
    Locked {
        /// The spool's folder.
        path: PathBuf,
        /// The other process, if it left its number.
        pid: Option<u32>,
    },
    /// Written by a newer version of this program.
    #[error("the spool {} has format {found}, this program knows formats up to 1: start the newer version again", path.display())]
    NewerFormat {
        /// The spool's folder.
        path: PathBuf,
        /// The format it has.
        found: u32,
    },
    /// The disk refused.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file or folder at fault.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such message: never accepted, or settled.
    #[error("there is no such message")]
    Unknown,
    /// Its record or body does not match its checksum.
    #[error("the message is damaged on disk")]
    Corrupt,
    /// The disk failed.
    #[error("the message cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A damaged range that was copied out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The file it was found in.
    pub file: PathBuf,
    /// Where in that file, in bytes.
    pub offset: u64,
    /// How much, in bytes.
    pub length: u64,
    /// Half a sentence for the administrator.
    pub reason: String,
    /// The copy; `None` if it could not be written (the original then stays).
    pub moved_to: Option<PathBuf>,
}

/// What opening the spool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Messages with recipients still pending, in the order of their numbers.
    pub live: Vec<MessageId>,
    /// Damaged ranges.
    pub set_aside: Vec<SetAside>,
    /// Bytes at the ends of segments that a crash left half written; normal after one.
    pub torn_bytes: u64,
    /// Segment files read.
    pub segments: usize,
    /// How long it took.
    pub duration: Duration,
    /// Files removed that belonged to no message.
    pub removed_files: usize,
}

/// Figures for `gatepost status`, metrics and back pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages in the queue.
    pub messages: u64,
    /// Bytes of their records and bodies.
    pub live_bytes: u64,
    /// Bytes of all segment and body files.
    pub disk_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Messages accepted since the spool was opened.
    pub commits: u64,
    /// Flushes of files and folders since then.
    pub flushes: u64,
    /// Flushes and writes that failed since then.
    pub failures: u64,
    /// Damaged ranges set aside, those of recovery included.
    pub set_aside: u64,
    /// Bytes of messages held in memory.
    pub cache_bytes: u64,
}

/// The durable queue. Cloning gives another handle to the same one.
#[derive(Clone, Debug)]
pub struct Spool {}

impl Spool {
    /// Opens the spool in `dir`, which is created if it is missing, and recovers what is there.
    pub fn open(_dir: &Path, _options: Options) -> Result<(Spool, Recovery), OpenError> {
        unimplemented!()
    }

    /// Begins a message.
    pub fn stage(&self) -> Staged {
        unimplemented!()
    }

    /// A live message. May read the disk.
    pub fn message(&self, _id: MessageId) -> Result<Message, ReadError> {
        unimplemented!()
    }

    /// A live message without its content; cheaper than [`Spool::message`] for listings and scheduling.
    pub fn envelope(&self, _id: MessageId) -> Result<(Arc<Envelope>, Vec<RecipientState>), ReadError> {
        unimplemented!()
    }

    /// Records outcomes: `(index of the recipient in the envelope, outcome)`. Never blocks on the disk.
    pub fn settle(&self, _id: MessageId, _outcomes: Vec<(u32, Outcome)>) {
        unimplemented!()
    }

    /// All live messages, in the order of their numbers.
    pub fn live(&self) -> Vec<MessageId> {
        unimplemented!()
    }

    /// Whether a message still has recipients pending.
    pub fn is_live(&self, _id: MessageId) -> bool {
        unimplemented!()
    }

    /// Figures as of now.
    pub fn usage(&self) -> Usage {
        unimplemented!()
    }

    /// Flushes everything, stops the committer, releases the lock. May be called again.
    pub fn close(&self) {
        unimplemented!()
    }
}
