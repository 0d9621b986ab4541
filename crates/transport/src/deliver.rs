//! Step 8 of 9 - deliver: workers that take entries from the delivery queues and bring messages to their next hop.
//!
//! Takes requests for workers from the queues, runs each as a task of its own, hands every attempt to [`crate::report`]
//! for its conclusion. Whatever happens in a worker, an entry that it held goes back into a queue.

mod local;
mod remote;
mod connection;

use std::sync::Arc;

use gatepost_mail::Reply;
use gatepost_spool::{Message, ReadError};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::categorize;
use crate::clock::now_ms;
use crate::queue::{DeliveryQueue, Entry, QueueKey, Work};
use crate::report::{self, Attempt};
use crate::state::Running;

/// How long an entry rests that a worker dropped by a fault of ours, or whose message cannot be read.
const REST_MS: u64 = 5 * 60_000;

/// Starts workers as the queues ask for them, until the server stops.
pub async fn run(running: Arc<Running>, mut requests: UnboundedReceiver<Arc<DeliveryQueue>>) {
    let mut stop = running.stop.subscribe();
    loop {
        let queue = tokio::select! {
            request = requests.recv() => match request {
                Some(queue) => queue,
                None => return,
            },
            _ = stop.changed() => return,
        };
        queue.worker_started();
        let worker = Worker { running: running.clone(), queue };
        tokio::spawn(async move {
            // Whoever holds a receiver is waited for when the server stops.
            let _stop = worker.running.stop.subscribe();
            match &worker.queue.key {
                QueueKey::Local => local::work(&worker).await,
                QueueKey::Refused => refused(&worker).await,
                QueueKey::Send { .. } => remote::work(&worker).await,
                QueueKey::Unreachable => unreachable(&worker).await,
            }
        });
    }
}

/// One worker on one queue. Dropping it, by a panic too, tells the queue.
struct Worker {
    running: Arc<Running>,
    queue: Arc<DeliveryQueue>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.running.queues.worker_ended(&self.queue);
    }
}

/// What [`Worker::next`] found.
enum Next<'a> {
    /// An entry with its message.
    Lease(Lease<'a>),
    /// Nothing due.
    Nothing,
    /// The queue is blocked or the server stops.
    Stop,
}

/// An entry that is being worked on, and its message. Dropping it without a conclusion puts the entry back to rest.
struct Lease<'a> {
    worker: &'a Worker,
    entry: Option<Entry>,
    message: Message,
}

impl Worker {
    /// The next entry whose message still wants delivering.
    fn next(&self) -> Next<'_> {
        loop {
            if self.running.is_stopping() {
                return Next::Stop;
            }
            let entry = match self.queue.next() {
                Work::Entry(entry) => entry,
                Work::Nothing => return Next::Nothing,
                Work::Blocked => return Next::Stop,
            };
            match self.lease(entry) {
                Some(lease) => return Next::Lease(lease),
                None => continue,
            }
        }
    }

    /// Reads the message of an entry. `None` if there is nothing left to do for it.
    fn lease(&self, entry: Entry) -> Option<Lease<'_>> {
        match self.running.spool.message(entry.id) {
            Ok(message) => Some(Lease { worker: self, entry: Some(entry), message }),
            Err(ReadError::Unknown) => {
                self.queue.done();
                None
            }
            Err(ReadError::Corrupt) => {
                // The spool has set it aside and keeps it; nobody can deliver it.
                tracing::error!(queue_id = entry.id.0, "a queued message is damaged on disk: it is held aside");
                self.queue.done();
                None
            }
            Err(ReadError::Io(error)) => {
                tracing::error!(queue_id = entry.id.0, %error, "a queued message cannot be read now; tried again later");
                self.queue.done();
                self.rest(entry);
                None
            }
        }
    }

    fn rest(&self, entry: Entry) {
        let due_ms = now_ms().saturating_add(REST_MS);
        self.running.queues.push(self.queue.key.clone(), self.queue.connector.as_ref(), entry, Some(due_ms));
    }
}

impl Lease<'_> {
    /// The recipients of this entry that are still pending.
    fn pending(&self) -> Vec<u32> {
        let indices = self.entry.as_ref().map_or(&[][..], |entry| entry.recipients.as_slice());
        let is_pending = |index: &u32| {
            let state = self.message.recipients.get(*index as usize);
            state.is_some_and(|state| state.state == gatepost_spool::State::Pending)
        };
        indices.iter().copied().filter(is_pending).collect()
    }

    /// When the message arrived, Unix time in milliseconds.
    fn arrival_ms(&self) -> u64 {
        self.message.envelope.arrival.time_ms
    }

    /// The attempt was made: conclude it, and let recipients that are tried again wait in this queue.
    async fn conclude(mut self, attempts: Vec<Attempt>) {
        let next_hop = self.worker.queue.key.to_string();
        let still_pending = report::conclude(&self.worker.running, &self.message, attempts, &next_hop).await;
        let Some(entry) = self.entry.take() else { return };
        self.worker.queue.done();
        // All of them waited together, so they go on together, at the earliest of their times.
        if let Some(due_ms) = still_pending.iter().map(|(_, due_ms)| *due_ms).min() {
            let recipients: Vec<u32> = still_pending.into_iter().map(|(index, _)| index).collect();
            let entry = Entry { recipients: recipients.into(), ..entry };
            let queue = &self.worker.queue;
            self.worker.running.queues.push(queue.key.clone(), queue.connector.as_ref(), entry, Some(due_ms));
        }
    }

    /// No attempt was made: the entry's turn comes again.
    fn put_back(mut self) {
        if let Some(entry) = self.entry.take() {
            self.worker.running.queues.put_back(&self.worker.queue, entry);
        }
    }

    /// The settings route this entry elsewhere now.
    fn route_again(mut self) {
        if let Some(entry) = self.entry.take() {
            self.worker.queue.done();
            categorize::enqueue_from_spool(&self.worker.running, entry.id, Some(entry.recipients.as_slice()), None);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            tracing::error!(queue_id = entry.id.0, "an attempt ended without a conclusion; tried again later");
            self.worker.queue.done();
            self.worker.rest(entry);
        }
    }
}

/// Works on recipients without a way out, when they expire or an administrator asks: a changed route is taken, and what
/// has waited too long is given up.
async fn unreachable(worker: &Worker) {
    while let Next::Lease(lease) = worker.next() {
        if now_ms() < categorize::expiry_ms(&worker.running, lease.arrival_ms()) {
            lease.route_again();
            continue;
        }
        let reply = Reply::new(451, (4, 4, 4), gatepost_policy::route::UNREACHABLE);
        let attempt = |index| Attempt { index, reply: reply.clone(), remote: None, remote_reports: false };
        let attempts = lease.pending().into_iter().map(|index| report::expired(&attempt(index))).collect();
        lease.conclude(attempts).await;
    }
}

/// Works on recipients that routing refused: their senders are told why.
async fn refused(worker: &Worker) {
    while let Next::Lease(lease) = worker.next() {
        let settings = worker.running.revision().settings.clone();
        let mut attempts = Vec::new();
        for index in lease.pending() {
            let Some(recipient) = lease.message.envelope.recipients.get(index as usize) else { continue };
            let route = gatepost_policy::route::select(&settings, &recipient.mailbox, lease.message.content.len());
            if let gatepost_policy::route::Route::Failed(reply) = route {
                attempts.push(Attempt { index, reply, remote: None, remote_reports: false });
            }
        }
        if attempts.len() == lease.pending().len() {
            lease.conclude(attempts).await;
        } else {
            lease.route_again();
        }
    }
}
