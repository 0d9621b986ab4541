//! Step 8 of 9 - deliver: when a failed attempt is repeated, and when we give up (fact sheet section 4.7).
//!
//! Takes a schedule, what happened and the time; hands on when to try again.

use std::time::Duration;

/// The retry settings of the `[transport]` table, by their Exchange names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// After a connection failure, how many times the short interval is waited first.
    pub queue_glitch_retry_count: u32,
    /// The short interval.
    pub queue_glitch_retry_interval: Duration,
    /// After those, how many times the middle interval is waited.
    pub transient_failure_retry_count: u32,
    /// The middle interval.
    pub transient_failure_retry_interval: Duration,
    /// From then on.
    pub outbound_connection_failure_retry_interval: Duration,
    /// After a 4xx to one message, where the connection as such works.
    pub message_retry_interval: Duration,
    /// Counted from the arrival of the message.
    pub message_expiration_timeout: Duration,
}

/// Exchange's defaults: 4 times 1 minute, 6 times 5 minutes, then every 10 minutes; 5 minutes per message; 2 days.
impl Default for Schedule {
    fn default() -> Schedule {
        Schedule {
            queue_glitch_retry_count: 4,
            queue_glitch_retry_interval: Duration::from_secs(60),
            transient_failure_retry_count: 6,
            transient_failure_retry_interval: Duration::from_secs(5 * 60),
            outbound_connection_failure_retry_interval: Duration::from_secs(10 * 60),
            message_retry_interval: Duration::from_secs(5 * 60),
            message_expiration_timeout: Duration::from_secs(2 * 24 * 60 * 60),
        }
    }
}

/// What a send connector says of its own; `None` is what `[transport]` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// See [`Schedule::queue_glitch_retry_count`].
    pub queue_glitch_retry_count: Option<u32>,
    /// See [`Schedule::queue_glitch_retry_interval`].
    pub queue_glitch_retry_interval: Option<Duration>,
    /// See [`Schedule::transient_failure_retry_count`].
    pub transient_failure_retry_count: Option<u32>,
    /// See [`Schedule::transient_failure_retry_interval`].
    pub transient_failure_retry_interval: Option<Duration>,
    /// See [`Schedule::outbound_connection_failure_retry_interval`].
    pub outbound_connection_failure_retry_interval: Option<Duration>,
    /// See [`Schedule::message_retry_interval`].
    pub message_retry_interval: Option<Duration>,
}

impl Overrides {
    /// The schedule with what these say put in. When a message expires is not theirs to say.
    pub fn over(&self, schedule: &Schedule) -> Schedule {
        Schedule {
            queue_glitch_retry_count: self.queue_glitch_retry_count.unwrap_or(schedule.queue_glitch_retry_count),
            queue_glitch_retry_interval: self
                .queue_glitch_retry_interval
                .unwrap_or(schedule.queue_glitch_retry_interval),
            transient_failure_retry_count: self
                .transient_failure_retry_count
                .unwrap_or(schedule.transient_failure_retry_count),
            transient_failure_retry_interval: self
                .transient_failure_retry_interval
                .unwrap_or(schedule.transient_failure_retry_interval),
            outbound_connection_failure_retry_interval: self
                .outbound_connection_failure_retry_interval
                .unwrap_or(schedule.outbound_connection_failure_retry_interval),
            message_retry_interval: self.message_retry_interval.unwrap_or(schedule.message_retry_interval),
            message_expiration_timeout: schedule.message_expiration_timeout,
        }
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The next hop could not be found or reached, or broke off: it concerns everything on its way there.
    ConnectionFailed,
    /// The next hop does not let us in: trying often would only have it lock our account.
    LogonRefused,
    /// The next hop answered 4xx to this message or recipient.
    Transient,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Try again at this Unix time in milliseconds; never later than the moment the message expires.
    At(u64),
    /// Give up: `550 4.4.7 QUEUE.Expired; message expired`.
    Expired,
}

/// When to try again after the `attempts`th attempt in a row (1 after the first) failed. `arrival_ms` is when the
/// message arrived, `now_ms` when the attempt ended, both Unix time in milliseconds. A clock that was set back counts
/// as no time at all.
pub fn next(schedule: &Schedule, failure: Failure, attempts: u32, arrival_ms: u64, now_ms: u64) -> Next {
    let expiry_ms = arrival_ms.saturating_add(milliseconds(schedule.message_expiration_timeout));
    if now_ms >= expiry_ms {
        return Next::Expired;
    }
    let interval = match failure {
        Failure::Transient => schedule.message_retry_interval,
        Failure::LogonRefused => schedule.outbound_connection_failure_retry_interval,
        Failure::ConnectionFailed if attempts <= schedule.queue_glitch_retry_count => {
            schedule.queue_glitch_retry_interval
        }
        Failure::ConnectionFailed
            if attempts - schedule.queue_glitch_retry_count <= schedule.transient_failure_retry_count =>
        {
            schedule.transient_failure_retry_interval
        }
        Failure::ConnectionFailed => schedule.outbound_connection_failure_retry_interval,
    };
    Next::At(now_ms.saturating_add(milliseconds(interval)).min(expiry_ms))
}

/// The longest that anything ever waits for its next attempt.
pub fn wait_max(schedule: &Schedule) -> Duration {
    let connection = schedule.queue_glitch_retry_interval.max(schedule.transient_failure_retry_interval);
    connection.max(schedule.outbound_connection_failure_retry_interval).max(schedule.message_retry_interval)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
