//! Step 8 of 9 - deliver: which messages are to blame when the server ends uncleanly (fact sheet section 4.7).
//!
//! Takes what was in hand when it ended and who was suspected before, hands on who is suspected now. A message that is in hand
//! together with others may be there by chance: it is suspected, tried again alone, and blamed for nothing yet. One that is in
//! hand alone is blamed, and if it was suspected before, for that end, too. So nobody is ever blamed in company.

use std::collections::BTreeMap;

/// The keys of `[transport]` about messages that bring the server down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoisonSettings {
    /// Whether anybody is suspected at all.
    pub poison_message_detection_enabled: bool,
    /// So many unclean ends make a message poison.
    pub poison_threshold: u32,
}

impl Default for PoisonSettings {
    fn default() -> Self {
        PoisonSettings { poison_message_detection_enabled: true, poison_threshold: 2 }
    }
}

/// For how many unclean ends each suspect is blamed, after one more. Suspects are tried one at a time and before all others, so
/// whoever is to blame comes to be in hand alone.
pub fn blame(suspects: &BTreeMap<u64, u32>, in_hand: &[u64]) -> BTreeMap<u64, u32> {
    let mut blamed = suspects.clone();
    let is_alone = in_hand.iter().all(|id| Some(id) == in_hand.first());
    for id in in_hand {
        blamed.entry(*id).or_default();
    }
    if let Some(named) = in_hand.first().filter(|_| is_alone) {
        let crashes = match suspects.get(named) {
            // It was in company when it came to be suspected; now it is known that it was this one.
            Some(0) => 2,
            Some(crashes) => crashes.saturating_add(1),
            None => 1,
        };
        blamed.insert(*named, crashes);
    }
    blamed
}

/// Whether a message that is blamed for so many unclean ends is poison.
pub fn is_poison(settings: &PoisonSettings, crashes: u32) -> bool {
    settings.poison_message_detection_enabled && crashes >= settings.poison_threshold
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_is_blamed_for_an_end_in_company_and_whoever_is_to_blame_is_found(
            ends in prop::collection::vec(prop::collection::vec(0_u64..6, 0..4), 0..12),
            culprit in 0_u64..6,
        ) {
            let (mut suspects, mut alone) = (BTreeMap::new(), BTreeMap::<u64, u32>::new());
            for in_hand in &ends {
                suspects = blame(&suspects, in_hand);
                if let Some(first) = in_hand.first().filter(|first| in_hand.iter().all(|id| id == *first)) {
                    *alone.entry(*first).or_default() += 1;
                }
            }
            for (id, crashes) in &suspects {
                let alone = alone.get(id).copied().unwrap_or(0);
                prop_assert!(*crashes == 0 || (alone > 0 && *crashes <= alone + 1), "{id}: {crashes} of {alone}: {ends:?}");
            }
            // From then on it kills the server each time that it is its turn, alone, as that of a suspect is.
            let before = suspects.get(&culprit).copied();
            suspects = blame(&suspects, &[culprit]);
            if before.is_none() {
                suspects = blame(&suspects, &[culprit]);
            }
            prop_assert!(is_poison(&PoisonSettings::default(), suspects[&culprit]));
        }
    }

    #[test]
    fn the_second_unclean_end_names_the_one_that_was_tried_alone() {
        for (suspects, in_hand, expected) in [
            (&[][..], &[][..], &[][..]),
            (&[], &[7, 8, 7], &[(7, 0), (8, 0)]),
            (&[], &[7, 7], &[(7, 1)]),
            (&[(7, 0), (8, 0)], &[8], &[(7, 0), (8, 2)]),
            (&[(7, 0), (8, 1)], &[8, 8], &[(7, 0), (8, 2)]),
            (&[(7, 1), (8, 0)], &[9, 8], &[(7, 1), (8, 0), (9, 0)]),
            (&[(7, 1)], &[9], &[(7, 1), (9, 1)]),
            (&[(7, 1)], &[], &[(7, 1)]),
        ] {
            let suspects = suspects.iter().copied().collect();
            assert_eq!(blame(&suspects, in_hand), expected.iter().copied().collect(), "{suspects:?} {in_hand:?}");
        }
    }

    #[test]
    fn poison_begins_at_the_threshold_and_only_where_it_is_looked_for() {
        let settings = PoisonSettings::default();
        assert_eq!([0, 1, 2, 3].map(|crashes| is_poison(&settings, crashes)), [false, false, true, true]);
        let blind = PoisonSettings { poison_message_detection_enabled: false, ..settings };
        assert!(!is_poison(&blind, 99));
    }
}
