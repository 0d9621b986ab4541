//! Sends mail another way while a next hop cannot be reached (`fallback_connector`).
//!
//! Takes a queue that has just been blocked because no connection could be opened, routes anew what waits in it.
//! Nothing is remembered but which queues are blocked: `categorize` passes over the ways whose queues are. While one of
//! them is not, mail goes there. When none is left it waits in the queue of the way that routing chose, and each
//! attempt begins there again, so nobody stays on the other way for longer than need be.

use std::sync::Arc;

use crate::categorize::{self, Unrouted};
use crate::queue::DeliveryQueue;
use crate::state::Running;

/// Routes the entries of a blocked queue anew whose turn has come.
pub(super) async fn move_on(running: &Arc<Running>, queue: &Arc<DeliveryQueue>) {
    let taken = queue.take_ready();
    let ids: Vec<_> = taken.iter().map(|entry| entry.id).collect();
    let entries = ids.len();
    if entries == 0 {
        return;
    }
    tracing::info!(next_hop = %queue.key, entries, "mail is routed again while the next hop cannot be reached");
    let unrouted = taken.into_iter().map(|entry| Unrouted::of(entry, None));
    if let Some(unread) = categorize::route_once(running.clone(), unrouted).await
        && !unread.is_empty()
    {
        tokio::spawn(categorize::route_anew(running.clone(), unread.into_iter()));
    }
    ids.into_iter().for_each(|id| running.queues.done(queue, id));
}
