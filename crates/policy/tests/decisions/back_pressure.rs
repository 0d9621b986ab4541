//! Back pressure: levels with hysteresis, and what they mean for MAIL (fact sheet sections 5.3 and 5.4).

use std::time::Duration;

use gatepost_policy::Refusal;
use gatepost_policy::access_entry::Principal;
use gatepost_policy::back_pressure::{
    BackPressureSettings, FILES_HEADROOM, Level, Measured, Pressure, Thresholds, Verdict, decide, next, used_share,
};
use gatepost_policy::resource::Resource;
use proptest::prelude::*;

use crate::document::{problems, settings};

const DISK: Thresholds = Thresholds::percent([89, 99, 90, 80]);

/// The levels after each measurement.
fn levels(thresholds: Thresholds, amounts: &[u64]) -> Vec<Level> {
    let mut pressure = Pressure::default();
    amounts
        .iter()
        .map(|amount| {
            pressure = next(Some(thresholds), pressure, Measured::Amount(*amount));
            pressure.level
        })
        .collect()
}

/// The same without a state: a level was reached if its threshold was exceeded at some time, and it never fell below its
/// other threshold since.
fn level_by_history(thresholds: Thresholds, amounts: &[u64]) -> Level {
    let is_latched = |up: u64, down: u64| {
        let reached = amounts.iter().rposition(|amount| *amount > up);
        reached.is_some_and(|at| amounts[at..].iter().all(|amount| *amount >= down))
    };
    if is_latched(thresholds.medium_to_high, thresholds.high_to_medium) {
        Level::High
    } else if is_latched(thresholds.low_to_medium, thresholds.medium_to_low) {
        Level::Medium
    } else {
        Level::Normal
    }
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    [0..20_u64, 0..20_u64, 0..20_u64, 0..20_u64]
        .prop_map(Thresholds::count)
        .prop_filter("each step up is above its step down", Thresholds::is_in_order)
}

proptest! {
    #[test]
    fn levels_agree_with_the_whole_history(thresholds in thresholds(), amounts in prop::collection::vec(0..22_u64, 1..40)) {
        let levels = levels(thresholds, &amounts);
        for (i, level) in levels.iter().enumerate() {
            prop_assert_eq!(*level, level_by_history(thresholds, &amounts[..=i]), "after {} of {:?}", i, amounts);
        }
    }

    #[test]
    fn who_is_known_is_never_worse_off_and_pressure_never_helps(
        states in prop::collection::vec((0..8_usize, 0..3_u8, 1..400_u32), 0..8),
        more in (0..8_usize, 0..3_u8, 1..400_u32),
    ) {
        let level = |level: u8| [Level::Normal, Level::Medium, Level::High][usize::from(level)];
        let state = |(resource, of, polls): &(usize, u8, u32)| {
            let level = level(*of);
            (Resource::ALL[*resource], Pressure { level, polls: if level == Level::Normal { 0 } else { *polls } })
        };
        let hardness = |verdict: Verdict| match verdict {
            Verdict::Accept => (0, Duration::ZERO),
            Verdict::Tarpit(interval) => (1, interval),
            Verdict::Refuse(_) => (2, Duration::ZERO),
        };
        let few: Vec<_> = states.iter().map(state).collect();
        let many: Vec<_> = states.iter().chain([&more]).map(state).collect();
        let asked = |states: &[(Resource, Pressure)], who: &Principal| hardness(decide(states.iter().copied(), who));
        let user = Principal::User("alice".into());
        prop_assert!(asked(&few, &user) <= asked(&few, &Principal::Anonymous));
        for who in [&user, &Principal::Anonymous] {
            prop_assert!(asked(&few, who) <= asked(&many, who));
        }
        let is_all_normal = few.iter().all(|(_, pressure)| pressure.level == Level::Normal);
        prop_assert!(!is_all_normal || asked(&few, &Principal::Anonymous).0 == 0);
    }
}

#[test]
fn levels_change_where_exchanges_table_says() {
    use Level::{High, Medium, Normal};
    let percent = |numbers: &[u64]| numbers.iter().map(|number| number * 100).collect::<Vec<_>>();
    for (amounts, expected) in [
        (&[88, 89, 90, 89, 80, 79, 89][..], &[Normal, Normal, Medium, Medium, Medium, Normal, Normal][..]),
        (&[99, 100, 99, 90, 89, 99, 100], &[Medium, High, High, High, Medium, Medium, High]),
        (&[100, 79], &[High, Normal]),
    ] {
        assert_eq!(levels(DISK, &percent(amounts)), expected, "{amounts:?}");
    }
    let submission = Thresholds::count([9_999, 15_000, 10_000, 2_000]);
    assert_eq!(
        levels(submission, &[9_999, 10_000, 15_000, 15_001, 10_000, 9_999, 2_000, 1_999]),
        [Normal, Medium, Medium, High, High, Medium, Medium, Normal]
    );
}

#[test]
fn a_small_share_of_a_large_disk_is_much_room() {
    const GB: u64 = 1 << 30;
    const HEADROOM: u64 = 500 << 20;
    for (total, free, level) in [
        (250 * GB, 250 * GB * 7 / 100, Level::Normal),
        (250 * GB, 6 * GB, Level::Normal),
        (250 * GB, 5 * GB, Level::Medium),
        (10_000 * GB, 6 * GB, Level::Normal),
        (10_000 * GB, 5 * GB, Level::Medium),
        (10_000 * GB, GB / 3, Level::High),
        (10 * GB, 2 * GB, Level::Normal),
        (10 * GB, GB, Level::Medium),
        (10 * GB, GB / 11, Level::High),
        (24 << 20, 10 << 20, Level::Normal),
        (24 << 20, 3 << 20, Level::Normal),
        (24 << 20, 2 << 20, Level::Medium),
        (24 << 20, 0, Level::High),
        (0, 0, Level::Normal), // file systems that do not say
    ] {
        let measured = Measured::Amount(used_share(total, free, HEADROOM));
        let thresholds = BackPressureSettings::default().used_disk_space;
        let pressure = next(thresholds, Pressure::default(), measured);
        assert_eq!(pressure.level, level, "{free} of {total} free: {measured:?}");
    }
    assert_eq!(used_share(600_000_000, 2_000_000, FILES_HEADROOM), 0);
    assert_eq!(used_share(100, 11, FILES_HEADROOM), 8_900);
    assert_eq!(used_share(u64::MAX, 0, u64::MAX), 10_000);
}

#[test]
fn medium_refuses_strangers_and_high_refuses_everybody() {
    let user = Principal::User("alice".into());
    let known = [user, Principal::ExternallySecured];
    let pressed = |level| Pressure { level, polls: 1_000 };
    for resource in Resource::ALL {
        let refusal = Verdict::Refuse(Refusal::InsufficientResources(resource));
        let asked = |level, who: &Principal| decide([(resource, pressed(level))], who);
        if resource == Resource::SystemMemory {
            assert_eq!(asked(Level::High, &Principal::Anonymous), Verdict::Accept);
            continue;
        }
        assert_eq!(asked(Level::Medium, &Principal::Anonymous), refusal);
        assert_eq!(asked(Level::High, &Principal::Anonymous), refusal);
        for who in &known {
            assert_eq!(asked(Level::Medium, who), Verdict::Accept, "{resource} {who}");
            assert_eq!(asked(Level::High, who), refusal, "{resource} {who}");
        }
        let reply = Refusal::InsufficientResources(resource).reply().to_string();
        assert_eq!(reply, "452 4.3.1 Insufficient system resources");
        assert!(Refusal::InsufficientResources(resource).to_string().contains(resource.name()));
    }
}

#[test]
fn a_long_queue_slows_strangers_down_in_steps_before_it_refuses_them() {
    let asked = |resource, polls, who: &Principal| decide([(resource, Pressure { level: Level::Medium, polls })], who);
    let refused = |resource| Verdict::Refuse(Refusal::InsufficientResources(resource));
    for (resource, depth) in [(Resource::QueueLength, 300), (Resource::PrivateBytes, 30)] {
        for (polls, seconds) in [(1, 10), (2, 15), (3, 20), (10, 55), (11, 55), (depth, 55)] {
            let expected = Verdict::Tarpit(Duration::from_secs(seconds));
            assert_eq!(asked(resource, polls, &Principal::Anonymous), expected, "{resource} {polls}");
        }
        assert_eq!(asked(resource, depth + 1, &Principal::Anonymous), refused(resource));
        assert_eq!(asked(resource, depth + 1, &Principal::ExternallySecured), Verdict::Accept);
    }
}

#[test]
fn what_is_exhausted_is_high_whatever_the_numbers_say_and_what_has_no_threshold_is_normal() {
    let before = Pressure::default();
    let exhausted = next(None, before, Measured::Exhausted("read-only"));
    assert_eq!(exhausted, Pressure { level: Level::High, polls: 1 });
    let again = next(Some(DISK), exhausted, Measured::Exhausted("read-only"));
    assert_eq!(again.polls, 2);
    assert_eq!(next(Some(DISK), again, Measured::Amount(0)), Pressure::default());
    assert_eq!(next(None, again, Measured::Amount(u64::MAX)), Pressure::default());
}

#[test]
fn thresholds_are_read_from_the_settings() {
    let standard = BackPressureSettings::default();
    assert_eq!(settings("").back_pressure, standard);
    assert_eq!(settings("[back_pressure]\n").back_pressure, standard);
    assert_eq!(standard.used_disk_space, Some(DISK));
    assert_eq!(standard.queue_length, None);
    let text = "[back_pressure]\nused_disk_space = [95, 98, 97, 90]\ndisk_headroom = \"1152 MB\"\nprivate_bytes = [1, 2, 2, 1]\n\
                system_memory = \"unlimited\"\nqueue_length = [9999, 15000, 10000, 2000]\nopen_files = [50, 60, 55, 40]\n";
    let declared = BackPressureSettings {
        used_disk_space: Some(Thresholds::percent([95, 98, 97, 90])),
        disk_headroom_bytes: 1152 << 20,
        private_bytes: Some(Thresholds::percent([1, 2, 2, 1])),
        system_memory: None,
        queue_length: Some(Thresholds::count([9_999, 15_000, 10_000, 2_000])),
        open_files: Some(Thresholds::percent([50, 60, 55, 40])),
    };
    assert_eq!(settings(text).back_pressure, declared);
    assert_eq!(declared.thresholds(Resource::DataFiles), declared.used_disk_space);
    let unlimited = settings("[back_pressure]\nused_disk_space = \"unlimited\"\n");
    assert_eq!(unlimited.back_pressure.used_disk_space, None);
    assert!(unlimited.warnings.iter().any(|warning| warning.message.contains("until the disk is full")));

    let found = problems("[back_pressure]\nqueue_length = 1000\n");
    assert!(found[0].remedy.contains("[9999, 15000, 10000, 2000]"), "an example for this key: {}", found[0].remedy);
    for (line, expected) in [
        ("used_disk_space = 89", "expected four thresholds, found an integer"),
        ("used_disk_space = [89, 99, 90]", "there have to be four thresholds, not 3"),
        ("used_disk_space = [89, 99, 90, 80, 70]", "there have to be four thresholds, not 5"),
        ("used_disk_space = [89, 101, 90, 80]", "the threshold 2 of the list is no whole number up to 100"),
        ("used_disk_space = [89, 99, 90, 90]", "Medium would begin at 89 and end below 90, at once"),
        ("used_disk_space = [89, 88, 88, 80]", "Medium would begin at 89, above High at 88"),
        ("used_disk_space = [89, 99, 100, 80]", "High would begin at 99 and end below 100, at once"),
        ("queue_length = [10, 20, 5, 8]", "Medium would end below 8, High only below 5"),
        ("queue_length = [1, 2, 3, 1]", "High would begin at 2 and end below 3, at once"),
        ("queue_length = [1, 2, 2, 0]", "no amount is below 0"),
        ("queue_length = [-1, 2, 2, 1]", "the threshold 1 of the list is no whole number up to 4294967295"),
        ("open_files = [\"1\", 2, 2, 1]", "the threshold 1 of the list"),
        ("disk_headroom = \"1 KB\"", "out of bounds"),
        ("useddiskspace = [89, 99, 90, 80]", "is no key"),
    ] {
        let found = problems(&format!("[back_pressure]\n{line}\n"));
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert_eq!(found[0].line, 2, "{line}");
        assert!(found[0].message.contains(expected), "{line}: {}", found[0].message);
        assert!(!found[0].remedy.is_empty());
    }
}
