//! What the passport of a message costs, and how long searches take, in segments or in SQLite.
//!
//! `cargo run --release -p gatepost-tracking --example passports -- FOLDER [MESSAGES]`
//! `cargo run --release -p gatepost-tracking --features compare --example passports -- FOLDER [MESSAGES] sqlite`
//! `cargo run --release -p gatepost-tracking --example passports -- FOLDER [MESSAGES] kept` asks nothing and leaves the records there.
//!
//! Messages look like those of a relay: 2,000 devices, 300,000 recipients of 20,000 domains, one to three for each message, a
//! subject of five words out of 5,000, a route, one attempt (one in ten: two), a connection for each message. One in fifty waits until
//! 10,000 others have come; one in 100,000 is refused by its next hop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gatepost_tracking::passport::event::{Attempt, Connection, Facts, Outcome, Tls, Verdict, Way};
use gatepost_tracking::passport::{Event, Keeping, Step, What};
use gatepost_tracking::trace::{Query, Search, State, Wanted};
use gatepost_tracking::{Limits, Tracking};

/// What making the events costs is measured with so many messages.
const SAMPLE: u64 = 500_000;
const PATIENCE: Duration = Duration::from_secs(120);
/// The messages came in the hours before now, one in each millisecond: older ones would not be kept.
static START_MS: LazyLock<u64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    now.as_millis() as u64 - Duration::from_secs(24 * 3_600).as_millis() as u64
});
/// So many others come before one that waits is tried again.
const WAIT: u64 = 10_000;
/// Events noted before the writer is waited for: a relay does not receive faster than it can write.
const AHEAD: u64 = 4_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder =
        PathBuf::from(arguments.next().unwrap_or_else(|| "/var/tmp".into())).join("gatepost-passports-example");
    let messages: u64 = arguments.next().map_or(1_000_000, |count| count.parse().expect("a number of messages"));
    let store = arguments.next().unwrap_or_else(|| "segments".into());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder to write to");
    let cpu = cpu_ms();
    let sample = messages.min(SAMPLE);
    (0..sample).for_each(|number| _ = std::hint::black_box(events(number)));
    let making = (cpu_ms() - cpu) * messages as f64 / sample as f64;
    match &*store {
        "segments" => segments(&folder, messages, making),
        "kept" => return drop(written(&folder, messages, making)),
        #[cfg(feature = "compare")]
        "sqlite" => sqlite::run(&folder, messages, making),
        other => eprintln!("{other} is not built in: segments, kept, or sqlite with --features compare"),
    }
    let _ = std::fs::remove_dir_all(&folder);
}

fn segments(folder: &Path, messages: u64, making: f64) {
    drop(written(folder, messages, making));
    let start = Instant::now();
    let tracking = Tracking::open(folder, limits()).expect("a thread and randomness");
    println!("opened again in {:.0} ms", start.elapsed().as_secs_f64() * 1_000.0);
    let key = tracking.passports.store().key();
    let middle = messages / 2;
    let address = |text: String| Some(Wanted::new(&text, key));
    let questions: [(&str, Query); 15] = [
        ("the newest", Query::default()),
        ("queue id", Query { queue_id: Some(middle), ..Query::default() }),
        ("Message-ID", Query { message_id: Some(message_id(middle)), ..Query::default() }),
        ("address of a recipient", Query { address: address(recipient(middle, 0)), ..Query::default() }),
        ("address of nobody", Query { address: address("nobody@nowhere.example".into()), ..Query::default() }),
        ("domain", Query { domain: Some(domain(middle % 20_000)), ..Query::default() }),
        ("peer", Query { peer: Some((peer(middle).ip(), peer(middle).ip())), ..Query::default() }),
        ("word", Query { words: vec![word(4_711)], ..Query::default() }),
        (
            "word and recipient",
            Query {
                words: vec![subject_word(middle, 0)],
                recipient: address(recipient(middle, 0)),
                ..Query::default()
            },
        ),
        ("two words of many messages", Query { words: vec![word(1), word(2)], ..Query::default() }),
        ("refused by a next hop", Query { state: Some(State::Failed), ..Query::default() }),
        (
            "refused by a next hop, of one sender",
            Query {
                state: Some(State::Failed),
                sender: address(format!("device-{}@contoso.example", skewed(middle, 1, 2_000))),
                ..Query::default()
            },
        ),
        ("waiting", Query { state: Some(State::Deferred), ..Query::default() }),
        ("held", Query { state: Some(State::Held), ..Query::default() }),
        ("given up by the peer", Query { state: Some(State::Abandoned), ..Query::default() }),
    ];
    for (name, query) in questions {
        for time in ["first", "again"] {
            let start = Instant::now();
            let page = Search::of(&tracking).find(&query, None, 100, PATIENCE).expect("readable");
            println!(
                "{name}, {time}: {} found in {:.1} ms",
                page.entries.len(),
                start.elapsed().as_secs_f64() * 1_000.0
            );
        }
    }
}

/// Notes all of them.
fn written(folder: &Path, messages: u64, making: f64) -> Tracking {
    let tracking = Tracking::open(folder, limits()).expect("a thread and randomness");
    let (cpu, start) = (cpu_ms(), Instant::now());
    for number in 0..messages {
        events(number).into_iter().for_each(|event| tracking.note(event));
        if number % AHEAD == AHEAD - 1 {
            tracking.passports.flush();
        }
    }
    tracking.passports.flush();
    let gathered = tracking.passports.gathered();
    assert_eq!((gathered.left_out, gathered.messages_left_out), (0, 0), "nothing may be missing");
    let usage = tracking.passports.store().usage();
    report(messages, cpu_ms() - cpu - making, start.elapsed(), usage.bytes);
    tracking
}

const fn limits() -> Limits {
    Limits {
        messages_bytes_max: 1 << 20,
        refusals_bytes_max: 1 << 20,
        refusals_per_source_per_minute: 60,
        passports: Keeping { bytes_max: 1 << 40, age_max_ms: None, ..Keeping::DEFAULT },
    }
}

fn report(messages: u64, cpu_ms: f64, elapsed: Duration, bytes: u64) {
    println!(
        "{messages} messages: {:.2} us of CPU for each, {:.0} bytes on the disk for each, {:.1} s",
        cpu_ms * 1_000.0 / messages as f64,
        bytes as f64 / messages as f64,
        elapsed.as_secs_f64()
    );
}

/// A number that looks random and is the same in each run.
fn mixed(number: u64, salt: u64) -> u64 {
    let mut mixed = number.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Most often a small one, as names are used.
fn skewed(number: u64, salt: u64, below: u64) -> u64 {
    let uniform = mixed(number, salt) as f64 / u64::MAX as f64;
    ((uniform * uniform * below as f64) as u64).min(below - 1)
}

fn domain(number: u64) -> String {
    format!("customer-{number:05}.example")
}

fn recipient(number: u64, place: u64) -> String {
    let person = skewed(number, 10 + place, 300_000);
    format!("firstname.lastname-{person}@{}", domain(person % 20_000))
}

fn word(number: u64) -> String {
    const SYLLABLES: [&str; 10] = ["in", "voi", "ce", "re", "port", "scan", "ba", "ckup", "or", "der"];
    let digits = [number / 1_000, number / 100, number / 10, number].map(|digit| (digit % 10) as usize);
    digits.map(|digit| SYLLABLES[digit]).concat()
}

fn subject_word(number: u64, place: u64) -> String {
    word(skewed(number, 20 + place, 5_000))
}

fn peer(number: u64) -> SocketAddr {
    let device = skewed(number, 1, 2_000);
    SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(10, 1, (device >> 8) as u8, device as u8)),
        40_000 + (number % 20_000) as u16,
    )
}

fn message_id(number: u64) -> String {
    format!("<{:016x}.{number}@device.contoso.example>", mixed(number, 3))
}

/// What is noted when a message comes; the end of one that waited until then, too.
fn events(number: u64) -> Vec<Event> {
    let mut events = of_message(number);
    if waits(number) {
        // Tried once, and told to come again; its connection has ended.
        events.drain(3..events.len() - 1);
    }
    if let Some(before) = number.checked_sub(WAIT).filter(|before| waits(*before)) {
        let end = of_message(before);
        events.extend(end.into_iter().skip(3).filter(|event| !matches!(event, Event::Connection(_))));
    }
    events
}

fn waits(number: u64) -> bool {
    mixed(number, 8).is_multiple_of(50)
}

/// All that is noted for one message.
fn of_message(number: u64) -> Vec<Event> {
    let time_ms = *START_MS + number;
    let device = skewed(number, 1, 2_000);
    let recipients: Vec<Box<str>> =
        (0..1 + mixed(number, 2) % 3).map(|place| recipient(number, place).into()).collect();
    let everyone: Vec<u32> = (0..recipients.len() as u32).collect();
    let facts = Facts {
        time_ms,
        message_id: message_id(number).into(),
        subject: Some((0..5).map(|place| subject_word(number, place)).collect::<Vec<_>>().join(" ").into()),
        sender: format!("device-{device}@contoso.example").into(),
        recipients,
        size: 4_000 + mixed(number, 4) % 60_000,
        peer: Some(peer(number)),
        local: Some("10.1.0.1:25".parse().expect("an address")),
        hello: Some(format!("device-{device}.contoso.example").into()),
        connector: "Devices".into(),
        principal: "NT AUTHORITY\\ANONYMOUS LOGON".into(),
        tls: None,
        decision: Some(mixed(number, 5) >> 16),
        connection: Some(number),
        report: None,
        is_internal: true,
    };
    let way = Way { connector: "Internet".into(), next_hop: "smarthost.example".into() };
    let mut events = vec![
        Event::Received { queue_id: number, facts: Box::new(facts) },
        Event::Step {
            queue_id: number,
            step: Step { time_ms, what: What::Routed { recipients: everyone.clone(), way: way.clone() } },
        },
    ];
    let is_refused = mixed(number, 9).is_multiple_of(100_000);
    for last in if mixed(number, 6).is_multiple_of(10) || waits(number) { vec![false, true] } else { vec![true] } {
        let outcome = |recipient: &u32| Outcome {
            recipient: *recipient,
            verdict: match last {
                true if is_refused => Verdict::Failed,
                true => Verdict::Delivered,
                false => Verdict::Deferred { until_ms: time_ms + 60_000 },
            },
            reply: if last && is_refused {
                "550 5.1.1 No such user".into()
            } else if last {
                format!("250 2.0.0 Ok: queued as {:010X}", mixed(number, 7) >> 24)
            } else {
                "451 4.7.1 Greylisted".into()
            }
            .into(),
        };
        let attempt = Attempt {
            way: way.clone(),
            remote: Some("mx1.smarthost.example".into()),
            address: Some("192.0.2.25:25".parse().expect("an address")),
            tls: Some(Tls { version: "TLSv1.3".into(), cipher: "TLS_AES_256_GCM_SHA384".into(), proof: None }),
            duration_ms: 12,
            outcomes: everyone.iter().map(outcome).collect(),
            is_recovered: false,
        };
        events.push(Event::Step {
            queue_id: number,
            step: Step { time_ms: time_ms + 10, what: What::Attempt(Box::new(attempt)) },
        });
    }
    events.push(Event::Ended { queue_id: number });
    events.push(Event::Connection(Box::new(Connection {
        id: number,
        time_ms,
        duration_ms: 35,
        peer: peer(number),
        local: "10.1.0.1:25".parse().expect("an address"),
        connector: "Devices".into(),
        hello: Some(format!("device-{device}.contoso.example").into()),
        principal: "NT AUTHORITY\\ANONYMOUS LOGON".into(),
        tls: None,
        messages: 1,
        refusals: 0,
        end: "the peer said QUIT".into(),
    })));
    events
}

/// CPU time of this process, all its threads.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    (fields[11].parse::<f64>().expect("user") + fields[12].parse::<f64>().expect("system")) * 10.0
}

/// The same in SQLite: a row for each message with its record, a table of terms, full text search for subjects.
#[cfg(feature = "compare")]
mod sqlite {
    use std::path::Path;
    use std::time::Instant;

    use gatepost_tracking::passport::{Event, Part, Record, terms, write};
    use rusqlite::{Connection, params};

    use super::{cpu_ms, domain, message_id, of_message, recipient, report, word};

    /// Messages of one transaction: what comes in a twentieth of a second at 10,000 a second.
    const BATCH: u64 = 500;

    pub fn run(folder: &Path, messages: u64, making: f64) {
        let file = folder.join("passports.sqlite");
        let mut database = Connection::open(&file).expect("opened");
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -65536;
                 CREATE TABLE passport (id INTEGER PRIMARY KEY, time_ms INTEGER, record BLOB);
                 CREATE TABLE term (hash INTEGER, id INTEGER, PRIMARY KEY (hash, id)) WITHOUT ROWID;
                 CREATE VIRTUAL TABLE subject USING fts5 (words, content = '', detail = none, tokenize = 'unicode61');",
            )
            .expect("made");
        let (cpu, start) = (cpu_ms(), Instant::now());
        let mut first = 0;
        while first < messages {
            let transaction = database.transaction().expect("begun");
            {
                let mut passport =
                    transaction.prepare_cached("INSERT INTO passport VALUES (?1, ?2, ?3)").expect("prepared");
                let mut term =
                    transaction.prepare_cached("INSERT OR IGNORE INTO term VALUES (?1, ?2)").expect("prepared");
                let mut subject =
                    transaction.prepare_cached("INSERT INTO subject (rowid, words) VALUES (?1, ?2)").expect("prepared");
                for number in first..(first + BATCH).min(messages) {
                    let mut part = Part { queue_id: number, is_last: true, ..Part::default() };
                    let mut words = None;
                    for event in of_message(number) {
                        match event {
                            Event::Received { facts, .. } => {
                                words = facts.subject.clone();
                                part.facts = Some(facts);
                            }
                            Event::Step { step, .. } => part.steps.push(step),
                            _ => {}
                        }
                    }
                    let record = Record::Message(part);
                    let mut bytes = Vec::new();
                    write(&record, &mut bytes);
                    passport.execute(params![number as i64, terms::time_ms(&record) as i64, bytes]).expect("inserted");
                    subject.execute(params![number as i64, words]).expect("inserted");
                    terms::each_term(&record, &mut |found| {
                        if !matches!(found, terms::Term::Word(_)) {
                            term.execute(params![i64::from(found.hash()), number as i64]).expect("inserted");
                        }
                    });
                }
            }
            transaction.commit().expect("committed");
            first += BATCH;
        }
        database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("done");
        let bytes = std::fs::metadata(&file).expect("there").len();
        report(messages, cpu_ms() - cpu - making, start.elapsed(), bytes);
        let middle = messages / 2;
        let by_term = "SELECT count(record) FROM (SELECT record FROM term JOIN passport USING (id) WHERE hash = ?1 ORDER BY id DESC LIMIT 100)";
        for (name, term) in [
            ("Message-ID", terms::Term::MessageId(terms::bare(&message_id(middle))).hash()),
            ("address of a recipient", terms::Term::Address(&recipient(middle, 0)).hash()),
            ("domain", terms::Term::Domain(&domain(middle % 20_000)).hash()),
        ] {
            let start = Instant::now();
            let found: i64 = database.query_row(by_term, params![i64::from(term)], |row| row.get(0)).expect("asked");
            println!("{name}: {found} found in {:.1} ms", start.elapsed().as_secs_f64() * 1_000.0);
        }
        let start = Instant::now();
        let by_word = "SELECT count(record) FROM (SELECT record FROM subject JOIN passport ON passport.id = subject.rowid \
                       WHERE subject MATCH ?1 ORDER BY subject.rowid DESC LIMIT 100)";
        let found: i64 = database.query_row(by_word, params![word(4_711)], |row| row.get(0)).expect("asked");
        println!("word: {found} found in {:.1} ms", start.elapsed().as_secs_f64() * 1_000.0);
    }
}
