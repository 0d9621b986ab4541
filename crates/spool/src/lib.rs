//! The durable queue: stage, commit, settle, recover.
#![allow(clippy::unimplemented)]

mod message;
mod spool;
mod staged;

pub use message::{Content, Message, Outcome, RecipientState, State};
pub use spool::{OpenError, Options, ReadError, Recovery, SetAside, Spool, Usage};
pub use staged::{Commit, CommitError, StageError, Staged};
