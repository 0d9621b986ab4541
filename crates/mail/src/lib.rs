//! The words of mail: address, envelope, header, status, trace and report.
//!
//! Takes bytes and values, hands on values and bytes. Does no I/O and reads no clock (invariant I1): whatever needs a
//! time is given one. Modules stand in reading order; each uses only modules listed below it.

pub mod report;
pub mod trace;
pub mod seven_bit;
pub mod header_firewall;
pub mod from_field;
pub mod rewrite;
mod field;
pub mod header;
pub mod header_senders;
pub mod address_list;
pub mod encoded_word;
pub mod organization;
pub mod envelope;
pub mod status;
pub mod xtext;
pub mod address;
mod calendar;

pub use address::{AddressError, Domain, ForwardPath, Mailbox, Reading, ReversePath};
pub use envelope::{Arrival, AuthAs, BodyType, Envelope, MessageId, Notify, Priority, Recipient, Return};
pub use status::{Class, Reply, Status};
