//! Knocking at a next hop that is down while many messages wait for it.
//!
//! Takes a queue that waits for its next attempt; lets it go on as soon as the next hop takes connections again. The
//! schedule of attempts (fact sheet section 4.7) reaches ten minutes between two of them. That is right for a few
//! messages, but not for a large queue after an outage, so in between a connection is opened and closed, which is no
//! attempt: nobody is greeted, and no count of attempts goes up. A next hop that does take connections when the knocking
//! begins has another trouble than being down, and is left alone until its time comes.

use std::sync::Arc;
use std::time::Duration;

use super::stream::connect;
use crate::queue::{DeliveryQueue, QueueKey, Wait};
use crate::state::Running;

/// Between two knocks; with the time that they may take the next hop is found again within a minute.
pub const KNOCK_INTERVAL_MS: u64 = 45_000;
/// How long an address may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of a next hop with several addresses, so many are tried.
const ADDRESSES_MAX: usize = 2;
/// A queue with fewer entries waits for its next attempt. So the queues that knock are as few as the messages allow.
const ENTRIES_MIN: usize = 1_000;

/// Knocks until somebody opens, the wait of the queue is over, or the server stops.
pub async fn until_open(running: Arc<Running>, queue: Arc<DeliveryQueue>, wait: Wait) {
    if queue.is_in(wait, ENTRIES_MIN) && is_open(&running, &queue).await {
        return;
    }
    // A queue that is small now may be large before its time comes: after a start, most of all.
    while queue.is_in(wait, 0) {
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(KNOCK_INTERVAL_MS)) => {}
            () = running.stopped() => return,
        }
        if queue.is_in(wait, ENTRIES_MIN) && is_open(&running, &queue).await {
            tracing::info!(next_hop = %queue.key, "the next hop takes connections again; its queue goes on");
            running.queues.unblock(&queue, wait);
            return;
        }
    }
}

/// Whether the next hop takes connections.
async fn is_open(running: &Running, queue: &DeliveryQueue) -> bool {
    let (QueueKey::Send { next_hop, .. }, Some(connector)) = (&queue.key, &queue.connector) else { return false };
    let revision = running.revision();
    let Ok(targets) = revision.dns.targets(next_hop, connector).await else { return false };
    for target in targets.iter().take(ADDRESSES_MAX) {
        let source = connector.source_ip_address.towards(target.address.ip());
        if matches!(tokio::time::timeout(PATIENCE, connect(target, source)).await, Ok(Ok(_))) {
            running.hosts.is_up(target.address);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use gatepost_mail::{MessageId, Priority};
    use gatepost_policy::route::{self, Route};
    use tokio::net::TcpListener;

    use super::*;
    use crate::queue::{Entry, Indices};
    use crate::site::{CONTOSO, Site, mailbox};

    /// A queue of so many entries for the one next hop of a site, and its wait.
    fn blocked(site: &Site, entries: usize) -> (Arc<DeliveryQueue>, Wait) {
        let settings = &site.running.revision().settings;
        let recipient = mailbox("a@x.example");
        let question = route::Question { settings, recipient: &recipient, message_bytes: 1, source: None };
        let Route::Send { connector, next_hop } = route::select(&question) else { panic!("there is a way out") };
        let queues = &site.running.queues;
        for id in (0..).take(entries) {
            let key =
                QueueKey::Send { connector: connector.name.clone(), next_hop: next_hop.clone(), instead_of: None };
            let priority = Priority::Normal;
            let entry = Entry { id: MessageId(id), recipients: Indices::One(0), arrival_ms: 0, priority, missed: 0 };
            queues.push(1, key, Some(&connector), entry, None).expect("routes have not changed");
        }
        let queue = queues.all().pop().expect("one queue");
        let wait = queues.block(&queue, u64::MAX);
        (queue, wait)
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_queue_goes_on_within_a_minute_of_its_next_hop_and_a_small_one_when_its_time_comes() {
        for (entries, is_open_at_once, goes_on) in
            [(ENTRIES_MIN, false, true), (ENTRIES_MIN - 1, false, false), (ENTRIES_MIN, true, false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("it is bound");
            let way_out = format!(
                "[[send_connector]]\nname = \"Out\"\naddress_spaces = [\"*\"]\nsmart_hosts = [\"[127.0.0.1]:{}\"]\n",
                address.port()
            );
            let site = Site::new(&format!("{CONTOSO}{way_out}"));
            let (queue, wait) = blocked(&site, entries);
            let is_blocked = || queue.is_in(wait, 0);
            let mut listener = Some(listener).filter(|_| is_open_at_once);
            let knocking = tokio::spawn(until_open(site.running.clone(), queue.clone(), wait));
            tokio::time::sleep(Duration::from_secs(300)).await;
            assert!(is_blocked(), "{entries} entries");
            if listener.is_none() {
                listener = Some(TcpListener::bind(address).await.expect("the port is free still"));
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(is_blocked(), !goes_on, "{entries} entries, open at once: {is_open_at_once}");
            assert_eq!(knocking.is_finished(), goes_on || is_open_at_once, "nobody knocks without a reason");
            knocking.abort();
            drop(listener);
        }
    }
}
