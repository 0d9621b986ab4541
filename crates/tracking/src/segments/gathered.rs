//! The terms of a segment that is being filled: which of its blocks holds which.
//!
//! Takes the hashes of each record with the number of its block, hands on the pairs that the index is made of. A term that a part
//! has only while its whole is open is dropped as soon as the whole ends in this segment: what waited for a moment is not
//! found among what waits.

use std::collections::HashMap;

use super::PartOf;
use super::postings::pair;

/// Blocks come in ascending order.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The block that is being filled, and its hashes.
    block: u32,
    hashes: Vec<u32>,
    /// Of each block that is full those of its terms, sorted; and where each block's end.
    pairs: Vec<u64>,
    ends: Vec<usize>,
    /// Of each whole that has not ended here; and which terms these are, which is one as a rule.
    open: HashMap<u64, Vec<u64>>,
    open_hashes: Vec<u32>,
}

impl Gathered {
    /// A record stands in a block.
    pub fn note(&mut self, block: u32, hashes: &[u32], part: Option<PartOf>) {
        if block != self.block {
            self.end_block();
            self.block = block;
        }
        self.hashes.extend_from_slice(hashes);
        match part {
            Some(PartOf { whole, is_end: true, .. }) => _ = self.open.remove(&whole),
            Some(PartOf { whole, while_open: Some(hash), .. }) => {
                if !self.open_hashes.contains(&hash) {
                    self.open_hashes.push(hash);
                }
                let (pairs, pair) = (self.open.entry(whole).or_default(), pair(hash, block));
                if pairs.last() != Some(&pair) {
                    pairs.push(pair);
                }
            }
            _ => {}
        }
    }

    fn end_block(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.pairs.extend(self.hashes.drain(..).map(|hash| pair(hash, self.block)));
        self.ends.push(self.pairs.len());
    }

    /// The blocks that may hold a term, ascending. Asked for each message that is joined, while nothing can be appended: so it passes
    /// by all that a search in sorted pairs need not look at.
    pub fn candidates(&self, hash: u32) -> Vec<u32> {
        let (mut blocks, mut from) = (Vec::new(), 0);
        for end in &self.ends {
            let of_block = &self.pairs[from..*end];
            let at = of_block.partition_point(|pair| hash_of(*pair) < hash);
            blocks.extend(of_block.get(at).filter(|pair| hash_of(**pair) == hash).map(|pair| *pair as u32));
            from = *end;
        }
        blocks.extend(self.hashes.contains(&hash).then_some(self.block));
        if self.open_hashes.contains(&hash) {
            let open = self.open.values().flatten().filter(|pair| hash_of(**pair) == hash);
            blocks.extend(open.map(|pair| *pair as u32));
            blocks.sort_unstable();
            blocks.dedup();
        }
        blocks
    }

    /// All pairs, sorted, each once.
    pub fn pairs(&self) -> Vec<u64> {
        let last = self.hashes.iter().map(|hash| pair(*hash, self.block));
        let mut pairs: Vec<u64> =
            self.pairs.iter().copied().chain(self.open.values().flatten().copied()).chain(last).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

fn hash_of(pair: u64) -> u32 {
    (pair >> 32) as u32
}
