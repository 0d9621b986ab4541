//! What waits, and for where: plain values.

use std::fmt;
use std::sync::Arc;

use gatepost_mail::{MessageId, Priority};
use gatepost_policy::route::NextHop;

/// Where a queue leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueueKey {
    /// To mailboxes of this server.
    Local,
    /// Nowhere: no send connector takes the recipients. They wait until the settings change, or until they expire.
    Unreachable,
    /// Still to be routed, because an administrator has suspended that.
    Submission,
    /// Nowhere for now: the message seems to bring the server down.
    Poison,
    /// Back: the recipients were refused by routing, their senders are to be told.
    Refused,
    /// To a next hop.
    Send {
        /// Name of the send connector.
        connector: Arc<str>,
        /// Where to connect.
        next_hop: NextHop,
        /// Name of the send connector that routing chose, where this one stands in for it.
        instead_of: Option<Arc<str>>,
    },
}

impl fmt::Display for QueueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueKey::Local => f.write_str("local delivery"),
            QueueKey::Unreachable => f.write_str("unreachable"),
            QueueKey::Submission => f.write_str("submission"),
            QueueKey::Poison => f.write_str("poison"),
            QueueKey::Refused => f.write_str("refused"),
            QueueKey::Send { next_hop, .. } => next_hop.fmt(f),
        }
    }
}

impl QueueKey {
    /// What tells it apart in every run, on one line.
    pub fn name(&self) -> String {
        match self {
            QueueKey::Send { connector, next_hop, .. } => format!("{connector}\t{next_hop}"),
            other => other.to_string(),
        }
    }
}

/// Which recipients of a message an entry is about: indices into its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indices {
    /// The usual case, without an allocation.
    One(u32),
    /// Several, ascending.
    Many(Box<[u32]>),
}

impl Indices {
    /// As a slice.
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Indices::One(index) => std::slice::from_ref(index),
            Indices::Many(indices) => indices,
        }
    }
}

impl From<Vec<u32>> for Indices {
    fn from(indices: Vec<u32>) -> Self {
        match indices.as_slice() {
            [one] => Indices::One(*one),
            _ => Indices::Many(indices.into()),
        }
    }
}

/// Recipients of one message that go the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The message.
    pub id: MessageId,
    /// Its recipients.
    pub recipients: Indices,
    /// When the message arrived, Unix time in milliseconds; it expires by this.
    pub arrival_ms: u64,
    /// How urgent it is.
    pub priority: Priority,
    /// Connections that could not be opened while it was due, since the server started: nothing of it stands on the disk.
    pub missed: u32,
}
