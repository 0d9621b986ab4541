//! What somebody has to be told, while it lasts: held for `status`, numbers, mail and webhooks.
//!
//! Takes what [`crate::alarms`] finds, hands it to whoever asks or listens. Decides nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatepost_policy::alarm::Alarm;
use tokio::sync::broadcast;

use crate::clock::now_ms;

/// So many changes wait for whoever listens; who is slower misses some.
pub const CHANGES_MAX: usize = 256;

/// An alarm that was raised or cleared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub alarm: Alarm,
    /// Whether it was raised; otherwise it was cleared.
    pub is_raised: bool,
    /// When, Unix time in milliseconds.
    pub time_ms: u64,
}

/// What is raised.
pub struct Alarms {
    known: Mutex<Known>,
    changes: broadcast::Sender<Change>,
}

/// What is known of alarms.
#[derive(Default)]
pub(crate) struct Known {
    /// What is raised, the worst first.
    pub raised: Vec<Alarm>,
    /// Changes that no mail has told of yet.
    pub untold: Vec<Change>,
    /// When the last mail went out.
    pub last_mail_ms: Option<u64>,
    /// Since when the settings file cannot be put in force, and why.
    pub reload_failed: Option<(u64, Box<str>)>,
    /// Records that had been left out at the last look, by room, and when that was more than before.
    pub dropped: BTreeMap<&'static str, (u64, u64)>,
}

impl Default for Alarms {
    fn default() -> Self {
        Alarms { known: Mutex::default(), changes: broadcast::Sender::new(CHANGES_MAX) }
    }
}

impl Alarms {
    /// What is raised now, the worst first.
    pub fn raised(&self) -> Vec<Alarm> {
        self.known().raised.clone()
    }

    /// Hears of every change from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// The settings file could not be put in force, for this reason.
    pub fn reload_failed(&self, reason: &str) {
        let reason = reason.lines().next().unwrap_or_default().into();
        let mut known = self.known();
        let since_ms = known.reload_failed.as_ref().map_or_else(now_ms, |(since_ms, _)| *since_ms);
        known.reload_failed = Some((since_ms, reason));
    }

    /// The settings file is in force.
    pub fn reloaded(&self) {
        self.known().reload_failed = None;
    }

    /// Tells whoever listens.
    pub(crate) fn send(&self, change: Change) {
        // Nobody may be listening.
        let _ = self.changes.send(change);
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
