//! The whole address space of a family, cut where another connector takes over.
//!
//! Takes ranges that may hold each other, hands on disjoint runs of addresses. Sweeps once over all beginnings and ends.

use std::collections::BTreeSet;

use super::claim::{Claim, Claims};

/// A range, whose it is, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    pub first: u128,
    pub last: u128,
    pub owner: usize,
    pub until_ms: Option<u64>,
}

/// Runs of addresses. Two arrays, so that the search touches only keys.
#[derive(Clone, Debug)]
pub(super) struct Segments<K> {
    firsts: Vec<K>,
    claims: Vec<Claim>,
}

impl<K: Copy + Ord + TryFrom<u128> + Into<u128>> Segments<K> {
    pub fn new(ranges: &[Owned], claims: &mut Claims) -> Segments<K> {
        // At each address where a range begins or has just ended, the smallest of those that are open owns what
        // follows. Ends come before beginnings at the same address; their order among themselves does not matter.
        let mut events: Vec<(u128, bool, usize)> = Vec::with_capacity(ranges.len() * 2);
        for (i, range) in ranges.iter().enumerate() {
            events.push((range.first, true, i));
            if let Some(after) = range.last.checked_add(1) {
                events.push((after, false, i));
            }
        }
        events.sort_unstable();
        let mut segments = Segments { firsts: Vec::new(), claims: Vec::new() };
        let mut open: BTreeSet<(u128, usize)> = BTreeSet::new();
        let mut events = events.into_iter().peekable();
        while let Some((address, begins, i)) = events.next() {
            let key = (ranges[i].last - ranges[i].first, i);
            if begins {
                open.insert(key);
            } else {
                open.remove(&key);
            }
            if events.peek().is_some_and(|(following, ..)| *following == address) {
                continue;
            }
            let claim = claims.of(open.iter().map(|(_, i)| (ranges[*i].owner, ranges[*i].until_ms)));
            // One behind the last IPv4 address is no IPv4 address, and nothing follows it.
            let Ok(first) = K::try_from(address) else { continue };
            if segments.claims.last().copied().unwrap_or(Claim::NOBODY) != claim {
                segments.firsts.push(first);
                segments.claims.push(claim);
            }
        }
        segments.firsts.shrink_to_fit();
        segments.claims.shrink_to_fit();
        segments
    }

    /// First and last address of each run that anybody claims.
    pub fn runs(&self, max: K) -> Vec<(u128, u128, Claim)> {
        let ends = self.firsts.iter().skip(1).map(|first| (*first).into() - 1).chain([max.into()]);
        let runs = self.firsts.iter().zip(ends).zip(&self.claims);
        runs.map(|((first, last), claim)| ((*first).into(), last, *claim))
            .filter(|(.., claim)| *claim != Claim::NOBODY)
            .collect()
    }

    pub fn find(&self, address: K) -> Claim {
        let after = self.firsts.partition_point(|first| *first <= address);
        after.checked_sub(1).map_or(Claim::NOBODY, |place| self.claims[place])
    }
}
