//! What has been told to whom lately, and what still has to be: counts, and failures that wait to be told together.
//!
//! Holds, and hands out; writes nothing. What is owed is in memory only: its recipients are pending in the spool until it
//! has been told.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatepost_mail::report::{CASES_MAX, Undelivered};
use gatepost_mail::{Mailbox, MessageId};
use gatepost_policy::notify::{self, Ration, Turn};
use gatepost_spool::Outcome;
use tokio::sync::Notify as Wakener;

/// Addressees whose reports are counted each by itself; with more of them at once, the others' are counted together.
const ADDRESSEES_MAX: usize = 10_000;
/// Recipients whose report is owed; with more, all summaries are written at once.
const OWED_RECIPIENTS_MAX: usize = 20_000;

/// One who is told, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addressee {
    /// A sender, of failures.
    Sender(Mailbox),
    /// A sender, of delays.
    Waiting(Mailbox),
    /// Who answers for a host, of failures that no sender can be told of.
    Owner(Mailbox),
}

impl Addressee {
    /// Its place among the rations that are shared.
    fn kind(&self) -> usize {
        match self {
            Addressee::Sender(_) => 0,
            Addressee::Waiting(_) => 1,
            Addressee::Owner(_) => 2,
        }
    }
}

/// What has been told to whom lately, and what still has to be.
#[derive(Default)]
pub struct Duties {
    state: Mutex<State>,
    changed: Wakener,
}

#[derive(Default)]
struct State {
    rations: HashMap<Addressee, Ration>,
    /// What all those share for whom there is no room: senders, those who wait, owners.
    shared_rations: [Ration; 3],
    /// In an order of its own, so that a simulation takes those that are due together in the same order each time.
    owed: BTreeMap<Addressee, Owed>,
    owed_recipients: usize,
}

/// What one summary will tell.
pub struct Owed {
    /// When it goes out, Unix time in milliseconds.
    pub due_ms: u64,
    /// What it tells of.
    pub cases: Vec<Undelivered>,
    /// For each case, what is settled once it is told.
    pub settles: Vec<Settle>,
}

/// A message, and the outcomes of some of its recipients.
pub type Settle = (MessageId, Vec<(u32, Outcome)>);

impl Duties {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next one goes to this addressee by itself.
    pub fn turn(&self, addressee: Addressee, most: u32, now_ms: u64) -> Turn {
        let mut state = self.lock();
        if !state.rations.contains_key(&addressee) && state.rations.len() >= ADDRESSEES_MAX {
            state.rations.retain(|_, ration| !ration.is_over(now_ms));
            if state.rations.len() >= ADDRESSEES_MAX {
                return state.shared_rations[addressee.kind()].take(most, now_ms);
            }
        }
        state.rations.entry(addressee).or_default().take(most, now_ms)
    }

    /// Puts one more to what is owed. Says whether there was room for it: there is, unless nothing can be written for long.
    pub fn owe(&self, addressee: Addressee, due_ms: u64, case: Undelivered, settle: Settle) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        if state.owed_recipients >= 2 * OWED_RECIPIENTS_MAX {
            return false;
        }
        state.owed_recipients += settle.1.len();
        let owed =
            state.owed.entry(addressee).or_insert_with(|| Owed { due_ms, cases: Vec::new(), settles: Vec::new() });
        owed.cases.push(case);
        owed.settles.push(settle);
        if owed.cases.len() >= CASES_MAX {
            owed.due_ms = 0;
        }
        if state.owed_recipients >= OWED_RECIPIENTS_MAX {
            state.owed.values_mut().for_each(|owed| owed.due_ms = 0);
        }
        self.changed.notify_one();
        true
    }

    /// Takes what is due out. `Err` says when the next one is, if there is one.
    pub fn take_due(&self, now_ms: u64) -> Result<(Addressee, Owed), Option<u64>> {
        let mut state = self.lock();
        let first = state.owed.iter().min_by_key(|(_, owed)| owed.due_ms);
        let (addressee, due_ms) = first.map(|(addressee, owed)| (addressee.clone(), owed.due_ms)).ok_or(None)?;
        // A clock that was set back keeps nobody waiting for longer than the hour.
        if due_ms > now_ms && due_ms - now_ms <= notify::RATION_MS {
            return Err(Some(due_ms));
        }
        let mut owed = state.owed.remove(&addressee).ok_or(None)?;
        if owed.cases.len() > CASES_MAX {
            let rest =
                Owed { due_ms: 0, cases: owed.cases.split_off(CASES_MAX), settles: owed.settles.split_off(CASES_MAX) };
            state.owed.insert(addressee.clone(), rest);
        }
        state.owed_recipients -= owed.recipients();
        Ok((addressee, owed))
    }

    /// Puts back what could not be written.
    pub fn put_back(&self, addressee: Addressee, owed: Owed) {
        let mut state = self.lock();
        state.owed_recipients += owed.recipients();
        match state.owed.get_mut(&addressee) {
            None => drop(state.owed.insert(addressee, owed)),
            Some(later) => {
                // It failed a moment ago.
                later.due_ms = later.due_ms.max(owed.due_ms);
                later.cases.extend(owed.cases);
                later.settles.extend(owed.settles);
            }
        }
    }

    /// Recipients whose report is owed, for whoever looks.
    pub fn owed_recipients(&self) -> usize {
        self.lock().owed_recipients
    }

    /// Waits until more is owed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Owed {
    fn recipients(&self) -> usize {
        self.settles.iter().map(|(_, outcomes)| outcomes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::mailbox;

    #[test]
    fn beyond_ten_thousand_addressees_the_others_share_one_ration() {
        let duties = Duties::default();
        let turn = |name: &str, now_ms| duties.turn(Addressee::Sender(mailbox(name)), 2, now_ms);
        for number in 0..ADDRESSEES_MAX {
            assert_eq!(turn(&format!("{number}@x.example"), 1_000), Turn::Now);
        }
        assert_eq!([turn("a@y.example", 1_000), turn("b@y.example", 1_000)], [Turn::Now; 2]);
        let later = Turn::Together(1_000 + notify::RATION_MS);
        assert_eq!([turn("a@y.example", 1_001), turn("c@y.example", 1_001)], [later; 2]);
        // Whoever is counted by itself goes on, and other kinds have rations of their own.
        assert_eq!(turn("7@x.example", 1_001), Turn::Now);
        assert_eq!(duties.turn(Addressee::Owner(mailbox("a@y.example")), 2, 1_001), Turn::Now);
        assert_eq!(turn("d@y.example", 1_000 + notify::RATION_MS), Turn::Now, "their hours are over");
    }
}
