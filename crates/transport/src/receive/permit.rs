//! What a peer may at this moment, where that depends on more than who it is.
//!
//! Takes what is known of the message and a question to `policy`; hands on the answer under the rights that are held now.
//! Looks up which quotas are used up, and counts the message for those that the answer rests on. Where no entry that
//! speaks of the peer has a condition or an end, the rights are those of the session and nothing is looked up.

use gatepost_mail::{Mailbox, ReversePath};
use gatepost_policy::Refusal;
use gatepost_policy::access_entry::Rights;
use gatepost_policy::permission::{self, Facts, HeaderSenders};
use gatepost_policy::permit::Peer;

use super::visit::{Varying, Visit};
use crate::clock::now_ms;
use crate::quotas::{Counted, Quota};

/// What is known of a message when something is asked about it.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub reverse_path: &'a ReversePath,
    pub header_senders: HeaderSenders<'a>,
    pub recipient: Option<&'a Mailbox>,
    /// What the message was counted for already.
    pub counted: &'a [Counted],
}

/// A yes.
pub struct Permitted<T> {
    /// What was answered.
    pub answer: T,
    /// The rights that it was given under.
    pub rights: Rights,
    /// What the message was counted for now.
    pub counted: Vec<Counted>,
}

impl Visit {
    /// Asks `decide`, and where it says yes, counts the message for the quotas that this rests on.
    pub fn permit<T>(
        &self,
        known: &Known<'_>,
        decide: impl Fn(Rights) -> Result<T, Refusal>,
    ) -> Result<Permitted<T>, Refusal> {
        let Some(varying) = &self.varying else {
            return Ok(Permitted { answer: decide(self.rights)?, rights: self.rights, counted: Vec::new() });
        };
        let mut exhausted = self.exhausted(varying, known.counted);
        loop {
            let facts = facts(known, &exhausted);
            let granted = permission::granted(&self.connector, &self.principal, &facts);
            let answer = permission::decide(granted, &decide)?;
            let needed = match varying.quotas.is_empty() {
                true => Rights::NONE,
                false => permission::needed(granted.rights, &decide),
            };
            let mut pays: Vec<usize> = needed
                .iter()
                .filter_map(|right| permission::rests_on(&self.connector, &self.principal, &facts, right))
                .filter(|entry| known.counted.iter().all(|counted| counted.entry() != *entry))
                .collect();
            pays.sort_unstable();
            pays.dedup();
            let quotas: Vec<Quota> =
                varying.quotas.iter().filter(|quota| pays.contains(&quota.entry)).copied().collect();
            match self.running.quotas.count(&quotas) {
                Ok(counted) => return Ok(Permitted { answer, rights: granted.rights, counted }),
                // Another session was faster. Each turn takes one entry out, so this ends.
                Err(entry) => exhausted.push(entry),
            }
        }
    }

    /// The rights held now, without a question; those of the session where they do not vary.
    pub fn rights_now(&self, known: &Known<'_>) -> Rights {
        let Some(varying) = &self.varying else { return self.rights };
        let exhausted = self.exhausted(varying, known.counted);
        permission::granted(&self.connector, &self.principal, &facts(known, &exhausted)).rights
    }

    /// Who asks, under these rights.
    pub fn peer(&self, rights: Rights) -> Peer<'_> {
        let settings = &self.revision.settings;
        Peer { connector: &self.connector, principal: &self.principal, rights, settings }
    }

    /// A quota that the message was counted for is not used up for that message.
    fn exhausted(&self, varying: &Varying, counted: &[Counted]) -> Vec<usize> {
        if varying.quotas.is_empty() {
            return Vec::new();
        }
        let mut exhausted = self.running.quotas.used_up(&varying.quotas);
        exhausted.retain(|entry| counted.iter().all(|counted| counted.entry() != *entry));
        exhausted
    }
}

fn facts<'a>(known: &Known<'a>, exhausted: &'a [usize]) -> Facts<'a> {
    Facts {
        now_ms: now_ms(),
        reverse_path: Some(known.reverse_path),
        header_senders: known.header_senders,
        recipient: known.recipient,
        exhausted,
    }
}
