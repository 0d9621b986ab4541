//! What happened: a small record of each decision about a peer.
//!
//! Takes [`Decision`]s from sessions, keeps them in two rooms on the disk, and finds one again by its id. What a record does
//! not hold is recomputed from the settings document of its revision, which the history of `manage` keeps. Decides nothing, never
//! holds up a session, and promises no flush: after a power cut the last seconds may be missing, mail never is. Message
//! content, passwords and subjects are not recorded. Modules stand in reading order; each uses only modules listed below it.
//!
//! | in data_dir | holds | mode |
//! |---|---|---|
//! | `tracking/messages/` | decisions that ended in an accepted message | 0640 |
//! | `tracking/refusals/` | all others | 0640 |
//! | `tracking/passports/` | passports of messages | 0640 |
//! | `tracking/connections/` | what happened beside them | 0640 |
//!
//! The first is a ring of files, the others are segments: what is full loses its oldest file. No room ever takes from another, so a
//! flood of refusals evicts no message's record.

pub mod trace;
pub mod store;
mod refusals;
pub mod passport;
mod flood;
mod room;
pub mod segments;
mod frame;
mod stored;
mod ending;
mod clock;
pub mod decision;

pub use decision::{Command, Decision, DecisionId, Repeats, RevisionId, Verdict};
pub use flood::source_of;
pub use store::{Limits, RoomUsage, Tracking, Usage};
