//! The whole address space of a family, cut where another connector takes over.
//!
//! Takes ranges that may hold each other, hands on disjoint runs of addresses. Sweeps once over all beginnings and ends.

use std::array;
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

/// Runs of addresses, each with who claims it. In blocks, so that a look-up in a large table searches a small list first,
/// and then touches one place of the large one.
#[derive(Clone, Debug)]
pub(super) struct Segments<K> {
    /// The lowest address of each block.
    tops: Vec<K>,
    blocks: Vec<Block<K>>,
    /// How many runs there are; the last block is filled up with copies of the last one.
    len: usize,
}

const BLOCK_LEN: usize = 16;

/// Runs that follow each other: the lowest address of each, and its claim. Cache lines are not shared.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Block<K> {
    firsts: [K; BLOCK_LEN],
    claims: [Claim; BLOCK_LEN],
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
        let mut runs: Vec<(K, Claim)> = Vec::new();
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
            if runs.last().map_or(Claim::NOBODY, |(_, claim)| *claim) != claim {
                runs.push((first, claim));
            }
        }
        Segments::of(&runs)
    }

    fn of(runs: &[(K, Claim)]) -> Segments<K> {
        let blocks: Vec<Block<K>> = runs
            .chunks(BLOCK_LEN)
            .map(|runs| {
                let at = |place: usize| runs[place.min(runs.len() - 1)];
                Block { firsts: array::from_fn(|place| at(place).0), claims: array::from_fn(|place| at(place).1) }
            })
            .collect();
        Segments { tops: blocks.iter().map(|block| block.firsts[0]).collect(), blocks, len: runs.len() }
    }

    /// First and last address of each run that anybody claims.
    pub fn runs(&self, max: K) -> Vec<(u128, u128, Claim)> {
        let firsts = self.blocks.iter().flat_map(|block| block.firsts).take(self.len).map(Into::into);
        let claims = self.blocks.iter().flat_map(|block| block.claims);
        let ends = firsts.clone().skip(1).map(|first| first - 1).chain([max.into()]);
        let runs = firsts.zip(ends).zip(claims).map(|((first, last), claim)| (first, last, claim));
        runs.filter(|(.., claim)| *claim != Claim::NOBODY).collect()
    }

    pub fn find(&self, address: K) -> Claim {
        let after = self.tops.partition_point(|first| *first <= address);
        let Some(block) = after.checked_sub(1).map(|place| &self.blocks[place]) else { return Claim::NOBODY };
        // The first is not above the address; all are looked at, since that takes no branch. Past the last, all have
        // its claim.
        let after = block.firsts[1..].iter().filter(|first| **first <= address).count();
        block.claims[after]
    }
}
