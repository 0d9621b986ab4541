//! What mail to a recipient leads to: groups are followed into their members, contacts to where they are, loops once.
//!
//! Takes the directory while it is built, hands on for every recipient how many others stand at the end of the way and
//! whether one of them is closed to senders outside. Nothing here recurses: groups may be nested as deep as they like.

use std::collections::HashSet;
use std::sync::Arc;

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
    /// Recipients at the end of the way, each counted once; not counted beyond one more than [`RECIPIENTS_MAX`].
    pub end_count: usize,
    /// The recipient on the way, itself first, that is closed to senders outside.
    pub closed_by: Option<u32>,
    /// For each member of a group or the address of a contact: the recipient that it belongs to, `None` for an address
    /// elsewhere.
    next: Box<[Option<u32>]>,
}

/// For all recipients of the directory, whose table of addresses is complete.
pub(super) fn of_all(directory: &Directory, domains: &AcceptedDomains) -> Vec<Reach> {
    let place = |address: &Mailbox| directory.resolve(address, domains).map(|found| found.place);
    let next = directory.recipients.iter().map(|recipient| next_of(recipient).iter().map(place).collect());
    let mut all: Vec<Reach> = next.map(|next| Reach { end_count: 0, closed_by: None, next }).collect();
    close(directory, &mut all);
    // A recipient was seen on the way from the one whose number stands here.
    let mut seen_from = vec![u32::MAX; all.len()];
    for place in 0..all.len() {
        all[place].end_count = count_ends(directory, &all, place as u32, &mut seen_from);
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

/// Goes back from every recipient that is closed to all that lead to it. Every step is taken once.
fn close(directory: &Directory, all: &mut [Reach]) {
    let steps =
        |(from, reach): (usize, &Reach)| reach.next.iter().flatten().map(|to| (*to, from as u32)).collect::<Vec<_>>();
    let mut steps: Vec<(u32, u32)> = all.iter().enumerate().flat_map(steps).collect();
    steps.sort_unstable();
    let mut closed: Vec<u32> = Vec::new();
    for (place, recipient) in directory.recipients.iter().enumerate() {
        if recipient.require_sender_authentication {
            all[place].closed_by = Some(place as u32);
            closed.push(place as u32);
        }
    }
    // Who is found last is gone back from last, so the nearest is found first.
    let mut at = 0;
    while let Some(to) = closed.get(at).copied() {
        at += 1;
        let first = steps.partition_point(|(end, _)| *end < to);
        for (_, from) in steps[first..].iter().take_while(|(end, _)| *end == to) {
            let from_there = all[*from as usize].closed_by;
            if from_there.is_none() {
                // Not the group in between is named, but the one that is closed by its own settings.
                all[*from as usize].closed_by = all[to as usize].closed_by;
                closed.push(*from);
            }
        }
    }
}

fn count_ends(directory: &Directory, all: &[Reach], start: u32, seen_from: &mut [u32]) -> usize {
    let mut count = 0;
    let mut elsewhere: HashSet<&Mailbox> = HashSet::new();
    let is_new = |place: u32| std::mem::replace(&mut seen_from[place as usize], start) != start;
    walk(directory, all, start, is_new, |end, _| {
        count += usize::from(match end {
            End::Here(..) => true,
            End::Elsewhere(address) => elsewhere.insert(address),
        });
        count <= RECIPIENTS_MAX
    });
    count
}

impl Directory {
    pub(super) fn ends_of(&self, start: u32) -> Vec<(End<'_>, bool)> {
        let mut ends = Vec::with_capacity(self.reach[start as usize].end_count);
        let mut elsewhere: HashSet<&Mailbox> = HashSet::new();
        let mut seen: HashSet<u32> = HashSet::new();
        walk(
            self,
            &self.reach,
            start,
            |place| seen.insert(place),
            |end, through_group| {
                let is_new = match end {
                    End::Here(..) => true,
                    End::Elsewhere(address) => elsewhere.insert(address),
                };
                if is_new {
                    ends.push((end, through_group));
                }
                true
            },
        );
        ends
    }
}

/// Goes every way from `start`, members in their order, and hands `end` each end with whether a group led there, until it
/// says false. Recipients that `is_new` says no to are not entered again.
fn walk<'a>(
    directory: &'a Directory,
    all: &[Reach],
    start: u32,
    mut is_new: impl FnMut(u32) -> bool,
    mut end: impl FnMut(End<'a>, bool) -> bool,
) {
    // What is still to be entered, the next one last.
    let mut ahead: Vec<(Result<u32, &'a Mailbox>, bool)> = vec![(Ok(start), false)];
    while let Some((next, through_group)) = ahead.pop() {
        let place = match next {
            Ok(place) if is_new(place) => place,
            Ok(_) => continue,
            Err(address) if end(End::Elsewhere(address), through_group) => continue,
            Err(_) => return,
        };
        let recipient = &directory.recipients[place as usize];
        match &recipient.kind {
            RecipientKind::Mailbox(_) => {
                if !end(End::Here(recipient, place), through_group) {
                    return;
                }
            }
            RecipientKind::Contact { .. } | RecipientKind::Group { .. } => {
                let through_group = through_group || matches!(recipient.kind, RecipientKind::Group { .. });
                let next = next_of(recipient).iter().zip(&all[place as usize].next);
                ahead.extend(next.rev().map(|(address, place)| (place.ok_or(address), through_group)));
            }
        }
    }
}
