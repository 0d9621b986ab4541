//! What passports say at the end, against what the ledger knows.
//!
//! Takes the records that all runs of the server left, hands on whatever contradicts the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gatepost_tracking::passport::event::Verdict;
use gatepost_tracking::passport::{self, Keeping, Part, Record, Store};
use gatepost_tracking::trace::passport::Passport;

use super::ledger::{Answer, Ledger, Wrong};

/// Whose passport is missing, or tells something else. `is_short`: a full disk may have kept the log from saying how a
/// message ended.
pub fn judge(ledger: &Ledger, data_dir: &Path, is_short: bool) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let passports = read(data_dir);
    for (number, copy) in ledger.copies().iter().enumerate() {
        let mut complain = |what: String| wrong.push(Wrong { number: Some(number), what });
        let Some(passport) = passports.get(&number) else {
            if copy.answer == Answer::Accepted {
                complain("it was accepted and has no passport".into());
            }
            continue;
        };
        let ends: BTreeSet<&str> = copy.ends.keys().map(String::as_str).collect();
        let recipients: BTreeSet<&str> = passport.recipients().into_iter().collect();
        if ends != recipients {
            complain(format!("its passport is for {recipients:?}, not for {ends:?}"));
        }
        for standing in passport.standings() {
            let end = standing.address;
            let is_held = ledger.is_held(number, end);
            let contradiction = match standing.verdict {
                None | Some(Verdict::Deferred { .. }) => !is_held,
                // What a crash undid was delivered anew, or waits to be.
                Some(Verdict::Delivered) => !ledger.is_delivered(number, end),
                Some(Verdict::Removed) => !ledger.is_removed(number),
                Some(Verdict::Ended) => !is_short,
                Some(Verdict::Failed | Verdict::Expired) => false,
            };
            if contradiction {
                complain(format!(
                    "its passport says of {end}: {:?}; held: {is_held}, delivered: {}\n{passport:#?}",
                    standing.verdict,
                    ledger.is_delivered(number, end),
                ));
            }
        }
    }
    wrong
}

/// Passports of the clients' messages, by the numbers that their subjects name.
fn read(data_dir: &Path) -> BTreeMap<usize, Passport> {
    let store = Store::open(&data_dir.join("tracking"), Keeping { age_max_ms: None, ..Keeping::default() })
        .expect("the store opens");
    let mut parts: BTreeMap<u64, Vec<Part>> = BTreeMap::new();
    let each = |record: &[u8]| {
        if let Some(Record::Message(part)) = passport::read(record) {
            parts.entry(part.queue_id).or_default().push(part);
        }
    };
    store.scan(each).expect("the store is readable");
    let joined = parts.into_iter().map(|(id, parts)| Passport::join(id, parts));
    joined
        .filter_map(|passport| {
            let facts = passport.facts.as_deref().filter(|facts| facts.report.is_none())?;
            let number = facts.subject.as_deref()?.strip_prefix("number ")?.parse().ok()?;
            Some((number, passport))
        })
        .collect()
}
