//! Which blocks of a segment hold a term: pairs of a term's hash and a block's number, packed into pages.
//!
//! Takes pairs, hands on pages and a directory; reads one page back. A hash may stand for two terms: whoever looks a term up
//! reads the records of the blocks and compares. Each page has its own checksum, and a directory that fits in memory says
//! where it begins, so a look-up reads one page of about 4 KB.

use crc_fast::CrcAlgorithm;

/// A page holds about so many pairs; one more bit of the hash chooses the page each time pairs double.
const PAGE_PAIRS: usize = 1024;
/// At most so many bits of a hash choose the page.
const BITS_MAX: u32 = 16;

/// CRC-32C, as everything in this store is checked.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// One pair: the hash above the block.
pub fn pair(hash: u32, block: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(block)
}

/// The packed form.
#[derive(Debug)]
pub struct Packed {
    /// The pages, one behind the other.
    pub pages: Vec<u8>,
    /// Where each page begins, and where the last one ends.
    pub directory: Vec<u32>,
    /// How many leading bits of a hash choose its page.
    pub bits: u32,
}

/// Packs pairs, which are sorted and differ.
pub fn pack(pairs: &[u64]) -> Packed {
    let bits = (pairs.len() / PAGE_PAIRS).checked_ilog2().map_or(0, |bits| bits + 1).min(BITS_MAX);
    let mut packed = Packed { pages: Vec::with_capacity(pairs.len() * 4), directory: Vec::new(), bits };
    let mut rest = pairs;
    for page in 0..1_u64 << bits {
        packed.directory.push(packed.pages.len() as u32);
        let end = rest.partition_point(|pair| pair >> (64 - bits).min(63) <= page || bits == 0);
        let (here, later) = rest.split_at(end);
        write_page(here, first_hash(page as u32, bits), &mut packed.pages);
        rest = later;
    }
    packed.directory.push(packed.pages.len() as u32);
    packed
}

/// The page of a hash.
pub fn page_of(hash: u32, bits: u32) -> usize {
    hash.checked_shr(32 - bits).unwrap_or(0) as usize
}

fn first_hash(page: u32, bits: u32) -> u32 {
    page.checked_shl(32 - bits).unwrap_or(0)
}

/// The distance to the hash before, then the block, or its distance to the block before it where the hash is the same.
fn write_page(pairs: &[u64], first_hash: u32, into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    let mut before = None;
    for pair in pairs {
        let (hash, block) = ((pair >> 32) as u32, *pair as u32);
        match before {
            Some((same, last)) if same == hash => {
                write_number(0, into);
                write_number(block - last, into);
            }
            // A first hash that equals the beginning of the page is no repetition: its distance is 0 and nothing stands before.
            _ => {
                write_number(hash - before.map_or(first_hash, |(hash, _)| hash), into);
                write_number(block, into);
            }
        }
        before = Some((hash, block));
    }
    let crc = checksum(&into[start + 4..]);
    into[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Adds the blocks of `hash` that stand in its page; false if the page is damaged.
pub fn read_page(page: &[u8], hash: u32, bits: u32, blocks: &mut Vec<u32>) -> bool {
    let Some((crc, mut rest)) = page.split_first_chunk::<4>() else { return false };
    if u32::from_le_bytes(*crc) != checksum(rest) {
        return false;
    }
    let (mut at, mut block) = (first_hash(page_of(hash, bits) as u32, bits), None);
    while !rest.is_empty() {
        let (Some(distance), Some(number)) = (read_number(&mut rest), read_number(&mut rest)) else { return false };
        block = match block {
            Some(last) if distance == 0 => Some(number.wrapping_add(last)),
            _ => Some(number),
        };
        at = at.wrapping_add(distance);
        if at > hash {
            break;
        }
        blocks.extend(block.filter(|_| at == hash));
    }
    true
}

fn write_number(mut number: u32, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn read_number(from: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn look_up(packed: &Packed, hash: u32) -> Option<Vec<u32>> {
        let page = page_of(hash, packed.bits);
        let bytes = &packed.pages[packed.directory[page] as usize..packed.directory[page + 1] as usize];
        let mut blocks = Vec::new();
        read_page(bytes, hash, packed.bits, &mut blocks).then_some(blocks)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn each_hash_has_the_blocks_that_it_was_packed_with(
            few in prop::collection::btree_set((prop_oneof![any::<u32>(), Just(0), Just(u32::MAX), 0_u32..9], 0_u32..600), 0..60),
            many in 0_u32..6_000,
            asked in any::<u32>(),
        ) {
            let spread = (0..many).map(|i| (i.wrapping_mul(2_654_435_761), i % 512));
            let pairs: BTreeSet<u64> = few.iter().copied().chain(spread).map(|(hash, block)| pair(hash, block)).collect();
            let pairs: Vec<u64> = pairs.into_iter().collect();
            let packed = pack(&pairs);
            prop_assert_eq!(packed.directory.len(), (1 << packed.bits) + 1);
            let some = pairs.iter().step_by(1 + pairs.len() / 50).map(|pair| (pair >> 32) as u32);
            let hashes: BTreeSet<u32> = some.chain(few.iter().map(|(hash, _)| *hash)).chain([asked, 0, u32::MAX]).collect();
            for hash in hashes {
                let expected: Vec<u32> =
                    pairs.iter().filter(|pair| (*pair >> 32) as u32 == hash).map(|pair| *pair as u32).collect();
                prop_assert_eq!(look_up(&packed, hash), Some(expected));
            }
        }

        #[test]
        fn a_damaged_page_says_so_or_tells_the_truth(at in any::<prop::sample::Index>(), bits in 1_u8..) {
            let pairs: Vec<u64> = (0..200).map(|i| pair(i * 20_000_000, i % 7)).collect();
            let mut packed = pack(&pairs);
            let at = at.index(packed.pages.len());
            packed.pages[at] ^= bits;
            for hash in (0..200).map(|i| i * 20_000_000) {
                prop_assert!(look_up(&packed, hash).is_none());
            }
        }

        #[test]
        fn garbage_is_read_without_harm(page in prop::collection::vec(any::<u8>(), 0..80), hash in any::<u32>()) {
            let mut checked = checksum(&page).to_le_bytes().to_vec();
            checked.extend_from_slice(&page);
            let mut blocks = Vec::new();
            read_page(&checked, hash, 0, &mut blocks);
            read_page(&page, hash, 3, &mut blocks);
        }
    }
}
