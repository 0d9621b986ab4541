//! Step 8 of 9 - deliver: which messages are to blame when the server ends uncleanly (fact sheet section 4.7).
//!
//! Takes what was in hand when it ended and who was suspected before, hands on who is suspected now. A message that is in hand
//! at one unclean end may be there by chance, so it is tried again, alone: whoever is in hand when it happens again is named.

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

/// How often each message is blamed for an unclean end, after one more. One that was suspected before is blamed again only if
/// nothing else was in hand: suspects are tried before all others, so whoever is to blame comes to that. All others are
/// suspected from now on.
pub fn blame(suspects: &BTreeMap<u64, u32>, in_hand: &[u64]) -> BTreeMap<u64, u32> {
    let mut blamed = suspects.clone();
    let is_alone = in_hand.iter().all(|id| Some(id) == in_hand.first());
    for id in in_hand {
        blamed.entry(*id).or_insert(1);
    }
    if let Some(named) = in_hand.first().filter(|id| is_alone && suspects.contains_key(id)) {
        blamed.entry(*named).and_modify(|crashes| *crashes += 1);
    }
    blamed
}

/// Whether a message that is blamed for so many unclean ends is poison.
pub fn is_poison(settings: &PoisonSettings, crashes: u32) -> bool {
    settings.poison_message_detection_enabled && crashes >= settings.poison_threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_unclean_end_names_the_one_that_was_tried_alone() {
        for (suspects, in_hand, expected) in [
            (&[][..], &[][..], &[][..]),
            (&[], &[7, 8, 7], &[(7, 1), (8, 1)]),
            (&[(7, 1), (8, 1)], &[8], &[(7, 1), (8, 2)]),
            (&[(7, 1), (8, 1)], &[8, 8], &[(7, 1), (8, 2)]),
            (&[(7, 1), (8, 1)], &[9, 8], &[(7, 1), (8, 1), (9, 1)]),
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
