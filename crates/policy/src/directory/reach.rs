//! What mail to a recipient leads to: groups are followed into their members, contacts to where they are, loops once.
//!
//! Takes the directory while it is built, hands on for every recipient how many others stand at the end of the way and
//! whether one of them is closed to senders outside. Nothing here recurses: groups may be nested as deep as they like.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use gatepost_mail::Mailbox;

use super::{Directory, KnownRecipient, RecipientKind};
use crate::accepted_domain::AcceptedDomains;

/// Recipients of one message at most, and so of one group with all its members.
pub const RECIPIENTS_MAX: usize = 100_000;

/// Where mail ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// In a mailbox here, with its recipient's number.
    Here(&'a Arc<KnownRecipient>, u32),
    /// At an address elsewhere.
    Elsewhere(&'a Mailbox),
}

/// What lies behind one recipient.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// Whether mail to it ends anywhere, and does not only go round.
    pub leads_somewhere: bool,
    /// The recipient on the way, itself first, that is closed to senders outside.
    pub closed_by: Option<u32>,
    /// For each member of a group or the address of a contact: the recipient that it belongs to, `None` for an address
    /// elsewhere.
    next: Box<[Option<u32>]>,
    /// Counted when somebody asks: in large directories the sum of all ways is long.
    end_count: OnceLock<usize>,
}

/// For all recipients of the directory, whose table of addresses is complete.
pub(super) fn of_all(directory: &Directory, domains: &AcceptedDomains) -> Vec<Reach> {
    let place = |address: &Mailbox| directory.resolve(address, domains).map(|found| found.place);
    let next = directory.recipients.iter().map(|recipient| next_of(recipient).iter().map(place).collect());
    let reach = |next| Reach { leads_somewhere: false, closed_by: None, next, end_count: OnceLock::new() };
    let mut all: Vec<Reach> = next.map(reach).collect();
    let steps = steps_back(&all);
    let is_closed = |place: u32| directory.recipients[place as usize].require_sender_authentication;
    for (reach, closed_by) in all.iter_mut().zip(nearest_ahead(&steps, directory.recipients.len(), is_closed)) {
        reach.closed_by = closed_by;
    }
    let ends = |place: u32| {
        let place = place as usize;
        directory.recipients[place].mailbox().is_some() || all[place].next.contains(&None)
    };
    let ends = nearest_ahead(&steps, all.len(), ends);
    for (reach, end) in all.iter_mut().zip(ends) {
        reach.leads_somewhere = end.is_some();
    }
    all
}

fn next_of(recipient: &KnownRecipient) -> &[Mailbox] {
    match &recipient.kind {
        RecipientKind::Mailbox(_) => &[],
        RecipientKind::Contact { external_address } => std::slice::from_ref(external_address),
        RecipientKind::Group { members } => members,
    }
}

/// Every step from a recipient to the next, as (to, from), sorted.
fn steps_back(all: &[Reach]) -> Vec<(u32, u32)> {
    let steps_from =
        |(from, reach): (u32, &Reach)| reach.next.iter().flatten().map(|to| (*to, from)).collect::<Vec<_>>();
    let mut steps: Vec<(u32, u32)> = (0..).zip(all).flat_map(steps_from).collect();
    steps.sort_unstable();
    steps
}

/// For each of `count` recipients: the nearest one ahead, itself first, that `is_sought`. Goes back from those; every step
/// is taken once.
fn nearest_ahead(steps: &[(u32, u32)], count: usize, is_sought: impl Fn(u32) -> bool) -> Vec<Option<u32>> {
    let sought = |place: u32| is_sought(place).then_some(place);
    let mut nearest: Vec<Option<u32>> = (0..count as u32).map(sought).collect();
    let mut found: Vec<u32> = nearest.iter().copied().flatten().collect();
    let mut at = 0;
    while let Some(to) = found.get(at).copied() {
        at += 1;
        let first = steps.partition_point(|(end, _)| *end < to);
        for (_, from) in steps[first..].iter().take_while(|(end, _)| *end == to) {
            if nearest[*from as usize].is_none() {
                nearest[*from as usize] = nearest[to as usize];
                found.push(*from);
            }
        }
    }
    nearest
}

impl Directory {
    pub(super) fn end_count_of(&self, start: u32) -> usize {
        *self.reach[start as usize].end_count.get_or_init(|| {
            let mut count = 0;
            self.each_end(start, |_, _| {
                count += 1;
                count <= RECIPIENTS_MAX
            });
            count
        })
    }

    /// Of each recipient, whether it leads to an address elsewhere that is sought.
    pub(super) fn lead_to(&self, is_sought: impl Fn(&Mailbox) -> bool) -> Vec<bool> {
        let names_one = |place: u32| {
            let place = place as usize;
            let next = next_of(&self.recipients[place]).iter().zip(&self.reach[place].next);
            next.into_iter().any(|(address, place)| place.is_none() && is_sought(address))
        };
        let nearest = nearest_ahead(&steps_back(&self.reach), self.recipients.len(), names_one);
        nearest.into_iter().map(|nearest| nearest.is_some()).collect()
    }

    /// No recipient can have more at its end than this: all mailboxes, and every address elsewhere that is written.
    pub(super) fn ends_in_all(&self) -> usize {
        let mailboxes = self.recipients.iter().filter(|recipient| recipient.mailbox().is_some()).count();
        let elsewhere = self.reach.iter().flat_map(|reach| &reach.next).filter(|next| next.is_none()).count();
        mailboxes + elsewhere
    }

    pub(super) fn ends_of(&self, start: u32) -> Vec<(End<'_>, bool)> {
        let mut ends = Vec::new();
        self.each_end(start, |end, through_group| {
            ends.push((end, through_group));
            true
        });
        ends
    }

    /// Goes every way from `start`, members in their order, and hands `take` each end once, with whether a group led there,
    /// until it says false.
    fn each_end<'d>(&'d self, start: u32, mut take: impl FnMut(End<'d>, bool) -> bool) {
        let mut entered: HashSet<u32> = HashSet::new();
        let mut elsewhere: HashSet<&Mailbox> = HashSet::new();
        // What is still to be entered, the next one last.
        let mut ahead: Vec<(Result<u32, &Mailbox>, bool)> = vec![(Ok(start), false)];
        while let Some((next, through_group)) = ahead.pop() {
            let end = match next {
                Ok(place) if !entered.insert(place) => continue,
                Err(address) if !elsewhere.insert(address) => continue,
                Ok(place) => {
                    let recipient = &self.recipients[place as usize];
                    if recipient.mailbox().is_none() {
                        let through_group = through_group || matches!(recipient.kind, RecipientKind::Group { .. });
                        let next = next_of(recipient).iter().zip(&self.reach[place as usize].next);
                        ahead.extend(next.rev().map(|(address, place)| (place.ok_or(address), through_group)));
                        continue;
                    }
                    End::Here(recipient, place)
                }
                Err(address) => End::Elsewhere(address),
            };
            if !take(end, through_group) {
                return;
            }
        }
    }
}
