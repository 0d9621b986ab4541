//! The pipeline language that administrators of Exchange write: parsed, bound and evaluated.
//!
//! Takes the text of a script, commands ([`Commands`](command::Commands)) and a [`World`](world::World); hands on values
//! and text. Knows no mail, no disk, no network and no clock. One thread. Modules stand in reading order; each uses only
//! modules listed below it.

pub mod session;
pub mod evaluate;
pub mod stock;
pub mod format;
pub mod member;
pub mod path;
pub mod zip;
pub mod parse;
pub mod context;
pub mod command;
pub mod world;
pub mod convert;
pub mod value;
pub mod fault;
pub mod syntax;
pub mod source;
pub mod limits;
