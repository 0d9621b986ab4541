//! The thread that writes decisions: in batches, about twenty times a second.
//!
//! Takes what waits in the buffers, gives it to the rooms, and tells who waits for that. What the disk does not take is counted and
//! told, not more often than once in a while.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{BATCH_BYTES, Limits, MESSAGES, REFUSALS, RoomUsage, Shared, State, lock};
use crate::clock::now_ms;
use crate::frame::Frames;
use crate::room::Room;

/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// How often the writer looks for counted refusals whose minute is over, while there are any.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// How long the log stays silent about a disk that takes no records.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// The thread that owns the files.
pub(super) struct Writer {
    shared: Arc<Shared>,
    messages: Room,
    complained: Option<Instant>,
    looked_around: Instant,
}

impl Writer {
    /// The thread's own half of a store.
    pub fn new(shared: Arc<Shared>, messages: Room) -> Writer {
        Writer { shared, messages, complained: None, looked_around: Instant::now() }
    }

    /// Until the store ends.
    pub fn run(mut self) {
        let mut batch: [Vec<u8>; 2] = Default::default();
        self.take_over();
        loop {
            let (limits, flush, ends) = self.gather(&mut batch);
            self.messages.set_bytes_max(limits.messages_bytes_max);
            self.write_messages(&batch[MESSAGES]);
            self.write_refusals(&batch[REFUSALS], limits.refusals_bytes_max);
            batch.iter_mut().for_each(Vec::clear);
            let rewriting = lock(&self.shared.state).rewriting.clone();
            let rewritten = rewriting.map(|change| self.messages.rewrite(&*change));
            self.tell_usage(limits);
            {
                let mut state = lock(&self.shared.state);
                state.flushes.1 = flush;
                if rewritten.is_some() {
                    (state.rewriting, state.rewritten) = (None, rewritten);
                }
            }
            self.shared.done.notify_all();
            // Who searches does not wait for that.
            if let Err(error) = self.shared.refusals.tend(limits.refusals_bytes_max, now_ms()) {
                let folder = self.shared.refusals.folder().to_owned();
                self.complain(
                    &folder,
                    &error,
                    "records of refusals cannot be packed, or old ones not removed: tried again",
                );
            }
            if ends {
                return;
            }
            // Where something waits all the time, gathering never gets to it.
            if self.looked_around.elapsed() >= LOOK_AROUND {
                self.look_around();
            }
        }
    }

    /// What a former version left in the room of refusals.
    fn take_over(&self) {
        let bytes_max = lock(&self.shared.state).limits.refusals_bytes_max;
        match self.shared.refusals.take_over(bytes_max, now_ms()) {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, "records of refusals have an index now"),
            Err(error) => {
                let folder = self.shared.refusals.folder().display();
                tracing::warn!(%folder, %error, "records of refusals of a former version cannot be read now");
            }
        }
    }

    /// Waits until something is to be done, lets more of it gather, and takes it.
    fn gather(&mut self, batch: &mut [Vec<u8>; 2]) -> (Limits, u64, bool) {
        let in_a_hurry = |state: &State| {
            state.ends
                || state.flushes.0 > state.flushes.1
                || state.waiting.iter().any(|waiting| waiting.len() >= BATCH_BYTES)
        };
        let mut state = lock(&self.shared.state);
        while state.waiting.iter().all(Vec::is_empty) && !in_a_hurry(&state) {
            if !state.counts {
                state = self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state = self.shared.work.wait_timeout(state, LOOK_AROUND).unwrap_or_else(PoisonError::into_inner).0;
            if self.looked_around.elapsed() >= LOOK_AROUND {
                drop(state);
                self.look_around();
                state = lock(&self.shared.state);
            }
        }
        let (mut state, _) = self
            .shared
            .work
            .wait_timeout_while(state, GATHER, |state| !in_a_hurry(state))
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.waiting, batch);
        (state.limits, state.flushes.0, state.ends)
    }

    /// Records what was counted in minutes that are over.
    fn look_around(&mut self) {
        self.looked_around = Instant::now();
        // Whoever counts from here on says so again.
        lock(&self.shared.state).counts = false;
        if !self.shared.take_counted(|flood, due| flood.take_ended(Instant::now(), due)) {
            lock(&self.shared.state).counts = true;
        }
    }

    fn write_messages(&mut self, frames: &[u8]) {
        let (written, failed) = match self.messages.append(frames, now_ms()) {
            Ok(written) => (written, Ok(())),
            Err((written, error)) => (written, Err(error)),
        };
        self.tell_written(MESSAGES, frames, written, failed);
    }

    fn write_refusals(&mut self, frames: &[u8], bytes_max: u64) {
        let salt = self.shared.salts[REFUSALS];
        let (written, failed) = self.shared.refusals.append(Frames::of(frames, salt), bytes_max, now_ms());
        self.tell_written(REFUSALS, frames, written, failed);
    }

    fn tell_written(&mut self, place: usize, frames: &[u8], written: u64, failed: io::Result<()>) {
        lock(&self.shared.usage)[place].written += written;
        let Err(error) = failed else { return };
        let lost = Frames::of(frames, self.shared.salts[place]).count() as u64 - written;
        self.shared.dropped[place].fetch_add(lost, Ordering::Relaxed);
        let folder = match place {
            MESSAGES => self.shared.messages.clone(),
            _ => self.shared.refusals.folder().to_owned(),
        };
        self.complain(&folder, &error, &format!("{lost} decision records are left out: the disk does not take them"));
    }

    /// Not more often than once in a while.
    fn complain(&mut self, folder: &Path, error: &io::Error, what: &str) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            self.complained = Some(Instant::now());
            tracing::warn!(folder = %folder.display(), %error, "{what}");
        }
    }

    /// For whoever asks what the room of messages holds.
    pub fn tell_usage(&mut self, limits: Limits) {
        let mut usage = lock(&self.shared.usage);
        let (bytes, oldest_ms) = (self.messages.bytes(), self.messages.oldest_ms());
        usage[MESSAGES] = RoomUsage { bytes, bytes_max: limits.messages_bytes_max, oldest_ms, ..usage[MESSAGES] };
        usage[REFUSALS].bytes_max = limits.refusals_bytes_max;
    }
}
