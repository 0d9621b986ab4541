//! Searches agree with a plain scan, whatever was recorded and whatever is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::decision::tests::refusal;
use crate::passport::event::{
    Attempt, Connection, Facts, Outbound, Outcome, Part, Record, Settings, Step, Verdict, Way, What,
};
use crate::passport::terms::{DESCRIBE, Term, each_term};
use crate::passport::{Keeping, Store, read, write};
use crate::room::Room;
use crate::segments::{Describe, Described, Segments};
use crate::{Decision, Limits, Tracking, frame, stored};

const PATIENCE: Duration = Duration::from_secs(60);
const ADDRESSES: [&str; 5] = ["ann@contoso.com", "Bob@Example.net", "carl@example.net", "dora@sub.example.net", ""];
const WORDS: [&str; 4] = ["Invoice", "scan", "Grüße", "backup"];
const PEERS: [&str; 4] = ["192.168.2.55:1", "192.168.2.56:2", "192.168.9.1:3", "[2001:db8::1]:4"];
const CONNECTORS: [&str; 2] = ["Relay", "Default"];

fn way(name: &str) -> Way {
    Way { connector: name.into(), next_hop: "example.net".into() }
}

fn facts(queue_id: u64, seed: u8) -> Box<Facts> {
    let pick = |of: usize| usize::from(seed) / (of % 3 + 1);
    Box::new(Facts {
        time_ms: 1_000 + u64::from(seed) * 7,
        message_id: format!("<{queue_id}.{}@host>", seed % 3).into(),
        subject: (!seed.is_multiple_of(5)).then(|| format!("{}, {} 7", WORDS[pick(0) % 4], WORDS[pick(1) % 4]).into()),
        sender: ADDRESSES[pick(2) % 5].into(),
        recipients: (0..=pick(1) % 3).map(|i| ADDRESSES[(i + usize::from(seed)) % 4].into()).collect(),
        peer: Some(PEERS[usize::from(seed) % 4].parse().expect("an address")),
        connector: CONNECTORS[usize::from(seed) % 2].into(),
        decision: Some(u64::from(seed)),
        ..Facts::default()
    })
}

fn attempt(seed: u8) -> Step {
    let verdict = match seed % 5 {
        0 => Verdict::Delivered,
        1 => Verdict::Deferred { until_ms: 9 },
        2 => Verdict::Failed,
        3 => Verdict::Expired,
        _ if seed.is_multiple_of(2) => Verdict::Removed,
        _ => Verdict::Ended,
    };
    let outcomes = vec![Outcome { recipient: u32::from(seed) % 2, verdict, reply: "250 ok".into() }];
    let attempt = Attempt {
        way: way("Out"),
        remote: None,
        address: None,
        tls: None,
        duration_ms: 1,
        outcomes,
        is_recovered: false,
    };
    Step { time_ms: 3_000 + u64::from(seed), what: What::Attempt(Box::new(attempt)) }
}

/// How messages before this one came is kept no more.
const FIRST_BEGUN: u64 = 4;

/// What is recorded: parts of few messages in any order, and connections between them. How a message came is recorded first, in
/// some of its parts again, and always the same.
fn records() -> impl Strategy<Value = Vec<Record>> {
    (any::<u8>(), prop::collection::vec(record(), 0..60)).prop_map(|(salt, mut records)| {
        let (mut begun, mut whole) = (BTreeSet::new(), 0);
        for record in &mut records {
            let Record::Message(part) = record else { continue };
            let seed = (part.queue_id as u8).wrapping_mul(37).wrapping_add(salt);
            let is_first = part.queue_id >= FIRST_BEGUN && begun.insert(part.queue_id);
            let has_facts = part.queue_id >= FIRST_BEGUN && (is_first || part.facts.is_some());
            part.facts = has_facts.then(|| facts(part.queue_id, seed));
            // One that is whole has no other part.
            if part.is_last && has_facts && !part.is_recovered {
                whole += 1;
                if is_first {
                    begun.remove(&part.queue_id);
                }
                part.queue_id += 1_000 * whole;
            }
        }
        records
    })
}

/// Nothing is tried on a way that it was not routed to. Now and then it is held back, and let go.
fn tried(seeds: &[u8]) -> Vec<Step> {
    let routed = Step { time_ms: 2_999, what: What::Routed { recipients: vec![0, 1], way: way("Out") } };
    let is_tried = !seeds.is_empty();
    let step = |seed: &u8| match seed % 16 {
        14 => Step { what: What::Held { reason: "poison".into() }, ..attempt(*seed) },
        15 => {
            let (who, action) = ("uid 0".into(), "resume".into());
            Step { what: What::Administrator { who, action, detail: None, outcomes: Vec::new() }, ..attempt(*seed) }
        }
        _ => attempt(*seed),
    };
    is_tried.then_some(routed).into_iter().chain(seeds.iter().map(step)).collect()
}

fn record() -> impl Strategy<Value = Record> {
    let part = (0_u64..16, any::<bool>(), prop::collection::vec(any::<u8>(), 0..3), any::<bool>(), any::<bool>());
    prop_oneof![
        9 => part.prop_map(|(queue_id, has_facts, steps, is_last, is_recovered)| Record::Message(Part {
            queue_id,
            facts: has_facts.then(Box::default),
            steps: tried(&steps),
            is_last,
            is_recovered,
        })),
        1 => any::<u8>().prop_map(|seed| Record::Connection(Box::new(Connection {
            id: 1,
            time_ms: u64::from(seed) * 20,
            duration_ms: 1,
            peer: PEERS[usize::from(seed) % 4].parse().expect("an address"),
            local: "10.0.0.1:25".parse().expect("an address"),
            connector: CONNECTORS[usize::from(seed) % 2].into(),
            hello: None,
            principal: "Anonymous".into(),
            tls: None,
            messages: 0,
            refusals: 0,
            end: "quit".into(),
        }))),
    ]
}

fn query() -> impl Strategy<Value = (Query, [Option<&'static str>; 3])> {
    let some = |of: &'static [&'static str]| prop::option::weighted(0.2, prop::sample::select(of));
    let state = prop::sample::select(vec![
        State::Delivered,
        State::Deferred,
        State::Failed,
        State::Expired,
        State::Removed,
        State::Refused,
        State::Abandoned,
        State::Held,
        State::Ended,
    ]);
    let peers = prop::sample::select(vec![
        ("192.168.2.55", "192.168.2.55"),
        ("192.168.2.0", "192.168.2.255"),
        ("192.168.0.0", "192.168.9.255"),
        ("0.0.0.0", "255.255.255.255"),
        ("2001:db8::", "2001:db8::ffff"),
    ]);
    let who = (some(&ADDRESSES[..4]), some(&ADDRESSES[..4]), some(&ADDRESSES[..4]));
    let of_message = (
        prop::option::weighted(0.1, 0_u64..14),
        prop::option::weighted(0.1, (0_u64..12, 0_u8..3)),
        prop::collection::vec(prop::sample::select(&WORDS[..]), 0..2),
        prop::option::weighted(0.3, state),
    );
    let others = (
        some(&["example.net", "CONTOSO.com", "nobody.example"]),
        prop::option::weighted(0.3, peers),
        some(&["relay", "out"]),
        prop::option::weighted(0.2, 900_u64..3_000),
        prop::option::weighted(0.2, 900_u64..3_000),
        (any::<bool>(), any::<bool>(), any::<bool>()),
        (some(&["RELAY", "scan", "invoice 7", "..."]), prop::option::weighted(0.1, 900_u64..3_300)),
    );
    (who, of_message, others).prop_map(|(who, (queue_id, message_id, words, state), others)| {
        let (domain, peer, connector, since_ms, until_ms, (messages, refusals, others), (text, touched_since_ms)) =
            others;
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let query = Query {
            kinds: Kinds { messages, refusals, settings: others, others },
            queue_id,
            message_id: message_id.map(|(id, seed)| format!("{id}.{seed}@host")),
            words: words.into_iter().map(str::to_uppercase).collect(),
            state,
            domain: domain.map(str::to_owned),
            peer: peer.map(|(first, last)| (ip(first), ip(last))),
            connector: connector.map(str::to_owned),
            text: text.map(str::to_owned),
            touched_since_ms,
            since_ms,
            until_ms,
            ..Query::default()
        };
        (query, [who.0, who.1, who.2])
    })
}

struct World {
    folder: tempfile::TempDir,
    tracking: Tracking,
    store: Store,
}

const LIMITS: Limits = Limits {
    messages_bytes_max: 1 << 20,
    refusals_bytes_max: 1 << 20,
    refusals_per_source_per_minute: u32::MAX,
    // The times of these tests are long ago.
    passports: Keeping { age_max_ms: None, ..Keeping::DEFAULT },
};

/// Describes as a version did that told nothing of how it came out.
fn describe_as_formerly(record: &[u8], hashes: &mut Vec<u32>) -> Option<Described> {
    each_term(&read(record)?, &mut |term| {
        if !matches!(term, Term::State(_)) {
            hashes.push(term.hash());
        }
    });
    (DESCRIBE.record)(record, &mut Vec::new())
}

impl World {
    fn new() -> World {
        World::after(&[])
    }

    /// One in which a former version has recorded these.
    fn after(former: &[Record]) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = crate::segments::Limits { bytes_max: 1 << 30, age_max_ms: None };
        for (name, of_messages) in [("passports", true), ("connections", false)] {
            let describe = Describe { record: describe_as_formerly, version: 0 };
            let folder = folder.path().join("tracking").join(name);
            let segments = Segments::open(&folder, kept, describe).expect("opened");
            for record in former.iter().filter(|record| matches!(record, Record::Message(_)) == of_messages) {
                let mut bytes = Vec::new();
                write(record, &mut bytes);
                segments.append(&bytes, 5).expect("appended");
            }
            segments.tend(u64::MAX).expect("sealed");
        }
        let tracking = Tracking::open(folder.path(), LIMITS).expect("opened");
        let store = tracking.passports.store().clone();
        World { folder, tracking, store }
    }

    fn record(&self, records: &[Record], keeping: Keeping, now_ms: u64) {
        for record in records {
            self.store.append(record.clone(), keeping, now_ms, &mut Vec::new()).expect("appended");
        }
        self.store.write_out().expect("written");
    }

    fn seal(&self) {
        // What was appended long ago is sealed.
        self.store.tend(LIMITS.passports, u64::MAX).expect("sealed");
    }

    fn search(&self) -> Search {
        Search::of(&self.tracking)
    }

    /// All pages, with so many entries each.
    fn find(&self, query: &Query, limit: usize) -> Vec<Entry> {
        let (mut entries, mut next) = (Vec::new(), None);
        for _ in 0..10_000 {
            let page = self.search().find(query, next, limit, PATIENCE).expect("readable");
            assert!(page.entries.len() <= limit && !page.is_cut_short);
            entries.extend(page.entries);
            next = page.next.map(|next| Cursor::parse(&next.to_string()).expect("as printed"));
            if next.is_none() {
                assert!(entries.is_sorted_by_key(|entry| std::cmp::Reverse(entry.time_ms())), "newest first");
                return entries;
            }
        }
        panic!("a search without an end")
    }
}

/// Every record read, joined and asked.
fn plainly(records: &[Record], refusals: &[Decision], query: &Query) -> Vec<String> {
    let mut parts: BTreeMap<u64, Vec<Part>> = BTreeMap::new();
    let mut entries: Vec<Entry> = refusals.iter().map(|refusal| Entry::Refusal(Box::new(refusal.clone()))).collect();
    for record in records {
        match record.clone() {
            Record::Message(part) => parts.entry(part.queue_id).or_default().push(part),
            Record::Connection(connection) => entries.push(Entry::Connection(connection)),
            _ => unreachable!("not recorded here"),
        }
    }
    entries.extend(parts.into_iter().map(|(id, parts)| Entry::Message(Passport::join(id, parts))));
    entries.into_iter().filter(|entry| query.matches(entry)).map(|entry| format!("{entry:?}")).collect()
}

fn sorted(entries: Vec<Entry>) -> Vec<String> {
    let mut shown: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
    shown.sort();
    shown
}

fn ask(query: Query, who: [Option<&str>; 3], store: &Store) -> Query {
    let [address, sender, recipient] = who.map(|who| who.map(|who| Wanted::new(&who.to_uppercase(), store.key())));
    Query { address, sender, recipient, ..query }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_search_agrees_with_a_plain_scan_for_any_passports_and_any_query(
        records in records(),
        refused in prop::collection::vec(0_usize..4, 0..8),
        queries in prop::collection::vec(query(), 1..16),
        limit in 1_usize..7,
        former in prop_oneof![Just(0), 0_usize..40],
        sealed in prop_oneof![Just(0), 0_usize..40],
    ) {
        // Some were sealed by a former version, some by this one, and some are in the log.
        let (old, rest) = records.split_at(former.min(records.len()));
        let (before, last) = rest.split_at(sealed.min(rest.len()));
        let world = World::after(old);
        world.record(before, LIMITS.passports, 5);
        world.seal();
        world.record(last, LIMITS.passports, u64::MAX);
        let refusals: Vec<Decision> = (1..)
            .zip(refused)
            .map(|(number, peer)| {
                let decision = Decision { time_ms: 1_000 + number * 300, ..refusal(number, PEERS[peer]) };
                match number % 3 {
                    0 => Decision { verdict: crate::Verdict::Abandoned, ..decision },
                    _ => decision,
                }
            })
            .collect();
        refusals.iter().for_each(|refusal| _ = world.tracking.refusal(Box::new(refusal.clone())));
        for (query, who) in queries {
            let query = ask(query, who, &world.store);
            let mut expected = plainly(&records, &refusals, &query);
            expected.sort();
            prop_assert_eq!(sorted(world.find(&query, limit)), expected, "{:?}", query);
        }
    }
}

#[test]
fn with_addresses_switched_off_no_file_holds_one_and_the_exact_address_is_still_found() {
    let world = World::new();
    let part = |queue_id, seed| {
        Record::Message(Part { queue_id, facts: Some(facts(queue_id, seed)), is_last: true, ..Part::default() })
    };
    let keeping = Keeping { addresses: false, subjects: false, ..Keeping::DEFAULT };
    world.record(&(0..20).map(|id| part(id, 0)).collect::<Vec<_>>(), keeping, 5);
    for (_, bytes) in files(&world.folder.path().join("tracking")) {
        assert!(!contains(&bytes, "ann@") && !contains(&bytes, "invoice"));
    }
    let query = ask(Query::default(), [None, Some("ann@contoso.com"), None], &world.store);
    assert_eq!(world.find(&query, 100).len(), 20);
    let domain = Query { domain: Some("contoso.com".into()), ..Query::default() };
    assert_eq!(world.find(&domain, 100).len(), 20);
}

#[test]
fn a_message_stands_where_it_came_whatever_happened_to_it_since() {
    let world = World::new();
    let came = |queue_id: u64, is_last| {
        let facts = Facts { time_ms: queue_id * 1_000, ..*facts(queue_id, 0) };
        Record::Message(Part { queue_id, facts: Some(Box::new(facts)), is_last, ..Part::default() })
    };
    let later = |queue_id: u64, time_ms: u64| {
        let step = Step { time_ms, ..attempt(1) };
        Record::Message(Part { queue_id, steps: vec![step], ..Part::default() })
    };
    let records = [
        came(1, false),
        came(2, true),
        later(1, 2_500),
        came(3, false),
        came(4, true),
        later(3, 5_000),
        later(1, 6_000),
    ];
    world.record(&records, Keeping::DEFAULT, u64::MAX);
    for limit in [1, 2, 10] {
        let ids: Vec<u64> = world.find(&Query::default(), limit).iter().map(Entry::time_ms).collect();
        assert_eq!(ids, [4_000, 3_000, 2_000, 1_000]);
    }
    // What was recorded last is asked for by that.
    let touched = Query { touched_since_ms: Some(4_500), kinds: Kinds::MESSAGES, ..Query::default() };
    let ids: Vec<u64> = world.find(&touched, 10).iter().map(Entry::time_ms).collect();
    assert_eq!(ids, [3_000, 1_000]);
}

#[test]
fn a_rare_outcome_is_found_without_reading_what_came_out_otherwise() {
    let world = World::new();
    let message = |queue_id: u64, seed: u8| {
        let facts = Facts { recipients: vec!["a@x.net".into(), "b@x.net".into()], ..*facts(queue_id, 1) };
        let steps = [seed, seed + 5].map(attempt).to_vec();
        Record::Message(Part { queue_id, facts: Some(Box::new(facts)), steps, is_last: true, ..Part::default() })
    };
    // In parts: one is delivered later, one waits still.
    let begun = |queue_id: u64| {
        Record::Message(Part { queue_id, facts: Some(facts(queue_id, 1)), steps: vec![attempt(1)], ..Part::default() })
    };
    let end = Part { queue_id: 5_000, steps: vec![attempt(10), attempt(5)], is_last: true, ..Part::default() };
    let mut records: Vec<Record> = (0..4_000).map(|id| message(id, 0)).collect();
    records.insert(1_000, message(4_000, 2));
    records.insert(1_500, begun(5_000));
    records.insert(2_000, begun(5_001));
    records.insert(2_500, Record::Message(end));
    world.record(&records, LIMITS.passports, 5);
    world.seal();
    let pieces = world.store.passports().expect("opened").snapshot(&[]).pieces;
    let sealed = pieces.iter().find(|piece| !piece.blocks().is_empty()).expect("one is sealed");
    let blocks = sealed.blocks().len();
    for (state, expected, ids) in [
        (State::Failed, 1, vec![4_000]),
        (State::Deferred, 1, vec![5_001]),
        (State::Expired, 0, vec![]),
        (State::Held, 0, vec![]),
    ] {
        let candidates = sealed.candidates(Term::State(state).hash()).expect("readable").expect("an index");
        assert!(candidates.len() == expected && blocks > 5, "{state:?}: {candidates:?} of {blocks}");
        let found = world.find(&Query { state: Some(state), ..Query::default() }, 10);
        let found: Vec<u64> = found
            .iter()
            .map(|entry| match entry {
                Entry::Message(passport) => passport.queue_id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, ids, "{state:?}");
    }
}

#[test]
fn a_search_of_two_terms_without_patience_finds_the_same_page_by_page() {
    let world = World::new();
    let message = |queue_id: u64| {
        let seed = if queue_id.is_multiple_of(50) { 2 } else { 1 };
        let facts = Facts { time_ms: queue_id * 1_000, ..*facts(queue_id, seed) };
        Record::Message(Part { queue_id, facts: Some(Box::new(facts)), is_last: true, ..Part::default() })
    };
    for ids in [1..1_000, 1_000..2_000, 2_000..3_000] {
        world.seal();
        world.record(&ids.map(message).collect::<Vec<_>>(), LIMITS.passports, 5);
    }
    let query = Query { words: vec!["scan".into()], connector: Some("Relay".into()), ..Query::default() };
    let rare: Vec<u64> = (1..3_000_u64).rev().filter(|id| id.is_multiple_of(50)).map(|id| id * 1_000).collect();
    let times: Vec<u64> = world.find(&query, 100).iter().map(Entry::time_ms).collect();
    assert_eq!(times, rare);
    let (mut times, mut next, mut pages) = (Vec::new(), None, 0);
    while pages == 0 || next.is_some() {
        let page = world.search().find(&query, next, 100, Duration::ZERO).expect("readable");
        times.extend(page.entries.iter().map(Entry::time_ms));
        next = page.next;
        pages += 1;
        assert!(pages < 1_000, "it goes on");
    }
    assert_eq!(times, rare);
    assert!(pages > 1);
}

fn failed(time_ms: u64, connector: &str, address: &str) -> Record {
    Record::Outbound(Box::new(Outbound {
        time_ms,
        duration_ms: 3,
        way: way(connector),
        remote: Some("mx.example.net".into()),
        address: address.parse().ok(),
        tls: None,
        messages: 0,
        end: "451 4.4.1 Connection refused".into(),
        is_opened: false,
    }))
}

#[test]
fn every_message_that_waited_for_a_next_hop_tells_of_the_connections_that_failed() {
    let world = World::new();
    let waiting = |queue_id: u64, from_ms: u64, until_ms: Option<u64>| {
        let routed = Step { time_ms: from_ms, what: What::Routed { recipients: vec![0], way: way("Out") } };
        let end = until_ms.map(|time_ms| Step { time_ms, ..attempt(0) });
        let facts = Some(Box::new(Facts { time_ms: from_ms, recipients: vec!["a@x.net".into()], ..Facts::default() }));
        let steps = [routed].into_iter().chain(end).collect();
        Record::Message(Part { queue_id, facts, steps, is_last: until_ms.is_some(), ..Part::default() })
    };
    let records = [
        failed(500, "Out", "192.0.2.1:25"),
        waiting(1, 1_000, None),
        failed(1_001, "Out", "192.0.2.1:25"),
        failed(1_002, "Out", "192.0.2.2:25"),
        failed(1_500, "Other", "192.0.2.1:25"),
        waiting(2, 2_000, Some(3_500)),
        failed(3_000, "Out", "192.0.2.1:25"),
        failed(4_000, "Out", "192.0.2.1:25"),
    ];
    world.record(&records, Keeping::DEFAULT, u64::MAX);
    let found = world.find(&Query { kinds: Kinds::MESSAGES, ..Query::default() }, 10);
    let told: Vec<Vec<(u64, u32, u64, String)>> = found
        .iter()
        .map(|entry| {
            let Entry::Message(passport) = entry else { panic!("{entry:?}") };
            let told = passport.steps.iter().filter_map(|step| match &step.what {
                What::NoConnection { address, count, until_ms, .. } => {
                    Some((step.time_ms, *count, *until_ms, address.expect("an address").to_string()))
                }
                _ => None,
            });
            told.collect()
        })
        .collect();
    let (one, other) = ("192.0.2.1:25".to_owned(), "192.0.2.2:25".to_owned());
    assert_eq!(told, [vec![(3_000, 1, 3_000, one.clone())], vec![(1_001, 3, 4_000, one), (1_002, 1, 1_002, other)]]);
}

#[test]
fn a_way_that_nobody_of_a_message_waits_for_any_more_tells_it_nothing() {
    let world = World::new();
    let routed =
        |time_ms, recipient, out| Step { time_ms, what: What::Routed { recipients: vec![recipient], way: way(out) } };
    let recipients = vec!["a@x.net".into(), "b@y.net".into()];
    let facts = Some(Box::new(Facts { time_ms: 1_000, recipients, ..Facts::default() }));
    // The first is through at once; the second is sent another way.
    let delivered = Step { time_ms: 1_500, ..attempt(0) };
    let steps = vec![routed(1_000, 0, "Out"), routed(1_000, 1, "Other"), delivered, routed(3_000, 1, "Third")];
    let records = [
        Record::Message(Part { queue_id: 1, facts, steps, ..Part::default() }),
        failed(2_000, "Out", "192.0.2.1:25"),
        failed(2_500, "Other", "192.0.2.2:25"),
        failed(3_500, "Other", "192.0.2.2:25"),
        failed(4_000, "Third", "192.0.2.3:25"),
    ];
    world.record(&records, Keeping::DEFAULT, u64::MAX);
    let found = world.find(&Query { kinds: Kinds::MESSAGES, ..Query::default() }, 10);
    let Entry::Message(passport) = &found[0] else { panic!("{found:?}") };
    let told: Vec<u64> = passport
        .steps
        .iter()
        .filter(|step| matches!(step.what, What::NoConnection { .. }))
        .map(|step| step.time_ms)
        .collect();
    assert_eq!(told, [2_500, 4_000]);
}

#[test]
fn a_change_of_settings_is_found_by_time_alone() {
    let world = World::new();
    let changed = |time_ms| Record::Settings(Settings { time_ms, revision: time_ms, document: 7, who: "uid 0".into() });
    let connections: Vec<Record> = (0..20).map(|number| failed(number, "Out", "192.0.2.1:25")).collect();
    world.record(&connections, Keeping::DEFAULT, u64::MAX);
    world.record(&[changed(1_000), changed(2_000)], Keeping::DEFAULT, u64::MAX);
    let times = |query: &Query| world.find(query, 10).iter().map(Entry::time_ms).collect::<Vec<u64>>();
    assert_eq!(times(&Query { since_ms: Some(900), ..Query::default() }), [2_000, 1_000]);
    assert_eq!(times(&Query { until_ms: Some(2_000), ..Query::default() }), [1_000]);
    assert!(times(&Query { connector: Some("Out".into()), ..Query::default() }).is_empty());
    assert!(times(&Query { kinds: Kinds::MESSAGES, ..Query::default() }).is_empty());
}

/// A ring of files as a former version left it, with so many refusals.
fn former_refusals(folder: &Path, count: u64) {
    let mut room = Room::open(folder.join("tracking/refusals"), 1 << 20, 7);
    let mut frames = Vec::new();
    for number in 1..=count {
        let decision = refusal(number, "192.0.2.1:1");
        frame::push(&mut frames, room.salt(), decision.id, |into| stored::write(&decision, into));
    }
    room.append(&frames, 1).expect("written");
}

#[test]
fn refusals_of_a_former_version_are_found_too() {
    let folder = tempfile::tempdir().expect("a folder");
    former_refusals(folder.path(), 100);
    for _ in 0..2 {
        let tracking = Tracking::open(folder.path(), LIMITS).expect("opened");
        assert!(tracking.find(refusal(50, "192.0.2.1:1").id).expect("readable").is_some());
        let wanted = Wanted::new("b@gmail.com", tracking.passports.store().key());
        let query = Query { recipient: Some(wanted), ..Query::default() };
        assert_eq!(Search::of(&tracking).find(&query, None, 1_000, PATIENCE).expect("readable").entries.len(), 100);
    }
}

#[test]
fn an_erasure_reaches_refusals_of_a_former_version_that_could_not_be_taken_over() {
    let folder = tempfile::tempdir().expect("a folder");
    former_refusals(folder.path(), 10);
    let in_the_way = folder.path().join("tracking/refusals/0000000000000001.open");
    std::fs::create_dir(&in_the_way).expect("made");
    let tracking = Tracking::open(folder.path(), LIMITS).expect("opened");
    let has_address = || files(folder.path()).iter().any(|(_, bytes)| contains(bytes, "b@gmail.com"));
    assert!(erase(&tracking, "b@gmail.com").is_err() && has_address(), "nothing is said to be done that is not");
    std::fs::remove_dir(&in_the_way).expect("removed");
    assert_eq!(erase(&tracking, "b@gmail.com").expect("erased").decisions, 10);
    assert!(!has_address());
}

#[test]
fn what_was_read_from_the_spool_again_beside_a_whole_passport_is_no_second_one() {
    let world = World::new();
    let part = |is_recovered| {
        let steps = vec![attempt(0)];
        Record::Message(Part { queue_id: 7, facts: Some(facts(7, 0)), steps, is_last: true, is_recovered })
    };
    world.record(&[part(true), part(false), part(true)], Keeping::DEFAULT, 5);
    assert_eq!(world.find(&Query::default(), 1).len(), 1);
    assert_eq!(world.find(&Query { queue_id: Some(7), ..Query::default() }, 100).len(), 1);
}

#[test]
fn after_an_erasure_no_file_and_no_index_holds_the_address_also_after_a_restart() {
    let world = World::new();
    let part = |queue_id, seed| {
        let mut facts = facts(queue_id, seed);
        facts.subject = Some("To Ann@contoso.com, urgent".into());
        Record::Message(Part {
            queue_id,
            facts: Some(facts),
            steps: vec![attempt(seed)],
            is_last: true,
            ..Part::default()
        })
    };
    world.record(&(0..40).map(|id| part(id, id as u8)).collect::<Vec<_>>(), Keeping::DEFAULT, 5);
    let concealing = Keeping { addresses: false, ..Keeping::DEFAULT };
    world.record(&(40..50).map(|id| part(id, 0)).collect::<Vec<_>>(), concealing, 5);
    for number in 1..=3 {
        let sender = Some("<ann@CONTOSO.com>".into());
        world.tracking.refusal(Box::new(Decision { sender, ..refusal(number, "192.0.2.1:1") }));
    }
    let query = ask(Query::default(), [Some("ann@contoso.com"), None, None], &world.store);
    let before = world.find(&query, 100).len();
    assert!(before > 20, "{before}");
    let erased = erase(&world.tracking, "Ann@contoso.com").expect("erased");
    assert!(erased.passports >= 40 && erased.decisions == 3, "{erased:?}");
    let concealed = world.store.key().token("ann@contoso.com");
    let is_gone = |world: &World| {
        assert!(world.find(&query, 100).is_empty());
        let everything = world.find(&Query::default(), 100);
        assert_eq!(everything.len(), 53);
        let shown = format!("{everything:?}").to_lowercase();
        assert!(!shown.contains("ann@contoso.com") && !shown.contains(&concealed) && shown.contains("urgent"));
        for (path, bytes) in files(world.folder.path()) {
            assert!(!contains(&bytes, "ann@contoso.com"), "{}", path.display());
        }
    };
    is_gone(&world);
    let World { folder, tracking, store } = world;
    drop((tracking, store));
    let tracking = Tracking::open(folder.path(), LIMITS).expect("opened");
    let store = tracking.passports.store().clone();
    let world = World { folder, tracking, store };
    is_gone(&world);
    // What comes later is recorded as ever.
    world.record(&[part(60, 0)], Keeping::DEFAULT, 5);
    assert_eq!(world.find(&query, 100).len(), 1);
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("there").path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push((path.clone(), std::fs::read(&path).expect("readable"))),
        }
    }
    files
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(&bytes.to_ascii_lowercase(), text.as_bytes()).is_some()
}
