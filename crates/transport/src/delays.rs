//! News of delay: once for each recipient that has waited for `delay_notification_timeout`, whether or not anything was
//! attempted meanwhile. Where priorities have timeouts of their own, each has a walk of its own.
//!
//! Walks through the spool in the order of the messages' numbers, which is nearly that of their arrival, as far as messages
//! are old enough, and remembers how far it came. Who has been told stands in the spool *before* the report does: after a
//! crash in between somebody is told too little, never twice.

use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::report::{FailedRecipient, Kind};
use gatepost_mail::{Envelope, MessageId, Priority, Reply, ReversePath};
use gatepost_policy::notify::{self, Turn};
use gatepost_policy::priority;
use gatepost_spool::{Outcome, ReadError, RecipientState, State};

use crate::blocking;
use crate::categorize;
use crate::clock::now_ms;
use crate::duties::Addressee;
use crate::fetch;
use crate::report::tell;
use crate::state::Running;

/// Walks where each priority has its own timeout.
const PRIORITIES: [Option<Priority>; 3] = [Some(Priority::High), Some(Priority::Normal), Some(Priority::Low)];
/// How often the spool is looked at, at least: settings and the clock may have changed.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// So many envelopes are read at a time.
const ENVELOPES_AT_ONCE: usize = 64;
/// What is said where nothing was answered yet.
const DELAYED: Reply = Reply::new(451, (4, 4, 7), "Message delayed");

/// Tells of delays until the server stops.
pub async fn run(running: Arc<Running>) {
    let mut stop = running.stop.subscribe();
    let mut walks = Vec::new();
    loop {
        let settings = running.revision().settings.clone();
        let of: &[Option<Priority>] = match settings.transport.queues.priorities.priority_queuing_enabled {
            true => &PRIORITIES,
            false => &[None],
        };
        if !walks.iter().map(|walk: &Walk| &walk.of).eq(of) {
            // Whoever has been told is not told again.
            walks = of.iter().map(|of| Walk { of: *of, last: None }).collect();
        }
        let mut next_ms = None;
        for walk in &mut walks {
            let next_of_these_ms = walk.go_on(&running).await;
            next_ms = next_ms.into_iter().chain(next_of_these_ms).min();
        }
        let timeout = settings.reports.delay_notification_timeout;
        let until_next = next_ms.map_or(timeout, |next_ms| Duration::from_millis(next_ms.saturating_sub(now_ms())));
        tokio::select! {
            biased;
            _ = stop.changed() => return,
            () = tokio::time::sleep(until_next.clamp(Duration::from_millis(1), LOOK_AGAIN)) => {}
        }
    }
}

type Read = (MessageId, Result<(Arc<Envelope>, Vec<RecipientState>), ReadError>);

/// How far the spool has been walked through.
struct Walk {
    /// For messages of which priority; `None`: for all.
    of: Option<Priority>,
    /// Everybody whose message has this number or a lower one has been told.
    last: Option<MessageId>,
}

impl Walk {
    /// Goes on as far as messages are old enough. Says when the next one is, if it is known.
    async fn go_on(&mut self, running: &Arc<Running>) -> Option<u64> {
        // Messages of former runs come with lower numbers; and a full disk takes no reports.
        if running.recovering.load(std::sync::atomic::Ordering::Relaxed) || running.spool.usage().is_full {
            return None;
        }
        loop {
            let (spool, last) = (running.spool.clone(), self.last);
            let read = move || -> Vec<Read> {
                let next = spool.live_after(last, ENVELOPES_AT_ONCE);
                next.into_iter().map(|id| (id, spool.envelope(id))).collect()
            };
            let batch = blocking::run(read).await.unwrap_or_default();
            if batch.is_empty() {
                return None;
            }
            for (id, read) in batch {
                if running.is_stopping() {
                    return None;
                }
                match read {
                    Ok((envelope, states)) => {
                        let settings = &running.revision().settings;
                        let (priorities, reports) = (&settings.transport.queues.priorities, &settings.reports);
                        let priority = running.spool.standing(id).and_then(|standing| standing.priority);
                        let priority = priority.unwrap_or(envelope.arrival.priority);
                        // What comes behind it came later, whatever its priority.
                        let due_ms = priority::delay_due_ms(
                            priorities,
                            reports.delay_notification_timeout,
                            self.of.unwrap_or(priority),
                            envelope.arrival.time_ms,
                        );
                        if due_ms > now_ms() {
                            return Some(due_ms);
                        }
                        // By its own priority, in whichever walk: that may have changed since the walk of the new one passed.
                        // Nobody is told twice.
                        let own_ms = priority::delay_due_ms(
                            priorities,
                            reports.delay_notification_timeout,
                            priority,
                            envelope.arrival.time_ms,
                        );
                        if own_ms <= now_ms() {
                            tell_of_delay(running, id, &envelope, &states, priority).await;
                        }
                    }
                    Err(ReadError::Io(error)) => {
                        tracing::debug!(queue_id = id.0, %error, "a queued message cannot be read");
                        return None;
                    }
                    // It has ended, or the spool has set it aside.
                    Err(ReadError::Unknown | ReadError::Corrupt) => {}
                }
                self.last = Some(id);
            }
        }
    }
}

async fn tell_of_delay(
    running: &Arc<Running>,
    id: MessageId,
    envelope: &Envelope,
    states: &[RecipientState],
    priority: Priority,
) {
    let ReversePath::Mailbox(to) = &envelope.reverse_path else { return };
    let (settings, now) = (running.revision().settings.clone(), now_ms());
    let until_ms = categorize::expiry_ms(running, envelope.arrival.time_ms, priority);
    let waits = |index: &u32| {
        let (recipient, state) = (envelope.recipients.get(*index as usize), states.get(*index as usize));
        let waits = state.is_some_and(|state| state.state == State::Pending && !state.delay_told);
        waits && recipient.is_some_and(|r| notify::due(notify::Kind::Delayed, &envelope.reverse_path, r.notify))
    };
    let waiting: Vec<u32> = (0u32..).take(states.len()).filter(waits).collect();
    // What is over now fails within moments, and the sender hears of that.
    if waiting.is_empty() || !settings.reports.side(to, &settings.domains).delay_enabled || now >= until_ms {
        return;
    }
    running.spool.settle(id, waiting.iter().map(|index| (*index, Outcome::DelayTold)).collect());
    let most = settings.reports.sender_reports_per_hour;
    if let Turn::Together(_) = running.duties.turn(Addressee::Waiting(to.clone()), most, now) {
        tracing::info!(queue_id = id.0, recipient = %to, "no report of a delay: too many within the hour");
        return;
    }
    let Ok(message) = fetch::message(&running.spool, id).await else { return };
    let replies: Vec<Reply> = waiting
        .iter()
        .map(|index| {
            let last = states[*index as usize].last_reply.as_deref().and_then(Reply::read_back);
            let reason = || categorize::last_error(running, &message, *index).as_deref().and_then(Reply::read_back);
            last.or_else(reason).filter(|reply| !reply.is_positive()).unwrap_or(DELAYED)
        })
        .collect();
    let told: Vec<FailedRecipient<'_>> = waiting
        .iter()
        .zip(&replies)
        .map(|(index, reply)| FailedRecipient {
            recipient: &envelope.recipients[*index as usize],
            remote_mta: None,
            reply,
            is_remote: false,
            last_attempt_ms: Some(states[*index as usize].last_attempt_ms).filter(|time_ms| *time_ms > 0),
            retry_until_ms: Some(until_ms),
        })
        .collect();
    tell::of_no_failure(running, &message, to, Kind::Delayed, &told).await;
}
