//! Ctrl-C: whether it was pressed, and a sleep that it ends.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

/// What a shell ends with that somebody has ended: 128 and the signal's number, as every shell does.
pub const EXIT_CODE: i32 = 130;

/// Whether Ctrl-C was pressed. Scripts ask it often; who does not answer the first press is ended by the second.
#[derive(Debug, Default)]
pub struct Cancel {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Cancel {
    /// Takes over what Ctrl-C does to this process.
    ///
    /// # Errors
    /// When the system refuses a thread or the signal.
    pub fn install() -> io::Result<Arc<Cancel>> {
        let cancel = Arc::new(Cancel::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut interrupts = {
            // A signal's stream belongs to the runtime that it is made in.
            let _guard = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        let noted = cancel.clone();
        std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || {
            runtime.block_on(async move {
                while interrupts.recv().await.is_some() {
                    if noted.set() {
                        std::process::exit(EXIT_CODE);
                    }
                }
            });
        })?;
        Ok(cancel)
    }

    /// Notes a press; whether one was noted before and nobody has forgotten it.
    pub fn set(&self) -> bool {
        let mut is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.notify_all();
        std::mem::replace(&mut is_set, true)
    }

    /// Forgets it: what runs next has not been ended yet.
    pub fn forget(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Whether it was pressed.
    pub fn is_set(&self) -> bool {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, or until it is pressed.
    pub fn sleep(&self, time: Duration) {
        let Some(end) = Instant::now().checked_add(time) else { return };
        let mut is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_set {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            is_set = self.changed.wait_timeout(is_set, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
