//! The durable queue: stage, commit, settle, recover.
//!
//! Takes envelopes, content and outcomes; hands out what is not delivered yet. The promise: once [`Commit`] has said
//! `Ok`, the message survives power loss until every recipient of it has an outcome. It never decides what is
//! delivered, when or where to, and never looks into content.
//!
//! ```text
//! let mut staged = spool.stage();            // a number, nothing on the disk
//! staged.write(content)?;                    // memory; a file once it is large
//! staged.commit(envelope, trace).await?;     // on the disk, flushed: now say 250
//! spool.message(id)?                         // read it, deliver it
//! spool.settle(id, vec![(0, delivered)]);    // nobody pending any more: gone
//! spool.recorded_up_to(mark);                // what the log says before is recorded elsewhere
//! spool.set_standing(id, suspended);         // held back by an administrator, say
//! spool.flushed().await?;                    // and that survives, too
//! ```
//!
//! # What is on the disk
//!
//! One truth: the log. Everything in memory is rebuilt from it ([`Spool::open`], [`Spool::start`]).
//!
//! ```text
//! FORMAT                      gatepost spool 1
//! lock                        locked by the running server
//! log/0000000000000001.seg …  segments: a header, then records; only the last is appended to, only the first deleted
//! bodies/<message>            content too large for the log, in hexadecimal the number of its message
//! bodies/<message>.tmp        the same while it arrives
//! set-aside/                  copies of damaged ranges; never deleted by us
//! reserve                     room set apart for outcomes; its content means nothing
//! ```
//!
//! A record is a message (envelope, content or the name of its body file, and what became of its recipients if it was
//! copied forward) or a list of outcomes and standings. Each has checksums; each is at a multiple of 8.
//!
//! # A message's states on the disk, and what recovery makes of each
//!
//! | on the disk | comes about | recovery |
//! |---|---|---|
//! | nothing, or a `.tmp` body | it was arriving | removes the file; the peer has no 250 and sends again |
//! | a whole body file, no record | crash between the body's flush and the record | removes the file, or moves it to `set-aside/` if a record was lost to damage |
//! | half a record behind the last known flush | crash while it was written | passes over it; counts it, and keeps a copy, because damage to the very last record looks the same |
//! | a whole record that was never flushed | killed before the flush, the system lived on | live: flushed before anything is done with it; a duplicate if the peer sends again |
//! | a record | accepted | live |
//! | a record and outcomes for some recipients | under way | live, those recipients as the outcomes say |
//! | a record and standings behind it | an administrator held it back or redirected it, or it is poison | live, and stands as the last of them says |
//! | several records of one message | compaction was copying it | live once; states merged, the original kept unless the copy was certainly flushed |
//! | a record and its end | every recipient has an outcome, or the commit was refused after the write | not live; body file removed |
//! | an end without a record | compaction deleted the record's segment | nothing |
//! | a record, but its body file missing or of another length | damage | set aside and reported |
//! | a record that does not match its checksums, below a flush | damage | set aside and reported; the next record is found by its header |
//! | the same of the content alone, and the message has ended, or has a good copy | damage to what nobody needs | nothing |
//! | a segment whose header is not readable | damage | set aside whole and reported |
//! | a range to be set aside, and no room for the copy | damage or a crash, on a full disk | reported; copied before its segment is deleted, else the whole segment is moved to `set-aside/` |
//! | no `reserve`, a shorter one, or `reserve.tmp` | an older folder; killed while the disk was full | made again; until there is room, messages are refused |
//! | the beginning of a segment only, or less | killed while the disk was full | as any half-written end |
//! | a segment or `FORMAT` of a newer format | an older program was started | refuses to open |
//!
//! # Opening in two halves
//!
//! A queue of a million messages takes a while to read, and new messages are not to wait for that. So opening has two
//! halves. The first ([`Spool::start`]) takes the lock, finds the numbers that were never given out and flushes what the
//! last server left; of the log it reads the headers and the newest segment. From then on messages are taken, into new
//! segments. The second ([`Recovering`]) reads the segments of former runs, front to back, into an index of its own;
//! when it has read all of them it looks through the body files, and then releases the messages, oldest first. Why
//! nothing is lost and nothing comes back:
//!
//! - *Numbers.* A segment's header says which numbers were given out before it was begun, and messages are written in
//!   the segment that is the newest at that time. So the highest number is in the newest segment, in its header, or in
//!   the name of a body file; above it comes a leap for numbers that left no trace, and for what damage may hide.
//! - *Old and new are apart.* Numbers below the first new one belong to former runs. Nobody can settle, move or read
//!   them before they are released, so no record in a new segment is about one of them, and the order in which the old
//!   segments are read means the same as ever. Body files are told apart by the same number.
//! - *Outcomes come first.* A message is released when everything that was ever written about it has been read. So none
//!   is delivered to a recipient who is known to have it, and its attempts and its next attempt are as they were.
//! - *Nothing goes before all is known.* Until the last message is released no segment counts as dead and none is
//!   emptied. The committer learns of the end together with the outcomes of former runs that may not have been flushed,
//!   and writes those before it deletes anything. (So a full disk cannot empty itself meanwhile: messages are refused.)
//! - *Killed on the way.* The second half only copies damaged ranges away, under names that are the same each time, and
//!   removes body files that belong to no message. The next start finds the old segments as they were, and some more.
//! - *A disk that fails on the way.* What cannot be opened is tried again; nothing is released before all was read.
//!
//! # When something fails
//!
//! A failed write or flush refuses the commits of that batch, seals the segment for ever and begins the next; outcomes
//! are written again. While the disk fails, commits are refused one batch at a time, what is queued stays readable, and
//! the service resumes with the first batch that succeeds.
//!
//! On a full disk a write is taken back and the segment goes on. The reserve is given up, so that outcomes can be
//! written; messages are refused until it is there again, which is tried every second. What is dead is given back
//! sooner than usual meanwhile. Not promised: that a disk without inodes empties itself if the server is killed again
//! between giving up the reserve and making it again, as each start needs a file.
//!
//! Modules stand in reading order; each uses only modules listed below it.

#[cfg(any(test, feature = "fake-disk"))]
pub mod by_hand;
mod spool;
mod verify;
mod recover;
mod history;
mod opening;
mod scan;
mod staged;
mod bodies;
mod committer;
mod compaction;
mod shared;
mod queues;
mod staging;
mod set_aside;
mod reserve;
mod promise;
mod index;
mod cache;
mod stored;
mod message;
mod mark;
mod segment;
mod record;
#[cfg(any(test, feature = "fake-disk"))]
pub mod fake_disk;
pub mod disk;

#[cfg(test)]
mod crash_tests;

pub use history::Told;
pub use mark::Mark;
pub use message::{Content, Message, Outcome, RecipientState, Standing, State};
pub use opening::OpenError;
pub use promise::{Commit, CommitError};
pub use recover::{Recovering, Recovery, Step};
pub use set_aside::SetAside;
pub use shared::{FLUSH_BOUNDS, Options};
pub use spool::{ReadError, Spool, Usage};
pub use staged::{StageError, Staged};
pub use verify::{Finding, Progress, Severity, Verified, VerifyError, verify};
