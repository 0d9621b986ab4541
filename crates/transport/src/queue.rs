//! Delivery queues: what waits for which next hop, when it is due, and who works on it.
//!
//! Takes entries (a message's number and which of its recipients), hands them to workers in order. Holds no envelope
//! and no content, so its memory does not grow with the queue's bytes. Decides no times: the caller brings them from
//! `policy::retry`. Whoever wants to start workers listens on the channel that [`Queues::new`] gives out.
//!
//! An entry is at one place at a time: in its queue, or in the hands of one caller who took it ("in flight") and owes
//! [`Queues::done`] or [`Queues::put_back`]. A queue that left the table is retired: nothing can be put there any more,
//! and whoever tries gets the entry back, to be routed anew. An entry that is held back (by an administrator, or because it is
//! poison) stands in its queue, and no worker sees it. A queue that is suspended gives no work. Locks are taken in the order table, queue, alarms.

mod table;
mod delivery_queue;
mod waiting;
mod rate;
mod lanes;
mod entry;
#[cfg(test)]
mod tests;

pub use delivery_queue::{DeliveryQueue, Failed, Limits, Snapshot, Wait, Work};
pub use entry::{Entry, Indices, QueueKey};
pub use table::{Heir, Queues, Rerouted, Taken, Waited};
