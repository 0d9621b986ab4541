//! What a record costs a session, what the writer costs, and how long a search takes in full rooms.
//!
//! `cargo run --release -p gatepost-tracking --example record [FOLDER]`

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gatepost_tracking::decision::bounded;
use gatepost_tracking::passport::Keeping;
use gatepost_tracking::{Command, Decision, DecisionId, Limits, RevisionId, Tracking, Verdict};

const MESSAGES: u64 = 600_000;
const LIMITS: Limits = Limits {
    messages_bytes_max: 64 << 20,
    refusals_bytes_max: 64 << 20,
    refusals_per_source_per_minute: u32::MAX,
    passports: Keeping::DEFAULT,
};

fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into).join("gatepost-record-example");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder to write to");
    let tracking = Tracking::open(&folder, LIMITS).expect("a thread and randomness");
    let revision = RevisionId::of("[server]\n", "mail.contoso.com");
    let [peer, local]: [SocketAddr; 2] =
        ["192.168.2.57:41522", "192.168.2.1:25"].map(|address| address.parse().expect("an address"));
    let decision = |verdict: Verdict| Decision {
        id: DecisionId::random().expect("randomness"),
        time_ms: 1_795_000_000_000,
        revision,
        peer,
        local,
        connector: "Default".into(),
        principal: bounded("NT AUTHORITY\\ANONYMOUS LOGON"),
        user: None,
        tls: Some(("TLSv1_3".into(), "TLS13_AES_256_GCM_SHA384".into())),
        certificate: None,
        hello: Some(bounded("app01.contoso.com")),
        command: Command::Content,
        sender: Some(bounded("<scanner-17@contoso.com>")),
        header_sender: None,
        header_senders: Vec::new(),
        refused_recipient: None,
        recipients: vec![bounded("someone.with.a.name@example.net")],
        recipient_count: 1,
        size: Some(23_456),
        verdict,
        repeats: None,
    };
    let refused = || Verdict::Refused {
        name: "UnableToRelay".into(),
        reason: "recipient domain is not accepted and the principal lacks the right to relay".into(),
        reply: "550 5.7.1 Unable to relay".into(),
    };

    let oldest = decision(Verdict::Accepted { queue_id: 0 }).id;
    for (name, make) in
        [("message", &(|i| Verdict::Accepted { queue_id: i }) as &dyn Fn(u64) -> Verdict), ("refusal", &|_| refused())]
    {
        let mut in_session = Duration::ZERO;
        let cpu = cpu_ms();
        for i in 0..MESSAGES {
            let start = Instant::now();
            match make(i) {
                verdict @ Verdict::Accepted { .. } => tracking.record(&decision(verdict)),
                verdict => drop(tracking.refusal(Box::new(decision(verdict)))),
            }
            in_session += start.elapsed();
            if i % 4_096 == 0 {
                tracking.flush();
            }
        }
        tracking.flush();
        println!(
            "{name}: {:.2} us in the session, {:.2} us of CPU in all",
            in_session.as_secs_f64() * 1e6 / MESSAGES as f64,
            (cpu_ms() - cpu) as f64 * 1e3 / MESSAGES as f64,
        );
    }
    let usage = tracking.usage();
    println!(
        "rooms: {} MB and {} MB, {} dropped",
        usage.messages.bytes >> 20,
        usage.refusals.bytes >> 20,
        usage.messages.dropped + usage.refusals.dropped
    );
    let start = Instant::now();
    assert_eq!(tracking.find(oldest).expect("readable"), None);
    println!("an id that is nowhere, both rooms full: {} ms", start.elapsed().as_millis());
    drop(tracking);
    let start = Instant::now();
    let tracking = Tracking::open(&folder, LIMITS).expect("a thread and randomness");
    println!("opening full rooms: {} ms", start.elapsed().as_millis());
    drop(tracking);
    let _ = std::fs::remove_dir_all(&folder);
}

/// CPU time of this process, user and system, in milliseconds (proc(5); a tick is 10 ms).
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number") * 10).sum()
}
