//! Who hears a run of addresses as time goes by: one connector for good, or one until its range expires and then
//! another.
//!
//! Takes the ranges that hold a run, smallest first, with their expiries; hands on a small number that says all of it.
//! Equal successions have equal numbers. Where nothing expires, the number is the connector's place.

use std::collections::HashMap;

/// A succession of connectors, in the list that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Claim(u32);

impl Claim {
    /// Nobody, ever.
    pub const NOBODY: Claim = Claim(EXPIRING - 1);
}

/// Marks the place of a [`Term`] that ends; other claims are the places of connectors.
const EXPIRING: u32 = 1 << 31;

/// The successions of one selector.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    expiring: Vec<Expiring>,
    /// Finds what is there already while the list grows.
    known: HashMap<Expiring, Claim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Expiring {
    owner: u32,
    until_ms: u64,
    then: Claim,
}

/// One connector's share of a succession.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub owner: usize,
    /// `None`: now.
    pub from_ms: Option<u64>,
    /// `None`: it never ends.
    pub until_ms: Option<u64>,
}

impl Claims {
    /// The succession among ranges that hold the same addresses, smallest first: owner and expiry of each.
    pub fn of(&mut self, ranges: impl Iterator<Item = (usize, Option<u64>)>) -> Claim {
        let mut passing: Vec<(u32, u64)> = Vec::new();
        let mut claim = Claim::NOBODY;
        for (owner, until_ms) in ranges {
            // The document's size limit keeps the number of connectors far below this.
            let owner = u32::try_from(owner).unwrap_or(Claim::NOBODY.0).min(Claim::NOBODY.0);
            match until_ms {
                None => {
                    claim = Claim(owner);
                    break;
                }
                // Who expires before a smaller range does is never selected.
                Some(until_ms) if passing.last().is_none_or(|(_, before_ms)| *before_ms < until_ms) => {
                    passing.push((owner, until_ms));
                }
                Some(_) => {}
            }
        }
        for (owner, until_ms) in passing.into_iter().rev() {
            // A connector that succeeds itself has one term.
            if self.owner(claim) != Some(owner) {
                claim = self.add(Expiring { owner, until_ms, then: claim });
            }
        }
        claim
    }

    /// The connector at `now_ms`.
    pub fn holder(&self, mut claim: Claim, now_ms: u64) -> Option<usize> {
        while let Some(term) = self.expiring(claim) {
            if now_ms < term.until_ms {
                return Some(term.owner as usize);
            }
            claim = term.then;
        }
        (claim != Claim::NOBODY).then_some(claim.0 as usize)
    }

    /// Every connector that holds from `now_ms` on, one after the other.
    pub fn terms(&self, claim: Claim, now_ms: u64) -> impl Iterator<Item = Term> {
        let (mut next, mut from_ms) = (Some(claim), None);
        std::iter::from_fn(move || {
            loop {
                let claim = next.take().filter(|claim| *claim != Claim::NOBODY)?;
                let Some(term) = self.expiring(claim) else {
                    return Some(Term { owner: claim.0 as usize, from_ms, until_ms: None });
                };
                next = Some(term.then);
                if now_ms < term.until_ms {
                    let began_ms = from_ms.replace(term.until_ms);
                    return Some(Term { owner: term.owner as usize, from_ms: began_ms, until_ms: Some(term.until_ms) });
                }
            }
        })
    }

    /// Nothing will be added any more.
    pub fn seal(&mut self) {
        self.known = HashMap::new();
        self.expiring.shrink_to_fit();
    }

    fn add(&mut self, term: Expiring) -> Claim {
        *self.known.entry(term).or_insert_with(|| {
            let place = u32::try_from(self.expiring.len()).expect("a document has no room for that many");
            self.expiring.push(term);
            Claim(EXPIRING | place)
        })
    }

    /// Who holds first.
    fn owner(&self, claim: Claim) -> Option<u32> {
        match self.expiring(claim) {
            Some(term) => Some(term.owner),
            None => (claim != Claim::NOBODY).then_some(claim.0),
        }
    }

    fn expiring(&self, claim: Claim) -> Option<&Expiring> {
        (claim.0 & EXPIRING != 0).then(|| &self.expiring[(claim.0 & !EXPIRING) as usize])
    }
}
