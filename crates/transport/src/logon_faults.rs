//! Send connectors that their smart hosts do not let in: nobody notices that otherwise before mail expires.
//!
//! Takes what became of logons, hands on those that failed since the last success. Decides nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A logon that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogonFault {
    /// The send connector.
    pub connector: Arc<str>,
    /// The smart host, as it was dialled.
    pub host: String,
    /// What it said, or what is wrong in our words.
    pub reply: String,
    /// Unix time in milliseconds since which it fails.
    pub since_ms: u64,
    /// How often it has failed since.
    pub attempts: u64,
}

/// Those that failed since the last success, one for each connector.
#[derive(Default)]
pub struct LogonFaults {
    /// Whether there is any: successes are many, and none of them is to wait for a lock.
    are_any: AtomicBool,
    faults: Mutex<BTreeMap<Arc<str>, LogonFault>>,
}

impl LogonFaults {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, LogonFault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A logon failed. Says whether that is news.
    pub fn failed(&self, connector: &Arc<str>, host: &str, reply: &str, now_ms: u64) -> bool {
        let mut faults = self.lock();
        let is_news = !faults.contains_key(connector);
        let fault = faults.entry(connector.clone()).or_insert_with(|| LogonFault {
            connector: connector.clone(),
            host: String::new(),
            reply: String::new(),
            since_ms: now_ms,
            attempts: 0,
        });
        host.clone_into(&mut fault.host);
        reply.clone_into(&mut fault.reply);
        fault.attempts += 1;
        self.are_any.store(true, Ordering::Release);
        is_news
    }

    /// A logon succeeded. Says whether it had failed before.
    pub fn succeeded(&self, connector: &str) -> bool {
        if !self.are_any.load(Ordering::Acquire) {
            return false;
        }
        let mut faults = self.lock();
        let had_failed = faults.remove(connector).is_some();
        self.are_any.store(!faults.is_empty(), Ordering::Release);
        had_failed
    }

    /// Forgets all of them: names and passwords may be others now.
    pub fn forget(&self) {
        let mut faults = self.lock();
        faults.clear();
        self.are_any.store(false, Ordering::Release);
    }

    /// Those that stand, by connector.
    pub fn all(&self) -> Vec<LogonFault> {
        self.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_stands_until_a_logon_succeeds() {
        let faults = LogonFaults::default();
        let out: Arc<str> = "Out".into();
        assert!(!faults.succeeded("Out"));
        assert!(faults.failed(&out, "smtp.example.net", "535 no", 1_000));
        assert!(!faults.failed(&out, "smtp2.example.net", "454 later", 2_000));
        let all = faults.all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].since_ms, all[0].attempts, &*all[0].host), (1_000, 2, "smtp2.example.net"));
        assert!(!faults.succeeded("Other"));
        assert!(faults.succeeded("Out") && !faults.succeeded("Out"));
        assert!(faults.all().is_empty());
    }
}
