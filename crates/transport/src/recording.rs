//! Messages between their commit and their note: whoever says how far the spool's log is recorded has to wait for them.
//!
//! Counts, and hands out numbers; does nothing by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use gatepost_tracking::DecisionId;
use tokio::sync::Notify;

/// Who is on the way, and whether there is anything new.
#[derive(Debug)]
pub struct Recording {
    /// Messages between their commit and their note, by the parity of the period in which they began.
    on_the_way: [AtomicU64; 2],
    period: AtomicUsize,
    /// Somebody went away without noting a message that may have been committed.
    is_missed: AtomicBool,
    /// Something was noted.
    news: Notify,
    /// Numbers connections.
    connections: AtomicU64,
}

/// A message between its commit and its note. Dropped without [`HandOver::noted`] it makes the log be read again.
#[derive(Debug)]
pub struct HandOver {
    recording: Arc<Recording>,
    period: usize,
    is_noted: bool,
}

/// The id of a decision; `None` when the system gives no randomness.
pub fn decision_id() -> Option<DecisionId> {
    // It stands in the spool's log by as many bytes as it needs: a seed has to repeat that.
    #[cfg(test)]
    if let Some(world) = crate::simulated::world() {
        return DecisionId::from_number(1 << 47 | world.next_number());
    }
    DecisionId::random()
}

impl Recording {
    /// `now_ms`: numbers of connections go on from the clock's, so that they differ from those of former runs.
    pub fn new(now_ms: u64) -> Recording {
        Recording {
            on_the_way: Default::default(),
            period: AtomicUsize::new(0),
            is_missed: AtomicBool::new(false),
            news: Notify::new(),
            connections: AtomicU64::new(now_ms << 20),
        }
    }

    /// A number that no other connection has.
    pub fn connection_id(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Something was noted that stands in the spool's log, too.
    pub fn tell_news(&self) {
        self.news.notify_one();
    }

    /// Waits for that.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Begins another period. Hands on the one that has ended; that one has to be over before the next ends.
    pub fn end_period(&self) -> usize {
        self.period.fetch_add(1, Ordering::SeqCst) & 1
    }

    /// Whether nobody who began in a period that has ended is on the way any more.
    pub fn is_over(&self, period: usize) -> bool {
        self.on_the_way[period].load(Ordering::SeqCst) == 0
    }

    /// Somebody has to read the log again.
    pub fn miss(&self) {
        self.is_missed.store(true, Ordering::SeqCst);
    }

    /// Whether the log has to be read again; who asks sees to it.
    pub fn take_missed(&self) -> bool {
        self.is_missed.swap(false, Ordering::SeqCst)
    }
}

impl HandOver {
    /// From before a message is committed until it is noted.
    pub fn begin(recording: &Arc<Recording>) -> HandOver {
        let period = recording.period.load(Ordering::SeqCst) & 1;
        recording.on_the_way[period].fetch_add(1, Ordering::SeqCst);
        HandOver { recording: recording.clone(), period, is_noted: false }
    }

    /// The message was noted, or was not committed.
    pub fn noted(mut self) {
        self.is_noted = true;
        self.recording.tell_news();
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        if !self.is_noted {
            self.recording.miss();
        }
        self.recording.on_the_way[self.period].fetch_sub(1, Ordering::SeqCst);
    }
}
