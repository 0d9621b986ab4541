//! Messages that an administrator wants removed while they are being delivered: they go should the attempt fail (Exchange:
//! PendingRemove). Holds, and hands out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatepost_mail::MessageId;

/// Which messages, and whether their senders are told.
#[derive(Debug, Default)]
pub struct Removals(Mutex<HashMap<MessageId, bool>>);

impl Removals {
    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This message is to be removed.
    pub fn want(&self, id: MessageId, with_report: bool) {
        self.lock().insert(id, with_report);
    }

    /// Whether this message is to be removed.
    pub fn has(&self, id: MessageId) -> bool {
        let removals = self.lock();
        !removals.is_empty() && removals.contains_key(&id)
    }

    /// Its attempt is over. Whether it is to be removed now, and whether its sender is told.
    pub fn take(&self, id: MessageId) -> Option<bool> {
        let mut removals = self.lock();
        if removals.is_empty() { None } else { removals.remove(&id) }
    }
}
