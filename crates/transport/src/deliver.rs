//! Step 8 of 9 - deliver: workers that take entries from the delivery queues and bring messages to their next hop.
//!
//! Takes requests for workers from the queues, runs each as a task of its own, hands every attempt to [`crate::report`]
//! for its conclusion. Whatever happens in a worker, an entry that it held goes back into a queue: its own, or, when
//! routes have changed meanwhile, the one that it belongs in now.

mod local;
mod remote;
mod parked;
mod fallback;
mod knock;
pub mod dial;
mod open;
mod transaction;
mod conversion;
pub mod connection;
mod account;
mod stream;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gatepost_mail::{Priority, Reply};
use gatepost_policy::poison;
use gatepost_policy::route::{self, MailSource, Route};
use gatepost_spool::{Message, ReadError};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::administer;
use crate::categorize;
use crate::clock::{self, now_ms};
use crate::counters::SendCounting;
use crate::fetch;
use crate::passports::{self, Over, Tried};
use crate::queue::{DeliveryQueue, Entry, QueueKey, Work};
use crate::report::{self, Attempt, OnSuccess};
use crate::state::Running;
use crate::suspects::{Place, Turn};
use connection::Connection;
use parked::Parked;

/// How long an entry rests that a worker dropped by a fault of ours, or whose message cannot be read.
const REST_MS: u64 = 5 * 60_000;

/// Starts workers as the queues ask for them, until the server stops.
pub async fn run(running: Arc<Running>, mut requests: UnboundedReceiver<Arc<DeliveryQueue>>) {
    let mut stop = running.stop.subscribe();
    let parked = Arc::new(Parked::new(running.clone()));
    loop {
        let queue = tokio::select! {
            biased;
            request = requests.recv() => match request {
                Some(queue) => queue,
                None => return,
            },
            _ = stop.changed() => return,
        };
        queue.worker_started();
        let connector = queue.connector.as_ref().map(|connector| connector.name.clone()).unwrap_or_default();
        let counted = running.counters.send.of(&connector);
        let place = Mutex::new(running.suspects.place());
        let worker = Worker { running: running.clone(), parked: parked.clone(), queue, counted, place };
        tokio::spawn(async move {
            // Whoever holds a receiver is waited for when the server stops.
            let _stop = worker.running.stop.subscribe();
            let farewell = match &worker.queue.key {
                QueueKey::Send { .. } => remote::work(&worker).await,
                QueueKey::Local => nothing_to_say(local::work(&worker)).await,
                QueueKey::Refused => nothing_to_say(refused(&worker)).await,
                QueueKey::Unreachable => nothing_to_say(unreachable(&worker)).await,
                QueueKey::Submission | QueueKey::Poison => nothing_to_say(route_again(&worker)).await,
            };
            // What comes for the queue while we say goodbye must not wait for that: another worker may begin.
            drop(worker);
            if let Some(connection) = farewell {
                connection.quit().await;
            }
        });
    }
}

/// Knocks at the next hops of queues that wait since before they were these.
pub fn knock_for(running: &Arc<Running>, queues: &[Arc<DeliveryQueue>]) {
    for queue in queues {
        if let Some(wait) = queue.wait() {
            tokio::spawn(knock::until_open(running.clone(), queue.clone(), wait));
        }
    }
}

/// One worker on one queue. Dropping it, by a panic too, tells the queue.
struct Worker {
    running: Arc<Running>,
    /// Connections that nobody needs just now.
    parked: Arc<Parked>,
    queue: Arc<DeliveryQueue>,
    /// The numbers of the queue's connector.
    counted: Arc<SendCounting>,
    /// Where it is noted what the worker has in hand.
    place: Mutex<Place>,
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
    began: Instant,
    /// The connection that it is sent over, once there is one.
    over: Option<Box<Over>>,
    _turn: Turn,
}

impl Worker {
    /// The next entry whose message still wants delivering.
    async fn next(&self) -> Next<'_> {
        loop {
            if self.running.is_stopping() {
                return Next::Stop;
            }
            let entry = match self.queue.next() {
                Work::Entry(entry) => entry,
                Work::Nothing => {
                    self.place().put_down();
                    return Next::Nothing;
                }
                Work::Stop => return Next::Stop,
            };
            if let Some(lease) = self.lease(entry).await {
                return Next::Lease(lease);
            }
        }
    }

    /// Reads the message of an entry. `None` if there is nothing to do for it now.
    async fn lease(&self, entry: Entry) -> Option<Lease<'_>> {
        match fetch::message(&self.running.spool, entry.id).await {
            Ok(message) if message.standing.is_held() => {
                self.put_back(entry, None);
                None
            }
            Ok(message) => {
                let turn = self.running.suspects.turn(entry.id).await;
                self.place().take_up(entry.id);
                Some(Lease { worker: self, entry: Some(entry), message, began: clock::now(), over: None, _turn: turn })
            }
            Err(ReadError::Unknown) => {
                self.running.queues.done(&self.queue, entry.id);
                None
            }
            Err(ReadError::Corrupt) => {
                // The spool has set it aside and keeps it; nobody can deliver it.
                tracing::error!(queue_id = entry.id.0, "a queued message is damaged on disk: it is held aside");
                passports::note_held(&self.running, entry.id, passports::DAMAGED);
                self.running.queues.done(&self.queue, entry.id);
                None
            }
            Err(ReadError::Io(error)) => {
                tracing::error!(queue_id = entry.id.0, %error, "a queued message cannot be read now; tried again later");
                self.put_back(entry, Some(now_ms().saturating_add(REST_MS)));
                None
            }
        }
    }

    fn put_back(&self, entry: Entry, due_ms: Option<u64>) {
        let id = entry.id;
        categorize::put_back(&self.running, &self.queue, entry, due_ms);
        administer::remove_if_wanted(&self.running, id);
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// The recipients of this entry that are still pending.
    fn pending(&self) -> Vec<u32> {
        let indices = self.entry.as_ref().map_or(&[][..], |entry| entry.recipients.as_slice());
        indices.iter().copied().filter(|index| categorize::is_pending(&self.message.recipients, *index)).collect()
    }

    /// When the message arrived, Unix time in milliseconds.
    fn arrival_ms(&self) -> u64 {
        self.message.envelope.arrival.time_ms
    }

    /// How urgent it is.
    fn priority(&self) -> Priority {
        self.message.standing.priority.unwrap_or(self.message.envelope.arrival.priority)
    }

    /// The attempt was made: conclude it, and let recipients that are tried again wait in this queue.
    async fn conclude(mut self, attempts: Vec<Attempt>) {
        let tried = Tried { over: self.over.take(), ..self.tried() };
        let way = report::Way {
            next_hop: &tried.way.next_hop,
            tried: &tried,
            retry: self.worker.queue.retry(),
            counted: &self.worker.counted,
        };
        let deferral = attempts.iter().find(|attempt| attempt.reply.code / 100 == 4).map(|it| it.reply.clone());
        let still_pending = report::conclude(&self.worker.running, &self.message, attempts, &way).await;
        let Some(entry) = self.entry.take() else { return };
        // All of them waited together, so they go on together, at the earliest of their times.
        match still_pending.iter().map(|(_, due_ms)| *due_ms).min() {
            None => {
                self.worker.running.suspects.clear(entry.id);
                self.worker.running.queues.done(&self.worker.queue, entry.id);
                let Worker { running, .. } = self.worker;
                if running.removals.has(entry.id) && !running.spool.is_live(entry.id) {
                    running.removals.take(entry.id);
                }
            }
            Some(due_ms) => {
                if let Some(reply) = deferral {
                    self.worker.queue.note_deferral(&reply);
                }
                self.worker.running.suspects.clear(entry.id);
                let recipients: Vec<u32> = still_pending.into_iter().map(|(index, _)| index).collect();
                self.worker.put_back(Entry { recipients: recipients.into(), ..entry }, Some(due_ms));
            }
        }
    }

    /// There was no connection to try it over, and there will be none before then: its passport says so of the first and each
    /// time that they have doubled, and the entry's turn comes again.
    fn put_back_unconnected(mut self, reply: &Reply, until_ms: u64) {
        let recipients = self.pending();
        let tried = self.tried();
        let running = &self.worker.running;
        if let Some(entry) = self.entry.as_mut().filter(|_| !recipients.is_empty()) {
            entry.missed = entry.missed.saturating_add(1);
            if entry.missed == 1 {
                self.worker.counted.deferred(&running.counters, recipients.len() as u64, now_ms());
            }
            if entry.missed.is_power_of_two() {
                passports::note_no_connection(running, entry.id, &recipients, (reply, until_ms), tried);
            }
        }
        self.put_back();
    }

    /// By which way, and for how long.
    fn tried(&self) -> Tried {
        Tried {
            way: categorize::way(&self.worker.queue.key),
            remote: None,
            over: None,
            duration: clock::now().saturating_duration_since(self.began),
        }
    }

    /// No attempt was made: the entry's turn comes again.
    fn put_back(mut self) {
        if let Some(entry) = self.entry.take() {
            self.worker.running.suspects.clear(entry.id);
            self.worker.put_back(entry, None);
        }
    }

    /// The settings route this entry elsewhere now.
    fn route_again(mut self) {
        if let Some(entry) = self.entry.take() {
            let Worker { running, queue, .. } = self.worker;
            categorize::route_message(running, &self.message, entry.recipients.as_slice(), None);
            running.queues.done(queue, entry.id);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            tracing::error!(queue_id = entry.id.0, "an attempt ended without a conclusion; tried again later");
            let running = &self.worker.running;
            let settings = &running.revision().settings;
            // What brings down a task would have brought down the server, had nobody caught it.
            if std::thread::panicking() && settings.transport.queues.poison.poison_message_detection_enabled {
                let crashes = running.suspects.blame(entry.id);
                if poison::is_poison(&settings.transport.queues.poison, crashes) {
                    let mut standing = running.spool.standing(entry.id).unwrap_or_default();
                    (standing.poison, standing.crashes) = (true, crashes);
                    running.spool.set_standing(entry.id, standing);
                    running.suspects.clear(entry.id);
                    passports::note_held(
                        running,
                        entry.id,
                        "it is poison: delivering it crashed the server again and again",
                    );
                    tracing::error!(
                        queue_id = entry.id.0,
                        crashes,
                        "this message is poison: it waits in the poison queue"
                    );
                }
            }
            self.worker.put_back(entry, Some(now_ms().saturating_add(REST_MS)));
        }
    }
}

async fn nothing_to_say(work: impl Future<Output = ()>) -> Option<Connection> {
    work.await;
    None
}

/// Works on recipients without a way out, when they expire or an administrator asks: a changed route is taken, and what
/// has waited too long is given up.
async fn unreachable(worker: &Worker) {
    while let Next::Lease(lease) = worker.next().await {
        if now_ms() < categorize::expiry_ms(&worker.running, lease.arrival_ms(), lease.priority()) {
            lease.route_again();
            continue;
        }
        let reply = Reply::new(451, (4, 4, 4), route::UNREACHABLE);
        let attempt = |index| Attempt { index, reply: reply.clone(), remote: None, on_success: OnSuccess::Delivered };
        let attempts = lease.pending().into_iter().map(|index| report::expired(&attempt(index))).collect();
        lease.conclude(attempts).await;
    }
}

/// Works on recipients that waited for being routed.
async fn route_again(worker: &Worker) {
    while let Next::Lease(lease) = worker.next().await {
        lease.route_again();
    }
}

/// Works on recipients that routing refused: their senders are told why.
async fn refused(worker: &Worker) {
    while let Next::Lease(lease) = worker.next().await {
        let settings = worker.running.revision().settings.clone();
        let mut attempts = Vec::new();
        for index in lease.pending() {
            let Some(recipient) = lease.message.envelope.recipients.get(index as usize) else { continue };
            let question = route::Question {
                settings: &settings,
                recipient: &recipient.mailbox,
                message_bytes: lease.message.content.len(),
                source: MailSource::of(&lease.message.envelope),
            };
            if let Route::Failed(reply) = route::select(&question) {
                attempts.push(Attempt { index, reply, remote: None, on_success: OnSuccess::Delivered });
            }
        }
        if attempts.len() == lease.pending().len() {
            lease.conclude(attempts).await;
        } else {
            lease.route_again();
        }
    }
}
