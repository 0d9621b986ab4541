//! Finding what happened: passports of messages, refused attempts, connections.
//!
//! Takes a [`Query`], reads segments, hands on a [`Page`] of [`Entry`]s, newest first, and where to go on. Reads
//! files and takes its time: never on a thread that drives sockets. Every criterion is decided by [`Query::matches`] alone;
//! terms and their index only say where to look.

pub mod search;
mod unconnected;
pub mod erase;
pub mod query;
pub mod passport;

pub use erase::{Erased, erase};
pub use passport::{Passport, Standing};
pub use query::{Entry, Kinds, Query, State, Wanted};
pub use search::{Cursor, Page, Search};

#[cfg(test)]
mod tests;
