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

    /// First and last address of each run between two addresses that anybody claims, cut there.
    pub fn runs_within(&self, first: u128, last: u128) -> impl Iterator<Item = (u128, u128, Claim)> {
        let start = match K::try_from(first) {
            // Behind the last run there are only copies of it.
            Ok(first) => self.place_of(first).map_or(0, |place| place.min(self.len - 1)),
            Err(_) => self.len,
        };
        (start..self.len)
            .map(|place| self.run(place))
            .take_while(move |(run_first, ..)| *run_first <= last)
            .filter(move |(_, run_last, claim)| *claim != Claim::NOBODY && *run_last >= first)
            .map(move |(run_first, run_last, claim)| (run_first.max(first), run_last.min(last), claim))
    }

    pub fn find(&self, address: K) -> Claim {
        self.place_of(address).map_or(Claim::NOBODY, |place| self.blocks[place / BLOCK_LEN].claims[place % BLOCK_LEN])
    }

    /// The run that holds the address, or a copy of it behind the last. None before the first run.
    fn place_of(&self, address: K) -> Option<usize> {
        let block = self.tops.partition_point(|first| *first <= address).checked_sub(1)?;
        // The first is not above the address; all others are looked at, since that takes no branch.
        let after = self.blocks[block].firsts[1..].iter().filter(|first| **first <= address).count();
        Some(block * BLOCK_LEN + after)
    }

    fn run(&self, place: usize) -> (u128, u128, Claim) {
        let first = |place: usize| self.blocks[place / BLOCK_LEN].firsts[place % BLOCK_LEN].into();
        let following = (place + 1 < self.len).then(|| first(place + 1));
        let last_of_family = u128::MAX >> (u128::BITS as usize - 8 * size_of::<K>());
        let claim = self.blocks[place / BLOCK_LEN].claims[place % BLOCK_LEN];
        (first(place), following.map_or(last_of_family, |following| following - 1), claim)
    }
}
