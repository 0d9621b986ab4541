//! Delivery over SMTP: one worker keeps one connection to a next hop and sends entry after entry through it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Priority, Recipient, Reply};
use gatepost_policy::priority;
use gatepost_policy::retry::{self, Failure, Next as NextAttempt, Schedule};
use gatepost_policy::route::NextHop;
use gatepost_policy::send_connector::SendConnector;
use gatepost_policy::{error_policy, exchangers};

use super::account::Account;
use super::connection::Connection;
use super::dial::{self, NoConnection};
use super::parked::{Places, ServerPlace, Terms};
use super::transaction::Delivered;
use super::{Lease, Next, Worker, fallback, knock};
use crate::administer;
use crate::clock::{self, now_ms};
use crate::dns::Target;
use crate::queue::{DeliveryQueue, Entry, Failed, QueueKey};
use crate::report::{self, Attempt, OnSuccess};
use crate::state::{Revision, count};

/// How long an open connection waits for the next message.
const IDLE: Duration = Duration::from_secs(5);
/// An attempt that takes longer holds up nothing that waits behind it: other connections are opened for that.
const SLOW: Duration = Duration::from_secs(2);
/// What listings say of a next hop whose connections are lost time after time, with the codes of the last.
const BREAKS_OFF: &str = "Connections break off in the middle of messages";
/// How soon to look again when all outbound connections are taken.
const ALL_TAKEN_MS: u64 = 1_000;

/// Works on one next hop until there is nothing to do or the next hop cannot be reached. Hands on the connection that is
/// left, to say goodbye to.
pub async fn work(worker: &Worker) -> Option<Connection> {
    let connector = worker.queue.connector.clone()?;
    let mut open: Option<Open<'_>> = None;
    let mut stop = worker.running.stop.subscribe();
    loop {
        match worker.next().await {
            Next::Stop => break,
            Next::Nothing => {
                let Some(Open { terms, connection, places, counted }) = open.take() else { break };
                // While there is nothing to do, another queue that leads to the same host may have it.
                let ticket = worker.parked.leave(terms, connection, places);
                let more = tokio::select! {
                    biased;
                    waited = tokio::time::timeout(IDLE, worker.queue.wait_for_work()) => waited.is_ok(),
                    _ = stop.changed() => false,
                };
                let left = ticket.take_back();
                open = left.map(|(terms, connection, places)| Open { terms, connection, places, counted });
                if !more {
                    break;
                }
            }
            Next::Lease(lease) => {
                let is_suspect = worker.running.suspects.is_suspect(lease.message.id);
                let attempt = unless_slow(worker, attempt(worker, &connector, open.take(), lease));
                open = match is_suspect {
                    false => attempt.await,
                    true => in_hand_at_work(worker, attempt).await,
                };
            }
        }
    }
    open.map(|open| *open.connection)
}

/// Makes one attempt, over the connection that is there or a new one. Hands the connection back if it can be used again.
async fn attempt<'a>(
    worker: &'a Worker,
    connector: &Arc<SendConnector>,
    open: Option<Open<'a>>,
    lease: Lease<'a>,
) -> Option<Open<'a>> {
    if let Err(again) = worker.running.send_limits.send(connector, clock::now()) {
        worker
            .queue
            .note_error("the send connector has sent as many messages as it may in a minute (its messages_per_minute)");
        lease.put_back();
        let wait = again.saturating_duration_since(clock::now());
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        worker.running.queues.block(&worker.queue, now_ms().saturating_add(wait_ms));
        return open;
    }
    let (open, lease) = match open {
        Some(open) => (open, lease),
        // Without a connection the queue is blocked by now, or this message is at its end and the next one may have a
        // connection.
        None => connect(worker, connector, lease).await?,
    };
    deliver(worker, open, lease, connector).await
}

/// Makes an attempt; tells the queue when it takes longer than [`SLOW`], so that nothing waits behind a next hop that
/// hangs on this one connection.
async fn unless_slow<T>(worker: &Worker, attempt: impl Future<Output = T>) -> T {
    let mut attempt = pin!(attempt);
    match tokio::time::timeout(SLOW, &mut attempt).await {
        Ok(made) => made,
        Err(_) => {
            let _slow = SlowGuard::new(worker);
            attempt.await
        }
    }
}

/// Makes an attempt on a suspect: what the worker has in hand counts only while it does something.
async fn in_hand_at_work<T>(worker: &Worker, attempt: impl Future<Output = T>) -> T {
    let mut attempt = pin!(attempt);
    poll_fn(|context| {
        worker.place().go_on();
        let polled = attempt.as_mut().poll(context);
        if polled.is_pending() {
            worker.place().pause();
        }
        polled
    })
    .await
}

/// A worker that the queue does not count on; dropping it says that it may again.
struct SlowGuard<'a>(&'a Worker);

impl<'a> SlowGuard<'a> {
    fn new(worker: &'a Worker) -> SlowGuard<'a> {
        worker.running.queues.worker_slow(&worker.queue);
        SlowGuard(worker)
    }
}

impl Drop for SlowGuard<'_> {
    fn drop(&mut self) {
        self.0.running.queues.worker_quick(&self.0.queue);
    }
}

/// A connection of the queue's, counted there until it is dropped.
struct Counted<'a>(&'a DeliveryQueue);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

/// An open connection, and its places in the counts.
struct Open<'a> {
    terms: Terms,
    connection: Box<Connection>,
    places: Places,
    counted: Counted<'a>,
}

/// What came of looking for a connection.
enum Reached {
    /// One that nobody needed, or a new one.
    Open(Box<Connection>, Places),
    /// There may be no more of them now, and why; with the host that is to be waited for, if it is about one.
    Full(&'static str, Option<SocketAddr>),
}

/// Takes a connection that nobody needs just now, or opens one.
async fn reach(
    worker: &Worker,
    revision: &Revision,
    terms: &Terms,
    next_hop: &NextHop,
) -> Result<Reached, NoConnection> {
    let (running, connector, parked) = (&worker.running, &terms.connector, &worker.parked);
    let limits = &revision.settings.transport;
    let account = Account::begin(running, connector, next_hop);
    let found = dial::targets(running, revision, connector, next_hop).await;
    let mut targets = found.inspect_err(|none| account.found_nobody(none.reply()))?;
    let best = targets.first().map(|target| target.rank);
    for target in targets.iter().filter(|target| Some(target.rank) == best) {
        if let Some((_, connection, places)) = parked.take(target, terms) {
            tracing::debug!(next_hop = %next_hop, address = %target, host = target.name, "took an open connection");
            return Ok(Reached::Open(connection, places));
        }
    }
    let most = limits.max_per_host_outbound_connections.unwrap_or(u32::MAX);
    let has_room = |target: &Target| target.path.is_some() || parked.has_room(target.address, most);
    if let Some(full) = targets.first().filter(|_| !targets.iter().any(|one| Some(one.rank) == best && has_room(one))) {
        let why = "all connections to its host are taken (max_per_host_outbound_connections)";
        return Ok(Reached::Full(why, Some(full.address)));
    }
    targets.retain(has_room);
    let most = limits.max_outbound_connections.map_or(u64::MAX, u64::from);
    let server = ServerPlace::take(running, most).or_else(|| {
        parked.close_one();
        ServerPlace::take(running, most)
    });
    let Some(server) = server else {
        return Ok(Reached::Full("all outbound connections are taken (max_outbound_connections)", None));
    };
    let own = running.send_limits.connect(connector).or_else(|| {
        parked.close_one();
        running.send_limits.connect(connector)
    });
    let Some(own) = own else {
        return Ok(Reached::Full("all connections of the send connector are taken (its max_connections)", None));
    };
    // The place is taken before anybody else can see room there; it moves if another host is the one that answers.
    let mut host = targets.first().map(|target| parked.enter(target.address));
    let connection = dial::first_of(running, revision, connector, next_hop, &targets).await?;
    let address = connection.target.address;
    let host = host.take_if(|host| host.address() == address).unwrap_or_else(|| parked.enter(address));
    Ok(Reached::Open(Box::new(connection), Places { _server: server, _host: host, _connector: own }))
}

/// Connects for `lease`. `None` when there is no connection; the lease has been taken care of then.
async fn connect<'a>(
    worker: &'a Worker,
    connector: &Arc<SendConnector>,
    lease: Lease<'a>,
) -> Option<(Open<'a>, Lease<'a>)> {
    let QueueKey::Send { next_hop, .. } = &worker.queue.key else { return None };
    let running = &worker.running;
    let revision = running.revision();
    let demand = dial::demand(&revision, connector, next_hop);
    let terms = Terms { connector: connector.clone(), generation: revision.generation, demand };
    let reached = tokio::select! {
        biased;
        reached = Box::pin(reach(worker, &revision, &terms, next_hop)) => reached,
        // Nothing was attempted yet, so nobody waits for a next hop that takes its time.
        () = running.stopped() => {
            lease.put_back();
            return None;
        }
    };
    match reached {
        Ok(Reached::Open(connection, places)) => {
            count(&worker.counted.connections);
            running.queues.connected(&worker.queue);
            Some((Open { terms, connection, places, counted: Counted(&worker.queue) }, lease))
        }
        Ok(Reached::Full(why, host)) => {
            worker.queue.note_error(why);
            lease.put_back();
            let wait = running.queues.block(&worker.queue, now_ms() + ALL_TAKEN_MS);
            if let Some(host) = host {
                worker.parked.stand_in_line(host, &worker.queue, wait);
            }
            None
        }
        // Every message for it fails, one after the other.
        Err(NoConnection::NoSuchNextHop(reply)) => {
            match error_policy::decide_dns(&connector.error_policies, reply) {
                reply if reply.code >= 500 => {
                    let attempts = attempts_with(&lease, &reply);
                    lease.conclude(attempts).await;
                }
                reply => unreachable(worker, lease, &reply, Failure::ConnectionFailed).await,
            }
            None
        }
        Err(NoConnection::Unreachable(reply)) => {
            count(&worker.counted.connections_failed);
            worker.counted.health.not_connected(&reply, now_ms());
            unreachable(worker, lease, &reply, Failure::ConnectionFailed).await;
            None
        }
        Err(NoConnection::LogonRefused(reply)) => {
            count(&worker.counted.connections_failed);
            worker.counted.health.not_connected(&reply, now_ms());
            worker.counted.health.logon_refused(now_ms());
            unreachable(worker, lease, &reply, Failure::LogonRefused).await;
            None
        }
    }
}

/// The next hop cannot be reached: the whole queue waits, or another connector stands in, and messages that have waited
/// too long are given up.
async fn unreachable(worker: &Worker, lease: Lease<'_>, reply: &Reply, failure: Failure) {
    let settings = worker.running.revision().settings.clone();
    let usual = schedule(worker);
    let of_priority = |priority| priority::schedule(&settings.transport.queues.priorities, &usual, priority);
    let schedule = of_priority(lease.priority());
    let now = now_ms();
    let failed = worker.queue.connection_failed(&reply.to_string());
    let failures = failed.in_a_row;
    count_those_who_wait(worker, failed);
    let stands_in = matches!(worker.queue.key, QueueKey::Send { instead_of: Some(_), .. });
    // Before the last way has been tried nothing is given up.
    let arrival_ms = if worker.queue.shows_the_way() && !stands_in { now } else { lease.arrival_ms() };
    let next_ms = match retry::next(&schedule, failure, failures, arrival_ms, now) {
        NextAttempt::At(next_ms) => {
            lease.put_back_unconnected(reply, next_ms);
            next_ms
        }
        NextAttempt::Expired => {
            give_up(lease, reply).await;
            match retry::next(&schedule, failure, failures, now, now) {
                NextAttempt::At(next_ms) => next_ms,
                NextAttempt::Expired => now,
            }
        }
    };
    let wait = worker.running.queues.block(&worker.queue, next_ms);
    if next_ms.saturating_sub(now) > knock::KNOCK_INTERVAL_MS {
        tokio::spawn(knock::until_open(worker.running.clone(), worker.queue.clone(), wait));
    }
    if worker.queue.shows_the_way() && !stands_in {
        fallback::move_on(&worker.running, &worker.queue).await;
    }
    if worker.running.queues.is_stuck(&worker.queue, settings.transport.queues.max_idle_time_before_resubmit) {
        tracing::info!(next_hop = %worker.queue.key, "nothing could be sent there for long: everything is routed anew");
        tokio::spawn(administer::resubmit_queue(worker.running.clone(), worker.queue.clone()));
        return;
    }
    let before_ms = Priority::ALL.map(|priority| {
        let lifetime = of_priority(priority).message_expiration_timeout.as_millis();
        now.saturating_sub(u64::try_from(lifetime).unwrap_or(u64::MAX))
    });
    let is_old = |entry: &Entry| entry.arrival_ms < before_ms[entry.priority as usize];
    worker.queue.bring_forward(is_old);
    while !worker.running.is_stopping()
        && let Some(entry) = worker.queue.next_older(is_old)
    {
        if let Some(lease) = worker.lease(entry).await {
            give_up(lease, reply).await;
        }
    }
    if stands_in {
        fallback::move_on(&worker.running, &worker.queue).await;
    }
}

/// What waits has missed a connection, for some of it the first.
fn count_those_who_wait(worker: &Worker, failed: Failed) {
    if failed.recipients > 0 {
        worker.counted.deferred(&worker.running.counters, failed.recipients, now_ms());
    }
}

/// The retry schedule of the worker's route.
fn schedule(worker: &Worker) -> Schedule {
    worker.queue.retry().over(&worker.running.revision().settings.retry)
}

async fn give_up(lease: Lease<'_>, reply: &Reply) {
    let attempts = attempts_with(&lease, reply).iter().map(report::expired).collect();
    lease.conclude(attempts).await;
}

/// Sends one message. Hands the connection back if it can be used again.
async fn deliver<'a>(
    worker: &Worker,
    mut open: Open<'a>,
    mut lease: Lease<'a>,
    connector: &SendConnector,
) -> Option<Open<'a>> {
    let pending = lease.pending();
    if pending.is_empty() {
        lease.conclude(Vec::new()).await;
        return Some(open);
    }
    let recipients: Vec<(usize, &Recipient)> = pending
        .iter()
        .filter_map(|index| Some((*index as usize, lease.message.envelope.recipients.get(*index as usize)?)))
        .collect();
    let results = match open.connection.deliver(&lease.message, &recipients).await {
        Delivered::Replies(results) => results,
        Delivered::Stale => {
            lease.put_back();
            return None;
        }
    };
    if results.iter().any(|result| exchangers::is_greylisting(&result.reply)) {
        worker.running.hosts.wants_us_again(open.connection.target.address, clock::now());
    }
    let is_lost = open.connection.broken && results.iter().all(|result| result.reply.code == 421);
    let lost = results.last().filter(|_| is_lost).map(|result| result.reply.clone());
    let on_success = match connector.mailbox_protocol {
        _ if open.connection.reports_on_success() => OnSuccess::ReportedByNextHop,
        Some(_) => OnSuccess::Delivered,
        None => OnSuccess::Relayed,
    };
    lease.over = Some(Box::new(open.connection.over()));
    let remote = &open.connection.target.name;
    let attempts = results
        .into_iter()
        .filter_map(|result| {
            let index = u32::try_from(result.index).ok()?;
            let reply = error_policy::decide(&connector.error_policies, result.reply);
            Some(Attempt { index, reply, remote: Some(remote.clone()), on_success })
        })
        .collect();
    lease.conclude(attempts).await;
    match lost {
        Some(reply) => broke_off_again(worker, &reply).await,
        None => worker.running.queues.served(&worker.queue),
    }
    if open.connection.broken {
        return None;
    }
    if open.connection.transactions >= connector.smtp_max_messages_per_connection {
        open.connection.quit().await;
        return None;
    }
    Some(open)
}

/// A connection was lost in the middle of a message. Each message waits by itself then; where that happens time after time
/// the whole queue does, or every message that waits would open a connection only to lose it.
async fn broke_off_again(worker: &Worker, reply: &Reply) {
    if !worker.queue.broke_off() {
        return;
    }
    let schedule = schedule(worker);
    // The text may be the peer's, and name a recipient.
    let shown = reply.clone().with_text(BREAKS_OFF).to_string();
    let (now, failed) = (now_ms(), worker.queue.connection_failed(&shown));
    count_those_who_wait(worker, failed);
    if let NextAttempt::At(next_ms) = retry::next(&schedule, Failure::ConnectionFailed, failed.in_a_row, now, now) {
        worker.running.queues.block(&worker.queue, next_ms);
        if worker.queue.shows_the_way() {
            fallback::move_on(&worker.running, &worker.queue).await;
        }
    }
}

/// The same reply, our own, for every pending recipient of a lease.
fn attempts_with(lease: &Lease<'_>, reply: &Reply) -> Vec<Attempt> {
    let attempt = |index| Attempt { index, reply: reply.clone(), remote: None, on_success: OnSuccess::Delivered };
    lease.pending().into_iter().map(attempt).collect()
}
