//! How many connections each send connector has open, and when it has sent its last messages, so that its own limits can be
//! kept (`max_connections`, `messages_per_minute`).
//!
//! Takes connectors and the time, hands on places and verdicts of `policy::limits::send_rate`. Decides nothing, and keeps
//! nothing of connectors without a limit.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gatepost_policy::limits;
use gatepost_policy::send_connector::SendConnector;

/// What connectors with a limit are doing.
#[derive(Default)]
pub struct SendLimits {
    connectors: Mutex<HashMap<Arc<str>, Doing>>,
}

#[derive(Default)]
struct Doing {
    connections: u32,
    /// When the last messages went out, oldest first; no more of them than the limit.
    sent: VecDeque<Instant>,
}

/// A place among the connections of a connector; given back when dropped.
pub struct Place {
    limits: Arc<SendLimits>,
    /// `None` where the connector has no limit.
    connector: Option<Arc<str>>,
}

impl SendLimits {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Doing>> {
        self.connectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for one more connection; `None` when all are taken. Asking and taking are one step.
    pub fn connect(self: &Arc<Self>, connector: &SendConnector) -> Option<Place> {
        let Some(most) = connector.max_connections else {
            return Some(Place { limits: self.clone(), connector: None });
        };
        let mut connectors = self.lock();
        let doing = connectors.entry(connector.name.clone()).or_default();
        if doing.connections >= most {
            return None;
        }
        doing.connections += 1;
        Some(Place { limits: self.clone(), connector: Some(connector.name.clone()) })
    }

    /// Counts one message that is about to be sent.
    ///
    /// # Errors
    /// When it may be; it is not counted then.
    pub fn send(&self, connector: &SendConnector, now: Instant) -> Result<(), Instant> {
        let Some(limit) = connector.messages_per_minute else { return Ok(()) };
        let limit = limit as usize;
        let mut connectors = self.lock();
        let sent = &mut connectors.entry(connector.name.clone()).or_default().sent;
        // The limit may have been lowered meanwhile.
        while sent.len() > limit {
            sent.pop_front();
        }
        limits::send_rate(sent.front().copied().filter(|_| sent.len() == limit), now)?;
        if sent.len() == limit {
            sent.pop_front();
        }
        sent.push_back(now);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(connector) = self.connector.take() else { return };
        if let Some(doing) = self.limits.lock().get_mut(&connector) {
            doing.connections = doing.connections.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gatepost_policy::settings::{Defaults, parse};

    use super::*;

    fn connector(limits: &str) -> Arc<SendConnector> {
        let text = format!("[[send_connector]]\nname = \"Out\"\naddress_spaces = [\"*\"]\n{limits}\n");
        let defaults = Defaults { host_name: "gate.test".to_owned(), data_dir: "data".into() };
        parse(&text, &defaults).expect("a sound document").send_connectors[0].clone()
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let limits = Arc::new(SendLimits::default());
        let two = connector("max_connections = 2");
        let first = limits.connect(&two).expect("the first");
        let _second = limits.connect(&two).expect("the second");
        assert!(limits.connect(&two).is_none());
        drop(first);
        assert!(limits.connect(&two).is_some());
        let unlimited = connector("");
        let places: Vec<_> = (0..100).map(|_| limits.connect(&unlimited)).collect();
        assert!(places.iter().all(Option::is_some));
    }

    #[test]
    fn messages_beyond_the_limit_wait_until_the_first_of_them_is_a_minute_old() {
        let limits = SendLimits::default();
        let (start, three) = (Instant::now(), connector("messages_per_minute = 3"));
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in [0, 10, 20] {
            assert_eq!(limits.send(&three, at(seconds)), Ok(()));
        }
        assert_eq!(limits.send(&three, at(21)), Err(at(60)));
        assert_eq!(limits.send(&three, at(60)), Ok(()));
        assert_eq!(limits.send(&three, at(61)), Err(at(70)));
        // Lowered while it runs: the newest count.
        let one = connector("messages_per_minute = 1");
        assert_eq!(limits.send(&one, at(62)), Err(at(120)));
        assert_eq!(limits.send(&connector(""), at(62)), Ok(()));
    }
}
