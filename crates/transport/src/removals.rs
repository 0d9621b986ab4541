//! Messages that an administrator wants removed while they are being delivered: they go should the attempt fail (Exchange:
//! PendingRemove). Holds, and hands out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepost_mail::MessageId;

/// Which messages, and how.
#[derive(Debug, Default)]
pub struct Removals(Mutex<HashMap<MessageId, Removal>>);

/// A removal that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Whether the sender is told.
    pub with_report: bool,
    /// Who wants it, as `uid 0`.
    pub who: Arc<str>,
}

impl Removals {
    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, Removal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This message is to be removed. Hands on how it was to be before.
    pub fn want(&self, id: MessageId, removal: Removal) -> Option<Removal> {
        self.lock().insert(id, removal)
    }

    /// It is to be removed as before, or not at all.
    pub fn want_as_before(&self, id: MessageId, before: Option<Removal>) {
        let mut removals = self.lock();
        match before {
            Some(before) => removals.insert(id, before),
            None => removals.remove(&id),
        };
    }

    /// Whether this message is to be removed.
    pub fn has(&self, id: MessageId) -> bool {
        let removals = self.lock();
        !removals.is_empty() && removals.contains_key(&id)
    }

    /// Its attempt is over. How it is to be removed now, if it is.
    pub fn take(&self, id: MessageId) -> Option<Removal> {
        let mut removals = self.lock();
        if removals.is_empty() { None } else { removals.remove(&id) }
    }
}
