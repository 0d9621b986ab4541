//! Records of passports and of refusals: whatever lies on the disk is read without a panic, and what was read is written and read as
//! the same.
#![no_main]

use gatepost_tracking::passport::event::Record;
use gatepost_tracking::passport::{later_part_of, read, terms, write};
use gatepost_tracking::trace::Passport;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut hashes = Vec::new();
    let _ = terms::describe_decision(bytes, &mut hashes);
    let _ = later_part_of(bytes);
    let described = terms::describe(bytes, &mut hashes);
    let Some(record) = read(bytes) else {
        assert!(described.is_none());
        return;
    };
    let mut again = Vec::new();
    write(&record, &mut again);
    assert_eq!(read(&again).as_ref(), Some(&record));
    if let Record::Message(part) = record {
        assert_eq!(later_part_of(&again), part.facts.is_none().then_some(part.queue_id));
        let recovered = gatepost_tracking::passport::Part { is_recovered: true, ..part.clone() };
        let passport = Passport::join(part.queue_id, vec![part.clone(), part, recovered]);
        let places = passport.standings().len();
        assert!(passport.recipients().len() <= places && passport.last_ms() >= passport.time_ms());
    }
});
