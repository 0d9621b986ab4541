//! What a refused attempt costs to record, and how long searches take among many.
//!
//! `cargo run --release -p gatepost-tracking --example refusals -- FOLDER [ATTEMPTS]`
//!
//! Attempts look like those of the world: 50,000 peers, senders of 200,000 addresses, recipients of 20,000 domains.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gatepost_tracking::passport::Keeping;
use gatepost_tracking::trace::{Query, Search, Wanted};
use gatepost_tracking::{Command, Decision, DecisionId, Limits, RevisionId, Tracking, Verdict};

const PATIENCE: Duration = Duration::from_secs(120);
const LIMITS: Limits = Limits {
    messages_bytes_max: 1 << 20,
    refusals_bytes_max: 4 << 30,
    refusals_per_source_per_minute: u32::MAX,
    passports: Keeping::DEFAULT,
};
/// Attempts before the writer is waited for.
const AHEAD: u64 = 4_096;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "/var/tmp".into())).join("gatepost-refusals-example");
    let attempts: u64 = arguments.next().map_or(1_000_000, |count| count.parse().expect("a number of attempts"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder to write to");
    let cpu = cpu_ms();
    (0..attempts).for_each(|number| _ = std::hint::black_box(attempt(number)));
    let making = cpu_ms() - cpu;
    let tracking = Tracking::open(&folder, LIMITS).expect("a thread and randomness");
    let cpu = cpu_ms();
    for number in 0..attempts {
        tracking.refusal(Box::new(attempt(number)));
        if number % AHEAD == 0 {
            tracking.flush();
        }
    }
    tracking.flush();
    let usage = tracking.usage().refusals;
    println!(
        "{attempts} attempts: {:.2} us of CPU for each, {:.0} bytes on the disk for each, {} left out",
        (cpu_ms() - cpu - making) as f64 * 1_000.0 / attempts as f64,
        usage.bytes as f64 / attempts as f64,
        usage.dropped,
    );
    drop(tracking);
    let start = Instant::now();
    let tracking = Tracking::open(&folder, LIMITS).expect("a thread and randomness");
    println!("opened again in {:.0} ms", start.elapsed().as_secs_f64() * 1_000.0);
    let key = tracking.passports.store().key();
    let middle = attempts / 2;
    let wanted = |text: String| Some(Wanted::new(&text, key));
    let peer = attempt(middle).peer.ip();
    let questions: [(&str, Query); 7] = [
        ("the newest", Query::default()),
        ("address of a sender", Query { address: wanted(sender(middle)), ..Query::default() }),
        ("address of a recipient", Query { recipient: wanted(recipient(middle)), ..Query::default() }),
        ("address of nobody", Query { address: wanted("nobody@nowhere.example".into()), ..Query::default() }),
        ("domain", Query { domain: Some(domain(middle)), ..Query::default() }),
        ("peer", Query { peer: Some((peer, peer)), ..Query::default() }),
        ("decision", Query { decision: DecisionId::from_number(middle), ..Query::default() }),
    ];
    for (name, query) in questions {
        for time in ["first", "again"] {
            let start = Instant::now();
            let page = Search::of(&tracking).find(&query, None, 100, PATIENCE).expect("readable");
            let ms = start.elapsed().as_secs_f64() * 1_000.0;
            println!("{name}, {time}: {} found in {ms:.1} ms", page.entries.len());
        }
    }
    drop(tracking);
    let _ = std::fs::remove_dir_all(&folder);
}

/// A number that looks random and is the same in each run.
fn mixed(number: u64, salt: u64) -> u64 {
    let mut mixed = number.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn domain(number: u64) -> String {
    format!("customer-{:05}.example", mixed(number, 1) % 20_000)
}

fn sender(number: u64) -> String {
    format!("someone-{}@world.example", mixed(number, 2) % 200_000)
}

fn recipient(number: u64) -> String {
    format!("firstname.lastname-{}@{}", mixed(number, 3) % 300_000, domain(number))
}

fn attempt(number: u64) -> Decision {
    let device = (mixed(number, 4) % 50_000) as u32;
    let peer = SocketAddr::new(Ipv4Addr::from_bits(0x0a01_0000 + device).into(), 40_000 + (number % 20_000) as u16);
    Decision {
        id: DecisionId::from_number(number).expect("48 bits"),
        time_ms: 1_795_000_000_000 + number,
        revision: RevisionId::of("[server]\n", "mail.contoso.com"),
        peer,
        local: "192.168.2.1:25".parse().expect("an address"),
        connector: "Default".into(),
        principal: "NT AUTHORITY\\ANONYMOUS LOGON".into(),
        user: None,
        tls: Some(("TLSv1_3".into(), "TLS13_AES_256_GCM_SHA384".into())),
        certificate: None,
        hello: Some(format!("host-{device}.world.example").into()),
        command: Command::Rcpt,
        sender: Some(format!("<{}>", sender(number)).into()),
        header_sender: None,
        header_senders: Vec::new(),
        refused_recipient: Some(recipient(number).into()),
        recipients: Vec::new(),
        recipient_count: 0,
        size: None,
        verdict: Verdict::Refused {
            name: "UnableToRelay".into(),
            reason: "recipient domain is not accepted and the principal lacks the right to relay".into(),
            reply: "550 5.7.1 Unable to relay".into(),
        },
        repeats: None,
    }
}

/// CPU time of this process, user and system, in milliseconds (proc(5); a tick is 10 ms).
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number") * 10).sum()
}
