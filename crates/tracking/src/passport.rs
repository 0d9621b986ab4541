//! The passport of a message: where it came from, and what became of it, step by step; and what happened beside messages.
//!
//! Takes [`Event`]s from the running server, gathers those of one message, and keeps them as [`Record`]s. Never holds up
//! whoever notes an event. What had to be left out is told ([`Gatherer::sync`]), so that the server can read the passports of
//! accepted messages from the spool's log again: of those none is lost.

pub mod gather;
pub mod store;
pub mod conceal;
pub mod terms;
mod stored;
pub mod event;

pub use event::{Event, Facts, Part, Record, Step, What};
pub use gather::{Gatherer, Synced};
pub use store::{Keeping, Store};
pub use stored::{later_part_of, read, read_label, write, write_label};
